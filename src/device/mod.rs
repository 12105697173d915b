//! What a worker may ask of a GPU.
//!
//! A backend implements two traits. [`DeviceMemory`] is the session's address space: it is shared, because allocation requests arrive while
//! kernels run. [`Device`] is everything that runs: queues, and the lease. It belongs to one thread.
//!
//! A device is always one *session's* view. What sessions share, the compute units with what is left in them, comes and goes with the
//! lease: between [`Device::run`] returning and the next one, anybody may have used them, unless the holder kept the lease.
//!
//! ```text
//!   lease granted ─► resume ─► run ─► (drained: park | stopped) ─► suspend ─► [scrub] ─► lease given back
//! ```
//!
//! | backend | memory | preemption |
//! |---|---|---|
//! | [`soft`] | objects the broker created and sealed, mapped where the tenant has them | suspend, at any instruction |
//! | [`rocr`] | device memory that the driver allocates, host memory in objects the broker created; at addresses the driver chose | drain; suspend where the kernel driver can |

pub mod kfd;
pub mod rocr;
pub mod soft;
pub mod spec;

use std::fmt;
use std::sync::Arc;

pub use hsa_sys::runtime::Priority;
use sys::memfd::MemFd;

/// Facts about a device that never change.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DeviceFacts {
    /// Backend and place, as in `--device`.
    pub name: String,
    /// LLVM processor name of the architecture, such as `gfx90a`.
    pub target: String,
    /// Compute units that this session may use.
    pub compute_units: u32,
    /// Lanes of a wave.
    pub wave_lanes: u32,
    /// Bytes of device memory.
    pub vram_bytes: u64,
    /// Ticks per second of the clock that signal timestamps are taken from.
    pub timestamp_hz: u64,
    /// What can be done about work that runs.
    pub preemption: Preemption,
    /// Whether memory is backed by objects that the caller supplies ([`Allocate::backing`]).
    pub wants_backing: bool,
    /// Whether it chooses addresses itself: what [`Allocate::address`] asks for is not heard, and code lies where [`LoadedCode`] says.
    pub chooses_addresses: bool,
    /// Whether device memory can be mapped by a tenant; if not, it is reached by copies ([`DeviceMemory::copy`]).
    pub vram_mappable: bool,
    /// Whether queues of a session can be more and less urgent ([`Device::set_priority`]).
    pub queue_priorities: bool,
}

/// The strongest way in which a device gives up running work. Each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preemption {
    /// Only by ending the worker.
    Kill,
    /// Packets in flight finish; no others begin.
    Drain,
    /// Running waves stop and their state is kept.
    Suspend,
}

/// A kind of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// Device memory. Counts against the VRAM quota.
    Vram,
    /// Host memory that kernels can reach: rings, signals, kernel arguments, pinned buffers.
    Host,
}

/// What kernels may do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Load.
    Read,
    /// Load and store.
    ReadWrite,
    /// Load and fetch instructions.
    ReadExecute,
}

/// A request for memory.
#[derive(Debug)]
pub struct Allocate {
    /// Which kind.
    pub pool: Pool,
    /// Bytes; rounded up to whole pages by the device.
    pub bytes: u64,
    /// What kernels may do with it.
    pub rights: Rights,
    /// Address at which kernels shall see it. `None`: the device chooses. A device that cannot choose refuses `None`, one that
    /// cannot be told ignores it, and the caller looks at [`Allocation::address`].
    pub address: Option<u64>,
    /// The memory object, where [`DeviceFacts::wants_backing`]; its contents are what was there before, so a recycled one must be clean.
    pub backing: Option<MemFd>,
}

/// Memory that was allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Address at which kernels see it.
    pub address: u64,
    /// Bytes, a multiple of the page size.
    pub bytes: u64,
}

/// Part of a code object that must not be writable or must be executable: page-granular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeSegment {
    /// Offset from the image's address.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
    /// What kernels may do with it.
    pub rights: Rights,
}

/// A kernel of a loaded code object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedKernel {
    /// Name, as in the source.
    pub name: String,
    /// Address of its descriptor: `kernel_object` of a dispatch packet.
    pub kernel_object: u64,
    /// Bytes of its argument segment.
    pub kernarg_bytes: u64,
    /// Static LDS, bytes a work-group.
    pub group_segment_bytes: u32,
    /// Private memory, bytes a work-item.
    pub private_segment_bytes: u32,
}

/// A code object that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedCode {
    /// Where its image is: what offsets in the code object count from.
    pub image: u64,
    /// Its kernels.
    pub kernels: Vec<LoadedKernel>,
}

/// A queue's place in memory that the session already has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSpec {
    /// Address of slot 0.
    pub ring: u64,
    /// Slots, a power of two.
    pub slots: u32,
    /// Address of the read index.
    pub read_index: u64,
    /// Address of the `amd_queue_t`.
    pub structure: u64,
}

/// Names a queue of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueHandle(pub u32);

/// What a running device tells and asks its worker. Called on the device's threads.
pub trait Lease: Sync {
    /// Whether to give up at the next opportunity: preemption was asked for, the slice is over, or the worker has something else to do.
    fn should_stop(&self) -> bool;

    /// A signal's value changed: wake its waiters.
    fn signal_changed(&self, signal: u64);

    /// A kernel wants attention for memory that it wrote: wake everybody who polls.
    fn interrupt(&self);

    /// Returns a fresh, zeroed memory object of `bytes` for memory the device needs by itself, the private-memory backing of waves
    /// (`ChargeKind::Scratch`), charged to the session; `None` if it may not have that much. May wait for the broker.
    fn hidden_memory(&self, bytes: u64) -> Option<MemFd>;

    /// A queue met an error and will run nothing more.
    fn queue_failed(&self, queue: QueueHandle, fault: &DeviceFault);

    /// A packet was consumed and has begun; `dispatch` says whether it runs a kernel. By default nobody wants to know.
    fn packet_began(&self, _queue: QueueHandle, _packet: u64, _dispatch: bool) {}

    /// A kernel has ended and its completion signal was decremented.
    fn dispatch_ended(&self, _queue: QueueHandle, _packet: u64) {}
}

/// What went wrong on a queue: the tenant's own doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFault {
    /// Which sort, for counters and status codes.
    pub kind: FaultClass,
    /// The address that was accessed, where the fault has one.
    pub address: Option<u64>,
    /// Program counter, where the fault has one.
    pub pc: Option<u64>,
    /// Kernel object of the dispatch, where it is one's.
    pub kernel_object: Option<u64>,
    /// Packet number since the queue was made.
    pub packet: u64,
    /// The whole story in words.
    pub text: String,
}

/// Sorts of [`DeviceFault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// A memory access that the address space refused.
    Memory,
    /// A word that is no instruction, or one this device does not execute.
    Instruction,
    /// `s_trap`: the program aborted itself.
    Trap,
    /// A packet that cannot be processed, or a kernel that cannot be launched.
    Packet,
    /// A kernel that wants more than the device has: a cooperative grid that cannot be resident as a whole.
    Resources,
}

/// That a device runs nothing any more for this session, which had better end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Who is to blame.
    pub cause: LossCause,
    /// The whole story in words.
    pub text: String,
}

/// Causes of [`Lost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossCause {
    /// A fault of the session's own program took all its queues with it. None of its waves runs; others are not concerned.
    Fault,
    /// The device was reset, or does not do what it is told. Waves of the session may still run.
    Device,
}

/// Why [`Device::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Nothing is left to run now.
    Drained,
    /// [`Lease::should_stop`] said so; work is left.
    Stopped,
}

/// What a run did. Times are CLOCK_MONOTONIC nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// Why it ended.
    pub end: RunEnd,
    /// When the first instruction executed, if any did.
    pub first_instruction_ns: Option<u64>,
    /// Wave-instructions executed, 0 where the device does not count.
    pub instructions: u64,
}

/// What a session's context occupies. Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ContextBytes {
    /// Resident waves.
    pub waves: u64,
    /// Vector registers.
    pub vgpr: u64,
    /// Scalar registers.
    pub sgpr: u64,
    /// LDS.
    pub lds: u64,
    /// Private memory; stays where it is on a suspend.
    pub scratch: u64,
}

impl ContextBytes {
    /// Returns the bytes that a suspend or a resume copies.
    pub fn copied(&self) -> u64 {
        self.vgpr + self.sgpr + self.lds
    }
}

/// What one dispatch has on the compute units, or has saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Its queue.
    pub queue: QueueHandle,
    /// Its packet's number since the queue was made.
    pub packet: u64,
    /// The packet's kernel object.
    pub kernel_object: u64,
    /// What it occupies.
    pub bytes: ContextBytes,
}

/// Why a device refused something.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The device has not that much memory left.
    #[error("{asked} bytes of device memory asked for, {free} free: free some or ask for less")]
    OutOfMemory {
        /// Bytes asked for.
        asked: u64,
        /// Bytes free.
        free: u64,
    },
    /// The range is not page-aligned, empty, wraps, or overlaps memory of the session.
    #[error("{bytes} bytes at {address:#x} cannot be mapped: {why}")]
    Range {
        /// First address.
        address: u64,
        /// Bytes.
        bytes: u64,
        /// Which of these.
        why: &'static str,
    },
    /// Nothing was allocated at this address.
    #[error("no memory was allocated at {address:#x}")]
    NoSuchMemory {
        /// The address.
        address: u64,
    },
    /// A request that lacks what this backend needs, or the other way round: a bug of ours.
    #[error("the {backend} device needs {what}")]
    Contract {
        /// Which backend.
        backend: &'static str,
        /// What it needs.
        what: &'static str,
    },
    /// A queue with a bad ring.
    #[error(
        "a ring of {slots} slots at {ring:#x}: slots must be a power of two, the address a multiple of 64, and all of it mapped"
    )]
    Ring {
        /// Address of slot 0.
        ring: u64,
        /// Slots.
        slots: u32,
    },
    /// The code object cannot be loaded.
    #[error("code object: {0}")]
    Code(#[from] gcn::code_object::LoadError),
    /// The code object is for another architecture.
    #[error("the code object is for {object}, the device is {device}: compile with --offload-arch={device}")]
    WrongTarget {
        /// What it was compiled for.
        object: String,
        /// What the device is.
        device: String,
    },
    /// Waves that were to hold all registers or LDS of a device at once did not all come.
    #[error(
        "registers and LDS of the device could not be cleared: {waves} waves of {pass} were not there at once\n\
         what next: does another program use the card? `wavegate doctor --run` tries it alone"
    )]
    Unscrubbed {
        /// The kernel.
        pass: &'static str,
        /// Waves that should have been there.
        waves: u32,
    },
    /// A processor without a program that clears it.
    #[error(
        "no program of this release clears registers and LDS of {target}: tenants would see what others left\n\
         what next: with `scrub = false` in the configuration the device is shared all the same"
    )]
    NoScrub {
        /// The processor.
        target: String,
    },
    /// Memory of the host.
    #[error(transparent)]
    Memory(#[from] sys::memfd::MemoryError),
    /// AMD's runtime.
    #[error("{0}")]
    Runtime(String),
    /// Threads of the host.
    #[error("cannot start the device's threads: {0}")]
    Threads(String),
}

impl From<hsa_sys::runtime::HsaError> for DeviceError {
    fn from(error: hsa_sys::runtime::HsaError) -> DeviceError {
        DeviceError::Runtime(error.to_string())
    }
}

/// A part of a memory object, in whole pages.
#[derive(Clone, Copy, Debug)]
pub struct AliasPart<'a> {
    /// The object.
    pub object: &'a MemFd,
    /// Where the part begins in it.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
}

/// A session's address space on a device. Shared between the threads of its worker.
pub trait DeviceMemory: Send + Sync {
    /// Allocates memory and maps it for kernels.
    fn allocate(&self, want: Allocate) -> Result<Allocation, DeviceError>;

    /// Gives back what was allocated at `address`. Kernels that still use it meet a fault.
    fn free(&self, address: u64) -> Result<(), DeviceError>;

    /// Copies bytes into memory at `address`, whatever kernels may do with it.
    fn write(&self, address: u64, data: &[u8]) -> Result<(), DeviceError>;

    /// Copies bytes out of memory at `address`.
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), DeviceError>;

    /// Loads a code object into memory that was allocated at `address` and is large enough
    /// ([`CodeObject::image_bytes`](gcn::code_object::CodeObject::image_bytes)); gives its segments their rights. `file` is what `object` was
    /// parsed from. A device that chooses addresses takes the memory as a place to remember the code by.
    fn load_code(
        &self,
        object: &gcn::code_object::CodeObject,
        file: &[u8],
        address: u64,
    ) -> Result<LoadedCode, DeviceError>;

    /// Copies bytes from memory at one address to memory at another, whatever kernels may do with it. Ranges do not overlap.
    fn copy(&self, to: u64, from: u64, bytes: u64) -> Result<(), DeviceError> {
        let mut piece = vec![0; bytes.min(1 << 20) as usize];
        let mut done = 0;
        while done < bytes {
            let piece = &mut piece[..(bytes - done).min(1 << 20) as usize];
            self.read(from.wrapping_add(done), piece)?;
            self.write(to.wrapping_add(done), piece)?;
            done += piece.len() as u64;
        }
        Ok(())
    }

    /// Lets kernels see parts of memory objects, one after the other, where a device that chooses addresses finds room. Given back with
    /// [`free`](Self::free). Others have [`aliases`](Self::aliases).
    fn place_alias(&self, _parts: &[AliasPart<'_>]) -> Result<Allocation, DeviceError> {
        Err(DeviceError::Contract { backend: "soft", what: "aliases at addresses that the caller chooses" })
    }

    /// Returns bytes of device memory in use.
    fn vram_used(&self) -> u64;

    /// Returns what lets kernels see memory at a second address, where the device can do that.
    fn aliases(&self) -> Option<&dyn Aliases> {
        None
    }
}

/// Asked, on a thread that runs a kernel, to bring memory to an address in an alias. `there` says whether it has come by now. Returns once it has
/// (true), or nothing will come (false).
pub type Supplier = Box<dyn Fn(u64, &dyn Fn() -> bool) -> bool + Send + Sync>;

/// Memory at a second address: what host memory that a tenant registered looks like to kernels.
///
/// An alias is a range in which parts of allocations are mapped. A kernel that touches a part that is not there waits for the [`Supplier`], if the
/// alias was opened so, and else meets a fault.
pub trait Aliases {
    /// Opens an alias of whole pages.
    fn open(&self, address: u64, bytes: u64, ask: bool) -> Result<(), DeviceError>;

    /// Closes the alias that begins at `address`, and unmaps what is mapped in it.
    fn close(&self, address: u64) -> Result<(), DeviceError>;

    /// Maps `bytes` from `offset` of what was allocated at `source` at `address` too, which is in an alias and free. Without `write` kernels may
    /// only load there.
    fn map(&self, address: u64, source: u64, offset: u64, bytes: u64, write: bool) -> Result<(), DeviceError>;

    /// Unmaps what was mapped at `address`.
    fn unmap(&self, address: u64) -> Result<(), DeviceError>;

    /// Sets who is asked. Once.
    fn set_supplier(&self, supplier: Supplier);
}

/// A session's device. Owned by the thread that runs it.
pub trait Device: Send {
    /// Returns what never changes.
    fn facts(&self) -> &DeviceFacts;

    /// Returns the session's address space.
    fn memory(&self) -> Arc<dyn DeviceMemory>;

    /// Adds a queue whose object the session has allocated.
    fn create_queue(&mut self, spec: QueueSpec) -> Result<QueueHandle, DeviceError>;

    /// Removes a queue; what it had in flight is abandoned. Returns whether there was one.
    fn destroy_queue(&mut self, queue: QueueHandle) -> bool;

    /// Whether the device is lost to this session, at any time and cheaply.
    fn lost(&self) -> Option<Lost> {
        None
    }

    /// Restricts the session to the compute units whose bit is set, for work-groups that start from now on.
    fn set_cu_mask(&mut self, mask: &CuMask) -> Result<(), DeviceError>;

    /// Changes how urgent a queue is among those of its session, where [`DeviceFacts::queue_priorities`].
    fn set_priority(&mut self, _queue: QueueHandle, _priority: Priority) -> Result<(), DeviceError> {
        Err(DeviceError::Contract { backend: "soft", what: "all queues of a session to be alike" })
    }

    /// Whether there is anything to run. Cheap; needs no lease.
    fn runnable(&self) -> bool;

    /// Runs until nothing is left or `lease` says stop. Needs the lease, and [`resume`](Self::resume) first after a suspend.
    fn run(&mut self, lease: &dyn Lease) -> RunReport;

    /// Takes running work off the compute units and keeps its state. Returns what was copied. If the device did not do so, it is
    /// [`lost`](Self::lost), and the lease must not be given back while this process lives.
    ///
    /// Devices below [`Preemption::Suspend`] are empty by the time `run` returns and have nothing to do here.
    fn suspend(&mut self) -> ContextBytes;

    /// Puts it back. Returns what was copied.
    fn resume(&mut self) -> ContextBytes;

    /// Lets go of what the hardware has of this session although nothing of it runs: its places among the hardware's queues. Called when
    /// the lease goes; what is needed comes back by itself.
    fn leave(&mut self) {}

    /// Returns how many places among the hardware's queues this session has; `None` if there is no such list, or nothing can be taken off it.
    fn listed_queues(&self) -> Option<usize> {
        None
    }

    /// Whether [`scrub`](Self::scrub) can do what it promises on this device.
    fn can_scrub(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// Clears registers and LDS of the compute units, so that the next session finds nothing. Needs the lease, suspended or drained. After an
    /// error the device must not be used: what is on it is somebody else's.
    fn scrub(&mut self) -> Result<(), DeviceError>;

    /// Returns what is resident or saved now.
    fn context(&self) -> ContextBytes;

    /// Returns the most that was resident at once.
    fn context_peak(&self) -> ContextBytes;

    /// Returns what [`context`](Self::context) is made of, dispatch by dispatch. Empty where the device does not know.
    fn residents(&self) -> Vec<Resident> {
        Vec::new()
    }
}

/// A set of compute units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CuMask(Vec<u32>);

impl CuMask {
    /// Returns the mask of these 32-bit words, lowest units first, as `hsa_amd_queue_cu_set_mask` takes them.
    pub fn from_words(words: Vec<u32>) -> CuMask {
        CuMask(words)
    }

    /// Returns the set's words for a device of `cus` units, without bits beyond them.
    pub fn words_for(&self, cus: u32) -> Vec<u32> {
        let mut words = vec![0; cus.div_ceil(32) as usize];
        for cu in (0..cus).filter(|&cu| self.contains(cu)) {
            words[cu as usize / 32] |= 1 << (cu % 32);
        }
        words
    }

    /// Whether unit `cu` is in the set.
    pub fn contains(&self, cu: u32) -> bool {
        self.0.get(cu as usize / 32).is_some_and(|word| word >> (cu % 32) & 1 == 1)
    }
}

impl fmt::Display for CuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().rev().try_for_each(|word| write!(f, "{word:08x}"))
    }
}
