//! A session: from `Hello` to the last handle.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use proto::ids::TenantName;
use proto::limits::{ANY_DEVICE, COMMAND_NAME_MAX};
use proto::message::opening::{Hello, ListDevices, Opening};
use proto::message::tenant::{DeviceName, MemoryUse, QueryMemory, Welcome};
use proto::message::{ArenaRule, DeviceFacts, Fault, TenantAnswer, TenantRequest};
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
use crate::together::Companion;

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
    /// The sessions that have its signals, too.
    pub(crate) companions: OnceLock<Vec<Companion>>,
    /// For copies to and from memory that is not mapped here.
    pub(crate) staging: Mutex<Option<RawBuffer>>,
    listener: Option<JoinHandle<()>>,
}

impl Client {
    /// Connects to the broker that listens at `socket` and waits for admission, as `tenant` or as whatever the broker makes of our
    /// credentials.
    pub fn connect(socket: &Path, tenant: Option<&str>) -> Result<Self, ConnectError> {
        Self::over(Channel::connect(socket)?, name(tenant)?)
    }

    /// As [`connect`](Self::connect) on the device of an index, one of [`devices`](Self::devices).
    pub fn connect_on(socket: &Path, tenant: Option<&str>, device: u32) -> Result<Self, ConnectError> {
        Self::begin_on(Channel::connect(socket)?, name(tenant)?, device)
    }

    /// Returns the devices that the tenant may use, in the broker's order. Begins no session.
    pub fn devices(socket: &Path, tenant: Option<&str>) -> Result<Vec<DeviceName>, ConnectError> {
        let channel = Channel::connect(socket)?;
        match open(&channel, &ListDevices { tenant: name(tenant)? }.into())? {
            (TenantAnswer::Devices(known), _) => {
                Ok(known.list.into_iter().take(usize::try_from(known.count).unwrap_or(usize::MAX)).collect())
            }
            (other, _) => Err(refused(&other)),
        }
    }

    /// As [`connect`](Self::connect) over a connection that exists.
    pub fn over(channel: Channel, tenant: Option<TenantName>) -> Result<Self, ConnectError> {
        Self::begin_on(channel, tenant, ANY_DEVICE)
    }

    fn begin_on(channel: Channel, tenant: Option<TenantName>, device: u32) -> Result<Self, ConnectError> {
        let command = std::env::args_os()
            .next()
            .map(|a| Path::new(&a).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
        let command: Text<{ COMMAND_NAME_MAX }> = Text::truncated(&command.unwrap_or_default());
        match open(&channel, &Hello { tenant, command, device }.into())? {
            (TenantAnswer::Welcome(welcome), Some(page)) => Self::begin(channel, welcome, page),
            (other, _) => Err(refused(&other)),
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
        let (pools, staging, companions) = (Pools::default(), Mutex::default(), OnceLock::new());
        Ok(Self(Arc::new(Session { connection, welcome, page, arena, pools, companions, staging, listener })))
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

fn name(tenant: Option<&str>) -> Result<Option<TenantName>, ConnectError> {
    tenant.map(TenantName::new).transpose().map_err(ConnectError::Name)
}

/// Says the one thing that the broker hears, and returns what comes of it.
fn open(channel: &Channel, opening: &Opening) -> Result<(TenantAnswer, Option<OwnedFd>), ConnectError> {
    match channel.send(opening.encode(RequestId(1)).as_bytes(), &[]) {
        // The broker may hang up with a word before it has heard ours (it is full, or going down).
        Ok(()) | Err(SendError::Closed) => {}
        Err(SendError::Call(call)) => return Err(call.into()),
        Err(SendError::WouldBlock | SendError::Empty | SendError::TooManyFds { .. }) => {
            return Err(End::silence().into());
        }
    }
    let (_, answer, fd) = receive(channel).map_err(|deaf| match deaf {
        Deaf::Closed => ConnectError::Ended(End::silence()),
        Deaf::Nonsense(violation) => ConnectError::Protocol(violation),
    })?;
    Ok((answer, fd))
}

/// What an answer means that is not the one hoped for.
fn refused(answer: &TenantAnswer) -> ConnectError {
    match answer {
        TenantAnswer::Refused(no) => ConnectError::Refused { code: no.code, text: no.text.as_str().to_owned() },
        TenantAnswer::Ending(ending) => End::from(ending.clone()).into(),
        other => ConnectError::Protocol(proto::Violation::Kind { got: other.facts().kind }),
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

    /// See [`Connection::misunderstood`].
    pub(crate) fn misunderstood(&self, answer: &TenantAnswer) -> ClientError {
        self.connection.misunderstood(answer)
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
