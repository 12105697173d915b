//! `scratch`: a private array indexed by data.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "scratch",
    "sorts 64 words per work-item in private memory: scratch by buffer (gfx90a) and scratch (gfx942) instructions",
    Sizes { unit: "work-items", small: 200, default: 4096, max: 1 << 24 },
    case
);

const WORDS: usize = 64;

fn case(items: u32, seed: u64) -> Case {
    let mut random = Random::new(seed);
    let seeds: Vec<u32> = (0..items).map(|_| random.u32()).collect();
    Case {
        kernel: KERNEL.name,
        grid: [items, 1, 1],
        workgroup: [64, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::input_u32("seeds", &seeds), Buffer::output("digest", Element::U32, items as usize)],
        args: vec![Arg::buffer(0), Arg::buffer(1), Arg::U32(items)],
        ending: Ending::Completes,
        work: None,
        oracle: Arc::new(Scratch),
    }
}

#[derive(Debug)]
struct Scratch;

impl Oracle for Scratch {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let digests: Vec<u32> = before[0].u32s().into_iter().map(digest).collect();
        vec![(1, before[1].expect_u32(&digests))]
    }
}

/// Draws 64 words from a linear congruential generator, sorts them and folds them in order (FNV-1a's multiplier).
fn digest(seed: u32) -> u32 {
    let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mut words: Vec<u32> = std::iter::successors(next(&seed), next).take(WORDS).collect();
    words.sort_unstable();
    words.into_iter().fold(0, |fold, word| (fold ^ word).wrapping_mul(16_777_619))
}
