//! Profiling times, and events of the whole system such as memory faults.

use std::ffi::c_void;

use super::status::hsa_status_t;
use super::system::hsa_agent_t;
use crate::declare::{constants, records};

pub type hsa_amd_system_event_callback_t =
    Option<unsafe extern "C" fn(*const hsa_amd_event_t, *mut c_void) -> hsa_status_t>;

/// What a [`hsa_amd_event_t`] is about: its type says which of these.
#[repr(C)]
#[derive(Clone, Copy)]
pub union hsa_amd_event_data_t {
    /// Of [`HSA_AMD_GPU_MEMORY_FAULT_EVENT`].
    pub memory_fault: hsa_amd_gpu_memory_fault_info_t,
    /// Of [`HSA_AMD_GPU_HW_EXCEPTION_EVENT`].
    pub hw_exception: hsa_amd_gpu_hw_exception_info_t,
    /// Of [`HSA_AMD_GPU_MEMORY_ERROR_EVENT`].
    pub memory_error: hsa_amd_gpu_memory_error_info_t,
}

impl std::fmt::Debug for hsa_amd_event_data_t {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("hsa_amd_event_data_t").finish_non_exhaustive()
    }
}

records! {
    /// Structure containing profiling dispatch time information.
    hsa_amd_profiling_dispatch_time_t {
        /// Dispatch packet processing start time.
        start: u64;
        /// Dispatch packet completion time.
        end: u64;
    }
    /// Structure containing profiling async copy time information.
    hsa_amd_profiling_async_copy_time_t {
        /// Async copy processing start time.
        start: u64;
        /// Async copy completion time.
        end: u64;
    }
    /// AMD GPU memory fault event data.
    hsa_amd_gpu_memory_fault_info_t {
        /// The agent where the memory fault occurred.
        agent: hsa_agent_t;
        /// Virtual address accessed.
        virtual_address: u64;
        /// Bit field encoding the memory access failure reasons.
        fault_reason_mask: u32;
    }
    /// AMD GPU memory error event data.
    hsa_amd_gpu_memory_error_info_t, since 7 {
        /// The agent where the memory error occurred.
        agent: hsa_agent_t;
        /// Virtual address involved.
        virtual_address: u64;
        /// Bit field encoding the memory error failure reasons.
        error_reason_mask: u32;
    }
    /// AMD GPU HW Exception event data.
    hsa_amd_gpu_hw_exception_info_t, since 4 {
        /// The agent where the HW exception occurred.
        agent: hsa_agent_t;
        reset_type: hsa_amd_hw_exception_reset_type_t;
        reset_cause: hsa_amd_hw_exception_reset_cause_t;
    }
    /// AMD GPU event data passed to event handler.
    hsa_amd_event_t {
        /// The event type.
        event_type: hsa_amd_event_type_t;
        /// The rest, by type.
        data = memory_fault: hsa_amd_event_data_t;
    }
}

constants! {
    /// GPU system event type.
    hsa_amd_event_type_t: u32 {
        /// AMD GPU memory fault.
        HSA_AMD_GPU_MEMORY_FAULT_EVENT = 0;
        /// AMD GPU HW Exception.
        HSA_AMD_GPU_HW_EXCEPTION_EVENT = 1, since 4;
        /// AMD GPU memory error.
        HSA_AMD_GPU_MEMORY_ERROR_EVENT = 2, since 7;
    }
    /// Flags denoting the cause of a memory fault.
    hsa_amd_memory_fault_reason_t: u32 {
        /// Page not present or supervisor privilege.
        HSA_AMD_MEMORY_FAULT_PAGE_NOT_PRESENT = 1;
        /// Write access to a read-only page.
        HSA_AMD_MEMORY_FAULT_READ_ONLY = 2;
        /// Execute access to a page marked NX.
        HSA_AMD_MEMORY_FAULT_NX = 4;
        /// GPU attempted access to a host only page.
        HSA_AMD_MEMORY_FAULT_HOST_ONLY = 8;
        /// DRAM ECC failure.
        HSA_AMD_MEMORY_FAULT_DRAMECC = 0x10;
        /// Can't determine the exact fault address.
        HSA_AMD_MEMORY_FAULT_IMPRECISE = 0x20;
        /// SRAM ECC failure (ie registers, no fault address).
        HSA_AMD_MEMORY_FAULT_SRAMECC = 0x40;
        /// GPU reset following unspecified hang.
        HSA_AMD_MEMORY_FAULT_HANG = 0x80000000;
    }
    /// Flags denoting the cause of a memory error.
    hsa_amd_memory_error_reason_t: u32 {
        /// Memory was in use by low-level HW component and cannot be released.
        HSA_AMD_MEMORY_ERROR_MEMORY_IN_USE = 1, since 7;
    }
    /// Flags denoting the type of a HW exception.
    hsa_amd_hw_exception_reset_type_t: u32 {
        /// Unused for now.
        HSA_AMD_HW_EXCEPTION_RESET_TYPE_OTHER = 1, since 4;
    }
    /// Flags denoting the cause of a HW exception.
    hsa_amd_hw_exception_reset_cause_t: u32 {
        /// GPU Hang.
        HSA_AMD_HW_EXCEPTION_CAUSE_GPU_HANG = 1, since 4;
        /// SRAM ECC.
        HSA_AMD_HW_EXCEPTION_CAUSE_ECC = 2, since 4;
    }
    /// Logging types.
    hsa_amd_log_flag_t: u32 {
        /// Log AQL packets internally enqueued by HSA for Blit Kernels.
        HSA_AMD_LOG_FLAG_BLIT_KERNEL_PKTS = 0, since 7;
    }
}
