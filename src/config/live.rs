//! Changes made while the daemon runs, kept across a restart.
//!
//! They lie over the configuration file: what was set live wins until it is reset. The file itself belongs to the administrator
//! and is never written.
//!
//! Promise: a change is kept as a whole or not at all, also when the machine stops in the middle: the new contents are written
//! beside the old ones, brought to the disk, and renamed over them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use proto::TenantName;
use serde::{Deserialize, Serialize};

use super::TenantSettings;
use super::values::{Division, Name, Pace};

/// What was changed live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Live {
    /// Tenants of the file that were removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Name>,
    /// Tenants that are paused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paused: Vec<Name>,
    /// What was set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tenant: Vec<TenantSettings>,
    /// What was set of devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    device: Vec<LiveDevice>,
}

/// What was changed live of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LiveDevice {
    /// Which, in the order of the configuration.
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Division>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slice: Option<Pace>,
}

/// Why live changes cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// They cannot be read.
    #[error("cannot read the kept changes in {}: {source}; check the rights of the file", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is damaged, or written by hand and wrong.
    #[error("the kept changes in {} are damaged: {what}; repair the file, or remove it and set them again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// They cannot be written.
    #[error("cannot keep changes in {}: {source}; check that the directory exists and can be written", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Returns where the changes to a configuration are kept if nobody says: in the directory the service manager gives us for that, or
/// beside the file.
pub(super) fn beside(config: &Path) -> PathBuf {
    match std::env::var_os("STATE_DIRECTORY").filter(|d| !d.is_empty()) {
        Some(directory) => PathBuf::from(directory).join("live.toml"),
        None => config.with_extension("live.toml"),
    }
}

impl Live {
    /// Reads what was kept; nothing if there is no such file.
    pub fn read(path: &Path) -> Result<Self, LiveError> {
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).map_err(|e| LiveError::Damaged {
                path: path.to_owned(),
                what: e.to_string().trim_end().replace('\n', " "),
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(LiveError::Read { path: path.to_owned(), source }),
        }
    }

    /// Keeps everything, in place of what was kept before.
    pub fn write(&self, path: &Path) -> Result<(), LiveError> {
        let failed = |source| LiveError::Write { path: path.to_owned(), source };
        let text = toml::to_string(self).map_err(|e| failed(std::io::Error::other(e)))?;
        let text =
            format!("# Written by wavegate. `wavegate tenant reset NAME` takes a tenant's changes back.\n{text}");
        let beside = path.with_extension("new");
        let mut file = File::create(&beside).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)?;
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|d| d.sync_all()).map_err(failed)
    }

    /// Notes that something of a tenant was set. `existed` says whether there was such a tenant; a new one starts from modest
    /// limits, whatever the file says of a tenant of that name that was removed.
    pub fn set(&mut self, settings: &TenantSettings, existed: bool) {
        let name = settings.name;
        let modest = || TenantSettings::of(&broker::TenantConfig::modest(name.0));
        let base = if existed { TenantSettings::nothing(name) } else { modest() };
        self.removed.retain(|n| *n != name);
        match self.tenant.iter_mut().find(|t| t.name == name) {
            Some(old) if existed => *old = old.overlaid(settings),
            Some(old) => *old = base.overlaid(settings),
            None => self.tenant.push(base.overlaid(settings)),
        }
    }

    /// Notes that a tenant was removed; `in_file` says whether it would come back with the file.
    pub fn remove(&mut self, name: TenantName, in_file: bool) {
        self.reset(name);
        if in_file {
            self.removed.push(Name(name));
        }
    }

    /// Notes what was set of a device.
    pub fn set_device(&mut self, index: u32, policy: Option<Division>, slice: Option<Pace>) {
        match self.device.iter_mut().find(|device| device.index == index) {
            Some(known) => (known.policy, known.slice) = (policy.or(known.policy), slice.or(known.slice)),
            None => self.device.push(LiveDevice { index, policy, slice }),
        }
    }

    /// Returns what was set live of a device.
    pub(super) fn device(&self, index: usize) -> (Option<Division>, Option<Pace>) {
        let known = self.device.iter().find(|device| device.index as usize == index);
        known.map_or((None, None), |known| (known.policy, known.slice))
    }

    /// Notes that a tenant was paused or resumed.
    pub fn pause(&mut self, name: TenantName, paused: bool) {
        self.paused.retain(|n| n.0 != name);
        if paused {
            self.paused.push(Name(name));
        }
    }

    /// Forgets everything about a tenant; returns whether there was anything.
    pub fn reset(&mut self, name: TenantName) -> bool {
        let before = self.clone();
        self.removed.retain(|n| n.0 != name);
        self.paused.retain(|n| n.0 != name);
        self.tenant.retain(|t| t.name.0 != name);
        *self != before
    }

    /// Returns the paused tenants.
    pub fn paused(&self) -> impl Iterator<Item = TenantName> {
        self.paused.iter().map(|n| n.0)
    }

    /// Returns what was set of a tenant live.
    pub fn settings(&self, name: &TenantName) -> Option<&TenantSettings> {
        self.tenant.iter().find(|t| t.name.0 == *name)
    }

    /// Returns the tenants of a file with these changes over them.
    pub(super) fn over(&self, file: &[TenantSettings]) -> Vec<TenantSettings> {
        let kept = file.iter().filter(|t| !self.removed.contains(&t.name));
        let changed = kept.map(|t| self.settings(&t.name.0).map_or_else(|| t.clone(), |live| t.overlaid(live)));
        let added = self.tenant.iter().filter(|t| !file.iter().any(|f| f.name == t.name));
        changed.chain(added.cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str, assignments: &[&str]) -> TenantSettings {
        let mut settings = TenantSettings::nothing(name.parse().unwrap());
        assignments.iter().try_for_each(|a| settings.set(a)).unwrap();
        settings
    }

    fn name(name: &str) -> TenantName {
        TenantName::new(name).unwrap()
    }

    #[test]
    fn changes_lie_over_the_file_until_they_are_reset() {
        let file = [settings("red", &["weight=1", "queues=1"]), settings("blue", &["weight=2"])];
        let mut live = Live::default();
        assert_eq!(live.over(&file), file);
        live.set(&settings("red", &["weight=5"]), true);
        live.set(&settings("red", &["sessions=7"]), true);
        live.set(&settings("green", &["weight=9"]), false);
        live.remove(name("blue"), true);
        let over = live.over(&file);
        assert_eq!(over.iter().map(|t| t.name.to_string()).collect::<Vec<_>>(), ["red", "green"]);
        assert_eq!(over[0], settings("red", &["weight=5", "queues=1", "sessions=7"]));
        assert_eq!(over[1].fields_set().len(), 15, "a new tenant is whole");

        // Removed and set again: it starts from modest limits, not from what the file says.
        live.set(&settings("blue", &["weight=4"]), false);
        let blue = live.over(&file).into_iter().find(|t| t.name.0 == name("blue")).unwrap();
        assert_eq!((blue.weight.map(|w| w.0.get()), blue.fields_set().len()), (Some(4), 15));

        for tenant in ["red", "green", "blue"] {
            assert!(live.reset(name(tenant)));
        }
        assert!(!live.reset(name("red")));
        assert_eq!((live.over(&file), live), (file.to_vec(), Live::default()));
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let directory = std::env::temp_dir().join(format!("wg-live-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("wavegate.live.toml");
        assert_eq!(Live::read(&path).unwrap(), Live::default());
        let mut live = Live::default();
        live.set(&settings("red", &["weight=5", "vram=2GiB", "match=uid=7"]), true);
        live.remove(name("blue"), true);
        live.pause(name("red"), true);
        for _ in 0..2 {
            live.write(&path).unwrap();
            assert_eq!(Live::read(&path).unwrap(), live);
        }
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "nothing else is left behind");
        std::fs::write(&path, "[[tenant]]\nname = \"red\"\nwieght = 1\n").unwrap();
        assert!(matches!(Live::read(&path), Err(LiveError::Damaged { .. })));
        assert!(matches!(live.write(&directory.join("missing/x.toml")), Err(LiveError::Write { .. })));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
