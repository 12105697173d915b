//! One measurement at one point of the sweep, with real tenant processes.
//!
//! In this order: each kind of load alone; all together, for throughput, switches, waits and fairness; all together and the probe beside them, for the latency
//! of requests, which in `interactive` is one thing; each kind alone again. What was done together is held against the mean of the two times alone: the host's speed drifts.

use super::super::fairness::{together, verified};
use super::super::figures::{histogram, worst};
use super::super::floor::HostTime;
use super::workload::{Point, Speed, VRAM, Workload};
use crate::admin::{Status, Switches};
use crate::config::values::Span;
use crate::device::soft::SoftConfig;
use crate::stage::config::Scene;
use crate::stage::running::RunningBroker;
use crate::stage::shares::{self, Share};
use crate::stage::wire::{Latency, Part, Progress, Summary};
use crate::stage::{Actor, Host, PrivateBroker};
use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use proto::Nanos;
use serde::Serialize;
use std::time::Duration;

/// Length of a turn alone, and of the one before it that warms up.
const ALONE: Duration = Duration::from_millis(250);
const WARM_UP: Duration = Duration::from_millis(60);
/// Beyond this part of the time stolen, or of a difference between alone before and alone after, a measurement was disturbed.
const STOLEN_MAX: f64 = 0.02;
const DRIFT_MAX: f64 = 0.15;

/// How the tenants' names begin.
const NAMES: &str = "slice-bench-";

/// On what the tenants play.
pub(super) enum Bed {
    /// A broker of its own for every measurement.
    Private(SoftConfig),
    /// One that runs already.
    Running(RunningBroker),
}

/// What a switch between tenants cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct SwitchCost {
    /// Switches seen.
    pub(super) count: u64,
    /// Mean of one, from sums.
    pub(super) mean_ns: f64,
    /// Of the whole. Not known on a broker that counts since long before, as a borrowed one does.
    pub(super) p50_ns: Option<u64>,
    /// See `p50_ns`.
    pub(super) p99_ns: Option<u64>,
    /// Mean from wanting the device back to the holder having stopped.
    pub(super) stop_ns: f64,
    /// Mean from there to the grant.
    pub(super) grant_ns: f64,
    /// Mean from there to the first instruction.
    pub(super) start_ns: f64,
    /// Context saved by one, in bytes.
    pub(super) saved_bytes: f64,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sample {
    /// Work done together over work done alone, by work whose results were verified.
    pub(super) efficiency: f64,
    /// Part of the device time that the broker's accounts leave to tenants while somebody had it.
    pub(super) accounted: f64,
    /// Jain's index of work against what each does alone.
    pub(super) jain: f64,
    /// Farthest that anybody was behind or ahead of its share, in nanoseconds of device time, seen about every 50 ms. Not where
    /// tenants run kernels of different kinds.
    pub(super) lag_ns: Option<f64>,
    /// Leases that changed hands in a second.
    pub(super) switches_per_s: f64,
    /// What they cost.
    pub(super) switch: SwitchCost,
    /// Waits of the saturated tenants for their turn: the worst of their percentiles.
    pub(super) wait: Latency,
    /// Latency of requests, from the planned time.
    pub(super) request: Latency,
    #[serde(skip)]
    pub(super) requests: Histogram<u64>,
    /// Alone after over alone before.
    pub(super) drift: f64,
    /// Part of the host's processor time that its hypervisor gave to others.
    pub(super) stolen: f64,
}

impl Sample {
    /// Whether the host did something else meanwhile that shows in the figures.
    pub(super) fn disturbed(&self) -> bool {
        // Anything that is no number counts too.
        self.stolen > STOLEN_MAX || !((self.drift - 1.0).abs() <= DRIFT_MAX && self.efficiency.is_finite())
    }
}

/// Measures how fast the device is.
pub(super) fn speed(bed: &mut Bed) -> Result<Speed> {
    let point = Point { workload: Workload::Short, tenants: 1, slice_ns: 5_000_000 };
    bed.play(point, &[Part::SATURATE], |_, actors| {
        let actor = actors.first_mut().context("one tenant")?;
        let rate = alone(actor)?;
        Ok(Speed { wave_instructions_per_ns: rate / 1e9 })
    })
}

/// Returns work per second of one alone.
fn alone(actor: &mut Actor) -> Result<f64> {
    for span in [WARM_UP, ALONE] {
        actor.go(span)?;
        let rate = verified(actor.summary(span)?)?.rate();
        if span == ALONE {
            ensure!(
                rate > 0.0,
                "a tenant alone got no kernel done in {ALONE:?}: the host is too busy, or the device very slow"
            );
            return Ok(rate);
        }
    }
    anyhow::bail!("a turn alone was not played")
}

impl Bed {
    /// Puts tenants with these parts on a broker with the point's slice.
    fn play<T>(
        &mut self,
        point: Point,
        parts: &[Part],
        measure: impl FnOnce(&dyn Fn() -> Result<Status>, &mut [Actor]) -> Result<T>,
    ) -> Result<T> {
        let names: Vec<String> = (0..parts.len()).map(|k| format!("{NAMES}{k}")).collect();
        match self {
            Bed::Private(device) => {
                let scene = Scene::new(device, &Span(Nanos(point.slice_ns)).to_string());
                let scene = names.iter().fold(scene, |scene, name| scene.tenant(name, 100, VRAM, ""));
                let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
                play_on(&broker, &names, parts, measure)
            }
            Bed::Running(broker) => {
                broker.hire(&names, VRAM)?;
                broker.set_slice(point.slice_ns)?;
                play_on(broker, &names, parts, measure)
            }
        }
    }

    /// Measures at a point for `span_ns`.
    pub(super) fn measure(&mut self, point: Point, speed: Speed, span_ns: u64) -> Result<Sample> {
        let mut parts = point.workload.batch(point.tenants, speed);
        let batch = parts.len();
        parts.push(point.workload.probe(speed));
        self.play(point, &parts, |status, actors| {
            let before = HostTime::now();
            let (actors, probe) = actors.split_at_mut(batch);
            let probe = probe.first_mut().context("a probe")?;
            let first = Alone::of(actors, &parts)?;

            let was = status()?;
            let span = Duration::from_nanos(span_ns);
            // The one who asks now and then is one of those who compete, or somebody beside them.
            let one_of_them = point.workload == Workload::Interactive;
            if one_of_them {
                probe.go(span)?;
            }
            let (progress, summaries) = together(actors, span)?;
            let is = status()?;
            if !one_of_them {
                probe.go(span)?;
                together(actors, span)?;
            }
            let asked = verified(probe.summary(span)?)?;

            let second = Alone::of(actors, &parts)?;
            let drift = second.total() / first.total();
            let alone = first.mean(&second);
            let stolen = HostTime::now().stolen_since(before);
            let mut sample = Sample::of(&progress, &summaries, &alone, (&was, &is))?;
            if let Some(alone) = alone.0.first().filter(|_| one_of_them) {
                // Its kernels are of the others' kind, so what they would take alone is known.
                sample.efficiency += asked.rate() / alone;
            }
            if parts[..batch].iter().any(|part| *part != parts[0]) {
                sample.lag_ns = None;
            }
            sample.requests = merged([asked.samples.as_slice()])?;
            sample.request = Latency::of(&sample.requests);
            (sample.drift, sample.stolen) = (drift, stolen);
            Ok(sample)
        })
    }
}

fn play_on<T>(
    broker: &impl Host,
    names: &[String],
    parts: &[Part],
    measure: impl FnOnce(&dyn Fn() -> Result<Status>, &mut [Actor]) -> Result<T>,
) -> Result<T> {
    let mut actors =
        names.iter().zip(parts).map(|(name, part)| Actor::start(broker, name, *part)).collect::<Result<Vec<_>>>()?;
    for actor in &mut actors {
        actor.wait_ready()?;
    }
    let measured = measure(&|| broker.status(), &mut actors)?;
    for actor in actors {
        actor.leave()?;
    }
    Ok(measured)
}

/// Puts latencies from several plays together.
pub(super) fn merged<'a>(plays: impl IntoIterator<Item = &'a [(u64, u64)]>) -> Result<Histogram<u64>> {
    let mut all = histogram()?;
    for &(value, count) in plays.into_iter().flatten() {
        all.saturating_record_n(value, count);
    }
    Ok(all)
}

/// Work per second that each tenant does when it has the device to itself.
struct Alone(Vec<f64>);

impl Alone {
    /// One tenant of each kind plays for all of its kind.
    fn of(actors: &mut [Actor], parts: &[Part]) -> Result<Alone> {
        let mut rates: Vec<(Part, f64)> = Vec::new();
        for (actor, part) in actors.iter_mut().zip(parts) {
            if !rates.iter().any(|(seen, _)| seen == part) {
                rates.push((*part, alone(actor)?));
            }
        }
        let rate = |part: &Part| rates.iter().find(|(seen, _)| seen == part).map(|(_, rate)| *rate);
        let all = parts[..actors.len()].iter().map(rate).collect::<Option<Vec<_>>>();
        all.map(Alone).context("a tenant of each kind")
    }

    fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    fn mean(&self, other: &Alone) -> Alone {
        Alone(self.0.iter().zip(&other.0).map(|(a, b)| f64::midpoint(*a, *b)).collect())
    }
}

impl Sample {
    fn of(
        progress: &[Vec<Progress>],
        summaries: &[Summary],
        alone: &Alone,
        (was, is): (&Status, &Status),
    ) -> Result<Sample> {
        let weights: Vec<(&str, u32)> = summaries.iter().map(|_| ("", 1)).collect();
        let mut shares = Share::of(&weights, progress, summaries)?;
        // From work per second to parts of the device: kernels of different kinds do different work in the same time.
        shares.iter_mut().zip(&alone.0).for_each(|(share, alone)| share.rate /= alone);
        let used: Vec<f64> = summaries.iter().zip(&alone.0).map(|(s, alone)| s.work as f64 / alone).collect();
        let (occupied, other) = {
            let (was, is) = (&was.device_time, &is.device_time);
            let other = is.switch_ns + is.scrub_ns + is.recovery_ns - was.switch_ns - was.scrub_ns - was.recovery_ns;
            (is.occupancy_ns - was.occupancy_ns, other)
        };
        let from = summaries.iter().map(|s| s.from_ns).min().unwrap_or_default();
        let to = summaries.iter().map(|s| s.to_ns).max().unwrap_or_default();
        let switch = SwitchCost::of(&was.switches_between_tenants, &is.switches_between_tenants);
        Ok(Sample {
            efficiency: shares.iter().map(|s| s.rate).sum(),
            accounted: occupied as f64 / (occupied + other).max(1) as f64,
            jain: shares::jain(&shares),
            lag_ns: Some(lag_ns(progress, &used)),
            switches_per_s: switch.count as f64 * 1e9 / (to - from).max(1) as f64,
            switch,
            wait: waits(is),
            request: Latency::default(),
            requests: histogram()?,
            drift: 1.0,
            stolen: 0.0,
        })
    }
}

/// Returns how far anybody was from its equal share at most, in nanoseconds of device time. `used` is the seconds of the device that one dispatch of each
/// tenant takes. Seen at the tenants' reports, from when all have begun until one has ended.
fn lag_ns(progress: &[Vec<Progress>], used: &[f64]) -> f64 {
    let Some((from, to)) = shares::common_interval(progress) else { return 0.0 };
    let since = |k: usize, at: u64| {
        (shares::dispatches_at(&progress[k], at) - shares::dispatches_at(&progress[k], from)) * used[k]
    };
    let times = progress.iter().flatten().map(|p| p.at_ns).filter(|at| (from..=to).contains(at));
    let worst = |at: u64| {
        let all: Vec<f64> = (0..progress.len()).map(|k| since(k, at)).collect();
        let fair = all.iter().sum::<f64>() / all.len() as f64;
        all.iter().map(|got| (got - fair).abs()).fold(0.0, f64::max)
    };
    1e9 * times.map(worst).fold(0.0, f64::max)
}

/// Returns the worst of each percentile of the sessions' waits.
fn waits(status: &Status) -> Latency {
    // On a borrowed broker there may be others.
    let ours = status.sessions.iter().filter(|s| s.tenant.to_string().starts_with(NAMES));
    worst(ours.map(|s| s.lease_wait))
}

impl SwitchCost {
    fn of(was: &Switches, is: &Switches) -> SwitchCost {
        let count = is.total.count - was.total.count;
        let mean = |was: u64, is: u64| (is - was) as f64 / count.max(1) as f64;
        SwitchCost {
            count,
            mean_ns: mean(was.total.sum_ns, is.total.sum_ns),
            // Somebody else's switches, if there were many before ours.
            p50_ns: (was.total.count <= count).then_some(is.total.p50_ns),
            p99_ns: (was.total.count <= count).then_some(is.total.p99_ns),
            stop_ns: mean(was.stop.sum_ns, is.stop.sum_ns),
            grant_ns: mean(was.grant.sum_ns, is.grant.sum_ns),
            start_ns: mean(was.start.sum_ns, is.start.sum_ns),
            saved_bytes: mean(was.saved_bytes, is.saved_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(per_ms: u64, from_ms: u64, to_ms: u64) -> Vec<Progress> {
        let at = |ms: u64| Progress { at_ns: ms * 1_000_000, dispatches: (ms - from_ms) * per_ms, backlogged: true };
        (from_ms..=to_ms).step_by(10).map(at).collect()
    }

    #[test]
    fn lag_is_the_farthest_from_the_equal_share() {
        // A dispatch of the one takes 100 us, of the other 50 us: both use half of the device.
        let fair = [line(5, 0, 1000), line(10, 0, 1000)];
        assert!(lag_ns(&fair, &[1e-4, 5e-5]).abs() < 1.0);
        // The other one stands still from 500 ms on while the one goes on at the same rate: half of what the one does more.
        let mut unfair = fair.clone();
        unfair[1].iter_mut().filter(|p| p.at_ns > 500_000_000).for_each(|p| p.dispatches = 5_000);
        let lag = lag_ns(&unfair, &[1e-4, 5e-5]);
        assert!((lag - 125e6).abs() < 1e6, "{lag}");
    }

    #[test]
    fn what_a_switch_cost_is_of_those_between_two_looks() {
        let mut was = Switches::default();
        (was.total.count, was.total.sum_ns, was.saved_bytes) = (10, 1_000, 80);
        let mut is = was;
        (is.total.count, is.total.sum_ns, is.saved_bytes) = (14, 3_000, 480);
        let cost = SwitchCost::of(&was, &is);
        assert_eq!((cost.count, cost.mean_ns, cost.saved_bytes), (4, 500.0, 100.0));
        assert_eq!(SwitchCost::of(&was, &was).mean_ns, 0.0);
    }

    #[test]
    fn plays_are_put_together_value_by_value() {
        let all = merged([&[(100, 2), (200, 1)][..], &[(100, 1)][..]]).unwrap();
        assert_eq!((all.len(), all.count_at(100), all.max()), (4, 3, 200));
    }
}
