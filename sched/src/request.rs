//! How long a node is expected to occupy the device next, and how far a latency node may be moved forward.

/// A decay of 1/50 per dispatch: a node that once ran a kernel of ten slices is trusted with one again after 115 short ones.
const DECAY: u64 = 50;

/// A node may be moved forward for one part in this many of the device time its siblings and it receive.
const WARP_PART: u64 = 10;

/// The learned request length: the peak of real occupancies, forgotten slowly.
///
/// A deadline computed from it is late enough for the longest kernel the node has lately run. A declared length would let
/// a node that declares little and occupies much push everybody else back by the difference, every time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request {
    learned_ns: u64,
}

impl Request {
    /// Returns the request of a newcomer: nobody is believed to be brief before it was, as the first turns of many newcomers
    /// are a crowd like any other.
    pub(crate) fn new(occupancy_max_ns: u64) -> Request {
        Request { learned_ns: occupancy_max_ns }
    }

    /// Returns what is known after one more occupancy.
    pub(crate) fn after(self, occupied_ns: u64) -> Request {
        Request { learned_ns: occupied_ns.max(self.learned_ns - self.learned_ns / DECAY) }
    }

    /// Returns the request length in ns.
    pub(crate) fn length(self, slice_ns: u64, occupancy_max_ns: u64) -> u64 {
        self.learned_ns.max(slice_ns).min(occupancy_max_ns)
    }
}

/// How much service a latency node may receive ahead of its turn.
///
/// Earned at a tenth of the device time that passes, up to half a slice, and spent on all service the node receives, also when that is
/// more than there was: a debt is earned back first. While there is enough for the turn that the node asks for, it goes ahead of
/// everybody's deadline. So a node that takes short turns and less than a tenth of the device is served as soon as it
/// wakes; one that takes more, or whose turns are longer than it said, waits like everybody else until what it took is a tenth
/// again. What it is charged does not change, so neither does its share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Warp {
    budget_ns: i64,
    /// The service of the parent up to which the budget was earned.
    seen_ns: u64,
}

impl Warp {
    /// Returns a warp that earns from `service_ns` on.
    pub(crate) fn new(service_ns: u64) -> Warp {
        Warp { budget_ns: 0, seen_ns: service_ns }
    }

    /// Earns up to the parent's `service_ns`, and returns whether the budget covers a turn of `turn_ns`.
    pub(crate) fn covers(&mut self, turn_ns: u64, service_ns: u64, slice_ns: u64) -> bool {
        let earned = (service_ns - self.seen_ns) / WARP_PART;
        self.seen_ns += earned * WARP_PART;
        // A tenth of 64 bits fits in 63, and so does half of them.
        self.budget_ns = self.budget_ns.saturating_add(earned as i64).min((slice_ns / 2) as i64);
        self.budget_ns >= i64::try_from(turn_ns).unwrap_or(i64::MAX)
    }

    pub(crate) fn spend(&mut self, service_ns: u64) {
        self.budget_ns = self.budget_ns.saturating_sub_unsigned(service_ns);
    }
}
