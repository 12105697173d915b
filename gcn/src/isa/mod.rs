//! The instruction set as data: one row an instruction, used to decode, to disassemble and to execute.
//!
//! `table` holds the rows. [`fields`] takes an instruction word apart by its encoding, [`disasm`] prints it as LLVM does,
//! and `exec` turns it into something that runs. A row names its encoding and opcode, its mnemonic without encoding suffix, the
//! architectures that have it, the types of its operands, and the method of the execution context that carries it out.
//!
//! Sources: AMD "Instinct MI200 Instruction Set Architecture" and "Instinct MI300 Instruction Set Architecture" (encodings,
//! opcodes, operation); LLVM's disassembler (mnemonics, operand order), against which every row is checked by `cargo xtask isa`.

pub mod disasm;
pub mod fields;
pub(crate) mod table;

pub use fields::{DecodeError, Fields, decode};
pub use table::ROWS;

use crate::arch::Arch;

/// How an instruction is packed into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the ISA document's")]
pub enum Encoding {
    Sop2,
    Sopk,
    Sop1,
    Sopc,
    Sopp,
    Smem,
    Vop1,
    Vop2,
    Vopc,
    Vop3,
    /// VOP3 with a scalar destination in place of the absolute-value bits.
    Vop3b,
    Vop3p,
    /// Matrix instructions: VOP3P words with fields of their own.
    Mai,
    Ds,
    Flat,
    Scratch,
    Global,
    Mubuf,
}

/// Number of [`Encoding`]s.
pub(crate) const ENCODINGS: usize = Encoding::Mubuf as usize + 1;

/// Type of one operand: how wide it is and how an inline constant expands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "letter is the kind (bits, integer, unsigned, float, packed), number the bits")]
pub enum Ty {
    /// No such operand.
    None,
    /// The instruction's 16-bit immediate.
    Imm16,
    B16,
    I16,
    U16,
    F16,
    B32,
    I32,
    U32,
    F32,
    B64,
    I64,
    U64,
    F64,
    B96,
    B128,
    B256,
    B512,
    B1024,
    /// Two 16-bit integers.
    P16,
    /// Two 16-bit floats.
    PF16,
    /// Two 32-bit floats in a register pair.
    PF32,
    /// Two 32-bit words in a register pair.
    P32,
    /// A 64-bit scalar that holds a bit for each lane.
    Mask,
}

impl Ty {
    /// Returns how many 32-bit registers an operand of this type takes.
    pub const fn dwords(self) -> u16 {
        match self {
            Ty::None | Ty::Imm16 => 0,
            Ty::B16 | Ty::I16 | Ty::U16 | Ty::F16 | Ty::B32 | Ty::I32 | Ty::U32 | Ty::F32 | Ty::P16 | Ty::PF16 => 1,
            Ty::B64 | Ty::I64 | Ty::U64 | Ty::F64 | Ty::PF32 | Ty::P32 | Ty::Mask => 2,
            Ty::B96 => 3,
            Ty::B128 => 4,
            Ty::B256 => 8,
            Ty::B512 => 16,
            Ty::B1024 => 32,
        }
    }

    /// Whether negation and absolute value of this operand work on a sign bit.
    pub const fn is_float(self) -> bool {
        matches!(self, Ty::F16 | Ty::F32 | Ty::F64 | Ty::PF16 | Ty::PF32)
    }
}

/// The architectures that have an instruction, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archs(u8);

impl Archs {
    /// Both.
    pub const ALL: Archs = Archs(3);
    /// gfx90a only.
    pub const GFX90A: Archs = Archs(1);
    /// gfx942 only.
    pub const GFX942: Archs = Archs(2);

    /// Whether `arch` is in the set.
    pub const fn contains(self, arch: Arch) -> bool {
        self.0 & 1 << arch as u8 != 0
    }
}

/// Properties of a row beyond its operand types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits(u16);

impl Traits {
    /// Nothing special.
    pub const NONE: Traits = Traits(0);
    /// Writes a carry, borrow or condition mask: VCC in the short encoding, any scalar pair in VOP3.
    pub const CARRY_OUT: Traits = Traits(1);
    /// Reads a mask as its last source: VCC in the short encoding.
    pub const CARRY_IN: Traits = Traits(2);
    /// The destination is also a source (`v_fmac`, `v_writelane`).
    pub const ACCUMULATES: Traits = Traits(4);
    /// Carries a 32-bit literal as an operand of its own (`v_madmk`, `v_fmaak`).
    pub const LITERAL: Traits = Traits(8);
    /// The first source or the destination is a scalar although the encoding is vector (`v_readfirstlane`).
    pub const SCALAR_DST: Traits = Traits(16);
    /// Decoded and printed, but not executed.
    pub const DECODE_ONLY: Traits = Traits(32);
    /// Memory: the destination is returned (atomics with return are told by a bit of the word instead).
    pub const LOAD: Traits = Traits(64);
    /// Memory: an atomic; returns its old value when `glc` (or the DS opcode) says so.
    pub const ATOMIC: Traits = Traits(128);
    /// Ignores EXEC (`v_readlane`, `v_readfirstlane`, `v_writelane`, matrix instructions).
    pub const IGNORES_EXEC: Traits = Traits(256);
    /// The destination is an accumulation register by nature (`v_accvgpr_write`).
    pub const ACC_DST: Traits = Traits(512);
    /// The source is an accumulation register by nature (`v_accvgpr_read`).
    pub const ACC_SRC: Traits = Traits(1024);
    /// VOP3: `op_sel` chooses halves, and the half of the destination that it does not choose is kept.
    pub const OP_SEL: Traits = Traits(2048);
    /// VOP3P: each operand is a float or a half of a register, as `op_sel_hi` says, with negation and absolute value.
    pub const MIX: Traits = Traits(4096);
    /// VOP1, VOP2, VOPC without a sub-dword form.
    pub const NO_SDWA: Traits = Traits(8192);
    /// VOP1, VOP2, VOPC without a cross-lane form.
    pub const NO_DPP: Traits = Traits(16384);

    /// Returns the union.
    pub const fn and(self, other: Traits) -> Traits {
        Traits(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Traits) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Mnemonic as LLVM prints it, without `_e32`, `_e64`, `_sdwa` or `_dpp`.
    pub name: &'static str,
    /// Encoding the opcode belongs to. VOP1, VOP2 and VOPC rows also stand for their VOP3, SDWA and DPP forms.
    pub encoding: Encoding,
    /// Opcode within the encoding.
    pub op: u16,
    /// Who has it.
    pub archs: Archs,
    /// Type of the destination.
    pub dst: Ty,
    /// Types of the sources, in the order of the encoding's fields.
    pub src: [Ty; 3],
    /// Further properties.
    pub traits: Traits,
}
