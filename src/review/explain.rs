//! Explains one decision: step by step, with what Glance said or would say, and what to do next.

use std::fmt::Write as _;

use serde::Deserialize;
use serde::Serialize;

use crate::member_update::decide::PolicyDefaults;
use crate::openstack::identity::ProjectId;
use crate::refusal::Refusal;
use crate::review::reasons::forecast;
use crate::review::reasons::in_words;
use crate::review::reasons::why_different;
use crate::review::runbook;
use crate::review::steps::Step;
use crate::review::steps::StepResult;
use crate::review::steps::checks;
use crate::review::table::Side;
use crate::review::table::columns;
use crate::review::table::seconds;
use crate::rules::record::Record;
use crate::rules::setting::cohort;

/// An explanation, for people by [`Explanation::to_text`] and for machines as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// In a line: what the client got and why.
    pub headline: String,
    /// Every step, in order.
    pub steps: Vec<Step>,
    /// What a Glance with each set of default policies would say, as far as the gate can tell.
    pub forecasts: Vec<Forecast>,
    /// What may be behind it that Glance answered otherwise; the likeliest first.
    pub differs_because: Vec<String>,
    /// What to do next.
    pub advice: Vec<String>,
    /// What all of it rests on.
    pub record: Record,
}

/// What is answered to who asks for an explanation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The explanations: an id that a client gave may have come more than once.
    pub found: Vec<Explanation>,
    /// Why there are none.
    pub problems: Vec<String>,
}

/// What a Glance would say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// Its default policies: `new` or `legacy`.
    pub policy_defaults: String,
    /// What it says.
    pub says: String,
}

/// Whether a call was made, or is only thought of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was made.
    Made,
    /// Nobody made it.
    Hypothetical,
}

impl Explanation {
    /// Explains what a record tells.
    pub fn of(record: Record, kind: Kind) -> Self {
        let mut steps = vec![request_line(&record)];
        steps.extend(checks(&record));
        steps.push(follows("rule", rule(&record)));
        steps.push(follows("client", client(&record, kind)));
        steps.push(follows("Glance", glance(&record, kind)));
        let forecasts = [PolicyDefaults::New, PolicyDefaults::Legacy].map(|defaults| Forecast {
            policy_defaults: defaults.as_str().into(),
            says: in_words(forecast(&record, defaults)),
        });
        Self {
            headline: headline(&record, kind),
            steps,
            forecasts: forecasts.into(),
            differs_because: why_different(&record),
            advice: advice(&record),
            record,
        }
    }

    /// Writes the explanation for people.
    pub fn to_text(&self) -> String {
        let mut out = format!("{}\n", self.headline);
        if self.record.request_id.is_empty() {
            out.push_str(
                "Nobody made this call; a good token, no access rules and a JSON body are taken for granted.\n",
            );
        } else {
            // writing to a string can not fail
            let _ = writeln!(out, "{}, {}", self.record.request_id, self.record.time);
        }
        let rows: Vec<Vec<String>> = self.steps.iter().map(row).collect();
        let _ = write!(out, "\n{}", columns(0, &[Side::Left, Side::Left, Side::Left], &rows));
        let rows: Vec<Vec<String>> = self
            .forecasts
            .iter()
            .map(|forecast| vec![format!("{} default policies", forecast.policy_defaults), forecast.says.clone()])
            .collect();
        let _ = write!(out, "\nWhat Glance would say\n{}", columns(3, &[Side::Left, Side::Left], &rows));
        for (title, lines) in [("Why Glance may differ", &self.differs_because), ("What to do", &self.advice)] {
            if !lines.is_empty() {
                let _ = write!(out, "\n{title}\n");
            }
            for line in lines {
                let _ = writeln!(out, "   - {line}");
            }
        }
        out
    }
}

impl Answer {
    /// Says why there is no explanation.
    pub fn problem(why: String) -> Self {
        Self { found: Vec::new(), problems: vec![why] }
    }

    /// Writes the answer for machines.
    pub fn to_json(&self) -> String {
        // only maps with keys that are no text could fail
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Writes the answer for people.
    pub fn to_text(&self) -> String {
        if self.found.is_empty() {
            return match self.problems.as_slice() {
                [why] => format!("Nothing can be explained: {why}\n"),
                reasons => {
                    let reasons = reasons.join("\n   - ");
                    format!("The gate knows nothing of it. What may be the reason:\n   - {reasons}\n")
                }
            };
        }
        let texts: Vec<String> = self.found.iter().map(Explanation::to_text).collect();
        texts.join("\n")
    }
}

fn row(step: &Step) -> Vec<String> {
    let mark = if step.result == StepResult::Decided { ">>" } else { "  " };
    let age = step.age_ms.map_or_else(String::new, |age| format!(" ({} ago)", seconds(age)));
    vec![mark.into(), step.name.clone(), format!("{}{age}", step.says)]
}

fn request_line(record: &Record) -> Step {
    let inputs = &record.inputs;
    let image = inputs.image.as_ref().map_or_else(String::new, |image| format!(", image {image}"));
    let member = inputs.member.as_ref().map_or_else(String::new, |member| format!(", member {member}"));
    let says = format!("{}{image}{member}", inputs.method);
    Step { name: "request".into(), result: StepResult::Passed, says, age_ms: None }
}

fn follows(name: &str, says: String) -> Step {
    Step { name: name.into(), result: StepResult::Follows, says, age_ms: None }
}

fn headline(record: &Record, kind: Kind) -> String {
    let reason = record.rule.as_deref().unwrap_or_default();
    let status = record.status;
    let would = record.would_answer.unwrap_or_default();
    match (record.verdict.as_str(), kind) {
        ("refused", Kind::Made) => format!("{status} {reason}, answered by the gate"),
        ("refused", Kind::Hypothetical) => format!("{would} {reason}, the gate would answer"),
        ("would_refuse", Kind::Made) => {
            format!("{status}, answered by Glance; the gate would say {would} {reason}, but the rule only observes")
        }
        ("would_refuse", Kind::Hypothetical) => {
            format!("Glance would answer; the gate would say {would} {reason}, but the rule only observes")
        }
        ("rule_off", Kind::Made) => format!("{status}, answered by Glance; the rule {reason} is off"),
        ("rule_off", Kind::Hypothetical) => format!("Glance would answer; the rule {reason} is off"),
        ("asked", Kind::Made) => format!("{status}, answered by Glance, which was asked because only it can tell"),
        ("asked", Kind::Hypothetical) => "Glance would be asked, because only it can tell".into(),
        (_, Kind::Made) => format!("{status}, answered by Glance; the gate permitted the call"),
        (_, Kind::Hypothetical) => "the gate would permit the call".into(),
    }
}

fn rule(record: &Record) -> String {
    let (Some(reason), Some(mode)) = (&record.rule, &record.mode) else { return "no rule said no".into() };
    let Some(setting) = &record.setting else {
        return format!("{reason} can not be set: it is always answered");
    };
    let led_to = match mode.as_str() {
        "enforce" => "the refusal is answered",
        "observe" => "it is only told, and the call goes to Glance",
        _ => "the call goes to Glance, and nothing is compared",
    };
    let because = if record.kill_switch && mode == "observe" {
        " (the kill switch is on)".into()
    } else if let (Some(percent), Some(project)) =
        (setting.strip_prefix("enforce ").and_then(|rest| rest.strip_suffix('%')), &record.inputs.project)
    {
        format!(" (the project's number is {}; those below {percent} are in)", cohort(&ProjectId::new(project)))
    } else {
        String::new()
    };
    format!("{reason} is set to \"{setting}\": {led_to}{because}")
}

fn client(record: &Record, kind: Kind) -> String {
    match (kind, record.verdict.as_str()) {
        (Kind::Made, _) => format!("got {} after {} ms", record.status, record.took_ms),
        (Kind::Hypothetical, "refused") => format!("would get {}", record.would_answer.unwrap_or_default()),
        (Kind::Hypothetical, _) => "would get Glance's answer".into(),
    }
}

fn glance(record: &Record, kind: Kind) -> String {
    let is_refused = record.verdict == "refused";
    let Some(status) = record.upstream_status else {
        return match (kind, is_refused) {
            (Kind::Made, true) => "was not asked, or did not answer".into(),
            (Kind::Made, false) => "did not answer".into(),
            (Kind::Hypothetical, true) => "would not be asked".into(),
            (Kind::Hypothetical, false) => "would be asked".into(),
        };
    };
    match record.agree.as_deref() {
        Some("yes") => format!("answered {status}, which is what the gate said"),
        Some("no") => format!("answered {status}, which is NOT what the gate said"),
        _ => format!("answered {status}, which nothing is to be compared with"),
    }
}

fn advice(record: &Record) -> Vec<String> {
    if let Some(refusal) = record.rule.as_deref().and_then(Refusal::parse) {
        let row = runbook::row(refusal);
        let what = row.map(|row| format!("{} (change needed by: {})", row.advice, row.whose));
        let place = format!("deploy/RUNBOOK.md, row {} of the table of reasons.", refusal.reason());
        return what.into_iter().chain([place]).collect();
    }
    match record.upstream_status {
        Some(404) => vec![
            "The answer is Glance's: the member was removed meanwhile, or only Glance could tell and said no.".into(),
            "deploy/RUNBOOK.md, Why 404.".into(),
        ],
        Some(200..=299) | None => Vec::new(),
        Some(_) => vec!["The answer is Glance's: search its log for the request id.".into()],
    }
}
