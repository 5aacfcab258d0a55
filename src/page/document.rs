//! The document that the page reads, `GET /status.json`: its schema, which `docs/STATUS.md` explains.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::page::decision::Decision;

/// The version of the schema. Fields may be added under the same version; none changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// Everything the gate tells operators. Each field is one section; the feed sends those that have changed.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What moves all the time.
    pub clock: Clock,
    /// Which gate it is.
    pub gate: Gate,
    /// Whether it is ready, and by which conditions.
    pub readiness: Readiness,
    /// Whether refusals are held back for now.
    pub kill_switch: KillSwitch,
    /// What was counted lately.
    pub traffic: Traffic,
    /// Each reason to refuse.
    pub rules: Vec<Rule>,
    /// How often Glance's answers were those of the gate.
    pub comparison: Comparison,
    /// The image stores.
    pub upstreams: Vec<Upstream>,
    /// Who vouches for tokens.
    pub keystone: Keystone,
    /// What is remembered.
    pub caches: Vec<Cache>,
    /// The latest refusals, answered or only told; the newest first.
    pub refusals: Vec<Decision>,
    /// The latest disagreements of the gate and Glance; the newest first.
    pub disagreements: Vec<Decision>,
    /// What each key of the configuration is set to.
    pub settings: Vec<Setting>,
    /// The last hour in steps.
    pub series: Series,
}

/// What moves all the time.
#[derive(Clone, Debug, Serialize)]
pub struct Clock {
    /// Seconds since 1970.
    pub now: u64,
    /// For how many seconds the process has run.
    pub uptime_s: u64,
    /// How many listen to the feed.
    pub listeners: usize,
}

/// Which gate it is.
#[derive(Clone, Debug, Serialize)]
pub struct Gate {
    /// Its version.
    pub version: &'static str,
    /// When it was started, in seconds since 1970.
    pub started: u64,
    /// A digest of the configuration in use, without its secrets.
    pub revision: String,
    /// The number of that configuration; the first is one.
    pub generation: u64,
    /// How many reloads were put to use.
    pub reloads: u64,
    /// How many were refused.
    pub reloads_refused: u64,
    /// Which contract is kept: `documented`, `glance, new policies` or `glance, legacy policies`.
    pub profile: String,
    /// What a rule does unless it has a setting of its own: `enforce`, `observe`, …
    pub enforcement: String,
    /// How many worker threads it has.
    pub workers: usize,
    /// Where clients connect to.
    pub listen: String,
}

/// Whether the gate is ready.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    /// Whether all that is required passes.
    pub is_ready: bool,
    /// The conditions.
    pub probes: Vec<Condition>,
}

/// One condition of readiness.
#[derive(Clone, Debug, Serialize)]
pub struct Condition {
    /// What is looked at.
    pub name: &'static str,
    /// Whether the gate is not ready without it.
    pub is_required: bool,
    /// Whether it holds.
    pub passes: bool,
}

/// Whether all rules only observe.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KillSwitch {
    /// Whether it is on.
    pub is_on: bool,
    /// Who holds it on: `config`, `file`, `operator`.
    pub held_by: Vec<&'static str>,
}

/// What was counted lately.
#[derive(Clone, Debug, Serialize)]
pub struct Traffic {
    /// Requests under way.
    pub in_flight: u64,
    /// Client connections.
    pub connections: u64,
    /// Within the last minute.
    pub minute: Window,
    /// Within the last five minutes.
    pub five_minutes: Window,
    /// Within the last hour.
    pub hour: Window,
}

/// What was counted within a time. Load balancers' health checks are left out.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// How many seconds of it the gate has seen.
    pub seconds: f64,
    /// All requests.
    pub requests: u64,
    /// By what became of them.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// By the class of the answer's status.
    pub statuses: BTreeMap<&'static str, u64>,
    /// How long they took, by branch.
    pub latency: BTreeMap<&'static str, Quantiles>,
}

/// How long requests took, in milliseconds; nothing if there were none.
#[derive(Clone, Debug, Serialize)]
pub struct Quantiles {
    /// How many.
    pub count: u64,
    /// Half of them took less.
    pub p50_ms: Option<f64>,
    /// Nine of ten took less.
    pub p90_ms: Option<f64>,
    /// All but one of a hundred took less.
    pub p99_ms: Option<f64>,
}

/// A reason to refuse.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// Its stable label.
    pub reason: &'static str,
    /// The status it answers.
    pub status: u16,
    /// What it does now: `enforce`, `enforce_part`, `observe` or `off`; `always` if it can not be set.
    pub mode: String,
    /// What it is set to.
    pub setting: String,
    /// How often it was answered since the gate started.
    pub enforced: u64,
    /// How often it was only told.
    pub observed: u64,
    /// How often it said no within the last hour.
    pub hour: u64,
    /// How Glance answered to its verdicts.
    #[serde(flatten)]
    pub compared: Compared,
}

/// How often Glance's answers were those of the gate.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// To all calls that were compared.
    pub all: Compared,
    /// To those that no rule said no to.
    pub permitted: Compared,
}

/// Glance's answers beside the gate's verdicts, since the gate started.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Compared {
    /// How many agreed.
    pub agreements: u64,
    /// How many did not.
    pub disagreements: u64,
    /// How many can not be compared.
    pub unknown: u64,
}

/// An image store.
#[derive(Clone, Debug, Serialize)]
pub struct Upstream {
    /// What it is called, as configured.
    pub label: String,
    /// Whether its last health checks passed.
    pub is_healthy: bool,
    /// What its breaker is: `closed`, `open` or `half_open`.
    pub breaker: String,
    /// Requests it has.
    pub in_flight: u64,
    /// Connections to it.
    pub connections: u64,
    /// Calls by how they ended, since the gate started.
    pub outcomes: BTreeMap<String, u64>,
}

/// Keystone as the gate sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Keystone {
    /// Where it is.
    pub url: String,
    /// Whether the gate has got a token of its own from it.
    pub has_own_token: bool,
    /// Questions by how they ended, since the gate started.
    pub outcomes: BTreeMap<String, u64>,
    /// How many were answered within the last five minutes.
    pub answered: u64,
    /// How many were not.
    pub failed: u64,
}

/// A memory.
#[derive(Clone, Debug, Serialize)]
pub struct Cache {
    /// `token`, `access_token`, `ended_token` or `ownership`.
    pub name: &'static str,
    /// About how many good answers it holds.
    pub entries: u64,
    /// How many it may hold.
    pub max_entries: u64,
    /// How many seconds a good answer may be remembered at most.
    pub max_age_s: f64,
    /// How many seconds a bad one may be.
    pub max_age_negative_s: f64,
    /// Look-ups that were answered from it within the last five minutes.
    pub hits: u64,
    /// Look-ups that were not.
    pub misses: u64,
    /// The part that was answered; nothing if there were none.
    pub hit_rate: Option<f64>,
    /// Look-ups by result, since the gate started.
    pub results: BTreeMap<String, u64>,
}

/// One key of the configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// The section.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// Its value in TOML's words; a secret is `"***"`.
    pub value: String,
    /// Where it was set: `default`, `environment`, or `line N` of the file.
    pub origin: String,
}

/// Steps one after the other: each field holds one value a step, the oldest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series {
    /// When each step ended, in seconds since 1970.
    pub at: Vec<f64>,
    /// How long each was.
    pub seconds: Vec<f64>,
    /// Requests by what became of them.
    pub verdicts: Columns,
    /// Requests by the class of the answer's status.
    pub statuses: Columns,
    /// How long requests took, in milliseconds, as `branch.quantile`; nothing where there were none.
    pub latency: BTreeMap<String, Vec<Option<f64>>>,
    /// Look-ups, as `cache.hits` and `cache.misses`.
    pub caches: BTreeMap<String, Vec<u64>>,
    /// Questions, as `neighbour.answered` and `neighbour.failed`.
    pub neighbours: BTreeMap<String, Vec<u64>>,
    /// Requests under way at the end of each step.
    pub in_flight: Vec<u64>,
    /// Client connections at the end of each step.
    pub connections: Vec<u64>,
}

/// Counts of each step by a word.
pub type Columns = BTreeMap<&'static str, Vec<u64>>;
