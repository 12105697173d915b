//! Signals of several processes of one tenant.
//!
//! Promises:
//! - a signal that is shared is the same value and the same wake word for everybody who has it, so that a change by any of them, by their workers too, wakes
//!   who waits for it;
//! - it lives as long as its maker's session, or longer where somebody has attached it; what it is used for again is its maker's to decide.
//!
//! What cannot be had: a packet of one session that depends on a signal which another session changes, and whoever waits for any signal at all
//! ([`Client::changes`]), are not woken by it. The packet is looked at again after 0.1 ms, then when a quarter more time has passed, and both at
//! least every 100 ms.

use std::sync::Arc;

use proto::message::tenant::{BufferKind, ImportBuffer};
use proto::{Bytes, ShareId};

use crate::error::ClientError;
use crate::memory::RawBuffer;
use crate::session::Client;
use crate::signal::{Origin, Pool, Signal, SignalRef};

/// By what other sessions of the tenant get a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedSignal {
    /// The memory it lies in.
    pub share: ShareId,
    /// The size of that.
    pub bytes: u64,
    /// Which signal there.
    pub index: u32,
}

impl Client {
    /// Makes a signal that may be [exported](Self::export_signal).
    pub fn shared_signal(&self, value: i64) -> Result<Signal, ClientError> {
        self.signal_of(Origin::Shared, value)
    }

    /// Lets other sessions of the tenant attach the signal at an address, which [`shared_signal`](Self::shared_signal) has made; others are refused.
    pub fn export_signal(&self, address: u64) -> Result<SharedSignal, ClientError> {
        let found = self.signal_at(address).filter(|signal| signal.pool.origin == Origin::Shared);
        let Some(SignalRef { pool, index, .. }) = found else {
            return Err(ClientError::Argument {
                what: "the signal to export",
                value: address,
                next: "make it as a shared one",
            });
        };
        Ok(SharedSignal { share: pool.buffer.export(&self.0)?, bytes: pool.buffer.bytes, index })
    }

    /// Attaches a signal of another session; returns its address here. All signals of one making share the memory that is attached, which stays until the
    /// session ends.
    pub fn import_signal(&self, shared: SharedSignal) -> Result<u64, ClientError> {
        let SharedSignal { share, bytes, index } = shared;
        let pool = self.imported_pool(share, bytes)?;
        match pool.layout.capacity() {
            capacity if index < capacity => Ok(SignalRef { pool: &pool, index, session: &self.0 }.address()),
            capacity => Err(ClientError::Argument {
                what: "the signal to attach",
                value: index.into(),
                next: if capacity == 0 { "name memory of signals" } else { "name one that was exported" },
            }),
        }
    }

    fn imported_pool(&self, share: ShareId, bytes: u64) -> Result<Arc<Pool>, ClientError> {
        let making = self.0.pools.making();
        let origin = Origin::Imported(share);
        if let Some(known) = self.0.pools.iter().find(|pool| pool.origin == origin && pool.buffer.bytes == bytes) {
            return Ok(Arc::clone(known));
        }
        let kind = BufferKind::Signals;
        let ask = |at| ImportBuffer { share, bytes: Bytes(bytes), at, kind }.into();
        self.0.add_pool(&making, origin, || RawBuffer::ask(&self.0, bytes, ask))
    }
}
