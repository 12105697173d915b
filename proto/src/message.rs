//! Everything processes say to each other, one enum per direction.
//!
//! | connection | enum | said by |
//! |---|---|---|
//! | tenant socket, first packet | [`Opening`] | tenant to broker, exactly once |
//! | tenant socket | [`TenantRequest`] | tenant to its worker |
//! | tenant socket | [`TenantAnswer`] | broker (refusal, last word) or worker to tenant |
//! | worker socket | [`WorkerReport`] | worker to broker |
//! | worker socket | [`WorkerOrder`] | broker to worker |
//!
//! The admin socket carries one JSON object per line in both directions; it belongs to the program that serves it, since
//! only people and scripts speak it and nothing on it is in a hurry.
//!
//! The tenant's socket has one writer at a time on our side: the broker until it hands the socket over with
//! [`worker::Start`], the worker from then on, and the broker again for one last [`tenant::Ending`] when the worker is
//! known to be dead. A connection that closes without an `Ending` therefore means that both are dead.

pub mod opening;
pub mod tenant;
pub mod worker;

mod shared;

pub use opening::Opening;
pub use shared::{ArenaRule, Capability, DenyCode, DeviceFacts, EndReason, Fault, FaultKind, RefuseCode};
pub use tenant::{TenantAnswer, TenantRequest};
pub use worker::{WorkerOrder, WorkerReport};
