//! The ring of finished dispatches in a gate: what a worker did, packet by packet, for whom the broker wants it.
//!
//! The broker sets [`GateLayout::TRACED`](super::GateLayout::TRACED) while somebody traces; a worker that sees it writes one
//! [`DispatchRecord`] for each dispatch that ends. Nobody waits for anybody: the ring is overwritten from the oldest record on, and
//! the reader counts what it has missed. While nobody traces, a dispatch costs a relaxed load, and no page of the ring exists.
//!
//! A slot is eight words, a cache line: a sequence number (the record's index plus one, 0 while it is being written) and the
//! seven of a record. Writer: 0 to the sequence number, the words, the sequence number, the head. Reader: sequence number, words, sequence
//! number once more. A kernel's name is written once per session into a table beside the ring, and records name its row.
//!
//! Promise: whatever a worker writes, [`DispatchRecord::unpack`] gives a record whose times are in order and in the past, or
//! nothing; names are text that can be printed.

use crate::ids::{Instant, QueueId};
use crate::text::Text;
use crate::wire::Field;

/// Records in the ring.
pub const SLOTS: usize = 1024;
/// Size of a slot in bytes.
pub const SLOT_BYTES: usize = 64;
/// Words of a record; the sequence number comes before them.
pub const WORDS: usize = 7;
/// Rows in the table of names.
pub const NAMES: usize = 64;
/// Size of a row: its length in bytes as a word, then the name.
pub const NAME_BYTES: usize = 128;
/// Longest name kept, in bytes.
pub const NAME_MAX: usize = NAME_BYTES - 8;

/// The name of a kernel as a trace shows it.
pub type KernelName = Text<NAME_MAX>;

/// Returns the name in a row as it was read. One that breaks the rules of [`Text`] is none.
pub fn name_of(bytes: &[u8; NAME_MAX]) -> KernelName {
    KernelName::from_wire(bytes, "kernel name").unwrap_or_default()
}

/// A dispatch that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchRecord {
    /// Its queue.
    pub queue: QueueId,
    /// Its packet, counted from the first of the queue.
    pub packet: u64,
    /// The row of its kernel's name, if it has one.
    pub name: Option<u16>,
    /// The kernel object it named.
    pub object: u64,
    /// When the worker saw the packet.
    pub seen_at: Instant,
    /// When it was launched.
    pub began_at: Instant,
    /// When it had ended, and its completion signal was about to be told.
    pub ended_at: Instant,
}

impl DispatchRecord {
    /// Returns the words to write.
    pub fn pack(&self) -> [u64; WORDS] {
        // Rows are stored plus one, so that nothing is 0.
        let name = self.name.map_or(0, |row| u64::from(row) + 1);
        let queue = u64::from(self.queue.0);
        [queue, name, self.packet, self.object, self.seen_at.0, self.began_at.0, self.ended_at.0]
    }

    /// Returns what words read by `now` mean; `None` if they cannot be true.
    pub fn unpack(words: &[u64; WORDS], now: Instant) -> Option<Self> {
        let [queue, name, packet, object, seen_at, began_at, ended_at] = *words;
        let name = match name.checked_sub(1) {
            None => None,
            Some(row) => Some(u16::try_from(row).ok().filter(|row| usize::from(*row) < NAMES)?),
        };
        let in_order = seen_at != 0 && seen_at <= began_at && began_at <= ended_at && ended_at <= now.0;
        let [seen_at, began_at, ended_at] = [seen_at, began_at, ended_at].map(Instant);
        let queue = QueueId(u32::try_from(queue).ok()?);
        in_order.then_some(Self { queue, packet, name, object, seen_at, began_at, ended_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record() -> DispatchRecord {
        DispatchRecord {
            queue: QueueId(3),
            packet: 7,
            name: Some(63),
            object: 0x1000,
            seen_at: Instant(10),
            began_at: Instant(10),
            ended_at: Instant(12),
        }
    }

    #[test]
    fn records_survive_the_ring() {
        for record in [record(), DispatchRecord { name: None, ..record() }] {
            assert_eq!(DispatchRecord::unpack(&record.pack(), Instant(12)), Some(record));
        }
    }

    #[test]
    fn what_cannot_be_true_is_nothing() {
        for (word, value) in [(0, 1 << 32), (1, NAMES as u64 + 1), (4, 11), (4, 0), (5, 13), (6, 13)] {
            let mut words = record().pack();
            words[word] = value;
            assert_eq!(DispatchRecord::unpack(&words, Instant(12)), None, "word {word}");
        }
    }

    #[test]
    fn a_name_is_text_or_nothing() {
        let mut bytes = [0; NAME_MAX];
        bytes[..4].copy_from_slice(b"saxp");
        assert_eq!(name_of(&bytes).as_str(), "saxp");
        bytes[1] = 0x1b;
        assert_eq!(name_of(&bytes).as_str(), "");
    }

    proptest! {
        #[test]
        fn times_are_in_order_and_in_the_past(words in prop::array::uniform7(any::<u64>()), now in any::<u64>()) {
            if let Some(r) = DispatchRecord::unpack(&words, Instant(now)) {
                prop_assert!(r.seen_at <= r.began_at && r.began_at <= r.ended_at && r.ended_at <= Instant(now));
            }
        }
    }
}
