//! Any words give an answer, and what an instruction reaches is measured.

use crate::arch::Arch;
use crate::exec::Tier;
use crate::exec::inst::Inst;
use crate::isa::{self, DecodeError, disasm};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn any_words_decode_or_are_refused(words: [u32; 3], prefix in 0u32..64, len in 0usize..4) {
        // The upper bits choose the encoding: make all of them likely.
        let words = [words[0] & 0x03ff_ffff | prefix << 26, words[1], words[2]];
        for arch in Arch::ALL {
            match isa::decode(arch, &words[..len]) {
                Ok(f) => {
                    prop_assert!(usize::from(f.words) <= len && (1..=2).contains(&f.words));
                    prop_assert!(f.row().archs.contains(arch));
                    prop_assert!(!disasm::disassemble(arch, &f).is_empty());
                    let inst = Inst::decode(arch, Tier::detect(), &words[..len]);
                    prop_assert!(inst.vgprs <= 255 + 32 && inst.agprs <= 255 + 32);
                    prop_assert_eq!(inst.bytes, f.words * 4);
                }
                Err(DecodeError::Truncated { .. }) => prop_assert!(len < 2),
                Err(DecodeError::Illegal { .. }) => {}
            }
        }
    }
}

/// What an instruction reaches: architectural and accumulation registers.
fn reach(arch: Arch, text: &str, words: &[u32]) -> (u16, u16) {
    let fields = isa::decode(arch, words).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(disasm::disassemble(arch, &fields), text);
    let inst = Inst::decode(arch, Tier::detect(), words);
    (inst.vgprs, inst.agprs)
}

#[test]
fn every_register_an_instruction_touches_is_measured() {
    use Arch::{Gfx90a, Gfx942};
    type Case = (Arch, &'static str, &'static [u32], (u16, u16));
    let cases: &[Case] = &[
        (Gfx90a, "v_add_f32_e32 v9, v7, v8", &[0x0212_1107], (10, 0)),
        (Gfx90a, "v_add_f64 v[8:9], v[10:11], v[4:5]", &[0xd280_0008, 0x0002_090a], (12, 0)),
        (Gfx90a, "v_fmac_f32_e32 v30, v7, v8", &[0x763c_1107], (31, 0)),
        (Gfx90a, "v_cmp_eq_u64_e32 vcc, v[20:21], v[30:31]", &[0x7dd4_3d14], (32, 0)),
        (Gfx90a, "v_readfirstlane_b32 s80, v3", &[0x7ea0_0503], (4, 0)),
        (Gfx90a, "v_swap_b32 v4, v40", &[0x7e08_a328], (41, 0)),
        (Gfx90a, "v_pk_fma_f32 v[8:9], v[20:21], v[2:3], v[4:5]", &[0xd3b0_4008, 0x1c12_0514], (22, 0)),
        (Gfx90a, "global_load_dwordx4 v[8:11], v[2:3], off", &[0xdc5c_8000, 0x087f_0002], (12, 0)),
        (Gfx90a, "global_load_dword v1, v7, s[2:3]", &[0xdc50_8000, 0x0102_0007], (8, 0)),
        (Gfx90a, "global_atomic_cmpswap_x2 v[2:3], v[20:23], off", &[0xdd84_8000, 0x007f_1402], (24, 0)),
        (Gfx90a, "global_atomic_cmpswap_x2 v[30:31], v[2:3], v[20:23], off glc", &[0xdd85_8000, 0x1e7f_1402], (32, 0)),
        (Gfx90a, "global_load_dwordx4 a[8:11], v[2:3], off", &[0xdc5c_8000, 0x08ff_0002], (4, 12)),
        (Gfx90a, "ds_read2_b64 v[8:11], v1 offset1:1", &[0xd8ee_0100, 0x0800_0001], (12, 0)),
        (Gfx90a, "ds_write2_b64 v1, v[2:3], v[40:41] offset1:1", &[0xd89c_0100, 0x0028_0201], (42, 0)),
        (Gfx90a, "ds_write_b128 v1, a[4:7]", &[0xdbbe_0000, 0x0000_0401], (2, 8)),
        (Gfx90a, "buffer_load_dwordx4 v[8:11], v[20:21], s[0:3], 0 idxen offen", &[0xe05c_3000, 0x8000_0814], (22, 0)),
        (Gfx90a, "buffer_load_dword v1, off, s[0:3], 0", &[0xe050_0000, 0x8000_0100], (2, 0)),
        (Gfx90a, "v_accvgpr_write_b32 a9, v1", &[0xd3d9_4009, 0x1800_0101], (2, 10)),
        (Gfx90a, "v_writelane_b32 v50, s2, 1", &[0xd28a_0032, 0x0001_0202], (51, 0)),
        (Gfx90a, "v_mad_u64_u32 v[8:9], s[2:3], v4, v5, v[60:61]", &[0xd1e8_0208, 0x04f2_0b04], (62, 0)),
        (Gfx90a, "v_mfma_f32_32x32x2f32 a[0:15], v4, v5, a[16:31]", &[0xd3c4_8000, 0x0442_0b04], (6, 32)),
        (Gfx942, "scratch_load_dwordx2 v[6:7], off, s4", &[0xdc54_4000, 0x0604_0000], (8, 0)),
        (Gfx942, "scratch_store_dword v9, v3, off", &[0xdc70_6000, 0x007f_0309], (10, 0)),
        (Gfx942, "v_mov_b64_e32 v[6:7], v[8:9]", &[0x7e0c_7108], (10, 0)),
    ];
    for (arch, text, words, expected) in cases {
        assert_eq!(reach(*arch, text, words), *expected, "{text}");
    }
}

#[test]
fn forms_that_do_not_exist_are_refused() {
    let refused: &[(&str, &[u32])] = &[
        ("a comparison with DPP", &[0x7d84_04fa, 0xff00_e404]),
        ("v_cvt_f64_i32 with SDWA", &[0x7e04_08f9, 0x0006_0604]),
        ("v_readfirstlane_b32 with DPP", &[0x7e04_04fa, 0xff00_e404]),
        ("v_madmk_f32 with SDWA", &[0x2e04_04f9, 0x0606_0604]),
        ("VOP3 with a literal", &[0xd1cb_0002, 0x0412_02ff]),
        ("a reserved source code", &[0x0204_04d1]),
        ("an opcode nobody has", &[0xd3ff_0000 & 0xd2ff_ffff, 0]),
    ];
    for (what, words) in refused {
        assert!(matches!(isa::decode(Arch::Gfx90a, words), Err(DecodeError::Illegal { .. })), "{what}");
    }
}
