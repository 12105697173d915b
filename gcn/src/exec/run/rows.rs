//! What the rows of the table become: the host's instructions for one strip.
//!
//! Promise: the bits are those of the row's own handler, with one freedom fewer than the tiers have among each other: which of two
//! NaNs a result takes is what this build's handlers do, asked of them once ([`nan`](super::nan)).

use super::nan;
use super::plan::{Builder, Step, Value};
use crate::exec::Tier;
use crate::exec::inst::{Inst, Src};
use crate::isa::ROWS;
use iced_x86::Code;
use std::sync::OnceLock;

const ADD: Code = Code::EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32;
const SUB: Code = Code::EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32;
const MUL: Code = Code::EVEX_Vpmulld_zmm_k1z_zmm_zmmm512b32;
const AND: Code = Code::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32;
const OR: Code = Code::EVEX_Vpord_zmm_k1z_zmm_zmmm512b32;
const XOR: Code = Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32;
const MIN_I: Code = Code::EVEX_Vpminsd_zmm_k1z_zmm_zmmm512b32;
const MAX_I: Code = Code::EVEX_Vpmaxsd_zmm_k1z_zmm_zmmm512b32;
const MIN_U: Code = Code::EVEX_Vpminud_zmm_k1z_zmm_zmmm512b32;
const MAX_U: Code = Code::EVEX_Vpmaxud_zmm_k1z_zmm_zmmm512b32;
const ADD_F: Code = Code::EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er;
const SUB_F: Code = Code::EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er;
const MUL_F: Code = Code::EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er;
const DIV_F: Code = Code::EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er;
const MAX_F: Code = Code::EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae;
const SQRT_F: Code = Code::EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er;
const ROUND_F: Code = Code::EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae;
/// IEEE minimum and maximum, NaNs and zeros as the ISA has them.
const RANGE_F: Code = Code::EVEX_Vrangeps_zmm_k1z_zmm_zmmm512b32_imm8_sae;
const RANGE_MIN: u8 = 4;
const RANGE_MAX: u8 = 5;
const COMPARE_F: Code = Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae;
const COMPARE_I: Code = Code::EVEX_Vpcmpd_kr_k1_zmm_zmmm512b32_imm8;
const COMPARE_U: Code = Code::EVEX_Vpcmpud_kr_k1_zmm_zmmm512b32_imm8;
/// Predicates of integer comparisons.
const EQUAL: u8 = 0;
const BELOW: u8 = 1;
const AT_MOST: u8 = 2;
const DIFFERENT: u8 = 4;
const NOT_BELOW: u8 = 5;
const ABOVE: u8 = 6;
/// Predicates of float comparisons.
const UNORDERED: u8 = 3;
const AT_LEAST: u8 = 0x1d;
const ONE: u32 = 0x3f80_0000;

/// A shift by lane and the same by a constant.
#[derive(Clone, Copy)]
struct Shift(Code, Code);

const LEFT: Shift = Shift(Code::EVEX_Vpsllvd_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8);
const RIGHT: Shift = Shift(Code::EVEX_Vpsrlvd_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8);
const RIGHT_SIGNED: Shift = Shift(Code::EVEX_Vpsravd_zmm_k1z_zmm_zmmm512b32, Code::EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8);

/// Whether a row can be part of a run, decorations aside.
pub(super) fn is_vector(row: u16) -> bool {
    static ROWS_IN_RUNS: OnceLock<Vec<bool>> = OnceLock::new();
    let known = ROWS_IN_RUNS.get_or_init(|| {
        // Some take only constants in some places.
        let constants: [&[usize]; 4] = [&[], &[0], &[2], &[1, 2]];
        let supported = |row: u16| {
            constants.iter().any(|places| {
                let mut inst = Inst::of_row(Tier::detect(), row);
                for &place in *places {
                    inst.src[place] = Src::K(3);
                }
                vector(&mut Builder::with_lds(), &inst).is_some()
            })
        };
        (0..ROWS.len()).map(|row| supported(row as u16)).collect()
    });
    known.get(usize::from(row)).copied().unwrap_or(false)
}

/// Adds the steps of one instruction; `None`: it has none, or not with these operands.
pub(super) fn vector(b: &mut Builder, i: &Inst) -> Option<()> {
    let row = i.row();
    if let Some(rest) = row.name.strip_prefix("v_cmp_") {
        if let Some(predicate) = rest.strip_suffix("_u64") {
            return compare_pairs(b, i, predicate, COMPARE_U);
        }
        if let Some(predicate) = rest.strip_suffix("_i64") {
            return compare_pairs(b, i, predicate, COMPARE_I);
        }
        let (code, predicate) = comparison(rest)?;
        let (x, y) = (b.source(i, 0)?, b.source(i, 1)?);
        let mask = b.step(Step::Compare { code, imm: predicate, a: x, b: y })?;
        return b.put_mask(i.sdst, mask);
    }
    match row.name {
        "v_pk_fma_f32" | "v_pk_mul_f32" | "v_pk_add_f32" => return packed(b, i, row.name),
        "v_pk_mov_b32" => {
            let low = b.dword(i, 0, u16::from(i.op_sel & 1))?;
            let high = b.dword(i, 1, u16::from(i.op_sel >> 1 & 1))?;
            b.put(i.dst, 0, low)?;
            return b.put(i.dst, 1, high);
        }
        "v_add_co_u32" | "v_sub_co_u32" | "v_subrev_co_u32" | "v_addc_co_u32" | "v_subb_co_u32"
        | "v_subbrev_co_u32" => {
            return carrying(b, i, row.name);
        }
        "v_lshlrev_b64" => return shift_pair(b, i),
        "ds_read_b32" => return read(b, i, &[0]),
        "ds_read_b64" => return read(b, i, &[0, 4]),
        "ds_read_b96" => return read(b, i, &[0, 4, 8]),
        "ds_read_b128" => return read(b, i, &[0, 4, 8, 12]),
        "ds_read2_b32" => return read2(b, i, 4, 1),
        "ds_read2st64_b32" => return read2(b, i, 256, 1),
        "ds_read2_b64" => return read2(b, i, 8, 2),
        _ => {}
    }
    let value = one_dword(b, i, row.name)?;
    b.put(i.dst, 0, value)
}

/// Instructions with a result of one dword and nothing else.
fn one_dword(b: &mut Builder, i: &Inst, name: &str) -> Option<Value> {
    Some(match name {
        "v_mov_b32" | "v_accvgpr_read_b32" | "v_accvgpr_write_b32" | "v_accvgpr_mov_b32" => b.source(i, 0)?,
        "v_not_b32" => {
            let (x, ones) = (b.source(i, 0)?, b.constant(!0)?);
            b.binary(XOR, x, ones)?
        }

        "v_add_f32" => commutative(b, i, ADD_F)?,
        "v_mul_f32" => commutative(b, i, MUL_F)?,
        "v_sub_f32" => two(b, i, SUB_F, [0, 1])?,
        "v_subrev_f32" => two(b, i, SUB_F, [1, 0])?,
        "v_min_f32" => range(b, i, RANGE_MIN)?,
        "v_max_f32" => range(b, i, RANGE_MAX)?,
        "v_fma_f32" | "v_fmac_f32" => {
            let [x, y] = ordered(b, i, [0, 1])?;
            let c = b.source(i, 2)?;
            b.step(Step::Fma { a: x, b: y, c })?
        }
        "v_sqrt_f32" => {
            let x = b.source(i, 0)?;
            b.unary(SQRT_F, x)?
        }
        "v_rcp_f32" | "v_rcp_iflag_f32" => {
            let (one, x) = (b.constant(ONE)?, b.source(i, 0)?);
            b.binary(DIV_F, one, x)?
        }
        "v_rsq_f32" => {
            let (one, x) = (b.constant(ONE)?, b.source(i, 0)?);
            let root = b.unary(SQRT_F, x)?;
            b.binary(DIV_F, one, root)?
        }
        "v_rndne_f32" => round(b, i, 8)?,
        "v_floor_f32" => round(b, i, 9)?,
        "v_ceil_f32" => round(b, i, 10)?,
        "v_trunc_f32" => round(b, i, 11)?,

        "v_cvt_f32_i32" => {
            let x = b.source(i, 0)?;
            b.unary(Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, x)?
        }
        "v_cvt_f32_u32" => {
            let x = b.source(i, 0)?;
            b.unary(Code::EVEX_Vcvtudq2ps_zmm_k1z_zmmm512b32_er, x)?
        }
        "v_cvt_f32_ubyte0" => byte(b, i, 0)?,
        "v_cvt_f32_ubyte1" => byte(b, i, 8)?,
        "v_cvt_f32_ubyte2" => byte(b, i, 16)?,
        "v_cvt_f32_ubyte3" => byte(b, i, 24)?,
        "v_cvt_u32_f32" => {
            // The larger of it and zero is zero for NaN; what is too large becomes all ones.
            let (x, zero) = (b.source(i, 0)?, b.constant(0)?);
            let positive = b.binary(MAX_F, x, zero)?;
            b.unary(Code::EVEX_Vcvttps2udq_zmm_k1z_zmmm512b32_sae, positive)?
        }
        "v_cvt_i32_f32" => {
            let x = b.source(i, 0)?;
            let (limit, most, zero) = (b.constant(0x4f00_0000)?, b.constant(0x7fff_ffff)?, b.constant(0)?);
            let cut = b.unary(Code::EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae, x)?;
            let over = b.step(Step::Compare { code: COMPARE_F, imm: AT_LEAST, a: x, b: limit })?;
            let cut = b.step(Step::Select { mask: over, a: cut, b: most })?;
            let nan = b.step(Step::Compare { code: COMPARE_F, imm: UNORDERED, a: x, b: x })?;
            b.step(Step::Select { mask: nan, a: cut, b: zero })?
        }

        "v_add_u32" | "v_add_i32" => two(b, i, ADD, [0, 1])?,
        "v_sub_u32" | "v_sub_i32" => two(b, i, SUB, [0, 1])?,
        "v_subrev_u32" => two(b, i, SUB, [1, 0])?,
        "v_mul_lo_u32" => two(b, i, MUL, [0, 1])?,
        "v_min_i32" => two(b, i, MIN_I, [0, 1])?,
        "v_max_i32" => two(b, i, MAX_I, [0, 1])?,
        "v_min_u32" => two(b, i, MIN_U, [0, 1])?,
        "v_max_u32" => two(b, i, MAX_U, [0, 1])?,
        "v_min3_i32" => three(b, i, MIN_I, MIN_I)?,
        "v_max3_i32" => three(b, i, MAX_I, MAX_I)?,
        "v_min3_u32" => three(b, i, MIN_U, MIN_U)?,
        "v_max3_u32" => three(b, i, MAX_U, MAX_U)?,
        "v_and_b32" => two(b, i, AND, [0, 1])?,
        "v_or_b32" => two(b, i, OR, [0, 1])?,
        "v_xor_b32" => two(b, i, XOR, [0, 1])?,
        "v_xnor_b32" => {
            let (both, ones) = (two(b, i, XOR, [0, 1])?, b.constant(!0)?);
            b.binary(XOR, both, ones)?
        }
        "v_add3_u32" => three(b, i, ADD, ADD)?,
        "v_xad_u32" => three(b, i, XOR, ADD)?,
        "v_and_or_b32" => ternary(b, i, 0xea)?,
        "v_or3_b32" => ternary(b, i, 0xfe)?,
        "v_bfi_b32" => ternary(b, i, 0xca)?,
        "v_lshlrev_b32" => shift(b, i, LEFT, 1, 0)?,
        "v_lshrrev_b32" => shift(b, i, RIGHT, 1, 0)?,
        "v_ashrrev_i32" => shift(b, i, RIGHT_SIGNED, 1, 0)?,
        "v_lshl_add_u32" => {
            let (shifted, c) = (shift(b, i, LEFT, 0, 1)?, b.source(i, 2)?);
            b.binary(ADD, shifted, c)?
        }
        "v_lshl_or_b32" => {
            let (shifted, c) = (shift(b, i, LEFT, 0, 1)?, b.source(i, 2)?);
            b.binary(OR, shifted, c)?
        }
        "v_add_lshl_u32" => {
            let sum = two(b, i, ADD, [0, 1])?;
            shift_value(b, i, LEFT, sum, 2)?
        }
        "v_mul_u32_u24" => low24(b, i, RIGHT)?,
        "v_mul_i32_i24" => low24(b, i, RIGHT_SIGNED)?,
        "v_mad_u32_u24" => {
            let (product, c) = (low24(b, i, RIGHT)?, b.source(i, 2)?);
            b.binary(ADD, product, c)?
        }
        "v_mad_i32_i24" => {
            let (product, c) = (low24(b, i, RIGHT_SIGNED)?, b.source(i, 2)?);
            b.binary(ADD, product, c)?
        }
        "v_bfe_u32" => field(b, i, RIGHT)?,
        "v_bfe_i32" => field(b, i, RIGHT_SIGNED)?,
        "v_alignbit_b32" => funnel(b, i)?,
        "v_cndmask_b32" => {
            let mask = b.mask(i.src[2])?;
            let (x, y) = (b.source(i, 0)?, b.source(i, 1)?);
            b.step(Step::Select { mask, a: x, b: y })?
        }
        _ => return None,
    })
}

/// Returns the host's comparison and its predicate for what follows `v_cmp_`.
fn comparison(name: &str) -> Option<(Code, u8)> {
    let (predicate, ty) = name.rsplit_once('_')?;
    if ty == "f32" {
        // The quiet ones, as no exception is looked at.
        let number = match predicate {
            "f" => 0x0b,
            "lt" => 0x11,
            "eq" => 0x00,
            "le" => 0x12,
            "gt" => 0x1e,
            "lg" => 0x0c,
            "ge" => AT_LEAST,
            "o" => 0x07,
            "u" => UNORDERED,
            "nge" => 0x19,
            "nlg" => 0x08,
            "ngt" => 0x1a,
            "nle" => 0x16,
            "neq" => 0x04,
            "nlt" => 0x15,
            "tru" => 0x0f,
            _ => return None,
        };
        return Some((COMPARE_F, number));
    }
    let code = match ty {
        "i32" => COMPARE_I,
        "u32" => COMPARE_U,
        _ => return None,
    };
    let number = match predicate {
        "f" => 3,
        "lt" => BELOW,
        "eq" => EQUAL,
        "le" => AT_MOST,
        "gt" => ABOVE,
        "ne" => DIFFERENT,
        "ge" => NOT_BELOW,
        "t" => 7,
        _ => return None,
    };
    Some((code, number))
}

/// Comparisons of 64 bits: by the upper dwords, with or without a sign, and where those are the same by the lower ones.
fn compare_pairs(b: &mut Builder, i: &Inst, predicate: &str, upper: Code) -> Option<()> {
    let (of_upper, of_lower) = match predicate {
        "eq" => (None, EQUAL),
        "ne" => (Some(DIFFERENT), DIFFERENT),
        "lt" => (Some(BELOW), BELOW),
        "le" => (Some(BELOW), AT_MOST),
        "gt" => (Some(ABOVE), ABOVE),
        "ge" => (Some(ABOVE), NOT_BELOW),
        _ => return None,
    };
    let [low, high] = [0, 1].map(|d| Some((b.dword(i, 0, d)?, b.dword(i, 1, d)?)));
    let ((x, y), (p, q)) = (low?, high?);
    let mut mask = b.step(Step::Compare { code: COMPARE_U, imm: of_lower, a: x, b: y })?;
    if predicate != "ne" {
        let same = b.step(Step::Compare { code: COMPARE_U, imm: EQUAL, a: p, b: q })?;
        mask = b.step(Step::Both(same, mask))?;
    }
    if let Some(imm) = of_upper {
        let decided = b.step(Step::Compare { code: upper, imm, a: p, b: q })?;
        mask = b.step(Step::Either(decided, mask))?;
    }
    b.put_mask(i.sdst, mask)
}

/// Sources in the order in which this build's handler prefers their NaNs.
fn ordered(b: &mut Builder, i: &Inst, [x, y]: [usize; 2]) -> Option<[Value; 2]> {
    let [x, y] = if nan::second_first(i.row)? { [y, x] } else { [x, y] };
    Some([b.source(i, x)?, b.source(i, y)?])
}

fn commutative(b: &mut Builder, i: &Inst, code: Code) -> Option<Value> {
    let [x, y] = ordered(b, i, [0, 1])?;
    b.binary(code, x, y)
}

fn two(b: &mut Builder, i: &Inst, code: Code, [x, y]: [usize; 2]) -> Option<Value> {
    let (x, y) = (b.source(i, x)?, b.source(i, y)?);
    b.binary(code, x, y)
}

fn three(b: &mut Builder, i: &Inst, first: Code, second: Code) -> Option<Value> {
    let (value, c) = (two(b, i, first, [0, 1])?, b.source(i, 2)?);
    b.binary(second, value, c)
}

fn ternary(b: &mut Builder, i: &Inst, imm: u8) -> Option<Value> {
    let (x, y, z) = (b.source(i, 0)?, b.source(i, 1)?, b.source(i, 2)?);
    b.step(Step::Ternary { imm, a: x, b: y, c: z })
}

fn range(b: &mut Builder, i: &Inst, which: u8) -> Option<Value> {
    let (x, y) = (b.source(i, 0)?, b.source(i, 1)?);
    b.step(Step::Binary { code: RANGE_F, imm: Some(which), a: x, b: y })
}

fn round(b: &mut Builder, i: &Inst, how: u8) -> Option<Value> {
    let x = b.source(i, 0)?;
    b.unary_by(ROUND_F, x, how)
}

/// Byte `from / 8` of source 0 as a float.
fn byte(b: &mut Builder, i: &Inst, from: u8) -> Option<Value> {
    let (x, mask) = (b.source(i, 0)?, b.constant(0xff)?);
    let shifted = if from == 0 { x } else { b.unary_by(RIGHT.1, x, from)? };
    let byte = if from == 24 { shifted } else { b.binary(AND, shifted, mask)? };
    b.unary(Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, byte)
}

/// Source `value` shifted by the low five bits of source `by`.
fn shift(b: &mut Builder, i: &Inst, shift: Shift, value: usize, by: usize) -> Option<Value> {
    let value = b.source(i, value)?;
    shift_value(b, i, shift, value, by)
}

fn shift_value(b: &mut Builder, i: &Inst, shift: Shift, value: Value, by: usize) -> Option<Value> {
    if let Src::K(count) = i.src[by] {
        return b.unary_by(shift.1, value, (count & 31) as u8);
    }
    let (count, mask) = (b.source(i, by)?, b.constant(31)?);
    let count = b.binary(AND, count, mask)?;
    b.binary(shift.0, value, count)
}

/// The product of the low 24 bits of sources 0 and 1, whose upper bits a shift to the right and back brings.
fn low24(b: &mut Builder, i: &Inst, back: Shift) -> Option<Value> {
    let mut factors = [0; 2];
    for (k, factor) in factors.iter_mut().enumerate() {
        let x = b.source(i, k)?;
        let up = b.unary_by(LEFT.1, x, 8)?;
        *factor = b.unary_by(back.1, up, 8)?;
    }
    b.binary(MUL, factors[0], factors[1])
}

/// A bit field of constant place and width.
fn field(b: &mut Builder, i: &Inst, back: Shift) -> Option<Value> {
    let (Src::K(from), Src::K(width)) = (i.src[1], i.src[2]) else { return None };
    let (from, width) = ((from & 31) as u8, (width & 31) as u8);
    if width == 0 || from + width > 32 {
        return None;
    }
    let x = b.source(i, 0)?;
    let up = b.unary_by(LEFT.1, x, 32 - from - width)?;
    b.unary_by(back.1, up, 32 - width)
}

/// `v_alignbit_b32` by a constant.
fn funnel(b: &mut Builder, i: &Inst) -> Option<Value> {
    let Src::K(count) = i.src[2] else { return None };
    let (high, low) = (b.source(i, 0)?, b.source(i, 1)?);
    let count = (count & 31) as u8;
    if count == 0 {
        return Some(low);
    }
    if high == low {
        return b.unary_by(Code::EVEX_Vprord_zmm_k1z_zmmm512b32_imm8, low, count);
    }
    let (high, low) = (b.unary_by(LEFT.1, high, 32 - count)?, b.unary_by(RIGHT.1, low, count)?);
    b.binary(OR, high, low)
}

/// `v_lshlrev_b64` by a constant below 32.
fn shift_pair(b: &mut Builder, i: &Inst) -> Option<()> {
    let Src::K(count @ 1..32) = i.src[0] else { return None };
    let count = count as u8;
    let (low, high) = (b.dword(i, 1, 0)?, b.dword(i, 1, 1)?);
    let (up, over) = (b.unary_by(LEFT.1, high, count)?, b.unary_by(RIGHT.1, low, 32 - count)?);
    let (low, high) = (b.unary_by(LEFT.1, low, count)?, b.binary(OR, up, over)?);
    b.put(i.dst, 0, low)?;
    b.put(i.dst, 1, high)
}

/// Sums and differences with a carry out, and with one in.
fn carrying(b: &mut Builder, i: &Inst, name: &str) -> Option<()> {
    let reversed = name.contains("rev");
    let adds = name.starts_with("v_add");
    let carry_in = if name.contains("c_co") || name.contains("subb") { Some(b.mask(i.src[2])?) } else { None };
    let (x, y) = (b.source(i, usize::from(reversed))?, b.source(i, usize::from(!reversed))?);
    let code = if adds { ADD } else { SUB };
    // A sum that is below an operand has lost a bit; a difference borrows if what is taken away is larger.
    let sum = b.binary(code, x, y)?;
    let (p, q) = if adds { (sum, x) } else { (x, y) };
    let mut carry = b.step(Step::Compare { code: COMPARE_U, imm: BELOW, a: p, b: q })?;
    let mut result = sum;
    if let Some(mask) = carry_in {
        let (zero, one) = (b.constant(0)?, b.constant(1)?);
        let by = b.step(Step::Select { mask, a: zero, b: one })?;
        result = b.binary(code, sum, by)?;
        let imm = if adds { BELOW } else { ABOVE };
        let again = b.step(Step::Compare { code: COMPARE_U, imm, a: result, b: sum })?;
        carry = b.step(Step::Either(carry, again))?;
    }
    b.put(i.dst, 0, result)?;
    b.put_mask(i.sdst, carry)
}

/// Pairs of floats.
fn packed(b: &mut Builder, i: &Inst, name: &str) -> Option<()> {
    if i.neg | i.abs != 0 {
        return None;
    }
    let [x, y] = if nan::second_first(i.row)? { [1, 0] } else { [0, 1] };
    let mut halves = [0; 2];
    for (half, select) in halves.iter_mut().zip([i.op_sel, i.op_sel_hi]) {
        let d = |k: usize| u16::from(select >> k & 1);
        let (p, q) = (b.dword(i, x, d(x))?, b.dword(i, y, d(y))?);
        *half = match name {
            "v_pk_fma_f32" => {
                let c = b.dword(i, 2, d(2))?;
                b.step(Step::Fma { a: p, b: q, c })?
            }
            "v_pk_mul_f32" => b.binary(MUL_F, p, q)?,
            _ => b.binary(ADD_F, p, q)?,
        };
    }
    b.put(i.dst, 0, halves[0])?;
    b.put(i.dst, 1, halves[1])
}

/// Loads from LDS: a dword at each of `places`, in bytes from the instruction's offset.
fn read(b: &mut Builder, i: &Inst, places: &[u32]) -> Option<()> {
    read_at(b, i, i.imm as u32 & 0xffff, 0, places)
}

/// Two loads of `dwords` each at offsets of their own, in units of bytes.
fn read2(b: &mut Builder, i: &Inst, unit: u32, dwords: u16) -> Option<()> {
    let (first, second) = (i.imm as u32 & 0xff, i.imm as u32 >> 8 & 0xff);
    let places = if dwords == 1 { &[0][..] } else { &[0, 4] };
    // Both addresses are those before either result is written.
    let address = b.source(i, 0)?;
    for (place, offset) in places.iter().zip(0..) {
        let value = b.lds(address, first * unit + place)?;
        b.put(i.dst, offset, value)?;
    }
    for (place, offset) in places.iter().zip(dwords..) {
        let value = b.lds(address, second * unit + place)?;
        b.put(i.dst, offset, value)?;
    }
    Some(())
}

fn read_at(b: &mut Builder, i: &Inst, from: u32, first: u16, places: &[u32]) -> Option<()> {
    let address = b.source(i, 0)?;
    for (place, d) in places.iter().zip(first..) {
        let value = b.lds(address, from + place)?;
        b.put(i.dst, d, value)?;
    }
    Some(())
}
