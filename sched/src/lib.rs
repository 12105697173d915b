//! Decides who runs next on a shared device, for how long and at what charge.
//!
//! Promise: over any span in which a set of tenants stays busy, every one of them is within [`bounds::lag_range`] of the
//! service an ideal fluid device would have given it by weight, however long or short its kernels are and whatever it
//! declared about them. A tenant that overran its slice owes the overrun until it has paid it back, asleep or awake; a
//! tenant that slept has not saved anything up beyond one request. Nobody starves.
//!
//! The algorithm is EEVDF (Stoica and Abdel-Wahab, TR-95-22, 1995) over *occupancy*, with two additions: request lengths
//! are learned from what a tenant really occupies, and a guard, EEVDF again with the longest request for everybody, serves
//! whoever fell too far behind.
//! `README.md` beside this crate has it on one page.
//!
//! Who owns what: [`Scheduler`] owns the order and the books of *one* partition of one device. Its caller owns the device
//! and the clock: it says who is [runnable](Scheduler::wake), [asks](Scheduler::pick) whom to give the lease,
//! [books](Scheduler::charge) every nanosecond to somebody, and takes the lease away by its own means. Time is an
//! argument, arithmetic is in integers, and nothing here waits, logs or looks anything up: same calls, same decisions.
//!
//! | module | subject |
//! |---|---|
//! | [`units`] | instants, durations, weights, shares |
//! | [`params`] | what an admin sets: per scheduler and per node |
//! | `scheduler` | the tree, the lease, the books: [`Scheduler`] |
//! | [`error`] | why a call was refused |
//! | [`totals`] | where the device's time went |
//! | [`bounds`] | the promises as functions, with their derivation |
//! | [`pace`] | a slice from the measured price of a switch |
//! | `node`, `request`, `bucket` | the state of one node: debt and credit, learned request, warp, cap |
//! | `queue`, `heap`, `virt` | the order among siblings, its indexed heaps, exact virtual time |
//!
//! Partitions and several devices are several schedulers.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic, clippy::disallowed_types)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bounds;
mod bucket;
pub mod error;
mod heap;
mod node;
pub mod pace;
pub mod params;
mod queue;
mod request;
mod scheduler;
pub mod totals;
pub mod units;
mod virt;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, JoinError, LeaveError, NodeError, SetError};
pub use node::NodeId;
pub use params::{Class, Config, Params, Policy};
pub use scheduler::{Grant, Scheduler, Wake};
pub use totals::{ChargeKind, Totals};
pub use units::{Instant, Nanos, Share, Weight};
