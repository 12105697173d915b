//! `wavegate doctor`: what this machine has, what is in the way, and with `--run` whether a device does what Wavegate needs.
//!
//! Promise: it works on any machine and changes nothing. Without `--run` it only reads what the kernel shows. With it, every embedded program
//! runs on the device and is judged by its oracle, and suspending is tried; the report says what was run on what, so that it
//! can be sent on as it is.

use crate::device::kfd::{Access, Gpu, Machine, Problem};
use crate::device::rocr::RocrDevice;
use crate::device::soft::{ComputeUnits, SoftDevice};
use crate::device::spec::DeviceSpec;
use crate::device::{Device, DeviceFacts, Preemption, RunEnd};
use crate::local::{Argument, LocalSession};
use anyhow::{Context as _, Result, bail};
use kernels::{Arg, Case, Ending, Kernel, Target};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a program may take on a device.
const LIMIT: Duration = Duration::from_secs(60);
/// How long waves run between two suspends.
const RUN_FOR: Duration = Duration::from_micros(500);

#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    /// The device that --run tries: auto, rocr:INDEX or soft[:...].
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: DeviceSpec,
    /// Run every embedded program on the device, judge the results, and try to suspend one.
    #[arg(long)]
    run: bool,
    /// Print JSON: the report to send.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    machine: Machine,
    problems: Vec<Problem>,
    auto: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks>,
}

/// What `--run` found.
#[derive(Serialize)]
struct Checks {
    device: DeviceFacts,
    /// What its claims rest on: `soft`, or `hardware` and `rocr-soft` alike for AMD's runtime, which cannot tell.
    backend: &'static str,
    programs: Vec<Program>,
    suspend: Suspend,
}

#[derive(Serialize)]
struct Program {
    name: &'static str,
    verdict: String,
    passed: bool,
    dispatch_us: Option<f64>,
}

#[derive(Serialize)]
struct Suspend {
    capability: Preemption,
    verdict: String,
    passed: bool,
    times: u32,
    suspend_us: Option<f64>,
    resume_us: Option<f64>,
}

pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    let machine = Machine::look(Path::new("/"));
    let (chosen, why) = DeviceSpec::Auto.resolved();
    let auto = format!("{chosen} ({})", why.unwrap_or_default());
    let checks = if args.run { Some(checks(&args.device.clone().resolved().0)?) } else { None };
    let version = env!("CARGO_PKG_VERSION");
    let report = Report { version, problems: machine.problems(), machine, auto, checks };
    let passed = report.checks.as_ref().is_none_or(|c| c.suspend.passed && c.programs.iter().all(|p| p.passed));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report) {
    let machine = &report.machine;
    println!("kernel   {}", machine.kernel.as_deref().unwrap_or("unknown"));
    let version = machine.driver_version.as_deref().unwrap_or("of the kernel");
    println!(
        "amdgpu   {}",
        if machine.driver { format!("loaded, version {version}") } else { "not loaded".to_owned() }
    );
    println!("/dev/kfd {}", access(&machine.kfd));
    for gpu in &machine.gpus {
        print_gpu(gpu);
    }
    if report.problems.is_empty() {
        println!("\nNothing is in the way of using hardware.");
    } else {
        println!("\nIn the way of using hardware:");
        for problem in &report.problems {
            println!("- {}\n  what next: {}", problem.what, problem.next);
        }
        println!("Everything of Wavegate runs without it, on the software GPU.");
    }
    println!("\n--device auto is {}", report.auto);
    let Some(checks) = &report.checks else {
        println!("wavegate doctor --run tries the device and prints a report to send");
        return;
    };
    println!(
        "\ndevice   {} ({}, {} compute units)",
        checks.device.name, checks.device.target, checks.device.compute_units
    );
    for program in &checks.programs {
        let time = program.dispatch_us.map_or_else(String::new, |us| format!("{us:>12.1} us"));
        println!("{:<24}{:<10}{time}", program.name, program.verdict);
    }
    let passed = checks.programs.iter().filter(|p| p.passed).count();
    println!("{passed} of {} programs as they should be; suspend: {}", checks.programs.len(), checks.suspend.verdict);
}

fn access(access: &Access) -> String {
    match access {
        Access::Usable => "can be opened".to_owned(),
        Access::Missing => "is not there".to_owned(),
        Access::Refused(why) => format!("cannot be opened: {why}"),
    }
}

fn print_gpu(gpu: &Gpu) {
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    println!("\nGPU      {}", gpu.describe());
    println!("         {} {}", gpu.render_node, access(&gpu.render_access));
    println!(
        "         firmware {} and {}, {} queue slots, {} dies",
        gpu.firmware, gpu.copy_firmware, gpu.queue_slots, gpu.xccs
    );
    println!("         partitions: compute {}, memory {}", known(&gpu.partitions.0), known(&gpu.partitions.1));
    if let Some((used, total)) = gpu.virtual_functions {
        println!("         SR-IOV: {used} of {total} virtual functions");
    }
    let cleaner = if gpu.cleaner_shader { "offered" } else { "not offered" };
    println!("         driver isolation {}, cleaner shader {cleaner}", known(&gpu.enforce_isolation));
    let scrub = match kernels::scrub::find(&gpu.target) {
        Some(scrub) if scrub.was_run() => "cleared by a program that was run on the software GPU; --run tries it here",
        Some(_) => "cleared by a program that nothing has run yet; --run tries it here",
        None => "no program of this release clears them",
    };
    println!("         registers and LDS between tenants: {scrub}");
}

fn open(spec: &DeviceSpec) -> Result<Box<dyn Device>> {
    Ok(match spec {
        DeviceSpec::Soft(config) => Box::new(SoftDevice::new(config, ComputeUnits::private(config.cus)?)?),
        DeviceSpec::Rocr(config) => Box::new(RocrDevice::open(config)?),
        DeviceSpec::Auto => bail!("auto stands for no device here"),
    })
}

fn checks(spec: &DeviceSpec) -> Result<Checks> {
    let backend = if matches!(spec, DeviceSpec::Soft(_)) { "soft" } else { "rocr" };
    // One session for all: AMD's runtime is one a process.
    let mut session = LocalSession::new(open(spec).with_context(|| format!("device {spec}"))?)?;
    let device = session.device().facts().clone();
    let target: Target = device.target.parse().with_context(|| {
        format!(
            "there are no embedded programs for {}, only for {}",
            device.target,
            Target::ALL.map(|t| t.to_string()).join(", ")
        )
    })?;
    let mut programs = Vec::new();
    for kernel in kernels::all() {
        let case = kernel.small_case(1);
        // What ends in a fault ends the device too where that is AMD's, and what never ends needs a suspend: not asked for here.
        // `canary` judges what others left on the compute units, which is nobody's promise before a scrub.
        if case.ending != Ending::Completes || kernel.wants_clean_units() {
            continue;
        }
        let done = one(&mut session, kernel, &case, target);
        let (verdict, passed, dispatch_us) = match done {
            Ok(us) => ("verified".to_owned(), true, Some(us)),
            Err(error) => (format!("{error:#}"), false, None),
        };
        programs.push(Program { name: kernel.name, verdict, passed, dispatch_us });
    }
    let suspend = suspend(&mut session, target, device.preemption);
    Ok(Checks { device, backend, programs, suspend })
}

/// Runs a case and judges it; returns microseconds of device time.
fn one(session: &mut LocalSession, kernel: &Kernel, case: &Case, target: Target) -> Result<f64> {
    let program = session.load(kernel.code_object(target))?;
    let addresses = place(session, case)?;
    let arguments = arguments(case, &addresses);
    let ticket = session.submit(&program, kernel.name, case.grid, case.workgroup, case.dynamic_lds, &arguments)?;
    let (times, _) = session.finish(ticket, LIMIT)?;
    judge(session, case, &addresses)?;
    let hz = session.device().facts().timestamp_hz.max(1) as f64;
    Ok((times.end_ns - times.start_ns) as f64 * 1e6 / hz)
}

fn place(session: &LocalSession, case: &Case) -> Result<Vec<u64>> {
    case.buffers.iter().map(|buffer| Ok(session.upload(&buffer.bytes)?)).collect()
}

/// Compares what is in memory with the oracle, and gives the memory back.
fn judge(session: &LocalSession, case: &Case, addresses: &[u64]) -> Result<()> {
    let read = |(buffer, &at): (&kernels::Buffer, &u64)| session.download(at, buffer.bytes.len());
    let after: Vec<Vec<u8>> = case.buffers.iter().zip(addresses).map(read).collect::<Result<_, _>>()?;
    for &at in addresses {
        session.memory().free(at)?;
    }
    Ok(case.check(&after)?)
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

/// Suspends a running program again and again, and judges what comes of it.
fn suspend(session: &mut LocalSession, target: Target, capability: Preemption) -> Suspend {
    let mut found = Suspend {
        capability,
        verdict: "this device only drains".to_owned(),
        passed: true,
        times: 0,
        suspend_us: None,
        resume_us: None,
    };
    if capability < Preemption::Suspend {
        return found;
    }
    match suspend_nbody(session, target, &mut found) {
        Ok(()) => found.verdict = format!("{} times, result verified", found.times),
        Err(error) => (found.passed, found.verdict) = (false, format!("{error:#}")),
    }
    found
}

fn suspend_nbody(session: &mut LocalSession, target: Target, found: &mut Suspend) -> Result<()> {
    let kernel = kernels::find("nbody").context("n-body is not embedded")?;
    let case = kernel.default_case(1);
    let program = session.load(kernel.code_object(target))?;
    let addresses = place(session, &case)?;
    let arguments = arguments(&case, &addresses);
    let ticket = session.submit(&program, kernel.name, case.grid, case.workgroup, case.dynamic_lds, &arguments)?;
    let begun = Instant::now();
    let (mut suspending, mut resuming) = (Duration::ZERO, Duration::ZERO);
    while session.run_for(RUN_FOR)?.0 == RunEnd::Stopped {
        let stopping = Instant::now();
        session.device().suspend();
        let stopped = Instant::now();
        session.device().resume();
        suspending += stopped - stopping;
        resuming += stopped.elapsed();
        found.times += 1;
        if begun.elapsed() > LIMIT {
            bail!("it does not end when it is suspended {} times", found.times);
        }
    }
    if !session.is_done(ticket)? {
        bail!("the program did not complete");
    }
    let mean = |total: Duration| (found.times > 0).then(|| total.as_secs_f64() * 1e6 / f64::from(found.times));
    (found.suspend_us, found.resume_us) = (mean(suspending), mean(resuming));
    judge(session, &case, &addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_software_gpu_passes_what_hardware_is_asked() {
        let checks = checks(&"soft:cus=2,vram=256MiB".parse().unwrap()).unwrap();
        for program in &checks.programs {
            assert!(program.passed, "{}: {}", program.name, program.verdict);
        }
        assert!(checks.programs.len() > 10 && checks.suspend.passed, "{}", checks.suspend.verdict);
    }
}
