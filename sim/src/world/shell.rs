//! The daemon's shell, as far as it can be seen from the broker and from a worker.
//!
//! It does what `broker::contract` asks of a shell: carries actions out in order and answers those that have an answer
//! before anything else reaches the broker. Sometimes it answers twice.

use std::collections::VecDeque;

use broker::{Action, AdminReply, Event, Input, actions_per_input_max};
use proto::gate::{Level, Request, Scrub};
use proto::message::worker::{Partition, Ready};
use proto::message::{EndReason, WorkerOrder};
use proto::text::Text;
use proto::{Bytes, Instant, LeaseGeneration, PartitionId, SessionId};

use super::{Happening, Said, World, next_request, switch_total};
use crate::broken::Broken;
use crate::random::Random;
use crate::scenario::{Habit, Vice};
use crate::worker::Worker;

impl World<'_> {
    /// Hands an input to the broker and carries out what it says, answers included.
    pub(super) fn tell(&mut self, input: Input) -> Result<(), Broken> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.books.note_input(&input);
            for input in self.line.input(input) {
                self.trace.line(self.now, '>', &input);
                self.broker.handle(self.now, input);
                let mut actions = 0;
                while let Some(action) = self.broker.poll_action() {
                    actions += 1;
                    for action in self.line.action(action) {
                        self.trace.line(self.now, '<', &action);
                        self.books.note_action(&action, &self.broker)?;
                        inputs.extend(self.perform(action)?);
                    }
                }
                if actions > actions_per_input_max(self.workers.len() + 1) {
                    return Err(Broken::TooManyActions(actions));
                }
            }
        }
        self.books.compare(&self.broker)?;
        self.set_timer();
        Ok(())
    }

    fn set_timer(&mut self) {
        let wanted = self.broker.poll_timeout();
        if wanted != self.timer.1 {
            self.timer = (self.timer.0 + 1, wanted);
            if let Some(at) = wanted {
                let late = self.random.within(self.scenario.delays.timer);
                self.agenda.enter(at.max(self.now).after(late), Happening::Timer(self.timer.0));
            }
        }
    }

    fn perform(&mut self, action: Action) -> Result<Vec<Input>, Broken> {
        let answer = match action {
            Action::Refuse { connection, .. } | Action::TellDevices { connection, .. } => {
                if let Some(program) = self.connections.remove(&connection) {
                    self.connect_again(program);
                }
                None
            }
            Action::SpawnWorker { session, connection, tenant, limits, device, partition, .. } => {
                let Some(program) = self.connections.remove(&connection) else {
                    return Err(Broken::Gone(session, "SpawnWorker".into()));
                };
                let p = self.scenario.programs[program];
                let draw = self.players[program].random.below(1 << 40);
                let endless = (p.habit == Habit::Saturated).then(|| (p.kernels, Random::stream(draw, program as u64)));
                let mut worker = Worker::new(program, tenant, p.vice, endless);
                worker.max_dispatch = limits.max_dispatch;
                worker.place = self.place(device, partition);
                self.workers.insert(session, worker);
                self.players[program].session = Some(session);
                if p.vice != Vice::None {
                    self.books.any_cause(session);
                }
                Some(self.spawn(session))
            }
            Action::MoveSession { session, partition } => {
                self.send_away(session)?;
                let at = self.arrival(session);
                let order = Partition { partition: PartitionId(partition), bytes: Bytes(0) };
                self.agenda.enter(at, Happening::Hear(session, Box::new(order.into())));
                None
            }
            Action::Order { session, order, .. } => {
                let at = self.arrival(session);
                if matches!(order, WorkerOrder::Stop(_)) {
                    self.stop_gate(session)?;
                }
                self.agenda.enter(at, Happening::Hear(session, Box::new(order)));
                None
            }
            Action::CreateMemory { session, charge, .. } => {
                let created = !(self.is_attacker(session) && self.random.one_in(self.scenario.delays.memory_fails));
                if created && let Some(worker) = self.workers.get_mut(&session) {
                    worker.charges.push_back(charge);
                }
                Some(Input::MemoryCreated { session, charge, created })
            }
            Action::GrantLease { session, generation, give_back_after, level, scrub, max_dispatch } => {
                let granted = self.grant(session, generation, level, scrub)?;
                if let Some(worker) = self.workers.get_mut(&session) {
                    worker.deadline = self.now.after(give_back_after);
                    worker.max_dispatch = max_dispatch;
                }
                Some(Input::GrantOutcome { session, generation, granted_at: granted.then_some(self.now) })
            }
            Action::RenewLease { session, give_back_after, .. } => {
                if let Some(worker) = self.workers.get_mut(&session) {
                    worker.deadline = self.now.after(give_back_after);
                }
                None
            }
            Action::TakeParked { session, generation } => Some(self.take(session, generation, Level::Yield)?),
            Action::RequestPreempt { session, generation } => Some(self.take(session, generation, Level::Suspend)?),
            Action::LookAtGate { session } => self.gate(session),
            Action::KillWorker { session } => {
                if let Some(worker) = self.workers.get_mut(&session) {
                    worker.dying = true;
                }
                self.note(session)?;
                let at = self.now.after(self.random.within(self.scenario.delays.die));
                self.agenda.enter(at, Happening::Die(session, 9));
                None
            }
            Action::ReleaseSession { session } => {
                if let Some(worker) = self.workers.remove(&session) {
                    self.players[worker.program].session = None;
                    self.connect_again(worker.program);
                }
                self.meters.iter_mut().try_for_each(|meter| meter.forget(self.now, session))?;
                None
            }
            Action::Reply { reply, .. } => {
                if let Ok(AdminReply::Status(status)) = reply {
                    self.status = Some(status);
                }
                None
            }
            Action::Emit(event) => {
                self.note_event(&event)?;
                None
            }
            // No program of these worlds offers memory to another.
            Action::KeepMemory { .. } | Action::ForgetMemory { .. } => None,
            Action::PassMemory { session, charge, .. } => {
                Some(Input::MemoryCreated { session, charge, created: false })
            }
            Action::EndTenant { .. } => None,
        };
        let about_lease = matches!(answer, Some(Input::GrantOutcome { .. } | Input::TakeOutcome { .. }));
        let twice = about_lease && self.random.one_in(self.scenario.delays.answers_twice);
        let again = twice.then(|| answer.clone()).flatten();
        Ok(answer.into_iter().chain(again).collect())
    }

    fn note_event(&mut self, event: &Event) -> Result<(), Broken> {
        let Some(total) = switch_total(event) else { return Ok(()) };
        let Event::Switched { to, parts, .. } = event else { return Ok(()) };
        // From the grant to the first instruction nobody but this worker acts, so its report is exact.
        let honest = self.workers.get(to).filter(|w| w.vice != Vice::Lies && w.report.first_instruction_at.0 != 0);
        let started = honest.and_then(|w| Some(w.report.first_instruction_at.since(w.granted_at?)));
        let longest = self.now.since(self.began);
        if started.is_some_and(|started| started != parts.start) || total > longest {
            return Err(Broken::Parts(*to));
        }
        self.switches.add(total);
        Ok(())
    }

    fn connect_again(&mut self, program: usize) {
        let p = self.scenario.programs[program];
        if let Some(again) = p.again.filter(|_| !self.shutting_down) {
            let after = self.players[program].random.within(again);
            self.agenda.enter(self.now.after(after), Happening::Connect(program));
        }
    }

    fn is_attacker(&self, session: SessionId) -> bool {
        self.workers.get(&session).is_some_and(|w| self.scenario.programs[w.program].attacker)
    }

    fn spawn(&mut self, session: SessionId) -> Input {
        if self.is_attacker(session) && self.random.one_in(self.scenario.delays.start_fails) {
            self.books.cause(session, EndReason::StartFailed);
            if let Some(worker) = self.workers.get_mut(&session) {
                worker.dead = true;
            }
            return Input::WorkerSpawnFailed { session };
        }
        if self.workers.get(&session).is_some_and(|w| w.vice != Vice::NeverReady) {
            let at = self.now.after(self.random.within(self.scenario.delays.start));
            self.agenda.enter(at, Happening::Ready(session));
        }
        Input::WorkerSpawned { session, pid: session.0 as u32 }
    }

    fn grant(
        &mut self,
        session: SessionId,
        generation: LeaseGeneration,
        level: Level,
        scrub: Scrub,
    ) -> Result<bool, Broken> {
        let Some(worker) = self.workers.get_mut(&session) else { return Ok(false) };
        worker.request = Request { generation, level }.pack();
        let Ok(word) = worker.word.grant(generation) else { return Ok(false) };
        if worker.dead {
            // The gate outlives its worker until the shell has reaped it: the swap works and nobody is there.
            worker.word = word;
            return Ok(true);
        }
        worker.scrub = scrub;
        worker.granted(word, generation);
        worker.granted_at = Some(self.now);
        self.note(session)?;
        let wake = self.random.within(self.scenario.delays.wake);
        self.plan(session, self.now.after(wake));
        Ok(true)
    }

    /// Stores a request, then takes the lease if it is parked.
    fn take(&mut self, session: SessionId, generation: LeaseGeneration, level: Level) -> Result<Input, Broken> {
        let Some(worker) = self.workers.get_mut(&session) else {
            return Err(Broken::Gone(session, "TakeParked".into()));
        };
        worker.request = Request { generation, level }.pack();
        let view = worker.view(self.now, &mut self.random);
        let taken = worker.word.take(generation);
        match taken {
            Ok(word) => {
                worker.taken(word);
                self.note(session)?;
            }
            Err(_) => {
                let look = self.random.within(self.scenario.delays.look);
                self.plan(session, self.now.after(look));
            }
        }
        Ok(Input::TakeOutcome { session, generation, taken: taken.is_ok(), view })
    }

    /// Swaps a gate's word to stopping, if that is possible.
    fn stop_gate(&mut self, session: SessionId) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session) else { return Ok(()) };
        // It is not owed the device any more, whether or not it knows yet.
        worker.ending = true;
        if let Ok(word) = worker.word.stop() {
            worker.taken(word);
        }
        self.note(session)
    }

    /// Returns when what is sent to a worker now arrives: in order.
    fn arrival(&mut self, session: SessionId) -> Instant {
        let after = self.now.after(self.random.within(self.scenario.delays.wake));
        let Some(worker) = self.workers.get_mut(&session) else { return after };
        worker.told_at = worker.told_at.max(after);
        worker.told_at
    }

    /// A worker has opened its device and welcomed its tenant.
    pub(super) fn ready(&mut self, session: SessionId) {
        if let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead && w.told.is_none()) {
            worker.ready = true;
            self.say(session, Ok(Ready { device: facts() }.into()));
            self.begin_life(session);
        }
    }

    pub(super) fn hear(&mut self, session: SessionId, order: WorkerOrder) -> Result<(), Broken> {
        if let WorkerOrder::Partition(Partition { partition, .. }) = order {
            return self.move_worker(session, partition);
        }
        let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead) else { return Ok(()) };
        match order {
            WorkerOrder::ChargeNoted(noted) => worker.charges.push_back(noted.charge),
            WorkerOrder::Stop(stop) => {
                if !worker.left {
                    worker.told = Some(stop.reason);
                }
                self.plan(session, self.now);
            }
            _ => {}
        }
        Ok(())
    }

    /// A worker says something; what it says arrives in order.
    pub(super) fn say(&mut self, session: SessionId, report: Said) {
        let after = self.now.after(self.random.within(self.scenario.delays.ring));
        let Some(worker) = self.workers.get_mut(&session) else { return };
        worker.said_at = worker.said_at.max(after);
        let (at, request) = (worker.said_at, next_request(worker));
        self.agenda.enter(at, Happening::Tell(Box::new(Input::WorkerSaid { session, request, report })));
    }

    pub(super) fn ring(&mut self, session: SessionId) {
        let after = self.now.after(self.random.within(self.scenario.delays.ring));
        let Some(worker) = self.workers.get_mut(&session) else { return };
        if !std::mem::replace(&mut worker.ringing, true) {
            self.agenda.enter(after, Happening::Rung(session));
        }
    }

    pub(super) fn rung(&mut self, session: SessionId) -> Result<(), Broken> {
        if let Some(worker) = self.workers.get_mut(&session) {
            worker.ringing = false;
        }
        self.gate(session).map_or(Ok(()), |input| self.tell(input))
    }

    fn gate(&mut self, session: SessionId) -> Option<Input> {
        let worker = self.workers.get_mut(&session)?;
        Some(Input::Gate { session, view: worker.view(self.now, &mut self.random) })
    }

    /// A worker's process ends; the broker hears of it after everything the worker has said.
    pub(super) fn die(&mut self, session: SessionId, signal: u32) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead) else { return Ok(()) };
        let view = Some(worker.view(self.now, &mut self.random));
        worker.dead = true;
        let heard = worker.said_at;
        self.gather(session);
        self.note(session)?;
        let at = self.now.after(self.random.within(self.scenario.delays.reap)).max(heard);
        self.agenda.enter(at, Happening::Tell(Box::new(Input::WorkerExited { session, signal, view })));
        Ok(())
    }
}

fn facts() -> proto::message::DeviceFacts {
    proto::message::DeviceFacts {
        name: Text::truncated("model"),
        isa: Text::truncated("none"),
        uuid: 1,
        compute_units: 8,
        simds_per_cu: 4,
        waves_per_cu: 32,
        wave_size: 64,
        lds_bytes: 65_536,
        clock_mhz: 1_700,
        vram: Bytes(1 << 30),
        host_memory: Bytes(1 << 30),
        queues: 4,
        ring_slots_max: 1 << 17,
        arena: proto::message::ArenaRule::Tenant,
        vram_mappable: 1,
        arena_lowest: proto::DeviceAddress(1 << 30),
        arena_bytes_max: Bytes(1 << 40),
        capability: proto::message::Capability::Suspend,
    }
}
