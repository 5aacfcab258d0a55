//! What an answer is by a contract: kept, stricter, or not.

use serde::Serialize;

use crate::conform::asking::Asked;
use crate::conform::vectors::Contract;
use crate::conform::vectors::Vector;

/// What an answer is by one contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// What the contract says.
    Kept,
    /// A refusal where the contract would let through what can be read in two ways, or is too large.
    Stricter,
    /// Something else.
    Deviates,
    /// The contract does not say.
    Open,
    /// It was not asked.
    Skipped,
}

/// Judges what became of a question by a contract.
pub fn judge(vector: &Vector, asked: &Asked, contract: Contract) -> Verdict {
    let (status, faults) = match asked {
        Asked::Skipped(_) => return Verdict::Skipped,
        Asked::Unprepared(_) | Asked::Unanswered(_) => return Verdict::Deviates,
        Asked::Answered { status, faults } => (*status, faults),
    };
    if !faults.is_empty() {
        return Verdict::Deviates;
    }
    match vector.status(contract) {
        None => Verdict::Open,
        Some(wanted) if wanted == status => Verdict::Kept,
        Some(_) if vector.stricter.contains(&status) => Verdict::Stricter,
        Some(_) => Verdict::Deviates,
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;
    use super::judge;
    use crate::conform::asking::Asked;
    use crate::conform::vectors::Contract;
    use crate::conform::vectors::Vector;

    #[test]
    fn an_answer_is_judged_by_its_status_and_its_faults() {
        let vectors = Vector::all().expect("good lines");
        let named = |id: &str| vectors.iter().find(|vector| vector.id == id).expect("a question");
        let answered = |status| Asked::Answered { status, faults: Vec::new() };
        for (id, asked, verdict) in [
            ("roles/member-accepted", answered(200), Verdict::Kept),
            ("roles/member-accepted", answered(403), Verdict::Deviates),
            ("roles/owner-accepted", answered(200), Verdict::Deviates),
            ("roles/owner-no-members", answered(404), Verdict::Kept),
            ("roles/owner-no-members", answered(403), Verdict::Deviates),
            ("body/doubled", answered(200), Verdict::Kept),
            ("body/doubled", answered(400), Verdict::Stricter),
            ("body/doubled", answered(403), Verdict::Deviates),
            ("roles/reader", Asked::Skipped("there is no reader".into()), Verdict::Skipped),
            ("roles/member-accepted", Asked::Unanswered("it did not answer in time".into()), Verdict::Deviates),
            ("roles/member-accepted", Asked::Answered { status: 200, faults: vec!["x".into()] }, Verdict::Deviates),
        ] {
            assert_eq!(judge(named(id), &asked, Contract::GlanceNew), verdict, "{id}: {asked:?}");
        }
        assert_eq!(judge(named("roles/reader"), &answered(200), Contract::Documented), Verdict::Open);
    }
}
