//! Lays out the kernarg segment of a launch: explicit arguments where the kernel expects them, hidden ones filled in.
//!
//! Promise: the segment is exactly as long as the kernel's metadata says, every explicit argument was given once and
//! with its size, and every byte nobody set is zero. No metadata, however wrong, makes the segment longer than
//! [`KERNARG_BYTES_MAX`].
//!
//! Left to the caller: copying the bytes to the device, and checking the work-group's size against what the kernel was
//! compiled for.
//!
//! Source: LLVM "User Guide for AMDGPU Backend", `.value_kind` in the kernel argument metadata of V3 to V5.

use crate::code_object::{ArgInfo, ArgKind, Axis, KERNARG_ALIGN_MIN, KernelInfo};

/// The largest kernarg segment this crate builds, in bytes. Compilers pass larger values by address.
pub const KERNARG_BYTES_MAX: u32 = 1 << 20;

/// The strictest alignment of a kernarg segment, in bytes.
pub const KERNARG_ALIGN_MAX: u32 = 4096;

/// The facts of a launch that hidden arguments tell the kernel. Addresses nobody provides stay zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    /// Grid size in work-items, as in the dispatch packet.
    pub grid: [u32; 3],
    /// Work-group size in work-items, as in the dispatch packet.
    pub group: [u16; 3],
    /// Grid dimensions, 1 to 3, as in the dispatch packet's setup field.
    pub dims: u8,
    /// OpenCL global offset in work-items.
    pub global_offset: [u64; 3],
    /// LDS beyond the kernel's fixed size, in bytes (HIP's dynamic shared memory).
    pub dynamic_lds_bytes: u32,
    /// Address of the `amd_queue_t`.
    pub queue_ptr: u64,
    /// Address of the OpenCL printf buffer.
    pub printf_buffer: u64,
    /// Address of the hostcall buffer.
    pub hostcall_buffer: u64,
    /// Address of the device heap's control block.
    pub heap: u64,
    /// Address of the OpenCL default device queue.
    pub default_queue: u64,
    /// Address of the OpenCL completion action.
    pub completion_action: u64,
    /// Address of the multi-grid synchronisation object.
    pub multigrid_sync: u64,
    /// High half of the private aperture's address.
    pub private_base: u32,
    /// High half of the group aperture's address.
    pub shared_base: u32,
}

impl Launch {
    /// Returns a launch of `grid` work-items in groups of `group`, with as many dimensions as have more than one item.
    pub fn new(grid: [u32; 3], group: [u16; 3]) -> Self {
        let dims = match grid {
            [_, 0 | 1, 0 | 1] => 1,
            [_, _, 0 | 1] => 2,
            _ => 3,
        };
        Self {
            grid,
            group,
            dims,
            global_offset: [0; 3],
            dynamic_lds_bytes: 0,
            queue_ptr: 0,
            printf_buffer: 0,
            hostcall_buffer: 0,
            heap: 0,
            default_queue: 0,
            completion_action: 0,
            multigrid_sync: 0,
            private_base: 0,
            shared_base: 0,
        }
    }

    fn check(&self) -> Result<(), KernargError> {
        let empty = self.grid.contains(&0) || self.group.contains(&0);
        if empty || !(1..=3).contains(&self.dims) {
            return Err(KernargError::BadLaunch { grid: self.grid, group: self.group, dims: self.dims });
        }
        Ok(())
    }

    /// Returns the number of complete work-groups along `axis`.
    fn block_count(&self, axis: Axis) -> u32 {
        axis.of(self.grid).checked_div(axis.of(self.group).into()).unwrap_or(0)
    }

    /// Returns the size in work-items of the partial work-group along `axis`; smaller than a group, so it fits.
    fn remainder(&self, axis: Axis) -> u16 {
        let items = axis.of(self.grid).checked_rem(axis.of(self.group).into()).unwrap_or(0);
        u16::try_from(items).unwrap_or(u16::MAX)
    }
}

/// A finished kernarg segment and what the dispatch packet must say to go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernarg {
    /// The segment.
    pub bytes: Vec<u8>,
    /// Alignment its address must have, in bytes.
    pub align: u32,
    /// `group_segment_size` of the packet: fixed, dynamic and `__local` argument bytes.
    pub group_segment_bytes: u32,
}

/// Collects the explicit arguments of one launch, in order.
#[derive(Debug, Clone)]
pub struct KernargBuilder<'k> {
    kernel: &'k KernelInfo,
    launch: Launch,
    bytes: Vec<u8>,
    /// Index in `kernel.args` of the next argument to look at.
    next: usize,
    /// LDS given out so far.
    lds_bytes: u32,
}

/// Which argument an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgName {
    /// Index among all arguments in the metadata.
    pub index: usize,
    /// Name in the source, or the kind's name if it has none.
    pub name: String,
}

impl core::fmt::Display for ArgName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "argument {} ({:?})", self.index, self.name)
    }
}

/// Why a kernarg segment cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernargError {
    /// The launch has an empty dimension or no dimensions.
    #[error("grid {grid:?} in groups of {group:?} with {dims} dimensions is no launch; every size must be at least 1")]
    BadLaunch {
        /// Grid size in work-items.
        grid: [u32; 3],
        /// Work-group size in work-items.
        group: [u16; 3],
        /// Number of dimensions.
        dims: u8,
    },
    /// The metadata claims a segment that is too long.
    #[error(
        "kernel {kernel:?} wants {bytes} bytes of arguments, the most is {KERNARG_BYTES_MAX}; pass a pointer instead"
    )]
    TooLarge {
        /// Name of the kernel.
        kernel: String,
        /// `kernarg_segment_size`.
        bytes: u32,
    },
    /// The metadata claims an alignment that is not one.
    #[error(
        "kernel {kernel:?} wants its arguments aligned to {align} bytes, not a power of two up to \
         {KERNARG_ALIGN_MAX}; rebuild the object"
    )]
    BadAlign {
        /// Name of the kernel.
        kernel: String,
        /// `kernarg_segment_align`.
        align: u32,
    },
    /// More arguments were given than the kernel has.
    #[error("kernel {kernel:?} takes {count} arguments; one more was given")]
    TooMany {
        /// Name of the kernel.
        kernel: String,
        /// Explicit arguments it has.
        count: usize,
    },
    /// An explicit argument was not given.
    #[error("{arg} was not given; {bytes} bytes are expected")]
    Missing {
        /// The argument.
        arg: ArgName,
        /// Its size.
        bytes: u32,
    },
    /// A value has the wrong size.
    #[error("{arg} is {expected} bytes long, {found} were given")]
    WrongSize {
        /// The argument.
        arg: ArgName,
        /// Its size in the metadata.
        expected: u32,
        /// Size of the value.
        found: usize,
    },
    /// The value is given in the wrong way.
    #[error("{arg} is of kind {kind}; give LDS sizes with `local` and everything else with `arg`")]
    WrongKind {
        /// The argument.
        arg: ArgName,
        /// Its kind in the metadata.
        kind: String,
    },
    /// The metadata puts an argument outside the segment.
    #[error("{arg} takes {bytes} bytes at {offset}, outside the segment of {segment_bytes}; rebuild the object")]
    Outside {
        /// The argument.
        arg: ArgName,
        /// Its offset.
        offset: u32,
        /// Its size.
        bytes: u32,
        /// Size of the segment.
        segment_bytes: usize,
    },
    /// The LDS asked for does not fit 32 bits.
    #[error("{arg} asks for {bytes} bytes of LDS, more than can be addressed; ask for less")]
    TooMuchLds {
        /// The argument.
        arg: ArgName,
        /// Bytes asked for.
        bytes: u32,
    },
    /// Fixed and dynamic LDS together do not fit 32 bits.
    #[error("{fixed} bytes of fixed and {dynamic} of dynamic LDS are more than can be addressed; ask for less")]
    TooMuchDynamicLds {
        /// The kernel's own bytes.
        fixed: u32,
        /// What the launch adds.
        dynamic: u32,
    },
}

impl<'k> KernargBuilder<'k> {
    /// Begins a launch of `kernel`.
    pub fn new(kernel: &'k KernelInfo, launch: Launch) -> Result<Self, KernargError> {
        launch.check()?;
        let bytes = kernel.kernarg_segment_size;
        if bytes > KERNARG_BYTES_MAX {
            return Err(KernargError::TooLarge { kernel: kernel.name.clone(), bytes });
        }
        let align = kernel.kernarg_segment_align;
        if !align.is_power_of_two() || align > KERNARG_ALIGN_MAX {
            return Err(KernargError::BadAlign { kernel: kernel.name.clone(), align });
        }
        let (fixed, dynamic) = (kernel.group_segment_fixed_size, launch.dynamic_lds_bytes);
        let lds_bytes = fixed.checked_add(dynamic).ok_or(KernargError::TooMuchDynamicLds { fixed, dynamic })?;
        // At most KERNARG_BYTES_MAX, which every usize holds.
        let bytes = vec![0; usize::try_from(bytes).unwrap_or(0)];
        Ok(Self { kernel, launch, bytes, next: 0, lds_bytes })
    }

    /// Gives the next explicit argument its bytes, little-endian.
    pub fn arg(mut self, value: &[u8]) -> Result<Self, KernargError> {
        let (index, arg) = self.next_explicit()?;
        if arg.kind == ArgKind::DynamicSharedPointer {
            return Err(wrong_kind(index, arg));
        }
        self.write(index, arg, value)?;
        Ok(self)
    }

    /// Gives the next explicit argument a device address.
    pub fn pointer(self, address: u64) -> Result<Self, KernargError> {
        self.arg(&address.to_le_bytes())
    }

    /// Gives the next explicit argument, an OpenCL `__local` pointer, `bytes` bytes of LDS behind what is in use.
    pub fn local(mut self, bytes: u32) -> Result<Self, KernargError> {
        let (index, arg) = self.next_explicit()?;
        if arg.kind != ArgKind::DynamicSharedPointer {
            return Err(wrong_kind(index, arg));
        }
        let start = self.lds_bytes.checked_next_multiple_of(arg.pointee_align.max(1));
        let end = start.and_then(|start| start.checked_add(bytes));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(KernargError::TooMuchLds { arg: name_of(index, arg), bytes });
        };
        self.write(index, arg, &start.to_le_bytes())?;
        self.lds_bytes = end;
        Ok(self)
    }

    /// Fills the hidden arguments and returns the segment.
    pub fn finish(mut self) -> Result<Kernarg, KernargError> {
        let kernel = self.kernel;
        for (index, arg) in kernel.args.iter().enumerate() {
            if !arg.kind.is_hidden() {
                if index >= self.next {
                    return Err(KernargError::Missing { arg: name_of(index, arg), bytes: arg.size });
                }
                continue;
            }
            match hidden_value(&arg.kind, &self.launch) {
                Hidden::U64(value) => self.write(index, arg, &value.to_le_bytes())?,
                Hidden::U32(value) => self.write(index, arg, &value.to_le_bytes())?,
                Hidden::U16(value) => self.write(index, arg, &value.to_le_bytes())?,
                Hidden::Zero => {}
            }
        }
        let align = kernel.kernarg_segment_align.max(KERNARG_ALIGN_MIN);
        Ok(Kernarg { bytes: self.bytes, align, group_segment_bytes: self.lds_bytes })
    }

    fn next_explicit(&mut self) -> Result<(usize, &'k ArgInfo), KernargError> {
        let kernel = self.kernel;
        let mut rest = kernel.args.iter().enumerate().skip(self.next);
        let Some((index, arg)) = rest.find(|(_, arg)| !arg.kind.is_hidden()) else {
            let count = kernel.explicit_args().count();
            return Err(KernargError::TooMany { kernel: kernel.name.clone(), count });
        };
        self.next = index.saturating_add(1);
        Ok((index, arg))
    }

    fn write(&mut self, index: usize, arg: &ArgInfo, value: &[u8]) -> Result<(), KernargError> {
        if usize::try_from(arg.size) != Ok(value.len()) {
            return Err(KernargError::WrongSize { arg: name_of(index, arg), expected: arg.size, found: value.len() });
        }
        let segment_bytes = self.bytes.len();
        let offset = usize::try_from(arg.offset).ok();
        let place = offset.and_then(|offset| self.bytes.get_mut(offset..)?.get_mut(..value.len()));
        let outside =
            || KernargError::Outside { arg: name_of(index, arg), offset: arg.offset, bytes: arg.size, segment_bytes };
        place.ok_or_else(outside)?.copy_from_slice(value);
        Ok(())
    }
}

/// What a hidden argument holds.
enum Hidden {
    U64(u64),
    U32(u32),
    U16(u16),
    /// Nothing: zeros, whatever its size.
    Zero,
}

fn hidden_value(kind: &ArgKind, launch: &Launch) -> Hidden {
    match kind {
        ArgKind::HiddenGlobalOffset(axis) => Hidden::U64(axis.of(launch.global_offset)),
        ArgKind::HiddenBlockCount(axis) => Hidden::U32(launch.block_count(*axis)),
        ArgKind::HiddenGroupSize(axis) => Hidden::U16(axis.of(launch.group)),
        ArgKind::HiddenRemainder(axis) => Hidden::U16(launch.remainder(*axis)),
        ArgKind::HiddenGridDims => Hidden::U16(launch.dims.into()),
        ArgKind::HiddenPrintfBuffer => Hidden::U64(launch.printf_buffer),
        ArgKind::HiddenHostcallBuffer => Hidden::U64(launch.hostcall_buffer),
        ArgKind::HiddenHeapV1 => Hidden::U64(launch.heap),
        ArgKind::HiddenDefaultQueue => Hidden::U64(launch.default_queue),
        ArgKind::HiddenCompletionAction => Hidden::U64(launch.completion_action),
        ArgKind::HiddenMultigridSyncArg => Hidden::U64(launch.multigrid_sync),
        ArgKind::HiddenDynamicLdsSize => Hidden::U32(launch.dynamic_lds_bytes),
        ArgKind::HiddenPrivateBase => Hidden::U32(launch.private_base),
        ArgKind::HiddenSharedBase => Hidden::U32(launch.shared_base),
        ArgKind::HiddenQueuePtr => Hidden::U64(launch.queue_ptr),
        ArgKind::HiddenNone | ArgKind::Unknown(_) => Hidden::Zero,
        // Explicit kinds never get here; zeros are what an argument nobody sets has.
        ArgKind::ByValue
        | ArgKind::GlobalBuffer
        | ArgKind::DynamicSharedPointer
        | ArgKind::Sampler
        | ArgKind::Image
        | ArgKind::Pipe
        | ArgKind::Queue => Hidden::Zero,
    }
}

fn wrong_kind(index: usize, arg: &ArgInfo) -> KernargError {
    KernargError::WrongKind { arg: name_of(index, arg), kind: arg.kind.name().to_owned() }
}

fn name_of(index: usize, arg: &ArgInfo) -> ArgName {
    let name = if arg.name.is_empty() { arg.kind.name() } else { &arg.name };
    ArgName { index, name: name.to_owned() }
}

#[cfg(test)]
mod tests;
