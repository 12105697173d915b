//! Every declaration of this crate as data: names, values, sizes, offsets.
//!
//! `tests/headers.rs` writes a C program from these tables, compiles it with the C headers of an installed release and compares
//! what it prints. They are public so that a binding in another language, or a trace decoder, can be checked the same way.

use crate::raw;

/// A constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constant {
    /// Name, in C and here.
    pub name: &'static str,
    /// Value.
    pub value: i64,
    /// Bytes of its type here. C's enumerators may be wider or signed: compare this many bytes.
    pub bytes: usize,
    /// Minor version of AMD's interface that brought it.
    pub since: u32,
}

/// A struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Name, in C and here.
    pub name: &'static str,
    /// Size in bytes.
    pub bytes: usize,
    /// Alignment in bytes.
    pub align: usize,
    /// Name in C, offset and size in bytes, and minor version of AMD's interface of every field.
    pub fields: &'static [(&'static str, usize, usize, u32)],
    /// Minor version of AMD's interface that brought it.
    pub since: u32,
}

/// Returns every constant.
pub fn constants() -> impl Iterator<Item = &'static Constant> {
    use raw::{code, event, image, kernel_code, loader, memory, queue, signal, status, system};
    [
        status::CONSTANTS,
        system::CONSTANTS,
        signal::CONSTANTS,
        queue::CONSTANTS,
        memory::CONSTANTS,
        code::CONSTANTS,
        loader::CONSTANTS,
        kernel_code::CONSTANTS,
        event::CONSTANTS,
        image::CONSTANTS,
    ]
    .into_iter()
    .flatten()
}

/// Returns every struct.
pub fn records() -> impl Iterator<Item = &'static Record> {
    use raw::{code, event, image, kernel_code, loader, memory, queue, signal, system};
    [
        system::HANDLES,
        system::RECORDS,
        signal::HANDLES,
        signal::RECORDS,
        queue::RECORDS,
        memory::HANDLES,
        memory::RECORDS,
        code::HANDLES,
        loader::RECORDS,
        kernel_code::RECORDS,
        event::RECORDS,
        image::HANDLES,
        image::RECORDS,
    ]
    .into_iter()
    .flatten()
}
