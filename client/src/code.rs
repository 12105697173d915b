//! Code objects: loaded by the worker, which alone reads them; looked up by name or index.

use std::sync::Arc;

use proto::message::TenantAnswer;
use proto::message::tenant::{self, BufferKind, FindSymbol, LoadCode, SymbolAt, SymbolKind, UnloadCode};
use proto::text::Text;
use proto::{Bytes, CodeId, DeviceAddress};

use crate::error::ClientError;
use crate::session::{Client, Session};

/// A loaded code object, unloaded when the last handle is dropped. Kernels in flight then meet a fault.
#[derive(Clone)]
pub struct Code(Arc<Loaded>);

struct Loaded {
    id: CodeId,
    symbols: u32,
    address: u64,
    bytes: u64,
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
    _code: Code,
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
        let load = LoadCode { image: file.part(bytes), at: DeviceAddress(0) };
        match self.0.request(&load.into())? {
            (TenantAnswer::CodeReady(ready), _) => Ok(Code(Arc::new(Loaded {
                id: ready.code,
                symbols: ready.symbols,
                address: ready.address.0,
                bytes: ready.bytes.0,
                session: Arc::clone(&self.0),
            }))),
            (other, _) => Err(self.0.misunderstood(&other)),
        }
    }
}

impl Code {
    /// Returns where its segments lie: address and size in bytes.
    pub fn place(&self) -> (u64, u64) {
        (self.0.address, self.0.bytes)
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
            _code: self.clone(),
        })
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
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // A session that is over has unloaded it already.
        let _ = self.session.command(&UnloadCode { code: self.id }.into());
    }
}
