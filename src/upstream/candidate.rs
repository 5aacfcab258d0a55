//! One address of an upstream: its health, its breaker, what it has to do, and how its calls ended.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::body::lease::Lease;
use crate::client::endpoint::Endpoint;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::NeighbourLabels;
use crate::telemetry::upstreams::UpstreamLabel;
use crate::telemetry::upstreams::UpstreamStateLabels;
use crate::upstream::breaker::Breaker;
use crate::upstream::breaker::Change;
use crate::upstream::breaker::Errand;
use crate::upstream::breaker::Failure;
use crate::upstream::breaker::Rules;
use crate::upstream::breaker::State;
use crate::upstream::outcome::Outcome;
use crate::upstream::select::Standing;
use crate::upstream::select::WHOLE;
use crate::upstream::select::hash;

/// What one address is and has done. Its metrics are looked up once, here.
#[derive(Debug)]
pub struct Candidate {
    endpoint: Endpoint,
    label: String,
    seed: u64,
    epoch: Instant,
    slow_start: Duration,
    max_in_flight: usize,
    given_up_after: Duration,
    is_healthy: AtomicBool,
    /// When it came back, or [`GROWN`].
    back_since: AtomicU64,
    breaker: Breaker,
    in_flight: Gauge,
    healthy: Gauge,
    states: [(State, Gauge); 3],
    outcomes: [(Outcome, Counter); 7],
    durations: Histogram,
}

/// What all candidates have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// When the gate started.
    pub epoch: Instant,
    /// How long a candidate that comes back gets less than its share.
    pub slow_start: Duration,
    /// How many requests it may have; zero is no bound.
    pub max_in_flight: usize,
    /// When its breaker opens.
    pub breaker: Rules,
}

const GROWN: u64 = 0;
/// With how much of its share a candidate starts, in thousandths.
const FIRST_SHARE: u32 = 100;

impl Candidate {
    /// Makes a healthy candidate that operators know by `label`.
    pub fn new(endpoint: Endpoint, label: String, common: &Common, metrics: &Metrics) -> Self {
        let upstream = UpstreamLabel { upstream: label.clone() };
        let state = |state: State| {
            let labels = UpstreamStateLabels { upstream: label.clone(), state: state.as_str() };
            (state, metrics.upstream_state.get_or_create_owned(&labels))
        };
        let outcome = |outcome: Outcome| {
            let labels = NeighbourLabels { neighbour: label.clone(), outcome: outcome.as_str() };
            (outcome, metrics.neighbour_requests.get_or_create_owned(&labels))
        };
        let candidate = Self {
            seed: hash(label.as_bytes()),
            epoch: common.epoch,
            slow_start: common.slow_start,
            max_in_flight: common.max_in_flight,
            given_up_after: common.breaker.given_up_after,
            is_healthy: AtomicBool::new(true),
            back_since: AtomicU64::new(GROWN),
            breaker: Breaker::new(common.breaker.clone()),
            in_flight: metrics.upstream_in_flight.get_or_create_owned(&upstream),
            healthy: metrics.upstream_healthy.get_or_create_owned(&upstream),
            states: [State::Closed, State::Open, State::HalfOpen].map(state),
            outcomes: Outcome::ALL.map(outcome),
            durations: metrics.neighbour_duration(&label),
            endpoint,
            label,
        };
        candidate.endpoint.counts_in(metrics.upstream_connections.get_or_create_owned(&upstream));
        candidate.healthy.set(1);
        candidate.show(State::Closed);
        candidate
    }

    /// Returns where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns what operators call it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Tells whether it passed its last health checks.
    pub fn is_healthy(&self) -> bool {
        self.is_healthy.load(Ordering::Relaxed)
    }

    /// Tells whether it gets its share: it is healthy and its breaker is closed.
    pub fn is_in_use(&self) -> bool {
        self.breaker.is_closed() && self.is_healthy()
    }

    /// Tells whether its breaker lets everything through.
    pub fn is_closed(&self) -> bool {
        self.breaker.is_closed()
    }

    /// Tells whether it has as many requests as it may have.
    pub fn is_full(&self) -> bool {
        self.max_in_flight > 0
            && usize::try_from(self.in_flight.get()).is_ok_and(|in_flight| in_flight >= self.max_in_flight)
    }

    /// Returns what is to be known for choosing.
    pub fn standing(&self) -> Standing {
        Standing {
            in_flight: usize::try_from(self.in_flight.get()).unwrap_or_default(),
            share: self.share(),
            seed: self.seed,
        }
    }

    /// Takes one of its places.
    pub fn lease(&self) -> Option<Lease> {
        Lease::take(&self.in_flight, self.max_in_flight)
    }

    /// Takes the one request of its half-open breaker.
    pub fn try_probe(&self, grace: Duration) -> bool {
        // the clock is only read for one that is out
        !self.is_closed()
            && self.is_healthy()
            && self.breaker.try_probe(self.now(), grace).is_some_and(|change| self.tell(change))
    }

    /// Notes an answer, and how long it was waited for, if that says anything.
    pub fn answered(&self, errand: Errand, status: StatusCode, waited: Option<Duration>) {
        self.count(Outcome::Ok);
        if let Some(waited) = waited {
            self.durations.observe(waited.as_secs_f64());
        }
        let change = match status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                self.breaker.failed(errand, Failure::Answer, self.now(), self.total())
            }
            _ => self.breaker.succeeded(errand, || self.now()),
        };
        if let Some(change) = change {
            self.tell(change);
        }
    }

    /// Notes that there was none.
    pub fn failed(&self, errand: Errand, outcome: Outcome) {
        self.count(outcome);
        if let Some(change) = self.breaker.failed(errand, Failure::Connection, self.now(), self.total()) {
            self.tell(change);
        }
    }

    /// Tells whether a request that is given up after this time has waited too long.
    pub fn is_given_up(&self, waited: Duration) -> bool {
        !self.given_up_after.is_zero() && waited >= self.given_up_after
    }

    /// Notes a call that ended without saying anything of the upstream.
    pub fn abandoned(&self, errand: Errand, outcome: Option<Outcome>) {
        if let Some(outcome) = outcome {
            self.count(outcome);
        }
        match errand {
            Errand::Probe => self.breaker.abandon_probe(),
            Errand::Turn | Errand::LastResort => {}
        }
    }

    /// Notes what the health checks have found.
    pub fn health_changed(&self, is_healthy: bool) {
        self.is_healthy.store(is_healthy, Ordering::Relaxed);
        self.healthy.set(i64::from(is_healthy));
        if is_healthy {
            self.start_slowly();
            self.breaker.hasten();
            tracing::info!(upstream = %self.label, "upstream passes its health check again");
        } else {
            tracing::warn!(upstream = %self.label, "upstream fails its health check");
        }
    }

    /// Tells the operator of a change of the breaker, once.
    fn tell(&self, change: Change) -> bool {
        match change {
            Change::Opened(time) => {
                self.show(State::Open);
                let open_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(upstream = %self.label, open_ms, "upstream fails too often: it gets nothing for a while");
            }
            Change::HalfOpened => {
                self.show(State::HalfOpen);
                tracing::warn!(upstream = %self.label, "upstream is tried with one request");
            }
            Change::Closed => {
                self.show(State::Closed);
                self.start_slowly();
                tracing::warn!(upstream = %self.label, "upstream answers again: it gets its share");
            }
        }
        true
    }

    fn show(&self, state: State) {
        for (known, gauge) in &self.states {
            gauge.set(i64::from(*known == state));
        }
    }

    fn start_slowly(&self) {
        if !self.slow_start.is_zero() {
            self.back_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn share(&self) -> u32 {
        let since = self.back_since.load(Ordering::Relaxed);
        if since == GROWN {
            return WHOLE;
        }
        let grown = self.now().saturating_sub(since).saturating_mul(u64::from(WHOLE));
        let whole = u64::try_from(self.slow_start.as_millis()).unwrap_or(u64::MAX);
        let share = u32::try_from(grown / whole.max(1)).unwrap_or(WHOLE);
        if share >= WHOLE {
            let _ = self.back_since.compare_exchange(since, GROWN, Ordering::Relaxed, Ordering::Relaxed);
        }
        share.clamp(FIRST_SHARE, WHOLE)
    }

    /// Milliseconds since the gate started, never zero.
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn count(&self, outcome: Outcome) {
        if let Some((_, counter)) = self.outcomes.iter().find(|(known, _)| *known == outcome) {
            counter.inc();
        }
    }

    /// Returns how many calls had an outcome since the gate started.
    pub fn total(&self) -> u64 {
        self.outcomes.iter().map(|(_, counter)| counter.get()).sum()
    }
}
