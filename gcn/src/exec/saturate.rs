//! Integer sums, differences and products with the clamp bit: the exact result limited to what its type holds, instead of wrapped.

use super::cx::{Cx, Flow};
use super::inst::Inst;
use crate::isa::{Encoding, Traits, Ty};

/// Returns the exact sum or difference of an instruction that can saturate, by its mnemonic.
pub(super) fn exact_sum(name: &str) -> Option<fn(i64, i64) -> i64> {
    match name {
        "v_add_u32" | "v_add_i32" | "v_add_u16" | "v_add_i16" | "v_pk_add_u16" | "v_pk_add_i16" => Some(|a, b| a + b),
        "v_sub_u32" | "v_sub_i32" | "v_sub_u16" | "v_sub_i16" | "v_pk_sub_u16" | "v_pk_sub_i16" => Some(|a, b| a - b),
        "v_subrev_u32" | "v_subrev_u16" => Some(|a, b| b - a),
        _ => None,
    }
}

/// Whether an instruction's clamp limits a product and sum, a sum with a mask, or a sum of differences.
pub(super) fn is_wider(name: &str) -> bool {
    wide(name).is_some()
}

/// Computes an instruction on 64 bits: sources as the row's types say, unlimited result.
type Wide = fn([i64; 3]) -> i64;

fn wide(name: &str) -> Option<Wide> {
    Some(match name {
        "v_mad_u32_u24" => |[a, b, c]| (a & 0xff_ffff) * (b & 0xff_ffff) + c,
        "v_mad_i32_i24" => |[a, b, c]| (a << 40 >> 40) * (b << 40 >> 40) + c,
        "v_mad_u16" | "v_mad_legacy_u16" | "v_mad_u32_u16" | "v_mad_i16" | "v_mad_legacy_i16" | "v_mad_i32_i16"
        | "v_pk_mad_i16" | "v_pk_mad_u16" => |[a, b, c]| a * b + c,
        "v_add_co_u32" => |[a, b, _]| a + b,
        "v_sub_co_u32" => |[a, b, _]| a - b,
        "v_subrev_co_u32" => |[a, b, _]| b - a,
        "v_sad_u8" => {
            |[a, b, c]| c + (0..4).map(|k| (a >> (8 * k) & 0xff).abs_diff(b >> (8 * k) & 0xff) as i64).sum::<i64>()
        }
        "v_sad_u16" => |[a, b, c]| {
            c + (0..2).map(|k| (a >> (16 * k) & 0xffff).abs_diff(b >> (16 * k) & 0xffff) as i64).sum::<i64>()
        },
        "v_sad_u32" => |[a, b, c]| c + a.abs_diff(b) as i64,
        _ => None?,
    })
}

/// Runs an instruction of [`is_wider`].
pub(super) fn run_wide(cx: &mut Cx<'_>, i: &Inst) -> Flow {
    let row = i.row();
    let Some(exact) = wide(row.name) else { return cx.unsupported(i) };
    let extent = |ty: Ty| match ty {
        Ty::I16 => (true, 16),
        Ty::U16 | Ty::P16 => (row.name.ends_with("i16"), 16),
        Ty::I32 => (true, 32),
        _ => (false, 32),
    };
    let (signed, bits) = extent(row.dst);
    let (low, high) = if signed { (-1i64 << (bits - 1), (1i64 << (bits - 1)) - 1) } else { (0, (1i64 << bits) - 1) };
    let sources: [_; 3] = core::array::from_fn(|k| cx.lanes(i.src[k], 0));
    let packed = row.encoding == Encoding::Vop3p;
    let value = |lane: usize, select: u8| {
        let operands = core::array::from_fn(|k| {
            // The halves that a sum of differences adds up stay together.
            let (signed, bits) = if row.name.starts_with("v_sad") { (false, 32) } else { extent(row.src[k]) };
            let upper = if packed || bits == 16 { select >> k & 1 } else { 0 };
            let top = sources[k][lane] >> (16 * u32::from(upper)) << (32 - bits);
            if signed { i64::from(top as i32 >> (32 - bits)) } else { i64::from(top >> (32 - bits)) }
        });
        exact(operands).clamp(low, high) as u32 & (u32::MAX >> (32 - bits))
    };
    // A carry says that the unlimited result did not fit.
    let carries = |lane: usize| {
        let operands = core::array::from_fn(|k| i64::from(sources[k][lane]));
        !(low..=high).contains(&exact(operands))
    };
    let old = *cx.row(i.dst, 0);
    let out = core::array::from_fn(|lane| match (packed, bits) {
        (true, _) => value(lane, i.op_sel) | value(lane, i.op_sel_hi) << 16,
        (false, 16) if i.op_sel & 8 != 0 => value(lane, i.op_sel) << 16 | old[lane] & 0xffff,
        (false, 16) if row.traits.has(Traits::OP_SEL) => value(lane, i.op_sel) | old[lane] & 0xffff_0000,
        (false, _) => value(lane, i.op_sel),
    });
    let exec = cx.exec();
    if row.traits.has(Traits::CARRY_OUT) {
        let mask = (0..64).fold(0, |mask, lane| mask | u64::from(carries(lane)) << lane);
        cx.set_sgpr64(usize::from(i.sdst), mask & exec);
    }
    cx.put(i.dst, 0, &out, exec);
    Flow::Next
}

/// Runs an instruction of [`exact_sum`].
pub(super) fn run(cx: &mut Cx<'_>, i: &Inst, exact: fn(i64, i64) -> i64) -> Flow {
    let row = i.row();
    let signed = row.name.contains("_i");
    let bits = if row.name.ends_with("16") { 16 } else { 32 };
    let (low, high) = if signed { (-1i64 << (bits - 1), (1i64 << (bits - 1)) - 1) } else { (0, (1i64 << bits) - 1) };
    let mask = u32::MAX >> (32 - bits);
    let (a, b) = (cx.lanes(i.src[0], 0), cx.lanes(i.src[1], 0));
    let value = |x: u32, half: u8| {
        let top = x >> (16 * u32::from(half & 1)) << (32 - bits);
        if signed { i64::from(top as i32 >> (32 - bits)) } else { i64::from(top >> (32 - bits)) }
    };
    let sum = |lane: usize, select: u8| {
        exact(value(a[lane], select), value(b[lane], select >> 1)).clamp(low, high) as u32 & mask
    };
    let old = *cx.row(i.dst, 0);
    let out = core::array::from_fn(|lane| {
        if row.encoding == Encoding::Vop3p {
            sum(lane, i.op_sel) | sum(lane, i.op_sel_hi) << 16
        } else if row.traits.has(Traits::OP_SEL) {
            sum(lane, 0) | old[lane] & !mask
        } else {
            sum(lane, 0)
        }
    });
    let exec = cx.exec();
    cx.put(i.dst, 0, &out, exec);
    Flow::Next
}
