//! A program that tells what it was given beside its arguments, built in every version of code objects that there is a loader for.
//!
//! Promise: of the hidden arguments that clang 19 emits for GFX9, each is read by one of the objects of each version that has it, and [`Told::words`]
//! says which word of a record it is told in. Names are those of the metadata. What the words must hold follows from the launch, so the judge is
//! whoever launches. The addresses of apertures are no hidden arguments here: GFX9 has them in registers.

use crate::Target;

/// The kernel.
pub const KERNEL: &str = "hidden";
/// 64-bit words that each work-group writes.
pub const RECORD_WORDS: usize = 32;
/// The word with the dispatch packet's address.
pub const DISPATCH_PTR: usize = 28;
/// The word with the queue structure's address that version 4 has in registers; later ones have a hidden argument.
pub const QUEUE_PTR: usize = 29;
/// The word with the first dword of dynamic LDS and, in its upper half, the last one.
pub const LDS: usize = 31;

/// One object.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// What it is built for.
    pub target: Target,
    /// Code object version.
    pub version: u32,
    /// The code object.
    pub object: &'static [u8],
    /// Hidden arguments by the word they are told in.
    pub words: &'static [&'static str],
}

impl Told {
    /// Whether each work-group prints its marker, too.
    pub fn prints(&self) -> bool {
        self.words.contains(&"hidden_printf_buffer")
    }
}

const V4: &[&str] = &[
    "hidden_global_offset_x",
    "hidden_global_offset_y",
    "hidden_global_offset_z",
    "hidden_printf_buffer",
    "hidden_default_queue",
    "hidden_completion_action",
    "hidden_multigrid_sync_arg",
];
const V4_HOSTCALL: &[&str] = &[V4[0], V4[1], V4[2], "hidden_hostcall_buffer", V4[4], V4[5], V4[6]];
const V5: &[&str] = &[
    "hidden_block_count_x",
    "hidden_block_count_y",
    "hidden_block_count_z",
    "hidden_group_size_x",
    "hidden_group_size_y",
    "hidden_group_size_z",
    "hidden_remainder_x",
    "hidden_remainder_y",
    "hidden_remainder_z",
    "hidden_global_offset_x",
    "hidden_global_offset_y",
    "hidden_global_offset_z",
    "hidden_grid_dims",
    "hidden_printf_buffer",
    "hidden_hostcall_buffer",
    "hidden_multigrid_sync_arg",
    "hidden_heap_v1",
    "hidden_default_queue",
    "hidden_completion_action",
    "hidden_dynamic_lds_size",
    "hidden_queue_ptr",
];

macro_rules! told {
    ($($target:ident $folder:literal: $($version:literal $name:literal $words:ident)*;)*) => {
        &[$($(Told {
            target: Target::$target,
            version: $version,
            object: include_bytes!(concat!("../objects/abi/", $folder, "-", $name, ".co")),
            words: $words,
        },)*)*]
    };
}

/// Every object.
pub const ALL: &[Told] = told! {
    Gfx90a "gfx90a": 4 "v4" V4 4 "v4-hostcall" V4_HOSTCALL 5 "v5" V5 6 "v6" V5;
    Gfx942 "gfx942": 4 "v4" V4 4 "v4-hostcall" V4_HOSTCALL 5 "v5" V5 6 "v6" V5;
};
