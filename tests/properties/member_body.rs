//! A body is read as `serde_json` reads it, or refused for a reason that can be seen.

use glance_gate::openstack::member::RequestedStatus;
use glance_gate::openstack::member_body::BodyFault;
use glance_gate::openstack::member_body::parse;
use serde_json::Value;

/// Checks the property on one body.
pub fn holds(body: &[u8]) {
    let reference = serde_json::from_slice::<Value>(body);
    match (parse(body), reference) {
        (Ok(status), Ok(value)) => check_status(&status, &value["status"]),
        (Err(BodyFault::Missing), _) => assert!(body.is_empty()),
        (Err(BodyFault::Malformed), reference) => assert!(reference.is_err(), "only the gate calls it malformed"),
        (Err(BodyFault::NotObject), Ok(value)) => assert!(value.is_array()),
        (Err(BodyFault::NotContainer), Ok(value)) => assert!(!value.is_array() && !value.is_object()),
        (Err(BodyFault::NoStatus), Ok(value)) => assert!(value.is_object() && value.get("status").is_none()),
        (Err(fault @ (BodyFault::NoMember | BodyFault::EmptyMember)), _) => panic!("{fault:?} is about a creation"),
        (Err(BodyFault::Ambiguous), Ok(value)) => {
            assert!(depth(&value) > 16 || colons(body) > entries(&value), "nothing about it is ambiguous");
        }
        // it can be both, and the gate stops at the first
        (Err(BodyFault::Ambiguous), Err(_)) => {}
        (read, Err(error)) => panic!("only the gate reads it: {read:?}, {error}"),
    }
}

/// What is forwarded says what was asked for, and reads back as the same.
fn check_status(status: &RequestedStatus, asked: &Value) {
    let forwarded: Value = serde_json::from_slice(&status.canonical_body()).expect("the gate's own JSON");
    assert_eq!(forwarded.as_object().map(serde_json::Map::len), Some(1), "nothing else is forwarded");
    match status {
        RequestedStatus::Known(known) => {
            assert_eq!(asked, known.as_str());
            assert_eq!(&forwarded["status"], asked);
            assert_eq!(parse(&status.canonical_body()).as_ref(), Ok(status));
        }
        RequestedStatus::Unknown(_) => {
            assert!(asked.as_str().is_none_or(|word| !["pending", "accepted", "rejected"].contains(&word)));
            // serde_json prints floats exactly, but reads them back only to the last digit but one
            if !has_float(asked) {
                assert_eq!(&forwarded["status"], asked);
                assert_eq!(parse(&status.canonical_body()).as_ref(), Ok(status));
            }
        }
    }
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_float),
        Value::Object(entries) => entries.values().any(has_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn entries(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(entries).sum(),
        Value::Object(object) => object.len() + object.values().map(entries).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Counts the colons outside strings: one for each key that is written.
fn colons(body: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for &byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b':' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}
