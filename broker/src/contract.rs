//! What goes into the state machine and what comes out.
//!
//! A shell owes two things: to carry actions out in order, and to answer those that have an answer (it is named there)
//! before it takes the next input from outside, as far as the answer is known at once. Late, missing and repeated answers are
//! survived: the state machine believes only what an answer says about the lease it asked about.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proto::gate::{GateWord, Level, Scrub, StopReason};
use proto::message::opening::Hello;
use proto::message::{EndReason, Fault, RefuseCode, WorkerOrder, WorkerReport};
use proto::{Bytes, ChargeId, Instant, LeaseGeneration, Nanos, RequestId, SessionId, TenantName, Violation};

use crate::admin::{AdminCommand, AdminReply};
use crate::admission::Peer;
use crate::ledger::Denied;

/// A tenant's connection before it is a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// An administrator's request that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdminToken(pub u64);

/// What a shell read from a session's gate, all at once: the word first, then the rest.
///
/// Times are claims of a worker. Those outside the lease are moved to its nearer end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateView {
    /// The word.
    pub word: GateWord,
    /// The lease the report is about.
    pub report: LeaseGeneration,
    /// Why the worker gave the device back, if it did.
    pub stop_reason: Option<StopReason>,
    /// When it parked last.
    pub parked_at: Instant,
    /// How long it was parked before that.
    pub parked_total: Nanos,
    /// When the first instruction of the lease ran; 0 before.
    pub first_instruction_at: Instant,
    /// When the worker saw that it should stop.
    pub stop_seen_at: Instant,
    /// When the device had stopped.
    pub stopped_at: Instant,
    /// Size of the context saved.
    pub context: Bytes,
    /// How long the context took to bring back.
    pub resume: Nanos,
    /// How long scrubbing took.
    pub scrub: Nanos,
    /// Since when the oldest dispatch runs without a pause; 0 when none runs.
    pub dispatch_since: Instant,
    /// How long it had run before.
    pub dispatch_ran: Nanos,
}

impl GateView {
    /// Returns the view of a gate that has never seen a lease.
    pub fn new(word: GateWord) -> Self {
        Self {
            word,
            report: LeaseGeneration::default(),
            stop_reason: None,
            parked_at: Instant(0),
            parked_total: Nanos(0),
            first_instruction_at: Instant(0),
            stop_seen_at: Instant(0),
            stopped_at: Instant(0),
            context: Bytes(0),
            resume: Nanos(0),
            scrub: Nanos(0),
            dispatch_since: Instant(0),
            dispatch_ran: Nanos(0),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The first packet of a tenant's connection arrived, and this is what it was.
    Hello {
        /// The connection.
        connection: ConnectionId,
        /// Who is at the other end.
        peer: Peer,
        /// What it said.
        hello: Result<Hello, Violation>,
    },
    /// The first packet of a tenant's connection asks which devices there are.
    ListDevices {
        /// The connection.
        connection: ConnectionId,
        /// Who is at the other end.
        peer: Peer,
        /// The tenant it would be.
        tenant: Option<TenantName>,
    },
    /// The tenant's process died (its pidfd is readable), or it closed its socket before its worker had it.
    TenantDied {
        /// The session.
        session: SessionId,
    },
    /// The worker process runs and has been sent `Start`.
    WorkerSpawned {
        /// The session.
        session: SessionId,
        /// Its process id, for people.
        pid: u32,
    },
    /// The worker process could not be started; there is nothing to wait for.
    WorkerSpawnFailed {
        /// The session.
        session: SessionId,
    },
    /// A message from a worker.
    WorkerSaid {
        /// The session.
        session: SessionId,
        /// Its request id.
        request: RequestId,
        /// What it said, or how it broke the protocol.
        report: Result<WorkerReport, Violation>,
    },
    /// The worker's process is gone and reaped. Its memory and descriptors are gone with it.
    WorkerExited {
        /// The session.
        session: SessionId,
        /// The signal that ended it, or 0.
        signal: u32,
        /// What its gate said last; `None` if it never had one.
        view: Option<GateView>,
    },
    /// Answers [`Action::CreateMemory`] and [`Action::PassMemory`].
    MemoryCreated {
        /// The session.
        session: SessionId,
        /// The charge.
        charge: ChargeId,
        /// Whether the memory exists and was sent.
        created: bool,
    },
    /// A worker rang, or [`Action::LookAtGate`] was answered.
    Gate {
        /// The session.
        session: SessionId,
        /// What its gate says now.
        view: GateView,
    },
    /// Answers [`Action::GrantLease`].
    GrantOutcome {
        /// The session.
        session: SessionId,
        /// The lease.
        generation: LeaseGeneration,
        /// When it was granted; `None` if the worker did not want it any more.
        granted_at: Option<Instant>,
    },
    /// Answers [`Action::TakeParked`].
    TakeOutcome {
        /// The session.
        session: SessionId,
        /// The lease.
        generation: LeaseGeneration,
        /// Whether the lease was parked and has been taken.
        taken: bool,
        /// What the gate said, before the lease was taken if it was.
        view: GateView,
    },
    /// What [`Broker::poll_timeout`](crate::Broker::poll_timeout) asked for is due.
    Timer,
    /// An administrator wants something. `permitted` connections only; the shell checks the admin socket's peer.
    Admin {
        /// Where the reply goes.
        token: AdminToken,
        /// What.
        command: AdminCommand,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Tell a connection that it is not admitted, and close it.
    Refuse {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        code: RefuseCode,
    },
    /// Tell a connection which devices its tenant may use, and close it.
    TellDevices {
        /// The connection.
        connection: ConnectionId,
        /// Their indices among the configured ones, in order.
        devices: Vec<u32>,
    },
    /// Create gate, session page and eventfd, start a worker and send it `Start` with the tenant's socket; from then on watch
    /// the processes of both. Keep a descriptor of the tenant's socket for [`Action::EndTenant`]. Answer:
    /// [`Input::WorkerSpawned`] or [`Input::WorkerSpawnFailed`].
    SpawnWorker {
        /// The session.
        session: SessionId,
        /// The connection it was.
        connection: ConnectionId,
        /// Its tenant.
        tenant: TenantName,
        /// What it may have.
        limits: proto::message::worker::SessionLimits,
        /// Whether it must scrub for others.
        scrub: bool,
        /// Which of the configured devices it is on.
        device: u32,
        /// Which partition of it.
        partition: u32,
    },
    /// Tell a worker that has no lease to use the compute units of another partition of its device from now on. It answers itself, with `Moved`.
    MoveSession {
        /// The session.
        session: SessionId,
        /// Which partition.
        partition: u32,
    },
    /// Send a worker an order that carries no descriptor. With a `Stop`, also swap its gate's word to stopping if that is
    /// possible, and ring, so that a worker that sleeps between leases notices.
    Order {
        /// The session.
        session: SessionId,
        /// The request it answers, or 0.
        request: RequestId,
        /// The order.
        order: WorkerOrder,
    },
    /// Create and seal a memfd of this size, send it with `ChargeGranted`, and keep no descriptor. Answer:
    /// [`Input::MemoryCreated`].
    CreateMemory {
        /// The session.
        session: SessionId,
        /// The request it answers.
        request: RequestId,
        /// The charge.
        charge: ChargeId,
        /// How much, in whole pages.
        bytes: Bytes,
    },
    /// Keep the descriptor that came with the message, if it is a sealed memory object of this size, and answer `ChargeShared`; if it is not, the worker
    /// has broken the protocol.
    KeepMemory {
        /// The session.
        session: SessionId,
        /// The request to answer.
        request: RequestId,
        /// The charge that the memory was made for, which is what it is shared by.
        memory: ChargeId,
        /// Its size.
        bytes: Bytes,
    },
    /// Send memory that was kept with `ChargeGranted`. Answer: [`Input::MemoryCreated`].
    PassMemory {
        /// The session.
        session: SessionId,
        /// The request it answers.
        request: RequestId,
        /// The session's charge for it.
        charge: ChargeId,
        /// By what it was kept.
        memory: ChargeId,
        /// Its size.
        bytes: Bytes,
        /// Whether with a descriptor that writes, or one that only reads.
        write: bool,
    },
    /// Close memory that was kept, if it was. Who has joined it keeps it.
    ForgetMemory {
        /// By what.
        memory: ChargeId,
    },
    /// Store deadline, stamps and duties in the gate, store a request of this level, swap the word, ring. Answer:
    /// [`Input::GrantOutcome`].
    GrantLease {
        /// The session.
        session: SessionId,
        /// The lease.
        generation: LeaseGeneration,
        /// After how long the worker shall give the device back to others that wait without being asked, counted from the grant:
        /// the slice and [`SLICE_GRACE`](crate::SLICE_GRACE).
        give_back_after: Nanos,
        /// [`Level::Yield`] if others wait already.
        level: Level,
        /// What to scrub first.
        scrub: Scrub,
        /// Longest time one dispatch may run; 0 for no limit.
        max_dispatch: Nanos,
    },
    /// Store a new slice deadline in the gate: the holder goes on, as it is its turn again.
    RenewLease {
        /// The session.
        session: SessionId,
        /// The lease.
        generation: LeaseGeneration,
        /// As in [`Action::GrantLease`], counted from now.
        give_back_after: Nanos,
    },
    /// Store a request to yield in the gate, then take the lease if it is parked. Answer: [`Input::TakeOutcome`].
    TakeParked {
        /// The session.
        session: SessionId,
        /// The lease.
        generation: LeaseGeneration,
    },
    /// Store a request to suspend in the gate, then, as the worker may have parked meanwhile, take the lease if it is parked.
    /// Answer: [`Input::TakeOutcome`].
    RequestPreempt {
        /// The session.
        session: SessionId,
        /// The lease.
        generation: LeaseGeneration,
    },
    /// Read the gate. Answer: [`Input::Gate`].
    LookAtGate {
        /// The session.
        session: SessionId,
    },
    /// End the worker's process now (SIGKILL).
    KillWorker {
        /// The session.
        session: SessionId,
    },
    /// Tell the tenant why its session is over, in place of a worker that cannot any more.
    EndTenant {
        /// The session.
        session: SessionId,
        /// Why.
        reason: EndReason,
        /// The signal that ended the worker, or 0.
        signal: u32,
    },
    /// Close everything of the session. The last action about it.
    ReleaseSession {
        /// The session.
        session: SessionId,
    },
    /// Answer an administrator.
    Reply {
        /// Whom.
        token: AdminToken,
        /// What.
        reply: Result<AdminReply, crate::admin::AdminError>,
    },
    /// Put this into logs, histograms and the history of sessions.
    Emit(Event),
}

/// The parts of a switch. They follow each other without gap, so they sum to the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchParts {
    /// From wanting the device back to the holder having stopped.
    pub stop: Nanos,
    /// From there to the grant.
    pub grant: Nanos,
    /// From there to the next holder's first instruction; resume and scrub are part of it.
    pub start: Nanos,
}

impl SwitchParts {
    /// Returns the whole.
    pub fn total(&self) -> Nanos {
        Nanos(self.stop.0 + self.grant.0 + self.start.0)
    }
}

/// A lease as it was when it was last booked.
///
/// From the start on every nanosecond is either occupancy or parked: `until - started_at = occupancy + parked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSpan {
    /// Which device, in the order of the configuration.
    pub device: u32,
    /// Which partition of it.
    pub partition: u32,
    /// The lease.
    pub generation: LeaseGeneration,
    /// When it was granted.
    pub granted_at: Instant,
    /// When its first instruction ran, and its occupancy began; `None` if that was not seen.
    pub started_at: Option<Instant>,
    /// When it ended, or up to when it is booked.
    pub until: Instant,
    /// Start to end, less what was parked.
    pub occupancy: Nanos,
    /// What was parked.
    pub parked: Nanos,
    /// How urgently it was wanted back at last.
    pub level: Level,
}

/// What is worth remembering.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A connection was refused.
    Refused {
        /// Who it was.
        peer: Peer,
        /// Why.
        code: RefuseCode,
        /// What was wrong with its packet, if that is why.
        violation: Option<Violation>,
    },
    /// A session began.
    Admitted {
        /// The session.
        session: SessionId,
        /// Its tenant.
        tenant: TenantName,
        /// Its process.
        peer: Peer,
    },
    /// A session's worker is ready.
    Ready {
        /// The session.
        session: SessionId,
        /// How long that took.
        took: Nanos,
    },
    /// A charge was denied.
    Denied {
        /// The session.
        session: SessionId,
        /// Its tenant.
        tenant: TenantName,
        /// Which limit.
        denied: Denied,
    },
    /// A tenant's program went wrong.
    Faulted {
        /// The session.
        session: SessionId,
        /// Its tenant.
        tenant: TenantName,
        /// What and where.
        fault: Box<Fault>,
    },
    /// The device went from one session to another.
    Switched {
        /// Who had it.
        from: SessionId,
        /// Who got it.
        to: SessionId,
        /// Which device it was, in the order of the configuration.
        device: u32,
        /// Which partition of it.
        partition: u32,
        /// When it was wanted back; the parts follow from there.
        requested_at: Instant,
        /// Whether both belong to one tenant.
        same_tenant: bool,
        /// What it cost.
        parts: SwitchParts,
        /// Size of the context that was saved.
        saved: Bytes,
    },
    /// A lease ended.
    LeaseEnded {
        /// The session.
        session: SessionId,
        /// Its tenant.
        tenant: TenantName,
        /// First instruction to stop, less what was parked.
        occupancy: Nanos,
        /// When and where.
        span: LeaseSpan,
        /// Why; `None` if it was parked and taken, or its worker died.
        reason: Option<StopReason>,
    },
    /// A worker was killed because it did not do what it was asked in time.
    WorkerKilled {
        /// The session.
        session: SessionId,
        /// What for.
        reason: EndReason,
    },
    /// A session ended and everything of it was released.
    Ended {
        /// The session.
        session: SessionId,
        /// Its tenant.
        tenant: TenantName,
        /// Why.
        reason: EndReason,
        /// The signal that ended its worker, or 0.
        signal: u32,
        /// How many charges the worker had not given back itself.
        charges_reclaimed: usize,
        /// How many bytes those were.
        bytes_reclaimed: Bytes,
    },
    /// An administrator changed the configuration: keep it across a restart.
    ConfigChanged,
    /// A worker broke the protocol.
    WorkerViolation {
        /// The session.
        session: SessionId,
        /// How.
        violation: Violation,
    },
}
