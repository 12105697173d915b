//! Several programs at once, each a tenant of its own: who gets how much of the device, and what a killed one changes for the others.
//!
//! The programs are `tests/hip/share.cpp`: they keep kernels in flight, check what every one of them left, and tell how many were right and when.
//!
//! Promise: shares are of kernels whose results were verified, over the time in which every program had some in flight. The device has a host
//! processor of its own and the programs have the others, as a GPU computes beside its host; with one processor they share it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Row;
use super::broker::{Broker, Outcome, Setup, run};
use super::place::Place;
use super::programs::Expected;

/// How far a share may be from its weight's, in points of a hundred.
pub(super) const OFF_MAX: f64 = 2.0;
/// Left out at the beginning: programs begin one after the other.
const SETTLE_NS: u64 = 200_000_000;
/// Least time in which all must have had work, or there is nothing to judge.
const COMMON_NS_MIN: u64 = 1_000_000_000;
/// How often somebody is killed.
const KILLS: u32 = 24;
/// What is killed, with its argument.
const VICTIMS: [&[&str]; 4] = [&["share", "1"], &["device_printf"], &["copies"], &["threads"]];
/// How long any one of these may take besides what it is told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tenants and their weights. The last one is killed.
const TENANTS: [(&str, u32); 5] = [("four", 4), ("three", 3), ("two", 2), ("one", 1), ("victim", 2)];

/// Runs all of it on a broker of its own.
pub(super) fn check(place: &Place) -> Result<Vec<Row>> {
    let (device, processors) = processors("soft:cus=4,vram=2GiB")?;
    let setup =
        Setup { name: "share", config: config("slice = \"5ms\""), devices: vec![device], processors, fixture: None };
    let broker = Broker::start(place, &setup)?;
    let rows = vec![shares(&broker, &[1, 3], 4, OFF_MAX), shares(&broker, &[0, 1, 2, 3], 6, OFF_MAX), killed(&broker)];
    broker.end()?;
    Ok(rows)
}

/// Gives a device a host processor of its own, if there is more than one; returns it and the others, which are for the programs.
pub(super) fn processors(device: &str) -> Result<(String, Option<String>)> {
    Ok(match split(&allowed()?) {
        Some((last, others)) => (format!("{device},pin={last}"), Some(others)),
        None => (device.to_owned(), None),
    })
}

/// Returns a configuration with all tenants, and these lines before them.
pub(super) fn config(lines: &str) -> String {
    use std::os::unix::fs::MetadataExt as _;
    // Whose this process is, and the programs with it.
    let uid = std::fs::metadata("/proc/self").map_or(0, |data| data.uid());
    let tenant = |(name, weight): &(&str, u32)| {
        format!(
            "\n[[tenant]]\nname = \"{name}\"\nmatch = [{{ uid = {uid} }}]\nweight = {weight}\nvram = \"256MiB\"\nhost_memory = \"512MiB\"\nsessions = 4\nqueues = 16\n"
        )
    };
    format!("unknown = \"deny\"\n{lines}\n") + &TENANTS.iter().map(tenant).collect::<String>()
}

/// Returns the processors that this process may use, by number.
fn allowed() -> Result<Vec<u32>> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
    Ok(numbers(list.trim()))
}

/// Reads `0-2,5`.
fn numbers(list: &str) -> Vec<u32> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.split(',').filter_map(part).flatten().collect()
}

/// Divides processors: one for the device, the others for the programs.
fn split(processors: &[u32]) -> Option<(u32, String)> {
    let (last, others) = processors.split_last().filter(|(_, others)| !others.is_empty())?;
    Some((*last, others.iter().map(u32::to_string).collect::<Vec<_>>().join(",")))
}

/// What a program told: until when, how many kernels were right, whether some were still in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Report {
    at_ns: u64,
    done: u64,
    busy: bool,
}

fn reports(text: &str) -> Vec<Report> {
    let report = |line: &str| {
        let mut words = line.strip_prefix("at ")?.split(' ');
        let at_ns = words.next()?.parse().ok()?;
        let done = words.nth(1)?.parse().ok()?;
        Some(Report { at_ns, done, busy: words.next()? == "busy" })
    };
    text.lines().filter_map(report).collect()
}

/// Returns how many kernels were right at a time, by the line through the reports around it.
fn done_at(reports: &[Report], at_ns: u64) -> f64 {
    let after = reports.partition_point(|r| r.at_ns < at_ns);
    let around = after.checked_sub(1).and_then(|before| Some((reports.get(before)?, reports.get(after)?)));
    let Some((a, b)) = around else {
        return reports.get(after.min(reports.len().saturating_sub(1))).map_or(0.0, |r| r.done as f64);
    };
    let part = (at_ns - a.at_ns) as f64 / (b.at_ns - a.at_ns).max(1) as f64;
    a.done as f64 + part * (b.done - a.done) as f64
}

/// Returns everybody's part of the kernels, in percent, over the time in which all had some in flight, and how long that was.
fn parts(programs: &[Vec<Report>]) -> Option<(Vec<f64>, u64)> {
    let from = programs.iter().map(|p| p.first().map(|r| r.at_ns)).collect::<Option<Vec<_>>>()?.into_iter().max()?;
    let to = programs.iter().map(|p| p.last().map(|r| r.at_ns)).collect::<Option<Vec<_>>>()?.into_iter().min()?;
    let from = from + SETTLE_NS;
    let mut cuts: Vec<u64> = programs.iter().flatten().map(|r| r.at_ns).filter(|at| (from..=to).contains(at)).collect();
    cuts.sort_unstable();
    // What a report says holds for the time since the one before.
    let all = |at| programs.iter().all(|p| p.get(p.partition_point(|r| r.at_ns < at)).is_some_and(|r| r.busy));
    let common: Vec<(u64, u64)> =
        cuts.windows(2).map(|pair| (pair[0], pair[1])).filter(|(a, b)| all(a.midpoint(*b))).collect();
    let ns = common.iter().map(|(a, b)| b - a).sum();
    let done = |p: &Vec<Report>| common.iter().map(|(a, b)| done_at(p, *b) - done_at(p, *a)).sum::<f64>();
    let done: Vec<f64> = programs.iter().map(done).collect();
    let total: f64 = done.iter().sum();
    (ns >= COMMON_NS_MIN && total > 0.0).then(|| (done.iter().map(|d| 100.0 * d / total).collect(), ns))
}

/// Judges what programs of these weights told.
fn judge(weights: &[u32], outcomes: &[Outcome], off_max: f64) -> Result<String> {
    for outcome in outcomes {
        Expected::Right.judge("share", outcome).with_context(|| outcome.tail())?;
    }
    let told: Vec<_> = outcomes.iter().map(|outcome| reports(&outcome.text)).collect();
    let (got, ns) = parts(&told).context("the programs hardly ever had work at the same time")?;
    let all: u32 = weights.iter().sum();
    let wanted = weights.iter().map(|w| 100.0 * f64::from(*w) / f64::from(all));
    let worst = wanted.zip(&got).map(|(wanted, got)| (wanted - got).abs()).fold(0.0, f64::max);
    let list = got.iter().map(|part| format!("{part:.2}")).collect::<Vec<_>>().join(" ");
    let kernels: u64 = told.iter().filter_map(|p| p.last()).map(|r| r.done).sum();
    let said = format!("{list} % of verified work in {:.1} s, off by {worst:.2}; {kernels} kernels", ns as f64 / 1e9);
    ensure!(worst <= off_max, "{said}: more than {off_max} points");
    Ok(said)
}

fn share(broker: &Broker<'_>, tenant: &str, seconds: u32) -> Command {
    let mut command = broker.tenant("share");
    command.arg(seconds.to_string()).env("WAVEGATE_TENANT", tenant);
    command
}

/// Programs of some tenants at once.
pub(super) fn shares(broker: &Broker<'_>, tenants: &[usize], seconds: u32, off_max: f64) -> Row {
    let begun = Instant::now();
    let weights: Vec<u32> = tenants.iter().map(|&t| TENANTS[t].1).collect();
    let seen = || judge(&weights, &at_once(broker, tenants, seconds, || Ok(()))?, off_max);
    let seen = seen();
    let names = weights.iter().map(u32::to_string).collect::<Vec<_>>().join(":");
    Row { what: format!("{} HIP programs, {names}", tenants.len()), ms: begun.elapsed().as_millis(), seen }
}

/// Runs the programs of some tenants for some seconds, and something else meanwhile.
fn at_once(
    broker: &Broker<'_>,
    tenants: &[usize],
    seconds: u32,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Vec<Outcome>> {
    std::thread::scope(|scope| {
        let patience = PATIENCE + Duration::from_secs(u64::from(seconds));
        let begin = |&tenant: &usize| scope.spawn(move || run(share(broker, TENANTS[tenant].0, seconds), patience));
        let all: Vec<_> = tenants.iter().map(begin).collect();
        let done = meanwhile();
        let outcomes: Result<Vec<Outcome>> =
            all.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread was lost"))?).collect();
        done.and(outcomes)
    })
}

/// A third tenant's programs are killed, one after the other, each a little later in its life; the other two get what they would have got, and
/// everything of theirs is right.
fn killed(broker: &Broker<'_>) -> Row {
    let begun = Instant::now();
    let seen = || {
        let victim = |k: u32| {
            let (name, arguments) = VICTIMS[k as usize % VICTIMS.len()].split_first().context("it has a name")?;
            let mut command = broker.tenant(name);
            command.args(arguments).env("WAVEGATE_TENANT", TENANTS[4].0);
            Ok::<_, anyhow::Error>(command)
        };
        let mut lives = Vec::new();
        for k in 0..VICTIMS.len() as u32 {
            lives.push(run(victim(k)?, PATIENCE)?.took);
        }
        let seconds = 8;
        let tenants = [0, 2];
        let outcomes = at_once(broker, &tenants, seconds, || {
            ensure!(broker.wait_for_sessions(2) == 2, "the programs do not begin");
            for k in 0..KILLS {
                let mut child = victim(k)?.spawn().context("cannot run what is to be killed")?;
                std::thread::sleep(lives[k as usize % VICTIMS.len()] * k / KILLS);
                child.kill().context("cannot kill it")?;
                child.wait().context("cannot wait for it")?;
            }
            Ok(())
        })?;
        let weights: Vec<u32> = tenants.iter().map(|&t| TENANTS[t].1).collect();
        let said = judge(&weights, &outcomes, OFF_MAX)?;
        ensure!(broker.wait_for_sessions(0) == 0, "something is left of those that were killed");
        Ok(said)
    };
    let seen = seen();
    Row { what: format!("2 of them while {KILLS} others are killed"), ms: begun.elapsed().as_millis(), seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rate: u64, from_ms: u64, to_ms: u64) -> Vec<Report> {
        let report = |ms| Report { at_ns: ms * 1_000_000, done: (ms - from_ms) * rate, busy: true };
        (from_ms..=to_ms).step_by(20).map(report).collect()
    }

    #[test]
    fn parts_are_of_the_time_in_which_all_had_work() {
        let (got, ns) = parts(&[told(3, 0, 4000), told(1, 1000, 3000)]).unwrap();
        assert!((got[0] - 75.0).abs() < 1e-6 && (got[1] - 25.0).abs() < 1e-6, "{got:?}");
        assert_eq!(ns, 1_800_000_000);
        assert!(parts(&[told(1, 0, 1000), told(1, 2000, 3000)]).is_none(), "they never met");
        let mut dry = told(3, 0, 4000);
        for report in dry.iter_mut().filter(|r| r.at_ns > 2_000_000_000) {
            (report.done, report.busy) = (6000, false);
        }
        let (got, _) = parts(&[dry, told(1, 0, 4000)]).unwrap();
        assert!((got[0] - 75.0).abs() < 1e-6, "what it did not ask for does not count: {got:?}");
    }

    #[test]
    fn an_unfair_share_is_none() {
        let outcome = |reports: Vec<Report>| {
            let lines = reports.iter().map(|r| format!("at {} done {} busy\n", r.at_ns, r.done)).collect::<String>();
            Outcome { code: Some(0), signal: None, text: lines + "ok: share\n", took: Duration::ZERO }
        };
        let both = [outcome(told(3, 0, 4000)), outcome(told(1, 0, 4000))];
        assert!(judge(&[3, 1], &both, OFF_MAX).is_ok());
        assert!(judge(&[1, 1], &both, OFF_MAX).unwrap_err().to_string().contains("off by 25.00"));
    }

    #[test]
    fn processors_are_divided() {
        assert_eq!(numbers("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(split(&[0, 1, 3]), Some((3, "0,1".to_owned())));
        assert_eq!(split(&[4]), None);
    }
}
