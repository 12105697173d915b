//! Asking the daemon: one connection, one line there, one line back.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use clap::Args;

use crate::admin::{Answer, Failure, Reply, Request};
use crate::config::paths::Socket;

/// Where the daemon is.
#[derive(Args)]
pub(super) struct AdminSocket {
    /// The broker's admin socket [default: the user's own broker if there is one, else /run/wavegate/admin.sock].
    #[arg(long, env = "WAVEGATE_ADMIN_SOCKET", value_name = "PATH")]
    admin_socket: Option<PathBuf>,
}

/// Why the daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// There is no daemon.
    #[error("no broker at {}: {source}; start one with `wavegate serve`, or name its socket with --admin-socket", .path.display())]
    Nobody {
        /// Where we looked.
        path: PathBuf,
        /// What was there instead.
        source: std::io::Error,
    },
    /// We may not connect.
    #[error("may not connect to {}; run this as root or as the user who runs the broker", .path.display())]
    NotPermitted {
        /// Where.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the broker at {} did not answer: {source}; see its log", .path.display())]
    Broken {
        /// Where.
        path: PathBuf,
        /// How.
        source: std::io::Error,
    },
    /// The answer is none: another version, or something else listens there.
    #[error("what answered at {} is not a broker of this version: {source}", .path.display())]
    NoAnswer {
        /// Where.
        path: PathBuf,
        /// What was wrong.
        source: serde_json::Error,
    },
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] Failure),
}

impl AdminSocket {
    /// Asks for something and returns the reply.
    pub(super) fn ask(&self, request: &Request) -> Result<Reply, AskError> {
        self.converse(request).map(|(reply, _)| reply)
    }

    /// Makes a request that more follows on than an answer, and returns the connection.
    pub(super) fn open(&self, request: &Request) -> Result<BufReader<UnixStream>, AskError> {
        self.converse(request).map(|(_, stream)| stream)
    }

    fn converse(&self, request: &Request) -> Result<(Reply, BufReader<UnixStream>), AskError> {
        let path = self.admin_socket.clone().unwrap_or_else(|| Socket::Admin.to_connect());
        let mut stream = UnixStream::connect(&path).map_err(|source| match source.kind() {
            ErrorKind::PermissionDenied => AskError::NotPermitted { path: path.clone() },
            _ => AskError::Nobody { path: path.clone(), source },
        })?;
        let broken = |source| AskError::Broken { path: path.clone(), source };
        let mut line = serde_json::to_string(request).map_err(|e| broken(e.into()))?;
        line.push('\n');
        // If it hung up on us it may have said why, so the answer is read in any case.
        let sent = stream.write_all(line.as_bytes());
        let mut answer = String::new();
        let mut stream = BufReader::new(stream);
        let read = stream.read_line(&mut answer);
        if answer.is_empty() {
            sent.map_err(broken)?;
            read.map_err(broken)?;
            return Err(broken(ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str(&answer).map_err(|source| AskError::NoAnswer { path, source })? {
            Answer::Ok(reply) => Ok((reply, stream)),
            Answer::Error(failure) => Err(failure.into()),
        }
    }
}
