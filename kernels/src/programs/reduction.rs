//! `reduction`: a tree of additions in LDS, one partial sum a work-group.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, Work, WorkUnit};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "reduction",
    "partial sums by a tree: LDS, barriers, fewer active lanes each round",
    Sizes { unit: "elements", small: 3000, default: 1 << 20, max: 1 << 28 },
    case
);

const ITEMS: usize = 256;
const PER_GROUP: usize = 4 * ITEMS;

fn case(n: u32, seed: u64) -> Case {
    let mut random = Random::new(seed);
    let input: Vec<f32> = (0..n).map(|_| random.unit()).collect();
    let groups = n.div_ceil(PER_GROUP as u32);
    Case {
        kernel: KERNEL.name,
        grid: [groups * ITEMS as u32, 1, 1],
        workgroup: [ITEMS as u16, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::input_f32("input", &input), Buffer::output("partial", Element::F32, groups as usize)],
        args: vec![Arg::buffer(0), Arg::buffer(1), Arg::U32(n)],
        ending: Ending::Completes,
        work: Some(Work { amount: 4 * u64::from(n), unit: WorkUnit::Bytes }),
        oracle: Arc::new(Reduction),
    }
}

#[derive(Debug)]
struct Reduction;

impl Oracle for Reduction {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let partial: Vec<f32> = before[0].f32s().chunks(PER_GROUP).map(group_sum).collect();
        vec![(1, before[1].expect_f32(&partial))]
    }
}

/// Adds up a work-group's inputs in the order the program promises.
fn group_sum(inputs: &[f32]) -> f32 {
    let input = |i: usize| inputs.get(i).copied().unwrap_or(0.0);
    // 0.0 first, as every sum starts there: it turns a lone -0.0 into 0.0.
    let mut sums: Vec<f32> =
        (0..ITEMS).map(|item| (0..4).fold(0.0, |sum, step| sum + input(step * ITEMS + item))).collect();
    while sums.len() > 1 {
        let (low, high) = sums.split_at(sums.len() / 2);
        sums = low.iter().zip(high).map(|(a, b)| a + b).collect();
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_sum_is_near_the_exact_sum() {
        let mut random = Random::new(5);
        let inputs: Vec<f32> = (0..PER_GROUP - 100).map(|_| random.unit()).collect();
        let exact: f64 = inputs.iter().copied().map(f64::from).sum();
        // Ten roundings deep, of partial sums below 1024.
        assert!((f64::from(group_sum(&inputs)) - exact).abs() < 10.0 * 1024.0 * f64::from(f32::EPSILON));
    }
}
