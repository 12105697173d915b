//! Where everything lies in a gate object, and the small values in it.
//!
//! One cache line per writer, so that a worker counting packets does not slow down the word:
//!
//! | offset | written by | what |
//! |---|---|---|
//! | 0 | both, by compare-and-swap | [`GateWord`](super::GateWord), wake word |
//! | 64 | broker | request, deadline, stamps and duties of the lease to come |
//! | 128 | worker | report of the lease that ended, or of the one that runs |
//! | 256 | worker | counters that only grow |
//! | 1024 | worker | what the last suspend [saved](super::saved), by dispatch |
//! | 4096 | worker | [histograms](crate::histogram) |
//! | after them | worker | [finished dispatches](super::dispatches): head, names, ring; while somebody traces |
//!
//! A report is stable from the release until the next grant, and only the broker grants; so the broker reads all of it without
//! a lock. Times are [`Instant`](crate::Instant)s, lengths of time nanoseconds. The broker treats a worker's numbers as
//! claims: a time outside the lease is moved to its nearer end.

use super::dispatches;
use crate::histogram;
use crate::ids::{Bytes, LeaseGeneration};
use crate::limits::PAGE_BYTES;
use crate::wire::wire_enum;

/// Offsets in a gate object. All are of `u64` except the wake word, and all are accessed atomically.
pub struct GateLayout;

impl GateLayout {
    /// The [`GateWord`](super::GateWord).
    pub const WORD: usize = 0;
    /// The [`WakeWord`](crate::wake::WakeWord) a worker sleeps on (u32).
    pub const WAKE: usize = 8;

    /// Broker: the [`Request`].
    pub const REQUEST: usize = 64;
    /// Broker: when a holder that others wait for gives the device back without being asked. Some time after the slice's
    /// end, so that the broker, if it is not late, can look first whether the holder may go on.
    pub const SLICE_DEADLINE: usize = 72;
    /// Broker: when the lease was granted.
    pub const GRANTED_AT: usize = 80;
    /// Broker: when it last raised the request.
    pub const REQUESTED_AT: usize = 88;
    /// Broker: what to scrub before the first instruction, see [`Scrub`].
    pub const SCRUB: usize = 96;
    /// Broker: longest time one dispatch may run, in nanoseconds; 0 for no limit.
    pub const MAX_DISPATCH: usize = 104;
    /// Broker: not 0 while somebody wants to know of every [dispatch](dispatches).
    pub const TRACED: usize = 112;

    /// Worker: generation of the lease the report is about.
    pub const REPORT_GENERATION: usize = 128;
    /// Worker: the number of a [`StopReason`].
    pub const STOP_REASON: usize = 136;
    /// Worker: when it parked last.
    pub const PARKED_AT: usize = 144;
    /// Worker: how long the lease was parked in all, up to the last un-park.
    pub const PARKED_TOTAL: usize = 152;
    /// Worker: when the first instruction (or packet) of this lease ran; 0 before.
    pub const FIRST_INSTRUCTION_AT: usize = 160;
    /// Worker: when it saw that it should give the device back.
    pub const STOP_SEEN_AT: usize = 168;
    /// Worker: when the device had stopped and the context was saved.
    pub const STOPPED_AT: usize = 176;
    /// Worker: size of the context saved, in bytes.
    pub const CONTEXT_BYTES: usize = 184;
    /// Worker: how long bringing its context back took, in nanoseconds.
    pub const RESUME_TIME: usize = 192;
    /// Worker: how long scrubbing took, in nanoseconds.
    pub const SCRUB_TIME: usize = 200;
    /// Worker: since when the oldest dispatch has been running without a pause; 0 when none runs.
    pub const DISPATCH_SINCE: usize = 208;
    /// Worker: how long that dispatch had run before.
    pub const DISPATCH_RAN: usize = 216;

    /// Worker counter: packets consumed.
    pub const PACKETS: usize = 256;
    /// Worker counter: kernel dispatches completed.
    pub const DISPATCHES: usize = 264;
    /// Worker counter: wave-instructions retired, where the backend counts them.
    pub const WAVE_INSTRUCTIONS: usize = 272;
    /// Worker counter: nanoseconds in which at least one dispatch was running.
    pub const BUSY_TIME: usize = 280;
    /// Worker counter: faults of the tenant's program.
    pub const FAULTS: usize = 288;
    /// Worker counter: leases parked.
    pub const PARKS: usize = 296;
    /// Worker counter: leases un-parked without the broker.
    pub const UNPARKS: usize = 304;
    /// Worker counter: packets that were damaged or refused.
    pub const BAD_PACKETS: usize = 312;

    /// Worker: sequence of the table of what was saved: odd while it is written. The number of entries follows, then the entries,
    /// [`SAVED_WORDS`](super::SAVED_WORDS) each.
    pub const SAVED: usize = 1024;

    /// Worker histogram: from seeing a packet to its completion.
    pub const DISPATCH_LATENCY: usize = PAGE_BYTES as usize;
    /// Worker histogram: from having work to the first instruction, for leases that had to be waited for.
    pub const LEASE_WAIT: usize = Self::DISPATCH_LATENCY + histogram::BYTES;

    /// Worker: how many [records of dispatches](dispatches) it has written in all.
    pub const TRACE_HEAD: usize = (Self::LEASE_WAIT + histogram::BYTES).next_multiple_of(PAGE_BYTES as usize);
    /// Worker: names of kernels.
    pub const TRACE_NAMES: usize = Self::TRACE_HEAD + PAGE_BYTES as usize;
    /// Worker: the ring of records.
    pub const TRACE_RING: usize = Self::TRACE_NAMES + dispatches::NAMES * dispatches::NAME_BYTES;

    /// Returns where the slot of a record is, by how many were written before it.
    pub const fn trace_slot(index: u64) -> usize {
        Self::TRACE_RING + (index as usize % dispatches::SLOTS) * dispatches::SLOT_BYTES
    }

    /// Returns where a name is.
    pub const fn trace_name(row: u16) -> usize {
        Self::TRACE_NAMES + (row as usize % dispatches::NAMES) * dispatches::NAME_BYTES
    }

    /// Size of the object.
    pub const BYTES: Bytes =
        Bytes(((Self::TRACE_RING + dispatches::SLOTS * dispatches::SLOT_BYTES) as u64).next_multiple_of(PAGE_BYTES));
}

/// How urgently the broker wants a lease back. Within one lease it only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Nobody else wants the device: run, and park when drained.
    Keep = 0,
    /// Somebody waits: give the device back when drained, or at [`GateLayout::SLICE_DEADLINE`].
    Yield = 1,
    /// Stop running waves now and give the device back.
    Suspend = 2,
}

/// What the broker asks of the holder of one particular lease.
///
/// The lease's generation travels with it, so a request that comes too late cannot hit the next lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The lease meant.
    pub generation: LeaseGeneration,
    /// How urgently.
    pub level: Level,
}

impl Request {
    /// Returns the value to store.
    pub const fn pack(self) -> u64 {
        (self.generation.get() as u64) << 2 | self.level as u64
    }

    /// Returns what a stored value asks of the holder of `generation`.
    pub fn level_for(stored: u64, generation: LeaseGeneration) -> Level {
        if stored >> 2 != u64::from(generation.get()) {
            return Level::Keep;
        }
        match stored & 3 {
            0 => Level::Keep,
            1 => Level::Yield,
            // 3 means nothing; giving the device back is the answer that can hurt nobody else.
            _ => Level::Suspend,
        }
    }
}

wire_enum! {
    /// Why a worker gave the device back.
    pub enum StopReason {
        /// Its queues were drained and somebody waited.
        Drained = 1 "drained",
        /// [`GateLayout::SLICE_DEADLINE`] passed and somebody waited.
        SliceEnd = 2 "slice-end",
        /// The broker asked for it.
        Preempted = 3 "preempted",
        /// The tenant's program went wrong and nothing else can run.
        Faulted = 4 "faulted",
        /// The session ends.
        Ending = 5 "ending",
    }
}

/// What must be wiped before a lease's first instruction, because another tenant used the device last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scrub(u64);

impl Scrub {
    /// Nothing: the same tenant used the device last.
    pub const NONE: Self = Self(0);
    /// LDS.
    pub const LDS: Self = Self(1);
    /// Vector and scalar registers.
    pub const REGISTERS: Self = Self(2);
    /// Everything.
    pub const ALL: Self = Self(3);

    /// Returns the value to store.
    pub const fn pack(self) -> u64 {
        self.0
    }

    /// Returns what a stored value means; bits that mean nothing count as "everything".
    pub const fn unpack(stored: u64) -> Self {
        if stored <= Self::ALL.0 { Self(stored) } else { Self::ALL }
    }

    /// Returns whether all of `part` must be wiped.
    pub const fn includes(self, part: Self) -> bool {
        self.0 & part.0 == part.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reaches_only_its_lease() {
        let (this, other) = (LeaseGeneration::new(7), LeaseGeneration::new(8));
        let stored = Request { generation: this, level: Level::Suspend }.pack();
        assert_eq!(Request::level_for(stored, this), Level::Suspend);
        assert_eq!(Request::level_for(stored, other), Level::Keep);
        assert_eq!(Request::level_for(0, this), Level::Keep);
        assert_eq!(Request::level_for(u64::MAX, this), Level::Keep);
    }

    #[test]
    fn nonsense_means_scrub_everything() {
        assert!(Scrub::unpack(u64::MAX).includes(Scrub::LDS));
        assert!(!Scrub::unpack(0).includes(Scrub::REGISTERS));
        assert!(Scrub::ALL.includes(Scrub::LDS));
    }

    #[test]
    fn writers_share_no_cache_line() {
        const LINE: usize = 64;
        const { assert!(GateLayout::WAKE + 4 <= LINE) };
        assert_eq!(GateLayout::REQUEST / LINE, GateLayout::TRACED / LINE);
        const { assert!(GateLayout::TRACED / LINE < GateLayout::REPORT_GENERATION / LINE) };
        const { assert!(GateLayout::DISPATCH_RAN / LINE < GateLayout::PACKETS / LINE) };
        const { assert!(GateLayout::BAD_PACKETS + 8 <= GateLayout::DISPATCH_LATENCY) };
        const { assert!(GateLayout::LEASE_WAIT + histogram::BYTES <= GateLayout::TRACE_HEAD) };
        const { assert!(GateLayout::TRACE_NAMES.is_multiple_of(LINE) && GateLayout::TRACE_RING.is_multiple_of(LINE)) };
        assert_eq!(GateLayout::trace_slot(dispatches::SLOTS as u64 + 1), GateLayout::TRACE_RING + LINE);
        assert!((GateLayout::trace_slot(u64::MAX) + LINE) as u64 <= GateLayout::BYTES.0);
        assert!(GateLayout::trace_name(u16::MAX) + dispatches::NAME_BYTES <= GateLayout::TRACE_RING);
    }
}
