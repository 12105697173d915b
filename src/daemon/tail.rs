//! The broker's side of the [ring of finished dispatches](proto::gate::dispatches): what one worker recorded since we looked last.
//!
//! Promise: whatever the worker writes, a look is bounded by the ring, gives records whose times are in order and in the past, and
//! counts the rest as missed.

use std::collections::BTreeSet;
use std::sync::atomic::{Ordering, fence};

use proto::Instant;
use proto::gate::GateLayout;
use proto::gate::dispatches::{DispatchRecord, KernelName, SLOTS, WORDS, name_of};

use super::gate::Gate;

/// Up to where the ring of a worker has been read.
#[derive(Debug)]
pub(super) struct Tail {
    next: u64,
    /// Rows of names that have been told.
    told: BTreeSet<u16>,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Records, oldest first.
    pub(super) records: Vec<DispatchRecord>,
    /// Names that these are the first to have.
    pub(super) names: Vec<(u16, KernelName)>,
    /// How many more there were that were overwritten, or made no sense.
    pub(super) missed: u64,
}

impl Tail {
    /// Begins with what is written from now on.
    pub(super) fn new(gate: &Gate) -> Self {
        Self { next: head(gate), told: BTreeSet::new() }
    }

    /// Reads what was written since the last look, at most `room` records of it.
    ///
    /// The clock is asked when it is known how far the worker is: what has ended by then has not ended in the future.
    pub(super) fn look(&mut self, gate: &Gate, clock: impl FnOnce() -> Instant, room: usize) -> Found {
        let mut found = Found::default();
        let head = head(gate);
        let now = clock();
        // A head that went back is nonsense of the worker: begin where it says.
        let Some(written) = head.checked_sub(self.next) else {
            self.next = head;
            found.missed = 1;
            return found;
        };
        let overwritten = written.saturating_sub(SLOTS as u64);
        found.missed = overwritten;
        self.next += overwritten;
        let end = head.min(self.next.saturating_add(room as u64));
        for index in self.next..end {
            match read(gate, index).and_then(|words| DispatchRecord::unpack(&words, now)) {
                Some(record) => {
                    if let Some(row) = record.name.filter(|row| self.told.insert(*row)) {
                        found.names.push((row, name_of(&gate.bytes(GateLayout::trace_name(row) + 8))));
                    }
                    found.records.push(record);
                }
                None => found.missed = found.missed.saturating_add(1),
            }
        }
        self.next = end;
        found
    }
}

fn head(gate: &Gate) -> u64 {
    gate.at(GateLayout::TRACE_HEAD).load(Ordering::Acquire)
}

/// Reads the words of a record, if they are still those of this one.
fn read(gate: &Gate, index: u64) -> Option<[u64; WORDS]> {
    let slot = GateLayout::trace_slot(index);
    let sequence = gate.at(slot);
    if sequence.load(Ordering::Acquire) != index.wrapping_add(1) {
        return None;
    }
    let words = std::array::from_fn(|word| gate.at(slot + (word + 1) * 8).load(Ordering::Relaxed));
    // Pairs with the writer's: if one of the words was of the next record, so is the sequence number now.
    fence(Ordering::Acquire);
    (sequence.load(Ordering::Relaxed) == index.wrapping_add(1)).then_some(words)
}

#[cfg(test)]
mod tests {
    use proto::QueueId;

    use super::*;

    fn record(packet: u64) -> DispatchRecord {
        let [seen_at, began_at, ended_at] = [packet + 1, packet + 2, packet + 3].map(Instant);
        DispatchRecord { queue: QueueId(1), packet, name: Some(2), object: 0, seen_at, began_at, ended_at }
    }

    /// Writes as a worker does.
    fn write(gate: &Gate, index: u64, words: [u64; WORDS]) {
        let slot = GateLayout::trace_slot(index);
        for (word, value) in (1..).zip(words) {
            gate.at(slot + word * 8).store(value, Ordering::Relaxed);
        }
        gate.at(slot).store(index + 1, Ordering::Relaxed);
        gate.at(GateLayout::TRACE_HEAD).store(index + 1, Ordering::Release);
    }

    fn packets(found: &Found) -> Vec<u64> {
        found.records.iter().map(|r| r.packet).collect()
    }

    #[test]
    fn what_was_written_since_the_last_look_is_found_once() {
        let (_object, gate) = Gate::create().unwrap();
        write(&gate, 0, record(0).pack());
        let mut tail = Tail::new(&gate);
        (1..4).for_each(|i| write(&gate, i, record(i).pack()));
        let now = || Instant(1 << 40);
        assert_eq!(packets(&tail.look(&gate, now, 2)), [1, 2]);
        let rest = tail.look(&gate, now, 2);
        assert_eq!((packets(&rest), rest.names.len(), rest.missed), (vec![3], 0, 0), "the name has been told");
        assert!(tail.look(&gate, now, 2).records.is_empty());
    }

    #[test]
    fn a_dispatch_that_ends_while_we_look_is_not_in_the_future() {
        let (_object, gate) = Gate::create().unwrap();
        let mut tail = Tail::new(&gate);
        write(&gate, 0, record(0).pack());
        let clock = || {
            write(&gate, 1, record(1).pack());
            record(0).ended_at
        };
        let found = tail.look(&gate, clock, usize::MAX);
        assert_eq!((packets(&found), found.missed), (vec![0], 0), "the other one is for the next look");
        assert_eq!(packets(&tail.look(&gate, || record(1).ended_at, usize::MAX)), [1]);
    }

    #[test]
    fn what_was_overwritten_is_counted() {
        let (_object, gate) = Gate::create().unwrap();
        let mut tail = Tail::new(&gate);
        let all = SLOTS as u64 + 10;
        (0..all).for_each(|i| write(&gate, i, record(i).pack()));
        let found = tail.look(&gate, || Instant(1 << 40), usize::MAX);
        assert_eq!((found.missed, found.records.len(), found.records[0].packet), (10, SLOTS, 10));
    }

    #[test]
    fn nonsense_of_a_worker_is_bounded_and_counted() {
        let (_object, gate) = Gate::create().unwrap();
        let mut tail = Tail::new(&gate);
        gate.at(GateLayout::TRACE_HEAD).store(u64::MAX, Ordering::Relaxed);
        let found = tail.look(&gate, || Instant(9), usize::MAX);
        assert_eq!((found.records.len(), found.missed), (0, u64::MAX));
        gate.at(GateLayout::TRACE_HEAD).store(3, Ordering::Relaxed);
        assert_eq!(tail.look(&gate, || Instant(9), usize::MAX).missed, 1, "it went back");
        write(&gate, 3, record(8).pack());
        let found = tail.look(&gate, || Instant(9), usize::MAX);
        assert_eq!((found.records.len(), found.missed), (0, 1), "it ended after now");
    }
}
