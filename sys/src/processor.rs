//! On which processors a thread runs, and how long it waits for one.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::error::{CallFailed, During, cvt};

/// Offering a processor to others takes longer than this if one of them takes it, in nanoseconds.
const TAKEN_NS: u64 = 5_000;

/// A set of processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processors(CpuSet);

impl Processors {
    /// Returns the processors from `first` to `last`, both included. There are at most 1024.
    #[must_use]
    pub fn range(first: u16, last: u16) -> Self {
        let mut set = CpuSet::new();
        (usize::from(first)..=usize::from(last)).filter(|n| *n < CpuSet::MAX_CPU).for_each(|n| set.set(n));
        Self(set)
    }

    /// Returns the processors that the calling thread may use.
    pub fn ours() -> Result<Self, CallFailed> {
        sched_getaffinity(None).map(Self).during("sched_getaffinity", "ask for our processors")
    }

    /// Returns these without `others`.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        let mut left = self.0;
        (0..CpuSet::MAX_CPU).filter(|n| others.0.is_set(*n)).for_each(|n| left.unset(n));
        Self(left)
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(self) -> u32 {
        self.0.count()
    }

    /// Returns the one with the largest number.
    #[must_use]
    pub fn last(self) -> Option<u16> {
        (0..CpuSet::MAX_CPU).rev().find(|n| self.0.is_set(*n)).and_then(|n| u16::try_from(n).ok())
    }

    /// Lets the calling thread, and what it starts from now on, run on these only.
    ///
    /// Fails if none of them exists or the kernel does not allow them (cpuset).
    pub fn stay(self) -> Result<(), CallFailed> {
        sched_setaffinity(None, &self.0).during("sched_setaffinity", "stay on some processors")
    }
}

/// The shortest turn that Linux grants, in nanoseconds.
const TURN_NS: u64 = 100_000;

/// Asks Linux for turns of a processor that are short and come soon, for the calling thread and what it starts from now on.
///
/// The usual turn is some milliseconds long, and a thread that wakes waits for the end of somebody else's. A request for a shorter one makes that wait shorter and
/// changes nothing of its share (`sched_setattr`, since Linux 6.12; before, and for real-time threads, nothing changes).
pub fn ask_for_short_turns() -> Result<(), CallFailed> {
    let mut attributes = SchedAttr::default();
    let size = size_of::<SchedAttr>();
    // SAFETY: the kernel writes at most `size` bytes to a structure that is as long, of integers.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    cvt(got).during("sched_getattr", "ask how we are scheduled")?;
    if !matches!(attributes.policy.cast_signed(), libc::SCHED_OTHER | libc::SCHED_BATCH) {
        return Ok(());
    }
    attributes.runtime = TURN_NS;
    // SAFETY: the kernel reads as many bytes as the structure says it has.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    cvt(set).during("sched_setattr", "ask for short turns").map(drop)
}

/// `struct sched_attr` as it began, of 48 bytes: `sched_setattr(2)`.
#[derive(Debug, Default)]
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Offers the processor to others; returns whether one of them took it.
pub(crate) fn offer() -> bool {
    let from = crate::clock::now_ns();
    std::thread::yield_now();
    crate::clock::now_ns().saturating_sub(from) >= TAKEN_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_where_it_is_told() {
        let ours = Processors::ours().unwrap();
        let last = ours.last().expect("at least one");
        let one = Processors::range(last, last);
        assert_eq!((one.count(), one.last()), (1, Some(last)));
        one.stay().unwrap();
        assert_eq!(Processors::ours(), Ok(one));
        assert_eq!(std::thread::spawn(Processors::ours).join().unwrap(), Ok(one), "what it starts as well");
        ours.stay().unwrap();
        assert_eq!(ours.without(one).count(), ours.count() - 1);
        assert!(Processors::range(1, 0).stay().is_err(), "none is no set to stay on");
    }

    #[test]
    fn short_turns_change_nothing_else_and_are_inherited() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        ask_for_short_turns().unwrap();
        let turn = || {
            let mut attributes = SchedAttr::default();
            // SAFETY: as above.
            let got =
                unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size_of::<SchedAttr>(), 0) };
            assert_eq!(got, 0);
            attributes.runtime
        };
        // 0 is said by a kernel that does not know of it.
        let ours = turn();
        assert!([TURN_NS, 0].contains(&ours), "{ours}");
        assert_eq!((std::thread::spawn(turn).join().unwrap(), nice()), (ours, before));
    }

    #[test]
    fn ranges_end_at_what_the_kernel_counts() {
        assert_eq!(Processors::range(0, u16::MAX).count(), 1024);
        assert_eq!(Processors::range(2, 3).last(), Some(3));
    }
}
