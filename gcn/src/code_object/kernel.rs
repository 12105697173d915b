//! What the loader knows about a kernel before it runs: sizes, register counts and the argument layout.
//!
//! These numbers come from the metadata note, which is written for the program that launches the kernel; the
//! device itself only ever reads the descriptor. Nothing here may be trusted for an allocation
//! without a limit of its own.

use crate::descriptor::KernelDescriptor;

/// One kernel of a code object.
///
/// A number the metadata leaves out is taken from the descriptor, so a kernel assembled without metadata has sizes
/// but no argument list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelInfo {
    /// Source-level name, `vector_add`.
    pub name: String,
    /// Symbol of the descriptor, `vector_add.kd`.
    pub symbol: String,
    /// Where the 64-byte descriptor lies, in bytes from the start of the image.
    pub descriptor_offset: u64,
    /// The descriptor as it was in the file.
    pub descriptor: KernelDescriptor,
    /// Size of the kernarg segment in bytes, hidden arguments included.
    pub kernarg_segment_size: u32,
    /// Alignment of the kernarg segment in bytes.
    pub kernarg_segment_align: u32,
    /// LDS the kernel uses without being asked, in bytes per work-group.
    pub group_segment_fixed_size: u32,
    /// Scratch in bytes per work-item.
    pub private_segment_fixed_size: u32,
    /// Scalar registers used.
    pub sgpr_count: u32,
    /// Vector registers used, accumulation registers included.
    pub vgpr_count: u32,
    /// Accumulation registers used.
    pub agpr_count: u32,
    /// Stores the compiler made because it ran out of scalar registers.
    pub sgpr_spill_count: u32,
    /// Stores the compiler made because it ran out of vector registers.
    pub vgpr_spill_count: u32,
    /// Lanes of a wave: 64 on the processors this crate runs.
    pub wavefront_size: u32,
    /// The most work-items a work-group may have.
    pub max_flat_workgroup_size: u32,
    /// The only work-group size the kernel may be launched with, if it was compiled for one.
    pub reqd_workgroup_size: Option<[u32; 3]>,
    /// Whether `private_segment_fixed_size` is only a lower bound.
    pub uses_dynamic_stack: bool,
    /// Arguments in the order of the metadata: explicit ones as the source declares them, then hidden ones.
    pub args: Vec<ArgInfo>,
}

/// The most work-items HSA lets a work-group have on these processors.
pub const WORKGROUP_ITEMS_MAX: u32 = 1024;

/// Least alignment of a kernarg segment, in bytes (LLVM "User Guide for AMDGPU Backend", "Kernel Dispatch").
pub const KERNARG_ALIGN_MIN: u32 = 16;

impl KernelInfo {
    /// Returns what the descriptor alone tells about a kernel.
    pub(super) fn from_descriptor(symbol: &str, descriptor_offset: u64, descriptor: KernelDescriptor) -> Self {
        Self {
            name: symbol.strip_suffix(".kd").unwrap_or(symbol).to_owned(),
            symbol: symbol.to_owned(),
            descriptor_offset,
            kernarg_segment_size: descriptor.kernarg_size,
            kernarg_segment_align: KERNARG_ALIGN_MIN,
            group_segment_fixed_size: descriptor.group_segment_fixed_size,
            private_segment_fixed_size: descriptor.private_segment_fixed_size,
            sgpr_count: descriptor.sgprs.into(),
            vgpr_count: descriptor.vgprs.into(),
            agpr_count: descriptor.agprs().into(),
            sgpr_spill_count: 0,
            vgpr_spill_count: 0,
            wavefront_size: 64,
            max_flat_workgroup_size: WORKGROUP_ITEMS_MAX,
            reqd_workgroup_size: None,
            uses_dynamic_stack: descriptor.uses_dynamic_stack,
            args: Vec::new(),
            descriptor,
        }
    }

    /// Returns the arguments the program passes itself, in order.
    pub fn explicit_args(&self) -> impl Iterator<Item = &ArgInfo> {
        self.args.iter().filter(|arg| !arg.kind.is_hidden())
    }
}

/// One kernel argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgInfo {
    /// Name in the source; empty for hidden arguments and when the compiler left it out.
    pub name: String,
    /// Bytes from the start of the kernarg segment.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Alignment in bytes of what a [`ArgKind::DynamicSharedPointer`] points to; 1 when not stated.
    pub pointee_align: u32,
    /// What the argument is.
    pub kind: ArgKind,
}

/// What a kernel argument is: `.value_kind` of code objects 4, 5 and 6 (LLVM "User Guide for AMDGPU Backend",
/// tables of the code object V3, V4 and V5 kernel argument metadata).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ArgKind {
    /// The bytes of a value.
    ByValue,
    /// A pointer to global memory.
    GlobalBuffer,
    /// An LDS offset, for an OpenCL `__local` pointer whose size the launch chooses.
    DynamicSharedPointer,
    /// A sampler descriptor's address.
    Sampler,
    /// An image descriptor's address.
    Image,
    /// An OpenCL pipe.
    Pipe,
    /// An OpenCL device queue.
    Queue,
    /// OpenCL global offset, one dimension (`X` = 0).
    HiddenGlobalOffset(Axis),
    /// Number of complete work-groups, one dimension.
    HiddenBlockCount(Axis),
    /// Work-items of a complete work-group, one dimension.
    HiddenGroupSize(Axis),
    /// Work-items of the partial work-group at the end, one dimension.
    HiddenRemainder(Axis),
    /// Number of grid dimensions.
    HiddenGridDims,
    /// Address of the OpenCL printf buffer.
    HiddenPrintfBuffer,
    /// Address of the hostcall buffer.
    HiddenHostcallBuffer,
    /// Address of the device heap's control block.
    HiddenHeapV1,
    /// Address of the OpenCL default device queue.
    HiddenDefaultQueue,
    /// Address of the OpenCL completion action.
    HiddenCompletionAction,
    /// Address of the multi-grid synchronisation object.
    HiddenMultigridSyncArg,
    /// LDS bytes the launch adds to the fixed ones.
    HiddenDynamicLdsSize,
    /// High half of the private aperture's address.
    HiddenPrivateBase,
    /// High half of the group aperture's address.
    HiddenSharedBase,
    /// Address of the `amd_queue_t` the kernel runs on.
    HiddenQueuePtr,
    /// A place the compiler reserved and does not read.
    HiddenNone,
    /// A kind this crate does not know. Hidden ones are filled with zeros.
    Unknown(String),
}

/// A dimension of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Axis {
    /// The first.
    X,
    /// The second.
    Y,
    /// The third.
    Z,
}

impl Axis {
    /// Returns this dimension's element.
    pub fn of<T: Copy>(self, [x, y, z]: [T; 3]) -> T {
        match self {
            Self::X => x,
            Self::Y => y,
            Self::Z => z,
        }
    }
}

/// Every known `.value_kind` and its meaning.
const KINDS: &[(&str, ArgKind)] = &[
    ("by_value", ArgKind::ByValue),
    ("global_buffer", ArgKind::GlobalBuffer),
    ("dynamic_shared_pointer", ArgKind::DynamicSharedPointer),
    ("sampler", ArgKind::Sampler),
    ("image", ArgKind::Image),
    ("pipe", ArgKind::Pipe),
    ("queue", ArgKind::Queue),
    ("hidden_global_offset_x", ArgKind::HiddenGlobalOffset(Axis::X)),
    ("hidden_global_offset_y", ArgKind::HiddenGlobalOffset(Axis::Y)),
    ("hidden_global_offset_z", ArgKind::HiddenGlobalOffset(Axis::Z)),
    ("hidden_block_count_x", ArgKind::HiddenBlockCount(Axis::X)),
    ("hidden_block_count_y", ArgKind::HiddenBlockCount(Axis::Y)),
    ("hidden_block_count_z", ArgKind::HiddenBlockCount(Axis::Z)),
    ("hidden_group_size_x", ArgKind::HiddenGroupSize(Axis::X)),
    ("hidden_group_size_y", ArgKind::HiddenGroupSize(Axis::Y)),
    ("hidden_group_size_z", ArgKind::HiddenGroupSize(Axis::Z)),
    ("hidden_remainder_x", ArgKind::HiddenRemainder(Axis::X)),
    ("hidden_remainder_y", ArgKind::HiddenRemainder(Axis::Y)),
    ("hidden_remainder_z", ArgKind::HiddenRemainder(Axis::Z)),
    ("hidden_grid_dims", ArgKind::HiddenGridDims),
    ("hidden_printf_buffer", ArgKind::HiddenPrintfBuffer),
    ("hidden_hostcall_buffer", ArgKind::HiddenHostcallBuffer),
    ("hidden_heap_v1", ArgKind::HiddenHeapV1),
    ("hidden_default_queue", ArgKind::HiddenDefaultQueue),
    ("hidden_completion_action", ArgKind::HiddenCompletionAction),
    ("hidden_multigrid_sync_arg", ArgKind::HiddenMultigridSyncArg),
    ("hidden_dynamic_lds_size", ArgKind::HiddenDynamicLdsSize),
    ("hidden_private_base", ArgKind::HiddenPrivateBase),
    ("hidden_shared_base", ArgKind::HiddenSharedBase),
    ("hidden_queue_ptr", ArgKind::HiddenQueuePtr),
    ("hidden_none", ArgKind::HiddenNone),
];

impl ArgKind {
    /// Returns the kind that the metadata calls `name`.
    pub fn from_name(name: &str) -> Self {
        let known = KINDS.iter().find(|(known, _)| *known == name);
        known.map_or_else(|| Self::Unknown(name.to_owned()), |(_, kind)| kind.clone())
    }

    /// Returns the name the metadata uses.
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown(name) => name,
            known => KINDS.iter().find(|(_, kind)| kind == known).map_or("", |(name, _)| name),
        }
    }

    /// Returns whether the launcher fills this argument in and the source does not declare it.
    pub fn is_hidden(&self) -> bool {
        self.name().starts_with("hidden_")
    }
}
