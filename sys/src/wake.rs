//! A word to wake somebody by, without a system call when nobody sleeps.
//!
//! The word counts in steps of two; its lowest bit says that somebody may be asleep. The waker adds a step and makes
//! the wake call only if it found the bit. The waiter remembers the count *before* it looks for work, and goes to sleep only
//! if the count is still the same when it sets the bit.
//!
//! Promises:
//! - what a waker wrote before [`WakeWord::bump`] is either seen by the look that follows [`WakeWord::seen`], or the
//!   wait after that look does not sleep through it. Model-checked: one against one over all
//!   interleavings, up to two against two over those with a bounded number of preemptions;
//! - no operation loops on the word, so a hostile peer that writes to it without end cannot hold anybody up: it can
//!   wake us too often, or never;
//! - with nobody asleep, `bump` is one atomic add.
//!
//! Left to the caller: a waker that is killed inside `bump` may have taken the bit and not made the call. Who waits for a
//! process that may die, waits with a deadline or watches that process.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::Deadline;
use crate::error::CallFailed;
use crate::futex::{self, Woken};

/// Somebody may be asleep.
const SLEEPER: u32 = 1;
/// One bump.
const STEP: u32 = 2;

/// The count a waiter saw before it looked for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen(u32);

/// A shared word used by the protocol of this module. Every party must use it through this type.
#[derive(Debug, Clone, Copy)]
pub struct WakeWord<'a>(&'a AtomicU32);

impl<'a> WakeWord<'a> {
    /// Uses `word`; any starting value will do.
    #[must_use]
    pub fn new(word: &'a AtomicU32) -> Self {
        Self(word)
    }

    /// Announces that there is something to look at, and wakes everyone who sleeps.
    #[inline]
    pub fn bump(self) -> Result<(), CallFailed> {
        if protocol::bump(self.0) {
            futex::wake_all(self.0)?;
        }
        Ok(())
    }

    /// Remembers the count. Call it, then look for work, then wait with what it returned.
    #[inline]
    #[must_use]
    pub fn seen(self) -> Seen {
        protocol::seen(self.0)
    }

    /// Returns whether nobody has bumped since `seen`.
    #[inline]
    #[must_use]
    pub fn is_unchanged(self, seen: Seen) -> bool {
        protocol::seen(self.0) == seen
    }

    /// Waits until somebody bumps: first spinning for `spin_ns` nanoseconds, then asleep.
    ///
    /// Returns [`Woken::Look`] at once if somebody has bumped since `seen`, and sometimes for no reason.
    pub fn wait(self, seen: Seen, spin_ns: u64, deadline: Deadline) -> Result<Woken, CallFailed> {
        if !futex::spin_while(spin_ns, deadline, || self.is_unchanged(seen)) {
            return Ok(Woken::Look);
        }
        match self.arm(seen) {
            Some(expected) => futex::wait(self.0, expected, deadline),
            None => Ok(Woken::Look),
        }
    }

    /// Says that we are about to sleep, and returns what to hand to [`futex::wait_any`]: the word and its expected value.
    ///
    /// Returns `None` if somebody has bumped since `seen`. For waiting on several words at once; the bit stays set if the
    /// caller does not sleep after all, which costs the next waker one needless call.
    #[must_use]
    pub fn prepare(self, seen: Seen) -> Option<(&'a AtomicU32, u32)> {
        self.arm(seen).map(|expected| (self.0, expected))
    }

    fn arm(self, seen: Seen) -> Option<u32> {
        protocol::arm(self.0, seen)
    }
}

/// The protocol over anything that behaves like an atomic word, so that a model checker can run the same lines.
mod protocol {
    use super::{SLEEPER, STEP, Seen};

    /// The atomic operations the protocol needs.
    pub(super) trait Word {
        fn load_acquire(&self) -> u32;
        fn add_acq_rel(&self, step: u32) -> u32;
        fn and_acq_rel(&self, mask: u32);
        fn exchange_acq_rel(&self, old: u32, new: u32) -> Result<u32, u32>;
    }

    /// Adds a step; returns whether a wake call is due.
    pub(super) fn bump(word: &impl Word) -> bool {
        let asleep = word.add_acq_rel(STEP) & SLEEPER != 0;
        if asleep {
            // Before the wake call, never after it: a waiter that sleeps in between would keep a cleared bit for ever.
            word.and_acq_rel(!SLEEPER);
        }
        asleep
    }

    /// Reads the count.
    pub(super) fn seen(word: &impl Word) -> Seen {
        Seen(word.load_acquire() & !SLEEPER)
    }

    /// Sets the bit if the count is still `seen`; returns the value to sleep on.
    pub(super) fn arm(word: &impl Word, seen: Seen) -> Option<u32> {
        let expected = seen.0 | SLEEPER;
        match word.exchange_acq_rel(seen.0, expected) {
            Ok(_) => Some(expected),
            // Somebody else is asleep on the same count already.
            Err(found) => (found == expected).then_some(expected),
        }
    }
}

impl protocol::Word for AtomicU32 {
    #[inline]
    fn load_acquire(&self) -> u32 {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn add_acq_rel(&self, step: u32) -> u32 {
        self.fetch_add(step, Ordering::AcqRel)
    }

    #[inline]
    fn and_acq_rel(&self, mask: u32) {
        self.fetch_and(mask, Ordering::AcqRel);
    }

    #[inline]
    fn exchange_acq_rel(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use super::*;

    #[test]
    fn nobody_asleep_means_no_wake_call() {
        let word = AtomicU32::new(0);
        assert!(!protocol::bump(&word));
        let seen = protocol::seen(&word);
        assert_eq!(protocol::arm(&word, seen), Some(STEP | SLEEPER));
        assert!(protocol::bump(&word), "the bit asks for the call");
        assert!(!protocol::bump(&word), "and is taken once");
        assert_eq!(protocol::arm(&word, seen), None, "too late to sleep");
    }

    #[test]
    fn the_count_wraps() {
        let word = AtomicU32::new(u32::MAX - 1);
        let wake = WakeWord::new(&word);
        let seen = wake.seen();
        wake.bump().unwrap();
        assert!(!wake.is_unchanged(seen));
        assert_eq!(wake.wait(seen, 0, Deadline::NEVER), Ok(Woken::Look));
    }

    #[test]
    fn no_wake_is_lost_between_real_threads() {
        const ITEMS: u64 = 100_000;
        let (word, posted) = (AtomicU32::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for spin_ns in [0, 2_000] {
                let (word, posted) = (WakeWord::new(&word), &posted);
                scope.spawn(move || {
                    loop {
                        let seen = word.seen();
                        if posted.load(Ordering::Relaxed) == 2 * ITEMS {
                            break;
                        }
                        let woken = word.wait(seen, spin_ns, Deadline::after(Duration::from_secs(20))).unwrap();
                        assert_eq!(woken, Woken::Look, "slept through a bump");
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..ITEMS {
                        posted.fetch_add(1, Ordering::Relaxed);
                        WakeWord::new(&word).bump().unwrap();
                    }
                });
            }
        });
    }

    /// The protocol under loom, which runs every interleaving the memory model allows and reports a deadlock if all that
    /// are left sleep.
    mod model {
        use loom::sync::atomic::{AtomicU32, Ordering};
        use loom::sync::{Arc, Condvar, Mutex};

        use super::super::protocol::{self, Word};

        /// A word with the kernel's side of a futex: compare and enqueue are one step.
        struct Futex {
            word: AtomicU32,
            queue: Mutex<()>,
            sleepers: Condvar,
        }

        impl Futex {
            fn new() -> Self {
                Self { word: AtomicU32::new(0), queue: Mutex::new(()), sleepers: Condvar::new() }
            }

            fn wait(&self, expected: u32) {
                let queue = self.queue.lock().unwrap();
                if self.word.load(Ordering::SeqCst) == expected {
                    drop(self.sleepers.wait(queue).unwrap());
                }
            }

            fn bump(&self) {
                if protocol::bump(&self.word) {
                    let _queue = self.queue.lock().unwrap();
                    self.sleepers.notify_all();
                }
            }
        }

        impl Word for AtomicU32 {
            fn load_acquire(&self) -> u32 {
                self.load(Ordering::Acquire)
            }

            fn add_acq_rel(&self, step: u32) -> u32 {
                self.fetch_add(step, Ordering::AcqRel)
            }

            fn and_acq_rel(&self, mask: u32) {
                self.fetch_and(mask, Ordering::AcqRel);
            }

            fn exchange_acq_rel(&self, old: u32, new: u32) -> Result<u32, u32> {
                self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            }
        }

        /// Runs `wakers` that post one item each against `waiters` that leave when all items are there.
        ///
        /// Complete up to `preemptions` switches away from a thread that could have gone on; without a bound, more than two
        /// threads take minutes.
        fn check(wakers: usize, waiters: usize, preemptions: Option<usize>) {
            let mut model = loom::model::Builder::new();
            model.preemption_bound = preemptions;
            model.check(move || {
                let futex = Arc::new(Futex::new());
                // One relaxed flag an item: only the protocol's own ordering makes them visible.
                let items: Arc<Vec<AtomicU32>> = Arc::new((0..wakers).map(|_| AtomicU32::new(0)).collect());
                let waiter = |futex: &Futex, items: &[AtomicU32]| {
                    loop {
                        let seen = protocol::seen(&futex.word);
                        if items.iter().all(|item| item.load(Ordering::Relaxed) == 1) {
                            break;
                        }
                        if let Some(expected) = protocol::arm(&futex.word, seen) {
                            futex.wait(expected);
                        }
                    }
                };
                let mut threads = Vec::new();
                for mine in 0..wakers {
                    let (futex, items) = (Arc::clone(&futex), Arc::clone(&items));
                    threads.push(loom::thread::spawn(move || {
                        items[mine].store(1, Ordering::Relaxed);
                        futex.bump();
                    }));
                }
                for _ in 1..waiters {
                    let (futex, items) = (Arc::clone(&futex), Arc::clone(&items));
                    threads.push(loom::thread::spawn(move || waiter(&futex, &items)));
                }
                waiter(&futex, &items);
                for thread in threads {
                    thread.join().unwrap();
                }
            });
        }

        #[test]
        fn no_wake_is_lost_one_waker_one_waiter() {
            check(1, 1, None);
        }

        #[test]
        fn no_wake_is_lost_two_wakers_one_waiter() {
            check(2, 1, Some(3));
        }

        #[test]
        fn no_wake_is_lost_one_waker_two_waiters() {
            check(1, 2, Some(3));
        }

        #[test]
        fn no_wake_is_lost_two_wakers_two_waiters() {
            check(2, 2, Some(1));
        }
    }
}
