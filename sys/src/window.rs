//! A place of an arena in which parts of several memory objects can be seen, each for as long as it is wanted there.
//!
//! Promises:
//! - outside of what is [shown](Window::show) every address is unreachable, before, in between and after;
//! - nothing outside of the window is ever replaced, whatever the arguments;
//! - the place returns to its arena when the window is dropped, and only then.
//!
//! Left to the caller: who may look when. What is shown in the place of something else replaces it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use crate::arena::ArenaRange;
use crate::error::During;
use crate::mapping::{Access, OutOfBounds};
use crate::memfd::{MemFd, MemoryError};

/// See the module.
#[derive(Debug)]
pub struct Window {
    /// `None` only while dropping.
    range: Option<ArenaRange>,
    /// Something was shown in it once, so that it has to be made unreachable in the end.
    used: AtomicBool,
    /// Held while the view changes.
    changing: Mutex<()>,
}

/// Why a part is not shown or hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not whole pages inside of the window, or of the object.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
    /// The kernel refused.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl Window {
    /// Makes a window of a place: empty.
    #[must_use]
    pub fn new(range: ArenaRange) -> Self {
        Self { range: Some(range), used: AtomicBool::new(false), changing: Mutex::new(()) }
    }

    fn range(&self) -> &ArenaRange {
        // PANIC: taken in `drop` only.
        self.range.as_ref().expect("a window has its place until it is dropped")
    }

    /// Returns the address of its first byte in this process.
    #[must_use]
    pub fn address(&self) -> usize {
        self.range().address()
    }

    /// Returns its length in bytes, a positive multiple of the page size.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range().len()
    }

    /// Returns whether it has no bytes. Never the case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Shows `bytes` from `offset` of an object at `at`, an offset in the window, in the place of what was seen there.
    pub fn show(
        &self,
        memory: &MemFd,
        offset: usize,
        bytes: usize,
        at: usize,
        access: Access,
    ) -> Result<(), WindowError> {
        self.check(at, bytes)?;
        let inside = offset.checked_add(bytes).is_some_and(|end| end <= memory.bytes());
        if !inside || !offset.is_multiple_of(crate::page_size()) {
            return Err(OutOfBounds.into());
        }
        let protection = match access {
            Access::ReadOnly => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        let place = self.range().pointer().as_ptr().wrapping_add(at).cast();
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        let _changing = self.changing.lock();
        self.used.store(true, Ordering::Relaxed);
        // SAFETY: `at` and `bytes` were checked against our own place of a reservation, and no reference into it exists.
        let mapped = unsafe { rustix::mm::mmap(place, bytes, protection, flags, memory, offset as u64) };
        Ok(mapped.map(drop).during("mmap", "show a part of a memory object").map_err(MemoryError::from)?)
    }

    /// Makes `bytes` at `at`, an offset in the window, unreachable.
    pub fn hide(&self, at: usize, bytes: usize) -> Result<(), WindowError> {
        self.check(at, bytes)?;
        let place = self.range().pointer().as_ptr().wrapping_add(at).cast();
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        let _changing = self.changing.lock();
        // SAFETY: as in `show`.
        let covered = unsafe { rustix::mm::mmap_anonymous(place, bytes, ProtFlags::empty(), flags) };
        Ok(covered.map(drop).during("mmap", "hide a part of a window").map_err(MemoryError::from)?)
    }

    fn check(&self, at: usize, bytes: usize) -> Result<(), OutOfBounds> {
        let page = crate::page_size();
        let inside = at.checked_add(bytes).is_some_and(|end| end <= self.len());
        let whole = at.is_multiple_of(page) && bytes.is_multiple_of(page) && bytes > 0;
        if inside && whole { Ok(()) } else { Err(OutOfBounds) }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(range) = self.range.take()
            && *self.used.get_mut()
        {
            range.release_mapping();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::mapping::Mapping;

    const PAGE: usize = 4096;

    /// Returns the protection column of /proc/self/maps for an address.
    fn protection_of(address: usize) -> Option<String> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().find_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            let parse = |hex| usize::from_str_radix(hex, 16).unwrap();
            (parse(start)..parse(end)).contains(&address).then(|| rest[..4].to_owned())
        })
    }

    #[test]
    fn only_what_is_shown_can_be_reached_and_the_place_goes_back() {
        let arena = Arena::reserve(1 << 20).unwrap();
        let object = MemFd::create("test", 4 * PAGE).unwrap();
        let other = Mapping::new(&object, Access::ReadWrite).unwrap();
        other.store_u64(2 * PAGE, 0x1234).unwrap();
        let window = Window::new(arena.allocate(8 * PAGE, PAGE).unwrap());
        let at = |page: usize| protection_of(window.address() + page * PAGE).unwrap();
        assert_eq!([0, 4, 7].map(at), ["---p"; 3]);
        window.show(&object, PAGE, 2 * PAGE, 3 * PAGE, Access::ReadWrite).unwrap();
        window.show(&object, 0, PAGE, 6 * PAGE, Access::ReadOnly).unwrap();
        assert_eq!([2, 3, 4, 5, 6, 7].map(at), ["---p", "rw-s", "rw-s", "---p", "r--s", "---p"]);
        let seen = std::ptr::with_exposed_provenance::<u64>(window.address() + 4 * PAGE);
        // SAFETY: shown two lines ago, and nobody else writes.
        assert_eq!(unsafe { seen.read_volatile() }, 0x1234);
        window.show(&object, 0, PAGE, 3 * PAGE, Access::ReadOnly).unwrap();
        window.hide(4 * PAGE, PAGE).unwrap();
        assert_eq!([3, 4, 6].map(at), ["r--s", "---p", "r--s"]);
        let address = window.address();
        assert_eq!(arena.free_bytes(), (1 << 20) - 8 * PAGE);
        drop(window);
        assert_eq!(protection_of(address + 3 * PAGE).as_deref(), Some("---p"));
        assert_eq!(arena.free_bytes(), 1 << 20);
    }

    #[test]
    fn nothing_outside_is_replaced() {
        let arena = Arena::reserve(1 << 20).unwrap();
        let object = MemFd::create("test", 2 * PAGE).unwrap();
        let window = Window::new(arena.allocate(4 * PAGE, PAGE).unwrap());
        let bounds = Err(WindowError::Bounds(OutOfBounds));
        for (offset, bytes, at) in [
            (0, PAGE, 4 * PAGE),
            (0, 2 * PAGE, 3 * PAGE),
            (0, 0, 0),
            (0, 1, 0),
            (0, PAGE, 1),
            (1, PAGE, 0),
            (PAGE, 2 * PAGE, 0),
            (2 * PAGE, PAGE, 0),
            (usize::MAX - PAGE + 1, PAGE, 0),
            (0, PAGE, usize::MAX - PAGE + 1),
        ] {
            assert_eq!(window.show(&object, offset, bytes, at, Access::ReadOnly), bounds, "{offset} {bytes} {at}");
        }
        assert_eq!(window.hide(3 * PAGE, 2 * PAGE), bounds);
    }
}
