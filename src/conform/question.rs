//! One question in the report.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::conform::asking::Asked;
use crate::conform::judge::Verdict;
use crate::conform::judge::judge;
use crate::conform::vectors::Contract;
use crate::conform::vectors::Vector;

/// One question and what became of it.
#[derive(Debug, Serialize)]
pub struct Question {
    /// Its name.
    pub id: String,
    /// What was asked.
    pub asks: String,
    /// Who asked.
    pub caller: &'static str,
    /// The method.
    pub method: String,
    /// The path, with places that were filled in.
    pub target: String,
    /// The status by contract; nothing where it does not say.
    pub expected: BTreeMap<Contract, Option<u16>>,
    /// The status that came.
    pub got: Option<u16>,
    /// What else is wrong, or why there is no status.
    pub faults: Vec<String>,
    /// What it is by contract.
    pub verdicts: BTreeMap<Contract, Verdict>,
}

impl Question {
    /// Judges what became of a question by each contract.
    pub fn new(vector: Vector, asked: &Asked) -> Self {
        let (got, faults) = match asked {
            Asked::Skipped(why) => (None, vec![format!("not asked: {why}")]),
            Asked::Unprepared(why) => (None, vec![format!("it could not be asked: {why}")]),
            Asked::Unanswered(why) => (None, vec![format!("no answer: {why}")]),
            Asked::Answered { status, faults } => (Some(*status), faults.clone()),
        };
        let expected = Contract::ALL.map(|contract| (contract, vector.status(contract))).into();
        let verdicts = Contract::ALL.map(|contract| (contract, judge(&vector, asked, contract))).into();
        let caller = vector.caller.as_str();
        let Vector { id, asks, method, target, .. } = vector;
        Self { id, asks, caller, method, target, expected, got, faults, verdicts }
    }

    /// Returns what it is by one contract.
    pub fn verdict(&self, contract: Contract) -> Verdict {
        self.verdicts.get(&contract).copied().unwrap_or(Verdict::Skipped)
    }

    /// Tells what came.
    pub fn told_got(&self) -> String {
        match (self.got, self.verdict(Contract::GlanceNew)) {
            (Some(status), _) => status.to_string(),
            (None, Verdict::Skipped) => "-".into(),
            (None, _) => "nothing".into(),
        }
    }
}
