//! Executes instructions: operands, handlers, and the choice of the host's vector instructions.
//!
//! Every row of the instruction table becomes a function, compiled for any x86-64 (or other) host, for hosts with AVX2 and FMA, and for those with
//! AVX-512. [`Tier`] is the table of those functions that suits the machine at hand. The method named in a row is written once, in safe
//! Rust over arrays of lanes, and is inlined into all of them.

pub(crate) mod atomic;
mod control;
pub(crate) mod cx;
mod direct;
mod division;
mod float8;
pub(crate) mod gws;
mod half;
pub(crate) mod inst;
mod lane;
mod lds;
mod matrix;
mod memory;
pub(crate) mod mode;
pub(crate) mod modified;
mod numeric;
#[cfg_attr(not(target_arch = "x86_64"), path = "run/elsewhere.rs")]
pub(crate) mod run;
mod saturate;
mod scalar;
mod soft;
#[cfg(test)]
mod tests;
mod tier;
mod vector;

pub use run::Translation;
pub use tier::Tier;
