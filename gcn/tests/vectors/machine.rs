//! One wave that runs one instruction, set up and looked at through the compute unit's own registers.
//!
//! The instruction runs as any kernel's does: through a packet, the decoder and the run loop, on the tier that is asked for. Registers are dirty when a
//! wave starts, which is how the operands get in.

use gcn::Tier;
use gcn::aql::{KernelDispatch, Packet, TYPE_INVALID};
use gcn::arch::Arch;
use gcn::engine::{Config, Context, Host, QueueError, QueueId, QueueSpec};
use gcn::hardware::CuHardware;
use gcn::memory::{FlatMemory, Memory};

const BASE: u64 = 0x10_0000;
const BYTES: usize = 1 << 19;
const DESCRIPTOR: u64 = BASE + 0x800;
const RING: u64 = BASE + 0x2000;
const SLOTS: u32 = 64;
const READ_INDEX: u64 = BASE + 0x400;
/// At the end of a page, so that little else is decoded with it.
const CODE: u64 = BASE + 0x1c00;
const SCRATCH: u64 = BASE + 0x1_0000;
/// Where memory instructions work.
pub(crate) const DATA: u64 = BASE + 0x8000;
/// Bytes of it.
pub(crate) const DATA_BYTES: usize = 0x2000;
/// LDS and private bytes of the work-group and of each lane.
pub(crate) const LDS: usize = 0x2000;
pub(crate) const PRIVATE: usize = 64;

const FLAT_SCRATCH: usize = 102;
/// Scalar registers with a job: EXEC and SCC to begin with, SCC in the end.
const EXEC_FROM: usize = 60;
const SCC_FROM: usize = 62;
const SCC_TO: usize = 63;

/// The host's part: nothing to say.
struct Quiet;

impl Host for Quiet {
    fn now(&self) -> u64 {
        1_000
    }
    fn should_stop(&self) -> bool {
        false
    }
    fn scratch(&self, bytes: u64) -> Option<u64> {
        (SCRATCH + bytes <= BASE + BYTES as u64).then_some(SCRATCH)
    }
    fn signal_changed(&self, _: u64) {}
    fn interrupt(&self) {}
    fn queue_failed(&self, _: QueueId, _: &QueueError) {}
}

/// The tiers this host can run.
pub(crate) fn tiers() -> &'static [Tier] {
    Tier::all()
}

/// See the module.
pub(crate) struct Machine {
    arch: Arch,
    tier: &'static Tier,
    mem: FlatMemory,
    pub(crate) hw: Box<[CuHardware]>,
    context: Option<(Context, QueueId)>,
    packets: u64,
}

impl Machine {
    pub(crate) fn new(arch: Arch, tier: &'static Tier) -> Machine {
        let mem = FlatMemory::new(BASE, BYTES);
        let mut descriptor = [0u8; 64];
        let mut put = |at: usize, value: u32| descriptor[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, LDS as u32);
        put(4, PRIVATE as u32);
        put(16, (CODE - DESCRIPTOR) as u32);
        put(44, 15); // accumulation registers from 64 on
        put(48, 15 | 3 << 16 | 3 << 18 | 1 << 21 | 1 << 23); // 128 registers, denormals kept, DX10 clamp, IEEE
        put(52, 1); // scratch
        put(56, 0);
        mem.write(DESCRIPTOR, &descriptor).unwrap();
        let mut machine = Machine { arch, tier, mem, hw: CuHardware::power_on(1), context: None, packets: 0 };
        // gfx90a's programs say where private memory lies.
        machine.set_pair(FLAT_SCRATCH, SCRATCH);
        machine
    }

    /// Makes `words` the instruction that [`run`](Self::run) runs.
    pub(crate) fn load(&mut self, words: &[u32]) {
        let mut code = vec![0xbefe_0100 | EXEC_FROM as u32, 0xbf07_8000 | SCC_FROM as u32]; // s_mov_b64 exec; s_cmp_lg_u32 s62, 0
        code.extend(words);
        code.extend([0x8500_8081 | (SCC_TO as u32) << 16, 0xbf81_0000]); // s_cselect_b32 s63, 1, 0; s_endpgm
        let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.mem.write(CODE, &bytes).unwrap();
        for slot in 0..u64::from(SLOTS) {
            self.mem.write(RING + 64 * slot, &[TYPE_INVALID, 0, 0, 0]).unwrap();
        }
        let config = Config { arch: self.arch, cus: 1, threads: 1 };
        let mut context = Context::with_tier(config, self.tier).unwrap();
        let queue =
            context.create_queue(QueueSpec { ring: RING, slots: SLOTS, read_index: READ_INDEX, structure: BASE });
        self.context = Some((context, queue));
        self.packets = 0;
    }

    pub(crate) fn set_exec(&mut self, exec: u64) {
        self.set_pair(EXEC_FROM, exec);
    }

    pub(crate) fn set_scc(&mut self, scc: bool) {
        self.hw[0].sgpr[0][SCC_FROM] = u32::from(scc);
    }

    pub(crate) fn scc(&self) -> bool {
        self.hw[0].sgpr[0][SCC_TO] == 1
    }

    pub(crate) fn set_pair(&mut self, register: usize, value: u64) {
        self.hw[0].sgpr[0][register] = value as u32;
        self.hw[0].sgpr[0][register + 1] = (value >> 32) as u32;
    }

    pub(crate) fn pair(&self, register: usize) -> u64 {
        u64::from(self.hw[0].sgpr[0][register]) | u64::from(self.hw[0].sgpr[0][register + 1]) << 32
    }

    /// Sets `dwords` registers of a lane.
    pub(crate) fn set_lane(&mut self, register: usize, dwords: usize, lane: usize, value: u128) {
        for k in 0..dwords {
            self.hw[0].vgpr[0][register + k][lane] = (value >> (32 * k)) as u32;
        }
    }

    pub(crate) fn lane(&self, register: usize, dwords: usize, lane: usize) -> u128 {
        (0..dwords).fold(0, |value, k| value | u128::from(self.hw[0].vgpr[0][register + k][lane]) << (32 * k))
    }

    pub(crate) fn write(&self, address: u64, bytes: &[u8]) {
        self.mem.write(address, bytes).unwrap();
    }

    pub(crate) fn read(&self, address: u64, bytes: usize) -> Vec<u8> {
        let mut out = vec![0; bytes];
        self.mem.read(address, &mut out).unwrap();
        out
    }

    /// Where lane `lane`'s dword `dword` of private memory lies.
    pub(crate) fn private(lane: usize, dword: usize) -> u64 {
        SCRATCH + (dword * 64 + lane) as u64 * 4
    }

    /// Runs one wave of 64 lanes; returns how its queue ended if it did.
    pub(crate) fn run(&mut self) -> Result<(), QueueError> {
        let (context, queue) = self.context.as_mut().expect("an instruction");
        let dispatch = KernelDispatch {
            setup: 1,
            workgroup: [64, 1, 1],
            grid: [64, 1, 1],
            private_segment_size: 0,
            group_segment_size: 0,
            kernel_object: DESCRIPTOR,
            kernarg_address: 0,
        };
        let slot = RING + 64 * (self.packets % u64::from(SLOTS));
        self.packets += 1;
        self.mem.write(slot, &Packet::kernel(&dispatch, true, 0)).unwrap();
        context.run(&mut self.hw, &self.mem, &Quiet);
        match context.queue_error(*queue) {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }
}
