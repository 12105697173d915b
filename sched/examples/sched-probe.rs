//! Does one thing so many times, for `cargo xtask counts` to count instructions: `sched-probe WHAT TENANTS TIMES`.
//!
//! What a time costs is the difference between many times and few; setting up is in both.

#[path = "../benches/steady/mod.rs"]
mod steady;

use std::hint::black_box;
use std::process::ExitCode;

use steady::World;

const USAGE: &str = "sched-probe decision-flat|decision-deep|sleep-wake TENANTS TIMES";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, tenants, times] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let (Ok(tenants), Ok(times)) = (tenants.parse(), times.parse::<u64>()) else {
        eprintln!("{USAGE}; TENANTS and TIMES are numbers");
        return ExitCode::FAILURE;
    };
    let mut world = World::new(tenants, what == "decision-deep");
    for _ in 0..times {
        match what.as_str() {
            "decision-flat" | "decision-deep" => drop(black_box(world.decide())),
            "sleep-wake" => drop(black_box(world.sleep_and_wake())),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
