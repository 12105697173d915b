//! Plays worlds from the command line: one seed to look at, or thousands to search.

use std::process::ExitCode;

use clap::Parser;
use sim::adversary::{Attack, Search, WORST};
use sim::report::Histogram;
use sim::worlds::{self, Recipe};
use sim::{Report, Run};

/// Plays deterministic worlds around the broker core and checks its promises at every step.
///
/// Exits with 1 if a promise was broken, and prints the seed that shows it.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Options {
    /// The world to play; all of them if not given. `--list` shows their names.
    #[arg(long, value_name = "NAME", value_parser = recipe)]
    world: Option<Recipe>,
    /// The seed, or the first of many.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds to play, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Print everything that is said to the broker and by it.
    #[arg(long, conflicts_with = "seeds")]
    trace: bool,
    /// List the worlds.
    #[arg(long)]
    list: bool,
    /// Play no world, but search so many attacks on the scheduler for the one in which somebody falls behind the most.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["world", "seeds", "trace", "list"])]
    attacks: Option<u64>,
    /// Begin the search anywhere, and not at the worst attack known.
    #[arg(long, requires = "attacks", conflicts_with = "from")]
    afresh: bool,
    /// Begin the search at the attack in this file.
    #[arg(long, requires = "attacks", value_name = "FILE", value_parser = attack_in)]
    from: Option<Attack>,
}

fn recipe(name: &str) -> Result<Recipe, String> {
    worlds::named(name).ok_or_else(|| {
        let names: Vec<_> = worlds::ALL.iter().map(|r| r.name).collect();
        format!("there is no such world; there are {}", names.join(", "))
    })
}

fn attack_in(path: &str) -> Result<Attack, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.parse().map_err(|error: sim::adversary::NoAttack| error.to_string())
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        for recipe in worlds::ALL {
            println!("{:<12} {}", recipe.name, recipe.about);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(count) = options.attacks {
        // PANIC: a test reads it.
        let known = || WORST.parse().expect("the worst attack known is one");
        let begin = (!options.afresh).then(|| options.from.unwrap_or_else(known));
        return attack(options.seed, count, begin);
    }
    let recipes = options.world.map_or(worlds::ALL.to_vec(), |recipe| vec![recipe]);
    let mut failed = 0;
    for recipe in &recipes {
        failed += if options.seeds == 1 { play_one(recipe, &options) } else { play_many(recipe, &options) };
    }
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Searches, and prints the worst attack in the form in which it is committed.
fn attack(seed: u64, count: u64, begin: Option<Attack>) -> ExitCode {
    let mut search = Search::new(seed, begin);
    for number in 1..=count {
        if let Some((damage, _)) = search.step() {
            eprintln!("attack {number:>9}: {:.6} L behind", damage.behind as f64 / 1e6);
        }
    }
    let (damage, attack) = search.best();
    let in_l = |ppm: i64| ppm as f64 / 1e6;
    println!("# {:.6} L behind, {:.6} L ahead; seed {seed}, {count} attacks", in_l(damage.behind), in_l(damage.ahead));
    print!("{attack}");
    if damage.breaks_bounds() {
        println!("# FAILED: this is beyond a bound of sched::bounds");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn play_one(recipe: &Recipe, options: &Options) -> u64 {
    let scenario = recipe.scenario(options.seed);
    let run = if options.trace { sim::run_aloud(&scenario) } else { sim::run_with_and_without(&scenario) };
    println!("{}", run.report);
    complain(&run)
}

fn complain(run: &Run) -> u64 {
    run.failure().map_or(0, |failure| {
        println!("{failure}");
        1
    })
}

/// What many seeds of one world came to.
#[derive(Default)]
struct Sum {
    sessions: u64,
    leases: u64,
    device_ns: u64,
    switch_ns: u64,
    lines: u64,
    denied: u64,
    worst_jain: Option<(u64, u64)>,
    worst_share: Option<(u64, u64)>,
    waits: Histogram,
    switches: Histogram,
}

impl Sum {
    /// Shares are compared where the world promises them; elsewhere the time in which all compete is too short to say much.
    fn add(&mut self, report: &Report, shares: bool) {
        self.sessions += report.sessions;
        self.device_ns += report.totals.wall().0;
        self.switch_ns += report.totals.switch_in.0;
        self.lines += report.lines;
        self.switches.merge(&report.switches);
        for tenant in &report.tenants {
            self.leases += tenant.leases;
            self.denied += tenant.charges.1;
            self.waits.merge(&tenant.waits);
            if let Some(entitled) = tenant.entitled.filter(|_| shares) {
                self.worst_share = self.worst_share.max(Some((tenant.got.abs_diff(entitled), report.seed)));
            }
        }
        let worse = report.jain().filter(|_| shares).map(|jain| (jain, report.seed));
        self.worst_jain = self.worst_jain.into_iter().chain(worse).min();
    }
}

fn play_many(recipe: &Recipe, options: &Options) -> u64 {
    let (mut sum, mut failed) = (Sum::default(), 0);
    for seed in options.seed..options.seed.saturating_add(options.seeds) {
        let scenario = recipe.scenario(seed);
        let run = sim::run_with_and_without(&scenario);
        sum.add(&run.report, scenario.share_error_max.is_some());
        failed += complain(&run);
    }
    let ms = |n: proto::Nanos| format!("{:.3} ms", n.0 as f64 / 1e6);
    println!("world {}: {}", recipe.name, recipe.about);
    println!("  {} seeds, {failed} failed", options.seeds);
    println!(
        "  {:.1} s of device time, {} sessions, {} leases, {} charges denied, {} inputs and actions",
        sum.device_ns as f64 / 1e9,
        sum.sessions,
        sum.leases,
        sum.denied,
        sum.lines
    );
    let waits = &sum.waits;
    println!(
        "  wait for a lease   p50 {}, p99 {}, max {}",
        ms(waits.quantile(500)),
        ms(waits.quantile(990)),
        ms(waits.max())
    );
    println!(
        "  switch             p50 {}, p99 {}, max {}; {:.2} % of device time",
        ms(sum.switches.quantile(500)),
        ms(sum.switches.quantile(990)),
        ms(sum.switches.max()),
        sum.switch_ns as f64 * 100.0 / sum.device_ns.max(1) as f64
    );
    if let (Some((jain, jain_seed)), Some((share, share_seed))) = (sum.worst_jain, sum.worst_share) {
        println!(
            "  worst fairness     Jain {:.6} (seed {jain_seed}), share off by {:.2} points (seed {share_seed})",
            jain as f64 / 1e6,
            share as f64 / 1e4
        );
    }
    println!();
    failed
}
