//! How long a node is expected to occupy the device next, and how far a latency node may be moved forward.

/// A decay of 1/50 per dispatch: a node that once ran a kernel of ten slices is trusted with one again after 115 short ones.
const DECAY: u64 = 50;

/// A node may be moved forward for one part in this many of the device time its siblings and it receive.
const WARP_PART: u64 = 10;

/// The learned request length: the peak of real occupancies, forgotten slowly.
///
/// A deadline computed from it is late enough for the longest kernel the node has lately run. A declared length would let
/// a node that declares little and occupies much push everybody else back by the difference, every time.
///
/// A newcomer is believed to be content with its slice. (Believed to take L, as it once was, its deadline came after everybody's who had
/// shown to be brief, and where L is seconds, it waited for its first turn until it was owed a dozen: of 64 equal tenants the last had 58 % of its share
/// after 10 s.) A crowd of newcomers that all take long is a crowd that breaks its word, and the guard's matter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request {
    learned_ns: u64,
}

impl Request {
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
/// Earned at a tenth of the device time that passes, up to a slice, and spent on all service the node receives while others want some, also when that is
/// more than there was: a debt is earned back first. While there is some it goes ahead of everybody's deadline. So a node that takes less than a tenth of
/// the device is served as soon as it wakes, also when a switch to it took as long as a slice; one that takes more waits like everybody else
/// until what it took is a tenth again. What it is charged does not change, so neither does its share.
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

    /// Earns up to the parent's `service_ns`, and returns whether there is any.
    pub(crate) fn earn(&mut self, service_ns: u64, slice_ns: u64) -> bool {
        let earned = (service_ns - self.seen_ns) / WARP_PART;
        self.seen_ns += earned * WARP_PART;
        // A tenth of 64 bits fits in 63, and a slice is shorter than 2^43 ns.
        self.budget_ns = self.budget_ns.saturating_add(earned as i64).min(slice_ns as i64);
        self.budget_ns > 0
    }

    pub(crate) fn spend(&mut self, service_ns: u64) {
        self.budget_ns = self.budget_ns.saturating_sub_unsigned(service_ns);
    }
}
