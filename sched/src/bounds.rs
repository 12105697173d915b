//! The promises as functions, with their derivation. Every one has a property test of the same name.
//!
//! *L* is [`Config::occupancy_max`](crate::Config::occupancy_max), the longest single occupancy its caller enforces. *B* is
//! busy time: what all members of one queue were charged. `phi_i = w_i / W` is the share of member `i` of total weight *W*.
//! The *lag* of a member is what a fluid device would have given it beyond what it got: `phi_i * B - S_i`. A *steady*
//! set is one that nobody enters, leaves or changes weight in, and whose lags were within bounds when it became so.
//!
//! **Lower bound, proven.** A member is dispatched only if it is eligible or critical, that is at a lag of zero or more, up
//! to the rounding of virtual time to ticks: 2^-20 ns of service per unit of weight, below 1 ns at
//! [`Weight::MAX`](crate::Weight::MAX). Its occupancy takes at most L from that; not being served only adds. So `lag >= -L - 1 ns`.
//!
//! **Upper bound, proven.** The guard serves whoever is *critical*, at a lag of L or more, before everybody else, and of
//! those the one with the earliest last moment `e = v + 2 L / w`. Suppose that member `k` is not yet served when virtual time is
//! at its `e_k`. Look back to the last turn that began while a member with a later last moment, or none that was critical, was
//! chosen; it began at virtual time `t`, and took at most L. Since then only members with last moments up to `e_k` had turns, and
//! they became critical, at `v + L / w`, after `t`, or they would have been chosen instead. All turns of one such member
//! together are at most `w (e_k - t)` long: each begins where the one before it ended, the first is critical after `t`, and the last
//! has `v + 2 L / w <= e_k` and takes at most L. With what `k` itself is to have before `e_k`, that sums up to
//! `W (e_k - t)`: all the service there is until `e_k`. The first turn is what `k` can be late by, at most L, and
//! its own turn of up to L is in the sum and not yet begun. So `k` is served by `e_k`: `lag <= 2 L`. This is the theorem of EEVDF for
//! requests of L, on virtual time that is late by `L / w`; predictions, warp and habits do not appear in it.
//!
//! **And L itself where predictions hold.** While no occupancy is longer than its learned request, and switches, which are not learned, are none, nobody becomes
//! critical, and this is EEVDF: `lag < max(r) <= L` (theorem 1). A switch of `c` in each occupancy makes that `max(r) + c`.
//!
//! A guard that serves the *first* to become critical does not have this bound: the hill climb of the simulator drove
//! it to 3.5 L, and a set that breaks its word together gets 6 L out of it (`crowd_breaks_the_bound_...`). The same search, over
//! millions of attacks, comes to 1.9999 L against the rule above, and not beyond.
//!
//! Where a set is not steady, the same holds relative to what joins and leaves shift: who leaves while owed or owing has
//! that spread over those who stay, by weight, and who comes back with a debt or a credit takes it from them again.
//! Sums are conserved exactly; a crowd of debtors that wakes at once makes the others creditors by what they owe.

use crate::params::Config;
use crate::units::{Nanos, Weight};

/// How many L a member may be ahead of its share at one level, to 1 ns of rounding. Proven.
pub const AHEAD_MAX: i128 = 1;

/// How many L a member may be behind its share at one level. Proven, and searched by the property tests and the hill climb.
pub const BEHIND_MAX: i128 = 2;

/// What of the wall clock is booked to nobody, or twice: tenants + switch + scrub + recovery + idle = wall, exactly.
pub const CONSERVATION_ERROR: Nanos = Nanos::ZERO;

/// Returns the least and the largest lag, in ns, of a node `depth` levels below the root: `-L - 1` and `2 L` at depth 1.
///
/// Every level adds its own: with `S_p` what the parent got, `S = phi * S_p - lag` and `S_p = phi_p * B - lag_p`, so the
/// lag against the fluid device is `lag + phi * lag_p`, and `phi <= 1`.
#[must_use]
pub fn lag_range(occupancy_max: Nanos, depth: usize) -> (i128, i128) {
    let (longest, depth) = (i128::from(occupancy_max.0), depth as i128);
    (-(AHEAD_MAX * longest + 1) * depth, BEHIND_MAX * longest * depth)
}

/// Returns by how much, in ns, the service of a node can differ from its share of *any* stretch of busy time: `3 L + 1` at
/// depth 1, the largest change of its lag.
///
/// At L = 5 ms that is 1.5 points over 1 s and 0.15 over 10 s.
#[must_use]
pub fn share_error_max(occupancy_max: Nanos, depth: usize) -> i128 {
    let (least, most) = lag_range(occupancy_max, depth);
    most - least
}

/// Returns the largest `|S_i * w_j - S_j * w_i|`, in ns times weight, of two siblings over any stretch of busy time.
///
/// Divided by both weights it is how far their services per unit of weight can be apart. As `phi_i * w_j = phi_j * w_i`, the
/// fluid parts cancel and the change of both lags is left: `(3 L + 1) * (w_i + w_j)`.
#[must_use]
pub fn pairwise_gap_max(occupancy_max: Nanos, i: Weight, j: Weight) -> i128 {
    share_error_max(occupancy_max, 1) * i128::from(i.get() + j.get())
}

/// Returns the longest busy time, in ns, that a runnable node of `weight` among siblings of `total` weight, its own included,
/// goes without being served: nobody starves.
///
/// Its lag grows by `phi` for every ns it waits, and has no more than [`share_error_max`] to grow.
#[must_use]
pub fn wait_max(occupancy_max: Nanos, weight: Weight, total: u64) -> u128 {
    (share_error_max(occupancy_max, 1).unsigned_abs() * u128::from(total)).div_ceil(u128::from(weight.get()))
}

/// Returns the longest from [`Wake::Preempt`](crate::Wake::Preempt) to the waker's turn, while nobody is behind by L and no
/// other warped member comes before it: what is left of L when a slice is over, the time a holder has to stop and switch.
///
/// The holder is asked to stop at once, and its caller sees that it does within that. Virtual time moves on meanwhile, by which
/// others become eligible, at positions later than the waker's; its deadline *is* its position, so theirs are later too. Only
/// a member that falls behind by L within that time, or a warped one that stands further back, comes first.
#[must_use]
pub fn wake_latency_max(config: &Config) -> Nanos {
    Nanos(config.occupancy_max.0 - config.slice.0)
}
