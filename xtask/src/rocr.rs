//! Programs on AMD's own ROCr on the software GPU: what `rocr-soft` means in this repository's claims.
//!
//! Promise: it runs the programs or it fails; nothing is skipped. The tests are those of the fixture `softkmt` and of the product's
//! `rocr` device; this command builds the thunk and runs them.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// What is run: package and test binary.
const SUITES: [(&str, &str); 1] = [("wavegate-softkmt", "rocr")];

/// Runs every suite that needs ROCr.
pub(crate) fn check() -> Result<()> {
    for (package, test) in SUITES {
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "-p", package, "--test", test, "--", "--include-ignored"])
            .current_dir(crate::root())
            .stdin(Stdio::null())
            .status()
            .context("cannot run cargo")?;
        ensure!(status.success(), "{package} failed on ROCr ({status}); its messages are above");
    }
    Ok(())
}
