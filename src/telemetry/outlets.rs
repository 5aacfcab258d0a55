//! The metrics of what the gate tells elsewhere: spans, log lines and audit events, and how many of them were lost.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::telemetry::lines;
use crate::telemetry::metrics::OutcomeLabel;

/// What is counted of the ways out; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Outlets {
    spans: Family<OutcomeLabel, Counter>,
    audit_events: Family<AuditLabels, Counter>,
}

/// Labels of `audit_events_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AuditLabels {
    /// `file`, `syslog`, `http` or `amqp`.
    pub sink: &'static str,
    /// `written`; `lost` because too many waited or the gate ended; or `failed` because the sink refused it.
    pub outcome: &'static str,
}

impl Outlets {
    /// Returns the counter of spans that end up like this.
    pub fn spans(&self, outcome: &'static str) -> Counter {
        self.spans.get_or_create_owned(&OutcomeLabel { outcome })
    }

    /// Returns the counter of audit events that end up like this at a sink.
    pub fn audit_events(&self, sink: &'static str, outcome: &'static str) -> Counter {
        self.audit_events.get_or_create_owned(&AuditLabels { sink, outcome })
    }

    /// Adds these metrics.
    pub fn register(&self, registry: &mut Registry) {
        let lost = Counter::<u64>::default();
        lost.inc_by(lines::lost());
        registry.register("log_lines_lost", "Log lines that nobody took in time", lost);
        registry.register("trace_spans", "Spans by what became of them", self.spans.clone());
        let events = self.audit_events.clone();
        registry.register("audit_events", "Audit events by sink and what became of them", events);
    }
}
