//! Runs untrusted AMDGCN code: code-object loader, decoder, interpreter, AQL packet processor.
#![deny(unsafe_code)]

pub mod aql;
pub mod arch;
pub mod code_object;
pub mod descriptor;
pub mod engine;
mod exec;
pub mod fault;
pub mod hardware;
pub mod isa;
pub mod kernarg;
pub mod memory;

pub use exec::{Tier, Translation};
