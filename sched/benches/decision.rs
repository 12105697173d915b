//! What one decision costs: pick, and one charge for a whole occupancy, with `n` tenants that are all busy.
//!
//! `flat` has sessions right below the root; `deep` has groups of about the square root of `n` tenants with one session
//! each, so that every charge walks three levels. `wake` is a sleeping tenant that comes, is served and goes.

mod steady;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use steady::World;

const SIZES: [u32; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

fn decision(criterion: &mut Criterion) {
    for (shape, deep) in [("flat", false), ("deep", true)] {
        let mut group = criterion.benchmark_group(format!("decision/{shape}"));
        for tenants in SIZES {
            let mut world = World::new(tenants, deep);
            group.bench_function(BenchmarkId::from_parameter(tenants), |bencher| {
                bencher.iter(|| black_box(world.decide()));
            });
        }
        group.finish();
    }
}

fn wake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sleep-wake/flat");
    for tenants in SIZES {
        let mut world = World::new(tenants, false);
        group.bench_function(BenchmarkId::from_parameter(tenants), |bencher| {
            bencher.iter(|| black_box(world.sleep_and_wake()));
        });
    }
    group.finish();
}

criterion_group!(benches, decision, wake);
criterion_main!(benches);
