//! Instruction sets, code objects, executables and their symbols.

use crate::declare::{constants, handles};

handles! {
    /// Instruction set architecture.
    hsa_isa_t;
    /// Wavefront handle.
    hsa_wavefront_t;
    /// Code object reader handle.
    hsa_code_object_reader_t;
    /// Struct containing an opaque handle to an executable, which contains ISA for finalized kernels and indirect
    /// functions together with the allocated global or readonly segment variables they reference.
    hsa_executable_t;
    /// Loaded code object handle.
    hsa_loaded_code_object_t;
    /// Executable symbol handle.
    hsa_executable_symbol_t;
    /// Struct containing an opaque handle to a code object, which contains ISA for finalized kernels and indirect
    /// functions together with information about the global or readonly segment variables they reference.
    hsa_code_object_t;
    /// Application data handle that is passed to the serialization and deserialization functions.
    hsa_callback_data_t;
    /// Code object symbol handle.
    hsa_code_symbol_t;
}

constants! {
    /// Instruction set architecture attributes.
    hsa_isa_info_t: u32 {
        /// The length of the ISA name in bytes, not including the NUL terminator.
        HSA_ISA_INFO_NAME_LENGTH = 0;
        /// Human-readable description.
        HSA_ISA_INFO_NAME = 1;
        /// Number of call conventions supported by the instruction set architecture.
        HSA_ISA_INFO_CALL_CONVENTION_COUNT = 2;
        /// Number of work-items in a wavefront for a given call convention.
        HSA_ISA_INFO_CALL_CONVENTION_INFO_WAVEFRONT_SIZE = 3;
        /// Number of wavefronts per compute unit for a given call convention.
        HSA_ISA_INFO_CALL_CONVENTION_INFO_WAVEFRONTS_PER_COMPUTE_UNIT = 4;
        /// Machine models supported by the instruction set architecture.
        HSA_ISA_INFO_MACHINE_MODELS = 5;
        /// Profiles supported by the instruction set architecture.
        HSA_ISA_INFO_PROFILES = 6;
        /// Default floating-point rounding modes supported by the instruction set architecture.
        HSA_ISA_INFO_DEFAULT_FLOAT_ROUNDING_MODES = 7;
        /// Default floating-point rounding modes supported by the instruction set architecture in the Base
        /// profile.
        HSA_ISA_INFO_BASE_PROFILE_DEFAULT_FLOAT_ROUNDING_MODES = 8;
        /// Flag indicating that the f16 HSAIL operation is at least as fast as the f32 operation in the
        /// instruction set architecture.
        HSA_ISA_INFO_FAST_F16_OPERATION = 9;
        /// Maximum number of work-items of each dimension of a work-group.
        HSA_ISA_INFO_WORKGROUP_MAX_DIM = 12;
        /// Maximum total number of work-items in a work-group.
        HSA_ISA_INFO_WORKGROUP_MAX_SIZE = 13;
        /// Maximum number of work-items of each dimension of a grid.
        HSA_ISA_INFO_GRID_MAX_DIM = 14;
        /// Maximum total number of work-items in a grid.
        HSA_ISA_INFO_GRID_MAX_SIZE = 0x10;
        /// Maximum number of fbarriers per work-group.
        HSA_ISA_INFO_FBARRIER_MAX_SIZE = 0x11;
    }
    /// Floating-point types.
    hsa_fp_type_t: u32 {
        /// 16-bit floating-point type.
        HSA_FP_TYPE_16 = 1;
        /// 32-bit floating-point type.
        HSA_FP_TYPE_32 = 2;
        /// 64-bit floating-point type.
        HSA_FP_TYPE_64 = 4;
    }
    /// Flush to zero modes.
    hsa_flush_mode_t: u32 {
        /// Flush to zero.
        HSA_FLUSH_MODE_FTZ = 1;
        /// Do not flush to zero.
        HSA_FLUSH_MODE_NON_FTZ = 2;
    }
    /// Round methods.
    hsa_round_method_t: u32 {
        /// Single round method.
        HSA_ROUND_METHOD_SINGLE = 1;
        /// Double round method.
        HSA_ROUND_METHOD_DOUBLE = 2;
    }
    /// Wavefront attributes.
    hsa_wavefront_info_t: u32 {
        /// Number of work-items in the wavefront.
        HSA_WAVEFRONT_INFO_SIZE = 0;
    }
    /// Executable state.
    hsa_executable_state_t: u32 {
        /// Executable state, which allows the user to load code objects and define external variables.
        HSA_EXECUTABLE_STATE_UNFROZEN = 0;
        /// Executable state, which allows the user to query variable addresses, kernel code handles, and indirect
        /// function code handles using query operations.
        HSA_EXECUTABLE_STATE_FROZEN = 1;
    }
    /// Executable attributes.
    hsa_executable_info_t: u32 {
        /// Profile this executable is created for.
        HSA_EXECUTABLE_INFO_PROFILE = 1;
        /// Executable state.
        HSA_EXECUTABLE_INFO_STATE = 2;
        /// Default floating-point rounding mode specified when executable was created.
        HSA_EXECUTABLE_INFO_DEFAULT_FLOAT_ROUNDING_MODE = 3;
    }
    /// Symbol type.
    hsa_symbol_kind_t: u32 {
        /// Variable.
        HSA_SYMBOL_KIND_VARIABLE = 0;
        /// Kernel.
        HSA_SYMBOL_KIND_KERNEL = 1;
        /// Indirect function.
        HSA_SYMBOL_KIND_INDIRECT_FUNCTION = 2;
    }
    /// Linkage type of a symbol.
    hsa_symbol_linkage_t: u32 {
        /// Module linkage.
        HSA_SYMBOL_LINKAGE_MODULE = 0;
        /// Program linkage.
        HSA_SYMBOL_LINKAGE_PROGRAM = 1;
    }
    /// Allocation type of a variable.
    hsa_variable_allocation_t: u32 {
        /// Agent allocation.
        HSA_VARIABLE_ALLOCATION_AGENT = 0;
        /// Program allocation.
        HSA_VARIABLE_ALLOCATION_PROGRAM = 1;
    }
    /// Memory segment associated with a variable.
    hsa_variable_segment_t: u32 {
        /// Global memory segment.
        HSA_VARIABLE_SEGMENT_GLOBAL = 0;
        /// Readonly memory segment.
        HSA_VARIABLE_SEGMENT_READONLY = 1;
    }
    /// Executable symbol attributes.
    hsa_executable_symbol_info_t: u32 {
        /// The kind of the symbol.
        HSA_EXECUTABLE_SYMBOL_INFO_TYPE = 0;
        /// The length of the symbol name in bytes, not including the NUL terminator.
        HSA_EXECUTABLE_SYMBOL_INFO_NAME_LENGTH = 1;
        /// The name of the symbol.
        HSA_EXECUTABLE_SYMBOL_INFO_NAME = 2;
        /// The length of the module name in bytes (not including the NUL terminator) to which this symbol belongs
        /// if this symbol has module linkage, otherwise 0 is returned.
        HSA_EXECUTABLE_SYMBOL_INFO_MODULE_NAME_LENGTH = 3;
        /// The module name to which this symbol belongs if this symbol has module linkage, otherwise an empty
        /// string is returned.
        HSA_EXECUTABLE_SYMBOL_INFO_MODULE_NAME = 4;
        /// Agent associated with this symbol.
        HSA_EXECUTABLE_SYMBOL_INFO_AGENT = 0x14;
        /// The address of the variable.
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_ADDRESS = 0x15;
        /// The linkage kind of the symbol.
        HSA_EXECUTABLE_SYMBOL_INFO_LINKAGE = 5;
        /// Indicates whether the symbol corresponds to a definition.
        HSA_EXECUTABLE_SYMBOL_INFO_IS_DEFINITION = 0x11;
        /// The allocation kind of the variable.
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_ALLOCATION = 6;
        /// The segment kind of the variable.
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_SEGMENT = 7;
        /// Alignment of the symbol in memory.
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_ALIGNMENT = 8;
        /// Size of the variable.
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_SIZE = 9;
        /// Indicates whether the variable is constant.
        HSA_EXECUTABLE_SYMBOL_INFO_VARIABLE_IS_CONST = 10;
        /// Kernel object handle, used in the kernel dispatch packet.
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_OBJECT = 0x16;
        /// Size of kernarg segment memory that is required to hold the values of the kernel arguments, in bytes.
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_KERNARG_SEGMENT_SIZE = 11;
        /// Alignment (in bytes) of the buffer used to pass arguments to the kernel, which is the maximum of 16
        /// and the maximum alignment of any of the kernel arguments.
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_KERNARG_SEGMENT_ALIGNMENT = 12;
        /// Size of static group segment memory required by the kernel (per work-group), in bytes.
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_GROUP_SEGMENT_SIZE = 13;
        /// Size of static private, spill, and arg segment memory required by this kernel (per work-item), in
        /// bytes.
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_PRIVATE_SEGMENT_SIZE = 14;
        /// Dynamic callstack flag.
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_DYNAMIC_CALLSTACK = 15;
        /// Call convention of the kernel.
        HSA_EXECUTABLE_SYMBOL_INFO_KERNEL_CALL_CONVENTION = 0x12;
        /// Indirect function object handle.
        HSA_EXECUTABLE_SYMBOL_INFO_INDIRECT_FUNCTION_OBJECT = 0x17;
        /// Call convention of the indirect function.
        HSA_EXECUTABLE_SYMBOL_INFO_INDIRECT_FUNCTION_CALL_CONVENTION = 0x10;
    }
    /// Code object type.
    hsa_code_object_type_t: u32 {
        /// Produces code object that contains ISA for all kernels and indirect functions in HSA source.
        HSA_CODE_OBJECT_TYPE_PROGRAM = 0;
    }
    /// Code object attributes.
    hsa_code_object_info_t: u32 {
        /// The version of the code object.
        HSA_CODE_OBJECT_INFO_VERSION = 0;
        /// Type of code object.
        HSA_CODE_OBJECT_INFO_TYPE = 1;
        /// Instruction set architecture this code object is produced for.
        HSA_CODE_OBJECT_INFO_ISA = 2;
        /// Machine model this code object is produced for.
        HSA_CODE_OBJECT_INFO_MACHINE_MODEL = 3;
        /// Profile this code object is produced for.
        HSA_CODE_OBJECT_INFO_PROFILE = 4;
        /// Default floating-point rounding mode used when the code object is produced.
        HSA_CODE_OBJECT_INFO_DEFAULT_FLOAT_ROUNDING_MODE = 5;
    }
    /// Code object symbol attributes.
    hsa_code_symbol_info_t: u32 {
        /// The type of the symbol.
        HSA_CODE_SYMBOL_INFO_TYPE = 0;
        /// The length of the symbol name in bytes, not including the NUL terminator.
        HSA_CODE_SYMBOL_INFO_NAME_LENGTH = 1;
        /// The name of the symbol.
        HSA_CODE_SYMBOL_INFO_NAME = 2;
        /// The length of the module name in bytes (not including the NUL terminator) to which this symbol belongs
        /// if this symbol has module linkage, otherwise 0 is returned.
        HSA_CODE_SYMBOL_INFO_MODULE_NAME_LENGTH = 3;
        /// The module name to which this symbol belongs if this symbol has module linkage, otherwise an empty
        /// string is returned.
        HSA_CODE_SYMBOL_INFO_MODULE_NAME = 4;
        /// The linkage kind of the symbol.
        HSA_CODE_SYMBOL_INFO_LINKAGE = 5;
        /// Indicates whether the symbol corresponds to a definition.
        HSA_CODE_SYMBOL_INFO_IS_DEFINITION = 0x11;
        /// The allocation kind of the variable.
        HSA_CODE_SYMBOL_INFO_VARIABLE_ALLOCATION = 6;
        /// The segment kind of the variable.
        HSA_CODE_SYMBOL_INFO_VARIABLE_SEGMENT = 7;
        /// Alignment of the symbol in memory.
        HSA_CODE_SYMBOL_INFO_VARIABLE_ALIGNMENT = 8;
        /// Size of the variable.
        HSA_CODE_SYMBOL_INFO_VARIABLE_SIZE = 9;
        /// Indicates whether the variable is constant.
        HSA_CODE_SYMBOL_INFO_VARIABLE_IS_CONST = 10;
        /// Size of kernarg segment memory that is required to hold the values of the kernel arguments, in bytes.
        HSA_CODE_SYMBOL_INFO_KERNEL_KERNARG_SEGMENT_SIZE = 11;
        /// Alignment (in bytes) of the buffer used to pass arguments to the kernel, which is the maximum of 16
        /// and the maximum alignment of any of the kernel arguments.
        HSA_CODE_SYMBOL_INFO_KERNEL_KERNARG_SEGMENT_ALIGNMENT = 12;
        /// Size of static group segment memory required by the kernel (per work-group), in bytes.
        HSA_CODE_SYMBOL_INFO_KERNEL_GROUP_SEGMENT_SIZE = 13;
        /// Size of static private, spill, and arg segment memory required by this kernel (per work-item), in
        /// bytes.
        HSA_CODE_SYMBOL_INFO_KERNEL_PRIVATE_SEGMENT_SIZE = 14;
        /// Dynamic callstack flag.
        HSA_CODE_SYMBOL_INFO_KERNEL_DYNAMIC_CALLSTACK = 15;
        /// Call convention of the kernel.
        HSA_CODE_SYMBOL_INFO_KERNEL_CALL_CONVENTION = 0x12;
        /// Call convention of the indirect function.
        HSA_CODE_SYMBOL_INFO_INDIRECT_FUNCTION_CALL_CONVENTION = 0x10;
        /// Wavefront size used by the kernel.
        HSA_CODE_SYMBOL_INFO_KERNEL_WAVEFRONT_SIZE = 0x13, since 7;
    }
}
