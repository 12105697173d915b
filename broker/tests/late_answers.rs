//! What the broker does while an answer is on its way: the world of the other tests answers at once, this shell is slow.

mod world;

use broker::{
    Action, AdminCommand, AdminToken, Broker, ConnectionId, GateView, Input, PartitionConfig, Peer, ShareRule,
    TenantChange,
};
use proto::gate::{GateWord, Scrub};
use proto::message::opening::Hello;
use proto::message::worker::{
    Backing, ChargeKind, ChargeRequest, JoinCharge, Moved, Ready, ReleaseCharge, ShareCharge,
};
use proto::message::{DenyCode, WorkerOrder, WorkerReport};
use proto::text::Text;
use proto::{Bytes, Instant, LeaseGeneration, PartitionId, RequestId, SessionId, ShareId};
use world::{config, facts, name, weighted};

const MS: u64 = 1_000_000;
const RED: SessionId = SessionId(1);
const BLUE: SessionId = SessionId(2);

struct Shell {
    broker: Broker,
    now: Instant,
}

impl Shell {
    /// Two sessions, ready and idle.
    fn new() -> Self {
        let config = config(&[weighted("red", 100), weighted("blue", 100)]);
        let mut shell = Self { broker: Broker::new(config, Instant(0)).unwrap(), now: Instant(0) };
        for (session, uid) in [(RED, 1000), (BLUE, 1001)] {
            shell.connect(session, uid);
        }
        for session in [RED, BLUE] {
            shell.say(session, Ready { device: facts() }.into());
        }
        shell
    }

    /// Connects what will be this session.
    fn connect(&mut self, session: SessionId, uid: u32) {
        let hello = Hello { tenant: None, command: Text::EMPTY, device: 0 };
        let peer = Peer { pid: 1, uid, gid: 1, cgroup: "/".into() };
        self.tell(Input::Hello { connection: ConnectionId(session.0), peer, hello: Ok(hello) });
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        self.broker.handle(self.now, input);
        std::iter::from_fn(|| self.broker.poll_action()).filter(|a| !matches!(a, Action::Emit(_))).collect()
    }

    fn say(&mut self, session: SessionId, report: WorkerReport) -> Vec<Action> {
        self.tell(Input::WorkerSaid { session, request: RequestId(7), report: Ok(report) })
    }

    fn gate(&mut self, session: SessionId, word: GateWord) -> Vec<Action> {
        self.tell(Input::Gate { session, view: GateView::new(word) })
    }

    fn granted(&mut self, session: SessionId, generation: LeaseGeneration) -> Vec<Action> {
        let granted_at = Some(self.now);
        self.tell(Input::GrantOutcome { session, generation, granted_at })
    }

    fn runnable(&mut self, session: SessionId) -> Vec<Action> {
        self.gate(session, runnable())
    }

    /// Lets this session have the device; returns its lease and the gate's word.
    fn lease(&mut self, session: SessionId) -> (LeaseGeneration, GateWord) {
        let actions = self.runnable(session);
        let generation = granting(&actions).expect("a grant").1;
        assert_eq!(self.granted(session, generation), []);
        (generation, runnable().grant(generation).unwrap())
    }
}

fn runnable() -> GateWord {
    GateWord::NEW.announce().unwrap()
}

fn granting(actions: &[Action]) -> Option<(SessionId, LeaseGeneration)> {
    actions.iter().find_map(|a| match a {
        Action::GrantLease { session, generation, .. } => Some((*session, *generation)),
        _ => None,
    })
}

fn taking(actions: &[Action]) -> usize {
    actions.iter().filter(|a| matches!(a, Action::TakeParked { .. })).count()
}

#[test]
fn one_question_at_a_time() {
    let mut shell = Shell::new();
    let (generation, word) = shell.lease(RED);
    assert_eq!(taking(&shell.runnable(BLUE)), 1);
    assert_eq!(shell.broker.poll_timeout(), None, "the answer comes before anything is due");
    shell.now = Instant(100 * MS);
    assert_eq!(shell.tell(Input::Timer), []);
    let view = GateView::new(word);
    let actions = shell.tell(Input::TakeOutcome { session: RED, generation, taken: false, view });
    // Its slice is over; whose turn it is now, is the scheduler's to say.
    assert!(matches!(actions[..], [Action::RenewLease { .. } | Action::RequestPreempt { .. }]), "{actions:?}");
    assert_eq!(shell.tell(Input::Timer), []);
}

#[test]
fn a_worker_that_dies_before_its_grant_is_answered_leaves_the_device_free() {
    let mut shell = Shell::new();
    let (_, generation) = granting(&shell.runnable(RED)).unwrap();
    assert_eq!(granting(&shell.runnable(BLUE)), None);
    let actions = shell.tell(Input::WorkerExited { session: RED, signal: 9, view: None });
    assert_eq!(granting(&actions).map(|(s, _)| s), Some(BLUE));
    let stale = shell.broker.stale();
    assert_eq!(shell.granted(RED, generation), []);
    assert_eq!(shell.broker.stale(), stale + 1);
}

#[test]
fn an_arrival_that_changes_its_mind_is_not_granted() {
    let mut shell = Shell::new();
    let (generation, word) = shell.lease(RED);
    assert_eq!(taking(&shell.runnable(BLUE)), 1);
    shell.gate(BLUE, GateWord::NEW);
    let view = GateView::new(word.park().unwrap());
    let actions = shell.tell(Input::TakeOutcome { session: RED, generation, taken: true, view });
    assert_eq!(granting(&actions), None);
    assert_eq!(shell.broker.poll_timeout(), None);
    // Nor later, when RED has had more than BLUE would be entitled to if it waited.
    let (generation, _) = shell.lease(RED);
    let granted_at = shell.now;
    shell.now = Instant(20 * MS);
    let view = GateView {
        report: generation,
        first_instruction_at: granted_at,
        stopped_at: shell.now,
        ..GateView::new(runnable().grant(generation).and_then(|w| w.release(true)).unwrap())
    };
    let actions = shell.tell(Input::Gate { session: RED, view });
    assert_eq!(granting(&actions).map(|(s, _)| s), Some(RED));
}

#[test]
fn whoever_is_alone_again_is_left_alone() {
    let mut shell = Shell::new();
    let (generation, word) = shell.lease(RED);
    shell.runnable(BLUE);
    let view = GateView::new(word);
    shell.tell(Input::TakeOutcome { session: RED, generation, taken: false, view });
    assert!(shell.broker.poll_timeout().is_some());
    shell.gate(BLUE, GateWord::NEW);
    assert_eq!(shell.broker.poll_timeout(), None);
}

#[test]
fn a_tenant_paused_while_its_grant_is_on_its_way_gives_the_device_back() {
    let mut shell = Shell::new();
    let (_, generation) = granting(&shell.runnable(RED)).unwrap();
    let command = AdminCommand::TenantPause(name("red"));
    shell.tell(Input::Admin { token: AdminToken(1), command });
    assert_eq!(shell.granted(RED, generation), [Action::RequestPreempt { session: RED, generation }]);
}

#[test]
fn an_ending_session_gets_no_more_leases() {
    let mut shell = Shell::new();
    let (_, word) = shell.lease(RED);
    let command = AdminCommand::SessionKill(RED);
    let actions = shell.tell(Input::Admin { token: AdminToken(1), command });
    assert!(actions.iter().any(|a| matches!(a, Action::Order { order: WorkerOrder::Stop(_), .. })));
    // The worker gives the device back but says that it wants more.
    assert_eq!(granting(&shell.gate(RED, word.release(true).unwrap())), None);
    assert_eq!(granting(&shell.runnable(RED)), None);
}

#[test]
fn memory_is_answered_once() {
    let mut shell = Shell::new();
    let wanted = ChargeRequest { kind: ChargeKind::Vram, backing: Backing::Memfd, bytes: Bytes(4096) };
    let actions = shell.say(RED, wanted.into());
    let [Action::CreateMemory { charge, request: RequestId(7), .. }] = actions[..] else { panic!("{actions:?}") };
    let done = |created| Input::MemoryCreated { session: RED, charge, created };
    assert_eq!(shell.tell(done(true)), []);
    let stale = shell.broker.stale();
    assert_eq!(shell.tell(done(false)), []);
    assert_eq!(shell.broker.stale(), stale + 1);
    assert_eq!(shell.broker.ledger().total().vram, 4096);
}

#[test]
fn sessions_of_one_tenant_share_memory_and_nobody_else_does() {
    let config = config(&[weighted("red", 100), weighted("blue", 100)]);
    let mut shell = Shell { broker: Broker::new(config, Instant(0)).unwrap(), now: Instant(0) };
    let (first, second, other) = (SessionId(1), SessionId(2), SessionId(3));
    for (session, uid) in [(first, 1000), (second, 1000), (other, 1001)] {
        shell.connect(session, uid);
        shell.say(session, Ready { device: facts() }.into());
    }
    let bytes = Bytes(4096);
    let actions = shell.say(first, ChargeRequest { kind: ChargeKind::Vram, backing: Backing::Memfd, bytes }.into());
    let Action::CreateMemory { charge: memory, request, .. } = actions[0] else { panic!("{actions:?}") };
    shell.tell(Input::MemoryCreated { session: first, charge: memory, created: true });
    let keep = Action::KeepMemory { session: first, request, memory, bytes };
    assert_eq!(shell.say(first, ShareCharge { charge: memory, tenant: None, write: 0 }.into()), [keep]);
    let join = JoinCharge { share: ShareId(memory.0), bytes };
    let actions = shell.say(other, join.clone().into());
    let denied =
        |order: &WorkerOrder| matches!(order, WorkerOrder::ChargeDenied(d) if d.code == DenyCode::UnknownObject);
    assert!(matches!(&actions[..], [Action::Order { order, .. }] if denied(order)), "{actions:?}");
    let actions = shell.say(second, join.clone().into());
    let Action::PassMemory { charge, memory: passed, .. } = actions[0] else { panic!("{actions:?}") };
    assert_eq!((passed, shell.broker.ledger().total().vram), (memory, 4096));
    shell.tell(Input::MemoryCreated { session: second, charge, created: true });
    // Who offered it goes; who has it keeps it, and nobody else gets it.
    let actions = shell.tell(Input::WorkerExited { session: first, signal: 9, view: None });
    assert!(actions.contains(&Action::ForgetMemory { memory }), "{actions:?}");
    assert_eq!(shell.broker.ledger().total().vram, 4096);
    let actions = shell.say(second, join.into());
    assert!(matches!(&actions[..], [Action::Order { order, .. }] if denied(order)), "{actions:?}");
    shell.tell(Input::WorkerExited { session: second, signal: 9, view: None });
    assert!(shell.broker.ledger().is_zero());
}

#[test]
fn a_guest_that_comes_and_goes_is_no_news_for_the_owner_of_memory() {
    let mut red = weighted("red", 100);
    red.shares = vec![ShareRule { with: name("blue"), write: false }];
    let config = config(&[red, weighted("blue", 100)]);
    let mut shell = Shell { broker: Broker::new(config, Instant(0)).unwrap(), now: Instant(0) };
    let (first, second, guest) = (SessionId(1), SessionId(2), SessionId(3));
    for (session, uid) in [(first, 1000), (second, 1000), (guest, 1001)] {
        shell.connect(session, uid);
        shell.say(session, Ready { device: facts() }.into());
    }
    let bytes = Bytes(4096);
    let actions = shell.say(first, ChargeRequest { kind: ChargeKind::Vram, backing: Backing::Memfd, bytes }.into());
    let Action::CreateMemory { charge: memory, .. } = actions[0] else { panic!("{actions:?}") };
    shell.tell(Input::MemoryCreated { session: first, charge: memory, created: true });
    shell.say(first, ShareCharge { charge: memory, tenant: Some(name("blue")), write: 0 }.into());
    for _ in 0..3 {
        let actions = shell.say(guest, JoinCharge { share: ShareId(memory.0), bytes }.into());
        let [Action::PassMemory { charge, session, .. }] = actions[..] else { panic!("{actions:?}") };
        assert_eq!(session, guest);
        assert_eq!(shell.tell(Input::MemoryCreated { session: guest, charge, created: true }), []);
        assert_eq!(shell.say(guest, ReleaseCharge { charge }.into()), []);
    }
    // That the last one has let go is.
    let actions = shell.say(guest, JoinCharge { share: ShareId(memory.0), bytes }.into());
    let [Action::PassMemory { charge, .. }] = actions[..] else { panic!("{actions:?}") };
    shell.tell(Input::MemoryCreated { session: guest, charge, created: true });
    shell.say(first, ReleaseCharge { charge: memory }.into());
    let told = shell.say(guest, ReleaseCharge { charge }.into());
    let whom: Vec<SessionId> = told
        .iter()
        .map(|action| match action {
            Action::Order { session, order: WorkerOrder::UsageChanged(usage), .. } if usage.vram_used.0 == 0 => {
                *session
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(whom, [first, second]);
}

#[test]
fn a_session_sent_away_before_it_is_ready_has_to_say_that_it_went() {
    let mut config = config(&[weighted("red", 100)]);
    config.devices[0].partitions =
        ["left", "right"].map(|n| PartitionConfig { name: name(n), cus: 4 }).into_iter().collect();
    config.tenants.iter_mut().for_each(|tenant| tenant.partition = Some(name("left")));
    let patience = config.start_timeout;
    let mut shell = Shell { broker: Broker::new(config, Instant(0)).unwrap(), now: Instant(0) };
    shell.connect(RED, 1000);
    let change = TenantChange { partition: Some(Some(name("right"))), ..TenantChange::default() };
    let command = AdminCommand::TenantSet(name("red"), change);
    let actions = shell.tell(Input::Admin { token: AdminToken(1), command });
    assert!(actions.contains(&Action::MoveSession { session: RED, partition: 1 }), "{actions:?}");
    shell.now = Instant(MS);
    shell.say(RED, Ready { device: facts() }.into());
    assert_eq!(shell.broker.poll_timeout(), Some(shell.now.after(patience)));
    shell.say(RED, Moved { partition: PartitionId(1) }.into());
    assert_eq!(shell.broker.poll_timeout(), None);
}

#[test]
fn a_worker_that_floods_is_ended() {
    let mut shell = Shell::new();
    let wanted = ChargeRequest { kind: ChargeKind::Vram, backing: Backing::Memfd, bytes: Bytes(1) };
    for _ in 0..proto::limits::REQUESTS_IN_FLIGHT_MAX {
        assert!(matches!(shell.say(RED, wanted.clone().into())[..], [Action::CreateMemory { .. }]));
    }
    assert_eq!(shell.say(RED, wanted.into()), [Action::KillWorker { session: RED }]);
}

fn scrub_of(actions: &[Action]) -> Scrub {
    let scrub = actions.iter().find_map(|a| if let Action::GrantLease { scrub, .. } = a { Some(*scrub) } else { None });
    scrub.expect("a grant")
}

/// Found by the simulator, world `flood`, seed 1.
#[test]
fn a_lease_that_was_not_wanted_leaves_the_device_dirty() {
    let mut shell = Shell::new();
    let (generation, word) = shell.lease(RED);
    let view =
        GateView { report: generation, first_instruction_at: shell.now, ..GateView::new(word.release(false).unwrap()) };
    shell.tell(Input::Gate { session: RED, view });
    for _ in 0..2 {
        let actions = shell.runnable(BLUE);
        assert_eq!(scrub_of(&actions), Scrub::ALL, "red was the last to run");
        let (_, generation) = granting(&actions).unwrap();
        shell.tell(Input::GrantOutcome { session: BLUE, generation, granted_at: None });
    }
}

#[test]
fn a_worker_that_dies_before_its_first_instruction_leaves_the_device_dirty() {
    let mut shell = Shell::new();
    let (generation, _) = shell.lease(RED);
    shell.tell(Input::WorkerExited { session: RED, signal: 9, view: None });
    let hello = Hello { tenant: None, command: Text::EMPTY, device: 0 };
    let peer = Peer { pid: 1, uid: 1000, gid: 1, cgroup: "/".into() };
    shell.tell(Input::Hello { connection: ConnectionId(9), peer, hello: Ok(hello) });
    shell.say(SessionId(3), Ready { device: facts() }.into());
    assert_eq!(scrub_of(&shell.runnable(SessionId(3))), Scrub::ALL, "{generation} may not have scrubbed");
}

fn charged(shell: &mut Shell, tenant: &str) -> u64 {
    let command = AdminCommand::TenantShow(name(tenant));
    let actions = shell.tell(Input::Admin { token: AdminToken(1), command });
    match &actions[..] {
        [Action::Reply { reply: Ok(broker::AdminReply::Tenants(tenants)), .. }] => tenants[0].charged.0,
        other => panic!("{other:?}"),
    }
}

/// Found by the simulator, world `hostile`, seed 18.
#[test]
fn a_worker_that_says_it_was_parked_while_others_waited_pays() {
    let mut shell = Shell::new();
    let (generation, word) = shell.lease(RED);
    let view = |parked_total| GateView {
        report: generation,
        first_instruction_at: Instant(1),
        parked_total: proto::Nanos(parked_total),
        ..GateView::new(word)
    };
    shell.now = Instant(MS);
    shell.runnable(BLUE);
    shell.tell(Input::TakeOutcome { session: RED, generation, taken: false, view: view(0) });
    shell.now = Instant(4 * MS);
    shell.tell(Input::Gate { session: RED, view: view(u64::MAX) });
    assert_eq!(charged(&mut shell, "red"), 4 * MS);
}

/// Found by the simulator, world `hostile`, seed 18.
#[test]
fn a_worker_that_says_it_stopped_long_ago_pays_for_what_it_ran() {
    let mut shell = Shell::new();
    let (generation, word) = shell.lease(RED);
    shell.now = Instant(4 * MS);
    let view = GateView {
        report: generation,
        first_instruction_at: Instant(1),
        stopped_at: Instant(1),
        ..GateView::new(word.release(true).unwrap())
    };
    shell.tell(Input::Gate { session: RED, view });
    assert_eq!(charged(&mut shell, "red"), 4 * MS - broker::STOP_CLAIM_MAX.0);
}

/// Found by the simulator, world `mixed`, seed 1689.
#[test]
fn parking_is_free_to_the_end_of_a_session() {
    let mut shell = Shell::new();
    let (generation, word) = shell.lease(RED);
    let view = GateView {
        report: generation,
        first_instruction_at: Instant(1),
        parked_at: Instant(MS),
        ..GateView::new(word.park().and_then(GateWord::stop).unwrap())
    };
    shell.now = Instant(10 * MS);
    shell.tell(Input::WorkerExited { session: RED, signal: 0, view: Some(view) });
    assert_eq!(charged(&mut shell, "red"), MS);
}
