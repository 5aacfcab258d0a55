//! What counts a request, found without hashing: there are few sets of labels, and every request needs one.

use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::telemetry::metrics::RequestLabels;

/// The counters that were found before, by their labels.
#[derive(Debug)]
pub struct Known {
    slots: Box<[OnceLock<(RequestLabels, Counts)>]>,
}

/// What counts the requests of some labels.
#[derive(Clone, Debug)]
pub struct Counts {
    /// How many there were.
    pub requests: Counter,
    /// How long they took.
    pub durations: Histogram,
}

/// How many sets of labels are told apart; those that share a slot with an earlier one are looked up each time.
const SLOTS: usize = 64;

impl Default for Known {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| OnceLock::new()).collect() }
    }
}

impl Known {
    /// Hands over what counts requests of these labels, which is looked up the first time.
    pub fn with(&self, labels: &RequestLabels, look_up: impl FnOnce() -> Counts, count: impl FnOnce(&Counts)) {
        let place = usize::from(labels.code) + 7 * labels.branch.len() + 13 * labels.verdict.len();
        let Some(slot) = self.slots.get(place % SLOTS) else { return count(&look_up()) };
        match slot.get() {
            Some((known, counts)) if known == labels => count(counts),
            Some(_) => count(&look_up()),
            None => {
                let counts = look_up();
                count(&counts);
                // somebody else may have been faster
                let _ = slot.set((labels.clone(), counts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::metrics::RequestLabels;

    #[test]
    fn each_set_of_labels_has_its_own_count_also_where_it_shares_a_slot() {
        let metrics = Metrics::default();
        let all = || {
            let labels = |code| ["permitted", "refused"].map(|verdict| (code, verdict));
            (200_u16..=599).flat_map(labels).map(|(code, verdict)| RequestLabels { branch: "unrouted", verdict, code })
        };
        for _ in 0..3 {
            all().for_each(|labels| metrics.request(&labels, Duration::from_millis(1)));
        }
        assert!(all().all(|labels| metrics.requests.get_or_create(&labels).get() == 3));
        assert!(metrics.encode().contains("glance_gate_request_duration_seconds_count{branch=\"unrouted\"} 2400\n"));
    }
}
