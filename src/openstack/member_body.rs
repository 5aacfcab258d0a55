//! The body of a member update, read strictly: JSON that two parsers could read differently is refused.

use serde_json::Value;

use crate::openstack::member::MemberStatus;
use crate::openstack::member::RequestedStatus;
use crate::openstack::strict_json;
use crate::openstack::strict_json::JsonFault;

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
    if let Some(status) = plain(body) {
        return Ok(RequestedStatus::Known(status));
    }
    let value = strict_json::parse(body).map_err(|fault| match fault {
        JsonFault::Malformed => BodyFault::Malformed,
        JsonFault::Ambiguous => BodyFault::Ambiguous,
    })?;
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

/// Reads the two spellings that nearly all clients use, without a parser: one key, one of the words, no escapes.
fn plain(body: &[u8]) -> Option<MemberStatus> {
    let word = body.strip_prefix(br#"{"status": ""#).or_else(|| body.strip_prefix(br#"{"status":""#))?;
    let word = word.strip_suffix(br#""}"#)?;
    MemberStatus::ALL.into_iter().find(|status| status.as_str().as_bytes() == word)
}

#[cfg(test)]
mod tests {
    use super::BodyFault;
    use super::parse;
    use super::plain;
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
    fn the_usual_spellings_are_read_as_the_parser_reads_them() {
        for status in MemberStatus::ALL {
            for body in [format!(r#"{{"status": "{status}"}}"#), format!(r#"{{"status":"{status}"}}"#)] {
                assert_eq!(plain(body.as_bytes()), Some(status));
                // one blank more, and it is for the parser
                let other = format!("{body} ");
                assert_eq!(plain(other.as_bytes()), None);
                assert_eq!(parse(other.as_bytes()), Ok(RequestedStatus::Known(status)));
            }
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
