//! AMD's own runtime in the worker: ROCr over the test fixture's thunk, or over a card.
//!
//! Ignored by default: they need Debian's `libhsa-runtime64-1` and the built thunk; `cargo xtask rocr` gets both. `WAVEGATE_ROCR_DEVICE` names the
//! device, as `--device` does: `rocr:0,thunk=/path/libhsakmt.so.1` for the fixture, `rocr:0` for a card.

/// Where `program` looks for its deadline.
mod stub {
    pub(crate) use crate::serve::soon;
}

#[allow(dead_code, reason = "shared with the tests of the broker on the software GPU, which use all of it")]
#[path = "../worker/program.rs"]
mod program;
#[allow(dead_code, reason = "as above")]
#[path = "../broker/rig.rs"]
mod serve;

mod broker;
mod cases;
