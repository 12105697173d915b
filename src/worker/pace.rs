//! How fast a tenant may ask: a bucket of tokens, so that its requests cost the broker a bounded share of its time.

/// Requests in a burst: what a large program asks for while it starts.
const BURST: u64 = 4_096;
/// Nanoseconds per request in the long run: 20,000 a second.
const COST_NS: u64 = 50_000;

/// See the module.
pub(super) struct Pace {
    /// When the bucket will be full, if nothing more is asked.
    full_at: u64,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { full_at: 0 }
    }

    /// Takes note of a request and returns how many nanoseconds it has to wait.
    pub(super) fn delay(&mut self, now: u64) -> u64 {
        self.full_at = self.full_at.max(now) + COST_NS;
        (self.full_at - now).saturating_sub(BURST * COST_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_a_stream_is_not() {
        let mut pace = Pace::new();
        assert!((0..BURST).all(|_| pace.delay(1_000) == 0));
        assert_eq!(pace.delay(1_000), COST_NS);
        assert_eq!(pace.delay(1_000 + 2 * COST_NS), 0, "having waited, it may go on");
        let later = 1_000 + BURST * COST_NS * 3;
        assert!((0..BURST).all(|_| pace.delay(later) == 0), "the bucket is full again, and not fuller");
        assert!(pace.delay(later) > 0);
    }
}
