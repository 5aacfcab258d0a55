//! The file of rate limits: `[[limit]]` entries, read strictly, with all mistakes at once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::Method;
use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::config::mistake::Mistake;
use crate::config::reader::line_of;
use crate::config::value::Raw;
use crate::config::value::Value;
use crate::limits::config::Group;
use crate::limits::config::Limit;
use crate::openstack::identity::ProjectId;
use crate::openstack::route;

/// How many limits a file may have: each has metrics of its own.
const MAX_LIMITS: usize = 100;

/// The longest window.
const MAX_PER: Duration = Duration::from_hours(24);

/// How many requests a window may have.
const MAX_REQUESTS: u32 = 1_000_000;

/// Every key of a limit.
const KEYS: [&str; 10] =
    ["name", "group", "projects", "users", "roles", "methods", "routes", "requests", "per", "burst"];

/// Reads one limit and notes what is wrong with it.
struct Entry<'a> {
    file: &'a str,
    text: &'a str,
    number: usize,
    start: usize,
    table: &'a DeTable<'a>,
    mistakes: &'a mut Vec<Mistake>,
}

/// Loads the file; what is wrong with it is returned beside the limits.
pub fn load(path: &Path) -> (Vec<Limit>, Vec<Mistake>) {
    let file = path.display().to_string();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let hint = "[rate_limits] rules_file names it; config/limits.toml is one to start from";
            return (Vec::new(), vec![mistake(&file, None, "", &error.to_string(), hint)]);
        }
    };
    let (root, errors) = DeTable::parse_recoverable(&text);
    let told = errors.iter().map(|error| {
        let line = error.span().map(|span| line_of(&text, span.start));
        mistake(&file, line, "", error.message(), "the file must be TOML: https://toml.io")
    });
    let mut mistakes: Vec<Mistake> = told.collect();
    let mut limits = Vec::new();
    for (key, value) in root.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("limit", DeValue::Array(entries)) => limits = entries_of(&file, &text, entries, &mut mistakes),
            ("limit", _) => {
                let line = Some(line_of(&text, value.span().start));
                mistakes.push(mistake(&file, line, "limit", "the value does not fit", "write [[limit]] before each"));
            }
            (other, _) => {
                let line = Some(line_of(&text, key.span().start));
                mistakes.push(mistake(
                    &file,
                    line,
                    other,
                    "the gate knows no such key",
                    "the file has [[limit]] entries",
                ));
            }
        }
    }
    (limits, mistakes)
}

fn entries_of<'a>(
    file: &str,
    text: &str,
    entries: impl IntoIterator<Item = &'a Spanned<DeValue<'a>>>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for (index, value) in entries.into_iter().enumerate() {
        let (number, start) = (index + 1, value.span().start);
        let DeValue::Table(table) = value.get_ref() else {
            let line = Some(line_of(text, start));
            mistakes.push(mistake(file, line, "limit", "the value does not fit", "write [[limit]] before each"));
            continue;
        };
        let mut entry = Entry { file, text, number, start, table, mistakes };
        let limit = entry.read();
        if limits.iter().any(|other| other.name == limit.name && !limit.name.is_empty()) {
            entry.note("name", "another limit has it", "their counts would be one; give each its own");
        }
        limits.push(limit);
    }
    if limits.len() > MAX_LIMITS {
        mistakes.push(mistake(file, None, "limit", "more limits than metrics are kept for", "100 at most"));
    }
    limits
}

impl Entry<'_> {
    fn read(&mut self) -> Limit {
        for key in self.table.keys().filter(|key| !KEYS.contains(&key.get_ref().as_ref())) {
            self.note(key.get_ref(), "the gate knows no such key", &format!("one of: {}", KEYS.join(", ")));
        }
        let requests = self.number("requests").unwrap_or_else(|| self.missing("requests", 1));
        let group = self.get("group", "one of: project, user, role, address, any", |word: String| Group::parse(&word));
        let limit = Limit {
            name: self.name().into(),
            group: group.unwrap_or_else(|| self.missing("group", Group::Any)),
            projects: self.list("projects").iter().map(|project| ProjectId::new(project)).collect(),
            users: self.list("users"),
            roles: self.list("roles").iter().map(|role| role.to_lowercase()).collect(),
            methods: self.methods(),
            routes: self.routes(),
            requests,
            per: self.per(),
            burst: self.number("burst").unwrap_or(requests),
        };
        if limit.group == Group::Role && limit.roles.is_empty() {
            self.note("roles", "a limit by role names no role", "roles = [\"member\"]");
        }
        limit
    }

    fn name(&mut self) -> String {
        let is_name = |name: &String| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        let hint = "1 to 64 letters, digits, -, _ and .";
        let name = self.get("name", hint, |name: String| Some(name).filter(is_name));
        name.unwrap_or_else(|| self.missing("name", String::new()))
    }

    fn per(&mut self) -> Duration {
        let hint = "a time with its unit from \"1s\" to \"24h\", such as \"1m\"";
        let fits = |per: &Duration| (Duration::from_secs(1)..=MAX_PER).contains(per);
        let per = self.get("per", hint, |per: Duration| Some(per).filter(fits));
        per.unwrap_or_else(|| self.missing("per", Duration::from_secs(1)))
    }

    fn number(&mut self, key: &'static str) -> Option<u32> {
        let fits = |number: &u32| (1..=MAX_REQUESTS).contains(number);
        self.get(key, "a whole number from 1 to 1000000", |number: u32| Some(number).filter(fits))
    }

    fn list(&mut self, key: &'static str) -> Vec<String> {
        let hint = "a list of texts, and not an empty one: leave the key out if the limit is for all";
        self.get(key, hint, |words: Vec<String>| Some(words).filter(|words| !words.is_empty())).unwrap_or_default()
    }

    fn methods(&mut self) -> Vec<Method> {
        let known =
            [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
        let parse = |word: &String| known.iter().find(|method| method.as_str() == word).cloned();
        let hint = "a list of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; left out for all";
        self.get("methods", hint, |words: Vec<String>| all_of(&words, parse)).unwrap_or_default()
    }

    fn routes(&mut self) -> Vec<&'static str> {
        let hint = "routes of the Image API as docs/LIMITS.md lists them, such as \"/v2/images/{image_id}/file\"";
        self.get("routes", hint, |words: Vec<String>| all_of(&words, |word| route::known(word))).unwrap_or_default()
    }

    /// Reads a key; one that is there and does not fit is a mistake.
    fn get<T: Value, U>(&mut self, key: &'static str, hint: &str, fit: impl FnOnce(T) -> Option<U>) -> Option<U> {
        let value = self.table.get(key)?;
        let read = T::read(Raw::Toml(value.get_ref())).and_then(fit);
        if read.is_none() {
            self.note(key, "the value does not fit", hint);
        }
        read
    }

    /// Notes that a key is missing, unless it is there and was told of.
    fn missing<T>(&mut self, key: &'static str, stand_in: T) -> T {
        if !self.table.contains_key(key) {
            self.note(key, "it is missing", "each limit has a name, a group, requests and per");
        }
        stand_in
    }

    fn note(&mut self, key: &str, what: &str, hint: &str) {
        let found = self.table.iter().find(|(known, _)| known.get_ref() == key);
        let start = found.map_or(self.start, |(known, _)| known.span().start);
        let place = format!("limit {}, {key}", self.number);
        self.mistakes.push(mistake(self.file, Some(line_of(self.text, start)), &place, what, hint));
    }
}

/// Reads each word; nothing if one is not known, or if there is none: an empty list would be for all, not for nothing.
fn all_of<T>(words: &[String], parse: impl Fn(&String) -> Option<T>) -> Option<Vec<T>> {
    let read: Option<Vec<T>> = words.iter().map(parse).collect();
    read.filter(|read| !read.is_empty())
}

fn mistake(file: &str, line: Option<usize>, key: &str, what: &str, hint: &str) -> Mistake {
    Mistake { source: file.into(), line, key: key.into(), what: what.into(), hint: hint.into() }
}
