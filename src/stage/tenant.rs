//! A played tenant: an ordinary program over the client library.

use super::wire::{Go, Latency, Line, Part, Progress, Summary, histogram, recorded};
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
        Part::Saturate { wave_instructions, in_flight } => {
            saturate(&client, &Load::spin(&client, wave_instructions, in_flight)?, in_flight)?;
        }
        Part::Resident { waves, wave_instructions, vram_mib } => {
            let _kept = filled(&client, vram_mib)?;
            saturate(&client, &Load::resident(&client, waves, wave_instructions)?, 2)?;
        }
        Part::Held { waves, wave_instructions, lds_bytes } => {
            saturate(&client, &Load::held(&client, waves, wave_instructions, lds_bytes)?, 2)?;
        }
        Part::Stream { kib, in_flight } => saturate(&client, &Load::stream(&client, kib, in_flight)?, in_flight)?,
        Part::Interactive { period_ns } => interactive(&client, period_ns)?,
        Part::Probe { period_ns, wave_instructions } => probe(&client, period_ns, wave_instructions)?,
        Part::Burst { wave_instructions, kernels, period_ns } => burst(&client, wave_instructions, kernels, period_ns)?,
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

/// Returns what is wrong with results after so many dispatches.
type Check = Box<dyn Fn(&Work, u64) -> Result<Option<String>>>;

/// What a tenant that saturates the device keeps in flight, and how its results are checked.
struct Load {
    work: Work,
    wrong: Check,
}

impl Load {
    /// Arithmetic. Each dispatch goes on from where the one before stopped, so one look at the end verifies all of them: none lost, none run twice.
    fn spin(client: &Client, wave_instructions: u64, in_flight: usize) -> Result<Load> {
        let seed = u64::from(std::process::id());
        let work = Work::with_ring(client, spin(wave_instructions, seed), ring(in_flight)?)?;
        let wrong = move |work: &Work, done| {
            Ok(spun(wave_instructions, done, seed)?.check(&work.results()?).err().map(|e| e.to_string()))
        };
        Ok(Load { work, wrong: Box::new(wrong) })
    }

    /// The same in many waves.
    fn resident(client: &Client, waves: u32, wave_instructions: u64) -> Result<Load> {
        let seed = u64::from(std::process::id());
        let iterations = kernels::spin::iterations_for(wave_instructions / u64::from(waves));
        let work = Work::new(client, kernels::spin::case(waves, iterations, seed))?;
        let wrong = move |work: &Work, done| {
            let total = u32::try_from(u64::from(iterations) * done).context("more work than the oracle can check")?;
            Ok(kernels::spin::case(waves, total, seed).check(&work.results()?).err().map(|e| e.to_string()))
        };
        Ok(Load { work, wrong: Box::new(wrong) })
    }

    /// The same with many registers and some LDS in each wave.
    fn held(client: &Client, waves: u32, wave_instructions: u64, lds_bytes: u32) -> Result<Load> {
        use kernels::hold::{self, INSTRUCTIONS_PER_ITERATION};
        let seed = u64::from(std::process::id());
        let iterations = u32::try_from(wave_instructions / u64::from(waves) / INSTRUCTIONS_PER_ITERATION)?.max(1);
        let work = Work::new(client, hold::case(waves, iterations, lds_bytes, seed))?;
        let wrong = move |work: &Work, done| {
            let case = hold::repeated(waves, iterations, lds_bytes, u32::try_from(done)?, seed);
            Ok(case.check(&work.results()?).err().map(|e| e.to_string()))
        };
        Ok(Load { work, wrong: Box::new(wrong) })
    }

    /// Memory: sums of two arrays. Every dispatch leaves the same, so the last one is verified.
    fn stream(client: &Client, kib: u64, in_flight: usize) -> Result<Load> {
        /// Bytes that a work-item reads and writes.
        const EACH: u64 = 12;
        let elements = u32::try_from(((kib << 10) / EACH).max(1)).context("more memory than a kernel here uses")?;
        let program = kernels::find("vector_add").context("an embedded kernel")?;
        let case = program.case(elements, u64::from(std::process::id()))?;
        let work = Work::with_ring(client, case, ring(in_flight)?)?;
        let wrong = |work: &Work, done| {
            if done == 0 {
                return Ok(None);
            }
            Ok(work.case.check(&work.results()?).err().map(|e| e.to_string()))
        };
        Ok(Load { work, wrong: Box::new(wrong) })
    }
}

/// Returns device memory that has been written to, all of it.
fn filled(client: &Client, mib: u64) -> Result<client::Buffer> {
    const CHUNK: usize = 1 << 20;
    let buffer = client.vram(mib << 20)?;
    for k in 0..mib as usize {
        buffer.write(k * CHUNK, &[k as u8; CHUNK])?;
    }
    Ok(buffer)
}

/// Returns the size of a ring that has room for so many kernels.
fn ring(in_flight: usize) -> Result<u32> {
    Ok(u32::try_from(in_flight)?.max(64).next_power_of_two())
}

fn saturate(client: &Client, load: &Load, in_flight: usize) -> Result<()> {
    let work = &load.work;
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
        let seen = Seen { dispatches: done, work: each, wrong: (load.wrong)(work, done)?, latency, from_ns, to_ns };
        Ok(seen.summary())
    })
}

/// What a play has seen.
struct Seen {
    dispatches: u64,
    work: u64,
    wrong: Option<String>,
    latency: Histogram<u64>,
    from_ns: u64,
    to_ns: u64,
}

impl Seen {
    fn summary(self) -> Summary {
        let Seen { dispatches, work, wrong, latency, from_ns, to_ns } = self;
        let samples = recorded(&latency);
        let latency = Latency::of(&latency);
        Summary { dispatches, work, wrong, latency, samples, denied: None, from_ns, to_ns }
    }
}

/// Sends a small kernel every period, waits for it and checks it.
///
/// Latency is from the time it was to be sent: a request that had to wait for the one before it counts from then, or waiting would hide waiting.
fn interactive(client: &Client, period_ns: u64) -> Result<()> {
    let program = kernels::find("vector_add").context("an embedded kernel")?;
    let work = Work::new(client, program.case(4096, 7)?)?;
    let done = client.signal(0)?;
    play(client, |stop| {
        let mut latency = histogram()?;
        let from_ns = clock::now_ns();
        let (mut planned, mut dispatches, mut wrong, mut to_ns) = (from_ns, 0, None, from_ns);
        while planned < stop {
            sleep_until(planned);
            done.store(1)?;
            work.send(&done)?;
            work.queue.wait(&done, Deadline::NEVER)?;
            to_ns = clock::now_ns();
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
        Ok(Seen { dispatches, work: 0, wrong, latency, from_ns, to_ns }.summary())
    })
}

/// Sends many kernels at once, and sleeps until the next time.
fn burst(client: &Client, wave_instructions: u64, kernels: usize, period_ns: u64) -> Result<()> {
    let load = Load::spin(client, wave_instructions, kernels)?;
    let signals: Vec<Signal> = (0..kernels).map(|_| client.signal(0)).collect::<Result<_, _>>()?;
    play(client, |stop| {
        let work = &load.work;
        work.reset()?;
        let mut latency = histogram()?;
        let from_ns = clock::now_ns();
        let (mut planned, mut dispatches, mut to_ns) = (from_ns, 0, from_ns);
        while planned < stop {
            sleep_until(planned);
            for signal in &signals {
                signal.store(1)?;
                work.send(signal)?;
            }
            for signal in &signals {
                work.queue.wait(signal, Deadline::NEVER)?;
            }
            to_ns = clock::now_ns();
            latency.saturating_record((to_ns - planned).max(1));
            dispatches += kernels as u64;
            say(&Line::Progress(Progress { at_ns: to_ns, dispatches, backlogged: false }))?;
            // A burst that took longer than the time between two is followed by the next one.
            planned = (planned + period_ns).max(clock::now_ns());
        }
        let wrong = (load.wrong)(work, dispatches)?;
        let work = work.case.work.map_or(0, |w| w.amount);
        Ok(Seen { dispatches, work, wrong, latency, from_ns, to_ns }.summary())
    })
}

fn sleep_until(at_ns: u64) {
    std::thread::sleep(Duration::from_nanos(at_ns.saturating_sub(clock::now_ns())));
}

/// Sends a kernel once in every period, anywhere in it: a fixed rhythm would meet slices of the same length always at the same point. What was sent before
/// need not be complete, so requests do not wait for each other here; latency is from the planned time in any case.
fn probe(client: &Client, period_ns: u64, wave_instructions: u64) -> Result<()> {
    /// Requests in flight.
    const SLOTS: usize = 64;
    // What is late here would count as latency of the device.
    sys::clock::shorten_timer_slack()?;
    let seed = u64::from(std::process::id());
    let load = Load::spin(client, wave_instructions, SLOTS)?;
    let signals: Vec<Signal> = (0..SLOTS).map(|_| client.signal(0)).collect::<Result<_, _>>()?;
    play(client, |stop| {
        load.work.reset()?;
        let from_ns = clock::now_ns();
        // With so many planned times on their way at most, the one that used this slot before has been seen complete.
        let (told, planned_times) = std::sync::mpsc::sync_channel::<u64>(SLOTS - 2);
        let (work, signals) = (&load.work, &signals);
        let (latency, to_ns) = std::thread::scope(|scope| {
            let looking = scope.spawn(move || -> Result<(Histogram<u64>, u64)> {
                let (mut latency, mut to_ns) = (histogram()?, from_ns);
                for (planned, signal) in planned_times.iter().zip(signals.iter().cycle()) {
                    work.queue.wait(signal, Deadline::NEVER)?;
                    to_ns = clock::now_ns();
                    latency.saturating_record((to_ns - planned).max(1));
                }
                Ok((latency, to_ns))
            });
            for (k, signal) in (0..).zip(signals.iter().cycle()) {
                let within = oorandom::Rand64::new(u128::from(seed) << 64 | k).rand_range(0..period_ns);
                let planned = from_ns + k as u64 * period_ns + within;
                if planned >= stop {
                    break;
                }
                sleep_until(planned);
                signal.store(1)?;
                work.send(signal)?;
                if told.send(planned).is_err() {
                    break; // The other side has ended with an error, which comes next.
                }
            }
            drop(told);
            looking.join().map_err(|_| anyhow::anyhow!("the side that looks for completions has panicked"))?
        })?;
        let dispatches = latency.len();
        let wrong = (load.wrong)(&load.work, dispatches)?;
        let each = load.work.case.work.map_or(0, |w| w.amount);
        Ok(Seen { dispatches, work: each, wrong, latency, from_ns, to_ns }.summary())
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
