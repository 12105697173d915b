//! What was said between the world and the broker, as a hash, and as text for whoever wants to read it.

use std::fmt::{self, Write};

use proto::Instant;

/// A running FNV-1a hash over the text of everything, so that two runs can be told apart without keeping either.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: u64,
    voice: Voice,
}

/// What becomes of what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// It is counted. Hashing takes longer than everything else in a large world.
    Counted,
    /// It is hashed.
    Hashed,
    /// It is hashed and printed.
    Aloud,
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

struct Hasher<'a>(&'a mut u64);

impl Write for Hasher<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        Ok(())
    }
}

impl Trace {
    /// Returns an empty trace.
    pub fn new(voice: Voice) -> Self {
        Self { hash: FNV_OFFSET, lines: 0, voice }
    }

    pub(crate) fn line(&mut self, at: Instant, mark: char, what: &dyn fmt::Debug) {
        self.lines += 1;
        if self.voice == Voice::Counted {
            return;
        }
        // PANIC: writing into a hash cannot fail.
        writeln!(Hasher(&mut self.hash), "{}{mark}{what:?}", at.0).expect("a hash takes everything");
        if self.voice == Voice::Aloud {
            println!("{:>14.6} ms {mark} {what:?}", at.0 as f64 / 1e6);
        }
    }

    /// Returns the hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns how many inputs and actions there were.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}
