//! A session's context: run it, stop it, put it aside, bring it back.

use super::Host;
use super::code::CodeCache;
use super::cu::{ContextSize, Cu, PassEnd};
use super::launch::Dispatch;
use super::queue::{Launcher, Queue, QueueError, QueueId, QueueSpec, Room, Scratch};
use super::run::{Env, LOOK_EVERY};
use crate::arch::Arch;
use crate::exec::Tier;
use crate::exec::gws::Gws;
use crate::hardware::{CuHardware, WAVE_SLOTS};
use crate::memory::Memory;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Nanoseconds after which host threads that run compute units come together to look at the queues.
const ROUND_NS: u64 = 50_000;

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
    gws: Gws,
    /// Registers and LDS while suspended.
    saved: Vec<u8>,
    suspended: bool,
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
            let name = |k| format!("cu-{k}");
            Some(rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build()?)
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
            gws: Gws::default(),
            saved: Vec::new(),
            suspended: false,
            pool,
        })
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
    pub fn run(&mut self, hw: &mut [CuHardware], mem: &dyn Memory, host: &dyn Host) -> RunReport {
        assert_eq!(hw.len(), self.cus.len(), "storage for every compute unit");
        assert!(!self.suspended, "resume first");
        let before = self.instructions();
        let mut first_instruction = None;
        let mut dispatches = Vec::new();
        let outcome = loop {
            let (arch, scratch, room) = (self.config.arch, &mut self.scratch, &mut self.room);
            let mut with = Launcher { arch, mem, host, scratch, room };
            let mut changed = false;
            for queue in self.queues.values_mut() {
                changed |= queue.poll(&mut with);
            }
            if changed || first_instruction.is_none() {
                dispatches.clear();
                dispatches.extend(self.queues.values().flat_map(Queue::running).cloned());
                self.drop_cut_short();
                self.code.keep_only(mem.code_version());
            }
            if dispatches.is_empty() {
                break Outcome::Drained;
            }
            if host.should_stop() {
                break Outcome::Stopped;
            }
            let env = Env { arch, code: &self.code, mem, host, gws: &self.gws, look_every: self.look_every };
            first_instruction.get_or_insert_with(|| host.now());
            let end = match &self.pool {
                None => one_unit(&mut self.cus, &mut self.next_cu, hw, &env, &dispatches),
                Some(pool) => all_units(pool, &mut self.cus, &mut self.next_cu, hw, &env, &dispatches),
            };
            if end == PassEnd::Stop {
                // A dispatch that ended on the way must not wait for the next lease to be told.
                let mut with = Launcher { arch, mem, host, scratch: &mut self.scratch, room: &mut self.room };
                for queue in self.queues.values_mut() {
                    queue.poll(&mut with);
                }
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

/// Launches work-groups on all compute units in turn, one at a time, so that a small grid spreads. Each host thread runs `share` compute units that
/// follow each other, so the turn goes from thread to thread first.
fn spread(cus: &mut [Cu], hw: &mut [CuHardware], dispatches: &[Arc<Dispatch>], share: usize, now: &dyn Fn() -> u64) {
    let count = cus.len();
    for dispatch in dispatches {
        let mut launched = true;
        while launched && dispatch.has_groups_left() {
            launched = false;
            for at in (0..share).flat_map(|first| (first..count).step_by(share)) {
                launched |= cus[at].launch(dispatch, &mut hw[at], now);
            }
        }
    }
}

/// One pass over the next compute unit that has residents.
fn one_unit(
    cus: &mut [Cu],
    next: &mut usize,
    hw: &mut [CuHardware],
    env: &Env<'_>,
    dispatches: &[Arc<Dispatch>],
) -> PassEnd {
    spread(cus, hw, dispatches, cus.len(), &|| env.host.now());
    let count = cus.len();
    for _ in 0..count {
        let at = *next % count;
        *next = (at + 1) % count;
        let end = cus[at].pass(env, &mut hw[at], &|| {});
        if end != PassEnd::Empty {
            return end;
        }
    }
    PassEnd::Empty
}

/// All compute units on the host threads until a dispatch ends, the host asks to stop, or the round is over.
fn all_units(
    pool: &rayon::ThreadPool,
    cus: &mut [Cu],
    next: &mut usize,
    hw: &mut [CuHardware],
    env: &Env<'_>,
    dispatches: &[Arc<Dispatch>],
) -> PassEnd {
    let now = || env.host.now();
    let share = cus.len().div_ceil(pool.current_num_threads());
    spread(cus, hw, dispatches, share, &now);
    let (attention, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let until = now() + ROUND_NS;
    // A round can end after each thread's first compute unit, so rounds begin with different ones.
    let first = *next;
    *next = first.wrapping_add(1);
    pool.scope(|scope| {
        for (cus, hw) in cus.chunks_mut(share).zip(hw.chunks_mut(share)) {
            let (attention, stop) = (&attention, &stop);
            scope.spawn(move |_| {
                let over = || attention.store(true, Ordering::Relaxed);
                loop {
                    let mut empty = true;
                    for k in 0..cus.len() {
                        let at = first.wrapping_add(k) % cus.len();
                        let (cu, hw) = (&mut cus[at], &mut hw[at]);
                        for dispatch in dispatches {
                            while dispatch.has_groups_left() && cu.launch(dispatch, hw, &now) {}
                        }
                        let end = cu.pass(env, hw, &over);
                        empty &= end == PassEnd::Empty;
                        if end == PassEnd::Stop {
                            stop.store(true, Ordering::Relaxed);
                        }
                        if attention.load(Ordering::Relaxed) || stop.load(Ordering::Relaxed) {
                            return;
                        }
                    }
                    if empty || now() >= until {
                        return;
                    }
                }
            });
        }
    });
    if stop.load(Ordering::Relaxed) { PassEnd::Stop } else { PassEnd::Through }
}
