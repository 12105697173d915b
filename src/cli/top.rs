//! `wavegate top`: who uses the devices now, redrawn every second.
//!
//! Shares and rates are over the time between two looks; percentiles over the last minute.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use sys::clock::Deadline;
use sys::event::{Interest, Poller, Signal, Signals};

use super::connect::AdminSocket;
use super::status::partitions;
use super::table::{Table, of_limit, time};
use crate::admin::{Distribution, Reply, Request, Status, Tenant};
use crate::config::values::Span;

#[derive(Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    broker: AdminSocket,
    /// How long from one look to the next.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    every: Span,
    /// How often to look; until Ctrl-C if not given.
    #[arg(long, value_name = "N")]
    looks: Option<u64>,
    /// Print each look as a line of JSON, as `wavegate status` does.
    #[arg(long)]
    json: bool,
}

/// From the upper left corner, with nothing below.
const REDRAW: &str = "\x1b[H\x1b[J";

pub(super) fn run(args: &TopArgs) -> Result<ExitCode> {
    let signals = Signals::collect(&[Signal::INT, Signal::TERM])?;
    let poller = Poller::new()?;
    poller.add(&signals, 0, Interest::IN)?;
    let mut out = std::io::stdout();
    let redraw = if out.is_terminal() { REDRAW } else { "" };
    let (mut before, mut ready) = (None, Vec::new());
    let mut at = sys::clock::now_ns();
    for look in 1u64.. {
        let status = look_once(&args.broker)?;
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&status)?)?;
        } else {
            writeln!(out, "{redraw}{}", show(&status, before.as_ref()))?;
        }
        out.flush()?;
        before = Some(status);
        if args.looks.is_some_and(|looks| look >= looks) {
            break;
        }
        at = at.saturating_add(args.every.0.0);
        poller.wait(&mut ready, Deadline::at_ns(at))?;
        if !ready.is_empty() && signals.next()?.is_some() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn look_once(broker: &AdminSocket) -> Result<Status> {
    match broker.ask(&Request::Status)? {
        Reply::Status(status) => Ok(*status),
        _ => bail!("the broker answered something else; use the `wavegate` of its version"),
    }
}

/// Returns the screen. Without an earlier look rates are those since the daemon began.
fn show(now: &Status, before: Option<&Status>) -> String {
    let span = now.uptime_ns - before.map_or(0, |before| before.uptime_ns).min(now.uptime_ns);
    format!(
        "wavegate {}, up {}, {} sessions, {} of device memory used; over the last {}\n\n{}\n{}",
        now.version,
        time(now.uptime_ns),
        now.sessions.len(),
        of_limit(now.vram_used_bytes, now.vram_bytes),
        time(span),
        partitions(now),
        tenants(now, before, span.max(1)),
    )
}

fn tenants(now: &Status, before: Option<&Status>, span: u64) -> Table {
    let mut table = Table::new(&[
        "<TENANT",
        "WEIGHT",
        "DEVICE",
        "DISPATCHES/S",
        "SESSIONS",
        "VRAM",
        "LATENCY P50",
        "P99",
        "LEASE WAIT P50",
        "P99",
    ]);
    let known: BTreeMap<_, _> = before.into_iter().flat_map(|b| &b.tenants).map(|t| (t.name.to_string(), t)).collect();
    let mut rows: Vec<(u64, &Tenant, u64)> = Vec::new();
    for tenant in &now.tenants {
        let then = known.get(&tenant.name.to_string());
        let used = tenant.device_time_ns - then.map_or(0, |t| t.device_time_ns).min(tenant.device_time_ns);
        let dispatches = tenant.counters.dispatches;
        rows.push((used, tenant, dispatches - then.map_or(0, |t| t.counters.dispatches).min(dispatches)));
    }
    // Who uses most comes first; equals stay in the order of the configuration.
    rows.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
    let percentiles = |times: &Distribution| match times.count {
        0 => ["-".to_owned(), "-".to_owned()],
        _ => [time(times.p50_ns), time(times.p99_ns)],
    };
    for (used, t, dispatches) in rows {
        let [latency, late] = percentiles(&t.last_minute.dispatch_latency);
        let [wait, long] = percentiles(&t.last_minute.lease_wait);
        table.row(vec![
            t.name.to_string(),
            t.weight.to_string(),
            format!("{:.1} %", used as f64 * 100.0 / span as f64),
            format!("{:.0}", dispatches as f64 * 1e9 / span as f64),
            t.sessions.to_string(),
            of_limit(t.vram_used_bytes, t.vram_limit_bytes),
            latency,
            late,
            wait,
            long,
        ]);
    }
    table
}
