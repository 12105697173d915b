//! `amd_kernel_code_t`: how a kernel of code object version 2 describes itself, and the register fields that later versions share.

use crate::declare::{constants, records};

/// AMD Kernel Code Version Enumeration Values.
pub type amd_kernel_code_version32_t = u32;
/// AMD Machine Kind Enumeration Values.
pub type amd_machine_kind16_t = u16;
/// AMD Machine Version.
pub type amd_machine_version16_t = u16;
/// AMD Compute Program Resource Register One.
pub type amd_compute_pgm_rsrc_one32_t = u32;
/// AMD Compute Program Resource Register Two.
pub type amd_compute_pgm_rsrc_two32_t = u32;
/// AMD Kernel Code Properties.
pub type amd_kernel_code_properties32_t = u32;
/// AMD Power Of Two Enumeration Values.
pub type amd_powertwo8_t = u8;
/// AMD Enabled Control Directive Enumeration Values.
pub type amd_enabled_control_directive64_t = u64;
/// AMD Exception Kind Enumeration Values.
pub type amd_exception_kind16_t = u16;

records! {
    #[align(64)]
    amd_control_directives_t {
        enabled_control_directives: amd_enabled_control_directive64_t;
        enable_break_exceptions: u16;
        enable_detect_exceptions: u16;
        max_dynamic_group_size: u32;
        max_flat_grid_size: u64;
        max_flat_workgroup_size: u32;
        required_dim: u8;
        reserved1: [u8; 3];
        required_grid_size: [u64; 3];
        required_workgroup_size: [u32; 3];
        reserved2: [u8; 60];
    }
    #[align(64)]
    amd_kernel_code_t {
        amd_kernel_code_version_major: amd_kernel_code_version32_t;
        amd_kernel_code_version_minor: amd_kernel_code_version32_t;
        amd_machine_kind: amd_machine_kind16_t;
        amd_machine_version_major: amd_machine_version16_t;
        amd_machine_version_minor: amd_machine_version16_t;
        amd_machine_version_stepping: amd_machine_version16_t;
        kernel_code_entry_byte_offset: i64;
        kernel_code_prefetch_byte_offset: i64;
        kernel_code_prefetch_byte_size: u64;
        max_scratch_backing_memory_byte_size: u64;
        compute_pgm_rsrc1: amd_compute_pgm_rsrc_one32_t;
        compute_pgm_rsrc2: amd_compute_pgm_rsrc_two32_t;
        kernel_code_properties: amd_kernel_code_properties32_t;
        workitem_private_segment_byte_size: u32;
        workgroup_group_segment_byte_size: u32;
        gds_segment_byte_size: u32;
        kernarg_segment_byte_size: u64;
        workgroup_fbarrier_count: u32;
        wavefront_sgpr_count: u16;
        workitem_vgpr_count: u16;
        reserved_vgpr_first: u16;
        reserved_vgpr_count: u16;
        reserved_sgpr_first: u16;
        reserved_sgpr_count: u16;
        debug_wavefront_private_segment_offset_sgpr: u16;
        debug_private_segment_buffer_sgpr: u16;
        kernarg_segment_alignment: amd_powertwo8_t;
        group_segment_alignment: amd_powertwo8_t;
        private_segment_alignment: amd_powertwo8_t;
        wavefront_size: amd_powertwo8_t;
        call_convention: i32;
        reserved1: [u8; 12];
        runtime_loader_kernel_symbol: u64;
        control_directives: amd_control_directives_t;
    }
}

constants! {
    amd_kernel_code_version_t: u32 {
        AMD_KERNEL_CODE_VERSION_MAJOR = 1;
        AMD_KERNEL_CODE_VERSION_MINOR = 1;
    }
    amd_machine_kind_t: u32 {
        AMD_MACHINE_KIND_UNDEFINED = 0;
        AMD_MACHINE_KIND_AMDGPU = 1;
    }
    /// AMD Float Round Mode Enumeration Values.
    amd_float_round_mode_t: u32 {
        AMD_FLOAT_ROUND_MODE_NEAREST_EVEN = 0;
        AMD_FLOAT_ROUND_MODE_PLUS_INFINITY = 1;
        AMD_FLOAT_ROUND_MODE_MINUS_INFINITY = 2;
        AMD_FLOAT_ROUND_MODE_ZERO = 3;
    }
    /// AMD Float Denorm Mode Enumeration Values.
    amd_float_denorm_mode_t: u32 {
        AMD_FLOAT_DENORM_MODE_FLUSH_SOURCE_OUTPUT = 0;
        AMD_FLOAT_DENORM_MODE_FLUSH_OUTPUT = 1;
        AMD_FLOAT_DENORM_MODE_FLUSH_SOURCE = 2;
        AMD_FLOAT_DENORM_MODE_NO_FLUSH = 3;
    }
    amd_compute_pgm_rsrc_one_t: u32 {
        AMD_COMPUTE_PGM_RSRC_ONE_GRANULATED_WORKITEM_VGPR_COUNT = 0x3f;
        AMD_COMPUTE_PGM_RSRC_ONE_GRANULATED_WAVEFRONT_SGPR_COUNT = 0x3c0;
        AMD_COMPUTE_PGM_RSRC_ONE_PRIORITY = 0xc00;
        AMD_COMPUTE_PGM_RSRC_ONE_FLOAT_ROUND_MODE_32 = 0x3000;
        AMD_COMPUTE_PGM_RSRC_ONE_FLOAT_ROUND_MODE_16_64 = 0xc000;
        AMD_COMPUTE_PGM_RSRC_ONE_FLOAT_DENORM_MODE_32 = 0x30000;
        AMD_COMPUTE_PGM_RSRC_ONE_FLOAT_DENORM_MODE_16_64 = 0xc0000;
        AMD_COMPUTE_PGM_RSRC_ONE_PRIV = 0x100000;
        AMD_COMPUTE_PGM_RSRC_ONE_ENABLE_DX10_CLAMP = 0x200000;
        AMD_COMPUTE_PGM_RSRC_ONE_DEBUG_MODE = 0x400000;
        AMD_COMPUTE_PGM_RSRC_ONE_ENABLE_IEEE_MODE = 0x800000;
        AMD_COMPUTE_PGM_RSRC_ONE_BULKY = 0x1000000;
        AMD_COMPUTE_PGM_RSRC_ONE_CDBG_USER = 0x2000000;
    }
    /// AMD System VGPR Workitem ID Enumeration Values.
    amd_system_vgpr_workitem_id_t: u32 {
        AMD_SYSTEM_VGPR_WORKITEM_ID_X = 0;
        AMD_SYSTEM_VGPR_WORKITEM_ID_X_Y = 1;
        AMD_SYSTEM_VGPR_WORKITEM_ID_X_Y_Z = 2;
        AMD_SYSTEM_VGPR_WORKITEM_ID_UNDEFINED = 3;
    }
    amd_compute_pgm_rsrc_two_t: u32 {
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_SGPR_PRIVATE_SEGMENT_WAVE_BYTE_OFFSET = 1;
        AMD_COMPUTE_PGM_RSRC_TWO_USER_SGPR_COUNT = 0x3e;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_TRAP_HANDLER = 0x40;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_SGPR_WORKGROUP_ID_X = 0x80;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_SGPR_WORKGROUP_ID_Y = 0x100;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_SGPR_WORKGROUP_ID_Z = 0x200;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_SGPR_WORKGROUP_INFO = 0x400;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_VGPR_WORKITEM_ID = 0x1800;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_EXCEPTION_ADDRESS_WATCH = 0x2000;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_EXCEPTION_MEMORY_VIOLATION = 0x4000;
        AMD_COMPUTE_PGM_RSRC_TWO_GRANULATED_LDS_SIZE = 0xff8000;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_EXCEPTION_IEEE_754_FP_INVALID_OPERATION = 0x1000000;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_EXCEPTION_FP_DENORMAL_SOURCE = 0x2000000;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_EXCEPTION_IEEE_754_FP_DIVISION_BY_ZERO = 0x4000000;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_EXCEPTION_IEEE_754_FP_OVERFLOW = 0x8000000;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_EXCEPTION_IEEE_754_FP_UNDERFLOW = 0x10000000;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_EXCEPTION_IEEE_754_FP_INEXACT = 0x20000000;
        AMD_COMPUTE_PGM_RSRC_TWO_ENABLE_EXCEPTION_INT_DIVISION_BY_ZERO = 0x40000000;
    }
    /// AMD Element Byte Size Enumeration Values.
    amd_element_byte_size_t: u32 {
        AMD_ELEMENT_BYTE_SIZE_2 = 0;
        AMD_ELEMENT_BYTE_SIZE_4 = 1;
        AMD_ELEMENT_BYTE_SIZE_8 = 2;
        AMD_ELEMENT_BYTE_SIZE_16 = 3;
    }
    amd_kernel_code_properties_t: u32 {
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_PRIVATE_SEGMENT_BUFFER = 1;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_DISPATCH_PTR = 2;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_QUEUE_PTR = 4;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_KERNARG_SEGMENT_PTR = 8;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_DISPATCH_ID = 0x10;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_FLAT_SCRATCH_INIT = 0x20;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_PRIVATE_SEGMENT_SIZE = 0x40;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_GRID_WORKGROUP_COUNT_X = 0x80;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_GRID_WORKGROUP_COUNT_Y = 0x100;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_SGPR_GRID_WORKGROUP_COUNT_Z = 0x200;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_WAVEFRONT_SIZE32 = 0x400, since 7;
        AMD_KERNEL_CODE_PROPERTIES_ENABLE_ORDERED_APPEND_GDS = 0x10000;
        AMD_KERNEL_CODE_PROPERTIES_PRIVATE_ELEMENT_SIZE = 0x60000;
        AMD_KERNEL_CODE_PROPERTIES_IS_PTR64 = 0x80000;
        AMD_KERNEL_CODE_PROPERTIES_IS_DYNAMIC_CALLSTACK = 0x100000;
        AMD_KERNEL_CODE_PROPERTIES_IS_DEBUG_ENABLED = 0x200000;
        AMD_KERNEL_CODE_PROPERTIES_IS_XNACK_ENABLED = 0x400000;
    }
    amd_powertwo_t: u32 {
        AMD_POWERTWO_1 = 0;
        AMD_POWERTWO_2 = 1;
        AMD_POWERTWO_4 = 2;
        AMD_POWERTWO_8 = 3;
        AMD_POWERTWO_16 = 4;
        AMD_POWERTWO_32 = 5;
        AMD_POWERTWO_64 = 6;
        AMD_POWERTWO_128 = 7;
        AMD_POWERTWO_256 = 8;
    }
    amd_enabled_control_directive_t: u32 {
        AMD_ENABLED_CONTROL_DIRECTIVE_ENABLE_BREAK_EXCEPTIONS = 1;
        AMD_ENABLED_CONTROL_DIRECTIVE_ENABLE_DETECT_EXCEPTIONS = 2;
        AMD_ENABLED_CONTROL_DIRECTIVE_MAX_DYNAMIC_GROUP_SIZE = 4;
        AMD_ENABLED_CONTROL_DIRECTIVE_MAX_FLAT_GRID_SIZE = 8;
        AMD_ENABLED_CONTROL_DIRECTIVE_MAX_FLAT_WORKGROUP_SIZE = 0x10;
        AMD_ENABLED_CONTROL_DIRECTIVE_REQUIRED_DIM = 0x20;
        AMD_ENABLED_CONTROL_DIRECTIVE_REQUIRED_GRID_SIZE = 0x40;
        AMD_ENABLED_CONTROL_DIRECTIVE_REQUIRED_WORKGROUP_SIZE = 0x80;
        AMD_ENABLED_CONTROL_DIRECTIVE_REQUIRE_NO_PARTIAL_WORKGROUPS = 0x100;
    }
    amd_exception_kind_t: u32 {
        AMD_EXCEPTION_KIND_INVALID_OPERATION = 1;
        AMD_EXCEPTION_KIND_DIVISION_BY_ZERO = 2;
        AMD_EXCEPTION_KIND_OVERFLOW = 4;
        AMD_EXCEPTION_KIND_UNDERFLOW = 8;
        AMD_EXCEPTION_KIND_INEXACT = 0x10;
    }
}
