//! The order among siblings.
//!
//! Promise: [`Queue::choose`] returns an eligible member: one that has received no more than its share. It is
//!
//! 1. the one furthest behind, if anybody is behind by the guard distance: the smallest `v + L / w` that virtual time has
//!    passed;
//! 2. else the one with the earliest deadline `v + r / w`, while predictions are kept;
//! 3. else, when [`Trust`] is exhausted, again the smallest `v + L / w`: EEVDF with the longest request for everybody.
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
use crate::request::Trust;
use crate::virt::{Mean, Ticks};

/// Which member is chosen. A value, so that tests can put a wrong rule in and see that they fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The three rules of the module.
    #[default]
    Guarded,
    /// Smallest virtual position: start-time fair queueing, CFS, Linux DRM "fair".
    #[cfg(test)]
    SmallestPosition,
    /// The first two: predictions are believed whether they are kept or not.
    #[cfg(test)]
    Gullible,
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
    /// Whether the deadline is now, because the node is of the latency class and has warp left.
    pub(crate) warped: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    keys: Keys,
    promoted: bool,
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
    /// Whether its members keep to their predictions.
    pub(crate) trust: Trust,
    /// Turns go round: all members wait, by place.
    round: bool,
    /// Members that are not eligible, by where they become so.
    waiting: Heap,
    /// Eligible members by deadline.
    eligible: Heap,
    /// Eligible members by where they become critical.
    critical: Heap,
}

impl Queue {
    /// Returns a queue without members.
    pub(crate) fn new(trust: Trust) -> Queue {
        Queue { trust, ..Queue::default() }
    }

    /// Decides whether turns go round. Every member is to be rekeyed by it.
    pub(crate) fn set_round(&mut self, round: bool) {
        self.round = round;
    }

    /// Makes room for everybody who joined, so that nothing is allocated while they come and go.
    pub(crate) fn reserve(&mut self) {
        for heap in [&mut self.waiting, &mut self.eligible, &mut self.critical] {
            heap.reserve(self.joined as usize);
        }
    }

    #[cfg(test)]
    pub(crate) fn capacities(&self) -> [usize; 3] {
        [&self.waiting, &self.eligible, &self.critical].map(Heap::capacity)
    }

    /// Seats a member; `mean` already counts it.
    pub(crate) fn enter(&mut self, slot: u32, keys: Keys, seats: &mut Seats) {
        seats.seats[slot as usize] = Seat { keys, promoted: false };
        self.waiting.push(keys.eligible, slot, &mut seats.order);
    }

    /// Unseats a member.
    pub(crate) fn exit(&mut self, slot: u32, seats: &mut Seats) {
        if seats.seats[slot as usize].promoted {
            self.eligible.remove(slot, &mut seats.order);
            self.critical.remove(slot, &mut seats.critical);
        } else {
            self.waiting.remove(slot, &mut seats.order);
        }
    }

    /// Tells the heaps where a member stands now.
    pub(crate) fn rekey(&mut self, slot: u32, keys: Keys, seats: &mut Seats) {
        let promoted = !self.round && keys.eligible <= self.mean.ticks();
        let seat = &mut seats.seats[slot as usize];
        seat.keys = keys;
        match (seat.promoted, promoted) {
            (true, true) => {
                self.eligible.update(slot, keys.deadline, &mut seats.order);
                self.critical.update(slot, keys.critical, &mut seats.critical);
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
            Rule::Guarded => self.guarded(self.trust.is_exhausted(), seats),
            #[cfg(test)]
            Rule::Gullible => self.guarded(false, seats),
            #[cfg(test)]
            Rule::SmallestPosition => self.smallest_position(seats),
            #[cfg(test)]
            Rule::Unguarded => self.earliest_deadline(seats),
        };
        debug_assert!(chosen.is_some() || self.mean.members() == 0, "somebody is always eligible");
        chosen
    }

    /// Follows the three rules of the module. A latency node with warp left keeps its deadline under the third: what it can
    /// take ahead of its turn is limited by the warp already.
    fn guarded(&mut self, distrust: bool, seats: &mut Seats) -> Option<u32> {
        let earliest = self.earliest_deadline(seats)?;
        let (critical, furthest) = self.critical.peek()?;
        let strict = distrust && !seats.seats[earliest as usize].keys.warped;
        Some(if strict || critical <= self.mean.ticks() { furthest } else { earliest })
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
        for heap in [|queue: &Queue| queue.eligible.peek(), |queue: &Queue| queue.critical.peek()] {
            while let Some((_, slot)) = heap(self)
                && seats.seats[slot as usize].keys.eligible > now
            {
                self.reseat(slot, false, seats);
            }
        }
    }

    fn reseat(&mut self, slot: u32, promoted: bool, seats: &mut Seats) {
        let seat = &mut seats.seats[slot as usize];
        seat.promoted = promoted;
        if promoted {
            self.waiting.remove(slot, &mut seats.order);
            self.eligible.push(seat.keys.deadline, slot, &mut seats.order);
            self.critical.push(seat.keys.critical, slot, &mut seats.critical);
        } else {
            self.eligible.remove(slot, &mut seats.order);
            self.critical.remove(slot, &mut seats.critical);
            self.waiting.push(seat.keys.eligible, slot, &mut seats.order);
        }
    }

    #[cfg(test)]
    fn smallest_position(&self, seats: &Seats) -> Option<u32> {
        self.waiting
            .slots()
            .chain(self.eligible.slots())
            .min_by_key(|&slot| (seats.seats[slot as usize].keys.eligible, slot))
    }
}
