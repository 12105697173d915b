//! How long it takes to hand the device to another tenant when nothing is resident.
//!
//! Two tenants take turns with an empty kernel: the one before has drained and parks the lease, the other one's worker asks for it. What
//! is on the way is two wake-ups, worker to broker (an eventfd in the broker's epoll set) and broker to worker (a futex, after a spin of 10 us),
//! and what the broker and the worker do. The floor is measured between the hand-offs: the same two wake-ups between two threads that do
//! nothing else, which is less than between processes.

use super::Common;
use super::figures::{difference, histogram, table};
use super::floor::TwoWakes;
use crate::admin::Distribution;
use crate::clock::now_ns;
use crate::stage::config::Scene;
use crate::stage::wire::Latency;
use crate::stage::work::Work;
use crate::stage::{self, Host as _, PrivateBroker};
use anyhow::{Context as _, Result};
use client::Client;
use sys::clock::Deadline;

/// What the bench can be told.
#[derive(clap::Args, Debug)]
pub struct SwitchArgs {
    #[command(flatten)]
    common: Common,
    /// Rounds; hand-offs and bare wake-ups have their turn in each.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
}

/// Hand-offs and floor samples in a round.
const BATCH: u32 = 200;
/// The two tenants.
const TENANTS: [&str; 2] = ["one", "other"];

pub(super) fn run(args: &SwitchArgs) -> Result<()> {
    let device = &stage::apart(args.common.device)?;
    let scene = TENANTS.iter().fold(Scene::new(device, "5ms"), |scene, name| scene.tenant(name, 100, "64MiB", ""));
    let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
    let clients: Vec<Client> =
        TENANTS.iter().map(|name| Client::connect(&broker.socket(), Some(name))).collect::<Result<_, _>>()?;
    let works = clients.iter().map(|c| Work::new(c, super::dispatch::empty()?)).collect::<Result<Vec<_>>>()?;
    let signals = clients.iter().map(|c| c.signal(0)).collect::<Result<Vec<_>, _>>()?;

    let (mut seen, mut floor) = (histogram()?, histogram()?);
    let mut echo = TwoWakes::start()?;
    for _ in 0..args.rounds {
        for k in 0..BATCH as usize {
            let (work, done) = (&works[k % 2], &signals[k % 2]);
            let begun = now_ns();
            done.store(1)?;
            work.send(done)?;
            work.queue.wait(done, Deadline::NEVER)?;
            seen.saturating_record((now_ns() - begun).max(1));
        }
        // The worker's part is played where workers run, the broker's where the broker does.
        stage::on_device(device, || {
            for _ in 0..BATCH {
                floor.saturating_record(echo.round_trip()?.max(1));
            }
            Ok(())
        })?;
    }
    echo.stop();
    let status = broker.status()?;
    let waits: Vec<Distribution> = status.tenants.iter().map(|t| t.lease_wait).collect();
    let wait = latency(waits.into_iter().max_by_key(|w| w.p50_ns).context("two tenants")?);
    let cost = status.switches_between_tenants;
    let rows = [
        ("hand-off: work seen to first instruction", wait),
        ("floor: two bare wake-ups", Latency::of(&floor)),
        ("seen by the tenant: sent to completion", Latency::of(&seen)),
        ("  granted to first instruction", latency(cost.start)),
    ];
    if args.common.json {
        let rows: serde_json::Map<String, _> = rows
            .iter()
            .map(|(name, latency)| Ok((name.trim().to_owned(), serde_json::to_value(latency)?)))
            .collect::<Result<_>>()?;
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("{device}, {} rounds of {BATCH}\n", args.rounds);
    table("Hand-off between two tenants, nothing resident", &rows);
    let [hand_off, floor] = [wait, Latency::of(&floor)];
    println!(
        "hand-off against the floor: {} at p50; at p99 {:.2} x",
        difference(hand_off.p50, floor.p50),
        hand_off.p99 as f64 / floor.p99.max(1) as f64
    );
    Ok(())
}

fn latency(d: Distribution) -> Latency {
    Latency { count: d.count, p50: d.p50_ns, p90: 0, p99: d.p99_ns, p999: d.p999_ns, max: d.max_ns }
}
