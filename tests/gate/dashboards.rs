//! What operators are shown and alerted of: the dashboard and the alerts of `deploy/` name nothing but what the gate's
//! own `/metrics` has.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use glance_gate::audit::config::Events;
use glance_gate::config::Config;
use glance_gate::demo::fault::Fault;
use glance_gate::refusal::Refusal;
use glance_gate::rules::earned::EnforceAfter;
use glance_gate::rules::setting::Setting;
use glance_gate::server::proxy_protocol::Mode;
use glance_gate::server::tls;
use serde_json::Value;

use crate::audit;
use crate::certificates::Authority;
use crate::client::Connection;
use crate::collector::Collector;
use crate::harness::DeadPort;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::promql::Expression;
use crate::promql::Matcher;
use crate::scene::Scene;
use crate::traces::to;

const DASHBOARD: &str = include_str!("../../deploy/grafana/glance-gate.json");
const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yaml");
const ALERTS_TEST: &str = include_str!("../../deploy/prometheus/alerts_test.yaml");
const RUNBOOK: &str = include_str!("../../deploy/RUNBOOK.md");

/// What Prometheus itself puts on every sample.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// The samples of some gates: name, then label, then its values.
#[derive(Default)]
struct Exported(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

/// An expression, where it stands, and the labels that its texts name.
struct Shown {
    place: String,
    text: String,
    labels: BTreeSet<String>,
}

/// One alert, as far as it is read here.
struct Alert {
    name: String,
    fields: BTreeMap<String, String>,
}

impl Exported {
    fn add(&mut self, metrics: &str) {
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').expect("a sample");
            for selector in Expression::parse(series).selectors {
                let labels = self.0.entry(selector.name).or_default();
                for Matcher { label, value, .. } in selector.matchers {
                    labels.entry(label).or_default().insert(value);
                }
            }
        }
    }

    /// Returns what is wrong with an expression.
    fn mistakes(&self, shown: &Shown) -> Vec<String> {
        let expression = Expression::parse(&shown.text);
        let mut mistakes = Vec::new();
        let mut known: BTreeSet<&str> = TARGET_LABELS.into();
        for selector in &expression.selectors {
            if selector.name == "up" {
                continue;
            }
            let Some(labels) = self.0.get(&selector.name) else {
                mistakes.push(format!("{} is not exported", selector.name));
                continue;
            };
            known.extend(labels.keys().map(String::as_str));
            for matcher in &selector.matchers {
                match labels.get(&matcher.label) {
                    _ if TARGET_LABELS.contains(&matcher.label.as_str()) => {}
                    None => mistakes.push(format!("{} has no label {}", selector.name, matcher.label)),
                    Some(values) => mistakes.extend(
                        matcher
                            .alternatives()
                            .filter(|value| !has(values, matcher, value))
                            .map(|value| format!("{} never has {}=\"{value}\"", selector.name, matcher.label)),
                    ),
                }
            }
        }
        if expression.selectors.is_empty() {
            mistakes.push("it selects nothing".into());
        }
        let named = expression.grouping.iter().chain(&shown.labels);
        mistakes.extend(
            named.filter(|label| !known.contains(label.as_str())).map(|label| format!("nothing has a label {label}")),
        );
        mistakes.iter().map(|mistake| format!("{}: {mistake} in {}", shown.place, shown.text)).collect()
    }
}

/// Tells whether a label has a value that is matched on; of reasons all count, whether they were provoked or not.
fn has(values: &BTreeSet<String>, matcher: &Matcher, value: &str) -> bool {
    let is_like = |known: &str| match value.split_once(['.', '*']) {
        // the beginning is enough to find a misspelled one
        Some((beginning, _)) => known.starts_with(beginning),
        None => known == value,
    };
    if matcher.label == "reason" {
        return Refusal::ALL.iter().any(|refusal| is_like(refusal.reason()));
    }
    values.iter().any(|known| is_like(known))
}

/// Starts gates of all kinds and lets them do a bit of everything.
async fn exported() -> Exported {
    let mut exported = Exported::default();
    let collector = Collector::start().await;
    let gate = Gate::start(to(&collector)).await.warm().await;
    let scene = Scene::new(&gate);
    for token in [&scene.member, &scene.owner, &scene.stranger] {
        scene.accept(&gate).token(token).send().await;
    }
    gate.call("GET", "/v2/images").token(&scene.member).send().await;
    gate.call("GET", "/v2//images").send().await;
    gate.glance.set_fault_on("/v2/", Fault::Status(500));
    gate.call("GET", "/v2/images").token(&scene.member).send().await;
    gate.glance.set_fault(Fault::None);
    gate.reload(|config| config.body.max_body += 1).await.expect("a good configuration");
    drop(gate.reload(|config| config.server.workers += 1).await);
    gate.reload(|config| config.rules.default = Setting::Observe).await.expect("a good configuration");
    scene.accept(&gate).token(&scene.owner).send().await;
    gate.expect_count("owner_forbidden", "observed").await;
    disagree(&gate, &scene).await;
    exported.add(&gate.metrics().await);
    exported.add(&behind_tls().await);

    let strict = Gate::start(|config| {
        config.server.wire.proxy_protocol = Mode::On;
        audit::to_file(config, Events::Guarded, Path::new("/nowhere/at/all"));
    })
    .await;
    drop(Connection::open(strict.address).await);
    strict.wait_for_metric("glance_gate_proxy_headers_total{outcome=\"untrusted\"}", 1).await;
    let trusting = Gate::start(|config| {
        config.server.wire.proxy_protocol = Mode::On;
        config.server.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")];
    })
    .await;
    let mut connection = Connection::open(trusting.address).await;
    connection.send("GET / HTTP/1.1\r\n\r\n").await;
    trusting.wait_for_metric("glance_gate_proxy_headers_total{outcome=\"missing\"}", 1).await;
    exported.add(&Box::pin(alone()).await);
    exported.add(&strict.metrics().await);
    exported.add(&trusting.metrics().await);
    exported
}

/// Lets a rule earn its enforcement, and lose it when Glance disagrees.
async fn disagree(gate: &Gate, scene: &Scene) {
    let earning = |config: &mut Config| {
        config.rules.default = Setting::Earn;
        config.rules.enforce_after = EnforceAfter { samples: 1, period: Duration::ZERO, max_disagreements: 0 };
        config.rules.probe_percent = 100;
    };
    gate.reload(earning).await.expect("a good configuration");
    for (fault, change) in [(Fault::None, "promoted"), (Fault::Status(404), "demoted")] {
        gate.glance.set_fault(fault);
        scene.accept(gate).token(&scene.owner).send().await;
        let changes = format!("glance_gate_rule_changes_total{{rule=\"owner_forbidden\",change=\"{change}\"}}");
        gate.wait_for_metric(&changes, 1).await;
    }
    gate.glance.set_fault(Fault::None);
}

/// Returns the metrics of a gate that can not reach the others.
async fn alone() -> String {
    let dead = DeadPort::new();
    let gate = Gate::start(|config| config.redis.url = dead.url().replace("http:", "redis:")).await;
    gate.wait_for_metric("glance_gate_fleet_connected{link=\"redis\"}", 0).await;
    gate.metrics().await
}

/// Returns the metrics of a gate that ends TLS, has seen a good and a bad handshake, and could not change its
/// certificate.
async fn behind_tls() -> String {
    let (authority, directory) = (Authority::new(), Directory::new());
    let certificate = directory.write("bundle.pem", &authority.sign().bundle());
    let gate = Gate::start(|config| {
        config.server.wire.tls =
            Some(tls::Config { certificate, reload_interval: Duration::from_millis(20), ..tls::Config::default() });
    })
    .await;
    drop(authority.client().connect(gate.address).await.expect("a handshake"));
    let mut plain = Connection::open(gate.address).await;
    plain.try_send("GET / HTTP/1.1\r\n\r\n").await;
    gate.wait_for_metric("glance_gate_tls_handshakes_total{outcome=\"failed\"}", 1).await;
    directory.write("bundle.pem", "no certificate");
    eventually("the file was found broken", || async {
        gate.metrics().await.contains("glance_gate_certificate_reloads_total{outcome=\"failed\"}")
    })
    .await;
    gate.metrics().await
}

/// Returns each expression of the dashboard.
fn dashboard() -> Vec<Shown> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut shown = Vec::new();
    walk("dashboard", &dashboard, &mut shown);
    shown
}

fn walk(place: &str, value: &Value, shown: &mut Vec<Shown>) {
    match value {
        Value::Object(fields) => {
            let place = fields.get("title").and_then(Value::as_str).unwrap_or(place);
            if let Some(text) = fields.get("expr").and_then(Value::as_str) {
                let legend = fields.get("legendFormat").and_then(Value::as_str).unwrap_or_default();
                shown.push(Shown { place: place.into(), text: text.into(), labels: labels_in(legend, "{{", "}}") });
            }
            if let Some(text) = fields.get("definition").and_then(Value::as_str) {
                shown.push(Shown { place: place.into(), text: text.into(), labels: BTreeSet::new() });
            }
            fields.values().for_each(|value| walk(place, value, shown));
        }
        Value::Array(items) => items.iter().for_each(|item| walk(place, item, shown)),
        _ => {}
    }
}

/// Returns the names that stand between two marks.
fn labels_in(text: &str, open: &str, close: &str) -> BTreeSet<String> {
    let rests = text.split(open).skip(1);
    rests.filter_map(|rest| rest.split_once(close)).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Reads the alerts: the file is regular, and promtool reads it as YAML in `tests/run`.
fn alerts() -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    let mut field = String::new();
    for line in ALERTS.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let text = line.trim();
        let indent = line.len() - line.trim_start().len();
        if let Some(name) = text.strip_prefix("- alert: ") {
            alerts.push(Alert { name: name.into(), fields: BTreeMap::new() });
            continue;
        }
        let Some(alert) = alerts.last_mut() else { continue };
        match text.split_once(": ").or_else(|| text.strip_suffix(':').map(|name| (name, ""))) {
            // what belongs to a block stands deeper than any key
            Some((name, value)) if indent == 8 || indent == 10 && field != "expr" => {
                name.clone_into(&mut field);
                alert.fields.insert(field.clone(), value.trim_matches(['"', '|']).into());
            }
            _ => {
                let block = alert.fields.entry(field.clone()).or_default();
                block.push(' ');
                block.push_str(text);
            }
        }
    }
    alerts
}

/// Returns the anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn the_dashboard_and_the_alerts_name_only_what_is_exported() {
    run(async {
        let exported = Box::pin(exported()).await;
        let alerts = alerts().into_iter().map(|alert| Shown {
            labels: labels_in(&format!("{:?}", alert.fields), "{{ $labels.", " }}"),
            place: alert.name,
            text: alert.fields["expr"].clone(),
        });
        let shown: Vec<Shown> = dashboard().into_iter().chain(alerts).collect();
        assert!(shown.len() > 80, "{} expressions", shown.len());
        let mistakes: Vec<String> = shown.iter().flat_map(|shown| exported.mistakes(shown)).collect();
        assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    });
}

#[test]
fn what_is_not_exported_is_found() {
    let mut exported = Exported::default();
    exported.add("# TYPE x counter\nglance_gate_x_total{outcome=\"ok\",reason=\"internal\"} 1\nglance_gate_y 2\n");
    let mistakes = |text: &str, legend: &str| {
        exported
            .mistakes(&Shown { place: "here".into(), text: text.into(), labels: labels_in(legend, "{{", "}}") })
            .len()
    };
    let good = "sum by (job, outcome) (rate(glance_gate_x_total{job=~\"$job\",outcome=\"ok\",reason=~\"upstream_.*|owner_forbidden\"}[5m])) / glance_gate_y";
    assert_eq!(mistakes(good, "{{outcome}} {{instance}}"), 0);
    for (text, legend) in [
        ("glance_gate_x", ""),
        ("glance_gate_x_total{other=\"ok\"}", ""),
        ("glance_gate_x_total{outcome=\"fine\"}", ""),
        ("glance_gate_x_total{outcome=~\"ok|fine\"}", ""),
        ("glance_gate_x_total{reason=~\"owner_forbiden|internal\"}", ""),
        ("glance_gate_x_total{reason!~\"downstream_.*\"}", ""),
        ("sum by (upstream) (glance_gate_x_total)", ""),
        ("glance_gate_x_total", "{{upstream}}"),
        ("vector(1)", ""),
    ] {
        assert_eq!(mistakes(text, legend), 1, "{text} {legend}");
    }
}

#[test]
fn every_alert_says_what_to_do_and_is_tested() {
    let (alerts, anchors) = (alerts(), anchors(RUNBOOK));
    assert!(alerts.len() > 20);
    for Alert { name, fields } in alerts {
        let field = |key: &str| fields.get(key).map_or("", |value| value.trim());
        assert!(matches!(field("severity"), "critical" | "warning" | "info"), "{name}: severity");
        for key in ["expr", "summary", "description"] {
            assert!(field(key).len() > 10, "{name}: {key}");
        }
        let anchor = field("runbook").strip_prefix("deploy/RUNBOOK.md#").unwrap_or_default();
        assert!(anchors.contains(anchor), "{name}: the runbook has no #{anchor}");
        let fires = ALERTS_TEST.split("alertname: ").any(|test| {
            test.lines().next() == Some(&name) && test.lines().nth(1).is_some_and(|line| line.trim() == "exp_alerts:")
        });
        assert!(fires, "{name} never fires in alerts_test.yaml");
        assert!(RUNBOOK.contains(&format!("`{name}`")), "the runbook does not list {name}");
    }
}

/// Prometheus itself reads every expression of the dashboard: as a rule, with the variables filled in.
#[test]
#[ignore = "needs promtool: tests/run brings it"]
fn promtool_understands_the_dashboard() {
    let directory = Directory::new();
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    for (number, shown) in dashboard().iter().filter(|shown| !shown.text.starts_with("label_values")).enumerate() {
        let text = shown.text.replace("$__rate_interval", "5m").replace("$__range", "3h");
        let text = serde_json::to_string(&text).expect("a string of JSON, which is one of YAML");
        let record = format!("dashboard:expression_{number}");
        writeln!(rules, "      - record: {record}\n        expr: {text}").expect("a string takes all");
    }
    let file = directory.write("rules.yaml", &rules);
    promtool(&["check", "rules"], &file);
}

fn promtool(arguments: &[&str], file: &Path) {
    let program = std::env::var("GLANCE_GATE_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    let output = Command::new(program).args(arguments).arg(file).output().expect("promtool");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
