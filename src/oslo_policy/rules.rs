//! The rules of a service: its defaults, and what an operator's files put in their place.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::oslo_policy::check::Check;
use crate::oslo_policy::evaluate::Named;
use crate::oslo_policy::template::Attributes;
use crate::oslo_policy::value::Value;

/// A rule that a service registers (`oslo_policy.policy.RuleDefault`).
#[derive(Clone, Debug)]
pub struct RuleDefault {
    /// The name of the rule.
    pub name: &'static str,
    /// What it says by default.
    pub check: Check,
    /// What it was called and said before, if that changed.
    pub deprecated: Option<(&'static str, Check)>,
    /// Which kinds of scope may use it, `project`, `domain` and `system`; none is any.
    pub scope_types: &'static [&'static str],
}

/// What becomes of the defaults that a release has replaced (`[oslo_policy] enforce_new_defaults`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldDefaults {
    /// They are gone.
    Gone,
    /// They pass as well as the new ones.
    Also,
}

/// All rules by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    checks: BTreeMap<String, Check>,
    default_rule: Option<String>,
    scope_types: BTreeMap<&'static str, &'static [&'static str]>,
}

/// Rules that are not what an operator meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// Those that name a rule there is none of; such a check fails.
    pub undefined: Vec<String>,
    /// Those that lead back to themselves; Python breaks off with an exception.
    pub cyclic: Vec<String>,
    /// Those that ask another server.
    pub remote: Vec<String>,
}

impl Rules {
    /// Takes over rules as they stand in files; where a rule is missing, the one called `default_rule` is used.
    pub fn new(checks: BTreeMap<String, Check>, default_rule: &str) -> Self {
        let default_rule = (!default_rule.is_empty()).then(|| default_rule.to_owned());
        Self { checks, default_rule, scope_types: BTreeMap::new() }
    }

    /// Adds what a service registers, where no file says otherwise (`Enforcer.load_rules`).
    #[must_use]
    pub fn with_defaults(mut self, defaults: &[RuleDefault], old: OldDefaults) -> Self {
        let from_files: BTreeMap<String, Check> = self.checks.clone();
        for default in defaults {
            self.scope_types.insert(default.name, default.scope_types);
            if from_files.contains_key(default.name) {
                continue;
            }
            let check = match &default.deprecated {
                None => default.check.clone(),
                Some((name, before)) => replaced(default, name, before, from_files.get(*name), old),
            };
            self.checks.insert(default.name.into(), check);
        }
        self
    }

    /// Adds only which scopes the rules of a service are for.
    #[must_use]
    pub fn with_scopes(mut self, defaults: &[RuleDefault]) -> Self {
        self.scope_types.extend(defaults.iter().map(|default| (default.name, default.scope_types)));
        self
    }

    /// Returns all names with their checks, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Check)> {
        self.checks.iter().map(|(name, check)| (name.as_str(), check))
    }

    /// Tells whether a rule may be used with the scope of these credentials; nothing if that is not known.
    pub fn allows_scope(&self, name: &str, credentials: &dyn Attributes) -> Option<bool> {
        let allowed = self.scope_types.get(name).copied().unwrap_or_default();
        if allowed.is_empty() {
            return Some(true);
        }
        let has = |key: &str| credentials.attribute(key).map_or(Some(false), |value: _| Value::is_true(&value));
        let scope = match (has("system_scope").zip(has("system")), has("domain_id")) {
            (Some((true, _) | (_, true)), _) => "system",
            (Some(_), Some(true)) => "domain",
            (Some(_), Some(false)) => "project",
            (None, _) | (Some(_), None) => return None,
        };
        Some(allowed.contains(&scope))
    }

    /// Looks for rules that can not be meant.
    pub fn defects(&self) -> Defects {
        let mut defects = Defects::default();
        for (name, check) in &self.checks {
            let (mut is_undefined, mut is_remote) = (false, false);
            check.walk(&mut |check| match check {
                Check::Rule(named) => is_undefined |= self.named(named).is_none(),
                Check::Remote(_) => is_remote = true,
                _ => {}
            });
            if is_undefined {
                defects.undefined.push(name.clone());
            }
            if is_remote {
                defects.remote.push(name.clone());
            }
            if self.leads_back(check, &mut vec![name], &mut BTreeSet::new()) {
                defects.cyclic.push(name.clone());
            }
        }
        defects
    }

    /// Tells whether a check leads to a rule that is on the way to it. `done` are rules that lead nowhere.
    fn leads_back<'a>(&'a self, check: &'a Check, way: &mut Vec<&'a str>, done: &mut BTreeSet<&'a str>) -> bool {
        let mut names = Vec::new();
        check.walk(&mut |check| {
            if let Check::Rule(named) = check {
                names.push(named.clone());
            }
        });
        for name in names {
            let Some((name, check)) = self.resolved(&name) else { continue };
            if way.contains(&name) {
                return true;
            }
            if done.contains(name) {
                continue;
            }
            way.push(name);
            let is_cyclic = self.leads_back(check, way, done);
            way.pop();
            if is_cyclic {
                return true;
            }
            done.insert(name);
        }
        false
    }

    /// Returns the rule of this name, or the default rule, with its own name.
    fn resolved(&self, name: &str) -> Option<(&str, &Check)> {
        let own = |name: &str| self.checks.get_key_value(name);
        let (name, check) = own(name).or_else(|| own(self.default_rule.as_deref()?))?;
        Some((name, check))
    }
}

/// Decides what a rule says whose default has changed (`Enforcer._handle_deprecated_rule`).
fn replaced(default: &RuleDefault, name: &str, before: &Check, in_file: Option<&Check>, old: OldDefaults) -> Check {
    // an operator's rule of the old name goes on, unless it only points to the new one
    if let Some(in_file) = in_file
        && name != default.name
        && in_file != before
        && in_file.to_string() != format!("rule:{}", default.name)
    {
        return in_file.clone();
    }
    match old {
        OldDefaults::Also if *before != default.check => Check::Or(vec![default.check.clone(), before.clone()]),
        OldDefaults::Also | OldDefaults::Gone => default.check.clone(),
    }
}

impl Named for Rules {
    fn named(&self, name: &str) -> Option<&Check> {
        self.resolved(name).map(|(_, check)| check)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::OldDefaults;
    use super::RuleDefault;
    use super::Rules;
    use crate::oslo_policy::evaluate::Named;
    use crate::oslo_policy::files;
    use crate::oslo_policy::parse;
    use crate::oslo_policy::value::Value;

    fn rules(text: &str) -> Rules {
        Rules::new(files::read(text, Path::new("policy.yaml")).expect("rules").checks, "default")
    }

    fn default(name: &'static str, check: &str, deprecated: Option<(&'static str, &str)>) -> RuleDefault {
        let parse = |text| parse::rule(text).expect("a rule");
        let deprecated = deprecated.map(|(name, text)| (name, parse(text)));
        RuleDefault { name, check: parse(check), deprecated, scope_types: &["project"] }
    }

    #[test]
    fn defaults_stand_where_no_file_says_otherwise() {
        let defaults = [
            default("same", "role:new", Some(("same", "role:old"))),
            default("renamed", "role:new", Some(("before", "role:old"))),
            default("plain", "role:new", None),
        ];
        let told = |text: &str, old| {
            let rules = rules(text).with_defaults(&defaults, old);
            ["same", "renamed", "plain"].map(|name| rules.named(name).expect("a rule").to_string()).join(" | ")
        };
        let also = "(role:new or role:old) | (role:new or role:old) | role:new";
        assert_eq!(told("", OldDefaults::Also), also);
        assert_eq!(told("", OldDefaults::Gone), "role:new | role:new | role:new");
        assert_eq!(told("same: role:x\nplain: '!'\n", OldDefaults::Also), "role:x | (role:new or role:old) | !");
        assert_eq!(told("before: role:x\n", OldDefaults::Gone), "role:new | role:x | role:new");
        assert_eq!(told("before: rule:renamed\n", OldDefaults::Gone), "role:new | role:new | role:new");
        assert_eq!(told("before: role:old\n", OldDefaults::Gone), "role:new | role:new | role:new");
    }

    #[test]
    fn the_default_rule_stands_for_those_that_are_missing() {
        assert!(rules("a: role:a\n").named("b").is_none());
        assert_eq!(rules("default: role:d\n").named("b").expect("the default").to_string(), "role:d");
    }

    #[test]
    fn rules_that_can_not_be_meant_are_found() {
        let text = "a: rule:b\nb: not rule:c\nc: rule:a or role:x\nd: rule:a\ne: rule:none\nf: http://x/\ng: rule:h and \
                    rule:h\nh: role:x\n";
        let defects = rules(text).defects();
        assert_eq!(defects.cyclic, ["a", "b", "c", "d"]);
        assert_eq!(defects.undefined, ["e"]);
        assert_eq!(defects.remote, ["f"]);
        assert_eq!(rules("default: rule:none\n").defects().cyclic, ["default"]);
    }

    #[test]
    fn a_rule_is_for_its_scopes_only() {
        let rules = rules("").with_defaults(&[default("a", "@", None)], OldDefaults::Gone);
        let allows = |json: &str| {
            let credentials: Value = serde_json::from_str(json).expect("JSON");
            rules.allows_scope("a", &credentials)
        };
        assert_eq!(allows("{}"), Some(true));
        assert_eq!(allows(r#"{"project_id": "p", "domain_id": null}"#), Some(true));
        assert_eq!(allows(r#"{"domain_id": "d"}"#), Some(false));
        assert_eq!(allows(r#"{"system_scope": "all"}"#), Some(false));
        assert_eq!(rules.allows_scope("another", &Value::Dict(Vec::new())), Some(true));
    }
}
