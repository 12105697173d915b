//! The virtual-memory interface: addresses are reserved, memory is made, and one is put behind the other, each by calls of its own.
//!
//! Promises:
//! - reserved addresses are nobody else's, and there is nothing at them but what was mapped and given access to; a kernel that goes there without
//!   access, or writes where it may only read, faults;
//! - memory may be mapped any number of times, parts of it too, and lives until its last handle is released and its last mapping is gone;
//! - it counts against the tenant's limit once, from its making to its end, mapped or not;
//! - a handle that is exported is good in every session of the tenant on the device for as long as the process that made it has the memory; whose it may
//!   be is decided by the broker, so the descriptor is no secret and no memory: a few bytes that name it.
//!
//! Copies are made by this process ([`crate::copy`]), so it sees what any agent may see: access of the host alone cannot be less than the device's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client::{Alias, Reservation};
use hsa_sys::raw::*;

use crate::agent::{Agent, agent_of};
use crate::devices::Objects;
use crate::edge::{Answer, In, Opaque, Out};
use crate::export::export;
use crate::ipc::{Handle, Kind};
use crate::memory::{PAGE, Pool};
use crate::runtime::{Runtime, failed, status_with};

/// Memory by itself.
struct Physical {
    objects: Mutex<Objects>,
    bytes: u64,
    pool: Pool,
    /// As asked for: pinned or not is all the same here.
    kind: hsa_amd_memory_type_t,
    /// It was made by another process.
    imported: bool,
}

impl Physical {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who may do what at a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Access {
    host: hsa_access_permission_t,
    /// By the number of the device.
    devices: Vec<hsa_access_permission_t>,
}

impl Access {
    fn none(devices: usize) -> Access {
        Access { host: HSA_ACCESS_PERMISSION_NONE, devices: vec![HSA_ACCESS_PERMISSION_NONE; devices] }
    }

    fn of(&mut self, agent: Agent) -> Option<&mut hsa_access_permission_t> {
        match agent {
            Agent::Host => Some(&mut self.host),
            Agent::Device(device) => self.devices.get_mut(device),
        }
    }

    /// What this process must be able to do for all of them.
    fn widest(&self) -> hsa_access_permission_t {
        self.devices.iter().fold(self.host, |widest, device| widest | device)
    }
}

/// Memory at reserved addresses.
struct Mapped {
    bytes: u64,
    offset: u64,
    handle: u64,
    memory: Arc<Physical>,
    access: Access,
}

/// Addresses that were reserved.
struct Reserved {
    /// As kernels of each device see them: opened when something is first shown to them. Declared first, because they go first.
    aliases: BTreeMap<usize, Alias>,
    range: Arc<Reservation>,
}

impl Reserved {
    fn alias(&mut self, runtime: &Runtime, device: usize) -> Answer<&Alias> {
        Ok(match self.aliases.entry(device) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let session = runtime.devices.session(device);
                place.insert(session.alias(Arc::clone(&self.range), false).map_err(failed)?)
            }
        })
    }
}

#[derive(Default)]
struct Books {
    /// By address.
    reserved: BTreeMap<u64, Reserved>,
    /// By address. Each lies inside one of `reserved`.
    mapped: BTreeMap<u64, Mapped>,
    /// Memory by its handle, and how many more handles were made than released. What is only mapped has none.
    handles: BTreeMap<u64, (Arc<Physical>, usize)>,
    /// The last handle.
    last: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Places(Mutex<Books>);

/// What is at an address, for who asks.
pub(crate) struct Found {
    /// The first address of the mapping, or of what is reserved.
    pub(crate) start: u64,
    pub(crate) bytes: u64,
    /// Of the memory that is there, if there is any.
    pub(crate) pool: Option<Pool>,
}

impl Places {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process may read, or write, all of `bytes` at an address.
    pub(crate) fn reach(&self, address: u64, bytes: usize, write: bool) -> bool {
        let wanted = if write { HSA_ACCESS_PERMISSION_RW } else { HSA_ACCESS_PERMISSION_RO };
        let books = self.books();
        let (mut at, Some(end)) = (address, address.checked_add(bytes as u64)) else { return false };
        while at < end {
            let Some((start, mapped)) = books.mapping_at(at) else { return false };
            if mapped.access.widest() & wanted != wanted {
                return false;
            }
            at = start + mapped.bytes;
        }
        true
    }

    /// Returns what is known of an address.
    pub(crate) fn find(&self, address: u64) -> Option<Found> {
        let books = self.books();
        if let Some((start, mapped)) = books.mapping_at(address) {
            return Some(Found { start, bytes: mapped.bytes, pool: Some(mapped.memory.pool) });
        }
        let (start, reserved) = books.reserved_at(address)?;
        Some(Found { start, bytes: reserved.range.bytes(), pool: None })
    }
}

impl Books {
    fn mapping_at(&self, address: u64) -> Option<(u64, &Mapped)> {
        let (&start, mapped) = self.mapped.range(..=address).next_back()?;
        (address - start < mapped.bytes).then_some((start, mapped))
    }

    fn reserved_at(&self, address: u64) -> Option<(u64, &Reserved)> {
        let (&start, reserved) = self.reserved.range(..=address).next_back()?;
        (address - start < reserved.range.bytes()).then_some((start, reserved))
    }

    fn memory(&self, handle: hsa_amd_vmem_alloc_handle_t) -> Answer<&Arc<Physical>> {
        self.handles.get(&handle.handle).map(|(memory, _)| memory).ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)
    }

    fn add(&mut self, memory: Physical) -> hsa_amd_vmem_alloc_handle_t {
        self.last += 1;
        self.handles.insert(self.last, (Arc::new(memory), 1));
        hsa_amd_vmem_alloc_handle_t { handle: self.last }
    }

    fn map(
        &mut self,
        runtime: &Runtime,
        (address, bytes, offset): (u64, u64, u64),
        handle: hsa_amd_vmem_alloc_handle_t,
    ) -> Answer {
        let memory = Arc::clone(self.memory(handle)?);
        let whole = [address, bytes, offset].iter().all(|number| number.is_multiple_of(PAGE as u64));
        if !whole || bytes == 0 || offset.checked_add(bytes).is_none_or(|end| end > memory.bytes) {
            return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
        }
        let missing = HSA_STATUS_ERROR_INVALID_ALLOCATION;
        let (start, reserved) = self.reserved_at(address).ok_or(missing)?;
        let end = address.checked_add(bytes).filter(|end| *end <= start + reserved.range.bytes()).ok_or(missing)?;
        let taken = self.mapped.range(..end).next_back().is_some_and(|(at, other)| at + other.bytes > address);
        if taken {
            return Err(missing);
        }
        let access = Access::none(runtime.devices.agents());
        let mapped = Mapped { bytes, offset, handle: handle.handle, memory, access };
        self.mapped.insert(address, mapped);
        Ok(())
    }

    fn unmap(&mut self, runtime: &Runtime, address: u64, bytes: u64) -> Answer {
        let is_it = self.mapped.get(&address).is_some_and(|mapped| mapped.bytes == bytes);
        if !is_it {
            return Err(HSA_STATUS_ERROR_INVALID_ALLOCATION);
        }
        self.set_access(runtime, address, &Access::none(runtime.devices.agents()))?;
        self.mapped.remove(&address);
        Ok(())
    }

    /// Returns the first addresses of the mappings that `bytes` at an address are made of, whole.
    fn pieces(&self, address: u64, bytes: u64) -> Answer<Vec<u64>> {
        let missing = HSA_STATUS_ERROR_INVALID_ALLOCATION;
        let end = address.checked_add(bytes).filter(|_| bytes > 0).ok_or(missing)?;
        let (mut at, mut pieces) = (address, Vec::new());
        while at < end {
            let mapped = self.mapped.get(&at).ok_or(missing)?;
            pieces.push(at);
            at += mapped.bytes;
        }
        if at == end { Ok(pieces) } else { Err(missing) }
    }

    /// Changes who may do what at the mapping that begins at an address.
    fn set_access(&mut self, runtime: &Runtime, address: u64, wanted: &Access) -> Answer {
        const NONE: hsa_access_permission_t = HSA_ACCESS_PERMISSION_NONE;
        let missing = HSA_STATUS_ERROR_INVALID_ALLOCATION;
        let Books { reserved, mapped, .. } = self;
        let mapped = mapped.get_mut(&address).ok_or(missing)?;
        let (_, reserved) = reserved.range_mut(..=address).next_back().ok_or(missing)?;
        let (mut objects, writes) = (mapped.memory.objects(), |may| may & HSA_ACCESS_PERMISSION_WO != 0);
        let was = mapped.access.clone();
        for (device, (had, wants)) in was.devices.iter().zip(&wanted.devices).enumerate() {
            if had == wants {
                continue;
            }
            if *had != NONE {
                reserved.alias(runtime, device)?.unmap(address).map_err(failed)?;
                mapped.access.devices[device] = NONE;
            }
            if *wants != NONE {
                let object = objects.of(&runtime.devices, device)?;
                let alias = reserved.alias(runtime, device)?;
                alias.map(object, mapped.offset, mapped.bytes, address, writes(*wants)).map_err(failed)?;
                mapped.access.devices[device] = *wants;
            }
        }
        if was.widest() != wanted.widest() {
            let shown = match wanted.widest() {
                NONE => reserved.range.hide(address, mapped.bytes),
                widest => reserved.range.show(objects.made(), mapped.offset, mapped.bytes, address, writes(widest)),
            };
            shown.map_err(failed)?;
        }
        mapped.access = wanted.clone();
        Ok(())
    }
}

/// Returns what a size comes to in whole pages that HSA asks for: it has to come in them.
fn pages(size: usize) -> Answer<u64> {
    if size > 0 && size.is_multiple_of(PAGE) { Ok(size as u64) } else { Err(HSA_STATUS_ERROR_INVALID_ARGUMENT) }
}

fn reserve(runtime: &Runtime, place: Out<*mut c_void>, size: usize, align: u64) -> Answer {
    let (place, bytes) = (place.needed()?, pages(size)?);
    if align != 0 && !align.is_power_of_two() {
        return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
    }
    let range = runtime.client.reserve(bytes, align).map_err(failed)?;
    let address = range.address();
    runtime.places.books().reserved.insert(address, Reserved { aliases: BTreeMap::new(), range: Arc::new(range) });
    place.put(std::ptr::with_exposed_provenance_mut(address as usize))
}

/// Makes a descriptor that names memory. It can be passed to other processes, and is of no other use.
fn descriptor(handle: Handle) -> Answer<c_int> {
    const SEALS: c_int = libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
    let out = |_| HSA_STATUS_ERROR_OUT_OF_RESOURCES;
    // SAFETY: a name of ours, and flags.
    let made = unsafe { libc::memfd_create(c"wavegate-handle".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if made < 0 {
        return Err(HSA_STATUS_ERROR_OUT_OF_RESOURCES);
    }
    // SAFETY: just made, and nobody else's.
    let file = unsafe { File::from_raw_fd(made) };
    let bytes: Vec<u8> = handle.words().iter().flat_map(|word| word.to_le_bytes()).collect();
    file.write_all_at(&bytes, 0).map_err(out)?;
    // SAFETY: concerns the descriptor only. Without seals it is no less good.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, SEALS) };
    Ok(file.into_raw_fd())
}

/// Reads what [`descriptor`] has written.
fn named_by(descriptor: c_int) -> Answer<Handle> {
    let wrong = HSA_STATUS_ERROR_INVALID_ARGUMENT;
    if descriptor < 0 {
        return Err(wrong);
    }
    // SAFETY: C's descriptor stays C's; a number that is none makes reading fail.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
    let mut bytes = [0; size_of::<[u32; 8]>() + 1];
    let read = file.read_at(&mut bytes, 0).map_err(|_| wrong)?;
    let (words, rest) = bytes[..read].as_chunks::<4>();
    let words: [u32; 8] =
        words.iter().map(|word| u32::from_le_bytes(*word)).collect::<Vec<_>>().try_into().map_err(|_| wrong)?;
    if rest.is_empty() { Handle::read(Kind::Memory, words) } else { Err(wrong) }
}

export! {
    /// Reserves addresses. The one that is asked for is a wish.
    fn hsa_amd_vmem_address_reserve(place: Out<*mut c_void>, size: usize, _wish: u64, _flags: u64) -> hsa_status_t {
        status_with(|runtime| reserve(runtime, place, size, 0))
    }

    /// As [`hsa_amd_vmem_address_reserve`], the first address a multiple of a power of two.
    fn hsa_amd_vmem_address_reserve_align(
        place: Out<*mut c_void>,
        size: usize,
        _wish: u64,
        align: u64,
        _flags: u64,
    ) -> hsa_status_t {
        status_with(|runtime| reserve(runtime, place, size, align))
    }

    /// Gives addresses back, all that were reserved together, when nothing is mapped there.
    fn hsa_amd_vmem_address_free(place: Opaque, size: usize) -> hsa_status_t {
        status_with(|runtime| {
            let (address, mut books) = (place.0.addr() as u64, runtime.places.books());
            let found = books.reserved.get(&address).filter(|reserved| reserved.range.bytes() == size as u64);
            let bytes = found.ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)?.range.bytes();
            if books.mapped.range(address..address + bytes).next().is_some() {
                return Err(HSA_STATUS_ERROR_RESOURCE_FREE);
            }
            let gone = books.reserved.remove(&address);
            // Others need not wait for the worker's answer.
            drop(books);
            drop(gone);
            Ok(())
        })
    }

    /// Makes memory.
    fn hsa_amd_vmem_handle_create(
        pool: hsa_amd_memory_pool_t,
        size: usize,
        kind: hsa_amd_memory_type_t,
        _flags: u64,
        handle: Out<hsa_amd_vmem_alloc_handle_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let (handle, pool) = (handle.needed()?, Pool::of(runtime, pool.handle)?);
            let (bytes, wanted) = (pages(size)?, pool.kind().ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?);
            if ![MEMORY_TYPE_NONE, MEMORY_TYPE_PINNED].contains(&kind) {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            let device = pool.agent().session();
            let object = runtime.devices.session(device).object(wanted, bytes).map_err(failed)?;
            let (bytes, objects) = (object.bytes(), Mutex::new(Objects::new(device, object, None)));
            handle.put(runtime.places.books().add(Physical { objects, bytes, pool, kind, imported: false }))
        })
    }

    /// Releases a handle. What is mapped stays.
    fn hsa_amd_vmem_handle_release(handle: hsa_amd_vmem_alloc_handle_t) -> hsa_status_t {
        status_with(|runtime| {
            let mut books = runtime.places.books();
            let (_, count) = books.handles.get_mut(&handle.handle).ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)?;
            *count -= 1;
            let last = if *count == 0 { books.handles.remove(&handle.handle) } else { None };
            drop(books);
            drop(last);
            Ok(())
        })
    }

    /// Puts memory behind reserved addresses. Nobody has access yet.
    fn hsa_amd_vmem_map(
        place: Opaque,
        size: usize,
        offset: usize,
        handle: hsa_amd_vmem_alloc_handle_t,
        _flags: u64,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let place = (place.0.addr() as u64, size as u64, offset as u64);
            runtime.places.books().map(runtime, place, handle)
        })
    }

    /// Takes memory from behind addresses, all that was put there together.
    fn hsa_amd_vmem_unmap(place: Opaque, size: usize) -> hsa_status_t {
        status_with(|runtime| runtime.places.books().unmap(runtime, place.0.addr() as u64, size as u64))
    }

    /// Says what agents may do at addresses, all of which must have memory. Agents that are not named keep what they had.
    fn hsa_amd_vmem_set_access(
        place: Opaque,
        size: usize,
        list: In<'_, hsa_amd_memory_access_desc_t>,
        count: usize,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let list = list.list(count)?;
            for wanted in &list {
                agent_of(runtime, wanted.agent_handle)?;
                let known = [HSA_ACCESS_PERMISSION_NONE, HSA_ACCESS_PERMISSION_RO, HSA_ACCESS_PERMISSION_RW];
                if !known.contains(&wanted.permissions) {
                    return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
                }
            }
            let mut books = runtime.places.books();
            for address in books.pieces(place.0.addr() as u64, size as u64)? {
                let was = books.mapped.get(&address).map(|mapped| mapped.access.clone());
                let mut access = was.ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)?;
                for wanted in &list {
                    let who = access.of(agent_of(runtime, wanted.agent_handle)?);
                    *who.ok_or(HSA_STATUS_ERROR_INVALID_AGENT)? = wanted.permissions;
                }
                books.set_access(runtime, address, &access)?;
            }
            Ok(())
        })
    }

    /// Returns what an agent may do at an address.
    fn hsa_amd_vmem_get_access(
        place: Opaque,
        permission: Out<hsa_access_permission_t>,
        agent: hsa_agent_t,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let agent = agent_of(runtime, agent)?;
            let books = runtime.places.books();
            let (_, mapped) = books.mapping_at(place.0.addr() as u64).ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)?;
            let mut access = mapped.access.clone();
            permission.put(*access.of(agent).ok_or(HSA_STATUS_ERROR_INVALID_AGENT)?)
        })
    }

    /// Makes a descriptor by which other processes of the tenant get memory.
    fn hsa_amd_vmem_export_shareable_handle(
        descriptor_out: Out<c_int>,
        handle: hsa_amd_vmem_alloc_handle_t,
        _flags: u64,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let place = descriptor_out.needed()?;
            let memory = Arc::clone(runtime.places.books().memory(handle)?);
            // What was imported belongs to somebody else.
            if memory.imported {
                return Err(HSA_STATUS_ERROR_INVALID_ALLOCATION);
            }
            let share = memory.objects().tell()?;
            let named = Handle { kind: Kind::Memory, share, bytes: memory.bytes, pool: memory.pool.name(runtime) };
            place.put(descriptor(named)?)
        })
    }

    /// Gets memory of another process of the tenant. The descriptor stays the caller's.
    fn hsa_amd_vmem_import_shareable_handle(
        named: c_int,
        handle: Out<hsa_amd_vmem_alloc_handle_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let (handle, named) = (handle.needed()?, named_by(named)?);
            let pool = Pool::by_name(runtime, named.pool)?;
            let device = pool.agent().session();
            let object = runtime.devices.session(device).import_object(named.share, named.bytes).map_err(failed)?;
            let (bytes, objects) = (object.bytes(), Mutex::new(Objects::new(device, object, Some(named.share))));
            let memory = Physical { objects, bytes, pool, kind: MEMORY_TYPE_NONE, imported: true };
            handle.put(runtime.places.books().add(memory))
        })
    }

    /// Returns one more handle of what is mapped at an address.
    fn hsa_amd_vmem_retain_alloc_handle(
        handle: Out<hsa_amd_vmem_alloc_handle_t>,
        place: Opaque,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let (out, mut books) = (handle.needed()?, runtime.places.books());
            let (_, mapped) = books.mapping_at(place.0.addr() as u64).ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)?;
            let (handle, memory) = (mapped.handle, Arc::clone(&mapped.memory));
            books.handles.entry(handle).or_insert((memory, 0)).1 += 1;
            out.put(hsa_amd_vmem_alloc_handle_t { handle })
        })
    }

    /// Returns how memory was made.
    fn hsa_amd_vmem_get_alloc_properties_from_handle(
        handle: hsa_amd_vmem_alloc_handle_t,
        pool: Out<hsa_amd_memory_pool_t>,
        kind: Out<hsa_amd_memory_type_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let (pool, kind) = (pool.needed()?, kind.needed()?);
            let memory = Arc::clone(runtime.places.books().memory(handle)?);
            pool.put(hsa_amd_memory_pool_t { handle: memory.pool.handle() })?;
            kind.put(memory.kind)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::ShareId;
    use std::io::Write as _;
    use std::os::fd::OwnedFd;

    #[test]
    fn a_descriptor_names_memory_and_others_are_refused() {
        let handle = Handle { kind: Kind::Memory, share: ShareId(0x1234_5678_9abc), bytes: 8192, pool: 0x21 };
        // SAFETY: just made for us.
        let made = unsafe { OwnedFd::from_raw_fd(descriptor(handle).unwrap()) };
        assert_eq!(named_by(made.as_raw_fd()), Ok(handle));
        assert_eq!(named_by(made.as_raw_fd()), Ok(handle), "reading leaves it as it is");
        let writable = File::from(made.try_clone().unwrap());
        assert!(writable.write_all_at(b"x", 0).is_err(), "it is sealed");
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&[0; 32]).unwrap();
        for other in [-1, i32::MAX, reader.as_raw_fd(), File::open("/proc/self/exe").unwrap().into_raw_fd()] {
            assert_eq!(named_by(other), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT), "{other}");
        }
    }

    #[test]
    fn this_process_can_do_what_any_agent_may() {
        let (none, ro, rw) = (HSA_ACCESS_PERMISSION_NONE, HSA_ACCESS_PERMISSION_RO, HSA_ACCESS_PERMISSION_RW);
        for (host, devices, widest) in [
            (none, [none, none], none),
            (ro, [none, none], ro),
            (none, [none, rw], rw),
            (ro, [rw, none], rw),
            (rw, [ro, none], rw),
        ] {
            assert_eq!(Access { host, devices: devices.to_vec() }.widest(), widest);
        }
    }
}
