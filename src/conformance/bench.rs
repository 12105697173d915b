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
/// Work-groups that wait for one another while they are suspended: at most some ten thousand steps of a card, and each is a chance.
const GROUPS: u32 = 1 << 14;
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

/// Suspends waves that are known to run: each time some work-group has got further since they came back. Without that a device which brings
/// them back later than it says would be told to stop what has not begun, which costs nothing.
fn suspend(rig: &mut Rig) -> Result<[Option<Measured>; 2]> {
    let case = kernels::find("flags").context("an embedded kernel")?.case(GROUPS, 1)?;
    let (mut suspends, mut resumes) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < SPAN && suspends.len() < SAMPLES_MAX {
        let mut queue = rig.queue(64)?;
        // In host memory, where it can be seen how far they are.
        let addresses: Vec<u64> =
            case.buffers.iter().map(|buffer| rig.host(buffer.bytes.len() as u64)).collect::<Result<_>>()?;
        for (buffer, &at) in case.buffers.iter().zip(&addresses) {
            rig.memory.write(at, &buffer.bytes)?;
        }
        rig.put(&mut queue, &Packet::kernel(&rig.dispatch(&case, &addresses)?, false, 0))?;
        let (mut raised, mut resumed) = (0, None::<Instant>);
        while rig.run_until(TURN)?.end == RunEnd::Stopped {
            let before = raised;
            raised = frontier(rig, addresses[0], raised)?;
            if raised == before {
                continue;
            }
            resumes.extend(resumed.map(|at| at.elapsed()));
            let start = Instant::now();
            rig.device.suspend();
            suspends.push(start.elapsed());
            resumed = Some(Instant::now());
            rig.device.resume();
        }
        rig.check(&case, &addresses)?;
        addresses.iter().try_for_each(|&at| rig.memory.free(at))?;
        ensure!(rig.device.destroy_queue(queue.handle), "the queue was gone by itself");
    }
    Ok([
        Measured::of("suspend of waves that got further", suspends),
        Measured::of("resume of waves until they get further", resumes),
    ])
}

/// Returns the first work-group from `from` on that has not raised its flag.
fn frontier(rig: &Rig, flags: u64, from: u32) -> Result<u32> {
    let mut at = from;
    while at < GROUPS {
        let mut words = [0; 4 * 64];
        let some = &mut words[..4 * (GROUPS - at).min(64) as usize];
        rig.memory.read(flags + 4 * u64::from(at), some)?;
        let more = some.chunks_exact(4).take_while(|flag| flag.iter().any(|&byte| byte != 0)).count() as u32;
        at += more;
        if more < 64 {
            break;
        }
    }
    Ok(at)
}

fn copies(rig: &mut Rig) -> Result<[Option<Measured>; 2]> {
    let mut bytes = vec![7; COPY_BYTES];
    let at = rig.upload(&bytes)?;
    let to = sampled(|| Ok(rig.memory.write(at, &bytes)?))?;
    let from = sampled(|| Ok(rig.memory.read(at, &mut bytes)?))?;
    rig.memory.free(at)?;
    Ok([Measured::of("16 MiB to device memory", to), Measured::of("16 MiB from device memory", from)])
}
