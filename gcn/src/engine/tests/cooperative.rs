//! Grids whose work-groups wait for each other: resident as a whole, or refused.

use super::*;
use crate::aql::queue;

/// Each wave counts itself in, then waits until 64 have.
#[rustfmt::skip]
const ALL_PRESENT: [u32; 14] = [
    0xc006_0180, 0x0000_0000, // s_load_dwordx2 s[6:7], s[0:1], 0x0
    0xbf8c_c07f,              // s_waitcnt lgkmcnt(0)
    0x7e04_0280,              // v_mov_b32 v2, 0
    0x7e06_0281,              // v_mov_b32 v3, 1
    0xbefe_0181,              // s_mov_b64 exec, 1
    0xdd09_8000, 0x0406_0302, // global_atomic_add v4, v2, v3, s[6:7] glc
    0xc003_0203, 0x0000_0000, // s_load_dword s8, s[6:7], 0x0 glc
    0xbf8c_c07f,              // s_waitcnt lgkmcnt(0)
    0xbf0a_c008,              // s_cmp_lt_u32 s8, 64
    0xbf85_fffb,              // s_cbranch_scc1 -5
    S_ENDPGM,
];

/// 16 registers: eight waves a SIMD, by wave slots; so a compute unit holds 32 work-groups of one wave.
const GROUPS_PER_CU: u32 = 32;
/// The second queue's ring, read index and structure.
const RING_2: u64 = BASE + 0x3000;
const READ_INDEX_2: u64 = BASE + 0x480;
const STRUCTURE_2: u64 = BASE + 0x700;

/// Memory in which both queue structures say that they are of the type `kind`.
fn memory(kind: u32, words: &[u32]) -> FlatMemory {
    let mem = FlatMemory::new(BASE, BYTES);
    kernel(&mem, words, 1);
    mem.write(BASE + queue::TYPE, &kind.to_le_bytes()).unwrap();
    mem.write(STRUCTURE_2 + queue::TYPE, &kind.to_le_bytes()).unwrap();
    for slot in 0..u64::from(SLOTS) {
        mem.write(RING_2 + 64 * slot, &[TYPE_INVALID, 0, 0, 0]).unwrap();
    }
    mem
}

fn grid(groups: u32) -> KernelDispatch {
    dispatch([64 * groups, 1, 1], [64, 1, 1])
}

/// Runs a grid of so many work-groups on a queue of type `kind` and `cus` of two compute units; returns how its queue ended.
fn ends(kind: u32, groups: u32, cus: u32) -> Option<QueueError> {
    let mem = memory(kind, &[S_ENDPGM]);
    mem.write(RING, &Packet::kernel(&grid(groups), true, SIGNAL)).unwrap();
    let (mut context, mut hw, queue) = context(2);
    assert!(context.set_cu_mask(|cu| cu < cus));
    let host = TestHost::new(u32::MAX);
    assert_eq!(context.run(&mut hw, &mem, &host).outcome, Outcome::Drained);
    let error = context.queue_error(queue).cloned();
    let told: Vec<_> = host.failed.into_inner().unwrap().into_iter().map(|(_, error)| error).collect();
    assert_eq!(told, error.clone().into_iter().collect::<Vec<_>>(), "the host is told");
    let done = if error.is_some() { 0 } else { u64::MAX };
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8).unwrap(), done, "a refused launch completes nothing");
    error
}

#[test]
fn a_cooperative_grid_larger_than_residency_is_refused_with_the_numbers() {
    for cus in [1, 2] {
        let resident = u64::from(GROUPS_PER_CU * cus);
        assert_eq!(ends(queue::TYPE_COOPERATIVE, GROUPS_PER_CU * cus, cus), None);
        let error = ends(queue::TYPE_COOPERATIVE, GROUPS_PER_CU * cus + 1, cus);
        let expected = LaunchError::Cooperative { groups: resident + 1, resident, cus };
        assert_eq!(error, Some(QueueError::Launch { error: expected, packet: 0 }));
        let said = error.unwrap().to_string();
        assert!(said.contains(&format!("{} work-groups: at most {resident} fit", resident + 1)), "{said}");
    }
}

#[test]
fn other_queues_take_grids_of_any_size() {
    for kind in [0, 1, 3, u32::MAX] {
        assert_eq!(ends(kind, 10 * GROUPS_PER_CU, 1), None, "type {kind}");
    }
}

/// Two grids that each fill the device and wait for all of their own: half of each would wait for ever.
#[test]
fn two_cooperative_grids_are_resident_one_after_the_other() {
    let mem = memory(queue::TYPE_COOPERATIVE, &ALL_PRESENT);
    let (mut context, mut hw, first) = context(2);
    let spec = QueueSpec { ring: RING_2, slots: SLOTS, read_index: READ_INDEX_2, structure: STRUCTURE_2 };
    let second = context.create_queue(spec);
    for ring in [RING, RING_2] {
        mem.write(ring, &Packet::kernel(&grid(2 * GROUPS_PER_CU), true, SIGNAL)).unwrap();
    }
    // The second grid finds the count where the first has left it, so it never waits in vain.
    let host = TestHost::new(100_000);
    assert_eq!(context.run(&mut hw, &mem, &host).outcome, Outcome::Drained);
    assert_eq!((context.queue_error(first), context.queue_error(second)), (None, None));
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8).unwrap(), u64::MAX - 1);
    assert_eq!(mem.load_acquire_u32(OUT).unwrap(), 4 * GROUPS_PER_CU);
}

/// What runs already may lie in the way: the grid begins when the compute units are empty, even if it is stopped in between.
#[test]
fn a_cooperative_grid_waits_for_empty_compute_units() {
    let mem = memory(queue::TYPE_COOPERATIVE, &ALL_PRESENT);
    mem.write(BASE + queue::TYPE, &0u32.to_le_bytes()).unwrap();
    let (mut context, mut hw, _) = context(2);
    let spec = QueueSpec { ring: RING_2, slots: SLOTS, read_index: READ_INDEX_2, structure: STRUCTURE_2 };
    context.create_queue(spec);
    // One work-group of the ordinary grid waits for the whole cooperative one: it can only be let go by a count from here.
    mem.write(RING, &Packet::kernel(&grid(1), true, SIGNAL)).unwrap();
    mem.write(RING_2, &Packet::kernel(&grid(2 * GROUPS_PER_CU), true, SIGNAL)).unwrap();
    context.set_look_every(8);
    for _ in 0..20 {
        assert_eq!(context.run(&mut hw, &mem, &TestHost::new(10)).outcome, Outcome::Stopped);
        assert_eq!(context.size().waves, 1, "nothing of it is resident beside others");
    }
    mem.write(OUT, &64u32.to_le_bytes()).unwrap();
    assert_eq!(context.run(&mut hw, &mem, &TestHost::new(100_000)).outcome, Outcome::Drained);
    assert_eq!(mem.load_acquire_u32(OUT).unwrap(), 64 + 2 * GROUPS_PER_CU);
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8).unwrap(), u64::MAX - 1);
}
