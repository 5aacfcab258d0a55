//! What was found out about an endpoint, as text for people and as JSON for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::conform::Images;
use crate::conform::Plan;
use crate::conform::asking::Asked;
use crate::conform::judge::Verdict;
use crate::conform::question::Question;
use crate::conform::vectors::Contract;
use crate::conform::vectors::GROUPS;
use crate::conform::vectors::SCHEMAS;
use crate::conform::vectors::Vector;

/// The report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The endpoint.
    pub endpoint: String,
    /// How the questions ended.
    pub end: End,
    /// The contract that it is judged by: the one that was asked for, or the Glance's that it keeps best.
    pub contract: Contract,
    /// Whether it keeps that contract.
    pub conforms: bool,
    /// What it is by each contract.
    pub contracts: Vec<Tally>,
    /// How many questions were not asked, by what they need.
    pub skipped: BTreeMap<String, usize>,
    /// The questions.
    pub questions: Vec<Question>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// The images that are still there, or may be.
    pub images_left: Vec<String>,
    /// Whether they were to stay.
    #[serde(skip)]
    images: Images,
}

/// How the questions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// All were asked.
    Complete,
    /// Somebody stopped it.
    Stopped,
    /// There was no more time.
    OutOfTime,
    /// The endpoint did not answer any more.
    Silent,
}

/// What the answers are by one contract.
#[derive(Debug, Serialize)]
pub struct Tally {
    /// The contract.
    pub contract: Contract,
    /// How many are what it says.
    pub kept: usize,
    /// How many are stricter.
    pub stricter: usize,
    /// How many are something else.
    pub deviating: usize,
    /// How many it says nothing of.
    pub open: usize,
}

impl Report {
    /// Judges what became of the questions.
    pub fn new(
        plan: &Plan,
        vectors: Vec<Vector>,
        asked: &[Asked],
        notes: Vec<String>,
        end: End,
        images_left: Vec<String>,
    ) -> Self {
        let questions: Vec<Question> =
            vectors.into_iter().zip(asked).map(|(vector, asked)| Question::new(vector, asked)).collect();
        let contracts: Vec<Tally> = Contract::ALL.map(|contract| Tally::new(contract, &questions)).into();
        let mut skipped = BTreeMap::new();
        for why in asked.iter().filter_map(|asked| if let Asked::Skipped(why) = asked { Some(why) } else { None }) {
            *skipped.entry(why.clone()).or_default() += 1;
        }
        let deviating =
            |contract| contracts.iter().find(|tally| tally.contract == contract).map(|tally| tally.deviating);
        let closest = || [Contract::GlanceNew, Contract::GlanceLegacy].into_iter().min_by_key(|one| deviating(*one));
        let contract = plan.contract.or_else(closest).unwrap_or(Contract::GlanceNew);
        let conforms = end == End::Complete && deviating(contract) == Some(0);
        let (endpoint, images) = (plan.url.clone(), plan.images);
        Self { endpoint, end, contract, conforms, contracts, skipped, questions, notes, images_left, images }
    }

    /// Tells whether it could be judged: all was asked, or enough to know that it does not conform, and no image that
    /// should be gone is left.
    pub fn is_judged(&self) -> bool {
        let deviates = self.questions.iter().any(|one| one.verdict(self.contract) == Verdict::Deviates);
        let is_clean = self.images == Images::Kept || self.images_left.is_empty();
        is_clean && (self.end == End::Complete || deviates)
    }

    /// Writes it for people; all questions, or only those that deviate.
    pub fn to_text(&self, detail: Detail) -> String {
        let mut out = format!("{}\n\n", self.endpoint);
        self.groups(&mut out, detail);
        self.deviations(&mut out);
        self.documented(&mut out);
        for (why, count) in &self.skipped {
            line(&mut out, format_args!("not asked: {count}, because {why}"));
        }
        for note in &self.notes {
            line(&mut out, format_args!("note: {note}"));
        }
        if !self.images_left.is_empty() {
            let why = match self.images {
                Images::Kept => "kept",
                Images::Removed => "NOT REMOVED, please delete",
            };
            line(&mut out, format_args!("images {why}: {}", self.images_left.join(" ")));
        }
        self.verdict(&mut out);
        out
    }

    fn groups(&self, out: &mut String, detail: Detail) {
        line(
            out,
            format_args!("{:<48}{:>6}{:>6}{:>10}{:>10}", "what was asked", "asked", "kept", "stricter", "deviates"),
        );
        for group in GROUPS.into_iter().chain([SCHEMAS]) {
            let of_group = |one: &&Question| one.id.split('/').next() == Some(group.name);
            let count = |verdict| {
                self.questions.iter().filter(of_group).filter(|one| one.verdict(self.contract) == verdict).count()
            };
            let (kept, stricter, deviating) =
                (count(Verdict::Kept) + count(Verdict::Open), count(Verdict::Stricter), count(Verdict::Deviates));
            let asked = kept + stricter + deviating;
            line(out, format_args!("{:<48}{asked:>6}{kept:>6}{stricter:>10}{deviating:>10}", group.title));
            if detail == Detail::All {
                for one in self.questions.iter().filter(of_group) {
                    line(out, format_args!("    {:<10}{:<44}{}", one.told_got(), one.id, one.asks));
                }
            }
        }
    }

    fn deviations(&self, out: &mut String) {
        for group in GROUPS.into_iter().chain([SCHEMAS]) {
            let deviating: Vec<&Question> = self
                .questions
                .iter()
                .filter(|one| {
                    one.id.split('/').next() == Some(group.name) && one.verdict(self.contract) == Verdict::Deviates
                })
                .collect();
            if deviating.is_empty() {
                continue;
            }
            line(out, format_args!("\nDEVIATES: {}; {}", group.title, group.why));
            for one in deviating {
                let expected = one.expected.get(&self.contract).copied().flatten();
                let expected = expected.map_or_else(|| "-".into(), |status| status.to_string());
                line(out, format_args!("  {}: {} ({}, {})", one.id, one.asks, one.caller, one.method));
                line(out, format_args!("      expected {expected}, got {}", one.told_got()));
                for fault in &one.faults {
                    line(out, format_args!("      {fault}"));
                }
            }
        }
    }

    /// Tells where the documentation says something else than the endpoint does.
    fn documented(&self, out: &mut String) {
        if self.contract == Contract::Documented {
            return;
        }
        let others: Vec<&Question> = self
            .questions
            .iter()
            .filter(|one| {
                one.verdict(Contract::Documented) == Verdict::Deviates
                    && one.verdict(self.contract) != Verdict::Deviates
            })
            .collect();
        if others.is_empty() {
            return;
        }
        line(out, format_args!("\nThe documentation says otherwise:"));
        for one in others {
            let expected = one.expected.get(&Contract::Documented).copied().flatten().unwrap_or_default();
            line(
                out,
                format_args!("  {:<44}{} says the documentation, {} was answered", one.id, expected, one.told_got()),
            );
        }
        out.push('\n');
    }

    fn verdict(&self, out: &mut String) {
        out.push('\n');
        for tally in &self.contracts {
            let asked = tally.kept + tally.stricter + tally.deviating;
            line(
                out,
                format_args!(
                    "{:<15}{:>4} of {asked} as it says, {} stricter, {} deviate",
                    tally.contract.as_str(),
                    tally.kept,
                    tally.stricter,
                    tally.deviating
                ),
            );
        }
        let ended = match self.end {
            End::Complete => "",
            End::Stopped => " It was stopped before all was asked.",
            End::OutOfTime => " There was no time to ask all.",
            End::Silent => " It did not answer any more.",
        };
        let verdict = match (self.conforms, self.is_judged()) {
            (true, _) => "conforms to",
            (false, true) => "DOES NOT CONFORM to",
            (false, false) => "COULD NOT BE JUDGED by",
        };
        line(out, format_args!("\n{} {verdict} {}.{ended}", self.endpoint, self.contract.as_str()));
    }
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The groups, and the questions that deviate.
    Deviations,
    /// All questions.
    All,
}

impl Tally {
    fn new(contract: Contract, questions: &[Question]) -> Self {
        let count = |verdict| questions.iter().filter(|one| one.verdict(contract) == verdict).count();
        Self {
            contract,
            kept: count(Verdict::Kept),
            stricter: count(Verdict::Stricter),
            deviating: count(Verdict::Deviates),
            open: count(Verdict::Open),
        }
    }
}

/// Adds a line. Writing to a text can not fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = writeln!(out, "{text}");
}
