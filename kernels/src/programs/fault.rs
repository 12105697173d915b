//! `fault`: stores to an address it is told, mapped or not.

use std::sync::Arc;

use crate::case::{Arg, Buffer, Case, Element, Ending, Oracle};
use crate::check::Expected;
use crate::{Kernel, Sizes};

pub(crate) const KERNEL: Kernel = super::kernel!(
    "fault",
    "stores where nothing is mapped: memory faults and who is blamed for them",
    Sizes { unit: "work-items", small: 64, default: 64, max: 1024 },
    |items, seed| at(NOWHERE, items, seed as u32)
);

/// An address no device maps: in the second page, where Linux maps nothing by default (`vm.mmap_min_addr`).
pub const NOWHERE: u64 = 0x1000;

const GROUP: u16 = 64;

/// Makes a run in which `items` work-items store to the words from `address` on, and which must end in a fault there.
pub fn at(address: u64, items: u32, value: u32) -> Case {
    let args = vec![Arg::U64(address), Arg::U32(value)];
    case(items, vec![], args, Ending::Faults { address }, Store { value, items: 0 })
}

/// Makes a run that stores into a buffer of its own instead, and completes.
pub fn into_buffer(items: u32, value: u32) -> Case {
    let buffers = vec![Buffer::output("target", Element::U32, items as usize)];
    let args = vec![Arg::buffer(0), Arg::U32(value)];
    case(items, buffers, args, Ending::Completes, Store { value, items })
}

fn case(items: u32, buffers: Vec<Buffer>, args: Vec<Arg>, ending: Ending, oracle: Store) -> Case {
    Case {
        kernel: KERNEL.name,
        grid: [items, 1, 1],
        workgroup: [GROUP, 1, 1],
        dynamic_lds: 0,
        buffers,
        args,
        ending,
        work: None,
        oracle: Arc::new(oracle),
    }
}

/// Work-item i of those that have a buffer stores `value + i`.
#[derive(Debug)]
struct Store {
    value: u32,
    items: u32,
}

impl Oracle for Store {
    fn expected(&self, before: &[Buffer]) -> Vec<(usize, Expected)> {
        let values: Vec<u32> = (0..self.items).map(|i| self.value.wrapping_add(i)).collect();
        before.first().map(|target| (0, target.expect_u32(&values))).into_iter().collect()
    }
}
