//! `wavegate device`: what there is, and a kernel on it.

use super::connect::AdminSocket;
use crate::admin::Request;
use crate::config::values::{Division, Pace};
use crate::device::soft::{ComputeUnits, SoftConfig, SoftDevice};
use crate::device::{ContextBytes, DeviceFacts, RunEnd};
use crate::local::{Argument, LocalError, LocalSession};
use anyhow::{Context as _, Result, bail};
use kernels::{Arg, Case, Ending, Kernel, Target, WorkUnit};
use serde::Serialize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(clap::Subcommand)]
pub(super) enum DeviceCommand {
    /// Run an embedded kernel, check its result against a CPU oracle, and print its times.
    Run(RunArgs),
    /// Change how the broker divides the time of a device, at once; kept across a restart.
    #[command(after_help = SET_HELP)]
    Set(SetArgs),
    /// List the embedded kernels.
    Kernels {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub(super) struct RunArgs {
    /// Name of the kernel, or `all`. `wavegate device kernels` lists them.
    kernel: String,
    /// The device: soft[:arch=gfx90a|gfx942,cus=N,threads=N,vram=SIZE,pin=A-B].
    #[arg(long, default_value = "soft", value_name = "DEVICE")]
    device: SoftConfig,
    /// Size of the problem; each kernel has its own unit and default.
    #[arg(long)]
    size: Option<u32>,
    /// Seed of the input.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Dispatches; times are of the fastest.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// Suspend and resume the kernel every so many microseconds, other contents on the compute units in between.
    #[arg(long, value_name = "US")]
    suspend_every: Option<u64>,
    /// Seconds after which a kernel that still runs is given up.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    limit: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const SET_HELP: &str = "\
Policies: weighted, equal-share, fixed-share, best-effort; docs/scheduling.md has a page on each.
Slices:   5ms stays; auto, auto:98% or auto:95%:20ms follows the price of a switch, so that this much of the device is left to its
          users, and the last of equal tenants waits no longer than that. `wavegate status` says if both cannot be had.";

#[derive(clap::Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    broker: AdminSocket,
    /// Which device, counted from 0 in the order of the configuration; all of them if not given.
    #[arg(long, value_name = "INDEX")]
    device: Option<u32>,
    /// By what its time is divided.
    #[arg(long, required_unless_present = "slice")]
    policy: Option<Division>,
    /// How long a lease lasts.
    #[arg(long)]
    slice: Option<Pace>,
}

fn set(args: &SetArgs) -> Result<ExitCode> {
    let &SetArgs { device, policy, slice, .. } = args;
    drop(args.broker.ask(&Request::DeviceSet { device, policy, slice })?);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(command: DeviceCommand) -> Result<ExitCode> {
    match command {
        DeviceCommand::Run(args) => run_kernels(&args),
        DeviceCommand::Set(args) => set(&args),
        DeviceCommand::Kernels { json } => list_kernels(json),
    }
}

#[derive(Serialize)]
struct KernelLine {
    name: &'static str,
    about: &'static str,
    default_size: u32,
    size_unit: &'static str,
}

fn list_kernels(json: bool) -> Result<ExitCode> {
    let lines: Vec<KernelLine> = kernels::all()
        .iter()
        .map(|k| KernelLine { name: k.name, about: k.about, default_size: k.sizes.default, size_unit: k.sizes.unit })
        .collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
    } else {
        println!("{:<14} {:>22}  WHAT IT DOES", "KERNEL", "DEFAULT SIZE");
        for line in &lines {
            println!("{:<14} {:>22}  {}", line.name, format!("{} {}", line.default_size, line.size_unit), line.about);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One kernel's result.
#[derive(Serialize)]
struct Report {
    kernel: &'static str,
    size: u32,
    grid: [u32; 3],
    workgroup: [u16; 3],
    /// `verified`, `stopped` (endless, as it should be), `faulted` (as it should).
    outcome: &'static str,
    detail: Option<String>,
    /// Nanoseconds from the first work-group's start to the completion signal, of the fastest dispatch.
    dispatch_ns: Option<u64>,
    /// Nanoseconds from submitting to having seen the completion, of the fastest dispatch.
    round_trip_ns: u64,
    wave_instructions: u64,
    wave_instructions_per_s: f64,
    work: Option<String>,
    suspends: u64,
    context: ContextBytes,
}

#[derive(Serialize)]
struct Reports<'a> {
    device: &'a DeviceFacts,
    tier: &'static str,
    runs: Vec<Report>,
}

fn run_kernels(args: &RunArgs) -> Result<ExitCode> {
    let limit = Duration::try_from_secs_f64(args.limit).ok().filter(|l| !l.is_zero());
    let Some(limit) = limit else { bail!("--limit {}: use a number of seconds above 0", args.limit) };
    let chosen: Vec<&'static Kernel> = if args.kernel == "all" {
        kernels::all().iter().collect()
    } else {
        let kernel = kernels::find(&args.kernel).with_context(|| {
            let names: Vec<&str> = kernels::all().iter().map(|k| k.name).collect();
            format!("there is no kernel {:?}: choose one of {}, or all", args.kernel, names.join(", "))
        })?;
        vec![kernel]
    };
    let mut runs = Vec::new();
    let mut facts = None;
    for kernel in chosen {
        let (report, device) = run_kernel(kernel, args, limit).with_context(|| format!("kernel {}", kernel.name))?;
        facts = Some(device);
        if !args.json {
            if runs.is_empty() {
                print_heading(facts.as_ref(), args);
            }
            print_report(&report);
        }
        runs.push(report);
    }
    if let (true, Some(device)) = (args.json, &facts) {
        println!("{}", serde_json::to_string_pretty(&Reports { device, tier: SoftDevice::tier(), runs })?);
    }
    Ok(ExitCode::SUCCESS)
}

fn run_kernel(kernel: &'static Kernel, args: &RunArgs, limit: Duration) -> Result<(Report, DeviceFacts)> {
    let size = args.size.unwrap_or(kernel.sizes.default);
    let case = kernel.case(size, args.seed)?;
    let units = ComputeUnits::private(args.device.cus)?;
    let mut session = LocalSession::new(Box::new(SoftDevice::new(&args.device, units.clone())?))?;
    let facts = session.device().facts().clone();
    let target: Target = facts.target.parse()?;
    let program = session.load(kernel.code_object(target))?;

    // An endless kernel is stopped after a second at most: that it can be is what there is to see.
    let limit = if case.ending == Ending::NeverEnds { limit.min(Duration::from_secs(1)) } else { limit };
    let mut other = args.suspend_every.map(|us| Intruder::new(&args.device, units, us)).transpose()?;
    let addresses: Vec<u64> = case.buffers.iter().map(|b| session.upload(&b.bytes)).collect::<Result<_, _>>()?;
    let arguments = arguments(&case, &addresses);
    let (mut best, mut best_trip, mut instructions, mut ending) = (None, u64::MAX, 0, Ok(()));
    for _ in 0..args.repeat {
        for (buffer, &at) in case.buffers.iter().zip(&addresses) {
            session.memory().write(at, &buffer.bytes)?;
        }
        let begun = Instant::now();
        let ticket = session.submit(&program, kernel.name, case.grid, case.workgroup, case.dynamic_lds, &arguments)?;
        let mut executed = 0;
        ending = loop {
            let turn = other.as_ref().map_or(limit, |o| o.every.min(limit));
            match session.run_for(turn) {
                Ok((end, n)) => {
                    executed += n;
                    if end == RunEnd::Drained {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
            if begun.elapsed() >= limit {
                break Err(LocalError::Timeout { limit });
            }
            if let Some(other) = &mut other {
                session.device().suspend();
                other.intrude()?;
                session.device().resume();
            }
        };
        best_trip = best_trip.min(u64::try_from(begun.elapsed().as_nanos())?);
        instructions = executed;
        if ending.is_err() {
            break;
        }
        let times = session.times(ticket)?;
        let ns = times.end_ns - times.start_ns;
        best = Some(best.map_or(ns, |b: u64| b.min(ns)));
    }
    let (outcome, detail) = match (ending, case.ending) {
        (Ok(()), Ending::Completes) => ("verified", None),
        (Err(LocalError::Fault(fault)), Ending::Faults { address }) if fault.address == Some(address) => {
            ("faulted", Some(fault.text))
        }
        (Err(error @ LocalError::Timeout { .. }), Ending::NeverEnds) => ("stopped", Some(error.to_string())),
        (Err(error), _) => return Err(error.into()),
        (Ok(()), ending) => bail!("it completed, but should have ended with {ending:?}"),
    };
    let after: Vec<Vec<u8>> = case
        .buffers
        .iter()
        .zip(&addresses)
        .map(|(buffer, &at)| session.download(at, buffer.bytes.len()))
        .collect::<Result<_, _>>()?;
    case.check(&after).context("the result is wrong")?;
    let context = session.device().context_peak();
    let seconds = best.unwrap_or(best_trip) as f64 / 1e9;
    let work = case.work.filter(|_| best.is_some()).map(|w| {
        let rate = w.amount as f64 / seconds;
        match w.unit {
            WorkUnit::Bytes => format!("{:.2} GB/s", rate / 1e9),
            WorkUnit::Flops => format!("{:.2} GFLOP/s", rate / 1e9),
            WorkUnit::Interactions => format!("{:.1} M interactions/s", rate / 1e6),
            WorkUnit::Steps => format!("{:.1} M steps/s", rate / 1e6),
            WorkUnit::WaveInstructions => format!("{:.1} M wave-instructions/s", rate / 1e6),
        }
    });
    let report = Report {
        kernel: kernel.name,
        size,
        grid: case.grid,
        workgroup: case.workgroup,
        outcome,
        detail,
        dispatch_ns: best,
        round_trip_ns: best_trip,
        wave_instructions: instructions,
        wave_instructions_per_s: instructions as f64 / seconds,
        work,
        suspends: other.map_or(0, |o| o.times),
        context,
    };
    Ok((report, facts))
}

fn arguments(case: &Case, addresses: &[u64]) -> Vec<Argument> {
    let one = |arg: &Arg| match *arg {
        Arg::Buffer { index, offset } => Argument::Pointer(addresses.get(index).copied().unwrap_or(0) + offset),
        Arg::U32(value) => Argument::Bytes(value.to_le_bytes().to_vec()),
        Arg::U64(value) => Argument::Bytes(value.to_le_bytes().to_vec()),
        Arg::F32(value) => Argument::Bytes(value.to_le_bytes().to_vec()),
    };
    case.args.iter().map(one).collect()
}

/// Another session on the same compute units, which overwrites all registers and LDS it can.
struct Intruder {
    session: LocalSession,
    program: crate::local::Program,
    case: Case,
    arguments: Vec<Argument>,
    every: Duration,
    times: u64,
}

impl Intruder {
    fn new(config: &SoftConfig, units: ComputeUnits, every_us: u64) -> Result<Intruder> {
        let mut session = LocalSession::new(Box::new(SoftDevice::new(config, units)?))?;
        let target: Target = session.device().facts().target.parse()?;
        // PANIC: the kernel is part of this program.
        let kernel = kernels::find("canary_write").expect("an embedded kernel");
        let program = session.load(kernel.code_object(target))?;
        let case = kernels::canary::write_case(config.cus, 0x5eed_0000);
        let addresses: Vec<u64> = case.buffers.iter().map(|b| session.upload(&b.bytes)).collect::<Result<_, _>>()?;
        let arguments = arguments(&case, &addresses);
        Ok(Intruder { session, program, case, arguments, every: Duration::from_micros(every_us.max(1)), times: 0 })
    }

    fn intrude(&mut self) -> Result<()> {
        let Case { kernel, grid, workgroup, dynamic_lds, .. } = self.case;
        let ticket = self.session.submit(&self.program, kernel, grid, workgroup, dynamic_lds, &self.arguments)?;
        self.session.finish(ticket, Duration::from_secs(10))?;
        self.times += 1;
        Ok(())
    }
}

fn print_heading(facts: Option<&DeviceFacts>, args: &RunArgs) {
    if let Some(facts) = facts {
        println!("device   {} ({} tier, seed {}, best of {})", facts.name, SoftDevice::tier(), args.seed, args.repeat);
    }
    println!(
        "{:<14} {:>9}  {:<9} {:>12} {:>12} {:>13} {:>9}  {:>10}  WORK",
        "KERNEL", "SIZE", "RESULT", "DISPATCH", "ROUND TRIP", "WAVE-INSTR", "M INSTR/S", "CONTEXT"
    );
}

fn print_report(r: &Report) {
    println!(
        "{:<14} {:>9}  {:<9} {:>12} {:>12} {:>13} {:>9.1}  {:>10}  {}",
        r.kernel,
        r.size,
        r.outcome,
        r.dispatch_ns.map_or("-".to_owned(), micros),
        micros(r.round_trip_ns),
        r.wave_instructions,
        r.wave_instructions_per_s / 1e6,
        format!("{:.1} KiB", r.context.copied() as f64 / 1024.0),
        r.work.as_deref().unwrap_or("-"),
    );
    if r.suspends > 0 {
        println!("{:<14} suspended and resumed {} times, other contents in between", "", r.suspends);
    }
    if let Some(detail) = &r.detail {
        println!("{:<14} {detail}", "");
    }
}

fn micros(ns: u64) -> String {
    format!("{:.1} us", ns as f64 / 1e3)
}
