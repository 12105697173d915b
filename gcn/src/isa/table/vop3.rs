//! Rows of VOP3, VOP3P and MAI.

/// Passes the VOP3 rows on, in front of the rows collected so far.
macro_rules! vop3_rows {
    ($next:ident $apply:ident { $($rows:tt)* }) => {
        $crate::isa::table::$next! { $apply {
            // ---- VOP3: floating point -------------------------------------------------------------------------------------------
            Vop3 448 v_mad_legacy_f32 GFX90A F32 (F32 F32 F32) [] = v3(|a: f32, b: f32, c: f32| mad_legacy_f32(a, b, c));
            Vop3 449 v_mad_f32 GFX90A F32 (F32 F32 F32) [] = v3(|a: f32, b: f32, c: f32| mad_f32(a, b, c));
            Vop3 452 v_cubeid_f32 ALL F32 (F32 F32 F32) [] = v3(|x: f32, y: f32, z: f32| cube(x, y, z)[0]);
            Vop3 453 v_cubesc_f32 ALL F32 (F32 F32 F32) [] = v3(|x: f32, y: f32, z: f32| cube(x, y, z)[1]);
            Vop3 454 v_cubetc_f32 ALL F32 (F32 F32 F32) [] = v3(|x: f32, y: f32, z: f32| cube(x, y, z)[2]);
            Vop3 455 v_cubema_f32 ALL F32 (F32 F32 F32) [] = v3(|x: f32, y: f32, z: f32| cube(x, y, z)[3]);
            Vop3 459 v_fma_f32 ALL F32 (F32 F32 F32) [] = v3(|a: f32, b: f32, c: f32| a.mul_add(b, c));
            Vop3 460 v_fma_f64 ALL F64 (F64 F64 F64) [] = v3(|a: f64, b: f64, c: f64| a.mul_add(b, c));
            Vop3 464 v_min3_f32 ALL F32 (F32 F32 F32) [] = v3(|a: f32, b: f32, c: f32| min_f32(min_f32(a, b), c));
            Vop3 467 v_max3_f32 ALL F32 (F32 F32 F32) [] = v3(|a: f32, b: f32, c: f32| max_f32(max_f32(a, b), c));
            Vop3 470 v_med3_f32 ALL F32 (F32 F32 F32) [] = v3(|a: f32, b: f32, c: f32| med3_f32(a, b, c));
            Vop3 478 v_div_fixup_f32 ALL F32 (F32 F32 F32) [] = v3(|q: f32, d: f32, n: f32| div_fixup_f32(q, d, n));
            Vop3 479 v_div_fixup_f64 ALL F64 (F64 F64 F64) [] = v3(|q: f64, d: f64, n: f64| div_fixup_f64(q, d, n));
            Vop3 482 v_div_fmas_f32 ALL F32 (F32 F32 F32) [] = v3vcc(|a: f32, b: f32, c: f32, scale| div_fmas_f32(a, b, c, scale));
            Vop3 483 v_div_fmas_f64 ALL F64 (F64 F64 F64) [] = v3vcc(|a: f64, b: f64, c: f64, scale| div_fmas_f64(a, b, c, scale));
            Vop3 640 v_add_f64 ALL F64 (F64 F64) [] = v2(|a: f64, b: f64| a + b);
            Vop3 641 v_mul_f64 ALL F64 (F64 F64) [] = v2(|a: f64, b: f64| a * b);
            Vop3 642 v_min_f64 ALL F64 (F64 F64) [] = v2(min_f64);
            Vop3 643 v_max_f64 ALL F64 (F64 F64) [] = v2(max_f64);
            Vop3 644 v_ldexp_f64 ALL F64 (F64 I32) [] = v2(|a: f64, b: i32| ldexp_f64(a, b));
            Vop3 648 v_ldexp_f32 ALL F32 (F32 I32) [] = v2(|a: f32, b: i32| ldexp_f32(a, b));
            Vop3 658 v_trig_preop_f64 ALL F64 (F64 U32) [] = v2(|a: f64, b: u32| trig_preop_f64(a, b));
            Vop3 673 v_mul_legacy_f32 ALL F32 (F32 F32) [] = v2(|a: f32, b: f32| mul_legacy_f32(a, b));

            // ---- VOP3: 16-bit floats and integers -------------------------------------------------------------------------------
            Vop3 490 v_mad_legacy_f16 ALL F16 (F16 F16 F16) [] = v3(|a: Half, b: Half, c: Half| mad_f16(a, b, c));
            Vop3 491 v_mad_legacy_u16 ALL U16 (U16 U16 U16) [] = v3(|a: u16, b: u16, c: u16| a.wrapping_mul(b).wrapping_add(c));
            Vop3 492 v_mad_legacy_i16 ALL I16 (I16 I16 I16) [] = v3(|a: i16, b: i16, c: i16| a.wrapping_mul(b).wrapping_add(c));
            Vop3 494 v_fma_legacy_f16 ALL F16 (F16 F16 F16) [] = v3(|a: Half, b: Half, c: Half| fma_f16(a, b, c));
            Vop3 495 v_div_fixup_legacy_f16 ALL F16 (F16 F16 F16) [] = v3(|q: Half, d: Half, n: Half| div_fixup_f16(q, d, n));
            Vop3 497 v_mad_u32_u16 ALL U32 (U16 U16 U32) [] = v3(|a: u16, b: u16, c: u32| (u32::from(a) * u32::from(b)).wrapping_add(c));
            Vop3 498 v_mad_i32_i16 ALL I32 (I16 I16 I32) [] = v3(|a: i16, b: i16, c: i32| (i32::from(a) * i32::from(b)).wrapping_add(c));
            Vop3 500 v_min3_f16 ALL F16 (F16 F16 F16) [OP_SEL] = v3(|a: Half, b: Half, c: Half| Half(min_f32(min_f32(a.0, b.0), c.0)));
            Vop3 501 v_min3_i16 ALL I16 (I16 I16 I16) [OP_SEL] = v3(|a: i16, b: i16, c: i16| a.min(b).min(c));
            Vop3 502 v_min3_u16 ALL U16 (U16 U16 U16) [OP_SEL] = v3(|a: u16, b: u16, c: u16| a.min(b).min(c));
            Vop3 503 v_max3_f16 ALL F16 (F16 F16 F16) [OP_SEL] = v3(|a: Half, b: Half, c: Half| Half(max_f32(max_f32(a.0, b.0), c.0)));
            Vop3 504 v_max3_i16 ALL I16 (I16 I16 I16) [OP_SEL] = v3(|a: i16, b: i16, c: i16| a.max(b).max(c));
            Vop3 505 v_max3_u16 ALL U16 (U16 U16 U16) [OP_SEL] = v3(|a: u16, b: u16, c: u16| a.max(b).max(c));
            Vop3 506 v_med3_f16 ALL F16 (F16 F16 F16) [OP_SEL] = v3(|a: Half, b: Half, c: Half| Half(med3_f32(a.0, b.0, c.0)));
            Vop3 507 v_med3_i16 ALL I16 (I16 I16 I16) [OP_SEL] = v3(|a: i16, b: i16, c: i16| a.min(b).max(a.max(b).min(c)));
            Vop3 508 v_med3_u16 ALL U16 (U16 U16 U16) [OP_SEL] = v3(|a: u16, b: u16, c: u16| a.min(b).max(a.max(b).min(c)));
            Vop3 515 v_mad_f16 ALL F16 (F16 F16 F16) [OP_SEL] = v3(|a: Half, b: Half, c: Half| mad_f16(a, b, c));
            Vop3 516 v_mad_u16 ALL U16 (U16 U16 U16) [OP_SEL] = v3(|a: u16, b: u16, c: u16| a.wrapping_mul(b).wrapping_add(c));
            Vop3 517 v_mad_i16 ALL I16 (I16 I16 I16) [OP_SEL] = v3(|a: i16, b: i16, c: i16| a.wrapping_mul(b).wrapping_add(c));
            Vop3 518 v_fma_f16 ALL F16 (F16 F16 F16) [OP_SEL] = v3(|a: Half, b: Half, c: Half| fma_f16(a, b, c));
            Vop3 519 v_div_fixup_f16 ALL F16 (F16 F16 F16) [OP_SEL] = v3(|q: Half, d: Half, n: Half| div_fixup_f16(q, d, n));
            Vop3 670 v_add_i16 ALL I16 (I16 I16) [OP_SEL] = v2(|a: i16, b: i16| a.wrapping_add(b));
            Vop3 671 v_sub_i16 ALL I16 (I16 I16) [OP_SEL] = v2(|a: i16, b: i16| a.wrapping_sub(b));
            Vop3 672 v_pack_b32_f16 ALL B32 (F16 F16) [] = v2(|a: Half, b: Half| pack(a.bits(), b.bits()));

            // ---- VOP3: conversions to packed halves and bytes -------------------------------------------------------------------
            Vop3 477 v_cvt_pk_u8_f32 ALL B32 (F32 U32 B32) [] = v3(|a: f32, b: u32, c: u32| cvt_pk_u8_f32(a, b, c));
            Vop3 496 v_cvt_pkaccum_u8_f32 ALL B32 (F32 U32) [ACCUMULATES] = v2acc(|a: f32, b: u32, d: u32| cvt_pk_u8_f32(a, b, d));
            Vop3 660 v_cvt_pknorm_i16_f32 ALL P16 (F32 F32) [] = v2(|a: f32, b: f32| pack(snorm(a) as u16, snorm(b) as u16));
            Vop3 661 v_cvt_pknorm_u16_f32 ALL P16 (F32 F32) [] = v2(|a: f32, b: f32| pack(unorm(a), unorm(b)));
            Vop3 662 v_cvt_pkrtz_f16_f32 ALL PF16 (F32 F32) [] = v2(|a: f32, b: f32| pack(f32_to_f16_rtz(a), f32_to_f16_rtz(b)));
            Vop3 663 v_cvt_pk_u16_u32 ALL P16 (U32 U32) [] = v2(|a: u32, b: u32| pack(a.min(0xffff) as u16, b.min(0xffff) as u16));
            Vop3 664 v_cvt_pk_i16_i32 ALL P16 (I32 I32) [] = v2(|a: i32, b: i32| pack(a.clamp(-0x8000, 0x7fff) as u16, b.clamp(-0x8000, 0x7fff) as u16));
            Vop3 665 v_cvt_pknorm_i16_f16 ALL P16 (F16 F16) [] = v2(|a: Half, b: Half| pack(snorm(a.0) as u16, snorm(b.0) as u16));
            Vop3 666 v_cvt_pknorm_u16_f16 ALL P16 (F16 F16) [] = v2(|a: Half, b: Half| pack(unorm(a.0), unorm(b.0)));
            Vop3 674 v_cvt_pk_fp8_f32 GFX942 B32 (F32 F32) [OP_SEL] = v2(|a: f32, b: f32| u32::from(f32_to_fp8(a, None)) | u32::from(f32_to_fp8(b, None)) << 8);
            Vop3 675 v_cvt_pk_bf8_f32 GFX942 B32 (F32 F32) [OP_SEL] = v2(|a: f32, b: f32| u32::from(f32_to_bf8(a, None)) | u32::from(f32_to_bf8(b, None)) << 8);
            Vop3 676 v_cvt_sr_fp8_f32 GFX942 B32 (F32 U32) [OP_SEL] = v2(|a: f32, b: u32| u32::from(f32_to_fp8(a, Some(b))));
            Vop3 677 v_cvt_sr_bf8_f32 GFX942 B32 (F32 U32) [OP_SEL] = v2(|a: f32, b: u32| u32::from(f32_to_bf8(a, Some(b))));

            // ---- VOP3: integers -------------------------------------------------------------------------------------------------
            Vop3 450 v_mad_i32_i24 ALL I32 (I32 I32 I32) [] = v3(|a: i32, b: i32, c: i32| i24(a).wrapping_mul(i24(b)).wrapping_add(c));
            Vop3 451 v_mad_u32_u24 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| u24(a).wrapping_mul(u24(b)).wrapping_add(c));
            Vop3 456 v_bfe_u32 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| bfe_u32(a, b, c));
            Vop3 457 v_bfe_i32 ALL I32 (I32 U32 U32) [] = v3(|a: i32, b: u32, c: u32| bfe_i32(a, b, c));
            Vop3 458 v_bfi_b32 ALL B32 (B32 B32 B32) [] = v3(|a: u32, b: u32, c: u32| a & b | !a & c);
            Vop3 461 v_lerp_u8 ALL B32 (B32 B32 B32) [] = v3(|a: u32, b: u32, c: u32| lerp_u8(a, b, c));
            Vop3 462 v_alignbit_b32 ALL B32 (B32 B32 U32) [] = v3(|a: u32, b: u32, c: u32| align(a, b, c & 31));
            Vop3 463 v_alignbyte_b32 ALL B32 (B32 B32 U32) [] = v3(|a: u32, b: u32, c: u32| align(a, b, 8 * (c & 3)));
            Vop3 465 v_min3_i32 ALL I32 (I32 I32 I32) [] = v3(|a: i32, b: i32, c: i32| a.min(b).min(c));
            Vop3 466 v_min3_u32 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| a.min(b).min(c));
            Vop3 468 v_max3_i32 ALL I32 (I32 I32 I32) [] = v3(|a: i32, b: i32, c: i32| a.max(b).max(c));
            Vop3 469 v_max3_u32 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| a.max(b).max(c));
            Vop3 471 v_med3_i32 ALL I32 (I32 I32 I32) [] = v3(|a: i32, b: i32, c: i32| a.min(b).max(a.max(b).min(c)));
            Vop3 472 v_med3_u32 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| a.min(b).max(a.max(b).min(c)));
            Vop3 473 v_sad_u8 ALL U32 (B32 B32 U32) [] = v3(|a: u32, b: u32, c: u32| sad_u8(a, b, c));
            Vop3 474 v_sad_hi_u8 ALL U32 (B32 B32 U32) [] = v3(|a: u32, b: u32, c: u32| (sad_u8(a, b, 0) << 16).wrapping_add(c));
            Vop3 475 v_sad_u16 ALL U32 (P16 P16 U32) [] = v3(|a: u32, b: u32, c: u32| sad_u16(a, b, c));
            Vop3 476 v_sad_u32 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| a.abs_diff(b).wrapping_add(c));
            Vop3 484 v_msad_u8 ALL U32 (B32 B32 U32) [] = v3(|a: u32, b: u32, c: u32| msad_u8(a, b, c));
            Vop3 485 v_qsad_pk_u16_u8 ALL B64 (B64 B32 B64) [] = v3(|a: u64, b: u32, c: u64| qsad_pk_u16_u8(a, b, c, sad_u8));
            Vop3 486 v_mqsad_pk_u16_u8 ALL B64 (B64 B32 B64) [] = v3(|a: u64, b: u32, c: u64| qsad_pk_u16_u8(a, b, c, msad_u8));
            Vop3 487 v_mqsad_u32_u8 ALL B128 (B64 B32 B128) [] = v_mqsad_u32();
            Vop3 493 v_perm_b32 ALL B32 (B32 B32 B32) [] = v3(|a: u32, b: u32, c: u32| perm_b32(a, b, c));
            Vop3 499 v_xad_u32 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| (a ^ b).wrapping_add(c));
            Vop3 509 v_lshl_add_u32 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| (a << (b & 31)).wrapping_add(c));
            Vop3 510 v_add_lshl_u32 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| a.wrapping_add(b) << (c & 31));
            Vop3 511 v_add3_u32 ALL U32 (U32 U32 U32) [] = v3(|a: u32, b: u32, c: u32| a.wrapping_add(b).wrapping_add(c));
            Vop3 512 v_lshl_or_b32 ALL B32 (B32 U32 B32) [] = v3(|a: u32, b: u32, c: u32| a << (b & 31) | c);
            Vop3 513 v_and_or_b32 ALL B32 (B32 B32 B32) [] = v3(|a: u32, b: u32, c: u32| a & b | c);
            Vop3 514 v_or3_b32 ALL B32 (B32 B32 B32) [] = v3(|a: u32, b: u32, c: u32| a | b | c);
            Vop3 520 v_lshl_add_u64 GFX942 U64 (U64 U32 U64) [] = v3(|a: u64, b: u32, c: u64| lshl_add_u64(a, b, c));
            Vop3 645 v_mul_lo_u32 ALL U32 (U32 U32) [] = v2(|a: u32, b: u32| a.wrapping_mul(b));
            Vop3 646 v_mul_hi_u32 ALL U32 (U32 U32) [] = v2(mul_hi_u32);
            Vop3 647 v_mul_hi_i32 ALL I32 (I32 I32) [] = v2(mul_hi_i32);
            Vop3 651 v_bcnt_u32_b32 ALL U32 (B32 U32) [] = v2(|a: u32, b: u32| a.count_ones().wrapping_add(b));
            Vop3 652 v_mbcnt_lo_u32_b32 ALL U32 (B32 U32) [] = v_mbcnt(false);
            Vop3 653 v_mbcnt_hi_u32_b32 ALL U32 (B32 U32) [] = v_mbcnt(true);
            Vop3 655 v_lshlrev_b64 ALL B64 (U32 B64) [] = v2(|a: u32, b: u64| b << (a & 63));
            Vop3 656 v_lshrrev_b64 ALL B64 (U32 B64) [] = v2(|a: u32, b: u64| b >> (a & 63));
            Vop3 657 v_ashrrev_i64 ALL I64 (U32 I64) [] = v2(|a: u32, b: i64| b >> (a & 63));
            Vop3 659 v_bfm_b32 ALL B32 (U32 U32) [] = v2(|a: u32, b: u32| ((1u32 << (a & 31)) - 1) << (b & 31));
            Vop3 668 v_add_i32 ALL I32 (I32 I32) [] = v2(|a: i32, b: i32| a.wrapping_add(b));
            Vop3 669 v_sub_i32 ALL I32 (I32 I32) [] = v2(|a: i32, b: i32| a.wrapping_sub(b));

            // ---- VOP3: one lane -------------------------------------------------------------------------------------------------
            Vop3 649 v_readlane_b32 ALL B32 (B32 B32) [SCALAR_DST IGNORES_EXEC] = v_readlane();
            Vop3 650 v_writelane_b32 ALL B32 (B32 B32) [ACCUMULATES IGNORES_EXEC] = v_writelane();

            // ---- VOP3B: a mask as a second result -------------------------------------------------------------------------------
            Vop3b 480 v_div_scale_f32 ALL F32 (F32 F32 F32) [] = v3mask(|s: f32, d, n| div_scale_f32(s, d, n));
            Vop3b 481 v_div_scale_f64 ALL F64 (F64 F64 F64) [] = v3mask(|s: f64, d, n| div_scale_f64(s, d, n));
            Vop3b 488 v_mad_u64_u32 ALL U64 (U32 U32 U64) [] = v3mask(|a: u32, b: u32, c: u64| (u64::from(a) * u64::from(b)).overflowing_add(c));
            Vop3b 489 v_mad_i64_i32 ALL I64 (I32 I32 I64) [] = v3mask(|a: i32, b: i32, c: i64| (i64::from(a) * i64::from(b)).overflowing_add(c));

            // ---- VOP3P: pairs of 16-bit values ----------------------------------------------------------------------------------
            Vop3p 0 v_pk_mad_i16 ALL P16 (P16 P16 P16) [] = vpk16(|[a, b, c]: [u16; 3]| a.wrapping_mul(b).wrapping_add(c));
            Vop3p 1 v_pk_mul_lo_u16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| a.wrapping_mul(b));
            Vop3p 2 v_pk_add_i16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| a.wrapping_add(b));
            Vop3p 3 v_pk_sub_i16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| a.wrapping_sub(b));
            Vop3p 4 v_pk_lshlrev_b16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| b << (a & 15));
            Vop3p 5 v_pk_lshrrev_b16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| b >> (a & 15));
            Vop3p 6 v_pk_ashrrev_i16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| (b as i16 >> (a & 15)) as u16);
            Vop3p 7 v_pk_max_i16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| (a as i16).max(b as i16) as u16);
            Vop3p 8 v_pk_min_i16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| (a as i16).min(b as i16) as u16);
            Vop3p 9 v_pk_mad_u16 ALL P16 (P16 P16 P16) [] = vpk16(|[a, b, c]: [u16; 3]| a.wrapping_mul(b).wrapping_add(c));
            Vop3p 10 v_pk_add_u16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| a.wrapping_add(b));
            Vop3p 11 v_pk_sub_u16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| a.wrapping_sub(b));
            Vop3p 12 v_pk_max_u16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| a.max(b));
            Vop3p 13 v_pk_min_u16 ALL P16 (P16 P16) [] = vpk16(|[a, b]: [u16; 2]| a.min(b));
            Vop3p 14 v_pk_fma_f16 ALL PF16 (PF16 PF16 PF16) [] = vpk16(|[a, b, c]: [Half; 3]| fma_f16(a, b, c));
            Vop3p 15 v_pk_add_f16 ALL PF16 (PF16 PF16) [] = vpk16(|[a, b]: [Half; 2]| Half(a.0 + b.0));
            Vop3p 16 v_pk_mul_f16 ALL PF16 (PF16 PF16) [] = vpk16(|[a, b]: [Half; 2]| Half(a.0 * b.0));
            Vop3p 17 v_pk_min_f16 ALL PF16 (PF16 PF16) [] = vpk16(|[a, b]: [Half; 2]| Half(min_f32(a.0, b.0)));
            Vop3p 18 v_pk_max_f16 ALL PF16 (PF16 PF16) [] = vpk16(|[a, b]: [Half; 2]| Half(max_f32(a.0, b.0)));

            // ---- VOP3P: operands that are each either a float or half of a register ---------------------------------------------
            Vop3p 32 v_fma_mix_f32 ALL F32 (F32 F32 F32) [MIX] = vmix();
            Vop3p 33 v_fma_mixlo_f16 ALL F16 (F32 F32 F32) [MIX] = vmix16(false);
            Vop3p 34 v_fma_mixhi_f16 ALL F16 (F32 F32 F32) [MIX] = vmix16(true);

            // ---- VOP3P: dot products --------------------------------------------------------------------------------------------
            Vop3p 35 v_dot2_f32_f16 ALL F32 (PF16 PF16 F32) [] = vdot(|a, b, c| dot2_f32_f16(a, b, f32::from_bits(c)).to_bits());
            Vop3p 38 v_dot2_i32_i16 ALL I32 (P16 P16 I32) [] = vdot(|a, b, c| dot_signed(a, b, c as i32, 16) as u32);
            Vop3p 39 v_dot2_u32_u16 ALL U32 (P16 P16 U32) [] = vdot(|a, b, c| dot_unsigned(a, b, c, 16));
            Vop3p 40 v_dot4_i32_i8 ALL I32 (B32 B32 I32) [] = vdot(|a, b, c| dot_signed(a, b, c as i32, 8) as u32);
            Vop3p 41 v_dot4_u32_u8 ALL U32 (B32 B32 U32) [] = vdot(|a, b, c| dot_unsigned(a, b, c, 8));
            Vop3p 42 v_dot8_i32_i4 ALL I32 (B32 B32 I32) [] = vdot(|a, b, c| dot_signed(a, b, c as i32, 4) as u32);
            Vop3p 43 v_dot8_u32_u4 ALL U32 (B32 B32 U32) [] = vdot(|a, b, c| dot_unsigned(a, b, c, 4));

            // ---- VOP3P: pairs of 32-bit values in two registers -----------------------------------------------------------------
            Vop3p 48 v_pk_fma_f32 ALL PF32 (PF32 PF32 PF32) [] = vpk32(|[a, b, c]: [f32; 3]| a.mul_add(b, c));
            Vop3p 49 v_pk_mul_f32 ALL PF32 (PF32 PF32) [] = vpk32(|[a, b]: [f32; 2]| a * b);
            Vop3p 50 v_pk_add_f32 ALL PF32 (PF32 PF32) [] = vpk32(|[a, b]: [f32; 2]| a + b);
            Vop3p 51 v_pk_mov_b32 ALL P32 (P32 P32) [] = v_pk_mov();

            // ---- MAI: accumulation registers, matrix arithmetic -----------------------------------------------------------------
            Mai 88 v_accvgpr_read_b32 ALL B32 (B32) [ACC_SRC] = v1(|a: u32| a);
            Mai 89 v_accvgpr_write_b32 ALL B32 (B32) [ACC_DST] = v1(|a: u32| a);
            Mai 62 v_mfma_f32_16x16x8_xf32 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[Xf32, Xf32, 16, 1, 2]();
            Mai 63 v_mfma_f32_32x32x4_xf32 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[Xf32, Xf32, 32, 1, 2]();
            Mai 64 v_mfma_f32_32x32x1f32 GFX90A B1024 (B32 B32 B1024) [IGNORES_EXEC] = mfma[Single, Single, 32, 2, 1]();
            Mai 64 v_mfma_f32_32x32x1_2b_f32 GFX942 B1024 (B32 B32 B1024) [IGNORES_EXEC] = mfma[Single, Single, 32, 2, 1]();
            Mai 65 v_mfma_f32_16x16x1f32 GFX90A B512 (B32 B32 B512) [IGNORES_EXEC] = mfma[Single, Single, 16, 4, 1]();
            Mai 65 v_mfma_f32_16x16x1_4b_f32 GFX942 B512 (B32 B32 B512) [IGNORES_EXEC] = mfma[Single, Single, 16, 4, 1]();
            Mai 66 v_mfma_f32_4x4x1f32 GFX90A B128 (B32 B32 B128) [IGNORES_EXEC] = mfma[Single, Single, 4, 16, 1]();
            Mai 66 v_mfma_f32_4x4x1_16b_f32 GFX942 B128 (B32 B32 B128) [IGNORES_EXEC] = mfma[Single, Single, 4, 16, 1]();
            Mai 68 v_mfma_f32_32x32x2f32 GFX90A B512 (B32 B32 B512) [IGNORES_EXEC] = mfma[Single, Single, 32, 1, 1]();
            Mai 68 v_mfma_f32_32x32x2_f32 GFX942 B512 (B32 B32 B512) [IGNORES_EXEC] = mfma[Single, Single, 32, 1, 1]();
            Mai 69 v_mfma_f32_16x16x4f32 GFX90A B128 (B32 B32 B128) [IGNORES_EXEC] = mfma[Single, Single, 16, 1, 1]();
            Mai 69 v_mfma_f32_16x16x4_f32 GFX942 B128 (B32 B32 B128) [IGNORES_EXEC] = mfma[Single, Single, 16, 1, 1]();
            Mai 72 v_mfma_f32_32x32x4f16 GFX90A B1024 (B64 B64 B1024) [IGNORES_EXEC] = mfma[F16, F16, 32, 2, 4]();
            Mai 72 v_mfma_f32_32x32x4_2b_f16 GFX942 B1024 (B64 B64 B1024) [IGNORES_EXEC] = mfma[F16, F16, 32, 2, 4]();
            Mai 73 v_mfma_f32_16x16x4f16 GFX90A B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[F16, F16, 16, 4, 4]();
            Mai 73 v_mfma_f32_16x16x4_4b_f16 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[F16, F16, 16, 4, 4]();
            Mai 74 v_mfma_f32_4x4x4f16 GFX90A B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[F16, F16, 4, 16, 4]();
            Mai 74 v_mfma_f32_4x4x4_16b_f16 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[F16, F16, 4, 16, 4]();
            Mai 76 v_mfma_f32_32x32x8f16 GFX90A B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[F16, F16, 32, 1, 4]();
            Mai 76 v_mfma_f32_32x32x8_f16 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[F16, F16, 32, 1, 4]();
            Mai 77 v_mfma_f32_16x16x16f16 GFX90A B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[F16, F16, 16, 1, 4]();
            Mai 77 v_mfma_f32_16x16x16_f16 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[F16, F16, 16, 1, 4]();
            Mai 80 v_mfma_i32_32x32x4i8 GFX90A B1024 (B32 B32 B1024) [IGNORES_EXEC] = mfma[I8, I8, 32, 2, 4]();
            Mai 80 v_mfma_i32_32x32x4_2b_i8 GFX942 B1024 (B32 B32 B1024) [IGNORES_EXEC] = mfma[I8, I8, 32, 2, 4]();
            Mai 81 v_mfma_i32_16x16x4i8 GFX90A B512 (B32 B32 B512) [IGNORES_EXEC] = mfma[I8, I8, 16, 4, 4]();
            Mai 81 v_mfma_i32_16x16x4_4b_i8 GFX942 B512 (B32 B32 B512) [IGNORES_EXEC] = mfma[I8, I8, 16, 4, 4]();
            Mai 82 v_mfma_i32_4x4x4i8 GFX90A B128 (B32 B32 B128) [IGNORES_EXEC] = mfma[I8, I8, 4, 16, 4]();
            Mai 82 v_mfma_i32_4x4x4_16b_i8 GFX942 B128 (B32 B32 B128) [IGNORES_EXEC] = mfma[I8, I8, 4, 16, 4]();
            Mai 84 v_mfma_i32_32x32x8i8 GFX90A B512 (B32 B32 B512) [IGNORES_EXEC] = mfma[I8, I8, 32, 1, 4]();
            Mai 85 v_mfma_i32_16x16x16i8 GFX90A B128 (B32 B32 B128) [IGNORES_EXEC] = mfma[I8, I8, 16, 1, 4]();
            Mai 86 v_mfma_i32_32x32x16_i8 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[I8, I8, 32, 1, 8]();
            Mai 87 v_mfma_i32_16x16x32_i8 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[I8, I8, 16, 1, 8]();
            Mai 93 v_mfma_f32_32x32x4_2b_bf16 GFX942 B1024 (B64 B64 B1024) [IGNORES_EXEC] = mfma[Bf16, Bf16, 32, 2, 4]();
            Mai 94 v_mfma_f32_16x16x4_4b_bf16 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[Bf16, Bf16, 16, 4, 4]();
            Mai 95 v_mfma_f32_4x4x4_16b_bf16 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[Bf16, Bf16, 4, 16, 4]();
            Mai 96 v_mfma_f32_32x32x8_bf16 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[Bf16, Bf16, 32, 1, 4]();
            Mai 97 v_mfma_f32_16x16x16_bf16 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[Bf16, Bf16, 16, 1, 4]();
            Mai 98 v_smfmac_f32_16x16x32_f16 GFX942 B128 (B64 B128 B32) [IGNORES_EXEC] = smfmac[F16, F16, 16, 4]();
            Mai 99 v_mfma_f32_32x32x4bf16_1k GFX90A B1024 (B64 B64 B1024) [IGNORES_EXEC] = mfma[Bf16, Bf16, 32, 2, 4]();
            Mai 100 v_mfma_f32_16x16x4bf16_1k GFX90A B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[Bf16, Bf16, 16, 4, 4]();
            Mai 100 v_smfmac_f32_32x32x16_f16 GFX942 B512 (B64 B128 B32) [IGNORES_EXEC] = smfmac[F16, F16, 32, 4]();
            Mai 101 v_mfma_f32_4x4x4bf16_1k GFX90A B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[Bf16, Bf16, 4, 16, 4]();
            Mai 102 v_mfma_f32_32x32x8bf16_1k GFX90A B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[Bf16, Bf16, 32, 1, 4]();
            Mai 102 v_smfmac_f32_16x16x32_bf16 GFX942 B128 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Bf16, Bf16, 16, 4]();
            Mai 103 v_mfma_f32_16x16x16bf16_1k GFX90A B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[Bf16, Bf16, 16, 1, 4]();
            Mai 104 v_mfma_f32_32x32x2bf16 GFX90A B1024 (B32 B32 B1024) [IGNORES_EXEC] = mfma[Bf16, Bf16, 32, 2, 2]();
            Mai 104 v_smfmac_f32_32x32x16_bf16 GFX942 B512 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Bf16, Bf16, 32, 4]();
            Mai 105 v_mfma_f32_16x16x2bf16 GFX90A B512 (B32 B32 B512) [IGNORES_EXEC] = mfma[Bf16, Bf16, 16, 4, 2]();
            Mai 106 v_smfmac_i32_16x16x64_i8 GFX942 B128 (B64 B128 B32) [IGNORES_EXEC] = smfmac[I8, I8, 16, 8]();
            Mai 107 v_mfma_f32_4x4x2bf16 GFX90A B128 (B32 B32 B128) [IGNORES_EXEC] = mfma[Bf16, Bf16, 4, 16, 2]();
            Mai 108 v_mfma_f32_32x32x4bf16 GFX90A B512 (B32 B32 B512) [IGNORES_EXEC] = mfma[Bf16, Bf16, 32, 1, 2]();
            Mai 108 v_smfmac_i32_32x32x32_i8 GFX942 B512 (B64 B128 B32) [IGNORES_EXEC] = smfmac[I8, I8, 32, 8]();
            Mai 109 v_mfma_f32_16x16x8bf16 GFX90A B128 (B32 B32 B128) [IGNORES_EXEC] = mfma[Bf16, Bf16, 16, 1, 2]();
            Mai 110 v_mfma_f64_16x16x4f64 GFX90A B256 (B64 B64 B256) [IGNORES_EXEC] = mfma[Double, Double, 16, 1, 1]();
            Mai 110 v_mfma_f64_16x16x4_f64 GFX942 B256 (B64 B64 B256) [IGNORES_EXEC] = mfma[Double, Double, 16, 1, 1]();
            Mai 111 v_mfma_f64_4x4x4f64 GFX90A B64 (B64 B64 B64) [IGNORES_EXEC] = mfma[Double, Double, 4, 4, 1]();
            Mai 111 v_mfma_f64_4x4x4_4b_f64 GFX942 B64 (B64 B64 B64) [IGNORES_EXEC] = mfma[Double, Double, 4, 4, 1]();
            Mai 112 v_mfma_f32_16x16x32_bf8_bf8 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[Bf8, Bf8, 16, 1, 8]();
            Mai 113 v_mfma_f32_16x16x32_bf8_fp8 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[Bf8, Fp8, 16, 1, 8]();
            Mai 114 v_mfma_f32_16x16x32_fp8_bf8 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[Fp8, Bf8, 16, 1, 8]();
            Mai 115 v_mfma_f32_16x16x32_fp8_fp8 GFX942 B128 (B64 B64 B128) [IGNORES_EXEC] = mfma[Fp8, Fp8, 16, 1, 8]();
            Mai 116 v_mfma_f32_32x32x16_bf8_bf8 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[Bf8, Bf8, 32, 1, 8]();
            Mai 117 v_mfma_f32_32x32x16_bf8_fp8 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[Bf8, Fp8, 32, 1, 8]();
            Mai 118 v_mfma_f32_32x32x16_fp8_bf8 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[Fp8, Bf8, 32, 1, 8]();
            Mai 119 v_mfma_f32_32x32x16_fp8_fp8 GFX942 B512 (B64 B64 B512) [IGNORES_EXEC] = mfma[Fp8, Fp8, 32, 1, 8]();
            Mai 120 v_smfmac_f32_16x16x64_bf8_bf8 GFX942 B128 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Bf8, Bf8, 16, 8]();
            Mai 121 v_smfmac_f32_16x16x64_bf8_fp8 GFX942 B128 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Bf8, Fp8, 16, 8]();
            Mai 122 v_smfmac_f32_16x16x64_fp8_bf8 GFX942 B128 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Fp8, Bf8, 16, 8]();
            Mai 123 v_smfmac_f32_16x16x64_fp8_fp8 GFX942 B128 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Fp8, Fp8, 16, 8]();
            Mai 124 v_smfmac_f32_32x32x32_bf8_bf8 GFX942 B512 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Bf8, Bf8, 32, 8]();
            Mai 125 v_smfmac_f32_32x32x32_bf8_fp8 GFX942 B512 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Bf8, Fp8, 32, 8]();
            Mai 126 v_smfmac_f32_32x32x32_fp8_bf8 GFX942 B512 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Fp8, Bf8, 32, 8]();
            Mai 127 v_smfmac_f32_32x32x32_fp8_fp8 GFX942 B512 (B64 B128 B32) [IGNORES_EXEC] = smfmac[Fp8, Fp8, 32, 8]();
            $($rows)*
        } }
    };
}
pub(crate) use vop3_rows;
