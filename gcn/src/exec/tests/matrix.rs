//! Matrix products against a triple loop, through the layout as the documents give it: where an element lies, by its row and column.
//!
//! Elements are small integers, so that every order of summation gives the same; one more case shows denormals.

use super::Machine;
use crate::arch::{Arch, LANES};
use crate::exec::Tier;
use crate::exec::cx::{EXEC, Flow};
use crate::exec::float8::{f32_to_bf8, f32_to_fp8};
use crate::exec::half::f32_to_f16;
use crate::isa::{Encoding, ROWS, Row};

/// First registers of A, B and the index of sparse products; C and D are accumulation registers.
const A: usize = 0;
const B: usize = 8;
const INDEX: usize = 20;
const C: usize = 256;
const D: usize = 256 + 64;

/// What a mnemonic says: rows, inner dimension, and the formats of A and B.
struct Shape {
    m: usize,
    inner: usize,
    blocks: usize,
    formats: [String; 2],
    sparse: bool,
}

impl Shape {
    fn of(row: &Row) -> Shape {
        let parts: Vec<_> = row.name.split('_').collect();
        let sparse = parts[1] == "smfmac";
        let (shape, rest) = (parts[3], &parts[4..]);
        let (size, glued) = shape.split_once('x').expect("rows by columns");
        let (_, inner) = glued.split_once('x').expect("by inner dimension");
        let digits = inner.chars().take_while(char::is_ascii_digit).count();
        let (inner, glued) = inner.split_at(digits);
        let rest: Vec<_> = if glued.is_empty() { rest.to_vec() } else { vec![glued] };
        let formats: Vec<_> = rest.iter().filter(|p| !p.ends_with('b') || p.len() > 3).collect();
        let formats = [formats[0], formats[formats.len() - 1]].map(|f| (*f).to_owned());
        let m: usize = size.parse().expect("rows");
        let doubles = if formats[0] == "f64" { 2 } else { 1 };
        let blocks = usize::from(row.dst.dwords()) / doubles * LANES / (m * m);
        Shape { m, inner: inner.parse().expect("inner dimension"), blocks, formats, sparse }
    }

    fn bits(format: &str) -> usize {
        match format {
            "f64" => 64,
            "f32" | "xf32" => 32,
            "f16" | "bf16" => 16,
            _ => 8,
        }
    }

    fn encode(format: &str, x: i32) -> u64 {
        let float = x as f32;
        match format {
            "f64" => f64::from(x).to_bits(),
            "f32" | "xf32" => u64::from(float.to_bits()),
            "f16" => u64::from(f32_to_f16(float)),
            "bf16" => u64::from(float.to_bits() >> 16),
            "i8" => u64::from(x as u8),
            "fp8" => u64::from(f32_to_fp8(float, None)),
            "bf8" => u64::from(f32_to_bf8(float, None)),
            _ => panic!("format {format}"),
        }
    }

    /// Lane and place in the lane of element (row, k) of A, with `inner` elements stored in a row.
    fn place(&self, inner: usize, block: usize, row: usize, k: usize) -> (usize, usize) {
        if self.formats[0] == "f64" && self.m == 4 {
            return (16 * k + 4 * block + row, 0);
        }
        let lanes_a_row = LANES / (self.m * self.blocks);
        let held = inner / lanes_a_row;
        (row + self.m * (k / held + lanes_a_row * block), k % held)
    }

    /// Lane and register (in elements) of (row, column) of D.
    fn result(&self, block: usize, row: usize, column: usize) -> (usize, usize) {
        match (self.m, self.formats[0] == "f64") {
            (4, true) => (16 * row + 4 * block + column, 0),
            (_, true) => (column + 16 * (row % 4), row / 4),
            (4, false) => (4 * block + column, row),
            (16, false) => (column + 16 * (row / 4), 4 * block + row % 4),
            _ => (column + 32 * (row / 4 % 2), 16 * block + 4 * (row / 8) + row % 4),
        }
    }
}

/// Small numbers from a counter; every format has them.
fn number(x: usize) -> i32 {
    (x.wrapping_mul(0x9e37_79b9) >> 7) as i32 % 4
}

fn put(m: &mut Machine, first: usize, bits: usize, lane: usize, element: usize, value: u64) {
    let at = element * bits;
    if bits == 64 {
        m.vgpr(first + at / 32)[lane] = value as u32;
        m.vgpr(first + at / 32 + 1)[lane] = (value >> 32) as u32;
    } else {
        m.vgpr(first + at / 32)[lane] |= (value as u32) << (at % 32);
    }
}

fn words(row: &Row, cbsz: u32, abid: u32, blgp: u32) -> [u32; 2] {
    let (dst, c) = if Shape::of(row).sparse { (0, INDEX as u32) } else { (64, 0) };
    let first = 0xd380_0000 | u32::from(row.op) << 16 | 1 << 15 | abid << 11 | cbsz << 8 | dst;
    [first, (256 + A as u32) | (256 + B as u32) << 9 | (256 + c) << 18 | blgp << 29]
}

fn products() -> impl Iterator<Item = (Arch, &'static Row)> {
    let rows = ROWS.iter().filter(|r| r.encoding == Encoding::Mai && r.src[1] != crate::isa::Ty::None);
    rows.flat_map(|row| Arch::ALL.into_iter().filter(|a| row.archs.contains(*a)).map(move |arch| (arch, row)))
}

/// Fills a machine's operands for `row` and returns what A, B and C hold, and where the elements of a sparse A are.
#[expect(clippy::type_complexity, reason = "three matrices and an index, by block, row and column")]
#[expect(clippy::needless_range_loop, reason = "rows and columns are what the layout is about")]
fn fill(
    m: &mut Machine,
    shape: &Shape,
) -> (Vec<Vec<Vec<i32>>>, Vec<Vec<Vec<i32>>>, Vec<Vec<Vec<i32>>>, Vec<Vec<usize>>) {
    let stored = if shape.sparse { shape.inner / 2 } else { shape.inner };
    let [a_bits, b_bits] = [0, 1].map(|k| Shape::bits(&shape.formats[k]));
    let (mut a, mut b, mut c) = (vec![], vec![], vec![]);
    let mut index = vec![vec![0; stored]; shape.m];
    for block in 0..shape.blocks {
        a.push(vec![vec![0; stored]; shape.m]);
        b.push(vec![vec![0; shape.m]; shape.inner]);
        c.push(vec![vec![0; shape.m]; shape.m]);
        for row in 0..shape.m {
            for k in 0..stored {
                let x = number(1 + block * 7919 + row * 131 + k);
                a[block][row][k] = x;
                let (lane, e) = shape.place(stored, block, row, k);
                put(m, A, a_bits, lane, e, Shape::encode(&shape.formats[0], x));
                if shape.sparse {
                    // Two ascending places of every four.
                    let pair = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]][(row + k / 2 * 5) % 6];
                    index[row][k] = 4 * (k / 2) + pair[k % 2];
                    m.vgpr(INDEX)[lane] |= (pair[k % 2] as u32) << (2 * e);
                }
            }
            for k in 0..shape.inner {
                let x = number(77 + block * 6007 + row * 17 + k * 1009);
                b[block][k][row] = x;
                let (lane, e) = shape.place(shape.inner, block, row, k);
                put(m, B, b_bits, lane, e, Shape::encode(&shape.formats[1], x));
            }
            for column in 0..shape.m {
                let x = number(5 + block * 31 + row * 3 + column * 257) * 100;
                c[block][row][column] = x;
                set_sum(m, shape, block, row, column, x);
            }
        }
    }
    (a, b, c, index)
}

fn sum_format(shape: &Shape) -> &'static str {
    match shape.formats[0].as_str() {
        "f64" => "f64",
        "i8" => "i32",
        _ => "f32",
    }
}

fn set_sum(m: &mut Machine, shape: &Shape, block: usize, row: usize, column: usize, x: i32) {
    let (lane, register) = shape.result(block, row, column);
    match sum_format(shape) {
        "f64" => put(m, C, 64, lane, register, f64::from(x).to_bits()),
        "i32" => m.vgpr(C + register)[lane] = x as u32,
        _ => m.vgpr(C + register)[lane] = (x as f32).to_bits(),
    }
}

fn sum(m: &mut Machine, shape: &Shape, first: usize, block: usize, row: usize, column: usize) -> f64 {
    let (lane, register) = shape.result(block, row, column);
    match sum_format(shape) {
        "f64" => {
            let (low, high) = (m.vgpr(first + 2 * register)[lane], m.vgpr(first + 2 * register + 1)[lane]);
            f64::from_bits(u64::from(low) | u64::from(high) << 32)
        }
        "i32" => f64::from(m.vgpr(first + register)[lane] as i32),
        _ => f64::from(f32::from_bits(m.vgpr(first + register)[lane])),
    }
}

#[test]
fn products_are_what_a_triple_loop_computes() {
    let mut seen = 0;
    for (arch, row) in products() {
        let shape = Shape::of(row);
        let mut m = Machine::new(arch);
        // EXEC has no say.
        m.set_sgpr64(EXEC, 0);
        let (a, b, c, index) = fill(&mut m, &shape);
        assert_eq!(m.run_on(Tier::detect(), &words(row, 0, 0, 0)), Flow::Next, "{}", row.name);
        let first = if shape.sparse { C } else { D };
        for block in 0..shape.blocks {
            for i in 0..shape.m {
                for j in 0..shape.m {
                    let product = |k: usize| {
                        let at = if shape.sparse { index[i][k] } else { k };
                        a[block][i][k] * b[block][at][j]
                    };
                    let expected = c[block][i][j] + (0..a[block][i].len()).map(product).sum::<i32>();
                    let got = sum(&mut m, &shape, first, block, i, j);
                    assert_eq!(got, f64::from(expected), "{arch} {} block {block} row {i} column {j}", row.name);
                }
            }
        }
        seen += 1;
    }
    assert!(seen > 60, "only {seen} products");
}

#[test]
fn blocks_can_share_an_a_and_lanes_a_b() {
    for (arch, row) in products().filter(|(_, r)| r.name.starts_with("v_mfma_f32_4x4x1")) {
        let shape = Shape::of(row);
        let mut m = Machine::new(arch);
        let (a, b, c, _) = fill(&mut m, &shape);
        // Groups of four blocks take A from their block 2; lanes 16..32 give B to everybody.
        m.run_on(Tier::detect(), &words(row, 2, 2, 5));
        for block in 0..16 {
            for i in 0..4 {
                for j in 0..4 {
                    let b = b[4 + block % 4][0][j];
                    let expected = c[block][i][j] + a[block / 4 * 4 + 2][i][0] * b;
                    assert_eq!(sum(&mut m, &shape, D, block, i, j), f64::from(expected), "block {block} ({i}, {j})");
                }
            }
        }
    }
}

#[test]
fn an_inline_constant_is_every_element_of_c() {
    let mut m = Machine::new(Arch::Gfx942);
    m.run("v_mfma_f32_16x16x4_f32 v[32:35], v0, v8, 1.0", &[0xd3c5_0020, 0x03ca_1100]);
    assert!((32..36).all(|r| m.vgpr(r).iter().all(|&x| x == 1f32.to_bits())));
    m.run("v_mfma_f64_16x16x4_f64 v[32:39], v[0:1], v[8:9], 2.0", &[0xd3ee_0020, 0x03d2_1100]);
    for r in (32..40).step_by(2) {
        assert_eq!((m.vgpr(r)[5], m.vgpr(r + 1)[5]), (0, (2f64.to_bits() >> 32) as u32));
    }
}

#[test]
fn signs_of_doubles_are_modifiers_on_gfx942() {
    let mut m = Machine::new(Arch::Gfx942);
    for lane in 0..LANES {
        m.vgpr(1)[lane] = (3f64.to_bits() >> 32) as u32;
        m.vgpr(9)[lane] = (2f64.to_bits() >> 32) as u32;
        m.vgpr(33)[lane] = (1f64.to_bits() >> 32) as u32;
    }
    m.run("v_mfma_f64_4x4x4_4b_f64 v[40:41], v[0:1], v[8:9], v[32:33] neg:[1,0,1]", &[0xd3ef_0028, 0xa482_1100]);
    assert_eq!(m.vgpr(41)[7], ((-25f64).to_bits() >> 32) as u32);
}

/// On gfx90a products of 16-bit floats flush denormals, on gfx942 they do not.
#[test]
fn denormal_halves_are_flushed_on_gfx90a_alone() {
    for (arch, words, expected) in [
        (Arch::Gfx90a, [0xd3cd_0020, 0x0482_1100], 0f32),
        (Arch::Gfx942, [0xd3cd_0020, 0x0482_1100], 16.0 / 16_777_216.0),
    ] {
        let mut m = Machine::new(arch);
        for lane in 0..LANES {
            for r in 0..2 {
                m.vgpr(A + r)[lane] = 0x0001_0001;
                m.vgpr(B + r)[lane] = 0x3c00_3c00;
            }
        }
        assert_eq!(m.run_on(Tier::detect(), &words), Flow::Next);
        assert_eq!(f32::from_bits(m.vgpr(32)[0]), expected, "{arch}");
    }
}
