//! What is wrong with a configuration, where, and what to do about it.

use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file or the environment variable.
    pub source: String,
    /// The line, counted from one, if it is a file's.
    pub line: Option<usize>,
    /// The section and key, such as `[upstream] servers`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.source)?;
        if let Some(line) = self.line {
            write!(out, ":{line}")?;
        }
        out.write_str(": ")?;
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        out.write_str(&self.what)?;
        if !self.hint.is_empty() {
            write!(out, "\n    hint: {}", self.hint)?;
        }
        Ok(())
    }
}
