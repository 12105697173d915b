//! The worker's side of the gate: the steps of the word that are a worker's, the report, counters and histograms.
//!
//! Promise: what the report says is stored before the step that makes the broker read it. Counters and histograms have one
//! writer, the run thread, so adding to one is a load and a store.

use proto::gate::{
    GateLayout, GateWord, LeaseState, Level, NotNow, Request, SAVED_MAX, SavedDispatch, Scrub, StopReason,
};
use proto::{LeaseGeneration, Nanos, histogram};
use std::iter;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use sys::mapping::{Access, Mapping};
use sys::memfd::{MemFd, MemoryError};

pub(super) struct Gate {
    memory: Mapping,
}

impl Gate {
    pub(super) fn new(fd: OwnedFd) -> Result<Gate, MemoryError> {
        let memory = MemFd::adopt(fd, GateLayout::BYTES.0 as usize)?;
        Ok(Gate { memory: Mapping::new(&memory, Access::ReadWrite)? })
    }

    pub(super) fn at(&self, offset: usize) -> &AtomicU64 {
        // PANIC: offsets are those of `GateLayout`, aligned and inside `GateLayout::BYTES`, the size of the mapping.
        self.memory.atomic_u64(offset).expect("inside the gate")
    }

    /// The word this worker sleeps on.
    pub(super) fn wake(&self) -> &AtomicU32 {
        // PANIC: as above.
        self.memory.atomic_u32(GateLayout::WAKE).expect("inside the gate")
    }

    pub(super) fn word(&self) -> GateWord {
        GateWord(self.at(GateLayout::WORD).load(Ordering::SeqCst))
    }

    pub(super) fn state(&self) -> Option<LeaseState> {
        self.word().state()
    }

    fn change(&self, step: impl Fn(GateWord) -> Result<GateWord, NotNow>) -> Result<GateWord, NotNow> {
        let word = self.at(GateLayout::WORD);
        let mut found = word.load(Ordering::SeqCst);
        loop {
            let next = step(GateWord(found))?;
            match word.compare_exchange(found, next.0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(next),
                Err(now) => found = now,
            }
        }
    }

    pub(super) fn announce(&self) -> Result<GateWord, NotNow> {
        self.change(GateWord::announce)
    }

    pub(super) fn withdraw(&self) -> Result<GateWord, NotNow> {
        self.change(GateWord::withdraw)
    }

    pub(super) fn park(&self, now: u64) -> Result<GateWord, NotNow> {
        self.put(GateLayout::PARKED_AT, now);
        self.change(GateWord::park)
    }

    pub(super) fn unpark(&self) -> Result<GateWord, NotNow> {
        self.change(GateWord::unpark)
    }

    pub(super) fn release(&self, more: bool) -> Result<GateWord, NotNow> {
        self.change(|word| word.release(more))
    }

    /// How urgently the broker wants the lease `generation` back.
    pub(super) fn level(&self, generation: LeaseGeneration) -> Level {
        Request::level_for(self.at(GateLayout::REQUEST).load(Ordering::SeqCst), generation)
    }

    pub(super) fn slice_deadline(&self) -> u64 {
        self.at(GateLayout::SLICE_DEADLINE).load(Ordering::Acquire)
    }

    pub(super) fn scrub(&self) -> Scrub {
        Scrub::unpack(self.at(GateLayout::SCRUB).load(Ordering::Acquire))
    }

    /// Longest time one dispatch may run; 0 for no limit.
    pub(super) fn max_dispatch(&self) -> Nanos {
        Nanos(self.at(GateLayout::MAX_DISPATCH).load(Ordering::Acquire))
    }

    /// Whether somebody wants to know of every dispatch.
    pub(super) fn is_traced(&self) -> bool {
        self.at(GateLayout::TRACED).load(Ordering::Relaxed) != 0
    }

    /// Writes the bytes of a name where nobody reads yet.
    pub(super) fn put_bytes(&self, offset: usize, bytes: &[u8]) {
        // Outside of the gate nothing is written, and no caller asks for it.
        let _ = self.memory.write(offset, bytes);
    }

    /// Writes one number of the report.
    pub(super) fn put(&self, offset: usize, value: u64) {
        self.at(offset).store(value, Ordering::Release);
    }

    /// Begins the report of a lease: everything of the last one goes before the new generation says whose numbers these are.
    pub(super) fn begin_report(&self, generation: LeaseGeneration) {
        for offset in (GateLayout::STOP_REASON..=GateLayout::DISPATCH_RAN).step_by(8) {
            // What the dispatches in flight ran before is still true.
            if offset != GateLayout::DISPATCH_RAN {
                self.put(offset, 0);
            }
        }
        self.put(GateLayout::REPORT_GENERATION, u64::from(generation.get()));
    }

    /// Completes the report with the end of the lease.
    pub(super) fn end_report(&self, reason: StopReason, seen: u64, stopped: u64, context: u64) {
        self.put(GateLayout::DISPATCH_SINCE, 0);
        self.put(GateLayout::STOP_REASON, u64::from(reason.number()));
        self.put(GateLayout::STOP_SEEN_AT, seen);
        self.put(GateLayout::STOPPED_AT, stopped);
        self.put(GateLayout::CONTEXT_BYTES, context);
    }

    /// Says what the context that was just put aside is made of. Run thread only.
    pub(super) fn put_saved(&self, saved: impl ExactSizeIterator<Item = SavedDispatch>) {
        let sequence = self.at(GateLayout::SAVED);
        let begun = sequence.load(Ordering::Relaxed) | 1;
        sequence.store(begun, Ordering::Relaxed);
        // A reader that sees a word of the new table sees the odd sequence too.
        fence(Ordering::Release);
        let count = saved.len().min(SAVED_MAX);
        let words = saved.take(count).flat_map(|entry| entry.words());
        for (k, word) in iter::once(count as u64).chain(words).enumerate() {
            self.at(GateLayout::SAVED + 8 + k * 8).store(word, Ordering::Relaxed);
        }
        sequence.store(begun.wrapping_add(1), Ordering::Release);
    }

    /// Adds to a counter. Run thread only.
    pub(super) fn add(&self, offset: usize, more: u64) {
        let counter = self.at(offset);
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Counts a time in the histogram at `offset`. Run thread only.
    pub(super) fn record(&self, offset: usize, ns: u64) {
        histogram::record(|bucket| self.at(offset + bucket), Nanos(ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::gate::{GateWord, SAVED_WORDS};

    fn gate() -> (Gate, Mapping) {
        let memory = MemFd::create("gate", GateLayout::BYTES.0 as usize).unwrap();
        let broker = Mapping::new(&memory, Access::ReadWrite).unwrap();
        (Gate::new(memory.into_fd()).unwrap(), broker)
    }

    #[test]
    fn the_report_of_one_lease_does_not_leak_into_the_next() {
        let (gate, broker) = gate();
        gate.begin_report(LeaseGeneration::new(1));
        for offset in [GateLayout::PARKED_TOTAL, GateLayout::FIRST_INSTRUCTION_AT, GateLayout::RESUME_TIME] {
            gate.put(offset, 77);
        }
        gate.end_report(StopReason::Preempted, 5, 6, 7);
        gate.put(GateLayout::DISPATCH_RAN, 9);
        gate.begin_report(LeaseGeneration::new(2));
        let view = |offset| broker.load_u64(offset).unwrap();
        assert_eq!(view(GateLayout::REPORT_GENERATION), 2);
        for offset in (GateLayout::STOP_REASON..=GateLayout::DISPATCH_SINCE).step_by(8) {
            assert_eq!(view(offset), 0, "offset {offset}");
        }
        assert_eq!(view(GateLayout::DISPATCH_RAN), 9, "the dispatch has run that long before");
    }

    #[test]
    fn of_an_unpark_and_a_take_one_wins() {
        let (gate, broker) = gate();
        let generation = LeaseGeneration::new(3);
        let change = |step: &dyn Fn(GateWord) -> Result<GateWord, NotNow>| {
            let word = broker.atomic_u64(GateLayout::WORD).unwrap();
            step(GateWord(word.load(Ordering::SeqCst))).map(|next| word.store(next.0, Ordering::SeqCst))
        };
        gate.announce().unwrap();
        assert!(gate.announce().is_err());
        change(&|w| w.grant(generation)).unwrap();
        gate.park(11).unwrap();
        change(&|w| w.take(generation)).unwrap();
        assert!(gate.unpark().is_err() && gate.release(true).is_err());
        assert_eq!(gate.state(), Some(LeaseState::Idle));
    }

    #[test]
    fn what_was_saved_is_a_table_with_an_even_number_in_front() {
        let (gate, broker) = gate();
        let view = |offset| broker.load_u64(offset).unwrap();
        for suspends in 1..4u32 {
            let entry = |n: u32| SavedDispatch { packet: u64::from(n), vgpr: 512, ..SavedDispatch::default() };
            // More than the table holds: the first ones are named.
            gate.put_saved((0..20 * suspends).map(entry).collect::<Vec<_>>().into_iter());
            assert_eq!(view(GateLayout::SAVED), u64::from(2 * suspends));
            assert_eq!(view(GateLayout::SAVED + 8), SAVED_MAX as u64);
            let last = GateLayout::SAVED + 16 + (SAVED_MAX - 1) * SAVED_WORDS * 8;
            let words = std::array::from_fn(|k| view(last + 8 * k));
            assert_eq!(SavedDispatch::of(&words), entry(SAVED_MAX as u32 - 1));
            assert_eq!(view(GateLayout::DISPATCH_LATENCY), 0, "the histograms begin behind it");
        }
    }

    #[test]
    fn times_are_counted_in_their_bucket() {
        let (gate, broker) = gate();
        for ns in [100, 100, u64::MAX] {
            gate.record(GateLayout::LEASE_WAIT, ns);
        }
        let count = |ns| broker.load_u64(GateLayout::LEASE_WAIT + histogram::bucket_of(Nanos(ns)) * 8).unwrap();
        assert_eq!((count(100), count(101), count(u64::MAX)), (2, 0, 1));
    }
}
