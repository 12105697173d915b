//! The broker's shell: `wavegate serve`.
//!
//! It turns what happens (connections, messages, wakes, deaths, time, signals) into inputs of the [`Broker`], and carries out the
//! actions that come back. It decides nothing. One thread, one loop:
//!
//! ```text
//! wait until something is ready or due
//! for each: broker.handle(now, input); while let Some(action) = broker.poll_action() { perform(action) }
//! ```
//!
//! Promises:
//! - nothing a tenant or a worker does makes the loop wait: every socket is non-blocking, every queue has a bound;
//! - the daemon reads one packet of a tenant and never maps memory that a tenant can write;
//! - when the daemon ends, in order or not, its workers end with it: they are children that die with this thread, so
//!   it must run on a thread that lives as long as the process, which [`main`] sees to;
//! - shutdown in order tells every session, and removes the socket files.
//!
//! | module | subject |
//! |---|---|
//! | `lobby` | tenants' connections before they are sessions |
//! | `launch`, `session`, `gate` | one worker: starting it, talking to it, its leases |
//! | `perform` | carrying out actions |
//! | `desk`, `orders`, `report` | administrators: connections, requests, what they see |
//! | `stats` | what is remembered of what happened |
//! | `tap`, `tail` | who is told what happens as it happens; the dispatches of one worker |
//! | `figures`, `rounds` | distributions of what is measured, and who looks at them when |
//! | `record` | what tenants wanted, for the simulator |
//! | `journal` | what goes into the log |
//! | `shares` | what of device time everybody asks for |
//! | `words` | what tenants are told |

mod desk;
mod figures;
mod gate;
mod journal;
mod launch;
mod lobby;
mod orders;
mod perform;
mod record;
mod report;
mod rounds;
mod session;
mod shares;
mod stats;
mod tail;
mod tap;
mod words;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use broker::{AdminCommand, AdminError, AdminReply, AdminToken, Broker, ConfigError, ConnectionId, Input};
use proto::message::opening::Opening;
use proto::message::{EndReason, WorkerReport};
use proto::{ChargeId, Instant, LeaseGeneration, Nanos, SessionId};
use sys::CallFailed;
use sys::clock::Deadline;
use sys::event::{Interest, Poller, Ready, Signal, Signals};
use sys::listener::{ListenError, Listener, Permissions, StreamListener};
use sys::memfd::{MemFd, MemoryError};
use sys::processor::Processors;

use crate::clock;
use crate::config::paths::Socket;
use crate::config::{FileError, Live, LiveError, ServeOptions, Settings, SocketSettings};
use crate::device::spec::DeviceSpec;
use desk::{Admitted, Desk};
use journal::Journal;
use launch::Launcher;
use lobby::Lobby;
use record::Recorder;
use rounds::Rounds;
use session::{Heard, NoPacket, Session};
use stats::Stats;
use tap::Tap;

/// At most this many connections are accepted, and this many messages of one worker are read, before others have their turn.
const TURN_MAX: usize = 32;
/// How long the daemon looks for a lease that it has just asked for, before it sleeps. A holder on the software GPU stops within some 5 us, and to be woken takes
/// the daemon two to three times that; meanwhile the device does nothing. A card needs longer to save what it runs, and is not looked for.
const LOOK: Nanos = Nanos(15_000);
/// Looks between two offers of the processor to whoever wants it: the holder itself may.
const LOOKS: u32 = 32;
/// How long nobody is accepted after that failed, most likely for want of descriptors.
const ACCEPT_PAUSE: Nanos = Nanos::from_millis(100);

/// Why the daemon does not serve (any more).
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration.
    #[error(transparent)]
    File(#[from] FileError),
    /// The changes kept from the last time.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// Configuration and kept changes do not go together.
    #[error("the configuration and the changes kept in {}: {source}; `wavegate config check` shows the file alone", .live.display())]
    Together {
        /// Where the changes are kept.
        live: PathBuf,
        /// What does not fit.
        source: ConfigError,
    },
    /// The configuration, of which the command line changed something.
    #[error("the configuration makes no sense: {0}")]
    Config(#[from] ConfigError),
    /// Nobody said where to listen, and there is no usual place.
    #[error("there is no directory for the {socket} socket: set XDG_RUNTIME_DIR, or name the socket with {flag}")]
    NoPlace {
        /// Which.
        socket: &'static str,
        /// How to name it.
        flag: &'static str,
    },
    /// The directory of a socket cannot be made.
    #[error("cannot create the directory {}: {source}; create it, or choose another path", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Memory for the device.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The kernel.
    #[error(transparent)]
    Call(#[from] CallFailed),
}

/// Serves until told to stop. Call it on the main thread, before any other thread exists.
pub fn main(options: ServeOptions) -> Result<(), ServeError> {
    let signals = Signals::collect(&[Signal::TERM, Signal::INT, Signal::HUP])?;
    // A slice ends when it ends, not up to 50 us later. Workers inherit it.
    sys::clock::shorten_timer_slack()?;
    if let Err(error) = sys::processor::ask_for_short_turns() {
        tracing::debug!(%error, "hand-offs may take longer beside other programs");
    }
    let mut daemon = Daemon::new(options, None)?;
    daemon.watch_signals(signals)?;
    daemon.run()
}

/// What a descriptor in the poller belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Tenants,
    Admins,
    Signals,
    Visitor(ConnectionId),
    Client(u64),
    TenantProcess(SessionId),
    Worker(SessionId),
    Channel(SessionId),
    Bell(SessionId),
}

impl Watched {
    /// Bits below the kind; ids count from one and never get there.
    const KIND_SHIFT: u32 = 56;

    fn token(self) -> u64 {
        let (kind, id) = match self {
            Self::Tenants => (0, 0),
            Self::Admins => (1, 0),
            Self::Signals => (2, 0),
            Self::Visitor(ConnectionId(id)) => (3, id),
            Self::Client(id) => (4, id),
            Self::TenantProcess(SessionId(id)) => (5, id),
            Self::Worker(SessionId(id)) => (6, id),
            Self::Channel(SessionId(id)) => (7, id),
            Self::Bell(SessionId(id)) => (8, id),
        };
        kind << Self::KIND_SHIFT | id
    }

    fn of(token: u64) -> Option<Self> {
        let id = token & ((1 << Self::KIND_SHIFT) - 1);
        Some(match token >> Self::KIND_SHIFT {
            0 => Self::Tenants,
            1 => Self::Admins,
            2 => Self::Signals,
            3 => Self::Visitor(ConnectionId(id)),
            4 => Self::Client(id),
            5 => Self::TenantProcess(SessionId(id)),
            6 => Self::Worker(SessionId(id)),
            7 => Self::Channel(SessionId(id)),
            8 => Self::Bell(SessionId(id)),
            _ => return None,
        })
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    options: ServeOptions,
    settings: Settings,
    live: Live,
    broker: Broker,
    began: Instant,
    poller: Poller,
    tenants: Listener,
    /// When to accept tenants again, while that is interrupted because it failed.
    tenants_again: Option<Instant>,
    /// The lobby is full.
    tenants_wait: bool,
    lobby: Lobby,
    admins: StreamListener,
    desk: Desk,
    signals: Option<Signals>,
    launcher: Launcher,
    sessions: BTreeMap<SessionId, Session>,
    stats: Stats,
    journal: Journal,
    recorder: Option<Recorder>,
    /// The lease that was asked for last, if its holder had not stopped yet, and until when to look for it.
    asked: Option<(SessionId, LeaseGeneration, Instant)>,
    /// Whether it is worth looking.
    looks: bool,
    tap: Tap,
    rounds: Rounds,
    /// The reply to the command that is being handled.
    reply: Option<Result<AdminReply, AdminError>>,
    /// The descriptor that came with the message that is being handled.
    offered: Option<OwnedFd>,
    /// Memory that sessions share, by the charge it was made for.
    shared: BTreeMap<ChargeId, MemFd>,
    /// Asked twice to stop: at once.
    stop_now: bool,
}

impl Daemon {
    /// Listens, and is ready to [`run`](Self::run). `worker` is the program to run as worker in place of this one.
    pub(crate) fn new(options: ServeOptions, worker: Option<PathBuf>) -> Result<Self, ServeError> {
        let settings = Settings::load(&options)?;
        settings.check(&Live::default())?;
        let live = settings.state.as_deref().map_or(Ok(Live::default()), Live::read)?;
        let began = Instant(clock::now_ns());
        let broker = Broker::new(settings.to_config(&live), began)
            .map_err(|source| ServeError::Together { live: settings.state.clone().unwrap_or_default(), source })?;
        let devices: Vec<_> = settings.devices.iter().map(|device| device.spec.clone()).collect();
        warn_of_leftovers(&devices);
        let looks = worth_looking(&devices)?;
        let launcher = Launcher::new(devices, broker.config(), worker, settings.worker_uid_first)?;

        let poller = Poller::new()?;
        let (path, permissions) = place(&settings.tenant_socket, Socket::Tenant)?;
        let tenants = Listener::bind(&path, permissions)?;
        let (path, permissions) = place(&settings.admin_socket, Socket::Admin)?;
        let admins = StreamListener::bind(&path, permissions)?;
        poller.add(&tenants, Watched::Tenants.token(), Interest::IN)?;
        poller.add(&admins, Watched::Admins.token(), Interest::IN)?;
        let admitted =
            Admitted { uid: rustix::process::geteuid().as_raw(), group: settings.admin_socket.gid.is_some() };
        let recorder = options.record.as_deref().map(|path| Recorder::new(path, began));
        let mut daemon = Self {
            options,
            live,
            broker,
            began,
            poller,
            tenants,
            tenants_again: None,
            tenants_wait: false,
            lobby: Lobby::default(),
            admins,
            desk: Desk::new(admitted),
            signals: None,
            launcher,
            sessions: BTreeMap::new(),
            stats: Stats::new(),
            journal: Journal::default(),
            recorder,
            asked: None,
            looks,
            tap: Tap::default(),
            rounds: Rounds::new(began),
            reply: None,
            offered: None,
            shared: BTreeMap::new(),
            stop_now: false,
            settings,
        };
        daemon.pause_kept();
        tracing::info!(
            devices = %report::device_names(daemon.launcher.devices()),
            socket = %daemon.tenants.path().display(),
            admin_socket = %daemon.admins.path().display(),
            tenants = daemon.broker.config().tenants.len(),
            state = daemon.settings.state.as_deref().map(|p| p.display().to_string()),
            "serving"
        );
        Ok(daemon)
    }

    /// Listens to signals too: TERM and INT end the daemon, HUP makes it read its configuration again.
    fn watch_signals(&mut self, signals: Signals) -> Result<(), CallFailed> {
        self.poller.add(&signals, Watched::Signals.token(), Interest::IN)?;
        self.signals = Some(signals);
        Ok(())
    }

    /// Serves until told to stop and all sessions have ended.
    pub(crate) fn run(&mut self) -> Result<(), ServeError> {
        let mut ready = Vec::new();
        while !self.broker.is_finished() && !self.stop_now {
            self.look_for_lease();
            self.poller.wait(&mut ready, self.deadline())?;
            for event in &ready {
                self.handle_ready(*event)?;
            }
            self.handle_due()?;
        }
        self.finish_recording();
        tracing::info!("stopped");
        Ok(())
    }

    fn deadline(&self) -> Deadline {
        let rounds = (!self.sessions.is_empty()).then(|| self.rounds.deadline());
        let due = [self.broker.poll_timeout(), self.lobby.deadline(), self.tenants_again, self.tap.deadline(), rounds];
        due.into_iter().flatten().min().map_or(Deadline::NEVER, |at| Deadline::at_ns(at.0))
    }

    /// Tells the broker what happened and does what it says, until it says no more.
    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            // Its session may be gone afterwards.
            let charger = self.tap.charger(&input).and_then(|id| Some((id, self.sessions.get(&id)?.tenant)));
            let now = Instant(clock::now_ns());
            if let Some(recorder) = &mut self.recorder {
                recorder.hear(now, &input);
            }
            self.broker.handle(now, input);
            while let Some(action) = self.broker.poll_action() {
                inputs.extend(self.perform(action));
            }
            if let Some((session, tenant)) = charger {
                self.tell_usage(session, tenant);
            }
        }
    }

    /// Looks for the lease that was asked for last, for a moment. The bell that its holder rings says the same again, and then it is no news.
    fn look_for_lease(&mut self) {
        while let Some((session, generation, until)) = self.asked.take() {
            let worker = self.sessions.get(&session).and_then(|s| s.worker.as_ref());
            let Some(gate) = worker.map(|w| &w.gate) else { return };
            while gate.is_held(generation) {
                if clock::now_ns() >= until.0 {
                    return;
                }
                (0..LOOKS).for_each(|_| std::hint::spin_loop());
                std::thread::yield_now();
            }
            let view = gate.view();
            self.feed(Input::Gate { session, view });
        }
    }

    /// Writes down what was recorded, and says what happened in the words of the simulator.
    fn finish_recording(&mut self) {
        let Some(recorder) = self.recorder.take() else { return };
        let Ok(AdminReply::Status(status)) = self.ask(AdminCommand::Status) else { return };
        let file = recorder.path().display().to_string();
        match recorder.finish(Instant(clock::now_ns()), self.broker.config(), &status) {
            Ok(report) => println!("{report}recorded      {file}; play it with: wavegate sim {file}"),
            Err(error) => tracing::error!(%error, file, "what was recorded cannot be written"),
        }
    }

    /// Asks the broker something on behalf of an administrator.
    fn ask(&mut self, command: AdminCommand) -> Result<AdminReply, AdminError> {
        self.reply = None;
        self.feed(Input::Admin { token: AdminToken(0), command });
        // PANIC: every command is answered before it is handled to its end.
        self.reply.take().expect("a reply to the command")
    }

    fn handle_ready(&mut self, ready: Ready) -> Result<(), CallFailed> {
        match Watched::of(ready.token) {
            Some(Watched::Tenants) => self.accept_tenants()?,
            Some(Watched::Admins) => self.accept_admins()?,
            Some(Watched::Signals) => self.handle_signals()?,
            Some(Watched::Visitor(id)) => self.handle_visitor(id)?,
            Some(Watched::Client(id)) => self.handle_client(id)?,
            Some(Watched::TenantProcess(session)) => {
                if let Some(process) = self.sessions.get_mut(&session).and_then(|s| s.tenant_process.take()) {
                    self.poller.remove(&process)?;
                    self.feed(Input::TenantDied { session });
                }
            }
            Some(Watched::Bell(session)) => {
                let Some(worker) = self.sessions.get(&session).and_then(|s| s.worker.as_ref()) else { return Ok(()) };
                // Quiet first, look afterwards: what the worker rings for later rings again.
                worker.bell.drain()?;
                let view = worker.gate.view();
                self.feed(Input::Gate { session, view });
            }
            Some(Watched::Channel(session)) => self.handle_channel(session)?,
            Some(Watched::Worker(session)) => self.handle_exit(session)?,
            None => {}
        }
        Ok(())
    }

    fn handle_due(&mut self) -> Result<(), CallFailed> {
        let now = Instant(clock::now_ns());
        if self.broker.poll_timeout().is_some_and(|at| at <= now) {
            self.feed(Input::Timer);
        }
        if self.rounds.deadline() <= now {
            self.go_round(now);
        }
        if self.tap.deadline().is_some_and(|at| at <= now) {
            self.tap_turn(now);
        }
        while let Some(id) = self.lobby.overdue(now) {
            tracing::debug!("a connection said nothing and is closed");
            self.show_out(id)?;
        }
        if self.tenants_again.take_if(|at| *at <= now).is_some() {
            self.poller.change(&self.tenants, Watched::Tenants.token(), Interest::IN)?;
        }
        Ok(())
    }

    fn accept_tenants(&mut self) -> Result<(), CallFailed> {
        for _ in 0..TURN_MAX {
            if self.lobby.is_full() {
                self.tenants_wait = true;
                return self.poller.change(&self.tenants, Watched::Tenants.token(), Interest::empty());
            }
            let now = Instant(clock::now_ns());
            match self.tenants.accept() {
                Ok(Some(channel)) => {
                    let id = self.lobby.enter(now, channel);
                    if let Some((id, visitor)) = id.and_then(|id| Some((id, self.lobby.get(id)?))) {
                        self.poller.add(&visitor.channel, Watched::Visitor(id).token(), Interest::IN)?;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "cannot accept a tenant; trying again soon");
                    self.tenants_again = Some(now.after(ACCEPT_PAUSE));
                    return self.poller.change(&self.tenants, Watched::Tenants.token(), Interest::empty());
                }
            }
        }
        Ok(())
    }

    /// Hears what a tenant's connection has to say, once.
    fn handle_visitor(&mut self, id: ConnectionId) -> Result<(), CallFailed> {
        match self.lobby.hear(id) {
            Ok(greeting) => {
                let lobby::Greeting { peer, opening } = greeting;
                self.feed(match opening {
                    Ok(Opening::Hello(hello)) => Input::Hello { connection: id, peer, hello: Ok(hello) },
                    Ok(Opening::ListDevices(wanted)) => {
                        Input::ListDevices { connection: id, peer, tenant: wanted.tenant }
                    }
                    Err(violation) => Input::Hello { connection: id, peer, hello: Err(violation) },
                });
                // By now it is a session, or it has its answer; if the broker forgot it, it is nothing either.
                self.show_out(id)
            }
            Err(NoPacket::NotYet) => Ok(()),
            Err(_) => self.show_out(id),
        }
    }

    /// Closes a connection that did not become a session, if it is still there.
    fn show_out(&mut self, id: ConnectionId) -> Result<(), CallFailed> {
        match self.leave_lobby(id)? {
            Some(visitor) => drop(visitor),
            None => return Ok(()),
        }
        Ok(())
    }

    /// Takes a connection out of the lobby, which makes room there.
    fn leave_lobby(&mut self, id: ConnectionId) -> Result<Option<lobby::Visitor>, CallFailed> {
        let Some(visitor) = self.lobby.leave(id) else { return Ok(None) };
        self.poller.remove(&visitor.channel)?;
        if std::mem::take(&mut self.tenants_wait) {
            self.poller.change(&self.tenants, Watched::Tenants.token(), Interest::IN)?;
        }
        Ok(Some(visitor))
    }

    fn handle_signals(&mut self) -> Result<(), CallFailed> {
        while let Some(signal) = self.signals.as_ref().map(Signals::next).transpose()?.flatten() {
            match signal {
                Signal::HUP => match self.reload() {
                    Ok(()) => {}
                    Err(failure) => tracing::error!(%failure, "the configuration was not reloaded"),
                },
                _ => self.shut_down(),
            }
        }
        Ok(())
    }

    /// Ends in order; asked again, at once.
    fn shut_down(&mut self) {
        if self.broker.is_shutting_down() {
            tracing::warn!(sessions = self.sessions.len(), "asked twice to stop: ending all workers now");
            self.stop_now = true;
        } else {
            tracing::info!(sessions = self.sessions.len(), "stopping");
            if let Err(error) = self.ask(AdminCommand::Shutdown) {
                tracing::error!(%error, "the broker does not stop");
            }
        }
    }

    /// Hears a worker, for a turn.
    fn handle_channel(&mut self, session: SessionId) -> Result<(), CallFailed> {
        if let Some(worker) = self.sessions.get_mut(&session).and_then(|s| s.worker.as_mut())
            && worker.full
        {
            self.with_worker(session, session::Worker::flush);
        }
        for _ in 0..TURN_MAX {
            if !self.hear(session)? {
                break;
            }
        }
        Ok(())
    }

    /// Hears one message of a worker; returns whether there may be more.
    fn hear(&mut self, session: SessionId) -> Result<bool, CallFailed> {
        let Some(worker) = self.sessions.get_mut(&session).and_then(|s| s.worker.as_mut()) else { return Ok(false) };
        match worker.hear() {
            Heard::Said(request, report, descriptor) => {
                if matches!(&report, Ok(WorkerReport::Leaving(last)) if last.reason == EndReason::DeviceLost) {
                    let life = worker.life;
                    tracing::error!(%session, device = life.device, generation = life.generation, "a session lost its device");
                    self.launcher.device_lost(life);
                }
                self.offered = descriptor;
                self.feed(Input::WorkerSaid { session, request, report });
                // Whatever nobody wanted is closed.
                self.offered = None;
                Ok(true)
            }
            Heard::Nothing => Ok(false),
            Heard::Closed => {
                // It exits, or has lost its mind; either way its exit is what counts.
                if let Some(channel) = worker.hang_up() {
                    self.poller.remove(&channel)?;
                    worker.kill();
                }
                Ok(false)
            }
        }
    }

    /// Reaps a worker.
    fn handle_exit(&mut self, session: SessionId) -> Result<(), CallFailed> {
        // What it said last comes first: it may have told why.
        while self.hear(session)? {}
        let Some(worker) = self.sessions.get_mut(&session).and_then(|s| s.worker.as_mut()) else { return Ok(()) };
        let Some(exit) = worker.child().try_wait()? else { return Ok(()) };
        self.poller.remove(worker.process())?;
        self.poller.remove(&worker.bell)?;
        if let Some(channel) = worker.hang_up() {
            self.poller.remove(&channel)?;
        }
        let (view, slot) = (worker.gate.view(), worker.slot);
        self.launcher.reaped(slot);
        let signal = match exit {
            sys::process::Exit::Signal(signal) => signal.unsigned_abs(),
            sys::process::Exit::Code(_) => 0,
        };
        self.feed(Input::WorkerExited { session, signal, view: Some(view) });
        Ok(())
    }
}

/// Returns whether a holder can stop while the daemon looks: on a software GPU, and not if both have the same single processor.
fn worth_looking(devices: &[DeviceSpec]) -> Result<bool, CallFailed> {
    let ours = Processors::ours()?;
    let elsewhere = |device: &DeviceSpec| match device {
        DeviceSpec::Soft(soft) => {
            let its = soft.processors().map_or(0, |its| its.without(ours).count());
            ours.count() + its > 1
        }
        _ => false,
    };
    Ok(devices.iter().all(elsewhere))
}

/// Says once what an administrator must know of hardware before tenants share it.
fn warn_of_leftovers(devices: &[DeviceSpec]) {
    for device in devices.iter().filter(|device| matches!(device, DeviceSpec::Rocr(_))) {
        tracing::warn!(
            %device,
            "registers and LDS are scrubbed between tenants by a program that no card has run yet; `wavegate doctor --run` tries it"
        );
    }
}

/// Returns where a socket shall be and who may connect; its directory exists afterwards if it is the usual one.
fn place(settings: &SocketSettings, socket: Socket) -> Result<(PathBuf, Permissions), ServeError> {
    let (name, flag) = match socket {
        Socket::Tenant => ("tenant", "--socket"),
        Socket::Admin => ("admin", "--admin-socket"),
    };
    let permissions = Permissions { mode: settings.mode, gid: settings.gid };
    if let Some(path) = &settings.path {
        return Ok((path.clone(), permissions));
    }
    let path = socket.to_serve().ok_or(ServeError::NoPlace { socket: name, flag })?;
    if let Some(directory) = path.parent() {
        create_directory(directory)?;
    }
    Ok((path, permissions))
}

fn create_directory(path: &Path) -> Result<(), ServeError> {
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o755).create(path);
    made.map_err(|source| ServeError::Directory { path: path.to_owned(), source })
}
