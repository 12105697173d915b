//! The extension `HSA_EXTENSION_AMD_LOADER`: what executables were loaded where.

use std::ffi::c_void;

use super::code::{hsa_code_object_reader_t, hsa_executable_t, hsa_loaded_code_object_t};
use super::status::hsa_status_t;
use super::system::{hsa_agent_t, hsa_file_t};
use crate::declare::{constants, records};

records! {
    /// Loaded memory segment descriptor.
    hsa_ven_amd_loader_segment_descriptor_t {
        /// Agent underlying memory segment is allocated on.
        agent: hsa_agent_t;
        /// Executable that is managing this underlying memory segment.
        executable: hsa_executable_t;
        /// Storage type of the code object that is backing underlying memory segment.
        code_object_storage_type: hsa_ven_amd_loader_code_object_storage_type_t;
        /// If the storage type of the code object that is backing underlying memory segment is: -
        /// `HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_NONE`, then null; -
        /// `HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_FILE`, then null-terminated filepath to the code object;
        /// - `HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_MEMORY`, then host accessible pointer to the first byte
        /// of the code object.
        code_object_storage_base: *const c_void;
        /// If the storage type of the code object that is backing underlying memory segment is: -
        /// `HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_NONE`, then 0; -
        /// `HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_FILE`, then the length of the filepath to the code object
        /// (including null-terminating character); - `HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_MEMORY`, then
        /// the size, in bytes, of the memory occupied by the code object.
        code_object_storage_size: usize;
        /// If the storage type of the code object that is backing underlying memory segment is: -
        /// `HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_NONE`, then 0; - other, then offset, in bytes, from the
        /// beginning of the code object to the first byte in the code object data is copied from.
        code_object_storage_offset: usize;
        /// Starting address of the underlying memory segment.
        segment_base: *const c_void;
        /// Size, in bytes, of the underlying memory segment.
        segment_size: usize;
    }
    /// Extension function table version 1.00.
    hsa_ven_amd_loader_1_00_pfn_t {
        hsa_ven_amd_loader_query_host_address: Option<unsafe extern "C" fn(*const c_void, *mut *const c_void) -> hsa_status_t>;
        hsa_ven_amd_loader_query_segment_descriptors: Option<unsafe extern "C" fn(*mut hsa_ven_amd_loader_segment_descriptor_t, *mut usize) -> hsa_status_t>;
        hsa_ven_amd_loader_query_executable: Option<unsafe extern "C" fn(*const c_void, *mut hsa_executable_t) -> hsa_status_t>;
    }
    /// Extension function table version 1.01.
    hsa_ven_amd_loader_1_01_pfn_t {
        hsa_ven_amd_loader_query_host_address: Option<unsafe extern "C" fn(*const c_void, *mut *const c_void) -> hsa_status_t>;
        hsa_ven_amd_loader_query_segment_descriptors: Option<unsafe extern "C" fn(*mut hsa_ven_amd_loader_segment_descriptor_t, *mut usize) -> hsa_status_t>;
        hsa_ven_amd_loader_query_executable: Option<unsafe extern "C" fn(*const c_void, *mut hsa_executable_t) -> hsa_status_t>;
        hsa_ven_amd_loader_executable_iterate_loaded_code_objects: Option<unsafe extern "C" fn(hsa_executable_t, Option<unsafe extern "C" fn(hsa_executable_t, hsa_loaded_code_object_t, *mut c_void) -> hsa_status_t>, *mut c_void) -> hsa_status_t>;
        hsa_ven_amd_loader_loaded_code_object_get_info: Option<unsafe extern "C" fn(hsa_loaded_code_object_t, hsa_ven_amd_loader_loaded_code_object_info_t, *mut c_void) -> hsa_status_t>;
    }
    /// Extension function table version 1.02.
    hsa_ven_amd_loader_1_02_pfn_t {
        hsa_ven_amd_loader_query_host_address: Option<unsafe extern "C" fn(*const c_void, *mut *const c_void) -> hsa_status_t>;
        hsa_ven_amd_loader_query_segment_descriptors: Option<unsafe extern "C" fn(*mut hsa_ven_amd_loader_segment_descriptor_t, *mut usize) -> hsa_status_t>;
        hsa_ven_amd_loader_query_executable: Option<unsafe extern "C" fn(*const c_void, *mut hsa_executable_t) -> hsa_status_t>;
        hsa_ven_amd_loader_executable_iterate_loaded_code_objects: Option<unsafe extern "C" fn(hsa_executable_t, Option<unsafe extern "C" fn(hsa_executable_t, hsa_loaded_code_object_t, *mut c_void) -> hsa_status_t>, *mut c_void) -> hsa_status_t>;
        hsa_ven_amd_loader_loaded_code_object_get_info: Option<unsafe extern "C" fn(hsa_loaded_code_object_t, hsa_ven_amd_loader_loaded_code_object_info_t, *mut c_void) -> hsa_status_t>;
        hsa_ven_amd_loader_code_object_reader_create_from_file_with_offset_size: Option<unsafe extern "C" fn(hsa_file_t, usize, usize, *mut hsa_code_object_reader_t) -> hsa_status_t>;
    }
    /// Extension function table version 1.03.
    hsa_ven_amd_loader_1_03_pfn_t {
        hsa_ven_amd_loader_query_host_address: Option<unsafe extern "C" fn(*const c_void, *mut *const c_void) -> hsa_status_t>;
        hsa_ven_amd_loader_query_segment_descriptors: Option<unsafe extern "C" fn(*mut hsa_ven_amd_loader_segment_descriptor_t, *mut usize) -> hsa_status_t>;
        hsa_ven_amd_loader_query_executable: Option<unsafe extern "C" fn(*const c_void, *mut hsa_executable_t) -> hsa_status_t>;
        hsa_ven_amd_loader_executable_iterate_loaded_code_objects: Option<unsafe extern "C" fn(hsa_executable_t, Option<unsafe extern "C" fn(hsa_executable_t, hsa_loaded_code_object_t, *mut c_void) -> hsa_status_t>, *mut c_void) -> hsa_status_t>;
        hsa_ven_amd_loader_loaded_code_object_get_info: Option<unsafe extern "C" fn(hsa_loaded_code_object_t, hsa_ven_amd_loader_loaded_code_object_info_t, *mut c_void) -> hsa_status_t>;
        hsa_ven_amd_loader_code_object_reader_create_from_file_with_offset_size: Option<unsafe extern "C" fn(hsa_file_t, usize, usize, *mut hsa_code_object_reader_t) -> hsa_status_t>;
        hsa_ven_amd_loader_iterate_executables: Option<unsafe extern "C" fn(Option<unsafe extern "C" fn(hsa_executable_t, *mut c_void) -> hsa_status_t>, *mut c_void) -> hsa_status_t>;
    }
}

constants! {
    /// The storage type of the code object that is backing loaded memory segment.
    hsa_ven_amd_loader_code_object_storage_type_t: u32 {
        /// Loaded memory segment is not backed by any code object (anonymous), as the case would be with BSS
        /// (uninitialized data).
        HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_NONE = 0;
        /// Loaded memory segment is backed by the code object that is stored in the file.
        HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_FILE = 1;
        /// Loaded memory segment is backed by the code object that is stored in the memory.
        HSA_VEN_AMD_LOADER_CODE_OBJECT_STORAGE_TYPE_MEMORY = 2;
    }
    /// Loaded code object kind.
    hsa_ven_amd_loader_loaded_code_object_kind_t: u32 {
        /// Program code object.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_KIND_PROGRAM = 1;
        /// Agent code object.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_KIND_AGENT = 2;
    }
    /// Loaded code object attributes.
    hsa_ven_amd_loader_loaded_code_object_info_t: u32 {
        /// The executable in which this loaded code object is loaded.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_EXECUTABLE = 1;
        /// The kind of this loaded code object.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_KIND = 2;
        /// The agent on which this loaded code object is loaded.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_AGENT = 3;
        /// The storage type of the code object reader used to load the loaded code object.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_CODE_OBJECT_STORAGE_TYPE = 4;
        /// The memory address of the first byte of the code object that was loaded.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_CODE_OBJECT_STORAGE_MEMORY_BASE = 5;
        /// The memory size in bytes of the code object that was loaded.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_CODE_OBJECT_STORAGE_MEMORY_SIZE = 6;
        /// The file descriptor of the code object that was loaded.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_CODE_OBJECT_STORAGE_FILE = 7;
        /// The signed byte address difference of the memory address at which the code object is loaded minus the
        /// virtual address specified in the code object that is loaded.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_LOAD_DELTA = 8;
        /// The base memory address at which the code object is loaded.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_LOAD_BASE = 9;
        /// The byte size of the loaded code objects contiguous memory allocation.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_LOAD_SIZE = 10;
        /// The length of the URI in bytes, not including the NUL terminator.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_URI_LENGTH = 11;
        /// The URI name from which the code object was loaded.
        HSA_VEN_AMD_LOADER_LOADED_CODE_OBJECT_INFO_URI = 12;
    }
}
