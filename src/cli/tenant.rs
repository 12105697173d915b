//! `wavegate tenant`: what tenants may have and use.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use super::connect::AdminSocket;
use super::table::{Table, bytes, distribution, of_limit, time};
use crate::admin::{Reply, Request, Tenant};
use crate::config::TenantSettings;
use crate::config::values::{Limit, Name, Percent};

#[derive(Subcommand)]
pub(super) enum TenantCommand {
    /// List all tenants.
    List {
        #[command(flatten)]
        broker: AdminSocket,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show everything about one tenant.
    Show {
        #[command(flatten)]
        one: One,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change a tenant at once, or add one; kept across a restart of the broker.
    #[command(after_help = SET_HELP)]
    Set {
        #[command(flatten)]
        one: One,
        /// What to change, such as weight=3 vram=2GiB.
        #[arg(required = true, value_name = "FIELD=VALUE")]
        settings: Vec<String>,
    },
    /// Make a tenant again what the configuration file says: forget what was set.
    Reset(One),
    /// Remove a tenant and end its sessions.
    Remove(One),
    /// Give a tenant no device time, and admit no sessions of it, until it is resumed.
    Pause(One),
    /// Undo a pause.
    Resume(One),
}

const SET_HELP: &str = "\
Fields:
  weight=3                    claim on device time relative to the other tenants (1 to 1000000, default 100)
  class=throughput            whole slices; or latency, latency:1ms for short turns that come soon
  cap=50%                     the most device time it may have; none takes it away
  guarantee=10%               the least device time it must be entitled to; none takes it away
  slice=2ms                   how long its leases last; none for as long as the device says
  group=NAME                  share what this group is worth; none for on its own
  partition=NAME              run in this partition; none for the first one of every device. Sessions that run stay where they are
  vram=2GiB                   device memory it may use
  vram_guarantee=1GiB         device memory kept free for it
  host_memory=1GiB            host memory it may pin
  queues=16 sessions=4        how many it may have at a time
  max_dispatch_time=10s       longest time one dispatch may run; none for no limit
  share=NAME:read             it may grant memory of its own to this tenant, read or write; given twice: both. Replaces
                              all it had; none takes them away
  match=uid=1000,gid=50       who may be this tenant (uid, gid, cgroup, joined by commas); given twice: either.
                              Replaces all rules it had.";

#[derive(Args)]
pub(super) struct One {
    /// The tenant's name.
    #[arg(value_name = "NAME")]
    tenant: Name,
    #[command(flatten)]
    broker: AdminSocket,
}

pub(super) fn run(command: TenantCommand) -> Result<ExitCode> {
    match command {
        TenantCommand::List { broker, json } => {
            let tenants = tenants(broker.ask(&Request::TenantList)?)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&tenants)?);
            } else {
                print!("{}", list(&tenants));
            }
        }
        TenantCommand::Show { one, json } => {
            let tenants = tenants(one.broker.ask(&Request::TenantShow { tenant: one.tenant })?)?;
            let Some(tenant) = tenants.first() else { bail!("the broker did not say anything about {}", one.tenant) };
            if json {
                println!("{}", serde_json::to_string_pretty(tenant)?);
            } else {
                print!("{}", show(tenant));
            }
        }
        TenantCommand::Set { one, settings: assignments } => {
            let mut settings = TenantSettings::nothing(one.tenant);
            assignments.iter().try_for_each(|assignment| settings.set(assignment))?;
            one.broker.ask(&Request::TenantSet { settings: Box::new(settings) })?;
        }
        TenantCommand::Reset(one) => drop(one.broker.ask(&Request::TenantReset { tenant: one.tenant })?),
        TenantCommand::Remove(one) => drop(one.broker.ask(&Request::TenantRemove { tenant: one.tenant })?),
        TenantCommand::Pause(one) => drop(one.broker.ask(&Request::TenantPause { tenant: one.tenant })?),
        TenantCommand::Resume(one) => drop(one.broker.ask(&Request::TenantResume { tenant: one.tenant })?),
    }
    Ok(ExitCode::SUCCESS)
}

fn tenants(reply: Reply) -> Result<Vec<Tenant>> {
    match reply {
        Reply::Tenants(tenants) => Ok(tenants),
        _ => bail!("the broker answered something else; use the `wavegate` of its version"),
    }
}

/// Returns all tenants as a table.
pub(super) fn list(tenants: &[Tenant]) -> Table {
    let mut table = Table::new(&[
        "<TENANT",
        "WEIGHT",
        "<CLASS",
        "SESSIONS",
        "QUEUES",
        "VRAM",
        "HOST MEMORY",
        "DEVICE TIME",
        "DISPATCHES",
        "DENIED",
        "FAULTS",
        "<STATE",
    ]);
    for t in tenants {
        let state = match (t.paused, t.set_live.is_empty()) {
            (true, _) => "paused",
            (false, false) => "set live",
            (false, true) => "",
        };
        table.row(vec![
            t.name.to_string(),
            t.weight.to_string(),
            t.class.clone(),
            format!("{} / {}", t.sessions, t.sessions_limit),
            format!("{} / {}", t.queues_used, t.queues_limit),
            of_limit(t.vram_used_bytes, t.vram_limit_bytes),
            of_limit(t.host_memory_used_bytes, t.host_memory_limit_bytes),
            time(t.device_time_ns),
            t.counters.dispatches.to_string(),
            t.denied.values().sum::<u64>().to_string(),
            t.counters.faults.to_string(),
            state.to_owned(),
        ]);
    }
    table
}

fn show(t: &Tenant) -> String {
    let share = |millionths: Option<u32>| Percent(millionths.and_then(sched::Share::from_millionths)).to_string();
    let rules: Vec<String> = t.matches.iter().map(rule).collect();
    let shares: Vec<String> = t.share.iter().map(ToString::to_string).collect();
    let counts = |counts: &std::collections::BTreeMap<String, u64>| {
        let words: Vec<String> = counts.iter().map(|(word, n)| format!("{word} {n}")).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    let mut lines = vec![
        ("tenant", format!("{}{}", t.name, if t.paused { " (paused)" } else { "" })),
        ("who", if rules.is_empty() { "nobody by rule".to_owned() } else { rules.join(" or ") }),
        ("weight", t.weight.to_string()),
        ("class", t.class.clone()),
        ("cap", share(t.cap_millionths)),
        ("guarantee", share(t.guarantee_millionths)),
        ("longest dispatch", Limit(proto::Nanos(t.max_dispatch_time_ns)).to_string()),
        ("sessions", format!("{} / {}", t.sessions, t.sessions_limit)),
        ("queues", format!("{} / {}", t.queues_used, t.queues_limit)),
        ("device memory", of_limit(t.vram_used_bytes, t.vram_limit_bytes)),
        ("  kept free", bytes(t.vram_guarantee_bytes)),
        ("host memory", of_limit(t.host_memory_used_bytes, t.host_memory_limit_bytes)),
        ("may grant memory to", if shares.is_empty() { "nobody".to_owned() } else { shares.join(", ") }),
        ("set live", if t.set_live.is_empty() { "nothing".to_owned() } else { t.set_live.join(", ") }),
        ("device time", time(t.device_time_ns)),
        ("busy time", time(t.counters.busy_ns)),
        ("packets", format!("{}, {} refused", t.counters.packets, t.counters.bad_packets)),
        ("dispatches", t.counters.dispatches.to_string()),
        ("wave-instructions", t.counters.wave_instructions.to_string()),
        ("parked", format!("{} times, taken up again {} times", t.counters.parks, t.counters.unparks)),
        ("denied", counts(&t.denied)),
        ("ended sessions", counts(&t.ended)),
        ("taken back", format!("{} charges, {}", t.reclaimed_charges, bytes(t.reclaimed_bytes))),
        ("faults", t.counters.faults.to_string()),
    ];
    lines.extend(t.last_fault.as_ref().map(|fault| ("  last", fault.to_string())));
    let mut text: String = lines.iter().map(|(what, value)| format!("{what:<19} {value}\n")).collect();
    text.push('\n');
    text.push_str(&latencies(std::slice::from_ref(t)).to_string());
    text
}

fn rule(rule: &crate::config::Rule) -> String {
    let parts = [
        rule.uid.map(|uid| format!("uid={uid}")),
        rule.gid.map(|gid| format!("gid={gid}")),
        rule.cgroup.as_ref().map(|path| format!("cgroup={path}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(",")
}

/// Returns what tenants waited, as a table.
pub(super) fn latencies(tenants: &[Tenant]) -> Table {
    let mut table = Table::new(&["<TENANT", "<LATENCY", "<SINCE", "COUNT", "P50", "P99", "P99.9", "MAX"]);
    for t in tenants {
        let minute = &t.last_minute;
        let kinds = [
            ("dispatch", &t.dispatch_latency, &minute.dispatch_latency),
            ("wait for lease", &t.lease_wait, &minute.lease_wait),
            ("occupancy", &t.occupancy, &minute.occupancy),
        ];
        let lately = format!("last {}", time(minute.span_ns));
        for (kind, total, minute) in kinds {
            for (since, times) in [("the start", total), (lately.as_str(), minute)] {
                if times.count > 0 {
                    let cells = [t.name.to_string(), kind.to_owned(), since.to_owned()].into_iter();
                    table.row(cells.chain(distribution(times)).collect());
                }
            }
        }
    }
    table
}
