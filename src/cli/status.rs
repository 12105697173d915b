//! `wavegate status`: everything on one screen.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::connect::AdminSocket;
use super::table::{Table, bytes, distribution, of_limit, time};
use super::{session, tenant};
use crate::admin::{Reply, Request, Status, Switches};

#[derive(Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    broker: AdminSocket,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Sessions that ended, shown to people; JSON has all that are remembered.
const ENDED_SHOWN: usize = 5;

pub(super) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let Reply::Status(status) = args.broker.ask(&Request::Status)? else {
        bail!("the broker answered something else; use the `wavegate` of its version")
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print!("{}", show(&status));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(s: &Status) -> String {
    let mut text = format!(
        "broker    wavegate {}, pid {}, up {}\ndevice    {}, slice {}\nmemory    {} used\n{}",
        s.version,
        s.pid,
        time(s.uptime_ns),
        s.device,
        time(s.slice_ns),
        of_limit(s.vram_used_bytes, s.vram_bytes),
        device_time(s),
    );
    let mut section = |title: &str, table: Table| {
        if !table.is_empty() {
            text.push_str(&format!("\n{title}\n{table}"));
        }
    };
    section("Devices", partitions(s));
    section("Tenants", tenant::list(&s.tenants));
    section("Latencies", tenant::latencies(&s.tenants));
    section("Sessions", session::list(&s.sessions));
    section("Switches (stop + grant + start = total)", switches(s));
    section("Saved at the last suspend, by dispatch (on the software GPU a copy by the host)", saved(s));
    section("Ended last", ended(s));
    section("Troubles", troubles(s));
    text
}

/// Returns all partitions of all devices as a table.
pub(super) fn partitions(s: &Status) -> Table {
    let mut table = Table::new(&[
        "DEVICE",
        "<PARTITION",
        "CUS",
        "<POLICY",
        "SLICE",
        "SESSIONS",
        "RUNNABLE",
        "BUSY",
        "<SLICE MEETS ITS TARGETS",
    ]);
    for (index, device) in s.devices.iter().enumerate() {
        for partition in &device.partitions {
            let t = &partition.device_time;
            let wall = (t.occupancy_ns + t.switch_ns + t.scrub_ns + t.recovery_ns + t.idle_ns).max(1);
            let pacing = partition.pacing.as_ref().map_or("fixed".to_owned(), |pacing| {
                let percent = f64::from(pacing.efficiency_millionths) / 1e4;
                let what = match pacing.verdict.as_str() {
                    "met" => "yes",
                    "wait-missed" => "not the wait: shorter slices would cost too much",
                    "efficiency-missed" => "not the efficiency: switches cost too much for any slice",
                    _ => "not known yet",
                };
                let (cost, wait) = (time(pacing.switch_cost_ns), time(pacing.wait_ns));
                format!("{what} (switch {cost}, {percent:.1} % used, {} wait {wait} at most)", pacing.active)
            });
            table.row(vec![
                index.to_string(),
                partition.name.to_string(),
                partition.compute_units.to_string(),
                device.policy.to_string(),
                time(partition.slice_ns),
                partition.sessions.to_string(),
                partition.runnable.to_string(),
                format!("{:.1} %", (wall - t.idle_ns) as f64 * 100.0 / wall as f64),
                pacing,
            ]);
        }
    }
    table
}

fn device_time(s: &Status) -> String {
    let t = &s.device_time;
    let wall = (t.occupancy_ns + t.switch_ns + t.scrub_ns + t.recovery_ns + t.idle_ns).max(1);
    let parts = [("occupied", t.occupancy_ns), ("switching", t.switch_ns), ("recovering", t.recovery_ns + t.scrub_ns)];
    let percent = |ns: u64| format!("{:.1} %", ns as f64 * 100.0 / wall as f64);
    let shown: Vec<String> = parts.iter().map(|(word, ns)| format!("{word} {}", percent(*ns))).collect();
    format!("time      {}, idle {}\n", shown.join(", "), percent(t.idle_ns))
}

fn switches(s: &Status) -> Table {
    let mut table = Table::new(&["<SWITCH", "<PART", "COUNT", "P50", "P99", "P99.9", "MAX", "MEAN", "SAVED"]);
    for (kind, Switches { stop, grant, start, total, saved_bytes }) in
        [("between tenants", &s.switches_between_tenants), ("within a tenant", &s.switches_within_tenant)]
    {
        if total.count == 0 {
            continue;
        }
        for (part, times) in [("stop", stop), ("grant", grant), ("start", start), ("total", total)] {
            let mean = time(times.sum_ns / times.count.max(1));
            let saved = if part == "total" { bytes(saved_bytes / total.count) } else { String::new() };
            let cells = [kind.to_owned(), part.to_owned()].into_iter().chain(distribution(times));
            table.row(cells.chain([mean, saved]).collect());
        }
    }
    table
}

fn saved(s: &Status) -> Table {
    let mut table =
        Table::new(&["SESSION", "QUEUE", "PACKET", "<KERNEL", "WAVES", "VGPRS", "SGPRS", "LDS", "COPIED", "SCRATCH"]);
    for (session, d) in s.sessions.iter().flat_map(|session| session.saved.iter().map(move |d| (session, d))) {
        table.row(vec![
            format!("s{}", session.session),
            format!("q{}", d.queue),
            d.packet.to_string(),
            d.kernel.clone(),
            d.waves.to_string(),
            bytes(d.vgpr_bytes),
            bytes(d.sgpr_bytes),
            bytes(d.lds_bytes),
            bytes(d.copied_bytes),
            bytes(d.scratch_bytes),
        ]);
    }
    table
}

fn ended(s: &Status) -> Table {
    let mut table = Table::new(&["SESSION", "<TENANT", "PID", "<COMMAND", "<WHY", "SIGNAL", "AGO", "<TAKEN BACK"]);
    for e in s.ended.iter().take(ENDED_SHOWN) {
        let taken = match e.reclaimed_charges {
            0 => "nothing".to_owned(),
            n => format!("{n} charges, {}", bytes(e.reclaimed_bytes)),
        };
        table.row(vec![
            format!("s{}", e.session),
            e.tenant.to_string(),
            e.pid.to_string(),
            e.command.clone(),
            e.reason.clone(),
            if e.signal == 0 { "-".to_owned() } else { e.signal.to_string() },
            time(e.ago_ns),
            taken,
        ]);
    }
    table
}

fn troubles(s: &Status) -> Table {
    let mut table = Table::new(&["<WHAT", "<WHY", "COUNT"]);
    for (code, n) in &s.refused {
        table.row(vec!["refused connection".into(), code.clone(), n.to_string()]);
    }
    for t in &s.tenants {
        for (code, n) in &t.denied {
            table.row(vec![format!("denied to {}", t.name), code.clone(), n.to_string()]);
        }
        if let Some(fault) = &t.last_fault {
            table.row(vec![format!("fault of {}", t.name), format!("last: {fault}"), t.counters.faults.to_string()]);
        }
    }
    for (what, n) in [("killed worker", s.workers_killed), ("worker broke the protocol", s.worker_violations)] {
        if n > 0 {
            table.row(vec![what.into(), String::new(), n.to_string()]);
        }
    }
    table
}
