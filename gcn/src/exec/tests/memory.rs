//! LDS, global, flat, buffer and scratch accesses: widths, offsets, masks, what lies outside, atomics.

use super::{MEMORY, Machine, SCRATCH};
use crate::arch::{Arch, PRIVATE_APERTURE_HI, SHARED_APERTURE_HI};
use crate::exec::cx::{EXEC, Flow};
use crate::fault::FaultKind;
use crate::memory::Memory as _;

fn machine() -> Machine {
    Machine::new(Arch::Gfx90a)
}

impl Machine {
    fn peek(&self, address: u64) -> u32 {
        let mut word = [0; 4];
        self.memory.read(address, &mut word).expect("within the memory");
        u32::from_le_bytes(word)
    }

    fn poke(&self, address: u64, value: u32) {
        self.memory.write(address, &value.to_le_bytes()).expect("within the memory");
    }
}

#[test]
fn lds_offsets_are_relative_to_the_work_group() {
    let mut m = machine();
    m.set_pair(0, |lane| 4 * lane as u64);
    m.set_pair(2, |lane| lane as u64 | 0xabcd << 32);
    m.run("ds_write_b32 v0, v2", &[0xd81a_0000, 0x0000_0200]);
    assert_eq!(m.hw[0].lds[0x400 + 4 * 7], 7);
    m.set_pair(0, |lane| 4 * (63 - lane) as u64);
    m.run("ds_read_b32 v6, v0", &[0xd86c_0000, 0x0600_0000]);
    assert_eq!((m.vgpr(6)[0], m.vgpr(6)[63]), (63, 0));
    m.set_pair(0, |_| 0);
    m.run("ds_read_b128 v[6:9], v0 offset:16", &[0xd9fe_0010, 0x0600_0000]);
    assert_eq!([6, 7, 8, 9].map(|r| m.vgpr(r)[11]), [4, 5, 6, 7]);
    m.run("ds_read2_b64 v[6:9], v0 offset1:2", &[0xd8ee_0200, 0x0600_0000]);
    assert_eq!([6, 7, 8, 9].map(|r| m.vgpr(r)[11]), [0, 1, 4, 5]);
    m.set_sgpr64(EXEC, 1);
    m.run("ds_write2_b32 v0, v2, v3 offset0:1 offset1:3", &[0xd81c_0301, 0x0003_0200]);
    m.run("ds_read_b128 v[6:9], v0 offset:16", &[0xd9fe_0010, 0x0600_0000]);
    assert_eq!((m.hw[0].lds[0x404], m.hw[0].lds[0x40c], m.hw[0].lds[0x40d]), (0, 0xcd, 0xab));
}

#[test]
fn lds_outside_of_the_work_group_reads_zero_and_takes_nothing() {
    let mut m = machine();
    m.hw[0].lds.fill(0xee);
    m.set_pair(0, |lane| if lane == 0 { 0x0ffc } else { 0x1000 + 4 * lane as u64 });
    m.set_pair(2, |_| 0x1234_5678);
    m.run("ds_write_b32 v0, v2", &[0xd81a_0000, 0x0000_0200]);
    m.run("ds_read_b32 v6, v0", &[0xd86c_0000, 0x0600_0000]);
    assert_eq!((m.vgpr(6)[0], m.vgpr(6)[1]), (0x1234_5678, 0));
    assert!(m.hw[0].lds[0x1400..].iter().all(|&b| b == 0xee), "a neighbour's LDS stays as it was");
}

#[test]
fn lds_atomics_run_lane_after_lane() {
    let mut m = machine();
    m.set_pair(0, |_| 8);
    m.set_pair(2, |_| 1);
    m.set_sgpr64(EXEC, 0xff00);
    m.run("ds_add_rtn_u32 v6, v0, v2", &[0xd840_0000, 0x0600_0200]);
    assert_eq!((m.vgpr(6)[8], m.vgpr(6)[15], m.hw[0].lds[0x408]), (0, 7, 8));
    m.set_pair(2, |lane| lane as u64);
    m.set_pair(4, |lane| 1 + lane as u64);
    m.set_pair(0, |_| 16);
    m.set_sgpr64(EXEC, 7);
    m.run("ds_cmpst_rtn_b64 v[6:7], v0, v[2:3], v[4:5]", &[0xd8e0_0000, 0x0604_0200]);
    assert_eq!((m.vgpr(6)[2], m.hw[0].lds[0x410]), (2, 3));
}

#[test]
fn narrow_reads_widen_or_keep_the_other_half() {
    let mut m = machine();
    m.hw[0].lds[0x401] = 0x80;
    m.set_pair(0, |_| 1);
    m.set_pair(6, |_| 0x1111_2222);
    m.run("ds_read_u8_d16_hi v6, v0", &[0xd8ae_0000, 0x0600_0000]);
    assert_eq!(m.vgpr(6)[5], 0x0080_2222);
    m.poke(MEMORY, 0x8765_43ff);
    m.set_pair(0, |_| MEMORY);
    m.run("global_load_sbyte v6, v[0:1], off", &[0xdc44_8000, 0x067f_0000]);
    assert_eq!(m.vgpr(6)[5], 0xffff_ffff);
    m.set_pair(0, |_| MEMORY + 2);
    m.set_pair(6, |_| 0x1111_2222);
    m.run("global_load_short_d16_hi v6, v[0:1], off", &[0xdc94_8000, 0x067f_0000]);
    assert_eq!(m.vgpr(6)[5], 0x8765_2222);
}

#[test]
fn lane_exchange_sees_active_lanes_only() {
    let mut m = machine();
    m.set_pair(0, |lane| 4 * ((lane + 1) % 64) as u64);
    m.set_pair(2, |lane| lane as u64);
    m.set_sgpr64(EXEC, !2);
    m.run("ds_bpermute_b32 v6, v0, v2", &[0xd87e_0000, 0x0600_0200]);
    assert_eq!([0, 1, 2, 63].map(|lane| m.vgpr(6)[lane]), [0, 0, 3, 0]);
    m.set_sgpr64(EXEC, !0);
    m.run("ds_swizzle_b32 v6, v0 offset:swizzle(SWAP,1)", &[0xd87a_041f, 0x0600_0000]);
    assert_eq!((m.vgpr(6)[0], m.vgpr(6)[1]), (8, 4));
}

#[test]
fn global_accesses_take_pairs_or_a_base_and_an_offset() {
    let mut m = machine();
    m.set_sgpr64(0, MEMORY);
    m.set_pair(0, |lane| 16 * lane as u64);
    m.set_pair(2, |lane| lane as u64 | (1000 + lane as u64) << 32);
    m.run("global_store_dwordx2 v0, v[2:3], s[0:1] offset:8", &[0xdc74_8008, 0x0000_0200]);
    assert_eq!((m.peek(MEMORY + 8 + 16 * 9), m.peek(MEMORY + 12 + 16 * 9)), (9, 1009));
    m.set_pair(0, |lane| MEMORY + 12 + 16 * lane as u64);
    m.run("global_load_dwordx3 v[6:8], v[0:1], off offset:-4", &[0xdc58_9ffc, 0x067f_0000]);
    assert_eq!([6, 7, 8].map(|r| m.vgpr(r)[9]), [9, 1009, 0]);
    m.run("global_load_dword a6, v[0:1], off", &[0xdc50_8000, 0x06ff_0000]);
    assert_eq!((m.vgpr(256 + 6)[9], m.vgpr(6)[9]), (1009, 9));
}

#[test]
fn a_refused_lane_is_named() {
    let mut m = machine();
    m.set_pair(0, |lane| if lane == 5 { 16 } else { MEMORY });
    assert_eq!(m.run("global_load_dword a6, v[0:1], off", &[0xdc50_8000, 0x06ff_0000]), Flow::Fault);
    let Some((FaultKind::Memory(fault), lane)) = &m.wave.fault else { panic!("{:?}", m.wave.fault) };
    assert_eq!((fault.address, *lane), (16, Some(5)));
    m.set_sgpr64(EXEC, !(1 << 5));
    assert_eq!(m.run("global_load_dword a6, v[0:1], off", &[0xdc50_8000, 0x06ff_0000]), Flow::Next, "lane 5 is off");
}

#[test]
fn global_atomics_return_the_old_value_when_asked() {
    let mut m = machine();
    m.poke(MEMORY, 100);
    m.set_pair(0, |_| MEMORY);
    m.set_pair(2, |lane| lane as u64);
    m.set_sgpr64(EXEC, 0b1110);
    m.run("global_atomic_add v6, v[0:1], v2, off glc", &[0xdd09_8000, 0x067f_0200]);
    assert_eq!((m.peek(MEMORY), m.vgpr(6)[1], m.vgpr(6)[2], m.vgpr(6)[3]), (106, 100, 101, 103));
    m.set_sgpr64(EXEC, 1);
    m.set_pair(2, |_| 7);
    m.set_pair(4, |_| 106);
    m.run("global_atomic_cmpswap_x2 v[6:7], v[0:1], v[2:5], off glc", &[0xdd85_8000, 0x067f_0200]);
    assert_eq!((m.peek(MEMORY), m.vgpr(6)[0]), (7, 106), "the new value comes first, the compared one second");
    m.poke(MEMORY + 8, 1.5f32.to_bits());
    m.set_pair(0, |_| MEMORY + 8);
    m.set_pair(2, |_| u64::from(2f32.to_bits()));
    m.run("global_atomic_add_f32 v[0:1], v2, off", &[0xdd34_8000, 0x007f_0200]);
    assert_eq!(f32::from_bits(m.peek(MEMORY + 8)), 3.5);
    m.set_pair(0, |_| MEMORY + 2);
    assert_eq!(
        m.run("global_atomic_add v6, v[0:1], v2, off glc", &[0xdd09_8000, 0x067f_0200]),
        Flow::Fault,
        "misaligned"
    );
}

#[test]
fn flat_addresses_lead_to_three_memories() {
    let mut m = machine();
    m.poke(MEMORY, 11);
    m.hw[0].lds[0x400 + 4] = 22;
    // Dword 1 of lane 2's private memory.
    m.poke(SCRATCH + 256 + 4 * 2, 33);
    m.set_pair(0, |lane| match lane % 3 {
        0 => MEMORY,
        1 => u64::from(SHARED_APERTURE_HI) << 32 | 4,
        _ => u64::from(PRIVATE_APERTURE_HI) << 32 | 4,
    });
    m.set_sgpr64(EXEC, 7);
    m.run("flat_load_dword v6, v[0:1]", &[0xdc50_0000, 0x0600_0000]);
    assert_eq!(m.vgpr(6)[..4], [11, 22, 33, 0]);
    m.set_pair(2, |_| 0x55 | 0x66 << 32);
    m.run("flat_store_dwordx2 v[0:1], v[2:3]", &[0xdc74_0000, 0x0000_0200]);
    assert_eq!((m.peek(MEMORY + 4), m.hw[0].lds[0x408], m.peek(SCRATCH + 512 + 8)), (0x66, 0x66, 0x66));
}

#[test]
fn buffers_interleave_and_bound_as_their_descriptor_says() {
    let mut m = machine();
    // The scratch descriptor of a gfx90a prologue: interleaved dwords, 64 lanes, thread id added.
    m.set_sgpr64(0, SCRATCH | 1 << 63);
    m.set_sgpr64(2, (64 * 64) | (3 << 21 | 1 << 23) << 32);
    m.hw[0].sgpr[0][4] = 256;
    m.set_pair(0, |_| 4);
    m.set_pair(2, |lane| 500 + lane as u64);
    m.run("buffer_store_dword v2, v0, s[0:3], s4 offen offset:4", &[0xe070_1004, 0x0400_0200]);
    assert_eq!(m.peek(SCRATCH + 256 + 2 * 256 + 4 * 9), 509);
    m.run("buffer_load_dword v6, v0, s[0:3], s4 offen offset:4", &[0xe050_1004, 0x0400_0600]);
    assert_eq!(m.vgpr(6)[9], 509);
    // A linear buffer of four records of eight bytes.
    m.poke(MEMORY + 24, 77);
    m.set_sgpr64(0, MEMORY | 8 << 48);
    m.set_sgpr64(2, 4);
    m.set_pair(0, |lane| lane as u64);
    m.set_pair(6, |_| !0);
    m.run("buffer_load_dwordx2 v[6:7], v0, s[0:3], 0 idxen", &[0xe054_2000, 0x8000_0600]);
    assert_eq!((m.vgpr(6)[3], m.vgpr(6)[4], m.vgpr(7)[4]), (77, 0, 0), "record 4 is beyond the end");
}

#[test]
fn buffer_atomics_return_into_their_data() {
    let mut m = machine();
    m.set_sgpr64(0, MEMORY);
    m.set_sgpr64(2, 64);
    m.poke(MEMORY + 4, 40);
    m.set_pair(0, |_| 4);
    m.set_pair(2, |_| 2);
    m.set_sgpr64(EXEC, 1);
    m.run("buffer_atomic_add v2, v0, s[0:3], 0 offen glc", &[0xe108_5000, 0x8000_0200]);
    assert_eq!((m.peek(MEMORY + 4), m.vgpr(2)[0]), (42, 40));
}

#[test]
fn scratch_is_interleaved_and_bounded() {
    let mut m = Machine::new(Arch::Gfx942);
    m.set_pair(0, |_| 4);
    m.set_pair(2, |lane| lane as u64 | (100 + lane as u64) << 32);
    m.run("scratch_store_dwordx2 v0, v[2:3], off offset:8", &[0xdc74_6008, 0x007f_0200]);
    assert_eq!((m.peek(SCRATCH + 3 * 256 + 4 * 5), m.peek(SCRATCH + 4 * 256 + 4 * 5)), (5, 105));
    m.run("scratch_load_dwordx2 v[6:7], v0, off offset:8", &[0xdc54_6008, 0x067f_0000]);
    assert_eq!((m.vgpr(6)[5], m.vgpr(7)[5]), (5, 105));
    m.hw[0].sgpr[0][4] = 12;
    m.run("scratch_load_dword v6, off, s4", &[0xdc50_4000, 0x0604_0000]);
    assert_eq!(m.vgpr(6)[63], 63);
    m.poke(SCRATCH + 2 * 256, 0x0000_9900);
    m.run("scratch_load_ubyte v6, off, off offset:9", &[0xdc40_4009, 0x067f_0000]);
    assert_eq!(m.vgpr(6)[0], 0x99);
    m.hw[0].sgpr[0][4] = 61;
    assert_eq!(m.run("scratch_load_dword v6, off, s4", &[0xdc50_4000, 0x0604_0000]), Flow::Fault);
    assert!(matches!(m.wave.fault, Some((FaultKind::Scratch { offset: 61, bytes: 64 }, Some(0)))));
}

#[test]
fn scalar_loads_add_the_immediate() {
    let mut m = machine();
    m.poke(MEMORY + 0x10, 1);
    m.poke(MEMORY + 0x14, 2);
    m.set_sgpr64(0, MEMORY);
    m.run("s_load_dwordx2 s[4:5], s[0:1], 0x10", &[0xc006_0100, 0x0000_0010]);
    assert_eq!(m.sgpr64(4), 1 | 2 << 32);
}
