//! The metrics of shadowing: what became of each copy, what copies take, and how long staging needs.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

use crate::telemetry::metrics::DURATION_BOUNDS;
use crate::telemetry::metrics::OutcomeLabel;

/// What is counted of copies; cloning shares it.
#[derive(Clone, Debug)]
pub struct Shadows {
    copies: Family<OutcomeLabel, Counter>,
    dropped: Family<ReasonLabel, Counter>,
    repeated: Family<OutcomeLabel, Counter>,
    /// Copies that were to be written down.
    pub recorded: Family<OutcomeLabel, Counter>,
    /// Copies that wait to be sent.
    pub waiting: Gauge,
    /// Copies that are being sent.
    pub in_flight: Gauge,
    /// Bytes that copies and their answers may take at the moment.
    pub held_bytes: Gauge,
    durations: Histogram,
}

/// Label of `shadow_dropped_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabel {
    /// Why the copy was not sent.
    pub reason: &'static str,
}

impl Default for Shadows {
    fn default() -> Self {
        Self {
            copies: Family::default(),
            dropped: Family::default(),
            recorded: Family::default(),
            repeated: Family::default(),
            waiting: Gauge::default(),
            in_flight: Gauge::default(),
            held_bytes: Gauge::default(),
            durations: Histogram::new(DURATION_BOUNDS),
        }
    }
}

impl Shadows {
    /// Counts a copy that was given to staging, by what came of it.
    pub fn copy(&self, outcome: &'static str) {
        self.copies.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a copy that was not given to staging.
    pub fn drop_for(&self, reason: &'static str) {
        self.dropped.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a request that one side was asked a second time, by what came of it.
    pub fn repeat(&self, outcome: &'static str) {
        self.repeated.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Takes in how long staging took for a whole answer.
    pub fn took(&self, time: Duration) {
        self.durations.observe(time.as_secs_f64());
    }

    /// Adds these metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("shadow_copies", "Copies given to staging by outcome", self.copies.clone());
        registry.register("shadow_dropped", "Copies not given to staging by reason", self.dropped.clone());
        let help = "Copies that were to be written down, by what became of them";
        registry.register("recorded_calls", help, self.recorded.clone());
        registry.register("shadow_repeated", "Requests asked a second time by outcome", self.repeated.clone());
        registry.register("shadow_waiting_copies", "Copies that wait to be sent", self.waiting.clone());
        registry.register("shadow_in_flight_copies", "Copies that are being sent", self.in_flight.clone());
        let bytes = self.held_bytes.clone();
        registry.register_with_unit("shadow_held", "Memory that copies may take", Unit::Bytes, bytes);
        let help = "Time to the end of staging's answer";
        registry.register_with_unit("shadow_call_duration", help, Unit::Seconds, self.durations.clone());
    }
}
