//! Children that get exactly what they are given, and end when we do.
//!
//! Promises:
//! - a child has descriptors 0, 1, 2 and the ones passed, at [`FIRST_PASSED_FD`] upwards in the order passed, and no others:
//!   not even those that some other part of the parent forgot to mark close-on-exec;
//! - it has exactly the environment and arguments given, no blocked signals, and cannot gain privileges;
//! - when [`Spawn::spawn`] returns a [`Child`], the program runs; every failure before that is an error that names the step;
//! - a dropped `Child` is killed and reaped: no worker outlives the value that stands for it, and no zombie stays.
//!
//! Beware: with [`Spawn::end_with_parent`] the kernel watches the *thread* that spawned, not the process (prctl(2),
//! PR_SET_PDEATHSIG). A child spawned from a thread that ends, ends with it. Spawn from a thread that lives as long as the daemon.

use std::ffi::{CString, OsStr};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};
use thiserror::Error;

use crate::error::{CallFailed, During, cvt};
use crate::fence::Bound;
use crate::peer::PidFd;

mod child;

/// The number of the first descriptor passed to a child.
pub const FIRST_PASSED_FD: RawFd = 3;

/// At most this many descriptors are passed to a child.
pub const PASSED_FDS_MAX: usize = 64;

/// Tells the child how many descriptors were passed.
const COUNT_VARIABLE: &str = "SYS_PASSED_FDS";

/// Why no child was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SpawnError {
    /// A name, argument or variable contains a zero byte.
    #[error("an argument or environment variable contains a zero byte; remove it")]
    ZeroByte,
    /// More descriptors than [`PASSED_FDS_MAX`].
    #[error("{fds} descriptors are too many for a child; pass at most {PASSED_FDS_MAX}")]
    TooManyFds {
        /// How many were to be passed.
        fds: usize,
    },
    /// The kernel refused, in the parent or in the child before its program began.
    #[error(transparent)]
    Call(#[from] CallFailed),
    /// The parent (or the thread that spawned) ended before the child could ask to be told.
    #[error("the parent ended while the child was starting; nothing is left to do")]
    ParentGone,
}

/// A user and group to run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// User for the real, effective and saved id.
    pub uid: u32,
    /// Group likewise; supplementary groups are given up.
    pub gid: u32,
}

/// A child to be.
#[derive(Debug)]
pub struct Spawn<'fd> {
    program: CString,
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    /// Standard input, output, error. `None` for input means /dev/null, for the others ours.
    standard: [Option<BorrowedFd<'fd>>; 3],
    passed: Vec<BorrowedFd<'fd>>,
    bounds: Vec<Bound>,
    run_as: Option<RunAs>,
    end_with_parent: bool,
}

impl<'fd> Spawn<'fd> {
    /// Starts this very program again under another name: `name` is what `ps` shows.
    ///
    /// It runs the file we were started from, even if that was replaced or deleted meanwhile.
    #[must_use]
    pub fn this_program(name: &str) -> Self {
        Self::program_file(c"/proc/self/exe".to_owned(), name)
    }

    /// Starts the program in the file `path` (no search in PATH) under the name `name`.
    pub fn program(path: &OsStr, name: &str) -> Result<Self, SpawnError> {
        Ok(Self::program_file(CString::new(path.as_bytes()).map_err(|_| SpawnError::ZeroByte)?, name))
    }

    fn program_file(program: CString, name: &str) -> Self {
        Self {
            program,
            arguments: vec![name.as_bytes().to_vec()],
            environment: Vec::new(),
            standard: [None; 3],
            passed: Vec::new(),
            bounds: Vec::new(),
            run_as: None,
            end_with_parent: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().as_bytes().to_vec());
        self
    }

    /// Adds a variable to the environment, which is otherwise empty.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push([name.as_bytes(), b"=", value.as_ref().as_bytes()].concat());
        self
    }

    /// Passes a descriptor; the first becomes number [`FIRST_PASSED_FD`], the next one more. The child gets a copy.
    #[must_use]
    pub fn pass(mut self, fd: BorrowedFd<'fd>) -> Self {
        self.passed.push(fd);
        self
    }

    /// Uses `fd` as standard input instead of /dev/null.
    #[must_use]
    pub fn stdin(mut self, fd: BorrowedFd<'fd>) -> Self {
        self.standard[0] = Some(fd);
        self
    }

    /// Uses `fd` as standard output instead of ours.
    #[must_use]
    pub fn stdout(mut self, fd: BorrowedFd<'fd>) -> Self {
        self.standard[1] = Some(fd);
        self
    }

    /// Uses `fd` as standard error instead of ours.
    #[must_use]
    pub fn stderr(mut self, fd: BorrowedFd<'fd>) -> Self {
        self.standard[2] = Some(fd);
        self
    }

    /// Bounds a resource of the child.
    #[must_use]
    pub fn bound(mut self, bound: Bound) -> Self {
        self.bounds.push(bound);
        self
    }

    /// Runs the child as another user, which only root may ask for.
    #[must_use]
    pub fn run_as(mut self, user: RunAs) -> Self {
        self.run_as = Some(user);
        self
    }

    /// Kills the child when the calling *thread* ends (see the head of this module).
    #[must_use]
    pub fn end_with_parent(mut self) -> Self {
        self.end_with_parent = true;
        self
    }

    /// Starts the child and waits until its program runs.
    pub fn spawn(self) -> Result<Child, SpawnError> {
        child::spawn(self)
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It ended itself with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Returns whether it ended itself with code zero.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// A running child. Killed and reaped when dropped; readable (as a descriptor) when it has ended.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    handle: PidFd,
    exit: Option<Exit>,
}

impl Child {
    /// Returns its process number, which stays its own until it is reaped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the handle, for instance to watch it in a loop.
    #[must_use]
    pub fn handle(&self) -> &PidFd {
        &self.handle
    }

    /// Kills it. No error if it has ended already.
    pub fn kill(&self) -> Result<(), CallFailed> {
        if self.exit.is_none() {
            self.handle.signal(Signal::KILL)?;
        }
        Ok(())
    }

    /// Reaps it if it has ended.
    pub fn try_wait(&mut self) -> Result<Option<Exit>, CallFailed> {
        self.reap(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Waits until it has ended, and reaps it.
    pub fn wait(&mut self) -> Result<Exit, CallFailed> {
        loop {
            if let Some(exit) = self.reap(WaitIdOptions::EXITED)? {
                return Ok(exit);
            }
        }
    }

    /// Stops watching over the child: it lives on, and is reaped by whoever becomes its parent.
    pub fn detach(self) -> PidFd {
        let this = ManuallyDrop::new(self);
        // SAFETY: read once from a value that is never used or dropped afterwards; the other fields own nothing.
        unsafe { std::ptr::read(&raw const this.handle) }
    }

    fn reap(&mut self, options: WaitIdOptions) -> Result<Option<Exit>, CallFailed> {
        if self.exit.is_none() {
            self.exit = match rustix::process::waitid(WaitId::PidFd(self.handle.as_fd()), options) {
                Ok(status) => status
                    .and_then(|s| s.exit_status().map(Exit::Code).or_else(|| s.terminating_signal().map(Exit::Signal))),
                Err(Errno::INTR) => None,
                Err(errno) => return Err(CallFailed { purpose: "wait for a child", call: "waitid", errno }),
            };
        }
        Ok(self.exit)
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Neither can fail for a child of ours that has not been reaped; and if one did, there is no one to tell.
        if self.kill().is_ok() {
            let _ = self.wait();
        }
    }
}

/// Why the descriptors passed to this process could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TakeError {
    /// This process was not started by [`Spawn`], or not with that many descriptors.
    #[error("this process was not given {expected} descriptors; it is meant to be started by its daemon, not by hand")]
    NotGiven {
        /// How many were expected.
        expected: usize,
    },
    /// They were taken before.
    #[error("the descriptors passed to this process are taken already; take them once, first thing in main")]
    TakenTwice,
    /// A number that should be open is not.
    #[error(transparent)]
    Call(#[from] CallFailed),
}

/// Takes the `expected` descriptors our parent passed, in its order. Call it once, first thing in `main`, before anything opens
/// descriptors of its own.
pub fn take_passed_fds(expected: usize) -> Result<Vec<OwnedFd>, TakeError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);

    let given = std::env::var(COUNT_VARIABLE).ok().and_then(|count| count.parse().ok());
    if given != Some(expected) || expected > PASSED_FDS_MAX {
        return Err(TakeError::NotGiven { expected });
    }
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(TakeError::TakenTwice);
    }
    (FIRST_PASSED_FD..).take(expected).map(take_one).collect()
}

fn take_one(number: RawFd) -> Result<OwnedFd, TakeError> {
    // SAFETY: no pointers involved; a number that is not open is an error. Also keeps the copy from our own children.
    let answer = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    cvt(answer.into()).during("fcntl(F_SETFD)", "take a descriptor passed by the parent")?;
    // SAFETY: open, put there by our parent for us, and taken only once (checked by the caller).
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
