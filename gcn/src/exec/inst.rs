//! Binds decoded fields to something that runs: operands resolved, constants expanded, handler chosen.

use super::Tier;
use super::cx::{Cx, Flow};
use crate::arch::{Arch, PRIVATE_APERTURE_HI, SHARED_APERTURE_HI};
use crate::isa::fields::{self, CODE_LITERAL, CODE_VGPR, Extra, flag};
use crate::isa::{self, Encoding, Fields, Row, Traits, Ty};

/// What carries an instruction out.
pub(crate) type Handler = fn(&mut Cx<'_>, &Inst) -> Flow;

/// Where a source operand comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Src {
    /// Architectural VGPR.
    V(u16),
    /// Accumulation VGPR.
    A(u16),
    /// Operand row: what a modifier has rewritten.
    T(u16),
    /// Scalar register by code.
    S(u8),
    /// Constant, already expanded to the operand's type.
    K(u64),
    /// SCC, VCCZ or EXECZ by code.
    Flag(u16),
}

/// Where a vector result goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dst {
    /// Architectural VGPR.
    V(u16),
    /// Accumulation VGPR.
    A(u16),
    /// Operand row.
    T(u16),
}

/// Where lane arithmetic finds an operand: worked out once, so that fetching it takes no decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Index into [`Cx::bases`].
    pub(crate) base: u8,
    /// Row from the base.
    pub(crate) row: u16,
}

impl Slot {
    const fn of(dst: Dst) -> Slot {
        match dst {
            Dst::V(row) => Slot { base: 0, row },
            Dst::A(row) => Slot { base: 1, row },
            Dst::T(row) => Slot { base: 2, row },
        }
    }
}

/// What negation and absolute value do to an operand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sign {
    /// The dword that has the sign.
    pub(crate) dword: usize,
    /// Bits to keep, then bits to flip.
    pub(crate) keep: u32,
    pub(crate) flip: u32,
}

/// [`Inst::flags`] of what is no instruction: its row is anybody's.
const NO_INSTRUCTION: u16 = u16::MAX;

/// First operand row of staged operands: two for each source.
pub(crate) const STAGE: u16 = 16;

/// From this value on, [`Inst::staged`] says that a source's sign changes.
pub(crate) const STAGED_SIGNS: u8 = 1 << 3;

/// An instruction ready to run.
///
/// Two cache lines: what lane arithmetic needs, which is what programs spend their time on, is in the first.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Inst {
    pub(crate) run: Handler,
    /// `src` and `dst` as lane arithmetic wants them; [`settle`](Inst::settle) keeps them true.
    pub(crate) from: [Slot; 3],
    pub(crate) to: Slot,
    /// Rows beyond the last architectural and accumulation VGPR that the instruction names.
    pub(crate) vgprs: u16,
    pub(crate) agprs: u16,
    /// Whether a translated run may begin here ([`run`](super::run)).
    pub(crate) leads: bool,
    /// Length in bytes.
    pub(crate) bytes: u8,
    /// Sources that must be staged first: a bit each for scalars, then a bit each for changes of sign.
    pub(crate) staged: u8,
    /// Scalar destination code, or `saddr`/`soffset` of memory instructions.
    pub(crate) sdst: u8,
    /// Negate and absolute-value bits by source, taken from VOP3 or SDWA/DPP. VOP3P: `neg_lo`.
    pub(crate) neg: u8,
    pub(crate) abs: u8,
    /// See [`Fields::op_sel`].
    pub(crate) op_sel: u8,
    pub(crate) op_sel_hi: u8,
    pub(crate) omod: u8,
    pub(crate) imm: i32,
    pub(crate) literal: u32,
    pub(crate) dst: Dst,
    /// Bits of [`fields::flag`].
    pub(crate) flags: u16,
    /// Row number in [`isa::ROWS`].
    pub(crate) row: u16,
    pub(crate) clamp: bool,
    pub(crate) src: [Src; 3],
    pub(crate) extra: Extra,
    /// The row's own handler, where `run` is the one that deals with decorations first.
    pub(crate) plain: Handler,
}

const _: () = assert!(size_of::<Inst>() == 128);

impl Inst {
    /// Returns the table row.
    pub(crate) fn row(&self) -> &'static Row {
        // PANIC: `row` was taken from `Fields`, which takes it from the table.
        &isa::ROWS[usize::from(self.row)]
    }

    /// Whether it is one: words that are none have a row all the same, which means nothing.
    pub(crate) fn is_instruction(&self) -> bool {
        self.flags != NO_INSTRUCTION
    }

    /// Returns what to run for the instruction at `words[0]`; words that are no instruction run into a fault.
    pub(crate) fn decode(arch: Arch, tier: &Tier, words: &[u32]) -> Inst {
        match isa::decode(arch, words) {
            Ok(f) => Inst::bind(tier, &f),
            Err(_) => Inst { literal: words.first().copied().unwrap_or(0), ..Inst::ILLEGAL },
        }
    }

    const ILLEGAL: Inst = Inst {
        run: |cx, i| cx.illegal(i),
        plain: |cx, i| cx.illegal(i),
        row: 0,
        bytes: 4,
        sdst: 0,
        neg: 0,
        abs: 0,
        op_sel: 0,
        op_sel_hi: 0,
        omod: 0,
        clamp: false,
        flags: NO_INSTRUCTION,
        vgprs: 0,
        agprs: 0,
        leads: false,
        imm: 0,
        literal: 0,
        dst: Dst::V(0),
        src: [Src::K(0); 3],
        extra: Extra::None,
        from: [Slot::of(Dst::V(0)); 3],
        to: Slot::of(Dst::V(0)),
        staged: 0,
    };

    /// Returns an instruction of a row with sources in v[0:5] and the result in v[8:11], masks in scalar registers: to ask what the row does.
    pub(crate) fn of_row(tier: &Tier, number: u16) -> Inst {
        let run = tier.handler(number);
        let mut i = Inst { run, plain: run, row: number, flags: 0, ..Inst::ILLEGAL };
        let row = i.row();
        i.src = [Src::V(0), Src::V(2), if row.src[2] == Ty::Mask { Src::S(10) } else { Src::V(4) }];
        (i.dst, i.sdst, i.op_sel_hi) = (Dst::V(8), 106, 7);
        if row.traits.has(Traits::ACCUMULATES) {
            i.src[2] = super::memory::as_src(i.dst);
        }
        i.settle();
        i
    }

    fn bind(tier: &Tier, f: &Fields) -> Inst {
        let row = f.row();
        let mut i = Inst {
            run: tier.handler(f.row),
            plain: tier.handler(f.row),
            row: f.row,
            bytes: f.words * 4,
            sdst: f.sdst as u8,
            neg: f.neg,
            abs: f.abs,
            op_sel: f.op_sel,
            op_sel_hi: f.op_sel_hi,
            omod: f.omod,
            clamp: f.clamp,
            flags: f.flags,
            imm: f.imm,
            literal: f.literal,
            extra: f.extra,
            ..Inst::ILLEGAL
        };
        if has_scalar_dst(row) {
            i.sdst = f.dst as u8;
        } else {
            i.dst = vector_dst(f);
        }
        if row.encoding == Encoding::Smem {
            // The scalar offset keeps its place; the destination took `sdst`.
            i.src[1] = Src::S(f.sdst as u8);
        }
        for (k, code) in f.src.into_iter().enumerate() {
            let ty = row.src[k];
            if ty != Ty::None {
                i.src[k] = source(code, ty, f.literal, f.acc >> (k + 1) & 1 == 1);
            }
        }
        if row.traits.has(Traits::ACCUMULATES) {
            i.src[2] = super::memory::as_src(vector_dst(f));
            // The third source has no modifiers of its own.
            (i.neg, i.abs) = (i.neg & 3, i.abs & 3);
        }
        i.measure(row, f);
        i.settle();
        if super::modified::needs(&i, row) {
            i.run = super::modified::run;
        }
        if row.traits.has(Traits::DECODE_ONLY) {
            i.run = |cx, i| cx.unsupported(i);
        } else if i.flags & flag::LDS != 0 {
            i.run = |cx, i| cx.load_to_lds(i);
        } else if i.flags & flag::GDS != 0 && !row.name.starts_with("ds_gws") {
            i.run = |cx, i| cx.unsupported_form(i, "global data share");
        }
        i
    }

    /// Works the slots out anew. Call after changing `src` or `dst`.
    pub(crate) fn settle(&mut self) {
        self.to = Slot::of(self.dst);
        self.staged = 0;
        let no_sources = self.row().src == [Ty::None; 3];
        for k in 0..3 {
            let staged = Slot { base: 2, row: STAGE + 2 * k as u16 };
            let signed = self.sign(k).is_some();
            let (slot, scalar) = match self.src[k] {
                Src::V(r) => (Slot::of(Dst::V(r)), false),
                Src::A(r) => (Slot::of(Dst::A(r)), false),
                Src::T(r) => (Slot::of(Dst::T(r)), false),
                Src::S(_) | Src::K(_) | Src::Flag(_) => (staged, true),
            };
            self.from[k] = if signed { staged } else { slot };
            if !no_sources {
                self.staged |= u8::from(scalar) << k | if signed { STAGED_SIGNS << k } else { 0 };
            }
        }
    }

    /// Returns what the sign modifiers do to source `k`, if they do anything: numbers have a sign, bits do not.
    pub(crate) fn sign(&self, k: usize) -> Option<Sign> {
        let (neg, abs) = (self.neg >> k & 1, self.abs >> k & 1);
        if neg | abs == 0 {
            return None;
        }
        let row = self.row();
        let (dword, bit) = match row.src[k] {
            // Handlers of packed and mixed operands have their own.
            _ if matches!(row.encoding, Encoding::Vop3p | Encoding::Mai) => return None,
            Ty::F16 => (0, 15),
            Ty::F32 => (0, 31),
            Ty::F64 => (1, 31),
            // Its operands are bits to the decoder, but it takes the modifiers of floats.
            Ty::B32 if row.name == "v_cndmask_b32" => (0, 31),
            _ => return None,
        };
        Some(Sign { dword, keep: !(u32::from(abs) << bit), flip: u32::from(neg) << bit })
    }

    /// Notes how many vector registers the instruction reaches.
    fn measure(&mut self, row: &Row, f: &Fields) {
        let mut reach = |src: Src, dwords: u16| match src {
            Src::V(r) if dwords != 0 => self.vgprs = self.vgprs.max(r + dwords),
            Src::A(r) if dwords != 0 => self.agprs = self.agprs.max(r + dwords),
            _ => {}
        };
        for (k, (src, ty)) in self.src.into_iter().zip(row.src).enumerate() {
            // The address of a memory instruction takes as many registers as its flags say.
            let dwords = match row.encoding {
                Encoding::Global if k == 0 && f.flags & flag::SADDR != 0 => 1,
                Encoding::Scratch if k == 0 => u16::from(f.has_vector_address()),
                Encoding::Mubuf if k == 0 => {
                    u16::from(f.flags & flag::OFFEN != 0) + u16::from(f.flags & flag::IDXEN != 0)
                }
                _ => ty.dwords(),
            };
            reach(src, dwords);
        }
        let atomic_result = f.flags & flag::GLC != 0 || row.traits.has(Traits::LOAD) || row.encoding == Encoding::Mubuf;
        let unused = row.traits.has(Traits::ATOMIC) && !atomic_result || row.encoding == Encoding::Vopc;
        if !has_scalar_dst(row) && !unused {
            reach(super::memory::as_src(vector_dst(f)), row.dst.dwords());
        }
    }
}

/// Whether the destination field names a scalar register.
fn has_scalar_dst(row: &Row) -> bool {
    matches!(row.encoding, Encoding::Sop1 | Encoding::Sop2 | Encoding::Sopk | Encoding::Smem)
        || row.traits.has(Traits::SCALAR_DST)
}

fn vector_dst(f: &Fields) -> Dst {
    if f.acc & 1 == 0 { Dst::V(f.dst) } else { Dst::A(f.dst) }
}

/// Resolves a source code to an operand of type `ty`.
fn source(code: u16, ty: Ty, literal: u32, acc: bool) -> Src {
    match code {
        CODE_VGPR.. if acc => Src::A(code - CODE_VGPR),
        CODE_VGPR.. => Src::V(code - CODE_VGPR),
        0..=127 => Src::S(code as u8),
        235 => Src::K(u64::from(SHARED_APERTURE_HI) << high_shift(ty)),
        236 => Src::K(0xffff_ffff),
        237 => Src::K(u64::from(PRIVATE_APERTURE_HI) << high_shift(ty)),
        238 => Src::K(0xffff_ffff),
        251..=fields::CODE_SCC => Src::Flag(code),
        CODE_LITERAL => Src::K(expand_literal(literal, ty)),
        _ => Src::K(inline_constant(code, ty)),
    }
}

/// A 64-bit operand that names an aperture base gets all of it, a 32-bit one its high half.
const fn high_shift(ty: Ty) -> u32 {
    if ty.dwords() == 2 { 32 } else { 0 }
}

/// A literal is the high half of a double, is sign-extended for signed and zero-extended for other 64-bit operands.
fn expand_literal(literal: u32, ty: Ty) -> u64 {
    match ty {
        Ty::F64 => u64::from(literal) << 32,
        Ty::I64 => i64::from(literal as i32) as u64,
        _ => u64::from(literal),
    }
}

/// Expands an inline constant (codes 128..=248) to the bits an operand of type `ty` sees.
fn inline_constant(code: u16, ty: Ty) -> u64 {
    let integer = |value: i64| match ty.dwords() {
        2 if !matches!(ty, Ty::PF32 | Ty::P32) => value as u64,
        // The only operand of eight registers that can be a constant is the addend of a product of doubles.
        8 => value as u64,
        _ => u64::from(value as u32),
    };
    let float = |f16: u16, f32: f32, f64: f64| match ty {
        Ty::F16 | Ty::B16 | Ty::I16 | Ty::U16 | Ty::PF16 | Ty::P16 => u64::from(f16),
        Ty::F64 | Ty::B64 | Ty::I64 | Ty::U64 | Ty::B256 => f64.to_bits(),
        _ => u64::from(f32.to_bits()),
    };
    match code {
        128..=192 => integer(i64::from(code) - 128),
        193..=208 => integer(192 - i64::from(code)),
        240 => float(0x3800, 0.5, 0.5),
        241 => float(0xb800, -0.5, -0.5),
        242 => float(0x3c00, 1.0, 1.0),
        243 => float(0xbc00, -1.0, -1.0),
        244 => float(0x4000, 2.0, 2.0),
        245 => float(0xc000, -2.0, -2.0),
        246 => float(0x4400, 4.0, 4.0),
        247 => float(0xc400, -4.0, -4.0),
        // 1 / (2 pi), rounded in each format (ISA document, "inline constants").
        248 => match ty {
            Ty::F64 | Ty::B64 | Ty::I64 | Ty::U64 | Ty::B256 => 0x3fc4_5f30_6dc9_c882,
            _ => float(0x3118, f32::from_bits(0x3e22_f983), 0.0),
        },
        _ => 0,
    }
}
