//! A private broker in a directory of its own.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use client::{Client, ConnectError};
use serde_json::Value;
use sys::clock::Deadline;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the deadline of a wait.
pub(crate) fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

/// Waits until `done` gives something.
pub(crate) fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = done() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// A broker; killed and cleaned up when dropped.
pub(crate) struct Broker {
    pub(crate) process: Child,
    directory: PathBuf,
}

impl Broker {
    /// Starts a broker for the tenants of this configuration. `UID` in it becomes our own user.
    pub(crate) fn start(config: &str) -> Broker {
        Broker::start_on("soft:cus=2,vram=1GiB", config)
    }

    /// The same on any device.
    pub(crate) fn start_on(device: &str, config: &str) -> Broker {
        Broker::start_with(device, config, &[])
    }

    /// The same with more arguments; `DIRECTORY` in one becomes the broker's. What it prints is the file `out` there.
    pub(crate) fn start_with(device: &str, config: &str, arguments: &[&str]) -> Broker {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("wg-broker-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let uid = rustix::process::geteuid().as_raw().to_string();
        std::fs::write(directory.join("wavegate.toml"), config.replace("UID", &uid)).unwrap();
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let out = std::fs::File::create(directory.join("out")).unwrap();
        let arguments = arguments.iter().map(|a| a.replace("DIRECTORY", directory.to_str().unwrap()));
        let process = wavegate()
            .args(["serve", "--device", device, "--config"])
            .arg(directory.join("wavegate.toml"))
            .arg("--socket")
            .arg(directory.join("tenant.sock"))
            .arg("--admin-socket")
            .arg(directory.join("admin.sock"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(log)
            .spawn()
            .unwrap();
        let broker = Broker { process, directory };
        eventually("the broker serves", || broker.socket().exists().then_some(()));
        eventually("the broker answers", || broker.try_ask(&["status"]).ok());
        broker
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("tenant.sock")
    }

    /// Returns the path of a file in the broker's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.directory.join("admin.sock")
    }

    /// Becomes a tenant.
    pub(crate) fn connect(&self, tenant: &str) -> Result<Client, ConnectError> {
        Client::connect(&self.socket(), Some(tenant))
    }

    /// Runs a command for administrators; returns what it prints, or what it complains.
    pub(crate) fn try_ask(&self, command: &[&str]) -> Result<String, String> {
        let output = wavegate().args(command).arg("--admin-socket").arg(self.admin_socket()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    pub(crate) fn ask(&self, command: &[&str]) -> String {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ask(&["status", "--json"])).unwrap()
    }

    /// Returns what the status says of a tenant.
    pub(crate) fn tenant(&self, name: &str) -> Value {
        let status = self.status();
        let tenants = status["tenants"].as_array().unwrap();
        tenants.iter().find(|t| t["name"] == name).cloned().unwrap_or_else(|| panic!("no {name}: {tenants:?}"))
    }

    /// Returns the worker's process of a session.
    pub(crate) fn worker_of(&self, client: &Client) -> u32 {
        let status = self.status();
        let sessions = status["sessions"].as_array().unwrap();
        let session = sessions.iter().find(|s| s["session"] == client.session().0).expect("the session");
        u32::try_from(session["worker_pid"].as_u64().unwrap()).unwrap()
    }

    /// Waits until no session is left, and checks that nothing of one is either: no memory, no worker, no descriptor too many.
    pub(crate) fn check_nothing_left(&self, descriptors_before: usize) {
        eventually("the sessions end", || self.status()["sessions"].as_array().unwrap().is_empty().then_some(()));
        assert_eq!(self.status()["vram_used_bytes"], 0);
        assert!(self.workers().is_empty());
        // The connection of the command that asks may still be open on the broker's side.
        eventually("descriptors are closed", || (self.descriptors() <= descriptors_before).then_some(()));
    }

    /// Returns how many descriptors the broker has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    /// Returns the broker's children.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let pid = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Sends the broker a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.process.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until the broker has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the broker ends", || self.process.try_wait().unwrap())
    }

    /// Returns the sockets and locks that are left.
    pub(crate) fn files_left(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".sock")).collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the broker's log:\n{}", self.log());
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Returns the program, in an environment that says nothing of brokers.
pub(crate) fn wavegate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wavegate"));
    for variable in ["WAVEGATE_SOCKET", "WAVEGATE_TENANT", "WAVEGATE_ADMIN_SOCKET", "WAVEGATE_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// Returns whether a process exists and is no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in parentheses and may contain some itself.
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
