//! Nanoseconds an instruction takes, by kind, with all lanes and with all but one: straight-line programs of one instruction, run as a kernel of one wave.
//!
//! `cargo bench -p wavegate-gcn --bench instructions -- v_add_co`

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gcn::aql::{KernelDispatch, Packet};
use gcn::arch::Arch;
use gcn::engine::{Config, Context, Host, QueueError, QueueId, QueueSpec};
use gcn::hardware::CuHardware;
use gcn::memory::{FlatMemory, Memory};

const BASE: u64 = 0x10_0000;
const DESCRIPTOR: u64 = BASE + 0x800;
const RING: u64 = BASE + 0x1000;
const READ_INDEX: u64 = BASE + 0x900;
const CODE: u64 = BASE + 0x2000;
const COPIES: usize = 2000;

/// Instructions by assembly text and words (LLVM's encoding for gfx90a).
const INSTRUCTIONS: &[(&str, &[u32])] = &[
    ("s_add_u32 s8, s9, s10", &[0x8008_0a09]),
    ("v_mov_b32 v1, v2", &[0x7e02_0302]),
    ("v_mov_b32 v1, s8", &[0x7e02_0208]),
    ("v_add_u32 v1, v2, v3", &[0x6802_0702]),
    ("v_add_f32 v1, v2, v3", &[0x0202_0702]),
    ("v_fma_f32 v1, v2, v3, v4", &[0xd1cb_0001, 0x0412_0702]),
    ("v_fmac_f32 v1, v2, v3", &[0x7602_0702]),
    ("v_pk_fma_f32 v[2:3], v[4:5], v[6:7], v[8:9]", &[0xd3b0_4002, 0x1c22_0d04]),
    ("v_rsq_f32 v1, v2", &[0x7e02_4902]),
    ("v_min_f32 v1, v2, v3", &[0x1402_0702]),
    ("v_cmp_lt_f32 vcc, v1, v2", &[0x7c82_0501]),
    ("v_cmp_lt_u64 vcc, v[2:3], v[4:5]", &[0x7dd2_0902]),
    ("v_cndmask_b32 v1, v2, v3, vcc", &[0x0002_0702]),
    ("v_add_co_u32 v1, vcc, v2, v3", &[0x3202_0702]),
    ("v_addc_co_u32 v1, vcc, v2, v3, vcc", &[0x3802_0702]),
    ("v_mad_u64_u32 v[2:3], vcc, v4, v5, v[6:7]", &[0xd1e8_6a02, 0x041a_0b04]),
    ("v_lshlrev_b64 v[2:3], 2, v[4:5]", &[0xd28f_0002, 0x0002_0882]),
    ("v_cvt_f32_u32 v1, v2", &[0x7e02_0d02]),
    ("v_cvt_i32_f32 v1, v2", &[0x7e02_1102]),
    ("ds_read_b32 v1, v0", &[0xd86c_0000, 0x0100_0000]),
    ("ds_write_b32 v0, v1", &[0xd81a_0000, 0x0000_0100]),
    ("ds_read_b128 v[4:7], v10", &[0xd9fe_0000, 0x0400_000a]),
];

struct Idle;

impl Host for Idle {
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
    fn queue_failed(&self, _: QueueId, error: &QueueError) {
        panic!("{error}");
    }
}

/// A kernel of one wave that can be run again and again.
struct Program {
    mem: FlatMemory,
    hw: Box<[CuHardware]>,
    context: Context,
    packet: [u8; 64],
    runs: u64,
}

impl Program {
    fn new(words: &[u32], lanes: u16) -> Program {
        let mem = FlatMemory::new(BASE, 0x10_000);
        let mut descriptor = [0u8; 64];
        let mut put = |at: usize, value: u32| descriptor[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, 4096);
        put(16, (CODE - DESCRIPTOR) as u32);
        put(44, 7);
        put(48, 7 | 3 << 16 | 3 << 18 | 1 << 21 | 1 << 23);
        mem.write(DESCRIPTOR, &descriptor).unwrap();
        // v_lshlrev_b32 v0, 2, v0: LDS addresses; v10 stays the same in every lane.
        let mut code = vec![0x2400_0082, 0x7e14_0280];
        for _ in 0..COPIES {
            code.extend_from_slice(words);
        }
        code.push(0xbf81_0000);
        let bytes: Vec<u8> = code.iter().flat_map(|w| w.to_le_bytes()).collect();
        mem.write(CODE, &bytes).unwrap();
        for slot in 0..4 {
            mem.write(RING + 64 * slot, &[1, 0, 0, 0]).unwrap();
        }
        let dispatch = KernelDispatch {
            setup: 1,
            workgroup: [64, 1, 1],
            grid: [u32::from(lanes), 1, 1],
            private_segment_size: 0,
            group_segment_size: 0,
            kernel_object: DESCRIPTOR,
            kernarg_address: 0,
        };
        let mut context = Context::new(Config { arch: Arch::Gfx90a, cus: 1, threads: 1 }).unwrap();
        // One instruction's own time, not what becomes of two thousand together.
        context.set_translation(None);
        context.create_queue(QueueSpec { ring: RING, slots: 4, read_index: READ_INDEX, structure: BASE });
        let hw = CuHardware::power_on(1);
        Program { mem, hw, context, packet: Packet::kernel(&dispatch, true, 0), runs: 0 }
    }

    fn run(&mut self) {
        self.mem.write(RING + self.runs % 4 * 64, &self.packet).unwrap();
        self.runs += 1;
        let report = self.context.run(&mut self.hw, &self.mem, &Idle);
        assert_eq!(report.instructions, COPIES as u64 + 3);
    }
}

fn instructions(c: &mut Criterion) {
    for (text, words) in INSTRUCTIONS {
        let mut group = c.benchmark_group(*text);
        group.throughput(Throughput::Elements(COPIES as u64));
        for lanes in [64, 63] {
            let mut program = Program::new(words, lanes);
            group.bench_function(BenchmarkId::from_parameter(format!("{lanes} lanes")), |b| b.iter(|| program.run()));
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(200)).measurement_time(std::time::Duration::from_millis(600));
    targets = instructions
}
criterion_main!(benches);
