//! What a comparison finds: a bounded list of differences, each with its field, and values that may be told.

use std::collections::HashMap;

use serde::Deserialize;
use serde::Serialize;

use crate::diff::shown::Raw;
use crate::diff::shown::Values;

/// How the two differ at a field.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Both have it, with another value.
    Changed,
    /// Staging lacks it.
    Missing,
    /// Only staging has it.
    Added,
    /// Both have it, of another type.
    Type,
    /// A list has another order.
    Order,
}

/// Where a difference comes from, as far as the two answers tell.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Cause {
    /// Staging answers otherwise.
    Answer,
    /// It differs between any two Glances.
    Noise,
}

/// One field that differs, at one place or at many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The field, [`crate::diff::field`].
    pub field: String,
    /// How it differs.
    pub kind: Kind,
    /// Where that comes from.
    pub cause: Cause,
    /// At how many places: in a list, one for each item.
    pub times: u32,
    /// What the primary says at the first of them, as it may be told; nothing if it says nothing.
    pub primary: Option<String>,
    /// What staging says.
    pub staging: Option<String>,
}

/// Why bodies were not compared.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// They were.
    Compared,
    /// The answers have another status or media type: that tells it.
    OtherAnswer,
    /// One of them was not looked at.
    Unread,
    /// One of them is longer than what is kept.
    TooLong,
    /// One of them is compressed.
    Encoded,
}

/// Gathers differences.
#[derive(Debug)]
pub struct Finder {
    values: Values,
    found: Vec<Found>,
    known: HashMap<(String, Kind, Cause), usize>,
    is_cut: bool,
}

/// All that a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The differences, in the order they were met.
    pub found: Vec<Found>,
    /// Whether the bodies were compared.
    pub body: Body,
    /// Whether there may be more differences than are told.
    pub is_cut: bool,
}

/// How many fields of a pair are told to differ.
pub const MAX_FOUND: usize = 50;

impl Kind {
    /// Names the kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Added => "added",
            Self::Type => "type",
            Self::Order => "order",
        }
    }

    /// Reads a name of [`Kind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Changed, Self::Missing, Self::Added, Self::Type, Self::Order]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

impl Body {
    /// Names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compared => "compared",
            Self::OtherAnswer => "other_answer",
            Self::Unread => "unread",
            Self::TooLong => "too_long",
            Self::Encoded => "encoded",
        }
    }
}

impl Finder {
    /// Begins with nothing; values are told like this.
    pub fn new(values: Values) -> Self {
        Self { values, found: Vec::new(), known: HashMap::new(), is_cut: false }
    }

    /// Notes that a field differs.
    pub fn note(
        &mut self,
        field: String,
        (kind, cause): (Kind, Cause),
        primary: Option<Raw<'_>>,
        staging: Option<Raw<'_>>,
    ) {
        let key = (field, kind, cause);
        if let Some(found) = self.known.get(&key).and_then(|at| self.found.get_mut(*at)) {
            found.times = found.times.saturating_add(1);
            return;
        }
        if self.is_full() {
            self.is_cut = true;
            return;
        }
        let field = &key.0;
        let shown = |value: Option<Raw<'_>>| value.map(|value| self.values.show(field, value));
        let found =
            Found { field: field.clone(), kind, cause, times: 1, primary: shown(primary), staging: shown(staging) };
        self.known.insert(key, self.found.len());
        self.found.push(found);
    }

    /// Tells whether a field is known to differ.
    pub fn has(&self, field: &str) -> bool {
        self.found.iter().any(|found| found.field == field)
    }

    /// Tells whether no other field can be noted.
    fn is_full(&self) -> bool {
        self.found.len() >= MAX_FOUND
    }

    /// Returns what was found.
    pub fn end(self, body: Body) -> Comparison {
        Comparison { found: self.found, body, is_cut: self.is_cut }
    }
}
