//! Code objects: loaded by the worker, which alone reads them; looked up by name or index.

use std::sync::Arc;

use proto::limits::PAGE_BYTES;
use proto::message::TenantAnswer;
use proto::message::tenant::{self, BufferKind, FindSymbol, LoadCode, SymbolAt, SymbolKind, UnloadCode};
use proto::text::Text;
use proto::{Bytes, CodeId, DeviceAddress};

use sys::mapping::Mapping;
use sys::memfd::MemFd;

use crate::error::ClientError;
use crate::memory::{map, place_aligned, wanted};
use crate::session::{Client, Session};

/// A loaded code object, unloaded when the last handle is dropped. Kernels in flight then meet a fault.
#[derive(Clone)]
pub struct Code(Arc<Loaded>);

struct Loaded {
    id: CodeId,
    symbols: u32,
    address: u64,
    bytes: u64,
    /// Its segments as this process sees them, where it may.
    memory: Option<Mapping>,
    session: Arc<Session>,
}

/// A symbol of a code object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its name; cut if it is longer than a message carries.
    pub name: String,
    /// What it stands for.
    pub kind: SymbolKind,
    /// Its address.
    pub address: u64,
    /// Size of a variable in bytes; 0 for a kernel.
    pub bytes: u64,
    /// Whether a variable is read-only.
    pub constant: bool,
    /// Bytes of a kernel's arguments, hidden ones included.
    pub kernarg_bytes: u32,
    /// Alignment of a kernel's arguments.
    pub kernarg_align: u32,
    /// LDS a work-group of a kernel needs in bytes, without what a packet adds.
    pub group_bytes: u32,
    /// Scratch a work-item of a kernel needs in bytes.
    pub private_bytes: u32,
    /// Whether a kernel calls functions with unknown stack needs, so that `private_bytes` is only a lower bound.
    pub dynamic_stack: bool,
}

/// A kernel: what a dispatch needs to know. It keeps its code loaded.
#[derive(Clone)]
pub struct Kernel {
    /// Address of its descriptor.
    pub object: u64,
    /// Bytes of its arguments, hidden ones included.
    pub kernarg_bytes: u32,
    /// Alignment of its arguments.
    pub kernarg_align: u32,
    /// LDS a work-group needs in bytes, without what a packet adds.
    pub group_bytes: u32,
    /// Scratch a work-item needs in bytes.
    pub private_bytes: u32,
    /// Whether it calls functions with unknown stack needs, so that `private_bytes` is only a lower bound.
    pub dynamic_stack: bool,
    code: Code,
}

impl Client {
    /// Loads a code object (an ELF file for this device).
    pub fn load(&self, elf: &[u8]) -> Result<Code, ClientError> {
        let bytes = elf.len() as u64;
        if bytes == 0 {
            let (what, next) = ("the size of a code object", "pass the bytes of an ELF file");
            return Err(ClientError::Argument { what, value: 0, next });
        }
        // The worker copies it out before it answers, so the buffer goes at the end of this function.
        let file = self.alloc(BufferKind::Host, bytes)?;
        file.write(0, elf)?;
        // Too long or no ELF file at all: the worker finds the words for what is wrong with it.
        let place = match image_bytes(elf) {
            Some((bytes, align)) => place_aligned(&self.0, bytes, align)?,
            None => None,
        };
        let load = LoadCode { image: file.part(bytes), at: wanted(place.as_ref()) };
        let loaded = |id, symbols, address: DeviceAddress, bytes: Bytes| Loaded {
            id,
            symbols,
            address: address.0,
            bytes: bytes.0,
            memory: None,
            session: Arc::clone(&self.0),
        };
        match self.0.request(&load.into())? {
            (TenantAnswer::CodeShared(ready), Some(fd)) => {
                // From here on dropping it unloads the code.
                let mut code = loaded(ready.code, ready.symbols, ready.address, ready.bytes);
                let memory = MemFd::adopt(fd, usize::try_from(ready.bytes.0).unwrap_or(0))?;
                code.memory = Some(map(&memory, place, ready.address)?);
                Ok(Code(Arc::new(code)))
            }
            (TenantAnswer::CodeReady(ready), None) => {
                Ok(Code(Arc::new(loaded(ready.code, ready.symbols, ready.address, ready.bytes))))
            }
            (other, _) => Err(self.0.misunderstood(&other)),
        }
    }
}

/// Returns how many bytes of addresses the segments of an ELF file take, from address zero of the file, and their alignment. `None` for what
/// is no ELF file of 64 bits or has nothing to load.
///
/// This is only a wish for a place: the worker reads the file for itself, and refuses what differs.
fn image_bytes(elf: &[u8]) -> Option<(u64, u64)> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(elf.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(elf.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(elf.get(at..at.checked_add(8)?)?.try_into().ok()?));
    if elf.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let (first, size, count) = (usize::try_from(u64_at(32)?).ok()?, u16_at(54)?, u16_at(56)?);
    let (mut end, mut align) = (0, PAGE_BYTES);
    for index in 0..usize::from(count) {
        let header = first.checked_add(index * usize::from(size))?;
        if u32_at(header)? == 1 {
            end = end.max(u64_at(header + 16)?.checked_add(u64_at(header + 40)?)?);
            align = align.max(u64_at(header + 48)?);
        }
    }
    let bytes = end.checked_next_multiple_of(PAGE_BYTES)?;
    (bytes > 0 && align.is_power_of_two()).then_some((bytes, align))
}

impl Code {
    /// Returns where its segments lie: address and size in bytes.
    pub fn place(&self) -> (u64, u64) {
        (self.0.address, self.0.bytes)
    }

    /// Returns its segments as this process sees them, or [`ClientError::NotMapped`] where they are reached by copies only.
    pub fn memory(&self) -> Result<&Mapping, ClientError> {
        self.0.memory.as_ref().ok_or(ClientError::NotMapped)
    }

    /// Returns how many symbols it has.
    pub fn symbols(&self) -> u32 {
        self.0.symbols
    }

    fn ask(&self, request: &proto::message::TenantRequest) -> Result<tenant::Symbol, ClientError> {
        match self.0.session.request(request)? {
            (TenantAnswer::Symbol(symbol), _) => Ok(symbol),
            (other, _) => Err(self.0.session.misunderstood(&other)),
        }
    }

    fn find(&self, name: &str) -> Result<tenant::Symbol, ClientError> {
        self.ask(&FindSymbol { code: self.0.id, name: Text::truncated(name) }.into())
    }

    /// Returns a symbol by index, from 0 to [`symbols`](Self::symbols).
    pub fn symbol_at(&self, index: u32) -> Result<Symbol, ClientError> {
        self.ask(&SymbolAt { code: self.0.id, index }.into()).map(Symbol::from)
    }

    /// Returns a symbol by name; a kernel's without `.kd`.
    pub fn symbol(&self, name: &str) -> Result<Symbol, ClientError> {
        self.find(name).map(Symbol::from)
    }

    /// Returns a kernel by name.
    pub fn kernel(&self, name: &str) -> Result<Kernel, ClientError> {
        let found = self.find(name)?;
        if found.kind != SymbolKind::Kernel {
            let (what, next) = ("the symbol asked for as a kernel", "ask for it as a variable");
            return Err(ClientError::Argument { what, value: found.address.0, next });
        }
        Ok(Kernel {
            object: found.address.0,
            kernarg_bytes: found.kernarg_bytes,
            kernarg_align: found.kernarg_align,
            group_bytes: found.group_bytes,
            private_bytes: found.private_bytes,
            dynamic_stack: found.dynamic_stack != 0,
            code: self.clone(),
        })
    }
}

impl Kernel {
    /// Returns the code it belongs to.
    pub fn code(&self) -> &Code {
        &self.code
    }
}

impl From<tenant::Symbol> for Symbol {
    fn from(symbol: tenant::Symbol) -> Self {
        let Bytes(bytes) = symbol.bytes;
        Self {
            name: symbol.name.as_str().to_owned(),
            kind: symbol.kind,
            address: symbol.address.0,
            bytes,
            constant: symbol.constant != 0,
            kernarg_bytes: symbol.kernarg_bytes,
            kernarg_align: symbol.kernarg_align,
            group_bytes: symbol.group_bytes,
            private_bytes: symbol.private_bytes,
            dynamic_stack: symbol.dynamic_stack != 0,
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // A session that is over has unloaded it already.
        let _ = self.session.command(&UnloadCode { code: self.id }.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header with two program headers: nothing to load, and a segment up to 0x2345 that wants 64 KiB of alignment.
    fn file() -> Vec<u8> {
        let mut file = vec![0; 64 + 2 * 56];
        file[..5].copy_from_slice(b"\x7fELF\x02");
        file[32..40].copy_from_slice(&64u64.to_le_bytes());
        file[54..58].copy_from_slice(&[56, 0, 2, 0]);
        let load = &mut file[64 + 56..];
        load[..4].copy_from_slice(&1u32.to_le_bytes());
        load[16..24].copy_from_slice(&0x2000u64.to_le_bytes());
        load[40..48].copy_from_slice(&0x345u64.to_le_bytes());
        load[48..56].copy_from_slice(&0x1_0000u64.to_le_bytes());
        file
    }

    #[test]
    fn a_place_is_as_large_as_the_segments_reach() {
        assert_eq!(image_bytes(&file()), Some((0x3000, 0x1_0000)));
    }

    #[test]
    fn what_is_no_elf_file_wants_no_place() {
        let good = file();
        assert_eq!(image_bytes(b"#!/bin/sh"), None);
        for cut in 0..good.len() {
            assert_eq!(image_bytes(&good[..cut]), None, "cut to {cut} bytes");
        }
        let mut far = good;
        far[64 + 56 + 40..64 + 56 + 48].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(image_bytes(&far), None);
    }
}
