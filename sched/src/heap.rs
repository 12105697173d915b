//! An indexed 4-ary min-heap: ordered by key, then by slot, and a member can be moved or removed by its slot.
//!
//! Promise: no allocation after [`Heap::reserve`], and ties go to the lower slot, so that the order is a function of the
//! contents and not of their history.
//!
//! The positions live outside, one array for all heaps whose members are disjoint: thousands of small heaps then
//! cost no more than one large one, and sifting writes to a dense array instead of touching every node it passes.
//!
//! Key and slot share one 128-bit word, so that an entry is 16 bytes, four siblings fit one cache line and one comparison
//! orders both. That leaves 96 bits for the key: virtual time of 2^75 ns at weight 1, longer than any uptime.

use alloc::vec::Vec;
use core::hint::select_unpredictable;

const ARITY: usize = 4;
const SLOT_BITS: u32 = 32;
const NOWHERE: u32 = u32::MAX;

/// Where each slot is in the one heap that holds it.
#[derive(Debug, Default)]
pub(crate) struct Positions(Vec<u32>);

impl Positions {
    /// Makes room for one more slot.
    pub(crate) fn grow(&mut self) {
        self.0.push(NOWHERE);
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.0[slot as usize] != NOWHERE
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Heap(Vec<i128>);

fn pack(key: i128, slot: u32) -> i128 {
    debug_assert!((key << SLOT_BITS) >> SLOT_BITS == key, "key {key} does not fit 96 bits");
    (key << SLOT_BITS) | i128::from(slot)
}

fn slot_of(entry: i128) -> u32 {
    entry as u32
}

fn least(a: (usize, i128), b: (usize, i128)) -> (usize, i128) {
    let first = a.1 < b.1;
    (select_unpredictable(first, a.0, b.0), select_unpredictable(first, a.1, b.1))
}

impl Heap {
    /// Makes room for `members` in all.
    pub(crate) fn reserve(&mut self, members: usize) {
        self.0.reserve(members.saturating_sub(self.0.len()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the smallest key and its slot.
    pub(crate) fn peek(&self) -> Option<(i128, u32)> {
        self.0.first().map(|&entry| (entry >> SLOT_BITS, slot_of(entry)))
    }

    /// Returns the slot with the smallest key.
    pub(crate) fn first(&self) -> Option<u32> {
        self.0.first().map(|&entry| slot_of(entry))
    }

    /// Returns the slot with the smallest key, if that is at most `key`.
    pub(crate) fn first_up_to(&self, key: i128) -> Option<u32> {
        let entry = *self.0.first()?;
        (entry <= pack(key, u32::MAX)).then_some(slot_of(entry))
    }

    /// Returns the slot with the smallest key in either.
    pub(crate) fn first_of(a: &Heap, b: &Heap) -> Option<u32> {
        match (a.0.first(), b.0.first()) {
            (Some(&a), Some(&b)) => Some(slot_of(a.min(b))),
            (one, other) => one.or(other).map(|&entry| slot_of(entry)),
        }
    }

    /// Removes the slot with the smallest key, which there is.
    pub(crate) fn pop(&mut self, positions: &mut Positions) {
        // PANIC: the caller has seen the first entry.
        let last = self.0.pop().expect("a heap with a first entry is not empty");
        let first = match self.0.first() {
            Some(&first) => {
                self.sift_down(0, last, positions);
                first
            }
            None => last,
        };
        positions.0[slot_of(first) as usize] = NOWHERE;
    }

    /// Adds `slot`, which no heap over `positions` holds.
    pub(crate) fn push(&mut self, key: i128, slot: u32, positions: &mut Positions) {
        debug_assert!(!positions.contains(slot));
        self.0.push(0);
        self.sift_up(self.0.len() - 1, pack(key, slot), positions);
    }

    /// Removes `slot`, which this heap holds.
    pub(crate) fn remove(&mut self, slot: u32, positions: &mut Positions) {
        let hole = core::mem::replace(&mut positions.0[slot as usize], NOWHERE) as usize;
        debug_assert!(slot_of(self.0[hole]) == slot);
        // PANIC: the heap holds `slot`, so it has a last entry.
        let last = self.0.pop().expect("a heap that holds a slot is not empty");
        if hole < self.0.len() {
            self.place(hole, last, positions);
        }
    }

    /// Changes the key of `slot`, which this heap holds.
    pub(crate) fn update(&mut self, slot: u32, key: i128, positions: &mut Positions) {
        let hole = positions.0[slot as usize] as usize;
        debug_assert!(slot_of(self.0[hole]) == slot);
        self.place(hole, pack(key, slot), positions);
    }

    /// Returns the slots it holds, in no order that means anything.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|&entry| slot_of(entry))
    }

    fn place(&mut self, hole: usize, entry: i128, positions: &mut Positions) {
        if hole > 0 && entry < self.0[(hole - 1) / ARITY] {
            self.sift_up(hole, entry, positions);
        } else {
            self.sift_down(hole, entry, positions);
        }
    }

    fn sift_up(&mut self, mut hole: usize, entry: i128, positions: &mut Positions) {
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if self.0[parent] <= entry {
                break;
            }
            self.set(hole, self.0[parent], positions);
            hole = parent;
        }
        self.set(hole, entry, positions);
    }

    fn sift_down(&mut self, mut hole: usize, entry: i128, positions: &mut Positions) {
        loop {
            let first = hole * ARITY + 1;
            // Which child is least is as good as random, so it is computed rather than branched on.
            let (child, least) = match self.0.get(first..) {
                Some(&[a, b, c, d, ..]) => least(least((0, a), (1, b)), least((2, c), (3, d))),
                Some(&[a, ref rest @ ..]) => {
                    (1..).zip(rest).fold((0, a), |known, (at, &next)| least(known, (at, next)))
                }
                _ => break,
            };
            if entry < least {
                break;
            }
            self.set(hole, least, positions);
            hole = first + child;
        }
        self.set(hole, entry, positions);
    }

    fn set(&mut self, at: usize, entry: i128, positions: &mut Positions) {
        self.0[at] = entry;
        positions.0[slot_of(entry) as usize] = at as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;
    use std::vec;

    const SLOTS: u32 = 40;

    proptest! {
        /// Few distinct keys, so that ties between slots are common.
        #[test]
        fn heap_agrees_with_an_ordered_set(steps in prop::collection::vec((0..3u8, 0..SLOTS, -6..6i128), 1..400)) {
            let (mut heap, mut positions) = (Heap::default(), Positions::default());
            let mut keys = vec![None; SLOTS as usize];
            let mut set = BTreeSet::new();
            (0..SLOTS).for_each(|_| positions.grow());
            for (step, slot, key) in steps {
                let known = keys[slot as usize];
                match (step, known) {
                    (0 | 1, None) => {
                        heap.push(key, slot, &mut positions);
                        keys[slot as usize] = Some(key);
                        set.insert((key, slot));
                    }
                    (0 | 1, Some(old)) => {
                        heap.update(slot, key, &mut positions);
                        keys[slot as usize] = Some(key);
                        set.remove(&(old, slot));
                        set.insert((key, slot));
                    }
                    (_, Some(old)) => {
                        heap.remove(slot, &mut positions);
                        keys[slot as usize] = None;
                        set.remove(&(old, slot));
                    }
                    (_, None) => {}
                }
                prop_assert_eq!(heap.peek(), set.first().copied());
                prop_assert_eq!(heap.slots().count(), set.len());
                prop_assert!((0..SLOTS).all(|s| positions.contains(s) == keys[s as usize].is_some()));
            }
            while let Some(least) = set.pop_first() {
                prop_assert_eq!(heap.peek(), Some(least));
                prop_assert_eq!((heap.first(), heap.first_up_to(least.0)), (Some(least.1), Some(least.1)));
                prop_assert_eq!(heap.first_up_to(least.0 - 1), None);
                heap.pop(&mut positions);
                prop_assert!(!positions.contains(least.1));
            }
            prop_assert_eq!(heap.peek(), None);
        }
    }
}
