//! The slice that meets an efficiency at the measured price of a switch, and whether it meets a latency too.
//!
//! With a switch that costs `c`, a slice `s` leaves `s / (s + c)` of the device to its users, and the last of `n` equal tenants
//! waits about `(n - 1) (s + c)` for its turn. So an efficiency `eta` asks for `s >= c eta / (1 - eta)`: 19 c for 95 %, 49 c for
//! 98 %, 99 c for 99 %; and a wait of at most `T` asks for `s <= T / (n - 1) - c`. The slice chosen is the shortest that is
//! efficient. Where it is longer than the wait allows, both cannot be had: efficiency is kept, and the [`Outlook`] says so.
//!
//! Promise: a slice is within its limits and at least ten times as long as timers are late (at the 99th percentile); it changes at
//! most once in [`REVIEW`] switches, and only by more than a fifth, so that noise does not move it. Constant memory, no
//! allocation, integers.

use crate::params::Config;
use crate::units::{Nanos, Share};

/// Switches between two reviews. The price is the median of that many.
pub const REVIEW: usize = 32;
/// Timers whose lateness is remembered.
const TIMERS: usize = 128;
/// How many times longer than timers are late a slice is.
const TIMELY: u64 = 10;

/// What an admin asks of the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The part of the device that switches leave to its users, at least. Below the whole.
    pub efficiency: Share,
    /// How long the last of equal tenants waits for its turn, at most; `None` if that does not matter.
    pub wait: Option<Nanos>,
    /// The shortest slice.
    pub slice_min: Nanos,
    /// The longest slice.
    pub slice_max: Nanos,
}

/// What the slice in force comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The slice.
    pub slice: Nanos,
    /// Median price of a switch.
    pub switch_cost: Nanos,
    /// The part of the device that switches leave when all are busy.
    pub efficiency: Share,
    /// Most sessions that wanted the device at a time since the last review.
    pub active: u32,
    /// How long the last of that many waits.
    pub wait: Nanos,
    /// Whether that is what was asked for.
    pub verdict: Verdict,
}

/// Whether the targets are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Fewer than [`REVIEW`] switches so far: nothing is known.
    Unknown,
    /// Both are.
    Met,
    /// Efficiency is, the wait is not: a slice short enough would spend too much on switches.
    WaitMissed,
    /// Even the longest slice allowed spends too much on switches.
    EfficiencyMissed,
}

/// Measures and decides; see the module.
#[derive(Clone, Debug)]
pub struct Pacer {
    targets: Targets,
    slice: u64,
    costs: [u64; REVIEW],
    switches: usize,
    lateness: [u64; TIMERS],
    timers: usize,
    cost: u64,
    /// Most active sessions since the last review, and before that.
    active: u32,
    active_then: u32,
    verdict: Verdict,
}

impl Pacer {
    /// Returns one that begins with `slice`, moved into the limits.
    #[must_use]
    pub fn new(targets: Targets, slice: Nanos) -> Pacer {
        let most = targets.slice_max.0.clamp(1, Config::OCCUPANCY_LIMIT.0);
        Pacer {
            targets: Targets {
                slice_max: Nanos(most),
                slice_min: Nanos(targets.slice_min.0.clamp(1, most)),
                ..targets
            },
            slice: slice.0.clamp(targets.slice_min.0.clamp(1, most), most),
            costs: [0; REVIEW],
            switches: 0,
            lateness: [0; TIMERS],
            timers: 0,
            cost: 0,
            active: 0,
            active_then: 0,
            verdict: Verdict::Unknown,
        }
    }

    /// Returns what was asked for.
    #[must_use]
    pub fn targets(&self) -> Targets {
        self.targets
    }

    /// Returns the slice in force.
    #[must_use]
    pub fn slice(&self) -> Nanos {
        Nanos(self.slice)
    }

    /// Takes note of how many sessions want the device.
    pub fn note_active(&mut self, sessions: u32) {
        self.active = self.active.max(sessions);
    }

    /// Takes note of a timer that came `late`.
    pub fn note_timer(&mut self, late: Nanos) {
        self.lateness[self.timers % TIMERS] = late.0;
        self.timers += 1;
    }

    /// Takes note of a switch between two sessions, and returns the new slice if it is time for one.
    pub fn note_switch(&mut self, cost: Nanos) -> Option<Nanos> {
        self.costs[self.switches % REVIEW] = cost.0;
        self.switches += 1;
        if !self.switches.is_multiple_of(REVIEW) {
            return None;
        }
        self.costs.sort_unstable();
        self.cost = self.costs[REVIEW / 2];
        self.active_then = core::mem::take(&mut self.active).max(1);
        let efficient = self.efficient();
        let (floor, most) = (self.floor(), self.targets.slice_max.0);
        let wanted = efficient.clamp(floor, most);
        let changes = wanted.abs_diff(self.slice) > self.slice / 5 || self.slice < floor;
        if changes {
            self.slice = wanted;
        }
        // Judged with the slack that the slice is given before it follows.
        self.verdict = if efficient - efficient / 5 > self.slice {
            Verdict::EfficiencyMissed
        } else if self.targets.wait.is_some_and(|most| self.wait() > most.0 + most.0 / 5) {
            Verdict::WaitMissed
        } else {
            Verdict::Met
        };
        changes.then_some(Nanos(self.slice))
    }

    /// Returns what the slice in force comes to.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        let whole = u64::from(Share::WHOLE.millionths());
        let used = self.slice.saturating_mul(whole) / (self.slice + self.cost);
        Outlook {
            slice: Nanos(self.slice),
            switch_cost: Nanos(self.cost),
            // PANIC-free: a slice of nothing is not possible, and what rounds to nothing is one millionth.
            efficiency: Share::from_millionths(used.max(1) as u32).unwrap_or(Share::WHOLE),
            active: self.active_then,
            wait: Nanos(self.wait()),
            verdict: self.verdict,
        }
    }

    /// The shortest slice that is efficient.
    fn efficient(&self) -> u64 {
        let whole = u64::from(Share::WHOLE.millionths());
        let asked = u64::from(self.targets.efficiency.millionths());
        self.cost.saturating_mul(asked).div_ceil((whole - asked).max(1))
    }

    fn wait(&self) -> u64 {
        u64::from(self.active_then.saturating_sub(1)).saturating_mul(self.slice + self.cost)
    }

    fn floor(&self) -> u64 {
        let mut late = self.lateness;
        let known = &mut late[..self.timers.min(TIMERS)];
        known.sort_unstable();
        let p99 = known.get((known.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0);
        p99.saturating_mul(TIMELY).clamp(self.targets.slice_min.0, self.targets.slice_max.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(percent: u32, wait_ms: Option<u64>) -> Targets {
        Targets {
            efficiency: Share::from_percent(percent).unwrap(),
            wait: wait_ms.map(Nanos::from_millis),
            slice_min: Nanos::from_micros(100),
            slice_max: Nanos::from_millis(100),
        }
    }

    /// Plays `reviews` rounds of switches that cost `cost` among `active`.
    fn play(pacer: &mut Pacer, reviews: usize, cost: Nanos, active: u32) {
        for _ in 0..reviews * REVIEW {
            pacer.note_active(active);
            pacer.note_switch(cost);
        }
    }

    #[test]
    fn slice_is_19_49_or_99_times_the_price_of_a_switch() {
        for (percent, times) in [(95, 19), (98, 49), (99, 99)] {
            let mut pacer = Pacer::new(targets(percent, None), Nanos::from_millis(100));
            play(&mut pacer, 1, Nanos::from_micros(50), 4);
            assert_eq!(pacer.slice(), Nanos::from_micros(50 * times));
            let outlook = pacer.outlook();
            assert_eq!((outlook.verdict, outlook.efficiency), (Verdict::Met, Share::from_percent(percent).unwrap()));
        }
    }

    #[test]
    fn targets_that_exclude_each_other_are_said_to() {
        // 19 x 100 us = 1.9 ms for 95 %; among eleven the last waits 20 ms.
        let mut pacer = Pacer::new(targets(95, Some(30)), Nanos::from_millis(5));
        play(&mut pacer, 2, Nanos::from_micros(100), 11);
        assert_eq!((pacer.outlook().wait, pacer.outlook().verdict), (Nanos::from_millis(20), Verdict::Met));
        let mut pacer = Pacer::new(targets(95, Some(10)), Nanos::from_millis(5));
        play(&mut pacer, 2, Nanos::from_micros(100), 11);
        assert_eq!((pacer.slice(), pacer.outlook().verdict), (Nanos::from_micros(1_900), Verdict::WaitMissed));
        // With fewer there is no contradiction any more.
        play(&mut pacer, 2, Nanos::from_micros(100), 3);
        assert_eq!(pacer.outlook().verdict, Verdict::Met);
        // A switch that costs more than the longest slice can carry.
        let mut pacer = Pacer::new(targets(99, None), Nanos::from_millis(5));
        play(&mut pacer, 2, Nanos::from_millis(20), 3);
        assert_eq!((pacer.slice(), pacer.outlook().verdict), (Nanos::from_millis(100), Verdict::EfficiencyMissed));
    }

    #[test]
    fn noise_does_not_move_the_slice_and_a_change_does() {
        let mut pacer = Pacer::new(targets(95, None), Nanos::from_micros(1_900));
        for round in 0..20 {
            play(&mut pacer, 1, Nanos::from_micros(85 + round % 3 * 15), 4);
        }
        assert_eq!(pacer.slice(), Nanos::from_micros(1_900));
        // A single outlier is not the median.
        pacer.note_switch(Nanos::from_millis(500));
        for _ in 1..REVIEW {
            assert_eq!(pacer.note_switch(Nanos::from_micros(100)), None);
        }
        play(&mut pacer, 1, Nanos::from_micros(200), 4);
        assert_eq!(pacer.slice(), Nanos::from_micros(3_800));
    }

    #[test]
    fn slice_is_ten_times_what_timers_are_late() {
        let mut pacer = Pacer::new(targets(95, None), Nanos::from_micros(100));
        (0..200).for_each(|n| pacer.note_timer(Nanos::from_micros(if n % 50 == 0 { 150 } else { 20 })));
        play(&mut pacer, 1, Nanos::from_micros(1), 2);
        assert_eq!(pacer.slice(), Nanos::from_micros(1_500));
    }
}
