//! A set of tenants that stays busy from the start, and the exact fluid device beside it.
//!
//! The fluid device gives tenant `i` the fraction `w_i / W` of every nanosecond. After `B` ns it is ahead of the real one
//! for tenant `i` by `(w_i * B - W * S_i) / W`: integers all the way, and independent of the scheduler's own books.

use std::vec::Vec;

use crate::queue::Rule;
use crate::*;

pub(super) const SLICE: u64 = 1_000;

/// A busy set on a scheduler that dispatches it.
pub(super) struct Steady {
    pub(super) sched: Scheduler,
    pub(super) ids: Vec<NodeId>,
    pub(super) weights: Vec<u32>,
    /// What each was served, in ns.
    pub(super) served: Vec<u64>,
    /// What all were served, in ns.
    pub(super) busy: u64,
    /// The sum of the weights.
    pub(super) total: u64,
    pub(super) occupancy_max: u64,
}

impl Steady {
    pub(super) fn new(rule: Rule, occupancy_max: u64, weights: &[u32], class: impl Fn(usize) -> Class) -> Steady {
        let config = Config { policy: Policy::Weighted, slice: Nanos(SLICE), occupancy_max: Nanos(occupancy_max) };
        let mut sched = Scheduler::with_rule(config, rule);
        let ids: Vec<_> = (0..weights.len())
            .map(|i| {
                let params = Params { weight: Weight::new(weights[i]).unwrap(), class: class(i), ..Params::default() };
                let id = sched.join(sched.root(), params, Instant(0)).unwrap();
                sched.wake(id, Instant(0)).unwrap();
                id
            })
            .collect();
        let total = weights.iter().copied().map(u64::from).sum();
        let served = std::vec![0; ids.len()];
        Steady { sched, ids, weights: weights.to_vec(), served, busy: 0, total, occupancy_max }
    }

    /// Dispatches one tenant for as long as `occupancy` says (clamped to the enforced maximum) and returns who it was.
    pub(super) fn dispatch(&mut self, mut occupancy: impl FnMut(usize) -> u64) -> usize {
        let grant = self.sched.pick(Instant(self.busy)).expect("everybody is busy");
        let who = grant.node.slot as usize - 1;
        assert_eq!(self.ids[who], grant.node);
        let span = occupancy(who).clamp(1, self.occupancy_max);
        self.served[who] += span;
        self.busy += span;
        self.sched.charge(grant.node, ChargeKind::Occupancy, Instant(self.busy)).unwrap();
        who
    }

    /// Returns the lag of a tenant in millionths of L, rounded towards minus infinity.
    pub(super) fn lag_ppm(&self, who: usize) -> i64 {
        let fluid = i128::from(self.weights[who]) * i128::from(self.busy);
        let real = i128::from(self.total) * i128::from(self.served[who]);
        let unit = i128::from(self.total) * i128::from(self.occupancy_max);
        ((fluid - real) * 1_000_000).div_euclid(unit) as i64
    }

    /// Returns the lag of a tenant in ns, rounded towards minus infinity.
    pub(super) fn lag_ns(&self, who: usize) -> i64 {
        let fluid = i128::from(self.weights[who]) * i128::from(self.busy);
        let real = i128::from(self.total) * i128::from(self.served[who]);
        (fluid - real).div_euclid(i128::from(self.total)) as i64
    }
}

/// A small generator, so that a scenario is its seed (Marsaglia, "Xorshift RNGs", 2003).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
