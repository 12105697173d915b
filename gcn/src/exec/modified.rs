//! Instructions with a decoration (SDWA, DPP, clamp, output multiplier, 16-bit half select) in terms of plain ones.
//!
//! Decorated operands are rewritten into operand rows, the plain handler runs on them, and its result is finished and
//! merged into the real destination. No handler needs to know, and the undecorated majority pays nothing.

use super::cx::{Cx, EXEC, Flow};
use super::inst::{Dst, Inst, Src};
use crate::arch::LANES;
use crate::hardware::Row;
use crate::isa::fields::Extra;
use crate::isa::{self, Encoding, Ty};

/// First operand row of the result; sources take two rows each below it.
const RESULT: u16 = 8;

/// Whether an instruction must run through [`run`].
pub(super) fn needs(i: &Inst, row: &isa::Row) -> bool {
    let vop3p = matches!(row.encoding, Encoding::Vop3p | Encoding::Mai);
    i.extra != Extra::None || i.clamp || i.omod != 0 || (!vop3p && i.op_sel != 0)
}

/// Runs a decorated instruction.
pub(super) fn run(cx: &mut Cx<'_>, i: &Inst) -> Flow {
    let row = i.row();
    if matches!(row.encoding, Encoding::Vop3p | Encoding::Mai) {
        return cx.unsupported_form(i, "clamp");
    }
    if i.clamp && !matches!(row.dst, Ty::F32 | Ty::F64) {
        return cx.unsupported_form(i, "clamp of a result that is neither f32 nor f64");
    }
    if i.omod != 0 && !matches!(row.dst, Ty::F32 | Ty::F64) {
        return cx.unsupported_form(i, "an output multiplier on a result that is neither f32 nor f64");
    }
    let mut plain = Inst { run: i.plain, extra: Extra::None, clamp: false, omod: 0, op_sel: 0, ..*i };
    match i.extra {
        Extra::Dpp(word) => return dpp(cx, i, &plain, word),
        Extra::Sdwa(word) => {
            for (k, low) in [(0, 16), (1, 24)] {
                if row.src[k] != Ty::None {
                    let selected = select(&cx.lanes(i.src[k], 0), word >> low & 7, word >> (low + 3) & 1 == 1);
                    plain.src[k] = in_row(cx, k, &selected);
                }
            }
        }
        Extra::None if i.op_sel & 7 != 0 => {
            for k in 0..3 {
                if i.op_sel >> k & 1 == 1 && row.src[k] != Ty::None {
                    let selected = select(&cx.lanes(i.src[k], 0), 5, false);
                    plain.src[k] = in_row(cx, k, &selected);
                }
            }
        }
        Extra::None => {}
    }
    if row.encoding == Encoding::Vopc {
        plain.settle();
        return (plain.run)(cx, &plain);
    }
    plain.dst = Dst::T(RESULT);
    plain.settle();
    let flow = (plain.run)(cx, &plain);
    finish(cx, i, row.dst);
    flow
}

/// Puts a rewritten operand into operand rows.
fn in_row(cx: &mut Cx<'_>, k: usize, value: &Row) -> Src {
    let row = 2 * k as u16;
    *cx.row_mut(Dst::T(row), 0) = *value;
    Src::T(row)
}

/// Selects a byte (0..=3) or half (4, 5) or all (6) of every lane.
fn select(row: &Row, sel: u32, sign: bool) -> Row {
    let (shift, width) = match sel {
        0..=3 => (8 * sel, 8),
        4 | 5 => (16 * (sel - 4), 16),
        _ => return *row,
    };
    row.map(|x| {
        let top = x << (32 - width - shift);
        if sign { (top as i32 >> (32 - width)) as u32 } else { top >> (32 - width) }
    })
}

/// Applies output modifiers to the result in operand rows and merges it into the destination.
fn finish(cx: &mut Cx<'_>, i: &Inst, ty: Ty) {
    let exec = cx.exec();
    match ty {
        Ty::F32 => {
            let result = cx.row(Dst::T(RESULT), 0).map(|x| modify_f32(f32::from_bits(x), i).to_bits());
            *cx.row_mut(Dst::T(RESULT), 0) = result;
        }
        Ty::F64 => {
            let (lo, hi) = (*cx.row(Dst::T(RESULT), 0), *cx.row(Dst::T(RESULT), 1));
            for lane in 0..LANES {
                let x = f64::from_bits(u64::from(lo[lane]) | u64::from(hi[lane]) << 32);
                let bits = modify_f64(x, i).to_bits();
                cx.row_mut(Dst::T(RESULT), 0)[lane] = bits as u32;
                cx.row_mut(Dst::T(RESULT), 1)[lane] = (bits >> 32) as u32;
            }
        }
        _ => {}
    }
    let old = *cx.row(i.dst, 0);
    let merged = match i.extra {
        Extra::Sdwa(word) => place(&old, cx.row(Dst::T(RESULT), 0), word >> 8 & 7, word >> 11 & 3),
        // op_sel[3]: a 16-bit result goes to the high half and the low half stays.
        _ if i.op_sel & 8 != 0 => place(&old, cx.row(Dst::T(RESULT), 0), 5, 2),
        _ => *cx.row(Dst::T(RESULT), 0),
    };
    cx.put(i.dst, 0, &merged, exec);
    for d in 1..usize::from(ty.dwords()) {
        let more = *cx.row(Dst::T(RESULT), d);
        cx.put(i.dst, d, &more, exec);
    }
}

fn modify_f32(x: f32, i: &Inst) -> f32 {
    let x = match i.omod {
        1 => x * 2.0,
        2 => x * 4.0,
        3 => x * 0.5,
        _ => x,
    };
    // DX10_CLAMP, which compilers set: NaN becomes zero.
    if !i.clamp { x } else if x > 0.0 { x.min(1.0) } else { 0.0 }
}

fn modify_f64(x: f64, i: &Inst) -> f64 {
    let x = match i.omod {
        1 => x * 2.0,
        2 => x * 4.0,
        3 => x * 0.5,
        _ => x,
    };
    if !i.clamp { x } else if x > 0.0 { x.min(1.0) } else { 0.0 }
}

/// Places a result into part of the destination: `unused` 0 zeroes, 1 sign-extends into, 2 preserves the rest.
fn place(old: &Row, new: &Row, sel: u32, unused: u32) -> Row {
    let (shift, width) = match sel {
        0..=3 => (8 * sel, 8),
        4 | 5 => (16 * (sel - 4), 16),
        _ => return *new,
    };
    let field = ((1u32 << width) - 1) << shift;
    core::array::from_fn(|lane| {
        let value = new[lane] << shift & field;
        match unused {
            1 => {
                let above = !(field | (field - 1) & !field) & !((1u32 << shift) - 1);
                value | if value >> (shift + width - 1) & 1 == 1 { above } else { 0 }
            }
            2 => old[lane] & !field | value,
            _ => value,
        }
    })
}

/// Data-parallel primitives: source 0 comes from another lane of the row.
fn dpp(cx: &mut Cx<'_>, i: &Inst, plain: &Inst, word: u32) -> Flow {
    let exec = cx.exec();
    let control = word >> 8 & 0x1ff;
    let bound_zero = word >> 19 & 1 == 1;
    let (bank_mask, row_mask) = (word >> 24 & 15, word >> 28);
    let source = cx.lanes(i.src[0], 0);
    let mut moved = [0; LANES];
    let mut write = 0u64;
    for lane in 0..LANES {
        let enabled = row_mask >> (lane / 16) & 1 == 1 && bank_mask >> (lane / 4 % 4) & 1 == 1;
        let from = dpp_source(control, lane);
        let valid = from.is_some_and(|from| exec >> from & 1 == 1);
        if let (true, Some(from)) = (valid, from) {
            moved[lane] = source[from];
        }
        write |= u64::from(enabled && (valid || bound_zero)) << lane;
    }
    let mut plain = *plain;
    plain.src[0] = in_row(cx, 0, &moved);
    plain.settle();
    // Lanes that may not write are switched off for the one instruction; scalar results of those lanes become zero.
    cx.set_sgpr64(EXEC, exec & write);
    let flow = if needs(&plain, plain.row()) { run(cx, &plain) } else { (plain.run)(cx, &plain) };
    let writes_exec = plain.row().encoding == Encoding::Vopc && plain.row().name.starts_with("v_cmpx");
    if !writes_exec {
        cx.set_sgpr64(EXEC, exec);
    }
    flow
}

/// Returns the lane that `lane` reads under a DPP control word, if it lies within bounds.
fn dpp_source(control: u32, lane: usize) -> Option<usize> {
    let (row, column) = (lane & !15, lane & 15);
    let by = (control & 15) as usize;
    match control {
        0x000..=0x0ff => Some(lane & !3 | (control >> (2 * (lane & 3)) & 3) as usize),
        0x101..=0x10f => (column + by < 16).then(|| lane + by),
        0x111..=0x11f => (column >= by).then(|| lane - by),
        0x121..=0x12f => Some(row | (column + 16 - by) & 15),
        0x130 => (lane < 63).then(|| lane + 1),
        0x134 => Some((lane + 1) % LANES),
        0x138 => lane.checked_sub(1),
        0x13c => Some((lane + 63) % LANES),
        0x140 => Some(row | (15 - column)),
        0x141 => Some(lane & !7 | (7 - (lane & 7))),
        0x142 => (lane >= 16).then(|| row - 1),
        0x143 => (lane >= 32).then_some(31),
        // row_newbcast, gfx90a and later.
        0x150..=0x15f => Some(row | by),
        _ => None,
    }
}
