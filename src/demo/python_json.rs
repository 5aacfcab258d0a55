//! JSON as Python's `json` module writes and reads it, where that differs from other libraries.

use std::fmt;
use std::io;

use serde::Serialize;
use serde::de::Deserializer;
use serde::de::Error;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Serializer;
use serde_json::Value;
use serde_json::ser::Formatter;

/// From this nesting on, Python gives up with a `RecursionError`.
const DEEPEST: usize = 1000;
/// Python refuses to read longer integers.
const LONGEST_INTEGER: usize = 4300;

/// Returns the value as `json.dumps` writes it: `", "` and `": "` between, everything in ASCII.
///
/// The keys of a struct keep their order; those of a [`Value`] are sorted.
#[must_use]
pub fn text(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, Layout));
    // writing to memory cannot fail, and keys are always strings here
    debug_assert!(written.is_ok());
    String::from_utf8(text).unwrap_or_default()
}

/// What a body turned out to be, seen with one key in mind.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// An object, and the key's last value, if the key is there.
    Object(Option<Value>),
    /// An array.
    Array,
    /// A string, number, boolean or null.
    Scalar,
    /// Not JSON.
    Malformed,
    /// Nested too deeply for Python.
    TooDeep,
}

/// Reads a body as `json.loads` would, looking for one key of its object.
#[must_use]
pub fn read(body: &[u8], key: &str) -> Read {
    let Ok(text) = std::str::from_utf8(body) else {
        return Read::Malformed;
    };
    let plain = match without_python_extras(text) {
        Ok(plain) => plain,
        Err(read) => return read,
    };
    let mut deserializer = serde_json::Deserializer::from_str(&plain);
    let read = deserializer.deserialize_any(Shape { key });
    match (read, deserializer.end()) {
        (Ok(read), Ok(())) => read,
        (Ok(_) | Err(_), Ok(()) | Err(_)) => Read::Malformed,
    }
}

/// Replaces NaN and Infinity, which Python takes and others do not, and stops at what stops Python.
fn without_python_extras(text: &str) -> Result<String, Read> {
    let mut plain = String::with_capacity(text.len());
    let mut depth = 0_usize;
    let mut digits = 0_usize;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '"' => string_end(rest),
            '[' | '{' => {
                depth += 1;
                1
            }
            ']' | '}' => {
                depth = depth.saturating_sub(1);
                1
            }
            'N' | 'I' | '-' => ["NaN", "-Infinity", "Infinity"]
                .iter()
                .find(|word| rest.starts_with(**word))
                .map_or(1, |word| word.len()),
            other => other.len_utf8(),
        };
        digits = if first.is_ascii_digit() { digits + 1 } else { 0 };
        if depth >= DEEPEST {
            return Err(Read::TooDeep);
        }
        if digits > LONGEST_INTEGER {
            return Err(Read::Malformed);
        }
        let (word, after) = rest.split_at(taken);
        // more than a letter, not a string: one of the words that only Python knows
        let only_python = word.len() > 1 && word.is_ascii() && !word.starts_with('"');
        plain.push_str(if only_python { "null" } else { word });
        rest = after;
    }
    Ok(plain)
}

/// Returns the length of the string literal at the beginning, up to the end of the text when it has none.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

/// Looks at the outermost value only.
struct Shape<'a> {
    key: &'a str,
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = Read;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.key {
                found = Some(map.next_value::<Value>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Read::Object(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Read, A::Error> {
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Read::Array)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Read, E> {
        Ok(Read::Scalar)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Read, E> {
        Ok(Read::Scalar)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Read, E> {
        Ok(Read::Scalar)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Read, E> {
        Ok(Read::Scalar)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Read, E> {
        Ok(Read::Scalar)
    }

    fn visit_unit<E: Error>(self) -> Result<Read, E> {
        Ok(Read::Scalar)
    }
}

/// Python's separators and escapes.
struct Layout;

impl Formatter for Layout {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for letter in fragment.chars() {
            if letter.is_ascii() {
                writer.write_all(letter.encode_utf8(&mut [0; 4]).as_bytes())?;
            } else {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}
