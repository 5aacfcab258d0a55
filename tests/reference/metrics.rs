//! Every metric, as `/metrics` tells it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use glance_gate::telemetry::differences::RuleStateLabel;
use glance_gate::telemetry::fleet::LinkName;
use glance_gate::telemetry::judgement::DriftLabels;
use glance_gate::telemetry::judgement::RuleChangeLabels;
use glance_gate::telemetry::metrics::Metrics;
use glance_gate::telemetry::metrics::OutcomeLabel;
use glance_gate::telemetry::metrics::RefusalLabels;
use glance_gate::telemetry::metrics::RequestLabels;
use glance_gate::telemetry::upstreams::UpstreamLabel;
use glance_gate::telemetry::upstreams::UpstreamStateLabels;

use crate::hold;

/// One metric, as it is encoded.
#[derive(Default)]
struct Metric {
    name: String,
    kind: String,
    help: String,
    labels: Vec<String>,
}

/// Returns metrics of which each has a sample: one without samples is not told, and its labels are known by them alone. A
/// new metric with labels gets a line here.
fn told() -> Metrics {
    let metrics = Metrics::default();
    let upstream = || UpstreamLabel { upstream: "x".into() };
    let outcome = || OutcomeLabel { outcome: "x" };
    metrics.request(&RequestLabels { branch: "x", verdict: "x", code: 200 }, Duration::ZERO);
    metrics.refusals.get_or_create(&RefusalLabels { reason: "x", mode: "x" }).inc();
    metrics.cache("x", "x").inc();
    metrics.neighbour("x", "x");
    metrics.neighbour_duration("x").observe(0.0);
    metrics.upstream_healthy.get_or_create(&upstream()).set(1);
    metrics.life.uses(1, "x");
    metrics.life.reloaded("x");
    metrics.life.policy_loaded("x");
    let drift = DriftLabels { rule: "x", verdict: "x", status: 200, agree: "x" };
    metrics.judgement.drift.get_or_create(&drift).inc();
    metrics.judgement.sets("x", "observe");
    metrics.judgement.rule_changes.get_or_create(&RuleChangeLabels { rule: "x", change: "x" }).inc();
    metrics.judgement.decision_lines.get_or_create(&outcome()).inc();
    metrics.upstream_state.get_or_create(&UpstreamStateLabels { upstream: "x".into(), state: "x" }).set(1);
    metrics.upstream_in_flight.get_or_create(&upstream()).set(1);
    metrics.upstream_connections.get_or_create(&upstream()).set(1);
    metrics.upstream_retries.get_or_create(&outcome()).inc();
    metrics.certificate_expiry(1);
    metrics.certificate_reload("x");
    metrics.tls_handshake("x");
    metrics.proxy_header("x");
    metrics.outlets.spans("x").inc();
    metrics.outlets.audit_events("x", "x").inc();
    metrics.limiting.of("x", "x").admitted.inc();
    tell_of_copies(&metrics);
    let fleet = &metrics.fleet;
    fleet.connected(LinkName::Redis).set(1);
    fleet.message(LinkName::Redis, "x", "x");
    fleet.forgotten(LinkName::Redis, "x");
    fleet.lag(LinkName::Redis, Duration::ZERO);
    fleet.rate_syncs("x").inc();
    metrics
}

/// Adds a sample to what is told of copies and of their comparison.
fn tell_of_copies(metrics: &Metrics) {
    let outcome = || OutcomeLabel { outcome: "x" };
    metrics.shadows.copy("x");
    metrics.shadows.drop_for("x");
    metrics.shadows.repeat("x");
    metrics.shadows.recorded.get_or_create(&outcome()).inc();
    metrics.differences.compared("x", "x");
    metrics.differences.differs(("x", "x"), "x", "x");
    metrics.differences.lines.get_or_create(&outcome()).inc();
    metrics.differences.ignore_rules.get_or_create(&RuleStateLabel { state: "x" }).set(1);
    metrics.contract.answer("x", "x");
    metrics.contract.schema("x", "x");
}

/// Reads the `OpenMetrics` text format: a head for each metric, then its samples.
fn read(text: &str) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            metrics.push(Metric { name: name.into(), help: help.into(), ..Metric::default() });
            continue;
        }
        let Some(metric) = metrics.last_mut() else { continue };
        if let Some((_, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            kind.clone_into(&mut metric.kind);
        } else if !line.starts_with('#') && metric.labels.is_empty() {
            let labels =
                line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(labels, _)| labels);
            let names = labels.split(',').filter_map(|label| label.split_once('=')).map(|(name, _)| name);
            metric.labels = names.filter(|name| *name != "le").map(str::to_owned).collect();
        }
    }
    metrics
}

/// Returns the names that the code registers, without the prefix.
fn registered(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            registered(&path, names);
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source");
        for call in ["registry.register(", "registry.register_with_unit("] {
            for rest in source.split(call).skip(1) {
                let name = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
                let (name, _) =
                    name.unwrap_or_else(|| panic!("{}: a metric whose name can not be read", path.display()));
                names.insert(name.into());
            }
        }
    }
}

#[test]
fn the_page_of_metrics_is_what_the_code_registers() {
    let metrics = read(&told().encode());
    let mut names = BTreeSet::new();
    registered(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    // a unit stands behind the name
    let is_told = |name: &&String| {
        let name = format!("glance_gate_{name}");
        let told =
            |metric: &Metric| ["", "_seconds", "_bytes"].iter().any(|unit| metric.name == format!("{name}{unit}"));
        metrics.iter().any(told)
    };
    let untold: Vec<_> = names.iter().filter(|name| !is_told(name)).collect();
    assert!(untold.is_empty(), "tests/reference/metrics.rs has no sample of {untold:?}");
    assert_eq!(names.len(), metrics.len());

    let mut page = String::from(
        "# Metrics\n\nEvery metric at `/metrics` of `admin.listen`, in the order it is told there. A metric without samples is \
         not told. The [runbook](../../deploy/RUNBOOK.md#which-metrics-to-watch) says which to watch, and what the labels may \
         be; [docs/OBSERVABILITY.md](../OBSERVABILITY.md) has alerts and a dashboard.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for Metric { name, kind, help, labels } in &metrics {
        let suffix = match kind.as_str() {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(page, "| `{name}{suffix}` | {kind} | {} | {help} |", labels.join(", ")).expect("text");
    }
    page.push_str("\nA histogram has `_bucket` with the label `le`, `_sum` and `_count`.\n");
    hold("metrics.md", &page);
}
