//! What the broker's decisions cost when the device changes hands, without the system calls that carry them out.
//!
//! `hand-over`: a session announces work and the device's lease is parked by another one: five inputs and answers. `slice end`: everybody has work, the
//! slice is over, the holder is asked, suspends, and the next one gets the lease. `cargo xtask counts` counts the same in instructions.

mod turns;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use turns::Turns;

const SIZES: [u32; 4] = [2, 10, 100, 1_000];

fn hand_off(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hand-over");
    for tenants in SIZES {
        let mut turns = Turns::new(tenants);
        group.bench_function(BenchmarkId::from_parameter(tenants), |bencher| bencher.iter(|| turns.hand_over()));
    }
    group.finish();
    let mut group = criterion.benchmark_group("slice end");
    for tenants in SIZES {
        let mut turns = Turns::new(tenants);
        turns.saturate();
        group.bench_function(BenchmarkId::from_parameter(tenants), |bencher| bencher.iter(|| turns.end_slice()));
    }
    group.finish();
}

criterion_group!(benches, hand_off);
criterion_main!(benches);
