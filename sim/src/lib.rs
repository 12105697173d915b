//! A deterministic world around the broker core.
//!
//! The broker of the daemon, not a copy, is driven through sessions that join, run, misbehave and die: by model tenants, model
//! workers and a model shell on a virtual clock. After every step checkers compare what it does with what it promises.
//!
//! Promise: a seed and a commit determine a run. There is no wall clock, no thread, no file and no socket in here; two runs of a
//! seed say the same to the broker and hear the same, which [`Report::hash`] shows. A failing run says how to see it again:
//!
//! ```text
//! FAILED sim seed=8841 world=churn: `t2` starved for 41.0 ms; ...  (rerun: cargo run -p wavegate-sim -- --seed 8841 --world churn)
//! ```
//!
//! ```
//! let run = sim::run(&sim::worlds::named("calm").unwrap().scenario(7));
//! assert_eq!(run.broken, None);
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`scenario`], [`worlds`] | what a world is made of; those that have names |
//! | `world`, `worker` | playing it: programs, administrators, the shell, workers and their gates |
//! | `books`, `meter` | the checkers: sessions and charges; who had the device |
//! | [`broken`] | what they say |
//! | [`mod@line`] | where tests break a rule to see that a checker notices |
//! | [`report`], [`trace`] | what came out |
//! | [`adversary`] | a search for the trace in which somebody falls behind the most |
//! | `agenda`, [`random`] | time and chance |

#![forbid(unsafe_code)]

pub mod adversary;
mod agenda;
mod books;
pub mod broken;
pub mod line;
mod meter;
pub mod random;
pub mod report;
pub mod scenario;
pub mod trace;
mod worker;
mod world;
pub mod worlds;

#[cfg(test)]
mod tests;

pub use broken::Broken;
pub use report::Report;
pub use scenario::Scenario;

use line::{Honest, Line};
use trace::Voice;
use world::World;

/// A run that is over, or that stopped where a promise was broken.
#[derive(Clone, Debug)]
pub struct Run {
    /// What came out.
    pub report: Report,
    /// The first promise that was broken.
    pub broken: Option<Broken>,
}

impl Run {
    /// Returns what to print about a broken promise: what, and how to see it again.
    pub fn failure(&self) -> Option<String> {
        let Report { world, seed, .. } = self.report;
        self.broken.as_ref().map(|broken| {
            format!(
                "FAILED sim seed={seed} world={world}: {broken}  (rerun: cargo run -p wavegate-sim -- --seed {seed} --world {world})"
            )
        })
    }
}

/// Plays a scenario.
pub fn run(scenario: &Scenario) -> Run {
    run_on(scenario, &mut Honest, Voice::Hashed)
}

/// Plays a scenario without hashing what is said, for large ones.
pub fn run_fast(scenario: &Scenario) -> Run {
    run_on(scenario, &mut Honest, Voice::Counted)
}

/// Plays a scenario and prints everything the world and the broker say to each other.
pub fn run_aloud(scenario: &Scenario) -> Run {
    run_on(scenario, &mut Honest, Voice::Aloud)
}

/// Plays a scenario over a line that need not be honest.
pub fn run_on(scenario: &Scenario, line: &mut dyn Line, voice: Voice) -> Run {
    let (result, report) = World::new(scenario, line, voice).play();
    Run { report, broken: result.err() }
}

/// Plays a scenario, and if there are attackers in it plays it once more without them. Whoever did nothing wrong must have had,
/// beside the attackers, what was its due: of device time its share by weight or what it wanted, within the bounds of the
/// scheduler, and of memory exactly what it had without them.
pub fn run_with_and_without(scenario: &Scenario) -> Run {
    let mut with = run(scenario);
    if with.broken.is_some() || !scenario.programs.iter().any(|p| p.attacker) {
        return with;
    }
    let without = run(&scenario.without_attackers());
    if without.broken.is_some() {
        return without;
    }
    with.broken = innocents::compare(scenario, &with.report, &without.report).err();
    with
}

mod innocents;
