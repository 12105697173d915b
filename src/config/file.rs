//! The configuration file: TOML.
//!
//! Promise: every error names file and line, whether the text is no TOML, a key does not exist, a value means nothing, or the parts do
//! not fit together.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use broker::{ConfigError, GroupConfig, PartitionConfig, Placement, Unknown};
use proto::limits::DEVICE_NAME_MAX;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::values::{Claim, Division, Name, Pace, Percent, Span};
use super::{DeviceSettings, Live, Settings, SocketSettings, TenantSettings, WATCHDOG_MAX};
use crate::device::spec::DeviceSpec;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the configuration {}: {source}; check the path and its rights", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody knows how much memory the device has.
    #[error(
        "{device}: how much device memory there is to share out is not known; say it with vram=SIZE, or see `wavegate doctor`"
    )]
    NoMemory {
        /// The device.
        device: String,
    },
    /// One card would be given away as two.
    #[error("GPU {index} is there twice; name each GPU once (`auto` is rocr:0 where hardware is usable)")]
    Twice {
        /// Its number.
        index: u32,
    },
    /// Partitions of a device that cannot be divided: their sessions would run on the same compute units at the same time.
    #[error("{device} has no partitions: only the software GPU is divided; remove [[partition]], or use soft")]
    Undivided {
        /// The device.
        device: String,
    },
    /// A description that does not fit the orders of a worker: what was cut off could be the end of a path.
    #[error("{device}: a device is described in at most {DEVICE_NAME_MAX} bytes; use shorter paths")]
    Long {
        /// The device.
        device: String,
    },
    /// Patience beyond the driver's.
    #[error(
        "{device} with a preempt_timeout of {asked_ms} ms: the driver resets a card that does not stop for 9 s, which ends everybody's work; \
         use {} ms at most", WATCHDOG_MAX.0 / 1_000_000
    )]
    Patience {
        /// The device.
        device: String,
        /// What was asked for.
        asked_ms: u64,
    },
    /// It says something that cannot be.
    #[error("{}:{line}: {what}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
        /// What, and what is accepted.
        what: String,
    },
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    device: Option<Devices>,
    placement: Option<Placed>,
    policy: Option<Division>,
    partition: Vec<Part>,
    group: Vec<TenantGroup>,
    unknown: Option<UnknownUsers>,
    sessions_max: Option<Spanned<u32>>,
    slice: Option<Spanned<Pace>>,
    preempt_timeout: Option<Spanned<Span>>,
    start_timeout: Option<Span>,
    end_timeout: Option<Span>,
    scrub: Option<bool>,
    state: Option<PathBuf>,
    worker_uid_first: Option<u32>,
    socket: Socket,
    admin_socket: Socket,
    tenant: Vec<Spanned<TenantSettings>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Socket {
    path: Option<PathBuf>,
    group: Option<Group>,
    mode: Option<Mode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnknownUsers {
    Default,
    Deny,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Placed {
    Spread,
    Pack,
}

/// A set of compute units of every device.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    name: Name,
    cus: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantGroup {
    name: Name,
    weight: Option<Claim>,
    cap: Option<Percent>,
    guarantee: Option<Percent>,
}

/// One device, or several, each by its name alone or with what is set of it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a device such as \"soft:cus=8\", \"rocr:0\" or \"auto\", or a list of devices")]
enum Devices {
    One(Device),
    Many(Vec<Entry>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a device such as \"soft:cus=8\", or { use = \"soft\", policy = ..., slice = ... }")]
enum Entry {
    Plain(Device),
    Set {
        #[serde(rename = "use")]
        device: Device,
        policy: Option<Division>,
        slice: Option<Pace>,
    },
}

struct Device(DeviceSpec);

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A file's mode, written in octal as `chmod` takes it.
struct Mode(u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
        mode.map(Self).ok_or_else(|| {
            de::Error::custom(format!("{text:?} is not a mode: use three octal digits, such as \"660\""))
        })
    }
}

/// A group by number, or by its name in the file of local groups.
struct Group(u32);

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Name(String),
        }
        match Written::deserialize(from)? {
            Written::Number(gid) => Ok(Self(gid)),
            Written::Name(name) => group_named(&name).map(Self).ok_or_else(|| {
                de::Error::custom(format!(
                    "there is no local group {name:?}: create it with `groupadd {name}`, or use a number"
                ))
            }),
        }
    }
}

fn group_named(name: &str) -> Option<u32> {
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    gid_in(&groups, name)
}

/// Looks a name up in the format of group(5): name, password, number, members.
fn gid_in(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten())
}

impl Settings {
    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads the text of a configuration file; `path` is for errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, FileError> {
        let wrong = |at: Option<Range<usize>>, what: String| {
            let before = at.and_then(|at| text.get(..at.start)).unwrap_or("");
            let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
            FileError::Wrong { path: path.to_owned(), line, what }
        };
        let file: File = toml::from_str(text).map_err(|e| wrong(e.span(), e.message().replace('\n', " ")))?;
        let settings = file.settings();
        settings.check(&Live::default()).map_err(|error| wrong(file.place_of(&error), error.to_string()))?;
        Ok(settings)
    }
}

impl FromStr for Settings {
    type Err = FileError;

    fn from_str(text: &str) -> Result<Self, FileError> {
        Self::parse(text, Path::new("configuration"))
    }
}

impl Entry {
    fn settings(&self) -> DeviceSettings {
        match self {
            Entry::Plain(Device(spec)) => DeviceSettings::plain(spec.clone()),
            Entry::Set { device: Device(spec), policy, slice } => DeviceSettings {
                spec: spec.clone(),
                policy: policy.map(|policy| policy.0),
                slice: slice.map(|slice| slice.0),
            },
        }
    }
}

impl TenantGroup {
    fn config(&self) -> GroupConfig {
        GroupConfig {
            name: self.name.0,
            weight: self.weight.map_or(sched::Weight::DEFAULT, |weight| weight.0),
            cap: self.cap.and_then(|cap| cap.0),
            guarantee: self.guarantee.and_then(|guarantee| guarantee.0),
        }
    }
}

impl File {
    fn settings(&self) -> Settings {
        let built_in = Settings::built_in();
        let socket = |set: &Socket, built_in: SocketSettings| SocketSettings {
            path: set.path.clone(),
            gid: set.group.as_ref().map(|g| g.0),
            // A group without a mode means: the group, and nobody else.
            mode: set.mode.as_ref().map_or(if set.group.is_some() { 0o660 } else { built_in.mode }, |m| m.0),
        };
        Settings {
            devices: match &self.device {
                None => built_in.devices,
                Some(Devices::One(Device(spec))) => vec![DeviceSettings::plain(spec.clone())],
                Some(Devices::Many(entries)) => entries.iter().map(Entry::settings).collect(),
            },
            placement: match self.placement {
                None => built_in.placement,
                Some(Placed::Spread) => Placement::Spread,
                Some(Placed::Pack) => Placement::Pack,
            },
            partitions: self.partition.iter().map(|p| PartitionConfig { name: p.name.0, cus: p.cus }).collect(),
            groups: self.group.iter().map(TenantGroup::config).collect(),
            policy: self.policy.map_or(built_in.policy, |policy| policy.0),
            tenant_socket: socket(&self.socket, built_in.tenant_socket),
            admin_socket: socket(&self.admin_socket, built_in.admin_socket),
            worker_uid_first: self.worker_uid_first.unwrap_or(built_in.worker_uid_first),
            state: self.state.clone(),
            tenants: self.tenant.iter().map(|t| t.get_ref().clone()).collect(),
            unknown: match self.unknown {
                None => built_in.unknown,
                Some(UnknownUsers::Default) => Unknown::Default,
                Some(UnknownUsers::Deny) => Unknown::Deny,
            },
            sessions_max: self.sessions_max.as_ref().map_or(built_in.sessions_max, |n| *n.get_ref()),
            slice: self.slice.as_ref().map_or(built_in.slice, |s| s.get_ref().0),
            preempt_timeout: self.preempt_timeout.as_ref().map_or(built_in.preempt_timeout, |s| s.get_ref().0),
            start_timeout: self.start_timeout.map_or(built_in.start_timeout, |s| s.0),
            end_timeout: self.end_timeout.map_or(built_in.end_timeout, |s| s.0),
            scrub: self.scrub.unwrap_or(built_in.scrub),
        }
    }

    /// Returns where in the file to look for what an error is about.
    fn place_of(&self, error: &ConfigError) -> Option<Range<usize>> {
        let tenant = match error {
            ConfigError::Slice { .. } => return self.slice.as_ref().map(Spanned::span),
            ConfigError::Sessions { .. } => return self.sessions_max.as_ref().map(Spanned::span),
            ConfigError::Times => return self.preempt_timeout.as_ref().map(Spanned::span),
            ConfigError::Twice { tenant }
            | ConfigError::EmptyRule { tenant }
            | ConfigError::GuaranteeAboveLimit { tenant }
            | ConfigError::GuaranteesAboveDevice { tenant, .. }
            | ConfigError::Guarantee { tenant, .. }
            | ConfigError::CapBelowGuarantee { tenant }
            | ConfigError::NothingGuaranteed { tenant, .. }
            | ConfigError::NoSuchGroup { tenant, .. }
            | ConfigError::NoSuchPartition { tenant, .. } => tenant,
            ConfigError::NoDefault
            | ConfigError::TooManyTenants { .. }
            | ConfigError::Devices { .. }
            | ConfigError::Partitions { .. }
            | ConfigError::PartitionUnits { .. }
            | ConfigError::PartitionTwice { .. }
            | ConfigError::GroupTwice { .. }
            | ConfigError::Layout => return None,
        };
        // Of two with one name the second is the one too many.
        self.tenant.iter().rev().find(|t| t.get_ref().name.0 == *tenant).map(Spanned::span)
    }
}

#[cfg(test)]
mod tests {
    use proto::{Bytes, Nanos};
    use sched::Policy;

    use super::*;

    const WHOLE: &str = r#"
        device = "soft:cus=4,vram=2GiB"
        unknown = "deny"
        sessions_max = 8
        placement = "pack"
        policy = "fixed-share"
        slice = "2ms"
        preempt_timeout = "200ms"
        start_timeout = "5s"
        end_timeout = "2s"
        scrub = true
        state = "/var/lib/wavegate/live.toml"
        worker_uid_first = 70000

        [socket]
        path = "/run/wavegate/tenant.sock"
        group = 44
        [admin_socket]
        path = "/run/wavegate/admin.sock"
        mode = "600"

        [[partition]]
        name = "left"
        cus = 1
        [[partition]]
        name = "right"
        cus = 3
        [[group]]
        name = "many"
        weight = 7

        [[tenant]]
        name = "red"
        slice = "3ms"
        group = "many"
        partition = "right"
        match = [{ uid = 1000 }, { gid = 50, cgroup = "/batch" }]
        weight = 300
        class = "latency:2ms"
        cap = "50%"
        guarantee = "10%"
        vram = "1GiB"
        vram_guarantee = "512MiB"
        host_memory = "256MiB"
        queues = 8
        sessions = 2
        max_dispatch_time = "10s"
        [[tenant]]
        name = "blue"
    "#;

    #[test]
    fn every_key_is_read() {
        let settings: Settings = WHOLE.parse().unwrap();
        let config = settings.to_config(&Live::default());
        assert_eq!((settings.devices[0].spec.software_units(), config.devices[0].vram), (4, Bytes(2 << 30)));
        assert_eq!((config.unknown, config.sessions_max), (Unknown::Deny, 8));
        assert_eq!((config.devices[0].slice, config.devices[0].policy), (Nanos::from_millis(2), Policy::FixedShare));
        let parts: Vec<_> = config.devices[0].partitions.iter().map(|p| (p.name.to_string(), p.cus)).collect();
        assert_eq!(parts, [("left".to_owned(), 1), ("right".to_owned(), 3)]);
        assert_eq!((config.groups[0].weight.get(), config.placement), (7, Placement::Pack));
        assert_eq!((config.preempt_timeout, config.end_timeout), (Nanos::from_millis(200), Nanos::from_millis(2_000)));
        assert_eq!((settings.worker_uid_first, settings.state), (70_000, Some("/var/lib/wavegate/live.toml".into())));
        assert_eq!((settings.tenant_socket.gid, settings.tenant_socket.mode), (Some(44), 0o660));
        assert_eq!((settings.admin_socket.gid, settings.admin_socket.mode), (None, 0o600));
        let [red, blue] = &config.tenants[..] else { panic!("two tenants, no default: {:?}", config.tenants) };
        assert_eq!((red.weight.get(), red.vram_limit, red.matches.len()), (300, Bytes(1 << 30), 2));
        assert_eq!(red.max_dispatch, Nanos::from_millis(10_000));
        assert_eq!(blue.weight, sched::Weight::DEFAULT);
    }

    #[test]
    fn devices_may_be_many_and_each_its_own() {
        let text = r#"device = ["soft:cus=2", { use = "soft:cus=4", policy = "best-effort", slice = "auto:98%" }]"#;
        let config = text.parse::<Settings>().unwrap().to_config(&Live::default());
        let policies: Vec<_> = config.devices.iter().map(|device| (device.cus, device.policy)).collect();
        assert_eq!(policies, [(2, Policy::Weighted), (4, Policy::BestEffort)]);
        assert!(config.devices[0].adaptive.is_none() && config.devices[1].adaptive.is_some());
    }

    #[test]
    fn a_card_is_given_away_once_and_whole() {
        let refused = |text: &str| text.parse::<Settings>().expect(text).check_hardware().expect_err(text).to_string();
        let twice = refused(r#"device = ["rocr:1,vram=1GiB", "rocr:1,vram=2GiB"]"#);
        assert!(twice.contains("GPU 1 is there twice"), "{twice}");
        let divided = "device = \"rocr:0,vram=1GiB\"\n[[partition]]\nname = \"a\"\ncus = 4\n";
        assert!(refused(divided).contains("has no partitions"));
        let long = format!("device = \"rocr:0,vram=1GiB,runtime=/{}\"", "long/".repeat(20));
        assert!(refused(&long).contains("at most 96 bytes"));
        let several = r#"device = ["rocr:0,vram=1GiB", "rocr:1,vram=1GiB", "soft:cus=2", "soft:cus=2"]"#;
        let settings: Settings = several.parse().unwrap();
        settings.check_hardware().unwrap();
        let config = settings.to_config(&Live::default());
        let vram: Vec<_> = config.devices.iter().map(|device| (device.vram.0 >> 30, device.cus)).collect();
        assert_eq!(vram, [(1, 0), (1, 0), (4, 2), (4, 2)]);
    }

    #[test]
    fn an_empty_file_is_the_built_in_configuration() {
        let settings: Settings = "".parse().unwrap();
        assert_eq!(settings, Settings::built_in());
        let config = settings.to_config(&Live::default());
        let mut built_in = broker::Config::built_in(Bytes(4 << 30));
        built_in.devices[0].cus = settings.devices[0].spec.software_units();
        assert_eq!(config, built_in);
    }

    #[test]
    fn wrong_files_are_explained_with_their_line() {
        let check = |text: &str, line: usize, expected: &str| {
            let error = text.parse::<Settings>().expect_err(text).to_string();
            let place = format!("configuration:{line}: ");
            assert!(error.starts_with(&place) && error.contains(expected), "{text}\n{error}");
        };
        check("slice = \n", 1, "");
        check("\nslize = \"5ms\"\n", 2, "unknown field `slize`");
        check("[[tenant]]\nname = \"red\"\nwieght = 3\n", 3, "unknown field `wieght`");
        check("[[tenant]]\nname = \"red\"\nweight = 0\n", 3, "\"0\" is not a weight");
        check("[[tenant]]\nname = \"red\"\nvram = \"2GB\"\n", 3, "\"2GB\" is not a size");
        check("[[tenant]]\nweight = 1\n", 1, "missing field `name`");
        check("[[tenant]]\nname = \"Red\"\n", 2, "\"Red\" is not a tenant's name");
        check("[[tenant]]\nname = \"red\"\nmatch = [{ user = 3 }]\n", 3, "unknown field `user`");
        check("[[tenant]]\nname = \"red\"\nmatch = [{}]\n", 1, "would match everybody");
        check("[[tenant]]\nname = \"a\"\n[[tenant]]\nname = \"b\"\n[[tenant]]\nname = \"a\"\n", 5, "defined twice");
        check("# fast\nslice = \"5us\"\n", 2, "outside");
        check("sessions_max = 0\n", 1, "not 1 to");
        check("unknown = \"maybe\"\n", 1, "unknown variant `maybe`");
        check("device = \"hard\"\n", 1, "a device such as");
        check("slice = \"soon\"\n", 1, "is not a slice");
        check("policy = \"fastest\"\n", 1, "use weighted, equal-share, fixed-share or best-effort");
        check("[[partition]]\nname = \"a\"\ncus = 99\n", 1, "99 compute units");
        check("[[tenant]]\nname = \"red\"\ngroup = \"x\"\n", 1, "group `x`, which is missing");
        check("\n[socket]\nmode = \"999\"\n", 3, "three octal digits");
        check("\n[socket]\ngroup = \"no-such-group-here\"\n", 3, "groupadd no-such-group-here");
        check(
            "[[tenant]]\nname = \"red\"\nguarantee = \"90%\"\n[[tenant]]\nname = \"blue\"\nguarantee = \"90%\"\n",
            1,
            "of the whole",
        );
    }

    #[test]
    fn groups_are_found_by_name() {
        let groups = "root:x:0:\nvideo:x:44:alice,bob\nbroken\n";
        assert_eq!((gid_in(groups, "video"), gid_in(groups, "vide"), gid_in(groups, "broken")), (Some(44), None, None));
    }
}
