//! What administrators ask and change.
//!
//! Promise: a change is checked as a whole, with all that is configured, before any of it applies; a refused change changes
//! nothing. Changes apply to running sessions at once. How requests are written down (JSON lines) is the shell's business.

use alloc::vec::Vec;
use core::fmt;

use proto::limits::COMMAND_NAME_MAX;
use proto::message::{EndReason, Fault};
use proto::text::Text;
use proto::{Bytes, Instant, Nanos, SessionId, TenantName};
use sched::pace::Outlook;
use sched::{Class, Policy, Share, Weight};

use crate::admission::Peer;
use crate::config::{
    Adaptive, Config, ConfigError, DEFAULT_TENANT, DeviceConfig, GroupName, MatchRule, PartitionConfig, PartitionName,
    ShareRule, TenantConfig, Unknown,
};
use crate::contract::Event;
use crate::ledger::Usage;
use crate::lessor::Lessor;
use crate::machine::{Broker, By, Phase};

/// What to change of a tenant; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// Who may be this tenant.
    pub matches: Option<Vec<MatchRule>>,
    /// Its weight.
    pub weight: Option<Weight>,
    /// Its cap; `Some(None)` takes it away.
    pub cap: Option<Option<Share>>,
    /// Its guarantee of device time; `Some(None)` takes it away.
    pub guarantee: Option<Option<Share>>,
    /// Its class.
    pub class: Option<Class>,
    /// Its slice; `Some(None)` takes it away.
    pub slice: Option<Option<Nanos>>,
    /// Its group; `Some(None)` takes it out of its group.
    pub group: Option<Option<GroupName>>,
    /// Its partition; `Some(None)` is the first one of every device.
    pub partition: Option<Option<PartitionName>>,
    /// Its limit of device memory.
    pub vram_limit: Option<Bytes>,
    /// Its guarantee of device memory.
    pub vram_guarantee: Option<Bytes>,
    /// Its limit of pinned host memory.
    pub host_limit: Option<Bytes>,
    /// Its queues.
    pub queues: Option<u32>,
    /// Its sessions.
    pub sessions: Option<u32>,
    /// Its longest dispatch.
    pub max_dispatch: Option<Nanos>,
    /// The tenants that it may grant memory to.
    pub shares: Option<Vec<ShareRule>>,
}

/// What to change of a device; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceChange {
    /// How its time is divided.
    pub policy: Option<Policy>,
    /// Its slice.
    pub slice: Option<Nanos>,
    /// Whether the slice follows the price of a switch; `Some(None)` makes it fixed.
    pub adaptive: Option<Option<Adaptive>>,
}

/// What an administrator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminCommand {
    /// All tenants.
    TenantList,
    /// One tenant.
    TenantShow(TenantName),
    /// Change a tenant, or add it with modest limits first.
    TenantSet(TenantName, TenantChange),
    /// Remove a tenant and end its sessions.
    TenantRemove(TenantName),
    /// Change a device, or all of them.
    DeviceSet(Option<u32>, DeviceChange),
    /// Give a tenant no leases, and admit no sessions of it, until it is resumed.
    TenantPause(TenantName),
    /// Undo a pause.
    TenantResume(TenantName),
    /// All sessions.
    SessionList,
    /// End a session.
    SessionKill(SessionId),
    /// Everything at once.
    Status,
    /// Replace the configuration.
    Reload(Config),
    /// End all sessions and admit no more.
    Shutdown,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminReply {
    /// It is done, or under way.
    Done,
    /// Tenants, by name.
    Tenants(Vec<TenantStatus>),
    /// Sessions, oldest first.
    Sessions(Vec<SessionStatus>),
    /// Everything.
    Status(Status),
}

/// Why a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminError {
    /// There is no such tenant.
    NoSuchTenant(TenantName),
    /// There is no such session, or it has ended.
    NoSuchSession(SessionId),
    /// There is no such device.
    NoSuchDevice(u32),
    /// Unknown users need the tenant `default`.
    DefaultNeeded,
    /// The change makes no sense.
    Config(ConfigError),
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchTenant(name) => write!(f, "there is no tenant `{name}`; `wavegate tenant list` shows all"),
            Self::NoSuchSession(id) => write!(f, "there is no session {id}; `wavegate session list` shows all"),
            Self::NoSuchDevice(device) => write!(f, "there is no device {device}; `wavegate status` shows all"),
            Self::DefaultNeeded => write!(
                f,
                "unknown users become the tenant `{DEFAULT_TENANT}`; set unknown = \"deny\" before removing it"
            ),
            Self::Config(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for AdminError {}

/// One tenant as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantStatus {
    /// What is configured.
    pub config: TenantConfig,
    /// Whether it is paused.
    pub paused: bool,
    /// How many sessions it has.
    pub sessions: u32,
    /// What it uses.
    pub usage: Usage,
    /// All device time it was charged, switches included.
    pub charged: Nanos,
}

/// One session as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionStatus {
    /// Its id.
    pub session: SessionId,
    /// Its tenant.
    pub tenant: TenantName,
    /// Its process.
    pub peer: Peer,
    /// What that process calls itself.
    pub command: Text<{ COMMAND_NAME_MAX }>,
    /// Its worker's process id.
    pub worker_pid: u32,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was admitted.
    pub began: Instant,
    /// Whether it has work or the device.
    pub runnable: bool,
    /// Whether it has the device.
    pub leased: bool,
    /// The device it is on.
    pub device: u32,
    /// The partition it runs in.
    pub partition: PartitionName,
    /// Device time of its finished leases.
    pub occupancy: Nanos,
    /// What went wrong last.
    pub last_fault: Option<Fault>,
}

/// One device as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceStatus {
    /// What is configured.
    pub config: DeviceConfig,
    /// Device memory in use.
    pub vram_used: Bytes,
    /// Its partitions.
    pub partitions: Vec<PartitionStatus>,
}

/// One partition as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionStatus {
    /// What is configured.
    pub config: PartitionConfig,
    /// The slice in force.
    pub slice: Nanos,
    /// What it comes to, if it is chosen by what switches cost.
    pub outlook: Option<Outlook>,
    /// Sessions in it.
    pub sessions: usize,
    /// How many of them want the device, or have it.
    pub runnable: usize,
    /// Where its time went.
    pub totals: sched::Totals,
}

impl Status {
    /// Returns where the time of all devices went.
    pub fn totals(&self) -> sched::Totals {
        let mut sum = sched::Totals::default();
        for totals in self.devices.iter().flat_map(|device| &device.partitions).map(|partition| partition.totals) {
            sum.occupancy.0 += totals.occupancy.0;
            sum.switch_in.0 += totals.switch_in.0;
            sum.scrub.0 += totals.scrub.0;
            sum.recovery.0 += totals.recovery.0;
            sum.idle.0 += totals.idle.0;
        }
        sum
    }
}

/// Everything as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Tenants, by name.
    pub tenants: Vec<TenantStatus>,
    /// Sessions, oldest first.
    pub sessions: Vec<SessionStatus>,
    /// Devices, in the order of the configuration.
    pub devices: Vec<DeviceStatus>,
    /// What is pinned in all.
    pub usage: Usage,
    /// Inputs that came too late.
    pub stale: u64,
}

impl Broker {
    pub(crate) fn handle_admin(&mut self, now: Instant, command: AdminCommand) -> Result<AdminReply, AdminError> {
        match command {
            AdminCommand::TenantList => return Ok(AdminReply::Tenants(self.tenant_statuses(None))),
            AdminCommand::TenantShow(name) => {
                self.known(&name)?;
                return Ok(AdminReply::Tenants(self.tenant_statuses(Some(&name))));
            }
            AdminCommand::SessionList => return Ok(AdminReply::Sessions(self.session_statuses())),
            AdminCommand::Status => return Ok(AdminReply::Status(self.status())),
            AdminCommand::TenantSet(name, change) => self.tenant_set(now, name, &change)?,
            AdminCommand::TenantRemove(name) => {
                self.known(&name)?;
                if name.as_str() == DEFAULT_TENANT && self.config.unknown == Unknown::Default {
                    return Err(AdminError::DefaultNeeded);
                }
                let mut config = self.config.clone();
                config.tenants.retain(|t| t.name != name);
                self.apply(now, config)?;
            }
            AdminCommand::DeviceSet(device, change) => self.device_set(now, device, &change)?,
            AdminCommand::TenantPause(name) => self.pause(now, &name, true)?,
            AdminCommand::TenantResume(name) => self.pause(now, &name, false)?,
            AdminCommand::SessionKill(session) => {
                if !self.sessions.contains_key(&session) {
                    return Err(AdminError::NoSuchSession(session));
                }
                self.end(now, session, EndReason::Killed, By::Asking);
            }
            AdminCommand::Reload(config) => self.apply(now, config)?,
            AdminCommand::Shutdown => {
                self.shutting_down = true;
                let all: Vec<SessionId> = self.sessions.keys().copied().collect();
                for session in all {
                    self.end(now, session, EndReason::Shutdown, By::Asking);
                }
            }
        }
        Ok(AdminReply::Done)
    }

    fn known(&self, name: &TenantName) -> Result<(), AdminError> {
        self.config.tenant(name).map(|_| ()).ok_or(AdminError::NoSuchTenant(*name))
    }

    fn tenant_set(&mut self, now: Instant, name: TenantName, change: &TenantChange) -> Result<(), AdminError> {
        let mut config = self.config.clone();
        if config.tenant(&name).is_none() {
            config.tenants.push(TenantConfig::modest(name));
        }
        for tenant in config.tenants.iter_mut().filter(|t| t.name == name) {
            let old = tenant.clone();
            *tenant = TenantConfig {
                name,
                matches: change.matches.clone().unwrap_or(old.matches),
                weight: change.weight.unwrap_or(old.weight),
                cap: change.cap.unwrap_or(old.cap),
                guarantee: change.guarantee.unwrap_or(old.guarantee),
                class: change.class.unwrap_or(old.class),
                slice: change.slice.unwrap_or(old.slice),
                group: change.group.unwrap_or(old.group),
                partition: change.partition.unwrap_or(old.partition),
                vram_limit: change.vram_limit.unwrap_or(old.vram_limit),
                vram_guarantee: change.vram_guarantee.unwrap_or(old.vram_guarantee),
                host_limit: change.host_limit.unwrap_or(old.host_limit),
                queues: change.queues.unwrap_or(old.queues),
                sessions: change.sessions.unwrap_or(old.sessions),
                max_dispatch: change.max_dispatch.unwrap_or(old.max_dispatch),
                shares: change.shares.clone().unwrap_or(old.shares),
            };
        }
        self.apply(now, config)
    }

    fn device_set(&mut self, now: Instant, device: Option<u32>, change: &DeviceChange) -> Result<(), AdminError> {
        let mut config = self.config.clone();
        if let Some(device) = device.filter(|device| *device as usize >= config.devices.len()) {
            return Err(AdminError::NoSuchDevice(device));
        }
        let wanted = |at: usize| device.is_none_or(|device| device as usize == at);
        for (_, device) in config.devices.iter_mut().enumerate().filter(|(at, _)| wanted(*at)) {
            device.policy = change.policy.unwrap_or(device.policy);
            device.slice = change.slice.unwrap_or(device.slice);
            device.adaptive = change.adaptive.unwrap_or(device.adaptive);
        }
        self.apply(now, config)
    }

    fn pause(&mut self, now: Instant, name: &TenantName, paused: bool) -> Result<(), AdminError> {
        self.known(name)?;
        let tenant = self.tenants.get_mut(name).ok_or(AdminError::NoSuchTenant(*name))?;
        if core::mem::replace(&mut tenant.paused, paused) != paused {
            self.set_paused(now, name, paused);
        }
        Ok(())
    }

    /// Checks a configuration as a whole, then makes it the one in force.
    fn apply(&mut self, now: Instant, config: Config) -> Result<(), AdminError> {
        config.check().map_err(AdminError::Config)?;
        if !config.same_layout(&self.config) {
            return Err(AdminError::Config(ConfigError::Layout));
        }
        config.check_guarantees(now).map_err(AdminError::Config)?;
        let old = core::mem::replace(&mut self.config, config);
        let removed: Vec<TenantName> =
            (self.tenants.keys()).filter(|name| self.config.tenant(name).is_none()).copied().collect();
        for at in 0..self.lessors.len() {
            let Self { lessors, config, .. } = self;
            lessors[at].configure(config, now);
        }
        for tenant in &self.config.tenants {
            let known = self.tenants.entry(tenant.name).or_default();
            (known.removed, known.max_dispatch) = (false, tenant.max_dispatch);
        }
        removed.iter().for_each(|name| self.remove_tenant(now, name));
        self.rehome(now);
        let changed = |tenant: &&TenantConfig| old.tenant(&tenant.name) != Some(tenant);
        let changed: Vec<TenantName> = self.config.tenants.iter().filter(changed).map(|tenant| tenant.name).collect();
        changed.iter().for_each(|name| self.tell_limits(name));
        self.emit(Event::ConfigChanged);
        Ok(())
    }

    fn remove_tenant(&mut self, now: Instant, name: &TenantName) {
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|(_, s)| s.tenant == *name).map(|(id, _)| *id).collect();
        if let Some(tenant) = self.tenants.get_mut(name) {
            tenant.removed = true;
        }
        if sessions.is_empty() {
            return self.drop_tenant(name);
        }
        for session in sessions {
            self.end(now, session, EndReason::TenantRemoved, By::Asking);
        }
    }

    fn tenant_statuses(&self, only: Option<&TenantName>) -> Vec<TenantStatus> {
        let wanted = |t: &&TenantConfig| only.is_none_or(|name| t.name == *name);
        let status = |config: &TenantConfig| {
            let tenant = self.tenants.get(&config.name)?;
            Some(TenantStatus {
                config: config.clone(),
                paused: tenant.paused,
                sessions: tenant.sessions,
                usage: self.ledger.usage(&config.name),
                charged: self.service(&config.name),
            })
        };
        self.config.tenants.iter().filter(wanted).filter_map(status).collect()
    }

    fn partition_name(&self, place: usize) -> PartitionName {
        let lessor = &self.lessors[place];
        self.config.devices[lessor.device].partitions[lessor.partition].name
    }

    fn device_statuses(&self) -> Vec<DeviceStatus> {
        let partition = |lessor: &Lessor| PartitionStatus {
            config: self.config.devices[lessor.device].partitions[lessor.partition],
            slice: lessor.slice(),
            outlook: lessor.outlook(),
            sessions: lessor.by_node.len(),
            runnable: lessor.runnable,
            totals: lessor.sched.totals(),
        };
        let device = |(at, config): (usize, &DeviceConfig)| DeviceStatus {
            config: config.clone(),
            vram_used: Bytes(self.ledger.total_on(at as u32).vram),
            partitions: self.lessors.iter().filter(|lessor| lessor.device == at).map(partition).collect(),
        };
        self.config.devices.iter().enumerate().map(device).collect()
    }

    fn session_statuses(&self) -> Vec<SessionStatus> {
        let status = |(&session, s): (&SessionId, &crate::machine::Session)| SessionStatus {
            session,
            tenant: s.tenant,
            peer: s.peer.clone(),
            command: s.command,
            worker_pid: s.worker_pid,
            phase: s.phase,
            began: s.began,
            runnable: s.runnable,
            leased: self.lessors[s.place].holder() == Some(session),
            device: self.lessors[s.place].device as u32,
            partition: self.partition_name(s.place),
            occupancy: s.occupancy,
            last_fault: s.last_fault.clone(),
        };
        self.sessions.iter().map(status).collect()
    }

    fn status(&self) -> Status {
        Status {
            tenants: self.tenant_statuses(None),
            sessions: self.session_statuses(),
            devices: self.device_statuses(),
            usage: self.ledger.total(),
            stale: self.stale(),
        }
    }
}
