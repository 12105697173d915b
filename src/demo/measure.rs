//! What the demo has seen, held against what is promised.

use crate::stage::shares::{SETTLE_NS, Share, common_interval, rate_between};
use crate::stage::wire::{Progress, Summary};
use serde::Serialize;
use std::time::Duration;

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
    pub(super) fn together(&self, progress: &[Vec<Progress>]) -> Option<f64> {
        let saturated = &progress[..self.shares.len()];
        let (_, to) = common_interval(saturated)?;
        let from = self.killed_at + SETTLE_NS;
        if from >= to {
            return None;
        }
        let rates = saturated.iter().zip(&self.summaries).map(|(p, (_, s))| rate_between(p, s.work, from, to));
        Some(rates.sum::<f64>() / self.alone.rate())
    }

    /// Holds what was seen against what is promised.
    pub(super) fn verdicts(&self, points: f64, progress: &[Vec<Progress>]) -> Vec<Verdict> {
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
