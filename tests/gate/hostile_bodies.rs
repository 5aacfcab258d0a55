//! Hostile bodies: JSON that two parsers read differently, and what is no JSON (T11, T12).

use crate::harness::run;
use crate::hostile::Case;
use crate::hostile::Promise;
use crate::hostile::Stage;
use crate::hostile_bytes::filled;

/// Bodies, sent in one chunk, and why they are refused.
const BODIES: [(&str, &str, &str); 37] = [
    ("a key twice", r#"{"status": "rejected", "status": "accepted"}"#, "body_ambiguous"),
    ("a key twice, once escaped", r#"{"status": "rejected", "\u0073tatus": "accepted"}"#, "body_ambiguous"),
    ("another key twice", r#"{"status": "accepted", "x": 1, "x": 2}"#, "body_ambiguous"),
    ("a key twice further in", r#"{"status": "accepted", "x": {"y": 1, "y": 2}}"#, "body_ambiguous"),
    ("deep arrays", r#"{"status": "accepted", "x": «[*16»«]*16»}"#, "body_ambiguous"),
    ("very deep arrays", "«[*30000»", "body_ambiguous"),
    ("very deep objects", r#"«{"a":*5000»"#, "body_ambiguous"),
    ("a mark of byte order", "«xEF»«xBB»«xBF»«json»", "body_malformed"),
    ("UTF-16", "«xFF»«xFE»{\0\"\0s\0", "body_malformed"),
    ("a byte that is not UTF-8", "{\"status\": \"accepted\", \"x\": \"«xFF»\"}", "body_malformed"),
    ("an overlong character", "{\"status\": \"accepted\", \"x\": \"«xC0»«xAF»\"}", "body_malformed"),
    ("an encoded surrogate", "{\"status\": \"accepted\", \"x\": \"«xED»«xA0»«x80»\"}", "body_malformed"),
    ("a lone surrogate", r#"{"status": "accepted", "x": "\ud800"}"#, "body_malformed"),
    ("surrogates in the wrong order", r#"{"status": "accepted", "x": "\udc00\ud800"}"#, "body_malformed"),
    ("NaN", r#"{"status": "accepted", "x": NaN}"#, "body_malformed"),
    ("Infinity", r#"{"status": "accepted", "x": -Infinity}"#, "body_malformed"),
    ("a leading zero", r#"{"status": "accepted", "x": 01}"#, "body_malformed"),
    ("a hexadecimal number", r#"{"status": "accepted", "x": 0x1}"#, "body_malformed"),
    ("a trailing comma", r#"{"status": "accepted",}"#, "body_malformed"),
    ("single quotes", "{'status': 'accepted'}", "body_malformed"),
    ("a comment", r#"{"status": "accepted" /* x */}"#, "body_malformed"),
    ("no quotes", "{status: accepted}", "body_malformed"),
    ("something behind", "«json» x", "body_malformed"),
    ("two objects", "«json»«json»", "body_malformed"),
    ("a null behind", "«json»\0", "body_malformed"),
    ("a raw line feed in a text", "{\"status\": \"accepted\n\"}", "body_malformed"),
    ("a form feed for a blank", "\x0c«json»", "body_malformed"),
    ("XML", "<status>accepted</status>", "body_malformed"),
    ("a form", "status=accepted", "body_malformed"),
    ("blanks", "    ", "body_malformed"),
    ("an array", r#"["status"]"#, "body_not_object"),
    ("a text", r#""accepted""#, "body_not_container"),
    ("null", "null", "body_not_container"),
    ("a number", "-1e5", "body_not_container"),
    ("no status", "{}", "status_missing"),
    ("the status further in", r#"{"member": {"status": "accepted"}}"#, "status_missing"),
    ("the status in upper case", r#"{"STATUS": "accepted"}"#, "status_missing"),
];

/// Statuses that are none; the image is looked at before.
const STATUSES: [(&str, &str); 10] = [
    ("an upper-case letter", r#""Accepted""#),
    ("a blank behind", r#""accepted ""#),
    ("a null behind", r#""accepted\u0000""#),
    ("a look-alike", "\"\u{430}ccepted\""),
    ("an empty text", r#""""#),
    ("null", "null"),
    ("true", "true"),
    ("an array", r#"["accepted"]"#),
    ("an object", r#"{"accepted": true}"#),
    ("a word of another resource", r#""shared""#),
];

/// Headers of a good body, and why it is refused all the same.
const STATED: [(&str, &str, &str); 11] = [
    ("text", "Content-Type: text/plain", "media_type_unsupported"),
    ("XML by type", "Content-Type: application/xml", "media_type_unsupported"),
    ("a patch", "Content-Type: application/openstack-images-v2.1-json-patch", "media_type_unsupported"),
    ("a longer name", "Content-Type: application/jsonx", "media_type_unsupported"),
    ("an empty type", "Content-Type:", "media_type_unsupported"),
    ("two types", "Content-Type: application/json\r\nContent-Type: application/json", "media_type_unsupported"),
    ("a list of types", "Content-Type: application/json, text/plain", "media_type_unsupported"),
    ("gzip by name", "Content-Encoding: gzip", "content_encoding_unsupported"),
    ("identity by name", "Content-Encoding: identity", "content_encoding_unsupported"),
    ("an empty encoding", "Content-Encoding:", "content_encoding_unsupported"),
    ("brotli by name", "Content-Type: application/json\r\nContent-Encoding: br", "content_encoding_unsupported"),
];

pub fn cases() -> Vec<Case> {
    let bodies = BODIES
        .iter()
        .map(|(name, body, reason)| Case::new(&format!("body: {name}"), update(body), Promise::Refused(reason)));
    let statuses = STATUSES.iter().map(|(name, status)| {
        let body = format!("{{\"status\": {status}}}");
        Case::new(&format!("status: {name}"), update(&body), Promise::Judged("status_unknown"))
    });
    let stated = STATED.iter().map(|(name, lines, reason)| {
        let bytes = format!("«put»{lines}\r\nContent-Length: 22\r\n\r\n«json»");
        Case::new(&format!("body: {name}"), bytes, Promise::Refused(reason))
    });
    let others = [
        ("none", "«put»Content-Length: 0\r\n\r\n", Promise::Refused("body_missing")),
        ("none, unsaid", "«put»\r\n", Promise::Refused("body_missing")),
        ("none, in chunks", "«put»Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Promise::Refused("body_missing")),
        ("one byte too many", "«put»Content-Length: 65537\r\n\r\n« *65537»", Promise::Ended("body_too_large")),
        (
            "a length of a petabyte",
            "«put»Content-Length: 999999999999999\r\n\r\n«json»",
            Promise::Ended("body_too_large"),
        ),
    ]
    .map(|(name, bytes, promise)| Case::new(&format!("body: {name}"), bytes, promise));
    bodies.chain(statuses).chain(stated).chain(others).collect()
}

/// Writes an update with this body and its length.
fn update(body: &str) -> String {
    format!("«put»Content-Length: {}\r\n\r\n{body}", filled(body).len())
}

#[test]
fn hostile_bodies_never_reach_glance() {
    run(async { Stage::new().await.keep(cases()).await });
}
