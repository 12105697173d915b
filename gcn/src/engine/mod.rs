//! One session's machine: its queues, the work-groups that are resident on the compute units, and the means to stop them anywhere.
//!
//! ```text
//!   ring ──► packets ──► Dispatch ──► work-groups ──► waves on compute units ──► completion signal
//!            aql, queue   launch        cu              run                        queue
//! ```
//!
//! A [`Context`] owns everything but the two things that are not the session's: the compute units' storage
//! ([`CuHardware`](crate::hardware::CuHardware)), which is lent for the time of a call, and memory, which is reached
//! through [`Memory`](crate::memory::Memory). Between calls of [`Context::run`] a context is plain data: it can be suspended
//! (its registers and LDS copied out), left alone for as long as others run on the same hardware, and resumed.

use crate::aql::PACKET_BYTES;

mod code;
mod context;
mod crew;
mod cu;
mod launch;
mod queue;
mod run;
#[cfg(test)]
mod tests;
mod wave;

pub use context::{Config, Context, DispatchSize, Outcome, RunReport};
pub use cu::ContextSize;
pub use launch::{LaunchError, MAX_WORKGROUP_ITEMS};
pub use queue::{MAX_IN_FLIGHT, QueueError, QueueId, QueueSpec};

/// What a context needs from whoever runs it.
pub trait Host: Sync {
    /// Returns nanoseconds on the clock that signal timestamps are taken from.
    fn now(&self) -> u64;

    /// Whether to stop at the next instruction boundary. Asked every few hundred instructions of a wave: must be cheap.
    fn should_stop(&self) -> bool;

    /// Returns the address of private-memory backing of at least `bytes`, the same for the session until it asks for more; `None`
    /// when it may not have that much.
    fn scratch(&self, bytes: u64) -> Option<u64>;

    /// A signal's value was changed by the packet processor or its mailbox was written: wake who waits for it.
    fn signal_changed(&self, signal: u64);

    /// A kernel asked for the host's attention (`s_sendmsg` interrupt): wake whoever polls memory that it wrote.
    fn interrupt(&self);

    /// A queue met an error and runs no further packets. What it had in flight is over.
    fn queue_failed(&self, queue: QueueId, error: &QueueError);

    /// Carries out a vendor packet whose format this crate does not know, when all packets before it are done. Returns whether it did;
    /// a packet that nobody carries out ends its queue. By default nobody does.
    fn vendor_packet(&self, _packet: &[u8; PACKET_BYTES]) -> bool {
        false
    }

    /// A packet was consumed and has begun; `dispatch` says whether it runs a kernel. For counts and times: by default nobody wants to know.
    fn packet_began(&self, _queue: QueueId, _packet: u64, _dispatch: bool) {}

    /// A kernel has ended and its completion signal was decremented. Called on the thread of [`Context::run`], as
    /// [`packet_began`](Self::packet_began) is.
    fn dispatch_ended(&self, _queue: QueueId, _packet: u64) {}
}
