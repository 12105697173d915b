//! The report of a sweep: what was measured, what follows, and the tables of it. `html` draws it, `logs` keeps the latencies.

use super::super::figures::{Median, time};
use super::super::floor::{Environment, Floor};
use super::model::{FEW, Goals, Judged, Model, Observed, Recommendation, judge, recommend};
use super::point::{Sample, SwitchCost, merged};
use super::workload::{Plan, Point, Speed, Workload};
use crate::config::values::Span;
use crate::stage::wire::{Latency, recorded};
use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use proto::Nanos;
use serde::Serialize;
use std::fmt::Write as _;

/// All measurements at one point.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) point: Point,
    /// Every measurement, disturbed ones too.
    pub(super) samples: Vec<Sample>,
    /// Those that were disturbed by the host. They are left out of what follows, unless all were: then the tables mark the row.
    pub(super) disturbed: usize,
    /// Together over alone.
    pub(super) efficiency: Median,
    /// See [`Sample`]; medians.
    pub(super) accounted: f64,
    /// Median.
    pub(super) jain: f64,
    /// The worst, in slices. Not where tenants run kernels of different kinds: there it would be mostly the error of what each does alone.
    pub(super) lag_slices: Option<f64>,
    /// Median.
    pub(super) switches_per_s: f64,
    /// Of the median measurement by price.
    pub(super) switch: SwitchCost,
    /// Of the median measurement by 99th percentile.
    pub(super) wait: Latency,
    /// Of all requests of the measurements that count.
    pub(super) request: Latency,
    #[serde(skip)]
    pub(super) requests: Histogram<u64>,
}

impl Row {
    /// Puts the measurements at a point together.
    pub(super) fn of(point: Point, samples: Vec<Sample>) -> Result<Row> {
        let disturbed = samples.iter().filter(|s| s.disturbed()).count();
        let mut used: Vec<&Sample> = samples.iter().filter(|s| !s.disturbed() || disturbed == samples.len()).collect();
        let median = |of: &dyn Fn(&Sample) -> f64| {
            Median::of(&used.iter().map(|s| of(s)).collect::<Vec<_>>()).context("a measurement at each point")
        };
        let efficiency = median(&|s| s.efficiency)?;
        let accounted = median(&|s| s.accounted)?.value;
        let jain = median(&|s| s.jain)?.value;
        let switches_per_s = median(&|s| s.switches_per_s)?.value;
        let lags: Option<Vec<f64>> = used.iter().map(|s| s.lag_ns).collect();
        let lag_slices = lags.map(|lags| lags.into_iter().fold(0.0, f64::max) / point.slice_ns as f64);
        let plays: Vec<Vec<(u64, u64)>> = used.iter().map(|s| recorded(&s.requests)).collect();
        let requests = merged(plays.iter().map(Vec::as_slice))?;
        let middle = used.len() / 2;
        used.sort_by(|a, b| a.switch.mean_ns.total_cmp(&b.switch.mean_ns));
        let switch = used[middle].switch;
        used.sort_by_key(|s| s.wait.p99);
        let wait = used[middle].wait;
        let request = Latency::of(&requests);
        Ok(Row {
            point,
            disturbed,
            efficiency,
            accounted,
            jain,
            lag_slices,
            switches_per_s,
            switch,
            wait,
            request,
            requests,
            samples,
        })
    }
}

/// What the tables say of a row, and how wide the terminal's columns are.
pub(super) const COLUMNS: [(&str, usize); 19] = [
    ("TENANTS", 7),
    ("SLICE", 7),
    ("OF ALONE", 8),
    ("ACCOUNTED", 9),
    ("SWITCH/S", 8),
    ("COST P50", 9),
    ("P99", 9),
    ("WAIT P50", 9),
    ("P90", 9),
    ("P99", 9),
    ("P99.9", 9),
    ("MAX", 9),
    ("REQ P50", 9),
    ("P90", 9),
    ("P99", 9),
    ("P99.9", 9),
    ("MAX", 9),
    ("LAG", 6),
    ("JAIN", 9),
];

impl Row {
    /// Returns the cells of the tables, in the order of [`COLUMNS`].
    pub(super) fn cells(&self) -> [String; COLUMNS.len()] {
        let Row { point, efficiency, accounted, switches_per_s, switch, wait, request, lag_slices, jain, .. } = self;
        let unknown = || "-".to_owned();
        let mark = if self.disturbed == self.samples.len() { " !" } else { "" };
        let tail = |l: &Latency| [quantile(l.p99, l.count, 0.99), quantile(l.p999, l.count, 0.999), time(l.max)];
        let ([wait_p99, wait_p999, wait_max], [request_p99, request_p999, request_max]) = (tail(wait), tail(request));
        [
            point.tenants.to_string(),
            span(point.slice_ns),
            format!("{:.1} %", 100.0 * efficiency.value),
            format!("{:.1} %", 100.0 * accounted),
            format!("{switches_per_s:.1}"),
            switch.p50_ns.map_or_else(unknown, time),
            switch.p99_ns.map_or_else(unknown, |ns| quantile(ns, switch.count, 0.99)),
            time(wait.p50),
            time(wait.p90),
            wait_p99,
            wait_p999,
            wait_max,
            time(request.p50),
            time(request.p90),
            request_p99,
            request_p999,
            request_max,
            lag_slices.map_or_else(unknown, |lag| format!("{lag:.2}")),
            format!("{jain:.5}{mark}"),
        ]
    }
}

/// The model of one workload with so many tenants.
#[derive(Debug, Serialize)]
pub(super) struct Fit {
    pub(super) workload: Workload,
    pub(super) tenants: u32,
    pub(super) model: Model,
    /// Mean price of a switch by the broker's own clock, in nanoseconds.
    pub(super) direct_ns: f64,
    /// Shortest slice that leaves the efficiency asked for, by the model, in nanoseconds.
    pub(super) slice_for_target_ns: f64,
}

impl Fit {
    /// Returns the part of the device that is left at a slice. Work done together scatters, and a fitted price below what the broker's clock saw is that: the
    /// dearer of the two counts.
    pub(super) fn efficiency(&self, slice_ns: u64) -> f64 {
        slice_ns as f64 / (slice_ns as f64 + self.model.cost_ns.max(self.direct_ns))
    }
}

/// A recommended slice, measured again.
#[derive(Debug, Serialize)]
pub(super) struct Confirmation {
    #[serde(flatten)]
    pub(super) point: Point,
    pub(super) predicted: f64,
    /// The median of several times.
    pub(super) measured: Median,
    /// Whether they are within ten percent of each other.
    pub(super) confirmed: bool,
    /// Latency of requests then.
    pub(super) request: Latency,
}

/// Farthest that a prediction may be off and count as confirmed.
pub(super) const CONFIRMED: f64 = 0.10;
/// Widest interval of an efficiency that still says something about it.
const INTERVAL_MAX: f64 = 0.10;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) environment: Environment,
    pub(super) floor: Floor,
    pub(super) speed: Speed,
    pub(super) plan: Plan,
    /// Slices below this are mostly the machine's own noise, in nanoseconds.
    pub(super) shortest_slice_ns: u64,
    pub(super) rows: Vec<Row>,
    pub(super) fits: Vec<Fit>,
    /// Tenants that the recommendations are for.
    pub(super) tenants: u32,
    pub(super) slices: Vec<Judged>,
    pub(super) recommendations: Vec<Recommendation>,
    pub(super) confirmations: Vec<Confirmation>,
    /// Measurements that failed twice, and why.
    pub(super) failed: Vec<(Point, String)>,
    /// What was asked for.
    pub(super) goals: Goals,
    /// The command that was run.
    pub(super) command: String,
    /// Why there is no recommendation, if there is none.
    pub(super) refusal: Option<String>,
}

/// Returns a slice as people and configurations write it.
pub(super) fn span(ns: u64) -> String {
    Span(Nanos(ns)).to_string()
}

/// Returns a quantile as a time, or that so few samples have none, because not even one lies beyond it.
fn quantile(ns: u64, samples: u64, quantile: f64) -> String {
    if (samples as f64) * (1.0 - quantile) < 0.999 { "-".to_owned() } else { time(ns) }
}

impl Report {
    /// Draws the conclusions.
    pub(super) fn of(
        (environment, floor): (Environment, Floor),
        (plan, speed): (Plan, Speed),
        (rows, failed): (Vec<Row>, Vec<(Point, String)>),
        tenants: u32,
        goals: Goals,
    ) -> Report {
        let mut fits = Vec::new();
        for &workload in &plan.workloads {
            for &tenants in plan.tenants.iter().filter(|n| **n > 1) {
                let here = |r: &&Row| r.point.workload == workload && r.point.tenants == tenants;
                let of_row = |row: &Row| {
                    let slice_ns = row.point.slice_ns as f64;
                    let all = row.disturbed == row.samples.len();
                    let samples = row.samples.iter().filter(move |s| all || !s.disturbed());
                    samples.map(move |s| Observed { slice_ns, efficiency: s.efficiency }).collect::<Vec<_>>()
                };
                let seen: Vec<Observed> = rows.iter().filter(here).flat_map(of_row).collect();
                let (time, count) = rows
                    .iter()
                    .filter(here)
                    .map(|r| (r.switch.mean_ns * r.switch.count as f64, r.switch.count as f64))
                    .fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
                if let Some(model) = Model::of(&seen, plan.seed) {
                    let direct_ns = time / f64::max(count, 1.0);
                    let slice_for_target_ns = model.slice_for(goals.efficiency);
                    fits.push(Fit { workload, tenants, model, direct_ns, slice_for_target_ns });
                }
            }
        }
        let shortest_slice_ns = floor.shortest_slice_ns();
        let mut report = Report {
            environment,
            shortest_slice_ns,
            floor,
            speed,
            plan,
            rows,
            fits,
            tenants,
            slices: Vec::new(),
            recommendations: Vec::new(),
            confirmations: Vec::new(),
            failed,
            goals,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            refusal: None,
        };
        report.slices = report.judged();
        judge(&mut report.slices);
        report.recommendations = recommend(&report.slices, goals, span);
        report.refusal = report.refuse();
        if report.refusal.is_some() {
            report.recommendations.clear();
        }
        report
    }

    /// Judges each slice by the workload that suffers most.
    fn judged(&self) -> Vec<Judged> {
        let fits = || self.fits.iter().filter(|fit| fit.tenants == self.tenants);
        let one = |&slice_ns: &u64| {
            let rows = || self.rows.iter().filter(|r| (r.point.tenants, r.point.slice_ns) == (self.tenants, slice_ns));
            Judged {
                slice_ns,
                efficiency: fits().map(|fit| fit.efficiency(slice_ns)).fold(1.0, f64::min),
                latency_p99_ns: rows().map(|r| r.request.p99).max().unwrap_or_default(),
                requests: rows().map(|r| r.request.count).min().unwrap_or_default(),
                resolved: slice_ns >= self.shortest_slice_ns,
                on_front: false,
                knee: false,
            }
        };
        self.plan.slices_ns.iter().map(one).collect()
    }

    /// Returns why the figures do not carry a recommendation.
    fn refuse(&self) -> Option<String> {
        let samples: usize = self.rows.iter().map(|r| r.samples.len()).sum();
        let disturbed: usize = self.rows.iter().map(|r| r.disturbed).sum();
        if 2 * disturbed > samples {
            return Some(format!(
                "not enough resolution: {disturbed} of {samples} measurements were disturbed by other work on this host; measure on a quieter one"
            ));
        }
        if self.recommendations.is_empty() {
            return Some(format!(
                "not enough resolution: wake-ups on this machine come up to {} late (99th percentile), so slices below {} are mostly noise, and none that was tried is longer; try longer ones",
                time(self.shortest_slice_ns / 10),
                time(self.shortest_slice_ns)
            ));
        }
        let widest = self.recommendations.iter().filter(|r| r.goal == "balanced").find_map(|r| {
            let slice = r.slice_ns as f64;
            self.fits.iter().filter(|fit| fit.tenants == self.tenants).find_map(|fit| {
                let at = |cost| slice / (slice + cost);
                let (low, high) = (at(fit.model.high_ns), at(fit.model.low_ns));
                (high - low > INTERVAL_MAX).then_some((r.slice_ns, fit.workload, low, high))
            })
        });
        widest.map(|(slice, workload, low, high)| {
            format!(
                "not enough resolution: at {} the model of {} leaves anything between {:.0} and {:.0} %; measure longer with --rounds or --seconds",
                span(slice),
                workload.name(),
                100.0 * low,
                100.0 * high
            )
        })
    }

    /// Returns the row of a point.
    pub(super) fn row(&self, point: Point) -> Option<&Row> {
        self.rows.iter().find(|r| r.point == point)
    }

    /// Writes the whole report for a terminal.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Environment { wavegate, device, processor, processors, kernel } = &self.environment;
        writeln!(
            out,
            "wavegate {wavegate} on {device}; {processors} x {processor}, Linux {kernel}; seed {}",
            self.plan.seed
        )?;
        let Floor { timer, two_wakes } = self.floor;
        writeln!(
            out,
            "noise floor: timers {} late at p50, {} at p99; two wake-ups {} and {}: slices below {} are not judged",
            time(timer.p50),
            time(timer.p99),
            time(two_wakes.p50),
            time(two_wakes.p99),
            time(self.shortest_slice_ns)
        )?;
        let disturbed: usize = self.rows.iter().map(|r| r.disturbed).sum();
        let samples: usize = self.rows.iter().map(|r| r.samples.len()).sum();
        writeln!(
            out,
            "{samples} measurements, {disturbed} of them disturbed by the host: left out, or marked with ! where all of a row were\n"
        )?;
        for (point, why) in &self.failed {
            writeln!(
                out,
                "failed twice: {} with {} tenants at {}: {why}",
                point.workload.name(),
                point.tenants,
                span(point.slice_ns)
            )?;
        }
        for &workload in &self.plan.workloads {
            self.write_rows(out, workload)?;
        }
        writeln!(out, "PRICE OF A SLICE'S END, eta = s / (s + c) fitted to what was done together")?;
        writeln!(
            out,
            "  {:<12} {:>7} {:>10} {:>27} {:>9} {:>10} {:>16}",
            "WORKLOAD", "TENANTS", "C", "95 % INTERVAL", "RESIDUAL", "DIRECT", "SLICE FOR TARGET"
        )?;
        for Fit { workload, tenants, model, direct_ns, slice_for_target_ns } in &self.fits {
            let few = if model.observations < FEW { "few: " } else { "" };
            let interval = format!("{few}{} .. {}", time(model.low_ns as u64), time(model.high_ns as u64));
            writeln!(
                out,
                "  {:<12} {tenants:>7} {:>10} {interval:>27} {:>9.4} {:>10} {:>16}",
                workload.name(),
                time(model.cost_ns as u64),
                model.residual,
                time(*direct_ns as u64),
                time(*slice_for_target_ns as u64)
            )?;
        }
        writeln!(out, "\n{} TENANTS, by the workload that suffers most", self.tenants)?;
        writeln!(out, "  {:>8} {:>11} {:>13}", "SLICE", "EFFICIENCY", "REQUEST P99")?;
        for s in &self.slices {
            let mut marks = Vec::new();
            for (is, mark) in [(s.on_front, "front"), (s.knee, "knee"), (!s.resolved, "below the noise floor")] {
                marks.extend(is.then_some(mark));
            }
            if !s.on_front {
                marks.push("dominated");
            }
            let (slice, latency) = (span(s.slice_ns), time(s.latency_p99_ns));
            writeln!(out, "  {slice:>8} {:>9.1} % {latency:>13}  {}", 100.0 * s.efficiency, marks.join(", "))?;
        }
        writeln!(out)?;
        match &self.refusal {
            Some(refusal) => writeln!(out, "NO RECOMMENDATION: {refusal}"),
            None => self.write_recommendations(out),
        }
    }

    fn write_rows(&self, out: &mut String, workload: Workload) -> std::fmt::Result {
        writeln!(out, "{}: {}", workload.name().to_uppercase(), workload.about())?;
        let mut line = |cells: &[String]| {
            write!(out, "  ")?;
            for (cell, (_, width)) in cells.iter().zip(COLUMNS) {
                write!(out, " {cell:>width$}")?;
            }
            writeln!(out)
        };
        line(&COLUMNS.map(|(name, _)| name.to_owned()))?;
        for row in self.rows.iter().filter(|r| r.point.workload == workload) {
            line(&row.cells())?;
        }
        writeln!(out)
    }

    fn write_recommendations(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "RECOMMENDED for {} tenants", self.tenants)?;
        for r in &self.recommendations {
            let met = if r.met { "" } else { " (not met)" };
            writeln!(
                out,
                "  {:<11} {:<18} {:.1} % of the device left, requests {} at p99{met}\n              {}",
                r.goal,
                r.line,
                100.0 * r.efficiency,
                time(r.latency_p99_ns),
                r.why
            )?;
        }
        for c in &self.confirmations {
            writeln!(
                out,
                "  measured again {} times: {} with {} tenants at {}: {:.1} % predicted, {:.1} % measured, {}; requests {} at p99",
                c.measured.rounds,
                c.point.workload.name(),
                c.point.tenants,
                span(c.point.slice_ns),
                100.0 * c.predicted,
                100.0 * c.measured.value,
                if c.confirmed { "confirmed" } else { "NOT confirmed" },
                time(c.request.p99)
            )?;
        }
        Ok(())
    }
}
