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
use sched::{Class, Share, Weight};

use crate::admission::Peer;
use crate::config::{Config, ConfigError, DEFAULT_TENANT, MatchRule, TenantConfig, Unknown};
use crate::contract::Event;
use crate::lease::Lessor;
use crate::ledger::Usage;
use crate::machine::{Broker, By, Phase, Tenant};

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
    /// Device time of its finished leases.
    pub occupancy: Nanos,
    /// What went wrong last.
    pub last_fault: Option<Fault>,
}

/// Everything as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Tenants, by name.
    pub tenants: Vec<TenantStatus>,
    /// Sessions, oldest first.
    pub sessions: Vec<SessionStatus>,
    /// Where the device's time went.
    pub totals: sched::Totals,
    /// What is pinned in all.
    pub usage: Usage,
    /// Device memory there is.
    pub device_vram: Bytes,
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
                vram_limit: change.vram_limit.unwrap_or(old.vram_limit),
                vram_guarantee: change.vram_guarantee.unwrap_or(old.vram_guarantee),
                host_limit: change.host_limit.unwrap_or(old.host_limit),
                queues: change.queues.unwrap_or(old.queues),
                sessions: change.sessions.unwrap_or(old.sessions),
                max_dispatch: change.max_dispatch.unwrap_or(old.max_dispatch),
            };
        }
        self.apply(now, config)
    }

    fn pause(&mut self, now: Instant, name: &TenantName, paused: bool) -> Result<(), AdminError> {
        self.known(name)?;
        let tenant = self.tenants.get_mut(name).ok_or(AdminError::NoSuchTenant(*name))?;
        if core::mem::replace(&mut tenant.paused, paused) != paused {
            let node = tenant.node;
            self.set_paused(now, node, paused);
        }
        Ok(())
    }

    /// Checks a configuration as a whole, then makes it the one in force.
    fn apply(&mut self, now: Instant, config: Config) -> Result<(), AdminError> {
        config.check().map_err(AdminError::Config)?;
        if config.slice > self.lessor.occupancy_max() {
            return Err(AdminError::Config(ConfigError::Slice { slice: config.slice }));
        }
        // Guarantees of device time depend on everybody's weight: try the whole on an empty scheduler.
        let mut trial = Lessor::new(&config, now).map_err(AdminError::Config)?;
        for guaranteed in [false, true] {
            for tenant in config.tenants.iter().filter(|t| t.guarantee.is_some() == guaranteed) {
                trial.join_tenant(tenant, now).map_err(AdminError::Config)?;
            }
        }
        let old = core::mem::replace(&mut self.config, config);
        self.lessor.set_slice(self.config.slice);
        self.apply_tenants(now, &old);
        self.emit(Event::ConfigChanged);
        Ok(())
    }

    /// In three rounds, so that no step in between is refused for a guarantee that the whole keeps: first nobody has one,
    /// then everybody has its weight, then everybody has its guarantee.
    fn apply_tenants(&mut self, now: Instant, old: &Config) {
        let removed: Vec<TenantName> =
            (self.tenants.keys()).filter(|name| self.config.tenant(name).is_none()).copied().collect();
        for (name, tenant) in &self.tenants {
            let params = old.tenant(name).map(TenantConfig::params).unwrap_or_default();
            self.lessor.set_tenant(tenant.node, sched::Params { guarantee: None, ..params }, now);
        }
        for name in &removed {
            self.remove_tenant(now, name);
        }
        for config in self.config.tenants.clone() {
            let plain = TenantConfig { guarantee: None, ..config.clone() };
            if let Some(tenant) = self.tenants.get_mut(&config.name) {
                tenant.removed = false;
                self.lessor.set_tenant(tenant.node, plain.params(), now);
            } else if let Ok(node) = self.lessor.join_tenant(&plain, now) {
                let tenant = Tenant { node, paused: false, sessions: 0, removed: false };
                self.tenants.insert(config.name, tenant);
            }
        }
        for config in self.config.tenants.clone() {
            if let Some(tenant) = self.tenants.get(&config.name) {
                self.lessor.set_tenant(tenant.node, config.params(), now);
            }
            if old.tenant(&config.name) != Some(&config) {
                self.tell_limits(&config.name);
            }
        }
    }

    fn remove_tenant(&mut self, now: Instant, name: &TenantName) {
        let sessions: Vec<SessionId> =
            self.sessions.iter().filter(|(_, s)| s.tenant == *name).map(|(id, _)| *id).collect();
        if let Some(tenant) = self.tenants.get_mut(name) {
            tenant.removed = true;
            // What is still ending must not stand in the way of others' guarantees.
            let node = tenant.node;
            self.lessor.set_tenant(node, sched::Params::weight(Weight::MIN), now);
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
                charged: self.lessor.service(tenant.node),
            })
        };
        self.config.tenants.iter().filter(wanted).filter_map(status).collect()
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
            leased: self.lessor.holder() == Some(session),
            occupancy: s.occupancy,
            last_fault: s.last_fault.clone(),
        };
        self.sessions.iter().map(status).collect()
    }

    fn status(&self) -> Status {
        Status {
            tenants: self.tenant_statuses(None),
            sessions: self.session_statuses(),
            totals: self.lessor.totals(),
            usage: self.ledger.total(),
            device_vram: self.config.device_vram,
            stale: self.stale(),
        }
    }
}
