//! A memory object in our address space, shared with others who write to it whenever they like.
//!
//! Promises:
//! - every access is checked against the size of the mapping and answers [`OutOfBounds`] instead of faulting; nothing
//!   here panics, and no `&[u8]` or `&T` onto the bytes ever comes out. The one exception is the atomics, made for
//!   words that several parties change at the same time;
//! - each call touches each byte once. What was read is a private copy: check the copy, use the copy;
//! - values of 1, 2, 4, 8 bytes at multiples of their size do not tear, also inside copies below 1 KiB;
//! - a read-only mapping answers every attempt to write with [`OutOfBounds`].
//!
//! Left to the caller: order. Plain accesses are ordered by nothing; a ring's header or index is an atomic.

use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::arena::ArenaRange;
use crate::error::{CallFailed, During};
use crate::memfd::{MemFd, MemoryError};
use crate::touch;

/// An access outside the mapping, or a write to a read-only one. Carries nothing, so that checking costs a compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("access outside the mapped memory, or a write to read-only memory; check offset and length against its size")]
pub struct OutOfBounds;

/// What a mapping may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Loads only: neither accessors nor atomics write.
    ReadOnly,
    /// Loads and stores.
    ReadWrite,
}

impl Access {
    fn protection(self) -> ProtFlags {
        match self {
            Self::ReadOnly => ProtFlags::READ,
            Self::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        }
    }
}

/// What becomes of the addresses when the mapping goes.
#[derive(Debug)]
enum Place {
    /// The kernel (or a free address) gave us the range: unmap it.
    Own,
    /// The range belongs to an arena: make it unreachable again and hand it back. `None` only while dropping.
    Arena(Option<ArenaRange>),
}

/// One whole memory object, mapped until dropped.
pub struct Mapping {
    base: NonNull<u8>,
    /// How many bytes may be read.
    len: usize,
    /// How many bytes may be written: `len` or 0, so that the right to write costs no extra check.
    writable: usize,
    place: Place,
    /// Memory of this process alone, which the kernel clears by another call than a shared object.
    private: bool,
}

// SAFETY: the range stays mapped until drop, which needs ownership; all access goes through assembly or atomics, which
// are indifferent to the thread that runs them.
unsafe impl Send for Mapping {}
// SAFETY: as above; no method hands out a reference to the bytes but for atomics.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the whole object where the kernel sees fit.
    pub fn new(memory: &MemFd, access: Access) -> Result<Self, MemoryError> {
        // SAFETY: no fixed address, so no mapping of ours is replaced.
        let at = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), memory.bytes(), access.protection(), MapFlags::SHARED, memory, 0)
        };
        let at = at.during("mmap", "map a memory object")?;
        Ok(Self::own(at, memory.bytes(), access, false))
    }

    /// Maps the whole object at `address`, or fails with [`MemoryError::AddressTaken`] if anything is there already.
    ///
    /// For addresses that a driver chose and that must mean the same here. Never replaces a mapping.
    pub fn at_address(memory: &MemFd, access: Access, address: usize) -> Result<Self, MemoryError> {
        let wanted = std::ptr::without_provenance_mut(address);
        let flags = MapFlags::SHARED | MapFlags::FIXED_NOREPLACE;
        // SAFETY: MAP_FIXED_NOREPLACE leaves existing mappings alone.
        let at = unsafe { rustix::mm::mmap(wanted, memory.bytes(), access.protection(), flags, memory, 0) };
        let mapping = match at {
            Ok(at) => Self::own(at, memory.bytes(), access, false),
            Err(Errno::EXIST) => return Err(MemoryError::AddressTaken { address }),
            Err(errno) => {
                return Err(CallFailed { purpose: "map a memory object at its address", call: "mmap", errno }.into());
            }
        };
        // A kernel before 4.17 takes the flag for a hint; then the mapping goes again.
        if mapping.address() == address { Ok(mapping) } else { Err(MemoryError::AddressTaken { address }) }
    }

    /// Maps fresh zeroed memory of this process alone, at least `bytes` rounded up to pages.
    ///
    /// Pages appear when first touched. For a device that lives inside one process.
    pub fn anonymous(bytes: usize) -> Result<Self, MemoryError> {
        let at = map_anonymous(bytes)?;
        Ok(Self::own(at.0, at.1, Access::ReadWrite, true))
    }

    /// Maps the whole object into a place of an arena; the place returns to the arena when the mapping is dropped.
    pub fn in_arena(memory: &MemFd, access: Access, range: ArenaRange) -> Result<Self, MemoryError> {
        if memory.bytes() != range.len() {
            return Err(MemoryError::WrongPlace { object: memory.bytes(), place: range.len() });
        }
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        let at = range.pointer().as_ptr().cast();
        // SAFETY: the range lies inside a reservation we own and is allocated to nobody else, so what is replaced is our
        // own unreachable placeholder.
        let at = unsafe { rustix::mm::mmap(at, memory.bytes(), access.protection(), flags, memory, 0) };
        let at = at.during("mmap", "map a memory object into an arena")?;
        let mut mapping = Self::own(at, memory.bytes(), access, false);
        mapping.place = Place::Arena(Some(range));
        Ok(mapping)
    }

    fn own(at: *mut std::ffi::c_void, len: usize, access: Access, private: bool) -> Self {
        // PANIC: mmap never returns null without a fixed address of zero, and the kernel refuses that one to all but root
        // with vm.mmap_min_addr at zero.
        let base = NonNull::new(at.cast()).expect("mmap returned null");
        let writable = if access == Access::ReadWrite { len } else { 0 };
        Self { base, len, writable, place: Place::Own, private }
    }

    /// Returns the size in bytes.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes at all. Never the case: the kernel maps nothing of size zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the virtual address of the first byte in this process.
    #[inline]
    #[must_use]
    pub fn address(&self) -> usize {
        self.base.as_ptr().addr()
    }

    /// Returns whether stores are allowed.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable != 0
    }

    /// Returns a pointer to `len` readable bytes at `offset`.
    #[inline(always)]
    fn readable(&self, offset: usize, len: usize) -> Result<*mut u8, OutOfBounds> {
        // `len` first: the subtraction cannot wrap, so no pair of numbers slips through.
        if len <= self.len && offset <= self.len - len {
            Ok(self.base.as_ptr().wrapping_add(offset))
        } else {
            Err(OutOfBounds)
        }
    }

    /// Returns a pointer to `len` writable bytes at `offset`.
    #[inline(always)]
    fn writable(&self, offset: usize, len: usize) -> Result<*mut u8, OutOfBounds> {
        if len <= self.writable && offset <= self.writable - len {
            Ok(self.base.as_ptr().wrapping_add(offset))
        } else {
            Err(OutOfBounds)
        }
    }

    /// Copies the bytes at `offset` into `into`.
    #[inline]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), OutOfBounds> {
        let from = self.readable(offset, into.len())?;
        // SAFETY: `from` has been checked for `into.len()` bytes; `into` is private memory, so they do not overlap.
        unsafe { touch::copy(into.as_mut_ptr(), from, into.len()) };
        Ok(())
    }

    /// Asks the processor for the bytes at `offset`, as far as there are any: they will be accessed soon. Changes nothing but how long that takes.
    #[inline]
    pub fn expect(&self, offset: usize, len: usize) {
        const LINE: usize = 64;
        let end = offset.saturating_add(len).min(self.len);
        for at in (offset..end).step_by(LINE) {
            touch::expect(self.base.as_ptr().wrapping_add(at));
        }
    }

    /// Copies `from` to the bytes at `offset`.
    #[inline]
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfBounds> {
        let to = self.writable(offset, from.len())?;
        // SAFETY: `to` has been checked for `from.len()` bytes; `from` is private memory, so they do not overlap.
        unsafe { touch::copy(to, from.as_ptr(), from.len()) };
        Ok(())
    }

    /// Sets `len` bytes at `offset` to `byte`.
    #[inline]
    pub fn fill(&self, offset: usize, len: usize, byte: u8) -> Result<(), OutOfBounds> {
        let to = self.writable(offset, len)?;
        // SAFETY: `to` has been checked for `len` bytes.
        unsafe { touch::fill(to, len, byte) };
        Ok(())
    }

    /// Copies `len` bytes at `offset` to `to_offset` of another mapping.
    ///
    /// If both show overlapping bytes of one memory object, what arrives is some mixture of old and new.
    #[inline]
    pub fn copy_to(&self, offset: usize, to: &Self, to_offset: usize, len: usize) -> Result<(), OutOfBounds> {
        let from = self.readable(offset, len)?;
        let to = to.writable(to_offset, len)?;
        // SAFETY: both have been checked for `len` bytes.
        unsafe { touch::copy(to, from, len) };
        Ok(())
    }

    /// Copies `len` bytes from `from` to `to` inside this mapping; the ranges may overlap.
    pub fn copy_within(&self, from: usize, to: usize, len: usize) -> Result<(), OutOfBounds> {
        self.readable(from, len)?;
        self.writable(to, len)?;
        if from.abs_diff(to) >= len {
            return self.copy_to(from, self, to, len);
        }
        // Overlapping: piece by piece through private memory, starting at the end that is overwritten last.
        let mut bounce = [0; 4096];
        let mut done = 0;
        while done < len {
            let piece = bounce.len().min(len - done);
            let at = if to < from { done } else { len - done - piece };
            self.read(from + at, &mut bounce[..piece])?;
            self.write(to + at, &bounce[..piece])?;
            done += piece;
        }
        Ok(())
    }

    /// Returns the atomic word at `offset`, or `None` if it is outside, not a multiple of 4, or the mapping is read-only.
    ///
    /// The other parties may change it at any time, with atomics or without.
    #[inline]
    #[must_use]
    pub fn atomic_u32(&self, offset: usize) -> Option<&AtomicU32> {
        let at = self.writable(offset, size_of::<AtomicU32>()).ok()?;
        // The base is page aligned, so the offset decides.
        // SAFETY: 4 bytes, checked and aligned, mapped for as long as `self` lives, only ever seen as an atomic.
        offset.is_multiple_of(4).then(|| unsafe { AtomicU32::from_ptr(at.cast()) })
    }

    /// Returns the atomic word at `offset`, or `None` if it is outside, not a multiple of 8, or the mapping is read-only.
    #[inline]
    #[must_use]
    pub fn atomic_u64(&self, offset: usize) -> Option<&AtomicU64> {
        let at = self.writable(offset, size_of::<AtomicU64>()).ok()?;
        // SAFETY: 8 bytes, checked and aligned, mapped for as long as `self` lives, only ever seen as an atomic.
        offset.is_multiple_of(8).then(|| unsafe { AtomicU64::from_ptr(at.cast()) })
    }

    /// Asks for huge pages behind this mapping. A hint: the kernel may not have any, or be told not to use them.
    pub fn advise_huge_pages(&self) -> Result<(), MemoryError> {
        // rustix has no name for it under Linux' own spelling; the number is from asm-generic/mman-common.h.
        // SAFETY: the range is ours; the advice changes no contents.
        let answer = unsafe { libc::madvise(self.base.as_ptr().cast(), self.len, libc::MADV_HUGEPAGE) };
        crate::error::cvt(answer.into()).during("madvise", "ask for huge pages")?;
        Ok(())
    }

    /// Makes sure that pages are behind `len` bytes at `offset`, so that running short is an error now and not a fault later.
    pub fn populate(&self, offset: usize, len: usize) -> Result<(), MemoryError> {
        let Some((at, len)) = self.whole_pages(offset, len) else {
            return Err(MemoryError::ImpossibleSize { bytes: len as u64 });
        };
        let advice = if self.is_writable() { Advice::LinuxPopulateWrite } else { Advice::LinuxPopulateRead };
        // SAFETY: whole pages of our own mapping; populating changes no contents.
        match unsafe { rustix::mm::madvise(at.cast(), len, advice) } {
            // Linux 5.14 knows the advice; before, pages appear when touched.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(CallFailed { purpose: "get pages for a mapping", call: "madvise", errno }.into()),
        }
    }

    /// Returns the pages that hold `len` bytes at `offset`.
    fn whole_pages(&self, offset: usize, len: usize) -> Option<(*mut u8, usize)> {
        self.readable(offset, len).ok()?;
        let start = offset - offset % crate::page_size();
        let end = crate::round_up_to_page(offset + len)?.min(self.len);
        Some((self.base.as_ptr().wrapping_add(start), end - start))
    }

    /// Makes `len` bytes at `offset` zeroes and gives whole pages among them back to the system.
    ///
    /// For a memory object this empties the object itself, for everyone who maps it.
    pub fn discard(&self, offset: usize, len: usize) -> Result<(), MemoryError> {
        if self.writable(offset, len).is_err() {
            return Err(MemoryError::ImpossibleSize { bytes: len as u64 });
        }
        let page = crate::page_size();
        let end = offset + len;
        let first_page = offset.next_multiple_of(page).min(end);
        let behind_pages = (end - end % page).max(first_page);
        if behind_pages > first_page {
            let at = self.base.as_ptr().wrapping_add(first_page).cast();
            let advice = if self.private { Advice::LinuxDontNeed } else { Advice::LinuxRemove };
            // SAFETY: whole pages inside our own mapping; nobody holds a reference to their contents but atomics, which
            // may change at any time.
            unsafe { rustix::mm::madvise(at, behind_pages - first_page, advice) }
                .during("madvise", "discard a part of a mapping")?;
        }
        // The two ends that are no whole pages. Checked above, so neither can fail.
        let edges = self.fill(offset, first_page - offset, 0).and(self.fill(behind_pages, end - behind_pages, 0));
        edges.map_err(|OutOfBounds| MemoryError::ImpossibleSize { bytes: len as u64 })
    }
}

/// Writes the accessors of one integer type.
macro_rules! word_accessors {
    ($($int:ty, $load:ident, $store:ident;)*) => {
        impl Mapping {
            $(
                /// Loads the value at `offset`, at any alignment, in the machine's byte order.
                #[inline]
                pub fn $load(&self, offset: usize) -> Result<$int, OutOfBounds> {
                    let from = self.readable(offset, size_of::<$int>())?;
                    // SAFETY: the bytes of one value have been checked.
                    Ok(unsafe { touch::$load(from) })
                }

                /// Stores a value at `offset`, at any alignment, in the machine's byte order.
                #[inline]
                pub fn $store(&self, offset: usize, value: $int) -> Result<(), OutOfBounds> {
                    let to = self.writable(offset, size_of::<$int>())?;
                    // SAFETY: the bytes of one value have been checked.
                    unsafe { touch::$store(to, value) };
                    Ok(())
                }
            )*
        }
    };
}

word_accessors! {
    u8, load_u8, store_u8;
    u16, load_u16, store_u16;
    u32, load_u32, store_u32;
    u64, load_u64, store_u64;
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mapping");
        out.field("address", &format_args!("{:#x}", self.address())).field("len", &self.len);
        out.field("writable", &self.is_writable()).finish_non_exhaustive()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        match &mut self.place {
            Place::Own => unmap(self.base.as_ptr(), self.len),
            Place::Arena(range) => {
                if let Some(range) = range.take() {
                    range.release_mapping();
                }
            }
        }
    }
}

/// Maps private zeroed memory; returns its address and rounded size in bytes.
pub(crate) fn map_anonymous(bytes: usize) -> Result<(*mut std::ffi::c_void, usize), MemoryError> {
    let impossible = MemoryError::ImpossibleSize { bytes: bytes as u64 };
    let len = crate::round_up_to_page(bytes).filter(|&b| b > 0 && b <= isize::MAX as usize).ok_or(impossible)?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: no fixed address, so no mapping of ours is replaced.
    let at =
        unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags) };
    Ok((at.during("mmap", "map anonymous memory")?, len))
}

/// Unmaps a range this crate mapped.
pub(crate) fn unmap(at: *mut u8, len: usize) {
    // SAFETY: callers pass a range they mapped and now drop; nothing borrows from it any more.
    let unmapped = unsafe { rustix::mm::munmap(at.cast(), len) };
    // Splitting a merged area can need memory. The range then stays mapped, which wastes it and hurts nobody.
    debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
}

#[cfg(test)]
#[path = "mapping_tests.rs"]
mod tests;
