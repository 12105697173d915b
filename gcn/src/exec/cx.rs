//! What one instruction may touch: the wave's registers, its work-group's LDS, memory, and its control state.

use super::gws::Gws;
use super::inst::{Dst, Inst, Src};
use super::lane::{CHUNK, chunk_mask, put_chunk};
use crate::arch::Arch;
use crate::fault::FaultKind;
use crate::hardware::{LDS_BYTES, OPERAND_ROWS, Row, SIMD_ROWS, ScalarFile, SimdFile};
use crate::isa::fields::CODE_SCC;
use crate::memory::{LaneFault, Memory};

/// Scalar register codes with a meaning of their own.
pub(crate) const VCC: usize = 106;
/// EXEC, low half.
pub(crate) const EXEC: usize = 126;

/// What a wave does after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Flow {
    /// Goes on with the next instruction.
    Next,
    /// Goes on where the program counter now points.
    Jump,
    /// Goes on, but others first (`s_sleep`).
    Yield,
    /// Waits for the work-group.
    Barrier,
    /// Has ended.
    End,
    /// `s_sendmsg`: tell the host; the message id is in the wave's `message`.
    Message,
    /// Met a fault; it is in the wave's `fault`.
    Fault,
}

/// Control state of a wave: everything but its register contents. Copied with the wave on suspend.
#[derive(Clone, Debug)]
pub(crate) struct WaveState {
    /// Address of the next instruction.
    pub(crate) pc: u64,
    pub(crate) scc: bool,
    /// MODE register: rounding in 0..4, denormals in 4..8, DX10 clamp 8, IEEE 9, GPR index enable 27.
    pub(crate) mode: u32,
    /// Whether MODE asks for what the handlers do not do by themselves: [`super::mode`] stands before every instruction.
    pub(crate) unusual: bool,
    /// First row of the wave in its SIMD's register file.
    pub(crate) row_base: u16,
    /// Architectural VGPRs the wave may name.
    pub(crate) vgprs: u16,
    /// Rows from `row_base` to the first accumulation VGPR.
    pub(crate) acc_offset: u16,
    /// Accumulation VGPRs the wave may name.
    pub(crate) agprs: u16,
    /// First LDS byte of the work-group.
    pub(crate) lds_base: u32,
    /// LDS bytes of the work-group.
    pub(crate) lds_bytes: u32,
    /// Address of the wave's scratch, lane 0, byte 0.
    pub(crate) scratch: u64,
    /// Bytes of scratch of one lane.
    pub(crate) scratch_lane_bytes: u32,
    /// Hardware id register value: slot, SIMD and compute unit.
    pub(crate) hw_id: u32,
    /// While it waits at a global wave sync: how often that had let everybody go when the wait began.
    pub(crate) gws_waits: Option<u64>,
    /// Last `s_sendmsg` immediate.
    pub(crate) message: u16,
    pub(crate) fault: Option<(FaultKind, Option<u8>)>,
}

impl WaveState {
    /// Returns [`Cx::bases`] for this wave.
    pub(crate) fn bases(&self) -> [usize; 4] {
        let first = usize::from(self.row_base);
        [first, first + usize::from(self.acc_offset), SIMD_ROWS, SIMD_ROWS]
    }
}

/// An instruction's view of the machine.
pub(crate) struct Cx<'a> {
    pub(crate) arch: Arch,
    pub(crate) v: &'a mut SimdFile,
    /// Rows at which architectural, accumulation and operand rows begin ([`Slot`](super::inst::Slot)).
    pub(crate) bases: [usize; 4],
    pub(crate) s: &'a mut ScalarFile,
    pub(crate) lds: &'a mut [u8; LDS_BYTES],
    pub(crate) mem: &'a dyn Memory,
    pub(crate) w: &'a mut WaveState,
    /// The session's counters for global wave sync.
    pub(crate) gws: &'a Gws,
    /// Returns the device's clock in nanoseconds, for `s_memtime` and `s_memrealtime`.
    pub(crate) clock: &'a dyn Fn() -> u64,
}

impl<'a> Cx<'a> {
    #[inline(always)]
    pub(crate) fn exec(&self) -> u64 {
        self.sgpr64(EXEC)
    }

    #[inline(always)]
    pub(crate) fn sgpr64(&self, code: usize) -> u64 {
        u64::from(self.s[code & 127]) | u64::from(self.s[(code + 1) & 127]) << 32
    }

    #[inline(always)]
    pub(crate) fn set_sgpr64(&mut self, code: usize, value: u64) {
        self.s[code & 127] = value as u32;
        self.s[(code + 1) & 127] = (value >> 32) as u32;
    }

    #[inline(always)]
    fn flag(&self, code: u16) -> u32 {
        u32::from(match code {
            CODE_SCC => self.w.scc,
            251 => self.sgpr64(VCC) == 0,
            _ => self.exec() == 0,
        })
    }

    /// Returns a scalar operand; a vector operand in a scalar place reads as zero (no such encoding decodes).
    #[inline(always)]
    pub(crate) fn s32(&self, src: Src) -> u32 {
        match src {
            Src::S(r) => self.s[usize::from(r) & 127],
            Src::K(k) => k as u32,
            Src::Flag(code) => self.flag(code),
            Src::V(_) | Src::A(_) | Src::T(_) => 0,
        }
    }

    #[inline(always)]
    pub(crate) fn s64(&self, src: Src) -> u64 {
        match src {
            Src::S(r) => self.sgpr64(usize::from(r)),
            Src::K(k) => k,
            Src::Flag(code) => u64::from(self.flag(code)),
            Src::V(_) | Src::A(_) | Src::T(_) => 0,
        }
    }

    /// Returns the register row a vector operand's dword `d` lives in. `pc` checks have shown it to be the wave's own.
    #[inline(always)]
    pub(crate) fn row(&self, src: Dst, d: usize) -> &Row {
        match src {
            Dst::V(r) => &self.v[(usize::from(self.w.row_base) + usize::from(r) + d) % SIMD_ROWS],
            Dst::A(r) => &self.v[(usize::from(self.w.row_base + self.w.acc_offset) + usize::from(r) + d) % SIMD_ROWS],
            Dst::T(r) => &self.v[SIMD_ROWS + (usize::from(r) + d) % OPERAND_ROWS],
        }
    }

    #[inline(always)]
    pub(crate) fn row_mut(&mut self, dst: Dst, d: usize) -> &mut Row {
        match dst {
            Dst::V(r) => &mut self.v[(usize::from(self.w.row_base) + usize::from(r) + d) % SIMD_ROWS],
            Dst::A(r) => {
                &mut self.v[(usize::from(self.w.row_base + self.w.acc_offset) + usize::from(r) + d) % SIMD_ROWS]
            }
            Dst::T(r) => &mut self.v[SIMD_ROWS + (usize::from(r) + d) % OPERAND_ROWS],
        }
    }

    /// Copies dword `d` of an operand for all lanes: a row, or a scalar for every lane.
    #[inline(always)]
    pub(crate) fn lanes(&self, src: Src, d: usize) -> Row {
        match src {
            Src::V(r) => *self.row(Dst::V(r), d),
            Src::A(r) => *self.row(Dst::A(r), d),
            Src::T(r) => *self.row(Dst::T(r), d),
            Src::S(r) => [self.s[(usize::from(r) + d) & 127]; 64],
            Src::K(k) => [(k >> (32 * (d & 1))) as u32; 64],
            Src::Flag(code) => [if d == 0 { self.flag(code) } else { 0 }; 64],
        }
    }

    /// Writes `value` to the lanes of `mask`.
    #[inline(always)]
    pub(crate) fn put(&mut self, dst: Dst, d: usize, value: &Row, mask: u64) {
        let row = self.row_mut(dst, d);
        if mask == !0 {
            *row = *value;
        } else {
            for (c, chunk) in value.as_chunks::<CHUNK>().0.iter().enumerate() {
                put_chunk(row, c, chunk, chunk_mask(mask, c));
            }
        }
    }

    /// Writes one value to the lanes of `mask`.
    #[inline(always)]
    pub(crate) fn put_all(&mut self, dst: Dst, value: u32, mask: u64) {
        if mask == !0 {
            *self.row_mut(dst, 0) = [value; 64];
        } else {
            self.put(dst, 0, &[value; 64], mask);
        }
    }

    #[cold]
    pub(crate) fn fault(&mut self, kind: FaultKind, lane: Option<u8>) -> Flow {
        self.w.fault = Some((kind, lane));
        Flow::Fault
    }

    #[cold]
    pub(crate) fn lane_fault(&mut self, fault: LaneFault) -> Flow {
        self.fault(FaultKind::Memory(fault.fault), Some(fault.lane))
    }

    #[cold]
    pub(crate) fn illegal(&mut self, i: &Inst) -> Flow {
        self.fault(FaultKind::IllegalInstruction { word: i.literal }, None)
    }

    #[cold]
    pub(crate) fn unsupported(&mut self, i: &Inst) -> Flow {
        self.fault(FaultKind::UnsupportedInstruction { mnemonic: i.row().name }, None)
    }

    #[cold]
    pub(crate) fn unsupported_form(&mut self, i: &Inst, what: &'static str) -> Flow {
        self.fault(FaultKind::UnsupportedForm { mnemonic: i.row().name, what }, None)
    }
}
