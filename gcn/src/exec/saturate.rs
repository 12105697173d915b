//! Integer sums and differences with the clamp bit: the exact result limited to what its type holds, instead of wrapped.

use super::cx::{Cx, Flow};
use super::inst::Inst;
use crate::isa::{Encoding, Traits};

/// Returns the exact sum or difference of an instruction that can saturate, by its mnemonic.
pub(super) fn exact_sum(name: &str) -> Option<fn(i64, i64) -> i64> {
    match name {
        "v_add_u32" | "v_add_i32" | "v_add_u16" | "v_add_i16" | "v_pk_add_u16" | "v_pk_add_i16" => Some(|a, b| a + b),
        "v_sub_u32" | "v_sub_i32" | "v_sub_u16" | "v_sub_i16" | "v_pk_sub_u16" | "v_pk_sub_i16" => Some(|a, b| a - b),
        "v_subrev_u32" | "v_subrev_u16" => Some(|a, b| b - a),
        _ => None,
    }
}

/// Runs such an instruction.
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
