//! What a running device asks and tells: whether to stop, which packets began and ended, who must be woken.
//!
//! One [`Hooks`] lives for one run. The question whether to stop comes every few hundred instructions, so it is answered from a few
//! loads; the clock is asked every [`QUESTIONS_PER_CLOCK`] times.

use super::link::Charge;
use super::recorder::Recorder;
use super::shared::{Shared, wake};
use crate::clock::now_ns;
use crate::device::{DeviceFault, FaultClass, Lease, QueueHandle};
use gcn::aql::{Header, TYPE_INVALID};
use proto::gate::{DispatchRecord, GateLayout, Level};
use proto::message::worker::ChargeKind;
use proto::message::{Fault, FaultKind};
use proto::queue::QueueLayout;
use proto::text::Text;
use proto::{DeviceAddress, Instant, LeaseGeneration, QueueId};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sys::mapping::Mapping;
use sys::memfd::MemFd;

/// How many questions are answered from memory before the clock is asked again.
const QUESTIONS_PER_CLOCK: u32 = 16;
/// How long a run lasts before it comes back to have its counters written, though nobody asked.
const TICK_NS: u64 = 5_000_000;

/// Where a dispatch packet names its kernel object.
const KERNEL_OBJECT: usize = 32;

/// A queue as the run thread knows it.
pub(super) struct Face {
    pub(super) id: QueueId,
    pub(super) handle: QueueHandle,
    pub(super) memory: Arc<Mapping>,
    pub(super) layout: QueueLayout,
}

impl Face {
    /// Whether there is no packet to be done. Only headers count: a producer may publish its write index late.
    pub(super) fn is_empty(&self) -> bool {
        let next = self.memory.load_u64(QueueLayout::READ_INDEX).unwrap_or_default();
        self.memory.load_u64(self.layout.slot(next)).is_ok_and(|packet| Header(packet as u16).kind() == TYPE_INVALID)
    }

    /// Wakes producers that wait for room.
    pub(super) fn ring_room(&self) {
        if let Some(word) = self.memory.atomic_u32(QueueLayout::ROOM_WAKE) {
            wake(word);
        }
    }
}

/// Why a run was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Why {
    Nothing = 0,
    /// Something waits to be done between runs.
    Called,
    /// Only to have counters written.
    Tick,
    Preempted,
    SliceEnd,
    Runaway,
}

/// A dispatch in flight.
struct InFlight {
    queue: QueueHandle,
    packet: u64,
    seen_at: u64,
    began_at: u64,
    /// What [`Flight::ran`] said when it began.
    began: u64,
    /// The kernel object it names, if somebody traces.
    object: u64,
}

/// The dispatches in flight, and how long the device has run for this session.
#[derive(Default)]
pub(super) struct Flight {
    /// In the order they began.
    list: Vec<InFlight>,
    /// Nanoseconds in earlier runs.
    ran_before: u64,
    run_began: u64,
    recorder: Recorder,
}

impl Flight {
    fn ran(&self, now: u64) -> u64 {
        self.ran_before + now.saturating_sub(self.run_began)
    }

    /// Returns queue and packet of the dispatch that has run longest, and for how long, between two runs.
    pub(super) fn oldest(&self) -> Option<(QueueHandle, u64, u64)> {
        self.list.first().map(|d| (d.queue, d.packet, self.ran_before - d.began))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn begin_run(&mut self, now: u64) {
        self.run_began = now;
    }

    pub(super) fn end_run(&mut self, now: u64) {
        self.ran_before = self.ran(now);
        self.run_began = now;
    }

    /// Forgets what a queue had in flight.
    pub(super) fn drop_queue(&mut self, queue: QueueHandle) {
        self.list.retain(|d| d.queue != queue);
    }
}

/// Private-memory backing that the session is charged for.
pub(super) type Scratch = Mutex<Option<Charge>>;

/// See the module.
pub(super) struct Hooks<'a> {
    shared: &'a Shared,
    queues: &'a [Face],
    flight: &'a Mutex<Flight>,
    scratch: &'a Scratch,
    generation: LeaseGeneration,
    /// When the packets that the first look finds were seen.
    noticed: AtomicU64,
    /// Since when the session has waited for this lease; 0 once its first instruction has run.
    waiting_since: AtomicU64,
    started: bool,
    tick_at: u64,
    runaway_at: AtomicU64,
    max_dispatch: u64,
    questions: AtomicU32,
    why: AtomicU8,
    stop_seen: AtomicU64,
    failed: AtomicU8,
}

/// What a run begins with.
pub(super) struct Begin {
    pub(super) generation: LeaseGeneration,
    pub(super) now: u64,
    /// When the packets that the first look will find were seen, or 0 for now.
    pub(super) noticed: u64,
    /// Since when the session has waited for the lease, or 0 if its first instruction has run.
    pub(super) waiting_since: u64,
    /// Whether the first instruction of this lease has run.
    pub(super) started: bool,
}

impl<'a> Hooks<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        queues: &'a [Face],
        flight: &'a Mutex<Flight>,
        scratch: &'a Scratch,
        begin: &Begin,
    ) -> Hooks<'a> {
        let hooks = Hooks {
            shared,
            queues,
            flight,
            scratch,
            generation: begin.generation,
            noticed: AtomicU64::new(begin.noticed),
            waiting_since: AtomicU64::new(begin.waiting_since),
            started: begin.started,
            tick_at: begin.now.saturating_add(TICK_NS),
            runaway_at: AtomicU64::new(u64::MAX),
            max_dispatch: shared.gate.max_dispatch().0,
            questions: AtomicU32::new(0),
            why: AtomicU8::new(Why::Nothing as u8),
            stop_seen: AtomicU64::new(0),
            failed: AtomicU8::new(0),
        };
        let mut flight = hooks.flight();
        flight.begin_run(begin.now);
        hooks.watch_oldest(&flight, begin.now);
        drop(flight);
        hooks
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in the gate which dispatch runs longest, and finds out when that will be too long.
    fn watch_oldest(&self, flight: &Flight, now: u64) {
        let gate = &self.shared.gate;
        match flight.list.first() {
            None => {
                gate.put(GateLayout::DISPATCH_SINCE, 0);
                gate.put(GateLayout::DISPATCH_RAN, 0);
                self.runaway_at.store(u64::MAX, Ordering::Relaxed);
            }
            Some(oldest) => {
                let ran = flight.ran(now) - oldest.began;
                gate.put(GateLayout::DISPATCH_RAN, ran);
                gate.put(GateLayout::DISPATCH_SINCE, now);
                let left = self.max_dispatch.saturating_sub(ran);
                let at = if self.max_dispatch == 0 { u64::MAX } else { now.saturating_add(left) };
                self.runaway_at.store(at, Ordering::Relaxed);
            }
        }
    }

    /// Returns the kernel object that a packet names, by what its slot says: the tenant's own claim, good for a name.
    #[cold]
    fn object_of(&self, queue: QueueHandle, packet: u64) -> u64 {
        let face = self.face(queue);
        face.and_then(|face| face.memory.load_u64(face.layout.slot(packet) + KERNEL_OBJECT).ok()).unwrap_or(0)
    }

    /// Tells those who trace of a dispatch that has ended.
    #[cold]
    fn trace(&self, recorder: &mut Recorder, done: &InFlight, now: u64) {
        let Some(face) = self.face(done.queue) else { return };
        let [seen_at, began_at, ended_at] = [done.seen_at, done.began_at, now].map(Instant);
        let name = recorder.name(&self.shared.gate, &self.shared.kernel_name(done.object));
        let (queue, packet, object) = (face.id, done.packet, done.object);
        let record = DispatchRecord { queue, packet, name, object, seen_at, began_at, ended_at };
        recorder.write(&self.shared.gate, &record);
    }

    fn face(&self, handle: QueueHandle) -> Option<&Face> {
        self.queues.iter().find(|face| face.handle == handle)
    }

    /// Why the run was stopped, and when that was seen.
    pub(super) fn stopped(&self) -> (Why, u64) {
        let why = match self.why.load(Ordering::Acquire) {
            0 => Why::Nothing,
            1 => Why::Called,
            2 => Why::Tick,
            3 => Why::Preempted,
            4 => Why::SliceEnd,
            _ => Why::Runaway,
        };
        (why, self.stop_seen.load(Ordering::Acquire))
    }

    /// Whether a queue met an error in this run.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) != 0
    }

    /// Whether the first instruction (or packet) of the lease has run.
    pub(super) fn has_started(&self) -> bool {
        self.started || self.questions.load(Ordering::Relaxed) != 0
    }

    #[cold]
    fn stop(&self, why: Why) -> bool {
        self.stop_seen.store(now_ns(), Ordering::Release);
        self.why.store(why as u8, Ordering::Release);
        true
    }

    /// Stamps the first instruction of the lease: the device asks whether to stop right before it.
    #[cold]
    fn stamp_first(&self) {
        let now = now_ns();
        self.shared.gate.put(GateLayout::FIRST_INSTRUCTION_AT, now);
        let since = self.waiting_since.swap(0, Ordering::Relaxed);
        if since != 0 {
            self.shared.gate.record(GateLayout::LEASE_WAIT, now.saturating_sub(since));
        }
    }
}

impl Lease for Hooks<'_> {
    fn should_stop(&self) -> bool {
        if self.why.load(Ordering::Relaxed) != 0 {
            return true;
        }
        if self.shared.run_thread_is_called() {
            return self.stop(Why::Called);
        }
        let level = self.shared.gate.level(self.generation);
        if level == Level::Suspend {
            return self.stop(Why::Preempted);
        }
        let question = self.questions.load(Ordering::Relaxed);
        self.questions.store(question.wrapping_add(1).max(1), Ordering::Relaxed);
        if question == 0 && !self.started {
            self.stamp_first();
        }
        self.noticed.store(0, Ordering::Relaxed);
        if question % QUESTIONS_PER_CLOCK == QUESTIONS_PER_CLOCK - 1 {
            let now = now_ns();
            if level == Level::Yield && now >= self.shared.gate.slice_deadline() {
                return self.stop(Why::SliceEnd);
            }
            if now >= self.runaway_at.load(Ordering::Relaxed) {
                return self.stop(Why::Runaway);
            }
            if now >= self.tick_at {
                return self.stop(Why::Tick);
            }
        }
        false
    }

    fn signal_changed(&self, signal: u64) {
        self.shared.ring_signal(signal);
    }

    fn interrupt(&self) {
        self.shared.ring_all_signals();
    }

    fn hidden_memory(&self, bytes: u64) -> Option<MemFd> {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        // The device has let go of what it had before.
        if let Some(old) = scratch.take() {
            self.shared.link.release(old);
        }
        let (charge, memory) = self.shared.link.charge_memory(ChargeKind::Scratch, bytes).ok()?;
        *scratch = Some(charge);
        Some(memory)
    }

    fn queue_failed(&self, queue: QueueHandle, fault: &DeviceFault) {
        self.failed.store(1, Ordering::Relaxed);
        self.shared.gate.add(GateLayout::FAULTS, 1);
        if matches!(fault.kind, FaultClass::Packet | FaultClass::Resources) {
            self.shared.gate.add(GateLayout::BAD_PACKETS, 1);
        }
        let mut flight = self.flight();
        flight.drop_queue(queue);
        self.watch_oldest(&flight, now_ns());
        drop(flight);
        let Some(face) = self.face(queue) else { return };
        let name = fault.kernel_object.map(|object| self.shared.kernel_name(object));
        self.shared.fault(Fault {
            kind: match fault.kind {
                FaultClass::Memory => FaultKind::Memory,
                FaultClass::Instruction => FaultKind::Instruction,
                FaultClass::Trap => FaultKind::Trap,
                FaultClass::Packet => FaultKind::Packet,
                FaultClass::Resources => FaultKind::Resources,
            },
            queue: face.id,
            packet: fault.packet,
            address: DeviceAddress(fault.address.unwrap_or(0)),
            pc: DeviceAddress(fault.pc.unwrap_or(0)),
            kernel: Text::truncated(name.as_deref().unwrap_or("")),
            detail: Text::truncated(&fault.text),
        });
        face.ring_room();
    }

    fn packet_began(&self, queue: QueueHandle, packet: u64, dispatch: bool) {
        self.shared.gate.add(GateLayout::PACKETS, 1);
        if !dispatch {
            return;
        }
        let now = now_ns();
        let noticed = self.noticed.load(Ordering::Relaxed);
        let seen_at = if noticed == 0 { now } else { noticed.min(now) };
        let object = if self.shared.gate.is_traced() { self.object_of(queue, packet) } else { 0 };
        let mut flight = self.flight();
        let began = flight.ran(now);
        flight.list.push(InFlight { queue, packet, seen_at, began_at: now, began, object });
        if flight.list.len() == 1 {
            self.watch_oldest(&flight, now);
        }
    }

    fn dispatch_ended(&self, queue: QueueHandle, packet: u64) {
        let now = now_ns();
        let mut flight = self.flight();
        if let Some(at) = flight.list.iter().position(|d| d.packet == packet && d.queue == queue) {
            let done = flight.list.remove(at);
            self.shared.gate.record(GateLayout::DISPATCH_LATENCY, now.saturating_sub(done.seen_at));
            if at == 0 {
                self.watch_oldest(&flight, now);
            }
            if self.shared.gate.is_traced() {
                self.trace(&mut flight.recorder, &done, now);
            }
        }
        drop(flight);
        self.shared.gate.add(GateLayout::DISPATCHES, 1);
        if let Some(face) = self.face(queue) {
            face.ring_room();
        }
    }
}

/// Returns the fault of a dispatch that ran too long. Its kernel is named by what its slot says, which is the tenant's own claim.
pub(super) fn runaway(shared: &Shared, face: &Face, packet: u64) -> Fault {
    let object = face.memory.load_u64(face.layout.slot(packet) + KERNEL_OBJECT).unwrap_or(0);
    Fault {
        kind: FaultKind::Runaway,
        queue: face.id,
        packet,
        address: DeviceAddress(0),
        pc: DeviceAddress(0),
        kernel: Text::truncated(&shared.kernel_name(object)),
        detail: Text::EMPTY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_on_the_device_makes_a_dispatch_older() {
        let mut flight = Flight::default();
        flight.begin_run(1_000);
        flight.list.push(InFlight {
            queue: QueueHandle(1),
            packet: 7,
            seen_at: 0,
            began_at: 0,
            began: flight.ran(1_200),
            object: 0,
        });
        flight.end_run(1_500);
        flight.begin_run(9_000);
        flight.list.push(InFlight {
            queue: QueueHandle(2),
            packet: 1,
            seen_at: 0,
            began_at: 0,
            began: flight.ran(9_100),
            object: 0,
        });
        flight.end_run(9_150);
        assert_eq!(flight.oldest(), Some((QueueHandle(1), 7, 450)));
        flight.drop_queue(QueueHandle(1));
        assert_eq!(flight.oldest(), Some((QueueHandle(2), 1, 50)));
        flight.drop_queue(QueueHandle(2));
        assert!(flight.is_empty());
    }
}
