//! Memory that processes of one tenant share.
//!
//! Promises:
//! - a handle is good in every session of the tenant on the same device, for as long as the process that made it has the memory; whose it may be is
//!   decided by the broker, so a handle is no secret, and one that was guessed, changed or is out of date is refused;
//! - what is attached is the same memory, at an address of its own, and stays until it is detached, whatever its maker does;
//! - it counts once against the tenant's limit, however many have it.

use std::ffi::c_void;

use client::ShareId;
use hsa_sys::raw::*;

use crate::agent::agent_of;
use crate::edge::{Answer, In, Opaque, Out};
use crate::export::export;
use crate::memory::{Block, PAGE, Pool, free};
use crate::runtime::{failed, status_with};

/// What every handle begins with.
const MAGIC: u32 = u32::from_le_bytes(*b"WGm1");

/// What a handle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Handle {
    share: ShareId,
    /// Its bytes, as its maker names them.
    bytes: u64,
    /// The pool it was allocated from.
    pool: u64,
}

impl Handle {
    fn words(self) -> [u32; 8] {
        let (low, high) = (|word: u64| word as u32, |word: u64| (word >> 32) as u32);
        let Handle { share: ShareId(share), bytes, pool } = self;
        [MAGIC, low(pool), low(share), high(share), low(bytes), high(bytes), 0, 0]
    }

    fn read(words: [u32; 8]) -> Answer<Handle> {
        let [MAGIC, pool, share_low, share_high, bytes_low, bytes_high, 0, 0] = words else {
            return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
        };
        let join = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        Ok(Handle {
            share: ShareId(join(share_low, share_high)),
            bytes: join(bytes_low, bytes_high),
            pool: pool.into(),
        })
    }
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
                if block.imported || pages(size as u64) != Some(block.buffer.bytes()) {
                    return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
                }
                let share = block.buffer.export().map_err(failed)?;
                Ok(Handle { share, bytes: size as u64, pool: block.pool.handle() })
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
            let (place, handle) = (place.needed()?, Handle::read(handle.get()?.handle)?);
            if pages(size as u64).is_none_or(|bytes| Some(bytes) != pages(handle.bytes)) {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            for agent in agents.list(count as usize)? {
                agent_of(runtime, agent)?;
            }
            let pool = Pool::of(runtime, handle.pool).map_err(|_| HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            let buffer = runtime.client.import(handle.share, handle.bytes).map_err(failed)?;
            let address = runtime.memory.add(Block::imported(buffer, size, pool));
            place.put(std::ptr::with_exposed_provenance_mut(address as usize))
        })
    }

    /// Lets go of memory that was attached.
    fn hsa_amd_ipc_memory_detach(place: Opaque) -> hsa_status_t {
        status_with(|runtime| {
            let address = place.0.addr() as u64;
            let imported = runtime.memory.with_block(address, |block| Ok(block.imported))?;
            if imported { free(runtime, address) } else { Err(HSA_STATUS_ERROR_INVALID_ARGUMENT) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_says_what_it_was_made_of_and_nothing_else_is_one() {
        let handle = Handle { share: ShareId(0x1234_5678_9abc_def0), bytes: (5 << 32) + 7, pool: 0x21 };
        assert_eq!(Handle::read(handle.words()), Ok(handle));
        for at in [0, 6, 7] {
            let mut words = handle.words();
            words[at] ^= 1;
            assert_eq!(Handle::read(words), Err(HSA_STATUS_ERROR_INVALID_ARGUMENT), "word {at}");
        }
        assert!(Handle::read([0; 8]).is_err());
    }
}
