//! A tenant of the demo: an ordinary program over the client library.

use super::wire::{Latency, Line, Progress, Role, Summary};
use crate::clock;
use anyhow::{Context as _, Result, bail};
use client::{Buffer, Client, Dispatch, Kernel, Queue, Signal};
use gcn::code_object::CodeObject;
use gcn::kernarg::{KernargBuilder, Launch};
use hdrhistogram::Histogram;
use kernels::{Arg, Case, Target};
use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use sys::clock::Deadline;

/// Wave-instructions of one kernel of a saturated tenant: about 100 us on the reference machine.
const KERNEL_WAVE_INSTRUCTIONS: u64 = 14_000;
/// Waves of it.
const KERNEL_WAVES: u32 = 4;
/// Kernels that a saturated tenant keeps in flight.
const IN_FLIGHT: usize = 2;
/// Time between two kernels of the interactive tenant.
const PERIOD_NS: u64 = 20_000_000;
/// Time between two reports.
const REPORT_NS: u64 = 50_000_000;
/// Longest latency that is told apart from longer ones: a minute.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// What a demo tenant is told.
#[derive(clap::Args, Debug)]
pub struct TenantArgs {
    /// The tenants' socket.
    #[arg(long)]
    socket: PathBuf,
    /// The tenant's name.
    #[arg(long)]
    tenant: String,
    /// What it does.
    #[arg(long, value_enum)]
    role: Role,
}

/// Runs a tenant: connects, gets ready, waits on standard input for the time to stop at, works, reports.
pub fn run(args: &TenantArgs) -> Result<ExitCode> {
    let client = Client::connect(&args.socket, Some(&args.tenant))?;
    let summary = match args.role {
        Role::Saturate => saturate(&client)?,
        Role::Interactive => interactive(&client)?,
        Role::Greedy => greedy(&client)?,
    };
    say(&Line::Done(summary))?;
    client.goodbye();
    Ok(ExitCode::SUCCESS)
}

fn say(line: &Line) -> Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}

/// Says that everything is in place and waits for the time to stop at.
fn wait_for_go(client: &Client) -> Result<u64> {
    say(&Line::Ready { vram_bytes: client.device().vram.0 })?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    line.trim().parse().context("the time to stop at")
}

/// A kernel with its buffers and arguments on the device.
struct Work {
    case: Case,
    buffers: Vec<Buffer>,
    kernel: Kernel,
    kernarg: Buffer,
    queue: Queue,
}

impl Work {
    fn new(client: &Client, case: Case) -> Result<Work> {
        let program = kernels::find(case.kernel).context("an embedded kernel")?;
        let isa = client.device().isa;
        let target = Target::ALL
            .into_iter()
            .find(|t| isa.as_str().contains(t.name()))
            .context("a device that embedded kernels are built for")?;
        let object = program.code_object(target);
        let kernel = client.load(object)?.kernel(case.kernel)?;
        let buffers = case
            .buffers
            .iter()
            .map(|b| {
                let buffer = client.vram(b.bytes.len() as u64)?;
                buffer.write(0, &b.bytes)?;
                Ok(buffer)
            })
            .collect::<Result<Vec<_>>>()?;
        // The code object says how arguments are laid out, hidden ones included.
        let parsed = CodeObject::parse(object)?;
        let info = parsed.kernel(case.kernel).context("the kernel's metadata")?;
        let mut builder = KernargBuilder::new(info, Launch::new(case.grid, case.workgroup))?;
        for arg in &case.args {
            builder = match *arg {
                Arg::Buffer { index, offset } => builder.pointer(buffers[index].address() + offset)?,
                Arg::U32(v) => builder.arg(&v.to_le_bytes())?,
                Arg::U64(v) => builder.arg(&v.to_le_bytes())?,
                Arg::F32(v) => builder.arg(&v.to_le_bytes())?,
            };
        }
        let arguments = builder.finish()?;
        let kernarg = client.kernarg(arguments.bytes.len() as u64)?;
        kernarg.write(0, &arguments.bytes)?;
        let queue = client.queue(64)?;
        Ok(Work { case, buffers, kernel, kernarg, queue })
    }

    fn send(&self, done: &Signal) -> Result<()> {
        let Case { grid, workgroup, .. } = self.case;
        self.queue.dispatch(&Dispatch::of(&self.kernel, grid, workgroup, &self.kernarg).completing(done))?;
        Ok(())
    }

    fn results(&self) -> Result<Vec<Vec<u8>>> {
        let read = |(buffer, was): (&Buffer, &kernels::Buffer)| {
            let mut bytes = vec![0; was.bytes.len()];
            buffer.read(0, &mut bytes)?;
            Ok(bytes)
        };
        self.buffers.iter().zip(&self.case.buffers).map(read).collect()
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)?)
}

fn saturate(client: &Client) -> Result<Summary> {
    let iterations = kernels::spin::iterations_for(KERNEL_WAVE_INSTRUCTIONS / u64::from(KERNEL_WAVES));
    let seed = u64::from(std::process::id());
    let work = Work::new(client, kernels::spin::case(KERNEL_WAVES, iterations, seed))?;
    let wave_instructions = work.case.work.map_or(0, |w| w.amount);
    let signals: Vec<Signal> = (0..IN_FLIGHT).map(|_| client.signal(0)).collect::<Result<_, _>>()?;
    let mut latency = histogram()?;
    let stop = wait_for_go(client)?;

    let from_ns = clock::now_ns();
    let mut sent_at = [0u64; IN_FLIGHT];
    let (mut sent, mut done, mut reported_at) = (0u64, 0u64, from_ns);
    say(&Line::Progress(Progress { at_ns: from_ns, dispatches: 0 }))?;
    let mut to_ns = from_ns;
    loop {
        let now = clock::now_ns();
        while now < stop && sent - done < IN_FLIGHT as u64 {
            let slot = (sent % IN_FLIGHT as u64) as usize;
            signals[slot].store(1)?;
            sent_at[slot] = clock::now_ns();
            work.send(&signals[slot])?;
            sent += 1;
        }
        if sent == done {
            break;
        }
        let slot = (done % IN_FLIGHT as u64) as usize;
        work.queue.wait(&signals[slot], Deadline::NEVER)?;
        to_ns = clock::now_ns();
        latency.saturating_record((to_ns - sent_at[slot]).max(1));
        done += 1;
        if to_ns - reported_at >= REPORT_NS {
            reported_at = to_ns;
            say(&Line::Progress(Progress { at_ns: to_ns, dispatches: done }))?;
        }
    }
    say(&Line::Progress(Progress { at_ns: to_ns, dispatches: done }))?;

    // Each dispatch went on from where the one before stopped, so one look at the end verifies all of them: none lost, none run twice.
    let total = u32::try_from(u64::from(iterations) * done).context("more work than the oracle can check")?;
    let expected = kernels::spin::case(KERNEL_WAVES, total, seed);
    let wrong = expected.check(&work.results()?).err().map(|e| e.to_string());
    Ok(Summary {
        dispatches: done,
        wave_instructions,
        wrong,
        latency: Latency::of(&latency),
        denied: None,
        from_ns,
        to_ns,
    })
}

fn interactive(client: &Client) -> Result<Summary> {
    let program = kernels::find("vector_add").context("an embedded kernel")?;
    let work = Work::new(client, program.case(4096, 7)?)?;
    let done = client.signal(0)?;
    let mut latency = histogram()?;
    let stop = wait_for_go(client)?;
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
            say(&Line::Progress(Progress { at_ns: to_ns, dispatches }))?;
        }
        wrong = wrong.or_else(|| work.results().and_then(|r| Ok(work.case.check(&r)?)).err().map(|e| e.to_string()));
        for (buffer, was) in work.buffers.iter().zip(&work.case.buffers) {
            buffer.write(0, &was.bytes)?;
        }
        planned += PERIOD_NS;
    }
    Ok(Summary {
        dispatches,
        wave_instructions: 0,
        wrong,
        latency: Latency::of(&latency),
        denied: None,
        from_ns,
        to_ns,
    })
}

fn greedy(client: &Client) -> Result<Summary> {
    let quota = client.device().vram.0;
    let stop = wait_for_go(client)?;
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
