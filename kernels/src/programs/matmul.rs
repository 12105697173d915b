//! `matmul`: tiles in LDS, two barriers a tile, ragged edges on all three sides.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "matmul",
    "c = a*b by 16x16 tiles: LDS, barriers, a two-dimensional grid",
    Sizes { unit: "rows", small: 37, default: 192, max: 4096 },
    case
);

const TILE: u32 = 16;

/// Makes matrices of three different side lengths, because a square one hides swapped sides.
fn case(rows: u32, seed: u64) -> Case {
    let (columns, depth) = (rows + 7, rows + 2);
    let mut random = Random::new(seed);
    let mut matrix = |rows: u32, columns: u32| (0..rows * columns).map(|_| random.unit()).collect::<Vec<_>>();
    let (a, b) = (matrix(rows, depth), matrix(depth, columns));
    Case {
        kernel: KERNEL.name,
        grid: [columns.next_multiple_of(TILE), rows.next_multiple_of(TILE), 1],
        workgroup: [TILE as u16, TILE as u16, 1],
        dynamic_lds: 0,
        buffers: vec![
            Buffer::input_f32("a", &a),
            Buffer::input_f32("b", &b),
            Buffer::output("c", Element::F32, (rows * columns) as usize),
        ],
        args: vec![Arg::buffer(0), Arg::buffer(1), Arg::buffer(2), Arg::U32(rows), Arg::U32(columns), Arg::U32(depth)],
        ending: Ending::Completes,
        work: Some(Work { amount: 2 * u64::from(rows) * u64::from(columns) * u64::from(depth), unit: WorkUnit::Flops }),
        oracle: Arc::new(Matmul { columns: columns as usize, depth: depth as usize }),
    }
}

#[derive(Debug)]
struct Matmul {
    columns: usize,
    depth: usize,
}

impl Oracle for Matmul {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let (a, b) = (before[0].f32s(), before[1].f32s());
        let mut c = Vec::new();
        for row in a.chunks_exact(self.depth) {
            // Row by row of `b`, so that memory is walked forwards; each sum still runs over k in ascending order.
            // Padding to whole tiles adds products of zeros to a sum that is never -0, hence changes nothing.
            let mut sums = vec![0.0f32; self.columns];
            for (a, b_row) in row.iter().zip(b.chunks_exact(self.columns)) {
                for (sum, b) in sums.iter_mut().zip(b_row) {
                    *sum = a.mul_add(*b, *sum);
                }
            }
            c.extend(sums);
        }
        vec![(2, before[2].expect_f32(&c))]
    }
}
