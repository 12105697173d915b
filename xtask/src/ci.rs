//! The gate: everything a change must pass, with times and one verdict.
//!
//! Promise: every step runs even if one before it failed, so that one run says all there is to say; the exit code is a
//! failure if any step failed; and the last line counts the tests that ran. The test command is the one README.md tells
//! its readers, read from there, so that the two cannot drift apart.
//!
//! `.ci/run` is this command for a machine that has nothing but Rust. Benches are compiled by clippy (`--all-targets`) and run
//! once each, unmeasured, by `benches`; numbers come from a quiet machine.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{counts, fuzz, hsa, interop, isa, kernels, rocr, tidy, tools};

/// A step of the gate: the name to ask for it by, and what it does.
struct Step {
    name: &'static str,
    run: fn(&Path, &mut Tests) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "tools", run: |root, _| get_tools(root) },
    Step { name: "test", run: test },
    Step { name: "fmt", run: |root, _| cargo(root, &["fmt", "--all", "--check"], &[]) },
    Step {
        name: "clippy",
        run: |root, _| cargo(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
    },
    Step {
        name: "doc",
        run: |root, _| cargo(root, &["doc", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-Dwarnings")]),
    },
    Step { name: "tidy", run: |_, _| tidy::check() },
    Step { name: "kernels", run: |_, _| kernels::rebuild(true) },
    Step { name: "isa", run: |_, _| isa::check() },
    Step { name: "fuzz", run: |_, _| fuzz::gate() },
    Step { name: "hsa", run: |_, _| hsa::check(true) },
    Step { name: "rocr", run: |_, _| rocr::check() },
    Step { name: "interop", run: |_, _| interop::check(None) },
    Step { name: "counts", run: |_, _| counts::check(false) },
    Step { name: "benches", run: |root, _| cargo(root, &["test", "--workspace", "--bench", "*"], &[]) },
];

/// Runs the steps named, or all of them.
pub(crate) fn run(wanted: &[&str]) -> Result<()> {
    let root = crate::root();
    let mut tests = Tests::default();
    let mut done: Vec<(&str, Duration, Result<()>)> = Vec::new();
    for step in chosen(wanted)? {
        println!("\n=== {}", step.name);
        let begun = Instant::now();
        let result = (step.run)(&root, &mut tests);
        if let Err(error) = &result {
            eprintln!("{}: {error:#}", step.name);
        }
        done.push((step.name, begun.elapsed(), result));
    }
    println!();
    for (name, took, result) in &done {
        println!("{name:>8} {:>7.1} s  {}", took.as_secs_f64(), if result.is_ok() { "passed" } else { "FAILED" });
    }
    let failed: Vec<_> = done.iter().filter(|(.., result)| result.is_err()).map(|(name, ..)| *name).collect();
    if !failed.is_empty() {
        let (these, names) = (failed.len(), failed.join(" "));
        bail!("{these} of {} steps failed: {names}; {tests}\nwhat next: cargo xtask ci {names}", done.len());
    }
    println!("ci: {} steps passed; {tests}", done.len());
    Ok(())
}

/// Returns the steps with these names in the order of the gate, or every step.
fn chosen(wanted: &[&str]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = wanted.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        bail!("there is no step `{unknown}`, only {}", names.join(", "));
    }
    Ok(STEPS.iter().filter(|step| wanted.is_empty() || wanted.contains(&step.name)).collect())
}

/// Makes sure that every tool a later step needs is there.
fn get_tools(root: &Path) -> Result<()> {
    let needed = [tools::KERNELS, tools::ISA, tools::HSA, tools::ROCR, tools::INTEROP, tools::COUNTS].concat();
    tools::require(&needed, tools::is_root()?)?;
    for (component, command) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        cargo(root, &[command, "--version"], &[])
            .with_context(|| format!("cargo {command} is missing; what next: rustup component add {component}"))?;
    }
    Ok(())
}

/// Runs README's test command, and counts what it ran.
fn test(root: &Path, tests: &mut Tests) -> Result<()> {
    let path = root.join("README.md");
    let readme = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = test_command(&readme).context(
        "README.md tells nobody how to test\nwhat next: a fenced block in it with a line that begins with `cargo test`",
    )?;
    println!("README.md says: {line}");
    let mut child = Command::new("sh")
        .args(["-c", line])
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run sh")?;
    let output = child.stdout.take().context("a piped output is there once")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tests.count(&line);
    }
    let status = child.wait().context("cannot wait for the tests")?;
    ensure!(status.success(), "`{line}` failed ({status}): {tests}");
    ensure!(tests.passed > 0, "`{line}` succeeded without a single test");
    Ok(())
}

/// Returns the first line of a fenced block that begins with `cargo test`.
fn test_command(readme: &str) -> Option<&str> {
    let mut fenced = false;
    readme.lines().map(str::trim).find(|line| {
        fenced ^= line.starts_with("```");
        fenced && (*line == "cargo test" || line.starts_with("cargo test "))
    })
}

fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "`{}` failed ({status}); its messages are above", shown(arguments, environment));
    Ok(())
}

/// Returns what to type to run cargo like this.
fn shown(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let set: String = environment.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    format!("{set}cargo {}", arguments.join(" "))
}

/// What test programs said they ran.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tests {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tests {
    /// Adds a line like `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; ...`; other lines count nothing.
    ///
    /// Tests that start themselves as another process name one test and filter out the rest; their parent counts.
    fn count(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        if !counts.contains("; 0 filtered out") {
            return;
        }
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse::<u64>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Tests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Tests::default() {
            return f.write_str("no tests ran");
        }
        write!(f, "tests: {} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_command_is_the_readmes() {
        let readme = "# X\n\nTest with `cargo test`:\n\ncargo test --doc\n```sh\ncargo build\n```\n```sh\n  cargo test --all\n```\n";
        assert_eq!(test_command(readme), Some("cargo test --all"));
        for without in ["", "```sh\ncargo testify\n```\ncargo test\n", "cargo test"] {
            assert_eq!(test_command(without), None, "{without}");
        }
    }

    #[test]
    fn this_readme_has_a_test_command() {
        let readme = fs::read_to_string(crate::root().join("README.md")).unwrap();
        assert!(test_command(&readme).is_some_and(|line| line.contains("--workspace")));
    }

    #[test]
    fn what_tests_say_is_added_up() {
        let mut tests = Tests::default();
        assert_eq!(tests.to_string(), "no tests ran");
        for line in [
            "running 4 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.02s",
            "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 74 filtered out; finished in 0.00s",
            "test x ... ok",
            "test result: nonsense",
        ] {
            tests.count(line);
        }
        assert_eq!(tests, Tests { passed: 5, failed: 1, ignored: 1 });
        assert_eq!(tests.to_string(), "tests: 5 passed, 1 failed, 1 ignored");
    }

    #[test]
    fn steps_are_chosen_by_name_in_the_order_of_the_gate() {
        let names = |wanted: &[&str]| chosen(wanted).unwrap().iter().map(|step| step.name).collect::<Vec<_>>();
        assert_eq!(names(&["tidy", "fmt"]), ["fmt", "tidy"]);
        assert_eq!(names(&[]).len(), STEPS.len());
        assert!(chosen(&["tidi"]).err().unwrap().to_string().contains("tools, test, fmt"));
    }

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        assert_eq!(shown(&["fmt", "--all"], &[]), "cargo fmt --all");
        assert_eq!(shown(&["doc"], &[("RUSTDOCFLAGS", "-Dwarnings")]), "RUSTDOCFLAGS=-Dwarnings cargo doc");
    }
}
