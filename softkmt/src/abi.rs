//! The thunk's types, as `hsakmttypes.h` lays them out: `#pragma pack(4)`, bit fields as plain words.
//!
//! Sizes were compared with the header of Debian 12 (5.2.3) and Debian 13 (6.2.4), which agree; a test holds them.

#![allow(non_camel_case_types, reason = "names are those of the C header")]

use std::ffi::c_void;

/// `HSAKMT_STATUS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    Success = 0,
    Error = 1,
    InvalidParameter = 3,
    InvalidHandle = 4,
    InvalidNodeUnit = 5,
    NoMemory = 6,
    NotSupported = 11,
    OutOfResources = 13,
    WaitTimeout = 31,
    MemoryNotRegistered = 36,
}

/// Node 0: the host.
pub(crate) const CPU_NODE: u32 = 0;
/// Node 1: the software GPU.
pub(crate) const GPU_NODE: u32 = 1;

/// `HSA_QUEUE_SDMA`.
pub(crate) const QUEUE_SDMA: u32 = 2;
/// `HSA_QUEUE_COMPUTE_AQL`.
pub(crate) const QUEUE_COMPUTE_AQL: u32 = 21;

/// `HSA_EVENTTYPE_SIGNAL`.
pub(crate) const EVENT_SIGNAL: u32 = 0;
/// `HSA_EVENTTYPE_MEMORY`.
pub(crate) const EVENT_MEMORY: u32 = 8;

/// Bits of `HsaMemFlags`.
pub(crate) mod mem_flags {
    pub(crate) const READ_ONLY: u32 = 1 << 3;
    pub(crate) const SCRATCH: u32 = 1 << 9;
    pub(crate) const EXECUTE_ACCESS: u32 = 1 << 12;
    pub(crate) const FIXED_ADDRESS: u32 = 1 << 15;
    /// Memory without an address, by a handle.
    pub(crate) const NO_ADDRESS: u32 = 1 << 18;
    /// Addresses without memory.
    pub(crate) const ONLY_ADDRESS: u32 = 1 << 19;
}

#[derive(Clone, Copy, Default)]
#[repr(C, packed(4))]
pub(crate) struct HsaVersionInfo {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

#[derive(Clone, Copy, Default)]
#[repr(C, packed(4))]
pub(crate) struct HsaSystemProperties {
    pub(crate) num_nodes: u32,
    pub(crate) platform_oem: u32,
    pub(crate) platform_id: u32,
    pub(crate) platform_rev: u32,
}

#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct HsaNodeProperties {
    pub(crate) num_cpu_cores: u32,
    pub(crate) num_f_compute_cores: u32,
    pub(crate) num_memory_banks: u32,
    pub(crate) num_caches: u32,
    pub(crate) num_io_links: u32,
    pub(crate) c_compute_id_lo: u32,
    pub(crate) f_compute_id_lo: u32,
    pub(crate) capability: u32,
    pub(crate) max_waves_per_simd: u32,
    pub(crate) lds_size_in_kb: u32,
    pub(crate) gds_size_in_kb: u32,
    pub(crate) wave_front_size: u32,
    pub(crate) num_shader_banks: u32,
    pub(crate) num_arrays: u32,
    pub(crate) num_cu_per_array: u32,
    pub(crate) num_simd_per_cu: u32,
    pub(crate) max_slots_scratch_cu: u32,
    pub(crate) engine_id: u32,
    pub(crate) vendor_id: u16,
    pub(crate) device_id: u16,
    pub(crate) location_id: u32,
    pub(crate) local_mem_size: u64,
    pub(crate) max_engine_clock_mhz_f: u32,
    pub(crate) max_engine_clock_mhz_c: u32,
    pub(crate) drm_render_minor: i32,
    pub(crate) marketing_name: [u16; 64],
    pub(crate) amd_name: [u8; 64],
    pub(crate) ucode_engine_versions: u32,
    pub(crate) debug_properties: u64,
    pub(crate) hive_id: u64,
    pub(crate) num_sdma_engines: u32,
    pub(crate) num_sdma_xgmi_engines: u32,
    pub(crate) num_sdma_queues_per_engine: u8,
    pub(crate) num_cp_queues: u8,
    pub(crate) num_gws: u8,
    pub(crate) reserved2: u8,
    pub(crate) domain: u32,
    pub(crate) unique_id: u64,
    pub(crate) vgpr_size_per_cu: u32,
    pub(crate) sgpr_size_per_cu: u32,
    /// This and the rest is reserved in 5.2.3.
    pub(crate) num_xcc: u32,
    pub(crate) kfd_gpu_id: u32,
    pub(crate) family_id: u32,
}

#[derive(Clone, Copy, Default)]
#[repr(C, packed(4))]
pub(crate) struct HsaMemoryProperties {
    pub(crate) heap_type: u32,
    pub(crate) size_in_bytes: u64,
    pub(crate) flags: u32,
    pub(crate) width: u32,
    pub(crate) memory_clock_max: u32,
    pub(crate) virtual_base_address: u64,
}

#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct HsaCacheProperties {
    pub(crate) processor_id_low: u32,
    pub(crate) cache_level: u32,
    pub(crate) cache_size: u32,
    pub(crate) cache_line_size: u32,
    pub(crate) cache_lines_per_tag: u32,
    pub(crate) cache_associativity: u32,
    pub(crate) cache_latency: u32,
    pub(crate) cache_type: u32,
    pub(crate) sibling_map: [u32; 256],
}

#[derive(Clone, Copy, Default)]
#[repr(C, packed(4))]
pub(crate) struct HsaIoLinkProperties {
    pub(crate) io_link_type: u32,
    pub(crate) version_major: u32,
    pub(crate) version_minor: u32,
    pub(crate) node_from: u32,
    pub(crate) node_to: u32,
    pub(crate) weight: u32,
    pub(crate) minimum_latency: u32,
    pub(crate) maximum_latency: u32,
    pub(crate) minimum_bandwidth: u32,
    pub(crate) maximum_bandwidth: u32,
    pub(crate) rec_transfer_size: u32,
    pub(crate) flags: u32,
}

#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct HsaEventDescriptor {
    pub(crate) event_type: u32,
    pub(crate) node_id: u32,
    pub(crate) sync_var: u64,
    pub(crate) sync_var_size: u64,
}

/// `HsaEvent`; its `EventData` union holds the widest member, the memory access fault, laid out by hand.
#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct HsaEvent {
    pub(crate) event_id: u32,
    pub(crate) event_type: u32,
    /// Of a memory fault: the node. Of a signal: the low half of the user's synchronisation variable.
    pub(crate) fault_node: u32,
    pub(crate) fault_address: u64,
    /// Bits of `HsaAccessAttributeFailure`.
    pub(crate) fault_failure: u32,
    pub(crate) fault_flags: u32,
    pub(crate) hw_data1: u64,
    pub(crate) hw_data2: u64,
    pub(crate) hw_data3: u32,
}

#[derive(Clone, Copy, Default)]
#[repr(C, packed(4))]
pub(crate) struct HsaClockCounters {
    pub(crate) gpu: u64,
    pub(crate) cpu: u64,
    pub(crate) system: u64,
    pub(crate) system_hz: u64,
}

#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct HsaQueueResource {
    pub(crate) queue_id: u64,
    pub(crate) doorbell: u64,
    pub(crate) write_ptr: u64,
    pub(crate) read_ptr: u64,
    pub(crate) error_reason: u64,
}

#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct HsaGpuTileConfig {
    pub(crate) tile_config: *mut u32,
    pub(crate) macro_tile_config: *mut u32,
    pub(crate) num_tile_configs: u32,
    pub(crate) num_macro_tile_configs: u32,
    pub(crate) gb_addr_config: u32,
    pub(crate) num_banks: u32,
    pub(crate) num_ranks: u32,
    pub(crate) reserved: [u32; 7],
}

#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct HsaGraphicsResourceInfo {
    pub(crate) memory_address: u64,
    pub(crate) size_in_bytes: u64,
    pub(crate) metadata: u64,
    pub(crate) metadata_size_in_bytes: u32,
    pub(crate) node_id: u32,
}

#[derive(Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct HsaPointerInfo {
    pub(crate) kind: u32,
    pub(crate) node: u32,
    pub(crate) mem_flags: u32,
    pub(crate) cpu_address: u64,
    pub(crate) gpu_address: u64,
    pub(crate) size_in_bytes: u64,
    pub(crate) n_registered_nodes: u32,
    pub(crate) n_mapped_nodes: u32,
    pub(crate) registered_nodes: *const u32,
    pub(crate) mapped_nodes: *const u32,
    pub(crate) user_data: *mut c_void,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_header() {
        assert_eq!(size_of::<HsaNodeProperties>(), 356);
        assert_eq!(std::mem::offset_of!(HsaNodeProperties, num_xcc), 344);
        assert_eq!(size_of::<HsaMemoryProperties>(), 32);
        assert_eq!(size_of::<HsaCacheProperties>(), 1056);
        assert_eq!(size_of::<HsaIoLinkProperties>(), 48);
        assert_eq!(size_of::<HsaEvent>(), 48);
        assert_eq!(std::mem::offset_of!(HsaEvent, hw_data2), 36);
        assert_eq!(size_of::<HsaEventDescriptor>(), 24);
        assert_eq!(size_of::<HsaQueueResource>(), 40);
        assert_eq!(size_of::<HsaPointerInfo>(), 68);
        assert_eq!(size_of::<HsaGraphicsResourceInfo>(), 32);
        assert_eq!(size_of::<HsaGpuTileConfig>(), 64);
        assert_eq!(size_of::<HsaClockCounters>(), 32);
    }
}
