//! Looking at what the workers have measured: all of it when somebody asks, and otherwise every ten seconds, so that the last minute is one.
//!
//! Promise: a turn of a round looks at [`SESSIONS_PER_TURN`] sessions at most and reads the histograms of [`READS_PER_TURN`] of them,
//! those in which something moved (some ten microseconds each); the next turn comes [`PAUSE`] later. So a round over ten thousand
//! sessions stalls nobody, and one over idle sessions is over at once.

use std::ops::Bound;

use proto::{Instant, Nanos, SessionId};

use super::Daemon;
use super::figures::WINDOW;
use super::session::Session;
use super::stats::Stats;

/// Most sessions looked at in one turn.
const SESSIONS_PER_TURN: usize = 1024;
/// Most histograms read in one turn.
const READS_PER_TURN: usize = 16;
/// From one turn of a round to the next.
const PAUSE: Nanos = Nanos::from_millis(5);

/// Where the round is.
#[derive(Debug)]
pub(super) struct Rounds {
    due: Instant,
    /// The session looked at last; `None` at the beginning of a round.
    cursor: Option<SessionId>,
}

impl Rounds {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now.after(WINDOW), cursor: None }
    }

    /// Returns when the next turn is due, if there are sessions.
    pub(super) fn deadline(&self) -> Instant {
        self.due
    }

    /// Returns where the next turn begins.
    fn from(&self) -> Bound<SessionId> {
        self.cursor.map_or(Bound::Unbounded, Bound::Excluded)
    }

    /// Makes a turn over the sessions from there on; `look` says whether it had to read. Returns whether the round is over.
    fn turn<S>(
        &mut self,
        now: Instant,
        sessions: impl Iterator<Item = (SessionId, S)>,
        mut look: impl FnMut(S) -> bool,
    ) -> bool {
        let mut reads = 0;
        for (looks, (id, session)) in sessions.enumerate() {
            if looks == SESSIONS_PER_TURN || reads == READS_PER_TURN {
                self.due = now.after(PAUSE);
                return false;
            }
            self.cursor = Some(id);
            reads += usize::from(look(session));
        }
        *self = Self::new(now);
        true
    }
}

impl Daemon {
    /// Takes down what all workers have measured since they were looked at last.
    pub(super) fn look_at_all(&mut self, now: Instant) {
        for session in self.sessions.values_mut() {
            look(now, session, &mut self.stats);
        }
    }

    /// Makes a turn of a round.
    pub(super) fn go_round(&mut self, now: Instant) {
        let sessions = self.sessions.range_mut((self.rounds.from(), Bound::Unbounded));
        let sessions = sessions.map(|(id, session)| (*id, session));
        if self.rounds.turn(now, sessions, |session| look(now, session, &mut self.stats)) {
            self.stats.expire(now);
        }
    }
}

/// Takes down what a worker has measured since it was looked at last; returns whether there was anything.
fn look(now: Instant, session: &mut Session, stats: &mut Stats) -> bool {
    let Some(worker) = &session.worker else { return false };
    let Some(news) = session.followed.look(&worker.gate) else { return false };
    stats.tenant(session.tenant).figures.add(now, &news);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes a round over sessions of which every `busy`th has something to read; returns the number of turns.
    fn round(sessions: u64, busy: u64) -> usize {
        let mut rounds = Rounds::new(Instant(0));
        let (mut now, mut seen) = (rounds.deadline(), Vec::new());
        for turn in 1.. {
            let from = match rounds.from() {
                Bound::Excluded(last) => last.0 + 1,
                _ => 1,
            };
            let (mut looks, mut reads) = (0, 0);
            let over = rounds.turn(now, (from..=sessions).map(|id| (SessionId(id), id)), |id| {
                seen.push(id);
                looks += 1;
                reads += usize::from(id.is_multiple_of(busy));
                id.is_multiple_of(busy)
            });
            assert!(looks <= SESSIONS_PER_TURN && reads <= READS_PER_TURN);
            if over {
                assert_eq!(rounds.deadline(), now.after(WINDOW));
                assert_eq!(seen, (1..=sessions).collect::<Vec<_>>(), "each once");
                return turn;
            }
            assert_eq!(rounds.deadline(), now.after(PAUSE));
            now = rounds.deadline();
        }
        unreachable!("a round ends");
    }

    #[test]
    fn a_turn_is_bounded_and_a_round_sees_everybody_once() {
        assert_eq!(round(0, 1), 1);
        assert_eq!(round(1_000, 1_001), 1, "idle sessions are over at once");
        assert_eq!(round(10_000, 10_001), 10);
        assert_eq!(round(10_000, 1), 10_000 / READS_PER_TURN);
    }
}
