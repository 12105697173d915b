//! The state machine: what each input does to sessions and charges. Who has the device is in `lease`.
//!
//! A session is `Starting` from admission until its worker is ready, `Running` until something ends it, `Ending` until its
//! worker is reaped, and then gone. Its worker's exit is the only thing that makes it gone: everything else only asks for that,
//! with a deadline after which the worker is killed. So all its resources are released in one place, once.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use proto::limits::{COMMAND_NAME_MAX, REQUESTS_IN_FLIGHT_MAX};
use proto::message::opening::Hello;
use proto::message::worker::{
    Backing, ChargeDenied, ChargeNoted, ChargeRequest, JoinCharge, LimitsChanged, SessionLimits, Stop, UsageChanged,
};
use proto::message::{DenyCode, EndReason, Fault, RefuseCode, WorkerOrder, WorkerReport};
use proto::text::Text;
use proto::{Bytes, ChargeId, Instant, LeaseGeneration, Nanos, RequestId, SessionId, TenantName, Violation};
use sched::NodeId;

use crate::admission::{Peer, tenant_of};
use crate::config::{Config, ConfigError, TenantConfig};
use crate::contract::{Action, ConnectionId, Event, GateView, Input, LeaseSpan};
use crate::ledger::{Denied, Grant, Joined, Ledger};
use crate::lessor::{Holder, Lessor};
use crate::place::places;

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its worker is being started.
    Starting,
    /// It can have leases.
    Running,
    /// Its worker has been asked, or made, to end.
    Ending,
}

/// How to end a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Ask the worker, and kill it if that takes too long.
    Asking,
    /// Kill the worker: it is beyond asking, or there is nobody left to be polite to.
    Killing,
    /// The worker has said that it is going.
    Itself,
}

pub(crate) struct Session {
    pub(crate) tenant: TenantName,
    /// Its partition, by its place among those of all devices.
    pub(crate) place: usize,
    /// Its node there, and that of its tenant above it.
    pub(crate) node: NodeId,
    pub(crate) tenant_node: NodeId,
    /// Where it goes when it gives the device back.
    pub(crate) moves_to: Option<usize>,
    /// Its worker has been told of its partition and has not said yet that it is there.
    pub(crate) moving: bool,
    /// Compute units of the partition it began in: its context needs as many wherever it goes.
    pub(crate) units: u32,
    pub(crate) peer: Peer,
    pub(crate) command: Text<{ COMMAND_NAME_MAX }>,
    pub(crate) worker_pid: u32,
    pub(crate) phase: Phase,
    pub(crate) began: Instant,
    /// When patience ends: with starting, with moving, or with ending.
    deadline: Option<Instant>,
    ending: Option<EndReason>,
    killed: bool,
    /// The worker has told the tenant why itself.
    told: bool,
    /// Memory that is being created, by charge; at most [`REQUESTS_IN_FLIGHT_MAX`].
    creating: BTreeMap<ChargeId, RequestId>,
    pub(crate) last_fault: Option<Fault>,
    /// The last lease it had.
    pub(crate) generation: LeaseGeneration,
    /// The scheduler has been, or is about to be, told that it has work.
    pub(crate) runnable: bool,
    /// Device time it was charged.
    pub(crate) occupancy: Nanos,
}

#[derive(Default)]
pub(crate) struct Tenant {
    /// As configured.
    pub(crate) max_dispatch: Nanos,
    pub(crate) paused: bool,
    pub(crate) sessions: u32,
    /// No longer in the configuration; goes with its last session.
    pub(crate) removed: bool,
}

/// The broker of some devices.
pub struct Broker {
    pub(crate) config: Config,
    pub(crate) ledger: Ledger,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) tenants: BTreeMap<TenantName, Tenant>,
    /// One for every partition of every device.
    pub(crate) lessors: Vec<Lessor>,
    /// Places where something may have changed that decides who has the device.
    pub(crate) touched: Vec<usize>,
    /// At most [`actions_per_input_max`](crate::actions_per_input_max) per input that was not drained.
    actions: VecDeque<Action>,
    /// Deadlines of sessions, earliest first.
    deadlines: BTreeSet<(Instant, SessionId)>,
    last_session: u64,
    stale: u64,
    pub(crate) shutting_down: bool,
    now: Instant,
}

impl Broker {
    /// Returns a broker without sessions.
    pub fn new(config: Config, now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        let lessors: Result<Vec<Lessor>, ConfigError> =
            places(&config).map(|(device, partition)| Lessor::new(&config, device, partition, now)).collect();
        let lessors = lessors?;
        let tenant = |t: &TenantConfig| (t.name, Tenant { max_dispatch: t.max_dispatch, ..Tenant::default() });
        let tenants = config.tenants.iter().map(tenant).collect();
        Ok(Self {
            config,
            ledger: Ledger::default(),
            sessions: BTreeMap::new(),
            tenants,
            lessors,
            touched: Vec::new(),
            actions: VecDeque::new(),
            deadlines: BTreeSet::new(),
            last_session: 0,
            stale: 0,
            shutting_down: false,
            now,
        })
    }

    /// Takes note of what happened. Time never runs backwards here: an earlier `now` counts as the last one.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        let now = self.now;
        let all = matches!(input, Input::Timer | Input::Admin { .. });
        self.touched.clear();
        match input {
            Input::Hello { connection, peer, hello } => self.handle_hello(now, connection, peer, hello),
            Input::ListDevices { connection, peer, tenant } => self.handle_list(connection, peer, tenant.as_ref()),
            Input::TenantDied { session } => self.end(now, session, EndReason::TenantDied, By::Killing),
            Input::WorkerSpawned { session, pid } => match self.sessions.get_mut(&session) {
                Some(s) => s.worker_pid = pid,
                None => self.stale += 1,
            },
            Input::WorkerSpawnFailed { session } => {
                self.handle_worker_gone(now, session, 0, EndReason::StartFailed, None);
            }
            Input::WorkerSaid { session, request, report } => self.handle_report(now, session, request, report),
            Input::WorkerExited { session, signal, view } => {
                self.handle_worker_gone(now, session, signal, EndReason::WorkerDied, view.as_ref());
            }
            Input::MemoryCreated { session, charge, created } => self.handle_memory(session, charge, created),
            Input::Gate { session, view } => self.handle_gate(now, session, &view),
            Input::GrantOutcome { session, generation, granted_at } => {
                self.handle_grant_outcome(now, session, generation, granted_at);
            }
            Input::TakeOutcome { session, generation, taken, view } => {
                self.handle_take_outcome(now, session, generation, taken, &view);
            }
            Input::Timer => self.handle_timer(now),
            Input::Admin { token, command } => {
                let reply = self.handle_admin(now, command);
                self.act(Action::Reply { token, reply });
            }
        }
        if all {
            (0..self.lessors.len()).for_each(|at| self.advance(now, at));
        } else {
            let mut touched = core::mem::take(&mut self.touched);
            touched.drain(..).for_each(|at| self.advance(now, at));
            self.touched = touched;
        }
    }

    /// Returns the next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns when to send [`Input::Timer`], if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.deadlines.first().map(|(at, _)| *at);
        session.into_iter().chain(self.lessors.iter().filter_map(Lessor::timeout)).min()
    }

    /// Returns the configuration in force, with all live changes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the leases there are now, as far as they are booked.
    pub fn leases(&self) -> impl Iterator<Item = (SessionId, TenantName, LeaseSpan)> {
        self.lessors.iter().filter_map(|lessor| match &lessor.holder {
            Holder::Lease(lease) => Some((lease.session, lease.tenant, lessor.span(lease))),
            Holder::Nobody | Holder::Granting { .. } => None,
        })
    }

    /// Returns what a tenant is owed on each partition that it competes on, as device, partition, and nanoseconds of device time:
    /// positive if it received less than its share so far, negative if more.
    pub fn lags(&self, tenant: &TenantName) -> impl Iterator<Item = (u32, u32, i64)> {
        self.lessors.iter().filter_map(|lessor| {
            let lag = lessor.sched.lag(lessor.node_of(tenant)?).ok()?;
            Some((lessor.device as u32, lessor.partition as u32, lag))
        })
    }

    /// Returns what is pinned.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns how many inputs were about something that is gone, or answered a question nobody remembers.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Returns whether a shutdown has begun.
    pub fn is_shutting_down(&self) -> bool {
        self.shutting_down
    }

    /// Returns whether a shutdown has come to its end: no sessions are left and none are let in.
    pub fn is_finished(&self) -> bool {
        self.shutting_down && self.sessions.is_empty()
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.act(Action::Emit(event));
    }

    pub(crate) fn count_stale(&mut self) {
        self.stale += 1;
    }

    // Admission.

    fn handle_hello(&mut self, now: Instant, connection: ConnectionId, peer: Peer, hello: Result<Hello, Violation>) {
        let violation = hello.as_ref().err().copied();
        match self.admit(now, connection, &peer, hello) {
            Ok((session, tenant)) => self.emit(Event::Admitted { session, tenant, peer }),
            Err(code) => {
                self.act(Action::Refuse { connection, code });
                self.emit(Event::Refused { peer, code, violation });
            }
        }
    }

    /// Tells a tenant what it may use. Nothing of it is kept, so a paused tenant is told, too.
    fn handle_list(&mut self, connection: ConnectionId, peer: Peer, wanted: Option<&TenantName>) {
        let tenant = match self.shutting_down {
            true => Err(RefuseCode::ShuttingDown),
            false => tenant_of(&self.config, &peer, wanted),
        };
        match tenant.map(|tenant| self.devices_of(tenant)) {
            Ok(devices) => self.act(Action::TellDevices { connection, devices }),
            Err(code) => {
                self.act(Action::Refuse { connection, code });
                self.emit(Event::Refused { peer, code, violation: None });
            }
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        peer: &Peer,
        hello: Result<Hello, Violation>,
    ) -> Result<(SessionId, TenantName), RefuseCode> {
        if self.shutting_down {
            return Err(RefuseCode::ShuttingDown);
        }
        let hello = hello.map_err(|violation| match violation {
            Violation::Version { .. } => RefuseCode::Version,
            _ => RefuseCode::Malformed,
        })?;
        let device = match hello.device {
            proto::limits::ANY_DEVICE => None,
            index => Some(usize::try_from(index).unwrap_or(usize::MAX)),
        };
        if device.is_some_and(|device| device >= self.config.devices.len()) {
            return Err(RefuseCode::NoDevice);
        }
        let config = tenant_of(&self.config, peer, hello.tenant.as_ref())?;
        let (name, limit, config) = (config.name, config.sessions, config.clone());
        let tenant = self.tenants.get(&name).ok_or(RefuseCode::UnknownUser)?;
        if tenant.paused {
            return Err(RefuseCode::Paused);
        }
        if tenant.sessions >= limit {
            return Err(RefuseCode::SessionLimit);
        }
        if self.sessions.len() >= self.config.sessions_max as usize {
            return Err(RefuseCode::BrokerFull);
        }
        let place = self.choose_place(&config, device).ok_or(RefuseCode::NoDevice)?;
        let lessor = &mut self.lessors[place];
        let tenant_node = lessor.ensure_tenant(&config, now).map_err(|_| RefuseCode::BrokerFull)?;
        self.last_session += 1;
        let session = SessionId(self.last_session);
        let node = lessor.join_session(tenant_node, session, now).ok_or(RefuseCode::BrokerFull)?;
        let units = self.config.devices[lessor.device].partitions[lessor.partition].cus;
        let (device, partition) = (lessor.device as u32, lessor.partition as u32);
        if let Some(tenant) = self.tenants.get_mut(&name) {
            tenant.sessions += 1;
        }
        let deadline = now.after(self.config.start_timeout);
        self.deadlines.insert((deadline, session));
        self.sessions.insert(
            session,
            Session {
                tenant: name,
                place,
                node,
                tenant_node,
                moves_to: None,
                moving: false,
                units,
                peer: peer.clone(),
                command: hello.command,
                worker_pid: 0,
                phase: Phase::Starting,
                began: now,
                deadline: Some(deadline),
                ending: None,
                killed: false,
                told: false,
                creating: BTreeMap::new(),
                last_fault: None,
                generation: LeaseGeneration::default(),
                runnable: false,
                occupancy: Nanos(0),
            },
        );
        let (limits, scrub) = (self.limits_of(&name), self.config.scrub);
        self.act(Action::SpawnWorker { session, connection, tenant: name, limits, scrub, device, partition });
        self.act(Action::Order { session, request: RequestId::EVENT, order: self.usage_order(device, &name) });
        Ok((session, name))
    }

    /// Returns what a session of this tenant may have.
    pub(crate) fn limits_of(&self, tenant: &TenantName) -> SessionLimits {
        match self.config.tenant(tenant) {
            Some(t) => SessionLimits {
                vram: t.vram_limit,
                host_memory: t.host_limit,
                queues: t.queues,
                max_dispatch: t.max_dispatch,
            },
            None => SessionLimits { vram: Bytes(0), host_memory: Bytes(0), queues: 0, max_dispatch: Nanos(0) },
        }
    }

    // Workers.

    fn handle_report(
        &mut self,
        now: Instant,
        session: SessionId,
        request: RequestId,
        report: Result<WorkerReport, Violation>,
    ) {
        let Some(s) = self.sessions.get_mut(&session) else {
            self.stale += 1;
            return;
        };
        let tenant = s.tenant;
        match report {
            Ok(WorkerReport::Ready(_)) if s.phase == Phase::Starting => {
                s.phase = Phase::Running;
                let took = now.since(s.began);
                // A move that was ordered before it was ready still has to be answered.
                let until = s.moving.then(|| now.after(self.config.start_timeout));
                self.set_deadline(session, until);
                self.emit(Event::Ready { session, took });
            }
            // It has been asked to end before it was ready; the order is on its way.
            Ok(WorkerReport::Ready(_)) if s.phase == Phase::Ending => {}
            Ok(WorkerReport::Ready(_)) => self.violation(now, session, Violation::Kind { got: 0x0401 }),
            Ok(WorkerReport::ChargeRequest(wanted)) => self.handle_charge_request(now, session, request, &wanted),
            Ok(WorkerReport::ReleaseCharge(released)) => {
                let (offered, before) = (self.ledger.is_shared(released.charge), self.ledger.total());
                let joined = self.ledger.is_joined(released.charge);
                match self.ledger.release(session, released.charge) {
                    Some(charge) => {
                        if offered {
                            self.act(Action::ForgetMemory { memory: released.charge });
                        }
                        // With shared memory the session cannot know what its tenant uses now.
                        let alone = !offered && !joined && charge.memory == released.charge;
                        let knows = alone.then_some(session);
                        // Whoever joined memory may leave it and come back as often as it likes: that is no news for its owner.
                        if self.ledger.total() != before || knows.is_none() && charge.tenant == tenant {
                            self.tell_usage(&charge.tenant, knows);
                        }
                        self.forget_if_gone(&charge.tenant);
                    }
                    None => self.stale += 1,
                }
            }
            Ok(WorkerReport::ShareCharge(offer)) => {
                let ending = s.phase == Phase::Ending;
                let to = offer.tenant.map(|tenant| Grant { tenant, write: offer.write != 0 });
                match self.ledger.share(&self.config, session, offer.charge, to) {
                    Ok(charge) if !ending => {
                        let (memory, bytes) = (offer.charge, charge.bytes);
                        self.act(Action::KeepMemory { session, request, memory, bytes });
                    }
                    Ok(charge) => self.deny(session, tenant, request, Denied::ending(charge.bytes.0)),
                    Err(denied) => self.deny(session, tenant, request, denied),
                }
            }
            Ok(WorkerReport::WithdrawCharge(offer)) => {
                if self.ledger.withdraw(session, offer.charge) {
                    self.act(Action::ForgetMemory { memory: offer.charge });
                }
            }
            Ok(WorkerReport::JoinCharge(wanted)) => self.handle_join(now, session, request, &wanted),
            Ok(WorkerReport::Moved(moved)) => self.handle_moved(now, session, moved.partition),
            Ok(WorkerReport::FaultReport(report)) => {
                s.last_fault = Some(report.fault.clone());
                self.emit(Event::Faulted { session, tenant, fault: Box::new(report.fault) });
            }
            Ok(WorkerReport::Leaving(leaving)) => {
                s.told = true;
                self.end(now, session, leaving.reason, By::Itself);
            }
            Err(violation) => self.violation(now, session, violation),
        }
    }

    pub(crate) fn violation(&mut self, now: Instant, session: SessionId, violation: Violation) {
        self.emit(Event::WorkerViolation { session, violation });
        self.end(now, session, EndReason::WorkerViolation, By::Killing);
    }

    fn handle_charge_request(&mut self, now: Instant, session: SessionId, request: RequestId, wanted: &ChargeRequest) {
        let Some(s) = self.sessions.get(&session) else { return };
        let tenant = s.tenant;
        if s.creating.len() >= REQUESTS_IN_FLIGHT_MAX {
            return self.violation(now, session, Violation::Flood);
        }
        let entered = if s.phase == Phase::Ending {
            Err(Denied::ending(wanted.bytes.0))
        } else {
            let device = self.lessors[s.place].device as u32;
            self.ledger.enter(&self.config, device, tenant, session, wanted.kind, wanted.bytes)
        };
        match entered {
            Ok((charge, bytes)) => {
                match wanted.backing {
                    Backing::Memfd => {
                        if let Some(s) = self.sessions.get_mut(&session) {
                            s.creating.insert(charge, request);
                        }
                        self.act(Action::CreateMemory { session, request, charge, bytes });
                    }
                    Backing::Driver => {
                        self.act(Action::Order { session, request, order: ChargeNoted { charge, bytes }.into() });
                    }
                }
                self.tell_usage(&tenant, Some(session));
            }
            Err(denied) => self.deny(session, tenant, request, denied),
        }
    }

    fn handle_join(&mut self, now: Instant, session: SessionId, request: RequestId, wanted: &JoinCharge) {
        let Some(s) = self.sessions.get_mut(&session) else { return };
        let tenant = s.tenant;
        if s.creating.len() >= REQUESTS_IN_FLIGHT_MAX {
            return self.violation(now, session, Violation::Flood);
        }
        let memory = ChargeId(wanted.share.0);
        let joined = if s.phase == Phase::Ending {
            Err(Denied::ending(wanted.bytes.0))
        } else {
            let device = self.lessors[s.place].device as u32;
            self.ledger.join(&self.config, device, tenant, session, memory, wanted.bytes)
        };
        match joined {
            Ok(Joined { id: charge, bytes, write, owner }) => {
                // Nothing that the owner's other sessions would have to know: it is counted already. Only its own session counts what it joined.
                s.creating.insert(charge, request);
                self.act(Action::PassMemory { session, request, charge, memory, bytes, write });
                if owner == tenant {
                    self.tell_usage(&owner, None);
                }
            }
            Err(denied) => self.deny(session, tenant, request, denied),
        }
    }

    fn deny(&mut self, session: SessionId, tenant: TenantName, request: RequestId, denied: Denied) {
        let Denied { code, asked, limit, used } = denied;
        self.act(Action::Order { session, request, order: ChargeDenied { code, asked, limit, used }.into() });
        self.emit(Event::Denied { session, tenant, denied });
    }

    fn handle_memory(&mut self, session: SessionId, charge: ChargeId, created: bool) {
        let Some(s) = self.sessions.get_mut(&session) else {
            self.stale += 1;
            return;
        };
        let tenant = s.tenant;
        let Some(request) = s.creating.remove(&charge) else {
            self.stale += 1;
            return;
        };
        if !created && let Some(released) = self.ledger.release(session, charge) {
            let denied = Denied { code: DenyCode::Host, asked: released.bytes.0, limit: 0, used: 0 };
            self.deny(session, tenant, request, denied);
            if released.tenant == tenant {
                self.tell_usage(&tenant, Some(session));
            }
            self.forget_if_gone(&released.tenant);
        }
    }

    /// What a tenant uses, as a session on this device is to know it.
    fn usage_order(&self, device: u32, tenant: &TenantName) -> WorkerOrder {
        let (usage, vram) = (self.ledger.usage(tenant), self.ledger.usage_on(device, tenant).vram);
        UsageChanged { vram_used: Bytes(vram), host_used: Bytes(usage.host), queues_used: usage.queues }.into()
    }

    /// Tells the sessions of a tenant what it uses now. Mostly the session that caused the change knows.
    fn tell_usage(&mut self, tenant: &TenantName, but: Option<SessionId>) {
        if but.is_none() || self.tenants.get(tenant).is_some_and(|t| t.sessions > 1) {
            let told = |(id, s): (&SessionId, &Session)| {
                let wanted = s.tenant == *tenant && s.phase != Phase::Ending && Some(*id) != but;
                wanted.then_some((*id, self.lessors[s.place].device as u32))
            };
            let told: Vec<(SessionId, u32)> = self.sessions.iter().filter_map(told).collect();
            for (session, device) in told {
                let order = self.usage_order(device, tenant);
                self.act(Action::Order { session, request: RequestId::EVENT, order });
            }
        }
    }

    fn order_all(&mut self, tenant: &TenantName, but: Option<SessionId>, order: &WorkerOrder) {
        let told: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(id, s)| s.tenant == *tenant && s.phase != Phase::Ending && Some(**id) != but)
            .map(|(id, _)| *id)
            .collect();
        for session in told {
            self.act(Action::Order { session, request: RequestId::EVENT, order: order.clone() });
        }
    }

    /// Tells all sessions of a tenant that its limits changed.
    pub(crate) fn tell_limits(&mut self, tenant: &TenantName) {
        let order = LimitsChanged { limits: self.limits_of(tenant) }.into();
        self.order_all(tenant, None, &order);
    }

    // The end of a session.

    /// Begins the end of a session. Whoever comes first gives the reason; killing comes on top of asking.
    pub(crate) fn end(&mut self, now: Instant, session: SessionId, reason: EndReason, by: By) {
        let Some(s) = self.sessions.get_mut(&session) else {
            self.stale += 1;
            return;
        };
        let first = s.ending.is_none();
        s.ending.get_or_insert(reason);
        s.phase = Phase::Ending;
        let kill = by == By::Killing && !s.killed;
        s.killed |= kill;
        if first {
            self.lessor_forget_waiter(now, session);
        }
        if kill {
            self.set_deadline(session, None);
            self.act(Action::KillWorker { session });
        } else if first {
            self.set_deadline(session, Some(now.after(self.config.end_timeout)));
            if by == By::Asking {
                self.act(Action::Order { session, request: RequestId::EVENT, order: Stop { reason }.into() });
            }
        }
    }

    fn handle_worker_gone(
        &mut self,
        now: Instant,
        session: SessionId,
        signal: u32,
        otherwise: EndReason,
        view: Option<&GateView>,
    ) {
        self.set_deadline(session, None);
        let Some(s) = self.sessions.get(&session) else {
            self.stale += 1;
            return;
        };
        let (tenant, told) = (s.tenant, s.told);
        let reason = s.ending.unwrap_or(otherwise);
        self.lessor_session_gone(now, session, view);
        self.sessions.remove(&session);
        let offered: Vec<ChargeId> =
            self.ledger.of_session(session).map(|(id, _)| id).filter(|id| self.ledger.is_shared(*id)).collect();
        for memory in offered {
            self.act(Action::ForgetMemory { memory });
        }
        // What others have granted it counts against them.
        let mut others: BTreeSet<TenantName> =
            self.ledger.of_session(session).map(|(_, charge)| charge.tenant).collect();
        others.remove(&tenant);
        let (charges_reclaimed, bytes_reclaimed) = self.ledger.release_session(session);
        debug_assert!(self.ledger.of_session(session).next().is_none(), "a session that is gone has no charges");
        if !told && reason != EndReason::TenantDied {
            self.act(Action::EndTenant { session, reason, signal });
        }
        self.act(Action::ReleaseSession { session });
        self.emit(Event::Ended { session, tenant, reason, signal, charges_reclaimed, bytes_reclaimed });
        if let Some(t) = self.tenants.get_mut(&tenant) {
            t.sessions -= 1;
            if t.sessions == 0 && t.removed {
                self.drop_tenant(&tenant);
            }
        }
        // Also if only one is left: it is not the one that has gone.
        self.tell_usage(&tenant, None);
        for other in others {
            self.tell_usage(&other, None);
            self.forget_if_gone(&other);
        }
    }

    /// Forgets what a tenant uses that is gone, when nobody uses anything of it any more.
    fn forget_if_gone(&mut self, tenant: &TenantName) {
        if !self.tenants.contains_key(tenant) {
            self.ledger.forget(tenant);
        }
    }

    /// Forgets a tenant that has no sessions and is not in the configuration.
    pub(crate) fn drop_tenant(&mut self, tenant: &TenantName) {
        if self.tenants.remove(tenant).is_some() {
            self.lessors.iter_mut().for_each(|lessor| lessor.forget_tenant(tenant));
            self.ledger.forget(tenant);
            self.ledger.withdraw_grants(tenant);
        }
    }

    pub(crate) fn set_deadline(&mut self, session: SessionId, deadline: Option<Instant>) {
        let Some(s) = self.sessions.get_mut(&session) else { return };
        if let Some(old) = s.deadline.take() {
            self.deadlines.remove(&(old, session));
        }
        s.deadline = deadline;
        self.deadlines.extend(deadline.map(|at| (at, session)));
    }

    fn handle_timer(&mut self, now: Instant) {
        while let Some(&(at, session)) = self.deadlines.first()
            && at <= now
        {
            self.set_deadline(session, None);
            let reason = match self.sessions.get(&session).map(|s| s.phase) {
                Some(Phase::Starting) => EndReason::StartFailed,
                // It has not let go of the compute units that it was sent away from.
                Some(Phase::Running) => EndReason::PreemptTimeout,
                Some(_) => self.sessions.get(&session).and_then(|s| s.ending).unwrap_or(EndReason::Killed),
                None => continue,
            };
            self.emit(Event::WorkerKilled { session, reason });
            self.end(now, session, reason, By::Killing);
        }
        for at in 0..self.lessors.len() {
            self.lessors[at].note_timer(now);
            self.lease_timer(now, at);
        }
    }
}
