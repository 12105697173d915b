//! The compute units' storage: register files and LDS.
//!
//! This is the *hardware*: it belongs to a partition of the device, not to a session. Whoever holds the lease runs on it, and what
//! was not scrubbed is there for the next to see, as on silicon (LeftoverLocals, CVE-2023-4969). The layout is plain bytes, so
//! that a caller can put it into memory that several worker processes map in turn.
//!
//! Sizes are those the Linux driver uses for gfx90a and gfx942 save areas: 512 KiB of VGPRs, 16 KiB of SGPRs and 64 KiB of LDS a
//! compute unit (`libhsakmt`, `queues.c`).

use crate::arch::LANES;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// One VGPR: a 32-bit word for each lane.
pub type Row = [u32; LANES];

/// SIMD units of a compute unit.
pub const SIMDS: usize = 4;
/// VGPR rows of a SIMD: 512, shared by its resident waves.
pub const SIMD_ROWS: usize = 512;
/// Wave slots of a compute unit (8 a SIMD).
pub const WAVE_SLOTS: usize = 32;
/// Scalar registers of a wave slot: every code a scalar operand can name, VCC, M0 and EXEC included.
pub const SLOT_SGPRS: usize = 128;
/// Bytes of LDS of a compute unit.
pub const LDS_BYTES: usize = 64 * 1024;

/// Rows behind the registers of a SIMD in which an instruction lays out operands that are not plain registers. Their contents mean nothing from
/// one instruction to the next; they are part of the hardware because what is left in them could be seen like anything else.
pub const OPERAND_ROWS: usize = 32;

/// The register file of one SIMD: registers, then operand rows.
pub type SimdFile = [Row; SIMD_ROWS + OPERAND_ROWS];
/// The scalar registers of one wave slot.
pub type ScalarFile = [u32; SLOT_SGPRS];

/// How far a compute unit was used since it was last clean.
///
/// A scrub that always cleared the whole unit cost 10 us each, and most of it cleared what nobody had written: a switch then took longer than
/// a short kernel. Part of the hardware, because who scrubs is another session than who used it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Used {
    /// By SIMD: rows below this one may be dirty, and if there are any, the operand rows.
    rows: [u32; SIMDS],
    /// Wave slots whose scalar registers may be dirty, a bit each.
    slots: u32,
    /// LDS bytes below this one may be dirty.
    lds: u32,
    /// Rounds the storage up to whole rows.
    unused: [u32; 58],
}

const _: () = assert!(WAVE_SLOTS == 32, "the wave slots are one u32");
const _: () = assert!(size_of::<Used>() == size_of::<Row>());

/// The storage of one compute unit: 624 KiB of plain bytes. Aligned to a cache line, so that no vector of a row lies across two.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct CuHardware {
    /// Vector registers by SIMD.
    pub vgpr: [SimdFile; SIMDS],
    /// Scalar registers by wave slot.
    pub sgpr: [ScalarFile; WAVE_SLOTS],
    /// Local data share.
    pub lds: [u8; LDS_BYTES],
    used: Used,
}

impl CuHardware {
    /// Returns `count` compute units on the heap, as the power-on state leaves them: zero.
    ///
    /// # Panics
    /// When the host is out of memory.
    pub fn power_on(count: usize) -> Box<[CuHardware]> {
        // PANIC: only an allocation failure, which ends a Rust program anyway.
        <[CuHardware]>::new_box_zeroed_with_elems(count).expect("memory for the compute units")
    }

    /// Notes that a wave will use its slot, the rows of a SIMD below `row_end` and the LDS bytes below `lds_end`.
    ///
    /// Whoever lets a wave run calls this first: a worker that is killed in mid-air leaves marks that cover what it wrote.
    pub(crate) fn use_up_to(&mut self, simd: usize, row_end: usize, slot: usize, lds_end: u32) {
        let rows = &mut self.used.rows[simd % SIMDS];
        *rows = (*rows).max(row_end as u32);
        self.used.slots |= 1 << (slot % WAVE_SLOTS);
        self.used.lds = self.used.lds.max(lds_end);
    }

    /// Clears everything a wave could have left behind: what was used since the last scrub.
    pub fn scrub(&mut self) {
        let used = std::mem::replace(&mut self.used, Used::new_zeroed());
        for (file, rows) in self.vgpr.iter_mut().zip(used.rows) {
            if rows > 0 {
                let (registers, operands) = file.split_at_mut(SIMD_ROWS);
                registers[..SIMD_ROWS.min(rows as usize)].as_mut_bytes().fill(0);
                operands.as_mut_bytes().fill(0);
            }
        }
        for (slot, registers) in self.sgpr.iter_mut().enumerate() {
            if used.slots & 1 << slot != 0 {
                registers.fill(0);
            }
        }
        self.lds[..LDS_BYTES.min(used.lds as usize)].fill(0);
    }
}
