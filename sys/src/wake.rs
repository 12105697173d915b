//! A word to wake somebody by, without a system call when nobody sleeps.
//!
//! Bit 0 says that somebody sleeps or is about to; the other 31 bits count wakes (`docs/protocol.md`). A waiter *arms* the word, looks once
//! more, and sleeps for as long as the word is the armed one. A waker makes visible what there is to see, and if it then finds the word armed, swaps in
//! the next count and makes the wake call. Each side writes one word and then reads the other's, so both have a full fence in between.
//!
//! Promises:
//! - what a waker made visible before [`ring`] is seen by a look of [`wait`] that comes after it, or the wait does not sleep through it. Model-checked: one
//!   against one over all interleavings, more over those with a bounded number of preemptions;
//! - with nobody asleep, a ring is a fence and a load: the word's cache line stays where it is;
//! - a peer that writes to the word without end costs itself a wake, or us a needless one. It cannot hold anybody up.
//!
//! A waiter looks for a while before it sleeps, and offers the processor between looks: two processes that answer each other may sit on one
//! processor, and a waiter that only spun would keep the other from answering (measured: an empty kernel's round trip took 29 us instead of 6, or of 1.5 where they
//! sit apart). If somebody takes the offer, the waiter sleeps, for looking on would take time from who works.
//!
//! Left to the caller: a waker that is killed inside [`ring`] may have taken the bit and not made the call. Who waits for a process that may die
//! bounds its sleep by [`Patience`] and looks at that process.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use crate::clock::{Deadline, now_ns};
use crate::error::CallFailed;
use crate::futex;
use crate::processor;

/// Tries of a ring before it wakes without having counted: a peer that keeps changing the word cannot keep us here.
const TRIES: u32 = 64;
/// Looks between two looks at the clock, which costs as much as some twenty of them.
const LOOKS: u32 = 8;
/// How long to look before the processor is offered to others between looks, in nanoseconds: longer than an answer takes from a peer
/// that runs on another processor.
const KEEP_NS: u64 = 800;

/// How to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long to look before sleeping, in nanoseconds. 0: not at all.
    pub spin_ns: u64,
    /// Longest sleep without another look, in nanoseconds, as [`looks`](Self::looks) says.
    pub recheck_ns: u64,
    /// How far apart the looks of a long sleep are.
    pub looks: Looks,
}

/// How far apart looks are while nobody rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looks {
    /// As far as [`Patience::recheck_ns`] says.
    Even,
    /// The next when four times as much time has passed, up to [`RECHECKS`] times that far. For who waits for rings only, and looks in case that one was lost:
    /// that makes the wait four times as long, and who waits for hours takes no processor's time.
    Rarer,
    /// The next when a quarter more time has passed, from a [`RECHECKS`]th of that far on. For who waits for what may come without a ring: it is seen late by a
    /// quarter of the wait, and a wait of any length takes some thirty looks until they are as far apart as they get.
    Sooner,
}

impl Patience {
    /// Returns how long to sleep, in nanoseconds, after so long a wait.
    fn sleep_ns(self, waited_ns: u64) -> u64 {
        match self.looks {
            Looks::Even => self.recheck_ns,
            Looks::Rarer => {
                waited_ns.saturating_mul(3).clamp(self.recheck_ns, self.recheck_ns.saturating_mul(RECHECKS))
            }
            Looks::Sooner => (waited_ns / 4).clamp(self.recheck_ns / RECHECKS, self.recheck_ns),
        }
    }
}

/// How much rarer than at first looks become in a long sleep, or how much sooner than at last they come at first.
pub const RECHECKS: u64 = 1024;

/// What a waiter has learnt: whether it is usually answered soon. Threads may share it; a guess that is wrong costs one wake-up, or some looks.
#[derive(Debug, Default)]
pub struct Habit(AtomicU32);

impl Habit {
    /// Notes how long a wait took; it was short up to `short_ns`.
    pub fn waited(&self, ns: u64, short_ns: u64) {
        let long = if ns <= short_ns { 0 } else { self.0.load(Ordering::Relaxed).saturating_add(1) };
        self.0.store(long, Ordering::Relaxed);
    }

    /// Whether one of the last two waits was short: a single long one may have been a move to another processor, or somebody else's turn.
    pub fn is_answered_soon(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 2
    }
}

/// Wakes whoever sleeps on `word`. Call it after making visible what they wait for.
#[inline]
pub fn ring(word: &AtomicU32) -> Result<(), CallFailed> {
    if protocol::ring(word) {
        futex::wake_all(word)?;
    }
    Ok(())
}

/// Waits until `done` gives an answer, or the deadline passes (`None`): looking first, then asleep on all of the words.
///
/// An answer that is there already comes even after the deadline.
pub fn wait<T, const N: usize>(
    words: [&AtomicU32; N],
    patience: Patience,
    deadline: Deadline,
    done: impl FnMut() -> Option<T>,
) -> Result<Option<T>, CallFailed> {
    wait_on(&mut words.map(|word| (word, 0)), patience, deadline, done)
}

/// As [`wait`], on 1 to [`WORDS_MAX`](crate::futex::WORDS_MAX) words.
pub fn wait_any<T>(
    words: &[&AtomicU32],
    patience: Patience,
    deadline: Deadline,
    done: impl FnMut() -> Option<T>,
) -> Result<Option<T>, CallFailed> {
    let mut armed: Vec<_> = words.iter().map(|word| (*word, 0)).collect();
    wait_on(&mut armed, patience, deadline, done)
}

/// Waits on the words in `armed`, which has room for what each was armed with.
#[inline]
fn wait_on<T>(
    armed: &mut [(&AtomicU32, u32)],
    patience: Patience,
    deadline: Deadline,
    mut done: impl FnMut() -> Option<T>,
) -> Result<Option<T>, CallFailed> {
    if let Some(answer) = done() {
        return Ok(Some(answer));
    }
    if patience.spin_ns > 0
        && let Some(answer) = look(patience, &mut done)
    {
        return Ok(Some(answer));
    }
    // Only once: somebody who waits for hours must not look whenever it wakes to check.
    let begun = now_ns();
    loop {
        for (word, with) in armed.iter_mut() {
            *with = protocol::arm(*word);
        }
        if let Some(answer) = done() {
            return Ok(Some(answer));
        }
        if deadline.is_past() {
            return Ok(None);
        }
        let now = now_ns();
        let sleep_ns = patience.sleep_ns(now - begun);
        let recheck = Deadline::at_ns(now.saturating_add(sleep_ns).min(deadline.ns().unwrap_or(u64::MAX)));
        // One word needs no list, and works on every kernel.
        if let [(word, expected)] = *armed {
            futex::wait(word, expected, recheck)?;
        } else {
            futex::wait_any(armed, recheck)?;
        }
        if let Some(answer) = done() {
            return Ok(Some(answer));
        }
    }
}

/// Looks for some time.
fn look<T>(patience: Patience, done: &mut impl FnMut() -> Option<T>) -> Option<T> {
    let begun = now_ns();
    let until = begun.saturating_add(patience.spin_ns);
    loop {
        for _ in 0..LOOKS {
            let answer = done();
            if answer.is_some() {
                return answer;
            }
            std::hint::spin_loop();
        }
        let now = now_ns();
        if now >= until {
            return None;
        }
        if now - begun >= KEEP_NS {
            // Who looks on takes time from whoever else is here, and that may be who works on the answer.
            if processor::offer() {
                return done();
            }
        }
    }
}

/// The protocol over anything that behaves like an atomic word, so that a model checker can run the same lines.
mod protocol {
    use super::TRIES;

    /// Somebody sleeps or is about to.
    const ARMED: u32 = 1;

    /// The atomic operations the protocol needs; all are sequentially consistent.
    pub(super) trait Word {
        fn fence();
        fn load(&self) -> u32;
        fn or(&self, bits: u32) -> u32;
        fn exchange(&self, old: u32, new: u32) -> Result<u32, u32>;
    }

    /// Counts a wake if somebody sleeps; returns whether a wake call is due.
    pub(super) fn ring<W: Word>(word: &W) -> bool {
        W::fence();
        let mut found = word.load();
        for _ in 0..TRIES {
            if found & ARMED == 0 {
                return false;
            }
            // The carry clears the bit and counts in one addition.
            match word.exchange(found, found.wrapping_add(1)) {
                Ok(_) => return true,
                Err(now) => found = now,
            }
        }
        true
    }

    /// Says that we are about to sleep; returns the value to sleep on.
    pub(super) fn arm<W: Word>(word: &W) -> u32 {
        let armed = word.or(ARMED) | ARMED;
        W::fence();
        armed
    }
}

impl protocol::Word for AtomicU32 {
    #[inline]
    fn fence() {
        fence(Ordering::SeqCst);
    }

    #[inline]
    fn load(&self) -> u32 {
        self.load(Ordering::SeqCst)
    }

    #[inline]
    fn or(&self, bits: u32) -> u32 {
        self.fetch_or(bits, Ordering::SeqCst)
    }

    #[inline]
    fn exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
        self.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Patience = Patience { spin_ns: 2_000, recheck_ns: 20_000_000_000, looks: Looks::Even };

    #[test]
    fn nobody_asleep_means_no_wake_call() {
        let word = AtomicU32::new(6);
        assert!(!protocol::ring(&word));
        assert_eq!(protocol::arm(&word), 7);
        assert_eq!(protocol::arm(&word), 7, "two may sleep on one count");
        assert!(protocol::ring(&word), "the bit asks for the call");
        assert!(!protocol::ring(&word), "and is taken once");
        assert_eq!(word.load(Ordering::Relaxed), 8);
    }

    #[test]
    fn one_long_wait_does_not_change_a_habit() {
        let habit = Habit::default();
        let soon = |waits: &[u64]| {
            waits.iter().for_each(|ns| habit.waited(*ns, 150));
            habit.is_answered_soon()
        };
        assert!(habit.is_answered_soon(), "at first");
        assert!(soon(&[100, 1000]));
        assert!(!soon(&[1000]));
        assert!(!soon(&[1000, 1000]));
        assert!(soon(&[150]));
    }

    #[test]
    fn the_count_wraps() {
        let word = AtomicU32::new(u32::MAX);
        assert!(protocol::ring(&word));
        assert_eq!(word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_deadline_ends_the_wait_and_an_answer_comes_before_it() {
        let word = AtomicU32::new(7);
        for spin_ns in [0, 2_000] {
            let patience = Patience { spin_ns, ..PATIENCE };
            assert_eq!(wait([&word], patience, Deadline::at_ns(0), || None::<()>), Ok(None));
            assert_eq!(wait([&word], patience, Deadline::at_ns(0), || Some(5)), Ok(Some(5)));
        }
    }

    #[test]
    fn a_long_sleep_is_looked_up_from_less_and_less() {
        let all = |looks, recheck_ns, count: usize| {
            let patience = Patience { spin_ns: 0, recheck_ns, looks };
            let next = |waited: &u64| Some(waited + patience.sleep_ns(*waited));
            std::iter::successors(Some(0), next).skip(1).take(count).collect::<Vec<u64>>()
        };
        assert_eq!(all(Looks::Even, 100, 4), [100, 200, 300, 400]);
        assert_eq!(all(Looks::Rarer, 100, 4), [100, 400, 1_600, 6_400]);
        let apart = all(Looks::Rarer, 100, 20).windows(2).map(|w| w[1] - w[0]).max();
        assert_eq!(apart, Some(100 * RECHECKS), "but not for ever");
        let sooner = all(Looks::Sooner, 100_000, 60);
        assert_eq!(sooner[0], 100_000 / RECHECKS);
        let late = |w: &[u64]| (w[1] - w[0]) * 4 <= w[0].max(4 * sooner[0]) && w[1] - w[0] <= 100_000;
        assert!(sooner.windows(2).all(late), "late by a quarter of the wait at most: {sooner:?}");
        assert_eq!(sooner[59] - sooner[58], 100_000);
    }

    #[test]
    fn no_ring_is_lost_between_real_threads() {
        const ITEMS: u64 = 50_000;
        let (words, posted) = ([AtomicU32::new(0), AtomicU32::new(0)], AtomicU64::new(0));
        let limit = Deadline::after(Duration::from_secs(60));
        std::thread::scope(|scope| {
            let (both, posted_by_all) = (&words, &posted);
            for spin_ns in [0, 2_000] {
                let all = move || (posted_by_all.load(Ordering::Acquire) == 2 * ITEMS).then_some(());
                let patience = Patience { spin_ns, ..PATIENCE };
                scope.spawn(move || assert_eq!(wait([&both[0], &both[1]], patience, limit, all), Ok(Some(()))));
            }
            for word in &words {
                scope.spawn(|| {
                    for _ in 0..ITEMS {
                        posted.fetch_add(1, Ordering::Release);
                        ring(word).unwrap();
                    }
                });
            }
            let mut seen = 0;
            while seen < 2 * ITEMS {
                let next = || Some(posted.load(Ordering::Acquire)).filter(|now| *now > seen);
                seen = wait_any(&[&words[0], &words[1]], PATIENCE, limit, next).unwrap().expect("slept through a ring");
            }
        });
    }

    /// The protocol under loom, which runs every interleaving the memory model allows and reports a deadlock if all that
    /// are left sleep.
    mod model {
        use loom::sync::atomic::{AtomicU32, Ordering, fence};
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

            fn ring(&self) {
                if protocol::ring(&self.word) {
                    let _queue = self.queue.lock().unwrap();
                    self.sleepers.notify_all();
                }
            }
        }

        impl Word for AtomicU32 {
            fn fence() {
                fence(Ordering::SeqCst);
            }

            fn load(&self) -> u32 {
                self.load(Ordering::SeqCst)
            }

            fn or(&self, bits: u32) -> u32 {
                self.fetch_or(bits, Ordering::SeqCst)
            }

            fn exchange(&self, old: u32, new: u32) -> Result<u32, u32> {
                self.compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
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
                    let all = || items.iter().all(|item| item.load(Ordering::Relaxed) == 1);
                    while !all() {
                        let expected = protocol::arm(&futex.word);
                        if !all() {
                            futex.wait(expected);
                        }
                    }
                };
                let mut threads = Vec::new();
                for mine in 0..wakers {
                    let (futex, items) = (Arc::clone(&futex), Arc::clone(&items));
                    threads.push(loom::thread::spawn(move || {
                        items[mine].store(1, Ordering::Relaxed);
                        futex.ring();
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
