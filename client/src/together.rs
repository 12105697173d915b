//! Several sessions of one process, each with a device of its own, that work together.
//!
//! Promises:
//! - signals of the first session are the others', too: their packets and kernels change them, at the addresses that they have, and whoever waits for one
//!   is woken, or told of the end if any of the sessions has ended;
//! - a [`Mirror`] is memory of one session at the same address for kernels of another. It counts once.
//!
//! What cannot be had: a packet of one session that depends on a signal which a packet of another session changes is not woken by it, unless this process
//! changes it: it is looked at again after 0.1 ms, then when a quarter more time has passed, at least every 100 ms. Devices that choose addresses keep
//! their memory to themselves, and nothing of this is for them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proto::ShareId;
use proto::message::tenant::BufferKind;
use sys::CallFailed;
use sys::mapping::Mapping;
use sys::wake;

use crate::connection::Connection;
use crate::error::{ClientError, End};
use crate::memory::RawBuffer;
use crate::session::{Client, Session};
use crate::signal::Origin;

/// A session that has the signals of another one, as that one knows it.
pub(crate) struct Companion {
    connection: Arc<Connection>,
    pub(crate) page: Arc<Mapping>,
}

/// Memory of another session of this process that kernels see at the address that it has there. They see it no more when this is dropped.
pub struct Mirror(RawBuffer);

impl Mirror {
    /// Returns the address of the first byte.
    pub fn address(&self) -> u64 {
        self.0.address()
    }
}

impl Client {
    /// Lets other sessions of this process use the signals of this one. To be called once, before there are any.
    pub fn join(&self, others: &[Client]) -> Result<(), ClientError> {
        let wrong = |value| ClientError::Argument {
            what: "the number of sessions or signals that there are already",
            value,
            next: "join sessions once, before the first signal is made",
        };
        let making = self.0.pools.making();
        let pools = self.0.pools.iter().count() as u64;
        let companion = |other: &Client| {
            other
                .0
                .connection
                .follow(&self.0.connection)
                .then(|| Companion { connection: Arc::clone(&other.0.connection), page: Arc::clone(&other.0.page) })
        };
        let companions: Option<Vec<Companion>> =
            if pools == 0 { others.iter().map(companion).collect() } else { return Err(wrong(pools)) };
        let joined = companions.is_some_and(|companions| self.0.companions.set(companions).is_ok());
        drop(making);
        if joined { Ok(()) } else { Err(wrong(others.len() as u64)) }
    }

    /// Lets kernels of this session see memory that another session of this process has [exported](crate::Buffer::export), or
    /// [imported](Self::import) itself, where that one sees it.
    pub fn mirror(&self, share: ShareId, address: u64, bytes: u64) -> Result<Mirror, ClientError> {
        RawBuffer::mirror(&self.0.connection, (share, BufferKind::Host), (address, bytes)).map(Mirror)
    }

    /// Returns why this session, or one that has [joined](Self::join) it, is over; `None` while none of them is.
    pub fn first_end(&self) -> Option<End> {
        self.0.first_end().cloned()
    }
}

impl Session {
    pub(crate) fn companions(&self) -> &[Companion] {
        self.companions.get().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn first_end(&self) -> Option<&End> {
        let others = || self.companions().iter().find_map(|companion| companion.connection.ended());
        self.connection.ended().or_else(others)
    }

    /// Makes the workers of companions that have queues look at packets that depend on a signal.
    pub(crate) fn ring_companions(&self) -> Result<(), CallFailed> {
        for Companion { connection, page } in self.companions() {
            if connection.queues().load(Ordering::Relaxed) > 0
                && let Some(word) = page.atomic_u32(proto::session::WORKER_WAKE)
            {
                wake::ring(word)?;
            }
        }
        Ok(())
    }

    /// Lets companions see a pool of signals. One whose session is over needs none.
    pub(crate) fn show_companions(&self, pool: &RawBuffer, origin: Origin) -> Result<Vec<RawBuffer>, ClientError> {
        let mut mirrors = Vec::new();
        if self.companions().is_empty() {
            return Ok(mirrors);
        }
        let share = match origin {
            Origin::Imported(share) => share,
            Origin::Own | Origin::Shared => pool.export(self)?,
        };
        for companion in self.companions() {
            let what = (share, BufferKind::Signals);
            match RawBuffer::mirror(&companion.connection, what, (pool.address(), pool.bytes)) {
                Err(ClientError::Ended(_)) => {}
                mirror => mirrors.push(mirror?),
            }
        }
        // A tenant may offer so much at a time, and nobody else has been told of this.
        if !matches!(origin, Origin::Imported(_)) {
            pool.withdraw()?;
        }
        Ok(mirrors)
    }
}
