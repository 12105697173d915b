//! Rows of MUBUF. Stores and atomics keep their data where loads have their destination.

/// Passes the buffer rows on, in front of the rows collected so far.
macro_rules! buffer_rows {
    ($next:ident $apply:ident { $($rows:tt)* }) => {
        $crate::isa::table::$next! { $apply {
            // ---- MUBUF -------------------------------------------------------------------------------------------------------
            Mubuf 16 buffer_load_ubyte ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[1](|x, _| x);
            Mubuf 17 buffer_load_sbyte ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[1](|x, _| sext8(x));
            Mubuf 18 buffer_load_ushort ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[2](|x, _| x);
            Mubuf 19 buffer_load_sshort ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[2](|x, _| sext16(x));
            Mubuf 20 buffer_load_dword ALL B32 (B64 B128 B32) [LOAD] = buffer_load[1]();
            Mubuf 21 buffer_load_dwordx2 ALL B64 (B64 B128 B32) [LOAD] = buffer_load[2]();
            Mubuf 22 buffer_load_dwordx3 ALL B96 (B64 B128 B32) [LOAD] = buffer_load[3]();
            Mubuf 23 buffer_load_dwordx4 ALL B128 (B64 B128 B32) [LOAD] = buffer_load[4]();
            Mubuf 24 buffer_store_byte ALL B32 (B64 B128 B32) [] = buffer_store_narrow[1](0);
            Mubuf 25 buffer_store_byte_d16_hi ALL B32 (B64 B128 B32) [] = buffer_store_narrow[1](16);
            Mubuf 26 buffer_store_short ALL B32 (B64 B128 B32) [] = buffer_store_narrow[2](0);
            Mubuf 27 buffer_store_short_d16_hi ALL B32 (B64 B128 B32) [] = buffer_store_narrow[2](16);
            Mubuf 28 buffer_store_dword ALL B32 (B64 B128 B32) [] = buffer_store[1]();
            Mubuf 29 buffer_store_dwordx2 ALL B64 (B64 B128 B32) [] = buffer_store[2]();
            Mubuf 30 buffer_store_dwordx3 ALL B96 (B64 B128 B32) [] = buffer_store[3]();
            Mubuf 31 buffer_store_dwordx4 ALL B128 (B64 B128 B32) [] = buffer_store[4]();
            Mubuf 32 buffer_load_ubyte_d16 ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[1](|x, old| low16(x, old));
            Mubuf 33 buffer_load_ubyte_d16_hi ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[1](|x, old| high16(x, old));
            Mubuf 34 buffer_load_sbyte_d16 ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[1](|x, old| low16(sext8(x), old));
            Mubuf 35 buffer_load_sbyte_d16_hi ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[1](|x, old| high16(sext8(x), old));
            Mubuf 36 buffer_load_short_d16 ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[2](|x, old| low16(x, old));
            Mubuf 37 buffer_load_short_d16_hi ALL B32 (B64 B128 B32) [LOAD] = buffer_load_narrow[2](|x, old| high16(x, old));
            Mubuf 0 buffer_load_format_x ALL B32 (B64 B128 B32) [LOAD DECODE_ONLY] = unsupported();
            Mubuf 4 buffer_store_format_x ALL B32 (B64 B128 B32) [DECODE_ONLY] = unsupported();
            Mubuf 8 buffer_load_format_d16_x ALL B32 (B64 B128 B32) [LOAD DECODE_ONLY] = unsupported();
            Mubuf 12 buffer_store_format_d16_x ALL B32 (B64 B128 B32) [DECODE_ONLY] = unsupported();
            Mubuf 1 buffer_load_format_xy ALL B64 (B64 B128 B32) [LOAD DECODE_ONLY] = unsupported();
            Mubuf 5 buffer_store_format_xy ALL B64 (B64 B128 B32) [DECODE_ONLY] = unsupported();
            Mubuf 9 buffer_load_format_d16_xy ALL B32 (B64 B128 B32) [LOAD DECODE_ONLY] = unsupported();
            Mubuf 13 buffer_store_format_d16_xy ALL B32 (B64 B128 B32) [DECODE_ONLY] = unsupported();
            Mubuf 2 buffer_load_format_xyz ALL B96 (B64 B128 B32) [LOAD DECODE_ONLY] = unsupported();
            Mubuf 6 buffer_store_format_xyz ALL B96 (B64 B128 B32) [DECODE_ONLY] = unsupported();
            Mubuf 10 buffer_load_format_d16_xyz ALL B64 (B64 B128 B32) [LOAD DECODE_ONLY] = unsupported();
            Mubuf 14 buffer_store_format_d16_xyz ALL B64 (B64 B128 B32) [DECODE_ONLY] = unsupported();
            Mubuf 3 buffer_load_format_xyzw ALL B128 (B64 B128 B32) [LOAD DECODE_ONLY] = unsupported();
            Mubuf 7 buffer_store_format_xyzw ALL B128 (B64 B128 B32) [DECODE_ONLY] = unsupported();
            Mubuf 11 buffer_load_format_d16_xyzw ALL B64 (B64 B128 B32) [LOAD DECODE_ONLY] = unsupported();
            Mubuf 15 buffer_store_format_d16_xyzw ALL B64 (B64 B128 B32) [DECODE_ONLY] = unsupported();
            Mubuf 38 buffer_load_format_d16_hi_x ALL B32 (B64 B128 B32) [LOAD DECODE_ONLY] = unsupported();
            Mubuf 39 buffer_store_format_d16_hi_x ALL B32 (B64 B128 B32) [DECODE_ONLY] = unsupported();
            // Caches: every access reaches memory at once, so there is nothing to write back or to invalidate.
            Mubuf 40 buffer_wbl2 ALL None () [] = nothing();
            Mubuf 41 buffer_invl2 GFX90A None () [] = nothing();
            Mubuf 41 buffer_inv GFX942 None () [] = nothing();
            Mubuf 62 buffer_wbinvl1 ALL None () [] = nothing();
            Mubuf 63 buffer_wbinvl1_vol ALL None () [] = nothing();
            Mubuf 64 buffer_atomic_swap ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|_: u32, x| x);
            Mubuf 65 buffer_atomic_cmpswap ALL B64 (B64 B128 B32) [ATOMIC] = buffer_cmpswap[u32]();
            Mubuf 66 buffer_atomic_add ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| old.wrapping_add(x));
            Mubuf 67 buffer_atomic_sub ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| old.wrapping_sub(x));
            Mubuf 68 buffer_atomic_smin ALL I32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: i32, x| old.min(x));
            Mubuf 69 buffer_atomic_umin ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| old.min(x));
            Mubuf 70 buffer_atomic_smax ALL I32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: i32, x| old.max(x));
            Mubuf 71 buffer_atomic_umax ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| old.max(x));
            Mubuf 72 buffer_atomic_and ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| old & x);
            Mubuf 73 buffer_atomic_or ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| old | x);
            Mubuf 74 buffer_atomic_xor ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| old ^ x);
            Mubuf 75 buffer_atomic_inc ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| inc(old, x));
            Mubuf 76 buffer_atomic_dec ALL U32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| dec(old, x));
            Mubuf 96 buffer_atomic_swap_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|_: u64, x| x);
            Mubuf 97 buffer_atomic_cmpswap_x2 ALL B128 (B64 B128 B32) [ATOMIC] = buffer_cmpswap[u64]();
            Mubuf 98 buffer_atomic_add_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u64, x| old.wrapping_add(x));
            Mubuf 99 buffer_atomic_sub_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u64, x| old.wrapping_sub(x));
            Mubuf 100 buffer_atomic_smin_x2 ALL I64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: i64, x| old.min(x));
            Mubuf 101 buffer_atomic_umin_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u64, x| old.min(x));
            Mubuf 102 buffer_atomic_smax_x2 ALL I64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: i64, x| old.max(x));
            Mubuf 103 buffer_atomic_umax_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u64, x| old.max(x));
            Mubuf 104 buffer_atomic_and_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u64, x| old & x);
            Mubuf 105 buffer_atomic_or_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u64, x| old | x);
            Mubuf 106 buffer_atomic_xor_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u64, x| old ^ x);
            Mubuf 107 buffer_atomic_inc_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u64, x| inc64(old, x));
            Mubuf 108 buffer_atomic_dec_x2 ALL U64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u64, x| dec64(old, x));
            Mubuf 77 buffer_atomic_add_f32 ALL F32 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: f32, x| old + x);
            Mubuf 78 buffer_atomic_pk_add_f16 ALL PF16 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: u32, x| pk_add_f16(old, x));
            Mubuf 79 buffer_atomic_add_f64 ALL F64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: f64, x| old + x);
            Mubuf 80 buffer_atomic_min_f64 ALL F64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: f64, x| min_f64(old, x));
            Mubuf 81 buffer_atomic_max_f64 ALL F64 (B64 B128 B32) [ATOMIC] = buffer_atomic(|old: f64, x| max_f64(old, x));
            $($rows)*
        } }
    };
}
pub(crate) use buffer_rows;
