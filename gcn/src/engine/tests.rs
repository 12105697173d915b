//! The engine on hand-made programs: what a compiled kernel cannot be made to do.
//!
//! Programs are words as `llvm-mc -mcpu=gfx90a` encodes them, in a flat memory that everything may touch; the device's address space
//! and real code objects are for the tests of the whole.

mod cooperative;

use super::*;
use crate::aql::{KernelDispatch, PACKET_BYTES, Packet, PacketError, TYPE_INVALID};
use crate::arch::Arch;
use crate::fault::FaultKind;
use crate::hardware::CuHardware;
use crate::memory::{FlatMemory, Memory, MemoryFault};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const BASE: u64 = 0x10_0000;
const CODE: u64 = BASE + 0x1000;
const DESCRIPTOR: u64 = BASE + 0x800;
const KERNARG: u64 = BASE + 0x600;
const SIGNAL: u64 = BASE + 0x500;
const READ_INDEX: u64 = BASE + 0x400;
const RING: u64 = BASE + 0x2000;
const SLOTS: u32 = 16;
const OUT: u64 = BASE + 0x4000;
const BYTES: usize = 1 << 20;

const S_ENDPGM: u32 = 0xbf81_0000;
const S_NOP: u32 = 0xbf80_0000;

/// Each work-item takes a number from a counter and stores its packed id and its work-group's coordinates in the entry of that number.
#[rustfmt::skip]
const ROLL_CALL: [u32; 16] = [
    0xc006_0180, 0x0000_0000, // s_load_dwordx2 s[6:7], s[0:1], 0x0
    0xbf8c_c07f,              // s_waitcnt lgkmcnt(0)
    0x7e04_0280,              // v_mov_b32 v2, 0
    0x7e06_0281,              // v_mov_b32 v3, 1
    0xdd09_8000, 0x0406_0302, // global_atomic_add v4, v2, v3, s[6:7] glc
    0x7e10_0300,              // v_mov_b32 v8, v0
    0x7e12_0202,              // v_mov_b32 v9, s2
    0x7e14_0203,              // v_mov_b32 v10, s3
    0x7e16_0204,              // v_mov_b32 v11, s4
    0xbf8c_0f70,              // s_waitcnt vmcnt(0)
    0x2408_0884,              // v_lshlrev_b32 v4, 4, v4
    0xdc7c_8010, 0x0006_0804, // global_store_dwordx4 v4, v[8:11], s[6:7] offset:16
    S_ENDPGM,
];

/// A host that runs until nothing is left, or for a number of questions, and keeps what it is told.
struct TestHost {
    questions: AtomicU32,
    failed: Mutex<Vec<(QueueId, QueueError)>>,
}

impl TestHost {
    fn new(questions: u32) -> TestHost {
        TestHost { questions: AtomicU32::new(questions), failed: Mutex::default() }
    }
}

impl Host for TestHost {
    fn now(&self) -> u64 {
        0
    }
    fn should_stop(&self) -> bool {
        let left = self.questions.load(Ordering::Relaxed);
        self.questions.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }
    fn scratch(&self, _: u64) -> Option<u64> {
        None
    }
    fn signal_changed(&self, _: u64) {}
    fn interrupt(&self) {}
    fn queue_failed(&self, queue: QueueId, error: &QueueError) {
        self.failed.lock().unwrap().push((queue, error.clone()));
    }
}

/// Writes a kernel of `words` that wants `dims` work-item ids, three work-group ids and its arguments' address.
fn kernel(mem: &dyn Memory, words: &[u32], dims: u32) {
    let mut descriptor = [0u8; 64];
    let mut put = |at: usize, value: u32| descriptor[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(16, (CODE - DESCRIPTOR) as u32);
    put(44, 3); // accumulation registers from 16 on
    put(48, 1 | 3 << 16 | 3 << 18 | 1 << 21 | 1 << 23); // 16 registers, denormals kept
    put(52, 2 << 1 | 7 << 7 | (dims - 1) << 11); // two user registers, work-group ids, work-item ids
    put(56, 1 << 3); // the arguments' address
    mem.write(DESCRIPTOR, &descriptor).unwrap();
    let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    mem.write(CODE, &code).unwrap();
    mem.write(KERNARG, &OUT.to_le_bytes()).unwrap();
    for slot in 0..u64::from(SLOTS) {
        mem.write(RING + 64 * slot, &[TYPE_INVALID, 0, 0, 0]).unwrap();
    }
}

fn dispatch(grid: [u32; 3], workgroup: [u16; 3]) -> KernelDispatch {
    KernelDispatch {
        setup: 3,
        workgroup,
        grid,
        private_segment_size: 0,
        group_segment_size: 0,
        kernel_object: DESCRIPTOR,
        kernarg_address: KERNARG,
    }
}

fn context(cus: u32) -> (Context, Box<[CuHardware]>, QueueId) {
    let mut context = Context::new(Config { arch: Arch::Gfx90a, cus, threads: 1 }).unwrap();
    let spec = QueueSpec { ring: RING, slots: SLOTS, read_index: READ_INDEX, structure: BASE };
    let queue = context.create_queue(spec);
    (context, CuHardware::power_on(cus as usize), queue)
}

/// Runs a dispatch to its end; returns what the roll call found: work-group coordinates and packed work-item id.
fn roll_call(grid: [u32; 3], workgroup: [u16; 3], dims: u32) -> Vec<([u32; 3], u32)> {
    let mem = FlatMemory::new(BASE, BYTES);
    kernel(&mem, &ROLL_CALL, dims);
    mem.write(RING, &Packet::kernel(&dispatch(grid, workgroup), true, SIGNAL)).unwrap();
    let (mut context, mut hw, queue) = context(2);
    context.run(&mut hw, &mem, &TestHost::new(u32::MAX));
    assert_eq!(context.queue_error(queue), None);
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8).unwrap(), u64::MAX);
    let word = |at: u64| mem.load_acquire_u32(at).unwrap();
    (0..u64::from(word(OUT)))
        .map(|n| OUT + 16 + 16 * n)
        .map(|at| ([word(at + 4), word(at + 8), word(at + 12)], word(at)))
        .collect()
}

#[test]
fn every_work_item_of_a_ragged_grid_runs_once() {
    for (grid, workgroup) in [
        ([5, 1, 1], [64, 1, 1]),
        ([100, 1, 1], [64, 1, 1]),
        ([7, 5, 3], [4, 2, 2]),
        ([10, 9, 8], [3, 5, 7]),
        ([1, 1, 65], [1, 1, 64]),
        ([33, 17, 2], [16, 16, 1]),
        ([70, 3, 2], [128, 2, 1]),
    ] {
        let seen = roll_call(grid, workgroup, 3);
        let mut expected = BTreeSet::new();
        for z in 0..grid[2] {
            for y in 0..grid[1] {
                for x in 0..grid[0] {
                    let at = [x, y, z];
                    let group = core::array::from_fn(|k| at[k] / u32::from(workgroup[k]));
                    let id: [u32; 3] = core::array::from_fn(|k| at[k] % u32::from(workgroup[k]));
                    expected.insert((group, id[0] | id[1] << 10 | id[2] << 20));
                }
            }
        }
        assert_eq!(seen.len(), expected.len(), "{grid:?} by {workgroup:?}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected, "{grid:?} by {workgroup:?}");
    }
}

/// A program that asks for x alone uses the register without masking it: y and z must not be there.
#[test]
fn work_item_ids_nobody_asked_for_are_zero() {
    for (dims, mask) in [(1, 0x3ff), (2, 0xf_ffff), (3, 0x3fff_ffff)] {
        let mut asked: Vec<u32> = roll_call([4, 4, 4], [4, 4, 4], dims).into_iter().map(|(_, id)| id).collect();
        let mut all: Vec<u32> = roll_call([4, 4, 4], [4, 4, 4], 3).into_iter().map(|(_, id)| id & mask).collect();
        asked.sort_unstable();
        all.sort_unstable();
        assert_eq!(asked, all, "dims={dims}");
    }
}

/// Flips bytes of a ring after they were first read, as a hostile tenant would, and counts how often each slot's header is acquired.
struct Flipping {
    inner: FlatMemory,
    acquired: AtomicU32,
    /// What every packet becomes once its header was acquired (`after_header`) or its bytes were copied.
    becomes: [u8; PACKET_BYTES],
    after_header: bool,
    armed: AtomicU64,
}

impl Flipping {
    fn flip(&self, slot: u64) {
        if self.armed.swap(0, Ordering::Relaxed) == slot {
            self.inner.write(slot, &self.becomes).unwrap();
        }
    }
}

impl Memory for Flipping {
    fn lend(&self, then: &mut dyn FnMut(&dyn Memory)) {
        then(self);
    }
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
        self.inner.read(address, out)?;
        if !self.after_header && out.len() == PACKET_BYTES {
            self.flip(address);
        }
        Ok(())
    }
    fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryFault> {
        self.inner.write(address, data)
    }
    fn fetch(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
        self.inner.fetch(address, out)
    }
    fn update_u32(&self, address: u64, update: &mut dyn FnMut(u32) -> Option<u32>) -> Result<u32, MemoryFault> {
        self.inner.update_u32(address, update)
    }
    fn update_u64(&self, address: u64, update: &mut dyn FnMut(u64) -> Option<u64>) -> Result<u64, MemoryFault> {
        self.inner.update_u64(address, update)
    }
    fn load_acquire_u32(&self, address: u64) -> Result<u32, MemoryFault> {
        let value = self.inner.load_acquire_u32(address)?;
        if address == RING {
            self.acquired.fetch_add(1, Ordering::Relaxed);
            if self.after_header {
                self.flip(address);
            }
        }
        Ok(value)
    }
    fn load_acquire_u64(&self, address: u64) -> Result<u64, MemoryFault> {
        self.inner.load_acquire_u64(address)
    }
    fn store_release_u32(&self, address: u64, value: u32) -> Result<(), MemoryFault> {
        self.inner.store_release_u32(address, value)
    }
    fn store_release_u64(&self, address: u64, value: u64) -> Result<(), MemoryFault> {
        self.inner.store_release_u64(address, value)
    }
}

fn flipping(becomes: [u8; PACKET_BYTES], after_header: bool) -> Flipping {
    let inner = FlatMemory::new(BASE, BYTES);
    kernel(&inner, &ROLL_CALL, 3);
    inner.write(RING, &Packet::kernel(&dispatch([64, 1, 1], [64, 1, 1]), true, SIGNAL)).unwrap();
    Flipping { inner, acquired: AtomicU32::new(0), becomes, after_header, armed: AtomicU64::new(RING) }
}

/// The packet is copied once; what the ring says afterwards does not matter, not even to the one byte of its type.
#[test]
fn a_packet_rewritten_after_it_was_copied_is_run_as_it_was() {
    let mem = flipping([0xff; PACKET_BYTES], false);
    let (mut context, mut hw, queue) = context(1);
    context.run(&mut hw, &mem, &TestHost::new(u32::MAX));
    assert_eq!(context.queue_error(queue), None);
    assert_eq!(mem.load_acquire_u32(OUT).unwrap(), 64);
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8).unwrap(), u64::MAX);
    assert_eq!(mem.inner.load_acquire_u32(RING).unwrap(), u32::from(TYPE_INVALID));
}

/// A header that flips between the acquire and the copy: the acquired one counts, so a checked type is never another one.
#[test]
fn a_header_that_flips_before_the_copy_is_the_one_that_was_acquired() {
    let mut becomes = Packet::kernel(&dispatch([64, 1, 1], [64, 1, 1]), true, SIGNAL);
    (becomes[0], becomes[1]) = (0xff, 0xff);
    let mem = flipping(becomes, true);
    let (mut context, mut hw, queue) = context(1);
    context.run(&mut hw, &mem, &TestHost::new(u32::MAX));
    assert_eq!(context.queue_error(queue), None);
    assert_eq!(mem.load_acquire_u32(OUT).unwrap(), 64);
}

/// One packet in one slot of a ring that is polled many times while it runs: copied once.
#[test]
fn a_packet_in_flight_is_not_looked_at_again() {
    let mem = flipping([0; PACKET_BYTES], false);
    mem.armed.store(0, Ordering::Relaxed);
    let spin: Vec<u32> = [S_NOP].repeat(900).into_iter().chain([S_ENDPGM]).collect();
    kernel(&mem.inner, &spin, 1);
    mem.write(RING, &Packet::kernel(&dispatch([64, 1, 1], [64, 1, 1]), true, SIGNAL)).unwrap();
    let (mut context, mut hw, _) = context(1);
    context.set_look_every(8);
    while context.run(&mut hw, &mem, &TestHost::new(1)).outcome == Outcome::Stopped {}
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8).unwrap(), u64::MAX);
    assert_eq!(mem.acquired.load(Ordering::Relaxed), 1);
}

/// Runs `packets` and returns how the queue ended.
fn ends(words: &[u32], packets: &[[u8; PACKET_BYTES]]) -> Option<QueueError> {
    let mem = FlatMemory::new(BASE, BYTES);
    kernel(&mem, words, 1);
    mem.write(OUT, &[0xff; 64]).unwrap();
    for (slot, packet) in (0..).zip(packets) {
        mem.write(RING + 64 * slot, packet).unwrap();
    }
    let (mut context, mut hw, queue) = context(1);
    let host = TestHost::new(10_000);
    context.run(&mut hw, &mem, &host);
    let error = context.queue_error(queue).cloned();
    let told = host.failed.into_inner().unwrap();
    assert_eq!(
        told,
        error.iter().map(|e| (queue, e.clone())).collect::<Vec<_>>(),
        "the host is told once, and the same"
    );
    if error.is_some() {
        assert_eq!(context.size().waves, 0);
        assert!(!context.runnable(&mem));
    }
    error
}

#[test]
fn launch_errors_have_names() {
    let good = dispatch([64, 1, 1], [64, 1, 1]);
    let launch = |d: KernelDispatch| match ends(&[S_ENDPGM], &[Packet::kernel(&d, true, 0)]) {
        Some(QueueError::Launch { error, packet: 0 }) => error,
        other => panic!("{d:?}: {other:?}"),
    };
    assert_eq!(ends(&[S_ENDPGM], &[Packet::kernel(&good, true, 0)]), None);
    // Only two bits are dimensions, so "4" is none; the rest of the field is reserved.
    for setup in [0, 4] {
        assert_eq!(launch(KernelDispatch { setup, ..good }), LaunchError::Dimensions { dimensions: 0 });
    }
    assert_eq!(launch(KernelDispatch { workgroup: [2000, 1, 1], ..good }), LaunchError::WorkgroupItems { items: 2000 });
    let grid = [0, 1, 1];
    assert_eq!(launch(KernelDispatch { grid, ..good }), LaunchError::EmptyGrid { grid, workgroup: [64, 1, 1] });
    assert_eq!(launch(KernelDispatch { group_segment_size: 65_537, ..good }), LaunchError::Lds { bytes: 65_537 });
    assert_eq!(
        launch(KernelDispatch { private_segment_size: 131_073, ..good }),
        LaunchError::Private { bytes: 131_073 }
    );
    // This host has no scratch to give: 64 lanes of 4 bytes, a granule of 1 KiB, for each of 32 wave slots.
    assert_eq!(
        launch(KernelDispatch { private_segment_size: 4, ..good }),
        LaunchError::OutOfScratch { bytes: 32 * 1024 }
    );
    for kernel_object in [0, BASE - 64, BASE + BYTES as u64 - 63, u64::MAX] {
        assert!(matches!(launch(KernelDispatch { kernel_object, ..good }), LaunchError::Unreadable(_)));
    }
    // Ones everywhere: reserved fields are set.
    let garbage = KernelDispatch { kernel_object: OUT, ..good };
    assert!(matches!(launch(garbage), LaunchError::Descriptor(_)));
}

/// Descriptors that were read before are known by their bytes: what a kernel object has become since counts.
#[test]
fn a_kernel_object_that_changes_is_launched_as_it_is() {
    let mem = FlatMemory::new(BASE, BYTES);
    kernel(&mem, &ROLL_CALL, 1);
    let (mut context, mut hw, queue) = context(1);
    let host = TestHost::new(u32::MAX);
    let packet = Packet::kernel(&dispatch([64, 1, 1], [64, 1, 1]), true, SIGNAL);
    for slot in 0..2 {
        mem.write(RING + 64 * slot, &packet).unwrap();
        context.run(&mut hw, &mem, &host);
    }
    assert_eq!(context.queue_error(queue), None);
    assert_eq!(mem.load_acquire_u32(OUT), Ok(128));
    mem.write(DESCRIPTOR + 63, &[0xff]).unwrap();
    mem.write(RING + 128, &packet).unwrap();
    context.run(&mut hw, &mem, &host);
    let error = context.queue_error(queue);
    assert!(
        matches!(error, Some(QueueError::Launch { error: LaunchError::Descriptor(_), packet: 2 })),
        "reserved bits are set: {error:?}"
    );
}

#[test]
fn packet_errors_have_names() {
    for (byte, error) in
        [(4, PacketError::Type { kind: 4 }), (7, PacketError::Type { kind: 7 }), (255, PacketError::Type { kind: 255 })]
    {
        let ended = ends(&[S_ENDPGM], &[Packet::barrier([0; 5], false, 0), [byte; PACKET_BYTES]]);
        assert_eq!(ended, Some(QueueError::Packet { error, packet: 1 }));
    }
}

#[test]
fn kernel_faults_name_their_place() {
    let packet = Packet::kernel(&dispatch([128, 1, 1], [64, 1, 1]), true, 0);
    let fault = |words: &[u32]| match ends(words, &[packet]) {
        Some(QueueError::Kernel { fault, kernel_object: DESCRIPTOR, entry: CODE, packet: 0 }) => fault,
        other => panic!("{words:x?}: {other:?}"),
    };
    let trap = fault(&[S_NOP, 0xbf92_0002]); // s_trap 2
    assert_eq!((trap.kind, trap.pc, trap.lane), (FaultKind::Trap { id: 2 }, CODE + 4, None));
    let illegal = fault(&[S_NOP, S_NOP, 0xffff_ffff]);
    assert!(matches!(illegal.kind, FaultKind::IllegalInstruction { word: 0xffff_ffff }), "{illegal}");
    assert_eq!(illegal.pc, CODE + 8);
    let beyond = fault(&[0x7f90_0280]); // v_mov_b32 v200, 0
    assert_eq!(beyond.kind, FaultKind::RegisterOutOfRange { mnemonic: "v_mov_b32", allocated: 16 });
    // A branch out of everything that is mapped: the fetch is refused, at the address that was to be executed.
    let lost = fault(&[0xbe86_0080, 0xbe87_0080, 0xbe80_1d06]); // s_mov_b32 s6, 0; s_mov_b32 s7, 0; s_setpc_b64 s[6:7]
    assert!(matches!(lost.kind, FaultKind::Memory(MemoryFault { address: 0, .. })), "{lost}");
    assert_eq!(lost.pc, 0);
}

/// An endless loop in the shortest form uses up its fuel and can be stopped, whatever is asked of it afterwards.
#[test]
fn a_branch_to_itself_is_stopped() {
    let mem = FlatMemory::new(BASE, BYTES);
    kernel(&mem, &[0xbf82_ffff], 1); // s_branch -1
    mem.write(RING, &Packet::kernel(&dispatch([64, 1, 1], [64, 1, 1]), true, SIGNAL)).unwrap();
    let (mut context, mut hw, queue) = context(1);
    let report = context.run(&mut hw, &mem, &TestHost::new(10));
    assert_eq!(report.outcome, Outcome::Stopped);
    assert!(report.instructions > 0);
    assert!(context.runnable(&mem));
    assert!(context.destroy_queue(queue));
    assert_eq!(context.run(&mut hw, &mem, &TestHost::new(10)).outcome, Outcome::Drained);
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8).unwrap(), 0);
}

/// With a look after every instruction, each run of one question executes exactly one.
#[test]
fn looks_can_be_as_fine_as_one_instruction() {
    let mem = FlatMemory::new(BASE, BYTES);
    let program: Vec<u32> = [S_NOP].repeat(20).into_iter().chain([S_ENDPGM]).collect();
    kernel(&mem, &program, 1);
    mem.write(RING, &Packet::kernel(&dispatch([64, 1, 1], [64, 1, 1]), true, SIGNAL)).unwrap();
    let (mut context, mut hw, _) = context(1);
    context.set_look_every(1);
    for _ in 0..20 {
        let report = context.run(&mut hw, &mem, &TestHost::new(1));
        assert_eq!((report.outcome, report.instructions), (Outcome::Stopped, 1));
    }
    let report = context.run(&mut hw, &mem, &TestHost::new(1));
    assert_eq!((report.outcome, report.instructions), (Outcome::Drained, 1));
}

#[test]
fn a_vendor_packet_is_the_hosts_to_carry_out_or_ends_its_queue() {
    struct Knowing(TestHost, AtomicU32);
    impl Host for Knowing {
        fn now(&self) -> u64 {
            0
        }
        fn should_stop(&self) -> bool {
            false
        }
        fn scratch(&self, _: u64) -> Option<u64> {
            None
        }
        fn signal_changed(&self, _: u64) {}
        fn interrupt(&self) {}
        fn queue_failed(&self, queue: QueueId, error: &QueueError) {
            self.0.queue_failed(queue, error);
        }
        fn vendor_packet(&self, packet: &[u8; PACKET_BYTES]) -> bool {
            self.1.fetch_add(1, Ordering::Relaxed);
            packet[2] == 1
        }
    }
    let mem = FlatMemory::new(BASE, BYTES);
    kernel(&mem, &[S_ENDPGM], 1);
    let vendor = |format: u8| {
        let mut bytes = [0; PACKET_BYTES];
        bytes[2] = format;
        bytes[56..].copy_from_slice(&SIGNAL.to_le_bytes());
        bytes
    };
    mem.write(RING, &vendor(1)).unwrap();
    mem.write(RING + 64, &vendor(3)).unwrap();
    let (mut context, mut hw, queue) = context(1);
    let host = Knowing(TestHost::new(0), AtomicU32::new(0));
    context.run(&mut hw, &mem, &host);
    assert_eq!(host.1.load(Ordering::Relaxed), 2);
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8).unwrap(), u64::MAX, "only the first one was done");
    let error = PacketError::VendorFormat { format: 3 };
    assert_eq!(context.queue_error(queue), Some(&QueueError::Packet { error, packet: 1 }));
}

/// The first work-group meets at a barrier until the second has stored a word. However often the host stops, the second one has its turn.
#[test]
fn barriers_do_not_keep_others_from_their_turn() {
    #[rustfmt::skip]
    let program = [
        0xc006_0180, 0x0000_0000, // s_load_dwordx2 s[6:7], s[0:1], 0x0
        0xbf8c_c07f,              // s_waitcnt lgkmcnt(0)
        0xbf06_8002,              // s_cmp_eq_u32 s2, 0
        0xbf84_000a,              // s_cbranch_scc0 to the store
        S_NOP,                    // from here
        0xbf8a_0000,              // s_barrier
        0x7e04_0280,              // v_mov_b32 v2, 0
        0xdc50_8000, 0x0306_0002, // global_load_dword v3, v2, s[6:7]
        0xbf8c_0f70,              // s_waitcnt vmcnt(0)
        0x7e10_0503,              // v_readfirstlane_b32 s8, v3
        0xbf06_8008,              // s_cmp_eq_u32 s8, 0
        0xbf85_fff7,              // s_cbranch_scc1 to there
        S_ENDPGM,
        0x7e04_0280,              // v_mov_b32 v2, 0
        0x7e06_0281,              // v_mov_b32 v3, 1
        0xdc70_8000, 0x0006_0302, // global_store_dword v2, v3, s[6:7]
        S_ENDPGM,
    ];
    for (look_every, questions) in [(1, 1), (1, 2), (2, 1), (3, 1), (3, 4), (5, 2), (8, 1), (16, 1), (64, 1), (256, 3)]
    {
        let mem = FlatMemory::new(BASE, BYTES);
        kernel(&mem, &program, 1);
        mem.write(RING, &Packet::kernel(&dispatch([256, 1, 1], [128, 1, 1]), true, SIGNAL)).unwrap();
        let (mut context, mut hw, _) = context(1);
        context.set_look_every(look_every);
        let over =
            (0..10_000).find(|_| context.run(&mut hw, &mem, &TestHost::new(questions)).outcome == Outcome::Drained);
        assert!(over.is_some(), "every {look_every} instructions {questions} questions: nobody got on");
    }
}

/// Waking a host thread can take longer than the kernel that it is woken for.
#[test]
fn compute_units_of_a_thread_that_is_late_are_run_by_another() {
    const ITEMS: u32 = 64 * 80;
    let mem = Arc::new(FlatMemory::new(BASE, BYTES));
    kernel(&*mem, &ROLL_CALL, 1);
    mem.write(RING, &Packet::kernel(&dispatch([ITEMS, 1, 1], [64, 1, 1]), true, SIGNAL)).unwrap();
    let mut context = Context::new(Config { arch: Arch::Gfx90a, cus: 4, threads: 2 }).unwrap();
    context.create_queue(QueueSpec { ring: RING, slots: SLOTS, read_index: READ_INDEX, structure: BASE });
    let (tell, told) = std::sync::mpsc::channel();
    let called = {
        let mem = Arc::clone(&mem);
        move || mem.load_acquire_u32(OUT).unwrap()
    };
    context.pool().expect("two threads have one beside the first").spawn(move || {
        // Not for ever: if nobody runs them they are this thread's.
        (0..20_000_000).take_while(|_| called() < ITEMS).for_each(|_| std::thread::yield_now());
        tell.send(called()).unwrap();
    });
    let mut hw = CuHardware::power_on(4);
    assert_eq!(context.run(&mut hw, &*mem, &TestHost::new(u32::MAX)).outcome, Outcome::Drained);
    assert_eq!(told.recv().unwrap(), ITEMS, "work-items that ran before the second thread came");
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8).unwrap(), u64::MAX);
}
