//! The one clock: CLOCK_MONOTONIC, in nanoseconds. Everything that leaves a process as a time is of this clock.

/// Returns the time now.
pub fn now_ns() -> u64 {
    sys::clock::now_ns()
}
