//! What it costs to hand the device over while something is resident, and by other means than asking.
//!
//! Two tenants fill the device with kernels longer than a slice, so every switch suspends one and resumes the other; contexts grow by the number of waves, by the vector
//! registers of each, by LDS, and beside that by memory, which stays where it is. The broker's clock tells the parts. On the software GPU saving a context is a copy in host memory; hardware saves
//! by a microprogram of its own, so only the shape carries over.
//!
//! Killing is the last resort: the holder's worker is killed while another tenant waits, timed to that one's completion.

use super::figures::{histogram, latency, time};
use super::switch::TENANTS;
use crate::clock::now_ns;
use crate::device::soft::SoftConfig;
use crate::stage::config::Scene;
use crate::stage::wire::{Latency, Part};
use crate::stage::work::{Work, spin};
use crate::stage::{Actor, Host as _, PrivateBroker};
use anyhow::{Context as _, Result, bail};
use client::Client;
use hdrhistogram::Histogram;
use std::time::Duration;
use sys::clock::Deadline;

/// Longest time for what takes none.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is resident when a slice ends.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Context {
    /// Waves of each of the two.
    waves: u32,
    /// What each wave has.
    #[serde(flatten)]
    each: Wave,
    /// Device memory of each.
    vram_mib: u64,
    /// Both are sessions of one tenant: nothing is erased between them.
    same_tenant: bool,
}

/// What one wave has to be saved.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Wave {
    /// Vector registers of a lane, as allocated: in granules of eight.
    vgprs: u32,
    /// LDS of its work-group, which is one wave, in bytes.
    lds_bytes: u32,
}

/// A wave of `spin`, which uses four registers.
const SMALL: Wave = Wave { vgprs: 8, lds_bytes: 0 };

/// A wave of `hold`.
const fn held(lds_bytes: u32) -> Wave {
    Wave { vgprs: (kernels::hold::VGPR_BYTES_PER_WAVE / 256) as u32, lds_bytes }
}

const fn context(waves: u32, each: Wave, vram_mib: u64) -> Context {
    Context { waves, each, vram_mib, same_tenant: false }
}

/// Waves with little in each; registers; LDS; memory at the same context; and once between sessions of one tenant.
const CONTEXTS: [Context; 11] = [
    context(4, SMALL, 1),
    context(16, SMALL, 1),
    context(64, SMALL, 1),
    context(160, SMALL, 1),
    context(4, held(512), 1),
    context(16, held(512), 1),
    context(4, held(16 << 10), 1),
    context(4, held(64 << 10), 1),
    Context { same_tenant: true, ..context(64, SMALL, 1) },
    context(64, SMALL, 64),
    context(64, SMALL, 400),
];

/// What a switch with a context cost.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct ContextCost {
    #[serde(flatten)]
    context: Context,
    /// Context saved by a switch, in bytes, mean.
    saved_bytes: u64,
    stop: Latency,
    start: Latency,
    pub(super) total: Latency,
}

impl ContextCost {
    /// Measures at every context, a second and a half each.
    pub(super) fn measure_all(device: &SoftConfig) -> Result<Vec<ContextCost>> {
        CONTEXTS.iter().map(|context| context.measure(device)).collect()
    }
}

impl Context {
    fn measure(&self, device: &SoftConfig) -> Result<ContextCost> {
        const SPAN: Duration = Duration::from_millis(1_500);
        let names = if self.same_tenant { [TENANTS[0]; 2] } else { TENANTS };
        let scene = TENANTS.iter().fold(Scene::new(device, "2ms"), |scene, name| {
            scene.tenant(name, 100, &format!("{}MiB", 64 + 2 * self.vram_mib), "sessions = 2")
        });
        let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
        // Some 20 ms on one host thread: every slice ends in the middle of one.
        const WORK: u64 = 2_000_000;
        let part = match self.each {
            Wave { lds_bytes: 0, .. } => {
                Part::Resident { waves: self.waves, wave_instructions: WORK, vram_mib: self.vram_mib }
            }
            Wave { lds_bytes, .. } => Part::Held { waves: self.waves, wave_instructions: WORK, lds_bytes },
        };
        let mut actors = names.iter().map(|name| Actor::start(&broker, name, part)).collect::<Result<Vec<_>>>()?;
        for actor in &mut actors {
            actor.wait_ready()?;
        }
        for actor in &mut actors {
            actor.go(SPAN)?;
        }
        for actor in &mut actors {
            super::fairness::verified(actor.summary(SPAN)?)?;
        }
        let status = broker.status()?;
        for actor in actors {
            actor.leave()?;
        }
        let cost = if self.same_tenant { status.switches_within_tenant } else { status.switches_between_tenants };
        Ok(ContextCost {
            context: *self,
            saved_bytes: cost.saved_bytes / cost.total.count.max(1),
            stop: latency(cost.stop),
            start: latency(cost.start),
            total: latency(cost.total),
        })
    }
}

pub(super) fn print(contexts: &[ContextCost]) {
    println!("Switches that suspend one and resume the other (a copy in host memory: the software GPU)");
    println!(
        "{:>6} {:>6} {:>8} {:>10} {:>10} {:>12} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10}",
        "WAVES",
        "VGPRS",
        "LDS KIB",
        "SAVED KIB",
        "VRAM MIB",
        "BETWEEN",
        "SWITCHES",
        "STOP P50",
        "P99",
        "START P50",
        "TOTAL P50",
        "P99"
    );
    for ContextCost { context, saved_bytes, stop, start, total } in contexts {
        let Context { waves, each: Wave { vgprs, lds_bytes }, vram_mib, same_tenant } = context;
        let between = if *same_tenant { "sessions" } else { "tenants" };
        println!(
            "{waves:>6} {vgprs:>6} {:>8.1} {:>10.1} {vram_mib:>10} {between:>12} {:>9} {:>9} {:>9} {:>9} {:>10} {:>10}",
            f64::from(*lds_bytes) / 1024.0,
            *saved_bytes as f64 / 1024.0,
            total.count,
            time(stop.p50),
            time(stop.p99),
            time(start.p50),
            time(total.p50),
            time(total.p99)
        );
    }
}

/// Times from the kill of a worker that has the device to the completion of another tenant's kernel that waits for it.
pub(super) fn killed(device: &SoftConfig) -> Result<Histogram<u64>> {
    const ROUNDS: u32 = 20;
    // The slice is long, so that nobody is suspended before the kill.
    let scene = TENANTS.iter().fold(Scene::new(device, "1s"), |scene, name| scene.tenant(name, 100, "64MiB", ""));
    let broker = PrivateBroker::start(scene.text(), &device.to_string())?;
    let heir = Client::connect(&broker.socket(), Some(TENANTS[1]))?;
    let (work, done) = (Work::new(&heir, super::dispatch::empty()?)?, heir.signal(0)?);
    let mut seen = histogram()?;
    for _ in 0..ROUNDS {
        let victim = Client::connect(&broker.socket(), Some(TENANTS[0]))?;
        let endless = Work::new(&victim, spin(1 << 32, 1))?;
        let never = victim.signal(1)?;
        endless.send(&never)?;
        let worker = holder(&broker, victim.session().0)?;
        done.store(1)?;
        work.send(&done)?;
        let begun = now_ns();
        rustix::process::kill_process(worker, rustix::process::Signal::KILL)?;
        // Whoever inherits the device has it within milliseconds, or never.
        work.queue.wait(&done, Deadline::after(PATIENCE))?;
        seen.saturating_record((now_ns() - begun).max(1));
    }
    Ok(seen)
}

/// Waits until a session has the device; returns its worker.
fn holder(broker: &PrivateBroker, session: u64) -> Result<rustix::process::Pid> {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let status = broker.status()?;
        let it = status.sessions.iter().find(|s| s.session == session).context("the session that is to be killed")?;
        if it.device == "leased" {
            let pid = i32::try_from(it.worker_pid).ok().and_then(rustix::process::Pid::from_raw);
            return pid.context("the worker's process");
        }
        if std::time::Instant::now() > until {
            bail!("a session with work did not get the device");
        }
    }
}
