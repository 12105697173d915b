//! The worlds on a fixed set of seeds, the same run twice, and lines that break a rule.
//!
//! Every dishonest line must make a checker fail, and the right one: this is what says that the checkers can fail.

use broker::{Action, Config, Event, Input};
use proto::gate::{LeaseState, Scrub};
use proto::message::WorkerReport;
use proto::{Nanos, SessionId};
use sched::Weight;

use crate::broken::Broken;
use crate::line::Line;
use crate::trace::Voice;
use crate::{Scenario, worlds};

fn world(name: &str, seed: u64) -> Scenario {
    worlds::named(name).expect("a world of this name").scenario(seed)
}

#[test]
fn worlds_keep_their_promises() {
    for recipe in worlds::ALL {
        for seed in 0..16 {
            let run = crate::run_with_and_without(&recipe.scenario(seed));
            assert_eq!(run.failure(), None);
        }
    }
}

#[test]
fn a_seed_is_a_run() {
    for recipe in worlds::ALL {
        let hash = |seed| crate::run(&recipe.scenario(seed)).report.hash;
        assert_eq!(hash(5), hash(5), "two runs of one seed of {} differ", recipe.name);
        assert_ne!(hash(5), hash(6), "two seeds of {} do not differ", recipe.name);
    }
}

#[test]
fn a_failure_says_how_to_see_it_again() {
    let run = crate::run_on(&world("calm", 3), &mut NeverScrubs, Voice::Hashed);
    let failure = run.failure().expect("it fails");
    assert!(failure.starts_with("FAILED sim seed=3 world=calm: "), "{failure}");
    assert!(failure.ends_with("(rerun: cargo run -p wavegate-sim -- --seed 3 --world calm)"), "{failure}");
}

/// Plays a few seeds over a dishonest line; every one of them must break what `expected` says.
#[track_caller]
fn breaks<L: Line>(name: &str, mut line: impl FnMut() -> L, expected: impl Fn(&Broken) -> bool) {
    for seed in 1..4 {
        let run = crate::run_on(&world(name, seed), &mut line(), Voice::Hashed);
        assert!(run.broken.as_ref().is_some_and(&expected), "{name}, seed {seed}: {:?}", run.broken);
    }
}

/// The broker never hears that a charge was given back.
struct ForgetsReleases;

impl Line for ForgetsReleases {
    fn input(&mut self, input: Input) -> Vec<Input> {
        let release = matches!(&input, Input::WorkerSaid { report: Ok(WorkerReport::ReleaseCharge(_)), .. });
        if release { vec![] } else { vec![input] }
    }
}

#[test]
fn a_charge_that_is_not_released_is_seen() {
    breaks("churn", || ForgetsReleases, |broken| matches!(broken, Broken::Books { .. }));
}

/// Every request for memory arrives twice.
struct ChargesTwice;

impl Line for ChargesTwice {
    fn input(&mut self, input: Input) -> Vec<Input> {
        let request = matches!(&input, Input::WorkerSaid { report: Ok(WorkerReport::ChargeRequest(_)), .. });
        if request { vec![input.clone(), input] } else { vec![input] }
    }
}

#[test]
fn a_charge_that_is_booked_twice_is_seen() {
    breaks("churn", || ChargesTwice, |broken| matches!(broken, Broken::NotAsked(..)));
}

/// The broker is told that every lease was parked and has been taken.
struct TakesWhatRuns;

impl Line for TakesWhatRuns {
    fn input(&mut self, mut input: Input) -> Vec<Input> {
        if let Input::TakeOutcome { taken, .. } = &mut input {
            *taken = true;
        }
        vec![input]
    }
}

#[test]
fn two_leases_are_seen() {
    breaks("calm", || TakesWhatRuns, |broken| matches!(broken, Broken::TwoHolders(..)));
}

/// Nobody is ever told to scrub.
struct NeverScrubs;

impl Line for NeverScrubs {
    fn action(&mut self, mut action: Action) -> Vec<Action> {
        if let Action::GrantLease { scrub, .. } = &mut action {
            *scrub = Scrub::NONE;
        }
        vec![action]
    }
}

#[test]
fn leftovers_are_seen() {
    breaks("calm", || NeverScrubs, |broken| matches!(broken, Broken::Residue { .. }));
}

/// The broker is configured with equal weights: what an unfair pick amounts to.
struct IgnoresWeights;

impl Line for IgnoresWeights {
    fn config(&mut self, mut config: Config) -> Config {
        config.tenants.iter_mut().for_each(|tenant| tenant.weight = Weight::DEFAULT);
        config
    }
}

#[test]
fn unfair_picks_are_seen() {
    breaks("calm", || IgnoresWeights, |broken| matches!(broken, Broken::Apart { .. } | Broken::Share { .. }));
}

/// The broker never hears that this session has work.
struct Deaf(SessionId);

impl Line for Deaf {
    fn input(&mut self, input: Input) -> Vec<Input> {
        match &input {
            Input::Gate { session, view } if *session == self.0 && view.word.state() == Some(LeaseState::Runnable) => {
                vec![]
            }
            _ => vec![input],
        }
    }
}

#[test]
fn a_tenant_that_starves_is_seen() {
    let alone = |scenario: &mut Scenario| {
        // The deaf one must be its tenant's only program, or the other would stand in for it.
        let mut seen = std::collections::BTreeSet::new();
        scenario.programs.retain(|p| seen.insert(p.tenant));
    };
    for seed in 1..4 {
        let mut scenario = world("calm", seed);
        alone(&mut scenario);
        let broken = crate::run_on(&scenario, &mut Deaf(SessionId(1)), Voice::Hashed).broken;
        assert!(matches!(broken, Some(Broken::Starved { .. } | Broken::Apart { .. })), "seed {seed}: {broken:?}");
    }
}

/// The broker never hears that a worker is gone.
struct ForgetsDeaths;

impl Line for ForgetsDeaths {
    fn input(&mut self, input: Input) -> Vec<Input> {
        if matches!(input, Input::WorkerExited { .. }) { vec![] } else { vec![input] }
    }
}

#[test]
fn a_session_that_never_ends_is_seen() {
    breaks("calm", || ForgetsDeaths, |broken| matches!(broken, Broken::NeverEnded(_)));
}

/// Sessions are released twice.
struct ReleasesTwice;

impl Line for ReleasesTwice {
    fn action(&mut self, action: Action) -> Vec<Action> {
        if matches!(action, Action::ReleaseSession { .. }) { vec![action.clone(), action] } else { vec![action] }
    }
}

#[test]
fn an_action_for_a_session_that_is_gone_is_seen() {
    breaks("calm", || ReleasesTwice, |broken| matches!(broken, Broken::Gone(..)));
}

/// A part of every switch is lost.
struct LosesParts;

impl Line for LosesParts {
    fn action(&mut self, mut action: Action) -> Vec<Action> {
        if let Action::Emit(Event::Switched { parts, .. }) = &mut action {
            parts.start = Nanos(parts.start.0 / 2);
        }
        vec![action]
    }
}

#[test]
fn a_switch_whose_parts_do_not_fit_is_seen() {
    breaks("calm", || LosesParts, |broken| matches!(broken, Broken::Parts(_)));
}

/// Device time vanishes between the broker's books and whoever asks for them.
struct LosesTime;

impl Line for LosesTime {
    fn action(&mut self, mut action: Action) -> Vec<Action> {
        if let Action::Reply { reply: Ok(broker::AdminReply::Status(status)), .. } = &mut action {
            status.devices[0].partitions[0].totals.occupancy.0 -= 1;
        }
        vec![action]
    }
}

#[test]
fn time_that_is_lost_is_seen() {
    breaks("calm", || LosesTime, |broken| matches!(broken, Broken::Wall { .. }));
}

/// A session ends for a reason nobody gave.
struct Slanders;

impl Line for Slanders {
    fn action(&mut self, mut action: Action) -> Vec<Action> {
        if let Action::Emit(Event::Ended { reason, .. }) = &mut action {
            *reason = proto::message::EndReason::Runaway;
        }
        vec![action]
    }
}

#[test]
fn a_wrong_reason_is_seen() {
    breaks("calm", || Slanders, |broken| matches!(broken, Broken::Reason(..)));
}

#[test]
fn an_innocent_that_gets_less_is_seen() {
    let scenario = world("hostile", 1);
    let with = crate::run(&scenario).report;
    let without = crate::run(&scenario.without_attackers()).report;
    assert_eq!(crate::innocents::compare(&scenario, &with, &without), Ok(()));
    let mut robbed = with;
    let ada = robbed.tenants.iter_mut().find(|t| t.tenant.as_str() == "ada").expect("ada is there");
    (ada.had, ada.charges) = (Nanos(0), (0, 0));
    let broken = crate::innocents::compare(&scenario, &robbed, &without);
    assert!(matches!(broken, Err(Broken::Innocent { .. })), "{broken:?}");
}
