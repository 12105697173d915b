//! What a daemon's loop waits for: readiness of descriptors, eventfds, timers and signals.
//!
//! Promises: all of these are close-on-exec and non-blocking; draining one that has nothing is not an error; timers
//! fire by CLOCK_MONOTONIC at or after their [`Deadline`], never before.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::event::{EventfdFlags, epoll};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

pub use rustix::event::epoll::EventFlags as Interest;
pub use rustix::process::Signal;

use crate::clock::{Deadline, timespec_of_ns};
use crate::error::{CallFailed, During, cvt};

/// At most this many ready descriptors come out of one [`Poller::wait`]; the rest come next time.
pub const READY_MAX: usize = 64;

/// One descriptor that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// What the caller named the descriptor when adding it.
    pub token: u64,
    /// What it is ready for. Errors and hang-ups (`ERR`, `HUP`, `RDHUP`) are reported unasked.
    pub what: Interest,
}

/// An epoll set (epoll(7)). Level-triggered unless `Interest::ET` is asked for.
#[derive(Debug)]
pub struct Poller(OwnedFd);

impl Poller {
    /// Creates an empty set.
    pub fn new() -> Result<Self, CallFailed> {
        Ok(Self(epoll::create(epoll::CreateFlags::CLOEXEC).during("epoll_create1", "create an epoll set")?))
    }

    /// Adds a descriptor under a name of the caller's choice.
    ///
    /// Remove it before closing it if the open file lives on elsewhere, or it goes on reporting (epoll(7), Q6).
    pub fn add(&self, fd: impl AsFd, token: u64, what: Interest) -> Result<(), CallFailed> {
        epoll::add(&self.0, fd, epoll::EventData::new_u64(token), what).during("epoll_ctl", "watch a descriptor")
    }

    /// Changes what a descriptor is watched for.
    pub fn change(&self, fd: impl AsFd, token: u64, what: Interest) -> Result<(), CallFailed> {
        epoll::modify(&self.0, fd, epoll::EventData::new_u64(token), what)
            .during("epoll_ctl", "change what a descriptor is watched for")
    }

    /// Removes a descriptor.
    pub fn remove(&self, fd: impl AsFd) -> Result<(), CallFailed> {
        epoll::delete(&self.0, fd).during("epoll_ctl", "stop watching a descriptor")
    }

    /// Fills `ready` with what is ready, waiting for the first until the deadline. Empty on time-out and on a signal.
    pub fn wait(&self, ready: &mut Vec<Ready>, deadline: Deadline) -> Result<(), CallFailed> {
        ready.clear();
        let mut events = [const { MaybeUninit::uninit() }; READY_MAX];
        let left = deadline.remaining();
        match epoll::wait(&self.0, &mut events, left.as_ref()) {
            Ok((events, _)) => {
                ready.extend(events.iter().map(|e| Ready { token: e.data.u64(), what: e.flags }));
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(CallFailed { purpose: "wait for events", call: "epoll_pwait2", errno }),
        }
    }
}

/// A counter that makes a descriptor readable (eventfd(2)).
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// Creates one with the count zero: not readable.
    pub fn new() -> Result<Self, CallFailed> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(rustix::event::eventfd(0, flags).during("eventfd2", "create an eventfd")?))
    }

    /// Takes over a descriptor that our own side created as an eventfd and handed on.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Adds one, which makes it readable. A full counter is readable already and stays as it is.
    pub fn signal(&self) -> Result<(), CallFailed> {
        match rustix::io::write(&self.0, &1u64.to_ne_bytes()) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(CallFailed { purpose: "signal an eventfd", call: "write", errno }),
        }
    }

    /// Takes the count, which makes it unreadable; zero if nobody signalled.
    pub fn drain(&self) -> Result<u64, CallFailed> {
        read_count(&self.0)
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A descriptor that becomes readable at a point in time (timerfd_create(2)).
#[derive(Debug)]
pub struct Timer(OwnedFd);

impl Timer {
    /// Creates a timer that is not set.
    pub fn new() -> Result<Self, CallFailed> {
        let fd =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK);
        Ok(Self(fd.during("timerfd_create", "create a timer")?))
    }

    /// Sets the timer to one point in time, replacing the last one; [`Deadline::NEVER`] stops it.
    pub fn set(&self, deadline: Deadline) -> Result<(), CallFailed> {
        // Zero would stop the timer instead of firing it at once.
        let at = deadline.ns().map_or(0, |ns| ns.max(1));
        let new = Itimerspec { it_interval: timespec_of_ns(0), it_value: timespec_of_ns(at) };
        rustix::time::timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &new)
            .map(|_old| ())
            .during("timerfd_settime", "set a timer")
    }

    /// Takes the expiry, which makes it unreadable; returns whether the timer had fired.
    pub fn drain(&self) -> Result<bool, CallFailed> {
        Ok(read_count(&self.0)? > 0)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn read_count(fd: &OwnedFd) -> Result<u64, CallFailed> {
    let mut count = [0; 8];
    match rustix::io::read(fd, &mut count) {
        Ok(_) => Ok(u64::from_ne_bytes(count)),
        Err(Errno::AGAIN) => Ok(0),
        Err(errno) => Err(CallFailed { purpose: "read a counter", call: "read", errno }),
    }
}

/// Signals that arrive as reads instead of as interruptions (signalfd(2)).
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks `signals` for this thread and the threads it will create, and collects them in a descriptor.
    ///
    /// Call it in `main` before any thread exists: a thread without the block would take the signal's default action,
    /// which for most ends the process. Children started by [`crate::process`] begin with nothing blocked.
    pub fn collect(signals: &[Signal]) -> Result<Self, CallFailed> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the whole set.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for signal in signals {
            // SAFETY: a valid set; a number the C library refuses leaves it unchanged.
            unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) };
        }
        // SAFETY: a valid set, and no old set wanted.
        let blocked = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if blocked != 0 {
            let errno = Errno::from_raw_os_error(blocked);
            return Err(CallFailed { purpose: "block signals", call: "pthread_sigmask", errno });
        }
        // SAFETY: a valid set; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        cvt(fd.into()).during("signalfd", "collect signals")?;
        // SAFETY: just created, and owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Takes the next signal that has arrived, if any.
    pub fn next(&self) -> Result<Option<Signal>, CallFailed> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut info) {
            // `ssi_signo` is the first member.
            Ok(_) => Ok(Signal::from_named_raw(i32::from_ne_bytes([info[0], info[1], info[2], info[3]]))),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(CallFailed { purpose: "read a signal", call: "read", errno }),
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Returns whether the other end of a socket or pipe is gone, or a pidfd's process has ended, without waiting.
pub fn is_readable_now(fd: impl AsFd) -> Result<bool, CallFailed> {
    let mut poll = libc::pollfd { fd: fd.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    Ok(cvt(ready.into()).during("poll", "look at a descriptor")? > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::now_ns;

    #[test]
    fn the_poller_reports_by_name_who_is_ready() {
        let poller = Poller::new().unwrap();
        let (first, second) = (EventFd::new().unwrap(), EventFd::new().unwrap());
        poller.add(&first, 1, Interest::IN).unwrap();
        poller.add(&second, u64::MAX, Interest::IN).unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready, Deadline::at_ns(0)).unwrap();
        assert!(ready.is_empty());
        second.signal().unwrap();
        second.signal().unwrap();
        poller.wait(&mut ready, Deadline::NEVER).unwrap();
        assert_eq!(ready, [Ready { token: u64::MAX, what: Interest::IN }]);
        assert_eq!((second.drain().unwrap(), second.drain().unwrap()), (2, 0));
        poller.remove(&second).unwrap();
        second.signal().unwrap();
        poller.wait(&mut ready, Deadline::at_ns(0)).unwrap();
        assert!(ready.is_empty());
    }

    #[test]
    fn a_timer_fires_after_its_deadline_and_can_be_stopped() {
        let (poller, timer) = (Poller::new().unwrap(), Timer::new().unwrap());
        poller.add(&timer, 3, Interest::IN).unwrap();
        let at = now_ns() + 5_000_000;
        timer.set(Deadline::at_ns(at)).unwrap();
        assert!(!timer.drain().unwrap());
        let mut ready = Vec::new();
        poller.wait(&mut ready, Deadline::NEVER).unwrap();
        assert!(now_ns() >= at && ready[0].token == 3);
        assert!(timer.drain().unwrap() && !timer.drain().unwrap());

        timer.set(Deadline::at_ns(0)).unwrap();
        poller.wait(&mut ready, Deadline::after(Duration::from_secs(10))).unwrap();
        assert_eq!(ready.len(), 1, "a past deadline fires at once");
        timer.set(Deadline::at_ns(now_ns() + 1_000_000)).unwrap();
        timer.set(Deadline::NEVER).unwrap();
        poller.wait(&mut ready, Deadline::after(Duration::from_millis(5))).unwrap();
        assert!(ready.is_empty());
    }

    #[test]
    fn signals_arrive_as_reads() {
        // In a thread of its own, so that the block does not leak into other tests.
        std::thread::spawn(|| {
            let signals = Signals::collect(&[Signal::USR1]).unwrap();
            assert_eq!(signals.next().unwrap(), None);
            // SAFETY: sends a blocked signal to this very thread.
            unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
            assert!(is_readable_now(&signals).unwrap());
            assert_eq!(signals.next().unwrap(), Some(Signal::USR1));
            assert_eq!(signals.next().unwrap(), None);
        })
        .join()
        .unwrap();
    }
}
