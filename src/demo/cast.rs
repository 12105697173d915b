//! The processes of the demo: the private broker and the tenants. Whatever happens, they are gone when their values are dropped.

use super::wire::{Line, Progress, Role, Summary};
use crate::admin::Status;
use anyhow::{Context as _, Result, anyhow, bail};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// Longest time anything may take that should take none.
const PATIENCE: Duration = Duration::from_secs(10);

/// `wavegate serve` with a directory of its own.
pub(super) struct PrivateBroker {
    child: Option<Child>,
    directory: PathBuf,
    program: PathBuf,
}

impl PrivateBroker {
    /// Starts it with this configuration and waits until it accepts tenants.
    pub(super) fn start(config: &str, device: &str) -> Result<PrivateBroker> {
        let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let directory = base.join(format!("wavegate-demo-{}", std::process::id()));
        std::fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let program = std::env::current_exe().context("the path of this program")?;
        let mut broker = PrivateBroker { child: None, directory, program };
        std::fs::write(broker.path("config.toml"), config).context("the private broker's configuration")?;
        let log = std::fs::File::create(broker.path("broker.log")).context("the private broker's log")?;
        let child = Command::new(&broker.program)
            .args(["serve", "--device", device])
            .arg("--config")
            .arg(broker.path("config.toml"))
            .arg("--socket")
            .arg(broker.socket())
            .arg("--admin-socket")
            .arg(broker.path("admin.sock"))
            .arg("--state")
            .arg(broker.path("state.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start the private broker")?;
        broker.child = Some(child);
        let until = Instant::now() + PATIENCE;
        while broker.status().is_err() {
            if let Some(status) = broker.child.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                bail!("the private broker ended with {status}: {}", broker.log());
            }
            if Instant::now() > until {
                bail!("the private broker does not answer: {}", broker.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(broker)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns the path of the tenants' socket.
    pub(super) fn socket(&self) -> PathBuf {
        self.path("tenant.sock")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("broker.log")).unwrap_or_default()
    }

    /// Returns what `wavegate status --json` says.
    pub(super) fn status(&self) -> Result<Status> {
        let output = Command::new(&self.program)
            .args(["status", "--json", "--admin-socket"])
            .arg(self.path("admin.sock"))
            .output()
            .context("cannot run wavegate status")?;
        if !output.status.success() {
            bail!("wavegate status: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Waits until no session, worker or charge is left; returns how long that took, or what is left.
    pub(super) fn wait_reclaimed(&self, limit: Duration) -> Result<Result<Duration, String>> {
        let begun = Instant::now();
        loop {
            let left = self.left(&self.status()?);
            if left.is_empty() {
                return Ok(Ok(begun.elapsed()));
            }
            if begun.elapsed() > limit {
                return Ok(Err(left.join(", ")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Names what the broker still holds for tenants although all of them are gone.
    fn left(&self, status: &Status) -> Vec<String> {
        let mut left = Vec::new();
        if !status.sessions.is_empty() {
            left.push(format!("{} sessions", status.sessions.len()));
        }
        for tenant in &status.tenants {
            let bytes = tenant.vram_used_bytes + tenant.host_memory_used_bytes;
            if bytes != 0 || tenant.queues_used != 0 {
                left.push(format!("{bytes} bytes and {} queues of {}", tenant.queues_used, tenant.name));
            }
        }
        let children = self.children();
        if children != 0 {
            left.push(format!("{children} worker processes"));
        }
        left
    }

    /// Counts the broker's child processes.
    fn children(&self) -> usize {
        let Some(pid) = self.child.as_ref().map(Child::id) else { return 0 };
        let tasks = format!("/proc/{pid}/task/{pid}/children");
        std::fs::read_to_string(tasks).map_or(0, |list| list.split_whitespace().count())
    }

    /// Stops the broker as an admin would, and returns what it left behind.
    pub(super) fn stop(mut self) -> Result<Vec<String>> {
        let Some(mut child) = self.child.take() else { return Ok(Vec::new()) };
        signal(&child, rustix::process::Signal::TERM)?;
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                return Ok(vec!["the broker itself: it did not end on SIGTERM".to_owned()]);
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut left = Vec::new();
        if !status.success() {
            left.push(format!("a broker that ended with {status}: {}", self.log()));
        }
        left.extend(
            [self.socket(), self.path("admin.sock")].iter().filter(|p| p.exists()).map(|p| p.display().to_string()),
        );
        Ok(left)
    }
}

impl Drop for PrivateBroker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Dropped on an error: the workers end with their broker.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) -> Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).context("a process id")?;
    rustix::process::kill_process(pid, signal).context("cannot signal a process of the demo")
}

/// A tenant process.
pub(super) struct Actor {
    name: String,
    child: Child,
    lines: Receiver<Result<Line>>,
    progress: Vec<Progress>,
    done: Option<Summary>,
}

impl Actor {
    /// Starts it; it connects and gets ready by itself.
    pub(super) fn start(broker: &PrivateBroker, name: &str, role: Role) -> Result<Actor> {
        let role = clap::ValueEnum::to_possible_value(&role).context("a role")?;
        let mut child = Command::new(&broker.program)
            .args(["demo-tenant", "--tenant", name, "--role", role.get_name(), "--socket"])
            .arg::<&Path>(&broker.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start tenant {name}"))?;
        let stdout = child.stdout.take().context("the tenant's output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let parsed = line.map_err(anyhow::Error::from).and_then(|text| Ok(serde_json::from_str(&text)?));
                if send.send(parsed).is_err() {
                    return;
                }
            }
        });
        Ok(Actor { name: name.to_owned(), child, lines, progress: Vec::new(), done: None })
    }

    /// Returns the tenant's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns what it has told of its progress.
    pub(super) fn progress(&self) -> &[Progress] {
        &self.progress
    }

    /// Waits until it has connected and has everything in place.
    pub(super) fn wait_ready(&mut self) -> Result<()> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(Ok(Line::Ready { .. })) => Ok(()),
            Ok(Ok(other)) => bail!("tenant {} said {other:?} before it was ready", self.name),
            Ok(Err(error)) => Err(error.context(format!("tenant {}", self.name))),
            Err(_) => bail!("tenant {} did not get ready; its reason is above", self.name),
        }
    }

    /// Lets it work for `span`.
    pub(super) fn go(&mut self, span: Duration) -> Result<()> {
        let stop = crate::clock::now_ns() + u64::try_from(span.as_nanos())?;
        let stdin = self.child.stdin.as_mut().context("the tenant's input")?;
        writeln!(stdin, "{stop}").with_context(|| format!("tenant {}", self.name))
    }

    /// Takes in what it has said. Returns why it ended, if it did without a summary.
    pub(super) fn listen(&mut self) -> Result<Option<String>> {
        loop {
            match self.lines.try_recv() {
                Ok(line) => self.take(line?),
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) if self.done.is_some() => return Ok(None),
                Err(TryRecvError::Disconnected) => return Ok(Some(self.child.wait()?.to_string())),
            }
        }
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Ready { .. } => {}
            Line::Progress(progress) => self.progress.push(progress),
            Line::Done(summary) => self.done = Some(summary),
        }
    }

    /// Waits for its summary and its end.
    pub(super) fn finish(mut self) -> Result<Summary> {
        let until = Instant::now() + PATIENCE;
        while self.done.is_none() {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.take(line?),
                Err(_) => bail!("tenant {} gave no summary; its reason is above", self.name),
            }
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("tenant {} ended with {status}", self.name);
        }
        self.done.take().ok_or_else(|| anyhow!("no summary"))
    }

    /// Kills it with SIGKILL; returns the dispatches it had told of.
    pub(super) fn kill(mut self) -> Result<u64> {
        self.child.kill()?;
        self.child.wait()?;
        self.listen()?;
        Ok(self.progress.last().map_or(0, |p| p.dispatches))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
