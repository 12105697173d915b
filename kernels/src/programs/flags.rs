//! `flags`: work-groups that wait for each other.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle, bytes_of_u32};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "flags",
    "a chain of work-groups waiting for their predecessor: acquire and release, forward progress",
    Sizes { unit: "work-groups", small: 5, default: 64, max: 1 << 20 },
    case
);

fn case(groups: u32, seed: u64) -> Case {
    let factor = Random::new(seed).u32() | 1;
    Case {
        kernel: KERNEL.name,
        grid: [groups * 64, 1, 1],
        workgroup: [64, 1, 1],
        dynamic_lds: 0,
        buffers: vec![
            Buffer::in_out("flag", Element::U32, bytes_of_u32(&vec![0; groups as usize])),
            Buffer::output("value", Element::U32, groups as usize),
        ],
        args: vec![Arg::buffer(0), Arg::buffer(1), Arg::U32(factor)],
        ending: Ending::Completes,
        work: None,
        oracle: Arc::new(Flags { factor, groups }),
    }
}

#[derive(Debug)]
struct Flags {
    factor: u32,
    groups: u32,
}

impl Oracle for Flags {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let values: Vec<u32> = (0..self.groups)
            .scan(1u32, |value, group| {
                *value = value.wrapping_mul(self.factor).wrapping_add(group);
                Some(*value)
            })
            .collect();
        let raised = vec![1; self.groups as usize];
        vec![(0, before[0].expect_u32(&raised)), (1, before[1].expect_u32(&values))]
    }
}
