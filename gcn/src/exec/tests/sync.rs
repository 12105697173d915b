//! Global wave sync, counters in LDS, loads straight to LDS, and other rare memory instructions.

use super::{MEMORY, Machine};
use crate::arch::Arch;
use crate::exec::cx::{EXEC, Flow};
use crate::memory::Memory as _;

fn machine() -> Machine {
    Machine::new(Arch::Gfx90a)
}

const BARRIER: (&str, [u32; 2]) = ("ds_gws_barrier v0 offset:3 gds", [0xd93b_0003, 0]);

#[test]
fn a_global_barrier_lets_go_when_all_have_come() {
    let mut m = machine();
    // Three waves: two wait for the last one, which brings the count for the next time.
    m.set_pair(0, |_| 2);
    m.run("ds_gws_init v0 offset:3 gds", &[0xd933_0003, 0]);
    let mut waiting = Vec::new();
    for _ in 0..2 {
        m.wave.gws_waits = None;
        assert_eq!(m.run(BARRIER.0, &BARRIER.1), Flow::Yield);
        waiting.push(m.wave.gws_waits);
    }
    m.wave.gws_waits = waiting[0];
    assert_eq!(m.run(BARRIER.0, &BARRIER.1), Flow::Yield, "asking again changes nothing");
    m.wave.gws_waits = None;
    assert_eq!(m.run(BARRIER.0, &BARRIER.1), Flow::Next);
    for seen in waiting {
        m.wave.gws_waits = seen;
        assert_eq!(m.run(BARRIER.0, &BARRIER.1), Flow::Next);
        assert_eq!(m.wave.gws_waits, None);
    }
    assert_eq!(m.run(BARRIER.0, &BARRIER.1), Flow::Yield, "the next round waits again");
}

#[test]
fn a_semaphore_lets_go_whom_it_has_room_for() {
    let mut m = machine();
    let take = ("ds_gws_sema_p offset:3 gds", [0xd939_0003, 0]);
    assert_eq!(m.run(take.0, &take.1), Flow::Yield);
    m.run("ds_gws_sema_v offset:3 gds", &[0xd935_0003, 0]);
    assert_eq!(m.run(take.0, &take.1), Flow::Next);
    assert_eq!(m.run(take.0, &take.1), Flow::Yield);
    m.run("ds_gws_sema_release_all offset:3 gds", &[0xd931_0003, 0]);
    assert_eq!(m.run(take.0, &take.1), Flow::Next);
}

#[test]
fn counters_in_lds_change_by_the_number_of_lanes() {
    let mut m = machine();
    m.hw[0].sgpr[0][124] = 16;
    m.hw[0].lds[0x418] = 40;
    m.set_sgpr64(EXEC, 0b111);
    m.run("ds_append v6 offset:8", &[0xd97c_0008, 0x0600_0000]);
    assert_eq!((m.vgpr(6)[0], m.vgpr(6)[2], m.vgpr(6)[3], m.hw[0].lds[0x418]), (40, 40, 0, 43));
    m.run("ds_consume v6 offset:8", &[0xd97a_0008, 0x0600_0000]);
    assert_eq!((m.vgpr(6)[0], m.hw[0].lds[0x418]), (43, 40));
}

#[test]
fn lanes_find_their_own_words() {
    let mut m = machine();
    m.hw[0].sgpr[0][124] = 32;
    m.set_pair(2, |lane| 7 * lane as u64);
    m.run("ds_write_addtid_b32 v2 offset:16", &[0xd83a_0010, 0x0000_0200]);
    assert_eq!(m.hw[0].lds[0x400 + 48 + 4 * 9], 63);
    m.run("ds_read_addtid_b32 v6 offset:16", &[0xd96c_0010, 0x0600_0000]);
    assert_eq!(m.vgpr(6)[9], 63);
}

#[test]
fn exchanges_return_both_old_words() {
    let mut m = machine();
    m.hw[0].lds[0x404] = 11;
    m.hw[0].lds[0x408] = 22;
    m.set_sgpr64(EXEC, 1);
    m.set_pair(2, |_| 5 | 6 << 32);
    m.run("ds_wrxchg2_rtn_b32 v[6:7], v0, v2, v3 offset0:1 offset1:2", &[0xd85c_0201, 0x0603_0200]);
    assert_eq!((m.vgpr(6)[0], m.vgpr(7)[0], m.hw[0].lds[0x404], m.hw[0].lds[0x408]), (11, 22, 5, 6));
    m.set_pair(0, |_| 8);
    m.set_pair(2, |_| 0x8000_0009 | 77 << 32);
    m.run("ds_condxchg32_rtn_b64 v[6:7], v0, v[2:3]", &[0xd8fc_0000, 0x0600_0200]);
    assert_eq!((m.vgpr(6)[0], m.hw[0].lds[0x408], m.hw[0].lds[0x40c]), (6, 9, 0));
}

#[test]
fn loads_go_straight_to_lds() {
    let mut m = machine();
    for lane in 0..64u64 {
        m.memory.write(MEMORY + 4 * lane, &(0xabcd_0000 | lane as u32).to_le_bytes()).unwrap();
    }
    m.set_sgpr64(0, MEMORY);
    m.set_sgpr64(2, 128);
    m.hw[0].sgpr[0][124] = 0x40;
    m.set_pair(0, |lane| 4 * lane as u64);
    m.hw[0].lds.fill(0xee);
    m.run("buffer_load_dword v0, s[0:3], 0 offen offset:4 lds", &[0xe051_1004, 0x8000_0000]);
    let word = |m: &Machine, at: usize| u32::from_le_bytes(m.hw[0].lds[at..at + 4].try_into().unwrap());
    assert_eq!(word(&m, 0x444 + 4 * 5), 0xabcd_0006);
    assert_eq!(word(&m, 0x444 + 4 * 40), 0, "beyond the buffer's end");
    m.set_pair(0, |lane| MEMORY + 4 * lane as u64);
    m.set_sgpr64(EXEC, !2);
    m.run("global_load_ushort v[0:1], off lds", &[0xdc48_a000, 0x007f_0000]);
    assert_eq!((word(&m, 0x440 + 4 * 9), word(&m, 0x444)), (9, 0xabcd_0001), "lane 1 keeps its word");
}

#[test]
fn scalar_atomics_change_memory_and_return_what_it_was() {
    let mut m = machine();
    m.set_sgpr64(2, MEMORY);
    m.memory.write(MEMORY + 0x64, &40u64.to_le_bytes()).unwrap();
    m.set_sgpr64(6, 2);
    m.run("s_atomic_sub_x2 s[6:7], s[2:3], 0x64 glc", &[0xc28f_0181, 0x0000_0064]);
    assert!(m.wave.fault.take().is_some(), "an atomic of eight bytes at four");
    m.memory.write(MEMORY + 0x68, &40u64.to_le_bytes()).unwrap();
    m.run("s_atomic_sub_x2 s[6:7], s[2:3], 0x68 glc", &[0xc28f_0181, 0x0000_0068]);
    assert_eq!(m.sgpr64(6), 40);
    m.set_sgpr64(6, 7 | 38 << 32);
    m.hw[0].sgpr[0][101] = 0x68;
    m.run("s_atomic_cmpswap s[6:7], s[2:3], s101 glc", &[0xc205_0181, 0x0000_0065]);
    let mut word = [0; 4];
    m.memory.read(MEMORY + 0x68, &mut word).unwrap();
    assert_eq!((m.sgpr64(6), u32::from_le_bytes(word)), (38 | 38 << 32, 7));
    m.set_sgpr64(4, MEMORY);
    m.set_sgpr64(6, 0x68);
    m.run("s_buffer_atomic_swap s5, s[4:7], s101", &[0xc100_0142, 0x0000_0065]);
    m.memory.read(MEMORY + 0x68, &mut word).unwrap();
    assert_eq!(u32::from_le_bytes(word), 7, "beyond the buffer nothing happens");
}

#[test]
fn scalar_stores_reach_buffers_and_scratch() {
    let mut m = machine();
    m.set_sgpr64(0, MEMORY);
    m.set_sgpr64(2, 8);
    m.hw[0].sgpr[0][4] = 123;
    m.run("s_buffer_store_dword s4, s[0:3], 0x4", &[0xc062_0100, 0x0000_0004]);
    m.run("s_buffer_load_dword s5, s[0:3], 0x4", &[0xc022_0140, 0x0000_0004]);
    assert_eq!(m.hw[0].sgpr[0][5], 123);
    m.memory.write(MEMORY + 64, &55u32.to_le_bytes()).unwrap();
    m.hw[0].sgpr[0][6] = 1;
    m.run("s_scratch_load_dword s4, s[0:1], s6", &[0xc014_0100, 0x0000_0006]);
    assert_eq!(m.hw[0].sgpr[0][4], 55);
}
