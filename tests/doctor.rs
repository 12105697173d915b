//! `wavegate doctor` as a process: it explains itself without a card, and with `--run` asks a device everything.

use serde_json::Value;
use std::process::{Command, Output};

fn doctor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wavegate")).arg("doctor").args(arguments).output().expect("a process")
}

#[test]
fn the_software_gpu_is_right_in_everything_and_the_report_says_so() {
    let folder = std::env::temp_dir().join(format!("wavegate-doctor-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("report.json");
    let output = doctor(&["--run", "--device", "soft:cus=2,vram=256MiB", "--report", file.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("0 not offered, 0 wrong") && said.contains("suspend of waves that got further"), "{said}");
    let report: Value = serde_json::from_slice(&std::fs::read(&file).expect("a report")).expect("JSON");
    let checks = &report["checks"];
    assert_eq!(checks["rests_on"], "soft");
    assert_eq!(checks["cases"].as_array().map(Vec::len), Some(wavegate::conformance::all().len()));
    std::fs::remove_dir_all(&folder).expect("ours");
}

#[test]
fn a_device_that_cannot_be_opened_is_a_verdict_with_a_reason() {
    let output = doctor(&["--run", "--json", "--device", "rocr:0,runtime=/nonexistent/libhsa-runtime64.so.1"]);
    assert!(!output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let error = report["checks"]["device"]["Err"].as_str().expect("an error");
    assert!(error.contains("/nonexistent/libhsa-runtime64.so.1"), "{error}");
    assert_eq!(report["checks"]["cases"].as_array().map(Vec::len), Some(0), "nothing to ask");
}
