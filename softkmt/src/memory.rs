//! The GPU's address space: what was allocated, what was registered, and what of it is mapped for kernels.
//!
//! An allocation is the process's own memory and has one address for host and GPU. Registered host memory has *another* GPU
//! address, its alias, as real thunks give it (HIP 5.2 aborts without); aliases come from a reservation that nobody can touch, so a
//! program that mixes the two up faults on either side. Kernels see mapped memory only.

pub(crate) mod share;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use gcn::memory::{Access, Memory, MemoryFault, Refusal};

use crate::abi::{GPU_NODE, Status, mem_flags};

/// Page size of host and GPU.
pub(crate) const PAGE: u64 = 4096;
/// Addresses reserved for aliases.
const ALIAS_BYTES: u64 = 1 << 40;

/// Part of the address space that kernels see.
#[derive(Clone, Copy, Debug)]
struct Region {
    start: u64,
    bytes: u64,
    /// Where the host has it.
    host: u64,
    writable: bool,
    executable: bool,
}

/// What a range of addresses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Allocated through the thunk.
    Allocated,
    /// The program's own memory, registered.
    Registered,
    /// The reservation that scratch is taken from.
    Scratch,
    /// Allocated by another process that shares it.
    Imported,
}

/// One allocation or registration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) kind: Kind,
    pub(crate) node: u32,
    pub(crate) flags: u32,
    /// Host address of its first byte.
    pub(crate) host: u64,
    /// GPU address of its first byte.
    pub(crate) gpu: u64,
    pub(crate) bytes: u64,
    pub(crate) user_data: u64,
    /// Registrations of the same range that have not been taken back.
    references: u32,
    pub(crate) mapped: bool,
}

#[derive(Default)]
struct Books {
    /// By host address.
    held: BTreeMap<u64, Held>,
    /// The memory objects of allocations that were given away, by host address.
    objects: BTreeMap<u64, File>,
    vram_used: u64,
    alias_base: u64,
    alias_next: u64,
}

/// See the module.
pub(crate) struct Space {
    vram_bytes: u64,
    /// Sorted by address, without overlap.
    regions: ArcSwap<Vec<Region>>,
    books: Mutex<Books>,
    code_version: AtomicU64,
}

impl Space {
    pub(crate) fn new(vram_bytes: u64) -> Space {
        Space {
            vram_bytes,
            regions: ArcSwap::from_pointee(Vec::new()),
            books: Mutex::new(Books::default()),
            code_version: AtomicU64::new(1),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allocates memory; `wanted` is honoured if the flags ask for a fixed address.
    pub(crate) fn allocate(&self, node: u32, bytes: u64, flags: u32, wanted: u64) -> Result<u64, Status> {
        if bytes == 0 || !bytes.is_multiple_of(PAGE) {
            return Err(Status::InvalidParameter);
        }
        if flags & (mem_flags::NO_ADDRESS | mem_flags::ONLY_ADDRESS) != 0 {
            return Err(Status::NotSupported);
        }
        let kind = if flags & mem_flags::SCRATCH != 0 { Kind::Scratch } else { Kind::Allocated };
        let mut books = self.books();
        let vram = node == GPU_NODE && kind == Kind::Allocated;
        if vram && bytes > self.vram_bytes - books.vram_used {
            return Err(Status::NoMemory);
        }
        let fixed = (flags & mem_flags::FIXED_ADDRESS != 0).then_some(wanted);
        let host = map_pages(bytes, fixed, libc::PROT_READ | libc::PROT_WRITE).ok_or(Status::NoMemory)?;
        if vram {
            books.vram_used += bytes;
        }
        let held = Held { kind, node, flags, host, gpu: host, bytes, user_data: 0, references: 1, mapped: false };
        books.held.insert(host, held);
        Ok(host)
    }

    /// Returns how much device memory is left.
    pub(crate) fn available(&self) -> u64 {
        self.vram_bytes - self.books().vram_used
    }

    /// Gives an allocation back. Kernels that still use it meet a fault.
    pub(crate) fn free(&self, host: u64, bytes: u64) -> Result<(), Status> {
        let mut books = self.books();
        match books.held.get(&host) {
            Some(held) if held.bytes == bytes && matches!(held.kind, Kind::Allocated | Kind::Scratch) => {}
            _ => return Err(Status::InvalidParameter),
        }
        let Some(held) = books.held.remove(&host) else { return Err(Status::InvalidParameter) };
        if held.node == GPU_NODE && held.kind == Kind::Allocated {
            books.vram_used -= bytes;
        }
        books.objects.remove(&host);
        self.unmap_range(held.gpu, bytes);
        drop(books);
        // SAFETY: the range is one `map_pages` returned, taken out of the books above.
        unsafe { unmap_pages(host, bytes) };
        Ok(())
    }

    /// Registers the program's own memory; it gets an alias when it is mapped.
    pub(crate) fn register(&self, host: u64, bytes: u64, flags: u32) -> Result<(), Status> {
        let mut books = self.books();
        if bytes == 0 || host.checked_add(bytes).is_none() {
            return Err(Status::InvalidParameter);
        }
        if let Some(held) = books.held.get_mut(&host) {
            if held.kind == Kind::Registered && held.bytes == bytes {
                held.references += 1;
                return Ok(());
            }
            // Memory that the thunk allocated needs no registration.
            return if held.kind == Kind::Allocated { Ok(()) } else { Err(Status::InvalidParameter) };
        }
        if books.alias_base == 0 {
            let base = map_pages(ALIAS_BYTES, None, libc::PROT_NONE).ok_or(Status::NoMemory)?;
            (books.alias_base, books.alias_next) = (base, base);
        }
        let offset = host % PAGE;
        let span = (offset + bytes).next_multiple_of(PAGE);
        // A page that is nobody's follows each alias.
        if books.alias_next + span + PAGE > books.alias_base + ALIAS_BYTES {
            return Err(Status::NoMemory);
        }
        let gpu = books.alias_next + offset;
        books.alias_next += span + PAGE;
        let held = Held {
            kind: Kind::Registered,
            node: 0,
            flags,
            host,
            gpu,
            bytes,
            user_data: 0,
            references: 1,
            mapped: false,
        };
        books.held.insert(host, held);
        Ok(())
    }

    /// Takes a registration back, by host address or alias.
    pub(crate) fn deregister(&self, address: u64) -> Result<(), Status> {
        let mut books = self.books();
        let found = books.held.values().find(|h| h.host == address || h.gpu == address).map(|h| h.host);
        let Some(held) = found.and_then(|host| books.held.get_mut(&host)) else {
            return Err(Status::MemoryNotRegistered);
        };
        if !matches!(held.kind, Kind::Registered | Kind::Imported) {
            return Ok(());
        }
        held.references -= 1;
        if held.references == 0 {
            let (kind, host, gpu, bytes) = (held.kind, held.host, held.gpu, held.bytes);
            books.held.remove(&host);
            self.unmap_range(gpu, bytes);
            if kind == Kind::Imported {
                drop(books);
                // SAFETY: the range is one `pages_of` returned, taken out of the books above.
                unsafe { unmap_pages(host, bytes) };
            }
        }
        Ok(())
    }

    /// Makes memory visible to kernels; returns where they see it.
    pub(crate) fn map(&self, address: u64, bytes: u64) -> Result<u64, Status> {
        let mut books = self.books();
        let Some(held) = held_at(&mut books, address) else { return Err(Status::InvalidParameter) };
        let by_alias = !(held.host..held.host + held.bytes).contains(&address);
        let offset = address - if by_alias { held.gpu } else { held.host };
        let bytes = if held.kind == Kind::Scratch { bytes } else { held.bytes };
        if bytes > held.bytes - offset && held.kind == Kind::Scratch {
            return Err(Status::InvalidParameter);
        }
        // Scratch is mapped piece by piece, everything else as a whole.
        let from = if held.kind == Kind::Scratch { offset } else { 0 };
        held.mapped = true;
        let region = Region {
            start: held.gpu + from,
            bytes,
            host: held.host + from,
            writable: held.flags & mem_flags::READ_ONLY == 0,
            executable: held.flags & mem_flags::EXECUTE_ACCESS != 0,
        };
        let answer = held.gpu + offset;
        self.change(|regions| {
            regions.retain(|r| r.start + r.bytes <= region.start || r.start >= region.start + region.bytes);
            regions.push(region);
        });
        Ok(answer)
    }

    /// Hides memory from kernels.
    pub(crate) fn unmap(&self, address: u64) -> Result<(), Status> {
        let mut books = self.books();
        let Some(held) = held_at(&mut books, address) else { return Err(Status::InvalidParameter) };
        if held.kind == Kind::Scratch {
            let gpu = held.gpu + (address - held.host);
            self.change(|regions| regions.retain(|r| r.start != gpu));
            return Ok(());
        }
        held.mapped = false;
        let (gpu, bytes) = (held.gpu, held.bytes);
        self.unmap_range(gpu, bytes);
        Ok(())
    }

    /// Makes memory of the thunk itself visible to kernels, at the address the host has it.
    pub(crate) fn map_own(&self, host: u64, bytes: u64) {
        let _books = self.books();
        self.change(|regions| regions.push(Region { start: host, bytes, host, writable: true, executable: false }));
    }

    /// Returns what lies at an address of host or GPU.
    pub(crate) fn query(&self, address: u64) -> Option<Held> {
        held_at(&mut self.books(), address).map(|held| *held)
    }

    /// Remembers a program's word for the memory at `address`.
    pub(crate) fn set_user_data(&self, address: u64, user_data: u64) -> Result<(), Status> {
        let mut books = self.books();
        held_at(&mut books, address).ok_or(Status::InvalidParameter)?.user_data = user_data;
        Ok(())
    }

    /// Decoded instructions are worth nothing from here on: a program flushed the instruction cache.
    pub(crate) fn invalidate_code(&self) {
        self.code_version.fetch_add(1, Ordering::Release);
    }

    fn unmap_range(&self, gpu: u64, bytes: u64) {
        self.change(|regions| regions.retain(|r| r.start + r.bytes <= gpu || r.start >= gpu + bytes));
    }

    /// Callers hold the books: changes must not overtake each other.
    fn change(&self, change: impl FnOnce(&mut Vec<Region>)) {
        let mut regions = Vec::clone(&self.regions.load());
        change(&mut regions);
        regions.sort_unstable_by_key(|r| r.start);
        self.regions.store(Arc::new(regions));
        self.invalidate_code();
    }

    /// Calls `then` with the host's pointer to each piece of a range and where the piece begins in it.
    fn pieces(
        &self,
        address: u64,
        bytes: u64,
        access: Access,
        mut then: impl FnMut(*mut u8, usize, usize),
    ) -> Result<(), MemoryFault> {
        let regions = self.regions.load();
        let mut done = 0;
        while done < bytes {
            let (host, left) = place(&regions, address.wrapping_add(done), access)?;
            let len = left.min(bytes - done);
            then(std::ptr::with_exposed_provenance_mut(host as usize), done as usize, len as usize);
            done += len;
        }
        Ok(())
    }

    fn word<const BYTES: u64>(&self, address: u64, access: Access) -> Result<*mut u8, MemoryFault> {
        if !address.is_multiple_of(BYTES) {
            return Err(MemoryFault { address, access, refusal: Refusal::Misaligned });
        }
        let (host, _) = place(&self.regions.load(), address, access)?;
        Ok(std::ptr::with_exposed_provenance_mut(host as usize))
    }

    fn word32(&self, address: u64, access: Access) -> Result<&AtomicU32, MemoryFault> {
        let pointer = self.word::<4>(address, access)?;
        // SAFETY: four aligned bytes of a mapped region, which is memory of this process until the program frees it; programs
        // that free what a kernel uses are as wrong here as on hardware. Only ever seen as an atomic by us.
        Ok(unsafe { AtomicU32::from_ptr(pointer.cast()) })
    }

    fn word64(&self, address: u64, access: Access) -> Result<&AtomicU64, MemoryFault> {
        let pointer = self.word::<8>(address, access)?;
        // SAFETY: as for four bytes.
        Ok(unsafe { AtomicU64::from_ptr(pointer.cast()) })
    }
}

/// Returns what an address of host or GPU belongs to.
fn held_at(books: &mut Books, address: u64) -> Option<&mut Held> {
    let within = |start: u64, bytes: u64| (start..start + bytes).contains(&address);
    let by_host = books.held.range(..=address).next_back().filter(|(_, h)| within(h.host, h.bytes)).map(|(&k, _)| k);
    let key = by_host.or_else(|| books.held.values().find(|h| within(h.gpu, h.bytes)).map(|h| h.host))?;
    books.held.get_mut(&key)
}

/// Returns where the host has `address` and how many bytes follow in the same region.
fn place(regions: &[Region], address: u64, access: Access) -> Result<(u64, u64), MemoryFault> {
    let refused = |refusal| MemoryFault { address, access, refusal };
    let at = regions.partition_point(|r| r.start <= address).wrapping_sub(1);
    let region = regions.get(at).filter(|r| address - r.start < r.bytes).ok_or(refused(Refusal::Unmapped))?;
    let allowed = match access {
        Access::Read => true,
        Access::Write | Access::Atomic => region.writable,
        Access::Execute => region.executable,
    };
    if !allowed {
        return Err(refused(Refusal::Rights));
    }
    let offset = address - region.start;
    Ok((region.host + offset, region.bytes - offset))
}

/// Returns fresh pages, at `fixed` if that is given and free.
fn map_pages(bytes: u64, fixed: Option<u64>, protection: i32) -> Option<u64> {
    let mut flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    if fixed.is_some() {
        flags |= libc::MAP_FIXED_NOREPLACE;
    }
    let wanted = std::ptr::without_provenance_mut(fixed.unwrap_or(0) as usize);
    // SAFETY: a new anonymous mapping that replaces nothing.
    let at = unsafe { libc::mmap(wanted, usize::try_from(bytes).ok()?, protection, flags, -1, 0) };
    (at != libc::MAP_FAILED).then(|| at.expose_provenance() as u64)
}

/// Returns the pages of a file, shared with whoever has it; at `over`, pages of this process are replaced by them.
fn pages_of(file: &File, bytes: u64, over: Option<u64>) -> Option<u64> {
    let flags = libc::MAP_SHARED | over.map_or(0, |_| libc::MAP_FIXED);
    let wanted = std::ptr::without_provenance_mut(over.unwrap_or(0) as usize);
    let (bytes, protection) = (usize::try_from(bytes).ok()?, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: a new mapping; what `over` names is an allocation of the books, of so many bytes, whose bytes the file has.
    let at = unsafe { libc::mmap(wanted, bytes, protection, flags, file.as_raw_fd(), 0) };
    (at != libc::MAP_FAILED).then(|| at.expose_provenance() as u64)
}

/// Gives pages back.
///
/// # Safety
/// The range is as it was mapped here, and nobody gives it back twice; a program that still uses it is wrong, as with a driver.
unsafe fn unmap_pages(at: u64, bytes: u64) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(std::ptr::with_exposed_provenance_mut(at as usize), bytes as usize) };
}

/// Returns a page of this process for registers that a program may write without effect.
pub(crate) fn scratch_page() -> u64 {
    map_pages(PAGE, None, libc::PROT_READ | libc::PROT_WRITE).unwrap_or(0)
}

impl Memory for Space {
    fn lend(&self, then: &mut dyn FnMut(&dyn Memory)) {
        then(self);
    }

    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
        self.pieces(address, out.len() as u64, Access::Read, |host, at, len| {
            // SAFETY: `len` bytes of a region, mapped in this process as `word32` says, and as many of `out`.
            unsafe { copy_in(host, &mut out[at..at + len]) }
        })
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryFault> {
        self.pieces(address, data.len() as u64, Access::Write, |host, at, len| {
            // SAFETY: as for reading, and the region may be written.
            unsafe { copy_out(&data[at..at + len], host) }
        })
    }

    fn fetch(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
        self.pieces(address, out.len() as u64, Access::Execute, |host, at, len| {
            // SAFETY: as for reading.
            unsafe { copy_in(host, &mut out[at..at + len]) }
        })
    }

    fn update_u32(&self, address: u64, update: &mut dyn FnMut(u32) -> Option<u32>) -> Result<u32, MemoryFault> {
        let word = self.word32(address, Access::Atomic)?;
        Ok(word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update).unwrap_or_else(|old| old))
    }

    fn update_u64(&self, address: u64, update: &mut dyn FnMut(u64) -> Option<u64>) -> Result<u64, MemoryFault> {
        let word = self.word64(address, Access::Atomic)?;
        Ok(word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update).unwrap_or_else(|old| old))
    }

    fn load_acquire_u32(&self, address: u64) -> Result<u32, MemoryFault> {
        Ok(self.word32(address, Access::Read)?.load(Ordering::Acquire))
    }

    fn load_acquire_u64(&self, address: u64) -> Result<u64, MemoryFault> {
        Ok(self.word64(address, Access::Read)?.load(Ordering::Acquire))
    }

    fn store_release_u32(&self, address: u64, value: u32) -> Result<(), MemoryFault> {
        self.word32(address, Access::Write)?.store(value, Ordering::Release);
        Ok(())
    }

    fn store_release_u64(&self, address: u64, value: u64) -> Result<(), MemoryFault> {
        self.word64(address, Access::Write)?.store(value, Ordering::Release);
        Ok(())
    }

    fn code_version(&self) -> u64 {
        self.code_version.load(Ordering::Acquire)
    }
}

/// Copies bytes that others may write meanwhile, words as words.
///
/// # Safety
/// `from` is readable for `to.len()` bytes.
unsafe fn copy_in(from: *const u8, to: &mut [u8]) {
    let mut at = 0;
    while at < to.len() {
        // SAFETY: `at` stays below the length that the caller vouches for; words are read where both fit.
        unsafe {
            let source = from.add(at);
            if source.addr().is_multiple_of(8) && to.len() - at >= 8 {
                to[at..at + 8].copy_from_slice(&source.cast::<u64>().read_volatile().to_ne_bytes());
                at += 8;
            } else if source.addr().is_multiple_of(4) && to.len() - at >= 4 {
                to[at..at + 4].copy_from_slice(&source.cast::<u32>().read_volatile().to_ne_bytes());
                at += 4;
            } else {
                to[at] = source.read_volatile();
                at += 1;
            }
        }
    }
}

/// The other way round.
///
/// # Safety
/// `to` is writable for `from.len()` bytes.
unsafe fn copy_out(from: &[u8], to: *mut u8) {
    let mut at = 0;
    while at < from.len() {
        // SAFETY: as for `copy_in`.
        unsafe {
            let target = to.add(at);
            if let (true, Some(word)) = (target.addr().is_multiple_of(8), from[at..].first_chunk()) {
                target.cast::<u64>().write_volatile(u64::from_ne_bytes(*word));
                at += 8;
            } else if let (true, Some(word)) = (target.addr().is_multiple_of(4), from[at..].first_chunk()) {
                target.cast::<u32>().write_volatile(u32::from_ne_bytes(*word));
                at += 4;
            } else {
                target.write_volatile(from[at]);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_memory_is_seen_at_its_alias_and_nowhere_else() {
        let space = Space::new(1 << 30);
        let words = Box::leak(Box::new([7u64; 1024]));
        let host = words.as_ptr().expose_provenance() as u64 + 16;
        space.register(host, 4000, 0).unwrap();
        let alias = space.map(host, 4000).unwrap();
        assert_ne!(alias, host);
        assert_eq!(alias % PAGE, host % PAGE, "a page offset is kept");
        let mut out = [0; 8];
        Memory::read(&space, alias, &mut out).unwrap();
        assert_eq!(u64::from_ne_bytes(out), 7);
        assert_eq!(Memory::read(&space, host, &mut out).unwrap_err().refusal, Refusal::Unmapped);
        assert!(space.query(alias + 100).is_some_and(|held| held.host == host));
        space.register(host, 4000, 0).unwrap();
        space.deregister(host).unwrap();
        Memory::read(&space, alias, &mut out).unwrap();
        space.deregister(alias).unwrap();
        assert_eq!(Memory::read(&space, alias, &mut out).unwrap_err().refusal, Refusal::Unmapped);
    }

    #[test]
    fn device_memory_is_limited_and_given_back() {
        let space = Space::new(4 * PAGE);
        let first = space.allocate(GPU_NODE, 3 * PAGE, 0, 0).unwrap();
        assert_eq!(space.available(), PAGE);
        assert_eq!(space.allocate(GPU_NODE, PAGE, mem_flags::ONLY_ADDRESS, 0), Err(Status::NotSupported));
        assert_eq!(space.allocate(GPU_NODE, 2 * PAGE, 0, 0), Err(Status::NoMemory));
        assert_eq!(space.free(first, PAGE), Err(Status::InvalidParameter));
        space.free(first, 3 * PAGE).unwrap();
        let again = space.allocate(GPU_NODE, 4 * PAGE, 0, 0).unwrap();
        assert_eq!(Memory::write(&space, again, &[1]).unwrap_err().refusal, Refusal::Unmapped, "not mapped yet");
        assert_eq!(space.map(again, 4 * PAGE), Ok(again));
        Memory::write(&space, again + PAGE - 3, &[1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
        let mut out = [0; 9];
        Memory::read(&space, again + PAGE - 3, &mut out).unwrap();
        assert_eq!(out, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(Memory::fetch(&space, again, &mut out).unwrap_err().refusal, Refusal::Rights);
        assert_eq!(space.load_acquire_u64(again + 4).unwrap_err().refusal, Refusal::Misaligned);
    }
}
