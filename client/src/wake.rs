//! The wake words of `proto::wake` on real memory: ring, and wait.
//!
//! Each side makes its store visible before it looks at the other's; the full fences here are what orders that, so a caller may
//! publish with release and look with acquire.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use proto::wake::{RECHECK, SPIN, WakeWord};
use sys::CallFailed;
use sys::clock::{Deadline, now_ns};
use sys::futex;

/// Tries of a ring before it wakes without having counted: a peer that keeps changing the word cannot keep us here.
const TRIES: u32 = 64;

/// Wakes whoever sleeps on `word`. Call it after making visible what they wait for.
pub(crate) fn ring(word: &AtomicU32) -> Result<(), CallFailed> {
    fence(Ordering::SeqCst);
    let mut found = word.load(Ordering::SeqCst);
    for _ in 0..TRIES {
        let Some(next) = WakeWord(found).ring() else { return Ok(()) };
        match word.compare_exchange(found, next.0, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => break,
            Err(now) => found = now,
        }
    }
    futex::wake_all(word).map(drop)
}

/// Waits until `done` gives an answer or the deadline passes (`None`): spinning first, then asleep, looking again at least
/// every [`RECHECK`].
pub(crate) fn wait<T>(
    word: &AtomicU32,
    deadline: Deadline,
    mut done: impl FnMut() -> Option<T>,
) -> Result<Option<T>, CallFailed> {
    if let Some(answer) = done() {
        return Ok(Some(answer));
    }
    loop {
        let spin_until = now_ns().saturating_add(SPIN.0);
        loop {
            // The clock costs as much as some twenty looks.
            for _ in 0..32 {
                if let Some(answer) = done() {
                    return Ok(Some(answer));
                }
                std::hint::spin_loop();
            }
            if now_ns() >= spin_until {
                break;
            }
        }
        let armed = WakeWord(word.fetch_or(WakeWord(0).arm().0, Ordering::SeqCst)).arm();
        fence(Ordering::SeqCst);
        if let Some(answer) = done() {
            return Ok(Some(answer));
        }
        if deadline.is_past() {
            return Ok(None);
        }
        let recheck = now_ns().saturating_add(RECHECK.0);
        futex::wait(word, armed.0, Deadline::at_ns(recheck.min(deadline.ns().unwrap_or(u64::MAX))))?;
        if let Some(answer) = done() {
            return Ok(Some(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn no_wake_is_lost_between_threads() {
        const TURNS: u64 = 20_000;
        let (word, posted) = (AtomicU32::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..TURNS {
                    posted.fetch_add(1, Ordering::Release);
                    ring(&word).unwrap();
                }
            });
            let seen = wait(&word, Deadline::after(std::time::Duration::from_secs(60)), || {
                (posted.load(Ordering::Acquire) == TURNS).then_some(())
            });
            assert_eq!(seen, Ok(Some(())));
        });
    }

    #[test]
    fn a_deadline_ends_the_wait_and_an_answer_comes_before_it() {
        let word = AtomicU32::new(7);
        assert_eq!(wait(&word, Deadline::at_ns(0), || None::<()>), Ok(None));
        assert_eq!(wait(&word, Deadline::at_ns(0), || Some(5)), Ok(Some(5)));
    }
}
