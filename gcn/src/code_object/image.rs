//! Builds the bytes of a loaded code object and relocates them.
//!
//! Promise: relocations were checked when the object was read, so applying them writes inside the segments only
//! and can fail for two reasons: a symbol nobody defines, or a value that does not fit its field.
//! Source: LLVM "User Guide for AMDGPU Backend", "Relocation Records". In its terms S is the symbol's address, A the
//! addend, P the place and B the load address. Linkers fill GOT entries with `R_AMDGPU_ABS64`, there is no GLOB_DAT.

use std::collections::BTreeMap;

use object::elf::{Rela64, SHN_ABS, SHN_UNDEF, STB_WEAK};
use object::endian::LittleEndian as Le;

use super::elf::{Dynamic, File, Segment};
use super::{LoadError, NameBudget};

/// How a relocation's value is computed and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing to do.
    None,
    /// S + A, low half, high half, all of it, or all of it in 32 bits.
    Abs32Lo,
    Abs32Hi,
    Abs64,
    Abs32,
    /// S + A - P, in the same four forms.
    Rel32Lo,
    Rel32Hi,
    Rel64,
    Rel32,
    /// B + A.
    Relative64,
}

impl Kind {
    fn from_elf(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            1 => Self::Abs32Lo,
            2 => Self::Abs32Hi,
            3 => Self::Abs64,
            4 => Self::Rel32,
            5 => Self::Rel64,
            6 => Self::Abs32,
            10 => Self::Rel32Lo,
            11 => Self::Rel32Hi,
            13 => Self::Relative64,
            // 7, 8 and 9 make a linker build a GOT, 14 is for branches; both are done before loading.
            _ => return None,
        })
    }

    fn number(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Abs32Lo => 1,
            Self::Abs32Hi => 2,
            Self::Abs64 => 3,
            Self::Rel32 => 4,
            Self::Rel64 => 5,
            Self::Abs32 => 6,
            Self::Rel32Lo => 10,
            Self::Rel32Hi => 11,
            Self::Relative64 => 13,
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Abs64 | Self::Rel64 | Self::Relative64 => 8,
            _ => 4,
        }
    }
}

/// What S is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// An offset into the image.
    Image(u64),
    /// A number that does not move with the image.
    Absolute(u64),
    /// An index into [`Relocations::undefined`].
    Undefined(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Relocation {
    offset: u64,
    kind: Kind,
    target: Target,
    addend: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Undefined {
    name: String,
    weak: bool,
}

/// The relocations of one object, checked.
#[derive(Debug, Clone, Default)]
pub(super) struct Relocations {
    list: Vec<Relocation>,
    undefined: Vec<Undefined>,
}

impl Relocations {
    /// Reads both relocation tables.
    pub(super) fn read(file: &File<'_>, dynamic: &Dynamic<'_>, names: &mut NameBudget) -> Result<Self, LoadError> {
        let mut this = Self::default();
        let mut undefined = BTreeMap::new();
        for entry in dynamic.relocations.into_iter().flatten() {
            let (offset, addend) = (entry.r_offset.get(Le), entry.r_addend.get(Le));
            let number = entry.r_type(Le, false).0;
            let kind = Kind::from_elf(number).ok_or(LoadError::UnsupportedRelocation { offset, kind: number })?;
            if kind == Kind::None {
                continue;
            }
            let bytes = kind.bytes();
            if !file.segments.iter().any(|segment| covers(segment, offset, bytes)) {
                return Err(LoadError::RelocationOutside { offset, bytes });
            }
            let target = match kind {
                Kind::Relative64 => Target::Image(0),
                _ => this.target(dynamic, entry, names, &mut undefined)?,
            };
            this.list.push(Relocation { offset, kind, target, addend });
        }
        Ok(this)
    }

    fn target(
        &mut self,
        dynamic: &Dynamic<'_>,
        entry: &Rela64<Le>,
        names: &mut NameBudget,
        undefined: &mut BTreeMap<u32, u32>,
    ) -> Result<Target, LoadError> {
        let symbol = entry.r_sym(Le, false);
        if symbol == 0 {
            return Ok(Target::Absolute(0));
        }
        let entries = dynamic.symbols.entries;
        let found = usize::try_from(symbol).ok().and_then(|index| entries.get(index));
        // SYMBOLS_MAX keeps the table's length within 32 bits.
        let symbols = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let found = found.ok_or(LoadError::NoSuchSymbol { offset: entry.r_offset.get(Le), symbol, symbols })?;
        Ok(match found.st_shndx.get(Le) {
            SHN_UNDEF => {
                if let Some(&known) = undefined.get(&symbol) {
                    return Ok(Target::Undefined(known));
                }
                let name = dynamic.symbols.name(symbol, found.st_name.get(Le))?;
                names.spend(name)?;
                let index = u32::try_from(self.undefined.len()).unwrap_or(u32::MAX);
                self.undefined.push(Undefined { name: name.to_owned(), weak: found.st_bind() == STB_WEAK });
                undefined.insert(symbol, index);
                Target::Undefined(index)
            }
            SHN_ABS => Target::Absolute(found.st_value.get(Le)),
            _ => Target::Image(found.st_value.get(Le)),
        })
    }

    /// Relocates `image` for the address `base`.
    pub(super) fn apply(
        &self,
        image: &mut [u8],
        base: u64,
        resolve: &dyn Fn(&str) -> Option<u64>,
    ) -> Result<(), LoadError> {
        let address = |symbol: &Undefined| match resolve(&symbol.name) {
            Some(address) => Ok(address),
            None if symbol.weak => Ok(0),
            None => Err(LoadError::UndefinedSymbol { name: symbol.name.clone() }),
        };
        let undefined = self.undefined.iter().map(address).collect::<Result<Vec<u64>, _>>()?;
        for relocation in &self.list {
            let symbol = match relocation.target {
                Target::Image(offset) => base.wrapping_add(offset),
                Target::Absolute(value) => value,
                Target::Undefined(index) => {
                    usize::try_from(index).ok().and_then(|index| undefined.get(index)).copied().unwrap_or(0)
                }
            };
            relocation.apply(image, base, symbol)?;
        }
        Ok(())
    }
}

impl Relocation {
    fn apply(&self, image: &mut [u8], base: u64, symbol: u64) -> Result<(), LoadError> {
        let absolute = symbol.wrapping_add_signed(self.addend);
        let relative = absolute.wrapping_sub(base.wrapping_add(self.offset));
        let overflow = |value| LoadError::RelocationOverflow { offset: self.offset, kind: self.kind.number(), value };
        match self.kind {
            Kind::None => Ok(()),
            Kind::Abs64 | Kind::Relative64 => self.write(image, &absolute.to_le_bytes()),
            Kind::Rel64 => self.write(image, &relative.to_le_bytes()),
            Kind::Abs32Lo => self.write(image, &low(absolute).to_le_bytes()),
            Kind::Abs32Hi => self.write(image, &low(absolute >> 32).to_le_bytes()),
            Kind::Rel32Lo => self.write(image, &low(relative).to_le_bytes()),
            Kind::Rel32Hi => self.write(image, &low(relative >> 32).to_le_bytes()),
            Kind::Abs32 => {
                let value = u32::try_from(absolute).map_err(|_| overflow(absolute))?;
                self.write(image, &value.to_le_bytes())
            }
            Kind::Rel32 => {
                let value = i32::try_from(relative.cast_signed()).map_err(|_| overflow(relative))?;
                self.write(image, &value.to_le_bytes())
            }
        }
    }

    fn write(&self, image: &mut [u8], value: &[u8]) -> Result<(), LoadError> {
        let place =
            usize::try_from(self.offset).ok().and_then(|offset| image.get_mut(offset..)?.get_mut(..value.len()));
        let bytes = value.len() as u64;
        place.ok_or(LoadError::RelocationOutside { offset: self.offset, bytes })?.copy_from_slice(value);
        Ok(())
    }
}

/// Returns the segments' bytes in their places, zeros between them, `bytes` in all.
pub(super) fn unrelocated(file: &[u8], segments: &[Segment], bytes: u64) -> Result<Vec<u8>, LoadError> {
    let no_memory = || LoadError::OutOfMemory { bytes };
    let len = usize::try_from(bytes).map_err(|_| no_memory())?;
    let mut image = Vec::new();
    // A tenant chooses the size, so failing to get it must not end the process.
    image.try_reserve_exact(len).map_err(|_| no_memory())?;
    for segment in segments {
        // Segments ascend, start within the limit on images, and lie within the file.
        let start = usize::try_from(segment.memory.start).map_err(|_| no_memory())?;
        image.resize(start.max(image.len()), 0);
        image.extend_from_slice(file.get(segment.file.clone()).unwrap_or_default());
    }
    image.resize(len, 0);
    Ok(image)
}

fn covers(segment: &Segment, offset: u64, bytes: u64) -> bool {
    let end = offset.checked_add(bytes);
    offset >= segment.memory.start && end.is_some_and(|end| end <= segment.memory.end)
}

fn low(value: u64) -> u32 {
    (value & u64::from(u32::MAX)) as u32
}
