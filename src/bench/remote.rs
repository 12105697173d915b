//! What API remoting costs: a process that runs each kernel it is sent through a socket, and answers when it is done.
//!
//! It is the other way to share a device: every dispatch is a message. Here for comparison only.

use crate::device::soft::SoftConfig;
use crate::stage::work::LocalWork;
use anyhow::{Context as _, Result};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};

/// What the remote side is told.
#[derive(clap::Args, Debug)]
pub struct RemoteArgs {
    /// The device.
    #[arg(long)]
    device: SoftConfig,
}

/// Serves kernels on the socket that is standard input until it closes.
pub fn serve(args: &RemoteArgs) -> Result<ExitCode> {
    use std::os::fd::AsFd;
    let mut socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    if let Some(processors) = args.device.processors() {
        processors.stay()?;
    }
    let mut work = LocalWork::new(&args.device, super::dispatch::empty()?)?;
    let mut packet = [0u8; 64];
    while socket.read_exact(&mut packet).is_ok() {
        work.send()?;
        work.finish()?;
        socket.write_all(&packet[..8])?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The other process, as its client sees it.
pub(super) struct Remote {
    socket: Option<UnixStream>,
    child: Child,
}

impl Remote {
    pub(super) fn start(device: &SoftConfig) -> Result<Remote> {
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(std::env::current_exe()?)
            .args(["played-remote", "--device", &device.to_string()])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .context("cannot start the remote side")?;
        Ok(Remote { socket: Some(ours), child })
    }

    /// Sends one packet's worth and waits for the answer.
    pub(super) fn round_trip(&mut self) -> Result<()> {
        let socket = self.socket.as_mut().context("the remote side")?;
        socket.write_all(&[0; 64])?;
        socket.read_exact(&mut [0; 8]).context("the remote side ended")?;
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.socket = None;
        let _ = self.child.wait();
    }
}
