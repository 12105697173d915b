//! `wavegate bench` against a broker that is running: what it writes, and that the broker is afterwards what it was before.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::rig::{Broker, eventually, wavegate};

const ONE: &str = r#"
    slice = "3ms"
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
"#;

/// Returns a small sweep on a running broker, and where its report goes.
fn sweep(broker: &Broker) -> (Command, PathBuf) {
    let out = broker.admin_socket().with_file_name("report");
    let mut command = wavegate();
    command.args(["bench", "slice", "--running", "--slices", "1ms,2ms,4ms", "--tenants", "2"]);
    command.args(["--workloads", "short,interactive", "--rounds", "1", "--seconds", "0.8", "--json"]);
    command.arg("--admin-socket").arg(broker.admin_socket()).arg("--out").arg(&out);
    (command, out)
}

fn says(text: &[u8], words: &str) -> bool {
    String::from_utf8_lossy(text).contains(words)
}

fn names(broker: &Broker) -> Vec<String> {
    let status = broker.status();
    status["tenants"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()).collect()
}

fn check_unchanged(broker: &Broker) {
    assert_eq!(broker.status()["slice_ns"], 3_000_000);
    assert_eq!(names(broker), ["red", "default"]);
    eventually("the bench's sessions end", || broker.status()["sessions"].as_array().unwrap().is_empty().then_some(()));
    assert_eq!(broker.status()["vram_used_bytes"], 0);
}

#[test]
fn a_sweep_reports_and_the_running_broker_has_its_own_back() {
    let broker = Broker::start(ONE);
    let (mut command, out) = sweep(&broker);
    // Where other tests keep every processor busy, tenants may never be backlogged together: then there is nothing to report, and another try.
    let output =
        (0..5).map(|_| command.output().unwrap()).find(|o| !(o.stdout.is_empty() && says(&o.stderr, "too busy")));
    let output = output.expect("a quieter minute");
    let complaints = String::from_utf8(output.stderr).unwrap();
    // A busy machine may carry no recommendation, and then says so; there is a report in any case.
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {complaints}"));
    assert_eq!(output.status.success(), report["refusal"].is_null(), "{complaints}");

    let rows = report["rows"].as_array().unwrap();
    let failed = report["failed"].as_array().unwrap();
    assert_eq!(rows.len() + failed.len(), 6, "{failed:?}");
    for row in rows {
        assert!(row["efficiency"]["value"].as_f64().unwrap() > 0.0, "{row}");
        assert!(row["request"]["count"].as_u64().unwrap() > 10, "{row}");
    }
    // Two that compete hand the device over and over; with one batch tenant the other only comes now and then.
    let short = rows.iter().find(|r| r["workload"] == "short").unwrap();
    assert!(short["switches_per_s"].as_f64().unwrap() > 10.0, "{short}");
    if report["refusal"].is_null() {
        let goals: Vec<&str> =
            report["recommendations"].as_array().unwrap().iter().map(|r| r["goal"].as_str().unwrap()).collect();
        assert_eq!(goals, ["throughput", "balanced", "latency"]);
        assert_eq!(report["confirmations"].as_array().unwrap().len(), 2);
    }

    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&read("report.json")).unwrap(), report);
    let page = read("report.html");
    assert_eq!(page.matches("<svg").count(), 4, "four plots");
    assert!(!page.contains("src=") && !page.contains("href="), "the page needs nothing else");
    // One interval for each point, tagged with it, under a comment that names the unit.
    let log = read("latencies.hlog");
    let intervals: Vec<&str> = log.lines().filter(|l| l.starts_with("Tag=")).collect();
    assert_eq!(intervals.len(), rows.len(), "{log}");
    assert!(intervals.iter().any(|l| l.starts_with("Tag=interactive-2-")), "{log}");
    assert!(read("report.txt").contains("PRICE OF A SLICE'S END"));

    check_unchanged(&broker);
    let again = sweep(&broker).0.output().unwrap();
    let complaint = String::from_utf8(again.stderr).unwrap();
    assert!(!again.status.success() && complaint.contains("does not exist"), "nothing is overwritten: {complaint}");
}

#[test]
fn a_sweep_that_is_stopped_leaves_the_running_broker_as_it_was() {
    let broker = Broker::start(ONE);
    let (mut command, out) = sweep(&broker);
    let mut bench: Child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the bench has changed something", || (names(&broker).len() > 2).then_some(()));
    let pid = rustix::process::Pid::from_raw(bench.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = eventually("the bench stops", || bench.try_wait().unwrap());
    assert!(!status.success());
    assert!(!out.join("report.json").exists());
    check_unchanged(&broker);
}
