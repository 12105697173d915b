//! What a suspend and a resume cost against what is resident: a curve from an empty context to full occupancy.
//!
//! `cargo bench --bench suspend`. The software GPU copies registers and LDS in host memory: "software copy, not CWSR", so the curve
//! says what a switch costs on `soft` and how it grows, not what silicon does. Full compute units are `canary_write`'s (all registers, all LDS),
//! sparse ones `spin`'s (one small wave each), and those between `hold`'s: waves of 32 KiB of registers each, with LDS as asked for.

mod common;

use common::{Ready, StopAfter};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gcn::Tier;
use kernels::Case;
use std::hint::black_box;
use wavegate::device::RunEnd;

/// Compute units of the largest point: one die of an MI250X has 110, of which a part may be disabled.
const CUS_MAX: u32 = 104;

/// Brings `case` onto `cus` compute units and stops it there.
fn resident(cus: u32, case: Case) -> Ready {
    let mut ready = Ready::new(&format!("arch=gfx90a,cus={cus},threads=1,vram=256MiB"), Tier::detect(), case);
    ready.submit();
    let report = ready.session.device().run(&StopAfter::new(1));
    assert_eq!(report.end, RunEnd::Stopped);
    ready
}

fn suspend_and_resume(c: &mut Criterion) {
    let mut group = c.benchmark_group("suspend+resume");
    let mut points = vec![("empty", None)];
    points.extend([1, 8, 64, 256].map(|waves| ("sparse", Some((8, kernels::spin::case(waves, 1 << 20, 1))))));
    // A line to read the price of a byte off: so many waves of 32 KiB of registers, without LDS and with 4 KiB each.
    points.extend([1, 4, 16, 64].map(|waves| ("registers", Some((8, kernels::hold::case(waves, 1 << 20, 0, 1))))));
    points
        .extend([1, 4, 16, 64].map(|waves| ("registers+lds", Some((8, kernels::hold::case(waves, 1 << 20, 4096, 1))))));
    points
        .extend([1, 2, 4, 8, 32, CUS_MAX].map(|cus| ("full", Some((cus, kernels::canary::write_case(cus, 1 << 30))))));
    for (shape, point) in points {
        let mut ready = match point {
            Some((cus, case)) => resident(cus, case),
            None => Ready::new("arch=gfx90a,cus=8,threads=1,vram=256MiB", Tier::detect(), kernels::spin::case(1, 1, 1)),
        };
        let device = ready.session.device();
        let size = device.context();
        if size.copied() > 0 {
            group.throughput(Throughput::Bytes(2 * size.copied()));
        }
        let name = format!("{} waves, {:.1} KiB", size.waves, size.copied() as f64 / 1024.0);
        group.bench_function(BenchmarkId::new(shape, name), |b| {
            b.iter(|| {
                black_box(device.suspend());
                black_box(device.resume())
            });
        });
    }
    group.finish();

    // What a change of tenants adds: clearing all of the compute units, used or not.
    let mut group = c.benchmark_group("scrub");
    for cus in [1, 8, CUS_MAX] {
        let options = format!("arch=gfx90a,cus={cus},threads=1,vram=256MiB");
        let mut ready = Ready::new(&options, Tier::detect(), kernels::spin::case(1, 1, 1));
        group.throughput(Throughput::Bytes(u64::from(cus) * size_of::<gcn::hardware::CuHardware>() as u64));
        group.bench_function(format!("{cus} compute units"), |b| {
            b.iter(|| ready.session.device().scrub().expect("the software GPU can"));
        });
    }
    group.finish();
}

criterion_group!(benches, suspend_and_resume);
criterion_main!(benches);
