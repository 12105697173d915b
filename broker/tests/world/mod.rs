//! A small world around the broker: sessions with real gate words, a shell that carries out actions and answers them as the
//! contract says, and checks that hold after every action.

#![allow(dead_code, unreachable_pub, reason = "each test binary includes this and uses a part")]

use std::collections::{BTreeMap, BTreeSet};

use broker::{
    Action, AdminCommand, AdminReply, AdminToken, Broker, Config, ConnectionId, Event, GateView, Input, LeaseSpan,
    Peer, TenantConfig, actions_per_input_max,
};
use proto::gate::{GateWord, LeaseState, Level, Scrub, StopReason};
use proto::message::opening::Hello;
use proto::message::worker::{Backing, ChargeKind, ChargeRequest, Leaving, Moved, ReleaseCharge};
use proto::message::{EndReason, RefuseCode, WorkerOrder, WorkerReport};
use proto::text::Text;
use proto::{Bytes, ChargeId, Instant, LeaseGeneration, Nanos, PartitionId, RequestId, SessionId, TenantName};

/// A worker and its gate.
#[derive(Debug)]
pub struct Worker {
    pub tenant: TenantName,
    pub word: GateWord,
    pub view: GateView,
    /// Nanoseconds of work in its rings.
    pub work: u64,
    /// When it began to run its work, in the current stretch.
    pub running_since: Option<Instant>,
    pub level: Level,
    pub granted_at: Instant,
    pub charges: Vec<(ChargeId, u64)>,
    pub told_to_stop: bool,
    pub killed: bool,
    pub said_leaving: bool,
    /// It does not react to anything.
    pub stuck: bool,
    pub done: u64,
    pub scrubbed_for: u32,
    /// Which partition of which device it runs in, and how often that changed.
    pub place: (u32, u32),
    pub moves: u32,
    /// Where it was sent; it says that it is there when it looks around.
    pub sent_to: Option<u32>,
}

pub struct World {
    pub broker: Broker,
    pub now: Instant,
    pub workers: BTreeMap<SessionId, Worker>,
    pub gone: BTreeSet<SessionId>,
    pub ended: BTreeMap<SessionId, EndReason>,
    pub events: Vec<Event>,
    pub refused: Vec<RefuseCode>,
    pub told: Vec<Vec<u32>>,
    pub replies: Vec<Result<AdminReply, broker::AdminError>>,
    pub memory_fails: bool,
    /// How long a worker takes to stop, and to start.
    pub stop_time: u64,
    pub start_time: u64,
    last_holder: BTreeMap<(u32, u32), TenantName>,
    /// When the last lease of each partition ended.
    last_lease: BTreeMap<(u32, u32), Instant>,
    /// The device that programs ask for.
    pub device: u32,
    connections: u64,
}

pub fn name(name: &str) -> TenantName {
    TenantName::new(name).unwrap()
}

/// A configuration with one user per tenant: uid 1000 is the first, and so on.
pub fn config(tenants: &[TenantConfig]) -> Config {
    let mut config = Config::built_in(Bytes(1 << 30));
    for (i, tenant) in tenants.iter().enumerate() {
        let rule = broker::MatchRule { uid: Some(1000 + i as u32), ..Default::default() };
        config.tenants.push(TenantConfig { matches: vec![rule], ..tenant.clone() });
    }
    config
}

pub fn weighted(n: &str, weight: u32) -> TenantConfig {
    let weight = sched::Weight::new(weight).unwrap();
    TenantConfig { weight, sessions: 8, max_dispatch: Nanos(0), ..TenantConfig::modest(name(n)) }
}

impl World {
    pub fn new(config: Config) -> Self {
        let now = Instant(1_000_000);
        Self {
            broker: Broker::new(config, now).unwrap(),
            now,
            workers: BTreeMap::new(),
            gone: BTreeSet::new(),
            ended: BTreeMap::new(),
            events: Vec::new(),
            refused: Vec::new(),
            told: Vec::new(),
            replies: Vec::new(),
            memory_fails: false,
            stop_time: 0,
            start_time: 0,
            last_holder: BTreeMap::new(),
            last_lease: BTreeMap::new(),
            device: 0,
            connections: 0,
        }
    }

    pub fn input(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.broker.handle(self.now, input);
            let mut actions = 0;
            while let Some(action) = self.broker.poll_action() {
                actions += 1;
                inputs.extend(self.perform(action));
                self.check();
            }
            assert!(actions <= actions_per_input_max(self.workers.len() + 1), "{actions} actions for one input");
        }
        self.check();
    }

    fn check(&self) {
        let holders: Vec<_> = self.workers.values().filter(|w| held(w.word)).map(|w| w.place).collect();
        let places: BTreeSet<_> = holders.iter().collect();
        assert_eq!(holders.len(), places.len(), "two sessions hold one partition: {holders:?}");
        let pinned: u64 = self.workers.values().flat_map(|w| &w.charges).map(|(_, b)| b).sum();
        let booked = self.broker.ledger().total();
        assert!(booked.vram + booked.host >= pinned, "pinned {pinned}, booked {booked:?}");
    }

    pub fn worker(&mut self, session: SessionId) -> &mut Worker {
        assert!(!self.gone.contains(&session), "{session} is gone but still named");
        self.workers.get_mut(&session).expect("a session that exists")
    }

    fn perform(&mut self, action: Action) -> Option<Input> {
        let now = self.now;
        match action {
            Action::Refuse { code, .. } => self.refused.push(code),
            Action::TellDevices { devices, .. } => self.told.push(devices),
            Action::SpawnWorker { session, tenant, device, partition, .. } => {
                let worker = Worker {
                    tenant,
                    word: GateWord::NEW,
                    view: GateView::new(GateWord::NEW),
                    work: 0,
                    running_since: None,
                    level: Level::Keep,
                    granted_at: now,
                    charges: Vec::new(),
                    told_to_stop: false,
                    killed: false,
                    said_leaving: false,
                    stuck: false,
                    done: 0,
                    scrubbed_for: 0,
                    place: (device, partition),
                    moves: 0,
                    sent_to: None,
                };
                assert!(self.workers.insert(session, worker).is_none() && !self.gone.contains(&session));
                return Some(Input::WorkerSpawned { session, pid: 1 });
            }
            Action::MoveSession { session, partition } => {
                let worker = self.worker(session);
                assert!(!held(worker.word), "{session} is moved while it has the device");
                assert!(worker.sent_to.replace(partition).is_none(), "{session} is sent on before it has arrived");
            }
            Action::Order { session, order, .. } => {
                let worker = self.worker(session);
                match order {
                    WorkerOrder::Stop(_) => worker.told_to_stop = true,
                    WorkerOrder::ChargeNoted(noted) => worker.charges.push((noted.charge, noted.bytes.0)),
                    _ => {}
                }
            }
            Action::CreateMemory { session, charge, bytes, .. } => {
                let created = !self.memory_fails;
                let worker = self.worker(session);
                if created {
                    worker.charges.push((charge, bytes.0));
                }
                return Some(Input::MemoryCreated { session, charge, created });
            }
            Action::GrantLease { session, generation, level, scrub, .. } => {
                let (tenant, place) = (self.worker(session).tenant, self.worker(session).place);
                let start = self.start_time;
                let worker = self.worker(session);
                assert_eq!(worker.sent_to, None, "{session} gets a lease before it has arrived");
                let granted = worker.word.grant(generation).ok();
                if granted.is_some() {
                    let other = self.last_holder.insert(place, tenant) != Some(tenant);
                    let due = other && self.broker.config().scrub;
                    assert!(scrub == Scrub::ALL || !due, "`{tenant}` could see what another left");
                }
                let worker = self.worker(session);
                if let Some(word) = granted {
                    worker.word = word;
                    worker.level = level;
                    worker.granted_at = now;
                    worker.running_since = Some(now.after(Nanos(start)));
                    worker.view = GateView {
                        report: generation,
                        first_instruction_at: now.after(Nanos(start)),
                        ..GateView::new(word)
                    };
                }
                return Some(Input::GrantOutcome { session, generation, granted_at: granted.map(|_| now) });
            }
            Action::TakeParked { session, generation } => return Some(self.ask(session, generation, Level::Yield)),
            Action::RequestPreempt { session, generation } => {
                return Some(self.ask(session, generation, Level::Suspend));
            }
            Action::RenewLease { session, generation, .. } => {
                assert!(self.worker(session).word.holds(generation), "renewed a lease that is over");
            }
            Action::LookAtGate { session } => {
                let view = self.view(session);
                return Some(Input::Gate { session, view });
            }
            Action::KillWorker { session } => self.worker(session).killed = true,
            Action::EndTenant { session, .. } => {
                self.worker(session);
            }
            Action::ReleaseSession { session } => {
                self.worker(session);
                self.workers.remove(&session);
                self.gone.insert(session);
            }
            Action::KeepMemory { session, .. } => drop(self.worker(session)),
            Action::ForgetMemory { .. } => {}
            Action::PassMemory { session, charge, bytes, .. } => {
                self.worker(session).charges.push((charge, bytes.0));
                return Some(Input::MemoryCreated { session, charge, created: true });
            }
            Action::Reply { reply, .. } => self.replies.push(reply),
            Action::Emit(event) => {
                if let Event::Ended { session, reason, .. } = event {
                    assert!(self.ended.insert(session, reason).is_none(), "{session} ended twice");
                }
                if let Event::Switched { parts, .. } = &event {
                    assert!(parts.total().0 < 1 << 50);
                }
                if let Event::LeaseEnded { occupancy, span, .. } = &event {
                    self.check_span(*occupancy, span);
                }
                self.events.push(event);
            }
        }
        None
    }

    /// Of every lease every nanosecond is accounted for, and no two of one partition overlap.
    fn check_span(&mut self, occupancy: Nanos, span: &LeaseSpan) {
        assert_eq!(occupancy, span.occupancy);
        let began = span.started_at.unwrap_or(span.until);
        assert!(span.granted_at <= began && began <= span.until && span.until <= self.now, "{span:?}");
        assert_eq!(span.until.since(began).0, span.occupancy.0 + span.parked.0, "{span:?}");
        let last = self.last_lease.insert((span.device, span.partition), span.until);
        assert!(last.is_none_or(|last| last <= span.granted_at), "{span:?} overlaps one until {last:?}");
    }

    fn view(&mut self, session: SessionId) -> GateView {
        let now = self.now;
        let worker = self.worker(session);
        // Nobody knows when the first instruction will run until it does.
        let first = Some(worker.view.first_instruction_at).filter(|first| *first <= now).unwrap_or(Instant(0));
        GateView { word: worker.word, first_instruction_at: first, ..worker.view }
    }

    fn ask(&mut self, session: SessionId, generation: LeaseGeneration, level: Level) -> Input {
        let view = self.view(session);
        let worker = self.worker(session);
        if worker.word.generation() == generation {
            worker.level = level;
        }
        let taken = worker.word.take(generation);
        if let Ok(word) = taken {
            worker.word = word;
            worker.running_since = None;
        }
        Input::TakeOutcome { session, generation, taken: taken.is_ok(), view }
    }

    // What the outside does.

    pub fn connect(&mut self, uid: u32, wanted: Option<&str>) -> Option<SessionId> {
        self.connections += 1;
        let before: BTreeSet<_> = self.workers.keys().copied().collect();
        let hello = Hello { tenant: wanted.map(name), command: Text::truncated("test"), device: self.device };
        let peer = Peer { pid: 1, uid, gid: uid, cgroup: "/".into() };
        self.input(Input::Hello { connection: ConnectionId(self.connections), peer, hello: Ok(hello) });
        self.workers.keys().copied().find(|s| !before.contains(s))
    }

    /// Asks which devices there are.
    pub fn devices(&mut self, uid: u32, wanted: Option<&str>) -> Result<Vec<u32>, RefuseCode> {
        self.connections += 1;
        let peer = Peer { pid: 1, uid, gid: uid, cgroup: "/".into() };
        let (connection, tenant) = (ConnectionId(self.connections), wanted.map(name));
        self.input(Input::ListDevices { connection, peer, tenant });
        self.told.pop().ok_or_else(|| self.refused.pop().expect("an answer"))
    }

    pub fn ready(&mut self, session: SessionId) {
        let ready = proto::message::worker::Ready { device: facts() };
        self.say(session, ready.into());
    }

    pub fn session(&mut self, uid: u32) -> SessionId {
        let session = self.connect(uid, None).expect("admitted");
        self.ready(session);
        session
    }

    pub fn say(&mut self, session: SessionId, report: WorkerReport) {
        self.input(Input::WorkerSaid { session, request: RequestId(1), report: Ok(report) });
    }

    pub fn charge(&mut self, session: SessionId, kind: ChargeKind, bytes: u64, memfd: bool) {
        let backing = if memfd { Backing::Memfd } else { Backing::Driver };
        self.say(session, ChargeRequest { kind, backing, bytes: Bytes(bytes) }.into());
    }

    pub fn release_one(&mut self, session: SessionId) {
        let Some((charge, _)) = self.workers.get_mut(&session).and_then(|w| w.charges.pop()) else { return };
        self.say(session, ReleaseCharge { charge }.into());
    }

    pub fn admin(&mut self, command: AdminCommand) -> Result<AdminReply, broker::AdminError> {
        self.input(Input::Admin { token: AdminToken(1), command });
        self.replies.pop().expect("every command is answered")
    }

    pub fn status(&mut self) -> broker::Status {
        match self.admin(AdminCommand::Status) {
            Ok(AdminReply::Status(status)) => status,
            other => panic!("not a status: {other:?}"),
        }
    }

    pub fn submit(&mut self, session: SessionId, work: u64) {
        if let Some(worker) = self.workers.get_mut(&session) {
            worker.work += work;
        }
        self.step(session);
    }

    /// A worker's process ends, and with it everything it had mapped and open.
    pub fn exit(&mut self, session: SessionId, signal: u32) {
        let view = self.workers.contains_key(&session).then(|| self.view(session));
        if let Some(worker) = self.workers.get_mut(&session) {
            worker.charges.clear();
            worker.word = GateWord::NEW;
        }
        self.input(Input::WorkerExited { session, signal, view });
    }

    /// Lets time pass, stopping wherever a worker or the broker has something to do.
    pub fn run(&mut self, span: u64) {
        let end = self.now.after(Nanos(span));
        loop {
            let timer = self.broker.poll_timeout().filter(|at| *at <= end);
            let work_done = self
                .workers
                .values()
                .filter(|w| w.word.state() == Some(LeaseState::Leased) && !w.stuck)
                .filter_map(|w| w.running_since.map(|since| since.after(Nanos(w.work))))
                .filter(|at| *at <= end)
                .min();
            let Some(next) = timer.into_iter().chain(work_done).min() else { break };
            let before = (self.now, self.events.len());
            self.now = self.now.max(next);
            self.step_all();
            if self.broker.poll_timeout().is_some_and(|at| at <= self.now) {
                self.input(Input::Timer);
                self.step_all();
            }
            assert!(before != (self.now, self.events.len()) || self.broker.poll_timeout() != timer, "nothing moves");
        }
        self.now = end;
        self.step_all();
    }

    pub fn step_all(&mut self) {
        // Stopping one worker lets another start: until nothing changes.
        for _ in 0..2 {
            for session in self.workers.keys().copied().collect::<Vec<_>>() {
                self.step(session);
            }
        }
    }

    /// What a well-behaved worker does when it looks around.
    pub fn step(&mut self, session: SessionId) {
        let (now, stop_time) = (self.now, self.stop_time);
        let Some(worker) = self.workers.get_mut(&session) else { return };
        if worker.killed {
            return self.exit(session, 9);
        }
        if worker.stuck {
            return;
        }
        if let Some(partition) = worker.sent_to.take() {
            (worker.place.1, worker.moves) = (partition, worker.moves + 1);
            return self.say(session, Moved { partition: PartitionId(partition) }.into());
        }
        let mut ring = false;
        if let (Some(LeaseState::Leased), Some(since)) = (worker.word.state(), worker.running_since) {
            let ran = now.since(since).0.min(worker.work);
            worker.work -= ran;
            worker.done += ran;
            worker.running_since = Some(now.max(since));
        }
        match worker.word.state() {
            Some(LeaseState::Idle) if worker.work > 0 && !worker.told_to_stop => {
                worker.word = worker.word.announce().unwrap();
                ring = true;
            }
            Some(LeaseState::Leased) => {
                let drained = worker.work == 0;
                let stop = worker.told_to_stop || worker.level == Level::Suspend;
                if stop || (drained && worker.level == Level::Yield) {
                    worker.view.stop_seen_at = now;
                    worker.view.stopped_at = now.after(Nanos(stop_time)).min(now);
                    worker.view.stop_reason = Some(if drained { StopReason::Drained } else { StopReason::Preempted });
                    worker.word = worker.word.release(!drained && !worker.told_to_stop).unwrap();
                    worker.running_since = None;
                    ring = true;
                } else if drained {
                    worker.view.parked_at = now;
                    worker.word = worker.word.park().unwrap();
                }
            }
            Some(LeaseState::Parked) if worker.work > 0 => {
                worker.view.parked_total.0 += now.since(worker.view.parked_at).0;
                worker.word = worker.word.unpark().unwrap();
                worker.running_since = Some(now);
            }
            _ => {}
        }
        let leave = worker.told_to_stop && !worker.said_leaving && !held(worker.word);
        if ring {
            let view = self.view(session);
            self.input(Input::Gate { session, view });
        }
        if leave {
            self.workers.get_mut(&session).unwrap().said_leaving = true;
            self.say(session, Leaving { reason: EndReason::Killed, text: Text::EMPTY }.into());
            self.exit(session, 0);
        }
    }

    pub fn done(&self, session: SessionId) -> u64 {
        self.workers[&session].done
    }

    /// Shuts down and checks that nothing is left.
    pub fn shut_down(mut self) {
        self.admin(AdminCommand::Shutdown).unwrap();
        self.step_all();
        self.run(60_000_000_000);
        assert!(self.broker.is_finished(), "{:?} are left", self.workers);
        assert!(self.broker.ledger().is_zero(), "charges are left: {:?}", self.broker.ledger());
        assert_eq!(self.ended.len(), self.gone.len());
        assert_eq!(self.connect(1000, None), None);
    }
}

pub fn held(word: GateWord) -> bool {
    matches!(word.state(), Some(LeaseState::Leased | LeaseState::Parked))
}

pub fn facts() -> proto::message::DeviceFacts {
    proto::message::DeviceFacts {
        name: Text::truncated("soft"),
        isa: Text::truncated("amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-"),
        uuid: 1,
        compute_units: 8,
        simds_per_cu: 4,
        waves_per_cu: 32,
        wave_size: 64,
        lds_bytes: 65_536,
        clock_mhz: 1700,
        vram: Bytes(1 << 30),
        host_memory: Bytes(1 << 30),
        queues: 4,
        ring_slots_max: 1 << 17,
        arena: proto::message::ArenaRule::Tenant,
        vram_mappable: 1,
        arena_lowest: proto::DeviceAddress(1 << 30),
        arena_bytes_max: Bytes(1 << 40),
        capability: proto::message::Capability::Suspend,
    }
}
