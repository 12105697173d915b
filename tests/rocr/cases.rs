//! The suite that every device must pass, and what holds of this backend alone.

use std::process::Command;

use serde_json::Value;
use wavegate::device::rocr::{RocrConfig, RocrDevice};
use wavegate::device::{Device, Preemption};

fn named() -> String {
    std::env::var("WAVEGATE_ROCR_DEVICE").expect("WAVEGATE_ROCR_DEVICE names the device; cargo xtask rocr sets it")
}

/// `wavegate doctor --run`: each case in a process of its own, as it is for whoever has a card.
#[test]
#[ignore = "needs AMD's runtime; `cargo xtask rocr` gets it and runs this"]
fn the_device_does_what_a_device_must() {
    let output = Command::new(env!("CARGO_BIN_EXE_wavegate"))
        .args(["doctor", "--run", "--json", "--device", &named()])
        .output()
        .expect("a process");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let checks = &report["checks"];
    let cases = checks["cases"].as_array().unwrap_or_else(|| panic!("{checks:#}"));
    assert_eq!(cases.len(), wavegate::conformance::all().len(), "{checks:#}");
    for case in cases {
        println!("{} {}: {} ({} ms)", case["verdict"], case["name"], case["seen"], case["ms"]);
    }
    for cost in checks["costs"]["Ok"].as_array().unwrap_or_else(|| panic!("{checks:#}")) {
        println!("{cost}");
    }
    assert!(output.status.success(), "{checks:#}");
    if checks["rests_on"] == "rocr-soft" {
        let all_right = cases.iter().all(|case| case["verdict"] == "right");
        assert!(all_right, "the fixture offers everything: {checks:#}");
        // Compute units that nobody scrubbed keep everything, or the case would not notice if the scrub did nothing.
        let scrub = cases.iter().find(|case| case["name"] == "a_scrub_leaves_nothing").expect("the case");
        let seen = scrub["seen"].as_str().expect("text");
        assert!(seen.starts_with("without it 1148800 of 1148800 words survive"), "{seen}");
    }
}

/// AMD's runtime is one a process, and the device says how it takes queues off the hardware.
#[test]
#[ignore = "needs AMD's runtime; `cargo xtask rocr` gets it and runs this"]
fn one_runtime_a_process() {
    let config: RocrConfig = named().parse().expect("a device description");
    let device = RocrDevice::open(&config).unwrap_or_else(|error| panic!("{config}: {error}"));
    assert_eq!(device.facts().preemption == Preemption::Suspend, device.pause_way().is_some());
    let second = RocrDevice::open(&config);
    assert!(second.err().is_some_and(|error| error.to_string().contains("already")));
    drop(device);
    let drains = RocrDevice::open(&RocrConfig { suspend: false, ..config }).expect("the first one is gone");
    assert_eq!((drains.facts().preemption, drains.pause_way()), (Preemption::Drain, None));
}
