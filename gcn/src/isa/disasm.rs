//! Prints instructions as LLVM's disassembler does.
//!
//! Promise: for every instruction that both this crate and LLVM 19 decode, the text is LLVM's, one space after the mnemonic; `cargo xtask
//! isa` compares the two. Branch targets stay the plain number of the immediate, as LLVM prints them without symbols.

use super::fields::{CODE_LITERAL, CODE_VCC, CODE_VGPR, Extra, Fields, flag};
use super::{Encoding, Traits, Ty};
use crate::arch::Arch;
use core::fmt::Write as _;

/// Returns the text of an instruction that [`decode`](super::decode) took apart; `arch` is the one it was decoded for.
pub fn disassemble(arch: Arch, fields: &Fields) -> String {
    let mut p = Printer { arch, f: fields, text: String::new(), operands: 0 };
    p.mnemonic();
    match fields.row().encoding {
        Encoding::Sop1 | Encoding::Sop2 | Encoding::Sopc => p.scalar(),
        Encoding::Sopk => p.sopk(),
        Encoding::Sopp => p.sopp(),
        Encoding::Smem => p.smem(),
        Encoding::Vop1 | Encoding::Vop2 | Encoding::Vopc | Encoding::Vop3 | Encoding::Vop3b => p.vector(),
        Encoding::Vop3p => p.packed(),
        Encoding::Mai => p.matrix(),
        Encoding::Ds => p.ds(),
        Encoding::Flat | Encoding::Global | Encoding::Scratch => p.flat(),
        Encoding::Mubuf => p.mubuf(),
    }
    p.text
}

struct Printer<'a> {
    arch: Arch,
    f: &'a Fields,
    text: String,
    operands: usize,
}

impl Printer<'_> {
    fn mnemonic(&mut self) {
        let row = self.f.row();
        self.text.push_str(row.name);
        let short = matches!(row.encoding, Encoding::Vop1 | Encoding::Vop2 | Encoding::Vopc);
        let only =
            matches!(row.name, "v_nop" | "v_readfirstlane_b32" | "v_clrexcp" | "v_swap_b32" | "v_accvgpr_mov_b32")
                || row.traits.has(Traits::LITERAL);
        match self.f.extra {
            _ if !short => {}
            Extra::Sdwa(_) => self.text.push_str("_sdwa"),
            Extra::Dpp(_) => self.text.push_str("_dpp"),
            _ if row.dst == Ty::None => {}
            Extra::None if self.f.e64 => self.text.push_str("_e64"),
            Extra::None if only => {}
            Extra::None => self.text.push_str("_e32"),
        }
    }

    /// Appends an operand, with its separator.
    fn operand(&mut self, text: &str) {
        self.text.push_str(if self.operands == 0 { " " } else { ", " });
        self.text.push_str(text);
        self.operands += 1;
    }

    /// Appends a modifier.
    fn word(&mut self, text: &str) {
        self.text.push(' ');
        self.text.push_str(text);
    }

    /// Appends `text` if the flag is set.
    fn flagged(&mut self, bit: u16, text: &str) {
        if self.f.flags & bit != 0 {
            self.word(text);
        }
    }

    /// Cache bits of vector memory instructions, by the names each architecture has for them.
    fn cache_bits(&mut self) {
        let [glc, slc, scc] = match self.arch {
            Arch::Gfx90a => ["glc", "slc", "scc"],
            Arch::Gfx942 => ["sc0", "nt", "sc1"],
        };
        self.flagged(flag::GLC, glc);
        self.flagged(flag::SLC, slc);
        self.flagged(flag::SCC, scc);
    }

    fn offset(&mut self) {
        if self.f.imm != 0 {
            self.word(&format!("offset:{}", self.f.imm));
        }
    }

    fn source(&self, k: usize) -> String {
        let ty = self.f.row().src[k];
        source(self.f.src[k], ty, self.f.literal, self.f.acc >> (k + 1) & 1 == 1)
    }

    fn vector_dst(&self, dwords: u16) -> String {
        vector(self.f.dst, dwords, self.f.acc & 1 == 1)
    }

    fn sources(&self) -> usize {
        self.f.row().src.iter().take_while(|&&ty| ty != Ty::None).count()
    }

    // ---- scalar ---------------------------------------------------------------------------------------------------------------

    fn scalar(&mut self) {
        let row = self.f.row();
        if row.dst != Ty::None {
            self.operand(&scalar(self.f.dst, row.dst.dwords()));
        }
        if row.name == "s_set_gpr_idx_on" {
            self.operand(&self.source(0));
            self.operand(&gpr_index(self.f.src[1]));
            return;
        }
        for k in 0..self.sources() {
            self.operand(&self.source(k));
        }
    }

    fn sopk(&mut self) {
        let row = self.f.row();
        let imm = self.f.imm as u16;
        let dst = scalar(self.f.dst, row.dst.dwords());
        match row.name {
            "s_getreg_b32" => {
                self.operand(&dst);
                self.operand(&hwreg(self.arch, imm));
            }
            "s_setreg_b32" => {
                self.operand(&hwreg(self.arch, imm));
                self.operand(&dst);
            }
            "s_setreg_imm32_b32" => {
                self.operand(&hwreg(self.arch, imm));
                self.operand(&constant(self.f.literal, Ty::B32));
            }
            "s_call_b64" | "s_cbranch_i_fork" => {
                let pair = scalar(self.f.dst, 2);
                self.operand(&pair);
                self.operand(&imm.to_string());
            }
            _ => {
                self.operand(&dst);
                self.operand(&format!("{imm:#x}"));
            }
        }
    }

    fn sopp(&mut self) {
        let imm = self.f.imm as u16;
        match self.f.row().name {
            "s_waitcnt" => self.operand(&waitcnt(imm)),
            "s_sendmsg" | "s_sendmsghalt" => self.operand(&message(imm)),
            "s_set_gpr_idx_mode" => self.operand(&gpr_index(imm)),
            "s_endpgm" if imm != 0 => self.operand(&imm.to_string()),
            name if name.starts_with("s_branch") || name.starts_with("s_cbranch") => self.operand(&imm.to_string()),
            _ if self.f.row().src[0] != Ty::Imm16 => {}
            _ if imm <= 64 => self.operand(&imm.to_string()),
            _ => self.operand(&format!("{imm:#x}")),
        }
    }

    fn smem(&mut self) {
        let row = self.f.row();
        let probe = row.name.starts_with("s_atc_probe");
        if probe {
            // What to probe for is a number in the destination's place.
            let what = self.f.dst;
            self.operand(&if what > 64 { format!("{what:#x}") } else { what.to_string() });
        } else if row.dst != Ty::None {
            self.operand(&scalar(self.f.dst, row.dst.dwords()));
        }
        if row.src[0] == Ty::None {
            return;
        }
        self.operand(&self.source(0));
        let (imm, soffset) = (self.f.flags & flag::IMM != 0, self.f.flags & flag::SOFFSET != 0);
        let sign = if self.f.imm < 0 { "-" } else { "" };
        let hex = format!("{sign}{:#x}", self.f.imm.unsigned_abs());
        if imm && !soffset {
            self.operand(&hex);
        } else {
            self.operand(&scalar(self.f.sdst, 1));
            if imm {
                self.word(&format!("offset:{hex}"));
            }
        }
        if row.dst != Ty::None && !probe {
            self.flagged(flag::GLC, "glc");
        }
    }

    // ---- vector arithmetic ------------------------------------------------------------------------------------------------------

    fn vector(&mut self) {
        let row = self.f.row();
        let f = self.f;
        if row.encoding == Encoding::Vopc {
            self.operand(&scalar(f.sdst, 2));
        } else if row.traits.has(Traits::SCALAR_DST) {
            self.operand(&scalar(f.dst, row.dst.dwords()));
        } else if row.dst != Ty::None {
            self.operand(&self.vector_dst(row.dst.dwords()));
        }
        if row.traits.has(Traits::CARRY_OUT) || row.encoding == Encoding::Vop3b {
            self.operand(&scalar(if f.e64 || row.encoding == Encoding::Vop3b { f.sdst } else { CODE_VCC }, 2));
        }
        let constant_second = row.name.starts_with("v_madmk") || row.name.starts_with("v_fmamk");
        for k in 0..self.sources() {
            if k == 1 && constant_second {
                self.operand(&format!("{:#x}", f.literal));
            }
            let text = self.modified(k);
            self.operand(&text);
        }
        if row.traits.has(Traits::LITERAL) && !constant_second {
            self.operand(&format!("{:#x}", f.literal));
        }
        if !f.e64 && !matches!(row.encoding, Encoding::Vop3 | Encoding::Vop3b) && f.extra == Extra::None {
            return;
        }
        // The third source of short instructions as VOP3 has no half select.
        if f.op_sel != 0 && matches!(row.encoding, Encoding::Vop3) {
            let n = self.sources();
            // Stochastic conversions choose a byte with the bit of a source that they do not have.
            let n = if row.name.starts_with("v_cvt_sr_") { 3 } else { n };
            let select: Vec<_> = (0..n).chain([3]).map(|k| (f.op_sel >> k & 1).to_string()).collect();
            self.word(&format!("op_sel:[{}]", select.join(",")));
        }
        if f.clamp {
            self.word("clamp");
        }
        match f.omod {
            1 => self.word("mul:2"),
            2 => self.word("mul:4"),
            3 => self.word("div:2"),
            _ => {}
        }
        match f.extra {
            Extra::Sdwa(word) => self.sdwa(word),
            Extra::Dpp(word) => self.dpp(word),
            Extra::None => {}
        }
    }

    /// A source with its sign modifiers.
    fn modified(&self, k: usize) -> String {
        let text = self.source(k);
        let ty = self.f.row().src[k];
        let (neg, abs) = (self.f.neg >> k & 1 == 1, self.f.abs >> k & 1 == 1);
        if let (Extra::Sdwa(word), false) = (self.f.extra, ty.is_float()) {
            let sext = k < 2 && word >> (19 + 8 * k) & 1 == 1;
            return if sext { format!("sext({text})") } else { text };
        }
        let is_constant = (128..CODE_VGPR).contains(&self.f.src[k]);
        match (neg, abs) {
            (true, false) if is_constant => format!("neg({text})"),
            (true, false) => format!("-{text}"),
            (true, true) => format!("-|{text}|"),
            (false, true) => format!("|{text}|"),
            (false, false) => text,
        }
    }

    fn sdwa(&mut self, word: u32) {
        let select = |at: u32| {
            ["BYTE_0", "BYTE_1", "BYTE_2", "BYTE_3", "WORD_0", "WORD_1", "DWORD", "INVALID"][(word >> at & 7) as usize]
        };
        let row = self.f.row();
        if row.encoding != Encoding::Vopc && !row.name.contains("p8") && !row.name.contains("f8") {
            let unused = ["UNUSED_PAD", "UNUSED_SEXT", "UNUSED_PRESERVE", "INVALID"][(word >> 11 & 3) as usize];
            self.word(&format!("dst_sel:{}", select(8)));
            self.word(&format!("dst_unused:{unused}"));
        }
        for k in 0..self.sources().min(2) {
            self.word(&format!("src{k}_sel:{}", select(16 + 8 * k as u32)));
        }
    }

    fn dpp(&mut self, word: u32) {
        let control = word >> 8 & 0x1ff;
        let by = control & 15;
        let text = match control {
            0x000..=0x0ff => {
                let lane = |k: u32| control >> (2 * k) & 3;
                format!("quad_perm:[{},{},{},{}]", lane(0), lane(1), lane(2), lane(3))
            }
            0x101..=0x10f => format!("row_shl:{by}"),
            0x111..=0x11f => format!("row_shr:{by}"),
            0x121..=0x12f => format!("row_ror:{by}"),
            0x130 => "wave_shl:1".to_owned(),
            0x134 => "wave_rol:1".to_owned(),
            0x138 => "wave_shr:1".to_owned(),
            0x13c => "wave_ror:1".to_owned(),
            0x140 => "row_mirror".to_owned(),
            0x141 => "row_half_mirror".to_owned(),
            0x142 => "row_bcast:15".to_owned(),
            0x143 => "row_bcast:31".to_owned(),
            0x150..=0x15f => format!("row_newbcast:{by}"),
            _ => "/* Invalid dpp_ctrl value */".to_owned(),
        };
        self.word(&text);
        self.word(&format!("row_mask:{:#x} bank_mask:{:#x}", word >> 28, word >> 24 & 15));
        if word >> 19 & 1 == 1 {
            self.word("bound_ctrl:1");
        }
    }

    fn packed(&mut self) {
        let row = self.f.row();
        let f = self.f;
        let n = self.sources();
        let mix = row.traits.has(Traits::MIX);
        self.operand(&self.vector_dst(row.dst.dwords()));
        for k in 0..n {
            let text = if mix { self.modified(k) } else { self.source(k) };
            self.operand(&text);
        }
        let all = (1u8 << n) - 1;
        let mut bits = |name: &str, value: u8, default: u8| {
            if value & all != default {
                let list: Vec<_> = (0..n).map(|k| (value >> k & 1).to_string()).collect();
                self.text.push_str(&format!(" {name}:[{}]", list.join(",")));
            }
        };
        bits("op_sel", f.op_sel, 0);
        bits("op_sel_hi", f.op_sel_hi, if mix { 0 } else { all });
        if !mix {
            bits("neg_lo", f.neg, 0);
            bits("neg_hi", f.abs, 0);
        }
        if f.clamp {
            self.word("clamp");
        }
    }

    fn matrix(&mut self) {
        let row = self.f.row();
        self.operand(&self.vector_dst(row.dst.dwords()));
        for k in 0..self.sources() {
            self.operand(&self.source(k));
        }
        let f = self.f;
        if row.traits.has(Traits::ACC_DST) || row.traits.has(Traits::ACC_SRC) {
            return;
        }
        let double = row.src[2] == Ty::B512 && row.dst == Ty::B256 || row.name.contains("f64");
        for (name, value) in [("cbsz", f.op_sel & 7), ("abid", f.op_sel >> 3 & 15)] {
            if value != 0 {
                self.word(&format!("{name}:{value}"));
            }
        }
        if f.op_sel_hi != 0 && double && self.arch == Arch::Gfx942 {
            let bit = |k: u8| f.op_sel_hi >> k & 1;
            self.word(&format!("neg:[{},{},{}]", bit(0), bit(1), bit(2)));
        } else if f.op_sel_hi != 0 {
            self.word(&format!("blgp:{}", f.op_sel_hi));
        }
    }

    // ---- memory ---------------------------------------------------------------------------------------------------------------

    fn ds(&mut self) {
        let row = self.f.row();
        if row.dst != Ty::None {
            self.operand(&self.vector_dst(row.dst.dwords()));
        }
        for k in 0..3 {
            if row.src[k] != Ty::None {
                self.operand(&self.source(k));
            }
        }
        let offset = self.f.imm as u16;
        let two = ["write2", "read2", "wrxchg2"].iter().any(|s| row.name.contains(s));
        if row.name == "ds_swizzle_b32" {
            if offset != 0 {
                self.word(&swizzle(offset));
            }
        } else if two {
            for (k, part) in [offset & 0xff, offset >> 8].into_iter().enumerate() {
                if part != 0 {
                    self.word(&format!("offset{k}:{part}"));
                }
            }
        } else {
            self.offset();
        }
        self.flagged(flag::GDS, "gds");
    }

    fn flat(&mut self) {
        let row = self.f.row();
        let f = self.f;
        let saddr = f.flags & flag::SADDR != 0;
        let returns = row.traits.has(Traits::LOAD) || row.traits.has(Traits::ATOMIC) && f.flags & flag::GLC != 0;
        let to_lds = f.flags & flag::LDS != 0;
        if returns && row.dst != Ty::None && !to_lds {
            self.operand(&self.vector_dst(row.dst.dwords()));
        }
        let address = match row.encoding {
            Encoding::Scratch if !f.has_vector_address() => "off".to_owned(),
            Encoding::Scratch => vector(f.src[0] - CODE_VGPR, 1, false),
            _ => vector(f.src[0] - CODE_VGPR, if saddr { 1 } else { 2 }, false),
        };
        self.operand(&address);
        if row.src[1] != Ty::None {
            self.operand(&self.source(1));
        }
        if row.encoding != Encoding::Flat {
            let base = if saddr {
                scalar(f.sdst, if row.encoding == Encoding::Scratch { 1 } else { 2 })
            } else {
                "off".to_owned()
            };
            self.operand(&base);
        }
        self.offset();
        self.cache_bits();
        self.flagged(flag::LDS, "lds");
    }

    fn mubuf(&mut self) {
        let row = self.f.row();
        let f = self.f;
        if row.dst != Ty::None {
            let (offen, idxen) = (f.flags & flag::OFFEN != 0, f.flags & flag::IDXEN != 0);
            if f.flags & flag::LDS == 0 {
                self.operand(&self.vector_dst(row.dst.dwords()));
            }
            let address = u16::from(offen) + u16::from(idxen);
            self.operand(&if address == 0 { "off".to_owned() } else { vector(f.src[0] - CODE_VGPR, address, false) });
            self.operand(&self.source(1));
            self.operand(&self.source(2));
            self.flagged(flag::IDXEN, "idxen");
            self.flagged(flag::OFFEN, "offen");
            self.offset();
            self.cache_bits();
        } else if self.arch == Arch::Gfx942 && row.name != "buffer_wbinvl1" && row.name != "buffer_wbinvl1_vol" {
            self.flagged(flag::GLC, "sc0");
            self.flagged(flag::SCC, "sc1");
        }
        self.flagged(flag::LDS, "lds");
    }
}

/// A vector register or a range of them.
fn vector(first: u16, dwords: u16, acc: bool) -> String {
    let file = if acc { 'a' } else { 'v' };
    if dwords <= 1 { format!("{file}{first}") } else { format!("{file}[{first}:{}]", first + dwords - 1) }
}

/// A scalar register, a range of them, or one of those with a name.
fn scalar(code: u16, dwords: u16) -> String {
    let (wide, half) = (dwords == 2, ["lo", "hi"][usize::from(code & 1)]);
    let named = |name: &str| if wide { name.to_owned() } else { format!("{name}_{half}") };
    let numbered = |file: &str, first: u16| {
        if dwords <= 1 { format!("{file}{first}") } else { format!("{file}[{first}:{}]", first + dwords - 1) }
    };
    match code {
        0..=101 => numbered("s", code),
        102 | 103 => named("flat_scratch"),
        104 | 105 => named("xnack_mask"),
        106 | 107 => named("vcc"),
        108..=123 => numbered("ttmp", code - 108),
        124 => "m0".to_owned(),
        126 | 127 => named("exec"),
        _ => format!("s{code}"),
    }
}

fn source(code: u16, ty: Ty, literal: u32, acc: bool) -> String {
    match code {
        CODE_VGPR.. => vector(code - CODE_VGPR, ty.dwords(), acc),
        0..=127 => scalar(code, ty.dwords()),
        128..=192 => (code - 128).to_string(),
        193..=208 => (192 - i32::from(code)).to_string(),
        235 => "src_shared_base".to_owned(),
        236 => "src_shared_limit".to_owned(),
        237 => "src_private_base".to_owned(),
        238 => "src_private_limit".to_owned(),
        // Integers of 16 bits show what the constant is to them.
        240..=247 if matches!(ty, Ty::I16 | Ty::U16) => format!("{:#x}", INLINE_FLOATS[usize::from(code - 240)].1),
        248 if matches!(ty, Ty::I16 | Ty::U16) => "0x3118".to_owned(),
        240..=247 => INLINE_FLOATS[usize::from(code - 240)].0.to_owned(),
        248 if matches!(ty, Ty::F64 | Ty::B64 | Ty::I64 | Ty::U64 | Ty::Mask) => "0.15915494309189532".to_owned(),
        248 => "0.15915494".to_owned(),
        251 => "src_vccz".to_owned(),
        252 => "src_execz".to_owned(),
        253 => "src_scc".to_owned(),
        CODE_LITERAL => constant(literal, ty),
        _ => format!("/* code {code} */"),
    }
}

/// Inline floats from code 240: text, bits in half, single precision.
const INLINE_FLOATS: [(&str, u16, u32); 8] = [
    ("0.5", 0x3800, 0x3f00_0000),
    ("-0.5", 0xb800, 0xbf00_0000),
    ("1.0", 0x3c00, 0x3f80_0000),
    ("-1.0", 0xbc00, 0xbf80_0000),
    ("2.0", 0x4000, 0x4000_0000),
    ("-2.0", 0xc000, 0xc000_0000),
    ("4.0", 0x4400, 0x4080_0000),
    ("-4.0", 0xc400, 0xc080_0000),
];

/// A literal: as the inline constant it could have been, else in hexadecimal.
fn constant(literal: u32, ty: Ty) -> String {
    let double = ty == Ty::F64;
    let short = matches!(ty, Ty::F16 | Ty::I16 | Ty::U16 | Ty::B16);
    let integer = matches!(ty, Ty::I16 | Ty::U16);
    let (whole, literal) = (literal, if short { literal & 0xffff } else { literal });
    let value = match ty {
        // The literal is the high half; as an integer only zero is small.
        Ty::F64 if literal != 0 => i64::MAX,
        _ if short => i64::from(literal as u16 as i16),
        _ if ty.dwords() == 2 => i64::from(literal),
        _ => i64::from(literal as i32),
    };
    if let (true, Some((text, ..))) = (integer, INLINE_FLOATS.iter().find(|(.., single)| *single == whole)) {
        return (*text).to_owned();
    }
    if (-16..=64).contains(&value) {
        return value.to_string();
    }
    let float = INLINE_FLOATS.iter().find(|(text, half, single)| match ty {
        _ if integer => false,
        Ty::F16 | Ty::B16 | Ty::PF16 => u32::from(*half) == literal,
        _ if double => text.parse().is_ok_and(|x: f64| x.to_bits() == u64::from(literal) << 32),
        _ => ty.dwords() == 1 && *single == literal,
    });
    match float {
        Some((text, ..)) => (*text).to_owned(),
        None if ty.dwords() == 1 && !short && literal == 0x3e22_f983 => "0.15915494".to_owned(),
        None => format!("{literal:#x}"),
    }
}

/// A hardware register field: name, first bit, bits.
fn hwreg(arch: Arch, imm: u16) -> String {
    let (id, offset, size) = (imm & 63, imm >> 6 & 31, (imm >> 11) + 1);
    let name = match (id, arch) {
        (1, _) => "HW_REG_MODE",
        (2, _) => "HW_REG_STATUS",
        (3, _) => "HW_REG_TRAPSTS",
        (4, _) => "HW_REG_HW_ID",
        (5, _) => "HW_REG_GPR_ALLOC",
        (6, _) => "HW_REG_LDS_ALLOC",
        (7, _) => "HW_REG_IB_STS",
        (15, _) => "HW_REG_SH_MEM_BASES",
        (16, _) => "HW_REG_TBA_LO",
        (17, _) => "HW_REG_TBA_HI",
        (18, _) => "HW_REG_TMA_LO",
        (19, _) => "HW_REG_TMA_HI",
        (20, Arch::Gfx942) => "HW_REG_XCC_ID",
        (21, Arch::Gfx942) => "HW_REG_SQ_PERF_SNAPSHOT_DATA",
        (22, Arch::Gfx942) => "HW_REG_SQ_PERF_SNAPSHOT_DATA1",
        (23, Arch::Gfx942) => "HW_REG_SQ_PERF_SNAPSHOT_PC_LO",
        (24, Arch::Gfx942) => "HW_REG_SQ_PERF_SNAPSHOT_PC_HI",
        _ => "",
    };
    let name = if name.is_empty() { id.to_string() } else { name.to_owned() };
    if offset == 0 && size == 32 { format!("hwreg({name})") } else { format!("hwreg({name}, {offset}, {size})") }
}

fn waitcnt(imm: u16) -> String {
    let (vm, exp, lgkm) = (imm & 15 | imm >> 14 << 4, imm >> 4 & 7, imm >> 8 & 15);
    let all = vm == 63 && exp == 7 && lgkm == 15;
    let mut text = String::new();
    for (name, value, max) in [("vmcnt", vm, 63), ("expcnt", exp, 7), ("lgkmcnt", lgkm, 15)] {
        if value != max || all {
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{space}{name}({value})");
        }
    }
    text
}

/// `s_sendmsg`'s message: name, operation, stream.
fn message(imm: u16) -> String {
    let (id, op, stream) = (imm & 15, imm >> 4 & 7, imm >> 8 & 3);
    let unknown = || if imm & !0x37f == 0 { format!("sendmsg({id}, {op}, {stream})") } else { imm.to_string() };
    let plain = match id {
        1 => "MSG_INTERRUPT",
        4 => "MSG_SAVEWAVE",
        5 => "MSG_STALL_WAVE_GEN",
        6 => "MSG_HALT_WAVES",
        7 => "MSG_ORDERED_PS_DONE",
        8 => "MSG_EARLY_PRIM_DEALLOC",
        9 => "MSG_GS_ALLOC_REQ",
        10 => "MSG_GET_DOORBELL",
        _ => "",
    };
    match (id, op, stream) {
        (_, 0, 0) if !plain.is_empty() => format!("sendmsg({plain})"),
        (3, 0, 0) => "sendmsg(MSG_GS_DONE, GS_OP_NOP)".to_owned(),
        (2 | 3, 1..=3, _) => {
            let name = if id == 2 { "MSG_GS" } else { "MSG_GS_DONE" };
            let op = ["", "GS_OP_CUT", "GS_OP_EMIT", "GS_OP_EMIT_CUT"][usize::from(op)];
            format!("sendmsg({name}, {op}, {stream})")
        }
        (15, 1..=4, 0) => {
            let op = [
                "",
                "SYSMSG_OP_ECC_ERR_INTERRUPT",
                "SYSMSG_OP_REG_RD",
                "SYSMSG_OP_HOST_TRAP_ACK",
                "SYSMSG_OP_TTRACE_PC",
            ];
            format!("sendmsg(MSG_SYSMSG, {})", op[usize::from(imm >> 4 & 7)])
        }
        _ => unknown(),
    }
}

/// Which operands an index applies to.
fn gpr_index(mask: u16) -> String {
    if mask > 15 {
        return format!("{mask:#x}");
    }
    let names: Vec<_> = ["SRC0", "SRC1", "SRC2", "DST"]
        .into_iter()
        .enumerate()
        .filter(|(k, _)| mask >> k & 1 == 1)
        .map(|(_, name)| name)
        .collect();
    format!("gpr_idx({})", names.join(","))
}

/// The pattern of `ds_swizzle`, by the most telling of its names.
fn swizzle(imm: u16) -> String {
    if imm & 0xff00 == 0x8000 {
        let lane = |k: u16| imm >> (2 * k) & 3;
        return format!("offset:swizzle(QUAD_PERM,{},{},{},{})", lane(0), lane(1), lane(2), lane(3));
    }
    if imm & 0x8000 != 0 {
        return format!("offset:{imm}");
    }
    let (and, or, xor) = (imm & 31, imm >> 5 & 31, imm >> 10 & 31);
    let group = 32 - and;
    if and == 31 && or == 0 && xor.is_power_of_two() {
        format!("offset:swizzle(SWAP,{xor})")
    } else if and == 31 && or == 0 && xor > 0 && (xor + 1).is_power_of_two() {
        format!("offset:swizzle(REVERSE,{})", xor + 1)
    } else if group > 1 && group.is_power_of_two() && or < group && xor == 0 {
        format!("offset:swizzle(BROADCAST,{group},{or})")
    } else {
        let (zeros, ones) = (or ^ xor, (31 & and | or) ^ xor);
        let letter = |bit: u16| match (zeros >> bit & 1, ones >> bit & 1) {
            (0, 0) => '0',
            (1, 1) => '1',
            (0, _) => 'p',
            _ => 'i',
        };
        let mask: String = (0..5).rev().map(letter).collect();
        format!("offset:swizzle(BITMASK_PERM,\"{mask}\")")
    }
}
