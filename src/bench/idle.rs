//! What sessions cost that do nothing: processor time of the broker and of the workers, and the memory that is theirs alone.
//!
//! Read from the kernel's accounts: the first number of `/proc/PID/task/TID/schedstat` of all threads, in nanoseconds, and `Pss` of
//! `/proc/PID/smaps_rollup`. (`utime + stime` of `/proc/PID/stat` would not do: Linux samples them on many systems, at the very ticks at which timers
//! wake who runs for a few microseconds.)

use super::Common;
use crate::stage::config::Scene;
use crate::stage::wire::Part;
use crate::stage::{self, Actor, PrivateBroker};
use anyhow::{Context as _, Result};
use std::time::{Duration, Instant};

/// What the bench can be told.
#[derive(clap::Args, Debug)]
pub struct IdleArgs {
    #[command(flatten)]
    common: Common,
    /// Sessions.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sessions: u32,
    /// Seconds to watch.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

#[derive(serde::Serialize)]
struct Outcome {
    sessions: u32,
    seconds: f64,
    broker_core_percent: f64,
    workers_core_percent: f64,
    broker_pss_bytes: u64,
    worker_pss_bytes_max: u64,
}

pub(super) fn run(args: &IdleArgs) -> Result<()> {
    let device = &stage::apart(args.common.device)?;
    let limits = format!("sessions = {0}\nqueues = {0}", args.sessions);
    let scene = Scene::new(device, "5ms").sessions(args.sessions.max(8)).tenant("idle", 100, "64MiB", &limits);
    let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
    // A few at a time: as many programs at once as will ever be here would wait for each other longer than the broker waits for their first word.
    const AT_ONCE: usize = 16;
    let mut actors: Vec<Actor> = Vec::new();
    while actors.len() < args.sessions as usize {
        let begun = actors.len();
        for _ in begun..args.sessions as usize {
            actors.push(Actor::start(&broker, "idle", Part::Idle)?);
            if actors.len() - begun == AT_ONCE {
                break;
            }
        }
        actors[begun..].iter_mut().try_for_each(Actor::wait_ready)?;
    }
    let workers = broker.workers();
    let ran = || -> Result<(u64, u64)> {
        Ok((ran_ns(broker.pid())?, workers.iter().map(|&pid| ran_ns(pid)).sum::<Result<u64>>()?))
    };
    let (begun, before) = (Instant::now(), ran()?);
    std::thread::sleep(Duration::from_secs(args.seconds));
    let (seconds, after) = (begun.elapsed().as_secs_f64(), ran()?);
    let percent = |ns: u64| 100.0 * ns as f64 / 1e9 / seconds;
    let outcome = Outcome {
        sessions: args.sessions,
        seconds,
        broker_core_percent: percent(after.0 - before.0),
        workers_core_percent: percent(after.1 - before.1),
        broker_pss_bytes: pss_of(broker.pid())?,
        worker_pss_bytes_max: workers
            .iter()
            .map(|&pid| pss_of(pid))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .max()
            .unwrap_or(0),
    };
    for actor in actors {
        actor.leave()?;
    }
    if args.common.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
        return Ok(());
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!("{} idle sessions on {device}, {:.0} s\n", outcome.sessions, outcome.seconds);
    println!("broker   {:>6.2} % of a core, {:>6.1} MiB", outcome.broker_core_percent, mib(outcome.broker_pss_bytes));
    println!(
        "workers  {:>6.2} % of a core together, {:>6.1} MiB each at most (proportional set size)",
        outcome.workers_core_percent,
        mib(outcome.worker_pss_bytes_max)
    );
    Ok(())
}

/// Returns how many nanoseconds the threads of a process have run, see proc(5).
fn ran_ns(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/task");
    let ran = |task: std::io::Result<std::fs::DirEntry>| {
        let path = task?.path().join("schedstat");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let word = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        word.with_context(|| format!("{} does not begin with a number", path.display()))
    };
    std::fs::read_dir(&path).with_context(|| path.clone())?.map(ran).sum()
}

/// Returns the proportional set size of a process in bytes.
fn pss_of(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find(|line| line.starts_with("Pss:")).with_context(|| path.clone())?;
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).with_context(|| path.clone())?;
    Ok(kib << 10)
}
