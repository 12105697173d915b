//! Matrix products (MFMA) and sparse ones (SMFMAC): `D = C + A * B` over the registers of all lanes, whatever EXEC says.
//!
//! A matrix of `M` rows is spread over the lanes as the hardware's is. Lane `l` holds row `l % M` of A (column `l % M` of B); which of the
//! blocks, or which part of the inner dimension, is told by `l / M`. Its registers hold consecutive elements along the inner dimension. The sum
//! has four consecutive rows in four registers, then skips those of the other lanes; doubles skip at once.
//!
//! Sums run over the inner dimension in ascending order, one fused step each: hardware's order is not documented. What is: on
//! gfx90a, products of 16-bit floats know no denormals (inputs and results are flushed), on gfx942 they do.
//!
//! Sources: AMD "Instinct MI200" and "Instinct MI300" ISA documents, "Matrix Arithmetic Instructions"; the layouts that AMD's matrix
//! instruction calculator prints.

use super::cx::{Cx, Flow};
use super::half::f16_to_f32;
use super::inst::{Dst, Inst, Src};
use super::memory::{as_src, plus};
use crate::arch::{Arch, LANES};

/// What products are summed up in.
pub(crate) trait Sum: Copy + Default {
    /// Registers it takes.
    const DWORDS: usize;
    fn from_raw(raw: u64) -> Self;
    fn to_raw(self) -> u64;
    /// `self * b + c`, one step.
    fn step(self, b: Self, c: Self) -> Self;
    /// Zero in place of what is smaller than `normal`.
    fn flush(self, normal: f32) -> Self;
    fn negate(self) -> Self;
}

impl Sum for f32 {
    const DWORDS: usize = 1;
    #[inline(always)]
    fn from_raw(raw: u64) -> f32 {
        f32::from_bits(raw as u32)
    }
    #[inline(always)]
    fn to_raw(self) -> u64 {
        u64::from(self.to_bits())
    }
    #[inline(always)]
    fn step(self, b: f32, c: f32) -> f32 {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn flush(self, normal: f32) -> f32 {
        if self.abs() < normal { 0f32.copysign(self) } else { self }
    }
    #[inline(always)]
    fn negate(self) -> f32 {
        -self
    }
}

impl Sum for f64 {
    const DWORDS: usize = 2;
    #[inline(always)]
    fn from_raw(raw: u64) -> f64 {
        f64::from_bits(raw)
    }
    #[inline(always)]
    fn to_raw(self) -> u64 {
        self.to_bits()
    }
    #[inline(always)]
    fn step(self, b: f64, c: f64) -> f64 {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn flush(self, _: f32) -> f64 {
        self
    }
    #[inline(always)]
    fn negate(self) -> f64 {
        -self
    }
}

impl Sum for i32 {
    const DWORDS: usize = 1;
    #[inline(always)]
    fn from_raw(raw: u64) -> i32 {
        raw as i32
    }
    #[inline(always)]
    fn to_raw(self) -> u64 {
        u64::from(self as u32)
    }
    #[inline(always)]
    fn step(self, b: i32, c: i32) -> i32 {
        self.wrapping_mul(b).wrapping_add(c)
    }
    #[inline(always)]
    fn flush(self, _: f32) -> i32 {
        self
    }
    #[inline(always)]
    fn negate(self) -> i32 {
        self.wrapping_neg()
    }
}

/// An element of A or B in its register.
pub(crate) trait Element {
    /// Bits it takes.
    const BITS: usize;
    /// What it becomes.
    type Sum: Sum;
    /// Its smallest normal number, where gfx90a flushes denormals.
    const FLUSHED_ON_GFX90A: Option<f32>;
    fn widen(bits: u64) -> Self::Sum;
}

macro_rules! element {
    ($($(#[$doc:meta])* $name:ident $bits:literal $sum:ty, $flushed:expr, |$x:ident| $widen:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;
        impl Element for $name {
            const BITS: usize = $bits;
            type Sum = $sum;
            const FLUSHED_ON_GFX90A: Option<f32> = $flushed;
            #[inline(always)]
            fn widen($x: u64) -> $sum { $widen }
        }
    )*};
}

element! {
    /// `f32`.
    Single 32 f32, None, |x| f32::from_bits(x as u32);
    /// `f32` of which eleven significant bits count; the rest is rounded off.
    Xf32 32 f32, None, |x| round_off(x as u32, 13);
    /// `f64`.
    Double 64 f64, None, |x| f64::from_bits(x);
    /// IEEE half precision.
    F16 16 f32, Some(1.0 / 16384.0), |x| f16_to_f32(x as u16);
    /// The upper half of an `f32`.
    Bf16 16 f32, Some(f32::MIN_POSITIVE), |x| f32::from_bits((x as u32) << 16);
    /// Signed byte.
    I8 8 i32, None, |x| i32::from(x as i8);
    /// Float of four exponent bits, without infinities or negative zero.
    Fp8 8 f32, None, |x| super::float8::fp8_to_f32(x as u8);
    /// Float of five exponent bits, without infinities or negative zero.
    Bf8 8 f32, None, |x| super::float8::bf8_to_f32(x as u8);
}

/// Rounds the last `bits` bits of a float's mantissa off, to nearest even.
#[inline(always)]
fn round_off(x: u32, bits: u32) -> f32 {
    let odd = x >> bits & 1;
    let rounded = x.wrapping_add((1 << (bits - 1)) - 1 + odd) & !((1 << bits) - 1);
    f32::from_bits(if f32::from_bits(x).is_nan() { x } else { rounded })
}

/// Elements a lane holds of A or B at most: sixteen bytes.
const HELD: usize = 16;
/// Elements of A or B over all lanes at most.
const OPERAND: usize = LANES * HELD;
/// Elements of C and D over all lanes at most.
const RESULT: usize = LANES * 32;

/// Where elements lie, for a product of `m` rows in `blocks` blocks with `held` elements of A in a lane.
#[derive(Clone, Copy)]
struct Layout {
    m: usize,
    blocks: usize,
    double: bool,
}

impl Layout {
    /// Parts of the inner dimension that different lanes hold.
    const fn parts(self) -> usize {
        LANES / (self.m * self.blocks)
    }

    /// Returns block, row (column of B), and part of the inner dimension that a lane holds.
    #[inline(always)]
    const fn operand(self, lane: usize) -> (usize, usize, usize) {
        let (row, rest) = (lane % self.m, lane / self.m);
        if self.double && self.m == 4 {
            // The one layout whose blocks are nearer than its inner dimension.
            (rest % self.blocks, row, rest / self.blocks)
        } else {
            (rest / self.parts(), row, rest % self.parts())
        }
    }

    /// Returns block, row and column of D that register `v` of a lane holds.
    #[inline(always)]
    const fn result(self, v: usize, lane: usize) -> (usize, usize, usize) {
        let (column, rest) = (lane % self.m, lane / self.m);
        match (self.m, self.double) {
            (4, true) => (rest % self.blocks, rest / self.blocks, column),
            (4, false) => (rest, v, column),
            (_, true) => (0, LANES / self.m * v + rest, column),
            (m, false) => {
                let registers = m * m / LANES;
                let (block, v) = (v / registers, v % registers);
                (block, 4 * (LANES / m) * (v / 4) + 4 * rest + v % 4, column)
            }
        }
    }
}

/// The lane whose part of B a lane gets, by the instruction's `blgp`.
#[inline(always)]
const fn lane_of_b(blgp: u8, lane: usize) -> usize {
    match blgp {
        1 => lane & 31,
        2 => lane & 31 | 32,
        3 => (lane + 16) % LANES,
        4..=7 => lane % 16 + 16 * (blgp as usize - 4),
        _ => lane,
    }
}

impl Cx<'_> {
    /// Element `e` of a lane's part of an operand.
    #[inline(always)]
    fn element<E: Element>(&self, words: &[[u32; LANES]; 4], lane: usize, e: usize) -> E::Sum {
        let at = e * E::BITS;
        let word = u64::from(words[at / 32][lane]);
        let raw = if E::BITS == 64 { word | u64::from(words[at / 32 + 1][lane]) << 32 } else { word >> (at % 32) };
        let value = E::widen(raw);
        match (E::FLUSHED_ON_GFX90A, self.arch) {
            (Some(normal), Arch::Gfx90a) => value.flush(normal),
            _ => value,
        }
    }

    /// The registers of A or B.
    #[inline(always)]
    fn matrix_words(&self, src: Src, dwords: usize) -> [[u32; LANES]; 4] {
        core::array::from_fn(|d| if d < dwords { self.lanes(src, d) } else { [0; LANES] })
    }

    /// C, by block, row and column.
    #[inline(always)]
    fn addend<S: Sum>(&self, src: Src, layout: Layout, into: &mut [S; RESULT]) {
        for v in 0..layout.m * layout.m * layout.blocks / LANES {
            let word = |d: usize| match src {
                // A constant is every element.
                Src::K(k) => [(k >> (32 * d)) as u32; LANES],
                _ => self.lanes(src, v * S::DWORDS + d),
            };
            let (low, high) = (word(0), if S::DWORDS == 2 { word(1) } else { [0; LANES] });
            for lane in 0..LANES {
                let (block, row, column) = layout.result(v, lane);
                let raw = u64::from(low[lane]) | u64::from(high[lane]) << 32;
                into[((block * layout.m + row) * layout.m + column) % RESULT] = S::from_raw(raw);
            }
        }
    }

    /// Writes D.
    #[inline(always)]
    fn set_result<S: Sum>(&mut self, dst: Dst, layout: Layout, from: &[S; RESULT]) {
        for v in 0..layout.m * layout.m * layout.blocks / LANES {
            let (mut low, mut high) = ([0; LANES], [0; LANES]);
            for lane in 0..LANES {
                let (block, row, column) = layout.result(v, lane);
                let raw = from[((block * layout.m + row) * layout.m + column) % RESULT].to_raw();
                (low[lane], high[lane]) = (raw as u32, (raw >> 32) as u32);
            }
            *self.row_mut(plus(dst, v * S::DWORDS), 0) = low;
            if S::DWORDS == 2 {
                *self.row_mut(plus(dst, v * S::DWORDS + 1), 0) = high;
            }
        }
    }

    /// `D = C + A * B` in `BLOCKS` blocks of `M` rows and columns; a lane holds `HELD` elements of each operand.
    #[inline(always)]
    pub(crate) fn mfma<A, B, const M: usize, const BLOCKS: usize, const HELD: usize>(&mut self, i: &Inst) -> Flow
    where
        A: Element,
        B: Element<Sum = A::Sum>,
    {
        let double = A::BITS == 64;
        let layout = Layout { m: M, blocks: BLOCKS, double };
        let inner = HELD * layout.parts();
        // Doubles have no lane pattern for B: gfx942 uses its bits for signs.
        let (blgp, negate) = match (double, self.arch) {
            (false, _) => (i.op_sel_hi, 0),
            (true, Arch::Gfx942) => (0, i.op_sel_hi),
            (true, Arch::Gfx90a) if i.op_sel_hi == 0 => (0, 0),
            (true, Arch::Gfx90a) => return self.unsupported_form(i, "a lane pattern for a product of doubles"),
        };
        let (a_words, b_words) =
            (self.matrix_words(i.src[0], HELD * A::BITS / 32), self.matrix_words(i.src[1], HELD * B::BITS / 32));
        let (mut a, mut b) = ([A::Sum::default(); OPERAND], [A::Sum::default(); OPERAND]);
        for lane in 0..LANES {
            let (block, row, part) = layout.operand(lane);
            for e in 0..HELD {
                let k = part * HELD + e;
                a[((block * M + row) * inner + k) % OPERAND] = self.element::<A>(&a_words, lane, e);
                b[((block * inner + k) * M + row) % OPERAND] = self.element::<B>(&b_words, lane_of_b(blgp, lane), e);
            }
        }
        for (bit, operand) in [&mut a, &mut b].into_iter().enumerate() {
            if negate >> bit & 1 == 1 {
                operand.iter_mut().for_each(|x| *x = x.negate());
            }
        }
        let mut sum = [A::Sum::default(); RESULT];
        self.addend(i.src[2], layout, &mut sum);
        if negate >> 2 & 1 == 1 {
            sum.iter_mut().for_each(|x| *x = x.negate());
        }
        let flush = A::FLUSHED_ON_GFX90A.is_some() && self.arch == Arch::Gfx90a;
        if flush {
            sum.iter_mut().for_each(|x| *x = x.flush(f32::MIN_POSITIVE));
        }
        // `cbsz` and `abid`: 2^cbsz neighbouring blocks all take A from the one among them that abid names.
        let (shared, chosen) = ((1usize << (i.op_sel & 7).min(4)).min(BLOCKS), usize::from(i.op_sel >> 3 & 15));
        for block in 0..BLOCKS {
            let block_of_a = block / shared * shared + chosen % shared;
            let b = &b[block * inner * M..][..inner * M];
            for row in 0..M {
                let a = &a[(block_of_a * M + row) * inner..][..inner];
                let sums = &mut sum[(block * M + row) * M..][..M];
                for (a, b) in a.iter().zip(b.chunks_exact(M)) {
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = a.step(*b, *sum);
                    }
                }
            }
        }
        if flush {
            sum.iter_mut().for_each(|x| *x = x.flush(f32::MIN_POSITIVE));
        }
        self.set_result(i.dst, layout, &sum);
        Flow::Next
    }

    /// `D += A * B` where A has two elements of every four, at places that the third operand gives: one block of `M` rows and
    /// columns; a lane holds `HELD` elements of A and twice as many of B.
    #[inline(always)]
    pub(crate) fn smfmac<A, B, const M: usize, const HELD: usize>(&mut self, i: &Inst) -> Flow
    where
        A: Element,
        B: Element<Sum = A::Sum>,
    {
        let layout = Layout { m: M, blocks: 1, double: false };
        let (inner, dense) = (HELD * layout.parts(), 2 * HELD * layout.parts());
        let (a_words, b_words) =
            (self.matrix_words(i.src[0], HELD * A::BITS / 32), self.matrix_words(i.src[1], 2 * HELD * B::BITS / 32));
        // Two bits an element: with cbsz zero, abid says which of a register's sets it is.
        let set = if i.op_sel & 3 == 0 { usize::from(i.op_sel >> 3) % (16 / HELD) } else { 0 };
        let index = self.lanes(i.src[2], 0).map(|x| x >> (2 * HELD * set));
        let (mut a, mut b) = ([A::Sum::default(); OPERAND], [A::Sum::default(); OPERAND]);
        let mut place = [0usize; OPERAND];
        for (lane, index) in index.into_iter().enumerate() {
            let (_, row, part) = layout.operand(lane);
            for e in 0..HELD {
                let at = (row * inner + part * HELD + e) % OPERAND;
                a[at] = self.element::<A>(&a_words, lane, e);
                place[at] = 2 * HELD * part + 4 * (e / 2) + (index >> (2 * e) & 3) as usize;
            }
            for e in 0..2 * HELD {
                b[((2 * HELD * part + e) * M + row) % OPERAND] = self.element::<B>(&b_words, lane, e);
            }
        }
        let mut sum = [A::Sum::default(); RESULT];
        self.addend(as_src(i.dst), layout, &mut sum);
        for row in 0..M {
            let sums = &mut sum[row * M..][..M];
            let (a, place) = (&a[row * inner..][..inner], &place[row * inner..][..inner]);
            for (a, place) in a.iter().zip(place) {
                for (sum, b) in sums.iter_mut().zip(&b[place % dense * M..][..M]) {
                    *sum = a.step(*b, *sum);
                }
            }
        }
        self.set_result(i.dst, layout, &sum);
        Flow::Next
    }
}
