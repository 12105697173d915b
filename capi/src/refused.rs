//! Functions that AMD's library exports and that answer NOT_SUPPORTED here, each group with its reason.
//!
//! They are there so that a program that names them loads. Before `hsa_init` they answer NOT_INITIALIZED, as everything does. None looks at its
//! arguments, so none declares any.

use hsa_sys::raw::*;

use crate::export::export;
use crate::runtime::{HSA_STATUS_ERROR_NOT_SUPPORTED, status_with};

macro_rules! refused {
    ($($(#[doc = $reason:literal])* [$($name:ident)+])*) => { $( refused! { @ $($name)+ } )* };
    (@ $($name:ident)+) => { $(
        export! {
            /// Refuses.
            fn $name() -> hsa_status_t {
                status_with(|_| Err(HSA_STATUS_ERROR_NOT_SUPPORTED))
            }
        }
    )+ };
}

refused! {
    /// Graphics buffers: there is no graphics driver under this device.
    [
        hsa_amd_interop_map_buffer
        hsa_amd_interop_unmap_buffer
    ]

    /// Shared virtual memory: HSA_AMD_SYSTEM_INFO_SVM_SUPPORTED is false. Kernels reach host memory that was locked.
    [
        hsa_amd_svm_attributes_set
        hsa_amd_svm_attributes_get
        hsa_amd_svm_prefetch_async
    ]

    /// Buffers of the kernel's: HSA_AMD_SYSTEM_INFO_DMABUF_SUPPORTED is false.
    [
        hsa_amd_portable_export_dmabuf
        hsa_amd_portable_export_dmabuf_v2
        hsa_amd_portable_close_dmabuf
    ]

    /// Streaming performance monitors and program-counter sampling: there is nothing to sample.
    [
        hsa_amd_spm_acquire
        hsa_amd_spm_release
        hsa_amd_spm_set_dest_buffer
        hsa_ven_amd_pcs_iterate_configuration
        hsa_ven_amd_pcs_create
        hsa_ven_amd_pcs_create_from_id
        hsa_ven_amd_pcs_destroy
        hsa_ven_amd_pcs_start
        hsa_ven_amd_pcs_stop
        hsa_ven_amd_pcs_flush
    ]

    /// Scratch is charged to the tenant as it is used.
    [
        hsa_amd_agent_set_async_scratch_limit
    ]

    /// The finalizer, which AMD has never shipped.
    [
        hsa_ext_program_create
        hsa_ext_program_destroy
        hsa_ext_program_add_module
        hsa_ext_program_iterate_modules
        hsa_ext_program_get_info
        hsa_ext_program_finalize
    ]

    /// Code objects of HSA 1.0, replaced by readers.
    [
        hsa_code_object_serialize
        hsa_code_object_deserialize
        hsa_code_object_destroy
        hsa_code_object_get_info
        hsa_code_object_get_symbol
        hsa_code_object_get_symbol_from_name
        hsa_code_symbol_get_info
        hsa_code_object_iterate_symbols
        hsa_executable_load_code_object
    ]

    /// Variables that a code object leaves to its program.
    [
        hsa_executable_global_variable_define
        hsa_executable_agent_global_variable_define
        hsa_executable_readonly_variable_define
    ]
}
