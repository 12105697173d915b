//! Which parts of a span of bytes are free: best fit, or a place the caller names.
//!
//! Promises: ranges handed out never overlap, freed neighbours become one again, and both cost O(log n) in the number
//! of holes. Pure bookkeeping: it knows offsets and no memory.
//!
//! Ready-made allocators (`range-alloc`, `offset-allocator`) cannot claim a range at a given offset, which the second
//! process of a pair needs in order to mirror what the first one chose.

use std::collections::{BTreeMap, BTreeSet};

/// The holes of a span that starts at offset zero. All numbers are bytes.
#[derive(Debug)]
pub(crate) struct FreeRanges {
    /// Start of each hole -> its length. Holes neither touch nor overlap.
    by_start: BTreeMap<usize, usize>,
    /// The same holes as (length, start), for best fit.
    by_len: BTreeSet<(usize, usize)>,
    free: usize,
}

impl FreeRanges {
    /// Returns a span of `len` bytes, all free.
    pub(crate) fn new(len: usize) -> Self {
        let mut ranges = Self { by_start: BTreeMap::new(), by_len: BTreeSet::new(), free: 0 };
        ranges.insert_hole(0, len);
        ranges
    }

    /// Returns how many bytes are free.
    pub(crate) fn free(&self) -> usize {
        self.free
    }

    /// Returns the length of the largest hole.
    pub(crate) fn largest(&self) -> usize {
        self.by_len.last().map_or(0, |&(len, _)| len)
    }

    /// Takes `len` bytes at a multiple of `align` (a power of two) from the smallest hole that holds them.
    pub(crate) fn allocate(&mut self, len: usize, align: usize) -> Option<usize> {
        debug_assert!(len > 0 && align.is_power_of_two());
        // Large alignments can make a hole unfit that is long enough; so go on to the next larger one.
        let fit = self.by_len.range((len, 0)..).find_map(|&(hole_len, hole)| {
            let start = hole.checked_next_multiple_of(align)?;
            (start.checked_add(len)? <= hole + hole_len).then_some(start)
        })?;
        self.claim(fit, len).then_some(fit)
    }

    /// Takes exactly `len` bytes at `start`; returns whether all of them were free.
    pub(crate) fn claim(&mut self, start: usize, len: usize) -> bool {
        let Some(end) = start.checked_add(len) else { return false };
        let Some((&hole, &hole_len)) = self.by_start.range(..=start).next_back() else { return false };
        let hole_end = hole + hole_len;
        if len == 0 || end > hole_end {
            return false;
        }
        self.remove_hole(hole, hole_len);
        self.insert_hole(hole, start - hole);
        self.insert_hole(end, hole_end - end);
        true
    }

    /// Gives back `len` bytes at `start`, which were taken before.
    pub(crate) fn release(&mut self, mut start: usize, mut len: usize) {
        if let Some((&before, &before_len)) = self.by_start.range(..start).next_back() {
            debug_assert!(before + before_len <= start, "released twice");
            if before + before_len == start {
                self.remove_hole(before, before_len);
                (start, len) = (before, before_len + len);
            }
        }
        if let Some((&after, &after_len)) = self.by_start.range(start..).next() {
            debug_assert!(start + len <= after, "released twice");
            if start + len == after {
                self.remove_hole(after, after_len);
                len += after_len;
            }
        }
        self.insert_hole(start, len);
    }

    fn insert_hole(&mut self, start: usize, len: usize) {
        if len > 0 {
            self.by_start.insert(start, len);
            self.by_len.insert((len, start));
            self.free += len;
        }
    }

    fn remove_hole(&mut self, start: usize, len: usize) {
        self.by_start.remove(&start);
        self.by_len.remove(&(len, start));
        self.free -= len;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: usize = 256;

    #[derive(Debug, Clone)]
    enum Step {
        Allocate { len: usize, align_log2: u32 },
        Claim { start: usize, len: usize },
        Release { which: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..40usize, 0..6u32).prop_map(|(len, align_log2)| Step::Allocate { len, align_log2 }),
            (0..SPAN + 8, 0..40usize).prop_map(|(start, len)| Step::Claim { start, len }),
            any::<usize>().prop_map(|which| Step::Release { which }),
            any::<usize>().prop_map(|which| Step::Release { which }),
        ]
    }

    proptest! {
        /// Against a bitmap: nothing is handed out twice, nothing free is refused, holes merge.
        #[test]
        fn agrees_with_a_bitmap(steps in prop::collection::vec(step(), 1..200)) {
            let mut ranges = FreeRanges::new(SPAN);
            let mut used = vec![false; SPAN];
            let mut held: Vec<(usize, usize)> = Vec::new();
            let fits = |used: &[bool], start: usize, len: usize| {
                used.get(start..start.saturating_add(len)).is_some_and(|r| r.iter().all(|u| !u))
            };
            for step in steps {
                match step {
                    Step::Allocate { len, align_log2 } => {
                        let align = 1 << align_log2;
                        let possible = (0..SPAN).step_by(align).any(|start| fits(&used, start, len));
                        let got = ranges.allocate(len, align);
                        prop_assert_eq!(got.is_some(), possible);
                        if let Some(start) = got {
                            prop_assert!(start % align == 0 && fits(&used, start, len));
                            used[start..start + len].fill(true);
                            held.push((start, len));
                        }
                    }
                    Step::Claim { start, len } => {
                        let possible = len > 0 && fits(&used, start, len);
                        prop_assert_eq!(ranges.claim(start, len), possible);
                        if possible {
                            used[start..start + len].fill(true);
                            held.push((start, len));
                        }
                    }
                    Step::Release { which } => {
                        if held.is_empty() { continue; }
                        let (start, len) = held.swap_remove(which % held.len());
                        ranges.release(start, len);
                        used[start..start + len].fill(false);
                    }
                }
                prop_assert_eq!(ranges.free(), used.iter().filter(|u| !**u).count());
                let longest = used.split(|&u| u).map(<[bool]>::len).max().unwrap_or(0);
                prop_assert_eq!(ranges.largest(), longest);
            }
        }
    }
}
