//! Carrying out what the broker decided, one action at a time.
//!
//! What goes wrong here is either the answer the broker waits for (a worker that did not start, memory there was none of), or the end of
//! one worker: nothing in this file ends the daemon.

use broker::{Action, ConnectionId, Event, Input};
use proto::gate::Level;
use proto::message::WorkerOrder;
use proto::message::worker::{ChargeGranted, ChargeShared, SessionLimits};
use proto::{Bytes, ChargeId, Instant, RequestId, SessionId, ShareId, TenantName};
use sys::event::Interest;
use sys::memfd::{MemFd, MemoryError};

use super::figures::Followed;
use super::gate::Grant;
use super::launch::{LaunchError, Place};
use super::lobby::Visitor;
use super::session::{Deaf, Session, Worker, part};
use super::{Daemon, LOOK, Watched};
use crate::clock;

/// By which the memory of a charge is known again when a worker hands it back.
fn memory_name(charge: ChargeId) -> String {
    format!("wavegate-{}", charge.0)
}

impl Daemon {
    /// Carries out an action; returns the input that answers it, if it has one.
    pub(super) fn perform(&mut self, action: Action) -> Option<Input> {
        let now = Instant(clock::now_ns());
        match action {
            Action::Refuse { connection, code } => self.part_with(connection, |visitor| visitor.refuse(code)),
            Action::TellDevices { connection, devices } => {
                let list = self.launcher.names(&devices);
                self.part_with(connection, |visitor| visitor.tell(list));
            }
            Action::SpawnWorker { session, connection, tenant, limits, scrub, device, partition } => {
                return self.begin(session, connection, tenant, (limits, scrub), Place { device, partition });
            }
            Action::MoveSession { session, partition } => self.move_session(session, partition),
            Action::Order { session, request, order } => self.order(session, request, &order),
            Action::CreateMemory { session, request, charge, bytes } => {
                let created = self.create_memory(session, request, charge, bytes);
                return Some(Input::MemoryCreated { session, charge, created });
            }
            Action::KeepMemory { session, request, memory, bytes } => self.keep_memory(session, request, memory, bytes),
            Action::PassMemory { session, request, charge, memory, bytes, write } => {
                let created = self.pass_memory(session, request, ChargeGranted { charge, bytes }, memory, write);
                return Some(Input::MemoryCreated { session, charge, created });
            }
            Action::ForgetMemory { memory } => drop(self.shared.remove(&memory)),
            Action::GrantLease { session, generation, give_back_after, level, scrub, max_dispatch } => {
                let lease = Grant { generation, give_back_after, level, scrub, max_dispatch };
                let granted_at = self.worker(session).and_then(|w| w.gate.grant(now, &lease));
                return Some(Input::GrantOutcome { session, generation, granted_at });
            }
            Action::RenewLease { session, generation: _, give_back_after } => {
                if let Some(worker) = self.worker(session) {
                    worker.gate.renew(now, give_back_after);
                }
            }
            Action::TakeParked { session, generation } => {
                let (view, taken) = self.worker(session)?.gate.take(now, generation, Level::Yield);
                return Some(Input::TakeOutcome { session, generation, taken, view });
            }
            Action::RequestPreempt { session, generation } => {
                let (view, taken) = self.worker(session)?.gate.take(now, generation, Level::Suspend);
                if !taken && self.looks {
                    self.asked = Some((session, generation, now.after(LOOK)));
                }
                return Some(Input::TakeOutcome { session, generation, taken, view });
            }
            Action::LookAtGate { session } => {
                let view = self.worker(session)?.gate.view();
                return Some(Input::Gate { session, view });
            }
            Action::KillWorker { session } => {
                if let Some(worker) = self.worker(session) {
                    worker.kill();
                }
            }
            Action::EndTenant { session, reason, signal } => {
                if let Some(session) = self.sessions.get(&session) {
                    session.tell_ending(reason, signal);
                }
            }
            Action::ReleaseSession { session } => self.release(session),
            Action::Reply { token: _, reply } => self.reply = Some(reply),
            Action::Emit(event) => self.note(now, &event),
        }
        None
    }

    fn worker(&self, session: SessionId) -> Option<&Worker> {
        self.sessions.get(&session)?.worker.as_ref()
    }

    /// Lets a connection go that becomes no session, with a last word.
    fn part_with(&mut self, connection: ConnectionId, word: impl FnOnce(&Visitor)) {
        match self.leave_lobby(connection) {
            Ok(Some(visitor)) => word(&visitor),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a connection could not be let go"),
        }
    }

    /// Makes a session of a connection.
    fn begin(
        &mut self,
        session: SessionId,
        connection: ConnectionId,
        tenant: TenantName,
        (limits, scrub): (SessionLimits, bool),
        place: Place,
    ) -> Option<Input> {
        let visitor = match self.leave_lobby(connection) {
            Ok(visitor) => visitor?,
            Err(error) => {
                tracing::error!(%error, "an admitted connection could not be let in");
                return Some(Input::WorkerSpawnFailed { session });
            }
        };
        let (pid, command) = visitor.who();
        self.stats.begin(session, pid, command);
        let (tenant_socket, process) = match visitor.admit() {
            Ok(parts) => parts,
            Err(error) => {
                tracing::error!(%error, %session, "an admitted connection could not be let in");
                return Some(Input::WorkerSpawnFailed { session });
            }
        };
        let launched = self.launcher.launch(session, tenant, limits, scrub, place, &tenant_socket);
        let (worker, followed) = (None, Followed::default());
        let begun = Session { tenant, tenant_socket, tenant_process: Some(process), worker, followed };
        self.sessions.insert(session, begun);
        match launched.and_then(|worker| self.watch(session, worker)) {
            Ok(pid) => Some(Input::WorkerSpawned { session, pid }),
            Err(error) => {
                tracing::error!(%error, %session, %tenant, "a worker could not be started");
                Some(Input::WorkerSpawnFailed { session })
            }
        }
    }

    /// Watches both processes of a session, the worker's channel and its bell; returns the worker's number.
    fn watch(&mut self, session: SessionId, worker: Worker) -> Result<u32, LaunchError> {
        let pid = worker.pid();
        // PANIC: inserted by the caller.
        let entry = self.sessions.get_mut(&session).expect("the session that begins");
        let worker = entry.worker.insert(worker);
        let watch = || {
            self.poller.add(worker.process(), Watched::Worker(session).token(), Interest::IN)?;
            self.poller.add(&worker.bell, Watched::Bell(session).token(), Interest::IN)?;
            if let Some(channel) = worker.channel() {
                self.poller.add(channel, Watched::Channel(session).token(), Interest::IN)?;
            }
            match &entry.tenant_process {
                Some(process) => self.poller.add(process, Watched::TenantProcess(session).token(), Interest::IN),
                None => Ok(()),
            }
        };
        match watch() {
            Ok(()) => Ok(pid),
            Err(error) => {
                // Dropping kills and reaps it; descriptors that are closed are no longer watched.
                let slot = entry.worker.take().and_then(|w| w.slot);
                self.launcher.reaped(slot);
                Err(error.into())
            }
        }
    }

    /// Tells a worker something.
    fn order(&mut self, session: SessionId, request: RequestId, order: &WorkerOrder) {
        self.with_worker(session, |worker| worker.say(request, order, None));
        if let (WorkerOrder::Stop(_), Some(worker)) = (order, self.worker(session)) {
            worker.gate.stop();
        }
    }

    /// Sends a worker the compute units of another partition. It says itself when it uses them.
    fn move_session(&mut self, session: SessionId, partition: u32) {
        let Some(life) = self.worker(session).map(|worker| worker.life) else { return };
        match self.launcher.units(Place { device: life.device, partition }) {
            Ok((order, memory)) => {
                self.with_worker(session, |worker| worker.say(RequestId::EVENT, &order.into(), Some(memory)));
            }
            Err(error) => {
                tracing::error!(%error, %session, partition, "a worker cannot be moved and is ended");
                if let Some(worker) = self.worker(session) {
                    worker.kill();
                }
            }
        }
    }

    fn create_memory(&mut self, session: SessionId, request: RequestId, charge: ChargeId, bytes: Bytes) -> bool {
        let size = usize::try_from(bytes.0).map_err(|_| MemoryError::ImpossibleSize { bytes: bytes.0 });
        match size.and_then(|size| MemFd::create(&memory_name(charge), size)) {
            Ok(memory) => {
                let order = ChargeGranted { charge, bytes }.into();
                self.with_worker(session, |worker| worker.say(request, &order, Some(memory)));
                true
            }
            Err(error) => {
                tracing::warn!(%error, %session, %bytes, "memory for a tenant could not be created");
                false
            }
        }
    }

    /// Keeps memory that a worker offers to other sessions.
    fn keep_memory(&mut self, session: SessionId, request: RequestId, memory: ChargeId, bytes: Bytes) {
        let size = usize::try_from(bytes.0).unwrap_or(usize::MAX);
        match self.offered.take().ok_or(MemoryError::NotMemory).and_then(|fd| MemFd::adopt(fd, size)) {
            // The object that was made for this charge: a worker may have others, of other tenants, that are not its to offer.
            Ok(object) if object.is_named(&memory_name(memory)) => {
                self.shared.insert(memory, object);
                let order = ChargeShared { share: ShareId(memory.0) }.into();
                self.with_worker(session, |worker| worker.say(request, &order, None));
            }
            refused => {
                let error = refused.err().unwrap_or(MemoryError::NotMemory);
                tracing::error!(%error, %session, "a worker offers what is not its memory and is ended");
                if let Some(worker) = self.worker(session) {
                    worker.kill();
                }
            }
        }
    }

    /// Passes memory that is kept on to another session.
    fn pass_memory(
        &mut self,
        session: SessionId,
        request: RequestId,
        granted: ChargeGranted,
        memory: ChargeId,
        write: bool,
    ) -> bool {
        let copy = |object: &MemFd| if write { object.duplicate() } else { object.read_only() };
        match self.shared.get(&memory).map(copy) {
            Some(Ok(copy)) => {
                self.with_worker(session, |worker| worker.say(request, &granted.into(), Some(copy)));
                true
            }
            Some(Err(error)) => {
                tracing::warn!(%error, %session, "memory that is shared could not be passed on");
                false
            }
            None => false,
        }
    }

    /// Talks to a worker. One that does not listen is ended; one that is slow is told the rest when its channel has room.
    pub(super) fn with_worker(&mut self, session: SessionId, talk: impl FnOnce(&mut Worker) -> Result<(), Deaf>) {
        let Some(worker) = self.sessions.get_mut(&session).and_then(|s| s.worker.as_mut()) else { return };
        let full = worker.full;
        if let Err(error) = talk(worker) {
            tracing::error!(%error, %session, pid = worker.pid(), "a worker does not listen and is ended");
            worker.kill();
        }
        if full != worker.full
            && let Some(channel) = worker.channel()
        {
            let interest = if worker.full { Interest::IN | Interest::OUT } else { Interest::IN };
            if let Err(error) = self.poller.change(channel, Watched::Channel(session).token(), interest) {
                tracing::error!(%error, %session, "a worker cannot be watched and is ended");
                worker.kill();
            }
        }
    }

    /// Closes everything of a session.
    fn release(&mut self, session: SessionId) {
        let Some(mut released) = self.sessions.remove(&session) else { return };
        if let Some(process) = released.tenant_process.take()
            && let Err(error) = self.poller.remove(&process)
        {
            tracing::debug!(%error, "a process that is no longer of interest could not be forgotten");
        }
        part(&released.tenant_socket);
        if let Some(worker) = &released.worker {
            self.drain_one(session, &worker.gate);
            self.tap.forget(session);
            let tenant = self.stats.tenant(released.tenant);
            if let Some(news) = released.followed.look(&worker.gate) {
                tenant.figures.add(Instant(clock::now_ns()), &news);
            }
            tenant.end(&worker.gate.counters());
        }
    }

    /// Remembers an event and writes it down.
    fn note(&mut self, now: Instant, event: &Event) {
        self.stats.note(now, event);
        self.journal.note(event);
        if self.tap.is_open() {
            self.tell_event(now, event);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.note(now, event);
        }
        if *event == Event::ConfigChanged {
            let (broker, sessions) = (&self.broker, &self.sessions);
            let lives = |name: &TenantName| sessions.values().any(|s| s.tenant == *name);
            self.stats.retain_tenants(|name| broker.config().tenant(name).is_some() || lives(name));
        }
    }
}
