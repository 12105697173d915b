//! What each policy gives to whom, what happens to time nobody uses, and that changing the policy moves nobody.

use std::vec::Vec;

use super::steady::{Random, SLICE};
use crate::*;

const LONGEST: u64 = 3 * SLICE;

struct Device {
    sched: Scheduler,
    now: u64,
    tenants: Vec<NodeId>,
    sessions: Vec<NodeId>,
    granted: Vec<NodeId>,
}

impl Device {
    /// Tenants of these weights, each with one session, asleep.
    fn new(policy: Policy, weights: &[u32]) -> Device {
        let config = Config { policy, slice: Nanos(SLICE), occupancy_max: Nanos(LONGEST) };
        let mut sched = Scheduler::new(config, Instant(0)).unwrap();
        let weight = |w: &u32| Params::weight(Weight::new(*w).unwrap());
        let tenants: Vec<_> =
            weights.iter().map(|w| sched.join(sched.root(), weight(w), Instant(0)).unwrap()).collect();
        let join = |tenant: &NodeId| sched.join(*tenant, Params::default(), Instant(0)).unwrap();
        let sessions = tenants.iter().map(join).collect();
        Device { sched, now: 0, tenants, sessions, granted: Vec::new() }
    }

    fn wake(&mut self, who: &[usize]) {
        for &one in who {
            self.sched.wake(self.sessions[one], Instant(self.now)).unwrap();
        }
    }

    /// Lets the device run until `until`, turns as long as `turn` says.
    fn run(&mut self, until: u64, mut turn: impl FnMut(u64) -> u64) {
        while self.now < until {
            match self.sched.pick(Instant(self.now)) {
                Some(grant) => {
                    self.now += turn(grant.slice.0);
                    self.sched.charge(grant.node, ChargeKind::Occupancy, Instant(self.now)).unwrap();
                    self.granted.push(grant.node);
                }
                None => {
                    self.now = self.sched.next_event().expect("somebody wants the device").0;
                    self.sched.idle(Instant(self.now));
                }
            }
        }
        assert_eq!(self.sched.totals().wall(), Nanos(self.now), "conserved");
    }

    fn got(&self, who: usize) -> u64 {
        self.sched.service(self.tenants[who]).unwrap().0
    }

    /// Asserts that a tenant got `part` of `whole` of the time, within the bound.
    fn assert_share(&self, who: usize, part: u64, whole: u64) {
        let (got, due) = (self.got(who), self.now * part / whole);
        assert!(got.abs_diff(due) <= 3 * LONGEST, "tenant {who} got {got} of {due}");
    }
}

#[test]
fn fixed_share_leaves_unused_time_empty() {
    let mut device = Device::new(Policy::FixedShare, &[1, 1, 2]);
    device.wake(&[0, 2]);
    device.run(1_000 * SLICE, |slice| slice);
    device.assert_share(0, 1, 4);
    device.assert_share(2, 2, 4);
    assert!(device.sched.totals().idle.0.abs_diff(250 * SLICE) <= 3 * LONGEST, "{:?}", device.sched.totals());
}

#[test]
fn fixed_share_of_a_lone_tenant_is_its_share() {
    let mut device = Device::new(Policy::FixedShare, &[1, 3]);
    device.wake(&[0]);
    device.run(400 * SLICE, |slice| slice);
    device.assert_share(0, 1, 4);
}

#[test]
fn fixed_share_is_not_changed_by_who_comes_goes_or_is_paused() {
    let mut device = Device::new(Policy::FixedShare, &[1, 1, 1, 1]);
    device.wake(&[0, 1, 2, 3]);
    device.run(200 * SLICE, |slice| slice);
    device.sched.pause(device.tenants[1]).unwrap();
    device.sched.sleep(device.sessions[2], Instant(device.now)).unwrap();
    device.sched.leave(device.sessions[2]).unwrap();
    let before = device.got(1);
    device.run(400 * SLICE, |slice| slice);
    assert_eq!(device.got(1), before, "a paused tenant's time stays empty");
    device.assert_share(0, 1, 4);
    device.assert_share(3, 1, 4);
}

#[test]
fn equal_share_is_equal_among_those_present_whatever_they_weigh() {
    let mut device = Device::new(Policy::EqualShare, &[1, 1_000, 7]);
    // The third has a session that never woke: it is present all the same.
    device.wake(&[0, 1]);
    device.run(900 * SLICE, |slice| slice);
    for who in [0, 1] {
        device.assert_share(who, 1, 3);
    }
    // It goes, and the others have a half each from then on.
    let (then, before) = (device.now, [0, 1].map(|who| device.got(who)));
    device.sched.leave(device.sessions[2]).unwrap();
    device.run(then + 1_000 * SLICE, |slice| slice);
    for who in [0, 1] {
        let got = device.got(who) - before[who];
        assert!(got.abs_diff(500 * SLICE) <= 3 * LONGEST, "{got}");
    }
}

#[test]
fn reserved_time_pays_for_overruns() {
    let mut device = Device::new(Policy::FixedShare, &[1, 1]);
    device.wake(&[0, 1]);
    let mut random = Random::new(5);
    device.run(1_000 * SLICE, |slice| slice + random.below(LONGEST - slice));
    device.assert_share(0, 1, 2);
    device.assert_share(1, 1, 2);
}

#[test]
fn owner_that_comes_takes_what_is_left_of_its_slice() {
    let mut device = Device::new(Policy::FixedShare, &[1, 1]);
    device.wake(&[0]);
    device.run(1, |slice| slice);
    assert_eq!(device.sched.pick(Instant(SLICE)), None, "the slice of the other, who sleeps");
    assert_eq!(device.sched.next_event(), Some(Instant(2 * SLICE)));
    let comes = SLICE + SLICE / 4;
    assert_eq!(device.sched.wake(device.sessions[1], Instant(comes)), Ok(Wake::Queued));
    device.sched.idle(Instant(comes));
    let grant = device.sched.pick(Instant(comes)).unwrap();
    assert_eq!((grant.node, grant.slice), (device.sessions[1], Nanos(SLICE * 3 / 4)));
}

#[test]
fn best_effort_gives_a_turn_in_turn_and_wastes_nothing() {
    let mut device = Device::new(Policy::BestEffort, &[1, 1_000, 10]);
    device.wake(&[0, 1, 2]);
    let mut n = 0;
    device.run(300 * SLICE, |slice| {
        n += 1;
        slice * (1 + n % 3)
    });
    for turns in device.granted.chunks_exact(3) {
        let mut turns = turns.to_vec();
        turns.sort();
        assert_eq!(turns, device.sessions, "everybody once a round");
    }
    assert_eq!(device.sched.totals().idle, Nanos::ZERO);
    // Whoever comes is at the end of the round, and whoever goes is missed by nobody.
    device.sched.sleep(device.sessions[1], Instant(device.now)).unwrap();
    device.granted.clear();
    device.run(device.now + 8 * SLICE, |slice| slice);
    assert!(device.granted.windows(2).all(|pair| pair[0] != pair[1]));
    assert_eq!(device.sched.totals().idle, Nanos::ZERO);
}

#[test]
fn best_effort_guarantees_nothing_and_says_so() {
    let mut device = Device::new(Policy::BestEffort, &[1]);
    let guarantee = Share::from_percent(10);
    let refused = device.sched.join(device.sched.root(), Params { guarantee, ..Params::default() }, Instant(0));
    assert_eq!(refused, Err(JoinError::NothingGuaranteed { policy: Policy::BestEffort }));
    // And a policy under which somebody's guarantee would not hold is not accepted either.
    let mut device = Device::new(Policy::Weighted, &[3, 1]);
    let params = Params { guarantee: Share::from_percent(60), ..Params::weight(Weight::new(3).unwrap()) };
    device.sched.set_params(device.tenants[0], params, Instant(0)).unwrap();
    for policy in [Policy::BestEffort, Policy::EqualShare] {
        let config = Config { policy, ..device.sched.config() };
        assert!(matches!(
            device.sched.set_config(config, Instant(0)),
            Err(ConfigError::GuaranteeBroken { holder, .. }) if holder == device.tenants[0]
        ));
        assert_eq!(device.sched.config().policy, Policy::Weighted);
    }
    let config = Config { policy: Policy::FixedShare, ..device.sched.config() };
    assert_eq!(device.sched.set_config(config, Instant(0)), Ok(()));
}

#[test]
fn changing_the_policy_moves_nobody_and_the_new_one_holds_from_then_on() {
    for from in Policy::ALL {
        for to in Policy::ALL {
            let mut device = Device::new(from, &[1, 3, 4]);
            device.wake(&[0, 1]);
            device.run(101 * SLICE, |slice| slice);
            let lags = [0, 1].map(|who| device.sched.lag(device.tenants[who]).unwrap());
            device.sched.set_config(Config { policy: to, ..device.sched.config() }, Instant(device.now)).unwrap();
            if from != Policy::BestEffort && to != from {
                for who in [0, 1] {
                    let lag = device.sched.lag(device.tenants[who]).unwrap();
                    assert!(lag.abs_diff(lags[who]) <= 2 * LONGEST, "{from:?} to {to:?}: {} to {lag}", lags[who]);
                }
            }
            let (then, before) = (device.now, [0, 1].map(|who| device.got(who)));
            device.run(then + 960 * SLICE, |slice| slice);
            let got = [0, 1].map(|who| device.got(who) - before[who]);
            let due = match to {
                Policy::Weighted => [1, 3].map(|w| 960 * SLICE * w / 4),
                Policy::EqualShare => [960 * SLICE / 3; 2],
                Policy::FixedShare => [1, 3].map(|w| 960 * SLICE * w / 8),
                Policy::BestEffort => [960 * SLICE / 2; 2],
            };
            for who in [0, 1] {
                assert!(got[who].abs_diff(due[who]) <= 4 * LONGEST, "{from:?} to {to:?}: {got:?} of {due:?}");
            }
        }
    }
}

#[test]
fn sessions_of_one_tenant_share_its_reserved_time() {
    let mut device = Device::new(Policy::FixedShare, &[1, 1]);
    let more = device.sched.join(device.tenants[0], Params::default(), Instant(0)).unwrap();
    device.wake(&[0]);
    device.sched.wake(more, Instant(0)).unwrap();
    device.run(400 * SLICE, |slice| slice);
    device.assert_share(0, 1, 2);
    let halves = [device.sessions[0], more].map(|id| device.sched.service(id).unwrap().0);
    assert!(halves[0].abs_diff(halves[1]) <= 3 * LONGEST, "{halves:?}");
}

#[test]
fn fixed_slice_of_a_tenant_is_granted_and_changes_no_share() {
    let mut device = Device::new(Policy::Weighted, &[1, 1]);
    let slice = Some(Nanos(SLICE / 4));
    device.sched.set_params(device.tenants[0], Params { slice, ..Params::default() }, Instant(0)).unwrap();
    device
        .sched
        .set_params(device.tenants[1], Params { slice: Some(Nanos(2 * SLICE)), ..Params::default() }, Instant(0))
        .unwrap();
    device.wake(&[0, 1]);
    let mut seen = Vec::new();
    device.run(400 * SLICE, |slice| {
        seen.push(slice);
        slice
    });
    seen.sort();
    seen.dedup();
    assert_eq!(seen, [SLICE / 4, 2 * SLICE]);
    device.assert_share(0, 1, 2);
}

#[test]
fn longer_occupancies_may_be_allowed_later() {
    let mut device = Device::new(Policy::Weighted, &[1, 1]);
    device.wake(&[0, 1]);
    device.run(100 * SLICE, |slice| slice);
    let config = Config { slice: Nanos(5 * SLICE), occupancy_max: Nanos(8 * SLICE), ..device.sched.config() };
    device.sched.set_config(config, Instant(device.now)).unwrap();
    device.run(1_100 * SLICE, |slice| slice);
    let (least, most) = bounds::lag_range(Nanos(8 * SLICE), 1);
    for who in [0, 1] {
        let lag = i128::from(device.sched.lag(device.tenants[who]).unwrap());
        assert!((least..=most).contains(&lag));
    }
    device.assert_share(0, 1, 2);
}
