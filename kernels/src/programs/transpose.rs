//! `transpose`: a padded LDS tile, work-groups of another shape than their tile.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "transpose",
    "a matrix on its side: LDS with a padded stride, barriers, ragged edges",
    Sizes { unit: "columns", small: 70, default: 768, max: 16384 },
    case
);

const TILE: u32 = 32;
const ROWS: u32 = 8;

fn case(width: u32, seed: u64) -> Case {
    let height = width / 2 + 5;
    let mut random = Random::new(seed);
    let input: Vec<u32> = (0..width * height).map(|_| random.u32()).collect();
    Case {
        kernel: KERNEL.name,
        // A work-group is a quarter as high as its tile.
        grid: [width.next_multiple_of(TILE), height.div_ceil(TILE) * ROWS, 1],
        workgroup: [TILE as u16, ROWS as u16, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::input_u32("in", &input), Buffer::output("out", Element::U32, input.len())],
        args: vec![Arg::buffer(0), Arg::buffer(1), Arg::U32(width), Arg::U32(height)],
        ending: Ending::Completes,
        work: Some(Work { amount: 8 * u64::from(width) * u64::from(height), unit: WorkUnit::Bytes }),
        oracle: Arc::new(Transpose { width: width as usize }),
    }
}

#[derive(Debug)]
struct Transpose {
    width: usize,
}

impl Oracle for Transpose {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let input = before[0].u32s();
        let columns = (0..self.width).flat_map(|column| input.iter().skip(column).step_by(self.width));
        vec![(1, before[1].expect_u32(&columns.copied().collect::<Vec<_>>()))]
    }
}
