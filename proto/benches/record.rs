//! What it costs a worker to record a sample: a time goes into a histogram in its gate.
//!
//! `cargo bench -p wavegate-proto --bench record`. Times are spread over four decades and come in no order that a predictor could learn;
//! the first line is what it costs to make one up, the second to make one up and to record it.

use std::hint::black_box;
use std::sync::atomic::AtomicU64;

use criterion::{Criterion, criterion_group, criterion_main};
use proto::{Nanos, histogram};

fn record(c: &mut Criterion) {
    let gate: Vec<AtomicU64> = (0..histogram::BUCKETS).map(|_| AtomicU64::new(0)).collect();
    let mut seed = 1u64;
    let mut any_time = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (500 << ((seed >> 33) % 14)) + (seed >> 50)
    };
    let mut group = c.benchmark_group("sample");
    group.bench_function("made up", |b| b.iter(|| black_box(any_time())));
    group.bench_function("made up and recorded", |b| {
        b.iter(|| histogram::record(|offset| &gate[black_box(offset) / 8], Nanos(black_box(any_time()))));
    });
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
