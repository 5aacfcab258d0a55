//! The names in an expression of `PromQL`: metrics with what is matched on, and the labels that are grouped by.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// What an expression names.
#[derive(Debug, Default)]
pub struct Expression {
    pub selectors: Vec<Selector>,
    /// The labels of `by`, `on` and the like.
    pub grouping: BTreeSet<String>,
}

/// One metric.
#[derive(Debug)]
pub struct Selector {
    pub name: String,
    pub matchers: Vec<Matcher>,
}

/// One label that is matched on.
#[derive(Debug)]
pub struct Matcher {
    pub label: String,
    pub is_pattern: bool,
    pub value: String,
}

impl Expression {
    /// Reads an expression as far as its names go; whether it is one is for Prometheus to say.
    pub fn parse(text: &str) -> Self {
        let mut read = Self::default();
        let mut rest = text.chars().peekable();
        while let Some(&next) = rest.peek() {
            match next {
                '"' => drop(string(&mut rest)),
                '[' => drop(until(&mut rest, ']')),
                _ if next.is_ascii_alphabetic() => read.word(&word(&mut rest), &mut rest),
                _ => drop(rest.next()),
            }
        }
        read
    }

    fn word(&mut self, word: &str, rest: &mut Peekable<Chars<'_>>) {
        skip_blanks(rest);
        match word {
            "by" | "without" | "on" | "ignoring" | "group_left" | "group_right" if rest.peek() == Some(&'(') => {
                let list = until(rest, ')');
                let labels = list.split(',').map(|label| label.trim_matches(['(', ' ']).to_owned());
                self.grouping.extend(labels.filter(|label| !label.is_empty() && label != "le"));
            }
            "up" => self.selectors.push(Selector::read(word, rest)),
            _ if word.starts_with("glance_gate_") => self.selectors.push(Selector::read(word, rest)),
            _ => {}
        }
    }
}

impl Selector {
    fn read(name: &str, rest: &mut Peekable<Chars<'_>>) -> Self {
        let mut matchers = Vec::new();
        if rest.peek() == Some(&'{') {
            rest.next();
            while rest.peek().is_some_and(|next| *next != '}') {
                let label = word(rest);
                let operator: String = std::iter::from_fn(|| rest.next_if(|next| *next != '"')).collect();
                let value = string(rest);
                matchers.push(Matcher { label, is_pattern: operator.contains('~'), value });
                while rest.next_if(|next| matches!(next, ',' | ' ')).is_some() {}
            }
        }
        Self { name: name.to_owned(), matchers }
    }
}

impl Matcher {
    /// Returns the values that are matched on, without those that a variable stands for.
    pub fn alternatives(&self) -> impl Iterator<Item = &str> {
        let parts: Vec<&str> = if self.is_pattern { self.value.split('|').collect() } else { vec![&self.value] };
        parts.into_iter().filter(|value| !value.starts_with('$'))
    }
}

fn word(rest: &mut Peekable<Chars<'_>>) -> String {
    std::iter::from_fn(|| rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '_')).collect()
}

/// Reads a string, without its quotes.
fn string(rest: &mut Peekable<Chars<'_>>) -> String {
    rest.next();
    let mut text = String::new();
    while let Some(next) = rest.next() {
        match next {
            '"' => break,
            '\\' => text.extend(rest.next()),
            _ => text.push(next),
        }
    }
    text
}

/// Reads up to a mark, and the mark.
fn until(rest: &mut Peekable<Chars<'_>>, mark: char) -> String {
    let text = std::iter::from_fn(|| rest.next_if(|next| *next != mark)).collect();
    rest.next();
    text
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|next| next.is_whitespace()).is_some() {}
}
