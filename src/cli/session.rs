//! `wavegate session`: who is connected.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;

use super::connect::AdminSocket;
use super::table::{Table, bytes, time};
use crate::admin::{Reply, Request, Session};

#[derive(Subcommand)]
pub(super) enum SessionCommand {
    /// List all sessions.
    List {
        #[command(flatten)]
        broker: AdminSocket,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a session; its program is told that an administrator did.
    Kill {
        /// The session's number, with or without the `s`.
        #[arg(value_parser = parse_id)]
        session: u64,
        #[command(flatten)]
        broker: AdminSocket,
    },
}

fn parse_id(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('s').unwrap_or(text);
    digits.parse().map_err(|_| "use a number such as 3 or s3, as `wavegate session list` shows them".to_owned())
}

pub(super) fn run(command: SessionCommand) -> Result<ExitCode> {
    match command {
        SessionCommand::List { broker, json } => {
            let Reply::Sessions(sessions) = broker.ask(&Request::SessionList)? else {
                bail!("the broker answered something else; use the `wavegate` of its version")
            };
            if json {
                println!("{}", serde_json::to_string_pretty(&sessions)?);
            } else if sessions.is_empty() {
                println!("no sessions");
            } else {
                print!("{}", list(&sessions));
            }
        }
        SessionCommand::Kill { session, broker } => drop(broker.ask(&Request::SessionKill { session })?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns sessions as a table.
pub(super) fn list(sessions: &[Session]) -> Table {
    let mut table = Table::new(&[
        "SESSION",
        "<TENANT",
        "PID",
        "UID",
        "<COMMAND",
        "WORKER",
        "<STATE",
        "<DEVICE",
        "AGE",
        "DEVICE TIME",
        "BUSY",
        "VRAM",
        "HOST",
        "QUEUES",
        "DISPATCHES",
        "<LAST FAULT",
    ]);
    for s in sessions {
        table.row(vec![
            format!("s{}", s.session),
            s.tenant.to_string(),
            s.pid.to_string(),
            s.uid.to_string(),
            s.command.clone(),
            s.worker_pid.to_string(),
            s.phase.clone(),
            s.device.clone(),
            time(s.age_ns),
            time(s.occupancy_ns),
            time(s.counters.busy_ns),
            bytes(s.vram_used_bytes),
            bytes(s.host_memory_used_bytes),
            s.queues_used.to_string(),
            s.counters.dispatches.to_string(),
            s.last_fault.as_ref().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    table
}
