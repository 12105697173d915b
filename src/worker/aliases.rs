//! What of a session's memory kernels see a second time, and where.
//!
//! The device keeps the address space; these books say which buffer each mapped part belongs to, so that a buffer that is freed takes its parts
//! along, and that there are not more than a session may have. Where the device chooses addresses an alias is placed as a whole, and goes with the
//! first of its buffers.

use super::objects::No;
use crate::device::{AliasPart, Aliases, DeviceMemory};
use proto::BufferId;
use proto::limits::ALIASES_PER_SESSION_MAX;
use proto::message::DenyCode;
use std::collections::BTreeMap;

/// See the module.
#[derive(Default)]
pub(super) struct AliasBooks {
    /// Length of every open alias by its address.
    open: BTreeMap<u64, u64>,
    /// The buffer that is mapped at an address.
    parts: BTreeMap<u64, BufferId>,
    /// The buffers of aliases that the device placed, by address.
    placed: BTreeMap<u64, Vec<BufferId>>,
}

fn aliases(memory: &dyn DeviceMemory) -> Result<&dyn Aliases, No> {
    let unsupported = || No::because(DenyCode::Unsupported, "this device sees memory at one address only");
    memory.aliases().ok_or_else(unsupported)
}

impl AliasBooks {
    /// Opens an alias.
    pub(super) fn open(&mut self, memory: &dyn DeviceMemory, at: u64, bytes: u64, ask: bool) -> Result<(), No> {
        self.check_room()?;
        if at < super::facts::ARENA_LOWEST {
            return Err(No::because(DenyCode::Address, format!("{at:#x} is below the lowest address of an arena")));
        }
        aliases(memory)?.open(at, bytes, ask)?;
        self.open.insert(at, bytes);
        Ok(())
    }

    fn check_room(&self) -> Result<(), No> {
        if self.open.len() + self.placed.len() >= ALIASES_PER_SESSION_MAX {
            return Err(No::objects("aliases", ALIASES_PER_SESSION_MAX));
        }
        Ok(())
    }

    /// Has the device place an alias of these parts; returns where.
    pub(super) fn place(
        &mut self,
        memory: &dyn DeviceMemory,
        parts: &[AliasPart<'_>],
        buffers: Vec<BufferId>,
    ) -> Result<u64, No> {
        self.check_room()?;
        let at = memory.place_alias(parts)?.address;
        self.placed.insert(at, buffers);
        Ok(at)
    }

    /// Closes an alias and forgets what was mapped in it.
    pub(super) fn close(&mut self, memory: &dyn DeviceMemory, at: u64) -> Result<(), No> {
        if self.placed.remove(&at).is_some() {
            return Ok(memory.free(at)?);
        }
        aliases(memory)?.close(at)?;
        if let Some(bytes) = self.open.remove(&at) {
            self.parts.retain(|place, _| *place < at || *place >= at + bytes);
        }
        Ok(())
    }

    /// Maps a part of a buffer, whose first byte is at `source`: `bytes` from `offset`.
    pub(super) fn map(
        &mut self,
        memory: &dyn DeviceMemory,
        (buffer, source): (BufferId, u64),
        (offset, bytes): (u64, u64),
        at: u64,
        write: bool,
    ) -> Result<(), No> {
        if self.parts.len() >= ALIASES_PER_SESSION_MAX {
            return Err(No::objects("mapped parts of buffers", ALIASES_PER_SESSION_MAX));
        }
        aliases(memory)?.map(at, source, offset, bytes, write)?;
        self.parts.insert(at, buffer);
        Ok(())
    }

    /// Unmaps a part.
    pub(super) fn unmap(&mut self, memory: &dyn DeviceMemory, at: u64) -> Result<(), No> {
        aliases(memory)?.unmap(at)?;
        self.parts.remove(&at);
        Ok(())
    }

    /// Unmaps every part of a buffer.
    pub(super) fn unmap_all(&mut self, memory: &dyn DeviceMemory, buffer: BufferId) {
        self.placed.retain(|at, buffers| {
            let goes = buffers.contains(&buffer);
            if goes {
                // It was placed there for us, and nobody else frees.
                let freed = memory.free(*at);
                debug_assert!(freed.is_ok(), "{freed:?}");
            }
            !goes
        });
        let Ok(aliases) = aliases(memory) else { return };
        self.parts.retain(|at, owner| {
            let goes = *owner == buffer;
            if goes {
                // It was mapped there by us, and nobody else unmaps.
                let unmapped = aliases.unmap(*at);
                debug_assert!(unmapped.is_ok(), "{unmapped:?}");
            }
            !goes
        });
    }
}
