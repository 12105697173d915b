//! Sessions that go from one partition of a device to another while they run.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::rig::{Broker, eventually};
use crate::sessions::Busy;

const DIVIDED: &str = r#"
    slice = "2ms"
    preempt_timeout = "20s"
    [[partition]]
    name = "left"
    cus = 1
    [[partition]]
    name = "right"
    cus = 1
    [[partition]]
    name = "wide"
    cus = 2
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
    partition = "left"
    [[tenant]]
    name = "blue"
    match = [{ uid = UID }]
    partition = "left"
"#;

fn divided() -> Broker {
    Broker::start_on("soft:cus=4,vram=1GiB", DIVIDED)
}

/// Returns where the sessions of a tenant are, oldest first.
fn places(broker: &Broker, tenant: &str) -> Vec<String> {
    let status = broker.status();
    let sessions = status["sessions"].as_array().unwrap().iter().filter(|s| s["tenant"] == tenant);
    sessions.map(|s| s["partition"].as_str().unwrap().to_owned()).collect()
}

/// Returns how long a partition has run for sessions.
fn occupancy(broker: &Broker, partition: &str) -> u64 {
    let status = broker.status();
    let partitions = status["devices"][0]["partitions"].as_array().unwrap();
    let found = partitions.iter().find(|p| p["name"] == partition).expect("the partition");
    found["device_time"]["occupancy_ns"].as_u64().unwrap()
}

fn send(broker: &Broker, tenant: &str, partition: &str) {
    broker.ask(&["tenant", "set", tenant, &format!("partition={partition}")]);
}

/// Its queue, its memory and its program stay what they are, and what it computes is right wherever it is suspended and resumed.
#[test]
fn a_running_session_moves_and_computes_the_same() {
    let broker = divided();
    let descriptors = broker.descriptors();
    let case = || kernels::find("mandelbrot").unwrap().small_case(1);
    let (red, blue) = (Busy::with(&broker, "red", case()), Busy::with(&broker, "blue", case()));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for busy in [&red, &blue] {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    busy.work();
                }
            });
        }
        let moved = std::panic::catch_unwind(AssertUnwindSafe(|| {
            for partition in ["right", "wide", "left", "right"] {
                let before = occupancy(&broker, partition);
                send(&broker, "red", partition);
                eventually("red is there", || (places(&broker, "red") == [partition]).then_some(()));
                eventually("and runs there", || (occupancy(&broker, partition) > before).then_some(()));
                assert_eq!(places(&broker, "blue"), ["left"]);
            }
        }));
        over.store(true, Ordering::Relaxed);
        moved.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    // An idle one moves as well, and works on.
    send(&broker, "blue", "right");
    eventually("blue is there", || (places(&broker, "blue") == ["right"]).then_some(()));
    blue.work();
    assert_eq!((red.client.ended(), blue.client.ended()), (None, None));
    drop((red, blue));
    broker.check_nothing_left(descriptors);
}

/// A context has as many compute units as there were when it began, so it does not go where there are fewer.
#[test]
fn a_session_stays_where_it_fits() {
    let broker = divided();
    send(&broker, "red", "wide");
    let first = Busy::new(&broker, "red");
    assert_eq!(places(&broker, "red"), ["wide"]);
    send(&broker, "red", "left");
    first.work();
    let second = Busy::new(&broker, "red");
    second.work();
    first.work();
    assert_eq!(places(&broker, "red"), ["wide", "left"]);
}
