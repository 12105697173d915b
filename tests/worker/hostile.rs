//! What a tenant that means harm can do: nothing, but to itself.

use client::{Client, Dispatch, EndReason, FaultKind, WaitError};
use proto::aql::PacketType;
use proto::limits::{ALIAS_PARTS_MAX, MAX_MESSAGE, REQUESTS_IN_FLIGHT_MAX};
use proto::message::opening::{Hello, Opening};
use proto::message::tenant::{
    AllocBuffer, BufferKind, CopyMemory, CreateQueue, DestroyQueue, FindSymbol, FreeBuffer, LoadCode, PlaceAlias,
    QueryMemory, QueuePriority, SymbolAt, UnloadCode,
};
use proto::message::{DenyCode, TenantAnswer, TenantRequest};
use proto::queue::QueueLayout;
use proto::text::Text;
use proto::wire::Message;
use proto::{BufferId, Bytes, ClaimedRange, CodeId, DeviceAddress, QueueId, RequestId, session};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use sys::mapping::{Access, Mapping};
use sys::memfd::MemFd;
use sys::process::Exit;
use sys::socket::{Channel, SendError};

use crate::program::{Placed, load, run};
use crate::stub::{PATIENCE, Policy, Stub, eventually, soon};

/// A tenant that speaks for itself.
struct Raw {
    channel: Channel,
    page: Mapping,
}

impl Raw {
    fn connect(stub: &Stub) -> Raw {
        let channel = stub.channel();
        let hello = Opening::from(Hello { tenant: None, command: Text::EMPTY, device: 0 });
        channel.send(hello.encode(RequestId(1)).as_bytes(), &[]).unwrap();
        let mut packet = [0; MAX_MESSAGE];
        let received = channel.receive(&mut packet, 1).unwrap();
        let (_, answer) = TenantAnswer::decode(&packet[..received.len], received.fds.len()).unwrap();
        assert!(matches!(answer, TenantAnswer::Welcome(_)), "{answer:?}");
        let page = MemFd::adopt(received.fds.into_iter().next().unwrap(), session::BYTES.0 as usize).unwrap();
        Raw { channel, page: Mapping::new(&page, Access::ReadWrite).unwrap() }
    }

    fn hear(&self) -> Option<TenantAnswer> {
        let mut packet = [0; MAX_MESSAGE];
        let received = self.channel.receive(&mut packet, 4).ok()?;
        Some(TenantAnswer::decode(&packet[..received.len], received.fds.len()).unwrap().1)
    }

    fn ask(&self, request: impl Into<TenantRequest>) -> TenantAnswer {
        self.channel.send(request.into().encode(RequestId(7)).as_bytes(), &[]).unwrap();
        self.hear().unwrap()
    }

    /// Hears the last word.
    fn end(&self) -> (EndReason, String) {
        while let Some(answer) = self.hear() {
            if let TenantAnswer::Ending(ending) = answer {
                return (ending.reason, ending.text.as_str().to_owned());
            }
        }
        panic!("it closed without a word");
    }
}

#[test]
fn what_is_no_request_ends_the_session_and_only_it() {
    let stub = Stub::new(Policy::default());
    let bystander = stub.connect();
    let query = TenantRequest::from(QueryMemory {}).encode(RequestId(1));
    let with = |at: usize, byte: u8| {
        let mut bytes = query.as_bytes().to_vec();
        bytes[at] = byte;
        bytes
    };
    let hello = Opening::from(Hello { tenant: None, command: Text::EMPTY, device: 0 }).encode(RequestId(1));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("short", vec![1; 3], "shorter than its header"),
        ("long", vec![0; MAX_MESSAGE + 1], "longer than the"),
        ("magic", with(0, 0), "Wavegate's mark"),
        ("version", with(2, 9), "protocol version"),
        ("kind", with(4, 0xee), "has no meaning here"),
        ("answer", with(5, 3), "has no meaning here"),
        ("reserved", with(6, 1), "are not zero"),
        ("length", with(12, 200), "bytes"),
        ("hello again", hello.as_bytes().to_vec(), "has no meaning here"),
        ("no number", TenantRequest::from(QueryMemory {}).encode(RequestId(0)).as_bytes().to_vec(), "`request`"),
    ];
    for (at, (name, bytes, words)) in cases.into_iter().enumerate() {
        let raw = Raw::connect(&stub);
        raw.channel.send(&bytes, &[]).unwrap();
        let (reason, text) = raw.end();
        assert_eq!(reason, EndReason::TenantViolation, "{name}");
        assert!(text.contains(words), "{name}: {text:?} does not say {words:?}");
        assert_eq!(raw.page.load_u32(session::END).unwrap(), EndReason::TenantViolation.number());
        assert_eq!(stub.exit_of(at + 1), Exit::Code(0), "{name}");
        assert_eq!(stub.left(at + 1), EndReason::TenantViolation);
    }
    bystander.memory_use().unwrap();
}

#[test]
fn descriptors_from_a_tenant_end_its_session() {
    let stub = Stub::new(Policy::default());
    let memory = MemFd::create("a gift", 4096).unwrap();
    let query = TenantRequest::from(QueryMemory {}).encode(RequestId(1));
    for count in [1, 3, 16] {
        let raw = Raw::connect(&stub);
        raw.channel.send(query.as_bytes(), &vec![memory.as_fd(); count]).unwrap();
        assert_eq!(raw.end().0, EndReason::TenantViolation, "{count}");
    }
}

#[test]
fn a_tenant_that_asks_without_end_and_does_not_listen_is_dropped() {
    let stub = Stub::new(Policy::default());
    let raw = Raw::connect(&stub);
    let query = TenantRequest::from(QueryMemory {});
    raw.channel.set_nonblocking(true).unwrap();
    let begun = std::time::Instant::now();
    while let Ok(()) | Err(SendError::WouldBlock) = raw.channel.send(query.encode(RequestId(1)).as_bytes(), &[]) {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert_eq!(stub.exit_of(0), Exit::Code(0));
    assert_eq!(stub.left(0), EndReason::TenantViolation);
}

/// As many requests as are allowed at once are answered, each once.
#[test]
fn as_many_requests_as_allowed_are_answered() {
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    std::thread::scope(|scope| {
        for _ in 0..2 * REQUESTS_IN_FLIGHT_MAX {
            scope.spawn(|| client.memory_use().unwrap());
        }
    });
    assert_eq!(client.ended(), None);
}

#[test]
fn claims_that_are_not_true_are_denied_and_change_nothing() {
    let stub = Stub::new(Policy::default());
    let raw = Raw::connect(&stub);
    let file = match raw.ask(AllocBuffer { kind: BufferKind::Host, bytes: Bytes(8192), at: DeviceAddress(0) }) {
        TenantAnswer::BufferShared(shared) => shared,
        other => panic!("{other:?}"),
    };
    let before = stub.with(0, |s| s.charges.len());
    let range = |buffer, offset, bytes| {
        let image = ClaimedRange { buffer, offset: Bytes(offset), bytes: Bytes(bytes) };
        TenantRequest::from(LoadCode { image, at: DeviceAddress(0) })
    };
    let alloc = |bytes, at| {
        let (bytes, at) = (Bytes(bytes), DeviceAddress(at));
        TenantRequest::from(AllocBuffer { kind: BufferKind::Vram, bytes, at })
    };
    let queue = |slots, at| {
        let (priority, at) = (QueuePriority::Normal, DeviceAddress(at));
        TenantRequest::from(CreateQueue { slots, priority, at })
    };
    let copy = |to, bytes| {
        let (to, from) = (DeviceAddress(to), file.address);
        TenantRequest::from(CopyMemory { to, from, bytes: Bytes(bytes) })
    };
    let place = |part: Option<ClaimedRange>| {
        let mut parts = [ClaimedRange::default(); ALIAS_PARTS_MAX];
        parts[3] = part.unwrap_or_default();
        TenantRequest::from(PlaceAlias { parts })
    };
    let part = |buffer, offset, bytes| Some(ClaimedRange { buffer, offset: Bytes(offset), bytes: Bytes(bytes) });
    let name = Text::truncated("x");
    for (request, code) in [
        (FreeBuffer { buffer: BufferId(77) }.into(), DenyCode::UnknownObject),
        (DestroyQueue { queue: QueueId(77) }.into(), DenyCode::UnknownObject),
        (UnloadCode { code: CodeId(77) }.into(), DenyCode::UnknownObject),
        (FindSymbol { code: CodeId(77), name }.into(), DenyCode::UnknownObject),
        (SymbolAt { code: CodeId(77), index: 0 }.into(), DenyCode::UnknownObject),
        (range(BufferId(77), 0, 1), DenyCode::UnknownObject),
        (range(file.buffer, 0, 0), DenyCode::Range),
        (range(file.buffer, 4096, 4097), DenyCode::Range),
        (range(file.buffer, u64::MAX, 2), DenyCode::Range),
        (range(file.buffer, 0, 8192), DenyCode::Code),
        (alloc(0, 0), DenyCode::Size),
        (alloc(u64::MAX, 0), DenyCode::Size),
        (alloc(1 << 60, 0), DenyCode::Vram),
        (alloc(4096, 123), DenyCode::Address),
        (alloc(4096, 4096), DenyCode::Address),
        (alloc(4096, file.address.0), DenyCode::Address),
        (alloc(4096, file.address.0 + 4096), DenyCode::Address),
        (alloc(8192, (1 << 47) - 4096), DenyCode::Address),
        (alloc(4096, 1 << 63), DenyCode::Address),
        (alloc(4096, u64::MAX - 4095), DenyCode::Address),
        (queue(0, 0), DenyCode::Size),
        (queue(65, 0), DenyCode::Size),
        (queue(u32::MAX, 0), DenyCode::Size),
        (queue(64, file.address.0), DenyCode::Address),
        // This device has nothing that only it can copy, and its tenants choose the addresses of their aliases.
        (copy(file.address.0 + 4096, 4096), DenyCode::Unsupported),
        (copy(0, u64::MAX), DenyCode::Unsupported),
        (place(None), DenyCode::Range),
        (place(part(BufferId(77), 0, 4096)), DenyCode::UnknownObject),
        (place(part(file.buffer, 4096, 8192)), DenyCode::Range),
        (place(part(file.buffer, 1, 4096)), DenyCode::Range),
        (place(part(file.buffer, 0, 1)), DenyCode::Range),
        (place(part(file.buffer, 0, 8192)), DenyCode::Unsupported),
    ] {
        let request: TenantRequest = request;
        match raw.ask(request.clone()) {
            TenantAnswer::Denied(denied) => assert_eq!(denied.code, code, "{request:?}: {denied:?}"),
            other => panic!("{request:?}: {other:?}"),
        }
    }
    assert!(matches!(raw.ask(QueryMemory {}), TenantAnswer::MemoryUse(_)));
    eventually("nothing is left behind", || stub.with(0, |s| (s.charges.len() == before).then_some(())));
}

#[test]
fn indices_and_wake_words_that_lie_mislead_nobody_else() {
    let stub = Stub::new(Policy::default());
    let (client, bystander) = (stub.connect(), stub.connect());
    let queue = client.queue(64).unwrap();
    let code = load(&client, "vector_add");
    let placed = Placed::new(&client, &code, &queue, kernels::find("vector_add").unwrap().small_case(1));
    for (offset, value) in [
        (QueueLayout::WRITE_INDEX, u64::MAX),
        (QueueLayout::READ_INDEX, u64::MAX / 2),
        (QueueLayout::DOORBELL + 8, u64::MAX),
        (QueueLayout::ROOM_WAKE & !7, u64::MAX),
    ] {
        queue.memory().atomic_u64(offset).unwrap().store(value, Ordering::SeqCst);
        queue.ring().unwrap();
    }
    // The worker has an index of its own: what is really in slot 0 runs, whatever the indices say.
    queue.memory().atomic_u64(QueueLayout::WRITE_INDEX).unwrap().store(0, Ordering::SeqCst);
    queue.memory().atomic_u64(QueueLayout::READ_INDEX).unwrap().store(0, Ordering::SeqCst);
    run(&client, &queue, &placed).unwrap();
    placed.check();
    assert_eq!(queue.consumed(), 1);
    let other = bystander.queue(64).unwrap();
    let code = load(&bystander, "vector_add");
    let placed = Placed::new(&bystander, &code, &other, kernels::find("vector_add").unwrap().small_case(2));
    run(&bystander, &other, &placed).unwrap();
    placed.check();
}

#[test]
fn packets_that_make_no_sense_stop_their_queue_with_a_name() {
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    let code = load(&client, "vector_add");
    let good = |client: &Client| {
        let queue = client.queue(64).unwrap();
        let placed = Placed::new(client, &code, &queue, kernels::find("vector_add").unwrap().small_case(1));
        let done = client.signal(1).unwrap();
        (placed.dispatch(&done), queue, placed, done)
    };
    type Change<'a> = &'a dyn Fn(&mut Dispatch);
    let changes: [(&str, Change<'_>, &[FaultKind]); 6] = [
        ("kernel object", &|d| d.kernel_object = 0xdead_0000, &[FaultKind::Memory, FaultKind::Packet]),
        ("misaligned kernel object", &|d| d.kernel_object += 1, &[FaultKind::Memory, FaultKind::Packet]),
        ("arguments", &|d| d.kernarg_address = 0x1000, &[FaultKind::Memory]),
        ("grid", &|d| d.grid = [0, 1, 1], &[FaultKind::Packet]),
        ("work-group", &|d| d.workgroup = [2048, 1, 1], &[FaultKind::Packet]),
        ("LDS", &|d| d.group_bytes = u32::MAX, &[FaultKind::Packet]),
    ];
    for (name, change, kinds) in changes {
        let (mut dispatch, queue, _placed, done) = good(&client);
        change(&mut dispatch);
        queue.dispatch(&dispatch).unwrap();
        match queue.wait(&done, soon()) {
            Err(WaitError::Fault(fault)) => assert!(kinds.contains(&fault.kind), "{name}: {fault:?}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    // Types that are none, from the one the wire knows to the ones nobody does.
    for kind in [PacketType::AgentDispatch as u8, 6, 0x7f, 0xff] {
        let (_, queue, _placed, done) = good(&client);
        let mut packet = [0; 64];
        packet[0] = kind;
        queue.submit(&packet).unwrap();
        match queue.wait(&done, soon()) {
            Err(WaitError::Fault(fault)) => assert_eq!((fault.kind, fault.packet), (FaultKind::Packet, 0), "{kind}"),
            other => panic!("{kind}: {other:?}"),
        }
    }
    // A completion signal that is none: the work is done, then the queue stops.
    let (mut dispatch, queue, placed, done) = good(&client);
    dispatch.completion = 0xdead_0000;
    queue.dispatch(&dispatch).unwrap();
    assert!(matches!(queue.wait(&done, soon()), Err(WaitError::Fault(fault)) if fault.kind == FaultKind::Memory));
    placed.check();
    // After all of that the session still works.
    let (dispatch, queue, placed, done) = good(&client);
    queue.dispatch(&dispatch).unwrap();
    queue.wait(&done, soon()).unwrap();
    placed.check();
}

#[test]
fn memory_freed_under_a_kernel_is_that_kernels_fault() {
    let stub = Stub::new(Policy::default());
    let client = stub.connect();
    let queue = client.queue(64).unwrap();
    let code = load(&client, "vector_add");
    let mut placed = Placed::new(&client, &code, &queue, kernels::find("vector_add").unwrap().small_case(1));
    placed.buffers.clear();
    assert!(matches!(run(&client, &queue, &placed), Err(WaitError::Fault(fault)) if fault.kind == FaultKind::Memory));
    assert_eq!(client.ended(), None);
}
