//! The socket to the worker: requests and their answers, events, and the end.
//!
//! One thread listens for as long as the connection lives. It gives answers to those who asked, keeps what queues met, and notices the end;
//! then it wakes everybody who waits for anything. Requests come from any thread, at most
//! [`REQUESTS_IN_FLIGHT_MAX`] at a time.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use proto::QueueId;
use proto::limits::{MAX_FDS, MAX_MESSAGE, REQUESTS_IN_FLIGHT_MAX};
use proto::message::tenant::Goodbye;
use proto::message::{EndReason, Fault, TenantAnswer, TenantRequest};
use proto::signal::PoolLayout;
use proto::wake::{RECHECK, SPIN_IN_A_ROW, WORTH_LOOKING};
use proto::wire::Message;
use proto::{Bytes, RequestId, Violation};
use sys::mapping::Mapping;
use sys::socket::{Channel, ReceiveError, SendError};
use sys::wake::{self, Habit, Looks, Patience};

use crate::error::{ClientError, End};

/// An answer, with the descriptor it brought.
pub(crate) type Answer = (TenantAnswer, Option<OwnedFd>);

#[derive(Default)]
struct Asked {
    last: u32,
    /// Requests without an answer yet.
    open: HashMap<u32, Option<Answer>>,
}

/// See the module.
pub(crate) struct Connection {
    channel: Channel,
    /// The process that connected; a forked child is another one.
    pid: u32,
    asked: Mutex<Asked>,
    /// Rung when an answer came, a request was closed, or the end.
    heard: Condvar,
    end: OnceLock<End>,
    /// We have said goodbye, so that the connection closes is no surprise.
    leaving: AtomicBool,
    faults: Mutex<HashMap<QueueId, Fault>>,
    /// Bumped with every fault and the end, so that who spins looks at one word.
    news: AtomicU32,
    /// Memory whose wake words somebody may sleep on: signal pools, and rooms of queues.
    sleepers: Mutex<Vec<Sleepers>>,
    /// Whether kernels are short.
    habit: Habit,
    /// Called with every fault and the end.
    listener: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Called with every address of an alias that a kernel waits for.
    touched: OnceLock<Box<dyn Fn(u64) + Send + Sync>>,
    /// Queues that the session has: without one its worker waits for no signal.
    queues: AtomicU32,
    /// The session whose signals are this one's too: those who wait for them hear the news of both.
    first: OnceLock<Weak<Connection>>,
}

/// Where threads of this process may sleep.
pub(crate) enum Sleepers {
    /// On signals of this pool.
    Pool(Weak<Mapping>),
    /// On the word at this offset.
    Word(Weak<Mapping>, usize),
}

impl Connection {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            pid: std::process::id(),
            asked: Mutex::default(),
            heard: Condvar::new(),
            end: OnceLock::new(),
            leaving: AtomicBool::new(false),
            faults: Mutex::default(),
            news: AtomicU32::new(0),
            sleepers: Mutex::default(),
            habit: Habit::default(),
            listener: OnceLock::new(),
            touched: OnceLock::new(),
            queues: AtomicU32::new(0),
            first: OnceLock::new(),
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.pid == std::process::id()
    }

    pub(crate) fn ended(&self) -> Option<&End> {
        self.end.get()
    }

    /// Returns a number that changes whenever a queue stops or the session ends.
    pub(crate) fn news(&self) -> u32 {
        self.news.load(Ordering::Acquire)
    }

    pub(crate) fn fault(&self, queue: QueueId) -> Option<Fault> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).get(&queue).cloned()
    }

    pub(crate) fn on_news(&self, listener: Box<dyn Fn() + Send + Sync>) -> bool {
        self.listener.set(listener).is_ok()
    }

    pub(crate) fn on_touch(&self, touched: Box<dyn Fn(u64) + Send + Sync>) -> bool {
        self.touched.set(touched).is_ok()
    }

    pub(crate) fn queues(&self) -> &AtomicU32 {
        &self.queues
    }

    /// Has the news of this connection told to those who wait for signals of another one, too. Returns whether that was not so before.
    pub(crate) fn follow(&self, first: &Arc<Connection>) -> bool {
        self.first.set(Arc::downgrade(first)).is_ok()
    }

    pub(crate) fn register(&self, sleepers: Sleepers) {
        let mut all = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|s| matches!(s, Sleepers::Pool(m) | Sleepers::Word(m, _) if m.strong_count() > 0));
        all.push(sleepers);
    }

    /// How to wait for something: who last waited long does not look first, but sleeps at once.
    pub(crate) fn patience(&self) -> Patience {
        let spin_ns = if self.habit.is_answered_soon() { SPIN_IN_A_ROW.0 } else { 0 };
        Patience { spin_ns, recheck_ns: RECHECK.0, looks: Looks::Even }
    }

    /// Notes how long a wait took.
    pub(crate) fn waited(&self, ns: u64) {
        self.habit.waited(ns, WORTH_LOOKING.0);
    }

    /// Waits for the end.
    pub(crate) fn wait_ended(&self, deadline: sys::clock::Deadline) -> Option<End> {
        let mut asked = self.asked();
        loop {
            if let Some(end) = self.end.get() {
                return Some(end.clone());
            }
            let left = deadline.ns().map(|at| at.saturating_sub(sys::clock::now_ns()));
            if left == Some(0) {
                return None;
            }
            let left = std::time::Duration::from_nanos(left.unwrap_or(u64::MAX));
            asked = self.heard.wait_timeout(asked, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Asks the worker for something and waits for its answer.
    pub(crate) fn request(&self, request: &TenantRequest) -> Result<Answer, ClientError> {
        if !self.is_ours() {
            return Err(ClientError::Forked);
        }
        let number = self.open()?;
        // Everything the worker refuses about a well-formed packet is an answer, so failing to send means the end is near:
        // the listening thread knows why, or is about to.
        if let Err(error) = self.channel.send(request.encode(RequestId(number)).as_bytes(), &[]) {
            self.asked().open.remove(&number);
            self.heard.notify_all();
            return Err(match error {
                SendError::Call(call) => call.into(),
                SendError::Closed | SendError::WouldBlock | SendError::Empty | SendError::TooManyFds { .. } => {
                    self.wait_ended(sys::clock::Deadline::NEVER).unwrap_or_else(End::silence).into()
                }
            });
        }
        let mut asked = self.asked();
        loop {
            if let Some(Some(_)) = asked.open.get(&number) {
                let answer = asked.open.remove(&number).flatten();
                self.heard.notify_all();
                match answer {
                    Some((TenantAnswer::Denied(denied), _)) => return Err(ClientError::Denied(denied.into())),
                    Some(answer) => return Ok(answer),
                    None => continue,
                }
            }
            if let Some(end) = self.end.get() {
                return Err(end.clone().into());
            }
            asked = self.heard.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An answer of the wrong kind: the worker is not what it should be, so the connection ends.
    pub(crate) fn misunderstood(&self, answer: &TenantAnswer) -> ClientError {
        let end = End::of(EndReason::WorkerViolation, &format!("it answered with {}", answer.facts().name));
        self.finish(end.clone());
        let _ = self.channel.shutdown();
        self.ended().cloned().unwrap_or(end).into()
    }

    /// Says goodbye and waits until the worker has hung up, or is hung up on.
    pub(crate) fn goodbye(&self, patience: std::time::Duration) {
        if !self.is_ours() || self.leaving.swap(true, Ordering::AcqRel) {
            return;
        }
        // The answer is of no interest: what counts is that the connection closes behind it.
        if let Ok(number) = self.open() {
            let _ = self.channel.send(TenantRequest::from(Goodbye {}).encode(RequestId(number)).as_bytes(), &[]);
            self.wait_ended(sys::clock::Deadline::after(patience));
        }
        let _ = self.channel.shutdown();
    }

    /// Takes a number for a request, waiting while too many are open.
    fn open(&self) -> Result<u32, ClientError> {
        let mut asked = self.asked();
        loop {
            if let Some(end) = self.end.get() {
                return Err(end.clone().into());
            }
            if asked.open.len() < REQUESTS_IN_FLIGHT_MAX {
                break;
            }
            asked = self.heard.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
        loop {
            // 0 marks events.
            asked.last = asked.last.wrapping_add(1).max(1);
            let number = asked.last;
            if let std::collections::hash_map::Entry::Vacant(free) = asked.open.entry(number) {
                free.insert(None);
                return Ok(number);
            }
        }
    }

    /// Listens until the end. The body of the listening thread.
    pub(crate) fn listen(&self) {
        let end = loop {
            match receive(&self.channel) {
                Ok((request, answer, fd)) => {
                    if let Some(end) = self.hear(request, answer, fd) {
                        break end;
                    }
                }
                Err(Deaf::Closed) if self.leaving.load(Ordering::Acquire) => break End::of(EndReason::Goodbye, ""),
                Err(Deaf::Closed) => break End::silence(),
                Err(Deaf::Nonsense(violation)) => {
                    break End::of(EndReason::WorkerViolation, &violation.to_string());
                }
            }
        };
        self.finish(end);
    }

    /// Takes note of the end and wakes everybody.
    pub(crate) fn finish(&self, end: End) {
        {
            let _asked = self.asked();
            let _ = self.end.set(end);
        }
        self.heard.notify_all();
        self.ring_sleepers();
    }

    fn hear(&self, request: RequestId, answer: TenantAnswer, fd: Option<OwnedFd>) -> Option<End> {
        match answer {
            TenantAnswer::Ending(ending) => return Some(ending.into()),
            TenantAnswer::QueueFault(event) => {
                let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
                faults.insert(event.fault.queue, event.fault);
                drop(faults);
                self.ring_sleepers();
            }
            TenantAnswer::AliasTouched(event) => {
                // With nobody to ask the kernel waits in vain, for as long as the worker lets it.
                if let Some(touched) = self.touched.get() {
                    touched(event.at.0);
                }
            }
            answer => {
                let mut asked = self.asked();
                let Some(slot) = asked.open.get_mut(&request.0) else {
                    return Some(End::of(EndReason::WorkerViolation, "it answered what nobody asked"));
                };
                *slot = Some((answer, fd));
                drop(asked);
                self.heard.notify_all();
            }
        }
        None
    }

    fn ring_sleepers(&self) {
        self.news.fetch_add(1, Ordering::Release);
        if let Some(listener) = self.listener.get() {
            listener();
        }
        let all = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        for sleepers in all.iter() {
            match sleepers {
                Sleepers::Pool(memory) => {
                    let Some(memory) = memory.upgrade() else { continue };
                    let Some(layout) = PoolLayout::of(Bytes(memory.len() as u64)) else { continue };
                    for index in 0..layout.capacity() {
                        // Who is not woken looks again soon anyway.
                        if let Some(word) = layout.wake(index).and_then(|at| memory.atomic_u32(at)) {
                            let _ = wake::ring(word);
                        }
                    }
                }
                Sleepers::Word(memory, at) => {
                    if let Some(memory) = memory.upgrade()
                        && let Some(word) = memory.atomic_u32(*at)
                    {
                        let _ = wake::ring(word);
                    }
                }
            }
        }
        drop(all);
        if let Some(first) = self.first.get().and_then(Weak::upgrade) {
            first.ring_sleepers();
        }
    }
}

/// Why nothing more will be heard.
pub(crate) enum Deaf {
    Closed,
    Nonsense(Violation),
}

/// Receives one message from broker or worker.
pub(crate) fn receive(channel: &Channel) -> Result<(RequestId, TenantAnswer, Option<OwnedFd>), Deaf> {
    let mut packet = [0; MAX_MESSAGE];
    let received = channel.receive(&mut packet, MAX_FDS).map_err(|error| match error {
        ReceiveError::Closed | ReceiveError::WouldBlock | ReceiveError::Call(_) => Deaf::Closed,
        ReceiveError::TooLong { limit } => Deaf::Nonsense(Violation::Long { got: limit + 1 }),
        ReceiveError::TooManyFds { .. } | ReceiveError::LostFds | ReceiveError::UnknownControl => {
            Deaf::Nonsense(Violation::DescriptorsTruncated)
        }
    })?;
    let (request, answer) =
        TenantAnswer::decode(&packet[..received.len], received.fds.len()).map_err(Deaf::Nonsense)?;
    Ok((request, answer, received.fds.into_iter().next()))
}

/// Starts the listening thread.
pub(crate) fn listen(connection: &Arc<Connection>) -> std::io::Result<std::thread::JoinHandle<()>> {
    let connection = Arc::clone(connection);
    std::thread::Builder::new().name("wavegate-listen".to_owned()).spawn(move || connection.listen())
}
