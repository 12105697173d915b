//! A tenant process that does what it is told. Whatever happens, it is gone when its value is dropped.

use super::wire::{Go, Line, Part, Progress, Summary};
use super::{Host, PATIENCE};
use anyhow::{Context as _, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// A tenant process.
pub struct Actor {
    name: String,
    child: Child,
    lines: Receiver<Result<Line>>,
    progress: Vec<Progress>,
    done: Option<Summary>,
}

impl Actor {
    /// Starts it; it connects and gets ready by itself.
    pub fn start(broker: &impl Host, name: &str, part: Part) -> Result<Actor> {
        let mut child = Command::new(broker.program())
            .args(["played-tenant", "--part", &part.to_string()])
            .env(client::environment::SOCKET, broker.socket())
            .env(client::environment::TENANT, name)
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

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the tenant's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what it has told of its progress.
    pub fn progress(&self) -> &[Progress] {
        &self.progress
    }

    /// Waits until it has connected and has everything in place.
    pub fn wait_ready(&mut self) -> Result<()> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(Ok(Line::Ready { .. })) => Ok(()),
            Ok(Ok(other)) => bail!("tenant {} said {other:?} before it was ready", self.name),
            Ok(Err(error)) => Err(error.context(format!("tenant {}", self.name))),
            Err(_) => bail!("tenant {} did not get ready; its reason is above", self.name),
        }
    }

    /// Lets it play for `span` from now.
    pub fn go(&mut self, span: Duration) -> Result<()> {
        self.go_until(crate::clock::now_ns() + u64::try_from(span.as_nanos())?)
    }

    /// Lets it play until a time of CLOCK_MONOTONIC.
    pub fn go_until(&mut self, until_ns: u64) -> Result<()> {
        self.progress.clear();
        let order = serde_json::to_string(&Go { until_ns })?;
        let stdin = self.child.stdin.as_mut().context("the tenant's input")?;
        writeln!(stdin, "{order}").with_context(|| format!("tenant {}", self.name))
    }

    /// Takes in what it has said. Returns why it ended, if it did without a summary.
    pub fn listen(&mut self) -> Result<Option<String>> {
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

    /// Waits until its play is over, at most some time more than `span`.
    pub fn summary(&mut self, span: Duration) -> Result<Summary> {
        let until = Instant::now() + span + PATIENCE;
        loop {
            if let Some(done) = self.done.take() {
                return Ok(done);
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.take(line?),
                Err(_) => bail!("tenant {} gave no summary; its reason is above", self.name),
            }
        }
    }

    /// Waits for its summary, tells it to leave, and waits for its end.
    pub fn finish(mut self) -> Result<Summary> {
        let summary = self.summary(Duration::ZERO)?;
        self.leave()?;
        Ok(summary)
    }

    /// Tells it to leave and waits for its end.
    pub fn leave(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("tenant {} ended with {status}", self.name);
        }
        Ok(())
    }

    /// Kills it with SIGKILL; returns the dispatches it had told of.
    pub fn kill(mut self) -> Result<u64> {
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
