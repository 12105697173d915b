//! What came out of a run, and how it is shown.

use std::collections::BTreeMap;
use std::fmt;

use broker::Status;
use proto::histogram::{BUCKETS, bounds_of, bucket_of};
use proto::{Nanos, TenantName};

use crate::books::Books;
use crate::meter::Meter;
use crate::scenario::Scenario;
use crate::trace::Trace;

// A bucket is a `u16` here.
const _: () = assert!(BUCKETS <= u16::MAX as usize);

/// A latency histogram with the buckets of [`proto::histogram`], of which it has those that something fell into: ten thousand tenants
/// have two of these each.
#[derive(Clone, Default)]
pub struct Histogram {
    counts: BTreeMap<u16, u32>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// Adds a sample.
    pub fn add(&mut self, value: Nanos) {
        *self.counts.entry(bucket_of(value) as u16).or_default() += 1;
        self.total += 1;
        self.max = self.max.max(value.0);
    }

    /// Adds all samples of another.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            *self.counts.entry(*bucket).or_default() += count;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// Returns how many samples there are.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// Returns the value that `per_mille` of all samples do not exceed; 0 if there are none.
    pub fn quantile(&self, per_mille: u64) -> Nanos {
        let rank = (self.total * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (&bucket, &count) in &self.counts {
            seen += u64::from(count);
            if seen >= rank {
                return Nanos(bounds_of(bucket.into()).1.0.min(self.max));
            }
        }
        Nanos(self.max)
    }

    /// Returns the largest sample.
    pub fn max(&self) -> Nanos {
        Nanos(self.max)
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples, p50 {}, p99 {}", self.total, self.quantile(500), self.quantile(990))
    }
}

/// What a tenant's programs did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) submitted: u64,
    pub(crate) completed: u64,
    /// Nanoseconds of kernels that ran.
    pub(crate) work: u64,
    /// From wanting the device to the first instruction.
    pub(crate) waits: Histogram,
    /// From submission to completion, of programs that are not saturated.
    pub(crate) latencies: Histogram,
}

impl Tally {
    /// Adds what another program of the tenant did.
    pub(crate) fn add(&mut self, other: &Tally) {
        self.submitted += other.submitted;
        self.completed += other.completed;
        self.work += other.work;
        self.waits.merge(&other.waits);
        self.latencies.merge(&other.latencies);
    }
}

/// One line of the report.
#[derive(Clone, Debug)]
pub struct TenantReport {
    /// Who.
    pub tenant: TenantName,
    /// Its weight at the end.
    pub weight: u32,
    /// Millionths of the device it was entitled to while everybody was backlogged; `None` if that never was.
    pub entitled: Option<u64>,
    /// What it had then, in millionths.
    pub got: u64,
    /// All time it had the device.
    pub had: Nanos,
    /// Nanoseconds of kernels that ran.
    pub work: u64,
    /// Dispatches submitted by programs that are not saturated.
    pub submitted: u64,
    /// Dispatches completed.
    pub completed: u64,
    /// Leases it had.
    pub leases: u64,
    /// From wanting the device to the first instruction.
    pub waits: Histogram,
    /// From submission to completion, of programs that are not saturated.
    pub latencies: Histogram,
    /// Charges granted and denied.
    pub charges: (u64, u64),
}

/// The world of a report about a running broker.
pub const LIVE: &str = "live";

/// What came out of a run, simulated or not: a recording of a running broker is shown by the same code.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which world.
    pub world: &'static str,
    /// Which seed.
    pub seed: u64,
    /// Two runs with the same hash were the same.
    pub hash: u64,
    /// Inputs and actions.
    pub lines: u64,
    /// How long it lasted.
    pub span: Nanos,
    /// The tenants, in the order of the configuration.
    pub tenants: Vec<TenantReport>,
    /// Sessions there were.
    pub sessions: u64,
    /// What switches cost.
    pub switches: Histogram,
    /// Where the device's time went.
    pub totals: sched::Totals,
    /// Inputs that came too late, as the broker counts.
    pub stale: u64,
    /// Device time in which everybody was backlogged.
    pub window: Nanos,
}

impl Report {
    pub(crate) fn new(
        scenario: &Scenario,
        meters: &[Meter],
        books: &Books,
        status: Option<&Status>,
        mut tallies: BTreeMap<TenantName, Tally>,
        switches: Histogram,
        trace: &Trace,
    ) -> Self {
        // Shares mean something where all share one partition.
        let single = meters.len() == 1;
        let window = if single { meters[0].window_total } else { 0 };
        let share = |part: u128| part.checked_div(u128::from(window)).unwrap_or(0) as u64;
        let tenants = meters[0].tenants.iter().enumerate().map(|(at, account)| {
            let everywhere = || meters.iter().filter_map(|meter| meter.tenants.get(at));
            let tally = tallies.remove(&account.name).unwrap_or_default();
            let answers = books.answers.get(&account.name).copied().unwrap_or_default();
            TenantReport {
                tenant: account.name,
                weight: account.weight,
                entitled: (account.window_due > 0 && window >= scenario.span.0 / 2).then(|| share(account.window_due)),
                got: share(u128::from(account.window_had) * 1_000_000),
                had: Nanos(everywhere().map(|account| account.had).sum()),
                work: tally.work,
                submitted: tally.submitted,
                completed: tally.completed,
                leases: everywhere().map(|account| account.leases).sum(),
                waits: tally.waits,
                latencies: tally.latencies,
                charges: (answers.granted, answers.denied),
            }
        });
        Self {
            world: scenario.world,
            seed: scenario.seed,
            hash: trace.hash(),
            lines: trace.lines(),
            span: scenario.span,
            tenants: tenants.collect(),
            sessions: books.admitted(),
            switches,
            totals: status.map_or_else(sched::Totals::default, Status::totals),
            stale: status.map_or(0, |s| s.stale),
            window: Nanos(window),
        }
    }

    /// Returns a tenant's line.
    pub fn tenant(&self, name: &str) -> Option<&TenantReport> {
        self.tenants.iter().find(|t| t.tenant.as_str() == name)
    }

    /// Returns Jain's index of what the tenants got by their entitlement, in millionths: a million is perfect. `None` if
    /// everybody was backlogged at once for less than half of the time: over short stretches a share is made of a few slices.
    pub fn jain(&self) -> Option<u64> {
        if self.window.0 < self.span.0 / 2 {
            return None;
        }
        let ratios: Vec<u128> = self
            .tenants
            .iter()
            .filter_map(|t| Some(u128::from(t.got) * 1_000_000 / u128::from(t.entitled.filter(|&e| e > 0)?)))
            .collect();
        let squares: u128 = ratios.iter().map(|r| r * r).sum();
        let sum: u128 = ratios.iter().sum();
        (sum * sum * 1_000_000).checked_div(squares * ratios.len() as u128).map(|jain| jain as u64)
    }
}

/// Shows a time with three digits that matter.
pub(crate) fn time(span: Nanos) -> String {
    match span.0 {
        ns @ 0..1_000 => format!("{ns} ns"),
        ns @ 1_000..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        ns @ 1_000_000..1_000_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        ns => format!("{:.2} s", ns as f64 / 1e9),
    }
}

fn percent(millionths: u64) -> String {
    format!("{:.2} %", millionths as f64 / 1e4)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (span, tenants) = (time(self.span), self.tenants.len());
        if self.world == LIVE {
            writeln!(f, "live: {span} with {tenants} tenants and {} sessions", self.sessions)?;
        } else {
            writeln!(
                f,
                "world {}, seed {}: {span} with {tenants} tenants and {} sessions; trace {:016x}, {} lines",
                self.world, self.seed, self.sessions, self.hash, self.lines
            )?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:<12} {:>6} {:>9} {:>9} {:>10} {:>7} {:>10} {:>10} {:>10} {:>10} {:>9} {:>7}",
            "tenant",
            "weight",
            "entitled",
            "got",
            "had",
            "leases",
            "wait p50",
            "wait p99",
            "wait max",
            "done",
            "granted",
            "denied"
        )?;
        for t in self.tenants.iter().filter(|t| t.leases > 0 || t.charges != (0, 0)) {
            let waits = |value| if t.waits.count() > 0 { time(value) } else { "-".into() };
            writeln!(
                f,
                "{:<12} {:>6} {:>9} {:>9} {:>10} {:>7} {:>10} {:>10} {:>10} {:>10} {:>9} {:>7}",
                t.tenant,
                t.weight,
                t.entitled.map_or("-".into(), percent),
                t.entitled.map_or("-".into(), |_| percent(t.got)),
                time(t.had),
                t.leases,
                waits(t.waits.quantile(500)),
                waits(t.waits.quantile(990)),
                waits(t.waits.max()),
                t.completed,
                t.charges.0,
                t.charges.1,
            )?;
        }
        writeln!(f)?;
        if let Some(jain) = self.jain() {
            let jain = jain as f64 / 1e6;
            writeln!(f, "fairness      Jain {jain:.6} over the {} in which all were backlogged", time(self.window))?;
        }
        let wall = self.totals.wall().0.max(1) as f64 / 100.0;
        let part = |n: sched::Nanos| n.0 as f64 / wall;
        writeln!(
            f,
            "device time   tenants {:.2} %, switches {:.2} %, scrubbing {:.2} %, recovery {:.2} %, idle {:.2} %",
            part(self.totals.occupancy),
            part(self.totals.switch_in),
            part(self.totals.scrub),
            part(self.totals.recovery),
            part(self.totals.idle)
        )?;
        writeln!(
            f,
            "switches      {} between sessions, p50 {}, p99 {}, max {}",
            self.switches.count(),
            time(self.switches.quantile(500)),
            time(self.switches.quantile(990)),
            time(self.switches.max())
        )
    }
}
