//! The commands. Each parses its arguments, asks the daemon or does the work itself, and prints the result as a table or as JSON.
//!
//! `wavegate serve` is parsed here and run by whoever called [`parse`]: commands and daemon do not know each other.

mod config;
mod connect;
mod device;
mod doctor;
mod metrics;
mod run;
mod session;
mod sim;
mod status;
mod table;
mod tenant;
mod top;
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::bench::{BenchCommand, RemoteArgs};
use crate::config::ServeOptions;
use crate::demo::DemoArgs;
use crate::device::spec::DeviceSpec;
use crate::stage::tenant::TenantArgs;

/// Shares one AMD GPU between many tenants: queues, address spaces, quotas and fair time slices.
#[derive(Parser)]
#[command(name = "wavegate", version, about, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Start with `wavegate serve` in one terminal and `wavegate status` in another.
Tables are for people; every command that prints one also takes --json.";

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, and it is consumed at once")]
enum Command {
    /// Run the broker: share a device between tenants until told to stop.
    Serve(ServeArgs),
    /// Watch tenants share the embedded GPU: a private broker, real processes, and numbers at the end.
    Demo(DemoArgs),
    /// Measure what sharing costs on this machine, with real processes against a private broker.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// A process that runs kernels sent through a socket, for comparison.
    #[command(hide = true)]
    PlayedRemote(RemoteArgs),
    /// A tenant that the demo and the benches play with.
    #[command(hide = true)]
    PlayedTenant(TenantArgs),
    #[command(flatten)]
    Plain(PlainCommand),
}

/// What is done here, in this process.
#[derive(Subcommand)]
enum PlainCommand {
    /// Run a program as a tenant.
    Run(run::RunArgs),
    /// Look at tenants and change what they may have.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Look at sessions and end them.
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Show what the broker does: tenants, sessions, latencies, the cost of switches.
    Status(status::StatusArgs),
    /// Print what the broker does as metrics, for Prometheus.
    Metrics(metrics::MetricsArgs),
    /// Watch who uses the devices: shares, rates and latencies of now, redrawn every second.
    Top(top::TopArgs),
    /// Record what the broker does, for the Perfetto UI: leases, switches, dispatches, quotas, lag.
    Trace(trace::TraceArgs),
    /// Ask what a scenario would come to: the broker's own code on a virtual clock.
    Sim(sim::SimArgs),
    /// Check configurations.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Look at devices and run embedded kernels on them, without a broker.
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Looks at what a program has loaded.
    #[command(hide = true)]
    RunWatch(run::WatchArgs),
    /// Find the machine's GPUs, say what is in the way of using them, and try one.
    Doctor(doctor::DoctorArgs),
}

/// Arguments of `wavegate serve`.
#[derive(Args)]
#[command(after_help = SERVE_HELP)]
struct ServeArgs {
    /// Configuration file; without one every user is the tenant `default` with modest limits.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where tenants connect [default: /run/wavegate/tenant.sock for root, else $XDG_RUNTIME_DIR/wavegate/tenant.sock].
    #[arg(long, env = "WAVEGATE_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where administrators connect [default: admin.sock in the same directory].
    #[arg(long, env = "WAVEGATE_ADMIN_SOCKET", value_name = "PATH")]
    admin_socket: Option<PathBuf>,
    /// A device: auto, rocr:INDEX[,vram=SIZE,runtime=PATH] or soft[:arch=gfx90a|gfx942,cus=N,threads=N,vram=SIZE,pin=A-B]. Given
    /// again: one more.
    #[arg(long, value_name = "DEVICE")]
    device: Vec<DeviceSpec>,
    /// Where changes made with `wavegate tenant` are kept for the next start [default: beside the configuration file].
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Stop when the process that started this one ends: for the brokers of the demo and the benches.
    #[arg(long, hide = true)]
    with_parent: bool,
    /// Write what tenants want of the devices to this file when the broker stops; `wavegate sim FILE` plays it.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// How much goes to standard error: error, warn, info, debug or trace.
    #[arg(long, env = "WAVEGATE_LOG", default_value = "info", value_name = "LEVEL")]
    log: LevelFilter,
}

const SERVE_HELP: &str = "\
TERM and INT end all sessions in order and then the broker; a second one does so at once. HUP reads the configuration again.";

/// What the command line asks for.
#[allow(clippy::large_enum_variant, reason = "there is one, and it is consumed at once")]
pub enum Invocation {
    /// Something that [`Plain::run`] does.
    Plain(Plain),
    /// To be the demo.
    Demo(DemoArgs),
    /// To measure.
    Bench(BenchCommand),
    /// To run kernels sent through a socket.
    PlayedRemote(RemoteArgs),
    /// To be a tenant of the demo or of a bench.
    PlayedTenant(TenantArgs),
    /// To be the broker.
    Serve {
        /// What the command line sets.
        options: ServeOptions,
        /// How much to log.
        level: LevelFilter,
        /// Whether to stop with the parent process.
        with_parent: bool,
    },
}

/// Reads the command line. Ends the process with a text if it is wrong, or only asks for help.
pub fn parse() -> Invocation {
    match Cli::parse().command {
        Command::Serve(ServeArgs { config, socket, admin_socket, device, state, with_parent, record, log }) => {
            Invocation::Serve {
                options: ServeOptions { config, socket, admin_socket, devices: device, state, record },
                level: log,
                with_parent,
            }
        }
        Command::Demo(args) => Invocation::Demo(args),
        Command::Bench(command) => Invocation::Bench(command),
        Command::PlayedRemote(args) => Invocation::PlayedRemote(args),
        Command::PlayedTenant(args) => Invocation::PlayedTenant(args),
        Command::Plain(command) => Invocation::Plain(Plain(command)),
    }
}

/// A command that asks the daemon or does its work here.
pub struct Plain(PlainCommand);

impl Plain {
    /// Runs the command. Errors go to standard error as one sentence with its causes.
    pub fn run(self) -> ExitCode {
        let done = match self.0 {
            PlainCommand::Tenant(command) => tenant::run(command),
            PlainCommand::Session(command) => session::run(command),
            PlainCommand::Status(args) => status::run(&args),
            PlainCommand::Metrics(args) => metrics::run(&args),
            PlainCommand::Top(args) => top::run(&args),
            PlainCommand::Trace(args) => trace::run(&args),
            PlainCommand::Sim(args) => sim::run(&args),
            PlainCommand::Config(command) => config::run(command),
            PlainCommand::Device(command) => device::run(command),
            PlainCommand::Run(args) => run::run(args),
            PlainCommand::RunWatch(args) => run::run_watch(&args),
            PlainCommand::Doctor(args) => doctor::run(&args),
        };
        done.unwrap_or_else(fail)
    }
}

/// Prints an error as one sentence with its causes; returns the code to end with.
pub fn fail(error: impl Into<anyhow::Error>) -> ExitCode {
    eprintln!("wavegate: {}", sentence(&error.into()));
    ExitCode::FAILURE
}

/// Returns an error and its causes, but those that it has already told in its own words.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn causes_are_told_once() {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let told = anyhow::Error::new(missing()).context(format!("cannot read x: {}; check it", missing()));
        assert_eq!(sentence(&told), format!("cannot read x: {}; check it", missing()));
        let untold = anyhow::Error::new(missing()).context("cannot read x");
        assert_eq!(sentence(&untold), format!("cannot read x: {}", missing()));
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_sentence_of_help() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} says nothing", command.get_name());
            command
                .get_arguments()
                .for_each(|a| assert!(a.get_help().is_some(), "{}: {}", command.get_name(), a.get_id()));
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
