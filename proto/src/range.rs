//! What a peer says about memory, and what it becomes once checked.
//!
//! Promise: a [`BufferRange`] lies inside its buffer, a [`RingSlots`] is a power of two within the limits. Both can
//! only be made by the checks here, so code that takes one needs no check of its own.

use core::fmt;

use crate::ids::{BufferId, Bytes};
use crate::limits::{RING_SLOTS_MAX, RING_SLOTS_MIN};
use crate::wire::record;

record! {
    /// A part of a buffer as a peer names it. Nothing about it is known to be true.
    #[derive(Copy, Default)]
    pub struct ClaimedRange {
        /// The buffer, by the peer's account.
        buffer: BufferId,
        /// Where in it the part begins.
        offset: Bytes,
        /// How long the part is.
        bytes: Bytes,
    }
}

/// A part of a buffer, not empty, inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferRange {
    buffer: BufferId,
    offset: u64,
    bytes: u64,
}

/// Why a claimed range is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRange {
    /// It has no bytes.
    Empty,
    /// Its end lies outside the buffer.
    Outside {
        /// What was claimed.
        claim: ClaimedRange,
        /// How long the buffer is.
        buffer_bytes: Bytes,
    },
}

impl fmt::Display for BadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the range has no bytes"),
            Self::Outside { claim, buffer_bytes } => write!(
                f,
                "{} bytes at {:#x} reach outside {}, which has {buffer_bytes}",
                claim.bytes.0, claim.offset.0, claim.buffer
            ),
        }
    }
}

impl core::error::Error for BadRange {}

impl ClaimedRange {
    /// Checks the claim against the true size of the buffer it names.
    pub fn check(self, buffer_bytes: Bytes) -> Result<BufferRange, BadRange> {
        if self.bytes.0 == 0 {
            return Err(BadRange::Empty);
        }
        match self.offset.checked_add(self.bytes) {
            Some(end) if end <= buffer_bytes => {
                Ok(BufferRange { buffer: self.buffer, offset: self.offset.0, bytes: self.bytes.0 })
            }
            _ => Err(BadRange::Outside { claim: self, buffer_bytes }),
        }
    }
}

impl BufferRange {
    /// Returns the buffer it is a part of.
    pub fn buffer(&self) -> BufferId {
        self.buffer
    }

    /// Returns where it begins, in bytes from the buffer's start.
    pub fn offset(&self) -> Bytes {
        Bytes(self.offset)
    }

    /// Returns how long it is; never 0.
    pub fn bytes(&self) -> Bytes {
        Bytes(self.bytes)
    }
}

/// How many packets a ring holds: a power of two from [`RING_SLOTS_MIN`] to [`RING_SLOTS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSlots(u32);

impl RingSlots {
    /// Checks a claimed number of slots.
    pub fn new(claimed: u32) -> Option<Self> {
        ((RING_SLOTS_MIN..=RING_SLOTS_MAX).contains(&claimed) && claimed.is_power_of_two()).then_some(Self(claimed))
    }

    /// Returns the number of slots.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Returns the slot that belongs to a packet index; indices only grow, slots come round.
    pub fn slot(self, index: u64) -> u32 {
        // PANIC: cannot be cut short, the mask has at most 17 bits.
        (index & u64::from(self.0 - 1)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ring_slots_are_powers_of_two() {
        for (claimed, ok) in [(0, false), (1, false), (63, false), (64, true), (96, false), (1 << 17, true)] {
            assert_eq!(RingSlots::new(claimed).is_some(), ok, "{claimed}");
        }
        assert_eq!(RingSlots::new(1 << 18), None);
        assert_eq!(RingSlots::new(u32::MAX), None);
        assert_eq!(RingSlots::new(64).unwrap().slot(u64::MAX), 63);
    }

    fn near_edges() -> impl Strategy<Value = u64> {
        prop_oneof![0..5u64, 4090..4100u64, u64::MAX - 4..=u64::MAX, any::<u64>()]
    }

    proptest! {
        #[test]
        fn a_checked_range_lies_inside(offset in near_edges(), bytes in near_edges(), size in near_edges()) {
            let claim = ClaimedRange { buffer: BufferId(1), offset: Bytes(offset), bytes: Bytes(bytes) };
            let inside = bytes > 0 && u128::from(offset) + u128::from(bytes) <= u128::from(size);
            match claim.check(Bytes(size)) {
                Ok(range) => {
                    prop_assert!(inside);
                    prop_assert_eq!((range.offset().0, range.bytes().0), (offset, bytes));
                }
                Err(_) => prop_assert!(!inside),
            }
        }
    }
}
