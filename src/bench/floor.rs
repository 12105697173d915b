//! What the machine itself costs, and what it is: no bench can tell anything smaller apart.

use super::figures::histogram;
use crate::clock::now_ns;
use crate::device::soft::SoftConfig;
use crate::stage;
use crate::stage::wire::Latency;
use anyhow::Result;
use hdrhistogram::Histogram;
use proto::wake::{RECHECK, SPIN};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use sys::clock::Deadline;
use sys::event::{EventFd, Interest, Poller};
use sys::wake::{self, Looks, Patience};

/// Two wake-ups and nothing else: eventfd into an epoll set, and back by a futex that is spun on first.
pub(super) struct TwoWakes {
    there: Arc<EventFd>,
    back: Arc<Back>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<Result<()>>>,
}

/// What comes back.
#[derive(Default)]
struct Back {
    count: AtomicU32,
    wake: AtomicU32,
}

impl TwoWakes {
    pub(super) fn start() -> Result<TwoWakes> {
        let there = Arc::new(EventFd::new()?);
        let (back, over) = (Arc::new(Back::default()), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (there, back, over) = (Arc::clone(&there), Arc::clone(&back), Arc::clone(&over));
            move || {
                let poller = Poller::new()?;
                poller.add(&*there, 0, Interest::IN)?;
                let mut ready = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    poller.wait(&mut ready, Deadline::NEVER)?;
                    there.drain()?;
                    back.count.fetch_add(1, Ordering::Release);
                    wake::ring(&back.wake)?;
                }
                Ok(())
            }
        });
        Ok(TwoWakes { there, back, over, thread: Some(thread) })
    }

    /// Returns the nanoseconds of one trip there and back.
    pub(super) fn round_trip(&mut self) -> Result<u64> {
        let before = self.back.count.load(Ordering::Acquire);
        let begun = now_ns();
        self.there.signal()?;
        let patience = Patience { spin_ns: SPIN.0, recheck_ns: RECHECK.0, looks: Looks::Even };
        // The other side answers at once, or has ended with an error.
        wake::wait([&self.back.wake], patience, Deadline::after(Duration::from_secs(20)), || {
            (self.back.count.load(Ordering::Acquire) != before).then_some(())
        })?;
        Ok(now_ns() - begun)
    }

    pub(super) fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.there.signal();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for TwoWakes {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How late timers are and how long wake-ups take.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Floor {
    /// From when a timer was due to when its thread ran.
    pub(super) timer: Latency,
    /// Two wake-ups, see [`TwoWakes`].
    pub(super) two_wakes: Latency,
}

impl Floor {
    /// Measures both, for about a second. Where the device has host processors of its own, one side of the wake-ups is played there, as a worker would.
    pub(super) fn measure(device: Option<&SoftConfig>) -> Result<Floor> {
        const TIMERS: u32 = 1_000;
        const WAKES: u32 = 3_000;
        // As the broker and the probe do.
        sys::clock::shorten_timer_slack()?;
        let mut timer: Histogram<u64> = histogram()?;
        for _ in 0..TIMERS {
            let due = now_ns() + 1_000_000;
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
            timer.saturating_record(now_ns().saturating_sub(due).max(1));
        }
        let (mut two_wakes, mut echo) = (histogram()?, TwoWakes::start()?);
        let mut wakes = || {
            for _ in 0..WAKES {
                two_wakes.saturating_record(echo.round_trip()?.max(1));
            }
            Ok(())
        };
        match device {
            Some(device) => stage::on_device(device, wakes)?,
            None => wakes()?,
        }
        echo.stop();
        Ok(Floor { timer: Latency::of(&timer), two_wakes: Latency::of(&two_wakes) })
    }

    /// Returns the shortest slice that is not mostly this noise: ten times what a switch may be late by.
    pub(super) fn shortest_slice_ns(&self) -> u64 {
        10 * self.timer.p99.max(self.two_wakes.p99)
    }
}

/// What a figure depends on besides the program.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Environment {
    /// This program's version.
    pub(super) wavegate: &'static str,
    /// The device of the broker.
    pub(super) device: String,
    /// The host processor's name, as it calls itself.
    pub(super) processor: String,
    /// Host processors this may run on.
    pub(super) processors: usize,
    /// The Linux release.
    pub(super) kernel: String,
}

impl Environment {
    /// Looks around; which device it is about is not known here.
    pub(super) fn here() -> Environment {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let processor = processor.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split(": ").nth(1));
        Environment {
            wavegate: env!("CARGO_PKG_VERSION"),
            device: String::new(),
            processor: processor.unwrap_or("unknown").trim().to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// Processor time of all processors since boot, see proc(5).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HostTime {
    all: u64,
    stolen: u64,
}

impl HostTime {
    /// Reads it; nothing where there is nothing to read.
    pub(super) fn now() -> HostTime {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; what follows is counted in the first two already.
        HostTime { all: ticks.iter().take(8).sum(), stolen: ticks.get(7).copied().unwrap_or_default() }
    }

    /// Returns the part of the time since then that the hypervisor gave to others.
    pub(super) fn stolen_since(self, before: HostTime) -> f64 {
        self.stolen.saturating_sub(before.stolen) as f64 / self.all.saturating_sub(before.all).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_comes_back_every_time_and_ends() {
        let mut echo = TwoWakes::start().unwrap();
        let mut seen = histogram().unwrap();
        for _ in 0..1_000 {
            seen.saturating_record(echo.round_trip().unwrap().max(1));
        }
        assert_eq!(seen.len(), 1_000);
        echo.stop();
    }
}
