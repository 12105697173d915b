//! EXEC, VCC and carries, comparisons, DPP, moves between lanes and scalars, scalar instructions, whole division sequences.

use super::Machine;
use crate::arch::{Arch, LANES};
use crate::exec::cx::{EXEC, VCC};
use proptest::prelude::*;

fn machine() -> Machine {
    Machine::new(Arch::Gfx90a)
}

/// `lane` in the low and its square in the high half.
fn numbered(m: &mut Machine) {
    m.set_pair(0, |lane| lane as u64);
    m.set_pair(2, |lane| (100 + lane) as u64);
    m.set_pair(6, |_| 0xdead);
}

#[test]
fn inactive_lanes_keep_their_registers() {
    for exec in [0, 1, 0xffff_0000_0000_8001, !0] {
        let mut m = machine();
        numbered(&mut m);
        m.set_sgpr64(EXEC, exec);
        m.run("v_add_co_u32_e32 v6, vcc, v0, v2", &[0x320c_0500]);
        for lane in 0..LANES {
            let expected = if exec >> lane & 1 == 1 { 100 + 2 * lane as u32 } else { 0xdead };
            assert_eq!(m.vgpr(6)[lane], expected, "EXEC {exec:#x} lane {lane}");
        }
        assert_eq!(m.sgpr64(VCC), 0);
    }
}

proptest! {
    #[test]
    fn carry_chains_are_64_bit_arithmetic(a: u64, b: u64, exec: u64) {
        let mut m = machine();
        m.set_pair(0, |lane| a.rotate_left(lane as u32));
        m.set_pair(2, |_| b);
        m.set_sgpr64(EXEC, exec);
        m.run("v_add_co_u32_e32 v6, vcc, v0, v2", &[0x320c_0500]);
        m.run("v_addc_co_u32_e32 v7, vcc, v1, v3, vcc", &[0x380e_0701]);
        for lane in 0..LANES {
            let (sum, carry) = a.rotate_left(lane as u32).overflowing_add(b);
            let on = exec >> lane & 1 == 1;
            let got = u64::from(m.vgpr(6)[lane]) | u64::from(m.vgpr(7)[lane]) << 32;
            prop_assert_eq!(got, if on { sum } else { 0 });
            prop_assert_eq!(m.sgpr64(VCC) >> lane & 1 == 1, on && carry);
        }
        m.run("v_sub_co_u32_e64 v6, s[10:11], v0, v2", &[0xd11a_0a06, 0x0002_0500]);
        m.run("v_subb_co_u32_e64 v7, s[8:9], v1, v3, s[10:11]", &[0xd11d_0807, 0x002a_0701]);
        for lane in 0..LANES {
            let (difference, borrow) = a.rotate_left(lane as u32).overflowing_sub(b);
            let on = exec >> lane & 1 == 1;
            let got = u64::from(m.vgpr(6)[lane]) | u64::from(m.vgpr(7)[lane]) << 32;
            prop_assert_eq!(got, if on { difference } else { 0 });
            prop_assert_eq!(m.sgpr64(8) >> lane & 1 == 1, on && borrow);
        }
    }

    /// The sequence that compilers emit for a correctly rounded division gives exactly the quotient.
    #[test]
    fn division_is_correctly_rounded(n: u32, d: u32, special in 0usize..8) {
        let edges = [0u32, 1, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0x7f80_0000, 0x3f80_0000, 0x7fc0_0000];
        for (n, d) in [(n, d), (edges[special], d), (n, edges[special]), (n & 0x80ff_ffff, d | 0x7e00_0000)] {
            divide(f32::from_bits(n), f32::from_bits(d))?;
        }
    }
}

/// Quotients whose first 24 bits lie half-way between two subnormals and whose rest says which is nearer, and one that does not.
#[test]
fn subnormal_quotients_are_rounded_once() {
    for (n, d) in [
        (419_152_693, 1_492_412_741),
        (419_152_693 | 1 << 31, 1_492_412_741),
        (1, 872_432_494),
        (2_699_544_613, 3_885_038_367),
        (1, 922_437_341),
    ] {
        divide(f32::from_bits(n), f32::from_bits(d)).unwrap();
    }
}

fn divide(n: f32, d: f32) -> Result<(), TestCaseError> {
    let mut m = machine();
    m.set_pair(0, |_| u64::from(n.to_bits()));
    m.set_pair(2, |_| u64::from(d.to_bits()));
    m.run("v_div_scale_f32 v8, vcc, v2, v2, v0", &[0xd1e0_6a08, 0x0402_0502]);
    m.run("v_div_scale_f32 v9, vcc, v0, v2, v0", &[0xd1e0_6a09, 0x0402_0500]);
    m.run("v_rcp_f32_e32 v10, v8", &[0x7e14_4508]);
    m.run("v_fma_f32 v11, -v8, v10, 1.0", &[0xd1cb_000b, 0x23ca_1508]);
    m.run("v_fmac_f32_e32 v10, v11, v10", &[0x7614_150b]);
    m.run("v_mul_f32_e32 v11, v9, v10", &[0x0a16_1509]);
    m.run("v_fma_f32 v12, -v8, v11, v9", &[0xd1cb_000c, 0x2426_1708]);
    m.run("v_fmac_f32_e32 v11, v12, v10", &[0x7616_150c]);
    m.run("v_fma_f32 v8, -v8, v11, v9", &[0xd1cb_0008, 0x2426_1708]);
    m.run("v_div_fmas_f32 v8, v8, v10, v11", &[0xd1e2_0008, 0x042e_1508]);
    m.run("v_div_fixup_f32 v6, v8, v2, v0", &[0xd1de_0006, 0x0402_0508]);
    let (got, expected) = (f32::from_bits(m.vgpr(6)[0]), n / d);
    prop_assert!(
        got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(),
        "{n:e} / {d:e}: {got:e}, not {expected:e}"
    );
    Ok(())
}

#[test]
fn comparisons_write_a_bit_for_each_active_lane() {
    let mut m = machine();
    numbered(&mut m);
    m.set_pair(2, |_| 10);
    m.set_sgpr64(EXEC, 0xff0f);
    m.set_sgpr64(VCC, !0);
    m.run("v_cmp_lt_i32_e32 vcc, v0, v2", &[0x7d82_0500]);
    assert_eq!(m.sgpr64(VCC), 0x030f, "inactive lanes become zero");
    m.run("v_cmpx_gt_u32_e64 s[8:9], v0, v2", &[0xd0dc_0008, 0x0002_0500]);
    assert_eq!((m.sgpr64(8), m.sgpr64(EXEC)), (0xf800, 0xf800));
}

#[test]
fn comparisons_know_nan_and_classes() {
    let mut m = machine();
    let kinds = [
        0x7f80_0001u32,
        0x7fc0_0000,
        0xff80_0000,
        0xbf80_0000,
        0x8000_0001,
        0x8000_0000,
        0,
        1,
        0x3f80_0000,
        0x7f80_0000,
    ];
    m.set_pair(0, |lane| u64::from(kinds[lane % 10]));
    m.set_pair(2, |_| 0);
    m.run("v_cmp_nlt_f32_e64 s[8:9], v0, v2", &[0xd04e_0008, 0x0002_0500]);
    assert_eq!(m.sgpr64(8) & 0x3ff, 0b11_1110_0011, "true for NaN, zeros and what is above");
    for class in 0..10 {
        m.set_pair(2, |_| 1 << class);
        m.run("v_cmp_class_f32_e64 s[8:9], v0, v2", &[0xd010_0008, 0x0002_0500]);
        assert_eq!(m.sgpr64(8) & 0x3ff, 1 << class, "class {class}");
    }
}

#[test]
fn sdwa_comparison_selects_halves_and_its_own_destination() {
    let mut m = machine();
    m.set_pair(0, |lane| if lane < 3 { 0x0007_0000 } else { 0 });
    m.set_pair(2, |_| 0xffff_0007);
    m.run("v_cmp_eq_u16_sdwa s[8:9], v0, v2 src0_sel:WORD_1 src1_sel:WORD_0", &[0x7d54_04f9, 0x0405_8800]);
    assert_eq!(m.sgpr64(8), 7);
}

#[test]
fn select_applies_signs_and_takes_bits_of_any_pair() {
    let mut m = machine();
    m.set_pair(0, |_| u64::from(1f32.to_bits()));
    m.set_pair(2, |_| u64::from((-2f32).to_bits()));
    m.set_sgpr64(8, 0xf0);
    m.run("v_cndmask_b32_e64 v6, -v0, |v2|, s[8:9]", &[0xd100_0206, 0x2022_0500]);
    for lane in 0..8 {
        assert_eq!(f32::from_bits(m.vgpr(6)[lane]), if lane < 4 { -1.0 } else { 2.0 });
    }
}

/// Runs a DPP move of the lane numbers over a destination of 0xdead and returns what each lane got.
fn moved(text: &str, words: &[u32], exec: u64) -> Vec<u32> {
    let mut m = machine();
    numbered(&mut m);
    m.set_sgpr64(EXEC, exec);
    m.run(text, words);
    assert_eq!(m.sgpr64(EXEC), exec, "EXEC is what it was");
    m.vgpr(6).to_vec()
}

#[test]
fn dpp_moves_lanes_and_keeps_what_has_no_source() {
    let out =
        moved("v_mov_b32_dpp v6, v0 quad_perm:[1,0,3,2] row_mask:0xf bank_mask:0xf", &[0x7e0c_02fa, 0xff00_b100], !0);
    assert_eq!(out[..8], [1, 0, 3, 2, 5, 4, 7, 6]);
    let out = moved("v_mov_b32_dpp v6, v0 row_bcast:15 row_mask:0xa bank_mask:0xf", &[0x7e0c_02fa, 0xaf01_4200], !0);
    assert_eq!([out[0], out[16], out[31], out[32], out[48]], [0xdead, 15, 15, 0xdead, 47]);
    let text = "v_mov_b32_dpp v6, v0 wave_shr:1 row_mask:0xf bank_mask:0xf bound_ctrl:1";
    let out = moved(text, &[0x7e0c_02fa, 0xff09_3800], !0);
    assert_eq!([out[0], out[1], out[16], out[63]], [0, 0, 15, 62], "bound_ctrl makes what has no source zero");
    let out = moved("v_mov_b32_dpp v6, v0 row_newbcast:3 row_mask:0xf bank_mask:0xf", &[0x7e0c_02fa, 0xff01_5300], !0);
    assert_eq!([out[0], out[15], out[17], out[63]], [3, 3, 19, 51]);
    let out = moved("v_mov_b32_dpp v6, v0 row_half_mirror row_mask:0xf bank_mask:0x3", &[0x7e0c_02fa, 0xf301_4100], !0);
    assert_eq!(out[..10], [7, 6, 5, 4, 3, 2, 1, 0, 0xdead, 0xdead]);
    // Lane 1 is off: nobody may read it, and it is not written.
    let out =
        moved("v_mov_b32_dpp v6, v0 quad_perm:[1,0,3,2] row_mask:0xf bank_mask:0xf", &[0x7e0c_02fa, 0xff00_b100], !2);
    assert_eq!(out[..4], [0xdead, 0xdead, 3, 2]);
}

#[test]
fn dpp_shift_feeds_arithmetic() {
    let mut m = machine();
    m.set_pair(0, |lane| u64::from((lane as f32).to_bits()));
    m.set_pair(2, |_| u64::from(0.5f32.to_bits()));
    m.run("v_add_f32_dpp v6, v0, v2 row_shr:1 row_mask:0xf bank_mask:0xf", &[0x020c_04fa, 0xff01_1100]);
    let out: Vec<f32> = m.vgpr(6).iter().map(|&x| f32::from_bits(x)).collect();
    assert_eq!([out[0], out[1], out[15], out[16], out[17]], [0.0, 0.5, 14.5, 0.0, 16.5]);
}

#[test]
fn lanes_and_scalars_exchange() {
    let mut m = machine();
    numbered(&mut m);
    m.set_sgpr64(EXEC, 0xf0);
    m.run("v_readfirstlane_b32 s8, v0", &[0x7e10_0500]);
    assert_eq!(m.hw[0].sgpr[0][8], 4);
    m.set_sgpr64(EXEC, 0);
    m.run("v_readfirstlane_b32 s8, v0", &[0x7e10_0500]);
    assert_eq!(m.hw[0].sgpr[0][8], 0, "lane 0 when none is active");
    m.hw[0].sgpr[0][9] = 64 + 33;
    m.run("v_readlane_b32 s8, v0, s9", &[0xd289_0008, 0x0000_1300]);
    assert_eq!(m.hw[0].sgpr[0][8], 33);
    m.run("v_writelane_b32 v6, s8, 5", &[0xd28a_0006, 0x0001_0a08]);
    assert_eq!((m.vgpr(6)[5], m.vgpr(6)[6]), (33, 0xdead), "EXEC does not matter");
    m.set_sgpr64(EXEC, !0);
    m.run("v_mbcnt_lo_u32_b32 v6, -1, 0", &[0xd28c_0006, 0x0001_00c1]);
    m.run("v_mbcnt_hi_u32_b32 v6, -1, v6", &[0xd28d_0006, 0x0002_0cc1]);
    assert!(m.vgpr(6).iter().enumerate().all(|(lane, &x)| x == lane as u32));
    m.set_sgpr64(EXEC, 1);
    m.run("v_swap_b32 v0, v2", &[0x7e00_a302]);
    assert_eq!((m.vgpr(0)[0], m.vgpr(2)[0], m.vgpr(0)[1]), (100, 0, 1));
}

#[test]
fn accumulation_registers_are_apart() {
    let mut m = machine();
    numbered(&mut m);
    m.run("v_accvgpr_write_b32 a5, v0", &[0xd3d9_4005, 0x1800_0100]);
    m.run("v_accvgpr_mov_b32 a6, a5", &[0x7e0c_a505]);
    m.run("v_accvgpr_read_b32 v6, a5", &[0xd3d8_4006, 0x1800_0105]);
    assert_eq!((m.vgpr(6)[9], m.vgpr(256 + 5)[9], m.vgpr(256 + 6)[9], m.vgpr(5)[9]), (9, 9, 9, 0));
}

#[test]
fn fused_accumulation_reads_its_destination() {
    let mut m = machine();
    let f = |x: f32| u64::from(x.to_bits());
    m.set_pair(0, |_| f(2.0));
    m.set_pair(2, |_| f(3.0));
    m.set_pair(6, |lane| f(lane as f32));
    m.run("v_fmac_f32_e32 v6, v0, v2", &[0x760c_0500]);
    assert_eq!(f32::from_bits(m.vgpr(6)[4]), 10.0);
}

#[test]
fn scalar_arithmetic_keeps_its_flag() {
    let mut m = machine();
    m.set_sgpr64(0, 0x0000_0001_ffff_ffff);
    m.set_sgpr64(2, 1);
    m.run("s_add_u32 s0, s0, s2", &[0x8000_0200]);
    assert!(m.wave.scc);
    m.run("s_addc_u32 s1, s1, s3", &[0x8201_0301]);
    assert_eq!((m.sgpr64(0), m.wave.scc), (0x0000_0002_0000_0000, false));
    m.set_sgpr64(6, 0xff);
    m.set_sgpr64(EXEC, 0xf0f);
    m.run("s_and_saveexec_b64 s[4:5], s[6:7]", &[0xbe84_2006]);
    assert_eq!((m.sgpr64(4), m.sgpr64(EXEC), m.wave.scc), (0xf0f, 0x0f, true));
    m.set_sgpr64(0, 0xdead_beef);
    m.run("s_bfe_u32 s4, s0, 0x100008", &[0x9284_ff00, 0x0010_0008]);
    assert_eq!(m.hw[0].sgpr[0][4], 0xadbe);
    m.run("s_cmp_lt_i32 s0, -1", &[0xbf04_c100]);
    m.run("s_cselect_b32 s4, 1, 2", &[0x8504_8281]);
    assert_eq!(m.hw[0].sgpr[0][4], 1);
    m.set_sgpr64(0, 1 << 40);
    m.run("s_ff1_i32_b64 s4, s[0:1]", &[0xbe84_1100]);
    assert_eq!(m.hw[0].sgpr[0][4], 40);
    m.set_sgpr64(0, 5);
    m.run("s_bitreplicate_b64_b32 s[4:5], s0", &[0xbe84_3700]);
    assert_eq!(m.sgpr64(4), 0b11_0011);
    m.run("s_movk_i32 s4, 0x8000", &[0xb004_8000]);
    assert_eq!(m.hw[0].sgpr[0][4], 0xffff_8000);
}

#[test]
fn control_transfers_are_relative_to_the_next_instruction() {
    let mut m = machine();
    m.wave.scc = true;
    // The run loop has moved the program counter on before the instruction runs.
    m.run("s_cbranch_scc1 65532", &[0xbf85_fffc]);
    assert_eq!(m.wave.pc, 0x1000 - 16);
    m.set_sgpr64(4, 0x5003);
    m.run("s_swappc_b64 s[30:31], s[4:5]", &[0xbe9e_1e04]);
    assert_eq!((m.wave.pc, m.sgpr64(30)), (0x5000, 0x1000 - 16));
}

#[test]
fn mode_register_is_read_and_written_field_by_field() {
    let mut m = machine();
    m.run("s_getreg_b32 s4, hwreg(HW_REG_MODE, 4, 4)", &[0xb884_1901]);
    assert_eq!((m.hw[0].sgpr[0][4], m.wave.unusual), (15, false));
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 1", &[0xba00_0801, 1]);
    assert_eq!((m.wave.mode & 0xff, m.wave.unusual), (0xf1, true));
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 0", &[0xba00_0801, 0]);
    assert!(!m.wave.unusual);
}
