//! Where the device's time went.
//!
//! Promise: every nanosecond between the start of a scheduler and [`Scheduler::booked_until`](crate::Scheduler::booked_until)
//! is in exactly one of these counters, so they sum to the wall clock exactly.

use crate::units::Nanos;

/// What a node is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChargeKind {
    /// It held the lease and was not parked.
    Occupancy,
    /// The device was being made ready for it. Charged to the one who comes: who wants tiny turns pays for its switching.
    SwitchIn,
    /// What the one before it left behind was being erased. The broker charges it to the one who comes, whose worker does it.
    Scrub,
    /// The device was being recovered from what it did: a kill, a reset, a fault.
    Recovery,
}

/// Device time by what it was spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Leases held and not parked.
    pub occupancy: Nanos,
    /// Switches.
    pub switch_in: Nanos,
    /// Erasing what somebody left behind.
    pub scrub: Nanos,
    /// Recovering from what somebody did.
    pub recovery: Nanos,
    /// Nobody wanted the device, everybody who did is at a cap or paused, or the holder was parked.
    pub idle: Nanos,
}

impl Totals {
    /// Returns the sum: the wall-clock time that has been booked.
    #[must_use]
    pub fn wall(&self) -> Nanos {
        Nanos(self.occupancy.0 + self.switch_in.0 + self.scrub.0 + self.recovery.0 + self.idle.0)
    }

    pub(crate) fn add(&mut self, kind: ChargeKind, span: u64) {
        let counter = match kind {
            ChargeKind::Occupancy => &mut self.occupancy,
            ChargeKind::SwitchIn => &mut self.switch_in,
            ChargeKind::Scrub => &mut self.scrub,
            ChargeKind::Recovery => &mut self.recovery,
        };
        counter.0 += span;
    }
}
