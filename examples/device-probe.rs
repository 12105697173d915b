//! Runs one kernel so many times on the device in this process, for `cargo xtask counts` to count instructions: `device-probe KERNEL TIMES`.
//!
//! `empty` counts what a dispatch costs that does nothing (packet, launch of one wave, completion); `spin` a hundred wave-instructions of arithmetic
//! in one wave and more, so that the interpreter shows.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use wavegate::device::soft::SoftConfig;
use wavegate::stage::work::{LocalWork, spin};

/// Wave-instructions of a `spin`.
const SPIN: u64 = 4_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("device-probe: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, times] = &arguments[..] else { bail!("device-probe empty|spin TIMES") };
    let case = match kernel.as_str() {
        "empty" => kernels::find("empty").context("an embedded kernel")?.case(64, 0)?,
        "spin" => spin(SPIN, 1),
        other => bail!("{other:?} is not empty or spin"),
    };
    let device: SoftConfig = "soft:cus=1,threads=1,vram=64MiB".parse()?;
    let mut work = LocalWork::new(&device, case)?;
    for _ in 0..times.parse::<u64>()? {
        work.send()?;
        work.finish()?;
    }
    Ok(())
}
