//! `spin`: runs for a known number of wave-instructions, and the checker need not run that long.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit, bytes_of_u32};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "spin",
    "a loop of 16 wave-instructions an iteration on every target: work of a chosen length",
    Sizes { unit: "iterations", small: 100, default: 16_384, max: u32::MAX },
    |iterations, seed| case(8, iterations, seed)
);

/// Wave-instructions of one iteration of the loop, on every target; counted in the code objects by a test.
pub const INSTRUCTIONS_PER_ITERATION: u64 = 16;

const GROUP: u32 = 64;

/// Returns how many iterations make a wave run about `wave_instructions`: never fewer, and too many by less than an iteration
/// and the few instructions around the loop (under 32).
///
/// The largest run is 2^32 - 1 iterations, some 69 billion wave-instructions.
pub fn iterations_for(wave_instructions: u64) -> u32 {
    u32::try_from(wave_instructions.div_ceil(INSTRUCTIONS_PER_ITERATION)).unwrap_or(u32::MAX)
}

/// Makes a run of `waves` work-groups, one wave each, of `iterations`.
///
/// # Panics
/// If `waves` is 0 or has more than 2^32 - 1 work-items.
pub fn case(waves: u32, iterations: u32, seed: u64) -> Case {
    assert!(waves > 0, "a grid has at least one work-group");
    let items = waves.checked_mul(GROUP).expect("a grid has at most 2^32 - 1 work-items");
    let mut random = Random::new(seed);
    let state: Vec<u32> = (0..items).map(|_| random.u32()).collect();
    Case {
        kernel: KERNEL.name,
        grid: [items, 1, 1],
        workgroup: [GROUP as u16, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::in_out("state", Element::U32, bytes_of_u32(&state))],
        args: vec![Arg::buffer(0), Arg::U32(iterations)],
        ending: Ending::Completes,
        work: Some(Work {
            amount: u64::from(waves) * u64::from(iterations) * INSTRUCTIONS_PER_ITERATION,
            unit: WorkUnit::WaveInstructions,
        }),
        oracle: Arc::new(Spin { items: items as usize, iterations }),
    }
}

#[derive(Debug)]
struct Spin {
    items: usize,
    iterations: u32,
}

impl Oracle for Spin {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let jump = Affine::from_map(iteration).power(self.iterations);
        let mut state = before[0].u32s();
        for x in &mut state[..self.items] {
            *x = jump.apply(*x);
        }
        vec![(0, Expected::Exact(state))]
    }
}

/// One iteration of the loop: two rounds of xorshift32 and a xor.
fn iteration(mut x: u32) -> u32 {
    for _ in 0..2 {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
    }
    x ^ 0x9e37_79b9
}

/// An affine map of 32 bits over GF(2): x -> M x + c.
#[derive(Clone, Copy)]
pub(super) struct Affine {
    /// Column i of M: what bit i of x contributes.
    columns: [u32; 32],
    constant: u32,
}

impl Affine {
    const IDENTITY: Affine = {
        let mut columns = [0; 32];
        let mut i = 0;
        while i < 32 {
            columns[i] = 1 << i;
            i += 1;
        }
        Affine { columns, constant: 0 }
    };

    /// Reads an affine map off its values at 0 and at the 32 unit vectors.
    pub(super) fn from_map(map: impl Fn(u32) -> u32) -> Self {
        let constant = map(0);
        Affine { columns: std::array::from_fn(|i| map(1 << i) ^ constant), constant }
    }

    pub(super) fn apply(&self, x: u32) -> u32 {
        (0..32).filter(|i| x >> i & 1 == 1).fold(self.constant, |sum, i| sum ^ self.columns[i])
    }

    /// Returns the map that does `self` and then `next`.
    fn then(&self, next: &Affine) -> Affine {
        Affine::from_map(|x| next.apply(self.apply(x)))
    }

    /// Returns the map that does `self` `n` times, in about 2 log2(n) compositions.
    pub(super) fn power(self, mut n: u32) -> Affine {
        let (mut result, mut square) = (Affine::IDENTITY, self);
        while n > 0 {
            if n & 1 == 1 {
                result = result.then(&square);
            }
            square = square.then(&square);
            n >>= 1;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    #[test]
    fn the_jump_lands_where_walking_does() {
        let mut random = Random::new(3);
        for n in [0, 1, 2, 3, 31, 1000, 4097] {
            let x = random.u32();
            let walked = (0..n).fold(x, |x, _| iteration(x));
            assert_eq!(Affine::from_map(iteration).power(n).apply(x), walked, "n={n} x={x:#x}");
        }
    }

    /// Finds the backward branch and counts what it jumps over, by the encodings in AMD's CDNA3 ISA reference.
    #[test]
    fn the_loop_in_the_objects_has_the_stated_length() {
        for target in Target::ALL {
            let code: Vec<u32> = crate::case::words(KERNEL.code_object(target)).collect();
            // s_cbranch_scc1 with a negative distance, in words from the next instruction.
            let back: Vec<(usize, i16)> = code
                .iter()
                .enumerate()
                .filter(|(_, word)| **word >> 16 == 0xbf85 && **word as i16 <= -2)
                .map(|(at, word)| (at, *word as i16))
                .collect();
            let [(branch, distance)] = back[..] else { panic!("{target}: {} backward branches", back.len()) };
            let body = &code[branch + 1 - distance.unsigned_abs() as usize..=branch];
            // All are one word but the one with a literal: v_xor_b32 with source 255.
            let literals = body.iter().filter(|word| **word >> 25 == 0x15 && **word & 0x1ff == 255).count();
            assert_eq!(literals, 1, "{target}");
            assert_eq!((body.len() - literals) as u64, INSTRUCTIONS_PER_ITERATION, "{target}");
        }
    }

    #[test]
    fn a_length_asked_for_is_never_cut_short() {
        for (asked, iterations) in [(0, 0), (1, 1), (16, 1), (17, 2), (1_000_000, 62_500), (u64::MAX, u32::MAX)] {
            assert_eq!(iterations_for(asked), iterations, "asked={asked}");
        }
    }
}
