//! Unmodified programs against the drop-in library: rocminfo, the HIP programs of `tests/hip`, several at once, and in a sandbox.
//!
//! Promise: everything runs against a broker of its own that is started here and ended here; a program passes if it says that its results are
//! right and ends as it should; and at the end the broker lives and holds no session. The table says what was seen, program by program, with the versions of the packages it was seen with.

mod broker;
pub(crate) mod chain;
pub(crate) mod cost;
pub(crate) mod fixture;
mod place;
mod programs;
mod several;
mod sharing;
pub(crate) mod suite;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use broker::{Broker, Outcome, Setup, run};
use place::Place;
use programs::{Expected, HSA, OPENCL, PROGRAMS};
use suite::Suite;

/// The packages whose versions the table names.
const PACKAGES: [&str; 4] = ["rocminfo", "libamdhip64-5", "hipcc", "libamd-comgr2"];
/// How long any one program may take: far more than it does, on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the programs' tenant may have.
const CONFIG: &str = "\
unknown = \"default\"

[[tenant]]
name = \"default\"
vram = \"1GiB\"
host_memory = \"2GiB\"
sessions = 16
queues = 64
";
/// The device that is shared.
const DEVICE: &str = "soft:cus=4,vram=4GiB";
/// rocminfo from exec to exit, on a machine with nothing else to do.
const ROCMINFO_MS: u128 = 50;

/// One line of the table.
struct Row {
    what: String,
    ms: u128,
    /// What was seen, or what was wrong.
    seen: Result<String>,
}

/// Runs everything, or of the programs of `tests/hip` and the sharing only what has this in its name.
pub(crate) fn check(only: Option<&str>) -> Result<()> {
    let root = crate::root();
    let place = Place::prepare(&root, None)?;
    place.compile()?;
    let broker = start(&place)?;
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    let mut rows = Vec::new();
    if only.is_none() {
        rows.extend([exports(&root, &place), rocminfo(&broker), hidden(&broker), wrong_tenant(&broker)]);
    }
    for program in PROGRAMS.iter().filter(|program| wanted(program.name)) {
        rows.push(one(&broker, program.name, program.environment, &program.expected));
    }
    rows.extend(HSA.iter().filter(|name| wanted(name)).map(|name| one(&broker, name, &[], &Expected::Right)));
    if only.is_none() {
        rows.extend([together(&broker), with_its_own(&broker, &place), sandboxed(&broker, &place)]);
        rows.extend([without_namespaces(&broker, &place), as_nobody(&broker, &place)]);
    }
    rows.push(reclaimed(&broker));
    broker.end()?;
    if wanted("two_devices") {
        rows.extend(several::check(&place)?);
    }
    if wanted("sharing") {
        rows.extend(sharing::check(&place)?);
    }
    report(&rows, &place.versions(&PACKAGES))
}

/// Runs what can be run in a tree of another Debian: the same programs compiled there, rocminfo, clinfo, programs of OpenCL.
pub(crate) fn check_suite(suite: &Suite) -> Result<()> {
    let place = Place::prepare(&crate::root(), Some(suite))?;
    place.compile()?;
    let broker = start(&place)?;
    let mut rows = vec![rocminfo(&broker), clinfo(&broker)];
    rows.extend(PROGRAMS.iter().map(|program| one(&broker, program.name, program.environment, &program.expected)));
    rows.extend(HSA.iter().chain(OPENCL).map(|name| one(&broker, name, &[], &Expected::Right)));
    rows.extend([together(&broker), reclaimed(&broker)]);
    broker.end()?;
    rows.extend(several::check(&place)?);
    report(&rows, &place.versions(suite.run))
}

fn start(place: &Place) -> Result<Broker<'_>> {
    let (config, devices) = (CONFIG.to_owned(), vec![DEVICE.to_owned()]);
    Broker::start(place, &Setup { name: "interop", config, devices, processors: None, fixture: None })
}

/// The library has AMD's soname, and every function of ROCr 6.4 under its version.
fn exports(root: &Path, place: &Place) -> Row {
    let begun = Instant::now();
    let seen = || {
        let library = place.library();
        let text = |tool: &str, flags: &[&str]| -> Result<String> {
            let told =
                Command::new(tool).args(flags).arg(&library).output().with_context(|| format!("cannot run {tool}"))?;
            ensure!(told.status.success(), "{tool} cannot read {}", library.display());
            Ok(String::from_utf8_lossy(&told.stdout).into_owned())
        };
        let wanted = fs::read_to_string(root.join("capi/exports.txt")).context("cannot read capi/exports.txt")?;
        let symbols = text("nm", &["--dynamic", "--defined-only", "--with-symbol-versions"])?;
        let has: Vec<&str> = symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
        let missing: Vec<&str> =
            wanted.lines().filter(|name| !has.contains(&format!("{name}@@ROCR_1").as_str())).collect();
        ensure!(missing.is_empty(), "not exported: {}", missing.join(" "));
        let named = text("readelf", &["--dynamic", "--wide"])?;
        ensure!(
            named.contains("[libhsa-runtime64.so.1]") && named.contains("NODELETE"),
            "it has another name or may be unloaded"
        );
        Ok(format!("{} functions @@ROCR_1", wanted.lines().count()))
    };
    let seen = seen();
    Row { what: "exports".to_owned(), ms: begun.elapsed().as_millis(), seen }
}

/// Runs a program as a tenant and judges it.
fn one(broker: &Broker<'_>, name: &str, environment: &[(&str, &str)], expected: &Expected) -> Row {
    let seen = run(broker.tenant(name).envs(environment.iter().copied()), PATIENCE);
    let what = environment.iter().fold(name.to_owned(), |what, (key, value)| format!("{what} {key}={value}"));
    judge(what, seen, |outcome| expected.judge(name, outcome))
}

fn judge(what: String, seen: Result<Outcome>, verdict: impl FnOnce(&Outcome) -> Result<String>) -> Row {
    match seen {
        Ok(outcome) => {
            let seen = verdict(&outcome).with_context(|| outcome.tail());
            Row { what, ms: outcome.took.as_millis(), seen }
        }
        Err(error) => Row { what, ms: 0, seen: Err(error) },
    }
}

fn rocminfo(broker: &Broker<'_>) -> Row {
    // The best of five: what it takes, and not what else the machine does.
    let best = (0..5)
        .map(|_| run(broker.command("rocminfo", false), PATIENCE))
        .min_by_key(|outcome| outcome.as_ref().map_or(Duration::MAX, |outcome| outcome.took));
    judge("rocminfo".to_owned(), best.unwrap_or_else(|| bail!("it never ran")), |outcome| {
        ensure!(outcome.code == Some(0), "it ended with {}", outcome.end());
        for wanted in ["ROCk module is loaded", "gfx90a", "Wavegate software MI210", "*** Done ***"] {
            ensure!(outcome.text.contains(wanted), "it does not say {wanted:?}");
        }
        let ms = outcome.took.as_millis();
        Ok(if ms <= ROCMINFO_MS { format!("within {ROCMINFO_MS} ms") } else { format!("over {ROCMINFO_MS} ms") })
    })
}

/// OpenCL sees the device.
fn clinfo(broker: &Broker<'_>) -> Row {
    judge("clinfo".to_owned(), run(broker.command("clinfo", true), PATIENCE), |outcome| {
        ensure!(outcome.code == Some(0), "it ended with {}", outcome.end());
        for wanted in ["gfx90a", "Wavegate software MI210", "Compiler Available                              Yes"] {
            ensure!(outcome.text.contains(wanted), "it does not say {wanted:?}");
        }
        Ok("right".to_owned())
    })
}

/// With no device left visible there is the host alone.
fn hidden(broker: &Broker<'_>) -> Row {
    let seen = run(broker.command("rocminfo", false).env("ROCR_VISIBLE_DEVICES", "1"), PATIENCE);
    judge("rocminfo ROCR_VISIBLE_DEVICES=1".to_owned(), seen, |outcome| {
        ensure!(outcome.code == Some(0), "it ended with {}", outcome.end());
        ensure!(outcome.text.contains("Agent 1") && !outcome.text.contains("Agent 2"), "it shows a device");
        Ok("no device".to_owned())
    })
}

/// A tenant that one is not is refused, in words.
fn wrong_tenant(broker: &Broker<'_>) -> Row {
    let seen = run(broker.tenant("vector_add").env("WAVEGATE_TENANT", "somebody-else"), PATIENCE);
    judge("vector_add as somebody else".to_owned(), seen, |outcome| {
        ensure!(outcome.code != Some(0), "it ran");
        ensure!(outcome.text.contains("not-that-tenant"), "nothing says why");
        Ok("refused: not-that-tenant".to_owned())
    })
}

/// Several programs of one tenant at once, every one right.
fn together(broker: &Broker<'_>) -> Row {
    let names = ["matmul", "atomics", "sort", "reduction"];
    let begun = Instant::now();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let all = names.map(|name| scope.spawn(move || (name, run(broker.tenant(name), PATIENCE))));
        all.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let all_right = || {
        ensure!(outcomes.len() == names.len(), "a thread was lost");
        for (name, outcome) in &outcomes {
            let outcome = outcome.as_ref().map_err(|error| anyhow::anyhow!("{name}: {error:#}"))?;
            Expected::Right.judge(name, outcome).with_context(|| outcome.tail())?;
        }
        Ok("all right".to_owned())
    };
    Row { what: "4 programs of one tenant".to_owned(), ms: begun.elapsed().as_millis(), seen: all_right() }
}

/// A program that brings AMD's library along and finds it by its RPATH, as Python wheels do, gets ours all the same.
fn with_its_own(broker: &Broker<'_>, place: &Place) -> Row {
    let begun = Instant::now();
    let seen = || {
        let bundle = place.folder.join("bundle");
        std::fs::create_dir_all(&bundle).with_context(|| format!("cannot create {}", bundle.display()))?;
        let amds = Path::new("/usr/lib/x86_64-linux-gnu/libhsa-runtime64.so.1");
        std::fs::copy(amds, bundle.join("libhsa-runtime64.so.1"))
            .with_context(|| format!("there is no {}", amds.display()))?;
        let (program, rpath) =
            (bundle.join("hsa_fork"), format!("-Wl,--disable-new-dtags,-rpath,{}", bundle.display()));
        let source = crate::root().join("tests/hsa/hsa_fork.c");
        let built = Command::new("gcc")
            .arg("-O2")
            .arg(source)
            .arg("-o")
            .arg(&program)
            .arg(rpath)
            .arg("-lhsa-runtime64")
            .status();
        ensure!(built.context("cannot run gcc")?.success(), "tests/hsa/hsa_fork.c does not compile with an RPATH");
        // By itself it loads what it has brought, which finds no driver.
        let alone = run(Command::new(&program).env("LD_DEBUG", "libs"), PATIENCE)?;
        ensure!(
            alone.code != Some(0) && alone.text.contains("bundle/libhsa-runtime64.so.1"),
            "it does not use its own"
        );
        let tenant = run(broker.command(&program, true), PATIENCE)?;
        Expected::Right.judge("hsa_fork", &tenant).with_context(|| tenant.tail())?;
        ensure!(!tenant.text.contains("it is no tenant"), "it is said to have loaded another library");
        Ok("right, on ours".to_owned())
    };
    let seen = seen();
    Row { what: "a program with AMD's library in its RPATH".to_owned(), ms: begun.elapsed().as_millis(), seen }
}

/// In a sandbox that has the socket, the library and no device: what a container gets.
fn sandboxed(broker: &Broker<'_>, place: &Place) -> Row {
    let library = place.library();
    let mut bwrap = sandbox(broker, &[(&library, "/opt/wavegate/libhsa-runtime64.so.1")]);
    bwrap.arg("--ro-bind").arg(place.program("vector_add")).arg("/vector_add");
    bwrap.args(["--setenv", "LD_LIBRARY_PATH", "/opt/wavegate", "/vector_add"]);
    judge("vector_add in bubblewrap".to_owned(), run(&mut bwrap, PATIENCE), |outcome| {
        Expected::Right.judge("vector_add", outcome)
    })
}

/// Returns the command of a sandbox that has the system's programs, the broker's socket where it is looked for, these files, and no device.
fn sandbox(broker: &Broker<'_>, files: &[(&Path, &str)]) -> Command {
    let mut bwrap = Command::new("bwrap");
    for folder in ["/usr", "/bin", "/lib", "/lib64", "/etc"] {
        bwrap.arg("--ro-bind-try").arg(folder).arg(folder);
    }
    bwrap.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--unshare-pid", "--unshare-net"]);
    for (from, to) in files {
        bwrap.arg("--ro-bind").arg(from).arg(to);
    }
    bwrap.arg("--bind").arg(broker.folder()).arg("/run/wavegate").env_remove("WAVEGATE_SOCKET");
    bwrap
}

fn says_the_device(outcome: &Outcome) -> Result<String> {
    ensure!(outcome.code == Some(0), "it ended with {}", outcome.end());
    for wanted in ["ROCk module is loaded", "gfx90a", "*** Done ***"] {
        ensure!(outcome.text.contains(wanted), "it does not say {wanted:?}");
    }
    ensure!(!outcome.text.contains("wavegate:"), "`wavegate run` complains");
    Ok("right".to_owned())
}

/// rocminfo where nobody may have a view of its own: its questions are answered by a library.
fn without_namespaces(broker: &Broker<'_>, place: &Place) -> Row {
    let (wavegate, library, answers) =
        (place.built.join("wavegate"), place.library(), place.built.join("libwavegate_view.so"));
    let folder = "/opt/wavegate/lib/wavegate";
    let mut bwrap = sandbox(
        broker,
        &[
            (&wavegate, "/opt/wavegate/bin/wavegate"),
            (&library, &format!("{folder}/libhsa-runtime64.so.1")),
            (&answers, &format!("{folder}/libwavegate_view.so")),
        ],
    );
    bwrap.args(["--unshare-user", "--disable-userns", "/opt/wavegate/bin/wavegate", "run", "--", "rocminfo"]);
    judge("rocminfo without namespaces".to_owned(), run(&mut bwrap, PATIENCE), says_the_device)
}

/// An ordinary user has a view of its own by a user namespace, in which it is itself.
fn as_nobody(broker: &Broker<'_>, place: &Place) -> Row {
    let installed = broker.folder().join("installed");
    let what = "rocminfo and vector_add as an ordinary user".to_owned();
    let seen = || {
        // Where the build lies others may have no business.
        crate::install::place(&place.built, &installed)?;
        let program = broker.folder().join("vector_add");
        std::fs::copy(place.program("vector_add"), &program).context("cannot copy vector_add")?;
        let user = |arguments: &[&std::ffi::OsStr]| {
            let wavegate = installed.join("bin/wavegate");
            let mut command = if crate::tools::is_root()? {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(wavegate);
                command
            } else {
                Command::new(wavegate)
            };
            command.arg("run").arg("--socket").arg(broker.folder().join("tenant.sock")).args(arguments);
            command.env_remove("WAVEGATE_TENANT").env("HOME", "/nonexistent").current_dir("/");
            run(command, PATIENCE)
        };
        let shown = user(&["--".as_ref(), "rocminfo".as_ref()])?;
        says_the_device(&shown).with_context(|| shown.tail())?;
        let added = user(&["--plain".as_ref(), "--".as_ref(), program.as_os_str()])?;
        Expected::Right.judge("vector_add", &added).with_context(|| added.tail())?;
        Ok((shown.took.as_millis(), "right".to_owned()))
    };
    match seen() {
        Ok((ms, seen)) => Row { what, ms, seen: Ok(seen) },
        Err(error) => Row { what, ms: 0, seen: Err(error) },
    }
}

/// Nothing is left of all of them.
fn reclaimed(broker: &Broker<'_>) -> Row {
    let begun = Instant::now();
    let left = broker.wait_for_sessions(0);
    let seen = if left == 0 { Ok("no session left".to_owned()) } else { Err(anyhow::anyhow!("{left} sessions left")) };
    Row { what: "the broker afterwards".to_owned(), ms: begun.elapsed().as_millis(), seen }
}

/// Prints the table; fails if anything in it did.
fn report(rows: &[Row], versions: &str) -> Result<()> {
    println!();
    for row in rows {
        match &row.seen {
            Ok(seen) => println!("{:<36} {:>6} ms  {seen}", row.what, row.ms),
            Err(error) => println!("{:<36} {:>6} ms  FAILED: {error:#}", row.what, row.ms),
        }
    }
    println!("with {versions}");
    let failed: Vec<_> = rows.iter().filter(|row| row.seen.is_err()).map(|row| row.what.as_str()).collect();
    ensure!(
        failed.is_empty(),
        "{} of {} failed: {}\nwhat next: the output of each is above; run one with `wavegate serve` and `wavegate run -- PROGRAM`",
        failed.len(),
        rows.len(),
        failed.join(", ")
    );
    println!("interop: {} checks passed", rows.len());
    Ok(())
}
