//! Host memory that was locked: the device sees it at an alias address.
//!
//! An alias is addresses of the session's arena with nothing behind them. Copies that name it run in this process on the host's own address
//! ([`Locks::host_address`]), so locking and unlocking cost neither copies nor pages.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{PoisonError, RwLock};

use client::Reserved;
use hsa_sys::raw::*;

use crate::agent::agent_of;
use crate::edge::{Answer, In, Opaque, Out};
use crate::export::export;
use crate::runtime::{Runtime, failed, status_with};

const PAGE: u64 = 4096;

/// One locked range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Locked {
    /// Its address here.
    pub(crate) host: u64,
    /// Its address for kernels.
    pub(crate) alias: u64,
    /// Its length.
    pub(crate) bytes: u64,
}

struct Lock {
    host: u64,
    bytes: u64,
    place: Reserved,
}

impl Lock {
    /// The alias has the pages of the range, so the offset in the first one stays.
    fn locked(&self) -> Locked {
        Locked { host: self.host, alias: self.place.address() + self.host % PAGE, bytes: self.bytes }
    }
}

/// All locked ranges, by the first page of their alias. A range may be locked several times.
#[derive(Default)]
pub(crate) struct Locks(RwLock<BTreeMap<u64, Lock>>);

impl Locks {
    fn add(&self, runtime: &Runtime, host: u64, bytes: u64) -> Answer<u64> {
        let pages = (host % PAGE + bytes).next_multiple_of(PAGE);
        let place = runtime.client.reserve(pages, PAGE).map_err(failed)?;
        let (first, lock) = (place.address(), Lock { host, bytes, place });
        let alias = lock.locked().alias;
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(first, lock);
        Ok(alias)
    }

    /// Takes a range out that begins at `host`; the one locked last if there are several.
    fn remove(&self, host: u64) -> Option<Lock> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let first = all.iter().rev().find(|(_, lock)| lock.host == host).map(|(first, _)| *first)?;
        all.remove(&first)
    }

    /// Returns the host's own address for `bytes` at an address in an alias, if all of them belong to it.
    pub(crate) fn host_address(&self, address: u64, bytes: u64) -> Option<u64> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let locked = all.range(..=address).next_back()?.1.locked();
        let offset = address.checked_sub(locked.alias)?;
        (offset < locked.bytes && bytes <= locked.bytes - offset).then_some(locked.host + offset)
    }

    /// Returns the range that an address belongs to, be it the host's or the alias.
    pub(crate) fn find(&self, address: u64) -> Option<Locked> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let within = |start: u64, bytes: u64| address.checked_sub(start).is_some_and(|offset| offset < bytes);
        let mut ranges = all.values().map(Lock::locked);
        ranges.find(|locked| within(locked.alias, locked.bytes) || within(locked.host, locked.bytes))
    }
}

fn lock(
    runtime: &Runtime,
    host: Opaque,
    bytes: usize,
    agents: In<'_, hsa_agent_t>,
    count: i32,
    place: Out<*mut c_void>,
) -> Answer {
    let place = place.needed()?;
    for agent in agents.list(usize::try_from(count).unwrap_or(0))? {
        agent_of(runtime, agent)?;
    }
    let address = host.0.addr() as u64;
    if address == 0 || bytes == 0 || address.checked_add(bytes as u64).is_none() {
        return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
    }
    // Ours already: the device sees it as it is.
    if runtime.memory.has(address) {
        return place.put(host.0);
    }
    let alias = runtime.memory.locks.add(runtime, address, bytes as u64)?;
    place.put(std::ptr::with_exposed_provenance_mut(alias as usize))
}

export! {
    /// Lets the device see host memory; returns where.
    fn hsa_amd_memory_lock(
        host: Opaque,
        size: usize,
        agents: In<'_, hsa_agent_t>,
        count: i32,
        place: Out<*mut c_void>,
    ) -> hsa_status_t {
        status_with(|runtime| lock(runtime, host, size, agents, count, place))
    }

    /// As [`hsa_amd_memory_lock`]. All host memory is as coherent as it gets, whichever pool it is locked to.
    fn hsa_amd_memory_lock_to_pool(
        host: Opaque,
        size: usize,
        agents: In<'_, hsa_agent_t>,
        count: i32,
        _pool: hsa_amd_memory_pool_t,
        _flags: u32,
        place: Out<*mut c_void>,
    ) -> hsa_status_t {
        status_with(|runtime| lock(runtime, host, size, agents, count, place))
    }

    /// Takes host memory away from the device. What was never locked is nobody's.
    fn hsa_amd_memory_unlock(host: Opaque) -> hsa_status_t {
        status_with(|runtime| {
            drop(runtime.memory.locks.remove(host.0.addr() as u64));
            Ok(())
        })
    }
}
