//! Counts on its own what sessions there are and what is pinned for them, and compares with the broker after every input.
//!
//! It sees what the world sees: inputs as they were sent and actions as they arrived. So it does not share a mistake of the
//! broker, nor one that a dishonest [line](mod@crate::line) makes.

use std::collections::BTreeMap;

use broker::{Action, Broker, Event, Input, Usage};
use proto::message::worker::ChargeKind;
use proto::message::{DenyCode, EndReason, WorkerOrder, WorkerReport};
use proto::{ChargeId, RequestId, SessionId, TenantName};

use crate::broken::Broken;

/// Device memory, host memory, queues.
type Sum = (u64, u64, u64);

#[derive(Debug)]
struct Entry {
    tenant: TenantName,
    charges: BTreeMap<ChargeId, Sum>,
    asked: BTreeMap<RequestId, ChargeKind>,
    /// Why it may end. `None`: its worker misbehaves, so for whatever reason.
    causes: Option<Vec<EndReason>>,
    released: bool,
    ended: bool,
}

/// What tenants were granted and denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) granted: u64,
    pub(crate) denied: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Books {
    sessions: BTreeMap<SessionId, Entry>,
    tenants: BTreeMap<TenantName, Sum>,
    all: Sum,
    pub(crate) answers: BTreeMap<TenantName, Answers>,
}

fn sum_of(kind: ChargeKind, bytes: u64) -> Sum {
    match kind {
        ChargeKind::Vram | ChargeKind::Code | ChargeKind::SaveArea | ChargeKind::Scratch => (bytes, 0, 0),
        ChargeKind::Host | ChargeKind::Kernarg | ChargeKind::Signals => (0, bytes, 0),
        ChargeKind::Queue => (0, bytes, 1),
    }
}

fn booked(usage: Usage) -> Sum {
    (usage.vram, usage.host, u64::from(usage.queues))
}

impl Books {
    /// Returns how many sessions there have been.
    pub(crate) fn admitted(&self) -> u64 {
        self.sessions.len() as u64
    }

    /// Says that a session may end for this reason from now on.
    pub(crate) fn cause(&mut self, session: SessionId, reason: EndReason) {
        if let Some(Entry { causes: Some(causes), .. }) = self.sessions.get_mut(&session) {
            causes.push(reason);
        }
    }

    /// Says that all sessions, or those of a tenant, may end for this reason from now on.
    pub(crate) fn cause_all(&mut self, reason: EndReason, of: Option<&TenantName>) {
        for entry in self.sessions.values_mut().filter(|e| !e.ended && of.is_none_or(|t| e.tenant == *t)) {
            entry.causes.iter_mut().for_each(|causes| causes.push(reason));
        }
    }

    /// Says that a session misbehaves, so that it may end for any reason.
    pub(crate) fn any_cause(&mut self, session: SessionId) {
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.causes = None;
        }
    }

    /// Takes note of an input before it is sent.
    pub(crate) fn note_input(&mut self, input: &Input) {
        match input {
            Input::WorkerSaid { session, request, report: Ok(report) } => match report {
                WorkerReport::ChargeRequest(wanted) => {
                    if let Some(entry) = self.sessions.get_mut(session) {
                        entry.asked.insert(*request, wanted.kind);
                    }
                }
                WorkerReport::ReleaseCharge(released) => self.release(*session, released.charge),
                _ => {}
            },
            Input::MemoryCreated { session, charge, created: false } => self.release(*session, *charge),
            _ => {}
        }
    }

    /// Takes note of an action before it is carried out.
    pub(crate) fn note_action(&mut self, action: &Action, broker: &Broker) -> Result<(), Broken> {
        match action {
            // Where a session runs costs nobody anything, and neither does what its tenant's other sessions may join.
            Action::MoveSession { .. } | Action::ForgetMemory { .. } => Ok(()),
            Action::KeepMemory { session, .. } | Action::PassMemory { session, .. } => {
                self.alive(*session, action).map(|_| ())
            }
            Action::SpawnWorker { session, tenant, .. } => self.begin(*session, *tenant),
            Action::CreateMemory { session, request, charge, bytes } => {
                self.enter(*session, *request, *charge, bytes.0, broker)
            }
            Action::Order { session, request, order } => {
                let tenant = self.alive(*session, action)?.tenant;
                match order {
                    WorkerOrder::ChargeNoted(noted) => {
                        self.enter(*session, *request, noted.charge, noted.bytes.0, broker)
                    }
                    WorkerOrder::ChargeDenied(denied) => self.deny(tenant, denied.code, denied.asked, broker),
                    _ => Ok(()),
                }
            }
            Action::ReleaseSession { session } => {
                let entry = self.alive(*session, action)?;
                entry.released = true;
                for charge in entry.charges.keys().copied().collect::<Vec<_>>() {
                    self.release(*session, charge);
                }
                Ok(())
            }
            Action::Emit(Event::Ended { session, reason, .. }) => {
                let entry = self.sessions.get_mut(session).ok_or(Broken::Gone(*session, "Ended".into()))?;
                if std::mem::replace(&mut entry.ended, true) || !entry.released {
                    return Err(Broken::EndedTwice(*session));
                }
                match &entry.causes {
                    Some(causes) if !causes.contains(reason) => Err(Broken::Reason(*session, *reason)),
                    _ => Ok(()),
                }
            }
            Action::GrantLease { session, .. }
            | Action::RenewLease { session, .. }
            | Action::TakeParked { session, .. }
            | Action::RequestPreempt { session, .. }
            | Action::LookAtGate { session }
            | Action::KillWorker { session }
            | Action::EndTenant { session, .. } => self.alive(*session, action).map(|_| ()),
            Action::Refuse { .. } | Action::TellDevices { .. } | Action::Reply { .. } | Action::Emit(_) => Ok(()),
        }
    }

    fn alive(&mut self, session: SessionId, action: &Action) -> Result<&mut Entry, Broken> {
        match self.sessions.get_mut(&session) {
            Some(entry) if !entry.released => Ok(entry),
            _ => Err(Broken::Gone(session, format!("{action:?}"))),
        }
    }

    fn begin(&mut self, session: SessionId, tenant: TenantName) -> Result<(), Broken> {
        let entry = Entry {
            tenant,
            charges: BTreeMap::new(),
            asked: BTreeMap::new(),
            causes: Some(Vec::new()),
            released: false,
            ended: false,
        };
        match self.sessions.insert(session, entry) {
            Some(_) => Err(Broken::EndedTwice(session)),
            None => Ok(()),
        }
    }

    fn enter(
        &mut self,
        session: SessionId,
        request: RequestId,
        charge: ChargeId,
        bytes: u64,
        broker: &Broker,
    ) -> Result<(), Broken> {
        let Some(entry) = self.sessions.get_mut(&session).filter(|e| !e.released) else {
            return Err(Broken::Gone(session, format!("{charge}")));
        };
        let tenant = entry.tenant;
        let kind = entry.asked.remove(&request).ok_or(Broken::NotAsked(session, charge))?;
        let more = sum_of(kind, bytes);
        entry.charges.insert(charge, more);
        for total in [self.tenants.entry(tenant).or_default(), &mut self.all] {
            *total = (total.0 + more.0, total.1 + more.1, total.2 + more.2);
        }
        self.answers.entry(tenant).or_default().granted += 1;
        // An entry is checked against the limits in force at that moment; a limit lowered later takes nothing away.
        let used = self.tenants[&tenant];
        let limit = broker.config().tenant(&tenant).ok_or(Broken::OverLimit(tenant, "anything"))?;
        let over = [
            (more.0 > 0 && used.0 > limit.vram_limit.0, "device memory"),
            (more.1 > 0 && used.1 > limit.host_limit.0, "host memory"),
            (more.2 > 0 && used.2 > u64::from(limit.queues), "queues"),
            (
                self.all.0 > broker.config().devices.iter().map(|d| d.vram.0).sum::<u64>(),
                "more device memory than there is",
            ),
        ];
        over.iter().find(|(over, _)| *over).map_or(Ok(()), |(_, what)| Err(Broken::OverLimit(tenant, what)))
    }

    fn deny(&mut self, tenant: TenantName, code: DenyCode, asked: u64, broker: &Broker) -> Result<(), Broken> {
        self.answers.entry(tenant).or_default().denied += 1;
        let kept = broker.config().tenant(&tenant).map_or(0, |t| t.vram_guarantee.0);
        let used = self.tenants.get(&tenant).map_or(0, |sum| sum.0);
        if code == DenyCode::Vram && used.saturating_add(asked) <= kept {
            return Err(Broken::GuaranteeDenied(tenant));
        }
        Ok(())
    }

    fn release(&mut self, session: SessionId, charge: ChargeId) {
        let Some(entry) = self.sessions.get_mut(&session) else { return };
        let Some(less) = entry.charges.remove(&charge) else { return };
        for total in [self.tenants.entry(entry.tenant).or_default(), &mut self.all] {
            *total = (total.0 - less.0, total.1 - less.1, total.2 - less.2);
        }
    }

    /// Compares with the broker, when all actions of an input have been carried out.
    pub(crate) fn compare(&self, broker: &Broker) -> Result<(), Broken> {
        let all = (None, self.all, booked(broker.ledger().total()));
        let each = self.tenants.iter().map(|(name, sum)| (Some(*name), *sum, booked(broker.ledger().usage(name))));
        match [all].into_iter().chain(each).find(|(_, counted, booked)| counted != booked) {
            Some((tenant, counted, booked)) => Err(Broken::Books { tenant, counted, booked }),
            None => Ok(()),
        }
    }

    /// Checks, when all is over, that nothing is left.
    pub(crate) fn close(&self, broker: &Broker) -> Result<(), Broken> {
        if let Some((session, _)) = self.sessions.iter().find(|(_, entry)| !entry.ended) {
            return Err(Broken::NeverEnded(*session));
        }
        if self.all != Sum::default() || !broker.ledger().is_zero() {
            return Err(Broken::LeftBehind("a charge"));
        }
        if !broker.is_finished() || broker.poll_timeout().is_some() {
            return Err(Broken::LeftBehind("something to do"));
        }
        Ok(())
    }
}
