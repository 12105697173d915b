//! `wavegate bench`: what sharing costs on this machine, measured with real processes against a private broker.
//!
//! Every comparison is of two arms that take turns in one run, because machines are shared and their speed drifts; what is quoted is the
//! median of the rounds' ratios with a 95 % interval, and percentiles of single operations, never means. Each bench measures the floor of the
//! machine beside what it judges: a wake-up costs what the kernel and the CPU make it cost.
//!
//! | bench | question |
//! |---|---|
//! | `dispatch` | what does the way through a worker add to a kernel, against the same device in-process and against a socket; where does it go; with how many tenants? |
//! | `switch` | how long does it take to hand the device to another tenant, against two bare wake-ups; with what is resident; by each means? |
//! | `fairness` | does work done follow the weights, and what do all tenants get done together? |
//! | `promises` | does sharing keep the numbers that the scheduler promises? |
//! | `idle` | what do sessions cost that do nothing? |
//! | `slice` | how long should a slice be on this machine, for throughput, for latency, or for both? |

mod context;
mod crowd;
mod dispatch;
mod fairness;
mod figures;
mod floor;
mod idle;
mod promises;
mod remote;
mod slice;
mod switch;

use crate::device::soft::SoftConfig;
use crate::stage;
use anyhow::Result;
use std::process::ExitCode;

pub use remote::{RemoteArgs, serve};

/// The benches.
#[derive(clap::Subcommand, Debug)]
pub enum BenchCommand {
    /// Measure what the broker adds to a kernel: round trips and throughput against the device in-process.
    Dispatch(dispatch::DispatchArgs),
    /// Measure how long it takes to hand the device to another tenant, against two bare wake-ups.
    Switch(switch::SwitchArgs),
    /// Measure work done against weights, and all tenants together against one alone.
    Fairness(fairness::FairnessArgs),
    /// Judge work done, waits and stalls by the numbers of SPECIFICATION.md; the exit code says whether all were kept.
    Promises(promises::PromisesArgs),
    /// Measure what idle sessions cost.
    Idle(idle::IdleArgs),
    /// Find out how long a slice should be: sweep slices, tenants and workloads, and recommend one for each goal.
    Slice(slice::SliceArgs),
}

/// What all benches can be told.
#[derive(clap::Args, Debug)]
struct Common {
    /// The device of the private broker.
    #[arg(long, default_value = stage::DEVICE, value_name = "DEVICE")]
    device: SoftConfig,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Runs a bench.
pub fn run(command: &BenchCommand) -> Result<ExitCode> {
    match command {
        BenchCommand::Dispatch(args) => dispatch::run(args)?,
        BenchCommand::Switch(args) => switch::run(args)?,
        BenchCommand::Fairness(args) => fairness::run(args)?,
        BenchCommand::Promises(args) => return promises::run(args),
        BenchCommand::Idle(args) => idle::run(args)?,
        BenchCommand::Slice(args) => return slice::run(args),
    }
    Ok(ExitCode::SUCCESS)
}
