//! Lives of sessions: work done, shares, and deaths of each of the three.

use client::{Client, Queue};
use kernels::Case;
use proto::message::{DenyCode, EndReason};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Placed, load, run};
use crate::rig::{Broker, eventually, is_alive, soon};

pub(crate) const TWO: &str = r#"
    slice = "2ms"
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
    weight = 300
    [[tenant]]
    name = "blue"
    match = [{ uid = UID }]
    weight = 100
    vram = "64MiB"
"#;

/// A session with a queue and a kernel that takes a while.
pub(crate) struct Busy {
    pub(crate) client: Client,
    pub(crate) queue: Queue,
    pub(crate) placed: Placed,
}

impl Busy {
    pub(crate) fn new(broker: &Broker, tenant: &str) -> Busy {
        Busy::with(broker, tenant, kernels::find("vector_add").unwrap().small_case(1))
    }

    pub(crate) fn with(broker: &Broker, tenant: &str, case: Case) -> Busy {
        let client = broker.connect(tenant).unwrap();
        let queue = client.queue(64).unwrap();
        let code = load(&client, case.kernel);
        let placed = Placed::new(&client, &code, &queue, case);
        Busy { client, queue, placed }
    }

    /// Runs the kernel and checks the result.
    pub(crate) fn work(&self) {
        run(&self.client, &self.queue, &self.placed).unwrap();
        self.placed.check();
    }
}

pub(crate) fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn tenants_work_and_leave_nothing_behind() {
    let mut broker = Broker::start(TWO);
    let descriptors = broker.descriptors();
    let (red, blue) = (Busy::new(&broker, "red"), Busy::new(&broker, "blue"));
    for _ in 0..20 {
        red.work();
        blue.work();
    }
    let status = broker.status();
    assert_eq!(status["sessions"].as_array().unwrap().len(), 2);
    for name in ["red", "blue"] {
        let tenant = broker.tenant(name);
        assert_eq!(tenant["counters"]["dispatches"], 20, "{tenant:#}");
        assert_eq!(tenant["dispatch_latency"]["count"], 20, "{tenant:#}");
        // All of it was within the last minute, unless the machine is very slow.
        let (minute, total) = (&tenant["last_minute"], |what: &str| tenant[what]["count"].as_u64());
        if minute["span_ns"].as_u64().unwrap() < 59_000_000_000 {
            for what in ["dispatch_latency", "lease_wait", "occupancy"] {
                assert_eq!(minute[what]["count"].as_u64(), total(what), "{what}: {tenant:#}");
            }
        }
        assert!(tenant["vram_used_bytes"].as_u64().unwrap() > 0 && tenant["device_time_ns"].as_u64().unwrap() > 0);
        let shown = broker.ask(&["tenant", "show", name]);
        assert!(shown.lines().any(|line| line.split_whitespace().eq(["dispatches", "20"])), "{shown}");
    }
    let top = broker.ask(&["top", "--looks", "2", "--every", "1ms"]);
    assert_eq!(top.matches("red ").count(), 2, "{top}");
    assert_eq!(broker.workers().len(), 2);
    let worker = broker.worker_of(&red.client);
    let title = std::fs::read_to_string(format!("/proc/{worker}/cmdline")).unwrap();
    assert!(title.starts_with("wavegate:red\0"), "{title:?}");
    drop((red, blue));
    broker.check_nothing_left(descriptors);
    // What they did is still known.
    assert_eq!(broker.tenant("red")["counters"]["dispatches"], 20);
    assert_eq!(broker.tenant("red")["ended"]["goodbye"], 1);
    broker.signal(Signal::TERM);
    assert!(broker.wait().success());
    assert!(broker.files_left().is_empty(), "{:?}", broker.files_left());
}

#[test]
fn a_worker_that_is_killed_is_named_and_hurts_nobody_else() {
    let broker = Broker::start(TWO);
    let descriptors = broker.descriptors();
    let (red, blue) = (Busy::new(&broker, "red"), Busy::new(&broker, "blue"));
    red.work();
    kill(broker.worker_of(&red.client));
    let end = red.client.wait_ended(soon()).expect("an end");
    assert_eq!((end.reason, end.signal), (EndReason::WorkerDied, 9));
    blue.work();
    assert_eq!(blue.client.ended(), None);
    let ended = broker.status()["ended"][0].clone();
    assert_eq!((ended["reason"].as_str(), ended["signal"].as_u64()), (Some("worker-died"), Some(9)));
    assert!(ended["reclaimed_bytes"].as_u64().unwrap() > 0);
    // The tenant may come again at once.
    Busy::new(&broker, "red").work();
    drop((red, blue));
    broker.check_nothing_left(descriptors);
}

#[test]
fn when_the_broker_is_killed_its_workers_end_and_tenants_know_why() {
    let mut broker = Broker::start(TWO);
    let (red, blue) = (Busy::new(&broker, "red"), Busy::new(&broker, "blue"));
    red.work();
    blue.work();
    let workers = broker.workers();
    assert_eq!(workers.len(), 2);
    broker.signal(Signal::KILL);
    broker.wait();
    for tenant in [&red, &blue] {
        assert_eq!(tenant.client.wait_ended(soon()).expect("an end").reason, EndReason::BrokerDied);
    }
    eventually("the workers end", || workers.iter().all(|pid| !is_alive(*pid)).then_some(()));
}

#[test]
fn administrators_end_sessions_and_the_daemon_in_order() {
    let mut broker = Broker::start(TWO);
    let (red, blue) = (Busy::new(&broker, "red"), Busy::new(&broker, "blue"));
    broker.ask(&["session", "kill", &format!("s{}", red.client.session().0)]);
    assert_eq!(red.client.wait_ended(soon()).expect("an end").reason, EndReason::Killed);
    blue.work();
    broker.signal(Signal::TERM);
    assert_eq!(blue.client.wait_ended(soon()).expect("an end").reason, EndReason::Shutdown);
    assert!(broker.wait().success());
    assert!(broker.files_left().is_empty());
}

#[test]
fn quotas_hold_and_change_live() {
    let broker = Broker::start(TWO);
    let blue = broker.connect("blue").unwrap();
    assert_eq!(blue.device().vram.0, 64 << 20);
    let kept = blue.vram(48 << 20).unwrap();
    match blue.vram(32 << 20) {
        Err(client::ClientError::Denied(no)) => assert_eq!(no.code, DenyCode::Vram),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("80 MiB of 64"),
    }
    broker.ask(&["tenant", "set", "blue", "vram=128MiB"]);
    blue.vram(32 << 20).unwrap();
    drop(kept);
    let tenant = broker.tenant("blue");
    assert_eq!(tenant["denied"]["vram-limit"], 1);
    assert_eq!(tenant["set_live"][0], "vram");
}

/// Keeps a queue full of a kernel until told to stop; returns how many completed.
pub(crate) fn saturate(busy: &Busy, stop: &std::sync::atomic::AtomicBool) -> u64 {
    const DEPTH: usize = 8;
    let signals: Vec<_> = (0..DEPTH).map(|_| busy.client.signal(0).unwrap()).collect();
    let mut done = 0;
    for turn in 0.. {
        let signal = &signals[turn % DEPTH];
        if turn >= DEPTH {
            busy.queue.wait(signal, soon()).unwrap();
            done += 1;
        }
        if stop.load(std::sync::atomic::Ordering::Relaxed) {
            break;
        }
        signal.store(1).unwrap();
        busy.queue.dispatch(&busy.placed.dispatch(signal)).unwrap();
    }
    done
}

#[test]
fn saturated_tenants_get_device_time_by_weight() {
    let broker = Broker::start(TWO);
    // Kernels of some milliseconds, so that a busy machine does not let the rings run dry.
    let [red, blue] = ["red", "blue"].map(|name| Busy::with(&broker, name, kernels::spin::case(8, 20_000, 1)));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let time = |name: &str| broker.tenant(name)["device_time_ns"].as_u64().unwrap() as f64;
    std::thread::scope(|scope| {
        for busy in [&red, &blue] {
            scope.spawn(|| saturate(busy, &stop));
        }
        let switches = |n: u64| {
            eventually("the device is shared", || {
                let status = broker.status();
                (status["switches_between_tenants"]["total"]["count"].as_u64().unwrap() >= n).then_some(status)
            })
        };
        // Both have begun; from here on both are backlogged all the time.
        switches(10);
        let before = (time("red"), time("blue"));
        let status = switches(400);
        let share = (time("red") - before.0) / (time("red") - before.0 + time("blue") - before.1);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!((share - 0.75).abs() < 0.05, "red got {share:.3} of the device time");
        let switches = &status["switches_between_tenants"];
        let sum = |part: &str| switches[part]["sum_ns"].as_u64().unwrap();
        assert_eq!(sum("stop") + sum("grant") + sum("start"), sum("total"));
    });
}
