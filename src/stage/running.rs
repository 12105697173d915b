//! A broker that is running already, borrowed for a bench: it gets tenants and slices of ours and its own back.
//!
//! Promise: what was changed is changed back when the value is dropped, which is also what happens on an error. Changes go the way an administrator's go,
//! through `wavegate tenant` and `wavegate device`; so the slice, although it is what it was, counts as set live from then on and stands before the
//! configuration file's.

use super::Host;
use crate::admin::Status;
use crate::config::values::Span;
use anyhow::{Context as _, Result, bail};
use proto::Nanos;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running broker.
pub struct RunningBroker {
    program: PathBuf,
    admin: Option<PathBuf>,
    /// The tenants that it got from us.
    hired: Vec<String>,
    /// Its own slice, once it was changed.
    slice: Option<u64>,
}

impl RunningBroker {
    /// Borrows the broker at this admin socket, or at the usual one. It must divide one device, in slices of one length.
    pub fn borrow(admin: Option<PathBuf>) -> Result<RunningBroker> {
        let program = std::env::current_exe().context("the path of this program")?;
        let broker = RunningBroker { program, admin, hired: Vec::new(), slice: None };
        let status = broker.status()?;
        let [device] = &status.devices[..] else {
            bail!("the broker has {} devices; measure with one, or with a private broker", status.devices.len());
        };
        if device.partitions.iter().any(|p| p.pacing.is_some()) {
            bail!(
                "the broker chooses its slice itself; give it one with `wavegate device set --slice 5ms` and try again"
            );
        }
        if let Some(busy) = status.sessions.iter().find(|s| s.device != "idle") {
            bail!(
                "tenant {} is using the broker, so nobody would be alone on it; measure when it is idle",
                busy.tenant
            );
        }
        Ok(broker)
    }

    fn wavegate(&self, words: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.program);
        command.args(words);
        if let Some(path) = &self.admin {
            command.arg("--admin-socket").arg(path);
        }
        let output = command.output().with_context(|| format!("cannot run wavegate {}", words.join(" ")))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("{}", complaint.trim().trim_start_matches("wavegate: "));
        }
        Ok(output.stdout)
    }

    /// Adds tenants for this user, each with the same weight.
    pub fn hire(&mut self, names: &[String], vram: &str) -> Result<()> {
        let there: Vec<String> = self.status()?.tenants.iter().map(|t| t.name.to_string()).collect();
        let rule = format!("match=uid={}", rustix::process::getuid().as_raw());
        let new: Vec<&String> = names.iter().filter(|name| !self.hired.contains(name)).collect();
        for name in new {
            if there.contains(name) {
                bail!("the broker already has a tenant {name}; remove it with `wavegate tenant remove {name}`");
            }
            // First, because a change that could not be kept for the next start is an error and yet was made.
            self.hired.push(name.clone());
            self.wavegate(&["tenant", "set", name, &rule, "weight=100", &format!("vram={vram}"), "sessions=2"])?;
        }
        Ok(())
    }

    /// Gives the device another slice.
    pub fn set_slice(&mut self, slice_ns: u64) -> Result<()> {
        if self.slice.is_none() {
            self.slice = Some(self.status()?.slice_ns);
        }
        self.wavegate(&["device", "set", "--slice", &Span(Nanos(slice_ns)).to_string()])?;
        Ok(())
    }
}

impl Host for RunningBroker {
    fn program(&self) -> &Path {
        &self.program
    }

    fn socket(&self) -> PathBuf {
        // Beside the admin socket, unless the usual places are meant.
        let beside = self.admin.as_ref().map(|path| path.with_file_name("tenant.sock"));
        beside.unwrap_or_else(client::environment::socket)
    }

    fn status(&self) -> Result<Status> {
        Ok(serde_json::from_slice(&self.wavegate(&["status", "--json"])?)?)
    }
}

impl Drop for RunningBroker {
    fn drop(&mut self) {
        let undo = |words: &[&str]| {
            if let Err(error) = self.wavegate(words) {
                let words = words.join(" ");
                // Nobody may be there to read it, and that is no reason to stop.
                let _ = writeln!(
                    std::io::stderr(),
                    "wavegate: could not undo a change to the broker: {error:#}; do it with `wavegate {words}`"
                );
            }
        };
        if let Some(slice) = self.slice {
            undo(&["device", "set", "--slice", &Span(Nanos(slice)).to_string()]);
        }
        let there: Vec<String> = match self.status() {
            Ok(status) => status.tenants.iter().map(|t| t.name.to_string()).collect(),
            Err(_) => self.hired.clone(),
        };
        for name in self.hired.iter().filter(|name| there.contains(name)) {
            undo(&["tenant", "remove", name]);
        }
    }
}
