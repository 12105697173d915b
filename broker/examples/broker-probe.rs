//! Does one thing so many times, for `cargo xtask counts` to count instructions: `broker-probe WHAT TENANTS TIMES`.

#[path = "../benches/turns/mod.rs"]
mod turns;

use std::process::ExitCode;

use turns::Turns;

const USAGE: &str = "broker-probe hand-over|slice-end TENANTS TIMES";

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
    let mut turns = Turns::new(tenants);
    match what.as_str() {
        "hand-over" => (0..times).for_each(|_| turns.hand_over()),
        "slice-end" => {
            turns.saturate();
            (0..times).for_each(|_| turns.end_slice());
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
