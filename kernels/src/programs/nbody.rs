//! `nbody`: all pairs under gravity; the program whose instruction rate is a promised number.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit, bytes_of_f32};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "nbody",
    "one step of gravity, all pairs: f32 arithmetic, v_rsq_f32, tiles in LDS",
    Sizes { unit: "bodies", small: 300, default: 2048, max: 1 << 16 },
    case
);

const TILE: u32 = 256;
const DT: f32 = 1.0 / 64.0;
const SOFTENING: f32 = 1.0 / 128.0;

fn case(n: u32, seed: u64) -> Case {
    let mut random = Random::new(seed);
    let mut bodies = Vec::new();
    let mut velocities = Vec::new();
    for _ in 0..n {
        bodies.extend([random.unit(), random.unit(), random.unit(), (random.unit() + 1.5) / n as f32]);
        // The fourth word belongs to nobody and must survive.
        velocities.extend([random.unit(), random.unit(), random.unit(), random.unit()]);
    }
    Case {
        kernel: KERNEL.name,
        grid: [n.next_multiple_of(TILE), 1, 1],
        workgroup: [TILE as u16, 1, 1],
        dynamic_lds: 0,
        buffers: vec![
            Buffer::input_f32("body", &bodies),
            Buffer::in_out("velocity", Element::F32, bytes_of_f32(&velocities)),
            Buffer::output("moved", Element::F32, 4 * n as usize),
        ],
        args: vec![Arg::buffer(0), Arg::buffer(1), Arg::buffer(2), Arg::U32(n), Arg::F32(DT), Arg::F32(SOFTENING)],
        ending: Ending::Completes,
        work: Some(Work { amount: u64::from(n) * u64::from(n), unit: WorkUnit::Interactions }),
        oracle: Arc::new(NBody),
    }
}

/// Computes in f64 and bounds how far an f32 device may be off.
///
/// Let u = 2^-24, half a ULP of 1: an IEEE operation is off by a factor of at most 1 + u, `v_rsq_f32` (1 ULP, says its
/// description in AMD's CDNA3 ISA reference) by 1 + 2u.
/// - A difference of coordinates is off by u, the softened square of the distance, a sum of positive terms, by 2u + 3u,
///   its inverse root by 2.5u + 2u, the cube of that times the mass by 13.5u + 3u, the term of the sum by 17.5u.
/// - Each of the n additions rounds the partial sum S_k, by u |S_k|.
///
/// So an acceleration is off by at most 17.5u sum|term| + u sum|S_k|; the two fused steps after it scale that by dt and
/// round once each. Second-order terms, and the partial sums being those of f64, are covered by a factor of 1.05.
#[derive(Debug)]
struct NBody;

const U: f64 = 1.0 / 16_777_216.0;
const TERM: f64 = 17.5 * U;
const SECOND_ORDER: f64 = 1.05;

impl Oracle for NBody {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let bodies = quads(&before[0]);
        let velocities = quads(&before[1]);
        let mut velocity = Near::starting_with(&before[1]);
        let mut moved = Near::starting_with(&before[2]);
        for (i, me) in bodies.iter().enumerate() {
            let acceleration = accelerate(me, &bodies);
            for axis in 0..3 {
                let (a, a_bound) = acceleration[axis];
                let v = velocities[i][axis] + a * f64::from(DT);
                let v_bound = a_bound * f64::from(DT) + U * v.abs();
                velocity.set(4 * i + axis, v, v_bound);
                let p = me[axis] + v * f64::from(DT);
                moved.set(4 * i + axis, p, v_bound * f64::from(DT) + U * p.abs());
            }
            // The mass travels along; the fourth word of the velocity stays what it was.
            moved.set(4 * i + 3, me[3], 0.0);
        }
        vec![(1, velocity.into_expected()), (2, moved.into_expected())]
    }
}

/// Returns the acceleration of `me` along each axis and the bound of its error.
fn accelerate(me: &[f64; 4], bodies: &[[f64; 4]]) -> [(f64, f64); 3] {
    let mut sum = [0.0f64; 3];
    let mut terms = [0.0f64; 3];
    let mut partial_sums = [0.0f64; 3];
    for other in bodies {
        let d: [f64; 3] = std::array::from_fn(|axis| other[axis] - me[axis]);
        let distance2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + f64::from(SOFTENING);
        let pull = other[3] / (distance2 * distance2.sqrt());
        for axis in 0..3 {
            let term = d[axis] * pull;
            sum[axis] += term;
            terms[axis] += term.abs();
            partial_sums[axis] += sum[axis].abs();
        }
    }
    std::array::from_fn(|axis| (sum[axis], SECOND_ORDER * (TERM * terms[axis] + U * partial_sums[axis])))
}

fn quads(buffer: &Buffer) -> Vec<[f64; 4]> {
    let values = buffer.f32s();
    values.chunks_exact(4).map(|q| std::array::from_fn(|i| f64::from(q[i]))).collect()
}

/// Expected numbers with their bounds; what is not set must stay as it was.
struct Near {
    value: Vec<f32>,
    within: Vec<f32>,
}

impl Near {
    fn starting_with(buffer: &Buffer) -> Self {
        let value = buffer.f32s();
        Near { within: vec![0.0; value.len()], value }
    }

    fn set(&mut self, index: usize, value: f64, bound: f64) {
        self.value[index] = value as f32;
        // The expected value is itself rounded, once.
        self.within[index] = if bound == 0.0 { 0.0 } else { (bound + U * value.abs()) as f32 };
    }

    fn into_expected(self) -> Expected {
        Expected::Near { value: self.value, within: self.within }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::bytes_of_u32;

    /// Walks the bodies as a device does, in f32, with a reciprocal root that is `ulp` off in every call.
    fn device(case: &Case, ulp: i32) -> Vec<Vec<u8>> {
        let f32s = |i: usize| -> Vec<f32> { case.buffers[i].f32s() };
        let (bodies, mut velocity, mut moved) = (f32s(0), f32s(1), f32s(2));
        for (i, me) in bodies.chunks_exact(4).enumerate() {
            let mut a = [0.0f32; 3];
            for other in bodies.chunks_exact(4) {
                let d: [f32; 3] = std::array::from_fn(|axis| other[axis] - me[axis]);
                let distance2 = d[0].mul_add(d[0], d[1].mul_add(d[1], d[2].mul_add(d[2], SOFTENING)));
                let root = (1.0 / f64::from(distance2).sqrt()) as f32;
                let root = f32::from_bits(root.to_bits().wrapping_add_signed(ulp));
                let pull = other[3] * root * root * root;
                for axis in 0..3 {
                    a[axis] = d[axis].mul_add(pull, a[axis]);
                }
            }
            for axis in 0..3 {
                let v = a[axis].mul_add(DT, velocity[4 * i + axis]);
                velocity[4 * i + axis] = v;
                moved[4 * i + axis] = v.mul_add(DT, me[axis]);
            }
            moved[4 * i + 3] = me[3];
        }
        let bytes = |values: &[f32]| bytes_of_u32(&values.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
        vec![case.buffers[0].bytes.clone(), bytes(&velocity), bytes(&moved)]
    }

    #[test]
    fn a_device_within_one_ulp_passes_and_a_sloppy_one_does_not() {
        for seed in 0..4 {
            let case = KERNEL.small_case(seed);
            for ulp in [-1, 0, 1] {
                assert_eq!(case.check(&device(&case, ulp)), Ok(()), "seed={seed} ulp={ulp}");
            }
            // 2^-11 off, as a half-precision reciprocal root would be.
            assert!(case.check(&device(&case, 1 << 12)).is_err(), "seed={seed}");
        }
    }
}
