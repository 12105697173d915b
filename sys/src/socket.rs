//! One message at a time, with descriptors, between two processes that need not like each other.
//!
//! A [`Channel`] is one end of a Unix SOCK_SEQPACKET connection: messages keep their borders and their order.
//!
//! Promises:
//! - a received message is whole, at most as long as the caller's buffer, and brings at most as many descriptors as the
//!   caller asked for. Anything else is an error, and every descriptor that came with it has been closed;
//! - received descriptors are close-on-exec from the first moment (MSG_CMSG_CLOEXEC);
//! - a list of descriptors that the kernel cut short (MSG_CTRUNC: our own descriptor table was full, or the sender sent too
//!   many) is an error although the bytes arrived, so bytes and descriptors never disagree;
//! - no write raises SIGPIPE.
//!
//! Left to the caller: what the bytes mean, and dropping the channel after any [`ReceiveError`] but `WouldBlock`.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use thiserror::Error;

use crate::error::{CallFailed, During};

/// At most this many descriptors travel with one message in either direction.
pub const FDS_MAX: usize = 16;

const SPACE: usize = rustix::cmsg_space!(ScmRights(FDS_MAX));

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The other end is gone.
    #[error("the other end of the connection is closed; reconnect")]
    Closed,
    /// The other end does not read, and this channel does not wait.
    #[error("the other end does not take its messages; try again when the channel is writable, or drop it")]
    WouldBlock,
    /// An empty message means "closed" on this kind of socket, so it cannot be sent.
    #[error("an empty message cannot be sent; send at least one byte")]
    Empty,
    /// More descriptors than [`FDS_MAX`].
    #[error("{fds} descriptors do not fit one message; send at most {FDS_MAX}")]
    TooManyFds {
        /// How many were to be sent.
        fds: usize,
    },
    /// The kernel refused, for example because the message is too long for the socket's buffer.
    #[error(transparent)]
    Call(#[from] CallFailed),
}

/// Why no message was received. Descriptors that came with it are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReceiveError {
    /// The other end is gone, in order or not.
    #[error("the other end of the connection is closed; release what it held")]
    Closed,
    /// Nothing is there yet, and this channel does not wait.
    #[error("no message yet; try again when the channel is readable")]
    WouldBlock,
    /// The message is longer than the buffer.
    #[error("a message is longer than {limit} bytes; drop the peer that sent it")]
    TooLong {
        /// The size of the caller's buffer in bytes.
        limit: usize,
    },
    /// More descriptors than the caller takes.
    #[error("a message brings more than {limit} descriptors; drop the peer that sent it")]
    TooManyFds {
        /// How many the caller takes.
        limit: usize,
    },
    /// The kernel could not hand over all descriptors: the sender sent too many, or our table is full.
    #[error("descriptors of a message were lost; drop the peer, and raise the descriptor limit if it is one of ours")]
    LostFds,
    /// The message brings something that is neither bytes nor descriptors.
    #[error("a message brings control data of an unknown kind; drop the peer that sent it")]
    UnknownControl,
    /// The kernel refused.
    #[error(transparent)]
    Call(#[from] CallFailed),
}

/// A message that has arrived.
#[derive(Debug)]
pub struct Received {
    /// How many bytes of the buffer it fills; at least one.
    pub len: usize,
    /// The descriptors that came with it, in the order they were sent.
    pub fds: Vec<OwnedFd>,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Creates two ends connected to each other. Both block.
    pub fn pair() -> Result<(Self, Self), CallFailed> {
        let flags = SocketFlags::CLOEXEC;
        let (one, other) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .during("socketpair", "create a pair of sockets")?;
        Ok((Self(one), Self(other)))
    }

    /// Connects to whoever listens at `path`. The channel blocks.
    pub fn connect(path: &Path) -> Result<Self, CallFailed> {
        let socket = seqpacket()?;
        let address = SocketAddrUnix::new(path).during("connect", "use a path as the name of a socket")?;
        loop {
            match rustix::net::connect(&socket, &address) {
                Err(Errno::INTR) => {}
                answer => return answer.during("connect", "connect to a socket").map(|()| Self(socket)),
            }
        }
    }

    /// Takes over a descriptor our own side created as one end of a connection and handed on.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Gives up the channel and returns its descriptor, to hand it to another process.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Chooses whether sending and receiving wait. This belongs to the connection's end, not to the descriptor: every process that
    /// has a copy of it is affected.
    pub fn set_nonblocking(&self, nonblocking: bool) -> Result<(), CallFailed> {
        rustix::io::ioctl_fionbio(&self.0, nonblocking).during("ioctl(FIONBIO)", "make a socket wait or not")
    }

    /// Ends the connection in both directions, for every process that has a descriptor of this end: whoever waits to send or receive
    /// on either side sees it closed. Messages that arrived before can still be received.
    pub fn shutdown(&self) -> Result<(), CallFailed> {
        match rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both) {
            // The other end is gone already.
            Ok(()) | Err(Errno::NOTCONN) => Ok(()),
            Err(errno) => Err(CallFailed { purpose: "end a connection", call: "shutdown", errno }),
        }
    }

    /// Sends one message with descriptors; all of it or nothing.
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        if bytes.is_empty() {
            return Err(SendError::Empty);
        }
        if fds.len() > FDS_MAX {
            return Err(SendError::TooManyFds { fds: fds.len() });
        }
        loop {
            let mut space = [const { MaybeUninit::uninit() }; SPACE];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(SendError::TooManyFds { fds: fds.len() });
            }
            return match rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => Ok(()),
                Err(Errno::INTR) => continue,
                Err(Errno::PIPE | Errno::CONNRESET) => Err(SendError::Closed),
                Err(Errno::AGAIN) => Err(SendError::WouldBlock),
                Err(errno) => Err(CallFailed { purpose: "send a message", call: "sendmsg", errno }.into()),
            };
        }
    }

    /// Receives one message into `bytes`, with at most `fds_max` descriptors (no more than [`FDS_MAX`]).
    pub fn receive(&self, bytes: &mut [u8], fds_max: usize) -> Result<Received, ReceiveError> {
        let limit = bytes.len();
        // Room for the most that ever travels, so that one descriptor too many is recognised and closed by us. What does
        // not even fit here the kernel closes, and says so.
        let mut space = [const { MaybeUninit::uninit() }; SPACE];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = loop {
            let mut into = [IoSliceMut::new(bytes)];
            match rustix::net::recvmsg(&self.0, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(message) => break message,
                Err(Errno::INTR) => {}
                // A peer that ends with messages unread resets the connection.
                Err(Errno::CONNRESET) => return Err(ReceiveError::Closed),
                Err(Errno::AGAIN) => return Err(ReceiveError::WouldBlock),
                Err(errno) => {
                    return Err(CallFailed { purpose: "receive a message", call: "recvmsg", errno }.into());
                }
            }
        };
        // Own what came before judging any of it: every return below closes the descriptors.
        let mut fds = Vec::new();
        let mut unknown = false;
        for item in control.drain() {
            match item {
                RecvAncillaryMessage::ScmRights(list) => fds.extend(list),
                _ => unknown = true,
            }
        }
        if message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(ReceiveError::LostFds);
        }
        if message.flags.contains(ReturnFlags::TRUNC) {
            return Err(ReceiveError::TooLong { limit });
        }
        if unknown {
            return Err(ReceiveError::UnknownControl);
        }
        if fds.len() > fds_max {
            return Err(ReceiveError::TooManyFds { limit: fds_max });
        }
        if message.bytes == 0 {
            return Err(ReceiveError::Closed);
        }
        Ok(Received { len: message.bytes, fds })
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Creates a socket that is neither bound nor connected.
pub(crate) fn seqpacket() -> Result<OwnedFd, CallFailed> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .during("socket", "create a socket")
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
