//! How many instructions the hot paths take, and a gate that they take no more.
//!
//! A *probe* is an example of some room that does one thing so many times, by its last argument. It runs twice on valgrind's
//! simulated processor, a few times and many times; the difference is what the thing costs, without what setting it up did. Such a
//! count does not depend on the machine, its load or its mood, unlike time, so it can be a gate where time cannot.
//!
//! Promise: every probe of `benches/counts.toml` is built and counted; one that takes more than its committed count and
//! [`TOLERANCE_PERCENT`] fails the command, and what it says is what to look at; `--update` writes down what was counted.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

/// By how much a count may exceed the committed one: another compiler's taste, not another algorithm.
const TOLERANCE_PERCENT: f64 = 3.0;
const FILE: &str = "benches/counts.toml";
const HEAD: &str = "\
# What hot paths cost, in instructions of the release build. `cargo xtask counts` counts them again and fails if one takes 3 % more;
# `cargo xtask counts --update` writes down what it counted. xtask/src/counts.rs says how to add a probe.
";

/// One thing that is counted.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Probe {
    name: String,
    /// The package, and which of its examples.
    package: String,
    example: String,
    /// What comes before the number of times.
    arguments: Vec<String>,
    /// Between how many times and how many the difference is taken.
    times: [u64; 2],
    instructions: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Probes {
    probe: Vec<Probe>,
}

/// Counts every probe, and compares or, if asked to, writes down.
pub(crate) fn check(update: bool) -> Result<()> {
    let root = crate::root();
    let path = root.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut probes = read(&text)?;
    let mut examples: Vec<_> = probes.iter().map(|probe| (&probe.package, &probe.example)).collect();
    examples.sort();
    examples.dedup();
    for (package, example) in examples {
        let build = ["build", "--release", "--package", package, "--example", example];
        let status = Command::new(env!("CARGO")).current_dir(&root).args(build).status().context("cannot run cargo")?;
        ensure!(status.success(), "the probe {example} of {package} does not build");
    }
    let mut more = Vec::new();
    for probe in &mut probes {
        let counted = count(&root, probe)?;
        let change = (counted as f64 / probe.instructions as f64 - 1.0) * 100.0;
        println!("{:>8} instructions ({change:+5.1} %)  {}", counted, probe.name);
        if change > TOLERANCE_PERCENT {
            more.push(format!("{}: {counted} instead of {}", probe.name, probe.instructions));
        }
        probe.instructions = counted;
    }
    if update {
        fs::write(&path, written(&probes)).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written to {FILE}");
        return Ok(());
    }
    if !more.is_empty() {
        bail!(
            "more instructions than {FILE} allows: {}\nwhat next: make them fewer, or, if they are worth it, \
             `cargo xtask counts --update` and say why in the commit",
            more.join("; ")
        );
    }
    println!("counts: {} probes within {TOLERANCE_PERCENT} % of {FILE}", probes.len());
    Ok(())
}

fn read(text: &str) -> Result<Vec<Probe>> {
    let probes: Probes = toml::from_str(text).with_context(|| format!("{FILE} is not a list of probes"))?;
    for probe in &probes.probe {
        let [few, many] = probe.times;
        ensure!(few < many, "{}: from {few} to {many} times is no difference", probe.name);
        ensure!(probe.instructions > 0, "{}: a count of 0 allows nothing", probe.name);
    }
    Ok(probes.probe)
}

fn written(probes: &[Probe]) -> String {
    let mut text = HEAD.to_owned();
    for Probe { name, package, example, arguments, times: [few, many], instructions } in probes {
        // Writing into a string does not fail.
        let _ = write!(
            text,
            "\n[[probe]]\nname = {name:?}\npackage = {package:?}\nexample = {example:?}\narguments = {arguments:?}\n\
             times = [{few}, {many}]\ninstructions = {instructions}\n"
        );
    }
    text
}

/// Returns what one time costs, rounded.
fn count(root: &Path, probe: &Probe) -> Result<u64> {
    let [few, many] = probe.times;
    let difference = instructions(root, probe, many)?.saturating_sub(instructions(root, probe, few)?);
    let counted = (difference + (many - few) / 2) / (many - few);
    ensure!(counted > 0, "{}: {many} times cost no more than {few}; the probe does nothing", probe.name);
    Ok(counted)
}

fn instructions(root: &Path, probe: &Probe, times: u64) -> Result<u64> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let program = target.join("release/examples").join(&probe.example);
    let out = Command::new("valgrind")
        .args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"])
        .arg(&program)
        .args(&probe.arguments)
        .arg(times.to_string())
        .output()
        .context("cannot run valgrind")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{}: {} failed ({}): {said}", probe.name, program.display(), out.status);
    total(&said).with_context(|| format!("{}: valgrind did not say how many instructions: {said}", probe.name))
}

/// Reads `==1== I   refs:      4,457,425`.
fn total(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("refs:") && line.contains("== I"))?;
    line.rsplit_once(':')?.1.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_probes_are_read_and_written_alike() {
        let text = fs::read_to_string(crate::root().join(FILE)).unwrap();
        let probes = read(&text).unwrap();
        assert_eq!(written(&probes), text, "cargo xtask counts --update writes it otherwise");
        assert!(!probes.is_empty());
    }

    #[test]
    fn probes_that_count_nothing_are_refused() {
        let probe = |times: &str, instructions| {
            format!(
                "[[probe]]\nname='n'\npackage='p'\nexample='e'\narguments=[]\ntimes={times}\ninstructions={instructions}\n"
            )
        };
        assert!(read(&probe("[1, 2]", 5)).is_ok());
        assert!(read(&probe("[2, 2]", 5)).unwrap_err().to_string().contains("no difference"));
        assert!(read(&probe("[1, 2]", 0)).unwrap_err().to_string().contains("allows nothing"));
    }

    #[test]
    fn valgrinds_total_is_read() {
        assert_eq!(total("==1== Cachegrind\n==1== \n==1== I   refs:      4,457,425\n"), Some(4_457_425));
        assert_eq!(total("==1== Cachegrind\n"), None);
    }
}
