//! What switching costs on a device: the parts of a switch that are the device's own, measured one by one.
//!
//! No verdict: the numbers are for a report, beside the machine they were seen on. The broker's part of a switch is `wavegate bench switch`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use gcn::aql::Packet;
use serde::Serialize;

use super::rig::Rig;
use crate::device::{Device, Preemption, RunEnd};

/// How long each of them is measured.
const SPAN: Duration = Duration::from_millis(500);
/// Most samples of each.
const SAMPLES_MAX: usize = 2_000;
/// Questions of a turn, see `running`.
const TURN: u64 = 204;
/// Bytes of a copy.
const COPY_BYTES: usize = 16 << 20;

/// A distribution, in microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// What was measured.
    pub what: &'static str,
    /// How often.
    pub samples: usize,
    /// Half were faster.
    pub p50_us: f64,
    /// One of a hundred was slower.
    pub p99_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl Measured {
    /// Returns the distribution of these times; `None` without any.
    fn of(what: &'static str, mut times: Vec<Duration>) -> Option<Measured> {
        times.sort_unstable();
        let us = |at: usize| times.get(at.min(times.len().saturating_sub(1))).map(|time| time.as_secs_f64() * 1e6);
        Some(Measured {
            what,
            samples: times.len(),
            p50_us: us(times.len() / 2)?,
            p99_us: us(times.len() * 99 / 100)?,
            max_us: us(times.len())?,
        })
    }
}

/// Measures a device that nothing else runs on; nothing for one without embedded programs.
pub fn measure(device: Box<dyn Device>) -> Result<Vec<Measured>> {
    let Ok(target) = device.facts().target.parse() else { return Ok(Vec::new()) };
    let rig = &mut Rig::new(device, target)?;
    let mut all = vec![dispatch(rig)?];
    if rig.device.can_scrub().is_ok() {
        all.push(Measured::of("scrub of registers and LDS, clean", sampled(|| Ok(rig.device.scrub()?))?));
    }
    if rig.device.facts().preemption == Preemption::Suspend {
        all.extend(suspend(rig)?);
    }
    all.extend(copies(rig)?);
    Ok(all.into_iter().flatten().collect())
}

/// Times something until there are enough samples or it took long enough.
fn sampled(mut once: impl FnMut() -> Result<()>) -> Result<Vec<Duration>> {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < SAMPLES_MAX && begun.elapsed() < SPAN {
        let start = Instant::now();
        once()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn dispatch(rig: &mut Rig) -> Result<Option<Measured>> {
    let case = kernels::find("empty").context("an embedded kernel")?.small_case(1);
    let addresses = rig.place(&case)?;
    let dispatch = rig.dispatch(&case, &addresses)?;
    let mut queue = rig.queue(64)?;
    let done = rig.signal(i64::MAX)?;
    let packet = Packet::kernel(&dispatch, false, done.address());
    let times = sampled(|| {
        rig.put(&mut queue, &packet)?;
        rig.run().map(drop)
    })?;
    ensure!(rig.device.destroy_queue(queue.handle), "the queue was gone by itself");
    Ok(Measured::of("empty kernel, submitted to seen", times))
}

fn suspend(rig: &mut Rig) -> Result<[Option<Measured>; 2]> {
    let case = kernels::find("nbody").context("an embedded kernel")?.default_case(1);
    let (mut suspends, mut resumes) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < SPAN && suspends.len() < SAMPLES_MAX {
        let mut queue = rig.queue(64)?;
        let addresses = rig.submit(&mut queue, &case, 0)?;
        while rig.run_until(TURN)?.end == RunEnd::Stopped {
            let start = Instant::now();
            rig.device.suspend();
            let suspended = Instant::now();
            rig.device.resume();
            suspends.push(suspended - start);
            resumes.push(suspended.elapsed());
        }
        rig.check(&case, &addresses)?;
        addresses.iter().try_for_each(|&at| rig.memory.free(at))?;
        ensure!(rig.device.destroy_queue(queue.handle), "the queue was gone by itself");
    }
    Ok([Measured::of("suspend of running waves", suspends), Measured::of("resume of suspended waves", resumes)])
}

fn copies(rig: &mut Rig) -> Result<[Option<Measured>; 2]> {
    let mut bytes = vec![7; COPY_BYTES];
    let at = rig.upload(&bytes)?;
    let to = sampled(|| Ok(rig.memory.write(at, &bytes)?))?;
    let from = sampled(|| Ok(rig.memory.read(at, &mut bytes)?))?;
    rig.memory.free(at)?;
    Ok([Measured::of("16 MiB to device memory", to), Measured::of("16 MiB from device memory", from)])
}
