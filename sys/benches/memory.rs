//! What one access to shared memory costs: the software GPU pays it tens of millions of times per second.
//!
//! `cargo bench -p wavegate-sys --bench memory`. `memcpy 256` is the floor: the same bytes between private buffers.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sys::mapping::{Access, Mapping};
use sys::memfd::MemFd;

/// One wave's worth of 32-bit lanes.
const WAVE_BYTES: usize = 256;

fn mapping() -> Mapping {
    let memory = MemFd::create("bench", 1 << 20).expect("memory object");
    let mapping = Mapping::new(&memory, Access::ReadWrite).expect("mapping");
    mapping.fill(0, mapping.len(), 1).expect("inside");
    mapping
}

fn accesses(c: &mut Criterion) {
    let mapping = mapping();
    let mut wave = [0u8; WAVE_BYTES];
    // Walks 256 KiB so that neither one line nor one page is all there is.
    let mut at = 0;
    let mut next = move || {
        at = (at + WAVE_BYTES) & 0x3_FFFF;
        at
    };

    let source = [7u8; WAVE_BYTES];
    c.bench_function("memcpy 256", |b| b.iter(|| black_box(&mut wave).copy_from_slice(black_box(&source))));
    c.bench_function("read 256", |b| b.iter(|| mapping.read(black_box(next()), black_box(&mut wave))));
    c.bench_function("write 256", |b| b.iter(|| mapping.write(black_box(next()), black_box(&wave))));
    c.bench_function("read 256 misaligned", |b| b.iter(|| mapping.read(black_box(next() + 4), black_box(&mut wave))));
    c.bench_function("read 255", |b| b.iter(|| mapping.read(black_box(next()), black_box(&mut wave[..255]))));
    c.bench_function("load_u32", |b| b.iter(|| mapping.load_u32(black_box(next()))));
    c.bench_function("store_u32", |b| b.iter(|| mapping.store_u32(black_box(next()), 7)));
    c.bench_function("atomic_u32 add", |b| {
        b.iter(|| {
            let word = mapping.atomic_u32(black_box(next())).expect("aligned");
            word.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        });
    });
    c.bench_function("load_u32 x 64", |b| {
        b.iter(|| {
            let start = next();
            (0..64usize).map(|lane| mapping.load_u32(start + 4 * lane).unwrap_or(0)).fold(0, u32::wrapping_add)
        });
    });
    let mut big = vec![0u8; 64 << 10];
    c.bench_function("read 512", |b| b.iter(|| mapping.read(black_box(next()), black_box(&mut big[..512]))));
    c.bench_function("read 1008", |b| b.iter(|| mapping.read(black_box(next()), black_box(&mut big[..1008]))));
    c.bench_function("read 1024", |b| b.iter(|| mapping.read(black_box(next()), black_box(&mut big[..1024]))));
    c.bench_function("read 64 KiB", |b| b.iter(|| mapping.read(black_box(0), black_box(&mut big))));
    c.bench_function("fill 64 KiB", |b| b.iter(|| mapping.fill(black_box(0), 64 << 10, 0)));
}

criterion_group!(benches, accesses);
criterion_main!(benches);
