//! What an administrator sets, in the terms of the state machine. Reading it from a file is the shell's business.
//!
//! Promise: a [`Config`] that passed [`Config::check`] can be run; the error names the tenant and says what to change.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use proto::{Bytes, Nanos, TenantName};
use sched::{Class, Share, Weight};

/// What happens to users that no tenant matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// They become the tenant named [`DEFAULT_TENANT`].
    #[default]
    Default,
    /// They are refused.
    Deny,
}

/// Name of the tenant that users without an entry belong to.
pub const DEFAULT_TENANT: &str = "default";

/// A condition on a peer's credentials; all parts that are given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchRule {
    /// The user.
    pub uid: Option<u32>,
    /// The primary group.
    pub gid: Option<u32>,
    /// A cgroup: this path, or anything below it.
    pub cgroup: Option<String>,
}

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantConfig {
    /// Its name.
    pub name: TenantName,
    /// Who may be this tenant: any of these. The tenant [`DEFAULT_TENANT`] needs none.
    pub matches: Vec<MatchRule>,
    /// Its claim on device time relative to the other tenants.
    pub weight: Weight,
    /// The most device time it may have.
    pub cap: Option<Share>,
    /// The least device time it must be entitled to.
    pub guarantee: Option<Share>,
    /// Whether it wants throughput or short waits.
    pub class: Class,
    /// Device memory it may use.
    pub vram_limit: Bytes,
    /// Device memory that is kept free for it.
    pub vram_guarantee: Bytes,
    /// Host memory it may pin.
    pub host_limit: Bytes,
    /// Queues it may have.
    pub queues: u32,
    /// Sessions it may have at a time.
    pub sessions: u32,
    /// Longest time one dispatch may run; 0 for no limit.
    pub max_dispatch: Nanos,
}

impl TenantConfig {
    /// Returns a tenant with modest limits that nobody matches yet.
    pub fn modest(name: TenantName) -> Self {
        Self {
            name,
            matches: Vec::new(),
            weight: Weight::DEFAULT,
            cap: None,
            guarantee: None,
            class: Class::Throughput,
            vram_limit: Bytes(1 << 30),
            vram_guarantee: Bytes(0),
            host_limit: Bytes(1 << 30),
            queues: 16,
            sessions: 4,
            max_dispatch: Nanos::from_millis(10_000),
        }
    }

    /// Returns what the scheduler needs to know.
    pub(crate) fn params(&self) -> sched::Params {
        sched::Params { weight: self.weight, class: self.class, cap: self.cap, guarantee: self.guarantee, slice: None }
    }
}

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The tenants; the first that matches a peer is what it becomes if it names none.
    pub tenants: Vec<TenantConfig>,
    /// What happens to users that no tenant matches.
    pub unknown: Unknown,
    /// Sessions the broker holds at a time, over all tenants.
    pub sessions_max: u32,
    /// Device memory there is.
    pub device_vram: Bytes,
    /// How long a lease lasts before it may be taken away.
    pub slice: Nanos,
    /// How long a worker may take to give the device back before it is killed. Far below the nine seconds after which the AMD
    /// kernel driver resets the device for everybody (`queue_preemption_timeout_ms`).
    pub preempt_timeout: Nanos,
    /// How long a worker may take to open its device.
    pub start_timeout: Nanos,
    /// How long a worker may take to end in order before it is killed.
    pub end_timeout: Nanos,
    /// Whether LDS and registers are scrubbed when the device goes to another tenant. Off only to show what that prevents.
    pub scrub: bool,
}

/// Longest slice.
pub const SLICE_MAX: Nanos = Nanos::from_millis(1_000);
/// Shortest slice: about ten times what a hand-off costs between two processes (11 to 14 us elsewhere).
pub const SLICE_MIN: Nanos = Nanos::from_micros(100);
/// Most sessions of a broker. Each costs it six descriptors and a process.
pub const SESSIONS_MAX: u32 = 1_024;
/// Most tenants of a configuration.
pub const TENANTS_MAX: usize = 4_096;

impl Config {
    /// Returns the built-in configuration: everybody is the tenant [`DEFAULT_TENANT`].
    pub fn built_in(device_vram: Bytes) -> Self {
        let mut tenants = Vec::new();
        if let Ok(name) = TenantName::new(DEFAULT_TENANT) {
            let modest = TenantConfig::modest(name);
            tenants = vec![TenantConfig { vram_limit: modest.vram_limit.min(device_vram), ..modest }];
        }
        Self {
            tenants,
            unknown: Unknown::Default,
            sessions_max: 64,
            device_vram,
            slice: Nanos::from_millis(5),
            preempt_timeout: Nanos::from_millis(500),
            start_timeout: Nanos::from_millis(10_000),
            end_timeout: Nanos::from_millis(1_000),
            scrub: true,
        }
    }

    /// Returns the tenant of this name.
    pub fn tenant(&self, name: &TenantName) -> Option<&TenantConfig> {
        self.tenants.iter().find(|t| t.name == *name)
    }

    /// Checks that the parts fit together.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !(SLICE_MIN..=SLICE_MAX).contains(&self.slice) {
            return Err(ConfigError::Slice { slice: self.slice });
        }
        if self.sessions_max == 0 || self.sessions_max > SESSIONS_MAX {
            return Err(ConfigError::Sessions { sessions: self.sessions_max });
        }
        if self.tenants.len() > TENANTS_MAX {
            return Err(ConfigError::TooManyTenants { tenants: self.tenants.len() });
        }
        if self.unknown == Unknown::Default && !self.tenants.iter().any(|t| t.name.as_str() == DEFAULT_TENANT) {
            return Err(ConfigError::NoDefault);
        }
        let mut guaranteed = 0u64;
        for (i, tenant) in self.tenants.iter().enumerate() {
            let name = tenant.name;
            if self.tenants[..i].iter().any(|t| t.name == name) {
                return Err(ConfigError::Twice { tenant: name });
            }
            if tenant.matches.iter().any(|rule| *rule == MatchRule::default()) {
                return Err(ConfigError::EmptyRule { tenant: name });
            }
            if tenant.vram_guarantee > tenant.vram_limit {
                return Err(ConfigError::GuaranteeAboveLimit { tenant: name });
            }
            guaranteed = guaranteed.saturating_add(tenant.vram_guarantee.0);
            if guaranteed > self.device_vram.0 {
                return Err(ConfigError::GuaranteesAboveDevice { tenant: name, device: self.device_vram });
            }
        }
        Ok(())
    }

    /// Returns the longest time one session can keep the device from the others: slice, plus the time it is given to stop, plus
    /// as much again for the kill to be noticed.
    pub(crate) fn occupancy_max(&self) -> Nanos {
        Nanos(self.slice.0.saturating_add(self.preempt_timeout.0.saturating_mul(2)))
    }
}

/// What makes no sense in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The slice is outside [`SLICE_MIN`] to [`SLICE_MAX`].
    Slice {
        /// The slice asked for.
        slice: Nanos,
    },
    /// No sessions, or more than [`SESSIONS_MAX`].
    Sessions {
        /// The number asked for.
        sessions: u32,
    },
    /// More than [`TENANTS_MAX`] tenants.
    TooManyTenants {
        /// How many.
        tenants: usize,
    },
    /// Unknown users shall be the default tenant, but there is none.
    NoDefault,
    /// Two tenants have one name.
    Twice {
        /// The name.
        tenant: TenantName,
    },
    /// A rule without any condition would match everybody.
    EmptyRule {
        /// The tenant.
        tenant: TenantName,
    },
    /// More device memory is guaranteed to a tenant than it may use.
    GuaranteeAboveLimit {
        /// The tenant.
        tenant: TenantName,
    },
    /// More device memory is guaranteed than there is.
    GuaranteesAboveDevice {
        /// The tenant whose guarantee no longer fits.
        tenant: TenantName,
        /// What there is.
        device: Bytes,
    },
    /// The scheduler cannot honour the guarantees of device time, or the times contradict each other.
    DeviceTime {
        /// The tenant that does not fit, if it is about one.
        tenant: Option<TenantName>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slice { slice } => {
                write!(f, "a slice of {slice} is outside {SLICE_MIN} to {SLICE_MAX}; 5 ms suits most")
            }
            Self::Sessions { sessions } => write!(f, "{sessions} sessions are not 1 to {SESSIONS_MAX}"),
            Self::TooManyTenants { tenants } => write!(f, "{tenants} tenants are more than {TENANTS_MAX}"),
            Self::NoDefault => {
                write!(f, "unknown users become the tenant `{DEFAULT_TENANT}`, which is missing: add it or deny them")
            }
            Self::Twice { tenant } => write!(f, "tenant `{tenant}` is defined twice; rename or remove one"),
            Self::EmptyRule { tenant } => {
                write!(f, "a rule of tenant `{tenant}` has no uid, gid or cgroup and would match everybody; add one")
            }
            Self::GuaranteeAboveLimit { tenant } => {
                write!(f, "tenant `{tenant}` is guaranteed more device memory than its limit; raise the limit")
            }
            Self::GuaranteesAboveDevice { tenant, device } => write!(
                f,
                "with tenant `{tenant}` more device memory is guaranteed than the {device} there are; lower a guarantee"
            ),
            Self::DeviceTime { tenant: Some(tenant) } => {
                write!(f, "the device time guaranteed to `{tenant}` or others does not fit with these weights and caps")
            }
            Self::DeviceTime { tenant: None } => {
                write!(f, "slice and preempt_timeout do not fit together; shorten preempt_timeout")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantConfig {
        TenantConfig::modest(TenantName::new(name).unwrap())
    }

    #[test]
    fn nonsense_is_named() {
        let good = Config::built_in(Bytes(4 << 30));
        assert_eq!(good.check(), Ok(()));
        let red = tenant("red");
        type Change<'a> = &'a dyn Fn(&mut Config);
        let cases: &[(Change<'_>, ConfigError)] = &[
            (&|c| c.slice = Nanos(1), ConfigError::Slice { slice: Nanos(1) }),
            (&|c| c.sessions_max = 0, ConfigError::Sessions { sessions: 0 }),
            (&|c| c.tenants.clear(), ConfigError::NoDefault),
            (&|c| c.tenants.extend([tenant("red"), tenant("red")]), ConfigError::Twice { tenant: red.name }),
            (
                &|c| c.tenants.push(TenantConfig { matches: vec![MatchRule::default()], ..tenant("red") }),
                ConfigError::EmptyRule { tenant: red.name },
            ),
            (
                &|c| c.tenants.push(TenantConfig { vram_guarantee: Bytes(2 << 30), ..tenant("red") }),
                ConfigError::GuaranteeAboveLimit { tenant: red.name },
            ),
            (
                &|c| {
                    c.device_vram = Bytes(1 << 29);
                    c.tenants.push(TenantConfig { vram_guarantee: Bytes(1 << 30), ..tenant("red") });
                },
                ConfigError::GuaranteesAboveDevice { tenant: red.name, device: Bytes(1 << 29) },
            ),
        ];
        for (change, error) in cases {
            let mut config = good.clone();
            change(&mut config);
            assert_eq!(config.check(), Err(*error));
        }
    }
}
