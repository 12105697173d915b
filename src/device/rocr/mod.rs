//! An AMD GPU through AMD's own runtime, inside the worker.
//!
//! The worker forwards checked packets to hardware queues, a few at a time, and completes the tenant's signals with the device's own times.
//! It never calls the runtime from the broker, and there is one runtime a process: one worker, one session.
//!
//! | what | rests on |
//! |---|---|
//! | memory, code, queues, barriers, completion times, queue errors, memory faults | `rocr-soft` |
//! | scrubbing of registers and LDS on gfx90a | `rocr-soft`; on other processors `unverified` |
//! | suspend of running waves by the driver | `rocr-soft` through the thunk; the driver's ioctl is `unverified` |
//! | everything on an AMD card | `unverified` |
//!
//! A memory fault ends the device for its session: the driver has stopped all queues of the process. Every queue is told, and nothing runs any more;
//! the worker ends and the tenant connects again. A device that was reset, or does not suspend when it is told to, is lost too. Runtimes
//! before 6.0 report no reset, so work that makes no progress has the driver asked, twice a second, whether the device is still there.

mod config;
mod listing;
mod memory;
mod queue;
mod scrub;

pub use config::{RocrConfig, RocrConfigError};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hsa_sys::runtime::{Agent, Pause, Runtime};
use hsa_sys::table::{Library, OpenError};

use self::memory::RocrMemory;
use self::queue::{TenantQueue, With};
use self::scrub::Scrubber;
use super::{
    ContextBytes, CuMask, Device, DeviceError, DeviceFacts, DeviceFault, DeviceMemory, FaultClass, Lease, LossCause,
    Lost, Preemption, Priority, QueueHandle, QueueSpec, RunEnd, RunReport,
};
use crate::clock;

/// Where packages put the runtime: Debian and Ubuntu, AMD's own.
const PLACES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/libhsa-runtime64.so.1",
    "/opt/rocm/lib/libhsa-runtime64.so.1",
    "/usr/lib64/libhsa-runtime64.so.1",
];
/// Queues of a session at most: hardware has 24 to 32 slots, and more active queues than slots make everything slow. Only those of the session
/// with the lease are active ([`listing`]).
const QUEUES_MAX: usize = 8;
/// How long a wait for the hardware lasts before the lease is asked again.
const LOOK: Duration = Duration::from_micros(100);
/// Looks that only spin, before the first wait.
const SPINS: u32 = 200;
/// How long work may make no progress before the driver is asked whether the device is still there. The driver itself waits 9 s.
const PING_EVERY: Duration = Duration::from_millis(500);

/// A session's view of an AMD GPU.
pub struct RocrDevice {
    facts: DeviceFacts,
    runtime: Runtime,
    agent: Agent,
    memory: Arc<RocrMemory>,
    queues: BTreeMap<QueueHandle, TenantQueue>,
    next_queue: u32,
    pause: Option<Pause>,
    hz: u64,
    scrubber: Option<Scrubber>,
    /// The compute units that queues are restricted to, those that come too.
    mask: Option<Vec<u32>>,
    /// It runs nothing any more.
    lost: Option<Lost>,
}

/// Returns the file to load: what was asked for, or the first that is there.
fn library(config: &RocrConfig) -> Result<PathBuf, DeviceError> {
    if let Some(path) = &config.runtime {
        return Ok(path.clone());
    }
    let found = PLACES.iter().map(Path::new).find(|path| path.is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        DeviceError::Runtime(format!(
            "AMD's runtime is in none of {}\nwhat next: apt-get install libhsa-runtime64-1, or name it with runtime=PATH",
            PLACES.join(", ")
        ))
    })
}

/// Starts AMD's runtime; refuses our own drop-in, which would lead back to the broker.
fn start(config: &RocrConfig) -> Result<Runtime, DeviceError> {
    let failed = |error: OpenError| DeviceError::Runtime(error.to_string());
    if let Some(thunk) = &config.thunk {
        Library::preload(thunk).map_err(failed)?;
    }
    let path = library(config)?;
    let library = Library::open(&path).map_err(failed)?;
    if library.exports(c"wavegate_hsa_init") || library.exports(c"wavegate_drop_in") {
        return Err(DeviceError::Runtime(format!(
            "{} is Wavegate's drop-in, not AMD's runtime\nwhat next: name AMD's with runtime=PATH",
            library.path().display()
        )));
    }
    Runtime::start(library).map_err(|error| DeviceError::Runtime(error.to_string()))
}

impl RocrDevice {
    /// Opens a GPU. Fails while this process has another one open.
    pub fn open(config: &RocrConfig) -> Result<RocrDevice, DeviceError> {
        let runtime = start(config)?;
        let mut gpus = runtime.gpus()?;
        let (count, index) = (gpus.len(), config.index as usize);
        if index >= count {
            let text = format!("there is no GPU {index}: the runtime knows {count}\nwhat next: wavegate doctor");
            return Err(DeviceError::Runtime(text));
        }
        let agent = gpus.swap_remove(index);
        let facts = agent.facts()?;
        let pause = if config.suspend { Pause::find().ok() } else { None };
        let hz = runtime.timestamp_hz()?;
        let vram_bytes = config.vram_bytes.map_or(facts.vram_bytes, |bytes| bytes.min(facts.vram_bytes));
        let memory = Arc::new(RocrMemory::new(agent.clone(), &facts.name, vram_bytes)?);
        let facts = DeviceFacts {
            name: config.to_string(),
            target: facts.name,
            compute_units: facts.compute_units,
            wave_lanes: facts.wavefront,
            vram_bytes,
            timestamp_hz: hz,
            preemption: if pause.is_some() { Preemption::Suspend } else { Preemption::Drain },
            wants_backing: false,
            chooses_addresses: true,
            vram_mappable: false,
            queue_priorities: true,
        };
        let scrubber = Scrubber::new(&runtime, &agent, pause.as_ref(), &facts.target, facts.compute_units)?;
        let queues = BTreeMap::new();
        Ok(RocrDevice {
            facts,
            runtime,
            agent,
            memory,
            queues,
            next_queue: 0,
            pause,
            hz,
            scrubber,
            mask: None,
            lost: None,
        })
    }

    /// Returns which way leads to suspending queues, if one does.
    pub fn pause_way(&self) -> Option<&'static str> {
        self.pause.as_ref().map(Pause::describe)
    }

    /// Ends every queue if the device has met a memory fault.
    fn look_for_loss(&mut self, lease: &dyn Lease) -> bool {
        if self.lost.is_none() && self.runtime.hardware_exception() {
            self.lose("the driver reports a reset or an exception of the hardware".to_owned());
        }
        if let Some(why) = self.memory.stuck().filter(|_| self.lost.is_none() && self.runtime.memory_fault().is_none())
        {
            let text = why.to_owned();
            self.lose(text);
        }
        if self.lost.is_some() {
            return true;
        }
        let Some(fault) = self.runtime.memory_fault() else { return false };
        let text = format!("memory access fault at {:#x} (reasons {:#x})", fault.address, fault.reason);
        let pause = self.pause.as_ref();
        let with = With { runtime: &self.runtime, agent: &self.agent, memory: &self.memory, pause, lease };
        for queue in self.queues.values_mut() {
            let (kind, address, text) = (FaultClass::Memory, Some(fault.address), text.clone());
            let kernel_object = queue.oldest_kernel();
            queue.fail(&with, &DeviceFault { kind, address, pc: None, kernel_object, packet: 0, text });
        }
        let text = format!("{text}: the driver has stopped all queues of this session");
        self.lost = Some(Lost { cause: LossCause::Fault, text });
        true
    }

    /// The device does not do what it is told.
    fn lose(&mut self, text: String) {
        self.lost.get_or_insert(Lost { cause: LossCause::Device, text });
    }

    /// Asks the driver whether the device is still there.
    fn ping(&mut self) {
        let Some(pause) = &self.pause else { return };
        let busy = self.queues.values().filter(|queue| queue.is_busy());
        let error = busy.filter_map(|queue| queue.ping(pause).err()).next();
        if let Some(error) = error {
            self.lose(format!("no progress for {} ms, and {error}", PING_EVERY.as_millis()));
        }
    }
}

impl Device for RocrDevice {
    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    fn memory(&self) -> Arc<dyn DeviceMemory> {
        Arc::clone(&self.memory) as Arc<dyn DeviceMemory>
    }

    fn create_queue(&mut self, spec: QueueSpec) -> Result<QueueHandle, DeviceError> {
        if let Some(lost) = &self.lost {
            return Err(DeviceError::Runtime(format!("the device is lost: {}; connect again", lost.text)));
        }
        if self.queues.len() >= QUEUES_MAX {
            let text = format!("a session has at most {QUEUES_MAX} queues on this device");
            return Err(DeviceError::Runtime(text));
        }
        let handle = QueueHandle(self.next_queue);
        let mut queue = TenantQueue::new(&self.agent, &self.memory, self.pause.as_ref(), handle, spec)?;
        if let Some(words) = &self.mask {
            queue.set_cu_mask(words)?;
        }
        self.next_queue += 1;
        self.queues.insert(handle, queue);
        Ok(handle)
    }

    fn destroy_queue(&mut self, queue: QueueHandle) -> bool {
        self.queues.remove(&queue).is_some()
    }

    fn lost(&self) -> Option<Lost> {
        if self.lost.is_none() && self.runtime.hardware_exception() {
            let text = "the driver reports a reset or an exception of the hardware".to_owned();
            return Some(Lost { cause: LossCause::Device, text });
        }
        if let (None, Some(why), None) = (&self.lost, self.memory.stuck(), self.runtime.memory_fault()) {
            return Some(Lost { cause: LossCause::Device, text: why.to_owned() });
        }
        self.lost.clone()
    }

    fn set_cu_mask(&mut self, mask: &CuMask) -> Result<(), DeviceError> {
        let words = mask.words_for(self.facts.compute_units);
        if words.iter().all(|&word| word == 0) {
            return Err(DeviceError::Contract { backend: "rocr", what: "at least one compute unit in a mask" });
        }
        self.queues.values_mut().try_for_each(|queue| queue.set_cu_mask(&words))?;
        self.mask = Some(words);
        Ok(())
    }

    fn set_priority(&mut self, queue: QueueHandle, priority: Priority) -> Result<(), DeviceError> {
        let missing = DeviceError::Contract { backend: "rocr", what: "a queue that it has" };
        self.queues.get_mut(&queue).ok_or(missing)?.set_priority(priority)
    }

    fn runnable(&self) -> bool {
        self.lost.is_none() && self.queues.values().any(|queue| queue.runnable(&self.memory))
    }

    fn run(&mut self, lease: &dyn Lease) -> RunReport {
        let (mut first, mut stopping, mut quiet) = (None, false, 0u32);
        let mut progress = Instant::now();
        let suspends = self.queues.values().all(TenantQueue::can_suspend) && self.pause.is_some();
        let end = loop {
            if self.look_for_loss(lease) {
                break RunEnd::Drained;
            }
            // Asked first: the answer stamps the first packet of a lease.
            stopping |= lease.should_stop();
            let pause = self.pause.as_ref();
            let with = With { runtime: &self.runtime, agent: &self.agent, memory: &self.memory, pause, lease };
            let mut changed = false;
            for queue in self.queues.values_mut() {
                changed |= queue.poll(&with, !stopping);
            }
            let busy = self.queues.values().find(|queue| queue.is_busy());
            if busy.is_some() && first.is_none() {
                first = Some(clock::now_ns());
            }
            if changed {
                progress = Instant::now();
            }
            match busy {
                None if stopping && self.runnable() => break RunEnd::Stopped,
                None if !changed => break RunEnd::Drained,
                Some(_) if stopping && suspends => break RunEnd::Stopped,
                Some(queue) if !changed => {
                    quiet += 1;
                    if quiet < SPINS {
                        std::hint::spin_loop();
                    } else {
                        queue.wait(LOOK, self.hz);
                        if progress.elapsed() >= PING_EVERY {
                            self.ping();
                            progress = Instant::now();
                        }
                    }
                }
                _ => quiet = 0,
            }
        };
        RunReport { end, first_instruction_ns: first, instructions: 0 }
    }

    fn suspend(&mut self) -> ContextBytes {
        self.leave();
        // The driver does not say what it saved.
        ContextBytes::default()
    }

    fn resume(&mut self) -> ContextBytes {
        if let Some(pause) = &self.pause {
            let failed = self.queues.values_mut().filter_map(|queue| queue.resume(pause).err()).next();
            if let Some(error) = failed {
                self.lose(format!("a queue could not be resumed: {error}"));
            }
        }
        ContextBytes::default()
    }

    fn leave(&mut self) {
        let Some(pause) = &self.pause else { return };
        let queues = self.queues.values_mut().filter_map(|queue| queue.leave(pause).err());
        let scrubber = self.scrubber.iter_mut().filter_map(|scrubber| scrubber.leave(pause).err());
        if let Some(error) = queues.chain(scrubber).last() {
            self.lose(format!("a queue could not be taken off the device: {error}"));
        }
    }

    fn listed_queues(&self) -> Option<usize> {
        self.pause.as_ref()?;
        let queues = self.queues.values().filter(|queue| queue.is_listed()).count();
        Some(queues + usize::from(self.scrubber.as_ref().is_some_and(Scrubber::is_listed)))
    }

    fn can_scrub(&self) -> Result<(), DeviceError> {
        match self.scrubber {
            Some(_) => Ok(()),
            None => Err(DeviceError::NoScrub { target: self.facts.target.clone() }),
        }
    }

    fn scrub(&mut self) -> Result<(), DeviceError> {
        self.can_scrub()?;
        let pause = self.pause.as_ref();
        self.scrubber.as_mut().map_or(Ok(()), |scrubber| scrubber.run(pause))
    }

    fn context(&self) -> ContextBytes {
        ContextBytes::default()
    }

    fn context_peak(&self) -> ContextBytes {
        ContextBytes::default()
    }
}
