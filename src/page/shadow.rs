//! What staging answers otherwise than the primary, as the page of differences and scripts read it.

use std::collections::BTreeMap;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde::Serialize;

use crate::diff::ignore::RuleState;
use crate::diff::judge::Overview;
use crate::diff::learned;
use crate::diff::learned::Noise;
use crate::diff::ledger;
use crate::diff::ledger::Entry;
use crate::diff::ledger::Example;
use crate::diff::line::Stands;
use crate::page::reading::Reading;
use crate::page::reading::Sample;

/// The version of the document.
const SCHEMA: u32 = 1;
/// What the names of all metrics of the shadow begin with.
const METRICS: &str = "shadow_";
/// Those of them that the rest of the document tells in more detail.
const OF_DIFFERENCES: [&str; 5] = [
    "shadow_differences_total",
    "shadow_compared_total",
    "shadow_difference_lines_total",
    "shadow_ignore_rules",
    "shadow_learned_noise",
];

/// The document.
#[derive(Debug, Serialize)]
pub struct Shadow {
    /// The version of the document.
    pub schema: u32,
    /// This moment, in seconds since 1970.
    pub now: u64,
    /// Since when all is counted.
    pub since: u64,
    /// The pairs of answers that were compared.
    pub compared: Compared,
    /// The same by route.
    pub routes: Vec<Route>,
    /// The kinds of difference, those first that count most often.
    pub differences: Vec<Difference>,
    /// How many kinds were forgotten for the sake of others.
    pub forgotten: u64,
    /// The rules.
    pub rules: Vec<Rule>,
    /// What was learned.
    pub learned: Vec<Learned>,
    /// What became of lines of the file of differences.
    pub lines: BTreeMap<String, u64>,
    /// What else is counted of the shadow.
    pub copies: Vec<Figure>,
}

/// How many pairs were compared.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Compared {
    /// All of them.
    pub all: u64,
    /// Those in which nothing differs that counts.
    pub equal: u64,
    /// Those in which something does.
    pub differs: u64,
    /// Those whose bodies were not compared.
    pub not_compared: u64,
}

/// What was compared of a route.
#[derive(Debug, Serialize)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The route.
    pub route: &'static str,
    /// How many pairs.
    #[serde(flatten)]
    pub compared: Compared,
}

/// One kind of difference.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// The method.
    pub method: &'static str,
    /// The route.
    pub route: &'static str,
    /// The field.
    pub field: String,
    /// How it differs.
    pub kind: &'static str,
    /// The primary's status.
    pub primary_status: u16,
    /// The staging's status.
    pub staging_status: u16,
    /// In how many pairs it counts.
    pub counts: u64,
    /// In how many a rule explains it.
    pub ignored: u64,
    /// In how many it is learned noise.
    pub learned: u64,
    /// In how many it is noise of every Glance.
    pub built_in: u64,
    /// The part of the route's pairs that has it.
    pub share: f64,
    /// When it was seen first, in seconds since 1970.
    pub first: u64,
    /// When it was seen last.
    pub last: u64,
    /// Why it was ignored last.
    pub reason: Option<String>,
    /// The latest pairs.
    pub examples: Vec<Pair>,
}

/// A pair of answers.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// The id of the request.
    pub request_id: String,
    /// Its path and query.
    pub target: String,
    /// What the primary says.
    pub primary: Option<String>,
    /// What staging says.
    pub staging: Option<String>,
}

/// A rule.
#[derive(Debug, Serialize)]
pub struct Rule {
    /// Where it stands in its file.
    pub line: usize,
    /// What it is about.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// Its last day.
    pub expires: Option<String>,
    /// Whether that is over.
    pub is_expired: bool,
    /// How many differences it has explained.
    pub hits: u64,
}

/// What was learned of a field.
#[derive(Debug, Serialize)]
pub struct Learned {
    /// The method.
    pub method: &'static str,
    /// The route.
    pub route: &'static str,
    /// The field.
    pub field: String,
    /// How it differs.
    pub kind: &'static str,
    /// How often two answers of one side differed in it.
    pub seen: u32,
    /// When they did last, in seconds since 1970.
    pub last: u64,
    /// Whether that makes it noise.
    pub is_noise: bool,
    /// How many differences it has explained.
    pub hits: u64,
}

/// A figure of the metrics.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// Its name, without the gate's prefix.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// Puts the document together.
pub fn tell(overview: Overview, reading: &Reading, now: SystemTime) -> Shadow {
    let account = overview.account;
    let routes: Vec<Route> = account
        .routes
        .iter()
        .map(|((method, route), compared)| Route { method, route, compared: (*compared).into() })
        .collect();
    let all = routes.iter().fold(Compared::default(), |sum, route| sum.with(route.compared));
    let differences = account.entries.into_iter().map(|(key, entry)| Difference::new(key, entry, &routes)).collect();
    let lines = reading.all("shadow_difference_lines_total");
    let is_other = |sample: &&Sample| !OF_DIFFERENCES.contains(&sample.name()) && !sample.name().ends_with("_bucket");
    let others = reading.beginning(METRICS).filter(is_other);
    Shadow {
        schema: SCHEMA,
        now: seconds(now),
        since: seconds(account.since),
        compared: all,
        differences,
        routes,
        forgotten: account.forgotten,
        rules: overview.rules.into_iter().map(Rule::from).collect(),
        learned: overview.learned.into_iter().map(Learned::from).collect(),
        lines: lines.map(|sample| (sample.label("outcome").to_owned(), sample.count())).collect(),
        copies: others.map(Figure::from).collect(),
    }
}

impl Compared {
    fn with(self, other: Self) -> Self {
        Self {
            all: self.all + other.all,
            equal: self.equal + other.equal,
            differs: self.differs + other.differs,
            not_compared: self.not_compared + other.not_compared,
        }
    }
}

impl From<ledger::Compared> for Compared {
    fn from(counted: ledger::Compared) -> Self {
        let ledger::Compared { equal, differs, not_compared } = counted;
        Self { all: counted.all(), equal, differs, not_compared }
    }
}

impl Difference {
    fn new(key: ledger::Key, entry: Entry, routes: &[Route]) -> Self {
        let of_route = routes.iter().find(|route| (route.method, route.route) == (key.method, key.route));
        let all = of_route.map_or(0, |route| route.compared.all);
        let seen: u64 = Stands::ALL.iter().map(|stands| entry.count(*stands)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
        let share = if all == 0 { 0.0 } else { (seen as f64 / all as f64).min(1.0) };
        Self {
            method: key.method,
            route: key.route,
            field: key.field,
            kind: key.kind.as_str(),
            primary_status: key.primary,
            staging_status: key.staging,
            counts: entry.count(Stands::Counts),
            ignored: entry.count(Stands::Ignored),
            learned: entry.count(Stands::Learned),
            built_in: entry.count(Stands::BuiltIn),
            share,
            first: seconds(entry.first),
            last: seconds(entry.last),
            reason: entry.reason.as_deref().map(Into::into),
            examples: entry.examples.into_iter().map(Pair::from).collect(),
        }
    }
}

impl From<Example> for Pair {
    fn from(example: Example) -> Self {
        let Example { request_id, target, primary, staging } = example;
        Self { request_id, target, primary, staging }
    }
}

impl From<RuleState> for Rule {
    fn from(state: RuleState) -> Self {
        Self {
            line: state.rule.line,
            rule: state.rule.about(),
            reason: state.rule.reason.as_ref().into(),
            expires: state.rule.expires.map(|last| last.to_string()),
            is_expired: state.is_expired,
            hits: state.hits,
        }
    }
}

impl From<(learned::Key, Noise, bool)> for Learned {
    fn from((key, noise, is_noise): (learned::Key, Noise, bool)) -> Self {
        Self {
            method: key.method,
            route: key.route,
            field: key.field,
            kind: key.kind.as_str(),
            seen: noise.seen,
            last: seconds(noise.last),
            is_noise,
            hits: noise.hits,
        }
    }
}

impl From<&Sample> for Figure {
    fn from(sample: &Sample) -> Self {
        let labels = sample.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { name: sample.name().to_owned(), labels, value: sample.value }
    }
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
