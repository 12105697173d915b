//! The declarations, under the names of the C headers.
//!
//! Enumerations are integers with constants, not Rust enums: a library may return, and a client may ask for, values that the
//! header at hand does not list. Fields that devices write are plain integers here; whoever shares them with a device takes
//! their address and uses atomics. Nested unions of integers and pointers of one size are one integer field.
//!
//! What AMD's headers do not describe has only its name here too.
#![allow(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    missing_docs,
    reason = "names and comments are those of the C headers"
)]

pub(crate) mod code;
pub(crate) mod event;
pub(crate) mod image;
pub(crate) mod kernel_code;
pub(crate) mod loader;
pub(crate) mod memory;
pub(crate) mod queue;
pub(crate) mod signal;
pub(crate) mod status;
pub(crate) mod system;

pub use code::*;
pub use event::*;
pub use image::*;
pub use kernel_code::*;
pub use loader::*;
pub use memory::*;
pub use queue::*;
pub use signal::*;
pub use status::*;
pub use system::*;
