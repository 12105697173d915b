//! Searches for counter-examples that go on for as long as they are let.
//!
//! Promise: every batch has a seed of its own and is the simulator's, so what is found can be found again; the worst attack replaces
//! the committed one only if it is worse; the line that is added to `sim/SOAK.md` says how much was searched and what came
//! out. A broken bound or promise fails the command, and its text says how to see it again.

use std::collections::hash_map::RandomState;
use std::fs::{self, OpenOptions};
use std::hash::BuildHasher as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

const ATTACKS_PER_BATCH: u64 = 100_000;
const SEEDS_PER_BATCH: u64 = 20;
const LOG: &str = "sim/SOAK.md";
const WORST: &str = "sim/src/worst-lag.txt";

/// How far somebody was off, in L, as the first line of an attack says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Damage {
    behind: f64,
    ahead: f64,
}

/// Searches for so many minutes.
pub(crate) fn run(minutes: &str) -> Result<()> {
    let minutes: u64 = minutes.parse().with_context(|| format!("{minutes:?} is not a number of minutes"))?;
    let root = crate::root();
    let built =
        Command::new(env!("CARGO")).current_dir(&root).args(["build", "--release", "-p", "wavegate-sim"]).status()?;
    ensure!(built.success(), "the simulator does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let sim = target.join("release/sim");
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    // Another soak is to search elsewhere.
    // Other seeds every time: what a search has seen it need not see again.
    let mut seed = RandomState::new().hash_one(std::process::id()) >> 8;
    let worst = root.join(WORST);
    let known = damage_of(&fs::read_to_string(&worst)?)?;
    let (mut most, mut attacks, mut worlds, mut broken) = (known, 0, 0, 0);
    while Instant::now() < end {
        seed += SEEDS_PER_BATCH;
        let from = worst.to_string_lossy();
        let begin = if seed.is_multiple_of(4 * SEEDS_PER_BATCH) { vec!["--afresh"] } else { vec!["--from", &from] };
        let search = ["--attacks".to_owned(), ATTACKS_PER_BATCH.to_string(), "--seed".to_owned(), seed.to_string()];
        let (text, sound) = play(&sim, &search, &begin)?;
        attacks += ATTACKS_PER_BATCH;
        broken += u32::from(!sound);
        let damage = damage_of(&text)?;
        if damage > most {
            most = damage;
            fs::write(&worst, &text)?;
        }
        let seeds = ["--seed".to_owned(), seed.to_string(), "--seeds".to_owned(), SEEDS_PER_BATCH.to_string()];
        let (text, sound) = play(&sim, &seeds, &[])?;
        worlds += text.lines().filter(|line| line.starts_with("world ")).count() as u64 * SEEDS_PER_BATCH;
        broken += u32::from(!sound);
        text.lines().filter(|line| line.starts_with("FAILED")).for_each(|line| println!("{line}"));
        println!("{attacks} attacks, worst {:.6} L behind, {:.6} L ahead; {worlds} worlds", most.behind, most.ahead);
    }
    let commit = Command::new("git").current_dir(&root).args(["rev-parse", "--short", "HEAD"]).output()?;
    let commit = String::from_utf8_lossy(&commit.stdout);
    let line = format!(
        "| {} | {attacks} | {:.6} L | {:.6} L | {worlds} | {broken} |\n",
        commit.trim(),
        most.behind,
        most.ahead
    );
    OpenOptions::new().append(true).open(root.join(LOG))?.write_all(line.as_bytes())?;
    if broken > 0 {
        bail!("{broken} batches found a promise broken; {LOG} and {WORST} have what was found");
    }
    Ok(())
}

/// Runs the simulator; returns what it says, and whether every promise held.
fn play(sim: &Path, arguments: &[String], more: &[&str]) -> Result<(String, bool)> {
    let out = Command::new(sim).args(arguments).args(more).output().context("the simulator does not start")?;
    ensure!(out.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&out.stderr));
    Ok((String::from_utf8_lossy(&out.stdout).into_owned(), out.status.success()))
}

/// Reads `# 1.998291 L behind, 0.999105 L ahead; ...`.
fn damage_of(text: &str) -> Result<Damage> {
    let first = text.lines().next().unwrap_or_default();
    let mut numbers = first.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(behind), Some(ahead)) => Ok(Damage { behind, ahead }),
        _ => bail!("{first:?} does not say how far somebody was behind and ahead"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_of_an_attack_is_read() {
        let read = damage_of("# 1.5 L behind, 0.25 L ahead; seed 1, 9 attacks\nslices 3\n").unwrap();
        assert_eq!(read, Damage { behind: 1.5, ahead: 0.25 });
        assert!(damage_of("slices 3\n").is_err());
        assert!(run("long").unwrap_err().to_string().contains("not a number of minutes"));
        let committed = fs::read_to_string(crate::root().join(WORST)).unwrap();
        assert!(damage_of(&committed).is_ok());
    }
}
