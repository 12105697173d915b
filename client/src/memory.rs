//! Buffers: memory that kernels see at the address at which this process sees it.

use std::sync::Arc;

use proto::limits::PAGE_BYTES;
use proto::message::tenant::{AllocBuffer, BufferKind, ExportBuffer, FreeBuffer, ImportBuffer, WithdrawBuffer};
use proto::message::{TenantAnswer, TenantRequest};
use proto::{BufferId, Bytes, ClaimedRange, DeviceAddress, ShareId, TenantName};
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
    pub(crate) id: BufferId,
    address: u64,
    pub(crate) bytes: u64,
    pub(crate) memory: Option<Arc<Mapping>>,
    /// Its addresses, where it is not mapped.
    addresses: Option<Arena>,
}

impl Client {
    /// Allocates memory of a kind, at least `bytes`, all zero.
    pub fn alloc(&self, kind: BufferKind, bytes: u64) -> Result<Buffer, ClientError> {
        Ok(Buffer { raw: RawBuffer::new(&self.0, kind, bytes)?, session: Arc::clone(&self.0) })
    }

    /// Returns memory that another session of the tenant has [exported](Buffer::export), or one of another tenant has [granted](Buffer::grant) to it, all
    /// of it. Stores of either are seen by the other.
    pub fn import(&self, share: ShareId, bytes: u64) -> Result<Buffer, ClientError> {
        let ask = |at| ImportBuffer { share, bytes: Bytes(bytes), at, kind: BufferKind::Host }.into();
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

/// What a descriptor lets this process do: what another tenant has granted to be read only reads.
fn access_of(memory: &MemFd) -> Access {
    if memory.is_writable() { Access::ReadWrite } else { Access::ReadOnly }
}

/// Maps what came where it was announced to be.
pub(crate) fn map(memory: &MemFd, place: Option<ArenaRange>, address: DeviceAddress) -> Result<Mapping, ClientError> {
    let access = access_of(memory);
    Ok(match place {
        Some(place) => Mapping::in_arena(memory, access, place)?,
        // The backend chose; nothing of ours is ever replaced.
        None => Mapping::at_address(memory, access, usize::try_from(address.0).unwrap_or(0))?,
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
    pub(crate) fn ask(
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
                this.memory = Some(Arc::new(Mapping::in_arena(&memory, access_of(&memory), place)?));
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

    /// Has kernels of a session see memory of another session of this process at the address that it has there.
    pub(crate) fn mirror(
        connection: &Arc<Connection>,
        (share, kind): (ShareId, BufferKind),
        (address, bytes): (u64, u64),
    ) -> Result<Self, ClientError> {
        let wanted = ImportBuffer { share, bytes: Bytes(bytes), at: DeviceAddress(address), kind };
        match connection.request(&wanted.into())? {
            (TenantAnswer::BufferShared(got), Some(_)) => {
                let connection = Arc::clone(connection);
                let (address, bytes) = (got.address.0, got.bytes.0);
                Ok(Self { connection, id: got.buffer, address, bytes, memory: None, addresses: None })
            }
            (other, _) => Err(connection.misunderstood(&other)),
        }
    }

    /// A buffer that the worker has made and that is not mapped here.
    pub(crate) fn raw(session: &Session, id: BufferId, address: DeviceAddress, bytes: Bytes) -> Self {
        let connection = Arc::clone(&session.connection);
        Self { connection, id, address: address.0, bytes: bytes.0, memory: None, addresses: None }
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    pub(crate) fn export(&self, session: &Session) -> Result<ShareId, ClientError> {
        self.share(session, None, true)
    }

    pub(crate) fn withdraw(&self) -> Result<(), ClientError> {
        match self.connection.request(&WithdrawBuffer { buffer: self.id }.into())? {
            (TenantAnswer::Done(_), _) => Ok(()),
            (other, _) => Err(self.connection.misunderstood(&other)),
        }
    }

    fn share(&self, session: &Session, tenant: Option<TenantName>, write: bool) -> Result<ShareId, ClientError> {
        let wanted = ExportBuffer { buffer: self.id, tenant, write: u32::from(write) };
        match session.request(&wanted.into())? {
            (TenantAnswer::BufferExported(answer), _) => Ok(answer.share),
            (other, _) => Err(session.misunderstood(&other)),
        }
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
        self.raw.export(&self.session)
    }

    /// Takes back what [`export`](Self::export) did. Who has imported the buffer keeps it, and what other tenants were granted stands.
    pub fn withdraw(&self) -> Result<(), ClientError> {
        self.raw.withdraw()
    }

    /// Grants the buffer to another tenant, to read or also to write, where the administrator lets the one share with the other. Its sessions
    /// [import](Client::import) it by what is returned, for as long as this session has it; who has imported it keeps it, and it counts against this
    /// tenant until the last of them has let go.
    pub fn grant(&self, tenant: &str, write: bool) -> Result<ShareId, ClientError> {
        let wrong = |_| ClientError::Argument {
            what: "the length of a tenant's name",
            value: tenant.len() as u64,
            next: "use 1 to 32 of a-z 0-9 _ . - beginning with a letter or digit",
        };
        let to = TenantName::new(tenant).map_err(wrong)?;
        self.raw.share(&self.session, Some(to), write)
    }

    /// Whether this session may write to it: not where another tenant has granted it to be read.
    pub fn is_writable(&self) -> bool {
        self.raw.memory.as_ref().is_none_or(|memory| memory.is_writable())
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
