//! `wavegate metrics`, read with a reader of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::rig::{Broker, eventually};
use crate::sessions::Busy;

/// Nobody can be served within 100 us by slices that leave 99 % for work.
const IMPOSSIBLE: &str = r#"
    slice = "auto:99%:100us"
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
    weight = 300
    cap = "90%"
    [[tenant]]
    name = "blue"
    match = [{ uid = UID }]
    weight = 100
"#;

/// Reads a page as the format is described: every sample belongs to the family announced last, and no two are the same.
fn read(page: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let mut family = (String::new(), "");
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            assert!(text.split_once(' ').is_some_and(|(_, help)| !help.is_empty()), "{line}");
        } else if let Some(text) = line.strip_prefix("# TYPE ") {
            let (name, kind) = text.split_once(' ').expect("a kind");
            assert!(families.insert(name.to_owned()), "{name} is announced twice");
            assert!(["counter", "gauge", "summary"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = (name.to_owned(), kind);
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("a value");
            let name = sample.split('{').next().unwrap();
            let part = name.strip_prefix(&family.0).unwrap_or_else(|| panic!("{line} is not of {}", family.0));
            assert!(part.is_empty() || family.1 == "summary" && ["_sum", "_count"].contains(&part), "{line}");
            assert_eq!(sample.contains('{'), sample.ends_with('}'), "{line}");
            let value = value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.insert(sample.to_owned(), value).is_none(), "{sample} is there twice");
        }
    }
    samples
}

#[test]
fn metrics_say_what_the_status_says_and_that_targets_cannot_be_met() {
    let broker = Broker::start(IMPOSSIBLE);
    let (red, blue) = (Busy::new(&broker, "red"), Busy::new(&broker, "blue"));
    let over = AtomicBool::new(false);
    let missed = "wavegate_pacing_verdict{device=\"0\",partition=\"whole\",verdict=\"wait-missed\"}";
    std::thread::scope(|scope| {
        for busy in [&red, &blue] {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    busy.work();
                }
            });
        }
        let said = eventually_or(&over, || {
            let page = read(&broker.ask(&["metrics"]));
            (page.get(missed) == Some(&1.0)).then_some(page)
        });
        assert_eq!(said[&missed.replace("wait-missed", "met")], 0.0);
    });
    assert!(broker.ask(&["status"]).contains("not the wait"), "{}", broker.ask(&["status"]));
    // At rest the two say the same.
    let status = broker.status();
    let file = broker.path("wavegate.prom");
    assert_eq!(broker.ask(&["metrics", "--output", file.to_str().unwrap()]), "");
    let page = read(&std::fs::read_to_string(&file).unwrap());
    for tenant in status["tenants"].as_array().unwrap() {
        let name = tenant["name"].as_str().unwrap();
        let sample = |family: &str| page.get(&format!("wavegate_tenant_{family}{{tenant=\"{name}\"}}")).copied();
        for (family, value) in [
            ("weight", &tenant["weight"]),
            ("vram_used_bytes", &tenant["vram_used_bytes"]),
            ("sessions", &tenant["sessions"]),
            ("dispatches_total", &tenant["counters"]["dispatches"]),
            ("faults_total", &tenant["counters"]["faults"]),
            ("lease_wait_seconds_count", &tenant["lease_wait"]["count"]),
            ("occupancy_seconds_count", &tenant["occupancy"]["count"]),
        ] {
            assert_eq!(sample(family), value.as_f64(), "{family} of {name}");
        }
        let lags = page.keys().filter(|key| key.starts_with("wavegate_tenant_lag_seconds") && key.contains(name));
        assert_eq!(lags.count(), tenant["lags"].as_array().unwrap().len(), "{name}");
    }
    let share = |what: &str, name: &str| page[&format!("wavegate_tenant_share_{what}_ratio{{tenant=\"{name}\"}}")];
    assert_eq!((share("asked", "red"), share("asked", "blue")), (0.75, 0.25));
    assert!((share("got", "red") + share("got", "blue") - 1.0).abs() < 1e-9);
    assert!(page["wavegate_switch_seconds_count{between=\"tenants\",part=\"total\"}"] >= 32.0);
}

/// Polls, and lets the others stop whatever comes of it.
fn eventually_or<T>(over: &AtomicBool, done: impl FnMut() -> Option<T>) -> T {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually("the verdict", done)));
    over.store(true, Ordering::Relaxed);
    caught.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
