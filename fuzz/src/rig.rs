//! A tenant's part in a few lines: memory, a queue, a program placed in it, and a host that stops what runs too long.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use gcn::aql::{KernelDispatch, Packet, TYPE_INVALID};
use gcn::arch::{Arch, PRIVATE_APERTURE_HI, SHARED_APERTURE_HI};
use gcn::code_object::CodeObject;
use gcn::engine::{Config, Context, Host, Outcome, QueueError, QueueId, QueueSpec};
use gcn::hardware::CuHardware;
use gcn::kernarg::{KernargBuilder, Launch};
use gcn::memory::{FlatMemory, Memory};
use kernels::{Arg, Case, Level, Target};

pub(crate) const BASE: u64 = 0x1000_0000;
const BYTES: usize = 12 << 20;
/// The upper part of memory is scratch.
const SCRATCH: u64 = BASE + (8 << 20);
pub(crate) const SLOTS: u32 = 16;

/// Two compute units, so that work-groups are apart.
pub(crate) const CUS: u32 = 2;

/// Every committed object, by target.
pub(crate) fn programs() -> impl Iterator<Item = (Target, &'static [u8])> {
    Target::ALL.into_iter().flat_map(|target| kernels::all().iter().map(move |k| (target, k.code_object(target))))
}

/// Stops after a number of questions, so that nothing runs for ever.
pub(crate) struct Fuel {
    left: AtomicU32,
    failed: AtomicU32,
    now: AtomicU64,
}

impl Fuel {
    pub(crate) fn new(questions: u32) -> Fuel {
        Fuel { left: AtomicU32::new(questions), failed: AtomicU32::new(0), now: AtomicU64::new(1) }
    }

    /// Returns how many queues failed.
    pub(crate) fn failed(&self) -> u32 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Host for Fuel {
    fn now(&self) -> u64 {
        self.now.fetch_add(1, Ordering::Relaxed)
    }
    fn should_stop(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }
    fn scratch(&self, bytes: u64) -> Option<u64> {
        (bytes <= BASE + BYTES as u64 - SCRATCH).then_some(SCRATCH)
    }
    fn signal_changed(&self, _: u64) {}
    fn interrupt(&self) {}
    fn queue_failed(&self, _: QueueId, error: &QueueError) {
        assert!(!error.to_string().is_empty());
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// One tenant: memory of its own and a context with one queue.
pub(crate) struct Tenant {
    pub(crate) mem: FlatMemory,
    next: u64,
    pub(crate) context: Context,
    pub(crate) queue: QueueId,
    ring: u64,
    pub(crate) signal: u64,
    submitted: u64,
}

impl Tenant {
    pub(crate) fn new(arch: Arch) -> Tenant {
        let mem = FlatMemory::new(BASE, BYTES);
        // PANIC: one thread needs no pool, so nothing can fail.
        let mut context = Context::new(Config { arch, cus: CUS, threads: 1 }).expect("a context");
        let (structure, ring, read_index, signal) = (BASE, BASE + 0x1000, BASE + 0x800, BASE + 0x900);
        let queue = context.create_queue(QueueSpec { ring, slots: SLOTS, read_index, structure });
        let tenant = Tenant { mem, next: BASE + 0x4000, context, queue, ring, signal, submitted: 0 };
        for slot in 0..u64::from(SLOTS) {
            tenant.write(ring + 64 * slot, &[TYPE_INVALID, 0, 0, 0]);
        }
        tenant
    }

    pub(crate) fn write(&self, address: u64, bytes: &[u8]) {
        self.mem.write(address, bytes).expect("the tenant's memory");
    }

    /// Puts bytes somewhere; `None` if there is no room.
    pub(crate) fn place(&mut self, bytes: &[u8]) -> Option<u64> {
        let at = self.next.next_multiple_of(4096);
        let next = at.checked_add(bytes.len().max(64) as u64)?;
        if next > SCRATCH {
            return None;
        }
        self.next = next;
        self.write(at, bytes);
        Some(at)
    }

    /// Returns where what was placed ends.
    pub(crate) fn end(&self) -> u64 {
        self.next
    }

    /// Writes a packet into the next slot, header included.
    pub(crate) fn put(&mut self, packet: &[u8; 64]) {
        self.write(self.ring + 64 * (self.submitted % u64::from(SLOTS)), packet);
        self.submitted += 1;
    }

    /// Places `case`, its program changed by `change`, and submits it. Returns where its buffers are; `None` if there is no room.
    pub(crate) fn submit(&mut self, object: &[u8], case: &Case, change: impl FnOnce(&mut [u8])) -> Option<Vec<u64>> {
        let object = CodeObject::parse(object).ok()?;
        let at = self.next.next_multiple_of(4096);
        let mut image = object.image(at, &|_| None).ok()?;
        let info = object.kernel(case.kernel)?;
        let entry = info.descriptor_offset.wrapping_add_signed(info.descriptor.entry_byte_offset) as usize;
        change(image.get_mut(entry..)?);
        let at = self.place(&image)?;
        let mut addresses = Vec::new();
        for buffer in &case.buffers {
            addresses.push(self.place(&buffer.bytes)?);
        }
        let mut launch = Launch::new(case.grid, case.workgroup);
        launch.dynamic_lds_bytes = case.dynamic_lds;
        (launch.shared_base, launch.private_base) = (SHARED_APERTURE_HI, PRIVATE_APERTURE_HI);
        let setup = u16::from(launch.dims);
        let mut builder = KernargBuilder::new(info, launch).ok()?;
        for arg in &case.args {
            builder = match *arg {
                Arg::Buffer { index, offset } => builder.pointer(addresses[index] + offset),
                Arg::U32(value) => builder.arg(&value.to_le_bytes()),
                Arg::U64(value) => builder.arg(&value.to_le_bytes()),
                Arg::F32(value) => builder.arg(&value.to_le_bytes()),
            }
            .ok()?;
        }
        let kernarg = builder.finish().ok()?;
        let dispatch = KernelDispatch {
            setup,
            workgroup: case.workgroup,
            grid: case.grid,
            private_segment_size: info.private_segment_fixed_size.max(if info.uses_dynamic_stack { 1024 } else { 0 }),
            group_segment_size: kernarg.group_segment_bytes,
            kernel_object: at + info.descriptor_offset,
            kernarg_address: self.place(&kernarg.bytes)?,
        };
        self.put(&Packet::kernel(&dispatch, true, self.signal));
        Some(addresses)
    }

    /// Runs for at most `questions`; suspends if work is left.
    pub(crate) fn turn(&mut self, hw: &mut [CuHardware], questions: u32) -> Outcome {
        self.context.resume(hw);
        let report = self.context.run(hw, &self.mem, &Fuel::new(questions));
        if report.outcome == Outcome::Stopped {
            self.context.suspend(hw);
        }
        report.outcome
    }

    pub(crate) fn buffers(&self, case: &Case, addresses: &[u64]) -> Vec<Vec<u8>> {
        let read = |(buffer, at): (&kernels::Buffer, &u64)| {
            let mut bytes = vec![0; buffer.bytes.len()];
            self.mem.read(*at, &mut bytes).expect("the tenant's memory");
            bytes
        };
        std::iter::zip(&case.buffers, addresses).map(read).collect()
    }
}

/// Returns an architecture, its target and a level of optimisation for a byte.
pub(crate) fn place_of(byte: u8) -> (Arch, Target, Level) {
    let target = Target::ALL[usize::from(byte) % Target::ALL.len()];
    let level = Level::ALL[usize::from(byte >> 1) % Level::ALL.len()];
    (if target == Target::Gfx90a { Arch::Gfx90a } else { Arch::Gfx942 }, target, level)
}
