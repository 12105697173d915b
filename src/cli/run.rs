//! `wavegate run`: starts a program as a tenant.
//!
//! The program takes our place, so its exit code, signals, standard streams and terminal are its own.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use crate::config::paths::Socket;

/// Arguments of `wavegate run`.
#[derive(Args)]
#[command(after_help = RUN_HELP)]
pub(super) struct RunArgs {
    /// The tenant to be, among those the broker's rules allow this user; without it the broker chooses.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// The broker's socket for tenants [default: the user's own broker if there is one, else /run/wavegate/tenant.sock].
    #[arg(long, env = "WAVEGATE_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

const RUN_HELP: &str = "\
Example: wavegate run --tenant research -- ./train --epochs 3
The exit code is the program's; 126 if it cannot be run, 127 if it is not there.";

/// Becomes the program; returns only if that fails.
pub(super) fn run(args: &RunArgs) -> Result<ExitCode> {
    let socket = args.socket.clone().unwrap_or_else(|| Socket::Tenant.to_connect());
    // The program may change its directory before it connects.
    let socket = std::path::absolute(&socket)?;
    if !socket.exists() {
        anyhow::bail!(
            "no broker at {}; start one with `wavegate serve`, or name its socket with --socket",
            socket.display()
        );
    }
    let Some((program, arguments)) = args.program.split_first() else { anyhow::bail!("no program to run") };
    let mut command = Command::new(program);
    command.args(arguments).env(client::environment::SOCKET, &socket);
    match &args.tenant {
        Some(tenant) => command.env(client::environment::TENANT, tenant),
        None => command.env_remove(client::environment::TENANT),
    };
    let error = command.exec();
    eprintln!("wavegate: cannot run {}: {error}", program.display());
    Ok(ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 }))
}
