//! The whole chain: HIP program, drop-in, broker, worker, AMD's runtime, and what that runs on. With the test fixture that is the software GPU.
//!
//! Promise: unmodified programs compute what they compute elsewhere, two tenants get device time by weight, a fault ends its own program and
//! no other, and afterwards the broker holds no session.

use anyhow::{Result, ensure};

use super::broker::{Broker, Setup, run};
use super::programs::PROGRAMS;
use super::{PACKAGES, PATIENCE, Place, Row, judge, one, reclaimed, report, sharing};

/// What is not run: the device's memory stays in its session and has no addresses of its own; what another tenant may have is asked for by number; and tens of thousands of launches one by one
/// are as many wake-ups of the fixture's threads.
pub(super) const LEFT_OUT: [&str; 5] = ["ipc", "virtual_memory", "props", "launches", "share"];
/// How long the two tenants share, in seconds, and how far from their weights they may be, in points of a hundred: device, worker and programs have
/// the same host processors.
const SECONDS: u32 = 5;
const OFF_MAX: f64 = 5.0;
/// How often that is tried: on a host that others use too, whose turn falls into a busy moment is chance. A weight that does not count is never within reach.
const TRIES: u32 = 3;

/// Runs the chain on a device as `--device` names it.
pub(crate) fn check(device: &str) -> Result<()> {
    let place = Place::as_tested(&crate::root())?;
    place.compile()?;
    let start = |name, lines| {
        let (config, device) = (sharing::config(lines), device.to_owned());
        Broker::start(&place, &Setup { name, config, devices: vec![device], processors: None, fixture: None })
    };
    let broker = start("chain", "")?;
    let mut rows = vec![rocminfo(&broker)];
    for program in PROGRAMS.iter().filter(|program| !LEFT_OUT.contains(&program.name)) {
        let environment = [program.environment, &[("WAVEGATE_TENANT", "one")]].concat();
        rows.push(one(&broker, program.name, &environment, &program.expected));
    }
    rows.push(reclaimed(&broker));
    broker.end()?;
    // A tenant pays for the scrub before its turn. On a card that is microseconds; the software GPU interprets it for milliseconds, which would be most of what is
    // compared here.
    let broker = start("chain-shares", "slice = \"40ms\"\nscrub = false")?;
    let mut shared = sharing::shares(&broker, &[1, 3], SECONDS, OFF_MAX);
    for _ in 1..TRIES {
        if let Err(unfair) = &shared.seen {
            println!("tried again: {unfair:#}");
            shared = sharing::shares(&broker, &[1, 3], SECONDS, OFF_MAX);
        }
    }
    rows.push(shared);
    broker.end()?;
    report(&rows, &place.versions(&[&PACKAGES[..], &["libhsa-runtime64-1"]].concat()))
}

fn rocminfo(broker: &Broker<'_>) -> Row {
    let seen = run(broker.command("rocminfo", false).env("WAVEGATE_TENANT", "one"), PATIENCE);
    judge("rocminfo".to_owned(), seen, |outcome| {
        ensure!(outcome.code == Some(0), "it ended with {}", outcome.end());
        ensure!(outcome.text.contains("gfx90a") && outcome.text.contains("*** Done ***"), "it does not show the card");
        Ok("right".to_owned())
    })
}
