//! What a demo tenant and the demo say to each other: JSON, one object a line, over the tenant's standard output.

use serde::{Deserialize, Serialize};

/// What a tenant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Role {
    /// Keeps two kernels of about 100 us in flight.
    Saturate,
    /// Sends a small kernel every 20 ms.
    Interactive,
    /// Asks for more memory than it may have.
    Greedy,
}

/// A line of a tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub(super) enum Line {
    /// Connected, memory and code in place.
    Ready {
        /// Device memory it sees.
        vram_bytes: u64,
    },
    /// So many dispatches were complete at this time (CLOCK_MONOTONIC).
    Progress(Progress),
    /// The last line.
    Done(Summary),
}

/// A point on a tenant's way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    /// CLOCK_MONOTONIC nanoseconds.
    pub at_ns: u64,
    /// Dispatches complete since the start.
    pub dispatches: u64,
}

/// Latencies in nanoseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Latency {
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

impl Latency {
    /// Returns the percentiles of a histogram of nanoseconds.
    pub(super) fn of(histogram: &hdrhistogram::Histogram<u64>) -> Latency {
        let at = |q| histogram.value_at_quantile(q);
        Latency { count: histogram.len(), p50: at(0.5), p99: at(0.99), p999: at(0.999), max: histogram.max() }
    }
}

/// What a tenant did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Summary {
    /// Dispatches complete.
    pub dispatches: u64,
    /// Wave-instructions of each.
    pub wave_instructions: u64,
    /// Whether all results agree with the oracle, and if not, how.
    pub wrong: Option<String>,
    /// From when a kernel was sent, or for the interactive one was to be sent, to when its completion was seen.
    pub latency: Latency,
    /// What was denied, in the broker's words.
    pub denied: Option<String>,
    /// CLOCK_MONOTONIC nanoseconds of the first submission and of the last completion.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
}

impl Summary {
    /// Returns wave-instructions per second over its whole run.
    pub(super) fn rate(&self) -> f64 {
        let ns = self.to_ns.saturating_sub(self.from_ns).max(1);
        (self.dispatches * self.wave_instructions) as f64 * 1e9 / ns as f64
    }
}
