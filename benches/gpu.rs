//! How fast the software GPU is: wave-instructions a second, by kernel and by execution tier, one host thread.
//!
//! `cargo bench --bench gpu`. Every kernel is judged by its oracle before it is measured. The tiers are the same interpreter compiled for
//! any x86-64 (`portable`) and for what this CPU may have (`avx2`, `avx512`).

mod common;

use common::Ready;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use gcn::Tier;
use std::time::Duration;

/// Kernels and sizes of a few milliseconds each.
const KERNELS: [(&str, u32); 9] = [
    ("nbody", 1024),
    ("spin", 4096),
    ("mandelbrot", 128),
    ("vector_add", 1 << 18),
    ("saxpy", 1 << 18),
    ("matmul", 96),
    ("transpose", 384),
    ("reduction", 1 << 18),
    ("histogram", 1 << 16),
];

fn wave_instructions(c: &mut Criterion) {
    for (name, size) in KERNELS {
        let kernel = kernels::find(name).expect("an embedded kernel");
        let mut group = c.benchmark_group(format!("wave-instructions/gfx90a/{name}"));
        group.sampling_mode(SamplingMode::Flat).sample_size(20).measurement_time(Duration::from_secs(2));
        for tier in Tier::all() {
            let mut ready =
                Ready::new("arch=gfx90a,cus=8,threads=1,vram=256MiB", tier, kernel.case(size, 1).expect("a size"));
            group.throughput(Throughput::Elements(ready.verified()));
            group.bench_function(tier.name(), |b| b.iter(|| ready.run()));
        }
        group.finish();
    }
}

criterion_group!(benches, wave_instructions);
criterion_main!(benches);
