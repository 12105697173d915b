//! Where everything lies: what was built, the programs compiled from `tests`, and the tree of another Debian that they may run in.
//!
//! Promise: programs are compiled by the compiler, and run on the libraries, of the tree they are for; nothing of a tree is ever used outside of it. A tree
//! is made once, below the build's folder, and only by root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::programs::{HSA, OPENCL, PROGRAMS};
use super::suite::Suite;

/// See the module.
pub(super) struct Place {
    /// The folder of `wavegate` and its library.
    pub(super) built: PathBuf,
    /// Ours to write to.
    pub(super) folder: PathBuf,
    /// The other Debian, if it is one.
    tree: Option<PathBuf>,
    /// What HIP programs are compiled for.
    archs: &'static [&'static str],
    /// Whether there is OpenCL.
    opencl: bool,
}

/// Where a tree shows what is not its own.
const INSIDE: Inside = Inside { wavegate: "/opt/wavegate", sources: "/tests", programs: "/programs", socket: SOCKET };

/// Where a tree shows the broker's socket.
pub(super) const SOCKET: &str = "/run/wavegate";

/// Where a tree shows the test fixture.
pub(super) const FIXTURE: &str = "/opt/softkmt";

/// Places inside of a tree.
pub(super) struct Inside {
    pub(super) wavegate: &'static str,
    sources: &'static str,
    pub(super) programs: &'static str,
    pub(super) socket: &'static str,
}

impl Place {
    /// Builds what is shipped, and finds a place for the rest.
    pub(super) fn prepare(root: &Path, suite: Option<&Suite>) -> Result<Place> {
        Place::built(root, suite, &["--release"], "release")
    }

    /// The same as tests have it: little is left to build where tests were run.
    pub(super) fn as_tested(root: &Path) -> Result<Place> {
        Place::built(root, None, &[], "debug")
    }

    /// That for a tree.
    pub(super) fn suite_as_tested(root: &Path, suite: &Suite) -> Result<Place> {
        Place::built(root, Some(suite), &[], "debug")
    }

    fn built(root: &Path, suite: Option<&Suite>, flags: &[&str], below: &str) -> Result<Place> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .arg("build")
            .args(crate::install::PACKAGES)
            .args(flags)
            .current_dir(root)
            .stdin(Stdio::null())
            .status()
            .context("cannot run cargo")?;
        ensure!(status.success(), "wavegate does not build ({status}); its messages are above");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let mut folder = target.join("interop");
        let tree = match suite {
            Some(suite) => {
                folder = folder.join(suite.name);
                Some(suite.tree(&folder)?)
            }
            None => None,
        };
        let archs = suite.map_or(&["gfx90a"][..], |suite| suite.archs);
        let place = Place { built: target.join(below), folder, opencl: tree.is_some(), tree, archs };
        fs::create_dir_all(place.programs()).with_context(|| format!("cannot create {}", place.folder.display()))?;
        if place.tree.is_some() {
            place.install()?;
        }
        Ok(place)
    }

    /// Puts what is shipped where the tree can be shown it.
    fn install(&self) -> Result<()> {
        let at = self.folder.join("wavegate");
        crate::install::place(&self.built, &at)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// Returns the folder of the programs: one for each choice of what they are compiled for.
    fn programs(&self) -> PathBuf {
        match self.archs {
            [_] => self.folder.join("bin"),
            several => self.folder.join(format!("bin-{}", several.join("-"))),
        }
    }

    pub(super) fn library(&self) -> PathBuf {
        self.built.join("libwavegate_capi.so")
    }

    /// Returns a command that runs in the tree, with `more` shown there too, and where things are in it.
    pub(super) fn inside(&self, more: &[(&Path, &str)]) -> Option<(Command, Inside)> {
        let tree = self.tree.as_ref()?;
        let mut bwrap = Command::new("bwrap");
        bwrap.arg("--bind").arg(tree).arg("/");
        bwrap.args([
            "--dev",
            "/dev",
            "--proc",
            "/proc",
            "--ro-bind",
            "/sys",
            "/sys",
            "--tmpfs",
            "/tmp",
            "--die-with-parent",
        ]);
        bwrap.arg("--ro-bind").arg(self.folder.join("wavegate")).arg(INSIDE.wavegate);
        bwrap.arg("--ro-bind").arg(crate::root().join("tests")).arg(INSIDE.sources);
        bwrap.arg("--bind").arg(self.programs()).arg(INSIDE.programs);
        for (outside, inside) in more {
            bwrap.arg("--bind").arg(outside).arg(inside);
        }
        Some((bwrap, INSIDE))
    }

    /// Returns the compiler's command for a program, and its source in the repository.
    fn compiler(&self, name: &str) -> (Command, PathBuf) {
        let (below, program, flags): (_, _, &[&str]) = if OPENCL.contains(&name) {
            (format!("opencl/{name}.c"), "gcc", &["-O2", "-Wall", "-lOpenCL"])
        } else if HSA.contains(&name) {
            (format!("hsa/{name}.c"), "gcc", &["-O2", "-Wall", "-lhsa-runtime64", "-lpthread"])
        } else {
            let flags = &["-O2", "-Wno-unused-result", "-Wno-unused-value", "-lpthread"];
            (format!("hip/{name}.cpp"), "hipcc", flags)
        };
        let source = crate::root().join("tests").join(&below);
        let (mut command, from, to) = match self.inside(&[]) {
            Some((mut command, inside)) => {
                command.arg(program);
                (command, PathBuf::from(inside.sources).join(&below), Path::new(inside.programs).join(name))
            }
            None => (Command::new(program), source.clone(), self.program(name)),
        };
        command.arg(from).arg("-o").arg(to).args(flags);
        if program == "hipcc" {
            command.args(self.archs.iter().map(|arch| format!("--offload-arch={arch}")));
        }
        command.stdin(Stdio::null());
        (command, source)
    }

    /// Compiles what is older than its source, two at a time.
    pub(super) fn compile(&self) -> Result<()> {
        let newer = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
        let begun = Instant::now();
        let mut names: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        names.dedup();
        names.push(super::cost::PROGRAM);
        names.extend(HSA.iter().chain(OPENCL.iter().filter(|_| self.opencl)));
        let stale = |name: &&&str| {
            let (built, source) = (newer(&self.program(name)), self.compiler(name).1);
            built.is_none() || built < newer(&source.with_file_name("check.h")) || built < newer(&source)
        };
        let stale: Vec<&str> = names.iter().filter(stale).copied().collect();
        for pair in stale.chunks(2) {
            let mut children = Vec::new();
            for name in pair {
                let (mut command, source) = self.compiler(name);
                children.push((source, command.spawn().context("cannot run the compiler")?));
            }
            for (source, mut child) in children {
                let status = child.wait().context("cannot wait for the compiler")?;
                ensure!(status.success(), "{} does not compile ({status}); the messages are above", source.display());
            }
        }
        if !stale.is_empty() {
            println!("compiled {} programs in {:.1} s", stale.len(), begun.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Returns the versions of these packages, where they are installed.
    pub(super) fn versions(&self, packages: &[&str]) -> String {
        let mut query = Command::new("dpkg-query");
        if let Some(tree) = &self.tree {
            query.arg("--admindir").arg(tree.join("var/lib/dpkg"));
        }
        let told = query.args(["-W", "-f", "${binary:Package} ${Version}\n"]).args(packages).output();
        let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let known: Vec<_> = told.lines().filter(|line| !line.ends_with(' ')).collect();
        if known.is_empty() { "packages of unknown version".to_owned() } else { known.join(", ") }
    }
}
