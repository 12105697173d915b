//! Vector arithmetic by closures: an instruction says what one lane does, this does it for sixty-four.
//!
//! A row of the table reads `v2(|a: f32, b: f32| a + b)`. The closure's types choose how operands are fetched ([`Lane`]):
//! sixteen lanes at a time, so that the compiler keeps them in vector registers, and every chunk is read before it is written, so that source
//! and destination may be the same register.

use super::cx::{Cx, Flow, VCC};
use super::half::{Half, f16_to_f32};
use super::inst::{Dst, Inst, STAGE, Slot, Src};
use crate::hardware::{OPERAND_ROWS, SIMD_ROWS, SimdFile};

/// Lanes that are worked on together.
pub(crate) const CHUNK: usize = 16;
const CHUNKS: usize = 64 / CHUNK;
const LAST_ROW: usize = SIMD_ROWS + OPERAND_ROWS - 1;
const LANE_BIT: [u32; CHUNK] = {
    let mut bits = [0; CHUNK];
    let mut k = 0;
    while k < CHUNK {
        bits[k] = 1 << k;
        k += 1;
    }
    bits
};

/// A value in one lane of one operand.
pub(crate) trait Lane: Copy + Default {
    /// Reads chunk `c` of a source.
    fn load(v: &SimdFile, from: &From, c: usize) -> [Self; CHUNK];
    /// Writes chunk `c` of the destination where `mask` has a bit.
    fn store(v: &mut SimdFile, to: &To, c: usize, value: &[Self; CHUNK], mask: u32);
}

/// A source, worked out before the loop over chunks.
#[derive(Clone, Copy)]
pub(crate) struct From {
    /// Rows of its low and high dword.
    rows: [usize; 2],
    /// Bits of the lane number that matter.
    lanes: usize,
}

/// A destination: rows of its low and high dword.
#[derive(Clone, Copy)]
pub(crate) struct To {
    rows: [usize; 2],
}

/// Reads chunk `c` of dword `d` of a source.
///
/// Whatever the operand is, this is one address and one copy: a branch that yielded arrays would make the compiler take them to pieces.
#[inline(always)]
fn dword(v: &SimdFile, from: &From, d: usize, c: usize) -> [u32; CHUNK] {
    let at = (c * CHUNK) & from.lanes & 48;
    let mut out = [0; CHUNK];
    out.copy_from_slice(&v[from.rows[d]][at..at + CHUNK]);
    out
}

#[inline(always)]
fn put_dword(v: &mut SimdFile, to: &To, d: usize, c: usize, value: &[u32; CHUNK], mask: u32) {
    let row = &mut v[to.rows[d]][c * CHUNK..][..CHUNK];
    if mask == 0xffff {
        row.copy_from_slice(value);
    } else {
        let mut merged = [0; CHUNK];
        merged.copy_from_slice(row);
        for k in 0..CHUNK {
            merged[k] = if mask & LANE_BIT[k] == LANE_BIT[k] { value[k] } else { merged[k] };
        }
        row.copy_from_slice(&merged);
    }
}

/// Turns every element of a chunk into another.
#[inline(always)]
fn each<A: Copy, R: Copy + Default>(a: &[A; CHUNK], f: impl Fn(A) -> R) -> [R; CHUNK] {
    let mut out = [R::default(); CHUNK];
    for k in 0..CHUNK {
        out[k] = f(a[k]);
    }
    out
}

macro_rules! lane32 {
    ($($t:ty, |$x:ident| $from:expr, |$y:ident| $to:expr;)*) => {$(
        impl Lane for $t {
            #[inline(always)]
            fn load(v: &SimdFile, from: &From, c: usize) -> [Self; CHUNK] {
                each(&dword(v, from, 0, c), |$x| $from)
            }
            #[inline(always)]
            fn store(v: &mut SimdFile, to: &To, c: usize, value: &[Self; CHUNK], mask: u32) {
                put_dword(v, to, 0, c, &each(value, |$y| $to), mask);
            }
        }
    )*};
}

lane32! {
    u32, |x| x, |x| x;
    i32, |x| x as i32, |x| x as u32;
    u16, |x| x as u16, |x| u32::from(x);
    i16, |x| x as i16, |x| u32::from(x as u16);
}

impl Lane for f32 {
    #[inline(always)]
    fn load(v: &SimdFile, from: &From, c: usize) -> [f32; CHUNK] {
        each(&dword(v, from, 0, c), f32::from_bits)
    }
    #[inline(always)]
    fn store(v: &mut SimdFile, to: &To, c: usize, value: &[f32; CHUNK], mask: u32) {
        put_dword(v, to, 0, c, &each(value, f32::to_bits), mask);
    }
}

impl Lane for Half {
    #[inline(always)]
    fn load(v: &SimdFile, from: &From, c: usize) -> [Half; CHUNK] {
        each(&dword(v, from, 0, c), |x| Half(f16_to_f32(x as u16)))
    }
    #[inline(always)]
    fn store(v: &mut SimdFile, to: &To, c: usize, value: &[Half; CHUNK], mask: u32) {
        put_dword(v, to, 0, c, &each(value, |v| u32::from(v.bits())), mask);
    }
}

#[inline(always)]
fn qword(v: &SimdFile, from: &From, c: usize) -> [u64; CHUNK] {
    let (lo, hi) = (dword(v, from, 0, c), dword(v, from, 1, c));
    let mut out = [0; CHUNK];
    for k in 0..CHUNK {
        out[k] = u64::from(lo[k]) | u64::from(hi[k]) << 32;
    }
    out
}

#[inline(always)]
fn put_qword(v: &mut SimdFile, to: &To, c: usize, value: &[u64; CHUNK], mask: u32) {
    put_dword(v, to, 0, c, &each(value, |v| v as u32), mask);
    put_dword(v, to, 1, c, &each(value, |v| (v >> 32) as u32), mask);
}

macro_rules! lane64 {
    ($($t:ty, |$x:ident| $from:expr, |$y:ident| $to:expr;)*) => {$(
        impl Lane for $t {
            #[inline(always)]
            fn load(v: &SimdFile, from: &From, c: usize) -> [Self; CHUNK] {
                each(&qword(v, from, c), |$x| $from)
            }
            #[inline(always)]
            fn store(v: &mut SimdFile, to: &To, c: usize, value: &[Self; CHUNK], mask: u32) {
                put_qword(v, to, c, &each(value, |$y| $to), mask);
            }
        }
    )*};
}

lane64! {
    u64, |x| x, |x| x;
    i64, |x| x as i64, |x| x as u64;
}

impl Lane for f64 {
    #[inline(always)]
    fn load(v: &SimdFile, from: &From, c: usize) -> [f64; CHUNK] {
        each(&qword(v, from, c), f64::from_bits)
    }
    #[inline(always)]
    fn store(v: &mut SimdFile, to: &To, c: usize, value: &[f64; CHUNK], mask: u32) {
        put_qword(v, to, c, &each(value, f64::to_bits), mask);
    }
}

#[inline(always)]
fn chunk_mask(exec: u64, c: usize) -> u32 {
    (exec >> (c * CHUNK)) as u32 & 0xffff
}

/// Collects a bit from each lane's 0 or 1: eight bytes at a time, by a multiplication that moves bit 0 of byte `k` to bit 56 + `k`.
#[inline(always)]
fn collect(flags: &[u8; 64]) -> u64 {
    let mut mask = 0;
    for (k, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        let byte = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= byte << (8 * k);
    }
    mask
}

/// What a literal means to an operand type.
pub(crate) trait Constant {
    fn constant(literal: u32) -> Self;
}

impl Constant for f32 {
    #[inline(always)]
    fn constant(literal: u32) -> f32 {
        f32::from_bits(literal)
    }
}

impl Constant for Half {
    #[inline(always)]
    fn constant(literal: u32) -> Half {
        Half::from_bits(literal as u16)
    }
}

impl Cx<'_> {
    /// Works out the first `sources` operands and the destination; stages those that are not plain registers.
    #[inline(always)]
    fn operands(&mut self, i: &Inst, sources: usize) -> ([From; 3], To) {
        if i.staged {
            self.stage(i, sources);
        }
        let rows = |slot: Slot| {
            let row = self.bases[usize::from(slot.base & 3)] + usize::from(slot.row);
            // What an instruction names was checked against what the wave has; this only shows the compiler that it is in bounds.
            [row.min(LAST_ROW), (row + 1).min(LAST_ROW)]
        };
        let from = i.from.map(|slot| From { rows: rows(slot), lanes: usize::from(slot.lanes) });
        (from, To { rows: rows(i.to) })
    }

    /// Lays out those of the first `sources` operands that are not plain registers: scalars spread over a chunk each, registers with their
    /// sign changed as whole rows. Most instructions have neither, and then reading an operand is a load and nothing else.
    #[inline(never)]
    fn stage(&mut self, i: &Inst, sources: usize) {
        for k in 0..sources {
            let to = Dst::T(STAGE + 2 * k as u16);
            let sign = i.sign(k);
            let change = |d: usize, x: u32| match sign {
                Some(sign) if sign.dword == d => x & sign.keep ^ sign.flip,
                _ => x,
            };
            let words = match i.src[k] {
                Src::V(_) | Src::A(_) | Src::T(_) => {
                    if let Some(sign) = sign {
                        for d in 0..=sign.dword {
                            *self.row_mut(to, d) = self.lanes(i.src[k], d).map(|x| change(d, x));
                        }
                    }
                    continue;
                }
                Src::S(r) => [0, 1].map(|d| self.s[(usize::from(r) + d) & 127]),
                Src::K(value) => [value as u32, (value >> 32) as u32],
                Src::Flag(_) => [self.s32(i.src[k]), 0],
            };
            for (d, word) in words.into_iter().enumerate() {
                self.row_mut(to, d)[..CHUNK].fill(change(d, word));
            }
        }
    }

    /// `dst = f(src0)` in every active lane.
    #[inline(always)]
    pub(crate) fn v1<A: Lane, R: Lane>(&mut self, i: &Inst, f: impl Fn(A) -> R) -> Flow {
        let (from, to) = self.operands(i, 1);
        let exec = self.exec();
        for c in 0..CHUNKS {
            let a = A::load(self.v, &from[0], c);
            R::store(self.v, &to, c, &each(&a, &f), chunk_mask(exec, c));
        }
        Flow::Next
    }

    /// `dst = f(src0, src1)`.
    #[inline(always)]
    pub(crate) fn v2<A: Lane, B: Lane, R: Lane>(&mut self, i: &Inst, f: impl Fn(A, B) -> R) -> Flow {
        let (from, to) = self.operands(i, 2);
        let exec = self.exec();
        for c in 0..CHUNKS {
            let (a, b) = (A::load(self.v, &from[0], c), B::load(self.v, &from[1], c));
            let mut out = [R::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(a[k], b[k]);
            }
            R::store(self.v, &to, c, &out, chunk_mask(exec, c));
        }
        Flow::Next
    }

    /// `dst = f(src0, src1, src2)`.
    #[inline(always)]
    pub(crate) fn v3<A: Lane, B: Lane, C: Lane, R: Lane>(&mut self, i: &Inst, f: impl Fn(A, B, C) -> R) -> Flow {
        let (from, to) = self.operands(i, 3);
        let exec = self.exec();
        for c in 0..CHUNKS {
            let (x, y, z) = (A::load(self.v, &from[0], c), B::load(self.v, &from[1], c), C::load(self.v, &from[2], c));
            let mut out = [R::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(x[k], y[k], z[k]);
            }
            R::store(self.v, &to, c, &out, chunk_mask(exec, c));
        }
        Flow::Next
    }

    /// `dst = f(src0, src1, dst)`: the accumulating short forms.
    #[inline(always)]
    pub(crate) fn v2acc<A: Lane, B: Lane, R: Lane>(&mut self, i: &Inst, f: impl Fn(A, B, R) -> R) -> Flow {
        let (from, to) = self.operands(i, 2);
        let exec = self.exec();
        for c in 0..CHUNKS {
            let (a, b) = (A::load(self.v, &from[0], c), B::load(self.v, &from[1], c));
            // The binder put the destination into src2 for accumulating rows; its modifier bits are never set.
            let d = R::load(self.v, &from[2], c);
            let mut out = [R::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(a[k], b[k], d[k]);
            }
            R::store(self.v, &to, c, &out, chunk_mask(exec, c));
        }
        Flow::Next
    }

    /// `dst = f(src0, src1, literal)`: the short forms that carry a constant. It is a 16-bit one where the operands are.
    #[inline(always)]
    pub(crate) fn v2k<A: Lane + Constant>(&mut self, i: &Inst, f: impl Fn(A, A, A) -> A) -> Flow {
        let k = A::constant(i.literal);
        self.v2(i, |a, b| f(a, b, k))
    }

    /// `dst = f(src0, src1, src2, bit of VCC)`.
    #[inline(always)]
    pub(crate) fn v3vcc<A: Lane>(&mut self, i: &Inst, f: impl Fn(A, A, A, bool) -> A) -> Flow {
        let (from, to) = self.operands(i, 3);
        let (exec, vcc) = (self.exec(), self.sgpr64(VCC));
        for c in 0..CHUNKS {
            let (x, y, z) = (A::load(self.v, &from[0], c), A::load(self.v, &from[1], c), A::load(self.v, &from[2], c));
            let bits = chunk_mask(vcc, c);
            let mut out = [A::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(x[k], y[k], z[k], bits & LANE_BIT[k] != 0);
            }
            A::store(self.v, &to, c, &out, chunk_mask(exec, c));
        }
        Flow::Next
    }

    /// Writes a bit for each active lane to the scalar destination, zero for the others.
    #[inline(always)]
    pub(crate) fn vcmp<A: Lane, B: Lane>(&mut self, i: &Inst, f: impl Fn(A, B) -> bool) -> Flow {
        let (from, _) = self.operands(i, 2);
        let (mut mask, mut flags) = (0, [0u8; 64]);
        for c in 0..CHUNKS {
            let (a, b) = (A::load(self.v, &from[0], c), B::load(self.v, &from[1], c));
            // Measured: words are faster for 32-bit operands, bytes for 64-bit ones, by a third either way.
            if size_of::<A>() == 8 {
                for k in 0..CHUNK {
                    flags[c * CHUNK + k] = u8::from(f(a[k], b[k]));
                }
            } else {
                let mut bits = [0u32; CHUNK];
                for k in 0..CHUNK {
                    bits[k] = if f(a[k], b[k]) { LANE_BIT[k] } else { 0 };
                }
                mask |= u64::from(bits.iter().fold(0, |a, b| a | b)) << (c * CHUNK);
            }
        }
        if size_of::<A>() == 8 {
            mask = collect(&flags);
        }
        mask &= self.exec();
        self.set_sgpr64(usize::from(i.sdst), mask);
        Flow::Next
    }

    /// As [`vcmp`](Self::vcmp), and EXEC takes the result too (`v_cmpx`).
    #[inline(always)]
    pub(crate) fn vcmpx<A: Lane, B: Lane>(&mut self, i: &Inst, f: impl Fn(A, B) -> bool) -> Flow {
        let flow = self.vcmp(i, f);
        let mask = self.sgpr64(usize::from(i.sdst));
        self.set_sgpr64(super::cx::EXEC, mask);
        flow
    }

    /// `dst, mask = f(src0, src1, bit of the mask in src2)`: additions and subtractions with carry. Those without carry in have no source 2, whose
    /// mask is zero; the same closure for both, because the compiler vectorises this one.
    #[inline(always)]
    pub(crate) fn vcarry(&mut self, i: &Inst, f: impl Fn(u32, u32, bool) -> (u32, bool)) -> Flow {
        let (from, to) = self.operands(i, 2);
        let exec = self.exec();
        let carry_in = self.s64(i.src[2]);
        let mut flags = [0u8; 64];
        for c in 0..CHUNKS {
            let (a, b) = (u32::load(self.v, &from[0], c), u32::load(self.v, &from[1], c));
            let carry = chunk_mask(carry_in, c);
            let mut out = [0; CHUNK];
            for k in 0..CHUNK {
                let (sum, carried) = f(a[k], b[k], carry & LANE_BIT[k] != 0);
                out[k] = sum;
                flags[c * CHUNK + k] = u8::from(carried);
            }
            u32::store(self.v, &to, c, &out, chunk_mask(exec, c));
        }
        self.set_sgpr64(usize::from(i.sdst), collect(&flags) & exec);
        Flow::Next
    }

    /// `dst = f(src0, src1, bit of the mask in src2)` (`v_cndmask`).
    #[inline(always)]
    pub(crate) fn vselect<A: Lane>(&mut self, i: &Inst, f: impl Fn(A, A, bool) -> A) -> Flow {
        let (from, to) = self.operands(i, 2);
        let exec = self.exec();
        let select = self.s64(i.src[2]);
        for c in 0..CHUNKS {
            let (a, b) = (A::load(self.v, &from[0], c), A::load(self.v, &from[1], c));
            let bits = chunk_mask(select, c);
            let mut out = [A::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(a[k], b[k], bits & LANE_BIT[k] != 0);
            }
            A::store(self.v, &to, c, &out, chunk_mask(exec, c));
        }
        Flow::Next
    }

    /// `dst, mask = f(src0, src1, src2)`: `v_mad_u64_u32`, `v_mad_i64_i32` and `v_div_scale`.
    #[inline(always)]
    pub(crate) fn v3mask<A: Lane, C: Lane>(&mut self, i: &Inst, f: impl Fn(A, A, C) -> (C, bool)) -> Flow {
        let (from, to) = self.operands(i, 3);
        let exec = self.exec();
        let mut flags = [0u8; 64];
        for c in 0..CHUNKS {
            let (x, y, z) = (A::load(self.v, &from[0], c), A::load(self.v, &from[1], c), C::load(self.v, &from[2], c));
            let mut out = [C::default(); CHUNK];
            for k in 0..CHUNK {
                let (value, bit) = f(x[k], y[k], z[k]);
                out[k] = value;
                flags[c * CHUNK + k] = u8::from(bit);
            }
            C::store(self.v, &to, c, &out, chunk_mask(exec, c));
        }
        self.set_sgpr64(usize::from(i.sdst), collect(&flags) & exec);
        Flow::Next
    }

    /// Packed pairs of 32-bit values: each half of the destination from a chosen half of each source (`op_sel`, `op_sel_hi`).
    #[inline(always)]
    pub(crate) fn vpk32<const N: usize>(&mut self, i: &Inst, f: impl Fn([f32; N]) -> f32) -> Flow {
        let (from, to) = self.operands(i, N);
        let exec = self.exec();
        for c in 0..CHUNKS {
            let mut halves = [[0u32; CHUNK]; 2];
            for (half, out) in halves.iter_mut().enumerate() {
                let (select, negate) = if half == 0 { (i.op_sel, i.neg) } else { (i.op_sel_hi, i.abs) };
                let mut x = [[0u32; CHUNK]; N];
                for (k, x) in x.iter_mut().enumerate() {
                    *x = dword(self.v, &from[k], usize::from(select >> k & 1), c);
                    if negate >> k & 1 == 1 {
                        *x = each(x, |v| v ^ 0x8000_0000);
                    }
                }
                for (lane, out) in out.iter_mut().enumerate() {
                    *out = f(core::array::from_fn(|k| f32::from_bits(x[k][lane]))).to_bits();
                }
            }
            put_dword(self.v, &to, 0, c, &halves[0], chunk_mask(exec, c));
            put_dword(self.v, &to, 1, c, &halves[1], chunk_mask(exec, c));
        }
        Flow::Next
    }
}
