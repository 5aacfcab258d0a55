//! Files of `oslo.config` and of Paste: sections, keys, values of several lines, `$variables`.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::oslo_policy::files::Notice;

/// One key of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section; `DEFAULT` is written so, the others are in lower case.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value; its lines are joined.
    pub value: String,
    /// The file.
    pub file: PathBuf,
    /// The line that it begins on, counted from one.
    pub line: usize,
}

/// Larger files are no configuration, in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Reads a file (`oslo_config/iniparser.py`).
///
/// # Errors
/// Tells why it can not be read, and where.
pub fn read(file: &Path) -> Result<Vec<Entry>, Notice> {
    let unread = |error: io::Error| Notice { file: file.into(), line: None, what: error.to_string() };
    let metadata = fs::metadata(file).map_err(unread)?;
    if metadata.len() > MAX_FILE {
        return Err(unread(io::Error::other("it is too large for a configuration")));
    }
    parse(&fs::read_to_string(file).map_err(unread)?, file)
}

/// Reads the text of a file.
///
/// # Errors
/// As [`read`].
pub fn parse(text: &str, file: &Path) -> Result<Vec<Entry>, Notice> {
    let (mut entries, mut section, mut is_open): (Vec<Entry>, String, bool) = (Vec::new(), String::new(), false);
    for (line, number) in text.lines().zip(1..) {
        let wrong = |what: &str| Notice { file: file.into(), line: Some(number), what: what.into() };
        let line = line.trim_end();
        match line.chars().next() {
            None | Some('#' | ';') => is_open = false,
            Some(' ' | '\t') => match entries.last_mut().filter(|_| is_open) {
                Some(entry) => {
                    entry.value.push('\n');
                    entry.value.push_str(line.trim_start());
                }
                None => return Err(wrong("a line that goes on with nothing")),
            },
            Some('[') => {
                is_open = false;
                let name = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                let name = name.filter(|name| !name.is_empty()).ok_or_else(|| wrong("no name of a section"))?;
                section = if name == "DEFAULT" { name.into() } else { name.to_lowercase() };
            }
            Some(_) => {
                let (key, value) = line.split_once(['=', ':']).ok_or_else(|| wrong("neither = nor : in the line"))?;
                if key.trim().is_empty() {
                    return Err(wrong("no key before the ="));
                }
                if section.is_empty() {
                    return Err(wrong("a key before the first section"));
                }
                is_open = true;
                let (section, value) = (section.clone(), unquoted(value.trim()).into());
                entries.push(Entry { section, key: key.trim().into(), value, file: file.into(), line: number });
            }
        }
    }
    Ok(entries)
}

fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

/// Fills in `$name`, `${name}` and `${section.name}` (`ConfigOpts._substitute`); `$$` and `\$` are one dollar. What
/// `find` does not know stays as it is.
pub fn substituted(text: &str, find: &dyn Fn(&str) -> Option<String>) -> String {
    let text = text.replace("\\$", "$$");
    let (mut out, mut rest) = (String::new(), text.as_str());
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let is_braced = after.starts_with('{');
        let inner = after.strip_prefix('{').unwrap_or(after);
        let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).unwrap_or(inner.len());
        let (name, following) = inner.split_at(end);
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let following = if is_braced { following.strip_prefix('}') } else { Some(following) };
        let found = following.filter(|_| is_name).and_then(|following| Some((find(name)?, following)));
        let (value, following) = found.unwrap_or_else(|| ("$".into(), after));
        out.push_str(&value);
        rest = following;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::parse;
    use super::substituted;

    fn told(text: &str) -> Vec<String> {
        match parse(text, Path::new("a.conf")) {
            Ok(entries) => entries
                .iter()
                .map(|entry| format!("{} {}={:?} {}", entry.section, entry.key, entry.value, entry.line))
                .collect(),
            Err(error) => vec![error.to_string()],
        }
    }

    #[test]
    fn files_are_read_as_oslo_config_does() {
        let text = "# a comment\n[DEFAULT]\nbind_host = 0.0.0.0\nlist = a,\n   b\n\n; another\n[Keystone_AuthToken]\n\
                    password = \" x = y\"\nurl: http://a:1\nempty =\n";
        assert_eq!(
            told(text),
            [
                "DEFAULT bind_host=\"0.0.0.0\" 3",
                "DEFAULT list=\"a,\\nb\" 4",
                "keystone_authtoken password=\" x = y\" 9",
                "keystone_authtoken url=\"http://a:1\" 10",
                "keystone_authtoken empty=\"\" 11",
            ]
        );
        for (broken, line) in
            [("[DEFAULT]\nx\n", 2), ("x = 1\n", 1), ("[DEFAULT\n", 1), ("[a]\n  b\n", 2), ("[a]\n= b\n", 2)]
        {
            assert!(told(broken)[0].starts_with(&format!("a.conf:{line}: ")), "{broken}: {:?}", told(broken));
        }
    }

    #[test]
    fn variables_are_filled_in_as_oslo_config_does() {
        let find = |name: &str| match name {
            "state" => Some("/var/lib".to_owned()),
            "ks.url" => Some("http://k".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("$state/x", "/var/lib/x"),
            ("${state}x", "/var/libx"),
            ("${ks.url}/v3", "http://k/v3"),
            ("a$$b\\$c", "a$b$c"),
            ("$none ${none} $5 $", "$none ${none} $5 $"),
        ] {
            assert_eq!(substituted(text, &find), expected);
        }
    }
}
