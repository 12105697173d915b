//! `wavegate metrics`: the status as metrics, in the text format that Prometheus and its node exporter read.
//!
//! Promise: every sample is of the status at one moment; a family is announced once, before its samples; names are `wavegate_*` with their unit, counters end in
//! `_total`; what somebody else chose (names of tenants, commands) is escaped. Written to a file it is replaced as a whole, so that a reader never
//! sees half of it.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::connect::AdminSocket;
use crate::admin::{Distribution, Partition, Reply, Request, Status, Tenant};

#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct MetricsArgs {
    #[command(flatten)]
    broker: AdminSocket,
    /// Write to this file, at once and as a whole, in place of standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

const HELP: &str = "\
For the textfile collector of the node exporter, from a timer every 15 seconds or so:

  wavegate metrics --output /var/lib/prometheus/node-exporter/wavegate.prom";

pub(super) fn run(args: &MetricsArgs) -> Result<ExitCode> {
    let Reply::Status(status) = args.broker.ask(&Request::Status)? else {
        bail!("the broker answered something else; use the `wavegate` of its version")
    };
    let text = render(&status);
    match &args.output {
        None => print!("{text}"),
        Some(path) => replace(path, &text).with_context(|| format!("cannot write {}", path.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes beside the file and renames: collectors ignore names with another ending.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    // A new file: in a directory that others write to, a name that is there may be a link to somewhere else.
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let done = file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&beside, path));
    done.inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

/// Metrics, family by family.
struct Metrics {
    text: String,
}

/// What a family is.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Summary,
}

/// Names and values.
type Labels<'a> = [(&'a str, &'a str)];

impl Metrics {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
        };
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &Labels<'_>, value: impl std::fmt::Display) {
        self.text.push_str(name);
        for (k, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"{}\"", if k == 0 { '{' } else { ',' }, escaped(value));
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// A family with one sample for each tenant, or none for those without one.
    fn tenants<V: std::fmt::Display>(
        &mut self,
        tenants: &[Tenant],
        (name, kind, help): (&str, Kind, &str),
        value: impl Fn(&Tenant) -> Option<V>,
    ) {
        self.family(name, kind, help);
        for tenant in tenants {
            if let Some(value) = value(tenant) {
                self.sample(name, &[("tenant", tenant.name.0.as_str())], value);
            }
        }
    }

    /// The samples of one distribution.
    fn distribution(&mut self, name: &str, labels: &Labels<'_>, d: &Distribution) {
        for (quantile, ns) in
            [("0.5", d.p50_ns), ("0.9", d.p90_ns), ("0.99", d.p99_ns), ("0.999", d.p999_ns), ("1", d.max_ns)]
        {
            let quantile = [labels, &[("quantile", quantile)]].concat();
            self.sample(name, &quantile, seconds(ns));
        }
        self.sample(&format!("{name}_sum"), labels, seconds(d.sum_ns));
        self.sample(&format!("{name}_count"), labels, d.count);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Nanoseconds as seconds, to the last digit.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

fn signed_seconds(ns: i64) -> String {
    format!("{}{}", if ns < 0 { "-" } else { "" }, seconds(ns.unsigned_abs()))
}

fn ratio(millionths: u32) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}

fn render(status: &Status) -> String {
    let mut m = Metrics { text: String::new() };
    broker(&mut m, status);
    devices(&mut m, status);
    tenants(&mut m, &status.tenants);
    m.text
}

fn broker(m: &mut Metrics, s: &Status) {
    use Kind::{Counter, Gauge, Summary};
    m.family("wavegate_info", Gauge, "Which wavegate this is.");
    m.sample("wavegate_info", &[("version", &s.version), ("device", &s.device)], 1);
    m.family("wavegate_uptime_seconds", Gauge, "How long the broker has run.");
    m.sample("wavegate_uptime_seconds", &[], seconds(s.uptime_ns));
    m.family("wavegate_sessions_refused_total", Counter, "Connections that were not admitted, by reason.");
    for (reason, count) in &s.refused {
        m.sample("wavegate_sessions_refused_total", &[("reason", reason)], count);
    }
    for (name, help, count) in [
        ("wavegate_workers_killed_total", "Workers that did not stop in time.", s.workers_killed),
        ("wavegate_worker_violations_total", "Workers that broke the protocol.", s.worker_violations),
        ("wavegate_stale_inputs_total", "Inputs of the broker about what was gone already.", s.stale_inputs),
    ] {
        m.family(name, Counter, help);
        m.sample(name, &[], count);
    }
    m.family(
        "wavegate_switch_seconds",
        Summary,
        "What handing the device over took: stop, grant and start sum to the total.",
    );
    for (between, switches) in [("tenants", &s.switches_between_tenants), ("sessions", &s.switches_within_tenant)] {
        let parts = [
            ("stop", &switches.stop),
            ("grant", &switches.grant),
            ("start", &switches.start),
            ("total", &switches.total),
        ];
        for (part, distribution) in parts {
            m.distribution("wavegate_switch_seconds", &[("between", between), ("part", part)], distribution);
        }
    }
}

/// What can be said of an adaptive slice.
const VERDICTS: [&str; 4] = ["unknown", "met", "wait-missed", "efficiency-missed"];

fn devices(m: &mut Metrics, s: &Status) {
    use Kind::{Counter, Gauge};
    let numbers: Vec<String> = (0..s.devices.len()).map(|number| number.to_string()).collect();
    for (name, help) in [
        ("wavegate_device_vram_bytes", "Device memory."),
        ("wavegate_device_vram_used_bytes", "Device memory that tenants use."),
    ] {
        m.family(name, Gauge, help);
        for (device, number) in s.devices.iter().zip(&numbers) {
            let bytes = if name.contains("used") { device.vram_used_bytes } else { device.vram_bytes };
            m.sample(name, &[("device", number)], bytes);
        }
    }
    let partitions: Vec<(&str, &Partition)> = s
        .devices
        .iter()
        .zip(&numbers)
        .flat_map(|(device, number)| device.partitions.iter().map(move |partition| (number.as_str(), partition)))
        .collect();
    let mut each = |name: &str, kind: Kind, help: &str, value: &dyn Fn(&Partition) -> Option<String>| {
        m.family(name, kind, help);
        for (device, partition) in &partitions {
            if let Some(value) = value(partition) {
                m.sample(name, &[("device", device), ("partition", partition.name.0.as_str())], value);
            }
        }
    };
    each("wavegate_partition_sessions", Gauge, "Sessions there.", &|p| Some(p.sessions.to_string()));
    each("wavegate_partition_runnable", Gauge, "Sessions that have work now.", &|p| Some(p.runnable.to_string()));
    each("wavegate_partition_slice_seconds", Gauge, "The slice in force.", &|p| Some(seconds(p.slice_ns)));
    let pacing = |value: fn(&crate::admin::Pacing) -> String| move |p: &Partition| p.pacing.as_ref().map(value);
    each(
        "wavegate_pacing_switch_cost_seconds",
        Gauge,
        "What a switch costs, as far as the slice is chosen by it.",
        &pacing(|p| seconds(p.switch_cost_ns)),
    );
    each(
        "wavegate_pacing_efficiency_ratio",
        Gauge,
        "What the chosen slice leaves for work.",
        &pacing(|p| ratio(p.efficiency_millionths)),
    );
    each(
        "wavegate_pacing_wait_seconds",
        Gauge,
        "The longest wait of an equal tenant at the chosen slice.",
        &pacing(|p| seconds(p.wait_ns)),
    );
    m.family("wavegate_pacing_verdict", Gauge, "1 for what is true of the targets of a slice that is chosen.");
    for (device, partition) in &partitions {
        let Some(pacing) = &partition.pacing else { continue };
        for verdict in VERDICTS {
            let labels = [("device", *device), ("partition", partition.name.0.as_str()), ("verdict", verdict)];
            m.sample("wavegate_pacing_verdict", &labels, u8::from(pacing.verdict == verdict));
        }
    }
    m.family("wavegate_device_time_seconds_total", Counter, "Where the time went; the kinds sum to the uptime.");
    for (device, partition) in &partitions {
        let t = &partition.device_time;
        for (kind, ns) in [
            ("occupancy", t.occupancy_ns),
            ("switch", t.switch_ns),
            ("scrub", t.scrub_ns),
            ("recovery", t.recovery_ns),
            ("idle", t.idle_ns),
        ] {
            let labels = [("device", *device), ("partition", partition.name.0.as_str()), ("kind", kind)];
            m.sample("wavegate_device_time_seconds_total", &labels, seconds(ns));
        }
    }
}

/// A number of each tenant: name, what it is, and where it is found.
type Number = (&'static str, &'static str, fn(&Tenant) -> u64);
/// A distribution of each tenant.
type Times = (&'static str, &'static str, fn(&Tenant) -> &Distribution);

fn tenants(m: &mut Metrics, all: &[Tenant]) {
    use Kind::{Counter, Gauge, Summary};
    let lately: u64 = all.iter().map(|t| t.last_minute.occupancy.sum_ns).sum();
    let got = |t: &Tenant| (lately > 0).then(|| t.last_minute.occupancy.sum_ns as f64 / lately as f64);
    m.tenants(all, ("wavegate_tenant_weight", Gauge, "Claim on device time relative to the others."), |t| {
        Some(t.weight)
    });
    m.tenants(
        all,
        (
            "wavegate_tenant_share_asked_ratio",
            Gauge,
            "Part of device time by policy, weights and groups, among those who share it now.",
        ),
        |t| t.share_asked_millionths.map(ratio),
    );
    m.tenants(
        all,
        ("wavegate_tenant_share_got_ratio", Gauge, "Part of the device time that tenants had in the last minute."),
        got,
    );
    m.tenants(
        all,
        ("wavegate_tenant_device_seconds_total", Counter, "Device time it was charged, switches included."),
        |t| Some(seconds(t.device_time_ns)),
    );
    let name = "wavegate_tenant_lag_seconds";
    m.family(name, Gauge, "Device time it is owed: positive if it received less than its share so far.");
    for t in all {
        for lag in &t.lags {
            let device = lag.device.to_string();
            let labels = [("tenant", t.name.0.as_str()), ("device", &device), ("partition", lag.partition.0.as_str())];
            m.sample(name, &labels, signed_seconds(lag.lag_ns));
        }
    }
    let gauges: [Number; 9] = [
        ("wavegate_tenant_paused", "Whether it is paused.", |t| u64::from(t.paused)),
        ("wavegate_tenant_sessions", "Sessions it has.", |t| u64::from(t.sessions)),
        ("wavegate_tenant_sessions_limit", "Sessions it may have.", |t| u64::from(t.sessions_limit)),
        ("wavegate_tenant_vram_used_bytes", "Device memory it uses.", |t| t.vram_used_bytes),
        ("wavegate_tenant_vram_limit_bytes", "Device memory it may use.", |t| t.vram_limit_bytes),
        ("wavegate_tenant_host_memory_used_bytes", "Host memory it has pinned.", |t| t.host_memory_used_bytes),
        ("wavegate_tenant_host_memory_limit_bytes", "Host memory it may pin.", |t| t.host_memory_limit_bytes),
        ("wavegate_tenant_queues_used", "Queues it has.", |t| u64::from(t.queues_used)),
        ("wavegate_tenant_queues_limit", "Queues it may have.", |t| u64::from(t.queues_limit)),
    ];
    for (name, help, value) in gauges {
        m.tenants(all, (name, Gauge, help), |t| Some(value(t)));
    }
    let counters: [Number; 5] = [
        ("wavegate_tenant_dispatches_total", "Kernels that ended.", |t| t.counters.dispatches),
        ("wavegate_tenant_packets_total", "Packets that were consumed.", |t| t.counters.packets),
        ("wavegate_tenant_wave_instructions_total", "Instructions of waves, where the device counts them.", |t| {
            t.counters.wave_instructions
        }),
        ("wavegate_tenant_faults_total", "Faults of its programs.", |t| t.counters.faults),
        ("wavegate_tenant_bad_packets_total", "Packets that were damaged or refused.", |t| t.counters.bad_packets),
    ];
    for (name, help, value) in counters {
        m.tenants(all, (name, Counter, help), |t| Some(value(t)));
    }
    for (name, label, help, of) in [
        (
            "wavegate_tenant_denied_total",
            "code",
            "Requests for memory or queues that were denied.",
            (|t| &t.denied) as fn(&Tenant) -> &std::collections::BTreeMap<String, u64>,
        ),
        ("wavegate_tenant_sessions_ended_total", "reason", "Sessions that have ended.", |t| &t.ended),
    ] {
        m.family(name, Counter, help);
        for t in all {
            for (value, count) in of(t) {
                m.sample(name, &[("tenant", t.name.0.as_str()), (label, value)], count);
            }
        }
    }
    let summaries: [Times; 3] = [
        (
            "wavegate_tenant_lease_wait_seconds",
            "From having work to the first instruction, of leases that had to be waited for, since the start.",
            |t| &t.lease_wait,
        ),
        ("wavegate_tenant_dispatch_latency_seconds", "From seeing a packet to its completion, since the start.", |t| {
            &t.dispatch_latency
        }),
        (
            "wavegate_tenant_occupancy_seconds",
            "Lengths of its leases, since the start: as many as it was switched to.",
            |t| &t.occupancy,
        ),
    ];
    for (name, help, of) in summaries {
        m.family(name, Summary, help);
        for t in all {
            m.distribution(name, &[("tenant", t.name.0.as_str())], of(t));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_as_the_format_says() {
        let mut m = Metrics { text: String::new() };
        m.family("wavegate_x_seconds", Kind::Summary, "What it is.");
        let d = Distribution {
            count: 2,
            sum_ns: 1_500_000_001,
            p50_ns: 1,
            max_ns: 1_500_000_000,
            ..Distribution::default()
        };
        m.distribution("wavegate_x_seconds", &[("tenant", "a\"b\\c\n")], &d);
        m.sample("wavegate_up", &[], 1);
        let lines: Vec<&str> = m.text.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "# HELP wavegate_x_seconds What it is.",
                "# TYPE wavegate_x_seconds summary",
                "wavegate_x_seconds{tenant=\"a\\\"b\\\\c\\n\",quantile=\"0.5\"} 0.000000001",
            ]
        );
        assert_eq!(
            lines[6..],
            [
                "wavegate_x_seconds{tenant=\"a\\\"b\\\\c\\n\",quantile=\"1\"} 1.500000000",
                "wavegate_x_seconds_sum{tenant=\"a\\\"b\\\\c\\n\"} 1.500000001",
                "wavegate_x_seconds_count{tenant=\"a\\\"b\\\\c\\n\"} 2",
                "wavegate_up 1",
            ]
        );
        assert_eq!(
            (signed_seconds(-1_000_000_005), ratio(250_000)),
            ("-1.000000005".to_owned(), "0.250000".to_owned())
        );
    }
}
