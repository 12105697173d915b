//! The round trip of an empty kernel on the in-process device: the arm that a dispatch through a broker is measured against.
//!
//! `cargo bench --bench dispatch`. One thread is both producer and device, so nothing is woken or waited for: what is left is writing the
//! packet, consuming it, launching one wave of one instruction, and completing the signal. Criterion says how fast it is when repeated; the
//! histogram at the end says how late it gets.

mod common;

use common::{LIMIT, Ready};
use criterion::{Criterion, criterion_group, criterion_main};
use gcn::Tier;
use gcn::aql::{KernelDispatch, Packet};
use hdrhistogram::Histogram;
use std::time::Instant;

/// Round trips in the histogram.
const SAMPLES: u32 = 500_000;

fn empty() -> Ready {
    let case = kernels::find("empty").expect("an embedded kernel").case(64, 0).expect("a size");
    let mut ready = Ready::new("arch=gfx90a,cus=8,threads=1,vram=64MiB", Tier::detect(), case);
    ready.verified();
    ready
}

/// Submits a packet that was made before, as a program does that launches the same kernel again and again.
fn round_trip(ready: &mut Ready, dispatch: &KernelDispatch) {
    let ticket = ready.session.submit_packet(|completion| Packet::kernel(dispatch, true, completion));
    ready.session.finish(ticket.expect("room in the ring"), LIMIT).expect("an empty kernel ends");
}

fn made_before(ready: &Ready) -> KernelDispatch {
    KernelDispatch {
        setup: 1,
        workgroup: [64, 1, 1],
        grid: [64, 1, 1],
        private_segment_size: 0,
        group_segment_size: 0,
        kernel_object: ready.kernel_object(),
        // It takes no arguments.
        kernarg_address: 0,
    }
}

fn dispatch(c: &mut Criterion) {
    let mut group = c.benchmark_group("dispatch/empty");
    let mut ready = empty();
    let packet = made_before(&ready);
    group.bench_function("packet made before", |b| b.iter(|| round_trip(&mut ready, &packet)));
    group.bench_function("with arguments laid out", |b| b.iter(|| ready.run()));
    group.bench_function("run with nothing to do", |b| b.iter(|| ready.session.run_for(LIMIT)));
    group.finish();
}

/// Not criterion's: its samples are means of many, which hide what p99 is about.
fn tail(_: &mut Criterion) {
    let mut ready = empty();
    let packet = made_before(&ready);
    let mut histogram = Histogram::<u64>::new(3).expect("three digits");
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        round_trip(&mut ready, &packet);
        histogram.saturating_record(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    println!(
        "dispatch/empty round trip, {SAMPLES} samples: p50 {} ns, p99 {} ns, p99.9 {} ns, max {} ns",
        at(0.5),
        at(0.99),
        at(0.999),
        histogram.max()
    );
}

criterion_group!(benches, dispatch, tail);
criterion_main!(benches);
