//! Recorded differences between the primary and staging, counted anew.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::SystemTime;

use serde::Serialize;

use crate::diff::found::Kind;
use crate::diff::ignore::RuleState;
use crate::diff::ignore::Rules;
use crate::diff::ignore::Seen;
use crate::diff::line;
use crate::diff::line::Line;
use crate::diff::line::Pair;
use crate::diff::line::Stands;
use crate::diff::line::Told;
use crate::review::lines;
use crate::telemetry::timestamp;

/// Counts lines as they come.
#[derive(Debug)]
pub struct Differences {
    /// Rules in the place of those that were in force when the lines were written.
    rules: Option<Rules>,
    since: Option<SystemTime>,
    now: SystemTime,
    /// What is counted.
    pub tally: Tally,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many lines were looked at.
    pub lines: u64,
    /// Pairs in which nothing differs that counted then.
    pub equal: u64,
    /// Pairs in which something did.
    pub differs: u64,
    /// Pairs whose bodies were not compared.
    pub not_compared: u64,
    /// Pairs that lines tell of.
    pub pairs: u64,
    /// Pairs that differ in more fields than their lines tell.
    pub cut: u64,
    /// Differences that count.
    pub counts: u64,
    /// Differences that a rule explains.
    pub ignored: u64,
    /// Differences that were learned to be noise.
    pub learned: u64,
    /// Differences of kinds that found no room.
    pub further: u64,
    /// The kinds of difference.
    pub kinds: BTreeMap<Key, Counted>,
}

/// One kind of difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The route.
    pub route: String,
    /// The method.
    pub method: String,
    /// The field.
    pub field: String,
    /// How it differs.
    pub kind: Kind,
    /// The primary's status.
    pub primary: u16,
    /// The staging's status.
    pub staging: u16,
}

/// What was counted of a kind.
#[derive(Debug, Default)]
pub struct Counted {
    /// How often it counts.
    pub counts: u64,
    /// How often a rule explains it.
    pub ignored: u64,
    /// How often it was learned noise.
    pub learned: u64,
    /// The rules' reasons.
    pub reasons: BTreeSet<String>,
    /// When it was seen first, RFC 3339.
    pub first: String,
    /// When it was seen last.
    pub last: String,
    /// Some of its pairs.
    pub examples: Vec<Example>,
}

/// A pair of answers.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// The id of the request.
    pub request_id: String,
    /// Its path and query.
    pub target: String,
    /// What the primary says.
    pub primary: Option<String>,
    /// What staging says.
    pub staging: Option<String>,
}

/// How many kinds are told apart.
const MAX_KINDS: usize = 10_000;
/// How many examples are kept of each.
const EXAMPLES: usize = 3;
/// How many reasons are.
const REASONS: usize = 10;

impl Differences {
    /// Counts lines that were written at that time or later, with these rules in the place of those that were in force.
    pub fn new(rules: Option<Rules>, since: Option<SystemTime>, now: SystemTime) -> Self {
        Self { rules, since, now, tally: Tally::default() }
    }

    /// Counts a line.
    pub fn take(&mut self, line: &Line) {
        let time = match line {
            Line::Pair(pair) => &pair.time,
            Line::Summary(summary) => &summary.time,
        };
        if self.since.is_some_and(|since| timestamp::parse(time).is_none_or(|time| time < since)) {
            return;
        }
        self.tally.lines += 1;
        match line {
            Line::Pair(pair) => self.pair(pair),
            Line::Summary(summary) => {
                self.tally.equal += summary.equal;
                self.tally.differs += summary.differs;
                self.tally.not_compared += summary.not_compared;
            }
        }
    }

    /// Returns how each of the given rules stands.
    pub fn rules(&self) -> Vec<RuleState> {
        self.rules.as_ref().map(|rules| rules.states(self.now)).unwrap_or_default()
    }

    fn pair(&mut self, pair: &Pair) {
        self.tally.pairs += 1;
        self.tally.cut += u64::from(pair.is_cut);
        for told in &pair.differences {
            let (stands, reason) = self.standing(pair, told);
            match stands {
                Stands::Counts => self.tally.counts += 1,
                Stands::Ignored => self.tally.ignored += 1,
                Stands::Learned => self.tally.learned += 1,
                Stands::BuiltIn => continue,
            }
            self.tally.add(pair, told, stands, reason);
        }
    }

    /// Returns what is made of a difference now; what was learned stays so, for nobody can learn it anew.
    fn standing(&self, pair: &Pair, told: &Told) -> (Stands, Option<String>) {
        let Some(rules) = &self.rules else { return (told.standing, told.reason.clone()) };
        if matches!(told.standing, Stands::Learned | Stands::BuiltIn) {
            return (told.standing, None);
        }
        let seen = Seen {
            method: &pair.method,
            route: &pair.route,
            field: &told.field,
            kind: told.kind,
            primary: pair.primary_status,
            staging: pair.staging_status,
        };
        match rules.reason(seen, self.now) {
            Some(reason) => (Stands::Ignored, Some(reason.as_ref().into())),
            None => (Stands::Counts, None),
        }
    }
}

impl Tally {
    /// Returns how many pairs were compared, as far as it was written down.
    pub fn compared(&self) -> u64 {
        self.equal + self.differs + self.not_compared
    }

    fn add(&mut self, pair: &Pair, told: &Told, stands: Stands, reason: Option<String>) {
        let key = Key {
            route: pair.route.clone(),
            method: pair.method.clone(),
            field: told.field.clone(),
            kind: told.kind,
            primary: pair.primary_status,
            staging: pair.staging_status,
        };
        if !self.kinds.contains_key(&key) && self.kinds.len() >= MAX_KINDS {
            self.further += 1;
            return;
        }
        let counted = self.kinds.entry(key).or_default();
        match stands {
            Stands::Counts => counted.counts += 1,
            Stands::Ignored => counted.ignored += 1,
            Stands::Learned | Stands::BuiltIn => counted.learned += 1,
        }
        if counted.reasons.len() < REASONS {
            counted.reasons.extend(reason);
        }
        if counted.first.is_empty() || pair.time < counted.first {
            counted.first.clone_from(&pair.time);
        }
        if pair.time > counted.last {
            counted.last.clone_from(&pair.time);
        }
        if counted.examples.len() < EXAMPLES {
            counted.examples.push(Example {
                request_id: pair.request_id.clone(),
                target: pair.target.clone(),
                primary: told.primary.clone(),
                staging: told.staging.clone(),
            });
        }
    }
}

/// Reads a line of differences.
///
/// # Errors
/// Tells what is wrong with it.
pub fn parse(line: &[u8]) -> Result<Line, String> {
    lines::value(line).and_then(line::read)
}
