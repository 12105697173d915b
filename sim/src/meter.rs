//! Measures on its own who had the device and who wanted it, and compares with what the scheduler promises.
//!
//! *Had* is from one stop to the next, as the scheduler charges it: the switch belongs to the one who comes, parked time to
//! nobody. *Backlogged* is a tenant with a session that has work and is neither paused nor ending.
//!
//! | check | bound |
//! |---|---|
//! | two tenants that are both backlogged | [`sched::bounds::pairwise_gap_max`] |
//! | a backlogged tenant that waits | [`sched::bounds::wait_max`] |
//! | a tenant with a cap | the cap, one slice, one occupancy |
//! | share of everybody while all are backlogged | what the scenario says |
//!
//! Only the one who falls *behind* has something to complain about, and only if its backlog is honest.

use proto::{Instant, Nanos, SessionId, TenantName};
use std::collections::BTreeMap;

use sched::Policy;

use crate::broken::Broken;

/// What a session wants of the device, and has of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    /// It has work, or runs.
    pub(crate) wants: bool,
    /// It has the lease.
    pub(crate) holds: bool,
    /// It has the lease and work.
    pub(crate) runs: bool,
}

/// What is known about a tenant.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) name: TenantName,
    pub(crate) weight: u32,
    /// All time it had the device.
    pub(crate) had: u64,
    pub(crate) leases: u64,
    /// While everybody was backlogged: what it had, and what it was entitled to in millionths of nanoseconds.
    pub(crate) window_had: u64,
    pub(crate) window_due: u128,
    cap: Option<(u32, Instant, u64)>,
    paused: bool,
    /// Its programs say truly when they have work.
    pub(crate) honest: bool,
    backlog: u32,
    waits_since: Option<Instant>,
}

/// Most tenants that are compared with each other; where there are more, only what each had is measured.
const CHECKED_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) tenants: Vec<Account>,
    stands: BTreeMap<SessionId, (usize, Stand)>,
    holder: Option<(SessionId, usize)>,
    runs_since: Option<Instant>,
    /// Since when nobody has the device although somebody wants it who may have it. (Of a tenant with a cap nobody but the
    /// scheduler knows whether it may.)
    free_since: Option<Instant>,
    /// For two tenants that have both been backlogged: what they had when that began.
    pairs: Vec<Option<(u64, u64)>>,
    /// When the stretch began in which everybody has been backlogged, and what each had then.
    window: Option<(Instant, Vec<u64>)>,
    pub(crate) window_total: u64,
    policy: Policy,
    occupancy_max: u64,
    slack: u64,
    slice: u64,
    places: BTreeMap<TenantName, usize>,
    /// When the device stopped last.
    pub(crate) stopped_at: Instant,
}

impl Meter {
    pub(crate) fn new(occupancy_max: u64, policy: Policy, slice: u64, slack: u64) -> Self {
        Self {
            tenants: Vec::new(),
            stands: BTreeMap::new(),
            holder: None,
            runs_since: None,
            free_since: None,
            pairs: Vec::new(),
            window: None,
            window_total: 0,
            policy,
            occupancy_max,
            slack,
            slice,
            places: BTreeMap::new(),
            stopped_at: Instant(0),
        }
    }

    /// Learns what is configured now. A tenant that is not among these any more keeps its place.
    pub(crate) fn configure(
        &mut self,
        now: Instant,
        config: &broker::Config,
        policy: Policy,
        honest: impl Fn(&TenantName) -> bool,
    ) {
        self.close_window(now);
        self.policy = policy;
        for tenant in &config.tenants {
            let at = self.place(&tenant.name).unwrap_or_else(|| {
                self.places.insert(tenant.name, self.tenants.len());
                self.tenants.push(Account {
                    name: tenant.name,
                    weight: 0,
                    had: 0,
                    leases: 0,
                    window_had: 0,
                    window_due: 0,
                    cap: None,
                    paused: false,
                    honest: honest(&tenant.name),
                    backlog: 0,
                    waits_since: None,
                });
                self.tenants.len() - 1
            });
            let had = self.had(at, now);
            let account = &mut self.tenants[at];
            let cap = tenant.cap.map(sched::Share::millionths);
            if account.cap.map(|c| c.0) != cap {
                account.cap = cap.map(|cap| (cap, now, had));
            }
            let weight = if policy == Policy::EqualShare { sched::Weight::DEFAULT } else { tenant.weight };
            if account.weight != weight.get() {
                account.weight = weight.get();
                account.waits_since = account.waits_since.map(|_| now);
                self.forget_pairs(at);
            }
        }
        self.pairs = if self.is_checked() { vec![None; self.tenants.len() * self.tenants.len()] } else { Vec::new() };
        self.renew_pairs(now);
    }

    pub(crate) fn place(&self, tenant: &TenantName) -> Option<usize> {
        self.places.get(tenant).copied()
    }

    pub(crate) fn pause(&mut self, now: Instant, tenant: &TenantName, paused: bool) {
        self.close_window(now);
        let Some(at) = self.place(tenant) else { return };
        if std::mem::replace(&mut self.tenants[at].paused, paused) != paused {
            let has = self.holder.is_some_and(|(_, holder)| holder == at);
            self.tenants[at].waits_since = (!paused && !has && self.tenants[at].backlog > 0).then_some(now);
        }
        self.forget_pairs(at);
        self.renew_pairs(now);
        self.renew_free(now);
    }

    /// A tenant is no longer configured.
    pub(crate) fn removed(&mut self, tenant: &TenantName) {
        if let Some(at) = self.place(tenant) {
            self.tenants[at].paused = false;
            self.tenants[at].weight = 0;
        }
    }

    /// Whether everybody is compared with everybody. Among thousands that would take longer than everything else.
    fn is_checked(&self) -> bool {
        self.tenants.len() <= CHECKED_MAX
    }

    fn competes(&self, at: usize) -> bool {
        let tenant = &self.tenants[at];
        tenant.weight > 0 && tenant.backlog > 0 && !tenant.paused && tenant.cap.is_none()
    }

    /// Returns all time a tenant had the device up to now.
    pub(crate) fn had(&self, at: usize, now: Instant) -> u64 {
        let running = match (self.holder, self.runs_since) {
            (Some((_, holder)), Some(since)) if holder == at => now.since(since).0,
            _ => 0,
        };
        self.tenants[at].had + running
    }

    /// Takes note of where a session stands now.
    pub(crate) fn note(&mut self, now: Instant, session: SessionId, tenant: usize, stand: Stand) -> Result<(), Broken> {
        let old = self.stands.insert(session, (tenant, stand)).map(|(_, stand)| stand).unwrap_or_default();
        if old == stand {
            return Ok(());
        }
        let checked = if old.runs && !stand.runs { self.check(now, tenant) } else { Ok(()) };
        self.note_device(now, session, tenant, old, stand)?;
        if old.wants != stand.wants {
            let before = self.tenants[tenant].backlog;
            let after = if stand.wants { before + 1 } else { before - 1 };
            let changes = before == 0 || after == 0;
            if changes {
                self.close_window(now);
            }
            // Whoever un-parks has the device already.
            let has = self.holder.is_some_and(|(_, holder)| holder == tenant);
            let account = &mut self.tenants[tenant];
            account.backlog = after;
            if changes {
                account.waits_since = (after > 0 && !has).then_some(now);
                self.forget_pairs(tenant);
                self.renew_pairs(now);
            }
        }
        self.renew_free(now);
        checked
    }

    /// Forgets a session that is gone.
    pub(crate) fn forget(&mut self, now: Instant, session: SessionId) -> Result<(), Broken> {
        let Some(&(tenant, _)) = self.stands.get(&session) else { return Ok(()) };
        let noted = self.note(now, session, tenant, Stand::default());
        self.stands.remove(&session);
        noted
    }

    fn note_device(
        &mut self,
        now: Instant,
        session: SessionId,
        tenant: usize,
        old: Stand,
        stand: Stand,
    ) -> Result<(), Broken> {
        if stand.holds && !old.holds {
            if let Some((other, _)) = self.holder {
                return Err(Broken::TwoHolders(other, session));
            }
            self.holder = Some((session, tenant));
            // Where time is reserved, a gap may be somebody's who is absent; and a switch is too short to matter.
            let gap = self.free_since.take().map_or(0, |since| now.since(since).0);
            let gap = if self.policy.reserves() { 0 } else { gap };
            let account = &mut self.tenants[tenant];
            account.had += gap;
            account.leases += 1;
            account.waits_since = None;
        }
        if old.runs && !stand.runs {
            self.tenants[tenant].had += self.runs_since.take().map_or(0, |since| now.since(since).0);
        }
        if !old.runs && stand.runs {
            self.runs_since = Some(now);
        }
        if old.holds && !stand.holds {
            self.holder = None;
            self.stopped_at = now;
            if self.tenants[tenant].backlog > 0 {
                self.tenants[tenant].waits_since = Some(now);
            }
        }
        Ok(())
    }

    /// The bounds, when the holder has had its turn.
    fn check(&self, now: Instant, holder: usize) -> Result<(), Broken> {
        if !self.is_checked() {
            return Ok(());
        }
        let total: u64 = self.tenants.iter().map(|t| u64::from(t.weight)).sum();
        let longest = sched::Nanos(self.occupancy_max + self.slack);
        let had = self.had(holder, now);
        for (at, tenant) in self.tenants.iter().enumerate() {
            let Some(weight) = sched::Weight::new(tenant.weight).filter(|_| tenant.honest) else { continue };
            if let Some(since) = tenant.waits_since.filter(|_| self.competes(at)) {
                let waited = now.since(since).0;
                let bound = match self.policy {
                    // A turn of everybody else.
                    Policy::BestEffort => u128::from(longest.0) * (self.stands.len() as u128 + 1),
                    _ => sched::bounds::wait_max(longest, weight, total),
                };
                let bound = u64::try_from(bound).unwrap_or(u64::MAX);
                if waited > bound {
                    return Err(Broken::Starved { tenant: tenant.name, waited, bound });
                }
            }
            if self.policy == Policy::BestEffort {
                continue;
            }
            let (Some((from_holder, from_other)), Some(heavier)) =
                (self.pairs[holder * self.tenants.len() + at], sched::Weight::new(self.tenants[holder].weight))
            else {
                continue;
            };
            let ahead = u128::from(had - from_holder) * u128::from(weight.get());
            let behind = u128::from(self.had(at, now) - from_other) * u128::from(heavier.get());
            let bound = sched::bounds::pairwise_gap_max(longest, weight, heavier).unsigned_abs();
            let gap = ahead.saturating_sub(behind);
            if gap > bound {
                return Err(Broken::Apart { one: self.tenants[holder].name, other: tenant.name, gap, bound });
            }
        }
        if let Some((cap, since, before)) = self.tenants[holder].cap {
            let rate = u128::from(now.since(since).0) * u128::from(cap) / 1_000_000;
            let most = u64::try_from(rate).unwrap_or(u64::MAX).saturating_add(self.slice + longest.0);
            if had - before > most {
                return Err(Broken::AboveCap { tenant: self.tenants[holder].name, had: had - before, most });
            }
        }
        Ok(())
    }

    fn renew_free(&mut self, now: Instant) {
        if !self.is_checked() {
            return;
        }
        let wanted = self.holder.is_none() && (0..self.tenants.len()).any(|t| self.competes(t));
        self.free_since = if wanted { self.free_since.or(Some(now)) } else { None };
    }

    fn forget_pairs(&mut self, at: usize) {
        let n = self.tenants.len();
        if self.pairs.len() == n * n {
            for other in 0..n {
                self.pairs[at * n + other] = None;
                self.pairs[other * n + at] = None;
            }
        }
    }

    /// Begins to compare whoever has become comparable, and a window if that is everybody.
    fn renew_pairs(&mut self, now: Instant) {
        if !self.is_checked() {
            return;
        }
        let n = self.tenants.len();
        for one in (0..n).filter(|&t| self.competes(t)).collect::<Vec<_>>() {
            for other in 0..n {
                if one != other && self.competes(other) && self.pairs[one * n + other].is_none() {
                    self.pairs[one * n + other] = Some((self.had(one, now), self.had(other, now)));
                }
            }
        }
        // Tenants without any program are nobody's competitors.
        let in_play = |t: &usize| self.stands.values().any(|(tenant, _)| tenant == t);
        let playing: Vec<usize> = (0..n).filter(in_play).collect();
        if playing.len() > 1 && playing.iter().all(|&t| self.competes(t)) {
            let had = (0..n).map(|t| self.had(t, now)).collect();
            self.window.get_or_insert((now, had));
        }
    }

    /// Adds what was had since everybody became backlogged to the account of each.
    pub(crate) fn close_window(&mut self, now: Instant) {
        let Some((_, before)) = self.window.take() else { return };
        let had: Vec<u64> = (0..before.len()).map(|t| self.had(t, now) - before[t]).collect();
        let total: u64 = had.iter().sum();
        let competing = |t: &usize| self.competes(*t);
        let weights: u64 = (0..before.len()).filter(competing).map(|t| u64::from(self.tenants[t].weight)).sum();
        let due: Vec<u128> = (0..before.len())
            .map(|t| {
                if self.competes(t) {
                    u128::from(total) * u128::from(self.tenants[t].weight) * 1_000_000 / u128::from(weights.max(1))
                } else {
                    0
                }
            })
            .collect();
        self.window_total += total;
        for (t, account) in self.tenants.iter_mut().take(had.len()).enumerate() {
            account.window_had += had[t];
            account.window_due += due[t];
        }
    }

    /// Checks the shares over all windows.
    pub(crate) fn check_shares(&self, error_max: u64) -> Result<(), Broken> {
        for account in self.tenants.iter().filter(|_| self.window_total > 0) {
            let got = u128::from(account.window_had) * 1_000_000 / u128::from(self.window_total);
            let entitled = account.window_due / u128::from(self.window_total);
            if got.abs_diff(entitled) > u128::from(error_max) {
                return Err(Broken::Share { tenant: account.name, got: got as u64, entitled: entitled as u64 });
            }
        }
        Ok(())
    }
}

/// Compares what a tenant was charged with what it had, wherever. `charged` is up to the last look at the holders.
pub(crate) fn check_charged(meters: &[Meter], now: Instant, tenant: &TenantName, charged: Nanos) -> Result<(), Broken> {
    let (mut held, mut within) = (0, 0);
    for meter in meters {
        let Some(at) = meter.place(tenant) else { continue };
        if !meter.tenants[at].honest {
            return Ok(());
        }
        held += meter.had(at, now);
        // What a step takes between the world and the broker may be booked a little earlier or later, once per lease.
        within += meter.tenants[at].leases * meter.slack + meter.occupancy_max;
    }
    if charged.0.abs_diff(held) > within {
        return Err(Broken::Charged { tenant: *tenant, charged: charged.0, held, within });
    }
    Ok(())
}
