//! `wavegate trace` against a broker with two tenants: the file is read back by a reader of its own.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::reader::Trace;
use crate::rig::{Broker, eventually, wavegate};
use crate::sessions::{Busy, TWO, kill, saturate};

/// A trace that is being recorded.
struct Recording {
    process: Child,
    file: PathBuf,
}

impl Recording {
    fn start(broker: &Broker, number: usize) -> Recording {
        let file = broker.path(&format!("{number}.pftrace"));
        let process = wavegate()
            .args(["trace", "-o"])
            .arg(&file)
            .arg("--admin-socket")
            .arg(broker.path("admin.sock"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the broker is traced", || {
            (broker.log().matches("an administrator traces").count() >= number).then_some(())
        });
        Recording { process, file }
    }

    /// Presses Ctrl-C; returns what was recorded and what was said about it.
    fn stop(self) -> (Trace, String) {
        kill_process(Pid::from_raw(self.process.id().cast_signed()).unwrap(), Signal::INT).unwrap();
        let output = self.process.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (Trace::read(&std::fs::read(&self.file).unwrap()), String::from_utf8(output.stdout).unwrap())
    }
}

#[test]
fn a_trace_has_every_lease_switch_and_dispatch() {
    let broker = Broker::start(TWO);
    let recording = Recording::start(&broker, 1);
    let [red, blue] = ["red", "blue"].map(|name| Busy::with(&broker, name, kernels::spin::case(8, 500, 1)));
    assert!(blue.client.vram(80 << 20).is_err(), "80 MiB of 64");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for busy in [&red, &blue] {
            scope.spawn(|| saturate(busy, &stop));
        }
        eventually("the device is shared", || {
            let switches = broker.status()["switches_between_tenants"]["total"]["count"].as_u64().unwrap();
            (switches >= 30).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
    });
    broker.ask(&["tenant", "pause", "red"]);
    drop((red, blue));
    eventually("the sessions end", || broker.status()["sessions"].as_array().unwrap().is_empty().then_some(()));
    let status = broker.status();
    let (trace, said) = recording.stop();
    assert!(said.contains("leases") && !said.contains("missing"), "{said}");

    // Leases: in turn, and every nanosecond of occupancy that the status knows.
    let device = trace.tracks.values().find(|track| track.name.starts_with("device 0")).unwrap().name.clone();
    let leases = trace.outermost(trace.find(&device, "leases")[0]);
    let fact = |slice: &crate::reader::Event, name: &str| slice.numbers[name].cast_unsigned();
    let occupancy: u64 = leases.iter().map(|lease| fact(lease, "occupancy_ns")).sum();
    assert_eq!(occupancy, status["device_time"]["occupancy_ns"].as_u64().unwrap());
    for lease in &leases {
        let within = |slice: &&crate::reader::Event| slice.track == lease.track && slice.depth == 1;
        let start = trace.slices.iter().filter(within).find(|start| start.begin == lease.begin).unwrap();
        assert_eq!(lease.end - start.end, fact(lease, "occupancy_ns") + fact(lease, "parked_ns"), "{lease:?}");
    }
    assert!(["red", "blue"].iter().all(|tenant| leases.iter().any(|lease| lease.name == *tenant)));

    // Switches: all that were counted, each the sum of its parts.
    let switches = trace.outermost(trace.find(&device, "switches")[0]);
    let counted = |kind: &str| status[kind]["total"]["count"].as_u64().unwrap();
    let sum = |kind: &str| status[kind]["total"]["sum_ns"].as_u64().unwrap();
    assert_eq!(switches.len() as u64, counted("switches_between_tenants") + counted("switches_within_tenant"));
    let total: u64 = switches.iter().map(|switch| fact(switch, "total_ns")).sum();
    assert_eq!(total, sum("switches_between_tenants") + sum("switches_within_tenant"));

    for name in ["red", "blue"] {
        let group = format!("tenant {name}");
        // Dispatches: all, by name, in the leases of their tenant.
        let rows = trace.find(&group, "q1");
        let dispatches: Vec<_> = rows.iter().flat_map(|row| trace.outermost(*row)).collect();
        assert_eq!(dispatches.len() as u64, broker.tenant(name)["counters"]["dispatches"].as_u64().unwrap());
        for dispatch in dispatches {
            assert_eq!(dispatch.name, "spin");
            let inside = |at: u64| leases.iter().any(|l| l.name == name && l.begin <= at && at <= l.end);
            assert!(inside(dispatch.begin) && inside(dispatch.end), "{dispatch:?}");
        }
        // Quotas and lag.
        let vram = trace.find(&group, "VRAM")[0];
        let values: Vec<_> = trace.counts.iter().filter(|count| count.track == vram).map(|count| count.value).collect();
        assert!(values.iter().any(|bytes| *bytes > 0) && values.last() == Some(&0), "{values:?}");
        let lag = trace.find(&group, "lag")[0];
        assert!(trace.counts.iter().any(|count| count.track == lag && count.value != 0));
    }
    let happened = |what: &str| trace.instants.iter().any(|instant| instant.name == what);
    for what in ["ready", "charge granted", "charge released", "denied: vram-limit", "paused", "ended: goodbye"] {
        assert!(happened(what), "{what}");
    }
}

#[test]
fn a_trace_of_what_goes_on_ends_with_the_lease_that_is_held() {
    let broker = Broker::start(TWO);
    let red = Busy::new(&broker, "red");
    red.work();
    let recording = Recording::start(&broker, 1);
    let other = Recording::start(&broker, 2);
    red.work();
    let (trace, _) = recording.stop();
    let device = trace.tracks.values().find(|track| track.name.starts_with("device 0")).unwrap().name.clone();
    let leases = trace.outermost(trace.find(&device, "leases")[0]);
    assert_eq!((leases.len(), leases[0].texts["reason"].as_str()), (1, "held"));
    let dispatches = |trace: &Trace| trace.slices.iter().filter(|slice| slice.category == "dispatch").count();
    assert_eq!(dispatches(&trace), 1, "the one since it began");
    // The other goes on, also when its session comes to a bad end.
    red.work();
    kill(broker.worker_of(&red.client));
    eventually("the session ends", || broker.status()["sessions"].as_array().unwrap().is_empty().then_some(()));
    let (trace, _) = other.stop();
    assert_eq!(dispatches(&trace), 2);
    assert!(trace.instants.iter().any(|instant| instant.name == "ended: worker-died"));
    let vram = trace.find("tenant red", "VRAM")[0];
    assert_eq!(trace.counts.iter().rfind(|count| count.track == vram).map(|count| count.value), Some(0));
}
