//! How fast programs run, and how much faster the same algorithm is when it is compiled for the host: both in the same run, one core each.
//!
//! `cargo bench --bench native [-- PROGRAM...]`. Wave-instructions a second, time of a dispatch, time of the same work in `native.c` (compiled
//! here by clang 19 or cc with `-O3 -march=native -fno-math-errno`), their ratio, and what dispatches gain by a second host thread. Every program is
//! judged by its oracle first. `vector_add` runs twice: in the caches, where the processor adds as fast as it loads, and on more data than
//! they hold, where memory is what both sides wait for.

mod common;

use common::Ready;
use gcn::Tier;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Programs and sizes of the same work on both sides.
const PROGRAMS: [(&str, u32); 7] = [
    ("vector_add", 1 << 18),
    ("vector_add", 1 << 24),
    ("matmul", 96),
    ("nbody", 1024),
    ("mandelbrot", 128),
    ("histogram", 1 << 16),
    ("sha256", 4096),
];

/// How long each program runs; the fastest dispatch counts.
const SPAN: Duration = Duration::from_millis(400);

/// Compiles the native side; `None`, with a word why, where there is no compiler.
fn native() -> Option<PathBuf> {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/native.c");
    let binary = std::env::temp_dir().join(format!("wavegate-native-{}", std::process::id()));
    for compiler in ["clang-19", "clang", "cc"] {
        let mut command = Command::new(compiler);
        command.args(["-O3", "-march=native", "-fno-math-errno", "-o"]).arg(&binary).arg(&source).arg("-lm");
        if command.status().is_ok_and(|status| status.success()) {
            return Some(binary);
        }
    }
    eprintln!("no C compiler found: the native side is left out (Debian package clang-19)");
    None
}

/// Returns the nanoseconds of the native side's fastest run.
fn native_ns(binary: &Path, name: &str, size: u32) -> Option<f64> {
    let output = Command::new(binary).args([name, &size.to_string()]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Returns the nanoseconds of the fastest dispatch and its wave-instructions.
fn fastest(ready: &mut Ready) -> (f64, u64) {
    let (until, mut best, mut instructions) = (Instant::now() + SPAN, f64::MAX, 0);
    while Instant::now() < until {
        let start = Instant::now();
        instructions = ready.run();
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    (best, instructions)
}

fn main() {
    // `cargo test --benches` and `cargo bench -- --test` want to see that it runs, not how fast.
    let quick = std::env::args().any(|a| a == "--test");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let native = native();
    println!("gfx90a, {} tier", Tier::detect().name());
    println!("program            size  M wave-instr/s  two threads   dispatch us    native us   ratio");
    for (name, size) in PROGRAMS.into_iter().filter(|p| wanted.is_empty() || wanted.iter().any(|w| w == p.0)) {
        let kernel = kernels::find(name).expect("an embedded program");
        let [one, two] = [1, 2].map(|threads| {
            let case = if quick { kernel.small_case(1) } else { kernel.case(size, 1).expect("a size") };
            let options = format!("arch=gfx90a,cus=8,threads={threads},vram=1GiB");
            let mut ready = Ready::new(&options, Tier::detect(), case);
            ready.verified();
            if quick { (1.0, 0) } else { fastest(&mut ready) }
        });
        if quick {
            continue;
        }
        let (other, ratio) = match native.as_deref().and_then(|binary| native_ns(binary, name, size)) {
            Some(ns) => (format!("{:.1}", ns / 1e3), format!("{:.1}", one.0 / ns)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let rate = |(ns, instructions): (f64, u64)| instructions as f64 * 1e3 / ns;
        let (ns, two) = (one.0 / 1e3, rate(two));
        println!("{name:<14} {size:>8} {:>15.1} {two:>12.1} {ns:>13.1} {other:>12} {ratio:>7}", rate(one));
    }
    if let Some(binary) = native {
        // A file in the temporary folder that stays is no harm.
        let _ = std::fs::remove_file(binary);
    }
}
