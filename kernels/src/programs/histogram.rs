//! `histogram`: atomics on LDS and on global memory.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit, bytes_of_u32};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "histogram",
    "byte counts: LDS and global atomics, the grid's size from the dispatch packet",
    Sizes { unit: "words", small: 5000, default: 1 << 18, max: 1 << 28 },
    case
);

const BINS: usize = 256;

/// The widest grid; longer inputs are walked in strides.
const GRID_MAX: u32 = 16 * BINS as u32;

fn case(words: u32, seed: u64) -> Case {
    let mut random = Random::new(seed);
    // Half of the bytes are drawn from four values, so that lanes of a wave collide.
    let word = |random: &mut Random| {
        let any = random.u32();
        if random.below(0, 2) == 0 { any & 0x0303_0303 } else { any }
    };
    let input: Vec<u32> = (0..words).map(|_| word(&mut random)).collect();
    // Bins start from counts that are there already: the program adds.
    let bins: Vec<u32> = (0..BINS).map(|_| random.below(0, 1000)).collect();
    Case {
        kernel: KERNEL.name,
        grid: [words.next_multiple_of(BINS as u32).min(GRID_MAX), 1, 1],
        workgroup: [BINS as u16, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::input_u32("words", &input), Buffer::in_out("bins", Element::U32, bytes_of_u32(&bins))],
        args: vec![Arg::buffer(0), Arg::buffer(1), Arg::U32(words)],
        ending: Ending::Completes,
        work: Some(Work { amount: 4 * u64::from(words), unit: WorkUnit::Bytes }),
        oracle: Arc::new(Histogram),
    }
}

#[derive(Debug)]
struct Histogram;

impl Oracle for Histogram {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let mut bins = before[1].u32s();
        for byte in &before[0].bytes {
            bins[usize::from(*byte)] += 1;
        }
        vec![(1, Expected::Exact(bins))]
    }
}
