//! The system and its agents: what can be asked about them.

use crate::declare::{constants, handles, records};
use std::ffi::c_int;

/// POSIX file descriptor.
pub type hsa_file_t = c_int;

handles! {
    /// Struct containing an opaque handle to an agent, a device that participates in the HSA memory model.
    hsa_agent_t;
    /// Cache handle.
    hsa_cache_t;
}

records! {
    /// Three-dimensional coordinate.
    hsa_dim3_t {
        /// X dimension.
        x: u32;
        /// Y dimension.
        y: u32;
        /// Z dimension.
        z: u32;
    }
    hsa_amd_hdp_flush_t {
        HDP_MEM_FLUSH_CNTL: *mut u32;
        HDP_REG_FLUSH_CNTL: *mut u32;
    }
}

constants! {
    /// Access permissions.
    hsa_access_permission_t: u32 {
        /// Used to remove existing access.
        HSA_ACCESS_PERMISSION_NONE = 0, since 4;
        /// Read-only access.
        HSA_ACCESS_PERMISSION_RO = 1;
        /// Write-only access.
        HSA_ACCESS_PERMISSION_WO = 2;
        /// Read and write access.
        HSA_ACCESS_PERMISSION_RW = 3;
    }
    /// Endianness.
    hsa_endianness_t: u32 {
        /// The least significant byte is stored in the smallest address.
        HSA_ENDIANNESS_LITTLE = 0;
        /// The most significant byte is stored in the smallest address.
        HSA_ENDIANNESS_BIG = 1;
    }
    /// Machine model.
    hsa_machine_model_t: u32 {
        /// Small machine model.
        HSA_MACHINE_MODEL_SMALL = 0;
        /// Large machine model.
        HSA_MACHINE_MODEL_LARGE = 1;
    }
    /// Profile.
    hsa_profile_t: u32 {
        /// Base profile.
        HSA_PROFILE_BASE = 0;
        /// Full profile.
        HSA_PROFILE_FULL = 1;
    }
    /// System attributes.
    hsa_system_info_t: u32 {
        /// Major version of the HSA runtime specification supported by the implementation.
        HSA_SYSTEM_INFO_VERSION_MAJOR = 0;
        /// Minor version of the HSA runtime specification supported by the implementation.
        HSA_SYSTEM_INFO_VERSION_MINOR = 1;
        /// Current timestamp.
        HSA_SYSTEM_INFO_TIMESTAMP = 2;
        /// Timestamp value increase rate, in Hz.
        HSA_SYSTEM_INFO_TIMESTAMP_FREQUENCY = 3;
        /// Maximum duration of a signal wait operation.
        HSA_SYSTEM_INFO_SIGNAL_MAX_WAIT = 4;
        /// Endianness of the system.
        HSA_SYSTEM_INFO_ENDIANNESS = 5;
        /// Machine model supported by the HSA runtime.
        HSA_SYSTEM_INFO_MACHINE_MODEL = 6;
        /// Bit-mask indicating which extensions are supported by the implementation.
        HSA_SYSTEM_INFO_EXTENSIONS = 7;
        /// String containing the ROCr build identifier.
        HSA_AMD_SYSTEM_INFO_BUILD_VERSION = 0x200;
        /// Returns true if `hsa_amd_svm_`* APIs are supported by the driver.
        HSA_AMD_SYSTEM_INFO_SVM_SUPPORTED = 0x201;
        HSA_AMD_SYSTEM_INFO_SVM_ACCESSIBLE_BY_DEFAULT = 0x202;
        /// Returns true if mwaitx is enabled on this system The type of this attribute is bool.
        HSA_AMD_SYSTEM_INFO_MWAITX_ENABLED = 0x203, since 4;
        /// Returns true if DMABUF APIs are supported by the driver.
        HSA_AMD_SYSTEM_INFO_DMABUF_SUPPORTED = 0x204, since 4;
        /// Returns true if Virtual Memory APIs are supported by the driver.
        HSA_AMD_SYSTEM_INFO_VIRTUAL_MEM_API_SUPPORTED = 0x205, since 4;
        /// Returns true if XNACK is enabled on this system.
        HSA_AMD_SYSTEM_INFO_XNACK_ENABLED = 0x206, since 4;
        /// Major version of the HSA runtime extension specification supported by the implementation.
        HSA_AMD_SYSTEM_INFO_EXT_VERSION_MAJOR = 0x207, since 4;
        /// Minor version of the HSA runtime extension specification supported by the implementation.
        HSA_AMD_SYSTEM_INFO_EXT_VERSION_MINOR = 0x208, since 4;
    }
    /// HSA extensions.
    hsa_extension_t: u32 {
        /// Finalizer extension.
        HSA_EXTENSION_FINALIZER = 0;
        /// Images extension.
        HSA_EXTENSION_IMAGES = 1;
        /// Performance counter extension.
        HSA_EXTENSION_PERFORMANCE_COUNTERS = 2;
        /// Profiling events extension.
        HSA_EXTENSION_PROFILING_EVENTS = 3;
        /// Profiler extension.
        HSA_EXTENSION_AMD_PROFILER = 0x200;
        /// Loader extension.
        HSA_EXTENSION_AMD_LOADER = 0x201;
        /// AqlProfile extension.
        HSA_EXTENSION_AMD_AQLPROFILE = 0x202;
        /// PC Sampling extension.
        HSA_EXTENSION_AMD_PC_SAMPLING = 0x203, since 7;
    }
    /// Agent features.
    hsa_agent_feature_t: u32 {
        /// The agent supports AQL packets of kernel dispatch type.
        HSA_AGENT_FEATURE_KERNEL_DISPATCH = 1;
        /// The agent supports AQL packets of agent dispatch type.
        HSA_AGENT_FEATURE_AGENT_DISPATCH = 2;
    }
    /// Hardware device type.
    hsa_device_type_t: u32 {
        /// CPU device.
        HSA_DEVICE_TYPE_CPU = 0;
        /// GPU device.
        HSA_DEVICE_TYPE_GPU = 1;
        /// DSP device.
        HSA_DEVICE_TYPE_DSP = 2;
        /// AI Engine (AIE) device.
        HSA_DEVICE_TYPE_AIE = 3, since 7;
    }
    /// Default floating-point rounding mode.
    hsa_default_float_rounding_mode_t: u32 {
        /// Use a default floating-point rounding mode specified elsewhere.
        HSA_DEFAULT_FLOAT_ROUNDING_MODE_DEFAULT = 0;
        /// Operations that specify the default floating-point mode are rounded to zero by default.
        HSA_DEFAULT_FLOAT_ROUNDING_MODE_ZERO = 1;
        /// Operations that specify the default floating-point mode are rounded to the nearest representable
        /// number and that ties should be broken by selecting the value with an even least significant bit.
        HSA_DEFAULT_FLOAT_ROUNDING_MODE_NEAR = 2;
    }
    /// Agent attributes.
    hsa_agent_info_t: u32 {
        /// Agent name.
        HSA_AGENT_INFO_NAME = 0;
        /// Name of vendor.
        HSA_AGENT_INFO_VENDOR_NAME = 1;
        /// Agent capability.
        HSA_AGENT_INFO_FEATURE = 2;
        /// Machine model supported by the agent.
        HSA_AGENT_INFO_MACHINE_MODEL = 3;
        /// Profile supported by the agent.
        HSA_AGENT_INFO_PROFILE = 4;
        /// Default floating-point rounding mode.
        HSA_AGENT_INFO_DEFAULT_FLOAT_ROUNDING_MODE = 5;
        /// A bit-mask of `hsa_default_float_rounding_mode_t` values, representing the default floating-point
        /// rounding modes supported by the agent in the Base profile.
        HSA_AGENT_INFO_BASE_PROFILE_DEFAULT_FLOAT_ROUNDING_MODES = 0x17;
        /// Flag indicating that the f16 HSAIL operation is at least as fast as the f32 operation in the current
        /// agent.
        HSA_AGENT_INFO_FAST_F16_OPERATION = 0x18;
        /// Number of work-items in a wavefront.
        HSA_AGENT_INFO_WAVEFRONT_SIZE = 6;
        /// Maximum number of work-items of each dimension of a work-group.
        HSA_AGENT_INFO_WORKGROUP_MAX_DIM = 7;
        /// Maximum total number of work-items in a work-group.
        HSA_AGENT_INFO_WORKGROUP_MAX_SIZE = 8;
        /// Maximum number of work-items of each dimension of a grid.
        HSA_AGENT_INFO_GRID_MAX_DIM = 9;
        /// Maximum total number of work-items in a grid.
        HSA_AGENT_INFO_GRID_MAX_SIZE = 10;
        /// Maximum number of fbarriers per work-group.
        HSA_AGENT_INFO_FBARRIER_MAX_SIZE = 11;
        /// Maximum number of queues that can be active (created but not destroyed) at one time in the agent.
        HSA_AGENT_INFO_QUEUES_MAX = 12;
        /// Minimum number of packets that a queue created in the agent can hold.
        HSA_AGENT_INFO_QUEUE_MIN_SIZE = 13;
        /// Maximum number of packets that a queue created in the agent can hold.
        HSA_AGENT_INFO_QUEUE_MAX_SIZE = 14;
        /// Type of a queue created in the agent.
        HSA_AGENT_INFO_QUEUE_TYPE = 15;
        /// Identifier of the NUMA node associated with the agent.
        HSA_AGENT_INFO_NODE = 0x10;
        /// Type of hardware device associated with the agent.
        HSA_AGENT_INFO_DEVICE = 0x11;
        /// Array of data cache sizes (L1..L4).
        HSA_AGENT_INFO_CACHE_SIZE = 0x12;
        /// Instruction set architecture of the agent.
        HSA_AGENT_INFO_ISA = 0x13;
        /// Bit-mask indicating which extensions are supported by the agent.
        HSA_AGENT_INFO_EXTENSIONS = 0x14;
        /// Major version of the HSA runtime specification supported by the agent.
        HSA_AGENT_INFO_VERSION_MAJOR = 0x15;
        /// Minor version of the HSA runtime specification supported by the agent.
        HSA_AGENT_INFO_VERSION_MINOR = 0x16;
        /// Maximum number of elements in 1D images.
        HSA_EXT_AGENT_INFO_IMAGE_1D_MAX_ELEMENTS = 0x3000;
        /// Maximum number of elements in 1DA images.
        HSA_EXT_AGENT_INFO_IMAGE_1DA_MAX_ELEMENTS = 0x3001;
        /// Maximum number of elements in 1DB images.
        HSA_EXT_AGENT_INFO_IMAGE_1DB_MAX_ELEMENTS = 0x3002;
        /// Maximum dimensions (width, height) of 2D images, in image elements.
        HSA_EXT_AGENT_INFO_IMAGE_2D_MAX_ELEMENTS = 0x3003;
        /// Maximum dimensions (width, height) of 2DA images, in image elements.
        HSA_EXT_AGENT_INFO_IMAGE_2DA_MAX_ELEMENTS = 0x3004;
        /// Maximum dimensions (width, height) of 2DDEPTH images, in image elements.
        HSA_EXT_AGENT_INFO_IMAGE_2DDEPTH_MAX_ELEMENTS = 0x3005;
        /// Maximum dimensions (width, height) of 2DADEPTH images, in image elements.
        HSA_EXT_AGENT_INFO_IMAGE_2DADEPTH_MAX_ELEMENTS = 0x3006;
        /// Maximum dimensions (width, height, depth) of 3D images, in image elements.
        HSA_EXT_AGENT_INFO_IMAGE_3D_MAX_ELEMENTS = 0x3007;
        /// Maximum number of image layers in a image array.
        HSA_EXT_AGENT_INFO_IMAGE_ARRAY_MAX_LAYERS = 0x3008;
        /// Maximum number of read-only image handles that can be created for an agent at any one time.
        HSA_EXT_AGENT_INFO_MAX_IMAGE_RD_HANDLES = 0x3009;
        /// Maximum number of write-only and read-write image handles (combined) that can be created for an agent
        /// at any one time.
        HSA_EXT_AGENT_INFO_MAX_IMAGE_RORW_HANDLES = 0x300a;
        /// Maximum number of sampler handlers that can be created for an agent at any one time.
        HSA_EXT_AGENT_INFO_MAX_SAMPLER_HANDLERS = 0x300b;
        /// Image pitch alignment.
        HSA_EXT_AGENT_INFO_IMAGE_LINEAR_ROW_PITCH_ALIGNMENT = 0x300c;
    }
    /// Exception policies applied in the presence of hardware exceptions.
    hsa_exception_policy_t: u32 {
        /// If a hardware exception is detected, a work-item signals an exception.
        HSA_EXCEPTION_POLICY_BREAK = 1;
        /// If a hardware exception is detected, a hardware status bit is set.
        HSA_EXCEPTION_POLICY_DETECT = 2;
    }
    /// Cache attributes.
    hsa_cache_info_t: u32 {
        /// The length of the cache name in bytes, not including the NUL terminator.
        HSA_CACHE_INFO_NAME_LENGTH = 0;
        /// Human-readable description.
        HSA_CACHE_INFO_NAME = 1;
        /// Cache level.
        HSA_CACHE_INFO_LEVEL = 2;
        /// Cache size, in bytes.
        HSA_CACHE_INFO_SIZE = 3;
    }
    /// IOMMU version supported.
    hsa_amd_iommu_version_t: u32 {
        /// IOMMU not supported.
        HSA_IOMMU_SUPPORT_NONE = 0, since 4;
        /// IOMMU V1 support is not relevant to user applications, so not reporting it.
        HSA_IOMMU_SUPPORT_V2 = 1, since 4;
    }
    /// Agent attributes.
    hsa_amd_agent_info_t: u32 {
        /// Chip identifier.
        HSA_AMD_AGENT_INFO_CHIP_ID = 0xa000;
        /// Size of a cacheline in bytes.
        HSA_AMD_AGENT_INFO_CACHELINE_SIZE = 0xa001;
        /// The number of compute unit available in the agent.
        HSA_AMD_AGENT_INFO_COMPUTE_UNIT_COUNT = 0xa002;
        /// The maximum clock frequency of the agent in MHz.
        HSA_AMD_AGENT_INFO_MAX_CLOCK_FREQUENCY = 0xa003;
        /// Internal driver node identifier.
        HSA_AMD_AGENT_INFO_DRIVER_NODE_ID = 0xa004;
        /// Max number of watch points on memory address ranges to generate exception events when the watched
        /// addresses are accessed.
        HSA_AMD_AGENT_INFO_MAX_ADDRESS_WATCH_POINTS = 0xa005;
        /// Agent BDF_ID, named LocationID in thunk.
        HSA_AMD_AGENT_INFO_BDFID = 0xa006;
        /// Memory Interface width, the return value type is uint32_t.
        HSA_AMD_AGENT_INFO_MEMORY_WIDTH = 0xa007;
        /// Max Memory Clock, the return value type is uint32_t.
        HSA_AMD_AGENT_INFO_MEMORY_MAX_FREQUENCY = 0xa008;
        /// Board name of Agent - populated from MarketingName of Kfd Node The value is an Ascii string of 64
        /// chars.
        HSA_AMD_AGENT_INFO_PRODUCT_NAME = 0xa009;
        /// Maximum number of waves possible in a Compute Unit.
        HSA_AMD_AGENT_INFO_MAX_WAVES_PER_CU = 0xa00a;
        /// Number of SIMD's per compute unit CU The type of this attribute is uint32_t.
        HSA_AMD_AGENT_INFO_NUM_SIMDS_PER_CU = 0xa00b;
        /// Number of Shader Engines (SE) in Gpu The type of this attribute is uint32_t.
        HSA_AMD_AGENT_INFO_NUM_SHADER_ENGINES = 0xa00c;
        /// Number of Shader Arrays Per Shader Engines in Gpu The type of this attribute is uint32_t.
        HSA_AMD_AGENT_INFO_NUM_SHADER_ARRAYS_PER_SE = 0xa00d;
        /// Address of the HDP flush registers.
        HSA_AMD_AGENT_INFO_HDP_FLUSH = 0xa00e;
        /// PCIe domain for the agent.
        HSA_AMD_AGENT_INFO_DOMAIN = 0xa00f;
        /// Queries for support of cooperative queues.
        HSA_AMD_AGENT_INFO_COOPERATIVE_QUEUES = 0xa010;
        /// Queries UUID of an agent.
        HSA_AMD_AGENT_INFO_UUID = 0xa011;
        /// Queries for the ASIC revision of an agent.
        HSA_AMD_AGENT_INFO_ASIC_REVISION = 0xa012;
        /// Queries whether or not the host can directly access SVM memory that is physically resident in the
        /// agent's local memory.
        HSA_AMD_AGENT_INFO_SVM_DIRECT_HOST_ACCESS = 0xa013;
        /// Some processors support more CUs than can reliably be used in a cooperative dispatch: the number that can.
        HSA_AMD_AGENT_INFO_COOPERATIVE_COMPUTE_UNIT_COUNT = 0xa014;
        /// Queries the amount of memory available in bytes accross all global pools owned by the agent.
        HSA_AMD_AGENT_INFO_MEMORY_AVAIL = 0xa015, since 4;
        /// Timestamp value increase rate, in Hz.
        HSA_AMD_AGENT_INFO_TIMESTAMP_FREQUENCY = 0xa016, since 4;
        /// Queries for the ASIC family ID of an agent.
        HSA_AMD_AGENT_INFO_ASIC_FAMILY_ID = 0xa107, since 4;
        /// Queries for the Packet Processor(CP Firmware) ucode version of an agent.
        HSA_AMD_AGENT_INFO_UCODE_VERSION = 0xa108, since 4;
        /// Queries for the SDMA engine ucode of an agent.
        HSA_AMD_AGENT_INFO_SDMA_UCODE_VERSION = 0xa109, since 4;
        /// Queries the number of SDMA engines.
        HSA_AMD_AGENT_INFO_NUM_SDMA_ENG = 0xa10a, since 4;
        /// Queries the number of additional SDMA engines optimized for D2D xGMI copies.
        HSA_AMD_AGENT_INFO_NUM_SDMA_XGMI_ENG = 0xa10b, since 4;
        /// Queries for version of IOMMU supported by agent.
        HSA_AMD_AGENT_INFO_IOMMU_SUPPORT = 0xa110, since 4;
        /// Queries for number of XCCs within the agent.
        HSA_AMD_AGENT_INFO_NUM_XCC = 0xa111, since 4;
        /// Queries for driver unique identifier.
        HSA_AMD_AGENT_INFO_DRIVER_UID = 0xa112, since 4;
        /// Returns the `hsa_agent_t` of the nearest CPU agent The type of this attribute is `hsa_agent_t`.
        HSA_AMD_AGENT_INFO_NEAREST_CPU = 0xa113, since 4;
        /// Bit-mask indicating memory properties of this agent.
        HSA_AMD_AGENT_INFO_MEMORY_PROPERTIES = 0xa114, since 4;
        /// Not implemented yet.
        HSA_AMD_AGENT_INFO_AQL_EXTENSIONS = 0xa115, since 4;
        /// Maximum allowed value in bytes for scratch limit for this agent.
        HSA_AMD_AGENT_INFO_SCRATCH_LIMIT_MAX = 0xa116, since 7;
        /// Current scratch limit threshold in bytes for this agent.
        HSA_AMD_AGENT_INFO_SCRATCH_LIMIT_CURRENT = 0xa117, since 7;
    }
    /// SDMA engine IDs unique by single set bit position.
    hsa_amd_sdma_engine_id_t: u32 {
        HSA_AMD_SDMA_ENGINE_0 = 1, since 4;
        HSA_AMD_SDMA_ENGINE_1 = 2, since 4;
        HSA_AMD_SDMA_ENGINE_2 = 4, since 4;
        HSA_AMD_SDMA_ENGINE_3 = 8, since 4;
        HSA_AMD_SDMA_ENGINE_4 = 0x10, since 4;
        HSA_AMD_SDMA_ENGINE_5 = 0x20, since 4;
        HSA_AMD_SDMA_ENGINE_6 = 0x40, since 4;
        HSA_AMD_SDMA_ENGINE_7 = 0x80, since 4;
        HSA_AMD_SDMA_ENGINE_8 = 0x100, since 4;
        HSA_AMD_SDMA_ENGINE_9 = 0x200, since 4;
        HSA_AMD_SDMA_ENGINE_10 = 0x400, since 4;
        HSA_AMD_SDMA_ENGINE_11 = 0x800, since 4;
        HSA_AMD_SDMA_ENGINE_12 = 0x1000, since 4;
        HSA_AMD_SDMA_ENGINE_13 = 0x2000, since 4;
        HSA_AMD_SDMA_ENGINE_14 = 0x4000, since 4;
        HSA_AMD_SDMA_ENGINE_15 = 0x8000, since 4;
    }
    /// Memory segments associated with a memory pool.
    hsa_amd_segment_t: u32 {
        /// Global segment.
        HSA_AMD_SEGMENT_GLOBAL = 0;
        /// Read-only segment.
        HSA_AMD_SEGMENT_READONLY = 1;
        /// Private segment.
        HSA_AMD_SEGMENT_PRIVATE = 2;
        /// Group segment.
        HSA_AMD_SEGMENT_GROUP = 3;
    }
}
