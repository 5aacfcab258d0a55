//! The left side of a check: a literal, or the way to an attribute of the credentials.

use crate::oslo_policy::literal;
use crate::oslo_policy::literal::Literal;
use crate::oslo_policy::value::Value;

/// What a check compares its right side with.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// This text.
    Literal(String),
    /// The attribute at the end of this way.
    Path(Vec<String>),
    /// Python raises an exception.
    Raises,
    /// Only Python could tell.
    Unclear,
}

/// What was found at the end of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The text, or a list with it.
    Same,
    /// Something else, or nothing.
    Other,
    /// It is not known.
    Unknown,
    /// Python raises an exception.
    Raised,
}

impl Kind {
    /// Reads what stands before the colon.
    pub fn parse(text: &str) -> Self {
        match literal::evaluate(text) {
            Literal::Value(value) => value.text().map_or(Self::Unclear, Self::Literal),
            Literal::Expression => Self::Path(text.split('.').map(str::to_owned).collect()),
            Literal::NotPython => Self::Raises,
            Literal::Unclear => Self::Unclear,
        }
    }
}

impl Kind {
    /// Returns the attribute of the credentials that the way begins with.
    pub fn attribute(&self) -> Option<&str> {
        match self {
            Self::Path(path) => path.first().map(String::as_str),
            Self::Literal(_) | Self::Raises | Self::Unclear => None,
        }
    }
}

/// Compares what is at the end of a way with a text; of a list on the way, one element is enough.
pub fn find_below(value: &Value, path: &[String], text: &str) -> Found {
    let Value::List(values) = value else { return find(value, path, text) };
    let mut found = Found::Other;
    for value in values {
        match find(value, path, text) {
            Found::Other => {}
            Found::Unknown => found = Found::Unknown,
            // whether Python gets that far is not known
            Found::Raised if found == Found::Unknown => return Found::Unknown,
            end @ (Found::Same | Found::Raised) => return end,
        }
    }
    found
}

fn find(value: &Value, path: &[String], text: &str) -> Found {
    let Some((key, rest)) = path.split_first() else {
        if let Value::Str(found) = value {
            return if **found == *text { Found::Same } else { Found::Other };
        }
        return match value.text() {
            Some(found) if found == text => Found::Same,
            Some(_) => Found::Other,
            None => Found::Unknown,
        };
    };
    match value {
        Value::Dict(_) => value.get(key).map_or(Found::Other, |value| find_below(value, rest, text)),
        Value::Unknown => Found::Unknown,
        // none of these has keys
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::List(_) => {
            Found::Raised
        }
    }
}
