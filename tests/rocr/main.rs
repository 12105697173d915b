//! The device contract on AMD's own runtime: the same cases as on the software GPU, on ROCr over the test fixture's thunk, or on a card.
//!
//! Ignored by default: they need Debian's `libhsa-runtime64-1` and the built thunk; `cargo xtask rocr` gets both. The runtime is one a process,
//! so each case is a process of its own: the test starts this program again for it. `WAVEGATE_ROCR_DEVICE` names the device, as
//! `--device` does: `rocr:0,thunk=/path/libhsakmt.so.1` for the fixture, `rocr:0` for a card.

#[allow(dead_code, reason = "shared with the tests of the software GPU, which use all of it")]
#[path = "../rig.rs"]
mod rig;

mod cases;
