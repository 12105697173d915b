//! Integer programs: `divide`, `wide`, `bits`, `narrow`, `collatz`, `table`, `vector_index`, `sha256`, `lcs`.

use crate::case::{Buffer, Element, items};
use crate::random::Random;
use crate::{Kernel, Sizes};

const SIZES: Sizes = Sizes { unit: "elements", small: 333, default: 1 << 14, max: 1 << 22 };

fn words(random: &mut Random, n: u32) -> Vec<u32> {
    // Edges among anything.
    let mut word = || match random.below(0, 8) {
        0 => [0, 1, u32::MAX, 0x8000_0000, 0x7fff_ffff, 0xffff, 0x0001_0000, 0xff][random.below(0, 8) as usize],
        _ => random.u32(),
    };
    (0..n).map(|_| word()).collect()
}

pub(crate) const DIVIDE: Kernel = super::kernel!(
    "divide",
    "integer quotients and remainders of 32 and 64 bits: reciprocals and corrections",
    SIZES,
    |n, seed| {
        let mut random = Random::new(seed);
        let a = words(&mut random, 2 * n);
        // Divisors of any length, whose halves are not zero.
        let b: Vec<u32> = (0..2 * n).map(|_| random.u32() >> random.below(0, 32) | 1).collect();
        let b: Vec<u32> = b.into_iter().enumerate().map(|(k, x)| if k % 4 == 3 { 0 } else { x }).collect();
        let buffers = vec![
            Buffer::input_u32("a", &a),
            Buffer::input_u32("b", &b),
            Buffer::output("out", Element::U32, 8 * n as usize),
        ];
        items("divide", n, 64, buffers, &[n], |before| {
            let mut out = Vec::new();
            for (x, y) in std::iter::zip(before[0].u64s(), before[1].u64s()) {
                let (small, by) = (x as u32, y as u32);
                let signed = (small >> 1) as i32;
                let remainder = ((x >> 1) as i64).wrapping_rem(y as i64);
                out.extend([small / by, small % by]);
                out.extend([signed.wrapping_div(by as i32) as u32, signed.wrapping_rem(by as i32) as u32]);
                out.extend([(x / y) as u32, ((x / y) >> 32) as u32, remainder as u32, (remainder >> 32) as u32]);
            }
            vec![(2, before[2].expect_u32(&out))]
        })
    }
);

pub(crate) const WIDE: Kernel =
    super::kernel!("wide", "64-bit products, shifts, rotations, comparisons and counts of bits", SIZES, |n, seed| {
        let mut random = Random::new(seed);
        let (a, b) = (words(&mut random, 2 * n), words(&mut random, 2 * n));
        let buffers = vec![
            Buffer::input_u32("a", &a),
            Buffer::input_u32("b", &b),
            Buffer::output("out", Element::U32, 12 * n as usize),
        ];
        items("wide", n, 64, buffers, &[n], |before| {
            let mut out = Vec::new();
            for (x, y) in std::iter::zip(before[0].u64s(), before[1].u64s()) {
                let by = (y & 63) as u32;
                let order = u64::from(x < y) + 2 * u64::from((x as i64) < y as i64) + 4 * u64::from(x == y);
                out.extend([
                    x.wrapping_mul(y),
                    ((u128::from(x) * u128::from(y)) >> 64) as u64,
                    x.rotate_left(by),
                    (x as i64 >> by) as u64,
                    order.wrapping_add(x.abs_diff(y) << 3),
                    u64::from(x.count_ones() | x.leading_zeros() << 8 | y.trailing_zeros() << 16),
                ]);
            }
            vec![(2, before[2].expect_u64(&out))]
        })
    });

pub(crate) const BITS: Kernel = super::kernel!(
    "bits",
    "bit fields, funnel shifts, reversal, first and last one, parity, spreading",
    SIZES,
    |n, seed| {
        let buffers = vec![
            Buffer::input_u32("in", &words(&mut Random::new(seed), n)),
            Buffer::output("out", Element::U32, 8 * n as usize),
        ];
        items("bits", n, 64, buffers, &[n], |before| {
            let input = before[0].u32s();
            let mut out = Vec::new();
            for (x, y) in std::iter::zip(input.iter().copied(), input.iter().rev().copied()) {
                let (offset, width) = (y & 31, y >> 5 & 31);
                let both = u64::from(x) << 32 | u64::from(y);
                // Fields bit by bit: beyond the word there are zeros, or the sign's copies.
                let bit = |k: u32| u32::from(offset + k < 32 && x >> (offset + k) & 1 == 1);
                let field = (0..width).fold(0, |field, k| field | bit(k) << k);
                let shifted = (x as i32) >> offset;
                let signed = if width == 0 { 0 } else { shifted << (32 - width) >> (32 - width) };
                let spread = (0..16).fold(0, |spread, k| spread | (x >> k & 1) << (2 * k));
                out.extend([
                    field,
                    signed as u32,
                    x & 0x00ff_ff00 | y & 0xff00_00ff,
                    (both >> offset) as u32,
                    x.reverse_bits().wrapping_add((both >> (8 * (y & 3))) as u32),
                    if x == 0 { 77 } else { x.leading_zeros() << 8 | x.trailing_zeros() },
                    (x ^ y).count_ones() & 1,
                    spread,
                ]);
            }
            vec![(1, before[1].expect_u32(&out))]
        })
    }
);

pub(crate) const NARROW: Kernel = super::kernel!(
    "narrow",
    "bytes and halves with and without sign, byte permutations, sums of absolute differences",
    SIZES,
    |n, seed| {
        let mut random = Random::new(seed);
        let mut bytes = |n: u32| -> Vec<u8> { (0..n).map(|_| random.u32() as u8).collect() };
        let (bytes, shorts) = (bytes(n), bytes(2 * n));
        let buffers = vec![
            Buffer::input_bytes("bytes", bytes),
            Buffer::input_bytes("shorts", shorts),
            Buffer::output("bytes_out", Element::U32, n.div_ceil(4) as usize),
            Buffer::output("shorts_out", Element::U32, n.div_ceil(2) as usize),
            Buffer::output("words_out", Element::U32, 2 * n as usize),
        ];
        items("narrow", n, 64, buffers, &[n], |before| {
            let n = before[4].u32s().len() / 2 - crate::case::GUARD_WORDS / 2;
            let (mut bytes, mut shorts, mut words) = (Vec::new(), Vec::new(), Vec::new());
            for k in 0..n {
                let byte = before[0].bytes[k];
                let short = i16::from_le_bytes([before[1].bytes[2 * k], before[1].bytes[2 * k + 1]]);
                bytes.push(byte.wrapping_add(short as u8));
                shorts.extend(short.wrapping_mul(i16::from(byte as i8)).to_le_bytes());
                let word = u32::from(byte) | (i32::from(short) as u32) << 8;
                let other = (i32::from(byte as i8) as u32).wrapping_mul(0x0103_0507);
                let (w, o) = (word.to_le_bytes(), other.to_le_bytes());
                let sum: u32 = std::iter::zip(w, o).map(|(a, b)| u32::from(a.abs_diff(b))).sum();
                words.push(word.swap_bytes() ^ (sum + u32::from(byte)));
                let permuted = u32::from_le_bytes([w[2], o[3], w[1], 0]);
                let up = [1, 0, 1, 1];
                let mean: [u8; 4] = std::array::from_fn(|k| ((u16::from(w[k]) + u16::from(o[k]) + up[k]) / 2) as u8);
                words.push(permuted.wrapping_add(u32::from_le_bytes(mean)));
            }
            vec![
                (2, before[2].expect_bytes(&bytes)),
                (3, before[3].expect_bytes(&shorts)),
                (4, before[4].expect_u32(&words)),
            ]
        })
    }
);

pub(crate) const COLLATZ: Kernel = super::kernel!(
    "collatz",
    "steps of 3x + 1 until 1: every lane leaves its loop at its own time",
    Sizes { unit: "numbers", small: 200, default: 1 << 12, max: 1 << 22 },
    |n, seed| {
        let start = Random::new(seed).below(1, 1000);
        let buffers = vec![Buffer::output("steps", Element::U32, n as usize), Buffer::input_u32("start", &[start])];
        items("collatz", n, 64, buffers, &[n], |before| {
            let start = u64::from(before[1].u32s()[0]);
            let n = before[0].u32s().len() - crate::case::GUARD_WORDS;
            let next = |x: u64| if x.is_multiple_of(2) { x / 2 } else { 3 * x + 1 };
            let steps = |x: u64| std::iter::successors(Some(x), |&x| (x != 1).then(|| next(x))).count() as u32 - 1;
            let steps: Vec<u32> = (start..).take(n).map(steps).collect();
            vec![(0, before[0].expect_u32(&steps))]
        })
    }
);

pub(crate) const TABLE: Kernel =
    super::kernel!("table", "one of four functions, chosen lane by lane: indirect calls", SIZES, |n, seed| {
        let buffers = vec![
            Buffer::input_u32("in", &words(&mut Random::new(seed), n)),
            Buffer::output("out", Element::U32, n as usize),
        ];
        items("table", n, 64, buffers, &[n], |before| {
            let function = |x: u32| match x % 4 {
                0 => x.wrapping_mul(x),
                1 => x.reverse_bits(),
                2 => !x,
                _ => (x ^ x >> 15).wrapping_mul(0x2c1b_3c6d),
            };
            vec![(1, before[1].expect_u32(&before[0].u32s().into_iter().map(function).collect::<Vec<_>>()))]
        })
    });

pub(crate) const VECTOR_INDEX: Kernel = super::kernel!(
    "vector_index",
    "sixteen registers of which one is read and one written by index",
    Sizes { unit: "elements", small: 1100, default: 1 << 14, max: 1 << 22 },
    |n, seed| {
        let buffers = vec![
            Buffer::input_u32("in", &words(&mut Random::new(seed), n)),
            Buffer::output("out", Element::U32, n as usize),
        ];
        items("vector_index", n, 64, buffers, &[n], |before| {
            let sum = |(index, x): (usize, u32)| {
                let group = index / 64;
                let mut v: Vec<u32> = (0..16).map(|k| x.wrapping_mul(2 * k + 1)).collect();
                v[group % 16] = 1000;
                let weighted = v.iter().zip(1..).fold(0u32, |sum, (v, k)| sum.wrapping_add(v.wrapping_mul(k)));
                weighted.wrapping_add(v[(7 * group + 3) % 16])
            };
            let out: Vec<u32> = before[0].u32s().into_iter().enumerate().map(sum).collect();
            vec![(1, before[1].expect_u32(&out))]
        })
    }
);

pub(crate) const SHA256: Kernel = super::kernel!(
    "sha256",
    "the SHA-256 compression of a block a work-item: rotations and additions",
    Sizes { unit: "blocks", small: 100, default: 1 << 13, max: 1 << 20 },
    |n, seed| {
        let mut random = Random::new(seed);
        let blocks: Vec<u32> = (0..16 * n).map(|_| random.u32()).collect();
        let buffers =
            vec![Buffer::input_u32("blocks", &blocks), Buffer::output("digests", Element::U32, 8 * n as usize)];
        items("sha256", n, 64, buffers, &[n], |before| {
            let digests: Vec<u32> = before[0].u32s().chunks_exact(16).flat_map(compress).collect();
            vec![(1, before[1].expect_u32(&digests))]
        })
    }
);

/// One compression from the initial hash value. The constants are computed from what they are: fractional parts of roots of primes.
fn compress(block: &[u32]) -> [u32; 8] {
    static CONSTANTS: std::sync::OnceLock<(Vec<u32>, Vec<u32>)> = std::sync::OnceLock::new();
    let (start, cubes) = CONSTANTS.get_or_init(|| {
        let primes = || (2u32..).filter(|p| (2..*p).all(|d| p % d != 0));
        (
            primes().take(8).map(|p| root_fraction(p, 2)).collect(),
            primes().take(64).map(|p| root_fraction(p, 3)).collect(),
        )
    });
    let mut w = block.to_vec();
    for k in 16..64 {
        let (x, y) = (w[k - 15], w[k - 2]);
        let s0 = x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
        let s1 = y.rotate_right(17) ^ y.rotate_right(19) ^ y >> 10;
        w.push(w[k - 16].wrapping_add(s0).wrapping_add(w[k - 7]).wrapping_add(s1));
    }
    let mut v: [u32; 8] = std::array::from_fn(|k| start[k]);
    for (k, w) in cubes.iter().zip(w) {
        let [a, b, c, d, e, f, g, h] = v;
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let t1 = h.wrapping_add(s1).wrapping_add(e & f | !e & g).wrapping_add(*k).wrapping_add(w);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add(a & b | a & c | b & c);
        v = [t1.wrapping_add(t2), a, b, c, d.wrapping_add(t1), e, f, g];
    }
    std::array::from_fn(|k| start[k].wrapping_add(v[k]))
}

/// The first 32 bits behind the point of a prime's root: those of the largest `x` with `x^power <= p * 2^(32 power)`.
fn root_fraction(p: u32, power: u32) -> u32 {
    let n = u128::from(p) << (32 * power);
    let fits = |x: u128| x.checked_pow(power).is_some_and(|y| y <= n);
    (0..40).rev().fold(0u128, |x, bit| if fits(x | 1 << bit) { x | 1 << bit } else { x }) as u32
}

pub(crate) const LCS: Kernel = super::kernel!(
    "lcs",
    "longest common subsequences by a table of bytes in private memory",
    Sizes { unit: "pairs", small: 70, default: 1 << 11, max: 1 << 20 },
    |n, seed| {
        let mut random = Random::new(seed);
        let mut letters = || -> Vec<u8> { (0..32 * n).map(|_| random.below(0, 4) as u8).collect() };
        let buffers = vec![
            Buffer::input_bytes("a", letters()),
            Buffer::input_bytes("b", letters()),
            Buffer::output("lengths", Element::U32, n as usize),
        ];
        items("lcs", n, 64, buffers, &[n], |before| {
            // Hyyrö's bit-parallel recurrence instead of the table.
            let length = |(a, b): (&[u8], &[u8])| {
                let mut v = u32::MAX;
                for x in a {
                    let matches = b.iter().enumerate().fold(0u32, |m, (k, y)| m | u32::from(x == y) << k);
                    let u = v & matches;
                    v = v.wrapping_add(u) | v.wrapping_sub(u);
                }
                v.count_zeros()
            };
            let pairs = before[0].bytes.chunks_exact(32).zip(before[1].bytes.chunks_exact(32));
            vec![(2, before[2].expect_u32(&pairs.map(length).collect::<Vec<_>>()))]
        })
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example "abc", padded.
    #[test]
    fn compression_is_sha256() {
        let mut block = [0; 16];
        (block[0], block[15]) = (0x6162_6380, 24);
        let digest = compress(&block);
        assert_eq!((digest[0], digest[7]), (0xba78_16bf, 0xf200_15ad));
    }
}
