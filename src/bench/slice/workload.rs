//! What the tenants of a sweep do.

use crate::config::values::Span;
use crate::stage::wire::Part;
use anyhow::{Result, bail};
use proto::Nanos;
use serde::Serialize;

/// A kind of load. Lengths of kernels are of one alone on the device, in its own speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Workload {
    /// Kernels of 20 us.
    Short,
    /// Tenants with kernels of 20 us, 200 us and 5 ms in turn.
    Mixed,
    /// Kernels of 5 ms.
    Long,
    /// Kernels that do little but read and write 3 MiB of memory.
    Memory,
    /// All but one tenant run kernels of 1 ms without end; that one wants 1 ms sixty times a second.
    Interactive,
}

/// Device memory of each tenant, enough for any load.
pub(super) const VRAM: &str = "64MiB";
/// How far ahead of the device tenants send, in nanoseconds of work: more than the longest wait for a turn is of no use, less lets queues run dry.
const AHEAD_NS: u64 = 20_000_000;
/// Most kernels in flight.
const IN_FLIGHT_MAX: u64 = 1_000;

/// How fast the device runs kernels, found out before the sweep.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Speed {
    /// Wave-instructions a nanosecond, of the arithmetic kernel.
    pub(super) wave_instructions_per_ns: f64,
}

impl Speed {
    fn length(self, ns: u64) -> u64 {
        ((self.wave_instructions_per_ns * ns as f64) as u64).max(64)
    }

    fn saturate(self, kernel_ns: u64) -> Part {
        let in_flight = (AHEAD_NS / kernel_ns).clamp(4, IN_FLIGHT_MAX);
        Part::Saturate { wave_instructions: self.length(kernel_ns), in_flight: in_flight as usize }
    }
}

impl Workload {
    /// Every kind, in the order of the report.
    pub(super) const ALL: [Workload; 5] =
        [Workload::Short, Workload::Mixed, Workload::Long, Workload::Memory, Workload::Interactive];

    /// Returns the name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Workload::Short => "short",
            Workload::Mixed => "mixed",
            Workload::Long => "long",
            Workload::Memory => "memory",
            Workload::Interactive => "interactive",
        }
    }

    /// Returns what it is, in a few words.
    pub(super) fn about(self) -> &'static str {
        match self {
            Workload::Short => "kernels of 20 us",
            Workload::Mixed => "kernels of 20 us, 200 us and 5 ms, a tenant each in turn",
            Workload::Long => "kernels of 5 ms",
            Workload::Memory => "kernels that stream 3 MiB",
            Workload::Interactive => "1 ms sixty times a second, beside kernels of 1 ms without end",
        }
    }

    /// Returns what the tenants do that always want the device.
    pub(super) fn batch(self, tenants: u32, speed: Speed) -> Vec<Part> {
        const US: u64 = 1_000;
        let all = |part: Part, count: u32| vec![part; count as usize];
        match self {
            Workload::Short => all(speed.saturate(20 * US), tenants),
            Workload::Long => all(speed.saturate(5_000 * US), tenants),
            Workload::Memory => all(Part::Stream { kib: 3 << 10, in_flight: 8 }, tenants),
            Workload::Interactive => all(speed.saturate(1_000 * US), tenants.saturating_sub(1)),
            Workload::Mixed => {
                let kinds = [20 * US, 200 * US, 5_000 * US].map(|ns| speed.saturate(ns));
                (0..tenants as usize).map(|k| kinds[k % kinds.len()]).collect()
            }
        }
    }

    /// Returns what the tenant does whose requests are timed.
    pub(super) fn probe(self, speed: Speed) -> Part {
        match self {
            Workload::Interactive => Part::Probe { period_ns: 16_666_667, wave_instructions: speed.length(1_000_000) },
            _ => Part::Probe { period_ns: 5_000_000, wave_instructions: speed.length(20_000) },
        }
    }
}

/// A place in the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Point {
    pub(super) workload: Workload,
    /// Tenants that compete; the one whose requests are timed is one more, except in `interactive`.
    pub(super) tenants: u32,
    pub(super) slice_ns: u64,
}

/// What is swept.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Plan {
    pub(super) slices_ns: Vec<u64>,
    pub(super) tenants: Vec<u32>,
    pub(super) workloads: Vec<Workload>,
    pub(super) rounds: u32,
    /// Seconds of a measurement at least.
    pub(super) seconds: f64,
    /// Draws the order.
    pub(super) seed: u64,
}

impl Plan {
    /// Returns all points once. One tenant alone has no switches, so it is measured at one slice only; and a tenant that competes with nobody is not interactive
    /// beside anything.
    pub(super) fn points(&self) -> Vec<Point> {
        let mut all = Vec::new();
        for &workload in &self.workloads {
            for &tenants in &self.tenants {
                let middle = self.slices_ns.get(self.slices_ns.len() / 2);
                let slices: Vec<u64> = match tenants {
                    1 if workload == Workload::Interactive => Vec::new(),
                    1 => middle.copied().into_iter().collect(),
                    _ => self.slices_ns.clone(),
                };
                all.extend(slices.into_iter().map(|slice_ns| Point { workload, tenants, slice_ns }));
            }
        }
        all
    }

    /// Returns all points of all rounds in the order they are measured: each round has every point, in an order of its own, so that what the host
    /// does over time falls on all of them alike.
    pub(super) fn order(&self) -> Vec<Point> {
        let mut random = oorandom::Rand64::new(u128::from(self.seed));
        let mut all = Vec::new();
        for _ in 0..self.rounds {
            let mut round = self.points();
            for k in (1..round.len()).rev() {
                round.swap(k, random.rand_range(0..k as u64 + 1) as usize);
            }
            all.extend(round);
        }
        all
    }

    /// Refuses what cannot be swept.
    pub(super) fn check(&self) -> Result<()> {
        let possible = broker::SLICE_MIN.0..=broker::SLICE_MAX.0;
        if let Some(ns) = self.slices_ns.iter().find(|ns| !possible.contains(*ns)) {
            bail!("--slices {}: a broker takes {} to {}", Span(Nanos(*ns)), broker::SLICE_MIN, broker::SLICE_MAX);
        }
        if self.slices_ns.len() < 3 {
            bail!("{} slices say nothing about how cost depends on them; name three or more", self.slices_ns.len());
        }
        if !self.tenants.iter().any(|n| *n > 1) {
            bail!("one tenant alone shares nothing; name 2 or more with --tenants");
        }
        Ok(())
    }

    /// Returns how long one measurement takes in all, about: a broker and its tenants are started, each kind of tenant plays alone twice, all of them once or twice.
    pub(super) fn cost_ns(&self, point: Point) -> u64 {
        const START_NS: u64 = 350_000_000;
        const ALONE_NS: u64 = 2 * 310_000_000;
        let (kinds, plays) = match point.workload {
            Workload::Mixed => (u64::from(point.tenants.min(3)), 2),
            Workload::Interactive => (1, 1),
            Workload::Short | Workload::Long | Workload::Memory => (1, 2),
        };
        START_NS + kinds * ALONE_NS + plays * self.span_ns(point)
    }

    /// Returns how long one point is measured: many turns of everybody, however long the slice.
    pub(super) fn span_ns(&self, point: Point) -> u64 {
        const TURNS: u64 = 6;
        ((self.seconds * 1e9) as u64).max(TURNS * u64::from(point.tenants) * point.slice_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            slices_ns: vec![1_000_000, 2_000_000, 4_000_000],
            tenants: vec![1, 2],
            workloads: Workload::ALL.to_vec(),
            rounds: 2,
            seconds: 1e-9,
            seed: 3,
        }
    }

    #[test]
    fn every_round_has_every_point_once_in_another_order() {
        let plan = plan();
        let (mut points, order) = (plan.points(), plan.order());
        // Five workloads at two tenants, four of them also alone.
        assert_eq!(points.len(), 5 * 3 + 4);
        let (mut first, mut second) = (order[..19].to_vec(), order[19..].to_vec());
        assert_ne!(first, second);
        for round in [&mut first, &mut second, &mut points] {
            round.sort();
        }
        assert!(first == points && second == points);
    }

    #[test]
    fn everybody_has_several_turns_in_a_measurement() {
        let point = Point { workload: Workload::Long, tenants: 8, slice_ns: 10 };
        assert_eq!(plan().span_ns(point), 480);
        assert_eq!(Plan { seconds: 1.0, ..plan() }.span_ns(point), 1_000_000_000);
    }

    #[test]
    fn loads_keep_the_device_busy_for_longer_than_a_short_turn() {
        let speed = Speed { wave_instructions_per_ns: 0.1 };
        for workload in Workload::ALL {
            let batch = workload.batch(4, speed);
            assert_eq!(batch.len(), if workload == Workload::Interactive { 3 } else { 4 });
            for part in batch {
                if let Part::Saturate { wave_instructions, in_flight } = part {
                    assert!(wave_instructions as f64 * in_flight as f64 / 0.1 >= 9e6, "{part}");
                }
            }
        }
        assert!(plan().check().is_ok());
        assert!(Plan { slices_ns: vec![1_000_000, 2_000_000], ..plan() }.check().is_err());
        assert!(Plan { slices_ns: vec![1, 2, 3], ..plan() }.check().is_err());
        assert!(Plan { tenants: vec![1], ..plan() }.check().is_err());
    }
}
