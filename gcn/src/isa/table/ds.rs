//! Rows of DS: local data share, lane exchange.

/// Passes the local-data-share rows on, in front of the rows collected so far.
macro_rules! ds_rows {
    ($next:ident $apply:ident { $($rows:tt)* }) => {
        $crate::isa::table::$next! { $apply {
            // ---- atomics without and with (`rtn`) the old value returned -----------------------------------------------------
            Ds 0 ds_add_u32 ALL None (B32 U32) [ATOMIC] = ds_atomic(false, |old: u32, x| old.wrapping_add(x));
            Ds 1 ds_sub_u32 ALL None (B32 U32) [ATOMIC] = ds_atomic(false, |old: u32, x| old.wrapping_sub(x));
            Ds 2 ds_rsub_u32 ALL None (B32 U32) [ATOMIC] = ds_atomic(false, |old: u32, x| x.wrapping_sub(old));
            Ds 3 ds_inc_u32 ALL None (B32 U32) [ATOMIC] = ds_atomic(false, |old: u32, x| inc(old, x));
            Ds 4 ds_dec_u32 ALL None (B32 U32) [ATOMIC] = ds_atomic(false, |old: u32, x| dec(old, x));
            Ds 5 ds_min_i32 ALL None (B32 I32) [ATOMIC] = ds_atomic(false, |old: i32, x| old.min(x));
            Ds 6 ds_max_i32 ALL None (B32 I32) [ATOMIC] = ds_atomic(false, |old: i32, x| old.max(x));
            Ds 7 ds_min_u32 ALL None (B32 U32) [ATOMIC] = ds_atomic(false, |old: u32, x| old.min(x));
            Ds 8 ds_max_u32 ALL None (B32 U32) [ATOMIC] = ds_atomic(false, |old: u32, x| old.max(x));
            Ds 9 ds_and_b32 ALL None (B32 B32) [ATOMIC] = ds_atomic(false, |old: u32, x| old & x);
            Ds 10 ds_or_b32 ALL None (B32 B32) [ATOMIC] = ds_atomic(false, |old: u32, x| old | x);
            Ds 11 ds_xor_b32 ALL None (B32 B32) [ATOMIC] = ds_atomic(false, |old: u32, x| old ^ x);
            Ds 12 ds_mskor_b32 ALL None (B32 B32 B32) [ATOMIC] = ds_atomic2(false, |old: u32, mask, x| Some(old & !mask | x));
            Ds 16 ds_cmpst_b32 ALL None (B32 B32 B32) [ATOMIC] = ds_atomic2(false, |old: u32, compare, new| (old == compare).then_some(new));
            Ds 17 ds_cmpst_f32 ALL None (B32 F32 F32) [ATOMIC] = ds_atomic2(false, |old: f32, compare, new| (old == compare).then_some(new));
            Ds 18 ds_min_f32 ALL None (B32 F32) [ATOMIC] = ds_atomic(false, |old: f32, x| min_f32(old, x));
            Ds 19 ds_max_f32 ALL None (B32 F32) [ATOMIC] = ds_atomic(false, |old: f32, x| max_f32(old, x));
            Ds 32 ds_add_rtn_u32 ALL U32 (B32 U32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| old.wrapping_add(x));
            Ds 33 ds_sub_rtn_u32 ALL U32 (B32 U32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| old.wrapping_sub(x));
            Ds 34 ds_rsub_rtn_u32 ALL U32 (B32 U32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| x.wrapping_sub(old));
            Ds 35 ds_inc_rtn_u32 ALL U32 (B32 U32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| inc(old, x));
            Ds 36 ds_dec_rtn_u32 ALL U32 (B32 U32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| dec(old, x));
            Ds 37 ds_min_rtn_i32 ALL I32 (B32 I32) [ATOMIC LOAD] = ds_atomic(true, |old: i32, x| old.min(x));
            Ds 38 ds_max_rtn_i32 ALL I32 (B32 I32) [ATOMIC LOAD] = ds_atomic(true, |old: i32, x| old.max(x));
            Ds 39 ds_min_rtn_u32 ALL U32 (B32 U32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| old.min(x));
            Ds 40 ds_max_rtn_u32 ALL U32 (B32 U32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| old.max(x));
            Ds 41 ds_and_rtn_b32 ALL B32 (B32 B32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| old & x);
            Ds 42 ds_or_rtn_b32 ALL B32 (B32 B32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| old | x);
            Ds 43 ds_xor_rtn_b32 ALL B32 (B32 B32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| old ^ x);
            Ds 44 ds_mskor_rtn_b32 ALL B32 (B32 B32 B32) [ATOMIC LOAD] = ds_atomic2(true, |old: u32, mask, x| Some(old & !mask | x));
            Ds 45 ds_wrxchg_rtn_b32 ALL B32 (B32 B32) [ATOMIC LOAD] = ds_atomic(true, |_: u32, x| x);
            Ds 48 ds_cmpst_rtn_b32 ALL B32 (B32 B32 B32) [ATOMIC LOAD] = ds_atomic2(true, |old: u32, compare, new| (old == compare).then_some(new));
            Ds 49 ds_cmpst_rtn_f32 ALL F32 (B32 F32 F32) [ATOMIC LOAD] = ds_atomic2(true, |old: f32, compare, new| (old == compare).then_some(new));
            Ds 50 ds_min_rtn_f32 ALL F32 (B32 F32) [ATOMIC LOAD] = ds_atomic(true, |old: f32, x| min_f32(old, x));
            Ds 51 ds_max_rtn_f32 ALL F32 (B32 F32) [ATOMIC LOAD] = ds_atomic(true, |old: f32, x| max_f32(old, x));
            Ds 64 ds_add_u64 ALL None (B32 U64) [ATOMIC] = ds_atomic(false, |old: u64, x| old.wrapping_add(x));
            Ds 65 ds_sub_u64 ALL None (B32 U64) [ATOMIC] = ds_atomic(false, |old: u64, x| old.wrapping_sub(x));
            Ds 66 ds_rsub_u64 ALL None (B32 U64) [ATOMIC] = ds_atomic(false, |old: u64, x| x.wrapping_sub(old));
            Ds 67 ds_inc_u64 ALL None (B32 U64) [ATOMIC] = ds_atomic(false, |old: u64, x| inc64(old, x));
            Ds 68 ds_dec_u64 ALL None (B32 U64) [ATOMIC] = ds_atomic(false, |old: u64, x| dec64(old, x));
            Ds 69 ds_min_i64 ALL None (B32 I64) [ATOMIC] = ds_atomic(false, |old: i64, x| old.min(x));
            Ds 70 ds_max_i64 ALL None (B32 I64) [ATOMIC] = ds_atomic(false, |old: i64, x| old.max(x));
            Ds 71 ds_min_u64 ALL None (B32 U64) [ATOMIC] = ds_atomic(false, |old: u64, x| old.min(x));
            Ds 72 ds_max_u64 ALL None (B32 U64) [ATOMIC] = ds_atomic(false, |old: u64, x| old.max(x));
            Ds 73 ds_and_b64 ALL None (B32 B64) [ATOMIC] = ds_atomic(false, |old: u64, x| old & x);
            Ds 74 ds_or_b64 ALL None (B32 B64) [ATOMIC] = ds_atomic(false, |old: u64, x| old | x);
            Ds 75 ds_xor_b64 ALL None (B32 B64) [ATOMIC] = ds_atomic(false, |old: u64, x| old ^ x);
            Ds 76 ds_mskor_b64 ALL None (B32 B64 B64) [ATOMIC] = ds_atomic2(false, |old: u64, mask, x| Some(old & !mask | x));
            Ds 80 ds_cmpst_b64 ALL None (B32 B64 B64) [ATOMIC] = ds_atomic2(false, |old: u64, compare, new| (old == compare).then_some(new));
            Ds 81 ds_cmpst_f64 ALL None (B32 F64 F64) [ATOMIC] = ds_atomic2(false, |old: f64, compare, new| (old == compare).then_some(new));
            Ds 82 ds_min_f64 ALL None (B32 F64) [ATOMIC] = ds_atomic(false, |old: f64, x| min_f64(old, x));
            Ds 83 ds_max_f64 ALL None (B32 F64) [ATOMIC] = ds_atomic(false, |old: f64, x| max_f64(old, x));
            Ds 96 ds_add_rtn_u64 ALL U64 (B32 U64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| old.wrapping_add(x));
            Ds 97 ds_sub_rtn_u64 ALL U64 (B32 U64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| old.wrapping_sub(x));
            Ds 98 ds_rsub_rtn_u64 ALL U64 (B32 U64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| x.wrapping_sub(old));
            Ds 99 ds_inc_rtn_u64 ALL U64 (B32 U64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| inc64(old, x));
            Ds 100 ds_dec_rtn_u64 ALL U64 (B32 U64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| dec64(old, x));
            Ds 101 ds_min_rtn_i64 ALL I64 (B32 I64) [ATOMIC LOAD] = ds_atomic(true, |old: i64, x| old.min(x));
            Ds 102 ds_max_rtn_i64 ALL I64 (B32 I64) [ATOMIC LOAD] = ds_atomic(true, |old: i64, x| old.max(x));
            Ds 103 ds_min_rtn_u64 ALL U64 (B32 U64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| old.min(x));
            Ds 104 ds_max_rtn_u64 ALL U64 (B32 U64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| old.max(x));
            Ds 105 ds_and_rtn_b64 ALL B64 (B32 B64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| old & x);
            Ds 106 ds_or_rtn_b64 ALL B64 (B32 B64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| old | x);
            Ds 107 ds_xor_rtn_b64 ALL B64 (B32 B64) [ATOMIC LOAD] = ds_atomic(true, |old: u64, x| old ^ x);
            Ds 108 ds_mskor_rtn_b64 ALL B64 (B32 B64 B64) [ATOMIC LOAD] = ds_atomic2(true, |old: u64, mask, x| Some(old & !mask | x));
            Ds 109 ds_wrxchg_rtn_b64 ALL B64 (B32 B64) [ATOMIC LOAD] = ds_atomic(true, |_: u64, x| x);
            Ds 112 ds_cmpst_rtn_b64 ALL B64 (B32 B64 B64) [ATOMIC LOAD] = ds_atomic2(true, |old: u64, compare, new| (old == compare).then_some(new));
            Ds 113 ds_cmpst_rtn_f64 ALL F64 (B32 F64 F64) [ATOMIC LOAD] = ds_atomic2(true, |old: f64, compare, new| (old == compare).then_some(new));
            Ds 114 ds_min_rtn_f64 ALL F64 (B32 F64) [ATOMIC LOAD] = ds_atomic(true, |old: f64, x| min_f64(old, x));
            Ds 115 ds_max_rtn_f64 ALL F64 (B32 F64) [ATOMIC LOAD] = ds_atomic(true, |old: f64, x| max_f64(old, x));
            Ds 46 ds_wrxchg2_rtn_b32 ALL B64 (B32 B32 B32) [ATOMIC LOAD] = ds_wrxchg2[u32](4);
            Ds 47 ds_wrxchg2st64_rtn_b32 ALL B64 (B32 B32 B32) [ATOMIC LOAD] = ds_wrxchg2[u32](256);
            Ds 110 ds_wrxchg2_rtn_b64 ALL B128 (B32 B64 B64) [ATOMIC LOAD] = ds_wrxchg2[u64](8);
            Ds 111 ds_wrxchg2st64_rtn_b64 ALL B128 (B32 B64 B64) [ATOMIC LOAD] = ds_wrxchg2[u64](512);
            Ds 52 ds_wrap_rtn_b32 ALL B32 (B32 B32 B32) [ATOMIC LOAD] = ds_atomic2(true, |old: u32, by, add| Some(if old >= by { old - by } else { old.wrapping_add(add) }));
            Ds 21 ds_add_f32 ALL None (B32 F32) [ATOMIC] = ds_atomic(false, |old: f32, x| old + x);
            Ds 53 ds_add_rtn_f32 ALL F32 (B32 F32) [ATOMIC LOAD] = ds_atomic(true, |old: f32, x| old + x);
            Ds 92 ds_add_f64 ALL None (B32 F64) [ATOMIC] = ds_atomic(false, |old: f64, x| old + x);
            Ds 124 ds_add_rtn_f64 ALL F64 (B32 F64) [ATOMIC LOAD] = ds_atomic(true, |old: f64, x| old + x);
            Ds 23 ds_pk_add_f16 GFX942 None (B32 PF16) [ATOMIC] = ds_atomic(false, |old: u32, x| pk_add_f16(old, x));
            Ds 183 ds_pk_add_rtn_f16 GFX942 PF16 (B32 PF16) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| pk_add_f16(old, x));
            Ds 24 ds_pk_add_bf16 GFX942 None (B32 B32) [ATOMIC] = ds_atomic(false, |old: u32, x| pk_add_bf16(old, x));
            Ds 184 ds_pk_add_rtn_bf16 GFX942 B32 (B32 B32) [ATOMIC LOAD] = ds_atomic(true, |old: u32, x| pk_add_bf16(old, x));
            Ds 126 ds_condxchg32_rtn_b64 ALL B64 (B32 B64) [ATOMIC LOAD] = ds_atomic(true, condxchg32);

            // ---- loads and stores -----------------------------------------------------------------------------------------------
            Ds 13 ds_write_b32 ALL None (B32 B32) [] = ds_write[1]();
            Ds 14 ds_write2_b32 ALL None (B32 B32 B32) [] = ds_write2[1](4);
            Ds 15 ds_write2st64_b32 ALL None (B32 B32 B32) [] = ds_write2[1](256);
            Ds 30 ds_write_b8 ALL None (B32 B32) [] = ds_write_narrow[1](0);
            Ds 31 ds_write_b16 ALL None (B32 B32) [] = ds_write_narrow[2](0);
            Ds 54 ds_read_b32 ALL B32 (B32) [LOAD] = ds_read[1]();
            Ds 55 ds_read2_b32 ALL B64 (B32) [LOAD] = ds_read2[1](4);
            Ds 56 ds_read2st64_b32 ALL B64 (B32) [LOAD] = ds_read2[1](256);
            Ds 57 ds_read_i8 ALL B32 (B32) [LOAD] = ds_read_narrow[1](|x, _| sext8(x));
            Ds 58 ds_read_u8 ALL B32 (B32) [LOAD] = ds_read_narrow[1](|x, _| x);
            Ds 59 ds_read_i16 ALL B32 (B32) [LOAD] = ds_read_narrow[2](|x, _| sext16(x));
            Ds 60 ds_read_u16 ALL B32 (B32) [LOAD] = ds_read_narrow[2](|x, _| x);
            Ds 77 ds_write_b64 ALL None (B32 B64) [] = ds_write[2]();
            Ds 78 ds_write2_b64 ALL None (B32 B64 B64) [] = ds_write2[2](8);
            Ds 79 ds_write2st64_b64 ALL None (B32 B64 B64) [] = ds_write2[2](512);
            Ds 84 ds_write_b8_d16_hi ALL None (B32 B32) [] = ds_write_narrow[1](16);
            Ds 85 ds_write_b16_d16_hi ALL None (B32 B32) [] = ds_write_narrow[2](16);
            Ds 86 ds_read_u8_d16 ALL B32 (B32) [LOAD] = ds_read_narrow[1](|x, old| low16(x, old));
            Ds 87 ds_read_u8_d16_hi ALL B32 (B32) [LOAD] = ds_read_narrow[1](|x, old| high16(x, old));
            Ds 88 ds_read_i8_d16 ALL B32 (B32) [LOAD] = ds_read_narrow[1](|x, old| low16(sext8(x), old));
            Ds 89 ds_read_i8_d16_hi ALL B32 (B32) [LOAD] = ds_read_narrow[1](|x, old| high16(sext8(x), old));
            Ds 90 ds_read_u16_d16 ALL B32 (B32) [LOAD] = ds_read_narrow[2](|x, old| low16(x, old));
            Ds 91 ds_read_u16_d16_hi ALL B32 (B32) [LOAD] = ds_read_narrow[2](|x, old| high16(x, old));
            Ds 118 ds_read_b64 ALL B64 (B32) [LOAD] = ds_read[2]();
            Ds 119 ds_read2_b64 ALL B128 (B32) [LOAD] = ds_read2[2](8);
            Ds 120 ds_read2st64_b64 ALL B128 (B32) [LOAD] = ds_read2[2](512);
            Ds 222 ds_write_b96 ALL None (B32 B96) [] = ds_write[3]();
            Ds 223 ds_write_b128 ALL None (B32 B128) [] = ds_write[4]();
            Ds 254 ds_read_b96 ALL B96 (B32) [LOAD] = ds_read[3]();
            Ds 255 ds_read_b128 ALL B128 (B32) [LOAD] = ds_read[4]();

            // ---- lane exchange, and what needs hardware queues or global wave sync ----------------------------------------------
            Ds 20 ds_nop ALL None () [] = nothing();
            Ds 61 ds_swizzle_b32 ALL B32 (B32) [LOAD] = ds_swizzle();
            Ds 62 ds_permute_b32 ALL B32 (B32 B32) [LOAD] = ds_permute();
            Ds 63 ds_bpermute_b32 ALL B32 (B32 B32) [LOAD] = ds_bpermute();
            Ds 29 ds_write_addtid_b32 ALL None (None B32) [] = ds_write_addtid();
            Ds 182 ds_read_addtid_b32 ALL B32 () [LOAD] = ds_read_addtid();
            Ds 152 ds_gws_sema_release_all ALL None () [] = gws_release_all();
            Ds 153 ds_gws_init ALL None (B32) [] = gws_init();
            Ds 154 ds_gws_sema_v ALL None () [] = gws_give(false);
            Ds 155 ds_gws_sema_br ALL None (B32) [] = gws_give(true);
            Ds 156 ds_gws_sema_p ALL None () [] = gws_take();
            Ds 157 ds_gws_barrier ALL None (B32) [] = gws_barrier();
            Ds 189 ds_consume ALL B32 () [LOAD] = ds_count(u32::wrapping_sub);
            Ds 190 ds_append ALL B32 () [LOAD] = ds_count(u32::wrapping_add);
            $($rows)*
        } }
    };
}
pub(crate) use ds_rows;
