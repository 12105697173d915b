//! What the threads of a worker share: who ends the session, what must be told, what the run thread shall do between runs.

use super::gate::Gate;
use super::link::Link;
use crate::device::{CuMask, DeviceError, Priority, QueueSpec};
use arc_swap::ArcSwap;
use proto::message::{EndReason, Fault};
use proto::signal::PoolLayout;
use proto::{Bytes, PartitionId, QueueId, session};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use sys::event::EventFd;
use sys::mapping::Mapping;
use sys::memfd::MemFd;

/// Faults that wait to be told. A session has at most one per queue and one more, so this many never wait.
const FAULTS_MAX: usize = proto::limits::QUEUES_PER_SESSION_MAX * 2;

/// What only the thread that owns the device can do. Done between two runs, without giving the lease back.
pub(super) enum Command {
    CreateQueue {
        id: QueueId,
        spec: QueueSpec,
        memory: Arc<Mapping>,
        reply: SyncSender<Result<(), DeviceError>>,
    },
    DestroyQueue {
        id: QueueId,
        reply: SyncSender<()>,
    },
    SetPriority {
        id: QueueId,
        priority: Priority,
        reply: SyncSender<Result<(), DeviceError>>,
    },
    SetUnits {
        mask: CuMask,
        reply: SyncSender<Result<(), DeviceError>>,
    },
    /// Use the compute units of another partition; the memory object is theirs. The broker is told when it is done.
    MoveTo {
        partition: PartitionId,
        memory: MemFd,
    },
}

/// How long a kernel waits for memory at an alias that it touched.
const TOUCH_PATIENCE: Duration = Duration::from_secs(2);

/// Addresses of aliases that kernels have touched.
#[derive(Default)]
struct Touches {
    /// To be told to the tenant.
    untold: Vec<u64>,
    /// That kernels wait for.
    waiting: Vec<u64>,
    /// That the tenant has nothing for.
    refused: Vec<u64>,
}

/// A signal pool of the tenant.
pub(super) struct Pool {
    address: u64,
    memory: Mapping,
    layout: PoolLayout,
}

impl Pool {
    pub(super) fn new(address: u64, memory: Mapping) -> Option<Pool> {
        let layout = PoolLayout::of(Bytes(memory.len() as u64))?;
        Some(Pool { address, memory, layout })
    }

    fn ring(&self, index: u32) {
        if let Some(word) = self.layout.wake(index).and_then(|at| self.memory.atomic_u32(at)) {
            wake(word);
        }
    }
}

/// Wakes whoever sleeps on `word`.
pub(super) fn wake(word: &AtomicU32) {
    // Fails only for addresses that are none; a sleeper looks again soon anyway.
    let _ = sys::wake::ring(word);
}

#[derive(Default)]
struct Commands {
    waiting: VecDeque<Command>,
    /// The run thread takes no more.
    closed: bool,
}

/// See the module.
pub(super) struct Shared {
    pub(super) gate: Gate,
    pub(super) link: Link,
    /// The session page.
    page: Mapping,
    /// Wakes the main thread.
    pub(super) attention: EventFd,
    /// The run thread shall come back from the device: a command waits, a fault is to be told, or the session ends.
    stop_running: AtomicBool,
    ending: AtomicBool,
    end: Mutex<Option<(EndReason, String)>>,
    faults: Mutex<Vec<Fault>>,
    touches: Mutex<Touches>,
    /// Memory was mapped or refused, or the session ends.
    supplied: Condvar,
    commands: Mutex<Commands>,
    pools: ArcSwap<Vec<Arc<Pool>>>,
    /// Kernel names by the address of their descriptor, for faults.
    names: Mutex<HashMap<u64, Arc<str>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Everything behind these locks is consistent between two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(gate: Gate, link: Link, page: Mapping, attention: EventFd) -> Shared {
        Shared {
            gate,
            link,
            page,
            attention,
            stop_running: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            end: Mutex::new(None),
            faults: Mutex::default(),
            touches: Mutex::default(),
            supplied: Condvar::new(),
            commands: Mutex::default(),
            pools: ArcSwap::from_pointee(Vec::new()),
            names: Mutex::default(),
        }
    }

    // The end.

    /// Begins the end of the session. Whoever comes first gives the reason.
    pub(super) fn end(&self, reason: EndReason, text: impl Into<String>) {
        lock(&self.end).get_or_insert_with(|| (reason, text.into()));
        self.ending.store(true, Ordering::Release);
        self.touches_changed();
        self.call_run_thread();
        self.call_main_thread();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    pub(super) fn ended(&self) -> Option<(EndReason, String)> {
        lock(&self.end).clone()
    }

    /// Tells threads of the tenant that spin, or wait for nothing but the end.
    pub(super) fn publish_end(&self, reason: EndReason) {
        if let (Some(end), Some(word)) = (self.page.atomic_u32(session::END), self.page.atomic_u32(session::END_WAKE)) {
            end.store(reason.number(), Ordering::SeqCst);
            wake(word);
        }
    }

    // Waking.

    fn call_run_thread(&self) {
        self.stop_running.store(true, Ordering::SeqCst);
        wake(self.gate.wake());
    }

    fn call_main_thread(&self) {
        // Fails only on a descriptor that is none.
        let _ = self.attention.signal();
    }

    pub(super) fn run_thread_is_called(&self) -> bool {
        self.stop_running.load(Ordering::SeqCst)
    }

    /// Takes the call. Then look at what there is to do.
    pub(super) fn take_call(&self) {
        self.stop_running.store(false, Ordering::SeqCst);
    }

    /// The word that every doorbell of the session rings.
    pub(super) fn doorbell(&self) -> &AtomicU32 {
        // PANIC: the first word of a page.
        self.page.atomic_u32(session::WORKER_WAKE).expect("inside the page")
    }

    // Commands.

    /// Hands a command to the run thread. `false`: it takes no more, and the command is dropped.
    pub(super) fn command(&self, command: Command) -> bool {
        let mut commands = lock(&self.commands);
        if commands.closed {
            return false;
        }
        commands.waiting.push_back(command);
        drop(commands);
        self.call_run_thread();
        true
    }

    pub(super) fn take_command(&self) -> Option<Command> {
        lock(&self.commands).waiting.pop_front()
    }

    /// Drops waiting commands, whose senders then know, and takes no more.
    pub(super) fn close_commands(&self) {
        let mut commands = lock(&self.commands);
        commands.closed = true;
        commands.waiting.clear();
    }

    // Faults.

    /// Has a fault told to tenant and broker.
    pub(super) fn fault(&self, fault: Fault) {
        let mut faults = lock(&self.faults);
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        }
        drop(faults);
        self.call_main_thread();
    }

    pub(super) fn take_faults(&self) -> Vec<Fault> {
        std::mem::take(&mut lock(&self.faults))
    }

    pub(super) fn name_kernel(&self, object: u64, name: Option<&str>) {
        let mut names = lock(&self.names);
        match name {
            Some(name) => names.insert(object, name.into()),
            None => names.remove(&object),
        };
    }

    pub(super) fn kernel_name(&self, object: u64) -> Arc<str> {
        lock(&self.names).get(&object).cloned().unwrap_or_else(|| "".into())
    }

    // Aliases.

    /// Has the tenant asked for memory at an address that a kernel has touched, and waits for it. Returns whether it came.
    pub(super) fn supply(&self, address: u64, there: &dyn Fn() -> bool) -> bool {
        let page = address - address % sys::page_size() as u64;
        let mut touches = lock(&self.touches);
        if !touches.waiting.contains(&page) {
            touches.untold.push(page);
            self.call_main_thread();
        }
        touches.waiting.push(page);
        let deadline = Instant::now() + TOUCH_PATIENCE;
        let came = loop {
            if there() {
                break true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if touches.refused.contains(&page) || self.is_ending() || left.is_zero() {
                break false;
            }
            touches = self.supplied.wait_timeout(touches, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        let at = touches.waiting.iter().position(|waits| *waits == page);
        // Put there above, once for every thread that waits.
        at.map(|at| touches.waiting.swap_remove(at));
        if !touches.waiting.contains(&page) {
            touches.refused.retain(|refused| *refused != page);
        }
        came
    }

    pub(super) fn take_touches(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.touches).untold)
    }

    /// Lets whoever waits for memory look again.
    pub(super) fn touches_changed(&self) {
        // The lock: whoever looked in vain sleeps by now.
        drop(lock(&self.touches));
        self.supplied.notify_all();
    }

    /// Has kernels that wait for memory at this address meet a fault.
    pub(super) fn refuse_touch(&self, address: u64) {
        let page = address - address % sys::page_size() as u64;
        let mut touches = lock(&self.touches);
        if touches.waiting.contains(&page) {
            touches.refused.push(page);
        }
        drop(touches);
        self.supplied.notify_all();
    }

    // Signals.

    pub(super) fn add_pool(&self, pool: Pool) {
        let mut pools = Vec::clone(&self.pools.load());
        pools.push(Arc::new(pool));
        self.pools.store(Arc::new(pools));
    }

    /// Forgets the pool at an address. Unmapped when the run thread has looked away.
    pub(super) fn remove_pool(&self, address: u64) {
        let mut pools = Vec::clone(&self.pools.load());
        pools.retain(|pool| pool.address != address);
        self.pools.store(Arc::new(pools));
    }

    /// Wakes those who wait for the signal at an address.
    pub(super) fn ring_signal(&self, signal: u64) {
        for pool in self.pools.load().iter() {
            if let Some(index) = signal.checked_sub(pool.address).and_then(|offset| pool.layout.index_at(offset)) {
                pool.ring(index);
                return self.ring_events();
            }
        }
    }

    /// Wakes those who wait for any signal.
    fn ring_events(&self) {
        if let Some(word) = self.page.atomic_u32(session::EVENT_WAKE) {
            wake(word);
        }
    }

    /// Wakes everybody who waits for a signal.
    pub(super) fn ring_all_signals(&self) {
        for pool in self.pools.load().iter() {
            (0..pool.layout.capacity()).for_each(|index| pool.ring(index));
        }
        self.ring_events();
    }
}
