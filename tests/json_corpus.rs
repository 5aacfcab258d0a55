//! The reader of member updates against `JSONTestSuite` (<https://github.com/nst/JSONTestSuite>, MIT, see its LICENSE).
//!
//! Its files say what every parser must accept (`y_`), must refuse (`n_`), and may do as it likes with (`i_`). Each is
//! read twice: as a whole body, and as the value of a key beside a good status.

#![expect(clippy::expect_used, reason = "a test that can not go on fails")]

use std::fs;
use std::path::Path;

use glance_gate::openstack::member::MemberStatus;
use glance_gate::openstack::member::RequestedStatus;
use glance_gate::openstack::member_body::BodyFault;
use glance_gate::openstack::member_body::parse;

/// What is valid JSON and refused all the same, because two parsers could read it differently.
const AMBIGUOUS: [(&str, &str); 2] = [
    ("y_object_duplicated_key.json", "a key stands twice: the first or the last may count"),
    ("y_object_duplicated_key_and_value.json", "a key stands twice, though with one value"),
];

/// What RFC 8259 leaves open and the gate accepts. All else of it is refused: numbers over the largest double, lone
/// surrogates, bytes that are not UTF-8, byte order marks, and nesting deeper than 16.
const ACCEPTED_FREELY: [(&str, &str); 5] = [
    ("i_number_double_huge_neg_exp.json", "nearly nothing, read as 0"),
    ("i_number_real_underflow.json", "nearly nothing, read as 0"),
    ("i_number_too_big_neg_int.json", "an integer that a double holds, without its last digits"),
    ("i_number_too_big_pos_int.json", "an integer that a double holds, without its last digits"),
    ("i_number_very_big_negative_int.json", "an integer that a double holds, without its last digits"),
];

/// Returns the files whose names start so: name and bytes.
fn cases(start: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/json-test-suite");
    let mut found: Vec<_> = fs::read_dir(folder)
        .expect("the corpus")
        .map(|entry| entry.expect("a file").path())
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
        .filter(|(name, _)| name.starts_with(start))
        .map(|(name, path)| (name, fs::read(path).expect("a readable file")))
        .collect();
    found.sort();
    found
}

/// Puts the case beside a good status.
fn beside_a_status(case: &[u8]) -> Vec<u8> {
    [br#"{"status":"accepted","x":"#, case, b"}"].concat()
}

/// Tells whether the body was understood, member update or not.
fn is_json(body: &[u8]) -> bool {
    match parse(body) {
        Ok(_) | Err(BodyFault::NotObject | BodyFault::NotContainer | BodyFault::NoStatus) => true,
        // the last two are faults of a creation
        Err(
            BodyFault::Missing
            | BodyFault::Malformed
            | BodyFault::Ambiguous
            | BodyFault::NoMember
            | BodyFault::EmptyMember,
        ) => false,
    }
}

#[test]
fn what_every_parser_must_refuse_is_refused() {
    let cases = cases("n_");
    assert_eq!(cases.len(), 188);
    for (name, case) in cases {
        assert!(!is_json(&case), "{name} as a body");
        assert!(parse(&beside_a_status(&case)).is_err(), "{name} beside a status");
    }
}

#[test]
fn what_every_parser_must_accept_is_accepted_unless_it_is_ambiguous() {
    let cases = cases("y_");
    assert_eq!(cases.len(), 95);
    let mut refused = Vec::new();
    for (name, case) in cases {
        let read = parse(&beside_a_status(&case));
        assert_eq!(is_json(&case), read.is_ok(), "{name} is read alike as a body and beside a status");
        match read {
            Ok(status) => assert_eq!(status, RequestedStatus::Known(MemberStatus::Accepted), "{name}"),
            Err(fault) => {
                assert_eq!(fault, BodyFault::Ambiguous, "{name}");
                refused.push(name);
            }
        }
    }
    assert_eq!(refused, AMBIGUOUS.map(|(name, _)| name));
}

#[test]
fn what_parsers_may_do_as_they_like_with_is_accepted_only_if_it_is_listed() {
    let cases = cases("i_");
    assert_eq!(cases.len(), 35);
    let accepted: Vec<_> = cases
        .iter()
        .filter(|(name, case)| {
            let read = parse(&beside_a_status(case));
            assert_eq!(is_json(case), read.is_ok(), "{name} is read alike as a body and beside a status");
            read.is_ok()
        })
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(accepted, ACCEPTED_FREELY.map(|(name, _)| name));
}
