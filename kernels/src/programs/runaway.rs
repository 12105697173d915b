//! `runaway`: never ends.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "runaway",
    "marks its start and never ends: time limits, preemption, killing",
    Sizes { unit: "work-items", small: 100, default: 64, max: 1 << 20 },
    case
);

fn case(items: u32, seed: u64) -> Case {
    // Never the poison, so that a started work-item can be told from one that is not.
    let mark = Random::new(seed).u32() | 1 << 30;
    Case {
        kernel: KERNEL.name,
        grid: [items, 1, 1],
        workgroup: [64, 1, 1],
        dynamic_lds: 0,
        buffers: vec![Buffer::output("started", Element::U32, items as usize)],
        args: vec![Arg::buffer(0), Arg::U32(mark)],
        ending: Ending::NeverEnds,
        work: None,
        oracle: Arc::new(Started { mark, items: items as usize }),
    }
}

#[derive(Debug)]
struct Started {
    mark: u32,
    items: usize,
}

impl Oracle for Started {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let mut started = before[0].u32s();
        started[..self.items].fill(self.mark);
        vec![(0, Expected::Partial(started))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_never_the_poison() {
        assert_eq!(crate::case::POISON & 1 << 30, 0);
        for seed in 0..100 {
            let case = KERNEL.small_case(seed);
            assert_ne!(case.args[1], Arg::U32(crate::case::POISON));
        }
    }
}
