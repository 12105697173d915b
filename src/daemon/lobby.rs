//! Connections of tenants before they are sessions: each has some seconds to say one thing.
//!
//! Promises: the daemon reads exactly one packet of a tenant. At most [`WAITING_MAX`] connections wait, at most [`WAITING_PER_USER_MAX`] of one
//! user, so that nobody can keep others out by connecting and saying nothing; what is beyond waits in the kernel's queue or is
//! refused. A connection that says nothing for [`PATIENCE`] is closed.

use std::collections::BTreeMap;

use broker::{ConnectionId, Peer};
use proto::message::opening::Opening;
use proto::message::tenant::{Devices, Refused};
use proto::message::{RefuseCode, TenantAnswer};
use proto::text::Text;
use proto::wire::Message;
use proto::{Instant, Nanos, RequestId, Violation};
use sys::peer::PidFd;
use sys::socket::Channel;

use super::session::{NoPacket, part, receive};
use super::words;

/// Most connections that have not said anything yet.
pub(super) const WAITING_MAX: usize = 128;
/// Most of them of one user.
pub(super) const WAITING_PER_USER_MAX: usize = 32;
/// How long a connection may say nothing.
pub(super) const PATIENCE: Nanos = Nanos::from_millis(5_000);

/// A connection that is no session yet.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) channel: Channel,
    peer: sys::peer::Peer,
    deadline: Instant,
    /// What was wrong with what it said.
    violation: Option<Violation>,
    /// What it calls itself.
    command: String,
}

/// What a visitor said.
pub(super) struct Greeting {
    pub(super) peer: Peer,
    pub(super) opening: Result<Opening, Violation>,
}

/// All connections that are no sessions yet.
#[derive(Debug, Default)]
pub(super) struct Lobby {
    visitors: BTreeMap<ConnectionId, Visitor>,
    last: u64,
}

impl Lobby {
    /// Lets a connection in; `None` if it is gone, or its user has too many here.
    pub(super) fn enter(&mut self, now: Instant, channel: Channel) -> Option<ConnectionId> {
        let peer = match sys::peer::Peer::of(&channel) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::debug!(%error, "a connection ended before it began");
                return None;
            }
        };
        channel.set_nonblocking(true).ok()?;
        if self.visitors.values().filter(|v| v.peer.uid == peer.uid).count() >= WAITING_PER_USER_MAX {
            refuse(&channel, RefuseCode::BrokerFull, None);
            return None;
        }
        self.last += 1;
        let deadline = now.after(PATIENCE);
        let visitor = Visitor { channel, peer, deadline, violation: None, command: String::new() };
        self.visitors.insert(ConnectionId(self.last), visitor);
        Some(ConnectionId(self.last))
    }

    /// Returns whether no more may come in at the moment.
    pub(super) fn is_full(&self) -> bool {
        self.visitors.len() >= WAITING_MAX
    }

    /// Returns a visitor.
    pub(super) fn get(&self, id: ConnectionId) -> Option<&Visitor> {
        self.visitors.get(&id)
    }

    /// Hears a visitor: what it said, or that it is gone, or nothing yet.
    pub(super) fn hear(&mut self, id: ConnectionId) -> Result<Greeting, NoPacket> {
        let visitor = self.visitors.get_mut(&id).ok_or(NoPacket::NotYet)?;
        let opening = match receive(&visitor.channel) {
            Ok(packet) => Opening::decode(packet.bytes(), packet.fds.len()).map(|(_, opening)| opening),
            Err(NoPacket::Violation(violation)) => Err(violation),
            Err(other) => return Err(other),
        };
        visitor.violation = opening.as_ref().err().copied();
        if let Ok(Opening::Hello(hello)) = &opening {
            visitor.command = hello.command.as_str().to_owned();
        }
        // Asked for while the process is held by its handle, so that it is this one's.
        let cgroup = visitor.peer.cgroup().map_err(|error| {
            tracing::debug!(%error, "a connection ended before it was admitted");
            NoPacket::Closed
        })?;
        let sys::peer::Peer { pid, uid, gid, .. } = visitor.peer;
        Ok(Greeting { peer: Peer { pid, uid, gid, cgroup: cgroup.unwrap_or_default() }, opening })
    }

    /// Lets a visitor go, to become a session or to be dropped.
    pub(super) fn leave(&mut self, id: ConnectionId) -> Option<Visitor> {
        self.visitors.remove(&id)
    }

    /// Returns when the first visitor has waited too long. They are in the order in which they came.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.visitors.values().next().map(|v| v.deadline)
    }

    /// Returns a visitor that has waited too long.
    pub(super) fn overdue(&self, now: Instant) -> Option<ConnectionId> {
        self.visitors.iter().next().filter(|(_, v)| v.deadline <= now).map(|(id, _)| *id)
    }
}

impl Visitor {
    /// Tells the visitor that it is not admitted.
    pub(super) fn refuse(&self, code: RefuseCode) {
        refuse(&self.channel, code, self.violation);
    }

    /// Tells the visitor which devices it may use.
    pub(super) fn tell(&self, devices: Devices) {
        say(&self.channel, &devices.into());
    }

    /// Returns its process and what it calls itself.
    pub(super) fn who(&self) -> (u32, String) {
        (self.peer.pid, self.command.clone())
    }

    /// Gives up the visitor for what a session needs of it: its socket, which waits again as a new one does, and its process.
    pub(super) fn admit(self) -> Result<(Channel, PidFd), sys::CallFailed> {
        self.channel.set_nonblocking(false)?;
        Ok((self.channel, self.peer.handle))
    }
}

fn refuse(channel: &Channel, code: RefuseCode, violation: Option<Violation>) {
    let text = Text::truncated(&words::refusal(code, violation));
    say(channel, &Refused { code, text }.into());
}

/// Says the only word. Best effort: the peer may be gone, and a new socket has room for a packet.
fn say(channel: &Channel, answer: &TenantAnswer) {
    if let Err(error) = channel.send(answer.encode(RequestId::EVENT).as_bytes(), &[]) {
        tracing::debug!(%error, "a connection that is no session could not be answered");
    }
    part(channel);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_cannot_fill_the_lobby() {
        let mut lobby = Lobby::default();
        let mut far = Vec::new();
        for i in 0..WAITING_PER_USER_MAX + 3 {
            let (near, other) = Channel::pair().unwrap();
            assert_eq!(lobby.enter(Instant(i as u64), near).is_some(), i < WAITING_PER_USER_MAX);
            far.push(other);
        }
        let mut bytes = [0; MAX];
        let refused = far[WAITING_PER_USER_MAX].receive(&mut bytes, 0).unwrap().len;
        let answer = TenantAnswer::decode(&bytes[..refused], 0).unwrap().1;
        assert!(matches!(answer, TenantAnswer::Refused(Refused { code: RefuseCode::BrokerFull, .. })), "{answer:?}");
        assert_eq!(lobby.deadline(), Some(Instant(0).after(PATIENCE)));
        assert_eq!(lobby.overdue(Instant(PATIENCE.0)), Some(ConnectionId(1)));
        assert!(lobby.leave(ConnectionId(1)).is_some());
        assert_eq!(lobby.overdue(Instant(PATIENCE.0)), None);
    }

    const MAX: usize = proto::limits::MAX_MESSAGE;
}
