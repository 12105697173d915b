//! A broker whose sessions take turns with one device, as the bench and the probe use it.
//!
//! Only the broker runs: gates are values here, changed by the functions that workers and shells change them by, and every answer is there at once.

use std::collections::{BTreeMap, VecDeque};

#[path = "../../tests/world/mod.rs"]
mod world;

use broker::{Action, Broker, Config, ConnectionId, GateView, Input, Peer, TenantConfig};
use proto::gate::{GateWord, StopReason};
use proto::message::opening::Hello;
use proto::message::worker::Ready;
use proto::text::Text;
use proto::{Instant, LeaseGeneration, Nanos, RequestId, SessionId};
use world::{config, facts, weighted};

/// Longer than the built-in slice.
const SLICE: Nanos = Nanos::from_millis(6);
/// How long a suspend takes.
const STOP: Nanos = Nanos(10_000);

/// The broker, the gates, and what time it is.
pub(crate) struct Turns {
    broker: Broker,
    now: Instant,
    gates: BTreeMap<SessionId, GateView>,
    holder: Option<SessionId>,
    asked: bool,
    next: u64,
    tenants: u64,
}

impl Turns {
    /// Returns one with `tenants` of equal weight and a session each, none of which has work.
    pub(crate) fn new(tenants: u32) -> Turns {
        let all: Vec<TenantConfig> = (0..tenants).map(|n| weighted(&format!("tenant-{n}"), 100)).collect();
        let config = Config { sessions_max: tenants, ..config(&all) };
        let now = Instant(1_000_000);
        let mut turns = Turns {
            broker: Broker::new(config, now).expect("the configuration is sound"),
            now,
            gates: BTreeMap::new(),
            holder: None,
            asked: false,
            next: 0,
            tenants: tenants.into(),
        };
        for n in 0..tenants {
            // Whom the configuration knows.
            let uid = 1000 + n;
            let hello = Hello { tenant: None, command: Text::EMPTY, device: 0 };
            let peer = Peer { pid: 1, uid, gid: 1, cgroup: "/".into() };
            turns.tell(Input::Hello { connection: ConnectionId(uid.into()), peer, hello: Ok(hello) });
        }
        assert_eq!(turns.gates.len(), tenants as usize, "everybody is admitted");
        for session in turns.gates.keys().copied().collect::<Vec<_>>() {
            let report = Ok(Ready { device: facts() }.into());
            turns.tell(Input::WorkerSaid { session, request: RequestId(1), report });
        }
        turns
    }

    /// The next session has work while the one before has run dry: the parked lease is taken, and granted to the next.
    pub(crate) fn hand_over(&mut self) {
        if let Some(holder) = self.holder {
            let now = self.now;
            let gate = self.gate(holder);
            (gate.word, gate.parked_at) = (gate.word.park().expect("it holds the lease"), now);
        }
        self.pass(Nanos(2_000));
        self.next = self.next % self.tenants + 1;
        let next = SessionId(self.next);
        self.announce(next);
        assert_eq!(self.holder, Some(next), "whoever has work gets a device that nobody uses");
    }

    /// Everybody has work from now on.
    pub(crate) fn saturate(&mut self) {
        for session in self.gates.keys().copied().collect::<Vec<_>>() {
            self.announce(session);
        }
    }

    /// A slice ends while everybody has work: the holder is asked, gives the device back, and the next one has it.
    pub(crate) fn end_slice(&mut self) {
        self.pass(SLICE);
        self.tell(Input::Timer);
        let Some(holder) = self.holder.filter(|_| std::mem::take(&mut self.asked)) else { return };
        let asked_at = self.now;
        self.pass(STOP);
        let stopped_at = self.now;
        let gate = self.gate(holder);
        gate.word = gate.word.release(true).expect("it holds the lease");
        gate.stop_reason = Some(StopReason::Preempted);
        (gate.stop_seen_at, gate.stopped_at) = (asked_at, stopped_at);
        let view = *gate;
        self.holder = None;
        self.tell(Input::Gate { session: holder, view });
        assert!(self.holder.is_some(), "somebody has work");
    }

    fn announce(&mut self, session: SessionId) {
        let gate = self.gate(session);
        let Ok(word) = gate.word.announce() else { return };
        gate.word = word;
        let view = *gate;
        self.tell(Input::Gate { session, view });
    }

    fn gate(&mut self, session: SessionId) -> &mut GateView {
        self.gates.get_mut(&session).expect("a session")
    }

    fn pass(&mut self, time: Nanos) {
        self.now = self.now.after(time);
    }

    fn tell(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.broker.handle(self.now, input);
            while let Some(action) = self.broker.poll_action() {
                inputs.extend(self.perform(&action));
            }
        }
    }

    fn perform(&mut self, action: &Action) -> Option<Input> {
        match *action {
            Action::SpawnWorker { session, .. } => {
                self.gates.insert(session, GateView::new(GateWord::NEW));
                Some(Input::WorkerSpawned { session, pid: 1 })
            }
            Action::GrantLease { session, generation, .. } => {
                let now = self.now;
                let word = self.gate(session).word.grant(generation).expect("it wants the device");
                *self.gate(session) = GateView { report: generation, first_instruction_at: now, ..GateView::new(word) };
                self.holder = Some(session);
                Some(Input::GrantOutcome { session, generation, granted_at: Some(now) })
            }
            Action::TakeParked { session, generation } => Some(self.take(session, generation)),
            Action::RequestPreempt { session, generation } => {
                self.asked = true;
                Some(self.take(session, generation))
            }
            Action::LookAtGate { session } => Some(Input::Gate { session, view: *self.gate(session) }),
            Action::Refuse { code, .. } => panic!("refused: {code:?}"),
            _ => None,
        }
    }

    fn take(&mut self, session: SessionId, generation: LeaseGeneration) -> Input {
        let view = *self.gate(session);
        let word = view.word.take(generation);
        if let Ok(word) = word {
            self.gate(session).word = word;
        }
        Input::TakeOutcome { session, generation, taken: word.is_ok(), view }
    }
}
