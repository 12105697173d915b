//! The broker's side of a gate: how a lease changes hands without a message.
//!
//! Promise: of the steps of `docs/protocol.md` these are the broker's, in its order: what a worker must find is stored before
//! the word is swapped, what the broker must find is read between loading the word and swapping it. A worker that changes its
//! word without end cannot hold the broker up: after [`TRIES`] attempts the worker counts as having been faster.
//!
//! A gate is shared with one worker and nobody else. Everything read here is a claim of that worker; the broker core checks it.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use broker::GateView;
use proto::gate::{
    GateLayout, GateWord, Level, NotNow, Request, SAVED_MAX, SAVED_WORDS, SavedDispatch, Scrub, StopReason,
};
use proto::{Bytes, Instant, LeaseGeneration, Nanos};
use sys::mapping::{Access, Mapping};
use sys::memfd::{MemFd, MemoryError};
use sys::wake;

use crate::admin::Counters;

/// How often a swap is tried. Each failure means that the worker took a step meanwhile; an honest one has two to take.
const TRIES: usize = 32;

/// A gate object, mapped.
#[derive(Debug)]
pub(super) struct Gate {
    memory: Mapping,
}

impl Gate {
    /// Creates the memory object of a gate.
    pub(super) fn create() -> Result<(MemFd, Self), MemoryError> {
        let bytes = usize::try_from(GateLayout::BYTES.0).unwrap_or(usize::MAX);
        let object = MemFd::create("wavegate-gate", bytes)?;
        let memory = Mapping::new(&object, Access::ReadWrite)?;
        Ok((object, Self { memory }))
    }

    pub(super) fn at(&self, offset: usize) -> &AtomicU64 {
        // PANIC: the object is `GateLayout::BYTES` long and writable, and all offsets are multiples of eight inside of it.
        self.memory.atomic_u64(offset).expect("a word of the gate")
    }

    pub(super) fn load(&self, offset: usize) -> u64 {
        self.at(offset).load(Ordering::Relaxed)
    }

    fn store(&self, offset: usize, value: u64) {
        // Sequentially consistent, because a request must be visible before the broker looks whether the lease is parked.
        self.at(offset).store(value, Ordering::SeqCst);
    }

    fn word(&self) -> GateWord {
        GateWord(self.at(GateLayout::WORD).load(Ordering::SeqCst))
    }

    /// Loads the word, reads the rest, and swaps in what `step` makes of it; returns what was read and whether it was swapped.
    fn swap(&self, step: impl Fn(GateWord) -> Result<GateWord, NotNow>) -> (GateView, bool) {
        for _ in 0..TRIES {
            let view = self.view();
            let Ok(new) = step(view.word) else { return (view, false) };
            let word = self.at(GateLayout::WORD);
            if word.compare_exchange(view.word.0, new.0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return (view, true);
            }
        }
        (self.view(), false)
    }

    /// Wakes the worker if it sleeps.
    fn ring(&self) {
        // PANIC: the offset is inside of the object and a multiple of four.
        let word = self.memory.atomic_u32(GateLayout::WAKE).expect("the gate's wake word");
        if let Err(error) = wake::ring(word) {
            tracing::error!(%error, "a worker could not be woken");
        }
    }

    /// Whether the worker still has this lease, running or parked.
    pub(super) fn is_held(&self, generation: LeaseGeneration) -> bool {
        self.word().holds(generation)
    }

    /// Reads what the gate says: the word first, then the rest.
    pub(super) fn view(&self) -> GateView {
        let word = self.word();
        let reason = u32::try_from(self.load(GateLayout::STOP_REASON)).ok();
        GateView {
            word,
            // Anything above its 29 bits is no lease that ever was; the truncation makes it some old one at worst.
            report: LeaseGeneration::new(self.load(GateLayout::REPORT_GENERATION) as u32),
            stop_reason: reason.and_then(StopReason::from_number),
            parked_at: Instant(self.load(GateLayout::PARKED_AT)),
            parked_total: Nanos(self.load(GateLayout::PARKED_TOTAL)),
            first_instruction_at: Instant(self.load(GateLayout::FIRST_INSTRUCTION_AT)),
            stop_seen_at: Instant(self.load(GateLayout::STOP_SEEN_AT)),
            stopped_at: Instant(self.load(GateLayout::STOPPED_AT)),
            context: Bytes(self.load(GateLayout::CONTEXT_BYTES)),
            resume: Nanos(self.load(GateLayout::RESUME_TIME)),
            scrub: Nanos(self.load(GateLayout::SCRUB_TIME)),
            dispatch_since: Instant(self.load(GateLayout::DISPATCH_SINCE)),
            dispatch_ran: Nanos(self.load(GateLayout::DISPATCH_RAN)),
        }
    }

    /// Gives the lease to a worker that wants it; returns when, or `None` if it does not want it any more.
    pub(super) fn grant(&self, now: Instant, lease: &Grant) -> Option<Instant> {
        self.store(GateLayout::SLICE_DEADLINE, now.after(lease.give_back_after).0);
        self.store(GateLayout::GRANTED_AT, now.0);
        self.store(GateLayout::SCRUB, lease.scrub.pack());
        self.store(GateLayout::MAX_DISPATCH, lease.max_dispatch.0);
        self.request(now, lease.generation, lease.level);
        let (_, granted) = self.swap(|word| word.grant(lease.generation));
        if granted {
            self.ring();
        }
        granted.then_some(now)
    }

    fn request(&self, now: Instant, generation: LeaseGeneration, level: Level) {
        self.store(GateLayout::REQUESTED_AT, now.0);
        self.store(GateLayout::REQUEST, Request { generation, level }.pack());
    }

    /// Moves the end of the slice.
    pub(super) fn renew(&self, now: Instant, give_back_after: Nanos) {
        self.store(GateLayout::SLICE_DEADLINE, now.after(give_back_after).0);
    }

    /// Asks for a lease back, and takes it if it is parked; returns what the gate said, and whether it was taken.
    pub(super) fn take(&self, now: Instant, generation: LeaseGeneration, level: Level) -> (GateView, bool) {
        self.request(now, generation, level);
        let (view, taken) = self.swap(|word| word.take(generation));
        if !taken && level == Level::Suspend {
            // A holder looks by itself; this is for one that waits for something else with the lease in its hand.
            self.ring();
        }
        (view, taken)
    }

    /// Makes sure that the worker gets no lease any more, and wakes it. A running one gives the device back first.
    pub(super) fn stop(&self) {
        self.swap(GateWord::stop);
        self.ring();
    }

    /// Asks the worker to record every dispatch, or not to any more.
    pub(super) fn set_traced(&self, traced: bool) {
        self.store(GateLayout::TRACED, u64::from(traced));
    }

    /// Reads bytes that are only text for people.
    pub(super) fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        // Outside of the gate there is nothing, and nobody asks for it.
        let _ = self.memory.read(offset, &mut bytes);
        bytes
    }

    /// Reads what the worker counted.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            packets: self.load(GateLayout::PACKETS),
            dispatches: self.load(GateLayout::DISPATCHES),
            wave_instructions: self.load(GateLayout::WAVE_INSTRUCTIONS),
            busy_ns: self.load(GateLayout::BUSY_TIME),
            faults: self.load(GateLayout::FAULTS),
            parks: self.load(GateLayout::PARKS),
            unparks: self.load(GateLayout::UNPARKS),
            bad_packets: self.load(GateLayout::BAD_PACKETS),
        }
    }

    /// Reads what the last suspend put aside, dispatch by dispatch; nothing while it is being written.
    pub(super) fn saved(&self) -> Vec<SavedDispatch> {
        let sequence = self.at(GateLayout::SAVED);
        let before = sequence.load(Ordering::Acquire);
        let word = |k: usize| self.load(GateLayout::SAVED + 8 + k * 8);
        let count = (word(0) as usize).min(SAVED_MAX);
        let entry = |n: usize| SavedDispatch::of(&std::array::from_fn(|k| word(1 + n * SAVED_WORDS + k)));
        let saved = (0..count).map(entry).collect();
        fence(Ordering::Acquire);
        // A worker that writes without end is told nothing about, and holds nobody up.
        if before.is_multiple_of(2) && sequence.load(Ordering::Relaxed) == before { saved } else { Vec::new() }
    }
}

/// A lease to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    /// Which.
    pub(super) generation: LeaseGeneration,
    /// After how long the worker gives the device back by itself if others wait.
    pub(super) give_back_after: Nanos,
    /// What is asked of it from the start.
    pub(super) level: Level,
    /// What it must erase first.
    pub(super) scrub: Scrub,
    /// Longest time one dispatch may run.
    pub(super) max_dispatch: Nanos,
}

#[cfg(test)]
mod tests {
    use proto::gate::LeaseState;

    use super::*;

    fn lease(generation: u32) -> Grant {
        Grant {
            generation: LeaseGeneration::new(generation),
            give_back_after: Nanos(7),
            level: Level::Yield,
            scrub: Scrub::ALL,
            max_dispatch: Nanos(9),
        }
    }

    fn worker(gate: &Gate, step: impl Fn(GateWord) -> Result<GateWord, NotNow>) {
        assert!(gate.swap(step).1);
    }

    #[test]
    fn a_lease_is_granted_parked_taken_and_renewed() {
        let (_object, gate) = Gate::create().unwrap();
        assert_eq!(gate.grant(Instant(100), &lease(1)), None, "an idle worker wants none");
        worker(&gate, GateWord::announce);
        assert_eq!(gate.grant(Instant(100), &lease(1)), Some(Instant(100)));
        assert_eq!(gate.view().word.state(), Some(LeaseState::Leased));
        assert_eq!((gate.load(GateLayout::SLICE_DEADLINE), gate.load(GateLayout::SCRUB)), (107, Scrub::ALL.pack()));
        let asked = |gate: &Gate, n| Request::level_for(gate.load(GateLayout::REQUEST), LeaseGeneration::new(n));
        assert_eq!((asked(&gate, 1), asked(&gate, 2)), (Level::Yield, Level::Keep));

        gate.renew(Instant(200), Nanos(5));
        assert_eq!(gate.load(GateLayout::SLICE_DEADLINE), 205);
        let (view, taken) = gate.take(Instant(210), LeaseGeneration::new(1), Level::Suspend);
        assert!(!taken && view.word.holds(LeaseGeneration::new(1)), "it runs");
        assert_eq!(asked(&gate, 1), Level::Suspend);

        gate.store(GateLayout::PARKED_AT, 220);
        worker(&gate, GateWord::park);
        assert!(!gate.take(Instant(230), LeaseGeneration::new(2), Level::Yield).1, "another lease is not meant");
        let (view, taken) = gate.take(Instant(230), LeaseGeneration::new(1), Level::Yield);
        assert!(taken);
        assert_eq!((view.word.state(), view.parked_at), (Some(LeaseState::Parked), Instant(220)));
        assert_eq!(gate.view().word.state(), Some(LeaseState::Idle));
    }

    #[test]
    fn a_stopped_gate_gives_no_lease() {
        let (_object, gate) = Gate::create().unwrap();
        worker(&gate, GateWord::announce);
        gate.stop();
        assert_eq!(gate.grant(Instant(1), &lease(1)), None);
        assert_eq!(gate.view().word.state(), Some(LeaseState::Stopping));
    }

    #[test]
    fn a_word_that_never_stands_still_does_not_hold_the_broker() {
        let (_object, gate) = Gate::create().unwrap();
        let restless = |word: GateWord| {
            // The worker is faster each time: it parks again between the look and the swap.
            gate.store(GateLayout::WORD, word.0.wrapping_add(1 << 32));
            Ok(word)
        };
        assert!(!gate.swap(restless).1);
    }

    #[test]
    fn nonsense_of_a_worker_is_read_without_harm() {
        let (_object, gate) = Gate::create().unwrap();
        for offset in (0..GateLayout::DISPATCH_LATENCY + 4096).step_by(8).filter(|o| *o != GateLayout::WAKE) {
            gate.store(offset, u64::MAX);
        }
        let view = gate.view();
        assert_eq!((view.word.state(), view.stop_reason), (None, None));
        let mut followed = super::super::figures::Followed::default();
        assert!(followed.look(&gate).is_some());
        assert_eq!(followed.dispatch_latency.distribution().count, u64::MAX);
        assert_eq!(gate.saved(), []);
        gate.store(GateLayout::SAVED, 2);
        let saved = gate.saved();
        assert_eq!((saved.len(), saved[0].kernel.as_str(), saved[0].copied()), (SAVED_MAX, "", u64::MAX));
    }
}
