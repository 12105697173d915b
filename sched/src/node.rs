//! One node of the tree: a group, a tenant or a session.

use core::fmt;

use crate::bucket::Bucket;
use crate::params::Params;
use crate::request::{Request, Warp};
use crate::virt::{Position, Ticks};

/// The name of a node; never reused for another one within a scheduler's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}.{}", self.slot, self.generation)
    }
}

/// The distance by which a warped deadline comes before every other: no virtual time gets this far (2^64 ns at weight 1 are 2^84
/// ticks), and a key of 96 bits holds it.
pub(crate) const FIRST: Ticks = 1 << 90;

/// Why a node is kept out of its parent's queue although it wants to run, and what else is true of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// A session that has work.
    pub(crate) runnable: bool,
    /// In its parent's queue.
    pub(crate) active: bool,
    /// On the path from the root to the leaseholder: what the heaps believe about it may be behind.
    pub(crate) held: bool,
    pub(crate) paused: bool,
    /// Has a cap, and so a bucket.
    pub(crate) capped: bool,
    /// At its cap, waiting in `Scheduler::throttled`.
    pub(crate) throttled: bool,
    /// Has neither run nor been charged since it joined: it starts where its parent's queue then is.
    pub(crate) fresh: bool,
    /// Has been runnable: it is a session, and not a tenant that has had none so far.
    pub(crate) woken: bool,
}

/// What is true of a node, as opposed to what the heaps believe about it.
///
/// In the order in which a decision needs it: the first two cache lines are all that a charge to, and a turn of, a node touches that
/// has neither a cap nor a latency class.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Node {
    /// Where it stands among its siblings. Kept across sleep: a debt lasts until virtual time has passed it.
    pub(crate) position: Position,
    pub(crate) generation: u32,
    pub(crate) parent: u32,
    /// The queue of its parent.
    pub(crate) home: u32,
    /// The weight that counts: its own, or everybody's where the policy is that all have the same.
    pub(crate) claim: u32,
    /// The queue of its members, if it groups others.
    pub(crate) queue: Option<u32>,
    pub(crate) flags: Flags,
    /// The lag guard's distance, in ticks at its weight.
    pub(crate) guard: u64,
    pub(crate) request: Request,
    /// All it was ever charged, in ns.
    pub(crate) service_ns: u64,
    pub(crate) params: Params,
    pub(crate) warp: Warp,
    /// While it sleeps: how far behind the mean it may be placed when it wakes, in ticks.
    pub(crate) credit: Ticks,
    /// Its place in the round, where turns go round.
    pub(crate) turn: Ticks,
    pub(crate) bucket: Option<Bucket>,
}

impl Node {
    pub(crate) fn weight(&self) -> u32 {
        self.claim
    }

    /// Returns where a node that slept is placed in a queue whose virtual time is `reference`.
    ///
    /// A debt stays where it is. Otherwise it is placed no further back than the credit it went to sleep with, so that time
    /// spent asleep is not saved up.
    pub(crate) fn placement(&self, reference: Ticks) -> Position {
        let earliest = reference - self.credit;
        if self.flags.fresh {
            Position::at(reference)
        } else if self.position.ticks >= earliest {
            self.position
        } else {
            Position::at(earliest)
        }
    }
}
