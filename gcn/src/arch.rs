//! The two architectures and the constants of their hardware that programs can see.
//!
//! Sources: LLVM "User Guide for AMDGPU Backend" (machine codes, apertures, allocation granules), AMD "Instinct MI200" and
//! "Instinct MI300" ISA documents.

use core::fmt;

/// Lanes of a wave. gfx9 has no other wave size.
pub const LANES: usize = 64;

/// A GPU architecture this crate runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// CDNA 2 (Instinct MI210, MI250).
    Gfx90a,
    /// CDNA 3 (Instinct MI300).
    Gfx942,
}

impl Arch {
    /// Every architecture, oldest first.
    pub const ALL: [Arch; 2] = [Arch::Gfx90a, Arch::Gfx942];

    /// Returns the LLVM processor name, as in `-mcpu=`.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::Gfx90a => "gfx90a",
            Arch::Gfx942 => "gfx942",
        }
    }

    /// Returns the architecture with this LLVM processor name.
    pub fn from_name(name: &str) -> Option<Arch> {
        Arch::ALL.into_iter().find(|a| a.name() == name)
    }

    /// Returns the architecture of an `EF_AMDGPU_MACH` value (the low byte of the ELF header's `e_flags`).
    pub const fn from_mach(mach: u32) -> Option<Arch> {
        match mach {
            0x03f => Some(Arch::Gfx90a),
            0x04c => Some(Arch::Gfx942),
            _ => None,
        }
    }

    /// Whether `flat_scratch` is set up by hardware rather than by the kernel's prologue.
    pub const fn has_architected_flat_scratch(self) -> bool {
        matches!(self, Arch::Gfx942)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// High 32 bits of a flat address that means LDS (the gfx9 driver's value).
pub const SHARED_APERTURE_HI: u32 = 0x0001_0000;
/// High 32 bits of a flat address that means private memory (the gfx9 driver's value).
pub const PRIVATE_APERTURE_HI: u32 = 0x0002_0000;
