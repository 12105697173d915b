//! A tenant for tests: a software GPU, and everything that produces packets for it.

use gcn::aql::{KernelDispatch, Packet, signal};
use gcn::arch::{PRIVATE_APERTURE_HI, SHARED_APERTURE_HI};
use gcn::code_object::{CodeObject, KernelInfo};
use gcn::kernarg::{KernargBuilder, Launch};
use kernels::{Arg, Case, Target};
use proto::queue::QueueLayout;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use sys::mapping::{Access, Mapping};
use sys::memfd::MemFd;
use wavegate::device::soft::{ComputeUnits, SoftConfig, SoftDevice};
use wavegate::device::{
    Allocate, Allocation, Device, DeviceError, DeviceFault, DeviceMemory, Lease, LoadedKernel, Pool, QueueHandle,
    QueueSpec, Rights, RunEnd, RunReport,
};

/// How long a rig may be in use before it counts as hung. Nothing is expected to come near it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the configuration `soft:{options}`.
pub(crate) fn soft(options: &str) -> SoftConfig {
    format!("soft:vram=256MiB,{options}").parse().expect("a device description")
}

/// Memory that the device and the test both see.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) address: u64,
    pub(crate) bytes: Arc<Mapping>,
}

impl Shared {
    /// Returns the 64-bit word at `offset` as an atomic.
    pub(crate) fn word(&self, offset: u64) -> &AtomicU64 {
        self.bytes.atomic_u64(offset as usize).expect("an aligned word")
    }
}

/// A signal.
#[derive(Clone)]
pub(crate) struct Signal(Shared, u64);

impl Signal {
    /// Returns its address, as packets name it.
    pub(crate) fn address(&self) -> u64 {
        self.0.address + self.1
    }

    pub(crate) fn value(&self) -> i64 {
        self.0.word(self.1 + signal::VALUE).load(Ordering::Acquire) as i64
    }

    pub(crate) fn set(&self, value: i64) {
        self.0.word(self.1 + signal::VALUE).store(value as u64, Ordering::Release);
    }

    /// Returns the start and end time stamps.
    pub(crate) fn times(&self) -> (u64, u64) {
        let stamp = |at| self.0.word(self.1 + at).load(Ordering::Acquire);
        (stamp(signal::START_TS), stamp(signal::END_TS))
    }
}

/// A queue and its producer's state.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) handle: QueueHandle,
    pub(crate) memory: Shared,
    pub(crate) slots: u64,
    /// Packets put by [`Queue::put`].
    pub(crate) submitted: u64,
}

impl Queue {
    /// Returns the offset of a packet's slot in the queue's memory.
    pub(crate) fn slot(&self, index: u64) -> u64 {
        QueueLayout::RING as u64 + index % self.slots * 64
    }

    /// Returns the header of the slot that packet `index` had or will have.
    pub(crate) fn header(&self, index: u64) -> u32 {
        let at = self.slot(index) as usize;
        self.memory.bytes.atomic_u32(at).expect("an aligned header").load(Ordering::Acquire)
    }

    pub(crate) fn read_index(&self) -> &AtomicU64 {
        self.memory.word(QueueLayout::READ_INDEX as u64)
    }

    pub(crate) fn write_index(&self) -> &AtomicU64 {
        self.memory.word(QueueLayout::WRITE_INDEX as u64)
    }

    /// Puts a packet into slot `index` as a producer must: the body, then the header.
    pub(crate) fn put_at(&self, index: u64, packet: &[u8; 64]) {
        let at = self.slot(index) as usize;
        self.memory.bytes.write(at + 4, &packet[4..]).expect("a slot of the ring");
        let header = u32::from_le_bytes([packet[0], packet[1], packet[2], packet[3]]);
        self.memory.bytes.atomic_u32(at).expect("an aligned header").store(header, Ordering::Release);
    }

    /// Puts the next packet, for one producer that never has more than the ring holds in flight.
    pub(crate) fn put(&mut self, packet: &[u8; 64]) -> u64 {
        let index = self.submitted;
        assert!(index < self.read_index().load(Ordering::Acquire) + self.slots, "the test overran its ring");
        self.put_at(index, packet);
        self.submitted += 1;
        self.write_index().store(self.submitted, Ordering::Release);
        index
    }
}

/// A loaded program.
pub(crate) struct Program {
    info: KernelInfo,
    pub(crate) loaded: LoadedKernel,
    /// Where its image lies.
    pub(crate) image: Allocation,
}

/// A lease that stops after a number of questions, and remembers what it was told.
pub(crate) struct TestLease {
    questions_left: AtomicU64,
    asked: AtomicU64,
    pub(crate) faults: Mutex<Vec<(QueueHandle, DeviceFault)>>,
    pub(crate) signals: Mutex<Vec<u64>>,
    /// How often a kernel asked for the host.
    pub(crate) interrupts: AtomicU64,
    /// Bytes of hidden memory that the device may still have.
    pub(crate) hidden_bytes: AtomicU64,
    deadline: Instant,
}

impl Default for TestLease {
    fn default() -> TestLease {
        TestLease {
            questions_left: AtomicU64::new(u64::MAX),
            asked: AtomicU64::new(0),
            faults: Mutex::default(),
            signals: Mutex::default(),
            interrupts: AtomicU64::new(0),
            hidden_bytes: AtomicU64::new(u64::MAX),
            deadline: Instant::now() + PATIENCE,
        }
    }
}

impl TestLease {
    /// Says yes after `questions` more times of saying no.
    pub(crate) fn stop_after(&self, questions: u64) {
        self.questions_left.store(questions, Ordering::Relaxed);
    }
}

impl Lease for TestLease {
    fn should_stop(&self) -> bool {
        // Some kernels here never end: a bug must fail its test, not hang it.
        if self.asked.fetch_add(1, Ordering::Relaxed) % 4096 == 4095 {
            assert!(Instant::now() < self.deadline, "the device still runs after {PATIENCE:?}");
        }
        let less = |left: u64| left.checked_sub(1);
        self.questions_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err()
    }

    fn signal_changed(&self, signal: u64) {
        self.signals.lock().unwrap().push(signal);
    }

    fn interrupt(&self) {
        self.interrupts.fetch_add(1, Ordering::Relaxed);
    }

    fn hidden_memory(&self, bytes: u64) -> Option<MemFd> {
        let less = |left: u64| left.checked_sub(bytes);
        self.hidden_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(MemFd::create("test-hidden", bytes as usize).expect("a memory object"))
    }

    fn queue_failed(&self, queue: QueueHandle, fault: &DeviceFault) {
        self.faults.lock().unwrap().push((queue, fault.clone()));
    }
}

/// See the module.
pub(crate) struct Rig<D: Device = SoftDevice> {
    pub(crate) device: D,
    pub(crate) memory: Arc<dyn DeviceMemory>,
    pub(crate) target: Target,
    pub(crate) lease: TestLease,
    signals: Shared,
    signals_used: u64,
    /// What was allocated and is still there: first address and bytes.
    mapped: Mutex<Vec<(u64, u64)>>,
}

/// All memory that a session has mapped, as it was at one time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Everything(Vec<(u64, Vec<u8>)>);

impl Everything {
    /// Says where another one differs first.
    pub(crate) fn difference(&self, other: &Everything) -> Option<String> {
        let regions = |all: &Everything| all.0.iter().map(|(at, bytes)| (*at, bytes.len())).collect::<Vec<_>>();
        if regions(self) != regions(other) {
            return Some("other memory is mapped".to_owned());
        }
        std::iter::zip(&self.0, &other.0).find_map(|((at, mine), (_, theirs))| {
            let first = std::iter::zip(mine, theirs).position(|(a, b)| a != b)?;
            Some(format!("{:#x}, {first:#x} bytes into a region of {:#x}", at + first as u64, mine.len()))
        })
    }
}

impl std::fmt::Debug for Everything {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes: usize = self.0.iter().map(|(_, bytes)| bytes.len()).sum();
        write!(f, "{} regions of {bytes} bytes", self.0.len())
    }
}

impl Rig {
    /// A tenant alone on its own compute units.
    pub(crate) fn new(options: &str) -> Rig {
        let config = soft(options);
        Rig::on(&config, ComputeUnits::private(config.cus).expect("compute units"))
    }

    /// A tenant on compute units that others may share.
    pub(crate) fn on(config: &SoftConfig, units: ComputeUnits) -> Rig {
        Rig::with(SoftDevice::new(config, units).expect("a device"))
    }
}

impl<D: Device> Rig<D> {
    /// A tenant on any device.
    pub(crate) fn with(device: D) -> Rig<D> {
        let memory = device.memory();
        let target = device.facts().target.parse().expect("a target");
        let signals = share(&*memory, 1 << 16);
        let mapped = Mutex::new(vec![(signals.address, 1 << 16)]);
        Rig { device, memory, target, lease: TestLease::default(), signals, signals_used: 0, mapped }
    }

    /// Allocates memory that the test can reach, too.
    pub(crate) fn share(&self, bytes: u64) -> Shared {
        let shared = share(&*self.memory, bytes);
        self.mapped.lock().unwrap().push((shared.address, bytes));
        shared
    }

    /// Returns everything that is mapped, but for the times that signals were given: those of no two runs are the same.
    pub(crate) fn everything(&self) -> Everything {
        let mapped = self.mapped.lock().unwrap();
        let read = |&(at, bytes): &(u64, u64)| {
            let mut bytes = self.download(at, bytes as usize);
            if at == self.signals.address {
                for signal in bytes.chunks_mut(signal::BYTES as usize) {
                    signal[signal::START_TS as usize..signal::END_TS as usize + 8].fill(0);
                }
            }
            (at, bytes)
        };
        Everything(mapped.iter().map(read).collect())
    }

    pub(crate) fn allocate(&self, bytes: u64, rights: Rights) -> Allocation {
        let want = Allocate { pool: Pool::Vram, bytes, rights, address: None, backing: None };
        let got = self.memory.allocate(want).expect("device memory");
        self.mapped.lock().unwrap().push((got.address, got.bytes));
        got
    }

    pub(crate) fn upload(&self, bytes: &[u8]) -> u64 {
        let at = self.allocate(bytes.len() as u64, Rights::ReadWrite).address;
        self.memory.write(at, bytes).expect("fresh memory");
        at
    }

    pub(crate) fn download(&self, address: u64, bytes: usize) -> Vec<u8> {
        let mut out = vec![0; bytes];
        self.memory.read(address, &mut out).expect("mapped memory");
        out
    }

    /// Makes a queue of `slots`, with all slots INVALID.
    pub(crate) fn queue(&mut self, slots: u64) -> Queue {
        self.try_queue(slots).expect("a good ring")
    }

    pub(crate) fn try_queue(&mut self, slots: u64) -> Result<Queue, DeviceError> {
        let memory = self.share(QueueLayout::RING as u64 + slots * 64);
        for slot in 0..slots {
            memory.bytes.write((QueueLayout::RING as u64 + slot * 64) as usize, &[1, 0, 0, 0]).expect("a slot");
        }
        let handle = self.device.create_queue(QueueSpec {
            ring: memory.address + QueueLayout::RING as u64,
            slots: slots as u32,
            read_index: memory.address + QueueLayout::READ_INDEX as u64,
            structure: memory.address,
        })?;
        Ok(Queue { handle, memory, slots, submitted: 0 })
    }

    /// Makes a signal.
    pub(crate) fn signal(&mut self, value: i64) -> Signal {
        let at = self.signals_used;
        self.signals_used += signal::BYTES;
        let signal = Signal(self.signals.clone(), at);
        signal.set(value);
        signal
    }

    /// Loads an embedded kernel.
    pub(crate) fn load(&self, name: &str) -> Program {
        let bytes = kernels::find(name).expect("an embedded kernel").code_object(self.target);
        let object = CodeObject::parse(bytes).expect("a code object");
        let image = self.allocate(object.image_bytes(), Rights::ReadExecute);
        self.load_at(name, image)
    }

    /// Loads an embedded kernel into memory that is there already.
    pub(crate) fn load_at(&self, name: &str, image: Allocation) -> Program {
        let bytes = kernels::find(name).expect("an embedded kernel").code_object(self.target);
        let object = CodeObject::parse(bytes).expect("a code object");
        let loaded = self.memory.load_code(&object, bytes, image.address).expect("a loadable object");
        let loaded = loaded.kernels.into_iter().find(|k| k.name == name).expect("the kernel");
        Program { info: object.kernel(name).expect("the kernel").clone(), loaded, image }
    }

    /// Uploads a case's buffers; returns their addresses.
    pub(crate) fn place(&self, case: &Case) -> Vec<u64> {
        case.buffers.iter().map(|b| self.upload(&b.bytes)).collect()
    }

    /// Returns the dispatch of `case`, with its arguments in memory.
    pub(crate) fn dispatch(&self, program: &Program, case: &Case, addresses: &[u64]) -> KernelDispatch {
        let mut launch = Launch::new(case.grid, case.workgroup);
        launch.dynamic_lds_bytes = case.dynamic_lds;
        (launch.shared_base, launch.private_base) = (SHARED_APERTURE_HI, PRIVATE_APERTURE_HI);
        let setup = u16::from(launch.dims);
        let mut builder = KernargBuilder::new(&program.info, launch).expect("a launch");
        for arg in &case.args {
            builder = match *arg {
                Arg::Buffer { index, offset } => builder.pointer(addresses[index] + offset),
                Arg::U32(value) => builder.arg(&value.to_le_bytes()),
                Arg::U64(value) => builder.arg(&value.to_le_bytes()),
                Arg::F32(value) => builder.arg(&value.to_le_bytes()),
            }
            .expect("an argument that suits");
        }
        let kernarg = builder.finish().expect("all arguments");
        // An empty kernel takes none; its packet still names an address.
        let kernarg_address = self.upload(if kernarg.bytes.is_empty() { &[0; 64] } else { &kernarg.bytes });
        KernelDispatch {
            setup,
            workgroup: case.workgroup,
            grid: case.grid,
            private_segment_size: program.loaded.private_segment_bytes,
            group_segment_size: kernarg.group_segment_bytes,
            kernel_object: program.loaded.kernel_object,
            kernarg_address,
        }
    }

    /// Loads, places and dispatches `case` without the barrier bit; returns the buffers' addresses.
    pub(crate) fn submit(&self, queue: &mut Queue, case: &Case, completion: u64) -> Vec<u64> {
        let program = self.load(case.kernel);
        let addresses = self.place(case);
        queue.put(&Packet::kernel(&self.dispatch(&program, case, &addresses), false, completion));
        addresses
    }

    /// Runs until nothing is left.
    pub(crate) fn run(&mut self) -> RunReport {
        self.lease.stop_after(u64::MAX);
        let report = self.device.run(&self.lease);
        assert_eq!(report.end, RunEnd::Drained);
        report
    }

    /// Runs until nothing is left or `questions` were answered with no.
    pub(crate) fn run_until(&mut self, questions: u64) -> RunReport {
        self.lease.stop_after(questions);
        self.device.run(&self.lease)
    }

    /// Takes the faults that were reported.
    pub(crate) fn faults(&self) -> Vec<(QueueHandle, DeviceFault)> {
        std::mem::take(&mut self.lease.faults.lock().unwrap())
    }

    /// Reads back all buffers of a case.
    pub(crate) fn results(&self, case: &Case, addresses: &[u64]) -> Vec<Vec<u8>> {
        case.buffers.iter().zip(addresses).map(|(b, &at)| self.download(at, b.bytes.len())).collect()
    }

    /// Judges a case's result.
    #[track_caller]
    pub(crate) fn check(&self, case: &Case, addresses: &[u64]) {
        if let Err(wrong) = case.check(&self.results(case, addresses)) {
            panic!("{} on {}: {wrong}", case.kernel, self.device.facts().name);
        }
    }

    /// Runs `case` on a queue of its own; returns its first buffer with the case, unjudged.
    pub(crate) fn dump(&mut self, case: Case) -> (Case, Vec<u8>) {
        let mut queue = self.queue(64);
        let addresses = self.submit(&mut queue, &case, 0);
        self.run();
        let dump = self.results(&case, &addresses).remove(0);
        addresses.iter().for_each(|&at| self.memory.free(at).expect("placed for this run"));
        assert!(self.device.destroy_queue(queue.handle));
        (case, dump)
    }

    /// Runs `case` on a queue of its own and judges it: that the device still works.
    #[track_caller]
    pub(crate) fn verify(&mut self, case: &Case) {
        let mut queue = self.queue(64);
        let done = self.signal(1);
        let addresses = self.submit(&mut queue, case, done.address());
        self.run();
        assert_eq!(done.value(), 0, "{} did not complete", case.kernel);
        self.check(case, &addresses);
        assert!(self.device.destroy_queue(queue.handle));
    }
}

fn share(memory: &dyn DeviceMemory, bytes: u64) -> Shared {
    let bytes = bytes.next_multiple_of(sys::page_size() as u64);
    let object = MemFd::create("test", bytes as usize).expect("a memory object");
    let mapping = Mapping::new(&object, Access::ReadWrite).expect("a mapping");
    let want = Allocate { pool: Pool::Host, bytes, rights: Rights::ReadWrite, address: None, backing: Some(object) };
    let address = memory.allocate(want).expect("host memory").address;
    Shared { address, bytes: Arc::new(mapping) }
}

/// SplitMix64: the same seed, the same test.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
