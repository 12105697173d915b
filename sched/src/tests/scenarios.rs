//! The cases that decide the algorithm. Lag is in units of L, the longest single occupancy.

use std::vec;
use std::vec::Vec;

use super::steady::{Random, SLICE, Steady};
use crate::Class;
use crate::queue::Rule;

/// Ten slices.
const OCCUPANCY_MAX: u64 = 10 * SLICE;
const LIGHT: usize = 999;

/// Returns the largest lag anybody ever had, in millionths of L, over `dispatches`.
fn worst_lag(mut world: Steady, dispatches: usize, mut occupancy: impl FnMut(usize, usize) -> u64) -> i64 {
    let mut worst = 0;
    for n in 0..dispatches {
        let served = world.dispatch(|who| occupancy(n, who));
        // The heavy tenant is the one at risk, whoever was just served the one who may go too far.
        worst = worst.max(world.lag_ppm(0));
        assert!(world.lag_ppm(served) >= -1_000_001, "{served} is ahead by more than L");
        if n % 64 == 0 {
            worst = (0..world.ids.len()).map(|who| world.lag_ppm(who)).max().unwrap().max(worst);
        }
    }
    worst
}

fn heavy_and_light() -> Vec<u32> {
    let mut weights = vec![1; LIGHT + 1];
    weights[0] = LIGHT as u32;
    weights
}

/// One tenant with half of the device and slices of one; 999 light ones whose kernels run for 1 to 10 slices.
fn heavy_beside_light(rule: Rule) -> i64 {
    let world = Steady::new(rule, OCCUPANCY_MAX, &heavy_and_light(), |_| Class::Throughput);
    let mut random = Random::new(1);
    worst_lag(world, 40_000, |_, who| if who == 0 { SLICE } else { (1 + random.below(10)) * SLICE })
}

/// The light ones behave until everybody's learned request is one slice, then each runs for ten.
fn sleepers_strike(rule: Rule) -> i64 {
    let world = Steady::new(rule, OCCUPANCY_MAX, &heavy_and_light(), |_| Class::Throughput);
    worst_lag(world, 60_000, |n, who| if who == 0 || n < 20_000 { SLICE } else { OCCUPANCY_MAX })
}

#[test]
fn heavy_tenant_beside_light_ones_stays_within_the_bound() {
    let worst = heavy_beside_light(Rule::Guarded);
    std::println!("heavy beside light, guarded: {worst} ppm of L");
    assert!(worst <= 2_000_000, "{worst} ppm of L");
}

/// The mutation oracle: the test above is able to fail.
#[test]
fn smallest_virtual_time_fails_the_heavy_tenant() {
    let worst = heavy_beside_light(Rule::SmallestPosition);
    std::println!("heavy beside light, smallest position: {worst} ppm of L");
    assert!(worst > 50_000_000, "only {worst} ppm of L");
}

#[test]
fn sleepers_that_strike_at_once_stay_within_the_bound() {
    let worst = sleepers_strike(Rule::Guarded);
    std::println!("sleepers, guarded: {worst} ppm of L");
    assert!(worst <= 2_000_000, "{worst} ppm of L");
}

/// Learned requests alone do not help against those who change their ways together; the guard does.
#[test]
fn sleepers_break_the_bound_where_nothing_guards_it() {
    for rule in [Rule::Unguarded, Rule::SmallestPosition] {
        let worst = sleepers_strike(rule);
        std::println!("sleepers, {rule:?}: {worst} ppm of L");
        assert!(worst > 50_000_000, "{rule:?}: only {worst} ppm of L");
    }
}

/// Weights of three orders of magnitude and kernels with a heavy tail, cut at 50 slices.
#[test]
fn heavy_tailed_kernels_stay_within_the_bound() {
    let weights: Vec<u32> = (0..600).map(|n| [1000, 30, 1][n % 3]).collect();
    let world = Steady::new(Rule::Guarded, 50 * SLICE, &weights, |_| Class::Throughput);
    let mut random = Random::new(3);
    // Pareto with exponent 1: slice / u for u uniform in (0, 1].
    let worst = worst_lag(world, 40_000, |_, _| SLICE * 1_000 / (1 + random.below(1_000)));
    std::println!("heavy tails, guarded: {worst} ppm of L");
    assert!(worst <= 2_000_000, "{worst} ppm of L");
}

/// A crowd that everybody believes to be brief takes the longest there is, beside one that is entitled to most of the device.
/// The weights are those of the worst world that a random search found.
fn crowd_breaks_its_word(rule: Rule) -> i64 {
    let crowd =
        [6_000, 5, 2_000, 100, 50, 6, 9, 6, 9_000, 70, 20, 400, 2_000, 30, 2_000, 30, 100, 10_000, 40, 500, 1, 40];
    let weights: Vec<u32> = [70_000].into_iter().chain(crowd).collect();
    let runs = [10, 20, 40].map(|slices| {
        let world = Steady::new(rule, slices * SLICE, &weights, |_| Class::Throughput);
        worst_lag(world, 4_000, |_, _| slices * SLICE)
    });
    runs.into_iter().max().unwrap()
}

#[test]
fn crowd_that_breaks_its_word_stays_within_the_bound() {
    let worst = crowd_breaks_its_word(Rule::Guarded);
    std::println!("crowd, guarded: {worst} ppm of L");
    assert!(worst <= 2_000_000, "{worst} ppm of L");
}

/// A guard that serves who became critical first does not keep the bound against it.
#[test]
fn crowd_breaks_the_bound_where_it_is_believed() {
    let worst = crowd_breaks_its_word(Rule::Urgent);
    std::println!("crowd, gullible: {worst} ppm of L");
    assert!(worst > 4_000_000, "only {worst} ppm of L");
}

/// Where L is far above a slice, as it is where a worker may take seconds to stop: nobody is late for his first turn by more than everybody is later.
#[test]
fn newcomers_have_their_first_turn_in_the_first_round() {
    const CROWD: usize = 64;
    let mut world = Steady::new(Rule::Guarded, 400 * SLICE, &[100; CROWD], |_| Class::Throughput);
    let mut random = Random::new(7);
    for n in 1..=10 * CROWD {
        world.dispatch(|_| SLICE + random.below(SLICE / 20));
        let most = (0..CROWD).map(|who| world.lag_ns(who)).max().unwrap();
        assert!(most < 2 * SLICE as i64, "after {n} turns somebody is owed {most} ns");
        assert!(n < CROWD * 5 / 4 || !world.served.contains(&0), "after {n} turns somebody had none");
    }
}
