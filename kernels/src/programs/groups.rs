//! Programs of lanes, work-groups and grids: `scan`, `sort`, `lanes`, `atomics`, `global_sync`, `grid3d`, `life`.

use crate::case::{Buffer, Case, Element, bytes_of_f32, bytes_of_u32, items};
use crate::random::Random;
use crate::{Kernel, Sizes};

pub(crate) const SCAN: Kernel = super::kernel!(
    "scan",
    "running sums within blocks of 256: eight rounds in LDS",
    Sizes { unit: "elements", small: 1000, default: 1 << 16, max: 1 << 24 },
    |n, seed| {
        let mut random = Random::new(seed);
        let input: Vec<u32> = (0..n).map(|_| random.u32()).collect();
        let buffers = vec![Buffer::input_u32("in", &input), Buffer::output("out", Element::U32, n as usize)];
        items("scan", n.next_multiple_of(256), 256, buffers, &[n], |before| {
            let mut out = Vec::new();
            for block in before[0].u32s().chunks(256) {
                out.extend(block.iter().scan(0u32, |sum, x| {
                    *sum = sum.wrapping_add(*x);
                    Some(*sum)
                }));
            }
            vec![(1, before[1].expect_u32(&out))]
        })
    }
);

pub(crate) const SORT: Kernel = super::kernel!(
    "sort",
    "blocks of 256 words sorted by Batcher's network in LDS",
    Sizes { unit: "blocks", small: 3, default: 128, max: 1 << 16 },
    |blocks, seed| {
        let mut random = Random::new(seed);
        let values: Vec<u32> = (0..256 * blocks).map(|_| random.u32()).collect();
        let buffers = vec![Buffer::in_out("values", Element::U32, bytes_of_u32(&values))];
        items("sort", 256 * blocks, 256, buffers, &[], |before| {
            let words = before[0].u32s();
            let mut values: Vec<i32> = words[..words.len() / 256 * 256].iter().map(|&x| x as i32).collect();
            values.chunks_mut(256).for_each(<[i32]>::sort_unstable);
            vec![(0, before[0].expect_u32(&values.into_iter().map(|x| x as u32).collect::<Vec<_>>()))]
        })
    }
);

pub(crate) const LANES: Kernel = super::kernel!(
    "lanes",
    "exchanges between the lanes of a wave: DPP, permutes, swizzles, counting",
    Sizes { unit: "waves", small: 5, default: 512, max: 1 << 16 },
    |waves, seed| {
        let mut random = Random::new(seed);
        let input: Vec<u32> = (0..64 * waves).map(|_| random.u32()).collect();
        let buffers = vec![Buffer::input_u32("in", &input), Buffer::output("out", Element::U32, 384 * waves as usize)];
        items("lanes", 64 * waves, 64, buffers, &[], |before| {
            let mut out = Vec::new();
            for x in before[0].u32s().chunks_exact(64) {
                out.extend((0..64).map(|lane| x[..=lane].iter().fold(0u32, |sum, x| sum.wrapping_add(*x))));
                out.extend((0..64).map(|lane| x[(lane + 5) % 64]));
                out.extend(x.iter().rev());
                out.extend((0..64).map(|lane| x[lane ^ 3]));
                out.extend([x[0] ^ x[37]; 64]);
                out.extend((0..64).map(|lane| x[..lane].iter().filter(|x| *x % 2 == 1).count() as u32));
            }
            vec![(1, before[1].expect_u32(&out))]
        })
    }
);

pub(crate) const ATOMICS: Kernel = super::kernel!(
    "atomics",
    "every kind of atomic on global memory and LDS, 32 and 64 bits, integers and floats",
    Sizes { unit: "elements", small: 700, default: 1 << 13, max: 1 << 20 },
    |n, seed| {
        let mut random = Random::new(seed);
        let input: Vec<u32> = (0..n).map(|_| random.u32()).collect();
        // Where each kind begins: nothing, or everything.
        let counters = [5, 0x7fff_ffff, 0, u32::MAX, 0, 77, 3, 1, u32::MAX, 0];
        let wide = [9, 0, 0, 0, 1, 2, 0, 0];
        let buffers = vec![
            Buffer::input_u32("in", &input),
            Buffer::in_out("counters", Element::U32, bytes_of_u32(&counters)),
            Buffer::in_out("wide_counters", Element::U32, bytes_of_u32(&wide)),
            Buffer::in_out("floats", Element::F32, bytes_of_f32(&[0.5, 0.0])),
        ];
        items("atomics", n.next_multiple_of(128), 128, buffers, &[n], |before| {
            let (mut c, mut w, mut f) = (before[1].u32s(), before[2].u64s(), before[3].f32s());
            for x in before[0].u32s() {
                let wide = u64::from(x);
                c[0] = c[0].wrapping_add(x);
                c[1] = (c[1] as i32).min(x as i32) as u32;
                c[2] = c[2].max(x);
                c[3] &= x | 0xff;
                c[4] |= x & 0xf0f0_f0f0;
                c[5] ^= x;
                c[6] += x & 15;
                c[7] = c[7].wrapping_add(x);
                c[8] = c[8].min(x);
                c[9] |= x;
                w[0] = w[0].wrapping_add(wide << 20);
                w[1] = w[1].max(wide << 31 | wide);
                w[2] ^= wide * wide;
                w[3] += wide * 3;
                f[0] += (x & 15) as f32;
                f[1] += (x & 7) as f32;
            }
            vec![
                (1, before[1].expect_u32(&c[..10])),
                (2, before[2].expect_u64(&w[..4])),
                (3, before[3].expect_f32(&f[..2])),
            ]
        })
    }
);

/// Rounds of `global_sync`.
const ROUNDS: u32 = 5;

pub(crate) const GLOBAL_SYNC: Kernel = super::kernel!(
    "global_sync",
    "rounds of a barrier over the whole grid by global wave sync",
    Sizes { unit: "work-groups", small: 5, default: 16, max: 128 },
    |groups, seed| {
        let mut random = Random::new(seed);
        let values: Vec<u32> = (0..128 * groups).map(|_| random.u32()).collect();
        let buffers = vec![
            Buffer::in_out("values", Element::U32, bytes_of_u32(&values)),
            Buffer::in_out("ready", Element::U32, bytes_of_u32(&[0])),
        ];
        items("global_sync", 64 * groups, 64, buffers, &[groups, ROUNDS], |before| {
            let values = before[0].u32s();
            let half = (values.len() - crate::case::GUARD_WORDS) / 2;
            let (mut from, mut to) = (values[..half].to_vec(), values[half..2 * half].to_vec());
            for _ in 0..ROUNDS {
                for (at, to) in to.iter_mut().enumerate() {
                    *to = from[at].wrapping_add(from[(at + 64) % half].wrapping_mul(3));
                }
                std::mem::swap(&mut from, &mut to);
            }
            // After an odd number of rounds the last result lies in the second half.
            to.extend(from);
            vec![(0, before[0].expect_u32(&to)), (1, before[1].expect_u32(&[1]))]
        })
    }
);

pub(crate) const GRID3D: Kernel = super::kernel!(
    "grid3d",
    "a ragged grid of three dimensions: who computed what",
    Sizes { unit: "columns", small: 21, default: 64, max: 512 },
    |width, seed| {
        // The other sides are the seed's, so that no two of them agree by habit.
        let mut random = Random::new(seed);
        let (height, depth) = (random.below(2, 40), random.below(2, 7));
        let groups = [width.div_ceil(8), height.div_ceil(4)];
        let buffers = vec![
            Buffer::output("out", Element::U32, (width * height * depth) as usize),
            Buffer::input_u32("sides", &[width, height, depth]),
        ];
        let case = items("grid3d", 1, 1, buffers, &groups, |before| {
            let sides = before[1].u32s();
            let groups = [sides[0].div_ceil(8), sides[1].div_ceil(4)];
            let who = |at: u32| {
                let (x, y, z) = (at % sides[0], at / sides[0] % sides[1], at / sides[0] / sides[1]);
                let group = (z / 2 * groups[1] + y / 4) * groups[0] + x / 8;
                group << 8 | (z % 2) << 6 | (y % 4) << 4 | (x % 8)
            };
            let out: Vec<u32> = (0..sides.iter().product()).map(who).collect();
            vec![(0, before[0].expect_u32(&out))]
        });
        Case { grid: [width, height, depth], workgroup: [8, 4, 2], ..case }
    }
);

pub(crate) const LIFE: Kernel = super::kernel!(
    "life",
    "a generation of the game of life on a torus of bytes",
    Sizes { unit: "columns", small: 37, default: 192, max: 4096 },
    |width, seed| {
        let height = width / 3 + 5;
        let mut random = Random::new(seed);
        let cells: Vec<u8> = (0..width * height).map(|_| random.below(0, 2) as u8).collect();
        let buffers = vec![
            Buffer::input_bytes("cells", cells),
            Buffer::output("next", Element::U32, (width * height).div_ceil(4) as usize),
            Buffer::input_u32("sides", &[width, height]),
        ];
        let case = items("life", 1, 1, buffers, &[], |before| {
            let (cells, sides) = (&before[0].bytes, before[2].u32s());
            let (width, height) = (sides[0] as usize, sides[1] as usize);
            let next = |at: usize| {
                let (x, y) = (at % width + width, at / width + height);
                let square = (0..9).map(|k| cells[(y + k / 3 - 1) % height * width + (x + k % 3 - 1) % width]);
                // Three in the square with the cell itself is a birth or a survival, four with a living one a survival.
                let alive: u8 = square.sum();
                u8::from(alive == 3 || alive == 4 && cells[at] == 1)
            };
            vec![(1, before[1].expect_bytes(&(0..width * height).map(next).collect::<Vec<_>>()))]
        });
        Case { grid: [width, height, 1], workgroup: [16, 16, 1], ..case }
    }
);
