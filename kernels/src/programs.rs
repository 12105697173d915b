//! The programs: a file each or a file for a family, with cases and oracles.
//!
//! An oracle is written from what the program promises (the comment at the top of its source), not from the statements
//! below it: where an answer can be had another way (a library sort, Euclid's division, a jump over GF(2)), it is.

pub mod canary;
pub mod fault;
pub mod hold;
pub mod spin;

mod call;
mod empty;
mod flags;
mod floats;
mod groups;
mod histogram;
mod integers;
mod mandelbrot;
mod matmul;
mod matrix_cores;
mod nbody;
mod reduction;
mod runaway;
mod saxpy;
mod scratch;
mod transpose;
mod vector_add;

use crate::{Kernel, Level, Target};

pub(crate) const ALL: &[Kernel] = &[
    vector_add::KERNEL,
    vector_add::QUADS,
    saxpy::KERNEL,
    matmul::KERNEL,
    reduction::KERNEL,
    histogram::KERNEL,
    nbody::KERNEL,
    mandelbrot::KERNEL,
    transpose::KERNEL,
    scratch::KERNEL,
    call::KERNEL,
    flags::KERNEL,
    integers::SHA256,
    integers::DIVIDE,
    integers::WIDE,
    integers::BITS,
    integers::NARROW,
    integers::COLLATZ,
    integers::TABLE,
    integers::VECTOR_INDEX,
    integers::LCS,
    floats::DOUBLES,
    floats::HALVES,
    floats::APPROXIMATE,
    floats::ROUNDING,
    floats::CONVERT,
    floats::FFT,
    floats::STENCIL,
    floats::SPMV,
    matrix_cores::F32,
    matrix_cores::F16,
    matrix_cores::I8,
    matrix_cores::F64,
    groups::SCAN,
    groups::SORT,
    groups::LANES,
    groups::ATOMICS,
    groups::GLOBAL_SYNC,
    groups::GRID3D,
    groups::LIFE,
    spin::KERNEL,
    hold::KERNEL,
    empty::KERNEL,
    canary::KERNEL,
    canary::WRITE_KERNEL,
    canary::SCALARS_KERNEL,
    fault::KERNEL,
    runaway::KERNEL,
];

/// Programs that the collections of other optimisation levels leave out.
pub(crate) const NOT_COLLECTED: [&str; 5] = ["canary", "canary_scalars", "canary_write", "hold", "spin"];

/// Returns the code object that holds all programs, optimised at `level`.
pub(crate) fn corpus(target: Target, level: Level) -> &'static [u8] {
    macro_rules! at {
        ($level:literal) => {
            match target {
                Target::Gfx90a => include_bytes!(concat!("../objects/gfx90a/corpus-", $level, ".co")),
                Target::Gfx942 => include_bytes!(concat!("../objects/gfx942/corpus-", $level, ".co")),
            }
        };
    }
    match level {
        Level::O0 => at!("O0"),
        Level::O1 => at!("O1"),
        // Their own objects are at level 2; this is for level 3.
        Level::O2 | Level::O3 => at!("O3"),
    }
}

/// Declares a program; its source and its objects are found by its name.
macro_rules! kernel {
    ($name:literal, $about:literal, $sizes:expr, $make:expr) => {
        $crate::Kernel {
            name: $name,
            about: $about,
            symbol: concat!($name, ".kd"),
            source: include_str!(concat!("../../src-gpu/", $name, ".cl")),
            sizes: $sizes,
            // In the order of `Target`'s variants.
            objects: [
                include_bytes!(concat!("../../objects/gfx90a/", $name, ".co")),
                include_bytes!(concat!("../../objects/gfx942/", $name, ".co")),
            ],
            make: $make,
        }
    };
}
use kernel;

#[cfg(test)]
mod tests;
