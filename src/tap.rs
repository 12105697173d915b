//! What a broker tells those who trace it: one JSON object a line, as it happens.
//!
//! An administrator's connection becomes a *tap* by the request `trace`: its answer is `{"ok":"done"}`, and from then on every line is a
//! [`Line`]. The first is `begin`. Whatever the client sends next, or its hanging up the sending side, ends the tap: the leases that
//! are still held, `end`, and then the connection closes.
//!
//! Promise: a tap never makes the broker wait. What a slow reader has not taken waits in a buffer with a bound, and what does not
//! fit is dropped and counted in a `lost` line before the next that fits. Times (`_at_ns`) are points of CLOCK_MONOTONIC; a line's own
//! is `at_ns`. Times of dispatches are claims of the worker, which are in order and in the past.

use serde::{Deserialize, Serialize};

use crate::config::values::Name;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Line {
    /// What there is when the tap opens.
    Begin {
        /// When.
        at_ns: u64,
        /// The daemon's version.
        version: String,
        /// Its devices, in the order of the configuration.
        devices: Vec<Device>,
        /// Its sessions.
        sessions: Vec<Session>,
    },
    /// A session was admitted.
    Admitted {
        /// When.
        at_ns: u64,
        /// Who.
        #[serde(flatten)]
        session: Session,
    },
    /// A session's worker is ready.
    Ready {
        /// When.
        at_ns: u64,
        /// The session.
        session: u64,
        /// How long that took.
        took_ns: u64,
    },
    /// A session ended.
    Ended {
        /// When.
        at_ns: u64,
        /// The session.
        session: u64,
        /// Why.
        reason: String,
        /// The signal that ended its worker, or 0.
        signal: u32,
    },
    /// A connection was refused.
    Refused {
        /// When.
        at_ns: u64,
        /// Its user.
        uid: u32,
        /// Its process.
        pid: u32,
        /// Why.
        code: String,
    },
    /// A lease ended, or is still held when the tap closes.
    Lease(Lease),
    /// A device went from one session to another.
    Switch(Switch),
    /// Dispatches of one session that have ended, in order of their ends.
    Dispatches {
        /// The session.
        session: u64,
        /// The dispatches.
        list: Vec<Dispatch>,
        /// How many more there were before these that nobody read in time, or that were nonsense.
        missed: u64,
    },
    /// The name of a kernel, before the first dispatch of it.
    Kernel {
        /// The session.
        session: u64,
        /// What its dispatches say.
        kernel: u16,
        /// Its name.
        name: String,
    },
    /// What a tenant has pinned has changed.
    Usage {
        /// When.
        at_ns: u64,
        /// The tenant.
        tenant: Name,
        /// By which of its sessions, if it was one.
        session: Option<u64>,
        /// Device memory, over all its sessions.
        vram_bytes: u64,
        /// Host memory.
        host_memory_bytes: u64,
        /// Queues.
        queues: u32,
    },
    /// A charge was denied.
    Denied {
        /// When.
        at_ns: u64,
        /// The session.
        session: u64,
        /// Which limit.
        code: String,
        /// How much was asked for, in bytes or pieces.
        asked: u64,
        /// What there may be.
        limit: u64,
        /// What there was.
        used: u64,
    },
    /// A tenant's program went wrong.
    Fault {
        /// When.
        at_ns: u64,
        /// The session.
        session: u64,
        /// What, where, in which kernel.
        #[serde(flatten)]
        fault: crate::admin::Fault,
    },
    /// A worker was killed because it did not do what it was asked in time, or broke the protocol.
    Worker {
        /// When.
        at_ns: u64,
        /// The session.
        session: u64,
        /// What for.
        reason: String,
    },
    /// How far a tenant is behind (positive) or before its share, as booked by now.
    Lag {
        /// When.
        at_ns: u64,
        /// The tenant.
        tenant: Name,
        /// Which device.
        device: u32,
        /// Which partition of it.
        partition: u32,
        /// In device time.
        lag_ns: i64,
    },
    /// A tenant was paused or resumed.
    Paused {
        /// When.
        at_ns: u64,
        /// The tenant.
        tenant: Name,
        /// Which of the two.
        paused: bool,
    },
    /// The configuration changed.
    ConfigChanged {
        /// When.
        at_ns: u64,
    },
    /// Lines that this reader was too slow for.
    Lost {
        /// When the first was dropped.
        at_ns: u64,
        /// How many.
        lines: u64,
    },
    /// The tap closes, and this is all.
    End {
        /// When.
        at_ns: u64,
    },
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Which.
    pub device: String,
    /// The names of its partitions.
    pub partitions: Vec<Name>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its number.
    pub session: u64,
    /// Its tenant.
    pub tenant: Name,
    /// The tenant's process.
    pub pid: u32,
    /// What that calls itself.
    pub command: String,
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who had it.
    pub session: u64,
    /// Its tenant.
    pub tenant: Name,
    /// Which device.
    pub device: u32,
    /// Which partition of it.
    pub partition: u32,
    /// Which lease of the session.
    pub generation: u32,
    /// When it was granted.
    pub granted_at_ns: u64,
    /// When its first instruction ran, if that was seen; from then on all is occupancy or parked.
    pub started_at_ns: Option<u64>,
    /// When it ended, or up to when it is booked.
    pub ended_at_ns: u64,
    /// What it is charged as occupancy.
    pub occupancy_ns: u64,
    /// What it was parked.
    pub parked_ns: u64,
    /// How urgently it was wanted back: `keep`, `yield` or `suspend`.
    pub level: String,
    /// Why it ended: a stop reason, `taken` while parked or with its worker, or `held`: it has not.
    pub reason: String,
}

/// A switch. The parts follow each other without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Who had the device.
    pub from: u64,
    /// Who got it.
    pub to: u64,
    /// Which device.
    pub device: u32,
    /// Which partition of it.
    pub partition: u32,
    /// When it was wanted back.
    pub requested_at_ns: u64,
    /// From there to the holder having stopped.
    pub stop_ns: u64,
    /// From there to the grant.
    pub grant_ns: u64,
    /// From there to the next holder's first instruction.
    pub start_ns: u64,
    /// Size of the context saved.
    pub saved_bytes: u64,
}

/// A dispatch, written as an array to keep lines short:
/// `[queue, packet, kernel, seen_at_ns, wait_ns, run_ns]`, `kernel` being null if it has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "DispatchRow", from = "DispatchRow")]
pub struct Dispatch {
    /// Its queue.
    pub queue: u32,
    /// Its packet, counted from the first of the queue.
    pub packet: u64,
    /// Its kernel, as named by a `kernel` line.
    pub kernel: Option<u16>,
    /// When the worker saw the packet.
    pub seen_at_ns: u64,
    /// From there to the launch.
    pub wait_ns: u64,
    /// From there to the end.
    pub run_ns: u64,
}

type DispatchRow = (u32, u64, Option<u16>, u64, u64, u64);

impl From<Dispatch> for DispatchRow {
    fn from(d: Dispatch) -> Self {
        (d.queue, d.packet, d.kernel, d.seen_at_ns, d.wait_ns, d.run_ns)
    }
}

impl From<DispatchRow> for Dispatch {
    fn from((queue, packet, kernel, seen_at_ns, wait_ns, run_ns): DispatchRow) -> Self {
        Self { queue, packet, kernel, seen_at_ns, wait_ns, run_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_they_are_and_come_back_the_same() {
        let dispatch = Dispatch { queue: 1, packet: 9, kernel: Some(0), seen_at_ns: 50, wait_ns: 2, run_ns: 7 };
        let session = Session { session: 3, tenant: "red".parse().unwrap(), pid: 7, command: "app".into() };
        let cases = [
            (
                Line::Dispatches { session: 3, list: vec![dispatch], missed: 0 },
                r#"{"event":"dispatches","session":3,"list":[[1,9,0,50,2,7]],"missed":0}"#,
            ),
            (
                Line::Admitted { at_ns: 1, session },
                r#"{"event":"admitted","at_ns":1,"session":3,"tenant":"red","pid":7,"command":"app"}"#,
            ),
            (Line::Lost { at_ns: 4, lines: 2 }, r#"{"event":"lost","at_ns":4,"lines":2}"#),
        ];
        for (line, text) in cases {
            assert_eq!(serde_json::to_string(&line).unwrap(), text);
            assert_eq!(serde_json::from_str::<Line>(text).unwrap(), line);
        }
    }
}
