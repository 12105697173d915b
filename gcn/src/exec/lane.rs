//! Vector arithmetic by closures: an instruction says what one lane does, this does it for sixty-four.
//!
//! A row of the table reads `v2(|a: f32, b: f32| a + b)`. The closure's types choose how operands are fetched ([`Lane`]):
//! sixteen lanes at a time, so that the compiler keeps them in vector registers, and every chunk is read before it is written, so that source
//! and destination may be the same register.

use super::cx::{Cx, Flow, VCC};
use super::half::{Half, f16_to_f32};
use super::inst::{Dst, Inst, STAGE, STAGED_SIGNS, Slot, Src};
use crate::hardware::{OPERAND_ROWS, Row, SIMD_ROWS, SimdFile};

/// Lanes that are worked on together.
pub(crate) const CHUNK: usize = 16;
const CHUNKS: usize = 64 / CHUNK;
const LAST_ROW: usize = SIMD_ROWS + OPERAND_ROWS - 1;
/// The bit of each lane of a chunk.
pub(super) const LANE_BIT: [u32; CHUNK] = {
    let mut bits = [0; CHUNK];
    let mut k = 0;
    while k < CHUNK {
        bits[k] = 1 << k;
        k += 1;
    }
    bits
};

/// Addresses of dwords that follow each other.
#[inline(always)]
pub(super) fn following(first: u32) -> [u32; CHUNK] {
    let mut out = [first; CHUNK];
    for (k, address) in out.iter_mut().enumerate() {
        *address = first.wrapping_add(4 * k as u32);
    }
    out
}

/// A value in one lane of one operand.
pub(crate) trait Lane: Copy + Default {
    /// Registers that a value takes.
    const DWORDS: usize;
    /// Reads chunk `c` of a source.
    fn load(v: &SimdFile, from: &From, c: usize) -> [Self; CHUNK];
    /// Writes chunk `c` of the destination in the active lanes.
    fn store(v: &mut SimdFile, to: &To, c: usize, value: &[Self; CHUNK], active: Active);
}

/// A source, worked out before the loop over chunks: rows of its low and high dword.
#[derive(Clone, Copy)]
pub(crate) struct From {
    rows: [usize; 2],
}

/// The active lanes: asked once an instruction whether that is all of them, because that is cheaper to write.
#[derive(Clone, Copy)]
pub(crate) struct Active {
    exec: u64,
    all: bool,
}

/// A destination: rows of its low and high dword.
#[derive(Clone, Copy)]
pub(crate) struct To {
    rows: [usize; 2],
}

/// Reads chunk `c` of dword `d` of a source.
///
/// Whatever the operand is, this is a load and nothing else: a branch that yielded arrays would make the compiler take them to pieces.
#[inline(always)]
fn dword(v: &SimdFile, from: &From, d: usize, c: usize) -> [u32; CHUNK] {
    let mut out = [0; CHUNK];
    out.copy_from_slice(&v[from.rows[d]][c * CHUNK..][..CHUNK]);
    out
}

#[inline(always)]
fn put_dword(v: &mut SimdFile, to: &To, d: usize, c: usize, value: &[u32; CHUNK], active: Active) {
    if active.all {
        v[to.rows[d]][c * CHUNK..][..CHUNK].copy_from_slice(value);
    } else {
        put_chunk(&mut v[to.rows[d]], c, value, chunk_mask(active.exec, c));
    }
}

/// Writes chunk `c` of a row where `mask` has a bit. With AVX-512 the loop is one store under a mask register.
#[inline(always)]
pub(super) fn put_chunk(row: &mut Row, c: usize, value: &[u32; CHUNK], mask: u32) {
    let row = &mut row[c * CHUNK..][..CHUNK];
    let mut merged = [0; CHUNK];
    merged.copy_from_slice(row);
    for k in 0..CHUNK {
        merged[k] = if mask & LANE_BIT[k] == LANE_BIT[k] { value[k] } else { merged[k] };
    }
    row.copy_from_slice(&merged);
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
            const DWORDS: usize = 1;
            #[inline(always)]
            fn load(v: &SimdFile, from: &From, c: usize) -> [Self; CHUNK] {
                each(&dword(v, from, 0, c), |$x| $from)
            }
            #[inline(always)]
            fn store(v: &mut SimdFile, to: &To, c: usize, value: &[Self; CHUNK], active: Active) {
                put_dword(v, to, 0, c, &each(value, |$y| $to), active);
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
    const DWORDS: usize = 1;
    #[inline(always)]
    fn load(v: &SimdFile, from: &From, c: usize) -> [f32; CHUNK] {
        each(&dword(v, from, 0, c), f32::from_bits)
    }
    #[inline(always)]
    fn store(v: &mut SimdFile, to: &To, c: usize, value: &[f32; CHUNK], active: Active) {
        put_dword(v, to, 0, c, &each(value, f32::to_bits), active);
    }
}

impl Lane for Half {
    const DWORDS: usize = 1;
    #[inline(always)]
    fn load(v: &SimdFile, from: &From, c: usize) -> [Half; CHUNK] {
        each(&dword(v, from, 0, c), |x| Half(f16_to_f32(x as u16)))
    }
    #[inline(always)]
    fn store(v: &mut SimdFile, to: &To, c: usize, value: &[Half; CHUNK], active: Active) {
        put_dword(v, to, 0, c, &each(value, |v| u32::from(v.bits())), active);
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
fn put_qword(v: &mut SimdFile, to: &To, c: usize, value: &[u64; CHUNK], active: Active) {
    put_dword(v, to, 0, c, &each(value, |v| v as u32), active);
    put_dword(v, to, 1, c, &each(value, |v| (v >> 32) as u32), active);
}

macro_rules! lane64 {
    ($($t:ty, |$x:ident| $from:expr, |$y:ident| $to:expr;)*) => {$(
        impl Lane for $t {
            const DWORDS: usize = 2;
            #[inline(always)]
            fn load(v: &SimdFile, from: &From, c: usize) -> [Self; CHUNK] {
                each(&qword(v, from, c), |$x| $from)
            }
            #[inline(always)]
            fn store(v: &mut SimdFile, to: &To, c: usize, value: &[Self; CHUNK], active: Active) {
                put_qword(v, to, c, &each(value, |$y| $to), active);
            }
        }
    )*};
}

lane64! {
    u64, |x| x, |x| x;
    i64, |x| x as i64, |x| x as u64;
}

impl Lane for f64 {
    const DWORDS: usize = 2;
    #[inline(always)]
    fn load(v: &SimdFile, from: &From, c: usize) -> [f64; CHUNK] {
        each(&qword(v, from, c), f64::from_bits)
    }
    #[inline(always)]
    fn store(v: &mut SimdFile, to: &To, c: usize, value: &[f64; CHUNK], active: Active) {
        put_qword(v, to, c, &each(value, f64::to_bits), active);
    }
}

#[inline(always)]
pub(super) fn chunk_mask(exec: u64, c: usize) -> u32 {
    (exec >> (c * CHUNK)) as u32 & 0xffff
}

/// Spreads a mask over a row: all ones in its lanes.
///
/// For loops that sum up over lanes: they are vectorised over a whole row, but not over chunks and lanes of chunks.
#[inline(always)]
pub(super) fn spread(mask: u64) -> Row {
    let mut out = [0; 64];
    for (c, chunk) in out.as_chunks_mut::<CHUNK>().0.iter_mut().enumerate() {
        let bits = chunk_mask(mask, c);
        for k in 0..CHUNK {
            chunk[k] = if bits & LANE_BIT[k] == LANE_BIT[k] { !0 } else { 0 };
        }
    }
    out
}

/// Collects a bit from each lane's 0 or 1: byte `k` of each eight moves to bit `k`, in three steps.
#[inline(always)]
fn collect(flags: &[u8; 64]) -> u64 {
    let mut eights = [0; 8];
    for (out, eight) in eights.iter_mut().zip(flags.as_chunks::<8>().0) {
        *out = u64::from_le_bytes(*eight);
    }
    for by in [7, 14, 28] {
        for x in &mut eights {
            *x |= *x >> by;
        }
    }
    let mut mask = 0;
    for (k, x) in eights.iter().enumerate() {
        mask |= (x & 0xff) << (8 * k);
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
    #[inline(always)]
    fn active(&self) -> Active {
        let exec = self.exec();
        Active { exec, all: exec == !0 }
    }

    /// Works out the operands, of so many dwords each, and the destination.
    #[inline(always)]
    fn operands<const N: usize>(&mut self, i: &Inst, dwords: [usize; N]) -> ([From; N], To) {
        (self.sources(i, dwords), To { rows: self.rows(i.to) })
    }

    /// Works out the operands; stages those that are not plain registers.
    #[inline(always)]
    fn sources<const N: usize>(&mut self, i: &Inst, dwords: [usize; N]) -> [From; N] {
        if i.staged != 0 {
            for (k, dwords) in dwords.into_iter().enumerate() {
                if i.staged >> k & 1 == 1 {
                    self.stage_scalar(i, k, dwords);
                }
            }
            if i.staged >= STAGED_SIGNS {
                self.stage_signs(i, N);
            }
        }
        core::array::from_fn(|k| From { rows: self.rows(i.from[k]) })
    }

    /// Returns the row of an operand and the one after it.
    ///
    /// One operand after the other, with a branch each: the compiler would otherwise work all of them out in one vector, with a gather from the
    /// bases and an extraction for each, which took longer than the arithmetic.
    #[inline(always)]
    fn rows(&self, slot: Slot) -> [usize; 2] {
        let row = self.bases[usize::from(slot.base & 3)] + usize::from(slot.row);
        // PANIC: what an instruction names was checked against what the wave has, and operand rows end before the last one.
        assert!(row < LAST_ROW);
        [row, row + 1]
    }

    /// Spreads a scalar over whole operand rows, so that reading an operand is a load and nothing else.
    ///
    /// Inlined into every handler, because what is stored here is loaded right after it: a store of narrower vectors than the loads would
    /// not be forwarded to them, which cost more than all the rest of an instruction.
    #[inline(always)]
    fn stage_scalar(&mut self, i: &Inst, k: usize, dwords: usize) {
        let value = match i.src[k] {
            Src::S(r) if dwords == 1 => u64::from(self.s[usize::from(r) & 127]),
            Src::S(r) => self.sgpr64(usize::from(r)),
            Src::K(value) => value,
            other => u64::from(self.s32(other)),
        };
        let at = SIMD_ROWS + usize::from(STAGE) + 2 * k;
        self.v[at] = [value as u32; 64];
        if dwords == 2 {
            self.v[at + 1] = [(value >> 32) as u32; 64];
        }
    }

    /// Lays out those of the first `sources` operands whose sign changes. Most instructions have none.
    #[inline(never)]
    fn stage_signs(&mut self, i: &Inst, sources: usize) {
        for k in 0..sources {
            let Some(sign) = i.sign(k) else { continue };
            let to = Dst::T(STAGE + 2 * k as u16);
            for d in 0..=sign.dword {
                let row = self.lanes(i.src[k], d);
                *self.row_mut(to, d) = if d == sign.dword { row.map(|x| x & sign.keep ^ sign.flip) } else { row };
            }
        }
    }

    /// `dst = f(src0)` in every active lane.
    #[inline(always)]
    pub(crate) fn v1<A: Lane, R: Lane>(&mut self, i: &Inst, f: impl Fn(A) -> R) -> Flow {
        let (from, to) = self.operands(i, [A::DWORDS]);
        let active = self.active();
        let v = &mut *self.v;
        for c in 0..CHUNKS {
            let a = A::load(v, &from[0], c);
            R::store(v, &to, c, &each(&a, &f), active);
        }
        Flow::Next
    }

    /// `dst = f(src0, src1)`.
    #[inline(always)]
    pub(crate) fn v2<A: Lane, B: Lane, R: Lane>(&mut self, i: &Inst, f: impl Fn(A, B) -> R) -> Flow {
        let (from, to) = self.operands(i, [A::DWORDS, B::DWORDS]);
        let active = self.active();
        let v = &mut *self.v;
        for c in 0..CHUNKS {
            let (a, b) = (A::load(v, &from[0], c), B::load(v, &from[1], c));
            let mut out = [R::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(a[k], b[k]);
            }
            R::store(v, &to, c, &out, active);
        }
        Flow::Next
    }

    /// `dst = f(src0, src1, src2)`.
    #[inline(always)]
    pub(crate) fn v3<A: Lane, B: Lane, C: Lane, R: Lane>(&mut self, i: &Inst, f: impl Fn(A, B, C) -> R) -> Flow {
        let (from, to) = self.operands(i, [A::DWORDS, B::DWORDS, C::DWORDS]);
        let active = self.active();
        let v = &mut *self.v;
        for c in 0..CHUNKS {
            let (x, y, z) = (A::load(v, &from[0], c), B::load(v, &from[1], c), C::load(v, &from[2], c));
            let mut out = [R::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(x[k], y[k], z[k]);
            }
            R::store(v, &to, c, &out, active);
        }
        Flow::Next
    }

    /// `dst = f(src0, src1, dst)`: the accumulating short forms.
    #[inline(always)]
    pub(crate) fn v2acc<A: Lane, B: Lane, R: Lane>(&mut self, i: &Inst, f: impl Fn(A, B, R) -> R) -> Flow {
        let (from, to) = self.operands(i, [A::DWORDS, B::DWORDS, R::DWORDS]);
        let active = self.active();
        let v = &mut *self.v;
        for c in 0..CHUNKS {
            let (a, b) = (A::load(v, &from[0], c), B::load(v, &from[1], c));
            // The binder put the destination into src2 for accumulating rows; its modifier bits are never set.
            let d = R::load(v, &from[2], c);
            let mut out = [R::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(a[k], b[k], d[k]);
            }
            R::store(v, &to, c, &out, active);
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
        let (from, to) = self.operands(i, [A::DWORDS; 3]);
        let (active, vcc) = (self.active(), self.sgpr64(VCC));
        let v = &mut *self.v;
        for c in 0..CHUNKS {
            let (x, y, z) = (A::load(v, &from[0], c), A::load(v, &from[1], c), A::load(v, &from[2], c));
            let bits = chunk_mask(vcc, c);
            let mut out = [A::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(x[k], y[k], z[k], bits & LANE_BIT[k] != 0);
            }
            A::store(v, &to, c, &out, active);
        }
        Flow::Next
    }

    /// Writes a bit for each active lane to the scalar destination, zero for the others.
    #[inline(always)]
    pub(crate) fn vcmp<A: Lane, B: Lane>(&mut self, i: &Inst, f: impl Fn(A, B) -> bool) -> Flow {
        let from = self.sources(i, [A::DWORDS, B::DWORDS]);
        let mut flags = [0u8; 64];
        let v = &mut *self.v;
        for c in 0..CHUNKS {
            let (a, b) = (A::load(v, &from[0], c), B::load(v, &from[1], c));
            for k in 0..CHUNK {
                flags[c * CHUNK + k] = u8::from(f(a[k], b[k]));
            }
        }
        let mask = collect(&flags) & self.exec();
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
        let (from, to) = self.operands(i, [1, 1]);
        let active = self.active();
        let carry_in = self.s64(i.src[2]);
        let mut flags = [0u8; 64];
        let v = &mut *self.v;
        for c in 0..CHUNKS {
            let (a, b) = (u32::load(v, &from[0], c), u32::load(v, &from[1], c));
            let carry = chunk_mask(carry_in, c);
            let mut out = [0; CHUNK];
            // Two loops, because the compiler vectorises each but not both in one.
            for k in 0..CHUNK {
                out[k] = f(a[k], b[k], carry & LANE_BIT[k] != 0).0;
            }
            for k in 0..CHUNK {
                flags[c * CHUNK + k] = u8::from(f(a[k], b[k], carry & LANE_BIT[k] != 0).1);
            }
            u32::store(v, &to, c, &out, active);
        }
        self.set_sgpr64(usize::from(i.sdst), collect(&flags) & active.exec);
        Flow::Next
    }

    /// `dst = f(src0, src1, bit of the mask in src2)` (`v_cndmask`).
    #[inline(always)]
    pub(crate) fn vselect<A: Lane>(&mut self, i: &Inst, f: impl Fn(A, A, bool) -> A) -> Flow {
        let (from, to) = self.operands(i, [A::DWORDS; 2]);
        let active = self.active();
        let select = self.s64(i.src[2]);
        let v = &mut *self.v;
        for c in 0..CHUNKS {
            let (a, b) = (A::load(v, &from[0], c), A::load(v, &from[1], c));
            let bits = chunk_mask(select, c);
            let mut out = [A::default(); CHUNK];
            for k in 0..CHUNK {
                out[k] = f(a[k], b[k], bits & LANE_BIT[k] != 0);
            }
            A::store(v, &to, c, &out, active);
        }
        Flow::Next
    }

    /// `dst, mask = f(src0, src1, src2)`: `v_mad_u64_u32`, `v_mad_i64_i32` and `v_div_scale`.
    #[inline(always)]
    pub(crate) fn v3mask<A: Lane, C: Lane>(&mut self, i: &Inst, f: impl Fn(A, A, C) -> (C, bool)) -> Flow {
        let (from, to) = self.operands(i, [A::DWORDS, A::DWORDS, C::DWORDS]);
        let active = self.active();
        let mut flags = [0u8; 64];
        let v = &mut *self.v;
        for c in 0..CHUNKS {
            let (x, y, z) = (A::load(v, &from[0], c), A::load(v, &from[1], c), C::load(v, &from[2], c));
            let mut out = [C::default(); CHUNK];
            for k in 0..CHUNK {
                let (value, bit) = f(x[k], y[k], z[k]);
                out[k] = value;
                flags[c * CHUNK + k] = u8::from(bit);
            }
            C::store(v, &to, c, &out, active);
        }
        self.set_sgpr64(usize::from(i.sdst), collect(&flags) & active.exec);
        Flow::Next
    }

    /// Packed pairs of 32-bit values: each half of the destination from a chosen half of each source (`op_sel`, `op_sel_hi`).
    #[inline(always)]
    pub(crate) fn vpk32<const N: usize>(&mut self, i: &Inst, f: impl Fn([f32; N]) -> f32) -> Flow {
        let (from, to) = self.operands(i, [2; N]);
        let active = self.active();
        let v = &mut *self.v;
        // Few of these change a sign, so the others do not pay for it.
        if i.neg | i.abs == 0 {
            pk32::<N, false>(v, i, &from, &to, active, f);
        } else {
            pk32::<N, true>(v, i, &from, &to, active, f);
        }
        Flow::Next
    }
}

/// The loop of [`Cx::vpk32`].
#[inline(always)]
fn pk32<const N: usize, const SIGNS: bool>(
    v: &mut SimdFile,
    i: &Inst,
    from: &[From; N],
    to: &To,
    active: Active,
    f: impl Fn([f32; N]) -> f32,
) {
    let halves = [(i.op_sel, i.neg), (i.op_sel_hi, i.abs)].map(|(select, negate)| {
        let bit = |bits: u8, k: usize| u32::from(bits >> k & 1);
        let rows: [usize; N] = core::array::from_fn(|k| from[k].rows[0] + bit(select, k) as usize);
        let flip: [u32; N] = core::array::from_fn(|k| bit(negate, k) << 31);
        (rows, flip)
    });
    for c in 0..CHUNKS {
        let mut out = [[0u32; CHUNK]; 2];
        for ((rows, flip), out) in halves.iter().zip(&mut out) {
            let mut x = [[0u32; CHUNK]; N];
            for (k, x) in x.iter_mut().enumerate() {
                x.copy_from_slice(&v[rows[k].min(LAST_ROW)][c * CHUNK..][..CHUNK]);
                if SIGNS {
                    *x = each(x, |v| v ^ flip[k]);
                }
            }
            for (lane, out) in out.iter_mut().enumerate() {
                *out = f(core::array::from_fn(|k| f32::from_bits(x[k][lane]))).to_bits();
            }
        }
        put_dword(v, to, 0, c, &out[0], active);
        put_dword(v, to, 1, c, &out[1], active);
    }
}
