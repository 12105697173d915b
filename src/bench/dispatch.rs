//! What the way through a worker adds to a kernel, for a tenant that has the device to itself.
//!
//! Arms take turns: the device in this process (one thread is producer and device: nothing is woken), a tenant's session (ring, doorbell,
//! worker process, signal), and a process that is sent every kernel through a socket. Round trips are of an empty kernel; throughput is of kernels of a
//! chosen length with two in flight. The tenant's arm has a second turn while somebody traces: its worker then takes every dispatch down for the broker.
//! Then the parts of a trip, by the device's own timestamps, and the trip in a crowd (`crowd`).

use super::Common;
use super::crowd::{self, Crowd};
use super::figures::{Median, difference, histogram, table, time};
use super::remote::Remote;
use crate::clock::now_ns;
use crate::device::soft::SoftConfig;
use crate::stage::config::Scene;
use crate::stage::wire::Latency;
use crate::stage::work::{LocalWork, Work, spin, spun};
use crate::stage::{self, Host as _, PrivateBroker};
use anyhow::{Context as _, Result, bail};
use client::{Client, Signal};
use hdrhistogram::Histogram;
use kernels::Case;
use std::time::Duration;
use sys::clock::Deadline;

/// What the bench can be told.
#[derive(clap::Args, Debug)]
pub struct DispatchArgs {
    #[command(flatten)]
    common: Common,
    /// Rounds; each arm has its turn in each.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(6..=10_000))]
    rounds: u32,
    /// Numbers of connected tenants with which the round trip is measured, rising.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16, 32, 64], value_parser = clap::value_parser!(u32).range(1..=256))]
    tenants: Vec<u32>,
    /// Wave-instructions of the kernels whose throughput is compared: 10,000 are about 100 us.
    #[arg(long, value_delimiter = ',', default_values_t = [1_400, 14_000])]
    kernels: Vec<u64>,
}

/// Round trips of an arm in a round, and those before that warm it up: some 10 ms, in which the scheduler parts processes that it had put on one processor.
const BATCH: u32 = 2_000;
const WARM_UP: u32 = 2_000;
/// Round trips in a round with a pause before each, so that both sides sleep.
const PARKED: u32 = 20;
const PAUSE: Duration = Duration::from_millis(1);
/// Length of an arm's turn when throughput is compared.
const TURN_NS: u64 = 100_000_000;
/// Kernels in flight.
const IN_FLIGHT: usize = 2;

/// One wave of one instruction.
pub(super) fn empty() -> Result<Case> {
    Ok(kernels::find("empty").context("an embedded kernel")?.case(64, 0)?)
}

pub(super) fn run(args: &DispatchArgs) -> Result<()> {
    let device = &stage::apart(args.common.device)?;
    let scene = Scene::new(device, "5ms").tenant("bench", 100, "256MiB", "");
    let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
    let client = Client::connect(&broker.socket(), Some("bench"))?;

    let trips = RoundTrips::measure(args, device, &broker, &client)?;
    let mut throughput = Vec::new();
    for &length in &args.kernels {
        throughput.push(Throughput::measure(args, device, &client, length)?);
    }
    client.goodbye();
    let mut counts = args.tenants.clone();
    counts.sort_unstable();
    counts.dedup();
    let crowds = Crowd::measure(device, &counts)?;

    if args.common.json {
        let rows: serde_json::Map<String, _> = trips
            .rows()
            .into_iter()
            .map(|(name, latency)| Ok((name.to_owned(), serde_json::to_value(latency)?)))
            .collect::<Result<_>>()?;
        let all = serde_json::json!({ "device": device.to_string(), "round_trips": rows, "throughput": throughput, "tenants": crowds });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!("{device}, {} rounds\n", args.rounds);
    table("Round trip of an empty kernel", &trips.rows());
    let p50 = |h: &Histogram<u64>| h.value_at_quantile(0.5);
    println!("through a worker, against in-process: {} at p50", difference(p50(&trips.tenant), p50(&trips.local)));
    println!("\nThroughput of a lone tenant against in-process, {IN_FLIGHT} kernels in flight");
    for t in &throughput {
        println!("{:>7} wave-instructions ({:>9} in-process): {}", t.wave_instructions, time(t.kernel_ns), t.ratio);
    }
    println!();
    crowd::print(&crowds);
    Ok(())
}

struct RoundTrips {
    local: Histogram<u64>,
    tenant: Histogram<u64>,
    traced: Histogram<u64>,
    remote: Histogram<u64>,
    tenant_parked: Histogram<u64>,
    awake: Parts,
    asleep: Parts,
    remote_parked: Histogram<u64>,
}

impl RoundTrips {
    fn measure(
        args: &DispatchArgs,
        device: &SoftConfig,
        broker: &PrivateBroker,
        client: &Client,
    ) -> Result<RoundTrips> {
        let mut local = LocalWork::new(device, empty()?)?;
        let work = Work::new(client, empty()?)?;
        let done = client.signal(0)?;
        let mut remote = Remote::start(device)?;
        let mut seen = RoundTrips {
            local: histogram()?,
            tenant: histogram()?,
            traced: histogram()?,
            remote: histogram()?,
            tenant_parked: histogram()?,
            awake: Parts::new()?,
            asleep: Parts::new()?,
            remote_parked: histogram()?,
        };
        for _ in 0..args.rounds {
            stage::on_device(device, || {
                batch(&mut seen.local, BATCH, || {
                    local.send()?;
                    local.finish()
                })
            })?;
            batch(&mut seen.tenant, BATCH, || tenant_trip(&work, &done))?;
            broker.while_traced(|| batch(&mut seen.traced, BATCH, || tenant_trip(&work, &done)))?;
            for _ in 0..BATCH {
                seen.awake.trip(&work, &done)?;
            }
            batch(&mut seen.remote, BATCH, || remote.round_trip())?;
            parked(&mut seen.tenant_parked, || tenant_trip(&work, &done))?;
            parked(&mut seen.remote_parked, || remote.round_trip())?;
            for _ in 0..PARKED {
                std::thread::sleep(PAUSE);
                seen.asleep.trip(&work, &done)?;
            }
        }
        Ok(seen)
    }

    fn rows(&self) -> Vec<(&'static str, Latency)> {
        let mut rows = vec![
            ("in-process", Latency::of(&self.local)),
            ("through a worker, both awake", Latency::of(&self.tenant)),
            ("  while somebody traces", Latency::of(&self.traced)),
            ("through a socket (API remoting)", Latency::of(&self.remote)),
            ("through a worker, both asleep before", Latency::of(&self.tenant_parked)),
            ("through a socket, both asleep before", Latency::of(&self.remote_parked)),
        ];
        rows.extend(self.awake.rows([
            "parts, awake: enqueue",
            "  doorbell to start",
            "  start to complete",
            "  complete to seen",
        ]));
        rows.extend(self.asleep.rows([
            "parts, asleep: enqueue",
            "  doorbell to start, asleep",
            "  start to complete, asleep",
            "  complete to seen, asleep",
        ]));
        rows
    }
}

/// Where a round trip through a worker goes, by the clock that the device's timestamps are from, which on the software GPU is the host's.
struct Parts([Histogram<u64>; 4]);

impl Parts {
    fn new() -> Result<Parts> {
        Ok(Parts([histogram()?, histogram()?, histogram()?, histogram()?]))
    }

    fn trip(&mut self, work: &Work, done: &Signal) -> Result<()> {
        done.store(1)?;
        let begun = now_ns();
        work.send(done)?;
        let sent = now_ns();
        work.queue.wait(done, Deadline::NEVER)?;
        let seen = now_ns();
        let (start, end) = done.times();
        // The worker may be faster than the way back from the doorbell: then it took nothing.
        let times = [begun..sent, sent..start, start..end, end..seen];
        for (histogram, time) in self.0.iter_mut().zip(times) {
            histogram.saturating_record(time.end.saturating_sub(time.start).max(1));
        }
        Ok(())
    }

    fn rows(&self, names: [&'static str; 4]) -> impl Iterator<Item = (&'static str, Latency)> {
        names.into_iter().zip(&self.0).map(|(name, histogram)| (name, Latency::of(histogram)))
    }
}

pub(super) fn tenant_trip(work: &Work, done: &Signal) -> Result<()> {
    done.store(1)?;
    work.send(done)?;
    work.queue.wait(done, Deadline::NEVER)?;
    Ok(())
}

fn batch(into: &mut Histogram<u64>, count: u32, mut once: impl FnMut() -> Result<()>) -> Result<()> {
    for k in 0..WARM_UP + count {
        let begun = now_ns();
        once()?;
        if k >= WARM_UP {
            into.saturating_record((now_ns() - begun).max(1));
        }
    }
    Ok(())
}

fn parked(into: &mut Histogram<u64>, mut once: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 0..PARKED {
        std::thread::sleep(PAUSE);
        let begun = now_ns();
        once()?;
        into.saturating_record((now_ns() - begun).max(1));
    }
    Ok(())
}

/// Kernels a second through a worker against in-process.
#[derive(serde::Serialize)]
struct Throughput {
    /// Of one kernel.
    wave_instructions: u64,
    /// Median time of one in-process.
    kernel_ns: u64,
    /// Through a worker over in-process.
    ratio: Median,
}

impl Throughput {
    fn measure(args: &DispatchArgs, device: &SoftConfig, client: &Client, length: u64) -> Result<Throughput> {
        const SEED: u64 = 11;
        let mut local = LocalWork::new(device, spin(length, SEED))?;
        let work = Work::new(client, spin(length, SEED))?;
        let signals: Vec<Signal> = (0..IN_FLIGHT).map(|_| client.signal(0)).collect::<Result<_, _>>()?;
        let (mut ratios, mut kernels_ns) = (Vec::new(), Vec::new());
        for round in 0..args.rounds {
            // Who goes first changes, so that a drift favours nobody.
            let mut turns = [0.0; 2];
            for arm in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let (done, ns) = if arm == 0 {
                    stage::on_device(device, || local_turn(&mut local))?
                } else {
                    tenant_turn(&work, &signals)?
                };
                turns[arm] = done as f64 / ns as f64;
                let results = if arm == 0 { local.results()? } else { work.results()? };
                if let Err(wrong) = spun(length, done, SEED)?.check(&results) {
                    bail!("wrong results after {done} kernels: {wrong}");
                }
            }
            ratios.push(turns[1] / turns[0]);
            kernels_ns.push(1.0 / turns[0]);
        }
        let median = |values: &[f64]| Median::of(values).context("at least one round");
        Ok(Throughput {
            wave_instructions: local.case.work.map_or(0, |w| w.amount),
            kernel_ns: median(&kernels_ns)?.value as u64,
            ratio: median(&ratios)?,
        })
    }
}

/// Runs kernels for a turn; returns how many and how long.
fn local_turn(work: &mut LocalWork) -> Result<(u64, u64)> {
    work.reset()?;
    let (begun, mut done) = (now_ns(), 0);
    while now_ns() - begun < TURN_NS {
        for _ in 0..IN_FLIGHT {
            work.send()?;
        }
        work.finish()?;
        done += IN_FLIGHT as u64;
    }
    Ok((done, now_ns() - begun))
}

fn tenant_turn(work: &Work, signals: &[Signal]) -> Result<(u64, u64)> {
    work.reset()?;
    let (begun, mut sent, mut done) = (now_ns(), 0usize, 0usize);
    loop {
        while now_ns() - begun < TURN_NS && sent - done < signals.len() {
            let signal = &signals[sent % signals.len()];
            signal.store(1)?;
            work.send(signal)?;
            sent += 1;
        }
        if sent == done {
            return Ok((done as u64, now_ns() - begun));
        }
        work.queue.wait(&signals[done % signals.len()], Deadline::NEVER)?;
        done += 1;
    }
}
