//! Takes instruction words apart: which row, which registers, which modifiers. Total: any words give an answer.

use super::{ENCODINGS, Encoding, ROWS, Row, Traits, Ty};
use crate::arch::Arch;
use std::sync::OnceLock;

/// Code of the first inline integer constant (0); codes below are scalar registers.
pub const CODE_INLINE: u16 = 128;
/// Code of SCC as a source.
pub const CODE_SCC: u16 = 253;
/// Source code that says "a literal follows".
pub const CODE_LITERAL: u16 = 255;
/// Source code that says "an SDWA word follows".
pub const CODE_SDWA: u16 = 249;
/// Source code that says "a DPP word follows".
pub const CODE_DPP: u16 = 250;
/// Codes from here on are vector registers.
pub const CODE_VGPR: u16 = 256;
/// VCC's code (low half).
pub const CODE_VCC: u16 = 106;

/// Why words are no instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No instruction of this architecture has this encoding and opcode.
    #[error("no instruction has the word {word:#010x}")]
    Illegal {
        /// First word.
        word: u32,
    },
    /// The instruction goes on past the words there are.
    #[error("the instruction that begins with {word:#010x} is cut off")]
    Truncated {
        /// First word.
        word: u32,
    },
}

/// Sub-dword or cross-lane decoration of a VOP1, VOP2 or VOPC instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// None.
    None,
    /// The SDWA word.
    Sdwa(u32),
    /// The DPP word.
    Dpp(u32),
}

/// An instruction taken apart. Field names are the ISA document's.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    /// Index into [`ROWS`].
    pub row: u16,
    /// Length in 32-bit words, literal and SDWA/DPP word included.
    pub words: u8,
    /// Whether a VOP1, VOP2 or VOPC instruction came as VOP3 (`_e64`).
    pub e64: bool,
    /// Vector destination or data register (0..255), or scalar destination code for scalar encodings.
    pub dst: u16,
    /// Scalar destination of VOP3B and VOPC (code), or `saddr`/`soffset` code of memory encodings.
    pub sdst: u16,
    /// Source codes: 0..127 scalar, 128..255 inline constant or special, 256..511 vector.
    pub src: [u16; 3],
    /// The literal, where a source code says so.
    pub literal: u32,
    /// Signed immediate: SIMM16, memory offset, DS offset0 | offset1 << 8.
    pub imm: i32,
    /// Negate bits by source.
    pub neg: u8,
    /// Absolute-value bits by source (VOP3), or `neg_hi` (VOP3P).
    pub abs: u8,
    /// Output multiplier code.
    pub omod: u8,
    /// Clamp the result.
    pub clamp: bool,
    /// Half selects (VOP3), low selects (VOP3P); bit 3 is the destination's. For MAI: CBSZ | ABID << 4.
    pub op_sel: u8,
    /// High selects (VOP3P). For MAI: BLGP.
    pub op_sel_hi: u8,
    /// Accumulation registers: bit 0 destination/data, bits 1.. the sources (VOP3P-MAI, DS, FLAT, MUBUF on gfx90a and later).
    pub acc: u8,
    /// Encoding-specific flags, see [`flag`].
    pub flags: u16,
    /// SDWA or DPP.
    pub extra: Extra,
}

/// Bits of [`Fields::flags`].
pub mod flag {
    /// `glc` (gfx90a) or `sc0` (gfx942).
    pub const GLC: u16 = 1;
    /// `slc` (gfx90a) or `nt` (gfx942).
    pub const SLC: u16 = 2;
    /// `scc` (gfx90a) or `sc1` (gfx942).
    pub const SCC: u16 = 4;
    /// MUBUF `offen`.
    pub const OFFEN: u16 = 8;
    /// MUBUF `idxen`.
    pub const IDXEN: u16 = 16;
    /// `lds`.
    pub const LDS: u16 = 32;
    /// DS `gds`.
    pub const GDS: u16 = 64;
    /// SMEM: the offset is an immediate (`imm`).
    pub const IMM: u16 = 128;
    /// SMEM: a scalar offset is given too (`soffset_en`).
    pub const SOFFSET: u16 = 256;
    /// FLAT, GLOBAL, SCRATCH: `saddr` names a register.
    pub const SADDR: u16 = 512;
    /// SCRATCH on gfx942: a vector address is given (`sve`).
    pub const SVE: u16 = 1024;
    /// SMEM, FLAT: `nv`.
    pub const NV: u16 = 2048;
    /// SCRATCH on gfx942: [`SVE`] is a field of the encoding.
    pub const HAS_SVE: u16 = 4096;
}

impl Fields {
    /// Returns the table row.
    pub fn row(&self) -> &'static Row {
        // PANIC: `row` comes from `lookup`, which indexes ROWS.
        &ROWS[usize::from(self.row)]
    }

    /// Whether a SCRATCH instruction takes an offset from a vector register: said by a bit of its own where there is one.
    pub fn has_vector_address(&self) -> bool {
        if self.flags & flag::HAS_SVE != 0 { self.flags & flag::SVE != 0 } else { self.flags & flag::SADDR == 0 }
    }

    /// Whether every source that the row has is a code that means something, a literal only where the form may carry one.
    fn sources_exist(&self, literal: bool) -> bool {
        self.src.iter().zip(self.row().src).all(|(&code, ty)| match code {
            _ if matches!(ty, Ty::None | Ty::Imm16) => true,
            209..=234 | 239 | CODE_SDWA | CODE_DPP | 254 => false,
            CODE_LITERAL => literal,
            _ => true,
        })
    }
}

struct Index {
    /// Row number + 1 by architecture, encoding and opcode.
    rows: [[[u16; 1024]; ENCODINGS]; 2],
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Box<Index>> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut index = Box::new(Index { rows: [[[0; 1024]; ENCODINGS]; 2] });
        for (number, row) in ROWS.iter().enumerate() {
            for arch in Arch::ALL {
                if row.archs.contains(arch) {
                    let slot = &mut index.rows[arch as usize][row.encoding as usize][usize::from(row.op)];
                    assert_eq!(*slot, 0, "two rows for {:?} opcode {}: second is {}", row.encoding, row.op, row.name);
                    *slot = number as u16 + 1;
                }
            }
        }
        index
    })
}

fn lookup(arch: Arch, encoding: Encoding, op: u32) -> Option<u16> {
    let rows = &index().rows[arch as usize][encoding as usize];
    rows.get(op as usize).and_then(|n| n.checked_sub(1))
}

const fn bits(word: u32, low: u32, count: u32) -> u32 {
    (word >> low) & ((1 << count) - 1)
}

/// Takes apart the instruction that begins at `words[0]`.
pub fn decode(arch: Arch, words: &[u32]) -> Result<Fields, DecodeError> {
    let Some(&word) = words.first() else { return Err(DecodeError::Truncated { word: 0 }) };
    let illegal = DecodeError::Illegal { word };
    let mut f = Fields {
        row: 0,
        words: 1,
        e64: false,
        dst: 0,
        sdst: 0,
        src: [0; 3],
        literal: 0,
        imm: 0,
        neg: 0,
        abs: 0,
        omod: 0,
        clamp: false,
        op_sel: 0,
        op_sel_hi: 0,
        acc: 0,
        flags: 0,
        extra: Extra::None,
    };
    let find = |encoding, op| lookup(arch, encoding, op).ok_or(illegal);
    let second = || words.get(1).copied().ok_or(DecodeError::Truncated { word });

    if word >> 31 == 0 {
        decode_vop_short(&mut f, arch, word)?;
        let code = f.src[0];
        append(&mut f, words, code)?;
        return f.sources_exist(true).then_some(f).ok_or(illegal);
    }
    match word >> 26 {
        // 10....: SOP2 and those that share its prefix.
        0b10_0000..=0b10_1111 => {
            decode_scalar(&mut f, arch, word)?;
            if let Some(literal) = f.src[..2].iter().copied().find(|&s| s == CODE_LITERAL) {
                append(&mut f, words, literal)?;
            }
            // s_setreg_imm32_b32 carries its literal without a source code that says so.
            if f.row().traits.has(Traits::LITERAL) && f.words == 1 {
                f.literal = second()?;
                f.words = 2;
            }
            f.sources_exist(true).then_some(f).ok_or(illegal)
        }
        0b11_0000 => {
            let second = second()?;
            f.words = 2;
            f.row = find(Encoding::Smem, bits(word, 18, 8))?;
            f.dst = bits(word, 6, 7) as u16;
            f.src[0] = (bits(word, 0, 6) << 1) as u16;
            set(&mut f, flag::GLC, bits(word, 16, 1));
            set(&mut f, flag::NV, bits(word, 15, 1));
            set(&mut f, flag::IMM, bits(word, 17, 1));
            set(&mut f, flag::SOFFSET, bits(word, 14, 1));
            f.imm = (bits(second, 0, 21) << 11) as i32 >> 11;
            // Without IMM the offset register sits in the low bits of the offset field.
            f.sdst = if f.flags & (flag::IMM | flag::SOFFSET) == 0 {
                bits(second, 0, 7) as u16
            } else {
                bits(second, 25, 7) as u16
            };
            Ok(f)
        }
        0b11_0100 => {
            let second = second()?;
            f.words = 2;
            if bits(word, 23, 3) == 0b111 {
                decode_vop3p(&mut f, arch, word, second)
            } else {
                decode_vop3(&mut f, arch, word, second)
            }
            .ok_or(illegal)?;
            f.sources_exist(false).then_some(f).ok_or(illegal)
        }
        0b11_0110 => {
            let second = second()?;
            f.words = 2;
            f.row = find(Encoding::Ds, bits(word, 17, 8))?;
            f.imm = bits(word, 0, 16) as i32;
            set(&mut f, flag::GDS, bits(word, 16, 1));
            f.acc = bits(word, 25, 1) as u8 * 0b1101;
            f.src = [bits(second, 0, 8), bits(second, 8, 8), bits(second, 16, 8)].map(|v| v as u16 + CODE_VGPR);
            f.dst = bits(second, 24, 8) as u16;
            Ok(f)
        }
        0b11_0111 => {
            let second = second()?;
            f.words = 2;
            let encoding = match bits(word, 14, 2) {
                0 => Encoding::Flat,
                1 => Encoding::Scratch,
                2 => Encoding::Global,
                _ => return Err(illegal),
            };
            f.row = find(encoding, bits(word, 18, 7))?;
            let signed = (bits(word, 0, 13) << 19) as i32 >> 19;
            f.imm = if encoding == Encoding::Flat { bits(word, 0, 12) as i32 } else { signed };
            let sve = arch == Arch::Gfx942 && encoding == Encoding::Scratch;
            set(&mut f, flag::HAS_SVE, u32::from(sve));
            set(&mut f, if sve { flag::SVE } else { flag::LDS }, bits(word, 13, 1));
            set(&mut f, flag::GLC, bits(word, 16, 1));
            set(&mut f, flag::SLC, bits(word, 17, 1));
            set(&mut f, flag::SCC, bits(word, 25, 1));
            f.src[0] = bits(second, 0, 8) as u16 + CODE_VGPR;
            f.src[1] = bits(second, 8, 8) as u16 + CODE_VGPR;
            f.sdst = bits(second, 16, 7) as u16;
            let saddr = encoding != Encoding::Flat && f.sdst != 0x7f;
            set(&mut f, flag::SADDR, u32::from(saddr));
            // One bit says for data and destination alike that they are accumulation registers.
            f.acc = bits(second, 23, 1) as u8 * 0b101;
            f.dst = bits(second, 24, 8) as u16;
            Ok(f)
        }
        0b11_1000 => {
            let second = second()?;
            f.words = 2;
            f.row = find(Encoding::Mubuf, bits(word, 18, 7))?;
            f.imm = bits(word, 0, 12) as i32;
            set(&mut f, flag::OFFEN, bits(word, 12, 1));
            set(&mut f, flag::IDXEN, bits(word, 13, 1));
            set(&mut f, flag::GLC, bits(word, 14, 1));
            set(&mut f, flag::SCC, bits(word, 15, 1));
            set(&mut f, flag::LDS, bits(word, 16, 1));
            set(&mut f, flag::SLC, bits(word, 17, 1));
            f.src[0] = bits(second, 0, 8) as u16 + CODE_VGPR;
            f.src[1] = (bits(second, 16, 5) << 2) as u16;
            f.src[2] = bits(second, 24, 8) as u16;
            f.dst = bits(second, 8, 8) as u16;
            f.acc = bits(second, 23, 1) as u8;
            Ok(f)
        }
        _ => Err(illegal),
    }
}

fn set(f: &mut Fields, flag: u16, value: u32) {
    f.flags |= flag * value as u16;
}

/// VOP1, VOP2 and VOPC in their short form.
fn decode_vop_short(f: &mut Fields, arch: Arch, word: u32) -> Result<(), DecodeError> {
    let illegal = DecodeError::Illegal { word };
    f.src[0] = bits(word, 0, 9) as u16;
    match bits(word, 25, 6) {
        0b11_1111 => {
            f.row = lookup(arch, Encoding::Vop1, bits(word, 9, 8)).ok_or(illegal)?;
            f.dst = bits(word, 17, 8) as u16;
            f.acc = own_acc(f.row());
        }
        0b11_1110 => {
            f.row = lookup(arch, Encoding::Vopc, bits(word, 17, 8)).ok_or(illegal)?;
            f.src[1] = bits(word, 9, 8) as u16 + CODE_VGPR;
            f.sdst = CODE_VCC;
        }
        op => {
            f.row = lookup(arch, Encoding::Vop2, op).ok_or(illegal)?;
            f.dst = bits(word, 17, 8) as u16;
            f.src[1] = bits(word, 9, 8) as u16 + CODE_VGPR;
            f.sdst = CODE_VCC;
            f.src[2] = CODE_VCC;
        }
    }
    Ok(())
}

/// Whether the row has the form that a source code asks for: SDWA works on registers of 32 bits, comparisons have no DPP.
fn form_exists(row: &Row, code: u16) -> bool {
    if code == CODE_DPP {
        return row.encoding != Encoding::Vopc && !row.traits.has(Traits::NO_DPP);
    }
    // A pair of floats is two results; what VOP1 makes them of is a half.
    let wide = |ty: Ty| ty.dwords() > 1 && ty != Ty::Mask && !(row.encoding == Encoding::Vop1 && ty == Ty::PF32);
    !row.traits.has(Traits::NO_SDWA) && !wide(row.dst) && !row.src.into_iter().any(wide)
}

/// Reads the word that a source code or the row says follows.
fn append(f: &mut Fields, words: &[u32], code: u16) -> Result<(), DecodeError> {
    let word = words.first().copied().unwrap_or(0);
    let literal = f.row().traits.has(Traits::LITERAL);
    let follows = matches!(code, CODE_LITERAL | CODE_SDWA | CODE_DPP) || literal;
    if !follows {
        return Ok(());
    }
    let next = words.get(1).copied().ok_or(DecodeError::Truncated { word })?;
    f.words = 2;
    if literal || code == CODE_LITERAL {
        if literal && matches!(code, CODE_SDWA | CODE_DPP) {
            return Err(DecodeError::Illegal { word });
        }
        f.literal = next;
    } else if !form_exists(f.row(), code) {
        return Err(DecodeError::Illegal { word });
    } else if code == CODE_SDWA {
        f.extra = Extra::Sdwa(next);
        let scalar = |bit: u32| if bits(next, bit, 1) == 1 { 0 } else { CODE_VGPR };
        f.src[0] = bits(next, 0, 8) as u16 + scalar(23);
        f.src[1] = (f.src[1] & 0xff) + scalar(31);
        f.neg = (bits(next, 20, 1) | bits(next, 28, 1) << 1) as u8;
        f.abs = (bits(next, 21, 1) | bits(next, 29, 1) << 1) as u8;
        if f.row().encoding == Encoding::Vopc {
            f.sdst = if bits(next, 15, 1) == 1 { bits(next, 8, 7) as u16 } else { CODE_VCC };
        } else {
            f.clamp = bits(next, 13, 1) == 1;
            f.omod = bits(next, 14, 2) as u8;
        }
    } else {
        f.extra = Extra::Dpp(next);
        f.src[0] = bits(next, 0, 8) as u16 + CODE_VGPR;
        f.neg = (bits(next, 20, 1) | bits(next, 22, 1) << 1) as u8;
        f.abs = (bits(next, 21, 1) | bits(next, 23, 1) << 1) as u8;
    }
    Ok(())
}

/// SOP2 and the four encodings that share its prefix.
fn decode_scalar(f: &mut Fields, arch: Arch, word: u32) -> Result<(), DecodeError> {
    let find = |encoding, op| lookup(arch, encoding, op).ok_or(DecodeError::Illegal { word });
    let simm16 = i32::from(word as u16 as i16);
    match word >> 23 {
        0b1_0111_1101 => {
            f.row = find(Encoding::Sop1, bits(word, 8, 8))?;
            f.dst = bits(word, 16, 7) as u16;
            f.src[0] = bits(word, 0, 8) as u16;
        }
        0b1_0111_1110 => {
            f.row = find(Encoding::Sopc, bits(word, 16, 7))?;
            f.src[0] = bits(word, 0, 8) as u16;
            f.src[1] = bits(word, 8, 8) as u16;
        }
        0b1_0111_1111 => {
            f.row = find(Encoding::Sopp, bits(word, 16, 7))?;
            f.imm = simm16;
        }
        _ if word >> 28 == 0b1011 => {
            f.row = find(Encoding::Sopk, bits(word, 23, 5))?;
            f.dst = bits(word, 16, 7) as u16;
            f.imm = simm16;
        }
        _ => {
            f.row = find(Encoding::Sop2, bits(word, 23, 7))?;
            f.dst = bits(word, 16, 7) as u16;
            f.src[0] = bits(word, 0, 8) as u16;
            f.src[1] = bits(word, 8, 8) as u16;
        }
    }
    Ok(())
}

fn decode_vop3(f: &mut Fields, arch: Arch, word: u32, second: u32) -> Option<()> {
    let op = bits(word, 16, 10);
    // VOP3 repeats the short encodings: VOPC at 0, VOP2 at 0x100, VOP1 at 0x140.
    let short = match op {
        0x000..0x100 => lookup(arch, Encoding::Vopc, op),
        0x100..0x140 => {
            lookup(arch, Encoding::Vop2, op - 0x100).filter(|&n| !ROWS[usize::from(n)].traits.has(Traits::LITERAL))
        }
        0x140..0x1c0 => lookup(arch, Encoding::Vop1, op - 0x140),
        _ => None,
    };
    f.e64 = short.is_some();
    f.row = short.or_else(|| lookup(arch, Encoding::Vop3, op)).or_else(|| lookup(arch, Encoding::Vop3b, op))?;
    f.dst = bits(word, 0, 8) as u16;
    f.clamp = bits(word, 15, 1) == 1;
    f.src = [bits(second, 0, 9), bits(second, 9, 9), bits(second, 18, 9)].map(|s| s as u16);
    f.omod = bits(second, 27, 2) as u8;
    f.neg = bits(second, 29, 3) as u8;
    let row = f.row();
    if row.encoding == Encoding::Vopc {
        f.sdst = f.dst;
        f.abs = bits(word, 8, 3) as u8;
        f.op_sel = bits(word, 11, 4) as u8;
    } else if row.encoding == Encoding::Vop3b || row.traits.has(Traits::CARRY_OUT) {
        f.sdst = bits(word, 8, 7) as u16;
    } else {
        f.abs = bits(word, 8, 3) as u8;
        f.op_sel = bits(word, 11, 4) as u8;
    }
    Some(())
}

/// Accumulation bits of the rows that have them by nature.
fn own_acc(row: &Row) -> u8 {
    u8::from(row.traits.has(Traits::ACC_DST)) | u8::from(row.traits.has(Traits::ACC_SRC)) << 1
}

fn decode_vop3p(f: &mut Fields, arch: Arch, word: u32, second: u32) -> Option<()> {
    let op = bits(word, 16, 7);
    f.dst = bits(word, 0, 8) as u16;
    f.src = [bits(second, 0, 9), bits(second, 9, 9), bits(second, 18, 9)].map(|s| s as u16);
    if let Some(row) = lookup(arch, Encoding::Mai, op) {
        f.row = row;
        f.op_sel = bits(word, 8, 7) as u8;
        f.op_sel_hi = bits(second, 29, 3) as u8;
        // acc_cd covers both the addend and the destination; the index of a sparse product is an ordinary register.
        let acc_cd = bits(word, 15, 1);
        let addend = if f.row().src[2] == f.row().dst { acc_cd } else { 0 };
        f.acc = match own_acc(f.row()) {
            0 => (acc_cd | bits(second, 27, 2) << 1 | addend << 3) as u8,
            own => own,
        };
        return Some(());
    }
    f.row = lookup(arch, Encoding::Vop3p, op)?;
    f.abs = bits(word, 8, 3) as u8;
    f.op_sel = bits(word, 11, 3) as u8;
    f.op_sel_hi = (bits(second, 27, 2) | bits(word, 14, 1) << 2) as u8;
    f.clamp = bits(word, 15, 1) == 1;
    f.neg = bits(second, 29, 3) as u8;
    Some(())
}
