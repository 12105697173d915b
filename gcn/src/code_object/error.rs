//! Why a code object was refused. Every variant is the fault of whoever built or sent the object.

use super::metadata::MetadataError;
use crate::descriptor::DescriptorError;

/// Why a code object cannot be loaded.
///
/// Offsets are offsets into the loaded image (the object's virtual addresses, which start at zero),
/// unless a field says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are not a little-endian ELF64 file.
    #[error("not an ELF64 little-endian file ({source}); pass a linked AMDGPU code object")]
    NotElf {
        /// What the ELF reader said.
        source: object::read::Error,
    },
    /// The ELF file is big-endian.
    #[error("the ELF file is big-endian; AMDGPU code objects are little-endian")]
    BigEndian,
    /// The ELF file is for another machine.
    #[error("ELF machine {machine} is not AMDGPU (224); compile with --target=amdgcn-amd-amdhsa")]
    NotAmdgpu {
        /// `e_machine`.
        machine: u16,
    },
    /// The ELF file is for another AMDGPU operating system, such as Mesa or PAL.
    #[error("ELF OS ABI {os_abi} is not AMDGPU_HSA (64); compile with --target=amdgcn-amd-amdhsa")]
    NotHsa {
        /// `e_ident[EI_OSABI]`.
        os_abi: u8,
    },
    /// The code object version is not 4, 5 or 6.
    #[error("ELF ABI version {abi_version} is not supported (2, 3 and 4 are); compile with -mcode-object-version=5")]
    UnsupportedAbi {
        /// `e_ident[EI_ABIVERSION]`.
        abi_version: u8,
    },
    /// The file is an object file or something else that was not linked.
    #[error("ELF type {elf_type} is not a shared object (3); link it with ld.lld -shared")]
    NotLinked {
        /// `e_type`.
        elf_type: u16,
    },
    /// The code is for a processor this crate does not execute.
    #[error("processor number {mach:#04x} is neither gfx90a (0x3f) nor gfx942 (0x4c); compile with -mcpu=gfx90a")]
    UnsupportedArch {
        /// `EF_AMDGPU_MACH` from `e_flags`.
        mach: u32,
    },
    /// A size or a count is over the loader's limit.
    #[error("{what}: {asked} is over the limit of {limit}")]
    OverLimit {
        /// The limit that was met, in words, with its unit.
        what: &'static str,
        /// What the object asks for.
        asked: u64,
        /// The most there may be.
        limit: u64,
    },
    /// The host has no memory for the image.
    #[error("no host memory for an image of {bytes} bytes; free some or load fewer objects")]
    OutOfMemory {
        /// Size of the image.
        bytes: u64,
    },
    /// An ELF table cannot be read.
    #[error("the {what} cannot be read ({source}); rebuild the object")]
    Malformed {
        /// The table.
        what: &'static str,
        /// What the ELF reader said.
        source: object::read::Error,
    },
    /// Something lies in bytes that the file does not provide.
    #[error("the {what} ({bytes} bytes at {address:#x}) lies outside the file's loaded bytes; rebuild the object")]
    NotInFile {
        /// The table or item.
        what: &'static str,
        /// Its offset in the image.
        address: u64,
        /// Its length.
        bytes: u64,
    },
    /// A `PT_LOAD` header is impossible.
    #[error("loadable segment {index} at {address:#x}: {why}; rebuild the object")]
    BadSegment {
        /// Index among the program headers.
        index: usize,
        /// `p_vaddr`.
        address: u64,
        /// What is wrong with it.
        why: SegmentFault,
    },
    /// The file has no `PT_LOAD` segment.
    #[error("the file has no loadable segment; link it with ld.lld -shared")]
    NothingToLoad,
    /// The dynamic section asks for a form of relocation AMDGPU does not use.
    #[error("dynamic tag {tag:#x} is not supported, AMDGPU uses DT_RELA only; link without packed relocations")]
    UnsupportedDynamicTag {
        /// `d_tag`.
        tag: i64,
    },
    /// A table has entries of an unexpected size.
    #[error("entries of the {what} are {found} bytes long, not {expected}; rebuild the object")]
    EntrySize {
        /// The table.
        what: &'static str,
        /// Size in the file.
        found: u64,
        /// Size of the ELF64 structure.
        expected: u64,
    },
    /// A symbol's name is outside the string table, too long, or not UTF-8.
    #[error("symbol {index} has no usable name: {why}; rebuild the object")]
    BadSymbolName {
        /// Index in the dynamic symbol table.
        index: u32,
        /// What is wrong with it.
        why: NameFault,
    },
    /// A relocation names a symbol that does not exist.
    #[error("the relocation at {offset:#x} uses symbol {symbol}, but there are {symbols}; rebuild the object")]
    NoSuchSymbol {
        /// Where the relocation applies.
        offset: u64,
        /// The index it uses.
        symbol: u32,
        /// Entries in the dynamic symbol table.
        symbols: u32,
    },
    /// A relocation has a type that is not applied at load time.
    #[error("the relocation at {offset:#x} has type {kind}, which no loader applies; link with ld.lld -shared")]
    UnsupportedRelocation {
        /// Where the relocation applies.
        offset: u64,
        /// `R_AMDGPU_*` number.
        kind: u32,
    },
    /// A relocation would write outside the loaded segments.
    #[error("the relocation at {offset:#x} writes {bytes} bytes outside the loaded segments; rebuild the object")]
    RelocationOutside {
        /// Where the relocation applies.
        offset: u64,
        /// How much it writes.
        bytes: u64,
    },
    /// A relocated value does not fit its field.
    #[error("the relocation at {offset:#x} (type {kind}) gives {value:#x}, which does not fit 32 bits; load it lower")]
    RelocationOverflow {
        /// Where the relocation applies.
        offset: u64,
        /// `R_AMDGPU_*` number.
        kind: u32,
        /// The value, as a 64-bit pattern.
        value: u64,
    },
    /// The object uses a symbol that nobody defines.
    #[error(
        "undefined symbol {name:?}; define it (for a host variable: before the executable is frozen) and load again"
    )]
    UndefinedSymbol {
        /// The name.
        name: String,
    },
    /// The load address cannot be used.
    #[error("load address {base:#x} is unusable for {bytes} bytes with alignment {align}; choose another")]
    BadLoadAddress {
        /// The address asked for.
        base: u64,
        /// Size of the image.
        bytes: u64,
        /// Alignment the object needs, in bytes.
        align: u64,
    },
    /// Two symbols of the same kind have one name.
    #[error("symbol {name:?} is defined twice; rebuild the object")]
    DuplicateSymbol {
        /// The name.
        name: String,
    },
    /// A variable's bytes are not inside the loaded segments.
    #[error("variable {name:?} ({bytes} bytes at {offset:#x}) lies outside the loaded segments; rebuild the object")]
    VariableOutside {
        /// The name.
        name: String,
        /// Its offset.
        offset: u64,
        /// Its size.
        bytes: u64,
    },
    /// A `.kd` symbol is not 64 bytes long.
    #[error("kernel descriptor {symbol:?} is {bytes} bytes long, not 64; rebuild the object")]
    DescriptorSize {
        /// The symbol, with its `.kd`.
        symbol: String,
        /// `st_size`.
        bytes: u64,
    },
    /// A kernel descriptor asks for something that cannot be run.
    #[error("kernel descriptor {symbol:?}: {source}")]
    Descriptor {
        /// The symbol, with its `.kd`.
        symbol: String,
        /// What is wrong with it.
        source: DescriptorError,
    },
    /// A kernel's first instruction is not in executable memory, or not 256-byte aligned.
    #[error(
        "kernel descriptor {symbol:?} starts its code at {entry:#x}, which is not a 256-byte aligned place in \
         executable memory; rebuild the object"
    )]
    BadEntry {
        /// The symbol, with its `.kd`.
        symbol: String,
        /// Offset of the first instruction, as a 64-bit pattern.
        entry: u64,
    },
    /// The metadata note is not what it should be.
    #[error("the AMDGPU metadata note: {source}")]
    Metadata {
        /// What is wrong with it.
        #[from]
        source: MetadataError,
    },
}

/// What is wrong with a loadable segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentFault {
    /// `p_vaddr + p_memsz` does not fit 64 bits.
    #[error("its end does not fit 64 bits")]
    Wraps,
    /// `p_filesz` is larger than `p_memsz`.
    #[error("it has more bytes in the file than in memory")]
    FileLargerThanMemory,
    /// `p_offset..p_offset + p_filesz` is not in the file.
    #[error("its bytes lie outside the file")]
    OutsideFile,
    /// It starts before the end of the one before it.
    #[error("it overlaps or precedes the segment before it")]
    OutOfOrder,
    /// `p_align` is not a power of two, or larger than the loader supports.
    #[error("its alignment is not a power of two the loader supports")]
    Alignment,
}

/// What is wrong with a symbol's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// It does not start inside the string table.
    #[error("it lies outside the string table")]
    Outside,
    /// No zero byte ends it within the limit on a name's length.
    #[error("it is too long or not terminated")]
    Endless,
    /// It is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
}
