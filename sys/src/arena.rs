//! A range of our own addresses, reserved once, into which memory objects are placed and from which they go again.
//!
//! Promises:
//! - the whole range is unreachable (PROT_NONE) except where a [`Mapping`] is; when that is dropped, its
//!   place is unreachable again before anybody else can get it;
//! - nothing outside the range is ever replaced. A peer may name an *offset* ([`Arena::claim`]), which is checked against
//!   the range and against everything placed in it; it can never name an address;
//! - the range stays reserved until the arena and everything placed in it are gone.
//!
//! [`Mapping`]: crate::mapping::Mapping

use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use thiserror::Error;

use crate::error::CallFailed;
use crate::mapping::unmap;
use crate::ranges::FreeRanges;

/// Why there is no place in the arena, or no arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ArenaError {
    /// The kernel would not reserve the range.
    #[error(transparent)]
    Call(#[from] CallFailed),
    /// Something is mapped in the range asked for.
    #[error("{bytes} bytes at {address:#x} are not free in this process; reserve the arena somewhere else")]
    AddressTaken {
        /// The address asked for.
        address: usize,
        /// The length asked for in bytes.
        bytes: usize,
    },
    /// A length of zero, or one that overflows when rounded up to pages, or an alignment that is no power of two.
    #[error("a range of {bytes} bytes aligned to {align} cannot exist; use a positive length and a power of two")]
    Impossible {
        /// The length asked for in bytes.
        bytes: usize,
        /// The alignment asked for in bytes.
        align: usize,
    },
    /// No hole is large enough.
    #[error(
        "no {bytes} bytes in one piece: {free} bytes are free, {largest} of them together; free something or reserve more"
    )]
    Full {
        /// The length asked for in bytes.
        bytes: usize,
        /// All that is free, in bytes.
        free: usize,
        /// The largest hole in bytes.
        largest: usize,
    },
    /// The place named is outside the arena, not on a page boundary, or partly in use.
    #[error(
        "{bytes} bytes at offset {offset:#x} are not free in this arena; the peer's view of it is wrong, drop the peer"
    )]
    NotFree {
        /// The offset named, in bytes from the start of the arena.
        offset: usize,
        /// The length named in bytes.
        bytes: usize,
    },
}

/// A reserved range of addresses. Clones share it.
#[derive(Debug, Clone)]
pub struct Arena(Arc<Reservation>);

/// The range itself; unmapped when the last holder goes.
#[derive(Debug)]
struct Reservation {
    base: NonNull<u8>,
    len: usize,
    free: Mutex<FreeRanges>,
}

// SAFETY: the pointer is only an address here; what is mapped in the range belongs to the mappings.
unsafe impl Send for Reservation {}
// SAFETY: as above, and the bookkeeping is behind a lock.
unsafe impl Sync for Reservation {}

impl Reservation {
    fn ranges(&self) -> MutexGuard<'_, FreeRanges> {
        // The bookkeeping is consistent between its own calls, so a panic elsewhere does not spoil it.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        unmap(self.base.as_ptr(), self.len);
    }
}

impl Arena {
    /// Reserves `bytes` addresses (rounded up to pages) where the kernel sees fit. Costs no memory.
    pub fn reserve(bytes: usize) -> Result<Self, ArenaError> {
        Self::reserve_with(bytes, std::ptr::null_mut(), MapFlags::empty())
    }

    /// Reserves `bytes` addresses at `address`, or fails if anything is there already.
    ///
    /// For a process that would like its addresses equal to another's. Replaces nothing, so any address is safe to ask for.
    pub fn reserve_at(address: usize, bytes: usize) -> Result<Self, ArenaError> {
        let wanted = std::ptr::without_provenance_mut(address);
        let arena = Self::reserve_with(bytes, wanted, MapFlags::FIXED_NOREPLACE)?;
        // A kernel before 4.17 takes the flag for a hint; then the reservation goes again.
        if arena.address() == address { Ok(arena) } else { Err(ArenaError::AddressTaken { address, bytes }) }
    }

    fn reserve_with(bytes: usize, at: *mut std::ffi::c_void, flags: MapFlags) -> Result<Self, ArenaError> {
        let impossible = ArenaError::Impossible { bytes, align: crate::page_size() };
        let len = crate::round_up_to_page(bytes).filter(|&b| b > 0 && b <= isize::MAX as usize).ok_or(impossible)?;
        let flags = flags | MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: either no address or MAP_FIXED_NOREPLACE, so no mapping of ours is replaced.
        let base = unsafe { rustix::mm::mmap_anonymous(at, len, ProtFlags::empty(), flags) };
        let base = base.map_err(|errno| match errno {
            Errno::EXIST => ArenaError::AddressTaken { address: at.addr(), bytes },
            errno => CallFailed { purpose: "reserve addresses for an arena", call: "mmap", errno }.into(),
        })?;
        // PANIC: the kernel refuses address zero to everyone but root with vm.mmap_min_addr at zero.
        let base = NonNull::new(base.cast()).expect("mmap returned null");
        Ok(Self(Arc::new(Reservation { base, len, free: Mutex::new(FreeRanges::new(len)) })))
    }

    /// Returns the address of the first byte in this process.
    #[must_use]
    pub fn address(&self) -> usize {
        self.0.base.as_ptr().addr()
    }

    /// Returns the length of the range in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Returns whether there are no addresses at all. Never the case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Returns how many bytes have nothing placed in them.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.0.ranges().free()
    }

    /// Takes a place of `bytes` bytes (rounded up to pages) whose address is a multiple of `align` bytes, a power of two.
    ///
    /// The smallest hole that fits is used.
    pub fn allocate(&self, bytes: usize, align: usize) -> Result<ArenaRange, ArenaError> {
        let impossible = ArenaError::Impossible { bytes, align };
        let len = crate::round_up_to_page(bytes).filter(|&b| b > 0 && align.is_power_of_two()).ok_or(impossible)?;
        let page = crate::page_size();
        let mut ranges = self.0.ranges();
        let full = ArenaError::Full { bytes: len, free: ranges.free(), largest: ranges.largest() };
        // Offsets are aligned like addresses as far as the base is; beyond that take more and give the ends back.
        let base_align = 1usize << self.address().trailing_zeros();
        let start = if align <= base_align {
            ranges.allocate(len, align.max(page)).ok_or(full)?
        } else {
            let spare = len.checked_add(align - page).ok_or(full)?;
            let loose = ranges.allocate(spare, page).ok_or(full)?;
            // PANIC: neither sum can overflow, `loose + spare` is inside the reservation.
            let start = (self.address() + loose).next_multiple_of(align) - self.address();
            ranges.release(loose, spare);
            let claimed = ranges.claim(start, len);
            debug_assert!(claimed, "part of a hole that was free a line ago");
            start
        };
        drop(ranges);
        Ok(ArenaRange { arena: Arc::clone(&self.0), start, len })
    }

    /// Takes exactly the place of `bytes` bytes at `offset` bytes from the start, both whole pages.
    ///
    /// For a process that mirrors an arena whose owner chose the place. Safe with any numbers.
    pub fn claim(&self, offset: usize, bytes: usize) -> Result<ArenaRange, ArenaError> {
        let page = crate::page_size();
        let whole = offset.is_multiple_of(page) && bytes.is_multiple_of(page);
        if !whole || !self.0.ranges().claim(offset, bytes) {
            return Err(ArenaError::NotFree { offset, bytes });
        }
        Ok(ArenaRange { arena: Arc::clone(&self.0), start: offset, len: bytes })
    }
}

/// A place in an arena that nobody else can get; returns to it when dropped.
#[derive(Debug)]
pub struct ArenaRange {
    arena: Arc<Reservation>,
    start: usize,
    len: usize,
}

impl ArenaRange {
    /// Returns where the place begins, in bytes from the start of the arena.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.start
    }

    /// Returns the address of its first byte in this process.
    #[must_use]
    pub fn address(&self) -> usize {
        self.pointer().as_ptr().addr()
    }

    /// Returns its length in bytes, a positive multiple of the page size.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether it has no bytes. Never the case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns a pointer to the first byte, unreachable unless something has been mapped over it.
    pub(crate) fn pointer(&self) -> NonNull<u8> {
        // SAFETY: `start + len` is inside the reservation, which is one allocated object.
        unsafe { self.arena.base.add(self.start) }
    }

    /// Makes the place unreachable after something was mapped over it, then gives it back.
    pub(crate) fn release_mapping(self) {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        let at = self.pointer().as_ptr().cast();
        // SAFETY: replaces only the mapping in this place of our own reservation, whose owner is being dropped.
        let covered = unsafe { rustix::mm::mmap_anonymous(at, self.len, ProtFlags::empty(), flags) };
        if covered.is_err() {
            // Out of mappings. The old bytes are still reachable, so the place must not be handed out: lose it. The
            // reservation's own count is kept too, so that the range is not unmapped under what is still there.
            std::mem::forget(self);
        }
    }
}

impl Drop for ArenaRange {
    fn drop(&mut self) {
        self.arena.ranges().release(self.start, self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{Access, Mapping};
    use crate::memfd::{MemFd, MemoryError};

    const MIB: usize = 1 << 20;

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
    fn a_place_is_unreachable_before_and_after_its_mapping() {
        let arena = Arena::reserve(64 * MIB).unwrap();
        let memory = MemFd::create("test", MIB).unwrap();
        let range = arena.allocate(MIB, 4096).unwrap();
        let address = range.address();
        assert_eq!(protection_of(address).as_deref(), Some("---p"));
        let mapping = Mapping::in_arena(&memory, Access::ReadWrite, range).unwrap();
        assert_eq!(mapping.address(), address);
        assert_eq!(protection_of(address).as_deref(), Some("rw-s"));
        mapping.store_u64(MIB - 8, 1).unwrap();
        assert_eq!(arena.free_bytes(), 63 * MIB);
        drop(mapping);
        assert_eq!(protection_of(address).as_deref(), Some("---p"));
        assert_eq!(arena.free_bytes(), 64 * MIB);
    }

    #[test]
    fn a_mapping_keeps_its_arena_reserved() {
        let arena = Arena::reserve(16 * MIB).unwrap();
        let (base, memory) = (arena.address(), MemFd::create("test", 4096).unwrap());
        let mapping = Mapping::in_arena(&memory, Access::ReadWrite, arena.allocate(1, 1).unwrap()).unwrap();
        drop(arena);
        mapping.store_u8(0, 1).unwrap();
        assert_eq!(protection_of(base + 8 * MIB).as_deref(), Some("---p"));
    }

    #[test]
    fn the_object_must_fill_its_place() {
        let arena = Arena::reserve(MIB).unwrap();
        let memory = MemFd::create("test", 8192).unwrap();
        let error = Mapping::in_arena(&memory, Access::ReadOnly, arena.allocate(4096, 1).unwrap()).unwrap_err();
        assert_eq!(error, MemoryError::WrongPlace { object: 8192, place: 4096 });
        assert_eq!(arena.free_bytes(), MIB, "the place went back");
    }

    #[test]
    fn addresses_are_aligned_as_asked() {
        let arena = Arena::reserve(64 * MIB).unwrap();
        let mut held = Vec::new();
        for align in [1, 4096, 65536, 2 * MIB, 8 * MIB] {
            let range = arena.allocate(12_345, align).unwrap();
            assert!(range.address().is_multiple_of(align) && range.len() == 16_384);
            held.push(range);
        }
        drop(held);
        assert_eq!(arena.free_bytes(), 64 * MIB);
    }

    #[test]
    fn hostile_claims_are_refused() {
        let arena = Arena::reserve(MIB).unwrap();
        let _held = arena.claim(8192, 4096).unwrap();
        for (offset, bytes) in [
            (8192, 4096),
            (4096, 8192),
            (0, 0),
            (1, 4096),
            (0, 100),
            (MIB, 4096),
            (MIB - 4096, 8192),
            (usize::MAX - 4095, 4096),
            (usize::MAX - 4095, 8192),
            (0, usize::MAX - 4095),
        ] {
            assert_eq!(arena.claim(offset, bytes).unwrap_err(), ArenaError::NotFree { offset, bytes });
        }
        assert_eq!(arena.claim(4096, 4096).unwrap().offset(), 4096);
    }

    #[test]
    fn a_full_arena_says_what_is_left() {
        let arena = Arena::reserve(3 * 4096).unwrap();
        let _middle = arena.claim(4096, 4096).unwrap();
        assert_eq!(arena.allocate(8192, 1).unwrap_err(), ArenaError::Full { bytes: 8192, free: 8192, largest: 4096 });
        assert!(matches!(arena.allocate(0, 1), Err(ArenaError::Impossible { .. })));
        assert!(matches!(arena.allocate(1, 3), Err(ArenaError::Impossible { .. })));
        assert!(matches!(arena.allocate(4096, 1 << 63), Err(ArenaError::Full { .. })));
        assert!(matches!(Arena::reserve(0), Err(ArenaError::Impossible { .. })));
    }

    #[test]
    fn reserving_at_a_taken_address_replaces_nothing() {
        let first = Arena::reserve(MIB).unwrap();
        let taken = Arena::reserve_at(first.address(), 4096).unwrap_err();
        assert_eq!(taken, ArenaError::AddressTaken { address: first.address(), bytes: 4096 });
        // The middle of a large range just given up: other threads of this test place theirs elsewhere.
        let free = { Arena::reserve(1 << 32).unwrap().address() } + (1 << 31);
        assert_eq!(Arena::reserve_at(free, MIB).unwrap().address(), free);
    }
}
