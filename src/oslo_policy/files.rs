//! Rules from the files of an operator: `policy.yaml`, and the directories beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::fs::Metadata;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use crate::oslo_policy::check::Check;
use crate::oslo_policy::parse;
use crate::oslo_policy::parse::ParseError;
use crate::oslo_policy::yaml;
use crate::oslo_policy::yaml::Content;
use crate::oslo_policy::yaml::Node;
use crate::oslo_policy::yaml::Remark;

/// Where an operator keeps rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The policy file; empty for none.
    pub file: PathBuf,
    /// Directories whose files go before it, one after the other; those that are not there do not count.
    pub directories: Vec<PathBuf>,
}

/// What stands in a text or in several files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// The rules by name; the last of a name counts.
    pub checks: BTreeMap<String, Check>,
    /// What is worth a look, though it is taken as `oslo.policy` takes it.
    pub notices: Vec<Notice>,
}

/// Something about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from one, if it is about one.
    pub line: Option<usize>,
    /// What there is to say.
    pub what: String,
}

/// Which files there are and when they were changed, to notice that they are other ones.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Stamps(Vec<(PathBuf, Option<[u64; 4]>)>);

/// How large a file may be, in bytes; all rules of Glance with their comments are 50 KiB.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// How many files a directory may have.
const MAX_FILES: usize = 256;

impl Places {
    /// Tells whether there is no place at all.
    pub fn is_empty(&self) -> bool {
        self.file.as_os_str().is_empty() && self.directories.is_empty()
    }

    /// Reads all files, the last of a name counts (`Enforcer.load_rules`).
    ///
    /// # Errors
    /// Tells all that is wrong with them.
    pub fn read(&self) -> Result<Written, Vec<Notice>> {
        let files = self.files().map_err(|notice| vec![notice])?;
        let (mut all, mut wrong) = (Written::default(), Vec::new());
        for file in files {
            match read_file(&file) {
                Ok(written) => {
                    all.checks.extend(written.checks);
                    all.notices.extend(written.notices);
                }
                Err(notice) => wrong.push(notice),
            }
        }
        if wrong.is_empty() { Ok(all) } else { Err(wrong) }
    }

    /// Looks when the files were changed.
    pub fn stamps(&self) -> Stamps {
        let stamp = |metadata: Metadata| {
            [metadata.ino(), metadata.size(), metadata.mtime().cast_unsigned(), metadata.mtime_nsec().cast_unsigned()]
        };
        let files = self.files().unwrap_or_else(|notice| vec![notice.file]);
        Stamps(files.into_iter().map(|file| (file.clone(), fs::metadata(file).ok().map(stamp))).collect())
    }

    /// Lists the files: of directories all that are not hidden, by name, and none below.
    fn files(&self) -> Result<Vec<PathBuf>, Notice> {
        let mut files: Vec<PathBuf> = Vec::new();
        if !self.file.as_os_str().is_empty() {
            files.push(self.file.clone());
        }
        for directory in &self.directories {
            let unread = |error: io::Error| about(directory, None, error.to_string());
            let entries = match fs::read_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(unread)?,
            };
            let mut found = Vec::new();
            for entry in entries.take(MAX_FILES + 1) {
                let path = entry.map_err(unread)?.path();
                let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
                if !is_hidden && !path.is_dir() {
                    found.push(path);
                }
            }
            if found.len() > MAX_FILES {
                return Err(about(directory, None, format!("more than {MAX_FILES} files")));
            }
            found.sort();
            files.append(&mut found);
        }
        Ok(files)
    }
}

fn about(file: &Path, line: Option<usize>, what: String) -> Notice {
    Notice { file: file.into(), line, what }
}

fn read_file(path: &Path) -> Result<Written, Notice> {
    let unread = |error: io::Error| about(path, None, error.to_string());
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unread)?;
    if !file.metadata().map_err(unread)?.is_file() {
        return Err(about(path, None, "it is no file".into()));
    }
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(unread)?;
    if text.len() as u64 > MAX_FILE {
        return Err(about(path, None, format!("it has more than {MAX_FILE} bytes")));
    }
    read(&text, path)
}

/// Reads the rules of a text, which stands in the file `path`.
///
/// # Errors
/// Tells what is wrong with it.
pub fn read(text: &str, path: &Path) -> Result<Written, Notice> {
    let told = |remark: Remark| about(path, remark.line, remark.what);
    let mut written = Written::default();
    let Some(node) = yaml::read(text).map_err(told)? else { return Ok(written) };
    if !node.content.is_true() {
        return Ok(written);
    }
    let Content::Dict(entries) = node.content else {
        return Err(about(path, Some(node.line), "no rules: it must hold names and rules".into()));
    };
    for (name, value) in entries {
        let mut notice = |line: usize, what: String| written.notices.push(about(path, Some(line), what));
        let Content::Text(key) = name.content else {
            notice(name.line, "the name of this rule is no text: it is left out".into());
            continue;
        };
        let check = rule(&key, &value, &mut notice).map_err(told)?;
        if written.checks.insert(key.clone(), check).is_some() {
            notice(name.line, format!("\"{key}\" stands here for the second time: this one counts"));
        }
    }
    Ok(written)
}

/// Reads one rule (`_parser.parse_rule`).
fn rule(name: &str, value: &Node, notice: &mut dyn FnMut(usize, String)) -> Result<Check, Remark> {
    match &value.content {
        Content::Text(text) => match parse::rule(text) {
            Ok(check) => Ok(check),
            Err(ParseError::NotUnderstood) => {
                notice(value.line, format!("\"{name}\" can not be understood: it allows nobody, like \"!\""));
                Ok(Check::False)
            }
            Err(ParseError::TooLarge) => {
                Err(Remark { line: Some(value.line), what: format!("\"{name}\" is too long or nested too deep") })
            }
        },
        content if !content.is_true() => {
            notice(value.line, format!("\"{name}\" is empty: it allows everybody; \"!\" allows nobody, in quotes"));
            Ok(Check::True)
        }
        content => {
            let items = items(content).ok_or_else(|| Remark {
                line: Some(value.line),
                what: format!("\"{name}\" is no rule: a rule is a text in quotes, or a list of lists"),
            })?;
            let mut alternatives = Vec::new();
            for item in items.iter().filter(|item| item.content.is_true()) {
                let checks = match &item.content {
                    Content::Text(text) => vec![Check::parse(text)],
                    content => {
                        let wrong = || Remark {
                            line: Some(item.line),
                            what: format!("\"{name}\" has something in its lists that is no check"),
                        };
                        self::items(content).ok_or_else(wrong)?.into_iter().map(one).collect()
                    }
                };
                alternatives.push(checks);
            }
            Ok(parse::lists(&alternatives))
        }
    }
}

/// Returns what Python goes through in a loop: the elements of a list, the keys of a dictionary.
fn items(content: &Content) -> Option<Vec<&Node>> {
    match content {
        Content::List(nodes) => Some(nodes.iter().collect()),
        Content::Dict(entries) => Some(entries.iter().map(|(key, _)| key).collect()),
        Content::Text(_) | Content::Nothing | Content::Something => None,
    }
}

fn one(node: &Node) -> Check {
    match &node.content {
        Content::Text(text) => Check::parse(text),
        Content::List(_) | Content::Dict(_) | Content::Nothing | Content::Something => Check::False,
    }
}

impl fmt::Debug for Stamps {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the same files elsewhere have others
        out.write_str("Stamps")
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(out, ":{line}")?;
        }
        write!(out, ": {}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::path::PathBuf;

    use super::Places;
    use super::read;

    fn told(text: &str) -> Vec<String> {
        match read(text, Path::new("policy.yaml")) {
            Ok(written) => {
                let checks = written.checks.iter().map(|(name, check)| format!("{name} = {check}"));
                checks.chain(written.notices.iter().map(ToString::to_string)).collect()
            }
            Err(notice) => vec![format!("refused: {notice}")],
        }
    }

    #[test]
    fn rules_are_texts_or_lists_of_lists() {
        assert_eq!(told("\"a\": \"role:x\"\nb: role:y or @\n"), ["a = role:x", "b = (role:y or @)"]);
        let lists = "{\"a\": [[\"role:x\", \"role:y\"], \"role:z\", []], \"b\": [[]], \"c\": [[\"role:q\"]]}";
        assert_eq!(told(lists), ["a = ((role:x and role:y) or role:z)", "b = !", "c = role:q"]);
        assert_eq!(told(""), [""; 0]);
        assert_eq!(told("# nothing\n"), [""; 0]);
    }

    #[test]
    fn what_means_something_else_than_it_looks_like_is_told() {
        let texts = [
            ("a: !\n", "policy.yaml:1: \"a\" is empty: it allows everybody; \"!\" allows nobody, in quotes"),
            ("a: \"b and\"\n", "policy.yaml:1: \"a\" can not be understood: it allows nobody, like \"!\""),
            ("a: x:y\na: x:z\n", "policy.yaml:2: \"a\" stands here for the second time: this one counts"),
            ("5: x:y\n", "policy.yaml:1: the name of this rule is no text: it is left out"),
            ("a: 5\n", "refused: policy.yaml:1: \"a\" is no rule: a rule is a text in quotes, or a list of lists"),
            ("a: [yes]\n", "refused: policy.yaml:1: \"a\" has something in its lists that is no check"),
            ("- a\n", "refused: policy.yaml:1: no rules: it must hold names and rules"),
        ];
        for (text, expected) in texts {
            assert!(told(text).iter().any(|told| told == expected), "{expected} not in {:?}", told(text));
        }
    }

    #[test]
    fn the_files_of_a_directory_go_before_the_file_in_the_order_of_their_names() {
        let root = std::env::temp_dir().join(format!("glance-gate-policy-{}", std::process::id()));
        let directory = root.join("policy.d");
        fs::create_dir_all(directory.join("below")).expect("a folder");
        let write = |name: &str, text: &str| fs::write(root.join(name), text).expect("a file");
        write("policy.yaml", "a: from:file\nb: from:file\nc: from:file\n");
        write("policy.d/2.yaml", "a: from:2\n");
        write("policy.d/1.bak", "a: from:1\nb: from:1\n");
        write("policy.d/.hidden", "c: from:hidden\n");
        write("policy.d/below/3.yaml", "c: from:below\n");
        let missing = root.join("missing");
        let places = Places { file: root.join("policy.yaml"), directories: vec![missing.clone(), directory] };
        let written = places.read().expect("rules");
        let checks: Vec<String> = written.checks.values().map(ToString::to_string).collect();
        assert_eq!(checks, ["from:2", "from:1", "from:file"]);
        let before = places.stamps();
        assert_eq!(before, places.stamps());
        write("policy.d/2.yaml", "a: from:another\n");
        assert_ne!(before, places.stamps());
        let places = Places { file: missing, directories: Vec::<PathBuf>::new() };
        assert!(places.read().is_err());
        fs::remove_dir_all(root).expect("a folder");
    }
}
