//! A session's address space on the software GPU: page-granular regions, each one mapped memory object with its rights.
//!
//! Kernels on several host threads look addresses up while the control thread adds and removes regions, so the list of regions
//! is replaced as a whole and readers never wait. Tenant memory is only ever touched through [`Mapping`], which hands out no references to it.

mod access;

use crate::device::{
    Aliases, Allocate, Allocation, DeviceError, DeviceMemory, LoadedCode, LoadedKernel, Pool, Rights, Supplier,
};
use arc_swap::ArcSwap;
use gcn::arch::Arch;
use gcn::code_object::CodeObject;
use gcn::memory::{Access, LaneFault, Lanes, MemoryFault, Refusal, active};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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

impl Region {
    /// Returns where in `memory` the `bytes` from `address` lie, if all of them are in this region.
    #[inline(always)]
    fn place(&self, address: u64, bytes: u64) -> Option<usize> {
        let within = address.wrapping_sub(self.start);
        (within < self.bytes && bytes <= self.bytes - within).then(|| (within + self.offset) as usize)
    }

    /// Whether a kernel may do this here.
    #[inline(always)]
    fn allows(&self, access: Access) -> bool {
        match access {
            Access::Read => true,
            Access::Write | Access::Atomic => self.rights == Rights::ReadWrite,
            Access::Execute => self.rights == Rights::ReadExecute,
        }
    }
}

/// One allocation: one or more regions.
struct Held {
    bytes: u64,
    /// `None` for a part of another allocation that is mapped a second time.
    pool: Option<Pool>,
}

/// An open alias.
#[derive(Clone, Copy)]
struct Alias {
    start: u64,
    bytes: u64,
    /// Kernels that touch what is not there wait for the supplier.
    ask: bool,
}

impl Alias {
    fn holds(&self, address: u64, bytes: u64) -> bool {
        let within = address.wrapping_sub(self.start);
        within < self.bytes && bytes <= self.bytes - within
    }
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

impl Books {
    /// Returns the end of an allocation that overlaps these bytes, if there is one.
    fn overlapped(&self, address: u64, bytes: u64) -> Option<u64> {
        let (start, held) = self.held.range(..address.saturating_add(bytes)).next_back()?;
        Some(start + held.bytes).filter(|&end| end > address)
    }
}

/// See the module.
pub struct AddressSpace {
    arch: Arch,
    vram_bytes: u64,
    /// Sorted by address, without overlap.
    regions: ArcSwap<Vec<Region>>,
    books: Mutex<Books>,
    code_version: AtomicU64,
    /// Replaced as a whole, as the regions are; looked at only when an address is in no region.
    aliases: ArcSwap<Vec<Alias>>,
    supplier: OnceLock<Supplier>,
}

impl AddressSpace {
    pub(super) fn new(arch: Arch, vram_bytes: u64) -> AddressSpace {
        AddressSpace {
            arch,
            vram_bytes,
            regions: ArcSwap::from_pointee(Vec::new()),
            books: Mutex::new(Books { next: OWN_ADDRESSES, ..Books::default() }),
            code_version: AtomicU64::new(0),
            aliases: ArcSwap::from_pointee(Vec::new()),
            supplier: OnceLock::new(),
        }
    }

    fn space(&self) -> &AddressSpace {
        self
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all of `bytes` from `address` are mapped, in one region, with the right to write.
    pub(super) fn covers(&self, address: u64, bytes: u64) -> bool {
        let regions = self.regions.load();
        find(&regions, address, bytes).is_some_and(|(r, _)| r.rights == Rights::ReadWrite)
    }

    /// Returns scratch backing of at least `bytes`: what there is, or more in its place, taken from `source`.
    pub(super) fn scratch(&self, bytes: u64, source: impl FnOnce(u64) -> Option<MemFd>) -> Option<u64> {
        let old = self.books().scratch;
        if let Some((address, have)) = old {
            if have >= bytes {
                return Some(address);
            }
            self.free(address).ok()?;
            self.books().scratch = None;
        }
        let rights = Rights::ReadWrite;
        let bytes = bytes.checked_next_multiple_of(sys::page_size() as u64)?;
        let backing = Some(source(bytes)?);
        let want = Allocate { pool: Pool::Vram, bytes, rights, address: None, backing };
        let got = self.allocate(want).ok()?;
        self.books().scratch = Some((got.address, got.bytes));
        Some(got.address)
    }

    /// Puts `change` into effect for everybody who looks an address up from now on. Callers hold the books: changes must not
    /// overtake each other.
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
        let mut regions = self.regions.load();
        let refused = |refusal| MemoryFault { address, access, refusal };
        if find(&regions, address, bytes).is_none() && self.supply(address, bytes) {
            regions = self.regions.load();
        }
        let (region, offset) = find(&regions, address, bytes).ok_or(refused(Refusal::Unmapped))?;
        if !region.allows(access) {
            return Err(refused(Refusal::Rights));
        }
        then(&region.memory, offset).ok_or(refused(Refusal::Misaligned))
    }

    /// Calls `then` for every active lane, lowest first, with the memory its `bytes` lie in; stops at the first that is refused.
    ///
    /// The list of regions is taken once, and a lane is looked for where the lane before it was: nearly always they are neighbours.
    #[inline(always)]
    fn each_lane(
        &self,
        lanes: Lanes<'_>,
        bytes: u64,
        access: Access,
        mut then: impl FnMut(&Mapping, usize, usize) -> Result<(), OutOfBounds>,
    ) -> Result<(), LaneFault> {
        let mut regions = self.regions.load();
        let mut last: Option<&Region> = None;
        for lane in active(lanes.mask) {
            let address = lanes.address[lane];
            let refused = |refusal| LaneFault { lane: lane as u8, fault: MemoryFault { address, access, refusal } };
            let (memory, offset) = match last.and_then(|r| Some((&*r.memory, r.place(address, bytes)?))) {
                Some(found) => found,
                None => {
                    if find(&regions, address, bytes).is_none() && self.supply(address, bytes) {
                        regions = self.regions.load();
                    }
                    let (region, offset) = find(&regions, address, bytes).ok_or_else(|| refused(Refusal::Unmapped))?;
                    if !region.allows(access) {
                        return Err(refused(Refusal::Rights));
                    }
                    last = Some(region);
                    (&*region.memory, offset)
                }
            };
            then(memory, offset, lane).map_err(|OutOfBounds| refused(Refusal::Unmapped))?;
        }
        Ok(())
    }

    /// Has memory brought to an address in no region, if it is in an alias that wants to be asked. Returns whether it has come.
    #[cold]
    fn supply(&self, address: u64, bytes: u64) -> bool {
        if !self.aliases.load().iter().any(|alias| alias.ask && alias.holds(address, bytes)) {
            return false;
        }
        let there = || find(&self.regions.load(), address, bytes).is_some();
        // The last byte may be on another page than the first. It is in the alias, so the sum does not wrap.
        let ends = [address, address + (bytes.max(1) - 1)];
        let come = |supplier: &Supplier| {
            ends.iter().all(|&end| supplier(end, &|| find(&self.regions.load(), end, 1).is_some()))
        };
        self.supplier.get().is_some_and(come) && there()
    }

    /// Whether kernels may execute any of these bytes.
    fn has_code(&self, address: u64, bytes: u64) -> bool {
        let regions = self.regions.load();
        let first = regions.partition_point(|r| r.start + r.bytes <= address);
        regions[first..]
            .iter()
            .take_while(|r| r.start - address.min(r.start) < bytes)
            .any(|r| r.rights == Rights::ReadExecute)
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
        // An allocation is one memory object, however many regions its rights make of it. It may end before `address`.
        let within = end.and_then(|end| end.checked_sub(address)).is_some_and(|left| bytes <= left);
        let missing = DeviceError::NoSuchMemory { address };
        match region {
            Some(r) if within => {
                then(&r.memory, (address - r.start + r.offset) as usize).map_err(|OutOfBounds| missing)
            }
            _ => Err(missing),
        }
    }
}

/// Returns the index of the last region that begins at or before `address`; past the end if there is none.
#[inline]
fn at_or_before(regions: &[Region], address: u64) -> usize {
    regions.partition_point(|r| r.start <= address).wrapping_sub(1)
}

/// Returns the region that all of `bytes` from `address` lie in, and where in its memory.
#[inline]
fn find(regions: &[Region], address: u64, bytes: u64) -> Option<(&Region, usize)> {
    let region = regions.get(at_or_before(regions, address))?;
    Some((region, region.place(address, bytes)?))
}

impl DeviceMemory for AddressSpace {
    fn allocate(&self, want: Allocate) -> Result<Allocation, DeviceError> {
        let page = sys::page_size() as u64;
        let too_large = DeviceError::OutOfMemory {
            asked: want.bytes,
            free: self.vram_bytes - self.vram_used().min(self.vram_bytes),
        };
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
                // Whoever also chooses addresses may have taken this one: go on behind it.
                while let Some(end) = books.overlapped(books.next, bytes) {
                    books.next = end + page;
                }
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
        if books.overlapped(address, bytes).is_some() {
            return Err(bad("it overlaps memory of the session"));
        }
        let object = match want.backing {
            Some(object) if object.bytes() as u64 == bytes => object,
            Some(_) => return Err(bad("the memory object has another size")),
            None => MemFd::create("wavegate", bytes as usize)?,
        };
        // Memory that was granted to be read comes with a descriptor that does nothing else.
        let access = match object.is_writable() {
            true => sys::mapping::Access::ReadWrite,
            false => sys::mapping::Access::ReadOnly,
        };
        let memory = Arc::new(Mapping::new(&object, access)?);
        self.change_regions(|r| r.push(Region { start: address, bytes, rights: want.rights, memory, offset: 0 }));
        books.held.insert(address, Held { bytes, pool: Some(want.pool) });
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
        if books.held.get(&address).is_none_or(|held| held.pool.is_none()) {
            return Err(DeviceError::NoSuchMemory { address });
        }
        let held = books.held.remove(&address).ok_or(DeviceError::NoSuchMemory { address })?;
        if held.pool == Some(Pool::Vram) {
            books.vram_used -= held.bytes;
        }
        self.change_regions(|regions| regions.retain(|r| r.start < address || r.start >= address + held.bytes));
        self.code_version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.host(address, data.len() as u64, |memory, offset| memory.write(offset, data))?;
        if self.has_code(address, data.len() as u64) {
            self.code_version.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        self.host(address, out.len() as u64, |memory, offset| memory.read(offset, out))
    }

    fn load_code(&self, object: &CodeObject, _file: &[u8], address: u64) -> Result<LoadedCode, DeviceError> {
        if object.arch() != self.arch {
            let (object, device) = (object.arch().to_string(), self.arch.to_string());
            return Err(DeviceError::WrongTarget { object, device });
        }
        let image = object.image(address, &|_| None)?;
        let books = self.books();
        let Some(&Held { bytes, .. }) = books.held.get(&address) else {
            return Err(DeviceError::NoSuchMemory { address });
        };
        if image.len() as u64 > bytes {
            let why = "the code object's image is larger than the memory for it";
            return Err(DeviceError::Range { address, bytes, why });
        }
        // Found by its first piece, which stays even if other code was loaded here before; that code's pieces all go.
        let memory = find(&self.regions.load(), address, 1).map(|(r, _)| Arc::clone(&r.memory));
        let memory = memory.ok_or(DeviceError::NoSuchMemory { address })?;
        memory.write(0, &image).map_err(|OutOfBounds| DeviceError::NoSuchMemory { address })?;
        self.change_regions(|regions| {
            regions.retain(|r| r.start < address || r.start >= address + bytes);
            let pieces = object.segments().iter().filter(|s| s.offset < bytes).map(|segment| Region {
                start: address + segment.offset,
                bytes: segment.bytes.min(bytes - segment.offset),
                // Constants too: a card protects no segment from its own session's kernels, and HIP 6 sets constants by a kernel that
                // copies. Code is kept, because it is decoded and translated ahead.
                rights: if segment.executable { Rights::ReadExecute } else { Rights::ReadWrite },
                memory: Arc::clone(&memory),
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
        Ok(LoadedCode { image: address, kernels: kernels.collect() })
    }

    fn vram_used(&self) -> u64 {
        self.books().vram_used
    }

    fn aliases(&self) -> Option<&dyn Aliases> {
        Some(self)
    }
}

impl Aliases for AddressSpace {
    fn open(&self, address: u64, bytes: u64, ask: bool) -> Result<(), DeviceError> {
        let page = sys::page_size() as u64;
        let bad = |why| DeviceError::Range { address, bytes, why };
        if bytes == 0 || !address.is_multiple_of(page) || !bytes.is_multiple_of(page) {
            return Err(bad("an alias is whole pages"));
        }
        if address == 0 || address.checked_add(bytes).is_none_or(|end| end > ADDRESS_END) {
            return Err(bad("it is outside of user addresses"));
        }
        let books = self.books();
        let mut aliases = Vec::clone(&self.aliases.load());
        let overlaps = |alias: &Alias| alias.start < address + bytes && address < alias.start + alias.bytes;
        if books.overlapped(address, bytes).is_some() || aliases.iter().any(overlaps) {
            return Err(bad("it overlaps memory of the session"));
        }
        aliases.push(Alias { start: address, bytes, ask });
        self.aliases.store(Arc::new(aliases));
        Ok(())
    }

    fn close(&self, address: u64) -> Result<(), DeviceError> {
        let mut books = self.books();
        let mut aliases = Vec::clone(&self.aliases.load());
        let at = aliases.iter().position(|alias| alias.start == address);
        let Alias { start, bytes, .. } = aliases.swap_remove(at.ok_or(DeviceError::NoSuchMemory { address })?);
        self.aliases.store(Arc::new(aliases));
        books.held.retain(|place, held| held.pool.is_some() || *place < start || *place >= start + bytes);
        // Nothing but mapped parts lies in an alias.
        self.change_regions(|regions| regions.retain(|r| r.start < start || r.start >= start + bytes));
        Ok(())
    }

    fn map(&self, address: u64, source: u64, offset: u64, bytes: u64, write: bool) -> Result<(), DeviceError> {
        let page = sys::page_size() as u64;
        let bad = |why| DeviceError::Range { address, bytes, why };
        let mut books = self.books();
        let whole = [address, offset, bytes].iter().all(|n| n.is_multiple_of(page)) && bytes > 0;
        if !whole || !self.aliases.load().iter().any(|alias| alias.holds(address, bytes)) {
            return Err(bad("a part is mapped in whole pages inside an alias"));
        }
        if books.overlapped(address, bytes).is_some() {
            return Err(bad("it overlaps memory of the session"));
        }
        let held = books.held.get(&source).filter(|held| held.pool.is_some());
        let held = held.ok_or(DeviceError::NoSuchMemory { address: source })?;
        if offset.checked_add(bytes).is_none_or(|end| end > held.bytes) {
            return Err(bad("the buffer is shorter"));
        }
        let regions = self.regions.load();
        let (region, at) =
            find(&regions, source + offset, bytes).ok_or(DeviceError::NoSuchMemory { address: source })?;
        let rights = if write { region.rights } else { Rights::Read };
        let part = Region { start: address, bytes, rights, memory: Arc::clone(&region.memory), offset: at as u64 };
        self.change_regions(|regions| regions.push(part));
        books.held.insert(address, Held { bytes, pool: None });
        Ok(())
    }

    fn unmap(&self, address: u64) -> Result<(), DeviceError> {
        let mut books = self.books();
        match books.held.get(&address) {
            Some(Held { pool: None, .. }) => {}
            _ => return Err(DeviceError::NoSuchMemory { address }),
        }
        books.held.remove(&address);
        self.change_regions(|regions| regions.retain(|r| r.start != address));
        Ok(())
    }

    fn set_supplier(&self, supplier: Supplier) {
        let _ = self.supplier.set(supplier);
    }
}
