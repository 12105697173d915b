//! Reads the 64-byte kernel descriptor that a dispatch packet points to.
//!
//! Promise: [`KernelDescriptor::parse`] accepts any 64 bytes and either returns every field that GFX90A and GFX942 give
//! a meaning to, or says which bits cannot be honoured. It never guesses: a bit that the architecture calls reserved,
//! or that only the command processor may set, must be zero, because running a kernel that asks for something we
//! ignore would be worse than refusing it.
//!
//! The descriptor says nothing about addresses; that its code is executable is for the caller to check.
//! Source: LLVM "User Guide for AMDGPU Backend", "Kernel Descriptor" and `compute_pgm_rsrc1`, `2`, `3` for GFX9;
//! "AMD Instinct MI200 ISA", the `MODE` register.

use core::fmt;

/// Size of a kernel descriptor in bytes.
pub const DESCRIPTOR_BYTES: usize = 64;

/// Alignment of a kernel descriptor in bytes.
pub const DESCRIPTOR_ALIGN: u64 = 64;

/// The most scalar registers the hardware can fill in before a kernel starts.
pub const USER_SGPRS_MAX: u8 = 16;

/// Bytes that firmware which preloads kernel arguments skips at a kernel's entry; see
/// [`KernelDescriptor::kernarg_preload`].
pub const KERNARG_PRELOAD_PROLOGUE_BYTES: i64 = 256;

/// What a kernel needs from the device, as the hardware reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelDescriptor {
    /// LDS in bytes per work-group, without what the launch adds.
    pub group_segment_fixed_size: u32,
    /// Scratch in bytes per work-item; a lower bound if [`Self::uses_dynamic_stack`].
    pub private_segment_fixed_size: u32,
    /// Kernarg segment in bytes; zero also means "not stated".
    pub kernarg_size: u32,
    /// Bytes from the descriptor to the first instruction, which must be 256-byte aligned.
    pub entry_byte_offset: i64,
    /// Vector registers per lane in the unified file, accumulation registers included: 8 to 512 in steps of 8.
    pub vgprs: u16,
    /// Where accumulation registers begin in the unified file: 4 to 256 in steps of 4.
    pub accum_offset: u16,
    /// Whether waves of one work-group may run on different compute units (threadgroup split mode).
    pub tg_split: bool,
    /// Scalar registers per wave that the compiler counted, `VCC` and its neighbours included, in steps of 16.
    /// GFX9 gives every wave all of them, so this is information and not a bound.
    pub sgprs: u16,
    /// Rounding of f32 operations.
    pub round_32: RoundMode,
    /// Rounding of f16 and f64 operations.
    pub round_16_64: RoundMode,
    /// Denormals of f32 operations.
    pub denorm_32: DenormMode,
    /// Denormals of f16 and f64 operations.
    pub denorm_16_64: DenormMode,
    /// Whether a clamped NaN becomes zero.
    pub dx10_clamp: bool,
    /// Whether IEEE 754-2008 rules hold for signalling NaNs and for minimum and maximum.
    pub ieee_mode: bool,
    /// Whether f16 overflow gives the largest finite number instead of infinity.
    pub fp16_ovfl: bool,
    /// Floating-point and integer exceptions the kernel wants to trap on, as `MODE.EXCP_EN` orders them: invalid, input
    /// denormal, f32 division by zero, overflow, underflow, inexact, integer division by zero.
    pub exceptions: u8,
    /// Whether the kernel uses scratch; also asks for the wave's scratch offset in a scalar register
    /// on processors without architected flat scratch.
    pub enable_private_segment: bool,
    /// How many scalar registers hold user data at the start, at most [`USER_SGPRS_MAX`].
    pub user_sgpr_count: u8,
    /// Whether the work-group's X index is put into a scalar register.
    pub workgroup_id_x: bool,
    /// Whether the work-group's Y index is put into a scalar register.
    pub workgroup_id_y: bool,
    /// Whether the work-group's Z index is put into a scalar register.
    pub workgroup_id_z: bool,
    /// Whether the work-group information word is put into a scalar register.
    pub workgroup_info: bool,
    /// How many work-item indices `v0` holds (1 to 3), packed as 10 bits each on these processors.
    pub workitem_id_dims: u8,
    /// Whether four scalar registers hold the scratch buffer descriptor.
    pub private_segment_buffer: bool,
    /// Whether two scalar registers hold the dispatch packet's address.
    pub dispatch_ptr: bool,
    /// Whether two scalar registers hold the `amd_queue_t`'s address.
    pub queue_ptr: bool,
    /// Whether two scalar registers hold the kernarg segment's address.
    pub kernarg_segment_ptr: bool,
    /// Whether two scalar registers hold the dispatch's number in its queue.
    pub dispatch_id: bool,
    /// Whether two scalar registers hold the flat scratch base and size.
    pub flat_scratch_init: bool,
    /// Whether one scalar register holds the scratch bytes of one work-item.
    pub private_segment_size: bool,
    /// Whether the kernel's stack depth is unknown to the compiler.
    pub uses_dynamic_stack: bool,
    /// Kernel arguments to copy into scalar registers before the kernel starts.
    pub kernarg_preload: Option<KernargPreload>,
}

/// Part of the kernarg segment that goes into the last user scalar registers.
///
/// A compiler that uses this puts [`KERNARG_PRELOAD_PROLOGUE_BYTES`] of code at the entry that load the same registers
/// from memory. So a device has two correct ways: start at the entry and load nothing, or fill the registers and
/// start that much later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernargPreload {
    /// Registers to fill, in 32-bit words.
    pub length_words: u8,
    /// First word of the kernarg segment to copy.
    pub offset_words: u16,
}

/// How a floating-point result is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RoundMode {
    /// To the nearest number, ties to even.
    NearestEven = 0,
    /// Towards plus infinity.
    PlusInfinity = 1,
    /// Towards minus infinity.
    MinusInfinity = 2,
    /// Towards zero.
    Zero = 3,
}

/// What happens to denormal numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DenormMode {
    /// Inputs and results become zero.
    FlushBoth = 0,
    /// Results become zero.
    FlushResult = 1,
    /// Inputs become zero.
    FlushInput = 2,
    /// They are kept.
    Keep = 3,
}

/// Why a kernel descriptor cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Bits are set that must be zero on GFX9.
    #[error(
        "{word} has bits {bits:#x} set, which must be zero on gfx90a and gfx942; \
         is the kernel built for another processor?"
    )]
    ReservedBits {
        /// The field of the descriptor.
        word: DescriptorWord,
        /// The offending bits, in their place.
        bits: u32,
    },
    /// Reserved bytes are not zero.
    #[error("reserved byte {offset} is {value:#04x}, not zero; is this a kernel descriptor?")]
    ReservedByte {
        /// Offset in the descriptor.
        offset: usize,
        /// The byte.
        value: u8,
    },
    /// The kernel was compiled for waves of 32 lanes.
    #[error("the kernel wants waves of 32 lanes, gfx90a and gfx942 have 64; compile without -mwavefrontsize32")]
    Wave32,
    /// The work-item index mode is the undefined one.
    #[error("work-item index mode 3 is undefined; rebuild the kernel")]
    WorkitemIdMode,
    /// More user registers are asked for than there are.
    #[error("{count} user scalar registers are asked for, the hardware has {USER_SGPRS_MAX}; rebuild the kernel")]
    TooManyUserSgprs {
        /// `USER_SGPR_COUNT`.
        count: u8,
    },
    /// The enabled user data does not fit the registers asked for.
    #[error("{count} user scalar registers are asked for, but what is enabled needs {needed}; rebuild the kernel")]
    TooFewUserSgprs {
        /// `USER_SGPR_COUNT`.
        count: u8,
        /// Registers that the enabled features fill.
        needed: u8,
    },
}

/// A register image inside the descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DescriptorWord {
    /// `COMPUTE_PGM_RSRC1`.
    Rsrc1,
    /// `COMPUTE_PGM_RSRC2`.
    Rsrc2,
    /// `COMPUTE_PGM_RSRC3`.
    Rsrc3,
    /// `KERNEL_CODE_PROPERTIES`.
    CodeProperties,
}

impl fmt::Display for DescriptorWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsrc1 => "COMPUTE_PGM_RSRC1",
            Self::Rsrc2 => "COMPUTE_PGM_RSRC2",
            Self::Rsrc3 => "COMPUTE_PGM_RSRC3",
            Self::CodeProperties => "KERNEL_CODE_PROPERTIES",
        })
    }
}

/// `PRIORITY`, `PRIV`, `DEBUG_MODE`, `BULKY`, `CDBG_USER` (for the command processor or obsolete), bits 27 and 28, and
/// `WGP_MODE`, `MEM_ORDERED`, `FWD_PROGRESS` (GFX10 and later).
const RSRC1_ZERO: u32 = 3 << 10 | 1 << 20 | 1 << 22 | 1 << 24 | 1 << 25 | 3 << 27 | 7 << 29;
/// `ENABLE_TRAP_HANDLER`, the address-watch and memory-violation exceptions, `GRANULATED_LDS_SIZE` (all filled in by
/// the command processor) and bit 31.
const RSRC2_ZERO: u32 = 1 << 6 | 3 << 13 | 0x1ff << 15 | 1 << 31;
/// All but `ACCUM_OFFSET` and `TG_SPLIT`.
const RSRC3_ZERO: u32 = !(0x3f | 1 << 16);
/// Bits 7 to 9 and 12 to 15.
const PROPERTIES_ZERO: u32 = 7 << 7 | 0xf << 12;

impl KernelDescriptor {
    /// Reads a descriptor for GFX90A or GFX942.
    pub fn parse(bytes: &[u8; DESCRIPTOR_BYTES]) -> Result<Self, DescriptorError> {
        let fields = Fields::split(bytes)?;
        let Fields { rsrc1, rsrc2, rsrc3, properties, preload, .. } = fields;
        must_be_zero(DescriptorWord::Rsrc1, rsrc1 & RSRC1_ZERO)?;
        must_be_zero(DescriptorWord::Rsrc2, rsrc2 & RSRC2_ZERO)?;
        must_be_zero(DescriptorWord::Rsrc3, rsrc3 & RSRC3_ZERO)?;
        must_be_zero(DescriptorWord::CodeProperties, properties & PROPERTIES_ZERO)?;
        if flag(properties, 10) {
            return Err(DescriptorError::Wave32);
        }
        let workitem_id_dims = match bits(rsrc2, 11, 2) {
            mode @ 0..=2 => mode + 1,
            _ => return Err(DescriptorError::WorkitemIdMode),
        };
        let descriptor = Self {
            group_segment_fixed_size: fields.group_segment,
            private_segment_fixed_size: fields.private_segment,
            kernarg_size: fields.kernarg,
            entry_byte_offset: fields.entry,
            vgprs: (u16::from(bits(rsrc1, 0, 6)) + 1) * 8,
            accum_offset: (u16::from(bits(rsrc3, 0, 6)) + 1) * 4,
            tg_split: flag(rsrc3, 16),
            // The field counts pairs of granules of 8, less one pair.
            sgprs: (u16::from(bits(rsrc1, 6, 4)) / 2 + 1) * 16,
            round_32: RoundMode::from_bits(bits(rsrc1, 12, 2)),
            round_16_64: RoundMode::from_bits(bits(rsrc1, 14, 2)),
            denorm_32: DenormMode::from_bits(bits(rsrc1, 16, 2)),
            denorm_16_64: DenormMode::from_bits(bits(rsrc1, 18, 2)),
            dx10_clamp: flag(rsrc1, 21),
            ieee_mode: flag(rsrc1, 23),
            fp16_ovfl: flag(rsrc1, 26),
            exceptions: bits(rsrc2, 24, 7),
            enable_private_segment: flag(rsrc2, 0),
            user_sgpr_count: bits(rsrc2, 1, 5),
            workgroup_id_x: flag(rsrc2, 7),
            workgroup_id_y: flag(rsrc2, 8),
            workgroup_id_z: flag(rsrc2, 9),
            workgroup_info: flag(rsrc2, 10),
            workitem_id_dims,
            private_segment_buffer: flag(properties, 0),
            dispatch_ptr: flag(properties, 1),
            queue_ptr: flag(properties, 2),
            kernarg_segment_ptr: flag(properties, 3),
            dispatch_id: flag(properties, 4),
            flat_scratch_init: flag(properties, 5),
            private_segment_size: flag(properties, 6),
            uses_dynamic_stack: flag(properties, 11),
            kernarg_preload: KernargPreload::from_bits(preload),
        };
        descriptor.check_user_sgprs()?;
        Ok(descriptor)
    }

    /// Returns how many vector registers instructions reach as `v0` and up.
    ///
    /// An `accum_offset` past the allocation is harmless: the hardware has no register there, and neither have we.
    pub fn arch_vgprs(&self) -> u16 {
        self.vgprs.min(self.accum_offset)
    }

    /// Returns how many vector registers instructions reach as `a0` and up.
    pub fn agprs(&self) -> u16 {
        self.vgprs.saturating_sub(self.accum_offset)
    }

    /// Returns the `MODE` register a wave starts with.
    ///
    /// Bits 3:0 hold the two rounding modes (f32 first), 7:4 the two denormal modes, 8 `DX10_CLAMP`, 9 `IEEE`,
    /// 18:12 `EXCP_EN` and 23 `FP16_OVFL`; everything else starts as zero.
    pub fn initial_mode(&self) -> u32 {
        self.round_32 as u32
            | (self.round_16_64 as u32) << 2
            | (self.denorm_32 as u32) << 4
            | (self.denorm_16_64 as u32) << 6
            | u32::from(self.dx10_clamp) << 8
            | u32::from(self.ieee_mode) << 9
            | u32::from(self.exceptions) << 12
            | u32::from(self.fp16_ovfl) << 23
    }

    /// Returns how many user scalar registers the enabled features fill.
    pub fn user_sgprs_filled(&self) -> u8 {
        let pairs =
            [self.dispatch_ptr, self.queue_ptr, self.kernarg_segment_ptr, self.dispatch_id, self.flat_scratch_init];
        let pairs: u8 = pairs.into_iter().map(|enabled| 2 * u8::from(enabled)).sum();
        let preloaded = self.kernarg_preload.map_or(0, |preload| preload.length_words);
        // At most 4 + 10 + 1 + 127.
        4 * u8::from(self.private_segment_buffer) + pairs + u8::from(self.private_segment_size) + preloaded
    }

    fn check_user_sgprs(&self) -> Result<(), DescriptorError> {
        let (count, needed) = (self.user_sgpr_count, self.user_sgprs_filled());
        if count > USER_SGPRS_MAX {
            return Err(DescriptorError::TooManyUserSgprs { count });
        }
        if count < needed {
            return Err(DescriptorError::TooFewUserSgprs { count, needed });
        }
        Ok(())
    }
}

impl RoundMode {
    /// Returns the mode that the low two bits of `bits` stand for.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NearestEven,
            1 => Self::PlusInfinity,
            2 => Self::MinusInfinity,
            _ => Self::Zero,
        }
    }
}

impl DenormMode {
    /// Returns the mode that the low two bits of `bits` stand for.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::FlushBoth,
            1 => Self::FlushResult,
            2 => Self::FlushInput,
            _ => Self::Keep,
        }
    }
}

impl KernargPreload {
    fn from_bits(word: u32) -> Option<Self> {
        let length_words = bits(word, 0, 7);
        // The mask leaves 9 bits, so the cast loses nothing.
        let offset_words = (word >> 7 & 0x1ff) as u16;
        (length_words > 0).then_some(Self { length_words, offset_words })
    }
}

/// The descriptor cut into its integers, reserved bytes checked.
struct Fields {
    group_segment: u32,
    private_segment: u32,
    kernarg: u32,
    entry: i64,
    rsrc1: u32,
    rsrc2: u32,
    rsrc3: u32,
    properties: u32,
    preload: u32,
}

impl Fields {
    fn split(bytes: &[u8; DESCRIPTOR_BYTES]) -> Result<Self, DescriptorError> {
        for (offset, &value) in bytes.iter().enumerate() {
            let reserved = matches!(offset, 12..16 | 24..44 | 60..64);
            if reserved && value != 0 {
                return Err(DescriptorError::ReservedByte { offset, value });
            }
        }
        Ok(Self {
            group_segment: u32::from_le_bytes(at::<0, 4>(bytes)),
            private_segment: u32::from_le_bytes(at::<4, 4>(bytes)),
            kernarg: u32::from_le_bytes(at::<8, 4>(bytes)),
            entry: i64::from_le_bytes(at::<16, 8>(bytes)),
            rsrc3: u32::from_le_bytes(at::<44, 4>(bytes)),
            rsrc1: u32::from_le_bytes(at::<48, 4>(bytes)),
            rsrc2: u32::from_le_bytes(at::<52, 4>(bytes)),
            properties: u16::from_le_bytes(at::<56, 2>(bytes)).into(),
            preload: u16::from_le_bytes(at::<58, 2>(bytes)).into(),
        })
    }
}

/// Returns the `N` bytes at `OFFSET`; a place outside the descriptor does not compile.
fn at<const OFFSET: usize, const N: usize>(bytes: &[u8; DESCRIPTOR_BYTES]) -> [u8; N] {
    const { assert!(OFFSET + N <= DESCRIPTOR_BYTES) };
    core::array::from_fn(|byte| bytes.get(OFFSET + byte).copied().unwrap_or(0))
}

fn must_be_zero(word: DescriptorWord, bits: u32) -> Result<(), DescriptorError> {
    if bits == 0 { Ok(()) } else { Err(DescriptorError::ReservedBits { word, bits }) }
}

/// Returns a field of at most 8 bits.
fn bits(word: u32, low: u32, width: u32) -> u8 {
    (word >> low & ((1 << width) - 1)) as u8
}

fn flag(word: u32, bit: u32) -> bool {
    word >> bit & 1 != 0
}

#[cfg(test)]
mod tests;
