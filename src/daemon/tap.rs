//! Telling those who trace: the broker's events, what tenants pin, how far they are behind, and every dispatch.
//!
//! Promises: while nobody traces none of this costs anything but a look at a flag. While somebody does, rings of dispatches are read
//! every [`TURN`], at most [`SESSIONS_PER_TURN`] of them and [`RECORDS_PER_TURN`] records; what a worker overwrites
//! meanwhile is counted. Nobody who traces is waited for (see [`desk`](super::desk)).

use std::collections::{BTreeMap, BTreeSet};

use broker::{Event, Input, LeaseSpan, Usage};
use proto::gate::Level;
use proto::{Instant, Nanos, SessionId, TenantName};

use super::Daemon;
use super::gate::Gate;
use super::report::fault_view;
use super::tail::Tail;
use crate::clock;
use crate::config::values::Name;
use crate::tap::{Device, Dispatch, Lease, Line, Session, Switch};

/// How often rings are read and taps are sent to.
const TURN: Nanos = Nanos::from_millis(5);
/// Most sessions looked at in one turn.
const SESSIONS_PER_TURN: usize = 256;
/// Most records read in one turn, over all sessions.
const RECORDS_PER_TURN: usize = 4096;

/// What is remembered while somebody traces.
#[derive(Debug, Default)]
pub(super) struct Tap {
    /// When the next turn is due; `None` while nobody traces.
    turn_at: Option<Instant>,
    /// The session looked at last.
    cursor: Option<SessionId>,
    tails: BTreeMap<SessionId, Tail>,
    /// What was told last.
    usage: BTreeMap<TenantName, Usage>,
    lags: BTreeMap<(TenantName, u32, u32), i64>,
}

impl Tap {
    pub(super) fn is_open(&self) -> bool {
        self.turn_at.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.turn_at
    }

    /// Returns whose charges an input may change, if anybody wants to know.
    pub(super) fn charger(&self, input: &Input) -> Option<SessionId> {
        match input {
            Input::WorkerSaid { session, .. }
            | Input::MemoryCreated { session, .. }
            | Input::WorkerExited { session, .. } => self.is_open().then_some(*session),
            _ => None,
        }
    }

    /// Has a worker record its dispatches, all of which will be read.
    fn follow(&mut self, session: SessionId, gate: &Gate) {
        self.tails.insert(session, Tail::new(gate));
        gate.set_traced(true);
    }

    /// Forgets a session that is gone.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.tails.remove(&session);
    }
}

impl Daemon {
    /// Makes an administrator's connection a tap.
    pub(super) fn open_tap(&mut self, id: u64) {
        let now = Instant(clock::now_ns());
        self.desk.open_tap(id);
        if !self.tap.is_open() {
            self.tap = Tap { turn_at: Some(now.after(TURN)), ..Tap::default() };
            for (id, session) in &self.sessions {
                session.worker.iter().for_each(|worker| self.tap.follow(*id, &worker.gate));
            }
        }
        let config = self.broker.config();
        let devices = config.devices.iter().zip(self.launcher.devices()).map(|(device, spec)| Device {
            device: spec.to_string(),
            partitions: device.partitions.iter().map(|partition| Name(partition.name)).collect(),
        });
        let begin = Line::Begin {
            at_ns: now.0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            devices: devices.collect(),
            sessions: self.sessions.keys().filter_map(|session| self.session_line(*session)).collect(),
        };
        self.desk.tell_one(id, &begin);
        let tenants: BTreeSet<TenantName> = self.sessions.values().map(|session| session.tenant).collect();
        for tenant in tenants {
            let usage = self.broker.ledger().usage(&tenant);
            self.tap.usage.insert(tenant, usage);
            self.desk.tell_one(id, &usage_line(now, tenant, None, usage));
        }
        tracing::info!("an administrator traces");
    }

    /// Tells a tap what is still to be told, and closes it.
    pub(super) fn close_tap(&mut self, id: u64) {
        self.refresh();
        let now = Instant(clock::now_ns());
        self.drain_all(now);
        let held: Vec<Line> = self
            .broker
            .leases()
            .map(|(session, tenant, span)| lease_line(session, tenant, &span, "held".to_owned()))
            .collect();
        held.iter().for_each(|line| self.desk.tell_one(id, line));
        self.desk.tell_one(id, &Line::End { at_ns: now.0 });
        self.desk.close_tap(id);
        if !self.desk.has_taps() {
            self.tap = Tap::default();
            for worker in self.sessions.values().filter_map(|session| session.worker.as_ref()) {
                worker.gate.set_traced(false);
            }
        }
        tracing::info!("an administrator does not trace any more");
    }

    /// Reads rings, samples lags, sends.
    pub(super) fn tap_turn(&mut self, now: Instant) {
        self.drain_all(now);
        self.desk.flush_taps();
        self.tap.turn_at = Some(Instant(clock::now_ns()).after(TURN));
    }

    /// Looks at as many sessions as one turn may, and at the lags of their tenants.
    fn drain_all(&mut self, now: Instant) {
        let after = self.tap.cursor.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let rest = self.sessions.range((after, std::ops::Bound::Unbounded));
        let all = rest.chain(self.sessions.iter()).take(self.sessions.len().min(SESSIONS_PER_TURN));
        let mut room = RECORDS_PER_TURN;
        let mut tenants = BTreeSet::new();
        let mut lines = Vec::new();
        let mut last = self.tap.cursor;
        for (id, session) in all {
            if room == 0 {
                break;
            }
            last = Some(*id);
            tenants.insert(session.tenant);
            if let Some(worker) = &session.worker {
                room -= drain(&mut self.tap, &mut lines, *id, &worker.gate, room);
            }
        }
        self.tap.cursor = last;
        for tenant in tenants {
            for (device, partition, lag_ns) in self.broker.lags(&tenant) {
                if self.tap.lags.insert((tenant, device, partition), lag_ns) != Some(lag_ns) {
                    let tenant = Name(tenant);
                    lines.push(Line::Lag { at_ns: now.0, tenant, device, partition, lag_ns });
                }
            }
        }
        lines.iter().for_each(|line| self.desk.tell(line));
    }

    /// Reads the ring of a session for the last time.
    pub(super) fn drain_one(&mut self, session: SessionId, gate: &Gate) {
        if self.tap.is_open() {
            let mut lines = Vec::new();
            drain(&mut self.tap, &mut lines, session, gate, usize::MAX);
            lines.iter().for_each(|line| self.desk.tell(line));
        }
    }

    /// Tells what a tenant has pinned, if one of its sessions has changed that.
    pub(super) fn tell_usage(&mut self, session: SessionId, tenant: TenantName) {
        let usage = self.broker.ledger().usage(&tenant);
        if self.tap.usage.insert(tenant, usage) != Some(usage) {
            let line = usage_line(Instant(clock::now_ns()), tenant, Some(session), usage);
            self.desk.tell(&line);
        }
    }

    fn session_line(&self, session: SessionId) -> Option<Session> {
        let tenant = Name(self.sessions.get(&session)?.tenant);
        let (pid, command) = self.stats.who(session)?;
        Some(Session { session: session.0, tenant, pid, command: command.to_owned() })
    }

    /// Tells what the broker says has happened.
    pub(super) fn tell_event(&mut self, now: Instant, event: &Event) {
        let at_ns = now.0;
        let line = match event {
            Event::Admitted { session, .. } => {
                if let Some(worker) = self.sessions.get(session).and_then(|session| session.worker.as_ref()) {
                    self.tap.follow(*session, &worker.gate);
                }
                let Some(session) = self.session_line(*session) else { return };
                Line::Admitted { at_ns, session }
            }
            Event::Ready { session, took } => Line::Ready { at_ns, session: session.0, took_ns: took.0 },
            Event::Ended { session, reason, signal, .. } => {
                let (reason, signal) = (reason.word().to_owned(), *signal);
                Line::Ended { at_ns, session: session.0, reason, signal }
            }
            Event::Refused { peer, code, .. } => {
                Line::Refused { at_ns, uid: peer.uid, pid: peer.pid, code: code.word().to_owned() }
            }
            Event::LeaseEnded { session, tenant, span, reason, .. } => {
                let reason = reason.map_or("taken", |reason| reason.word());
                lease_line(*session, *tenant, span, reason.to_owned())
            }
            Event::Switched { from, to, device, partition, requested_at, parts, saved, .. } => Line::Switch(Switch {
                from: from.0,
                to: to.0,
                device: *device,
                partition: *partition,
                requested_at_ns: requested_at.0,
                stop_ns: parts.stop.0,
                grant_ns: parts.grant.0,
                start_ns: parts.start.0,
                saved_bytes: saved.0,
            }),
            Event::Denied { session, denied, .. } => {
                let broker::Denied { code, asked, limit, used } = *denied;
                Line::Denied { at_ns, session: session.0, code: code.word().to_owned(), asked, limit, used }
            }
            Event::Faulted { session, fault, .. } => {
                Line::Fault { at_ns, session: session.0, fault: fault_view(fault) }
            }
            Event::WorkerKilled { session, reason } => {
                Line::Worker { at_ns, session: session.0, reason: reason.word().to_owned() }
            }
            Event::WorkerViolation { session, violation } => {
                Line::Worker { at_ns, session: session.0, reason: violation.to_string() }
            }
            Event::ConfigChanged => Line::ConfigChanged { at_ns },
        };
        self.desk.tell(&line);
    }
}

/// Reads what a worker has recorded; returns how many records that were.
fn drain(tap: &mut Tap, lines: &mut Vec<Line>, session: SessionId, gate: &Gate, room: usize) -> usize {
    let Some(tail) = tap.tails.get_mut(&session) else { return 0 };
    let found = tail.look(gate, || Instant(clock::now_ns()), room);
    let session = session.0;
    let names = found.names.iter();
    lines.extend(names.map(|(row, name)| Line::Kernel { session, kernel: *row, name: name.as_str().to_owned() }));
    let count = found.records.len();
    if count > 0 || found.missed > 0 {
        let dispatch = |r: &proto::gate::DispatchRecord| Dispatch {
            queue: r.queue.0,
            packet: r.packet,
            kernel: r.name,
            seen_at_ns: r.seen_at.0,
            wait_ns: r.began_at.since(r.seen_at).0,
            run_ns: r.ended_at.since(r.began_at).0,
        };
        let list = found.records.iter().map(dispatch).collect();
        lines.push(Line::Dispatches { session, list, missed: found.missed });
    }
    count
}

fn usage_line(now: Instant, tenant: TenantName, session: Option<SessionId>, usage: Usage) -> Line {
    Line::Usage {
        at_ns: now.0,
        tenant: Name(tenant),
        session: session.map(|session| session.0),
        vram_bytes: usage.vram,
        host_memory_bytes: usage.host,
        queues: usage.queues,
    }
}

fn lease_line(session: SessionId, tenant: TenantName, span: &LeaseSpan, reason: String) -> Line {
    let level = match span.level {
        Level::Keep => "keep",
        Level::Yield => "yield",
        Level::Suspend => "suspend",
    };
    Line::Lease(Lease {
        session: session.0,
        tenant: Name(tenant),
        device: span.device,
        partition: span.partition,
        generation: span.generation.get(),
        granted_at_ns: span.granted_at.0,
        started_at_ns: span.started_at.map(|at| at.0),
        ended_at_ns: span.until.0,
        occupancy_ns: span.occupancy.0,
        parked_ns: span.parked.0,
        level: level.to_owned(),
        reason,
    })
}
