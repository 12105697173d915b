//! A run as a plan: what one strip of sixteen lanes computes, each value named once.
//!
//! Promise: a plan means what its instructions mean one after the other, in every lane and for every EXEC. [`Plan::of`] takes instructions from the
//! front for as long as that can be said:
//!
//! * Strips are carried out one after the other, each from the first step to the last. So no lane may see another: what a comparison writes into
//!   scalar registers is read in the same run as a mask, lane by lane, or not at all.
//! * Scalar instructions in between are put off until after the last step. That is sound while no later step reads or writes what they
//!   write, or writes what they read; they are arithmetic only, so none of them can fail or jump.
//! * LDS is only read. An address is a scalar, or a register as it was when the run began, so that all addresses can be checked before anything
//!   is written.

use super::rows;
use crate::exec::inst::{Dst, Inst, Src};
use crate::exec::modified;
use crate::isa::Encoding;
use crate::isa::fields::{Extra, flag};
use iced_x86::Code;
use std::collections::HashMap;

/// Instructions of a run at most: what a wave may be late by when it is asked to stop.
pub(super) const RUN_MAX: u32 = 120;
/// Vector instructions of a run at least: fewer gain nothing.
const RUN_MIN: u32 = 3;
/// Addresses in LDS that a run can keep in host registers.
const BASES_MAX: usize = 3;

/// Names a value: the step that makes it.
pub(super) type Value = u16;

/// A vector register of the wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    V(u16),
    A(u16),
}

/// What is the same in all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Uniform {
    /// A scalar register, by its code.
    Scalar(u8),
    Constant(u32),
}

/// Where LDS accesses begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Base {
    Scalar(u8),
    Row(Place),
}

/// One value's making. Host instructions are by their form of 512 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// A register as it was when the run began.
    Row(Place),
    Uniform(Uniform),
    /// Dwords from the strip's first address to each lane's, of base number `base`; [`Base::Row`] only.
    Index {
        base: u8,
    },
    /// A dword of LDS at `offset` bytes from a base; `index` for a base that differs by lane.
    Lds {
        base: u8,
        offset: u32,
        index: Option<Value>,
    },
    Copy(Value),
    Unary {
        code: Code,
        imm: Option<u8>,
        a: Value,
    },
    Binary {
        code: Code,
        imm: Option<u8>,
        a: Value,
        b: Value,
    },
    /// `a * b + c`. Of several NaNs the result is that of `a`, then `b`.
    Fma {
        a: Value,
        b: Value,
        c: Value,
    },
    Ternary {
        imm: u8,
        a: Value,
        b: Value,
        c: Value,
    },
    /// A mask.
    Compare {
        code: Code,
        imm: u8,
        a: Value,
        b: Value,
    },
    /// A mask: the strip's lanes of a pair of scalar registers.
    Mask(u8),
    /// A mask: either of two.
    Either(Value, Value),
    /// A mask: both of two.
    Both(Value, Value),
    /// `b` where the mask has a bit, `a` elsewhere.
    Select {
        mask: Value,
        a: Value,
        b: Value,
    },
    /// Puts a mask into a pair of scalar registers.
    PutMask {
        pair: u8,
        mask: Value,
    },
}

impl Step {
    /// Returns the values it takes.
    pub(super) fn operands(&self) -> impl Iterator<Item = Value> + use<> {
        let of = match *self {
            Step::Row(_) | Step::Uniform(_) | Step::Index { .. } | Step::Mask(_) => [None; 3],
            Step::Lds { index, .. } => [index, None, None],
            Step::Copy(a) | Step::Unary { a, .. } | Step::PutMask { mask: a, .. } => [Some(a), None, None],
            Step::Binary { a, b, .. } | Step::Compare { a, b, .. } | Step::Either(a, b) | Step::Both(a, b) => {
                [Some(a), Some(b), None]
            }
            Step::Fma { a, b, c } | Step::Ternary { a, b, c, .. } | Step::Select { mask: c, a, b } => {
                [Some(a), Some(b), Some(c)]
            }
        };
        of.into_iter().flatten()
    }
}

/// A base and how far accesses from it reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) base: Base,
    /// Bytes from the base to behind the last dword of any access.
    pub(super) end: u32,
}

/// What a run does.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// What is stored at the end of a strip.
    pub(super) stores: Vec<(Place, Value)>,
    pub(super) bases: Vec<Reach>,
    /// Scalar instructions, to be carried out after all strips.
    pub(super) scalars: Vec<Inst>,
    /// Instructions and their bytes.
    pub(super) count: u32,
    pub(super) bytes: u32,
    /// Vector registers that the wave must have.
    pub(super) vgprs: u16,
    pub(super) agprs: u16,
    /// Pairs of scalar registers that are written.
    pub(super) pairs: Vec<u8>,
}

impl Plan {
    /// Returns the plan of the longest run that begins `insts`, whose elements stand for one word of code each; `None`: too short to be worth it.
    pub(super) fn of(insts: &[Inst], lds: bool) -> Option<Plan> {
        let (builder, vector, whole) = Builder::collect(insts, lds, RUN_MAX);
        let (builder, vector) = if whole {
            (builder, vector)
        } else {
            // The last instruction was given up half way; what it left behind goes with it.
            let (again, vector, _) = Builder::collect(insts, lds, builder.plan.count);
            (again, vector)
        };
        (vector >= RUN_MIN).then(|| builder.finish())
    }
}

/// Whether `inst` can be part of a run, operands aside: asked once an instruction, when its page is decoded.
pub(super) fn can_translate(inst: &Inst) -> bool {
    inst.is_instruction() && rows::is_vector(inst.row) && is_plain(inst)
}

/// Whether the instruction has no decoration but what [`Builder::dword`] deals with.
fn is_plain(inst: &Inst) -> bool {
    let plain = match inst.extra {
        Extra::Sdwa(word) => {
            // Bytes and halves of sources; a result of a whole dword, and signs as they are.
            matches!(inst.row().encoding, Encoding::Vop1 | Encoding::Vop2)
                && word >> 8 & 7 == WHOLE
                && inst.neg | inst.abs | inst.omod | inst.op_sel == 0
                && (0..2).all(|k| part(inst, k).is_none() || !matches!(inst.src[k], Src::K(_)))
        }
        _ => !modified::needs(inst, inst.row()),
    };
    plain && !inst.clamp && inst.flags & (flag::GDS | flag::LDS) == 0
}

/// SDWA's select for a whole dword.
const WHOLE: u32 = 6;

/// A byte or half of a source: how far it is from the upper and from the lower end of the dword, and whether it has a sign.
#[derive(Clone, Copy)]
struct Part {
    above: u8,
    below: u8,
    signed: bool,
}

/// Returns which part of source `k` an instruction with SDWA takes, if it is not all of it.
fn part(inst: &Inst, k: usize) -> Option<Part> {
    let Extra::Sdwa(word) = inst.extra else { return None };
    let at = match k {
        0 => 16,
        1 => 24,
        _ => return None,
    };
    let signed = word >> (at + 3) & 1 == 1;
    match (word >> at & 7) as u8 {
        byte @ 0..=3 => Some(Part { above: 24 - 8 * byte, below: 8 * byte, signed }),
        half @ 4..=5 => Some(Part { above: 16 - 16 * (half - 4), below: 16 * (half - 4), signed }),
        _ => None,
    }
}

/// Makes a plan, instruction by instruction.
#[derive(Default)]
pub(super) struct Builder {
    plan: Plan,
    lds: bool,
    /// The value that each register holds now.
    rows: HashMap<Place, Value>,
    /// The mask that a pair holds now.
    masks: HashMap<u8, Value>,
    /// Steps that are the same wherever they stand.
    sources: HashMap<Step, Value>,
    /// Scalar registers read and written by what was put off.
    put_off: [u128; 2],
    /// Registers written as masks.
    written: u128,
}

impl Builder {
    /// Returns a builder to which any row may be added: to find out which can be.
    pub(super) fn with_lds() -> Builder {
        Builder { lds: true, ..Builder::default() }
    }

    /// Takes instructions from the front, at most `most`. Also returns how many of them are vector instructions, and whether it ended
    /// between two instructions.
    fn collect(insts: &[Inst], lds: bool, most: u32) -> (Builder, u32, bool) {
        let mut builder = Builder { lds, ..Builder::default() };
        let (mut at, mut vector) = (0, 0);
        while let Some(inst) = insts.get(at)
            && builder.plan.count < most
        {
            if !inst.is_instruction() {
                return (builder, vector, true);
            }
            let is_vector = can_translate(inst);
            let added = if is_vector { rows::vector(&mut builder, inst) } else { builder.scalar(inst) };
            if added.is_none() {
                return (builder, vector, !is_vector);
            }
            if is_vector {
                vector += 1;
                builder.plan.vgprs = builder.plan.vgprs.max(inst.vgprs);
                builder.plan.agprs = builder.plan.agprs.max(inst.agprs);
            }
            builder.plan.count += 1;
            builder.plan.bytes += u32::from(inst.bytes);
            at += usize::from(inst.bytes / 4);
        }
        (builder, vector, true)
    }

    /// Puts a scalar instruction off; those that do nothing need not even that. `None`, with nothing changed: it does not belong to the run.
    fn scalar(&mut self, inst: &Inst) -> Option<()> {
        let row = inst.row();
        let arithmetic = match row.encoding {
            Encoding::Sopp => return matches!(row.name, "s_nop" | "s_waitcnt" | "s_setprio").then_some(()),
            Encoding::Sop1 => matches!(row.name, "s_mov_b32" | "s_mov_b64" | "s_not_b32" | "s_not_b64"),
            Encoding::Sop2 => row.op <= 52 && !matches!(row.name, "s_cbranch_g_fork" | "s_rfe_restore_b64"),
            Encoding::Sopc => !matches!(row.name, "s_setvskip" | "s_set_gpr_idx_on"),
            Encoding::Sopk => row.op <= 15,
            _ => false,
        };
        if !arithmetic {
            return None;
        }
        let (mut reads, mut writes) = (0, 0);
        for (src, ty) in inst.src.into_iter().zip(row.src) {
            match src {
                Src::S(code) => reads |= bits(code, ty.dwords())?,
                // VCCZ: all of VCC, and EXECZ and SCC, which no step changes.
                Src::Flag(_) => reads |= bits(106, 2)?,
                _ => {}
            }
        }
        if matches!(row.encoding, Encoding::Sopk | Encoding::Sop1 | Encoding::Sop2) {
            // Those with an immediate may read what they write, and comparisons with one only read it.
            let touched = bits(inst.sdst, row.dst.dwords().max(1))?;
            reads |= touched;
            writes |= if row.encoding == Encoding::Sopk && matches!(row.op, 2..=13) { 0 } else { touched };
        }
        if writes & bits(126, 2)? != 0 {
            return None;
        }
        self.put_off[0] |= reads;
        self.put_off[1] |= writes;
        self.plan.scalars.push(*inst);
        Some(())
    }

    fn finish(mut self) -> Plan {
        for (&place, &value) in &self.rows {
            if self.plan.steps[usize::from(value)] != Step::Row(place) {
                self.plan.stores.push((place, value));
            }
        }
        // In one order, so that the same program becomes the same code.
        self.plan.stores.sort_unstable();
        self.plan
    }

    /// Adds a step.
    pub(super) fn step(&mut self, step: Step) -> Option<Value> {
        let value = Value::try_from(self.plan.steps.len()).ok()?;
        self.plan.steps.push(step);
        Some(value)
    }

    /// Adds a step that yields the same wherever it stands, once.
    fn source_step(&mut self, step: Step) -> Option<Value> {
        if let Some(&value) = self.sources.get(&step) {
            return Some(value);
        }
        let value = self.step(step)?;
        self.sources.insert(step, value);
        Some(value)
    }

    pub(super) fn constant(&mut self, bits: u32) -> Option<Value> {
        self.source_step(Step::Uniform(Uniform::Constant(bits)))
    }

    /// Returns what register `place` holds.
    pub(super) fn row(&mut self, place: Place) -> Option<Value> {
        if let Some(&value) = self.rows.get(&place) {
            return Some(value);
        }
        let value = self.step(Step::Row(place))?;
        self.rows.insert(place, value);
        Some(value)
    }

    /// Returns dword `d` of source `k`, signs applied.
    pub(super) fn dword(&mut self, i: &Inst, k: usize, d: u16) -> Option<Value> {
        let value = match i.src[k] {
            Src::V(r) => self.row(Place::V(r + d))?,
            Src::A(r) => self.row(Place::A(r + d))?,
            Src::S(r) => {
                let code = r.checked_add(d as u8)?;
                let read = bits(code, 1)?;
                if read & (self.put_off[1] | self.written) != 0 {
                    return None;
                }
                self.source_step(Step::Uniform(Uniform::Scalar(code)))?
            }
            Src::K(bits) => self.constant((bits >> (32 * d)) as u32)?,
            Src::T(_) | Src::Flag(_) => return None,
        };
        let value = match part(i, k) {
            Some(part) => self.part(value, part)?,
            None => value,
        };
        let Some(sign) = i.sign(k) else { return Some(value) };
        if sign.dword != 0 || d != 0 {
            return None;
        }
        let (keep, flip) = (self.constant(sign.keep)?, self.constant(sign.flip)?);
        let kept =
            if sign.keep == !0 { value } else { self.binary(Code::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32, value, keep)? };
        if sign.flip == 0 { Some(kept) } else { self.binary(Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, kept, flip) }
    }

    /// Moves a part of each lane's dword to its lower end.
    fn part(&mut self, value: Value, Part { above, below, signed }: Part) -> Option<Value> {
        let up =
            if above == 0 { value } else { self.unary_by(Code::EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8, value, above)? };
        let down =
            if signed { Code::EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8 } else { Code::EVEX_Vpsrld_zmm_k1z_zmmm512b32_imm8 };
        self.unary_by(down, up, above + below)
    }

    /// Returns source `k` of one dword.
    pub(super) fn source(&mut self, i: &Inst, k: usize) -> Option<Value> {
        self.dword(i, k, 0)
    }

    pub(super) fn unary(&mut self, code: Code, a: Value) -> Option<Value> {
        self.step(Step::Unary { code, imm: None, a })
    }

    pub(super) fn unary_by(&mut self, code: Code, a: Value, imm: u8) -> Option<Value> {
        self.step(Step::Unary { code, imm: Some(imm), a })
    }

    pub(super) fn binary(&mut self, code: Code, a: Value, b: Value) -> Option<Value> {
        self.step(Step::Binary { code, imm: None, a, b })
    }

    /// Gives register `d` of the destination a value.
    pub(super) fn put(&mut self, dst: Dst, d: u16, value: Value) -> Option<()> {
        let place = match dst {
            Dst::V(r) => Place::V(r + d),
            Dst::A(r) => Place::A(r + d),
            Dst::T(_) => return None,
        };
        let copied = match self.plan.steps[usize::from(value)] {
            // Another register's old value must be read before that register is stored.
            Step::Row(from) if from != place => self.step(Step::Copy(value))?,
            _ => value,
        };
        self.rows.insert(place, copied);
        Some(())
    }

    /// Returns the mask in a source.
    pub(super) fn mask(&mut self, src: Src) -> Option<Value> {
        let Src::S(pair) = src else { return None };
        let read = bits(pair, 2)?;
        if read & self.put_off[1] != 0 {
            return None;
        }
        if let Some(&mask) = self.masks.get(&pair) {
            return Some(mask);
        }
        if read & self.written != 0 {
            return None;
        }
        let mask = self.step(Step::Mask(pair))?;
        self.masks.insert(pair, mask);
        Some(mask)
    }

    /// Writes a mask to a pair.
    pub(super) fn put_mask(&mut self, pair: u8, mask: Value) -> Option<()> {
        let bits = bits(pair, 2)?;
        let touched = self.put_off[0] | self.put_off[1] | self.spread_but_masks(pair);
        let overlaps = self.written & bits != 0 && !self.plan.pairs.contains(&pair);
        if pair >= 126 || pair & 1 != 0 || touched & bits != 0 || overlaps {
            return None;
        }
        self.step(Step::PutMask { pair, mask })?;
        self.masks.insert(pair, mask);
        self.written |= bits;
        if !self.plan.pairs.contains(&pair) {
            self.plan.pairs.push(pair);
        }
        Some(())
    }

    /// What is read of scalar registers other than as the mask in `pair`: that one is read and written strip by strip.
    fn spread_but_masks(&self, pair: u8) -> u128 {
        let mut read = 0;
        for step in &self.plan.steps {
            read |= match *step {
                Step::Uniform(Uniform::Scalar(code)) => bits(code, 1).unwrap_or(!0),
                Step::Mask(other) if other != pair => bits(other, 2).unwrap_or(!0),
                _ => 0,
            };
        }
        for reach in &self.plan.bases {
            if let Base::Scalar(code) = reach.base {
                read |= bits(code, 1).unwrap_or(!0);
            }
        }
        read
    }

    /// Reads a dword of LDS for each lane from `offset` bytes behind the address in source 0.
    pub(super) fn lds(&mut self, address: Value, offset: u32) -> Option<Value> {
        let base = match self.plan.steps[usize::from(address)] {
            Step::Uniform(Uniform::Scalar(code)) => Base::Scalar(code),
            Step::Row(place) => Base::Row(place),
            _ => return None,
        };
        let end = offset.checked_add(4)?;
        let number = match self.plan.bases.iter().position(|reach| reach.base == base) {
            Some(number) => {
                let reach = &mut self.plan.bases[number];
                reach.end = reach.end.max(end);
                number
            }
            None if self.lds && self.plan.bases.len() < BASES_MAX => {
                self.plan.bases.push(Reach { base, end });
                self.plan.bases.len() - 1
            }
            None => return None,
        };
        let base_number = number as u8;
        let index = match base {
            Base::Scalar(_) => None,
            Base::Row(_) => Some(self.source_step(Step::Index { base: base_number })?),
        };
        self.source_step(Step::Lds { base: base_number, offset, index })
    }
}

/// Scalar registers `code..code + dwords` as bits; `None` beyond the last.
fn bits(code: u8, dwords: u16) -> Option<u128> {
    let end = u16::from(code) + dwords;
    (end <= 128).then(|| (0..dwords).fold(0, |all, d| all | 1 << (u16::from(code) + d)))
}
