//! Reads AMDGPU HSA code objects: what a compiler's output needs from the device, and its bytes ready to be placed.
//!
//! Promise: [`CodeObject::parse`] and [`CodeObject::image`] accept any bytes. They never panic, do work bounded by the
//! file's size and the constants below, and allocate no more than the file, its tables, and the image the caller asks
//! for. They place nothing: the caller owns device memory, copies the image there, and sets the rights of
//! [`CodeObject::segments`].
//!
//! What the note's metadata says is for launching programs; the device reads descriptors only. Section headers and
//! debug information are not read at all.
//!
//! Sources: LLVM "User Guide for AMDGPU Backend" (ELF code object, relocation records, code object metadata);
//! System V ABI.

mod elf;
mod error;
mod image;
mod kernel;
mod metadata;
mod msgpack;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use object::elf::{SHN_UNDEF, STB_LOCAL, STT_OBJECT, Sym64};
use object::endian::LittleEndian as Le;

use crate::arch::Arch;
use crate::descriptor::{DESCRIPTOR_BYTES, KernelDescriptor};

pub use error::{LoadError, NameFault, SegmentFault};
pub use kernel::{ArgInfo, ArgKind, Axis, KERNARG_ALIGN_MIN, KernelInfo, WORKGROUP_ITEMS_MAX};
pub use metadata::MetadataError;

/// The granule of a segment's rights and of an image's size, in bytes.
pub const PAGE_BYTES: u64 = 4096;
/// The largest file, in bytes. The largest code objects of AMD's libraries are a few hundred MiB.
pub const FILE_BYTES_MAX: u64 = 1 << 30;
/// The largest image, in bytes. A small file can ask for this much, so charge for it before asking for it.
pub const IMAGE_BYTES_MAX: u64 = 1 << 30;
/// The strictest alignment an object may ask for, in bytes.
pub const ALIGN_BYTES_MAX: u64 = 2 << 20;
/// The most program headers. Linkers write about ten.
pub const PROGRAM_HEADERS_MAX: usize = 64;
/// The most dynamic symbols.
pub const SYMBOLS_MAX: usize = 1 << 20;
/// The most kernels.
pub const KERNELS_MAX: usize = 1 << 16;
/// The longest symbol name, in bytes. Mangled names of template-heavy libraries reach several thousand.
pub const NAME_BYTES_MAX: usize = 1 << 16;
/// All symbol names together, in bytes. Names may share bytes in the file, but not in memory.
pub const NAMES_BYTES_MAX: usize = 64 << 20;
/// The longest metadata, in bytes.
pub const METADATA_BYTES_MAX: u64 = 64 << 20;

/// Alignment of a kernel's first instruction, in bytes.
const ENTRY_ALIGN: u64 = 256;
/// What a descriptor's symbol ends with.
const DESCRIPTOR_SUFFIX: &str = ".kd";

/// A code object that can be placed at any address.
#[derive(Debug, Clone)]
pub struct CodeObject {
    arch: Arch,
    abi: AbiVersion,
    features: Features,
    file: Box<[u8]>,
    loads: Vec<elf::Segment>,
    segments: Vec<Segment>,
    relocations: image::Relocations,
    kernels: Vec<KernelInfo>,
    symbols: Vec<SymbolInfo>,
}

/// The version of a code object, by the name its ELF ABI version goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AbiVersion {
    /// Code object 4 (ELF ABI version 2).
    V4,
    /// Code object 5 (ELF ABI version 3).
    V5,
    /// Code object 6 (ELF ABI version 4).
    V6,
}

impl AbiVersion {
    /// Returns the version that `e_ident[EI_ABIVERSION]` stands for.
    pub fn from_elf(abi_version: u8) -> Option<Self> {
        match abi_version {
            2 => Some(Self::V4),
            3 => Some(Self::V5),
            4 => Some(Self::V6),
            _ => None,
        }
    }
}

/// What a code object demands of a target feature (`EF_AMDGPU_FEATURE_*_V4`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeatureSetting {
    /// The processor the object names does not have the feature.
    Unsupported,
    /// The code runs with the feature on or off.
    Any,
    /// The feature must be off.
    Off,
    /// The feature must be on.
    On,
}

impl FeatureSetting {
    /// Returns whether the code may run on a device where the feature is on or off.
    pub fn accepts(self, enabled: bool) -> bool {
        match self {
            Self::Any => true,
            Self::On => enabled,
            Self::Off | Self::Unsupported => !enabled,
        }
    }

    fn from_bits(bits: u32) -> Self {
        match bits & 3 {
            0 => Self::Unsupported,
            1 => Self::Any,
            2 => Self::Off,
            _ => Self::On,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Features {
    xnack: FeatureSetting,
    sramecc: FeatureSetting,
}

impl Features {
    fn from_flags(flags: u32) -> Self {
        Self { xnack: FeatureSetting::from_bits(flags >> 8), sramecc: FeatureSetting::from_bits(flags >> 10) }
    }
}

/// A run of whole pages with the same rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First byte, from the start of the image; a multiple of [`PAGE_BYTES`].
    pub offset: u64,
    /// Length in bytes; a multiple of [`PAGE_BYTES`].
    pub bytes: u64,
    /// Whether programs may read it.
    pub readable: bool,
    /// Whether programs may write to it.
    pub writable: bool,
    /// Whether waves may fetch instructions from it.
    pub executable: bool,
}

/// A global variable of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolInfo {
    /// Name in the symbol table.
    pub name: String,
    /// First byte, from the start of the image.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
    /// Whether it lies in writable memory; a `__constant__` variable may do so too.
    pub writable: bool,
}

impl CodeObject {
    /// Reads a linked code object.
    pub fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        within("file bytes", bytes.len() as u64, FILE_BYTES_MAX)?;
        let file = elf::File::parse(bytes)?;
        let dynamic = file.dynamic()?;
        within("dynamic symbols", dynamic.symbols.entries.len() as u64, SYMBOLS_MAX as u64)?;
        let segments = page_segments(&file.segments);

        let mut definitions = Definitions::new(&file, &segments);
        let mut names = NameBudget { left: NAMES_BYTES_MAX };
        for (index, symbol) in (0_u32..).zip(dynamic.symbols.entries) {
            if is_object(symbol) {
                let name = dynamic.symbols.name(index, symbol.st_name.get(Le))?;
                names.spend(name)?;
                definitions.add(name, symbol)?;
            }
        }
        let Definitions { mut kernels, variables, .. } = definitions;
        if let Some(note) = file.metadata()? {
            within("metadata bytes", note.len() as u64, METADATA_BYTES_MAX)?;
            metadata::apply(note, &mut kernels)?;
        }
        let relocations = image::Relocations::read(&file, &dynamic, &mut names)?;
        Ok(Self {
            arch: file.arch,
            abi: file.abi,
            features: file.features,
            kernels: kernels.into_values().collect(),
            symbols: variables.into_values().collect(),
            relocations,
            segments,
            loads: file.segments,
            file: bytes.into(),
        })
    }

    /// Returns the processor the code is for.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// Returns the code object's version.
    pub fn abi(&self) -> AbiVersion {
        self.abi
    }

    /// Returns what the code demands of XNACK (retry on page faults).
    pub fn xnack(&self) -> FeatureSetting {
        self.features.xnack
    }

    /// Returns what the code demands of SRAM ECC.
    pub fn sramecc(&self) -> FeatureSetting {
        self.features.sramecc
    }

    /// Returns the size of the image in bytes: a multiple of [`PAGE_BYTES`], at most [`IMAGE_BYTES_MAX`].
    ///
    /// Offset zero of the image is address zero of the file, whether or not something lies there.
    pub fn image_bytes(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.offset.saturating_add(segment.bytes))
    }

    /// Returns the alignment in bytes that the image's address must have: a power of two, at least [`PAGE_BYTES`].
    pub fn image_align(&self) -> u64 {
        self.loads.iter().map(|load| load.align).max().unwrap_or(PAGE_BYTES)
    }

    /// Returns the rights of the image's pages, in ascending order and without overlap. Pages between
    /// segments have no rights.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the bytes to place at `base`, relocated for that address. Bytes that no segment covers are zero.
    ///
    /// `resolve` is asked once for every symbol the object uses and does not define, and answers with its
    /// address. A weak symbol nobody defines is at address zero; any other is an error.
    pub fn image(&self, base: u64, resolve: &dyn Fn(&str) -> Option<u64>) -> Result<Vec<u8>, LoadError> {
        let (bytes, align) = (self.image_bytes(), self.image_align());
        if base.checked_add(bytes).is_none() || !base.is_multiple_of(align) {
            return Err(LoadError::BadLoadAddress { base, bytes, align });
        }
        let mut image = image::unrelocated(&self.file, &self.loads, bytes)?;
        self.relocations.apply(&mut image, base, resolve)?;
        Ok(image)
    }

    /// Returns the kernels, ordered by symbol.
    pub fn kernels(&self) -> &[KernelInfo] {
        &self.kernels
    }

    /// Returns a kernel by its symbol (`vector_add.kd`) or by that without its suffix.
    pub fn kernel(&self, name: &str) -> Option<&KernelInfo> {
        let find = |symbol: &str| {
            let place = self.kernels.binary_search_by(|kernel| kernel.symbol.as_str().cmp(symbol)).ok()?;
            self.kernels.get(place)
        };
        find(name).or_else(|| find(&format!("{name}{DESCRIPTOR_SUFFIX}")))
    }

    /// Returns the global variables, ordered by name.
    pub fn symbols(&self) -> &[SymbolInfo] {
        &self.symbols
    }

    /// Returns a global variable by its name.
    pub fn symbol(&self, name: &str) -> Option<&SymbolInfo> {
        let place = self.symbols.binary_search_by(|symbol| symbol.name.as_str().cmp(name)).ok()?;
        self.symbols.get(place)
    }
}

/// What the symbol table defines.
struct Definitions<'a> {
    file: &'a elf::File<'a>,
    segments: &'a [Segment],
    kernels: BTreeMap<String, KernelInfo>,
    variables: BTreeMap<String, SymbolInfo>,
}

impl<'a> Definitions<'a> {
    fn new(file: &'a elf::File<'a>, segments: &'a [Segment]) -> Self {
        Self { file, segments, kernels: BTreeMap::new(), variables: BTreeMap::new() }
    }

    fn add(&mut self, name: &str, symbol: &Sym64<Le>) -> Result<(), LoadError> {
        let (offset, size) = (symbol.st_value.get(Le), symbol.st_size.get(Le));
        let is_new = if name.ends_with(DESCRIPTOR_SUFFIX) {
            let kernel = self.kernel(name, offset, size)?;
            within("kernels", self.kernels.len() as u64 + 1, KERNELS_MAX as u64)?;
            self.kernels.insert(name.to_owned(), kernel).is_none()
        } else {
            let variable = self.variable(name, offset, size)?;
            self.variables.insert(name.to_owned(), variable).is_none()
        };
        if is_new { Ok(()) } else { Err(LoadError::DuplicateSymbol { name: name.to_owned() }) }
    }

    fn kernel(&self, symbol: &str, offset: u64, size: u64) -> Result<KernelInfo, LoadError> {
        let wrong_size = || LoadError::DescriptorSize { symbol: symbol.to_owned(), bytes: size };
        let bytes = self.file.bytes("kernel descriptor", offset, size)?;
        let bytes: &[u8; DESCRIPTOR_BYTES] = bytes.try_into().map_err(|_| wrong_size())?;
        let descriptor = KernelDescriptor::parse(bytes)
            .map_err(|source| LoadError::Descriptor { symbol: symbol.to_owned(), source })?;
        let entry = offset.wrapping_add_signed(descriptor.entry_byte_offset);
        let executable = self.page_of(entry).is_some_and(|segment| segment.executable);
        if !executable || !entry.is_multiple_of(ENTRY_ALIGN) {
            return Err(LoadError::BadEntry { symbol: symbol.to_owned(), entry });
        }
        Ok(KernelInfo::from_descriptor(symbol, offset, descriptor))
    }

    fn variable(&self, name: &str, offset: u64, size: u64) -> Result<SymbolInfo, LoadError> {
        let end = offset.checked_add(size);
        let home = self.file.segments.iter().find(|segment| {
            // An empty variable may sit at the very end of its segment.
            offset >= segment.memory.start && end.is_some_and(|end| end <= segment.memory.end)
        });
        let home = home.ok_or_else(|| LoadError::VariableOutside { name: name.to_owned(), offset, bytes: size })?;
        Ok(SymbolInfo { name: name.to_owned(), offset, size, writable: home.writable })
    }

    fn page_of(&self, offset: u64) -> Option<&Segment> {
        let inside = |segment: &&Segment| offset.checked_sub(segment.offset).is_some_and(|skip| skip < segment.bytes);
        self.segments.iter().find(inside)
    }
}

/// Keeps the names of one object within [`NAMES_BYTES_MAX`].
struct NameBudget {
    left: usize,
}

impl NameBudget {
    fn spend(&mut self, name: &str) -> Result<(), LoadError> {
        let limit = NAMES_BYTES_MAX as u64;
        let left = self.left.checked_sub(name.len());
        self.left = left.ok_or(LoadError::OverLimit { what: "bytes of symbol names", asked: limit + 1, limit })?;
        Ok(())
    }
}

/// Returns whether a symbol is a variable or a descriptor that the object defines for others.
fn is_object(symbol: &Sym64<Le>) -> bool {
    symbol.st_type() == STT_OBJECT && symbol.st_bind() != STB_LOCAL && symbol.st_shndx.get(Le) != SHN_UNDEF
}

fn within(what: &'static str, asked: u64, limit: u64) -> Result<(), LoadError> {
    if asked > limit { Err(LoadError::OverLimit { what, asked, limit }) } else { Ok(()) }
}

/// Rounds segments to pages. A page that two segments share has the rights of both, as it would have had in memory
/// mapped for each in turn.
fn page_segments(loads: &[elf::Segment]) -> Vec<Segment> {
    let mut runs: Vec<Segment> = Vec::with_capacity(loads.len());
    for load in loads {
        let mut start = load.memory.start / PAGE_BYTES * PAGE_BYTES;
        // Ends are within IMAGE_BYTES_MAX, so rounding up cannot overflow.
        let end = load.memory.end.next_multiple_of(PAGE_BYTES);
        let rights = Segment {
            offset: start,
            bytes: 0,
            readable: load.readable,
            writable: load.writable,
            executable: load.executable,
        };
        if let Some(last) = runs.last_mut()
            && last.offset.saturating_add(last.bytes) > start
        {
            let shared = Segment {
                offset: start,
                bytes: PAGE_BYTES,
                readable: last.readable | rights.readable,
                writable: last.writable | rights.writable,
                executable: last.executable | rights.executable,
            };
            last.bytes = last.bytes.saturating_sub(PAGE_BYTES);
            if last.bytes == 0 {
                runs.pop();
            }
            runs.push(shared);
            start = start.saturating_add(PAGE_BYTES);
        }
        if end > start {
            runs.push(Segment { offset: start, bytes: end.saturating_sub(start), ..rights });
        }
    }
    runs
}
