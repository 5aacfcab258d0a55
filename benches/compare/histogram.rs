//! Latencies, counted in buckets that are at most 1.6 % wide.

use std::time::Duration;

/// How many buckets there are between a power of two and the next.
const STEPS: u64 = 64;

/// The counts.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(STEPS);
        let shift = u64::from(nanoseconds.ilog2() - STEPS.ilog2());
        let bucket = usize::try_from(shift * STEPS + (nanoseconds >> shift) - STEPS).unwrap_or_default();
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
    }

    /// Returns the microseconds that this many of 1,000 took at most.
    pub fn per_mille(&self, share: u64) -> f64 {
        let wanted = (self.count * share).div_ceil(1000);
        let mut seen = 0;
        for (bucket, count) in (0_u32..).zip(&self.buckets) {
            seen += count;
            if seen >= wanted && wanted > 0 {
                let (shift, step) = (u64::from(bucket) / STEPS, u64::from(bucket) % STEPS);
                return Duration::from_nanos((STEPS + step) << shift).as_secs_f64() * 1e6;
            }
        }
        0.0
    }
}
