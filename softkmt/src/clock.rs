//! One clock for everything: signal timestamps, the GPU's counter and the host's are all CLOCK_MONOTONIC in nanoseconds.

/// Returns nanoseconds since some fixed moment.
pub(crate) fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the structure it is given; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
