//! The programs: one file each, with its cases and its oracle.
//!
//! An oracle is written from what the program promises (the comment at the top of its source), not from the statements
//! below it: where an answer can be had another way (a library sort, Euclid's division, a jump over GF(2)), it is.

pub mod canary;
pub mod fault;
pub mod spin;

mod call;
mod empty;
mod flags;
mod histogram;
mod mandelbrot;
mod matmul;
mod nbody;
mod reduction;
mod runaway;
mod saxpy;
mod scratch;
mod transpose;
mod vector_add;

use crate::Kernel;

pub(crate) const ALL: &[Kernel] = &[
    vector_add::KERNEL,
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
    spin::KERNEL,
    empty::KERNEL,
    canary::KERNEL,
    canary::WRITE_KERNEL,
    fault::KERNEL,
    runaway::KERNEL,
];

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
