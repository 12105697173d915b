//! Plays a [`Scenario`] around the real broker: a clock, an agenda, and everybody the broker talks to.
//!
//! | file | subject |
//! |---|---|
//! | here | the loop, and what programs and administrators do |
//! | `shell` | what the daemon's shell does: carries actions out, delivers what workers say |
//!
//! A message takes a while, and two senders' messages may overtake each other; those of one sender to one receiver do not. A
//! ring is not a message: the gate is read when the broker gets around to it, and rings that come meanwhile are merged.

mod shell;

use std::collections::{BTreeMap, BTreeSet};

use broker::{AdminCommand, AdminToken, Broker, ConnectionId, Event, Input, Peer, Status};
use proto::gate::Scrub;
use proto::limits::ANY_DEVICE;
use proto::message::opening::Hello;
use proto::message::worker::{Backing, ChargeKind, ChargeRequest, Moved};
use proto::message::{EndReason, WorkerOrder, WorkerReport};
use proto::text::Text;
use proto::{Bytes, Instant, Nanos, PartitionId, RequestId, SessionId, TenantName, Violation};

use crate::agenda::Agenda;
use crate::books::Books;
use crate::broken::Broken;
use crate::line::Line;
use crate::meter::{Meter, Stand};
use crate::random::{Random, Span};
use crate::report::{Report, Tally};
use crate::scenario::{Appetite, Chore, End, Habit, Scenario, Vice};
use crate::trace::{Trace, Voice};
use crate::worker::Worker;

/// How many things may happen at one instant before something must be wrong.
const AT_ONCE_MAX: u32 = 100_000;
/// How long everything may take to end after a shutdown.
const SHUTDOWN_MAX: Nanos = Nanos::from_millis(2_000);

/// What is going to happen.
#[derive(Debug)]
enum Happening {
    /// A program connects.
    Connect(usize),
    /// A program has work.
    Submit(SessionId),
    /// A program wants memory, or gives some back.
    Eat(SessionId),
    /// A program's session is over.
    EndLife(SessionId),
    /// A program misbehaves.
    Misbehave(SessionId),
    /// A worker looks around, if this is still its plan.
    Look(SessionId, u64),
    /// A worker is ready.
    Ready(SessionId),
    /// A worker hears from the broker.
    Hear(SessionId, Box<WorkerOrder>),
    /// A worker's process ends.
    Die(SessionId, u32),
    /// The broker looks at a gate because it was rung.
    Rung(SessionId),
    /// Something else reaches the broker.
    Tell(Box<Input>),
    /// The broker's timer, if nothing newer was set.
    Timer(u64),
    /// An administrator does something.
    Do(usize),
}

/// A program and what it is at.
struct Player {
    random: Random,
    session: Option<SessionId>,
    /// How many recorded turns it has taken, and whether the next one is on its way.
    turns: usize,
    resting: bool,
}

pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    line: &'a mut dyn Line,
    broker: Broker,
    now: Instant,
    began: Instant,
    agenda: Agenda<Happening>,
    /// The weather: delays and host failures.
    random: Random,
    players: Vec<Player>,
    workers: BTreeMap<SessionId, Worker>,
    connections: BTreeMap<ConnectionId, usize>,
    connected: u64,
    timer: (u64, Option<Instant>),
    books: Books,
    /// One for every partition of every device.
    meters: Vec<Meter>,
    /// The place of the first partition of each device.
    places: Vec<usize>,
    trace: Trace,
    /// What each program did.
    tallies: Vec<Tally>,
    switches: crate::report::Histogram,
    /// Who ran last on the device.
    residue: Vec<Option<TenantName>>,
    status: Option<Status>,
    shutting_down: bool,
    removals: bool,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, line: &'a mut dyn Line, voice: Voice) -> Self {
        let began = Instant(1_000_000);
        let config = line.config(scenario.config.clone());
        // PANIC: the recipes make configurations that pass the broker's check; a test runs them all.
        let broker = Broker::new(config, began).expect("a recipe makes a good configuration");
        let (mut meters, mut places) = (Vec::new(), Vec::new());
        for (at, device) in scenario.config.devices.iter().enumerate() {
            places.push(meters.len());
            let longest = scenario.config.occupancy_max(at).0;
            let meter = || Meter::new(longest, device.policy, device.slice.0, scenario.delays.slack());
            meters.extend(device.partitions.iter().map(|_| meter()));
        }
        let stream = |i| Random::stream(scenario.seed, i);
        let player = |i| Player { random: stream(1_000 + i), session: None, turns: 0, resting: false };
        let mut world = Self {
            scenario,
            line,
            broker,
            now: began,
            began,
            agenda: Agenda::new(),
            random: stream(1),
            players: (0..scenario.programs.len() as u64).map(player).collect(),
            workers: BTreeMap::new(),
            connections: BTreeMap::new(),
            connected: 0,
            timer: (0, None),
            books: Books::default(),
            residue: vec![None; meters.len()],
            meters,
            places,
            trace: Trace::new(voice),
            tallies: scenario.programs.iter().map(|_| Tally::default()).collect(),
            switches: crate::report::Histogram::default(),
            status: None,
            shutting_down: false,
            removals: false,
        };
        world.learn_config(&scenario.config);
        for (i, program) in scenario.programs.iter().enumerate() {
            world.agenda.enter(began.after(program.first_at), Happening::Connect(i));
        }
        for (i, (at, _)) in scenario.chores.iter().enumerate() {
            world.agenda.enter(began.after(*at), Happening::Do(i));
        }
        world
    }

    fn learn_config(&mut self, config: &broker::Config) {
        let programs = &self.scenario.programs;
        let dishonest = |vice| !matches!(vice, Vice::None | Vice::Sticks { .. } | Vice::Dawdles(_) | Vice::Overruns);
        let attackers: BTreeSet<TenantName> = programs.iter().filter(|p| dishonest(p.vice)).map(|p| p.tenant).collect();
        let honest = |name: &TenantName| !attackers.contains(name);
        for at in 0..self.places.len() {
            let partitions = config.devices[at].partitions.len();
            for meter in &mut self.meters[self.places[at]..self.places[at] + partitions] {
                meter.configure(self.now, config, config.devices[at].policy, honest);
            }
        }
    }

    /// Plays the scenario to its end and shuts everything down.
    pub(crate) fn play(mut self) -> (Result<(), Broken>, Report) {
        let result = self.play_all();
        let report = self.report();
        (result, report)
    }

    fn play_all(&mut self) -> Result<(), Broken> {
        self.run_until(self.began.after(self.scenario.span))?;
        self.meters.iter_mut().for_each(|meter| meter.close_window(self.now));
        self.look_at_status()?;
        if let Some(error_max) = self.scenario.share_error_max {
            self.meters.iter().try_for_each(|meter| meter.check_shares(error_max))?;
        }
        self.shutting_down = true;
        self.books.cause_all(EndReason::Shutdown, None);
        self.tell(Input::Admin { token: AdminToken(0), command: AdminCommand::Shutdown })?;
        self.run_until(self.now.after(SHUTDOWN_MAX))?;
        let wall_had: u64 = self.meters.iter().map(|meter| meter.stopped_at.since(self.began).0).sum();
        self.books.close(&self.broker)?;
        if !self.workers.is_empty() {
            return Err(Broken::LeftBehind("a worker"));
        }
        self.look_at_status()?;
        self.check_charges()?;
        let booked = self.status.as_ref().map_or(0, |s| s.totals().wall().0);
        let places = self.meters.len() as u64;
        let least = wall_had.saturating_sub(self.scenario.delays.slack() * places);
        let most = self.now.since(self.began).0 * places;
        if booked < least || booked > most {
            return Err(Broken::Wall { booked, expected: if booked < least { least } else { most } });
        }
        Ok(())
    }

    fn run_until(&mut self, end: Instant) -> Result<(), Broken> {
        let mut at_once = 0;
        while let Some((at, what)) = self.agenda.next_by(end) {
            at_once = if at > self.now { 0 } else { at_once + 1 };
            if at_once > AT_ONCE_MAX {
                return Err(Broken::Spins);
            }
            self.now = self.now.max(at);
            self.happen(what)?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, what: Happening) -> Result<(), Broken> {
        match what {
            Happening::Connect(program) => self.connect(program),
            Happening::Submit(session) => self.submit(session),
            Happening::Eat(session) => self.eat(session),
            Happening::EndLife(session) => self.end_life(session),
            Happening::Misbehave(session) => self.misbehave(session),
            Happening::Look(session, plan) => self.look(session, plan),
            Happening::Ready(session) => {
                self.ready(session);
                Ok(())
            }
            Happening::Hear(session, order) => self.hear(session, *order),
            Happening::Die(session, signal) => self.die(session, signal),
            Happening::Rung(session) => self.rung(session),
            Happening::Tell(input) => self.tell(*input),
            Happening::Timer(number) if number == self.timer.0 => {
                self.timer.1 = None;
                self.tell(Input::Timer)
            }
            Happening::Timer(_) => Ok(()),
            Happening::Do(chore) => self.do_chore(chore),
        }
    }

    // Programs.

    fn connect(&mut self, program: usize) -> Result<(), Broken> {
        let p = self.scenario.programs[program];
        if self.shutting_down || self.players[program].session.is_some() {
            return Ok(());
        }
        self.connected += 1;
        let connection = ConnectionId(self.connected);
        self.connections.insert(connection, program);
        let mut peer = Peer { pid: 100 + program as u32, uid: p.uid, gid: p.uid, cgroup: "/".into() };
        let mut hello = Ok(Hello { tenant: Some(p.tenant), command: Text::truncated("program"), device: ANY_DEVICE });
        if let Vice::Knocks(every) = p.vice {
            let random = &mut self.players[program].random;
            match random.below(4) {
                0 => hello = Err(Violation::Version { theirs: random.below(9) as u16 }),
                1 => hello = Err(Violation::DescriptorsTruncated),
                2 => peer.uid = 1_000_000,
                _ => hello = hello.map(|hello| Hello { device: 77, ..hello }),
            }
            let again = self.players[program].random.within(every);
            self.agenda.enter(self.now.after(again), Happening::Connect(program));
        }
        self.tell(Input::Hello { connection, peer, hello })
    }

    /// A session of a program is ready to run.
    fn begin_life(&mut self, session: SessionId) {
        let Some(worker) = self.workers.get_mut(&session) else { return };
        let program = worker.program;
        let p = self.scenario.programs[program];
        let random = &mut self.players[program].random;
        let mut enter = |span: Option<Span>, what| {
            if let Some(span) = span {
                self.agenda.enter(self.now.after(random.within(span)), what);
            }
        };
        enter(p.life, Happening::EndLife(session));
        enter(
            match p.habit {
                Habit::Bursts { every, .. } => Some(Span { min: 0, max: every.max }),
                Habit::Saturated | Habit::Idle | Habit::Recorded(_) => None,
            },
            Happening::Submit(session),
        );
        enter(
            match p.appetite {
                Appetite::Nothing => None,
                Appetite::Turnover { every, .. } | Appetite::Greedy { every, .. } => Some(every),
            },
            Happening::Eat(session),
        );
        enter(
            match p.vice {
                Vice::DamagesGate(every) | Vice::Babbles(every) | Vice::Chatters(every) => Some(every),
                _ => None,
            },
            Happening::Misbehave(session),
        );
        self.rest(session);
        self.plan(session, self.now);
    }

    /// Lets a recorded program that has no work pause until its next turn.
    fn rest(&mut self, session: SessionId) {
        let Some(worker) = self.workers.get(&session).filter(|worker| !worker.has_work()) else { return };
        let Habit::Recorded(recording) = self.scenario.programs[worker.program].habit else { return };
        let player = &mut self.players[worker.program];
        if let Some(turn) = self.scenario.recordings[recording].get(player.turns).filter(|_| !player.resting) {
            player.resting = true;
            self.agenda.enter(self.now.after(turn.pause), Happening::Submit(session));
        }
    }

    /// Lets a recorded program take its next turn.
    fn take_turn(&mut self, session: SessionId, recording: usize) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session) else { return Ok(()) };
        let player = &mut self.players[worker.program];
        let turn = self.scenario.recordings[recording][player.turns];
        (player.turns, player.resting) = (player.turns + 1, false);
        self.tallies[worker.program].submitted += 1;
        worker.submit(self.now, turn.work.0.max(1));
        self.plan(session, self.now);
        Ok(())
    }

    fn submit(&mut self, session: SessionId) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead && w.told.is_none()) else {
            return Ok(());
        };
        let p = self.scenario.programs[worker.program];
        let (kernels, every) = match p.habit {
            Habit::Bursts { kernels, every } => (kernels, every),
            Habit::Recorded(recording) => return self.take_turn(session, recording),
            Habit::Saturated | Habit::Idle => return Ok(()),
        };
        let random = &mut self.players[worker.program].random;
        let count = random.between(kernels.min, kernels.max);
        let tally = &mut self.tallies[worker.program];
        tally.submitted += count;
        for _ in 0..count {
            worker.submit(self.now, random.length(p.kernels));
        }
        let next = self.now.after(random.within(every));
        self.agenda.enter(next, Happening::Submit(session));
        self.plan(session, self.now);
        Ok(())
    }

    fn eat(&mut self, session: SessionId) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead && !w.left) else { return Ok(()) };
        let p = self.scenario.programs[worker.program];
        let random = &mut self.players[worker.program].random;
        let mut says = Vec::new();
        let (bytes, every, at_once) = match p.appetite {
            Appetite::Nothing => return Ok(()),
            Appetite::Turnover { bytes, every, keeps } => {
                if worker.charges.len() >= keeps
                    && let Some(charge) = worker.charges.pop_front()
                {
                    says.push(proto::message::worker::ReleaseCharge { charge }.into());
                }
                (bytes, every, 1)
            }
            Appetite::Greedy { bytes, every, at_once } => (bytes, every, at_once),
        };
        for _ in 0..at_once {
            let kind = ChargeKind::from_number(random.between(1, 8) as u32).unwrap_or(ChargeKind::Vram);
            let backing = if random.one_in(2) { Backing::Memfd } else { Backing::Driver };
            let bytes = Bytes(random.between(bytes.min, bytes.max));
            says.push(ChargeRequest { kind, backing, bytes }.into());
        }
        let next = self.now.after(random.within(every));
        self.agenda.enter(next, Happening::Eat(session));
        for report in says {
            self.say(session, Ok(report));
        }
        Ok(())
    }

    fn end_life(&mut self, session: SessionId) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead) else { return Ok(()) };
        let p = self.scenario.programs[worker.program];
        let random = &mut self.players[worker.program].random;
        let end = match p.end {
            End::Any => [End::Goodbye, End::TenantDies, End::WorkerDies][random.index(3)],
            end => end,
        };
        match end {
            End::Goodbye | End::Any => {
                self.books.cause(session, EndReason::Goodbye);
                self.books.cause(session, EndReason::WorkerDied);
                worker.told = worker.told.or(Some(EndReason::Goodbye));
                self.plan(session, self.now);
                self.note(session)
            }
            End::TenantDies => {
                self.books.cause(session, EndReason::TenantDied);
                let at = self.now.after(self.random.within(self.scenario.delays.reap));
                self.agenda.enter(at, Happening::Tell(Box::new(Input::TenantDied { session })));
                Ok(())
            }
            End::WorkerDies => {
                self.books.cause(session, EndReason::WorkerDied);
                self.die(session, 11)
            }
        }
    }

    fn misbehave(&mut self, session: SessionId) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead && !w.left) else { return Ok(()) };
        let program = worker.program;
        match worker.vice {
            Vice::DamagesGate(_) => {
                worker.damage();
                self.note(session)?;
                self.ring(session);
            }
            Vice::Babbles(_) => self.say(session, Err(Violation::Kind { got: 7 })),
            Vice::Chatters(every) => {
                worker.chatter();
                self.note(session)?;
                self.ring(session);
                let next = self.now.after(self.players[program].random.within(every));
                self.agenda.enter(next, Happening::Misbehave(session));
            }
            _ => {}
        }
        Ok(())
    }

    // Administrators.

    fn do_chore(&mut self, number: usize) -> Result<(), Broken> {
        let command = match &self.scenario.chores[number].1 {
            Chore::Command(command) => command.clone(),
            Chore::KillOneOf(place) => {
                let sessions: Vec<SessionId> = self.workers.keys().copied().collect();
                let Some(session) = sessions.get(place % sessions.len().max(1)) else { return Ok(()) };
                self.books.cause(*session, EndReason::Killed);
                AdminCommand::SessionKill(*session)
            }
            Chore::ResetDevice(device) => return self.reset_device(*device),
        };
        if let AdminCommand::TenantRemove(name) = &command {
            self.books.cause_all(EndReason::TenantRemoved, Some(name));
            self.removals = true;
        }
        // What an administrator says must be in force for the meter from the same instant on as for the broker.
        let done = command.clone();
        self.tell(Input::Admin { token: AdminToken(number as u64 + 1), command })?;
        match done {
            AdminCommand::TenantPause(name) if self.broker.config().tenant(&name).is_some() => {
                self.meters.iter_mut().for_each(|meter| meter.pause(self.now, &name, true));
            }
            AdminCommand::TenantResume(name) => {
                self.meters.iter_mut().for_each(|meter| meter.pause(self.now, &name, false));
            }
            AdminCommand::TenantRemove(name) if self.broker.config().tenant(&name).is_none() => {
                for meter in &mut self.meters {
                    meter.pause(self.now, &name, true);
                    meter.removed(&name);
                }
            }
            AdminCommand::Reload(_) | AdminCommand::TenantSet(..) | AdminCommand::DeviceSet(..) => {
                let config = self.broker.config().clone();
                self.learn_config(&config);
            }
            _ => {}
        }
        Ok(())
    }

    fn reset_device(&mut self, device: usize) -> Result<(), Broken> {
        let next = self.places.get(device + 1).copied().unwrap_or(self.meters.len());
        let places = self.places[device]..next;
        let on_it = |(session, worker): (&SessionId, &Worker)| places.contains(&worker.place).then_some(*session);
        let lost: Vec<SessionId> = self.workers.iter().filter_map(on_it).collect();
        for session in lost {
            self.books.cause(session, EndReason::WorkerDied);
            self.die(session, 6)?;
        }
        Ok(())
    }

    fn status(&mut self) -> Result<(), Broken> {
        self.tell(Input::Admin { token: AdminToken(0), command: AdminCommand::Status })
    }

    /// Compares what the broker says about device time with what there was.
    fn look_at_status(&mut self) -> Result<(), Broken> {
        self.status()?;
        let Some(status) = self.status.clone() else { return Ok(()) };
        let booked = status.totals().wall().0;
        let charged: u64 = status.tenants.iter().map(|t| t.charged.0).sum();
        if !self.removals && charged + status.totals().idle.0 != booked {
            return Err(Broken::Wall { booked, expected: charged + status.totals().idle.0 });
        }
        let most = self.now.since(self.began).0 * self.meters.len() as u64;
        if booked > most {
            return Err(Broken::Wall { booked, expected: most });
        }
        Ok(())
    }

    /// Compares what tenants were charged with what they had, when all leases are over. Before, a lone holder's time is not booked
    /// yet, as nobody has a reason to look at it.
    fn check_charges(&self) -> Result<(), Broken> {
        let tenants = self.status.iter().flat_map(|status| &status.tenants).filter(|_| !self.removals);
        for tenant in tenants {
            crate::meter::check_charged(&self.meters, self.now, &tenant.config.name, tenant.charged)?;
        }
        Ok(())
    }

    // What everybody does.

    /// Lets a worker look around at this time, or earlier if it plans to.
    fn plan(&mut self, session: SessionId, at: Instant) {
        let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead) else { return };
        if worker.plan_at.is_none_or(|planned| at < planned) {
            worker.plan += 1;
            worker.plan_at = Some(at);
            self.agenda.enter(at, Happening::Look(session, worker.plan));
        }
    }

    fn look(&mut self, session: SessionId, plan: u64) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead && w.plan == plan) else { return Ok(()) };
        worker.plan_at = None;
        let looked = worker.look(self.now, &self.scenario.delays, &mut self.random);
        self.gather(session);
        self.rest(session);
        self.note(session)?;
        if looked.started {
            self.started(session)?;
        }
        if let Some(waited) = looked.waited {
            let program = self.workers[&session].program;
            self.tallies[program].waits.add(waited);
        }
        for _ in 0..looked.runaways {
            let fault = proto::message::Fault {
                kind: proto::message::FaultKind::Runaway,
                queue: proto::QueueId(0),
                packet: 0,
                address: proto::DeviceAddress(0),
                pc: proto::DeviceAddress(0),
                kernel: Text::truncated("endless"),
                detail: Text::EMPTY,
            };
            self.say(session, Ok(proto::message::worker::FaultReport { fault }.into()));
        }
        if looked.ring {
            self.ring(session);
        }
        if looked.leaves {
            let reason = self.workers[&session].told.unwrap_or(EndReason::Goodbye);
            let leaving = proto::message::worker::Leaving { reason, text: Text::EMPTY };
            self.say(session, Ok(leaving.into()));
            let at = self.now.after(self.random.within(self.scenario.delays.die));
            self.agenda.enter(at, Happening::Die(session, 0));
        }
        if let Some(at) = looked.again_at {
            self.plan(session, at);
        } else if !looked.leaves && looked.ring {
            // It may have work again already, or have been told to end: it looks once more before it sleeps.
            self.plan(session, self.now);
        }
        Ok(())
    }

    /// A worker has scrubbed if it was told to, and runs: whatever was in the device before, it could see now.
    fn started(&mut self, session: SessionId) -> Result<(), Broken> {
        let worker = &self.workers[&session];
        let of = self.residue[worker.place].replace(worker.tenant).filter(|&of| of != worker.tenant);
        let clean = worker.scrub.includes(Scrub::LDS) && worker.scrub.includes(Scrub::REGISTERS);
        match of.filter(|_| !clean && self.scenario.config.scrub) {
            Some(of) => Err(Broken::Residue { of, seen_by: worker.tenant }),
            None => Ok(()),
        }
    }

    /// Collects what a worker has done since it was asked last.
    fn gather(&mut self, session: SessionId) {
        let Some(worker) = self.workers.get_mut(&session) else { return };
        let tally = &mut self.tallies[worker.program];
        tally.work += std::mem::take(&mut worker.work);
        let endless = self.scenario.programs[worker.program].habit == Habit::Saturated;
        for latency in worker.latencies.drain(..) {
            tally.completed += 1;
            if !endless {
                tally.latencies.add(latency);
            }
        }
    }

    /// Tells the meter where a session stands.
    fn note(&mut self, session: SessionId) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session) else { return Ok(()) };
        let place = worker.place;
        worker.account = worker.account.or_else(|| self.meters[place].place(&worker.tenant));
        let Some(tenant) = worker.account else { return Ok(()) };
        let holds = worker.holds();
        let parked = worker.word.state() == Some(proto::gate::LeaseState::Parked);
        let runnable = worker.word.state() == Some(proto::gate::LeaseState::Runnable);
        if worker.moving {
            return Ok(());
        }
        let ending = worker.dead || worker.dying || worker.ending || worker.told.is_some();
        let runs = holds && !parked;
        let stand = Stand { wants: (runs || runnable) && !ending, holds, runs };
        self.meters[place].note(self.now, session, tenant, stand)
    }

    /// Returns where among all partitions of all devices this one is.
    fn place(&self, device: u32, partition: u32) -> usize {
        self.places[device as usize] + partition as usize
    }

    /// A worker without a lease is sent to another partition of its device: until it is there nobody owes it anything.
    fn send_away(&mut self, session: SessionId) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session) else {
            return Err(Broken::Gone(session, "MoveSession".into()));
        };
        if worker.holds() {
            return Err(Broken::MovedWhileHolding(session));
        }
        worker.moving = true;
        self.meters[worker.place].forget(self.now, session)
    }

    /// It hears of it, and says so. It has had no lease since it was sent.
    fn move_worker(&mut self, session: SessionId, partition: PartitionId) -> Result<(), Broken> {
        let Some(worker) = self.workers.get_mut(&session).filter(|w| !w.dead) else { return Ok(()) };
        if worker.holds() {
            return Err(Broken::MovedWhileHolding(session));
        }
        let first = self.places.iter().rev().find(|first| **first <= worker.place).copied().unwrap_or(0);
        worker.place = first + partition.0 as usize;
        worker.moving = false;
        self.say(session, Ok(Moved { partition }.into()));
        self.note(session)
    }

    fn report(mut self) -> Report {
        for session in self.workers.keys().copied().collect::<Vec<_>>() {
            self.gather(session);
        }
        let mut tallies: BTreeMap<TenantName, Tally> = BTreeMap::new();
        for (program, tally) in self.scenario.programs.iter().zip(self.tallies) {
            tallies.entry(program.tenant).or_default().add(&tally);
        }
        Report::new(self.scenario, &self.meters, &self.books, self.status.as_ref(), tallies, self.switches, &self.trace)
    }
}

/// What the meter and the report need to know of an event.
fn switch_total(event: &Event) -> Option<Nanos> {
    match event {
        Event::Switched { parts, .. } => Some(parts.total()),
        _ => None,
    }
}

/// A report a worker makes, or how it breaks the protocol.
type Said = Result<WorkerReport, Violation>;

/// The request id of what a worker says unasked.
fn next_request(worker: &mut Worker) -> RequestId {
    worker.requests += 1;
    RequestId(worker.requests)
}
