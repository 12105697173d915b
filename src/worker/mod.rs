//! The worker: one process for one session. It owns the session's view of the device, reads everything the tenant wrote, and
//! is trusted with nothing but that session.
//!
//! Its parent passes it one descriptor, the worker socket. The first orders on it are `Start` and `Partition`; everything else a worker has, it
//! is sent or asks for.
//!
//! | thread | waits for | does |
//! |---|---|---|
//! | main (`tenant`) | the tenant's socket | requests, faults told, the last word |
//! | listener (`link`) | the broker's socket | orders, answers; never waits for the others |
//! | runner (`run`) | work, the gate | everything with the device |
//!
//! Promises:
//! - nothing a tenant writes, into its socket or its memory, makes the worker panic, wait without end or touch anything that is not
//!   this session's;
//! - it ends at once when the broker's end of its socket closes, and says so to the tenant; when the tenant's closes, it says so to the broker;
//! - before it reads a byte from anybody it can no longer be traced or dumped, gain privileges, or open more than a few descriptors.
//!
//! Left to others: to kill a worker that does not end (the broker), to reap it, to bound its memory (what it maps is charged).

mod aliases;
mod facts;
mod gate;
mod lease;
mod link;
mod objects;
mod pace;
mod recorder;
mod run;
mod shared;
mod tenant;

use crate::device::rocr::RocrDevice;
use crate::device::soft::{ComputeUnits, SoftDevice};
use crate::device::spec::{DeviceSpec, DeviceSpecError};
use crate::device::{Device, DeviceError};
use gate::Gate;
use link::{Deaf, Heard, Link};
use objects::Objects;
use proto::message::tenant::{Ending, Welcome};
use proto::message::worker::{Partition, Ready, SessionLimits, Start};
use proto::message::{EndReason, WorkerOrder};
use proto::text::Text;
use proto::{Bytes, Nanos};
use run::Runner;
use shared::{Command, Shared};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use sys::CallFailed;
use sys::event::EventFd;
use sys::fence::{self, Bound};
use sys::hardware::{Exclusive, HardwareMemory};
use sys::mapping::{Access, Mapping};
use sys::memfd::{MemFd, MemoryError};
use sys::process::{TakeError, take_passed_fds};
use sys::processor::Processors;
use sys::socket::Channel;
use tenant::Tenant;

/// Descriptors a worker may have besides those of memory that it keeps. It has about ten, and a few more while it answers a request.
const DESCRIPTORS_MAX: u64 = 64;
/// Of how many buffers it keeps the descriptor, so that the tenant can offer them to its other sessions.
const KEPT_MAX: u64 = 1024;
/// How long the device may take to stop when the session ends. The broker's patience is longer.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// Why the compute units' memory is ours while we hold the lease.
const LEASE: Exclusive = Exclusive::because(
    "only workers of one broker have the partition's object, and each touches it only between a grant and giving the lease back",
);

/// Why a worker could not begin its session.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Passed(#[from] TakeError),
    #[error(transparent)]
    Fence(#[from] CallFailed),
    #[error("the broker did not begin the session: {0}")]
    Deaf(#[from] Deaf),
    #[error("the broker began with {got} where {wanted} was due")]
    Order { got: &'static str, wanted: &'static str },
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Config(#[from] DeviceSpecError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("cannot start a thread: {0}; raise the process limit (TasksMax=, `ulimit -u`)")]
    Thread(std::io::Error),
    #[error("the tenant was gone before it could be welcomed")]
    TenantGone,
}

/// Runs a worker: the body of the hidden command `wavegate worker`. Only the daemon starts one.
pub fn main() -> ExitCode {
    match begin().and_then(Worker::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wavegate worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A worker that has heard what it is for.
struct Worker {
    link: Link,
    start: Start,
    tenant: Channel,
    gate: OwnedFd,
    page: MemFd,
    bell: EventFd,
}

fn begin() -> Result<Worker, StartError> {
    fence::become_undumpable()?;
    fence::give_up_new_privileges()?;
    for bound in [Bound::CoreBytes(0), Bound::Descriptors(fence::descriptors(DESCRIPTORS_MAX + KEPT_MAX))] {
        bound.apply()?;
    }
    let nothing_yet = SessionLimits { vram: Bytes(0), host_memory: Bytes(0), queues: 0, max_dispatch: Nanos(0) };
    let socket = take_passed_fds(1)?.into_iter().next().ok_or(TakeError::NotGiven { expected: 1 })?;
    let link = Link::new(Channel::from_fd(socket), nothing_yet);
    let (start, mut fds) = match link.receive()? {
        (_, WorkerOrder::Start(start), fds) => (start, fds.into_iter()),
        (_, other, _) => return Err(StartError::unexpected(&other, "Start")),
    };
    // PANIC free: decoding has checked that there are four.
    let (Some(tenant), Some(gate), Some(page), Some(bell)) = (fds.next(), fds.next(), fds.next(), fds.next()) else {
        return Err(StartError::Order { got: "too few descriptors", wanted: "four" });
    };
    link.set_limits(start.limits);
    let tenant = Channel::from_fd(tenant);
    // The broker has a descriptor of this end too, for one last word; it must not be made to wait either.
    tenant.set_nonblocking(true)?;
    let page = MemFd::adopt(page, proto::session::BYTES.0 as usize)?;
    Ok(Worker { link, start, tenant, gate, page, bell: EventFd::from_fd(bell) })
}

impl StartError {
    fn unexpected(order: &WorkerOrder, wanted: &'static str) -> StartError {
        use proto::wire::Message;
        StartError::Order { got: order.facts().name, wanted }
    }
}

impl Worker {
    /// Opens the device and serves the session to its end.
    fn run(self) -> Result<(), StartError> {
        let opened = self.open_device().and_then(|opened| {
            if self.start.scrub != 0 {
                opened.device.can_scrub()?;
            }
            Ok(opened)
        });
        let Opened { device, units, processors } = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let text = error.to_string();
                let ending = Ending { reason: EndReason::StartFailed, signal: 0, text: Text::truncated(&text) };
                tenant::tell(&self.tenant, &ending.into(), None);
                self.link.leave(EndReason::StartFailed, &text);
                return Err(error);
            }
        };
        let Worker { link, start, tenant: channel, gate, page, bell } = self;
        let facts = facts::of(device.facts(), start.uuid, &start.limits);
        let objects_memory = device.memory();
        let device_facts = device.facts().clone();
        let session_page = Mapping::new(&page, Access::ReadWrite)?;
        let shared = Arc::new(Shared::new(Gate::new(gate)?, link, session_page, EventFd::new()?));

        let listener = Arc::clone(&shared);
        spawn("broker", move || listen(&listener))?;
        let (done, stopped) = channel_of_the_end();
        let runner = Runner::new(device, units, Arc::clone(&shared), bell, start.generation, start.scrub != 0);
        spawn("device", move || {
            if let Some(Err(error)) = processors.map(Processors::stay) {
                // It was possible a moment ago. Elsewhere it is as right, at another speed.
                eprintln!("wavegate worker: {error}");
            }
            runner.run();
            drop(done);
        })?;

        let welcome = Welcome {
            session: start.session,
            tenant: start.tenant,
            generation: start.generation,
            device: facts.clone(),
        };
        if !tenant::tell(&channel, &welcome.into(), Some(page.as_fd())) {
            shared.link.leave(EndReason::Goodbye, &StartError::TenantGone.to_string());
            return Err(StartError::TenantGone);
        }
        drop(page);
        shared.link.say(Ready { device: facts });
        let objects = Objects::new(Arc::clone(&shared), objects_memory, device_facts);
        let mut tenant = Tenant::new(channel, Arc::clone(&shared), objects)?;
        let (reason, text) = tenant.serve();

        // First the device, so that others can have it; then the tenant, then the broker.
        let in_time = !matches!(stopped.recv_timeout(STOP_PATIENCE), Err(RecvTimeoutError::Timeout));
        shared.publish_end(reason);
        tenant.hang_up(reason, &text);
        let late = if in_time { "" } else { " (the device did not stop in time)" };
        shared.link.leave(reason, &format!("{text}{late}"));
        Ok(())
    }

    fn open_device(&self) -> Result<Opened, StartError> {
        let spec: DeviceSpec = self.start.device.as_str().parse()?;
        let (Partition { bytes, .. }, fd) = match self.link.receive()? {
            (_, WorkerOrder::Partition(partition), fds) => (partition, fds.into_iter().next()),
            (_, other, _) => return Err(StartError::unexpected(&other, "Partition")),
        };
        let fd = fd.ok_or(StartError::Order { got: "no descriptor", wanted: "one with Partition" })?;
        let config = match spec {
            DeviceSpec::Soft(config) => config,
            // The compute units are the card's own; the object that stands for them is not needed.
            DeviceSpec::Rocr(config) => {
                return Ok(Opened { device: Box::new(RocrDevice::open(&config)?), units: None, processors: None });
            }
            DeviceSpec::Auto => return Err(StartError::Order { got: "the device auto", wanted: "one device" }),
        };
        let memory = MemFd::adopt(fd, usize::try_from(bytes.0).unwrap_or(0))?;
        let units = ComputeUnits::new(HardwareMemory::shared(&memory, LEASE)?);
        // The device's own threads, if it has several, are started here and stay where they were started.
        let ours = Processors::ours()?;
        if let Some(processors) = config.processors() {
            processors.stay()?;
        }
        let device = SoftDevice::new(&config, units.clone())?;
        ours.stay()?;
        Ok(Opened { device: Box::new(device), units: Some(units), processors: config.processors() })
    }
}

/// The device as it was opened.
struct Opened {
    device: Box<dyn Device>,
    /// The compute units of its partition, where they are ours to change.
    units: Option<ComputeUnits>,
    /// The host processors it runs on, if not all.
    processors: Option<Processors>,
}

/// Hears the broker until it is gone or orders the end.
fn listen(shared: &Shared) {
    loop {
        match shared.link.hear() {
            Heard::Nothing => {}
            Heard::Move(partition, memory) => {
                // A run thread that takes no more has its last lease behind it.
                shared.command(Command::MoveTo { partition, memory });
            }
            Heard::End(reason, text) => {
                shared.end(reason, text);
                if reason == EndReason::BrokerDied {
                    return;
                }
            }
        }
    }
}

/// Nothing is ever sent: that the sender is gone is the message.
fn channel_of_the_end() -> (std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>) {
    channel()
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop).map_err(StartError::Thread)
}
