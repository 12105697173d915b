//! `canary` and `canary_write`: what one program left in LDS and registers, seen by the next.
//!
//! The two fill a compute unit of CDNA2 or CDNA3 alone: 256 work-items (a wave on each SIMD), all 512 vector registers of
//! a lane, all 64 KiB of LDS. So a `canary` that runs where a `canary_write` ran before has the same cells, and on a
//! device that does not scrub it finds the pattern. Its oracle demands zeros; [`survivors`] says how many words of a
//! known tag came through, so that a test can also prove that it would notice. `canary_scalars` does both in one program, for the scalar registers
//! of all wave slots.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, words};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "canary",
    "stores LDS and registers it never wrote: zeros, or somebody's secrets",
    Sizes { unit: "work-groups", small: 2, default: 8, max: 1024 },
    |groups, _seed| read_case(groups)
);

pub(crate) const WRITE_KERNEL: Kernel = super::kernel!(
    "canary_write",
    "fills LDS and registers with a pattern and leaves it there for `canary`",
    Sizes { unit: "work-groups", small: 2, default: 8, max: 1 << 20 },
    |groups, seed| write_case(groups, Random::new(seed).u32() >> 2 | 1 << 30)
);

pub(crate) const SCALARS_KERNEL: Kernel = super::kernel!(
    "canary_scalars",
    "stores scalar registers of every wave slot that it never wrote, and leaves a pattern there",
    Sizes { unit: "work-groups", small: 3, default: 64, max: 1 << 20 },
    |groups, seed| scalars_case(groups, Random::new(seed).u32() >> 2 | 1 << 30)
);

/// Work-groups of `canary_scalars` that take all wave slots of a compute unit.
pub const SCALAR_GROUPS: u32 = 8;

const ITEMS: usize = 256;
const LDS_WORDS: usize = 16384;

/// Words of a lane in the dump: v0 to v255, a0 to a255. The first 16 are not stored.
const LANE_WORDS: usize = 512;
const LANE_FIRST: usize = 16;

/// The scalar registers in the dump, 64 words a wave of which 60 are used.
const SCALARS: std::ops::Range<u32> = 36..96;
const SCALAR_WORDS: usize = 64;

const DUMP_WORDS: usize = LDS_WORDS + ITEMS * LANE_WORDS + ITEMS / 64 * SCALAR_WORDS;

/// Makes a run of `canary` on `groups` work-groups.
///
/// # Panics
/// If `groups` is 0 or over 2^24 - 1.
pub fn read_case(groups: u32) -> Case {
    Case {
        kernel: KERNEL.name,
        grid: grid(groups),
        workgroup: [ITEMS as u16, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::output("dump", Element::U32, groups as usize * DUMP_WORDS)],
        args: vec![Arg::buffer(0)],
        ending: Ending::Completes,
        work: None,
        oracle: Arc::new(Clean { groups: groups as usize }),
    }
}

/// Makes a run of `canary_write` on `groups` work-groups; `tag` decides the pattern, and no word of it is 0 for
/// any `tag` from 1 to 2^31.
///
/// # Panics
/// If `groups` is 0 or over 2^24 - 1.
pub fn write_case(groups: u32, tag: u32) -> Case {
    Case {
        kernel: WRITE_KERNEL.name,
        grid: grid(groups),
        workgroup: [ITEMS as u16, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::output("folded", Element::U32, groups as usize * ITEMS)],
        args: vec![Arg::buffer(0), Arg::U32(tag)],
        ending: Ending::Completes,
        work: None,
        oracle: Arc::new(Folded { groups: groups as usize, tag }),
    }
}

/// Makes a run of `canary_scalars` on `groups` work-groups; `tag` decides the pattern that it leaves.
///
/// # Panics
/// If `groups` is 0 or over 2^24 - 1.
pub fn scalars_case(groups: u32, tag: u32) -> Case {
    let waves = groups as usize * ITEMS / 64;
    Case {
        kernel: SCALARS_KERNEL.name,
        grid: grid(groups),
        workgroup: [ITEMS as u16, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::output("dump", Element::U32, waves * SCALAR_WORDS)],
        args: vec![Arg::buffer(0), Arg::U32(tag)],
        ending: Ending::Completes,
        work: None,
        oracle: Arc::new(CleanScalars { waves }),
    }
}

/// Counts the words of `dump`, the first buffer of a `canary_scalars` run, that an earlier run with `tag` left there.
pub fn scalar_survivors(dump: &[u8], tag: u32) -> u64 {
    let found = words(dump).enumerate().filter(|&(at, word)| {
        let scalar = SCALARS.start + (at % SCALAR_WORDS) as u32;
        SCALARS.contains(&scalar) && word == Cell::Scalar(scalar).pattern(tag)
    });
    found.count() as u64
}

fn grid(groups: u32) -> [u32; 3] {
    assert!((1..1 << 24).contains(&groups), "a grid has 1 to 2^24 - 1 work-groups of 256, not {groups}");
    [groups * ITEMS as u32, 1, 1]
}

/// Words of a pattern found where they were left, by kind of storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survivors {
    /// Words of LDS.
    pub lds: u64,
    /// Words of v16 to v255.
    pub vector: u64,
    /// Words of a0 to a255.
    pub accumulation: u64,
    /// Scalar registers s36 to s95.
    pub scalar: u64,
}

impl Survivors {
    /// Returns all of them together.
    pub const fn total(&self) -> u64 {
        self.lds + self.vector + self.accumulation + self.scalar
    }
}

/// Counts the words of `dump`, the first buffer of a `canary` run, that `canary_write` with `tag` left there.
pub fn survivors(dump: &[u8], tag: u32) -> Survivors {
    let mut found = Survivors::default();
    for (at, word) in words(dump).enumerate() {
        let Some(cell) = Cell::at(at % DUMP_WORDS) else { continue };
        let count = match cell {
            Cell::Lds(_) => &mut found.lds,
            Cell::Vector(_) => &mut found.vector,
            Cell::Accumulation(_) => &mut found.accumulation,
            Cell::Scalar(_) => &mut found.scalar,
        };
        *count += u64::from(word == cell.pattern(tag));
    }
    found
}

/// A place in the hardware that a program can leave something in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Lds(u32),
    Vector(u32),
    Accumulation(u32),
    Scalar(u32),
}

impl Cell {
    /// Returns what a word of a work-group's dump shows, or `None` for words that are not stored.
    fn at(word: usize) -> Option<Cell> {
        if word < LDS_WORDS {
            return Some(Cell::Lds(word as u32));
        }
        let word = word - LDS_WORDS;
        if word < ITEMS * LANE_WORDS {
            let register = word % LANE_WORDS;
            return match register {
                0..LANE_FIRST => None,
                LANE_FIRST..256 => Some(Cell::Vector(register as u32)),
                _ => Some(Cell::Accumulation(register as u32 - 256)),
            };
        }
        let scalar = SCALARS.start + ((word - ITEMS * LANE_WORDS) % SCALAR_WORDS) as u32;
        SCALARS.contains(&scalar).then_some(Cell::Scalar(scalar))
    }

    /// Returns what `canary_write` leaves there.
    fn pattern(self, tag: u32) -> u32 {
        tag.wrapping_add(match self {
            Cell::Vector(n) => n,
            Cell::Accumulation(n) => 256 + n,
            Cell::Scalar(n) => 512 + n,
            Cell::Lds(n) => 0x10000 + n,
        })
    }
}

#[derive(Debug)]
struct Clean {
    groups: usize,
}

impl Oracle for Clean {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let mut dump = before[0].u32s();
        for (at, word) in dump[..self.groups * DUMP_WORDS].iter_mut().enumerate() {
            if Cell::at(at % DUMP_WORDS).is_some() {
                *word = 0;
            }
        }
        vec![(0, Expected::Exact(dump))]
    }
}

#[derive(Debug)]
struct CleanScalars {
    waves: usize,
}

impl Oracle for CleanScalars {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let mut dump = before[0].u32s();
        for wave in dump[..self.waves * SCALAR_WORDS].chunks_mut(SCALAR_WORDS) {
            wave[..SCALARS.len()].fill(0);
        }
        vec![(0, Expected::Exact(dump))]
    }
}

#[derive(Debug)]
struct Folded {
    groups: usize,
    tag: u32,
}

impl Oracle for Folded {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let group: Vec<u32> = (0..ITEMS as u32).map(|item| self.fold(item)).collect();
        vec![(0, before[0].expect_u32(&group.repeat(self.groups)))]
    }
}

impl Folded {
    /// Folds what a work-item reads back: the LDS words of the neighbour 64 away, then all its registers.
    fn fold(&self, item: u32) -> u32 {
        let lds = (item ^ 64..LDS_WORDS as u32).step_by(ITEMS).map(Cell::Lds);
        let vector = (LANE_FIRST as u32..256).map(Cell::Vector);
        let accumulation = (0..256).map(Cell::Accumulation);
        let cells = lds.chain(vector).chain(accumulation).chain(SCALARS.map(Cell::Scalar));
        cells.fold(0, |fold: u32, cell| fold.rotate_left(1) ^ cell.pattern(self.tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::bytes_of_u32;

    /// The dump of one work-group in which `keep` cells still hold the pattern.
    fn dump(tag: u32, keep: impl Fn(Cell) -> bool) -> Vec<u8> {
        let mut dump = read_case(1).buffers[0].u32s();
        for (at, word) in dump[..DUMP_WORDS].iter_mut().enumerate() {
            if let Some(cell) = Cell::at(at) {
                *word = if keep(cell) { cell.pattern(tag) } else { 0 };
            }
        }
        bytes_of_u32(&dump)
    }

    #[test]
    fn a_dump_with_everything_left_is_counted_in_full() {
        let found = survivors(&dump(0x1234_0001, |_| true), 0x1234_0001);
        let expected = Survivors { lds: 16384, vector: 256 * 240, accumulation: 256 * 256, scalar: 4 * 60 };
        assert_eq!(found, expected);
        assert_eq!(found.total(), 143_600);
        assert_eq!(survivors(&dump(0x1234_0001, |_| true), 0x7234_0001), Survivors::default());
    }

    #[test]
    fn scalars_of_every_wave_are_counted() {
        let case = scalars_case(2, 9);
        let mut dump = case.buffers[0].u32s();
        for wave in dump[..8 * SCALAR_WORDS].chunks_mut(SCALAR_WORDS) {
            wave.iter_mut().zip(SCALARS).for_each(|(word, n)| *word = Cell::Scalar(n).pattern(9));
        }
        let dump = bytes_of_u32(&dump);
        assert_eq!((scalar_survivors(&dump, 9), scalar_survivors(&dump, 10_000)), (8 * 60, 0));
        assert!(case.check(&[dump]).is_err());
    }

    #[test]
    fn one_word_of_any_kind_is_noticed() {
        let case = read_case(1);
        assert_eq!(case.check(&[dump(7, |_| false)]), Ok(()));
        for cell in [Cell::Lds(16383), Cell::Vector(16), Cell::Accumulation(255), Cell::Scalar(95)] {
            let seen = dump(7, |c| c == cell);
            assert!(case.check(std::slice::from_ref(&seen)).is_err(), "{cell:?}");
            assert!(survivors(&seen, 7).total() > 0, "{cell:?}");
        }
    }
}
