//! Every message survives its own packet, and no packet does harm.

use proptest::prelude::*;
use proto::limits::{ALIAS_PARTS_MAX, DEVICES_MAX, MAX_FDS, MAX_MESSAGE, PROTOCOL_VERSION};
use proto::message::opening::{Hello, ListDevices};
use proto::message::tenant::{
    AliasPlaced, AliasTouched, AllocBuffer, BufferExported, BufferKind, BufferShared, CloseAlias, CodeShared,
    CopyMemory, Denied, DeviceName, Devices, ExportBuffer, FindSymbol, Goodbye, ImportBuffer, MapBuffer, OpenAlias,
    PlaceAlias, RefuseTouch, UnmapBuffer, WithdrawBuffer,
};
use proto::message::worker::{ChargeShared, JoinCharge, Moved, SessionLimits, ShareCharge, Start, WithdrawCharge};
use proto::message::{DenyCode, Opening, TenantAnswer, TenantRequest, WorkerOrder, WorkerReport};
use proto::text::Text;
use proto::wire::{Facts, HEADER_BYTES, Message};
use proto::{
    BufferId, Bytes, ChargeId, ClaimedRange, CodeId, DeviceAddress, DeviceGeneration, Nanos, PartitionId, RequestId,
    SessionId, ShareId, TenantName, Violation,
};

fn all_tables() -> Vec<(&'static str, &'static [Facts])> {
    vec![
        (Opening::DIRECTION, Opening::TABLE),
        (TenantRequest::DIRECTION, TenantRequest::TABLE),
        (TenantAnswer::DIRECTION, TenantAnswer::TABLE),
        (WorkerReport::DIRECTION, WorkerReport::TABLE),
        (WorkerOrder::DIRECTION, WorkerOrder::TABLE),
    ]
}

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(message: impl Into<M>) {
    let message = message.into();
    let packet = message.encode(RequestId(77));
    assert_eq!(packet.as_bytes().len(), message.facts().bytes);
    assert_eq!(M::decode(packet.as_bytes(), message.facts().fds), Ok((RequestId(77), message)));
}

fn hello() -> Hello {
    Hello { tenant: Some(TenantName::new("red").unwrap()), command: Text::truncated("train.py"), device: 0 }
}

#[test]
fn messages_survive_the_wire() {
    round_trip::<Opening>(hello());
    round_trip::<Opening>(Hello { tenant: None, ..hello() });
    round_trip::<Opening>(ListDevices { tenant: None });
    let mut list = [DeviceName::default(); DEVICES_MAX];
    (list[0], list[63]) = (DeviceName { index: 1, uuid: u64::MAX }, DeviceName { index: 77, uuid: 3 });
    round_trip::<TenantAnswer>(Devices { count: 64, list });
    round_trip::<TenantRequest>(AllocBuffer { kind: BufferKind::Vram, bytes: Bytes(4097), at: DeviceAddress(1 << 40) });
    round_trip::<TenantRequest>(FindSymbol { code: CodeId(3), name: Text::truncated(&"_ZN".repeat(600)) });
    let at = DeviceAddress(1 << 40);
    round_trip::<TenantRequest>(OpenAlias { at, bytes: Bytes(8192), ask: 1 });
    round_trip::<TenantRequest>(CloseAlias { at });
    let part = ClaimedRange { buffer: BufferId(3), offset: Bytes(4096), bytes: Bytes(4096) };
    round_trip::<TenantRequest>(MapBuffer { part, at, write: 1 });
    round_trip::<TenantRequest>(UnmapBuffer { at });
    round_trip::<TenantRequest>(RefuseTouch { at });
    round_trip::<TenantRequest>(ExportBuffer { buffer: BufferId(3), tenant: None, write: 0 });
    round_trip::<TenantRequest>(ImportBuffer {
        share: ShareId(u64::MAX),
        bytes: Bytes(4096),
        at,
        kind: BufferKind::Signals,
    });
    let tenant = Some(TenantName::new("blue").unwrap());
    round_trip::<TenantRequest>(ExportBuffer { buffer: BufferId(3), tenant, write: 1 });
    round_trip::<WorkerReport>(ShareCharge { charge: ChargeId(5), tenant, write: 1 });
    round_trip::<TenantRequest>(CopyMemory { to: at, from: DeviceAddress(4096), bytes: Bytes(77) });
    let mut parts = [ClaimedRange::default(); ALIAS_PARTS_MAX];
    (parts[0], parts[7]) = (part, ClaimedRange { buffer: BufferId(4), ..part });
    round_trip::<TenantRequest>(PlaceAlias { parts });
    round_trip::<TenantRequest>(WithdrawBuffer { buffer: BufferId(3) });
    round_trip::<WorkerReport>(WithdrawCharge { charge: ChargeId(5) });
    round_trip::<TenantAnswer>(AliasPlaced { at });
    round_trip::<TenantAnswer>(BufferExported { share: ShareId(9) });
    round_trip::<WorkerReport>(Moved { partition: PartitionId(3) });
    round_trip::<WorkerReport>(JoinCharge { share: ShareId(5), bytes: Bytes(8192) });
    round_trip::<WorkerOrder>(ChargeShared { share: ShareId(5) });
    round_trip::<TenantAnswer>(AliasTouched { at });
    round_trip::<TenantRequest>(Goodbye {});
    round_trip::<TenantAnswer>(BufferShared { buffer: BufferId(9), bytes: Bytes(8192), address: DeviceAddress(4096) });
    round_trip::<TenantAnswer>(CodeShared {
        code: CodeId(1),
        symbols: 2,
        address: DeviceAddress(1 << 40),
        bytes: Bytes(4096),
    });
    round_trip::<TenantAnswer>(Denied {
        code: DenyCode::Vram,
        asked: u64::MAX,
        limit: 1,
        used: 0,
        text: Text::truncated("no"),
    });
    round_trip::<WorkerOrder>(Start {
        session: SessionId(5),
        tenant: TenantName::new("red").unwrap(),
        generation: DeviceGeneration(1),
        device: Text::truncated("soft:cus=8"),
        uuid: u64::MAX,
        limits: SessionLimits { vram: Bytes(1 << 30), host_memory: Bytes(1), queues: 4, max_dispatch: Nanos(0) },
        partition: PartitionId(0),
        scrub: 1,
    });
}

#[test]
fn numbers_on_the_wire_are_little_endian() {
    let packet = TenantRequest::from(AllocBuffer {
        kind: BufferKind::Host,
        bytes: Bytes(0x0102_0304_0506_0708),
        at: DeviceAddress(0xff),
    })
    .encode(RequestId(0xaabb_ccdd));
    #[rustfmt::skip]
    let bytes = [
        b'W', b'G', 1, 0, 0x01, 0x02, 0, 0, 0xdd, 0xcc, 0xbb, 0xaa, 36, 0, 0, 0,
        2, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0xff, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(packet.as_bytes(), bytes);
}

/// One line per way to break a packet: what is done to a good `Hello`, and what is said about it.
#[test]
fn each_broken_packet_is_told_what_is_wrong() {
    type Break = fn(&mut Vec<u8>);
    let length = Hello::FACTS.bytes;
    let kind = Hello::FACTS.kind;
    let cases: &[(Break, Violation)] = &[
        (|p| p.clear(), Violation::Short { got: 0 }),
        (|p| p.truncate(15), Violation::Short { got: 15 }),
        (|p| p[0] = b'X', Violation::Magic { got: 0x4758 }),
        (|p| p[2] = 2, Violation::Version { theirs: 2 }),
        (|p| p.push(0), Violation::Length { kind, got: length, want: length + 1 }),
        (|p| p[4] = 0x99, Violation::Kind { got: 0x0199 }),
        (|p| p[6] = 1, Violation::Reserved { field: "header" }),
        (|p| p[12] ^= 1, Violation::Length { kind, got: length ^ 1, want: length }),
        (|p| p.resize(MAX_MESSAGE + 1, 0), Violation::Long { got: MAX_MESSAGE + 1 }),
        (|p| p[HEADER_BYTES] = b'/', Violation::Text { field: "tenant" }),
        (|p| p[HEADER_BYTES] = 0, Violation::Reserved { field: "tenant" }),
        (|p| p[HEADER_BYTES + 31] = b'x', Violation::Reserved { field: "tenant" }),
        (|p| p[HEADER_BYTES + 32] = 0x1b, Violation::Text { field: "command" }),
    ];
    for (i, (break_it, violation)) in cases.iter().enumerate() {
        let mut packet = Opening::from(hello()).encode(RequestId(1)).as_bytes().to_vec();
        break_it(&mut packet);
        assert_eq!(Opening::decode(&packet, 0), Err(*violation), "case {i}");
    }
}

#[test]
fn an_exact_length_is_demanded_even_when_the_header_agrees() {
    let mut packet = Opening::from(hello()).encode(RequestId(1)).as_bytes().to_vec();
    packet.push(0);
    packet[12] += 1;
    let want = Hello::FACTS.bytes;
    assert_eq!(Opening::decode(&packet, 0), Err(Violation::Length { kind: 0x0101, got: want + 1, want }));
}

#[test]
fn a_descriptor_too_many_or_too_few_is_a_violation() {
    for fds in 1..=MAX_FDS {
        let packet = Opening::from(hello()).encode(RequestId(1));
        let want = Violation::Descriptors { kind: 0x0101, got: fds, want: 0 };
        assert_eq!(Opening::decode(packet.as_bytes(), fds), Err(want));
    }
    let shared = TenantAnswer::from(BufferShared { buffer: BufferId(9), bytes: Bytes(1), address: DeviceAddress(0) });
    assert!(TenantAnswer::decode(shared.encode(RequestId(1)).as_bytes(), 0).is_err());
}

/// The exception is memory that came from the broker.
#[test]
fn nobody_may_send_descriptors_to_us_but_the_broker() {
    for facts in Opening::TABLE.iter().chain(TenantRequest::TABLE).chain(WorkerReport::TABLE) {
        let back = usize::from(facts.kind == ShareCharge::FACTS.kind);
        assert_eq!(facts.fds, back, "{}", facts.name);
    }
}

#[test]
fn kinds_are_unique_and_sorted() {
    let kinds: Vec<u16> = all_tables().iter().flat_map(|(_, t)| t.iter().map(|f| f.kind)).collect();
    assert!(kinds.is_sorted_by(|a, b| a < b), "{kinds:x?}");
}

/// The page people read says the same as the code.
#[test]
fn protocol_page_lists_every_message() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md")).unwrap();
    for (direction, table) in all_tables() {
        assert!(page.contains(direction), "docs/protocol.md does not name the direction `{direction}`");
        for f in table {
            let row = format!("| `{:#06x}` | `{}` | {} | {} |", f.kind, f.name, f.fds, f.bytes);
            assert!(page.contains(&row), "docs/protocol.md lacks the row\n{row}");
        }
    }
    assert!(page.contains(&format!("version {PROTOCOL_VERSION}")));
    for class in Violation::CLASSES {
        assert!(page.contains(&format!("`{class}`")), "docs/protocol.md does not name the violation `{class}`");
    }
    use proto::message::{EndReason, FaultKind, RefuseCode};
    let words = RefuseCode::ALL
        .iter()
        .map(|c| (c.number(), c.word()))
        .chain(DenyCode::ALL.iter().map(|c| (c.number(), c.word())))
        .chain(EndReason::ALL.iter().map(|c| (c.number(), c.word())))
        .chain(FaultKind::ALL.iter().map(|c| (c.number(), c.word())));
    for (number, word) in words {
        assert!(page.contains(&format!("| {number} | `{word}` |")), "docs/protocol.md lacks | {number} | `{word}` |");
    }
}

fn decode_all(packet: &[u8], fds: usize) -> usize {
    [
        Opening::decode(packet, fds).is_ok(),
        TenantRequest::decode(packet, fds).is_ok(),
        TenantAnswer::decode(packet, fds).is_ok(),
        WorkerReport::decode(packet, fds).is_ok(),
        WorkerOrder::decode(packet, fds).is_ok(),
    ]
    .iter()
    .filter(|ok| **ok)
    .count()
}

/// What decodes must encode to the same bytes: there is one way to say a thing.
fn same_bytes<M: Message>(packet: &[u8], fds: usize) {
    if let Ok((request, message)) = M::decode(packet, fds) {
        assert_eq!(message.encode(request).as_bytes(), packet);
        assert_eq!(message.facts().fds, fds);
    }
}

/// Bytes that look enough like a message to get past the header: right kind, right size, random body.
fn nearly_messages() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let kinds: Vec<Facts> = all_tables().iter().flat_map(|(_, t)| t.iter().copied()).collect();
    (
        proptest::sample::select(kinds),
        proptest::collection::vec(prop_oneof![3 => Just(0u8), 1 => 1..4u8, 1 => any::<u8>()], MAX_MESSAGE),
        prop_oneof![4 => Just(None), 1 => (0..MAX_MESSAGE).prop_map(Some)],
        any::<u32>(),
    )
        .prop_map(|(facts, noise, other_length, request)| {
            let mut packet = noise;
            packet[..2].copy_from_slice(b"WG");
            packet[2..4].copy_from_slice(&PROTOCOL_VERSION.to_le_bytes());
            packet[4..6].copy_from_slice(&facts.kind.to_le_bytes());
            packet[6..8].fill(0);
            packet[8..12].copy_from_slice(&request.to_le_bytes());
            packet[12..16].copy_from_slice(&(facts.bytes as u32).to_le_bytes());
            packet.truncate(other_length.unwrap_or(facts.bytes));
            (packet, facts.fds)
        })
}

proptest! {
    #[test]
    fn decoding_is_total(packet in proptest::collection::vec(any::<u8>(), 0..MAX_MESSAGE + 64), fds in 0..6usize) {
        prop_assert!(decode_all(&packet, fds) <= 1);
    }

    #[test]
    fn decoding_something_like_a_message_is_total((packet, fds) in nearly_messages()) {
        prop_assert!(decode_all(&packet, fds) <= 1);
        same_bytes::<Opening>(&packet, fds);
        same_bytes::<TenantRequest>(&packet, fds);
        same_bytes::<TenantAnswer>(&packet, fds);
        same_bytes::<WorkerReport>(&packet, fds);
        same_bytes::<WorkerOrder>(&packet, fds);
    }

    /// A violation's sentence can be printed whatever it is about.
    #[test]
    fn every_violation_says_something((packet, _) in nearly_messages(), fds in 0..6usize) {
        if let Err(violation) = TenantRequest::decode(&packet, fds) {
            prop_assert!(!violation.to_string().is_empty());
            prop_assert!(violation.class() < Violation::CLASSES.len());
        }
    }
}
