//! What an admin sets: for a scheduler once, for every node live.

use crate::error::ConfigError;
use crate::units::{Nanos, Share, Weight};
use crate::virt::SPAN_MAX;

/// Levels of nodes below the root: group, tenant, session.
pub const DEPTH_MAX: usize = 3;

/// How a device is divided, by the name an admin gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Device time in proportion to weight among those who want it; whoever does not want it costs the others nothing.
    #[default]
    Weighted,
    /// Every tenant that is present has the same reserved part. What it does not use stays empty.
    EqualShare,
    /// Every tenant that is configured has a reserved part in proportion to its weight. What it does not use stays empty.
    FixedShare,
    /// A slice in turn for whoever wants one. Nothing is reserved, owed or promised but a turn.
    BestEffort,
}

impl Policy {
    /// Every policy there is.
    pub const ALL: [Policy; 4] = [Policy::Weighted, Policy::EqualShare, Policy::FixedShare, Policy::BestEffort];

    /// Returns the name used in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Policy::Weighted => "weighted",
            Policy::EqualShare => "equal-share",
            Policy::FixedShare => "fixed-share",
            Policy::BestEffort => "best-effort",
        }
    }

    /// Returns whether time that its owner does not use stays empty.
    #[must_use]
    pub const fn reserves(self) -> bool {
        matches!(self, Policy::EqualShare | Policy::FixedShare)
    }

    /// Returns the policy called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Policy> {
        Policy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// The settings of one scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How the device is divided.
    pub policy: Policy,
    /// How long a lease lasts before it may be taken away.
    pub slice: Nanos,
    /// The longest single occupancy the caller enforces: slice, plus the longest time it waits for the device to stop, plus
    /// one switch. Every bound is a multiple of it, and it is where the lag guard steps in. It is called *L* in the docs.
    pub occupancy_max: Nanos,
}

impl Config {
    /// The longest [`Config::occupancy_max`]: 2.4 hours.
    pub const OCCUPANCY_LIMIT: Nanos = Nanos(SPAN_MAX);

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let Config { slice, occupancy_max, .. } = *self;
        if slice == Nanos::ZERO {
            Err(ConfigError::SliceIsZero)
        } else if occupancy_max < slice {
            Err(ConfigError::OccupancyBelowSlice { slice, occupancy_max })
        } else if occupancy_max > Self::OCCUPANCY_LIMIT {
            Err(ConfigError::OccupancyTooLong { occupancy_max, limit: Self::OCCUPANCY_LIMIT })
        } else {
            Ok(())
        }
    }
}

/// What a node wants besides its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// Whole slices.
    #[default]
    Throughput,
    /// Short turns, soon. Changes when the node is served and never how much: while its turns take less than a tenth of the device
    /// it goes ahead of everybody who is not of this class, and may preempt a holder when it wakes. What it takes beyond that it
    /// has to earn back before it goes ahead again; meanwhile its deadlines are early only because its slices are short.
    Latency {
        /// The slice it is content with; one longer than [`Config::slice`] is cut to it.
        request: Nanos,
    },
}

/// The settings of one node. The default is [`Weight::DEFAULT`], class [`Class::Throughput`], no cap and no guarantee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params {
    /// The claim on the parent's time relative to the siblings.
    pub weight: Weight,
    /// What the node wants besides its share.
    pub class: Class,
    /// The most device time it may have, even if nobody else wants it.
    pub cap: Option<Share>,
    /// The least part of its parent's time it must be entitled to. Checked when somebody is admitted, see
    /// [`JoinError::GuaranteeBroken`](crate::JoinError::GuaranteeBroken); it costs nothing at run time.
    pub guarantee: Option<Share>,
    /// How long its leases last, in place of [`Config::slice`]; its members inherit it. At most [`Config::occupancy_max`] is
    /// ever granted. Shares do not change by it: who has longer turns has fewer.
    pub slice: Option<Nanos>,
}

impl Params {
    /// Returns default settings with `weight`.
    #[must_use]
    pub fn weight(weight: Weight) -> Params {
        Params { weight, ..Params::default() }
    }

    /// Returns the slice a node of this class is given when the scheduler's is `slice`.
    pub(crate) fn slice(&self, slice: Nanos) -> u64 {
        let slice = self.slice.unwrap_or(slice).0.max(1);
        match self.class {
            Class::Throughput => slice,
            // A request of nothing would be a deadline of now, always: strict priority.
            Class::Latency { request } => request.0.clamp(1, slice),
        }
    }
}
