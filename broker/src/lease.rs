//! Who has a partition, and how it is taken away.
//!
//! One lease at a time in each; `at` says in which. From granting to having, from having to nobody, each step waits for what the gate says, so what the
//! state machine believes is never ahead of the truth: it believes that a session has the lease from the moment it decides to
//! grant it until the gate, or the death of the worker, shows otherwise.
//!
//! Somebody else wants the device (an *arrival*): the holder's gate is looked at before the scheduler hears of the arrival,
//! because the scheduler compares the two as they stand, and a parked lease is taken in the same look. Otherwise the holder
//! keeps its slice, which begins with its first instruction; at its end it is looked at again and renewed or suspended; a latency tenant may
//! have it suspended at once. A holder that does not stop within `preempt_timeout` is killed, and pays for the time until its worker is gone.

use proto::gate::{LeaseState, Level, Scrub, StopReason};
use proto::message::EndReason;
use proto::{Bytes, Instant, LeaseGeneration, Nanos, SessionId, TenantName};
use sched::{ChargeKind, Wake};

use crate::contract::{Action, Event, GateView, SwitchParts};
use crate::lessor::{Holder, Lease, SwitchFrom, to_sched};
use crate::machine::{Broker, By, Phase};

/// How long after the end of its slice a holder gives the device back to those who wait without being asked. Normally the
/// broker looks first and renews or suspends; this is for when the broker is late, by far more than its timer ever is.
pub const SLICE_GRACE: Nanos = Nanos::from_millis(2);

/// How long ago a worker may say that it stopped, for what it is charged. What a ring takes to be heard is the price of the
/// switch; a worker that says it stopped long before that would have the next one pay for what it ran.
pub const STOP_CLAIM_MAX: Nanos = Nanos::from_micros(100);

/// How late a slice may begin that is not to end for it: what a busy host may keep a worker waiting for a processor.
pub const START_PATIENCE: Nanos = Nanos::from_millis(20);

/// A part of a slice that is less than one in this many is not missed: looking again costs two wake-ups.
const WORTH_A_LOOK: u64 = 8;

impl Broker {
    /// Grants the device if it is free, and looks after the holder if others wait.
    pub(crate) fn advance(&mut self, now: Instant, at: usize) {
        match &self.lessors[at].holder {
            Holder::Granting { .. } => {}
            Holder::Nobody => self.grant_next(now, at),
            Holder::Lease(lease) => {
                let slice_over = now >= lease.ends_at && self.lessors[at].must_watch_slice(lease);
                let wanted = !self.lessors[at].arrivals.is_empty() && lease.level < Level::Suspend;
                if !lease.asking && (wanted || slice_over) {
                    let (session, generation) = (lease.session, lease.generation);
                    self.lease_mut(at, |lease| {
                        lease.asking = true;
                        lease.level = Level::Yield;
                    });
                    self.act(Action::TakeParked { session, generation });
                }
            }
        }
    }

    /// Returns how long one dispatch of a tenant may run, without looking through everybody.
    fn max_dispatch_of(&self, tenant: &TenantName) -> Nanos {
        self.tenants.get(tenant).map_or(Nanos(0), |t| t.max_dispatch)
    }

    fn lease_mut(&mut self, at: usize, change: impl FnOnce(&mut Lease)) {
        if let Holder::Lease(lease) = &mut self.lessors[at].holder {
            change(lease);
        }
    }

    fn grant_next(&mut self, now: Instant, at: usize) {
        self.wake_arrivals(now, at);
        if self.lessors[at].runnable == 0 {
            return;
        }
        if core::mem::take(&mut self.lessors[at].starved) {
            self.lessors[at].sched.idle(to_sched(now));
        }
        let Some(grant) = self.lessors[at].sched.pick(to_sched(now)) else {
            self.lessors[at].starved = true;
            self.lessors[at].switch = None;
            return;
        };
        let Some(&session) = self.lessors[at].by_node.get(&grant.node) else { return };
        let Some(s) = self.sessions.get_mut(&session) else { return };
        s.generation = s.generation.next();
        let (generation, tenant) = (s.generation, s.tenant);
        let same = self.lessors[at].last_tenant == Some(tenant);
        let scrub = if same || !self.config.scrub { Scrub::NONE } else { Scrub::ALL };
        let leftovers = self.lessors[at].last_tenant;
        self.lessors[at].last_tenant = leftovers.filter(|last| *last == tenant);
        let slice = Nanos(grant.slice.0);
        let contended = self.lessors[at].contended();
        self.lessors[at].holder = Holder::Granting { session, generation, slice, contended, leftovers };
        self.act(Action::GrantLease {
            session,
            generation,
            give_back_after: Nanos(slice.0.saturating_add(SLICE_GRACE.0)),
            level: if contended { Level::Yield } else { Level::Keep },
            scrub,
            max_dispatch: self.max_dispatch_of(&tenant),
        });
    }

    pub(crate) fn handle_grant_outcome(
        &mut self,
        now: Instant,
        session: SessionId,
        generation: LeaseGeneration,
        granted_at: Option<Instant>,
    ) {
        let Some(at) = self.place_of(session) else { return self.count_stale() };
        self.touched.push(at);
        let (slice, contended, leftovers) = match self.lessors[at].holder {
            Holder::Granting { session: s, generation: g, slice, contended, leftovers }
                if s == session && g == generation =>
            {
                (slice, contended, leftovers)
            }
            _ => return self.count_stale(),
        };
        let Some(s) = self.sessions.get(&session) else { return self.count_stale() };
        let (tenant, node) = (s.tenant, s.node);
        let tenant_node = s.tenant_node;
        let Some(granted_at) = granted_at else {
            self.lessors[at].holder = Holder::Nobody;
            self.lessors[at].last_tenant = leftovers;
            self.set_idle(now, session);
            return self.move_on(now, session);
        };
        let granted_at = granted_at.min(now);
        let max = self.max_dispatch_of(&tenant);
        let patience = Nanos(max.0.saturating_add(self.config.preempt_timeout.0));
        self.lessors[at].holder = Holder::Lease(Lease {
            session,
            tenant,
            node,
            tenant_node,
            generation,
            granted_at,
            slice,
            ends_at: granted_at.after(slice),
            started_at: None,
            may_park: !contended,
            parked: Nanos(0),
            occupancy: Nanos(0),
            level: Level::Keep,
            wanted_at: granted_at,
            asking: false,
            kill_at: None,
            watch_at: (max.0 > 0).then(|| granted_at.after(patience)),
            switch: self.lessors[at].switch.take(),
        });
        // It was told to end or to move, or its tenant was paused, while the grant was on its way.
        let unwanted = self.sessions.get(&session).is_some_and(|s| s.phase == Phase::Ending || s.moves_to.is_some())
            || self.lessors[at].sched.holder() != Some(node);
        if unwanted {
            self.request_preempt(now, at);
        }
    }

    /// Takes note of what a gate says, asked for or not.
    pub(crate) fn handle_gate(&mut self, now: Instant, session: SessionId, view: &GateView) {
        let Some(at) = self.place_of(session) else { return self.count_stale() };
        self.touched.push(at);
        self.observe_lease(now, at, session, view);
        // It may have moved on by giving the device back.
        let Some(at) = self.place_of(session) else { return };
        let held = self.lessors[at].holder() == Some(session);
        match view.word.state() {
            Some(LeaseState::Runnable) if !held => self.set_runnable(now, session),
            Some(LeaseState::Idle) if !held => self.set_idle(now, session),
            Some(_) => {}
            // Only the broker and the worker can write the word, so the worker did.
            None => self.end(now, session, EndReason::WorkerViolation, By::Killing),
        }
    }

    /// If this session has the lease: books what it used, and notices when it has given the device back.
    fn observe_lease(&mut self, now: Instant, at: usize, session: SessionId, view: &GateView) {
        let Holder::Lease(lease) = &self.lessors[at].holder else { return };
        if lease.session != session {
            return;
        }
        if view.word.holds(lease.generation) {
            self.book(at, view, now);
            self.watch_dispatch(now, at, view);
        } else {
            let stopped = if view.report == lease.generation { view.stopped_at } else { Instant(0) };
            let stopped_at = if stopped.0 == 0 { now } else { stopped.clamp(lease.granted_at, now) };
            let more = view.word.state() == Some(LeaseState::Runnable);
            self.watch_dispatch(now, at, view);
            self.lease_over(now, at, stopped_at, view, view.stop_reason, more);
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
        let Some(at) = self.place_of(session) else { return self.count_stale() };
        self.touched.push(at);
        match &mut self.lessors[at].holder {
            Holder::Lease(lease) if lease.session == session && lease.generation == generation => lease.asking = false,
            _ => return self.count_stale(),
        }
        if taken {
            // Parked time is idle up to now, not up to when it was parked, as the device was the holder's.
            self.lease_over(now, at, now, view, None, false);
        } else {
            self.handle_gate(now, session, view);
            self.lease_mut(at, |lease| lease.may_park = false);
        }
        let preempt = self.wake_arrivals(now, at);
        let Holder::Lease(lease) = &self.lessors[at].holder else { return };
        if lease.level == Level::Suspend {
            return;
        }
        if preempt {
            return self.request_preempt(now, at);
        }
        if now < lease.ends_at {
            return;
        }
        let generation = lease.generation;
        if let Some(end) = self.late_end(now, lease) {
            self.lease_mut(at, |lease| lease.ends_at = end);
            let give_back_after = Nanos(end.since(now).0.saturating_add(SLICE_GRACE.0));
            return self.act(Action::RenewLease { session, generation, give_back_after });
        }
        match self.lessors[at].sched.renew(to_sched(now)) {
            Some(grant) => {
                let slice = Nanos(grant.slice.0);
                self.lease_mut(at, |lease| (lease.slice, lease.ends_at) = (slice, now.after(slice)));
                let give_back_after = Nanos(slice.0.saturating_add(SLICE_GRACE.0));
                self.act(Action::RenewLease { session, generation, give_back_after });
            }
            None => self.request_preempt(now, at),
        }
    }

    /// Returns when the slice of a holder ends that began it late, if what is left of it is worth another look.
    ///
    /// A slice is time to run in. Where the host gave a worker's processor to others first, a slice that was counted from the grant could be over before the
    /// first instruction: the session paid for two switches, had nothing, and waited for everybody's turn again. How late it may begin is in the longest
    /// occupancy.
    fn late_end(&self, now: Instant, lease: &Lease) -> Option<Instant> {
        let end = match lease.started_at {
            Some(first) => first.min(lease.granted_at.after(START_PATIENCE)).after(lease.slice),
            None => now.after(lease.slice).min(lease.granted_at.after(START_PATIENCE)),
        };
        (end.since(now).0 > lease.slice.0 / WORTH_A_LOOK).then_some(end)
    }

    pub(crate) fn request_preempt(&mut self, now: Instant, at: usize) {
        let kill_at = now.after(self.config.preempt_timeout);
        let Holder::Lease(lease) = &mut self.lessors[at].holder else { return };
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
    fn wake_arrivals(&mut self, now: Instant, at: usize) -> bool {
        let mut preempt = false;
        for session in core::mem::take(&mut self.lessors[at].arrivals) {
            let Some(s) = self.sessions.get(&session) else { continue };
            let wake = self.lessors[at].sched.wake(s.node, to_sched(now));
            preempt |= matches!(wake, Ok(Wake::Preempt { .. }));
        }
        preempt
    }

    pub(crate) fn set_runnable(&mut self, now: Instant, session: SessionId) {
        let Some(s) = self.sessions.get_mut(&session) else { return };
        // One that is on its way will be looked at when it has arrived.
        if s.runnable || s.moving || s.phase == Phase::Ending {
            return;
        }
        s.runnable = true;
        let at = s.place;
        self.touched.push(at);
        if self.lessors[at].runnable == 0 && matches!(self.lessors[at].holder, Holder::Nobody) {
            // Nobody wanted the device until now. (While somebody did, the time is part of a switch.)
            self.lessors[at].sched.idle(to_sched(now));
        }
        self.lessors[at].runnable += 1;
        self.lessors[at].arrivals.push(session);
    }

    pub(crate) fn set_idle(&mut self, now: Instant, session: SessionId) {
        let Some(s) = self.sessions.get_mut(&session) else { return };
        if !core::mem::take(&mut s.runnable) {
            return;
        }
        let (at, node) = (s.place, s.node);
        self.touched.push(at);
        self.lessors[at].runnable -= 1;
        self.lessors[at].arrivals.retain(|&a| a != session);
        let _ = self.lessors[at].sched.sleep(node, to_sched(now));
    }

    /// The session ends: it waits for nothing any more. If it has the device it is asked, by its order or by a kill, elsewhere.
    pub(crate) fn lessor_forget_waiter(&mut self, now: Instant, session: SessionId) {
        if self.place_of(session).is_some_and(|at| self.lessors[at].holder() != Some(session)) {
            self.set_idle(now, session);
        }
    }

    /// The worker is gone: whatever it had of the device is free now. It pays for what it ran, and from the moment it was asked
    /// to stop for the time lost to all. Its tenant inherits the debt, as the scheduler charged both.
    pub(crate) fn lessor_session_gone(&mut self, now: Instant, session: SessionId, view: Option<&GateView>) {
        let Some(s) = self.sessions.get(&session) else { return };
        let (at, node, tenant_node, tenant) = (s.place, s.node, s.tenant_node, s.tenant);
        self.touched.push(at);
        match &self.lessors[at].holder {
            Holder::Lease(lease) if lease.session == session => {
                let (tenant, wanted_at) = (lease.tenant, (lease.level == Level::Suspend).then_some(lease.wanted_at));
                if let Some(view) = view {
                    self.book(at, view, wanted_at.unwrap_or(now).min(now));
                }
                // What recovery takes from here on is nobody's lease.
                let span = match &self.lessors[at].holder {
                    Holder::Lease(lease) => self.lessors[at].span(lease),
                    Holder::Nobody | Holder::Granting { .. } => return,
                };
                let kind = if wanted_at.is_some() { ChargeKind::Recovery } else { ChargeKind::Occupancy };
                let _ = self.lessors[at].sched.charge(node, kind, to_sched(now));
                self.lessors[at].holder = Holder::Nobody;
                self.emit(Event::LeaseEnded { session, tenant, occupancy: span.occupancy, span, reason: None });
            }
            Holder::Granting { session: s, .. } if *s == session => self.lessors[at].holder = Holder::Nobody,
            _ => {}
        }
        self.set_idle(now, session);
        self.lessors[at].by_node.remove(&node);
        let left = self.lessors[at].sched.leave(node);
        debug_assert!(left.is_ok(), "a session is a leaf");
        self.lessors[at].retire(tenant, tenant_node);
    }

    fn lease_over(
        &mut self,
        now: Instant,
        at: usize,
        stopped_at: Instant,
        view: &GateView,
        reason: Option<StopReason>,
        more: bool,
    ) {
        self.book(at, view, stopped_at.max(Instant(now.0.saturating_sub(STOP_CLAIM_MAX.0))));
        let Holder::Lease(lease) = core::mem::replace(&mut self.lessors[at].holder, Holder::Nobody) else { return };
        let span = self.lessors[at].span(&lease);
        let Lease { session, tenant, occupancy, level, wanted_at, granted_at, .. } = lease;
        if let Some(s) = self.sessions.get_mut(&session) {
            s.occupancy.0 = s.occupancy.0.saturating_add(occupancy.0);
        }
        let ending = self.sessions.get(&session).is_some_and(|s| s.phase == Phase::Ending);
        if ending || !more {
            self.set_idle(now, session);
        }
        self.lessors[at].sched.release();
        // Only if somebody was made to wait by it is the way to the next first instruction a switch.
        self.lessors[at].switch = (self.lessors[at].runnable > 0).then(|| {
            let requested_at = if level == Level::Suspend {
                wanted_at
            } else if view.report == lease.generation && view.stop_seen_at.0 != 0 && reason.is_some() {
                view.stop_seen_at.clamp(granted_at, stopped_at)
            } else {
                stopped_at
            };
            let requested_at = requested_at.min(stopped_at);
            let saved = if reason.is_some() { view.context } else { Bytes(0) };
            SwitchFrom { session, tenant, requested_at, stopped_at, saved }
        });
        self.emit(Event::LeaseEnded { session, tenant, occupancy, span, reason });
        self.move_on(now, session);
    }

    fn book(&mut self, at: usize, view: &GateView, until: Instant) {
        let Some(first) = self.lessors[at].book(view, until) else { return };
        let (device, partition) = (self.lessors[at].device as u32, self.lessors[at].partition as u32);
        let Holder::Lease(lease) = &mut self.lessors[at].holder else { return };
        let Some(from) = lease.switch.take() else { return };
        let granted = lease.granted_at.max(from.stopped_at);
        let event = Event::Switched {
            from: from.session,
            to: lease.session,
            device,
            partition,
            requested_at: from.requested_at,
            same_tenant: from.tenant == lease.tenant,
            parts: SwitchParts {
                stop: from.stopped_at.since(from.requested_at),
                grant: granted.since(from.stopped_at),
                start: first.since(granted),
            },
            saved: from.saved,
        };
        if from.session != lease.session {
            if let Event::Switched { parts, .. } = &event {
                self.lessors[at].note_switch(parts.total());
            }
            self.emit(event);
        }
    }

    /// Ends a session whose dispatch runs on although its worker should have ended it: the worker is stuck or lies.
    fn watch_dispatch(&mut self, now: Instant, at: usize, view: &GateView) {
        let Holder::Lease(lease) = &self.lessors[at].holder else { return };
        let max = self.max_dispatch_of(&lease.tenant);
        if max.0 == 0 || view.report != lease.generation {
            return;
        }
        let since = if view.dispatch_since.0 == 0 { Nanos(0) } else { now.since(view.dispatch_since) };
        let running = view.dispatch_ran.0.saturating_add(since.0);
        let patience = max.0.saturating_add(self.config.preempt_timeout.0);
        let session = lease.session;
        if running >= patience {
            self.lease_mut(at, |lease| lease.watch_at = None);
            self.emit(Event::WorkerKilled { session, reason: EndReason::Runaway });
            self.end(now, session, EndReason::Runaway, By::Killing);
        } else {
            self.lease_mut(at, |lease| lease.watch_at = Some(now.after(Nanos(patience - running))));
        }
    }

    /// Does what is due about the lease, except what [`Broker::advance`] does anyway.
    pub(crate) fn lease_timer(&mut self, now: Instant, at: usize) {
        let Holder::Lease(lease) = &mut self.lessors[at].holder else { return };
        let session = lease.session;
        let watch = lease.watch_at.take_if(|at| *at <= now).is_some();
        let kill = lease.kill_at.take_if(|at| *at <= now).is_some();
        if kill {
            self.emit(Event::WorkerKilled { session, reason: EndReason::PreemptTimeout });
            self.end(now, session, EndReason::PreemptTimeout, By::Killing);
        } else if watch {
            let patience = self.config.preempt_timeout;
            self.lease_mut(at, |lease| lease.watch_at = Some(now.after(patience)));
            self.act(Action::LookAtGate { session });
        }
    }

    /// Takes a tenant out of the competition everywhere, or lets it back in.
    pub(crate) fn set_paused(&mut self, now: Instant, tenant: &TenantName, paused: bool) {
        for at in 0..self.lessors.len() {
            if self.lessors[at].set_paused(now, tenant, paused) {
                self.request_preempt(now, at);
            }
        }
    }
}
