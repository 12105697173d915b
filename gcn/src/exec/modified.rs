//! Instructions with a decoration (SDWA, DPP, clamp, output multiplier, 16-bit half select) in terms of plain ones.
//!
//! Decorated operands are rewritten into operand rows, the plain handler runs on them, and its result is finished and
//! merged into the real destination. No handler needs to know, and the undecorated majority pays nothing.

use super::cx::{Cx, EXEC, Flow};
use super::half::{Half, pack};
use super::inst::{Dst, Inst, Src};
use super::mode::DX10_CLAMP;
use super::saturate;
use crate::arch::LANES;
use crate::hardware::Row;
use crate::isa::fields::Extra;
use crate::isa::{self, Encoding, Traits, Ty};

/// First operand row of the result; sources take two rows each below it.
const RESULT: u16 = 8;

/// Whether an instruction must run through [`run`].
pub(super) fn needs(i: &Inst, row: &isa::Row) -> bool {
    // What has no result, or puts registers elsewhere as they are, has nothing to clamp: a result that it does not write whole would come from nowhere.
    let moves = row.dst == Ty::None || row.traits.has(Traits::IGNORES_EXEC) || row.name == "v_swap_b32";
    match row.encoding {
        Encoding::Vop1 | Encoding::Vop2 | Encoding::Vop3 if moves => false,
        // Their own handlers read the selects; only the clamp is left.
        Encoding::Vop3p | Encoding::Mai => i.clamp && !row.traits.has(Traits::MIX),
        // What a clamp would do to a comparison is to signal, and nothing here listens.
        Encoding::Vopc => i.extra != Extra::None || i.op_sel & 7 != 0,
        _ => i.extra != Extra::None || i.clamp || i.omod != 0 || i.op_sel != 0 || row.traits.has(Traits::OP_SEL),
    }
}

/// Runs a decorated instruction.
pub(super) fn run(cx: &mut Cx<'_>, i: &Inst) -> Flow {
    let row = i.row();
    let float = matches!(row.dst, Ty::F16 | Ty::F32 | Ty::F64 | Ty::PF16 | Ty::PF32);
    if i.clamp && !float {
        if let Some(exact) = saturate::exact_sum(row.name)
            && i.extra == Extra::None
            && (i.op_sel == 0 || row.encoding == Encoding::Vop3p)
        {
            return saturate::run(cx, i, exact);
        }
        // Conversions saturate anyway, and what is not a sum has nothing to saturate.
        if i.extra == Extra::None && saturate::is_wider(row.name) {
            return saturate::run_wide(cx, i);
        }
    }
    let packed = row.encoding == Encoding::Vop3p;
    let op_sel = if packed { i.op_sel } else { 0 };
    let mut plain = Inst { run: i.plain, extra: Extra::None, clamp: false, omod: 0, op_sel, ..*i };
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
        Extra::None if i.op_sel & 7 != 0 && !packed => {
            for k in 0..3 {
                // Conversions to bytes choose a place in their result; their sources are whole.
                if i.op_sel >> k & 1 == 1 && !matches!(row.src[k], Ty::None | Ty::F32) {
                    let selected = select(&cx.lanes(i.src[k], 0), 5, false);
                    plain.src[k] = in_row(cx, k, &selected);
                }
            }
        }
        Extra::None => {}
    }
    if row.encoding == Encoding::Vopc || row.traits.has(Traits::SCALAR_DST) {
        plain.settle();
        return (plain.run)(cx, &plain);
    }
    plain.dst = Dst::T(RESULT);
    plain.settle();
    let flow = (plain.run)(cx, &plain);
    let how = Output {
        omod: if cx.w.multiplies_output(row.dst) { i.omod } else { 0 },
        clamp: i.clamp,
        nan_to_zero: cx.w.mode & DX10_CLAMP != 0,
    };
    finish(cx, i, row, how);
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
fn finish(cx: &mut Cx<'_>, i: &Inst, row: &isa::Row, how: Output) {
    let (exec, ty) = (cx.exec(), row.dst);
    let modified = how.clamp || how.omod != 0;
    match ty {
        Ty::F32 if modified => change(cx, 0, |x| modify(f32::from_bits(x), how).to_bits()),
        Ty::F16 if modified => change(cx, 0, |x| u32::from(modify(Half::from_bits(x as u16), how).bits())),
        Ty::PF32 if modified => {
            change(cx, 0, |x| modify(f32::from_bits(x), how).to_bits());
            change(cx, 1, |x| modify(f32::from_bits(x), how).to_bits());
        }
        Ty::PF16 if modified => change(cx, 0, |x| {
            let half = |bits: u32| modify(Half::from_bits(bits as u16), how).bits();
            pack(half(x), half(x >> 16))
        }),
        Ty::F64 if modified => {
            let (lo, hi) = (*cx.row(Dst::T(RESULT), 0), *cx.row(Dst::T(RESULT), 1));
            for lane in 0..LANES {
                let x = f64::from_bits(u64::from(lo[lane]) | u64::from(hi[lane]) << 32);
                let bits = modify(x, how).to_bits();
                cx.row_mut(Dst::T(RESULT), 0)[lane] = bits as u32;
                cx.row_mut(Dst::T(RESULT), 1)[lane] = (bits >> 32) as u32;
            }
        }
        _ => {}
    }
    let old = *cx.row(i.dst, 0);
    let merged = match i.extra {
        Extra::Sdwa(word) => place(&old, cx.row(Dst::T(RESULT), 0), word >> 8 & 7, word >> 11 & 3),
        _ if row.encoding == Encoding::Vop3p => *cx.row(Dst::T(RESULT), 0),
        // Stochastic conversions to a byte choose among four places.
        _ if row.name.starts_with("v_cvt_sr_") => place(&old, cx.row(Dst::T(RESULT), 0), u32::from(i.op_sel >> 2), 2),
        // op_sel[3]: a 16-bit result goes to the high half. Rows that choose halves keep the other one, older ones clear it.
        _ if i.op_sel & 8 != 0 => place(&old, cx.row(Dst::T(RESULT), 0), 5, 2),
        _ if row.traits.has(Traits::OP_SEL) => place(&old, cx.row(Dst::T(RESULT), 0), 4, 2),
        _ => *cx.row(Dst::T(RESULT), 0),
    };
    cx.put(i.dst, 0, &merged, exec);
    for d in 1..usize::from(ty.dwords()) {
        let more = *cx.row(Dst::T(RESULT), d);
        cx.put(i.dst, d, &more, exec);
    }
}

/// Rewrites dword `d` of the result.
fn change(cx: &mut Cx<'_>, d: usize, f: impl Fn(u32) -> u32) {
    let result = cx.row(Dst::T(RESULT), d).map(f);
    *cx.row_mut(Dst::T(RESULT), d) = result;
}

/// A float that output modifiers apply to.
trait Modified: Copy {
    fn scale(self, by: f32) -> Self;
    /// Clamps to 0..=1; NaN becomes zero, as with DX10_CLAMP, because it is not above zero.
    fn unit(self) -> Self;
    fn is_nan(self) -> bool;
}

impl Modified for f32 {
    fn scale(self, by: f32) -> f32 {
        self * by
    }
    fn unit(self) -> f32 {
        if self > 0.0 { self.min(1.0) } else { 0.0 }
    }
    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

impl Modified for f64 {
    fn scale(self, by: f32) -> f64 {
        self * f64::from(by)
    }
    fn unit(self) -> f64 {
        if self > 0.0 { self.min(1.0) } else { 0.0 }
    }
    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

impl Modified for Half {
    fn scale(self, by: f32) -> Half {
        Half(self.0.scale(by))
    }
    fn unit(self) -> Half {
        Half(self.0.unit())
    }
    fn is_nan(self) -> bool {
        self.0.is_nan()
    }
}

/// What is done to a result.
#[derive(Clone, Copy)]
struct Output {
    /// Output multiplier code, zero where the mode switches it off.
    omod: u8,
    clamp: bool,
    /// What clamping makes of a NaN: zero, or nothing else.
    nan_to_zero: bool,
}

fn modify<F: Modified>(x: F, how: Output) -> F {
    let x = match how.omod {
        1 => x.scale(2.0),
        2 => x.scale(4.0),
        3 => x.scale(0.5),
        _ => x,
    };
    if how.clamp && (how.nan_to_zero || !x.is_nan()) { x.unit() } else { x }
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
    // One dword, or both of a 64-bit operand.
    let last = usize::from(i.row().src[0].dwords() > 1);
    let source = [cx.lanes(i.src[0], 0), cx.lanes(i.src[0], last)];
    let mut moved = [[0; LANES]; 2];
    let mut write = 0u64;
    #[expect(clippy::needless_range_loop, reason = "the lane number is what the rules are about")]
    for lane in 0..LANES {
        let enabled = row_mask >> (lane / 16) & 1 == 1 && bank_mask >> (lane / 4 % 4) & 1 == 1;
        let from = dpp_source(control, lane);
        let valid = from.is_some_and(|from| exec >> from & 1 == 1);
        if let (true, Some(from)) = (valid, from) {
            (moved[0][lane], moved[1][lane]) = (source[0][from], source[1][from]);
        }
        write |= u64::from(enabled && (valid || bound_zero)) << lane;
    }
    let mut plain = *plain;
    plain.src[0] = in_row(cx, 0, &moved[0]);
    *cx.row_mut(Dst::T(1), 0) = moved[1];
    plain.settle();
    // Lanes that may not write are switched off for the one instruction; scalar results of those lanes become zero.
    cx.set_sgpr64(EXEC, exec & write);
    let flow = if needs(&plain, plain.row()) { run(cx, &plain) } else { (plain.run)(cx, &plain) };
    cx.set_sgpr64(EXEC, exec);
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
