//! Copies that the device does: for memory that this process cannot map.
//!
//! Promise: when a call returns, the bytes have arrived. Bytes of this process go through a staging buffer of the session, a piece at a time; it is made
//! when first needed and counts against the tenant's host memory.

use std::sync::{Arc, MutexGuard, PoisonError};

use proto::limits::COPY_BYTES_MAX;
use proto::message::tenant::{BufferKind, CopyMemory};
use proto::{Bytes, DeviceAddress};
use sys::mapping::Mapping;

use crate::error::ClientError;
use crate::memory::RawBuffer;
use crate::session::{Client, Session};

/// Bytes of the staging buffer.
const STAGING_BYTES: u64 = 1 << 20;

/// The staging buffer, ours alone.
pub struct Staging<'a>(MutexGuard<'a, Option<RawBuffer>>);

impl Staging<'_> {
    /// Returns the memory: a piece of it is copied with [`Client::copy`] to or from [`address`](Self::address).
    pub fn memory(&self) -> Result<&Arc<Mapping>, ClientError> {
        self.0.as_ref().and_then(|buffer| buffer.memory.as_ref()).ok_or(ClientError::NotMapped)
    }

    /// Returns where the device sees it.
    pub fn address(&self) -> u64 {
        self.0.as_ref().map_or(0, RawBuffer::address)
    }
}

impl Client {
    /// Has the device copy memory of the session; ranges do not overlap.
    pub fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<(), ClientError> {
        self.0.copy(to, from, bytes)
    }

    /// Copies bytes of this process to memory of the session that it cannot map.
    pub fn upload(&self, to: u64, from: &[u8]) -> Result<(), ClientError> {
        self.0.upload(to, from)
    }

    /// Copies bytes out of memory of the session that this process cannot map.
    pub fn download(&self, from: u64, into: &mut [u8]) -> Result<(), ClientError> {
        self.0.download(from, into)
    }

    /// Returns the staging buffer, for those whose bytes are in no slice; others wait meanwhile.
    pub fn staging(&self) -> Result<Staging<'_>, ClientError> {
        self.0.staging()
    }
}

impl Session {
    pub(crate) fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<(), ClientError> {
        let mut done = 0;
        while done < bytes {
            let piece = (bytes - done).min(COPY_BYTES_MAX);
            let (to, from) = (to.wrapping_add(done), from.wrapping_add(done));
            let request = CopyMemory { to: DeviceAddress(to), from: DeviceAddress(from), bytes: Bytes(piece) };
            self.command(&request.into())?;
            done += piece;
        }
        Ok(())
    }

    pub(crate) fn staging(&self) -> Result<Staging<'_>, ClientError> {
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        if staging.is_none() {
            *staging = Some(RawBuffer::new(self, BufferKind::Host, STAGING_BYTES)?);
        }
        Ok(Staging(staging))
    }

    pub(crate) fn upload(&self, to: u64, from: &[u8]) -> Result<(), ClientError> {
        let staging = self.staging()?;
        let mut to = to;
        for piece in from.chunks(STAGING_BYTES as usize) {
            staging.memory()?.write(0, piece)?;
            self.copy(to, staging.address(), piece.len() as u64)?;
            to = to.wrapping_add(piece.len() as u64);
        }
        Ok(())
    }

    pub(crate) fn download(&self, from: u64, into: &mut [u8]) -> Result<(), ClientError> {
        let staging = self.staging()?;
        let mut from = from;
        for piece in into.chunks_mut(STAGING_BYTES as usize) {
            self.copy(staging.address(), from, piece.len() as u64)?;
            staging.memory()?.read(0, piece)?;
            from = from.wrapping_add(piece.len() as u64);
        }
        Ok(())
    }
}
