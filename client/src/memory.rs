//! Buffers: memory that kernels see at the address at which this process sees it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use proto::limits::PAGE_BYTES;
use proto::message::tenant::{
    AllocBuffer, BufferKind, CloseAlias, ExportBuffer, FreeBuffer, ImportBuffer, MapBuffer, OpenAlias, RefuseTouch,
    UnmapBuffer,
};
use proto::message::{TenantAnswer, TenantRequest};
use proto::{BufferId, Bytes, ClaimedRange, DeviceAddress, ShareId};
use sys::arena::{Arena, ArenaError, ArenaRange};
use sys::mapping::{Access, Mapping, OutOfBounds};
use sys::memfd::MemFd;

use crate::connection::Connection;
use crate::error::ClientError;
use crate::placed::{reserve, settled};
use crate::session::{Client, Session};

/// Memory of the session, given back when dropped. Packets in flight that still use it then meet a fault.
pub struct Buffer {
    pub(crate) raw: RawBuffer,
    // Declared after `raw`: the session outlives the request to free it.
    session: Arc<Session>,
}

/// A buffer that does not keep its session alive.
pub(crate) struct RawBuffer {
    connection: Arc<Connection>,
    id: BufferId,
    address: u64,
    bytes: u64,
    pub(crate) memory: Option<Arc<Mapping>>,
    /// Its addresses, where it is not mapped.
    addresses: Option<Arena>,
}

impl Client {
    /// Allocates memory of a kind, at least `bytes`, all zero.
    pub fn alloc(&self, kind: BufferKind, bytes: u64) -> Result<Buffer, ClientError> {
        Ok(Buffer { raw: RawBuffer::new(&self.0, kind, bytes)?, session: Arc::clone(&self.0) })
    }

    /// Returns memory that another session of the tenant has [exported](Buffer::export), all of it. Stores of either are seen by the other.
    pub fn import(&self, share: ShareId, bytes: u64) -> Result<Buffer, ClientError> {
        let ask = |at| ImportBuffer { share, bytes: Bytes(bytes), at }.into();
        Ok(Buffer { raw: RawBuffer::ask(&self.0, bytes, ask)?, session: Arc::clone(&self.0) })
    }

    /// Allocates device memory.
    pub fn vram(&self, bytes: u64) -> Result<Buffer, ClientError> {
        self.alloc(BufferKind::Vram, bytes)
    }

    /// Allocates host memory that kernels can reach.
    pub fn host(&self, bytes: u64) -> Result<Buffer, ClientError> {
        self.alloc(BufferKind::Host, bytes)
    }

    /// Allocates memory for kernel arguments.
    pub fn kernarg(&self, bytes: u64) -> Result<Buffer, ClientError> {
        self.alloc(BufferKind::Kernarg, bytes)
    }
}

/// Memory that kernels may be shown in an [`Alias`], and that this process maps where it likes. It has no address of its own here.
pub struct Object {
    memory: MemFd,
    raw: RawBuffer,
    // As in a buffer.
    _session: Arc<Session>,
}

/// Addresses at which kernels see memory of this process that is not theirs: empty until something is mapped there. Closed when dropped.
pub struct Alias {
    // Declared first: the worker closes it before the addresses can be had again.
    open: OpenedAlias,
    range: ArenaRange,
    session: Arc<Session>,
}

/// Closes an alias.
struct OpenedAlias {
    connection: Arc<Connection>,
    at: DeviceAddress,
}

impl Drop for OpenedAlias {
    fn drop(&mut self) {
        // If the session is over there is nothing left to close.
        let _ = self.connection.request(&CloseAlias { at: self.at }.into());
    }
}

impl Alias {
    /// Returns the first address.
    pub fn address(&self) -> u64 {
        self.open.at.0
    }

    /// Returns how many there are, in whole pages.
    pub fn bytes(&self) -> u64 {
        self.range.len() as u64
    }

    /// Lets kernels see `bytes` from `offset` of an object at an address of the alias, all whole pages.
    pub fn map(&self, object: &Object, offset: u64, bytes: u64, at: u64) -> Result<(), ClientError> {
        let part = ClaimedRange { buffer: object.raw.id, offset: Bytes(offset), bytes: Bytes(bytes) };
        self.session.command(&MapBuffer { part, at: DeviceAddress(at) }.into())
    }

    /// Takes back what [`map`](Self::map) did at an address.
    pub fn unmap(&self, at: u64) -> Result<(), ClientError> {
        self.session.command(&UnmapBuffer { at: DeviceAddress(at) }.into())
    }
}

impl Object {
    pub(crate) fn id(&self) -> BufferId {
        self.raw.id
    }

    /// Returns the size in bytes, in whole pages.
    pub fn bytes(&self) -> u64 {
        self.raw.bytes
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

impl Client {
    /// Allocates memory without an address of its own, all zero. [`ClientError::NotMapped`] where this process cannot have it.
    pub fn object(&self, kind: BufferKind, bytes: u64) -> Result<Object, ClientError> {
        let session = &self.0;
        match session.request(&AllocBuffer { kind, bytes: Bytes(bytes), at: DeviceAddress(0) }.into())? {
            (TenantAnswer::BufferShared(got), Some(fd)) => {
                let raw = RawBuffer::raw(session, got.buffer, got.address, got.bytes);
                let memory = MemFd::adopt(fd, usize::try_from(got.bytes.0).unwrap_or(0))?;
                Ok(Object { memory, raw, _session: Arc::clone(session) })
            }
            (TenantAnswer::BufferReady(got), None) => {
                session.command(&FreeBuffer { buffer: got.buffer }.into())?;
                Err(ClientError::NotMapped)
            }
            (other, _) => Err(session.misunderstood(&other)),
        }
    }

    /// Opens an alias of at least `bytes`. `ask`: a kernel that touches what is not there waits, and the function given to
    /// [`on_touch`](Self::on_touch) is called; else it faults.
    pub fn alias(&self, bytes: u64, align: u64, ask: bool) -> Result<Alias, ClientError> {
        let session = Arc::clone(&self.0);
        let range = place_aligned(&session, bytes, align.max(PAGE_BYTES))?.ok_or(ClientError::NotMapped)?;
        let at = DeviceAddress(range.address() as u64);
        session.command(&OpenAlias { at, bytes: Bytes(range.len() as u64), ask: u32::from(ask) }.into())?;
        let open = OpenedAlias { connection: Arc::clone(&session.connection), at };
        Ok(Alias { open, range, session })
    }

    /// Says that there is nothing for a kernel that has touched an address of an alias.
    pub fn refuse_touch(&self, address: u64) -> Result<(), ClientError> {
        self.0.command(&RefuseTouch { at: DeviceAddress(address) }.into())
    }

    /// Has `touched` called, on a thread of this library, with every address that a kernel waits for. There can be one; returns whether this is
    /// it. It must not wait for anything of this session.
    pub fn on_touch(&self, touched: impl Fn(u64) + Send + Sync + 'static) -> bool {
        self.0.connection.on_touch(Box::new(touched))
    }

    /// Whether an address belongs to the session's arena: what lies there was made by this session, or is nothing.
    pub fn owns(&self, address: u64) -> bool {
        let Some(arena) = &self.0.arena else { return false };
        address.checked_sub(arena.address() as u64).is_some_and(|offset| offset < arena.len() as u64)
    }
}

/// Takes a place for an object of `bytes` in the arena, where the tenant chooses addresses. Too much for the arena is answered as
/// the worker would answer it: as too much.
pub(crate) fn place(session: &Session, bytes: u64) -> Result<Option<ArenaRange>, ClientError> {
    place_aligned(session, bytes, PAGE_BYTES)
}

/// As [`place`], at an address that is a multiple of `align`, a power of two.
pub(crate) fn place_aligned(session: &Session, bytes: u64, align: u64) -> Result<Option<ArenaRange>, ClientError> {
    let Some(arena) = &session.arena else { return Ok(None) };
    let (bytes, align) = (usize::try_from(bytes).unwrap_or(usize::MAX), usize::try_from(align).unwrap_or(0));
    arena.allocate(bytes, align).map(Some).map_err(ClientError::from)
}

/// What large buffers begin at a multiple of.
const LARGE: u64 = 2 << 20;

/// Returns what the address of a buffer is a multiple of: the power of two that its size reaches, up to [`LARGE`]. AMD's driver library places
/// buffers like this, and device code relies on it: `malloc` in kernels finds the head of a 2 MiB slab by cutting an address.
fn alignment(bytes: u64) -> u64 {
    bytes.checked_ilog2().map_or(PAGE_BYTES, |log| 1 << log).clamp(PAGE_BYTES, LARGE)
}

/// Maps what came where it was announced to be.
pub(crate) fn map(memory: &MemFd, place: Option<ArenaRange>, address: DeviceAddress) -> Result<Mapping, ClientError> {
    Ok(match place {
        Some(place) => Mapping::in_arena(memory, Access::ReadWrite, place)?,
        // The backend chose; nothing of ours is ever replaced.
        None => Mapping::at_address(memory, Access::ReadWrite, usize::try_from(address.0).unwrap_or(0))?,
    })
}

/// Returns the address to ask for.
pub(crate) fn wanted(place: Option<&ArenaRange>) -> DeviceAddress {
    DeviceAddress(place.map_or(0, |place| place.address() as u64))
}

impl RawBuffer {
    pub(crate) fn new(session: &Session, kind: BufferKind, bytes: u64) -> Result<Self, ClientError> {
        Self::ask(session, bytes, |at| AllocBuffer { kind, bytes: Bytes(bytes), at }.into())
    }

    /// Asks for `bytes` of memory at the place that is handed to `request`.
    fn ask(
        session: &Session,
        bytes: u64,
        request: impl Fn(DeviceAddress) -> TenantRequest,
    ) -> Result<Self, ClientError> {
        let place = match place_aligned(session, bytes, alignment(bytes)) {
            // The arena is far larger than any limit, so what does not fit is over the limit; let the worker say which.
            Err(ClientError::Arena(ArenaError::Full { .. } | ArenaError::Impossible { .. })) => None,
            other => other?,
        };
        if let Some(place) = place {
            let (mut this, memory) = Self::request(session, &request(wanted(Some(&place))))?;
            if let Some(memory) = memory {
                this.memory = Some(Arc::new(Mapping::in_arena(&memory, Access::ReadWrite, place)?));
            }
            return Ok(this);
        }
        let ask = || Self::request(session, &request(DeviceAddress(0)));
        let settle = |(this, memory): &mut (RawBuffer, Option<MemFd>)| match memory.take() {
            Some(memory) => Ok((Some(map(&memory, None, DeviceAddress(this.address))?), None)),
            None => Ok((None, session.arena.is_none().then(|| reserve(this.address, this.bytes)).transpose()?)),
        };
        let ((mut this, _), (memory, addresses)) = settled(ask, settle)?;
        (this.memory, this.addresses) = (memory.map(Arc::new), addresses);
        Ok(this)
    }

    /// Asks once; what is returned is given back when dropped.
    fn request(session: &Session, request: &TenantRequest) -> Result<(Self, Option<MemFd>), ClientError> {
        match session.request(request)? {
            (TenantAnswer::BufferShared(got), Some(fd)) => {
                let this = Self::raw(session, got.buffer, got.address, got.bytes);
                let memory = MemFd::adopt(fd, usize::try_from(got.bytes.0).unwrap_or(0))?;
                Ok((this, Some(memory)))
            }
            (TenantAnswer::BufferReady(got), None) => {
                Ok((Self::raw(session, got.buffer, got.address, got.bytes), None))
            }
            (other, _) => Err(session.misunderstood(&other)),
        }
    }

    fn raw(session: &Session, id: BufferId, address: DeviceAddress, bytes: Bytes) -> Self {
        let connection = Arc::clone(&session.connection);
        Self { connection, id, address: address.0, bytes: bytes.0, memory: None, addresses: None }
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for RawBuffer {
    fn drop(&mut self) {
        // The worker first: until it has let go of the address, another buffer must not get it. If the session is over there is
        // nothing left to give back.
        let _ = self.connection.request(&FreeBuffer { buffer: self.id }.into());
    }
}

impl Buffer {
    /// Returns the address of the first byte, for kernels and for this process.
    pub fn address(&self) -> u64 {
        self.raw.address
    }

    /// Returns the size in bytes, in whole pages.
    pub fn bytes(&self) -> u64 {
        self.raw.bytes
    }

    /// Returns the memory as this process sees it, or [`ClientError::NotMapped`] where it is reached by copies only.
    pub fn memory(&self) -> Result<&Mapping, ClientError> {
        self.raw.memory.as_deref().ok_or(ClientError::NotMapped)
    }

    /// Copies bytes into the buffer. Kernels may see them at any moment from now on. What is not mapped here the device copies.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<(), ClientError> {
        match &self.raw.memory {
            Some(memory) => Ok(memory.write(offset, from)?),
            None => self.session.upload(self.part_address(offset, from.len())?, from),
        }
    }

    /// Copies bytes out of the buffer.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), ClientError> {
        match &self.raw.memory {
            Some(memory) => Ok(memory.read(offset, into)?),
            None => self.session.download(self.part_address(offset, into.len())?, into),
        }
    }

    /// Returns the address of `bytes` at an offset.
    fn part_address(&self, offset: usize, bytes: usize) -> Result<u64, ClientError> {
        let end = offset.checked_add(bytes).filter(|&end| end as u64 <= self.raw.bytes);
        end.map(|_| self.raw.address + offset as u64).ok_or(ClientError::Bounds(OutOfBounds))
    }

    /// Lets other sessions of the tenant [import](Client::import) the buffer by what is returned, for as long as this one has it. Who has imported it
    /// keeps it.
    pub fn export(&self) -> Result<ShareId, ClientError> {
        match self.session.request(&ExportBuffer { buffer: self.raw.id }.into())? {
            (TenantAnswer::BufferExported(answer), _) => Ok(answer.share),
            (other, _) => Err(self.session.misunderstood(&other)),
        }
    }

    /// Returns `bytes` bytes at `offset` as a claim, to name it in a request.
    pub(crate) fn part(&self, bytes: u64) -> ClaimedRange {
        ClaimedRange { buffer: self.raw.id, offset: Bytes(0), bytes: Bytes(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_begin_where_device_code_expects() {
        for (bytes, align) in [
            (0, 4096),
            (1, 4096),
            (4096, 4096),
            (12_288, 8192),
            ((2 << 20) - 1, 1 << 20),
            (2 << 20, 2 << 20),
            (u64::MAX, 2 << 20),
        ] {
            assert_eq!(alignment(bytes), align, "{bytes}");
        }
    }
}
