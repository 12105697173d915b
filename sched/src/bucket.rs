//! A cap as a token bucket: filled at the capped rate up to one slice, emptied by service.
//!
//! Exact: the level is in ns times millionths, so neither filling nor emptying rounds. Over any span `t` a node receives at
//! most `cap * t` plus one slice plus the overrun of its last occupancy; the overrun is a debt of the bucket and is waited for.

use crate::units::{Instant, Nanos, Share};

const WHOLE: i128 = Share::WHOLE.millionths() as i128;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    rate: Share,
    level: i128,
    filled: Instant,
}

impl Bucket {
    /// Returns a full bucket.
    pub(crate) fn new(rate: Share, slice_ns: u64, now: Instant) -> Bucket {
        Bucket { rate, level: i128::from(slice_ns) * WHOLE, filled: now }
    }

    /// Changes the rate from `now` on; what was spent stays spent.
    pub(crate) fn set_rate(&mut self, rate: Share, slice_ns: u64, now: Instant) {
        self.spend(0, slice_ns, now);
        self.rate = rate;
    }

    /// Takes `service_ns` out, received in the time up to `now`.
    pub(crate) fn spend(&mut self, service_ns: u64, slice_ns: u64, now: Instant) {
        let filled = i128::from(now.since(self.filled).0) * i128::from(self.rate.millionths());
        let spent = i128::from(service_ns) * WHOLE;
        // What flows in while service flows out does not overflow.
        self.level = (self.level + filled - spent).min(i128::from(slice_ns) * WHOLE);
        self.filled = self.filled.max(now);
    }

    /// Returns when the bucket is out of debt, or `None` if it is not in debt.
    pub(crate) fn in_debt_until(&self) -> Option<Instant> {
        if self.level >= 0 {
            return None;
        }
        let rate = i128::from(self.rate.millionths());
        let wait = (-self.level + rate - 1) / rate;
        Some(self.filled.after(Nanos(u64::try_from(wait).unwrap_or(u64::MAX))))
    }
}
