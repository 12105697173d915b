//! A private broker: `wavegate serve` with a directory of its own. Whatever happens, it is gone when its value is dropped.

use super::{Host, PATIENCE};
use crate::admin::Status;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// `wavegate serve` with a directory of its own.
pub struct PrivateBroker {
    child: Option<Child>,
    directory: PathBuf,
    program: PathBuf,
}

impl PrivateBroker {
    /// Starts it with this configuration and waits until it accepts tenants.
    pub fn start(config: &str, device: &str) -> Result<PrivateBroker> {
        let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        // A process may play on several stages.
        static STAGES: AtomicU32 = AtomicU32::new(0);
        let stage = STAGES.fetch_add(1, Ordering::Relaxed);
        let directory = base.join(format!("wavegate-private-{}-{stage}", std::process::id()));
        std::fs::create_dir(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let program = std::env::current_exe().context("the path of this program")?;
        let mut broker = PrivateBroker { child: None, directory, program };
        std::fs::write(broker.path("config.toml"), config).context("the private broker's configuration")?;
        let log = std::fs::File::create(broker.path("broker.log")).context("the private broker's log")?;
        let child = Command::new(&broker.program)
            .args(["serve", "--with-parent", "--device", device])
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

    /// Returns the broker's process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("broker.log")).unwrap_or_default()
    }

    /// Does something while `wavegate trace` records what the broker does.
    pub fn while_traced<T>(&self, something: impl FnOnce() -> Result<T>) -> Result<T> {
        let file = self.path("trace.pftrace");
        let mut child = Command::new(&self.program)
            .args(["trace", "--admin-socket"])
            .arg(self.path("admin.sock"))
            .arg("--output")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run wavegate trace")?;
        let until = Instant::now() + PATIENCE;
        // It makes the file when the broker has begun to tell.
        while !file.exists() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let done = something();
        signal(&child, rustix::process::Signal::INT)?;
        let status = child.wait()?;
        let traced = std::fs::remove_file(&file);
        let done = done?;
        if !status.success() {
            bail!("wavegate trace ended with {status}");
        }
        traced.context("the trace")?;
        Ok(done)
    }

    /// Waits until no session, worker or charge is left; returns how long that took, or what is left.
    pub fn wait_reclaimed(&self, limit: Duration) -> Result<Result<Duration, String>> {
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
        self.workers().len()
    }

    /// Returns the process ids of the workers.
    pub fn workers(&self) -> Vec<u32> {
        let pid = self.pid();
        let tasks = format!("/proc/{pid}/task/{pid}/children");
        let list = std::fs::read_to_string(tasks).unwrap_or_default();
        list.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }

    /// Stops the broker as an admin would, and returns what it left behind.
    pub fn stop(mut self) -> Result<Vec<String>> {
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

impl Host for PrivateBroker {
    fn program(&self) -> &Path {
        &self.program
    }

    fn socket(&self) -> PathBuf {
        self.path("tenant.sock")
    }

    fn status(&self) -> Result<Status> {
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
