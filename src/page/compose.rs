//! Puts the document together from the metrics, the history, and what only the gate itself knows.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::config::settings::Origin;
use crate::config::settings::Settings;
use crate::page::decision::Decision;
use crate::page::document::Cache;
use crate::page::document::Clock;
use crate::page::document::Compared;
use crate::page::document::Comparison;
use crate::page::document::Condition;
use crate::page::document::Document;
use crate::page::document::Gate;
use crate::page::document::Keystone;
use crate::page::document::KillSwitch;
use crate::page::document::Quantiles;
use crate::page::document::Readiness;
use crate::page::document::Rule;
use crate::page::document::SCHEMA;
use crate::page::document::Series;
use crate::page::document::Setting;
use crate::page::document::Traffic;
use crate::page::document::Upstream;
use crate::page::document::Window;
use crate::page::history::BRANCHES;
use crate::page::history::CACHES;
use crate::page::history::History;
use crate::page::history::NEIGHBOURS;
use crate::page::history::STATUSES;
use crate::page::history::Step;
use crate::page::history::VERDICTS;
use crate::page::reading::Reading;
use crate::page::reading::Sample;

/// What the metrics do not tell: looked up anew for each document.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which gate it is. Its reloads are taken from the metrics.
    pub gate: Gate,
    /// The conditions of readiness.
    pub probes: Vec<Condition>,
    /// Whether all rules only observe.
    pub kill_switch: KillSwitch,
    /// The rules as they are set. Their counts are taken from the metrics.
    pub rules: Vec<RuleSetting>,
    /// Where Keystone is, and whether the gate has a token of its own.
    pub keystone: (String, bool),
    /// The bounds of the memories, and about how much they hold.
    pub memories: Vec<Memory>,
    /// The latest refusals, the newest first.
    pub refusals: Vec<Decision>,
    /// The latest disagreements, the newest first.
    pub disagreements: Vec<Decision>,
    /// The configuration.
    pub settings: Settings,
}

/// What is counted so far.
#[derive(Debug)]
pub struct Moment {
    /// All metrics.
    pub reading: Reading,
    /// When they were read.
    pub now: SystemTime,
}

/// How a rule is set.
#[derive(Clone, Debug)]
pub struct RuleSetting {
    /// Its stable label.
    pub reason: &'static str,
    /// The status it answers.
    pub status: u16,
    /// What it does now.
    pub mode: String,
    /// What it is set to.
    pub setting: String,
}

/// A memory's bounds.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Its label in the metrics.
    pub name: &'static str,
    /// About how many good answers it holds.
    pub entries: u64,
    /// How many it may hold.
    pub max_entries: u64,
    /// How long a good answer may be remembered.
    pub max_age: Duration,
    /// How long a bad one may be.
    pub max_age_negative: Duration,
}

/// Puts the document together.
pub fn compose(facts: Facts, moment: &Moment, history: &History, listeners: usize) -> Document {
    let (reading, now) = (&moment.reading, moment.now);
    let within = |time| history.within(time, now, reading);
    let (minute, five, hour) =
        (within(Duration::from_mins(1)), within(Duration::from_mins(5)), within(Duration::from_hours(1)));
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Document {
        schema: SCHEMA,
        clock: Clock { now: seconds, uptime_s: seconds.saturating_sub(facts.gate.started), listeners },
        gate: Gate {
            reloads: reading.sum("config_reloads_total", "result", "applied"),
            reloads_refused: reading.sum("config_reloads_total", "result", "refused"),
            ..facts.gate
        },
        readiness: Readiness {
            is_ready: facts.probes.iter().all(|probe| probe.passes || !probe.is_required),
            probes: facts.probes,
        },
        kill_switch: facts.kill_switch,
        traffic: Traffic {
            in_flight: reading.gauge("in_flight_requests"),
            connections: reading.gauge("connections"),
            minute: window(&minute),
            five_minutes: window(&five),
            hour: window(&hour),
        },
        rules: facts.rules.into_iter().map(|rule| counted(rule, reading, &hour)).collect(),
        comparison: Comparison {
            all: compared(reading, |_| true),
            permitted: compared(reading, |rule| rule == "none"),
        },
        upstreams: upstreams(reading),
        keystone: keystone(facts.keystone, reading, &five),
        caches: facts.memories.iter().map(|memory| cache(memory, reading, &five)).collect(),
        refusals: facts.refusals,
        disagreements: facts.disagreements,
        settings: facts.settings.iter().map(told).collect(),
        series: series(history.steps()),
    }
}

/// Lines steps up.
pub fn series<'a>(steps: impl Iterator<Item = &'a Step>) -> Series {
    let mut series = Series::default();
    for step in steps {
        series.at.push((step.at * 10.0).round() / 10.0);
        series.seconds.push((step.seconds * 100.0).round() / 100.0);
        for (name, count) in VERDICTS.into_iter().zip(step.verdicts) {
            series.verdicts.entry(name).or_default().push(count);
        }
        for (name, count) in STATUSES.into_iter().zip(step.statuses) {
            series.statuses.entry(name).or_default().push(count);
        }
        for (branch, latency) in BRANCHES.into_iter().zip(step.latencies) {
            for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
                series.latency.entry(format!("{branch}.{name}")).or_default().push(latency.quantile_ms(part));
            }
        }
        for (name, lookups) in CACHES.into_iter().zip(step.caches) {
            series.caches.entry(format!("{name}.hits")).or_default().push(lookups.hits);
            series.caches.entry(format!("{name}.misses")).or_default().push(lookups.misses);
        }
        for (name, questions) in NEIGHBOURS.into_iter().zip(step.neighbours) {
            series.neighbours.entry(format!("{name}.answered")).or_default().push(questions.answered);
            series.neighbours.entry(format!("{name}.failed")).or_default().push(questions.failed);
        }
        series.in_flight.push(step.in_flight);
        series.connections.push(step.connections);
    }
    series
}

fn window(step: &Step) -> Window {
    let latency = |latency: crate::page::latency::Latency| Quantiles {
        count: latency.count(),
        p50_ms: latency.quantile_ms(0.5),
        p90_ms: latency.quantile_ms(0.9),
        p99_ms: latency.quantile_ms(0.99),
    };
    Window {
        seconds: (step.seconds * 10.0).round() / 10.0,
        requests: step.requests(),
        verdicts: VERDICTS.into_iter().zip(step.verdicts).collect(),
        statuses: STATUSES.into_iter().zip(step.statuses).collect(),
        latency: BRANCHES.into_iter().zip(step.latencies.map(latency)).collect(),
    }
}

fn counted(rule: RuleSetting, reading: &Reading, hour: &Step) -> Rule {
    let refusals = |mode: &str| {
        let of_rule = reading.all("refusals_total").filter(|sample| sample.label("reason") == rule.reason);
        of_rule.filter(|sample| sample.label("mode") == mode).map(Sample::count).sum()
    };
    Rule {
        enforced: refusals("enforced"),
        observed: refusals("observed"),
        hour: hour.refusals.iter().filter(|(reason, _)| reason == rule.reason).map(|(_, count)| count).sum(),
        compared: compared(reading, |known| known == rule.reason),
        reason: rule.reason,
        status: rule.status,
        mode: rule.mode,
        setting: rule.setting,
    }
}

/// Sums up what Glance answered to the verdicts of some rules.
fn compared(reading: &Reading, is_of: impl Fn(&str) -> bool) -> Compared {
    let mut compared = Compared::default();
    for sample in reading.all("drift_total").filter(|sample| is_of(sample.label("rule"))) {
        match sample.label("agree") {
            "yes" => compared.agreements += sample.count(),
            "no" => compared.disagreements += sample.count(),
            _ => compared.unknown += sample.count(),
        }
    }
    compared
}

fn upstreams(reading: &Reading) -> Vec<Upstream> {
    let mut upstreams: Vec<Upstream> = reading
        .all("upstream_healthy")
        .map(|healthy| {
            let label = healthy.label("upstream");
            let state =
                reading.all("upstream_state").find(|state| state.label("upstream") == label && state.count() == 1);
            Upstream {
                label: label.into(),
                is_healthy: healthy.count() == 1,
                breaker: state.map_or("closed", |state| state.label("state")).into(),
                in_flight: reading.sum("upstream_in_flight_requests", "upstream", label),
                connections: reading.sum("upstream_connections", "upstream", label),
                outcomes: outcomes(reading, label),
            }
        })
        .collect();
    // the metrics have no order of their own
    upstreams.sort_by(|left, right| left.label.cmp(&right.label));
    upstreams
}

fn keystone((url, has_own_token): (String, bool), reading: &Reading, recent: &Step) -> Keystone {
    let [questions, ..] = recent.neighbours;
    Keystone {
        url,
        has_own_token,
        outcomes: outcomes(reading, "keystone"),
        answered: questions.answered,
        failed: questions.failed,
    }
}

fn outcomes(reading: &Reading, neighbour: &str) -> BTreeMap<String, u64> {
    let calls = reading.all("neighbour_requests_total").filter(|sample| sample.label("neighbour") == neighbour);
    calls.map(|sample| (sample.label("outcome").to_owned(), sample.count())).collect()
}

fn cache(memory: &Memory, reading: &Reading, recent: &Step) -> Cache {
    let recent = CACHES.iter().zip(recent.caches).find(|(name, _)| **name == memory.name);
    let lookups = recent.map(|(_, lookups)| lookups).unwrap_or_default();
    let results = reading.all("cache_requests_total").filter(|sample| sample.label("cache") == memory.name);
    Cache {
        name: memory.name,
        entries: memory.entries,
        max_entries: memory.max_entries,
        max_age_s: memory.max_age.as_secs_f64(),
        max_age_negative_s: memory.max_age_negative.as_secs_f64(),
        hits: lookups.hits,
        misses: lookups.misses,
        hit_rate: lookups.rate(),
        results: results.map(|sample| (sample.label("result").to_owned(), sample.count())).collect(),
    }
}

fn told(setting: &crate::config::settings::Setting) -> Setting {
    Setting {
        section: setting.section,
        key: setting.key,
        value: setting.value.clone(),
        origin: match setting.origin {
            Origin::Default => "default".into(),
            Origin::File(line) => format!("line {line}"),
            Origin::Environment => "environment".into(),
        },
    }
}
