//! Times as they are told: in milliseconds.

use std::time::Duration;

/// Returns whole milliseconds.
pub fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns milliseconds, to the microsecond.
pub fn precise(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
