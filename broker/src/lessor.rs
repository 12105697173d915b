//! One partition: its scheduler, who is in it, and the state of its lease.
//!
//! Promise: what is configured is what the scheduler has, for everybody who may compete here: groups, tenants, sessions, policy,
//! slice. A tenant has a node from its first session on; where time is guaranteed to it or reserved for it, from the start. What
//! is done about the lease, and when, is in `lease`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proto::gate::{LeaseState, Level};
use proto::{Bytes, Instant, LeaseGeneration, Nanos, SessionId, TenantName};
use sched::pace::{Outlook, Pacer};
use sched::{ChargeKind, NodeId, Policy, Scheduler, Wake};

use crate::config::{Config, ConfigError, GroupName, TenantConfig};
use crate::contract::{GateView, LeaseSpan};

/// The lease of a partition, and everything needed to decide about it.
pub(crate) struct Lessor {
    /// Which of the configured devices, and which of its partitions.
    pub(crate) device: usize,
    pub(crate) partition: usize,
    pub(crate) sched: Scheduler,
    pub(crate) by_node: BTreeMap<NodeId, SessionId>,
    pub(crate) holder: Holder,
    /// Sessions that have become runnable since the holder was last looked at. Each once, so at most as many as there are.
    pub(crate) arrivals: Vec<SessionId>,
    /// How many sessions are runnable, the holder among them.
    pub(crate) runnable: usize,
    /// Whose LDS and registers are in the device, and nobody else's; `None` if that is not known for certain, as when a worker
    /// died between its grant and its first instruction and may not have scrubbed yet.
    pub(crate) last_tenant: Option<TenantName>,
    /// Set from the end of a lease that others waited for until the next grant.
    pub(crate) switch: Option<SwitchFrom>,
    /// Nobody of those who wait may run (paused, at a cap, or somebody's reserved time), so passing time is nobody's.
    pub(crate) starved: bool,
    groups: BTreeMap<GroupName, NodeId>,
    tenants: BTreeMap<TenantName, TenantNode>,
    /// What tenants were charged at nodes that are gone.
    past: BTreeMap<TenantName, u64>,
    pacer: Option<Pacer>,
    /// Some group has a cap.
    groups_capped: bool,
}

#[derive(Clone, Copy)]
struct TenantNode {
    node: NodeId,
    group: Option<GroupName>,
}

pub(crate) enum Holder {
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

pub(crate) struct Lease {
    pub(crate) session: SessionId,
    pub(crate) tenant: TenantName,
    pub(crate) node: NodeId,
    /// Its tenant's node, where the cap is.
    pub(crate) tenant_node: NodeId,
    pub(crate) generation: LeaseGeneration,
    pub(crate) granted_at: Instant,
    /// How long it may run, and when that ends as far as is known.
    pub(crate) slice: Nanos,
    pub(crate) ends_at: Instant,
    /// When its first instruction ran and its occupancy began, if that has been seen.
    pub(crate) started_at: Option<Instant>,
    /// Nobody waited when it was granted, or looked at last, so it may have parked since. Whoever is asked to yield gives the
    /// device back instead; a worker that says it was parked all the same would run for nothing.
    pub(crate) may_park: bool,
    /// How much of its parking has been booked as idle.
    pub(crate) parked: Nanos,
    pub(crate) occupancy: Nanos,
    pub(crate) level: Level,
    /// When it was asked to suspend.
    pub(crate) wanted_at: Instant,
    /// A question about its gate is open.
    pub(crate) asking: bool,
    pub(crate) kill_at: Option<Instant>,
    /// When to see whether its dispatch has run too long.
    pub(crate) watch_at: Option<Instant>,
    pub(crate) switch: Option<SwitchFrom>,
}

#[derive(Clone, Copy)]
pub(crate) struct SwitchFrom {
    pub(crate) session: SessionId,
    pub(crate) tenant: TenantName,
    pub(crate) requested_at: Instant,
    pub(crate) stopped_at: Instant,
    pub(crate) saved: Bytes,
}

pub(crate) fn to_sched(at: Instant) -> sched::Instant {
    sched::Instant(at.0)
}

impl Lessor {
    /// Returns the lessor of a partition, with all who have to be known from the start.
    pub(crate) fn new(config: &Config, device: usize, partition: usize, now: Instant) -> Result<Self, ConfigError> {
        let settings = config.sched(device);
        let sched = Scheduler::new(settings, to_sched(now)).map_err(|_| ConfigError::Times)?;
        let mut lessor = Self {
            device,
            partition,
            sched,
            by_node: BTreeMap::new(),
            holder: Holder::Nobody,
            arrivals: Vec::new(),
            runnable: 0,
            last_tenant: None,
            switch: None,
            starved: false,
            groups: BTreeMap::new(),
            tenants: BTreeMap::new(),
            past: BTreeMap::new(),
            pacer: None,
            groups_capped: config.groups.iter().any(|group| group.cap.is_some()),
        };
        lessor.renew_pacer(config);
        lessor.join_all(config, now)?;
        Ok(lessor)
    }

    /// Joins groups and whoever has to be there from the start: those without guarantees first, so that the last guarantee decides.
    fn join_all(&mut self, config: &Config, now: Instant) -> Result<(), ConfigError> {
        for guaranteed in [false, true] {
            for group in config.groups.iter().filter(|group| group.guarantee.is_some() == guaranteed) {
                if !self.groups.contains_key(&group.name) {
                    let joined = self.sched.join(self.sched.root(), group.params(), to_sched(now));
                    let node = joined.map_err(|error| self.refusal(group.name, error))?;
                    self.groups.insert(group.name, node);
                }
            }
            // Whom a guarantee has to be kept against must be known, and who has reserved time.
            let everybody = config.anything_guaranteed() || config.devices[self.device].policy == Policy::FixedShare;
            let (device, partition) = (self.device, self.partition);
            let here = |tenant: &&TenantConfig| config.may_use(tenant, device, partition);
            let wanted = config.tenants.iter().filter(|tenant| tenant.guarantee.is_some() == guaranteed);
            for tenant in wanted.filter(|_| everybody).filter(here) {
                self.ensure_tenant(tenant, now)?;
            }
        }
        Ok(())
    }

    /// Returns the node of a tenant, which joins if it has none.
    pub(crate) fn ensure_tenant(&mut self, tenant: &TenantConfig, now: Instant) -> Result<NodeId, ConfigError> {
        if let Some(known) = self.tenants.get(&tenant.name).filter(|known| known.group == tenant.group) {
            return Ok(known.node);
        }
        let parent = tenant.group.and_then(|group| self.groups.get(&group).copied()).unwrap_or(self.sched.root());
        let joined = self.sched.join(parent, tenant.params(), to_sched(now));
        let node = joined.map_err(|error| self.refusal(tenant.name, error))?;
        self.tenants.insert(tenant.name, TenantNode { node, group: tenant.group });
        Ok(node)
    }

    /// Says in an administrator's words why the scheduler refused somebody.
    fn refusal(&self, tenant: TenantName, error: sched::JoinError) -> ConfigError {
        match error {
            sched::JoinError::GuaranteeBroken { holder, guarantee, weight_max } => {
                let of = |node: NodeId| {
                    let tenants = self.tenants.iter().map(|(name, known)| (*name, known.node));
                    let all = tenants.chain(self.groups.iter().map(|(name, node)| (*name, *node)));
                    all.into_iter().find(|(_, known)| *known == node).map(|(name, _)| name)
                };
                ConfigError::Guarantee { tenant, holder: holder.and_then(of), guarantee, weight_max }
            }
            sched::JoinError::CapBelowGuarantee { .. } => ConfigError::CapBelowGuarantee { tenant },
            sched::JoinError::NothingGuaranteed { policy } => ConfigError::NothingGuaranteed { tenant, policy },
            _ => ConfigError::Times,
        }
    }

    /// Makes what is configured so, in three rounds, so that no step in between is refused for a guarantee that the whole keeps:
    /// first nobody has one, then everybody has its weight, then everybody has its guarantee. The whole was tried before, on an
    /// empty lessor.
    pub(crate) fn configure(&mut self, config: &Config, now: Instant) {
        let at = to_sched(now);
        let nodes: Vec<NodeId> = self.tenants.values().map(|t| t.node).chain(self.groups.values().copied()).collect();
        for node in nodes {
            if let Ok(params) = self.sched.params(node) {
                let _ = self.sched.set_params(node, sched::Params { guarantee: None, ..params }, at);
            }
        }
        let set = self.sched.set_config(config.sched(self.device), at);
        debug_assert!(set.is_ok(), "the settings were tried");
        self.renew_pacer(config);
        self.groups_capped = config.groups.iter().any(|group| group.cap.is_some());
        let gone = |name: &TenantName| {
            config.tenant(name).is_none_or(|tenant| !config.may_use(tenant, self.device, self.partition))
        };
        let leaving: Vec<TenantName> = self.tenants.keys().copied().filter(gone).collect();
        for name in leaving {
            // What is still ending, or moving, must not stand in the way of others' guarantees.
            if let Some(TenantNode { node, .. }) = self.tenants.remove(&name) {
                let _ = self.sched.set_params(node, sched::Params::weight(sched::Weight::MIN), at);
                self.retire(name, node);
            }
        }
        // A node whose tenant has another group now stays until its sessions have moved.
        let regrouped = |(name, known): (&TenantName, &TenantNode)| {
            config.tenant(name).filter(|tenant| tenant.group != known.group).map(|_| (*name, known.node))
        };
        let regrouped: Vec<(TenantName, NodeId)> = self.tenants.iter().filter_map(regrouped).collect();
        for (name, node) in regrouped {
            self.tenants.remove(&name);
            let _ = self.sched.set_params(node, sched::Params::weight(sched::Weight::MIN), at);
            self.retire(name, node);
        }
        for guarantees in [false, true] {
            for group in &config.groups {
                let params = group.params();
                let params = if guarantees { params } else { sched::Params { guarantee: None, ..params } };
                match self.groups.get(&group.name) {
                    Some(node) => drop(self.sched.set_params(*node, params, at)),
                    None => {
                        if let Ok(node) = self.sched.join(self.sched.root(), params, at) {
                            self.groups.insert(group.name, node);
                        }
                    }
                }
            }
            for tenant in &config.tenants {
                let params = tenant.params();
                let params = if guarantees { params } else { sched::Params { guarantee: None, ..params } };
                if let Some(known) = self.tenants.get(&tenant.name) {
                    let _ = self.sched.set_params(known.node, params, at);
                }
            }
        }
        let left = |name: &GroupName| !config.groups.iter().any(|group| group.name == *name);
        let left: Vec<GroupName> = self.groups.keys().copied().filter(left).collect();
        for name in left {
            if let Some(node) = self.groups.get(&name).copied()
                && self.sched.leave(node).is_ok()
            {
                self.groups.remove(&name);
            }
        }
        let joined = self.join_all(config, now);
        debug_assert!(joined.is_ok(), "the settings were tried");
    }

    fn renew_pacer(&mut self, config: &Config) {
        let device = &config.devices[self.device];
        let wanted = device.targets();
        if self.pacer.as_ref().map(Pacer::targets) != wanted {
            self.pacer = wanted.map(|targets| Pacer::new(targets, sched::Nanos(device.slice.0)));
        }
        if let Some(pacer) = &self.pacer {
            let set = self.sched.set_slice(pacer.slice());
            debug_assert!(set.is_ok(), "the longest slice was checked");
        }
    }

    /// Lets a node of a tenant go that it does not need any more, as soon as nobody is below it.
    pub(crate) fn retire(&mut self, tenant: TenantName, node: NodeId) {
        let current = self.tenants.get(&tenant).is_some_and(|known| known.node == node);
        if current {
            return;
        }
        let service = self.sched.service(node).map_or(0, |n| n.0);
        if self.sched.leave(node).is_ok() {
            *self.past.entry(tenant).or_default() += service;
        }
    }

    pub(crate) fn node_of(&self, tenant: &TenantName) -> Option<NodeId> {
        self.tenants.get(tenant).map(|known| known.node)
    }

    /// Forgets a tenant that has no sessions.
    pub(crate) fn forget_tenant(&mut self, tenant: &TenantName) {
        if let Some(TenantNode { node, .. }) = self.tenants.remove(tenant) {
            self.retire(*tenant, node);
        }
        self.past.remove(tenant);
    }

    pub(crate) fn join_session(&mut self, tenant: NodeId, session: SessionId, now: Instant) -> Option<NodeId> {
        let node = self.sched.join(tenant, sched::Params::default(), to_sched(now)).ok()?;
        self.by_node.insert(node, session);
        Some(node)
    }

    /// Takes a tenant out of the competition, or lets it back in; returns whether the holder is to be stopped.
    pub(crate) fn set_paused(&mut self, now: Instant, tenant: &TenantName, paused: bool) -> bool {
        let Some(node) = self.node_of(tenant) else { return false };
        if paused {
            matches!(self.sched.pause(node), Ok(Some(_)))
        } else {
            matches!(self.sched.resume(node, to_sched(now)), Ok(Wake::Preempt { .. }))
        }
    }

    /// Returns all the device time a tenant was charged here, over all its sessions ever.
    pub(crate) fn service(&self, tenant: &TenantName) -> Nanos {
        let now = self.node_of(tenant).and_then(|node| self.sched.service(node).ok()).map_or(0, |n| n.0);
        Nanos(now + self.past.get(tenant).copied().unwrap_or(0))
    }

    /// Returns the slice in force.
    pub(crate) fn slice(&self) -> Nanos {
        Nanos(self.sched.config().slice.0)
    }

    /// Returns what the slice in force comes to, if it is chosen and not set.
    pub(crate) fn outlook(&self) -> Option<Outlook> {
        self.pacer.as_ref().map(Pacer::outlook)
    }

    /// Measures a switch; the slice may follow.
    pub(crate) fn note_switch(&mut self, cost: Nanos) {
        let runnable = u32::try_from(self.runnable).unwrap_or(u32::MAX);
        let Some(pacer) = &mut self.pacer else { return };
        pacer.note_active(runnable);
        if let Some(slice) = pacer.note_switch(sched::Nanos(cost.0)) {
            let set = self.sched.set_slice(slice);
            debug_assert!(set.is_ok(), "the longest slice was checked");
        }
    }

    /// Measures how late a timer came.
    pub(crate) fn note_timer(&mut self, now: Instant) {
        let due = self.timeout().filter(|at| *at <= now);
        if let (Some(pacer), Some(due)) = (&mut self.pacer, due) {
            pacer.note_timer(sched::Nanos(now.since(due).0));
        }
    }

    pub(crate) fn holder(&self) -> Option<SessionId> {
        match &self.holder {
            Holder::Nobody => None,
            Holder::Granting { session, .. } => Some(*session),
            Holder::Lease(lease) => Some(lease.session),
        }
    }

    /// Returns a lease as it is booked by now.
    pub(crate) fn span(&self, lease: &Lease) -> LeaseSpan {
        LeaseSpan {
            device: self.device as u32,
            partition: self.partition as u32,
            generation: lease.generation,
            granted_at: lease.granted_at,
            started_at: lease.started_at,
            until: Instant(self.sched.booked_until().0.max(lease.granted_at.0)),
            occupancy: lease.occupancy,
            parked: lease.parked,
            level: lease.level,
        }
    }

    /// Whether the holder has to give the device back when its slice is over: others wait, or the rest is reserved.
    pub(crate) fn contended(&self) -> bool {
        self.runnable > 1 || self.sched.config().policy.reserves()
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
    pub(crate) fn must_watch_slice(&self, lease: &Lease) -> bool {
        let capped = || self.sched.next_event().is_some() || self.has_cap(lease.tenant_node);
        !lease.asking && lease.level < Level::Suspend && (self.contended() || capped())
    }

    fn has_cap(&self, node: NodeId) -> bool {
        self.groups_capped || self.sched.params(node).is_ok_and(|p| p.cap.is_some())
    }

    /// Books the holder's time up to `until`: before its first instruction as the price of the switch, then what it ran as
    /// occupancy, what it was parked as idle. Returns when its first instruction ran, if that is news.
    ///
    /// Scrubbing is part of the price: who comes pays for it, as only its worker can say how long it took, and what a worker says
    /// must cost nobody else.
    pub(crate) fn book(&mut self, view: &GateView, until: Instant) -> Option<Instant> {
        let Self { sched, last_tenant, holder: Holder::Lease(lease), .. } = self else { return None };
        let inside = |at: Instant| at.clamp(lease.granted_at, until.max(lease.granted_at));
        let fresh = view.report == lease.generation;
        let mut first = None;
        if lease.started_at.is_none() {
            let started = fresh && view.first_instruction_at.0 != 0;
            let at = if started { inside(view.first_instruction_at) } else { until };
            let scrub = if started { view.scrub.0.min(at.since(lease.granted_at).0) } else { 0 };
            let _ = sched.charge(lease.node, ChargeKind::SwitchIn, sched::Instant(at.0 - scrub));
            let _ = sched.charge(lease.node, ChargeKind::Scrub, to_sched(at));
            if !started {
                return None;
            }
            lease.started_at = Some(Instant(sched.booked_until().0));
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
