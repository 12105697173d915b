//! Memory: of the device, of the host, and the program's own made visible to the device.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

use super::{Agent, Executable, HsaError, Runtime, Signal};
use crate::raw::*;

/// How long a copy is waited for before it is looked at again.
const COPY_LOOK: Duration = Duration::from_millis(100);
/// Looks in vain after which a copy will never end. Counted, not timed: a process that did not run has not looked.
const COPY_LOOKS_MAX: u32 = 100;

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
        copy(&self.agent, Place::Device(self, offset), Place::Host(staging, 0), bytes)
    }

    /// Copies from `offset` to `staging`.
    pub fn copy_to(&self, offset: usize, staging: &HostBuffer, bytes: usize) -> Result<(), HsaError> {
        copy(&self.agent, Place::Host(staging, 0), Place::Device(self, offset), bytes)
    }
}

/// One end of a copy: memory, and where in it the copy begins.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// Device memory, from an offset on.
    Device(&'a DeviceBuffer, usize),
    /// Host memory of the runtime, from an offset on.
    Host(&'a HostBuffer, usize),
    /// The program's own memory, from an offset on.
    Pinned(&'a Pinned, usize),
    /// A loaded code object, from the address of one of its bytes on.
    Loaded(&'a Executable, u64),
}

impl Place<'_> {
    /// Returns where the device has it, if `bytes` from there on belong to it, and whether it is the host's.
    fn resolve(self, bytes: usize) -> Option<(u64, bool)> {
        let (address, offset, length, host) = match self {
            Place::Device(buffer, offset) => (buffer.address(), offset, buffer.bytes(), false),
            Place::Host(buffer, offset) => (buffer.address(), offset, buffer.bytes(), true),
            Place::Pinned(pinned, offset) => (pinned.address(), offset, pinned.bytes(), true),
            Place::Loaded(executable, at) => {
                let (start, length) = executable.allocation_at(at)?;
                (start, usize::try_from(at.checked_sub(start)?).ok()?, length, false)
            }
        };
        let end = offset.checked_add(bytes)?;
        (end <= length).then_some((address + offset as u64, host))
    }
}

/// Copies `bytes` between two places and waits until they have arrived. At least one of them must be the device's.
///
/// A copy that will never end is an error with the status `HSA_STATUS_ERROR_FATAL`: the device is of no more use.
pub fn copy(agent: &Agent, to: Place<'_>, from: Place<'_>, bytes: usize) -> Result<(), HsaError> {
    let (call, runtime) = ("hsa_amd_memory_async_copy", &agent.runtime);
    let (to, from) = to.resolve(bytes).zip(from.resolve(bytes)).ok_or_else(|| error(call, LEAVES))?;
    if bytes == 0 {
        return Ok(());
    }
    if to.1 && from.1 {
        return Err(error(call, "both ends of the copy are the host's"));
    }
    let host = runtime.host()?.handle;
    let agent_of = |is_host: bool| if is_host { host } else { agent.handle };
    let pointer = |address: u64| std::ptr::with_exposed_provenance_mut::<c_void>(address as usize);
    let done = Signal::new(runtime, 1)?;
    // SAFETY: both ranges were found inside memory that lives as long as the arguments, and this call waits for the copy's end; no dependencies.
    let status = unsafe {
        (runtime.library().amd.hsa_amd_memory_async_copy)(
            pointer(to.0),
            agent_of(to.1),
            pointer(from.0),
            agent_of(from.1),
            bytes,
            0,
            std::ptr::null(),
            done.raw(),
        )
    };
    runtime.check(call, status)?;
    let hz = runtime.timestamp_hz()?;
    let mut looks = 0;
    while done.wait_done(COPY_LOOK, hz) > 0 {
        looks += 1;
        let fault = runtime.memory_fault().map(|fault| format!("the device faulted at {:#x}", fault.address));
        let lost = || (looks >= COPY_LOOKS_MAX).then(|| format!("the device has not copied {bytes} bytes"));
        if let Some(why) = fault.or_else(lost) {
            // The copy will never end, and nobody may get its signal before it does.
            std::mem::forget(done);
            return Err(HsaError { status: HSA_STATUS_ERROR_FATAL, ..error(call, why) });
        }
    }
    if done.load() < 0 {
        return Err(error(call, "the device could not copy"));
    }
    Ok(())
}

/// What is said of a copy whose ends are not where it was said.
const LEAVES: &str = "the copy leaves its memory";

/// Host memory that a device can use: staging for copies.
pub struct HostBuffer {
    memory: Pooled,
}

impl HostBuffer {
    /// Allocates host memory that `agent` can use.
    pub fn new(agent: &Agent, bytes: usize) -> Result<HostBuffer, HsaError> {
        let memory = Pooled::new(&agent.runtime, agent.runtime.host()?.pools()?.fine, bytes)?;
        memory.allow(agent)?;
        Ok(HostBuffer { memory })
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

/// A part of a memory object: the object, where the part begins in it, and how long it is, in whole pages.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The object.
    pub object: BorrowedFd<'a>,
    /// Bytes from its start.
    pub offset: u64,
    /// Bytes.
    pub bytes: usize,
}

/// Memory objects of the program, mapped here one after the other and made visible to a device at an address that the driver chose.
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
        Pinned::parts(agent, &[Part { object, offset: 0, bytes }])
    }

    /// Maps parts of memory objects one after the other and lets `agent` use them.
    pub fn parts(agent: &Agent, parts: &[Part<'_>]) -> Result<Pinned, HsaError> {
        let bytes = parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.bytes));
        let bytes = bytes.filter(|&bytes| bytes > 0).ok_or_else(|| error("mmap", "no memory to show to the device"))?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping where the kernel sees fit.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        let host = NonNull::new(at).filter(|_| at != libc::MAP_FAILED).ok_or_else(mapping_failed)?;
        // From here on dropping it gives everything back.
        let mut pinned = Pinned { runtime: agent.runtime.clone(), host, bytes, device: 0 };
        let mut place = host.as_ptr().cast::<u8>();
        for part in parts {
            let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
            let offset = libc::off_t::try_from(part.offset).map_err(|_| error("mmap", "an offset beyond any file"))?;
            // SAFETY: replaces a part of the mapping above, which is ours and which nobody knows yet: the parts' lengths sum up to its own.
            let mapped =
                unsafe { libc::mmap(place.cast(), part.bytes, protection, flags, part.object.as_raw_fd(), offset) };
            if mapped == libc::MAP_FAILED {
                return Err(mapping_failed());
            }
            place = place.wrapping_add(part.bytes);
        }
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

fn mapping_failed() -> HsaError {
    error("mmap", std::io::Error::last_os_error().to_string())
}
