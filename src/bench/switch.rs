//! How long it takes to hand the device to another tenant: with nothing resident against the machine's floor, and with waves to save and memory to keep.
//!
//! Two tenants take turns with an empty kernel: the one before has drained and parks the lease, the other one's worker asks for it. What
//! is on the way is two wake-ups, worker to broker (an eventfd in the broker's epoll set) and broker to worker (a futex, after a spin of 10 us),
//! and what the broker and the worker do. The floor is measured between the hand-offs: the same two wake-ups between two threads that do
//! nothing else, which is less than between processes.
//!
//! With something resident, and by other means: `context`.

use super::Common;
use super::context::{self, ContextCost};
use super::figures::{difference, histogram, latency, table, worst};
use super::floor::TwoWakes;
use crate::clock::now_ns;
use crate::device::soft::SoftConfig;
use crate::stage::config::Scene;
use crate::stage::wire::Latency;
use crate::stage::work::Work;
use crate::stage::{self, Host as _, PrivateBroker};
use anyhow::Result;
use client::Client;
use sys::clock::Deadline;

/// What the bench can be told.
#[derive(clap::Args, Debug)]
pub struct SwitchArgs {
    #[command(flatten)]
    common: Common,
    /// Rounds; hand-offs and bare wake-ups have their turn in each.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Only the hand-off with nothing resident.
    #[arg(long)]
    hand_off_only: bool,
}

/// Hand-offs and floor samples in a round: few, because a virtual machine's idle processors are asleep or looking by what they have been woken for lately,
/// and that decides what a wake-up takes (5 to 60 us on one machine within a minute). Both kinds have to meet the same.
const BATCH: u32 = 20;
/// The two tenants.
pub(super) const TENANTS: [&str; 2] = ["one", "other"];

pub(super) fn run(args: &SwitchArgs) -> Result<()> {
    let device = &stage::apart(args.common.device)?;
    let hand_off = HandOff::measure(args, device)?;
    let contexts = if args.hand_off_only { Vec::new() } else { ContextCost::measure_all(device)? };
    let kill = if args.hand_off_only { histogram()? } else { context::killed(device)? };
    if args.common.json {
        let rows: serde_json::Map<String, _> = hand_off
            .rows()
            .iter()
            .map(|(name, latency)| Ok((name.trim().to_owned(), serde_json::to_value(latency)?)))
            .collect::<Result<_>>()?;
        let all = serde_json::json!({
            "device": device.to_string(), "hand_off": rows, "contexts": contexts, "kill": Latency::of(&kill),
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!("{device}, {} rounds of {BATCH}\n", args.rounds);
    table("Hand-off between two tenants, nothing resident", &hand_off.rows());
    println!(
        "hand-off against the floor: {} at p50; at p99 {:.2} x\n",
        difference(hand_off.wait.p50, hand_off.floor.p50),
        hand_off.wait.p99 as f64 / hand_off.floor.p99.max(1) as f64
    );
    if args.hand_off_only {
        return Ok(());
    }
    context::print(&contexts);
    let suspended = contexts.get(2).map(|c| c.total).unwrap_or_default();
    println!();
    table(
        "By level",
        &[
            ("yield: nothing resident, lease taken", hand_off.total),
            ("suspend: the third of these", suspended),
            ("kill: worker killed to other's completion", Latency::of(&kill)),
        ],
    );
    Ok(())
}

/// Hand-offs with nothing resident.
struct HandOff {
    wait: Latency,
    floor: Latency,
    seen: Latency,
    start: Latency,
    total: Latency,
}

impl HandOff {
    fn measure(args: &SwitchArgs, device: &SoftConfig) -> Result<HandOff> {
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
        let wait = worst(status.tenants.iter().map(|t| t.lease_wait));
        let cost = status.switches_between_tenants;
        Ok(HandOff {
            wait,
            floor: Latency::of(&floor),
            seen: Latency::of(&seen),
            start: latency(cost.start),
            total: latency(cost.total),
        })
    }

    fn rows(&self) -> [(&'static str, Latency); 4] {
        [
            ("hand-off: work seen to first instruction", self.wait),
            ("floor: two bare wake-ups", self.floor),
            ("seen by the tenant: sent to completion", self.seen),
            ("  granted to first instruction", self.start),
        ]
    }
}
