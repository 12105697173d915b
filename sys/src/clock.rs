//! Time as every process on this machine agrees on it: CLOCK_MONOTONIC, in nanoseconds.
//!
//! Promise: [`now_ns`] never goes backwards and means the same in every process of one boot. Waiting in this crate takes a
//! [`Deadline`] and not a span, so that a wait interrupted and begun again does not grow.

use std::num::NonZeroU64;
use std::time::Duration;

use rustix::thread::futex::Timespec;
use rustix::time::{ClockId, clock_gettime};

use crate::error::{CallFailed, During};

const NS_PER_S: u64 = 1_000_000_000;

/// Returns CLOCK_MONOTONIC in nanoseconds since an unspecified point before boot.
#[inline]
#[must_use]
pub fn now_ns() -> u64 {
    read_ns(ClockId::Monotonic)
}

#[inline]
fn read_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    // These clocks start at zero or in 1970, so neither part is negative; 2^64 ns are 584 years.
    now.tv_sec.unsigned_abs() * NS_PER_S + now.tv_nsec.unsigned_abs()
}

/// How the clocks stand at one moment, to bring times of one into another. In nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// What [`now_ns`] returns.
    pub monotonic_ns: u64,
    /// The same, and the time the machine slept.
    pub boottime_ns: u64,
    /// Since 1970.
    pub realtime_ns: u64,
}

impl Snapshot {
    /// Reads them one after another: they belong together within a microsecond unless somebody interrupts.
    #[must_use]
    pub fn take() -> Self {
        let [monotonic_ns, boottime_ns, realtime_ns] =
            [ClockId::Monotonic, ClockId::Boottime, ClockId::Realtime].map(read_ns);
        Self { monotonic_ns, boottime_ns, realtime_ns }
    }
}

/// When a wait gives up: a point on CLOCK_MONOTONIC, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Option<u64>);

impl Deadline {
    /// Waits for as long as it takes.
    pub const NEVER: Self = Self(None);

    /// Gives up when [`now_ns`] reaches `ns`. A point in the past polls once and does not sleep.
    #[must_use]
    pub const fn at_ns(ns: u64) -> Self {
        Self(Some(ns))
    }

    /// Gives up after `span` from now; a span too long to count means never.
    #[must_use]
    pub fn after(span: Duration) -> Self {
        Self(u64::try_from(span.as_nanos()).ok().and_then(|ns| now_ns().checked_add(ns)))
    }

    /// Returns the point in nanoseconds, or `None` for never.
    #[must_use]
    pub const fn ns(self) -> Option<u64> {
        self.0
    }

    /// Returns whether the point has been reached.
    #[must_use]
    pub fn is_past(self) -> bool {
        self.0.is_some_and(|ns| now_ns() >= ns)
    }

    /// Returns the absolute time for calls that take one.
    pub(crate) fn absolute(self) -> Option<Timespec> {
        self.0.map(timespec_of_ns)
    }

    /// Returns the time that is left, zero when past, for calls that take a span.
    pub(crate) fn remaining(self) -> Option<Timespec> {
        self.0.map(|ns| timespec_of_ns(ns.saturating_sub(now_ns())))
    }
}

/// Converts nanoseconds into the kernel's two-part form.
pub(crate) fn timespec_of_ns(ns: u64) -> Timespec {
    // PANIC free: u64::MAX ns are 1.8e10 s and the remainder is below 1e9, both fit an i64.
    Timespec { tv_sec: (ns / NS_PER_S).cast_signed(), tv_nsec: (ns % NS_PER_S).cast_signed() }
}

/// Lets the kernel fire this thread's timers within 1 ns instead of within its default 50 us.
///
/// The slack belongs to the calling thread and is inherited by threads and processes it creates afterwards
/// (prctl(2), PR_SET_TIMERSLACK).
pub fn shorten_timer_slack() -> Result<(), CallFailed> {
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).during("prctl", "shorten the timer slack")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_does_not_go_backwards() {
        let mut last = now_ns();
        for _ in 0..10_000 {
            let now = now_ns();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn a_snapshot_is_of_now() {
        let (before, taken) = (now_ns(), Snapshot::take());
        assert!(before <= taken.monotonic_ns && taken.monotonic_ns <= now_ns());
        assert!(taken.boottime_ns >= taken.monotonic_ns && taken.realtime_ns > 1 << 60);
    }

    #[test]
    fn deadlines_split_seconds_and_saturate() {
        assert_eq!(timespec_of_ns(3 * NS_PER_S + 7), Timespec { tv_sec: 3, tv_nsec: 7 });
        assert_eq!(Deadline::at_ns(1).remaining(), Some(Timespec { tv_sec: 0, tv_nsec: 0 }));
        assert!(Deadline::at_ns(1).is_past());
        assert!(!Deadline::NEVER.is_past());
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
    }

    #[test]
    fn timer_slack_becomes_one_nanosecond() {
        std::thread::spawn(|| {
            shorten_timer_slack().unwrap();
            assert_eq!(rustix::thread::current_timer_slack().unwrap(), 1);
        })
        .join()
        .unwrap();
    }
}
