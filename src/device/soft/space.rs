//! A session's address space on the software GPU: page-granular regions, each one mapped memory object with its rights.
//!
//! Kernels on several host threads look addresses up while the control thread adds and removes regions, so the list of regions
//! is replaced as a whole and readers never wait. Tenant memory is only ever touched through [`Mapping`], which hands out no references to it.

use crate::device::{Allocate, Allocation, DeviceError, DeviceMemory, LoadedKernel, Pool, Rights};
use arc_swap::ArcSwap;
use gcn::arch::Arch;
use gcn::code_object::CodeObject;
use gcn::memory::{Access, Memory, MemoryFault, Refusal};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sys::mapping::{Mapping, OutOfBounds};
use sys::memfd::MemFd;

/// Where a device that chooses addresses itself begins: clear of everything a small program maps, and of the apertures.
const OWN_ADDRESSES: u64 = 0x5000_0000_0000;
/// End of user addresses on x86-64.
const ADDRESS_END: u64 = 1 << 47;

/// Part of the address space with one set of rights.
#[derive(Clone)]
struct Region {
    start: u64,
    bytes: u64,
    rights: Rights,
    memory: Arc<Mapping>,
    /// Offset of `start` in `memory`.
    offset: u64,
}

/// One allocation: one or more regions.
struct Held {
    bytes: u64,
    pool: Pool,
}

#[derive(Default)]
struct Books {
    /// By address.
    held: std::collections::BTreeMap<u64, Held>,
    vram_used: u64,
    /// Next address to hand out when the device chooses.
    next: u64,
    /// Scratch backing: address and bytes.
    scratch: Option<(u64, u64)>,
}

/// See the module.
pub struct AddressSpace {
    arch: Arch,
    vram_bytes: u64,
    /// Sorted by address, without overlap.
    regions: ArcSwap<Vec<Region>>,
    books: Mutex<Books>,
    code_version: AtomicU64,
}

impl AddressSpace {
    pub(super) fn new(arch: Arch, vram_bytes: u64) -> AddressSpace {
        AddressSpace {
            arch,
            vram_bytes,
            regions: ArcSwap::from_pointee(Vec::new()),
            books: Mutex::new(Books { next: OWN_ADDRESSES, ..Books::default() }),
            code_version: AtomicU64::new(0),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of `bytes` from `address` are mapped, in one region, with the right to write.
    pub(super) fn covers(&self, address: u64, bytes: u64) -> bool {
        let regions = self.regions.load();
        find(&regions, address, bytes).is_some_and(|r| r.rights == Rights::ReadWrite)
    }

    /// Returns scratch backing of at least `bytes`: what there is, or more in its place.
    pub(super) fn scratch(&self, bytes: u64) -> Option<u64> {
        let old = self.books().scratch;
        if let Some((address, have)) = old {
            if have >= bytes {
                return Some(address);
            }
            self.free(address).ok()?;
            self.books().scratch = None;
        }
        let rights = Rights::ReadWrite;
        let want = Allocate { pool: Pool::Vram, bytes, rights, address: None, backing: None };
        let got = self.allocate(want).ok()?;
        self.books().scratch = Some((got.address, got.bytes));
        Some(got.address)
    }

    /// Puts `change` into effect for everybody who looks an address up from now on.
    fn change_regions(&self, change: impl FnOnce(&mut Vec<Region>)) {
        let mut regions = Vec::clone(&self.regions.load());
        change(&mut regions);
        regions.sort_unstable_by_key(|r| r.start);
        self.regions.store(Arc::new(regions));
    }

    #[inline]
    fn with<R>(
        &self,
        address: u64,
        bytes: u64,
        access: Access,
        then: impl FnOnce(&Mapping, usize) -> Option<R>,
    ) -> Result<R, MemoryFault> {
        let regions = self.regions.load();
        let refused = |refusal| MemoryFault { address, access, refusal };
        let region = find(&regions, address, bytes).ok_or(refused(Refusal::Unmapped))?;
        let allowed = match access {
            Access::Read => true,
            Access::Write | Access::Atomic => region.rights == Rights::ReadWrite,
            Access::Execute => region.rights == Rights::ReadExecute,
        };
        if !allowed {
            return Err(refused(Refusal::Rights));
        }
        let offset = (address - region.start + region.offset) as usize;
        then(&region.memory, offset).ok_or(refused(Refusal::Misaligned))
    }

    /// As an access of the host: rights do not matter.
    fn host(
        &self,
        address: u64,
        bytes: u64,
        then: impl FnOnce(&Mapping, usize) -> Result<(), OutOfBounds>,
    ) -> Result<(), DeviceError> {
        let regions = self.regions.load();
        let region = regions.get(at_or_before(&regions, address)).filter(|r| address - r.start < r.bytes);
        let end = self.books().held.range(..=address).next_back().map(|(&start, held)| start + held.bytes);
        // An allocation is one memory object, however many regions its rights make of it.
        let within = end.is_some_and(|end| bytes <= end - address);
        let missing = DeviceError::NoSuchMemory { address };
        match region {
            Some(r) if within => then(&r.memory, (address - r.start + r.offset) as usize).map_err(|OutOfBounds| missing),
            _ => Err(missing),
        }
    }
}

/// Returns the index of the last region that begins at or before `address`; past the end if there is none.
#[inline]
fn at_or_before(regions: &[Region], address: u64) -> usize {
    regions.partition_point(|r| r.start <= address).wrapping_sub(1)
}

#[inline]
fn find(regions: &[Region], address: u64, bytes: u64) -> Option<&Region> {
    let region = regions.get(at_or_before(regions, address))?;
    let within = address - region.start;
    (within < region.bytes && bytes <= region.bytes - within).then_some(region)
}

impl DeviceMemory for AddressSpace {
    fn allocate(&self, want: Allocate) -> Result<Allocation, DeviceError> {
        let page = sys::page_size() as u64;
        let too_large = DeviceError::OutOfMemory { asked: want.bytes, free: self.vram_bytes - self.vram_used().min(self.vram_bytes) };
        let Some(bytes) = want.bytes.max(1).checked_next_multiple_of(page).filter(|&b| b <= ADDRESS_END) else {
            return Err(too_large);
        };
        let mut books = self.books();
        if want.pool == Pool::Vram && bytes > self.vram_bytes.saturating_sub(books.vram_used) {
            return Err(too_large);
        }
        let address = match want.address {
            Some(address) => address,
            None => {
                let address = books.next;
                // A page nobody maps after each allocation, so that running over the end of one is a fault.
                books.next += bytes + page;
                address
            }
        };
        let bad = |why| DeviceError::Range { address, bytes, why };
        if !address.is_multiple_of(page) {
            return Err(bad("the address is not page-aligned"));
        }
        if address == 0 || address.checked_add(bytes).is_none_or(|end| end > ADDRESS_END) {
            return Err(bad("it is outside of user addresses"));
        }
        let before = books.held.range(..address + bytes).next_back();
        if before.is_some_and(|(start, held)| start + held.bytes > address) {
            return Err(bad("it overlaps memory of the session"));
        }
        let object = match want.backing {
            Some(object) if object.bytes() as u64 == bytes => object,
            Some(_) => return Err(bad("the memory object has another size")),
            None => MemFd::create("wavegate", bytes as usize)?,
        };
        let memory = Arc::new(Mapping::new(&object, sys::mapping::Access::ReadWrite)?);
        self.change_regions(|r| r.push(Region { start: address, bytes, rights: want.rights, memory, offset: 0 }));
        books.held.insert(address, Held { bytes, pool: want.pool });
        if want.pool == Pool::Vram {
            books.vram_used += bytes;
        }
        if want.rights == Rights::ReadExecute {
            self.code_version.fetch_add(1, Ordering::Release);
        }
        Ok(Allocation { address, bytes })
    }

    fn free(&self, address: u64) -> Result<(), DeviceError> {
        let mut books = self.books();
        let held = books.held.remove(&address).ok_or(DeviceError::NoSuchMemory { address })?;
        if held.pool == Pool::Vram {
            books.vram_used -= held.bytes;
        }
        self.change_regions(|regions| regions.retain(|r| r.start < address || r.start >= address + held.bytes));
        self.code_version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.host(address, data.len() as u64, |memory, offset| memory.write(offset, data))
    }

    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        self.host(address, out.len() as u64, |memory, offset| memory.read(offset, out))
    }

    fn load_code(&self, object: &CodeObject, address: u64) -> Result<Vec<LoadedKernel>, DeviceError> {
        if object.arch() != self.arch {
            let (object, device) = (object.arch().to_string(), self.arch.to_string());
            return Err(DeviceError::WrongTarget { object, device });
        }
        let image = object.image(address, &|_| None)?;
        DeviceMemory::write(self, address, &image)?;
        self.change_regions(|regions| {
            let Some(at) = regions.iter().position(|r| r.start == address) else { return };
            let whole = regions.remove(at);
            let pieces = object.segments().iter().filter(|s| s.offset < whole.bytes).map(|segment| Region {
                start: address + segment.offset,
                bytes: segment.bytes.min(whole.bytes - segment.offset),
                rights: match (segment.executable, segment.writable) {
                    (true, _) => Rights::ReadExecute,
                    (false, true) => Rights::ReadWrite,
                    (false, false) => Rights::Read,
                },
                memory: Arc::clone(&whole.memory),
                offset: segment.offset,
            });
            regions.extend(pieces);
        });
        self.code_version.fetch_add(1, Ordering::Release);
        let kernels = object.kernels().iter().map(|k| LoadedKernel {
            name: k.name.clone(),
            kernel_object: address + k.descriptor_offset,
            kernarg_bytes: u64::from(k.kernarg_segment_size),
            group_segment_bytes: k.group_segment_fixed_size,
            private_segment_bytes: k.private_segment_fixed_size,
        });
        Ok(kernels.collect())
    }

    fn vram_used(&self) -> u64 {
        self.books().vram_used
    }
}

impl Memory for AddressSpace {
    #[inline]
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
        self.with(address, out.len() as u64, Access::Read, |m, at| m.read(at, out).ok())
    }

    #[inline]
    fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryFault> {
        self.with(address, data.len() as u64, Access::Write, |m, at| m.write(at, data).ok())
    }

    fn fetch(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
        self.with(address, out.len() as u64, Access::Execute, |m, at| m.read(at, out).ok())
    }

    fn update_u32(&self, address: u64, update: &mut dyn FnMut(u32) -> Option<u32>) -> Result<u32, MemoryFault> {
        self.with(address, 4, Access::Atomic, |m, at| Some(update_u32(m.atomic_u32(at)?, update)))
    }

    fn update_u64(&self, address: u64, update: &mut dyn FnMut(u64) -> Option<u64>) -> Result<u64, MemoryFault> {
        self.with(address, 8, Access::Atomic, |m, at| Some(update_u64(m.atomic_u64(at)?, update)))
    }

    fn load_acquire_u32(&self, address: u64) -> Result<u32, MemoryFault> {
        self.with(address, 4, Access::Read, |m, at| Some(m.atomic_u32(at)?.load(Ordering::Acquire)))
    }

    fn load_acquire_u64(&self, address: u64) -> Result<u64, MemoryFault> {
        self.with(address, 8, Access::Read, |m, at| Some(m.atomic_u64(at)?.load(Ordering::Acquire)))
    }

    fn store_release_u32(&self, address: u64, value: u32) -> Result<(), MemoryFault> {
        self.with(address, 4, Access::Write, |m, at| Some(m.atomic_u32(at)?.store(value, Ordering::Release)))
    }

    fn store_release_u64(&self, address: u64, value: u64) -> Result<(), MemoryFault> {
        self.with(address, 8, Access::Write, |m, at| Some(m.atomic_u64(at)?.store(value, Ordering::Release)))
    }

    fn code_version(&self) -> u64 {
        self.code_version.load(Ordering::Acquire)
    }
}

fn update_u32(word: &AtomicU32, update: &mut dyn FnMut(u32) -> Option<u32>) -> u32 {
    word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update).unwrap_or_else(|old| old)
}

fn update_u64(word: &AtomicU64, update: &mut dyn FnMut(u64) -> Option<u64>) -> u64 {
    word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update).unwrap_or_else(|old| old)
}
