//! The form that audit maps are written in: Python's `configparser`, as far as maps use it, and read as strictly.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

/// The keys of each section; keys are lower-case, as Python's reader makes them.
pub type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// A line that can not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapError {
    /// Its number, counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads the sections of a file.
///
/// # Errors
/// Tells the first line that can not be read.
pub fn parse(text: &str) -> Result<Sections, MapError> {
    let mut sections = Sections::new();
    let mut section: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let wrong = |what| Err(MapError { line: number + 1, what });
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            return wrong("a value must not go on in the next line");
        }
        if let Some(name) = content.strip_prefix('[') {
            let Some(name) = name.strip_suffix(']') else { return wrong("a section must end with ]") };
            if name != "DEFAULT" && sections.contains_key(name) {
                return wrong("the section is there twice");
            }
            sections.entry(name.to_owned()).or_default();
            section = Some(name.to_owned());
            continue;
        }
        let Some(keys) = section.as_ref().and_then(|name| sections.get_mut(name)) else {
            return wrong("it stands before the first section");
        };
        let Some((key, value)) = content.split_once(['=', ':']) else { return wrong("it is no key = value") };
        if value.contains('%') {
            return wrong("a value must not refer to others with %");
        }
        if keys.insert(key.trim().to_lowercase(), value.trim().to_owned()).is_some() {
            return wrong("the key is there twice");
        }
    }
    Ok(sections)
}

impl fmt::Display for MapError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}", self.line, self.what)
    }
}

impl Error for MapError {}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn keys_are_lower_case_and_comments_are_left_out() {
        let sections = parse("# one\n[a]\nKey = Value with = and #\n; two\nother: x\n\n[b]\n").expect("sections");
        assert_eq!(sections["a"]["key"], "Value with = and #");
        assert_eq!(sections["a"]["other"], "x");
        assert!(sections["b"].is_empty());
    }

    #[test]
    fn what_can_not_be_read_is_told_with_its_line() {
        for (text, line) in [
            ("x = y\n", 1),
            ("[a]\nx\n", 2),
            ("[a\n", 1),
            ("[a]\nx = y\nX = z\n", 3),
            ("[a]\n[b]\n[a]\n", 3),
            ("[a]\nx = y\n  z\n", 3),
            ("[a]\nx = %(y)s\n", 2),
        ] {
            assert_eq!(parse(text).expect_err(text).line, line, "{text}");
        }
    }
}
