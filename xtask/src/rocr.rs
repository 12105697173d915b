//! Programs on AMD's own ROCr on the software GPU: what `rocr-soft` means in this repository's claims.
//!
//! Promise: it runs the programs or it fails; nothing is skipped. The tests are those of the fixture `softkmt` and of the product's
//! `rocr` device, and then HIP programs are tenants of a broker with that device; this command builds the thunk and runs them. With a suite it does so
//! on the ROCr of another Debian: programs on the runtime alone, and the device.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::interop::suite::Suite;
use crate::interop::{chain, fixture};

/// What is built and run together, so that what both depend on is built once: in each, the test binary `rocr`.
const PACKAGES: [&str; 4] = ["-p", "wavegate-softkmt", "-p", "wavegate"];
/// What names the device to the tests of the product.
const DEVICE: &str = "WAVEGATE_ROCR_DEVICE";

/// Runs every suite that needs ROCr: on the fixture, unless the environment names another device.
pub(crate) fn check() -> Result<()> {
    let device = match std::env::var(DEVICE) {
        Ok(device) => device,
        Err(_) => format!("rocr:0,vram=256MiB,thunk={}", thunk()?.display()),
    };
    println!("{DEVICE}={device}");
    let status = cargo()
        .arg("test")
        .args(PACKAGES)
        .args(["--no-fail-fast", "--test", "rocr", "--", "--include-ignored"])
        .env(DEVICE, &device)
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "not everything is right on ROCr ({status}); the messages are above");
    chain::check(&device)
}

/// Runs the programs of another Debian on its ROCr on the fixture.
pub(crate) fn check_suite(suite: &Suite) -> Result<()> {
    let link = thunk()?;
    let library = link.canonicalize().with_context(|| format!("{} leads nowhere", link.display()))?;
    fixture::check(suite, &library)
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::root()).stdin(Stdio::null());
    command
}

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

/// Builds the thunk, and returns the link to it by the name that ROCr asks for.
fn thunk() -> Result<PathBuf> {
    let built = cargo().args(["build", "--quiet"]).args(PACKAGES).status().context("cannot run cargo")?;
    ensure!(built.success(), "the thunk does not build ({built})");
    let output = cargo().args(["metadata", "--no-deps", "--format-version=1"]).output().context("cannot run cargo")?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata printed something new")?;
    let folder = metadata.target_directory.join("softkmt");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let link = folder.join("libhsakmt.so.1");
    // A link from another time may lead elsewhere; that there is none is as good.
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(metadata.target_directory.join("debug/libsoftkmt.so"), &link)
        .with_context(|| format!("cannot link {}", link.display()))?;
    Ok(link)
}
