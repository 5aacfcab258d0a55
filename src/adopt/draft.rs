//! A configuration that is being written, each key with what it comes from.

use std::fmt::Write as _;

use crate::adopt::Adopted;
use crate::adopt::Finding;
use crate::adopt::Weight;
use crate::adopt::options::Found;
use crate::secret::Secret;

/// What is written so far.
#[derive(Debug, Default)]
pub struct Draft {
    keys: Vec<Key>,
    findings: Vec<Finding>,
    /// The secret of the gate's user.
    pub secret: Option<Secret<String>>,
}

#[derive(Debug)]
struct Key {
    section: &'static str,
    name: &'static str,
    value: String,
    comment: String,
}

const HEAD: &str = "\
# Written by glance-gate adopt from the files of a Glance. It only observes: every member update is forwarded as it came,
# and what the gate would have answered is told and compared with what Glance does. docs/ROLLOUT.md leads on from here;
# config/gate.toml explains every key, and those that are not here are at their defaults.
";

impl Draft {
    /// Writes a key with a value in TOML's words.
    pub fn put(&mut self, section: &'static str, key: &'static str, value: &str, comment: &str) {
        self.keys.retain(|known| (known.section, known.name) != (section, key));
        self.keys.push(Key { section, name: key, value: value.into(), comment: comment.into() });
    }

    /// Writes a key with a text for a value.
    pub fn text(&mut self, section: &'static str, key: &'static str, value: &str, comment: &str) {
        self.put(section, key, &quoted(value), comment);
    }

    /// Writes a key as Glance's files have it.
    pub fn take(&mut self, section: &'static str, key: &'static str, found: &Found) {
        self.text(section, key, &found.value, &found.origin);
    }

    /// Notes something that is good to know.
    pub fn note(&mut self, about: &str, what: &str) {
        self.find(Weight::Note, about, what);
    }

    /// Notes something that must be looked at.
    pub fn warn(&mut self, about: &str, what: &str) {
        self.find(Weight::Warning, about, what);
    }

    /// Notes what the gate can not do as Glance does.
    pub fn object(&mut self, about: &str, what: &str) {
        self.find(Weight::Obstacle, about, what);
    }

    fn find(&mut self, weight: Weight, about: &str, what: &str) {
        self.findings.push(Finding { weight, about: about.into(), what: what.into() });
    }

    /// Ends it.
    pub fn into_adopted(mut self) -> Adopted {
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.weight));
        Adopted { text: self.written(), secret: self.secret, findings: self.findings }
    }

    fn written(&self) -> String {
        let mut text = HEAD.to_owned();
        let mut sections: Vec<&str> = Vec::new();
        for key in &self.keys {
            if !sections.contains(&key.section) {
                sections.push(key.section);
            }
        }
        for section in sections {
            // writing to a string can not fail
            let _ = if section.is_empty() { writeln!(text) } else { writeln!(text, "\n[{section}]") };
            for key in self.keys.iter().filter(|key| key.section == section) {
                let _ = writeln!(text, "# {}\n{} = {}", key.comment.replace('\n', " "), key.name, key.value);
            }
        }
        text
    }
}

/// Writes a text as TOML does.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

/// Writes a list of texts as TOML does.
pub fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}
