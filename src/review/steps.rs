//! One decision step by step: which check said what, on what, and how old that was.

use std::cmp::Ordering;

use serde::Deserialize;
use serde::Serialize;

use crate::openstack::member_action::Action;
use crate::refusal::Refusal;
use crate::review::anew::identity;
use crate::review::reasons::why_asked;
use crate::review::reasons::why_permitted;
use crate::review::reasons::why_refused;
use crate::review::runbook;
use crate::review::stage::Stage;
use crate::rules::record::Record;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The check.
    pub name: String,
    /// What it did.
    pub result: StepResult,
    /// What it said, in words.
    pub says: String,
    /// How old the knowledge was that it rests on, in milliseconds.
    pub age_ms: Option<u64>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// It let the call go on.
    Passed,
    /// It decided what became of the call.
    Decided,
    /// The call did not come that far.
    NotReached,
    /// It follows from what was decided.
    Follows,
}

/// Returns the checks that the call went through, with the one that decided.
pub fn checks(record: &Record) -> Vec<Step> {
    let refusal = record.rule.as_deref().and_then(Refusal::parse);
    let stopped = refusal.map_or_else(|| decided_at(record), |refusal| Stage::of(refusal, record.cause.as_deref()));
    Stage::ALL
        .into_iter()
        // the way to Glance only counts where something went wrong on it
        .filter(|stage| *stage != Stage::Glance || stopped == Stage::Glance)
        .map(|stage| {
            let (result, says) = match stage.cmp(&stopped) {
                Ordering::Less => (StepResult::Passed, passed(stage, record)),
                Ordering::Equal => (StepResult::Decided, decided(stage, record, refusal)),
                Ordering::Greater if refusal.is_none() => (StepResult::NotReached, "not needed".into()),
                Ordering::Greater => (StepResult::NotReached, "not reached".into()),
            };
            let age_ms = if result == StepResult::NotReached { None } else { age(stage, record) };
            Step { name: stage.as_str().into(), result, says, age_ms }
        })
        .collect()
}

/// Where a call was decided that no rule said no to.
fn decided_at(record: &Record) -> Stage {
    if is_for_glance(record) { Stage::Identity } else { Stage::Decision }
}

/// Tells whether nobody need look at the image: the caller is an admin, or asks for no project.
fn is_for_glance(record: &Record) -> bool {
    identity(&record.inputs).is_ok_and(|identity| identity.project().is_none() || identity.roles.has("admin"))
}

fn age(stage: Stage, record: &Record) -> Option<u64> {
    match stage {
        Stage::Token => record.inputs.token_age_ms,
        Stage::Ownership => record.inputs.ownership_age_ms,
        Stage::Limits
        | Stage::AccessRules
        | Stage::Method
        | Stage::Media
        | Stage::Body
        | Stage::Identity
        | Stage::Decision
        | Stage::Glance => None,
    }
}

fn decided(stage: Stage, record: &Record, refusal: Option<Refusal>) -> String {
    match refusal {
        Some(refusal) if stage == Stage::Decision => format!("no: {}", why_refused(refusal)),
        Some(refusal) => {
            let what = runbook::row(refusal).map_or_else(|| refusal.reason().into(), |row| row.what);
            match &record.cause {
                Some(cause) => format!("no: {what} Cause: {cause}"),
                None => format!("no: {what}"),
            }
        }
        None if record.verdict == "asked" => why_asked(record).into(),
        None => why_permitted(record).into(),
    }
}

fn passed(stage: Stage, record: &Record) -> String {
    let inputs = &record.inputs;
    match stage {
        Stage::Limits => "there was room for the call".into(),
        Stage::Token => token(record),
        Stage::AccessRules => "none forbids the call".into(),
        Stage::Method => inputs.method.clone(),
        Stage::Media => match inputs.media.as_deref() {
            _ if !has_body(record) => "none is expected".into(),
            Some("json") => "JSON, or nothing said".into(),
            Some("encoded") => "compressed, which this profile does not look at".into(),
            _ => "another than JSON, which this profile does not look at".into(),
        },
        Stage::Body if !has_body(record) => "none, as it should be".into(),
        Stage::Body if inputs.action() == Some(Action::Create) => match &inputs.member {
            Some(member) => format!("asks for the member {member}"),
            None => "asks for a member that is no id of a project".into(),
        },
        Stage::Body => match inputs.member_status.as_deref() {
            Some("unknown") => "asks for a status that is none of the three; that is judged last".into(),
            Some(status) => format!("asks for {status}"),
            None => "read".into(),
        },
        Stage::Identity if is_for_glance(record) => "an admin's token, or none of a project: nobody looks".into(),
        Stage::Identity => "a project's token without the role admin: decided here".into(),
        Stage::Ownership => ownership(record),
        Stage::Decision | Stage::Glance => "the call went on to Glance".into(),
    }
}

/// Tells whether Glance reads a body with the call.
fn has_body(record: &Record) -> bool {
    record.inputs.action().is_none_or(Action::has_body)
}

fn token(record: &Record) -> String {
    let inputs = &record.inputs;
    let scope = match (inputs.scope.as_deref(), &inputs.project) {
        (_, Some(project)) => format!("project {project}"),
        (Some("domain"), None) => "a domain".into(),
        (Some("system"), None) => "the whole system".into(),
        (_, None) => "no scope".into(),
    };
    let user = inputs.user.as_ref().map_or_else(String::new, |user| format!(", user {user}"));
    let roles = match &inputs.roles {
        Some(roles) if roles.is_empty() => "no roles".into(),
        Some(roles) => format!("roles {}", roles.join(" ")),
        None => "roles not known".into(),
    };
    format!("{scope}{user}, {roles}")
}

fn ownership(record: &Record) -> String {
    let inputs = &record.inputs;
    let eyes = match inputs.lookup_as.as_deref() {
        Some("service") => "the gate's own token",
        _ => "the caller's token",
    };
    match inputs.seen.as_deref() {
        Some("image") => {
            let owner = inputs.owner.as_ref().map_or_else(|| "without owner".into(), |owner| format!("owner {owner}"));
            format!("{owner}, {}; seen with {eyes}", inputs.visibility.as_deref().unwrap_or("visibility not known"))
        }
        Some("impossible") => "no image can have this id: ids are lower-case UUIDs".into(),
        Some(_) => format!("Glance shows no such image to {eyes}"),
        None => "not needed".into(),
    }
}
