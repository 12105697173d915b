//! Memory that is ours alone for the time being, as `&mut [T]`.
//!
//! A software GPU's register files and LDS are one piece of hardware that several worker processes use in turn: a shared
//! memory object, but never used by two at once. Going through [`Mapping`](crate::mapping::Mapping) would cost a check
//! per register; a slice costs nothing.
//!
//! Promises:
//! - contents are whatever the last user left (that is the point: what is not scrubbed can be seen);
//! - [`HardwareMemory::hold`] gives the slice for one turn. At its beginning and end the compiler forgets all it knows about
//!   the bytes, so nothing is carried from one turn into the next or kept back from it.
//!
//! What a slice onto shared memory rests on: see [`Exclusive`].

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags};
use zerocopy::{FromBytes, IntoBytes};

use crate::error::During;
use crate::mapping::{map_anonymous, unmap};
use crate::memfd::{MemFd, MemoryError};
use crate::touch;

/// The reason why nobody else touches a memory object while we hold it.
///
/// Rust assumes that bytes behind `&mut [T]` change only through it. The compiler cannot check that for shared memory, so
/// the caller states the protocol that makes it so: *every* process that maps the object is ours, and each touches
/// it only between being granted the turn and giving it back, over a channel that orders memory (a lock, a futex word, a
/// socket). No tenant may ever have the descriptor. A process of ours that breaks the protocol, for example one that was taken
/// over by its tenant, can change values under the holder; since every bit pattern of `T` is a value, that makes wrong
/// numbers and not invalid ones, but it is outside what Rust defines. That risk is accepted here, in the open.
#[derive(Debug, Clone, Copy)]
pub struct Exclusive {
    because: &'static str,
}

impl Exclusive {
    /// States the protocol in words, for the reader and for debug output.
    #[must_use]
    pub const fn because(protocol: &'static str) -> Self {
        Self { because: protocol }
    }
}

/// An array of `T` in memory mapped until dropped.
#[derive(Debug)]
pub struct HardwareMemory<T> {
    base: NonNull<T>,
    mapped_bytes: usize,
    exclusive: Exclusive,
    values: PhantomData<T>,
}

// SAFETY: owns its range like a boxed slice of plain values.
unsafe impl<T: Send> Send for HardwareMemory<T> {}
// SAFETY: sharing gives out no access at all; the slice needs `&mut self`.
unsafe impl<T: Sync> Sync for HardwareMemory<T> {}

impl<T: FromBytes + IntoBytes> HardwareMemory<T> {
    /// Maps a whole memory object as values of `T`.
    ///
    /// `exclusive` states why nobody else touches it while [`HardwareMemory::hold`] is in use.
    pub fn shared(memory: &MemFd, exclusive: Exclusive) -> Result<Self, MemoryError> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: no fixed address, so no mapping of ours is replaced.
        let base =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), memory.bytes(), protection, MapFlags::SHARED, memory, 0) };
        Ok(Self::over(base.during("mmap", "map the hardware's memory")?, memory.bytes(), exclusive))
    }

    /// Maps fresh zeroed memory of this process for at least `len` values.
    pub fn anonymous(len: usize) -> Result<Self, MemoryError> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(MemoryError::ImpossibleSize { bytes: u64::MAX })?;
        let (base, bytes) = map_anonymous(bytes)?;
        Ok(Self::over(base, bytes, Exclusive::because("private to this process")))
    }

    fn over(base: *mut std::ffi::c_void, mapped_bytes: usize, exclusive: Exclusive) -> Self {
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= 4096, "a value of hardware memory") };
        // PANIC: mmap never returns null without a fixed address of zero.
        let base = NonNull::new(base.cast()).expect("mmap returned null");
        Self { base, mapped_bytes, exclusive, values: PhantomData }
    }

    /// Returns how many whole values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.mapped_bytes / size_of::<T>()
    }

    /// Returns whether not a single value fits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the protocol that keeps others out, in words.
    #[must_use]
    pub fn exclusive_because(&self) -> &'static str {
        self.exclusive.because
    }

    /// Takes the memory for one turn: call it when the turn was granted, drop it before giving the turn back.
    #[inline]
    pub fn hold(&mut self) -> Held<'_, T> {
        touch::forget_contents(self.base.as_ptr().cast());
        // SAFETY: `len` whole values fit the mapping, a page start satisfies the alignment, any bytes are a valid `T`, we
        // hold `&mut self`, and `exclusive` is why no other process writes meanwhile.
        let values = unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len()) };
        Held { values }
    }
}

impl<T> Drop for HardwareMemory<T> {
    fn drop(&mut self) {
        unmap(self.base.as_ptr().cast(), self.mapped_bytes);
    }
}

/// The values, for one turn.
#[derive(Debug)]
pub struct Held<'a, T> {
    values: &'a mut [T],
}

impl<T> Deref for Held<'_, T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        self.values
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.values
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        touch::forget_contents(self.values.as_mut_ptr().cast());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURNS: Exclusive = Exclusive::because("the test takes turns");

    #[test]
    fn the_next_turn_sees_what_the_last_one_left() {
        let memory = MemFd::create("test", 8192).unwrap();
        let mut first = HardwareMemory::<u32>::shared(&memory, TURNS).unwrap();
        let mut second = HardwareMemory::<u32>::shared(&memory, TURNS).unwrap();
        assert_eq!((first.len(), first.exclusive_because()), (2048, "the test takes turns"));
        for turn in 0..1000u32 {
            {
                let mut held = first.hold();
                assert_eq!(held[7], turn);
                held[7] = turn * 2;
            }
            let mut held = second.hold();
            assert_eq!(held[7], turn * 2);
            held[7] = turn + 1;
        }
        memory.discard().unwrap();
        assert!(first.hold().iter().all(|&v| v == 0));
    }

    #[test]
    fn anonymous_memory_starts_as_zeroes_and_moves_between_threads() {
        let mut memory = HardwareMemory::<[u32; 64]>::anonymous(100).unwrap();
        assert!(memory.len() >= 100 && memory.hold().iter().flatten().all(|&v| v == 0));
        memory.hold()[99][63] = 5;
        let value = std::thread::spawn(move || memory.hold()[99][63]).join().unwrap();
        assert_eq!(value, 5);
        assert!(HardwareMemory::<u64>::anonymous(usize::MAX / 4).is_err());
        assert!(HardwareMemory::<u64>::anonymous(0).is_err());
    }
}
