//! Runs single instructions on a machine of one wave. The words are what an assembler makes of the text beside them, and every case
//! checks that our disassembler says the same.

mod arithmetic;
mod decoding;
mod masks;
mod matrix;
mod memory;
mod modes;
mod patterns;
#[cfg(target_arch = "x86_64")]
mod runs;
mod sync;
mod tiers;

use super::Tier;
use super::cx::{Cx, EXEC, Flow, WaveState};
use super::inst::Inst;
use crate::arch::{Arch, LANES};
use crate::hardware::CuHardware;
use crate::isa;
use crate::memory::FlatMemory;

/// First address of a machine's memory.
const MEMORY: u64 = 0x7000_0000;
/// Bytes of a machine's memory: also room for 64 bytes of scratch a lane.
const MEMORY_BYTES: usize = 0x1_0000;
/// Where scratch begins.
const SCRATCH: u64 = MEMORY + 0x8000;

/// One wave with all registers, all lanes on.
struct Machine {
    arch: Arch,
    hw: Box<[CuHardware]>,
    memory: FlatMemory,
    wave: WaveState,
    gws: super::gws::Gws,
}

impl Machine {
    fn new(arch: Arch) -> Machine {
        let mut machine = Machine {
            arch,
            hw: CuHardware::power_on(1),
            memory: FlatMemory::new(MEMORY, MEMORY_BYTES),
            gws: super::gws::Gws::default(),
            wave: WaveState {
                pc: 0x1000,
                scc: false,
                mode: 0xf0 | 1 << 8 | 1 << 9,
                unusual: false,
                gws_waits: None,
                row_base: 0,
                vgprs: 256,
                acc_offset: 256,
                agprs: 256,
                lds_base: 0x400,
                lds_bytes: 0x1000,
                scratch: SCRATCH,
                scratch_lane_bytes: 64,
                hw_id: 0,
                message: 0,
                fault: None,
            },
        };
        machine.set_sgpr64(EXEC, !0);
        machine.set_sgpr64(102, SCRATCH);
        machine
    }

    fn vgpr(&mut self, r: usize) -> &mut [u32; LANES] {
        &mut self.hw[0].vgpr[0][r]
    }

    /// Sets a register pair in every lane.
    fn set_pair(&mut self, r: usize, value: impl Fn(usize) -> u64) {
        for lane in 0..LANES {
            self.vgpr(r)[lane] = value(lane) as u32;
            self.vgpr(r + 1)[lane] = (value(lane) >> 32) as u32;
        }
    }

    fn set_sgpr64(&mut self, r: usize, value: u64) {
        self.hw[0].sgpr[0][r] = value as u32;
        self.hw[0].sgpr[0][r + 1] = (value >> 32) as u32;
    }

    fn sgpr64(&self, r: usize) -> u64 {
        u64::from(self.hw[0].sgpr[0][r]) | u64::from(self.hw[0].sgpr[0][r + 1]) << 32
    }

    /// Runs one instruction on the fastest tier.
    fn run(&mut self, text: &str, words: &[u32]) -> Flow {
        let fields = isa::decode(self.arch, words).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(isa::disasm::disassemble(self.arch, &fields), text);
        self.run_on(Tier::detect(), words)
    }

    fn run_on(&mut self, tier: &Tier, words: &[u32]) -> Flow {
        let inst = Inst::decode(self.arch, tier, words);
        let bases = self.wave.bases();
        let hw = &mut self.hw[0];
        let mut cx = Cx {
            arch: self.arch,
            v: &mut hw.vgpr[0],
            bases,
            s: &mut hw.sgpr[0],
            lds: &mut hw.lds,
            mem: &self.memory,
            w: &mut self.wave,
            gws: &self.gws,
            clock: &|| 1_000,
        };
        if cx.w.unusual { super::mode::run(&mut cx, &inst) } else { (inst.run)(&mut cx, &inst) }
    }
}
