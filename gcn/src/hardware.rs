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

/// The storage of one compute unit: 624 KiB of plain bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CuHardware {
    /// Vector registers by SIMD.
    pub vgpr: [SimdFile; SIMDS],
    /// Scalar registers by wave slot.
    pub sgpr: [ScalarFile; WAVE_SLOTS],
    /// Local data share.
    pub lds: [u8; LDS_BYTES],
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

    /// Clears everything a wave could have left behind.
    pub fn scrub(&mut self) {
        self.as_mut_bytes().fill(0);
    }
}
