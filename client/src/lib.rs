//! The tenant's side of Wavegate in safe Rust: connect, allocate, load code, submit packets, wait for signals.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (elf, arguments) = (vec![0u8], vec![0u8]);
//! use client::{Client, Dispatch};
//!
//! let client = Client::connect("/run/wavegate/tenant.sock".as_ref(), None)?;
//! let kernel = client.load(&elf)?.kernel("vector_add")?;
//! let kernarg = client.kernarg(kernel.kernarg_bytes.max(1).into())?;
//! kernarg.write(0, &arguments)?;
//! let (queue, done) = (client.queue(64)?, client.signal(1)?);
//! queue.dispatch(&Dispatch::of(&kernel, [4096, 1, 1], [64, 1, 1], &kernarg).completing(&done))?;
//! queue.wait(&done, sys::clock::Deadline::NEVER)?;
//! # Ok(()) }
//! ```
//!
//! Promises:
//! - a pointer means the same here and on the device: [`Buffer::address`] is where kernels and this process see it, or where nothing of
//!   this process is if only kernels do;
//! - submitting a packet and waiting for a signal involve no socket, and no system call while both sides are awake;
//! - nothing waits for ever for somebody who is gone: every call that waits ends with [`End`], which says whether the worker
//!   died, the broker died, an administrator ended the session, or the tenant's own program did;
//! - dropping the last handle ends the session and gives everything back.
//!
//! Everything may be used from several threads. Left to the caller: the layout of kernel arguments, and not to free memory
//! or drop signals that packets in flight still use; that hurts nobody else.
//!
//! **fork(2)**: a child shares the mappings and the socket, but it is not the tenant: its calls answer [`ClientError::Forked`],
//! and dropping its handles ends nothing. The session ends with the process that connected, which the broker watches, and not when the
//! last copy of the socket is closed.

#![forbid(unsafe_code)]

mod code;
mod connection;
mod copies;
pub mod environment;
mod error;
mod memory;
mod placed;
mod places;
mod queue;
mod session;
mod signal;
mod signal_sharing;
mod together;

pub use code::{Code, Kernel, Symbol};
pub use copies::Staging;
pub use error::{ClientError, ConnectError, Denial, End, WaitError};
pub use memory::Buffer;
pub use placed::PlacedAlias;
pub use places::{Alias, Object, Reservation};
pub use queue::{Dispatch, Queue, QueueType, READ_INDEX, WRITE_INDEX};
pub use session::Client;
pub use signal::{Condition, Signal, SignalRef};
pub use signal_sharing::SharedSignal;
pub use together::Mirror;

pub use proto::ShareId;
pub use proto::message::tenant::{BufferKind, DeviceName, MemoryUse, SymbolKind};
pub use proto::message::tenant::{CuMask, QueuePriority};
pub use proto::message::{DenyCode, DeviceFacts, EndReason, Fault, FaultKind, RefuseCode};
pub use sys::clock::Deadline;
