//! Programs of another Debian on AMD's own runtime of that Debian on the test fixture, by themselves and as tenants: whether what we believe of that
//! runtime holds.
//!
//! Promise: rocminfo, the programs of `tests/hip` and of `tests/opencl`, and what a device must do, on every card that the fixture can be and the suite's
//! compiler knows; then the programs of `tests/hip` over drop-in, broker and worker on that runtime. A program passes if it says that its results
//! are right and ends as it should. What is left out is named with its reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::broker::{Broker, Outcome, Setup, run};
use super::place::{FIXTURE, Inside, Place};
use super::programs::{Expected, OPENCL, PROGRAMS, Program};
use super::suite::Suite;
use super::{PATIENCE, Row, chain, judge, reclaimed, report};

/// What is not run by itself, and on which card if not on all.
const LEFT_OUT: [(&str, Option<&str>); 3] = [
    // The fixture says that it is a driver without memory apart from addresses.
    ("virtual_memory", None),
    // AMD's runtime says that GFX9.4 has no images, and HIP 5.7 then has no pitched memory either.
    ("copies_2d", Some("gfx942")),
    // It says of other GFX9 cards that they have images, so that nothing is refused as the program expects.
    ("texture", Some("gfx90a")),
];
/// What the fixture is, whatever card; errors are told as by that Debian's kernel.
const SHAPE: &str = "SOFTKMT_CUS=4\nSOFTKMT_VRAM_MIB=1024\nSOFTKMT_EXCEPTIONS=1\n";
/// The same as `props` expects it.
const EXPECTED: [(&str, &str); 2] = [("EXPECT_CUS", "4"), ("EXPECT_VRAM_MIB", "1024")];
/// Programs again, with one thing otherwise: without interrupts, without copy engines by AMD's choice and by the card's, on one compute unit, and with
/// errors told as by older kernels.
const AGAIN: [(&str, (&str, &str)); 6] = [
    ("vector_add", ("HSA_ENABLE_INTERRUPT", "0")),
    ("copies", ("HSA_ENABLE_SDMA", "0")),
    ("copies", ("SOFTKMT_SDMA", "0")),
    ("vector_add", ("SOFTKMT_CUS", "1")),
    ("device_assert", ("SOFTKMT_EXCEPTIONS", "0")),
    ("fault", ("SOFTKMT_EXCEPTIONS", "0")),
];
/// What AMD's runtime says of a wild store before it aborts.
const FAULT: Expected = Expected::Signal(6, "Memory access fault by GPU node-1");
/// Our own device on that runtime, as the tree has it.
const DEVICE: &str = "rocr:0,vram=256MiB,thunk=/opt/softkmt/libhsakmt.so.1";
/// How long everything that a device must do may take.
const DEVICE_PATIENCE: Duration = Duration::from_secs(400);

/// What the tree is shown so that its programs believe in a card.
struct Card<'a> {
    place: &'a Place,
    arch: &'static str,
    /// The folder with the thunk, by the name that AMD's runtime asks for, and what says which card it is.
    fixture: PathBuf,
    /// What stands for the device file, and what the kernel says of its driver.
    kfd: PathBuf,
    driver: PathBuf,
}

/// Runs everything on `thunk`, the fixture's library.
pub(crate) fn check(suite: &Suite, thunk: &Path) -> Result<()> {
    ensure!(
        suite.fixture,
        "AMD's runtime of {} brings its thunk along, so that no other can be given to it",
        suite.name
    );
    let place = Place::suite_as_tested(&crate::root(), suite)?;
    place.compile()?;
    let mut rows = Vec::new();
    for &arch in suite.archs {
        let card = Card::new(&place, arch, thunk)?;
        rows.push(card.rocminfo());
        let programs = PROGRAMS.iter().filter(|program| wanted(program.name, arch) && !told(program.environment));
        rows.extend(programs.map(|program| card.program(program.name, None)));
        rows.extend(AGAIN.iter().map(|&(name, otherwise)| card.program(name, Some(otherwise))));
        rows.extend(OPENCL.iter().map(|name| card.program(name, None)));
        rows.push(card.device());
        rows.extend(card.tenants()?);
    }
    report(&rows, &place.versions(&[suite.run, &["libhsa-runtime64-1"]].concat()))
}

fn wanted(name: &str, arch: &str) -> bool {
    !LEFT_OUT.iter().any(|&(left, on)| left == name && on.is_none_or(|on| on == arch))
}

/// Returns how a program ends here.
fn expected(name: &str) -> &'static Expected {
    let known = PROGRAMS.iter().find(|program| program.name == name);
    match known {
        Some(_) if name == "fault" => &FAULT,
        Some(program) => &program.expected,
        None => &Expected::Right,
    }
}

/// Whether a row of the programs is for the drop-in, which reads such variables.
fn told(environment: &[(&str, &str)]) -> bool {
    environment.iter().any(|(name, _)| name.starts_with("WAVEGATE_"))
}

impl<'a> Card<'a> {
    fn new(place: &'a Place, arch: &'static str, thunk: &Path) -> Result<Card<'a>> {
        let fixture = place.folder.join(format!("softkmt-{arch}"));
        fs::create_dir_all(&fixture).with_context(|| format!("cannot create {}", fixture.display()))?;
        let library = fixture.join("libhsakmt.so.1");
        // One that is still in use keeps its bytes; that there is none is as good.
        let _ = fs::remove_file(&library);
        fs::copy(thunk, &library).with_context(|| format!("cannot write {}", library.display()))?;
        let (kfd, driver) = (place.folder.join("kfd"), place.folder.join("initstate"));
        let shape = format!("SOFTKMT_ARCH={arch}\n{SHAPE}");
        for (file, text) in [(&fixture.join("softkmt.conf"), shape.as_str()), (&kfd, ""), (&driver, "live\n")] {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(Card { place, arch, fixture, kfd, driver })
    }

    /// Returns a command in the tree that has the card, and where things are in it.
    fn tree(&self) -> (Command, Inside) {
        // PANIC: `check` has prepared a place with a tree.
        let (mut command, inside) = self.place.inside(&[(&self.fixture, FIXTURE)]).expect("a tree");
        command.arg("--bind").arg(&self.kfd).arg("/dev/kfd");
        // What programs ask of the machine, and what rocminfo asks of the driver.
        command.args(["--tmpfs", "/sys", "--ro-bind", "/sys/devices", "/sys/devices"]);
        command.arg("--ro-bind").arg(&self.driver).arg("/sys/module/amdgpu/initstate");
        command.env("LD_LIBRARY_PATH", FIXTURE).env("EXPECT_ARCH", self.arch).envs(EXPECTED);
        command.env_remove("ROCR_VISIBLE_DEVICES");
        (command, inside)
    }

    fn program(&self, name: &str, otherwise: Option<(&str, &str)>) -> Row {
        let (mut command, inside) = self.tree();
        command.arg(Path::new(inside.programs).join(name)).envs(otherwise);
        let what = otherwise.map_or(name.to_owned(), |(key, value)| format!("{name} {key}={value}"));
        self.row(&what, run(command, PATIENCE), |outcome| expected(name).judge(name, outcome))
    }

    fn rocminfo(&self) -> Row {
        let (mut command, _) = self.tree();
        command.arg("rocminfo");
        self.row("rocminfo", run(command, PATIENCE), |outcome| {
            ensure!(outcome.code == Some(0), "it ended with {}", outcome.end());
            let isa = format!("amdgcn-amd-amdhsa--{}:sramecc+:xnack-", self.arch);
            for wanted in [&isa, "Software GPU on softkmt", "GPU-5057415645470001", "*** Done ***"] {
                ensure!(outcome.text.contains(wanted), "it does not say {wanted:?}");
            }
            Ok("right".to_owned())
        })
    }

    /// Our own device on this runtime, with everything that a device must do.
    fn device(&self) -> Row {
        let (mut command, inside) = self.tree();
        command.arg(Path::new(inside.wavegate).join("bin/wavegate")).args(["doctor", "--run", "--device"]);
        command.arg(DEVICE);
        self.row("wavegate doctor --run", run(command, DEVICE_PATIENCE), |outcome| {
            ensure!(outcome.code == Some(0), "it ended with {}", outcome.end());
            all_right(&outcome.text).context("it does not say that everything is right")
        })
    }

    /// The programs over drop-in, broker and worker.
    fn tenants(&self) -> Result<Vec<Row>> {
        let (config, device) = (super::CONFIG.to_owned(), DEVICE.to_owned());
        let fixture = Some(self.fixture.clone());
        let broker = Broker::start(
            self.place,
            &Setup { name: "chain-suite", config, devices: vec![device], processors: None, fixture },
        )?;
        let run_as_tenant = |program: &Program| {
            let seen = run(broker.tenant(program.name).envs(program.environment.iter().copied()), PATIENCE);
            let settings = program.environment.iter().map(|(key, value)| format!(" {key}={value}"));
            let what = format!("tenant {}{}", program.name, settings.collect::<String>());
            self.row(&what, seen, |outcome| program.expected.judge(program.name, outcome))
        };
        let programs = PROGRAMS.iter().filter(|program| !chain::LEFT_OUT.contains(&program.name));
        let shown = run(broker.command("rocminfo", false), PATIENCE);
        let mut rows = vec![self.row("tenant rocminfo", shown, |outcome| {
            ensure!(outcome.code == Some(0), "it ended with {}", outcome.end());
            ensure!(
                outcome.text.contains(self.arch) && outcome.text.contains("*** Done ***"),
                "it does not show the card"
            );
            Ok("right".to_owned())
        })];
        rows.extend(programs.map(run_as_tenant));
        rows.push(reclaimed(&broker));
        broker.end()?;
        Ok(rows)
    }

    fn row(&self, what: &str, seen: Result<Outcome>, verdict: impl FnOnce(&Outcome) -> Result<String>) -> Row {
        judge(format!("{} {what}", self.arch), seen, verdict)
    }
}

/// Returns the line that counts the cases, if it counts nothing but right ones.
fn all_right(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (right, rest) = line.strip_suffix(" right, 0 not offered, 0 wrong")?.split_once(" of ")?;
        (right == rest && right != "0").then(|| format!("{right} of {rest} right"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_count_of_right_ones_is_right() {
        let all = "trying: x\n24 of 24 right, 0 not offered, 0 wrong\n";
        assert_eq!(all_right(all).as_deref(), Some("24 of 24 right"));
        for wrong in ["23 of 24 right, 0 not offered, 1 wrong", "23 of 24 right, 0 not offered, 0 wrong", ""] {
            assert_eq!(all_right(wrong), None, "{wrong}");
        }
        assert_eq!(all_right("0 of 0 right, 0 not offered, 0 wrong"), None);
    }

    #[test]
    fn the_device_has_the_thunk_that_the_tree_shows() {
        assert!(DEVICE.ends_with(&format!("thunk={FIXTURE}/libhsakmt.so.1")));
    }

    #[test]
    fn what_is_left_out_is_a_program() {
        for name in LEFT_OUT.map(|(name, _)| name).into_iter().chain(AGAIN.map(|(name, _)| name)) {
            assert!(PROGRAMS.iter().any(|program| program.name == name), "{name}");
        }
        assert!(wanted("texture", "gfx942") && !wanted("texture", "gfx90a") && !wanted("virtual_memory", "gfx942"));
    }
}
