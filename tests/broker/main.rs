//! The broker as processes: `wavegate serve`, its workers, and tenants that use the client library.
//!
//! [`rig`] starts a private broker for each test and asks it how things are; `program` runs embedded kernels against their oracles.
//! Nothing here sleeps for a time to pass: what a test waits for, it polls with a deadline.

mod benches;
mod devices;
mod metrics;
mod moves;
#[path = "../worker/program.rs"]
mod program;
#[path = "../../src/perfetto/reader.rs"]
mod reader;
mod replay;
mod rig;
mod sessions;
mod shared;
mod tenants;
mod trace;

/// Where `program` looks for its deadline.
mod stub {
    pub(crate) use crate::rig::soon;
}
