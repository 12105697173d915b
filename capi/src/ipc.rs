//! Memory that processes of one tenant share.
//!
//! Promises:
//! - a handle is good in every session of the tenant on the same device, for as long as the process that made it has the memory; whose it may be is
//!   decided by the broker, so a handle is no secret, and one that was guessed, changed or is out of date is refused;
//! - what is attached is the same memory, at an address of its own, and stays until it is detached, whatever its maker does;
//! - it counts once against the tenant's limit, however many have it;
//! - another tenant gets it only if this process's environment grants it to that one, and the administrator lets it; enforced by the broker with the rights of
//!   the mapping.

use std::ffi::c_void;

use client::ShareId;
use hsa_sys::raw::*;

use crate::agent::devices_of;
use crate::edge::{Answer, In, Opaque, Out};
use crate::export::export;
use crate::memory::{Block, PAGE, Pool, free};
use crate::runtime::{failed, status_with};

/// What a handle is of: its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Memory of a pool, at an address.
    Block = u32::from_le_bytes(*b"WGm1") as isize,
    /// Memory of the virtual-memory interface.
    Memory = u32::from_le_bytes(*b"WGv1") as isize,
    /// A signal.
    Signal = u32::from_le_bytes(*b"WGs1") as isize,
}

/// What a handle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) kind: Kind,
    pub(crate) share: ShareId,
    /// Its bytes, as its maker names them.
    pub(crate) bytes: u64,
    /// The name of the pool it was allocated from.
    pub(crate) pool: u64,
}

impl Handle {
    pub(crate) fn words(self) -> [u32; 8] {
        let (low, high) = (|word: u64| word as u32, |word: u64| (word >> 32) as u32);
        let Handle { kind, share: ShareId(share), bytes, pool } = self;
        [kind as u32, low(pool), low(share), high(share), low(bytes), high(bytes), 0, 0]
    }

    /// Reads a handle of this kind.
    pub(crate) fn read(kind: Kind, words: [u32; 8]) -> Answer<Handle> {
        let wrong = HSA_STATUS_ERROR_INVALID_ARGUMENT;
        let [magic, pool, share_low, share_high, bytes_low, bytes_high, 0, 0] = words else { return Err(wrong) };
        if magic != kind as u32 {
            return Err(wrong);
        }
        let join = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        Ok(Handle {
            kind,
            share: ShareId(join(share_low, share_high)),
            bytes: join(bytes_low, bytes_high),
            pool: pool.into(),
        })
    }
}

/// To whom, besides the tenant itself, handles are good: `NAME:read` or `NAME:write`, several with commas.
const GRANTS: &str = "WAVEGATE_GRANT";

/// Reads a list of grants: names, and whether they may write.
fn granted(list: &str) -> Answer<Vec<(&str, bool)>> {
    let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let mut grants = Vec::new();
    for entry in entries {
        grants.push(match entry.split_once(':') {
            Some((name, "read")) => (name, false),
            Some((name, "write")) => (name, true),
            _ => {
                eprintln!("wavegate: {GRANTS}: {entry:?} is no grant; write NAME:read or NAME:write");
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
        });
    }
    Ok(grants)
}

/// Returns what memory of a size takes, in whole pages.
fn pages(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(PAGE as u64)
}

export! {
    /// Makes a handle of memory that was allocated, by which other processes get it. Only the whole of it has one.
    fn hsa_amd_ipc_memory_create(place: Opaque, size: usize, handle: Out<hsa_amd_ipc_memory_t>) -> hsa_status_t {
        status_with(|runtime| {
            let handle = handle.needed()?;
            let made = runtime.memory.with_block(place.0.addr() as u64, |block| {
                // What was attached belongs to somebody else, and a part has no handle. HIP names less than the pages it has allocated.
                if block.is_imported() || pages(size as u64) != Some(block.buffer.bytes()) {
                    return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
                }
                let share = block.tell()?;
                for (tenant, write) in granted(&std::env::var(GRANTS).unwrap_or_default())? {
                    block.buffer.grant(tenant, write).map_err(|error| {
                        eprintln!("wavegate: memory is not granted to {tenant}: {error}");
                        failed(error)
                    })?;
                }
                Ok(Handle { kind: Kind::Block, share, bytes: size as u64, pool: block.pool.name(runtime) })
            })?;
            handle.put(hsa_amd_ipc_memory_t { handle: made.words() })
        })
    }

    /// Attaches memory of another process of the tenant.
    fn hsa_amd_ipc_memory_attach(
        handle: In<'_, hsa_amd_ipc_memory_t>,
        size: usize,
        count: u32,
        agents: In<'_, hsa_agent_t>,
        place: Out<*mut c_void>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let (place, handle) = (place.needed()?, Handle::read(Kind::Block, handle.get()?.handle)?);
            if pages(size as u64).is_none_or(|bytes| Some(bytes) != pages(handle.bytes)) {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            let devices = devices_of(runtime, &agents.list(count as usize)?)?;
            let pool = Pool::by_name(runtime, handle.pool)?;
            let session = runtime.devices.session(pool.agent().session());
            let buffer = session.import(handle.share, handle.bytes).map_err(failed)?;
            let mut block = Block::imported(buffer, size, pool, handle.share);
            block.show(runtime, &devices)?;
            let address = runtime.memory.add(block);
            place.put(std::ptr::with_exposed_provenance_mut(address as usize))
        })
    }

    /// Lets go of memory that was attached.
    fn hsa_amd_ipc_memory_detach(place: Opaque) -> hsa_status_t {
        status_with(|runtime| {
            let address = place.0.addr() as u64;
            let imported = runtime.memory.with_block(address, |block| Ok(block.is_imported()))?;
            if imported { free(runtime, address) } else { Err(HSA_STATUS_ERROR_INVALID_ARGUMENT) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_and_nonsense_is_refused() {
        assert_eq!(granted(""), Ok(vec![]));
        assert_eq!(granted("blue:read, green:write"), Ok(vec![("blue", false), ("green", true)]));
        for wrong in ["blue", "blue:", "blue:all", "blue:read,green"] {
            assert_eq!(granted(wrong), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT), "{wrong}");
        }
    }

    #[test]
    fn a_handle_says_what_it_was_made_of_and_nothing_else_is_one() {
        let handle =
            Handle { kind: Kind::Block, share: ShareId(0x1234_5678_9abc_def0), bytes: (5 << 32) + 7, pool: 0x21 };
        assert_eq!(Handle::read(Kind::Block, handle.words()), Ok(handle));
        for at in [0, 6, 7] {
            let mut words = handle.words();
            words[at] ^= 1;
            assert_eq!(Handle::read(Kind::Block, words), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT), "word {at}");
        }
        assert!(Handle::read(Kind::Block, [0; 8]).is_err());
        assert!(Handle::read(Kind::Memory, handle.words()).is_err(), "a handle of something else");
    }
}
