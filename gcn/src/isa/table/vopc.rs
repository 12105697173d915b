//! Rows of VOPC: comparisons that write a bit for each lane.

/// Passes the comparison rows on, in front of the rows collected so far.
macro_rules! vopc_rows {
    ($next:ident $apply:ident { $($rows:tt)* }) => {
        $crate::isa::table::$next! { $apply {
            // ---- classes of floating-point numbers ------------------------------------------------------------------------------
            Vopc 16 v_cmp_class_f32 ALL Mask (F32 B32) [] = vcmp(|a: f32, b: u32| class_f32(a, b));
            Vopc 17 v_cmpx_class_f32 ALL Mask (F32 B32) [] = vcmpx(|a: f32, b: u32| class_f32(a, b));
            Vopc 18 v_cmp_class_f64 ALL Mask (F64 B32) [] = vcmp(|a: f64, b: u32| class_f64(a, b));
            Vopc 19 v_cmpx_class_f64 ALL Mask (F64 B32) [] = vcmpx(|a: f64, b: u32| class_f64(a, b));
            Vopc 20 v_cmp_class_f16 ALL Mask (F16 B16) [] = vcmp(|a: Half, b: u32| class_f16(a, b));
            Vopc 21 v_cmpx_class_f16 ALL Mask (F16 B16) [] = vcmpx(|a: Half, b: u32| class_f16(a, b));

            // ---- 16-bit floats: `n` forms are true for NaN -------------------------------------------------------------------
            Vopc 32 v_cmp_f_f16 ALL Mask (F16 F16) [] = vcmp(|_: Half, _: Half| false);
            Vopc 33 v_cmp_lt_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| a < b);
            Vopc 34 v_cmp_eq_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| a == b);
            Vopc 35 v_cmp_le_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| a <= b);
            Vopc 36 v_cmp_gt_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| a > b);
            Vopc 37 v_cmp_lg_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| a < b || a > b);
            Vopc 38 v_cmp_ge_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| a >= b);
            Vopc 39 v_cmp_o_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| !unordered(a, b));
            Vopc 40 v_cmp_u_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| unordered(a, b));
            Vopc 41 v_cmp_nge_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| !(a >= b));
            Vopc 42 v_cmp_nlg_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| !(a < b || a > b));
            Vopc 43 v_cmp_ngt_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| !(a > b));
            Vopc 44 v_cmp_nle_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| !(a <= b));
            Vopc 45 v_cmp_neq_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| a != b);
            Vopc 46 v_cmp_nlt_f16 ALL Mask (F16 F16) [] = vcmp(|a: Half, b: Half| !(a < b));
            Vopc 47 v_cmp_tru_f16 ALL Mask (F16 F16) [] = vcmp(|_: Half, _: Half| true);
            Vopc 48 v_cmpx_f_f16 ALL Mask (F16 F16) [] = vcmpx(|_: Half, _: Half| false);
            Vopc 49 v_cmpx_lt_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| a < b);
            Vopc 50 v_cmpx_eq_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| a == b);
            Vopc 51 v_cmpx_le_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| a <= b);
            Vopc 52 v_cmpx_gt_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| a > b);
            Vopc 53 v_cmpx_lg_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| a < b || a > b);
            Vopc 54 v_cmpx_ge_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| a >= b);
            Vopc 55 v_cmpx_o_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| !unordered(a, b));
            Vopc 56 v_cmpx_u_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| unordered(a, b));
            Vopc 57 v_cmpx_nge_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| !(a >= b));
            Vopc 58 v_cmpx_nlg_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| !(a < b || a > b));
            Vopc 59 v_cmpx_ngt_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| !(a > b));
            Vopc 60 v_cmpx_nle_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| !(a <= b));
            Vopc 61 v_cmpx_neq_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| a != b);
            Vopc 62 v_cmpx_nlt_f16 ALL Mask (F16 F16) [] = vcmpx(|a: Half, b: Half| !(a < b));
            Vopc 63 v_cmpx_tru_f16 ALL Mask (F16 F16) [] = vcmpx(|_: Half, _: Half| true);

            // ---- 32-bit floats: `n` forms are true for NaN -------------------------------------------------------------------
            Vopc 64 v_cmp_f_f32 ALL Mask (F32 F32) [] = vcmp(|_: f32, _: f32| false);
            Vopc 65 v_cmp_lt_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| a < b);
            Vopc 66 v_cmp_eq_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| a == b);
            Vopc 67 v_cmp_le_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| a <= b);
            Vopc 68 v_cmp_gt_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| a > b);
            Vopc 69 v_cmp_lg_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| a < b || a > b);
            Vopc 70 v_cmp_ge_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| a >= b);
            Vopc 71 v_cmp_o_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| !unordered(a, b));
            Vopc 72 v_cmp_u_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| unordered(a, b));
            Vopc 73 v_cmp_nge_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| !(a >= b));
            Vopc 74 v_cmp_nlg_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| !(a < b || a > b));
            Vopc 75 v_cmp_ngt_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| !(a > b));
            Vopc 76 v_cmp_nle_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| !(a <= b));
            Vopc 77 v_cmp_neq_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| a != b);
            Vopc 78 v_cmp_nlt_f32 ALL Mask (F32 F32) [] = vcmp(|a: f32, b: f32| !(a < b));
            Vopc 79 v_cmp_tru_f32 ALL Mask (F32 F32) [] = vcmp(|_: f32, _: f32| true);
            Vopc 80 v_cmpx_f_f32 ALL Mask (F32 F32) [] = vcmpx(|_: f32, _: f32| false);
            Vopc 81 v_cmpx_lt_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| a < b);
            Vopc 82 v_cmpx_eq_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| a == b);
            Vopc 83 v_cmpx_le_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| a <= b);
            Vopc 84 v_cmpx_gt_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| a > b);
            Vopc 85 v_cmpx_lg_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| a < b || a > b);
            Vopc 86 v_cmpx_ge_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| a >= b);
            Vopc 87 v_cmpx_o_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| !unordered(a, b));
            Vopc 88 v_cmpx_u_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| unordered(a, b));
            Vopc 89 v_cmpx_nge_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| !(a >= b));
            Vopc 90 v_cmpx_nlg_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| !(a < b || a > b));
            Vopc 91 v_cmpx_ngt_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| !(a > b));
            Vopc 92 v_cmpx_nle_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| !(a <= b));
            Vopc 93 v_cmpx_neq_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| a != b);
            Vopc 94 v_cmpx_nlt_f32 ALL Mask (F32 F32) [] = vcmpx(|a: f32, b: f32| !(a < b));
            Vopc 95 v_cmpx_tru_f32 ALL Mask (F32 F32) [] = vcmpx(|_: f32, _: f32| true);

            // ---- 64-bit floats: `n` forms are true for NaN -------------------------------------------------------------------
            Vopc 96 v_cmp_f_f64 ALL Mask (F64 F64) [] = vcmp(|_: f64, _: f64| false);
            Vopc 97 v_cmp_lt_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| a < b);
            Vopc 98 v_cmp_eq_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| a == b);
            Vopc 99 v_cmp_le_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| a <= b);
            Vopc 100 v_cmp_gt_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| a > b);
            Vopc 101 v_cmp_lg_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| a < b || a > b);
            Vopc 102 v_cmp_ge_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| a >= b);
            Vopc 103 v_cmp_o_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| !unordered(a, b));
            Vopc 104 v_cmp_u_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| unordered(a, b));
            Vopc 105 v_cmp_nge_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| !(a >= b));
            Vopc 106 v_cmp_nlg_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| !(a < b || a > b));
            Vopc 107 v_cmp_ngt_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| !(a > b));
            Vopc 108 v_cmp_nle_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| !(a <= b));
            Vopc 109 v_cmp_neq_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| a != b);
            Vopc 110 v_cmp_nlt_f64 ALL Mask (F64 F64) [] = vcmp(|a: f64, b: f64| !(a < b));
            Vopc 111 v_cmp_tru_f64 ALL Mask (F64 F64) [] = vcmp(|_: f64, _: f64| true);
            Vopc 112 v_cmpx_f_f64 ALL Mask (F64 F64) [] = vcmpx(|_: f64, _: f64| false);
            Vopc 113 v_cmpx_lt_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| a < b);
            Vopc 114 v_cmpx_eq_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| a == b);
            Vopc 115 v_cmpx_le_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| a <= b);
            Vopc 116 v_cmpx_gt_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| a > b);
            Vopc 117 v_cmpx_lg_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| a < b || a > b);
            Vopc 118 v_cmpx_ge_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| a >= b);
            Vopc 119 v_cmpx_o_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| !unordered(a, b));
            Vopc 120 v_cmpx_u_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| unordered(a, b));
            Vopc 121 v_cmpx_nge_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| !(a >= b));
            Vopc 122 v_cmpx_nlg_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| !(a < b || a > b));
            Vopc 123 v_cmpx_ngt_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| !(a > b));
            Vopc 124 v_cmpx_nle_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| !(a <= b));
            Vopc 125 v_cmpx_neq_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| a != b);
            Vopc 126 v_cmpx_nlt_f64 ALL Mask (F64 F64) [] = vcmpx(|a: f64, b: f64| !(a < b));
            Vopc 127 v_cmpx_tru_f64 ALL Mask (F64 F64) [] = vcmpx(|_: f64, _: f64| true);

            // ---- 16-bit integers ---------------------------------------------------------------------------------------------
            Vopc 160 v_cmp_f_i16 ALL Mask (I16 I16) [] = vcmp(|_: i16, _: i16| false);
            Vopc 161 v_cmp_lt_i16 ALL Mask (I16 I16) [] = vcmp(|a: i16, b: i16| a < b);
            Vopc 162 v_cmp_eq_i16 ALL Mask (I16 I16) [] = vcmp(|a: i16, b: i16| a == b);
            Vopc 163 v_cmp_le_i16 ALL Mask (I16 I16) [] = vcmp(|a: i16, b: i16| a <= b);
            Vopc 164 v_cmp_gt_i16 ALL Mask (I16 I16) [] = vcmp(|a: i16, b: i16| a > b);
            Vopc 165 v_cmp_ne_i16 ALL Mask (I16 I16) [] = vcmp(|a: i16, b: i16| a != b);
            Vopc 166 v_cmp_ge_i16 ALL Mask (I16 I16) [] = vcmp(|a: i16, b: i16| a >= b);
            Vopc 167 v_cmp_t_i16 ALL Mask (I16 I16) [] = vcmp(|_: i16, _: i16| true);
            Vopc 176 v_cmpx_f_i16 ALL Mask (I16 I16) [] = vcmpx(|_: i16, _: i16| false);
            Vopc 177 v_cmpx_lt_i16 ALL Mask (I16 I16) [] = vcmpx(|a: i16, b: i16| a < b);
            Vopc 178 v_cmpx_eq_i16 ALL Mask (I16 I16) [] = vcmpx(|a: i16, b: i16| a == b);
            Vopc 179 v_cmpx_le_i16 ALL Mask (I16 I16) [] = vcmpx(|a: i16, b: i16| a <= b);
            Vopc 180 v_cmpx_gt_i16 ALL Mask (I16 I16) [] = vcmpx(|a: i16, b: i16| a > b);
            Vopc 181 v_cmpx_ne_i16 ALL Mask (I16 I16) [] = vcmpx(|a: i16, b: i16| a != b);
            Vopc 182 v_cmpx_ge_i16 ALL Mask (I16 I16) [] = vcmpx(|a: i16, b: i16| a >= b);
            Vopc 183 v_cmpx_t_i16 ALL Mask (I16 I16) [] = vcmpx(|_: i16, _: i16| true);
            Vopc 168 v_cmp_f_u16 ALL Mask (U16 U16) [] = vcmp(|_: u16, _: u16| false);
            Vopc 169 v_cmp_lt_u16 ALL Mask (U16 U16) [] = vcmp(|a: u16, b: u16| a < b);
            Vopc 170 v_cmp_eq_u16 ALL Mask (U16 U16) [] = vcmp(|a: u16, b: u16| a == b);
            Vopc 171 v_cmp_le_u16 ALL Mask (U16 U16) [] = vcmp(|a: u16, b: u16| a <= b);
            Vopc 172 v_cmp_gt_u16 ALL Mask (U16 U16) [] = vcmp(|a: u16, b: u16| a > b);
            Vopc 173 v_cmp_ne_u16 ALL Mask (U16 U16) [] = vcmp(|a: u16, b: u16| a != b);
            Vopc 174 v_cmp_ge_u16 ALL Mask (U16 U16) [] = vcmp(|a: u16, b: u16| a >= b);
            Vopc 175 v_cmp_t_u16 ALL Mask (U16 U16) [] = vcmp(|_: u16, _: u16| true);
            Vopc 184 v_cmpx_f_u16 ALL Mask (U16 U16) [] = vcmpx(|_: u16, _: u16| false);
            Vopc 185 v_cmpx_lt_u16 ALL Mask (U16 U16) [] = vcmpx(|a: u16, b: u16| a < b);
            Vopc 186 v_cmpx_eq_u16 ALL Mask (U16 U16) [] = vcmpx(|a: u16, b: u16| a == b);
            Vopc 187 v_cmpx_le_u16 ALL Mask (U16 U16) [] = vcmpx(|a: u16, b: u16| a <= b);
            Vopc 188 v_cmpx_gt_u16 ALL Mask (U16 U16) [] = vcmpx(|a: u16, b: u16| a > b);
            Vopc 189 v_cmpx_ne_u16 ALL Mask (U16 U16) [] = vcmpx(|a: u16, b: u16| a != b);
            Vopc 190 v_cmpx_ge_u16 ALL Mask (U16 U16) [] = vcmpx(|a: u16, b: u16| a >= b);
            Vopc 191 v_cmpx_t_u16 ALL Mask (U16 U16) [] = vcmpx(|_: u16, _: u16| true);

            // ---- 32-bit integers ---------------------------------------------------------------------------------------------
            Vopc 192 v_cmp_f_i32 ALL Mask (I32 I32) [] = vcmp(|_: i32, _: i32| false);
            Vopc 193 v_cmp_lt_i32 ALL Mask (I32 I32) [] = vcmp(|a: i32, b: i32| a < b);
            Vopc 194 v_cmp_eq_i32 ALL Mask (I32 I32) [] = vcmp(|a: i32, b: i32| a == b);
            Vopc 195 v_cmp_le_i32 ALL Mask (I32 I32) [] = vcmp(|a: i32, b: i32| a <= b);
            Vopc 196 v_cmp_gt_i32 ALL Mask (I32 I32) [] = vcmp(|a: i32, b: i32| a > b);
            Vopc 197 v_cmp_ne_i32 ALL Mask (I32 I32) [] = vcmp(|a: i32, b: i32| a != b);
            Vopc 198 v_cmp_ge_i32 ALL Mask (I32 I32) [] = vcmp(|a: i32, b: i32| a >= b);
            Vopc 199 v_cmp_t_i32 ALL Mask (I32 I32) [] = vcmp(|_: i32, _: i32| true);
            Vopc 208 v_cmpx_f_i32 ALL Mask (I32 I32) [] = vcmpx(|_: i32, _: i32| false);
            Vopc 209 v_cmpx_lt_i32 ALL Mask (I32 I32) [] = vcmpx(|a: i32, b: i32| a < b);
            Vopc 210 v_cmpx_eq_i32 ALL Mask (I32 I32) [] = vcmpx(|a: i32, b: i32| a == b);
            Vopc 211 v_cmpx_le_i32 ALL Mask (I32 I32) [] = vcmpx(|a: i32, b: i32| a <= b);
            Vopc 212 v_cmpx_gt_i32 ALL Mask (I32 I32) [] = vcmpx(|a: i32, b: i32| a > b);
            Vopc 213 v_cmpx_ne_i32 ALL Mask (I32 I32) [] = vcmpx(|a: i32, b: i32| a != b);
            Vopc 214 v_cmpx_ge_i32 ALL Mask (I32 I32) [] = vcmpx(|a: i32, b: i32| a >= b);
            Vopc 215 v_cmpx_t_i32 ALL Mask (I32 I32) [] = vcmpx(|_: i32, _: i32| true);
            Vopc 200 v_cmp_f_u32 ALL Mask (U32 U32) [] = vcmp(|_: u32, _: u32| false);
            Vopc 201 v_cmp_lt_u32 ALL Mask (U32 U32) [] = vcmp(|a: u32, b: u32| a < b);
            Vopc 202 v_cmp_eq_u32 ALL Mask (U32 U32) [] = vcmp(|a: u32, b: u32| a == b);
            Vopc 203 v_cmp_le_u32 ALL Mask (U32 U32) [] = vcmp(|a: u32, b: u32| a <= b);
            Vopc 204 v_cmp_gt_u32 ALL Mask (U32 U32) [] = vcmp(|a: u32, b: u32| a > b);
            Vopc 205 v_cmp_ne_u32 ALL Mask (U32 U32) [] = vcmp(|a: u32, b: u32| a != b);
            Vopc 206 v_cmp_ge_u32 ALL Mask (U32 U32) [] = vcmp(|a: u32, b: u32| a >= b);
            Vopc 207 v_cmp_t_u32 ALL Mask (U32 U32) [] = vcmp(|_: u32, _: u32| true);
            Vopc 216 v_cmpx_f_u32 ALL Mask (U32 U32) [] = vcmpx(|_: u32, _: u32| false);
            Vopc 217 v_cmpx_lt_u32 ALL Mask (U32 U32) [] = vcmpx(|a: u32, b: u32| a < b);
            Vopc 218 v_cmpx_eq_u32 ALL Mask (U32 U32) [] = vcmpx(|a: u32, b: u32| a == b);
            Vopc 219 v_cmpx_le_u32 ALL Mask (U32 U32) [] = vcmpx(|a: u32, b: u32| a <= b);
            Vopc 220 v_cmpx_gt_u32 ALL Mask (U32 U32) [] = vcmpx(|a: u32, b: u32| a > b);
            Vopc 221 v_cmpx_ne_u32 ALL Mask (U32 U32) [] = vcmpx(|a: u32, b: u32| a != b);
            Vopc 222 v_cmpx_ge_u32 ALL Mask (U32 U32) [] = vcmpx(|a: u32, b: u32| a >= b);
            Vopc 223 v_cmpx_t_u32 ALL Mask (U32 U32) [] = vcmpx(|_: u32, _: u32| true);

            // ---- 64-bit integers ---------------------------------------------------------------------------------------------
            Vopc 224 v_cmp_f_i64 ALL Mask (I64 I64) [] = vcmp(|_: i64, _: i64| false);
            Vopc 225 v_cmp_lt_i64 ALL Mask (I64 I64) [] = vcmp(|a: i64, b: i64| a < b);
            Vopc 226 v_cmp_eq_i64 ALL Mask (I64 I64) [] = vcmp(|a: i64, b: i64| a == b);
            Vopc 227 v_cmp_le_i64 ALL Mask (I64 I64) [] = vcmp(|a: i64, b: i64| a <= b);
            Vopc 228 v_cmp_gt_i64 ALL Mask (I64 I64) [] = vcmp(|a: i64, b: i64| a > b);
            Vopc 229 v_cmp_ne_i64 ALL Mask (I64 I64) [] = vcmp(|a: i64, b: i64| a != b);
            Vopc 230 v_cmp_ge_i64 ALL Mask (I64 I64) [] = vcmp(|a: i64, b: i64| a >= b);
            Vopc 231 v_cmp_t_i64 ALL Mask (I64 I64) [] = vcmp(|_: i64, _: i64| true);
            Vopc 240 v_cmpx_f_i64 ALL Mask (I64 I64) [] = vcmpx(|_: i64, _: i64| false);
            Vopc 241 v_cmpx_lt_i64 ALL Mask (I64 I64) [] = vcmpx(|a: i64, b: i64| a < b);
            Vopc 242 v_cmpx_eq_i64 ALL Mask (I64 I64) [] = vcmpx(|a: i64, b: i64| a == b);
            Vopc 243 v_cmpx_le_i64 ALL Mask (I64 I64) [] = vcmpx(|a: i64, b: i64| a <= b);
            Vopc 244 v_cmpx_gt_i64 ALL Mask (I64 I64) [] = vcmpx(|a: i64, b: i64| a > b);
            Vopc 245 v_cmpx_ne_i64 ALL Mask (I64 I64) [] = vcmpx(|a: i64, b: i64| a != b);
            Vopc 246 v_cmpx_ge_i64 ALL Mask (I64 I64) [] = vcmpx(|a: i64, b: i64| a >= b);
            Vopc 247 v_cmpx_t_i64 ALL Mask (I64 I64) [] = vcmpx(|_: i64, _: i64| true);
            Vopc 232 v_cmp_f_u64 ALL Mask (U64 U64) [] = vcmp(|_: u64, _: u64| false);
            Vopc 233 v_cmp_lt_u64 ALL Mask (U64 U64) [] = vcmp(|a: u64, b: u64| a < b);
            Vopc 234 v_cmp_eq_u64 ALL Mask (U64 U64) [] = vcmp(|a: u64, b: u64| a == b);
            Vopc 235 v_cmp_le_u64 ALL Mask (U64 U64) [] = vcmp(|a: u64, b: u64| a <= b);
            Vopc 236 v_cmp_gt_u64 ALL Mask (U64 U64) [] = vcmp(|a: u64, b: u64| a > b);
            Vopc 237 v_cmp_ne_u64 ALL Mask (U64 U64) [] = vcmp(|a: u64, b: u64| a != b);
            Vopc 238 v_cmp_ge_u64 ALL Mask (U64 U64) [] = vcmp(|a: u64, b: u64| a >= b);
            Vopc 239 v_cmp_t_u64 ALL Mask (U64 U64) [] = vcmp(|_: u64, _: u64| true);
            Vopc 248 v_cmpx_f_u64 ALL Mask (U64 U64) [] = vcmpx(|_: u64, _: u64| false);
            Vopc 249 v_cmpx_lt_u64 ALL Mask (U64 U64) [] = vcmpx(|a: u64, b: u64| a < b);
            Vopc 250 v_cmpx_eq_u64 ALL Mask (U64 U64) [] = vcmpx(|a: u64, b: u64| a == b);
            Vopc 251 v_cmpx_le_u64 ALL Mask (U64 U64) [] = vcmpx(|a: u64, b: u64| a <= b);
            Vopc 252 v_cmpx_gt_u64 ALL Mask (U64 U64) [] = vcmpx(|a: u64, b: u64| a > b);
            Vopc 253 v_cmpx_ne_u64 ALL Mask (U64 U64) [] = vcmpx(|a: u64, b: u64| a != b);
            Vopc 254 v_cmpx_ge_u64 ALL Mask (U64 U64) [] = vcmpx(|a: u64, b: u64| a >= b);
            Vopc 255 v_cmpx_t_u64 ALL Mask (U64 U64) [] = vcmpx(|_: u64, _: u64| true);
            $($rows)*
        } }
    };
}
pub(crate) use vopc_rows;
