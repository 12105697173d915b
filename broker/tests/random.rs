//! Random worlds: whatever happens, in whatever order, the promises of the crate hold.
//!
//! The world's own checks run after every action: at most one holder, nobody named after it is gone, nobody ends twice, booked is
//! at least pinned, a bounded number of actions. In the end everything is shut down and nothing may be left.

mod world;

use broker::{AdminCommand, AdminToken, Config, GateView, Input, TenantChange};
use proptest::prelude::*;
use proto::gate::GateWord;
use proto::message::worker::ChargeKind;
use proto::{ChargeId, Instant, LeaseGeneration, RequestId, SessionId, Violation};
use world::{World, config, name, weighted};

#[derive(Clone, Debug)]
enum Happening {
    Connect(u32),
    Ready(usize),
    Submit(usize, u64),
    Pass(u64),
    Charge(usize, u8, u64, bool),
    Release(usize),
    TenantDies(usize),
    WorkerDies(usize),
    WorkerSticks(usize),
    WorkerBreaks(usize),
    Kill(usize),
    Pause(usize, bool),
    Weight(usize, u32),
    MemoryFails(bool),
    Remove(usize),
    Nonsense(u64, u64, u8),
    /// Its worker lies in every number it reports.
    Lies(usize, u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::*;
    let who = 0..6usize;
    prop_oneof![
        4 => (999..1004u32).prop_map(Connect),
        1 => who.clone().prop_map(Ready),
        8 => (who.clone(), prop_oneof![1..50_000u64, 1..50_000_000u64, 1..20_000_000_000u64]).prop_map(|(w, n)| Submit(w, n)),
        8 => prop_oneof![1..100_000u64, 1..40_000_000u64, 1..2_000_000_000u64].prop_map(Pass),
        4 => (who.clone(), 0..8u8, prop_oneof![0..100_000u64, any::<u64>()], any::<bool>())
            .prop_map(|(w, k, b, m)| Charge(w, k, b, m)),
        2 => who.clone().prop_map(Release),
        1 => who.clone().prop_map(TenantDies),
        1 => who.clone().prop_map(WorkerDies),
        1 => who.clone().prop_map(WorkerSticks),
        1 => who.clone().prop_map(WorkerBreaks),
        1 => who.clone().prop_map(Kill),
        1 => (0..3usize, any::<bool>()).prop_map(|(t, p)| Pause(t, p)),
        1 => (0..4usize, 1..1000u32).prop_map(|(t, n)| Weight(t, n)),
        1 => any::<bool>().prop_map(MemoryFails),
        1 => (0..4usize).prop_map(Remove),
        2 => (any::<u64>(), any::<u64>(), any::<u8>()).prop_map(|(a, b, c)| Nonsense(a, b, c)),
        1 => (who, any::<u64>()).prop_map(|(w, n)| Lies(w, n)),
    ]
}

const TENANTS: [&str; 4] = ["red", "blue", "green", "late"];

fn start() -> Config {
    let mut latency = weighted("green", 50);
    latency.class = sched::Class::Latency { request: sched::Nanos(500_000) };
    config(&[weighted("red", 300), weighted("blue", 100), latency])
}

fn view(word: u64, number: u64) -> GateView {
    GateView {
        report: LeaseGeneration::new(number as u32),
        parked_at: Instant(number),
        stopped_at: Instant(number.rotate_left(17)),
        first_instruction_at: Instant(number.rotate_left(29)),
        stop_seen_at: Instant(number.rotate_left(41)),
        parked_total: proto::Nanos(number.rotate_left(7)),
        dispatch_ran: proto::Nanos(number.rotate_left(11)),
        ..GateView::new(GateWord(word))
    }
}

fn happen(w: &mut World, happening: &Happening) {
    let sessions: Vec<SessionId> = w.workers.keys().copied().collect();
    let at = |i: &usize| sessions.get(i % sessions.len().max(1)).copied();
    use Happening::*;
    match happening {
        Connect(uid) => {
            // Every other worker is never ready, or much later.
            if let Some(s) = w.connect(*uid, None).filter(|s| s.0 % 2 == 0) {
                w.ready(s);
            }
        }
        Ready(i) => {
            if let Some(s) = at(i) {
                w.ready(s);
            }
        }
        Submit(i, work) => {
            if let Some(s) = at(i) {
                w.submit(s, *work);
            }
        }
        Pass(span) => w.run(*span),
        Charge(i, kind, bytes, memfd) => {
            if let (Some(s), Some(kind)) = (at(i), ChargeKind::from_number(u32::from(*kind) + 1)) {
                w.charge(s, kind, *bytes, *memfd);
            }
        }
        Release(i) => {
            if let Some(s) = at(i) {
                w.release_one(s);
            }
        }
        TenantDies(i) => {
            if let Some(session) = at(i) {
                w.input(Input::TenantDied { session });
            }
        }
        WorkerDies(i) => {
            if let Some(s) = at(i) {
                w.exit(s, 9);
            }
        }
        WorkerSticks(i) => {
            if let Some(s) = at(i) {
                w.workers.get_mut(&s).unwrap().stuck = true;
            }
        }
        WorkerBreaks(i) => {
            if let Some(session) = at(i) {
                let report = Err(Violation::Kind { got: 7 });
                w.input(Input::WorkerSaid { session, request: RequestId(1), report });
            }
        }
        Kill(i) => {
            if let Some(s) = at(i) {
                let _ = w.admin(AdminCommand::SessionKill(s));
            }
        }
        Pause(t, true) => drop(w.admin(AdminCommand::TenantPause(name(TENANTS[*t])))),
        Pause(t, false) => drop(w.admin(AdminCommand::TenantResume(name(TENANTS[*t])))),
        Weight(t, weight) => {
            let change = TenantChange { weight: sched::Weight::new(*weight), ..TenantChange::default() };
            let _ = w.admin(AdminCommand::TenantSet(name(TENANTS[*t]), change));
        }
        MemoryFails(fails) => w.memory_fails = *fails,
        Remove(t) => drop(w.admin(AdminCommand::TenantRemove(name(TENANTS[*t])))),
        Nonsense(a, b, c) => {
            let session = SessionId(1_000_000 + a % 10);
            let generation = LeaseGeneration::new(*b as u32);
            let nonsense = match c % 9 {
                0 => Input::TenantDied { session },
                1 => Input::WorkerExited { session, signal: 9, view: Some(view(*a, *b)) },
                2 => Input::MemoryCreated { session, charge: ChargeId(*b), created: true },
                3 => Input::Gate { session, view: view(*a, *b) },
                4 => Input::GrantOutcome { session, generation, granted_at: Some(Instant(*a)) },
                5 => Input::TakeOutcome { session, generation, taken: false, view: view(*a, *b) },
                6 => Input::WorkerSpawned { session, pid: 1 },
                7 => Input::WorkerSpawnFailed { session },
                _ => Input::Timer,
            };
            let stale = w.broker.stale();
            w.input(nonsense);
            assert!(c % 9 == 8 || w.broker.stale() == stale + 1, "nonsense is counted");
        }
        Lies(i, number) => {
            if let Some(s) = at(i) {
                let worker = w.workers.get_mut(&s).unwrap();
                let report = worker.view.report;
                worker.view = GateView { report, ..view(worker.word.0, *number) };
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_happens(happenings in proptest::collection::vec(happening(), 1..120)) {
        let mut w = World::new(start());
        for h in &happenings {
            happen(&mut w, h);
        }
        w.shut_down();
    }
}

#[test]
fn the_same_inputs_lead_to_the_same_actions() {
    let story = || {
        let mut w = World::new(start());
        for i in 0..200u64 {
            let h = match i % 5 {
                0 => Happening::Connect(1000 + (i / 5 % 3) as u32),
                1 => Happening::Ready(i as usize),
                2 => Happening::Submit(i as usize, i * 77_777),
                3 => Happening::Pass(i * 33_333),
                _ => Happening::Charge(i as usize, (i % 8) as u8, i * 999, i % 2 == 0),
            };
            happen(&mut w, &h);
        }
        w.input(Input::Admin { token: AdminToken(2), command: AdminCommand::Status });
        format!("{:?} {:?}", w.events, w.replies)
    };
    assert_eq!(story(), story());
}
