//! Doorbells: a page of words that programs store to. Nobody is told; the GPU's thread looks at the rings anyway.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Doorbells of a process. ROCr indexes them by bits 3 to 12 of their address, so they lie in one 8 KiB window.
pub(crate) const SLOTS: u32 = 1024;

#[repr(C, align(8192))]
struct Window([AtomicU64; SLOTS as usize]);

static WINDOW: OnceLock<Box<Window>> = OnceLock::new();

/// Returns the address of a queue's doorbell, set to "nothing was ever submitted".
pub(crate) fn of(queue: u32) -> u64 {
    let window = WINDOW.get_or_init(|| Box::new(Window([const { AtomicU64::new(!0) }; SLOTS as usize])));
    let word = &window.0[(queue % SLOTS) as usize];
    // The value of a doorbell is the index of the last packet, and the first one has index 0.
    word.store(!0, Ordering::Release);
    std::ptr::from_ref(word).expose_provenance() as u64
}
