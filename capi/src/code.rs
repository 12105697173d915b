//! Code: readers, executables and their symbols.
//!
//! The worker alone reads code objects; this file keeps what C holds handles of. A reader does not copy the program's bytes: HSA has them stay
//! until the reader is destroyed. Loaded code lies in memory that this process sees too, so copies reach its variables.

use std::collections::HashMap;
use std::ffi::c_void;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use client::{Code, Symbol, SymbolKind};
use hsa_sys::raw::*;

use crate::agent::{Agent, gpu_of};
use crate::edge::{Answer, In, Opaque, Out, Room, Text, each};
use crate::export::export;
use crate::runtime::{Runtime, failed, status_with};

/// What a reader reads.
#[derive(Clone)]
enum Source {
    /// The program's own bytes.
    Memory { address: u64, bytes: usize },
    /// A file's.
    File(Arc<Vec<u8>>),
}

/// An executable: code objects, and the symbols that were asked for.
#[derive(Default)]
struct Executable {
    /// Each with the device that it is loaded on.
    codes: Mutex<Vec<(usize, Code)>>,
    /// Handles of symbols by device and name.
    symbols: Mutex<HashMap<(usize, String), u64>>,
    frozen: Mutex<bool>,
}

impl Executable {
    fn codes(&self) -> MutexGuard<'_, Vec<(usize, Code)>> {
        self.codes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the code of a device, or of all.
    fn codes_of(&self, device: Option<usize>) -> Vec<(usize, Code)> {
        self.codes().iter().filter(|(at, _)| device.is_none_or(|device| device == *at)).cloned().collect()
    }

    fn is_frozen(&self) -> bool {
        *self.frozen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A symbol that C has a handle of.
struct Known {
    device: usize,
    symbol: Symbol,
}

impl Known {
    /// Returns its name as HSA has it: a kernel's with the suffix of its descriptor.
    fn name(&self) -> String {
        match self.symbol.kind {
            SymbolKind::Kernel => format!("{}{DESCRIPTOR}", self.symbol.name.trim_end_matches(DESCRIPTOR)),
            SymbolKind::Variable => self.symbol.name.clone(),
        }
    }
}

/// The suffix of a kernel's descriptor.
const DESCRIPTOR: &str = ".kd";

/// See the module.
#[derive(Default)]
pub(crate) struct Codes {
    last: AtomicU64,
    readers: Mutex<HashMap<u64, Source>>,
    executables: RwLock<HashMap<u64, Arc<Executable>>>,
    symbols: RwLock<HashMap<u64, Arc<Known>>>,
}

impl Codes {
    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<u64, Source>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn executables(&self) -> RwLockReadGuard<'_, HashMap<u64, Arc<Executable>>> {
        self.executables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn symbols_mut(&self) -> RwLockWriteGuard<'_, HashMap<u64, Arc<Known>>> {
        self.symbols.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn executable(&self, handle: hsa_executable_t) -> Answer<Arc<Executable>> {
        self.executables().get(&handle.handle).cloned().ok_or(HSA_STATUS_ERROR_INVALID_EXECUTABLE)
    }

    fn symbol(&self, handle: hsa_executable_symbol_t) -> Answer<Arc<Known>> {
        let symbols = self.symbols.read().unwrap_or_else(PoisonError::into_inner);
        symbols.get(&handle.handle).cloned().ok_or(HSA_STATUS_ERROR_INVALID_EXECUTABLE_SYMBOL)
    }

    fn add_reader(&self, source: Source) -> hsa_code_object_reader_t {
        let handle = self.next();
        self.readers().insert(handle, source);
        hsa_code_object_reader_t { handle }
    }

    /// Calls `found` for every loaded code object until it has an answer.
    fn find<T>(&self, found: impl Fn(u64, &(usize, Code)) -> Option<T>) -> Option<T> {
        let executables = self.executables();
        executables
            .iter()
            .find_map(|(handle, executable)| executable.codes().iter().find_map(|code| found(*handle, code)))
    }

    /// Returns where the loaded code lies that an address is in: its device, start and length.
    pub(crate) fn place_of(&self, address: u64) -> Option<(usize, u64, u64)> {
        self.find(|_, (device, code)| {
            let (start, bytes) = code.place();
            address.checked_sub(start).filter(|at| *at < bytes).map(|_| (*device, start, bytes))
        })
    }

    /// Whether all of `bytes` at an address lie in loaded code that this process sees.
    pub(crate) fn has(&self, address: u64, bytes: usize) -> bool {
        let inside = |code: &Code| {
            let (start, length) = code.place();
            let offset = address.checked_sub(start)?;
            (offset < length && bytes as u64 <= length - offset && code.memory().is_ok()).then_some(())
        };
        self.find(|_, (_, code)| inside(code)).is_some()
    }

    /// Returns the handle of a symbol of an executable, making one if it is new.
    fn handle_of(&self, owner: &Executable, device: usize, symbol: Symbol) -> hsa_executable_symbol_t {
        let known = Known { device, symbol };
        let mut names = owner.symbols.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = *names.entry((device, known.name())).or_insert_with(|| {
            let handle = self.next();
            self.symbols_mut().insert(handle, Arc::new(known));
            handle
        });
        hsa_executable_symbol_t { handle }
    }

    /// Returns the symbol of a device, or of the first that has one of this name.
    fn by_name(&self, handle: hsa_executable_t, device: Option<usize>, name: &str) -> Answer<hsa_executable_symbol_t> {
        let executable = self.executable(handle)?;
        let plain = name.strip_suffix(DESCRIPTOR).unwrap_or(name);
        for (device, code) in executable.codes_of(device) {
            let known = (device, name.to_owned());
            let known = executable.symbols.lock().unwrap_or_else(PoisonError::into_inner).get(&known).copied();
            if let Some(handle) = known {
                return Ok(hsa_executable_symbol_t { handle });
            }
            match code.symbol(plain) {
                Ok(symbol) => return Ok(self.handle_of(&executable, device, symbol)),
                Err(error) => match failed(error) {
                    HSA_STATUS_ERROR_INVALID_SYMBOL_NAME => {}
                    status => return Err(status),
                },
            }
        }
        Err(HSA_STATUS_ERROR_INVALID_SYMBOL_NAME)
    }

    /// Returns handles of all symbols of an executable, or of those of a device.
    fn all(&self, handle: hsa_executable_t, device: Option<usize>) -> Answer<Vec<hsa_executable_symbol_t>> {
        let executable = self.executable(handle)?;
        let mut all = Vec::new();
        for (device, code) in executable.codes_of(device) {
            for index in 0..code.symbols() {
                let symbol = code.symbol_at(index).map_err(failed)?;
                all.push(self.handle_of(&executable, device, symbol));
            }
        }
        Ok(all)
    }

    fn destroy(&self, handle: hsa_executable_t) -> Answer {
        let mut executables = self.executables.write().unwrap_or_else(PoisonError::into_inner);
        let executable = executables.remove(&handle.handle).ok_or(HSA_STATUS_ERROR_INVALID_EXECUTABLE)?;
        drop(executables);
        let names = std::mem::take(&mut *executable.symbols.lock().unwrap_or_else(PoisonError::into_inner));
        let mut symbols = self.symbols_mut();
        for handle in names.values() {
            symbols.remove(handle);
        }
        drop(symbols);
        drop(std::mem::take(&mut *executable.codes()));
        Ok(())
    }
}

fn load(
    runtime: &Runtime,
    device: usize,
    executable: hsa_executable_t,
    reader: hsa_code_object_reader_t,
    loaded: Out<hsa_loaded_code_object_t>,
) -> Answer {
    let target = runtime.codes.executable(executable)?;
    if target.is_frozen() {
        return Err(HSA_STATUS_ERROR_FROZEN_EXECUTABLE);
    }
    let source = runtime.codes.readers().get(&reader.handle).cloned();
    let source = source.ok_or(HSA_STATUS_ERROR_INVALID_CODE_OBJECT_READER)?;
    let session = runtime.devices.session(device);
    let code = match &source {
        Source::File(bytes) => session.load(bytes),
        Source::Memory { address, bytes } => {
            let at = std::ptr::with_exposed_provenance::<u8>(*address as usize);
            // SAFETY: C promised these bytes when it made the reader, until it destroys it, and nobody changes them.
            session.load(unsafe { std::slice::from_raw_parts(at, *bytes) })
        }
    };
    target.codes().push((device, code.map_err(failed)?));
    if loaded.is_wanted() {
        loaded.put(hsa_loaded_code_object_t { handle: runtime.codes.next() })?;
    }
    Ok(())
}

fn new_executable(runtime: &Runtime, executable: Out<hsa_executable_t>) -> Answer {
    let handle = runtime.codes.next();
    executable.needed()?.put(hsa_executable_t { handle })?;
    let mut all = runtime.codes.executables.write().unwrap_or_else(PoisonError::into_inner);
    all.insert(handle, Arc::default());
    Ok(())
}

export! {
    /// Makes a reader of a code object in memory, which stays where it is until the reader is destroyed.
    fn hsa_code_object_reader_create_from_memory(
        code: In<'_, u8>,
        size: usize,
        reader: Out<hsa_code_object_reader_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            if code.address() == 0 || size == 0 {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            reader.needed()?.put(runtime.codes.add_reader(Source::Memory { address: code.address(), bytes: size }))
        })
    }

    /// Makes a reader of a code object in a file.
    fn hsa_code_object_reader_create_from_file(file: RawFd, reader: Out<hsa_code_object_reader_t>) -> hsa_status_t {
        status_with(|runtime| {
            let reader = reader.needed()?;
            if file < 0 {
                return Err(HSA_STATUS_ERROR_INVALID_FILE);
            }
            // SAFETY: C promises an open file for the call.
            let file = unsafe { BorrowedFd::borrow_raw(file) };
            let bytes = read_file(file).map_err(|_| HSA_STATUS_ERROR_INVALID_FILE)?;
            reader.put(runtime.codes.add_reader(Source::File(Arc::new(bytes))))
        })
    }

    /// Gives a reader back.
    fn hsa_code_object_reader_destroy(reader: hsa_code_object_reader_t) -> hsa_status_t {
        status_with(|runtime| {
            let removed = runtime.codes.readers().remove(&reader.handle);
            removed.map(drop).ok_or(HSA_STATUS_ERROR_INVALID_CODE_OBJECT_READER)
        })
    }

    /// Makes an executable.
    fn hsa_executable_create_alt(
        _profile: hsa_profile_t,
        _rounding: hsa_default_float_rounding_mode_t,
        _options: Opaque,
        executable: Out<hsa_executable_t>,
    ) -> hsa_status_t {
        status_with(|runtime| new_executable(runtime, executable))
    }

    /// As [`hsa_executable_create_alt`], in the spelling of HSA 1.0.
    fn hsa_executable_create(
        _profile: hsa_profile_t,
        state: hsa_executable_state_t,
        _options: Opaque,
        executable: Out<hsa_executable_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            if state != HSA_EXECUTABLE_STATE_UNFROZEN {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            new_executable(runtime, executable)
        })
    }

    /// Unloads an executable and forgets its symbols.
    fn hsa_executable_destroy(executable: hsa_executable_t) -> hsa_status_t {
        status_with(|runtime| runtime.codes.destroy(executable))
    }

    /// Loads a code object.
    fn hsa_executable_load_agent_code_object(
        executable: hsa_executable_t,
        agent: hsa_agent_t,
        reader: hsa_code_object_reader_t,
        _options: Opaque,
        loaded: Out<hsa_loaded_code_object_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            load(runtime, gpu_of(runtime, agent)?, executable, reader, loaded)
        })
    }

    /// Loads a code object that belongs to no agent. AMD's compilers make none.
    fn hsa_executable_load_program_code_object(
        _executable: hsa_executable_t,
        _reader: hsa_code_object_reader_t,
        _options: Opaque,
        _loaded: Out<hsa_loaded_code_object_t>,
    ) -> hsa_status_t {
        status_with(|_| Err(HSA_STATUS_ERROR_INVALID_CODE_OBJECT))
    }

    /// Loads nothing more into an executable from now on.
    fn hsa_executable_freeze(executable: hsa_executable_t, _options: Opaque) -> hsa_status_t {
        status_with(|runtime| {
            let executable = runtime.codes.executable(executable)?;
            let mut frozen = executable.frozen.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut *frozen, true) { Err(HSA_STATUS_ERROR_FROZEN_EXECUTABLE) } else { Ok(()) }
        })
    }

    /// Answers a question about an executable.
    fn hsa_executable_get_info(
        executable: hsa_executable_t,
        attribute: hsa_executable_info_t,
        value: Room,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let executable = runtime.codes.executable(executable)?;
            match attribute {
                HSA_EXECUTABLE_INFO_PROFILE => value.put(HSA_PROFILE_BASE),
                HSA_EXECUTABLE_INFO_STATE if executable.is_frozen() => value.put(HSA_EXECUTABLE_STATE_FROZEN),
                HSA_EXECUTABLE_INFO_STATE => value.put(HSA_EXECUTABLE_STATE_UNFROZEN),
                HSA_EXECUTABLE_INFO_DEFAULT_FLOAT_ROUNDING_MODE => value.put(HSA_DEFAULT_FLOAT_ROUNDING_MODE_NEAR),
                _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
            }
        })
    }

    /// An executable that could be loaded is valid.
    fn hsa_executable_validate(executable: hsa_executable_t, result: Out<u32>) -> hsa_status_t {
        status_with(|runtime| {
            runtime.codes.executable(executable)?;
            result.put(0)
        })
    }

    /// As [`hsa_executable_validate`].
    fn hsa_executable_validate_alt(
        executable: hsa_executable_t,
        _options: Opaque,
        result: Out<u32>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            runtime.codes.executable(executable)?;
            result.put(0)
        })
    }

    /// Returns the symbol with a name; kernels go by the name of their descriptor.
    fn hsa_executable_get_symbol_by_name(
        executable: hsa_executable_t,
        name: Text<'_>,
        agent: In<'_, hsa_agent_t>,
        symbol: Out<hsa_executable_symbol_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let symbol = symbol.needed()?;
            let device = agent.get().ok().map(|agent| gpu_of(runtime, agent)).transpose()?;
            symbol.put(runtime.codes.by_name(executable, device, name.get()?)?)
        })
    }

    /// As [`hsa_executable_get_symbol_by_name`], in the spelling of HSA 1.0.
    fn hsa_executable_get_symbol(
        executable: hsa_executable_t,
        _module: Opaque,
        name: Text<'_>,
        agent: hsa_agent_t,
        _convention: i32,
        symbol: Out<hsa_executable_symbol_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let device = gpu_of(runtime, agent)?;
            symbol.needed()?.put(runtime.codes.by_name(executable, Some(device), name.get()?)?)
        })
    }

    /// Answers a question about a symbol.
    fn hsa_executable_symbol_get_info(
        symbol: hsa_executable_symbol_t,
        attribute: hsa_executable_symbol_info_t,
        value: Room,
    ) -> hsa_status_t {
        status_with(|runtime| symbol_info(&*runtime.codes.symbol(symbol)?, attribute, value))
    }

    /// Names the symbols of an executable.
    fn hsa_executable_iterate_symbols(
        executable: hsa_executable_t,
        callback: Option<
            unsafe extern "C" fn(hsa_executable_t, hsa_executable_symbol_t, *mut c_void) -> hsa_status_t,
        >,
        data: Opaque,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let callback = callback.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            for symbol in runtime.codes.all(executable, None)? {
                // SAFETY: C gave the function together with the data for it.
                match unsafe { callback(executable, symbol, data.0) } {
                    HSA_STATUS_SUCCESS => {}
                    other => return Err(other),
                }
            }
            Ok(())
        })
    }

    /// Names the symbols of an executable that belong to an agent.
    fn hsa_executable_iterate_agent_symbols(
        executable: hsa_executable_t,
        agent: hsa_agent_t,
        callback: Option<
            unsafe extern "C" fn(hsa_executable_t, hsa_agent_t, hsa_executable_symbol_t, *mut c_void) -> hsa_status_t,
        >,
        data: Opaque,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let device = gpu_of(runtime, agent)?;
            let callback = callback.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            for symbol in runtime.codes.all(executable, Some(device))? {
                // SAFETY: C gave the function together with the data for it.
                match unsafe { callback(executable, agent, symbol, data.0) } {
                    HSA_STATUS_SUCCESS => {}
                    other => return Err(other),
                }
            }
            Ok(())
        })
    }

    /// Names the symbols of an executable that belong to no agent: there are none.
    fn hsa_executable_iterate_program_symbols(
        executable: hsa_executable_t,
        callback: crate::edge::Each<hsa_executable_t>,
        data: Opaque,
    ) -> hsa_status_t {
        status_with(|runtime| {
            runtime.codes.executable(executable)?;
            each([], callback, data)
        })
    }
}

fn symbol_info(known: &Known, attribute: hsa_executable_symbol_info_t, value: Room) -> Answer {
    let (symbol, name) = (&known.symbol, known.name());
    let kernel = symbol.kind == SymbolKind::Kernel;
    match attribute {
        HSA_EXECUTABLE_SYMBOL_INFO_TYPE => {
            value.put(if kernel { HSA_SYMBOL_KIND_KERNEL } else { HSA_SYMBOL_KIND_VARIABLE })
        }
        HSA_EXECUTABLE_SYMBOL_INFO_NAME_LENGTH => value.put(name.len() as u32),
        HSA_EXECUTABLE_SYMBOL_INFO_NAME => value.put_bytes(name.as_bytes()),
        HSA_EXECUTABLE_SYMBOL_INFO_MODULE_NAME_LENGTH => value.put(0u32),
        HSA_EXECUTABLE_SYMBOL_INFO_MODULE_NAME => Ok(()),
        HSA_EXECUTABLE_SYMBOL_INFO_AGENT => value.put(Agent::Device(known.device).handle()),
        HSA_EXECUTABLE_SYMBOL_INFO_LINKAGE => value.put(HSA_SYMBOL_LINKAGE_PROGRAM),
        HSA_EXECUTABLE_SYMBOL_INFO_IS_DEFINITION => value.put(true),
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_ADDRESS if !kernel => value.put(symbol.address),
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_ALLOCATION if !kernel => value.put(HSA_VARIABLE_ALLOCATION_AGENT),
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_SEGMENT if !kernel => {
            value.put(if symbol.constant { HSA_VARIABLE_SEGMENT_READONLY } else { HSA_VARIABLE_SEGMENT_GLOBAL })
        }
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_ALIGNMENT if !kernel => {
            value.put(1u32 << symbol.address.trailing_zeros().min(12))
        }
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_SIZE if !kernel => value.put(symbol.bytes as u32),
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_IS_CONST if !kernel => value.put(symbol.constant),
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_OBJECT if kernel => value.put(symbol.address),
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_KERNARG_SEGMENT_SIZE if kernel => value.put(symbol.kernarg_bytes),
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_KERNARG_SEGMENT_ALIGNMENT if kernel => value.put(symbol.kernarg_align),
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_GROUP_SEGMENT_SIZE if kernel => value.put(symbol.group_bytes),
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_PRIVATE_SEGMENT_SIZE if kernel => value.put(symbol.private_bytes),
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_DYNAMIC_CALLSTACK if kernel => value.put(symbol.dynamic_stack),
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_CALL_CONVENTION if kernel => value.put(0u32),
        _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
    }
}

/// Reads a file from its start, wherever it stands.
fn read_file(file: BorrowedFd<'_>) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::from(file.try_clone_to_owned()?);
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

// The loader's extension: reached through its table, not by name.

/// Returns where the host sees what lies at an address in loaded code: at the same address.
pub(crate) extern "C" fn query_host_address(device: Opaque, host: Out<*mut c_void>) -> hsa_status_t {
    crate::export::at_the_edge(|| {
        status_with(|runtime| {
            let known = runtime.codes.place_of(device.0.addr() as u64);
            known.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            host.put(device.0)
        })
    })
}

/// Lists loaded code; with no room for a list, counts it.
pub(crate) extern "C" fn query_segment_descriptors(
    list: Out<hsa_ven_amd_loader_segment_descriptor_t>,
    count: Out<usize>,
) -> hsa_status_t {
    crate::export::at_the_edge(|| {
        status_with(|runtime| {
            let executables = runtime.codes.executables();
            let mut all = Vec::new();
            for (handle, executable) in executables.iter() {
                all.extend(executable.codes().iter().map(|(device, code)| {
                    let (start, bytes) = code.place();
                    hsa_ven_amd_loader_segment_descriptor_t {
                        agent: Agent::Device(*device).handle(),
                        executable: hsa_executable_t { handle: *handle },
                        code_object_storage_type: HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_NONE,
                        code_object_storage_base: std::ptr::null(),
                        code_object_storage_size: 0,
                        code_object_storage_offset: 0,
                        segment_base: std::ptr::with_exposed_provenance(start as usize),
                        segment_size: bytes as usize,
                    }
                }));
            }
            if !list.is_wanted() {
                return count.put(all.len());
            }
            if count.get()? != all.len() {
                return Err(HSA_STATUS_ERROR_INCOMPATIBLE_ARGUMENTS);
            }
            list.put_all(all)
        })
    })
}

/// Returns the executable that an address in loaded code belongs to.
pub(crate) extern "C" fn query_executable(device: Opaque, executable: Out<hsa_executable_t>) -> hsa_status_t {
    crate::export::at_the_edge(|| {
        status_with(|runtime| {
            let address = device.0.addr() as u64;
            let found = runtime.codes.find(|handle, (_, code)| {
                let (start, bytes) = code.place();
                address.checked_sub(start).filter(|at| *at < bytes).map(|_| handle)
            });
            executable.put(hsa_executable_t { handle: found.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)? })
        })
    })
}
