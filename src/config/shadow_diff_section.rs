//! The section `[shadow_diff]`: how answers of staging are compared, and the rules for what is known to differ.

use std::fs;
use std::io;
use std::path::Path;

use http::HeaderName;

use crate::config::decisions_section;
use crate::config::mistake::Mistake;
use crate::config::reader::Section;
use crate::config::sections::positive;
use crate::diff::config::Config;
use crate::diff::config::NEVER_COMPARED;
use crate::diff::ignore::Rule;
use crate::diff::ignore_file;
use crate::diff::shown::Values;

/// Many headers make many labels.
const MAX_HEADERS: usize = 50;
/// How many examples may be kept of each of a thousand kinds of difference.
const MAX_EXAMPLES: usize = 20;
/// How large the file of rules may be.
const MAX_FILE: u64 = 1024 * 1024;

/// Reads the section.
pub fn read(section: &mut Section<'_, '_>) -> Config {
    let default = Config::default();
    let headers = headers(section, &default.headers);
    let ignore_file = section.get("ignore_file", default.ignore_file);
    let config = Config {
        headers,
        ignore: rules(section, &ignore_file),
        ignore_file,
        noise_after: section.get("noise_after", default.noise_after),
        noise_ttl: positive(section, "noise_ttl", default.noise_ttl),
        values: section.choose("values", default.values, &[("safe", Values::Safe), ("all", Values::All)]),
        log: decisions_section::lines(section),
        examples: section.get("examples", default.examples),
    };
    if config.noise_after == 0 {
        section.mistake("noise_after", "all would be noise that never differed", "1 at least");
    }
    if config.examples > MAX_EXAMPLES {
        section.mistake("examples", "more than anybody looks at", "20 at most");
    }
    config
}

fn headers(section: &mut Section<'_, '_>, default: &[HeaderName]) -> Vec<HeaderName> {
    let names: Vec<String> = section.get("headers", default.iter().map(ToString::to_string).collect());
    let mut headers: Vec<HeaderName> = Vec::new();
    for name in &names {
        match name.parse::<HeaderName>() {
            Ok(header) if NEVER_COMPARED.contains(&header.as_str()) => {
                let what = format!("{name} differs always, or tells of the connection");
                section.mistake("headers", &what, "leave it out");
            }
            Ok(header) if headers.contains(&header) => {
                section.mistake("headers", &format!("{name} stands there twice"), "name it once");
            }
            Ok(header) => headers.push(header),
            Err(_) => section.mistake("headers", &format!("{name:?} is no header"), "such as \"content-type\""),
        }
    }
    if headers.len() > MAX_HEADERS {
        section.mistake("headers", "more than anybody looks at", "50 at most");
    }
    headers
}

/// Reads the rules; each mistake in them is told with its own file and line.
fn rules(section: &mut Section<'_, '_>, path: &Path) -> Vec<Rule> {
    if path.as_os_str().is_empty() {
        return Vec::new();
    }
    let file = path.display().to_string();
    let read = fs::metadata(path).and_then(|known| match known.len() {
        _ if !known.is_file() => Err(io::Error::other("it is no file")),
        0..=MAX_FILE => fs::read_to_string(path),
        _ => Err(io::Error::other("it is larger than 1 MiB")),
    });
    let text = match read {
        Ok(text) => text,
        Err(error) => {
            section.mistake("ignore_file", &format!("{file}: {error}"), "the gate must be able to read the file");
            return Vec::new();
        }
    };
    ignore_file::parse(&text).unwrap_or_else(|mistakes| {
        section.blame(mistakes.into_iter().map(|mistake| Mistake {
            source: file.clone(),
            line: Some(mistake.line),
            key: mistake.key,
            what: mistake.what,
            hint: mistake.hint.into(),
        }));
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;

    fn environment() -> Vec<(String, String)> {
        vec![("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD".into(), "x".into())]
    }

    #[test]
    fn what_makes_no_sense_is_a_mistake() {
        let text = "[decisions]\nfile = \"/x/y\"\n[shadow_diff]\nheaders = [\"Date\", \"allow\", \"Allow\", \"a b\"]\n\
                    noise_after = 0\nnoise_ttl = \"0s\"\nvalues = \"some\"\nfile = \"/x/y\"\nexamples = 21\n\
                    ignore_file = \"/nowhere/rules.toml\"\n";
        let mistakes = parse("gate.toml", text, &environment()).err().unwrap_or_default();
        let lines: Vec<Option<usize>> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [4, 4, 4, 5, 6, 7, 8, 9, 10].map(Some), "{mistakes:#?}");
    }

    #[test]
    fn names_of_headers_are_read_in_any_case() {
        let text = "[shadow_diff]\nheaders = [\"Allow\", \"X-Mine\"]\n";
        let config = parse("gate.toml", text, &environment()).expect("a good file").0;
        assert_eq!(config.shadow_diff.headers, ["allow", "x-mine"]);
    }
}
