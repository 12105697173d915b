//! `wavegate run`: an unmodified program as a tenant.
//!
//! Promises:
//! - this process becomes the program, so its number, exit code, signals, standard streams and terminal are the program's own;
//! - the program gets the drop-in library in the place of AMD's, wherever it or its RPATH would have found that one; the socket; the tenant;
//!   a view in which rocminfo's check for a driver succeeds, or a library that answers it where the kernel gives programs no view of their own; and nothing
//!   else;
//! - what was really loaded is looked at, and told on standard error when it is not ours.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use sys::namespace::{self, Directory, ViewError};

use crate::config::paths::Socket;

/// The library's name, by which programs ask for it.
const LIBRARY: &str = "libhsa-runtime64.so.1";
/// What a build tree calls it.
const BUILT: &str = "libwavegate_capi.so";
/// The library that answers rocminfo's check, by the same name when built and when installed.
const ANSWERS: &str = "libwavegate_view.so";
/// Where it lies below the folder of an installed `bin/wavegate`'s parent.
const INSTALLED: &str = "lib/wavegate";
/// How long the program may take to load its libraries until nobody looks any more.
const WATCH: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Arguments of `wavegate run`.
#[derive(Args)]
#[command(after_help = HELP)]
pub(super) struct RunArgs {
    /// The tenant to be, among those that your user may be [default: what the broker makes of your user].
    #[arg(long, env = "WAVEGATE_TENANT", value_name = "NAME")]
    tenant: Option<String>,
    /// Where the broker listens [default: the user's own broker if there is one, else /run/wavegate/tenant.sock].
    #[arg(long, env = "WAVEGATE_SOCKET", value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The drop-in library [default: beside this program, or below lib/wavegate/].
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    /// Leave the file system as it is: HIP and OpenCL programs need nothing else, rocminfo does.
    #[arg(long)]
    plain: bool,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

const HELP: &str = "\
wavegate run -- rocminfo
wavegate run --tenant red -- ./vector_add 1000

The exit code is the program's; 126 if it cannot be run, 127 if it is not there.";

/// Arguments of the process that looks at what was loaded.
#[derive(Args)]
pub(super) struct WatchArgs {
    /// The program's process.
    process: u32,
    /// The library that it should have.
    library: PathBuf,
    /// Begin another one that does it, and end.
    #[arg(long)]
    detach: bool,
}

/// Why the program was not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// Nobody listens.
    #[error("no broker at {}; start one with `wavegate serve`, or name its socket with --socket", .0.display())]
    NoBroker(PathBuf),
    /// There is no library.
    #[error(
        "the drop-in library is neither {} nor {}; build it (`cargo build --release`), install it (`cargo xtask install`) or name it with --library",
        .installed.display(), .built.display()
    )]
    NoLibrary {
        /// Where an installed one would be.
        installed: PathBuf,
        /// Where a built one would be.
        built: PathBuf,
    },
    /// The file named is not there.
    #[error("the library {} cannot be used: {source}", .path.display())]
    Library {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This program does not know where it lies.
    #[error("cannot find out where this program lies: {0}; name the library with --library")]
    WhereAmI(std::io::Error),
    /// The program did not begin.
    #[error("cannot run {}: {source}", Path::new(.program).display())]
    Program {
        /// Which.
        program: OsString,
        /// Why.
        source: std::io::Error,
    },
}

/// Becomes the program. Returns only if that fails.
pub(super) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let (mut command, program) = prepare(args)?;
    let source = command.exec();
    let code = if source.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
    eprintln!("wavegate: {}", RunError::Program { source, program });
    Ok(ExitCode::from(code))
}

fn prepare(args: RunArgs) -> Result<(Command, OsString), RunError> {
    // The program may change its directory before it connects.
    let socket = args.socket.unwrap_or_else(|| Socket::Tenant.to_connect());
    let socket = std::path::absolute(&socket).unwrap_or(socket);
    if !socket.exists() {
        return Err(RunError::NoBroker(socket));
    }
    let mut program = args.program.into_iter();
    // PANIC free: clap wants at least one.
    let name = program.next().unwrap_or_default();
    let mut command = Command::new(&name);
    command.args(program).env(client::environment::SOCKET, socket);
    match args.tenant {
        Some(tenant) => command.env(client::environment::TENANT, tenant),
        None => command.env_remove(client::environment::TENANT),
    };
    let exe = std::env::current_exe().map_err(RunError::WhereAmI)?;
    let mut preload = Vec::new();
    match args.library.map_or_else(|| find_library(&exe), Ok) {
        Ok(path) => {
            let library = fs::canonicalize(&path).map_err(|source| RunError::Library { path, source })?;
            if let Some(folder) = library.parent().filter(|_| library.file_name().is_some_and(|name| name == LIBRARY)) {
                command.env("LD_LIBRARY_PATH", listed(folder.as_os_str(), "LD_LIBRARY_PATH"));
            }
            watch(&library);
            // Loaded before everything else, it is what every later library with this name is found to be, RPATH or not.
            preload.push(library);
        }
        // Programs over the client library need none.
        Err(error) => eprintln!("wavegate: {error}; HIP programs will find no device"),
    }
    if !args.plain
        && let Err(error) = show_driver(&mut command)
    {
        match answers(&exe) {
            Some(library) => preload.push(library),
            None => eprintln!(
                "wavegate: no view of its own for {}: {error}, and no {ANSWERS} beside the library; rocminfo will not find a driver, other programs \
                 do not look for one",
                Path::new(&name).display()
            ),
        }
    }
    if let Some(list) = preload.into_iter().map(PathBuf::into_os_string).reduce(joined) {
        command.env("LD_PRELOAD", listed(&list, "LD_PRELOAD"));
    }
    Ok((command, name))
}

/// Puts a name in front of a variable's list.
fn listed(first: &OsStr, variable: &str) -> OsString {
    match std::env::var_os(variable).filter(|rest| !rest.is_empty()) {
        Some(rest) => joined(first.to_owned(), rest),
        None => first.to_owned(),
    }
}

fn joined(mut list: OsString, more: OsString) -> OsString {
    list.push(":");
    list.push(more);
    list
}

/// Finds the library that answers rocminfo's check, from where this program lies.
fn answers(exe: &Path) -> Option<PathBuf> {
    let folder = exe.parent()?;
    let places = [folder.parent()?.join(INSTALLED).join(ANSWERS), folder.join(ANSWERS)];
    places.into_iter().find(|place| place.exists())
}

/// Finds the library from where this program lies.
fn find_library(exe: &Path) -> Result<PathBuf, RunError> {
    let folder = exe.parent().unwrap_or(Path::new("/"));
    let installed = folder.parent().unwrap_or(Path::new("/")).join(INSTALLED).join(LIBRARY);
    let built = folder.join(BUILT);
    if installed.exists() {
        return Ok(installed);
    }
    if built.exists() { Ok(built) } else { Err(RunError::NoLibrary { installed, built }) }
}

/// Gives this process a view in which there is a driver for who looks, and nobody else: what rocminfo 5.2 to 7.2 checks before it asks the library.
fn show_driver(command: &mut Command) -> Result<(), ViewError> {
    let (kfd, modules) = (Path::new("/dev/kfd"), Path::new("/sys/module"));
    if kfd.exists() {
        return Ok(());
    }
    namespace::enter()?;
    let devices = Directory::cover(Path::new("/dev"))?;
    devices.add("kfd", "", 0o666)?;
    let lister = devices.add("wavegate/lsmod", "#!/bin/sh\necho 'amdgpu 1 0'\n", 0o755)?;
    if modules.is_dir() && !modules.join("amdgpu").exists() {
        Directory::cover(modules)?.add("amdgpu/initstate", "live\n", 0o644)?;
    }
    // 5.2 asks lsmod, which is mostly a link to a program of many names, and may not be there at all. The folder holds nothing else.
    if let Some(folder) = lister.parent() {
        command.env("PATH", listed(folder.as_os_str(), "PATH"));
    }
    Ok(())
}

/// Begins the process that looks at what the program has loaded. It is nobody's child by the time the program runs.
fn watch(library: &Path) {
    let Ok(exe) = std::env::current_exe() else { return };
    let process = std::process::id().to_string();
    let mut watcher = Command::new(exe);
    watcher.args(["run-watch", "--detach", &process]).arg(library).stdin(Stdio::null()).stdout(Stdio::null());
    // Without a watcher the program runs just as well.
    let _ = watcher.status();
}

/// Looks at what a program has loaded: the body of the hidden command `run-watch`.
pub(super) fn run_watch(args: &WatchArgs) -> anyhow::Result<ExitCode> {
    if args.detach {
        let mut again = Command::new(std::env::current_exe()?);
        again.args(["run-watch", &args.process.to_string()]).arg(&args.library);
        again.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn()?;
        return Ok(ExitCode::SUCCESS);
    }
    let ours = fs::metadata(&args.library)?.ino();
    let (maps, exe) = (format!("/proc/{}/maps", args.process), format!("/proc/{}/exe", args.process));
    let myself = fs::read_link("/proc/self/exe")?;
    let end = std::time::Instant::now() + WATCH;
    while std::time::Instant::now() < end {
        std::thread::sleep(LOOK_EVERY);
        // Until it has become the program it is still us, with no library at all. One that is gone has nothing to tell.
        let Ok(program) = fs::read_link(&exe) else { break };
        if program == myself {
            continue;
        }
        let Ok(text) = fs::read_to_string(&maps) else { break };
        match loaded(&text, ours) {
            Loaded::Ours => break,
            Loaded::Another(path) => {
                eprintln!(
                    "wavegate: {} has loaded {path} and not Wavegate's library: it is no tenant",
                    program.display()
                );
                break;
            }
            Loaded::Neither => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, PartialEq, Eq)]
enum Loaded<'a> {
    Ours,
    Another(&'a str),
    Neither,
}

/// Says which library of that name a process has, by its `maps`.
fn loaded(maps: &str, ours: u64) -> Loaded<'_> {
    let mut another = Loaded::Neither;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let inode = fields.nth(4).and_then(|inode| inode.parse::<u64>().ok());
        let Some(path) = fields.next() else { continue };
        if inode == Some(ours) {
            return Loaded::Ours;
        }
        if Path::new(path)
            .file_name()
            .and_then(OsStr::to_str)
            .is_some_and(|name| name.starts_with("libhsa-runtime64.so"))
        {
            another = Loaded::Another(path);
        }
    }
    another
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
7f01-7f02 r--p 00000000 08:01 11 /usr/lib/libc.so.6
7f03-7f04 r-xp 00000000 08:01 12 /opt/torch/lib/libhsa-runtime64.so
7f05-7f06 r-xp 00000000 08:01 13 /opt/wavegate/lib/wavegate/libhsa-runtime64.so.1
7f07-7f08 rw-p 00000000 00:00 0
";

    #[test]
    fn what_was_loaded_is_told_by_its_inode() {
        assert_eq!(loaded(MAPS, 13), Loaded::Ours);
        assert_eq!(loaded(MAPS, 99), Loaded::Another("/opt/wavegate/lib/wavegate/libhsa-runtime64.so.1"));
        assert_eq!(loaded("7f01-7f02 r--p 00000000 08:01 11 /usr/lib/libc.so.6\n", 13), Loaded::Neither);
    }

    #[test]
    fn without_a_library_both_places_are_named() {
        let error = find_library(Path::new("/nowhere/bin/wavegate")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/lib/wavegate/libhsa-runtime64.so.1"), "{error}");
        assert!(error.contains("/nowhere/bin/libwavegate_capi.so"), "{error}");
    }

    #[test]
    fn a_list_keeps_what_was_in_it() {
        assert_eq!(listed(OsStr::new("/a"), "A_VARIABLE_OF_NOBODY"), "/a");
        assert!(listed(OsStr::new("/a"), "PATH").to_string_lossy().starts_with("/a:/"));
    }
}
