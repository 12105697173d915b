//! Shares: work done and verified over the time in which all tenants were backlogged.

use super::wire::{Progress, Summary};
use anyhow::{Context as _, Result};
use serde::Serialize;

/// Left out at the start: the first leases are uneven until everybody has begun.
pub const SETTLE_NS: u64 = 300_000_000;

/// One saturated tenant's entitlement and what it got.
#[derive(Clone, Debug, Serialize)]
pub struct Share {
    /// The tenant.
    pub tenant: String,
    /// Its weight.
    pub weight: u32,
    /// Its part of everybody's work by weight, in percent.
    pub entitled: f64,
    /// Its part of everybody's work by wave-instructions whose results were verified, in percent.
    pub got: f64,
    /// Wave-instructions per second in the interval.
    pub rate: f64,
}

/// Returns how many dispatches were complete at `at_ns`, between two reports by the line through them.
pub fn dispatches_at(progress: &[Progress], at_ns: u64) -> f64 {
    let after = progress.partition_point(|p| p.at_ns < at_ns);
    let (Some(a), Some(b)) = (after.checked_sub(1).and_then(|k| progress.get(k)), progress.get(after)) else {
        return progress.get(after.saturating_sub(1)).map_or(0.0, |p| p.dispatches as f64);
    };
    let part = (at_ns - a.at_ns) as f64 / (b.at_ns - a.at_ns).max(1) as f64;
    a.dispatches as f64 + part * (b.dispatches - a.dispatches) as f64
}

/// Returns the time in which all of these tenants had work: from the last one's start to the first one's end.
pub fn common_interval(progress: &[Vec<Progress>]) -> Option<(u64, u64)> {
    let from = progress.iter().map(|p| p.first().map(|p| p.at_ns)).collect::<Option<Vec<_>>>()?.into_iter().max()?;
    let to = progress.iter().map(|p| p.last().map(|p| p.at_ns)).collect::<Option<Vec<_>>>()?.into_iter().min()?;
    (from + SETTLE_NS < to).then_some((from + SETTLE_NS, to))
}

/// Returns work per second of one tenant between two times.
pub fn rate_between(progress: &[Progress], work: u64, from: u64, to: u64) -> f64 {
    let done = dispatches_at(progress, to) - dispatches_at(progress, from);
    done * work as f64 * 1e9 / (to - from).max(1) as f64
}

/// Least part of the common time in which all must have been backlogged, or there is nothing to judge.
const BACKLOGGED_MIN: f64 = 0.1;

/// Returns the parts of the common time in which all of these tenants were backlogged. A host that is busy with other things
/// may keep a tenant from refilling its queue; then it gets less because it asks for less.
fn backlogged_intervals(progress: &[Vec<Progress>]) -> Option<Vec<(u64, u64)>> {
    let (from, to) = common_interval(progress)?;
    let mut cuts: Vec<u64> = progress.iter().flatten().map(|p| p.at_ns).filter(|at| (from..=to).contains(at)).collect();
    cuts.extend([from, to]);
    cuts.sort_unstable();
    cuts.dedup();
    // What a report says holds for the time since the one before.
    let all =
        |middle| progress.iter().all(|p| p.get(p.partition_point(|p| p.at_ns < middle)).is_some_and(|p| p.backlogged));
    let intervals: Vec<_> = cuts.windows(2).map(|w| (w[0], w[1])).filter(|(a, b)| all(a.midpoint(*b))).collect();
    let covered: u64 = intervals.iter().map(|(a, b)| b - a).sum();
    (covered as f64 >= BACKLOGGED_MIN * (to - from) as f64).then_some(intervals)
}

impl Share {
    /// Works out everybody's share of the work while all were backlogged.
    pub fn of(weights: &[(&str, u32)], progress: &[Vec<Progress>], summaries: &[Summary]) -> Result<Vec<Share>> {
        let intervals = backlogged_intervals(progress).context(
            "the tenants were hardly ever backlogged at the same time: the host is too busy, or the device very slow",
        )?;
        let seconds = intervals.iter().map(|(from, to)| to - from).sum::<u64>() as f64 / 1e9;
        let rate = |(p, summary): (&Vec<Progress>, &Summary)| {
            let done: f64 = intervals.iter().map(|(from, to)| dispatches_at(p, *to) - dispatches_at(p, *from)).sum();
            done * summary.work as f64 / seconds
        };
        let rates: Vec<f64> = progress.iter().zip(summaries).map(rate).collect();
        let (total, weight_total) = (rates.iter().sum::<f64>(), weights.iter().map(|w| w.1).sum::<u32>());
        let share = |(&(tenant, weight), rate): (&(&str, u32), f64)| Share {
            tenant: tenant.to_owned(),
            weight,
            entitled: 100.0 * f64::from(weight) / f64::from(weight_total),
            got: 100.0 * rate / total,
            rate,
        };
        Ok(weights.iter().zip(rates).map(share).collect())
    }
}

/// Returns Jain's index of work per weight: 1 is perfectly fair.
pub fn jain(shares: &[Share]) -> f64 {
    let x: Vec<f64> = shares.iter().map(|s| s.rate / f64::from(s.weight)).collect();
    let (sum, squares) = (x.iter().sum::<f64>(), x.iter().map(|v| v * v).sum::<f64>());
    sum * sum / (x.len() as f64 * squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rate: u64, from: u64, to: u64) -> Vec<Progress> {
        (from..=to)
            .step_by(100_000_000)
            .map(|at| Progress { at_ns: at, dispatches: (at - from) / 1_000_000 * rate, backlogged: true })
            .collect()
    }

    #[test]
    fn shares_are_of_work_in_the_common_interval_only() {
        let second = 1_000_000_000;
        // The second one begins a second later; until then the first one had everything.
        let progress = [line(3, 0, 10 * second), line(1, second, 9 * second)];
        let summary = Summary { work: 1000, ..Summary::default() };
        let summaries = [summary.clone(), summary];
        let shares = Share::of(&[("a", 3), ("b", 1)], &progress, &summaries).unwrap();
        assert!((shares[0].got - 75.0).abs() < 1e-6, "{shares:?}");
        assert!((shares[1].got - 25.0).abs() < 1e-6, "{shares:?}");
        assert!((jain(&shares) - 1.0).abs() < 1e-9);
        let unfair = Share::of(&[("a", 1), ("b", 1)], &progress, &summaries).unwrap();
        assert!(jain(&unfair) < 0.81, "{}", jain(&unfair));
    }

    #[test]
    fn what_a_tenant_missed_because_its_queue_was_empty_does_not_count() {
        let second = 1_000_000_000;
        let mut progress = [line(3, 0, 10 * second), line(1, 0, 10 * second)];
        // From the sixth second on the first one asks for nothing, and says so.
        for p in progress[0].iter_mut().filter(|p| p.at_ns > 6 * second) {
            (p.dispatches, p.backlogged) = (6_000 * 3, false);
        }
        let summary = Summary { work: 1000, ..Summary::default() };
        let shares = Share::of(&[("a", 3), ("b", 1)], &progress, &[summary.clone(), summary.clone()]).unwrap();
        assert!((shares[0].got - 75.0).abs() < 1e-6, "{shares:?}");
        progress[1].iter_mut().for_each(|p| p.backlogged = false);
        assert!(Share::of(&[("a", 3), ("b", 1)], &progress, &[summary.clone(), summary]).is_err(), "nothing to judge");
    }

    #[test]
    fn tenants_that_never_meet_have_no_shares() {
        let progress = [line(1, 0, 1_000_000_000), line(1, 2_000_000_000, 3_000_000_000)];
        let summaries = [Summary::default(), Summary::default()];
        assert!(Share::of(&[("a", 1), ("b", 1)], &progress, &summaries).is_err());
    }
}
