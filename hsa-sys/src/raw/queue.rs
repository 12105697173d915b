//! User-mode queues, the packets in them, and what AMD puts behind `hsa_queue_t`.

use std::ffi::c_void;

use super::signal::{hsa_signal_condition32_t, hsa_signal_t, hsa_signal_value_t};
use crate::declare::{constants, records};

/// A fixed-size type used to represent `hsa_queue_type_t` constants.
pub type hsa_queue_type32_t = u32;
/// A fixed-size type used to represent `hsa_amd_packet_type_t` constants.
pub type hsa_amd_packet_type8_t = u8;
/// AMD Queue Properties.
pub type amd_queue_properties32_t = u32;
/// AMD Queue Capabilities.
pub type amd_queue_capabilities32_t = u32;

records! {
    /// User mode queue.
    hsa_queue_t {
        /// Queue type.
        r#type: hsa_queue_type32_t;
        /// Queue features mask.
        features: u32;
        base_address: *mut c_void;
        /// Signal object used by the application to indicate the ID of a packet that is ready to be processed.
        doorbell_signal: hsa_signal_t;
        /// Maximum number of packets the queue can hold.
        size: u32;
        /// Reserved.
        reserved1: u32;
        /// Queue identifier, which is unique over the lifetime of the application.
        id: u64;
    }
    /// AQL kernel dispatch packet.
    hsa_kernel_dispatch_packet_t {
        /// Packet header.
        header: u16;
        /// Dispatch setup parameters.
        setup: u16;
        /// X dimension of work-group, in work-items.
        workgroup_size_x: u16;
        /// Y dimension of work-group, in work-items.
        workgroup_size_y: u16;
        /// Z dimension of work-group, in work-items.
        workgroup_size_z: u16;
        /// Reserved.
        reserved0: u16;
        /// X dimension of grid, in work-items.
        grid_size_x: u32;
        /// Y dimension of grid, in work-items.
        grid_size_y: u32;
        /// Z dimension of grid, in work-items.
        grid_size_z: u32;
        /// Size in bytes of private memory allocation request (per work-item).
        private_segment_size: u32;
        /// Size in bytes of group memory allocation request (per work-group).
        group_segment_size: u32;
        /// Opaque handle to a code object that includes an implementation-defined executable code for the kernel.
        kernel_object: u64;
        kernarg_address: *mut c_void;
        /// Reserved.
        reserved2: u64;
        /// Signal used to indicate completion of the job.
        completion_signal: hsa_signal_t;
    }
    /// Agent dispatch packet.
    hsa_agent_dispatch_packet_t {
        /// Packet header.
        header: u16;
        /// Application-defined function to be performed by the destination agent.
        r#type: u16;
        /// Reserved.
        reserved0: u32;
        return_address: *mut c_void;
        /// Function arguments.
        arg: [u64; 4];
        /// Reserved.
        reserved2: u64;
        /// Signal used to indicate completion of the job.
        completion_signal: hsa_signal_t;
    }
    /// Barrier-AND packet.
    hsa_barrier_and_packet_t {
        /// Packet header.
        header: u16;
        /// Reserved.
        reserved0: u16;
        /// Reserved.
        reserved1: u32;
        /// Array of dependent signal objects.
        dep_signal: [hsa_signal_t; 5];
        /// Reserved.
        reserved2: u64;
        /// Signal used to indicate completion of the job.
        completion_signal: hsa_signal_t;
    }
    /// Barrier-OR packet.
    hsa_barrier_or_packet_t {
        /// Packet header.
        header: u16;
        /// Reserved.
        reserved0: u16;
        /// Reserved.
        reserved1: u32;
        /// Array of dependent signal objects.
        dep_signal: [hsa_signal_t; 5];
        /// Reserved.
        reserved2: u64;
        /// Signal used to indicate completion of the job.
        completion_signal: hsa_signal_t;
    }
    /// AMD vendor specific AQL packet header.
    hsa_amd_vendor_packet_header_t {
        /// Packet header.
        header: u16;
        /// Format of the vendor specific packet.
        AmdFormat: hsa_amd_packet_type8_t;
        /// Reserved.
        reserved: u8;
    }
    /// AMD barrier value packet.
    hsa_amd_barrier_value_packet_t {
        /// AMD vendor specific packet header.
        header: hsa_amd_vendor_packet_header_t;
        /// Reserved.
        reserved0: u32;
        /// Dependent signal object.
        signal: hsa_signal_t;
        /// Value to compare against.
        value: hsa_signal_value_t;
        /// Bit mask to be combined by bitwise AND with `signal`'s value.
        mask: hsa_signal_value_t;
        /// Comparison operation.
        cond: hsa_signal_condition32_t;
        /// Reserved.
        reserved1: u32;
        /// Reserved.
        reserved2: u64;
        /// Reserved.
        reserved3: u64;
        /// Signal used to indicate completion of the job.
        completion_signal: hsa_signal_t;
    }
    /// What AMD puts behind a `hsa_queue_t`. The packet processor reads and writes it: reach it through atomics only.
    #[align(64)]
    amd_queue_t {
        hsa_queue: hsa_queue_t;
        caps: u32, since 4;
        reserved1: [u32; 3];
        write_dispatch_id: u64;
        group_segment_aperture_base_hi: u32;
        private_segment_aperture_base_hi: u32;
        max_cu_id: u32;
        max_wave_id: u32;
        max_legacy_doorbell_dispatch_id_plus_1: u64;
        legacy_doorbell_lock: u32;
        reserved2: [u32; 9];
        read_dispatch_id: u64;
        read_dispatch_id_field_base_byte_offset: u32;
        compute_tmpring_size: u32;
        scratch_resource_descriptor: [u32; 4];
        scratch_backing_memory_location: u64;
        scratch_backing_memory_byte_size: u64;
        scratch_wave64_lane_byte_size: u32;
        queue_properties: amd_queue_properties32_t;
        reserved3: [u32; 2];
        queue_inactive_signal: hsa_signal_t;
        reserved4: [u32; 14];
    }
    scratch_last_used_index_xcc_t, since 7 {
        main: u64;
        alt: u64;
    }
    #[align(64)]
    amd_queue_v2_t, since 7 {
        hsa_queue: hsa_queue_t;
        caps: u32;
        reserved1: [u32; 3];
        write_dispatch_id: u64;
        group_segment_aperture_base_hi: u32;
        private_segment_aperture_base_hi: u32;
        max_cu_id: u32;
        max_wave_id: u32;
        max_legacy_doorbell_dispatch_id_plus_1: u64;
        legacy_doorbell_lock: u32;
        reserved2: [u32; 9];
        read_dispatch_id: u64;
        read_dispatch_id_field_base_byte_offset: u32;
        compute_tmpring_size: u32;
        scratch_resource_descriptor: [u32; 4];
        scratch_backing_memory_location: u64;
        scratch_backing_memory_byte_size: u64;
        scratch_wave64_lane_byte_size: u32;
        queue_properties: amd_queue_properties32_t;
        scratch_max_use_index: u64;
        queue_inactive_signal: hsa_signal_t;
        alt_scratch_max_use_index: u64;
        alt_scratch_resource_descriptor: [u32; 4];
        alt_scratch_backing_memory_location: u64;
        alt_scratch_dispatch_limit_x: u32;
        alt_scratch_dispatch_limit_y: u32;
        alt_scratch_dispatch_limit_z: u32;
        alt_scratch_wave64_lane_byte_size: u32;
        alt_compute_tmpring_size: u32;
        reserved5: u32;
        scratch_last_used_index: [scratch_last_used_index_xcc_t; 128];
    }
}

constants! {
    /// Queue type.
    hsa_queue_type_t: u32 {
        /// Queue supports multiple producers.
        HSA_QUEUE_TYPE_MULTI = 0;
        /// Queue only supports a single producer.
        HSA_QUEUE_TYPE_SINGLE = 1;
        /// Queue supports multiple producers and cooperative dispatches.
        HSA_QUEUE_TYPE_COOPERATIVE = 2;
    }
    /// Queue features.
    hsa_queue_feature_t: u32 {
        /// Queue supports kernel dispatch packets.
        HSA_QUEUE_FEATURE_KERNEL_DISPATCH = 1;
        /// Queue supports agent dispatch packets.
        HSA_QUEUE_FEATURE_AGENT_DISPATCH = 2;
    }
    /// Packet type.
    hsa_packet_type_t: u32 {
        /// Vendor-specific packet.
        HSA_PACKET_TYPE_VENDOR_SPECIFIC = 0;
        /// The packet has been processed in the past, but has not been reassigned to the packet processor.
        HSA_PACKET_TYPE_INVALID = 1;
        /// Packet used by agents for dispatching jobs to kernel agents.
        HSA_PACKET_TYPE_KERNEL_DISPATCH = 2;
        /// Packet used by agents to delay processing of subsequent packets, and to express complex dependencies
        /// between multiple packets.
        HSA_PACKET_TYPE_BARRIER_AND = 3;
        /// Packet used by agents for dispatching jobs to agents.
        HSA_PACKET_TYPE_AGENT_DISPATCH = 4;
        /// Packet used by agents to delay processing of subsequent packets, and to express complex dependencies
        /// between multiple packets.
        HSA_PACKET_TYPE_BARRIER_OR = 5;
    }
    /// Scope of the memory fence operation associated with a packet.
    hsa_fence_scope_t: u32 {
        /// No scope (no fence is applied).
        HSA_FENCE_SCOPE_NONE = 0;
        /// The fence is applied with agent scope for the global segment.
        HSA_FENCE_SCOPE_AGENT = 1;
        /// The fence is applied across both agent and system scope for the global segment.
        HSA_FENCE_SCOPE_SYSTEM = 2;
    }
    /// Sub-fields of the header field that is present in any AQL packet.
    hsa_packet_header_t: u32 {
        /// Packet type.
        HSA_PACKET_HEADER_TYPE = 0;
        /// Barrier bit.
        HSA_PACKET_HEADER_BARRIER = 8;
        /// Acquire fence scope.
        HSA_PACKET_HEADER_SCACQUIRE_FENCE_SCOPE = 9;
        HSA_PACKET_HEADER_ACQUIRE_FENCE_SCOPE = 9;
        /// Release fence scope, The value of this sub-field determines the scope and type of the memory fence
        /// operation applied after kernel completion but before the packet is completed.
        HSA_PACKET_HEADER_SCRELEASE_FENCE_SCOPE = 11;
        HSA_PACKET_HEADER_RELEASE_FENCE_SCOPE = 11;
    }
    /// Width (in bits) of the sub-fields in `hsa_packet_header_t`.
    hsa_packet_header_width_t: u32 {
        HSA_PACKET_HEADER_WIDTH_TYPE = 8;
        HSA_PACKET_HEADER_WIDTH_BARRIER = 1;
        HSA_PACKET_HEADER_WIDTH_SCACQUIRE_FENCE_SCOPE = 2;
        HSA_PACKET_HEADER_WIDTH_ACQUIRE_FENCE_SCOPE = 2;
        HSA_PACKET_HEADER_WIDTH_SCRELEASE_FENCE_SCOPE = 2;
        HSA_PACKET_HEADER_WIDTH_RELEASE_FENCE_SCOPE = 2;
    }
    /// Sub-fields of the kernel dispatch packet setup field.
    hsa_kernel_dispatch_packet_setup_t: u32 {
        /// Number of dimensions of the grid.
        HSA_KERNEL_DISPATCH_PACKET_SETUP_DIMENSIONS = 0;
    }
    /// Width (in bits) of the sub-fields in `hsa_kernel_dispatch_packet_setup_t`.
    hsa_kernel_dispatch_packet_setup_width_t: u32 {
        HSA_KERNEL_DISPATCH_PACKET_SETUP_WIDTH_DIMENSIONS = 2;
    }
    /// AMD vendor specific packet type.
    hsa_amd_packet_type_t: u32 {
        /// Packet used by agents to delay processing of subsequent packets until a configurable condition is
        /// satisfied by an HSA signal.
        HSA_AMD_PACKET_TYPE_BARRIER_VALUE = 2;
        /// Packet used to send commands to an AIE agent's embedded runtime (ERT).
        HSA_AMD_PACKET_TYPE_AIE_ERT = 3, since 7;
    }
    /// Per-queue dispatch and wavefront scheduling priority.
    hsa_amd_queue_priority_t: u32 {
        /// Below normal/high priority compute and all graphics.
        HSA_AMD_QUEUE_PRIORITY_LOW = 0;
        /// Above low priority compute, below high priority compute and all graphics.
        HSA_AMD_QUEUE_PRIORITY_NORMAL = 1;
        /// Above low/normal priority compute and all graphics.
        HSA_AMD_QUEUE_PRIORITY_HIGH = 2;
    }
    hsa_queue_info_attribute_t: u32 {
        /// Returns the agent that owns the underlying HW queue.
        HSA_AMD_QUEUE_INFO_AGENT = 0, since 7;
        /// Returns the doorbell ID of the completion signal of the queue The type of this attribute is uint64_t.
        HSA_AMD_QUEUE_INFO_DOORBELL_ID = 1, since 7;
    }
    amd_queue_properties_t: u32 {
        AMD_QUEUE_PROPERTIES_ENABLE_TRAP_HANDLER = 1;
        AMD_QUEUE_PROPERTIES_IS_PTR64 = 2;
        AMD_QUEUE_PROPERTIES_ENABLE_TRAP_HANDLER_DEBUG_SGPRS = 4;
        AMD_QUEUE_PROPERTIES_ENABLE_PROFILING = 8;
        AMD_QUEUE_PROPERTIES_USE_SCRATCH_ONCE = 0x10;
    }
    amd_queue_capabilities_t: u32 {
        /// This version of CP FW supports dual-scratch and async-reclaim.
        AMD_QUEUE_CAPS_CP_ASYNC_RECLAIM = 1, since 7;
        /// This version of ROCr supports async-reclaim and CP FW may access the V2 fields.
        AMD_QUEUE_CAPS_SW_ASYNC_RECLAIM = 2, since 7;
    }
}
