//! The commands. Each parses its arguments, calls what does the work, and prints the result as a table or as JSON.

mod device;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Shares one AMD GPU between many tenants: queues, address spaces, quotas and fair time slices.
#[derive(Parser)]
#[command(name = "wavegate", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look at devices and run embedded kernels on them, without a broker.
    #[command(subcommand)]
    Device(device::DeviceCommand),
}

/// Runs the command line. Errors go to standard error as one sentence with its causes.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Device(command) => device::run(command),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wavegate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
