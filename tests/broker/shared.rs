//! Memory that sessions share: of one tenant, and of two where one grants it and the administrator allows it.

use std::time::Duration;

use client::{Buffer, Client, ClientError, DenyCode, Queue, ShareId, WaitError};
use gcn::aql::Packet;
use proto::message::{EndReason, FaultKind};
use sys::clock::Deadline;

use crate::program::{Placed, load, run};
use crate::rig::{Broker, soon};

const SMALL: &str = r#"
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
    vram = "64MiB"
    [[tenant]]
    name = "blue"
    match = [{ uid = UID }]
    vram = "64MiB"
"#;
const MIB: u64 = 1 << 20;

fn code<T>(answer: Result<T, ClientError>) -> Option<DenyCode> {
    match answer {
        Err(ClientError::Denied(denial)) => Some(denial.code),
        _ => None,
    }
}

#[test]
fn sessions_of_one_tenant_share_memory_and_others_cannot() {
    let broker = Broker::start(SMALL);
    let descriptors = broker.descriptors();
    let (maker, user) = (broker.connect("red").unwrap(), broker.connect("red").unwrap());
    let stranger = broker.connect("blue").unwrap();
    let made = maker.vram(40 * MIB).unwrap();
    made.write(5, b"from the maker").unwrap();
    let share = made.export().unwrap();
    assert_eq!(made.export().unwrap(), share, "asked again, the same");

    let got = user.import(share, 40 * MIB).unwrap();
    let mut text = [0; 14];
    got.read(5, &mut text).unwrap();
    assert_eq!(&text, b"from the maker");
    got.write(5, b"from the user ").unwrap();
    made.read(5, &mut text).unwrap();
    assert_eq!(&text, b"from the user ");
    // Twice 40 are more than 64, but it is there once.
    for client in [&maker, &user] {
        let wanted = |used: u64| (used >> 20 == 40).then_some(());
        crate::rig::eventually("its use is told", || wanted(client.memory_use().unwrap().vram_used.0));
    }

    assert_eq!(code(stranger.import(share, 40 * MIB)), Some(DenyCode::UnknownObject), "another tenant");
    assert_eq!(code(user.import(ShareId(share.0 + 1000), 40 * MIB)), Some(DenyCode::UnknownObject), "a guess");
    assert_eq!(code(user.import(share, MIB)), Some(DenyCode::Size));
    assert_eq!(code(got.export()), Some(DenyCode::Unsupported), "what was imported is not passed on");
    assert_eq!(maker.import(share, 40 * MIB).unwrap().bytes(), 40 * MIB, "its maker may, too");

    // Its maker ends: who has it keeps it, still charged, and nobody else gets it.
    drop(made);
    drop(maker);
    crate::rig::eventually("the maker is gone", || (broker.status()["sessions"].as_array()?.len() == 2).then_some(()));
    got.read(5, &mut text).unwrap();
    assert_eq!(&text, b"from the user ");
    assert_eq!(broker.tenant("red")["vram_used_bytes"], 40 * MIB);
    assert_eq!(code(user.import(share, 40 * MIB)), Some(DenyCode::UnknownObject));
    assert_eq!(code(user.vram(30 * MIB)), Some(DenyCode::Vram));
    drop(got);
    assert!(user.vram(60 * MIB).is_ok());

    drop((user, stranger));
    broker.check_nothing_left(descriptors);
}

#[test]
fn who_is_left_is_told_what_the_other_one_gave_back() {
    let broker = Broker::start(SMALL);
    let (one, other) = (broker.connect("red").unwrap(), broker.connect("red").unwrap());
    let used = || other.memory_use().unwrap().vram_used.0;
    let _memory = one.vram(8 * MIB).unwrap();
    crate::rig::eventually("it is told of the allocation", || (used() == 8 * MIB).then_some(()));
    broker.ask(&["session", "kill", &format!("s{}", one.session().0)]);
    crate::rig::eventually("it is told of the end", || (used() == 0).then_some(()));
}

#[test]
fn a_maker_that_is_killed_takes_nothing_away() {
    let broker = Broker::start(SMALL);
    let descriptors = broker.descriptors();
    let (maker, user) = (broker.connect("red").unwrap(), broker.connect("red").unwrap());
    let made = maker.vram(MIB).unwrap();
    let got = user.import(made.export().unwrap(), MIB).unwrap();
    broker.ask(&["session", "kill", &format!("s{}", maker.session().0)]);
    assert_eq!(maker.wait_ended(soon()).map(|end| end.reason), Some(EndReason::Killed));
    got.write(0, b"still there").unwrap();
    assert!(user.memory_use().is_ok());
    drop((made, maker, got, user));
    broker.check_nothing_left(descriptors);
}

/// Returns what `/proc/self/maps` says may be done at an address.
fn rights_at(address: u64) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.starts_with(&format!("{address:x}-"))).expect("it is mapped");
    line.split(' ').nth(1).unwrap().to_owned()
}

/// Adds two vectors, the first of which is `input` if there is one, to `output` if there is one.
fn add(client: &Client, queue: &Queue, input: Option<Buffer>, output: Option<Buffer>) -> Result<(), WaitError> {
    let case = kernels::find("vector_add").unwrap().small_case(1);
    let code = load(client, case.kernel);
    let mut buffers: Vec<Buffer> = Vec::new();
    for made in &case.buffers {
        let buffer = client.vram(made.bytes.len() as u64).unwrap();
        buffer.write(0, &made.bytes).unwrap();
        buffers.push(buffer);
    }
    let last = buffers.len() - 1;
    for (at, other) in [(0, input), (last, output)] {
        if let Some(other) = other {
            if at == last && other.is_writable() {
                other.write(0, &case.buffers[at].bytes).unwrap();
            }
            buffers[at] = other;
        }
    }
    let placed = Placed::over(client, &code, queue, case, buffers);
    run(client, queue, &placed)?;
    placed.check();
    Ok(())
}

#[test]
fn another_tenant_gets_what_was_granted_and_allowed_and_no_more() {
    let broker = Broker::start(SMALL);
    let descriptors = broker.descriptors();
    let (red, blue) = (broker.connect("red").unwrap(), broker.connect("blue").unwrap());
    let case = kernels::find("vector_add").unwrap().small_case(1);
    let input = &case.buffers[0].bytes;
    let made = red.vram(input.len() as u64).unwrap();
    made.write(0, input).unwrap();
    let bytes = made.bytes();
    let share = made.export().unwrap();
    let unknown = Some(DenyCode::UnknownObject);

    // Neither allowed nor granted; then allowed alone.
    assert_eq!(code(made.grant("blue", false)), Some(DenyCode::NotAllowed));
    assert!(matches!(made.grant("Blue!", false), Err(ClientError::Argument { .. })));
    broker.ask(&["tenant", "set", "red", "share=blue:read"]);
    assert!(broker.ask(&["tenant", "show", "red"]).contains("blue:read"));
    assert_eq!(code(blue.import(share, bytes)), unknown);
    assert_eq!(code(made.grant("blue", true)), Some(DenyCode::NotAllowed), "to read is not to write");
    assert_eq!(made.grant("blue", false).unwrap(), share);

    // What was granted to be read is read by host and kernels, and written by neither.
    let got = blue.import(share, bytes).unwrap();
    assert!(!got.is_writable() && rights_at(got.address()) == "r--s" && rights_at(made.address()) == "rw-s");
    assert!(got.write(0, b"x").is_err());
    assert_eq!(code(got.export()), Some(DenyCode::Unsupported), "what was granted is not passed on");
    assert_eq!(code(got.grant("red", false)), Some(DenyCode::Unsupported));
    let used = |name: &str| broker.tenant(name)["vram_used_bytes"].as_u64().unwrap();
    assert_eq!((used("red"), used("blue")), (bytes, 0), "its owner's, once");
    // A queue that is left, so that the session is, too.
    let (queue, spare) = (blue.queue(64).unwrap(), blue.queue(64).unwrap());
    add(&blue, &queue, Some(got), None).unwrap();
    let got = blue.import(share, bytes).unwrap();
    match add(&blue, &queue, None, Some(got)) {
        Err(WaitError::Fault(fault)) => assert_eq!(fault.kind, FaultKind::Memory),
        other => panic!("a kernel wrote what it may only read: {other:?}"),
    }
    let mut after = vec![0; input.len()];
    made.read(0, &mut after).unwrap();
    assert_eq!(&after, input, "nothing has come through");

    // To write, too. Then what was allowed is taken back: who has it keeps it, and nobody else gets it.
    broker.ask(&["tenant", "set", "red", "share=blue:write"]);
    assert!(!blue.import(share, bytes).unwrap().is_writable(), "no more than was granted");
    made.grant("blue", true).unwrap();
    let again = blue.import(share, bytes).unwrap();
    assert!(again.is_writable());
    add(&blue, &spare, None, Some(again)).unwrap();
    made.read(0, &mut after).unwrap();
    assert_ne!(&after, input, "a kernel of the other tenant has written");
    let kept = blue.import(share, bytes).unwrap();
    broker.ask(&["tenant", "set", "red", "share=none"]);
    assert_eq!(code(blue.import(share, bytes)), unknown);
    drop((made, red));
    crate::rig::eventually("the owner is gone", || (broker.status()["sessions"].as_array()?.len() == 1).then_some(()));
    kept.write(0, b"still there").unwrap();
    assert_eq!(used("red"), bytes, "for as long as anybody has it");
    drop((kept, queue, spare, blue));
    broker.check_nothing_left(descriptors);
    assert_eq!(used("red"), 0);
}

#[test]
fn signals_are_shared_by_sessions_of_a_tenant() {
    let broker = Broker::start(SMALL);
    let descriptors = broker.descriptors();
    let (maker, user) = (broker.connect("red").unwrap(), broker.connect("red").unwrap());
    let stranger = broker.connect("blue").unwrap();
    let (signal, plain) = (maker.shared_signal(5).unwrap(), maker.signal(5).unwrap());
    assert!(matches!(maker.export_signal(plain.address()), Err(ClientError::Argument { .. })));
    let shared = maker.export_signal(signal.address()).unwrap();
    assert_eq!(code(stranger.import_signal(shared)), Some(DenyCode::UnknownObject));
    let beyond = client::SharedSignal { index: 1 << 20, ..shared };
    assert!(matches!(user.import_signal(beyond), Err(ClientError::Argument { .. })));

    let address = user.import_signal(shared).unwrap();
    assert_eq!(user.import_signal(shared).unwrap(), address, "attached once");
    let attached = user.signal_at(address).unwrap();
    assert!(
        matches!(user.export_signal(address), Err(ClientError::Argument { .. })),
        "what was attached is not passed on"
    );
    assert_eq!(attached.load(), 5);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| attached.wait(client::Condition::Less, 1, soon()).unwrap());
        signal.store(0).unwrap();
        assert_eq!(waits.join().unwrap(), 0);
    });
    attached.store(7).unwrap();
    assert_eq!(signal.load(), 7);
    // A place that its user has given up is its maker's still.
    assert!(user.drop_signal(address));
    let other = maker.shared_signal(1).unwrap();
    assert_ne!(other.address(), signal.address());
    drop((signal, plain, other, maker, user, stranger));
    broker.check_nothing_left(descriptors);
}

/// Nobody rings for a change that another process makes: packets that wait for one are looked at all the same, in a session that was idle for long, too.
#[test]
fn packets_notice_what_another_session_changes() {
    let broker = Broker::start(SMALL);
    let (maker, user) = (broker.connect("red").unwrap(), broker.connect("red").unwrap());
    let signal = maker.shared_signal(1).unwrap();
    let address = user.import_signal(maker.export_signal(signal.address()).unwrap()).unwrap();
    let (queue, done) = (user.queue(64).unwrap(), user.signal(1).unwrap());
    // By now its worker looks every few seconds only.
    std::thread::sleep(Duration::from_secs(2));
    queue.submit(&Packet::barrier([address, 0, 0, 0, 0], false, done.address())).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    signal.store(0).unwrap();
    let noticed = queue.wait(&done, Deadline::after(Duration::from_secs(3)));
    assert!(noticed.is_ok(), "{noticed:?}");
}
