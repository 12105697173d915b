//! Work done against weights, by kernels whose results were verified, and all tenants together against one alone.
//!
//! First all tenants are saturated for the asked time, in one piece: that gives shares and Jain's index. Then one alone and all together take turns, a
//! second each: that gives what sharing costs.

use super::Common;
use super::figures::Median;
use crate::stage::config::Scene;
use crate::stage::wire::{Part, Progress, Summary};
use crate::stage::{self, Actor, Host as _, PrivateBroker, shares};
use anyhow::{Context as _, Result, bail};
use std::time::Duration;

/// What the bench can be told.
#[derive(clap::Args, Debug)]
pub struct FairnessArgs {
    #[command(flatten)]
    common: Common,
    /// A tenant for each, with this weight.
    #[arg(long, value_delimiter = ',', default_values_t = [4, 2, 1], value_parser = clap::value_parser!(u32).range(1..=100))]
    weights: Vec<u32>,
    /// Seconds in which all compete.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Rounds of one alone against all together.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
    rounds: u32,
    /// How long a lease lasts before somebody else may have the device.
    #[arg(long, default_value = "5ms", value_name = "TIME")]
    slice: String,
    /// Wave-instructions of a kernel: 10,000 are about 100 us.
    #[arg(long, default_value_t = 14_000, value_parser = clap::value_parser!(u64).range(64..))]
    kernel: u64,
}

/// Length of a turn of one alone, or of all together.
const TURN: Duration = Duration::from_secs(1);

#[derive(serde::Serialize)]
struct Outcome {
    device: String,
    slice: String,
    shares: Vec<shares::Share>,
    worst_points: f64,
    /// What the scheduler's bound allows in this time: nobody's lag leaves twice the longest lease there was.
    bound_points: f64,
    jain: f64,
    together_over_alone: Option<Median>,
}

pub(super) fn run(args: &FairnessArgs) -> Result<()> {
    let device = &stage::apart(args.common.device)?;
    let names: Vec<String> = (0..args.weights.len()).map(|k| format!("tenant-{k}")).collect();
    let mut scene = Scene::new(device, &args.slice);
    for (name, weight) in names.iter().zip(&args.weights) {
        scene = scene.tenant(name, weight * 100, "16MiB", "");
    }
    let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
    let part = Part::Saturate { wave_instructions: args.kernel, in_flight: 48 };
    let mut actors = names.iter().map(|name| Actor::start(&broker, name, part)).collect::<Result<Vec<_>>>()?;
    for actor in &mut actors {
        actor.wait_ready()?;
    }

    let (progress, summaries) = together(&mut actors, Duration::from_secs(args.seconds))?;
    let weights: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(args.weights.iter().copied()).collect();
    let shares = shares::Share::of(&weights, &progress, &summaries)?;
    let longest = broker.status()?.tenants.iter().map(|t| t.occupancy.max_ns).max().unwrap_or_default();
    let bound_points = 100.0 * 2.0 * longest as f64 / (args.seconds as f64 * 1e9);

    let mut ratios = Vec::new();
    for round in 0..args.rounds {
        let mut rates = [0.0; 2];
        for arm in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            rates[arm] = if arm == 0 {
                let first = actors.first_mut().context("at least one tenant")?;
                first.go(TURN)?;
                verified(first.summary(TURN)?)?.rate()
            } else {
                let (progress, summaries) = together(&mut actors, TURN)?;
                shares::Share::of(&weights, &progress, &summaries)?.iter().map(|s| s.rate).sum()
            };
        }
        ratios.push(rates[1] / rates[0]);
    }
    for actor in actors {
        actor.leave()?;
    }

    let outcome = Outcome {
        device: device.to_string(),
        slice: args.slice.clone(),
        worst_points: shares.iter().map(|s| (s.got - s.entitled).abs()).fold(0.0, f64::max),
        bound_points,
        jain: shares::jain(&shares),
        shares,
        together_over_alone: Median::of(&ratios),
    };
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
        return Ok(());
    }
    println!("{}, slice {}, {} s\n", outcome.device, outcome.slice, args.seconds);
    println!("{:<12} {:>6} {:>10} {:>10} {:>16}", "TENANT", "WEIGHT", "ENTITLED", "GOT", "M WAVE-INSTR/S");
    for s in &outcome.shares {
        println!("{:<12} {:>6} {:>8.2} % {:>8.2} % {:>16.1}", s.tenant, s.weight, s.entitled, s.got, s.rate / 1e6);
    }
    println!(
        "off by {:.2} points at most, of time the bound allows {:.2}; Jain index {:.5}",
        outcome.worst_points, outcome.bound_points, outcome.jain
    );
    if let Some(ratio) = outcome.together_over_alone {
        println!("all together against one alone: {ratio}");
    }
    Ok(())
}

/// Lets all play until the same time.
pub(super) fn together(actors: &mut [Actor], span: Duration) -> Result<(Vec<Vec<Progress>>, Vec<Summary>)> {
    let until = crate::clock::now_ns() + u64::try_from(span.as_nanos())?;
    for actor in actors.iter_mut() {
        actor.go_until(until)?;
    }
    let summaries = actors.iter_mut().map(|actor| verified(actor.summary(span)?)).collect::<Result<Vec<_>>>()?;
    Ok((actors.iter().map(|a| a.progress().to_vec()).collect(), summaries))
}

/// Work counts only if its results are right.
pub(super) fn verified(summary: Summary) -> Result<Summary> {
    match &summary.wrong {
        Some(wrong) => bail!("wrong results: {wrong}"),
        None => Ok(summary),
    }
}
