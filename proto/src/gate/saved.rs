//! What a suspended session has saved, dispatch by dispatch: a short table in the gate.
//!
//! A worker writes it when it has put its context aside; whoever asks what switches cost reads it. The word in front is a sequence lock: odd while
//! the table is being written, so that a reader who finds the same even number before and after has read one suspend's table and not parts of two.
//! The numbers are a worker's claims, the name is its tenant's.

use crate::gate::GateLayout;
use crate::ids::QueueId;
use crate::text::Text;
use crate::wire::Field;

/// Words of one entry.
pub const SAVED_WORDS: usize = 16;
/// Entries of the table. A session that has more dispatches in flight names the first of them.
pub const SAVED_MAX: usize = 16;
/// Bytes of a kernel's name in an entry.
pub const SAVED_NAME_MAX: usize = 64;

const _: () = assert!(8 + SAVED_NAME_MAX / 8 == SAVED_WORDS);
const _: () = assert!(GateLayout::SAVED + 16 + SAVED_MAX * SAVED_WORDS * 8 <= GateLayout::DISPATCH_LATENCY);

/// What one dispatch had on the device when its session was put aside. Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SavedDispatch {
    /// Its queue.
    pub queue: QueueId,
    /// Its packet, counted from the first ever.
    pub packet: u64,
    /// Resident waves.
    pub waves: u64,
    /// Vector registers saved.
    pub vgpr: u64,
    /// Scalar registers saved.
    pub sgpr: u64,
    /// LDS saved.
    pub lds: u64,
    /// Private memory, which stays where it is.
    pub scratch: u64,
    /// The kernel, if its name is known.
    pub kernel: Text<SAVED_NAME_MAX>,
}

impl SavedDispatch {
    /// Returns the words to store.
    pub fn words(&self) -> [u64; SAVED_WORDS] {
        let mut words = [0; SAVED_WORDS];
        let numbers = [u64::from(self.queue.0), self.packet, self.waves, self.vgpr, self.sgpr, self.lds, self.scratch];
        words[..numbers.len()].copy_from_slice(&numbers);
        for (word, bytes) in words[8..].iter_mut().zip(self.kernel.to_wire().as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    }

    /// Returns what stored words mean. A name that is no text is none.
    pub fn of(words: &[u64; SAVED_WORDS]) -> SavedDispatch {
        let mut name = [0; SAVED_NAME_MAX];
        for (bytes, word) in name.as_chunks_mut::<8>().0.iter_mut().zip(&words[8..]) {
            *bytes = word.to_le_bytes();
        }
        SavedDispatch {
            // A queue number has 32 bits; what a worker claims beyond them names nothing.
            queue: QueueId(words[0] as u32),
            packet: words[1],
            waves: words[2],
            vgpr: words[3],
            sgpr: words[4],
            lds: words[5],
            scratch: words[6],
            kernel: Text::from_wire(&name, "saved.kernel").unwrap_or_default(),
        }
    }

    /// Returns the bytes that were copied.
    pub fn copied(&self) -> u64 {
        self.vgpr.saturating_add(self.sgpr).saturating_add(self.lds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_its_words_and_nonsense_is_an_entry() {
        let entry = SavedDispatch {
            queue: QueueId(7),
            packet: u64::MAX,
            waves: 1,
            vgpr: 2,
            sgpr: 3,
            lds: 4,
            scratch: 5,
            kernel: Text::truncated("a name with an \u{e4} in it, and then more of it than sixty-four bytes hold"),
        };
        assert_eq!(SavedDispatch::of(&entry.words()), entry);
        assert_eq!(SavedDispatch::of(&[0; SAVED_WORDS]), SavedDispatch::default());
        let nonsense = SavedDispatch::of(&[u64::MAX; SAVED_WORDS]);
        assert_eq!((nonsense.kernel.as_str(), nonsense.copied()), ("", u64::MAX));
    }
}
