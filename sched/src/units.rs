//! Instants, durations, weights and shares: what must not be swapped by mistake.

use core::fmt;

/// A point on the caller's monotonic clock, in nanoseconds since an origin of its choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// Returns the time from `earlier` to `self`, or zero if the clock ran backwards between them.
    #[must_use]
    pub fn since(self, earlier: Instant) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the instant `span` later, or the last one there is.
    #[must_use]
    pub fn after(self, span: Nanos) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }
}

/// A duration in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// No time at all.
    pub const ZERO: Nanos = Nanos(0);

    /// Returns `count` microseconds, or the longest duration there is.
    #[must_use]
    pub const fn from_micros(count: u64) -> Nanos {
        Nanos(count.saturating_mul(1_000))
    }

    /// Returns `count` milliseconds, or the longest duration there is.
    #[must_use]
    pub const fn from_millis(count: u64) -> Nanos {
        Nanos(count.saturating_mul(1_000_000))
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part, unit) = match self.0 {
            ns @ 0..1_000 => return write!(f, "{ns} ns"),
            ns @ 1_000..1_000_000 => (ns / 1_000, ns % 1_000, "us"),
            ns @ 1_000_000..1_000_000_000 => (ns / 1_000_000, ns / 1_000 % 1_000, "ms"),
            ns => (ns / 1_000_000_000, ns / 1_000_000 % 1_000, "s"),
        };
        if part == 0 { write!(f, "{whole} {unit}") } else { write!(f, "{whole}.{part:03} {unit}") }
    }
}

/// A node's claim on its parent's device time, relative to its siblings.
///
/// The range is bounded so that the weights of [`u32::MAX`] siblings still add up in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// The smallest weight.
    pub const MIN: Weight = Weight(1);
    /// The largest weight.
    pub const MAX: Weight = Weight(1_000_000);
    /// What a tenant gets when nobody said otherwise: room for both less and more.
    pub const DEFAULT: Weight = Weight(100);

    /// Returns the weight `value`, or `None` outside [`Weight::MIN`] to [`Weight::MAX`].
    #[must_use]
    pub const fn new(value: u32) -> Option<Weight> {
        if value >= Self::MIN.0 && value <= Self::MAX.0 { Some(Weight(value)) } else { None }
    }

    /// Returns the weight as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Weight {
        Weight::DEFAULT
    }
}

/// A part of a device's time, in millionths: more than nothing, at most all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share(1_000_000);

    /// Returns `millionths` of the device, or `None` for zero or more than the whole.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Option<Share> {
        if millionths >= 1 && millionths <= Self::WHOLE.0 { Some(Share(millionths)) } else { None }
    }

    /// Returns `percent` of the device, or `None` for zero or more than 100.
    #[must_use]
    pub const fn from_percent(percent: u32) -> Option<Share> {
        if percent <= 100 { Self::from_millionths(percent * 10_000) } else { None }
    }

    /// Returns the share in millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 10_000, self.0 % 10_000);
        if part == 0 { write!(f, "{whole} %") } else { write!(f, "{whole}.{part:04} %") }
    }
}
