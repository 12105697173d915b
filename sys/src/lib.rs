//! Safe wrappers over the operating system: sockets, memory, waiting, processes.
//!
//! Promise: everything here is safe to call with any argument, whoever sits at the other end of the socket or of the
//! shared memory. Wrong input is an error that names the operation, the reason and what to do next; it is never a panic.
//!
//! Law of this room: `unsafe` lives here, a few lines at a time, each block with its reason, behind a safe function with
//! a test. The room knows no other room: it has no idea what a tenant, a lease or a packet is.
//!
//! | module | subject |
//! |---|---|
//! | [`memfd`] | sealed memory objects: created by one process, checked by the one that receives them |
//! | [`mapping`] | one memory object in our address space, read and written although others write to it too |
//! | [`hardware`] | memory that is ours alone for now, as `&mut [T]` |
//! | [`arena`], [`window`] | a reserved range of addresses and the mappings placed inside it |
//! | [`futex`], [`wake`] | sleeping on a shared word, and the protocol that saves the wake call |
//! | [`event`] | epoll, eventfd, timerfd, signalfd for a daemon loop |
//! | [`socket`], [`listener`], [`peer`] | messages with descriptors, and who sent them |
//! | [`process`], [`fence`] | children that inherit exactly what they are given, and limits on ourselves |
//! | [`processor`] | where a thread runs |
//! | [`namespace`] | a view of the file system for one program |
//! | [`clock`] | CLOCK_MONOTONIC in nanoseconds, deadlines |
//!
//! Linux 5.11 is enough for everything; what newer kernels add (`futex_waitv`, `SO_PEERPIDFD`, `MFD_NOEXEC_SEAL`)
//! is used where present and replaced where not.

#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("wavegate-sys is written for 64-bit Linux: memfd seals, futexes and pidfds have no portable form");

pub mod arena;
pub mod clock;
pub mod error;
pub mod event;
pub mod fence;
pub mod futex;
pub mod hardware;
pub mod listener;
pub mod mapping;
pub mod memfd;
pub mod namespace;
pub mod peer;
pub mod process;
pub mod processor;
mod ranges;
pub mod socket;
mod touch;
pub mod wake;
pub mod window;

pub use error::CallFailed;

/// Rounds `bytes` up to whole pages, or `None` if that does not fit.
#[must_use]
pub fn round_up_to_page(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(page_size())
}

/// Returns the size of a page in bytes; a power of two.
#[must_use]
pub fn page_size() -> usize {
    rustix::param::page_size()
}
