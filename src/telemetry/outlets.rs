//! The metrics of what the gate tells elsewhere: spans and log lines, and how many of them were lost.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::telemetry::lines;
use crate::telemetry::metrics::OutcomeLabel;

/// What is counted of the ways out; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Outlets {
    spans: Family<OutcomeLabel, Counter>,
}

impl Outlets {
    /// Returns the counter of spans that end up like this.
    pub fn spans(&self, outcome: &'static str) -> Counter {
        self.spans.get_or_create_owned(&OutcomeLabel { outcome })
    }

    /// Adds these metrics.
    pub fn register(&self, registry: &mut Registry) {
        let lost = Counter::<u64>::default();
        lost.inc_by(lines::lost());
        registry.register("log_lines_lost", "Log lines that nobody took in time", lost);
        registry.register("trace_spans", "Spans by what became of them", self.spans.clone());
    }
}
