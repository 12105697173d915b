//! Distributions of times, since the start and of the last minute, that cost what was measured and not who might measure.
//!
//! Promises:
//! - nobody who does nothing costs anything: a distribution is its filled buckets, a tenant that was quiet for a minute has no minute;
//! - workers are not asked and share nothing: each counts in its own gate, and what has come since the last look is told by the
//!   difference, bucket by bucket ([`Followed`]). A gate in which nothing moved costs the reading of two cache lines;
//! - the last minute is the window of [`WINDOW`] that runs and the [`WINDOWS`] before it, so 60 to 70 seconds; the answer says how
//!   long it was. What a worker measured counts when it was looked at, which is every [`WINDOW`] at the latest.
//!
//! Buckets are those of [`proto::histogram`]: at most 0.8 % wide.

use std::collections::VecDeque;

use proto::gate::GateLayout;
use proto::histogram::{BUCKETS, bounds_of, bucket_of};
use proto::{Instant, Nanos};

use super::gate::Gate;
use crate::admin::Distribution;

/// Length of one window.
pub(super) const WINDOW: Nanos = Nanos::from_millis(10_000);
/// Whole windows that make a minute.
pub(super) const WINDOWS: u64 = 6;

/// How many times fell into each bucket that has any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    /// Which buckets, in order.
    buckets: Vec<u16>,
    counts: Vec<u64>,
    sum: u64,
}

impl Sparse {
    /// Counts one time; the sum stays exact.
    pub(super) fn record(&mut self, time: Nanos) {
        // There are 4608 buckets.
        let bucket = bucket_of(time) as u16;
        match self.buckets.binary_search(&bucket) {
            Ok(at) => self.counts[at] = self.counts[at].saturating_add(1),
            Err(at) => {
                self.buckets.insert(at, bucket);
                self.counts.insert(at, 1);
            }
        }
        self.sum = self.sum.saturating_add(time.0);
    }

    /// Reads all buckets of a histogram that somebody else fills; the sum is of upper bounds.
    fn read(bucket: impl Fn(usize) -> u64) -> Self {
        let mut read = Self::default();
        (0..BUCKETS).for_each(|at| read.push(at as u16, bucket(at)));
        read
    }

    /// Appends a bucket after all there are.
    fn push(&mut self, bucket: u16, count: u64) {
        if count > 0 {
            self.buckets.push(bucket);
            self.counts.push(count);
            let (_, high) = bounds_of(bucket.into());
            self.sum = self.sum.saturating_add(count.saturating_mul(high.0));
        }
    }

    fn filled(&self) -> impl Iterator<Item = (u16, u64)> {
        self.buckets.iter().copied().zip(self.counts.iter().copied())
    }

    /// Returns what has been counted since `before`. Where less is counted than before, somebody lies, and nothing is new.
    fn since(&self, before: &Self) -> Self {
        let mut new = Self::default();
        let mut old = before.filled().peekable();
        for (bucket, count) in self.filled() {
            while old.next_if(|(at, _)| *at < bucket).is_some() {}
            let known = old.next_if(|(at, _)| *at == bucket).map_or(0, |(_, known)| known);
            new.push(bucket, count.saturating_sub(known));
        }
        new
    }

    /// Adds what another has counted.
    pub(super) fn add(&mut self, more: &Self) {
        if more.buckets.is_empty() {
            return;
        }
        let mut sum = Self { sum: self.sum.saturating_add(more.sum), ..Self::default() };
        let (mut ours, mut theirs) = (self.filled().peekable(), more.filled().peekable());
        loop {
            let (bucket, count) = match (ours.peek().copied(), theirs.peek().copied()) {
                (Some((a, n)), Some((b, m))) if a == b => (a, n.saturating_add(m)),
                (Some(first), Some(other)) => first.min(other),
                (Some(last), None) | (None, Some(last)) => last,
                (None, None) => break,
            };
            ours.next_if(|(at, _)| *at == bucket);
            theirs.next_if(|(at, _)| *at == bucket);
            sum.buckets.push(bucket);
            sum.counts.push(count);
        }
        drop((ours, theirs));
        *self = sum;
    }

    /// Returns the distribution, with the upper bound of a bucket for all in it.
    pub(super) fn distribution(&self) -> Distribution {
        let (Some(lowest), Some(highest)) = (self.buckets.first(), self.buckets.last()) else {
            return Distribution::default();
        };
        let count = self.counts.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        let quantile = |per_mille: u128| {
            let rank = (u128::from(count) * per_mille).div_ceil(1000);
            let mut seen = 0;
            let at = self.filled().find(|(_, n)| {
                seen += u128::from(*n);
                seen >= rank
            });
            bounds_of(at.map_or(*highest, |(bucket, _)| bucket).into()).1.0
        };
        Distribution {
            count,
            sum_ns: self.sum,
            min_ns: bounds_of((*lowest).into()).0.0,
            p50_ns: quantile(500),
            p90_ns: quantile(900),
            p99_ns: quantile(990),
            p999_ns: quantile(999),
            max_ns: bounds_of((*highest).into()).1.0,
        }
    }
}

/// Times since the start, and those of the last minute.
#[derive(Debug, Default)]
pub(super) struct Times {
    total: Sparse,
    /// The number of the window that runs, counted from the clock's zero, and what it has.
    running: (u64, Sparse),
    /// Those before it that have anything, oldest first.
    before: VecDeque<(u64, Sparse)>,
}

impl Times {
    /// Makes the window that runs now the running one; forgets those that are too old.
    fn turn(&mut self, now: Instant) {
        let number = now.0 / WINDOW.0;
        if self.running.0 != number {
            let (ran, window) = std::mem::replace(&mut self.running, (number, Sparse::default()));
            if !window.buckets.is_empty() {
                self.before.push_back((ran, window));
            }
        }
        while self.before.front().is_some_and(|(ran, _)| ran + WINDOWS < number) {
            self.before.pop_front();
        }
    }

    /// Counts one time.
    pub(super) fn record(&mut self, now: Instant, time: Nanos) {
        self.turn(now);
        self.total.record(time);
        self.running.1.record(time);
    }

    /// Counts many.
    fn add(&mut self, now: Instant, more: &Sparse) {
        self.turn(now);
        self.total.add(more);
        self.running.1.add(more);
    }

    /// Returns all since the start.
    pub(super) fn total(&self) -> Distribution {
        self.total.distribution()
    }

    /// Returns those of the last minute.
    pub(super) fn minute(&mut self, now: Instant) -> Distribution {
        self.turn(now);
        let mut sum = self.running.1.clone();
        self.before.iter().for_each(|(_, window)| sum.add(window));
        sum.distribution()
    }
}

/// Returns how long the last minute is, if there has been anything since `began`.
pub(super) fn minute_span(began: Instant, now: Instant) -> Nanos {
    let first = (now.0 / WINDOW.0).saturating_sub(WINDOWS) * WINDOW.0;
    now.since(began.max(Instant(first)))
}

/// What one tenant measures.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// From seeing a packet to its completion.
    pub(super) dispatch_latency: Times,
    /// From having work to the first instruction, for leases that had to be waited for.
    pub(super) lease_wait: Times,
    /// Lengths of leases, without the time they were parked.
    pub(super) occupancy: Times,
}

impl Figures {
    /// Counts what a worker has measured since it was looked at last.
    pub(super) fn add(&mut self, now: Instant, news: &News) {
        self.dispatch_latency.add(now, &news.dispatch_latency);
        self.lease_wait.add(now, &news.lease_wait);
    }

    /// Lets go of what is older than a minute.
    pub(super) fn expire(&mut self, now: Instant) {
        for times in [&mut self.dispatch_latency, &mut self.lease_wait, &mut self.occupancy] {
            times.turn(now);
        }
    }
}

/// What a worker has measured since it was looked at last.
#[derive(Debug)]
pub(super) struct News {
    dispatch_latency: Sparse,
    lease_wait: Sparse,
}

/// A worker's histograms as they were when we looked last.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Words that move whenever one of the histograms does.
    moved: [u64; 4],
    pub(super) dispatch_latency: Sparse,
    pub(super) lease_wait: Sparse,
}

impl Followed {
    /// Looks at a gate; returns what is new, unless nothing has moved.
    pub(super) fn look(&mut self, gate: &Gate) -> Option<News> {
        const WORDS: [usize; 4] = [
            GateLayout::PACKETS,
            GateLayout::DISPATCHES,
            GateLayout::REPORT_GENERATION,
            GateLayout::FIRST_INSTRUCTION_AT,
        ];
        let moved = WORDS.map(|offset| gate.load(offset));
        if moved == self.moved {
            return None;
        }
        const { assert!(GateLayout::LEASE_WAIT + BUCKETS * 8 <= GateLayout::BYTES.0 as usize) };
        let read = |offset: usize| Sparse::read(|bucket| gate.load(offset + bucket * 8));
        let (dispatch_latency, lease_wait) = (read(GateLayout::DISPATCH_LATENCY), read(GateLayout::LEASE_WAIT));
        let news = News {
            dispatch_latency: dispatch_latency.since(&self.dispatch_latency),
            lease_wait: lease_wait.since(&self.lease_wait),
        };
        *self = Self { moved, dispatch_latency, lease_wait };
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn sparse(times: impl IntoIterator<Item = u64>) -> Sparse {
        let mut sparse = Sparse::default();
        times.into_iter().for_each(|ns| sparse.record(Nanos(ns)));
        sparse
    }

    #[test]
    fn buckets_give_the_distribution_within_their_width() {
        let one = sparse((1..=10_000).map(|value| value * 100));
        let mut both = one.clone();
        both.add(&one);
        for (sparse, count) in [(one, 10_000), (both, 20_000)] {
            let d = sparse.distribution();
            assert_eq!((d.count, d.min_ns, d.sum_ns), (count, 100, count * 500_050));
            let exact = [
                (d.p50_ns, 500_000),
                (d.p90_ns, 900_000),
                (d.p99_ns, 990_000),
                (d.p999_ns, 999_000),
                (d.max_ns, 1_000_000),
            ];
            for (got, exact) in exact {
                assert!(got >= exact && (got - exact) * 128 <= exact, "{got} for {exact}");
            }
        }
        assert_eq!(Sparse::default().distribution(), Distribution::default());
    }

    #[test]
    fn times_of_any_length_have_a_bucket() {
        let d = sparse([1, 999, 1_234_567, 61 * S, u64::MAX]).distribution();
        assert_eq!((d.count, d.min_ns, d.max_ns), (5, 1, proto::histogram::HIGHEST.0));
        assert!(d.p50_ns.abs_diff(1_234_567) * 128 < 1_234_567, "{d:?}");
    }

    #[test]
    fn what_is_new_is_the_difference() {
        let old = sparse([5, 5, 70]);
        let all = sparse([5, 5, 5, 70, 3, 900]);
        assert_eq!(all.since(&old).filled().collect::<Vec<_>>(), sparse([3, 5, 900]).filled().collect::<Vec<_>>());
        assert!(old.since(&all).buckets.is_empty(), "who counts backwards says nothing");
        let mut sum = old;
        sum.add(&sparse([3, 5, 900]));
        assert_eq!(sum, all);
    }

    #[test]
    fn the_last_minute_forgets_and_the_total_does_not() {
        let mut times = Times::default();
        let began = Instant(1_003 * S);
        for second in 0..600 {
            times.record(Instant(began.0 + second * S), Nanos(second + 1));
        }
        let now = Instant(began.0 + 599 * S);
        let span = minute_span(began, now);
        assert!((60 * S..70 * S).contains(&span.0), "{span}");
        let minute = times.minute(now);
        // One a second, and the one of this moment.
        assert_eq!((minute.count, minute.max_ns), (span.0 / S + 1, bounds_of(bucket_of(Nanos(600))).1.0));
        assert_eq!(times.total().count, 600);
        assert!(times.before.len() as u64 <= WINDOWS);
        let later = Instant(now.0 + 70 * S);
        assert_eq!(times.minute(later), Distribution::default());
        assert!(times.before.is_empty(), "a quiet tenant has no minute");
        assert_eq!(minute_span(began, Instant(began.0 + 5 * S)).0, 5 * S, "no longer than it has been");
    }

    #[test]
    fn a_gate_in_which_nothing_moved_is_not_read() {
        let (_object, gate) = Gate::create().unwrap();
        let mut followed = Followed::default();
        assert!(followed.look(&gate).is_none());
        let count = |offset: usize, n| gate.at(offset).store(n, std::sync::atomic::Ordering::Relaxed);
        let latency = GateLayout::DISPATCH_LATENCY + bucket_of(Nanos(500)) * 8;
        count(latency, 3);
        assert!(followed.look(&gate).is_none(), "a worker counts the dispatch after its time");
        count(GateLayout::DISPATCHES, 3);
        let news = followed.look(&gate).unwrap();
        assert_eq!((news.dispatch_latency.distribution().count, &news.lease_wait), (3, &Sparse::default()));
        count(latency, 10);
        count(GateLayout::DISPATCHES, 10);
        assert_eq!(followed.look(&gate).unwrap().dispatch_latency.distribution().count, 7);
        assert_eq!(followed.dispatch_latency.distribution().count, 10);
        let mut figures = Figures::default();
        figures.add(Instant(S), &news);
        assert_eq!(figures.dispatch_latency.total().count, 3);
    }
}
