//! The demo's last screen, its live line, and the same as JSON.

use super::measure::{Measured, Verdict};
use crate::admin::Switches;
use crate::stage::Actor;
use crate::stage::shares::jain;
use crate::stage::wire::Latency;
use anyhow::Result;
use serde_json::Value;

/// Returns one line that says where everybody is.
pub(super) fn live_line(actors: &[&mut Actor], left: f64) -> String {
    let mut line = format!("{left:>5.1} s left ");
    for actor in actors {
        let done = actor.progress().last().map_or(0, |p| p.dispatches);
        line += &format!("  {} {done}", actor.name());
    }
    line
}

/// Prints the last screen.
pub(super) fn screen(m: &Measured, verdicts: &[Verdict]) {
    println!("\nWork done against entitlement, {} s, weights 4:2:1", m.args_seconds);
    println!("{:<12} {:>6} {:>10} {:>10} {:>16}", "TENANT", "WEIGHT", "ENTITLED", "GOT", "M WAVE-INSTR/S");
    for s in &m.shares {
        println!("{:<12} {:>6} {:>8.2} % {:>8.2} % {:>16.1}", s.tenant, s.weight, s.entitled, s.got, s.rate / 1e6);
    }
    println!("Jain index {:.5}; one tenant alone {:.1} M wave-instr/s", jain(&m.shares), m.alone.rate() / 1e6);

    println!("\nLatency from planned send to completion seen");
    println!("{:<12} {:>9} {:>10} {:>10} {:>10} {:>10}", "TENANT", "KERNELS", "P50", "P99", "P99.9", "MAX");
    let alone = [("(alone)", &m.alone.latency)];
    let all = alone.into_iter().chain(m.summaries.iter().map(|(name, s)| (name.as_str(), &s.latency)));
    for (name, Latency { count, p50, p99, p999, max, .. }) in all {
        if *count > 0 {
            let [p50, p99, p999, max] = [p50, p99, p999, max].map(|ns| time(*ns));
            println!("{name:<12} {count:>9} {p50:>10} {p99:>10} {p999:>10} {max:>10}");
        }
    }
    switch_cost(&m.status.switches_between_tenants);

    println!();
    for verdict in verdicts {
        println!("{} {}: {}", if verdict.held { "ok  " } else { "FAIL" }, verdict.what, verdict.seen);
    }
    println!("     the killed tenant had finished {} dispatches", m.victim_work);
}

/// Prints the parts of a switch as the broker measured them.
fn switch_cost(cost: &Switches) {
    println!("\nSwitch between tenants (software copy, not CWSR)");
    println!("{:<34} {:>9} {:>10} {:>10} {:>10} {:>10}", "PART", "SWITCHES", "P50", "P99", "P99.9", "MAX");
    let parts = [
        ("request to stopped", cost.stop),
        ("stopped to granted", cost.grant),
        ("granted to first instruction", cost.start),
        ("all of it", cost.total),
    ];
    for (name, d) in parts {
        let [p50, p99, p999, max] = [d.p50_ns, d.p99_ns, d.p999_ns, d.max_ns].map(time);
        println!("{name:<34} {:>9} {p50:>10} {p99:>10} {p999:>10} {max:>10}", d.count);
    }
}

/// Prints everything as JSON.
pub(super) fn json(m: &Measured, verdicts: &[Verdict]) -> Result<()> {
    let tenants: serde_json::Map<String, Value> =
        m.summaries.iter().map(|(name, s)| Ok((name.clone(), serde_json::to_value(s)?))).collect::<Result<_>>()?;
    let all = serde_json::json!({
        "seconds": m.args_seconds,
        "alone": m.alone,
        "alone_wave_instructions_per_s": m.alone.rate(),
        "shares": m.shares,
        "jain": jain(&m.shares),
        "tenants": tenants,
        "victim_dispatches": m.victim_work,
        "status": m.status,
        "verdicts": verdicts,
    });
    println!("{}", serde_json::to_string_pretty(&all)?);
    Ok(())
}

fn time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}
