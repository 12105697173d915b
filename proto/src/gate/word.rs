//! The word two processes fight over, and the only ways to change it.
//!
//! Every function takes the word as it was loaded and returns the word to swap in, or says why not. Who may call which is part
//! of its name's first sentence; nothing enforces it but the review of two shells and the model test.
//!
//! Bits 0 to 2 are the state, bits 3 to 31 the lease's generation, bits 32 to 63 count parkings. The count makes two
//! parkings of one lease different words: a broker that loads "parked", reads when, and swaps, fails if the worker was away in
//! between, so the time it read belongs to the parking it took.

use core::fmt;

use crate::ids::LeaseGeneration;

/// Who has the device, as far as one session is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LeaseState {
    /// The session has no work and no lease.
    Idle = 0,
    /// It has work and waits for a lease.
    Runnable = 1,
    /// It holds the lease and runs.
    Leased = 2,
    /// It holds the lease, has no work, and would not mind losing it.
    Parked = 3,
    /// It gets no lease any more.
    Stopping = 4,
}

impl LeaseState {
    /// Returns the word people see.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Runnable => "runnable",
            Self::Leased => "leased",
            Self::Parked => "parked",
            Self::Stopping => "stopping",
        }
    }
}

/// The value of a gate's word.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GateWord(pub u64);

/// Why a step is not possible from the word that was found: somebody else was faster, or the peer wrote nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotNow {
    /// The word that was found.
    pub found: GateWord,
}

impl fmt::Display for NotNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the gate is {:?}, so this step is not possible now", self.found)
    }
}

impl core::error::Error for NotNow {}

const STATE_BITS: u32 = 3;
const TICKET_SHIFT: u32 = STATE_BITS + LeaseGeneration::BITS;

impl GateWord {
    /// The word of a new gate: idle, no lease yet.
    pub const NEW: Self = Self(0);

    const fn pack(state: LeaseState, generation: LeaseGeneration, ticket: u32) -> Self {
        Self(state as u64 | (generation.get() as u64) << STATE_BITS | (ticket as u64) << TICKET_SHIFT)
    }

    /// Returns the state, or `None` for bits that mean none.
    pub const fn state(self) -> Option<LeaseState> {
        match self.0 & ((1 << STATE_BITS) - 1) {
            0 => Some(LeaseState::Idle),
            1 => Some(LeaseState::Runnable),
            2 => Some(LeaseState::Leased),
            3 => Some(LeaseState::Parked),
            4 => Some(LeaseState::Stopping),
            _ => None,
        }
    }

    /// Returns the generation of the lease held, or of the last one.
    pub const fn generation(self) -> LeaseGeneration {
        LeaseGeneration::new((self.0 >> STATE_BITS) as u32)
    }

    /// Returns how often the session has parked, modulo 2^32.
    pub const fn ticket(self) -> u32 {
        (self.0 >> TICKET_SHIFT) as u32
    }

    /// Returns whether the session holds the lease `generation`, running or parked.
    pub fn holds(self, generation: LeaseGeneration) -> bool {
        matches!(self.state(), Some(LeaseState::Leased | LeaseState::Parked)) && self.generation() == generation
    }

    fn step(self, from: LeaseState, to: LeaseState) -> Result<Self, NotNow> {
        if self.state() == Some(from) {
            Ok(Self::pack(to, self.generation(), self.ticket()))
        } else {
            Err(NotNow { found: self })
        }
    }

    /// Worker: work has come, a lease is wanted. Then tell the broker.
    pub fn announce(self) -> Result<Self, NotNow> {
        self.step(LeaseState::Idle, LeaseState::Runnable)
    }

    /// Worker: the work is gone (its queue was destroyed) before a lease came.
    pub fn withdraw(self) -> Result<Self, NotNow> {
        self.step(LeaseState::Runnable, LeaseState::Idle)
    }

    /// Worker: all queues are drained. Store when, first; look at the request, afterwards.
    pub fn park(self) -> Result<Self, NotNow> {
        self.step(LeaseState::Leased, LeaseState::Parked)
            .map(|w| Self::pack(LeaseState::Parked, w.generation(), w.ticket().wrapping_add(1)))
    }

    /// Worker: work has come while parked. Fails when the broker took the lease.
    pub fn unpark(self) -> Result<Self, NotNow> {
        self.step(LeaseState::Parked, LeaseState::Leased)
    }

    /// Worker: gives the lease back, running or parked; `more` says whether it has work left. Store the report, first;
    /// tell the broker, afterwards.
    pub fn release(self, more: bool) -> Result<Self, NotNow> {
        let to = if more { LeaseState::Runnable } else { LeaseState::Idle };
        match self.state() {
            Some(LeaseState::Leased | LeaseState::Parked) => Ok(Self::pack(to, self.generation(), self.ticket())),
            _ => Err(NotNow { found: self }),
        }
    }

    /// Broker: gives a runnable session the lease. Store deadline and stamps, first; ring the wake word, afterwards.
    pub fn grant(self, generation: LeaseGeneration) -> Result<Self, NotNow> {
        self.step(LeaseState::Runnable, LeaseState::Leased)
            .map(|w| Self::pack(LeaseState::Leased, generation, w.ticket()))
    }

    /// Broker: takes a parked lease back. Read when it was parked, first. Nobody needs to be woken.
    pub fn take(self, generation: LeaseGeneration) -> Result<Self, NotNow> {
        if self.generation() != generation {
            return Err(NotNow { found: self });
        }
        self.step(LeaseState::Parked, LeaseState::Idle)
    }

    /// Broker: the session gets no lease any more. A running one must give the device back first.
    pub fn stop(self) -> Result<Self, NotNow> {
        match self.state() {
            Some(LeaseState::Leased) | None => Err(NotNow { found: self }),
            Some(_) => Ok(Self::pack(LeaseState::Stopping, self.generation(), self.ticket())),
        }
    }
}

impl fmt::Debug for GateWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state().map_or("damaged", LeaseState::word);
        write!(f, "{state}({}, parked {} times)", self.generation(), self.ticket())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATES: [LeaseState; 5] =
        [LeaseState::Idle, LeaseState::Runnable, LeaseState::Leased, LeaseState::Parked, LeaseState::Stopping];

    /// The whole protocol as a table: from which states each step is possible, and where it leads.
    #[test]
    fn each_step_leads_where_the_protocol_says() {
        use LeaseState::*;
        type Step = fn(GateWord) -> Result<GateWord, NotNow>;
        type Table = &'static [(LeaseState, LeaseState)];
        let generation = LeaseGeneration::new(5);
        let steps: [(&str, Step, Table); 9] = [
            ("announce", GateWord::announce, &[(Idle, Runnable)]),
            ("withdraw", GateWord::withdraw, &[(Runnable, Idle)]),
            ("park", GateWord::park, &[(Leased, Parked)]),
            ("unpark", GateWord::unpark, &[(Parked, Leased)]),
            ("release", |w| w.release(false), &[(Leased, Idle), (Parked, Idle)]),
            ("release, more", |w| w.release(true), &[(Leased, Runnable), (Parked, Runnable)]),
            ("grant", |w| w.grant(LeaseGeneration::new(6)), &[(Runnable, Leased)]),
            ("take", |w| w.take(LeaseGeneration::new(5)), &[(Parked, Idle)]),
            (
                "stop",
                GateWord::stop,
                &[(Idle, Stopping), (Runnable, Stopping), (Parked, Stopping), (Stopping, Stopping)],
            ),
        ];
        for (name, step, table) in steps {
            for from in STATES {
                let word = GateWord::pack(from, generation, 9);
                let to = table.iter().find(|(f, _)| *f == from).map(|(_, t)| *t);
                match step(word) {
                    Ok(next) => {
                        assert_eq!(next.state(), to, "{name} from {from:?}");
                        assert_eq!(next.ticket(), if name == "park" { 10 } else { 9 });
                        assert_eq!(next.generation().get(), if name == "grant" { 6 } else { 5 });
                    }
                    Err(not) => {
                        assert_eq!(to, None, "{name} from {from:?}");
                        assert_eq!(not.found, word);
                    }
                }
            }
        }
    }

    #[test]
    fn another_leases_parking_cannot_be_taken() {
        let word = GateWord::pack(LeaseState::Parked, LeaseGeneration::new(5), 1);
        assert!(word.take(LeaseGeneration::new(4)).is_err());
        assert!(word.take(LeaseGeneration::new(5)).is_ok());
    }

    #[test]
    fn two_parkings_of_one_lease_are_two_words() {
        let first = GateWord::pack(LeaseState::Parked, LeaseGeneration::new(5), u32::MAX);
        let second = first.unpark().and_then(GateWord::park).unwrap();
        assert_ne!(first, second);
        assert_eq!(second.ticket(), 0);
    }

    proptest! {
        #[test]
        fn any_word_can_be_looked_at(raw in any::<u64>()) {
            let word = GateWord(raw);
            let steps = [word.announce(), word.withdraw(), word.park(), word.unpark(), word.release(true),
                word.grant(LeaseGeneration::new(1)), word.take(word.generation()), word.stop()];
            if word.state().is_none() {
                prop_assert!(steps.iter().all(Result::is_err));
            }
            let _ = std::format!("{word:?}");
        }
    }
}
