//! Instructions under a MODE register that asks for anything but the ordinary: other rounding, flushed denormals, no IEEE rules,
//! registers by index, vector instructions skipped.
//!
//! The handlers compute as compute kernels begin: nearest-even, denormals kept, IEEE rules. [`WaveState::set_mode`] notes when a wave
//! leaves that, and then [`run`] stands before every instruction: it rewrites register numbers, flushes what goes in and what comes out, and leaves
//! sums, products and conversions that must round in another direction to [`soft`](super::soft). The ordinary wave pays one test.
//!
//! Not affected by rounding and denormal modes, as on hardware: matrix products and dot products, and the approximations
//! (reciprocals, roots, transcendental functions), whose last bit is not defined. Source: AMD "Instinct MI200" ISA document, "Mode
//! register", "VGPR indexing".

use super::cx::{Cx, Flow, WaveState};
use super::inst::{Dst, Inst, Src};
use super::soft::{self, Format};
use crate::arch::LANES;
use crate::descriptor::{DenormMode, RoundMode};
use crate::hardware::Row;
use crate::isa::fields::Extra;
use crate::isa::{self, Encoding, Traits, Ty};

/// MODE bits: DX10_CLAMP.
pub(super) const DX10_CLAMP: u32 = 1 << 8;
/// IEEE.
pub(super) const IEEE: u32 = 1 << 9;
/// FP16_OVFL.
const FP16_OVFL: u32 = 1 << 23;
/// GPR_IDX_EN.
pub(super) const GPR_IDX_EN: u32 = 1 << 27;
/// VSKIP.
pub(super) const VSKIP: u32 = 1 << 28;
/// Rounding in bits 0..4 and denormals in 4..8.
const FLOAT: u32 = 0xff;
/// What the handlers compute: nearest even, denormals kept.
const FLOAT_ORDINARY: u32 = 0xf0;
/// Scalar register code of M0.
pub(super) const M0: usize = 124;
/// First operand row for operands that this module rewrites: behind those of decorations and staged scalars.
const ROWS: u16 = 24;

impl WaveState {
    /// Replaces the MODE register.
    pub(crate) fn set_mode(&mut self, mode: u32) {
        self.mode = mode;
        let asks = FLOAT | IEEE | FP16_OVFL | GPR_IDX_EN | VSKIP;
        self.unusual = mode & asks != FLOAT_ORDINARY | IEEE;
    }

    fn round(&self, ty: Ty) -> RoundMode {
        RoundMode::from_bits((self.mode >> if is_single(ty) { 0 } else { 2 }) as u8)
    }

    fn denormals(&self, ty: Ty) -> DenormMode {
        DenormMode::from_bits((self.mode >> if is_single(ty) { 4 } else { 6 }) as u8)
    }

    /// Whether the output multiplier does anything: only without IEEE rules and where denormal results are flushed.
    pub(super) fn multiplies_output(&self, ty: Ty) -> bool {
        let flushes = matches!(self.denormals(ty), DenormMode::FlushBoth | DenormMode::FlushResult);
        self.mode & IEEE == 0 && flushes
    }
}

fn is_single(ty: Ty) -> bool {
    matches!(ty, Ty::F32 | Ty::PF32)
}

/// The format of a floating-point operand type.
fn format(ty: Ty) -> Option<Format> {
    match ty {
        Ty::F16 | Ty::PF16 => Some(soft::F16),
        Ty::F32 | Ty::PF32 => Some(soft::F32),
        Ty::F64 => Some(soft::F64),
        _ => None,
    }
}

fn is_vector_arithmetic(encoding: Encoding) -> bool {
    matches!(
        encoding,
        Encoding::Vop1 | Encoding::Vop2 | Encoding::Vopc | Encoding::Vop3 | Encoding::Vop3b | Encoding::Vop3p
    )
}

fn is_vector(encoding: Encoding) -> bool {
    !matches!(
        encoding,
        Encoding::Sop1 | Encoding::Sop2 | Encoding::Sopc | Encoding::Sopk | Encoding::Sopp | Encoding::Smem
    )
}

/// Runs an instruction of a wave whose mode is not the ordinary one.
pub(crate) fn run(cx: &mut Cx<'_>, inst: &Inst) -> Flow {
    let row = inst.row();
    if cx.w.mode & VSKIP != 0 && is_vector(row.encoding) {
        return Flow::Next;
    }
    if !is_vector_arithmetic(row.encoding) {
        return (inst.run)(cx, inst);
    }
    let mut i = *inst;
    if cx.w.mode & GPR_IDX_EN != 0 && !index(cx, &mut i, row) {
        return Flow::Next;
    }
    let float = format(row.dst).is_some() || row.src.into_iter().any(|ty| format(ty).is_some());
    if !float || cx.w.mode & (FLOAT | IEEE | FP16_OVFL) == FLOAT_ORDINARY | IEEE {
        return (i.run)(cx, &i);
    }
    floating(cx, &mut i, row)
}

/// Adds M0's index to the registers that it applies to. False: the destination lies outside, and nothing happens.
fn index(cx: &Cx<'_>, i: &mut Inst, row: &isa::Row) -> bool {
    let m0 = cx.s[M0];
    let (by, which) = ((m0 & 0xff) as u16, m0 >> 12);
    // A source outside of what the wave has reads its first register.
    let moved = |r: u16, dwords: u16, limit: u16| (r + by + dwords.max(1) <= limit).then_some(r + by);
    for k in 0..3 {
        if which >> k & 1 == 1 {
            let dwords = row.src[k].dwords();
            i.src[k] = match i.src[k] {
                Src::V(r) => Src::V(moved(r, dwords, cx.w.vgprs).unwrap_or(0)),
                Src::A(r) => Src::A(moved(r, dwords, cx.w.agprs).unwrap_or(0)),
                other => other,
            };
        }
    }
    if which >> 3 & 1 == 1 {
        let dwords = row.dst.dwords();
        let target = match i.dst {
            Dst::V(r) => moved(r, dwords, cx.w.vgprs).map(Dst::V),
            Dst::A(r) => moved(r, dwords, cx.w.agprs).map(Dst::A),
            Dst::T(r) => Some(Dst::T(r)),
        };
        let scalar = row.encoding == Encoding::Vopc || row.traits.has(Traits::SCALAR_DST);
        match target {
            Some(dst) => i.dst = dst,
            None if !scalar => return false,
            None => {}
        }
        if row.traits.has(Traits::ACCUMULATES) && row.src[2] == Ty::None {
            i.src[2] = super::memory::as_src(i.dst);
        }
    }
    i.settle();
    true
}

/// Runs a floating-point instruction under the wave's floating-point modes.
fn floating(cx: &mut Cx<'_>, i: &mut Inst, row: &isa::Row) -> Flow {
    if is_unaffected(row.name) {
        return (i.run)(cx, i);
    }
    let accumulates = row.traits.has(Traits::ACCUMULATES) && row.src[2] == Ty::None;
    for k in 0..3 {
        let ty = if k == 2 && accumulates { row.dst } else { row.src[k] };
        // Halves and pairs chosen by a decoration or by operand selects are flushed where they lie: a zero is a zero in any place.
        let Some(format) = format(ty) else { continue };
        let flush = matches!(cx.w.denormals(ty), DenormMode::FlushBoth | DenormMode::FlushInput);
        // Without IEEE rules a signalling NaN is as good as a quiet one: it loses against a number.
        let quiet = cx.w.mode & IEEE == 0 && is_extremum(row.name);
        if !(flush || quiet) {
            continue;
        }
        let at = ROWS + 2 * k as u16;
        let (low, high) = (cx.lanes(i.src[k], 0), cx.lanes(i.src[k], 1));
        let change = |bits: u64, format: Format| {
            let bits = if flush { format.flush(bits) } else { bits };
            if quiet { format.quiet(bits) } else { bits }
        };
        let (low, high) = in_lanes(&low, &high, ty, |bits| change(bits, format));
        *cx.row_mut(Dst::T(at), 0) = low;
        *cx.row_mut(Dst::T(at), 1) = high;
        i.src[k] = Src::T(at);
    }
    i.settle();
    let ovfl = cx.w.mode & FP16_OVFL != 0 && matches!(row.dst, Ty::F16 | Ty::PF16);
    let directed = cx.w.round(row.dst) != RoundMode::NearestEven || ovfl;
    let flow = if directed && operation(row.name).is_some() {
        // Decorations do not care who computes what they decorate.
        i.plain = run_rounded;
        if super::modified::needs(i, row) { super::modified::run(cx, i) } else { run_rounded(cx, i) }
    } else {
        (i.run)(cx, i)
    };
    let flushes = matches!(cx.w.denormals(row.dst), DenormMode::FlushBoth | DenormMode::FlushResult);
    if flow == Flow::Next && flushes && row.encoding != Encoding::Vopc {
        flush_result(cx, i, row);
    }
    flow
}

/// Replaces a denormal result by zero, in the active lanes and only where the instruction wrote.
fn flush_result(cx: &mut Cx<'_>, i: &Inst, row: &isa::Row) {
    let Some(format) = format(row.dst) else { return };
    let exec = cx.exec();
    let (low, high) = (*cx.row(i.dst, 0), *cx.row(i.dst, 1));
    let (mut flushed, high) = in_lanes(&low, &high, row.dst, |bits| format.flush(bits));
    if row.dst == Ty::F16 {
        let upper = match i.extra {
            Extra::Sdwa(word) => word >> 8 & 7 == 5,
            _ => i.op_sel & 8 != 0 || row.name.ends_with("hi_f16"),
        };
        let keep = if upper { 0xffff } else { 0xffff_0000 };
        for lane in 0..LANES {
            let value = if upper { (format.flush(u64::from(low[lane] >> 16)) as u32) << 16 } else { flushed[lane] };
            flushed[lane] = low[lane] & keep | value & !keep;
        }
    }
    cx.put(i.dst, 0, &flushed, exec);
    if row.dst.dwords() == 2 {
        cx.put(i.dst, 1, &high, exec);
    }
}

/// Applies `f` to every number of a type in every lane.
fn in_lanes(low: &Row, high: &Row, ty: Ty, f: impl Fn(u64) -> u64) -> (Row, Row) {
    let one = |x: u32| f(u64::from(x)) as u32;
    let halves = |x: u32| one(x & 0xffff) & 0xffff | one(x >> 16) << 16;
    match ty {
        Ty::F16 | Ty::PF16 => (low.map(halves), *high),
        Ty::PF32 => (low.map(one), high.map(one)),
        Ty::F64 => {
            let wide = |lane: usize| f(u64::from(low[lane]) | u64::from(high[lane]) << 32);
            (core::array::from_fn(|lane| wide(lane) as u32), core::array::from_fn(|lane| (wide(lane) >> 32) as u32))
        }
        _ => (low.map(one), *high),
    }
}

/// Dot products, which neither mode reaches, and the unfused multiply-add of singles, which flushes whatever the mode says.
fn is_unaffected(name: &str) -> bool {
    name.starts_with("v_dot") || name.starts_with("v_cvt_pkrtz") || name.starts_with("v_cndmask")
}

fn is_extremum(name: &str) -> bool {
    ["v_min", "v_max", "v_med3", "v_pk_min", "v_pk_max"].iter().any(|prefix| name.starts_with(prefix))
}

/// What rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Sub,
    SubReversed,
    Mul,
    /// Sources 0, 1, 2.
    Fma,
    /// As [`Fma`](Self::Fma) with a rounding after the product.
    Mad,
    /// The literal is the second factor.
    FmaLiteral,
    /// The literal is added.
    FmaAddLiteral,
    /// From another format.
    Convert(Format),
    /// From an integer of the source's type.
    Integer,
    Scale,
}

/// Returns what an instruction that rounds computes, by its mnemonic.
fn operation(name: &str) -> Option<Operation> {
    let stem = name.strip_prefix("v_pk_").or_else(|| name.strip_prefix("v_"))?;
    let (stem, suffix) = stem.rsplit_once('_')?;
    if !matches!(suffix, "f16" | "f32" | "f64" | "i32" | "u32" | "i16" | "u16") {
        return None;
    }
    Some(match stem {
        "add" => Operation::Add,
        "sub" => Operation::Sub,
        "subrev" => Operation::SubReversed,
        "mul" => Operation::Mul,
        "fma" | "fmac" | "fma_legacy" => Operation::Fma,
        "mad" | "mac" | "mad_legacy" if suffix == "f16" => Operation::Mad,
        "fmamk" => Operation::FmaLiteral,
        "fmaak" => Operation::FmaAddLiteral,
        "cvt_f16" | "cvt_f32" | "cvt_f64" if suffix == "f16" => Operation::Convert(soft::F16),
        "cvt_f16" | "cvt_f64" if suffix == "f32" => Operation::Convert(soft::F32),
        "cvt_f32" if suffix == "f64" => Operation::Convert(soft::F64),
        "cvt_f32" | "cvt_f64" | "cvt_f16" => Operation::Integer,
        "ldexp" => Operation::Scale,
        _ => return None,
    })
}

/// The handler of what rounds, in place of the row's own.
fn run_rounded(cx: &mut Cx<'_>, i: &Inst) -> Flow {
    let row = i.row();
    if let Some(operation) = operation(row.name) {
        rounded(cx, i, row, operation);
    }
    Flow::Next
}

/// Carries out what rounds, lane by lane, in the direction that the mode asks for.
fn rounded(cx: &mut Cx<'_>, i: &Inst, row: &isa::Row, operation: Operation) {
    let Some(format) = format(row.dst) else { return };
    let (mode, ovfl) = (cx.w.round(row.dst), cx.w.mode & FP16_OVFL != 0 && format == soft::F16);
    let packed = row.encoding == Encoding::Vop3p;
    let source: [[Row; 2]; 3] = core::array::from_fn(|k| [cx.lanes(i.src[k], 0), cx.lanes(i.src[k], 1)]);
    // Operand `k` of a lane; `half` is 1 for the upper result of a packed instruction.
    let operand = |k: usize, lane: usize, half: usize| -> u64 {
        let (select, negate) = match (packed, half) {
            (true, 0) => (i.op_sel >> k & 1, i.neg >> k & 1),
            (true, _) => (i.op_sel_hi >> k & 1, i.abs >> k & 1),
            (false, _) => (0, i.neg >> k & 1),
        };
        let [low, high] = [source[k][0][lane], source[k][1][lane]];
        let ty = if row.src[k] == Ty::None { row.dst } else { row.src[k] };
        let (bits, sign) = match ty {
            Ty::F16 | Ty::PF16 | Ty::U16 | Ty::I16 | Ty::B16 => {
                let upper = if packed { select == 1 } else { i.op_sel >> k & 1 == 1 };
                (u64::from(if upper { low >> 16 } else { low & 0xffff }), 15)
            }
            Ty::F64 => (u64::from(low) | u64::from(high) << 32, 63),
            Ty::PF32 => (u64::from(if select == 1 { high } else { low }), 31),
            _ => (u64::from(low), 31),
        };
        let bits = if !packed && i.abs >> k & 1 == 1 { bits & !(1 << sign) } else { bits };
        if negate == 1 { bits ^ 1 << sign } else { bits }
    };
    let sign = if format == soft::F64 {
        1 << 63
    } else if format == soft::F32 {
        1 << 31
    } else {
        1 << 15
    };
    let compute = |lane: usize, half: usize| {
        let of = |k: usize| operand(k, lane, half);
        let literal = u64::from(i.literal);
        let result = match operation {
            Operation::Add => format.add(of(0), of(1), mode),
            Operation::Sub => format.add(of(0), of(1) ^ sign, mode),
            Operation::SubReversed => format.add(of(1), of(0) ^ sign, mode),
            Operation::Mul => format.mul(of(0), of(1), mode),
            Operation::Fma => format.fma(of(0), of(1), of(2), mode),
            Operation::Mad => format.add(format.mul(of(0), of(1), mode), of(2), mode),
            Operation::FmaLiteral => format.fma(of(0), literal, of(1), mode),
            Operation::FmaAddLiteral => format.fma(of(0), of(1), literal, mode),
            Operation::Convert(from) => from.convert(of(0), format, mode),
            Operation::Integer => {
                let value = match row.src[0] {
                    Ty::I32 => i64::from(of(0) as u32 as i32),
                    Ty::I16 => i64::from(of(0) as u16 as i16),
                    _ => of(0) as i64,
                };
                format.integer(value, mode)
            }
            Operation::Scale => {
                let by = if row.src[1] == Ty::B16 { i32::from(of(1) as i16) } else { of(1) as u32 as i32 };
                format.scale(of(0), by, mode)
            }
        };
        // With FP16_OVFL a finite result that is too large stays finite.
        if ovfl && result & 0x7fff == 0x7c00 && (0..3).all(|k| of(k) & 0x7c00 != 0x7c00) { result - 1 } else { result }
    };
    let exec = cx.exec();
    let old = *cx.row(i.dst, 0);
    let (mut low, mut high) = ([0; LANES], [0; LANES]);
    for lane in 0..LANES {
        let first = compute(lane, 0);
        low[lane] = first as u32;
        high[lane] = (first >> 32) as u32;
        match row.dst {
            Ty::PF16 => low[lane] = first as u32 & 0xffff | (compute(lane, 1) as u32) << 16,
            Ty::PF32 => high[lane] = compute(lane, 1) as u32,
            Ty::F16 if row.traits.has(Traits::OP_SEL) => low[lane] = first as u32 & 0xffff | old[lane] & 0xffff_0000,
            _ => {}
        }
    }
    cx.put(i.dst, 0, &low, exec);
    if row.dst.dwords() == 2 {
        cx.put(i.dst, 1, &high, exec);
    }
}
