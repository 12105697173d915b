//! The one runtime of a process: between the first `hsa_init` and the last `hsa_shut_down` it is a session with the broker on each of its devices.
//!
//! Promises:
//! - every call outside of that time answers NOT_INITIALIZED, and a forked child is outside of it: it may begin its own;
//! - no function waits for a lock to find the runtime;
//! - threads of ours run no signal handlers of the program;
//! - without a broker `hsa_init` answers what AMD's library answers without a driver (OUT_OF_RESOURCES), and says why on standard error.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use client::{Client, ClientError, DenyCode};
use hsa_sys::raw::*;

use crate::code::Codes;
use crate::copy::Engine;
use crate::devices::Devices;
use crate::edge::Answer;
use crate::events::Events;
use crate::fork::Mark;
use crate::memory::Memory;
use crate::queue::Queues;
use crate::vmem::Places;

/// What cannot be done here at all. The headers of ROCr 6.4 do not name it yet; later ones do.
pub(crate) const HSA_STATUS_ERROR_NOT_SUPPORTED: hsa_status_t = 47;

/// See the module.
pub(crate) struct Runtime {
    /// The session with host memory and signals: the first of [`devices`](Self::devices).
    pub(crate) client: Client,
    pub(crate) devices: Devices,
    pub(crate) memory: Memory,
    pub(crate) places: Places,
    pub(crate) codes: Codes,
    pub(crate) queues: Queues,
    pub(crate) copies: Engine,
    pub(crate) events: Events,
    /// The process that began it.
    process: Mark,
}

static RUNTIME: ArcSwapOption<Runtime> = ArcSwapOption::const_empty();
/// How many more `hsa_init` than `hsa_shut_down` there were. Held while either is at work.
static BEGUN: Mutex<u32> = Mutex::new(0);

/// Calls `body` with the runtime.
pub(crate) fn with<T>(body: impl FnOnce(&Arc<Runtime>) -> Answer<T>) -> Answer<T> {
    match &*RUNTIME.load() {
        Some(runtime) if runtime.is_ours() => body(runtime),
        _ => Err(HSA_STATUS_ERROR_NOT_INITIALIZED),
    }
}

/// As [`with`], for functions that answer a status.
pub(crate) fn status_with(body: impl FnOnce(&Arc<Runtime>) -> Answer) -> hsa_status_t {
    crate::edge::status(with(body))
}

/// Begins, or counts one more.
pub(crate) fn init() -> Answer {
    let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
    if RUNTIME.load().as_ref().is_some_and(|runtime| runtime.is_ours()) {
        *begun = begun.checked_add(1).ok_or(HSA_STATUS_ERROR_REFCOUNT_OVERFLOW)?;
        return Ok(());
    }
    let runtime = without_signals(Runtime::begin)?;
    if let Some(parents) = RUNTIME.swap(Some(runtime)) {
        // A forked child's copy of its parent's. Nothing in it may be ended from here, not even by dropping.
        std::mem::forget(parents);
    }
    *begun = 1;
    Ok(())
}

/// Ends, or counts one less.
pub(crate) fn shut_down() -> Answer {
    let mut begun = BEGUN.lock().unwrap_or_else(PoisonError::into_inner);
    with(|_| Ok(()))?;
    *begun -= 1;
    if *begun == 0
        && let Some(runtime) = RUNTIME.swap(None)
    {
        runtime.end();
    }
    Ok(())
}

impl Runtime {
    fn begin() -> Answer<Arc<Runtime>> {
        let devices = Devices::open()?;
        let client = devices.first().clone();
        let memory = Memory::new();
        Ok(Arc::new(Runtime {
            memory,
            places: Places::default(),
            codes: Codes::default(),
            queues: Queues::default(),
            copies: Engine::default(),
            events: Events::default(),
            process: Mark::new(),
            client,
            devices,
        }))
    }

    fn is_ours(&self) -> bool {
        self.process.holds()
    }

    fn end(&self) {
        self.events.close();
        self.copies.close();
        self.devices.goodbye();
    }
}

/// Runs `body`, and whatever threads it starts, with every signal blocked.
pub(crate) fn without_signals<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are ours; a blocked set is a property of this thread, and put back before anybody can tell.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let done = body();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        done
    }
}

/// Returns the status that stands for an error of the client library.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn failed(error: ClientError) -> hsa_status_t {
    match error {
        ClientError::Denied(denial) => match denial.code {
            DenyCode::Vram | DenyCode::HostMemory | DenyCode::Queues | DenyCode::Objects | DenyCode::Host => {
                HSA_STATUS_ERROR_OUT_OF_RESOURCES
            }
            DenyCode::Size => HSA_STATUS_ERROR_INVALID_ALLOCATION,
            DenyCode::Address | DenyCode::UnknownObject | DenyCode::Range => HSA_STATUS_ERROR_INVALID_ARGUMENT,
            DenyCode::Code => HSA_STATUS_ERROR_INVALID_CODE_OBJECT,
            DenyCode::UnknownSymbol => HSA_STATUS_ERROR_INVALID_SYMBOL_NAME,
            DenyCode::Busy => HSA_STATUS_ERROR_RESOURCE_BUSY,
            DenyCode::Unsupported => HSA_STATUS_ERROR_NOT_SUPPORTED,
            DenyCode::Ending | DenyCode::NotAllowed => HSA_STATUS_ERROR,
        },
        ClientError::Arena(_) | ClientError::Memory(_) | ClientError::Call(_) => HSA_STATUS_ERROR_OUT_OF_RESOURCES,
        ClientError::Argument { .. } | ClientError::Bounds(_) => HSA_STATUS_ERROR_INVALID_ARGUMENT,
        ClientError::NotMapped => HSA_STATUS_ERROR_INVALID_ALLOCATION,
        ClientError::Forked => HSA_STATUS_ERROR_NOT_INITIALIZED,
        ClientError::Ended(_) | ClientError::Fault(_) => HSA_STATUS_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_works_before_init() {
        assert_eq!(with(|_| Ok(())), Err(HSA_STATUS_ERROR_NOT_INITIALIZED));
        assert_eq!(shut_down(), Err(HSA_STATUS_ERROR_NOT_INITIALIZED));
    }

    #[test]
    fn signals_are_blocked_only_inside() {
        let blocked = || {
            // SAFETY: asks for this thread's set of blocked signals.
            unsafe {
                let mut now = std::mem::zeroed();
                libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut now);
                libc::sigismember(&now, libc::SIGUSR1) == 1
            }
        };
        let before = blocked();
        assert!(without_signals(|| std::thread::spawn(blocked).join().unwrap()));
        assert_eq!(blocked(), before);
    }
}
