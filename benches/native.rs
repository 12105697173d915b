//! How fast programs run, and how much faster the same algorithm is when it is compiled for the host: both in the same run, in turns.
//!
//! `cargo bench --bench native [-- PROGRAM...]`. Wave-instructions a second of one host thread, the same with nothing translated, time of a dispatch, time of the same work in
//! `native.c` on one core (compiled here by clang 19 or cc with `-O3 -march=native -fno-math-errno`) and their ratio; what dispatches gain by a
//! second host thread, and what the host itself gives for a second core: two of the native processes at once against one, in the same run. A
//! virtual machine's second processor may be half of a core, or busy with somebody else's work; no program gains more than that. Every program is
//! judged by its oracle first. `vector_add` runs in the caches, where the processor adds as fast as it loads, and on data that does
//! not fit in them, where memory is what both sides wait for: with one element a work-item, and with four (`vector_add4`), as memory is streamed.

mod common;

use common::Ready;
use gcn::Tier;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Programs and sizes of the same work on both sides.
const PROGRAMS: [(&str, u32); 9] = [
    ("vector_add", 1 << 18),
    ("vector_add", 1 << 24),
    ("vector_add4", 1 << 24),
    ("vector_add4", 1 << 26),
    ("matmul", 96),
    ("nbody", 1024),
    ("mandelbrot", 128),
    ("histogram", 1 << 16),
    ("sha256", 4096),
];

/// Turns that all sides take; of each side the fastest dispatch counts.
const ROUNDS: u32 = 4;
/// How long a turn of the device is.
const SPAN: Duration = Duration::from_millis(150);

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

/// Returns the nanoseconds of the fastest run of each of `count` native processes at once, the slowest process's.
fn native_ns(binary: &Path, name: &str, size: u32, count: u32) -> Option<f64> {
    let start = || Command::new(binary).args([name, &size.to_string()]).stdout(Stdio::piped()).spawn().ok();
    let running: Vec<Child> = (0..count).map(|_| start()).collect::<Option<_>>()?;
    let nanoseconds = |child: Child| -> Option<f64> {
        String::from_utf8(child.wait_with_output().ok()?.stdout).ok()?.trim().parse().ok()
    };
    running.into_iter().map(nanoseconds).try_fold(0.0, |slowest: f64, ns| Some(slowest.max(ns?)))
}

/// Returns the nanoseconds of the fastest dispatch of a turn and its wave-instructions. Long dispatches get one.
fn fastest(ready: &mut Ready) -> (f64, u64) {
    let (until, mut best, mut instructions) = (Instant::now() + SPAN, f64::MAX, 0);
    loop {
        let start = Instant::now();
        instructions = ready.run().max(instructions);
        best = best.min(start.elapsed().as_nanos() as f64);
        if Instant::now() >= until {
            return (best, instructions);
        }
    }
}

/// The fastest of all turns, in nanoseconds.
#[derive(Default)]
struct Best {
    one: Option<f64>,
    plain: Option<f64>,
    two: Option<f64>,
    native: Option<f64>,
    pair: Option<f64>,
}

fn better(best: &mut Option<f64>, ns: Option<f64>) {
    if let Some(ns) = ns {
        *best = Some(best.map_or(ns, |best| best.min(ns)));
    }
}

fn main() {
    // `cargo test --benches` and `cargo bench -- --test` want to see that it runs, not how fast.
    let quick = std::env::args().any(|a| a == "--test");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let native = native();
    println!("gfx90a, {} tier", Tier::detect().name());
    println!(
        "{:<14} {:>8} {:>14} {:>12} {:>13} {:>12} {:>6} {:>12} {:>14}",
        "program",
        "size",
        "M wave-instr/s",
        "interpreted",
        "dispatch us",
        "native us",
        "ratio",
        "two threads",
        "host's floor"
    );
    for (name, size) in PROGRAMS.into_iter().filter(|p| wanted.is_empty() || wanted.iter().any(|w| w == p.0)) {
        let kernel = kernels::find(name).expect("an embedded program");
        let [mut one, mut plain, mut two] = [(1, "on"), (1, "off"), (2, "on")].map(|(threads, translate)| {
            let case = if quick { kernel.small_case(1) } else { kernel.case(size, 1).expect("a size") };
            let options = format!("arch=gfx90a,cus=8,threads={threads},vram=2GiB,translate={translate}");
            let mut ready = Ready::new(&options, Tier::detect(), case);
            ready.verified();
            ready
        });
        if quick {
            continue;
        }
        let (mut best, mut instructions) = (Best::default(), 0);
        for _ in 0..ROUNDS {
            let (ns, count) = fastest(&mut one);
            better(&mut best.one, Some(ns));
            better(&mut best.plain, Some(fastest(&mut plain).0));
            better(&mut best.two, Some(fastest(&mut two).0));
            instructions = count;
            if let Some(binary) = native.as_deref() {
                better(&mut best.native, native_ns(binary, name, size, 1));
                better(&mut best.pair, native_ns(binary, name, size, 2));
            }
        }
        let text = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
        let over = |a: Option<f64>, b: Option<f64>| Some(a? / b?);
        println!(
            "{name:<14} {size:>8} {:>14} {:>12} {:>13} {:>12} {:>6} {:>11}x {:>13}x",
            text(best.one.map(|ns| instructions as f64 * 1e3 / ns), 1),
            text(best.plain.map(|ns| instructions as f64 * 1e3 / ns), 1),
            text(best.one.map(|ns| ns / 1e3), 1),
            text(best.native.map(|ns| ns / 1e3), 1),
            text(over(best.one, best.native), 1),
            text(over(best.one, best.two), 2),
            text(over(best.native.map(|ns| 2.0 * ns), best.pair), 2),
        );
    }
    if let Some(binary) = native {
        // A file in the temporary folder that stays is no harm.
        let _ = std::fs::remove_file(binary);
    }
}
