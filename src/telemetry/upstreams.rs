//! The metrics of the upstreams, as far as they come and go with them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::NeighbourLabel;

/// Label of a gauge by upstream.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct UpstreamLabel {
    /// The upstream's address, as configured.
    pub upstream: String,
}

/// Labels of `upstream_state`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct UpstreamStateLabels {
    /// The upstream's address, as configured.
    pub upstream: String,
    /// `closed`, `open` or `half_open`: what its breaker is.
    pub state: &'static str,
}

impl Metrics {
    /// Adds the metrics of the upstreams.
    pub fn register_upstreams(&self, registry: &mut Registry) {
        registry.register("upstream_state", "What each upstream's breaker is", self.upstream_state.clone());
        let in_flight = self.upstream_in_flight.clone();
        registry.register("upstream_in_flight_requests", "Requests that each upstream has", in_flight);
        let connections = self.upstream_connections.clone();
        registry.register("upstream_connections", "Connections to each upstream", connections);
        registry.register(
            "upstream_retries",
            "Requests that went on to another upstream, or could not",
            self.upstream_retries.clone(),
        );
        registry.register("waiting_requests", "Requests that wait for an answer's head", self.waiting.clone());
        registry.register("adaptive_limit", "How many of them may wait; 0 is off", self.adaptive_limit.clone());
    }

    /// Drops what is told of an upstream that is no longer there.
    pub fn forget_upstream(&self, upstream: &str) {
        let label = UpstreamLabel { upstream: upstream.into() };
        for family in [&self.upstream_healthy, &self.upstream_in_flight, &self.upstream_connections] {
            family.remove(&label);
        }
        self.neighbour_durations.remove(&NeighbourLabel { neighbour: upstream.into() });
        for state in ["closed", "open", "half_open"] {
            self.upstream_state.remove(&UpstreamStateLabels { upstream: upstream.into(), state });
        }
    }
}
