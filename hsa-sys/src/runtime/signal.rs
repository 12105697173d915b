//! Signals.

use std::time::Duration;

use super::{Agent, HsaError, Runtime};
use crate::raw::*;

/// A signal of the runtime.
pub struct Signal {
    runtime: Runtime,
    handle: hsa_signal_t,
}

impl Signal {
    /// Makes a signal that anybody may wait for.
    pub fn new(runtime: &Runtime, value: i64) -> Result<Signal, HsaError> {
        let mut handle = hsa_signal_t::default();
        // SAFETY: no consumers are named, so the list may be null; the handle is stored where it is wanted.
        let status = unsafe { (runtime.library().core.hsa_signal_create)(value, 0, std::ptr::null(), &raw mut handle) };
        runtime.check("hsa_signal_create", status)?;
        Ok(Signal { runtime: runtime.clone(), handle })
    }

    /// Returns the handle, as packets name it.
    pub fn handle(&self) -> u64 {
        self.handle.handle
    }

    pub(super) fn raw(&self) -> hsa_signal_t {
        self.handle
    }

    /// Returns the value; what was written before it was set is seen.
    pub fn load(&self) -> i64 {
        // SAFETY: the signal lives as long as `self`.
        unsafe { (self.runtime.library().core.hsa_signal_load_scacquire)(self.handle) }
    }

    /// Sets the value.
    pub fn store(&self, value: i64) {
        // SAFETY: as above.
        unsafe { (self.runtime.library().core.hsa_signal_store_screlease)(self.handle, value) };
    }

    /// Waits until the value is below 1 or `timeout` is over, asleep if it takes long; returns the value.
    pub fn wait_done(&self, timeout: Duration, hz: u64) -> i64 {
        let ticks = u64::try_from(timeout.as_nanos() * u128::from(hz) / 1_000_000_000).unwrap_or(u64::MAX);
        // SAFETY: as above.
        unsafe {
            (self.runtime.library().core.hsa_signal_wait_scacquire)(
                self.handle,
                HSA_SIGNAL_CONDITION_LT,
                1,
                ticks,
                HSA_WAIT_STATE_BLOCKED,
            )
        }
    }

    /// Returns when the dispatch that this signal completed began and ended, in ticks of the system's clock. Its queue must profile.
    pub fn times(&self, agent: &Agent) -> Result<(u64, u64), HsaError> {
        let mut times = hsa_amd_profiling_dispatch_time_t { start: 0, end: 0 };
        // SAFETY: signal and agent live; the times are stored where they are wanted.
        let status = unsafe {
            (self.runtime.library().amd.hsa_amd_profiling_get_dispatch_time)(agent.handle, self.handle, &raw mut times)
        };
        self.runtime.check("hsa_amd_profiling_get_dispatch_time", status)?;
        Ok((times.start, times.end))
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed once. Packets that name it must be done: whoever abandons a queue destroys it first.
        unsafe { (self.runtime.library().core.hsa_signal_destroy)(self.handle) };
    }
}
