//! What was counted of differences, as text for people and as JSON for machines.

use std::cmp::Reverse;
use std::fmt::Write as _;

use serde::Serialize;

use crate::diff::ignore::RuleState;
use crate::review::differences::Counted;
use crate::review::differences::Differences;
use crate::review::differences::Example;
use crate::review::differences::Key;
use crate::review::table::Side;
use crate::review::table::columns;
use crate::review::table::number;

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The pairs that were compared, as far as it was written down.
    pub compared: u64,
    /// Those in which nothing differed that counted when they were compared.
    pub equal: u64,
    /// Those in which something did.
    pub differs: u64,
    /// Those whose bodies were not compared.
    pub not_compared: u64,
    /// The pairs that lines tell of.
    pub pairs: u64,
    /// Those that differ in more fields than their lines tell.
    pub cut: u64,
    /// The lines that are none of differences.
    pub bad_lines: u64,
    /// The differences that count.
    pub counts: u64,
    /// Those that rules explain.
    pub ignored: u64,
    /// Those that were learned to be noise.
    pub learned: u64,
    /// Differences of kinds that are not told, for there are too many.
    pub further: u64,
    /// The kinds of difference, those first that count most often.
    pub differences: Vec<Row>,
    /// The given rules that explain nothing, or have expired.
    pub idle_rules: Vec<IdleRule>,
}

/// One kind of difference.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The method.
    pub method: String,
    /// The route.
    pub route: String,
    /// The field.
    pub field: String,
    /// How it differs.
    pub kind: &'static str,
    /// The primary's status.
    pub primary_status: u16,
    /// The staging's status.
    pub staging_status: u16,
    /// How often it counts.
    pub counts: u64,
    /// How often rules explain it.
    pub ignored: u64,
    /// How often it was learned noise.
    pub learned: u64,
    /// The part of all compared pairs in which it is seen; nothing if it was not written down how many those are.
    pub share: Option<f64>,
    /// The rules' reasons.
    pub reasons: Vec<String>,
    /// When it was seen first, RFC 3339.
    pub first: String,
    /// When it was seen last.
    pub last: String,
    /// Some of its pairs.
    pub examples: Vec<Example>,
}

/// A rule that explains nothing.
#[derive(Debug, Serialize)]
pub struct IdleRule {
    /// Where it stands in its file.
    pub line: usize,
    /// What it is about.
    pub rule: String,
    /// Its reason.
    pub reason: String,
    /// Whether it has expired.
    pub is_expired: bool,
}

impl Report {
    /// Sums up.
    pub fn new(differences: &Differences, bad_lines: u64) -> Self {
        let tally = &differences.tally;
        let compared = tally.compared();
        let mut rows: Vec<Row> = tally.kinds.iter().map(|(key, counted)| Row::new(key, counted, compared)).collect();
        // stable: equals stay in the order of their names
        rows.sort_by_key(|row| Reverse((row.counts, row.learned, row.ignored)));
        let idle = |state: &RuleState| state.hits == 0 || state.is_expired;
        Self {
            compared,
            equal: tally.equal,
            differs: tally.differs,
            not_compared: tally.not_compared,
            pairs: tally.pairs,
            cut: tally.cut,
            bad_lines,
            counts: tally.counts,
            ignored: tally.ignored,
            learned: tally.learned,
            further: tally.further,
            differences: rows,
            idle_rules: differences.rules().iter().filter(|state| idle(state)).map(IdleRule::new).collect(),
        }
    }

    /// Tells whether more counts than this many differences.
    pub fn is_beyond(&self, max: u64) -> bool {
        self.counts > max || self.cut > 0
    }

    /// Writes the report for people.
    pub fn to_text(&self) -> String {
        let mut out = if self.compared > 0 {
            let [compared, equal, differs, not_compared] =
                [self.compared, self.equal, self.differs, self.not_compared].map(number);
            format!("{compared} pairs compared: {equal} equal, {differs} differ, {not_compared} not compared\n")
        } else {
            format!("{} pairs that differ; how many were compared is not written down\n", number(self.pairs))
        };
        let [counts, ignored, learned] = [self.counts, self.ignored, self.learned].map(number);
        // writing to a string can not fail
        let _ = writeln!(out, "differences: {counts} count, {ignored} are ignored, {learned} are learned noise");
        for (many, what) in [
            (self.cut, "pairs that differ in more fields than are told"),
            (self.further, "differences of further kinds, for which there is no room"),
            (self.bad_lines, "lines left out because they are none of differences"),
        ] {
            if many > 0 {
                let _ = writeln!(out, "{what}: {}", number(many));
            }
        }
        self.part(&mut out, "What differs", |row| row.counts);
        self.part(&mut out, "Ignored", |row| row.ignored);
        self.part(&mut out, "Learned noise", |row| row.learned);
        if !self.idle_rules.is_empty() {
            out.push_str("\nRules that explain nothing\n");
            for rule in &self.idle_rules {
                let state = if rule.is_expired { " (expired)" } else { "" };
                let _ = writeln!(out, "  line {}: {}{state}: {}", rule.line, rule.rule, rule.reason);
            }
        }
        out
    }

    fn part(&self, out: &mut String, title: &str, count: impl Fn(&Row) -> u64) {
        let shown: Vec<&Row> = self.differences.iter().filter(|row| count(row) > 0).collect();
        if shown.is_empty() {
            return;
        }
        let head = ["pairs", "method", "route", "field", "kind", "statuses", "last seen"].map(String::from).to_vec();
        let rows = shown.iter().map(|row| {
            let statuses = format!("{} → {}", row.primary_status, row.staging_status);
            [number(count(row)), row.method.clone(), row.route.clone(), row.field.clone(), row.kind.into(), statuses]
                .into_iter()
                .chain([row.last.clone()])
                .collect()
        });
        let table: Vec<Vec<String>> = [head].into_iter().chain(rows).collect();
        let sides = [Side::Right, Side::Left, Side::Left, Side::Left, Side::Left, Side::Left, Side::Left];
        let text = columns(2, &sides, &table);
        let _ = writeln!(out, "\n{title}");
        for (at, line) in text.lines().enumerate() {
            let _ = writeln!(out, "{line}");
            let Some(row) = at.checked_sub(1).and_then(|at| shown.get(at)) else { continue };
            for reason in &row.reasons {
                let _ = writeln!(out, "      because {reason}");
            }
            if let Some(example) = row.examples.first() {
                let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
                let (primary, staging) = (value(&example.primary), value(&example.staging));
                let _ = writeln!(out, "      {} {}: {primary} → {staging}", example.request_id, example.target);
            }
        }
    }
}

impl Row {
    fn new(key: &Key, counted: &Counted, compared: u64) -> Self {
        let seen = counted.counts + counted.ignored + counted.learned;
        #[expect(clippy::cast_precision_loss, reason = "a share of a million pairs needs no more")]
        let share = (compared > 0).then(|| (seen as f64 / compared as f64 * 1e6).round() / 1e6);
        Self {
            method: key.method.clone(),
            route: key.route.clone(),
            field: key.field.clone(),
            kind: key.kind.as_str(),
            primary_status: key.primary,
            staging_status: key.staging,
            counts: counted.counts,
            ignored: counted.ignored,
            learned: counted.learned,
            share,
            reasons: counted.reasons.iter().cloned().collect(),
            first: counted.first.clone(),
            last: counted.last.clone(),
            examples: counted.examples.clone(),
        }
    }
}

impl IdleRule {
    fn new(state: &RuleState) -> Self {
        Self {
            line: state.rule.line,
            rule: state.rule.about(),
            reason: state.rule.reason.as_ref().into(),
            is_expired: state.is_expired,
        }
    }
}
