//! GPU programs as source, as built code objects and with a CPU oracle for each.
//!
//! Promise: whatever is in [`all`] can be run and judged. Every program comes with OpenCL C source, a code object
//! (version 5, freestanding, no device library) for each [`Target`], and an oracle that computes on the CPU, without looking
//! at the device, what the program must leave in memory. No oracle, no entry.
//!
//! This crate runs nothing and knows no device. A caller asks for a [`Case`], places its buffers wherever it likes, lays
//! out the explicit arguments with [`Case::explicit_arguments`], runs the code object by whatever means, and gives the
//! bytes back to [`Case::check`].
//!
//! Results are exact to the bit wherever the order of operations is fixed and every one of them is IEEE 754. Only `nbody`
//! has a tolerance, because `v_rsq_f32` is specified to 1 ULP and no closer; its bound is derived where it is computed.
//!
//! Two are apart: [`scrub`], a program for every processor, that clears what others left, with `canary` for a judge; and [`abi`], which tells what
//! it was given, in every version of code objects.
//!
//! The committed objects are what `cargo xtask kernels` builds from `src-gpu/`; CI compares the bytes.

#![forbid(unsafe_code)]

pub mod abi;
mod case;
mod check;
mod programs;
mod random;
pub mod scrub;
mod target;

use std::fmt;

pub use case::{Arg, Buffer, Case, Element, Ending, Role, Work, WorkUnit, explicit_arguments};
pub use check::{Mismatch, Value};
pub use programs::{canary, fault, hold, spin};
pub use target::{Level, Target, UnknownTarget};

/// A GPU program: its source, its code objects, and how to make runs of it that can be checked.
pub struct Kernel {
    /// The name of the program, of its source file and of the function in it.
    pub name: &'static str,
    /// One line on what it computes and what of a device it exercises.
    pub about: &'static str,
    /// The name of its kernel descriptor in the code object's symbol table.
    pub symbol: &'static str,
    /// Its OpenCL C source, without the shared headers.
    pub source: &'static str,
    /// What its size counts, and which sizes make sense.
    pub sizes: Sizes,
    objects: [&'static [u8]; Target::ALL.len()],
    make: fn(size: u32, seed: u64) -> Case,
}

/// What the size of a case counts and which sizes make sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// What is counted, in the plural: `elements`, `work-groups`.
    pub unit: &'static str,
    /// For a test: small, and awkward where that is possible (partial work-groups, ragged edges).
    pub small: u32,
    /// For a person who names none: some milliseconds on a software device.
    pub default: u32,
    /// The largest size for which the program's 32-bit indices and a few GiB of memory suffice.
    pub max: u32,
}

impl Kernel {
    /// Returns the code object (an ELF shared object) for `target`.
    pub const fn code_object(&self, target: Target) -> &'static [u8] {
        self.objects[target as usize]
    }

    /// Returns a code object for `target` in which the program was optimised at `level`; others may be in it too. `None` where the
    /// program cannot be compiled so: its assembly needs registers that unoptimised code does not give it.
    pub fn code_object_at(&self, target: Target, level: Level) -> Option<&'static [u8]> {
        match level {
            Level::O2 => Some(self.code_object(target)),
            _ if programs::NOT_COLLECTED.contains(&self.name) => None,
            _ => Some(programs::corpus(target, level)),
        }
    }

    /// Whether it judges what others left on the compute units, so that it passes only on clean ones.
    pub fn wants_clean_units(&self) -> bool {
        ["canary", "canary_scalars"].contains(&self.name)
    }

    /// Makes a run of `size` (see [`Kernel::sizes`]) with data decided by `seed`.
    pub fn case(&self, size: u32, seed: u64) -> Result<Case, SizeOutOfRange> {
        if size == 0 || size > self.sizes.max {
            return Err(SizeOutOfRange { kernel: self.name, size, max: self.sizes.max, unit: self.sizes.unit });
        }
        Ok((self.make)(size, seed))
    }

    /// Makes a run of the default size.
    pub fn default_case(&self, seed: u64) -> Case {
        (self.make)(self.sizes.default, seed)
    }

    /// Makes a run of the small size, for tests.
    pub fn small_case(&self, seed: u64) -> Case {
        (self.make)(self.sizes.small, seed)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("name", &self.name).field("sizes", &self.sizes).finish_non_exhaustive()
    }
}

/// Nobody can run a program at this size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeOutOfRange {
    /// The program.
    pub kernel: &'static str,
    /// What was asked for.
    pub size: u32,
    /// The largest size; the smallest is 1.
    pub max: u32,
    /// What the size counts.
    pub unit: &'static str,
}

impl fmt::Display for SizeOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, size, max, unit } = self;
        write!(f, "{kernel} cannot run with {size} {unit}; its sizes go from 1 to {max}")
    }
}

impl std::error::Error for SizeOutOfRange {}

/// Returns every program, from the simple ones to the tools for tests.
pub fn all() -> &'static [Kernel] {
    programs::ALL
}

/// Returns the program of this name.
pub fn find(name: &str) -> Option<&'static Kernel> {
    all().iter().find(|kernel| kernel.name == name)
}
