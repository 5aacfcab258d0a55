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

use crate::telemetry::contract_answers::ContractAnswers;
use crate::telemetry::differences::Differences;
use crate::telemetry::fleet::Fleet;
use crate::telemetry::judgement::Judgement;
use crate::telemetry::known::Counts;
use crate::telemetry::known::Known;
use crate::telemetry::life::Life;
use crate::telemetry::limiting::Limiting;
use crate::telemetry::outlets::Outlets;
use crate::telemetry::shadows::Shadows;
use crate::telemetry::upstreams::UpstreamLabel;
use crate::telemetry::upstreams::UpstreamStateLabels;

/// The bounds of the duration histograms, in seconds: from a cached check to a stalled Keystone.
pub const DURATION_BOUNDS: [f64; 12] =
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
    /// `enforced`; or `observed` or `off` when the call was forwarded all the same.
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

/// Label of a histogram by neighbour.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct NeighbourLabel {
    /// `keystone`, or the address of an upstream.
    pub neighbour: String,
}

/// Label of a histogram by branch.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BranchLabel {
    /// Which way the request took.
    pub branch: &'static str,
}

/// Label of what a listener's certificate is told by.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ListenerLabel {
    /// `main`: where clients connect to.
    pub listener: &'static str,
}

/// Label of a counter by outcome.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// What became of it.
    pub outcome: &'static str,
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
    /// From a call's last byte to the head of its answer; without those of which a client still sends the body.
    pub neighbour_durations: Family<NeighbourLabel, Histogram>,
    /// One where the last health check passed, else zero.
    pub upstream_healthy: Family<UpstreamLabel, Gauge>,
    /// The configuration and its changes.
    pub life: Life,
    /// The rules and what Glance said to their verdicts.
    pub judgement: Judgement,
    /// What limits have counted.
    pub limiting: Limiting,
    /// One at the state that each upstream's breaker has, else zero.
    pub upstream_state: Family<UpstreamStateLabels, Gauge>,
    /// Requests that each upstream has, up to the end of their answers.
    pub upstream_in_flight: Family<UpstreamLabel, Gauge>,
    /// Connections to each upstream, in use or kept.
    pub upstream_connections: Family<UpstreamLabel, Gauge>,
    /// Requests that went on to another upstream.
    pub upstream_retries: Family<OutcomeLabel, Counter>,
    /// Requests that wait for the head of an answer, as the adaptive limit counts them.
    pub waiting: Gauge,
    /// How many of them there may be; zero while the limit is off.
    pub adaptive_limit: Gauge,
    /// When the listener's certificate ends, in seconds since 1970; nothing where there is no TLS.
    pub certificate_expiry: Family<ListenerLabel, Gauge>,
    /// How often the listener's files were found changed, and how often they could not be used.
    pub certificate_reloads: Family<OutcomeLabel, Counter>,
    /// Handshakes of the listener.
    pub tls_handshakes: Family<OutcomeLabel, Counter>,
    /// Connections by what their PROXY header was.
    pub proxy_headers: Family<OutcomeLabel, Counter>,
    /// Which of `requests` and `durations` were found before.
    known: Known,
    /// Answers about members by their schema.
    pub contract: ContractAnswers,
    /// Spans and log lines.
    pub outlets: Outlets,
    /// Copies of the traffic.
    pub shadows: Shadows,
    /// What staging answers otherwise.
    pub differences: Differences,
    /// What other gates and `OpenStack`'s bus tell.
    pub fleet: Fleet,
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
            neighbour_durations: Family::new_with_constructor(|| Histogram::new(DURATION_BOUNDS)),
            upstream_healthy: Family::default(),
            life: Life::default(),
            judgement: Judgement::default(),
            limiting: Limiting::default(),
            upstream_state: Family::default(),
            upstream_in_flight: Family::default(),
            upstream_connections: Family::default(),
            upstream_retries: Family::default(),
            waiting: Gauge::default(),
            adaptive_limit: Gauge::default(),
            certificate_expiry: Family::default(),
            certificate_reloads: Family::default(),
            tls_handshakes: Family::default(),
            proxy_headers: Family::default(),
            known: Known::default(),
            contract: ContractAnswers::default(),
            outlets: Outlets::default(),
            shadows: Shadows::default(),
            differences: Differences::default(),
            fleet: Fleet::default(),
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
        let durations = self.neighbour_durations.clone();
        let help = "Time to the head of a neighbour's answer";
        registry.register_with_unit("neighbour_request_duration", help, Unit::Seconds, durations);
        registry.register("upstream_healthy", "Whether the last health check passed", self.upstream_healthy.clone());
        self.life.register(&mut registry);
        self.judgement.register(&mut registry);
        self.limiting.register(&mut registry);
        self.register_upstreams(&mut registry);
        let expiry = self.certificate_expiry.clone();
        let help = "When the listener's certificate ends, in seconds since 1970";
        registry.register_with_unit("certificate_expiry_timestamp", help, Unit::Seconds, expiry);
        let reloads = self.certificate_reloads.clone();
        registry.register("certificate_reloads", "Changes of the listener's certificate by outcome", reloads);
        registry.register("tls_handshakes", "Handshakes of the listener by outcome", self.tls_handshakes.clone());
        registry.register("proxy_headers", "Connections by their PROXY header", self.proxy_headers.clone());
        self.contract.register(&mut registry);
        self.outlets.register(&mut registry);
        self.shadows.register(&mut registry);
        self.differences.register(&mut registry);
        self.fleet.register(&mut registry);
        let mut out = String::new();
        // writing to a string fails only if a metric's own Display does, and none here can
        let _ = text::encode(&mut out, &registry);
        out
    }

    /// Returns the counter of a cache's look-ups that end like this.
    pub fn cache(&self, cache: &'static str, result: &'static str) -> Counter {
        self.cache_requests.get_or_create_owned(&CacheLabels { cache, result })
    }

    /// Counts a call to a neighbour.
    pub fn neighbour(&self, neighbour: &str, outcome: &'static str) {
        self.neighbour_requests.get_or_create(&NeighbourLabels { neighbour: neighbour.into(), outcome }).inc();
    }

    /// Returns the histogram of how long a neighbour takes to answer.
    pub fn neighbour_duration(&self, neighbour: &str) -> Histogram {
        self.neighbour_durations.get_or_create_owned(&NeighbourLabel { neighbour: neighbour.into() })
    }

    /// Tells when the listener's certificate ends.
    pub fn certificate_expiry(&self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.certificate_expiry.get_or_create(&ListenerLabel { listener: "main" }).set(seconds);
    }

    /// Counts that the listener's certificate changed, or could not.
    pub fn certificate_reload(&self, outcome: &'static str) {
        self.certificate_reloads.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a handshake of the listener.
    pub fn tls_handshake(&self, outcome: &'static str) {
        self.tls_handshakes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a connection by what its PROXY header was.
    pub fn proxy_header(&self, outcome: &'static str) {
        self.proxy_headers.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a request that is done.
    pub fn request(&self, labels: &RequestLabels, took: Duration) {
        let look_up = || Counts {
            requests: self.requests.get_or_create_owned(labels),
            durations: self.durations.get_or_create_owned(&BranchLabel { branch: labels.branch }),
        };
        self.known.with(labels, look_up, |counts| {
            counts.requests.inc();
            counts.durations.observe(took.as_secs_f64());
        });
    }
}
