//! `call`: functions that are really called.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "call",
    "greatest common divisors by two levels of calls: s_swappc, stack, saved registers, divergent loops",
    Sizes { unit: "work-items", small: 200, default: 16_384, max: 1 << 26 },
    case
);

fn case(items: u32, seed: u64) -> Case {
    let mut random = Random::new(seed);
    // Small factors in common make the answers interesting; small numbers keep division by subtraction short.
    let input: Vec<u32> = (0..3 * items).map(|_| random.below(1, 16) * random.below(1, 13)).collect();
    Case {
        kernel: KERNEL.name,
        grid: [items, 1, 1],
        workgroup: [64, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::input_u32("input", &input), Buffer::output("out", Element::U32, items as usize)],
        args: vec![Arg::buffer(0), Arg::buffer(1), Arg::U32(items)],
        ending: Ending::Completes,
        work: None,
        oracle: Arc::new(Call),
    }
}

#[derive(Debug)]
struct Call;

impl Oracle for Call {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let out: Vec<u32> = before[0]
            .u32s()
            .chunks_exact(3)
            .map(|triple| summary(triple[0], triple[1], triple[2]) ^ (summary(triple[2], triple[1], triple[0]) << 1))
            .collect();
        vec![(1, before[1].expect_u32(&out))]
    }
}

/// Packs gcd(a, b), gcd(a, b, c) and the low byte of a into one word, by addition.
fn summary(a: u32, b: u32, c: u32) -> u32 {
    (gcd(a, b) << 16) + (gcd(gcd(a, b), c) << 8) + (a & 0xff)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
