//! Figures as people and programs read them: percentiles of single operations, medians of rounds with their interval.

use crate::admin::{self, Distribution};
use crate::stage::wire::Latency;
pub(super) use crate::stage::wire::histogram;
use serde::Serialize;

/// The median of a few rounds, and the interval that holds the true median with at least 95 % (from order statistics: nothing is
/// assumed of how the rounds are distributed). With fewer than six rounds there is no such interval, and the extremes stand for it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Median {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) rounds: usize,
}

impl Median {
    /// Returns the median of `values`; `None` of none.
    pub(super) fn of(values: &[f64]) -> Option<Median> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&first, &last) = (sorted.first()?, sorted.last()?);
        let n = sorted.len();
        let value = f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2]);
        // The k-th smallest and k-th largest miss the median with probability 2 P(Binomial(n, 1/2) < k).
        let (mut k, mut tail, mut term) = (0, 0.0, 0.5f64.powi(n as i32));
        while 2.0 * (tail + term) <= 0.05 {
            tail += term;
            term *= (n - k) as f64 / (k + 1) as f64;
            k += 1;
        }
        let (low, high) = if k == 0 { (first, last) } else { (sorted[k - 1], sorted[n - k]) };
        Some(Median { value, low, high, rounds: n })
    }
}

impl std::fmt::Display for Median {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.4} [{:.4} .. {:.4}], {} rounds", self.value, self.low, self.high, self.rounds)
    }
}

/// Returns the worst of each percentile of several.
pub(super) fn worst(all: impl IntoIterator<Item = Distribution>) -> Latency {
    all.into_iter().map(latency).fold(Latency::default(), |worst, one| Latency {
        count: worst.count + one.count,
        p50: worst.p50.max(one.p50),
        p90: worst.p90.max(one.p90),
        p99: worst.p99.max(one.p99),
        p999: worst.p999.max(one.p999),
        max: worst.max.max(one.max),
    })
}

/// Returns the broker's figures as a bench's.
pub(super) fn latency(d: Distribution) -> Latency {
    let admin::Distribution { count, p50_ns: p50, p90_ns: p90, p99_ns: p99, p999_ns: p999, max_ns: max, .. } = d;
    Latency { count, p50, p90, p99, p999, max }
}

/// Returns a time with the unit that suits it.
pub(super) fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

/// Prints a table of latencies.
pub(super) fn table(title: &str, rows: &[(&str, Latency)]) {
    println!("{title:<44} {:>9} {:>10} {:>10} {:>10} {:>10}", "SAMPLES", "P50", "P99", "P99.9", "MAX");
    for (name, l) in rows {
        let [p50, p99, p999, max] = [l.p50, l.p99, l.p999, l.max].map(time);
        println!("{name:<44} {:>9} {p50:>10} {p99:>10} {p999:>10} {max:>10}", l.count);
    }
}

/// Returns a difference with its sign.
pub(super) fn difference(a: u64, b: u64) -> String {
    if a >= b { format!("+{}", time(a - b)) } else { format!("-{}", time(b - a)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_has_the_interval_of_its_order_statistics() {
        assert_eq!(Median::of(&[]), None);
        let five = Median::of(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
        assert_eq!((five.value, five.low, five.high), (3.0, 1.0, 5.0));
        // n = 10: P(Binomial < 2) = 11/1024, so the second of each end: 2 x 1.07 % <= 5 %.
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        let ten = Median::of(&ten).unwrap();
        assert_eq!((ten.value, ten.low, ten.high), (5.5, 2.0, 9.0));
        // n = 20: the sixth of each end, by the tables of the sign test.
        let twenty: Vec<f64> = (1..=20).map(f64::from).collect();
        let twenty = Median::of(&twenty).unwrap();
        assert_eq!((twenty.low, twenty.high), (6.0, 15.0));
    }

    #[test]
    fn differences_keep_their_sign() {
        assert_eq!(difference(1_700, 1_500), "+200 ns");
        assert_eq!(difference(1_500, 21_500), "-20.0 us");
    }
}
