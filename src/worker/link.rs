//! The worker's connection to the broker: charges asked for and given back, orders, and what the tenant may have.
//!
//! One thread listens ([`Link::listen`]) and never waits for the others, so an answer always arrives. Whoever asks waits for its answer here;
//! when the broker is gone everybody is told so at once.

use proto::limits::{MAX_FDS, MAX_MESSAGE};
use proto::message::worker::{
    Backing, ChargeDenied, ChargeKind, ChargeRequest, JoinCharge, Leaving, Partition, ReleaseCharge, SessionLimits,
    ShareCharge, UsageChanged, WithdrawCharge,
};
use proto::message::{EndReason, WorkerOrder, WorkerReport};
use proto::text::Text;
use proto::wire::Message;
use proto::{Bytes, ChargeId, PartitionId, RequestId, ShareId, TenantName, Violation};
use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use sys::memfd::MemFd;
use sys::socket::{Channel, ReceiveError};

/// Something the broker has pinned for the session. Give it back with [`Link::release`], after everything of it is unmapped and closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Charge {
    id: ChargeId,
    /// What of it counts here; what is shared is counted by the broker.
    counts: Usage,
    pub(super) bytes: u64,
}

/// Why nothing was pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoCharge {
    /// A limit.
    Denied(Over),
    /// There is no broker any more, or what it sent cannot be used. The session is about to end.
    BrokerGone,
}

/// Which limit, in the numbers of [`ChargeDenied`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) code: proto::message::DenyCode,
    pub(super) asked: u64,
    pub(super) limit: u64,
    pub(super) used: u64,
}

/// What the tenant uses over all its sessions, as far as is known here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) vram: u64,
    pub(super) host: u64,
}

impl Usage {
    fn of(kind: ChargeKind, bytes: u64) -> Usage {
        match kind {
            ChargeKind::Vram | ChargeKind::Code | ChargeKind::SaveArea | ChargeKind::Scratch => {
                Usage { vram: bytes, host: 0 }
            }
            ChargeKind::Host | ChargeKind::Kernarg | ChargeKind::Signals | ChargeKind::Queue => {
                Usage { vram: 0, host: bytes }
            }
        }
    }
}

enum Answer {
    Granted(ChargeId, Bytes, OwnedFd),
    Noted(ChargeId, Bytes),
    Shared(ShareId),
    Denied(ChargeDenied),
}

struct Books {
    last: u32,
    /// Requests that wait, with what they are for if it counts here, and their answers once they came.
    open: HashMap<u32, (Option<ChargeKind>, Option<Answer>)>,
    gone: bool,
    limits: SessionLimits,
    usage: Usage,
}

pub(super) struct Link {
    channel: Channel,
    books: Mutex<Books>,
    answered: Condvar,
}

/// What an order is to the rest of the worker.
pub(super) enum Heard {
    /// Nothing, or it was dealt with here.
    Nothing,
    /// The session shall use the compute units of another partition.
    Move(PartitionId, MemFd),
    /// The session shall end.
    End(EndReason, String),
}

impl Link {
    pub(super) fn new(channel: Channel, limits: SessionLimits) -> Link {
        let books = Books { last: 0, open: HashMap::new(), gone: false, limits, usage: Usage::default() };
        Link { channel, books: Mutex::new(books), answered: Condvar::new() }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something that has no answer. A broker that is gone does not hear it; the listening thread knows.
    pub(super) fn say(&self, report: impl Into<WorkerReport>) {
        let _ = self.channel.send(report.into().encode(RequestId::EVENT).as_bytes(), &[]);
    }

    /// Says the last word.
    pub(super) fn leave(&self, reason: EndReason, text: &str) {
        self.say(Leaving { reason, text: Text::truncated(text) });
    }

    /// Takes note of what the session may have.
    pub(super) fn set_limits(&self, limits: SessionLimits) {
        self.books().limits = limits;
    }

    /// Returns what the session may have, and what the tenant uses.
    pub(super) fn limits(&self) -> (SessionLimits, Usage) {
        let books = self.books();
        (books.limits, books.usage)
    }

    /// Has memory pinned: charged, created by the broker, sealed, all zero.
    pub(super) fn charge_memory(&self, kind: ChargeKind, bytes: u64) -> Result<(Charge, MemFd), NoCharge> {
        let request = ChargeRequest { kind, backing: Backing::Memfd, bytes: Bytes(bytes) };
        granted(self.ask(Some(kind), request, None)?, |bytes| Usage::of(kind, bytes))
    }

    /// Offers the memory of a charge to the tenant's other sessions, or to another tenant, to read or to write; returns what it is offered by.
    pub(super) fn share(
        &self,
        charge: &Charge,
        memory: &MemFd,
        tenant: Option<TenantName>,
        write: u32,
    ) -> Result<ShareId, NoCharge> {
        match self.ask(None, ShareCharge { charge: charge.id, tenant, write }, Some(memory.as_fd()))? {
            Answer::Shared(share) => Ok(share),
            Answer::Denied(denied) => Err(denied.into()),
            Answer::Granted(..) | Answer::Noted(..) => Err(NoCharge::BrokerGone),
        }
    }

    /// Offers the memory of a charge to the tenant's other sessions no more.
    pub(super) fn withdraw(&self, charge: &Charge) {
        self.say(WithdrawCharge { charge: charge.id });
    }

    /// Joins memory that another session offers.
    pub(super) fn join(&self, share: ShareId, bytes: u64) -> Result<(Charge, MemFd), NoCharge> {
        granted(self.ask(None, JoinCharge { share, bytes: Bytes(bytes) }, None)?, |_| Usage::default())
    }

    /// Has an amount noted, without memory.
    pub(super) fn charge_amount(&self, kind: ChargeKind, bytes: u64) -> Result<Charge, NoCharge> {
        let request = ChargeRequest { kind, backing: Backing::Driver, bytes: Bytes(bytes) };
        match self.ask(Some(kind), request, None)? {
            Answer::Noted(id, Bytes(bytes)) => Ok(Charge { id, counts: Usage::of(kind, bytes), bytes }),
            Answer::Denied(denied) => Err(denied.into()),
            Answer::Granted(..) | Answer::Shared(_) => Err(NoCharge::BrokerGone),
        }
    }

    /// Gives a charge back.
    #[allow(clippy::needless_pass_by_value, reason = "a charge can be given back once")]
    pub(super) fn release(&self, charge: Charge) {
        let less = charge.counts;
        {
            let mut books = self.books();
            books.usage.vram = books.usage.vram.saturating_sub(less.vram);
            books.usage.host = books.usage.host.saturating_sub(less.host);
        }
        self.say(ReleaseCharge { charge: charge.id });
    }

    fn ask(
        &self,
        kind: Option<ChargeKind>,
        request: impl Into<WorkerReport>,
        with: Option<BorrowedFd<'_>>,
    ) -> Result<Answer, NoCharge> {
        let mut books = self.books();
        books.last = books.last.wrapping_add(1).max(1);
        let number = books.last;
        books.open.insert(number, (kind, None));
        drop(books);
        let fds: Vec<_> = with.into_iter().collect();
        if self.channel.send(request.into().encode(RequestId(number)).as_bytes(), &fds).is_err() {
            self.books().open.remove(&number);
            return Err(NoCharge::BrokerGone);
        }
        let mut books = self.books();
        loop {
            if matches!(books.open.get(&number), Some((_, Some(_)))) {
                // PANIC free: looked at a line ago, under the lock.
                return books.open.remove(&number).and_then(|(_, answer)| answer).ok_or(NoCharge::BrokerGone);
            }
            if books.gone {
                books.open.remove(&number);
                return Err(NoCharge::BrokerGone);
            }
            books = self.answered.wait(books).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Receives the next order and what came with it. `None` when the broker is gone or speaks nonsense.
    pub(super) fn receive(&self) -> Result<(RequestId, WorkerOrder, Vec<OwnedFd>), Deaf> {
        let mut packet = [0; MAX_MESSAGE];
        let received = self.channel.receive(&mut packet, MAX_FDS)?;
        let (request, order) = WorkerOrder::decode(&packet[..received.len], received.fds.len())?;
        Ok((request, order, received.fds))
    }

    /// Waits for the next order and deals with it as far as it is about charges and limits.
    pub(super) fn hear(&self) -> Heard {
        let (request, order, fds) = match self.receive() {
            Ok(heard) => heard,
            Err(deaf) => {
                self.books().gone = true;
                self.answered.notify_all();
                return Heard::End(EndReason::BrokerDied, deaf.to_string());
            }
        };
        let answer = match order {
            WorkerOrder::ChargeGranted(granted) => match fds.into_iter().next() {
                Some(fd) => Answer::Granted(granted.charge, granted.bytes, fd),
                None => return Heard::Nothing,
            },
            WorkerOrder::ChargeNoted(noted) => Answer::Noted(noted.charge, noted.bytes),
            WorkerOrder::ChargeShared(shared) => Answer::Shared(shared.share),
            WorkerOrder::ChargeDenied(denied) => Answer::Denied(denied),
            WorkerOrder::LimitsChanged(changed) => {
                self.set_limits(changed.limits);
                return Heard::Nothing;
            }
            WorkerOrder::UsageChanged(UsageChanged { vram_used, host_used, .. }) => {
                self.books().usage = Usage { vram: vram_used.0, host: host_used.0 };
                return Heard::Nothing;
            }
            WorkerOrder::Stop(stop) => return Heard::End(stop.reason, String::new()),
            WorkerOrder::Partition(Partition { partition, bytes }) => {
                let size = usize::try_from(bytes.0).unwrap_or(0);
                return match fds.into_iter().next().map(|fd| MemFd::adopt(fd, size)) {
                    Some(Ok(memory)) => Heard::Move(partition, memory),
                    Some(Err(error)) => Heard::End(EndReason::StartFailed, error.to_string()),
                    None => Heard::Nothing,
                };
            }
            WorkerOrder::Start(_) => return Heard::Nothing,
        };
        let mut books = self.books();
        let Books { open, usage, .. } = &mut *books;
        // An answer nobody waits for is our own bug; whatever came with it is closed here.
        if let Some((kind, slot)) = open.get_mut(&request.0) {
            if let (Some(kind), Answer::Granted(_, bytes, _) | Answer::Noted(_, bytes)) = (*kind, &answer) {
                let more = Usage::of(kind, bytes.0);
                usage.vram = usage.vram.saturating_add(more.vram);
                usage.host = usage.host.saturating_add(more.host);
            }
            *slot = Some(answer);
        }
        drop(books);
        self.answered.notify_all();
        Heard::Nothing
    }
}

/// Takes memory that was granted.
fn granted(answer: Answer, counts: impl FnOnce(u64) -> Usage) -> Result<(Charge, MemFd), NoCharge> {
    match answer {
        Answer::Granted(id, Bytes(bytes), fd) => match MemFd::adopt(fd, usize::try_from(bytes).unwrap_or(0)) {
            Ok(memory) => Ok((Charge { id, counts: counts(bytes), bytes }, memory)),
            // Our own broker sent something else: nothing it says can be relied on.
            Err(_) => Err(NoCharge::BrokerGone),
        },
        Answer::Denied(denied) => Err(denied.into()),
        Answer::Noted(..) | Answer::Shared(_) => Err(NoCharge::BrokerGone),
    }
}

impl From<ChargeDenied> for NoCharge {
    fn from(denied: ChargeDenied) -> NoCharge {
        let ChargeDenied { code, asked, limit, used } = denied;
        NoCharge::Denied(Over { code, asked, limit, used })
    }
}

/// Why no order could be heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum Deaf {
    /// The broker has closed its end, or is gone.
    #[error("the broker's end of the connection is closed")]
    Closed,
    /// The broker is not of this release.
    #[error("the broker said something this worker does not understand: {0}")]
    Violation(#[from] Violation),
    /// The socket failed.
    #[error("cannot hear the broker: {0}")]
    Socket(ReceiveError),
}

impl From<ReceiveError> for Deaf {
    fn from(error: ReceiveError) -> Deaf {
        match error {
            ReceiveError::Closed => Deaf::Closed,
            other => Deaf::Socket(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::message::DenyCode;
    use proto::message::worker::{ChargeGranted, ChargeNoted};
    use proto::{Nanos, wire};
    use std::os::fd::AsFd;

    fn limits() -> SessionLimits {
        SessionLimits { vram: Bytes(1 << 20), host_memory: Bytes(1 << 20), queues: 1, max_dispatch: Nanos(0) }
    }

    fn request(broker: &Channel) -> (RequestId, ChargeRequest) {
        let mut packet = [0; MAX_MESSAGE];
        let received = broker.receive(&mut packet, 0).unwrap();
        match WorkerReport::decode(&packet[..received.len], 0).unwrap() {
            (id, WorkerReport::ChargeRequest(request)) => (id, request),
            other => panic!("not a request: {other:?}"),
        }
    }

    fn answer(broker: &Channel, to: RequestId, order: impl Into<WorkerOrder>, memory: Option<&MemFd>) {
        let packet: wire::Packet = order.into().encode(to);
        let fds: Vec<_> = memory.iter().map(|m| m.as_fd()).collect();
        broker.send(packet.as_bytes(), &fds).unwrap();
    }

    #[test]
    fn charges_are_counted_and_given_back() {
        let (ours, broker) = Channel::pair().unwrap();
        let link = Link::new(ours, limits());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (first, wanted) = request(&broker);
                assert_eq!(
                    (wanted.kind, wanted.backing, wanted.bytes),
                    (ChargeKind::Vram, Backing::Memfd, Bytes(8192))
                );
                let memory = MemFd::create("test", 8192).unwrap();
                answer(&broker, first, ChargeGranted { charge: ChargeId(7), bytes: Bytes(8192) }, Some(&memory));
                let (second, _) = request(&broker);
                let denied = ChargeDenied { code: DenyCode::Vram, asked: 1, limit: 2, used: 3 };
                answer(&broker, second, denied, None);
            });
            scope.spawn(|| {
                for _ in 0..2 {
                    assert!(matches!(link.hear(), Heard::Nothing));
                }
            });
            let (charge, memory) = link.charge_memory(ChargeKind::Vram, 8192).unwrap();
            assert_eq!((charge.bytes, memory.bytes(), link.limits().1.vram), (8192, 8192, 8192));
            let denied = Over { code: DenyCode::Vram, asked: 1, limit: 2, used: 3 };
            assert_eq!(link.charge_memory(ChargeKind::Vram, 1).unwrap_err(), NoCharge::Denied(denied));
            link.release(charge);
            assert_eq!(link.limits().1, Usage::default());
        });
    }

    #[test]
    fn a_broker_that_dies_keeps_nobody_waiting() {
        let (ours, broker) = Channel::pair().unwrap();
        let link = Link::new(ours, limits());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| link.charge_amount(ChargeKind::SaveArea, 4096));
            let (id, _) = request(&broker);
            answer(&broker, RequestId(id.0 + 9), ChargeNoted { charge: ChargeId(1), bytes: Bytes(4096) }, None);
            drop(broker);
            assert!(matches!(link.hear(), Heard::Nothing), "an answer nobody waits for");
            assert!(matches!(link.hear(), Heard::End(EndReason::BrokerDied, _)));
            assert_eq!(waits.join().unwrap(), Err(NoCharge::BrokerGone));
        });
        assert_eq!(link.charge_amount(ChargeKind::SaveArea, 4096), Err(NoCharge::BrokerGone));
    }
}
