//! Raw declarations of the HSA runtime, a function table opened at run time, and a thin safe layer over it.
//!
//! Law of this room: unsafe code may live here, each block with its reason. It declares what AMD's headers declare and
//! nothing more: no policy, no state of ours. Every layout is tested against the C headers; the library is opened by name at run
//! time, so that a machine without ROCm runs everything else. The room knows no other room.
//!
//! | module | subject |
//! |---|---|
//! | [`raw`] | types and constants, named as in the C headers |
//! | [`layout`] | the same as data, which a test compares with the headers of several releases |
//! | [`table`] | AMD's library, opened at run time |
//! | [`runtime`] | a thin safe layer: agents, memory, code, queues, signals, faults |
//!
//! ```no_run
//! use hsa_sys::runtime::Runtime;
//! use hsa_sys::table::Library;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::start(Library::find()?)?;
//! for gpu in runtime.gpus()? {
//!     let facts = gpu.facts()?;
//!     println!("{}: {} compute units", facts.name, facts.compute_units);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Who may use it: `capi`, for the types that it exports, and the root's `rocr` device, for AMD's own runtime.

mod declare;
pub mod layout;
pub mod raw;
pub mod runtime;
pub mod table;
