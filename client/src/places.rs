//! Addresses without memory, and memory without addresses: what is behind registered host memory and the virtual-memory interface.
//!
//! A [`Reservation`] is addresses of this process that nothing else will have; [`Object`]s are seen in it where and for as long as it is asked
//! for. An [`Alias`] is the same addresses as kernels see them. The two are changed one by one, so that who holds memory back from kernels, or from
//! this process, can.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use proto::limits::PAGE_BYTES;
use proto::message::TenantAnswer;
use proto::message::tenant::{
    AllocBuffer, BufferKind, CloseAlias, FreeBuffer, ImportBuffer, MapBuffer, OpenAlias, RefuseTouch, UnmapBuffer,
};
use proto::{BufferId, Bytes, ClaimedRange, DeviceAddress, ShareId};
use sys::mapping::{Access, OutOfBounds};
use sys::memfd::MemFd;
use sys::window::{Window, WindowError};

use crate::connection::{Answer, Connection};
use crate::error::ClientError;
use crate::memory::{RawBuffer, place_aligned};
use crate::session::{Client, Session};

/// Memory that is seen in [`Reservation`]s and, by kernels, in [`Alias`]es. It has no address of its own here.
pub struct Object {
    memory: MemFd,
    raw: RawBuffer,
    // Declared after `raw`: the session outlives the request to free it.
    session: Arc<Session>,
}

/// Addresses of this process that nothing else will have, unreachable but for what is [shown](Reservation::show) there.
pub struct Reservation(Window);

/// Addresses at which kernels see memory that is not theirs: empty until something is mapped there. Closed when dropped.
pub struct Alias {
    // Declared first: the worker closes it before the addresses can be had again.
    open: OpenedAlias,
    range: Arc<Reservation>,
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
        self.range.bytes()
    }

    /// Lets kernels see `bytes` from `offset` of an object at an address of the alias, all whole pages. Without `write` they may only load there.
    pub fn map(&self, object: &Object, offset: u64, bytes: u64, at: u64, write: bool) -> Result<(), ClientError> {
        let part = ClaimedRange { buffer: object.raw.id, offset: Bytes(offset), bytes: Bytes(bytes) };
        self.session.command(&MapBuffer { part, at: DeviceAddress(at), write: u32::from(write) }.into())
    }

    /// Takes back what [`map`](Self::map) did at an address.
    pub fn unmap(&self, at: u64) -> Result<(), ClientError> {
        self.session.command(&UnmapBuffer { at: DeviceAddress(at) }.into())
    }
}

impl Reservation {
    /// Returns the first address.
    pub fn address(&self) -> u64 {
        self.0.address() as u64
    }

    /// Returns how many there are, in whole pages.
    pub fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    /// Lets this process see `bytes` from `offset` of an object at an address of the reservation, all whole pages.
    pub fn show(&self, object: &Object, offset: u64, bytes: u64, at: u64, write: bool) -> Result<(), ClientError> {
        let access = if write { Access::ReadWrite } else { Access::ReadOnly };
        Ok(self.0.show(&object.memory, word(offset), word(bytes), self.offset(at)?, access)?)
    }

    /// Takes back what [`show`](Self::show) did.
    pub fn hide(&self, at: u64, bytes: u64) -> Result<(), ClientError> {
        Ok(self.0.hide(self.offset(at)?, word(bytes))?)
    }

    fn offset(&self, at: u64) -> Result<usize, OutOfBounds> {
        at.checked_sub(self.address()).map(word).ok_or(OutOfBounds)
    }
}

/// What does not fit is more than there can be of anything.
fn word(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl From<WindowError> for ClientError {
    fn from(error: WindowError) -> Self {
        match error {
            WindowError::Bounds(bounds) => bounds.into(),
            WindowError::Memory(memory) => memory.into(),
        }
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

    /// As [`Buffer::export`](crate::Buffer::export).
    pub fn export(&self) -> Result<ShareId, ClientError> {
        self.raw.export(&self.session)
    }

    /// As [`Buffer::withdraw`](crate::Buffer::withdraw).
    pub fn withdraw(&self) -> Result<(), ClientError> {
        self.raw.withdraw()
    }

    fn take(session: &Arc<Session>, answer: Answer) -> Result<Object, ClientError> {
        match answer {
            (TenantAnswer::BufferShared(got), Some(fd)) => {
                // From here on dropping `raw` gives the memory back.
                let raw = RawBuffer::raw(session, got.buffer, got.address, got.bytes);
                let memory = MemFd::adopt(fd, word(got.bytes.0))?;
                Ok(Object { memory, raw, session: Arc::clone(session) })
            }
            (TenantAnswer::BufferReady(got), None) => {
                session.command(&FreeBuffer { buffer: got.buffer }.into())?;
                Err(ClientError::NotMapped)
            }
            (other, _) => Err(session.misunderstood(&other)),
        }
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
        let wanted = AllocBuffer { kind, bytes: Bytes(bytes), at: DeviceAddress(0) };
        Object::take(&self.0, self.0.request(&wanted.into())?)
    }

    /// As [`import`](Self::import), without an address.
    pub fn import_object(&self, share: ShareId, bytes: u64) -> Result<Object, ClientError> {
        let wanted = ImportBuffer { share, bytes: Bytes(bytes), at: DeviceAddress(0), kind: BufferKind::Host };
        Object::take(&self.0, self.0.request(&wanted.into())?)
    }

    /// Reserves at least `bytes` addresses, the first of them a multiple of `align`. Costs no memory and no message.
    pub fn reserve(&self, bytes: u64, align: u64) -> Result<Reservation, ClientError> {
        let range = place_aligned(&self.0, bytes, align.max(PAGE_BYTES))?.ok_or(ClientError::NotMapped)?;
        Ok(Reservation(Window::new(range)))
    }

    /// Opens an alias of all addresses of a reservation. `ask`: a kernel that touches what is not there waits, and the function given to
    /// [`on_touch`](Self::on_touch) is called; else it faults.
    pub fn alias(&self, range: Arc<Reservation>, ask: bool) -> Result<Alias, ClientError> {
        let session = Arc::clone(&self.0);
        let at = DeviceAddress(range.address());
        session.command(&OpenAlias { at, bytes: Bytes(range.bytes()), ask: u32::from(ask) }.into())?;
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

    /// Whether this process chooses the addresses of its memory, so that it can [reserve](Self::reserve) some.
    pub fn chooses_addresses(&self) -> bool {
        self.0.arena.is_some()
    }

    /// Whether an address belongs to the session's arena: what lies there was made by this session, or is nothing.
    pub fn owns(&self, address: u64) -> bool {
        let Some(arena) = &self.0.arena else { return false };
        address.checked_sub(arena.address() as u64).is_some_and(|offset| offset < arena.len() as u64)
    }
}
