//! `wavegate doctor`: what this machine has, what is in the way, and with `--run` whether a device does what Wavegate needs.
//!
//! Promise: it works on any machine. Without `--run` it only reads what the kernel shows. With it, the device is asked everything that
//! [`crate::conformance`] asks, each case in a process of its own that is killed if it does not end, and what switching costs is measured. The report
//! says what was run on what, so that it can be sent on as it is.

use crate::conformance::{self, Measured, Seen};
use crate::device::DeviceFacts;
use crate::device::kfd::{Access, Gpu, Machine, Problem};
use crate::device::spec::DeviceSpec;
use anyhow::{Context as _, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// How long one process may take: longer than a case gives its device.
const LIMIT: Duration = Duration::from_secs(90);
/// How often an unfinished process is looked at.
const LOOK: Duration = Duration::from_millis(2);

#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    /// The device that --run tries: auto, rocr:INDEX or soft[:...].
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: DeviceSpec,
    /// Ask the device everything a device must do, judge the answers, and measure what switching costs.
    #[arg(long)]
    run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write the report to send, as JSON, to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Do one part of --run in this process: facts, costs, or the name of a case.
    #[arg(long, hide = true)]
    part: Option<String>,
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
    /// The device as it was named.
    name: String,
    /// What its claims rest on: `soft`, `rocr-soft` for AMD's runtime on the test fixture, `hardware`.
    rests_on: &'static str,
    device: Result<DeviceTold, String>,
    cases: Vec<Checked>,
    costs: Result<Vec<Cost>, String>,
}

/// The facts, on their way through a pipe.
type DeviceTold = serde_json::Value;
/// A distribution, on its way through a pipe.
type Cost = serde_json::Value;

/// What came of a case.
#[derive(Serialize, Deserialize)]
struct Checked {
    name: String,
    verdict: Verdict,
    seen: String,
    #[serde(default)]
    ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Right,
    NotOffered,
    Wrong,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Right => "right",
            Verdict::NotOffered => "not offered",
            Verdict::Wrong => "WRONG",
        }
    }
}

impl Checks {
    fn passed(&self) -> bool {
        self.device.is_ok() && self.costs.is_ok() && self.cases.iter().all(|case| case.verdict != Verdict::Wrong)
    }
}

pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    if let Some(part) = &args.part {
        return do_part(&args.device, part);
    }
    let machine = Machine::look(Path::new("/"));
    let (chosen, why) = DeviceSpec::Auto.resolved();
    let auto = format!("{chosen} ({})", why.unwrap_or_default());
    let checks = if args.run { Some(checks(&args.device.clone().resolved().0, args.json)?) } else { None };
    let version = env!("CARGO_PKG_VERSION");
    let report = Report { version, problems: machine.problems(), machine, auto, checks };
    let json = || serde_json::to_string_pretty(&report);
    if let Some(path) = &args.report {
        std::fs::write(path, json()? + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        println!("{}", json()?);
    } else {
        print(&report);
    }
    let passed = report.checks.as_ref().is_none_or(Checks::passed);
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
    println!("\ndevice   {}, which rests on: {}", checks.name, checks.rests_on);
    if let Err(error) = &checks.device {
        println!("         {error}");
        return;
    }
    for case in &checks.cases {
        println!("{:<11} {:>6} ms  {:<46} {}", case.verdict.word(), case.ms, case.name.replace('_', " "), case.seen);
    }
    match &checks.costs {
        Ok(costs) => costs.iter().for_each(print_cost),
        Err(error) => println!("what switching costs could not be measured: {error}"),
    }
    let count = |verdict| checks.cases.iter().filter(|case| case.verdict == verdict).count();
    println!(
        "\n{} of {} right, {} not offered, {} wrong",
        count(Verdict::Right),
        checks.cases.len(),
        count(Verdict::NotOffered),
        count(Verdict::Wrong)
    );
    println!("what next: with --report FILE this is written as a report to send with an issue");
}

fn print_cost(cost: &Cost) {
    let us = |name: &str| cost[name].as_f64().unwrap_or(0.0);
    let what = cost["what"].as_str().unwrap_or("?");
    println!("{what:<40} p50 {:>9.1} us  p99 {:>9.1} us  max {:>9.1} us", us("p50_us"), us("p99_us"), us("max_us"));
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

/// Does one part in this process and prints it as JSON.
fn do_part(spec: &DeviceSpec, part: &str) -> Result<ExitCode> {
    let told = match part {
        "facts" => serde_json::to_string::<DeviceFacts>(conformance::open(spec)?.facts())?,
        "costs" => serde_json::to_string::<Vec<Measured>>(&conformance::measure(conformance::open(spec)?)?)?,
        name => {
            let case = conformance::find(name).with_context(|| format!("there is no part {name:?} of this"))?;
            let (verdict, seen) = match conformance::open(spec).and_then(|device| case.run(device)) {
                Ok(Seen::Right(seen)) => (Verdict::Right, seen),
                Ok(Seen::NotOffered(what)) => (Verdict::NotOffered, what),
                Err(error) => (Verdict::Wrong, format!("{error:#}")),
            };
            serde_json::to_string(&Checked { name: name.to_owned(), verdict, seen, ms: 0 })?
        }
    };
    println!("{told}");
    Ok(ExitCode::SUCCESS)
}

/// Asks a device everything.
fn checks(spec: &DeviceSpec, quiet: bool) -> Result<Checks> {
    let rests_on = match spec {
        DeviceSpec::Soft(_) => "soft",
        DeviceSpec::Rocr(config) if config.thunk.is_some() => "rocr-soft",
        DeviceSpec::Rocr(_) => "hardware",
        DeviceSpec::Auto => bail!("auto stands for no device here"),
    };
    let program = std::env::current_exe().context("cannot find this program")?;
    let device = in_process(&program, spec, "facts").map_err(|error| format!("{error:#}"));
    let (mut cases, mut costs) = (Vec::new(), Ok(Vec::new()));
    if device.is_ok() {
        for case in conformance::all() {
            if !quiet {
                eprintln!("trying: {}", case.name.replace('_', " "));
            }
            let begun = Instant::now();
            let checked = in_process(&program, spec, case.name);
            let mut checked: Checked = checked.unwrap_or_else(|error| Checked {
                name: case.name.to_owned(),
                verdict: Verdict::Wrong,
                seen: format!("{error:#}"),
                ms: 0,
            });
            checked.ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            cases.push(checked);
        }
        costs = in_process(&program, spec, "costs").map_err(|error| format!("{error:#}"));
    }
    Ok(Checks { name: spec.to_string(), rests_on, device, cases, costs })
}

/// Does a part in a process of its own, and kills it if it does not end.
fn in_process<T: DeserializeOwned>(program: &Path, spec: &DeviceSpec, part: &str) -> Result<T> {
    let mut child = Command::new(program)
        .args(["doctor", "--part", part, "--device"])
        .arg(spec.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start a process of our own")?;
    let begun = Instant::now();
    // What it prints fits a pipe many times over, so it never waits for us.
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for a process of our own")? {
            break status;
        }
        if begun.elapsed() > LIMIT {
            child.kill().context("it cannot be killed")?;
            child.wait().context("cannot wait for a process of our own")?;
            bail!("it did not end within {} s and was killed", LIMIT.as_secs());
        }
        std::thread::sleep(LOOK);
    };
    let text = |stream: Option<&mut dyn std::io::Read>| {
        let mut text = String::new();
        let _ = stream.map(|stream| stream.read_to_string(&mut text));
        text
    };
    let said = text(child.stdout.as_mut().map(|s| s as &mut dyn std::io::Read));
    let complained = text(child.stderr.as_mut().map(|s| s as &mut dyn std::io::Read));
    ensure!(status.success(), "it ended with {status}: {}", complained.trim());
    serde_json::from_str(said.trim()).with_context(|| format!("it said {said:?}"))
}
