//! `wavegate demo`: a private broker on the embedded GPU, real tenant processes, and numbers at the end.
//!
//! Three tenants saturate the device with weights 4:2:1, one is interactive, one asks for more memory than its quota, one is killed half way. Every process is
//! real: the broker is `wavegate serve` with a configuration of its own, each tenant connects like any other program. Results are
//! checked against oracles outside of the measured time, and the exit code says whether everything held.

mod measure;
mod report;

use crate::device::soft::SoftConfig;
use crate::stage::config::Scene;
use crate::stage::shares::Share;
use crate::stage::wire::{Part, Summary};
use crate::stage::{self, Actor, Host as _, PrivateBroker};
use anyhow::{Context as _, Result, bail};
use measure::Measured;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What the demo can be told.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Seconds during which all tenants compete.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(3..=600))]
    seconds: u64,
    /// The device.
    #[arg(long, default_value = stage::DEVICE, value_name = "DEVICE")]
    device: SoftConfig,
    /// How long a lease lasts before somebody else may have the device.
    #[arg(long, default_value = "5ms", value_name = "TIME")]
    slice: String,
    /// Print the final figures as JSON instead of a screen.
    #[arg(long)]
    json: bool,
}

/// Tenants that keep the device busy, with their weights.
const SATURATED: [(&str, u32); 3] = [("gold", 4), ("silver", 2), ("bronze", 1)];
/// The others.
const INTERACTIVE: &str = "interactive";
const GREEDY: &str = "greedy";
const VICTIM: &str = "victim";
/// Seconds that one tenant has the device to itself, for comparison.
const ALONE_S: u64 = 3;
/// Share that may be missed, in points.
const SHARE_POINTS: f64 = 2.0;

/// Runs the demo. The exit code is non-zero if a result was wrong, a share was off or something leaked.
pub fn run(args: &DemoArgs) -> Result<ExitCode> {
    let say = Narrator { live: !args.json };
    let device = stage::apart(args.device)?;
    say.line(format_args!("starting a private broker on {device}, slice {}", args.slice));
    let broker = PrivateBroker::start(config(&device, &args.slice).text(), &device.to_string())?;

    say.line(format_args!("{} alone on the device for {ALONE_S} s", SATURATED[0].0));
    let alone = {
        let mut actor = Actor::start(&broker, SATURATED[0].0, Part::SATURATE)?;
        actor.wait_ready()?;
        actor.go(Duration::from_secs(ALONE_S))?;
        say.watch(&mut [&mut actor], Duration::from_secs(ALONE_S))?;
        actor.finish()?
    };

    say.line(format_args!("everybody at once for {} s; {VICTIM} is killed half way", args.seconds));
    let mut actors = Vec::new();
    for (name, _) in SATURATED {
        actors.push(Actor::start(&broker, name, Part::SATURATE)?);
    }
    actors.push(Actor::start(&broker, INTERACTIVE, Part::INTERACTIVE)?);
    actors.push(Actor::start(&broker, GREEDY, Part::Greedy)?);
    let mut victim = Actor::start(&broker, VICTIM, Part::SATURATE)?;
    for actor in &mut actors {
        actor.wait_ready()?;
    }
    victim.wait_ready()?;
    let total = Duration::from_secs(args.seconds);
    for actor in &mut actors {
        actor.go(total)?;
    }
    victim.go(total)?;
    say.watch(&mut actors.iter_mut().chain([&mut victim]).collect::<Vec<_>>(), total / 2)?;
    let killed_at = crate::clock::now_ns();
    let victim_work = victim.kill()?;
    say.line(format_args!("{VICTIM} killed (SIGKILL)"));
    say.watch(&mut actors.iter_mut().collect::<Vec<_>>(), total - total / 2)?;
    let status = broker.status()?;

    let mut summaries: Vec<(String, Summary)> = Vec::new();
    let mut progress = Vec::new();
    for actor in actors {
        progress.push(actor.progress().to_vec());
        summaries.push((actor.name().to_owned(), actor.finish()?));
    }
    let reclaimed = broker.wait_reclaimed(Duration::from_secs(5))?;
    let leaks = broker.stop()?;

    let saturated: Vec<Summary> = summaries[..SATURATED.len()].iter().map(|(_, summary)| summary.clone()).collect();
    let shares = Share::of(&SATURATED, &progress[..SATURATED.len()], &saturated)?;
    let measured = Measured {
        args_seconds: args.seconds,
        alone,
        shares,
        summaries,
        status,
        killed_at,
        victim_work,
        reclaimed,
        leaks,
    };
    let verdicts = measured.verdicts(SHARE_POINTS, &progress);
    if args.json {
        report::json(&measured, &verdicts)?;
    } else {
        report::screen(&measured, &verdicts);
    }
    Ok(if verdicts.iter().all(|v| v.held) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn config(device: &SoftConfig, slice: &str) -> Scene {
    let scene = Scene::new(device, slice);
    let scene = SATURATED.iter().fold(scene, |scene, (name, weight)| scene.tenant(name, weight * 100, "128MiB", ""));
    scene
        .tenant(INTERACTIVE, 100, "64MiB", "class = \"latency\"")
        .tenant(GREEDY, 100, "64MiB", "")
        .tenant(VICTIM, 100, "128MiB", "")
}

/// Tells a person how it goes.
struct Narrator {
    live: bool,
}

impl Narrator {
    fn line(&self, text: std::fmt::Arguments<'_>) {
        if self.live {
            println!("{text}");
        }
    }

    /// Reads what the actors say until `span` is over, and shows it.
    fn watch(&self, actors: &mut [&mut Actor], span: Duration) -> Result<()> {
        let until = Instant::now() + span;
        let terminal = std::io::stdout().is_terminal();
        let mut shown = Instant::now();
        while Instant::now() < until {
            for actor in actors.iter_mut() {
                if let Some(why) = actor.listen()? {
                    bail!("tenant {} ended early: {why}", actor.name());
                }
            }
            let every = if terminal { Duration::from_millis(200) } else { Duration::from_secs(2) };
            if self.live && shown.elapsed() >= every {
                shown = Instant::now();
                let left = until.saturating_duration_since(shown).as_secs_f64();
                let line = report::live_line(actors, left);
                if terminal {
                    print!("\r\x1b[K{line}");
                    std::io::Write::flush(&mut std::io::stdout()).context("standard output")?;
                } else {
                    println!("{line}");
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if self.live && terminal {
            print!("\r\x1b[K");
        }
        Ok(())
    }
}
