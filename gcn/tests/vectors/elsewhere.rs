//! Rows whose vectors are not here, and where they are.
//!
//! Most have no operands that values could go wrong at: they move the program counter, registers by index, or lanes, and one case says all.

use gcn::isa::{Encoding, Row};

/// Rows by name, and where their vectors are: files of `src/exec/tests/` unless it says otherwise.
pub(crate) const LIST: &[(&str, &str)] = &[
    // Control: the document's effect is on the program counter, MODE or EXEC alone.
    ("s_getpc_b64", "`call` of the programs, at every level of optimisation"),
    ("s_setpc_b64", "masks.rs, control transfers; `call` of the programs"),
    ("s_swappc_b64", "masks.rs, control transfers; `call` of the programs"),
    ("s_call_b64", "hostile.rs: every row with random operands; decoding.rs"),
    ("s_movrels_b32", "modes.rs, scalar registers by index"),
    ("s_movrels_b64", "modes.rs, scalar registers by index"),
    ("s_movreld_b32", "modes.rs, scalar registers by index"),
    ("s_movreld_b64", "modes.rs, scalar registers by index"),
    ("s_set_gpr_idx_idx", "modes.rs, registers by index"),
    ("s_set_gpr_idx_on", "modes.rs, registers by index"),
    ("s_cbranch_join", "modes.rs, forks and joins"),
    ("s_cbranch_g_fork", "modes.rs, forks and joins"),
    ("s_cbranch_i_fork", "modes.rs, forks and joins"),
    ("s_setvskip", "modes.rs, instructions that are skipped"),
    ("s_getreg_b32", "masks.rs, MODE field by field"),
    ("s_setreg_b32", "masks.rs and modes.rs, MODE field by field"),
    ("s_setreg_imm32_b32", "masks.rs, MODE field by field"),
    // Lanes.
    ("v_nop", "nothing happens"),
    ("v_clrexcp", "nothing happens"),
    ("v_readfirstlane_b32", "masks.rs, lanes and scalars"),
    ("v_readlane_b32", "masks.rs, lanes and scalars"),
    ("v_writelane_b32", "masks.rs, lanes and scalars"),
    ("v_swap_b32", "masks.rs, lanes and scalars"),
    ("ds_swizzle_b32", "memory.rs, lane exchange"),
    ("ds_permute_b32", "memory.rs, lane exchange; `lanes` of the programs"),
    ("ds_bpermute_b32", "memory.rs, lane exchange"),
    // The document's words for a division's scaling cannot be meant as printed: the whole sequence against IEEE division instead.
    ("v_div_scale_f32", "masks.rs, division is correctly rounded; `divide` of the programs"),
    ("v_div_scale_f64", "`divide` of the programs"),
    ("v_div_fmas_f32", "masks.rs, division is correctly rounded; `divide` of the programs"),
    ("v_div_fmas_f64", "`divide` of the programs"),
    // Four registers of result, which the vectors here are too narrow for.
    ("v_mqsad_u32_u8", "arithmetic.rs"),
    // 8-bit floats from wider ones.
    ("v_cvt_pk_fp8_f32", "exec/float8.rs: every code, ties and what overflows; arithmetic.rs"),
    ("v_cvt_pk_bf8_f32", "exec/float8.rs: every code, ties and what overflows"),
    ("v_cvt_sr_fp8_f32", "exec/float8.rs, stochastic rounding; arithmetic.rs"),
    ("v_cvt_sr_bf8_f32", "exec/float8.rs, stochastic rounding"),
    // LDS and what it is shared for.
    ("ds_nop", "nothing happens"),
    ("ds_write_addtid_b32", "sync.rs, lanes find their own words"),
    ("ds_read_addtid_b32", "sync.rs, lanes find their own words"),
    ("ds_consume", "sync.rs, counters in LDS"),
    ("ds_append", "sync.rs, counters in LDS"),
    ("ds_gws_sema_release_all", "sync.rs, semaphores"),
    ("ds_gws_init", "sync.rs, barriers"),
    ("ds_gws_sema_v", "sync.rs, semaphores"),
    ("ds_gws_sema_br", "sync.rs, semaphores"),
    ("ds_gws_sema_p", "sync.rs, semaphores"),
    ("ds_gws_barrier", "sync.rs, barriers"),
    // The scalar unit.
    ("s_memtime", "`spin` of the programs"),
    ("s_memrealtime", "`spin` of the programs"),
    ("s_scratch_load_dword", "sync.rs, scalar stores reach buffers and scratch"),
    ("s_scratch_load_dwordx2", "sync.rs, scalar stores reach buffers and scratch"),
    ("s_scratch_load_dwordx4", "sync.rs, scalar stores reach buffers and scratch"),
    ("s_scratch_store_dword", "sync.rs, scalar stores reach buffers and scratch"),
    ("s_scratch_store_dwordx2", "sync.rs, scalar stores reach buffers and scratch"),
    ("s_scratch_store_dwordx4", "sync.rs, scalar stores reach buffers and scratch"),
];

/// Returns the name under which a row is listed, if its vectors are elsewhere.
pub(crate) fn covered(row: &Row) -> Option<&'static str> {
    let by_kind = match row.encoding {
        // matrix.rs: every shape against a triple loop in doubles and integers.
        Encoding::Mai => !row.name.starts_with("v_accvgpr"),
        // Branches, waits and messages: masks.rs (control transfers), modes.rs (halt, kill, indices), the engine's tests (ends, traps, barriers).
        Encoding::Sopp => true,
        // Caches and probes do nothing here: every access reaches memory at once.
        Encoding::Smem => row.name.contains("dcache") || row.name.contains("atc_probe"),
        Encoding::Mubuf => row.name.starts_with("buffer_wb") || row.name.starts_with("buffer_inv"),
        // sync.rs, loads that go straight to LDS.
        Encoding::Global | Encoding::Scratch => row.name.contains("_load_lds_"),
        _ => false,
    };
    if by_kind {
        return Some(row.name);
    }
    LIST.iter().find(|(name, _)| *name == row.name).map(|(name, _)| *name)
}
