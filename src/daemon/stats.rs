//! What is remembered of what happened: distributions, counts, and the sessions that ended last.
//!
//! Promise: bounded, whoever does what: per tenant of the configuration some counters and distributions, and [`ENDED_MAX`] sessions. A
//! sum of a switch's parts is the sum of its totals, exactly.
//!
//! Switches go into HDR histograms with three significant digits; what is measured of each tenant is in [`figures`](super::figures).

use std::collections::{BTreeMap, VecDeque};

use broker::{Event, SwitchParts};
use hdrhistogram::Histogram;
use proto::histogram::HIGHEST;
use proto::message::Fault;
use proto::{Instant, Nanos, SessionId, TenantName};

use super::figures::Figures;
use crate::admin::{self, Counters, Distribution, Switches};
use crate::config::values::Name;

/// How many ended sessions are remembered.
pub(super) const ENDED_MAX: usize = 64;

/// Times the broker measured.
#[derive(Debug)]
pub(super) struct Times {
    histogram: Option<Histogram<u64>>,
    sum: u64,
}

impl Times {
    fn new() -> Self {
        // PANIC free: three digits from one nanosecond on are what the crate accepts; without a histogram nothing is recorded.
        Self { histogram: Histogram::new(3).ok(), sum: 0 }
    }

    fn record(&mut self, time: Nanos) {
        // It grows to what is recorded; 73 minutes are more than anything measured here takes.
        let recorded = self.histogram.as_mut().map(|h| h.record(time.0.min(HIGHEST.0)));
        if let Some(Ok(())) = recorded {
            self.sum = self.sum.saturating_add(time.0);
        }
    }

    fn distribution(&self) -> Distribution {
        let Some(histogram) = self.histogram.as_ref().filter(|h| !h.is_empty()) else { return Distribution::default() };
        Distribution {
            count: histogram.len(),
            sum_ns: self.sum,
            min_ns: histogram.min(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        }
    }
}

/// Adds what another worker did.
fn add_counters(sum: &mut Counters, more: &Counters) {
    for (sum, more) in [
        (&mut sum.packets, more.packets),
        (&mut sum.dispatches, more.dispatches),
        (&mut sum.wave_instructions, more.wave_instructions),
        (&mut sum.busy_ns, more.busy_ns),
        (&mut sum.faults, more.faults),
        (&mut sum.parks, more.parks),
        (&mut sum.unparks, more.unparks),
        (&mut sum.bad_packets, more.bad_packets),
    ] {
        *sum = sum.saturating_add(more);
    }
}

/// What is remembered of one tenant.
#[derive(Debug)]
pub(super) struct TenantStats {
    /// Distributions, those of living sessions as far as they have been looked at.
    pub(super) figures: Figures,
    /// What the workers of ended sessions did.
    past: Counters,
    pub(super) denied: BTreeMap<String, u64>,
    pub(super) ended: BTreeMap<String, u64>,
    pub(super) reclaimed_charges: u64,
    pub(super) reclaimed_bytes: u64,
    pub(super) last_fault: Option<Fault>,
}

impl TenantStats {
    fn new() -> Self {
        Self {
            figures: Figures::default(),
            past: Counters::default(),
            denied: BTreeMap::new(),
            ended: BTreeMap::new(),
            reclaimed_charges: 0,
            reclaimed_bytes: 0,
            last_fault: None,
        }
    }

    /// Remembers what the worker of a session did that has ended.
    pub(super) fn end(&mut self, worker: &Counters) {
        add_counters(&mut self.past, worker);
    }

    /// Returns what all its workers did, with those of living sessions.
    pub(super) fn counters<'a>(&self, living: impl IntoIterator<Item = &'a Counters>) -> Counters {
        let mut sum = self.past;
        living.into_iter().for_each(|more| add_counters(&mut sum, more));
        sum
    }
}

/// Switches of one kind.
#[derive(Debug)]
struct SwitchTimes {
    stop: Times,
    grant: Times,
    start: Times,
    total: Times,
    saved_bytes: u64,
}

impl SwitchTimes {
    fn new() -> Self {
        let [stop, grant, start, total] = [(); 4].map(|()| Times::new());
        Self { stop, grant, start, total, saved_bytes: 0 }
    }

    fn record(&mut self, parts: &SwitchParts, saved: u64) {
        self.stop.record(parts.stop);
        self.grant.record(parts.grant);
        self.start.record(parts.start);
        self.total.record(parts.total());
        self.saved_bytes = self.saved_bytes.saturating_add(saved);
    }

    fn view(&self) -> Switches {
        Switches {
            stop: self.stop.distribution(),
            grant: self.grant.distribution(),
            start: self.start.distribution(),
            total: self.total.distribution(),
            saved_bytes: self.saved_bytes,
        }
    }
}

/// A session that has ended, with the time of its end.
#[derive(Debug)]
struct EndedAt {
    at: Instant,
    session: admin::Ended,
}

/// Everything remembered.
#[derive(Debug)]
pub(super) struct Stats {
    tenants: BTreeMap<TenantName, TenantStats>,
    between_tenants: SwitchTimes,
    within_tenant: SwitchTimes,
    ended: VecDeque<EndedAt>,
    /// Process and program of the sessions there are.
    who: BTreeMap<SessionId, (u32, String)>,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) workers_killed: u64,
    pub(super) worker_violations: u64,
}

impl Stats {
    pub(super) fn new() -> Self {
        Self {
            tenants: BTreeMap::new(),
            between_tenants: SwitchTimes::new(),
            within_tenant: SwitchTimes::new(),
            ended: VecDeque::new(),
            who: BTreeMap::new(),
            refused: BTreeMap::new(),
            workers_killed: 0,
            worker_violations: 0,
        }
    }

    /// Notes whose session it is.
    pub(super) fn begin(&mut self, session: SessionId, pid: u32, command: String) {
        self.who.insert(session, (pid, command));
    }

    /// Returns process and program of a session that there is.
    pub(super) fn who(&self, session: SessionId) -> Option<(u32, &str)> {
        self.who.get(&session).map(|(pid, command)| (*pid, command.as_str()))
    }

    /// Returns what is remembered of a tenant.
    pub(super) fn tenant(&mut self, name: TenantName) -> &mut TenantStats {
        self.tenants.entry(name).or_insert_with(TenantStats::new)
    }

    /// Forgets tenants that `stays` does not want.
    pub(super) fn retain_tenants(&mut self, stays: impl Fn(&TenantName) -> bool) {
        self.tenants.retain(|name, _| stays(name));
    }

    /// Lets go of what is older than a minute.
    pub(super) fn expire(&mut self, now: Instant) {
        self.tenants.values_mut().for_each(|tenant| tenant.figures.expire(now));
    }

    /// Returns the switches between sessions of different tenants, and those within one.
    pub(super) fn switches(&self) -> (Switches, Switches) {
        (self.between_tenants.view(), self.within_tenant.view())
    }

    /// Returns the sessions that ended last, latest first.
    pub(super) fn ended(&self, now: Instant) -> Vec<admin::Ended> {
        let view = |e: &EndedAt| admin::Ended { ago_ns: now.since(e.at).0, ..e.session.clone() };
        self.ended.iter().rev().map(view).collect()
    }

    /// Takes note of an event.
    pub(super) fn note(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Switched { same_tenant, parts, saved, .. } => {
                let kind = if *same_tenant { &mut self.within_tenant } else { &mut self.between_tenants };
                kind.record(parts, saved.0);
            }
            Event::LeaseEnded { tenant, occupancy, .. } => {
                self.tenant(*tenant).figures.occupancy.record(now, *occupancy);
            }
            Event::Denied { tenant, denied, .. } => {
                *self.tenant(*tenant).denied.entry(denied.code.word().to_owned()).or_default() += 1;
            }
            Event::Faulted { tenant, fault, .. } => self.tenant(*tenant).last_fault = Some(Fault::clone(fault)),
            Event::Refused { code, .. } => *self.refused.entry(code.word().to_owned()).or_default() += 1,
            Event::WorkerKilled { .. } => self.workers_killed += 1,
            Event::WorkerViolation { .. } => self.worker_violations += 1,
            Event::Ended { session, tenant, reason, signal, charges_reclaimed, bytes_reclaimed } => {
                let (pid, command) = self.who.remove(session).unwrap_or_default();
                let charges = *charges_reclaimed as u64;
                let stats = self.tenant(*tenant);
                *stats.ended.entry(reason.word().to_owned()).or_default() += 1;
                stats.reclaimed_charges += charges;
                stats.reclaimed_bytes = stats.reclaimed_bytes.saturating_add(bytes_reclaimed.0);
                if self.ended.len() == ENDED_MAX {
                    self.ended.pop_front();
                }
                let session = admin::Ended {
                    session: session.0,
                    tenant: Name(*tenant),
                    pid,
                    command,
                    reason: reason.word().to_owned(),
                    signal: *signal,
                    ago_ns: 0,
                    reclaimed_charges: charges,
                    reclaimed_bytes: bytes_reclaimed.0,
                };
                self.ended.push_back(EndedAt { at: now, session });
            }
            Event::Admitted { .. } | Event::Ready { .. } | Event::ConfigChanged => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::Bytes;
    use proto::message::EndReason;

    use super::*;

    fn name(name: &str) -> TenantName {
        TenantName::new(name).unwrap()
    }

    #[test]
    fn the_parts_of_switches_sum_to_the_total() {
        let mut stats = Stats::new();
        for i in 0..1000 {
            let parts = SwitchParts { stop: Nanos(i * 17), grant: Nanos(i % 7), start: Nanos(900 + i) };
            let (from, to, requested_at) = (SessionId(1), SessionId(2), Instant(i));
            let (device, partition, same_tenant, saved) = (0, 0, i % 2 == 0, Bytes(8));
            let switched = Event::Switched { from, to, device, partition, requested_at, same_tenant, parts, saved };
            stats.note(Instant(i), &switched);
        }
        let (between, within) = stats.switches();
        for switches in [between, within] {
            let Switches { stop, grant, start, total, saved_bytes } = switches;
            assert_eq!((stop.count, total.count, saved_bytes), (500, 500, 4000));
            assert_eq!(stop.sum_ns + grant.sum_ns + start.sum_ns, total.sum_ns);
            // A total is 18 i + i % 7 + 900, so half of them are about 9900, to three digits.
            let near = |got: u64, exact: u64| got.abs_diff(exact) <= exact / 100;
            assert!(near(total.p50_ns, 9_900) && near(total.p99_ns, 18_720) && near(total.max_ns, 18_890), "{total:?}");
        }
    }

    #[test]
    fn times_of_any_length_keep_three_digits() {
        let mut times = Times::new();
        for ns in [1, 999, 1_234_567, 61_000_000_000, u64::MAX] {
            times.record(Nanos(ns));
        }
        let d = times.distribution();
        assert_eq!((d.count, d.min_ns), (5, 1));
        assert!(d.p50_ns.abs_diff(1_234_567) < 1_235 && d.max_ns >= HIGHEST.0, "{d:?}");
    }

    #[test]
    fn only_the_last_ended_sessions_are_remembered() {
        let mut stats = Stats::new();
        for i in 1..=ENDED_MAX as u64 + 10 {
            stats.begin(SessionId(i), i as u32, format!("program {i}"));
            let (session, tenant, reason) = (SessionId(i), name("red"), EndReason::Killed);
            let (charges_reclaimed, bytes_reclaimed) = (1, Bytes(4096));
            let ended = Event::Ended { session, tenant, reason, signal: 9, charges_reclaimed, bytes_reclaimed };
            stats.note(Instant(i), &ended);
        }
        let ended = stats.ended(Instant(1000));
        assert_eq!((ended.len(), ended[0].session, ended[0].ago_ns), (ENDED_MAX, 74, 1000 - 74));
        assert_eq!((ended[0].command.as_str(), stats.who.len()), ("program 74", 0));
        let red = stats.tenant(name("red"));
        assert_eq!((red.ended["killed"], red.reclaimed_bytes), (74, 74 * 4096));
        stats.retain_tenants(|_| false);
        assert!(stats.tenants.is_empty());
    }
}
