//! One line of the file of differences, as it is written and read again.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::diff::found::Body;
use crate::diff::found::Kind;

/// The version of the schema, `docs/shadow-diff.schema.json`.
pub const VERSION: u32 = 1;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// A pair of answers that differ by more than what differs always.
    Pair(Box<Pair>),
    /// How many pairs were compared since the line of this kind before.
    Summary(Summary),
}

/// A pair of answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The version of the schema.
    pub version: u32,
    /// When they were compared, RFC 3339.
    pub time: String,
    /// The id of the request.
    pub request_id: String,
    /// Its method.
    pub method: String,
    /// Its route.
    pub route: String,
    /// Its path and query, with what looks secret hidden.
    pub target: String,
    /// Who asked, if that is known.
    pub project: Option<String>,
    /// What the primary answered.
    pub primary_status: u16,
    /// What staging answered.
    pub staging_status: u16,
    /// Whether the bodies were compared.
    pub body: Body,
    /// The fields that differ, but for what differs always.
    pub differences: Vec<Told>,
    /// Whether there may be more of them.
    pub is_cut: bool,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The field.
    pub field: String,
    /// How it differs.
    pub kind: Kind,
    /// What was made of it.
    pub standing: Stands,
    /// Why it is ignored, if it is.
    pub reason: Option<String>,
    /// At how many places it differs.
    pub times: u32,
    /// What the primary says at the first, as far as it may be told.
    pub primary: Option<String>,
    /// What staging says.
    pub staging: Option<String>,
}

/// What is made of a difference.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// It is one to look at.
    Counts,
    /// It differs between any two Glances.
    BuiltIn,
    /// A rule of the operator explains it.
    Ignored,
    /// It differs between two answers of one side too.
    Learned,
}

/// How many pairs were compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The version of the schema.
    pub version: u32,
    /// When this was written, RFC 3339.
    pub time: String,
    /// Pairs in which nothing differs that counts.
    pub equal: u64,
    /// Pairs in which something does.
    pub differs: u64,
    /// Pairs that differ in nothing that was looked at, but whose bodies were not.
    pub not_compared: u64,
}

impl Stands {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Counts, Self::BuiltIn, Self::Ignored, Self::Learned];

    /// Names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::BuiltIn => "built_in",
            Self::Ignored => "ignored",
            Self::Learned => "learned",
        }
    }
}

/// Reads a line that is JSON already.
///
/// # Errors
/// Tells what is wrong with it.
pub fn read(mut value: Value) -> Result<Line, String> {
    match value.get("version").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => return Err(format!("its version is {version}, and this gate reads version {VERSION}")),
        None => return Err("it is no line of differences: it has no version".into()),
    }
    let kind = value.as_object_mut().and_then(|fields| fields.remove("type"));
    let read = match kind.as_ref().and_then(Value::as_str) {
        Some("pair") => Pair::deserialize(value).map(|pair| Line::Pair(Box::new(pair))),
        Some("summary") => Summary::deserialize(value).map(Line::Summary),
        Some(_) | None => return Err("it is no line of differences: its type is neither pair nor summary".into()),
    };
    read.map_err(|error| format!("it is no line of differences: {error}"))
}
