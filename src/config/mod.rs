//! What an administrator sets, from the file to the terms of the broker.
//!
//! Promise: a file either becomes [`Settings`] that a broker can run with, or an error with file, line, what is wrong and what is
//! accepted. An unknown key is an error, so a misspelt limit is never silently no limit. What is not set has the values of
//! the built-in configuration: everybody is the tenant `default`, with modest limits.
//!
//! | module | subject |
//! |---|---|
//! | [`values`] | amounts as people write them |
//! | [`tenant`] | what can be set of a tenant |
//! | `file` | the configuration file |
//! | [`live`] | changes made while the daemon runs, kept across a restart |
//! | [`paths`] | where the sockets are if nobody says |
//!
//! Three layers, later ones win: the file, what was changed live, the command line of `wavegate serve`.

mod file;
pub mod live;
pub mod paths;
pub mod tenant;
pub mod values;

use std::collections::BTreeSet;
use std::path::PathBuf;

use broker::config::DEFAULT_TENANT;
use broker::{Broker, Config, DeviceConfig, GroupConfig, PartitionConfig, Placement, Unknown};
use proto::limits::DEVICE_NAME_MAX;
use proto::{Bytes, Instant, Nanos};

pub use file::FileError;
pub use live::{Live, LiveError};
pub use tenant::{Rule, TenantSettings};

use crate::device::spec::DeviceSpec;
use sched::Policy;
use values::SliceRule;

/// The first of the users that workers run as when the daemon is root; the session in slot `n` runs as this plus `n`. Numbers from
/// here on belong neither to people nor to systemd's dynamic users, for more sessions than the default.
const WORKER_UID_FIRST: u32 = 60_578;

/// Longest `preempt_timeout` with a card. The driver's own patience (`queue_preemption_timeout_ms`) is 9 s, then it resets the card for
/// everybody; a worker that does not stop must be gone long before.
const WATCHDOG_MAX: Nanos = Nanos::from_millis(4_000);

/// What the command line of `wavegate serve` sets on top of everything else.
#[derive(Clone, Debug, Default)]
pub struct ServeOptions {
    /// The configuration file; the built-in configuration without one.
    pub config: Option<PathBuf>,
    /// Where tenants connect.
    pub socket: Option<PathBuf>,
    /// Where administrators connect.
    pub admin_socket: Option<PathBuf>,
    /// The devices, in place of those of the file; none to keep those.
    pub devices: Vec<DeviceSpec>,
    /// Where live changes are kept.
    pub state: Option<PathBuf>,
    /// Where to write what tenants want of the devices, when the broker stops.
    pub record: Option<PathBuf>,
}

/// Who may connect to a socket, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// Its path, if one was set.
    pub path: Option<PathBuf>,
    /// The group its file gets; our own otherwise.
    pub gid: Option<u32>,
    /// Mode of its file.
    pub mode: u32,
}

/// One device, and what is set of it alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSettings {
    /// Which.
    pub spec: DeviceSpec,
    /// How its time is divided.
    pub policy: Option<Policy>,
    /// Length of a lease.
    pub slice: Option<SliceRule>,
}

impl DeviceSettings {
    /// Returns a device of which nothing is set.
    pub fn plain(spec: DeviceSpec) -> Self {
        Self { spec, policy: None, slice: None }
    }
}

/// Everything one configuration sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The devices; at least one.
    pub devices: Vec<DeviceSettings>,
    /// How sessions are spread over them.
    pub placement: Placement,
    /// How each of them is divided; not at all if there are none.
    pub partitions: Vec<PartitionConfig>,
    /// Groups of tenants.
    pub groups: Vec<GroupConfig>,
    /// How time is divided on devices that say nothing else.
    pub policy: Policy,
    /// Where tenants connect.
    pub tenant_socket: SocketSettings,
    /// Where administrators connect.
    pub admin_socket: SocketSettings,
    /// First of the users workers run as.
    pub worker_uid_first: u32,
    /// Where live changes are kept, if that was set.
    pub state: Option<PathBuf>,
    /// What is set of the tenants, in the order of the file.
    pub tenants: Vec<TenantSettings>,
    /// What happens to users that no tenant matches.
    pub unknown: Unknown,
    /// Sessions at a time.
    pub sessions_max: u32,
    /// Length of a lease on devices that say nothing else.
    pub slice: SliceRule,
    /// How long a worker may take to give the device back.
    pub preempt_timeout: Nanos,
    /// How long a worker may take to get ready.
    pub start_timeout: Nanos,
    /// How long a worker may take to end.
    pub end_timeout: Nanos,
    /// Whether LDS and registers are scrubbed between tenants.
    pub scrub: bool,
}

impl Settings {
    /// Returns the built-in configuration.
    pub fn built_in() -> Self {
        let config = Config::built_in(Bytes(0));
        Self {
            devices: vec![DeviceSettings::plain(DeviceSpec::default())],
            placement: Placement::default(),
            partitions: Vec::new(),
            groups: Vec::new(),
            policy: Policy::default(),
            tenant_socket: SocketSettings { path: None, gid: None, mode: 0o666 },
            admin_socket: SocketSettings { path: None, gid: None, mode: 0o600 },
            worker_uid_first: WORKER_UID_FIRST,
            state: None,
            tenants: Vec::new(),
            unknown: config.unknown,
            sessions_max: config.sessions_max,
            slice: SliceRule::fixed(DeviceConfig::whole(Bytes(0)).slice),
            preempt_timeout: config.preempt_timeout,
            start_timeout: config.start_timeout,
            end_timeout: config.end_timeout,
            scrub: config.scrub,
        }
    }

    /// Reads what `options` name: the file, or the built-in configuration, and on top what the command line says.
    pub fn load(options: &ServeOptions) -> Result<Self, FileError> {
        let mut settings = match &options.config {
            Some(path) => Self::read(path)?,
            None => Self::built_in(),
        };
        if !options.devices.is_empty() {
            settings.devices = options.devices.iter().cloned().map(DeviceSettings::plain).collect();
        }
        for device in &mut settings.devices {
            let (spec, why) = device.spec.clone().resolved();
            if let Some(why) = why {
                tracing::info!(device = %spec, "--device auto: {why}");
            }
            if spec.vram_bytes() == 0 {
                return Err(FileError::NoMemory { device: spec.to_string() });
            }
            device.spec = spec;
        }
        settings.check_hardware()?;
        settings.tenant_socket.path = options.socket.clone().or(settings.tenant_socket.path);
        settings.admin_socket.path = options.admin_socket.clone().or(settings.admin_socket.path);
        settings.state =
            options.state.clone().or(settings.state).or_else(|| options.config.as_deref().map(live::beside));
        Ok(settings)
    }

    /// Checks what hardware cannot do. A software GPU may be there several times: each is one of its own.
    fn check_hardware(&self) -> Result<(), FileError> {
        let mut seen = BTreeSet::new();
        for device in &self.devices {
            let DeviceSpec::Rocr(card) = &device.spec else { continue };
            if !seen.insert(card.index) {
                return Err(FileError::Twice { index: card.index });
            }
            let name = device.spec.to_string();
            if name.len() > DEVICE_NAME_MAX {
                return Err(FileError::Long { device: name });
            }
            if self.preempt_timeout > WATCHDOG_MAX {
                return Err(FileError::Patience { device: name, asked_ms: self.preempt_timeout.0 / 1_000_000 });
            }
            if !self.partitions.is_empty() {
                return Err(FileError::Undivided { device: name });
            }
        }
        Ok(())
    }

    /// Returns the configuration these settings and the changes in `live` make.
    pub fn to_config(&self, live: &Live) -> Config {
        let smallest = self.devices.iter().map(|device| device.spec.vram_bytes()).min().unwrap_or(0);
        let device_vram = Bytes(smallest);
        let mut tenants: Vec<_> = live.over(&self.tenants).iter().map(|t| t.to_config(device_vram)).collect();
        let built_in = Config::built_in(device_vram);
        if self.unknown == Unknown::Default && !tenants.iter().any(|t| t.name.as_str() == DEFAULT_TENANT) {
            tenants.extend(built_in.tenants);
        }
        Config {
            tenants,
            unknown: self.unknown,
            sessions_max: self.sessions_max,
            groups: self.groups.clone(),
            devices: (0..self.devices.len()).map(|at| self.device(at, live)).collect(),
            placement: self.placement,
            preempt_timeout: self.preempt_timeout,
            start_timeout: self.start_timeout,
            end_timeout: self.end_timeout,
            scrub: self.scrub,
        }
    }

    fn device(&self, at: usize, live: &Live) -> DeviceConfig {
        let DeviceSettings { spec, policy, slice } = &self.devices[at];
        let (live_policy, live_slice) = live.device(at);
        let SliceRule { slice, adaptive } = live_slice.map(|pace| pace.0).or(*slice).unwrap_or(self.slice);
        let whole = DeviceConfig::whole(Bytes(spec.vram_bytes()));
        DeviceConfig {
            cus: spec.software_units(),
            policy: live_policy.map(|division| division.0).or(*policy).unwrap_or(self.policy),
            slice,
            adaptive,
            partitions: if self.partitions.is_empty() { whole.partitions } else { self.partitions.clone() },
            ..whole
        }
    }

    /// Checks that a broker can run with this, guarantees of device time included.
    pub fn check(&self, live: &Live) -> Result<(), broker::ConfigError> {
        Broker::new(self.to_config(live), Instant(0)).map(drop)
    }
}
