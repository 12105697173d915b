//! The wake words of `proto::wake` on real memory: ring one, or sleep on two.
//!
//! Whoever rings makes the thing visible first; whoever sleeps arms, looks again, sleeps. The full fences order each side's store before its
//! look at the other's.

use proto::wake::{RECHECK, SPIN, WakeWord};
use std::sync::atomic::{AtomicU32, Ordering, fence};
use sys::clock::{Deadline, now_ns};
use sys::futex;

/// Tries of a ring before it wakes without having counted: a tenant that keeps changing its word cannot keep us here.
const TRIES: u32 = 64;

/// Wakes whoever sleeps on `word`.
pub(super) fn ring(word: &AtomicU32) {
    fence(Ordering::SeqCst);
    let mut found = word.load(Ordering::SeqCst);
    for _ in 0..TRIES {
        let Some(next) = WakeWord(found).ring() else { return };
        match word.compare_exchange(found, next.0, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => break,
            Err(now) => found = now,
        }
    }
    // Fails only for addresses that are none; a sleeper looks again soon anyway.
    let _ = futex::wake_all(word);
}

/// Waits until `ready`: spins, then sleeps on the words, at most [`RECHECK`] at a time and until `deadline`.
pub(super) fn wait_until(words: [&AtomicU32; 2], deadline: Deadline, mut ready: impl FnMut() -> bool) {
    while !deadline.is_past() {
        if spin(SPIN.0, &mut ready) {
            return;
        }
        let armed = words.map(|word| {
            let found = WakeWord(word.fetch_or(WakeWord(0).arm().0, Ordering::SeqCst));
            (word, found.arm().0)
        });
        fence(Ordering::SeqCst);
        if ready() {
            return;
        }
        let recheck = now_ns().saturating_add(RECHECK.0).min(deadline.ns().unwrap_or(u64::MAX));
        // Fails only where the kernel refuses to wait at all; then this is a loop that spins, which is slow and right.
        let _ = futex::wait_any(&armed, Deadline::at_ns(recheck));
        if ready() {
            return;
        }
    }
}

/// Looks for some time; returns whether it became ready.
fn spin(ns: u64, ready: &mut impl FnMut() -> bool) -> bool {
    let until = now_ns().saturating_add(ns);
    loop {
        // The clock costs as much as a few looks.
        for _ in 0..8 {
            if ready() {
                return true;
            }
            std::hint::spin_loop();
        }
        if now_ns() >= until {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    #[test]
    fn no_ring_of_either_word_is_lost() {
        const TURNS: u64 = 5_000;
        let (words, posted) = ([AtomicU32::new(0), AtomicU32::new(0)], AtomicU64::new(0));
        let limit = Deadline::after(Duration::from_secs(60));
        std::thread::scope(|scope| {
            for word in &words {
                scope.spawn(|| {
                    for _ in 0..TURNS {
                        posted.fetch_add(1, Ordering::Release);
                        ring(word);
                    }
                });
            }
            let mut seen = 0;
            while seen < 2 * TURNS && !limit.is_past() {
                wait_until([&words[0], &words[1]], limit, || posted.load(Ordering::Acquire) > seen);
                seen = posted.load(Ordering::Acquire);
            }
            assert_eq!(seen, 2 * TURNS);
        });
    }
}
