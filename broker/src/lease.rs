//! Who has the device, and how it is taken away.
//!
//! One lease at a time. From granting to having, from having to nobody, each step waits for what the gate says, so what the
//! state machine believes is never ahead of the truth: it believes that a session has the lease from the moment it decides to
//! grant it until the gate, or the death of the worker, shows otherwise.
//!
//! Somebody else wants the device (an *arrival*): the holder's gate is looked at before the scheduler hears of the arrival,
//! because the scheduler compares the two as they stand, and a parked lease is taken in the same look. Otherwise the holder
//! keeps its slice; at its end it is looked at again and renewed or suspended; a latency tenant may have it suspended at once. A
//! holder that does not stop within `preempt_timeout` is killed, and pays for the time until its worker is gone.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proto::gate::{LeaseState, Level, Scrub, StopReason};
use proto::message::EndReason;
use proto::{Bytes, Instant, LeaseGeneration, Nanos, SessionId, TenantName};
use sched::{ChargeKind, NodeId, Scheduler, Wake};

use crate::config::{Config, ConfigError, TenantConfig};
use crate::contract::{Action, Event, GateView, SwitchParts};
use crate::machine::{Broker, By, Phase};

/// How long after the end of its slice a holder gives the device back to those who wait without being asked. Normally the
/// broker looks first and renews or suspends; this is for when the broker is late, by far more than its timer ever is.
pub const SLICE_GRACE: Nanos = Nanos::from_millis(2);

/// How long ago a worker may say that it stopped, for what it is charged. What a ring takes to be heard is the price of the
/// switch; a worker that says it stopped long before that would have the next one pay for what it ran.
pub const STOP_CLAIM_MAX: Nanos = Nanos::from_micros(100);

/// The lease of the device, and everything needed to decide about it.
pub(crate) struct Lessor {
    sched: Scheduler,
    by_node: BTreeMap<NodeId, SessionId>,
    holder: Holder,
    /// Sessions that have become runnable since the holder was last looked at. Each once, so at most as many as there are.
    arrivals: Vec<SessionId>,
    /// How many sessions are runnable, the holder among them.
    runnable: usize,
    /// Whose LDS and registers are in the device, and nobody else's; `None` if that is not known for certain, as when a worker
    /// died between its grant and its first instruction and may not have scrubbed yet.
    last_tenant: Option<TenantName>,
    /// Set from the end of a lease that others waited for until the next grant.
    switch: Option<SwitchFrom>,
    /// Nobody of those who wait may run (paused, at a cap), so passing time is nobody's.
    starved: bool,
}

enum Holder {
    Nobody,
    Granting {
        session: SessionId,
        generation: LeaseGeneration,
        slice: Nanos,
        /// Others waited, and the worker was told.
        contended: bool,
        /// Whose leftovers are in the device if the worker does not want the lease any more.
        leftovers: Option<TenantName>,
    },
    Lease(Lease),
}

struct Lease {
    session: SessionId,
    tenant: TenantName,
    node: NodeId,
    /// Its tenant's node, where the cap is.
    tenant_node: NodeId,
    generation: LeaseGeneration,
    granted_at: Instant,
    /// When its slice ends.
    ends_at: Instant,
    /// Its first instruction has been seen.
    started: bool,
    /// Nobody waited when it was granted, or looked at last, so it may have parked since. Whoever is asked to yield gives the
    /// device back instead; a worker that says it was parked all the same would run for nothing.
    may_park: bool,
    /// How much of its parking has been booked as idle.
    parked: Nanos,
    occupancy: Nanos,
    level: Level,
    /// When it was asked to suspend.
    wanted_at: Instant,
    /// A question about its gate is open.
    asking: bool,
    kill_at: Option<Instant>,
    /// When to see whether its dispatch has run too long.
    watch_at: Option<Instant>,
    switch: Option<SwitchFrom>,
}

#[derive(Clone, Copy)]
struct SwitchFrom {
    session: SessionId,
    tenant: TenantName,
    requested_at: Instant,
    stopped_at: Instant,
    saved: Bytes,
}

fn to_sched(at: Instant) -> sched::Instant {
    sched::Instant(at.0)
}

impl Lessor {
    pub(crate) fn new(config: &Config, now: Instant) -> Result<Self, ConfigError> {
        let sched = sched::Config {
            policy: sched::Policy::Weighted,
            slice: sched::Nanos(config.slice.0),
            occupancy_max: sched::Nanos(config.occupancy_max().0),
        };
        Ok(Self {
            sched: Scheduler::new(sched, to_sched(now)).map_err(|_| ConfigError::DeviceTime { tenant: None })?,
            by_node: BTreeMap::new(),
            holder: Holder::Nobody,
            arrivals: Vec::new(),
            runnable: 0,
            last_tenant: None,
            switch: None,
            starved: false,
        })
    }

    pub(crate) fn join_tenant(&mut self, tenant: &TenantConfig, now: Instant) -> Result<NodeId, ConfigError> {
        self.sched
            .join(self.sched.root(), tenant.params(), to_sched(now))
            .map_err(|_| ConfigError::DeviceTime { tenant: Some(tenant.name) })
    }

    pub(crate) fn set_tenant(&mut self, node: NodeId, params: sched::Params, now: Instant) -> bool {
        self.sched.set_params(node, params, to_sched(now)).is_ok()
    }

    /// Only for tenants without sessions.
    pub(crate) fn leave_tenant(&mut self, node: NodeId) {
        let left = self.sched.leave(node);
        debug_assert!(left.is_ok(), "a tenant leaves after its sessions");
    }

    pub(crate) fn join_session(&mut self, tenant: NodeId, session: SessionId, now: Instant) -> Option<NodeId> {
        let node = self.sched.join(tenant, sched::Params::default(), to_sched(now)).ok()?;
        self.by_node.insert(node, session);
        Some(node)
    }

    pub(crate) fn occupancy_max(&self) -> Nanos {
        Nanos(self.sched.config().occupancy_max.0)
    }

    pub(crate) fn set_slice(&mut self, slice: Nanos) {
        // Checked against `occupancy_max` before the configuration was accepted.
        let set = self.sched.set_slice(sched::Nanos(slice.0));
        debug_assert!(set.is_ok(), "the slice was checked");
    }

    /// Returns all the device time a tenant was charged, over all its sessions ever.
    pub(crate) fn service(&self, node: NodeId) -> Nanos {
        Nanos(self.sched.service(node).map_or(0, |n| n.0))
    }

    pub(crate) fn totals(&self) -> sched::Totals {
        self.sched.totals()
    }

    pub(crate) fn holder(&self) -> Option<SessionId> {
        match &self.holder {
            Holder::Nobody => None,
            Holder::Granting { session, .. } => Some(*session),
            Holder::Lease(lease) => Some(lease.session),
        }
    }

    fn contended(&self) -> bool {
        self.runnable > 1
    }

    /// Returns when something about the lease is due.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        match &self.holder {
            Holder::Nobody if self.runnable > 0 => self.sched.next_event().map(|at| Instant(at.0)),
            Holder::Nobody | Holder::Granting { .. } => None,
            Holder::Lease(lease) => {
                let due = self.must_watch_slice(lease).then_some(lease.ends_at);
                [due, lease.kill_at, lease.watch_at].into_iter().flatten().min()
            }
        }
    }

    /// A slice matters while others wait, or while the scheduler has somebody at a cap to look after.
    fn must_watch_slice(&self, lease: &Lease) -> bool {
        let capped = || self.sched.next_event().is_some() || self.has_cap(lease.tenant_node);
        !lease.asking && lease.level < Level::Suspend && (self.contended() || capped())
    }

    fn has_cap(&self, node: NodeId) -> bool {
        self.sched.params(node).is_ok_and(|p| p.cap.is_some())
    }

    /// Books the holder's time up to `until`: before its first instruction as the price of the switch, then what it ran as
    /// occupancy, what it was parked as idle. Returns when its first instruction ran, if that is news.
    fn book(&mut self, view: &GateView, until: Instant) -> Option<Instant> {
        let Self { sched, last_tenant, holder: Holder::Lease(lease), .. } = self else { return None };
        let inside = |at: Instant| at.clamp(lease.granted_at, until.max(lease.granted_at));
        let fresh = view.report == lease.generation;
        let mut first = None;
        if !lease.started {
            let started = fresh && view.first_instruction_at.0 != 0;
            let at = if started { inside(view.first_instruction_at) } else { until };
            let _ = sched.charge(lease.node, ChargeKind::SwitchIn, to_sched(at));
            if !started {
                return None;
            }
            lease.started = true;
            *last_tenant = Some(lease.tenant);
            first = Some(at);
        }
        let mut parked = if fresh { view.parked_total } else { lease.parked };
        let parks = match view.word.state() {
            Some(LeaseState::Parked) => true,
            // A running session cannot be stopped at its gate, so this one was parked, unless it had given the device back.
            Some(LeaseState::Stopping) => view.stopped_at.0 == 0 && view.parked_at.0 != 0,
            _ => false,
        };
        if fresh && parks && view.word.generation() == lease.generation {
            parked = Nanos(parked.0.saturating_add(until.since(inside(view.parked_at)).0));
        }
        let news = if lease.may_park { parked.0.saturating_sub(lease.parked.0) } else { 0 };
        let span = until.0.saturating_sub(sched.booked_until().0);
        let idle = news.min(span);
        lease.parked = Nanos(lease.parked.0.saturating_add(idle));
        let ran = sched.charge(lease.node, ChargeKind::Occupancy, sched::Instant(until.0.saturating_sub(idle)));
        lease.occupancy.0 += ran.map_or(0, |n| n.0);
        sched.idle(to_sched(until));
        first
    }
}

impl Broker {
    /// Grants the device if it is free, and looks after the holder if others wait.
    pub(crate) fn advance(&mut self, now: Instant) {
        match &self.lessor.holder {
            Holder::Granting { .. } => {}
            Holder::Nobody => self.grant_next(now),
            Holder::Lease(lease) => {
                let slice_over = now >= lease.ends_at && self.lessor.must_watch_slice(lease);
                let wanted = !self.lessor.arrivals.is_empty() && lease.level < Level::Suspend;
                if !lease.asking && (wanted || slice_over) {
                    let (session, generation) = (lease.session, lease.generation);
                    self.lease_mut(|lease| {
                        lease.asking = true;
                        lease.level = Level::Yield;
                    });
                    self.act(Action::TakeParked { session, generation });
                }
            }
        }
    }

    fn lease_mut(&mut self, change: impl FnOnce(&mut Lease)) {
        if let Holder::Lease(lease) = &mut self.lessor.holder {
            change(lease);
        }
    }

    fn grant_next(&mut self, now: Instant) {
        self.wake_arrivals(now);
        if self.lessor.runnable == 0 {
            return;
        }
        if core::mem::take(&mut self.lessor.starved) {
            self.lessor.sched.idle(to_sched(now));
        }
        let Some(grant) = self.lessor.sched.pick(to_sched(now)) else {
            self.lessor.starved = true;
            self.lessor.switch = None;
            return;
        };
        let Some(&session) = self.lessor.by_node.get(&grant.node) else { return };
        let Some(s) = self.sessions.get_mut(&session) else { return };
        s.generation = s.generation.next();
        let (generation, tenant) = (s.generation, s.tenant);
        let same = self.lessor.last_tenant == Some(tenant);
        let scrub = if same || !self.config.scrub { Scrub::NONE } else { Scrub::ALL };
        let leftovers = self.lessor.last_tenant;
        self.lessor.last_tenant = leftovers.filter(|last| *last == tenant);
        let slice = Nanos(grant.slice.0);
        let contended = self.lessor.contended();
        self.lessor.holder = Holder::Granting { session, generation, slice, contended, leftovers };
        self.act(Action::GrantLease {
            session,
            generation,
            give_back_after: Nanos(slice.0.saturating_add(SLICE_GRACE.0)),
            level: if contended { Level::Yield } else { Level::Keep },
            scrub,
            max_dispatch: self.limits_of(&tenant).max_dispatch,
        });
    }

    pub(crate) fn handle_grant_outcome(
        &mut self,
        now: Instant,
        session: SessionId,
        generation: LeaseGeneration,
        granted_at: Option<Instant>,
    ) {
        let (slice, contended, leftovers) = match self.lessor.holder {
            Holder::Granting { session: s, generation: g, slice, contended, leftovers }
                if s == session && g == generation =>
            {
                (slice, contended, leftovers)
            }
            _ => return self.count_stale(),
        };
        let Some(s) = self.sessions.get(&session) else { return self.count_stale() };
        let (tenant, node) = (s.tenant, s.node);
        let tenant_node = self.tenants.get(&tenant).map_or(node, |t| t.node);
        let Some(granted_at) = granted_at else {
            self.lessor.holder = Holder::Nobody;
            self.lessor.last_tenant = leftovers;
            return self.set_idle(now, session);
        };
        let granted_at = granted_at.min(now);
        let max = self.limits_of(&tenant).max_dispatch;
        let patience = Nanos(max.0.saturating_add(self.config.preempt_timeout.0));
        self.lessor.holder = Holder::Lease(Lease {
            session,
            tenant,
            node,
            tenant_node,
            generation,
            granted_at,
            ends_at: granted_at.after(slice),
            started: false,
            may_park: !contended,
            parked: Nanos(0),
            occupancy: Nanos(0),
            level: Level::Keep,
            wanted_at: granted_at,
            asking: false,
            kill_at: None,
            watch_at: (max.0 > 0).then(|| granted_at.after(patience)),
            switch: self.lessor.switch.take(),
        });
        // It was told to end, or its tenant was paused, while the grant was on its way.
        let unwanted = self.sessions.get(&session).is_some_and(|s| s.phase == Phase::Ending)
            || self.lessor.sched.holder() != Some(node);
        if unwanted {
            self.request_preempt(now);
        }
    }

    /// Takes note of what a gate says, asked for or not.
    pub(crate) fn handle_gate(&mut self, now: Instant, session: SessionId, view: &GateView) {
        if !self.sessions.contains_key(&session) {
            return self.count_stale();
        }
        self.observe_lease(now, session, view);
        let held = self.lessor.holder() == Some(session);
        match view.word.state() {
            Some(LeaseState::Runnable) if !held => self.set_runnable(now, session),
            Some(LeaseState::Idle) if !held => self.set_idle(now, session),
            Some(_) => {}
            // Only the broker and the worker can write the word, so the worker did.
            None => self.end(now, session, EndReason::WorkerViolation, By::Killing),
        }
    }

    /// If this session has the lease: books what it used, and notices when it has given the device back.
    fn observe_lease(&mut self, now: Instant, session: SessionId, view: &GateView) {
        let Holder::Lease(lease) = &self.lessor.holder else { return };
        if lease.session != session {
            return;
        }
        if view.word.holds(lease.generation) {
            self.book(view, now);
            self.watch_dispatch(now, view);
        } else {
            let stopped = if view.report == lease.generation { view.stopped_at } else { Instant(0) };
            let at = if stopped.0 == 0 { now } else { stopped.clamp(lease.granted_at, now) };
            let more = view.word.state() == Some(LeaseState::Runnable);
            self.watch_dispatch(now, view);
            self.lease_over(now, at, view, view.stop_reason, more);
        }
    }

    pub(crate) fn handle_take_outcome(
        &mut self,
        now: Instant,
        session: SessionId,
        generation: LeaseGeneration,
        taken: bool,
        view: &GateView,
    ) {
        match &mut self.lessor.holder {
            Holder::Lease(lease) if lease.session == session && lease.generation == generation => lease.asking = false,
            _ => return self.count_stale(),
        }
        if taken {
            // Parked time is idle up to now, not up to when it was parked, as the device was the holder's.
            self.lease_over(now, now, view, None, false);
        } else {
            self.handle_gate(now, session, view);
            self.lease_mut(|lease| lease.may_park = false);
        }
        let preempt = self.wake_arrivals(now);
        let Holder::Lease(lease) = &self.lessor.holder else { return };
        if lease.level == Level::Suspend {
            return;
        }
        if preempt {
            return self.request_preempt(now);
        }
        if now < lease.ends_at {
            return;
        }
        let generation = lease.generation;
        match self.lessor.sched.renew(to_sched(now)) {
            Some(grant) => {
                let slice = Nanos(grant.slice.0);
                self.lease_mut(|lease| lease.ends_at = now.after(slice));
                let give_back_after = Nanos(slice.0.saturating_add(SLICE_GRACE.0));
                self.act(Action::RenewLease { session, generation, give_back_after });
            }
            None => self.request_preempt(now),
        }
    }

    fn request_preempt(&mut self, now: Instant) {
        let kill_at = now.after(self.config.preempt_timeout);
        let Holder::Lease(lease) = &mut self.lessor.holder else { return };
        if lease.level == Level::Suspend {
            return;
        }
        lease.level = Level::Suspend;
        lease.wanted_at = now;
        lease.kill_at = Some(kill_at);
        lease.asking = true;
        let (session, generation) = (lease.session, lease.generation);
        self.act(Action::RequestPreempt { session, generation });
    }

    /// Tells the scheduler of those who wait; the holder is booked up to now. Returns whether one should not wait.
    fn wake_arrivals(&mut self, now: Instant) -> bool {
        let mut preempt = false;
        for session in core::mem::take(&mut self.lessor.arrivals) {
            let Some(s) = self.sessions.get(&session) else { continue };
            let wake = self.lessor.sched.wake(s.node, to_sched(now));
            preempt |= matches!(wake, Ok(Wake::Preempt { .. }));
        }
        preempt
    }

    fn set_runnable(&mut self, now: Instant, session: SessionId) {
        let Some(s) = self.sessions.get_mut(&session) else { return };
        if s.runnable || s.phase == Phase::Ending {
            return;
        }
        s.runnable = true;
        if self.lessor.runnable == 0 && matches!(self.lessor.holder, Holder::Nobody) {
            // Nobody wanted the device until now. (While somebody did, the time is part of a switch.)
            self.lessor.sched.idle(to_sched(now));
        }
        self.lessor.runnable += 1;
        self.lessor.arrivals.push(session);
    }

    fn set_idle(&mut self, now: Instant, session: SessionId) {
        let Some(s) = self.sessions.get_mut(&session) else { return };
        if !core::mem::take(&mut s.runnable) {
            return;
        }
        self.lessor.runnable -= 1;
        self.lessor.arrivals.retain(|&a| a != session);
        let _ = self.lessor.sched.sleep(s.node, to_sched(now));
    }

    /// The session ends: it waits for nothing any more. If it has the device it is asked, by its order or by a kill, elsewhere.
    pub(crate) fn lessor_forget_waiter(&mut self, now: Instant, session: SessionId) {
        if self.lessor.holder() != Some(session) {
            self.set_idle(now, session);
        }
    }

    /// The worker is gone: whatever it had of the device is free now. It pays for what it ran, and from the moment it was asked
    /// to stop for the time lost to all. Its tenant inherits the debt, as the scheduler charged both.
    pub(crate) fn lessor_session_gone(
        &mut self,
        now: Instant,
        session: SessionId,
        node: NodeId,
        view: Option<&GateView>,
    ) {
        match &self.lessor.holder {
            Holder::Lease(lease) if lease.session == session => {
                let (tenant, wanted_at) = (lease.tenant, (lease.level == Level::Suspend).then_some(lease.wanted_at));
                if let Some(view) = view {
                    self.book(view, wanted_at.unwrap_or(now).min(now));
                }
                let kind = if wanted_at.is_some() { ChargeKind::Recovery } else { ChargeKind::Occupancy };
                let _ = self.lessor.sched.charge(node, kind, to_sched(now));
                let Holder::Lease(lease) = core::mem::replace(&mut self.lessor.holder, Holder::Nobody) else { return };
                self.emit(Event::LeaseEnded { session, tenant, occupancy: lease.occupancy, reason: None });
            }
            Holder::Granting { session: s, .. } if *s == session => self.lessor.holder = Holder::Nobody,
            _ => {}
        }
        self.set_idle(now, session);
        self.lessor.by_node.remove(&node);
        let left = self.lessor.sched.leave(node);
        debug_assert!(left.is_ok(), "a session is a leaf");
    }

    fn lease_over(&mut self, now: Instant, at: Instant, view: &GateView, reason: Option<StopReason>, more: bool) {
        self.book(view, at.max(Instant(now.0.saturating_sub(STOP_CLAIM_MAX.0))));
        let Holder::Lease(lease) = core::mem::replace(&mut self.lessor.holder, Holder::Nobody) else { return };
        let Lease { session, tenant, occupancy, level, wanted_at, granted_at, .. } = lease;
        if let Some(s) = self.sessions.get_mut(&session) {
            s.occupancy.0 = s.occupancy.0.saturating_add(occupancy.0);
        }
        let ending = self.sessions.get(&session).is_some_and(|s| s.phase == Phase::Ending);
        if ending || !more {
            self.set_idle(now, session);
        }
        self.lessor.sched.release();
        // Only if somebody was made to wait by it is the way to the next first instruction a switch.
        self.lessor.switch = (self.lessor.runnable > 0).then(|| {
            let requested_at = if level == Level::Suspend {
                wanted_at
            } else if view.report == lease.generation && view.stop_seen_at.0 != 0 && reason.is_some() {
                view.stop_seen_at.clamp(granted_at, at)
            } else {
                at
            };
            let requested_at = requested_at.min(at);
            let saved = if reason.is_some() { view.context } else { Bytes(0) };
            SwitchFrom { session, tenant, requested_at, stopped_at: at, saved }
        });
        self.emit(Event::LeaseEnded { session, tenant, occupancy, reason });
    }

    fn book(&mut self, view: &GateView, until: Instant) {
        let Some(first) = self.lessor.book(view, until) else { return };
        let Holder::Lease(lease) = &mut self.lessor.holder else { return };
        let Some(from) = lease.switch.take() else { return };
        let granted = lease.granted_at.max(from.stopped_at);
        let event = Event::Switched {
            from: from.session,
            to: lease.session,
            same_tenant: from.tenant == lease.tenant,
            parts: SwitchParts {
                stop: from.stopped_at.since(from.requested_at),
                grant: granted.since(from.stopped_at),
                start: first.since(granted),
            },
            saved: from.saved,
        };
        if from.session != lease.session {
            self.emit(event);
        }
    }

    /// Ends a session whose dispatch runs on although its worker should have ended it: the worker is stuck or lies.
    fn watch_dispatch(&mut self, now: Instant, view: &GateView) {
        let Holder::Lease(lease) = &self.lessor.holder else { return };
        let max = self.limits_of(&lease.tenant).max_dispatch;
        if max.0 == 0 || view.report != lease.generation {
            return;
        }
        let since = if view.dispatch_since.0 == 0 { Nanos(0) } else { now.since(view.dispatch_since) };
        let running = view.dispatch_ran.0.saturating_add(since.0);
        let patience = max.0.saturating_add(self.config.preempt_timeout.0);
        let session = lease.session;
        if running >= patience {
            self.lease_mut(|lease| lease.watch_at = None);
            self.emit(Event::WorkerKilled { session, reason: EndReason::Runaway });
            self.end(now, session, EndReason::Runaway, By::Killing);
        } else {
            self.lease_mut(|lease| lease.watch_at = Some(now.after(Nanos(patience - running))));
        }
    }

    /// Does what is due about the lease, except what [`Broker::advance`] does anyway.
    pub(crate) fn lease_timer(&mut self, now: Instant) {
        let Holder::Lease(lease) = &mut self.lessor.holder else { return };
        let session = lease.session;
        let watch = lease.watch_at.take_if(|at| *at <= now).is_some();
        let kill = lease.kill_at.take_if(|at| *at <= now).is_some();
        if kill {
            self.emit(Event::WorkerKilled { session, reason: EndReason::PreemptTimeout });
            self.end(now, session, EndReason::PreemptTimeout, By::Killing);
        } else if watch {
            let patience = self.config.preempt_timeout;
            self.lease_mut(|lease| lease.watch_at = Some(now.after(patience)));
            self.act(Action::LookAtGate { session });
        }
    }

    /// Takes a tenant out of the competition, or lets it back in.
    pub(crate) fn set_paused(&mut self, now: Instant, node: NodeId, paused: bool) {
        if paused {
            if let Ok(Some(_)) = self.lessor.sched.pause(node) {
                self.request_preempt(now);
            }
        } else if let Ok(Wake::Preempt { .. }) = self.lessor.sched.resume(node, to_sched(now)) {
            self.request_preempt(now);
        }
    }
}
