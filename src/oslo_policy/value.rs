//! Values of targets and credentials, written as Python's `str()` and `repr()` write them.

use std::fmt;
use std::fmt::Write as _;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

/// A value as Python knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A float.
    Float(f64),
    /// A string.
    Str(Box<str>),
    /// A list.
    List(Vec<Value>),
    /// A dictionary, in the order in which it was written.
    Dict(Vec<(Box<str>, Value)>),
    /// There is a value, but nobody here knows which.
    Unknown,
}

/// Python writes numbers with an exponent from this power of ten on.
const LARGE_EXPONENT: i32 = 16;
/// Python writes numbers with an exponent below this power of ten.
const SMALL_EXPONENT: i32 = -4;
/// From here on JSON's integers are read as floats: this is two to the power of 63.
const LARGEST_INTEGER: f64 = 9_223_372_036_854_775_808.0;

impl Value {
    /// Returns the text that `str()` makes of it, unless that is not known.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Str(text) => Some(text.to_string()),
            other => other.repr(),
        }
    }

    /// Returns the text that `repr()` makes of it, unless that is not known.
    pub fn repr(&self) -> Option<String> {
        let mut out = String::new();
        self.write_repr(&mut out).then_some(out)
    }

    /// Returns the value of a key, if this is a dictionary that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.iter().rev().find(|(name, _)| **name == *key).map(|(_, value)| value),
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Str(_)
            | Self::List(_)
            | Self::Unknown => None,
        }
    }

    /// Sets the value of a key, if this is a dictionary; a key that is there keeps its place.
    pub fn set(&mut self, key: &str, value: Self) {
        if let Self::Dict(entries) = self {
            match entries.iter_mut().find(|(name, _)| **name == *key) {
                Some((_, held)) => *held = value,
                None => entries.push((key.into(), value)),
            }
        }
    }

    /// Tells whether Python takes it for true in a condition, unless that is not known.
    pub fn is_true(&self) -> Option<bool> {
        match self {
            Self::None => Some(false),
            Self::Bool(value) => Some(*value),
            Self::Int(value) => Some(*value != 0),
            Self::Float(value) => Some(*value != 0.0),
            Self::Str(text) => Some(!text.is_empty()),
            Self::List(values) => Some(!values.is_empty()),
            Self::Dict(entries) => Some(!entries.is_empty()),
            Self::Unknown => None,
        }
    }

    fn write_repr(&self, out: &mut String) -> bool {
        match self {
            Self::None => out.push_str("None"),
            Self::Bool(true) => out.push_str("True"),
            Self::Bool(false) => out.push_str("False"),
            // writing to a string can not fail
            Self::Int(value) => drop(write!(out, "{value}")),
            Self::Float(value) => out.push_str(&float(*value)),
            Self::Str(text) => return write_str(out, text),
            Self::List(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    if !value.write_repr(out) {
                        return false;
                    }
                }
                out.push(']');
            }
            Self::Dict(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { ", " });
                    if !write_str(out, key) {
                        return false;
                    }
                    out.push_str(": ");
                    if !value.write_repr(out) {
                        return false;
                    }
                }
                out.push('}');
            }
            Self::Unknown => return false,
        }
        true
    }
}

/// Writes a string as `repr()` does; false if it is not known which of its characters Python shows.
fn write_str(out: &mut String, text: &str) -> bool {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            '\0'..='\x1f' | '\x7f'..='\u{a0}' | '\u{ad}' => drop(write!(out, "\\x{:02x}", u32::from(c))),
            // letters and digits are shown; of the rest only Python's own tables could tell
            c if c.is_alphanumeric() || c < '\u{100}' => out.push(c),
            _ => return false,
        }
    }
    out.push(quote);
    true
}

/// Writes a float as `repr()` does: the shortest digits that read back the same.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (SMALL_EXPONENT..LARGE_EXPONENT).contains(&exponent) || value == 0.0 {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::None, Self::from)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

/// Takes any value of JSON.
struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Int(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // a larger one may have been an integer, whose last digits are lost
        Ok(if value.abs() < LARGEST_INTEGER { Value::Float(value) } else { Value::Unknown })
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut dict = Value::Dict(Vec::new());
        while let Some((key, value)) = access.next_entry::<String, Value>()? {
            dict.set(&key, value);
        }
        Ok(dict)
    }
}

#[cfg(test)]
mod tests {
    use super::Value;
    use super::float;

    fn read(json: &str) -> Value {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn values_are_written_as_python_does() {
        let json = r#"{"a": [true, null, 1, -2.5, "it's", "say \"x\" 'y'", "tab\t"], "é": {}}"#;
        let expected = r#"{'a': [True, None, 1, -2.5, "it's", 'say "x" \'y\'', 'tab\t'], 'é': {}}"#;
        assert_eq!(read(json).text().as_deref(), Some(expected));
        assert_eq!(read("\"plain\"").text().as_deref(), Some("plain"));
    }

    #[test]
    fn floats_are_written_as_python_does() {
        let floats = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (-0.0, "-0.0"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in floats {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn what_can_not_be_told_is_not_told() {
        assert_eq!(Value::List(vec![Value::Unknown]).text(), None);
        assert_eq!(read("[\"\\u200b\"]").text(), None);
        assert_eq!(read("123456789012345678901234567890").text(), None);
    }

    #[test]
    fn the_last_of_two_keys_counts_and_keeps_the_first_place() {
        assert_eq!(read(r#"{"a": 1, "b": 2, "a": 3}"#).text().as_deref(), Some("{'a': 3, 'b': 2}"));
    }
}
