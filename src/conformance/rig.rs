//! A session for the cases: a device, its memory, any number of queues and signals, and a lease that stops where a case wants.
//!
//! The same packets, rings and signals as a tenant uses, reached through the device's own reads and writes, so that it works on whatever
//! allocates memory. One thread: nothing is read while the device runs.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gcn::aql::{KernelDispatch, Packet, signal};
use gcn::arch::{PRIVATE_APERTURE_HI, SHARED_APERTURE_HI};
use gcn::code_object::CodeObject;
use gcn::kernarg::{KernargBuilder, Launch};
use kernels::{Arg, Case, Target};
use proto::queue::{AmdQueue, FEATURE_KERNEL_DISPATCH, QueueLayout, TYPE_MULTI};
use sys::memfd::MemFd;
use zerocopy::IntoBytes;

use crate::device::{
    Allocate, Device, DeviceError, DeviceFault, DeviceMemory, Lease, Pool, QueueHandle, QueueSpec, Rights, RunEnd,
    RunReport,
};

/// How long a case may have the device before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);
/// Signals that a case may have.
const SIGNALS: u64 = 1024;

/// A completion signal, by its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal(u64);

impl Signal {
    /// Returns its address, as packets name it.
    pub(super) fn address(self) -> u64 {
        self.0
    }
}

/// A queue and its producer's state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    pub(super) handle: QueueHandle,
    at: u64,
    slots: u64,
    submitted: u64,
}

/// A lease that stops after a number of questions, and remembers what it was told.
struct CaseLease {
    questions_left: AtomicU64,
    asked: AtomicU64,
    deadline: Instant,
    late: AtomicBool,
    faults: Mutex<Vec<(QueueHandle, DeviceFault)>>,
}

impl Lease for CaseLease {
    fn should_stop(&self) -> bool {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(64) && Instant::now() >= self.deadline {
            self.late.store(true, Ordering::Relaxed);
        }
        let less = |left: u64| left.checked_sub(1);
        self.late.load(Ordering::Relaxed)
            || self.questions_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err()
    }

    fn signal_changed(&self, _: u64) {}

    fn interrupt(&self) {}

    fn hidden_memory(&self, bytes: u64) -> Option<MemFd> {
        MemFd::create("wavegate-scratch", usize::try_from(bytes).ok()?).ok()
    }

    fn queue_failed(&self, queue: QueueHandle, fault: &DeviceFault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push((queue, fault.clone()));
    }
}

/// See the module.
pub(super) struct Rig {
    pub(super) device: Box<dyn Device>,
    pub(super) memory: Arc<dyn DeviceMemory>,
    pub(super) target: Target,
    lease: CaseLease,
    signals_at: u64,
    signals_used: Cell<u64>,
}

impl Rig {
    pub(super) fn new(device: Box<dyn Device>, target: Target) -> Result<Rig> {
        let memory = device.memory();
        let lease = CaseLease {
            questions_left: AtomicU64::new(u64::MAX),
            asked: AtomicU64::new(0),
            deadline: Instant::now() + PATIENCE,
            late: AtomicBool::new(false),
            faults: Mutex::default(),
        };
        let mut rig = Rig { device, memory, target, lease, signals_at: 0, signals_used: Cell::new(0) };
        rig.signals_at = rig.host(SIGNALS * signal::BYTES)?;
        Ok(rig)
    }

    /// Allocates host memory that kernels can reach.
    pub(super) fn host(&self, bytes: u64) -> Result<u64> {
        let want = Allocate { pool: Pool::Host, bytes, rights: Rights::ReadWrite, address: None, backing: None };
        Ok(self.memory.allocate(want).context("host memory")?.address)
    }

    /// Allocates device memory with these contents.
    pub(super) fn upload(&self, bytes: &[u8]) -> Result<u64> {
        let at = self.memory.allocate(vram(bytes.len() as u64)).context("device memory")?.address;
        self.memory.write(at, bytes)?;
        Ok(at)
    }

    pub(super) fn download(&self, address: u64, bytes: usize) -> Result<Vec<u8>> {
        let mut out = vec![0; bytes];
        self.memory.read(address, &mut out)?;
        Ok(out)
    }

    fn word(&self, at: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.memory.read(at, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Makes a signal.
    pub(super) fn signal(&self, value: i64) -> Result<Signal> {
        let at = self.signals_used.get();
        ensure!(at < SIGNALS, "the case has too many signals");
        self.signals_used.set(at + 1);
        let signal = Signal(self.signals_at + at * signal::BYTES);
        self.memory.write(signal.0, &1u64.to_le_bytes())?;
        self.set(signal, value)?;
        Ok(signal)
    }

    pub(super) fn set(&self, signal: Signal, value: i64) -> Result<()> {
        Ok(self.memory.write(signal.0 + signal::VALUE, &value.to_le_bytes())?)
    }

    pub(super) fn value(&self, signal: Signal) -> Result<i64> {
        Ok(self.word(signal.0 + signal::VALUE)?.cast_signed())
    }

    /// Returns the start and end stamps.
    pub(super) fn times(&self, signal: Signal) -> Result<(u64, u64)> {
        Ok((self.word(signal.0 + signal::START_TS)?, self.word(signal.0 + signal::END_TS)?))
    }

    /// Makes a queue of `slots`, all of them INVALID.
    pub(super) fn queue(&mut self, slots: u32) -> Result<Queue> {
        self.try_queue(slots)?.context("the device refuses a good ring")
    }

    /// The same, where the device may refuse.
    pub(super) fn try_queue(&mut self, slots: u32) -> Result<Result<Queue, DeviceError>> {
        let at = self.host(QueueLayout::RING as u64 + u64::from(slots) * 64)?;
        let ring = at + QueueLayout::RING as u64;
        let head = AmdQueue {
            queue_type: TYPE_MULTI,
            features: FEATURE_KERNEL_DISPATCH,
            base_address: ring,
            doorbell_signal: at + QueueLayout::DOORBELL as u64,
            size: slots,
            group_segment_aperture_base_hi: SHARED_APERTURE_HI,
            private_segment_aperture_base_hi: PRIVATE_APERTURE_HI,
            ..AmdQueue::default()
        };
        self.memory.write(at, head.as_bytes())?;
        for slot in 0..u64::from(slots) {
            self.memory.write(ring + slot * 64, &u32::from(gcn::aql::TYPE_INVALID).to_le_bytes())?;
        }
        let read_index = at + QueueLayout::READ_INDEX as u64;
        let made = self.device.create_queue(QueueSpec { ring, slots, read_index, structure: at });
        Ok(made.map(|handle| Queue { handle, at, slots: slots.into(), submitted: 0 }))
    }

    /// Puts the next packet as a producer must: the body, then the header.
    pub(super) fn put(&self, queue: &mut Queue, packet: &[u8; 64]) -> Result<()> {
        ensure!(queue.submitted < self.consumed(queue)? + queue.slots, "the case overran its ring");
        let slot = queue.at + QueueLayout::RING as u64 + queue.submitted % queue.slots * 64;
        self.memory.write(slot + 4, &packet[4..])?;
        self.memory.write(slot, &packet[..4])?;
        queue.submitted += 1;
        Ok(self.memory.write(queue.at + QueueLayout::WRITE_INDEX as u64, &queue.submitted.to_le_bytes())?)
    }

    /// Returns the packets that the device has given back.
    pub(super) fn consumed(&self, queue: &Queue) -> Result<u64> {
        self.word(queue.at + QueueLayout::READ_INDEX as u64)
    }

    /// Returns the type in the header of a slot.
    pub(super) fn header(&self, queue: &Queue, slot: u64) -> Result<u8> {
        let mut byte = [0];
        self.memory.read(queue.at + QueueLayout::RING as u64 + slot % queue.slots * 64, &mut byte)?;
        Ok(byte[0])
    }

    /// Returns the dispatch of `case` over buffers at `addresses`, with its code loaded and its arguments in memory.
    pub(super) fn dispatch(&self, case: &Case, addresses: &[u64]) -> Result<KernelDispatch> {
        let bytes = kernels::find(case.kernel).context("an embedded kernel")?.code_object(self.target);
        let object = CodeObject::parse(bytes)?;
        let want = Allocate { rights: Rights::ReadExecute, ..vram(object.image_bytes()) };
        let code = self.memory.load_code(&object, bytes, self.memory.allocate(want)?.address)?;
        let loaded = code.kernels.iter().find(|k| k.name == case.kernel).context("the kernel was not loaded")?;
        let info = object.kernel(case.kernel).context("the kernel is not in its object")?;
        let mut launch = Launch::new(case.grid, case.workgroup);
        launch.dynamic_lds_bytes = case.dynamic_lds;
        (launch.shared_base, launch.private_base) = (SHARED_APERTURE_HI, PRIVATE_APERTURE_HI);
        let setup = u16::from(launch.dims);
        let mut builder = KernargBuilder::new(info, launch)?;
        for arg in &case.args {
            builder = match *arg {
                Arg::Buffer { index, offset } => builder.pointer(addresses[index] + offset)?,
                Arg::U32(value) => builder.arg(&value.to_le_bytes())?,
                Arg::U64(value) => builder.arg(&value.to_le_bytes())?,
                Arg::F32(value) => builder.arg(&value.to_le_bytes())?,
            };
        }
        let kernarg = builder.finish()?;
        // An empty kernel takes none; its packet still names an address.
        let kernarg_address = self.host(kernarg.bytes.len().max(64) as u64)?;
        self.memory.write(kernarg_address, &kernarg.bytes)?;
        Ok(KernelDispatch {
            setup,
            workgroup: case.workgroup,
            grid: case.grid,
            private_segment_size: loaded.private_segment_bytes,
            group_segment_size: kernarg.group_segment_bytes,
            kernel_object: loaded.kernel_object,
            kernarg_address,
        })
    }

    /// Uploads a case's buffers.
    pub(super) fn place(&self, case: &Case) -> Result<Vec<u64>> {
        case.buffers.iter().map(|buffer| self.upload(&buffer.bytes)).collect()
    }

    /// Places and submits `case` without the barrier bit; returns its buffers' addresses.
    pub(super) fn submit(&self, queue: &mut Queue, case: &Case, completion: u64) -> Result<Vec<u64>> {
        let addresses = self.place(case)?;
        self.put(queue, &Packet::kernel(&self.dispatch(case, &addresses)?, false, completion))?;
        Ok(addresses)
    }

    /// Runs until nothing is left.
    pub(super) fn run(&mut self) -> Result<RunReport> {
        let report = self.run_until(u64::MAX)?;
        ensure!(report.end == RunEnd::Drained, "work is left");
        Ok(report)
    }

    /// Runs until nothing is left or `questions` were answered with no.
    pub(super) fn run_until(&mut self, questions: u64) -> Result<RunReport> {
        self.lease.questions_left.store(questions, Ordering::Relaxed);
        let report = self.device.run(&self.lease);
        ensure!(!self.lease.late.load(Ordering::Relaxed), "the device still runs after {PATIENCE:?}");
        Ok(report)
    }

    /// Takes the faults that were reported.
    pub(super) fn faults(&self) -> Vec<(QueueHandle, DeviceFault)> {
        std::mem::take(&mut self.lease.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads back and judges a case's buffers.
    pub(super) fn check(&self, case: &Case, addresses: &[u64]) -> Result<()> {
        case.check(&self.results(case, addresses)?).with_context(|| case.kernel)
    }

    fn results(&self, case: &Case, addresses: &[u64]) -> Result<Vec<Vec<u8>>> {
        case.buffers.iter().zip(addresses).map(|(buffer, &at)| self.download(at, buffer.bytes.len())).collect()
    }

    /// Runs `case` on a queue of its own and judges it; returns the device's own time for it, in ticks.
    pub(super) fn verify(&mut self, case: &Case) -> Result<u64> {
        let (addresses, done) = self.once(case)?;
        ensure!(self.value(done)? == 0, "{} did not complete", case.kernel);
        self.check(case, &addresses)?;
        self.drop_buffers(&addresses)?;
        let (start, end) = self.times(done)?;
        Ok(end.saturating_sub(start))
    }

    /// Runs `case` on a queue of its own; returns its first buffer, unjudged.
    pub(super) fn dump(&mut self, case: &Case) -> Result<Vec<u8>> {
        let (addresses, _) = self.once(case)?;
        let dump = self.results(case, &addresses)?.swap_remove(0);
        self.drop_buffers(&addresses)?;
        Ok(dump)
    }

    fn once(&mut self, case: &Case) -> Result<(Vec<u64>, Signal)> {
        let mut queue = self.queue(64)?;
        let done = self.signal(1)?;
        let addresses = self.submit(&mut queue, case, done.address())?;
        self.run()?;
        let faults = self.faults();
        ensure!(faults.is_empty(), "{}: {}", case.kernel, faults[0].1.text);
        ensure!(self.device.destroy_queue(queue.handle), "the queue was gone by itself");
        Ok((addresses, done))
    }

    fn drop_buffers(&self, addresses: &[u64]) -> Result<()> {
        addresses.iter().try_for_each(|&at| Ok(self.memory.free(at)?))
    }
}

/// A request for device memory.
pub(super) fn vram(bytes: u64) -> Allocate {
    Allocate { pool: Pool::Vram, bytes, rights: Rights::ReadWrite, address: None, backing: None }
}
