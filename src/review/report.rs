//! What a replay found, as text for people and as JSON for machines.

use std::fmt::Write as _;

use serde::Serialize;

use crate::review::replay::Counts;
use crate::review::replay::Tally;
use crate::review::table::Side;
use crate::review::table::columns;
use crate::review::table::number;

/// The report. The numbers of projects add up to all changes with `other_projects`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The decisions that were read.
    pub decisions: u64,
    /// The lines that are none.
    pub bad_lines: u64,
    /// Those that would come out as they did.
    pub unchanged: u64,
    /// Those that would come out otherwise.
    pub changed: u64,
    /// Those that can not be decided anew.
    pub undecided: u64,
    /// Why not, the most frequent first.
    pub undecided_because: Vec<Because>,
    /// The kinds of change, the most frequent first.
    pub changes: Vec<Change>,
    /// The calls that went to Glance and would be refused, by what Glance had answered.
    pub newly_refused: Judged,
    /// The changes by rule, the most frequent first.
    pub rules: Vec<Part>,
    /// The changes by project, the most frequent first, as many as were asked for.
    pub projects: Vec<Part>,
    /// The changes of all other projects.
    pub other_projects: u64,
}

/// Why decisions can not be made anew.
#[derive(Debug, Serialize)]
pub struct Because {
    /// Why.
    pub why: &'static str,
    /// How many.
    pub count: u64,
}

/// One kind of change.
#[derive(Debug, Serialize)]
pub struct Change {
    /// What it was: verdict, status and rule.
    pub was: String,
    /// What it would be.
    pub would_be: String,
    /// What that means to the client.
    pub kind: &'static str,
    /// How often.
    pub count: u64,
    /// Some request ids.
    pub examples: Vec<String>,
}

/// Refusals by what Glance had answered.
#[derive(Debug, Serialize)]
pub struct Judged {
    /// All of them.
    pub count: u64,
    /// Glance answered the same.
    pub glance_agreed: u64,
    /// Glance answered otherwise.
    pub glance_disagreed: u64,
    /// Glance gave no answer that can be compared.
    pub unknown: u64,
}

/// The changes of one rule or project.
#[derive(Debug, Serialize)]
pub struct Part {
    /// The reason of the rule, or the id of the project; `-` for calls whose project is not known.
    pub name: String,
    /// All changes.
    pub changed: u64,
    /// Calls that were refused and would go to Glance.
    pub no_longer_refused: u64,
    /// Calls that went to Glance and would be refused.
    pub newly_refused: Judged,
}

impl Report {
    /// Sums up, with this many projects.
    pub fn new(tally: &Tally, bad_lines: u64, top: usize) -> Self {
        let mut undecided_because: Vec<Because> =
            tally.gaps.iter().map(|(gap, count)| Because { why: gap.as_str(), count: *count }).collect();
        undecided_because.sort_by_key(|because| std::cmp::Reverse(because.count));
        let mut changes: Vec<Change> = tally
            .changes
            .iter()
            .map(|((was, would_be), change)| Change {
                was: was.clone(),
                would_be: would_be.clone(),
                kind: change.kind.as_str(),
                count: change.count,
                examples: change.examples.clone(),
            })
            .collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.count));
        let rules = parts(tally.rules.iter().map(|(rule, counts)| Part::new(rule, *counts)));
        let mut projects = parts(tally.projects.iter().map(|(project, counts)| Part::new(project, *counts)));
        projects.truncate(top);
        let named: u64 = projects.iter().map(|project| project.changed).sum();
        Self {
            decisions: tally.decisions,
            bad_lines,
            unchanged: tally.unchanged,
            changed: tally.changed(),
            undecided: tally.undecided(),
            undecided_because,
            changes,
            newly_refused: Judged::new(tally.all),
            rules,
            projects,
            other_projects: tally.changed() - named,
        }
    }

    /// Writes the report for people.
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "{} decisions: {} would change, {} would not, {} can not be decided anew\n",
            number(self.decisions),
            number(self.changed),
            number(self.unchanged),
            number(self.undecided)
        );
        let undecided: Vec<Vec<String>> =
            self.undecided_because.iter().map(|because| vec![number(because.count), because.why.into()]).collect();
        out.push_str(&columns(2, &[Side::Right, Side::Left], &undecided));
        if self.bad_lines > 0 {
            // writing to a string can not fail
            let _ = writeln!(out, "lines left out because they are no decisions: {}", number(self.bad_lines));
        }
        if self.changed > 0 {
            out.push_str(&self.changes_text());
        }
        out
    }

    fn changes_text(&self) -> String {
        let mut rows = vec![["calls", "were", "", "would be", "to the client"].map(String::from).to_vec()];
        rows.extend(self.changes.iter().map(|change| {
            let count = number(change.count);
            vec![count, change.was.clone(), "->".into(), change.would_be.clone(), change.kind.into()]
        }));
        let mut out = String::from("\nWhat would change\n");
        let sides = [Side::Right, Side::Left, Side::Left, Side::Left, Side::Left];
        out.push_str(&columns(2, &sides, &rows));
        let newly = &self.newly_refused;
        if newly.count > 0 {
            let _ = writeln!(
                out,
                "\nOf {} newly refused calls Glance had answered the same to {}, otherwise to {}, and to {} nobody knows.",
                number(newly.count),
                number(newly.glance_agreed),
                number(newly.glance_disagreed),
                number(newly.unknown)
            );
        }
        let _ = write!(out, "\nBy rule\n{}", parts_text(&self.rules));
        let _ = write!(out, "\nBy project\n{}", parts_text(&self.projects));
        if self.other_projects > 0 {
            let _ = writeln!(out, "  changes of other projects: {}", number(self.other_projects));
        }
        out
    }
}

fn parts(parts: impl Iterator<Item = Part>) -> Vec<Part> {
    let mut parts: Vec<Part> = parts.collect();
    // the same order each time, also among equals
    parts.sort_by(|left, right| right.changed.cmp(&left.changed).then_with(|| left.name.cmp(&right.name)));
    parts
}

fn parts_text(parts: &[Part]) -> String {
    let head = ["", "changed", "no longer refused", "newly refused", "Glance agreed", "Glance disagreed"];
    let mut rows = vec![head.map(String::from).to_vec()];
    rows.extend(parts.iter().map(|part| {
        let newly = &part.newly_refused;
        let counts = [part.changed, part.no_longer_refused, newly.count, newly.glance_agreed, newly.glance_disagreed]
            .map(number);
        [part.name.clone()].into_iter().chain(counts).collect()
    }));
    columns(2, &[Side::Left, Side::Right, Side::Right, Side::Right, Side::Right, Side::Right], &rows)
}

impl Judged {
    fn new(counts: Counts) -> Self {
        Self {
            count: counts.newly_refused,
            glance_agreed: counts.agreed,
            glance_disagreed: counts.disagreed,
            unknown: counts.unknown,
        }
    }
}

impl Part {
    fn new(name: &str, counts: Counts) -> Self {
        Self {
            name: name.into(),
            changed: counts.changed,
            no_longer_refused: counts.no_longer_refused,
            newly_refused: Judged::new(counts),
        }
    }
}
