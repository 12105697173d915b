//! What is pinned for whom.
//!
//! Promise: a charge is entered once, released once, and never takes a tenant over its limit or a device below what is
//! guaranteed to others. Limits and guarantees of device memory are per device, as a program sees one device at a time; what a
//! tenant pins on the host and its queues count together. What is used is always the sum of the charges that stand; a debug assertion recomputes it.
//!
//! Sessions of one tenant may share memory: each has a charge for it, and together these count once, until the last of them is released. So may
//! sessions of another tenant that its owner has granted it to, while the administrator lets the one share with the other; it counts
//! against its owner for as long as anybody has it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proto::message::DenyCode;
use proto::message::worker::ChargeKind;
use proto::{Bytes, ChargeId, SessionId, TenantName};

use crate::config::Config;

/// Most charges of one session: everything the protocol lets it have.
pub const CHARGES_PER_SESSION_MAX: usize = proto::limits::BUFFERS_PER_SESSION_MAX
    + proto::limits::CODE_OBJECTS_PER_SESSION_MAX
    + proto::limits::QUEUES_PER_SESSION_MAX * 3
    + proto::limits::SIGNAL_POOLS_PER_SESSION_MAX;

/// Most memory objects that one tenant's sessions offer each other at a time: the daemon has a descriptor open for each.
pub const SHARES_PER_TENANT_MAX: usize = 256;

/// Most tenants that one memory object is granted to.
pub const GRANTS_PER_MEMORY_MAX: usize = 16;

/// Largest single charge; keeps every sum of a device's charges far from overflow.
const CHARGE_BYTES_MAX: u64 = 1 << 48;

/// What somebody uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Device memory in bytes.
    pub vram: u64,
    /// Pinned host memory in bytes.
    pub host: u64,
    /// Queues.
    pub queues: u32,
}

impl Usage {
    fn of(kind: ChargeKind, bytes: u64) -> Self {
        match kind {
            ChargeKind::Vram | ChargeKind::Code | ChargeKind::SaveArea | ChargeKind::Scratch => {
                Self { vram: bytes, ..Self::default() }
            }
            ChargeKind::Host | ChargeKind::Kernarg | ChargeKind::Signals => Self { host: bytes, ..Self::default() },
            ChargeKind::Queue => Self { host: bytes, queues: 1, vram: 0 },
        }
    }

    fn plus(self, more: Self) -> Self {
        Self { vram: self.vram + more.vram, host: self.host + more.host, queues: self.queues + more.queues }
    }

    fn minus(self, less: Self) -> Self {
        // PANIC: cannot fall below zero, `less` was added when its charge was entered.
        Self { vram: self.vram - less.vram, host: self.host - less.host, queues: self.queues - less.queues }
    }
}

/// One thing pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The tenant it counts against.
    pub tenant: TenantName,
    /// What it is.
    pub kind: ChargeKind,
    /// Its size in whole pages.
    pub bytes: Bytes,
    /// The device whose memory it is in, if it is in a device's.
    pub device: u32,
    /// The charge that this memory was made for: itself, unless it was joined.
    pub memory: ChargeId,
}

/// A right to memory of another tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who gets it.
    pub tenant: TenantName,
    /// Whether it may write.
    pub write: bool,
}

/// Who may join memory.
#[derive(Clone, Debug)]
struct Offer {
    /// The session that has made it, and offers it.
    owner: SessionId,
    /// Whether other sessions of its tenant may.
    own: bool,
    grants: Vec<Grant>,
}

/// A charge for memory that was joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The new charge.
    pub id: ChargeId,
    /// Its size.
    pub bytes: Bytes,
    /// Whether its holder may write.
    pub write: bool,
    /// Whom it counts against.
    pub owner: TenantName,
}

/// Why a charge is not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Which limit.
    pub code: DenyCode,
    /// What was asked for.
    pub asked: u64,
    /// The limit.
    pub limit: u64,
    /// What of it is in use.
    pub used: u64,
}

impl Denied {
    /// What a session that is ending gets for whatever it asks.
    pub(crate) fn ending(asked: u64) -> Self {
        Self { code: DenyCode::Ending, asked, limit: 0, used: 0 }
    }
}

/// All charges of a broker.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    charges: BTreeMap<(SessionId, ChargeId), Charge>,
    tenants: BTreeMap<TenantName, Usage>,
    /// How many charges a session has.
    sessions: BTreeMap<SessionId, usize>,
    /// What tenants use of each device.
    devices: BTreeMap<(u32, TenantName), Usage>,
    device_totals: BTreeMap<u32, Usage>,
    /// Memory that others may join, by the charge it was made for.
    shared: BTreeMap<ChargeId, Offer>,
    /// How many charges memory has that was joined.
    holders: BTreeMap<ChargeId, usize>,
    all: Usage,
    last: u64,
}

impl Ledger {
    /// Enters a charge, if the limits in `config` allow it.
    pub fn enter(
        &mut self,
        config: &Config,
        device: u32,
        tenant: TenantName,
        session: SessionId,
        kind: ChargeKind,
        bytes: Bytes,
    ) -> Result<(ChargeId, Bytes), Denied> {
        let asked = bytes.0;
        let size = Denied { code: DenyCode::Size, asked, limit: CHARGE_BYTES_MAX, used: 0 };
        let bytes = bytes.round_up_to_page().filter(|b| b.0 > 0 && b.0 <= CHARGE_BYTES_MAX).ok_or(size)?;
        self.check_room(session)?;
        let more = Usage::of(kind, bytes.0);
        self.check(config, device, &tenant, more)?;
        let id = self.next_id();
        self.charges.insert((session, id), Charge { tenant, kind, bytes, device, memory: id });
        let usage = self.tenants.entry(tenant).or_default();
        *usage = usage.plus(more);
        *self.sessions.entry(session).or_default() += 1;
        for on in [self.devices.entry((device, tenant)).or_default(), self.device_totals.entry(device).or_default()] {
            *on = on.plus(more);
        }
        self.all = self.all.plus(more);
        self.debug_check();
        Ok((id, bytes))
    }

    fn next_id(&mut self) -> ChargeId {
        self.last += 1;
        ChargeId(self.last)
    }

    fn check_room(&self, session: SessionId) -> Result<(), Denied> {
        let held = self.sessions.get(&session).copied().unwrap_or(0);
        let (limit, used) = (CHARGES_PER_SESSION_MAX as u64, held as u64);
        if used < limit { Ok(()) } else { Err(Denied { code: DenyCode::Objects, asked: 1, limit, used }) }
    }

    /// Lets other sessions of the tenant, or those of a tenant that it is granted to, join the memory of a charge. What was joined is not offered
    /// again, and neither is what nobody else could use.
    pub fn share(
        &mut self,
        config: &Config,
        session: SessionId,
        id: ChargeId,
        to: Option<Grant>,
    ) -> Result<Charge, Denied> {
        let no = |code| Denied { code, asked: id.0, limit: 0, used: 0 };
        let charge = *self.charges.get(&(session, id)).ok_or(no(DenyCode::UnknownObject))?;
        let is_plain =
            matches!(charge.kind, ChargeKind::Vram | ChargeKind::Host | ChargeKind::Kernarg | ChargeKind::Signals);
        if !is_plain || charge.memory != id {
            return Err(no(DenyCode::Unsupported));
        }
        // Who owns a signal says where its completion is told, in the address space of whoever uses it.
        if to.is_some() && charge.kind == ChargeKind::Signals {
            return Err(no(DenyCode::Unsupported));
        }
        if to.is_some_and(|grant| !may_share(config, &charge.tenant, &grant.tenant, grant.write)) {
            return Err(no(DenyCode::NotAllowed));
        }
        if !self.shared.contains_key(&id) {
            let of_tenant = |(id, offer): &(&ChargeId, &Offer)| {
                self.charges.get(&(offer.owner, **id)).is_some_and(|other| other.tenant == charge.tenant)
            };
            let (limit, used) = (SHARES_PER_TENANT_MAX as u64, self.shared.iter().filter(of_tenant).count() as u64);
            if used >= limit {
                return Err(Denied { code: DenyCode::Objects, asked: 1, limit, used });
            }
        }
        let offer = self.shared.entry(id).or_insert(Offer { owner: session, own: false, grants: Vec::new() });
        let Some(grant) = to else {
            offer.own = true;
            return Ok(charge);
        };
        let limit = GRANTS_PER_MEMORY_MAX as u64;
        match offer.grants.iter().position(|had| had.tenant == grant.tenant) {
            Some(at) => offer.grants[at] = grant,
            None if offer.grants.len() < GRANTS_PER_MEMORY_MAX => offer.grants.push(grant),
            None => return Err(Denied { code: DenyCode::Objects, asked: 1, limit, used: limit }),
        }
        Ok(charge)
    }

    /// Offers memory of a session to its own tenant no more. Returns whether nobody may join it any more.
    pub fn withdraw(&mut self, session: SessionId, id: ChargeId) -> bool {
        let Some(offer) = self.shared.get_mut(&id).filter(|offer| offer.owner == session) else { return false };
        offer.own = false;
        let over = offer.grants.is_empty();
        if over {
            self.shared.remove(&id);
        }
        over
    }

    /// Returns whether a tenant may join memory and write to it (true), or only read (false); `None` if it may not.
    fn right(&self, config: &Config, tenant: &TenantName, memory: ChargeId) -> Option<(Charge, bool)> {
        let offer = self.shared.get(&memory)?;
        let owner = *self.charges.get(&(offer.owner, memory))?;
        if owner.tenant == *tenant {
            return offer.own.then_some((owner, true));
        }
        let grant = offer.grants.iter().find(|grant| grant.tenant == *tenant)?;
        // What the administrator has taken back since the grant is gone.
        let allowed = |write| may_share(config, &owner.tenant, tenant, write);
        allowed(false).then(|| (owner, grant.write && allowed(true)))
    }

    /// Enters a charge for memory that another session offers: of the same tenant, or the host's, or of the same device. It counts together with
    /// the others for it, on the device that it is in.
    pub fn join(
        &mut self,
        config: &Config,
        device: u32,
        tenant: TenantName,
        session: SessionId,
        memory: ChargeId,
        bytes: Bytes,
    ) -> Result<Joined, Denied> {
        let no = |code| Denied { code, asked: bytes.0, limit: 0, used: 0 };
        // One answer for all that it has no right to: a stranger learns nothing.
        let reaches = |c: &Charge| c.tenant == tenant || c.device == device || Usage::of(c.kind, 1).vram == 0;
        let found = self.right(config, &tenant, memory).filter(|(owner, _)| reaches(owner));
        let (owner, write) = found.ok_or(no(DenyCode::UnknownObject))?;
        if bytes.round_up_to_page() != Some(owner.bytes) {
            return Err(no(DenyCode::Size));
        }
        self.check_room(session)?;
        let id = self.next_id();
        self.charges.insert((session, id), owner);
        *self.holders.entry(memory).or_insert(1) += 1;
        *self.sessions.entry(session).or_default() += 1;
        self.debug_check();
        Ok(Joined { id, bytes: owner.bytes, write, owner: owner.tenant })
    }

    /// Takes one charge of memory away; returns whether others have it still.
    fn leave(&mut self, memory: ChargeId) -> bool {
        let Some(count) = self.holders.get_mut(&memory) else { return false };
        *count -= 1;
        if *count == 1 {
            // The last one is a charge like any other.
            self.holders.remove(&memory);
        }
        true
    }

    fn check(&self, config: &Config, device: u32, tenant: &TenantName, more: Usage) -> Result<(), Denied> {
        let used = self.usage(tenant);
        // A tenant that was removed while a session of it ends may have nothing more.
        let (vram, host, queues) =
            config.tenant(tenant).map_or((0, 0, 0), |t| (t.vram_limit.0, t.host_limit.0, t.queues));
        for (code, asked, limit, used) in [
            (DenyCode::Vram, more.vram, vram, self.usage_on(device, tenant).vram),
            (DenyCode::HostMemory, more.host, host, used.host),
            (DenyCode::Queues, u64::from(more.queues), u64::from(queues), u64::from(used.queues)),
        ] {
            if asked > 0 && used.saturating_add(asked) > limit {
                return Err(Denied { code, asked, limit, used });
            }
        }
        if more.vram == 0 {
            return Ok(());
        }
        // What others have been promised and do not use yet is not there to be had.
        let promised: u64 = config
            .tenants
            .iter()
            .filter(|t| t.vram_guarantee.0 > 0 && t.name != *tenant)
            .map(|t| t.vram_guarantee.0.saturating_sub(self.usage_on(device, &t.name).vram))
            .sum();
        let vram = config.devices.get(device as usize).map_or(0, |device| device.vram.0);
        let (limit, used) = (vram.saturating_sub(promised), self.total_on(device).vram);
        if used.saturating_add(more.vram) > limit {
            return Err(Denied { code: DenyCode::Vram, asked: more.vram, limit, used });
        }
        Ok(())
    }

    /// Releases a charge of this session; `None` if it has no such charge (any more).
    pub fn release(&mut self, session: SessionId, id: ChargeId) -> Option<Charge> {
        let charge = self.charges.remove(&(session, id))?;
        self.shared.remove(&id);
        let less = if self.leave(charge.memory) { Usage::default() } else { Usage::of(charge.kind, charge.bytes.0) };
        if let Some(usage) = self.tenants.get_mut(&charge.tenant) {
            *usage = usage.minus(less);
        }
        self.all = self.all.minus(less);
        let on = self.devices.get_mut(&(charge.device, charge.tenant)).into_iter();
        for on in on.chain(self.device_totals.get_mut(&charge.device)) {
            *on = on.minus(less);
        }
        if let Some(count) = self.sessions.get_mut(&session) {
            *count -= 1;
            if *count == 0 {
                self.sessions.remove(&session);
            }
        }
        self.debug_check();
        Some(charge)
    }

    /// Releases everything a session still has; returns how many charges and bytes that were.
    pub fn release_session(&mut self, session: SessionId) -> (usize, Bytes) {
        let ids: Vec<ChargeId> = self.of_session(session).map(|(id, _)| id).collect();
        let bytes = ids.iter().filter_map(|&id| self.release(session, id)).map(|c| c.bytes.0).sum();
        (ids.len(), Bytes(bytes))
    }

    /// Whether anybody may join this memory.
    pub fn is_shared(&self, memory: ChargeId) -> bool {
        self.shared.contains_key(&memory)
    }

    /// Whether several have this memory.
    pub fn is_joined(&self, memory: ChargeId) -> bool {
        self.holders.contains_key(&memory)
    }

    /// Returns a session's charges.
    pub fn of_session(&self, session: SessionId) -> impl Iterator<Item = (ChargeId, &Charge)> {
        self.charges.range((session, ChargeId(0))..=(session, ChargeId(u64::MAX))).map(|((_, id), c)| (*id, c))
    }

    /// Returns what a tenant uses.
    pub fn usage(&self, tenant: &TenantName) -> Usage {
        self.tenants.get(tenant).copied().unwrap_or_default()
    }

    /// Returns what a tenant uses of a device, and on its account.
    pub fn usage_on(&self, device: u32, tenant: &TenantName) -> Usage {
        self.devices.get(&(device, *tenant)).copied().unwrap_or_default()
    }

    /// Returns what everybody uses of a device, and on its account.
    pub fn total_on(&self, device: u32) -> Usage {
        self.device_totals.get(&device).copied().unwrap_or_default()
    }

    /// Returns what one session uses.
    pub fn session_usage(&self, session: SessionId) -> Usage {
        self.of_session(session).fold(Usage::default(), |sum, (_, c)| sum.plus(Usage::of(c.kind, c.bytes.0)))
    }

    /// Returns what everybody uses.
    pub fn total(&self) -> Usage {
        self.all
    }

    /// Returns whether nothing at all is pinned.
    pub fn is_zero(&self) -> bool {
        self.charges.is_empty() && self.all == Usage::default()
    }

    /// Forgets a tenant that uses nothing.
    pub(crate) fn forget(&mut self, tenant: &TenantName) {
        if self.usage(tenant) == Usage::default() {
            self.tenants.remove(tenant);
            self.devices.retain(|(_, name), _| name != tenant);
        }
    }

    /// Takes back what was granted to a tenant that is no more: another one of its name gets nothing of it.
    pub(crate) fn withdraw_grants(&mut self, tenant: &TenantName) {
        for offer in self.shared.values_mut() {
            offer.grants.retain(|grant| grant.tenant != *tenant);
        }
    }

    /// Recomputes the sums; in release builds nothing.
    fn debug_check(&self) {
        debug_assert_eq!(
            {
                let once: BTreeMap<ChargeId, &Charge> = self.charges.values().map(|c| (c.memory, c)).collect();
                once.values().fold(Usage::default(), |sum, c| sum.plus(Usage::of(c.kind, c.bytes.0)))
            },
            self.all
        );
        debug_assert_eq!(self.devices.values().fold(Usage::default(), |sum, u| sum.plus(*u)), self.all);
        debug_assert_eq!(self.tenants.values().fold(Usage::default(), |sum, u| sum.plus(*u)), self.all);
    }
}

/// Whether the administrator lets a tenant share with another.
fn may_share(config: &Config, owner: &TenantName, with: &TenantName, write: bool) -> bool {
    config.tenant(owner).is_some_and(|tenant| tenant.may_share(with, write))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ShareRule, TenantConfig};

    const PAGE: u64 = 4096;

    fn world() -> (Config, TenantName, TenantName) {
        let (red, blue) = (TenantName::new("red").unwrap(), TenantName::new("blue").unwrap());
        let mut config = Config::built_in(Bytes(100 * PAGE));
        let limits = |name| TenantConfig {
            vram_limit: Bytes(60 * PAGE),
            host_limit: Bytes(10 * PAGE),
            queues: 2,
            ..TenantConfig::modest(name)
        };
        config.tenants = alloc::vec![limits(red), TenantConfig { vram_guarantee: Bytes(50 * PAGE), ..limits(blue) }];
        (config, red, blue)
    }

    #[test]
    fn limits_and_guarantees_hold() {
        let (config, red, blue) = world();
        let mut ledger = Ledger::default();
        let s = SessionId(1);
        let denied = |code, asked, limit, used| Err(Denied { code, asked, limit, used });
        let mut enter = |tenant, kind, bytes| ledger.enter(&config, 0, tenant, s, kind, Bytes(bytes)).map(|(_, b)| b.0);
        assert_eq!(enter(red, ChargeKind::Vram, 0), denied(DenyCode::Size, 0, 1 << 48, 0));
        assert_eq!(enter(red, ChargeKind::Vram, u64::MAX), denied(DenyCode::Size, u64::MAX, 1 << 48, 0));
        assert_eq!(enter(red, ChargeKind::Vram, 40 * PAGE - 1), Ok(40 * PAGE));
        // 20 pages are left of the limit, but only 10 of the device, as blue's 50 are kept.
        assert_eq!(enter(red, ChargeKind::Code, 11 * PAGE), denied(DenyCode::Vram, 11 * PAGE, 50 * PAGE, 40 * PAGE));
        assert_eq!(enter(red, ChargeKind::Vram, 21 * PAGE), denied(DenyCode::Vram, 21 * PAGE, 60 * PAGE, 40 * PAGE));
        assert_eq!(enter(red, ChargeKind::SaveArea, 10 * PAGE), Ok(10 * PAGE));
        assert_eq!(enter(blue, ChargeKind::Vram, 50 * PAGE), Ok(50 * PAGE));
        assert_eq!(enter(red, ChargeKind::Queue, 2 * PAGE), Ok(2 * PAGE));
        assert_eq!(enter(red, ChargeKind::Queue, 2 * PAGE), Ok(2 * PAGE));
        assert_eq!(enter(red, ChargeKind::Queue, 2 * PAGE), denied(DenyCode::Queues, 1, 2, 2));
        assert_eq!(enter(red, ChargeKind::Host, 7 * PAGE), denied(DenyCode::HostMemory, 7 * PAGE, 10 * PAGE, 4 * PAGE));
    }

    #[test]
    fn devices_have_memory_of_their_own_and_the_host_has_one() {
        let (mut config, red, _) = world();
        config.devices.push(crate::config::DeviceConfig::whole(Bytes(100 * PAGE)));
        let mut ledger = Ledger::default();
        let s = SessionId(1);
        let mut enter = |device, kind, pages| ledger.enter(&config, device, red, s, kind, Bytes(pages * PAGE)).is_ok();
        assert!(enter(0, ChargeKind::Vram, 50) && enter(1, ChargeKind::Vram, 50), "each device has a limit");
        assert!(!enter(0, ChargeKind::Vram, 1) && !enter(1, ChargeKind::Vram, 1), "and what is kept for others");
        assert!(enter(0, ChargeKind::Host, 6) && !enter(1, ChargeKind::Host, 6), "the host is one");
        assert!(!enter(7, ChargeKind::Vram, 1), "a device that is not there has nothing");
        assert_eq!((ledger.usage(&red).vram, ledger.usage_on(1, &red).vram), (100 * PAGE, 50 * PAGE));
        ledger.release_session(s);
        assert_eq!(ledger.total_on(1), Usage::default());
    }

    #[test]
    fn a_charge_is_released_once() {
        let (config, red, _) = world();
        let mut ledger = Ledger::default();
        let (a, b) = (SessionId(1), SessionId(2));
        let (id, _) = ledger.enter(&config, 0, red, a, ChargeKind::Vram, Bytes(PAGE)).unwrap();
        assert_eq!(ledger.release(b, id), None, "another session's charge");
        assert!(ledger.release(a, id).is_some());
        assert_eq!(ledger.release(a, id), None);
        assert!(ledger.is_zero());
    }

    #[test]
    fn shared_memory_counts_once_until_the_last_one_has_left() {
        let (config, red, blue) = world();
        let mut ledger = Ledger::default();
        let (a, b, c) = (SessionId(1), SessionId(2), SessionId(3));
        let (memory, bytes) = ledger.enter(&config, 0, red, a, ChargeKind::Vram, Bytes(40 * PAGE)).unwrap();
        let code = |answer: Result<Joined, Denied>| answer.map(|_| ()).map_err(|denied| denied.code);
        assert_eq!(
            code(ledger.join(&config, 0, red, b, memory, bytes)),
            Err(DenyCode::UnknownObject),
            "it is not offered"
        );
        assert_eq!(ledger.share(&config, b, memory, None).unwrap_err().code, DenyCode::UnknownObject, "it is not its");
        assert!(ledger.share(&config, a, memory, None).is_ok());
        assert_eq!(
            code(ledger.join(&config, 0, blue, c, memory, bytes)),
            Err(DenyCode::UnknownObject),
            "another tenant's"
        );
        assert_eq!(code(ledger.join(&config, 0, red, b, memory, Bytes(PAGE))), Err(DenyCode::Size));
        let joined = ledger.join(&config, 0, red, b, memory, bytes).unwrap().id;
        let again = ledger.join(&config, 0, red, b, memory, bytes).unwrap().id;
        assert_eq!(ledger.usage(&red).vram, 40 * PAGE, "once, though it is more than half of the limit");
        assert_eq!(
            ledger.share(&config, b, joined, None).unwrap_err().code,
            DenyCode::Unsupported,
            "what was joined is not passed on"
        );
        assert!(ledger.release(a, memory).is_some());
        assert!(!ledger.is_shared(memory), "who offered it has gone");
        assert_eq!(code(ledger.join(&config, 0, red, c, memory, bytes)), Err(DenyCode::UnknownObject));
        assert_eq!((ledger.usage(&red).vram, ledger.session_usage(b).vram), (40 * PAGE, 80 * PAGE));
        assert!(ledger.release(b, joined).is_some());
        assert_eq!(ledger.usage(&red).vram, 40 * PAGE);
        assert!(ledger.release(b, again).is_some());
        assert!(ledger.is_zero());
    }

    #[test]
    fn nothing_crosses_without_a_grant_that_the_administrator_allows() {
        let (mut config, red, blue) = world();
        let mut ledger = Ledger::default();
        let (maker, user) = (SessionId(1), SessionId(2));
        let (memory, bytes) = ledger.enter(&config, 0, red, maker, ChargeKind::Vram, Bytes(40 * PAGE)).unwrap();
        let to_blue = |write| Some(Grant { tenant: blue, write });
        let no = |code| Err(code);
        let share = |ledger: &mut Ledger, config: &Config, to| {
            ledger.share(config, maker, memory, to).map(|_| ()).map_err(|denied| denied.code)
        };
        let join = |ledger: &mut Ledger, config: &Config| {
            ledger.join(config, 0, blue, user, memory, bytes).map_err(|denied| denied.code)
        };
        assert_eq!(share(&mut ledger, &config, to_blue(false)), no(DenyCode::NotAllowed));
        assert!(!ledger.is_shared(memory));
        config.tenants[0].shares = alloc::vec![ShareRule { with: blue, write: false }];
        assert_eq!(join(&mut ledger, &config), Err(DenyCode::UnknownObject), "allowed, and not granted");
        assert_eq!(share(&mut ledger, &config, None), Ok(()));
        assert_eq!(join(&mut ledger, &config), Err(DenyCode::UnknownObject), "what is the tenant's own is not granted");
        assert_eq!(share(&mut ledger, &config, to_blue(true)), no(DenyCode::NotAllowed), "to read is not to write");
        assert_eq!(share(&mut ledger, &config, to_blue(false)), Ok(()));
        let joined = join(&mut ledger, &config).unwrap();
        assert_eq!((joined.write, joined.owner), (false, red));
        assert_eq!((ledger.usage(&red).vram, ledger.usage(&blue).vram), (40 * PAGE, 0), "its owner's, once");

        config.tenants[0].shares[0].write = true;
        assert_eq!(join(&mut ledger, &config).map(|joined| joined.write), Ok(false), "no more than was granted");
        assert_eq!(share(&mut ledger, &config, to_blue(true)), Ok(()));
        assert_eq!(join(&mut ledger, &config).map(|joined| joined.write), Ok(true));
        config.tenants[0].shares[0].write = false;
        assert_eq!(join(&mut ledger, &config).map(|joined| joined.write), Ok(false), "no more than is allowed by now");
        config.tenants[0].shares.clear();
        assert_eq!(join(&mut ledger, &config), Err(DenyCode::UnknownObject), "taken back");

        assert_eq!(
            ledger.share(&config, user, joined.id, None).unwrap_err().code,
            DenyCode::Unsupported,
            "what was granted is not passed on"
        );
        config.tenants[0].shares = alloc::vec![ShareRule { with: blue, write: true }];
        assert!(join(&mut ledger, &config).is_ok(), "the grant stands");
        ledger.withdraw_grants(&blue);
        assert_eq!(join(&mut ledger, &config), Err(DenyCode::UnknownObject), "another blue was granted nothing");
        let (signals, _) = ledger.enter(&config, 0, red, maker, ChargeKind::Signals, Bytes(PAGE)).unwrap();
        assert_eq!(
            ledger.share(&config, maker, signals, to_blue(true)).unwrap_err().code,
            DenyCode::Unsupported,
            "a signal's owner says where its user's completions are told"
        );

        ledger.release_session(maker);
        assert_eq!(ledger.usage(&red).vram, 40 * PAGE, "for as long as anybody has it");
        ledger.release_session(user);
        assert!(ledger.is_zero());
    }

    #[test]
    fn memory_is_granted_to_so_many_and_no_more() {
        let (mut config, red, _) = world();
        let name = |n: usize| TenantName::new(&alloc::format!("other-{n}")).unwrap();
        let all = 0..=GRANTS_PER_MEMORY_MAX;
        config.tenants[0].shares = all.clone().map(|n| ShareRule { with: name(n), write: true }).collect();
        let mut ledger = Ledger::default();
        let (memory, _) = ledger.enter(&config, 0, red, SessionId(1), ChargeKind::Host, Bytes(PAGE)).unwrap();
        let mut granted = |n| {
            let to = Some(Grant { tenant: name(n), write: true });
            ledger.share(&config, SessionId(1), memory, to).map(|_| ()).map_err(|denied| denied.code)
        };
        let answers: Vec<_> = all.map(&mut granted).collect();
        assert!(answers[..GRANTS_PER_MEMORY_MAX].iter().all(Result::is_ok));
        assert_eq!(answers[GRANTS_PER_MEMORY_MAX], Err(DenyCode::Objects));
        assert_eq!(granted(0), Ok(()), "once more to the same");
    }

    #[test]
    fn memory_is_shared_across_devices_and_a_devices_only_inside_its_tenant() {
        let (mut config, red, blue) = world();
        config.tenants[0].shares = alloc::vec![ShareRule { with: blue, write: true }];
        config.devices.push(config.devices[0].clone());
        let mut ledger = Ledger::default();
        let (maker, user) = (SessionId(1), SessionId(2));
        let mut joined = |kind, by, to: Option<Grant>| {
            let (id, bytes) = ledger.enter(&config, 0, red, maker, kind, Bytes(PAGE)).unwrap();
            ledger.share(&config, maker, id, to).unwrap();
            ledger.join(&config, 1, by, user, id, bytes).map(|_| ()).map_err(|denied| denied.code)
        };
        for kind in [ChargeKind::Host, ChargeKind::Kernarg, ChargeKind::Signals, ChargeKind::Vram] {
            assert_eq!(joined(kind, red, None), Ok(()), "{kind}");
        }
        let grant = Some(Grant { tenant: blue, write: true });
        assert_eq!(joined(ChargeKind::Host, blue, grant), Ok(()));
        assert_eq!(joined(ChargeKind::Vram, blue, grant), Err(DenyCode::UnknownObject), "another tenant's");
        let used = |ledger: &Ledger| [0, 1].map(|device| ledger.usage_on(device, &red));
        let (all, none) = (Usage { host: 4 * PAGE, vram: 2 * PAGE, queues: 0 }, Usage::default());
        assert_eq!(used(&ledger), [all, none], "once, where it was made");
        ledger.release_session(maker);
        assert_eq!(used(&ledger), [Usage { vram: PAGE, ..all }, none]);
        ledger.release_session(user);
        assert!(ledger.is_zero());
    }

    #[test]
    fn what_is_offered_no_more_stays_with_who_has_it() {
        let (mut config, red, blue) = world();
        config.tenants[0].shares = alloc::vec![ShareRule { with: blue, write: false }];
        let mut ledger = Ledger::default();
        let (maker, user, other) = (SessionId(1), SessionId(2), SessionId(3));
        let (id, bytes) = ledger.enter(&config, 0, red, maker, ChargeKind::Host, Bytes(PAGE)).unwrap();
        assert!(!ledger.withdraw(maker, id), "it is not offered");
        ledger.share(&config, maker, id, None).unwrap();
        assert!(!ledger.withdraw(user, id) && ledger.is_shared(id), "another session's");
        let joined = ledger.join(&config, 1, red, user, id, bytes).unwrap().id;
        assert!(ledger.withdraw(maker, id) && !ledger.is_shared(id) && ledger.is_joined(id));
        assert!(ledger.join(&config, 0, red, other, id, bytes).is_err());
        ledger.release(maker, id).unwrap();
        assert_eq!(ledger.usage(&red).host, PAGE, "its user has it still");
        ledger.release(user, joined).unwrap();
        assert!(ledger.is_zero() && !ledger.is_joined(id));
        // A grant to another tenant stands.
        let (id, bytes) = ledger.enter(&config, 0, red, maker, ChargeKind::Host, Bytes(PAGE)).unwrap();
        ledger.share(&config, maker, id, None).unwrap();
        ledger.share(&config, maker, id, Some(Grant { tenant: blue, write: false })).unwrap();
        assert!(!ledger.withdraw(maker, id) && ledger.is_shared(id));
        assert!(ledger.join(&config, 0, red, user, id, bytes).is_err());
        assert!(ledger.join(&config, 0, blue, other, id, bytes).is_ok());
    }

    #[test]
    fn a_tenant_offers_so_much_and_no_more() {
        let (mut config, red, _) = world();
        config.devices[0].vram = Bytes(1 << 30);
        config.tenants[0].vram_limit = Bytes(1 << 30);
        let mut ledger = Ledger::default();
        let mut offer = |session| {
            let (id, _) = ledger.enter(&config, 0, red, SessionId(session), ChargeKind::Vram, Bytes(PAGE)).unwrap();
            ledger.share(&config, SessionId(session), id, None).map(|_| ()).map_err(|denied| denied.code)
        };
        for k in 0..SHARES_PER_TENANT_MAX as u64 {
            assert_eq!(offer(k % 3), Ok(()));
        }
        assert_eq!(offer(4), Err(DenyCode::Objects));
    }

    #[test]
    fn queues_and_code_are_not_shared() {
        let (config, red, _) = world();
        let mut ledger = Ledger::default();
        for kind in [ChargeKind::Queue, ChargeKind::Code, ChargeKind::SaveArea] {
            let (id, _) = ledger.enter(&config, 0, red, SessionId(1), kind, Bytes(PAGE)).unwrap();
            assert_eq!(
                ledger.share(&config, SessionId(1), id, None).unwrap_err().code,
                DenyCode::Unsupported,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_session_leaves_nothing_behind() {
        let (config, red, _) = world();
        let mut ledger = Ledger::default();
        for s in [1, 2, 1, 1] {
            ledger.enter(&config, 0, red, SessionId(s), ChargeKind::Vram, Bytes(PAGE)).unwrap();
        }
        assert_eq!((ledger.session_usage(SessionId(1)).vram, ledger.usage(&red).vram), (3 * PAGE, 4 * PAGE));
        assert_eq!(ledger.release_session(SessionId(1)), (3, Bytes(3 * PAGE)));
        assert_eq!(ledger.usage(&red).vram, PAGE);
        assert_eq!(ledger.release_session(SessionId(1)), (0, Bytes(0)));
    }
}
