//! Exact virtual time.
//!
//! A node of weight `w` that has received `s` nanoseconds of service stands at the virtual position `s / w`; a set of
//! nodes stands at the mean of its members, weighted. Both are fractions. They are kept as a whole number of *ticks*
//! (1 tick = 2^-20 ns of service per unit of weight) and the remainder of the division, so nothing is ever rounded away:
//!
//! ```text
//!     sum over members of (w * ticks + remainder)  =  W * ticks of the mean + remainder of the mean
//! ```
//!
//! holds exactly after every operation. That is the conservation law: the lags of the members sum to zero.
//!
//! Ticks are 128 bits wide: 64 would overflow after 2.4 hours of a lone tenant of weight 1. Divisions on the hot path
//! stay in 64 bits ([`SPAN_MAX`]); the wide fall-back is for charges longer than that.

/// Bits of fraction in a tick.
pub(crate) const TICK_BITS: u32 = 20;

/// The longest span, in ns, whose ticks and any remainder fit in 64 bits: 2.4 hours.
pub(crate) const SPAN_MAX: u64 = (1 << (63 - TICK_BITS)) - 1;

/// A virtual instant or span in ticks.
pub(crate) type Ticks = i128;

/// Returns the ticks that `span_ns` of service are for a node of `weight`, rounded down.
pub(crate) fn ticks(span_ns: u64, weight: u32) -> Ticks {
    if span_ns <= SPAN_MAX {
        Ticks::from((span_ns << TICK_BITS) / u64::from(weight))
    } else {
        (Ticks::from(span_ns) << TICK_BITS) / Ticks::from(weight)
    }
}

/// Where one node stands: `ticks + remainder / weight`, with `remainder < weight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) ticks: Ticks,
    remainder: u32,
}

impl Position {
    pub(crate) fn at(ticks: Ticks) -> Position {
        Position { ticks, remainder: 0 }
    }

    /// Moves forward by `service_ns` of service.
    pub(crate) fn advance(&mut self, service_ns: u64, weight: u32) {
        if service_ns <= SPAN_MAX {
            // The remainder is below 2^20 and the shifted span below 2^63: the sum fits.
            let sum = (service_ns << TICK_BITS) + u64::from(self.remainder);
            self.ticks += Ticks::from(sum / u64::from(weight));
            self.remainder = (sum % u64::from(weight)) as u32;
        } else {
            let sum = (Ticks::from(service_ns) << TICK_BITS) + Ticks::from(self.remainder);
            *self = Position::from_excess(self.ticks, sum, weight);
        }
    }

    /// Returns by how much service, in units of 2^-20 ns, this position is past the virtual instant `origin`.
    pub(crate) fn excess(&self, origin: Ticks, weight: u32) -> Ticks {
        (self.ticks - origin) * Ticks::from(weight) + Ticks::from(self.remainder)
    }

    /// Returns the position that is `excess` (units of 2^-20 ns of service) past `origin` for a node of `weight`.
    pub(crate) fn from_excess(origin: Ticks, excess: Ticks, weight: u32) -> Position {
        let weight = Ticks::from(weight);
        Position { ticks: origin + excess.div_euclid(weight), remainder: excess.rem_euclid(weight) as u32 }
    }
}

/// Where a set of nodes stands on average: `ticks + remainder / weight`, with `remainder < weight`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    ticks: Ticks,
    remainder: u64,
    weight: u64,
    members: u32,
    /// How far the mean jumped when its only member came to an empty set.
    ///
    /// A debt is owed to competitors. A member that comes alone takes the mean along to wherever it stands; whoever comes
    /// next is placed as if the mean had not moved, so that it does not matter which of the two came first, and coming
    /// back early is no way to be rid of a debt.
    jump: Ticks,
}

impl Mean {
    /// Returns the virtual time of the set, rounded down to a tick.
    ///
    /// A member is eligible if its own ticks are not past this. Rounding both down keeps the theorem that somebody
    /// always is: the member furthest behind is not past the exact mean, hence neither is its whole part.
    pub(crate) fn ticks(&self) -> Ticks {
        self.ticks
    }

    pub(crate) fn members(&self) -> u32 {
        self.members
    }

    /// Returns the virtual time a newcomer is measured against.
    pub(crate) fn reference(&self) -> Ticks {
        if self.members == 1 { self.ticks - self.jump } else { self.ticks }
    }

    /// Moves forward because some member received `service_ns` of service.
    pub(crate) fn advance(&mut self, service_ns: u64) {
        if service_ns <= SPAN_MAX {
            // The remainder is below the sum of the weights, so below 2^52: the sum fits.
            let sum = (service_ns << TICK_BITS) + self.remainder;
            self.ticks += Ticks::from(sum / self.weight);
            self.remainder = sum % self.weight;
        } else {
            self.shift((Ticks::from(service_ns) << TICK_BITS) + Ticks::from(self.remainder));
        }
    }

    /// Takes in a member that stands at `position`.
    pub(crate) fn enter(&mut self, position: &Position, weight: u32) {
        if self.members == 0 {
            self.jump = position.ticks - self.ticks;
            self.ticks = position.ticks;
        } else {
            self.jump = 0;
        }
        let excess = position.excess(self.ticks, weight);
        self.members += 1;
        self.weight += u64::from(weight);
        self.shift(excess + Ticks::from(self.remainder));
    }

    /// Lets a member go that stands at `position`; what it was owed or owes is spread over the others.
    pub(crate) fn exit(&mut self, position: &Position, weight: u32) {
        let excess = position.excess(self.ticks, weight);
        self.members -= 1;
        self.weight -= u64::from(weight);
        if self.members == 0 {
            self.ticks -= core::mem::take(&mut self.jump);
            self.remainder = 0;
        } else {
            self.shift(Ticks::from(self.remainder) - excess);
        }
    }

    /// Changes the weight of the member at `position` and returns where it stands now. What anybody is owed changes by less
    /// than 2^-20 ns.
    ///
    /// To leave every lag as it is, the exact mean must stay, so the remainder must change as the weight it is divided by
    /// does. What rounds off there is taken from or given to the member, so that the sums still agree.
    pub(crate) fn reweigh(&mut self, position: &Position, from: u32, to: u32) -> Position {
        let weight = self.weight - u64::from(from) + u64::from(to);
        // Below the new weight, as the old remainder was below the old weight.
        let remainder = (u128::from(self.remainder) * u128::from(weight) / u128::from(self.weight)) as u64;
        let excess = position.excess(self.ticks, from) + Ticks::from(remainder) - Ticks::from(self.remainder);
        (self.weight, self.remainder) = (weight, remainder);
        Position::from_excess(self.ticks, excess, to)
    }

    /// Returns what the member at `position` is owed as an exact fraction of ns: numerator and denominator.
    pub(crate) fn lag(&self, position: &Position, weight: u32) -> (i128, i128) {
        let total = Ticks::from(self.weight);
        let excess = position.excess(self.ticks, weight);
        (Ticks::from(weight) * Ticks::from(self.remainder) - total * excess, total << TICK_BITS)
    }

    /// Replaces the remainder by `sum`, however large or negative, and carries what exceeds it into the ticks.
    fn shift(&mut self, sum: Ticks) {
        let weight = Ticks::from(self.weight);
        self.ticks += sum.div_euclid(weight);
        self.remainder = sum.rem_euclid(weight) as u64;
    }
}
