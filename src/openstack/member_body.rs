//! The body of a member update, read strictly: JSON that two parsers could read differently is refused.

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

use crate::openstack::member::MemberStatus;
use crate::openstack::member::RequestedStatus;

/// How deep arrays and objects may be nested; Glance itself answers 500 at about a thousand levels.
const MAX_DEPTH: usize = 16;

/// Why a body is no member update, in the words of `RequestDeserializer.update` of Glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// No bytes.
    Missing,
    /// Not JSON.
    Malformed,
    /// A key stands twice, or the nesting is too deep.
    Ambiguous,
    /// An array.
    NotObject,
    /// A bare value.
    NotContainer,
    /// An object without a status.
    NoStatus,
}

/// Reads the body. Other keys are ignored, as Glance does.
///
/// # Errors
/// Tells why it is no member update.
pub fn parse(body: &[u8]) -> Result<RequestedStatus, BodyFault> {
    if body.is_empty() {
        return Err(BodyFault::Missing);
    }
    let ambiguous = Cell::new(false);
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = Strict { depth: 0, ambiguous: &ambiguous }
        .deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|_| if ambiguous.get() { BodyFault::Ambiguous } else { BodyFault::Malformed })?;
    match value {
        Value::Object(mut object) => match object.remove("status") {
            Some(Value::String(word)) => Ok(MemberStatus::parse(&word).map_or_else(
                || RequestedStatus::Unknown(Value::String(word).to_string().into()),
                RequestedStatus::Known,
            )),
            Some(other) => Ok(RequestedStatus::Unknown(other.to_string().into())),
            None => Err(BodyFault::NoStatus),
        },
        Value::Array(_) => Err(BodyFault::NotObject),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(BodyFault::NotContainer),
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
    use super::BodyFault;
    use super::parse;
    use crate::openstack::member::MemberStatus;
    use crate::openstack::member::RequestedStatus;

    #[test]
    fn a_status_is_read_and_other_keys_are_ignored() {
        for body in [
            r#"{"status": "accepted"}"#,
            " \t\n{\"status\":\"accepted\"}\n",
            r#"{"\u0073tatus":"\u0061ccepted"}"#,
            r#"{"status":"accepted","created_at":"x","x":[1,-2,3.5,null,{"y":true}]}"#,
        ] {
            assert_eq!(parse(body.as_bytes()), Ok(RequestedStatus::Known(MemberStatus::Accepted)), "{body}");
        }
    }

    #[test]
    fn an_unknown_status_is_kept_as_it_is() {
        for (body, kept) in [
            (r#"{"status":"Accepted"}"#, r#""Accepted""#),
            (r#"{"status": null}"#, "null"),
            (r#"{"status":{"a": [1]}}"#, r#"{"a":[1]}"#),
        ] {
            assert_eq!(parse(body.as_bytes()), Ok(RequestedStatus::Unknown(kept.into())), "{body}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let deep = format!(r#"{{"status":"accepted","x":{}{}}}"#, "[".repeat(16), "]".repeat(16));
        for (body, fault) in [
            (&b""[..], BodyFault::Missing),
            (b" ", BodyFault::Malformed),
            (b"{", BodyFault::Malformed),
            (b"{'status': 'accepted'}", BodyFault::Malformed),
            (b"{\"status\": \"accepted\",}", BodyFault::Malformed),
            (b"{\"status\": \"accepted\"} x", BodyFault::Malformed),
            (b"\xef\xbb\xbf{\"status\": \"accepted\"}", BodyFault::Malformed),
            (b"{\"status\": \"accepted\", \"x\": \"\xff\"}", BodyFault::Malformed),
            (b"{\"status\": \"accepted\", \"x\": \"\\ud800\"}", BodyFault::Malformed),
            (b"{\"status\": \"accepted\", \"x\": NaN}", BodyFault::Malformed),
            (b"{\"status\": \"rejected\", \"status\": \"accepted\"}", BodyFault::Ambiguous),
            (b"{\"status\": \"accepted\", \"x\": {\"y\": 1, \"y\": 1}}", BodyFault::Ambiguous),
            (deep.as_bytes(), BodyFault::Ambiguous),
            (b"[\"status\"]", BodyFault::NotObject),
            (b"\"status\"", BodyFault::NotContainer),
            (b"null", BodyFault::NotContainer),
            (b"{}", BodyFault::NoStatus),
            (b"{\"member\": {\"status\": \"accepted\"}}", BodyFault::NoStatus),
        ] {
            assert_eq!(parse(body), Err(fault), "{}", String::from_utf8_lossy(body));
        }
    }
}
