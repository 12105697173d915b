//! The one shape of "the kernel said no" that the errors of every module carry.
//!
//! Promise: the text names the purpose, the system call and the kernel's reason, and, where people usually can do
//! something about it, says what.

use std::fmt;

use rustix::io::Errno;

/// A system call that failed: what we wanted, which call, and why it said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallFailed {
    /// What the call was for, as a phrase that follows "cannot".
    pub purpose: &'static str,
    /// The name of the system call.
    pub call: &'static str,
    /// The kernel's answer.
    pub errno: Errno,
}

impl CallFailed {
    /// Returns the kernel's answer as the number from `errno.h`.
    #[must_use]
    pub fn raw_os_error(&self) -> i32 {
        self.errno.raw_os_error()
    }

    /// Says what usually helps against this answer.
    fn what_next(&self) -> Option<&'static str> {
        Some(match (self.call, self.errno) {
            (_, Errno::MFILE) => "raise the descriptor limit of this process (`ulimit -n`, LimitNOFILE=)",
            (_, Errno::NFILE) => "raise the system-wide descriptor limit (sysctl fs.file-max)",
            ("mmap", Errno::NOMEM) => "free memory, or raise vm.max_map_count if this process holds many mappings",
            ("fork", Errno::AGAIN) => "raise the process limit (`ulimit -u`, TasksMax=, pids.max of the cgroup)",
            (_, Errno::NOMEM) => "free memory or raise the memory limit of the cgroup",
            (_, Errno::NOSYS) => "use a kernel of version 5.11 or newer without a filter on this call",
            ("bind" | "connect", Errno::ACCESS) => "check the owner and mode of the socket and of its directory",
            ("bind" | "connect", Errno::NOENT) => "check that the directory exists and that the daemon runs",
            ("connect", Errno::CONNREFUSED) => "start the daemon: the socket file is left over from one that ended",
            _ => return None,
        })
    }
}

impl fmt::Display for CallFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}: {}", self.purpose, self.call, std::io::Error::from(self.errno))?;
        self.what_next().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for CallFailed {}

/// Attaches the call and its purpose to the kernel's bare answer.
pub(crate) trait During<T> {
    /// Names the call and what it was for.
    fn during(self, call: &'static str, purpose: &'static str) -> Result<T, CallFailed>;
}

impl<T> During<T> for rustix::io::Result<T> {
    fn during(self, call: &'static str, purpose: &'static str) -> Result<T, CallFailed> {
        self.map_err(|errno| CallFailed { purpose, call, errno })
    }
}

/// Turns the `-1` of a C call into the kernel's answer.
pub(crate) fn cvt(returned: i64) -> rustix::io::Result<i64> {
    if returned >= 0 {
        return Ok(returned);
    }
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    Err(Errno::from_raw_os_error(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_says_what_why_and_what_next() {
        let error = CallFailed { purpose: "create a memory object", call: "memfd_create", errno: Errno::MFILE };
        let text = error.to_string();
        assert!(text.starts_with("cannot create a memory object: memfd_create: Too many open files"), "{text}");
        assert!(text.ends_with("(`ulimit -n`, LimitNOFILE=)"), "{text}");
    }
}
