//! Programs that use several devices: a session on each, one set of signals, and memory that kernels of all of them see.

use client::{Buffer, BufferKind, Client, Condition, ConnectError, Mirror, RefuseCode, WaitError};
use gcn::aql::Packet;
use proto::message::EndReason;

use crate::program::{Placed, load};
use crate::rig::{Broker, eventually, soon};

const TWO: &str = r#"
    [[tenant]]
    name = "red"
    match = [{ uid = UID }]
    vram = "64MiB"
    sessions = 3
"#;
const DEVICE: &str = "soft:cus=2,vram=1GiB";
const MIB: u64 = 1 << 20;

fn two_devices() -> Broker {
    Broker::start_with(DEVICE, TWO, &["--device", DEVICE])
}

/// Sessions on both devices; the first has the signals of both.
fn both(broker: &Broker) -> [Client; 2] {
    let on = |device| Client::connect_on(&broker.socket(), Some("red"), device).unwrap();
    let both = [on(0), on(1)];
    both[0].join(&both[1..]).unwrap();
    both
}

/// Shows kernels of a session a buffer of another one.
fn mirror(to: &Client, buffer: &Buffer) -> Mirror {
    to.mirror(buffer.export().unwrap(), buffer.address(), buffer.bytes()).unwrap()
}

#[test]
fn equal_devices_are_told_apart() {
    let broker = two_devices();
    let listed = Client::devices(&broker.socket(), Some("red")).unwrap();
    assert_eq!(listed.iter().map(|device| device.index).collect::<Vec<_>>(), [0, 1]);
    assert_ne!(listed[0].uuid, listed[1].uuid);
    assert!(broker.status()["sessions"].as_array().unwrap().is_empty(), "who asks has no session");
    let sessions = both(&broker);
    assert_eq!(sessions.each_ref().map(|client| client.device().uuid), [0, 1].map(|at: usize| listed[at].uuid));
    let third = broker.connect("red").unwrap();
    let refused = Client::connect_on(&broker.socket(), Some("red"), 0);
    assert!(matches!(refused, Err(ConnectError::Refused { code: RefuseCode::SessionLimit, .. })));
    drop(third);
    let beyond = Client::connect_on(&broker.socket(), Some("red"), 2);
    assert!(matches!(beyond, Err(ConnectError::Refused { code: RefuseCode::NoDevice, .. })));
}

/// Input in host memory of the first session, output in device memory of the first session's device, the kernel on the second, and the signal is the
/// first's.
#[test]
fn kernels_of_one_device_use_memory_and_signals_of_another() {
    let broker = two_devices();
    let descriptors = broker.descriptors();
    let [first, second] = both(&broker);
    let (queue, case) = (second.queue(64).unwrap(), kernels::find("vector_add").unwrap().small_case(1));
    let code = load(&second, case.kernel);
    let last = case.buffers.len() - 1;
    let kind = |at| if at == last { BufferKind::Vram } else { BufferKind::Host };
    let buffers: Vec<Buffer> = case
        .buffers
        .iter()
        .enumerate()
        .map(|(at, made)| {
            let buffer = first.alloc(kind(at), made.bytes.len() as u64).unwrap();
            buffer.write(0, &made.bytes).unwrap();
            buffer
        })
        .collect();
    let mirrors: Vec<Mirror> = buffers.iter().map(|buffer| mirror(&second, buffer)).collect();
    assert!(mirrors.iter().zip(&buffers).all(|(mirror, buffer)| mirror.address() == buffer.address()));
    let placed = Placed::over(&second, &code, &queue, case, buffers);
    let done = first.signal(1).unwrap();
    queue.dispatch(&placed.dispatch(&done)).unwrap();
    queue.wait(&done, soon()).unwrap();
    placed.check();
    // What was lent can be taken back, and then it is a fault.
    drop(mirrors);
    let again = first.signal(1).unwrap();
    queue.dispatch(&placed.dispatch(&again)).unwrap();
    assert!(matches!(queue.wait(&again, soon()), Err(WaitError::Fault(_))));
    drop((placed, queue, code, done, again, first, second));
    broker.check_nothing_left(descriptors);
}

#[test]
fn memory_that_is_seen_from_two_devices_counts_once() {
    let broker = two_devices();
    let [first, second] = both(&broker);
    let (host, vram) = (first.host(4 * MIB).unwrap(), first.vram(40 * MIB).unwrap());
    let mirrors = [mirror(&second, &host), mirror(&second, &vram)];
    let used =
        |client: &Client| client.memory_use().map(|used| (used.vram_used.0 >> 20, used.host_used.0 >> 20)).unwrap();
    eventually("the first knows", || (used(&first) == (40, 4)).then_some(()));
    eventually("the second has a device of its own", || (used(&second) == (0, 4)).then_some(()));
    assert!(second.vram(60 * MIB).is_ok());
    drop(mirrors);
    eventually("nothing changes when one lets go", || (used(&first) == (40, 4)).then_some(()));
}

/// A tenant may offer 256 objects at a time. What others see needs no offer any more.
#[test]
fn any_number_of_buffers_is_seen_from_two_devices() {
    let broker = two_devices();
    let descriptors = broker.descriptors();
    let [first, second] = both(&broker);
    let shown: Vec<(Mirror, Buffer)> = (0..400)
        .map(|_| {
            let buffer = first.host(4096).unwrap();
            let mirror = mirror(&second, &buffer);
            buffer.withdraw().unwrap();
            (mirror, buffer)
        })
        .collect();
    let (_, last) = &shown[399];
    let share = last.export().unwrap();
    last.withdraw().unwrap();
    assert!(second.mirror(share, last.address(), last.bytes()).is_err(), "taken back");
    drop((shown, first, second));
    broker.check_nothing_left(descriptors);
}

#[test]
fn one_thread_waits_for_signals_of_all_devices() {
    let broker = two_devices();
    let [first, second] = both(&broker);
    let queues = [first.queue(64).unwrap(), second.queue(64).unwrap()];
    let (gate, done) = (first.signal(1).unwrap(), [first.signal(1).unwrap(), first.signal(1).unwrap()]);
    for (queue, done) in queues.iter().zip(&done) {
        queue.submit(&Packet::barrier([gate.address(), 0, 0, 0, 0], false, done.address())).unwrap();
    }
    std::thread::scope(|scope| {
        let (first, done) = (&first, &done);
        let all = move || done.iter().all(|signal| signal.load() == 0).then_some(());
        let waits = scope.spawn(move || first.changes(soon(), all).unwrap());
        gate.store(0).unwrap();
        assert_eq!(waits.join().unwrap(), Some(()));
    });
    assert!(first.join(&[]).is_err(), "once");
}

#[test]
fn who_waits_is_told_when_any_of_the_sessions_has_ended() {
    let broker = two_devices();
    let [first, second] = both(&broker);
    let never = first.signal(1).unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| never.wait(Condition::Less, 1, soon()));
        broker.ask(&["session", "kill", &format!("s{}", second.session().0)]);
        let Err(WaitError::Ended(end)) = waits.join().unwrap() else { panic!("it waits for somebody who is gone") };
        assert_eq!(end.reason, EndReason::Killed);
    });
    assert_eq!((first.ended(), first.first_end().map(|end| end.reason)), (None, Some(EndReason::Killed)));
    assert!(first.vram(MIB).is_ok(), "the other device is there still");
    // Signals go on as well: a pool more than there was.
    let many: Vec<_> = (0..300).map(|_| first.signal(0).unwrap()).collect();
    assert_eq!(many.len(), 300);
}
