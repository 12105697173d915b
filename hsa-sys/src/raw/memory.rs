//! Regions, memory pools, pointers, sharing between processes, and virtual memory.

use std::ffi::c_void;

use super::system::{hsa_access_permission_t, hsa_agent_t};
use crate::declare::{constants, handles, records};

/// Deallocation notifier function type.
pub type hsa_amd_deallocation_callback_t = Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>;

handles! {
    /// A memory region represents a block of virtual memory with certain properties.
    hsa_region_t;
    /// A memory pool encapsulates physical storage on an agent along with a memory access model.
    hsa_amd_memory_pool_t;
    /// Struct containing an opaque handle to a memory allocation handle.
    hsa_amd_vmem_alloc_handle_t, since 4;
}

records! {
    /// (Provisional API) Pitched memory descriptor.
    hsa_pitched_ptr_t {
        base: *mut c_void;
        pitch: usize;
        slice: usize;
    }
    /// Link properties when accessing the memory pool from the specified agent.
    hsa_amd_memory_pool_link_info_t {
        /// Minimum transfer latency (rounded to ns).
        min_latency: u32;
        /// Maximum transfer latency (rounded to ns).
        max_latency: u32;
        /// Minimum link interface bandwidth in MB/s.
        min_bandwidth: u32;
        /// Maximum link interface bandwidth in MB/s.
        max_bandwidth: u32;
        /// Support for 32-bit atomic transactions.
        atomic_support_32bit: bool;
        /// Support for 64-bit atomic transactions.
        atomic_support_64bit: bool;
        /// Support for cache coherent transactions.
        coherent_support: bool;
        /// The type of bus/link.
        link_type: hsa_amd_link_info_type_t;
        /// NUMA distance of memory pool relative to querying agent.
        numa_distance: u32;
    }
    /// Describes a memory allocation known to ROCr.
    hsa_amd_pointer_info_t {
        /// Size in bytes of this structure.
        size: u32;
        /// The type of allocation referenced.
        r#type: hsa_amd_pointer_type_t;
        /// Base address at which non-host agents may access the allocation.
        agentBaseAddress: *mut c_void;
        /// Base address at which the host agent may access the allocation.
        hostBaseAddress: *mut c_void;
        /// Size of the allocation.
        sizeInBytes: usize;
        /// Application provided value.
        userData: *mut c_void;
        /// Reports an agent which "owns" (ie has preferred access to) the pool in which the allocation was made.
        agentOwner: hsa_agent_t;
        /// Contains a bitfield of `hsa_amd_memory_pool_global_flag_t` values.
        global_flags: u32;
    }
    /// 256-bit process independent identifier for a ROCr shared memory allocation.
    hsa_amd_ipc_memory_t {
        handle: [u32; 8];
    }
    /// List type for `hsa_amd_svm_attributes_set` and its get.
    hsa_amd_svm_attribute_pair_t {
        /// `hsa_amd_svm_attribute_t` value.
        attribute: u64;
        /// Attribute value.
        value: u64;
    }
    hsa_amd_memory_access_desc_t, since 4 {
        permissions: hsa_access_permission_t;
        agent_handle: hsa_agent_t;
    }
}

constants! {
    /// Memory segments associated with a region.
    hsa_region_segment_t: u32 {
        /// Global segment.
        HSA_REGION_SEGMENT_GLOBAL = 0;
        /// Read-only segment.
        HSA_REGION_SEGMENT_READONLY = 1;
        /// Private segment.
        HSA_REGION_SEGMENT_PRIVATE = 2;
        /// Group segment.
        HSA_REGION_SEGMENT_GROUP = 3;
        /// Kernarg segment.
        HSA_REGION_SEGMENT_KERNARG = 4;
    }
    /// Global region flags.
    hsa_region_global_flag_t: u32 {
        /// The application can use memory in the region to store kernel arguments, and provide the values for the
        /// kernarg segment of a kernel dispatch.
        HSA_REGION_GLOBAL_FLAG_KERNARG = 1;
        /// Updates to memory in this region are immediately visible to all the agents under the terms of the HSA
        /// memory model.
        HSA_REGION_GLOBAL_FLAG_FINE_GRAINED = 2;
        /// Updates to memory in this region can be performed by a single agent at a time.
        HSA_REGION_GLOBAL_FLAG_COARSE_GRAINED = 4;
        /// Updates to memory in this region have extended scope, where the device-scope atomics to this memory
        /// type act as system-scope with respect to all variables located in memory regions of this type.
        HSA_REGION_GLOBAL_FLAG_EXTENDED_SCOPE_FINE_GRAINED = 8, since 4;
    }
    /// Attributes of a memory region.
    hsa_region_info_t: u32 {
        /// Segment where memory in the region can be used.
        HSA_REGION_INFO_SEGMENT = 0;
        /// Flag mask.
        HSA_REGION_INFO_GLOBAL_FLAGS = 1;
        /// Size of this region, in bytes.
        HSA_REGION_INFO_SIZE = 2;
        /// Maximum allocation size in this region, in bytes.
        HSA_REGION_INFO_ALLOC_MAX_SIZE = 4;
        /// Maximum size (per work-group) of private memory that can be requested for a specific kernel dispatch.
        HSA_REGION_INFO_ALLOC_MAX_PRIVATE_WORKGROUP_SIZE = 8;
        /// Indicates whether memory in this region can be allocated using `hsa_memory_allocate`.
        HSA_REGION_INFO_RUNTIME_ALLOC_ALLOWED = 5;
        /// Allocation granularity of buffers allocated by `hsa_memory_allocate` in this region.
        HSA_REGION_INFO_RUNTIME_ALLOC_GRANULE = 6;
        /// Alignment of buffers allocated by `hsa_memory_allocate` in this region.
        HSA_REGION_INFO_RUNTIME_ALLOC_ALIGNMENT = 7;
    }
    /// Agent memory properties attributes.
    hsa_amd_agent_memory_properties_t: u32 {
        HSA_AMD_MEMORY_PROPERTY_AGENT_IS_APU = 1, since 4;
    }
    /// Region attributes.
    hsa_amd_region_info_t: u32 {
        /// Determine if host can access the region.
        HSA_AMD_REGION_INFO_HOST_ACCESSIBLE = 0xa000;
        /// Base address of the region in flat address space.
        HSA_AMD_REGION_INFO_BASE = 0xa001;
        /// Memory Interface width, the return value type is uint32_t.
        HSA_AMD_REGION_INFO_BUS_WIDTH = 0xa002;
        /// Max Memory Clock, the return value type is uint32_t.
        HSA_AMD_REGION_INFO_MAX_CLOCK_FREQUENCY = 0xa003;
    }
    /// Coherency attributes of fine grain region.
    hsa_amd_coherency_type_t: u32 {
        /// Coherent region.
        HSA_AMD_COHERENCY_TYPE_COHERENT = 0;
        /// Non coherent region.
        HSA_AMD_COHERENCY_TYPE_NONCOHERENT = 1;
    }
    hsa_amd_memory_pool_global_flag_t: u32 {
        /// The application can use allocations in the memory pool to store kernel arguments, and provide the
        /// values for the kernarg segment of a kernel dispatch.
        HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_KERNARG_INIT = 1;
        /// Updates to memory in this pool conform to HSA memory consistency model.
        HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_FINE_GRAINED = 2;
        /// Writes to memory in this pool can be performed by a single agent at a time.
        HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_COARSE_GRAINED = 4;
        /// Updates to memory in this memory pool have extended scope, acting as system-scope atomics for
        /// variables in memory regions of this type.
        HSA_AMD_MEMORY_POOL_GLOBAL_FLAG_EXTENDED_SCOPE_FINE_GRAINED = 8, since 4;
    }
    hsa_amd_memory_pool_location_t: u32 {
        /// This memory pool resides on the host (CPU).
        HSA_AMD_MEMORY_POOL_LOCATION_CPU = 0, since 4;
        /// This memory pool resides on a GPU.
        HSA_AMD_MEMORY_POOL_LOCATION_GPU = 1, since 4;
    }
    /// Memory pool features.
    hsa_amd_memory_pool_info_t: u32 {
        /// Segment where the memory pool resides.
        HSA_AMD_MEMORY_POOL_INFO_SEGMENT = 0;
        /// Flag mask.
        HSA_AMD_MEMORY_POOL_INFO_GLOBAL_FLAGS = 1;
        /// Size of this pool, in bytes.
        HSA_AMD_MEMORY_POOL_INFO_SIZE = 2;
        /// Indicates whether memory in this pool can be allocated using `hsa_amd_memory_pool_allocate`.
        HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_ALLOWED = 5;
        /// Allocation granularity of buffers allocated by `hsa_amd_memory_pool_allocate` in this memory pool.
        HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_GRANULE = 6;
        /// Alignment of buffers allocated by `hsa_amd_memory_pool_allocate` in this pool.
        HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_ALIGNMENT = 7;
        /// This memory_pool can be made directly accessible by all the agents in the system
        /// (`hsa_amd_agent_memory_pool_get_info` does not return `HSA_AMD_MEMORY_POOL_ACCESS_NEVER_ALLOWED` for
        /// any agent).
        HSA_AMD_MEMORY_POOL_INFO_ACCESSIBLE_BY_ALL = 15;
        /// Maximum aggregate allocation size in bytes.
        HSA_AMD_MEMORY_POOL_INFO_ALLOC_MAX_SIZE = 0x10;
        /// Location of this memory pool.
        HSA_AMD_MEMORY_POOL_INFO_LOCATION = 0x11, since 4;
        /// Internal block size for allocations.
        HSA_AMD_MEMORY_POOL_INFO_RUNTIME_ALLOC_REC_GRANULE = 0x12, since 4;
    }
    /// Memory pool flag used to specify allocation directives.
    hsa_amd_memory_pool_flag_t: u32 {
        /// Allocates memory that conforms to standard HSA memory consistency model.
        HSA_AMD_MEMORY_POOL_STANDARD_FLAG = 0, since 4;
        /// Allocates fine grain memory type where memory ordering is per point to point connection.
        HSA_AMD_MEMORY_POOL_PCIE_FLAG = 1, since 4;
        /// Allocates physically contiguous memory.
        HSA_AMD_MEMORY_POOL_CONTIGUOUS_FLAG = 2, since 7;
        /// Allocates executable memory.
        HSA_AMD_MEMORY_POOL_EXECUTABLE_FLAG = 4, since 7;
    }
    /// (Provisional API) Copy direction flag.
    hsa_amd_copy_direction_t: u32 {
        hsaHostToHost = 0;
        hsaHostToDevice = 1;
        hsaDeviceToHost = 2;
        hsaDeviceToDevice = 3;
    }
    /// Type of accesses to a memory pool from a given agent.
    hsa_amd_memory_pool_access_t: u32 {
        /// The agent cannot directly access any buffer in the memory pool.
        HSA_AMD_MEMORY_POOL_ACCESS_NEVER_ALLOWED = 0;
        /// The agent can directly access a buffer located in the pool; the application does not need to invoke
        /// `hsa_amd_agents_allow_access`.
        HSA_AMD_MEMORY_POOL_ACCESS_ALLOWED_BY_DEFAULT = 1;
        /// The agent can directly access a buffer located in the pool, but only if the application has previously
        /// requested access to that buffer using `hsa_amd_agents_allow_access`.
        HSA_AMD_MEMORY_POOL_ACCESS_DISALLOWED_BY_DEFAULT = 2;
    }
    /// Properties of the relationship between an agent a memory pool.
    hsa_amd_link_info_type_t: u32 {
        /// Hyper-transport bus type.
        HSA_AMD_LINK_INFO_TYPE_HYPERTRANSPORT = 0;
        /// QPI bus type.
        HSA_AMD_LINK_INFO_TYPE_QPI = 1;
        /// PCIe bus type.
        HSA_AMD_LINK_INFO_TYPE_PCIE = 2;
        /// Infiniband bus type.
        HSA_AMD_LINK_INFO_TYPE_INFINBAND = 3;
        /// XGMI link type.
        HSA_AMD_LINK_INFO_TYPE_XGMI = 4;
    }
    /// Properties of the relationship between an agent a memory pool.
    hsa_amd_agent_memory_pool_info_t: u32 {
        /// Access to buffers located in the memory pool.
        HSA_AMD_AGENT_MEMORY_POOL_INFO_ACCESS = 0;
        /// Number of links to hop when accessing the memory pool from the specified agent.
        HSA_AMD_AGENT_MEMORY_POOL_INFO_NUM_LINK_HOPS = 1;
        /// Details of each link hop when accessing the memory pool starting from the specified agent.
        HSA_AMD_AGENT_MEMORY_POOL_INFO_LINK_INFO = 2;
    }
    /// Denotes the type of memory in a pointer info query.
    hsa_amd_pointer_type_t: u32 {
        /// Memory is not known to the HSA driver.
        HSA_EXT_POINTER_TYPE_UNKNOWN = 0;
        /// Memory was allocated with an HSA memory allocator.
        HSA_EXT_POINTER_TYPE_HSA = 1;
        /// System memory which has been locked for use with an HSA agent.
        HSA_EXT_POINTER_TYPE_LOCKED = 2;
        /// Memory originated in a graphics component and is shared with ROCr.
        HSA_EXT_POINTER_TYPE_GRAPHICS = 3;
        /// Memory has been shared with the local process via ROCr IPC APIs.
        HSA_EXT_POINTER_TYPE_IPC = 4;
        /// No backend memory but virtual address.
        HSA_EXT_POINTER_TYPE_RESERVED_ADDR = 5, since 7;
    }
    hsa_amd_svm_model_t: u32 {
        /// Updates to memory with this attribute conform to HSA memory consistency model.
        HSA_AMD_SVM_GLOBAL_FLAG_FINE_GRAINED = 0;
        /// Writes to memory with this attribute can be performed by a single agent at a time.
        HSA_AMD_SVM_GLOBAL_FLAG_COARSE_GRAINED = 1;
        /// Memory region queried contains subregions with both `HSA_AMD_SVM_GLOBAL_FLAG_COARSE_GRAINED` and
        /// `HSA_AMD_SVM_GLOBAL_FLAG_FINE_GRAINED` attributes.
        HSA_AMD_SVM_GLOBAL_FLAG_INDETERMINATE = 2;
    }
    hsa_amd_svm_attribute_t: u32 {
        /// Memory model attribute.
        HSA_AMD_SVM_ATTRIB_GLOBAL_FLAG = 0;
        /// Marks the range read only.
        HSA_AMD_SVM_ATTRIB_READ_ONLY = 1;
        /// Automatic migrations should attempt to keep the memory within the xgmi hive containing accessible
        /// agents.
        HSA_AMD_SVM_ATTRIB_HIVE_LOCAL = 2;
        /// Page granularity to migrate at once.
        HSA_AMD_SVM_ATTRIB_MIGRATION_GRANULARITY = 3;
        /// Physical location to prefer when automatic migration occurs.
        HSA_AMD_SVM_ATTRIB_PREFERRED_LOCATION = 4;
        /// This attribute can not be used in `hsa_amd_svm_attributes_set` (see `hsa_amd_svm_prefetch_async`).
        HSA_AMD_SVM_ATTRIB_PREFETCH_LOCATION = 5;
        /// Optimizes with the anticipation that the majority of operations to the range will be read operations.
        HSA_AMD_SVM_ATTRIB_READ_MOSTLY = 6;
        /// Allows the execution on GPU.
        HSA_AMD_SVM_ATTRIB_GPU_EXEC = 7, since 4;
        /// This attribute can not be used in `hsa_amd_svm_attributes_get`.
        HSA_AMD_SVM_ATTRIB_AGENT_ACCESSIBLE = 0x200;
        /// This attribute can not be used in `hsa_amd_svm_attributes_get`.
        HSA_AMD_SVM_ATTRIB_AGENT_ACCESSIBLE_IN_PLACE = 0x201;
        /// This attribute can not be used in `hsa_amd_svm_attributes_get`.
        HSA_AMD_SVM_ATTRIB_AGENT_NO_ACCESS = 0x202;
        /// This attribute can not be used in `hsa_amd_svm_attributes_set`.
        HSA_AMD_SVM_ATTRIB_ACCESS_QUERY = 0x203;
    }
    hsa_amd_memory_type_t: u32 {
        MEMORY_TYPE_NONE = 0, since 4;
        MEMORY_TYPE_PINNED = 1, since 4;
    }
}
