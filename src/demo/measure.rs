//! From what the tenants told to figures: work done and verified over the time in which all three were backlogged.

use super::wire::{Progress, Summary};
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::time::Duration;

/// Left out at the start: the first leases are uneven until everybody has begun.
const SETTLE_NS: u64 = 300_000_000;

/// One saturated tenant's entitlement and what it got.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Share {
    /// The tenant.
    pub tenant: String,
    /// Its weight.
    pub weight: u32,
    /// Its part of the three's work by weight, in percent.
    pub entitled: f64,
    /// Its part of the three's work by wave-instructions whose results were verified, in percent.
    pub got: f64,
    /// Wave-instructions per second in the interval.
    pub rate: f64,
}

/// Returns how many dispatches were complete at `at_ns`, between two reports by the line through them.
fn dispatches_at(progress: &[Progress], at_ns: u64) -> f64 {
    let after = progress.partition_point(|p| p.at_ns < at_ns);
    let (Some(a), Some(b)) = (after.checked_sub(1).and_then(|k| progress.get(k)), progress.get(after)) else {
        return progress.get(after.saturating_sub(1)).map_or(0.0, |p| p.dispatches as f64);
    };
    let part = (at_ns - a.at_ns) as f64 / (b.at_ns - a.at_ns).max(1) as f64;
    a.dispatches as f64 + part * (b.dispatches - a.dispatches) as f64
}

/// Returns the time in which all of these tenants had work: from the last one's start to the first one's end.
fn common_interval(progress: &[Vec<Progress>]) -> Option<(u64, u64)> {
    let from = progress.iter().map(|p| p.first().map(|p| p.at_ns)).collect::<Option<Vec<_>>>()?.into_iter().max()?;
    let to = progress.iter().map(|p| p.last().map(|p| p.at_ns)).collect::<Option<Vec<_>>>()?.into_iter().min()?;
    (from + SETTLE_NS < to).then_some((from + SETTLE_NS, to))
}

/// Returns wave-instructions per second of one tenant between two times.
pub(super) fn rate_between(progress: &[Progress], wave_instructions: u64, from: u64, to: u64) -> f64 {
    let done = dispatches_at(progress, to) - dispatches_at(progress, from);
    done * wave_instructions as f64 * 1e9 / (to - from).max(1) as f64
}

impl Share {
    /// Works out everybody's share of the work.
    pub(super) fn of(
        weights: &[(&str, u32)],
        progress: &[Vec<Progress>],
        summaries: &[(String, Summary)],
    ) -> Result<Vec<Share>> {
        let (from, to) =
            common_interval(progress).context("the tenants never worked at the same time: is the device very slow?")?;
        let rates: Vec<f64> = progress
            .iter()
            .zip(summaries)
            .map(|(p, (_, summary))| rate_between(p, summary.wave_instructions, from, to))
            .collect();
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
pub(super) fn jain(shares: &[Share]) -> f64 {
    let x: Vec<f64> = shares.iter().map(|s| s.rate / f64::from(s.weight)).collect();
    let (sum, squares) = (x.iter().sum::<f64>(), x.iter().map(|v| v * v).sum::<f64>());
    sum * sum / (x.len() as f64 * squares)
}

/// Everything the demo has seen.
pub(super) struct Measured {
    pub(super) args_seconds: u64,
    pub(super) alone: Summary,
    pub(super) shares: Vec<Share>,
    pub(super) summaries: Vec<(String, Summary)>,
    pub(super) status: crate::admin::Status,
    pub(super) killed_at: u64,
    pub(super) victim_work: u64,
    pub(super) reclaimed: Result<Duration, String>,
    pub(super) leaks: Vec<String>,
}

/// Something the demo promises, and whether it held.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Verdict {
    /// The promise.
    pub what: String,
    /// Whether it held.
    pub held: bool,
    /// What was seen.
    pub seen: String,
}

impl Measured {
    /// Returns a tenant's summary.
    pub(super) fn summary(&self, tenant: &str) -> Option<&Summary> {
        self.summaries.iter().find(|(name, _)| name == tenant).map(|(_, summary)| summary)
    }

    /// Returns the throughput of all saturated tenants together after the victim was gone, relative to one alone.
    pub(super) fn together(&self, progress: &[Vec<super::wire::Progress>]) -> Option<f64> {
        let saturated = &progress[..self.shares.len()];
        let (_, to) = common_interval(saturated)?;
        let from = self.killed_at + SETTLE_NS;
        if from >= to {
            return None;
        }
        let rates =
            saturated.iter().zip(&self.summaries).map(|(p, (_, s))| rate_between(p, s.wave_instructions, from, to));
        Some(rates.sum::<f64>() / self.alone.rate())
    }

    /// Holds what was seen against what is promised.
    pub(super) fn verdicts(&self, points: f64, progress: &[Vec<super::wire::Progress>]) -> Vec<Verdict> {
        let mut all = Vec::new();
        let mut add = |what: &str, held, seen: String| all.push(Verdict { what: what.to_owned(), held, seen });
        let wrong: Vec<String> = [("alone", &self.alone)]
            .into_iter()
            .chain(self.summaries.iter().map(|(name, s)| (name.as_str(), s)))
            .filter_map(|(name, s)| s.wrong.as_ref().map(|why| format!("{name}: {why}")))
            .collect();
        let checked = self.alone.dispatches + self.summaries.iter().map(|(_, s)| s.dispatches).sum::<u64>();
        add(
            "results agree with the oracles",
            wrong.is_empty(),
            if wrong.is_empty() { format!("{checked} dispatches verified") } else { wrong.join("; ") },
        );
        let worst = self.shares.iter().map(|s| (s.got - s.entitled).abs()).fold(0.0, f64::max);
        add(
            &format!("shares within {points} points of the weights"),
            worst <= points,
            format!("off by {worst:.2} at most"),
        );
        let denied = self.summary(super::GREEDY).and_then(|s| s.denied.clone());
        add(
            "more memory than the quota is denied",
            denied.is_some(),
            denied.unwrap_or_else(|| "it was not".to_owned()),
        );
        add(
            "what tenants held is reclaimed",
            self.reclaimed.is_ok(),
            match &self.reclaimed {
                Ok(after) => format!(
                    "sessions, workers and charges gone {:.0} ms after the last one left",
                    after.as_secs_f64() * 1e3
                ),
                Err(left) => left.clone(),
            },
        );
        add(
            "the broker leaves nothing behind",
            self.leaks.is_empty(),
            if self.leaks.is_empty() { "ended on SIGTERM, sockets removed".to_owned() } else { self.leaks.join(", ") },
        );
        if let Some(together) = self.together(progress) {
            // Not a verdict of its own: the interactive tenant's work is not in the sum. Reported, and guarded by the benches.
            add("total throughput against one tenant alone", true, format!("{:.1} %", together * 100.0));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rate: u64, from: u64, to: u64) -> Vec<Progress> {
        (from..=to)
            .step_by(100_000_000)
            .map(|at| Progress { at_ns: at, dispatches: (at - from) / 1_000_000 * rate })
            .collect()
    }

    #[test]
    fn shares_are_of_work_in_the_common_interval_only() {
        let second = 1_000_000_000;
        // The second one begins a second later; until then the first one had everything.
        let progress = [line(3, 0, 10 * second), line(1, second, 9 * second)];
        let summary = Summary { wave_instructions: 1000, ..Summary::default() };
        let summaries = [("a".to_owned(), summary.clone()), ("b".to_owned(), summary)];
        let shares = Share::of(&[("a", 3), ("b", 1)], &progress, &summaries).unwrap();
        assert!((shares[0].got - 75.0).abs() < 1e-6, "{shares:?}");
        assert!((shares[1].got - 25.0).abs() < 1e-6, "{shares:?}");
        assert!((jain(&shares) - 1.0).abs() < 1e-9);
        let unfair = Share::of(&[("a", 1), ("b", 1)], &progress, &summaries).unwrap();
        assert!(jain(&unfair) < 0.81, "{}", jain(&unfair));
    }

    #[test]
    fn tenants_that_never_meet_have_no_shares() {
        let progress = [line(1, 0, 1_000_000_000), line(1, 2_000_000_000, 3_000_000_000)];
        let summaries = [("a".to_owned(), Summary::default()), ("b".to_owned(), Summary::default())];
        assert!(Share::of(&[("a", 1), ("b", 1)], &progress, &summaries).is_err());
    }
}
