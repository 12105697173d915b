//! Signals: values that packets, copies, kernels and threads change and wait for.
//!
//! A handle is the address of 64 bytes that the session shares with its worker, so that a change costs one atomic and, while nobody sleeps, no
//! system call. What functions get for a handle is used as one: HSA gives no status to answer with, and a wrong one hurts this process only.
//!
//! All orders are sequentially consistent: the weaker ones cost the same on this processor.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use client::{Condition, Deadline, SharedSignal, SignalRef};
use hsa_sys::raw::*;

use crate::edge::{Answer, In, Out};
use crate::export::{export, ordered};
use crate::ipc::{Handle, Kind};
use crate::runtime::{Runtime, failed, status_with, with};

/// Offset of the value in an `amd_signal_t`.
const VALUE: usize = std::mem::offset_of!(amd_signal_t, value);

/// Returns the value of a signal.
fn value_of(signal: hsa_signal_t) -> &'static AtomicI64 {
    let at = std::ptr::with_exposed_provenance_mut::<i64>(signal.handle as usize + VALUE);
    // SAFETY: a handle is the address of a signal or doorbell that we made, and C promises not to use it any longer than until it destroys it.
    // Others change the value at any time, so it is only ever seen as an atomic.
    unsafe { AtomicI64::from_ptr(at) }
}

/// Wakes whoever waits for a signal that has changed.
fn changed(signal: hsa_signal_t) {
    // Whoever is not woken looks again soon.
    let _ = with(|runtime| match runtime.client.signal_at(signal.handle) {
        Some(signal) => signal.changed().map_err(failed),
        // A doorbell: the worker looks at the ring, whatever the value.
        None => {
            if runtime.queues.check().is_err() {
                runtime.events.look_at_queues();
            }
            let session = runtime.devices.owner(signal.handle).unwrap_or(&runtime.client);
            session.ring_worker().map_err(failed)
        }
    });
}

/// Returns a signal of this session; null and what is none are not found.
pub(crate) fn signal_of(runtime: &Runtime, signal: hsa_signal_t) -> Answer<SignalRef<'_>> {
    runtime.client.signal_at(signal.handle).ok_or(HSA_STATUS_ERROR_INVALID_SIGNAL)
}

/// Completes a signal, if there is one.
pub(crate) fn complete(runtime: &Runtime, signal: hsa_signal_t, began: u64, ended: u64) {
    if let Some(signal) = runtime.client.signal_at(signal.handle) {
        signal.set_times(began, ended);
        // Who is not woken looks again soon.
        let _ = signal.subtract(1);
    }
}

/// Leaves in a signal, if there is one, that what it stands for went wrong.
pub(crate) fn spoil(runtime: &Runtime, signal: hsa_signal_t) {
    if let Some(signal) = runtime.client.signal_at(signal.handle) {
        // As above.
        let _ = signal.store(-1);
    }
}

/// Whether all of these signals are zero.
pub(crate) fn all_done(runtime: &Runtime, signals: &[hsa_signal_t]) -> bool {
    signals.iter().all(|signal| runtime.client.signal_at(signal.handle).is_none_or(|signal| signal.load() == 0))
}

pub(crate) fn condition_of(number: hsa_signal_condition_t) -> Answer<Condition> {
    match number {
        HSA_SIGNAL_CONDITION_EQ => Ok(Condition::Equal),
        HSA_SIGNAL_CONDITION_NE => Ok(Condition::NotEqual),
        HSA_SIGNAL_CONDITION_LT => Ok(Condition::Less),
        HSA_SIGNAL_CONDITION_GTE => Ok(Condition::GreaterOrEqual),
        _ => Err(HSA_STATUS_ERROR_INVALID_ARGUMENT),
    }
}

export! {
    /// Makes a signal.
    fn hsa_signal_create(
        value: hsa_signal_value_t,
        _consumers: u32,
        _consumer: In<'_, hsa_agent_t>,
        signal: Out<hsa_signal_t>,
    ) -> hsa_status_t {
        status_with(|runtime| create(runtime, value, signal))
    }

    /// Makes a signal, for other processes too if that is asked for. One that only devices wait for is no different here.
    fn hsa_amd_signal_create(
        value: hsa_signal_value_t,
        _consumers: u32,
        _consumer: In<'_, hsa_agent_t>,
        attributes: u64,
        signal: Out<hsa_signal_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            if attributes & u64::from(HSA_AMD_SIGNAL_IPC) == 0 {
                return create(runtime, value, signal);
            }
            let signal = signal.needed()?;
            let made = runtime.client.shared_signal(value).map_err(failed)?;
            signal.put(hsa_signal_t { handle: made.into_address() })
        })
    }

    /// Makes a handle of a signal that was made for other processes, by which they get it.
    fn hsa_amd_ipc_signal_create(signal: hsa_signal_t, handle: Out<hsa_amd_ipc_signal_t>) -> hsa_status_t {
        status_with(|runtime| {
            let handle = handle.needed()?;
            let SharedSignal { share, bytes, index } = runtime.client.export_signal(signal.handle).map_err(failed)?;
            let named = Handle { kind: Kind::Signal, share, bytes, pool: index.into() };
            handle.put(hsa_amd_ipc_signal_t { handle: named.words() })
        })
    }

    /// Attaches a signal of another process of the tenant. It is given back as any other.
    fn hsa_amd_ipc_signal_attach(
        handle: In<'_, hsa_amd_ipc_signal_t>,
        signal: Out<hsa_signal_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let signal = signal.needed()?;
            let Handle { share, bytes, pool, .. } = Handle::read(Kind::Signal, handle.get()?.handle)?;
            let index = u32::try_from(pool).map_err(|_| HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            let shared = SharedSignal { share, bytes, index };
            signal.put(hsa_signal_t { handle: runtime.client.import_signal(shared).map_err(failed)? })
        })
    }

    /// Gives a signal back.
    fn hsa_signal_destroy(signal: hsa_signal_t) -> hsa_status_t {
        status_with(|runtime| {
            let known = signal.handle != 0 && runtime.client.drop_signal(signal.handle);
            if known { Ok(()) } else { Err(HSA_STATUS_ERROR_INVALID_ARGUMENT) }
        })
    }

    /// Returns where a signal's value lies.
    fn hsa_amd_signal_value_pointer(signal: hsa_signal_t, place: Out<*const i64>) -> hsa_status_t {
        status_with(|runtime| {
            signal_of(runtime, signal)?;
            place.put(value_of(signal).as_ptr())
        })
    }

    /// Returns when the packet that completed a signal began and ended.
    fn hsa_amd_profiling_get_dispatch_time(
        _agent: hsa_agent_t,
        signal: hsa_signal_t,
        time: Out<hsa_amd_profiling_dispatch_time_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let (start, end) = signal_of(runtime, signal)?.times();
            time.put(hsa_amd_profiling_dispatch_time_t { start, end })
        })
    }

    /// Returns when the copy that completed a signal began and ended.
    fn hsa_amd_profiling_get_async_copy_time(
        signal: hsa_signal_t,
        time: Out<hsa_amd_profiling_async_copy_time_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let (start, end) = signal_of(runtime, signal)?.times();
            time.put(hsa_amd_profiling_async_copy_time_t { start, end })
        })
    }

    /// Every packet and copy is timed, whoever asks for it.
    fn hsa_amd_profiling_async_copy_enable(_enable: bool) -> hsa_status_t {
        status_with(|_| Ok(()))
    }

    /// Turns a device's time into the system's. They are one.
    fn hsa_amd_profiling_convert_tick_to_system_domain(
        _agent: hsa_agent_t,
        tick: u64,
        time: Out<u64>,
    ) -> hsa_status_t {
        status_with(|_| time.put(tick))
    }

    /// Waits for one of several signals. Returns its place in the list, or all ones when time is up.
    fn hsa_amd_signal_wait_any(
        count: u32,
        signals: In<'_, hsa_signal_t>,
        conditions: In<'_, hsa_signal_condition_t>,
        values: In<'_, hsa_signal_value_t>,
        timeout: u64,
        _wait: hsa_wait_state_t,
        value: Out<hsa_signal_value_t>,
    ) -> hsa_status_t {
        let found = with(|runtime| {
            let watched = Watched::of(count, signals, conditions, values)?;
            watched.wait(runtime, deadline_of(timeout), Watched::any)
        });
        match found {
            Ok(Some((index, seen))) => {
                if value.is_wanted() {
                    let _ = value.put(seen);
                }
                index as u32
            }
            _ => u32::MAX,
        }
    }

    /// Waits for all of several signals. Returns 0, or all ones when time is up.
    fn hsa_amd_signal_wait_all(
        count: u32,
        signals: In<'_, hsa_signal_t>,
        conditions: In<'_, hsa_signal_condition_t>,
        values: In<'_, hsa_signal_value_t>,
        timeout: u64,
        _wait: hsa_wait_state_t,
        satisfying: Out<hsa_signal_value_t>,
    ) -> hsa_status_t {
        let found = with(|runtime| {
            let watched = Watched::of(count, signals, conditions, values)?;
            watched.wait(runtime, deadline_of(timeout), Watched::all)
        });
        match found {
            Ok(Some(seen)) => {
                if satisfying.is_wanted() {
                    let _ = satisfying.put_all(seen);
                }
                0
            }
            _ => u32::MAX,
        }
    }

    /// Makes a group of signals to wait for.
    fn hsa_signal_group_create(
        count: u32,
        signals: In<'_, hsa_signal_t>,
        _consumers: u32,
        _consumer: In<'_, hsa_agent_t>,
        group: Out<hsa_signal_group_t>,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let signals = signals.list(count as usize)?;
            if signals.is_empty() {
                return Err(HSA_STATUS_ERROR_INVALID_ARGUMENT);
            }
            group.needed()?.put(hsa_signal_group_t { handle: runtime.events.add_group(signals) })
        })
    }

    /// Gives a group back, not its signals.
    fn hsa_signal_group_destroy(group: hsa_signal_group_t) -> hsa_status_t {
        status_with(|runtime| runtime.events.remove_group(group.handle))
    }

    /// Waits for one signal of a group.
    fn hsa_signal_group_wait_any_scacquire(
        group: hsa_signal_group_t,
        conditions: In<'_, hsa_signal_condition_t>,
        values: In<'_, hsa_signal_value_t>,
        _wait: hsa_wait_state_t,
        signal: Out<hsa_signal_t>,
        value: Out<hsa_signal_value_t>,
    ) -> hsa_status_t {
        status_with(|runtime| wait_group(runtime, group, conditions, values, signal, value))
    }

    /// As [`hsa_signal_group_wait_any_scacquire`].
    fn hsa_signal_group_wait_any_relaxed(
        group: hsa_signal_group_t,
        conditions: In<'_, hsa_signal_condition_t>,
        values: In<'_, hsa_signal_value_t>,
        _wait: hsa_wait_state_t,
        signal: Out<hsa_signal_t>,
        value: Out<hsa_signal_value_t>,
    ) -> hsa_status_t {
        status_with(|runtime| wait_group(runtime, group, conditions, values, signal, value))
    }
}

/// Exports an atomic operation under the names of its orders.
macro_rules! operations {
    ($($(#[doc = $text:literal])* $operation:ident: $($name:ident)+;)*) => { $(
        ordered! {
            $(#[doc = $text])*
            [$($name)+] (signal: hsa_signal_t, value: hsa_signal_value_t) {
                value_of(signal).$operation(value, Ordering::SeqCst);
                changed(signal);
            }
        }
    )* };
}

ordered! {
    /// Returns a signal's value.
    [hsa_signal_load_relaxed hsa_signal_load_scacquire hsa_signal_load_acquire]
    (signal: hsa_signal_t) -> hsa_signal_value_t {
        value_of(signal).load(Ordering::SeqCst)
    }

    /// Changes a signal's value without telling anybody.
    [hsa_signal_silent_store_relaxed hsa_signal_silent_store_screlease]
    (signal: hsa_signal_t, value: hsa_signal_value_t) {
        value_of(signal).store(value, Ordering::Release);
    }

    /// Changes a signal's value.
    [hsa_signal_store_relaxed hsa_signal_store_screlease hsa_signal_store_release]
    (signal: hsa_signal_t, value: hsa_signal_value_t) {
        value_of(signal).store(value, Ordering::Release);
        changed(signal);
    }

    /// Changes a signal's value and returns the old one.
    [hsa_signal_exchange_relaxed hsa_signal_exchange_scacquire hsa_signal_exchange_acquire hsa_signal_exchange_screlease
     hsa_signal_exchange_release hsa_signal_exchange_scacq_screl hsa_signal_exchange_acq_rel]
    (signal: hsa_signal_t, value: hsa_signal_value_t) -> hsa_signal_value_t {
        let old = value_of(signal).swap(value, Ordering::SeqCst);
        changed(signal);
        old
    }

    /// Changes a signal's value if it is the expected one, and returns what it was.
    [hsa_signal_cas_relaxed hsa_signal_cas_scacquire hsa_signal_cas_acquire hsa_signal_cas_screlease hsa_signal_cas_release
     hsa_signal_cas_scacq_screl hsa_signal_cas_acq_rel]
    (signal: hsa_signal_t, expected: hsa_signal_value_t, value: hsa_signal_value_t) -> hsa_signal_value_t {
        match value_of(signal).compare_exchange(expected, value, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(old) => {
                changed(signal);
                old
            }
            Err(other) => other,
        }
    }

    /// Waits until a signal's value satisfies a condition, or for as long as the hint says; returns the value.
    [hsa_signal_wait_relaxed hsa_signal_wait_scacquire hsa_signal_wait_acquire]
    (signal: hsa_signal_t, condition: hsa_signal_condition_t, than: hsa_signal_value_t, timeout: u64, _wait: hsa_wait_state_t)
    -> hsa_signal_value_t {
        wait(signal, condition, than, timeout)
    }
}

operations! {
    /// Adds to a signal's value.
    fetch_add: hsa_signal_add_relaxed hsa_signal_add_scacquire hsa_signal_add_acquire hsa_signal_add_screlease
        hsa_signal_add_release hsa_signal_add_scacq_screl hsa_signal_add_acq_rel;
    /// Subtracts from a signal's value.
    fetch_sub: hsa_signal_subtract_relaxed hsa_signal_subtract_scacquire hsa_signal_subtract_acquire
        hsa_signal_subtract_screlease hsa_signal_subtract_release hsa_signal_subtract_scacq_screl
        hsa_signal_subtract_acq_rel;
    /// Takes the bitwise and of a signal's value.
    fetch_and: hsa_signal_and_relaxed hsa_signal_and_scacquire hsa_signal_and_acquire hsa_signal_and_screlease
        hsa_signal_and_release hsa_signal_and_scacq_screl hsa_signal_and_acq_rel;
    /// Takes the bitwise or of a signal's value.
    fetch_or: hsa_signal_or_relaxed hsa_signal_or_scacquire hsa_signal_or_acquire hsa_signal_or_screlease
        hsa_signal_or_release hsa_signal_or_scacq_screl hsa_signal_or_acq_rel;
    /// Takes the bitwise exclusive or of a signal's value.
    fetch_xor: hsa_signal_xor_relaxed hsa_signal_xor_scacquire hsa_signal_xor_acquire hsa_signal_xor_screlease
        hsa_signal_xor_release hsa_signal_xor_scacq_screl hsa_signal_xor_acq_rel;
}

fn create(runtime: &Runtime, value: i64, signal: Out<hsa_signal_t>) -> Answer {
    let signal = signal.needed()?;
    let made = runtime.client.signal(value).map_err(failed)?;
    signal.put(hsa_signal_t { handle: made.into_address() })
}

/// Returns when a wait gives up. Hints are in ticks of the system's clock: nanoseconds.
fn deadline_of(timeout: u64) -> Deadline {
    Deadline::after(Duration::from_nanos(timeout))
}

fn wait(signal: hsa_signal_t, condition: u32, than: i64, timeout: u64) -> i64 {
    let Ok(condition) = condition_of(condition) else { return value_of(signal).load(Ordering::SeqCst) };
    let now = value_of(signal).load(Ordering::SeqCst);
    if condition.holds(now, than) {
        return now;
    }
    // Who gives up, for whatever reason, gets the value as it is: HSA has no other answer, and callers compare it themselves.
    let waited = with(|runtime| match runtime.client.signal_at(signal.handle) {
        Some(signal) => Ok(signal.wait(condition, than, deadline_of(timeout)).unwrap_or_else(|_| signal.load())),
        None => Err(HSA_STATUS_ERROR_INVALID_SIGNAL),
    });
    waited.unwrap_or_else(|_| value_of(signal).load(Ordering::SeqCst))
}

fn wait_group(
    runtime: &Runtime,
    group: hsa_signal_group_t,
    conditions: In<'_, hsa_signal_condition_t>,
    values: In<'_, hsa_signal_value_t>,
    signal: Out<hsa_signal_t>,
    value: Out<hsa_signal_value_t>,
) -> Answer {
    let signals = runtime.events.group(group.handle)?;
    let (signal, value) = (signal.needed()?, value.needed()?);
    let count = signals.len();
    let watched = Watched::new(&signals, &conditions.list(count)?, &values.list(count)?)?;
    match watched.wait(runtime, Deadline::NEVER, Watched::any)? {
        Some((index, seen)) => {
            signal.put(signals[index])?;
            value.put(seen)
        }
        None => Err(HSA_STATUS_ERROR),
    }
}

/// Signals, and what is waited for of each.
struct Watched(Vec<(hsa_signal_t, Condition, i64)>);

impl Watched {
    fn of(
        count: u32,
        signals: In<'_, hsa_signal_t>,
        conditions: In<'_, hsa_signal_condition_t>,
        values: In<'_, hsa_signal_value_t>,
    ) -> Answer<Watched> {
        let count = count as usize;
        Watched::new(&signals.list(count)?, &conditions.list(count)?, &values.list(count)?)
    }

    fn new(signals: &[hsa_signal_t], conditions: &[u32], values: &[i64]) -> Answer<Watched> {
        let watched = signals.iter().zip(conditions).zip(values);
        watched
            .map(|((signal, condition), value)| Ok((*signal, condition_of(*condition)?, *value)))
            .collect::<Answer<_>>()
            .map(Watched)
    }

    /// Returns the first whose condition holds. Null signals are passed over.
    fn any(&self) -> Option<(usize, i64)> {
        self.0.iter().enumerate().filter(|(_, (signal, ..))| signal.handle != 0).find_map(
            |(index, (signal, condition, than))| {
                let now = value_of(*signal).load(Ordering::SeqCst);
                condition.holds(now, *than).then_some((index, now))
            },
        )
    }

    /// Returns all values once every condition holds.
    fn all(&self) -> Option<Vec<i64>> {
        let values = self.0.iter().map(|(signal, condition, than)| {
            let now = if signal.handle == 0 { return Some(0) } else { value_of(*signal).load(Ordering::SeqCst) };
            condition.holds(now, *than).then_some(now)
        });
        values.collect()
    }

    /// Waits until `done` has an answer, time is up, or the session is over.
    fn wait<T>(&self, runtime: &Runtime, deadline: Deadline, done: fn(&Self) -> Option<T>) -> Answer<Option<T>> {
        let answer = runtime.client.changes(deadline, || match done(self) {
            Some(found) => Some(Some(found)),
            None => runtime.client.first_end().map(|_| None),
        });
        Ok(answer.map_err(failed)?.flatten())
    }
}
