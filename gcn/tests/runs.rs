//! Runs leave what their instructions one by one leave, bit for bit: payloads of NaNs, inactive lanes, scalar registers and instruction counts
//! included, and wherever the wave is stopped in between.
//!
//! A kernel of one wave runs twice from the same registers and LDS: on the interpreter, and with all that can be translated.

use gcn::aql::{KernelDispatch, Packet};
use gcn::arch::{Arch, LANES};
use gcn::engine::{Config, Context, Host, Outcome, QueueError, QueueId, QueueSpec};
use gcn::hardware::{CuHardware, SIMD_ROWS};
use gcn::isa::{self, Encoding, ROWS, Row, Traits, Ty};
use gcn::memory::{FlatMemory, Memory};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

const BASE: u64 = 0x10_0000;
const BYTES: usize = 0x4000;
const DESCRIPTOR: u64 = BASE + 0x800;
const CODE: u64 = BASE + 0x1000;
const RING: u64 = BASE + 0x400;
const READ_INDEX: u64 = BASE + 0x200;
const SIGNAL: u64 = BASE + 0x240;
const LDS_BYTES: u32 = 0x1000;

/// Stops after a number of questions. A program that fails is found by its context.
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
        None
    }
    fn signal_changed(&self, _: u64) {}
    fn interrupt(&self) {}
    fn queue_failed(&self, _: QueueId, _: &QueueError) {}
}

/// What a run begins with.
struct Start<'a> {
    arch: Arch,
    program: &'a [u32],
    seed: u64,
    exec: u64,
    /// Instructions between two questions whether to stop, and the questions until each stop.
    look_every: u32,
    stops: &'a [u32],
    prepare: &'a dyn Fn(&mut CuHardware),
}

/// What it leaves.
struct End {
    hw: Box<[CuHardware]>,
    instructions: u64,
    error: Option<String>,
    translated: usize,
}

impl Start<'_> {
    fn of(arch: Arch, program: &[u32], seed: u64, exec: u64) -> Start<'_> {
        Start { arch, program, seed, exec, look_every: 256, stops: &[], prepare: &|_| {} }
    }

    /// Runs the program as a kernel of one wave, translated at the first visit or never.
    fn run(&self, translated: bool) -> End {
        let mem = FlatMemory::new(BASE, BYTES);
        let mut descriptor = [0u8; 64];
        let mut put = |at: usize, value: u32| descriptor[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, LDS_BYTES);
        put(16, (CODE - DESCRIPTOR) as u32);
        put(44, 7); // accumulation registers from 32 on
        put(48, 7 | 3 << 16 | 3 << 18 | 1 << 21 | 1 << 23); // 64 registers, denormals kept
        mem.write(DESCRIPTOR, &descriptor).unwrap();
        // s_mov_b32 exec_lo and exec_hi, the program, s_endpgm
        let mut words = vec![0xbefe_00ff, self.exec as u32, 0xbeff_00ff, (self.exec >> 32) as u32];
        words.extend(self.program);
        words.push(0xbf81_0000);
        let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        mem.write(CODE, &code).unwrap();
        let dispatch = KernelDispatch {
            setup: 1,
            workgroup: [64, 1, 1],
            grid: [64, 1, 1],
            private_segment_size: 0,
            group_segment_size: LDS_BYTES,
            kernel_object: DESCRIPTOR,
            kernarg_address: 0,
        };
        mem.write(RING, &Packet::kernel(&dispatch, true, SIGNAL)).unwrap();
        let mut hw = CuHardware::power_on(1);
        self.fill(&mut hw[0]);
        let mut context = Context::new(Config { arch: self.arch, cus: 1, threads: 1 }).unwrap();
        context.set_translation(translated.then_some(0));
        context.set_look_every(self.look_every);
        let queue = context.create_queue(QueueSpec { ring: RING, slots: 1, read_index: READ_INDEX, structure: BASE });
        let mut instructions = 0;
        for &questions in self.stops.iter().chain([&u32::MAX]) {
            let report = context.run(&mut hw, &mem, &Fuel(AtomicU32::new(questions)));
            instructions += report.instructions;
            if report.outcome == Outcome::Drained {
                break;
            }
            if context.size().waves == 0 {
                // Not even launched: what it will find in its registers is there.
                continue;
            }
            context.suspend(&hw);
            let mut other = CuHardware::power_on(1);
            std::mem::swap(&mut hw, &mut other);
            context.resume(&mut hw);
            // What the wave does not own is where it was.
            hw[0].vgpr[0][64..].copy_from_slice(&other[0].vgpr[0][64..]);
            hw[0].lds[LDS_BYTES as usize..].copy_from_slice(&other[0].lds[LDS_BYTES as usize..]);
        }
        let error = context.queue_error(queue).map(ToString::to_string);
        End { hw, instructions, error, translated: context.translated_bytes() }
    }

    fn fill(&self, hw: &mut CuHardware) {
        for (r, row) in hw.vgpr[0].iter_mut().take(64).enumerate() {
            for (lane, value) in row.iter_mut().enumerate() {
                let x = mix(self.seed, (r * LANES + lane) as u64);
                *value = if x & 7 < 4 { EDGES[(x >> 8) as usize % EDGES.len()] } else { (x >> 16) as u32 };
            }
        }
        for (code, value) in hw.sgpr[0].iter_mut().enumerate() {
            *value = mix(self.seed, 5000 + code as u64) as u32;
        }
        for (at, byte) in hw.lds.iter_mut().take(2 * LDS_BYTES as usize).enumerate() {
            *byte = mix(self.seed, at as u64) as u8;
        }
        (self.prepare)(hw);
    }

    /// Runs it both ways, if any of it can be translated. Returns how many bytes were generated, or what differs.
    fn both_ways(&self) -> Result<usize, String> {
        let run = self.run(true);
        if run.translated == 0 {
            return Ok(0);
        }
        let plain = Start { stops: &[], ..*self }.run(false);
        let (a, b) = (&plain.hw[0], &run.hw[0]);
        let rows = a.vgpr[0].iter().zip(&b.vgpr[0]).take(SIMD_ROWS).enumerate();
        for (r, (x, y)) in rows {
            if let Some(lane) = (0..LANES).find(|&lane| x[lane] != y[lane]) {
                let (x, y) = (x[lane], y[lane]);
                return Err(format!("v{r} lane {lane}: one by one {x:#010x}, as a run {y:#010x}"));
            }
        }
        if let Some(code) = (0..128).find(|&code| a.sgpr[0][code] != b.sgpr[0][code]) {
            let (x, y) = (a.sgpr[0][code], b.sgpr[0][code]);
            return Err(format!("s{code}: one by one {x:#x}, as a run {y:#x}"));
        }
        if a.lds != b.lds {
            return Err("LDS differs".to_owned());
        }
        if plain.error != run.error {
            return Err(format!("one by one {:?}, as a run {:?}", plain.error, run.error));
        }
        if plain.instructions != run.instructions {
            return Err(format!("{} instructions one by one, {} as runs", plain.instructions, run.instructions));
        }
        Ok(run.translated)
    }
}

/// Whether this host translates at all.
fn is_on() -> bool {
    Start::of(Arch::Gfx90a, &MOVES, 1, !0).run(true).translated > 0
}

/// Words of a row with sources in v[0:5] and the result in v[8:11].
fn words(row: &Row) -> Option<[u32; 2]> {
    let op = u32::from(row.op);
    let second = 0x100 | 0x102 << 9 | if row.src[2] == Ty::Mask { 10 } else { 0x104 } << 18;
    Some(match row.encoding {
        Encoding::Vop1 => [0x7e00_0000 | 8 << 17 | op << 9 | 0x100, 0],
        Encoding::Vop2 => [op << 25 | 8 << 17 | 2 << 9 | 0x100, 0x4049_0fdb],
        Encoding::Vopc => [0x7c00_0000 | op << 17 | 2 << 9 | 0x100, 0],
        Encoding::Vop3 => [0xd000_0000 | op << 16 | 8, second],
        Encoding::Vop3b => [0xd000_0000 | op << 16 | 12 << 8 | 8, second],
        Encoding::Vop3p => [0xd380_4000 | op << 16 | 8, second | 0x1800_0000],
        _ => return None,
    })
}

/// Values that arithmetic goes wrong at.
const EDGES: [u32; 16] = [
    0,
    0x8000_0000,
    1,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_1234,
    0xffc0_4321,
    0x7f80_0001,
    0x3f80_0000,
    0x7fff_ffff,
    !0,
    0x0080_0000,
    0x0000_0fff,
    0x4f00_0000,
    0xcf00_0001,
    31,
];
/// No operation, as often as it takes to make a run long enough: moves of a register that nothing else uses.
const MOVES: [u32; 3] = [0x7e1c_030e; 3];

/// A pseudo-random number of `a` and `b`.
fn mix(a: u64, b: u64) -> u64 {
    let x = (a ^ b.rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 32
}

/// Cases of a property: few in a test run, as many as asked for otherwise.
fn cases(few: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

/// EXEC patterns: all, none, one, whole strips, anything.
fn exec() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => Just(!0u64), 1 => Just(0), 1 => (0..64u32).prop_map(|lane| 1 << lane), 1 => Just(0xffff_0000_ffff),
        1 => Just(0xffff_ffff_0000_0001), 3 => any::<u64>(),
    ]
}

/// Words of a row with other operands than vector registers in some places: constants, scalars, signs.
fn variants(words: [u32; 2]) -> Vec<[u32; 2]> {
    let vop3 = words[0] >> 26 == 0b11_0100;
    let mut out = vec![words];
    if vop3 {
        let with = |second: u32| [words[0], second];
        // Sources 1 and 2 constant: fields and shifts; source 0 constant, or a scalar.
        out.push(with(words[1] & !(0x3_ffff << 9) | 133 << 9 | 139 << 18));
        out.push(with(words[1] & !(0x1ff << 18) | 135 << 18));
        out.push(with(words[1] & !0x1ff | 131));
        out.push(with(words[1] & !0x1ff | 20));
        out.push(with(words[1] | 7 << 29));
        out.push([words[0] | 7 << 8, words[1] | 2 << 29]);
    } else if words[0] >> 31 == 0 {
        out.push([words[0] & !0x1ff | 20, words[1]]);
        out.push([words[0] & !0x1ff | 242, words[1]]);
        out.push([words[0] & !0x1ff | 196, words[1]]);
        // SDWA: bytes and halves of both sources, with signs and without, of a scalar, and a result that is no whole dword.
        for sdwa in
            [6 << 8 | 1 << 24, 6 << 8 | 9 << 16 | 12 << 24, 6 << 8 | 4 << 16 | 3 << 24, 6 << 8 | 13 << 16 | 8 << 24]
        {
            out.push([words[0] & !0x1ff | 249, sdwa]);
        }
        out.push([words[0] & !0x1ff | 249, 20 | 6 << 8 | 2 << 16 | 1 << 23 | 6 << 24]);
        out.push([words[0] & !0x1ff | 249, 5 << 8 | 2 << 16 | 5 << 24]);
        out.push([words[0] & !0x1ff | 249, 6 << 8 | 6 << 16 | 1 << 20 | 6 << 24]);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(2)))]
    #[test]
    fn a_row_in_a_run_does_what_its_handler_does(seed: u64, some in exec()) {
        let mut seen = BTreeSet::new();
        for arch in Arch::ALL {
            for row in ROWS.iter().filter(|r| r.archs.contains(arch) && !r.traits.has(Traits::DECODE_ONLY)) {
                let Some(words) = words(row) else { continue };
                for words in variants(words) {
                    let Ok(fields) = isa::decode(arch, &words) else { continue };
                    let mut program = words[..usize::from(fields.words)].to_vec();
                    // Two instructions are no run, so if there is one, it has the row's.
                    program.extend(&MOVES[1..]);
                    for exec in [!0, some] {
                        match Start::of(arch, &program, seed, exec).both_ways() {
                            Ok(0) => {}
                            Ok(_) => {
                                seen.insert(row.name);
                            }
                            Err(what) => {
                                let what = format!("{arch} {} {words:x?} under {exec:#x}: {what}", row.name);
                                return Err(TestCaseError::fail(what));
                            }
                        }
                    }
                }
            }
        }
        prop_assert!(!is_on() || seen.len() >= 100, "only {} rows: {seen:?}", seen.len());
    }
}

/// Words of some instruction of a random program: registers v[0:11], scalars s[8:23], VCC, constants.
fn instruction(x: u64) -> Vec<u32> {
    let pick = |shift: u32, n: u64| (x >> shift) % n;
    let (v, w) = (pick(8, 11) as u32, pick(16, 11) as u32);
    let dst = pick(24, 11) as u32;
    let source = match pick(32, 8) {
        0 => 8 + pick(36, 16) as u32,
        1 => 106,
        2 => 128 + pick(36, 32) as u32,
        3 => 240 + pick(36, 9) as u32,
        _ => 0x100 | pick(36, 11) as u32,
    };
    let vop2 = |op: u32| vec![op << 25 | dst << 17 | w << 9 | source];
    let vop1 = |op: u32| vec![0x7e00_0000 | dst << 17 | op << 9 | source];
    let vop3 = |op: u32| vec![0xd000_0000 | op << 16 | dst, (0x100 | v) << 18 | (0x100 | w) << 9 | source];
    let even = |r: u32| r & !1;
    if x >> 54 == 0 {
        // Now and then, what is no instruction.
        return vec![0xd2cc_0000];
    }
    match pick(44, 28) {
        0 => vop2(1),
        1 => vop2(2),
        2 => vop2(5),
        3 | 4 => vop2(59),
        5 => vop2(52),
        6 => vop2(20),
        7 => vop2(18),
        8 => vop2(0),
        9 => vop2(10),
        10 | 11 => vop1(1),
        12 => vop1(36),
        13 => vop1(5),
        14 | 15 => vop3(459),
        16 => vop3(511),
        17 => vec![
            0xd3b0_4000 | even(dst),
            0x1800_0000 | (0x100 | even(v)) << 18 | (0x100 | even(w)) << 9 | 0x100 | even(dst),
        ],
        // v_lshlrev_b32_sdwa, v_cmp_le_u64 into a pair
        26 => vec![
            18 << 25 | dst << 17 | w << 9 | 249,
            v | 6 << 8 | (pick(48, 16) as u32) << 16 | (pick(52, 16) as u32) << 24,
        ],
        27 => vec![0xd0eb_0000 | (8 + 2 * pick(52, 4) as u32), (0x100 | even(w)) << 9 | 0x100 | even(v)],
        // Comparisons into VCC and into a pair, carries out and in.
        18 => vec![0x7c00_0000 | 0x41 << 17 | w << 9 | source],
        19 => vec![0xd0c1_0000 | (8 + 2 * pick(52, 4) as u32), (0x100 | w) << 9 | source],
        20 => vop2(25),
        21 => vop2(28),
        22 => vec![0xd100_0000 | dst, (8 + 2 * pick(52, 4) as u32) << 18 | (0x100 | w) << 9 | source],
        // s_add_u32, s_cmpk_eq_i32, s_waitcnt
        23 => vec![
            0x8000_0000 | (8 + pick(48, 16) as u32) << 16 | (8 + pick(52, 16) as u32) << 8 | (8 + pick(56, 16) as u32),
        ],
        24 => vec![0xb100_0007 | (8 + pick(48, 16) as u32) << 16],
        _ => vec![0xbf8c_0000],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(300)))]
    #[test]
    fn random_programs_agree_bit_for_bit_wherever_they_are_stopped(
        seed: u64, exec in exec(), length in 3..140usize,
        look_every in prop_oneof![Just(256u32), 1..8u32, 8..80u32], stops in proptest::collection::vec(0..4u32, 0..6)
    ) {
        let program: Vec<u32> = (0..length).flat_map(|at| instruction(mix(seed, 9000 + at as u64))).collect();
        let start = Start { look_every, stops: &stops, ..Start::of(Arch::Gfx90a, &program, seed, exec) };
        let result = start.both_ways();
        prop_assert!(result.is_ok(), "{program:x?}: {result:?}");
    }

    /// Reads of LDS, where every lane has one place, sixteen follow each other, any, and beyond the end.
    #[test]
    fn reads_of_lds_agree_bit_for_bit(seed: u64, kind in 0..6u32, from in 0..0x1040u32, offset in 0..0x120u32, exec in exec()) {
        // ds_read_b32 v3, v12; ds_read2_b32 v[4:5], v12; ds_read_b128 v[6:9], v13; v_mov_b32 v2, s20; ds_read_b64 v[10:11], v2; v_fma_f32 v1, v6, v3, v4
        let two = offset & 0xff | (offset ^ 0x35) << 8 & 0xff00;
        let program = [
            0xd86c_0000 | offset, 12 | 3 << 24, 0xd86e_0000 | two, 12 | 4 << 24, 0xd9fe_0000 | offset, 13 | 6 << 24,
            0x7e04_0214, 0xd8ec_0000 | offset, 2 | 10 << 24, 0xd1cb_0001, 0x104 << 18 | 0x103 << 9 | 0x106,
        ];
        let prepare = |hw: &mut CuHardware| {
            for lane in 0..LANES as u32 {
                let strip = lane / 16 * 64;
                hw.vgpr[0][12][lane as usize] = match kind {
                    0 => from & !3,
                    1 => (from & !3) + 4 * lane,
                    2 => (from & !3) + strip,
                    3 => (from & !3) + strip + 4 * (mix(seed, u64::from(lane)) as u32 & 7),
                    4 => mix(seed, u64::from(lane)) as u32 & 0x103f,
                    _ => from + 4 * lane,
                };
                hw.vgpr[0][13][lane as usize] = (from >> 1) & !15;
            }
            hw.sgpr[0][20] = from & !7;
        };
        let result = Start { prepare: &prepare, ..Start::of(Arch::Gfx90a, &program, seed, exec) }.both_ways();
        prop_assert!(result.is_ok(), "{result:?}");
    }
}

/// Its row is a scalar move's, which a run would put off, fault and all: found by the fuzz target `runs`.
#[test]
fn a_word_that_is_no_instruction_is_a_fault_behind_a_run_too() {
    let program = [MOVES[0], MOVES[1], MOVES[2], 0xd2cc_0000, MOVES[0]];
    let start = Start::of(Arch::Gfx90a, &program, 1, !0);
    assert_eq!(start.both_ways().map(|_| ()), Ok(()));
    assert!(start.run(true).error.is_some_and(|error| error.contains("illegal instruction")));
}

#[test]
fn what_can_be_is_translated_unless_it_shall_not() {
    let start = Start::of(Arch::Gfx90a, &MOVES, 1, !0);
    assert_eq!(start.run(false).translated, 0);
    // v_lshlrev_b32_sdwa v10, v8, v9 src1_sel:BYTE_1, and with half of the destination kept
    let sdwa = |select: u32| [0x2414_12f9, 8 | select << 8 | 6 << 16 | 1 << 24].repeat(3);
    for (select, translated) in [(6, is_on()), (5, false)] {
        let run = Start::of(Arch::Gfx90a, &sdwa(select), 1, !0).run(true);
        assert_eq!(run.translated > 0, translated, "destination select {select}");
    }
    assert_eq!(is_on(), gcn::Tier::detect().name() == "avx512", "the host lets us");
}
