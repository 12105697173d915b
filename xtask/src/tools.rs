//! The programs and headers that some commands need, and the Debian packages they come in.
//!
//! Promise: a command that needs a tool either has it or says which packages to install; packages are installed only
//! when asked for (`--install`, or CI) and only as root with apt.

use std::env;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// A program, or an absolute path of a file, and the Debian package it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// What builds the GPU programs.
pub(crate) const KERNELS: &[Tool] = &[tool("clang-19", "clang-19"), tool("ld.lld-19", "lld-19")];
/// What the disassembler is compared with.
pub(crate) const ISA: &[Tool] = &[tool("llvm-mc-19", "llvm-19"), tool("llvm-objdump-19", "llvm-19")];

/// What the HSA declarations are compared with.
pub(crate) const HSA: &[Tool] = &[tool("cc", "gcc"), tool("/usr/include/hsa/hsa.h", "libhsa-runtime-dev")];

/// What runs programs on AMD's runtime.
pub(crate) const ROCR: &[Tool] = &[
    tool("/usr/lib/x86_64-linux-gnu/libhsa-runtime64.so.1", "libhsa-runtime64-1"),
    tool("rocminfo", "rocminfo"),
    tool("hipcc", "hipcc"),
    tool("/usr/include/hip/hip_runtime.h", "libamdhip64-dev"),
];

/// What unmodified programs are checked with.
pub(crate) const INTEROP: &[Tool] = &[
    tool("rocminfo", "rocminfo"),
    tool("hipcc", "hipcc"),
    tool("bwrap", "bubblewrap"),
    tool("gcc", "gcc"),
    tool("/usr/include/hsa/hsa.h", "libhsa-runtime-dev"),
];

/// What other Debians are made and entered with.
pub(crate) const SUITES: &[Tool] = &[tool("debootstrap", "debootstrap"), tool("bwrap", "bubblewrap")];

/// What counts instructions.
pub(crate) const COUNTS: &[Tool] = &[tool("valgrind", "valgrind")];

/// Makes sure that the tools are there: with `install` gets what is missing, without says how to get it.
pub(crate) fn require(tools: &[Tool], install: bool) -> Result<()> {
    let missing = missing(tools, on_path);
    if missing.is_empty() {
        return Ok(());
    }
    if !install {
        bail!("{}", advice(&missing));
    }
    ensure!(is_root()?, "only root may install packages; {}", advice(&missing));
    ensure!(on_path("apt-get"), "there is no apt-get here; {}", advice(&missing));
    println!("installing {}", missing.join(" "));
    apt(&["update", "--quiet"])?;
    apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"][..], &missing].concat())?;
    let still = self::missing(tools, on_path);
    ensure!(
        still.is_empty(),
        "apt-get installed {}, yet programs of these packages are not on the PATH",
        still.join(" ")
    );
    Ok(())
}

/// Returns the packages of the tools that are not there, each once.
fn missing(tools: &[Tool], there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<_> = tools.iter().filter(|tool| !there(tool.program)).map(|tool| tool.package).collect();
    packages.dedup();
    packages
}

fn advice(packages: &[&str]) -> String {
    format!(
        "the Debian packages {} are needed and not installed\n\
         what next: apt-get update && apt-get install -y --no-install-recommends {0}\n\
         or, as root, the same command with --install",
        packages.join(" ")
    )
}

/// Returns whether a program is on the PATH; an absolute path is looked for as it is.
fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Returns whether this process acts as root.
pub(crate) fn is_root() -> Result<bool> {
    // The owner of a process's folder in /proc is its effective user.
    let me = Path::new("/proc/self").metadata().context("cannot read /proc/self; is /proc mounted?")?;
    Ok(me.uid() == 0)
}

fn apt(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("cannot run apt-get")?;
    ensure!(
        status.success(),
        "apt-get {} failed ({status})\nwhat next: its messages are above; these are packages of Debian 12 and later",
        arguments.join(" ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_package_is_named_once() {
        let all = [KERNELS, ISA].concat();
        assert_eq!(missing(&all, |_| false), ["clang-19", "lld-19", "llvm-19"]);
        assert_eq!(missing(&all, |program| program != "llvm-objdump-19"), ["llvm-19"]);
        assert_eq!(missing(&all, |_| true), [] as [&str; 0]);
    }

    #[test]
    fn without_install_the_command_to_type_is_told() {
        let nobody = [tool("a-program-of-nobody", "a-package")];
        let error = require(&nobody, false).unwrap_err().to_string();
        assert!(error.contains("install -y --no-install-recommends a-package"), "{error}");
    }

    #[test]
    fn the_path_is_searched() {
        assert!(on_path("sh") && !on_path("a-program-of-nobody"));
    }
}
