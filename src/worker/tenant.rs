//! The main thread of a worker: hears the tenant, answers it, tells it what its kernels met, and says the last word.
//!
//! Promises:
//! - nothing a tenant sends does anything but what [`Objects`] does with a well-formed request; anything else ends its session, at once and
//!   alone;
//! - it is the only thread that writes to the tenant's socket, and it never waits long for a tenant that does not read;
//! - at most [`REQUESTS_IN_FLIGHT_MAX`] requests wait here, and no more than [`Pace`] allows get through to the broker.

use super::objects::{No, Objects};
use super::pace::Pace;
use super::shared::Shared;
use crate::clock::now_ns;
use proto::limits::{MAX_MESSAGE, REQUESTS_IN_FLIGHT_MAX};
use proto::message::tenant::{AliasTouched, Denied, Done, Ending, QueueFault};
use proto::message::worker::FaultReport;
use proto::message::{DenyCode, EndReason, TenantAnswer, TenantRequest};
use proto::text::Text;
use proto::wire::Message;
use proto::{DeviceAddress, RequestId, Violation};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;
use sys::CallFailed;
use sys::clock::Deadline;
use sys::event::{Interest, Poller};
use sys::memfd::MemFd;
use sys::socket::{Channel, ReceiveError, SendError};

/// How long a tenant may take to make room for an answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

const TENANT: u64 = 0;
const ATTENTION: u64 = 1;

/// See the module.
pub(super) struct Tenant {
    channel: Channel,
    shared: Arc<Shared>,
    objects: Objects,
    poller: Poller,
    waiting: VecDeque<(RequestId, TenantRequest)>,
    pace: Pace,
}

/// Why the tenant is heard no more.
enum Over {
    /// It closed its end.
    Closed,
    Violation(Violation),
    /// It does not take its answers.
    Deaf,
}

impl Tenant {
    /// `channel` does not block.
    pub(super) fn new(channel: Channel, shared: Arc<Shared>, objects: Objects) -> Result<Tenant, CallFailed> {
        let poller = Poller::new()?;
        poller.add(&channel, TENANT, Interest::IN)?;
        poller.add(&shared.attention, ATTENTION, Interest::IN)?;
        Ok(Tenant { channel, shared, objects, poller, waiting: VecDeque::new(), pace: Pace::new() })
    }

    /// Serves the tenant until the session ends. Returns why it does.
    pub(super) fn serve(&mut self) -> (EndReason, String) {
        let mut ready = Vec::new();
        loop {
            // The count is taken before what it announces is looked at, so nothing announced later is missed.
            let _ = self.shared.attention.drain();
            self.tell_faults();
            self.tell_touches();
            if let Some(end) = self.shared.ended() {
                return end;
            }
            if let Err(over) = self.serve_one() {
                match over {
                    // Who leaves in order says so first.
                    Over::Closed => self.shared.end(EndReason::TenantDied, "the tenant is gone without a word"),
                    Over::Violation(violation) => self.shared.end(EndReason::TenantViolation, violation.to_string()),
                    Over::Deaf => self.shared.end(EndReason::TenantViolation, "the tenant does not take its answers"),
                }
                continue;
            }
            if self.waiting.is_empty()
                && let Err(error) = self.poller.wait(&mut ready, Deadline::NEVER)
            {
                self.shared.end(EndReason::WorkerDied, error.to_string());
            }
        }
    }

    /// Hears everything there is to hear, then answers the oldest request.
    fn serve_one(&mut self) -> Result<(), Over> {
        while let Some(request) = self.receive()? {
            if self.waiting.len() >= REQUESTS_IN_FLIGHT_MAX {
                return Err(Over::Violation(Violation::Flood));
            }
            self.waiting.push_back(request);
        }
        let Some((id, request)) = self.waiting.pop_front() else { return Ok(()) };
        let delay = self.pace.delay(now_ns());
        if delay > 0 {
            std::thread::sleep(Duration::from_nanos(delay));
        }
        if let TenantRequest::Goodbye(_) = request {
            self.answer(id, &Done {}.into(), None)?;
            self.shared.end(EndReason::Goodbye, "");
            return Ok(());
        }
        match self.objects.handle(request) {
            Ok((answer, memory)) => self.answer(id, &answer, memory.as_ref()),
            Err(No::Denied(denied)) => self.answer(id, &TenantAnswer::Denied(*denied), None),
            Err(No::Ending) => {
                let text = Text::truncated("the session is ending; connect again");
                let denied = Denied { code: DenyCode::Ending, asked: 0, limit: 0, used: 0, text };
                self.answer(id, &denied.into(), None)
            }
        }
    }

    fn receive(&self) -> Result<Option<(RequestId, TenantRequest)>, Over> {
        let mut packet = [0; MAX_MESSAGE];
        // A tenant never sends descriptors: whatever comes is closed, and the session with it.
        match self.channel.receive(&mut packet, 0) {
            Ok(received) => {
                let (id, request) = TenantRequest::decode(&packet[..received.len], 0).map_err(Over::Violation)?;
                // 0 marks events, so an answer to it would be none.
                let nameless = Violation::Value { field: "request", got: 0 };
                if id == RequestId::EVENT { Err(Over::Violation(nameless)) } else { Ok(Some((id, request))) }
            }
            Err(ReceiveError::WouldBlock) => Ok(None),
            Err(ReceiveError::Closed | ReceiveError::Call(_)) => Err(Over::Closed),
            Err(ReceiveError::TooLong { limit }) => Err(Over::Violation(Violation::Long { got: limit + 1 })),
            Err(ReceiveError::TooManyFds { .. } | ReceiveError::UnknownControl) => {
                Err(Over::Violation(Violation::Descriptors { kind: 0, got: 1, want: 0 }))
            }
            Err(ReceiveError::LostFds) => Err(Over::Violation(Violation::DescriptorsTruncated)),
        }
    }

    /// Sends one message, waiting a little for a tenant that does not read.
    fn answer(&self, id: RequestId, answer: &TenantAnswer, memory: Option<&MemFd>) -> Result<(), Over> {
        send(&self.channel, id, answer, memory.map(AsFd::as_fd), Deadline::after(ANSWER_PATIENCE))
    }

    fn tell_faults(&self) {
        for fault in self.shared.take_faults() {
            self.shared.link.say(FaultReport { fault: fault.clone() });
            // A tenant that is not there any more is noticed when it is heard next.
            let _ = self.answer(RequestId::EVENT, &QueueFault { fault }.into(), None);
        }
    }

    fn tell_touches(&self) {
        for address in self.shared.take_touches() {
            // A tenant that is not there any more is noticed when it is heard next.
            let _ = self.answer(RequestId::EVENT, &AliasTouched { at: DeviceAddress(address) }.into(), None);
        }
    }

    /// Says the last word, unless the tenant had it, and hangs up. Nothing is waited for.
    pub(super) fn hang_up(&self, reason: EndReason, text: &str) {
        if reason != EndReason::Goodbye {
            // Faults are told before the end they led to.
            self.tell_faults();
            let ending = Ending { reason, signal: 0, text: Text::truncated(text) };
            let _ = send(&self.channel, RequestId::EVENT, &ending.into(), None, Deadline::at_ns(0));
        }
        // For the broker's descriptor of this end, too: the tenant need not wait until it is closed.
        let _ = self.channel.shutdown();
    }
}

/// Sends one message to a tenant.
fn send(
    channel: &Channel,
    id: RequestId,
    answer: &TenantAnswer,
    fd: Option<BorrowedFd<'_>>,
    patience: Deadline,
) -> Result<(), Over> {
    let packet = answer.encode(id);
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
    let mut room = None;
    loop {
        match channel.send(packet.as_bytes(), &fds) {
            Ok(()) => return Ok(()),
            Err(SendError::WouldBlock) if !patience.is_past() => {}
            Err(SendError::WouldBlock) => return Err(Over::Deaf),
            Err(_) => return Err(Over::Closed),
        }
        let poller = match &room {
            Some(poller) => poller,
            None => {
                let poller = Poller::new().map_err(|_| Over::Deaf)?;
                poller.add(channel, TENANT, Interest::OUT).map_err(|_| Over::Deaf)?;
                room.insert(poller)
            }
        };
        poller.wait(&mut Vec::new(), patience).map_err(|_| Over::Deaf)?;
    }
}

/// Sends a message before there is a [`Tenant`]. Returns whether it was taken.
pub(super) fn tell(channel: &Channel, answer: &TenantAnswer, fd: Option<BorrowedFd<'_>>) -> bool {
    send(channel, RequestId::EVENT, answer, fd, Deadline::after(ANSWER_PATIENCE)).is_ok()
}
