//! What the daemon holds for one session: two processes to watch, a channel, a gate.
//!
//! Promise: everything of a session is in one value; dropping it closes all of it, and kills and reaps the worker. The channel never
//! makes the daemon wait: what the worker does not take is queued, up to [`OUTBOX_MAX`] messages.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use proto::limits::{MAX_FDS, MAX_MESSAGE, REQUESTS_IN_FLIGHT_MAX};
use proto::message::{EndReason, TenantAnswer, WorkerOrder, WorkerReport};
use proto::text::Text;
use proto::wire::{Message, Packet};
use proto::{RequestId, Violation};
use sys::event::EventFd;
use sys::memfd::MemFd;
use sys::peer::PidFd;
use sys::process::Child;
use sys::socket::{Channel, ReceiveError, SendError};

use super::figures::Followed;
use super::gate::Gate;
use super::words;

/// Most messages that wait for a worker to take them: an answer to all it may ask at a time, and as many events.
pub(super) const OUTBOX_MAX: usize = 2 * REQUESTS_IN_FLIGHT_MAX;

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    /// Whose it is.
    pub(super) tenant: proto::TenantName,
    /// Our descriptor of the tenant's socket, for the last word.
    pub(super) tenant_socket: Channel,
    /// The tenant's process, while it is watched.
    pub(super) tenant_process: Option<PidFd>,
    /// Its worker; `None` if that could not be started.
    pub(super) worker: Option<Worker>,
    /// What that has measured, as far as we have looked.
    pub(super) followed: Followed,
}

impl Session {
    /// Tells the tenant why its session is over. Best effort: it may be gone, or not reading.
    pub(super) fn tell_ending(&self, reason: EndReason, signal: u32) {
        let text = Text::truncated(&words::ending(reason, signal));
        let ending: TenantAnswer = proto::message::tenant::Ending { reason, signal, text }.into();
        // Whether this end of the socket waits was its worker's choice until now.
        let sent = self.tenant_socket.set_nonblocking(true).map_err(SendError::from);
        if let Err(error) = sent.and_then(|()| self.tenant_socket.send(ending.encode(RequestId::EVENT).as_bytes(), &[]))
        {
            tracing::debug!(%error, "a tenant could not be told why its session ended");
        }
    }
}

/// A worker process.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    /// `None` once the worker closed it.
    channel: Option<Channel>,
    outbox: VecDeque<(Packet, Option<MemFd>)>,
    /// Whether we wait for room in the channel.
    pub(super) full: bool,
    pub(super) gate: Gate,
    pub(super) bell: EventFd,
    /// The device it opened.
    pub(super) life: Life,
    /// Which of the workers' users it is.
    pub(super) slot: Option<u32>,
}

/// One life of a device: from its start or a loss to the next loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    /// Which device.
    pub(super) device: u32,
    /// Which of its lives.
    pub(super) generation: u32,
}

/// Why nothing more can be said to a worker.
#[derive(Debug, thiserror::Error)]
pub(super) enum Deaf {
    /// It lets messages pile up.
    #[error("the worker does not read what it is told")]
    Flooded,
    /// The channel failed.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// What came out of a worker's channel.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one at a time, on the stack of the loop")]
pub(super) enum Heard {
    /// A message and the descriptor that came with it, or how it broke the protocol.
    Said(RequestId, Result<WorkerReport, Violation>, Option<OwnedFd>),
    /// Nothing more at the moment.
    Nothing,
    /// The worker closed the channel, or the channel failed.
    Closed,
}

impl Worker {
    pub(super) fn new(
        child: Child,
        channel: Channel,
        gate: Gate,
        bell: EventFd,
        life: Life,
        slot: Option<u32>,
    ) -> Self {
        Self { child, channel: Some(channel), outbox: VecDeque::new(), full: false, gate, bell, life, slot }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns the descriptor that becomes readable when the process has ended.
    pub(super) fn process(&self) -> &PidFd {
        self.child.handle()
    }

    pub(super) fn channel(&self) -> Option<&Channel> {
        self.channel.as_ref()
    }

    /// Hears no more.
    pub(super) fn hang_up(&mut self) -> Option<Channel> {
        self.outbox.clear();
        self.channel.take()
    }

    /// Ends the process now.
    pub(super) fn kill(&self) {
        if let Err(error) = self.child.kill() {
            tracing::error!(%error, pid = self.pid(), "a worker could not be killed");
        }
    }

    /// Says something, with memory or without, now or as soon as there is room.
    pub(super) fn say(&mut self, request: RequestId, order: &WorkerOrder, memory: Option<MemFd>) -> Result<(), Deaf> {
        // A worker that hung up is about to exit, and what it is not told does not matter.
        if self.channel.is_none() {
            return Ok(());
        }
        if self.outbox.len() >= OUTBOX_MAX {
            return Err(Deaf::Flooded);
        }
        self.outbox.push_back((order.encode(request), memory));
        self.flush()
    }

    /// Sends what there is room for. [`Worker::full`] says whether something is left.
    pub(super) fn flush(&mut self) -> Result<(), Deaf> {
        let Some(channel) = &self.channel else { return Ok(()) };
        while let Some((packet, memory)) = self.outbox.front() {
            let fds: Vec<_> = memory.iter().map(MemFd::as_fd).collect();
            match channel.send(packet.as_bytes(), &fds) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(SendError::WouldBlock) => {
                    self.full = true;
                    return Ok(());
                }
                // The other half of this news comes as the end of its process.
                Err(SendError::Closed) => {
                    self.outbox.clear();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.full = false;
        Ok(())
    }

    /// Hears one message.
    pub(super) fn hear(&self) -> Heard {
        let Some(channel) = &self.channel else { return Heard::Nothing };
        match receive(channel) {
            Ok(packet) => match WorkerReport::decode(packet.bytes(), packet.fds.len()) {
                Ok((request, report)) => Heard::Said(request, Ok(report), packet.fds.into_iter().next()),
                Err(violation) => Heard::Said(RequestId::EVENT, Err(violation), None),
            },
            Err(NoPacket::Violation(violation)) => Heard::Said(RequestId::EVENT, Err(violation), None),
            Err(NoPacket::NotYet) => Heard::Nothing,
            Err(NoPacket::Closed) => Heard::Closed,
        }
    }
}

/// Ends a connection so that what was said on it last arrives: closing a Unix socket that holds unread messages tells the peer that the
/// connection was reset, before it tells what was said. What is read here to prevent that is thrown away unseen.
pub(super) fn part(channel: &Channel) {
    let ended = channel.set_nonblocking(true).and_then(|()| channel.shutdown());
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection could not be ended in order");
        return;
    }
    // Finite: after the shutdown nothing more can be sent to us.
    while !matches!(
        channel.receive(&mut [0; 64], 0),
        Err(ReceiveError::Closed | ReceiveError::WouldBlock | ReceiveError::Call(_))
    ) {}
}

/// A packet as it came. Its descriptors are closed with it, unless its kind carries them.
pub(super) struct Incoming {
    buffer: [u8; MAX_MESSAGE],
    len: usize,
    pub(super) fds: Vec<OwnedFd>,
}

impl Incoming {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

/// Why there is no packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPacket {
    /// There will be one.
    NotYet,
    /// There will be none.
    Closed,
    /// What there was broke the protocol before it was even looked at.
    Violation(Violation),
}

/// Receives one packet from a channel that does not wait.
pub(super) fn receive(channel: &Channel) -> Result<Incoming, NoPacket> {
    let mut buffer = [0; MAX_MESSAGE];
    match channel.receive(&mut buffer, MAX_FDS) {
        Ok(received) => Ok(Incoming { buffer, len: received.len, fds: received.fds }),
        Err(ReceiveError::WouldBlock) => Err(NoPacket::NotYet),
        Err(ReceiveError::Closed) => Err(NoPacket::Closed),
        Err(ReceiveError::TooLong { limit }) => Err(NoPacket::Violation(Violation::Long { got: limit + 1 })),
        Err(ReceiveError::TooManyFds { limit }) => {
            Err(NoPacket::Violation(Violation::Descriptors { kind: 0, got: limit + 1, want: 0 }))
        }
        Err(ReceiveError::LostFds | ReceiveError::UnknownControl) => {
            Err(NoPacket::Violation(Violation::DescriptorsTruncated))
        }
        Err(ReceiveError::Call(error)) => {
            tracing::warn!(%error, "a connection failed");
            Err(NoPacket::Closed)
        }
    }
}
