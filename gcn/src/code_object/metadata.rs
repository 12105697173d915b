//! Reads the metadata note: the sizes and argument lists that programs launch kernels by.
//!
//! Promise: one pass to find a kernel's symbol and one to read it, nothing kept but what [`KernelInfo`] names.
//! Keys this crate has no use for are skipped, so newer compilers' additions do no harm. Of a key that appears
//! twice, the last one counts.
//! Source: LLVM "User Guide for AMDGPU Backend", "Code Object V3 Metadata" and its V4 and V5 additions.

use std::collections::BTreeMap;

use super::kernel::{ArgInfo, ArgKind, KernelInfo};
use super::msgpack::{Malformed, Reader, Token};

/// The only `amdhsa.version` major number there has been.
const VERSION_MAJOR: u32 = 1;

/// Why the metadata was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The bytes are not MessagePack.
    #[error("byte {at} is not MessagePack or ends too early; rebuild the object")]
    Malformed {
        /// Bytes read until then.
        at: usize,
    },
    /// A value has another type than the key asks for.
    #[error("the value of {key:?} before byte {at} is not {wanted}; rebuild the object")]
    WrongType {
        /// The key.
        key: &'static str,
        /// What it should be.
        wanted: &'static str,
        /// Bytes read until then.
        at: usize,
    },
    /// The metadata has a version this crate does not know.
    #[error("metadata version {major} is not supported (1 is); rebuild with -mcode-object-version=5")]
    Version {
        /// Major number of `amdhsa.version`.
        major: u32,
    },
    /// A kernel entry has no `.symbol`.
    #[error("kernel number {index} has no .symbol; rebuild the object")]
    NoSymbol {
        /// Index in `amdhsa.kernels`.
        index: u32,
    },
    /// A kernel entry names a descriptor that the object does not define.
    #[error("kernel {symbol:?} is described but not defined; rebuild the object")]
    UndefinedKernel {
        /// Its `.symbol`.
        symbol: String,
    },
    /// An argument lacks a key it must have.
    #[error("argument {index} of kernel {symbol:?} has no {key}; rebuild the object")]
    IncompleteArgument {
        /// `.symbol` of the kernel.
        symbol: String,
        /// Index in `.args`.
        index: u32,
        /// The missing key.
        key: &'static str,
    },
}

/// Adds what `note` says to the kernels, which are keyed by their symbols.
pub(super) fn apply(note: &[u8], kernels: &mut BTreeMap<String, KernelInfo>) -> Result<(), MetadataError> {
    let mut cursor = Cursor { reader: Reader::new(note) };
    cursor.map("metadata", |cursor, key| {
        match key {
            b"amdhsa.version" => cursor.version()?,
            b"amdhsa.kernels" => {
                for index in 0..cursor.list("amdhsa.kernels")? {
                    kernel(cursor, index, kernels)?;
                }
            }
            _ => cursor.skip()?,
        }
        Ok(())
    })
}

fn kernel(
    cursor: &mut Cursor<'_>,
    index: u32,
    kernels: &mut BTreeMap<String, KernelInfo>,
) -> Result<(), MetadataError> {
    // The symbol may come last, so look ahead for it with a copy of the cursor.
    let mut symbol = None;
    let mut ahead = *cursor;
    ahead.map("amdhsa.kernels", |cursor, key| {
        match key {
            b".symbol" => symbol = Some(cursor.string(".symbol")?),
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    let symbol = symbol.ok_or(MetadataError::NoSymbol { index })?;
    let undefined = || MetadataError::UndefinedKernel { symbol: symbol.to_owned() };
    let info = kernels.get_mut(symbol).ok_or_else(undefined)?;
    cursor.map("amdhsa.kernels", |cursor, key| {
        match key {
            b".name" => cursor.string(".name")?.clone_into(&mut info.name),
            b".kernarg_segment_size" => info.kernarg_segment_size = cursor.uint(".kernarg_segment_size")?,
            b".kernarg_segment_align" => info.kernarg_segment_align = cursor.uint(".kernarg_segment_align")?,
            b".group_segment_fixed_size" => info.group_segment_fixed_size = cursor.uint(".group_segment_fixed_size")?,
            b".private_segment_fixed_size" => {
                info.private_segment_fixed_size = cursor.uint(".private_segment_fixed_size")?;
            }
            b".sgpr_count" => info.sgpr_count = cursor.uint(".sgpr_count")?,
            b".vgpr_count" => info.vgpr_count = cursor.uint(".vgpr_count")?,
            b".agpr_count" => info.agpr_count = cursor.uint(".agpr_count")?,
            b".sgpr_spill_count" => info.sgpr_spill_count = cursor.uint(".sgpr_spill_count")?,
            b".vgpr_spill_count" => info.vgpr_spill_count = cursor.uint(".vgpr_spill_count")?,
            b".wavefront_size" => info.wavefront_size = cursor.uint(".wavefront_size")?,
            b".max_flat_workgroup_size" => info.max_flat_workgroup_size = cursor.uint(".max_flat_workgroup_size")?,
            b".reqd_workgroup_size" => info.reqd_workgroup_size = Some(cursor.triple(".reqd_workgroup_size")?),
            b".uses_dynamic_stack" => info.uses_dynamic_stack = cursor.boolean(".uses_dynamic_stack")?,
            b".args" => {
                info.args.clear();
                for index in 0..cursor.list(".args")? {
                    let arg = argument(cursor, index, symbol)?;
                    info.args.push(arg);
                }
            }
            _ => cursor.skip()?,
        }
        Ok(())
    })
}

fn argument(cursor: &mut Cursor<'_>, index: u32, symbol: &str) -> Result<ArgInfo, MetadataError> {
    let (mut name, mut offset, mut size, mut kind, mut pointee_align) = ("", None, None, None, 1);
    cursor.map(".args", |cursor, key| {
        match key {
            b".name" => name = cursor.string(".name")?,
            b".offset" => offset = Some(cursor.uint(".offset")?),
            b".size" => size = Some(cursor.uint(".size")?),
            b".value_kind" => kind = Some(cursor.string(".value_kind")?),
            b".pointee_align" => pointee_align = cursor.uint(".pointee_align")?,
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    // All three are required, which also keeps an argument in the file about as large as one in memory.
    let missing = |key| MetadataError::IncompleteArgument { symbol: symbol.to_owned(), index, key };
    Ok(ArgInfo {
        name: name.to_owned(),
        offset: offset.ok_or_else(|| missing(".offset"))?,
        size: size.ok_or_else(|| missing(".size"))?,
        kind: ArgKind::from_name(kind.ok_or_else(|| missing(".value_kind"))?),
        pointee_align,
    })
}

/// A reader that knows what it is reading when something is wrong.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    reader: Reader<'a>,
}

impl<'a> Cursor<'a> {
    /// Reads a map; `entry` must consume the value of every key it is given.
    fn map(
        &mut self,
        what: &'static str,
        mut entry: impl FnMut(&mut Self, &'a [u8]) -> Result<(), MetadataError>,
    ) -> Result<(), MetadataError> {
        let Token::Map(pairs) = self.token()? else { return Err(self.wrong(what, "a map")) };
        for _ in 0..pairs {
            let Token::Str(key) = self.token()? else { return Err(self.wrong(what, "a map with string keys")) };
            entry(self, key)?;
        }
        Ok(())
    }

    fn list(&mut self, key: &'static str) -> Result<u32, MetadataError> {
        match self.token()? {
            Token::Array(items) => Ok(items),
            _ => Err(self.wrong(key, "an array")),
        }
    }

    fn string(&mut self, key: &'static str) -> Result<&'a str, MetadataError> {
        let utf8 = match self.token()? {
            Token::Str(bytes) => core::str::from_utf8(bytes).ok(),
            _ => None,
        };
        utf8.ok_or_else(|| self.wrong(key, "a UTF-8 string"))
    }

    fn uint(&mut self, key: &'static str) -> Result<u32, MetadataError> {
        let small = match self.token()? {
            Token::Uint(value) => u32::try_from(value).ok(),
            _ => None,
        };
        small.ok_or_else(|| self.wrong(key, "a 32-bit unsigned integer"))
    }

    fn boolean(&mut self, key: &'static str) -> Result<bool, MetadataError> {
        match self.token()? {
            Token::Bool(value) => Ok(value),
            // Early compilers wrote 0 and 1.
            Token::Uint(value @ (0 | 1)) => Ok(value == 1),
            _ => Err(self.wrong(key, "a boolean")),
        }
    }

    fn triple(&mut self, key: &'static str) -> Result<[u32; 3], MetadataError> {
        if self.list(key)? != 3 {
            return Err(self.wrong(key, "an array of three"));
        }
        Ok([self.uint(key)?, self.uint(key)?, self.uint(key)?])
    }

    fn version(&mut self) -> Result<(), MetadataError> {
        let items = self.list("amdhsa.version")?;
        if items == 0 {
            return Err(self.wrong("amdhsa.version", "a pair of numbers"));
        }
        let major = self.uint("amdhsa.version")?;
        for _ in 1..items {
            self.skip()?;
        }
        if major == VERSION_MAJOR { Ok(()) } else { Err(MetadataError::Version { major }) }
    }

    fn token(&mut self) -> Result<Token<'a>, MetadataError> {
        self.reader.token().map_err(|Malformed| MetadataError::Malformed { at: self.reader.position() })
    }

    fn skip(&mut self) -> Result<(), MetadataError> {
        self.reader.skip().map_err(|Malformed| MetadataError::Malformed { at: self.reader.position() })
    }

    fn wrong(&self, key: &'static str, wanted: &'static str) -> MetadataError {
        MetadataError::WrongType { key, wanted, at: self.reader.position() }
    }
}
