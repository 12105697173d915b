//! What can go wrong, and whose doing it is.
//!
//! [`Denial`]: asked for too much; carry on. [`Fault`]: the tenant's own kernel. [`End`]: the session is over, and why.

use std::fmt;

use proto::Violation;
use proto::ids::BadName;
use proto::message::tenant::{Denied, Ending};
use proto::message::{DenyCode, EndReason, Fault, RefuseCode};
use sys::CallFailed;
use sys::arena::ArenaError;
use sys::mapping::OutOfBounds;
use sys::memfd::MemoryError;

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Why, for programs.
    pub reason: EndReason,
    /// The signal that ended the worker, or 0.
    pub signal: u32,
    /// More about it, for people; may be empty.
    pub text: String,
}

impl End {
    pub(crate) fn of(reason: EndReason, text: &str) -> Self {
        Self { reason, signal: 0, text: text.to_owned() }
    }

    /// The connection closed without a last word. As long as broker or worker lives it says one, so both are gone.
    pub(crate) fn silence() -> Self {
        Self::of(EndReason::BrokerDied, "")
    }
}

impl From<Ending> for End {
    fn from(said: Ending) -> Self {
        Self { reason: said.reason, signal: said.signal, text: said.text.as_str().to_owned() }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, next) = match self.reason {
            EndReason::Goodbye => ("it was ended by this program", "connect again"),
            EndReason::TenantDied => {
                ("the broker saw this program's process end", "connect from the process that works")
            }
            EndReason::WorkerDied => ("its worker died", "connect again, and report it if it happens twice"),
            EndReason::BrokerDied => ("the broker died", "start `wavegate serve` and connect again"),
            EndReason::TenantViolation => ("this program broke the protocol", "use client and broker of one release"),
            EndReason::WorkerViolation => ("its worker broke the protocol", "report it: that is a bug of Wavegate"),
            EndReason::Runaway => {
                ("a kernel ran longer than allowed", "split it, or ask for a longer max_dispatch_time")
            }
            EndReason::PreemptTimeout => ("the device did not stop in time", "connect again, with shorter kernels"),
            EndReason::Killed => ("an administrator ended it", "ask them"),
            EndReason::TenantRemoved => ("an administrator removed the tenant", "ask them"),
            EndReason::DeviceLost => ("the device is gone", "connect again when it is back"),
            EndReason::Shutdown => ("the broker shut down", "connect again when it runs"),
            EndReason::Faulted => {
                ("a fault of its program stopped all its queues", "connect again, with the program mended")
            }
            EndReason::StartFailed => ("its worker did not start", "look at the broker's log"),
        };
        write!(f, "the session is over: {what}")?;
        if self.signal != 0 {
            write!(f, " (signal {})", self.signal)?;
        }
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        write!(f, "; {next}")
    }
}

impl std::error::Error for End {}

/// A request that was not granted. Nothing has changed, and the session goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Why, for programs.
    pub code: DenyCode,
    /// What was asked for, in the unit of the limit.
    pub asked: u64,
    /// The limit, or 0 where there is none.
    pub limit: u64,
    /// What of the limit is in use.
    pub used: u64,
    /// Why and what to do, for people.
    pub text: String,
}

impl From<Denied> for Denial {
    fn from(said: Denied) -> Self {
        let Denied { code, asked, limit, used, text } = said;
        Self { code, asked, limit, used, text: text.as_str().to_owned() }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "denied ({}): {}", self.code, self.text)?;
        if self.limit != 0 {
            write!(f, " [asked {}, limit {}, in use {}]", self.asked, self.limit, self.used)?;
        }
        Ok(())
    }
}

impl std::error::Error for Denial {}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens at the socket, or we may not connect to it.
    #[error(transparent)]
    Socket(#[from] CallFailed),
    /// The tenant asked for cannot exist.
    #[error("{0}")]
    Name(BadName),
    /// The broker does not admit us.
    #[error("the broker refuses ({code}): {text}")]
    Refused {
        /// Why, for programs.
        code: RefuseCode,
        /// Why and what to do, for people.
        text: String,
    },
    /// The session ended before it began.
    #[error(transparent)]
    Ended(#[from] End),
    /// What answered does not speak our protocol.
    #[error("what answers at the socket is no broker of this release: {0}")]
    Protocol(Violation),
    /// The session page or the arena cannot be mapped.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// There are no addresses left for the arena.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// The thread that listens to the worker cannot be started.
    #[error("cannot start the thread that listens to the worker: {0}; raise the process limit (`ulimit -u`)")]
    Thread(std::io::Error),
}

/// Why a call did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It was not granted; the session goes on.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The session is over.
    #[error(transparent)]
    Ended(#[from] End),
    /// The queue stopped because of a kernel or packet of this program.
    #[error("{}; make another queue, and mend the kernel", words(.0))]
    Fault(Box<Fault>),
    /// This process is a forked child of the one that connected.
    #[error("this process was forked from the one that connected; connect again to have a session of its own")]
    Forked,
    /// The arena has no room.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// What came cannot be mapped.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The memory cannot be mapped by this process: it is reached by copies only.
    #[error("this memory lives on the device and cannot be mapped here; copy through a host buffer")]
    NotMapped,
    /// An access outside a buffer.
    #[error("outside the buffer: {0}")]
    Bounds(OutOfBounds),
    /// An argument that no worker would accept either.
    #[error("{what} cannot be {value}; {next}")]
    Argument {
        /// Which argument.
        what: &'static str,
        /// Its value.
        value: u64,
        /// What to do.
        next: &'static str,
    },
    /// The kernel refused to sleep or wake, which does not happen.
    #[error(transparent)]
    Call(#[from] CallFailed),
}

impl From<OutOfBounds> for ClientError {
    fn from(error: OutOfBounds) -> Self {
        Self::Bounds(error)
    }
}

/// Why a wait ended without what was waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The deadline passed.
    #[error("the signal is still {value} at the deadline; wait longer, or look whether its packet was submitted")]
    TimedOut {
        /// Its value.
        value: i64,
    },
    /// The session is over, so nothing will change the signal any more.
    #[error(transparent)]
    Ended(#[from] End),
    /// The queue that should have changed it stopped.
    #[error("{}; make another queue, and mend the kernel", words(.0))]
    Fault(Box<Fault>),
    /// The kernel refused to sleep, which does not happen.
    #[error(transparent)]
    Call(#[from] CallFailed),
}

/// Says where a queue stopped, and why, as exactly as its device tells.
fn words(fault: &Fault) -> String {
    let Fault { kind, queue, packet, address, pc, kernel, detail } = fault;
    let (kernel, address, pc) = (kernel.as_str(), address.0, pc.0);
    let place =
        format!("queue {queue}: {kind} in packet {packet} (kernel {kernel:?}, address {address:#x}, pc {pc:#x})");
    if detail.is_empty() { place } else { format!("{place}: {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_says_what_happened_and_what_next() {
        let mut seen = std::collections::BTreeSet::new();
        for &reason in EndReason::ALL {
            let text = End::of(reason, "").to_string();
            assert!(text.starts_with("the session is over: ") && text.contains("; "), "{text}");
            assert!(seen.insert(text), "{reason} reads like another reason");
        }
        let died = End { reason: EndReason::WorkerDied, signal: 9, text: String::new() };
        assert!(died.to_string().contains("its worker died (signal 9)"));
    }
}
