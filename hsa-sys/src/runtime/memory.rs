//! Memory: of the device, of the host, and the program's own made visible to the device.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

use super::{Agent, HsaError, Runtime, Signal};
use crate::raw::*;

/// How long a copy is waited for before it is looked at again.
const COPY_LOOK: Duration = Duration::from_millis(100);

fn error(call: &'static str, text: impl Into<String>) -> HsaError {
    HsaError { call, status: HSA_STATUS_ERROR, text: text.into() }
}

/// Memory that was allocated from a pool.
struct Pooled {
    runtime: Runtime,
    at: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: the memory belongs to the process, not to a thread; the runtime's functions may be called from any.
unsafe impl Send for Pooled {}
// SAFETY: shared references give out the address only.
unsafe impl Sync for Pooled {}

impl Pooled {
    fn new(runtime: &Runtime, pool: Option<hsa_amd_memory_pool_t>, bytes: usize) -> Result<Pooled, HsaError> {
        let call = "hsa_amd_memory_pool_allocate";
        let pool = pool.ok_or_else(|| error(call, "the agent has no such pool"))?;
        let mut at = std::ptr::null_mut();
        // SAFETY: the pool is the agent's; the pointer is stored where it is wanted.
        let status = unsafe { (runtime.library().amd.hsa_amd_memory_pool_allocate)(pool, bytes, 0, &raw mut at) };
        runtime.check(call, status)?;
        let at = NonNull::new(at).ok_or_else(|| error(call, "success without memory"))?;
        Ok(Pooled { runtime: runtime.clone(), at, bytes })
    }

    /// Lets an agent use it.
    fn allow(&self, agent: &Agent) -> Result<(), HsaError> {
        // SAFETY: one agent in the list of one; the memory is a pool's.
        let status = unsafe {
            (self.runtime.library().amd.hsa_amd_agents_allow_access)(
                1,
                &raw const agent.handle,
                std::ptr::null(),
                self.at.as_ptr(),
            )
        };
        self.runtime.check("hsa_amd_agents_allow_access", status)
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once.
        unsafe { (self.runtime.library().amd.hsa_amd_memory_pool_free)(self.at.as_ptr()) };
    }
}

/// Device memory. The host reaches it by copies.
pub struct DeviceBuffer {
    memory: Pooled,
    agent: Agent,
}

impl DeviceBuffer {
    /// Allocates device memory; what is in it is what was left there.
    pub fn new(agent: &Agent, bytes: usize) -> Result<DeviceBuffer, HsaError> {
        let memory = Pooled::new(&agent.runtime, agent.pools()?.coarse, bytes)?;
        Ok(DeviceBuffer { memory, agent: agent.clone() })
    }

    /// Returns the address at which kernels see it.
    pub fn address(&self) -> u64 {
        self.memory.at.as_ptr().expose_provenance() as u64
    }

    /// Returns its size.
    pub fn bytes(&self) -> usize {
        self.memory.bytes
    }

    /// Sets every byte to zero, on the device.
    pub fn clear(&self) -> Result<(), HsaError> {
        let words = self.memory.bytes / 4;
        // SAFETY: `words` words of memory that is ours; allocations are whole pages.
        let status =
            unsafe { (self.agent.runtime.library().amd.hsa_amd_memory_fill)(self.memory.at.as_ptr(), 0, words) };
        self.agent.runtime.check("hsa_amd_memory_fill", status)
    }

    /// Copies from `staging` to `offset`; both ranges must lie inside.
    pub fn copy_from(&self, offset: usize, staging: &HostBuffer, bytes: usize) -> Result<(), HsaError> {
        self.inside(offset, staging, bytes)?;
        let to = self.memory.at.as_ptr().cast::<u8>().wrapping_add(offset).cast::<c_void>();
        copy(&self.agent, to, &self.agent, staging.memory.at.as_ptr(), &staging.host, bytes)
    }

    /// Copies from `offset` to `staging`.
    pub fn copy_to(&self, offset: usize, staging: &HostBuffer, bytes: usize) -> Result<(), HsaError> {
        self.inside(offset, staging, bytes)?;
        let from = self.memory.at.as_ptr().cast::<u8>().wrapping_add(offset).cast::<c_void>();
        copy(&self.agent, staging.memory.at.as_ptr(), &staging.host, from, &self.agent, bytes)
    }

    fn inside(&self, offset: usize, staging: &HostBuffer, bytes: usize) -> Result<(), HsaError> {
        let fits =
            offset.checked_add(bytes).is_some_and(|end| end <= self.memory.bytes) && bytes <= staging.memory.bytes;
        if fits { Ok(()) } else { Err(error("hsa_amd_memory_async_copy", "the copy leaves its memory")) }
    }
}

/// Copies and waits. The ranges are checked by the callers.
fn copy(
    agent: &Agent,
    to: *mut c_void,
    to_agent: &Agent,
    from: *mut c_void,
    from_agent: &Agent,
    bytes: usize,
) -> Result<(), HsaError> {
    let runtime = &agent.runtime;
    let done = Signal::new(runtime, 1)?;
    // SAFETY: both ranges are memory of the runtime that outlives this call, which waits for the copy's end; no dependencies.
    let status = unsafe {
        (runtime.library().amd.hsa_amd_memory_async_copy)(
            to,
            to_agent.handle,
            from,
            from_agent.handle,
            bytes,
            0,
            std::ptr::null(),
            done.raw(),
        )
    };
    runtime.check("hsa_amd_memory_async_copy", status)?;
    let hz = runtime.timestamp_hz()?;
    while done.wait_done(COPY_LOOK, hz) > 0 {
        if let Some(fault) = runtime.memory_fault() {
            // The copy will never end, and its memory must not go before it: both stay.
            std::mem::forget(done);
            return Err(error("hsa_amd_memory_async_copy", format!("the device faulted at {:#x}", fault.address)));
        }
    }
    if done.load() < 0 {
        return Err(error("hsa_amd_memory_async_copy", "the device could not copy"));
    }
    Ok(())
}

/// Host memory that a device can use: staging for copies.
pub struct HostBuffer {
    memory: Pooled,
    host: Agent,
}

impl HostBuffer {
    /// Allocates host memory that `agent` can use.
    pub fn new(agent: &Agent, bytes: usize) -> Result<HostBuffer, HsaError> {
        let host = agent.runtime.host()?;
        let memory = Pooled::new(&agent.runtime, host.pools()?.fine, bytes)?;
        memory.allow(agent)?;
        Ok(HostBuffer { memory, host })
    }

    /// Returns its size.
    pub fn bytes(&self) -> usize {
        self.memory.bytes
    }

    /// Returns the address at which the device sees it.
    pub fn address(&self) -> u64 {
        self.memory.at.as_ptr().expose_provenance() as u64
    }

    /// Copies bytes into it. Nothing that runs on a device may use it meanwhile, which `&mut` stands for.
    ///
    /// # Panics
    /// When there are more than it holds.
    pub fn write(&mut self, from: &[u8]) {
        self.write_at(0, from);
    }

    /// Copies bytes into it from `offset` on.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn write_at(&mut self, offset: usize, from: &[u8]) {
        let to = self.place(offset, from.len());
        // SAFETY: host memory of this length, ours alone while it is borrowed exclusively.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
    }

    /// Copies bytes out of it.
    ///
    /// # Panics
    /// When more are wanted than it holds.
    pub fn read(&mut self, into: &mut [u8]) {
        self.read_at(0, into);
    }

    /// Copies bytes out of it from `offset` on.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn read_at(&mut self, offset: usize, into: &mut [u8]) {
        let from = self.place(offset, into.len());
        // SAFETY: as for writing; pool memory is never uninitialised, the driver clears it.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), into.len()) };
    }

    /// Returns where `bytes` from `offset` are.
    fn place(&self, offset: usize, bytes: usize) -> *mut u8 {
        let end = offset.checked_add(bytes);
        assert!(end.is_some_and(|end| end <= self.memory.bytes), "more than the staging memory holds");
        self.memory.at.as_ptr().cast::<u8>().wrapping_add(offset)
    }
}

/// A memory object of the program, mapped here and made visible to a device at an address that the driver chose.
///
/// Nobody reads or writes through this mapping: the host has its own.
pub struct Pinned {
    runtime: Runtime,
    host: NonNull<c_void>,
    bytes: usize,
    device: u64,
}

// SAFETY: as for pool memory.
unsafe impl Send for Pinned {}
// SAFETY: as for pool memory.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Maps all `bytes` of a memory object and lets `agent` use them.
    pub fn new(agent: &Agent, object: BorrowedFd<'_>, bytes: usize) -> Result<Pinned, HsaError> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping where the kernel sees fit.
        let at =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, object.as_raw_fd(), 0) };
        let host = NonNull::new(at).filter(|_| at != libc::MAP_FAILED);
        let host = host.ok_or_else(|| error("mmap", std::io::Error::last_os_error().to_string()))?;
        let mut pinned = Pinned { runtime: agent.runtime.clone(), host, bytes, device: 0 };
        let mut device = std::ptr::null_mut();
        let mut agents = [agent.handle];
        // SAFETY: the range is the mapping above, which `pinned` keeps until it is unlocked.
        let status = unsafe {
            (agent.runtime.library().amd.hsa_amd_memory_lock)(
                host.as_ptr(),
                bytes,
                agents.as_mut_ptr(),
                1,
                &raw mut device,
            )
        };
        agent.runtime.check("hsa_amd_memory_lock", status)?;
        pinned.device = device.expose_provenance() as u64;
        Ok(pinned)
    }

    /// Returns the address at which kernels see it.
    pub fn address(&self) -> u64 {
        self.device
    }

    /// Returns its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: locked by `new` unless `device` is still zero, mapped by it in any case; both are undone once.
        unsafe {
            if self.device != 0 {
                (self.runtime.library().amd.hsa_amd_memory_unlock)(self.host.as_ptr());
            }
            libc::munmap(self.host.as_ptr(), self.bytes);
        }
    }
}
