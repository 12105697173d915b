//! Which of two NaNs the handlers of this build hand on.
//!
//! IEEE leaves it open, the host's instructions take the first operand's, and the compiler may exchange the operands of what commutes. A translated
//! instruction must do the same as its handler, because a suspend decides which of the two carries it out. So the handlers are asked, once.

use crate::arch::{Arch, LANES};
use crate::exec::Tier;
use crate::exec::cx::{Cx, EXEC, WaveState};
use crate::exec::gws::Gws;
use crate::exec::inst::Inst;
use crate::hardware::CuHardware;
use crate::isa::{Encoding, ROWS};
use crate::memory::FlatMemory;
use std::sync::OnceLock;

const FIRST: u32 = 0x7fc0_0001;
const SECOND: u32 = 0x7fc0_0002;

/// Rows whose first two operands the compiler may exchange.
fn commutes(name: &str) -> bool {
    matches!(
        name,
        "v_add_f32" | "v_mul_f32" | "v_fma_f32" | "v_fmac_f32" | "v_pk_fma_f32" | "v_pk_mul_f32" | "v_pk_add_f32"
    )
}

/// Whether a row prefers its second operand's NaN to its first one's; `None`: sometimes this, sometimes that.
pub(super) fn second_first(row: u16) -> Option<bool> {
    static KNOWN: OnceLock<Vec<Option<bool>>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let mut hw = CuHardware::power_on(1);
        let ask = |row: usize| if commutes(ROWS[row].name) { ask(&mut hw[0], row as u16) } else { None };
        (0..ROWS.len()).map(ask).collect()
    });
    known.get(usize::from(row)).copied().flatten()
}

/// Gives a row's handler two NaNs, with all lanes and with some.
fn ask(hw: &mut CuHardware, row: u16) -> Option<bool> {
    let inst = Inst::of_row(Tier::detect(), row);
    let mut seen = Vec::new();
    for exec in [!0u64, 0x5a5a_0ff0_1234_8001] {
        for (register, bits) in [FIRST, FIRST, SECOND, SECOND, 0, 0, 0, 0, 0, 0].into_iter().enumerate() {
            hw.vgpr[0][register] = [bits; LANES];
        }
        (hw.sgpr[0][EXEC], hw.sgpr[0][EXEC + 1]) = (exec as u32, (exec >> 32) as u32);
        let mut wave = alone();
        let mut cx = Cx {
            arch: Arch::Gfx90a,
            v: &mut hw.vgpr[0],
            bases: wave.bases(),
            s: &mut hw.sgpr[0],
            lds: &mut hw.lds,
            mem: &FlatMemory::new(0, 64),
            w: &mut wave,
            gws: &Gws::default(),
            clock: &|| 0,
        };
        (inst.run)(&mut cx, &inst);
        // Packed rows have two results, which the compiler may treat unlike each other.
        let results = if ROWS[usize::from(row)].encoding == Encoding::Vop3p { 8..10 } else { 8..9 };
        for register in results {
            seen.extend((0..LANES).filter(|lane| exec >> lane & 1 == 1).map(|lane| hw.vgpr[0][register][lane]));
        }
    }
    match (seen.iter().all(|&bits| bits == FIRST), seen.iter().all(|&bits| bits == SECOND)) {
        (true, _) => Some(false),
        (_, true) => Some(true),
        _ => None,
    }
}

/// A wave with registers and nothing else.
fn alone() -> WaveState {
    WaveState {
        pc: 0,
        scc: false,
        mode: 0,
        unusual: false,
        gws_waits: None,
        row_base: 0,
        vgprs: 16,
        acc_offset: 16,
        agprs: 0,
        lds_base: 0,
        lds_bytes: 0,
        scratch: 0,
        scratch_lane_bytes: 0,
        hw_id: 0,
        message: 0,
        fault: None,
    }
}
