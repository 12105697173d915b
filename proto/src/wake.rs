//! How one process wakes another through a 32-bit word in shared memory, and when it need not.
//!
//! Bit 0 says that somebody sleeps or is about to; the other 31 bits count wakes. The word is what `futex` compares.
//!
//! Sleeper: [`arm`](WakeWord::arm) the word, *then* look once more whether there is anything to do, then
//! `futex_wait` for as long as the word is the armed one.
//! Waker: make the thing to do visible, *then* load the word, and if [`ring`](WakeWord::ring) gives a new one, swap it in
//! and `futex_wake` everybody.
//!
//! Promise: no wake is lost, and while nobody sleeps waking costs one load. It needs all four accesses (arm, look, make
//! visible, load) to be sequentially consistent, because each side writes one word and then reads the other's. The
//! tests walk through every interleaving, also without the second look, which then fails.
//!
//! `sys::wake` is this on real memory; every process uses that. Here it is written down for models and for the tests of other
//! implementations.
//!
//! The other side may write what it likes into the word. That costs it a wake or us a spurious one; whoever waits for a
//! tenant looks again every [`RECHECK`], or ever more rarely, anyway.

use crate::ids::Nanos;

/// How long to look before sleeping: about a third of what waking a sleeper on another CPU costs (28 us were measured on a
/// virtual machine with two), so spinning in vain never doubles the price.
pub const SPIN: Nanos = Nanos::from_micros(10);

/// Longest wait for a kernel after which it pays to look again before sleeping. Waking somebody costs the waker a system call and an interrupt of the other
/// processor, which is 3 to 5 % of a kernel of 100 us on a virtual machine; a tenant that waits longer than this sleeps at once.
pub const WORTH_LOOKING: Nanos = Nanos::from_micros(250);

/// How long to look if the last answer came that soon. It is spent in vain once, at the end of a row of short kernels: the wait that sleeps after it is a
/// long one.
pub const SPIN_IN_A_ROW: Nanos = Nanos::from_micros(300);

/// Longest sleep on a word that an untrusted process may have written to, while there is something to look at besides. Workers that wait for their turn, or have
/// empty rings, look ever more rarely (`sys::wake::Looks`), those whose packets wait for signals sooner at first: fifty that waited took more than 1 % of a software GPU's processor by looking this often.
pub const RECHECK: Nanos = Nanos::from_millis(100);

/// The value of a wake word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WakeWord(pub u32);

impl WakeWord {
    /// Returns the word that says somebody is about to sleep; this is also what to `futex_wait` for.
    #[must_use]
    pub const fn arm(self) -> Self {
        Self(self.0 | 1)
    }

    /// Returns whether somebody sleeps or is about to.
    pub const fn is_armed(self) -> bool {
        self.0 & 1 == 1
    }

    /// Returns the word to swap in before `futex_wake`, or `None` when nobody sleeps.
    pub const fn ring(self) -> Option<Self> {
        // The carry clears bit 0 and counts in one addition.
        if self.is_armed() { Some(Self(self.0.wrapping_add(1))) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ringing_disarms_and_changes_the_word() {
        let word = WakeWord(6);
        assert_eq!(word.ring(), None);
        assert_eq!(word.arm(), WakeWord(7));
        assert_eq!(word.arm().ring(), Some(WakeWord(8)));
        assert_eq!(WakeWord(u32::MAX).ring(), Some(WakeWord(0)));
    }

    #[derive(Clone, Copy)]
    struct World {
        word: WakeWord,
        ready: bool,
        sleeper: u8,
        armed: WakeWord,
        asleep: bool,
        waker: u8,
        loaded: WakeWord,
    }

    const DONE: u8 = 9;

    /// Runs every interleaving; returns whether one of them leaves the sleeper asleep for ever.
    fn can_hang(w: World, second_look: bool) -> bool {
        let mut stuck = true;
        let mut hangs = false;
        if w.sleeper != DONE && !w.asleep {
            stuck = false;
            let mut n = w;
            match w.sleeper {
                0 => n.sleeper = if w.ready { DONE } else { 1 },
                1 => {
                    n.word = w.word.arm();
                    n.armed = n.word;
                    n.sleeper = if second_look { 2 } else { 3 };
                }
                2 => n.sleeper = if w.ready { DONE } else { 3 },
                _ => {
                    n.asleep = w.word == w.armed;
                    n.sleeper = 0;
                }
            }
            hangs |= can_hang(n, second_look);
        }
        if w.waker != DONE {
            stuck = false;
            let mut n = w;
            match w.waker {
                0 => {
                    n.ready = true;
                    n.waker = 1;
                }
                1 => {
                    n.loaded = w.word;
                    n.waker = if w.word.is_armed() { 2 } else { DONE };
                }
                2 => match w.loaded.ring() {
                    // The swap is a compare-and-swap: on failure load again.
                    Some(next) if w.word == w.loaded => {
                        n.word = next;
                        n.waker = 3;
                    }
                    _ => n.waker = 1,
                },
                _ => {
                    n.asleep = false;
                    n.waker = DONE;
                }
            }
            hangs |= can_hang(n, second_look);
        }
        hangs || (stuck && w.sleeper != DONE)
    }

    fn world() -> World {
        World {
            word: WakeWord(0),
            ready: false,
            sleeper: 0,
            armed: WakeWord(0),
            asleep: false,
            waker: 0,
            loaded: WakeWord(0),
        }
    }

    #[test]
    fn no_wake_is_lost() {
        assert!(!can_hang(world(), true));
    }

    #[test]
    fn without_the_second_look_a_wake_is_lost() {
        assert!(can_hang(world(), false));
    }
}
