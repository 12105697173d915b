//! Ten thousand random traces of a thousand events, against fluid GPS in rationals: equal after every event, not close.
//!
//! The fluid device counts in fractions of a nanosecond and knows nothing of virtual time or ticks. While a set stays the same,
//! member `i` is owed `lag_i + w_i * B / W - S_i`, where `B` is what all were charged since the set changed and `S_i` what it was
//! itself. Whoever leaves has its lag spread over those who stay, by weight, and who enters takes its own from them. How much
//! that is when somebody enters is the scheduler's word, limited by what credit allows; the rest must agree exactly.
//!
//! `machine` does the same for trees and every call there is, in big integers, for fewer traces.

use std::vec::Vec;

use num_rational::Ratio;

use super::steady::{Random, SLICE};
use crate::*;

const TRACES: u64 = 10_000;
const EVENTS: usize = 1_000;
const LONGEST: u64 = 8 * SLICE;

type Exact = Ratio<i128>;

#[derive(Clone, Copy)]
struct Member {
    id: NodeId,
    weight: i128,
    /// What it was owed when the set changed last, while it is active.
    lag: Option<Exact>,
    /// What it was served since.
    served: i128,
    service: u64,
}

struct Fluid {
    sched: Scheduler,
    members: Vec<Member>,
    /// What all active members were served since the set changed.
    busy: i128,
    now: u64,
    idle: u64,
}

impl Fluid {
    fn new(random: &mut Random) -> Fluid {
        let config = Config { policy: Policy::Weighted, slice: Nanos(SLICE), occupancy_max: Nanos(LONGEST) };
        let mut sched = Scheduler::new(config, Instant(0)).unwrap();
        let heaviest = [4, 100, 1_000][random.below(3) as usize];
        let weights = (0..2 + random.below(7)).map(|_| 1 + random.below(heaviest) as u32);
        let members = weights.collect::<Vec<_>>().into_iter().map(|weight| {
            let params = Params::weight(Weight::new(weight).unwrap());
            let id = sched.join(sched.root(), params, Instant(0)).unwrap();
            Member { id, weight: weight.into(), lag: None, served: 0, service: 0 }
        });
        let members = members.collect();
        Fluid { sched, members, busy: 0, now: 0, idle: 0 }
    }

    fn total(&self) -> i128 {
        self.members.iter().filter(|member| member.lag.is_some()).map(|member| member.weight).sum()
    }

    /// Begins a new stretch: brings every lag up to date.
    fn settle(&mut self) {
        let (busy, total) = (std::mem::take(&mut self.busy), self.total());
        for member in &mut self.members {
            let served = std::mem::take(&mut member.served);
            if let Some(lag) = &mut member.lag {
                *lag += Exact::new(member.weight * busy, total) - served;
            }
        }
    }

    /// Gives every active member its part by weight of `amount`.
    fn spread(&mut self, amount: Exact) {
        let total = self.total();
        for member in &mut self.members {
            if let Some(lag) = &mut member.lag {
                *lag += amount * Exact::new(member.weight, total);
            }
        }
    }

    fn exact(&self, who: usize) -> Exact {
        let (numerator, denominator) = self.sched.exact_lag(self.members[who].id);
        Exact::new(numerator, denominator)
    }

    fn wake(&mut self, who: usize) {
        self.sched.wake(self.members[who].id, Instant(self.now)).unwrap();
        if self.members[who].lag.is_none() {
            self.settle();
            let entered = self.exact(who);
            if self.total() > 0 {
                self.spread(-entered);
            }
            self.members[who].lag = Some(entered);
        }
    }

    fn sleep(&mut self, who: usize) {
        self.sched.sleep(self.members[who].id, Instant(self.now)).unwrap();
        if self.members[who].lag.is_some() {
            self.settle();
            let left = self.members[who].lag.take().unwrap();
            if self.total() > 0 {
                self.spread(left);
            }
        }
    }

    /// Lets whose turn it is run for `span`.
    fn run(&mut self, span: u64) {
        self.now += span;
        let Some(grant) = self.sched.pick(Instant(self.now - span)) else {
            assert_eq!(self.total(), 0, "work conserving");
            self.idle += self.sched.idle(Instant(self.now)).0;
            return;
        };
        let who = self.members.iter().position(|member| member.id == grant.node).unwrap();
        let lag = self.exact(who);
        // Eligible to a tick.
        assert!(*lag.numer() * (1 << 20) >= -self.members[who].weight * *lag.denom(), "picked with a lag of {lag} ns");
        self.charge(who, span, ChargeKind::Occupancy);
    }

    fn charge(&mut self, who: usize, span: u64, kind: ChargeKind) {
        let member = &mut self.members[who];
        assert_eq!(self.sched.charge(member.id, kind, Instant(self.now)), Ok(Nanos(span)));
        member.service += span;
        if member.lag.is_some() {
            member.served += i128::from(span);
            self.busy += i128::from(span);
        }
    }

    fn check(&self) {
        let total = self.total();
        let mut sum = 0;
        for member in &self.members {
            assert_eq!(self.sched.service(member.id), Ok(Nanos(member.service)));
            let Some(lag) = &member.lag else { continue };
            // lag + w * B / W - S = numerator / denominator, multiplied out.
            let (numerator, denominator) = self.sched.exact_lag(member.id);
            let fluid = *lag.numer() * total + (member.weight * self.busy - total * member.served) * *lag.denom();
            assert_eq!(fluid * (denominator / total), numerator * *lag.denom(), "{} is owed something else", member.id);
            sum += numerator;
        }
        assert_eq!(sum, 0, "lags sum to zero");
        let totals = self.sched.totals();
        assert_eq!((totals.wall(), totals.idle), (Nanos(self.now), Nanos(self.idle)));
    }
}

fn play(seed: u64) {
    let mut random = Random::new(seed);
    let mut fluid = Fluid::new(&mut random);
    // Some sets hardly change, others do all the time.
    let restless = 1 + random.below(20);
    for _ in 0..EVENTS {
        let who = random.below(fluid.members.len() as u64) as usize;
        match random.below(40) {
            n if n < restless => fluid.wake(who),
            n if n < restless + restless.div_ceil(2) => fluid.sleep(who),
            38 => {
                let span = random.below(SLICE);
                fluid.now += span;
                fluid.charge(who, span, ChargeKind::Recovery);
            }
            39 => {
                let span = random.below(SLICE);
                fluid.now += span;
                fluid.idle += fluid.sched.idle(Instant(fluid.now)).0;
            }
            n => fluid.run(if n % 3 == 0 { 1 + random.below(LONGEST) } else { SLICE }),
        }
        fluid.check();
    }
}

#[test]
fn ten_thousand_traces_of_a_thousand_events_agree_with_a_fluid_device_in_rationals() {
    for seed in 0..TRACES {
        play(seed);
    }
}
