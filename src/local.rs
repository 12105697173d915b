//! A session in one process: a device, one queue, and a program to run on it.
//!
//! The same packets, rings and signals as a tenant uses, without broker, socket or second process. It is what `wavegate device run`
//! uses, what tests drive devices with, and the arm that everything else is measured against.

use crate::clock;
use crate::device::{
    Allocate, Device, DeviceError, DeviceFault, DeviceMemory, Lease, LoadedKernel, Pool, QueueHandle, QueueSpec,
    Rights, RunEnd,
};
use gcn::aql::{KernelDispatch, Packet, signal};
use gcn::arch::{PRIVATE_APERTURE_HI, SHARED_APERTURE_HI};
use gcn::code_object::{CodeObject, KernelInfo};
use gcn::kernarg::{KernargBuilder, KernargError, Launch};
use proto::queue::{AmdQueue, FEATURE_KERNEL_DISPATCH, QueueLayout, TYPE_MULTI};
use proto::range::RingSlots;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sys::memfd::MemFd;
use zerocopy::IntoBytes;

/// Slots of the session's ring.
const SLOTS: u32 = 64;
/// Bytes for arguments of dispatches in flight, used in turn.
const KERNARG_BYTES: u64 = 1 << 20;
/// Largest argument segment taken: what the ring can have in flight must fit.
const KERNARG_EACH_MAX: u64 = KERNARG_BYTES / SLOTS as u64;

/// Why a session cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The device refused.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// An argument does not suit the kernel.
    #[error("kernel arguments: {0}")]
    Arguments(#[from] KernargError),
    /// The code object has no such kernel.
    #[error("the code object has no kernel {name:?}; it has {has:?}")]
    NoKernel {
        /// What was asked for.
        name: String,
        /// What there is.
        has: Vec<String>,
    },
    /// The queue met an error: the kernel's fault.
    #[error("{}", .0.text)]
    Fault(DeviceFault),
    /// The work is not done within the time allowed.
    #[error("the kernel still runs after {limit:?}: it may be endless; allow more time or a smaller size")]
    Timeout {
        /// Time allowed.
        limit: Duration,
    },
    /// More dispatches than the ring has slots.
    #[error("the ring is full: {SLOTS} dispatches are in flight; wait for some")]
    RingFull,
}

/// A loaded code object.
pub struct Program {
    object: CodeObject,
    kernels: Vec<LoadedKernel>,
}

impl Program {
    /// Returns a kernel by its name.
    pub fn kernel(&self, name: &str) -> Result<(&KernelInfo, &LoadedKernel), LocalError> {
        let loaded = self.kernels.iter().find(|k| k.name == name);
        self.object.kernel(name).zip(loaded).ok_or_else(|| LocalError::NoKernel {
            name: name.to_owned(),
            has: self.kernels.iter().map(|k| k.name.clone()).collect(),
        })
    }
}

/// An explicit kernel argument.
#[derive(Clone, Debug)]
pub enum Argument {
    /// A device address.
    Pointer(u64),
    /// Bytes of a value.
    Bytes(Vec<u8>),
}

/// A dispatch that was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    index: u64,
    signal: u64,
}

/// When a dispatch ran, in device timestamps (CLOCK_MONOTONIC nanoseconds on `soft`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// First work-group started.
    pub start_ns: u64,
    /// Completion signal decremented.
    pub end_ns: u64,
}

/// See the module.
pub struct LocalSession {
    device: Box<dyn Device>,
    memory: Arc<dyn DeviceMemory>,
    queue: QueueHandle,
    layout: QueueLayout,
    queue_at: u64,
    signals_at: u64,
    kernargs_at: u64,
    kernargs_used: u64,
    submitted: u64,
    lease: LocalLease,
}

impl LocalSession {
    /// Returns a session on `device` with one queue.
    pub fn new(mut device: Box<dyn Device>) -> Result<LocalSession, LocalError> {
        let memory = device.memory();
        let host = |bytes| {
            let want = Allocate { pool: Pool::Host, bytes, rights: Rights::ReadWrite, address: None, backing: None };
            memory.allocate(want).map(|a| a.address)
        };
        // PANIC: 64 is a power of two within the limits.
        let layout = QueueLayout::new(RingSlots::new(SLOTS).expect("64 slots"));
        let queue_at = host(layout.bytes().0)?;
        let (signals_at, kernargs_at) = (host(u64::from(SLOTS) * signal::BYTES)?, host(KERNARG_BYTES)?);
        let ring = queue_at + QueueLayout::RING as u64;
        let head = AmdQueue {
            queue_type: TYPE_MULTI,
            features: FEATURE_KERNEL_DISPATCH,
            base_address: ring,
            doorbell_signal: queue_at + QueueLayout::DOORBELL as u64,
            size: SLOTS,
            group_segment_aperture_base_hi: SHARED_APERTURE_HI,
            private_segment_aperture_base_hi: PRIVATE_APERTURE_HI,
            ..AmdQueue::default()
        };
        memory.write(queue_at, head.as_bytes())?;
        for slot in 0..u64::from(SLOTS) {
            memory.write(ring + slot * 64, &u32::from(gcn::aql::TYPE_INVALID).to_le_bytes())?;
        }
        let read_index = queue_at + QueueLayout::READ_INDEX as u64;
        let queue = device.create_queue(QueueSpec { ring, slots: SLOTS, read_index, structure: queue_at })?;
        let lease = LocalLease::default();
        let (kernargs_used, submitted) = (0, 0);
        Ok(LocalSession {
            device,
            memory,
            queue,
            layout,
            queue_at,
            signals_at,
            kernargs_at,
            kernargs_used,
            submitted,
            lease,
        })
    }

    /// Returns the device.
    pub fn device(&mut self) -> &mut dyn Device {
        &mut *self.device
    }

    /// Returns the session's memory.
    pub fn memory(&self) -> &dyn DeviceMemory {
        &*self.memory
    }

    /// Allocates device memory with these contents.
    pub fn upload(&self, bytes: &[u8]) -> Result<u64, LocalError> {
        let (pool, rights) = (Pool::Vram, Rights::ReadWrite);
        let want = Allocate { pool, bytes: bytes.len() as u64, rights, address: None, backing: None };
        let at = self.memory.allocate(want)?.address;
        self.memory.write(at, bytes)?;
        Ok(at)
    }

    /// Returns the contents of device memory.
    pub fn download(&self, address: u64, bytes: usize) -> Result<Vec<u8>, LocalError> {
        let mut out = vec![0; bytes];
        self.memory.read(address, &mut out)?;
        Ok(out)
    }

    /// Loads a code object.
    pub fn load(&self, bytes: &[u8]) -> Result<Program, LocalError> {
        let object = CodeObject::parse(bytes).map_err(DeviceError::from)?;
        let (pool, rights) = (Pool::Vram, Rights::ReadExecute);
        let want = Allocate { pool, bytes: object.image_bytes(), rights, address: None, backing: None };
        let at = self.memory.allocate(want)?.address;
        let kernels = self.memory.load_code(&object, bytes, at)?.kernels;
        Ok(Program { object, kernels })
    }

    /// Puts a dispatch into the ring.
    pub fn submit(
        &mut self,
        program: &Program,
        kernel: &str,
        grid: [u32; 3],
        workgroup: [u16; 3],
        dynamic_lds: u32,
        arguments: &[Argument],
    ) -> Result<Ticket, LocalError> {
        let dispatch = self.prepare(program, kernel, grid, workgroup, dynamic_lds, arguments)?;
        self.submit_packet(|completion| Packet::kernel(&dispatch, true, completion))
    }

    /// Lays out a dispatch's arguments; returns what a packet says of it.
    pub fn prepare(
        &mut self,
        program: &Program,
        kernel: &str,
        grid: [u32; 3],
        workgroup: [u16; 3],
        dynamic_lds: u32,
        arguments: &[Argument],
    ) -> Result<KernelDispatch, LocalError> {
        let (info, loaded) = program.kernel(kernel)?;
        let mut launch = Launch::new(grid, workgroup);
        launch.dynamic_lds_bytes = dynamic_lds;
        launch.queue_ptr = self.queue_at;
        (launch.shared_base, launch.private_base) = (SHARED_APERTURE_HI, PRIVATE_APERTURE_HI);
        let dims = u16::from(launch.dims);
        let mut builder = KernargBuilder::new(info, launch)?;
        for argument in arguments {
            builder = match argument {
                Argument::Pointer(address) => builder.pointer(*address)?,
                Argument::Bytes(bytes) => builder.arg(bytes)?,
            };
        }
        let kernarg = builder.finish()?;
        let kernarg_address = self.place_kernarg(&kernarg.bytes)?;
        Ok(KernelDispatch {
            setup: dims,
            workgroup,
            grid,
            private_segment_size: loaded.private_segment_bytes,
            group_segment_size: kernarg.group_segment_bytes,
            kernel_object: loaded.kernel_object,
            kernarg_address,
        })
    }

    /// Puts any packet into the ring; `packet` is given the address of its completion signal.
    pub fn submit_packet(&mut self, packet: impl FnOnce(u64) -> [u8; 64]) -> Result<Ticket, LocalError> {
        let index = self.submitted;
        if index >= self.word(QueueLayout::READ_INDEX)? + u64::from(SLOTS) {
            return Err(LocalError::RingFull);
        }
        let signal_at = self.signals_at + index % u64::from(SLOTS) * signal::BYTES;
        let mut fresh = [0u8; signal::BYTES as usize];
        fresh[0] = 1; // a user signal
        fresh[signal::VALUE as usize] = 1;
        self.memory.write(signal_at, &fresh)?;
        let bytes = packet(signal_at);
        let slot = self.queue_at + self.layout.slot(index) as u64;
        // The header goes last, as a producer must do it.
        self.memory.write(slot + 4, &bytes[4..])?;
        self.memory.write(slot, &bytes[..4])?;
        self.submitted += 1;
        self.memory.write(self.queue_at + QueueLayout::WRITE_INDEX as u64, &self.submitted.to_le_bytes())?;
        Ok(Ticket { index, signal: signal_at })
    }

    fn place_kernarg(&mut self, bytes: &[u8]) -> Result<u64, LocalError> {
        let len = (bytes.len() as u64).next_multiple_of(64);
        if len > KERNARG_EACH_MAX {
            return Err(DeviceError::OutOfMemory { asked: len, free: KERNARG_EACH_MAX }.into());
        }
        if self.kernargs_used + len > KERNARG_BYTES {
            self.kernargs_used = 0;
        }
        let at = self.kernargs_at + self.kernargs_used;
        self.kernargs_used += len;
        self.memory.write(at, bytes)?;
        Ok(at)
    }

    fn word(&self, offset: usize) -> Result<u64, LocalError> {
        let mut bytes = [0; 8];
        self.memory.read(self.queue_at + offset as u64, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Whether a dispatch is complete.
    pub fn is_done(&self, ticket: Ticket) -> Result<bool, LocalError> {
        let mut value = [0; 8];
        self.memory.read(ticket.signal + signal::VALUE, &mut value)?;
        Ok(value == [0; 8])
    }

    /// Runs the device until it drains or `limit` is over. Returns the wave-instructions executed.
    pub fn run_for(&mut self, limit: Duration) -> Result<(RunEnd, u64), LocalError> {
        self.lease.begin(limit);
        let report = self.device.run(&self.lease);
        match self.lease.take_fault() {
            Some(fault) => Err(LocalError::Fault(fault)),
            None => Ok((report.end, report.instructions)),
        }
    }

    /// Runs the device until `ticket` is done. Returns when it ran and the wave-instructions executed meanwhile.
    pub fn finish(&mut self, ticket: Ticket, limit: Duration) -> Result<(Times, u64), LocalError> {
        let (_, instructions) = self.run_for(limit)?;
        if !self.is_done(ticket)? {
            return Err(LocalError::Timeout { limit });
        }
        Ok((self.times(ticket)?, instructions))
    }

    /// Returns when a completed dispatch ran.
    pub fn times(&self, ticket: Ticket) -> Result<Times, LocalError> {
        let mut stamps = [0; 16];
        self.memory.read(ticket.signal + signal::START_TS, &mut stamps)?;
        let [start, end] = [0, 8].map(|at| u64::from_le_bytes(core::array::from_fn(|k| stamps[at + k])));
        Ok(Times { start_ns: start, end_ns: end })
    }

    /// Returns the packets that the device has consumed.
    pub fn consumed(&self) -> Result<u64, LocalError> {
        self.word(QueueLayout::READ_INDEX)
    }

    /// Removes the queue and what it had in flight. The session is of no use afterwards but to read memory.
    pub fn close(&mut self) -> bool {
        self.device.destroy_queue(self.queue)
    }
}

/// How many questions are answered from memory before the clock is asked again.
const QUESTIONS_PER_CLOCK: u32 = 16;

/// A lease nobody contends for: it ends at a deadline.
#[derive(Default)]
struct LocalLease {
    deadline_ns: u64,
    over: AtomicBool,
    questions: AtomicU32,
    fault: Mutex<Option<DeviceFault>>,
}

impl LocalLease {
    fn begin(&mut self, limit: Duration) {
        self.deadline_ns = clock::now_ns().saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        *self.over.get_mut() = false;
    }

    fn take_fault(&self) -> Option<DeviceFault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Lease for LocalLease {
    fn should_stop(&self) -> bool {
        if self.questions.fetch_add(1, Ordering::Relaxed).is_multiple_of(QUESTIONS_PER_CLOCK)
            && clock::now_ns() >= self.deadline_ns
        {
            self.over.store(true, Ordering::Relaxed);
        }
        self.over.load(Ordering::Relaxed)
    }

    fn signal_changed(&self, _: u64) {}

    fn interrupt(&self) {}

    fn hidden_memory(&self, bytes: u64) -> Option<MemFd> {
        MemFd::create("wavegate-scratch", usize::try_from(bytes).ok()?).ok()
    }

    fn queue_failed(&self, _: QueueHandle, fault: &DeviceFault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault.clone());
    }
}
