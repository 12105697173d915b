//! Programs that nobody would write: random words, and random operands for real instructions, run as kernels on a real context.
//!
//! Promise of `gcn`: no panic on any input (arithmetic overflow included, which this profile checks), and always fuel: the host can stop any of
//! them. What they compute does not matter here.

use gcn::aql::{KernelDispatch, Packet};
use gcn::arch::Arch;
use gcn::engine::{Config, Context, Host, Outcome, QueueError, QueueId, QueueSpec};
use gcn::hardware::CuHardware;
use gcn::isa::{Encoding, ROWS};
use gcn::memory::{FlatMemory, Memory};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};
use zerocopy::IntoBytes;

const BASE: u64 = 0x10_0000;
const BYTES: usize = 1 << 16;
const CODE: u64 = BASE + 0x1000;
const DESCRIPTOR: u64 = BASE + 0x800;
const RING: u64 = BASE + 0x8000;
const READ_INDEX: u64 = BASE + 0x7000;
const SIGNAL: u64 = BASE + 0x7040;
const SCRATCH: u64 = BASE + 0xa000;
const KERNARG: u64 = BASE + 0x9000;

/// Stops after a number of questions.
struct Fuel(AtomicU32);

impl Host for Fuel {
    fn now(&self) -> u64 {
        0
    }
    fn should_stop(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }
    fn scratch(&self, _: u64) -> Option<u64> {
        Some(SCRATCH)
    }
    fn signal_changed(&self, _: u64) {}
    fn interrupt(&self) {}
    fn queue_failed(&self, _: QueueId, _: &QueueError) {}
}

/// Runs `words` as a kernel of two waves until it ends or is stopped; suspends and resumes once on the way.
/// Returns wave-instructions executed and the value of the completion signal.
fn run(arch: Arch, words: &[u32], registers: &[u32]) -> (u64, u64) {
    let mem = FlatMemory::new(BASE, BYTES);
    let mut descriptor = [0u8; 64];
    let mut put = |at: usize, value: u32| descriptor[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(4, 64); // private bytes of a work-item
    put(0, 1024); // LDS bytes
    put(16, (CODE - DESCRIPTOR) as u32);
    put(44, 15); // accumulation registers from 64 on
    put(48, 15 | 3 << 16 | 3 << 18 | 1 << 21 | 1 << 23); // 128 registers, denormals kept
    put(52, 1 | 14 << 1 | 1 << 7); // scratch, 14 user registers, work-group id
    put(56, 0b110_1111); // all user registers but the queue's dispatch id
    mem.write(DESCRIPTOR, &descriptor).unwrap();
    let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    mem.write(CODE, &code).unwrap();
    let dispatch = KernelDispatch {
        setup: 1,
        workgroup: [100, 1, 1],
        grid: [150, 1, 1],
        private_segment_size: 0,
        group_segment_size: 0,
        kernel_object: DESCRIPTOR,
        kernarg_address: KERNARG,
    };
    mem.write(RING, &Packet::kernel(&dispatch, true, SIGNAL)).unwrap();
    for slot in 1..4 {
        mem.write(RING + 64 * slot, &[1, 0, 0, 0]).unwrap();
    }

    let mut hw = CuHardware::power_on(2);
    for cu in &mut hw {
        for (row, value) in cu.vgpr.iter_mut().flatten().zip(registers.iter().cycle()) {
            row.fill(*value);
        }
        for (register, value) in cu.sgpr.iter_mut().flatten().zip(registers.iter().rev().cycle()) {
            *register = *value;
        }
    }
    let before = hw.as_bytes().to_vec();
    let mut context = Context::new(Config { arch, cus: 2, threads: 1 }).unwrap();
    let queue = context.create_queue(QueueSpec { ring: RING, slots: 4, read_index: READ_INDEX, structure: BASE });
    let report = context.run(&mut hw, &mem, &Fuel(AtomicU32::new(2)));
    let mut executed = report.instructions;
    if report.outcome == Outcome::Stopped {
        context.suspend(&hw);
        hw.iter_mut().for_each(CuHardware::scrub);
        let traces = hw.as_bytes().iter().zip(&before).filter(|(now, before)| **now != 0 && now != before).count();
        assert_eq!(traces, 0, "bytes that the program changed and the scrub left");
        context.resume(&mut hw);
        executed += context.run(&mut hw, &mem, &Fuel(AtomicU32::new(4))).instructions;
    }
    // Whatever became of it, it can be got rid of, and the context is as good as new.
    assert!(context.destroy_queue(queue));
    assert_eq!(context.size().waves, 0);
    (executed, mem.load_acquire_u64(SIGNAL + 8).unwrap())
}

/// First words of real instructions with random operand fields.
fn instruction() -> impl Strategy<Value = [u32; 3]> {
    (0..ROWS.len(), any::<[u32; 3]>()).prop_map(|(row, random)| {
        let row = &ROWS[row];
        let op = u32::from(row.op);
        let keep = |mask: u32, fixed: u32| random[0] & mask | fixed;
        let first = match row.encoding {
            Encoding::Sop2 => keep(0x007f_ffff, 2 << 30 | op << 23),
            Encoding::Sopk => keep(0x007f_ffff, 0b1011 << 28 | op << 23),
            Encoding::Sop1 => keep(0x007f_00ff, 0x17d << 23 | op << 8),
            Encoding::Sopc => keep(0x0000_ffff, 0x17e << 23 | op << 16),
            Encoding::Sopp => keep(0x0000_ffff, 0x17f << 23 | op << 16),
            Encoding::Smem => keep(0x0003_ffff, 0b11_0000 << 26 | op << 18),
            Encoding::Vop1 => keep(0x01fe_01ff, 0x3f << 25 | op << 9),
            Encoding::Vop2 => keep(0x01ff_ffff, op << 25),
            Encoding::Vopc => keep(0x0001_ffff, 0x3e << 25 | op << 17),
            Encoding::Vop3 | Encoding::Vop3b => keep(0x0000_ffff, 0b11_0100 << 26 | op << 16),
            Encoding::Vop3p | Encoding::Mai => keep(0x0000_ffff, 0b1_1010_0111 << 23 | op << 16),
            Encoding::Ds => keep(0x0201_ffff, 0b11_0110 << 26 | op << 17),
            Encoding::Flat => keep(0x0203_3fff, 0b11_0111 << 26 | op << 18),
            Encoding::Scratch => keep(0x0203_3fff, 0b11_0111 << 26 | op << 18 | 1 << 14),
            Encoding::Global => keep(0x0203_3fff, 0b11_0111 << 26 | op << 18 | 2 << 14),
            Encoding::Mubuf => keep(0x0203_ffff, 0b11_1000 << 26 | op << 18),
        };
        // Half of the time small register numbers, so that instructions get past the register check.
        let second = if random[2] & 1 == 0 { random[1] & 0x3f3f_3f3f } else { random[1] };
        [first, second, random[2]]
    })
}

fn arch() -> impl Strategy<Value = Arch> {
    prop_oneof![Just(Arch::Gfx90a), Just(Arch::Gfx942)]
}

/// Cases of each property: few in a test run, as many as asked for otherwise.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(600)
}

/// Register contents: small numbers, addresses into memory, extremes.
fn registers() -> impl Strategy<Value = Vec<u32>> {
    let value = prop_oneof![
        any::<u32>(),
        0..256u32,
        (BASE as u32)..(BASE as u32 + BYTES as u32),
        Just(u32::MAX),
        Just(0x8000_0000),
        Just(0x7f80_0000),
        Just(0x7fc0_0000),
        Just(1)
    ];
    proptest::collection::vec(value, 7..40)
}

#[test]
fn the_harness_runs_kernels() {
    for arch in Arch::ALL {
        // v_mov_b32 v1, v0; s_endpgm: three waves (100 and 50 work-items), the signal goes from 0 to -1.
        assert_eq!(run(arch, &[0x7e02_0300, 0xbf81_0000], &[0]), (6, u64::MAX));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn random_words_never_panic_and_always_stop(
        arch in arch(), words in proptest::collection::vec(any::<u32>(), 1..200), registers in registers()
    ) {
        run(arch, &words, &registers);
    }

    #[test]
    fn random_operands_of_real_instructions_never_panic_and_always_stop(
        arch in arch(), program in proptest::collection::vec(instruction(), 1..100), registers in registers()
    ) {
        run(arch, &program.concat(), &registers);
    }

    /// One instruction at a time gets further than a program, which ends at its first fault.
    #[test]
    fn every_instruction_survives_random_operands(
        arch in arch(), first in instruction(), registers in registers()
    ) {
        run(arch, &[first[0], first[1], first[2], 0xbf81_0000], &registers);
    }
}
