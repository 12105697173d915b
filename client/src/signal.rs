//! Signals: 64-bit values that packets decrement and threads wait for.
//!
//! They live in pools: one buffer holds many, so that making one costs no message. A dropped signal's place is used again, so
//! no packet in flight may name it by then.
//!
//! [`Signal`] owns its place. Who has to hand signals out as bare addresses ([`Signal::into_address`]) finds them again with
//! [`Client::signal_at`]; that takes no lock. Every change, by the worker or by this process, rings the signal's own wake word and then the
//! session's ([`Client::changes`]), so one thread can wait for any number of signals.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use proto::limits::SIGNAL_POOLS_PER_SESSION_MAX;
use proto::message::tenant::BufferKind;
use proto::signal::{AmdSignal, PoolLayout, SIGNAL_BYTES, SignalField};
use proto::wake::RECHECK;
use proto::{Bytes, ShareId};
use sys::clock::{Deadline, now_ns};
use sys::mapping::Mapping;
use sys::wake::{self, Looks, Patience};
use zerocopy::IntoBytes;

use crate::connection::Sleepers;
use crate::error::{ClientError, WaitError};
use crate::memory::RawBuffer;
use crate::queue::Queue;
use crate::session::{Client, Session};

/// Signals of a session's first pool: five pages. HIP makes about 60.
const FIRST_POOL_SIGNALS: u32 = 256;
/// Signals of every further one: who needs many needs very many.
const POOL_SIGNALS: u32 = proto::limits::SIGNALS_PER_POOL_MAX;

/// What a signal's value is compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It equals.
    Equal,
    /// It differs.
    NotEqual,
    /// It is less.
    Less,
    /// It is not less.
    GreaterOrEqual,
}

impl Condition {
    /// Whether a value satisfies the condition.
    pub fn holds(self, value: i64, than: i64) -> bool {
        match self {
            Self::Equal => value == than,
            Self::NotEqual => value != than,
            Self::Less => value < than,
            Self::GreaterOrEqual => value >= than,
        }
    }
}

/// A buffer full of signals.
pub(crate) struct Pool {
    pub(crate) buffer: RawBuffer,
    pub(crate) memory: Arc<Mapping>,
    pub(crate) layout: PoolLayout,
    pub(crate) origin: Origin,
    /// As the session's companions see it.
    _mirrors: Vec<RawBuffer>,
    free: Mutex<Vec<u32>>,
}

/// Whose the signals of a pool are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This session's alone.
    Own,
    /// This session's, for other sessions too.
    Shared,
    /// Another session's.
    Imported(ShareId),
}

/// The pools of a session. They only become more, so that whoever looks one up needs no lock.
pub(crate) struct Pools {
    /// Held while a pool is made, so that threads that need one at the same time make one together.
    making: Mutex<()>,
    list: [OnceLock<Arc<Pool>>; SIGNAL_POOLS_PER_SESSION_MAX],
}

impl Default for Pools {
    fn default() -> Self {
        Self { making: Mutex::default(), list: [const { OnceLock::new() }; SIGNAL_POOLS_PER_SESSION_MAX] }
    }
}

impl Pools {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Pool>> {
        self.list.iter().map_while(OnceLock::get)
    }

    fn take_place(&self, origin: Origin) -> Option<(Arc<Pool>, u32)> {
        let pools = self.iter().filter(|pool| pool.origin == origin);
        pools.into_iter().find_map(|pool| Some((Arc::clone(pool), pool.free().pop()?)))
    }

    /// Held while a pool is added.
    pub(crate) fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One signal. Its place is given back when dropped.
pub struct Signal {
    pool: Arc<Pool>,
    index: u32,
    session: Arc<Session>,
}

/// A signal that somebody else owns.
#[derive(Clone, Copy)]
pub struct SignalRef<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) index: u32,
    pub(crate) session: &'a Session,
}

impl Client {
    /// Makes a signal with a value. A packet's completion subtracts one, so 1 is the usual start.
    pub fn signal(&self, value: i64) -> Result<Signal, ClientError> {
        self.signal_of(Origin::Own, value)
    }

    pub(crate) fn signal_of(&self, origin: Origin, value: i64) -> Result<Signal, ClientError> {
        let (pool, index) = self.0.signal_place(origin)?;
        let signal = Signal { pool, index, session: Arc::clone(&self.0) };
        let pool = &signal.pool;
        // The mailbox is what device code writes before it interrupts, when it changes the value itself. Kernels of other sessions would look for it
        // where it is not.
        let mailbox = pool.layout.mailbox(index).filter(|_| origin == Origin::Own);
        let mailbox = mailbox.map_or(0, |at| pool.buffer.address() + at as u64);
        let fresh =
            AmdSignal { event_mailbox_ptr: mailbox, event_id: PoolLayout::event_id(index), ..AmdSignal::new(value) };
        pool.memory.write(signal.as_ref().at(), fresh.as_bytes())?;
        Ok(signal)
    }

    /// Returns the signal at an address, or `None` if none of this session begins there. Takes no lock.
    ///
    /// Whether it is alive nobody knows: a place whose signal was dropped is found too.
    pub fn signal_at(&self, address: u64) -> Option<SignalRef<'_>> {
        self.0.pools.iter().find_map(|pool| {
            let index = pool.layout.index_at(address.checked_sub(pool.buffer.address())?)?;
            Some(SignalRef { pool, index, session: &self.0 })
        })
    }

    /// Gives back the signal that [`Signal::into_address`] made an address of. Returns whether there can have been one.
    ///
    /// The caller promises to do it once, and that nobody uses the address any more.
    pub fn drop_signal(&self, address: u64) -> bool {
        let Some(signal) = self.signal_at(address) else { return false };
        // What another session has made is its to use again.
        if !matches!(signal.pool.origin, Origin::Imported(_)) {
            signal.pool.free().push(signal.index);
        }
        true
    }

    /// Makes the worker look at rings and signals: for those who have changed them in memory.
    pub fn ring_worker(&self) -> Result<(), ClientError> {
        Ok(self.0.ring_worker()?)
    }

    /// Waits until `done` has an answer or the deadline passes. It is asked again whenever any signal of the session has changed, or the
    /// session has ended, and at least every 100 ms.
    pub fn changes<T>(&self, deadline: Deadline, done: impl FnMut() -> Option<T>) -> Result<Option<T>, ClientError> {
        // Whoever waits for anything at all is in no hurry: it sleeps at once.
        let patience = Patience { spin_ns: 0, recheck_ns: RECHECK.0, looks: Looks::Even };
        let others = self.0.companions().iter().map(|companion| event_word(&companion.page));
        let words: Vec<&AtomicU32> = std::iter::once(self.0.event_word()).chain(others).collect();
        Ok(wake::wait_any(&words, patience, deadline, done)?)
    }

    /// Wakes whoever waits in [`changes`](Self::changes).
    pub fn stir(&self) -> Result<(), ClientError> {
        Ok(wake::ring(self.0.event_word())?)
    }

    /// Returns a number that changes whenever a queue stops or the session ends: one load, for those who spin.
    pub fn news(&self) -> u32 {
        self.0.connection.news()
    }
}

impl Session {
    fn signal_place(&self, origin: Origin) -> Result<(Arc<Pool>, u32), ClientError> {
        if let Some(found) = self.pools.take_place(origin) {
            return Ok(found);
        }
        let making = self.pools.making();
        if let Some(found) = self.pools.take_place(origin) {
            return Ok(found);
        }
        let made = self.pools.iter().filter(|pool| pool.origin == origin).count();
        let signals = if made == 0 { FIRST_POOL_SIGNALS } else { POOL_SIGNALS };
        let bytes = PoolLayout::bytes_for(signals).0;
        let pool = self.add_pool(&making, origin, || RawBuffer::new(self, BufferKind::Signals, bytes))?;
        // Threads that have waited for the lock have not seen it yet.
        let index = pool.free().pop().ok_or(ClientError::NotMapped)?;
        Ok((pool, index))
    }

    /// Adds the pool that `make` gets the memory of. The lock is [`Pools::making`]'s.
    pub(crate) fn add_pool(
        &self,
        _making: &MutexGuard<'_, ()>,
        origin: Origin,
        make: impl FnOnce() -> Result<RawBuffer, ClientError>,
    ) -> Result<Arc<Pool>, ClientError> {
        let made = self.pools.iter().count();
        let Some(slot) = self.pools.list.get(made) else {
            let (what, value) = ("the number of signals", u64::from(POOL_SIGNALS) * made as u64 + 1);
            return Err(ClientError::Argument { what, value, next: "drop signals that are not needed any more" });
        };
        let buffer = make()?;
        let memory = Arc::clone(buffer.memory.as_ref().ok_or(ClientError::NotMapped)?);
        let layout = PoolLayout::of(Bytes(memory.len() as u64)).ok_or(ClientError::NotMapped)?;
        let mirrors = self.show_companions(&buffer, origin)?;
        self.connection.register(Sleepers::Pool(Arc::downgrade(&memory)));
        let free = match origin {
            Origin::Imported(_) => Vec::new(),
            Origin::Own | Origin::Shared => (0..layout.capacity()).rev().collect(),
        };
        let pool = Arc::new(Pool { buffer, memory, layout, origin, _mirrors: mirrors, free: Mutex::new(free) });
        // Nobody else fills slots while we hold the lock.
        Ok(Arc::clone(slot.get_or_init(|| pool)))
    }

    /// The word that every change of a signal rings.
    fn event_word(&self) -> &AtomicU32 {
        event_word(&self.page)
    }
}

fn event_word(page: &Mapping) -> &AtomicU32 {
    // PANIC: inside the page, aligned to 4.
    page.atomic_u32(proto::session::EVENT_WAKE).expect("inside the page")
}

impl Pool {
    fn free(&self) -> MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signal {
    /// Returns the same signal, borrowed.
    pub fn as_ref(&self) -> SignalRef<'_> {
        SignalRef { pool: &self.pool, index: self.index, session: &self.session }
    }

    /// Returns the signal's address: what a packet names it by.
    pub fn address(&self) -> u64 {
        self.as_ref().address()
    }

    /// Gives up ownership: the address stands for the signal until [`Client::drop_signal`].
    #[must_use]
    pub fn into_address(self) -> u64 {
        let address = self.address();
        // The place stays taken; only the handles that kept pool and session alive go.
        let mut signal = self;
        signal.index = u32::MAX;
        address
    }

    /// See [`SignalRef::load`].
    pub fn load(&self) -> i64 {
        self.as_ref().load()
    }

    /// See [`SignalRef::store`].
    pub fn store(&self, value: i64) -> Result<(), ClientError> {
        self.as_ref().store(value)
    }

    /// See [`SignalRef::subtract`].
    pub fn subtract(&self, value: i64) -> Result<i64, ClientError> {
        self.as_ref().subtract(value)
    }

    /// See [`SignalRef::times`].
    pub fn times(&self) -> (u64, u64) {
        self.as_ref().times()
    }

    /// See [`SignalRef::wait`].
    pub fn wait(&self, condition: Condition, than: i64, deadline: Deadline) -> Result<i64, WaitError> {
        self.as_ref().wait(condition, than, deadline)
    }
}

impl<'a> SignalRef<'a> {
    fn at(self) -> usize {
        self.index as usize * SIGNAL_BYTES
    }

    /// Returns the signal's address: what a packet names it by.
    pub fn address(self) -> u64 {
        self.pool.buffer.address() + self.at() as u64
    }

    /// Returns the value as it lies in shared memory. After a change call [`changed`](Self::changed).
    pub fn word(self) -> &'a AtomicU64 {
        // PANIC: the pool's layout has the index, and signals are aligned to 64.
        self.pool.memory.atomic_u64(self.at() + SignalField::VALUE).expect("a signal lies inside its pool")
    }

    fn wake_word(self) -> &'a AtomicU32 {
        // PANIC: as above; wake words are aligned to 4.
        let place = self.pool.layout.wake(self.index);
        place.and_then(|at| self.pool.memory.atomic_u32(at)).expect("a wake word per signal")
    }

    /// Wakes whoever waits for this signal, or for any, and makes the worker look at packets that depend on it.
    pub fn changed(self) -> Result<(), ClientError> {
        wake::ring(self.wake_word())?;
        wake::ring(self.session.event_word())?;
        self.session.ring_companions()?;
        Ok(self.session.ring_worker()?)
    }

    /// Returns the value; what happened before its last change is visible.
    pub fn load(self) -> i64 {
        self.word().load(Ordering::Acquire).cast_signed()
    }

    /// Changes the value and wakes whoever waits for it.
    pub fn store(self, value: i64) -> Result<(), ClientError> {
        self.word().store(value.cast_unsigned(), Ordering::Release);
        self.changed()
    }

    /// Subtracts from the value, wakes whoever waits for it, and returns the old value.
    pub fn subtract(self, value: i64) -> Result<i64, ClientError> {
        let old = self.word().fetch_sub(value.cast_unsigned(), Ordering::AcqRel).cast_signed();
        self.changed()?;
        Ok(old)
    }

    /// Returns when the packet that completed this signal began and ended, in nanoseconds of CLOCK_MONOTONIC; zeroes before.
    pub fn times(self) -> (u64, u64) {
        let load = |field| self.pool.memory.load_u64(self.at() + field).unwrap_or(0);
        (load(SignalField::START), load(SignalField::END))
    }

    /// Says when the work that will complete this signal began and ended: for copies, which this process does itself.
    pub fn set_times(self, began: u64, ended: u64) {
        for (field, at) in [(SignalField::START, began), (SignalField::END, ended)] {
            // Inside the pool, as every field of the signal is.
            let _ = self.pool.memory.store_u64(self.at() + field, at);
        }
    }

    /// Waits until the value satisfies a condition, and returns it.
    ///
    /// A packet of a queue that stopped never completes its signal; [`Queue::wait`] notices that too.
    pub fn wait(self, condition: Condition, than: i64, deadline: Deadline) -> Result<i64, WaitError> {
        self.wait_unless(condition, than, deadline, || Ok(()))
    }

    /// As [`wait`](Self::wait), and gives up with what `hopeless` answers. It is asked when a queue has stopped or the session has ended.
    pub fn wait_unless(
        self,
        condition: Condition,
        than: i64,
        deadline: Deadline,
        hopeless: impl Fn() -> Result<(), WaitError>,
    ) -> Result<i64, WaitError> {
        let connection = &self.session.connection;
        // Anything that happened before counts, so the first look is at all of it.
        let mut known = connection.news().wrapping_sub(1);
        let begun = now_ns();
        let answer = wake::wait([self.wake_word()], connection.patience(), deadline, || {
            let value = self.load();
            if condition.holds(value, than) {
                return Some(Ok(value));
            }
            let news = connection.news();
            if news == known {
                return None;
            }
            known = news;
            let ended = || self.session.first_end().map(|end| WaitError::Ended(end.clone()));
            // A value that came together with the news counts: what completed, completed.
            let error = hopeless().err().or_else(ended)?;
            let value = self.load();
            Some(if condition.holds(value, than) { Ok(value) } else { Err(error) })
        })?;
        connection.waited(now_ns() - begun);
        answer.unwrap_or_else(|| Err(WaitError::TimedOut { value: self.load() }))
    }
}

impl Queue {
    /// Waits until a signal is zero or less, as it is when the one packet it was made for has completed, or this queue stopped.
    pub fn wait(&self, signal: &Signal, deadline: Deadline) -> Result<(), WaitError> {
        let stopped = || self.fault().map_or(Ok(()), |fault| Err(WaitError::Fault(Box::new(fault))));
        signal.as_ref().wait_unless(Condition::Less, 1, deadline, stopped).map(drop)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        // No index: the signal lives on as an address.
        if self.index != u32::MAX {
            self.pool.free().push(self.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare_signed_values() {
        for (condition, holds) in [
            (Condition::Equal, [false, true, false]),
            (Condition::NotEqual, [true, false, true]),
            (Condition::Less, [true, false, false]),
            (Condition::GreaterOrEqual, [false, true, true]),
        ] {
            assert_eq!([-1, 0, 1].map(|value| condition.holds(value, 0)), holds, "{condition:?}");
        }
    }
}
