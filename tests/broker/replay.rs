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

/// The same work under the same rules comes to the same as the live run says of itself: turns within a tenth, shares of device time within 2 points, device time itself
/// within a tenth. Leases and waits are not compared: in the simulator every switch takes what half of them took, and on a busy host some take a hundred
/// times that.
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
    let live = std::fs::read_to_string(broker.path("out")).unwrap();
    let file = broker.path("run.toml");
    let sim = simulated(&file);
    let (live_table, sim_table) = (table(&live), table(&sim));
    let both = || format!("live:\n{live}\nsimulated:\n{sim}");
    assert_eq!(live_table.keys().collect::<Vec<_>>(), sim_table.keys().collect::<Vec<_>>(), "{}", both());
    let time = |line: &Line, column: &str| ms(&line[column]);
    let count = |line: &Line, column: &str| line[column].parse::<f64>().unwrap();
    let all = |table: &BTreeMap<String, Line>| table.values().map(|line| time(line, "had")).sum::<f64>();
    for (tenant, live) in &live_table {
        let sim = &sim_table[tenant];
        let near = |what: &str, [live, sim]: [f64; 2], off: f64| {
            assert!((live - sim).abs() <= off, "{tenant}, {what}: {live} and {sim}\n{}", both());
        };
        assert_eq!(live["weight"], sim["weight"]);
        let share =
            [(live, &live_table), (sim, &sim_table)].map(|(line, table)| 100.0 * time(line, "had") / all(table));
        near("points of device time", share, 2.0);
        let had = [live, sim].map(|line| time(line, "had"));
        near("device time", had, 0.1 * had[0].max(had[1]));
        let done = [live, sim].map(|line| count(line, "done"));
        near("turns", done, 0.1 * done[0].max(done[1]));
    }
    // It holds what was wanted, not what was decided: with a device for each the same work needs nobody to be switched.
    let leases = |table: &BTreeMap<String, Line>| table.values().map(|line| count(line, "leases")).sum::<f64>();
    assert!(leases(&sim_table) > 30.0, "{}", both());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\ndevices = 1\n"), "{text}");
    std::fs::write(&file, text.replace("\ndevices = 1\n", "\ndevices = 3\n")).unwrap();
    let apart = simulated(&file);
    assert_eq!(leases(&table(&apart)), 3.0, "{apart}\n{}", both());
}
