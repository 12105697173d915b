//! Host memory that was locked: devices see it at an alias address, all of them at the same one.
//!
//! An alias is addresses of the session's arena with nothing behind them. Copies that name it run in this process on the host's own address
//! ([`Locks::host_address`]), so locking costs a message and unlocking another, and neither costs copies or pages.
//!
//! **When a kernel touches an alias** it waits, and the worker asks for the address. The pages around it, at most [`WINDOW`] bytes, are then
//! *shared*: copied into an object of the session, which is mapped over them and in the alias. From then on program and kernels work on the same
//! bytes without a copy. When the last lock on shared pages goes, they become private again with what they held.
//!
//! **Where the device chooses addresses** it does not wait for pages that a kernel touches. Then a lock makes the objects at once, the device shows
//! them where it finds room, and the program's pages are shared when it next claims a place in a queue for a packet ([`share_waiting`]). What is
//! locked for a copy and unlocked again is never shared.
//!
//! What cannot be had:
//! - pages are shared and made private whole. What another thread of the program stores into them in that moment, between the copy and the
//!   mapping, is lost; kernels and the thread that waits for them are not concerned. A program that registers whole pages has only itself to
//!   watch;
//! - shared pages stay shared with children that fork while they are;
//! - memory that the program unmaps before it unlocks it is left alone, whatever lies there by then.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use client::{Alias, BufferKind, PlacedAlias, Reservation};
use hsa_sys::raw::*;

use crate::agent::devices_of;
use crate::devices::{Objects, unless_over};
use crate::edge::{Answer, In, Opaque, Out};
use crate::export::export;
use crate::maps::{self, Holds};
use crate::runtime::{Runtime, failed, status_with, with};

const PAGE: u64 = 4096;
/// Most bytes that become shared at once: a kernel waits for about as many milliseconds as these are MiB.
const WINDOW: u64 = 4 << 20;

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

/// Where kernels see a locked range.
enum Seen {
    /// In our arena, by every device whose session is not over, at the same addresses; devices ask for pages.
    Ours(Vec<(usize, Alias)>, Arc<Reservation>),
    /// Where the device chose.
    Placed(PlacedAlias),
}

impl Seen {
    fn address(&self) -> u64 {
        match self {
            Seen::Ours(_, range) => range.address(),
            Seen::Placed(alias) => alias.address(),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Seen::Ours(_, range) => range.bytes(),
            Seen::Placed(alias) => alias.bytes(),
        }
    }
}

struct Lock {
    host: u64,
    bytes: u64,
    alias: Seen,
}

impl Lock {
    /// The alias has the pages of the range, so the offset in the first one stays.
    fn locked(&self) -> Locked {
        Locked { host: self.host, alias: self.alias.address() + self.host % PAGE, bytes: self.bytes }
    }

    /// Returns the pages of the range: first address and the one behind the last.
    fn pages(&self) -> (u64, u64) {
        let first = self.host - self.host % PAGE;
        (first, first + self.alias.bytes())
    }
}

/// Pages of the program's that are shared with kernels.
struct Shared {
    bytes: u64,
    objects: Objects,
    file: maps::File,
    /// They are not yet: the object is empty, and the pages are the program's.
    waits: bool,
}

impl Shared {
    fn new(runtime: &Runtime, bytes: u64) -> Answer<Shared> {
        let object = runtime.client.object(BufferKind::Host, bytes).map_err(failed)?;
        let file = maps::File::of(object.as_fd()).ok_or(HSA_STATUS_ERROR_INVALID_ALLOCATION)?;
        Ok(Shared { bytes, objects: Objects::new(0, object, None), file, waits: true })
    }

    /// Shares the pages at an address. Returns whether they are.
    fn share(&mut self, at: u64) -> bool {
        self.waits = self.waits && !maps::replace(at, self.bytes, self.objects.made().as_fd().as_raw_fd());
        !self.waits
    }
}

/// Whether any pages wait to be shared: asked for every packet.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Shares the pages that wait for it: the program is about to submit a packet.
pub(crate) fn share_waiting() {
    if WAITING.load(Ordering::Relaxed) {
        // Without a session there is nothing to share.
        let _ = with(|runtime| {
            runtime.memory.locks.share_waiting();
            Ok(())
        });
    }
}

#[derive(Default)]
struct Books {
    /// By the first page of the alias. A range may be locked several times.
    locks: BTreeMap<u64, Lock>,
    /// By the first page of the program's.
    shared: BTreeMap<u64, Shared>,
    /// Objects whose pages the program has partly given to something else: they stay as they are.
    lost: Vec<Objects>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Locks(RwLock<Books>);

impl Locks {
    fn books(&self) -> RwLockReadGuard<'_, Books> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn books_mut(&self) -> RwLockWriteGuard<'_, Books> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, runtime: &Arc<Runtime>, host: u64, bytes: u64) -> Answer<u64> {
        if runtime.client.device_chooses_addresses() {
            return self.place(runtime, host, bytes);
        }
        let pages = (host % PAGE + bytes).next_multiple_of(PAGE);
        answer_touches(runtime);
        let range = Arc::new(runtime.client.reserve(pages, PAGE).map_err(failed)?);
        let mut aliases = Vec::new();
        for (device, session) in runtime.devices.iter() {
            let alias = unless_over(session.alias(Arc::clone(&range), true))?;
            aliases.extend(alias.map(|alias| (device, alias)));
        }
        let (first, lock) = (range.address(), Lock { host, bytes, alias: Seen::Ours(aliases, range) });
        let address = lock.locked().alias;
        self.books_mut().locks.insert(first, lock);
        Ok(address)
    }

    /// Locks a range where the device chooses addresses: objects for those of its pages that have none, all of them shown in a row.
    fn place(&self, runtime: &Runtime, host: u64, bytes: u64) -> Answer<u64> {
        let mut books = self.books_mut();
        let Books { locks, shared, .. } = &mut *books;
        let first = host - host % PAGE;
        let end = (host + bytes).next_multiple_of(PAGE);
        let fresh = gaps((first, end), shared.iter().map(|(at, s)| (*at, *at + s.bytes)));
        let placed = (|| {
            for (from, to) in &fresh {
                shared.insert(*from, Shared::new(runtime, to - from)?);
            }
            let parts: Vec<_> = shared
                .range(..end)
                .filter(|(at, s)| **at + s.bytes > first)
                .map(|(at, s)| {
                    let (from, to) = ((*at).max(first), (*at + s.bytes).min(end));
                    (s.objects.made(), from - at, to - from)
                })
                .collect();
            runtime.client.place_alias(&parts).map_err(failed)
        })();
        let alias = placed.inspect_err(|_| fresh.iter().for_each(|(from, _)| drop(shared.remove(from))))?;
        let (first, lock) = (alias.address(), Lock { host, bytes, alias: Seen::Placed(alias) });
        let address = lock.locked().alias;
        locks.insert(first, lock);
        WAITING.store(true, Ordering::Relaxed);
        Ok(address)
    }

    fn share_waiting(&self) {
        let mut books = self.books_mut();
        WAITING.store(false, Ordering::Relaxed);
        for (at, shared) in books.shared.iter_mut().filter(|(_, shared)| shared.waits) {
            if !shared.share(*at) {
                let end = at + shared.bytes;
                eprintln!(
                    "wavegate: the pages {at:#x} to {end:#x} are locked but cannot be read; kernels see zeros there"
                );
            }
        }
    }

    /// Takes a range out that begins at `host`, the one locked last if there are several, and makes pages private that nobody else has locked.
    fn remove(&self, host: u64) {
        let mut books = self.books_mut();
        let first = books.locks.iter().rev().find(|(_, lock)| lock.host == host).map(|(first, _)| *first);
        let Some(lock) = first.and_then(|first| books.locks.remove(&first)) else { return };
        let (from, to) = lock.pages();
        // The device lets go of it first.
        drop(lock);
        let Books { locks, shared, lost } = &mut *books;
        let touched: Vec<u64> = shared.range(..to).filter(|(at, s)| **at + s.bytes > from).map(|(at, _)| *at).collect();
        for at in touched {
            let end = at + shared[&at].bytes;
            let wanted = locks.values().any(|lock| lock.pages().0 < end && at < lock.pages().1);
            if !wanted && let Some(gone) = shared.remove(&at).filter(|gone| !gone.waits) {
                match maps::holds(at, gone.bytes, gone.file) {
                    Holds::All if maps::make_private(at, gone.bytes) => {}
                    Holds::Nothing => {}
                    Holds::All | Holds::Some => lost.push(gone.objects),
                }
            }
        }
    }

    /// Returns the host's own address for `bytes` at an address in an alias, if all of them belong to it.
    pub(crate) fn host_address(&self, address: u64, bytes: u64) -> Option<u64> {
        let books = self.books();
        let locked = books.locks.range(..=address).next_back()?.1.locked();
        let offset = address.checked_sub(locked.alias)?;
        (offset < locked.bytes && bytes <= locked.bytes - offset).then_some(locked.host + offset)
    }

    /// Whether an address lies in the pages of an alias: then it is nobody else's.
    pub(crate) fn covers(&self, address: u64) -> bool {
        let books = self.books();
        let below = books.locks.range(..=address).next_back();
        below.is_some_and(|(first, lock)| address - first < lock.alias.bytes())
    }

    /// Returns the range that an address belongs to, be it the host's or the alias.
    pub(crate) fn find(&self, address: u64) -> Option<Locked> {
        let books = self.books();
        let within = |start: u64, bytes: u64| address.checked_sub(start).is_some_and(|offset| offset < bytes);
        let mut ranges = books.locks.values().map(Lock::locked);
        ranges.find(|locked| within(locked.alias, locked.bytes) || within(locked.host, locked.bytes))
    }

    /// Brings memory to an address of an alias that a kernel of a device has touched.
    fn supply(&self, runtime: &Runtime, device: usize, address: u64) -> Answer {
        let mut books = self.books_mut();
        let Books { locks, shared, .. } = &mut *books;
        let missing = HSA_STATUS_ERROR_INVALID_ALLOCATION;
        let lock = locks.range(..=address).next_back().map(|(_, lock)| lock).ok_or(missing)?;
        let offset = address - lock.alias.address();
        if offset >= lock.alias.bytes() {
            return Err(missing);
        }
        let (first, end) = lock.pages();
        let page = first + offset;
        let place = match shared.range(..=page).next_back().filter(|(at, s)| *at + s.bytes > page) {
            Some((at, _)) => *at,
            None => {
                let (from, to) = window(page, (first, end), shared.iter().map(|(at, s)| (*at, *at + s.bytes)));
                shared.insert(from, share(runtime, from, to - from)?);
                from
            }
        };
        let part = shared.get_mut(&place).ok_or(missing)?;
        let (from, to) = (place.max(first), (place + part.bytes).min(end));
        // Devices that choose addresses do not ask.
        let Seen::Ours(aliases, _) = &lock.alias else { return Err(missing) };
        let (_, alias) = aliases.iter().find(|(of, _)| *of == device).ok_or(missing)?;
        let object = part.objects.of(&runtime.devices, device)?;
        alias.map(object, from - place, to - from, alias.address() + (from - first), true).map_err(failed)
    }
}

/// Returns the pages to share when one is touched: a window around it, inside the locked ones, up to those that are shared already.
fn window(page: u64, locked: (u64, u64), shared: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    let start = page - page % WINDOW;
    let (mut from, mut to) = (start.max(locked.0), (start + WINDOW).min(locked.1));
    for (first, end) in shared {
        if end <= page {
            from = from.max(end);
        } else {
            to = to.min(first);
        }
    }
    (from, to)
}

/// Returns the pages of a range that are in none of some others, which are in order and do not overlap.
fn gaps(range: (u64, u64), taken: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let (mut from, end) = range;
    let mut gaps = Vec::new();
    for (first, last) in taken.filter(|(first, last)| *last > range.0 && *first < end) {
        if first > from {
            gaps.push((from, first));
        }
        from = from.max(last);
    }
    if from < end {
        gaps.push((from, end));
    }
    gaps
}

/// Shares pages of the program's.
fn share(runtime: &Runtime, at: u64, bytes: u64) -> Answer<Shared> {
    let mut shared = Shared::new(runtime, bytes)?;
    if shared.share(at) { Ok(shared) } else { Err(HSA_STATUS_ERROR_INVALID_ALLOCATION) }
}

/// Has touches answered from now on, each on a thread of its own: they are rare, and nobody else may have to wait for them.
fn answer_touches(runtime: &Arc<Runtime>) {
    for (device, session) in runtime.devices.iter() {
        let weak = Arc::downgrade(runtime);
        session.on_touch(move |address| {
            let Some(runtime) = weak.upgrade() else { return };
            // The thread that calls has all signals blocked, and its children inherit that.
            let named = std::thread::Builder::new().name("wavegate-pages".to_owned());
            let _ = named.spawn(move || {
                if runtime.memory.locks.supply(&runtime, device, address).is_err() {
                    // If this is not heard either, the kernel has its fault a little later.
                    let _ = runtime.devices.session(device).refuse_touch(address);
                }
            });
        });
    }
}

fn lock(
    runtime: &Arc<Runtime>,
    host: Opaque,
    bytes: usize,
    agents: In<'_, hsa_agent_t>,
    count: i32,
    place: Out<*mut c_void>,
) -> Answer {
    let place = place.needed()?;
    devices_of(runtime, &agents.list(usize::try_from(count).unwrap_or(0))?)?;
    let address = host.0.addr() as u64;
    if address == 0 || bytes == 0 || address.checked_add(bytes as u64).is_none() {
        return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
    }
    // Ours already: the device sees it as it is.
    if runtime.memory.has(address) || runtime.places.reach(address, 1, false) {
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
            runtime.memory.locks.remove(host.0.addr() as u64);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn gaps_are_what_nobody_has() {
        let of = |taken: &[(u64, u64)]| gaps((10, 20), taken.iter().copied());
        assert_eq!(of(&[]), [(10, 20)]);
        assert_eq!(of(&[(0, 10), (20, 30)]), [(10, 20)]);
        assert_eq!(of(&[(0, 12), (14, 15), (19, 40)]), [(12, 14), (15, 19)]);
        assert_eq!(of(&[(5, 25)]), []);
        assert_eq!(of(&[(10, 12), (12, 20)]), []);
    }

    #[test]
    fn a_window_stays_inside_what_is_locked_and_beside_what_is_shared() {
        let locked = (10 * MIB, 21 * MIB);
        let at = |page, shared: &[(u64, u64)]| window(page, locked, shared.iter().copied());
        assert_eq!(at(13 * MIB, &[]), (12 * MIB, 16 * MIB));
        assert_eq!(at(10 * MIB, &[]), (10 * MIB, 12 * MIB));
        assert_eq!(at(20 * MIB, &[]), (20 * MIB, 21 * MIB));
        let shared = [(9 * MIB, 13 * MIB), (14 * MIB, 15 * MIB)];
        assert_eq!(at(13 * MIB + PAGE, &shared), (13 * MIB, 14 * MIB));
        assert_eq!(at(15 * MIB, &shared), (15 * MIB, 16 * MIB));
    }
}
