//! Packets of every direction: what is read from one is what would be written, byte for byte, so there is one way to say
//! each thing and nothing hides between the fields.
//!
//! The first byte is the direction, the second the number of descriptors, the rest the packet.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use proto::message::{Opening, TenantAnswer, TenantRequest, WorkerOrder, WorkerReport};
use proto::wire::Message;

fuzz_target!(|data: &[u8]| {
    let [direction, fds, packet @ ..] = data else { return };
    let fds = usize::from(*fds);
    match direction % 5 {
        0 => read::<Opening>(packet, fds),
        1 => read::<TenantRequest>(packet, fds),
        2 => read::<TenantAnswer>(packet, fds),
        3 => read::<WorkerReport>(packet, fds),
        _ => read::<WorkerOrder>(packet, fds),
    }
});

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
