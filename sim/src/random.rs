//! Chance, from a seed.
//!
//! Promise: a stream depends on the seed and its own number only. Every model tenant draws from a stream of its own, so
//! what one does never changes what another does: two worlds that differ in one tenant are otherwise the same.

use oorandom::Rand64;
use proto::Nanos;

/// A range of times, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
}

impl Span {
    /// Returns the range from `min` to `max` microseconds.
    pub const fn micros(min: u64, max: u64) -> Self {
        Self { min: min * 1_000, max: max * 1_000 }
    }

    /// Returns the range from `min` to `max` milliseconds.
    pub const fn millis(min: u64, max: u64) -> Self {
        Self::micros(min * 1_000, max * 1_000)
    }
}

/// How long kernels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// Every length of a range is as likely.
    Even(Span),
    /// Every order of magnitude is as likely: many short ones, a few long ones.
    Skewed(Span),
}

/// A stream of random numbers.
#[derive(Debug)]
pub struct Random(Rand64);

impl Random {
    /// Returns stream `number` of a seed.
    pub fn stream(seed: u64, number: u64) -> Self {
        let mut random = Self(Rand64::new_inc(u128::from(seed) << 64 | u128::from(number), u128::from(number)));
        // Seeds that differ in few bits begin alike; after a few steps they do not.
        for _ in 0..4 {
            random.0.rand_u64();
        }
        random
    }

    /// Returns a number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.rand_range(0..end) }
    }

    /// Returns an index of a slice with `len` elements.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Returns whether something happens that happens once in `n` times; never if that is 0.
    pub fn one_in(&mut self, n: u32) -> bool {
        n > 0 && self.below(u64::from(n)) == 0
    }

    /// Returns a number from `min` to `max`.
    pub fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.below(max.saturating_sub(min) + 1)
    }

    /// Returns a time of a range.
    pub fn within(&mut self, span: Span) -> Nanos {
        Nanos(self.between(span.min, span.max))
    }

    /// Returns the length of a kernel, at least 1 ns.
    pub fn length(&mut self, lengths: Lengths) -> u64 {
        match lengths {
            Lengths::Even(span) => self.within(span).0.max(1),
            Lengths::Skewed(Span { min, max }) => {
                let (low, high) = (min.max(1).ilog2(), max.max(1).ilog2());
                let power = self.between(u64::from(low), u64::from(high.max(low)));
                self.between(1 << power, (2 << power) - 1).clamp(min.max(1), max.max(1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_differ() {
        let draw = |seed, number| {
            let mut random = Random::stream(seed, number);
            [random.below(1 << 40), random.below(1 << 40)]
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(2, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 1));
    }

    #[test]
    fn lengths_stay_in_their_range() {
        let mut random = Random::stream(1, 1);
        let span = Span::micros(5, 50_000);
        for _ in 0..10_000 {
            for lengths in [Lengths::Even(span), Lengths::Skewed(span)] {
                assert!((span.min..=span.max).contains(&random.length(lengths)));
            }
        }
    }
}
