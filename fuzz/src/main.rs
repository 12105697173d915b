//! `fuzz`: runs the targets on children of what they begin with.
//!
//! Inputs that once went wrong (`corpus/TARGET/*`) come first. What goes wrong now is written to `artifacts/`, and its bytes belong into
//! `corpus/` with the fix. An input that takes longer than any should is a finding, too: a second thread watches.

#![forbid(unsafe_code)]

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use fuzz::mutate::Mutator;
use fuzz::{TARGETS, Target};

/// Looks, a second apart, after which an input counts as endless. Looks and not the time: a process that is stopped does not look either.
const LOOKS_MAX: u32 = 30;

#[derive(Parser)]
struct Arguments {
    /// Only these targets.
    targets: Vec<String>,
    /// How many inputs each target gets, unless a time is given.
    #[arg(long, default_value_t = 2000)]
    inputs: u64,
    /// For how many seconds all targets together run instead.
    #[arg(long)]
    seconds: Option<u64>,
    /// Which children are made; each target goes on from there.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder with `corpus` in it.
    #[arg(long, default_value = "fuzz")]
    folder: PathBuf,
    /// Feeds this file to the one target named, and nothing else.
    #[arg(long)]
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let named = |name: &String| fuzz::find(name).with_context(|| format!("there is no target {name}"));
    let mut targets: Vec<&Target> = arguments.targets.iter().map(named).collect::<Result<_>>()?;
    if targets.is_empty() {
        targets.extend(TARGETS);
    }
    if let Some(path) = &arguments.input {
        let [target] = targets[..] else { bail!("an input is for one target: name it") };
        (target.feed)(&fs::read(path).with_context(|| path.display().to_string())?);
        println!("{}: nothing went wrong", target.name);
        return Ok(());
    }
    let watch = Watch::start(&arguments.folder);
    let share = arguments.seconds.map(|seconds| Duration::from_secs(seconds) / targets.len() as u32);
    let mut found = 0;
    for target in targets {
        found += work(target, arguments, share, &watch)?;
    }
    if found > 0 {
        bail!("{found} inputs went wrong; they are in {}", arguments.folder.join("artifacts").display());
    }
    Ok(())
}

/// Runs one target; returns how many inputs went wrong.
fn work(target: &'static Target, arguments: &Arguments, share: Option<Duration>, watch: &Watch) -> Result<u32> {
    let begun = Instant::now();
    let mut found = 0;
    let mut feed = |bytes: &[u8]| -> Result<()> {
        watch.begin(target, bytes);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.feed)(bytes)));
        watch.end();
        if outcome.is_err() {
            found += 1;
            let path = keep(&arguments.folder, target, bytes)?;
            eprintln!(
                "{}: went wrong; see it again: cargo xtask fuzz {} --input {}",
                target.name,
                target.name,
                path.display()
            );
        }
        Ok(())
    };
    let old = remembered(&arguments.folder, target)?;
    for bytes in &old {
        feed(bytes)?;
    }
    let mut seeds = (target.seeds)();
    for seed in &seeds {
        feed(seed)?;
    }
    let first = (old.len() + seeds.len()) as u64;
    seeds.extend(old);
    let mut mutator = Mutator::new(arguments.seed, &seeds);
    let mut fed = 0;
    while share.map_or(fed < arguments.inputs, |share| begun.elapsed() < share) {
        feed(&mutator.child())?;
        fed += 1;
    }
    let (seed, took) = (arguments.seed, begun.elapsed().as_secs_f64());
    println!(
        "{:>12} {first:>6} seeds, {fed:>9} children (seed {seed}) in {took:>6.1} s, {found} went wrong",
        target.name
    );
    Ok(found)
}

/// The inputs of a target that once went wrong.
fn remembered(folder: &Path, target: &Target) -> Result<Vec<Vec<u8>>> {
    let folder = folder.join("corpus").join(target.name);
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    paths.iter().map(|path| fs::read(path).with_context(|| path.display().to_string())).collect()
}

/// Writes an input down.
fn keep(folder: &Path, target: &Target, bytes: &[u8]) -> Result<PathBuf> {
    let artifacts = folder.join("artifacts");
    fs::create_dir_all(&artifacts).with_context(|| artifacts.display().to_string())?;
    // FNV-1a: the same input has the same name.
    let name = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let path = artifacts.join(format!("{}-{name:016x}", target.name));
    fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// What is being fed, and how often it was seen.
type Current = Option<(&'static Target, Vec<u8>, u32)>;

/// Ends the process if an input does not come to an end.
struct Watch(Arc<Mutex<Current>>);

impl Watch {
    fn start(folder: &Path) -> Watch {
        let current: Arc<Mutex<Current>> = Arc::new(Mutex::new(None));
        let (seen, folder) = (Arc::clone(&current), folder.to_owned());
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let mut current = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let Some((target, bytes, looks)) = current.as_mut() else { continue };
                *looks += 1;
                if *looks > LOOKS_MAX {
                    let at = keep(&folder, target, bytes).map(|path| path.display().to_string()).unwrap_or_default();
                    eprintln!("{}: no end after {LOOKS_MAX} s: {at}", target.name);
                    std::process::abort();
                }
            }
        });
        Watch(current)
    }

    fn set(&self, current: Current) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    fn begin(&self, target: &'static Target, bytes: &[u8]) {
        self.set(Some((target, bytes.to_vec(), 0)));
    }

    fn end(&self) {
        self.set(None);
    }
}
