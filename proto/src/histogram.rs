//! The buckets of a latency histogram that one process fills and another reads.
//!
//! Log-linear: the first 128 buckets are one nanosecond wide, and from there every doubling has 128 buckets of equal width. A bucket
//! is therefore never wider than 1/128 of its lowest value (0.8 %), up to [`HIGHEST`]; longer times count there. The
//! writer adds one to a `u64` per sample, the reader copies all of them whenever it likes.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::ids::Nanos;

/// Buckets per doubling, as a power of two.
const SUB_BITS: u32 = 7;
/// Values have at most this many bits: 2^42 ns are 73 minutes.
const VALUE_BITS: u32 = 42;

/// Number of buckets.
pub const BUCKETS: usize = (((VALUE_BITS - SUB_BITS) + 1) << SUB_BITS) as usize;
/// Highest value told apart.
pub const HIGHEST: Nanos = Nanos((1 << VALUE_BITS) - 1);
/// Size of a histogram in bytes.
pub const BYTES: usize = BUCKETS * 8;

/// Returns the bucket of a value.
#[inline]
pub fn bucket_of(value: Nanos) -> usize {
    let v = value.0.min(HIGHEST.0);
    // How far v must be shifted so that it has SUB_BITS + 1 bits; none for small values.
    let shift = (u64::BITS - v.leading_zeros()).saturating_sub(SUB_BITS + 1);
    // The leading one bit of (v >> shift) counts as the bucket before, hence no -1 for the exponent.
    ((u64::from(shift) << SUB_BITS) + (v >> shift)) as usize
}

/// Counts a value; `at` gives the counter of a bucket by its offset in bytes. Only one thread may count in one histogram.
#[inline]
pub fn record<'a>(at: impl FnOnce(usize) -> &'a AtomicU64, value: Nanos) {
    let counter = at(bucket_of(value) * 8);
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Returns the lowest and the highest value of a bucket.
pub fn bounds_of(bucket: usize) -> (Nanos, Nanos) {
    let b = bucket.min(BUCKETS - 1) as u64;
    let shift = (b >> SUB_BITS).saturating_sub(1);
    let low = (b - (shift << SUB_BITS)) << shift;
    (Nanos(low), Nanos(low + (1 << shift) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_gap() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (low, high) = bounds_of(bucket);
            assert_eq!(low.0, next, "bucket {bucket}");
            assert_eq!((bucket_of(low), bucket_of(high)), (bucket, bucket));
            assert!(low.0 < 128 || (high.0 - low.0 + 1) * 128 <= low.0);
            next = high.0 + 1;
        }
        assert_eq!(next - 1, HIGHEST.0);
    }

    proptest! {
        #[test]
        fn every_value_has_a_bucket(value in any::<u64>(), bits in 0..64u32) {
            prop_assert!(bucket_of(Nanos(value >> bits)) < BUCKETS);
        }
    }
}
