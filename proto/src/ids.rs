//! Names and units: one newtype for everything that could be swapped by mistake.
//!
//! Units sit in the type: [`Nanos`] is a length of time, [`Instant`] a point of `CLOCK_MONOTONIC`, [`Bytes`] an
//! amount of memory. Arithmetic on what came from a peer is checked or saturating, never wrapping in silence.

use core::fmt;

use crate::text::Text;
use crate::violation::Violation;
use crate::wire::Field;
use zerocopy::byteorder::little_endian::{U32, U64};

macro_rules! number {
    ($(#[$doc:meta])* $Name:ident($int:ty as $Wire:ty), $shown:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(pub $int);

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, $shown, self.0)
            }
        }

        impl Field for $Name {
            type Wire = $Wire;
            fn to_wire(&self) -> $Wire {
                <$Wire>::new(self.0)
            }
            fn from_wire(wire: &$Wire, _field: &'static str) -> Result<Self, Violation> {
                Ok(Self(wire.get()))
            }
        }
    };
}

number!(
    /// One connected tenant process. Never reused while a broker lives.
    SessionId(u64 as U64), "s{}"
);
number!(
    /// One HSA queue of a session, chosen by the worker; unique within its session, never reused.
    QueueId(u32 as U32), "q{}"
);
number!(
    /// One buffer of a session, chosen by the worker; unique within its session, never reused.
    BufferId(u32 as U32), "b{}"
);
number!(
    /// One loaded code object of a session, chosen by the worker; unique within its session, never reused.
    CodeId(u32 as U32), "code{}"
);
number!(
    /// One thing the broker pinned for a session; chosen by the broker, never reused while it lives.
    ChargeId(u64 as U64), "c{}"
);
number!(
    /// Memory that sessions of a tenant share; chosen by the broker, never reused while it lives. No secret: who may have it is decided by whose it is.
    ShareId(u64 as U64), "m{}"
);
number!(
    /// A set of compute units that is scheduled on its own.
    PartitionId(u32 as U32), "p{}"
);
number!(
    /// Pairs an answer with its request. The asker chooses; 0 marks what nobody asked for (events).
    RequestId(u32 as U32), "r{}"
);
number!(
    /// Counts the lives of a device: it grows with every reset, and nothing of an older life is valid afterwards.
    DeviceGeneration(u32 as U32), "g{}"
);
number!(
    /// An address as kernels and the tenant see it. 0 means "none" or, in a request, "choose for me".
    DeviceAddress(u64 as U64), "{:#x}"
);
number!(
    /// An amount of memory in bytes.
    Bytes(u64 as U64), "{} B"
);
number!(
    /// A length of time in nanoseconds.
    Nanos(u64 as U64), "{} ns"
);
number!(
    /// A point in time: nanoseconds of `CLOCK_MONOTONIC`, which all processes of a host share.
    Instant(u64 as U64), "{} ns"
);

impl RequestId {
    /// Marks a message that answers no request.
    pub const EVENT: Self = Self(0);
}

impl Bytes {
    /// Returns the amount rounded up to whole pages, or `None` when that does not fit.
    pub fn round_up_to_page(self) -> Option<Self> {
        self.0.checked_next_multiple_of(crate::limits::PAGE_BYTES).map(Self)
    }

    /// Returns the sum, or `None` when it does not fit.
    pub fn checked_add(self, more: Self) -> Option<Self> {
        self.0.checked_add(more.0).map(Self)
    }
}

impl Instant {
    /// Returns how long after `earlier` this is; nothing when it is not later at all.
    pub fn since(self, earlier: Self) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the point `later` after this one, clamped to the end of time (584 years after boot).
    pub fn after(self, later: Nanos) -> Self {
        Self(self.0.saturating_add(later.0))
    }
}

impl Nanos {
    /// Returns `ms` milliseconds.
    pub const fn from_millis(ms: u32) -> Self {
        // PANIC: cannot overflow, 2^32 * 10^6 < 2^64. (`u64::from` is not const.)
        Self(ms as u64 * 1_000_000)
    }

    /// Returns `us` microseconds.
    pub const fn from_micros(us: u32) -> Self {
        Self(us as u64 * 1_000)
    }
}

/// Numbers one lease of a gate. It wraps after 2^29 leases, so only equality has a meaning.
///
/// The width is what [`gate::GateWord`](crate::gate::GateWord) has room for. A stale report would have to be half a
/// billion leases old to be taken for a new one; at 100,000 leases a second that is an hour and a half in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeaseGeneration(u32);

impl LeaseGeneration {
    /// How many bits a generation has.
    pub const BITS: u32 = 29;
    const MASK: u32 = (1 << Self::BITS) - 1;

    /// Takes the low [`Self::BITS`] bits of `raw`.
    pub const fn new(raw: u32) -> Self {
        Self(raw & Self::MASK)
    }

    /// Returns the number, below 2^29.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the generation of the next lease.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::new(self.0.wrapping_add(1))
    }
}

impl fmt::Display for LeaseGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "l{}", self.0)
    }
}

/// The name of a tenant: 1 to [`TENANT_NAME_MAX`](crate::limits::TENANT_NAME_MAX) bytes of `a-z 0-9 _ . -`, beginning
/// with a letter or digit, so that it can stand in a file name, a process title and a metric label as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Text<{ crate::limits::TENANT_NAME_MAX }>);

/// Why a string is not a tenant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// It has no bytes at all.
    Empty,
    /// It has more than [`TENANT_NAME_MAX`](crate::limits::TENANT_NAME_MAX) bytes.
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// A byte at this position is not one of `a-z 0-9 _ . -`, or the first is not a letter or digit.
    Character {
        /// Position in bytes.
        at: usize,
    },
}

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let max = crate::limits::TENANT_NAME_MAX;
        match self {
            Self::Empty => write!(f, "a tenant's name cannot be empty"),
            Self::TooLong { bytes } => write!(f, "a tenant's name has at most {max} bytes, this one has {bytes}"),
            Self::Character { at } => {
                write!(
                    f,
                    "byte {at} of the name is not one of a-z 0-9 _ . - (and a name begins with a letter or digit)"
                )
            }
        }
    }
}

impl core::error::Error for BadName {}

impl TenantName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let first = name.bytes().next().ok_or(BadName::Empty)?;
        if name.len() > crate::limits::TENANT_NAME_MAX {
            return Err(BadName::TooLong { bytes: name.len() });
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !plain(first) {
            return Err(BadName::Character { at: 0 });
        }
        if let Some(at) = name.bytes().position(|b| !plain(b) && !matches!(b, b'_' | b'.' | b'-')) {
            return Err(BadName::Character { at });
        }
        Ok(Self(Text::truncated(name)))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl Field for TenantName {
    type Wire = [u8; crate::limits::TENANT_NAME_MAX];
    fn to_wire(&self) -> Self::Wire {
        self.0.to_wire()
    }
    fn from_wire(wire: &Self::Wire, field: &'static str) -> Result<Self, Violation> {
        let text = Text::from_wire(wire, field)?;
        Self::new(text.as_str()).map_err(|_| Violation::Text { field })
    }
}

/// On the wire "no name" is all zeroes, which is no tenant's name.
impl Field for Option<TenantName> {
    type Wire = [u8; crate::limits::TENANT_NAME_MAX];
    fn to_wire(&self) -> Self::Wire {
        self.as_ref().map_or([0; crate::limits::TENANT_NAME_MAX], Field::to_wire)
    }
    fn from_wire(wire: &Self::Wire, field: &'static str) -> Result<Self, Violation> {
        if wire.iter().all(|&b| b == 0) { Ok(None) } else { TenantName::from_wire(wire, field).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_names_are_plain() {
        let long = "a".repeat(crate::limits::TENANT_NAME_MAX + 1);
        for (name, outcome) in [
            ("red", Ok(())),
            ("team-7.batch_2", Ok(())),
            ("0", Ok(())),
            ("", Err(BadName::Empty)),
            ("-red", Err(BadName::Character { at: 0 })),
            ("../etc", Err(BadName::Character { at: 0 })),
            ("a/b", Err(BadName::Character { at: 1 })),
            ("Red", Err(BadName::Character { at: 0 })),
            ("r\u{e9}d", Err(BadName::Character { at: 1 })),
            (long.as_str(), Err(BadName::TooLong { bytes: 33 })),
        ] {
            assert_eq!(TenantName::new(name).map(|_| ()), outcome, "{name:?}");
        }
    }

    #[test]
    fn lease_generations_wrap_inside_their_bits() {
        assert_eq!(LeaseGeneration::new(u32::MAX).next(), LeaseGeneration::new(0));
        assert_eq!(LeaseGeneration::new(7).next().get(), 8);
    }
}
