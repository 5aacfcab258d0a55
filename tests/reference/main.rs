//! The reference in `docs/reference`, made from the code: every key, metric, reason and log field.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test reference` writes it anew; read its difference before you commit it.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "a test that can not go on fails")]

mod configuration;
mod log_fields;
mod metrics;
mod refusals;

use std::fs;
use std::path::PathBuf;

const NOTE: &str = "<!-- Made from the code by `UPDATE_SNAPSHOTS=1 cargo test --test reference`. Do not edit it. -->";

/// Holds a page of the reference to what the code gives, or writes it.
fn hold(page: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/reference").join(page);
    let text = format!("{NOTE}\n\n{}\n", text.trim());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, &text).expect("a page");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    for (number, (line, was)) in text.lines().zip(written.lines()).enumerate() {
        assert_eq!(line, was, "line {} of docs/reference/{page}; the first line says how to write it anew", number + 1);
    }
    assert_eq!(text.lines().count(), written.lines().count(), "docs/reference/{page}");
}

/// Returns the cells of each row of the first table below a heading; cells may hold escaped bars.
fn table_below(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = document.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let rows =
        below.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let row = row.trim_matches('|').replace(r"\|", "\u{0}");
        row.split('|').map(|cell| cell.trim().replace('\u{0}', r"\|")).collect()
    })
    .collect()
}

/// Returns what stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Writes a text so that it can stand in a cell.
fn cell(text: &str) -> String {
    text.replace('|', r"\|")
}
