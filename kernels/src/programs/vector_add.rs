//! `vector_add`: one addition per work-item; and `vector_add4`: four, in 16-byte accesses.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "vector_add",
    "out = a + b: global loads and stores, a partial last work-group",
    Sizes { unit: "elements", small: 1000, default: 1 << 20, max: 1 << 28 },
    case
);

pub(crate) const QUADS: Kernel = super::kernel!(
    "vector_add4",
    "out = a + b, four a work-item: 16-byte accesses from a scalar base, how memory is streamed",
    Sizes { unit: "elements", small: 1000, default: 1 << 20, max: 1 << 28 },
    quads
);

fn case(n: u32, seed: u64) -> Case {
    sums(KERNEL.name, n, 1, seed)
}

fn quads(n: u32, seed: u64) -> Case {
    sums(QUADS.name, n.next_multiple_of(4), 4, seed)
}

/// `n` sums, `each` of them in a work-item.
fn sums(kernel: &'static str, n: u32, each: u32, seed: u64) -> Case {
    let mut random = Random::new(seed);
    let mut values = || (0..n).map(|_| random.finite()).collect::<Vec<_>>();
    let (a, b) = (values(), values());
    Case {
        kernel,
        grid: [n / each, 1, 1],
        workgroup: [256, 1, 1],
        dynamic_lds: 0,
        buffers: vec![
            Buffer::input_f32("a", &a),
            Buffer::input_f32("b", &b),
            Buffer::output("out", Element::F32, n as usize),
        ],
        args: vec![Arg::buffer(0), Arg::buffer(1), Arg::buffer(2), Arg::U32(n / each)],
        ending: Ending::Completes,
        work: Some(Work { amount: 12 * u64::from(n), unit: WorkUnit::Bytes }),
        oracle: Arc::new(VectorAdd),
    }
}

#[derive(Debug)]
struct VectorAdd;

impl Oracle for VectorAdd {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let sums: Vec<f32> = before[0].f32s().iter().zip(before[1].f32s()).map(|(a, b)| a + b).collect();
        vec![(2, before[2].expect_f32(&sums))]
    }
}
