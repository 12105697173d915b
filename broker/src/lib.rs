//! Every decision of the Wavegate daemon, as a pure state machine.
//!
//! A shell feeds it and carries out what it says; the whole daemon, and the simulator too, is this loop:
//!
//! ```text
//! broker.handle(clock.now(), input);
//! while let Some(action) = broker.poll_action() { perform(action); }   // some actions have an answer: an Input again
//! timer.set(broker.poll_timeout());                                     // when it is due: Input::Timer
//! ```
//!
//! Promises, each with a test that names it:
//! - Same inputs, same decisions. Time is an argument; there is no I/O, no randomness and no map with a random order.
//! - At most one session per partition holds a lease.
//! - A charge is released exactly once, and a session that is gone has none.
//! - Every admitted session ends exactly once, and no action names it afterwards.
//! - An input about something that is gone is ignored and counted ([`Broker::stale`]); no input panics.
//! - Every queue has a named bound.
//!
//! It sees tokens, never descriptors: a connection is a [`ConnectionId`], a worker is named by its session, memory by its
//! charge. What it does not do: parse configuration files, keep histograms, write logs, talk to people. Those are the
//! shell's, which gets [`Event`]s with every number it needs.
//!
//! | module | subject |
//! |---|---|
//! | [`config`] | what an administrator sets, and what makes no sense |
//! | [`contract`] | inputs, actions, events |
//! | [`admission`] | which tenant a connection is |
//! | [`ledger`] | what is pinned for whom |
//! | `machine` | the state machine: dispatch, sessions, charges |
//! | `lessor` | one partition: its scheduler, and who is in it |
//! | `lease` | who has a partition, and how it is taken away |
//! | `place` | which partition of which device a session runs in |
//! | [`admin`] | what administrators ask and change |

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod admin;
pub mod admission;
pub mod config;
pub mod contract;
mod lease;
pub mod ledger;
mod lessor;
mod machine;
mod place;

pub use admin::{
    AdminCommand, AdminError, AdminReply, DeviceChange, DeviceStatus, PartitionStatus, SessionStatus, Status,
    TenantChange, TenantStatus,
};
pub use admission::Peer;
pub use config::{
    Adaptive, Config, ConfigError, DeviceConfig, GroupConfig, GroupName, MatchRule, PartitionConfig, PartitionName,
    Placement, SLICE_MAX, SLICE_MIN, ShareRule, TenantConfig, Unknown,
};
pub use contract::{Action, AdminToken, ConnectionId, Event, GateView, Input, LeaseSpan, SwitchParts};
pub use lease::{SLICE_GRACE, START_PATIENCE, STOP_CLAIM_MAX};
pub use ledger::{Denied, Grant, Joined, Ledger, Usage};
pub use machine::{Broker, Phase};

/// Most actions one input can cause: a few for every session (a shutdown stops them all, each with an order and an event) and
/// some for itself. A shell that drains the queue after each input never sees more.
pub const fn actions_per_input_max(sessions: usize) -> usize {
    16 + 8 * sessions
}
