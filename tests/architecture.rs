//! Holds the rules of the module table in `src/lib.rs`: imports point down only, files stay short.

#![expect(clippy::expect_used, reason = "a test that can not go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The level of each module; an import may stay on its level or go down, unless a rule below says no.
const LEVELS: [(&str, u8); 40] = [
    ("main", 8),
    ("command", 8),
    ("demo", 7),
    ("app", 6),
    ("config", 5),
    ("page", 5),
    ("conform", 4),
    ("stack", 4),
    ("server", 4),
    ("review", 4),
    ("adopt", 4),
    ("edge", 3),
    ("route", 3),
    ("check", 3),
    ("member_update", 3),
    ("limits", 3),
    ("service_token", 3),
    ("identify", 3),
    ("vouch", 3),
    ("shadow", 3),
    ("keystone", 2),
    ("oidc", 2),
    ("glance", 2),
    ("upstream", 2),
    ("rules", 2),
    ("contract", 2),
    ("audit", 2),
    ("refusal", 1),
    ("call", 1),
    ("cache", 1),
    ("client", 1),
    ("diff", 1),
    ("fleet", 1),
    ("openstack", 0),
    ("oslo_policy", 0),
    ("framing", 0),
    ("body", 0),
    ("peer", 0),
    ("secret", 0),
    ("telemetry", 0),
];

/// Imports that are forbidden although they do not point up.
const FORBIDDEN: [(&str, &[&str]); 19] = [
    ("fleet", &["refusal", "call", "cache"]),
    ("keystone", &["glance", "upstream", "call"]),
    ("glance", &["keystone", "upstream"]),
    ("upstream", &["keystone", "glance"]),
    ("contract", &["keystone", "oidc", "glance", "upstream", "rules", "client"]),
    ("rules", &["keystone", "oidc", "glance", "upstream"]),
    ("audit", &["keystone", "oidc", "glance", "upstream", "rules", "cache"]),
    ("oidc", &["keystone", "glance", "upstream", "call"]),
    (
        "conform",
        &[
            "stack",
            "server",
            "review",
            "edge",
            "route",
            "check",
            "member_update",
            "service_token",
            "identify",
            "vouch",
            "oidc",
            "glance",
            "upstream",
            "rules",
            "refusal",
            "call",
            "cache",
            "diff",
        ],
    ),
    ("diff", &["refusal", "call", "cache", "client", "fleet"]),
    ("route", &["upstream", "keystone"]),
    ("member_update", &["upstream", "edge", "route"]),
    ("limits", &["upstream", "edge", "route", "member_update"]),
    ("edge", &["keystone", "member_update", "route"]),
    ("stack", &["server", "review", "adopt"]),
    (
        "adopt",
        &["stack", "server", "review", "edge", "route", "check", "member_update", "keystone", "upstream", "client"],
    ),
    ("review", &["stack", "server", "edge", "route", "check", "keystone", "upstream", "client"]),
    (
        "page",
        &[
            "stack",
            "edge",
            "route",
            "check",
            "member_update",
            "keystone",
            "oidc",
            "glance",
            "upstream",
            "call",
            "cache",
        ],
    ),
    (
        "server",
        &["stack", "edge", "route", "check", "member_update", "keystone", "glance", "upstream", "call", "openstack"],
    ),
];

/// How many lines a file may have before its tests.
const MAX_LINES: usize = 300;

fn source_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            source_files(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// Returns each file of `src` with the name of its top module and its text.
fn sources() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    files
        .into_iter()
        .map(|file| {
            let inside = file.strip_prefix(&root).expect("below src");
            let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
            let module = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&file).expect("a text");
            (inside.to_owned(), module, text)
        })
        .collect()
}

/// Returns the top modules that a text names by `crate::`, in imports and in paths.
fn named_modules(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect())
        .collect()
}

#[test]
fn imports_point_down_only() {
    let levels: BTreeMap<&str, u8> = LEVELS.into();
    let forbidden: BTreeMap<&str, &[&str]> = FORBIDDEN.into();
    let mut wrong = Vec::new();
    for (file, module, text) in sources() {
        if module == "lib" {
            continue;
        }
        let level = levels
            .get(module.as_str())
            .unwrap_or_else(|| panic!("{module} has no level: add it to the table in src/lib.rs and here"));
        for named in named_modules(&text) {
            let Some(below) = levels.get(named.as_str()) else {
                wrong.push(format!("{}: unknown module crate::{named}", file.display()));
                continue;
            };
            let is_forbidden = forbidden.get(module.as_str()).is_some_and(|list| list.contains(&named.as_str()));
            if below > level || is_forbidden {
                wrong.push(format!("{}: {module} must not import {named}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up:\n{}", wrong.join("\n"));
}

#[test]
fn imports_name_one_path_a_line() {
    let wrong: Vec<String> = sources()
        .iter()
        .flat_map(|(file, _, text)| {
            text.lines()
                .filter(|line| line.starts_with("use crate::") && line.contains('{'))
                .map(move |line| format!("{}: {line}", file.display()))
        })
        .collect();
    assert!(wrong.is_empty(), "grouped imports:\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_short_and_say_what_they_are() {
    for (file, _, text) in sources() {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines without its tests; at most {MAX_LINES}", file.display());
        assert!(text.starts_with("//! "), "{} does not start by saying what it is", file.display());
    }
}

#[test]
fn every_module_of_the_crate_is_in_the_table() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("lib.rs");
    for module in text.lines().filter_map(|line| line.strip_prefix("pub mod ")).map(|rest| rest.trim_end_matches(';')) {
        assert!(LEVELS.iter().any(|(name, _)| *name == module), "{module} has no level");
        assert!(text.contains(&format!("[`{module}`]")), "the table in src/lib.rs does not name {module}");
    }
}
