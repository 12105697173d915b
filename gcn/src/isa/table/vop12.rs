//! Rows of VOP1 and VOP2, which also stand for their VOP3, SDWA and DPP forms.

/// Passes the one- and two-operand vector rows on, in front of the rows collected so far.
macro_rules! vop12_rows {
    ($next:ident $apply:ident { $($rows:tt)* }) => {
        $crate::isa::table::$next! { $apply {
            // ---- VOP1: moves ----------------------------------------------------------------------------------------------------
            Vop1 0 v_nop ALL None () [NO_DPP NO_SDWA] = nothing();
            Vop1 1 v_mov_b32 ALL B32 (B32) [] = v1(|a: u32| a);
            Vop1 2 v_readfirstlane_b32 ALL B32 (B32) [SCALAR_DST IGNORES_EXEC NO_DPP NO_SDWA] = v_readfirstlane();
            Vop1 53 v_clrexcp ALL None () [NO_DPP NO_SDWA] = nothing();
            Vop1 55 v_screen_partition_4se_b32 ALL B32 (B32) [DECODE_ONLY] = unsupported();
            Vop1 56 v_mov_b64 GFX942 B64 (B64) [] = v1(|a: u64| a);
            Vop1 81 v_swap_b32 ALL B32 (B32) [NO_DPP NO_SDWA] = v_swap();
            Vop1 82 v_accvgpr_mov_b32 ALL B32 (B32) [ACC_DST ACC_SRC NO_DPP NO_SDWA] = v1(|a: u32| a);

            // ---- VOP1: conversions, saturating, NaN becomes zero ----------------------------------------------------------------
            Vop1 3 v_cvt_i32_f64 ALL I32 (F64) [] = v1(|a: f64| a as i32);
            Vop1 4 v_cvt_f64_i32 ALL F64 (I32) [] = v1(|a: i32| f64::from(a));
            Vop1 5 v_cvt_f32_i32 ALL F32 (I32) [] = v1(|a: i32| a as f32);
            Vop1 6 v_cvt_f32_u32 ALL F32 (U32) [] = v1(|a: u32| a as f32);
            Vop1 7 v_cvt_u32_f32 ALL U32 (F32) [] = v1(|a: f32| a as u32);
            Vop1 8 v_cvt_i32_f32 ALL I32 (F32) [] = v1(|a: f32| a as i32);
            Vop1 10 v_cvt_f16_f32 ALL F16 (F32) [] = v1(|a: f32| Half(a));
            Vop1 11 v_cvt_f32_f16 ALL F32 (F16) [] = v1(|a: Half| a.0);
            Vop1 12 v_cvt_rpi_i32_f32 ALL I32 (F32) [] = v1(|a: f32| (a + 0.5).floor() as i32);
            Vop1 13 v_cvt_flr_i32_f32 ALL I32 (F32) [] = v1(|a: f32| a.floor() as i32);
            Vop1 14 v_cvt_off_f32_i4 ALL F32 (U32) [] = v1(|a: i32| (a << 28 >> 28) as f32 * 0.0625);
            Vop1 15 v_cvt_f32_f64 ALL F32 (F64) [] = v1(|a: f64| a as f32);
            Vop1 16 v_cvt_f64_f32 ALL F64 (F32) [] = v1(|a: f32| f64::from(a));
            Vop1 17 v_cvt_f32_ubyte0 ALL F32 (U32) [] = v1(|a: u32| (a & 0xff) as f32);
            Vop1 18 v_cvt_f32_ubyte1 ALL F32 (U32) [] = v1(|a: u32| (a >> 8 & 0xff) as f32);
            Vop1 19 v_cvt_f32_ubyte2 ALL F32 (U32) [] = v1(|a: u32| (a >> 16 & 0xff) as f32);
            Vop1 20 v_cvt_f32_ubyte3 ALL F32 (U32) [] = v1(|a: u32| (a >> 24) as f32);
            Vop1 21 v_cvt_u32_f64 ALL U32 (F64) [] = v1(|a: f64| a as u32);
            Vop1 22 v_cvt_f64_u32 ALL F64 (U32) [] = v1(|a: u32| f64::from(a));
            Vop1 57 v_cvt_f16_u16 ALL F16 (U16) [] = v1(|a: u16| Half(f32::from(a)));
            Vop1 58 v_cvt_f16_i16 ALL F16 (I16) [] = v1(|a: i16| Half(f32::from(a)));
            Vop1 59 v_cvt_u16_f16 ALL U16 (F16) [] = v1(|a: Half| a.0 as u16);
            Vop1 60 v_cvt_i16_f16 ALL I16 (F16) [] = v1(|a: Half| a.0 as i16);
            Vop1 77 v_cvt_norm_i16_f16 ALL I16 (F16) [] = v1(|a: Half| snorm(a.0));
            Vop1 78 v_cvt_norm_u16_f16 ALL U16 (F16) [] = v1(|a: Half| unorm(a.0));
            Vop1 79 v_sat_pk_u8_i16 ALL B32 (P16) [] = v1(|a: u32| sat_pk_u8_i16(a));
            Vop1 84 v_cvt_f32_fp8 GFX942 F32 (B32) [] = v1(|a: u32| fp8_to_f32(a as u8));
            Vop1 85 v_cvt_f32_bf8 GFX942 F32 (B32) [] = v1(|a: u32| bf8_to_f32(a as u8));
            Vop1 86 v_cvt_pk_f32_fp8 GFX942 PF32 (B32) [] = v1(|a: u32| pair(fp8_to_f32(a as u8), fp8_to_f32((a >> 8) as u8)));
            Vop1 87 v_cvt_pk_f32_bf8 GFX942 PF32 (B32) [] = v1(|a: u32| pair(bf8_to_f32(a as u8), bf8_to_f32((a >> 8) as u8)));

            // ---- VOP1: floating point -------------------------------------------------------------------------------------------
            Vop1 23 v_trunc_f64 ALL F64 (F64) [] = v1(|a: f64| a.trunc());
            Vop1 24 v_ceil_f64 ALL F64 (F64) [] = v1(|a: f64| a.ceil());
            Vop1 25 v_rndne_f64 ALL F64 (F64) [] = v1(|a: f64| a.round_ties_even());
            Vop1 26 v_floor_f64 ALL F64 (F64) [] = v1(|a: f64| a.floor());
            Vop1 27 v_fract_f32 ALL F32 (F32) [] = v1(fract_f32);
            Vop1 28 v_trunc_f32 ALL F32 (F32) [] = v1(|a: f32| a.trunc());
            Vop1 29 v_ceil_f32 ALL F32 (F32) [] = v1(|a: f32| a.ceil());
            Vop1 30 v_rndne_f32 ALL F32 (F32) [] = v1(|a: f32| a.round_ties_even());
            Vop1 31 v_floor_f32 ALL F32 (F32) [] = v1(|a: f32| a.floor());
            Vop1 32 v_exp_f32 ALL F32 (F32) [] = v1(exp_f32);
            Vop1 33 v_log_f32 ALL F32 (F32) [] = v1(log_f32);
            Vop1 34 v_rcp_f32 ALL F32 (F32) [] = v1(|a: f32| 1.0 / a);
            Vop1 35 v_rcp_iflag_f32 ALL F32 (F32) [] = v1(|a: f32| 1.0 / a);
            Vop1 36 v_rsq_f32 ALL F32 (F32) [] = v1(rsq_f32);
            Vop1 37 v_rcp_f64 ALL F64 (F64) [] = v1(|a: f64| 1.0 / a);
            Vop1 38 v_rsq_f64 ALL F64 (F64) [] = v1(rsq_f64);
            Vop1 39 v_sqrt_f32 ALL F32 (F32) [] = v1(|a: f32| a.sqrt());
            Vop1 40 v_sqrt_f64 ALL F64 (F64) [] = v1(|a: f64| a.sqrt());
            Vop1 41 v_sin_f32 ALL F32 (F32) [] = v1(sin_f32);
            Vop1 42 v_cos_f32 ALL F32 (F32) [] = v1(cos_f32);
            Vop1 48 v_frexp_exp_i32_f64 ALL I32 (F64) [] = v1(frexp_exp_f64);
            Vop1 49 v_frexp_mant_f64 ALL F64 (F64) [] = v1(frexp_mant_f64);
            Vop1 50 v_fract_f64 ALL F64 (F64) [] = v1(fract_f64);
            Vop1 51 v_frexp_exp_i32_f32 ALL I32 (F32) [] = v1(frexp_exp_f32);
            Vop1 52 v_frexp_mant_f32 ALL F32 (F32) [] = v1(frexp_mant_f32);
            Vop1 61 v_rcp_f16 ALL F16 (F16) [] = v1(|a: Half| Half(1.0 / a.0));
            Vop1 62 v_sqrt_f16 ALL F16 (F16) [] = v1(|a: Half| Half(a.0.sqrt()));
            Vop1 63 v_rsq_f16 ALL F16 (F16) [] = v1(|a: Half| Half(1.0 / a.0.sqrt()));
            Vop1 64 v_log_f16 ALL F16 (F16) [] = v1(|a: Half| Half(log_f32(a.0)));
            Vop1 65 v_exp_f16 ALL F16 (F16) [] = v1(|a: Half| Half(exp_f32(a.0)));
            Vop1 66 v_frexp_mant_f16 ALL F16 (F16) [] = v1(|a: Half| Half(frexp_mant_f32(a.0)));
            Vop1 67 v_frexp_exp_i16_f16 ALL I16 (F16) [] = v1(|a: Half| frexp_exp_f32(a.0) as i16);
            Vop1 68 v_floor_f16 ALL F16 (F16) [] = v1(|a: Half| Half(a.0.floor()));
            Vop1 69 v_ceil_f16 ALL F16 (F16) [] = v1(|a: Half| Half(a.0.ceil()));
            Vop1 70 v_trunc_f16 ALL F16 (F16) [] = v1(|a: Half| Half(a.0.trunc()));
            Vop1 71 v_rndne_f16 ALL F16 (F16) [] = v1(|a: Half| Half(a.0.round_ties_even()));
            Vop1 72 v_fract_f16 ALL F16 (F16) [] = v1(fract_f16);
            Vop1 73 v_sin_f16 ALL F16 (F16) [] = v1(|a: Half| Half(sin_f32(a.0)));
            Vop1 74 v_cos_f16 ALL F16 (F16) [] = v1(|a: Half| Half(cos_f32(a.0)));
            Vop1 75 v_exp_legacy_f32 ALL F32 (F32) [] = v1(exp_f32);
            Vop1 76 v_log_legacy_f32 ALL F32 (F32) [] = v1(log_f32);

            // ---- VOP1: bits -----------------------------------------------------------------------------------------------------
            Vop1 43 v_not_b32 ALL B32 (B32) [] = v1(|a: u32| !a);
            Vop1 44 v_bfrev_b32 ALL B32 (B32) [] = v1(|a: u32| a.reverse_bits());
            Vop1 45 v_ffbh_u32 ALL U32 (U32) [] = v1(ffbh_u32);
            Vop1 46 v_ffbl_b32 ALL U32 (B32) [] = v1(ffbl_b32);
            Vop1 47 v_ffbh_i32 ALL U32 (I32) [] = v1(ffbh_i32);

            // ---- VOP2: floating point -------------------------------------------------------------------------------------------
            Vop2 1 v_add_f32 ALL F32 (F32 F32) [] = v2(|a: f32, b: f32| a + b);
            Vop2 2 v_sub_f32 ALL F32 (F32 F32) [] = v2(|a: f32, b: f32| a - b);
            Vop2 3 v_subrev_f32 ALL F32 (F32 F32) [] = v2(|a: f32, b: f32| b - a);
            Vop2 4 v_fmac_f64 ALL F64 (F64 F64) [ACCUMULATES] = v2acc(|a: f64, b: f64, d: f64| a.mul_add(b, d));
            Vop2 5 v_mul_f32 ALL F32 (F32 F32) [] = v2(|a: f32, b: f32| a * b);
            Vop2 10 v_min_f32 ALL F32 (F32 F32) [] = v2(min_f32);
            Vop2 11 v_max_f32 ALL F32 (F32 F32) [] = v2(max_f32);
            Vop2 22 v_mac_f32 GFX90A F32 (F32 F32) [ACCUMULATES NO_SDWA] = v2acc(|a: f32, b: f32, d: f32| mad_f32(a, b, d));
            Vop2 23 v_madmk_f32 GFX90A F32 (F32 F32) [LITERAL] = v2k(|a: f32, b: f32, k| mad_f32(a, k, b));
            Vop2 23 v_fmamk_f32 GFX942 F32 (F32 F32) [LITERAL] = v2k(|a: f32, b: f32, k| a.mul_add(k, b));
            Vop2 24 v_madak_f32 GFX90A F32 (F32 F32) [LITERAL] = v2k(|a: f32, b: f32, k| mad_f32(a, b, k));
            Vop2 24 v_fmaak_f32 GFX942 F32 (F32 F32) [LITERAL] = v2k(|a: f32, b: f32, k| a.mul_add(b, k));
            Vop2 59 v_fmac_f32 ALL F32 (F32 F32) [ACCUMULATES NO_SDWA] = v2acc(|a: f32, b: f32, d: f32| a.mul_add(b, d));
            Vop2 31 v_add_f16 ALL F16 (F16 F16) [] = v2(|a: Half, b: Half| Half(a.0 + b.0));
            Vop2 32 v_sub_f16 ALL F16 (F16 F16) [] = v2(|a: Half, b: Half| Half(a.0 - b.0));
            Vop2 33 v_subrev_f16 ALL F16 (F16 F16) [] = v2(|a: Half, b: Half| Half(b.0 - a.0));
            Vop2 34 v_mul_f16 ALL F16 (F16 F16) [] = v2(|a: Half, b: Half| Half(a.0 * b.0));
            Vop2 35 v_mac_f16 ALL F16 (F16 F16) [ACCUMULATES NO_SDWA] = v2acc(|a: Half, b: Half, d: Half| mad_f16(a, b, d));
            Vop2 36 v_madmk_f16 ALL F16 (F16 F16) [LITERAL] = v2k(|a: Half, b: Half, k| mad_f16(a, k, b));
            Vop2 37 v_madak_f16 ALL F16 (F16 F16) [LITERAL] = v2k(|a: Half, b: Half, k| mad_f16(a, b, k));
            Vop2 45 v_max_f16 ALL F16 (F16 F16) [] = v2(|a: Half, b: Half| Half(max_f32(a.0, b.0)));
            Vop2 46 v_min_f16 ALL F16 (F16 F16) [] = v2(|a: Half, b: Half| Half(min_f32(a.0, b.0)));
            Vop2 51 v_ldexp_f16 ALL F16 (F16 B16) [] = v2(|a: Half, b: i16| Half(ldexp_f32(a.0, i32::from(b))));

            // ---- VOP2: integers -------------------------------------------------------------------------------------------------
            Vop2 6 v_mul_i32_i24 ALL I32 (I32 I32) [] = v2(|a: i32, b: i32| i24(a).wrapping_mul(i24(b)));
            Vop2 7 v_mul_hi_i32_i24 ALL I32 (I32 I32) [] = v2(|a: i32, b: i32| mul_hi_i32(i24(a), i24(b)));
            Vop2 8 v_mul_u32_u24 ALL U32 (U32 U32) [] = v2(|a: u32, b: u32| u24(a).wrapping_mul(u24(b)));
            Vop2 9 v_mul_hi_u32_u24 ALL U32 (U32 U32) [] = v2(|a: u32, b: u32| mul_hi_u32(u24(a), u24(b)));
            Vop2 12 v_min_i32 ALL I32 (I32 I32) [] = v2(|a: i32, b: i32| a.min(b));
            Vop2 13 v_max_i32 ALL I32 (I32 I32) [] = v2(|a: i32, b: i32| a.max(b));
            Vop2 14 v_min_u32 ALL U32 (U32 U32) [] = v2(|a: u32, b: u32| a.min(b));
            Vop2 15 v_max_u32 ALL U32 (U32 U32) [] = v2(|a: u32, b: u32| a.max(b));
            Vop2 16 v_lshrrev_b32 ALL B32 (U32 B32) [] = v2(|a: u32, b: u32| b >> (a & 31));
            Vop2 17 v_ashrrev_i32 ALL I32 (U32 I32) [] = v2(|a: u32, b: i32| b >> (a & 31));
            Vop2 18 v_lshlrev_b32 ALL B32 (U32 B32) [] = v2(|a: u32, b: u32| b << (a & 31));
            Vop2 19 v_and_b32 ALL B32 (B32 B32) [] = v2(|a: u32, b: u32| a & b);
            Vop2 20 v_or_b32 ALL B32 (B32 B32) [] = v2(|a: u32, b: u32| a | b);
            Vop2 21 v_xor_b32 ALL B32 (B32 B32) [] = v2(|a: u32, b: u32| a ^ b);
            Vop2 61 v_xnor_b32 ALL B32 (B32 B32) [] = v2(|a: u32, b: u32| !(a ^ b));
            Vop2 52 v_add_u32 ALL U32 (U32 U32) [] = v2(|a: u32, b: u32| a.wrapping_add(b));
            Vop2 53 v_sub_u32 ALL U32 (U32 U32) [] = v2(|a: u32, b: u32| a.wrapping_sub(b));
            Vop2 54 v_subrev_u32 ALL U32 (U32 U32) [] = v2(|a: u32, b: u32| b.wrapping_sub(a));
            Vop2 38 v_add_u16 ALL U16 (U16 U16) [] = v2(|a: u16, b: u16| a.wrapping_add(b));
            Vop2 39 v_sub_u16 ALL U16 (U16 U16) [] = v2(|a: u16, b: u16| a.wrapping_sub(b));
            Vop2 40 v_subrev_u16 ALL U16 (U16 U16) [] = v2(|a: u16, b: u16| b.wrapping_sub(a));
            Vop2 41 v_mul_lo_u16 ALL U16 (U16 U16) [] = v2(|a: u16, b: u16| a.wrapping_mul(b));
            Vop2 42 v_lshlrev_b16 ALL U16 (U16 U16) [] = v2(|a: u16, b: u16| b << (a & 15));
            Vop2 43 v_lshrrev_b16 ALL U16 (U16 U16) [] = v2(|a: u16, b: u16| b >> (a & 15));
            Vop2 44 v_ashrrev_i16 ALL I16 (U16 I16) [] = v2(|a: u16, b: i16| b >> (a & 15));
            Vop2 47 v_max_u16 ALL U16 (U16 U16) [] = v2(|a: u16, b: u16| a.max(b));
            Vop2 48 v_max_i16 ALL I16 (I16 I16) [] = v2(|a: i16, b: i16| a.max(b));
            Vop2 49 v_min_u16 ALL U16 (U16 U16) [] = v2(|a: u16, b: u16| a.min(b));
            Vop2 50 v_min_i16 ALL I16 (I16 I16) [] = v2(|a: i16, b: i16| a.min(b));

            // ---- VOP2: masks as carries and conditions --------------------------------------------------------------------------
            Vop2 0 v_cndmask_b32 ALL B32 (B32 B32 Mask) [CARRY_IN] = vselect(|a: f32, b: f32, bit| if bit { b } else { a });
            Vop2 25 v_add_co_u32 ALL U32 (U32 U32) [CARRY_OUT] = vcarry(add_carry);
            Vop2 26 v_sub_co_u32 ALL U32 (U32 U32) [CARRY_OUT] = vcarry(sub_borrow);
            Vop2 27 v_subrev_co_u32 ALL U32 (U32 U32) [CARRY_OUT] = vcarry(|a, b, borrow| sub_borrow(b, a, borrow));
            Vop2 28 v_addc_co_u32 ALL U32 (U32 U32 Mask) [CARRY_OUT CARRY_IN] = vcarry(add_carry);
            Vop2 29 v_subb_co_u32 ALL U32 (U32 U32 Mask) [CARRY_OUT CARRY_IN] = vcarry(sub_borrow);
            Vop2 30 v_subbrev_co_u32 ALL U32 (U32 U32 Mask) [CARRY_OUT CARRY_IN] = vcarry(|a, b, borrow| sub_borrow(b, a, borrow));

            // ---- VOP2: dot products into the destination ------------------------------------------------------------------------
            Vop2 55 v_dot2c_f32_f16 ALL F32 (PF16 PF16) [ACCUMULATES NO_SDWA] = v2acc(|a: u32, b: u32, d: f32| dot2_f32_f16(a, b, d));
            Vop2 56 v_dot2c_i32_i16 ALL I32 (P16 P16) [ACCUMULATES NO_SDWA] = v2acc(|a: u32, b: u32, d: i32| dot_signed(a, b, d, 16));
            Vop2 57 v_dot4c_i32_i8 ALL I32 (B32 B32) [ACCUMULATES NO_SDWA] = v2acc(|a: u32, b: u32, d: i32| dot_signed(a, b, d, 8));
            Vop2 58 v_dot8c_i32_i4 ALL I32 (B32 B32) [ACCUMULATES NO_SDWA] = v2acc(|a: u32, b: u32, d: i32| dot_signed(a, b, d, 4));
            Vop2 60 v_pk_fmac_f16 ALL PF16 (PF16 PF16) [ACCUMULATES NO_SDWA NO_DPP] = v2acc(|a: u32, b: u32, d: u32| pk_fma_f16(a, b, d));
            $($rows)*
        } }
    };
}
pub(crate) use vop12_rows;
