//! Differences that an operator has looked at and explained: rules with a reason, and perhaps an end.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use time::Date;
use time::OffsetDateTime;

use crate::diff::field;
use crate::diff::found::Kind;

/// One rule. What it leaves out may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The method.
    pub method: Option<String>,
    /// The route.
    pub route: Option<String>,
    /// The field; a step `*` is any step.
    pub field: String,
    /// How it differs.
    pub kind: Option<Kind>,
    /// What the primary's status is.
    pub primary: Option<u16>,
    /// What the staging's status is.
    pub staging: Option<u16>,
    /// Why this is no cause for concern.
    pub reason: Arc<str>,
    /// The last day it is in force, in UTC.
    pub expires: Option<Date>,
    /// Where it stands in its file.
    pub line: usize,
}

/// A difference, as rules look at it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The method.
    pub method: &'a str,
    /// The route.
    pub route: &'a str,
    /// The field.
    pub field: &'a str,
    /// How it differs.
    pub kind: Kind,
    /// The primary's status.
    pub primary: u16,
    /// The staging's status.
    pub staging: u16,
}

/// Rules in force, with how often each has explained something; the first that fits counts.
#[derive(Debug, Default)]
pub struct Rules(Vec<Counted>);

#[derive(Debug)]
struct Counted {
    rule: Rule,
    hits: AtomicU64,
}

/// A rule as operators see it.
#[derive(Clone, Debug)]
pub struct RuleState {
    /// The rule.
    pub rule: Rule,
    /// How many differences it has explained.
    pub hits: u64,
    /// Whether it is past its end.
    pub is_expired: bool,
}

impl Rule {
    /// Tells whether the rule explains a difference, leaving its end aside.
    pub fn fits(&self, seen: Seen<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method == seen.method)
            && self.route.as_deref().is_none_or(|route| route == seen.route)
            && self.kind.is_none_or(|kind| kind == seen.kind)
            && self.primary.is_none_or(|status| status == seen.primary)
            && self.staging.is_none_or(|status| status == seen.staging)
            && is_like(&self.field, seen.field)
    }

    /// Tells whether the rule is past its end.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|last| OffsetDateTime::from(now).date() > last)
    }

    /// Says what the rule is about, in a line.
    pub fn about(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        words.extend(self.method.clone());
        words.extend(self.route.clone());
        words.push(self.field.clone());
        words.extend(self.kind.map(|kind| kind.as_str().to_owned()));
        if self.primary.is_some() || self.staging.is_some() {
            let status = |status: Option<u16>| status.map_or("any".into(), |status| status.to_string());
            words.push(format!("{} → {}", status(self.primary), status(self.staging)));
        }
        words.join(" ")
    }
}

impl Rules {
    /// Puts rules in force; those that were there before go on counting.
    pub fn new(rules: &[Rule], before: Option<&Self>) -> Self {
        let hits = |rule: &Rule| {
            // a rule that only stands elsewhere now is the same one
            let is_same = |known: &&Counted| Rule { line: rule.line, ..known.rule.clone() } == *rule;
            let known = before.and_then(|before| before.0.iter().find(is_same));
            known.map_or(0, |known| known.hits.load(Ordering::Relaxed))
        };
        Self(rules.iter().map(|rule| Counted { rule: rule.clone(), hits: hits(rule).into() }).collect())
    }

    /// Returns why a difference is ignored, if it is.
    pub fn reason(&self, seen: Seen<'_>, now: SystemTime) -> Option<Arc<str>> {
        let counted = self.0.iter().find(|counted| counted.rule.fits(seen) && !counted.rule.is_expired(now))?;
        counted.hits.fetch_add(1, Ordering::Relaxed);
        Some(counted.rule.reason.clone())
    }

    /// Returns how each rule stands.
    pub fn states(&self, now: SystemTime) -> Vec<RuleState> {
        let state = |counted: &Counted| RuleState {
            rule: counted.rule.clone(),
            hits: counted.hits.load(Ordering::Relaxed),
            is_expired: counted.rule.is_expired(now),
        };
        self.0.iter().map(state).collect()
    }
}

/// Compares a field with one that may have `*` for a step.
fn is_like(pattern: &str, field: &str) -> bool {
    if let Some(name) = pattern.strip_prefix(field::HEADER) {
        return field.strip_prefix(field::HEADER).is_some_and(|known| name == "*" || name.eq_ignore_ascii_case(known));
    }
    let (mut wanted, mut steps) = (pattern.split('/'), field.split('/'));
    loop {
        match (wanted.next(), steps.next()) {
            (None, None) => return true,
            (Some(wanted), Some(step)) if wanted == step || wanted == "*" && field.starts_with('/') => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::SystemTime;

    use time::Date;
    use time::Month;

    use super::Rule;
    use super::Rules;
    use super::Seen;
    use super::is_like;
    use crate::diff::found::Kind;

    fn rule(field: &str) -> Rule {
        Rule {
            method: None,
            route: None,
            field: field.into(),
            kind: None,
            primary: None,
            staging: None,
            reason: "known".into(),
            expires: None,
            line: 1,
        }
    }

    const SEEN: Seen<'_> =
        Seen { method: "GET", route: "/v2/images", field: "status", kind: Kind::Changed, primary: 403, staging: 404 };

    #[test]
    fn a_star_is_one_step() {
        for (pattern, field, expected) in [
            ("/images/*/status", "/images/*/status", true),
            ("/images/*/*", "/images/*/status", true),
            ("/*", "/images", true),
            ("/*", "/images/*/status", false),
            ("/images/*", "/images", false),
            ("*", "status", false),
            ("status", "status", true),
            ("header:*", "header:allow", true),
            ("header:Allow", "header:allow", true),
            ("header:*", "/header:x", false),
            ("/*", "header:allow", false),
        ] {
            assert_eq!(is_like(pattern, field), expected, "{pattern} {field}");
        }
    }

    #[test]
    fn a_rule_fits_if_all_that_it_says_does() {
        let whole = Rule {
            method: Some("GET".into()),
            route: Some("/v2/images".into()),
            kind: Some(Kind::Changed),
            primary: Some(403),
            staging: Some(404),
            ..rule("status")
        };
        assert!(whole.fits(SEEN) && rule("status").fits(SEEN));
        assert_eq!(whole.about(), "GET /v2/images status changed 403 → 404");
        for other in [
            Rule { method: Some("PUT".into()), ..whole.clone() },
            Rule { route: Some("/v2".into()), ..whole.clone() },
            Rule { kind: Some(Kind::Type), ..whole.clone() },
            Rule { primary: Some(404), ..whole.clone() },
            Rule { staging: Some(403), ..whole.clone() },
            rule("body"),
        ] {
            assert!(!other.fits(SEEN), "{other:?}");
        }
    }

    #[test]
    fn a_rule_ends_with_its_last_day_and_goes_on_counting_until_then() {
        let last = Date::from_calendar_date(2026, Month::November, 25).expect("a day");
        let midnight = SystemTime::from(last.midnight().assume_utc());
        let rules = Rules::new(&[Rule { expires: Some(last), ..rule("status") }], None);
        let day = Duration::from_hours(24);
        assert!(rules.reason(SEEN, midnight).is_some());
        assert!(rules.reason(SEEN, midnight + day - Duration::from_secs(1)).is_some());
        assert!(rules.reason(SEEN, midnight + day).is_none());
        let moved = Rule { expires: Some(last), line: 7, ..rule("status") };
        let again = Rules::new(&[moved, rule("body")], Some(&rules));
        let states = again.states(midnight + day);
        assert_eq!(
            states.iter().map(|state| (state.hits, state.is_expired)).collect::<Vec<_>>(),
            [(2, true), (0, false)]
        );
    }
}
