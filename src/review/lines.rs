//! Reads a file of lines one by one, in bounded memory whatever the file holds.

use std::fs::File;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::rules::record::FAMILY_VERSION;
use crate::rules::record::Record;
use crate::rules::record::VERSION;

/// Far longer than any line of the gate.
const MAX_LINE: usize = 1024 * 1024;

/// Reads all lines; hands each on with its number, as `parse` reads it or with what is wrong with it. Empty lines are
/// nothing.
///
/// # Errors
/// Fails if the file can not be read.
pub fn read<T>(
    mut file: impl BufRead,
    parse: impl Fn(&[u8]) -> Result<T, String>,
    mut each: impl FnMut(u64, Result<T, String>),
) -> io::Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = file.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        if read == MAX_LINE && line.last() != Some(&b'\n') {
            skip_line(&mut file)?;
            each(number, Err("it is longer than 1 MiB, which no line of the gate is".into()));
            continue;
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            each(number, parse(text));
        }
    }
    Ok(())
}

/// Reads all lines of a file, or of standard input if its name is `-`.
///
/// # Errors
/// Fails if the file can not be read, and names it.
pub fn read_file<T>(
    path: &Path,
    parse: impl Fn(&[u8]) -> Result<T, String>,
    each: impl FnMut(u64, Result<T, String>),
) -> io::Result<()> {
    let read = if path.as_os_str() == "-" {
        read(io::stdin().lock(), parse, each)
    } else {
        File::open(path).and_then(|file| read(BufReader::new(file), parse, each))
    };
    read.map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

/// Reads one decision.
///
/// # Errors
/// Tells what is wrong with it.
pub fn parse(line: &[u8]) -> Result<Record, String> {
    let value = value(line)?;
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if [VERSION, FAMILY_VERSION].map(u64::from).contains(&version) => {
            Record::deserialize(value).map_err(|error| format!("it is no decision: {error}"))
        }
        Some(version) => {
            Err(format!("its version is {version}, and this gate reads the versions {VERSION} and {FAMILY_VERSION}"))
        }
        None => Err("it is no decision: it has no version".into()),
    }
}

/// Reads a line of JSON that may be shown in a terminal.
///
/// # Errors
/// Tells what is wrong with it.
pub fn value(line: &[u8]) -> Result<Value, String> {
    let mut value = serde_json::from_slice(line).map_err(|error| format!("it is no JSON: {error}"))?;
    disarm(&mut value);
    Ok(value)
}

/// Takes control characters out of all texts: they are shown in a terminal, which must not take its orders from there.
fn disarm(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(char::is_control) => *text = text.replace(char::is_control, "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(disarm),
        Value::Object(fields) => fields.values_mut().for_each(disarm),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn skip_line(file: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (taken, is_over) = match memchr::memchr(b'\n', buffer) {
            Some(end) => (end + 1, true),
            None => (buffer.len(), false),
        };
        file.consume(taken);
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::MAX_LINE;
    use super::disarm;
    use super::parse;
    use super::read;

    #[test]
    fn no_text_of_a_line_gives_a_terminal_orders() {
        let mut value = json!({"project": "\u{1b}[31mred\nfake line", "roles": ["a\u{7}b", "plain"], "n": 1});
        disarm(&mut value);
        let expected = json!({"project": "\u{fffd}[31mred\u{fffd}fake line", "roles": ["a\u{fffd}b", "plain"], "n": 1});
        assert_eq!(value, expected);
    }

    #[test]
    fn bad_lines_are_told_by_number_and_do_not_end_the_reading() {
        let long = "x".repeat(3 * MAX_LINE);
        let text = format!("no json\n\n{{\"version\":3}}\n{long}\n{{}}\n{{\"version\":1}}\n[");
        let mut told = Vec::new();
        read(text.as_bytes(), parse, |number, line| told.push((number, line.expect_err("none is good"))))
            .expect("bytes");
        let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 3, 4, 5, 6, 7]);
        for ((_, why), part) in
            told.iter().zip(["no JSON", "version is 3", "longer than", "no version", "missing field", "no JSON"])
        {
            assert!(why.contains(part), "{why}");
        }
    }
}
