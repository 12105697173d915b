//! Rings full of packets that no producer would write: types, signals, barriers, kernels that are none.
//!
//! Promise: the packet processor consumes them in order or stops its queue with a name; it says so once; a queue that stopped has nothing resident
//! and nothing to run.
//!
//! The bytes are the ring's slots, one after the other. Addresses in them are offsets from a page that has a signal, a kernel and its arguments; what reaches
//! further is wherever it is.

use gcn::aql::{KernelDispatch, Packet};
use gcn::arch::Arch;
use gcn::engine::Outcome;
use gcn::hardware::CuHardware;

use crate::rig::{BASE, CUS, Fuel, SLOTS, Tenant};

/// Where a descriptor of a program that ends at once lies, and the program.
const DESCRIPTOR: u64 = BASE + 0x3000;
const CODE: u64 = BASE + 0x3400;
const SIGNAL: u64 = BASE + 0x900;

fn tenant() -> Tenant {
    let tenant = Tenant::new(Arch::Gfx90a);
    let mut descriptor = [0u8; 64];
    let mut put = |at: usize, value: u32| descriptor[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(16, (CODE - DESCRIPTOR) as u32);
    put(44, 3);
    put(48, 1 | 3 << 16 | 3 << 18 | 1 << 21 | 1 << 23);
    put(52, 2 << 1 | 1 << 7);
    put(56, 1 << 3);
    tenant.write(DESCRIPTOR, &descriptor);
    // v_mov_b32 v1, v0; s_barrier; s_endpgm
    for (at, word) in (0..).zip([0x7e02_0300u32, 0xbf8a_0000, 0xbf81_0000]) {
        tenant.write(CODE + 4 * at, &word.to_le_bytes());
    }
    tenant
}

pub(crate) fn feed(data: &[u8]) {
    let mut tenant = tenant();
    for packet in data.as_chunks::<64>().0.iter().take(SLOTS as usize) {
        tenant.put(packet);
    }
    let mut hw = CuHardware::power_on(CUS as usize);
    let fuel = Fuel::new(200);
    let mut ended = Outcome::Stopped;
    for _ in 0..3 {
        ended = tenant.context.run(&mut hw, &tenant.mem, &fuel).outcome;
        tenant.context.suspend(&hw);
        tenant.context.resume(&mut hw);
    }
    let failed = tenant.context.queue_error(tenant.queue).is_some();
    assert_eq!(fuel.failed(), u32::from(failed), "told once");
    if failed {
        assert!(!tenant.context.runnable(&tenant.mem));
        assert_eq!((tenant.context.size().waves, ended), (0, Outcome::Drained));
    }
    if ended == Outcome::Drained {
        assert_eq!(tenant.context.size().waves, 0);
    }
    assert!(tenant.context.destroy_queue(tenant.queue));
    assert_eq!(tenant.context.run(&mut hw, &tenant.mem, &Fuel::new(1)).outcome, Outcome::Drained);
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let dispatch = KernelDispatch {
        setup: 3,
        workgroup: [64, 2, 1],
        grid: [300, 5, 2],
        private_segment_size: 0,
        group_segment_size: 512,
        kernel_object: DESCRIPTOR,
        kernarg_address: BASE + 0x3800,
    };
    let kernel = |barrier| Packet::kernel(&dispatch, barrier, SIGNAL);
    let mut value = [0u8; 64];
    value[2] = 2;
    value[8..16].copy_from_slice(&SIGNAL.to_le_bytes());
    value[24..32].fill(0xff);
    value[32] = 3;
    let mut vendor = [0u8; 64];
    vendor[2] = 1;
    let all = [
        kernel(true),
        Packet::barrier([SIGNAL, 0, 0, 0, 0], false, SIGNAL),
        Packet::barrier([0, SIGNAL, 0, 0, SIGNAL], true, 0),
        value,
        kernel(false),
        kernel(false),
        Packet::barrier([0; 5], false, SIGNAL),
        vendor,
    ];
    let mut seeds: Vec<Vec<u8>> = all.iter().map(|packet| packet.to_vec()).collect();
    seeds.extend((1..all.len()).map(|count| all[..count].concat()));
    seeds.push([kernel(false); SLOTS as usize].concat());
    // A cooperative queue: its type is the first word of its structure, which the ring cannot reach; the grid is too large for one.
    seeds.push(Packet::kernel(&KernelDispatch { grid: [1 << 30, 1, 1], ..dispatch }, true, 0).to_vec());
    seeds
}
