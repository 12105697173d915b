//! Packets of every direction: what is read from one is what would be written, byte for byte, so there is one way to say
//! each thing and nothing hides between the fields.
//!
//! The first byte is the direction, the second the number of descriptors, the rest the packet.

use std::fmt::Debug;

use proto::limits::PROTOCOL_VERSION;
use proto::message::{Opening, TenantAnswer, TenantRequest, WorkerOrder, WorkerReport};
use proto::wire::{Facts, MAGIC, Message};

pub(crate) fn feed(data: &[u8]) {
    let [direction, fds, packet @ ..] = data else { return };
    let fds = usize::from(*fds);
    match direction % 5 {
        0 => read::<Opening>(packet, fds),
        1 => read::<TenantRequest>(packet, fds),
        2 => read::<TenantAnswer>(packet, fds),
        3 => read::<WorkerReport>(packet, fds),
        _ => read::<WorkerOrder>(packet, fds),
    }
}

fn read<M: Message + PartialEq + Debug>(packet: &[u8], fds: usize) {
    match M::decode(packet, fds) {
        Ok((request, message)) => {
            let again = message.encode(request);
            assert_eq!(again.as_bytes(), packet, "{message:?}");
            assert_eq!(message.facts().fds, fds);
        }
        Err(violation) => assert!(!violation.to_string().is_empty()),
    }
}

/// A packet of each kind of each direction, its fields zero.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let of = |direction: u8, table: &'static [Facts]| {
        table.iter().map(move |facts| {
            let mut packet = vec![direction, facts.fds as u8];
            packet.extend(MAGIC.to_le_bytes());
            packet.extend(PROTOCOL_VERSION.to_le_bytes());
            packet.extend(facts.kind.to_le_bytes());
            packet.extend([0, 0, 1, 0, 0, 0]);
            packet.extend((facts.bytes as u32).to_le_bytes());
            packet.resize(2 + facts.bytes, 0);
            packet
        })
    };
    of(0, Opening::TABLE)
        .chain(of(1, TenantRequest::TABLE))
        .chain(of(2, TenantAnswer::TABLE))
        .chain(of(3, WorkerReport::TABLE))
        .chain(of(4, WorkerOrder::TABLE))
        .collect()
}
