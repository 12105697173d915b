//! Signals: 64-bit values that packets decrement and threads wait for.
//!
//! They live in pools: one buffer holds many, so that making one costs no message. A dropped signal's place is used again, so
//! no packet in flight may name it by then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proto::Bytes;
use proto::limits::SIGNAL_POOLS_PER_SESSION_MAX;
use proto::message::tenant::BufferKind;
use proto::signal::{AmdSignal, PoolLayout, SIGNAL_BYTES, SignalField};
use sys::clock::{Deadline, now_ns};
use sys::mapping::Mapping;
use sys::wake;
use zerocopy::IntoBytes;

use crate::connection::Sleepers;
use crate::error::{ClientError, WaitError};
use crate::memory::RawBuffer;
use crate::queue::Queue;
use crate::session::{Client, Session};

/// Signals of one pool: five pages. HIP makes about 60.
const POOL_SIGNALS: u32 = 256;

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
    fn holds(self, value: i64, than: i64) -> bool {
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
    buffer: RawBuffer,
    memory: Arc<Mapping>,
    layout: PoolLayout,
    free: Mutex<Vec<u32>>,
}

/// One signal. Its place is given back when dropped.
pub struct Signal {
    pool: Arc<Pool>,
    index: u32,
    session: Arc<Session>,
}

impl Client {
    /// Makes a signal with a value. A packet's completion subtracts one, so 1 is the usual start.
    pub fn signal(&self, value: i64) -> Result<Signal, ClientError> {
        let (pool, index) = self.0.signal_place()?;
        let signal = Signal { pool, index, session: Arc::clone(&self.0) };
        signal.pool.memory.write(signal.at(), AmdSignal::new(value).as_bytes())?;
        Ok(signal)
    }
}

impl Session {
    fn signal_place(&self) -> Result<(Arc<Pool>, u32), ClientError> {
        // Held while a pool is made, so that threads that need one at the same time make one together.
        let mut pools = self.pools();
        if let Some(found) = pools.iter().find_map(|pool| Some((Arc::clone(pool), pool.free().pop()?))) {
            return Ok(found);
        }
        if pools.len() >= SIGNAL_POOLS_PER_SESSION_MAX {
            let (what, value) = ("the number of signals", u64::from(POOL_SIGNALS) * pools.len() as u64 + 1);
            return Err(ClientError::Argument { what, value, next: "drop signals that are not needed any more" });
        }
        let buffer = RawBuffer::new(self, BufferKind::Signals, PoolLayout::bytes_for(POOL_SIGNALS).0)?;
        let memory = Arc::clone(buffer.memory.as_ref().ok_or(ClientError::NotMapped)?);
        let layout = PoolLayout::of(Bytes(memory.len() as u64)).ok_or(ClientError::NotMapped)?;
        self.connection.register(Sleepers::Pool(Arc::downgrade(&memory)));
        let mut free: Vec<u32> = (0..layout.capacity()).rev().collect();
        let index = free.pop().ok_or(ClientError::NotMapped)?;
        let pool = Arc::new(Pool { buffer, memory, layout, free: Mutex::new(free) });
        pools.push(Arc::clone(&pool));
        Ok((pool, index))
    }
}

impl Pool {
    fn free(&self) -> std::sync::MutexGuard<'_, Vec<u32>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signal {
    fn at(&self) -> usize {
        self.index as usize * SIGNAL_BYTES
    }

    /// Returns the signal's address: what a packet names it by.
    pub fn address(&self) -> u64 {
        self.pool.buffer.address() + self.at() as u64
    }

    fn word(&self) -> &AtomicU64 {
        // PANIC: the pool's layout has the index, and signals are aligned to 64.
        self.pool.memory.atomic_u64(self.at() + SignalField::VALUE).expect("a signal lies inside its pool")
    }

    fn wake_word(&self) -> &std::sync::atomic::AtomicU32 {
        // PANIC: as above; wake words are aligned to 4.
        self.pool
            .layout
            .wake(self.index)
            .and_then(|at| self.pool.memory.atomic_u32(at))
            .expect("a wake word per signal")
    }

    /// Returns the value; what happened before its last change is visible.
    pub fn load(&self) -> i64 {
        self.word().load(Ordering::Acquire).cast_signed()
    }

    /// Changes the value and wakes whoever waits for it. Only what this process waits for notices at once: a barrier packet that
    /// depends on it is looked at again when something else rings the worker, see [`Queue::ring`].
    pub fn store(&self, value: i64) -> Result<(), ClientError> {
        self.word().store(value.cast_unsigned(), Ordering::Release);
        wake::ring(self.wake_word())?;
        Ok(self.session.ring_worker()?)
    }

    /// Subtracts from the value, wakes whoever waits for it, and returns the old value.
    pub fn subtract(&self, value: i64) -> Result<i64, ClientError> {
        let old = self.word().fetch_sub(value.cast_unsigned(), Ordering::AcqRel).cast_signed();
        wake::ring(self.wake_word())?;
        self.session.ring_worker()?;
        Ok(old)
    }

    /// Returns when the packet that completed this signal began and ended, in nanoseconds of CLOCK_MONOTONIC; zeroes before.
    pub fn times(&self) -> (u64, u64) {
        let load = |field| self.pool.memory.load_u64(self.at() + field).unwrap_or(0);
        (load(SignalField::START), load(SignalField::END))
    }

    /// Waits until the value satisfies a condition, and returns it.
    ///
    /// A packet of a queue that stopped never completes its signal; [`Queue::wait`] notices that too.
    pub fn wait(&self, condition: Condition, than: i64, deadline: Deadline) -> Result<i64, WaitError> {
        self.wait_with(condition, than, deadline, || Ok(()))
    }

    fn wait_with(
        &self,
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
            let ended = || connection.ended().map(|end| WaitError::Ended(end.clone()));
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
        signal.wait_with(Condition::Less, 1, deadline, stopped).map(drop)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.pool.free().push(self.index);
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
