//! What a steady state allocates: nothing, counted in the allocator.

#[path = "../benches/steady/mod.rs"]
mod steady;

use sched::{Class, Instant, Nanos, Params, Policy, Share, Weight};
use steady::World;

/// Returns how many times memory was asked for by `times` decisions, each with a sleep and a wake.
fn allocations(world: &mut World, times: u32) -> u64 {
    let counted = allocation_counter::measure(|| {
        for _ in 0..times {
            world.decide();
            world.sleep_and_wake();
        }
    });
    counted.count_total
}

#[test]
fn counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}

#[test]
fn steady_state_does_not_allocate() {
    for deep in [false, true] {
        for tenants in [1, 10, 1_000] {
            assert_eq!(allocations(&mut World::new(tenants, deep), 10_000), 0, "{tenants} tenants, deep: {deep}");
        }
    }
}

/// Members move between all heaps there are, caps run out and are filled again, and classes, weights and policies change.
#[test]
fn caps_classes_and_changes_of_settings_do_not_allocate() {
    let mut world = World::new(60, true);
    let class = Class::Latency { request: Nanos::from_micros(100) };
    let settings = [
        Params { cap: Share::from_percent(1), ..Params::default() },
        Params { class, ..Params::default() },
        Params::weight(Weight::new(7).expect("in range")),
    ];
    let sessions = world.sessions().to_vec();
    let counted = allocation_counter::measure(|| {
        for n in 0..20_000usize {
            if n % 50 == 0 {
                let session = sessions[n / 50 * 7 % sessions.len()];
                let now = world.now();
                world.sched().set_params(session, settings[n / 50 % 3], now).expect("nothing is guaranteed");
                world.sched().pause(session).expect("it is known");
                world.sched().resume(session, now).expect("it is known");
            }
            world.decide();
            world.sleep_and_wake();
        }
    });
    assert_eq!(counted.count_total, 0);
    assert!(world.sched().next_event().is_some(), "somebody is at a cap at the end");
    assert_eq!(world.sched().config().policy, Policy::Weighted);
    assert!(world.now() > Instant(0));
}
