//! Other Debians than the one that this runs on: newer HIP, OpenCL, newer rocminfo.
//!
//! Promise: a tree holds nothing but Debian's own packages, by debootstrap and apt-get, and is used as it is until it is removed by hand. sid moves, so
//! what a table was seen with is told with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use crate::tools;

/// A Debian, and what is wanted of it.
pub(crate) struct Suite {
    pub(super) name: &'static str,
    /// Packages to run programs with: their versions are told.
    pub(super) run: &'static [&'static str],
    /// Packages to compile them with.
    build: &'static [&'static str],
    /// What HIP programs are compiled for.
    pub(super) archs: &'static [&'static str],
    /// Whether AMD's runtime asks for its thunk by name, so that it can be given the fixture.
    pub(super) fixture: bool,
}

const BUILD: &[&str] = &["libhsa-runtime-dev", "ocl-icd-opencl-dev", "opencl-c-headers", "gcc", "libc6-dev"];

const SUITES: [Suite; 2] = [
    Suite {
        name: "trixie",
        run: &["rocminfo", "libamdhip64-5", "hipcc", "libamd-comgr2", "rocm-opencl-icd", "clinfo"],
        build: BUILD,
        archs: &["gfx90a", "gfx942"],
        fixture: true,
    },
    Suite {
        name: "sid",
        run: &["rocminfo", "libamdhip64-6", "hipcc", "libamd-comgr3", "rocm-opencl-icd", "clinfo"],
        build: BUILD,
        archs: &["gfx90a"],
        fixture: false,
    },
];

impl Suite {
    /// Finds one by its name.
    pub(crate) fn named(name: &str) -> Result<&'static Suite> {
        let names = SUITES.map(|suite| suite.name).join(" and ");
        SUITES
            .iter()
            .find(|suite| suite.name == name)
            .with_context(|| format!("there is no suite {name:?}, only {names}"))
    }

    /// Returns the tree below a folder; makes it if it is not there, or not all of it.
    pub(super) fn tree(&self, folder: &Path) -> Result<PathBuf> {
        let (tree, done) = (folder.join("tree"), folder.join("tree.packages"));
        let wanted = [self.run, self.build].concat().join(" ");
        if fs::read_to_string(&done).is_ok_and(|had| had == wanted) {
            return Ok(tree);
        }
        ensure!(tools::is_root()?, "only root can make a tree of {}; run this as root once", self.name);
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let (begun, log) = (Instant::now(), folder.join("tree.log"));
        println!("making a tree of {} with {wanted}; its messages go to {}", self.name, log.display());
        let log = File::create(&log).context("cannot write the tree's messages")?;
        let mirror = crate::hsa::mirror()?;
        if !tree.join("usr/bin/apt-get").exists() {
            let mut make = Command::new("debootstrap");
            make.args(["--variant=minbase", self.name]).arg(&tree).arg(mirror);
            logged(&mut make, &log)?;
        }
        // Snapshots of sid may be older than their own promise, and names are resolved as they are here.
        let settings = tree.join("etc/apt/apt.conf.d/90wavegate");
        fs::write(&settings, "Acquire::Check-Valid-Until \"false\";\n").context("cannot write apt's settings")?;
        fs::copy("/etc/resolv.conf", tree.join("etc/resolv.conf")).context("cannot copy /etc/resolv.conf")?;
        let apt = |arguments: &[&str]| {
            let mut apt = Command::new("chroot");
            apt.arg(&tree).arg("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
            logged(&mut apt, &log)
        };
        apt(&["update", "--quiet"])?;
        apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"], self.run, self.build].concat())?;
        fs::write(&done, wanted).context("cannot write what the tree has")?;
        println!("made it in {:.0} s", begun.elapsed().as_secs_f64());
        Ok(tree)
    }
}

fn logged(command: &mut Command, log: &File) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let (one, two) = (log.try_clone()?, log.try_clone()?);
    let status = command.stdin(Stdio::null()).stdout(one).stderr(two).status();
    let status = status.with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status}); its messages are in tree.log beside the tree");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_not_is_answered_with_what_there_is() {
        assert_eq!(Suite::named("sid").unwrap().name, "sid");
        let error = Suite::named("buster").err().unwrap().to_string();
        assert!(error.contains("trixie and sid"), "{error}");
    }
}
