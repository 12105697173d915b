//! Code objects, loaded by the runtime's own loader.

use std::ffi::{CString, c_void};

use super::{Agent, HsaError, Runtime};
use crate::raw::*;

/// A kernel of a loaded code object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSymbol {
    /// What a dispatch packet names.
    pub object: u64,
    /// Bytes of its arguments.
    pub kernarg_bytes: u32,
    /// Bytes of LDS a work-group.
    pub group_bytes: u32,
    /// Bytes of private memory a work-item.
    pub private_bytes: u32,
}

/// A code object in the device's memory.
pub struct Executable {
    runtime: Runtime,
    agent: hsa_agent_t,
    handle: hsa_executable_t,
    reader: hsa_code_object_reader_t,
    /// The reader reads it as long as it lives.
    _file: Box<[u8]>,
}

impl Executable {
    /// Loads a code object onto an agent.
    pub fn load(agent: &Agent, file: &[u8]) -> Result<Executable, HsaError> {
        let (runtime, file) = (&agent.runtime, Box::<[u8]>::from(file));
        let core = &runtime.library().core;
        let mut handle = hsa_executable_t::default();
        // SAFETY: no options; the handle is stored where it is wanted.
        let status = unsafe {
            (core.hsa_executable_create_alt)(
                HSA_PROFILE_BASE,
                HSA_DEFAULT_FLOAT_ROUNDING_MODE_DEFAULT,
                std::ptr::null(),
                &raw mut handle,
            )
        };
        runtime.check("hsa_executable_create_alt", status)?;
        let reader = hsa_code_object_reader_t::default();
        // From here on dropping it gives everything back.
        let mut this = Executable { runtime: runtime.clone(), agent: agent.handle, handle, reader, _file: file };
        let (bytes, len) = (this._file.as_ptr().cast::<c_void>(), this._file.len());
        // SAFETY: the bytes are kept in place by `this` until the reader is destroyed.
        let status = unsafe { (core.hsa_code_object_reader_create_from_memory)(bytes, len, &raw mut this.reader) };
        runtime.check("hsa_code_object_reader_create_from_memory", status)?;
        // SAFETY: executable, agent and reader live; nobody wants the handle of the loaded object.
        let status = unsafe {
            (core.hsa_executable_load_agent_code_object)(
                handle,
                agent.handle,
                this.reader,
                std::ptr::null(),
                std::ptr::null_mut(),
            )
        };
        runtime.check("hsa_executable_load_agent_code_object", status)?;
        // SAFETY: no options.
        let status = unsafe { (core.hsa_executable_freeze)(handle, std::ptr::null()) };
        runtime.check("hsa_executable_freeze", status)?;
        Ok(this)
    }

    /// Returns a kernel by the symbol of its descriptor, `NAME.kd`.
    pub fn kernel(&self, symbol: &str) -> Result<KernelSymbol, HsaError> {
        let symbol = self.symbol(symbol)?;
        Ok(KernelSymbol {
            object: self.info::<u64>(symbol, HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_OBJECT)?,
            kernarg_bytes: self.info::<u32>(symbol, HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_KERNARG_SEGMENT_SIZE)?,
            group_bytes: self.info::<u32>(symbol, HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_GROUP_SEGMENT_SIZE)?,
            private_bytes: self.info::<u32>(symbol, HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_PRIVATE_SEGMENT_SIZE)?,
        })
    }

    /// Returns the address of a variable.
    pub fn variable(&self, name: &str) -> Result<u64, HsaError> {
        self.info::<u64>(self.symbol(name)?, HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_ADDRESS)
    }

    /// Returns start and length of the runtime's allocation in which an address lies, such as that of a symbol.
    pub(super) fn allocation_at(&self, address: u64) -> Option<(u64, usize)> {
        // SAFETY: integers, pointers and a handle, for all of which zero is a value.
        let mut info: hsa_amd_pointer_info_t = unsafe { std::mem::zeroed() };
        info.size = size_of::<hsa_amd_pointer_info_t>() as u32;
        // SAFETY: any address may be asked about; the record says how long it is; nobody wants the list of agents.
        let status = unsafe {
            (self.runtime.library().amd.hsa_amd_pointer_info)(
                std::ptr::without_provenance(address as usize),
                &raw mut info,
                None,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        let known = status == HSA_STATUS_SUCCESS && info.r#type == HSA_EXT_POINTER_TYPE_HSA;
        known.then_some((info.agentBaseAddress.addr() as u64, info.sizeInBytes))
    }

    fn symbol(&self, name: &str) -> Result<hsa_executable_symbol_t, HsaError> {
        let call = "hsa_executable_get_symbol_by_name";
        let nul = |_| HsaError {
            call,
            status: HSA_STATUS_ERROR_INVALID_SYMBOL_NAME,
            text: "a name with a zero in it".to_owned(),
        };
        let name = CString::new(name).map_err(nul)?;
        let mut symbol = hsa_executable_symbol_t::default();
        // SAFETY: executable and agent live; the name is a C string during the call.
        let status = unsafe {
            (self.runtime.library().core.hsa_executable_get_symbol_by_name)(
                self.handle,
                name.as_ptr(),
                &raw const self.agent,
                &raw mut symbol,
            )
        };
        self.runtime.check(call, status)?;
        Ok(symbol)
    }

    /// Returns an attribute; callers pair it with the header's type.
    fn info<T: Default>(
        &self,
        symbol: hsa_executable_symbol_t,
        attribute: hsa_executable_symbol_info_t,
    ) -> Result<T, HsaError> {
        let mut value = T::default();
        // SAFETY: `T` is the attribute's type, see the callers.
        let status = unsafe {
            (self.runtime.library().core.hsa_executable_symbol_get_info)(
                symbol,
                attribute,
                (&raw mut value).cast::<c_void>(),
            )
        };
        self.runtime.check("hsa_executable_symbol_get_info", status)?;
        Ok(value)
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        let core = &self.runtime.library().core;
        // SAFETY: made by `load`, destroyed once, the reader before the bytes it reads. No kernel of it may run any more: that is the
        // device's side.
        unsafe {
            (core.hsa_executable_destroy)(self.handle);
            if self.reader.handle != 0 {
                (core.hsa_code_object_reader_destroy)(self.reader);
            }
        }
    }
}
