//! Vector instructions that are more than one lane's arithmetic: lane exchange, lane counting, moves by index.

use super::cx::{Cx, Flow};
use super::half::{Half, f16_to_f32, f32_to_f16};
use super::inst::{Dst, Inst, Src};
use super::numeric::{high16, low16, msad_u8};
use crate::arch::LANES;
use crate::hardware::Row;
use crate::isa::Ty;

impl Cx<'_> {
    /// `sdst = src0` of the first active lane (lane 0 if none is).
    pub(crate) fn v_readfirstlane(&mut self, i: &Inst) -> Flow {
        let lane = self.exec().trailing_zeros() as usize % LANES;
        self.s[usize::from(i.sdst) & 127] = self.lanes(i.src[0], 0)[lane];
        Flow::Next
    }

    /// `sdst = src0` of lane `src1`, active or not.
    pub(crate) fn v_readlane(&mut self, i: &Inst) -> Flow {
        let lane = self.s32(i.src[1]) as usize % LANES;
        self.s[usize::from(i.sdst) & 127] = self.lanes(i.src[0], 0)[lane];
        Flow::Next
    }

    /// Lane `src1` of `dst` becomes the scalar `src0`, whatever EXEC says.
    pub(crate) fn v_writelane(&mut self, i: &Inst) -> Flow {
        let lane = self.s32(i.src[1]) as usize % LANES;
        let value = self.s32(i.src[0]);
        self.row_mut(i.dst, 0)[lane] = value;
        Flow::Next
    }

    /// `dst = src1 + number of bits of src0 below this lane`, in the low or high half of the wave.
    #[inline(always)]
    pub(crate) fn v_mbcnt(&mut self, i: &Inst, high: bool) -> Flow {
        let (mask, add) = (self.lanes(i.src[0], 0), self.lanes(i.src[1], 0));
        let mut out = [0; LANES];
        for (lane, out) in out.iter_mut().enumerate() {
            let below = ((1u64 << lane) - 1) >> if high { 32 } else { 0 };
            *out = add[lane].wrapping_add((mask[lane] & below as u32).count_ones());
        }
        let exec = self.exec();
        self.put(i.dst, 0, &out, exec);
        Flow::Next
    }

    /// Exchanges `dst` and `src0` in the active lanes.
    pub(crate) fn v_swap(&mut self, i: &Inst) -> Flow {
        let other = match i.src[0] {
            Src::V(r) => Dst::V(r),
            Src::A(r) => Dst::A(r),
            Src::T(r) => Dst::T(r),
            _ => return self.unsupported_form(i, "a scalar operand"),
        };
        let (a, b) = (*self.row(i.dst, 0), *self.row(other, 0));
        let exec = self.exec();
        self.put(i.dst, 0, &b, exec);
        self.put(other, 0, &a, exec);
        Flow::Next
    }

    /// `v_pk_mov_b32`: each half of the destination is a chosen half of its own source.
    #[inline(always)]
    pub(crate) fn v_pk_mov(&mut self, i: &Inst) -> Flow {
        let exec = self.exec();
        let low = self.lanes(i.src[0], usize::from(i.op_sel & 1));
        let high = self.lanes(i.src[1], usize::from(i.op_sel >> 1 & 1));
        self.put(i.dst, 0, &low, exec);
        self.put(i.dst, 1, &high, exec);
        Flow::Next
    }

    /// Packed pairs of 16-bit values: `f` sees each half's operands, chosen by `op_sel` and `op_sel_hi`.
    #[inline(always)]
    pub(crate) fn vpk16<const N: usize, H: PackedHalf>(&mut self, i: &Inst, f: impl Fn([H; N]) -> H) -> Flow {
        let x: [Row; N] = core::array::from_fn(|k| self.lanes(i.src[k], 0));
        let half = |lane: usize, select: u8, negate: u8| {
            let operands = core::array::from_fn(|k| {
                let bits = (x[k][lane] >> (16 * u32::from(select >> k & 1))) as u16;
                H::from_raw(bits, negate >> k & 1 == 1)
            });
            u32::from(f(operands).to_raw())
        };
        let mut out = [0; LANES];
        for (lane, out) in out.iter_mut().enumerate() {
            *out = half(lane, i.op_sel, i.neg) | half(lane, i.op_sel_hi, i.abs) << 16;
        }
        let exec = self.exec();
        self.put(i.dst, 0, &out, exec);
        Flow::Next
    }

    /// Dot products: `f` sees whole registers. Products of halves can choose and negate them; bytes and nibbles cannot.
    #[inline(always)]
    pub(crate) fn vdot(&mut self, i: &Inst, f: impl Fn(u32, u32, u32) -> u32) -> Flow {
        if i.op_sel & 3 == 0 && i.op_sel_hi & 3 == 3 && i.neg | i.abs == 0 {
            return self.v3(i, f);
        }
        let row = i.row();
        let float = row.src[0] == Ty::PF16;
        let halves = float || row.src[0] == Ty::P16 && i.neg | i.abs == 0;
        if !halves {
            return self.unsupported_form(i, "half selection or negation in a dot product of integers");
        }
        self.v3(i, |a: u32, b: u32, c: u32| {
            let chosen = |k: u32, x: u32| {
                let half = |select: u8, negate: u8| {
                    let bits = x >> (16 * u32::from(select >> k & 1)) & 0xffff;
                    bits ^ u32::from(negate >> k & 1) << 15
                };
                half(i.op_sel, i.neg) | half(i.op_sel_hi, i.abs) << 16
            };
            f(chosen(0, a), chosen(1, b), c ^ u32::from(i.neg >> 2 & 1) << 31)
        })
    }

    /// `v_mqsad_u32_u8`: four masked sums of absolute differences, of which the first operand's bytes begin one apart, added to four registers.
    pub(crate) fn v_mqsad_u32(&mut self, i: &Inst) -> Flow {
        let (low, high, b) = (self.lanes(i.src[0], 0), self.lanes(i.src[0], 1), self.lanes(i.src[1], 0));
        let exec = self.exec();
        let sums: [Row; 4] = core::array::from_fn(|k| {
            let c = self.lanes(i.src[2], k);
            core::array::from_fn(|lane| {
                let bytes = (u64::from(low[lane]) | u64::from(high[lane]) << 32) >> (8 * k);
                msad_u8(bytes as u32, b[lane], c[lane])
            })
        });
        for (k, sum) in sums.iter().enumerate() {
            self.put(i.dst, k, sum, exec);
        }
        Flow::Next
    }

    /// Operands of `v_fma_mix`: a 32-bit float, or a half of the register widened.
    #[inline(always)]
    fn mixed(&self, i: &Inst, k: usize) -> [f32; LANES] {
        let row = self.lanes(i.src[k], 0);
        let (wide, high) = (i.op_sel_hi >> k & 1 == 0, i.op_sel >> k & 1 == 1);
        row.map(|x| {
            let value = if wide { f32::from_bits(x) } else { f16_to_f32((x >> if high { 16 } else { 0 }) as u16) };
            let value = if i.abs >> k & 1 == 1 { value.abs() } else { value };
            if i.neg >> k & 1 == 1 { -value } else { value }
        })
    }

    /// `v_fma_mix_f32`.
    #[inline(always)]
    pub(crate) fn vmix(&mut self, i: &Inst) -> Flow {
        let (a, b, c) = (self.mixed(i, 0), self.mixed(i, 1), self.mixed(i, 2));
        let out = core::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]).to_bits());
        let exec = self.exec();
        self.put(i.dst, 0, &out, exec);
        Flow::Next
    }

    /// `v_fma_mixlo_f16` and `v_fma_mixhi_f16`: the other half of the destination is kept.
    #[inline(always)]
    pub(crate) fn vmix16(&mut self, i: &Inst, high: bool) -> Flow {
        let (a, b, c) = (self.mixed(i, 0), self.mixed(i, 1), self.mixed(i, 2));
        let old = *self.row(i.dst, 0);
        let out = core::array::from_fn(|lane| {
            let fused = a[lane].mul_add(b[lane], c[lane]);
            // `NaN > 0.0` is false, so a clamped NaN is zero.
            let fused = if !i.clamp {
                fused
            } else if fused > 0.0 {
                fused.min(1.0)
            } else {
                0.0
            };
            let half = u32::from(f32_to_f16(fused));
            if high { high16(half, old[lane]) } else { low16(half, old[lane]) }
        });
        let exec = self.exec();
        self.put(i.dst, 0, &out, exec);
        Flow::Next
    }
}

/// An element of a packed pair.
pub(crate) trait PackedHalf {
    fn from_raw(bits: u16, negate: bool) -> Self;
    fn to_raw(self) -> u16;
}

impl PackedHalf for u16 {
    #[inline(always)]
    fn from_raw(bits: u16, _: bool) -> u16 {
        bits
    }
    #[inline(always)]
    fn to_raw(self) -> u16 {
        self
    }
}

impl PackedHalf for Half {
    #[inline(always)]
    fn from_raw(bits: u16, negate: bool) -> Half {
        Half::from_bits(bits ^ if negate { 0x8000 } else { 0 })
    }
    #[inline(always)]
    fn to_raw(self) -> u16 {
        self.bits()
    }
}
