//! Operands: the values at which instructions go wrong, and random ones between them.

use gcn::isa::Ty;

use crate::exact::{F16, F32, F64, Format};

/// SplitMix64: the same seed, the same operands.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Zeroes, denormals, the ends of the normal numbers, infinities, both kinds of NaN, halves that round, ends of the integers.
fn floats(format: Format) -> Vec<u64> {
    let Format { exponent, mantissa } = format;
    let bias = format.bias() as u64;
    let power = |e: i64| ((bias as i64 + e) as u64) << mantissa;
    let one = bias << mantissa;
    let mut list = vec![
        0,
        1,
        format.quiet(),
        (1 << mantissa) - 1,
        1 << mantissa,
        one,
        one - 1,
        one + 1,
        power(-1),
        power(-1) - 1,
        power(-1) | 1 << (mantissa - 1),
        power(0) | 1 << (mantissa - 1),
        power(1),
        power(1) | 1 << (mantissa - 2),
        power(4) | 3 << (mantissa - 4),
        format.infinity() - 1,
        format.infinity(),
        format.infinity() | format.quiet(),
        format.infinity() | 1,
    ];
    if exponent > 5 {
        // Around the largest integers of 8, 16, 24 and 32 bits, and powers whose square over- or underflows.
        list.extend([
            power(7),
            power(8) - 1,
            power(15),
            power(16),
            power(24),
            power(31) - 1,
            power(31),
            power(32),
            power(63),
        ]);
        list.extend([power(bias as i64 / 2 + 1), power(-(bias as i64) / 2 - 1), 0x1234_5678 | one]);
    }
    let negative: Vec<u64> = list.iter().map(|bits| bits | format.sign()).collect();
    list.extend(negative);
    list
}

const WORDS: [u64; 22] = [
    0,
    1,
    2,
    7,
    8,
    15,
    16,
    24,
    31,
    32,
    33,
    63,
    64,
    0x80,
    0x7fff,
    0x8000,
    0xffff,
    0x00ff_ffff,
    0x0080_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
];

/// Returns the interesting values of a type.
pub(crate) fn of(ty: Ty) -> Vec<u64> {
    let pairs = |list: Vec<u64>, width: u32| -> Vec<u64> {
        let second = list.iter().cycle().skip(5);
        list.iter().zip(second).map(|(low, high)| low | high << width).collect()
    };
    let words = || WORDS.iter().copied().chain([0x0102_0304, 0x55aa_a55a, 0xfedc_ba98]).collect::<Vec<_>>();
    match ty {
        Ty::F16 => floats(F16),
        Ty::F32 => floats(F32),
        Ty::F64 => floats(F64),
        Ty::PF16 => pairs(floats(F16), 16),
        Ty::PF32 => pairs(floats(F32), 32),
        Ty::B16 | Ty::I16 | Ty::U16 | Ty::P16 => pairs(words().into_iter().map(|x| x & 0xffff).collect(), 16),
        Ty::B64 | Ty::I64 | Ty::U64 | Ty::P32 | Ty::Mask => {
            let mut list = pairs(words(), 32);
            list.extend([0, 1, 1 << 32, 1 << 63, u64::MAX, i64::MAX as u64, 0xffff_ffff]);
            list
        }
        _ => words(),
    }
}

/// Passes over all pairs of two lists, a lane each, then random ones; the third operand is any of its own.
pub(crate) struct Operands {
    lists: [Vec<u64>; 3],
    random: Random,
}

/// Passes with operands that are half random.
const RANDOM_PASSES: usize = 6;

impl Operands {
    pub(crate) fn new(types: [Ty; 3], seed: u64) -> Operands {
        Operands { lists: types.map(of), random: Random(seed) }
    }

    /// Returns how many passes there are.
    pub(crate) fn passes(&self, lanes: usize) -> usize {
        (self.lists[0].len() * self.lists[1].len()).div_ceil(lanes) + RANDOM_PASSES
    }

    /// Returns the operands of one lane.
    pub(crate) fn lane(&mut self, pass: usize, lane: usize, lanes: usize) -> [u64; 3] {
        let [a, b, c] = &self.lists;
        let at = pass * lanes + lane;
        let any = |list: &Vec<u64>, random: u64| list[random as usize % list.len()];
        let random = [self.random.next(), self.random.next(), self.random.next()];
        if at < a.len() * b.len() {
            return [a[at % a.len()], b[at / a.len()], any(c, random[2])];
        }
        let coin = self.random.next();
        let pick = |k: usize, list: &Vec<u64>| {
            if coin >> k & 1 == 1 { any(list, random[k]) } else { random[k].rotate_left(17) }
        };
        [pick(0, a), pick(1, b), pick(2, c)]
    }

    /// Returns the lanes that are on in a pass: all of them while pairs are being tried, then some, one and none.
    pub(crate) fn exec(&mut self, pass: usize, passes: usize) -> u64 {
        match passes - pass {
            1 => 0,
            2 => 1 << (self.random.next() % 64),
            3 | 4 => self.random.next(),
            _ => !0,
        }
    }
}
