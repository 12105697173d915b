//! A session's memory on a GPU: device memory from the driver, host memory that the broker created, code where the loader puts it.
//!
//! The driver chooses every address. Host memory is a memory object mapped here and made visible to the device, which gives it an address
//! of its own; the tenant maps the object at that address. What kernels shall see of a tenant's own pages is parts of such objects in a row, an
//! alias. Device memory and the variables of loaded code are reached by copies that the device does. Device memory is
//! cleared before it is handed out: the driver clears what it gets back from a process, not what the process keeps in its pool.
//!
//! A copy that never ends means that the device is lost ([`RocrMemory::stuck`]).

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use gcn::arch::Arch;
use gcn::code_object::CodeObject;
use hsa_sys::raw;
use hsa_sys::runtime::{Agent, DeviceBuffer, Executable, HostBuffer, HsaError, Part, Pinned, Place, copy};
use sys::mapping::{Access, Mapping};
use sys::memfd::MemFd;

use crate::device::{
    AliasPart, Allocate, Allocation, DeviceError, DeviceMemory, LoadedCode, LoadedKernel, Pool, Rights,
};

/// Bytes of the buffer that copies to and from device memory go through.
const STAGING_BYTES: usize = 1 << 20;
/// Where placeholders of code objects begin: above every address of a program, so that nothing else is there.
const CODE_PLACES: u64 = 1 << 56;

/// Types of sections: symbols, and symbols for the dynamic linker.
const SHT_SYMTAB: usize = 2;
const SHT_DYNSYM: usize = 11;
/// Their names, with the zeroes around them.
const SYMTAB: &[u8] = b"\0.symtab\0";
const DYNSYM: &[u8] = b"\0.dynsym\0";

/// One allocation.
enum Held {
    Vram(DeviceBuffer),
    Host {
        mapping: Arc<Mapping>,
        /// The device's view of it.
        pinned: Pinned,
    },
    /// Parts of host memory, seen a second time.
    Alias(Pinned),
    /// A place for a code object; the loader decides where its image really is.
    Code {
        bytes: u64,
        loaded: Option<(Executable, u64)>,
    },
}

impl Held {
    fn bytes(&self) -> u64 {
        match self {
            Held::Vram(buffer) => buffer.bytes() as u64,
            Held::Host { mapping, .. } => mapping.len() as u64,
            Held::Alias(pinned) => pinned.bytes() as u64,
            Held::Code { bytes, .. } => *bytes,
        }
    }
}

/// See the module.
pub(super) struct RocrMemory {
    agent: Agent,
    target: String,
    vram_bytes: u64,
    /// By the address at which kernels see it.
    held: RwLock<BTreeMap<u64, Held>>,
    vram_used: AtomicU64,
    staging: Mutex<HostBuffer>,
    next_code: AtomicU64,
    /// Descriptors of loaded kernels and how many code objects have them: what a packet may name.
    kernels: RwLock<BTreeMap<u64, u64>>,
    /// Why the device copies nothing any more.
    stuck: OnceLock<String>,
}

/// Returns what begins a copy at an address.
fn place_at(held: &BTreeMap<u64, Held>, address: u64) -> Option<Place<'_>> {
    if let Some((start, found)) = held.range(..=address).next_back() {
        let offset = address - start;
        match found {
            Held::Vram(buffer) if offset < found.bytes() => return Some(Place::Device(buffer, offset as usize)),
            Held::Host { pinned, .. } | Held::Alias(pinned) if offset < found.bytes() => {
                return Some(Place::Pinned(pinned, offset as usize));
            }
            _ => {}
        }
    }
    held.range(CODE_PLACES..).find_map(|(_, held)| match held {
        Held::Code { bytes, loaded: Some((executable, image)) } => {
            let inside = address.checked_sub(*image).is_some_and(|offset| offset < *bytes);
            inside.then_some(Place::Loaded(executable, address))
        }
        _ => None,
    })
}

impl RocrMemory {
    pub(super) fn new(agent: Agent, target: &str, vram_bytes: u64) -> Result<RocrMemory, DeviceError> {
        Ok(RocrMemory {
            staging: Mutex::new(HostBuffer::new(&agent, STAGING_BYTES)?),
            agent,
            target: target.to_owned(),
            vram_bytes,
            held: RwLock::default(),
            vram_used: AtomicU64::new(0),
            next_code: AtomicU64::new(CODE_PLACES),
            kernels: RwLock::default(),
            stuck: OnceLock::new(),
        })
    }

    fn held(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Held>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn staging(&self) -> MutexGuard<'_, HostBuffer> {
        self.staging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the host's view of host memory at `address`, if all of `bytes` are in one allocation, and the offset in it.
    pub(super) fn host(&self, address: u64, bytes: u64) -> Option<(Arc<Mapping>, usize)> {
        let held = self.held();
        let (start, found) = held.range(..=address).next_back()?;
        let offset = address - start;
        match found {
            Held::Host { mapping, .. } if offset.checked_add(bytes)? <= mapping.len() as u64 => {
                Some((Arc::clone(mapping), offset as usize))
            }
            _ => None,
        }
    }

    /// Whether a packet may name this kernel object.
    pub(super) fn is_kernel(&self, object: u64) -> bool {
        self.kernels.read().unwrap_or_else(PoisonError::into_inner).contains_key(&object)
    }

    /// Returns why the device copies nothing any more, if so.
    pub(super) fn stuck(&self) -> Option<&str> {
        self.stuck.get().map(String::as_str)
    }

    /// Takes note of a copy that never ends.
    fn copied(&self, done: Result<(), HsaError>) -> Result<(), DeviceError> {
        done.map_err(|error| {
            if error.status == raw::HSA_STATUS_ERROR_FATAL {
                self.stuck.get_or_init(|| error.to_string());
            }
            error.into()
        })
    }

    /// Whether anything is at `address`.
    pub(super) fn has(&self, address: u64) -> bool {
        let held = self.held();
        held.range(..=address).next_back().is_some_and(|(start, held)| address - start < held.bytes())
    }

    fn allocate_vram(&self, bytes: u64) -> Result<(u64, Held), DeviceError> {
        let room = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.vram_bytes);
        let used = self.vram_used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        let full = |used: u64| DeviceError::OutOfMemory { asked: bytes, free: self.vram_bytes.saturating_sub(used) };
        used.map_err(full)?;
        let cleared = DeviceBuffer::new(&self.agent, bytes as usize).and_then(|buffer| {
            buffer.clear()?;
            Ok(buffer)
        });
        match cleared {
            Ok(buffer) => Ok((buffer.address(), Held::Vram(buffer))),
            Err(error) => {
                self.vram_used.fetch_sub(bytes, Ordering::Relaxed);
                Err(error.into())
            }
        }
    }

    fn allocate_host(&self, bytes: u64, backing: Option<MemFd>) -> Result<(u64, Held), DeviceError> {
        let object = match backing {
            Some(object) if object.bytes() as u64 == bytes => object,
            Some(_) => {
                let why = "the memory object has another size";
                return Err(DeviceError::Range { address: 0, bytes, why });
            }
            None => MemFd::create("wavegate", bytes as usize)?,
        };
        let mapping = Arc::new(Mapping::new(&object, Access::ReadWrite)?);
        let pinned = Pinned::new(&self.agent, object.as_fd(), object.bytes())?;
        Ok((pinned.address(), Held::Host { mapping, pinned }))
    }

    /// Calls `copy` for each piece of device memory that fits the staging buffer.
    fn pieces(
        &self,
        address: u64,
        bytes: usize,
        mut copy: impl FnMut(&DeviceBuffer, &mut HostBuffer, usize, std::ops::Range<usize>) -> Result<(), HsaError>,
    ) -> Result<(), DeviceError> {
        let held = self.held();
        let missing = || DeviceError::NoSuchMemory { address };
        let (start, found) = held.range(..=address).next_back().ok_or_else(missing)?;
        let Held::Vram(buffer) = found else { return Err(missing()) };
        let offset = (address - start) as usize;
        if offset.checked_add(bytes).is_none_or(|end| end > buffer.bytes()) {
            return Err(missing());
        }
        let mut staging = self.staging();
        for from in (0..bytes).step_by(STAGING_BYTES) {
            self.copied(copy(buffer, &mut staging, offset + from, from..bytes.min(from + STAGING_BYTES)))?;
        }
        Ok(())
    }
}

/// Returns the code object with a symbol table, if it was stripped of its own.
///
/// ROCr looks kernels up in the section `.symtab`; without one it loads the object without a complaint and knows no kernel. The dynamic
/// symbols, which stripping leaves, have the same form: they pass for the table under its name and type. What is loaded stays as it is.
pub(super) fn with_symbols(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let number = |at: usize, bytes: usize| {
        let field = file.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0usize, |n, &byte| n << 8 | usize::from(byte)))
    };
    // Section headers of a 64-bit ELF file: where, how large, how many; the type is the second word of each.
    let (Some(at), Some(size), Some(count)) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2)) else { return file };
    let types = (0..count).filter_map(|k| at.checked_add(k * size)?.checked_add(4));
    let types: Vec<(usize, usize)> = types.filter_map(|place| Some((place, number(place, 4)?))).collect();
    let dynamic = types.iter().find(|(_, kind)| *kind == SHT_DYNSYM).map(|(place, _)| *place);
    // Section names are the last strings of a file.
    let name = file.windows(DYNSYM.len()).rposition(|bytes| bytes == DYNSYM);
    if let (false, Some(place), Some(name)) = (types.iter().any(|(_, kind)| *kind == SHT_SYMTAB), dynamic, name) {
        file[place..place + 4].copy_from_slice(&(SHT_SYMTAB as u32).to_le_bytes());
        file[name..name + SYMTAB.len()].copy_from_slice(SYMTAB);
    }
    file
}

impl DeviceMemory for RocrMemory {
    fn allocate(&self, want: Allocate) -> Result<Allocation, DeviceError> {
        let page = sys::page_size() as u64;
        let free = || self.vram_bytes.saturating_sub(self.vram_used());
        let too_large = DeviceError::OutOfMemory { asked: want.bytes, free: free() };
        let bytes = want.bytes.max(1).checked_next_multiple_of(page).filter(|&b| b < 1 << 47).ok_or(too_large)?;
        let (address, held) = match (want.rights, want.pool, want.backing) {
            (Rights::ReadExecute, ..) => {
                let place = self.next_code.fetch_add(bytes + page, Ordering::Relaxed);
                (place, Held::Code { bytes, loaded: None })
            }
            (_, Pool::Vram, None) => self.allocate_vram(bytes)?,
            (_, Pool::Vram, Some(_)) => {
                return Err(DeviceError::Contract { backend: "rocr", what: "device memory without an object" });
            }
            (_, Pool::Host, backing) => self.allocate_host(bytes, backing)?,
        };
        self.change().insert(address, held);
        Ok(Allocation { address, bytes })
    }

    fn free(&self, address: u64) -> Result<(), DeviceError> {
        let held = self.change().remove(&address).ok_or(DeviceError::NoSuchMemory { address })?;
        if let Held::Vram(buffer) = &held {
            self.vram_used.fetch_sub(buffer.bytes() as u64, Ordering::Relaxed);
        }
        if matches!(held, Held::Code { .. }) {
            self.kernels.write().unwrap_or_else(PoisonError::into_inner).retain(|_, place| *place != address);
        }
        Ok(())
    }

    fn write(&self, address: u64, data: &[u8]) -> Result<(), DeviceError> {
        if let Some((mapping, offset)) = self.host(address, data.len() as u64) {
            return mapping.write(offset, data).map_err(|_| DeviceError::NoSuchMemory { address });
        }
        self.pieces(address, data.len(), |buffer, staging, offset, piece| {
            staging.write(&data[piece.clone()]);
            buffer.copy_from(offset, staging, piece.len())
        })
    }

    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        if let Some((mapping, offset)) = self.host(address, out.len() as u64) {
            return mapping.read(offset, out).map_err(|_| DeviceError::NoSuchMemory { address });
        }
        self.pieces(address, out.len(), |buffer, staging, offset, piece| {
            buffer.copy_to(offset, staging, piece.len())?;
            staging.read(&mut out[piece]);
            Ok(())
        })
    }

    fn load_code(&self, object: &CodeObject, file: &[u8], address: u64) -> Result<LoadedCode, DeviceError> {
        if Arch::from_name(&self.target) != Some(object.arch()) {
            let (object, device) = (object.arch().to_string(), self.target.clone());
            return Err(DeviceError::WrongTarget { object, device });
        }
        match self.held().get(&address) {
            Some(Held::Code { bytes, .. }) if object.image_bytes() <= *bytes => {}
            Some(Held::Code { bytes, .. }) => {
                let why = "the code object's image is larger than the memory for it";
                return Err(DeviceError::Range { address, bytes: *bytes, why });
            }
            _ => return Err(DeviceError::NoSuchMemory { address }),
        }
        let executable = Executable::load(&self.agent, &with_symbols(file))?;
        // The loader keeps the image in one piece, so any symbol says where it is.
        let mut image = None;
        let mut kernels = Vec::new();
        for kernel in object.kernels() {
            let symbol = executable.kernel(&kernel.symbol)?;
            image.get_or_insert(symbol.object.wrapping_sub(kernel.descriptor_offset));
            kernels.push(LoadedKernel {
                name: kernel.name.clone(),
                kernel_object: symbol.object,
                kernarg_bytes: u64::from(kernel.kernarg_segment_size),
                group_segment_bytes: kernel.group_segment_fixed_size,
                private_segment_bytes: kernel.private_segment_fixed_size,
            });
        }
        if let (None, Some(variable)) = (image, object.symbols().first()) {
            image = Some(executable.variable(&variable.name)?.wrapping_sub(variable.offset));
        }
        let mut known = self.kernels.write().unwrap_or_else(PoisonError::into_inner);
        // Other code may have been loaded here before.
        known.retain(|_, place| *place != address);
        known.extend(kernels.iter().map(|kernel| (kernel.kernel_object, address)));
        drop(known);
        if let Some(Held::Code { loaded, .. }) = self.change().get_mut(&address) {
            *loaded = Some((executable, image.unwrap_or(address)));
        }
        Ok(LoadedCode { image: image.unwrap_or(address), kernels })
    }

    fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<(), DeviceError> {
        if let (Some((to, at)), Some((source, offset))) = (self.host(to, bytes), self.host(from, bytes)) {
            let missing = |_| DeviceError::NoSuchMemory { address: from };
            return source.copy_to(offset, &to, at, bytes as usize).map_err(missing);
        }
        let held = self.held();
        let end = |address| place_at(&held, address).ok_or(DeviceError::NoSuchMemory { address });
        self.copied(copy(&self.agent, end(to)?, end(from)?, bytes as usize))
    }

    fn place_alias(&self, parts: &[AliasPart<'_>]) -> Result<Allocation, DeviceError> {
        let parts = parts.iter().map(|part| Part {
            object: part.object.as_fd(),
            offset: part.offset,
            bytes: part.bytes as usize,
        });
        let pinned = Pinned::parts(&self.agent, &parts.collect::<Vec<_>>())?;
        let placed = Allocation { address: pinned.address(), bytes: pinned.bytes() as u64 };
        self.change().insert(placed.address, Held::Alias(pinned));
        Ok(placed)
    }

    fn vram_used(&self) -> u64 {
        self.vram_used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripped_object_gets_its_dynamic_symbols_as_symbols() {
        let file = kernels::find("vector_add").unwrap().code_object(kernels::Target::Gfx90a);
        let with = with_symbols(file);
        assert_eq!(with.len(), file.len());
        let differ = file.iter().zip(&with).filter(|(a, b)| a != b).count();
        // One byte of the type, and the letters in which the names differ.
        assert!((2..=7).contains(&differ), "{differ}");
        assert_eq!(with_symbols(&with), with, "an object with symbols stays as it is");
        for end in 0..200 {
            with_symbols(&file[..end]);
        }
    }
}
