//! The metrics of rate limits: how many requests each has counted. Labels are an operator's names, never a client's.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted of limits; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Limiting {
    requests: Family<LimitLabels, Counter>,
    /// How many counts are kept.
    pub keys: Gauge,
}

/// Labels of `limited_requests_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LimitLabels {
    /// The limit, by its name in the file.
    pub limit: String,
    /// Who is counted together.
    pub group: &'static str,
    /// `admitted`, or `over`.
    pub outcome: &'static str,
}

/// The counters of one limit.
#[derive(Clone, Debug)]
pub struct LimitCounts {
    /// Requests within it.
    pub admitted: Counter,
    /// Requests over it.
    pub over: Counter,
}

impl Limiting {
    /// Returns the counters of a limit.
    pub fn of(&self, limit: &str, group: &'static str) -> LimitCounts {
        let counter = |outcome| self.requests.get_or_create_owned(&LimitLabels { limit: limit.into(), group, outcome });
        LimitCounts { admitted: counter("admitted"), over: counter("over") }
    }

    /// Adds these metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("limited_requests", "Requests by the limit that counted them", self.requests.clone());
        registry.register("limit_keys", "Counts that are kept for limits", self.keys.clone());
    }
}
