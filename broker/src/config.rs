//! What an administrator sets, in the terms of the state machine. Reading it from a file is the shell's business.
//!
//! Promise: a [`Config`] that passed [`Config::check`] can be run; the error names the tenant and says what to change.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use proto::{Bytes, Instant, Nanos, TenantName};
use sched::pace::Targets;
use sched::{Class, Policy, Share, Weight};

use crate::lease::START_PATIENCE;
use crate::lessor::Lessor;
use crate::place::places;

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

/// The name of a group of tenants. The rules for names of tenants apply.
pub type GroupName = TenantName;

/// The name of a partition. The rules for names of tenants apply.
pub type PartitionName = TenantName;

/// Name of the partition of a device that is not divided.
pub const WHOLE: &str = "whole";

/// How sessions are spread over devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// To the device with the fewest sessions.
    #[default]
    Spread,
    /// To the fullest device that has room.
    Pack,
}

/// Tenants that share what one claim is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// Its name.
    pub name: GroupName,
    /// Its claim on device time relative to other groups and to tenants without one.
    pub weight: Weight,
    /// The most device time its tenants may have together.
    pub cap: Option<Share>,
    /// The least device time they must be entitled to together.
    pub guarantee: Option<Share>,
}

impl GroupConfig {
    pub(crate) fn params(&self) -> sched::Params {
        sched::Params { weight: self.weight, cap: self.cap, guarantee: self.guarantee, ..sched::Params::default() }
    }
}

/// A set of compute units that is scheduled on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionConfig {
    /// Its name.
    pub name: PartitionName,
    /// How many compute units it has; 0 for all there are.
    pub cus: u32,
}

/// A slice that follows the price of a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adaptive {
    /// The part of the device that switches leave to its users, at least.
    pub efficiency: Share,
    /// How long the last of equal tenants waits for its turn, at most; `None` if that does not matter.
    pub wait: Option<Nanos>,
    /// The longest slice.
    pub slice_max: Nanos,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Device memory there is.
    pub vram: Bytes,
    /// Compute units there are; 0 where that does not matter.
    pub cus: u32,
    /// How its time is divided.
    pub policy: Policy,
    /// How long a lease lasts before it may be taken away.
    pub slice: Nanos,
    /// Whether the slice follows the price of a switch; it begins with [`DeviceConfig::slice`] then.
    pub adaptive: Option<Adaptive>,
    /// The sets of compute units that are scheduled side by side; at least one.
    pub partitions: Vec<PartitionConfig>,
}

impl DeviceConfig {
    /// Returns a device that is not divided, with slices of 5 ms.
    pub fn whole(vram: Bytes) -> Self {
        let partitions = TenantName::new(WHOLE).map(|name| PartitionConfig { name, cus: 0 });
        Self {
            vram,
            cus: 0,
            policy: Policy::Weighted,
            slice: Nanos::from_millis(5),
            adaptive: None,
            partitions: partitions.into_iter().collect(),
        }
    }

    pub(crate) fn targets(&self) -> Option<Targets> {
        self.adaptive.map(|adaptive| Targets {
            efficiency: adaptive.efficiency,
            wait: adaptive.wait.map(|wait| sched::Nanos(wait.0)),
            slice_min: sched::Nanos(SLICE_MIN.0),
            slice_max: sched::Nanos(adaptive.slice_max.0),
        })
    }

    /// Returns the longest slice there can be.
    fn slice_max(&self) -> Nanos {
        self.adaptive.map_or(self.slice, |adaptive| adaptive.slice_max.max(self.slice))
    }
}

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

/// Whom a tenant may let at its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareRule {
    /// The other tenant. Nobody needs to have that name.
    pub with: TenantName,
    /// Whether that one may be let write, or only read.
    pub write: bool,
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
    /// How long its leases last, if not as long as the device says.
    pub slice: Option<Nanos>,
    /// The group it belongs to.
    pub group: Option<GroupName>,
    /// The partition it runs in, on devices that have one of this name; the first one of every device if not given.
    pub partition: Option<PartitionName>,
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
    /// The tenants that it may grant memory of its own to. Without an entry nothing crosses.
    pub shares: Vec<ShareRule>,
}

impl TenantConfig {
    /// Whether this tenant may let another one read, or write to, memory of its own.
    pub fn may_share(&self, with: &TenantName, write: bool) -> bool {
        self.shares.iter().any(|rule| rule.with == *with && (rule.write || !write))
    }

    /// Returns a tenant with modest limits that nobody matches yet.
    pub fn modest(name: TenantName) -> Self {
        Self {
            name,
            matches: Vec::new(),
            weight: Weight::DEFAULT,
            cap: None,
            guarantee: None,
            class: Class::Throughput,
            slice: None,
            group: None,
            partition: None,
            vram_limit: Bytes(1 << 30),
            vram_guarantee: Bytes(0),
            host_limit: Bytes(1 << 30),
            queues: 16,
            sessions: 4,
            max_dispatch: Nanos::from_millis(10_000),
            shares: Vec::new(),
        }
    }

    /// Returns what the scheduler needs to know.
    pub(crate) fn params(&self) -> sched::Params {
        sched::Params {
            weight: self.weight,
            class: self.class,
            cap: self.cap,
            guarantee: self.guarantee,
            slice: self.slice.map(|slice| sched::Nanos(slice.0)),
        }
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
    /// Groups of tenants.
    pub groups: Vec<GroupConfig>,
    /// The devices; at least one. Which there are, and how they are divided, is fixed for the life of a broker.
    pub devices: Vec<DeviceConfig>,
    /// How sessions are spread over them.
    pub placement: Placement,
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
/// Most sessions of a broker. Each costs it six descriptors and a process, so the host may have less room than that.
pub const SESSIONS_MAX: u32 = 16_384;
/// Most tenants of a configuration, and most groups.
pub const TENANTS_MAX: usize = 16_384;
/// Most devices of a broker.
pub const DEVICES_MAX: usize = proto::limits::DEVICES_MAX;
/// Most partitions of a device.
pub const PARTITIONS_MAX: usize = 16;

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
            groups: Vec::new(),
            devices: vec![DeviceConfig::whole(device_vram)],
            placement: Placement::Spread,
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
        self.check_devices()?;
        let own = self.tenants.iter().filter_map(|tenant| tenant.slice);
        if let Some(slice) = own.into_iter().find(|slice| !(SLICE_MIN..=SLICE_MAX).contains(slice)) {
            return Err(ConfigError::Slice { slice });
        }
        if self.sessions_max == 0 || self.sessions_max > SESSIONS_MAX {
            return Err(ConfigError::Sessions { sessions: self.sessions_max });
        }
        let most = self.tenants.len().max(self.groups.len());
        if most > TENANTS_MAX {
            return Err(ConfigError::TooManyTenants { tenants: most });
        }
        if self.unknown == Unknown::Default && !self.tenants.iter().any(|t| t.name.as_str() == DEFAULT_TENANT) {
            return Err(ConfigError::NoDefault);
        }
        let (mut guaranteed, mut names) = (0u64, BTreeSet::new());
        let device_vram = self.devices.iter().map(|device| device.vram).min().unwrap_or(Bytes(0));
        for group in &self.groups {
            if !names.insert(group.name) {
                return Err(ConfigError::GroupTwice { group: group.name });
            }
        }
        let groups = core::mem::take(&mut names);
        for tenant in &self.tenants {
            let name = tenant.name;
            if !names.insert(name) {
                return Err(ConfigError::Twice { tenant: name });
            }
            if let Some(group) = tenant.group.filter(|group| !groups.contains(group)) {
                return Err(ConfigError::NoSuchGroup { tenant: name, group });
            }
            if let Some(partition) = tenant.partition
                && !self.devices.iter().any(|device| device.partitions.iter().any(|p| p.name == partition))
            {
                return Err(ConfigError::NoSuchPartition { tenant: name, partition });
            }
            if tenant.matches.iter().any(|rule| *rule == MatchRule::default()) {
                return Err(ConfigError::EmptyRule { tenant: name });
            }
            if tenant.vram_guarantee > tenant.vram_limit {
                return Err(ConfigError::GuaranteeAboveLimit { tenant: name });
            }
            guaranteed = guaranteed.saturating_add(tenant.vram_guarantee.0);
            if guaranteed > device_vram.0 {
                return Err(ConfigError::GuaranteesAboveDevice { tenant: name, device: device_vram });
            }
        }
        Ok(())
    }

    fn check_devices(&self) -> Result<(), ConfigError> {
        if self.devices.is_empty() || self.devices.len() > DEVICES_MAX {
            return Err(ConfigError::Devices { devices: self.devices.len() });
        }
        for device in &self.devices {
            for slice in [Some(device.slice), device.adaptive.map(|a| a.slice_max)].into_iter().flatten() {
                if !(SLICE_MIN..=SLICE_MAX).contains(&slice) {
                    return Err(ConfigError::Slice { slice });
                }
            }
            let partitions = &device.partitions;
            if partitions.is_empty() || partitions.len() > PARTITIONS_MAX {
                return Err(ConfigError::Partitions { partitions: partitions.len() });
            }
            let asked: u64 = partitions.iter().map(|p| u64::from(p.cus)).sum();
            let divided = partitions.len() > 1 && partitions.iter().any(|p| p.cus == 0);
            if device.cus > 0 && (asked > u64::from(device.cus) || divided) {
                return Err(ConfigError::PartitionUnits { asked, there: device.cus });
            }
            let twice = |(i, p): &(usize, &PartitionConfig)| partitions[..*i].iter().any(|q| q.name == p.name);
            if let Some((_, p)) = partitions.iter().enumerate().find(twice) {
                return Err(ConfigError::PartitionTwice { partition: p.name });
            }
        }
        Ok(())
    }

    /// Returns whether a tenant runs in this partition of this device.
    pub fn may_use(&self, tenant: &TenantConfig, device: usize, partition: usize) -> bool {
        let partitions = self.devices.get(device).map_or(&[][..], |device| &device.partitions);
        match tenant.partition {
            None => partition == 0 && !partitions.is_empty(),
            Some(name) => partitions.get(partition).is_some_and(|p| p.name == name),
        }
    }

    /// Returns whether somebody is guaranteed device time.
    pub(crate) fn anything_guaranteed(&self) -> bool {
        let tenants = self.tenants.iter().any(|tenant| tenant.guarantee.is_some());
        tenants || self.groups.iter().any(|group| group.guarantee.is_some())
    }

    /// Tries on empty schedulers whether all guarantees of device time hold together.
    pub(crate) fn check_guarantees(&self, now: Instant) -> Result<(), ConfigError> {
        let mut tried: Vec<(Policy, PartitionName, bool)> = Vec::new();
        for (device, partition) in places(self) {
            let config = &self.devices[device];
            // Devices that are divided alike have the same answer.
            let kind = (config.policy, config.partitions[partition].name, partition == 0);
            if !tried.contains(&kind) {
                Lessor::new(self, device, partition, now)?;
                tried.push(kind);
            }
        }
        Ok(())
    }

    /// Returns whether the devices and their partitions are the same.
    pub(crate) fn same_layout(&self, other: &Self) -> bool {
        let layout = |device: &DeviceConfig| (device.vram, device.partitions.clone());
        self.devices.iter().map(layout).eq(other.devices.iter().map(layout))
    }

    /// Returns the settings of the schedulers of a device.
    pub(crate) fn sched(&self, device: usize) -> sched::Config {
        let config = &self.devices[device];
        sched::Config {
            policy: config.policy,
            slice: sched::Nanos(config.slice.0),
            occupancy_max: sched::Nanos(self.occupancy_max(device).0),
        }
    }

    /// Returns the longest time one session can keep a device from the others, *L* of [`sched::bounds`]: the longest slice, plus
    /// how late it may begin, plus the time it is given to stop, plus as much again for the kill to be noticed.
    pub fn occupancy_max(&self, device: usize) -> Nanos {
        let own = self.tenants.iter().filter_map(|tenant| tenant.slice);
        let slice = own.chain(self.devices.get(device).map(DeviceConfig::slice_max)).max().unwrap_or(SLICE_MAX);
        let around = START_PATIENCE.0.saturating_add(self.preempt_timeout.0.saturating_mul(2));
        Nanos(slice.0.saturating_add(around))
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
    /// With this tenant or group as it is to be, a guarantee of device time would not hold.
    Guarantee {
        /// Who does not fit.
        tenant: TenantName,
        /// Whose guarantee that is, if it is not its own.
        holder: Option<TenantName>,
        /// What is guaranteed.
        guarantee: Share,
        /// The largest weight that would fit, 0 if none; for one's own guarantee, what others may weigh in all.
        weight_max: u32,
    },
    /// A cap below the guarantee can never be kept.
    CapBelowGuarantee {
        /// The tenant or group.
        tenant: TenantName,
    },
    /// The policy guarantees nothing.
    NothingGuaranteed {
        /// The tenant or group with a guarantee.
        tenant: TenantName,
        /// The policy.
        policy: Policy,
    },
    /// Slice and timeout contradict each other.
    Times,
    /// No devices, or more than [`DEVICES_MAX`].
    Devices {
        /// How many.
        devices: usize,
    },
    /// No partitions, or more than [`PARTITIONS_MAX`].
    Partitions {
        /// How many.
        partitions: usize,
    },
    /// Partitions are disjoint sets of compute units, of at least one each.
    PartitionUnits {
        /// Compute units asked for.
        asked: u64,
        /// Compute units there are.
        there: u32,
    },
    /// Two partitions of a device have one name.
    PartitionTwice {
        /// The name.
        partition: PartitionName,
    },
    /// Two groups have one name.
    GroupTwice {
        /// The name.
        group: GroupName,
    },
    /// A tenant belongs to a group that does not exist.
    NoSuchGroup {
        /// The tenant.
        tenant: TenantName,
        /// The group.
        group: GroupName,
    },
    /// A tenant is to run in a partition that no device has.
    NoSuchPartition {
        /// The tenant.
        tenant: TenantName,
        /// The partition.
        partition: PartitionName,
    },
    /// Devices and partitions cannot change while the broker runs.
    Layout,
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
            Self::Guarantee { tenant, holder: Some(holder), guarantee, weight_max } => write!(
                f,
                "`{holder}` is guaranteed {guarantee} of device time; that leaves `{tenant}` a weight of at most {weight_max}"
            ),
            Self::Guarantee { tenant, holder: None, guarantee, weight_max } => write!(
                f,
                "the weight of `{tenant}` is not {guarantee} of the whole: others may weigh {weight_max} in all beside it; \
                 raise its weight, or guarantee less"
            ),
            Self::CapBelowGuarantee { tenant } => {
                write!(f, "`{tenant}` has a cap below its guarantee of device time; raise one or lower the other")
            }
            Self::NothingGuaranteed { tenant, policy } => write!(
                f,
                "the policy {} guarantees nothing, and `{tenant}` has a guarantee; take it away, or choose another policy",
                policy.name()
            ),
            Self::Times => write!(f, "slice and preempt_timeout do not fit together; shorten preempt_timeout"),
            Self::Devices { devices } => write!(f, "{devices} devices are not 1 to {DEVICES_MAX}"),
            Self::Partitions { partitions } => write!(f, "{partitions} partitions are not 1 to {PARTITIONS_MAX}"),
            Self::PartitionUnits { asked, there } => write!(
                f,
                "partitions ask for {asked} compute units of {there}; each needs one at least, and they share none"
            ),
            Self::PartitionTwice { partition } => {
                write!(f, "a device has two partitions called `{partition}`; rename one")
            }
            Self::GroupTwice { group } => write!(f, "group `{group}` is defined twice; rename or remove one"),
            Self::NoSuchGroup { tenant, group } => {
                write!(f, "tenant `{tenant}` belongs to the group `{group}`, which is missing: add it")
            }
            Self::NoSuchPartition { tenant, partition } => {
                write!(f, "tenant `{tenant}` is to run in `{partition}`, and no device has such a partition")
            }
            Self::Layout => write!(f, "devices, their memory and partitions change with a restart only"),
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
            (&|c| c.devices[0].slice = Nanos(1), ConfigError::Slice { slice: Nanos(1) }),
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
                    c.devices[0].vram = Bytes(1 << 29);
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
