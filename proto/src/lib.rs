//! What two Wavegate processes must agree on: messages, limits, and the layouts of shared memory.
//!
//! Promise: decoding is total. Whatever bytes a peer sends, the answer is a checked value or a [`Violation`] that says
//! what was wrong; nothing here panics, allocates, waits or looks at a clock. What a peer tells us is a claim until
//! one function in this crate has checked it (`ClaimedRange` becomes [`BufferRange`], a slot count becomes
//! [`RingSlots`]).
//!
//! The crate only describes. It owns no memory and no descriptor: offsets into shared objects are constants, and the
//! transitions of words that two processes fight over are pure functions from the old word to the new one, so that the
//! process which maps the memory writes a compare-and-swap loop of one line and the protocol can be model-checked.
//!
//! | module | subject |
//! |---|---|
//! | [`ids`], [`limits`], [`text`] | names, units and bounds |
//! | [`wire`], [`message`], [`violation`] | packets on the three `SOCK_SEQPACKET` connections |
//! | [`range`] | claims of a peer and what they become |
//! | [`aql`], [`queue`], [`signal`] | the data path: packets, rings, signals |
//! | [`wake`] | how one process wakes another through a 32-bit word, and when it need not |
//! | [`session`] | the page a tenant shares with its worker |
//! | [`gate`], [`histogram`] | the object a worker shares with the broker: lease, stamps, counters, distributions |
//!
//! `docs/protocol.md` is the same contract in prose; a test of this crate keeps its tables true.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod aql;
pub mod gate;
pub mod histogram;
pub mod ids;
pub mod limits;
pub mod message;
pub mod queue;
pub mod range;
pub mod session;
pub mod signal;
pub mod text;
pub mod violation;
pub mod wake;
pub mod wire;

pub use ids::{
    BufferId, Bytes, ChargeId, CodeId, DeviceAddress, DeviceGeneration, Instant, LeaseGeneration, Nanos, PartitionId,
    QueueId, RequestId, SessionId, ShareId, TenantName,
};
pub use range::{BufferRange, ClaimedRange, RingSlots};
pub use violation::Violation;
