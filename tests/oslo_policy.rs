//! The rule language against the real `oslo.policy`: cases that `tests/oslo_policy/generate.py` wrote, with what Python
//! said to each.
//!
//! `tests/data/oslo_policy/cases.jsonl` is the beginning of them. `tests/oslo_policy/run` makes thousands, and names
//! their file in `GLANCE_GATE_POLICY_CASES`.

#![expect(clippy::expect_used, reason = "a test that can not go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use glance_gate::oslo_policy::check::Check;
use glance_gate::oslo_policy::evaluate::Named;
use glance_gate::oslo_policy::evaluate::Outcome;
use glance_gate::oslo_policy::evaluate::Question;
use glance_gate::oslo_policy::files;
use glance_gate::oslo_policy::parse;
use glance_gate::oslo_policy::rules::OldDefaults;
use glance_gate::oslo_policy::rules::RuleDefault;
use glance_gate::oslo_policy::rules::Rules;
use glance_gate::oslo_policy::value::Value;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What a service registers: name, rule, name and rule of before, types of scope.
type Registered = (String, String, Option<(String, String)>, Vec<String>);

/// One line of the corpus.
#[derive(Deserialize)]
struct Case {
    /// The text of a policy file.
    policy: String,
    defaults: Vec<Registered>,
    enforce_new_defaults: bool,
    target: Value,
    credentials: Value,
    said: Said,
    /// The rules that Python finds to lead back to themselves.
    cyclic: Vec<String>,
}

/// What Python said.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    ByRule(BTreeMap<String, String>),
    Unloadable(IgnoredAny),
}

fn leaked(text: &str) -> &'static str {
    text.to_owned().leak()
}

fn understood(text: &str) -> Check {
    parse::rule(text).unwrap_or(Check::False)
}

fn defaults(case: &Case) -> Vec<RuleDefault> {
    let made = case.defaults.iter().map(|(name, check, before, scopes)| RuleDefault {
        name: leaked(name),
        check: understood(check),
        deprecated: before.as_ref().map(|(name, check)| (leaked(name), understood(check))),
        scope_types: scopes.iter().map(|scope| leaked(scope)).collect::<Vec<_>>().leak(),
    });
    made.collect()
}

/// Evaluates a rule as `Enforcer.enforce` does.
fn outcome(rules: &Rules, name: &str, case: &Case) -> &'static str {
    let mut credentials = case.credentials.clone();
    if let Some(scope) = credentials.get("system_scope").filter(|scope| scope.is_true() == Some(true)).cloned() {
        credentials.set("system", scope);
    }
    let Some(check) = rules.named(name) else { return "failed" };
    if rules.allows_scope(name, &credentials) == Some(false) {
        return "failed";
    }
    match (Question { rules, target: &case.target, credentials: &credentials }).evaluate(check) {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Unknown => "unknown",
        Outcome::Raised => "raised",
    }
}

/// Returns how many verdicts were compared, and all that differ.
fn compare(file: &Path) -> (usize, Vec<String>) {
    let text = fs::read_to_string(file).expect("cases");
    let (mut compared, mut different) = (0, Vec::new());
    for (number, line) in text.lines().enumerate() {
        let case: Case = serde_json::from_str(line).expect("a case");
        let mut note = |what: String| different.push(format!("{}:{}: {what}", file.display(), number + 1));
        let old = if case.enforce_new_defaults { OldDefaults::Gone } else { OldDefaults::Also };
        let rules = match (files::read(&case.policy, Path::new("policy.yaml")), &case.said) {
            (Ok(written), Said::ByRule(_)) => {
                Rules::new(written.checks, "default").with_defaults(&defaults(&case), old)
            }
            (Err(_), Said::Unloadable(_)) => {
                compared += 1;
                continue;
            }
            (Ok(_), Said::Unloadable(_)) => {
                note("only Python can not read it".into());
                continue;
            }
            (Err(notice), Said::ByRule(_)) => {
                note(format!("Python can read it: {notice}"));
                continue;
            }
        };
        let Said::ByRule(said) = &case.said else { continue };
        for (name, said) in said {
            compared += 1;
            let ours = outcome(&rules, name, &case);
            if ours != said {
                note(format!("{name}: Python {said}, the gate {ours}"));
            }
        }
        let cyclic = rules.defects().cyclic;
        for name in case.cyclic.iter().filter(|name| !cyclic.contains(name)) {
            note(format!("{name} leads back to itself"));
        }
    }
    (compared, different)
}

fn assert_same(file: &Path, at_least: usize) {
    let (compared, different) = compare(file);
    let shown = different.iter().take(50).cloned().collect::<Vec<_>>().join("\n");
    assert!(different.is_empty(), "{} of {compared} verdicts differ:\n{shown}", different.len());
    assert!(compared >= at_least, "only {compared} verdicts");
    println!("{compared} verdicts, none differs");
}

#[test]
fn rules_say_what_they_say_in_python() {
    assert_same(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oslo_policy/cases.jsonl"), 2000);
}

#[test]
#[ignore = "tests/oslo_policy/run makes the cases"]
fn thousands_of_new_rules_say_what_they_say_in_python() {
    let file = std::env::var_os("GLANCE_GATE_POLICY_CASES").map(PathBuf::from).expect("GLANCE_GATE_POLICY_CASES");
    assert_same(&file, 20_000);
}
