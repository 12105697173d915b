//! What the demo and the benches play on: a private broker, and tenant processes that do what they are told.
//!
//! Every process is real: the broker is `wavegate serve` with a configuration of its own, each tenant connects like any other program.
//! Results are checked against oracles outside of the measured time.

pub mod actor;
pub mod broker;
pub mod config;
pub mod shares;
pub mod tenant;
pub mod wire;
pub mod work;

pub use actor::Actor;
pub use broker::PrivateBroker;

use std::time::Duration;

/// Longest time anything may take that should take none.
const PATIENCE: Duration = Duration::from_secs(20);
