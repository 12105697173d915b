//! The broker that the programs are tenants of, and running them.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::place::{self, Place};

/// What a broker of ours serves.
pub(super) struct Setup {
    /// Tells its files from those of others.
    pub(super) name: &'static str,
    /// Its configuration file.
    pub(super) config: String,
    /// The devices that are shared.
    pub(super) devices: Vec<String>,
    /// Host processors for the programs, as `taskset` wants them; `None`: where the host puts them.
    pub(super) processors: Option<String>,
    /// What the tree is shown of the test fixture: then the broker runs there, where its workers find AMD's runtime of that Debian.
    pub(super) fixture: Option<PathBuf>,
}

/// How long the broker may take to begin, and sessions to go.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at something that changes.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A broker of ours.
pub(super) struct Broker<'a> {
    place: &'a Place,
    child: Child,
    wavegate: PathBuf,
    folder: PathBuf,
    processors: Option<String>,
    /// Whether the child is a sandbox that has started the broker.
    sandboxed: bool,
}

impl<'a> Broker<'a> {
    /// Starts one and waits until it can be connected to.
    pub(super) fn start(place: &'a Place, setup: &Setup) -> Result<Broker<'a>> {
        // Short, because the path of a socket has at most 107 bytes.
        let folder = std::env::temp_dir().join(format!("wavegate-{}-{}", setup.name, std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let config = folder.join("broker.toml");
        fs::write(&config, &setup.config).with_context(|| format!("cannot write {}", config.display()))?;
        let log = fs::File::create(place.folder.join(format!("{}.log", setup.name)))
            .context("cannot write the broker's log")?;
        let wavegate = place.built.join("wavegate");
        let shown =
            setup.fixture.as_deref().map(|fixture| [(folder.as_path(), place::SOCKET), (fixture, place::FIXTURE)]);
        let (mut serve, at, sandboxed) = match shown.and_then(|shown| place.inside(&shown)) {
            Some((mut sandbox, inside)) => {
                sandbox.arg(Path::new(inside.wavegate).join("bin/wavegate"));
                (sandbox, PathBuf::from(inside.socket), true)
            }
            None => (Command::new(&wavegate), folder.clone(), false),
        };
        let child = serve
            .arg("serve")
            .args(setup.devices.iter().flat_map(|device| ["--device", device.as_str()]))
            .arg("--config")
            .arg(at.join("broker.toml"))
            .arg("--socket")
            .arg(at.join("tenant.sock"))
            .arg("--admin-socket")
            .arg(at.join("admin.sock"))
            .arg("--state")
            .arg(at.join("state.toml"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", wavegate.display()))?;
        let processors = setup.processors.clone();
        let mut broker = Broker { place, child, wavegate, folder, processors, sandboxed };
        let end = Instant::now() + PATIENCE;
        while !broker.folder.join("tenant.sock").exists() {
            let over = broker.child.try_wait().context("cannot wait for the broker")?;
            ensure!(
                over.is_none() && Instant::now() < end,
                "the broker does not begin; see interop/{}.log",
                setup.name
            );
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(broker)
    }

    /// Returns the folder with its sockets.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a command that runs a program of `tests` as a tenant.
    pub(super) fn tenant(&self, name: &str) -> Command {
        match self.place.inside(&[]) {
            Some((_, inside)) => self.command(Path::new(inside.programs).join(name), true),
            None => self.command(self.place.program(name), true),
        }
    }

    /// Returns a command that runs any program as a tenant, in the tree if there is one; `plain`: without a view of its own.
    pub(super) fn command(&self, program: impl AsRef<Path>, plain: bool) -> Command {
        let (mut command, socket) = match self.place.inside(&[(&self.folder, place::SOCKET)]) {
            Some((mut command, inside)) => {
                command.arg(Path::new(inside.wavegate).join("bin/wavegate"));
                (command, PathBuf::from(inside.socket))
            }
            None => (self.beside(&self.wavegate), self.folder.clone()),
        };
        command.arg("run").arg("--socket").arg(socket.join("tenant.sock"));
        if plain {
            command.arg("--plain");
        }
        command.arg("--").arg(program.as_ref());
        command
            .env_remove("ROCR_VISIBLE_DEVICES")
            .env_remove("HIP_VISIBLE_DEVICES")
            .env_remove("WAVEGATE_TENANT")
            .env_remove("WAVEGATE_ON_FAULT");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Returns a command that runs a program on the processors that are left beside the device's, and knows this broker's socket.
    pub(super) fn beside(&self, program: impl AsRef<Path>) -> Command {
        let mut command = match &self.processors {
            Some(list) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", list]).arg(program.as_ref());
                command
            }
            None => Command::new(program.as_ref()),
        };
        command.env("WAVEGATE_SOCKET", self.folder.join("tenant.sock"));
        command
    }

    /// Waits until there are this many sessions, or for long enough; returns how many there are.
    pub(super) fn wait_for_sessions(&self, wanted: usize) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.sessions();
            if found == Some(wanted) || Instant::now() >= end {
                return found.unwrap_or(usize::MAX);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Returns the number of the broker's process.
    fn server(&self) -> Result<String> {
        let child = self.child.id();
        if !self.sandboxed {
            return Ok(child.to_string());
        }
        let started = fs::read_to_string(format!("/proc/{child}/task/{child}/children"));
        let started = started.context("cannot see what the sandbox has started")?;
        started.split_whitespace().next().map(str::to_owned).context("the sandbox has started nothing")
    }

    fn sessions(&self) -> Option<usize> {
        let socket = self.folder.join("admin.sock");
        let told =
            Command::new(&self.wavegate).args(["session", "list", "--json", "--admin-socket"]).arg(socket).output();
        let list: serde_json::Value = serde_json::from_slice(&told.ok()?.stdout).ok()?;
        list.as_array().or_else(|| list.get("sessions")?.as_array()).map(Vec::len)
    }

    /// Ends it in order.
    pub(super) fn end(mut self) -> Result<()> {
        let over = self.child.try_wait().context("cannot wait for the broker")?;
        ensure!(over.is_none(), "the broker has ended by itself; its log is beside the programs, in interop/");
        let pid = self.server()?;
        let told = Command::new("kill").args(["-TERM", &pid]).status().context("cannot run kill")?;
        ensure!(told.success(), "the broker cannot be told to end ({told})");
        let status = self.child.wait().context("cannot wait for the broker")?;
        ensure!(status.success(), "the broker ended badly ({status}); its log is beside the programs, in interop/");
        Ok(())
    }
}

impl Drop for Broker<'_> {
    fn drop(&mut self) {
        // Whatever went wrong, nothing of it stays. After `end` there is nothing left of it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How a program ended, and what it said on either stream.
pub(super) struct Outcome {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) text: String,
    pub(super) took: Duration,
}

impl Outcome {
    /// Says how it ended.
    pub(super) fn end(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "nothing".to_owned(),
        }
    }

    /// Returns the last lines it said.
    pub(super) fn tail(&self) -> String {
        let lines: Vec<_> = self.text.lines().collect();
        lines[lines.len().saturating_sub(6)..].join(" | ")
    }
}

/// Runs a command to its end; one that takes too long is killed, and that is an error.
pub(super) fn run(mut command: impl std::borrow::BorrowMut<Command>, patience: Duration) -> Result<Outcome> {
    let command = command.borrow_mut();
    let (mut reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let second = writer.try_clone().context("cannot make a pipe")?;
    let begun = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(writer).stderr(second).spawn().context("cannot run the program")?;
    // The command keeps the ends that its child got, and the text ends when the last of them is closed.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let text = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for the program")? {
            break status;
        }
        if begun.elapsed() > patience {
            child.kill().context("cannot kill the program")?;
            child.wait().context("cannot wait for the program")?;
            let said = text.join().unwrap_or_default();
            bail!("it had not ended after {} s and was killed; it said {said:?}", patience.as_secs());
        }
        std::thread::sleep(LOOK_EVERY.min(Duration::from_micros(500)));
    };
    let took = begun.elapsed();
    let text = text.join().unwrap_or_default();
    Ok(Outcome { code: status.code(), signal: status.signal(), text, took })
}
