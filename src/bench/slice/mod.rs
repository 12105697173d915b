//! How long a slice should be on this machine.
//!
//! A long slice wastes little on switches and makes everybody wait; a short one the other way round. This sweeps slices, numbers of tenants and
//! workloads with real tenant processes, measures both sides of that trade, fits what a slice's end costs, and recommends a slice
//! for each goal with the line to put into the configuration, which is then measured again.
//!
//! | module | subject |
//! |---|---|
//! | `workload` | what tenants do, and which points are measured in which order |
//! | `point` | one measurement |
//! | `model` | cost, knee, Pareto front, recommendations: arithmetic only |
//! | `report` | what it comes to, and the tables |
//! | `html`, `logs` | the page with plots, and the latencies for whoever wants to analyse them again |

mod html;
mod logs;
mod model;
mod point;
mod report;
mod workload;

use super::Common;
use super::floor::{Environment, Floor};
use crate::config::values::{Percent, Span};
use crate::stage::running::RunningBroker;
use crate::stage::{self, Host as _};
use anyhow::{Context as _, Result, bail};
use model::Goals;
use point::Bed;
use report::{CONFIRMED, Confirmation, Report, Row};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use sys::event::{Signal, Signals};
use workload::{Plan, Point, Workload};

/// What the bench can be told.
#[derive(clap::Args, Debug)]
pub struct SliceArgs {
    #[command(flatten)]
    common: Common,
    /// Less than a minute: six slices, four tenants, two workloads, one round.
    #[arg(long)]
    quick: bool,
    /// Slices to try [default: 12 from 250us to 64ms; --quick: 6 from 500us to 16ms].
    #[arg(long, value_delimiter = ',', value_name = "TIME")]
    slices: Vec<Span>,
    /// How many tenants compete [default: 1,2,4,8; --quick: 4].
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    tenants: Vec<u32>,
    /// What they do [default: all; --quick: short,mixed].
    #[arg(long, value_delimiter = ',', value_enum, value_name = "WORKLOAD")]
    workloads: Vec<Workload>,
    /// Rounds; each measures every point once [default: 3; --quick: 1].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Seconds of a measurement at least [default: 1; --quick: 0.6].
    #[arg(long)]
    seconds: Option<f64>,
    /// How many tenants the recommendation is for [default: the most that were measured].
    #[arg(long, value_name = "N")]
    recommend_for: Option<u32>,
    /// What a balanced slice shall leave of the device.
    #[arg(long, default_value = "95%", value_name = "PERCENT")]
    efficiency: Percent,
    /// Longest that 99 of 100 requests shall take, for the latency goal.
    #[arg(long, default_value = "20ms", value_name = "TIME")]
    latency: Span,
    /// Draws the order of the measurements.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Directory for report.html, report.json, report.txt and latencies.hlog; it must not exist [default: wavegate-slice, or the next free wavegate-slice-N].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure on the broker that is running: it gets tenants and slices for the time, and its own back afterwards. Its slice then counts as set live, with
    /// the value it had.
    #[arg(long, conflicts_with = "device")]
    running: bool,
    /// The running broker's admin socket [default: the user's own broker if there is one, else /run/wavegate/admin.sock].
    #[arg(long, env = "WAVEGATE_ADMIN_SOCKET", value_name = "PATH")]
    admin_socket: Option<PathBuf>,
}

impl SliceArgs {
    fn plan(&self) -> Result<Plan> {
        const US: u64 = 1_000;
        let or = |given: &[u32], otherwise: &[u32]| if given.is_empty() { otherwise.to_vec() } else { given.to_vec() };
        let mut slices_ns: Vec<u64> = self.slices.iter().map(|s| s.0.0).collect();
        if slices_ns.is_empty() {
            let (from, to, count) = if self.quick { (500 * US, 16_000 * US, 6) } else { (250 * US, 64_000 * US, 12) };
            slices_ns = model::log_spaced(from, to, count);
        }
        slices_ns.sort_unstable();
        slices_ns.dedup();
        let mut tenants = or(&self.tenants, if self.quick { &[4] } else { &[1, 2, 4, 8] });
        tenants.sort_unstable();
        tenants.dedup();
        let mut workloads = self.workloads.clone();
        if workloads.is_empty() {
            let all = if self.quick { &[Workload::Short, Workload::Mixed][..] } else { &Workload::ALL };
            workloads = all.to_vec();
        }
        let seconds = self.seconds.unwrap_or(if self.quick { 0.6 } else { 1.0 });
        if !(0.5..=600.0).contains(&seconds) {
            bail!("--seconds {seconds}: use 0.5 to 600; shorter measurements hold too few turns");
        }
        let rounds = self.rounds.unwrap_or(if self.quick { 1 } else { 3 });
        let plan = Plan { slices_ns, tenants, workloads, rounds, seconds, seed: self.seed };
        plan.check()?;
        Ok(plan)
    }

    fn goals(&self) -> Result<Goals> {
        let efficiency = self.efficiency.0.context("--efficiency none: name a percentage such as 95%")?;
        if efficiency.millionths() >= 1_000_000 {
            bail!("--efficiency 100%: every switch costs something; name less, such as 95%");
        }
        Ok(Goals { efficiency: f64::from(efficiency.millionths()) / 1e6, latency_ns: self.latency.0.0 })
    }
}

/// Runs the sweep and prints and writes the report.
pub(super) fn run(args: &SliceArgs) -> Result<ExitCode> {
    let (plan, goals) = (args.plan()?, args.goals()?);
    let most = plan.tenants.iter().copied().max().unwrap_or_default();
    let tenants = args.recommend_for.unwrap_or(most);
    if tenants < 2 || !plan.tenants.contains(&tenants) {
        bail!("--recommend-for {tenants}: it must be among the numbers of tenants that are measured, and more than 1");
    }
    let out = Place::make(args.out.as_deref())?;
    // Before the device takes a processor for itself.
    let environment = Environment::here();
    let (mut bed, stop) = bed(args)?;
    let device = match &bed {
        Bed::Private(device) => device.to_string(),
        Bed::Running(broker) => broker.status()?.device,
    };

    let mut progress = Progress::new();
    progress.say("measuring the machine's own noise and the device's speed");
    let floor = Floor::measure(match &bed {
        Bed::Private(device) => Some(device),
        Bed::Running(_) => None,
    })?;
    let speed = point::speed(&mut bed)?;
    let seen = sweep(&mut bed, &plan, speed, &stop, &mut progress)?;
    let environment = Environment { device, ..environment };
    let mut report = Report::of((environment, floor), (plan, speed), seen, tenants, goals);
    confirm(&mut bed, &mut report, args.quick, &stop, &mut progress)?;
    progress.end();
    // A borrowed broker has its own back before anybody reads that it has.
    drop(bed);

    let json = serde_json::to_string_pretty(&report)? + "\n";
    let write = |name: &str, contents: &str| {
        let path = out.0.join(name);
        std::fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))
    };
    write("report.json", &json)?;
    write("report.txt", &report.text())?;
    write("report.html", &html::page(&report)?)?;
    logs::write(&out.0.join("latencies.hlog"), &report)?;
    if args.common.json {
        print!("{json}");
    } else {
        print!("{}", report.text());
        println!("\nwritten to {}: report.html, report.json, report.txt, latencies.hlog", out.0.display());
    }
    Ok(if report.refusal.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The directory for the report. It is made before the long part, so that nothing is measured in vain, and is gone again if nothing was put into it.
struct Place(PathBuf);

impl Place {
    fn make(asked: Option<&Path>) -> Result<Place> {
        directory(asked).map(Place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Fails where there is a report.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Creates the directory for the report.
fn directory(asked: Option<&Path>) -> Result<PathBuf> {
    let create = |path: &Path| std::fs::create_dir(path);
    if let Some(path) = asked {
        create(path).with_context(|| {
            format!(
                "cannot create {}: name a directory that does not exist in one that does, with --out",
                path.display()
            )
        })?;
        return Ok(path.to_owned());
    }
    for n in 1..10_000 {
        let name = if n == 1 { "wavegate-slice".to_owned() } else { format!("wavegate-slice-{n}") };
        let path = PathBuf::from(name);
        match create(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            done => {
                done.context("cannot create wavegate-slice in the current directory; name another with --out")?;
                return Ok(path);
            }
        }
    }
    bail!("there are ten thousand reports here already; name a directory with --out")
}

/// Whether somebody asked to stop. Only where there is something to give back: else the signal ends this program, and a private broker ends with it.
struct Stop(Option<Signals>);

impl Stop {
    fn check(&self) -> Result<()> {
        match self.0.as_ref().map(Signals::next).transpose()?.flatten() {
            Some(_) => bail!("stopped before the end: there is no report"),
            None => Ok(()),
        }
    }
}

fn bed(args: &SliceArgs) -> Result<(Bed, Stop)> {
    if !args.running {
        return Ok((Bed::Private(stage::apart(args.common.device)?), Stop(None)));
    }
    let signals = Signals::collect(&[Signal::INT, Signal::TERM, Signal::HUP])?;
    Ok((Bed::Running(RunningBroker::borrow(args.admin_socket.clone())?), Stop(Some(signals))))
}

/// Rows, and what failed.
type Seen = (Vec<Row>, Vec<(Point, String)>);

fn sweep(bed: &mut Bed, plan: &Plan, speed: workload::Speed, stop: &Stop, progress: &mut Progress) -> Result<Seen> {
    /// Of so many measurements one may fail twice; if there are more, it is not chance.
    const ONE_IN: usize = 10;
    let order = plan.order();
    let cost = |point: &Point| plan.cost_ns(*point);
    let (all, mut done) = (order.iter().map(cost).sum::<u64>(), 0);
    let mut failed = Vec::new();
    let begun = Instant::now();
    let mut seen: BTreeMap<Point, Vec<point::Sample>> = BTreeMap::new();
    for (k, point) in order.iter().enumerate() {
        stop.check()?;
        let name = format!("{}, {} tenants, {}", point.workload.name(), point.tenants, report::span(point.slice_ns));
        // What is left, as long as what is behind took for what it was expected to take.
        let left = match done {
            0 => Duration::from_nanos(all),
            _ => begun.elapsed().mul_f64((all - done) as f64 / done as f64),
        };
        progress.say(&format!("[{}/{}] {name}; {} left", k + 1, order.len(), minutes(left)));
        let mut measure = || bed.measure(*point, speed, plan.span_ns(*point));
        // A busy host may starve somebody once.
        match measure().or_else(|_| measure()) {
            Ok(sample) => seen.entry(*point).or_default().push(sample),
            Err(error) if ONE_IN * failed.len() >= order.len() => return Err(error.context(name)),
            Err(error) => failed.push((*point, format!("{error:#}"))),
        }
        done += cost(point);
    }
    let rows = seen.into_iter().map(|(point, samples)| Row::of(point, samples)).collect::<Result<_>>()?;
    Ok((rows, failed))
}

/// Measures the recommended slice again: in a quick run with the workload that suffers most, else with each.
fn confirm(bed: &mut Bed, report: &mut Report, quick: bool, stop: &Stop, progress: &mut Progress) -> Result<()> {
    const TIMES: u32 = 3;
    let Some(balanced) = report.recommendations.iter().find(|r| r.goal == "balanced") else { return Ok(()) };
    let slice_ns = balanced.slice_ns;
    let mut fits: Vec<(Workload, f64)> = report
        .fits
        .iter()
        .filter(|fit| fit.tenants == report.tenants)
        .map(|fit| (fit.workload, fit.efficiency(slice_ns)))
        .collect();
    fits.sort_by(|a, b| a.1.total_cmp(&b.1));
    fits.truncate(if quick { 1 } else { fits.len() });
    for (workload, predicted) in fits {
        progress.say(&format!("measuring the recommendation again: {}", workload.name()));
        let point = Point { workload, tenants: report.tenants, slice_ns };
        let samples = (0..TIMES)
            .map(|_| {
                stop.check()?;
                bed.measure(point, report.speed, report.plan.span_ns(point))
            })
            .collect::<Result<Vec<_>>>()?;
        let row = Row::of(point, samples)?;
        let (measured, request) = (row.efficiency, row.request);
        let confirmed = (measured.value / predicted - 1.0).abs() <= CONFIRMED;
        report.confirmations.push(Confirmation { point, predicted, measured, confirmed, request });
    }
    Ok(())
}

fn minutes(left: Duration) -> String {
    let seconds = left.as_secs();
    if seconds < 90 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}

/// What is going on, on standard error: one line that changes on a terminal, else a line now and then.
struct Progress {
    terminal: bool,
    said: Option<Instant>,
}

impl Progress {
    fn new() -> Progress {
        Progress { terminal: std::io::stderr().is_terminal(), said: None }
    }

    fn say(&mut self, what: &str) {
        const NOW_AND_THEN: Duration = Duration::from_secs(15);
        if self.terminal {
            // A line that does not appear is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[K{what}");
            let _ = std::io::stderr().flush();
        } else if self.said.is_none_or(|at| at.elapsed() >= NOW_AND_THEN) {
            let _ = writeln!(std::io::stderr(), "{what}");
            self.said = Some(Instant::now());
        }
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: SliceArgs,
    }

    fn args(line: &str) -> SliceArgs {
        Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).unwrap().args
    }

    #[test]
    fn a_quick_sweep_takes_less_than_a_minute() {
        let plan = args("--quick").plan().unwrap();
        // Three more are the confirmation.
        let dearest = plan.points().iter().map(|point| plan.cost_ns(*point)).max().unwrap();
        let ns: u64 = plan.order().iter().map(|point| plan.cost_ns(*point)).sum::<u64>() + 3 * dearest;
        assert!(ns < 57_000_000_000, "{ns}");
        assert_eq!(plan.slices_ns.len(), 6);
    }

    #[test]
    fn the_full_sweep_has_what_the_method_asks_for() {
        let plan = args("").plan().unwrap();
        assert_eq!((plan.slices_ns.len(), &plan.tenants[..], plan.workloads.len()), (12, &[1, 2, 4, 8][..], 5));
        let given =
            args("--slices 4ms,1ms,2ms,1ms --tenants 3 --workloads long --rounds 7 --seconds 2").plan().unwrap();
        assert_eq!(given.slices_ns, [1_000_000, 2_000_000, 4_000_000]);
        assert_eq!((given.rounds, given.points().len()), (7, 3));
        for wrong in ["--slices 1ms,2ms", "--tenants 1", "--seconds 0.1"] {
            assert!(args(wrong).plan().is_err(), "{wrong}");
        }
        assert!(args("--efficiency none").goals().is_err() && args("--efficiency 100%").goals().is_err());
    }

    #[test]
    fn time_left_is_said_as_people_say_it() {
        assert_eq!(minutes(Duration::from_secs(89)), "89 s");
        assert_eq!(minutes(Duration::from_secs(91)), "2 min");
    }
}
