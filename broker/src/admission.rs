//! Which tenant a connection is, from what the kernel says about the peer.
//!
//! Promise: credentials decide. The name in a `Hello` can only choose among the tenants that match them anyway, and a
//! stranger cannot find out which tenants exist.

use alloc::string::String;

use proto::TenantName;
use proto::message::RefuseCode;

use crate::config::{Config, DEFAULT_TENANT, MatchRule, TenantConfig, Unknown};

/// What the kernel says about the process at the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its process id, for people.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Path of its cgroup (version 2), such as `/user.slice/user-1000.slice`.
    pub cgroup: String,
}

/// Returns the tenant this peer is, or why it is none.
pub fn tenant_of<'a>(
    config: &'a Config,
    peer: &Peer,
    wanted: Option<&TenantName>,
) -> Result<&'a TenantConfig, RefuseCode> {
    let mut matching = config.tenants.iter().filter(|t| t.matches.iter().any(|rule| holds(rule, peer))).peekable();
    if matching.peek().is_some() {
        return match wanted {
            None => matching.next().ok_or(RefuseCode::UnknownUser),
            Some(name) => matching.find(|t| t.name == *name).ok_or(RefuseCode::NotThatTenant),
        };
    }
    if config.unknown == Unknown::Deny {
        return Err(RefuseCode::UnknownUser);
    }
    if wanted.is_some_and(|name| name.as_str() != DEFAULT_TENANT) {
        return Err(RefuseCode::NotThatTenant);
    }
    config.tenants.iter().find(|t| t.name.as_str() == DEFAULT_TENANT).ok_or(RefuseCode::UnknownUser)
}

fn holds(rule: &MatchRule, peer: &Peer) -> bool {
    *rule != MatchRule::default()
        && rule.uid.is_none_or(|uid| uid == peer.uid)
        && rule.gid.is_none_or(|gid| gid == peer.gid)
        && rule.cgroup.as_deref().is_none_or(|path| is_below(&peer.cgroup, path))
}

/// Returns whether `path` is `top` or below it; `/a/bc` is not below `/a/b`.
fn is_below(path: &str, top: &str) -> bool {
    let top = top.trim_end_matches('/');
    path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proto::Bytes;

    fn config() -> Config {
        let tenant = |name: &str, matches: Vec<MatchRule>| TenantConfig {
            matches,
            ..TenantConfig::modest(TenantName::new(name).unwrap())
        };
        let uid = |uid| MatchRule { uid: Some(uid), ..MatchRule::default() };
        let mut config = Config::built_in(Bytes(1 << 32));
        config.tenants.extend([
            tenant("red", vec![uid(1000)]),
            tenant("blue", vec![uid(1000), MatchRule { gid: Some(50), ..MatchRule::default() }]),
            tenant("batch", vec![MatchRule { cgroup: Some("/batch/".into()), ..MatchRule::default() }]),
            tenant("both", vec![MatchRule { uid: Some(7), gid: Some(8), cgroup: None }]),
        ]);
        config
    }

    #[test]
    fn credentials_decide_and_names_only_choose() {
        let peer = |uid, gid, cgroup: &str| Peer { pid: 1, uid, gid, cgroup: cgroup.into() };
        let cases = [
            (peer(1000, 1, "/"), None, Ok("red")),
            (peer(1000, 1, "/"), Some("blue"), Ok("blue")),
            (peer(1000, 1, "/"), Some("batch"), Err(RefuseCode::NotThatTenant)),
            (peer(1000, 1, "/"), Some("default"), Err(RefuseCode::NotThatTenant)),
            (peer(1000, 1, "/"), Some("no-such"), Err(RefuseCode::NotThatTenant)),
            (peer(1, 50, "/"), None, Ok("blue")),
            (peer(1, 1, "/batch"), None, Ok("batch")),
            (peer(1, 1, "/batch/job7"), None, Ok("batch")),
            (peer(1, 1, "/batchelor"), None, Ok("default")),
            (peer(7, 1, "/"), None, Ok("default")),
            (peer(7, 8, "/"), None, Ok("both")),
            (peer(1, 1, "/"), Some("default"), Ok("default")),
            (peer(1, 1, "/"), Some("red"), Err(RefuseCode::NotThatTenant)),
        ];
        let config = config();
        for (peer, wanted, outcome) in cases {
            let wanted = wanted.map(|n| TenantName::new(n).unwrap());
            let got = tenant_of(&config, &peer, wanted.as_ref()).map(|t| t.name.as_str());
            assert_eq!(got, outcome, "{peer:?} wants {wanted:?}");
        }
    }

    #[test]
    fn strangers_are_denied_where_the_config_says_so() {
        let config = Config { unknown: Unknown::Deny, ..config() };
        let stranger = Peer { uid: 4, gid: 4, ..Peer::default() };
        assert_eq!(tenant_of(&config, &stranger, None), Err(RefuseCode::UnknownUser));
        let red = TenantName::new("red").unwrap();
        assert_eq!(tenant_of(&config, &stranger, Some(&red)), Err(RefuseCode::UnknownUser));
    }
}
