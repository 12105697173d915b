//! What can be set of a tenant, as people write it.
//!
//! Promise: the configuration file, the kept live changes and `wavegate tenant set` have the same fields, so what can be set in one place
//! can be set in all. A field that is not given says nothing: the file's tenants start from modest limits, a change leaves
//! what was there.

use broker::{MatchRule, TenantChange, TenantConfig};
use proto::{Bytes, Nanos};
use serde::{Deserialize, Serialize};

use super::values::{Belongs, Claim, Limit, Name, Percent, Sharing, Size, Wish};

/// A condition on who connects; all parts given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The user's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The number of the primary group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// A path in the unified cgroup hierarchy: that group or anything below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
}

impl From<Rule> for MatchRule {
    fn from(Rule { uid, gid, cgroup }: Rule) -> Self {
        Self { uid, gid, cgroup }
    }
}

impl From<&MatchRule> for Rule {
    fn from(rule: &MatchRule) -> Self {
        Self { uid: rule.uid, gid: rule.gid, cgroup: rule.cgroup.clone() }
    }
}

/// Writes the struct of settings, and how one is laid over another, from one list of fields.
macro_rules! settings {
    ($($(#[$attribute:meta])* $field:ident: $Type:ty,)*) => {
        /// What somebody set of one tenant. What is `None` was not set.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct TenantSettings {
            /// Whose settings these are.
            pub name: Name,
            $($(#[$attribute])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$Type>,)*
        }

        impl TenantSettings {
            /// Returns settings that set nothing.
            pub fn nothing(name: Name) -> Self {
                Self { name, $($field: None),* }
            }

            /// Returns these settings with those of `later` instead where it has any.
            #[must_use]
            pub fn overlaid(&self, later: &Self) -> Self {
                Self { name: self.name, $($field: later.$field.clone().or_else(|| self.$field.clone())),* }
            }

            /// Returns the names of the fields that are set, as they are written.
            pub fn fields_set(&self) -> Vec<&'static str> {
                let all = [$((stringify!($field), self.$field.is_some())),*];
                let written = |field| if field == "matches" { "match" } else { field };
                all.into_iter().filter(|(_, set)| *set).map(|(field, _)| written(field)).collect()
            }
        }
    };
}

settings! {
    /// Who may be this tenant: any of these.
    #[serde(rename = "match")]
    matches: Vec<Rule>,
    /// Its claim on device time relative to the others.
    weight: Claim,
    /// The most device time it may have.
    cap: Percent,
    /// The least device time it must be entitled to.
    guarantee: Percent,
    /// Whether it wants throughput or short waits.
    class: Wish,
    /// How long its leases last, if not as long as the device's.
    slice: Limit,
    /// The group it belongs to.
    group: Belongs,
    /// The partition it runs in.
    partition: Belongs,
    /// Device memory it may use.
    vram: Size,
    /// Device memory that is kept free for it.
    vram_guarantee: Size,
    /// Host memory it may pin.
    host_memory: Size,
    /// Queues it may have.
    queues: u32,
    /// Sessions it may have at a time.
    sessions: u32,
    /// Longest time one dispatch may run.
    max_dispatch_time: Limit,
    /// The tenants that it may grant memory to.
    share: Vec<Sharing>,
}

impl TenantSettings {
    /// Returns the tenant these settings make of one with modest limits on a device with so much memory.
    pub fn to_config(&self, device_vram: Bytes) -> TenantConfig {
        let modest = TenantConfig::modest(self.name.0);
        TenantConfig {
            name: self.name.0,
            matches: self.matches.clone().map_or(modest.matches, |rules| rules.into_iter().map(Into::into).collect()),
            weight: self.weight.map_or(modest.weight, |v| v.0),
            cap: self.cap.map_or(modest.cap, |v| v.0),
            guarantee: self.guarantee.map_or(modest.guarantee, |v| v.0),
            class: self.class.map_or(modest.class, |v| v.0),
            slice: self.slice.map_or(modest.slice, unless_none),
            group: self.group.map_or(modest.group, |v| v.0),
            partition: self.partition.map_or(modest.partition, |v| v.0),
            vram_limit: self.vram.map_or(modest.vram_limit.min(device_vram), |v| v.0),
            vram_guarantee: self.vram_guarantee.map_or(modest.vram_guarantee, |v| v.0),
            host_limit: self.host_memory.map_or(modest.host_limit, |v| v.0),
            queues: self.queues.unwrap_or(modest.queues),
            sessions: self.sessions.unwrap_or(modest.sessions),
            max_dispatch: self.max_dispatch_time.map_or(modest.max_dispatch, |v| v.0),
            shares: self.share.as_ref().map_or(modest.shares, |list| list.iter().map(|v| v.0).collect()),
        }
    }

    /// Returns these settings as a change of a tenant that exists.
    pub fn to_change(&self) -> TenantChange {
        TenantChange {
            matches: self.matches.clone().map(|rules| rules.into_iter().map(Into::into).collect()),
            weight: self.weight.map(|v| v.0),
            cap: self.cap.map(|v| v.0),
            guarantee: self.guarantee.map(|v| v.0),
            class: self.class.map(|v| v.0),
            slice: self.slice.map(unless_none),
            group: self.group.map(|v| v.0),
            partition: self.partition.map(|v| v.0),
            vram_limit: self.vram.map(|v| v.0),
            vram_guarantee: self.vram_guarantee.map(|v| v.0),
            host_limit: self.host_memory.map(|v| v.0),
            queues: self.queues,
            sessions: self.sessions,
            max_dispatch: self.max_dispatch_time.map(|v| v.0),
            shares: self.share.as_ref().map(|list| list.iter().map(|v| v.0).collect()),
        }
    }

    /// Returns everything of a tenant as settings.
    pub fn of(tenant: &TenantConfig) -> Self {
        Self {
            name: Name(tenant.name),
            matches: Some(tenant.matches.iter().map(Into::into).collect()),
            weight: Some(Claim(tenant.weight)),
            cap: Some(Percent(tenant.cap)),
            guarantee: Some(Percent(tenant.guarantee)),
            class: Some(Wish(tenant.class)),
            slice: Some(Limit(tenant.slice.unwrap_or(Nanos(0)))),
            group: Some(Belongs(tenant.group)),
            partition: Some(Belongs(tenant.partition)),
            vram: Some(Size(tenant.vram_limit)),
            vram_guarantee: Some(Size(tenant.vram_guarantee)),
            host_memory: Some(Size(tenant.host_limit)),
            queues: Some(tenant.queues),
            sessions: Some(tenant.sessions),
            max_dispatch_time: Some(Limit(tenant.max_dispatch)),
            share: Some(tenant.shares.iter().copied().map(Sharing).collect()),
        }
    }

    /// Reads one `FIELD=VALUE` of a command line into these settings.
    pub fn set(&mut self, assignment: &str) -> Result<(), AssignmentError> {
        let Some((field, value)) = assignment.split_once('=') else {
            return Err(AssignmentError::NoEquals { assignment: assignment.to_owned() });
        };
        let bad =
            |what: &dyn std::fmt::Display| AssignmentError::Value { field: field.to_owned(), why: what.to_string() };
        let count = || value.parse::<u32>().map_err(|_| bad(&format_args!("{value:?} is not a whole number")));
        match field {
            "weight" => self.weight = Some(value.parse().map_err(|e| bad(&e))?),
            "cap" => self.cap = Some(value.parse().map_err(|e| bad(&e))?),
            "guarantee" => self.guarantee = Some(value.parse().map_err(|e| bad(&e))?),
            "class" => self.class = Some(value.parse().map_err(|e| bad(&e))?),
            "slice" => self.slice = Some(value.parse().map_err(|e| bad(&e))?),
            "group" => self.group = Some(value.parse().map_err(|e| bad(&e))?),
            "partition" => self.partition = Some(value.parse().map_err(|e| bad(&e))?),
            "vram" => self.vram = Some(value.parse().map_err(|e| bad(&e))?),
            "vram_guarantee" => self.vram_guarantee = Some(value.parse().map_err(|e| bad(&e))?),
            "host_memory" => self.host_memory = Some(value.parse().map_err(|e| bad(&e))?),
            "max_dispatch_time" => self.max_dispatch_time = Some(value.parse().map_err(|e| bad(&e))?),
            "queues" => self.queues = Some(count()?),
            "sessions" => self.sessions = Some(count()?),
            // One an assignment, as with rules.
            "share" if value == "none" => self.share.get_or_insert_default().clear(),
            "share" => self.share.get_or_insert_default().push(value.parse().map_err(|e| bad(&e))?),
            // One rule an assignment: its parts are joined by commas, `match=uid=1000,gid=50`; a second one adds a rule.
            "match" => {
                let rule = parse_rule(value).map_err(|why| bad(&why))?;
                self.matches.get_or_insert_default().push(rule);
            }
            _ => return Err(AssignmentError::Field { field: field.to_owned() }),
        }
        Ok(())
    }
}

/// A slice that is `none` is the device's.
fn unless_none(Limit(slice): Limit) -> Option<Nanos> {
    Some(slice).filter(|slice| slice.0 > 0)
}

fn parse_rule(text: &str) -> Result<Rule, String> {
    let mut rule = Rule::default();
    for part in text.split(',') {
        let number = |value: &str| value.parse().map_err(|_| format!("{value:?} is not a number"));
        match part.split_once('=') {
            Some(("uid", value)) => rule.uid = Some(number(value)?),
            Some(("gid", value)) => rule.gid = Some(number(value)?),
            Some(("cgroup", value)) => rule.cgroup = Some(value.to_owned()),
            _ => return Err(format!("{part:?} is not uid=N, gid=N or cgroup=PATH")),
        }
    }
    Ok(rule)
}

/// Why an assignment of a command line sets nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// There is no `=`.
    #[error("{assignment:?} sets nothing: write FIELD=VALUE, such as weight=3")]
    NoEquals {
        /// What was written.
        assignment: String,
    },
    /// No such field.
    #[error(
        "a tenant has no {field:?}: use weight, class, cap, guarantee, slice, group, partition, vram, vram_guarantee, host_memory, queues, sessions, \
         max_dispatch_time, share or match"
    )]
    Field {
        /// What was written.
        field: String,
    },
    /// Not a value of this field.
    #[error("{field}: {why}")]
    Value {
        /// The field.
        field: String,
        /// What is wrong with the value.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(assignments: &[&str]) -> Result<TenantSettings, AssignmentError> {
        let mut settings = TenantSettings::nothing("red".parse().unwrap());
        assignments.iter().try_for_each(|a| settings.set(a)).map(|()| settings)
    }

    #[test]
    fn every_field_can_be_assigned_and_survives_the_way_through_a_change() {
        let all = [
            "match=uid=1000,gid=5",
            "match=cgroup=/batch",
            "weight=3",
            "cap=50%",
            "guarantee=12.5%",
            "class=latency:2ms",
            "slice=2ms",
            "group=many",
            "partition=left",
            "vram=2GiB",
            "vram_guarantee=1GiB",
            "host_memory=64MiB",
            "queues=3",
            "sessions=2",
            "max_dispatch_time=none",
            "share=blue:read",
            "share=green:write",
        ];
        let set = settings(&all).unwrap();
        assert_eq!(set.fields_set().len(), 15);
        assert_eq!(settings(&["share=blue:read", "share=none"]).unwrap().share, Some(Vec::new()));
        // Nothing was lost: as a tenant and back it is the same, and so it is through text.
        assert_eq!(TenantSettings::of(&set.to_config(Bytes(1 << 40))), set);
        assert_eq!(toml::from_str::<TenantSettings>(&toml::to_string(&set).unwrap()).unwrap(), set);
        assert_eq!(serde_json::from_str::<TenantSettings>(&serde_json::to_string(&set).unwrap()).unwrap(), set);
        let change = set.to_change();
        assert_eq!((change.queues, change.cap.flatten().map(sched::Share::millionths)), (Some(3), Some(500_000)));
    }

    #[test]
    fn what_is_not_set_says_nothing() {
        let nothing = settings(&[]).unwrap();
        assert_eq!(nothing.to_change(), TenantChange::default());
        assert_eq!(nothing.to_config(Bytes(1 << 40)), TenantConfig::modest(nothing.name.0));
        assert_eq!(nothing.to_config(Bytes(1 << 20)).vram_limit, Bytes(1 << 20), "no more than the device has");
        let (first, later) = (settings(&["weight=3", "queues=1"]).unwrap(), settings(&["queues=2"]).unwrap());
        assert_eq!(first.overlaid(&later), settings(&["weight=3", "queues=2"]).unwrap());
    }

    #[test]
    fn wrong_assignments_are_explained() {
        for (assignment, expected) in [
            ("weight", "\"weight\" sets nothing: write FIELD=VALUE, such as weight=3"),
            ("wieght=3", "a tenant has no \"wieght\": use weight, class, cap"),
            ("vram=2GB", "vram: \"2GB\" is not a size"),
            ("queues=-1", "queues: \"-1\" is not a whole number"),
            ("match=user=me", "match: \"user=me\" is not uid=N, gid=N or cgroup=PATH"),
            ("match=uid=me", "match: \"me\" is not a number"),
        ] {
            let error = settings(&[assignment]).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{assignment}: {error}");
        }
    }
}
