//! `empty`: what is left is the price of a dispatch.

use std::sync::Arc;

use crate::case::{Buffer, Case, Ending, Oracle};
use crate::check::Expected;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "empty",
    "does nothing: dispatch round trips",
    Sizes { unit: "work-items", small: 100, default: 64, max: u32::MAX },
    |items, _seed| case(items)
);

fn case(items: u32) -> Case {
    Case {
        kernel: KERNEL.name,
        grid: [items, 1, 1],
        workgroup: [64, 1, 1],
        dynamic_lds: 0,
        buffers: vec![],
        args: vec![],
        ending: Ending::Completes,
        work: None,
        oracle: Arc::new(Nothing),
    }
}

#[derive(Debug)]
struct Nothing;

impl Oracle for Nothing {
    fn expected(&self, _before: &[Buffer]) -> Vec<(usize, Expected)> {
        vec![]
    }
}
