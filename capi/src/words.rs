//! AMD's words for status codes: programs print them, and people search for them.

use std::ffi::CStr;

use hsa_sys::raw::*;

use crate::runtime::HSA_STATUS_ERROR_NOT_SUPPORTED;

/// Returns AMD's words for a status.
pub(crate) fn words(code: hsa_status_t) -> Option<&'static CStr> {
    Some(match code {
        HSA_STATUS_SUCCESS => c"HSA_STATUS_SUCCESS: The function has been executed successfully.",
        HSA_STATUS_INFO_BREAK => {
            c"HSA_STATUS_INFO_BREAK: A traversal over a list of elements has been interrupted by the application before completing."
        }
        HSA_STATUS_ERROR => c"HSA_STATUS_ERROR: A generic error has occurred.",
        HSA_STATUS_ERROR_INVALID_ARGUMENT => {
            c"HSA_STATUS_ERROR_INVALID_ARGUMENT: One of the actual arguments does not meet a precondition stated in the documentation of the corresponding formal argument."
        }
        HSA_STATUS_ERROR_INVALID_QUEUE_CREATION => {
            c"HSA_STATUS_ERROR_INVALID_QUEUE_CREATION: The requested queue creation is not valid."
        }
        HSA_STATUS_ERROR_INVALID_ALLOCATION => {
            c"HSA_STATUS_ERROR_INVALID_ALLOCATION: The requested allocation is not valid."
        }
        HSA_STATUS_ERROR_INVALID_AGENT => c"HSA_STATUS_ERROR_INVALID_AGENT: The agent is invalid.",
        HSA_STATUS_ERROR_INVALID_REGION => c"HSA_STATUS_ERROR_INVALID_REGION: The memory region is invalid.",
        HSA_STATUS_ERROR_INVALID_SIGNAL => c"HSA_STATUS_ERROR_INVALID_SIGNAL: The signal is invalid.",
        HSA_STATUS_ERROR_INVALID_QUEUE => c"HSA_STATUS_ERROR_INVALID_QUEUE: The queue is invalid.",
        HSA_STATUS_ERROR_OUT_OF_RESOURCES => {
            c"HSA_STATUS_ERROR_OUT_OF_RESOURCES: The runtime failed to allocate the necessary resources. This error may also occur when the core runtime library needs to spawn threads or create internal OS-specific events."
        }
        HSA_STATUS_ERROR_INVALID_PACKET_FORMAT => {
            c"HSA_STATUS_ERROR_INVALID_PACKET_FORMAT: The AQL packet is malformed."
        }
        HSA_STATUS_ERROR_RESOURCE_FREE => {
            c"HSA_STATUS_ERROR_RESOURCE_FREE: An error has been detected while releasing a resource."
        }
        HSA_STATUS_ERROR_NOT_INITIALIZED => {
            c"HSA_STATUS_ERROR_NOT_INITIALIZED: An API other than hsa_init has been invoked while the reference count of the HSA runtime is zero."
        }
        HSA_STATUS_ERROR_REFCOUNT_OVERFLOW => {
            c"HSA_STATUS_ERROR_REFCOUNT_OVERFLOW: The maximum reference count for the object has been reached."
        }
        HSA_STATUS_ERROR_INCOMPATIBLE_ARGUMENTS => {
            c"HSA_STATUS_ERROR_INCOMPATIBLE_ARGUMENTS: The arguments passed to a functions are not compatible."
        }
        HSA_STATUS_ERROR_INVALID_INDEX => c"HSA_STATUS_ERROR_INVALID_INDEX: The index is invalid.",
        HSA_STATUS_ERROR_INVALID_ISA => {
            c"HSA_STATUS_ERROR_INVALID_ISA: The instruction set architecture is invalid."
        }
        HSA_STATUS_ERROR_INVALID_ISA_NAME => {
            c"HSA_STATUS_ERROR_INVALID_ISA_NAME: The instruction set architecture name is invalid."
        }
        HSA_STATUS_ERROR_INVALID_CODE_OBJECT => c"HSA_STATUS_ERROR_INVALID_CODE_OBJECT: The code object is invalid.",
        HSA_STATUS_ERROR_INVALID_EXECUTABLE => c"HSA_STATUS_ERROR_INVALID_EXECUTABLE: The executable is invalid.",
        HSA_STATUS_ERROR_FROZEN_EXECUTABLE => c"HSA_STATUS_ERROR_FROZEN_EXECUTABLE: The executable is frozen.",
        HSA_STATUS_ERROR_INVALID_SYMBOL_NAME => {
            c"HSA_STATUS_ERROR_INVALID_SYMBOL_NAME: There is no symbol with the given name."
        }
        HSA_STATUS_ERROR_VARIABLE_ALREADY_DEFINED => {
            c"HSA_STATUS_ERROR_VARIABLE_ALREADY_DEFINED: The variable is already defined."
        }
        HSA_STATUS_ERROR_VARIABLE_UNDEFINED => c"HSA_STATUS_ERROR_VARIABLE_UNDEFINED: The variable is undefined.",
        HSA_STATUS_ERROR_EXCEPTION => {
            c"HSA_STATUS_ERROR_EXCEPTION: An HSAIL operation resulted in a hardware exception."
        }
        HSA_STATUS_ERROR_INVALID_CODE_SYMBOL => {
            c"HSA_STATUS_ERROR_INVALID_CODE_SYMBOL: The code object symbol is invalid."
        }
        HSA_STATUS_ERROR_INVALID_EXECUTABLE_SYMBOL => {
            c"HSA_STATUS_ERROR_INVALID_EXECUTABLE_SYMBOL: The executable symbol is invalid."
        }
        HSA_STATUS_ERROR_INVALID_FILE => c"HSA_STATUS_ERROR_INVALID_FILE: The file descriptor is invalid.",
        HSA_STATUS_ERROR_INVALID_CODE_OBJECT_READER => {
            c"HSA_STATUS_ERROR_INVALID_CODE_OBJECT_READER: The code object reader is invalid."
        }
        HSA_STATUS_ERROR_INVALID_CACHE => c"HSA_STATUS_ERROR_INVALID_CACHE: The cache is invalid.",
        HSA_STATUS_ERROR_INVALID_WAVEFRONT => c"HSA_STATUS_ERROR_INVALID_WAVEFRONT: The wavefront is invalid.",
        HSA_STATUS_ERROR_INVALID_SIGNAL_GROUP => {
            c"HSA_STATUS_ERROR_INVALID_SIGNAL_GROUP: The signal group is invalid."
        }
        HSA_STATUS_ERROR_INVALID_RUNTIME_STATE => {
            c"HSA_STATUS_ERROR_INVALID_RUNTIME_STATE: The HSA runtime is not in the configuration state."
        }
        HSA_STATUS_ERROR_FATAL => {
            c"HSA_STATUS_ERROR_FATAL: The queue received an error that may require process termination."
        }
        HSA_STATUS_ERROR_INVALID_MEMORY_POOL => {
            c"HSA_STATUS_ERROR_INVALID_MEMORY_POOL: The memory pool is invalid."
        }
        HSA_STATUS_ERROR_MEMORY_APERTURE_VIOLATION => {
            c"HSA_STATUS_ERROR_MEMORY_APERTURE_VIOLATION: The agent attempted to access memory beyond the largest legal address."
        }
        HSA_STATUS_ERROR_ILLEGAL_INSTRUCTION => {
            c"HSA_STATUS_ERROR_ILLEGAL_INSTRUCTION: The agent attempted to execute an illegal shader instruction."
        }
        HSA_STATUS_ERROR_MEMORY_FAULT => {
            c"HSA_STATUS_ERROR_MEMORY_FAULT: The agent attempted to access an inaccessible address."
        }
        HSA_STATUS_CU_MASK_REDUCED => {
            c"HSA_STATUS_CU_MASK_REDUCED: The CU mask was successfully set but the mask attempted to enable a CU which was disabled for the process."
        }
        HSA_STATUS_ERROR_OUT_OF_REGISTERS => {
            c"HSA_STATUS_ERROR_OUT_OF_REGISTERS: Exceeded number of VGPRs available on this agent"
        }
        HSA_STATUS_ERROR_RESOURCE_BUSY => {
            c"HSA_STATUS_ERROR_RESOURCE_BUSY: The resource is busy or temporarily unavailable."
        }
        HSA_STATUS_ERROR_NOT_SUPPORTED => {
            c"HSA_STATUS_ERROR_NOT_SUPPORTED: The request is not supported by this system."
        }
        HSA_EXT_STATUS_ERROR_IMAGE_FORMAT_UNSUPPORTED => {
            c"HSA_EXT_STATUS_ERROR_IMAGE_FORMAT_UNSUPPORTED: Image format is not supported."
        }
        HSA_EXT_STATUS_ERROR_IMAGE_SIZE_UNSUPPORTED => {
            c"HSA_EXT_STATUS_ERROR_IMAGE_SIZE_UNSUPPORTED: Image size is not supported."
        }
        HSA_EXT_STATUS_ERROR_IMAGE_PITCH_UNSUPPORTED => {
            c"HSA_EXT_STATUS_ERROR_IMAGE_PITCH_UNSUPPORTED: Image pitch is not supported or invalid."
        }
        HSA_EXT_STATUS_ERROR_SAMPLER_DESCRIPTOR_UNSUPPORTED => {
            c"HSA_EXT_STATUS_ERROR_SAMPLER_DESCRIPTOR_UNSUPPORTED: Sampler descriptor is not supported or invalid."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_words_that_begin_with_its_name() {
        let known = hsa_sys::layout::constants().filter(|c| c.name.contains("_STATUS_"));
        let mut seen = 0;
        for constant in known {
            let words = words(constant.value as hsa_status_t).unwrap_or_else(|| panic!("{}", constant.name));
            assert!(words.to_str().unwrap().starts_with(&format!("{}: ", constant.name)), "{words:?}");
            seen += 1;
        }
        assert!(seen > 40, "{seen}");
        assert_eq!(words(0x7777), None);
    }
}
