//! What a running broker recorded, played by the simulator, beside what the broker itself said of the run.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use rustix::process::Signal;
use sys::clock::now_ns;

use crate::rig::{Broker, wavegate};
use crate::tenants::Played;

const THREE: &str = r#"
    slice = "2ms"
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
    weight = 300
    [[tenant]]
    name = "blue"
    match = [{ uid = UID }]
    weight = 100
    [[tenant]]
    name = "green"
    match = [{ uid = UID }]
    weight = 100
"#;

/// One tenant's line of a report, by column.
type Line = BTreeMap<String, String>;

/// Reads the table of a report; the first line is what comes before it.
fn table(report: &str) -> BTreeMap<String, Line> {
    // Columns are two or more blanks apart; a value may have one inside.
    let cells = |line: &str| -> Vec<String> {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    let mut lines = report.lines().skip_while(|line| !line.starts_with("tenant "));
    // Headings are one blank apart where they are long.
    let heading = "tenant weight entitled got had leases wait_p50 wait_p99 wait_max done granted denied";
    let found = lines.next().expect("a table").replace("wait ", "wait_");
    assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), heading, "the same table");
    let columns: Vec<&str> = heading.split(' ').collect();
    let rows = lines.take_while(|line| !line.is_empty()).map(|line| {
        let cells = cells(line);
        assert_eq!(cells.len(), columns.len(), "{line}");
        let line: Line = columns.iter().map(|&column| column.to_owned()).zip(cells).collect();
        (line["tenant"].clone(), line)
    });
    rows.collect()
}

/// Reads `4.98 ms` as milliseconds.
fn ms(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').unwrap_or_else(|| panic!("{text:?} is no time"));
    let unit = ["ns", "us", "ms", "s"].iter().position(|known| *known == unit).expect("a unit");
    number.parse::<f64>().unwrap() * 1e-6 * 1e3f64.powi(unit as i32)
}

fn simulated(file: &std::path::Path) -> String {
    let Output { status, stdout, stderr } = wavegate().arg("sim").arg(file).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// What switches and scrubbing were of the tenants' time, in points.
fn switching(report: &str) -> f64 {
    let line = report.lines().find_map(|line| line.strip_prefix("device time   ")).expect("a line of device time");
    let points = |what: &str| -> f64 {
        let part = line.split(", ").find_map(|part| part.strip_prefix(what)).expect("a part of it");
        part.trim().trim_end_matches(" %").parse().unwrap()
    };
    100.0 * (points("switches") + points("scrubbing")) / points("tenants")
}

/// The price of a switch in a scenario of the recorder, in ms.
fn price(file: &str) -> f64 {
    let file: toml::Table = toml::from_str(file).unwrap();
    let text = file["switch"].as_str().unwrap();
    let unit = text.find(|c: char| !c.is_ascii_digit()).expect("a unit");
    ms(&format!("{} {}", &text[..unit], &text[unit..]))
}

/// What a scenario of the recorder holds: every tenant's work in ms.
fn work(file: &str) -> BTreeMap<String, f64> {
    let file: toml::Table = toml::from_str(file).unwrap();
    let work_of = |tenant: &toml::Value| -> f64 {
        let sessions = tenant["session"].as_array().unwrap().iter();
        let turns = sessions.flat_map(|session| session["turns"].as_array().unwrap());
        turns.map(|turn| turn[1].as_integer().unwrap() as f64 / 1e6).sum()
    };
    let tenants = file["tenant"].as_array().unwrap().iter();
    tenants.map(|tenant| (tenant["name"].as_str().unwrap().to_owned(), work_of(tenant))).collect()
}

/// The same work under the same rules comes to the same as the live run says of itself: turns within a tenth, shares of device time within 2 points and what
/// switches were of it. In the simulator every switch takes what half of them took, and on a busy host some take a hundred times that; so leases and waits
/// are not compared, and what a tenant had is compared with the work that is in the file.
#[test]
fn a_recorded_run_is_played_to_the_same_report() {
    let mut broker = Broker::start_with("soft:cus=2,vram=1GiB", THREE, &["--record", "DIRECTORY/run.toml"]);
    let mut played = [("red", "saturate:14000:8"), ("blue", "saturate:14000:8"), ("green", "burst:14000:4:20000000")]
        .map(|(tenant, part)| Played::start(&broker, tenant, part));
    let until = now_ns() + Duration::from_millis(1_500).as_nanos() as u64;
    played.iter_mut().for_each(|tenant| tenant.go_until(until));
    played.into_iter().for_each(Played::leave);
    broker.signal(Signal::TERM);
    assert!(broker.wait().success(), "{}", broker.log());
    let live_report = std::fs::read_to_string(broker.path("out")).unwrap();
    let file = broker.path("run.toml");
    let sim_report = simulated(&file);
    let both = || format!("live:\n{live_report}\nsimulated:\n{sim_report}");
    let (live_table, sim_table) = (table(&live_report), table(&sim_report));
    assert_eq!(live_table.keys().collect::<Vec<_>>(), sim_table.keys().collect::<Vec<_>>(), "{}", both());
    let time = |line: &Line, column: &str| ms(&line[column]);
    let count = |line: &Line, column: &str| line[column].parse::<f64>().unwrap();
    let all = |table: &BTreeMap<String, Line>| table.values().map(|line| time(line, "had")).sum::<f64>();
    let text = std::fs::read_to_string(&file).unwrap();
    let (work, price) = (work(&text), price(&text));
    for (tenant, live) in &live_table {
        let (sim, work) = (&sim_table[tenant], work[tenant]);
        let near = |what: &str, [live, sim]: [f64; 2], off: f64| {
            assert!((live - sim).abs() <= off, "{tenant}, {what}: {live} and {sim}\n{}", both());
        };
        assert_eq!(live["weight"], sim["weight"]);
        let share =
            [(live, &live_table), (sim, &sim_table)].map(|(line, table)| 100.0 * time(line, "had") / all(table));
        near("points of device time", share, 2.0 + switching(&live_report));
        // Reports show times to three digits or more.
        let had = time(sim, "had");
        assert!(had >= 0.9 * work, "{tenant} had {had} ms of {work} ms of work\n{}", both());
        let most = work + price * count(sim, "leases");
        assert!(had <= 1.01 * most, "{tenant} had {had} ms, and {most} ms at the most with switches\n{}", both());
        let done = [live, sim].map(|line| count(line, "done"));
        near("turns", done, 0.1 * done[0].max(done[1]));
    }
    // It holds what was wanted, not what was decided: with a device for each the same work needs nobody to be switched.
    let leases = |table: &BTreeMap<String, Line>| table.values().map(|line| count(line, "leases")).sum::<f64>();
    assert!(leases(&sim_table) > 30.0, "{}", both());
    assert!(text.contains("\ndevices = 1\n"), "{text}");
    std::fs::write(&file, text.replace("\ndevices = 1\n", "\ndevices = 3\n")).unwrap();
    let apart = simulated(&file);
    assert_eq!(leases(&table(&apart)), 3.0, "{apart}\n{}", both());
}
