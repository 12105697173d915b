//! Clears registers and LDS of a card with a program of ours: hardware leaves both as the last wave left them.
//!
//! Promise: [`Scrubber::run`] returns without an error only if every pass of [`kernels::scrub`] was complete, that is, if all its waves were on
//! the device at the same moment. A pass that was not is repeated with the next number of work-groups that its processor may have
//! room for; that number is remembered. Needs a device on which nothing else runs: the lease.

use std::time::{Duration, Instant};

use hsa_sys::runtime::{
    Agent, DeviceBuffer, Executable, HostBuffer, KernelSymbol, Pause, PauseError, Queue, Runtime, Signal,
};
use kernels::scrub::{Pass, Scrub};
use zerocopy::IntoBytes;

use super::listing::{self, Listing};
use super::memory::with_symbols;
use crate::device::DeviceError;

/// Looks of a wave at the others before it gives up: each sleeps 64 clocks and waits for memory, a microsecond or so on hardware.
const PATIENCE: u32 = 10_000;
/// How long the host waits for all passes: far more than their waves do.
const LIMIT: Duration = Duration::from_secs(5);
/// How often the driver is asked meanwhile whether the device is still there: well within a broker's patience.
const PING_EVERY: Duration = Duration::from_millis(100);
/// How often a pass is tried with the same number of work-groups: other programs on the card may disturb it.
const TRIES: u32 = 3;
/// Least slots the runtime makes.
const SLOTS: u32 = 64;
/// Bytes of the page that host and device share, and of a pass's part of it: arguments, then the word that the program answers with.
const PAGE_BYTES: usize = 4096;
const PART_BYTES: usize = 64;
const ANSWER: usize = 32;
/// Bytes of the counters. Each pass has its own: what waves that waited in vain have counted must not count for the next pass.
const COUNTER_BYTES: usize = 4096;

/// `HSA_PACKET_TYPE_KERNEL_DISPATCH`, barrier bit, acquire and release at system scope; one dimension.
const HEADER: u32 = 2 | 1 << 8 | 2 << 9 | 2 << 11 | 1 << 16;

/// An AQL kernel dispatch packet.
#[derive(IntoBytes, zerocopy::Immutable)]
#[repr(C)]
struct Dispatch {
    header_and_setup: u32,
    workgroup: [u16; 4],
    grid: [u32; 3],
    private_bytes: u32,
    group_bytes: u32,
    kernel_object: u64,
    kernarg: u64,
    reserved: u64,
    completion: u64,
}

/// The program's arguments.
#[derive(IntoBytes, zerocopy::Immutable)]
#[repr(C)]
struct Arguments {
    counters: u64,
    told: u64,
    waves: u32,
    patience: u32,
}

const _: () = assert!(size_of::<Dispatch>() == 64 && size_of::<Arguments>() <= ANSWER);

/// One pass, with the number of work-groups that is tried next.
struct Step {
    pass: &'static Pass,
    kernel: KernelSymbol,
    choice: usize,
    /// Times that this number was tried in vain.
    vain: u32,
}

/// See the module.
pub(super) struct Scrubber {
    scrub: &'static Scrub,
    runtime: Runtime,
    cus: u32,
    hz: u64,
    steps: Vec<Step>,
    // Freed in this order: nothing runs once the queue is gone.
    queue: Queue,
    listing: Listing,
    done: Signal,
    page: HostBuffer,
    counters: DeviceBuffer,
    _program: Executable,
}

impl Scrubber {
    /// Loads the program for an agent's processor; `None` if there is none for it.
    pub(super) fn new(
        runtime: &Runtime,
        agent: &Agent,
        pause: Option<&Pause>,
        target: &str,
        cus: u32,
    ) -> Result<Option<Scrubber>, DeviceError> {
        let Some(scrub) = kernels::scrub::find(target) else { return Ok(None) };
        let program = Executable::load(agent, &with_symbols(scrub.object))?;
        let step = |pass: &'static Pass| -> Result<Step, DeviceError> {
            Ok(Step { pass, kernel: program.kernel(&format!("{}.kd", pass.kernel))?, choice: 0, vain: 0 })
        };
        let steps = scrub.passes.iter().map(step).collect::<Result<_, _>>()?;
        let counters = DeviceBuffer::new(agent, COUNTER_BYTES)?;
        counters.clear()?;
        let (queue, listing) = listing::queue(agent, SLOTS, pause)?;
        Ok(Some(Scrubber {
            scrub,
            runtime: runtime.clone(),
            cus,
            hz: runtime.timestamp_hz()?,
            steps,
            queue,
            listing,
            done: Signal::new(runtime, 1)?,
            page: HostBuffer::new(agent, PAGE_BYTES)?,
            counters,
            _program: program,
        }))
    }

    /// Clears everything, or says what could not be.
    pub(super) fn run(&mut self, pause: Option<&Pause>) -> Result<(), DeviceError> {
        let failed =
            |error| DeviceError::Runtime(format!("the queue that scrubs did not come onto the device: {error}"));
        self.listing.enter(pause).map_err(failed)?;
        let all: Vec<usize> = (0..self.steps.len()).collect();
        let mut left = self.try_passes(&all, pause)?;
        while !left.is_empty() {
            // Waves that waited in vain have counted themselves.
            self.counters.clear()?;
            for &at in &left {
                let step = &mut self.steps[at];
                step.vain += 1;
                if step.vain == TRIES {
                    step.vain = 0;
                    step.choice += 1;
                }
                if step.choice == step.pass.groups_per_cu.len() {
                    step.choice -= 1;
                    let step = &self.steps[at];
                    return Err(DeviceError::Unscrubbed { pass: step.pass.kernel, waves: self.waves(step) });
                }
            }
            left = self.try_passes(&left, pause)?;
        }
        self.steps.iter_mut().for_each(|step| step.vain = 0);
        Ok(())
    }

    /// Whether the hardware has its queue on its list.
    pub(super) fn is_listed(&self) -> bool {
        self.listing.is_listed()
    }

    /// Takes its queue off the device.
    pub(super) fn leave(&mut self, pause: &Pause) -> Result<(), PauseError> {
        self.listing.leave(Some(pause))
    }

    fn waves(&self, step: &Step) -> u32 {
        step.pass.waves(self.scrub.lanes, self.cus, step.pass.groups_per_cu[step.choice])
    }

    /// Runs passes one after the other; returns those that were not complete.
    fn try_passes(&mut self, which: &[usize], pause: Option<&Pause>) -> Result<Vec<usize>, DeviceError> {
        self.done.store(1);
        for (nth, &at) in which.iter().enumerate() {
            let step = &self.steps[at];
            let part = at * PART_BYTES;
            let page = self.page.address() + part as u64;
            let arguments = Arguments {
                counters: self.counters.address() + part as u64,
                told: page + ANSWER as u64,
                waves: self.waves(step),
                patience: PATIENCE,
            };
            let (pass, kernel) = (step.pass, step.kernel);
            self.page.write_at(part, arguments.as_bytes());
            self.page.write_at(part + ANSWER, &[0; 4]);
            let packet = Dispatch {
                header_and_setup: HEADER,
                workgroup: [pass.items as u16, 1, 1, 0],
                grid: [pass.items * pass.groups_per_cu[step.choice] * self.cus, 1, 1],
                private_bytes: kernel.private_bytes,
                group_bytes: kernel.group_bytes,
                kernel_object: kernel.object,
                kernarg: page,
                reserved: 0,
                completion: if nth + 1 == which.len() { self.done.handle() } else { 0 },
            };
            let mut bytes = [0; 64];
            bytes.copy_from_slice(packet.as_bytes());
            if self.queue.submit(&bytes).is_none() {
                return Err(DeviceError::Runtime("the queue that scrubs is full although it is empty".to_owned()));
            }
        }
        self.finish(pause)?;
        let mut left = Vec::new();
        for &at in which {
            let mut told = [0; 4];
            self.page.read_at(at * PART_BYTES + ANSWER, &mut told);
            if u32::from_le_bytes(told) != self.waves(&self.steps[at]) {
                left.push(at);
            }
        }
        Ok(left)
    }

    fn finish(&self, pause: Option<&Pause>) -> Result<(), DeviceError> {
        let begun = Instant::now();
        let mut asked = begun;
        while self.done.wait_done(Duration::from_millis(1), self.hz) > 0 {
            let fault = self.runtime.memory_fault().map(|fault| format!("a fault at {:#x}", fault.address));
            let fault = fault.or_else(|| self.queue.fault().map(|fault| fault.text));
            let late = || (begun.elapsed() > LIMIT).then(|| format!("it still runs after {LIMIT:?}"));
            let gone = || {
                let pause = pause.filter(|_| asked.elapsed() >= PING_EVERY)?;
                asked = Instant::now();
                self.listing.ping(pause).err().map(|error| error.to_string())
            };
            if let Some(why) = fault.or_else(gone).or_else(late) {
                return Err(DeviceError::Runtime(format!("the program that scrubs registers and LDS failed: {why}")));
            }
        }
        Ok(())
    }
}
