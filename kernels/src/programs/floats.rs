//! Floating-point programs: `doubles`, `halves`, `approximate`, `rounding`, `convert`, `fft`, `stencil`, `spmv`.

use crate::case::{Buffer, Case, Element, items};
use crate::check::Expected;
use crate::random::Random;
use crate::{Kernel, Sizes};

const SIZES: Sizes = Sizes { unit: "elements", small: 333, default: 1 << 14, max: 1 << 22 };

fn words_of(values: impl Iterator<Item = f64>) -> Vec<u32> {
    values.flat_map(|x| [x.to_bits() as u32, (x.to_bits() >> 32) as u32]).collect()
}

/// Rounds to half precision, ties to even; finite and not too large.
fn to_half(x: f64) -> u16 {
    // The distance of neighbours at x, or of denormals.
    let exponent = (x.abs().to_bits() >> 52) as i32 - 1023;
    let step = 2f64.powi(exponent.max(-14) - 10);
    let rounded = (x.abs() / step).round_ties_even() * step;
    let sign = u16::from(x.is_sign_negative()) << 15;
    // What is left are at most eleven bits, which a shift of the exponent takes to their place.
    sign | if rounded < 2f64.powi(-14) {
        (rounded * 2f64.powi(24)) as u16
    } else {
        ((rounded.to_bits() - (1008 << 52)) >> 42) as u16
    }
}

fn of_half(x: u16) -> f64 {
    let magnitude = match (x >> 10 & 31, f64::from(x & 0x3ff)) {
        (0, mantissa) => mantissa * 2f64.powi(-24),
        (exponent, mantissa) => (1024.0 + mantissa) * 2f64.powi(i32::from(exponent) - 25),
    };
    if x >> 15 == 1 { -magnitude } else { magnitude }
}

pub(crate) const DOUBLES: Kernel = super::kernel!(
    "doubles",
    "double precision: fused multiply-add, exact division, a polynomial",
    SIZES,
    |n, seed| {
        let mut random = Random::new(seed);
        let mut numbers = |wide: bool| {
            let mut number = || {
                let mantissa = f64::from_bits(random.u64() >> 12 | 1023 << 52);
                let exponent = if wide { random.below(0, 600) as i32 - 300 } else { random.below(0, 3) as i32 - 2 };
                if random.below(0, 2) == 0 { mantissa * 2f64.powi(exponent) } else { -mantissa * 2f64.powi(exponent) }
            };
            words_of((0..n).map(|_| number()))
        };
        let (x, y) = (numbers(false), numbers(true));
        let buffers = vec![
            Buffer::input_u32("x", &x),
            Buffer::input_u32("y", &y),
            Buffer::output("out", Element::U32, 6 * n as usize),
        ];
        items("doubles", n, 64, buffers, &[n], |before| {
            let mut out = Vec::new();
            for (x, y) in std::iter::zip(before[0].f64s(), before[1].f64s()) {
                let sum = (0..8u32).fold(0.125, |sum: f64, k| sum.mul_add(x, f64::from(k * k) - 3.0));
                out.extend([1.5f64.mul_add(x, y), x / y, sum]);
            }
            vec![(2, before[2].expect_f64(&out))]
        })
    }
);

pub(crate) const HALVES: Kernel =
    super::kernel!("halves", "pairs of halves: fused multiply-add, sums, differences, maxima", SIZES, |n, seed| {
        let mut random = Random::new(seed);
        // Multiples of 2^-10 below 2: products and sums are exact in f64. Some halves are denormals or zero.
        let mut half = || match random.below(0, 8) {
            0 => (random.u32() & 0x83ff) as u16,
            _ => to_half(f64::from(random.below(0, 4096)) / 1024.0 - 2.0),
        };
        let mut pairs = || -> Vec<u32> { (0..n).map(|_| u32::from(half()) | u32::from(half()) << 16).collect() };
        let buffers = vec![
            Buffer::input_u32("a", &pairs()),
            Buffer::input_u32("b", &pairs()),
            Buffer::input_u32("c", &pairs()),
            Buffer::output("out", Element::U32, 2 * n as usize),
        ];
        items("halves", n, 64, buffers, &[n], |before| {
            let mut out = Vec::new();
            let [a, b, c] = [0, 1, 2].map(|k| before[k].u32s());
            for ((a, b), c) in a.into_iter().zip(b).zip(c) {
                let both = |f: &dyn Fn(f64, f64, f64) -> u16| {
                    let of = |x: u32| of_half(x as u16);
                    u32::from(f(of(a), of(b), of(c))) | u32::from(f(of(a >> 16), of(b >> 16), of(c >> 16))) << 16
                };
                out.push(both(&|a, b, c| to_half(a * b + c)));
                out.push(both(&|a, b, c| {
                    let (sum, difference) = (to_half(a + c), to_half(b - c));
                    // Of two zeros the positive one is larger.
                    let below = |x: u16, y: u16| of_half(x) < of_half(y) || of_half(x) == of_half(y) && x >> 15 == 1;
                    if below(sum, difference) { difference } else { sum }
                }));
            }
            vec![(3, before[3].expect_u32(&out))]
        })
    });

pub(crate) const APPROXIMATE: Kernel = super::kernel!(
    "approximate",
    "reciprocals, roots, powers, logarithms, sines and cosines as the vector unit approximates them",
    SIZES,
    |n, seed| {
        let mut random = Random::new(seed);
        let numbers: Vec<f32> = (0..n).map(|_| 0.5 + random.below(0, 1 << 22) as f32 / 65536.0).collect();
        let buffers = vec![Buffer::input_f32("in", &numbers), Buffer::output("out", Element::F32, 7 * n as usize)];
        items("approximate", n, 64, buffers, &[n], |before| {
            let (mut value, mut within) = (Vec::new(), Vec::new());
            for x in before[0].f32s().into_iter().map(f64::from) {
                let turns = x * std::f64::consts::TAU;
                // One unit in the last place for roots and reciprocals; the others are given absolutely in the ISA documents' tables,
                // and their largest error there is below 2^-20 of the result or of one.
                for (exact, ulps) in [
                    (1.0 / x, 1.0),
                    (x.sqrt(), 1.0),
                    (1.0 / x.sqrt(), 1.0),
                    ((x - 8.0).exp2(), 2.0),
                    (x.log2(), 2.0),
                    (turns.sin(), 8.0),
                    (turns.cos(), 8.0),
                ] {
                    value.push(exact as f32);
                    within.push((ulps * exact.abs().max(1.0 / 64.0) * 2f64.powi(-23)) as f32);
                }
            }
            let guard = before[1].f32s().split_off(value.len());
            within.resize(value.len() + guard.len(), 0.0);
            value.extend(guard);
            vec![(1, Expected::Near { value, within })]
        })
    }
);

pub(crate) const ROUNDING: Kernel = super::kernel!(
    "rounding",
    "sums in four directions and a product without denormals: the MODE register",
    SIZES,
    |n, seed| {
        let mut random = Random::new(seed);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..n {
            // Close enough for an exact sum in f64; small enough now and then for a denormal product.
            let small = if random.below(0, 4) == 0 { 2f32.powi(-66) } else { 1.0 };
            a.push(random.unit() * small);
            b.push(random.unit() * small * 2f32.powi(-(random.below(0, 24) as i32)));
        }
        let buffers = vec![
            Buffer::input_f32("a", &a),
            Buffer::input_f32("b", &b),
            Buffer::output("out", Element::F32, 5 * n as usize),
        ];
        items("rounding", n, 64, buffers, &[n], |before| {
            let mut out = Vec::new();
            for (a, b) in std::iter::zip(before[0].f32s(), before[1].f32s()) {
                let exact = f64::from(a) + f64::from(b);
                let near = exact as f32;
                let up = if f64::from(near) < exact { near.next_up() } else { near };
                let down = if f64::from(near) > exact { near.next_down() } else { near };
                // Numbers that cancel leave the zero that the direction prefers.
                let down = if exact == 0.0 && !(a == 0.0 && a.to_bits() == b.to_bits()) { -0.0 } else { down };
                let flush = |x: f32| if x.is_subnormal() { 0f32.copysign(x) } else { x };
                out.extend([
                    up,
                    down,
                    if exact > 0.0 || exact == 0.0 && near.is_sign_positive() { down.abs() } else { up },
                ]);
                out.extend([near, flush(flush(a) * flush(b))]);
            }
            vec![(2, before[2].expect_f32(&out))]
        })
    }
);

pub(crate) const CONVERT: Kernel =
    super::kernel!("convert", "integers, halves, floats and doubles into each other", SIZES, |n, seed| {
        let mut random = Random::new(seed);
        let input: Vec<u32> = (0..n).map(|_| random.u32() >> random.below(0, 32)).collect();
        let buffers = vec![Buffer::input_u32("in", &input), Buffer::output("out", Element::U32, 8 * n as usize)];
        items("convert", n, 64, buffers, &[n], |before| {
            let mut out = Vec::new();
            for x in before[0].u32s() {
                let wide = u64::from(x) << 20 | u64::from(x >> 7);
                let double = wide.wrapping_sub(1 << 51) as i64 as f64;
                let scaled = x as i32 as f32 * 2f32.powi(-17);
                out.extend([(x as i32 as f32).to_bits(), (x as f32).to_bits(), (wide as f32).to_bits()]);
                out.extend([(double as f32).to_bits(), (double * 2f64.powi(-22)) as i32 as u32]);
                out.extend([((x >> 3) as f32 * 0.75) as u32, u32::from(to_half(f64::from(scaled)))]);
                out.push((of_half((x & 0x7bff) as u16) as f32).to_bits());
            }
            vec![(1, before[1].expect_u32(&out))]
        })
    });

pub(crate) const FFT: Kernel = super::kernel!(
    "fft",
    "Fourier transforms of 64 complex points: six stages in LDS",
    Sizes { unit: "transforms", small: 3, default: 256, max: 1 << 16 },
    |n, seed| {
        let mut random = Random::new(seed);
        let points: Vec<f32> = (0..128 * n).map(|_| random.unit()).collect();
        let factors: Vec<f32> = (0..32)
            .flat_map(|k| {
                let angle = -std::f64::consts::TAU * f64::from(k) / 64.0;
                [angle.cos() as f32, angle.sin() as f32]
            })
            .collect();
        let buffers = vec![
            Buffer::input_f32("in", &points),
            Buffer::input_f32("factors", &factors),
            Buffer::output("out", Element::F32, 128 * n as usize),
        ];
        items("fft", 64 * n, 64, buffers, &[], |before| {
            let factors: Vec<Complex> = before[1].f32s().chunks_exact(2).map(|c| (c[0], c[1])).collect();
            let mut out = Vec::new();
            for transform in before[0].f32s().chunks_exact(128) {
                let points: Vec<Complex> = transform.chunks_exact(2).map(|c| (c[0], c[1])).collect();
                out.extend(transformed(&points, &factors).into_iter().flat_map(|(re, im)| [re, im]));
            }
            vec![(2, before[2].expect_f32(&out))]
        })
    }
);

type Complex = (f32, f32);

/// The transform by its recursion: even and odd points apart, then together.
fn transformed(points: &[Complex], factors: &[Complex]) -> Vec<Complex> {
    if points.len() == 1 {
        return points.to_vec();
    }
    let half = points.len() / 2;
    let every_other = |from: usize| points.iter().copied().skip(from).step_by(2).collect::<Vec<_>>();
    let (even, odd) = (transformed(&every_other(0), factors), transformed(&every_other(1), factors));
    let turned = |k: usize| {
        let ((x, y), (c, s)) = (odd[k], factors[k * (32 / half)]);
        (x.mul_add(c, -(y * s)), x.mul_add(s, y * c))
    };
    let plus = |k: usize| (even[k].0 + turned(k).0, even[k].1 + turned(k).1);
    let minus = |k: usize| (even[k].0 - turned(k).0, even[k].1 - turned(k).1);
    (0..half).map(plus).chain((0..half).map(minus)).collect()
}

pub(crate) const STENCIL: Kernel = super::kernel!(
    "stencil",
    "means of four neighbours on a grid with a border",
    Sizes { unit: "columns", small: 45, default: 192, max: 8192 },
    |width, seed| {
        let height = width / 2 + 3;
        let mut random = Random::new(seed);
        let points: Vec<f32> = (0..width * height).map(|_| random.unit()).collect();
        let buffers = vec![
            Buffer::input_f32("in", &points),
            Buffer::output("out", Element::F32, (width * height) as usize),
            Buffer::input_u32("sides", &[width, height]),
        ];
        let case = items("stencil", 1, 1, buffers, &[], |before| {
            let (points, sides) = (before[0].f32s(), before[2].u32s());
            let (width, height) = (sides[0] as usize, sides[1] as usize);
            let mean = |at: usize| {
                let (x, y) = (at % width, at / width);
                if x == 0 || y == 0 || x == width - 1 || y == height - 1 {
                    return points[at];
                }
                ((points[at - 1] + points[at + 1]) + (points[at - width] + points[at + width])) / 4.0
            };
            vec![(1, before[1].expect_f32(&(0..points.len()).map(mean).collect::<Vec<_>>()))]
        });
        Case { grid: [width, height, 1], workgroup: [16, 4, 1], ..case }
    }
);

pub(crate) const SPMV: Kernel = super::kernel!(
    "spmv",
    "a sparse matrix times a vector: rows of any length, scattered loads",
    Sizes { unit: "rows", small: 150, default: 1 << 13, max: 1 << 20 },
    |rows, seed| {
        let mut random = Random::new(seed);
        let (mut starts, mut columns, mut values) = (vec![0u32], Vec::new(), Vec::new());
        for _ in 0..rows {
            for _ in 0..random.below(0, 12) {
                columns.push(random.below(0, rows));
                values.push(random.unit());
            }
            starts.push(columns.len() as u32);
        }
        // A matrix without a single entry is still a buffer.
        columns.push(0);
        values.push(0.0);
        let x: Vec<f32> = (0..rows).map(|_| random.unit()).collect();
        let buffers = vec![
            Buffer::input_u32("starts", &starts),
            Buffer::input_u32("columns", &columns),
            Buffer::input_f32("values", &values),
            Buffer::input_f32("x", &x),
            Buffer::output("y", Element::F32, rows as usize),
        ];
        items("spmv", rows, 64, buffers, &[rows], |before| {
            let (starts, columns) = (before[0].u32s(), before[1].u32s());
            let (values, x) = (before[2].f32s(), before[3].f32s());
            let row = |w: &[u32]| {
                (w[0] as usize..w[1] as usize).fold(0f32, |sum, k| values[k].mul_add(x[columns[k] as usize], sum))
            };
            vec![(4, before[4].expect_f32(&starts.windows(2).map(row).collect::<Vec<_>>()))]
        })
    }
);
