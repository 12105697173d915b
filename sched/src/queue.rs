//! The order among siblings.
//!
//! Promise: [`Queue::choose`] returns an eligible member: one that has received no more than its share. It is
//!
//! 1. if anybody is *critical*, behind by the guard distance L: of those the one with the smallest `v + 2 L / w`, the last
//!    moment to serve it at;
//! 2. else the one with the earliest deadline `v + r / w`.
//!
//! The first rule is EEVDF with the longest request for everybody, on virtual time that is late by L: so nobody is ever behind by
//! more than 2 L, whatever the second one does. `bounds` has the proof.
//!
//! Ties go to the lower slot. O(log n), no allocation.
//!
//! Where turns go [round](Queue::set_round) the keys are places in the round, nobody is ever early or late, and the smallest key
//! is chosen.
//!
//! The heaps hold what they were last told about a member. For the leaseholder that may be behind the truth; its owner
//! tells them before it asks ([`Queue::rekey`]).

use alloc::vec::Vec;

use crate::heap::{Heap, Positions};
use crate::virt::{Mean, Ticks};

/// Which member is chosen. A value, so that tests can put a wrong rule in and see that they fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The two rules of the module.
    #[default]
    Guarded,
    /// Smallest virtual position: start-time fair queueing, CFS, Linux DRM "fair".
    #[cfg(test)]
    SmallestPosition,
    /// Of those who are critical the one that became so first, and not the one that is furthest behind.
    #[cfg(test)]
    Urgent,
    /// Earliest eligible deadline, whoever may be critical.
    #[cfg(test)]
    Unguarded,
}

/// By what a member is ordered, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keys {
    /// Eligible from here on.
    pub(crate) eligible: Ticks,
    pub(crate) deadline: Ticks,
    /// Critical from here on.
    pub(crate) critical: Ticks,
    /// By when to be served once critical.
    pub(crate) last: Ticks,
    /// Whether the deadline is now, because the node is of the latency class and has warp left.
    pub(crate) warped: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    keys: Keys,
    /// Eligible, not waiting.
    promoted: bool,
    /// Critical, not only eligible.
    due: bool,
}

/// The keys of every slot and its places in the heaps of the one queue it is in.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    seats: Vec<Seat>,
    order: Positions,
    critical: Positions,
}

impl Seats {
    /// Makes room for one more slot.
    pub(crate) fn grow(&mut self) {
        self.seats.push(Seat::default());
        self.order.grow();
        self.critical.grow();
    }

    pub(crate) fn deadline(&self, slot: u32) -> Ticks {
        self.seats[slot as usize].keys.deadline
    }

    pub(crate) fn is_warped(&self, slot: u32) -> bool {
        self.seats[slot as usize].keys.warped
    }
}

/// The members of one node, and what its parent need not know.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) mean: Mean,
    /// All service its members, runnable or not, were charged, in ns.
    pub(crate) service_ns: u64,
    /// How many have joined, runnable or not.
    pub(crate) joined: u32,
    /// How many of them have a guarantee.
    pub(crate) guaranteed: u32,
    /// The sum of their weights.
    pub(crate) joined_weight: u64,
    /// Turns go round: all members wait, by place.
    round: bool,
    /// Members that are not eligible, by where they become so.
    waiting: Heap,
    /// Eligible members by deadline.
    eligible: Heap,
    /// Eligible members that are not critical, by where they become so.
    uncritical: Heap,
    /// Critical members by when they are to be served at last.
    due: Heap,
}

impl Queue {
    /// Decides whether turns go round. Every member is to be rekeyed by it.
    pub(crate) fn set_round(&mut self, round: bool) {
        self.round = round;
    }

    /// Makes room for everybody who joined, so that nothing is allocated while they come and go.
    pub(crate) fn reserve(&mut self) {
        for heap in [&mut self.waiting, &mut self.eligible, &mut self.uncritical, &mut self.due] {
            heap.reserve(self.joined as usize);
        }
    }

    #[cfg(test)]
    pub(crate) fn capacities(&self) -> [usize; 4] {
        [&self.waiting, &self.eligible, &self.uncritical, &self.due].map(Heap::capacity)
    }

    /// Seats a member; `mean` already counts it.
    pub(crate) fn enter(&mut self, slot: u32, keys: Keys, seats: &mut Seats) {
        seats.seats[slot as usize] = Seat { keys, promoted: false, due: false };
        self.waiting.push(keys.eligible, slot, &mut seats.order);
    }

    /// Unseats a member.
    pub(crate) fn exit(&mut self, slot: u32, seats: &mut Seats) {
        if seats.seats[slot as usize].promoted {
            self.eligible.remove(slot, &mut seats.order);
            self.guard_of(slot, seats).remove(slot, &mut seats.critical);
        } else {
            self.waiting.remove(slot, &mut seats.order);
        }
    }

    /// Returns the one of the two heaps of the guard that holds an eligible member.
    fn guard_of(&mut self, slot: u32, seats: &Seats) -> &mut Heap {
        if seats.seats[slot as usize].due { &mut self.due } else { &mut self.uncritical }
    }

    /// Tells the heaps where a member stands now.
    pub(crate) fn rekey(&mut self, slot: u32, keys: Keys, seats: &mut Seats) {
        let promoted = !self.round && keys.eligible <= self.mean.ticks();
        seats.seats[slot as usize].keys = keys;
        let seat = seats.seats[slot as usize];
        match (seat.promoted, promoted) {
            (true, true) => {
                self.eligible.update(slot, keys.deadline, &mut seats.order);
                let key = if seat.due { keys.last } else { keys.critical };
                self.guard_of(slot, seats).update(slot, key, &mut seats.critical);
            }
            (false, false) => self.waiting.update(slot, keys.eligible, &mut seats.order),
            _ => self.reseat(slot, promoted, seats),
        }
    }

    /// Returns the member to serve next, or `None` if there are none.
    pub(crate) fn choose(&mut self, rule: Rule, seats: &mut Seats) -> Option<u32> {
        if self.round {
            return self.waiting.peek().map(|(_, slot)| slot);
        }
        let chosen = match rule {
            Rule::Guarded => self.guarded(seats),
            #[cfg(test)]
            Rule::Urgent => self.urgent(seats),
            #[cfg(test)]
            Rule::SmallestPosition => self.smallest_position(seats),
            #[cfg(test)]
            Rule::Unguarded => self.earliest_deadline(seats),
        };
        debug_assert!(chosen.is_some() || self.mean.members() == 0, "somebody is always eligible");
        chosen
    }

    /// Follows the two rules of the module.
    fn guarded(&mut self, seats: &mut Seats) -> Option<u32> {
        let earliest = self.earliest_deadline(seats)?;
        self.sort_out_critical(seats);
        Some(self.due.peek().map_or(earliest, |(_, slot)| slot))
    }

    /// Sorts out who is critical, as far as that decides who is first.
    fn sort_out_critical(&mut self, seats: &mut Seats) {
        let now = self.mean.ticks();
        while let Some((critical, slot)) = self.uncritical.peek()
            && critical <= now
        {
            self.uncritical.remove(slot, &mut seats.critical);
            let seat = &mut seats.seats[slot as usize];
            seat.due = true;
            self.due.push(seat.keys.last, slot, &mut seats.critical);
        }
        while let Some((_, slot)) = self.due.peek()
            && seats.seats[slot as usize].keys.critical > now
        {
            self.due.remove(slot, &mut seats.critical);
            let seat = &mut seats.seats[slot as usize];
            seat.due = false;
            self.uncritical.push(seat.keys.critical, slot, &mut seats.critical);
        }
    }

    /// Returns the eligible member with the earliest deadline.
    pub(crate) fn earliest_deadline(&mut self, seats: &mut Seats) -> Option<u32> {
        self.promote(seats);
        self.eligible.peek().map(|(_, slot)| slot)
    }

    /// Sorts out who is eligible, as far as that decides who is first.
    fn promote(&mut self, seats: &mut Seats) {
        let now = self.mean.ticks();
        while let Some((eligible, slot)) = self.waiting.peek()
            && eligible <= now
        {
            self.reseat(slot, true, seats);
        }
        // Virtual time steps back when somebody in debt leaves, or somebody with credit comes.
        for heap in [|queue: &Queue| queue.eligible.peek(), |queue: &Queue| queue.due.peek()] {
            while let Some((_, slot)) = heap(self)
                && seats.seats[slot as usize].keys.eligible > now
            {
                self.reseat(slot, false, seats);
            }
        }
    }

    fn reseat(&mut self, slot: u32, promoted: bool, seats: &mut Seats) {
        let keys = seats.seats[slot as usize].keys;
        if promoted {
            self.waiting.remove(slot, &mut seats.order);
            self.eligible.push(keys.deadline, slot, &mut seats.order);
            self.uncritical.push(keys.critical, slot, &mut seats.critical);
        } else {
            self.eligible.remove(slot, &mut seats.order);
            self.guard_of(slot, seats).remove(slot, &mut seats.critical);
            self.waiting.push(keys.eligible, slot, &mut seats.order);
        }
        let seat = &mut seats.seats[slot as usize];
        (seat.promoted, seat.due) = (promoted, false);
    }

    #[cfg(test)]
    fn urgent(&mut self, seats: &mut Seats) -> Option<u32> {
        let earliest = self.earliest_deadline(seats)?;
        self.sort_out_critical(seats);
        let critical = |slot: u32| (seats.seats[slot as usize].keys.critical, slot);
        Some(self.due.slots().map(critical).min().map_or(earliest, |(_, slot)| slot))
    }

    #[cfg(test)]
    fn smallest_position(&self, seats: &Seats) -> Option<u32> {
        self.waiting
            .slots()
            .chain(self.eligible.slots())
            .min_by_key(|&slot| (seats.seats[slot as usize].keys.eligible, slot))
    }
}
