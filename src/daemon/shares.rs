//! What part of device time everybody asks for, as far as one number says it.
//!
//! By the policy of the first device: among those who have sessions where idle time goes to others, among all where it is kept. Groups divide first, then their
//! tenants. Caps, and that only some have work at this moment, are not in it: what somebody *gets* is measured, elsewhere.

use std::collections::BTreeMap;

use broker::{Config, TenantStatus};
use proto::TenantName;
use sched::Policy;

/// One, in the unit of shares.
const WHOLE: u64 = 1_000_000;

/// Returns the share of everybody who takes part, in millionths.
pub(super) fn asked(config: &Config, tenants: &[TenantStatus]) -> BTreeMap<TenantName, u32> {
    let policy = config.devices.first().map_or(Policy::Weighted, |device| device.policy);
    let takes_part = |t: &&TenantStatus| policy == Policy::FixedShare || t.sessions > 0;
    let by_weight = matches!(policy, Policy::Weighted | Policy::FixedShare);
    let taking_part: Vec<&TenantStatus> = tenants.iter().filter(takes_part).collect();
    let mut inside: BTreeMap<TenantName, u64> = BTreeMap::new();
    for t in &taking_part {
        if let Some(group) = t.config.group {
            *inside.entry(group).or_default() += u64::from(t.config.weight.get());
        }
    }
    let weight_of = |group: &TenantName| config.groups.iter().find(|g| g.name == *group).map_or(1, |g| g.weight.get());
    let claim = |weight: u32| if by_weight { u64::from(weight) } else { 1 };
    let groups: u64 = inside.keys().map(|group| claim(weight_of(group))).sum();
    let alone = taking_part.iter().filter(|t| t.config.group.is_none());
    let total = groups + alone.map(|t| claim(t.config.weight.get())).sum::<u64>();
    let share = |t: &&TenantStatus| {
        let own = u64::from(t.config.weight.get());
        let (part, of) = match t.config.group {
            Some(group) => (claim(weight_of(&group)) * own, total * inside[&group]),
            None => (claim(t.config.weight.get()), total),
        };
        // At most one, in millionths; weights are below 2^20 and there are some thousand.
        (t.config.name, (part * WHOLE / of.max(1)) as u32)
    };
    taking_part.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use broker::{GroupConfig, TenantConfig};
    use proto::{Bytes, Nanos};
    use sched::Weight;

    use super::*;

    fn tenant(name: &str, weight: u32, group: Option<&str>, sessions: u32) -> TenantStatus {
        let name = TenantName::new(name).unwrap();
        let group = group.map(|group| TenantName::new(group).unwrap());
        let config = TenantConfig { weight: Weight::new(weight).unwrap(), group, ..TenantConfig::modest(name) };
        TenantStatus { config, paused: false, sessions, usage: Default::default(), charged: Nanos(0) }
    }

    #[test]
    fn groups_divide_first_and_who_is_away_counts_where_time_is_kept() {
        let mut config = Config::built_in(Bytes(1 << 30));
        let weight = Weight::new(100).unwrap();
        config.groups = vec![GroupConfig { name: TenantName::new("lab").unwrap(), weight, cap: None, guarantee: None }];
        let all = [
            tenant("a", 300, Some("lab"), 1),
            tenant("b", 100, Some("lab"), 2),
            tenant("c", 300, None, 1),
            tenant("away", 400, None, 0),
        ];
        let shares = |config: &Config| {
            let asked = asked(config, &all);
            ["a", "b", "c", "away"].map(|name| asked.get(&TenantName::new(name).unwrap()).copied())
        };
        assert_eq!(shares(&config), [Some(187_500), Some(62_500), Some(750_000), None]);
        config.devices[0].policy = Policy::FixedShare;
        assert_eq!(shares(&config), [Some(93_750), Some(31_250), Some(375_000), Some(500_000)]);
        config.devices[0].policy = Policy::EqualShare;
        assert_eq!(shares(&config), [Some(375_000), Some(125_000), Some(500_000), None]);
    }
}
