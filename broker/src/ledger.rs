//! What is pinned for whom.
//!
//! Promise: a charge is entered once, released once, and never takes a tenant over its limit or a device below what is
//! guaranteed to others. Limits and guarantees of device memory are per device, as a program sees one device at a time; what a
//! tenant pins on the host and its queues count together. What is used is always the sum of the charges that stand; a debug assertion recomputes it.
//!
//! Sessions of one tenant may share memory: each has a charge for it, and together these count once, until the last of them is released.

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
    /// Memory that sessions of its tenant may join, by the charge it was made for: whose that is.
    shared: BTreeMap<ChargeId, SessionId>,
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

    /// Lets other sessions of the tenant join the memory of a charge. What was joined is not offered again, and neither is what nobody else could use.
    pub fn share(&mut self, session: SessionId, id: ChargeId) -> Result<&Charge, Denied> {
        let no = |code| Denied { code, asked: id.0, limit: 0, used: 0 };
        let charge = self.charges.get(&(session, id)).ok_or(no(DenyCode::UnknownObject))?;
        let is_plain = matches!(charge.kind, ChargeKind::Vram | ChargeKind::Host | ChargeKind::Kernarg);
        if !is_plain || charge.memory != id {
            return Err(no(DenyCode::Unsupported));
        }
        let of_tenant = |(id, owner): &(&ChargeId, &SessionId)| {
            self.charges.get(&(**owner, **id)).is_some_and(|other| other.tenant == charge.tenant)
        };
        let (limit, used) = (SHARES_PER_TENANT_MAX as u64, self.shared.iter().filter(of_tenant).count() as u64);
        if used >= limit && !self.shared.contains_key(&id) {
            return Err(Denied { code: DenyCode::Objects, asked: 1, limit, used });
        }
        self.shared.insert(id, session);
        Ok(charge)
    }

    /// Enters a charge for memory that another session of the tenant on the same device offers. It counts together with the others for it.
    pub fn join(
        &mut self,
        device: u32,
        tenant: TenantName,
        session: SessionId,
        memory: ChargeId,
        bytes: Bytes,
    ) -> Result<(ChargeId, Charge), Denied> {
        let no = |code| Denied { code, asked: bytes.0, limit: 0, used: 0 };
        let owner = self.shared.get(&memory).and_then(|owner| self.charges.get(&(*owner, memory))).copied();
        // One answer for all that is not its own: a stranger learns nothing.
        let owner = owner.filter(|c| c.tenant == tenant && c.device == device).ok_or(no(DenyCode::UnknownObject))?;
        if bytes.round_up_to_page() != Some(owner.bytes) {
            return Err(no(DenyCode::Size));
        }
        self.check_room(session)?;
        let id = self.next_id();
        self.charges.insert((session, id), owner);
        *self.holders.entry(memory).or_insert(1) += 1;
        *self.sessions.entry(session).or_default() += 1;
        self.debug_check();
        Ok((id, owner))
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

    /// Whether sessions of its tenant may join this memory.
    pub fn is_shared(&self, memory: ChargeId) -> bool {
        self.shared.contains_key(&memory)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TenantConfig;

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
        let code = |answer: Result<(ChargeId, Charge), Denied>| answer.map(|_| ()).map_err(|denied| denied.code);
        assert_eq!(code(ledger.join(0, red, b, memory, bytes)), Err(DenyCode::UnknownObject), "it is not offered");
        assert_eq!(ledger.share(b, memory).unwrap_err().code, DenyCode::UnknownObject, "it is not its");
        assert!(ledger.share(a, memory).is_ok());
        assert_eq!(code(ledger.join(0, blue, c, memory, bytes)), Err(DenyCode::UnknownObject), "another tenant's");
        assert_eq!(code(ledger.join(1, red, b, memory, bytes)), Err(DenyCode::UnknownObject), "another device's");
        assert_eq!(code(ledger.join(0, red, b, memory, Bytes(PAGE))), Err(DenyCode::Size));
        let (joined, _) = ledger.join(0, red, b, memory, bytes).unwrap();
        let (again, _) = ledger.join(0, red, b, memory, bytes).unwrap();
        assert_eq!(ledger.usage(&red).vram, 40 * PAGE, "once, though it is more than half of the limit");
        assert_eq!(
            ledger.share(b, joined).unwrap_err().code,
            DenyCode::Unsupported,
            "what was joined is not passed on"
        );
        assert!(ledger.release(a, memory).is_some());
        assert!(!ledger.is_shared(memory), "who offered it has gone");
        assert_eq!(code(ledger.join(0, red, c, memory, bytes)), Err(DenyCode::UnknownObject));
        assert_eq!((ledger.usage(&red).vram, ledger.session_usage(b).vram), (40 * PAGE, 80 * PAGE));
        assert!(ledger.release(b, joined).is_some());
        assert_eq!(ledger.usage(&red).vram, 40 * PAGE);
        assert!(ledger.release(b, again).is_some());
        assert!(ledger.is_zero());
    }

    #[test]
    fn a_tenant_offers_so_much_and_no_more() {
        let (mut config, red, _) = world();
        config.devices[0].vram = Bytes(1 << 30);
        config.tenants[0].vram_limit = Bytes(1 << 30);
        let mut ledger = Ledger::default();
        let mut offer = |session| {
            let (id, _) = ledger.enter(&config, 0, red, SessionId(session), ChargeKind::Vram, Bytes(PAGE)).unwrap();
            ledger.share(SessionId(session), id).map(|_| ()).map_err(|denied| denied.code)
        };
        for k in 0..SHARES_PER_TENANT_MAX as u64 {
            assert_eq!(offer(k % 3), Ok(()));
        }
        assert_eq!(offer(4), Err(DenyCode::Objects));
    }

    #[test]
    fn queues_and_signals_are_not_shared() {
        let (config, red, _) = world();
        let mut ledger = Ledger::default();
        for kind in [ChargeKind::Queue, ChargeKind::Signals, ChargeKind::Code, ChargeKind::SaveArea] {
            let (id, _) = ledger.enter(&config, 0, red, SessionId(1), kind, Bytes(PAGE)).unwrap();
            assert_eq!(ledger.share(SessionId(1), id).unwrap_err().code, DenyCode::Unsupported, "{kind}");
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
