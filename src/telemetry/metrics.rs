//! The metrics, in Prometheus' words: one prefix, base units, no label that a client chooses.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

use crate::telemetry::life::Life;

/// The bounds of the duration histograms, in seconds: from a cached check to a stalled Keystone.
const DURATION_BOUNDS: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 300.0];

/// Labels of `requests_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// Which way the request took.
    pub branch: &'static str,
    /// What became of it.
    pub verdict: &'static str,
    /// The status of the answer.
    pub code: u16,
}

/// Labels of `refusals_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RefusalLabels {
    /// The stable label of the refusal.
    pub reason: &'static str,
    /// `enforced`, or `observed` when the call was forwarded all the same.
    pub mode: &'static str,
}

/// Labels of `cache_requests_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CacheLabels {
    /// `token` or `ownership`.
    pub cache: &'static str,
    /// `hit`, `negative_hit`, `miss` or `stale`.
    pub result: &'static str,
}

/// Labels of the metrics of one neighbour's calls.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct NeighbourLabels {
    /// `keystone`, or the address of an upstream.
    pub neighbour: String,
    /// `ok`, or what went wrong.
    pub outcome: &'static str,
}

/// Label of a histogram by branch.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BranchLabel {
    /// Which way the request took.
    pub branch: &'static str,
}

/// Label of a gauge by upstream.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct UpstreamLabel {
    /// The upstream's address, as configured.
    pub upstream: String,
}

/// All metrics; cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Families>);

/// The metrics by name.
#[derive(Debug)]
pub struct Families {
    /// Requests by branch, verdict and code.
    pub requests: Family<RequestLabels, Counter>,
    /// Refusals by reason.
    pub refusals: Family<RefusalLabels, Counter>,
    /// From the head of the request to the end of the answer.
    pub durations: Family<BranchLabel, Histogram>,
    /// Requests that are being worked on.
    pub in_flight: Gauge,
    /// Client connections.
    pub connections: Gauge,
    /// Cache look-ups.
    pub cache_requests: Family<CacheLabels, Counter>,
    /// Calls to Keystone and to the upstreams.
    pub neighbour_requests: Family<NeighbourLabels, Counter>,
    /// One where the last health check passed, else zero.
    pub upstream_healthy: Family<UpstreamLabel, Gauge>,
    /// The configuration and its changes.
    pub life: Life,
}

impl Default for Families {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            refusals: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATION_BOUNDS)),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            cache_requests: Family::default(),
            neighbour_requests: Family::default(),
            upstream_healthy: Family::default(),
            life: Life::default(),
        }
    }
}

impl Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.0
    }
}

impl Metrics {
    /// Writes all metrics in the `OpenMetrics` text format.
    pub fn encode(&self) -> String {
        let mut registry = Registry::with_prefix("glance_gate");
        registry.register("build", "Version of the gate", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("requests", "Requests by branch, verdict and code", self.requests.clone());
        registry.register("refusals", "Refusals by reason and mode", self.refusals.clone());
        let durations = self.durations.clone();
        registry.register_with_unit("request_duration", "Time to the end of the answer", Unit::Seconds, durations);
        registry.register("in_flight_requests", "Requests being worked on", self.in_flight.clone());
        registry.register("connections", "Client connections", self.connections.clone());
        registry.register("cache_requests", "Cache look-ups by cache and result", self.cache_requests.clone());
        registry.register("neighbour_requests", "Calls to Keystone and upstreams", self.neighbour_requests.clone());
        registry.register("upstream_healthy", "Whether the last health check passed", self.upstream_healthy.clone());
        self.life.register(&mut registry);
        let mut out = String::new();
        // writing to a string fails only if a metric's own Display does, and none here can
        let _ = text::encode(&mut out, &registry);
        out
    }

    /// Counts a cache look-up.
    pub fn cache(&self, cache: &'static str, result: &'static str) {
        self.cache_requests.get_or_create(&CacheLabels { cache, result }).inc();
    }

    /// Counts a call to a neighbour.
    pub fn neighbour(&self, neighbour: &str, outcome: &'static str) {
        self.neighbour_requests.get_or_create(&NeighbourLabels { neighbour: neighbour.into(), outcome }).inc();
    }

    /// Counts a request that is done.
    pub fn request(&self, labels: &RequestLabels, took: Duration) {
        self.requests.get_or_create(labels).inc();
        self.durations.get_or_create(&BranchLabel { branch: labels.branch }).observe(took.as_secs_f64());
    }
}
