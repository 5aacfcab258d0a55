//! Reads a file and the environment key by key, and keeps a book of all mistakes.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use crate::config::mistake::Mistake;
use crate::config::settings::Origin;
use crate::config::settings::Setting;
use crate::config::settings::Settings;
use crate::config::settings::quoted;
use crate::config::value::Raw;
use crate::config::value::Value;

/// Where values come from, and what is wrong with them.
#[derive(Debug)]
pub struct Book<'a> {
    file: &'a str,
    text: &'a str,
    root: &'a DeTable<'a>,
    environment: &'a [(String, String)],
    known: Vec<Key>,
    settings: Vec<Setting>,
    mistakes: Vec<Mistake>,
}

/// Reads the keys of one section; the name of the section before the first header is empty.
#[derive(Debug)]
pub struct Section<'b, 'a> {
    name: &'static str,
    table: Option<&'a DeTable<'a>>,
    book: &'b mut Book<'a>,
}

/// A section and a key in it.
pub type Key = (&'static str, &'static str);

/// What all environment variables of the gate start with.
pub const ENVIRONMENT_PREFIX: &str = "GLANCE_GATE_";

impl<'a> Book<'a> {
    /// Opens the book on a parsed file and the variables of the environment.
    pub fn new(file: &'a str, text: &'a str, root: &'a DeTable<'a>, environment: &'a [(String, String)]) -> Self {
        Self { file, text, root, environment, known: Vec::new(), settings: Vec::new(), mistakes: Vec::new() }
    }

    /// Opens a section. A missing section has all its defaults.
    pub fn section(&mut self, name: &'static str) -> Section<'_, 'a> {
        let table = if name.is_empty() {
            Some(self.root)
        } else {
            match self.root.get(name).map(Spanned::get_ref) {
                Some(DeValue::Table(table)) => Some(table),
                Some(_) | None => None,
            }
        };
        Section { name, table, book: self }
    }

    /// Takes in what is wrong with another file, which a key names.
    pub fn blame(&mut self, mistakes: impl IntoIterator<Item = Mistake>) {
        self.mistakes.extend(mistakes);
    }

    /// Names what nobody has asked for, and closes the book.
    pub fn close(mut self) -> Vec<Mistake> {
        let sections: Vec<&'static str> =
            self.known.iter().map(|(section, _)| *section).filter(|name| !name.is_empty()).collect();
        for (key, value) in self.root {
            match value.get_ref() {
                DeValue::Table(table) if sections.contains(&key.get_ref().as_ref()) => {
                    self.close_section(key.get_ref(), table);
                }
                DeValue::Table(_) => {
                    self.unknown(&format!("[{}]", key.get_ref()), key.get_ref(), &key.span(), &sections);
                }
                _ => {
                    let keys = self.keys_of("");
                    if !keys.contains(&key.get_ref().as_ref()) {
                        self.unknown(key.get_ref(), key.get_ref(), &key.span(), &keys);
                    }
                }
            }
        }
        self.close_environment();
        self.mistakes.sort_by_key(|mistake| mistake.line);
        self.mistakes
    }

    fn close_section(&mut self, section: &str, table: &DeTable<'_>) {
        let keys = self.keys_of(section);
        for key in table.keys() {
            if !keys.contains(&key.get_ref().as_ref()) {
                self.unknown(&format!("[{section}] {}", key.get_ref()), key.get_ref(), &key.span(), &keys);
            }
        }
    }

    fn close_environment(&mut self) {
        let known: Vec<String> = self.known.iter().map(|(section, key)| variable(section, key)).collect();
        for (name, _) in self.environment.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)) {
            if !known.contains(name) {
                let names: Vec<&str> = known.iter().map(String::as_str).collect();
                self.mistakes.push(Mistake {
                    source: name.clone(),
                    line: None,
                    key: String::new(),
                    what: "the gate knows no such variable".into(),
                    hint: closest(name, &names),
                });
            }
        }
    }

    fn keys_of(&self, section: &str) -> Vec<&'static str> {
        self.known.iter().filter(|(name, _)| *name == section).map(|(_, key)| *key).collect()
    }

    fn unknown(&mut self, place: &str, name: &str, span: &Range<usize>, known: &[&str]) {
        self.mistakes.push(Mistake {
            source: self.file.into(),
            line: Some(line_of(self.text, span.start)),
            key: place.into(),
            what: "the gate knows no such key".into(),
            hint: closest(name, known),
        });
    }

    /// Returns the keys that were asked for.
    pub fn known(&self) -> &[Key] {
        &self.known
    }

    /// Returns what they were set to, with what is secret masked.
    pub fn settings(&self) -> Settings {
        self.settings.iter().cloned().collect()
    }
}

impl Section<'_, '_> {
    /// Reads a key; the environment goes before the file, the file before the default.
    pub fn get<T: Value>(&mut self, key: &'static str, default: T) -> T {
        self.book.known.push((self.name, key));
        let (value, origin) = self.find(key, default);
        self.tell(key, value.write(), origin);
        value
    }

    fn find<T: Value>(&mut self, key: &'static str, default: T) -> (T, Origin) {
        let variable = variable(self.name, key);
        if let Some((_, text)) = self.book.environment.iter().find(|(name, _)| *name == variable) {
            let read = T::read(Raw::Text(text)).unwrap_or_else(|| {
                self.note(variable, None, key, "the value does not fit", T::EXPECTED);
                default
            });
            return (read, Origin::Environment);
        }
        let Some(value) = self.table.and_then(|table| table.get(key)) else { return (default, Origin::Default) };
        let line = line_of(self.book.text, value.span().start);
        let read = T::read(Raw::Toml(value.get_ref())).unwrap_or_else(|| {
            self.note(self.book.file.into(), Some(line), key, "the value does not fit", T::EXPECTED);
            default
        });
        (read, Origin::File(line))
    }

    fn tell(&mut self, key: &'static str, value: String, origin: Origin) {
        self.book.settings.push(Setting { section: self.name, key, value, origin });
    }

    /// Reads a key whose values are words.
    pub fn choose<T: Copy + PartialEq>(&mut self, key: &'static str, default: T, words: &[(&str, T)]) -> T {
        self.book.known.push((self.name, key));
        let (word, origin) = self.find(key, String::new());
        let chosen = words.iter().find(|(known, _)| *known == word);
        if chosen.is_none() && !word.is_empty() {
            let known: Vec<&str> = words.iter().map(|(known, _)| *known).collect();
            self.mistake(key, &format!("\"{word}\" is no choice"), &format!("one of: {}", known.join(", ")));
        }
        let chosen = chosen.map_or(default, |(_, value)| *value);
        let word = words.iter().find(|(_, value)| *value == chosen).map_or("", |(word, _)| word);
        self.tell(key, quoted(word), origin);
        chosen
    }

    /// Notes a mistake in what a key means.
    pub fn mistake(&mut self, key: &'static str, what: &str, hint: &str) {
        let line = self.table.and_then(|table| table.get(key)).map(|value| line_of(self.book.text, value.span().start));
        let variable = variable(self.name, key);
        let in_environment = self.book.environment.iter().any(|(name, _)| *name == variable);
        if in_environment {
            self.note(variable, None, key, what, hint);
        } else {
            self.note(self.book.file.into(), line, key, what, hint);
        }
    }

    /// Takes in what is wrong with a file that a key names.
    pub fn blame(&mut self, mistakes: impl IntoIterator<Item = Mistake>) {
        self.book.blame(mistakes);
    }

    fn note(&mut self, source: String, line: Option<usize>, key: &str, what: &str, hint: &str) {
        let key = if self.name.is_empty() { key.to_owned() } else { format!("[{}] {key}", self.name) };
        self.book.mistakes.push(Mistake { source, line, key, what: what.into(), hint: hint.into() });
    }
}

/// Returns the name of a key in the environment.
fn variable(section: &str, key: &str) -> String {
    let joint = if section.is_empty() { "" } else { "_" };
    format!("{ENVIRONMENT_PREFIX}{section}{joint}{key}").to_uppercase()
}

/// Returns the line of an offset, counted from one.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

/// Suggests the known name that is most like the one that was written.
fn closest(name: &str, known: &[&str]) -> String {
    known
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.5)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map_or_else(
            || "remove it; config/gate.toml lists every key".to_owned(),
            |(_, candidate)| format!("did you mean {candidate}?"),
        )
}
