//! What administrators see: the broker's state, the gates' counters and what was remembered, put together when somebody asks.

use std::collections::BTreeMap;

use broker::{AdminError, DeviceStatus, PartitionStatus, Phase, SessionStatus, TenantStatus};
use proto::gate::{LeaseState, SavedDispatch};
use proto::{Instant, Nanos, SessionId, TenantName};
use sched::pace::{Outlook, Verdict};

use super::Daemon;
use super::figures::{Followed, Sparse, minute_span};
use super::shares;
use crate::admin::{self, Counters, DeviceTime, Distribution, Failure, FailureCode};
use crate::config::TenantSettings;
use crate::config::values::{Division, Name, Sharing, Wish};
use crate::device::spec::DeviceSpec;

impl Daemon {
    /// Returns tenants as administrators see them, with what their workers have measured up to now.
    pub(super) fn tenant_views(&mut self, now: Instant, tenants: Vec<TenantStatus>) -> Vec<admin::Tenant> {
        self.look_at_all(now);
        let mut living: BTreeMap<TenantName, Vec<Counters>> = BTreeMap::new();
        for session in self.sessions.values() {
            if let Some(worker) = &session.worker {
                living.entry(session.tenant).or_default().push(worker.gate.counters());
            }
        }
        let asked = shares::asked(self.broker.config(), &tenants);
        let broker = &self.broker;
        let view = |TenantStatus { config, paused, sessions, usage, charged }: TenantStatus| {
            let lag = |(device, partition, lag_ns): (u32, u32, i64)| {
                let partitions = &broker.config().devices[device as usize].partitions;
                admin::Lag { device, partition: Name(partitions[partition as usize].name), lag_ns }
            };
            let set_live = self.live.settings(&config.name).map(TenantSettings::fields_set).unwrap_or_default();
            let stats = self.stats.tenant(config.name);
            let counters = stats.counters(living.get(&config.name).into_iter().flatten());
            let figures = &mut stats.figures;
            let last_minute = admin::LastMinute {
                span_ns: minute_span(self.began, now).0,
                dispatch_latency: figures.dispatch_latency.minute(now),
                lease_wait: figures.lease_wait.minute(now),
                occupancy: figures.occupancy.minute(now),
            };
            admin::Tenant {
                name: Name(config.name),
                matches: config.matches.iter().map(Into::into).collect(),
                weight: config.weight.get(),
                class: Wish(config.class).to_string(),
                cap_millionths: config.cap.map(sched::Share::millionths),
                guarantee_millionths: config.guarantee.map(sched::Share::millionths),
                slice_ns: config.slice.map(|slice| slice.0),
                group: config.group.map(Name),
                partition: config.partition.map(Name),
                max_dispatch_time_ns: config.max_dispatch.0,
                share: config.shares.iter().copied().map(Sharing).collect(),
                vram_limit_bytes: config.vram_limit.0,
                vram_guarantee_bytes: config.vram_guarantee.0,
                vram_used_bytes: usage.vram,
                host_memory_limit_bytes: config.host_limit.0,
                host_memory_used_bytes: usage.host,
                queues_limit: config.queues,
                queues_used: usage.queues,
                sessions_limit: config.sessions,
                sessions,
                paused,
                set_live: set_live.into_iter().map(str::to_owned).collect(),
                share_asked_millionths: asked.get(&config.name).copied(),
                lags: broker.lags(&config.name).map(lag).collect(),
                device_time_ns: charged.0,
                counters,
                dispatch_latency: figures.dispatch_latency.total(),
                lease_wait: figures.lease_wait.total(),
                occupancy: figures.occupancy.total(),
                last_minute,
                denied: stats.denied.clone(),
                ended: stats.ended.clone(),
                reclaimed_charges: stats.reclaimed_charges,
                reclaimed_bytes: stats.reclaimed_bytes,
                last_fault: stats.last_fault.as_ref().map(fault_view),
            }
        };
        tenants.into_iter().map(view).collect()
    }

    /// Returns sessions as administrators see them.
    pub(super) fn session_views(&mut self, now: Instant, sessions: Vec<SessionStatus>) -> Vec<admin::Session> {
        self.look_at_all(now);
        let view = |s: SessionStatus| {
            let here = self.sessions.get(&s.session);
            let worker = here.and_then(|session| session.worker.as_ref());
            let followed = |which: fn(&Followed) -> &Sparse| {
                here.map_or(Distribution::default(), |session| which(&session.followed).distribution())
            };
            let usage = self.broker.ledger().session_usage(s.session);
            admin::Session {
                session: s.session.0,
                tenant: Name(s.tenant),
                pid: s.peer.pid,
                uid: s.peer.uid,
                gid: s.peer.gid,
                cgroup: s.peer.cgroup,
                command: s.command.as_str().to_owned(),
                worker_pid: s.worker_pid,
                phase: phase_word(s.phase).to_owned(),
                device: self.device_word(s.session, s.leased, s.runnable).to_owned(),
                device_index: s.device,
                partition: Name(s.partition),
                age_ns: now.since(s.began).0,
                occupancy_ns: s.occupancy.0,
                vram_used_bytes: usage.vram,
                host_memory_used_bytes: usage.host,
                queues_used: usage.queues,
                counters: worker.map_or(Counters::default(), |worker| worker.gate.counters()),
                dispatch_latency: followed(|f| &f.dispatch_latency),
                lease_wait: followed(|f| &f.lease_wait),
                saved: self.saved_views(s.session),
                last_fault: s.last_fault.as_ref().map(fault_view),
            }
        };
        sessions.into_iter().map(view).collect()
    }

    /// Returns what a session's last suspend put aside.
    fn saved_views(&self, session: SessionId) -> Vec<admin::Saved> {
        let worker = self.sessions.get(&session).and_then(|s| s.worker.as_ref());
        let view = |d: &SavedDispatch| admin::Saved {
            queue: d.queue.0,
            packet: d.packet,
            kernel: d.kernel.as_str().to_owned(),
            waves: d.waves,
            vgpr_bytes: d.vgpr,
            sgpr_bytes: d.sgpr,
            lds_bytes: d.lds,
            scratch_bytes: d.scratch,
            copied_bytes: d.copied(),
        };
        worker.map(|worker| worker.gate.saved().iter().map(view).collect()).unwrap_or_default()
    }

    fn device_word(&self, session: SessionId, leased: bool, runnable: bool) -> &'static str {
        let worker = self.sessions.get(&session).and_then(|s| s.worker.as_ref());
        let parked = || worker.is_some_and(|w| w.gate.view().word.state() == Some(LeaseState::Parked));
        match (leased, runnable) {
            (true, _) if parked() => "parked",
            (true, _) => "leased",
            (false, true) => "waiting",
            (false, false) => "idle",
        }
    }

    /// Returns everything as administrators see it.
    pub(super) fn status_view(&mut self, now: Instant, status: broker::Status) -> admin::Status {
        let uptime = now.since(self.began);
        let views = status.devices.iter().zip(self.launcher.devices());
        let devices: Vec<admin::Device> = views.map(|(device, spec)| device_view(device, spec, uptime)).collect();
        let devices_named = device_names(self.launcher.devices());
        let mut device_time = DeviceTime::default();
        for part in devices.iter().flat_map(|device| &device.partitions).map(|partition| partition.device_time) {
            device_time.occupancy_ns += part.occupancy_ns;
            device_time.switch_ns += part.switch_ns;
            device_time.scrub_ns += part.scrub_ns;
            device_time.recovery_ns += part.recovery_ns;
            device_time.idle_ns += part.idle_ns;
        }
        let (switches_between_tenants, switches_within_tenant) = self.stats.switches();
        let first = devices.first().and_then(|device| device.partitions.first());
        admin::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_ns: uptime.0,
            device: devices_named,
            slice_ns: first.map_or(0, |partition| partition.slice_ns),
            vram_bytes: devices.iter().map(|device| device.vram_bytes).sum(),
            vram_used_bytes: status.usage.vram,
            device_time,
            devices,
            switches_between_tenants,
            switches_within_tenant,
            tenants: self.tenant_views(now, status.tenants),
            sessions: self.session_views(now, status.sessions),
            ended: self.stats.ended(now),
            refused: self.stats.refused.clone(),
            workers_killed: self.stats.workers_killed,
            worker_violations: self.stats.worker_violations,
            stale_inputs: status.stale,
        }
    }
}

/// Returns the devices in one line.
pub(super) fn device_names(devices: &[DeviceSpec]) -> String {
    devices.iter().map(DeviceSpec::to_string).collect::<Vec<_>>().join(", ")
}

fn device_view(device: &DeviceStatus, spec: &DeviceSpec, uptime: Nanos) -> admin::Device {
    let partition = |partition: &PartitionStatus| {
        let totals = partition.totals;
        admin::Partition {
            name: Name(partition.config.name),
            compute_units: if partition.config.cus == 0 { device.config.cus } else { partition.config.cus },
            sessions: partition.sessions,
            runnable: partition.runnable,
            slice_ns: partition.slice.0,
            pacing: partition.outlook.map(pacing_view),
            device_time: DeviceTime {
                occupancy_ns: totals.occupancy.0,
                switch_ns: totals.switch_in.0,
                scrub_ns: totals.scrub.0,
                recovery_ns: totals.recovery.0,
                // What the broker has not booked yet, now that it has seen every gate, belongs to nobody.
                idle_ns: totals.idle.0.saturating_add(uptime.0.saturating_sub(totals.wall().0)),
            },
        }
    };
    admin::Device {
        device: spec.to_string(),
        policy: Division(device.config.policy),
        vram_bytes: device.config.vram.0,
        vram_used_bytes: device.vram_used.0,
        partitions: device.partitions.iter().map(partition).collect(),
    }
}

fn pacing_view(outlook: Outlook) -> admin::Pacing {
    admin::Pacing {
        switch_cost_ns: outlook.switch_cost.0,
        efficiency_millionths: outlook.efficiency.millionths(),
        active: outlook.active,
        wait_ns: outlook.wait.0,
        verdict: match outlook.verdict {
            Verdict::Unknown => "unknown",
            Verdict::Met => "met",
            Verdict::WaitMissed => "wait-missed",
            Verdict::EfficiencyMissed => "efficiency-missed",
        }
        .to_owned(),
    }
}

/// Returns a refusal of the broker as administrators see it.
pub(super) fn failure(error: AdminError) -> Failure {
    let code = match error {
        AdminError::NoSuchTenant(_) => FailureCode::NoSuchTenant,
        AdminError::NoSuchSession(_) => FailureCode::NoSuchSession,
        AdminError::NoSuchDevice(_) | AdminError::DefaultNeeded | AdminError::Config(_) => FailureCode::BadConfig,
    };
    Failure { code, text: error.to_string() }
}

pub(super) fn fault_view(fault: &proto::message::Fault) -> admin::Fault {
    admin::Fault {
        kind: fault.kind.word().to_owned(),
        queue: fault.queue.0,
        packet: fault.packet,
        address: fault.address.0,
        pc: fault.pc.0,
        kernel: fault.kernel.as_str().to_owned(),
        detail: fault.detail.as_str().to_owned(),
    }
}

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Ending => "ending",
    }
}
