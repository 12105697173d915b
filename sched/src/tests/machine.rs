//! Any sequence of calls, against a fluid device that counts in rationals.
//!
//! The model knows nothing of virtual time. It keeps what every active node is owed, in ns: service is entitled to by
//! weight, who leaves has its lag spread over those who stay, and who enters takes its own from them. How much that is when
//! somebody enters is the scheduler's word, checked for sanity; everything else must agree exactly.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;

use crate::*;

const SLICE: u64 = 1_000_000;
const LONGEST: u64 = 4_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    Join {
        parent: usize,
        weight: u32,
    },
    Leave(usize),
    Wake(usize),
    Sleep(usize),
    Pause(usize),
    Resume(usize),
    Weigh(usize, u32),
    Charge(usize, ChargeKind, u64),
    /// Charges the holder.
    Run(u64),
    Pick,
    Renew,
    Idle(u64),
    /// A clock that stands still or jumps back.
    Jump(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..64usize;
    let weight = prop_oneof![1..1000u32, 1..=1_000_000u32];
    let span = prop_oneof![Just(1u64), 1..SLICE, Just(SLICE), 1..LONGEST];
    let kind = prop_oneof![Just(ChargeKind::SwitchIn), Just(ChargeKind::Scrub), Just(ChargeKind::Recovery)];
    prop_oneof![
        4 => (who.clone(), weight.clone()).prop_map(|(parent, weight)| Step::Join { parent, weight }),
        1 => who.clone().prop_map(Step::Leave),
        6 => who.clone().prop_map(Step::Wake),
        3 => who.clone().prop_map(Step::Sleep),
        1 => who.clone().prop_map(Step::Pause),
        2 => who.clone().prop_map(Step::Resume),
        2 => (who.clone(), weight).prop_map(|(who, weight)| Step::Weigh(who, weight)),
        2 => (who, kind, span.clone()).prop_map(|(who, kind, span)| Step::Charge(who, kind, span)),
        8 => span.clone().prop_map(Step::Run),
        8 => Just(Step::Pick),
        2 => Just(Step::Renew),
        1 => span.clone().prop_map(Step::Idle),
        1 => span.prop_map(Step::Jump),
    ]
}

struct Member {
    parent: NodeId,
    weight: u32,
    runnable: bool,
    paused: bool,
    groups: bool,
    /// What it is owed, in ns, while it is active.
    lag: Option<BigRational>,
    service: u64,
}

struct Model {
    sched: Scheduler,
    members: BTreeMap<NodeId, Member>,
    now: u64,
    charged: u64,
}

fn rational(numerator: i128, denominator: i128) -> BigRational {
    BigRational::new(BigInt::from(numerator), BigInt::from(denominator))
}

impl Model {
    fn new() -> Model {
        let config = Config { policy: Policy::Weighted, slice: Nanos(SLICE), occupancy_max: Nanos(LONGEST) };
        Model { sched: Scheduler::new(config, Instant(7)).unwrap(), members: BTreeMap::new(), now: 7, charged: 0 }
    }

    fn pick_member(&self, n: usize) -> Option<NodeId> {
        let count = self.members.len();
        (count > 0).then(|| *self.members.keys().nth(n % count).unwrap())
    }

    fn exact(&self, id: NodeId) -> BigRational {
        let (numerator, denominator) = self.sched.exact_lag(id);
        rational(numerator, denominator)
    }

    /// Gives every active member below `parent` its part by weight of `amount`.
    fn spread(&mut self, parent: NodeId, amount: &BigRational) {
        let mut shares: Vec<_> =
            self.members.values_mut().filter(|member| member.parent == parent && member.lag.is_some()).collect();
        let total: i128 = shares.iter().map(|member| i128::from(member.weight)).sum();
        for member in &mut shares {
            let part = amount * rational(member.weight.into(), total);
            *member.lag.as_mut().unwrap() += part;
        }
    }

    fn charge(&mut self, id: NodeId, span: u64) {
        let (mut at, amount) = (id, rational(span.into(), 1));
        while let Some(member) = self.members.get_mut(&at) {
            member.service += span;
            let parent = member.parent;
            if let Some(lag) = &mut member.lag {
                *lag -= &amount;
                self.spread(parent, &amount);
            }
            at = parent;
        }
        self.charged += span;
    }

    /// Follows a change at `id` up the tree: who should now be active, and is not, enters, and the other way round.
    fn refresh(&mut self, id: NodeId) {
        let mut at = id;
        while let Some(member) = self.members.get(&at) {
            let has_work = if member.groups {
                self.members.values().any(|other| other.parent == at && other.lag.is_some())
            } else {
                member.runnable
            };
            let (wanted, parent) = (has_work && !member.paused, member.parent);
            match (&member.lag, wanted) {
                (None, true) => {
                    let entered = self.exact(at);
                    // Beside a single sibling it may also be owed what that one owes.
                    let others = self.members.values().filter(|other| other.parent == parent && other.lag.is_some());
                    assert!(others.count() == 1 || entered <= rational(LONGEST.into(), 1), "credit is clamped");
                    self.spread(parent, &-&entered);
                    self.members.get_mut(&at).unwrap().lag = Some(entered);
                }
                (Some(lag), false) => {
                    let left = lag.clone();
                    self.members.get_mut(&at).unwrap().lag = None;
                    self.spread(parent, &left);
                }
                _ => return,
            }
            at = parent;
        }
    }

    /// Changing a weight changes lags by less than 2^-20 ns: the exact mean is no longer a whole number of parts.
    fn reweighed(&mut self, id: NodeId, weight: u32) {
        let member = self.members.get_mut(&id).unwrap();
        let parent = member.parent;
        member.weight = weight;
        let siblings: Vec<NodeId> = self.members.keys().copied().collect();
        for id in siblings {
            let exact = self.members[&id].lag.is_some().then(|| self.exact(id));
            let member = self.members.get_mut(&id).unwrap();
            if let (Some(exact), true) = (exact, member.parent == parent) {
                let moved = &exact - member.lag.as_ref().unwrap();
                let tick = rational(1, 1 << 20);
                assert!(-&tick < moved && moved < tick, "changing a weight moved {id} by {moved} ns");
                member.lag = Some(exact);
            }
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Join { parent, weight } => {
                let parent = if parent % 3 == 0 { None } else { self.pick_member(parent) };
                let parent = parent.unwrap_or(self.sched.root());
                let params = Params::weight(Weight::new(weight).unwrap());
                if let Ok(id) = self.sched.join(parent, params, Instant(self.now)) {
                    if let Some(parent) = self.members.get_mut(&parent) {
                        assert!(!parent.runnable);
                        parent.groups = true;
                    }
                    let member =
                        Member { parent, weight, runnable: false, paused: false, groups: false, lag: None, service: 0 };
                    assert!(self.members.insert(id, member).is_none(), "a name was used twice");
                }
            }
            Step::Leave(n) => {
                let Some(id) = self.pick_member(n) else { return };
                let below = self.members.values().filter(|member| member.parent == id).count() as u32;
                let left = self.sched.leave(id);
                if below > 0 {
                    assert_eq!(left, Err(LeaveError::HasMembers { node: id, members: below }));
                    return;
                }
                assert_eq!(left, Ok(()));
                self.members.get_mut(&id).unwrap().runnable = false;
                self.refresh(id);
                self.members.remove(&id);
                assert_eq!(self.sched.lag(id), Err(NodeError::Unknown { node: id }));
            }
            Step::Wake(n) => self.set_runnable(n, true),
            Step::Sleep(n) => self.set_runnable(n, false),
            Step::Pause(n) | Step::Resume(n) => {
                let Some(id) = self.pick_member(n) else { return };
                let pause = matches!(step, Step::Pause(_));
                if pause {
                    let holder = self.sched.holder();
                    let ended = self.sched.pause(id).unwrap();
                    assert_eq!(self.sched.holder(), if ended.is_some() { None } else { holder });
                } else {
                    self.sched.resume(id, Instant(self.now)).unwrap();
                }
                self.members.get_mut(&id).unwrap().paused = pause;
                self.refresh(id);
            }
            Step::Weigh(n, weight) => {
                let Some(id) = self.pick_member(n) else { return };
                let params = Params::weight(Weight::new(weight).unwrap());
                self.sched.set_params(id, params, Instant(self.now)).unwrap();
                self.reweighed(id, weight);
            }
            Step::Charge(n, kind, span) => {
                let Some(id) = self.pick_member(n) else { return };
                self.now += span;
                assert_eq!(self.sched.charge(id, kind, Instant(self.now)), Ok(Nanos(span)));
                self.charge(id, span);
            }
            Step::Run(span) => {
                let Some(id) = self.sched.holder() else { return };
                self.now += span;
                assert_eq!(self.sched.charge(id, ChargeKind::Occupancy, Instant(self.now)), Ok(Nanos(span)));
                self.charge(id, span);
            }
            Step::Pick => {
                let grant = self.sched.pick(Instant(self.now));
                let busy =
                    self.members.values().any(|member| member.parent == self.sched.root() && member.lag.is_some());
                assert_eq!(grant.is_some(), busy, "work conserving");
                let Some(grant) = grant else { return };
                assert_eq!(self.sched.holder(), Some(grant.node));
                assert!(self.members[&grant.node].runnable);
                let mut at = grant.node;
                while let Some(member) = self.members.get(&at) {
                    // Eligible to a tick.
                    let tick = rational(member.weight.into(), 1 << 20);
                    assert!(member.lag.as_ref().unwrap() >= &-tick, "{at} was picked and is not eligible");
                    at = member.parent;
                }
            }
            Step::Renew => {
                let holder = self.sched.holder();
                if let Some(grant) = self.sched.renew(Instant(self.now)) {
                    assert_eq!(Some(grant.node), holder);
                }
                assert_eq!(self.sched.holder(), holder);
            }
            Step::Idle(span) => {
                self.now += span;
                assert_eq!(self.sched.idle(Instant(self.now)), Nanos(span));
            }
            Step::Jump(span) => {
                let Some(id) = self.pick_member(0) else { return };
                let back = Instant(self.now.saturating_sub(span));
                assert_eq!(self.sched.charge(id, ChargeKind::Occupancy, back), Ok(Nanos::ZERO));
                assert_eq!(self.sched.idle(back), Nanos::ZERO);
            }
        }
    }

    fn set_runnable(&mut self, n: usize, runnable: bool) {
        let Some(id) = self.pick_member(n) else { return };
        let refused = if runnable {
            self.sched.wake(id, Instant(self.now)).err()
        } else {
            self.sched.sleep(id, Instant(self.now)).err()
        };
        if self.members[&id].groups {
            assert_eq!(refused, Some(NodeError::NotASession { node: id }));
            return;
        }
        assert_eq!(refused, None);
        self.members.get_mut(&id).unwrap().runnable = runnable;
        self.refresh(id);
    }

    fn check(&self) {
        let mut sums: BTreeMap<NodeId, BigRational> = BTreeMap::new();
        for (id, member) in &self.members {
            assert_eq!(self.sched.service(*id), Ok(Nanos(member.service)));
            if let Some(lag) = &member.lag {
                let exact = self.exact(*id);
                assert_eq!(&exact, lag, "{id} has a lag of {exact} ns");
                *sums.entry(member.parent).or_default() += exact;
            }
        }
        assert!(sums.values().all(|sum| *sum == BigRational::default()), "lags of siblings sum to zero");
        // Conservation: tenant + switch + scrub + recovery + idle = wall, to the nanosecond.
        let totals = self.sched.totals();
        assert_eq!(totals.wall(), Nanos(self.now - 7));
        assert_eq!(totals.wall().0 - totals.idle.0, self.charged);
        assert_eq!(self.sched.booked_until(), Instant(self.now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_calls_agree_with_a_fluid_device(steps in prop::collection::vec(step(), 1..400)) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
            model.check();
        }
    }
}
