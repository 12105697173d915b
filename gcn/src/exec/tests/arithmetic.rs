//! What one lane computes: edge values by group of instructions.
//!
//! Operands are in v0, v2 and v4 (and the registers after them for 64-bit ones), the result is in v6 (and v7).

use super::Machine;
use crate::arch::Arch::{self, Gfx90a, Gfx942};
use crate::exec::cx::Flow;

struct Case {
    arch: Arch,
    text: &'static str,
    words: &'static [u32],
    /// Operands and result.
    lanes: &'static [([u64; 3], u64)],
}

/// What v6 and v7 hold before: visible where a result keeps part of its destination.
const BEFORE: u64 = 0xabcd_dcba_abcd_dcba;

fn check(cases: &[Case]) {
    for case in cases {
        for (k, (operands, expected)) in case.lanes.iter().enumerate() {
            let mut m = Machine::new(case.arch);
            for (k, operand) in operands.iter().enumerate() {
                m.set_pair(2 * k, |_| *operand);
            }
            m.set_pair(6, |_| BEFORE);
            assert_eq!(m.run(case.text, case.words), Flow::Next, "{}", case.text);
            let wide = m.vgpr(7)[63] != (BEFORE >> 32) as u32;
            let got = u64::from(m.vgpr(6)[63]) | if wide { u64::from(m.vgpr(7)[63]) << 32 } else { 0 };
            assert_eq!(got, *expected, "{} case {k}: {got:#x}, not {expected:#x}", case.text);
            assert!(m.vgpr(6).iter().all(|&x| x == got as u32), "{}: every lane the same", case.text);
        }
    }
}

#[test]
#[rustfmt::skip]
fn floats_compute_what_the_isa_says() {
    check(&[
        Case { arch: Gfx90a, text: "v_add_f32_e32 v6, v0, v2", words: &[0x020c0500], lanes: &[([0x3fc00000, 0x40100000, 0], 0x40700000), ([0x7f800000, 0xbf800000, 0], 0x7f800000), ([1, 1, 0], 2), ([0x80000000, 0, 0], 0), ([0x7f7fc99e, 0x7f7fc99e, 0], 0x7f800000)] },
        Case { arch: Gfx90a, text: "v_sub_f32_e32 v6, v0, v2", words: &[0x040c0500], lanes: &[([0x3f800000, 0x40400000, 0], 0xc0000000)] },
        Case { arch: Gfx90a, text: "v_subrev_f32_e32 v6, v0, v2", words: &[0x060c0500], lanes: &[([0x3f800000, 0x40400000, 0], 0x40000000)] },
        Case { arch: Gfx90a, text: "v_mul_f32_e32 v6, v0, v2", words: &[0x0a0c0500], lanes: &[([0xc0000000, 0x3f000000, 0], 0xbf800000), ([1, 0x40000000, 0], 2), ([1, 0x3f000000, 0], 0)] },
        Case { arch: Gfx90a, text: "v_min_f32_e32 v6, v0, v2", words: &[0x140c0500], lanes: &[([0x3f800000, 0x40000000, 0], 0x3f800000), ([0x7fc00000, 0x40000000, 0], 0x40000000), ([0x3f800000, 0x7fc00000, 0], 0x3f800000), ([0, 0x80000000, 0], 0x80000000), ([0x80000000, 0, 0], 0x80000000), ([0xff800000, 0x40a00000, 0], 0xff800000)] },
        Case { arch: Gfx90a, text: "v_max_f32_e32 v6, v0, v2", words: &[0x160c0500], lanes: &[([0x3f800000, 0x40000000, 0], 0x40000000), ([0x7fc00000, 0x40000000, 0], 0x40000000), ([0x3f800000, 0x7fc00000, 0], 0x3f800000), ([0, 0x80000000, 0], 0), ([0x80000000, 0, 0], 0)] },
        Case { arch: Gfx90a, text: "v_fma_f32 v6, v0, v2, v4", words: &[0xd1cb0006, 0x04120500], lanes: &[([0x40000000, 0x40400000, 0x3f800000], 0x40e00000), ([0x3f800800, 0x3f800800, 0xbf801000], 0x33800000), ([0x7f800000, 0x3f800000, 0x3f800000], 0x7f800000)] },
        Case { arch: Gfx90a, text: "v_fma_f32 v6, -v0, |v2|, v4 clamp", words: &[0xd1cb8206, 0x24120500], lanes: &[([0x40000000, 0xc0400000, 0x40d00000], 0x3f000000), ([0x40000000, 0x40400000, 0x41100000], 0x3f800000), ([0x40000000, 0x40400000, 0], 0), ([0x7fc00000, 0x3f800000, 0x3f800000], 0)] },
        Case { arch: Gfx90a, text: "v_mad_f32 v6, v0, v2, v4", words: &[0xd1c10006, 0x04120500], lanes: &[([0x40000000, 0x40400000, 0x3f800000], 0x40e00000), ([1, 0x3f800000, 0x3f800000], 0x3f800000), ([1, 0x7149f2ca, 1], 0)] },
        Case { arch: Gfx90a, text: "v_med3_f32 v6, v0, v2, v4", words: &[0xd1d60006, 0x04120500], lanes: &[([0x3f800000, 0x40400000, 0x40000000], 0x40000000), ([0x40400000, 0x3f800000, 0x40000000], 0x40000000), ([0x7fc00000, 0x40400000, 0x40000000], 0x40000000), ([0xbf800000, 0xbf800000, 0x41100000], 0xbf800000)] },
        Case { arch: Gfx90a, text: "v_min3_f32 v6, v0, v2, v4", words: &[0xd1d00006, 0x04120500], lanes: &[([0x40400000, 0x3f800000, 0x40000000], 0x3f800000)] },
        Case { arch: Gfx90a, text: "v_max3_f32 v6, v0, v2, v4", words: &[0xd1d30006, 0x04120500], lanes: &[([0x40400000, 0x3f800000, 0x40800000], 0x40800000)] },
        Case { arch: Gfx90a, text: "v_floor_f32_e32 v6, v0", words: &[0x7e0c3f00], lanes: &[([0xbfc00000, 0, 0], 0xc0000000), ([0x3fc00000, 0, 0], 0x3f800000), ([0x80000000, 0, 0], 0x80000000), ([0xbe800000, 0, 0], 0xbf800000)] },
        Case { arch: Gfx90a, text: "v_ceil_f32_e32 v6, v0", words: &[0x7e0c3b00], lanes: &[([0xbfc00000, 0, 0], 0xbf800000), ([0x3fa00000, 0, 0], 0x40000000), ([0xbe800000, 0, 0], 0x80000000)] },
        Case { arch: Gfx90a, text: "v_trunc_f32_e32 v6, v0", words: &[0x7e0c3900], lanes: &[([0xbfc00000, 0, 0], 0xbf800000), ([0x60ad78ec, 0, 0], 0x60ad78ec)] },
        Case { arch: Gfx90a, text: "v_rndne_f32_e32 v6, v0", words: &[0x7e0c3d00], lanes: &[([0x3f000000, 0, 0], 0), ([0x3fc00000, 0, 0], 0x40000000), ([0x40200000, 0, 0], 0x40000000), ([0xbf000000, 0, 0], 0x80000000)] },
        Case { arch: Gfx90a, text: "v_fract_f32_e32 v6, v0", words: &[0x7e0c3700], lanes: &[([0x3fa00000, 0, 0], 0x3e800000), ([0xbfa00000, 0, 0], 0x3f400000), ([0xaedbe6ff, 0, 0], 0x3f7fffff)] },
        Case { arch: Gfx90a, text: "v_rcp_f32_e32 v6, v0", words: &[0x7e0c4500], lanes: &[([0x40800000, 0, 0], 0x3e800000), ([0, 0, 0], 0x7f800000), ([0x80000000, 0, 0], 0xff800000), ([0x7f800000, 0, 0], 0)] },
        Case { arch: Gfx90a, text: "v_rsq_f32_e32 v6, v0", words: &[0x7e0c4900], lanes: &[([0x40800000, 0, 0], 0x3f000000), ([0, 0, 0], 0x7f800000), ([0x7f800000, 0, 0], 0)] },
        Case { arch: Gfx90a, text: "v_sqrt_f32_e32 v6, v0", words: &[0x7e0c4f00], lanes: &[([0x40100000, 0, 0], 0x3fc00000), ([0x80000000, 0, 0], 0x80000000)] },
        Case { arch: Gfx90a, text: "v_exp_f32_e32 v6, v0", words: &[0x7e0c4100], lanes: &[([0x40400000, 0, 0], 0x41000000), ([0xff800000, 0, 0], 0), ([0x43480000, 0, 0], 0x7f800000)] },
        Case { arch: Gfx90a, text: "v_log_f32_e32 v6, v0", words: &[0x7e0c4300], lanes: &[([0x41000000, 0, 0], 0x40400000), ([0, 0, 0], 0xff800000)] },
        Case { arch: Gfx90a, text: "v_sin_f32_e32 v6, v0", words: &[0x7e0c5300], lanes: &[([0, 0, 0], 0), ([0x3e800000, 0, 0], 0x3f800000)] },
        Case { arch: Gfx90a, text: "v_cos_f32_e32 v6, v0", words: &[0x7e0c5500], lanes: &[([0, 0, 0], 0x3f800000), ([0x3f000000, 0, 0], 0xbf800000)] },
        Case { arch: Gfx90a, text: "v_ldexp_f32 v6, v0, v2", words: &[0xd2880006, 0x00020500], lanes: &[([0x3fc00000, 3, 0], 0x41400000), ([0x3f800000, 0xffffff6b, 0], 1), ([0x3f800000, 0xffffff6a, 0], 0), ([0x3f800000, 0xc8, 0], 0x7f800000), ([1, 0x95, 0], 0x3f800000), ([0x3fc00000, 0x7fffffff, 0], 0x7f800000)] },
        Case { arch: Gfx90a, text: "v_frexp_mant_f32_e32 v6, v0", words: &[0x7e0c6900], lanes: &[([0x41400000, 0, 0], 0x3f400000), ([1, 0, 0], 0x3f000000), ([0x7f800000, 0, 0], 0x7f800000)] },
        Case { arch: Gfx90a, text: "v_frexp_exp_i32_f32_e32 v6, v0", words: &[0x7e0c6700], lanes: &[([0x41400000, 0, 0], 4), ([1, 0, 0], 0xffffff6c), ([0, 0, 0], 0), ([0x7f800000, 0, 0], 0)] },
        Case { arch: Gfx90a, text: "v_mul_legacy_f32 v6, v0, v2", words: &[0xd2a10006, 0x00020500], lanes: &[([0, 0x7f800000, 0], 0), ([0x40000000, 0x40400000, 0], 0x40c00000)] },
        Case { arch: Gfx90a, text: "v_add_f64 v[6:7], v[0:1], v[2:3]", words: &[0xd2800006, 0x00020500], lanes: &[([0x3ff8000000000000, 0x4002000000000000, 0], 0x400e000000000000), ([0x7fe1ccf385ebc8a0, 0x7fe1ccf385ebc8a0, 0], 0x7ff0000000000000)] },
        Case { arch: Gfx90a, text: "v_fma_f64 v[6:7], v[0:1], v[2:3], -v[4:5]", words: &[0xd1cc0006, 0x84120500], lanes: &[([0x4000000000000000, 0x4008000000000000, 0x3ff0000000000000], 0x4014000000000000)] },
        Case { arch: Gfx90a, text: "v_min_f64 v[6:7], v[0:1], v[2:3]", words: &[0xd2820006, 0x00020500], lanes: &[([0x7ff8000000000000, 0x4008000000000000, 0], 0x4008000000000000), ([0, 0x8000000000000000, 0], 0x8000000000000000)] },
        Case { arch: Gfx90a, text: "v_ldexp_f64 v[6:7], v[0:1], v2", words: &[0xd2840006, 0x00020500], lanes: &[([0x3ff8000000000000, 4, 0], 0x4038000000000000), ([0x3ff0000000000000, 0xfffffbce, 0], 1), ([0x3ff0000000000000, 0xfffffbcd, 0], 0), ([1, 0x432, 0], 0x3ff0000000000000), ([1, 0x831, 0], 0x7fe0000000000000), ([0x7fe0000000000000, 0xfffff7cf, 0], 1), ([0x18000000000000, 0xffffffcc, 0], 2)] },
        Case { arch: Gfx90a, text: "v_frexp_exp_i32_f64_e32 v6, v[0:1]", words: &[0x7e0c6100], lanes: &[([0x4028000000000000, 0, 0], 4), ([1, 0, 0], 0xfffffbcf)] },
        Case { arch: Gfx90a, text: "v_fract_f64_e32 v[6:7], v[0:1]", words: &[0x7e0c6500], lanes: &[([0xbff4000000000000, 0, 0], 0x3fe8000000000000)] },
    ]);
}

#[test]
#[rustfmt::skip]
fn conversions_compute_what_the_isa_says() {
    check(&[
        Case { arch: Gfx942, text: "v_cvt_f32_fp8_e32 v6, v0", words: &[0x7e0ca900], lanes: &[([0xff40, 0, 0], 0x3f800000), ([0x80, 0, 0], 0x7fc00000), ([0x1, 0, 0], 0x3a800000)] },
        Case { arch: Gfx942, text: "v_cvt_f32_fp8_sdwa v6, v0 src0_sel:BYTE_2", words: &[0x7e0ca8f9, 0x00020600], lanes: &[([0x400000, 0, 0], 0x3f800000)] },
        Case { arch: Gfx942, text: "v_cvt_pk_f32_fp8_sdwa v[6:7], v0 src0_sel:WORD_1", words: &[0x7e0cacf9, 0x00050600], lanes: &[([0x48400000, 0, 0], 0x400000003f800000)] },
        Case { arch: Gfx942, text: "v_cvt_pk_f32_bf8_e32 v[6:7], v0", words: &[0x7e0caf00], lanes: &[([0x4440, 0, 0], 0x400000003f800000)] },
        Case { arch: Gfx942, text: "v_cvt_pk_fp8_f32 v6, v0, v2 op_sel:[0,0,1]", words: &[0xd2a24006, 0x00020500], lanes: &[([0x3f800000, 0x40000000, 0], 0x4840dcba)] },
        Case { arch: Gfx942, text: "v_cvt_pk_fp8_f32 v6, v0, v2", words: &[0xd2a20006, 0x00020500], lanes: &[([0x3f800000, 0x43700000, 0], 0xabcd7f40), ([0x7f800000, 0x43800000, 0], 0xabcd8080)] },
        Case { arch: Gfx942, text: "v_cvt_sr_fp8_f32 v6, v0, v2 op_sel:[0,0,1,1]", words: &[0xd2a46006, 0x00020500], lanes: &[([0x3f800000, 0, 0], 0x40cddcba)] },
        Case { arch: Gfx942, text: "v_cvt_sr_fp8_f32 v6, v0, v2 op_sel:[0,0,1,0]", words: &[0xd2a42006, 0x00020500], lanes: &[([0x3f900000, 0, 0], 0xabcd41ba), ([0x3f880000, 0xffffffff, 0], 0xabcd41ba)] },
        Case { arch: Gfx90a, text: "v_cvt_i32_f32_e32 v6, v0", words: &[0x7e0c1100], lanes: &[([0xbff33333, 0, 0], 0xffffffff), ([0x7fc00000, 0, 0], 0), ([0x60ad78ec, 0, 0], 0x7fffffff), ([0xff800000, 0, 0], 0x80000000)] },
        Case { arch: Gfx90a, text: "v_cvt_u32_f32_e32 v6, v0", words: &[0x7e0c0f00], lanes: &[([0xbff33333, 0, 0], 0), ([0x7fc00000, 0, 0], 0), ([0x60ad78ec, 0, 0], 0xffffffff), ([0x4f32d05e, 0, 0], 0xb2d05e00)] },
        Case { arch: Gfx90a, text: "v_cvt_f32_i32_e32 v6, v0", words: &[0x7e0c0b00], lanes: &[([0x80000000, 0, 0], 0xcf000000), ([0x1000001, 0, 0], 0x4b800000)] },
        Case { arch: Gfx90a, text: "v_cvt_f32_u32_e32 v6, v0", words: &[0x7e0c0d00], lanes: &[([0xffffffff, 0, 0], 0x4f800000), ([0x1000003, 0, 0], 0x4b800002)] },
        Case { arch: Gfx90a, text: "v_cvt_f64_i32_e32 v[6:7], v0", words: &[0x7e0c0900], lanes: &[([0x80000000, 0, 0], 0xc1e0000000000000)] },
        Case { arch: Gfx90a, text: "v_cvt_u32_f64_e32 v6, v[0:1]", words: &[0x7e0c2b00], lanes: &[([0x4202a05f20000000, 0, 0], 0xffffffff), ([0xbff0000000000000, 0, 0], 0)] },
        Case { arch: Gfx90a, text: "v_cvt_f32_f64_e32 v6, v[0:1]", words: &[0x7e0c1f00], lanes: &[([0x7e37e43c8800759c, 0, 0], 0x7f800000), ([0x36a0000000000000, 0, 0], 1)] },
        Case { arch: Gfx90a, text: "v_cvt_f64_f32_e32 v[6:7], v0", words: &[0x7e0c2100], lanes: &[([1, 0, 0], 0x36a0000000000000)] },
        Case { arch: Gfx90a, text: "v_cvt_f16_f32_e32 v6, v0", words: &[0x7e0c1500], lanes: &[([0x3f800000, 0, 0], 0x3c00), ([0x477ff000, 0, 0], 0x7c00), ([0x477fef00, 0, 0], 0x7bff), ([0x33800000, 0, 0], 1), ([0x33000000, 0, 0], 0), ([0xb3400000, 0, 0], 0x8001), ([0x3f801000, 0, 0], 0x3c00), ([0x3f803000, 0, 0], 0x3c02), ([0x7fc00000, 0, 0], 0x7e00)] },
        Case { arch: Gfx90a, text: "v_cvt_f32_f16_e32 v6, v0", words: &[0x7e0c1700], lanes: &[([0x3c00, 0, 0], 0x3f800000), ([1, 0, 0], 0x33800000), ([0xfc00, 0, 0], 0xff800000), ([0x7e00, 0, 0], 0x7fc00000)] },
        Case { arch: Gfx90a, text: "v_cvt_f32_ubyte2_e32 v6, v0", words: &[0x7e0c2700], lanes: &[([0xab0000, 0, 0], 0x432b0000)] },
        Case { arch: Gfx90a, text: "v_cvt_pk_u8_f32 v6, v0, v2, v4", words: &[0xd1dd0006, 0x04120500], lanes: &[([0x43960000, 1, 0x11223344], 0x1122ff44), ([0xc0a00000, 3, 0x11223344], 0x223344)] },
        Case { arch: Gfx90a, text: "v_cvt_pkrtz_f16_f32 v6, v0, v2", words: &[0xd2960006, 0x00020500], lanes: &[([0x3ffffcb9, 0x4e6e6b28, 0], 0x7bff3fff), ([0xbf800000, 0x33f33333, 0], 0x1bc00)] },
        Case { arch: Gfx90a, text: "v_cvt_pk_i16_i32 v6, v0, v2", words: &[0xd2980006, 0x00020500], lanes: &[([0xffff0000, 0x9c40, 0], 0x7fff8000)] },
    ]);
}

#[test]
#[rustfmt::skip]
fn integers_compute_what_the_isa_says() {
    check(&[
        Case { arch: Gfx90a, text: "v_qsad_pk_u16_u8 v[6:7], v[0:1], v2, v[4:5]", words: &[0xd1e50006, 0x04120500], lanes: &[([0x0807060504030201, 0x01010101, 0x0004000300020001], 0x16_0011_000c_0007)] },
        Case { arch: Gfx90a, text: "v_mqsad_u32_u8 v[6:9], v[0:1], v2, v[10:13]", words: &[0xd1e70006, 0x042a0500], lanes: &[([0x0807060504030201, 0x01000001, 0], 0x5_0000_0003)] },
        Case { arch: Gfx90a, text: "v_mad_u32_u24 v6, v0, v2, v4 clamp", words: &[0xd1c38006, 0x04120500], lanes: &[([0xff000003, 5, 1], 16), ([0xffffff, 0xffffff, 1], 0xffffffff)] },
        Case { arch: Gfx90a, text: "v_mad_i16 v6, v0, v2, v4 clamp", words: &[0xd2058006, 0x04120500], lanes: &[([0x7fff, 2, 0], 0xabcd7fff), ([0x8000, 2, 0], 0xabcd8000), ([0xffff, 2, 5], 0xabcd0003)] },
        Case { arch: Gfx90a, text: "v_sad_u8 v6, v0, v2, v4 clamp", words: &[0xd1d98006, 0x04120500], lanes: &[([0x01020304, 0x02020203, 0xffffffff], 0xffffffff), ([0x01020304, 0x02020203, 1], 4)] },
        Case { arch: Gfx90a, text: "v_add_co_u32_e64 v6, s[10:11], v0, v2 clamp", words: &[0xd1198a06, 0x00020500], lanes: &[([0xffffffff, 5, 0], 0xffffffff), ([3, 4, 0], 7)] },
        Case { arch: Gfx90a, text: "v_add_u32_e32 v6, v0, v2", words: &[0x680c0500], lanes: &[([0xffffffff, 2, 0], 1)] },
        Case { arch: Gfx90a, text: "v_add_u32_e64 v6, v0, v2 clamp", words: &[0xd1348006, 0x00020500], lanes: &[([0xffffffff, 2, 0], 0xffffffff)] },
        Case { arch: Gfx90a, text: "v_sub_u32_e64 v6, v0, v2 clamp", words: &[0xd1358006, 0x00020500], lanes: &[([1, 2, 0], 0)] },
        Case { arch: Gfx90a, text: "v_add_i32 v6, v0, v2 clamp", words: &[0xd29c8006, 0x00020500], lanes: &[([0x7fffffff, 1, 0], 0x7fffffff), ([0x80000000, 0xffffffff, 0], 0x80000000)] },
        Case { arch: Gfx90a, text: "v_lshlrev_b32_e32 v6, v0, v2", words: &[0x240c0500], lanes: &[([0x21, 1, 0], 2), ([0x1f, 1, 0], 0x80000000)] },
        Case { arch: Gfx90a, text: "v_ashrrev_i32_e32 v6, v0, v2", words: &[0x220c0500], lanes: &[([0x23, 0x80000000, 0], 0xf0000000)] },
        Case { arch: Gfx90a, text: "v_lshrrev_b32_e32 v6, v0, v2", words: &[0x200c0500], lanes: &[([0x40, 7, 0], 7)] },
        Case { arch: Gfx90a, text: "v_lshlrev_b64 v[6:7], v0, v[2:3]", words: &[0xd28f0006, 0x00020500], lanes: &[([0x41, 1, 0], 2), ([0x28, 1, 0], 0x10000000000)] },
        Case { arch: Gfx90a, text: "v_ashrrev_i64 v[6:7], v0, v[2:3]", words: &[0xd2910006, 0x00020500], lanes: &[([0x3f, 0x8000000000000000, 0], 0xffffffffffffffff)] },
        Case { arch: Gfx90a, text: "v_bfe_u32 v6, v0, v2, v4", words: &[0xd1c80006, 0x04120500], lanes: &[([0xdeadbeef, 8, 0x10], 0xadbe), ([0xffffffff, 0, 0x20], 0)] },
        Case { arch: Gfx90a, text: "v_bfe_i32 v6, v0, v2, v4", words: &[0xd1c90006, 0x04120500], lanes: &[([0xf00, 8, 4], 0xffffffff), ([0x700, 8, 4], 7), ([0x80000000, 0x1f, 1], 0xffffffff)] },
        Case { arch: Gfx90a, text: "v_bfi_b32 v6, v0, v2, v4", words: &[0xd1ca0006, 0x04120500], lanes: &[([0xff00ff00, 0x12345678, 0x9abcdef0], 0x12bc56f0)] },
        Case { arch: Gfx90a, text: "v_perm_b32 v6, v0, v2, v4", words: &[0xd1ed0006, 0x04120500], lanes: &[([0x11223344, 0x55667788, 0x7050301], 0x11335577), ([0x80000000, 0, 0xc0d0b0a], 0xffff00)] },
        Case { arch: Gfx90a, text: "v_alignbit_b32 v6, v0, v2, v4", words: &[0xd1ce0006, 0x04120500], lanes: &[([0x12345678, 0x9abcdef0, 4], 0x89abcdef), ([0x12345678, 0x9abcdef0, 0x20], 0x9abcdef0)] },
        Case { arch: Gfx90a, text: "v_alignbyte_b32 v6, v0, v2, v4", words: &[0xd1cf0006, 0x04120500], lanes: &[([0x12345678, 0x9abcdef0, 1], 0x789abcde)] },
        Case { arch: Gfx90a, text: "v_mul_hi_u32 v6, v0, v2", words: &[0xd2860006, 0x00020500], lanes: &[([0xffffffff, 0xffffffff, 0], 0xfffffffe)] },
        Case { arch: Gfx90a, text: "v_mul_hi_i32 v6, v0, v2", words: &[0xd2870006, 0x00020500], lanes: &[([0xffffffff, 0xffffffff, 0], 0), ([0x80000000, 2, 0], 0xffffffff)] },
        Case { arch: Gfx90a, text: "v_mul_lo_u32 v6, v0, v2", words: &[0xd2850006, 0x00020500], lanes: &[([0x10001, 0x10001, 0], 0x20001)] },
        Case { arch: Gfx90a, text: "v_mul_u32_u24_e32 v6, v0, v2", words: &[0x100c0500], lanes: &[([0xff000003, 5, 0], 0xf)] },
        Case { arch: Gfx90a, text: "v_mul_i32_i24_e32 v6, v0, v2", words: &[0x0c0c0500], lanes: &[([0xffffff, 5, 0], 0xfffffffb)] },
        Case { arch: Gfx90a, text: "v_mul_hi_u32_u24_e32 v6, v0, v2", words: &[0x120c0500], lanes: &[([0xffffff, 0xffffff, 0], 0xffff)] },
        Case { arch: Gfx90a, text: "v_mad_u32_u24 v6, v0, v2, v4", words: &[0xd1c30006, 0x04120500], lanes: &[([0x1000002, 3, 4], 0xa)] },
        Case { arch: Gfx90a, text: "v_mad_u64_u32 v[6:7], s[8:9], v0, v2, v[4:5]", words: &[0xd1e80806, 0x04120500], lanes: &[([0xffffffff, 0xffffffff, 1], 0xfffffffe00000002)] },
        Case { arch: Gfx90a, text: "v_mad_i64_i32 v[6:7], s[8:9], v0, v2, v[4:5]", words: &[0xd1e90806, 0x04120500], lanes: &[([0xffffffff, 5, 3], 0xfffffffffffffffe)] },
        Case { arch: Gfx90a, text: "v_ffbh_u32_e32 v6, v0", words: &[0x7e0c5b00], lanes: &[([0, 0, 0], 0xffffffff), ([1, 0, 0], 0x1f)] },
        Case { arch: Gfx90a, text: "v_ffbh_i32_e32 v6, v0", words: &[0x7e0c5f00], lanes: &[([0xffffffff, 0, 0], 0xffffffff), ([0xfffffffe, 0, 0], 0x1f), ([0x40000000, 0, 0], 1)] },
        Case { arch: Gfx90a, text: "v_ffbl_b32_e32 v6, v0", words: &[0x7e0c5d00], lanes: &[([0, 0, 0], 0xffffffff), ([8, 0, 0], 3)] },
        Case { arch: Gfx90a, text: "v_bcnt_u32_b32 v6, v0, v2", words: &[0xd28b0006, 0x00020500], lanes: &[([0xff, 5, 0], 0xd)] },
        Case { arch: Gfx90a, text: "v_bfrev_b32_e32 v6, v0", words: &[0x7e0c5900], lanes: &[([1, 0, 0], 0x80000000)] },
        Case { arch: Gfx90a, text: "v_sad_u8 v6, v0, v2, v4", words: &[0xd1d90006, 0x04120500], lanes: &[([0x1ff0005, 0xff010003, 0xa], 0x208)] },
        Case { arch: Gfx90a, text: "v_lerp_u8 v6, v0, v2, v4", words: &[0xd1cd0006, 0x04120500], lanes: &[([0x1020304, 0x2020205, 1], 0x1020205)] },
        Case { arch: Gfx90a, text: "v_add3_u32 v6, v0, v2, v4", words: &[0xd1ff0006, 0x04120500], lanes: &[([1, 2, 0xffffffff], 2)] },
        Case { arch: Gfx90a, text: "v_xad_u32 v6, v0, v2, v4", words: &[0xd1f30006, 0x04120500], lanes: &[([5, 3, 1], 7)] },
        Case { arch: Gfx90a, text: "v_lshl_add_u32 v6, v0, v2, v4", words: &[0xd1fd0006, 0x04120500], lanes: &[([3, 0x21, 1], 7)] },
        Case { arch: Gfx90a, text: "v_add_lshl_u32 v6, v0, v2, v4", words: &[0xd1fe0006, 0x04120500], lanes: &[([3, 4, 2], 0x1c)] },
        Case { arch: Gfx90a, text: "v_lshl_or_b32 v6, v0, v2, v4", words: &[0xd2000006, 0x04120500], lanes: &[([3, 4, 1], 0x31)] },
        Case { arch: Gfx90a, text: "v_and_or_b32 v6, v0, v2, v4", words: &[0xd2010006, 0x04120500], lanes: &[([0xc, 0xa, 1], 9)] },
        Case { arch: Gfx90a, text: "v_or3_b32 v6, v0, v2, v4", words: &[0xd2020006, 0x04120500], lanes: &[([1, 2, 4], 7)] },
        Case { arch: Gfx90a, text: "v_add_u16_e32 v6, v0, v2", words: &[0x4c0c0500], lanes: &[([0x1ffff, 2, 0], 1)] },
        Case { arch: Gfx90a, text: "v_ashrrev_i16_e32 v6, v0, v2", words: &[0x580c0500], lanes: &[([4, 0x18000, 0], 0xf800)] },
        Case { arch: Gfx90a, text: "v_mul_lo_u16_e32 v6, v0, v2", words: &[0x520c0500], lanes: &[([0x101, 0x101, 0], 0x201)] },
        Case { arch: Gfx90a, text: "v_mad_legacy_u16 v6, v0, v2, v4", words: &[0xd1eb0006, 0x04120500], lanes: &[([0x100, 0x100, 7], 7)] },
        Case { arch: Gfx90a, text: "v_med3_i32 v6, v0, v2, v4", words: &[0xd1d70006, 0x04120500], lanes: &[([5, 0xffffffff, 3], 3)] },
        Case { arch: Gfx90a, text: "v_med3_u32 v6, v0, v2, v4", words: &[0xd1d80006, 0x04120500], lanes: &[([5, 0xffffffff, 3], 5)] },
        Case { arch: Gfx942, text: "v_lshl_add_u64 v[6:7], v[0:1], v2, v[4:5]", words: &[0xd2080006, 0x04120500], lanes: &[([0x80000000, 1, 5], 0x100000005)] },
        Case { arch: Gfx942, text: "v_mov_b64_e32 v[6:7], v[0:1]", words: &[0x7e0c7100], lanes: &[([0x123456789abcdef0, 0, 0], 0x123456789abcdef0)] },
        Case { arch: Gfx90a, text: "v_dot4_i32_i8 v6, v0, v2, v4", words: &[0xd3a84006, 0x1c120500], lanes: &[([0x1ff0203, 0x1010203, 0xa], 0x17)] },
        Case { arch: Gfx90a, text: "v_dot2_i32_i16 v6, v0, v2, v4", words: &[0xd3a64006, 0x1c120500], lanes: &[([0xffff0002, 0x30004, 1], 6)] },
    ]);
}

#[test]
#[rustfmt::skip]
fn halves_compute_what_the_isa_says() {
    check(&[
        Case { arch: Gfx90a, text: "v_add_f16_e32 v6, v0, v2", words: &[0x3e0c0500], lanes: &[([0x3c00, 0x4000, 0], 0x4200), ([0x7bff, 0x7bff, 0], 0x7c00), ([1, 1, 0], 2)] },
        Case { arch: Gfx90a, text: "v_fma_f16 v6, v0, v2, v4", words: &[0xd2060006, 0x04120500], lanes: &[([0x4000, 0x4200, 0x3c00], 0xabcd4700)] },
        Case { arch: Gfx90a, text: "v_mad_u16 v6, v0, v2, v4 op_sel:[1,0,0,1]", words: &[0xd2044806, 0x04120500], lanes: &[([0x30000, 5, 2], 0x11dcba)] },
        Case { arch: Gfx90a, text: "v_pk_add_f16 v6, v0, v2", words: &[0xd38f4006, 0x18020500], lanes: &[([0x40003c00, 0x3c004000, 0], 0x42004200)] },
        Case { arch: Gfx90a, text: "v_pk_add_f16 v6, v0, v2 op_sel:[1,0] op_sel_hi:[0,1] neg_lo:[0,1] neg_hi:[1,0]", words: &[0xd38f4906, 0x50020500], lanes: &[([0x40003c00, 0x3c004000, 0], 0)] },
        Case { arch: Gfx90a, text: "v_pk_fma_f16 v6, v0, v2, v4", words: &[0xd38e4006, 0x1c120500], lanes: &[([0x40003c00, 0x42004200, 0x3c003c00], 0x47004400)] },
        Case { arch: Gfx90a, text: "v_pk_add_u16 v6, v0, v2", words: &[0xd38a4006, 0x18020500], lanes: &[([0xffff0001, 0x10001, 0], 2)] },
        Case { arch: Gfx90a, text: "v_pk_add_u16 v6, v0, v2 clamp", words: &[0xd38ac006, 0x18020500], lanes: &[([0xffff0001, 0x10001, 0], 0xffff0002)] },
        Case { arch: Gfx90a, text: "v_pk_lshlrev_b16 v6, v0, v2", words: &[0xd3844006, 0x18020500], lanes: &[([0x110001, 0x10001, 0], 0x20002)] },
        Case { arch: Gfx90a, text: "v_pk_max_i16 v6, v0, v2", words: &[0xd3874006, 0x18020500], lanes: &[([0x8000ffff, 0x10001, 0], 0x10001)] },
        Case { arch: Gfx90a, text: "v_fma_mix_f32 v6, v0, v2, v4 op_sel:[1,0,0] op_sel_hi:[1,0,1]", words: &[0xd3a04806, 0x0c120500], lanes: &[([0x40000000, 0x40400000, 0x3c00], 0x40e00000)] },
        Case { arch: Gfx90a, text: "v_pk_fma_f32 v[6:7], v[0:1], v[2:3], v[4:5]", words: &[0xd3b04006, 0x1c120500], lanes: &[([0x4040000040000000, 0x40e0000040a00000, 0x3f8000003f800000], 0x41b0000041300000)] },
        Case { arch: Gfx90a, text: "v_pk_mul_f32 v[6:7], v[0:1], v[2:3] op_sel:[1,0] op_sel_hi:[0,1]", words: &[0xd3b14806, 0x10020500], lanes: &[([0x4040000040000000, 0x40e0000040a00000, 0], 0x4160000041700000)] },
        Case { arch: Gfx90a, text: "v_pk_mov_b32 v[6:7], v[0:1], v[2:3] op_sel:[1,0] op_sel_hi:[0,1]", words: &[0xd3b34806, 0x10020500], lanes: &[([0x200000001, 0x400000003, 0], 0x300000002)] },
    ]);
}

#[test]
#[rustfmt::skip]
fn subwords_compute_what_the_isa_says() {
    check(&[
        Case { arch: Gfx90a, text: "v_mov_b32_sdwa v6, v0 dst_sel:BYTE_2 dst_unused:UNUSED_PRESERVE src0_sel:BYTE_1", words: &[0x7e0c02f9, 0x00011200], lanes: &[([0x11223344, 0, 0], 0xab33dcba)] },
        Case { arch: Gfx90a, text: "v_mov_b32_sdwa v6, sext(v0) dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:BYTE_0", words: &[0x7e0c02f9, 0x00080600], lanes: &[([0x80, 0, 0], 0xffffff80)] },
        Case { arch: Gfx90a, text: "v_add_u32_sdwa v6, v0, v2 dst_sel:WORD_1 dst_unused:UNUSED_PAD src0_sel:WORD_1 src1_sel:BYTE_0", words: &[0x680c04f9, 0x00050500], lanes: &[([0x50000, 0x1207, 0], 0xc0000)] },
        Case { arch: Gfx90a, text: "v_add_u32_sdwa v6, v0, v2 dst_sel:WORD_0 dst_unused:UNUSED_SEXT src0_sel:WORD_0 src1_sel:WORD_0", words: &[0x680c04f9, 0x04040c00], lanes: &[([0x7fff, 1, 0], 0xffff8000)] },
        Case { arch: Gfx90a, text: "v_add_u32_sdwa v6, v0, v2 dst_sel:BYTE_1 dst_unused:UNUSED_SEXT src0_sel:DWORD src1_sel:DWORD", words: &[0x680c04f9, 0x06060900], lanes: &[([0x7f, 1, 0], 0xffff8000)] },
        Case { arch: Gfx90a, text: "v_add_f32_sdwa v6, -|v0|, v2 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:DWORD src1_sel:DWORD", words: &[0x020c04f9, 0x06360600], lanes: &[([0x40000000, 0x40a00000, 0], 0x40400000)] },
        Case { arch: Gfx90a, text: "v_lshlrev_b32_sdwa v6, v0, v2 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:DWORD src1_sel:WORD_0", words: &[0x240c04f9, 0x04060600], lanes: &[([2, 0xffff0003, 0], 0xc)] },
    ]);
}

/// Halves chosen and negated one by one, as packed operands can be.
#[test]
fn dot_products_of_halves_choose_and_negate_them() {
    let mut m = Machine::new(Gfx90a);
    // (2, 3) and (5, 7), plus 1.
    m.set_pair(0, |_| 0x4200_4000);
    m.set_pair(2, |_| 0x4700_4500);
    m.set_pair(4, |_| u64::from(1f32.to_bits()));
    let mut result = |text: &str, words: &[u32]| {
        m.run(text, words);
        m.vgpr(6)[17]
    };
    let text = "v_dot2_f32_f16 v6, v0, v2, v4 op_sel:[1,0,0] op_sel_hi:[0,1,1] neg_lo:[0,0,1]";
    assert_eq!(f32::from_bits(result(text, &[0xd3a3_4806, 0x9412_0500])), 3.0 * 5.0 + 2.0 * 7.0 - 1.0);
    let text = "v_dot2_f32_f16 v6, v0, v2, v4 neg_lo:[1,0,0] neg_hi:[1,0,0]";
    assert_eq!(f32::from_bits(result(text, &[0xd3a3_4106, 0x3c12_0500])), -2.0 * 5.0 - 3.0 * 7.0 + 1.0);
    m.set_pair(0, |_| 0xffff_0002);
    m.set_pair(2, |_| 0x0005_0003);
    m.set_pair(4, |_| 100);
    m.run("v_dot2_i32_i16 v6, v0, v2, v4 op_sel:[1,1,0] op_sel_hi:[0,0,1]", &[0xd3a6_5806, 0x0412_0500]);
    assert_eq!(m.vgpr(6)[17] as i32, -5 + 2 * 3 + 100);
}
