//! A session's context: run it, stop it, put it aside, bring it back.

use super::Host;
use super::code::CodeCache;
use super::crew::Crew;
use super::cu::{ContextSize, Cu, PassEnd};
use super::launch::{Descriptors, Dispatch};
use super::queue::{Launcher, Queue, QueueError, QueueId, QueueSpec, Room, Scratch};
use super::run::LOOK_EVERY;
use crate::arch::Arch;
use crate::exec::gws::Gws;
use crate::exec::{Tier, Translation};
use crate::hardware::{CuHardware, WAVE_SLOTS};
use crate::memory::Memory;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a context runs on.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Architecture of the device.
    pub arch: Arch,
    /// Compute units.
    pub cus: u32,
    /// Host threads that run them.
    pub threads: u32,
}

/// Why [`Context::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do: queues are empty, failed, or wait for a signal.
    Drained,
    /// The host asked to stop; work is resident or waiting.
    Stopped,
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// Why it ended.
    pub outcome: Outcome,
    /// When the first instruction was about to execute, in host nanoseconds; `None` if none was.
    pub first_instruction: Option<u64>,
    /// Wave-instructions executed in this run.
    pub instructions: u64,
}

/// What one dispatch has on the compute units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchSize {
    /// Its queue.
    pub queue: QueueId,
    /// Its packet's number since the queue was made.
    pub packet: u64,
    /// The packet's kernel object.
    pub kernel_object: u64,
    /// Registers, LDS and scratch of its resident waves.
    pub size: ContextSize,
}

/// One session's machine. See the module.
pub struct Context {
    config: Config,
    code: CodeCache,
    cus: Vec<Cu>,
    queues: BTreeMap<QueueId, Queue>,
    next_queue: u32,
    next_cu: usize,
    look_every: u32,
    scratch: Scratch,
    room: Room,
    descriptors: Descriptors,
    gws: Gws,
    /// Registers and LDS while suspended.
    saved: Vec<u8>,
    suspended: bool,
    /// Host threads beside the one of [`Context::run`].
    pool: Option<rayon::ThreadPool>,
}

impl Context {
    /// Returns a context without queues.
    ///
    /// # Errors
    /// When the host cannot start `threads` threads.
    pub fn new(config: Config) -> Result<Context, rayon::ThreadPoolBuildError> {
        Context::with_tier(config, Tier::detect())
    }

    /// As [`new`](Self::new) with a given execution tier: for tests and benches that compare them.
    ///
    /// # Errors
    /// When the host cannot start `threads` threads.
    pub fn with_tier(config: Config, tier: &'static Tier) -> Result<Context, rayon::ThreadPoolBuildError> {
        let threads = config.threads.clamp(1, config.cus.max(1)) as usize;
        let pool = if threads > 1 {
            let name = |k| format!("cu-{}", k + 1);
            Some(rayon::ThreadPoolBuilder::new().num_threads(threads - 1).thread_name(name).build()?)
        } else {
            None
        };
        let slots = u64::from(config.cus) * WAVE_SLOTS as u64;
        Ok(Context {
            config,
            code: CodeCache::new(config.arch, tier),
            cus: (0..config.cus).map(Cu::new).collect(),
            queues: BTreeMap::new(),
            next_queue: 0,
            next_cu: 0,
            look_every: LOOK_EVERY,
            scratch: Scratch { slots, ..Scratch::default() },
            room: Room { cus: config.cus, ..Room::default() },
            descriptors: Descriptors::default(),
            gws: Gws::default(),
            saved: Vec::new(),
            suspended: false,
            pool,
        })
    }

    /// The host threads beside the one of [`Context::run`], for tests that keep them busy.
    #[cfg(test)]
    pub(super) fn pool(&self) -> Option<&rayon::ThreadPool> {
        self.pool.as_ref()
    }

    /// Adds a queue. The caller has checked that `spec.slots` is a power of two and that the ring is the session's.
    pub fn create_queue(&mut self, spec: QueueSpec) -> QueueId {
        let id = QueueId(self.next_queue);
        self.next_queue += 1;
        self.queues.insert(id, Queue::new(id, spec));
        id
    }

    /// Removes a queue; what it had in flight is dropped where it stands. Returns whether there was one.
    pub fn destroy_queue(&mut self, id: QueueId) -> bool {
        let Some(mut queue) = self.queues.remove(&id) else { return false };
        queue.abandon();
        if self.suspended {
            // The save area is laid out by what is resident, so residents can only change after it was written back. Nobody
            // will run the abandoned work-groups: they are dropped at the next resume.
            return true;
        }
        self.drop_cut_short();
        true
    }

    /// Returns why a queue stopped, if it did.
    pub fn queue_error(&self, id: QueueId) -> Option<&QueueError> {
        self.queues.get(&id)?.error()
    }

    /// Returns the packets and kernel dispatches that a queue has begun.
    pub fn queue_counts(&self, id: QueueId) -> Option<(u64, u64)> {
        self.queues.get(&id).map(|q| (q.counts.packets, q.counts.dispatches))
    }

    /// Whether there is anything to run: a consumable packet or work in flight.
    pub fn runnable(&self, mem: &dyn Memory) -> bool {
        self.queues.values().any(|q| q.runnable(mem))
    }

    /// Says which compute units take work-groups from now on; those that are resident stay where they are.
    ///
    /// Returns false, and changes nothing, if `allowed` leaves none.
    pub fn set_cu_mask(&mut self, allowed: impl Fn(u32) -> bool) -> bool {
        if !(0..self.config.cus).any(&allowed) {
            return false;
        }
        for (cu, index) in self.cus.iter_mut().zip(0..) {
            cu.enabled = allowed(index);
        }
        self.room.cus = self.cus.iter().filter(|cu| cu.enabled).count() as u32;
        true
    }

    /// Asks [`Host::should_stop`] after every `instructions` of a wave: one, to stop a program anywhere; more, to ask less.
    pub fn set_look_every(&mut self, instructions: u32) {
        self.look_every = instructions.max(1);
    }

    /// Says after how many visits straight vector code is translated for the host, where that is possible; `None`: never. Unless this says
    /// otherwise, it is when that pays. Results are the same. Code that waves are in the middle of stays as it is until they leave its page.
    pub fn set_translation(&mut self, after: Option<u32>) {
        self.code.translate(after);
    }

    /// Returns the bytes of host code that were made of this context's programs and are still there.
    pub fn translated_bytes(&self) -> usize {
        self.code.translated_bytes()
    }

    /// Returns whether code is translated.
    pub fn translation(&self) -> Translation {
        self.code.translation()
    }

    /// Returns what is resident now.
    pub fn size(&self) -> ContextSize {
        let mut total = ContextSize::default();
        for cu in &self.cus {
            total.add(cu.size());
        }
        total
    }

    /// Returns what each dispatch that has begun has resident, by queue and in the order they began: what a suspend copies, or has copied, for whom.
    pub fn dispatch_sizes(&self) -> Vec<DispatchSize> {
        let of = |dispatch: &Arc<Dispatch>| {
            let mut size = ContextSize::default();
            self.cus.iter().for_each(|cu| size.add(cu.size_of(dispatch)));
            size
        };
        let sizes = |(&queue, packets): (&QueueId, &Queue)| {
            let list = packets.dispatches().map(|(packet, dispatch)| {
                let kernel_object = dispatch.packet.kernel_object;
                DispatchSize { queue, packet, kernel_object, size: of(dispatch) }
            });
            list.collect::<Vec<_>>()
        };
        self.queues.iter().flat_map(sizes).collect()
    }

    /// Returns the most that was resident on each compute unit, added up.
    pub fn peak_size(&self) -> ContextSize {
        let mut total = ContextSize::default();
        for cu in &self.cus {
            total.add(cu.peak);
        }
        total
    }

    /// Runs until nothing is left or the host asks to stop. `hw` is the compute units' storage, one element each.
    ///
    /// # Panics
    /// When `hw` has another length than the context has compute units, or the context is suspended: errors of the caller.
    pub fn run(&mut self, hw: &mut [CuHardware], mem: &(dyn Memory + Sync), host: &dyn Host) -> RunReport {
        assert_eq!(hw.len(), self.cus.len(), "storage for every compute unit");
        assert!(!self.suspended, "resume first");
        let mut report = RunReport { outcome: Outcome::Drained, first_instruction: None, instructions: 0 };
        mem.lend(&mut |own| report = self.run_with(hw, mem, own, host));
        report
    }

    /// As [`run`](Self::run); `own` is memory as this thread was lent it.
    fn run_with(
        &mut self,
        hw: &mut [CuHardware],
        mem: &(dyn Memory + Sync),
        own: &dyn Memory,
        host: &dyn Host,
    ) -> RunReport {
        let before = self.instructions();
        let mut first_instruction = None;
        let mut dispatches = Vec::new();
        let (arch, look_every) = (self.config.arch, self.look_every);
        let mut changed = false;
        let outcome = loop {
            let (scratch, room, descriptors) = (&mut self.scratch, &mut self.room, &mut self.descriptors);
            let mut with = Launcher { arch, mem: own, host, scratch, room, descriptors };
            changed |= poll(&mut self.queues, &mut with);
            if changed || first_instruction.is_none() {
                dispatches.clear();
                dispatches.extend(self.queues.values().flat_map(Queue::running).cloned());
                for cu in self.cus.iter_mut().filter(|cu| !cu.is_empty()) {
                    cu.drop_cut_short();
                }
                self.code.keep_only(own.code_version());
            }
            if dispatches.is_empty() {
                break Outcome::Drained;
            }
            if host.should_stop() {
                break Outcome::Stopped;
            }
            first_instruction.get_or_insert_with(|| host.now());
            let crew = Crew { arch, code: &self.code, mem, host, gws: &self.gws, look_every, dispatches: &dispatches };
            let end = match &self.pool {
                None => {
                    changed = false;
                    crew.one_unit(own, &mut self.cus, hw, &mut self.next_cu)
                }
                Some(pool) => {
                    let mut look = || poll(&mut self.queues, &mut with);
                    let end;
                    (end, changed) = crew.all_units(pool, own, &mut self.cus, hw, &mut self.next_cu, &mut look);
                    end
                }
            };
            if end == PassEnd::Stop {
                // A dispatch that ended on the way must not wait for the next lease to be told.
                poll(&mut self.queues, &mut with);
                break Outcome::Stopped;
            }
        };
        RunReport { outcome, first_instruction, instructions: self.instructions() - before }
    }

    /// Copies the resident registers and LDS out of `hw`, which is then free for others. Returns what was copied.
    pub fn suspend(&mut self, hw: &[CuHardware]) -> ContextSize {
        let size = self.size();
        if !self.suspended {
            self.saved.clear();
            self.saved.reserve(size.copied_bytes() as usize);
            for (cu, hw) in self.cus.iter().zip(hw) {
                cu.save(hw, &mut self.saved);
            }
            self.suspended = true;
        }
        size
    }

    /// Copies them back. Returns what was copied.
    pub fn resume(&mut self, hw: &mut [CuHardware]) -> ContextSize {
        let size = self.size();
        if self.suspended {
            let mut area = self.saved.as_slice();
            for (cu, hw) in self.cus.iter().zip(hw) {
                area = cu.restore(hw, area);
            }
            self.suspended = false;
            self.drop_cut_short();
        }
        size
    }

    /// Whether the context is suspended.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    fn instructions(&self) -> u64 {
        self.cus.iter().map(|cu| cu.instructions).sum()
    }

    fn drop_cut_short(&mut self) {
        for cu in self.cus.iter_mut().filter(|cu| !cu.is_empty()) {
            cu.drop_cut_short();
        }
    }
}

/// Lets every queue complete what has ended and begin what can begin. Returns whether the set of running dispatches changed.
fn poll(queues: &mut BTreeMap<QueueId, Queue>, with: &mut Launcher<'_>) -> bool {
    let mut changed = false;
    for queue in queues.values_mut() {
        changed |= queue.poll(with);
    }
    changed
}
