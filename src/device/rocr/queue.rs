//! A tenant's queue: its packets are copied out of the tenant's ring, checked, and forwarded to a hardware queue a few at a time.
//!
//! Barrier packets are decided here, so what the hardware sees are kernels only. A packet in flight completes on a signal of ours; the tenant's
//! own is then given the device's times and decremented. Slots are given back in ring order: the header becomes INVALID, the read index
//! moves on, the signal follows. Indices are private: what a tenant writes over the shared ones misleads nobody but itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gcn::aql::{BARRIER_SIGNALS, Body, Condition, Header, KernelDispatch, PACKET_BYTES, Packet, TYPE_INVALID, signal};
use gcn::engine::MAX_WORKGROUP_ITEMS;
use gcn::hardware::LDS_BYTES;
use hsa_sys::raw;
use hsa_sys::runtime::{Agent, Pause, PauseError, Queue, Runtime, Signal};
use sys::mapping::Mapping;

use super::listing::{self, Listing};
use super::memory::RocrMemory;
use crate::device::{DeviceError, DeviceFault, FaultClass, Lease, Priority, QueueHandle, QueueSpec};

/// Packets of one queue that the hardware has at once: few, so that a queue that is to stop drains soon.
pub(super) const WINDOW: usize = 2;
/// Slots of a hardware queue: the least the runtime makes.
const HARDWARE_SLOTS: u32 = 64;

/// A packet that the hardware has, or that waits for earlier ones to give their slots back.
struct InFlight {
    completion: u64,
    kernel_object: u64,
    /// What the hardware completes; `None` once it has.
    done: Option<Signal>,
    dispatch: bool,
}

/// See the module.
pub(super) struct TenantQueue {
    pub(super) handle: QueueHandle,
    spec: QueueSpec,
    ring: (Arc<Mapping>, usize),
    read_index: (Arc<Mapping>, usize),
    hardware: Queue,
    listing: Listing,
    retired: u64,
    in_flight: VecDeque<InFlight>,
    /// The next packet, copied, whose barrier does not let it begin.
    pending: Option<(Packet, [u8; PACKET_BYTES])>,
    failed: bool,
    spare: Vec<Signal>,
}

/// What a queue works with.
pub(super) struct With<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) agent: &'a Agent,
    pub(super) memory: &'a RocrMemory,
    pub(super) pause: Option<&'a Pause>,
    pub(super) lease: &'a dyn Lease,
}

impl TenantQueue {
    /// Makes the hardware queue for a tenant's ring.
    pub(super) fn new(
        agent: &Agent,
        memory: &RocrMemory,
        pause: Option<&Pause>,
        handle: QueueHandle,
        spec: QueueSpec,
    ) -> Result<TenantQueue, DeviceError> {
        let bad = DeviceError::Ring { ring: spec.ring, slots: spec.slots };
        let bytes = u64::from(spec.slots) * PACKET_BYTES as u64;
        let shaped = spec.slots.is_power_of_two()
            && spec.ring.is_multiple_of(PACKET_BYTES as u64)
            && spec.read_index.is_multiple_of(8);
        let places = memory.host(spec.ring, bytes).zip(memory.host(spec.read_index, 8));
        let Some((ring, read_index)) = places.filter(|_| shaped) else { return Err(bad) };
        let (hardware, listing) = listing::queue(agent, HARDWARE_SLOTS, pause)?;
        Ok(TenantQueue {
            handle,
            spec,
            ring,
            read_index,
            hardware,
            listing,
            retired: 0,
            in_flight: VecDeque::new(),
            pending: None,
            failed: false,
            spare: Vec::new(),
        })
    }

    /// Whether the hardware has packets of it.
    pub(super) fn is_busy(&self) -> bool {
        !self.failed && self.in_flight.iter().any(|p| p.done.is_some())
    }

    /// Whether it can be taken off the device while it runs.
    pub(super) fn can_suspend(&self) -> bool {
        self.listing.can_leave()
    }

    /// Whether the hardware has it on its list.
    pub(super) fn is_listed(&self) -> bool {
        self.listing.is_listed()
    }

    /// Takes it off the device, whether anything of it runs or not.
    pub(super) fn leave(&mut self, pause: &Pause) -> Result<(), PauseError> {
        self.listing.leave(Some(pause))
    }

    /// Puts it back if anything of it ran.
    pub(super) fn resume(&mut self, pause: &Pause) -> Result<(), PauseError> {
        if self.is_busy() { self.listing.enter(Some(pause)) } else { Ok(()) }
    }

    /// Asks the driver about this queue: an error says that the device is gone.
    pub(super) fn ping(&self, pause: &Pause) -> Result<(), PauseError> {
        self.listing.ping(pause)
    }

    /// Returns the kernel object of the dispatch that has been on the hardware longest.
    pub(super) fn oldest_kernel(&self) -> Option<u64> {
        self.in_flight.iter().find(|p| p.done.is_some()).map(|p| p.kernel_object)
    }

    /// Changes how urgent it is. While it is off the list that is for the driver to hear when it comes back: the runtime's own call would put it there.
    pub(super) fn set_priority(&mut self, priority: Priority) -> Result<(), DeviceError> {
        self.listing.set_priority(priority);
        if self.listing.is_listed() {
            self.hardware.set_priority(priority)?;
        }
        Ok(())
    }

    pub(super) fn set_cu_mask(&mut self, words: &[u32]) -> Result<(), DeviceError> {
        Ok(self.hardware.set_cu_mask(words)?)
    }

    /// Waits a little for the oldest packet in flight.
    pub(super) fn wait(&self, patience: Duration, hz: u64) {
        if let Some(signal) = self.in_flight.iter().find_map(|p| p.done.as_ref()) {
            signal.wait_done(patience, hz);
        }
    }

    /// Whether there is anything to do: work in flight, or a packet that may begin.
    pub(super) fn runnable(&self, memory: &RocrMemory) -> bool {
        if self.failed {
            return false;
        }
        if self.is_busy() {
            return true;
        }
        match &self.pending {
            Some((packet, _)) => self.satisfied(packet, memory).unwrap_or(true),
            None => match self.copy() {
                None => false,
                Some(bytes) => Packet::parse(&bytes).map_or(true, |p| self.satisfied(&p, memory).unwrap_or(true)),
            },
        }
    }

    /// Completes what has ended and, with `feed`, begins what can begin. Returns whether anything changed.
    pub(super) fn poll(&mut self, with: &With<'_>, feed: bool) -> bool {
        if self.failed {
            return false;
        }
        if let Some(fault) = self.hardware.fault() {
            let (kind, text) = (class(fault.status), fault.text);
            let kernel_object = self.oldest_kernel();
            let (address, pc, packet) = (None, None, self.retired);
            self.fail(with, &DeviceFault { kind, address, pc, kernel_object, packet, text });
            return true;
        }
        let ended = self.complete(with);
        let begun = if feed { self.begin(with) } else { Ok(false) };
        match (ended, begun) {
            (Ok(ended), Ok(begun)) => ended | begun,
            (Err(fault), _) | (_, Err(fault)) => {
                self.fail(with, &fault);
                true
            }
        }
    }

    /// Ends the queue; what it had in flight is over.
    pub(super) fn fail(&mut self, with: &With<'_>, fault: &DeviceFault) {
        if !self.failed {
            self.failed = true;
            self.pending = None;
            with.lease.queue_failed(self.handle, fault);
        }
    }

    fn complete(&mut self, with: &With<'_>) -> Result<bool, DeviceFault> {
        let mut changed = false;
        let mut at = 0;
        while at < self.in_flight.len() {
            let packet = &mut self.in_flight[at];
            let number = self.retired + at as u64;
            let Some(done) = packet.done.take_if(|signal| signal.load() <= 0) else {
                at += 1;
                continue;
            };
            let (completion, dispatch) = (packet.completion, packet.dispatch);
            let times = done.times(with.agent).ok();
            done.store(1);
            self.spare.push(done);
            let given_back = self.give_back();
            self.decrement(with, completion, times, number)?;
            if dispatch {
                with.lease.dispatch_ended(self.handle, number);
            }
            changed = true;
            // Giving slots back shifts the window.
            at = (at + 1).saturating_sub(given_back);
        }
        Ok(changed)
    }

    /// Gives back the slots of the oldest packets as far as they are done; returns how many.
    fn give_back(&mut self) -> usize {
        let mut count = 0;
        while self.in_flight.front().is_some_and(|p| p.done.is_none()) {
            self.in_flight.pop_front();
            let header = self.ring.0.atomic_u32(self.slot(self.retired));
            self.retired += 1;
            let index = self.read_index.0.atomic_u64(self.read_index.1);
            // PANIC free: both were inside their mappings when the queue was made, and mappings do not shrink.
            if let (Some(header), Some(index)) = (header, index) {
                header.store(u32::from(TYPE_INVALID), Ordering::Release);
                index.store(self.retired, Ordering::Release);
            }
            count += 1;
        }
        count
    }

    /// Returns where in the ring's mapping packet `number` lies.
    fn slot(&self, number: u64) -> usize {
        self.ring.1 + (number & (u64::from(self.spec.slots) - 1)) as usize * PACKET_BYTES
    }

    /// Copies the next packet out of the ring, if there is one.
    fn copy(&self) -> Option<[u8; PACKET_BYTES]> {
        let slot = self.slot(self.retired + self.in_flight.len() as u64);
        let first = self.ring.0.atomic_u32(slot)?.load(Ordering::Acquire);
        if Header(first as u16).kind() == TYPE_INVALID {
            return None;
        }
        let mut bytes = [0; PACKET_BYTES];
        self.ring.0.read(slot, &mut bytes).ok()?;
        // The header that was acquired is the one that counts, whatever the bytes say by now.
        bytes[..4].copy_from_slice(&first.to_le_bytes());
        Some(bytes)
    }

    fn begin(&mut self, with: &With<'_>) -> Result<bool, DeviceFault> {
        let mut changed = false;
        while self.in_flight.len() < WINDOW.min(self.spec.slots as usize) {
            let number = self.retired + self.in_flight.len() as u64;
            let refused = |text: String| DeviceFault {
                kind: FaultClass::Packet,
                address: None,
                pc: None,
                kernel_object: None,
                packet: number,
                text: format!("packet {number}: {text}"),
            };
            let (packet, bytes) = match self.pending.take() {
                Some(pending) => pending,
                None => match self.copy() {
                    Some(bytes) => (Packet::parse(&bytes).map_err(|e| refused(e.to_string()))?, bytes),
                    None => break,
                },
            };
            if !self.satisfied(&packet, with.memory).map_err(|signal| unreachable_signal(signal, number))? {
                self.pending = Some((packet, bytes));
                break;
            }
            let (kernel_object, done) = match &packet.body {
                Body::Kernel(kernel) => {
                    check(kernel, with.memory).map_err(refused)?;
                    (kernel.kernel_object, Some(self.forward(with, bytes).map_err(refused)?))
                }
                Body::Vendor(bytes) => {
                    return Err(refused(format!("vendor packet format {} is not processed", bytes[2])));
                }
                Body::BarrierAnd(_) | Body::BarrierOr(_) | Body::BarrierValue { .. } => (0, None),
            };
            let (completion, dispatch) = (packet.completion, done.is_some());
            self.in_flight.push_back(InFlight { completion, kernel_object, done, dispatch });
            with.lease.packet_began(self.handle, number, dispatch);
            if !dispatch {
                self.give_back();
                let now = crate::clock::now_ns();
                self.decrement(with, completion, Some((now, now)), number)?;
            }
            changed = true;
        }
        Ok(changed)
    }

    /// Puts a packet into the hardware's queue, with a signal of ours.
    fn forward(&mut self, with: &With<'_>, mut bytes: [u8; PACKET_BYTES]) -> Result<Signal, String> {
        // The packet is not to blame if this fails: it makes no progress then, and the ping that follows says that the device is gone.
        let _ = self.listing.enter(with.pause);
        let signal = match self.spare.pop() {
            Some(signal) => signal,
            None => Signal::new(with.runtime, 1).map_err(|error| error.to_string())?,
        };
        bytes[PACKET_BYTES - 8..].copy_from_slice(&signal.handle().to_le_bytes());
        match self.hardware.submit(&bytes) {
            Some(_) => Ok(signal),
            None => Err("the hardware's queue is full although it has few packets".to_owned()),
        }
    }

    /// Whether a packet's barrier bit and dependencies let it begin. The error is a signal that is nowhere.
    fn satisfied(&self, packet: &Packet, memory: &RocrMemory) -> Result<bool, u64> {
        if packet.header.barrier() && self.is_busy() {
            return Ok(false);
        }
        let value = |signal: u64| -> Result<i64, u64> {
            word(memory, signal.wrapping_add(signal::VALUE)).map(u64::cast_signed).ok_or(signal)
        };
        match &packet.body {
            Body::Kernel(_) | Body::Vendor(_) => Ok(true),
            Body::BarrierAnd(signals) => {
                for &signal in signals.iter().filter(|&&s| s != 0) {
                    if value(signal)? != 0 {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Body::BarrierOr(signals) => {
                for &signal in signals.iter().filter(|&&s| s != 0) {
                    if value(signal)? == 0 {
                        return Ok(true);
                    }
                }
                Ok(*signals == [0; BARRIER_SIGNALS])
            }
            // A null signal counts as satisfied: HIP 5.7 and later record events so.
            Body::BarrierValue { signal: 0, .. } => Ok(true),
            Body::BarrierValue { signal, operand, mask, condition } => {
                let left = value(*signal)? & mask;
                Ok(match condition {
                    Condition::Eq => left == *operand,
                    Condition::Ne => left != *operand,
                    Condition::Lt => left < *operand,
                    Condition::Gte => left >= *operand,
                })
            }
        }
    }

    /// Writes a completion signal's times, then decrements its value, then tells the lease.
    fn decrement(
        &self,
        with: &With<'_>,
        handle: u64,
        times: Option<(u64, u64)>,
        number: u64,
    ) -> Result<(), DeviceFault> {
        if handle == 0 {
            return Ok(());
        }
        let lost = || unreachable_signal(handle, number);
        let (mapping, at) = with.memory.host(handle, signal::BYTES).ok_or_else(lost)?;
        let field = |offset: u64| mapping.atomic_u64(at + offset as usize).ok_or_else(lost);
        if let Some((start, end)) = times {
            field(signal::START_TS)?.store(start, Ordering::Release);
            field(signal::END_TS)?.store(end, Ordering::Release);
        }
        field(signal::VALUE)?.fetch_sub(1, Ordering::SeqCst);
        with.lease.signal_changed(handle);
        Ok(())
    }
}

/// Returns the word at an address of host memory.
fn word(memory: &RocrMemory, address: u64) -> Option<u64> {
    let (mapping, at) = memory.host(address, 8)?;
    Some(mapping.atomic_u64(at)?.load(Ordering::Acquire))
}

fn unreachable_signal(signal: u64, number: u64) -> DeviceFault {
    DeviceFault {
        kind: FaultClass::Memory,
        address: Some(signal),
        pc: None,
        kernel_object: None,
        packet: number,
        text: format!("packet {number}: there is no signal at {signal:#x}"),
    }
}

/// Checks what hardware would answer with a stopped queue or worse.
fn check(kernel: &KernelDispatch, memory: &RocrMemory) -> Result<(), String> {
    let dimensions = usize::from(kernel.dimensions());
    if !(1..=3).contains(&dimensions) {
        return Err(format!("the packet's setup asks for {dimensions} dimensions: use 1, 2 or 3"));
    }
    let (grid, workgroup) = (&kernel.grid[..dimensions], &kernel.workgroup[..dimensions]);
    if grid.contains(&0) || workgroup.contains(&0) {
        return Err(format!("a dimension is zero: grid {grid:?}, work-group {workgroup:?}"));
    }
    let items: u64 = workgroup.iter().map(|&n| u64::from(n)).product();
    if items > u64::from(MAX_WORKGROUP_ITEMS) {
        return Err(format!("a work-group of {items} work-items: at most {MAX_WORKGROUP_ITEMS}"));
    }
    if kernel.group_segment_size as usize > LDS_BYTES {
        return Err(format!("{} bytes of LDS: a compute unit has {LDS_BYTES}", kernel.group_segment_size));
    }
    if !memory.is_kernel(kernel.kernel_object) {
        return Err(format!("no code object of this session has a kernel at {:#x}", kernel.kernel_object));
    }
    if kernel.kernarg_address != 0 && !memory.has(kernel.kernarg_address) {
        return Err(format!("the arguments at {:#x} are not in memory of this session", kernel.kernarg_address));
    }
    Ok(())
}

/// Returns what a queue's error status means for its tenant.
fn class(status: raw::hsa_status_t) -> FaultClass {
    match status {
        raw::HSA_STATUS_ERROR_MEMORY_APERTURE_VIOLATION | raw::HSA_STATUS_ERROR_MEMORY_FAULT => FaultClass::Memory,
        raw::HSA_STATUS_ERROR_ILLEGAL_INSTRUCTION => FaultClass::Instruction,
        raw::HSA_STATUS_ERROR_EXCEPTION => FaultClass::Trap,
        _ => FaultClass::Packet,
    }
}
