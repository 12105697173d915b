//! `saxpy`: a grid-stride loop whose stride comes from the hidden arguments.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit, bytes_of_f32};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "saxpy",
    "y = a*x + y: fused multiply-add, a grid-stride loop, hidden arguments with a partial work-group",
    Sizes { unit: "elements", small: 1000, default: 1 << 20, max: 1 << 28 },
    case
);

/// Work-items of a work-group; the source does not fix it.
const GROUP: u16 = 128;

/// The widest grid: 64 work-groups and a partial one, so that a wrong stride skips or repeats elements.
const GRID_MAX: u32 = 64 * GROUP as u32 + 37;

fn case(n: u32, seed: u64) -> Case {
    let mut random = Random::new(seed);
    let a = random.unit();
    let mut values = || (0..n).map(|_| random.finite()).collect::<Vec<_>>();
    let (x, y) = (values(), values());
    Case {
        kernel: KERNEL.name,
        grid: [n.min(GRID_MAX), 1, 1],
        workgroup: [GROUP, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::input_f32("x", &x), Buffer::in_out("y", Element::F32, bytes_of_f32(&y))],
        args: vec![Arg::F32(a), Arg::buffer(0), Arg::buffer(1), Arg::U32(n)],
        ending: Ending::Completes,
        work: Some(Work { amount: 12 * u64::from(n), unit: WorkUnit::Bytes }),
        oracle: Arc::new(Saxpy { a }),
    }
}

#[derive(Debug)]
struct Saxpy {
    a: f32,
}

impl Oracle for Saxpy {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        // `x` has no guard, so zipping stops before the one behind `y`.
        let y: Vec<f32> = before[0].f32s().iter().zip(before[1].f32s()).map(|(x, y)| self.a.mul_add(*x, y)).collect();
        vec![(1, before[1].expect_f32(&y))]
    }
}
