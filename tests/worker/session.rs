//! What a well-behaved tenant sees.

use client::{Client, ClientError, DenyCode, EndReason, FaultKind, WaitError};
use kernels::Ending;
use proto::gate::{GateLayout, LeaseState};
use proto::message::worker::ChargeKind;
use proto::{Bytes, Nanos};
use std::sync::atomic::Ordering;
use std::time::Duration;
use sys::clock::Deadline;
use sys::process::Exit;

use crate::program::{Placed, load, run};
use crate::stub::{CUS, Policy, Session, Stub, end_tenant, eventually, soon};

fn vector_add(client: &Client, queue: &client::Queue, seed: u64) -> Placed {
    let code = load(client, "vector_add");
    Placed::new(client, &code, queue, kernels::find("vector_add").unwrap().small_case(seed))
}

#[test]
fn every_kernel_agrees_with_its_oracle() {
    let stub = Stub::new(Policy::default());
    for (at, kernel) in kernels::all().iter().enumerate() {
        // A session each: canaries want to find nothing, and within one session nobody wipes.
        let client = stub.connect();
        let case = kernel.small_case(7);
        let queue = client.queue(64).unwrap();
        let code = load(&client, kernel.name);
        let placed = Placed::new(&client, &code, &queue, case);
        match placed.case.ending {
            Ending::NeverEnds => continue,
            Ending::Completes => run(&client, &queue, &placed).unwrap(),
            Ending::Faults { address } => {
                let error = run(&client, &queue, &placed).unwrap_err();
                let WaitError::Fault(fault) = error else { panic!("{}: {error}", kernel.name) };
                assert_eq!((fault.kind, fault.address.0, fault.queue), (FaultKind::Memory, address, queue.id()));
                assert_eq!(fault.kernel.as_str(), kernel.name);
                // The session goes on, and only this queue is over.
                assert_eq!(queue.fault().as_ref(), Some(&*fault));
                eventually("the broker hears", || stub.with(at, |s| s.faults.contains(&fault).then_some(())));
            }
        }
        placed.check();
        assert_eq!(client.ended(), None);
    }
}

/// A lone tenant never waits for the broker: once it has the lease, the broker may sleep.
#[test]
fn a_lone_tenant_parks_and_comes_back_without_the_broker() {
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    let queue = client.queue(64).unwrap();
    let placed = vector_add(&client, &queue, 1);
    run(&client, &queue, &placed).unwrap();
    eventually("it parks", || stub.with(0, |s| (s.word().state() == Some(LeaseState::Parked)).then_some(())));

    let signals: Vec<_> = (0..20).map(|_| client.signal(1).unwrap()).collect();
    stub.asleep.store(true, Ordering::SeqCst);
    for signal in &signals {
        queue.dispatch(&placed.dispatch(signal)).unwrap();
        queue.wait(signal, soon()).unwrap();
        eventually("it parks", || stub.with(0, |s| (s.word().state() == Some(LeaseState::Parked)).then_some(())));
    }
    placed.check();
    stub.with(0, |s| {
        assert_eq!(s.grants, 1);
        assert!(s.gate(GateLayout::UNPARKS) > 0);
        assert_eq!(s.gate(GateLayout::DISPATCHES), 21);
        assert_eq!(s.gate(GateLayout::PACKETS), 21);
        assert_eq!(s.samples(GateLayout::DISPATCH_LATENCY), 21, "each dispatch is in the histogram");
        assert_eq!(s.samples(GateLayout::LEASE_WAIT), 1, "the wait for the lease is in its own");
        assert!(s.gate(GateLayout::WAVE_INSTRUCTIONS) > 0 && s.gate(GateLayout::BUSY_TIME) > 0);
        assert!(s.gate(GateLayout::FIRST_INSTRUCTION_AT) >= s.gate(GateLayout::GRANTED_AT));
    });
    stub.asleep.store(false, Ordering::SeqCst);
}

#[test]
fn tenants_take_turns_in_the_middle_of_kernels_and_all_results_are_right() {
    let stub = Stub::new(Policy { slice: Duration::from_micros(500), ..Policy::default() });
    // One that never has enough, so that the others always have somebody to take turns with.
    let hog = stub.connect();
    let queue = hog.queue(64).unwrap();
    let code = load(&hog, "runaway");
    let endless = Placed::new(&hog, &code, &queue, kernels::find("runaway").unwrap().small_case(1));
    queue.dispatch(&endless.dispatch(&hog.signal(1).unwrap())).unwrap();
    std::thread::scope(|scope| {
        for (at, (name, size)) in [("matmul", 96), ("nbody", 512), ("reduction", 100_000)].into_iter().enumerate() {
            let client = stub.connect();
            let stub = &stub;
            scope.spawn(move || {
                let queue = client.queue(64).unwrap();
                let code = load(&client, name);
                let kernel = kernels::find(name).unwrap();
                let mut seed = 0;
                // Until it has been interrupted; before that nothing was tested.
                eventually("it is interrupted", || {
                    let placed = Placed::new(&client, &code, &queue, kernel.case(size, seed).unwrap());
                    run(&client, &queue, &placed).unwrap();
                    placed.check();
                    seed += 1;
                    (seed >= 4 && stub.with(at + 1, |s| s.suspended.0) > 0).then_some(())
                });
            });
        }
    });
    assert!(stub.with(0, |s| s.suspended.0) > 0, "the hog was interrupted, too");
}

#[test]
fn another_tenants_registers_and_lds_are_wiped_and_without_that_they_are_seen() {
    const TAG: u32 = 0x5eed_0000;
    let found = |scrub| {
        let stub = Stub::new(Policy { scrub, ..Policy::default() });
        let (writer, reader) = (stub.connect(), stub.connect());
        let place = |client: &Client, case: kernels::Case| {
            let queue = client.queue(64).unwrap();
            let code = load(client, case.kernel);
            let placed = Placed::new(client, &code, &queue, case);
            run(client, &queue, &placed).unwrap();
            placed
        };
        place(&writer, kernels::canary::write_case(CUS, TAG)).check();
        let looked = place(&reader, kernels::canary::read_case(CUS));
        let mut dump = vec![0; looked.case.buffers[0].bytes.len()];
        looked.buffers[0].read(0, &mut dump).unwrap();
        kernels::canary::survivors(&dump, TAG).total()
    };
    assert_eq!(found(true), 0, "a canary survived");
    assert!(found(false) > 0, "the test cannot see a leak");
}

#[test]
fn a_kernel_that_runs_too_long_ends_its_session_by_name() {
    let mut policy = Policy::default();
    policy.limits.max_dispatch = Nanos::from_millis(100);
    let stub = Stub::new(policy);
    let (runaway, other) = (stub.connect(), stub.connect());
    let queue = runaway.queue(64).unwrap();
    let code = load(&runaway, "runaway");
    let placed = Placed::new(&runaway, &code, &queue, kernels::find("runaway").unwrap().small_case(1));
    let signal = runaway.signal(1).unwrap();
    queue.dispatch(&placed.dispatch(&signal)).unwrap();

    // Meanwhile others get their turns.
    let other_queue = other.queue(64).unwrap();
    let work = vector_add(&other, &other_queue, 3);
    for _ in 0..10 {
        run(&other, &other_queue, &work).unwrap();
    }
    work.check();

    match queue.wait(&signal, soon()) {
        Err(WaitError::Fault(fault)) => assert_eq!(fault.kernel.as_str(), "runaway"),
        Err(WaitError::Ended(_)) => {}
        other => panic!("{other:?}"),
    }
    let end = runaway.wait_ended(soon()).unwrap();
    assert_eq!(end.reason, EndReason::Runaway);
    assert!(end.text.contains("the limit is 100 ms"), "{end}");
    assert_eq!(queue.fault().unwrap().kind, FaultKind::Runaway);
    assert_eq!(stub.exit_of(0), Exit::Code(0));
    assert_eq!(stub.left(0), EndReason::Runaway);
    stub.with(0, |s| {
        assert!(!s.word().holds(s.word().generation()), "the device was given back");
    });
    assert_eq!(other.ended(), None);
}

#[test]
fn quotas_are_answers_and_what_is_freed_can_be_had_again() {
    let mut policy = Policy::default();
    policy.limits.vram = Bytes(8 << 20);
    let stub = Stub::new(policy);
    let client = stub.connect();
    assert_eq!(client.device().vram, Bytes(8 << 20), "the device is as large as the quota");
    for _ in 0..3 {
        let first = client.vram(6 << 20).unwrap();
        let error = client.vram(4 << 20).map(drop).unwrap_err();
        let ClientError::Denied(denial) = error else { panic!("{error}") };
        assert_eq!((denial.code, denial.asked, denial.limit, denial.used), (DenyCode::Vram, 4 << 20, 8 << 20, 6 << 20));
        assert_eq!(client.memory_use().unwrap().vram_used, Bytes(6 << 20));
        first.write((6 << 20) - 4, &[1; 4]).unwrap();
        drop(first);
        assert_eq!(client.memory_use().unwrap().vram_used, Bytes(0));
    }
    for bytes in [0, u64::MAX, u64::MAX - 4096] {
        assert!(matches!(client.vram(bytes), Err(ClientError::Denied(_))), "{bytes}");
    }
    // What the device needs itself is charged too: saved contexts, code, private memory.
    let queue = client.queue(64).unwrap();
    let code = load(&client, "scratch");
    let placed = Placed::new(&client, &code, &queue, kernels::find("scratch").unwrap().small_case(1));
    run(&client, &queue, &placed).unwrap();
    placed.check();
    stub.with(0, |s| {
        for kind in
            [ChargeKind::SaveArea, ChargeKind::Code, ChargeKind::Scratch, ChargeKind::Queue, ChargeKind::Kernarg]
        {
            assert!(s.charged(kind) > 0, "{kind}");
        }
    });
    drop((placed, code, queue));
    for kind in [ChargeKind::SaveArea, ChargeKind::Code, ChargeKind::Vram, ChargeKind::Queue, ChargeKind::Kernarg] {
        eventually("it is given back", || stub.with(0, |s| (s.charged(kind) == 0).then_some(())));
    }
}

#[test]
fn eight_producers_overrun_a_ring_and_nothing_is_lost_or_repeated() {
    const PRODUCERS: usize = 8;
    const EACH: usize = 200;
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    let queue = client.queue(64).unwrap();
    let code = load(&client, "empty");
    let placed = Placed::new(&client, &code, &queue, kernels::find("empty").unwrap().small_case(1));
    let done = client.signal((PRODUCERS * EACH) as i64).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    queue.dispatch(&placed.dispatch(&done)).unwrap();
                }
            });
        }
    });
    queue.wait(&done, soon()).unwrap();
    assert_eq!(done.load(), 0);
    eventually("all slots are given back", || (queue.consumed() == (PRODUCERS * EACH) as u64).then_some(()));
    let counted = || stub.with(0, |s| s.gate(GateLayout::DISPATCHES));
    eventually("all are counted", || (counted() == (PRODUCERS * EACH) as u64).then_some(()));
}

#[test]
fn queues_come_and_go_while_kernels_run() {
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    let busy = client.queue(64).unwrap();
    let code = load(&client, "runaway");
    let endless = Placed::new(&client, &code, &busy, kernels::find("runaway").unwrap().small_case(1));
    let never = client.signal(1).unwrap();
    busy.dispatch(&endless.dispatch(&never)).unwrap();
    eventually("it runs", || stub.with(0, |s| (s.gate(GateLayout::DISPATCH_SINCE) != 0).then_some(())));
    for seed in 0..3 {
        let queue = client.queue(128).unwrap();
        let placed = vector_add(&client, &queue, seed);
        run(&client, &queue, &placed).unwrap();
        placed.check();
    }
    assert_eq!(stub.with(0, |s| s.grants), 1, "the lease was kept all the while");
    drop(busy);
    eventually("it parks", || stub.with(0, |s| (s.word().state() == Some(LeaseState::Parked)).then_some(())));
    assert_eq!(never.load(), 1);
}

#[test]
fn code_can_be_asked_about() {
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    let code = load(&client, "vector_add");
    let (address, bytes) = code.place();
    let symbols: Vec<_> = (0..code.symbols()).map(|i| code.symbol_at(i).unwrap()).collect();
    let kernel = symbols.iter().find(|s| s.name == "vector_add").unwrap();
    assert_eq!(code.kernel("vector_add").unwrap().object, kernel.address);
    assert!((address..address + bytes).contains(&kernel.address));
    let denied = |result: Result<_, ClientError>, code| match result.map(|_: client::Symbol| ()) {
        Err(ClientError::Denied(denial)) => assert_eq!(denial.code, code),
        other => panic!("{other:?}"),
    };
    denied(code.symbol("vector_sub"), DenyCode::UnknownSymbol);
    denied(code.symbol_at(code.symbols()), DenyCode::UnknownSymbol);
    let junk = client.load(b"\x7fELF this is no code object");
    assert!(matches!(junk.map(drop), Err(ClientError::Denied(d)) if d.code == DenyCode::Code));
    let wrong = client.load(kernels::find("vector_add").unwrap().code_object(kernels::Target::Gfx942));
    assert!(matches!(wrong.map(drop), Err(ClientError::Denied(d)) if d.code == DenyCode::Code));
}

// Ends.

#[test]
fn dropping_the_last_handle_ends_the_session() {
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    let buffer = client.host(4096).unwrap();
    drop(client);
    buffer.write(0, b"still here").unwrap();
    assert!(stub.with(0, |s| s.left.is_none()));
    drop(buffer);
    assert_eq!(stub.exit_of(0), Exit::Code(0));
    assert_eq!(stub.left(0), EndReason::Goodbye);
}

/// Ends a session by `end` while one thread waits for a signal and another for room in the ring; returns what they were told.
fn end_under_load(end: impl FnOnce(&Stub)) -> [String; 3] {
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    let queue = client.queue(64).unwrap();
    let code = load(&client, "runaway");
    let placed = Placed::new(&client, &code, &queue, kernels::find("runaway").unwrap().small_case(1));
    let signal = client.signal(1).unwrap();
    queue.dispatch(&placed.dispatch(&signal)).unwrap();
    eventually("it runs", || stub.with(0, |s| (s.gate(GateLayout::DISPATCH_SINCE) != 0).then_some(())));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| queue.wait(&signal, soon()).unwrap_err().to_string());
        let producer = scope.spawn(|| {
            loop {
                if let Err(error) = queue.dispatch(&placed.dispatch(&signal)) {
                    return error.to_string();
                }
            }
        });
        end(&stub);
        let told = client.wait_ended(soon()).expect("the client is told").to_string();
        assert_eq!(client.vram(4096).map(drop).unwrap_err().to_string(), told, "so is who asks later");
        [told, waiter.join().unwrap(), producer.join().unwrap()]
    })
}

#[test]
fn each_way_to_end_tells_waiting_threads_which_it_was() {
    let worker_died = end_under_load(|stub| {
        stub.with(0, |s| s.child.kill().unwrap());
        assert_eq!(stub.exit_of(0), Exit::Signal(9));
        stub.with(0, |s| end_tenant(s, EndReason::WorkerDied, 9));
    });
    let broker_died = end_under_load(|stub| stub.with(0, Session::hang_up));
    let both_died = end_under_load(|stub| {
        stub.with(0, |s| s.child.kill().unwrap());
        assert_eq!(stub.exit_of(0), Exit::Signal(9));
        stub.with(0, |s| s.tenant.shutdown().unwrap());
    });
    let killed = end_under_load(|stub| stub.with(0, |s| s.stop(EndReason::Killed)));
    for (told, words) in [
        (worker_died, "its worker died (signal 9)"),
        (broker_died, "the broker died"),
        (both_died, "the broker died"),
        (killed, "an administrator ended it"),
    ] {
        for text in told {
            assert!(text.contains(words), "{text:?} does not say {words:?}");
        }
    }
}

#[test]
fn a_worker_outlives_neither_broker_nor_tenant() {
    let stub = Stub::new(Policy::default());
    let clients = [stub.connect(), stub.connect(), stub.connect()];
    stub.with(0, Session::hang_up);
    assert_eq!(stub.exit_of(0), Exit::Code(0));
    stub.with(1, |s| s.stop(EndReason::Shutdown));
    assert_eq!(stub.exit_of(1), Exit::Code(0));
    assert_eq!(clients[1].wait_ended(soon()).unwrap().reason, EndReason::Shutdown);
    stub.with(2, |s| s.babble(b"this is no message"));
    assert_eq!(stub.exit_of(2), Exit::Code(0));
    assert_eq!(clients[2].wait_ended(soon()).unwrap().reason, EndReason::BrokerDied);
    assert_eq!(clients[0].wait_ended(Deadline::NEVER).unwrap().reason, EndReason::BrokerDied);
}

#[test]
fn a_worker_is_fenced_in_and_keeps_few_descriptors() {
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    let queue = client.queue(64).unwrap();
    let placed = vector_add(&client, &queue, 1);
    run(&client, &queue, &placed).unwrap();
    let buffers: Vec<_> = (0..200).map(|_| client.host(4096).unwrap()).collect();
    let pid = stub.with(0, |s| s.child.pid());
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    assert!(read("status").lines().any(|l| l == "NoNewPrivs:\t1"));
    let limits = read("limits");
    for (name, hard) in [("Max core file size", "0"), ("Max open files", "1088")] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some(hard), "{name}");
    }
    // An undumpable process belongs to root in /proc, whoever runs it.
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(format!("/proc/{pid}/environ")).unwrap().uid(), 0);
    if let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) {
        // One for each buffer, so that it can be offered to the tenant's other sessions, and hardly any others.
        let open = fds.count();
        assert!(
            (buffers.len()..buffers.len() + 25).contains(&open),
            "{open} descriptors with {} buffers",
            buffers.len()
        );
        drop(buffers);
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        assert!(open < 25, "{open} descriptors after they were given back");
    }
    assert_eq!(client.ended(), None);
}
