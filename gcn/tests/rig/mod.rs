//! Memory, a queue and compute units for programs of `kernels`, for tests and benches.
#![allow(dead_code, reason = "tests and benches each use their part")]

use gcn::Tier;
use gcn::aql::{KernelDispatch, Packet, TYPE_INVALID};
use gcn::arch::{Arch, PRIVATE_APERTURE_HI, SHARED_APERTURE_HI};
use gcn::code_object::CodeObject;
use gcn::engine::{Config, Context, Host, Outcome, QueueError, QueueId, QueueSpec};
use gcn::hardware::{CuHardware, WAVE_SLOTS};
use gcn::kernarg::{KernargBuilder, Launch};
use gcn::memory::{FlatMemory, Memory};
use kernels::{Arg, Case, Target};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Two hundred waves: more than any grid here that has to be resident at once.
const CUS: u32 = 8;
const BASE: u64 = 0x1000_0000;
const BYTES: usize = 160 << 20;
/// The upper part of memory is scratch.
const SCRATCH: u64 = BASE + (32 << 20);
const SLOTS: u32 = 4;
/// What private memory holds before a program runs.
const UNTOUCHED: u8 = 0xc3;

/// Asks to stop after a number of questions; notes what failed.
#[derive(Default)]
struct Fuel {
    left: AtomicU64,
    failed: Mutex<Option<String>>,
}

impl Host for Fuel {
    fn now(&self) -> u64 {
        0
    }
    fn should_stop(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }
    fn scratch(&self, bytes: u64) -> Option<u64> {
        (SCRATCH + bytes <= BASE + BYTES as u64).then_some(SCRATCH)
    }
    fn signal_changed(&self, _: u64) {}
    fn interrupt(&self) {}
    fn queue_failed(&self, _: QueueId, error: &QueueError) {
        *self.failed.lock().unwrap() = Some(error.to_string());
    }
}

/// A device's memory, handed out from the bottom for one case at a time.
pub(crate) struct Machine {
    mem: FlatMemory,
    next: u64,
}

/// A case placed in a machine's memory, a queue for it, and the units it runs on.
pub(crate) struct Session<'a> {
    mem: &'a FlatMemory,
    case: &'a Case,
    dispatch: KernelDispatch,
    addresses: Vec<u64>,
    ring: u64,
    signal: u64,
    /// Where what was placed for it ends.
    end: u64,
    /// Bytes of private memory behind [`SCRATCH`], for every wave slot.
    scratch_bytes: usize,
    put: u64,
    hw: Box<[CuHardware]>,
    context: Context,
    fuel: Fuel,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine { mem: FlatMemory::new(BASE, BYTES), next: BASE }
    }

    fn place(&mut self, bytes: &[u8]) -> u64 {
        let at = self.next.next_multiple_of(4096);
        self.next = at + bytes.len().max(64) as u64;
        assert!(self.next <= SCRATCH, "room for a case");
        self.mem.write(at, bytes).unwrap();
        at
    }

    /// Lays `case` out, and forgets the one before.
    pub(crate) fn session<'a>(
        &'a mut self,
        target: Target,
        object: &[u8],
        case: &'a Case,
        threads: u32,
    ) -> Session<'a> {
        self.session_on(Tier::detect(), target, object, case, threads)
    }

    /// As [`session`](Self::session) on a given tier.
    pub(crate) fn session_on<'a>(
        &'a mut self,
        tier: &'static Tier,
        target: Target,
        object: &[u8],
        case: &'a Case,
        threads: u32,
    ) -> Session<'a> {
        self.next = BASE;
        let object = CodeObject::parse(object).unwrap();
        let image = object.image(BASE, &|_| None).unwrap();
        let at = self.place(&image);
        let addresses: Vec<u64> = case.buffers.iter().map(|b| self.place(&b.bytes)).collect();
        let info = object.kernel(case.kernel).unwrap();
        let mut launch = Launch::new(case.grid, case.workgroup);
        launch.dynamic_lds_bytes = case.dynamic_lds;
        (launch.shared_base, launch.private_base) = (SHARED_APERTURE_HI, PRIVATE_APERTURE_HI);
        let setup = u16::from(launch.dims);
        let mut builder = KernargBuilder::new(info, launch).unwrap();
        for arg in &case.args {
            builder = match *arg {
                Arg::Buffer { index, offset } => builder.pointer(addresses[index] + offset),
                Arg::U32(value) => builder.arg(&value.to_le_bytes()),
                Arg::U64(value) => builder.arg(&value.to_le_bytes()),
                Arg::F32(value) => builder.arg(&value.to_le_bytes()),
            }
            .unwrap();
        }
        let kernarg = builder.finish().unwrap();
        let kernarg_address = self.place(&kernarg.bytes);
        let dispatch = KernelDispatch {
            setup,
            workgroup: case.workgroup,
            grid: case.grid,
            // What a stack of unknown depth needs beyond what the compiler counted is for whoever launches to say.
            private_segment_size: info.private_segment_fixed_size.max(if info.uses_dynamic_stack { 4096 } else { 0 }),
            group_segment_size: kernarg.group_segment_bytes,
            kernel_object: at + info.descriptor_offset,
            kernarg_address,
        };
        let ring = self.place(&[0; 64 * SLOTS as usize]);
        let (read_index, signal) = (self.place(&[0; 8]), self.place(&[0; 64]));
        for slot in 0..SLOTS {
            self.mem.write(ring + 64 * u64::from(slot), &[TYPE_INVALID]).unwrap();
        }
        let arch = Arch::from_name(target.name()).unwrap();
        let mut context = Context::with_tier(Config { arch, cus: CUS, threads }, tier).unwrap();
        context.create_queue(QueueSpec { ring, slots: SLOTS, read_index, structure: BASE });
        let hw = CuHardware::power_on(CUS as usize);
        let end = self.next;
        let fuel = Fuel::default();
        let wave_bytes = (dispatch.private_segment_size.next_multiple_of(4) * 64).next_multiple_of(1024);
        let scratch_bytes = wave_bytes as usize * WAVE_SLOTS * CUS as usize;
        self.mem.write(SCRATCH, &vec![UNTOUCHED; scratch_bytes]).unwrap();
        let mem = &self.mem;
        Session { mem, case, dispatch, addresses, ring, signal, end, scratch_bytes, put: 0, hw, context, fuel }
    }
}

impl Session<'_> {
    /// Submits the case; it runs with the next [`run`](Self::run).
    pub(crate) fn submit(&mut self) {
        let slot = self.ring + 64 * (self.put % u64::from(SLOTS));
        self.put += 1;
        self.mem.update_u64(self.signal + 8, &mut |value| Some(value + 1)).unwrap();
        let packet = Packet::kernel(&self.dispatch, true, self.signal);
        self.mem.write(slot + 4, &packet[4..]).unwrap();
        let header = u32::from_le_bytes([packet[0], packet[1], packet[2], packet[3]]);
        self.mem.store_release_u32(slot, header).unwrap();
    }

    /// Runs until nothing is left, or a stop after `questions`. Returns whether all is done, and wave-instructions.
    pub(crate) fn run(&mut self, questions: u64) -> (bool, u64) {
        self.fuel.left.store(questions, Ordering::Relaxed);
        let report = self.context.run(&mut self.hw, self.mem, &self.fuel);
        assert_eq!(*self.fuel.failed.lock().unwrap(), None, "{}", self.case.kernel);
        let done = report.outcome == Outcome::Drained;
        if done {
            assert_eq!(self.mem.load_acquire_u64(self.signal + 8).unwrap(), 0, "{}", self.case.kernel);
        }
        (done, report.instructions)
    }

    /// Asks whether to stop after so many instructions.
    pub(crate) fn look_every(&mut self, instructions: u32) {
        self.context.set_look_every(instructions);
    }

    /// Translates all that can be translated at its first visit, or nothing.
    pub(crate) fn translate(&mut self, all: bool) {
        self.context.set_translation(all.then_some(0));
    }

    /// Suspends, lets others leave something of theirs in every register and every byte of LDS, and resumes.
    pub(crate) fn step_aside(&mut self, mark: u32) {
        self.context.suspend(&self.hw);
        for cu in &mut self.hw {
            cu.vgpr.as_flattened_mut().iter_mut().for_each(|row| row.fill(0xdead_beef ^ mark));
            cu.sgpr.iter_mut().for_each(|file| file.fill(0xfeed_f00d));
            cu.lds.fill(0xa5);
        }
        self.context.resume(&mut self.hw);
    }

    /// Suspends, lets `other` run its case to the end on the same compute units, and resumes.
    pub(crate) fn give_way(&mut self, other: &mut Session<'_>) {
        let resident = self.context.suspend(&self.hw);
        std::mem::swap(&mut self.hw, &mut other.hw);
        other.submit();
        assert!(other.run(u64::MAX).0, "{} ends", other.case.kernel);
        std::mem::swap(&mut self.hw, &mut other.hw);
        assert_eq!(self.context.resume(&mut self.hw), resident);
    }

    /// Returns all memory that was placed for the case: code, arguments, ring, signal and buffers.
    pub(crate) fn everything(&self) -> Vec<u8> {
        let mut bytes = vec![0; (self.end - BASE) as usize];
        self.mem.read(BASE, &mut bytes).unwrap();
        bytes
    }

    /// Returns the private memory of all wave slots, with what ended waves left in it.
    pub(crate) fn private_memory(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.scratch_bytes];
        self.mem.read(SCRATCH, &mut bytes).unwrap();
        bytes
    }

    /// Returns the case's buffers as they are.
    pub(crate) fn buffers(&self) -> Vec<Vec<u8>> {
        let read = |(buffer, at): (&kernels::Buffer, &u64)| {
            let mut bytes = vec![0; buffer.bytes.len()];
            self.mem.read(*at, &mut bytes).unwrap();
            bytes
        };
        std::iter::zip(&self.case.buffers, &self.addresses).map(read).collect()
    }
}
