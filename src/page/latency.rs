//! How long requests took: counts by bucket, and the quantiles that can be told from them.

use std::ops::AddAssign;

use crate::page::reading::Reading;
use crate::page::reading::Sample;
use crate::telemetry::metrics::DURATION_BOUNDS;

/// How many buckets there are: one below each bound, and one above all.
const BUCKETS: usize = DURATION_BOUNDS.len() + 1;

/// How many requests took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency([u32; BUCKETS]);

/// How many requests of a branch took how long since the gate started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted([u64; BUCKETS]);

impl Counted {
    /// Reads the histogram of a branch.
    pub fn of(reading: &Reading, branch: &str) -> Self {
        let mut counted = Self::default();
        let mut before = 0;
        let buckets = reading.all("request_duration_seconds_bucket").filter(|sample| sample.label("branch") == branch);
        // they come in the order of their bounds, each with what is below it
        for (slot, up_to) in counted.0.iter_mut().zip(buckets.map(Sample::count)) {
            *slot = up_to.saturating_sub(before);
            before = up_to;
        }
        counted
    }

    /// Returns what has come since.
    pub fn since(&self, before: &Self) -> Latency {
        let mut latency = Latency::default();
        for (slot, (now, before)) in latency.0.iter_mut().zip(self.0.iter().zip(before.0)) {
            *slot = u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        }
        latency
    }
}

impl Latency {
    /// Returns how many requests there were.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|count| u64::from(*count)).sum()
    }

    /// Returns the time in milliseconds that this part of the requests stayed below; nothing if there were none.
    ///
    /// Within a bucket the times are taken to be spread evenly, as Prometheus' `histogram_quantile` does. What is above
    /// all bounds is told as the last bound.
    pub fn quantile_ms(&self, part: f64) -> Option<f64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let mut rank = precise(total) * part;
        let mut low = 0.0;
        for (count, high) in self.0.iter().zip(DURATION_BOUNDS) {
            let count = f64::from(*count);
            if rank <= count && count > 0.0 {
                return Some(rounded((low + (high - low) * rank / count) * 1e3));
            }
            rank -= count;
            low = high;
        }
        Some(rounded(low * 1e3))
    }
}

impl AddAssign for Latency {
    fn add_assign(&mut self, other: Self) {
        for (slot, more) in self.0.iter_mut().zip(other.0) {
            *slot = slot.saturating_add(more);
        }
    }
}

/// To the microsecond: more would be a lie.
fn rounded(millis: f64) -> f64 {
    (millis * 1e3).round() / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "an hour has fewer than 2^53 requests")]
fn precise(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Counted;
    use super::Latency;
    use crate::page::reading::Reading;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::metrics::RequestLabels;

    fn taken(times_ms: &[u64]) -> Latency {
        let metrics = Metrics::default();
        let before = Counted::of(&Reading::of(&metrics.encode()), "member_update");
        let labels = RequestLabels { branch: "member_update", verdict: "permitted", code: 200 };
        for time in times_ms {
            metrics.request(&labels, Duration::from_millis(*time));
        }
        Counted::of(&Reading::of(&metrics.encode()), "member_update").since(&before)
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let latency = taken(&[2, 2, 2, 2, 2, 2, 2, 2, 2, 200]);
        assert_eq!(latency.count(), 10);
        let median = latency.quantile_ms(0.5).expect("requests");
        assert!((1.0..=2.5).contains(&median), "{median}");
        let most = latency.quantile_ms(0.99).expect("requests");
        assert!((50.0..=250.0).contains(&most), "{most}");
    }

    #[test]
    fn nothing_has_no_quantile_and_far_too_much_has_the_last_bound() {
        assert_eq!(Latency::default().quantile_ms(0.5), None);
        assert_eq!(taken(&[400_000]).quantile_ms(0.5), Some(300_000.0));
    }

    #[test]
    fn windows_add_up() {
        let mut both = taken(&[1, 2]);
        both += taken(&[300]);
        assert_eq!(both.count(), 3);
    }
}
