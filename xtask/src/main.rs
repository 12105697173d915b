//! Developer commands: what a change must pass, and what rebuilds or checks things that `cargo build` does not.
//!
//! Promise: CI runs these and nothing else, so a change that passes `cargo xtask ci` here passes there. Each command says
//! what it covered when it succeeds and what to do next when it does not.
//!
//! | module | subject |
//! |---|---|
//! | [`ci`] | the gate: its steps, their times, one verdict |
//! | [`tidy`] | the laws of the rooms that the compiler cannot check |
//! | [`kernels`] | the committed code objects and their sources |
//! | [`fuzz`] | whatever reads bytes that somebody else wrote, fed with bytes that nobody would |
//! | [`soak`] | searches that go on for hours |
//! | [`bench_ab`] | this tree's speed against another revision's |
//! | [`isa`] | our disassembler against LLVM's |
//! | [`hsa`] | our HSA declarations against AMD's headers |
//! | [`rocr`] | programs on AMD's runtime on the software GPU |
//! | [`counts`] | instructions of the hot paths against committed counts |
//! | [`coverage`] | the page that says which instructions are executed |
//! | [`interop`], [`install`] | unmodified programs as tenants; the files of an installation |
//! | [`tools`] | the Debian packages that these need |

#![forbid(unsafe_code)]

mod bench_ab;
mod ci;
mod counts;
mod coverage;
mod fuzz;
mod hsa;
mod install;
mod interop;
mod isa;
mod kernels;
mod rocr;
mod soak;
mod tidy;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask COMMAND

  ci [STEP...]                  everything a change must pass, or only the steps named; installs what it needs as root
  tidy                          the laws of the rooms: who uses whom, where unsafe may be, sizes, leftovers
  kernels [--check] [--install] build the GPU programs and replace kernels/objects; --check only compares
  isa [--install]               compare the disassembler with LLVM's
  hsa [--releases] [--install]  compare the HSA declarations with AMD's headers; --releases: also those of Debian 13 and sid
  rocr [--install]              run programs on AMD's runtime on the software GPU
  rocr --suite trixie           the same on that Debian's runtime, in a tree of it, for gfx90a and gfx942; makes the tree, which takes root
  counts [--update] [--install]  count the instructions of the hot paths, against benches/counts.toml; --update writes them there
  coverage [--check]            write docs/isa-coverage.md from the instruction table; --check only compares
  fuzz [--for TIME] [TARGET...] feed the fuzz targets what the gate does, or other inputs for a time such as 10m
  soak MINUTES                  search for counter-examples to the scheduler's bounds, and commit-ready results in sim/SOAK.md
  bench-ab BASE [PROBE...] [--rounds N] [--keep]
                                build BASE and this tree, and compare their speed in turns; --keep: figures to docs/bench
  interop [--install]           rocminfo and the HIP programs of tests/hip as tenants of the built broker
  interop --only NAME           those of the programs with this in their name, or `sharing`
  interop --suite trixie|sid    the same in a tree of that Debian, with its HIP and OpenCL; makes the tree, which takes root
  cost                          what a launch, a copy and a start cost an unmodified program, by parts
  install --prefix DIR          build, and put wavegate and its library below DIR
  help                          this text

--install installs missing Debian packages first, which takes root.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match *arguments {
        ["ci", ref steps @ ..] => ci::run(steps),
        ["tidy"] => tidy::check(),
        ["kernels", ref flags @ ..] => {
            let [check, install] = flagged(flags, ["--check", "--install"])?;
            tools::require(tools::KERNELS, install)?;
            kernels::rebuild(check)
        }
        ["isa", ref flags @ ..] => {
            let [install] = flagged(flags, ["--install"])?;
            tools::require(tools::ISA, install)?;
            isa::check()
        }
        ["hsa", ref flags @ ..] => {
            let [releases, install] = flagged(flags, ["--releases", "--install"])?;
            tools::require(tools::HSA, install)?;
            hsa::check(releases)
        }
        ["rocr", "--suite", name] => {
            tools::require(tools::SUITES, tools::is_root()?)?;
            rocr::check_suite(interop::suite::Suite::named(name)?)
        }
        ["rocr", ref flags @ ..] => {
            let [install] = flagged(flags, ["--install"])?;
            tools::require(tools::ROCR, install)?;
            rocr::check()
        }
        ["counts", ref flags @ ..] => {
            let [update, install] = flagged(flags, ["--update", "--install"])?;
            tools::require(tools::COUNTS, install)?;
            counts::check(update)
        }
        ["coverage", ref flags @ ..] => {
            let [check] = flagged(flags, ["--check"])?;
            coverage::write(check)
        }
        ["fuzz", ref arguments @ ..] => fuzz::run(arguments),
        ["soak", minutes] => soak::run(minutes),
        ["bench-ab", ref words @ ..] => bench_ab::run(&bench_ab::Wanted::parse(words)?),
        ["cost"] => interop::cost::measure(),
        ["interop", "--only", name] => interop::check(Some(name)),
        ["interop", "--suite", name] => {
            tools::require(tools::SUITES, tools::is_root()?)?;
            interop::check_suite(interop::suite::Suite::named(name)?)
        }
        ["interop", ref flags @ ..] => {
            let [install] = flagged(flags, ["--install"])?;
            tools::require(tools::INTEROP, install)?;
            interop::check(None)
        }
        ["install", "--prefix", prefix] => install::into(Path::new(prefix)),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("there is no command `{}`\n\n{USAGE}", arguments.join(" ")),
    }
}

/// Says for each known flag whether it was given.
fn flagged<const N: usize>(given: &[&str], known: [&str; N]) -> Result<[bool; N]> {
    if let Some(flag) = given.iter().find(|flag| !known.contains(flag)) {
        bail!("there is no flag `{flag}` here, only {}", known.join(" and "));
    }
    Ok(known.map(|flag| given.contains(&flag)))
}

/// Returns the folder of the workspace.
fn root() -> PathBuf {
    // PANIC: a manifest's folder has a parent: xtask is a folder of the workspace.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_known_or_refused() {
        let known = ["--check", "--install"];
        assert_eq!(flagged(&[], known).unwrap(), [false, false]);
        assert_eq!(flagged(&["--install"], known).unwrap(), [false, true]);
        assert!(flagged(&["--instal"], known).unwrap_err().to_string().contains("--check and --install"));
    }

    #[test]
    fn an_unknown_command_is_answered_with_the_commands() {
        for wrong in [&[][..], &["tidyy"], &["tidy", "more"]] {
            assert!(run(wrong).unwrap_err().to_string().contains("cargo xtask COMMAND"), "{wrong:?}");
        }
    }
}
