//! What the scheduler promises, judged end to end: real processes, work done and verified, on a device of one thread.
//!
//! | promise | played as | kept if |
//! |---|---|---|
//! | `shares` | two saturated tenants, weights 3:1, slices of 5 ms | each has its share of the work, to 1 % of that share |
//! | `equal` | equal tenants, for numbers and kernel lengths | Jain's index of work is at least 0.999 |
//! | `half` | one tenant of half the weight among light ones | its work is off by at most `3 L / B`, the bound of `sched::bounds` for device time, L the longest lease there was; device time is shown beside |
//! | `latency` | a latency-class tenant beside hogs, and alone, in turns | p99 is at most 1.1 x its p99 alone, plus one switch |
//! | `sleeper` | a tenant that sleeps and bursts beside two saturated ones | nobody waits for the device for more than two slices, and the switches, beyond what they wait for each other |
//!
//! The two waits are called `host`, and neither kept nor broken, if they were missed by no more than what two bare wake-ups took there, on the device's
//! processor beside the same tenants, at p99.
//!
//! Nobody's work counts unless its results agree with the oracle. What the host adds is shown beside: how much of the time the workers were ready to run and
//! Linux ran somebody else (a device of silicon is not kept waiting like that: what is more than a percent or two decides work and waits, and not the broker),
//! and for the latency class two bare wake-ups among the same hogs, which is what a switch would cost if nothing had to be done for it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::Common;
use super::fairness::{together, verified};
use super::figures::{histogram, time};
use super::floor::TwoWakes;
use crate::device::soft::SoftConfig;
use crate::stage::config::Scene;
use crate::stage::wire::{Part, Summary};
use crate::stage::{self, Actor, Host as _, PrivateBroker, shares};

/// What the bench can be told.
#[derive(clap::Args, Debug)]
pub struct PromisesArgs {
    #[command(flatten)]
    common: Common,
    /// Only these promises.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Promise>,
    /// Seconds in which all compete.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
    /// How many equal tenants.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 8, 64], value_parser = clap::value_parser!(u32).range(2..=64))]
    tenants: Vec<u32>,
    /// Lengths of their kernels in wave-instructions: 100 are about 1 us.
    #[arg(long, value_delimiter = ',', default_values_t = [500, 100_000, 5_000_000], value_parser = clap::value_parser!(u64).range(64..))]
    kernels: Vec<u64>,
    /// Rounds of the latency-class tenant alone and beside hogs.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Hogs beside it, and saturated tenants beside the sleeper.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=16))]
    hogs: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Promise {
    Shares,
    Equal,
    Half,
    Latency,
    Sleeper,
}

const ALL: [Promise; 5] = [Promise::Shares, Promise::Equal, Promise::Half, Promise::Latency, Promise::Sleeper];
const SLICE: &str = "5ms";
const SLICE_NS: u64 = 5_000_000;
/// 10,000 wave-instructions take about 100 us on one host thread.
const KERNEL: u64 = 14_000;

/// What device time is not looked at of, at the beginning and at the end.
const EDGE: Duration = Duration::from_millis(500);

/// What one promise came to.
#[derive(Debug, Serialize)]
struct Verdict {
    promise: String,
    measured: String,
    allowed: String,
    came_to: CameTo,
}

/// Whether a promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum CameTo {
    Kept,
    /// Missed by no more than the host's own delays come to, as measured in the same run.
    Host,
    Broken,
}

impl CameTo {
    fn kept(is: bool) -> CameTo {
        if is { CameTo::Kept } else { CameTo::Broken }
    }

    /// What a time came to that is promised to be at most `most`, or `host` if the host is as bad as here.
    fn at_most(ns: u64, most: u64, host: u64) -> CameTo {
        if ns <= most {
            CameTo::Kept
        } else if ns <= host {
            CameTo::Host
        } else {
            CameTo::Broken
        }
    }

    fn word(self) -> &'static str {
        match self {
            CameTo::Kept => "kept",
            CameTo::Host => "host",
            CameTo::Broken => "BROKEN",
        }
    }
}

pub(super) fn run(args: &PromisesArgs) -> Result<ExitCode> {
    let device = stage::apart(args.common.device)?;
    let mut verdicts = Vec::new();
    let mut say = |verdict: Verdict| {
        if !args.common.json {
            let Verdict { promise, measured, allowed, came_to } = &verdict;
            println!("{:<6} {promise:<58} {measured:<58} {allowed}", came_to.word());
        }
        verdicts.push(verdict);
    };
    if !args.common.json {
        println!("{device}, slices of {SLICE}, {} s each\n", args.seconds);
        println!("{:<6} {:<58} {:<58} ALLOWED", "", "PROMISE", "MEASURED");
    }
    for promise in ALL.into_iter().filter(|promise| args.only.is_empty() || args.only.contains(promise)) {
        match promise {
            Promise::Shares => say(weights(&device, args.seconds)?),
            Promise::Equal => {
                for &tenants in &args.tenants {
                    for &kernel in &args.kernels {
                        say(equal(&device, args.seconds, tenants, kernel)?);
                    }
                }
            }
            Promise::Half => say(half(&device, args.seconds)?),
            Promise::Latency => say(latency(&device, args)?),
            Promise::Sleeper => say(sleeper(&device, args)?),
        }
    }
    let kept = verdicts.iter().all(|verdict| verdict.came_to != CameTo::Broken);
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&verdicts)?);
    }
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Enough kernels in flight that the queue stays full while the host is elsewhere, and no more, as they are waited for at the end.
fn in_flight(kernel: u64) -> usize {
    usize::try_from(1_200_000 / kernel).unwrap_or(0).clamp(2, 1024)
}

/// What came of a competition.
struct Outcome {
    shares: Vec<shares::Share>,
    /// The longest lease, and what a switch took at most: L of the bounds, as it was.
    longest_ns: u64,
    /// Each one's part of the device time that was charged meanwhile, in percent: what the scheduler did, whatever came of it.
    charged: Vec<f64>,
    host: HostShare,
}

/// How much of a span the host kept processors from workers that were ready to run.
struct HostShare {
    waited_ns: u64,
    span: Duration,
}

impl HostShare {
    /// Measures from `before` on, what [`waited_ns`] returned, to now.
    fn since(broker: &PrivateBroker, before: u64, span: Duration) -> HostShare {
        HostShare { waited_ns: waited_ns(broker).saturating_sub(before), span }
    }
}

impl std::fmt::Display for HostShare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "host elsewhere {:.1} %", 100.0 * self.waited_ns as f64 / self.span.as_nanos().max(1) as f64)
    }
}

/// Returns how long the threads of all workers have waited for a processor so far: the second number of `schedstat`, see proc(5).
fn waited_ns(broker: &PrivateBroker) -> u64 {
    let tasks = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let waited = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or_default()
    };
    broker.workers().into_iter().flat_map(tasks).map(waited).sum()
}

/// Lets saturated tenants of these weights compete, and returns what came of it.
fn compete(device: &SoftConfig, span: Duration, weights: &[u32], kernel: u64) -> Result<Outcome> {
    let names: Vec<String> = (0..weights.len()).map(|k| format!("tenant-{k}")).collect();
    let mut scene = Scene::new(device, SLICE).sessions(weights.len() as u32);
    for (name, weight) in names.iter().zip(weights) {
        scene = scene.tenant(name, *weight, "4MiB", "");
    }
    let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
    let part = Part::Saturate { wave_instructions: kernel, in_flight: in_flight(kernel) };
    // One after the other: the broker has room for so many that knock at a time.
    let start = |name: &String| {
        let mut actor = Actor::start(&broker, name, part)?;
        actor.wait_ready()?;
        Ok(actor)
    };
    let mut actors = names.iter().map(start).collect::<Result<Vec<_>>>()?;
    let waited = waited_ns(&broker);
    let (played, spent) = std::thread::scope(|scope| {
        // While all have work: not before the first leases, nor when the first one has stopped.
        let spent = scope.spawn(|| -> Result<Vec<u64>> {
            std::thread::sleep(EDGE);
            let before = charged(&broker.status()?, &names);
            std::thread::sleep(span.saturating_sub(2 * EDGE));
            Ok(charged(&broker.status()?, &names).iter().zip(before).map(|(now, then)| now - then).collect())
        });
        (together(&mut actors, span), spent.join())
    });
    let (progress, summaries) = played?;
    let spent = spent.map_err(|_| anyhow::anyhow!("the side that asks for device time has panicked"))??;
    let host = HostShare::since(&broker, waited, span);
    let status = broker.status()?;
    let all: u64 = spent.iter().sum();
    actors.into_iter().try_for_each(Actor::leave)?;
    let weights: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(weights.iter().copied()).collect();
    let longest = status.tenants.iter().map(|tenant| tenant.occupancy.max_ns).max().unwrap_or_default();
    Ok(Outcome {
        shares: shares::Share::of(&weights, &progress, &summaries)?,
        longest_ns: longest + status.switches_between_tenants.total.p99_ns,
        charged: spent.into_iter().map(|ns| 100.0 * ns as f64 / all.max(1) as f64).collect(),
        host,
    })
}

/// Returns the device time that each of these tenants was charged so far.
fn charged(status: &crate::admin::Status, names: &[String]) -> Vec<u64> {
    let of = |name: &String| {
        status.tenants.iter().find(|tenant| tenant.name.0.as_str() == name).map_or(0, |t| t.device_time_ns)
    };
    names.iter().map(of).collect()
}

fn weights(device: &SoftConfig, seconds: u64) -> Result<Verdict> {
    let Outcome { shares, charged, host, .. } = compete(device, Duration::from_secs(seconds), &[300, 100], KERNEL)?;
    let off = shares.iter().map(|s| (s.got / s.entitled - 1.0).abs()).fold(0.0, f64::max);
    Ok(Verdict {
        promise: "weights 3:1".to_owned(),
        measured: format!(
            "{:.3}:1 (device time {:.3}:1), off by {:.2} % of a share; {host}",
            shares[0].rate / shares[1].rate,
            charged[0] / charged[1],
            off * 100.0
        ),
        allowed: "1 %".to_owned(),
        came_to: CameTo::kept(off <= 0.01),
    })
}

fn equal(device: &SoftConfig, seconds: u64, tenants: u32, kernel: u64) -> Result<Verdict> {
    // Everybody is to complete some kernels, as work in between is told from those.
    let rounds = Duration::from_nanos(kernel * 10 * u64::from(tenants) * 4);
    let span = Duration::from_secs(seconds).max(rounds);
    let Outcome { shares, host, charged, .. } = compete(device, span, &vec![100; tenants as usize], kernel)?;
    let jain = shares::jain(&shares);
    let part = |percents: &mut dyn Iterator<Item = f64>| {
        let (least, most) = percents.fold((f64::MAX, 0.0), |(least, most), p| (p.min(least), p.max(most)));
        format!("{:.1} to {:.1} %", least * f64::from(tenants), most * f64::from(tenants))
    };
    let (work, on_device) = (part(&mut shares.iter().map(|s| s.got)), part(&mut charged.into_iter()));
    Ok(Verdict {
        promise: format!("{tenants} equal tenants, kernels of about {}", time(kernel * 10)),
        measured: format!(
            "Jain index {jain:.5} over {:.0} s: {work} of a share (device time {on_device}); {host}",
            span.as_secs_f64()
        ),
        allowed: "0.999 or more".to_owned(),
        came_to: CameTo::kept(jain >= 0.999),
    })
}

fn half(device: &SoftConfig, seconds: u64) -> Result<Verdict> {
    const LIGHT: u32 = 50;
    let mut weights = vec![100; LIGHT as usize];
    weights.push(100 * LIGHT);
    let Outcome { shares, longest_ns, charged, host } =
        compete(device, Duration::from_secs(seconds), &weights, KERNEL)?;
    let heavy = shares.last().context("the heavy one")?;
    // Of its work per device time the switches take a part, and a larger one from those who come back to cold caches.
    let time = charged.last().copied().unwrap_or_default();
    let window = Duration::from_secs(seconds).saturating_sub(2 * EDGE);
    let bound = 300.0 * longest_ns as f64 / window.as_nanos() as f64;
    let off = (heavy.got - heavy.entitled).abs();
    Ok(Verdict {
        promise: format!("one tenant of 50 % among {LIGHT} light ones"),
        measured: format!("{:.3} % (device time {time:.3} %), off by {off:.3} points; {host}", heavy.got),
        allowed: format!("{bound:.3} points: 3 L / B, the longest turn was {}", self::time(longest_ns)),
        came_to: CameTo::kept(off <= bound),
    })
}

/// Puts what was seen in a play to what was seen before.
fn pool(all: &mut Histogram<u64>, play: &Summary) -> Result<()> {
    for (value, count) in &play.samples {
        all.record_n(*value, *count)?;
    }
    Ok(())
}

/// A small kernel every 5 ms: 2 % or so of the device, and samples enough for a 99th percentile.
const QUICK: Part = Part::Interactive { period_ns: 5_000_000 };

/// Measures two bare wake-ups for a while, once a millisecond: what a switch would cost if nothing had to be done for it.
fn bare_wakes(device: &SoftConfig, echo: &mut TwoWakes, span: Duration, to: &mut Histogram<u64>) -> Result<()> {
    let until = std::time::Instant::now() + span;
    while std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
        stage::on_device(device, || {
            to.saturating_record(echo.round_trip()?.max(1));
            Ok(())
        })?;
    }
    Ok(())
}

fn latency(device: &SoftConfig, args: &PromisesArgs) -> Result<Verdict> {
    let mut scene = Scene::new(device, SLICE).tenant("quick", 100, "16MiB", "class = \"latency:1ms\"");
    let hogs: Vec<String> = (0..args.hogs).map(|k| format!("hog-{k}")).collect();
    for hog in &hogs {
        scene = scene.tenant(hog, 100, "16MiB", "");
    }
    let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
    let mut quick = Actor::start(&broker, "quick", QUICK)?;
    let part = Part::Saturate { wave_instructions: KERNEL, in_flight: in_flight(KERNEL) };
    let mut hogs = hogs.iter().map(|hog| Actor::start(&broker, hog, part)).collect::<Result<Vec<_>>>()?;
    quick.wait_ready()?;
    hogs.iter_mut().try_for_each(Actor::wait_ready)?;
    let span = Duration::from_secs(args.seconds);
    let (mut alone, mut beside, mut floor) = (histogram()?, histogram()?, histogram()?);
    let mut host = HostShare { waited_ns: 0, span: span * args.rounds };
    let mut echo = TwoWakes::start()?;
    let warm = Duration::from_secs(1);
    for _ in 0..args.rounds {
        quick.go(span)?;
        pool(&mut alone, &verified(quick.summary(span)?)?)?;
        let until = crate::clock::now_ns() + u64::try_from((warm + span + warm).as_nanos())?;
        hogs.iter_mut().try_for_each(|hog| hog.go_until(until))?;
        bare_wakes(device, &mut echo, warm, &mut floor)?;
        let waited = waited_ns(&broker);
        quick.go(span)?;
        pool(&mut beside, &verified(quick.summary(span)?)?)?;
        host.waited_ns += HostShare::since(&broker, waited, span).waited_ns;
        for hog in &mut hogs {
            verified(hog.summary(warm)?)?;
        }
    }
    echo.stop();
    let switch = broker.status()?.switches_between_tenants.total;
    quick.leave()?;
    hogs.into_iter().try_for_each(Actor::leave)?;
    let (lone, near) = (alone.value_at_quantile(0.99), beside.value_at_quantile(0.99));
    let (most, bare) = (lone + lone / 10 + switch.p99_ns, floor.value_at_quantile(0.99));
    Ok(Verdict {
        promise: format!("latency class beside {} hogs, p99", args.hogs),
        measured: format!(
            "{} (p50 {}); two bare wakes {}; {host}",
            time(near),
            time(beside.value_at_quantile(0.5)),
            time(bare)
        ),
        allowed: format!(
            "{}: 1.1 x {} alone (p50 {}), and a switch of {}; host: two bare wakes",
            time(most),
            time(lone),
            time(alone.value_at_quantile(0.5)),
            time(switch.p99_ns)
        ),
        came_to: CameTo::at_most(near, most, bare),
    })
}

fn sleeper(device: &SoftConfig, args: &PromisesArgs) -> Result<Verdict> {
    // They take turns: what one waits beyond the other's slice is the sleeper's doing.
    let names = ["busy-0", "busy-1"];
    let mut scene = Scene::new(device, SLICE).tenant("sleeper", 100, "16MiB", "");
    for name in names {
        scene = scene.tenant(name, 100, "16MiB", "");
    }
    let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
    // 40 kernels of about 1 ms, twice a second.
    let burst = Part::Burst { wave_instructions: 100_000, kernels: 40, period_ns: 500_000_000 };
    let mut actors = vec![Actor::start(&broker, "sleeper", burst)?];
    let part = Part::Saturate { wave_instructions: KERNEL, in_flight: in_flight(KERNEL) };
    for name in names {
        actors.push(Actor::start(&broker, name, part)?);
    }
    actors.iter_mut().try_for_each(Actor::wait_ready)?;
    let (waited, span) = (waited_ns(&broker), Duration::from_secs(args.seconds));
    together(&mut actors, span)?;
    let host = HostShare::since(&broker, waited, span);
    let status = broker.status()?;
    let (mut echo, mut floor, warm) = (TwoWakes::start()?, histogram()?, Duration::from_secs(1));
    let until = crate::clock::now_ns() + u64::try_from((2 * warm).as_nanos())?;
    actors.iter_mut().try_for_each(|actor| actor.go_until(until))?;
    bare_wakes(device, &mut echo, warm, &mut floor)?;
    echo.stop();
    for actor in &mut actors {
        verified(actor.summary(2 * warm)?)?;
    }
    actors.into_iter().try_for_each(Actor::leave)?;
    // From having work to the first instruction, as the workers saw it: what a program sees is its host's doing too.
    let switch = status.switches_between_tenants.total;
    let waits = status.tenants.iter().filter(|tenant| names.contains(&tenant.name.0.as_str()));
    let worst = waits.map(|tenant| tenant.lease_wait).max_by_key(|wait| wait.max_ns).unwrap_or_default();
    // The other's turn, two that the burst may cost, and what handing the device over four times costs.
    let bare = floor.value_at_quantile(0.99);
    let most = 3 * SLICE_NS + 4 * switch.p99_ns;
    Ok(Verdict {
        promise: "longest wait for the device beside a sleeper that bursts".to_owned(),
        measured: format!("{} (p99.9 {}); {host}", time(worst.max_ns), time(worst.p999_ns)),
        allowed: format!(
            "{}: the other's slice and two, four switches of {}; host: two bare wakes more, {}",
            time(most),
            time(switch.p99_ns),
            time(bare)
        ),
        came_to: CameTo::at_most(worst.max_ns, most, most + bare),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_kernels_are_in_flight_as_keep_a_queue_full() {
        assert_eq!([500, 14_000, 100_000, 5_000_000].map(in_flight), [1024, 85, 12, 2]);
    }

    #[test]
    fn plays_are_pooled() {
        let mut all = histogram().unwrap();
        for samples in [vec![(5, 2)], vec![(7, 1), (900, 1)]] {
            pool(&mut all, &Summary { samples, ..Summary::default() }).unwrap();
        }
        assert_eq!((all.len(), all.value_at_quantile(0.5), all.max()), (4, 5, 900));
    }
}
