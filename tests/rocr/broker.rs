//! The broker as processes with AMD's runtime in its workers: sharing, faults, a device that is lost, one that does not stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use kernels::{Case, canary};
use proto::message::{EndReason, FaultKind};

use crate::program::{Placed, load, run};
use crate::serve::{Broker, eventually, soon};

const TWO: &str = r#"
    slice = "5ms"
    preempt_timeout = "1s"
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
    weight = 300
    [[tenant]]
    name = "blue"
    match = [{ uid = UID }]
    weight = 100
"#;

/// A session with a queue and a kernel.
struct Busy {
    client: client::Client,
    queue: client::Queue,
    placed: Placed,
}

impl Busy {
    fn with(broker: &Broker, tenant: &str, case: Case) -> Busy {
        let client = broker.connect(tenant).unwrap_or_else(|error| panic!("{tenant}: {error}\n{}", broker.log()));
        let queue = client.queue(64).expect("a queue");
        let code = load(&client, case.kernel);
        let placed = Placed::new(&client, &code, &queue, case);
        Busy { client, queue, placed }
    }

    fn work(&self) {
        run(&self.client, &self.queue, &self.placed).expect("it ends");
        self.placed.check();
    }

    /// Begins the kernel; nobody waits for it.
    fn begin(&self) -> client::Signal {
        let done = self.client.signal(1).expect("a signal");
        self.queue.dispatch(&self.placed.dispatch(&done)).expect("room");
        done
    }
}

fn small(name: &str) -> Case {
    kernels::find(name).expect("a kernel").small_case(1)
}

/// Returns the device that the environment names, with an option more.
fn device(option: &str) -> String {
    let named = std::env::var("WAVEGATE_ROCR_DEVICE");
    let named = named.expect("WAVEGATE_ROCR_DEVICE names the device; cargo xtask rocr sets it");
    // Paths come last in a description, and its length is bounded.
    named.replacen("rocr:0", &format!("rocr:0{option}"), 1)
}

/// The fixture under a folder of its own, where a file says what it is and when it is lost.
struct Fixture(PathBuf);

impl Fixture {
    /// Returns one that `lost` can be called on; `None` where the device is a card.
    fn new(name: &str) -> Option<Fixture> {
        let thunk = device("").split("thunk=").nth(1)?.to_owned();
        let folder = std::env::temp_dir().join(format!("wg-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let fixture = Fixture(folder);
        std::fs::copy(thunk, fixture.0.join("libhsakmt.so.1")).expect("the thunk");
        let lose = fixture.0.join("lost");
        std::fs::write(fixture.0.join("softkmt.conf"), format!("SOFTKMT_CUS=2\nSOFTKMT_LOSE={}\n", lose.display()))
            .expect("a file");
        Some(fixture)
    }

    fn device(&self) -> String {
        format!("rocr:0,vram=256MiB,thunk={}", self.0.join("libhsakmt.so.1").display())
    }

    fn lost(&self) -> PathBuf {
        self.0.join("lost")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Has a tenant run its kernel until told to stop; returns how many ended.
fn saturate(busy: &Busy, stop: &AtomicBool) -> u64 {
    const DEPTH: usize = 4;
    let signals: Vec<_> = (0..DEPTH).map(|_| busy.client.signal(0).expect("a signal")).collect();
    let mut done = 0;
    for turn in 0.. {
        let signal = &signals[turn % DEPTH];
        if turn >= DEPTH {
            busy.queue.wait(signal, soon()).expect("it ends");
            done += 1;
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        signal.store(1).expect("ours");
        busy.queue.dispatch(&busy.placed.dispatch(signal)).expect("room");
    }
    done
}

#[test]
#[ignore = "needs AMD's runtime; `cargo xtask rocr` gets it and runs this"]
fn two_tenants_share_a_card_by_weight_and_find_nothing_of_each_other() {
    let broker = Broker::start_on(&device(""), TWO);
    // Kernels of some milliseconds that leave the same however often they run.
    let long = || kernels::find("mandelbrot").expect("a kernel").default_case(1);
    let [red, blue] = ["red", "blue"].map(|name| Busy::with(&broker, name, long()));
    let stop = AtomicBool::new(false);
    let time = |name: &str| broker.tenant(name)["device_time_ns"].as_u64().expect("a number") as f64;
    let share = std::thread::scope(|scope| {
        let threads = [&red, &blue].map(|busy| scope.spawn(|| saturate(busy, &stop)));
        let switches = |n: u64| {
            eventually("the device is shared", || {
                let status = broker.status();
                (status["switches_between_tenants"]["total"]["count"].as_u64()? >= n).then_some(())
            });
        };
        switches(10);
        let before = (time("red"), time("blue"));
        switches(100);
        let (red, blue) = (time("red") - before.0, time("blue") - before.1);
        stop.store(true, Ordering::Relaxed);
        assert!(threads.into_iter().all(|thread| thread.join().is_ok_and(|done| done > 0)));
        red / (red + blue)
    });
    assert!((share - 0.75).abs() < 0.05, "red got {share:.3} of the device time");
    // Both compute what they compute alone.
    red.placed.check();
    blue.placed.check();
    // What one leaves the next does not find. On the fixture each worker has compute units of its own, so this says most on a card.
    let writes = Busy::with(&broker, "red", canary::write_case(8, 77));
    let reads = Busy::with(&broker, "blue", canary::read_case(8));
    for _ in 0..3 {
        writes.work();
        reads.work();
    }
}

#[test]
#[ignore = "needs AMD's runtime; `cargo xtask rocr` gets it and runs this"]
fn a_fault_ends_its_session_with_its_story_and_no_other() {
    let broker = Broker::start_on(&device(""), TWO);
    let descriptors = broker.descriptors();
    let blue = Busy::with(&broker, "blue", small("vector_add"));
    blue.work();
    let red = Busy::with(&broker, "red", kernels::fault::at(0xdead_0000, 64, 1));
    red.begin();
    let end = red.client.wait_ended(soon()).expect("an end");
    assert_eq!(end.reason, EndReason::Faulted, "{end}");
    assert!(end.text.contains("0xdead0000") && end.to_string().contains("connect again"), "{end}");
    let fault = red.queue.fault().expect("told before the end");
    assert_eq!((fault.kind, fault.address.0, fault.kernel.as_str()), (FaultKind::Memory, 0xdead_0000, "fault"));
    blue.work();
    Busy::with(&broker, "red", small("matmul")).work();
    assert_eq!(broker.tenant("red")["ended"]["faulted"], 1);
    drop((red, blue));
    broker.check_nothing_left(descriptors);
}

#[test]
#[ignore = "needs AMD's runtime; `cargo xtask rocr` gets it and runs this"]
fn a_lost_device_is_told_with_its_generation_and_comes_back() {
    let Some(fixture) = Fixture::new("lost") else {
        println!("only the fixture can be lost on purpose");
        return;
    };
    let broker = Broker::start_on(&fixture.device(), TWO);
    let descriptors = broker.descriptors();
    // One whose kernel never ends, one that waits for its turn, one that is idle.
    let hangs = Busy::with(&broker, "red", small("runaway"));
    let [waits, idle] = [0, 1].map(|_| Busy::with(&broker, "blue", small("vector_add")));
    waits.work();
    idle.work();
    let never = hangs.begin();
    eventually("it runs", || (broker.tenant("red")["counters"]["packets"].as_u64()? > 0).then_some(()));
    std::fs::write(fixture.lost(), "").expect("a file");
    waits.begin();
    idle.begin();
    for busy in [&hangs, &waits, &idle] {
        let end = busy.client.wait_ended(soon()).expect("an end");
        assert_eq!(end.reason, EndReason::DeviceLost, "{end}");
        assert!(end.text.contains("generation 1 of the device is lost"), "{end}");
    }
    assert!(hangs.queue.wait(&never, soon()).is_err());
    // As a reset does, which takes a while.
    std::fs::remove_file(fixture.lost()).expect("a file");
    let again = Busy::with(&broker, "red", small("matmul"));
    again.work();
    assert_eq!(again.client.generation().0, 2);
    drop((hangs, waits, idle, again));
    broker.check_nothing_left(descriptors);
}

#[test]
#[ignore = "needs AMD's runtime; `cargo xtask rocr` gets it and runs this"]
fn a_kernel_that_does_not_stop_is_suspended_or_its_worker_killed() {
    for (option, killed) in [("", false), (",suspend=off", true)] {
        let broker = Broker::start_on(&device(option), TWO);
        let red = Busy::with(&broker, "red", small("runaway"));
        let blue = Busy::with(&broker, "blue", small("vector_add"));
        red.begin();
        eventually("it runs", || (broker.tenant("red")["counters"]["packets"].as_u64()? > 0).then_some(()));
        blue.work();
        blue.work();
        if killed {
            let end = red.client.wait_ended(soon()).expect("an end");
            assert_eq!(end.reason, EndReason::PreemptTimeout, "{end}");
            assert_eq!(blue.client.ended(), None);
        } else {
            assert_eq!(red.client.ended(), None, "{}", broker.log());
        }
    }
}

/// A worker whose broker dies takes its hardware queues with it.
#[test]
#[ignore = "needs AMD's runtime; `cargo xtask rocr` gets it and runs this"]
fn workers_end_with_their_broker() {
    let mut broker = Broker::start_on(&device(""), TWO);
    let red = Busy::with(&broker, "red", small("runaway"));
    red.begin();
    let workers = broker.workers();
    assert_eq!(workers.len(), 1);
    broker.signal(rustix::process::Signal::KILL);
    broker.wait();
    assert_eq!(red.client.wait_ended(soon()).expect("an end").reason, EndReason::BrokerDied);
    eventually("the worker ends", || (!Path::new(&format!("/proc/{}/fd/0", workers[0])).exists()).then_some(()));
}
