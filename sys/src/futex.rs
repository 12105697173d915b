//! Sleeping on a 32-bit word that several processes share.
//!
//! Promises:
//! - a wait returns at once if the word is not what the caller saw, so a change between looking and sleeping is not lost;
//! - a wait may return for no reason ([`Woken::Look`]); the caller looks at its own condition again, always;
//! - the other side can wake us too often or never, and change the word at will. It can do nothing else to us. So
//!   whoever waits for a process that may die gives a [`Deadline`].
//!
//! All futexes here are shared between processes (no FUTEX_PRIVATE_FLAG). See futex(2) and, for waiting on several
//! words, futex2 in the kernel's userspace-api documentation.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::thread::futex::{self, ClockId, Flags, Wait, WaitFlags, WaitvFlags};

use crate::clock::{Deadline, now_ns};
use crate::error::{CallFailed, During};

/// At most this many words can be waited for at once (FUTEX_WAITV_MAX of linux/futex.h).
pub const WORDS_MAX: usize = 128;

/// Where the kernel cannot wait for several words, the others are looked at this often, in nanoseconds.
const POLL_NS: u64 = 200_000;

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Woken, or the word had changed, or for no reason: look again.
    Look,
    /// The deadline passed.
    TimedOut,
}

/// Sleeps while `word` is `expected`, until somebody wakes it or the deadline passes.
pub fn wait(word: &AtomicU32, expected: u32, deadline: Deadline) -> Result<Woken, CallFailed> {
    // WAIT_BITSET takes an absolute CLOCK_MONOTONIC time where plain WAIT takes a span.
    let until = deadline.absolute();
    woken(futex::wait_bitset(word, Flags::empty(), expected, until.as_ref(), NonZeroU32::MAX), "futex")
}

/// Sleeps while every word has the value beside it, until one of them is woken or the deadline passes.
///
/// Takes 1 to [`WORDS_MAX`] words. On kernels before 5.16 this sleeps on the first word and looks at the others every
/// 200 us.
pub fn wait_any(words: &[(&AtomicU32, u32)], deadline: Deadline) -> Result<Woken, CallFailed> {
    static WAITV_IS_MISSING: AtomicBool = AtomicBool::new(false);

    if words.is_empty() || words.len() > WORDS_MAX {
        return Err(CallFailed { purpose: "wait for shared words", call: "futex_waitv", errno: Errno::INVAL });
    }
    if WAITV_IS_MISSING.load(Ordering::Relaxed) {
        return poll_any(words, deadline);
    }
    let mut waits = [Wait::new(); WORDS_MAX];
    for (wait, (word, expected)) in waits.iter_mut().zip(words) {
        wait.val = u64::from(*expected);
        wait.uaddr = word.as_ptr().cast::<std::ffi::c_void>().into();
        wait.flags = WaitFlags::SIZE_U32;
    }
    let until = deadline.absolute();
    let waits = &waits[..words.len()];
    match futex::waitv(waits, WaitvFlags::empty(), until.as_ref(), ClockId::Monotonic) {
        Err(Errno::NOSYS) => {
            WAITV_IS_MISSING.store(true, Ordering::Relaxed);
            poll_any(words, deadline)
        }
        answer => woken(answer.map(|_index| ()), "futex_waitv"),
    }
}

/// Waits for several words with a kernel that can only wait for one.
fn poll_any(words: &[(&AtomicU32, u32)], deadline: Deadline) -> Result<Woken, CallFailed> {
    let (first, expected) = words[0]; // PANIC: the caller has checked that there is one.
    loop {
        if words.iter().any(|(word, expected)| word.load(Ordering::Acquire) != *expected) {
            return Ok(Woken::Look);
        }
        if deadline.is_past() {
            return Ok(Woken::TimedOut);
        }
        let next = now_ns().saturating_add(POLL_NS).min(deadline.ns().unwrap_or(u64::MAX));
        if wait(first, expected, Deadline::at_ns(next))? == Woken::Look {
            return Ok(Woken::Look);
        }
    }
}

fn woken(answer: rustix::io::Result<()>, call: &'static str) -> Result<Woken, CallFailed> {
    match answer {
        Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(Woken::Look),
        Err(Errno::TIMEDOUT) => Ok(Woken::TimedOut),
        Err(errno) => Err(CallFailed { purpose: "wait for a shared word", call, errno }),
    }
}

/// Wakes everyone who sleeps on `word`; returns how many there were.
pub fn wake_all(word: &AtomicU32) -> Result<usize, CallFailed> {
    wake(word, i32::MAX.unsigned_abs())
}

/// Wakes one of those who sleep on `word`; returns whether there was one.
pub fn wake_one(word: &AtomicU32) -> Result<bool, CallFailed> {
    Ok(wake(word, 1)? > 0)
}

fn wake(word: &AtomicU32, at_most: u32) -> Result<usize, CallFailed> {
    futex::wake(word, Flags::empty(), at_most).during("futex", "wake those who wait for a shared word")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::mapping::{Access, Mapping};
    use crate::memfd::MemFd;

    const SHORT: Duration = Duration::from_millis(20);

    fn soon() -> Deadline {
        Deadline::after(SHORT)
    }

    #[test]
    fn a_changed_word_does_not_sleep() {
        let word = AtomicU32::new(1);
        assert_eq!(wait(&word, 2, Deadline::NEVER), Ok(Woken::Look));
        assert_eq!(wait_any(&[(&AtomicU32::new(0), 0), (&word, 2)], Deadline::NEVER), Ok(Woken::Look));
        assert_eq!(poll_any(&[(&AtomicU32::new(0), 0), (&word, 2)], Deadline::NEVER), Ok(Woken::Look));
    }

    #[test]
    fn an_unchanged_word_times_out_and_not_before() {
        let word = AtomicU32::new(1);
        let other = AtomicU32::new(7);
        type Waiter<'a> = &'a dyn Fn() -> Result<Woken, CallFailed>;
        let waiters: [Waiter<'_>; 3] =
            [&|| wait(&word, 1, soon()), &|| wait_any(&[(&word, 1), (&other, 7)], soon()), &|| {
                poll_any(&[(&word, 1), (&other, 7)], soon())
            }];
        for waiter in waiters {
            let start = Instant::now();
            assert_eq!(waiter(), Ok(Woken::TimedOut));
            assert!(start.elapsed() >= SHORT);
        }
        assert_eq!(wait(&word, 1, Deadline::at_ns(0)), Ok(Woken::TimedOut), "a past deadline polls");
    }

    #[test]
    fn the_number_of_words_is_bounded() {
        let word = AtomicU32::new(0);
        assert!(wait_any(&[], Deadline::NEVER).is_err());
        assert!(wait_any(&vec![(&word, 0); WORDS_MAX + 1], Deadline::NEVER).is_err());
        assert_eq!(wait_any(&vec![(&word, 0); WORDS_MAX], Deadline::at_ns(0)), Ok(Woken::TimedOut));
    }

    #[test]
    fn a_wake_crosses_mappings() {
        // Two mappings of one object have different addresses, as in two processes.
        let memory = MemFd::create("test", 4096).unwrap();
        let waiter = Mapping::new(&memory, Access::ReadWrite).unwrap();
        let waker = Mapping::new(&memory, Access::ReadWrite).unwrap();
        let thread = std::thread::spawn(move || {
            let (first, second) = (waiter.atomic_u32(0).unwrap(), waiter.atomic_u32(64).unwrap());
            wait(first, 0, Deadline::NEVER).unwrap();
            while second.load(Ordering::Acquire) == 0 {
                wait_any(&[(first, 1), (second, 0)], Deadline::NEVER).unwrap();
            }
        });
        for offset in [0, 64] {
            let word = waker.atomic_u32(offset).unwrap();
            while !wake_one(word).unwrap() {
                std::thread::yield_now();
            }
            word.store(1, Ordering::Release);
            wake_all(word).unwrap();
        }
        thread.join().unwrap();
    }
}
