//! The bodies of member updates and creations, read strictly: JSON that two parsers could read differently is refused.

use serde_json::Map;
use serde_json::Value;

use crate::openstack::member::MemberStatus;
use crate::openstack::member::RequestedStatus;
use crate::openstack::member_request::RequestedMember;
use crate::openstack::strict_json;
use crate::openstack::strict_json::JsonFault;
use crate::openstack::target::is_member_id;

/// Why a body is none of a member update or creation, in the words of `RequestDeserializer` of Glance.
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
    /// An object without a member.
    NoMember,
    /// A member that Python finds false: empty, zero, `false` or `null`.
    EmptyMember,
}

/// Reads the body of an update. Other keys are ignored, as Glance does.
///
/// # Errors
/// Tells why it is no member update.
pub fn parse(body: &[u8]) -> Result<RequestedStatus, BodyFault> {
    if let Some(status) = plain(body) {
        return Ok(RequestedStatus::Known(status));
    }
    match object(body)?.remove("status") {
        Some(Value::String(word)) => Ok(MemberStatus::parse(&word)
            .map_or_else(|| RequestedStatus::Unknown(Value::String(word).to_string().into()), RequestedStatus::Known)),
        Some(other) => Ok(RequestedStatus::Unknown(other.to_string().into())),
        None => Err(BodyFault::NoStatus),
    }
}

/// Reads the body of a creation. Other keys are ignored, as Glance does.
///
/// # Errors
/// Tells why it is no creation of a member.
pub fn parse_creation(body: &[u8]) -> Result<RequestedMember, BodyFault> {
    let member = object(body)?.remove("member").ok_or(BodyFault::NoMember)?;
    if is_false(&member) {
        return Err(BodyFault::EmptyMember);
    }
    match member {
        Value::String(id) if is_member_id(&id) => Ok(RequestedMember::Known(id.into())),
        // written anew it might not be the number that was sent
        Value::Number(number) if number.is_f64() => Err(BodyFault::Ambiguous),
        other => Ok(RequestedMember::Unknown(other.to_string().into())),
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, BodyFault> {
    if body.is_empty() {
        return Err(BodyFault::Missing);
    }
    let value = strict_json::parse(body).map_err(|fault| match fault {
        JsonFault::Malformed => BodyFault::Malformed,
        JsonFault::Ambiguous => BodyFault::Ambiguous,
    })?;
    match value {
        Value::Object(object) => Ok(object),
        Value::Array(_) => Err(BodyFault::NotObject),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(BodyFault::NotContainer),
    }
}

/// Tells whether Python takes the value for false.
fn is_false(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
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
    use super::parse_creation;
    use super::plain;
    use crate::openstack::member::MemberStatus;
    use crate::openstack::member::RequestedStatus;
    use crate::openstack::member_request::RequestedMember;

    #[test]
    fn a_member_is_read_and_what_is_no_id_is_kept_as_it_is() {
        for (body, member) in [
            (r#"{"member": "ffd183d9", "status": "accepted"}"#, RequestedMember::Known("ffd183d9".into())),
            (r#"{"member": "a/b"}"#, RequestedMember::Unknown(r#""a/b""#.into())),
            (r#"{"member": 7}"#, RequestedMember::Unknown("7".into())),
            (r#"{"member": true}"#, RequestedMember::Unknown("true".into())),
            (r#"{"member": ["m"]}"#, RequestedMember::Unknown(r#"["m"]"#.into())),
        ] {
            assert_eq!(parse_creation(body.as_bytes()), Ok(member), "{body}");
        }
        let long = format!(r#"{{"member": "{}"}}"#, "x".repeat(256));
        assert!(matches!(parse_creation(long.as_bytes()), Ok(RequestedMember::Unknown(_))));
    }

    #[test]
    fn a_creation_without_a_member_is_none() {
        for (body, fault) in [
            ("", BodyFault::Missing),
            ("{", BodyFault::Malformed),
            (r#"["member"]"#, BodyFault::NotObject),
            (r#""member""#, BodyFault::NotContainer),
            (r#"{"status": "accepted"}"#, BodyFault::NoMember),
            (r#"{"member": "a", "member": "b"}"#, BodyFault::Ambiguous),
            (r#"{"member": 123456789012345678901234567890}"#, BodyFault::Ambiguous),
            (r#"{"member": ""}"#, BodyFault::EmptyMember),
            (r#"{"member": null}"#, BodyFault::EmptyMember),
            (r#"{"member": false}"#, BodyFault::EmptyMember),
            (r#"{"member": 0}"#, BodyFault::EmptyMember),
            (r#"{"member": -0.0}"#, BodyFault::EmptyMember),
            (r#"{"member": {}}"#, BodyFault::EmptyMember),
            (r#"{"member": []}"#, BodyFault::EmptyMember),
        ] {
            assert_eq!(parse_creation(body.as_bytes()), Err(fault), "{body}");
        }
    }

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
