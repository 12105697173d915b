//! `wavegate sim`: what a scenario would come to, by the broker's own code on a virtual clock.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use broker::{Config, DeviceConfig, MatchRule, TenantConfig};
use clap::Args;
use proto::{Bytes, Nanos, TenantName};
use serde::Deserialize;
use sim::random::{Lengths, Span as Range};
use sim::scenario::{Appetite, Delays, End, Habit, Program, Scenario, Turn, Vice};

use crate::config::values::{Claim, Division, Limit, Name, Pace, Percent, Span, Wish};

#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct SimArgs {
    /// The scenario, a TOML file.
    #[arg(value_name = "FILE")]
    scenario: PathBuf,
    /// Another seed than the file's.
    #[arg(long)]
    seed: Option<u64>,
}

const EXAMPLE: &str = "\
What would 40 tenants at 3 ms look like, of which 4 want short waits?

  span = \"20s\"              # how long; seed = 1 chooses the numbers that are not given
  slice = \"3ms\"             # or auto:95%; policy = \"weighted\"; devices = 1
  switch = \"60us\"           # what taking the device away and giving it on costs
  [[tenant]]
  name = \"batch\"
  count = 36                # batch-1 to batch-36
  kernels = [\"100us\", \"20ms\"]
  [[tenant]]
  name = \"web\"
  count = 4
  class = \"latency:1ms\"     # and weight, cap, guarantee, slice as in the configuration
  kernels = \"300us\"
  burst = 1                 # so many kernels at once, one burst every so often; without: always busy
  every = \"20ms\"

Or what a running broker saw: `wavegate serve --record FILE` writes such a file when it stops, with the turns that its tenants
took in place of `kernels`, and prints the same report. Change slice, policy, weights or devices in it, and play it.";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "one")]
    seed: u64,
    span: Span,
    slice: Option<Pace>,
    policy: Option<Division>,
    #[serde(default = "one")]
    devices: u64,
    switch: Option<Span>,
    tenant: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: Name,
    count: Option<u32>,
    weight: Option<Claim>,
    class: Option<Wish>,
    cap: Option<Percent>,
    guarantee: Option<Percent>,
    slice: Option<Limit>,
    kernels: Option<Kernels>,
    burst: Option<u64>,
    every: Option<Span>,
    #[serde(default = "one")]
    sessions: u64,
    /// What `wavegate serve --record` saw: one for each session.
    #[serde(default)]
    session: Vec<Recorded>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    from: Span,
    to: Span,
    /// Pause and work of each turn, in ns.
    turns: Vec<[u64; 2]>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a time such as \"300us\", or the shortest and the longest of a range")]
enum Kernels {
    One(Span),
    Range([Span; 2]),
}

fn one() -> u64 {
    1
}

/// The first of the model users; each tenant has one.
const USER_FIRST: u32 = 1_000;
const DEVICES_MAX: u64 = 64;

pub(super) fn run(args: &SimArgs) -> Result<ExitCode> {
    let path = args.scenario.display();
    let text = std::fs::read_to_string(&args.scenario).with_context(|| format!("cannot read the scenario {path}"))?;
    let mut file: File = toml::from_str(&text).with_context(|| format!("{path} is not a scenario"))?;
    file.seed = args.seed.unwrap_or(file.seed);
    let scenario = scenario(&file).with_context(|| format!("{path} cannot be played"))?;
    let begun = Instant::now();
    let run = sim::run_fast(&scenario);
    let took = begun.elapsed().as_secs_f64();
    println!("{}", run.report);
    let leases: u64 = run.report.tenants.iter().map(|tenant| tenant.leases).sum();
    println!("simulated     {leases} leases in {took:.2} s");
    if let Some(broken) = run.broken {
        println!("FAILED        {broken}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn scenario(file: &File) -> Result<Scenario> {
    anyhow::ensure!((1..=DEVICES_MAX).contains(&file.devices), "{} devices are not 1 to {DEVICES_MAX}", file.devices);
    let mut config = Config::built_in(Bytes(64 << 30));
    let mut device = DeviceConfig::whole(Bytes(64 << 30));
    if let Some(Pace(rule)) = file.slice {
        (device.slice, device.adaptive) = (rule.slice, rule.adaptive);
    }
    device.policy = file.policy.map_or(device.policy, |policy| policy.0);
    config.devices = vec![device; file.devices as usize];
    config.preempt_timeout = Nanos::from_millis(500);
    config.unknown = broker::Unknown::Deny;
    config.tenants.clear();
    let (mut programs, mut recordings) = (Vec::new(), Vec::new());
    for group in &file.tenant {
        let (described, recorded) = (group.kernels.is_some(), !group.session.is_empty());
        anyhow::ensure!(described != recorded, "tenant {} needs `kernels`, or sessions that were recorded", group.name);
        for number in 1..=group.count.unwrap_or(1) {
            let name = match group.count {
                None => group.name.0,
                Some(_) => TenantName::new(&format!("{}-{number}", group.name)).context("a name is too long")?,
            };
            let uid = USER_FIRST + config.tenants.len() as u32;
            config.tenants.push(group.tenant(name, uid));
            if let Some(kernels) = &group.kernels {
                programs.extend((0..group.sessions).map(|session| group.program(name, uid, session, kernels)));
            }
            for session in &group.session {
                programs.push(session.program(name, uid, recordings.len()));
                recordings.push(
                    session
                        .turns
                        .iter()
                        .map(|&[pause, work]| Turn { pause: Nanos(pause), work: Nanos(work) })
                        .collect(),
                );
            }
        }
    }
    config.sessions_max = u32::try_from(programs.len().max(1)).unwrap_or(u32::MAX);
    config.check()?;
    let delays = file.switch.map_or(Delays::USUAL, |Span(switch)| delays(switch.0));
    let span = file.span.0;
    Ok(Scenario {
        world: "file",
        seed: file.seed,
        config,
        programs,
        recordings,
        delays,
        chores: Vec::new(),
        span,
        share_error_max: None,
    })
}

/// A machine on which a switch costs so much, in about the proportions of the software GPU.
fn delays(switch_ns: u64) -> Delays {
    let part = |percent: u64| {
        let ns = switch_ns * percent / 100;
        Range { min: ns, max: ns }
    };
    Delays {
        ring: part(10),
        wake: part(15),
        look: part(5),
        suspend: part(30),
        resume: part(30),
        scrub: part(10),
        ..Delays::USUAL
    }
}

impl Group {
    fn tenant(&self, name: TenantName, uid: u32) -> TenantConfig {
        let modest = TenantConfig::modest(name);
        TenantConfig {
            matches: vec![MatchRule { uid: Some(uid), ..MatchRule::default() }],
            weight: self.weight.map_or(modest.weight, |weight| weight.0),
            class: self.class.map_or(modest.class, |class| class.0),
            cap: self.cap.and_then(|cap| cap.0),
            guarantee: self.guarantee.and_then(|guarantee| guarantee.0),
            slice: self.slice.map(|slice| slice.0).filter(|slice| slice.0 > 0),
            sessions: u32::try_from(self.sessions.max(self.session.len() as u64)).unwrap_or(u32::MAX),
            max_dispatch: Nanos(0),
            ..modest
        }
    }

    fn program(&self, tenant: TenantName, uid: u32, session: u64, kernels: &Kernels) -> Program {
        let (min, max) = match *kernels {
            Kernels::One(Span(length)) => (length.0, length.0),
            Kernels::Range([Span(min), Span(max)]) => (min.0, max.0.max(min.0)),
        };
        let every = self.every.map_or(0, |Span(every)| every.0);
        let habit = match self.burst {
            None if every == 0 => Habit::Saturated,
            burst => {
                let kernels = burst.unwrap_or(1);
                let every = Range { min: every - every / 10, max: every + every / 10 };
                Habit::Bursts { kernels: Range { min: kernels, max: kernels }, every }
            }
        };
        let first_at = Nanos((u64::from(uid) * 7_919 + session * 104_729) % 5_000_000);
        Program { habit, kernels: Lengths::Skewed(Range { min, max }), first_at, ..plain(tenant, uid) }
    }
}

impl Recorded {
    fn program(&self, tenant: TenantName, uid: u32, recording: usize) -> Program {
        let life = self.to.0.0.saturating_sub(self.from.0.0).max(1);
        Program {
            habit: Habit::Recorded(recording),
            life: Some(Range { min: life, max: life }),
            first_at: self.from.0,
            ..plain(tenant, uid)
        }
    }
}

/// A program that does nothing wrong, and nothing else.
fn plain(tenant: TenantName, uid: u32) -> Program {
    Program {
        tenant,
        uid,
        habit: Habit::Idle,
        kernels: Lengths::Skewed(Range { min: 1, max: 1 }),
        appetite: Appetite::Nothing,
        life: None,
        end: End::Goodbye,
        again: None,
        vice: Vice::None,
        first_at: Nanos(0),
        attacker: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Scenario> {
        scenario(&toml::from_str(text)?)
    }

    #[test]
    fn a_file_becomes_what_it_says_and_is_played() {
        let text = r#"
            span = "2s"
            slice = "3ms"
            switch = "60us"
            [[tenant]]
            name = "batch"
            count = 4
            weight = 300
            kernels = ["100us", "2ms"]
            [[tenant]]
            name = "web"
            weight = 300
            class = "latency:1ms"
            kernels = "200us"
            burst = 1
            every = "20ms"
        "#;
        let scenario = read(text).unwrap();
        assert_eq!((scenario.config.tenants.len(), scenario.programs.len()), (5, 5));
        let run = sim::run(&scenario);
        assert_eq!(run.broken, None);
        let had = |name: &str| run.report.tenant(name).unwrap().had.0;
        let batch = ["batch-1", "batch-2", "batch-3", "batch-4"].map(had);
        assert!(batch.iter().all(|ns| ns.abs_diff(batch[0]) < 100_000_000), "{batch:?}");
        assert!(run.report.tenant("web").unwrap().completed > 80);
    }

    /// What `wavegate serve --record` writes: the turns are played, each after its pause, whatever else there is.
    #[test]
    fn recorded_turns_are_played() {
        let text = r#"
            span = "1s"
            slice = "1ms"
            [[tenant]]
            name = "red"
            cap = "none"
            [[tenant.session]]
            from = "0ns"
            to = "900ms"
            turns = [[1000000,5000000],[2000000,7000000],]
            [[tenant.session]]
            from = "100ms"
            to = "200ms"
            turns = [[0,3000000],]
            [[tenant]]
            name = "hog"
            kernels = "10ms"
        "#;
        let run = sim::run(&read(text).unwrap());
        assert_eq!(run.broken, None);
        let red = run.report.tenant("red").unwrap();
        assert_eq!((red.completed, red.work), (3, 15_000_000));
        assert!(red.leases >= 15, "slices of 1 ms beside a hog: {}", red.leases);
    }

    #[test]
    fn nonsense_is_explained() {
        let check = |text: &str, expected: &str| {
            let error = format!("{:#}", read(text).expect_err(text));
            assert!(error.contains(expected), "{error}");
        };
        check("span = \"1s\"\n", "tenant");
        check("span = \"1s\"\nslize = 3\ntenant = []\n", "unknown field `slize`");
        check("span = \"1s\"\n[[tenant]]\nname = \"a\"\n", "tenant a needs `kernels`, or sessions that were recorded");
        check("span = \"1s\"\ndevices = 65\ntenant = []\n", "65 devices are not 1 to 64");
        check("span = \"1s\"\n[[tenant]]\nname = \"a\"\nkernels = 3\n", "a time such as");
    }
}
