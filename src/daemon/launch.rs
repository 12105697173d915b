//! Starting a worker: everything a session needs, made and handed over in one go.
//!
//! Promises: a worker that was started has its orders in its socket already, so it waits for nothing; a start that fails leaves nothing
//! behind. A worker has the descriptors it was given and no others, cannot gain privileges, leaves no core file, ends when the
//! daemon's thread ends, and is another user than any other worker if the daemon is root.
//!
//! What it is given: descriptor 3 is its channel to the broker, the program's argument is `worker`, its name is `wavegate:TENANT`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;

use proto::limits::DEVICES_MAX;
use proto::message::WorkerOrder;
use proto::message::tenant::{DeviceName, Devices};
use proto::message::worker::{Partition, SessionLimits, Start};
use proto::text::Text;
use proto::wire::Message;
use proto::{Bytes, DeviceGeneration, PartitionId, RequestId, SessionId, TenantName};
use sys::event::EventFd;
use sys::fence::Bound;
use sys::memfd::{MemFd, MemoryError};
use sys::process::{RunAs, Spawn, SpawnError};
use sys::socket::{Channel, SendError};

use super::gate::Gate;
use super::session::{Life, Worker};
use crate::device::spec::DeviceSpec;

/// Most descriptors a worker can have open. It has about ten, some more while it answers, and keeps those of 1024 buffers, so that others can be shown them.
const WORKER_DESCRIPTORS: u64 = 64 + 1024;
/// Most processes and threads a worker's user can have: one per compute unit of the largest device, and some.
const WORKER_THREADS: u64 = 512;
/// Variables a worker inherits, for whoever looks for a bug in one.
const VARIABLES: [&str; 2] = ["WAVEGATE_LOG", "RUST_BACKTRACE"];

/// Why a worker was not started.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaunchError {
    /// Memory to share with it could not be made.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A socket or eventfd could not be made.
    #[error(transparent)]
    Call(#[from] sys::CallFailed),
    /// Its process could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The broker named a partition that is not there: our own bug.
    #[error("there is no {0:?}")]
    NoSuchPlace(Place),
    /// Its orders do not fit its socket.
    #[error("cannot hand a worker its orders: {0}")]
    Orders(#[from] SendError),
}

/// Where a session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The device, in the order of the configuration.
    pub(super) device: u32,
    /// Its partition.
    pub(super) partition: u32,
}

/// What all workers of a daemon have in common.
#[derive(Debug)]
pub(super) struct Launcher {
    devices: Vec<DeviceSpec>,
    /// The partitions of each device: what a worker in one opens, and its register files and LDS.
    partitions: Vec<Vec<(DeviceSpec, MemFd)>>,
    /// The program to run instead of this one; only tests do.
    program: Option<PathBuf>,
    /// First of the workers' users, if they have their own.
    uid_first: Option<u32>,
    slots: BTreeSet<u32>,
    descriptors: u64,
    /// Lives of each device, counted from 1: a session that loses its device is of one, those that begin afterwards of the next.
    generations: Vec<u32>,
}

impl Launcher {
    /// Prepares to start workers on the devices of a configuration. A partition of the software GPU is one with fewer compute
    /// units, which are a piece of hardware of their own. A card is not divided; the object that stands for its units is empty but for form.
    pub(super) fn new(
        devices: Vec<DeviceSpec>,
        config: &broker::Config,
        program: Option<PathBuf>,
        uid_first: u32,
    ) -> Result<Self, MemoryError> {
        let partition = |device: &DeviceSpec, cus: u32| {
            let part = device.part(cus);
            let bytes = size_of::<gcn::hardware::CuHardware>() * part.software_units().max(1) as usize;
            MemFd::create("wavegate-partition", bytes).map(|memory| (part, memory))
        };
        let divided = |(device, config): (&DeviceSpec, &broker::DeviceConfig)| {
            config.partitions.iter().map(|p| partition(device, p.cus)).collect::<Result<Vec<_>, _>>()
        };
        let partitions = devices.iter().zip(&config.devices).map(divided).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            generations: vec![1; devices.len()],
            devices,
            partitions,
            program,
            uid_first: rustix::process::geteuid().is_root().then_some(uid_first),
            slots: BTreeSet::new(),
            descriptors: raise_descriptor_limit().min(WORKER_DESCRIPTORS),
        })
    }

    /// Returns the devices.
    pub(super) fn devices(&self) -> &[DeviceSpec] {
        &self.devices
    }

    /// Returns what tells a device from every other one here, the same whichever partition of it a session runs in and whenever the daemon begins.
    fn uuid(&self, device: u32) -> u64 {
        let name = self.devices.get(device as usize).map(DeviceSpec::to_string).unwrap_or_default();
        fnv1a(name.bytes().chain(device.to_le_bytes()))
    }

    /// Returns the names of devices, for a tenant that may use them.
    pub(super) fn names(&self, devices: &[u32]) -> Devices {
        let mut list = [DeviceName::default(); DEVICES_MAX];
        for (name, index) in list.iter_mut().zip(devices) {
            *name = DeviceName { index: *index, uuid: self.uuid(*index) };
        }
        Devices { count: u32::try_from(devices.len()).unwrap_or(0), list }
    }

    /// Starts the worker of a session.
    pub(super) fn launch(
        &mut self,
        session: SessionId,
        tenant: TenantName,
        limits: SessionLimits,
        scrub: bool,
        place: Place,
        tenant_socket: &Channel,
    ) -> Result<Worker, LaunchError> {
        let (ours, theirs) = Channel::pair()?;
        ours.set_nonblocking(true)?;
        let (gate_object, gate) = Gate::create()?;
        let page = MemFd::create("wavegate-session", usize::try_from(proto::session::BYTES.0).unwrap_or(usize::MAX))?;
        let bell = EventFd::new()?;
        let (device, memory) = self
            .partitions
            .get(place.device as usize)
            .and_then(|device| device.get(place.partition as usize))
            .ok_or(LaunchError::NoSuchPlace(place))?;
        let partition = PartitionId(place.partition);
        let generation = self.generations.get(place.device as usize).copied().unwrap_or(1);
        let start = Start {
            session,
            tenant,
            generation: DeviceGeneration(generation),
            device: Text::truncated(&device.to_string()),
            uuid: self.uuid(place.device),
            limits,
            partition,
            scrub: u32::from(scrub),
        };
        let hardware = Partition { partition, bytes: Bytes(memory.bytes() as u64) };
        let send = |order: WorkerOrder, fds: &[_]| ours.send(order.encode(RequestId::EVENT).as_bytes(), fds);
        send(start.into(), &[tenant_socket.as_fd(), gate_object.as_fd(), page.as_fd(), bell.as_fd()])?;
        send(hardware.into(), &[memory.as_fd()])?;

        let name = format!("wavegate:{tenant}");
        let mut spawn = match &self.program {
            None => Spawn::this_program(&name),
            Some(path) => Spawn::program(path.as_os_str(), &name)?,
        };
        spawn = spawn
            .argument("worker")
            .pass(theirs.as_fd())
            .bound(Bound::CoreBytes(0))
            .bound(Bound::Descriptors(self.descriptors))
            .end_with_parent();
        for (name, value) in VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))) {
            spawn = spawn.variable(name, OsString::as_os_str(&value));
        }
        // The lowest free one: there are never more sessions than the configuration allows, so slots stay below that.
        let slot = self.uid_first.and_then(|_| (0..).find(|slot| !self.slots.contains(slot)));
        if let Some(id) = self.uid_first.zip(slot).map(|(first, slot)| first.saturating_add(slot)) {
            spawn = spawn.run_as(RunAs { uid: id, gid: id }).bound(Bound::Processes(WORKER_THREADS));
        }
        let child = spawn.spawn()?;
        self.slots.extend(slot);
        Ok(Worker::new(child, ours, gate, bell, Life { device: place.device, generation }, slot))
    }

    /// Returns the order to use the compute units of a partition, and the object that goes with it.
    pub(super) fn units(&self, place: Place) -> Result<(Partition, MemFd), LaunchError> {
        let partitions = self.partitions.get(place.device as usize);
        let (_, memory) =
            partitions.and_then(|all| all.get(place.partition as usize)).ok_or(LaunchError::NoSuchPlace(place))?;
        let order = Partition { partition: PartitionId(place.partition), bytes: Bytes(memory.bytes() as u64) };
        Ok((order, memory.duplicate()?))
    }

    /// Takes note that a session of this life of a device has lost it. Several say so of the same loss.
    pub(super) fn device_lost(&mut self, Life { device, generation }: Life) {
        if let Some(now) = self.generations.get_mut(device as usize) {
            *now = (*now).max(generation.saturating_add(1));
        }
    }

    /// Takes note that a worker is reaped, so that another may have its user.
    pub(super) fn reaped(&mut self, slot: Option<u32>) {
        if let Some(slot) = slot {
            self.slots.remove(&slot);
        }
    }
}

/// A number that stays the same for the same bytes (Fowler, Noll, Vo: FNV-1a, 64 bits).
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Uses all the descriptors this process is allowed, which by default are more than it starts with; returns how many that are.
fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If that is refused, what there was stays; a session too many is then refused for want of descriptors.
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(_) => limit.current.unwrap_or(u64::MAX),
    }
}
