//! A played tenant: an ordinary program over the client library.

use super::wire::{Go, Latency, Line, Part, Progress, Summary};
use super::work::{Work, spin, spun};
use crate::clock;
use anyhow::{Context as _, Result, bail};
use client::{Client, Signal};
use hdrhistogram::Histogram;
use std::io::BufRead;
use std::process::ExitCode;
use std::time::Duration;
use sys::clock::Deadline;

/// Time between two reports.
const REPORT_NS: u64 = 50_000_000;
/// Longest latency that is told apart from longer ones: a minute.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// What a played tenant is told at its start.
#[derive(clap::Args, Debug)]
pub struct TenantArgs {
    /// What it does when told to.
    #[arg(long)]
    part: Part,
}

/// Runs a tenant: connects, gets ready, and plays its part whenever standard input says so, until that ends.
pub fn run(args: &TenantArgs) -> Result<ExitCode> {
    let client = Client::from_environment()?;
    match args.part {
        Part::Saturate { wave_instructions, in_flight } => saturate(&client, wave_instructions, in_flight)?,
        Part::Interactive { period_ns } => interactive(&client, period_ns)?,
        Part::Greedy => play(&client, |stop| greedy(&client, stop))?,
        Part::Idle => play(&client, |stop| {
            std::thread::sleep(Duration::from_nanos(stop.saturating_sub(clock::now_ns())));
            Ok(Summary::default())
        })?,
    }
    client.goodbye();
    Ok(ExitCode::SUCCESS)
}

fn say(line: &Line) -> Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}

/// Says that everything is in place, then plays as often as it is told to, each time until the time it is given.
fn play(client: &Client, mut once: impl FnMut(u64) -> Result<Summary>) -> Result<()> {
    say(&Line::Ready { vram_bytes: client.device().vram.0 })?;
    for line in std::io::stdin().lock().lines() {
        let go: Go = serde_json::from_str(&line?).context("the time to stop at")?;
        say(&Line::Done(once(go.until_ns)?))?;
    }
    Ok(())
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)?)
}

fn saturate(client: &Client, wave_instructions: u64, in_flight: usize) -> Result<()> {
    let seed = u64::from(std::process::id());
    let work = Work::new(client, spin(wave_instructions, seed))?;
    let each = work.case.work.map_or(0, |w| w.amount);
    let signals: Vec<Signal> = (0..in_flight).map(|_| client.signal(0)).collect::<Result<_, _>>()?;
    play(client, |stop| {
        work.reset()?;
        let mut latency = histogram()?;
        let from_ns = clock::now_ns();
        let mut sent_at = vec![0u64; in_flight];
        let (mut sent, mut done, mut reported_at) = (0u64, 0u64, from_ns);
        say(&Line::Progress(Progress { at_ns: from_ns, dispatches: 0, backlogged: true }))?;
        let (mut to_ns, mut backlogged) = (from_ns, true);
        loop {
            let now = clock::now_ns();
            while now < stop && sent - done < in_flight as u64 {
                let slot = (sent % in_flight as u64) as usize;
                signals[slot].store(1)?;
                sent_at[slot] = clock::now_ns();
                work.send(&signals[slot])?;
                sent += 1;
            }
            if sent == done {
                break;
            }
            let slot = (done % in_flight as u64) as usize;
            work.queue.wait(&signals[slot], Deadline::NEVER)?;
            to_ns = clock::now_ns();
            latency.saturating_record((to_ns - sent_at[slot]).max(1));
            done += 1;
            // The host had its processor elsewhere for so long that the device has emptied the queue.
            let last = ((sent - 1) % in_flight as u64) as usize;
            backlogged &= done < sent && signals[last].load() > 0;
            if to_ns - reported_at >= REPORT_NS {
                reported_at = to_ns;
                say(&Line::Progress(Progress { at_ns: to_ns, dispatches: done, backlogged }))?;
                backlogged = true;
            }
        }
        say(&Line::Progress(Progress { at_ns: to_ns, dispatches: done, backlogged }))?;

        // Each dispatch went on from where the one before stopped, so one look at the end verifies all of them: none lost, none run twice.
        let wrong = spun(wave_instructions, done, seed)?.check(&work.results()?).err().map(|e| e.to_string());
        let latency = Latency::of(&latency);
        Ok(Summary { dispatches: done, wave_instructions: each, wrong, latency, denied: None, from_ns, to_ns })
    })
}

fn interactive(client: &Client, period_ns: u64) -> Result<()> {
    let program = kernels::find("vector_add").context("an embedded kernel")?;
    let work = Work::new(client, program.case(4096, 7)?)?;
    let done = client.signal(0)?;
    play(client, |stop| {
        let mut latency = histogram()?;
        let from_ns = clock::now_ns();
        let (mut planned, mut dispatches, mut wrong, mut to_ns) = (from_ns, 0, None, from_ns);
        while planned < stop {
            let early = planned.saturating_sub(clock::now_ns());
            std::thread::sleep(Duration::from_nanos(early));
            done.store(1)?;
            work.send(&done)?;
            work.queue.wait(&done, Deadline::NEVER)?;
            to_ns = clock::now_ns();
            // From the planned send: a late start counts, or waiting would hide waiting.
            latency.saturating_record((to_ns - planned).max(1));
            dispatches += 1;
            if dispatches % 10 == 0 {
                say(&Line::Progress(Progress { at_ns: to_ns, dispatches, backlogged: false }))?;
            }
            wrong =
                wrong.or_else(|| work.results().and_then(|r| Ok(work.case.check(&r)?)).err().map(|e| e.to_string()));
            work.reset()?;
            planned += period_ns;
        }
        let latency = Latency::of(&latency);
        Ok(Summary { dispatches, wave_instructions: 0, wrong, latency, denied: None, from_ns, to_ns })
    })
}

fn greedy(client: &Client, stop: u64) -> Result<Summary> {
    let quota = client.device().vram.0;
    let from_ns = clock::now_ns();
    let half = client.vram(quota / 2)?;
    // The other half and a page: one page too many.
    let denied = match client.vram(quota / 2 + 4096) {
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    };
    // What it has stays usable, and what it may have it still gets.
    half.write(0, &[1, 2, 3])?;
    drop(half);
    let whole = client.vram(quota / 2 + 4096)?;
    whole.write(quota as usize / 2, &[4])?;
    if clock::now_ns() > stop {
        bail!("no time left");
    }
    Ok(Summary { denied, from_ns, to_ns: clock::now_ns(), ..Summary::default() })
}
