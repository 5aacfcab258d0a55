//! The file of ignore rules: strict TOML, of which all mistakes are told at once.

use std::fmt;
use std::ops::Range;

use http::Method;
use time::Date;
use time::Month;
use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::diff::field;
use crate::diff::found::Kind;
use crate::diff::ignore::Rule;
use crate::openstack::route::route;

/// What is wrong with the file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, counted from one.
    pub line: usize,
    /// The key, if it is about one.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: &'static str,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.line)?;
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        write!(out, "{}\n    hint: {}", self.what, self.hint)
    }
}

/// More rules would cost more than they explain.
const MAX_RULES: usize = 1000;
/// The keys of a rule.
const KEYS: [&str; 8] = ["method", "route", "field", "kind", "primary", "staging", "reason", "expires"];
/// What the route of all other paths is called.
pub const OTHER_ROUTE: &str = "other";

/// Reads rules.
///
/// # Errors
/// Tells all that is wrong, by line.
pub fn parse(text: &str) -> Result<Vec<Rule>, Vec<Mistake>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, mistakes: Vec::new() };
    for error in &errors {
        let at = error.span().unwrap_or_default();
        reader.mistake(&at, "", error.message().into(), "the file must be TOML: https://toml.io");
    }
    let mut rules = Vec::new();
    for (key, value) in root.get_ref() {
        match value.get_ref() {
            DeValue::Array(items) if key.get_ref() == "ignore" => {
                rules.extend(items.iter().filter_map(|item| reader.rule(item)));
            }
            _ => {
                let what = format!("the file has no such key as {}", key.get_ref());
                reader.mistake(&key.span(), key.get_ref(), what, "begin each rule with [[ignore]]");
            }
        }
    }
    if rules.len() > MAX_RULES {
        reader.mistake(&(0..0), "", format!("{} rules are too many", rules.len()), "1000 at most");
    }
    reader.mistakes.sort_by_key(|mistake| mistake.line);
    if reader.mistakes.is_empty() { Ok(rules) } else { Err(reader.mistakes) }
}

struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

type Table<'a> = DeTable<'a>;

impl Reader<'_> {
    fn mistake(&mut self, at: &Range<usize>, key: &str, what: String, hint: &'static str) {
        self.mistakes.push(Mistake { line: self.line(at), key: key.into(), what, hint });
    }

    fn line(&self, at: &Range<usize>) -> usize {
        self.text.get(..at.start).unwrap_or(self.text).matches('\n').count() + 1
    }

    fn rule(&mut self, item: &Spanned<DeValue<'_>>) -> Option<Rule> {
        let DeValue::Table(table) = item.get_ref() else {
            self.mistake(&item.span(), "ignore", "it is no table".into(), "begin each rule with [[ignore]]");
            return None;
        };
        let before = self.mistakes.len();
        for key in table.keys().filter(|key| !KEYS.contains(&key.get_ref().as_ref())) {
            let what = "a rule has no such key".into();
            self.mistake(
                &key.span(),
                key.get_ref(),
                what,
                "method, route, field, kind, primary, staging, reason, expires",
            );
        }
        let rule = Rule {
            method: self.text_of(table, "method", "a method in capitals, such as \"GET\"", is_method),
            route: self.text_of(table, "route", "a route of Glance, such as \"/v2/images/{image_id}\"", is_route),
            field: self.needed(table, item, "field", is_field),
            kind: self.kind(table),
            primary: self.status(table, "primary"),
            staging: self.status(table, "staging"),
            reason: self.needed(table, item, "reason", |text| !text.trim().is_empty()).into(),
            expires: self.date(table),
            line: self.line(&item.span()),
        };
        if rule.field != field::STATUS && !rule.field.is_empty() && (rule.primary.is_some() || rule.staging.is_some()) {
            let key = if rule.primary.is_some() { "primary" } else { "staging" };
            let at = table.get(key).map(Spanned::span).unwrap_or_default();
            self.mistake(&at, key, "both sides answer the same status".into(), "only with field = \"status\"");
        }
        (self.mistakes.len() == before).then_some(rule)
    }

    fn text_of(
        &mut self,
        table: &Table<'_>,
        key: &str,
        hint: &'static str,
        is_good: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) if is_good(text) => Some(text.clone().into_owned()),
            _ => {
                self.mistake(&value.span(), key, "the value does not fit".into(), hint);
                None
            }
        }
    }

    fn needed(
        &mut self,
        table: &Table<'_>,
        item: &Spanned<DeValue<'_>>,
        key: &'static str,
        is_good: impl Fn(&str) -> bool,
    ) -> String {
        let hint = match key {
            "reason" => "say why this difference is none to look at",
            _ => "\"status\", \"body\", \"header:allow\", or a path such as \"/images/*/status\"",
        };
        if table.get(key).is_none() {
            self.mistake(&item.span(), key, "it is missing".into(), hint);
        }
        self.text_of(table, key, hint, is_good).unwrap_or_default()
    }

    fn kind(&mut self, table: &Table<'_>) -> Option<Kind> {
        let hint = "changed, missing, added, type or order";
        let text = self.text_of(table, "kind", hint, |text| Kind::parse(text).is_some())?;
        Kind::parse(&text)
    }

    fn status(&mut self, table: &Table<'_>, key: &str) -> Option<u16> {
        let value = table.get(key)?;
        let status = match value.get_ref() {
            DeValue::Integer(number) => u16::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let status = status.filter(|status| (100..1000).contains(status));
        if status.is_none() {
            self.mistake(&value.span(), key, "the value does not fit".into(), "a status, such as 403");
        }
        status
    }

    fn date(&mut self, table: &Table<'_>) -> Option<Date> {
        let value = table.get("expires")?;
        let date = match value.get_ref() {
            DeValue::String(text) => date(text),
            DeValue::Datetime(moment) if moment.time.is_none() => date(&moment.to_string()),
            _ => None,
        };
        if date.is_none() {
            self.mistake(&value.span(), "expires", "the value does not fit".into(), "the last day, such as 2027-01-31");
        }
        date
    }
}

fn is_method(text: &str) -> bool {
    text.parse::<Method>().is_ok() && !text.contains(|c: char| c.is_ascii_lowercase())
}

fn is_route(text: &str) -> bool {
    text == OTHER_ROUTE || route(text, "") == Some(text)
}

fn is_field(text: &str) -> bool {
    let header = text.strip_prefix(field::HEADER);
    text == field::STATUS || text == field::BODY || text.starts_with('/') || header.is_some_and(|name| !name.is_empty())
}

fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() != 4 || month.len() != 2 || day.len() != 2 || parts.next().is_some() {
        return None;
    }
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::diff::found::Kind;

    #[test]
    fn a_rule_is_read_with_all_it_says() {
        let text = "# known\n[[ignore]]\nfield = \"status\"\nreason = \"new policies\"\nprimary = 403\nstaging = 404\n\
                    method = \"PUT\"\nroute = \"/v2/images/{image_id}/members/{member_id}\"\nexpires = 2027-01-31\n\
                    [[ignore]]\nfield = \"/images/*/os_x\"\nkind = \"added\"\nreason = \"a new property\"\n\
                    expires = \"2027-02-28\"\n";
        let rules = parse(text).expect("good rules");
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[0].primary, rules[0].staging, rules[0].line), (Some(403), Some(404), 2));
        assert_eq!(rules[0].expires.map(|date| date.to_string()).as_deref(), Some("2027-01-31"));
        assert_eq!((rules[1].kind, rules[1].line), (Some(Kind::Added), 10));
        assert_eq!(parse("").expect("no rules"), []);
    }

    #[test]
    fn all_mistakes_are_told_by_line() {
        let text = "ignored = 1\n[[ignore]]\nfield = \"status\"\n[[ignore]]\nreason = \"  \"\nfield = \"stat\"\n\
                    [[ignore]]\nfield = \"/x\"\nreason = \"x\"\nprimary = 403\nkind = \"gone\"\nmethod = \"get\"\n\
                    route = \"/v2/nowhere\"\nexpires = 2027-02-30\nfields = 1\n[[ignore]]\nfield = \"status\"\n\
                    reason = \"x\"\nstaging = 4000\n";
        let mistakes = parse(text).expect_err("mistakes");
        let told: Vec<(usize, &str)> = mistakes.iter().map(|mistake| (mistake.line, mistake.key.as_str())).collect();
        for expected in [
            (1, "ignored"),
            (2, "reason"),
            (5, "reason"),
            (6, "field"),
            (10, "primary"),
            (11, "kind"),
            (12, "method"),
            (13, "route"),
            (15, "fields"),
            (19, "staging"),
        ] {
            assert!(told.contains(&expected), "{expected:?} is not in {mistakes:#?}");
        }
        assert!(told.iter().any(|(line, _)| *line == 14), "{mistakes:#?}");
        assert_eq!(parse("[[ignore]\n").expect_err("no TOML")[0].line, 1);
    }
}
