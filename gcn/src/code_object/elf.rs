//! Reads the ELF side of a code object: header, segments, dynamic tables.
//!
//! Promise: only what program headers describe is read, as a loader does; section headers are ignored, so stripping
//! them changes nothing. Tables are borrowed from the file; every count is checked against the bytes that back it.
//! Source: LLVM "User Guide for AMDGPU Backend", "ELF Code Object"; System V ABI, "Dynamic Section".

use core::ops::Range;

use object::elf::{self, FileHeader64, Rela64, Sym64};
use object::endian::LittleEndian as Le;
use object::pod::Pod;
use object::read::ReadRef as _;
use object::read::elf::{Dyn as _, FileHeader as _, GnuHashTable, HashTable, ProgramHeader as _};

use super::error::{LoadError, NameFault, SegmentFault};
use super::{ALIGN_BYTES_MAX, AbiVersion, Features, IMAGE_BYTES_MAX, NAME_BYTES_MAX, PAGE_BYTES, PROGRAM_HEADERS_MAX};
use crate::arch::Arch;

/// `e_ident[EI_OSABI]` of ROCm code objects.
const OSABI_AMDGPU_HSA: u8 = 64;
/// Owner of the metadata note.
const NOTE_NAME: &[u8] = b"AMDGPU";
/// `NT_AMDGPU_METADATA`.
const NOTE_TYPE: u32 = 32;
/// Processor number in `e_flags`.
const EF_AMDGPU_MACH: u32 = 0xff;

/// The file and what its headers say.
pub(super) struct File<'a> {
    data: &'a [u8],
    header: &'a FileHeader64<Le>,
    pub(super) arch: Arch,
    pub(super) abi: AbiVersion,
    pub(super) features: Features,
    pub(super) segments: Vec<Segment>,
}

/// One `PT_LOAD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it lies in the image; its end fits `u64`.
    pub(super) memory: Range<u64>,
    /// Where its first bytes lie in the file; inside the file, and no longer than `memory`.
    pub(super) file: Range<usize>,
    pub(super) writable: bool,
    pub(super) readable: bool,
    pub(super) executable: bool,
    pub(super) align: u64,
}

/// The tables that the dynamic section points to.
pub(super) struct Dynamic<'a> {
    pub(super) symbols: Symbols<'a>,
    /// `DT_RELA` and `DT_JMPREL`, in this order.
    pub(super) relocations: [&'a [Rela64<Le>]; 2],
}

/// The dynamic symbol table and its names.
pub(super) struct Symbols<'a> {
    pub(super) entries: &'a [Sym64<Le>],
    strings: &'a [u8],
}

impl<'a> File<'a> {
    /// Reads the file header and the loadable segments.
    pub(super) fn parse(data: &'a [u8]) -> Result<Self, LoadError> {
        let header = FileHeader64::<Le>::parse(data).map_err(|source| LoadError::NotElf { source })?;
        if header.e_ident.data != elf::ELFDATA2LSB {
            return Err(LoadError::BigEndian);
        }
        let machine = header.e_machine(Le);
        if machine != elf::EM_AMDGPU {
            return Err(LoadError::NotAmdgpu { machine: machine.0 });
        }
        let os_abi = header.e_ident.os_abi.0;
        if os_abi != OSABI_AMDGPU_HSA {
            return Err(LoadError::NotHsa { os_abi });
        }
        let abi_version = header.e_ident.abi_version;
        let abi = AbiVersion::from_elf(abi_version).ok_or(LoadError::UnsupportedAbi { abi_version })?;
        let elf_type = header.e_type(Le);
        if elf_type != elf::ET_DYN {
            return Err(LoadError::NotLinked { elf_type: elf_type.0 });
        }
        let flags = header.e_flags(Le).0;
        let mach = flags & EF_AMDGPU_MACH;
        let arch = Arch::from_mach(mach).ok_or(LoadError::UnsupportedArch { mach })?;
        let segments = segments(header, data)?;
        Ok(Self { data, header, arch, abi, features: Features::from_flags(flags), segments })
    }

    /// Returns the descriptor of the first `NT_AMDGPU_METADATA` note.
    pub(super) fn metadata(&self) -> Result<Option<&'a [u8]>, LoadError> {
        let malformed = |source| LoadError::Malformed { what: "note segment", source };
        for program_header in program_headers(self.header, self.data)? {
            let Some(mut notes) = program_header.notes(Le, self.data).map_err(malformed)? else { continue };
            while let Some(note) = notes.next().map_err(malformed)? {
                if note.name() == NOTE_NAME && note.n_type(Le).0 == NOTE_TYPE {
                    return Ok(Some(note.desc()));
                }
            }
        }
        Ok(None)
    }

    /// Reads the tables of the dynamic section; an object without one has none of them.
    pub(super) fn dynamic(&self) -> Result<Dynamic<'a>, LoadError> {
        let tags = DynamicTags::read(self)?;
        let strings = match tags.strings {
            Some(address) => self.bytes("dynamic string table", address, tags.strings_bytes)?,
            None => &[],
        };
        let entries = match tags.symbols {
            Some(address) => self.table("dynamic symbol table", address, self.symbol_count(&tags)?.into())?,
            None => &[],
        };
        let rela = |what, address: Option<u64>, bytes: u64| {
            let count = bytes / size_of::<Rela64<Le>>() as u64;
            address.map_or(Ok(&[][..]), |address| self.table(what, address, count))
        };
        let relocations = [
            rela("relocation table", tags.rela, tags.rela_bytes)?,
            rela("PLT relocation table", tags.plt, tags.plt_bytes)?,
        ];
        Ok(Dynamic { symbols: Symbols { entries, strings }, relocations })
    }

    /// Returns `bytes` bytes of the file that are loaded at `address`.
    pub(super) fn bytes(&self, what: &'static str, address: u64, bytes: u64) -> Result<&'a [u8], LoadError> {
        let tail = self.bytes_from(what, address)?;
        usize::try_from(bytes).ok().and_then(|bytes| tail.get(..bytes)).ok_or(LoadError::NotInFile {
            what,
            address,
            bytes,
        })
    }

    /// Returns the bytes of the file loaded at `address` and up, to the end of their segment.
    fn bytes_from(&self, what: &'static str, address: u64) -> Result<&'a [u8], LoadError> {
        let found = self.segments.iter().find(|segment| segment.memory.contains(&address));
        found
            .and_then(|segment| {
                let skip = usize::try_from(address.checked_sub(segment.memory.start)?).ok()?;
                self.data.get(segment.file.clone())?.get(skip..)
            })
            .ok_or(LoadError::NotInFile { what, address, bytes: 1 })
    }

    fn table<T: Pod>(&self, what: &'static str, address: u64, count: u64) -> Result<&'a [T], LoadError> {
        let bytes = count.saturating_mul(size_of::<T>() as u64);
        let not_in_file = LoadError::NotInFile { what, address, bytes };
        let count = usize::try_from(count).map_err(|_| not_in_file.clone())?;
        let table = self.bytes(what, address, bytes)?;
        table.read_slice_at::<T>(0, count).map_err(|()| not_in_file)
    }

    /// Returns the length of the symbol table, which only its hash tables know.
    fn symbol_count(&self, tags: &DynamicTags) -> Result<u32, LoadError> {
        let malformed = |what| move |source| LoadError::Malformed { what, source };
        if let Some(address) = tags.hash {
            let data = self.bytes_from("hash table", address)?;
            let table = HashTable::<FileHeader64<Le>>::parse(Le, data).map_err(malformed("hash table"))?;
            return Ok(table.symbol_table_length());
        }
        if let Some(address) = tags.gnu_hash {
            let data = self.bytes_from("GNU hash table", address)?;
            let table = GnuHashTable::<FileHeader64<Le>>::parse(Le, data).map_err(malformed("GNU hash table"))?;
            // With empty buckets there are only the symbols before the first hashed one.
            return Ok(table.symbol_table_length(Le).unwrap_or(table.symbol_base()));
        }
        Ok(0)
    }
}

impl<'a> Symbols<'a> {
    /// Returns the name of symbol `index`, which is at `name_offset` in the string table.
    pub(super) fn name(&self, index: u32, name_offset: u32) -> Result<&'a str, LoadError> {
        let fault = |why| LoadError::BadSymbolName { index, why };
        let offset = usize::try_from(name_offset).map_err(|_| fault(NameFault::Outside))?;
        let tail = self.strings.get(offset..).ok_or(fault(NameFault::Outside))?;
        let window = tail.get(..NAME_BYTES_MAX + 1).unwrap_or(tail);
        let end = window.iter().position(|&byte| byte == 0).ok_or(fault(NameFault::Endless))?;
        let name = window.get(..end).unwrap_or_default();
        core::str::from_utf8(name).map_err(|_| fault(NameFault::NotUtf8))
    }
}

/// The dynamic section's entries that a loader needs.
#[derive(Default)]
struct DynamicTags {
    symbols: Option<u64>,
    strings: Option<u64>,
    strings_bytes: u64,
    hash: Option<u64>,
    gnu_hash: Option<u64>,
    rela: Option<u64>,
    rela_bytes: u64,
    plt: Option<u64>,
    plt_bytes: u64,
}

impl DynamicTags {
    fn read(file: &File<'_>) -> Result<Self, LoadError> {
        let malformed = |source| LoadError::Malformed { what: "dynamic section", source };
        let mut tags = Self::default();
        for program_header in program_headers(file.header, file.data)? {
            let Some(entries) = program_header.dynamic(Le, file.data).map_err(malformed)? else { continue };
            for entry in entries {
                let value = entry.d_val(Le);
                match entry.d_tag(Le) {
                    elf::DT_NULL => break,
                    elf::DT_SYMTAB => tags.symbols = Some(value),
                    elf::DT_STRTAB => tags.strings = Some(value),
                    elf::DT_STRSZ => tags.strings_bytes = value,
                    elf::DT_HASH => tags.hash = Some(value),
                    elf::DT_GNU_HASH => tags.gnu_hash = Some(value),
                    elf::DT_RELA => tags.rela = Some(value),
                    elf::DT_RELASZ => tags.rela_bytes = value,
                    elf::DT_JMPREL => tags.plt = Some(value),
                    elf::DT_PLTRELSZ => tags.plt_bytes = value,
                    elf::DT_SYMENT => entry_size::<Sym64<Le>>("dynamic symbol table", value)?,
                    elf::DT_RELAENT => entry_size::<Rela64<Le>>("relocation table", value)?,
                    tag @ (elf::DT_REL | elf::DT_RELR) => {
                        return Err(LoadError::UnsupportedDynamicTag { tag: tag.0 });
                    }
                    _ => {}
                }
            }
        }
        Ok(tags)
    }
}

fn entry_size<T>(what: &'static str, found: u64) -> Result<(), LoadError> {
    let expected = size_of::<T>() as u64;
    if found == expected { Ok(()) } else { Err(LoadError::EntrySize { what, found, expected }) }
}

/// Returns the program headers. Their number is limited because each may claim the whole file for its own.
fn program_headers<'a>(
    header: &'a FileHeader64<Le>,
    data: &'a [u8],
) -> Result<&'a [elf::ProgramHeader64<Le>], LoadError> {
    let malformed = |source| LoadError::Malformed { what: "program header table", source };
    let headers = header.program_headers(Le, data).map_err(malformed)?;
    let (asked, limit) = (headers.len() as u64, PROGRAM_HEADERS_MAX as u64);
    if asked > limit { Err(LoadError::OverLimit { what: "program headers", asked, limit }) } else { Ok(headers) }
}

/// Returns the `PT_LOAD` segments, in ascending order and without overlap, within the image limit.
fn segments(header: &FileHeader64<Le>, data: &[u8]) -> Result<Vec<Segment>, LoadError> {
    let mut segments = Vec::new();
    let mut end = 0;
    for (index, program_header) in program_headers(header, data)?.iter().enumerate() {
        if program_header.p_type(Le) != elf::PT_LOAD || program_header.p_memsz(Le) == 0 {
            continue;
        }
        let address = program_header.p_vaddr(Le);
        let segment =
            segment(program_header, data, end).map_err(|why| LoadError::BadSegment { index, address, why })?;
        end = segment.memory.end;
        if end > IMAGE_BYTES_MAX {
            return Err(LoadError::OverLimit { what: "image bytes", asked: end, limit: IMAGE_BYTES_MAX });
        }
        segments.push(segment);
    }
    if segments.is_empty() { Err(LoadError::NothingToLoad) } else { Ok(segments) }
}

fn segment(header: &elf::ProgramHeader64<Le>, data: &[u8], after: u64) -> Result<Segment, SegmentFault> {
    let start = header.p_vaddr(Le);
    let end = start.checked_add(header.p_memsz(Le)).ok_or(SegmentFault::Wraps)?;
    if header.p_filesz(Le) > header.p_memsz(Le) {
        return Err(SegmentFault::FileLargerThanMemory);
    }
    if start < after {
        return Err(SegmentFault::OutOfOrder);
    }
    let align = header.p_align(Le).max(PAGE_BYTES);
    if !align.is_power_of_two() || align > ALIGN_BYTES_MAX {
        return Err(SegmentFault::Alignment);
    }
    let file_start = header.p_offset(Le);
    let file_end = file_start.checked_add(header.p_filesz(Le)).ok_or(SegmentFault::OutsideFile)?;
    let file = usize::try_from(file_start).ok().zip(usize::try_from(file_end).ok());
    let file = file.map(|(start, end)| start..end).ok_or(SegmentFault::OutsideFile)?;
    if data.get(file.clone()).is_none() {
        return Err(SegmentFault::OutsideFile);
    }
    let flags = header.p_flags(Le);
    let has = |bit: elf::ProgramFlags| flags.0 & bit.0 != 0;
    Ok(Segment {
        memory: start..end,
        file,
        readable: has(elf::PF_R),
        writable: has(elf::PF_W),
        executable: has(elf::PF_X),
        align,
    })
}
