//! Every key of the configuration, as `config/gate.toml` explains it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use glance_gate::config::load::parse;
use glance_gate::config::reader::Book;
use glance_gate::config::sections;
use toml::de::DeTable;

use crate::cell;
use crate::hold;

const SHIPPED: &str = include_str!("../../config/gate.toml");
const PASSWORD: &str = "GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD";

/// Keys that one comment explains.
#[derive(Default)]
struct Group {
    section: String,
    comment: Vec<String>,
    /// Each with its default.
    keys: Vec<(String, String)>,
}

/// Reads the shipped file, which is regular: comments, then the keys they explain.
fn groups() -> Vec<Group> {
    let mut groups = Vec::new();
    let mut group = Group::default();
    for line in SHIPPED.lines() {
        let is_new = line.is_empty() || line.starts_with('[') || line.starts_with('#') && !group.keys.is_empty();
        if is_new {
            let section = group.section.clone();
            groups.push(std::mem::replace(&mut group, Group { section, ..Group::default() }));
        }
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section.clone_into(&mut group.section);
        } else if let Some(comment) = line.strip_prefix('#') {
            group.comment.push(comment.into());
        } else if let Some((key, value)) = line.split_once(" = ") {
            line.parse::<toml::Table>().expect("a key and its value on one line");
            group.keys.push((key.into(), value.into()));
        }
    }
    groups.push(group);
    groups.retain(|group| !group.keys.is_empty());
    groups
}

/// Returns the paragraphs and lists of a comment. A line that stands further in is an item, `word  text`, or goes on with one.
fn explained(comment: &[String]) -> String {
    let mut text = String::new();
    let mut is_in_list = false;
    for line in comment {
        let words = line.trim();
        match (line.len() - line.trim_start().len(), words.split_once("  ")) {
            (3, Some((word, meaning))) => {
                let gap = if is_in_list { "" } else { "\n" };
                write!(text, "{gap}\n- `{word}`: {}", meaning.trim()).expect("text");
                is_in_list = true;
            }
            (indent, _) => {
                let gap = if is_in_list && indent < 3 { "\n\n" } else { " " };
                is_in_list &= indent >= 3;
                write!(text, "{gap}{words}").expect("text");
            }
        }
    }
    text.trim().into()
}

/// Returns the name of a key in the environment.
fn variable(section: &str, key: &str) -> String {
    [&["glance_gate"][..], if section.is_empty() { &[] } else { std::slice::from_ref(&section) }, &[key]]
        .concat()
        .join("_")
        .to_uppercase()
}

/// Returns the keys whose values are never told, by trying all of them.
fn secrets(known: &[(&'static str, &'static str)]) -> BTreeSet<(&'static str, &'static str)> {
    let environment: Vec<_> = known.iter().map(|(section, key)| (variable(section, key), "x".to_owned())).collect();
    let (root, _) = DeTable::parse_recoverable("");
    let mut book = Book::new("", "", root.get_ref(), &environment);
    sections::read(&mut book);
    let settings = book.settings();
    settings
        .iter()
        .filter(|setting| setting.value == r#""***""#)
        .map(|setting| (setting.section, setting.key))
        .collect()
}

#[test]
fn the_page_of_keys_is_what_the_code_reads() {
    let (_, known) = parse("gate.toml", "", &[(PASSWORD.into(), "x".into())]).expect("the defaults");
    let groups = groups();
    let shipped: BTreeSet<_> = groups
        .iter()
        .flat_map(|group| group.keys.iter().map(|(key, _)| (group.section.as_str(), key.as_str())))
        .collect();
    let read: BTreeSet<_> = known.iter().copied().collect();
    assert_eq!(shipped, read, "config/gate.toml has the keys that the code reads");
    let secrets = secrets(&known);
    assert!(secrets.contains(&("keystone_authtoken", "password")), "{secrets:?}");

    let mut page = String::from(
        "# Configuration\n\nEvery key, in the order of [config/gate.toml](../../config/gate.toml), where each stands at its \
         default. A variable of the environment goes before the file. *When* tells when a change is used: by a reload, or by \
         a start alone. What is secret is never told in logs, in metrics, or on the operators' page.\n",
    );
    let mut section = None;
    for group in &groups {
        if section != Some(&group.section) {
            let heading = if group.section.is_empty() { "Before the first section" } else { &group.section };
            write!(page, "\n## {heading}\n").expect("text");
            section = Some(&group.section);
        }
        let text = explained(&group.comment);
        write!(page, "\n{text}\n\n| key | default | variable | when |\n|---|---|---|---|\n").expect("text");
        let when = if text.contains("Only read at the start.") { "start" } else { "reload" };
        for (key, default) in &group.keys {
            let is_secret = secrets.contains(&(group.section.as_str(), key.as_str()));
            let secret = if is_secret { ", secret" } else { "" };
            let variable = variable(&group.section, key);
            writeln!(page, "| `{key}` | `{}`{secret} | `{variable}` | {when} |", cell(default)).expect("text");
        }
    }
    hold("configuration.md", &page);
}
