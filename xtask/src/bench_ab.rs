//! `cargo xtask bench-ab BASE`: is this tree faster or slower than another revision?
//!
//! Both are built in release mode, BASE from an export of its own. Then the two programs take turns, in an order that is drawn anew for each round, because a
//! machine's speed drifts by more than what is looked for. Each probe is one figure of one command of `wavegate`; what is compared are pairs of
//! one round, by the median of their ratios and the sign test, which assumes nothing of how they are distributed. With several probes
//! one of twenty differs by chance at p = 0.05, so a difference counts from p = 0.01.
//!
//! With `--keep` the raw figures go to `docs/bench/DATE-MACHINE-ab-BASE-OURS/`, with the commands and both revisions.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A figure to compare.
struct Probe {
    name: &'static str,
    /// Of `wavegate`; its output is JSON.
    arguments: &'static [&'static str],
    /// Where in the output the figure is.
    pointer: &'static str,
    /// What it counts.
    unit: &'static str,
    /// Whether more is better.
    more: bool,
}

const SPEED: &str = "/runs/0/wave_instructions_per_s";

const fn kernel(name: &'static str, arguments: &'static [&'static str]) -> Probe {
    Probe { name, arguments, pointer: SPEED, unit: "wave-instructions/s", more: true }
}

const PROBES: &[Probe] = &[
    kernel("nbody", &["device", "run", "nbody", "--repeat", "3", "--json"]),
    kernel("spin", &["device", "run", "spin", "--repeat", "5", "--json"]),
    kernel("mandelbrot", &["device", "run", "mandelbrot", "--repeat", "3", "--json"]),
    kernel("matmul", &["device", "run", "matmul", "--repeat", "3", "--json"]),
    kernel("vector_add", &["device", "run", "vector_add", "--repeat", "3", "--json"]),
    kernel("histogram", &["device", "run", "histogram", "--repeat", "3", "--json"]),
    Probe {
        name: "round trip",
        arguments: &["bench", "dispatch", "--rounds", "6", "--kernels", "1400", "--json"],
        pointer: "/round_trips/through a worker, both awake/p50",
        unit: "ns",
        more: false,
    },
    Probe {
        name: "hand-off",
        arguments: &["bench", "switch", "--rounds", "100", "--hand-off-only", "--json"],
        pointer: "/hand_off/hand-off: work seen to first instruction/p50",
        unit: "ns",
        more: false,
    },
];

/// Least p-value that is still chance.
const CHANCE: f64 = 0.01;

/// What the command can be told.
pub(crate) struct Wanted<'a> {
    pub(crate) base: &'a str,
    pub(crate) rounds: usize,
    /// Names of probes; all if there are none.
    pub(crate) probes: Vec<&'a str>,
    pub(crate) keep: bool,
}

impl<'a> Wanted<'a> {
    /// Reads the command line behind `bench-ab`.
    pub(crate) fn parse(words: &[&'a str]) -> Result<Wanted<'a>> {
        let [base, rest @ ..] = words else { bail!("name a revision to compare with, such as HEAD~1 or main") };
        let mut wanted = Wanted { base, rounds: 30, probes: Vec::new(), keep: false };
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            match *word {
                "--keep" => wanted.keep = true,
                "--rounds" => {
                    let rounds = rest.next().and_then(|n| n.parse().ok()).filter(|n| (8..=1000).contains(n));
                    wanted.rounds = rounds.context("--rounds takes 8 to 1000: fewer cannot reach p = 0.01")?;
                }
                name if PROBES.iter().any(|p| p.name == name) => wanted.probes.push(name),
                other => {
                    let names: Vec<&str> = PROBES.iter().map(|p| p.name).collect();
                    bail!("there is no probe `{other}`, only {}", names.join(", "));
                }
            }
        }
        Ok(wanted)
    }
}

/// Builds both, compares them, and prints a table.
pub(crate) fn run(wanted: &Wanted<'_>) -> Result<()> {
    let root = crate::root();
    let revision = |name: &str| git(&root, &["rev-parse", "--short=12", name]);
    let base = revision(wanted.base)?;
    let ours = {
        let head = revision("HEAD")?;
        let changed = !git(&root, &["status", "--porcelain", "--untracked-files=no"])?.is_empty();
        if changed { format!("{head}+changes") } else { head }
    };
    let place = root.join("target/bench-ab").join(&base);
    export(&root, &base, &place)?;
    println!("building {base}");
    let a = build(&place, &place.join("target"))?;
    println!("building {ours}");
    let b = build(&root, &root.join("target/bench-ab/ours"))?;

    let probes = PROBES.iter().filter(|p| wanted.probes.is_empty() || wanted.probes.contains(&p.name));
    let mut seen: Vec<(&Probe, Vec<[f64; 2]>)> = probes.map(|p| (p, Vec::new())).collect();
    for round in 0..wanted.rounds {
        for (k, (probe, pairs)) in seen.iter_mut().enumerate() {
            let mut pair = [0.0; 2];
            // Which goes first is drawn, by a generator that needs no state.
            let first = usize::from(mixed((round * PROBES.len() + k) as u64) & 1 == 1);
            for arm in [first, 1 - first] {
                pair[arm] = probe.figure(if arm == 0 { &a } else { &b })?;
            }
            pairs.push(pair);
        }
        eprintln!("round {} of {}", round + 1, wanted.rounds);
    }

    let table = table(&seen, &base, &ours);
    print!("{table}");
    if wanted.keep {
        let place = keep(&root, &seen, &table, &base, &ours)?;
        println!("kept in {}", place.display());
    }
    Ok(())
}

fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output().context("git")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Puts a revision's files into a folder, unless they are there from the last time.
fn export(root: &Path, revision: &str, place: &Path) -> Result<()> {
    if place.join("Cargo.toml").exists() {
        return Ok(());
    }
    // Beside it, so that what is there is whole.
    let part = place.with_extension("part");
    std::fs::create_dir_all(&part)?;
    let archive = part.join("files.tar");
    git(root, &["archive", "--output", &archive.to_string_lossy(), revision])?;
    let status = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&part).status().context("tar")?;
    if !status.success() {
        bail!("the files of {revision} could not be unpacked");
    }
    std::fs::remove_file(archive)?;
    std::fs::rename(&part, place).with_context(|| format!("cannot rename to {}", place.display()))
}

/// Builds `wavegate` in release mode; returns the program.
fn build(source: &Path, target: &Path) -> Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--package", "wavegate", "--bin", "wavegate"])
        .current_dir(source)
        .env("CARGO_TARGET_DIR", target)
        .status()
        .context("cargo")?;
    if !status.success() {
        bail!("{} does not build", source.display());
    }
    Ok(target.join("release/wavegate"))
}

impl Probe {
    fn figure(&self, program: &Path) -> Result<f64> {
        let output = Command::new(program).args(self.arguments).output().context("the program that was built")?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{} of {}: {}; name other probes if it is too old for this one",
                self.name,
                program.display(),
                complaint.trim()
            );
        }
        let value: Value = serde_json::from_slice(&output.stdout).context(self.name)?;
        let figure = value.pointer(self.pointer).and_then(Value::as_f64).filter(|f| *f > 0.0);
        figure.with_context(|| format!("{}: no figure at {} in the program's output", self.name, self.pointer))
    }
}

/// Returns how often heads or tails are at least this uneven: twice the tail of the binomial distribution with one half.
fn sign_test(better: usize, worse: usize) -> f64 {
    let n = better + worse;
    let (mut tail, mut term) = (0.0, 0.5f64.powi(n as i32));
    for k in 0..=better.min(worse) {
        tail += term;
        term *= (n - k) as f64 / (k + 1) as f64;
    }
    (2.0 * tail).min(1.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    f64::midpoint(values[(n - 1) / 2], values[n / 2])
}

/// SplitMix64.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn table(seen: &[(&Probe, Vec<[f64; 2]>)], base: &str, ours: &str) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:<12} {base:>20} {ours:>24} {:>9} {:>8}  VERDICT", "PROBE", "RATIO", "P");
    for (probe, pairs) in seen {
        let of = |arm: usize| median(pairs.iter().map(|p| p[arm]).collect());
        let ratio = median(pairs.iter().map(|p| p[1] / p[0]).collect());
        let above = pairs.iter().filter(|p| p[1] > p[0]).count();
        let below = pairs.iter().filter(|p| p[1] < p[0]).count();
        let p = sign_test(above, below);
        let verdict = match (p <= CHANCE, (above > below) == probe.more) {
            (false, _) => "no difference",
            (true, true) => "better",
            (true, false) => "WORSE",
        };
        let _ = writeln!(
            out,
            "{:<12} {:>20.0} {:>24.0} {ratio:>9.4} {p:>8.4}  {verdict} ({})",
            probe.name,
            of(0),
            of(1),
            probe.unit
        );
    }
    out
}

/// Writes the raw figures where they can be committed.
fn keep(root: &Path, seen: &[(&Probe, Vec<[f64; 2]>)], table: &str, base: &str, ours: &str) -> Result<PathBuf> {
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output().context("date")?;
    let date = String::from_utf8(date.stdout)?.trim().to_owned();
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find(|l| l.starts_with("model name")).and_then(|l| l.split(": ").nth(1));
    let machine: String =
        processor.unwrap_or("unknown").split_whitespace().collect::<Vec<_>>().join("-").to_lowercase();
    let place = root.join("docs/bench").join(format!("{date}-{machine}-ab-{base}-{ours}"));
    std::fs::create_dir_all(&place)?;
    let probes: Vec<Value> = seen
        .iter()
        .map(|(probe, pairs)| {
            json!({ "probe": probe.name, "command": probe.arguments, "figure": probe.pointer, "unit": probe.unit, "pairs": pairs })
        })
        .collect();
    let raw = json!({
        "base": base, "ours": ours, "processor": processor,
        "processors": std::thread::available_parallelism().map_or(1, usize::from), "probes": probes,
    });
    std::fs::write(place.join("pairs.json"), serde_json::to_string_pretty(&raw)? + "\n")?;
    std::fs::write(place.join("table.txt"), table)?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_test_has_the_tables_values() {
        // Two-sided, from any table of the binomial distribution.
        assert!((sign_test(0, 8) - 2.0 / 256.0).abs() < 1e-12);
        assert!((sign_test(5, 25) - 0.000_325).abs() < 1e-5);
        assert!((sign_test(10, 20) - 0.0987).abs() < 1e-4);
        assert_eq!(sign_test(7, 7), 1.0);
    }

    #[test]
    fn a_difference_in_every_round_shows_and_chance_does_not() {
        let nbody = &PROBES[0];
        let slower: Vec<[f64; 2]> = (0..20).map(|k| [100.0 + f64::from(k), 97.0 + f64::from(k)]).collect();
        assert!(table(&[(nbody, slower)], "a", "b").contains("WORSE"));
        let even: Vec<[f64; 2]> = (0..20).map(|k| [100.0, if k % 2 == 0 { 99.0 } else { 101.0 }]).collect();
        assert!(table(&[(nbody, even)], "a", "b").contains("no difference"));
        let trip = PROBES.iter().find(|p| !p.more).unwrap();
        let shorter: Vec<[f64; 2]> = (0..20).map(|_| [1600.0, 1500.0]).collect();
        assert!(table(&[(trip, shorter)], "a", "b").contains("better"));
    }

    #[test]
    fn what_is_asked_for_is_known() {
        let wanted = Wanted::parse(&["main", "--rounds", "9", "spin", "--keep"]).unwrap();
        assert_eq!((wanted.base, wanted.rounds, wanted.keep), ("main", 9, true));
        assert_eq!(wanted.probes, ["spin"]);
        for wrong in [&[][..], &["main", "nothing"], &["main", "--rounds", "2"]] {
            assert!(Wanted::parse(wrong).is_err());
        }
    }

    #[test]
    fn who_goes_first_is_fair() {
        let heads = (0..1000).filter(|k| mixed(*k) & 1 == 1).count();
        assert!((440..560).contains(&heads), "{heads}");
    }
}
