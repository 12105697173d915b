//! The fuzz targets on the stable compiler.
//!
//! Promise: the gate feeds every target the same inputs each time: what once went wrong, what it begins with, and so many children of a fixed seed.
//! With a time the seed is another one each run, and is printed. The dev profile is used on purpose: it checks arithmetic, and has been built for the tests.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// Children of each target in the gate: about twenty seconds in all.
const INPUTS_IN_THE_GATE: &str = "1000";

/// Runs what the gate runs.
pub(crate) fn gate() -> Result<()> {
    feed(&["--inputs", INPUTS_IN_THE_GATE])
}

/// Runs the targets as the arguments of `cargo xtask fuzz` say.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    match *arguments {
        [] => gate(),
        ["--for", time, ref targets @ ..] => {
            let seconds = seconds(time)?.to_string();
            let seed = (RandomState::new().hash_one(std::process::id()) >> 16).to_string();
            println!("seed {seed}");
            feed(&[&["--seconds", &seconds, "--seed", &seed], targets].concat())
        }
        // What else the program can be told, such as one input of one target.
        _ => feed(arguments),
    }
}

fn feed(arguments: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "-p", "wavegate-fuzz", "--"]).args(arguments).current_dir(crate::root());
    let status = command.status().context("cannot run cargo")?;
    ensure!(
        status.success(),
        "something went wrong; what next: the lines above say which input, and how to see it again"
    );
    Ok(())
}

/// Reads `90s`, `10m` or `2h`.
fn seconds(text: &str) -> Result<u64> {
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => bail!("{text:?} is no time: use one such as 90s, 10m or 2h"),
    };
    let number: u64 = text[..text.len() - 1].parse().with_context(|| format!("{text:?} is no time"))?;
    number.checked_mul(unit).with_context(|| format!("{text:?} is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_or_refused() {
        let read = ["90s", "10m", "2h"].map(|text| seconds(text).unwrap());
        assert_eq!(read, [90, 600, 7200]);
        for wrong in ["", "10", "m", "-1m", "99999999999999999999h", "18446744073709551615h", "1\u{e4}"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
