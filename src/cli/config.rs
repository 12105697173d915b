//! `wavegate config`: before a configuration is used, and after it was changed.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;

use super::connect::AdminSocket;
use super::table::Table;
use crate::admin::Request;
use crate::config::values::{Claim, Pace, Percent, Size};
use crate::config::{Live, Settings, TenantSettings};

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Check a configuration file and show the tenants it makes.
    Check {
        /// The file.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make the broker read its configuration file again.
    Reload(AdminSocket),
}

/// What a file comes to.
#[derive(Serialize)]
struct Checked {
    device: String,
    slice: Pace,
    sessions_max: u32,
    unknown: &'static str,
    tenants: Vec<TenantSettings>,
}

pub(super) fn run(command: ConfigCommand) -> Result<ExitCode> {
    match command {
        ConfigCommand::Check { file, json } => {
            let settings = Settings::read(&file)?;
            let config = settings.to_config(&Live::default());
            let checked = Checked {
                device: settings.devices.iter().map(|d| d.spec.to_string()).collect::<Vec<_>>().join(", "),
                slice: Pace(settings.slice),
                sessions_max: config.sessions_max,
                unknown: match config.unknown {
                    broker::Unknown::Default => "default",
                    broker::Unknown::Deny => "deny",
                },
                tenants: config.tenants.iter().map(TenantSettings::of).collect(),
            };
            if json {
                println!("{}", serde_json::to_string_pretty(&checked)?);
            } else {
                print!("{}", show(&checked, &config));
                println!("\n{} is a good configuration", file.display());
            }
        }
        ConfigCommand::Reload(broker) => drop(broker.ask(&Request::Reload)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(checked: &Checked, config: &broker::Config) -> String {
    let mut table = Table::new(&[
        "<TENANT",
        "WEIGHT",
        "<CLASS",
        "CAP",
        "GUARANTEE",
        "VRAM",
        "KEPT FREE",
        "HOST MEMORY",
        "QUEUES",
        "SESSIONS",
        "LONGEST DISPATCH",
        "<WHO",
    ]);
    for (tenant, settings) in config.tenants.iter().zip(&checked.tenants) {
        let who = match tenant.matches.len() {
            0 if tenant.name.as_str() == broker::config::DEFAULT_TENANT && checked.unknown == "default" => {
                "everybody else".to_owned()
            }
            0 => "nobody".to_owned(),
            1 => "1 rule".to_owned(),
            n => format!("{n} rules"),
        };
        table.row(vec![
            tenant.name.to_string(),
            Claim(tenant.weight).to_string(),
            crate::config::values::Wish(tenant.class).to_string(),
            Percent(tenant.cap).to_string(),
            Percent(tenant.guarantee).to_string(),
            Size(tenant.vram_limit).to_string(),
            Size(tenant.vram_guarantee).to_string(),
            Size(tenant.host_limit).to_string(),
            tenant.queues.to_string(),
            tenant.sessions.to_string(),
            settings.max_dispatch_time.map(|t| t.to_string()).unwrap_or_default(),
            who,
        ]);
    }
    let Checked { device, slice, sessions_max, unknown, .. } = checked;
    format!("device {device}, slice {slice}, at most {sessions_max} sessions, unknown users: {unknown}\n\n{table}")
}
