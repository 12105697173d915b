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
//! Nobody learns a request longer than L, so a deadline never comes after `v + L / w`: who is critical has missed a deadline. Members
//! are therefore looked at for the guard only from when their deadline passes, which in a crowd that keeps its word is never, and
//! a decision there moves one member out of one heap and one into it.
//!
//! A member that is alone is chosen without being ordered. Its keys are computed when a second one comes
//! ([`Queue::alone`]).
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
    /// Eligible from here on: where it stands.
    pub(crate) eligible: Ticks,
    /// Not after it becomes critical.
    pub(crate) deadline: Ticks,
    /// How far behind its position it is critical; twice as far, and it must be served.
    pub(crate) guard: u64,
}

impl Keys {
    /// Critical from here on.
    fn critical(&self) -> Ticks {
        self.eligible + Ticks::from(self.guard)
    }

    /// By when to be served once critical.
    fn last(&self) -> Ticks {
        self.eligible + 2 * Ticks::from(self.guard)
    }
}

/// In which heaps a member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Not eligible.
    #[default]
    Waiting,
    /// Eligible, its deadline to come.
    Timely,
    /// Eligible, past its deadline, and not critical.
    Overdue,
    /// Past its deadline, and critical.
    Critical,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    keys: Keys,
    place: Place,
}

/// The keys of every slot and its places in the heaps of the one queue it is in.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    seats: Vec<Seat>,
    order: Positions,
    guard: Positions,
}

impl Seats {
    /// Makes room for one more slot.
    pub(crate) fn grow(&mut self) {
        self.seats.push(Seat::default());
        self.order.grow();
        self.guard.grow();
    }

    pub(crate) fn deadline(&self, slot: u32) -> Ticks {
        self.of(slot).keys.deadline
    }

    /// Returns whether a member goes ahead of everybody's deadline.
    pub(crate) fn is_warped(&self, slot: u32) -> bool {
        let Keys { eligible, deadline, .. } = self.of(slot).keys;
        deadline < eligible
    }

    fn of(&self, slot: u32) -> &Seat {
        &self.seats[slot as usize]
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
    /// The member that is alone, if one is.
    lone: u32,
    /// Members that are not eligible, by where they become so.
    waiting: Heap,
    /// Eligible members by deadline, which is to come.
    timely: Heap,
    /// Eligible members by deadline, which has passed.
    overdue: Heap,
    /// Those of them that are not critical, by where they become so.
    uncritical: Heap,
    /// Those of them that are, by when they are to be served at last.
    critical: Heap,
}

impl Queue {
    /// Decides whether turns go round. Every member is to be rekeyed by it.
    pub(crate) fn set_round(&mut self, round: bool) {
        self.round = round;
    }

    /// Makes room for everybody who joined, so that nothing is allocated while they come and go.
    pub(crate) fn reserve(&mut self) {
        let heaps = [&mut self.waiting, &mut self.timely, &mut self.overdue, &mut self.uncritical, &mut self.critical];
        for heap in heaps {
            heap.reserve(self.joined as usize);
        }
    }

    /// Seats a member; `mean` already counts it. If there was one that was alone, it is to be rekeyed before.
    pub(crate) fn enter(&mut self, slot: u32, keys: Keys, seats: &mut Seats) {
        if self.mean.members() == 1 {
            self.lone = slot;
        }
        self.seat(slot, keys, Place::Waiting, seats);
    }

    /// Unseats a member; `mean` no longer counts it.
    pub(crate) fn exit(&mut self, slot: u32, seats: &mut Seats) {
        self.unseat(slot, seats);
        if self.mean.members() == 1 {
            let left = [&self.waiting, &self.timely, &self.overdue].into_iter().find_map(Heap::first);
            // PANIC: one member is left, and everybody is in one of the three.
            self.lone = left.expect("a member is in one of the heaps");
        }
    }

    /// Returns the member that has no other beside it, about whom the heaps are not told anything.
    pub(crate) fn alone(&self) -> Option<u32> {
        (self.mean.members() == 1).then_some(self.lone)
    }

    /// Tells the heaps where a member stands now.
    pub(crate) fn rekey(&mut self, slot: u32, keys: Keys, seats: &mut Seats) {
        let now = self.mean.ticks();
        let from = seats.of(slot).place;
        let to = if self.round || keys.eligible > now {
            Place::Waiting
        } else if keys.deadline > now {
            Place::Timely
        } else if from == Place::Critical {
            Place::Critical
        } else {
            Place::Overdue
        };
        if from != to {
            self.unseat(slot, seats);
            self.seat(slot, keys, to, seats);
            return;
        }
        seats.seats[slot as usize].keys = keys;
        match from {
            Place::Waiting => self.waiting.update(slot, keys.eligible, &mut seats.order),
            Place::Timely => self.timely.update(slot, keys.deadline, &mut seats.order),
            Place::Overdue => {
                self.overdue.update(slot, keys.deadline, &mut seats.order);
                self.uncritical.update(slot, keys.critical(), &mut seats.guard);
            }
            Place::Critical => {
                self.overdue.update(slot, keys.deadline, &mut seats.order);
                self.critical.update(slot, keys.last(), &mut seats.guard);
            }
        }
    }

    /// Returns the member to serve next, or `None` if there are none.
    pub(crate) fn choose(&mut self, rule: Rule, seats: &mut Seats) -> Option<u32> {
        if self.mean.members() == 1 {
            return Some(self.lone);
        }
        if self.round {
            return self.waiting.first();
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
        let earliest = self.earliest_deadline(seats);
        if self.overdue.is_empty() {
            return earliest;
        }
        self.sort_out_critical(seats);
        self.critical.first().or(earliest)
    }

    /// Sorts out who is critical, as far as that decides who is first.
    fn sort_out_critical(&mut self, seats: &mut Seats) {
        let now = self.mean.ticks();
        while let Some(slot) = self.uncritical.first_up_to(now) {
            self.uncritical.pop(&mut seats.guard);
            self.critical.push(seats.of(slot).keys.last(), slot, &mut seats.guard);
            seats.seats[slot as usize].place = Place::Critical;
        }
        while let Some(slot) = self.critical.first()
            && seats.of(slot).keys.critical() > now
        {
            self.critical.pop(&mut seats.guard);
            self.uncritical.push(seats.of(slot).keys.critical(), slot, &mut seats.guard);
            seats.seats[slot as usize].place = Place::Overdue;
        }
    }

    /// Returns the eligible member with the earliest deadline.
    fn earliest_deadline(&mut self, seats: &mut Seats) -> Option<u32> {
        self.promote(seats);
        // One that is overdue comes first, unless virtual time has stepped back since.
        Heap::first_of(&self.timely, &self.overdue)
    }

    /// Sorts out who is eligible and who overdue, as far as that decides who is first.
    fn promote(&mut self, seats: &mut Seats) {
        let now = self.mean.ticks();
        while let Some(slot) = self.waiting.first_up_to(now) {
            self.waiting.pop(&mut seats.order);
            let keys = seats.of(slot).keys;
            if keys.deadline > now {
                seats.seats[slot as usize].place = Place::Timely;
                self.timely.push(keys.deadline, slot, &mut seats.order);
            } else {
                self.seat(slot, keys, Place::Overdue, seats);
            }
        }
        while let Some(slot) = self.timely.first() {
            let keys = seats.of(slot).keys;
            // Virtual time steps back when somebody in debt leaves, or somebody with credit comes.
            let place = match (keys.eligible <= now, keys.deadline <= now) {
                (true, false) => break,
                (true, true) => Place::Overdue,
                (false, _) => Place::Waiting,
            };
            self.move_to(slot, place, seats);
        }
        if self.overdue.is_empty() {
            return;
        }
        for heap in [|queue: &Queue| queue.overdue.first(), |queue: &Queue| queue.critical.first()] {
            while let Some(slot) = heap(self)
                && seats.of(slot).keys.eligible > now
            {
                self.move_to(slot, Place::Waiting, seats);
            }
        }
    }

    fn move_to(&mut self, slot: u32, place: Place, seats: &mut Seats) {
        self.unseat(slot, seats);
        self.seat(slot, seats.of(slot).keys, place, seats);
    }

    /// Puts a member that is in no heap into those of `place`.
    fn seat(&mut self, slot: u32, keys: Keys, place: Place, seats: &mut Seats) {
        seats.seats[slot as usize] = Seat { keys, place };
        match place {
            Place::Waiting => self.waiting.push(keys.eligible, slot, &mut seats.order),
            Place::Timely => self.timely.push(keys.deadline, slot, &mut seats.order),
            Place::Overdue => {
                self.overdue.push(keys.deadline, slot, &mut seats.order);
                self.uncritical.push(keys.critical(), slot, &mut seats.guard);
            }
            Place::Critical => {
                self.overdue.push(keys.deadline, slot, &mut seats.order);
                self.critical.push(keys.last(), slot, &mut seats.guard);
            }
        }
    }

    /// Takes a member out of the heaps it is in.
    fn unseat(&mut self, slot: u32, seats: &mut Seats) {
        match seats.of(slot).place {
            Place::Waiting => self.waiting.remove(slot, &mut seats.order),
            Place::Timely => self.timely.remove(slot, &mut seats.order),
            Place::Overdue => {
                self.overdue.remove(slot, &mut seats.order);
                self.uncritical.remove(slot, &mut seats.guard);
            }
            Place::Critical => {
                self.overdue.remove(slot, &mut seats.order);
                self.critical.remove(slot, &mut seats.guard);
            }
        }
    }

    #[cfg(test)]
    fn urgent(&mut self, seats: &mut Seats) -> Option<u32> {
        let earliest = self.earliest_deadline(seats)?;
        self.sort_out_critical(seats);
        let critical = |slot: u32| (seats.of(slot).keys.critical(), slot);
        Some(self.critical.slots().map(critical).min().map_or(earliest, |(_, slot)| slot))
    }

    #[cfg(test)]
    fn smallest_position(&self, seats: &Seats) -> Option<u32> {
        let members = self.waiting.slots().chain(self.timely.slots()).chain(self.overdue.slots());
        members.min_by_key(|&slot| (seats.of(slot).keys.eligible, slot))
    }
}
