//! The options of a deployed Glance, as its files set them.

use std::path::Path;
use std::path::PathBuf;

use crate::adopt::ini;
use crate::adopt::ini::Entry;
use crate::oslo_policy::files::Notice;

/// All options that are set.
#[derive(Clone, Debug, Default)]
pub struct Options {
    entries: Vec<Entry>,
}

/// The value of an option, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value, with its variables filled in.
    pub value: String,
    /// The option and its place, in words.
    pub origin: String,
}

/// How many variables may stand for each other in a row.
const MAX_DEPTH: usize = 16;

impl Options {
    /// Reads files; of an option that is set twice, the last counts.
    ///
    /// # Errors
    /// Tells which can not be read, and why.
    pub fn read(files: &[PathBuf]) -> Result<Self, Notice> {
        let mut entries = Vec::new();
        for file in files {
            entries.append(&mut ini::read(file)?);
        }
        Ok(Self { entries })
    }

    /// Returns an option that is set to something, by the first of these names.
    pub fn get(&self, section: &str, names: &[&str]) -> Option<Found> {
        let entry = names.iter().find_map(|name| self.entry(section, name))?;
        let value = self.filled(&entry.value, section, 0);
        let at = format!("{}:{}", entry.file.display(), entry.line);
        let origin = format!("[{}] {}, {at}", entry.section, entry.key);
        (!value.is_empty()).then_some(Found { value, origin })
    }

    /// Returns an option of which each setting counts, such as `policy_dirs`.
    pub fn all(&self, section: &str, name: &str) -> Vec<String> {
        let set = self.entries.iter().filter(|entry| entry.section == section && entry.key == name);
        set.map(|entry| self.filled(&entry.value, section, 0)).collect()
    }

    fn entry(&self, section: &str, name: &str) -> Option<&Entry> {
        let is_it = |entry: &&Entry| entry.section == section && entry.key.replace('-', "_") == name;
        self.entries.iter().rev().find(is_it)
    }

    fn filled(&self, value: &str, section: &str, depth: usize) -> String {
        if depth == MAX_DEPTH || !value.contains('$') {
            return value.to_owned();
        }
        let find = |name: &str| {
            let (section, name) = match name.split_once('.') {
                Some((group, name)) => (group.to_lowercase(), name),
                None => (section.to_owned(), name),
            };
            let entry = self.entry(&section, name).or_else(|| self.entry("DEFAULT", name))?;
            Some(self.filled(&entry.value, &entry.section, depth + 1))
        };
        ini::substituted(value, &find)
    }
}

impl Found {
    /// Reads it as `oslo.config` reads a switch.
    pub fn is_on(&self) -> Option<bool> {
        match self.value.to_lowercase().as_str() {
            "true" | "1" | "on" | "yes" => Some(true),
            "false" | "0" | "off" | "no" => Some(false),
            _ => None,
        }
    }

    /// Reads it as a list.
    pub fn list(&self) -> Vec<String> {
        self.value.split([',', '\n']).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }
}

/// Finds Glance's files in the directory of its configuration: `glance-api.conf`, then those of `glance-api.conf.d`.
pub fn files_of(directory: &Path) -> Vec<PathBuf> {
    let mut files = vec![directory.join("glance-api.conf")];
    let more = std::fs::read_dir(directory.join("glance-api.conf.d"));
    let mut more: Vec<PathBuf> = more.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    more.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    more.sort();
    files.append(&mut more);
    files
}
