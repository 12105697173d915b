//! A broker for tests: admits everybody, grants the lease in turn, pins what it is asked for. It follows `docs/protocol.md` with the
//! simplest policy there is, so that what is tested are workers and clients.

use client::{Client, ConnectError};
use gcn::hardware::CuHardware;
use proto::gate::{GateLayout, GateWord, LeaseState, Level, NotNow, Request, Scrub};
use proto::ids::TenantName;
use proto::limits::{MAX_MESSAGE, PAGE_BYTES};
use proto::message::opening::Opening;
use proto::message::tenant::Ending;
use proto::message::worker::{
    Backing, ChargeDenied, ChargeGranted, ChargeKind, ChargeNoted, Partition, SessionLimits, Start, Stop,
};
use proto::message::{DenyCode, EndReason, Fault, TenantAnswer, WorkerOrder, WorkerReport};
use proto::text::Text;
use proto::wake::WakeWord;
use proto::wire::Message;
use proto::{Bytes, ChargeId, DeviceGeneration, LeaseGeneration, Nanos, PartitionId, RequestId, SessionId};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use sys::clock::{Deadline, now_ns};
use sys::event::{EventFd, Poller};
use sys::mapping::{Access, Mapping};
use sys::memfd::MemFd;
use sys::process::{Child, Exit, Spawn};
use sys::socket::{Channel, ReceiveError};

/// Compute units of the test's device.
pub(crate) const CUS: u32 = 2;
/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the deadline of a test.
pub(crate) fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

/// Waits until `done` gives something.
pub(crate) fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = done() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// What the stub does.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) slice: Duration,
    pub(crate) scrub: bool,
    pub(crate) limits: SessionLimits,
}

impl Default for Policy {
    fn default() -> Self {
        let limits =
            SessionLimits { vram: Bytes(512 << 20), host_memory: Bytes(512 << 20), queues: 8, max_dispatch: Nanos(0) };
        Policy { slice: Duration::from_millis(2), scrub: true, limits }
    }
}

/// A session as the stub sees it.
pub(crate) struct Session {
    pub(crate) child: Child,
    /// The broker's descriptor of the tenant's socket.
    pub(crate) tenant: Channel,
    worker: Option<Channel>,
    pub(crate) gate: Mapping,
    bell: EventFd,
    pub(crate) charges: HashMap<ChargeId, (ChargeKind, u64)>,
    last_charge: u64,
    generation: LeaseGeneration,
    pub(crate) ready: bool,
    pub(crate) left: Option<(EndReason, String)>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) grants: u64,
    /// Leases that ended with a context saved, and its largest size.
    pub(crate) suspended: (u64, u64),
}

impl Session {
    pub(crate) fn word(&self) -> GateWord {
        GateWord(self.gate.atomic_u64(GateLayout::WORD).unwrap().load(Ordering::SeqCst))
    }

    /// Reads a number of the gate.
    pub(crate) fn gate(&self, offset: usize) -> u64 {
        self.gate.load_u64(offset).unwrap()
    }

    /// Counts the samples of a histogram.
    pub(crate) fn samples(&self, histogram: usize) -> u64 {
        (0..proto::histogram::BUCKETS).map(|b| self.gate(histogram + b * 8)).sum()
    }

    fn put(&self, offset: usize, value: u64) {
        self.gate.atomic_u64(offset).unwrap().store(value, Ordering::SeqCst);
    }

    fn change(&self, step: impl Fn(GateWord) -> Result<GateWord, NotNow>) -> Result<GateWord, NotNow> {
        let word = self.gate.atomic_u64(GateLayout::WORD).unwrap();
        loop {
            let found = word.load(Ordering::SeqCst);
            let next = step(GateWord(found))?;
            if word.compare_exchange(found, next.0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return Ok(next);
            }
        }
    }

    fn ring(&self) {
        let word = self.gate.atomic_u32(GateLayout::WAKE).unwrap();
        let mut found = word.load(Ordering::SeqCst);
        while let Some(next) = WakeWord(found).ring() {
            match word.compare_exchange(found, next.0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    sys::futex::wake_all(word).unwrap();
                    return;
                }
                Err(now) => found = now,
            }
        }
    }

    pub(crate) fn order(&self, request: RequestId, order: impl Into<WorkerOrder>, fds: &[BorrowedFd<'_>]) {
        if let Some(worker) = &self.worker {
            // A worker that is gone does not mind.
            let _ = worker.send(order.into().encode(request).as_bytes(), fds);
        }
    }

    /// Asks the worker to end, as the daemon does it.
    pub(crate) fn stop(&self, reason: EndReason) {
        self.order(RequestId::EVENT, Stop { reason }, &[]);
        let _ = self.change(GateWord::stop);
        self.ring();
    }

    /// Closes the worker's socket, as when the broker dies.
    pub(crate) fn hang_up(&mut self) {
        self.worker = None;
    }

    /// Says something to the worker that is no message.
    pub(crate) fn babble(&self, bytes: &[u8]) {
        self.worker.as_ref().unwrap().send(bytes, &[]).unwrap();
    }

    /// Bytes charged for a kind.
    pub(crate) fn charged(&self, kind: ChargeKind) -> u64 {
        self.charges.values().filter(|(k, _)| *k == kind).map(|(_, bytes)| bytes).sum()
    }

    fn used(&self, host: bool) -> u64 {
        use ChargeKind::{Host, Kernarg, Queue, Signals};
        let is_host = |kind| matches!(kind, Host | Kernarg | Signals | Queue);
        self.charges.values().filter(|(k, _)| is_host(*k) == host).map(|(_, bytes)| bytes).sum()
    }
}

pub(crate) struct State {
    pub(crate) policy: Policy,
    pub(crate) sessions: Vec<Session>,
    lobby: Vec<Channel>,
    partition: MemFd,
    holder: Option<usize>,
    next: usize,
    granted_at: u64,
    last_holder: Option<usize>,
}

/// The stub: a thread that plays the broker until dropped.
pub(crate) struct Stub {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    /// While set, the broker does nothing at all.
    pub(crate) asleep: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    pub(crate) fn new(policy: Policy) -> Stub {
        let state = State {
            policy,
            sessions: Vec::new(),
            lobby: Vec::new(),
            partition: MemFd::create("partition", CUS as usize * size_of::<CuHardware>()).unwrap(),
            holder: None,
            next: 0,
            granted_at: 0,
            last_holder: None,
        };
        let (state, stop) = (Arc::new(Mutex::new(state)), Arc::new(AtomicBool::new(false)));
        let asleep = Arc::new(AtomicBool::new(false));
        let flags = (Arc::clone(&state), Arc::clone(&stop), Arc::clone(&asleep));
        let thread = std::thread::spawn(move || {
            let (state, stop, asleep) = flags;
            while !stop.load(Ordering::Relaxed) {
                if !asleep.load(Ordering::SeqCst) {
                    lock(&state).step();
                }
                // The broker of a test may be slow, but must leave its processor to others.
                let _ = Poller::new().unwrap().wait(&mut Vec::new(), Deadline::after(Duration::from_micros(200)));
            }
        });
        Stub { state, stop, asleep, thread: Some(thread) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Looks at a session.
    pub(crate) fn with<T>(&self, session: usize, look: impl FnOnce(&mut Session) -> T) -> T {
        look(&mut self.state().sessions[session])
    }

    /// Returns a connection whose other end the stub has.
    pub(crate) fn channel(&self) -> Channel {
        let (ours, theirs) = Channel::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        self.state().lobby.push(theirs);
        ours
    }

    pub(crate) fn try_connect(&self) -> Result<Client, ConnectError> {
        Client::over(self.channel(), None)
    }

    /// Connects a client; its session is the last one.
    pub(crate) fn connect(&self) -> Client {
        self.try_connect().unwrap()
    }

    /// Waits until a worker has said that it leaves, and returns why.
    pub(crate) fn left(&self, session: usize) -> EndReason {
        eventually("the worker says that it leaves", || {
            self.with(session, |s| s.left.as_ref().map(|(reason, _)| *reason))
        })
    }

    /// Waits until the worker of a session has exited.
    pub(crate) fn exit_of(&self, session: usize) -> Exit {
        eventually("the worker exits", || self.with(session, |s| s.child.try_wait().unwrap()))
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the stub of the broker has panicked");
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn step(&mut self) {
        self.admit();
        for at in 0..self.sessions.len() {
            self.hear(at);
        }
        self.lease();
    }

    fn admit(&mut self) {
        for channel in std::mem::take(&mut self.lobby) {
            let mut packet = [0; MAX_MESSAGE];
            match channel.receive(&mut packet, 0) {
                Ok(received) => {
                    let (_, opening) = Opening::decode(&packet[..received.len], 0).unwrap();
                    assert!(matches!(opening, Opening::Hello(_)), "{opening:?}");
                    let session = self.spawn(channel);
                    self.sessions.push(session);
                }
                Err(ReceiveError::WouldBlock) => self.lobby.push(channel),
                Err(_) => {}
            }
        }
    }

    fn spawn(&self, tenant: Channel) -> Session {
        let (worker, theirs) = Channel::pair().unwrap();
        worker.set_nonblocking(true).unwrap();
        let child = Spawn::program(env!("CARGO_BIN_EXE_wavegate").as_ref(), "wavegate:test")
            .unwrap()
            .argument("worker")
            .pass(theirs.as_fd())
            .spawn()
            .unwrap();
        let gate = MemFd::create("gate", GateLayout::BYTES.0 as usize).unwrap();
        let page = MemFd::create("session", proto::session::BYTES.0 as usize).unwrap();
        let bell = EventFd::new().unwrap();
        let session = Session {
            child,
            tenant,
            worker: Some(worker),
            gate: Mapping::new(&gate, Access::ReadWrite).unwrap(),
            bell,
            charges: HashMap::new(),
            last_charge: 0,
            generation: LeaseGeneration::default(),
            ready: false,
            left: None,
            faults: Vec::new(),
            grants: 0,
            suspended: (0, 0),
        };
        let start = Start {
            session: SessionId(self.sessions.len() as u64 + 1),
            tenant: TenantName::new("test").unwrap(),
            generation: DeviceGeneration(1),
            device: Text::truncated(&format!("soft:cus={CUS}")),
            uuid: 1,
            limits: self.policy.limits,
            partition: PartitionId(0),
            scrub: 1,
        };
        let fds = [session.tenant.as_fd(), gate.as_fd(), page.as_fd(), session.bell.as_fd()];
        session.order(RequestId::EVENT, start, &fds);
        let partition = Partition { partition: PartitionId(0), bytes: Bytes(self.partition.bytes() as u64) };
        session.order(RequestId::EVENT, partition, &[self.partition.as_fd()]);
        session
    }

    fn hear(&mut self, at: usize) {
        let (limits, session) = (self.policy.limits, &mut self.sessions[at]);
        session.bell.drain().unwrap();
        loop {
            let Some(worker) = &session.worker else { return };
            let mut packet = [0; MAX_MESSAGE];
            let received = match worker.receive(&mut packet, 1) {
                Ok(received) => received,
                Err(ReceiveError::WouldBlock) => return,
                Err(_) => {
                    session.worker = None;
                    return;
                }
            };
            let fds = received.fds.len();
            let (request, report) = WorkerReport::decode(&packet[..received.len], fds).expect("workers speak well");
            match report {
                WorkerReport::Ready(_) => session.ready = true,
                WorkerReport::FaultReport(report) => session.faults.push(report.fault),
                WorkerReport::Moved(moved) => panic!("nobody is sent to {:?} here", moved.partition),
                WorkerReport::Leaving(leaving) => {
                    session.left = Some((leaving.reason, leaving.text.as_str().to_owned()));
                }
                WorkerReport::ReleaseCharge(release) => {
                    session.charges.remove(&release.charge).expect("a charge is given back once");
                }
                // There is nobody to share with here; tests/broker has sessions that do.
                WorkerReport::ShareCharge(_) | WorkerReport::JoinCharge(_) => {
                    let code = DenyCode::UnknownObject;
                    session.order(request, ChargeDenied { code, asked: 0, limit: 0, used: 0 }, &[]);
                }
                WorkerReport::WithdrawCharge(_) => {}
                WorkerReport::ChargeRequest(wanted) => {
                    let bytes = wanted.bytes.0.next_multiple_of(PAGE_BYTES);
                    let host = matches!(
                        wanted.kind,
                        ChargeKind::Host | ChargeKind::Kernarg | ChargeKind::Signals | ChargeKind::Queue
                    );
                    let (limit, code) = match host {
                        true => (limits.host_memory.0, DenyCode::HostMemory),
                        false => (limits.vram.0, DenyCode::Vram),
                    };
                    let used = session.used(host);
                    if used.saturating_add(bytes) > limit {
                        session.order(request, ChargeDenied { code, asked: bytes, limit, used }, &[]);
                        continue;
                    }
                    session.last_charge += 1;
                    let charge = ChargeId(session.last_charge);
                    session.charges.insert(charge, (wanted.kind, bytes));
                    let bytes = Bytes(bytes);
                    match wanted.backing {
                        Backing::Driver => session.order(request, ChargeNoted { charge, bytes }, &[]),
                        Backing::Memfd => {
                            let memory = MemFd::create("memory", bytes.0 as usize).unwrap();
                            session.order(request, ChargeGranted { charge, bytes }, &[memory.as_fd()]);
                        }
                    }
                }
            }
        }
    }

    fn lease(&mut self) {
        let count = self.sessions.len();
        let runnable = |s: &Session| s.word().state() == Some(LeaseState::Runnable) && s.worker.is_some();
        if let Some(at) = self.holder {
            let others = self.sessions.iter().enumerate().any(|(i, s)| i != at && runnable(s));
            let session = &mut self.sessions[at];
            let generation = session.generation;
            if session.child.try_wait().unwrap().is_some() {
                self.holder = None;
            } else if !session.word().holds(generation) {
                self.holder = None;
                assert_eq!(session.gate(GateLayout::REPORT_GENERATION), u64::from(generation.get()));
                let context = session.gate(GateLayout::CONTEXT_BYTES);
                if context > 0 {
                    session.suspended = (session.suspended.0 + 1, session.suspended.1.max(context));
                }
                let stamp = |offset| session.gate(offset);
                assert!(stamp(GateLayout::STOP_SEEN_AT) <= stamp(GateLayout::STOPPED_AT), "stamps are in order");
                assert!(stamp(GateLayout::STOP_SEEN_AT) >= stamp(GateLayout::GRANTED_AT), "stamps are of this lease");
            } else if others {
                let over = now_ns() >= self.granted_at + self.policy.slice.as_nanos() as u64;
                let level = if over { Level::Suspend } else { Level::Yield };
                session.put(GateLayout::REQUESTED_AT, now_ns());
                session.put(GateLayout::REQUEST, Request { generation, level }.pack());
                if session.change(|w| w.take(generation)).is_ok() {
                    self.holder = None;
                }
            }
        }
        if self.holder.is_some() {
            return;
        }
        for k in 0..count {
            let at = (self.next + k) % count;
            if !runnable(&self.sessions[at]) {
                continue;
            }
            let scrub = if self.policy.scrub && self.last_holder != Some(at) { Scrub::ALL } else { Scrub::NONE };
            let (slice, max) = (self.policy.slice.as_nanos() as u64, self.policy.limits.max_dispatch.0);
            let session = &mut self.sessions[at];
            let (generation, now) = (session.generation.next(), now_ns());
            session.put(GateLayout::SLICE_DEADLINE, now + slice + 2_000_000);
            session.put(GateLayout::GRANTED_AT, now);
            session.put(GateLayout::SCRUB, scrub.pack());
            session.put(GateLayout::MAX_DISPATCH, max);
            session.put(GateLayout::REQUEST, Request { generation, level: Level::Keep }.pack());
            if session.change(|w| w.grant(generation)).is_ok() {
                session.generation = generation;
                session.grants += 1;
                session.ring();
                (self.holder, self.last_holder, self.granted_at, self.next) = (Some(at), Some(at), now, at + 1);
                return;
            }
        }
    }
}

/// Says the last word to a tenant whose worker is dead, as the daemon does it.
pub(crate) fn end_tenant(session: &Session, reason: EndReason, signal: u32) {
    let ending = TenantAnswer::from(Ending { reason, signal, text: Text::EMPTY });
    session.tenant.send(ending.encode(RequestId::EVENT).as_bytes(), &[]).unwrap();
    session.tenant.shutdown().unwrap();
}
