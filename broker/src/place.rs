//! Where a session runs: chosen when it is admitted, and changed while it lives.
//!
//! Promise: a session has one place, a partition of one device that its tenant may use; its memory stays on that device, so it
//! moves between partitions of it only. It moves when nobody runs for it: a leaseholder is suspended first, and it gets no lease in its new
//! partition before its worker has said that it uses the compute units there and none elsewhere. It never moves to fewer compute units than its
//! context was made for. What it owes stays where it owes it.

use proto::{Instant, PartitionId, SessionId, TenantName, Violation};

use crate::config::{Config, Placement, TenantConfig};
use crate::contract::Action;
use crate::lessor::{Holder, Lessor};
use crate::machine::{Broker, Phase};

/// How much is on a device, as far as placement is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    vram_used: u64,
    sessions: usize,
}

impl Broker {
    /// Returns the place of a session.
    pub(crate) fn place_of(&self, session: SessionId) -> Option<usize> {
        self.sessions.get(&session).map(|s| s.place)
    }

    /// Returns the place for a new session of a tenant, on a device that was asked for or on any.
    ///
    /// `spread` takes the device with the fewest sessions, then the one with the most free memory. `pack` takes the fullest
    /// one that has room for what the tenant may use, and spreads where there is none.
    pub(crate) fn choose_place(&self, tenant: &TenantConfig, device: Option<usize>) -> Option<usize> {
        let may_use = |at: &usize| {
            let lessor = &self.lessors[*at];
            device.is_none_or(|device| device == lessor.device)
                && self.config.may_use(tenant, lessor.device, lessor.partition)
        };
        let loads = self.loads();
        let spread = |at: &usize| (loads[*at].sessions, loads[*at].vram_used, *at);
        let candidates = || (0..self.lessors.len()).filter(may_use);
        let has_room = |at: &usize| {
            let vram = self.config.devices[self.lessors[*at].device].vram.0;
            vram.saturating_sub(loads[*at].vram_used) >= tenant.vram_limit.0
        };
        let packed = || candidates().filter(has_room).max_by_key(|at| (loads[*at], core::cmp::Reverse(*at)));
        match self.config.placement {
            Placement::Spread => candidates().min_by_key(spread),
            Placement::Pack => packed().or_else(|| candidates().min_by_key(spread)),
        }
    }

    /// Returns the devices that a tenant may use, in order.
    pub(crate) fn devices_of(&self, tenant: &TenantConfig) -> alloc::vec::Vec<u32> {
        let usable = |lessor: &&Lessor| self.config.may_use(tenant, lessor.device, lessor.partition);
        // One partition of a device at most is a tenant's, and the places are in the order of the devices.
        self.lessors.iter().filter(usable).map(|lessor| lessor.device as u32).collect()
    }

    /// Returns the load of the device of every place.
    fn loads(&self) -> alloc::vec::Vec<Load> {
        let mut devices = alloc::vec![Load::default(); self.config.devices.len()];
        for (device, load) in devices.iter_mut().enumerate() {
            load.vram_used = self.ledger.total_on(device as u32).vram;
        }
        for lessor in &self.lessors {
            devices[lessor.device].sessions += lessor.by_node.len();
        }
        self.lessors.iter().map(|lessor| devices[lessor.device]).collect()
    }

    /// Moves every session that is not where its tenant belongs now.
    pub(crate) fn rehome(&mut self, now: Instant) {
        let all: alloc::vec::Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in all {
            let Some(s) = self.sessions.get(&session) else { continue };
            let Some(tenant) = self.config.tenant(&s.tenant).cloned() else { continue };
            let device = self.lessors[s.place].device;
            let stays = self.config.may_use(&tenant, device, self.lessors[s.place].partition);
            let wanted = if stays { Some(s.place) } else { self.choose_place(&tenant, Some(device)) };
            // On a device without its partition it stays until it ends, and so it does if its context would not fit.
            let units = |at: usize| self.config.devices[device].partitions[self.lessors[at].partition].cus;
            let fits = |at: &usize| *at == s.place || units(*at) >= s.units;
            let Some(wanted) = wanted.filter(fits) else { continue };
            let (place, tenant_node) = (s.place, s.tenant_node);
            let Ok(node) = self.lessors[wanted].ensure_tenant(&tenant, now) else { continue };
            if wanted == place && node == tenant_node {
                // An earlier change is taken back before it came to anything.
                if let Some(s) = self.sessions.get_mut(&session) {
                    s.moves_to = None;
                }
                continue;
            }
            if self.tenants.get(&tenant.name).is_some_and(|t| t.paused)
                && self.lessors[wanted].set_paused(now, &tenant.name, true)
            {
                self.request_preempt(now, wanted);
            }
            if let Some(s) = self.sessions.get_mut(&session) {
                s.moves_to = Some(wanted);
            }
            match &self.lessors[place].holder {
                Holder::Lease(lease) if lease.session == session => self.request_preempt(now, place),
                Holder::Granting { session: granted, .. } if *granted == session => {}
                _ => self.move_on(now, session),
            }
        }
    }

    /// Moves a session that is to move and does not have the device.
    pub(crate) fn move_on(&mut self, now: Instant, session: SessionId) {
        let Some(s) = self.sessions.get(&session) else { return };
        let (Some(wanted), from) = (s.moves_to, s.place) else { return };
        if self.lessors[from].holder() == Some(session) || s.moving {
            return;
        }
        let (tenant, node, tenant_node) = (s.tenant, s.node, s.tenant_node);
        let (was_runnable, ending) = (s.runnable, s.phase == Phase::Ending);
        let target = self.config.tenant(&tenant).cloned().filter(|_| !ending);
        let joined = target.and_then(|tenant| {
            let tenant_node = self.lessors[wanted].ensure_tenant(&tenant, now).ok()?;
            Some((tenant_node, self.lessors[wanted].join_session(tenant_node, session, now)?))
        });
        let Some((new_tenant_node, new_node)) = joined else {
            // It ends, or there is no room: it stays where it is.
            if let Some(s) = self.sessions.get_mut(&session) {
                s.moves_to = None;
            }
            return;
        };
        self.set_idle(now, session);
        let lessor = &mut self.lessors[from];
        lessor.by_node.remove(&node);
        let left = lessor.sched.leave(node);
        debug_assert!(left.is_ok(), "a session is a leaf");
        lessor.retire(tenant, tenant_node);
        if let Some(s) = self.sessions.get_mut(&session) {
            (s.place, s.node, s.tenant_node, s.moves_to) = (wanted, new_node, new_tenant_node, None);
        }
        if from != wanted {
            let partition = self.lessors[wanted].partition as u32;
            let running = self.sessions.get_mut(&session).map(|s| {
                s.moving = true;
                s.phase == Phase::Running
            });
            if running == Some(true) {
                self.set_deadline(session, Some(now.after(self.config.start_timeout)));
            }
            self.act(Action::MoveSession { session, partition });
        } else if was_runnable {
            self.set_runnable(now, session);
        }
        self.touched.extend([from, wanted]);
    }

    /// The worker is where it was sent: from now on it may have leases there, unless it is to go on already.
    pub(crate) fn handle_moved(&mut self, now: Instant, session: SessionId, partition: PartitionId) {
        let Some(s) = self.sessions.get_mut(&session) else { return };
        if !s.moving || self.lessors[s.place].partition as u32 != partition.0 {
            return self.violation(now, session, Violation::Kind { got: 0x0408 });
        }
        s.moving = false;
        if s.phase == Phase::Running {
            self.set_deadline(session, None);
        }
        self.move_on(now, session);
        // What it rang for meanwhile was not heard.
        self.act(Action::LookAtGate { session });
    }

    /// Returns all the device time a tenant was charged, wherever.
    pub(crate) fn service(&self, tenant: &TenantName) -> proto::Nanos {
        proto::Nanos(self.lessors.iter().map(|lessor| lessor.service(tenant).0).sum())
    }
}

/// Returns every partition of every device, in the order of the configuration.
pub(crate) fn places(config: &Config) -> impl Iterator<Item = (usize, usize)> + '_ {
    let partitions = |device: usize| (0..config.devices[device].partitions.len()).map(move |at| (device, at));
    (0..config.devices.len()).flat_map(partitions)
}
