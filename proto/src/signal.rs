//! Signals: AMD's 64 bytes in shared memory, and our word to wake whoever waits for one.
//!
//! The layout is `amd_signal_t` of AMD's `amd_hsa_signal.h`, because device code (device-side printf, completion of
//! packets on hardware) reads and writes these bytes itself and some HIP versions read the stamps directly. A signal's
//! handle is the address of its 64 bytes.
//!
//! What AMD's layout has no room for lies beside the signals, in the same memory object:
//!
//! ```text
//! 0                 capacity x 64     one AmdSignal each
//! capacity x 64     capacity x 4      one wake word each (module `wake`)
//! capacity x 68     capacity x 8      one mailbox each: device code stores `event_id` there before it interrupts
//! ```
//!
//! Everybody here may be lied to by the tenant that owns the pool: a stamp it wrote is a claim, a value is only a value.

use core::mem::offset_of;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ids::Bytes;
use crate::limits::SIGNALS_PER_POOL_MAX;

/// Size and alignment of a signal in bytes.
pub const SIGNAL_BYTES: usize = 64;

/// `AMD_SIGNAL_KIND_INVALID`: no signal, or not any more.
pub const KIND_INVALID: i64 = 0;
/// `AMD_SIGNAL_KIND_USER`: the value is in the signal. The only kind we make, doorbells included, so that a plain store
/// by device code rings them too.
pub const KIND_USER: i64 = 1;
/// `AMD_SIGNAL_KIND_DOORBELL`: the value is a pointer to a hardware doorbell. Never made by us.
pub const KIND_DOORBELL: i64 = -1;

/// One signal (`amd_signal_t`). Shared memory is read and written by field, through [`SignalField`] offsets; this
/// type gives them and their initial values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct AmdSignal {
    /// [`KIND_USER`].
    pub kind: i64,
    /// The value. On hardware doorbells a pointer.
    pub value: i64,
    /// Address to which device code stores `event_id` when it changes the value, or 0.
    pub event_mailbox_ptr: u64,
    /// What it stores there.
    pub event_id: u32,
    /// Zero.
    pub reserved1: u32,
    /// When the packet's work began, in ticks of the system clock (nanoseconds of `CLOCK_MONOTONIC`).
    pub start_ts: u64,
    /// When it ended.
    pub end_ts: u64,
    /// The queue of a doorbell, as an address; 0 otherwise.
    pub queue_ptr: u64,
    /// Zero.
    pub reserved3: [u32; 2],
}

impl AmdSignal {
    /// Returns a signal with this value that only the host waits for.
    pub const fn new(value: i64) -> Self {
        Self {
            kind: KIND_USER,
            value,
            event_mailbox_ptr: 0,
            event_id: 0,
            reserved1: 0,
            start_ts: 0,
            end_ts: 0,
            queue_ptr: 0,
            reserved3: [0; 2],
        }
    }
}

/// Offsets of a signal's fields in bytes.
pub struct SignalField;

impl SignalField {
    /// Of `kind` (i64).
    pub const KIND: usize = offset_of!(AmdSignal, kind);
    /// Of `value` (i64, atomic).
    pub const VALUE: usize = offset_of!(AmdSignal, value);
    /// Of `event_mailbox_ptr` (u64).
    pub const MAILBOX: usize = offset_of!(AmdSignal, event_mailbox_ptr);
    /// Of `event_id` (u32).
    pub const EVENT_ID: usize = offset_of!(AmdSignal, event_id);
    /// Of `start_ts` (u64).
    pub const START: usize = offset_of!(AmdSignal, start_ts);
    /// Of `end_ts` (u64).
    pub const END: usize = offset_of!(AmdSignal, end_ts);
}

/// Where everything lies in a pool of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLayout {
    capacity: u32,
}

impl PoolLayout {
    const PER_SIGNAL: u64 = SIGNAL_BYTES as u64 + 4 + 8;
    /// Capacities are multiples of this, so that mailboxes are aligned.
    const STEP: u64 = 2;

    /// Returns the layout of a pool buffer of this size, the same in every process; `None` if it holds no signals.
    pub fn of(bytes: Bytes) -> Option<Self> {
        let fits = (bytes.0 / Self::PER_SIGNAL).min(u64::from(SIGNALS_PER_POOL_MAX));
        let capacity = fits - fits % Self::STEP;
        // PANIC: cannot be cut short, at most SIGNALS_PER_POOL_MAX.
        (capacity > 0).then_some(Self { capacity: capacity as u32 })
    }

    /// Returns how many bytes to ask for to have at least `signals` of them (at most [`SIGNALS_PER_POOL_MAX`]).
    pub fn bytes_for(signals: u32) -> Bytes {
        let signals = u64::from(signals.clamp(1, SIGNALS_PER_POOL_MAX)).next_multiple_of(Self::STEP);
        Bytes((signals * Self::PER_SIGNAL).next_multiple_of(crate::limits::PAGE_BYTES))
    }

    /// Returns how many signals there are.
    pub fn capacity(self) -> u32 {
        self.capacity
    }

    /// Returns the offset of a signal, or `None` if there is no such.
    pub fn signal(self, index: u32) -> Option<usize> {
        (index < self.capacity).then(|| index as usize * SIGNAL_BYTES)
    }

    /// Returns the offset of a signal's wake word.
    pub fn wake(self, index: u32) -> Option<usize> {
        (index < self.capacity).then(|| self.capacity as usize * SIGNAL_BYTES + index as usize * 4)
    }

    /// Returns the offset of a signal's mailbox.
    pub fn mailbox(self, index: u32) -> Option<usize> {
        (index < self.capacity).then(|| self.capacity as usize * (SIGNAL_BYTES + 4) + index as usize * 8)
    }

    /// Returns which signal lies at an offset, or `None` if none begins there.
    pub fn index_at(self, offset: u64) -> Option<u32> {
        let index = offset / SIGNAL_BYTES as u64;
        (offset.is_multiple_of(SIGNAL_BYTES as u64) && index < u64::from(self.capacity)).then_some(index as u32)
    }

    /// Returns the event id of a signal: never 0, which means "no event".
    pub fn event_id(index: u32) -> u32 {
        index + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_signal_is_amds() {
        assert_eq!((size_of::<AmdSignal>(), align_of::<AmdSignal>()), (64, 64));
        assert_eq!((SignalField::KIND, SignalField::VALUE, SignalField::MAILBOX), (0, 8, 16));
        assert_eq!((SignalField::EVENT_ID, SignalField::START, SignalField::END), (24, 32, 40));
        assert_eq!(offset_of!(AmdSignal, queue_ptr), 48);
    }

    proptest! {
        #[test]
        fn pool_parts_do_not_overlap(bytes in 0..400_000u64, at in any::<u32>()) {
            let Some(pool) = PoolLayout::of(Bytes(bytes)) else {
                prop_assert!(bytes < 2 * PoolLayout::PER_SIGNAL);
                return Ok(());
            };
            let last = pool.capacity() - 1;
            prop_assert!(pool.signal(last).unwrap() + SIGNAL_BYTES <= pool.wake(0).unwrap());
            prop_assert!(pool.wake(last).unwrap() + 4 <= pool.mailbox(0).unwrap());
            prop_assert!(pool.mailbox(last).unwrap() as u64 + 8 <= bytes);
            prop_assert_eq!(pool.mailbox(0).unwrap() % 8, 0);
            prop_assert_eq!(pool.signal(at).is_some(), at <= last);
            prop_assert_eq!(pool.index_at(pool.signal(at % (last + 1)).unwrap() as u64), Some(at % (last + 1)));
        }

        #[test]
        fn a_pool_has_room_for_what_was_asked(signals in 1..=SIGNALS_PER_POOL_MAX) {
            let pool = PoolLayout::of(PoolLayout::bytes_for(signals)).unwrap();
            prop_assert!(pool.capacity() >= signals);
        }
    }
}
