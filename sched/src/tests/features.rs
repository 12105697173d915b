//! Closed forms, and what each setting does.

use std::vec::Vec;

use super::steady::{SLICE, Steady};
use crate::queue::Rule;
use crate::*;

const LONGEST: u64 = 4 * SLICE;

fn scheduler() -> Scheduler {
    let config = Config { policy: Policy::Weighted, slice: Nanos(SLICE), occupancy_max: Nanos(LONGEST) };
    Scheduler::new(config, Instant(0)).unwrap()
}

fn weight(value: u32) -> Params {
    Params::weight(Weight::new(value).unwrap())
}

/// Joins and wakes a session below the root.
fn busy(sched: &mut Scheduler, params: Params, now: u64) -> NodeId {
    let id = sched.join(sched.root(), params, Instant(now)).unwrap();
    sched.wake(id, Instant(now)).unwrap();
    id
}

/// Grants the device and runs the holder for `span`; the device idles for `span` if nobody may run.
fn turn(sched: &mut Scheduler, now: &mut u64, span: u64) -> Option<NodeId> {
    let grant = sched.pick(Instant(*now));
    *now += span;
    let booked = match grant {
        Some(grant) => sched.charge(grant.node, ChargeKind::Occupancy, Instant(*now)).unwrap(),
        None => sched.idle(Instant(*now)),
    };
    assert_eq!(booked, Nanos(span));
    grant.map(|grant| grant.node)
}

/// Takes `count` turns of a slice.
fn turns(sched: &mut Scheduler, now: &mut u64, count: usize) {
    for _ in 0..count {
        turn(sched, now, SLICE);
    }
}

#[test]
fn two_tenants_of_weights_a_and_b_have_a_of_every_a_plus_b_slices() {
    for (a, b) in [(1, 1), (3, 1), (1, 3), (5, 2), (7, 7), (9, 4)] {
        let mut world = Steady::new(Rule::Guarded, LONGEST, &[a, b], |_| Class::Throughput);
        for _ in 0..50 {
            let turns = (0..a + b).filter(|_| world.dispatch(|_| SLICE) == 0).count();
            assert_eq!(turns as u32, a, "{a}:{b}");
            assert_eq!(world.lag_ns(0), 0, "after a whole period nobody is owed anything");
        }
    }
}

#[test]
fn lone_tenant_has_the_whole_device_and_is_owed_nothing() {
    let mut sched = scheduler();
    let id = busy(&mut sched, weight(1), 0);
    let mut now = 0;
    let grant = sched.pick(Instant(0)).unwrap();
    assert_eq!((grant.node, grant.slice, grant.contended), (id, Nanos(SLICE), false));
    for _ in 0..100 {
        now += 7 * SLICE;
        sched.charge(id, ChargeKind::Occupancy, Instant(now)).unwrap();
        assert_eq!(sched.renew(Instant(now)).map(|grant| grant.node), Some(id));
        assert_eq!(sched.lag(id), Ok(0));
    }
    // Days of it: ticks do not overflow, and the wide arithmetic agrees.
    let days = now + (1 << 50);
    sched.charge(id, ChargeKind::Occupancy, Instant(days)).unwrap();
    assert_eq!((sched.lag(id), sched.service(id)), (Ok(0), Ok(Nanos(days))));
}

#[test]
fn sleeping_and_waking_at_once_changes_nothing() {
    let mut sched = scheduler();
    let ids: Vec<_> = [3, 1, 2].map(|w| busy(&mut sched, weight(w), 0)).into();
    let mut now = 0;
    for n in 0..200 {
        turn(&mut sched, &mut now, SLICE - n * 7 % SLICE);
        let before: Vec<_> = ids.iter().map(|&id| sched.exact_lag(id)).collect();
        for &id in &ids {
            sched.sleep(id, Instant(now)).unwrap();
            sched.wake(id, Instant(now)).unwrap();
        }
        assert_eq!(before, ids.iter().map(|&id| sched.exact_lag(id)).collect::<Vec<_>>());
    }
}

/// What it is owed beyond a request it does not take along.
#[test]
fn credit_kept_across_sleep_is_at_most_a_request() {
    let mut sched = scheduler();
    let (sleeper, other) = (busy(&mut sched, weight(1), 0), busy(&mut sched, weight(1), 0));
    sched.charge(other, ChargeKind::Recovery, Instant(4 * SLICE)).unwrap();
    assert_eq!(sched.lag(sleeper), Ok(2 * SLICE as i64));
    sched.sleep(sleeper, Instant(4 * SLICE)).unwrap();
    sched.wake(sleeper, Instant(4 * SLICE)).unwrap();
    assert_eq!((sched.lag(sleeper), sched.lag(other)), (Ok(SLICE as i64 / 2), Ok(-(SLICE as i64) / 2)));
}

#[test]
fn time_asleep_is_not_saved_up() {
    let mut sched = scheduler();
    let (sleeper, other) = (busy(&mut sched, weight(1), 0), busy(&mut sched, weight(1), 0));
    let mut now = 0;
    sched.sleep(sleeper, Instant(0)).unwrap();
    for _ in 0..1_000 {
        assert_eq!(turn(&mut sched, &mut now, SLICE), Some(other));
    }
    sched.wake(sleeper, Instant(now)).unwrap();
    assert_eq!((sched.lag(sleeper), sched.lag(other)), (Ok(0), Ok(0)));
}

#[test]
fn debt_is_kept_across_sleep_and_paid_as_virtual_time_passes() {
    let mut sched = scheduler();
    let (debtor, other) = (busy(&mut sched, weight(1), 0), busy(&mut sched, weight(1), 0));
    let mut now = 0;
    // It overran by three slices, and one more was lost in recovering from it.
    assert_eq!(turn(&mut sched, &mut now, LONGEST), Some(debtor));
    sched.sleep(debtor, Instant(now)).unwrap();
    now += SLICE;
    sched.charge(debtor, ChargeKind::Recovery, Instant(now)).unwrap();
    assert_eq!(sched.totals().recovery, Nanos(SLICE));
    assert_eq!(sched.lag(debtor), Ok(-5 * SLICE as i64));
    assert_eq!(turn(&mut sched, &mut now, SLICE), Some(other));
    assert_eq!(sched.lag(debtor), Ok(-4 * SLICE as i64));
    sched.wake(debtor, Instant(now)).unwrap();
    for _ in 0..4 {
        assert_eq!(turn(&mut sched, &mut now, SLICE), Some(other), "it still owes");
    }
    assert_eq!(sched.service(debtor).unwrap(), sched.service(other).unwrap(), "and now it does not");
}

#[test]
fn coming_back_before_its_creditor_does_not_rid_a_tenant_of_its_debt() {
    let lags = |first: usize| {
        let mut sched = scheduler();
        let ids = [busy(&mut sched, weight(1), 0), busy(&mut sched, weight(1), 0)];
        let mut now = 0;
        turn(&mut sched, &mut now, LONGEST);
        for id in ids {
            sched.sleep(id, Instant(now)).unwrap();
        }
        sched.wake(ids[first], Instant(now)).unwrap();
        sched.wake(ids[1 - first], Instant(now)).unwrap();
        ids.map(|id| sched.lag(id).unwrap())
    };
    assert_eq!(lags(0), [-(LONGEST as i64) / 2, LONGEST as i64 / 2]);
    assert_eq!(lags(0), lags(1));
}

#[test]
fn latency_class_preempts_a_hog_while_it_takes_little() {
    let mut sched = scheduler();
    let hog = busy(&mut sched, weight(100), 0);
    let class = Class::Latency { request: Nanos(SLICE / 10) };
    let quick = sched.join(sched.root(), Params { class, ..weight(100) }, Instant(0)).unwrap();
    let mut now = 0;
    let mut preempted = 0;
    for round in 0..400 {
        assert_eq!(sched.pick(Instant(now)).unwrap().node, hog);
        now += SLICE / 2;
        sched.charge(hog, ChargeKind::Occupancy, Instant(now)).unwrap();
        let woken = sched.wake(quick, Instant(now)).unwrap();
        // What it goes ahead by has to be earned first.
        preempted += usize::from(round >= 300 && woken == Wake::Preempt { holder: hog });
        while woken == Wake::Queued && sched.renew(Instant(now)).is_some() {
            now += SLICE / 2;
            sched.charge(hog, ChargeKind::Occupancy, Instant(now)).unwrap();
        }
        let grant = sched.pick(Instant(now)).unwrap();
        assert_eq!((grant.node, grant.slice), (quick, Nanos(SLICE / 10)));
        now += SLICE / 50;
        sched.charge(quick, ChargeKind::SwitchIn, Instant(now)).unwrap();
        sched.sleep(quick, Instant(now)).unwrap();
    }
    assert_eq!(preempted, 100);
}

/// Among several hogs the one that has the device is often past its deadline, and late ones wait; a brief waker goes ahead of all.
#[test]
fn latency_class_goes_ahead_of_every_deadline() {
    let mut sched = scheduler();
    let hogs: Vec<_> = (1..6).map(|n| busy(&mut sched, weight(100 * n), 0)).collect();
    let class = Class::Latency { request: Nanos(SLICE / 20) };
    let quick = sched.join(sched.root(), Params { class, ..weight(100) }, Instant(0)).unwrap();
    let (mut now, mut wakes, mut overrun) = (0, 0, 0);
    while wakes < 1_000 {
        let mut grant = sched.pick(Instant(now)).unwrap();
        assert!(hogs.contains(&grant.node));
        // It comes every 2.5 slices, somewhere within one, and some hogs stop late.
        for part in [SLICE, SLICE, SLICE / 2] {
            overrun = (overrun + 37) % (LONGEST - SLICE);
            now += part + overrun / 4;
            sched.charge(grant.node, ChargeKind::Occupancy, Instant(now)).unwrap();
            if part == SLICE {
                grant = sched.renew(Instant(now)).unwrap_or_else(|| sched.pick(Instant(now)).unwrap());
            }
        }
        let woken = sched.wake(quick, Instant(now)).unwrap();
        assert!(wakes < 10 || woken == Wake::Preempt { holder: grant.node }, "wake {wakes} had to wait");
        let holder = sched.pick(Instant(now)).unwrap().node;
        assert!(wakes < 10 || holder == quick, "{holder} went ahead in wake {wakes}");
        if holder == quick {
            now += SLICE / 25;
            sched.charge(quick, ChargeKind::Occupancy, Instant(now)).unwrap();
        }
        sched.sleep(quick, Instant(now)).unwrap();
        wakes += 1;
    }
}

/// A turn longer than it said takes its warp away until that is earned back, so it never goes ahead by more than a tenth in all.
#[test]
fn latency_class_that_overruns_earns_that_back_first() {
    let mut sched = scheduler();
    let hog = busy(&mut sched, weight(100), 0);
    let class = Class::Latency { request: Nanos(SLICE / 20) };
    let liar = sched.join(sched.root(), Params { class, ..weight(1_000_000) }, Instant(0)).unwrap();
    let (mut now, mut ahead) = (0, 0);
    for _ in 0..5_000 {
        sched.pick(Instant(now)).unwrap();
        now += SLICE / 4;
        sched.charge(hog, ChargeKind::Occupancy, Instant(now)).unwrap();
        if sched.wake(liar, Instant(now)) == Ok(Wake::Preempt { holder: hog }) {
            assert_eq!(sched.pick(Instant(now)).unwrap().node, liar);
            now += LONGEST;
            sched.charge(liar, ChargeKind::Occupancy, Instant(now)).unwrap();
            ahead += LONGEST;
        }
        sched.sleep(liar, Instant(now)).unwrap();
    }
    assert!(ahead > 5 * LONGEST, "it went ahead for {ahead} ns only");
    assert!(ahead <= now / 10 + SLICE + LONGEST, "it went ahead for {ahead} ns of {now}");
}

/// Time on a device that nobody else wants is nothing that has to be earned back before it goes ahead.
#[test]
fn latency_class_that_was_alone_goes_ahead_of_the_first_who_comes() {
    let mut sched = scheduler();
    let class = Class::Latency { request: Nanos(SLICE / 10) };
    let quick = busy(&mut sched, Params { class, ..weight(100) }, 0);
    let mut now = 100 * SLICE;
    sched.pick(Instant(0)).unwrap();
    sched.charge(quick, ChargeKind::Occupancy, Instant(now)).unwrap();
    sched.sleep(quick, Instant(now)).unwrap();
    let hog = busy(&mut sched, weight(100), now);
    assert_eq!(sched.pick(Instant(now)).unwrap().node, hog);
    now += SLICE / 2;
    sched.charge(hog, ChargeKind::Occupancy, Instant(now)).unwrap();
    assert_eq!(sched.wake(quick, Instant(now)), Ok(Wake::Preempt { holder: hog }));
}

#[test]
fn latency_class_that_takes_much_stops_preempting_and_keeps_its_share() {
    let mut sched = scheduler();
    let hog = busy(&mut sched, weight(100), 0);
    let class = Class::Latency { request: Nanos(SLICE / 10) };
    let greedy = busy(&mut sched, Params { class, ..weight(100) }, 0);
    let mut now = 0;
    let mut preempted = 0;
    for _ in 0..4_000 {
        if turn(&mut sched, &mut now, SLICE / 10) == Some(hog) {
            sched.sleep(greedy, Instant(now)).unwrap();
            preempted += u64::from(sched.wake(greedy, Instant(now)) != Ok(Wake::Queued));
        }
    }
    let (a, b) = (sched.service(hog).unwrap().0, sched.service(greedy).unwrap().0);
    assert!(a.abs_diff(b) <= 3 * LONGEST, "{a} and {b}");
    assert!(preempted < 1_000, "preempted {preempted} times");
}

#[test]
fn throughput_class_never_preempts() {
    let mut sched = scheduler();
    let hog = busy(&mut sched, weight(1), 0);
    let other = sched.join(sched.root(), weight(1_000), Instant(0)).unwrap();
    sched.pick(Instant(0)).unwrap();
    sched.charge(hog, ChargeKind::Occupancy, Instant(SLICE / 2)).unwrap();
    assert_eq!(sched.wake(other, Instant(SLICE / 2)), Ok(Wake::Queued));
    sched.charge(hog, ChargeKind::Occupancy, Instant(SLICE)).unwrap();
    assert_eq!(sched.renew(Instant(SLICE)), None, "but at the end of the slice it is its turn");
    assert_eq!(sched.holder(), Some(hog), "until it has been stopped");
    assert_eq!(sched.pick(Instant(SLICE)).unwrap().node, other);
}

#[test]
fn capped_tenant_gets_its_cap_and_no_more_on_an_idle_device() {
    for percent in [1, 10, 25, 50, 99, 100] {
        let mut sched = scheduler();
        let capped = busy(&mut sched, Params { cap: Share::from_percent(percent), ..weight(5) }, 0);
        let mut now = 0;
        while now < 10_000 * SLICE {
            if let Some(grant) = sched.pick(Instant(now)) {
                now += grant.slice.0 + SLICE / 3;
                sched.charge(capped, ChargeKind::Occupancy, Instant(now)).unwrap();
            } else {
                now = sched.next_event().unwrap().0;
                sched.idle(Instant(now));
            }
        }
        let (got, fair) = (sched.service(capped).unwrap().0, now / 100 * u64::from(percent));
        assert!(got.abs_diff(fair) <= 3 * SLICE, "{percent} %: {got} of {fair}");
        assert_eq!(sched.totals().wall(), Nanos(now));
    }
}

#[test]
fn guarantee_refuses_who_would_break_it_and_says_what_is_left() {
    let mut sched = scheduler();
    let root = sched.root();
    let half = Share::from_percent(50);
    let safe = sched.join(root, Params { guarantee: half, ..weight(100) }, Instant(0)).unwrap();
    let other = sched.join(root, weight(60), Instant(0)).unwrap();
    let refused = Err(JoinError::GuaranteeBroken { holder: Some(safe), guarantee: half.unwrap(), weight_max: 40 });
    assert_eq!(sched.join(root, weight(41), Instant(0)), refused);
    let last = sched.join(root, weight(40), Instant(0)).unwrap();
    // A live change passes the same test, and a refused one changes nothing.
    assert!(matches!(sched.set_params(other, weight(61), Instant(0)), Err(SetError::Refused(_))));
    assert_eq!(sched.params(other), Ok(weight(60)));
    sched.leave(last).unwrap();
    sched.set_params(other, weight(100), Instant(0)).unwrap();
    // One's own guarantee must hold as well.
    let own = sched.join(root, Params { guarantee: half, ..weight(10) }, Instant(0));
    assert!(matches!(own, Err(JoinError::GuaranteeBroken { .. })));
}

#[test]
fn sessions_of_one_tenant_count_once() {
    let mut sched = scheduler();
    let tenants = [1, 2].map(|n| (sched.join(sched.root(), weight(1), Instant(0)).unwrap(), n));
    for (tenant, sessions) in [(tenants[0].0, 1), (tenants[1].0, 7)] {
        for _ in 0..sessions {
            let session = sched.join(tenant, weight(1), Instant(0)).unwrap();
            sched.wake(session, Instant(0)).unwrap();
        }
    }
    let mut now = 0;
    turns(&mut sched, &mut now, 1_400);
    let served = tenants.map(|(tenant, _)| sched.service(tenant).unwrap());
    assert_eq!(served, [Nanos(700 * SLICE); 2]);
}

#[test]
fn paused_tenant_does_not_run_and_keeps_its_debt() {
    let mut sched = scheduler();
    let (a, b) = (busy(&mut sched, weight(1), 0), busy(&mut sched, weight(1), 0));
    let mut now = 0;
    assert_eq!(turn(&mut sched, &mut now, LONGEST), Some(a));
    assert_eq!(sched.pause(a), Ok(Some(a)), "the caller must stop it");
    assert_eq!(sched.holder(), None);
    let owed = sched.lag(a).unwrap();
    assert_eq!(owed, -(LONGEST as i64));
    assert_eq!(turn(&mut sched, &mut now, SLICE), Some(b));
    sched.pause(b).unwrap();
    assert_eq!(turn(&mut sched, &mut now, SLICE), None);
    sched.resume(b, Instant(now)).unwrap();
    sched.resume(a, Instant(now)).unwrap();
    assert_eq!(turn(&mut sched, &mut now, SLICE), Some(b));
}

#[test]
fn weight_changes_count_from_now_on_and_move_nobody() {
    let mut sched = scheduler();
    let (a, b) = (busy(&mut sched, weight(1), 0), busy(&mut sched, weight(1), 0));
    let mut now = 0;
    turns(&mut sched, &mut now, 101);
    let before = [a, b].map(|id| sched.lag(id).unwrap());
    sched.set_params(a, weight(3), Instant(now)).unwrap();
    assert!([a, b].iter().zip(before).all(|(&id, lag)| sched.lag(id).unwrap().abs_diff(lag) <= 1));
    let then = [a, b].map(|id| sched.service(id).unwrap().0);
    turns(&mut sched, &mut now, 400);
    let got: Vec<_> = [a, b].iter().zip(then).map(|(&id, then)| sched.service(id).unwrap().0 - then).collect();
    assert!(got[0].abs_diff(300 * SLICE) <= 3 * LONGEST, "{got:?}");
}

#[test]
fn tree_refuses_what_it_cannot_hold() {
    let mut sched = scheduler();
    let root = sched.root();
    let group = sched.join(root, weight(1), Instant(0)).unwrap();
    let tenant = sched.join(group, weight(1), Instant(0)).unwrap();
    let session = sched.join(tenant, weight(1), Instant(0)).unwrap();
    assert_eq!(sched.join(session, weight(1), Instant(0)), Err(JoinError::TooDeep { parent: session }));
    assert_eq!(sched.wake(tenant, Instant(0)), Err(NodeError::NotASession { node: tenant }));
    assert_eq!(sched.lag(root), Err(NodeError::Root));
    assert_eq!(sched.leave(group), Err(LeaveError::HasMembers { node: group, members: 1 }));
    let lone = busy(&mut sched, weight(1), 0);
    assert_eq!(sched.join(lone, weight(1), Instant(0)), Err(JoinError::ParentIsSession { parent: lone }));
    sched.leave(lone).unwrap();
    assert_eq!(sched.wake(lone, Instant(0)), Err(NodeError::Unknown { node: lone }));
    let again = busy(&mut sched, weight(1), 0);
    assert_ne!(again, lone, "a name is not used twice");
    let config = Config { slice: Nanos(2 * LONGEST), ..sched.config() };
    assert!(matches!(Scheduler::new(config, Instant(0)), Err(ConfigError::OccupancyBelowSlice { .. })));
    assert!(sched.set_slice(Nanos::ZERO).is_err());
}

#[test]
fn policies_have_the_names_an_admin_types() {
    for policy in Policy::ALL {
        assert_eq!(Policy::from_name(policy.name()), Some(policy));
    }
    assert_eq!(Policy::from_name("fastest"), None);
}
