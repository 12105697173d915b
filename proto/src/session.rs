//! The session page: what a tenant and its worker share besides queues and buffers.
//!
//! The broker creates it, never maps it, and gives it to the worker with `Start` and to the tenant with `Welcome`.
//!
//! ```text
//! 0     4 bytes   wake word of the worker: every doorbell of the session rings it after its queue's
//! 64    4 bytes   0, or the number of an EndReason once the session is over; written by the worker
//! 68    4 bytes   wake word of tenant threads that wait for nothing but the end
//! 128   4 bytes   wake word of tenant threads that wait for any signal: every change of a signal rings it after the signal's own
//! ```
//!
//! The end word is there for threads that spin on a signal that will never come. It is a courtesy: a killed worker cannot write
//! it, so the truth about the end is the closed socket.

use crate::ids::Bytes;
use crate::limits::PAGE_BYTES;

/// Size of the page in bytes.
pub const BYTES: Bytes = Bytes(PAGE_BYTES);
/// Offset of the worker's wake word (u32, atomic).
pub const WORKER_WAKE: usize = 0;
/// Offset of the end word (u32, atomic); on a cache line of its own, since waiters read it often.
pub const END: usize = 64;
/// Offset of the wake word of those who wait for the end (u32, atomic).
pub const END_WAKE: usize = 68;
/// Offset of the wake word of those who wait for any signal (u32, atomic); on a cache line of its own, since every signal rings it.
pub const EVENT_WAKE: usize = 128;
