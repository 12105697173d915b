//! Every function of [`crate::bounds`], by a property test of the same name, over tenants that do what they like.

use std::vec::Vec;

use proptest::prelude::*;

use super::steady::{Random, SLICE, Steady};
use crate::queue::Rule;
use crate::{ChargeKind, Class, Config, Instant, Nanos, NodeId, Params, Policy, Scheduler, Wake, Weight, bounds};

/// How long a tenant keeps the device when it gets it, in parts of L or of a slice.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// A part of a slice, in percent.
    Short(u64),
    Slice,
    /// Anything up to L.
    Any,
    /// L, every time.
    Longest,
    /// A slice, until so many dispatches have happened in all, then L.
    Strikes(usize),
    /// A slice, unless somebody already waits with a lag of so many percent of L: then L.
    Spite(i64),
}

fn habit() -> impl Strategy<Value = Habit> {
    prop_oneof![
        (1..=100u64).prop_map(Habit::Short),
        Just(Habit::Slice),
        Just(Habit::Any),
        Just(Habit::Longest),
        (0..800usize).prop_map(Habit::Strikes),
        (0..150i64).prop_map(Habit::Spite),
    ]
}

#[derive(Clone, Debug)]
struct Tenant {
    weight: u32,
    habit: Habit,
    class: Class,
}

fn tenant() -> impl Strategy<Value = Tenant> {
    let weight = (1..10u32, 0..5u32).prop_map(|(digit, exponent)| digit * 10u32.pow(exponent));
    let class = prop_oneof![
        3 => Just(Class::Throughput),
        1 => (1..SLICE).prop_map(|request| Class::Latency { request: Nanos(request) }),
    ];
    (weight, habit(), class).prop_map(|(weight, habit, class)| Tenant { weight, habit, class })
}

/// Runs `tenants` for `dispatches` and shows every state between two of them to `see`.
fn run(
    tenants: &[Tenant],
    slices_max: u64,
    seed: u64,
    dispatches: usize,
    mut see: impl FnMut(&Steady, usize) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let weights: Vec<u32> = tenants.iter().map(|tenant| tenant.weight).collect();
    let longest = slices_max * SLICE;
    let mut world = Steady::new(Rule::Guarded, longest, &weights, |i| tenants[i].class);
    let mut random = Random::new(seed);
    for n in 0..dispatches {
        let worst = (0..tenants.len()).map(|who| world.lag_ppm(who)).max().unwrap_or(0);
        let served = world.dispatch(|who| match tenants[who].habit {
            Habit::Short(percent) => SLICE * percent / 100,
            Habit::Slice => SLICE,
            Habit::Any => 1 + random.below(longest),
            Habit::Longest => longest,
            Habit::Strikes(after) => {
                if n < after {
                    SLICE
                } else {
                    longest
                }
            }
            Habit::Spite(percent) => {
                if worst < percent * 10_000 {
                    SLICE
                } else {
                    longest
                }
            }
        });
        see(&world, served)?;
    }
    Ok(())
}

fn tenants(most: usize) -> impl Strategy<Value = Vec<Tenant>> {
    prop::collection::vec(tenant(), 1..=most)
}

/// Groups of tenants of sessions.
fn groups() -> impl Strategy<Value = Vec<Vec<Vec<Tenant>>>> {
    let sessions = prop::collection::vec(tenant(), 1..4);
    prop::collection::vec(prop::collection::vec(sessions, 1..4), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn lag_range(tenants in tenants(24), slices_max in 1..40u64, seed: u64) {
        let (least, most) = bounds::lag_range(Nanos(slices_max * SLICE), 1);
        run(&tenants, slices_max, seed, 1_500, |world, _| {
            let lags = (0..tenants.len()).map(|who| i128::from(world.lag_ns(who)));
            for (who, lag) in lags.enumerate() {
                prop_assert!(least <= lag && lag <= most, "tenant {who} has a lag of {lag} ns");
                prop_assert_eq!(Ok(lag as i64), world.sched.lag(world.ids[who]), "the books and the device disagree");
            }
            Ok(())
        })?;
    }

    #[test]
    fn share_error_max(tenants in tenants(12), slices_max in 1..40u64, seed: u64, from in 0..700usize) {
        let most = bounds::share_error_max(Nanos(slices_max * SLICE), 1);
        let (mut n, mut start) = (0, None);
        run(&tenants, slices_max, seed, 1_000, |world, _| {
            n += 1;
            if n <= from {
                return Ok(());
            }
            let (served, busy) = start.get_or_insert_with(|| (world.served.clone(), world.busy));
            for (who, served) in served.iter().enumerate() {
                let share = i128::from(world.weights[who]) * i128::from(world.busy - *busy);
                let got = i128::from(world.total) * i128::from(world.served[who] - served);
                prop_assert!((share - got).abs() <= most * i128::from(world.total));
            }
            Ok(())
        })?;
    }

    #[test]
    fn pairwise_gap_max(tenants in tenants(12), slices_max in 1..40u64, seed: u64, from in 0..700usize) {
        let (mut n, mut start) = (0, None);
        run(&tenants, slices_max, seed, 1_000, |world, _| {
            n += 1;
            if n <= from {
                return Ok(());
            }
            let served = start.get_or_insert_with(|| world.served.clone());
            let got: Vec<i128> = world.served.iter().zip(served).map(|(now, then)| i128::from(now - *then)).collect();
            for i in 0..tenants.len() {
                for j in 0..i {
                    let (w, x) = (tenants[i].weight, tenants[j].weight);
                    let gap = (got[i] * i128::from(x) - got[j] * i128::from(w)).abs();
                    let weight = |value| Weight::new(value).unwrap();
                    prop_assert!(gap <= bounds::pairwise_gap_max(Nanos(slices_max * SLICE), weight(w), weight(x)));
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn wait_max(tenants in tenants(24), slices_max in 1..40u64, seed: u64) {
        let mut since = std::vec![0; tenants.len()];
        run(&tenants, slices_max, seed, 1_500, |world, served| {
            since[served] = world.busy;
            for (who, since) in since.iter().enumerate() {
                let weight = Weight::new(tenants[who].weight).unwrap();
                let most = bounds::wait_max(Nanos(slices_max * SLICE), weight, world.total);
                prop_assert!(u128::from(world.busy - since) <= most, "tenant {who} starves");
            }
            Ok(())
        })?;
    }

    /// Latency tenants that sleep and wake beside busy ones: who is told to preempt is served when the holder has stopped.
    #[test]
    fn wake_latency_max(hogs in tenants(6), quick in 1..4usize, slices_max in 2..10u64, seed: u64) {
        let longest = slices_max * SLICE;
        let mut weights: Vec<u32> = hogs.iter().map(|tenant| tenant.weight).collect();
        weights.extend(std::iter::repeat_n(Weight::MAX.get(), quick));
        let first = hogs.len();
        let short = Class::Latency { request: Nanos(SLICE / 10) };
        let class = |i| if i < first { Class::Throughput } else { short };
        let mut world = Steady::new(Rule::Guarded, longest, &weights, class);
        let bound = bounds::wake_latency_max(&world.sched.config());
        let mut random = Random::new(seed);
        for id in &world.ids[first..] {
            world.sched.sleep(*id, Instant(0)).unwrap();
        }
        let mut preempted = 0;
        for _ in 0..2_000 {
            let holder = world.sched.pick(Instant(world.busy)).unwrap().node;
            let at = world.ids.iter().position(|id| *id == holder).unwrap();
            if at >= first {
                world.busy += SLICE / 20;
                world.sched.charge(holder, ChargeKind::Occupancy, Instant(world.busy)).unwrap();
                world.sched.sleep(holder, Instant(world.busy)).unwrap();
                continue;
            }
            world.busy += 1 + random.below(SLICE);
            world.sched.charge(holder, ChargeKind::Occupancy, Instant(world.busy)).unwrap();
            let waker = world.ids[first + random.below(quick as u64) as usize];
            if world.sched.wake(waker, Instant(world.busy)) == Ok(Wake::Preempt { holder }) {
                let asked = world.busy;
                // The holder stops when it likes, within its time.
                world.busy += random.below(bound.0 + 1);
                world.sched.charge(holder, ChargeKind::Occupancy, Instant(world.busy)).unwrap();
                let critical = |id: &NodeId| world.sched.lag(*id).unwrap() >= longest as i64 - 1;
                let excused = world.ids.iter().any(critical);
                let next = world.sched.pick(Instant(world.busy)).unwrap().node;
                let warped = world.ids[first..].contains(&next);
                prop_assert!(next == waker || warped || excused, "{next} went before {waker}");
                prop_assert!(world.busy - asked <= bound.0);
                preempted += 1;
            }
        }
        // They have to show that they are brief first, and may not take much: some of the wakes.
        prop_assert!(preempted > 0, "nobody was ever preempted");
    }

    /// Whoever is charged, for whatever, in whatever order: every nanosecond is in one counter, and in one tenant's if not idle.
    #[test]
    fn conservation_error(spans in prop::collection::vec((0..5u8, 0..4usize, 0..3 * SLICE), 1..200)) {
        let mut world = Steady::new(Rule::Guarded, 4 * SLICE, &[1, 2, 3, 4], |_| Class::Throughput);
        let mut now = 0;
        for (kind, who, span) in spans {
            world.sched.pick(Instant(now)).unwrap();
            now += span;
            let kind = match kind {
                0 => ChargeKind::Occupancy,
                1 => ChargeKind::SwitchIn,
                2 => ChargeKind::Scrub,
                3 => ChargeKind::Recovery,
                _ => {
                    world.sched.idle(Instant(now));
                    continue;
                }
            };
            world.sched.charge(world.ids[who], kind, Instant(now)).unwrap();
        }
        let totals = world.sched.totals();
        let charged: u64 = world.ids.iter().map(|id| world.sched.service(*id).unwrap().0).sum();
        prop_assert_eq!(Nanos(totals.wall().0.abs_diff(now)), bounds::CONSERVATION_ERROR);
        prop_assert_eq!(Nanos((charged + totals.idle.0).abs_diff(now)), bounds::CONSERVATION_ERROR);
    }

    /// Groups of tenants of sessions, all busy: the bound of depth 3.
    #[test]
    fn lag_range_of_sessions(shape in groups(), slices_max in 1..20u64, seed: u64) {
        let longest = slices_max * SLICE;
        let config = Config { policy: Policy::Weighted, slice: Nanos(SLICE), occupancy_max: Nanos(longest) };
        let mut sched = Scheduler::new(config, Instant(0)).unwrap();
        let mut random = Random::new(seed);
        let join = |sched: &mut Scheduler, parent, weight| {
            sched.join(parent, Params::weight(Weight::new(weight).unwrap()), Instant(0)).unwrap()
        };
        let root = sched.root();
        // Every session with its share of the device as a fraction.
        let mut sessions = Vec::new();
        let sum = |weights: &mut dyn Iterator<Item = u32>| weights.map(i128::from).sum::<i128>();
        let weight_of = |level: &[Tenant]| level[0].weight;
        let total = sum(&mut shape.iter().map(|group| weight_of(&group[0])));
        for group in &shape {
            let group_weight = weight_of(&group[0]);
            let group_id = join(&mut sched, root, group_weight);
            let group_total = sum(&mut group.iter().map(|tenant| weight_of(tenant)));
            for tenant in group {
                let tenant_id = join(&mut sched, group_id, weight_of(tenant));
                let tenant_total = sum(&mut tenant.iter().map(|session| session.weight));
                for session in tenant {
                    let id = join(&mut sched, tenant_id, session.weight);
                    sched.wake(id, Instant(0)).unwrap();
                    let up = i128::from(group_weight) * i128::from(weight_of(tenant)) * i128::from(session.weight);
                    sessions.push((id, session.habit, up, total * group_total * tenant_total));
                }
            }
        }
        let (least, most) = bounds::lag_range(Nanos(longest), 3);
        let mut now = 0;
        for n in 0..600 {
            let grant = sched.pick(Instant(now)).unwrap();
            let habit = sessions.iter().find(|session| session.0 == grant.node).unwrap().1;
            let span = match habit {
                Habit::Short(percent) => SLICE * percent / 100,
                Habit::Any => 1 + random.below(longest),
                Habit::Longest => longest,
                Habit::Strikes(after) if n >= after => longest,
                _ => SLICE,
            };
            now += span.max(1);
            sched.charge(grant.node, ChargeKind::Occupancy, Instant(now)).unwrap();
            for (id, _, up, down) in &sessions {
                let lag = (up * i128::from(now)).div_euclid(*down) - i128::from(sched.service(*id).unwrap().0);
                prop_assert!(least <= lag && lag <= most, "{id} has a lag of {lag} ns");
            }
        }
    }
}
