//! Holds the documents of the repository together: no link of theirs leads to a file or a heading that is not there.

#![expect(clippy::expect_used, reason = "a test that can not go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

/// What is made by builds and tests, and is no part of the repository.
const NOT_OURS: [&str; 5] = ["target", ".git", "node_modules", "artifacts", "corpus"];
/// Fewer would mean that the search itself is broken.
const FEWEST_DOCUMENTS: usize = 25;
const FEWEST_LINKS: usize = 150;

/// Adds the documents of a directory and of those below it.
fn find_documents(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let (path, name) = (entry.path(), entry.file_name());
        // a link in the file system may lead around in a circle
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() && !NOT_OURS.iter().any(|other| name == *other) {
            find_documents(&path, found);
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Returns the lines of a document that are text, not code: with the number of each.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let begins_or_ends = line.trim_start().starts_with("```");
        if !is_code && !begins_or_ends && !line.starts_with("    ") {
            lines.push((index + 1, line));
        }
        is_code ^= begins_or_ends;
    }
    lines
}

/// Returns where the links of a line lead to: what stands in `](…)`, outside of code.
fn links(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for text in line.split('`').step_by(2) {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(targets.map(|(target, _)| target));
    }
    // the text of a link may be code itself, as in [`check`](#check)
    for (at, _) in line.match_indices("`](") {
        found.extend(line.get(at + 3..).and_then(|rest| rest.split_once(')')).map(|(target, _)| target));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns the names by which the headings of a document can be reached, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let headings = prose(text).into_iter().filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim())
    });
    headings
        .map(|title| {
            let kept = title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
            let name: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect();
            let name = name.to_lowercase();
            let count = seen.entry(name.clone()).and_modify(|count: &mut u32| *count += 1).or_insert(0);
            if *count == 0 { name } else { format!("{name}-{count}") }
        })
        .collect()
}

/// Returns the path without `.` and `..`, as a server does that shows the documents.
fn resolved(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(whole.pop()),
            Component::CurDir => {}
            _ => whole.push(part),
        }
    }
    whole
}

/// Returns what is wrong with a link of this document.
fn fault(root: &Path, document: &Path, target: &str) -> Option<String> {
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let parent = document.parent().expect("a parent");
    let path = if file.is_empty() { document.to_owned() } else { resolved(&parent.join(file)) };
    if !path.starts_with(root) || !path.exists() {
        return Some(format!("{file} is not there"));
    }
    let anchor = anchor?;
    if path.extension().is_none_or(|extension| extension != "md") {
        return Some(format!("{file} has no headings"));
    }
    let is_there = anchors(&fs::read_to_string(&path).expect("a document")).iter().any(|name| name == anchor);
    (!is_there).then(|| format!("there is no heading #{anchor}"))
}

#[test]
fn no_link_of_a_document_is_dead() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = Vec::new();
    find_documents(root, &mut documents);
    let (mut count, mut dead) = (0, Vec::new());
    for document in &documents {
        let text = fs::read_to_string(document).expect("a document");
        for (line, content) in prose(&text) {
            for target in links(content).into_iter().filter(|target| !target.contains("://")) {
                count += 1;
                let fault = fault(root, document, target);
                dead.extend(fault.map(|fault| format!("{}:{line}: {fault}", document.display())));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(
        documents.len() >= FEWEST_DOCUMENTS && count >= FEWEST_LINKS,
        "{} documents, {count} links",
        documents.len()
    );
}

#[test]
fn links_and_headings_are_found_as_github_finds_them() {
    assert_eq!(
        links("see [a](A.md), [`b`](../B.md#b-c) and `[no](link)`, [d](https://example.org/)"),
        ["../B.md#b-c", "A.md", "https://example.org/"]
    );
    let text = "# A `rule`'s mode\n## Twice\n```\n# no heading\n```\n## Twice\n#tag\n";
    assert_eq!(anchors(text), ["a-rules-mode", "twice", "twice-1"]);
}

#[test]
fn every_document_is_in_the_index() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let index = fs::read_to_string(docs.join("README.md")).expect("the index");
    let named: Vec<PathBuf> = prose(&index)
        .into_iter()
        .flat_map(|(_, line)| links(line))
        .map(|target| resolved(&docs.join(target.split('#').next().unwrap_or_default())))
        .collect();
    let mut documents = Vec::new();
    find_documents(&docs, &mut documents);
    documents.retain(|document| *document != docs.join("README.md") && !named.contains(document));
    assert!(documents.is_empty(), "not in docs/README.md: {documents:?}");
}
