//! `cargo xtask cost`: what a launch, a copy and a start cost an unmodified program, and whose part is how large.
//!
//! Promise: every number is measured here and now, beside what it is compared with: copies in turns with memcpy, parts of a launch by a meter between HIP
//! and the library. The device has a host processor of its own and the programs have the others. A number that misses its promise is an error.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::broker::{Broker, Setup, run};
use super::place::Place;
use super::programs::Expected;
use super::sharing::processors;
use super::{CONFIG, PATIENCE, ROCMINFO_MS};

/// What is measured.
pub(super) const PROGRAM: &str = "cost";
/// Most that the library may take of a launch that is waited for.
const OWN_NS_MAX: f64 = 1000.0;
/// Least speed of a copy of 64 MiB, in percent of a memcpy's.
const COPY_PERCENT_MIN: f64 = 60.0;
/// How often rocminfo is started.
const STARTS: usize = 15;

/// Measures, prints and judges.
pub(crate) fn measure() -> Result<()> {
    let root = crate::root();
    let place = Place::prepare(&root, None)?;
    place.compile()?;
    let meter = place.folder.join("libmeter.so");
    let source = root.join("tests/hip/tools/meter.c");
    let built = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&meter).arg(source).arg("-ldl").status();
    ensure!(built.context("cannot run cc")?.success(), "the meter does not compile; the messages are above");
    let (device, processors) = processors("soft:cus=4,vram=4GiB")?;
    let broker = Broker::start(
        &place,
        &Setup { name: "cost", config: CONFIG.to_owned(), devices: vec![device], processors, fixture: None },
    )?;

    // Without `wavegate run`, whose library would come first.
    let preload = [meter.as_os_str(), place.library().as_os_str()].join(" ".as_ref());
    let outcome = run(broker.beside(place.program(PROGRAM)).env("LD_PRELOAD", preload), PATIENCE)?;
    Expected::Right.judge(PROGRAM, &outcome).with_context(|| outcome.tail())?;
    let mut starts: Vec<Duration> = Vec::new();
    for _ in 0..STARTS {
        starts.push(run(broker.command("rocminfo", false), PATIENCE)?.took);
    }
    broker.end()?;
    starts.sort();
    let start_ms = starts[STARTS / 2].as_secs_f64() * 1e3;

    let launch = Launch::read(&outcome.text).context("the meter told nothing")?;
    let (into, out) = copies(&outcome.text).context("the copies told nothing")?;
    println!(
        "launch and synchronize of an empty kernel: {:.2} us, and by parts, which the meter makes longer:",
        launch.plain / 1e3
    );
    for (what, ns) in [
        ("HIP itself", launch.hip),
        ("the library, calls that do not wait", launch.library),
        ("waiting for the device, until its signal's stamp", launch.device),
        ("the library, from there until the wait returns", launch.notice),
        ("the meter's own looks at the clock", launch.meter),
    ] {
        println!("  {:>6.2} us  {what}", ns / 1e3);
    }
    let own = launch.library + launch.notice;
    println!("the library's share of a launch: {:.2} us, at most {:.2} wanted", own / 1e3, OWN_NS_MAX / 1e3);
    println!(
        "copies of 64 MiB: {into:.0} % of memcpy to the device, {out:.0} % from it, at least {COPY_PERCENT_MIN} wanted"
    );
    println!("rocminfo under `wavegate run`: {start_ms:.0} ms, median of {STARTS}, at most {ROCMINFO_MS} wanted");
    ensure!(own <= OWN_NS_MAX, "the library takes {own:.0} ns of a launch");
    ensure!(into.min(out) >= COPY_PERCENT_MIN, "copies are too slow");
    ensure!(start_ms <= ROCMINFO_MS as f64, "rocminfo takes {start_ms:.0} ms");
    Ok(())
}

/// Parts of a launch that is waited for, in nanoseconds: medians over rounds.
#[derive(Debug, PartialEq)]
struct Launch {
    /// All of it, unmetered.
    plain: f64,
    hip: f64,
    library: f64,
    device: f64,
    notice: f64,
    meter: f64,
}

impl Launch {
    fn read(text: &str) -> Option<Launch> {
        let plain =
            text.lines().find_map(|line| line.strip_prefix("launch+synchronize ")?.split(' ').next()?.parse().ok())?;
        let part = |name: &str| {
            let rounds = text.lines().filter_map(|line| line.strip_prefix("meter launch+synchronize:"));
            let value = |line: &str| line.split(' ').skip_while(|word| *word != name).nth(1)?.parse::<f64>().ok();
            let mut all: Vec<f64> = rounds.filter_map(value).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied()
        };
        Some(Launch {
            plain,
            hip: part("hip")?,
            library: part("library")?,
            // What the meter could not tell apart, for want of a stamp, is the device's.
            device: part("device")? + part("blind")?,
            notice: part("notice")?,
            meter: part("meter")?,
        })
    }
}

/// Returns the speed of copies to and from the device, in percent of a memcpy's.
fn copies(text: &str) -> Option<(f64, f64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("copy 64 MiB: to the device "))?;
    let (into, rest) = line.split_once(", from the device ")?;
    Some((into.parse().ok()?, rest.split(' ').next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_medians_over_rounds() {
        let round = |hip, library| {
            format!(
                "meter launch+synchronize: total 9 hip {hip} library {library} device 3 notice 2 blind 1 meter 4 calls 9 waits 1 ns\n"
            )
        };
        let text = round(900, 300)
            + &round(5000, 310)
            + &round(910, 2300)
            + "launch+synchronize 4050 ns\ncopy 64 MiB: to the device 87.8, from the device 92.4 percent of memcpy at 19 GB/s\n";
        let launch = Launch { plain: 4050.0, hip: 910.0, library: 310.0, device: 4.0, notice: 2.0, meter: 4.0 };
        assert_eq!(Launch::read(&text), Some(launch));
        assert_eq!(copies(&text), Some((87.8, 92.4)));
        assert_eq!(Launch::read("launch+synchronize 4050 ns\n"), None);
    }
}
