//! What a played tenant and its director say to each other: JSON, one object a line, over the tenant's standard input and output.

use serde::{Deserialize, Serialize};

/// What a tenant does whenever it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Keeps some kernels in flight.
    Saturate {
        /// Wave-instructions of one kernel: 10,000 take about 100 us on [`DEVICE`](crate::stage::DEVICE).
        wave_instructions: u64,
        /// Kernels in flight.
        in_flight: usize,
    },
    /// Keeps two long kernels in flight that fill the device with waves, and some memory.
    Resident {
        /// Waves of a kernel: what a suspend has to save.
        waves: u32,
        /// Wave-instructions of one kernel.
        wave_instructions: u64,
        /// Device memory that it has besides, and has written to, in MiB.
        vram_mib: u64,
    },
    /// Keeps two long kernels in flight whose waves hold 128 vector registers a lane each, and some LDS.
    Held {
        /// Waves of a kernel, each a work-group of its own.
        waves: u32,
        /// Wave-instructions of one kernel.
        wave_instructions: u64,
        /// LDS of each work-group in bytes.
        lds_bytes: u32,
    },
    /// Keeps some kernels in flight that do little but read and write memory.
    Stream {
        /// Bytes that one kernel reads and writes, in KiB.
        kib: u64,
        /// Kernels in flight.
        in_flight: usize,
    },
    /// Sends a small kernel at fixed times.
    Interactive {
        /// Nanoseconds between two of them.
        period_ns: u64,
    },
    /// Sends a kernel at random times that are planned ahead, one in each period: it meets a slice at any point of it.
    Probe {
        /// Mean time between two of them in nanoseconds.
        period_ns: u64,
        /// Wave-instructions of each.
        wave_instructions: u64,
    },
    /// Sleeps, and then sends many kernels at once, at fixed times.
    Burst {
        /// Wave-instructions of one kernel.
        wave_instructions: u64,
        /// Kernels at once.
        kernels: usize,
        /// Nanoseconds between two bursts.
        period_ns: u64,
    },
    /// Asks for more memory than it may have.
    Greedy,
    /// Connects, and does nothing.
    Idle,
}

impl Part {
    /// Keeps 48 kernels of about 100 us in flight, so that its queue stays full while the host has its processor elsewhere.
    pub const SATURATE: Part = Part::Saturate { wave_instructions: 14_000, in_flight: 48 };
    /// Sends a small kernel every 20 ms.
    pub const INTERACTIVE: Part = Part::Interactive { period_ns: 20_000_000 };
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Saturate { wave_instructions, in_flight } => write!(f, "saturate:{wave_instructions}:{in_flight}"),
            Part::Resident { waves, wave_instructions, vram_mib } => {
                write!(f, "resident:{waves}:{wave_instructions}:{vram_mib}")
            }
            Part::Held { waves, wave_instructions, lds_bytes } => {
                write!(f, "held:{waves}:{wave_instructions}:{lds_bytes}")
            }
            Part::Stream { kib, in_flight } => write!(f, "stream:{kib}:{in_flight}"),
            Part::Interactive { period_ns } => write!(f, "interactive:{period_ns}"),
            Part::Probe { period_ns, wave_instructions } => write!(f, "probe:{period_ns}:{wave_instructions}"),
            Part::Burst { wave_instructions, kernels, period_ns } => {
                write!(f, "burst:{wave_instructions}:{kernels}:{period_ns}")
            }
            Part::Greedy => write!(f, "greedy"),
            Part::Idle => write!(f, "idle"),
        }
    }
}

impl std::str::FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Part, String> {
        let bad = || {
            let parts = "saturate:INSTRUCTIONS:IN-FLIGHT, resident:WAVES:INSTRUCTIONS:MIB, \
                         held:WAVES:INSTRUCTIONS:BYTES, stream:KIB:IN-FLIGHT, interactive:NANOSECONDS, probe:NANOSECONDS:INSTRUCTIONS, \
                         burst:INSTRUCTIONS:KERNELS:NANOSECONDS, greedy, idle";
            format!("{text:?} is no part: {parts}")
        };
        let mut words = text.split(':');
        let name = words.next();
        let mut number = || words.next().and_then(|w| w.parse::<u64>().ok()).filter(|n| *n > 0).ok_or_else(bad);
        let part = match name {
            Some("saturate") => Part::Saturate {
                wave_instructions: number()?,
                in_flight: usize::try_from(number()?).map_err(|_| bad())?,
            },
            Some("resident") => Part::Resident {
                waves: u32::try_from(number()?).map_err(|_| bad())?,
                wave_instructions: number()?,
                vram_mib: number()?,
            },
            Some("held") => Part::Held {
                waves: u32::try_from(number()?).map_err(|_| bad())?,
                wave_instructions: number()?,
                lds_bytes: u32::try_from(number()?).map_err(|_| bad())?,
            },
            Some("stream") => {
                Part::Stream { kib: number()?, in_flight: usize::try_from(number()?).map_err(|_| bad())? }
            }
            Some("interactive") => Part::Interactive { period_ns: number()? },
            Some("probe") => Part::Probe { period_ns: number()?, wave_instructions: number()? },
            Some("burst") => Part::Burst {
                wave_instructions: number()?,
                kernels: usize::try_from(number()?).map_err(|_| bad())?,
                period_ns: number()?,
            },
            Some("greedy") => Part::Greedy,
            Some("idle") => Part::Idle,
            _ => return Err(bad()),
        };
        if words.next().is_some() { Err(bad()) } else { Ok(part) }
    }
}

/// A line to a tenant: play until then. End of input: leave.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Go {
    /// CLOCK_MONOTONIC nanoseconds.
    pub until_ns: u64,
}

/// A line of a tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Line {
    /// Connected, memory and code in place.
    Ready {
        /// Device memory it sees.
        vram_bytes: u64,
    },
    /// So many dispatches were complete at this time (CLOCK_MONOTONIC).
    Progress(Progress),
    /// The last line of a play.
    Done(Summary),
}

/// A point on a tenant's way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// CLOCK_MONOTONIC nanoseconds.
    pub at_ns: u64,
    /// Dispatches complete since the start.
    pub dispatches: u64,
    /// Whether there was work in the queue all the time since the report before.
    pub backlogged: bool,
}

/// Longest time that is told apart from longer ones: a minute.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// Returns a histogram of nanoseconds, three digits.
pub fn histogram() -> anyhow::Result<hdrhistogram::Histogram<u64>> {
    Ok(hdrhistogram::Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)?)
}

/// Returns the values of a histogram and how often each was seen.
pub fn recorded(histogram: &hdrhistogram::Histogram<u64>) -> Vec<(u64, u64)> {
    histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect()
}

/// Latencies in nanoseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest.
    pub max: u64,
}

impl Latency {
    /// Returns the percentiles of a histogram of nanoseconds.
    pub fn of(histogram: &hdrhistogram::Histogram<u64>) -> Latency {
        let at = |q| histogram.value_at_quantile(q);
        let (p50, p90, p99, p999) = (at(0.5), at(0.9), at(0.99), at(0.999));
        Latency { count: histogram.len(), p50, p90, p99, p999, max: histogram.max() }
    }
}

/// What a tenant did in one play.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Dispatches complete.
    pub dispatches: u64,
    /// What each of them does: wave-instructions, or bytes for a stream.
    pub work: u64,
    /// Whether all results agree with the oracle, and if not, how.
    pub wrong: Option<String>,
    /// From when a kernel was sent, or for the interactive one was to be sent, to when its completion was seen.
    pub latency: Latency,
    /// The same as values and how often each was seen, for whoever puts several plays together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<(u64, u64)>,
    /// What was denied, in the broker's words.
    pub denied: Option<String>,
    /// CLOCK_MONOTONIC nanoseconds of the first submission and of the last completion.
    pub from_ns: u64,
    /// See `from_ns`.
    pub to_ns: u64,
}

impl Summary {
    /// Returns work per second over the whole play.
    pub fn rate(&self) -> f64 {
        let ns = self.to_ns.saturating_sub(self.from_ns).max(1);
        (self.dispatches * self.work) as f64 * 1e9 / ns as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_as_they_are_written() {
        for part in [
            Part::SATURATE,
            Part::INTERACTIVE,
            Part::Greedy,
            Part::Idle,
            Part::Resident { waves: 1, wave_instructions: 2, vram_mib: 3 },
            Part::Held { waves: 4, wave_instructions: 5, lds_bytes: 512 },
            Part::Stream { kib: 1, in_flight: 2 },
            Part::Probe { period_ns: 3, wave_instructions: 4 },
            Part::Burst { wave_instructions: 9, kernels: 8, period_ns: 7 },
        ] {
            assert_eq!(part.to_string().parse(), Ok(part));
        }
        for wrong in
            ["", "saturate", "saturate:0:1", "saturate:1:1:1", "interactive:x", "greedy:1", "stream:1", "probe:1:0"]
        {
            wrong.parse::<Part>().unwrap_err();
        }
    }
}
