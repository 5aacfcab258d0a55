//! A policy file is read or refused, what it says is said again by its own words, and nothing of it breaks the gate.

use std::path::Path;

use glance_gate::oslo_policy::check::Check;
use glance_gate::oslo_policy::evaluate::Named as _;
use glance_gate::oslo_policy::evaluate::Outcome;
use glance_gate::oslo_policy::evaluate::Question;
use glance_gate::oslo_policy::files;
use glance_gate::oslo_policy::parse;
use glance_gate::oslo_policy::rules::Rules;
use glance_gate::oslo_policy::value::Value;

/// Checks the property on a file.
pub fn holds(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let credentials = Value::Dict(vec![
        ("roles".into(), Value::List(vec!["reader".into(), Value::Unknown])),
        ("project_id".into(), "p".into()),
        ("user".into(), Value::Dict(vec![("id".into(), Value::None)])),
    ]);
    let target = Value::Dict(vec![("project_id".into(), "p".into()), ("visibility".into(), Value::Unknown)]);
    // a rule alone: most files are no YAML
    if let Ok(check) = parse::rule(text) {
        let again = parse::rule(&check.to_string());
        let rules = Rules::new([].into(), "default");
        let question = Question { rules: &rules, target: &target, credentials: &credentials };
        let outcome = question.evaluate(&check);
        // words that stand in no text rule, such as white space, can not come back
        if let Ok(again) = again {
            assert_eq!(question.evaluate(&again), outcome, "{text:?} is written {check}");
        }
    }
    let Ok(written) = files::read(text, Path::new("policy.yaml")) else { return };
    let rules = Rules::new(written.checks, "default");
    let defects = rules.defects();
    for (name, check) in rules.iter() {
        assert_eq!(rules.named(name), Some(check));
        // those that lead back to themselves end all the same
        let outcome = Question { rules: &rules, target: &target, credentials: &credentials }.evaluate(check);
        let leads_back = |check: &Check| matches!(check, Check::Rule(named) if named == name);
        assert!(!leads_back(check) || outcome == Outcome::Raised && defects.cyclic.iter().any(|cyclic| cyclic == name));
    }
}
