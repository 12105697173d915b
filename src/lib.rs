//! The shells of Wavegate: processes, loops, commands and devices around the pure rooms.
//!
//! Nothing here decides policy. [`device`] is the contract a worker has with a GPU and its backends, [`daemon`] is `wavegate serve`,
//! [`cli`] the other commands; [`config`], [`admin`] and [`tap`] are what those two share.
//!
//! One program is all of these processes: [`main`] looks at its arguments and becomes one of them. `cli`, `daemon` and `worker` do not
//! know each other; they meet here.

pub mod admin;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod daemon;
pub mod demo;
pub mod device;
pub mod local;
mod log;
pub mod perfetto;
pub mod stage;
pub mod tap;
pub mod worker;

use std::process::ExitCode;

/// The argument that makes this program a worker. Only the broker uses it, so the command line does not know it.
const WORKER: &str = "worker";

/// Has the kernel send this process SIGTERM when its parent ends. A parent that ended before is not noticed: then nobody connects, either.
fn stop_with_parent() -> std::io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?)
}

/// Becomes what the arguments say.
pub fn main() -> ExitCode {
    // First of all, because a worker is handed its descriptors by number, and because it should be ready soon.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == WORKER) {
        return worker::main();
    }
    match cli::parse() {
        cli::Invocation::Plain(command) => command.run(),
        cli::Invocation::Demo(args) => demo::run(&args).unwrap_or_else(cli::fail),
        cli::Invocation::Bench(command) => bench::run(&command).unwrap_or_else(cli::fail),
        cli::Invocation::PlayedRemote(args) => bench::serve(&args).unwrap_or_else(cli::fail),
        cli::Invocation::PlayedTenant(args) => stage::tenant::run(&args).unwrap_or_else(cli::fail),
        cli::Invocation::Serve { options, level, with_parent } => {
            log::to_stderr(level);
            if with_parent && let Err(error) = stop_with_parent() {
                return cli::fail(error);
            }
            daemon::main(options).map_or_else(cli::fail, |()| ExitCode::SUCCESS)
        }
    }
}
