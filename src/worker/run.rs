//! The thread that owns the device: waits for work, asks for the lease, runs, parks, gives the lease back.
//!
//! ```text
//!   idle ──announce──► runnable ──(granted)──► leased ──drained──► parked
//!     ▲                   ▲                    │    ▲                │  │
//!     └────drained────────┴────gives back──────┘    └────unpark──────┘  └──(taken)──► idle
//! ```
//!
//! Promises:
//! - the device's compute units are touched only between a grant and giving the lease back;
//! - a drained holder parks, and runs again by one compare-and-swap; nobody else is asked or woken;
//! - every lease has a report: what happened when, stored before the word says that the lease is over;
//! - a device that is lost ends the session, and the lease is given back only if none of its waves can still run;
//! - commands are done between two runs, with or without the lease;
//! - a session moves to another partition without the lease only, and says so when nothing of the old one is mapped any more.

use super::LEASE;
use super::lease::{Begin, Face, Flight, Hooks, Scratch, Why, runaway};
use super::shared::{Command, Shared};
use crate::clock::now_ns;
use crate::device::soft::ComputeUnits;
use crate::device::{ContextBytes, Device, LossCause, QueueHandle, RunEnd};
use proto::gate::{GateLayout, LeaseState, Level, SavedDispatch, Scrub, StopReason};
use proto::message::EndReason;
use proto::message::worker::Moved;
use proto::queue::QueueLayout;
use proto::range::RingSlots;
use proto::text::Text;
use proto::wake::{RECHECK, SPIN, SPIN_IN_A_ROW, WORTH_LOOKING};
use proto::{DeviceGeneration, LeaseGeneration, PartitionId, QueueId};
use std::sync::{Arc, Mutex, PoisonError};
use sys::clock::Deadline;
use sys::event::EventFd;
use sys::hardware::HardwareMemory;
use sys::memfd::MemFd;
use sys::wake::{self, Habit, Looks, Patience};

/// See the module.
pub(super) struct Runner {
    device: Box<dyn Device>,
    /// What it runs on, if that can be changed for the compute units of another partition.
    units: Option<ComputeUnits>,
    shared: Arc<Shared>,
    /// Wakes the broker.
    bell: EventFd,
    /// Which of the device's lives this session began in.
    generation: DeviceGeneration,
    /// Whether what other tenants left on the compute units is wiped.
    scrub: bool,
    queues: Vec<Face>,
    flight: Mutex<Flight>,
    scratch: Scratch,
    lease: Option<LeaseGeneration>,
    /// The first instruction of the lease has run.
    started: bool,
    suspended: bool,
    /// Since when a lease is waited for.
    waiting_since: u64,
    /// Whether work follows work.
    habit: Habit,
    /// When work was seen while the lease was held.
    noticed: u64,
    /// The last lease was asked back.
    gave_way: bool,
    parked_at: u64,
    parked_total: u64,
}

impl Runner {
    pub(super) fn new(
        device: Box<dyn Device>,
        units: Option<ComputeUnits>,
        shared: Arc<Shared>,
        bell: EventFd,
        generation: DeviceGeneration,
        scrub: bool,
    ) -> Runner {
        Runner {
            device,
            units,
            shared,
            bell,
            generation,
            scrub,
            queues: Vec::new(),
            flight: Mutex::default(),
            scratch: Mutex::default(),
            lease: None,
            started: false,
            suspended: false,
            waiting_since: 0,
            habit: Habit::default(),
            noticed: 0,
            gave_way: false,
            parked_at: 0,
            parked_total: 0,
        }
    }

    /// Runs until the session ends; by then the lease has been given back.
    pub(super) fn run(mut self) {
        while !self.shared.is_ending() {
            if self.look_for_loss() {
                break;
            }
            if self.shared.run_thread_is_called() {
                self.shared.take_call();
                self.do_commands();
                continue;
            }
            match self.shared.gate.state() {
                Some(LeaseState::Idle) => self.idle(),
                Some(LeaseState::Runnable) => self.wait_for_lease(),
                Some(LeaseState::Leased) => self.turn(),
                Some(LeaseState::Parked) => self.parked(),
                // The order that says why is on its way.
                Some(LeaseState::Stopping) => self.wait(|_| false),
                None => self.shared.end(EndReason::BrokerDied, "the gate holds a word that means nothing"),
            }
        }
        if self.lease.is_some() {
            self.give_back(StopReason::Ending, now_ns(), false);
        }
        self.shared.close_commands();
    }

    /// Ends the session if its device is lost. Returns whether it is.
    fn look_for_loss(&self) -> bool {
        let Some(lost) = self.device.lost() else { return false };
        match lost.cause {
            LossCause::Fault => self.shared.end(EndReason::Faulted, lost.text),
            LossCause::Device => {
                let text = format!("generation {} of the device is lost: {}", self.generation.0, lost.text);
                self.shared.end(EndReason::DeviceLost, text);
            }
        }
        true
    }

    /// Sleeps until `ready`, or the thread is called.
    fn wait(&self, ready: impl Fn(&Self) -> bool) {
        let words = [self.shared.gate.wake(), self.shared.doorbell()];
        // Who was given work soon after the last is about to be given more; who waits for its turn waits long.
        let waits_for_lease = self.shared.gate.state() == Some(LeaseState::Runnable);
        let soon = self.habit.is_answered_soon() && !waits_for_lease;
        // Somebody else has the device, maybe on this very processor: who looks on there is not asleep when that one comes, but pushed aside.
        let spin_ns = match soon {
            _ if self.gave_way => 0,
            true => SPIN_IN_A_ROW.0,
            false => SPIN.0,
        };
        // Nobody rings when another process changes a signal that a packet waits for, nor when a card is lost.
        let empty = |this: &Self| this.queues.iter().all(Face::is_empty);
        let looks = match waits_for_lease || empty(self) {
            true if self.units.is_some() => Looks::Rarer,
            true => Looks::Even,
            false => Looks::Sooner,
        };
        let news = |this: &Self| looks == Looks::Rarer && !waits_for_lease && !empty(this);
        let ended = |this: &Self| this.shared.run_thread_is_called() || this.device.lost().is_some();
        let done = || (ended(self) || ready(self) || news(self)).then_some(());
        let patience = Patience { spin_ns, recheck_ns: RECHECK.0, looks };
        let begun = now_ns();
        if wake::wait(words, patience, Deadline::NEVER, done).is_err() {
            // The kernel refuses to wait at all: then this is a loop that looks, which is slow and right.
            std::thread::yield_now();
        }
        self.habit.waited(now_ns() - begun, WORTH_LOOKING.0);
    }

    fn ring_broker(&self) {
        // Fails only on a descriptor that is none; a broker that is gone is noticed elsewhere.
        let _ = self.bell.signal();
    }

    fn flight(&self) -> std::sync::MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Without the lease.

    fn idle(&mut self) {
        self.lease = None;
        // The broker may have taken a parked lease without a word.
        self.device.leave();
        if !self.device.runnable() {
            return self.wait(|this| this.device.runnable());
        }
        self.waiting_since = now_ns();
        // Fails when the session is being stopped.
        if self.shared.gate.announce().is_ok() {
            self.ring_broker();
        }
    }

    fn wait_for_lease(&mut self) {
        self.lease = None;
        if self.device.runnable() {
            return self.wait(|this| this.shared.gate.state() != Some(LeaseState::Runnable));
        }
        // Its queue is gone. Fails when the lease came in the meantime.
        let _ = self.shared.gate.withdraw();
    }

    // With it.

    /// Makes the device this session's. Returns whether it may run: not if what others left on it is still there.
    fn begin_lease(&mut self, generation: LeaseGeneration) -> bool {
        let gate = &self.shared.gate;
        gate.begin_report(generation);
        self.lease = Some(generation);
        self.gave_way = false;
        self.started = false;
        self.parked_total = 0;
        if self.scrub && gate.scrub() != Scrub::NONE {
            let begun = now_ns();
            if let Err(error) = self.device.scrub() {
                let text = format!("generation {} of the device is lost: {error}", self.generation.0);
                self.shared.end(EndReason::DeviceLost, text);
                return false;
            }
            gate.put(GateLayout::SCRUB_TIME, now_ns().saturating_sub(begun));
        }
        if std::mem::take(&mut self.suspended) {
            let begun = now_ns();
            self.device.resume();
            gate.put(GateLayout::RESUME_TIME, now_ns().saturating_sub(begun));
        }
        true
    }

    /// Runs once.
    fn turn(&mut self) {
        let generation = self.shared.gate.word().generation();
        if self.lease != Some(generation) && !self.begin_lease(generation) {
            // The session ends, and gives the lease back on its way.
            return;
        }
        let gate = &self.shared.gate;
        let now = now_ns();
        let begin = Begin {
            generation,
            now,
            noticed: std::mem::take(&mut self.noticed),
            waiting_since: if self.started { 0 } else { self.waiting_since },
            started: self.started,
        };
        let hooks = Hooks::new(&self.shared, &self.queues, &self.flight, &self.scratch, &begin);
        let report = self.device.run(&hooks);
        let ended = now_ns();
        let ((why, seen), failed, started) = (hooks.stopped(), hooks.has_failed(), hooks.has_started());
        self.flight().end_run(ended);
        if report.instructions > 0 {
            gate.add(GateLayout::WAVE_INSTRUCTIONS, report.instructions);
            gate.add(GateLayout::BUSY_TIME, ended.saturating_sub(now));
        }
        if !started && report.end == RunEnd::Drained {
            // Nothing but packets without instructions: the switch is over all the same.
            gate.put(GateLayout::FIRST_INSTRUCTION_AT, now);
        }
        self.started |= started || report.end == RunEnd::Drained;
        self.queues.iter().for_each(Face::ring_room);
        match (report.end, why) {
            (RunEnd::Drained, _) => self.drained(generation, failed),
            (RunEnd::Stopped, Why::Preempted) => self.give_back(StopReason::Preempted, seen, true),
            (RunEnd::Stopped, Why::SliceEnd) => self.give_back(StopReason::SliceEnd, seen, true),
            (RunEnd::Stopped, Why::Runaway) => self.runaway(seen),
            (RunEnd::Stopped, Why::Tick | Why::Called | Why::Nothing) => {}
        }
    }

    /// Nothing is left to run: gives the lease back if somebody wants it, else parks it.
    fn drained(&mut self, generation: LeaseGeneration, failed: bool) {
        let reason = if failed { StopReason::Faulted } else { StopReason::Drained };
        let wanted = |this: &Self| this.shared.gate.level(generation) >= Level::Yield;
        if wanted(self) {
            return self.give_back(reason, now_ns(), true);
        }
        self.parked_at = now_ns();
        if self.shared.gate.park(self.parked_at).is_ok() {
            self.shared.gate.add(GateLayout::PARKS, 1);
            // A request written just before the parking was not for nothing: its writer has looked too early to take it.
            if wanted(self) {
                self.give_back(reason, now_ns(), true);
            }
        }
    }

    fn parked(&mut self) {
        let Some(generation) = self.lease else { return };
        let wanted = |this: &Self| this.shared.gate.level(generation) >= Level::Yield;
        self.wait(|this| {
            this.device.runnable() || this.shared.gate.state() != Some(LeaseState::Parked) || wanted(this)
        });
        if !self.device.runnable() {
            if wanted(self) {
                self.give_back(StopReason::Drained, now_ns(), true);
            }
            return;
        }
        let now = now_ns();
        let gate = &self.shared.gate;
        if gate.unpark().is_ok() {
            self.parked_total += now.saturating_sub(self.parked_at);
            gate.put(GateLayout::PARKED_TOTAL, self.parked_total);
            gate.add(GateLayout::UNPARKS, 1);
            self.noticed = now;
        }
    }

    /// Takes the context off the device and gives the lease back. `go_on`: the session wants another if it has work.
    fn give_back(&mut self, reason: StopReason, seen: u64, go_on: bool) {
        // A holder whose device is empty has nothing to save and nothing to bring back.
        let mut context = 0;
        if !self.flight().is_empty() {
            context = self.device.suspend().copied();
            self.suspended = true;
            self.report_saved();
        } else {
            self.device.leave();
        }
        if self.device.lost().is_some_and(|lost| lost.cause == LossCause::Device) {
            // Waves of ours may still run: who has the device next has it when this process is gone. The broker sees to that.
            self.look_for_loss();
            return;
        }
        let now = now_ns();
        let gate = &self.shared.gate;
        gate.end_report(reason, seen, now, context);
        if let Some((_, _, ran)) = self.flight().oldest() {
            gate.put(GateLayout::DISPATCH_RAN, ran);
        }
        self.gave_way = self.lease.is_some_and(|lease| gate.level(lease) >= Level::Yield);
        let more = go_on && self.device.runnable();
        // Fails when it was parked and the broker took it: then it is over just the same, and the broker knows.
        if gate.release(more).is_ok() {
            self.ring_broker();
        }
        self.waiting_since = now;
        self.lease = None;
    }

    /// Says in the gate what was put aside, for whom.
    fn report_saved(&self) {
        let residents = self.device.residents();
        let saved = residents.iter().map(|resident| {
            let ContextBytes { waves, vgpr, sgpr, lds, scratch } = resident.bytes;
            let face = self.queues.iter().find(|face| face.handle == resident.queue);
            SavedDispatch {
                queue: face.map_or(QueueId::default(), |face| face.id),
                packet: resident.packet,
                waves,
                vgpr,
                sgpr,
                lds,
                scratch,
                kernel: Text::truncated(&self.shared.kernel_name(resident.kernel_object)),
            }
        });
        self.shared.gate.put_saved(saved);
    }

    fn runaway(&mut self, seen: u64) {
        let limit = self.shared.gate.max_dispatch().0;
        let oldest = self.flight().oldest();
        self.give_back(StopReason::Faulted, seen, false);
        let Some((handle, packet, ran)) = oldest else { return };
        if let Some(face) = self.queues.iter().find(|face| face.handle == handle) {
            self.shared.gate.add(GateLayout::FAULTS, 1);
            self.shared.fault(runaway(&self.shared, face, packet));
        }
        let ms = |ns: u64| ns / 1_000_000;
        let text = format!("a kernel ran for {} ms, the limit is {} ms", ms(ran), ms(limit));
        self.shared.end(EndReason::Runaway, text);
    }

    // Commands.

    fn do_commands(&mut self) {
        while let Some(command) = self.shared.take_command() {
            // Who asked may be gone by now; then nobody wants to know.
            match command {
                Command::CreateQueue { id, spec, memory, reply } => {
                    let _ = reply.send(self.device.create_queue(spec).map(|handle| {
                        // PANIC free: the slots were checked when the queue object was laid out.
                        if let Some(slots) = RingSlots::new(spec.slots) {
                            self.queues.push(Face { id, handle, memory, layout: QueueLayout::new(slots) });
                        }
                    }));
                }
                Command::DestroyQueue { id, reply } => {
                    self.destroy_queue(id);
                    let _ = reply.send(());
                }
                Command::SetPriority { id, priority, reply } => {
                    let face = self.queues.iter().find(|face| face.id == id).map(|face| face.handle);
                    let _ = reply.send(face.map_or(Ok(()), |handle| self.device.set_priority(handle, priority)));
                }
                Command::SetUnits { mask, reply } => {
                    let _ = reply.send(self.device.set_cu_mask(&mask));
                }
                Command::MoveTo { partition, memory } => self.move_to(partition, &memory),
            }
        }
    }

    /// Goes over to the compute units of another partition. The context is nowhere but in its save area: the broker sends nobody away who has the lease,
    /// and gives none until it has heard that the old ones are let go.
    fn move_to(&mut self, partition: PartitionId, memory: &MemFd) {
        let lent = matches!(self.shared.gate.state(), Some(LeaseState::Leased | LeaseState::Parked));
        let moved = match &self.units {
            _ if lent => Err("while it had the device".to_owned()),
            Some(units) => HardwareMemory::shared(memory, LEASE)
                .map_err(|error| error.to_string())
                .and_then(|hardware| units.exchange(hardware).map_err(|error| error.to_string())),
            None => Err("although its device is not divided".to_owned()),
        };
        match moved {
            Ok(()) => self.shared.link.say(Moved { partition }),
            Err(why) => {
                self.shared.end(EndReason::StartFailed, format!("the session cannot move to another partition: {why}"));
            }
        }
    }

    fn destroy_queue(&mut self, id: QueueId) {
        let Some(at) = self.queues.iter().position(|face| face.id == id) else { return };
        let face = self.queues.remove(at);
        let handle: QueueHandle = face.handle;
        self.device.destroy_queue(handle);
        self.flight().drop_queue(handle);
    }
}
