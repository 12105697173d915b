//! The embedded software GPU: `gcn` runs the code, this gives it memory, hardware and a clock.
//!
//! It executes real gfx90a and gfx942 code objects, shares its compute units with whoever else holds the same
//! [`ComputeUnits`], and can be suspended at any instruction. Its switch cost is that of copying registers and LDS in host memory: a software
//! copy, not the CWSR of an Instinct.

mod config;
mod space;

pub use config::{SoftConfig, SoftConfigError, parse_bytes};
pub use space::AddressSpace;

use super::{
    ContextBytes, CuMask, Device, DeviceError, DeviceFacts, DeviceFault, DeviceMemory, FaultClass, Lease, Preemption,
    QueueHandle, QueueSpec, Resident, RunEnd, RunReport,
};
use crate::clock;
use gcn::Translation;
use gcn::engine::{Context, ContextSize, DispatchSize, Host, LaunchError, Outcome, QueueError, QueueId};
use gcn::fault::FaultKind;
use gcn::hardware::CuHardware;
use std::sync::{Arc, Mutex, PoisonError};
use sys::hardware::HardwareMemory;

/// The compute units of a partition: one piece of hardware, used by one session at a time.
///
/// In one process they are shared by cloning; between processes by mapping the same memory object.
#[derive(Clone)]
pub struct ComputeUnits {
    memory: Arc<Mutex<HardwareMemory<CuHardware>>>,
    /// How many there were at first: as many as those who use them count on.
    least: usize,
}

impl ComputeUnits {
    /// Returns `cus` compute units of this process, as the power-on state leaves them.
    pub fn private(cus: u32) -> Result<ComputeUnits, DeviceError> {
        Ok(ComputeUnits::new(HardwareMemory::anonymous(cus as usize)?))
    }

    /// Returns the compute units that `memory` holds.
    pub fn new(memory: HardwareMemory<CuHardware>) -> ComputeUnits {
        ComputeUnits { least: memory.len(), memory: Arc::new(Mutex::new(memory)) }
    }

    /// Puts other compute units in their place, for every clone; of these nothing is mapped any more afterwards. A context that was suspended on the old ones
    /// is resumed on the new ones.
    pub fn exchange(&self, memory: HardwareMemory<CuHardware>) -> Result<(), DeviceError> {
        if memory.len() < self.least {
            return Err(DeviceError::Contract { backend: "soft", what: "as many compute units as there were" });
        }
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = memory;
        Ok(())
    }

    fn with<R>(&self, use_them: impl FnOnce(&mut [CuHardware]) -> R) -> R {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        use_them(&mut memory.hold())
    }
}

/// A session's software GPU.
pub struct SoftDevice {
    facts: DeviceFacts,
    cus: usize,
    context: Context,
    units: ComputeUnits,
    space: Arc<AddressSpace>,
}

impl SoftDevice {
    /// Returns a session's device on `units`, of which there must be at least as many as `config` says.
    pub fn new(config: &SoftConfig, units: ComputeUnits) -> Result<SoftDevice, DeviceError> {
        SoftDevice::with_tier(config, units, gcn::Tier::detect())
    }

    /// As [`new`](Self::new) with a given execution tier of the interpreter: for tests and benches that compare them.
    pub fn with_tier(
        config: &SoftConfig,
        units: ComputeUnits,
        tier: &'static gcn::Tier,
    ) -> Result<SoftDevice, DeviceError> {
        if units.with(|hw| hw.len()) < config.cus as usize {
            return Err(DeviceError::Contract { backend: "soft", what: "storage for every compute unit" });
        }
        let shape = gcn::engine::Config { arch: config.arch, cus: config.cus, threads: config.threads };
        let mut context = Context::with_tier(shape, tier).map_err(|e| DeviceError::Threads(e.to_string()))?;
        if !config.translate {
            context.set_translation(None);
        } else if context.translation() == Translation::Refused {
            tracing::warn!(
                "this host lets no program map executable memory: vector code is interpreted, which takes some two to four times as long; \
                 `translate=off` in the device's name says that this is meant"
            );
        }
        let facts = DeviceFacts {
            name: config.to_string(),
            target: config.arch.name().to_owned(),
            compute_units: config.cus,
            wave_lanes: gcn::arch::LANES as u32,
            vram_bytes: config.vram_bytes,
            timestamp_hz: 1_000_000_000,
            preemption: Preemption::Suspend,
            wants_backing: true,
            chooses_addresses: false,
            vram_mappable: true,
            queue_priorities: false,
        };
        let space = Arc::new(AddressSpace::new(config.arch, config.vram_bytes));
        Ok(SoftDevice { facts, cus: config.cus as usize, context, units, space })
    }

    /// Asks [`Lease::should_stop`] after every `instructions` of a wave: one, for tests that stop a program anywhere.
    pub fn set_look_every(&mut self, instructions: u32) {
        self.context.set_look_every(instructions);
    }

    /// Returns the name of the interpreter's execution tier on this host.
    pub fn tier() -> &'static str {
        gcn::Tier::detect().name()
    }
}

impl Device for SoftDevice {
    fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    fn memory(&self) -> Arc<dyn DeviceMemory> {
        Arc::clone(&self.space) as Arc<dyn DeviceMemory>
    }

    fn create_queue(&mut self, spec: QueueSpec) -> Result<QueueHandle, DeviceError> {
        let bytes = u64::from(spec.slots) * gcn::aql::PACKET_BYTES as u64;
        let good = spec.slots.is_power_of_two()
            && spec.ring.is_multiple_of(gcn::aql::PACKET_BYTES as u64)
            && spec.read_index.is_multiple_of(8)
            && self.space.covers(spec.ring, bytes)
            && self.space.covers(spec.read_index, 8);
        if !good {
            return Err(DeviceError::Ring { ring: spec.ring, slots: spec.slots });
        }
        let QueueSpec { ring, slots, read_index, structure } = spec;
        let QueueId(id) = self.context.create_queue(gcn::engine::QueueSpec { ring, slots, read_index, structure });
        Ok(QueueHandle(id))
    }

    fn destroy_queue(&mut self, queue: QueueHandle) -> bool {
        self.context.destroy_queue(QueueId(queue.0))
    }

    fn set_cu_mask(&mut self, mask: &CuMask) -> Result<(), DeviceError> {
        if self.context.set_cu_mask(|cu| mask.contains(cu)) {
            Ok(())
        } else {
            Err(DeviceError::Contract { backend: "soft", what: "at least one compute unit in a mask" })
        }
    }

    fn runnable(&self) -> bool {
        self.context.runnable(&*self.space)
    }

    fn run(&mut self, lease: &dyn Lease) -> RunReport {
        let host = LeaseHost { lease, space: &self.space };
        let (context, space, cus) = (&mut self.context, &*self.space, self.cus);
        let report = self.units.with(|hw| context.run(&mut hw[..cus], space, &host));
        RunReport {
            end: match report.outcome {
                Outcome::Drained => RunEnd::Drained,
                Outcome::Stopped => RunEnd::Stopped,
            },
            first_instruction_ns: report.first_instruction,
            instructions: report.instructions,
        }
    }

    fn suspend(&mut self) -> ContextBytes {
        let (context, cus) = (&mut self.context, self.cus);
        self.units.with(|hw| context.suspend(&hw[..cus])).into()
    }

    fn resume(&mut self) -> ContextBytes {
        let (context, cus) = (&mut self.context, self.cus);
        self.units.with(|hw| context.resume(&mut hw[..cus])).into()
    }

    fn scrub(&mut self) -> Result<(), DeviceError> {
        let cus = self.cus;
        self.units.with(|hw| hw[..cus].iter_mut().for_each(CuHardware::scrub));
        Ok(())
    }

    fn context(&self) -> ContextBytes {
        self.context.size().into()
    }

    fn context_peak(&self) -> ContextBytes {
        self.context.peak_size().into()
    }

    fn residents(&self) -> Vec<Resident> {
        let sizes = self.context.dispatch_sizes();
        let resident = |d: &DispatchSize| Resident {
            queue: QueueHandle(d.queue.0),
            packet: d.packet,
            kernel_object: d.kernel_object,
            bytes: d.size.into(),
        };
        sizes.iter().map(resident).collect()
    }
}

impl From<ContextSize> for ContextBytes {
    fn from(size: ContextSize) -> ContextBytes {
        ContextBytes {
            waves: size.waves,
            vgpr: size.vgpr_bytes,
            sgpr: size.sgpr_bytes,
            lds: size.lds_bytes,
            scratch: size.scratch_bytes,
        }
    }
}

/// Answers the interpreter's questions out of the lease and the address space.
struct LeaseHost<'a> {
    lease: &'a dyn Lease,
    space: &'a AddressSpace,
}

impl Host for LeaseHost<'_> {
    fn now(&self) -> u64 {
        clock::now_ns()
    }

    fn should_stop(&self) -> bool {
        self.lease.should_stop()
    }

    fn scratch(&self, bytes: u64) -> Option<u64> {
        self.space.scratch(bytes, |bytes| self.lease.hidden_memory(bytes))
    }

    fn signal_changed(&self, signal: u64) {
        self.lease.signal_changed(signal);
    }

    fn interrupt(&self) {
        self.lease.interrupt();
    }

    fn queue_failed(&self, queue: QueueId, error: &QueueError) {
        self.lease.queue_failed(QueueHandle(queue.0), &describe(error));
    }

    fn packet_began(&self, queue: QueueId, packet: u64, dispatch: bool) {
        self.lease.packet_began(QueueHandle(queue.0), packet, dispatch);
    }

    fn dispatch_ended(&self, queue: QueueId, packet: u64) {
        self.lease.dispatch_ended(QueueHandle(queue.0), packet);
    }
}

fn describe(error: &QueueError) -> DeviceFault {
    let (kind, address, pc, kernel_object) = match error {
        QueueError::Kernel { fault, kernel_object, .. } => {
            let (kind, address) = match &fault.kind {
                FaultKind::Memory(memory) => (FaultClass::Memory, Some(memory.address)),
                FaultKind::Scratch { .. } => (FaultClass::Memory, None),
                FaultKind::Trap { .. } => (FaultClass::Trap, None),
                FaultKind::IllegalInstruction { .. }
                | FaultKind::UnsupportedInstruction { .. }
                | FaultKind::UnsupportedForm { .. }
                | FaultKind::RegisterOutOfRange { .. } => (FaultClass::Instruction, None),
            };
            (kind, address, Some(fault.pc), Some(*kernel_object))
        }
        QueueError::Launch { error: LaunchError::Cooperative { .. }, .. } => (FaultClass::Resources, None, None, None),
        QueueError::Packet { .. } | QueueError::Launch { .. } => (FaultClass::Packet, None, None, None),
        QueueError::Memory { fault, .. } => (FaultClass::Memory, Some(fault.address), None, None),
    };
    let (QueueError::Kernel { packet, .. }
    | QueueError::Packet { packet, .. }
    | QueueError::Launch { packet, .. }
    | QueueError::Memory { packet, .. }) = error;
    DeviceFault { kind, address, pc, kernel_object, packet: *packet, text: error.to_string() }
}
