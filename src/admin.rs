//! What administrators and the daemon say to each other: one JSON object a line, in both directions.
//!
//! Promise: a line is either a [`Request`] or answered with a [`Failure`] that says what is wrong with it; every request is answered by
//! exactly one [`Answer`], in order. Lines of requests are at most [`LINE_BYTES_MAX`] long. Numbers carry their unit in the name
//! (`_ns`, `_bytes`), so that a script needs no manual; times are lengths, never points.
//!
//! `docs/admin.md` shows the protocol with examples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::values::{Division, Name, Pace, Sharing};
use crate::config::{Rule, TenantSettings};

/// Longest request in bytes, its newline included: a tenant with some thousand rules.
pub const LINE_BYTES_MAX: usize = 256 << 10;

/// What an administrator wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// All tenants. Answer: [`Reply::Tenants`].
    TenantList,
    /// One tenant. Answer: [`Reply::Tenants`].
    TenantShow {
        /// Which.
        tenant: Name,
    },
    /// Change a tenant, or add it.
    TenantSet {
        /// What to change.
        settings: Box<TenantSettings>,
    },
    /// Forget what was changed live of a tenant: it is again as the configuration file says.
    TenantReset {
        /// Which.
        tenant: Name,
    },
    /// Remove a tenant and end its sessions.
    TenantRemove {
        /// Which.
        tenant: Name,
    },
    /// Give a tenant no device time and admit no sessions of it.
    TenantPause {
        /// Which.
        tenant: Name,
    },
    /// Undo that.
    TenantResume {
        /// Which.
        tenant: Name,
    },
    /// Change how the time of a device, or of all, is divided.
    DeviceSet {
        /// Which, in the order of the configuration; all if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<u32>,
        /// By which policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Division>,
        /// In slices of what length.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        slice: Option<Pace>,
    },
    /// All sessions. Answer: [`Reply::Sessions`].
    SessionList,
    /// End a session.
    SessionKill {
        /// Its number.
        session: u64,
    },
    /// Everything. Answer: [`Reply::Status`].
    Status,
    /// Tell what happens from now on: the connection becomes a [tap](crate::tap).
    Trace,
    /// Read the configuration file again.
    Reload,
    /// End all sessions and the daemon.
    Shutdown,
}

/// The daemon's answer to one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It was done.
    Ok(Reply),
    /// It was not.
    Error(Failure),
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done, or under way.
    Done,
    /// Tenants, in the order of the configuration.
    Tenants(Vec<Tenant>),
    /// Sessions, oldest first.
    Sessions(Vec<Session>),
    /// Everything.
    Status(Box<Status>),
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// For programs.
    pub code: FailureCode,
    /// For people: what, why, and what to do next.
    pub text: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// The line is no request.
    BadRequest,
    /// There is no such tenant.
    NoSuchTenant,
    /// There is no such session.
    NoSuchSession,
    /// The configuration would make no sense.
    BadConfig,
    /// It was done, but a restart will forget it.
    NotKept,
    /// There are more administrators than the daemon serves at a time.
    Busy,
    /// The connecting user is not an administrator.
    NotPermitted,
}

/// Counts of what a worker did. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets consumed.
    pub packets: u64,
    /// Kernel dispatches completed.
    pub dispatches: u64,
    /// Wave-instructions retired.
    pub wave_instructions: u64,
    /// Time in which at least one dispatch was running.
    pub busy_ns: u64,
    /// Faults of the tenant's program.
    pub faults: u64,
    /// Leases parked.
    pub parks: u64,
    /// Leases taken up again without the broker.
    pub unparks: u64,
    /// Packets that were damaged or refused.
    pub bad_packets: u64,
}

/// A distribution of times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many were measured. All others are 0 if none were.
    pub count: u64,
    /// Their sum; exact for the broker's own measurements since the start, of bucket values for all others.
    pub sum_ns: u64,
    /// The shortest.
    pub min_ns: u64,
    /// Half are not longer.
    pub p50_ns: u64,
    /// 9 of 10 are not longer.
    pub p90_ns: u64,
    /// 99 of 100 are not longer.
    pub p99_ns: u64,
    /// 999 of 1000 are not longer.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// What a tenant measured in the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastMinute {
    /// How long that is: 60 to 70 seconds, or less if the daemon has not run for as long.
    pub span_ns: u64,
    /// From seeing a packet to its completion.
    pub dispatch_latency: Distribution,
    /// From having work to the first instruction, for leases that had to be waited for.
    pub lease_wait: Distribution,
    /// Lengths of its leases, without the time they were parked.
    pub occupancy: Distribution,
}

/// A fault of a tenant's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What went wrong.
    pub kind: String,
    /// The queue.
    pub queue: u32,
    /// The packet, counted from the first ever.
    pub packet: u64,
    /// The address touched, for memory faults.
    pub address: u64,
    /// Where the kernel was.
    pub pc: u64,
    /// The kernel, if its name is known.
    pub kernel: String,
    /// The whole story in words, as far as it fits: work-group, wave and lane, and how far into the kernel.
    pub detail: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, queue, packet, address, pc, kernel, detail } = self;
        write!(f, "{kind} in packet {packet} of q{queue}")?;
        if !kernel.is_empty() {
            write!(f, ", kernel {kernel}")?;
        }
        if *address != 0 {
            write!(f, ", address {address:#x}")?;
        }
        if *pc != 0 {
            write!(f, ", pc {pc:#x}")?;
        }
        if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
    }
}

/// What a tenant is owed on one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Which device, in the order of the configuration.
    pub device: u32,
    /// Which partition of it.
    pub partition: Name,
    /// Device time: positive if it received less than its share so far, negative if more.
    pub lag_ns: i64,
}

/// A tenant as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name.
    pub name: Name,
    /// Who may be this tenant.
    #[serde(rename = "match")]
    pub matches: Vec<Rule>,
    /// Its claim on device time relative to the others.
    pub weight: u32,
    /// `throughput`, or `latency:` and a slice.
    pub class: String,
    /// The most device time it may have, in millionths.
    pub cap_millionths: Option<u32>,
    /// The least it must be entitled to, in millionths.
    pub guarantee_millionths: Option<u32>,
    /// How long its leases last, if not as long as the device's.
    pub slice_ns: Option<u64>,
    /// The group it belongs to.
    pub group: Option<Name>,
    /// The partition it is to run in.
    pub partition: Option<Name>,
    /// Longest time one dispatch may run; 0 for no limit.
    pub max_dispatch_time_ns: u64,
    /// The tenants that it may grant memory to, and what they may do with it.
    pub share: Vec<Sharing>,
    /// Device memory it may use.
    pub vram_limit_bytes: u64,
    /// Device memory kept free for it.
    pub vram_guarantee_bytes: u64,
    /// Device memory it uses.
    pub vram_used_bytes: u64,
    /// Host memory it may pin.
    pub host_memory_limit_bytes: u64,
    /// Host memory it has pinned.
    pub host_memory_used_bytes: u64,
    /// Queues it may have.
    pub queues_limit: u32,
    /// Queues it has.
    pub queues_used: u32,
    /// Sessions it may have.
    pub sessions_limit: u32,
    /// Sessions it has.
    pub sessions: u32,
    /// Whether it is paused.
    pub paused: bool,
    /// Which of its settings were changed live.
    pub set_live: Vec<String>,
    /// Its part of device time by policy, weights and groups, among those who share it now; `None` if it has no session and nothing is kept for it.
    pub share_asked_millionths: Option<u32>,
    /// What it is owed where it competes.
    pub lags: Vec<Lag>,
    /// Device time it was charged, switches included.
    pub device_time_ns: u64,
    /// What its workers did, those that have ended included.
    pub counters: Counters,
    /// From seeing a packet to its completion.
    pub dispatch_latency: Distribution,
    /// From having work to the first instruction, for leases that had to be waited for.
    pub lease_wait: Distribution,
    /// Lengths of its leases, without the time they were parked.
    pub occupancy: Distribution,
    /// The same, lately.
    pub last_minute: LastMinute,
    /// Requests for memory or queues that were denied, by code.
    pub denied: BTreeMap<String, u64>,
    /// Sessions that have ended, by reason.
    pub ended: BTreeMap<String, u64>,
    /// Charges its dead workers had not given back, and that were taken back.
    pub reclaimed_charges: u64,
    /// How much memory those were.
    pub reclaimed_bytes: u64,
    /// What went wrong last.
    pub last_fault: Option<Fault>,
}

/// A session as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its number.
    pub session: u64,
    /// Its tenant.
    pub tenant: Name,
    /// The tenant's process.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// Its cgroup.
    pub cgroup: String,
    /// What it calls itself.
    pub command: String,
    /// The worker's process.
    pub worker_pid: u32,
    /// `starting`, `running` or `ending`.
    pub phase: String,
    /// `idle`, `waiting`, `leased`, or `parked`: it has the lease and nothing to run.
    pub device: String,
    /// Which device it is on, in the order of the configuration.
    pub device_index: u32,
    /// In which partition of it.
    pub partition: Name,
    /// How long ago it was admitted.
    pub age_ns: u64,
    /// Device time of its finished leases.
    pub occupancy_ns: u64,
    /// Device memory it uses.
    pub vram_used_bytes: u64,
    /// Host memory it has pinned.
    pub host_memory_used_bytes: u64,
    /// Queues it has.
    pub queues_used: u32,
    /// What its worker did.
    pub counters: Counters,
    /// From seeing a packet to its completion.
    pub dispatch_latency: Distribution,
    /// From having work to the first instruction, for leases that had to be waited for.
    pub lease_wait: Distribution,
    /// What its last suspend put aside, dispatch by dispatch.
    pub saved: Vec<Saved>,
    /// What went wrong last.
    pub last_fault: Option<Fault>,
}

/// What one dispatch had on the device when its session was put aside. On the software GPU a suspend is a copy by the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Its queue.
    pub queue: u32,
    /// Its packet, counted from the first ever.
    pub packet: u64,
    /// The kernel, if its name is known.
    pub kernel: String,
    /// Resident waves.
    pub waves: u64,
    /// Vector registers.
    pub vgpr_bytes: u64,
    /// Scalar registers.
    pub sgpr_bytes: u64,
    /// LDS.
    pub lds_bytes: u64,
    /// Private memory; it stays where it is.
    pub scratch_bytes: u64,
    /// What was copied: registers and LDS.
    pub copied_bytes: u64,
}

/// A session that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its number.
    pub session: u64,
    /// Its tenant.
    pub tenant: Name,
    /// The tenant's process.
    pub pid: u32,
    /// What it called itself.
    pub command: String,
    /// Why it ended.
    pub reason: String,
    /// The signal that ended its worker, or 0.
    pub signal: u32,
    /// How long ago.
    pub ago_ns: u64,
    /// Charges its worker had not given back.
    pub reclaimed_charges: u64,
    /// How much memory those were.
    pub reclaimed_bytes: u64,
}

/// What switches from one session to another cost. The parts follow each other without a gap, so their sums add up to the total's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switches {
    /// From wanting the device back to the holder having stopped.
    pub stop: Distribution,
    /// From there to the grant.
    pub grant: Distribution,
    /// From there to the next holder's first instruction.
    pub start: Distribution,
    /// The whole.
    pub total: Distribution,
    /// Sum of the contexts saved.
    pub saved_bytes: u64,
}

/// Where the device's time went. The parts sum to the time since the daemon began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTime {
    /// Leases held and not parked.
    pub occupancy_ns: u64,
    /// Switches.
    pub switch_ns: u64,
    /// Erasing what somebody left behind.
    pub scrub_ns: u64,
    /// Recovering from what somebody did.
    pub recovery_ns: u64,
    /// Nobody wanted it, or nobody who wanted it might have it.
    pub idle_ns: u64,
}

/// What a slice that is chosen comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pacing {
    /// Median price of a switch.
    pub switch_cost_ns: u64,
    /// The part of the device that switches leave when all are busy, in millionths.
    pub efficiency_millionths: u32,
    /// Most sessions that wanted the device at a time, lately.
    pub active: u32,
    /// How long the last of that many waits.
    pub wait_ns: u64,
    /// `unknown`, `met`, `wait-missed` (a slice short enough would spend too much on switches) or `efficiency-missed`.
    pub verdict: String,
}

/// A set of compute units that is scheduled on its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its name.
    pub name: Name,
    /// Its compute units.
    pub compute_units: u32,
    /// Sessions in it.
    pub sessions: usize,
    /// How many of them want the device, or have it.
    pub runnable: usize,
    /// Length of a lease.
    pub slice_ns: u64,
    /// What that comes to, if it is chosen by what switches cost.
    pub pacing: Option<Pacing>,
    /// Where its time went.
    pub device_time: DeviceTime,
}

/// A device as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Which.
    pub device: String,
    /// How its time is divided.
    pub policy: Division,
    /// Device memory there is.
    pub vram_bytes: u64,
    /// Device memory in use.
    pub vram_used_bytes: u64,
    /// Its partitions.
    pub partitions: Vec<Partition>,
}

/// Everything as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How long it has been running.
    pub uptime_ns: u64,
    /// Its devices, in one line.
    pub device: String,
    /// Length of a lease on the first of them.
    pub slice_ns: u64,
    /// Device memory there is on all of them.
    pub vram_bytes: u64,
    /// Device memory in use.
    pub vram_used_bytes: u64,
    /// Where the time of all partitions of all devices went.
    pub device_time: DeviceTime,
    /// Each device.
    pub devices: Vec<Device>,
    /// Switches between sessions of different tenants.
    pub switches_between_tenants: Switches,
    /// Switches between sessions of one tenant.
    pub switches_within_tenant: Switches,
    /// Tenants.
    pub tenants: Vec<Tenant>,
    /// Sessions.
    pub sessions: Vec<Session>,
    /// The sessions that ended last, latest first.
    pub ended: Vec<Ended>,
    /// Connections that were refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Workers that were killed because they did not do what they were asked in time.
    pub workers_killed: u64,
    /// Workers that broke the protocol.
    pub worker_violations: u64,
    /// Events that came when what they were about had gone.
    pub stale_inputs: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_one_line_and_come_back_the_same() {
        let red: Name = "red".parse().unwrap();
        let mut settings = TenantSettings::nothing(red);
        settings.set("weight=3").unwrap();
        settings.set("match=uid=7").unwrap();
        let cases = [
            (Request::TenantList, r#"{"command":"tenant-list"}"#),
            (Request::TenantShow { tenant: red }, r#"{"command":"tenant-show","tenant":"red"}"#),
            (
                Request::TenantSet { settings: Box::new(settings) },
                r#"{"command":"tenant-set","settings":{"name":"red","match":[{"uid":7}],"weight":3}}"#,
            ),
            (Request::SessionKill { session: 3 }, r#"{"command":"session-kill","session":3}"#),
            (Request::Status, r#"{"command":"status"}"#),
        ];
        for (request, line) in cases {
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
        }
        // People may write numbers as numbers.
        let line = r#"{"command":"tenant-set","settings":{"name":"red","weight":3,"vram":4096}}"#;
        assert!(serde_json::from_str::<Request>(line).is_ok());
    }

    #[test]
    fn what_is_no_request_is_an_error() {
        for line in [
            "",
            "{}",
            "[]",
            r#"{"command":"tenant-list"} x"#,
            r#"{"command":"tenant-lst"}"#,
            r#"{"command":"tenant-show"}"#,
            r#"{"command":"tenant-show","tenant":"../etc"}"#,
            r#"{"command":"tenant-show","tenant":"red","also":1}"#,
            r#"{"command":"tenant-set","settings":{"name":"red","wieght":3}}"#,
            r#"{"command":"session-kill","session":-1}"#,
        ] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn answers_say_what_they_are() {
        let failure = Failure { code: FailureCode::NoSuchTenant, text: "there is no tenant".into() };
        let cases = [
            (Answer::Ok(Reply::Done), r#"{"ok":"done"}"#),
            (Answer::Ok(Reply::Sessions(Vec::new())), r#"{"ok":{"sessions":[]}}"#),
            (Answer::Error(failure), r#"{"error":{"code":"no-such-tenant","text":"there is no tenant"}}"#),
        ];
        for (answer, line) in cases {
            assert_eq!(serde_json::to_string(&answer).unwrap(), line);
            assert_eq!(serde_json::from_str::<Answer>(line).unwrap(), answer);
        }
    }
}
