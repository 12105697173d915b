//! Limits a process puts on itself or on a child before it looks at anything a stranger sent.
//!
//! Promises: each of these only takes rights away, and none can be taken back by what runs afterwards.
//!
//! A system-call filter and a file-system sandbox are other subjects and not here.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::error::{CallFailed, During};

/// A resource that setrlimit(2) bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The largest address space, in bytes.
    AddressSpaceBytes(u64),
    /// The largest core file, in bytes. A core file would hold what tenants computed.
    CoreBytes(u64),
    /// One more than the highest descriptor number.
    Descriptors(u64),
    /// The largest file that can be written, in bytes. Does not bound memory objects.
    FileBytes(u64),
    /// How many processes and threads the *user* may have; not enforced for root.
    Processes(u64),
}

impl Bound {
    /// Sets the soft and the hard limit of the calling process. Safe to call between fork and exec.
    pub fn apply(self) -> Result<(), CallFailed> {
        let (resource, limit) = match self {
            Self::AddressSpaceBytes(n) => (Resource::As, n),
            Self::CoreBytes(n) => (Resource::Core, n),
            Self::Descriptors(n) => (Resource::Nofile, n),
            Self::FileBytes(n) => (Resource::Fsize, n),
            Self::Processes(n) => (Resource::Nproc, n),
        };
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(resource, limit).during("setrlimit", "bound a resource")
    }
}

/// Returns how many descriptors this process may have, at most `wanted`.
pub fn descriptors(wanted: u64) -> u64 {
    rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX).min(wanted)
}

/// Gives up, for this thread and all it starts, the right to gain privileges by running a program (PR_SET_NO_NEW_PRIVS).
pub fn give_up_new_privileges() -> Result<(), CallFailed> {
    rustix::thread::set_no_new_privs(true).during("prctl(PR_SET_NO_NEW_PRIVS)", "give up gaining privileges")
}

/// Keeps other processes of the same user from tracing this one, reading its memory or its descriptors in /proc, and keeps it from
/// leaving a core file (PR_SET_DUMPABLE).
///
/// Running a program sets it back, so a worker calls this itself, first thing in `main`; a parent cannot do it for it.
pub fn become_undumpable() -> Result<(), CallFailed> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .during("prctl(PR_SET_DUMPABLE)", "forbid dumps of this process")
}
