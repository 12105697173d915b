//! The GPU itself: a thread that runs what the queues hold, one queue at a time, as the hardware scheduler does.
//!
//! Every queue is a context of its own on the shared compute units, so taking one off the run list (`queue_percentage` 0) is a real
//! suspend: its waves' registers and LDS are copied out and copied back later. A queue that has run for a slice while another
//! as urgent or more so has work makes room in the same way. Kernels, ROCr's own among them, are interpreted and never replaced.
//!
//! A GPU that is lost, as by a reset of the driver's, runs nothing any more and makes and changes no queues; nobody is told, as ROCr 5.2.3 is not.
//!
//! Doorbells are plain memory that nobody can be told about, so the thread looks at the rings; the longer nothing happens the less often. What is asked of the
//! driver, a queue that comes back onto the run list for one, it hears of at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gcn::aql::{PACKET_BYTES, signal};
use gcn::engine::{self, Context, Host, Outcome, QueueError, QueueId, QueueSpec};
use gcn::fault::FaultKind;
use gcn::hardware::CuHardware;
use gcn::memory::{Access, Memory, MemoryFault, Refusal};

use crate::abi::{GPU_NODE, Status, mem_flags};
use crate::clock::now_ns;
use crate::config::Config;
use crate::event::{Events, Fault};
use crate::memory::{PAGE, Space};
use crate::sdma::Engines;

/// How long a queue runs while others wait.
const SLICE_NS: u64 = 1_000_000;
/// Looks without work before the thread sleeps between looks.
const BUSY_LOOKS: u32 = 2_000;
const NAP: Duration = Duration::from_micros(50);
/// Looks with naps before the naps get long.
const SHORT_NAPS: u32 = 20_000;
const LONG_NAP: Duration = Duration::from_millis(1);

/// Offset of `queue_inactive_signal` in an `amd_queue_t`.
const INACTIVE_SIGNAL: u64 = 192;
/// Offset of `read_dispatch_id`: what the thunk is given to find the rest by.
const READ_DISPATCH_ID: u64 = 128;
/// Vendor packet format of an indirect buffer of PM4 commands.
const FORMAT_PM4: u8 = 1;

/// Why a queue stopped, as its owner is told.
#[derive(Clone, Copy, Debug)]
struct Stopped {
    /// What the packet processor stores into `queue_inactive_signal`.
    inactive: u64,
    /// The number of the driver's exception (`EC_QUEUE_` in `kfd_ioctl.h`), from 1.
    exception: u32,
}

mod stopped {
    use super::Stopped;

    const fn by(inactive: u64, exception: u32) -> Stopped {
        Stopped { inactive, exception }
    }

    pub(super) const INVALID_DIMENSIONS: Stopped = by(2, 16);
    pub(super) const INVALID_GROUP_MEMORY: Stopped = by(4, 17);
    pub(super) const INVALID_CODE: Stopped = by(8, 18);
    pub(super) const INVALID_PACKET: Stopped = by(32, 20);
    pub(super) const OUT_OF_REGISTERS: Stopped = by(128, 22);
    pub(super) const APERTURE: Stopped = by(0x2000_0000, 6);
    pub(super) const ILLEGAL_INSTRUCTION: Stopped = by(0x4000_0000, 4);
    pub(super) const TRAP: Stopped = by(0x8000_0000, 2);
    pub(super) const ABORT: Stopped = by(0x8000_0000, 1);
}

/// Where a queue's errors are told, if not in its `queue_inactive_signal`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Errors {
    /// Address of the word that has a bit for each exception.
    pub(crate) reasons: u64,
    /// The event that is set then.
    pub(crate) event: u32,
}

/// An AQL queue as the thunk's caller described it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) ring: u64,
    pub(crate) ring_bytes: u64,
    /// Address of `read_dispatch_id`.
    pub(crate) read_pointer: u64,
    pub(crate) percentage: u32,
    pub(crate) priority: i32,
    pub(crate) errors: Option<Errors>,
}

struct Queue {
    context: Context,
    /// Address of its `amd_queue_t`.
    structure: u64,
    active: bool,
    /// From -3 to 3; queues of the highest that have work run, in turns.
    priority: i32,
    failed: bool,
    errors: Option<Errors>,
    /// Private memory: address and bytes.
    scratch: Mutex<Option<(u64, u64)>>,
}

struct Machine {
    hardware: Box<[CuHardware]>,
    queues: BTreeMap<u32, Queue>,
    /// Whose registers are on the compute units.
    resident: Option<u32>,
    /// Who ran last.
    last: u32,
}

/// The GPU of this process.
pub(crate) struct Gpu {
    config: Config,
    pub(crate) space: Space,
    pub(crate) events: Events,
    pub(crate) engines: Engines,
    machine: Mutex<Machine>,
    /// Callers that want the machine: whoever runs gives up for them.
    wanted: AtomicU32,
    /// How often the machine was changed by them, and who sleeps until it is again.
    changes: Mutex<u64>,
    changed: Condvar,
    /// It runs nothing any more.
    lost: AtomicBool,
    /// Suspends of waves that ran, since the beginning.
    suspends: AtomicU64,
}

impl Gpu {
    /// Powers the GPU on. It runs until the process ends.
    pub(crate) fn start(config: Config) -> std::io::Result<Arc<Gpu>> {
        let machine = Machine {
            hardware: CuHardware::power_on(config.cus as usize),
            queues: BTreeMap::new(),
            resident: None,
            last: 0,
        };
        let gpu = Arc::new(Gpu {
            space: Space::new(config.vram_bytes),
            config,
            events: Events::new(),
            engines: Engines::default(),
            machine: Mutex::new(machine),
            wanted: AtomicU32::new(0),
            changes: Mutex::new(0),
            changed: Condvar::new(),
            lost: AtomicBool::new(false),
            suspends: AtomicU64::new(0),
        });
        let (mailboxes, bytes) = gpu.events.mailbox_range();
        gpu.space.map_own(mailboxes, bytes);
        let runner = Arc::clone(&gpu);
        std::thread::Builder::new().name("softkmt-gpu".to_owned()).spawn(move || runner.work())?;
        let copier = Arc::clone(&gpu);
        std::thread::Builder::new().name("softkmt-sdma".to_owned()).spawn(move || copier.copy())?;
        Ok(gpu)
    }

    /// The thread of the copy engines.
    fn copy(&self) {
        let mut idle = 0u32;
        while self.not_lost().is_ok() {
            let turn = self.engines.turn(&self.space);
            if turn.interrupt {
                self.events.interrupt();
            }
            turn.faults.iter().for_each(|fault| self.memory_fault(fault));
            for word in turn.nonsense.iter().filter(|_| self.config.trace) {
                eprintln!("softkmt: {word:#x} is no command of a copy engine");
            }
            idle = if turn.busy { 0 } else { idle.saturating_add(1) };
            match pause(idle) {
                None => std::hint::spin_loop(),
                Some(time) => std::thread::sleep(time),
            }
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    fn not_lost(&self) -> Result<(), Status> {
        if self.lost.load(Ordering::Acquire) { Err(Status::Error) } else { Ok(()) }
    }

    /// Adds an AQL queue; returns its number, which is never 0.
    pub(crate) fn create_queue(&self, wanted: Wanted) -> Result<u32, Status> {
        self.not_lost()?;
        let slots = wanted.ring_bytes / PACKET_BYTES as u64;
        if !slots.is_power_of_two() || slots > u64::from(u32::MAX) || wanted.read_pointer < READ_DISPATCH_ID {
            return Err(Status::InvalidParameter);
        }
        let shape = engine::Config { arch: self.config.arch, cus: self.config.cus, threads: 1 };
        let mut context = Context::new(shape).map_err(|_| Status::NoMemory)?;
        let structure = wanted.read_pointer - READ_DISPATCH_ID;
        context.create_queue(QueueSpec {
            ring: wanted.ring,
            slots: slots as u32,
            read_index: wanted.read_pointer,
            structure,
        });
        self.with(|machine| {
            let id = (1..crate::sdma::FIRST_ID).find(|id| !machine.queues.contains_key(id));
            let id = id.ok_or(Status::OutOfResources)?;
            let scratch = Mutex::new(None);
            let (active, priority, errors) = (wanted.percentage > 0, wanted.priority, wanted.errors);
            let queue = Queue { context, structure, active, priority, failed: false, errors, scratch };
            machine.queues.insert(id, queue);
            Ok(id)
        })
    }

    /// Removes a queue with everything it had in flight.
    pub(crate) fn destroy_queue(&self, id: u32) -> Result<(), Status> {
        let gone = self.with(|machine| {
            if machine.resident == Some(id) {
                machine.resident = None;
            }
            machine.queues.remove(&id)
        });
        let queue = gone.ok_or(Status::InvalidHandle)?;
        let scratch = *queue.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((address, bytes)) = scratch {
            self.space.free(address, bytes)?;
        }
        Ok(())
    }

    /// Puts a queue on the run list or takes it off; when this returns, a queue that was taken off runs nothing.
    pub(crate) fn update_queue(&self, id: u32, percentage: u32, priority: i32) -> Result<(), Status> {
        self.not_lost()?;
        self.with(|machine| {
            let resident = machine.resident == Some(id);
            let queue = machine.queues.get_mut(&id).ok_or(Status::InvalidHandle)?;
            (queue.active, queue.priority) = (percentage > 0, priority);
            if !queue.active && resident {
                self.suspend(queue, &machine.hardware);
                machine.resident = None;
            }
            Ok(())
        })
    }

    /// Says which compute units a queue's work-groups may use.
    pub(crate) fn set_cu_mask(&self, id: u32, mask: &[u32]) -> Result<(), Status> {
        self.with(|machine| {
            let queue = machine.queues.get_mut(&id).ok_or(Status::InvalidHandle)?;
            let allowed = |cu: u32| mask.get(cu as usize / 32).is_some_and(|word| word >> (cu % 32) & 1 == 1);
            if queue.context.set_cu_mask(allowed) { Ok(()) } else { Err(Status::InvalidParameter) }
        })
    }

    /// Whether there is such a queue.
    pub(crate) fn has_queue(&self, id: u32) -> bool {
        self.with(|machine| machine.queues.contains_key(&id))
    }

    /// Returns the number of the queue with this `amd_queue_t`.
    pub(crate) fn queue_of(&self, structure: u64) -> Option<u32> {
        self.with(|machine| machine.queues.iter().find(|(_, queue)| queue.structure == structure).map(|(&id, _)| id))
    }

    /// Does something to memory while no queue runs and no engine copies.
    pub(crate) fn still<R>(&self, then: impl FnOnce(&Space) -> R) -> R {
        self.with(|_| self.engines.still(|| then(&self.space)))
    }

    /// Takes the machine from whoever runs on it.
    fn with<R>(&self, then: impl FnOnce(&mut Machine) -> R) -> R {
        self.wanted.fetch_add(1, Ordering::SeqCst);
        let mut machine = self.machine();
        self.wanted.fetch_sub(1, Ordering::SeqCst);
        let answer = then(&mut machine);
        drop(machine);
        *self.changes() += 1;
        self.changed.notify_one();
        answer
    }

    fn changes(&self) -> MutexGuard<'_, u64> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The GPU's thread.
    fn work(&self) {
        let mut idle = 0u32;
        loop {
            while self.wanted.load(Ordering::SeqCst) != 0 {
                std::thread::yield_now();
            }
            if self.config.lose.as_ref().is_some_and(|file| file.exists()) {
                self.lost.store(true, Ordering::Release);
                return;
            }
            // Before the look: what changes after it ends the sleep.
            let seen = *self.changes();
            if self.turn(&mut self.machine()) {
                idle = 0;
                continue;
            }
            idle = idle.saturating_add(1);
            match pause(idle) {
                None => std::hint::spin_loop(),
                Some(time) => {
                    let unchanged = |changes: &mut u64| *changes == seen;
                    let slept = self.changed.wait_timeout_while(self.changes(), time, unchanged);
                    drop(slept.unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    /// Runs the next queue that has work, for a slice at most. Returns whether there was one.
    fn turn(&self, machine: &mut Machine) -> bool {
        let last = machine.last;
        let runnable = |queue: &Queue| queue.active && !queue.failed && queue.context.runnable(&self.space);
        let order = machine.queues.range(last + 1..).chain(machine.queues.range(..=last));
        // The first of the most urgent ones: `min_by_key` keeps the order among equals.
        let urgent = order.filter(|(_, queue)| runnable(queue)).min_by_key(|(_, queue)| -queue.priority);
        let Some(id) = urgent.map(|(&id, _)| id) else { return false };
        machine.last = id;
        let evicted = machine.resident.take_if(|resident| *resident != id);
        if let Some(queue) = evicted.and_then(|id| machine.queues.get_mut(&id)) {
            self.suspend(queue, &machine.hardware);
        }
        let Some(queue) = machine.queues.get_mut(&id) else { return false };
        if queue.context.is_suspended() {
            queue.context.resume(&mut machine.hardware);
        }
        machine.resident = Some(id);
        let host = QueueHost {
            gpu: self,
            structure: queue.structure,
            errors: queue.errors,
            scratch: &queue.scratch,
            until: now_ns() + SLICE_NS,
            failed: AtomicU32::new(0),
        };
        let report = queue.context.run(&mut machine.hardware, &self.space, &host);
        queue.failed |= host.failed.into_inner() != 0;
        if report.outcome == Outcome::Drained {
            machine.resident = None;
        }
        true
    }

    fn suspend(&self, queue: &mut Queue, hardware: &[CuHardware]) {
        if queue.context.suspend(hardware).waves > 0 {
            self.suspends.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells a queue's owner that it stopped.
    fn raise(&self, structure: u64, errors: Option<Errors>, why: Stopped) -> Result<(), MemoryFault> {
        if let Some(errors) = errors {
            let reason = 1 << (why.exception - 1);
            self.space.update_u64(errors.reasons, &mut |had| Some(had | reason))?;
            // Its owner may have destroyed the event, and then waits for none.
            let _ = self.events.set(errors.event);
            return Ok(());
        }
        let signal = self.space.load_acquire_u64(structure + INACTIVE_SIGNAL)?;
        if signal == 0 {
            return Ok(());
        }
        self.space.store_release_u64(signal + signal::VALUE, why.inactive)?;
        let mailbox = self.space.load_acquire_u64(signal + signal::EVENT_MAILBOX)?;
        if mailbox != 0 {
            let event = self.space.load_acquire_u32(signal + signal::EVENT_ID)?;
            self.space.store_release_u64(mailbox, u64::from(event))?;
            self.events.interrupt();
        }
        Ok(())
    }

    fn memory_fault(&self, fault: &MemoryFault) {
        let failure = match (fault.refusal, fault.access) {
            (Refusal::Rights, Access::Execute) => 1 << 2,
            (Refusal::Rights, _) => 1 << 1,
            (Refusal::Unmapped | Refusal::Misaligned, _) => 1,
        };
        self.events.memory_fault(Fault { node: GPU_NODE, address: fault.address & !(PAGE - 1), failure });
    }
}

/// Returns how long to sleep between two looks, the longer the more there have been in vain; at first not at all.
fn pause(idle: u32) -> Option<Duration> {
    match idle {
        0..BUSY_LOOKS => None,
        BUSY_LOOKS..SHORT_NAPS => Some(NAP),
        _ => Some(LONG_NAP),
    }
}

/// What a context asks while one of its turns runs.
struct QueueHost<'a> {
    gpu: &'a Gpu,
    structure: u64,
    errors: Option<Errors>,
    scratch: &'a Mutex<Option<(u64, u64)>>,
    until: u64,
    failed: AtomicU32,
}

impl QueueHost<'_> {
    fn raise(&self, why: Stopped) -> Result<(), MemoryFault> {
        self.gpu.raise(self.structure, self.errors, why)
    }
}

impl Host for QueueHost<'_> {
    fn now(&self) -> u64 {
        now_ns()
    }

    fn should_stop(&self) -> bool {
        self.gpu.wanted.load(Ordering::Relaxed) != 0 || now_ns() >= self.until
    }

    fn scratch(&self, bytes: u64) -> Option<u64> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((address, have)) = *scratch {
            if have >= bytes {
                return Some(address);
            }
            *scratch = None;
            self.gpu.space.free(address, have).ok()?;
        }
        let bytes = bytes.checked_next_multiple_of(PAGE)?;
        let address = self.gpu.space.allocate(GPU_NODE, bytes, mem_flags::SCRATCH, 0).ok()?;
        self.gpu.space.map(address, bytes).ok()?;
        *scratch = Some((address, bytes));
        Some(address)
    }

    fn signal_changed(&self, _signal: u64) {
        // Threads that wait without the driver look at the value; those that wait with it have a mailbox, which the packet processor has
        // written to by now without an interrupt of its own.
        self.gpu.events.interrupt();
    }

    fn interrupt(&self) {
        self.gpu.events.interrupt();
    }

    fn vendor_packet(&self, packet: &[u8; PACKET_BYTES]) -> bool {
        if packet[2] != FORMAT_PM4 {
            return false;
        }
        // ROCr's only use: ACQUIRE_MEM over everything, after a code object was copied into place.
        self.gpu.space.invalidate_code();
        true
    }

    fn queue_failed(&self, _queue: QueueId, error: &QueueError) {
        self.failed.store(1, Ordering::Relaxed);
        if self.gpu.config.trace {
            eprintln!("softkmt: queue of {:#x} failed: {error}", self.structure);
        }
        let told = match error {
            QueueError::Kernel { fault, .. } => match &fault.kind {
                FaultKind::Memory(fault) if fault.refusal != Refusal::Misaligned => {
                    self.gpu.memory_fault(fault);
                    Ok(())
                }
                FaultKind::Memory(_) | FaultKind::Scratch { .. } => self.raise(stopped::APERTURE),
                // `abort()`, by the ABI of LLVM's target.
                FaultKind::Trap { id: 2 } => self.raise(stopped::ABORT),
                FaultKind::Trap { .. } => self.raise(stopped::TRAP),
                FaultKind::IllegalInstruction { .. }
                | FaultKind::UnsupportedInstruction { .. }
                | FaultKind::UnsupportedForm { .. }
                | FaultKind::RegisterOutOfRange { .. } => self.raise(stopped::ILLEGAL_INSTRUCTION),
            },
            QueueError::Launch { error, .. } => self.raise(launch_code(error)),
            QueueError::Packet { .. } => self.raise(stopped::INVALID_PACKET),
            QueueError::Memory { fault, .. } => {
                self.gpu.memory_fault(fault);
                Ok(())
            }
        };
        if let Err(fault) = told {
            // The queue's own structure is gone: the program tore it down while it ran.
            self.gpu.memory_fault(&fault);
        }
    }
}

fn launch_code(error: &engine::LaunchError) -> Stopped {
    use engine::LaunchError::{Dimensions, EmptyGrid, Lds, Registers, WorkgroupItems};
    match error {
        Dimensions { .. } | EmptyGrid { .. } | WorkgroupItems { .. } => stopped::INVALID_DIMENSIONS,
        Lds { .. } => stopped::INVALID_GROUP_MEMORY,
        Registers { .. } => stopped::OUT_OF_REGISTERS,
        _ => stopped::INVALID_CODE,
    }
}
