//! JSON, read strictly: what two parsers could read differently is refused.

use std::cell::Cell;
use std::fmt;

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::Error;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Map;
use serde_json::Value;

/// How deep arrays and objects may be nested; Glance itself answers 500 at about a thousand levels.
const MAX_DEPTH: usize = 16;

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// Not JSON (RFC 8259).
    Malformed,
    /// A key stands twice at any depth, or the nesting is too deep.
    Ambiguous,
}

/// Reads one value.
///
/// # Errors
/// Tells why there is none.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonFault> {
    let ambiguous = Cell::new(false);
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Strict { depth: 0, ambiguous: &ambiguous }
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|_| if ambiguous.get() { JsonFault::Ambiguous } else { JsonFault::Malformed })
}

/// Reads one object; nothing if the bytes are none, or an ambiguous one.
pub fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match parse(bytes) {
        Ok(Value::Object(object)) => Some(object),
        Ok(_) | Err(_) => None,
    }
}

/// Builds a value and notes on the way what makes it ambiguous.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    ambiguous: &'a Cell<bool>,
}

impl Strict<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            self.ambiguous.set(true);
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(deeper)?;
            if object.insert(key, value).is_some() {
                self.ambiguous.set(true);
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn plain_objects_are_read() {
        let found = parse(br#" {"a":1,"b":{"a":[-2,3.5,"x",null,true]}} "#).expect("an object");
        assert_eq!(found.to_string(), r#"{"a":1,"b":{"a":[-2,3.5,"x",null,true]}}"#);
    }

    #[test]
    fn ambiguous_and_broken_ones_are_not() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(20), "]".repeat(20));
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            "\u{feff}{}",
            "{}{}",
            "{} x",
            r#"{"a":NaN}"#,
            r#"{"a":01}"#,
            r#"{"a":1,}"#,
            r#"{"a":"\ud800"}"#,
            "{'a':1}",
            "",
            &deep,
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err());
        assert!(parse(b"\xff\xfe{\x00}\x00").is_err());
    }
}
