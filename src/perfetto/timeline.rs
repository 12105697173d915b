//! From what a broker tells to tracks.
//!
//! Promise: whatever the lines say and in whatever order, the file is well formed: see [`wire`](super::wire). Slices of a track do not
//! overlap: what the broker tells as one after the other is drawn so, and dispatches that ran at the same time are drawn in rows of
//! their own. What happened before the trace began is cut there; the facts of a slice keep its true numbers.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::wire::{Facts, Kind, Packets, Track, Unit, Value};
use crate::config::values::Name;
use crate::tap::{Dispatch, Lease, Line, Session, Switch};

/// Groups look like processes, with ids beyond those of any process (Linux has at most 2^22).
const GROUP_PID_FIRST: i32 = 1 << 22;
/// Most rows of dispatches that ran at a time, per queue; what runs beside so many is drawn too late in the last one.
const ROWS_MAX: usize = 64;

/// How much of what was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Leases.
    pub leases: u64,
    /// Switches.
    pub switches: u64,
    /// Dispatches.
    pub dispatches: u64,
    /// Dispatches that were overwritten before the broker read them.
    pub missed: u64,
    /// Lines that we were too slow for.
    pub lost: u64,
    /// Whether the broker said that this is all.
    pub complete: bool,
    /// From when to when.
    pub began_ns: u64,
    /// See there.
    pub ended_ns: u64,
}

/// A trace that is being written.
#[derive(Debug)]
pub struct Timeline<W> {
    packets: Packets<W>,
    told: Told,
    groups: i32,
    /// What belongs to nobody.
    broker: Option<Track>,
    devices: Vec<DeviceTracks>,
    tenants: BTreeMap<String, TenantTracks>,
    sessions: BTreeMap<u64, SessionTracks>,
}

#[derive(Debug)]
struct DeviceTracks {
    leases: Vec<Track>,
    switches: Vec<Track>,
}

#[derive(Debug)]
struct TenantTracks {
    group: Track,
    events: Option<Track>,
    counters: BTreeMap<String, (Track, i64)>,
}

#[derive(Debug)]
struct SessionTracks {
    tenant: Name,
    track: Track,
    queues: BTreeMap<u32, Vec<Track>>,
    kernels: BTreeMap<u16, String>,
}

impl<W: Write> Timeline<W> {
    /// Begins a file.
    pub fn new(out: W, clocks: sys::clock::Snapshot) -> io::Result<Self> {
        Ok(Self {
            packets: Packets::new(out, clocks)?,
            told: Told::default(),
            groups: 0,
            broker: None,
            devices: Vec::new(),
            tenants: BTreeMap::new(),
            sessions: BTreeMap::new(),
        })
    }

    /// Writes what one line tells.
    pub fn line(&mut self, line: &Line) -> io::Result<()> {
        if let Some(at) = time_of(line) {
            self.told.ended_ns = self.told.ended_ns.max(at);
        }
        match line {
            Line::Begin { at_ns, devices, sessions, .. } => {
                (self.told.began_ns, self.told.ended_ns) = (*at_ns, *at_ns);
                for (index, device) in devices.iter().enumerate() {
                    let name = format!("device {index}: {}", device.device);
                    self.add_device(&name, &device.partitions)?;
                }
                sessions.iter().try_for_each(|session| self.add_session(*at_ns, session))
            }
            Line::Admitted { at_ns, session } => self.add_session(*at_ns, session),
            Line::Ready { at_ns, session, took_ns } => {
                self.session_instant(*session, *at_ns, "session", "ready", &[("took_ns", (*took_ns).into())])
            }
            Line::Ended { at_ns, session, reason, signal } => {
                let facts = [("signal", u64::from(*signal).into())];
                self.session_instant(*session, *at_ns, "session", &format!("ended: {reason}"), &facts)?;
                match self.sessions.get_mut(session) {
                    Some(session) => self.packets.end(&mut session.track, *at_ns),
                    None => Ok(()),
                }
            }
            Line::Refused { at_ns, uid, pid, code } => {
                let facts = [("uid", u64::from(*uid).into()), ("pid", u64::from(*pid).into())];
                self.broker_instant(*at_ns, &format!("refused: {code}"), &facts)
            }
            Line::Lease(lease) => self.lease(lease),
            Line::Switch(switch) => self.switch(switch),
            Line::Kernel { session, kernel, name } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.kernels.insert(*kernel, name.clone());
                }
                Ok(())
            }
            Line::Dispatches { session, list, missed } => {
                if *missed > 0 {
                    self.told.missed = self.told.missed.saturating_add(*missed);
                    let at = list.first().map_or(self.told.ended_ns, |first| first.seen_at_ns);
                    let facts = [("dispatches", (*missed).into())];
                    self.session_instant(*session, at, "dispatch", "dispatches missed", &facts)?;
                }
                list.iter().try_for_each(|dispatch| self.dispatch(*session, dispatch))
            }
            Line::Usage { at_ns, tenant, session, vram_bytes, host_memory_bytes, queues } => {
                self.usage(*at_ns, *tenant, *session, [*vram_bytes, *host_memory_bytes, u64::from(*queues)])
            }
            Line::Denied { at_ns, session, code, asked, limit, used } => {
                let facts = [("asked", (*asked).into()), ("limit", (*limit).into()), ("used", (*used).into())];
                self.session_instant(*session, *at_ns, "quota", &format!("denied: {code}"), &facts)
            }
            Line::Fault { at_ns, session, fault } => {
                let facts = [("what", fault.to_string().as_str().into()), ("kernel", fault.kernel.as_str().into())];
                self.session_instant(*session, *at_ns, "fault", &format!("fault: {}", fault.kind), &facts)
            }
            Line::Worker { at_ns, session, reason } => {
                self.session_instant(*session, *at_ns, "session", &format!("worker killed: {reason}"), &[])
            }
            Line::Lag { at_ns, tenant, device, partition, lag_ns } => {
                let name = match self.devices.len() == 1 && self.devices[0].leases.len() == 1 {
                    true => "lag".to_owned(),
                    false => format!("lag on device {device}, partition {partition}"),
                };
                self.count(*tenant, &name, Unit::TimeNs, *at_ns, *lag_ns).map(drop)
            }
            Line::Paused { at_ns, tenant, paused } => {
                let name = if *paused { "paused" } else { "resumed" };
                self.tenant_instant(*tenant, *at_ns, name)
            }
            Line::ConfigChanged { at_ns } => self.broker_instant(*at_ns, "configuration changed", &[]),
            Line::Lost { at_ns, lines } => {
                self.told.lost = self.told.lost.saturating_add(*lines);
                self.broker_instant(*at_ns, "events lost", &[("lines", (*lines).into())])
            }
            Line::End { .. } => {
                self.told.complete = true;
                Ok(())
            }
        }
    }

    /// Ends the file; what is still open ends with it.
    pub fn finish(mut self) -> io::Result<(W, Told)> {
        for session in self.sessions.values_mut() {
            self.packets.end(&mut session.track, self.told.ended_ns)?;
        }
        Ok((self.packets.finish()?, self.told))
    }

    fn group(&mut self, name: &str) -> io::Result<Track> {
        let pid = GROUP_PID_FIRST.saturating_add(self.groups);
        self.groups += 1;
        self.packets.track(name, Kind::Group { pid }, self.told.began_ns)
    }

    fn add_device(&mut self, name: &str, partitions: &[Name]) -> io::Result<()> {
        let (group, since) = (self.group(name)?, self.told.began_ns);
        let mut tracks = DeviceTracks { leases: Vec::new(), switches: Vec::new() };
        for partition in partitions {
            let of =
                |what: &str| if partitions.len() == 1 { what.to_owned() } else { format!("{what} of {partition}") };
            let kind = Kind::Slices { parent: Some(&group) };
            tracks.leases.push(self.packets.track(&of("leases"), kind, since)?);
            tracks.switches.push(self.packets.track(&of("switches"), kind, since)?);
        }
        self.devices.push(tracks);
        Ok(())
    }

    fn add_session(&mut self, at: u64, session: &Session) -> io::Result<()> {
        let name = format!("s{} {} (pid {})", session.session, session.command, session.pid);
        let since = self.told.began_ns;
        self.ensure_tenant(session.tenant)?;
        // PANIC: it is there now.
        let tenant = self.tenants.get_mut(session.tenant.0.as_str()).expect("a tenant");
        let mut track = self.packets.track(&name, Kind::Slices { parent: Some(&tenant.group) }, since)?;
        self.packets.begin(&mut track, at, "session", &name, &[("pid", u64::from(session.pid).into())])?;
        let (queues, kernels) = (BTreeMap::new(), BTreeMap::new());
        self.sessions.insert(session.session, SessionTracks { tenant: session.tenant, track, queues, kernels });
        Ok(())
    }

    fn ensure_tenant(&mut self, tenant: Name) -> io::Result<()> {
        if !self.tenants.contains_key(tenant.0.as_str()) {
            let group = self.group(&format!("tenant {tenant}"))?;
            let tracks = TenantTracks { group, events: None, counters: BTreeMap::new() };
            self.tenants.insert(tenant.0.as_str().to_owned(), tracks);
        }
        Ok(())
    }

    fn tenant_of(&self, session: u64) -> String {
        self.sessions.get(&session).map_or_else(|| format!("s{session}"), |session| session.tenant.to_string())
    }

    fn lease(&mut self, lease: &Lease) -> io::Result<()> {
        self.told.leases += 1;
        let Some(track) = place(&mut self.devices, lease.device, lease.partition, |device| &mut device.leases) else {
            return Ok(());
        };
        let facts = [
            ("session", lease.session.into()),
            ("generation", u64::from(lease.generation).into()),
            ("occupancy_ns", lease.occupancy_ns.into()),
            ("parked_ns", lease.parked_ns.into()),
            ("level", lease.level.as_str().into()),
            ("reason", lease.reason.as_str().into()),
        ];
        self.packets.begin(track, lease.granted_at_ns, "lease", lease.tenant.0.as_str(), &facts)?;
        self.packets.begin(track, lease.granted_at_ns, "lease", "start", &[])?;
        self.packets.end(track, lease.started_at_ns.unwrap_or(lease.ended_at_ns))?;
        self.packets.end(track, lease.ended_at_ns)
    }

    fn switch(&mut self, switch: &Switch) -> io::Result<()> {
        self.told.switches += 1;
        let total = switch.stop_ns.saturating_add(switch.grant_ns).saturating_add(switch.start_ns);
        let name = format!("{} to {}", self.tenant_of(switch.from), self.tenant_of(switch.to));
        let Some(track) = place(&mut self.devices, switch.device, switch.partition, |device| &mut device.switches)
        else {
            return Ok(());
        };
        let facts = [
            ("from", switch.from.into()),
            ("to", switch.to.into()),
            ("total_ns", total.into()),
            ("saved_bytes", switch.saved_bytes.into()),
        ];
        let mut at = switch.requested_at_ns;
        self.packets.begin(track, at, "switch", &name, &facts)?;
        for (part, ns) in [("stop", switch.stop_ns), ("grant", switch.grant_ns), ("start", switch.start_ns)] {
            self.packets.begin(track, at, "switch", part, &[("ns", ns.into())])?;
            at = at.saturating_add(ns);
            self.packets.end(track, at)?;
        }
        self.packets.end(track, at)
    }

    fn dispatch(&mut self, session: u64, dispatch: &Dispatch) -> io::Result<()> {
        self.told.dispatches += 1;
        let since = self.told.began_ns;
        let Some(session) = self.sessions.get_mut(&session) else { return Ok(()) };
        let began = dispatch.seen_at_ns.saturating_add(dispatch.wait_ns);
        let ended = began.saturating_add(dispatch.run_ns);
        let rows = session.queues.entry(dispatch.queue).or_default();
        let free = rows.iter().position(|row| row.last() <= began.max(since));
        let row = match free {
            Some(row) => row,
            None if rows.len() < ROWS_MAX => {
                let kind = Kind::Slices { parent: Some(&session.track) };
                rows.push(self.packets.track(&format!("q{}", dispatch.queue), kind, since)?);
                rows.len() - 1
            }
            None => ROWS_MAX - 1,
        };
        let name = dispatch.kernel.and_then(|kernel| session.kernels.get(&kernel)).map_or("dispatch", String::as_str);
        let facts = [
            ("packet", dispatch.packet.into()),
            ("wait_ns", dispatch.wait_ns.into()),
            ("run_ns", dispatch.run_ns.into()),
        ];
        let row = &mut rows[row];
        self.packets.begin(row, began, "dispatch", name, &facts)?;
        self.packets.end(row, ended)
    }

    fn usage(&mut self, at: u64, tenant: Name, session: Option<u64>, now: [u64; 3]) -> io::Result<()> {
        let counters = [("VRAM", Unit::SizeBytes), ("host memory", Unit::SizeBytes), ("queues", Unit::Count)];
        let mut changes = Vec::new();
        for ((name, unit), value) in counters.into_iter().zip(now) {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            let before = self.count(tenant, name, unit, at, value)?;
            if value != before {
                changes.push((name, Value::Signed(value.saturating_sub(before))));
            }
        }
        let Some(session) = session else { return Ok(()) };
        let more = |change: &(&str, Value)| matches!(change.1, Value::Signed(n) if n > 0);
        let name = if changes.iter().any(more) { "charge granted" } else { "charge released" };
        self.session_instant(session, at, "quota", name, &changes)
    }

    /// Sets a counter of a tenant; returns what it was before.
    fn count(&mut self, tenant: Name, name: &str, unit: Unit, at: u64, value: i64) -> io::Result<i64> {
        self.ensure_tenant(tenant)?;
        let Some(tenant) = self.tenants.get_mut(tenant.0.as_str()) else { return Ok(0) };
        let (counter, before) = match tenant.counters.get_mut(name) {
            Some((counter, before)) => (counter, before),
            None => {
                let kind = Kind::Counter { parent: &tenant.group, unit };
                let track = self.packets.track(name, kind, self.told.began_ns)?;
                let entry = tenant.counters.entry(name.to_owned()).or_insert((track, i64::MIN));
                (&mut entry.0, &mut entry.1)
            }
        };
        let known = std::mem::replace(before, value);
        if known != value {
            self.packets.count(counter, at, value)?;
        }
        // A counter that has just appeared was 0.
        Ok(if known == i64::MIN { 0 } else { known })
    }

    fn session_instant(
        &mut self,
        session: u64,
        at: u64,
        category: &str,
        name: &str,
        facts: Facts<'_>,
    ) -> io::Result<()> {
        match self.sessions.get_mut(&session) {
            Some(session) => self.packets.instant(&mut session.track, at, category, name, facts),
            None => Ok(()),
        }
    }

    fn tenant_instant(&mut self, tenant: Name, at: u64, name: &str) -> io::Result<()> {
        self.ensure_tenant(tenant)?;
        let Some(tenant) = self.tenants.get_mut(tenant.0.as_str()) else { return Ok(()) };
        let track = match &mut tenant.events {
            Some(track) => track,
            None => {
                let kind = Kind::Slices { parent: Some(&tenant.group) };
                tenant.events.insert(self.packets.track("events", kind, self.told.began_ns)?)
            }
        };
        self.packets.instant(track, at, "tenant", name, &[])
    }

    fn broker_instant(&mut self, at: u64, name: &str, facts: Facts<'_>) -> io::Result<()> {
        let track = match &mut self.broker {
            Some(track) => track,
            None => {
                let kind = Kind::Slices { parent: None };
                self.broker.insert(self.packets.track("broker", kind, self.told.began_ns)?)
            }
        };
        self.packets.instant(track, at, "broker", name, facts)
    }
}

/// Returns a track of a partition.
fn place(
    devices: &mut [DeviceTracks],
    device: u32,
    partition: u32,
    which: impl FnOnce(&mut DeviceTracks) -> &mut Vec<Track>,
) -> Option<&mut Track> {
    let device = devices.get_mut(usize::try_from(device).ok()?)?;
    which(device).get_mut(usize::try_from(partition).ok()?)
}

/// Returns up to when a line tells.
fn time_of(line: &Line) -> Option<u64> {
    match line {
        Line::Begin { at_ns, .. }
        | Line::Admitted { at_ns, .. }
        | Line::Ready { at_ns, .. }
        | Line::Ended { at_ns, .. }
        | Line::Refused { at_ns, .. }
        | Line::Usage { at_ns, .. }
        | Line::Denied { at_ns, .. }
        | Line::Fault { at_ns, .. }
        | Line::Worker { at_ns, .. }
        | Line::Lag { at_ns, .. }
        | Line::Paused { at_ns, .. }
        | Line::ConfigChanged { at_ns }
        | Line::Lost { at_ns, .. }
        | Line::End { at_ns } => Some(*at_ns),
        Line::Lease(lease) => Some(lease.ended_at_ns),
        Line::Switch(_) | Line::Dispatches { .. } | Line::Kernel { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::reader::Trace;
    use super::*;
    use crate::tap::Device;

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    fn begin() -> Line {
        let device = Device { device: "soft".into(), partitions: vec![name("all")] };
        let session = |session, tenant| Session {
            session,
            tenant: name(tenant),
            pid: 70 + session as u32,
            command: "app".into(),
        };
        let sessions = vec![session(1, "red"), session(2, "blue")];
        Line::Begin { at_ns: 1_000, version: "0".into(), devices: vec![device], sessions }
    }

    fn lease(session: u64, granted: u64, started: Option<u64>, ended: u64) -> Line {
        Line::Lease(Lease {
            session,
            tenant: name(if session == 1 { "red" } else { "blue" }),
            device: 0,
            partition: 0,
            generation: 1,
            granted_at_ns: granted,
            started_at_ns: started,
            ended_at_ns: ended,
            occupancy_ns: ended.saturating_sub(started.unwrap_or(ended)),
            parked_ns: 0,
            level: "keep".into(),
            reason: "drained".into(),
        })
    }

    fn written(lines: &[Line]) -> (Trace, Told) {
        let mut timeline = Timeline::new(Vec::new(), sys::clock::Snapshot::take()).unwrap();
        lines.iter().for_each(|line| timeline.line(line).unwrap());
        let (file, told) = timeline.finish().unwrap();
        (Trace::read(&file), told)
    }

    #[test]
    fn leases_switches_and_dispatches_are_where_they_were() {
        let dispatch = |packet, seen_at_ns, wait_ns, run_ns| Dispatch {
            queue: 3,
            packet,
            kernel: Some(0),
            seen_at_ns,
            wait_ns,
            run_ns,
        };
        let (requested_at_ns, stop_ns, grant_ns, start_ns) = (1_450, 50, 5, 45);
        let (device, partition, saved_bytes) = (0, 0, 64);
        let switch =
            Switch { from: 1, to: 2, device, partition, requested_at_ns, stop_ns, grant_ns, start_ns, saved_bytes };
        // The second dispatch began before the first had ended.
        let list = vec![dispatch(0, 1_110, 10, 100), dispatch(1, 1_110, 20, 200)];
        let usage = |at_ns, vram_bytes| Line::Usage {
            at_ns,
            tenant: name("red"),
            session: Some(1),
            vram_bytes,
            host_memory_bytes: 0,
            queues: 1,
        };
        let (trace, told) = written(&[
            begin(),
            usage(1_050, 4_096),
            usage(1_060, 0),
            lease(1, 1_100, Some(1_120), 1_500),
            Line::Switch(switch),
            lease(2, 1_505, Some(1_550), 1_900),
            Line::Kernel { session: 1, kernel: 0, name: "saxpy".into() },
            Line::Dispatches { session: 1, list, missed: 2 },
            Line::End { at_ns: 2_000 },
        ]);
        assert_eq!((told.leases, told.switches, told.dispatches, told.missed), (2, 1, 2, 2));
        assert!(told.complete && told.began_ns == 1_000 && told.ended_ns == 2_000);
        let leases = trace.outermost(trace.find("device 0: soft", "leases")[0]);
        let drawn: Vec<_> = leases.iter().map(|lease| (lease.name.as_str(), lease.begin, lease.end)).collect();
        assert_eq!(drawn, [("red", 1_100, 1_500), ("blue", 1_505, 1_900)]);
        let inner = |track: u64| {
            let inner = trace.slices.iter().filter(move |slice| slice.track == track && slice.depth == 1);
            inner.map(|slice| (slice.name.as_str(), slice.begin, slice.end)).collect::<Vec<_>>()
        };
        assert_eq!(inner(leases[0].track), [("start", 1_100, 1_120), ("start", 1_505, 1_550)]);
        let switches = trace.find("device 0: soft", "switches")[0];
        assert_eq!(trace.outermost(switches)[0].name, "red to blue");
        assert_eq!(inner(switches), [("stop", 1_450, 1_500), ("grant", 1_500, 1_505), ("start", 1_505, 1_550)]);
        let rows = trace.find("tenant red", "q3");
        let drawn: Vec<_> = rows.iter().flat_map(|row| trace.outermost(*row)).map(|d| (d.begin, d.end)).collect();
        assert_eq!(drawn, [(1_120, 1_220), (1_130, 1_330)], "in a row each");
        assert!(trace.slices.iter().any(|slice| slice.name == "saxpy"));
        let vram = trace.find("tenant red", "VRAM")[0];
        let values: Vec<_> = trace.counts.iter().filter(|c| c.track == vram).map(|c| c.value).collect();
        assert_eq!((values, trace.tracks[&vram].counter_unit), (vec![4_096, 0], Some(3)));
        let instants: Vec<_> = trace.instants.iter().map(|instant| instant.name.as_str()).collect();
        assert_eq!(instants, ["charge granted", "charge released", "dispatches missed"]);
    }

    fn any_line() -> impl Strategy<Value = Line> {
        let (at, id) = (0..5_000u64, 0..4u64);
        prop_oneof![
            (id.clone(), at.clone(), prop::option::of(at.clone()), at.clone())
                .prop_map(|(session, granted, started, ended)| lease(session, granted, started, ended)),
            (id.clone(), id.clone(), 0..2u32, at.clone(), any::<[u64; 4]>()).prop_map(
                |(from, to, device, requested_at_ns, [stop_ns, grant_ns, start_ns, saved_bytes])| {
                    let partition = 0;
                    let [stop_ns, grant_ns] = [stop_ns, grant_ns].map(|ns| ns % 3_000);
                    let place = (device, partition);
                    let (device, partition) = place;
                    Line::Switch(Switch {
                        from,
                        to,
                        device,
                        partition,
                        requested_at_ns,
                        stop_ns,
                        grant_ns,
                        start_ns,
                        saved_bytes,
                    })
                }
            ),
            (id.clone(), prop::collection::vec((0..2u32, at.clone(), at.clone(), at.clone()), 0..90)).prop_map(
                |(session, rows)| {
                    let list = rows.into_iter().map(|(queue, seen_at_ns, wait_ns, run_ns)| Dispatch {
                        queue,
                        packet: 0,
                        kernel: Some(1),
                        seen_at_ns,
                        wait_ns,
                        run_ns,
                    });
                    Line::Dispatches { session, list: list.collect(), missed: session }
                }
            ),
            (id.clone(), at.clone()).prop_map(|(session, at_ns)| Line::Ended {
                at_ns,
                session,
                reason: "killed".into(),
                signal: 9
            }),
            (id, at.clone(), any::<u64>()).prop_map(|(session, at_ns, vram_bytes)| Line::Usage {
                at_ns,
                tenant: name("green"),
                session: Some(session),
                vram_bytes,
                host_memory_bytes: 1,
                queues: 0
            }),
            (at, any::<i64>()).prop_map(|(at_ns, lag_ns)| Line::Lag {
                at_ns,
                tenant: name("red"),
                device: 0,
                partition: 7,
                lag_ns
            }),
        ]
    }

    proptest! {
        /// The reader panics at what is not.
        #[test]
        fn whatever_is_told_the_file_is_well_formed(lines in prop::collection::vec(any_line(), 0..60)) {
            let (trace, _) = written(&[vec![begin()], lines].concat());
            trace.tracks.keys().for_each(|track| drop(trace.outermost(*track)));
        }
    }
}
