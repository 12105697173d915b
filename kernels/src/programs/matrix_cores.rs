//! `mfma_f32`, `mfma_f16`, `mfma_i8`, `mfma_f64`: products on the matrix cores, a wave a matrix.
//!
//! Elements are chosen so that every sum is exact whatever its order: hardware does not say in which it adds.

use crate::case::{Buffer, Element, items};
use crate::random::Random;
use crate::{Kernel, Sizes};

const SIZES: Sizes = Sizes { unit: "matrices", small: 3, default: 256, max: 1 << 16 };

pub(crate) const F32: Kernel = super::kernel!(
    "mfma_f32",
    "products of 32x32 matrices on the matrix cores, single precision",
    SIZES,
    |matrices, seed| {
        let mut random = Random::new(seed);
        // Multiples of 1/8 below 8: products and sums of 32 of them fit 24 bits.
        let mut matrix =
            || -> Vec<f32> { (0..matrices * 1024).map(|_| random.below(0, 128) as f32 / 8.0 - 8.0).collect() };
        let (a, b, c) = (matrix(), matrix(), matrix());
        let buffers = vec![
            Buffer::input_f32("a", &a),
            Buffer::input_f32("b", &b),
            Buffer::input_f32("c", &c),
            Buffer::output("d", Element::F32, (matrices * 1024) as usize),
        ];
        items("mfma_f32", 64 * matrices, 64, buffers, &[], |before| {
            let (a, b, mut d) = (before[0].f32s(), before[1].f32s(), before[2].f32s());
            for (at, d) in d.iter_mut().enumerate() {
                let (matrix, row, column) = (at / 1024 * 1024, at / 32 % 32, at % 32);
                *d += (0..32).map(|k| a[matrix + row * 32 + k] * b[matrix + k * 32 + column]).sum::<f32>();
            }
            vec![(3, before[3].expect_f32(&d))]
        })
    }
);

pub(crate) const F16: Kernel = super::kernel!(
    "mfma_f16",
    "products of 16x16 matrices on the matrix cores, the same bits as halves and as bfloat16",
    SIZES,
    |matrices, seed| {
        let mut random = Random::new(seed);
        // Few mantissa bits and close exponents in either reading.
        let mut matrix = || -> Vec<u32> {
            let mut element = || (0x3c00 | random.below(0, 4) << 8) | random.below(0, 2) << 15;
            (0..matrices * 128).map(|_| element() | element() << 16).collect()
        };
        let buffers = vec![
            Buffer::input_u32("a", &matrix()),
            Buffer::input_u32("b", &matrix()),
            Buffer::output("d", Element::F32, (matrices * 512) as usize),
        ];
        items("mfma_f16", 64 * matrices, 64, buffers, &[], |before| {
            let (a, b) = (before[0].u32s(), before[1].u32s());
            // 1.mm for 0x3cmm..0x3f00 as halves.
            let half = |x: u32| (1.0 + (x >> 8 & 3) as f32 / 4.0) * if x >> 15 & 1 == 1 { -1.0 } else { 1.0 };
            let brain = |x: u32| f32::from_bits(x << 16);
            let element = |m: &[u32], at: usize| m[at / 2] >> (16 * (at % 2)) & 0xffff;
            let mut d = Vec::new();
            for matrix in 0..a.len() / 128 {
                for read in [&half as &dyn Fn(u32) -> f32, &brain] {
                    for at in 0..256 {
                        let product = |k: usize| {
                            let (a, b) = (
                                element(&a, matrix * 256 + at / 16 * 16 + k),
                                element(&b, matrix * 256 + at % 16 * 16 + k),
                            );
                            read(a) * read(b)
                        };
                        d.push((0..16).map(product).sum::<f32>());
                    }
                }
            }
            vec![(2, before[2].expect_f32(&d))]
        })
    }
);

pub(crate) const I8: Kernel = super::kernel!(
    "mfma_i8",
    "products of 16x32 and 32x16 matrices of bytes on the matrix cores",
    SIZES,
    |matrices, seed| {
        let mut random = Random::new(seed);
        let mut matrix = || -> Vec<u32> { (0..matrices * 128).map(|_| random.u32()).collect() };
        let buffers = vec![
            Buffer::input_u32("a", &matrix()),
            Buffer::input_u32("b", &matrix()),
            Buffer::output("d", Element::U32, (matrices * 256) as usize),
        ];
        items("mfma_i8", 64 * matrices, 64, buffers, &[], |before| {
            let (a, b) = (&before[0].bytes, &before[1].bytes);
            let product = |at: usize| {
                let (row, column) = (at / 16 * 32, at / 256 * 512 + at % 16 * 32);
                (0..32).map(|k| i32::from(a[row + k] as i8) * i32::from(b[column + k] as i8)).sum::<i32>() as u32
            };
            let d: Vec<u32> = (0..a.len() / 2).map(product).collect();
            vec![(2, before[2].expect_u32(&d))]
        })
    }
);

pub(crate) const F64: Kernel =
    super::kernel!("mfma_f64", "products of 16x16 matrices of doubles on the matrix cores", SIZES, |matrices, seed| {
        let mut random = Random::new(seed);
        let mut matrix = || -> Vec<u32> {
            let element = |x: u32| (f64::from(x) / 1024.0 - 512.0).to_bits();
            (0..matrices * 256)
                .map(|_| element(random.below(0, 1 << 20)))
                .flat_map(|x| [x as u32, (x >> 32) as u32])
                .collect()
        };
        let buffers = vec![
            Buffer::input_u32("a", &matrix()),
            Buffer::input_u32("b", &matrix()),
            Buffer::output("d", Element::U32, (matrices * 512) as usize),
        ];
        items("mfma_f64", 64 * matrices, 64, buffers, &[], |before| {
            let (a, b) = (before[0].f64s(), before[1].f64s());
            let product = |at: usize| {
                let (matrix, row, column) = (at / 256 * 256, at / 16 % 16, at % 16);
                (0..16).map(|k| a[matrix + row * 16 + k] * b[matrix + k * 16 + column]).sum::<f64>()
            };
            let d: Vec<f64> = (0..a.len()).map(product).collect();
            vec![(2, before[2].expect_f64(&d))]
        })
    });
