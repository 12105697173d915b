//! `hold`: `spin` with many registers, for switches whose cost grows with what is resident.

use std::sync::Arc;

use super::spin::Affine;
use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit, bytes_of_u32};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "hold",
    "spins with 128 vector registers a lane: contexts of a chosen size",
    Sizes { unit: "iterations", small: 100, default: 16_384, max: u32::MAX },
    |iterations, seed| case(8, iterations, 4096, seed)
);

/// Wave-instructions of one iteration of the loop, on every target.
pub const INSTRUCTIONS_PER_ITERATION: u64 = 10;
/// Bytes of vector registers that a wave holds.
pub const VGPR_BYTES_PER_WAVE: u64 = 128 * 64 * 4;
/// Waves of it that one compute unit holds, if their LDS fits: four on each of four SIMDs.
pub const WAVES_PER_UNIT: u32 = 16;

const GROUP: u32 = 64;

/// Makes a run of `waves` work-groups, one wave and `lds` bytes of LDS each, of `iterations`.
///
/// So a context has [`VGPR_BYTES_PER_WAVE`], the scalar registers of a wave, and `lds` rounded up to 512, for each of the waves that are resident.
///
/// # Panics
/// If `waves` or `iterations` is 0, or the grid has more than 2^32 - 1 work-items.
pub fn case(waves: u32, iterations: u32, lds: u32, seed: u64) -> Case {
    repeated(waves, iterations, lds, 1, seed)
}

/// As [`case`], with the oracle of `dispatches` of it, one after the other on the same buffer.
///
/// # Panics
/// As [`case`].
pub fn repeated(waves: u32, iterations: u32, lds: u32, dispatches: u32, seed: u64) -> Case {
    assert!(waves > 0 && iterations > 0, "a grid has at least one work-group, and a loop one iteration");
    let items = waves.checked_mul(GROUP).expect("a grid has at most 2^32 - 1 work-items");
    let mut random = Random::new(seed);
    let state: Vec<u32> = (0..items).map(|_| random.u32()).collect();
    Case {
        kernel: KERNEL.name,
        grid: [items, 1, 1],
        workgroup: [GROUP as u16, 1, 1],
        dynamic_lds: lds,
        buffers: vec![Buffer::in_out("state", Element::U32, bytes_of_u32(&state))],
        args: vec![Arg::buffer(0), Arg::U32(iterations)],
        ending: Ending::Completes,
        work: Some(Work {
            amount: u64::from(waves) * u64::from(iterations) * INSTRUCTIONS_PER_ITERATION,
            unit: WorkUnit::WaveInstructions,
        }),
        oracle: Arc::new(Hold { items: items as usize, iterations, dispatches }),
    }
}

#[derive(Debug)]
struct Hold {
    items: usize,
    iterations: u32,
    dispatches: u32,
}

impl Oracle for Hold {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let jump = Affine::from_map(iteration).power(self.iterations);
        let dispatches = Affine::from_map(|x| x ^ jump.apply(x)).power(self.dispatches);
        let mut state = before[0].u32s();
        for x in &mut state[..self.items] {
            *x = dispatches.apply(*x);
        }
        vec![(0, Expected::Exact(state))]
    }
}

/// One iteration of the loop: a round of xorshift32 and a xor.
fn iteration(mut x: u32) -> u32 {
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    x ^ 0x9e37_79b9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oracle_walks_as_the_loop_does() {
        for dispatches in [1, 2, 5] {
            let case = repeated(1, 1000, 0, dispatches, 3);
            let before = case.buffers[0].u32s();
            let [(0, Expected::Exact(after))] = &case.oracle.expected(&case.buffers)[..] else { panic!("one buffer") };
            for (x, after) in before[..64].iter().zip(after) {
                let walked = (0..dispatches).fold(*x, |x, _| (0..1000).fold(x, |x, _| iteration(x)) ^ x);
                assert_eq!(walked, *after);
            }
        }
    }
}
