//! Hidden arguments as programs find them: code objects of version 4, 5 and 6 that tell each of theirs, on both processors.
//!
//! Promise of `gcn`: what a compiler asks for beside a kernel's own arguments is where it looks for it, whatever the version.

use gcn::aql::{KernelDispatch, Packet, TYPE_INVALID};
use gcn::arch::{Arch, PRIVATE_APERTURE_HI, SHARED_APERTURE_HI};
use gcn::code_object::{AbiVersion, CodeObject};
use gcn::engine::{Config, Context, Host, Outcome, QueueError, QueueId, QueueSpec};
use gcn::hardware::CuHardware;
use gcn::kernarg::{KernargBuilder, Launch};
use gcn::memory::{FlatMemory, Memory};
use kernels::abi::{self, RECORD_WORDS, Told};
use std::sync::Mutex;

const BASE: u64 = 0x1000_0000;
const KERNARG: u64 = BASE + 0x10_0000;
const RING: u64 = BASE + 0x11_0000;
const READ_INDEX: u64 = BASE + 0x12_0000;
const STRUCTURE: u64 = BASE + 0x12_1000;
const SIGNAL: u64 = BASE + 0x12_2000;
const PRINTF: u64 = BASE + 0x13_0000;
const PRINTF_BYTES: u32 = 4096;
const OUT: u64 = BASE + 0x14_0000;
const BYTES: usize = 2 << 20;

/// Partial work-groups in every dimension.
const GRID: [u32; 3] = [100, 5, 3];
const GROUP: [u16; 3] = [32, 2, 2];
/// Work-groups, the partial ones included.
const GROUPS: [u32; 3] = [4, 3, 2];
const LDS_BYTES: u32 = 400;
const MARKER: u32 = 0x5eed_0000;

/// Notes why a queue failed.
#[derive(Default)]
struct Patient(Mutex<Option<String>>);

impl Host for Patient {
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
        *self.0.lock().unwrap() = Some(error.to_string());
    }
}

/// Every fact a number of its own, so that two that change places are noticed.
fn launch() -> Launch {
    let mut launch = Launch::new(GRID, GROUP);
    launch.global_offset = [0x1_0000_0011, 0x2_0000_0022, 0x3_0000_0033];
    launch.dynamic_lds_bytes = LDS_BYTES;
    launch.queue_ptr = STRUCTURE;
    launch.printf_buffer = PRINTF;
    launch.hostcall_buffer = 0x4_0000_0044;
    launch.heap = 0x5_0000_0055;
    launch.default_queue = 0x6_0000_0066;
    launch.completion_action = 0x7_0000_0077;
    launch.multigrid_sync = 0x8_0000_0088;
    (launch.shared_base, launch.private_base) = (SHARED_APERTURE_HI, PRIVATE_APERTURE_HI);
    launch
}

/// What a hidden argument must say, by its name in LLVM's guide.
fn expected(name: &str) -> u64 {
    let axis = match name.bytes().last() {
        Some(b'x') => 0,
        Some(b'y') => 1,
        _ => 2,
    };
    match name.trim_end_matches(['x', 'y', 'z']) {
        // Whole work-groups.
        "hidden_block_count_" => [3, 2, 1][axis],
        "hidden_group_size_" => [32, 2, 2][axis],
        // What the partial one holds.
        "hidden_remainder_" => [4, 1, 1][axis],
        "hidden_global_offset_" => [0x1_0000_0011, 0x2_0000_0022, 0x3_0000_0033][axis],
        "hidden_grid_dims" => 3,
        "hidden_printf_buffer" => PRINTF,
        "hidden_hostcall_buffer" => 0x4_0000_0044,
        "hidden_heap_v1" => 0x5_0000_0055,
        "hidden_default_queue" => 0x6_0000_0066,
        "hidden_completion_action" => 0x7_0000_0077,
        "hidden_multigrid_sync_arg" => 0x8_0000_0088,
        "hidden_dynamic_lds_size" => u64::from(LDS_BYTES),
        "hidden_queue_ptr" => STRUCTURE,
        other => panic!("{other} is new: say what it must hold"),
    }
}

/// Runs an object; returns memory as it leaves it.
fn run(told: &Told, object: &CodeObject) -> FlatMemory {
    let mem = FlatMemory::new(BASE, BYTES);
    mem.write(BASE, &object.image(BASE, &|_| None).unwrap()).unwrap();
    let info = object.kernel(abi::KERNEL).unwrap();
    let mut builder = KernargBuilder::new(info, launch()).unwrap().pointer(OUT).unwrap();
    for word in [MARKER, GROUPS[0], GROUPS[1], LDS_BYTES / 4] {
        builder = builder.arg(&word.to_le_bytes()).unwrap();
    }
    let kernarg = builder.finish().unwrap();
    mem.write(KERNARG, &kernarg.bytes).unwrap();
    mem.write(PRINTF + 4, &PRINTF_BYTES.to_le_bytes()).unwrap();
    for slot in 0..4 {
        mem.write(RING + 64 * slot, &[TYPE_INVALID]).unwrap();
    }
    mem.store_release_u64(SIGNAL + 8, 1).unwrap();
    let dispatch = KernelDispatch {
        setup: 3,
        workgroup: GROUP,
        grid: GRID,
        private_segment_size: info.private_segment_fixed_size,
        group_segment_size: kernarg.group_segment_bytes,
        kernel_object: BASE + info.descriptor_offset,
        kernarg_address: KERNARG,
    };
    mem.write(RING, &Packet::kernel(&dispatch, true, SIGNAL)).unwrap();
    let arch = Arch::from_name(told.target.name()).unwrap();
    let mut context = Context::new(Config { arch, cus: 2, threads: 1 }).unwrap();
    context.create_queue(QueueSpec { ring: RING, slots: 4, read_index: READ_INDEX, structure: STRUCTURE });
    let host = Patient::default();
    let report = context.run(&mut CuHardware::power_on(2), &mem, &host);
    assert_eq!(*host.0.lock().unwrap(), None);
    assert_eq!(report.outcome, Outcome::Drained);
    assert_eq!(mem.load_acquire_u64(SIGNAL + 8), Ok(0));
    mem
}

#[test]
fn every_hidden_argument_of_every_version_is_where_programs_look_for_it() {
    for told in abi::ALL {
        let place = format!("version {} on {}", told.version, told.target);
        let object = CodeObject::parse(told.object).unwrap();
        let version = match object.abi() {
            AbiVersion::V4 => 4,
            AbiVersion::V5 => 5,
            AbiVersion::V6 => 6,
        };
        assert_eq!(version, told.version, "{place}");
        // What the compiler asks for is what is told: a new hidden argument does not go unnoticed.
        let args = &object.kernel(abi::KERNEL).unwrap().args;
        let hidden: Vec<&str> = args.iter().filter(|arg| arg.kind.is_hidden()).map(|arg| arg.kind.name()).collect();
        assert_eq!(hidden, told.words, "{place}");

        let mem = run(told, &object);
        let groups = GROUPS.iter().product::<u32>();
        for group in 0..groups {
            let word = |k: usize| mem.load_acquire_u64(OUT + 8 * (RECORD_WORDS as u64 * u64::from(group) + k as u64));
            for (k, name) in told.words.iter().enumerate() {
                assert_eq!(word(k), Ok(expected(name)), "{place}, work-group {group}: {name}");
            }
            assert_eq!(word(abi::DISPATCH_PTR), Ok(RING), "{place}");
            if told.version < 5 {
                assert_eq!(word(abi::QUEUE_PTR), Ok(STRUCTURE), "{place}");
            }
            let last = u64::from(MARKER + group);
            assert_eq!(word(abi::LDS), Ok(last << 32 | u64::from(MARKER)), "{place}: dynamic LDS");
        }
        if told.prints() {
            // A header of bytes used and there, then records of a format's number and a value, in any order.
            assert_eq!(mem.load_acquire_u32(PRINTF), Ok(8 * groups), "{place}");
            let record = |k: u32| [0, 4].map(|at| mem.load_acquire_u32(PRINTF + 8 + u64::from(8 * k + at)).unwrap());
            let mut printed: Vec<[u32; 2]> = (0..groups).map(record).collect();
            printed.sort_unstable();
            let format = printed[0][0];
            assert_eq!(printed, (0..groups).map(|group| [format, MARKER + group]).collect::<Vec<_>>(), "{place}");
        }
    }
}
