//! How fast programs run, and how much faster the same algorithm is when it is compiled for the host: both in the same run, one core each.
//!
//! `cargo bench -p wavegate-gcn --bench native`. Wave-instructions a second, time of a dispatch, time of the same work in `native.c`
//! (compiled here by clang 19 or cc with `-O3 -march=native -fno-math-errno`), their ratio, and how dispatches gain by a second host
//! thread. Memory is one vector behind a lock, so programs bound by scattered accesses are slower here than on a device.

#[path = "../tests/rig/mod.rs"]
mod rig;

use kernels::Target;
use rig::{Machine, Session};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Programs and sizes of the same work on both sides.
const PROGRAMS: [(&str, u32); 6] = [
    ("vector_add", 1 << 18),
    ("matmul", 96),
    ("nbody", 1024),
    ("mandelbrot", 128),
    ("histogram", 1 << 16),
    ("sha256", 4096),
];

/// How long each program runs; the fastest dispatch counts.
const SPAN: Duration = Duration::from_millis(400);

#[expect(clippy::disallowed_methods, reason = "a bench measures time; the crate it measures does not")]
fn now() -> Instant {
    Instant::now()
}

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

/// Returns the nanoseconds of the fastest dispatch and its wave-instructions.
fn fastest(session: &mut Session<'_>) -> (f64, u64) {
    let (until, mut best, mut instructions) = (now() + SPAN, f64::MAX, 0);
    while now() < until {
        session.submit();
        let start = now();
        let (done, executed) = session.run(u64::MAX);
        assert!(done);
        best = best.min(start.elapsed().as_nanos() as f64);
        instructions = executed;
    }
    (best, instructions)
}

fn main() {
    // `cargo test --benches` and `cargo bench -- --test` want to see that it runs, not how fast.
    let quick = std::env::args().any(|a| a == "--test");
    let native = native();
    println!("program        M wave-instr/s  two threads   dispatch us   native us   ratio   (gfx90a)");
    let mut machine = Machine::new();
    for (name, size) in PROGRAMS {
        let kernel = kernels::find(name).expect("an embedded program");
        let case = if quick { kernel.small_case(1) } else { kernel.case(size, 1).expect("a size") };
        let object = kernel.code_object(Target::Gfx90a);
        let mut rates = Vec::new();
        let mut one = 0.0;
        for threads in [1, 2] {
            let mut session = machine.session(Target::Gfx90a, object, &case, threads);
            session.submit();
            session.run(u64::MAX);
            assert_eq!(case.check(&session.buffers()), Ok(()), "{name}");
            if quick {
                continue;
            }
            let (ns, instructions) = fastest(&mut session);
            rates.push(instructions as f64 * 1e3 / ns);
            if threads == 1 {
                one = ns;
            }
        }
        let Some([rate, two]) = rates.first_chunk::<2>() else { continue };
        let other = native.as_ref().and_then(|binary| {
            let output = Command::new(binary).args([name, &size.to_string()]).output().ok()?;
            String::from_utf8(output.stdout).ok()?.trim().parse::<f64>().ok()
        });
        let (other, ratio) = match other {
            Some(ns) => (format!("{:.1}", ns / 1e3), format!("{:.1}", one / ns)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        println!("{name:<14} {rate:>14.1} {two:>12.1} {:>13.1} {other:>11} {ratio:>7}", one / 1e3);
    }
    if let Some(binary) = native {
        // A file in the temporary folder that stays is no harm.
        let _ = std::fs::remove_file(binary);
    }
}
