//! Who is at the other end of a connection, as the kernel tells it.
//!
//! Promises: uid and gid are those of the process that connected (or created the pair), taken by the kernel at that moment
//! (SO_PEERCRED, unix(7)); nothing the peer says enters here. The cgroup path is read from /proc under the protection of a pidfd, so
//! that it never belongs to a later process with the same number.
//!
//! Left to the caller: the process that connected may have handed the socket on, and may be gone.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use thiserror::Error;

use crate::error::{CallFailed, During, cvt};
use crate::event::is_readable_now;
use crate::socket::Channel;

/// The longest `/proc/PID/cgroup` that is read, in bytes. A cgroup path is at most 4096 bytes long (PATH_MAX).
const CGROUP_FILE_MAX: u64 = 16 << 10;

/// `SO_PEERPIDFD` of asm-generic/socket.h, Linux 6.5.
const SO_PEERPIDFD: i32 = 77;

/// Why a peer could not be identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PeerError {
    /// The process that connected has ended.
    #[error("process {pid}, which connected, has ended; drop the connection")]
    Gone {
        /// Its former number.
        pid: u32,
    },
    /// The kernel refused.
    #[error(transparent)]
    Call(#[from] CallFailed),
}

/// The process that connected.
#[derive(Debug)]
pub struct Peer {
    /// Its number in our pid namespace.
    pub pid: u32,
    /// Its effective user at the time.
    pub uid: u32,
    /// Its effective group at the time.
    pub gid: u32,
    /// A handle to the process.
    pub handle: PidFd,
}

impl Peer {
    /// Identifies the other end of `channel`.
    pub fn of(channel: &Channel) -> Result<Self, PeerError> {
        let credentials =
            rustix::net::sockopt::socket_peercred(channel).during("getsockopt(SO_PEERCRED)", "identify a peer")?;
        let (uid, gid) = (credentials.uid.as_raw(), credentials.gid.as_raw());
        let pid = credentials.pid.as_raw_nonzero().get().unsigned_abs();
        let handle = match peer_pidfd(channel) {
            Ok(fd) => PidFd(fd),
            // Linux before 6.5. The number may by now belong to another process; that it has the same owner is all
            // such a kernel lets us check, and callers decide by owner.
            Err(Errno::NOPROTOOPT) => PidFd::open(pid)?.ok_or(PeerError::Gone { pid })?,
            Err(Errno::SRCH | Errno::INVAL | Errno::NODATA) => return Err(PeerError::Gone { pid }),
            Err(errno) => {
                let call = "getsockopt(SO_PEERPIDFD)";
                return Err(CallFailed { purpose: "get a handle to a peer", call, errno }.into());
            }
        };
        Ok(Self { pid, uid, gid, handle })
    }

    /// Returns the peer's path in the unified cgroup hierarchy, for example `/user.slice/user-1000.slice`, or `None` where
    /// there is no such hierarchy.
    pub fn cgroup(&self) -> Result<Option<String>, PeerError> {
        let path = cgroup_of(self.pid)?;
        // Still alive after reading: so the number was the peer's while we read.
        if self.handle.has_ended()? { Err(PeerError::Gone { pid: self.pid }) } else { Ok(path) }
    }
}

fn peer_pidfd(channel: &Channel) -> rustix::io::Result<OwnedFd> {
    let mut fd: i32 = -1;
    let mut len: libc::socklen_t = 4;
    // SAFETY: room for one descriptor number of the size stated.
    let answer = unsafe {
        libc::getsockopt(
            channel.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &raw mut len,
        )
    };
    cvt(answer.into())?;
    // SAFETY: the kernel has just created it for us (close-on-exec), and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads the unified cgroup path of a process (cgroups(7): the line that begins with `0::`).
fn cgroup_of(pid: u32) -> Result<Option<String>, PeerError> {
    let mut text = String::new();
    std::fs::File::open(format!("/proc/{pid}/cgroup"))
        .and_then(|file| file.take(CGROUP_FILE_MAX).read_to_string(&mut text))
        .map_err(|error| match Errno::from_io_error(&error).unwrap_or(Errno::INVAL) {
            Errno::NOENT | Errno::SRCH => PeerError::Gone { pid },
            errno => CallFailed { purpose: "read the cgroup of a process", call: "read", errno }.into(),
        })?;
    Ok(unified_path(&text))
}

fn unified_path(text: &str) -> Option<String> {
    // A cgroup whose directory has been removed is marked; for matching it is no path any more.
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    (!path.ends_with(" (deleted)")).then(|| path.to_owned())
}

/// A handle to a process: never means another one, and becomes readable when it ends (pidfd_open(2)).
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process that has the number `pid` now, or `None` if there is none.
    pub fn open(pid: u32) -> Result<Option<Self>, CallFailed> {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self(fd))),
            Err(Errno::SRCH) => Ok(None),
            Err(errno) => Err(CallFailed { purpose: "get a handle to a process", call: "pidfd_open", errno }),
        }
    }

    /// Returns whether the process has ended, reaped or not.
    pub fn has_ended(&self) -> Result<bool, CallFailed> {
        is_readable_now(&self.0)
    }

    /// Sends a signal; returns whether the process was still there to get it.
    pub fn signal(&self, signal: Signal) -> Result<bool, CallFailed> {
        match rustix::process::pidfd_send_signal(&self.0, signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(CallFailed { purpose: "signal a process", call: "pidfd_send_signal", errno }),
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_who_connected() {
        let (one, _other) = Channel::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.pid, std::process::id());
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid, rustix::process::getegid().as_raw());
        assert!(!peer.handle.has_ended().unwrap());
        assert_eq!(peer.cgroup().unwrap(), cgroup_of(std::process::id()).unwrap());
    }

    #[test]
    fn the_unified_line_is_found_among_others() {
        for (text, path) in [
            ("0::/user.slice/a.scope\n", Some("/user.slice/a.scope")),
            ("12:pids:/legacy\n1:name=systemd:/x\n0::/unified\n", Some("/unified")),
            ("0::/with:colon\n", Some("/with:colon")),
            ("0::/gone (deleted)\n", None),
            ("12:pids:/legacy\n", None),
            ("", None),
        ] {
            assert_eq!(unified_path(text).as_deref(), path, "{text:?}");
        }
    }

    #[test]
    fn a_handle_does_not_follow_the_number() {
        let mut command = std::process::Command::new("/proc/self/exe");
        let mut child = command.arg("--list").stdout(std::process::Stdio::null()).spawn().unwrap();
        let handle = PidFd::open(child.id()).unwrap().unwrap();
        child.wait().unwrap();
        assert!(handle.has_ended().unwrap());
        assert!(!handle.signal(Signal::KILL).unwrap());
        assert!(PidFd::open(0).unwrap().is_none() && PidFd::open(u32::MAX).unwrap().is_none());
    }
}
