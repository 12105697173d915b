//! MODE: rounding, denormals, IEEE rules, clamping of NaN, registers by index, skipped vector instructions.

use super::Machine;
use crate::arch::{Arch, LANES};
use crate::exec::Tier;
use crate::exec::cx::{EXEC, Flow};

fn machine() -> Machine {
    Machine::new(Arch::Gfx90a)
}

impl Machine {
    fn one(&mut self, a: u64, b: u64, text: &str, words: &[u32]) -> u64 {
        self.set_pair(0, |_| a);
        self.set_pair(2, |_| b);
        assert_eq!(self.run(text, words), Flow::Next, "{text}");
        u64::from(self.vgpr(6)[9]) | u64::from(self.vgpr(7)[9]) << 32
    }

    fn single(&mut self, a: f32, b: f32, text: &str, words: &[u32]) -> f32 {
        f32::from_bits(self.one(u64::from(a.to_bits()), u64::from(b.to_bits()), text, words) as u32)
    }
}

#[test]
fn rounding_goes_where_the_mode_says() {
    // 2^-30 is lost beside one in every direction but up.
    let tiny = 1.0 / (1u32 << 30) as f32;
    for (mode, sum, difference) in
        [(0, 1.0, -1.0), (1, 1f32.next_up(), (-1f32).next_up()), (2, 1.0, -1.0), (3, 1.0, (-1f32).next_up())]
    {
        let mut m = machine();
        let text = format!("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), {mode}");
        m.run(&text, &[0xba00_0801, mode]);
        assert_eq!(m.single(1.0, tiny, "v_add_f32_e32 v6, v0, v2", &[0x020c_0500]), sum, "mode {mode}");
        assert_eq!(m.single(-1.0, tiny, "v_add_f32_e32 v6, v0, v2", &[0x020c_0500]), difference, "mode {mode}");
        // The other formats have a mode of their own, still to nearest.
        let double =
            m.one(1f64.to_bits(), 1e-30f64.to_bits(), "v_add_f64 v[6:7], v[0:1], v[2:3]", &[0xd280_0006, 0x0002_0500]);
        assert_eq!(f64::from_bits(double), 1.0);
    }
    let mut m = machine();
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 4), 5", &[0xba00_1801, 5]);
    let double =
        m.one(1f64.to_bits(), 1e-30f64.to_bits(), "v_add_f64 v[6:7], v[0:1], v[2:3]", &[0xd280_0006, 0x0002_0500]);
    assert_eq!(f64::from_bits(double), 1f64.next_up());
    assert_eq!(m.one(0x3c00, 0x0001, "v_add_f16_e32 v6, v0, v2", &[0x3e0c_0500]) as u16, 0x3c01);
    assert_eq!(
        m.one(0x3c00_bc00, 0x0001_0001, "v_pk_add_f16 v6, v0, v2", &[0xd38f_4006, 0x1802_0500]) as u32,
        0x3c01_bbff
    );
    let mut m = machine();
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 3", &[0xba00_0801, 3]);
    assert_eq!(
        f32::from_bits(m.one(0x7fff_ffff, 0, "v_cvt_f32_i32_e32 v6, v0", &[0x7e0c_0b00]) as u32),
        2_147_483_520.0
    );
    let big = (1e300f64).to_bits();
    assert_eq!(f32::from_bits(m.one(big, 0, "v_cvt_f32_f64_e32 v6, v[0:1]", &[0x7e0c_1f00]) as u32), f32::MAX);
    m.set_pair(6, |_| u64::from(1f32.to_bits()));
    let fused = m.single(tiny, -1.0, "v_fmac_f32_e32 v6, v0, v2", &[0x760c_0500]);
    assert_eq!(fused, 1f32.next_down(), "the accumulator is an operand like any other");
}

/// A decoration changes operands and results; who rounds, and where to, is between them.
#[test]
fn decorated_instructions_round_where_the_mode_says() {
    let tiny = 1.0 / (1u32 << 30) as f32;
    let mut m = machine();
    // Up, in both formats.
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 4), 5", &[0xba00_1801, 5]);
    m.set_pair(0, |lane| u64::from((lane as f32).to_bits()));
    m.set_pair(2, |_| u64::from(tiny.to_bits()));
    m.run("v_add_f32_dpp v6, v0, v2 row_shr:1 row_mask:0xf bank_mask:0xf", &[0x020c_04fa, 0xff01_1100]);
    assert_eq!(f32::from_bits(m.vgpr(6)[9]), 8f32.next_up(), "the lane before, and a little");
    assert_eq!(m.single(0.5, tiny, "v_add_f32_e64 v6, v0, v2 clamp", &[0xd101_8006, 0x0002_0500]), 0.5f32.next_up());
    assert_eq!(m.single(1.0, tiny, "v_add_f32_e64 v6, v0, v2 clamp", &[0xd101_8006, 0x0002_0500]), 1.0);
    m.set_pair(0, |_| 0x3c00_0000);
    m.set_pair(2, |_| 0xffff_0001);
    m.set_pair(6, |_| 0x1111_2222);
    let text = "v_add_f16_sdwa v6, v0, v2 dst_sel:WORD_1 dst_unused:UNUSED_PRESERVE src0_sel:WORD_1 src1_sel:WORD_0";
    m.run(text, &[0x3e0c_04f9, 0x0405_1500]);
    assert_eq!(m.vgpr(6)[3], 0x3c01_2222);
    let packed = m.one(0x3800_3c00, 0x0001_0001, "v_pk_add_f16 v6, v0, v2 clamp", &[0xd38f_c006, 0x1802_0500]);
    assert_eq!(packed as u32, 0x3801_3c00, "one half stays below one, the other is held there");
    m.set_pair(0, |_| 0x3c00_ffff);
    m.set_pair(2, |_| 0x3c00);
    m.set_pair(4, |_| 0x0001);
    m.set_pair(6, |_| 0x1111_2222);
    m.run("v_fma_f16 v6, v0, v2, v4 op_sel:[1,0,0,1]", &[0xd206_4806, 0x0412_0500]);
    assert_eq!(m.vgpr(6)[3], 0x3c01_2222);
}

#[test]
fn denormals_are_flushed_where_the_mode_says() {
    let denormal = f32::from_bits(1);
    // (mode, kept as a result, kept as an operand)
    for (mode, result, operand) in [(0, false, false), (1, false, true), (2, true, false), (3, true, true)] {
        let mut m = machine();
        let text = format!("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 4), {}", mode | mode << 2);
        m.run(&text, &[0xba00_1901, mode | mode << 2]);
        let product = m.single(f32::MIN_POSITIVE, 0.5, "v_mul_f32_e32 v6, v0, v2", &[0x0a0c_0500]);
        assert_eq!(product != 0.0, result, "mode {mode}");
        let product = m.single(denormal, 1e30, "v_mul_f32_e32 v6, v0, v2", &[0x0a0c_0500]);
        assert_eq!(product != 0.0, operand, "mode {mode}");
        m.set_pair(0, |_| 1);
        m.set_pair(2, |_| 0);
        m.run("v_cmp_eq_f32_e32 vcc, v0, v2", &[0x7c84_0500]);
        assert_eq!(m.sgpr64(106) == 0, operand, "mode {mode}: zero equals a flushed denormal");
        assert_eq!(m.one(1 | 0x7bff << 16, 0x3c00, "v_add_f16_e32 v6, v0, v2", &[0x3e0c_0500]) as u16, 0x3c00);
        assert_eq!(m.one(1, 0, "v_add_f16_e32 v6, v0, v2", &[0x3e0c_0500]) as u16 != 0, operand && result);
        assert_eq!(m.one(1, 0, "v_mov_b32_e32 v6, v0", &[0x7e0c_0300]) as u32, 1, "bits are no number");
    }
    // Inactive lanes keep what they have, denormal or not.
    let mut m = machine();
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 4), 0", &[0xba00_1901, 0]);
    m.set_pair(6, |_| 7);
    m.set_sgpr64(EXEC, 1);
    m.set_pair(0, |_| 5);
    m.set_pair(2, |_| 0);
    m.run("v_add_f32_e32 v6, v0, v2", &[0x020c_0500]);
    assert_eq!((m.vgpr(6)[0], m.vgpr(6)[1]), (0, 7));
}

#[test]
fn ieee_rules_decide_what_a_signalling_nan_becomes() {
    let (signalling, two) = (0x7f80_0001, u64::from(2f32.to_bits()));
    let mut m = machine();
    for (a, b) in [(signalling, two), (two, signalling)] {
        assert_eq!(m.one(a, b, "v_max_f32_e32 v6, v0, v2", &[0x160c_0500]) as u32, 0x7fc0_0001);
    }
    assert_eq!(m.one(0x7d00, 0x3c00, "v_max_f16_e32 v6, v0, v2", &[0x5a0c_0500]) as u16, 0x7f00);
    assert_eq!(
        m.one(0x7ff0 << 48 | 1, 0, "v_min_f64 v[6:7], v[0:1], v[2:3]", &[0xd282_0006, 0x0002_0500]),
        0x7ff8 << 48 | 1
    );
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 9, 1), 0", &[0xba00_0241, 0]);
    for (a, b) in [(signalling, two), (two, signalling)] {
        assert_eq!(m.one(a, b, "v_max_f32_e32 v6, v0, v2", &[0x160c_0500]) as u32, two as u32);
    }
}

#[test]
fn output_multipliers_work_without_denormals_and_ieee_rules_alone() {
    let (text, words) = ("v_add_f32_e64 v6, v0, v2 mul:2", [0xd101_0006, 0x0802_0500]);
    let mut m = machine();
    assert_eq!(m.single(1.5, 2.0, text, &words), 3.5);
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 9, 1), 0", &[0xba00_0241, 0]);
    assert_eq!(m.single(1.5, 2.0, text, &words), 3.5);
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 4, 4), 0", &[0xba00_1901, 0]);
    assert_eq!(m.single(1.5, 2.0, text, &words), 7.0);
    assert_eq!(m.single(1.5, 2.0, "v_add_f32_e64 v6, v0, v2 div:2", &[0xd101_0006, 0x1802_0500]), 1.75);
}

#[test]
fn clamp_makes_zero_of_nan_if_the_mode_says_so() {
    let (text, words) = ("v_add_f32_e64 v6, v0, v2 clamp", [0xd101_8006, 0x0002_0500]);
    let mut m = machine();
    assert_eq!(m.single(f32::NAN, 2.0, text, &words), 0.0);
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 8, 1), 0", &[0xba00_0201, 0]);
    assert!(m.single(f32::NAN, 2.0, text, &words).is_nan());
    assert_eq!(m.single(5.0, 2.0, text, &words), 1.0);
}

#[test]
fn halves_that_overflow_can_stay_finite() {
    let (text, words) = ("v_add_f16_e32 v6, v0, v2", [0x3e0c_0500]);
    let mut m = machine();
    assert_eq!(m.one(0x7bff, 0x7bff, text, &words) as u16, 0x7c00);
    m.run("s_setreg_imm32_b32 hwreg(HW_REG_MODE, 23, 1), 1", &[0xba00_05c1, 1]);
    assert_eq!(m.one(0x7bff, 0x7bff, text, &words) as u16, 0x7bff);
    assert_eq!(m.one(0x7c00, 0x3c00, text, &words) as u16, 0x7c00, "an infinite operand makes an infinity");
}

#[test]
fn registers_are_found_by_index() {
    let mut m = machine();
    for r in 0..8 {
        m.vgpr(r).fill(100 + r as u32);
    }
    m.hw[0].sgpr[0][4] = 3;
    m.run("s_set_gpr_idx_on s4, gpr_idx(SRC0)", &[0xbf11_0104]);
    m.run("v_mov_b32_e32 v6, v0", &[0x7e0c_0300]);
    assert_eq!(m.vgpr(6)[1], 103);
    m.run("s_set_gpr_idx_mode gpr_idx(DST)", &[0xbf9d_0008]);
    m.run("v_mov_b32_e32 v6, v0", &[0x7e0c_0300]);
    assert_eq!((m.vgpr(6)[1], m.vgpr(9)[1]), (103, 100));
    m.hw[0].sgpr[0][5] = 1;
    m.run("s_set_gpr_idx_idx s5", &[0xbe80_3205]);
    m.run("v_mov_b32_e32 v6, v0", &[0x7e0c_0300]);
    assert_eq!(m.vgpr(7)[1], 100);
    m.run("s_set_gpr_idx_off", &[0xbf9c_0000]);
    m.run("v_mov_b32_e32 v6, v0", &[0x7e0c_0300]);
    assert_eq!((m.vgpr(6)[1], m.wave.unusual), (100, false));
    // Beyond the wave's registers: a source reads the first one, a result goes nowhere.
    m.wave.vgprs = 16;
    m.vgpr(16).fill(0xbad);
    m.hw[0].sgpr[0][4] = 16;
    m.run("s_set_gpr_idx_on s4, gpr_idx(SRC0)", &[0xbf11_0104]);
    m.run("v_mov_b32_e32 v6, v0", &[0x7e0c_0300]);
    assert_eq!(m.vgpr(6)[1], 100);
    m.run("s_set_gpr_idx_on s4, gpr_idx(DST)", &[0xbf11_0804]);
    m.run("v_mov_b32_e32 v6, v0", &[0x7e0c_0300]);
    assert_eq!(m.vgpr(22)[1], 0);
}

#[test]
fn scalar_registers_are_found_by_index() {
    let mut m = machine();
    m.hw[0].sgpr[0][124] = 4;
    m.set_sgpr64(8, 0x1111_2222_3333_4444);
    m.run("s_movrels_b64 s[10:11], s[4:5]", &[0xbe8a_2b04]);
    assert_eq!(m.sgpr64(10), 0x1111_2222_3333_4444);
    m.run("s_movrels_b32 s10, s4", &[0xbe8a_2a04]);
    m.hw[0].sgpr[0][4] = 99;
    m.run("s_movreld_b32 s10, s4", &[0xbe8a_2c04]);
    assert_eq!(m.hw[0].sgpr[0][14], 99);
    m.hw[0].sgpr[0][124] = u32::MAX;
    m.run("s_movreld_b64 s[10:11], s[4:5]", &[0xbe8a_2d04]);
    assert_eq!(m.sgpr64(14) as u32, 99, "outside of the registers nothing happens");
}

#[test]
fn vector_instructions_can_be_skipped() {
    let mut m = machine();
    m.hw[0].sgpr[0][4] = 8;
    m.run("s_setvskip s4, 3", &[0xbf10_8304]);
    m.set_pair(0, |_| 5);
    m.run("v_mov_b32_e32 v6, v0", &[0x7e0c_0300]);
    assert_eq!(m.vgpr(6)[0], 0);
    m.hw[0].sgpr[0][4] = 0;
    m.run("s_setvskip s4, 3", &[0xbf10_8304]);
    m.run("v_mov_b32_e32 v6, v0", &[0x7e0c_0300]);
    assert_eq!(m.vgpr(6)[0], 5);
}

#[test]
fn forks_run_the_smaller_side_first_and_join_both() {
    let mut m = machine();
    m.set_sgpr64(4, 0xff);
    m.set_sgpr64(8, 0x9000);
    m.set_sgpr64(EXEC, 0xffff_ffff);
    m.run("s_cbranch_g_fork s[4:5], s[8:9]", &[0x9480_0804]);
    // Eight lanes pass and go to the target; the others wait on the stack with the next instruction.
    assert_eq!((m.wave.pc, m.hw[0].sgpr[0][EXEC]), (0x9000, 0xff));
    m.hw[0].sgpr[0][6] = 0;
    m.wave.pc = 0xa000;
    m.run("s_cbranch_join s6", &[0xbe80_2e06]);
    assert_eq!((m.wave.pc, m.hw[0].sgpr[0][EXEC]), (0x1000, 0xffff_ff00));
    m.run("s_cbranch_join s6", &[0xbe80_2e06]);
    assert_eq!(m.wave.pc, 0x1000, "the second time goes on");
    m.set_sgpr64(EXEC, 0xff);
    m.set_sgpr64(8, 0x9000);
    m.set_sgpr64(4, 0xff);
    m.run("s_cbranch_g_fork s[4:5], s[8:9]", &[0x9480_0804]);
    assert_eq!(m.wave.pc, 0x9000, "all pass: a branch");
    assert!(m.vgpr(0).len() == LANES);
}

#[test]
fn a_halted_wave_stays_and_a_killed_one_ends() {
    let mut m = machine();
    m.wave.pc = 0x1004;
    assert_eq!(m.run("s_sethalt 1", &[0xbf8d_0001]), Flow::Yield);
    assert_eq!(m.wave.pc, 0x1000);
    assert_eq!(m.run("s_setkill 1", &[0xbf8b_0001]), Flow::End);
}

/// A result that is not written whole would be completed by whatever an earlier instruction left. Found by the fuzz target `runs`.
#[test]
fn what_only_moves_registers_is_not_clamped() {
    let mut m = machine();
    // Leaves a result of its own where clamped ones are made.
    m.single(3.0, 4.0, "v_add_f32_e64 v6, v0, v2 clamp", &[0xd101_8006, 0x0002_0500]);
    for (what, words, expected) in [
        ("v_nop", [0xd140_8006, 0x0000_0104], [60, 40]),
        ("v_clrexcp", [0xd175_8006, 0x0000_0104], [60, 40]),
        ("v_swap_b32 v6, v4", [0xd191_8006, 0x0000_0104], [40, 60]),
        // 1 to lane 2, which is not looked at.
        ("v_writelane_b32 v6, 1, 2", [0xd28a_8006, 0x0001_0481], [60, 40]),
    ] {
        for tier in Tier::all() {
            m.set_pair(6, |_| 60);
            m.set_pair(4, |_| 40);
            assert_eq!(m.run_on(tier, &words), Flow::Next, "{what}");
            assert_eq!([m.vgpr(6)[9], m.vgpr(4)[9]], expected, "{what} with its clamp bit set, {} tier", tier.name());
        }
    }
}
