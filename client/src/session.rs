//! A session: from `Hello` to the last handle.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use proto::ids::TenantName;
use proto::limits::{ANY_DEVICE, COMMAND_NAME_MAX};
use proto::message::opening::{Hello, Opening};
use proto::message::tenant::{MemoryUse, QueryMemory, Welcome};
use proto::message::{ArenaRule, DeviceFacts, EndReason, Fault, TenantAnswer, TenantRequest};
use proto::text::Text;
use proto::wire::Message;
use proto::{RequestId, SessionId};
use sys::arena::{Arena, ArenaError};
use sys::clock::Deadline;
use sys::mapping::{Access, Mapping};
use sys::memfd::MemFd;
use sys::socket::{Channel, SendError};

use crate::connection::{Answer, Connection, Deaf, Sleepers, listen, receive};
use crate::error::{ClientError, ConnectError, End};
use crate::memory::RawBuffer;
use crate::signal::Pools;

/// How many addresses a session reserves if the device allows that many. They cost nothing until used.
const ARENA_BYTES: u64 = 1 << 40;
/// The least that is of any use; tried last where the process may not have many addresses (RLIMIT_AS).
const ARENA_BYTES_MIN: u64 = 1 << 26;
/// How long the end of a session in order may take before we hang up.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(2);

/// A session with a device. Clones share it; it ends when the last of them and of what was made through them is dropped.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Session>);

/// What all handles share.
pub(crate) struct Session {
    pub(crate) connection: Arc<Connection>,
    welcome: Welcome,
    /// The session page.
    pub(crate) page: Arc<Mapping>,
    pub(crate) arena: Option<Arena>,
    pub(crate) pools: Pools,
    /// For copies to and from memory that is not mapped here.
    pub(crate) staging: Mutex<Option<RawBuffer>>,
    listener: Option<JoinHandle<()>>,
}

impl Client {
    /// Connects to the broker that listens at `socket` and waits for admission, as `tenant` or as whatever the broker makes of our
    /// credentials.
    pub fn connect(socket: &Path, tenant: Option<&str>) -> Result<Self, ConnectError> {
        let tenant = tenant.map(TenantName::new).transpose().map_err(ConnectError::Name)?;
        Self::over(Channel::connect(socket)?, tenant)
    }

    /// As [`connect`](Self::connect) over a connection that exists.
    pub fn over(channel: Channel, tenant: Option<TenantName>) -> Result<Self, ConnectError> {
        let command = std::env::args_os()
            .next()
            .map(|a| Path::new(&a).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
        let command: Text<{ COMMAND_NAME_MAX }> = Text::truncated(&command.unwrap_or_default());
        let hello = Opening::from(Hello { tenant, command, device: ANY_DEVICE });
        match channel.send(hello.encode(RequestId(1)).as_bytes(), &[]) {
            // The broker may hang up with a word before it has heard ours (it is full, or going down).
            Ok(()) | Err(SendError::Closed) => {}
            Err(SendError::Call(call)) => return Err(call.into()),
            Err(SendError::WouldBlock | SendError::Empty | SendError::TooManyFds { .. }) => {
                return Err(End::silence().into());
            }
        }
        let (_, answer, fd) = receive(&channel).map_err(|deaf| match deaf {
            Deaf::Closed => ConnectError::Ended(End::silence()),
            Deaf::Nonsense(violation) => ConnectError::Protocol(violation),
        })?;
        match (answer, fd) {
            (TenantAnswer::Welcome(welcome), Some(page)) => Self::begin(channel, welcome, page),
            (TenantAnswer::Refused(no), _) => {
                Err(ConnectError::Refused { code: no.code, text: no.text.as_str().to_owned() })
            }
            (TenantAnswer::Ending(ending), _) => Err(End::from(ending).into()),
            (other, _) => Err(ConnectError::Protocol(proto::Violation::Kind { got: other.facts().kind })),
        }
    }

    fn begin(channel: Channel, welcome: Welcome, page: OwnedFd) -> Result<Self, ConnectError> {
        let page = MemFd::adopt(page, proto::session::BYTES.0 as usize)?;
        let page = Arc::new(Mapping::new(&page, Access::ReadWrite)?);
        let arena = match welcome.device.arena {
            ArenaRule::Tenant => Some(reserve(&welcome.device)?),
            ArenaRule::Backend => None,
        };
        let connection = Arc::new(Connection::new(channel));
        connection.register(Sleepers::Word(Arc::downgrade(&page), proto::session::EVENT_WAKE));
        let listener = Some(listen(&connection).map_err(ConnectError::Thread)?);
        let (pools, staging) = (Pools::default(), Mutex::default());
        Ok(Self(Arc::new(Session { connection, welcome, page, arena, pools, staging, listener })))
    }

    /// Returns what there is to know about the device; sizes are this tenant's limits.
    pub fn device(&self) -> &DeviceFacts {
        &self.0.welcome.device
    }

    /// Returns the session's number, unique while the broker lives.
    pub fn session(&self) -> SessionId {
        self.0.welcome.session
    }

    /// Returns which of the device's lives this session began in: the number grows when sessions lose the device.
    pub fn generation(&self) -> proto::DeviceGeneration {
        self.0.welcome.generation
    }

    /// Returns the tenant this session belongs to.
    pub fn tenant(&self) -> &str {
        self.0.welcome.tenant.as_str()
    }

    /// Returns why the session is over, or `None` while it is not.
    pub fn ended(&self) -> Option<End> {
        self.0.connection.ended().cloned()
    }

    /// Waits until the session is over and returns why, or `None` at the deadline.
    pub fn wait_ended(&self, deadline: Deadline) -> Option<End> {
        self.0.connection.wait_ended(deadline)
    }

    /// Has `listener` called, on a thread of this library, whenever a queue has stopped and when the session has ended. There can be one; returns
    /// whether this is it. It must not wait for anything of this session.
    pub fn on_news(&self, listener: impl Fn() + Send + Sync + 'static) -> bool {
        self.0.connection.on_news(Box::new(listener))
    }

    /// Returns the limits and the use of memory of the tenant, over all its sessions.
    pub fn memory_use(&self) -> Result<MemoryUse, ClientError> {
        match self.0.request(&QueryMemory {}.into())? {
            (TenantAnswer::MemoryUse(answer), _) => Ok(answer),
            (other, _) => Err(self.0.misunderstood(&other)),
        }
    }

    /// Ends the session in order, whatever handles are left; they answer [`End`] from now on.
    pub fn goodbye(&self) {
        self.0.connection.goodbye(GOODBYE_PATIENCE);
    }
}

/// Reserves as large an arena as the device and the process allow.
fn reserve(device: &DeviceFacts) -> Result<Arena, ArenaError> {
    let mut bytes = device.arena_bytes_max.0.min(ARENA_BYTES);
    loop {
        match Arena::reserve(usize::try_from(bytes).unwrap_or(usize::MAX)) {
            Err(ArenaError::Call(_)) if bytes / 4 >= ARENA_BYTES_MIN => bytes /= 4,
            other => return other,
        }
    }
}

impl Session {
    pub(crate) fn request(&self, request: &TenantRequest) -> Result<Answer, ClientError> {
        self.connection.request(request)
    }

    /// An answer of the wrong kind: the worker is not what it should be, so the connection ends.
    pub(crate) fn misunderstood(&self, answer: &TenantAnswer) -> ClientError {
        let end = End::of(EndReason::WorkerViolation, &format!("it answered with {}", answer.facts().name));
        self.connection.finish(end.clone());
        let _ = self.connection.channel().shutdown();
        self.connection.ended().cloned().unwrap_or(end).into()
    }

    /// Expects nothing but consent.
    pub(crate) fn command(&self, request: &TenantRequest) -> Result<(), ClientError> {
        match self.request(request)? {
            (TenantAnswer::Done(_), _) => Ok(()),
            (other, _) => Err(self.misunderstood(&other)),
        }
    }

    pub(crate) fn fault(&self, queue: proto::QueueId) -> Option<Fault> {
        self.connection.fault(queue)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.connection.is_ours() {
            // A forked child has no listening thread to wait for, and no right to speak.
            return;
        }
        self.connection.goodbye(GOODBYE_PATIENCE);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}
