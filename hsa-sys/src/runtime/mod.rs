//! A thin safe layer: the runtime, its agents, and what a program makes with them. Each object gives back what it holds when dropped.
//!
//! What is safe here is the *host's* side: handles cannot outlive the runtime, memory is not freed while a wrapper holds it, and results are
//! checked. What a kernel does to memory that is mapped for its device is outside of Rust's model, as with any GPU: run
//! code objects you trust, or in a process that holds nothing else.
//!
//! One runtime a process ([`Runtime::start`] says so to the second): the C library counts initialisations, but event handlers and
//! faults are the process's.

mod agent;
mod code;
mod memory;
mod pause;
mod queue;
mod signal;

use std::ffi::{CStr, c_void};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::agent::{Agent, AgentFacts};
pub use self::code::{Executable, KernelSymbol};
pub use self::memory::{DeviceBuffer, HostBuffer, Part, Pinned, Place, copy};
pub use self::pause::{DriverQueue, Pause, PauseError};
pub use self::queue::{Priority, Queue, QueueFault};
pub use self::signal::Signal;
use crate::raw::*;
use crate::table::Library;

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {text} ({status:#x})")]
pub struct HsaError {
    /// The function.
    pub call: &'static str,
    /// What it returned.
    pub status: hsa_status_t,
    /// What the runtime says about that.
    pub text: String,
}

/// Why the runtime was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another [`Runtime`] of this process lives.
    #[error("this process has an HSA runtime already; use that one")]
    Second,
    /// `hsa_init` refused.
    #[error(
        "{0}\nwhat next: is the driver loaded (/dev/kfd), and may this user open it (group render)? `wavegate doctor` says more"
    )]
    Init(HsaError),
}

/// A memory fault that the device reported. After one the runtime is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryFault {
    /// The page that was accessed.
    pub address: u64,
    /// Bits of `hsa_amd_memory_fault_reason_t`.
    pub reason: u32,
}

/// Set while a runtime lives: one a process.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Where the process's event handler puts faults. Never freed: the runtime may call at any time.
static FAULT: Mutex<Option<MemoryFault>> = Mutex::new(None);

/// Set when the device itself failed: a reset, an exception of the hardware, memory that went bad.
static EXCEPTION: AtomicBool = AtomicBool::new(false);

/// The started runtime. Clones are the same one; it ends with the last of them and of everything made with it.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    library: Library,
}

impl Runtime {
    /// Starts the runtime and asks it to report memory faults instead of ending the process.
    pub fn start(library: Library) -> Result<Runtime, StartError> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(StartError::Second);
        }
        // SAFETY: the table's functions are those of a loaded library; `hsa_init` may be called at any time.
        let status = unsafe { (library.core.hsa_init)() };
        if let Err(error) = check(&library, "hsa_init", status) {
            TAKEN.store(false, Ordering::SeqCst);
            return Err(StartError::Init(error));
        }
        let runtime = Runtime(Arc::new(Inner { library }));
        *FAULT.lock().unwrap_or_else(PoisonError::into_inner) = None;
        EXCEPTION.store(false, Ordering::SeqCst);
        // SAFETY: the handler is a plain function, good for ever, and takes no data.
        let status = unsafe {
            (runtime.library().amd.hsa_amd_register_system_event_handler)(Some(on_event), std::ptr::null_mut())
        };
        runtime.check("hsa_amd_register_system_event_handler", status).map_err(StartError::Init)?;
        Ok(runtime)
    }

    pub(crate) fn library(&self) -> &Library {
        &self.0.library
    }

    /// Returns the file of the library that was loaded.
    pub fn library_path(&self) -> &Path {
        self.0.library.path()
    }

    /// Returns the first memory fault since the runtime started.
    pub fn memory_fault(&self) -> Option<MemoryFault> {
        *FAULT.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the runtime reported that the device itself failed, through no fault of this process: it was reset, for one. Runtimes before 6.0 do not
    /// report that.
    pub fn hardware_exception(&self) -> bool {
        EXCEPTION.load(Ordering::Acquire)
    }

    /// Returns ticks a second of the clock that [`Signal::times`] are taken from.
    pub fn timestamp_hz(&self) -> Result<u64, HsaError> {
        let mut hz = 0u64;
        // SAFETY: this attribute is a uint64_t.
        let status = unsafe {
            (self.library().core.hsa_system_get_info)(
                HSA_SYSTEM_INFO_TIMESTAMP_FREQUENCY,
                (&raw mut hz).cast::<c_void>(),
            )
        };
        self.check("hsa_system_get_info", status)?;
        Ok(hz)
    }

    /// Returns what the runtime says about a status.
    pub fn status_text(&self, status: hsa_status_t) -> String {
        status_text(self.library(), status)
    }

    fn check(&self, call: &'static str, status: hsa_status_t) -> Result<(), HsaError> {
        check(self.library(), call, status)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Runtime").field(&self.library_path()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: it was initialised once by `start`, and nothing made with it is left: all hold a clone. A failure changes nothing.
        unsafe { (self.library.core.hsa_shut_down)() };
        TAKEN.store(false, Ordering::SeqCst);
    }
}

fn check(library: &Library, call: &'static str, status: hsa_status_t) -> Result<(), HsaError> {
    if status == HSA_STATUS_SUCCESS {
        return Ok(());
    }
    Err(HsaError { call, status, text: status_text(library, status) })
}

fn status_text(library: &Library, status: hsa_status_t) -> String {
    let mut text = std::ptr::null();
    // SAFETY: the function stores a pointer to a constant string, or fails.
    let told = unsafe { (library.core.hsa_status_string)(status, &raw mut text) };
    if told != HSA_STATUS_SUCCESS || text.is_null() {
        return "a status without a name".to_owned();
    }
    // SAFETY: a C string that lives as long as the library.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Called by a thread of the runtime.
unsafe extern "C" fn on_event(event: *const hsa_amd_event_t, _data: *mut c_void) -> hsa_status_t {
    if event.is_null() {
        return HSA_STATUS_ERROR;
    }
    // SAFETY: the runtime passes a whole event that stays during the call.
    let event = unsafe { &*event };
    let fault = match event.event_type {
        HSA_AMD_GPU_MEMORY_FAULT_EVENT => {
            // SAFETY: the type says which member is there.
            let fault = unsafe { event.data.memory_fault };
            MemoryFault { address: fault.virtual_address, reason: fault.fault_reason_mask }
        }
        _ => {
            EXCEPTION.store(true, Ordering::Release);
            MemoryFault { address: 0, reason: HSA_AMD_MEMORY_FAULT_HANG }
        }
    };
    FAULT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    // Handled: the process lives and decides.
    HSA_STATUS_SUCCESS
}
