//! A JSON schema that an upstream serves, bounded and without a word to other servers.

use std::fmt;

use jsonschema::Draft;
use jsonschema::PatternOptions;
use jsonschema::Validator;
use serde_json::Value;

/// How many bytes a schema may have; Glance's have two thousand.
pub const MAX_BYTES: usize = 256 * 1024;
/// How deep one may be nested.
const MAX_DEPTH: usize = 32;
/// How large a pattern of one may become, compiled.
const MAX_PATTERN_BYTES: usize = 256 * 1024;
/// How much is told of where a violation is.
const MAX_POINTER: usize = 160;

/// A schema, ready to check documents.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
}

/// Why a schema can not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// It is no JSON object.
    NotAnObject,
    /// It is too long, or nested too deep.
    TooLarge,
    /// It breaks the rules for schemas, or needs another document.
    Unusable,
}

/// Where a document breaks its schema. It holds no value of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The place, as a JSON pointer (RFC 6901), perhaps only its beginning.
    pub pointer: String,
    /// The schema's word that is broken, such as `enum`; `json` if the document is none.
    pub keyword: String,
}

impl Schema {
    /// Reads a schema. What it refers to outside is never fetched.
    ///
    /// # Errors
    /// Tells why it can not be used.
    pub fn parse(text: &[u8]) -> Result<Self, SchemaError> {
        if text.len() > MAX_BYTES {
            return Err(SchemaError::TooLarge);
        }
        let schema: Value = serde_json::from_slice(text).map_err(|_| SchemaError::NotAnObject)?;
        if !schema.is_object() {
            return Err(SchemaError::NotAnObject);
        }
        if is_deeper(&schema, MAX_DEPTH) {
            return Err(SchemaError::TooLarge);
        }
        let validator = jsonschema::options()
            // Glance names none; its words are those of this one
            .with_draft(Draft::Draft4)
            // Glance's own check of bodies does not look at formats either
            .should_validate_formats(false)
            // no pattern can take more than linear time
            .with_pattern_options(PatternOptions::regex().size_limit(MAX_PATTERN_BYTES))
            .offline()
            .build(&schema)
            .map_err(|_| SchemaError::Unusable)?;
        Ok(Self { validator })
    }

    /// Checks a document.
    ///
    /// # Errors
    /// Tells the first place where it breaks the schema.
    pub fn check(&self, document: &[u8]) -> Result<(), Violation> {
        let document: Value = serde_json::from_slice(document)
            .map_err(|_| Violation { pointer: String::new(), keyword: "json".to_owned() })?;
        self.validator.validate(&document).map_err(|error| Violation {
            pointer: error.instance_path().to_string().chars().take(MAX_POINTER).collect(),
            keyword: error.kind().keyword().to_owned(),
        })
    }
}

/// Tells whether a document is nested deeper than this.
fn is_deeper(value: &Value, depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else { return true };
    match value {
        Value::Array(entries) => entries.iter().any(|entry| is_deeper(entry, below)),
        Value::Object(keys) => keys.values().any(|entry| is_deeper(entry, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NotAnObject => "it is no JSON object",
            Self::TooLarge => "it is too long or nested too deep",
            Self::Unusable => "it breaks the rules for schemas, or needs another document",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::MAX_BYTES;
    use super::Schema;
    use super::SchemaError;
    use super::Violation;

    /// What Glance 33 serves.
    const MEMBER: &str = include_str!("../../tests/data/glance-schemas/member.json");
    const MEMBERS: &str = include_str!("../../tests/data/glance-schemas/members.json");
    /// What it answers.
    const ANSWER: &str = r#"{"member_id": "ffd183d9af264ee682d8ed13b3d8aa49", "image_id": "4fd15022-227a-4f08-b1ad-bc1737e4e2e9", "status": "accepted", "created_at": "2026-11-23T09:19:54Z", "updated_at": "2026-11-23T09:19:56Z", "schema": "/v2/schemas/member"}"#;

    fn violation(pointer: &str, keyword: &str) -> Result<(), Violation> {
        Err(Violation { pointer: pointer.into(), keyword: keyword.into() })
    }

    #[test]
    fn glances_answers_keep_glances_schemas() {
        let member = Schema::parse(MEMBER.as_bytes()).expect("a schema");
        let members = Schema::parse(MEMBERS.as_bytes()).expect("a schema");
        assert_eq!(member.check(ANSWER.as_bytes()), Ok(()));
        let list = format!(r#"{{"members": [{ANSWER}, {ANSWER}], "schema": "/v2/schemas/members"}}"#);
        assert_eq!(members.check(list.as_bytes()), Ok(()));
    }

    #[test]
    fn a_violation_names_its_place_and_the_rule_and_no_value() {
        let member = Schema::parse(MEMBER.as_bytes()).expect("a schema");
        let members = Schema::parse(MEMBERS.as_bytes()).expect("a schema");
        for (document, expected) in [
            (ANSWER.replace("\"accepted\"", "\"approved\""), violation("/status", "enum")),
            (ANSWER.replace("4fd15022-", "hush-"), violation("/image_id", "pattern")),
            (ANSWER.replace("\"2026-11-23T09:19:56Z\"", "null"), violation("/updated_at", "type")),
            ("not JSON".to_owned(), violation("", "json")),
        ] {
            assert_eq!(member.check(document.as_bytes()), expected, "{document}");
        }
        let wrong = ANSWER.replace("\"accepted\"", "1");
        let list = format!(r#"{{"members": [{ANSWER}, {wrong}], "schema": "x"}}"#);
        let Err(found) = members.check(list.as_bytes()) else { panic!("it is wrong") };
        assert_eq!(found.pointer, "/members/1/status");
        assert_eq!(members.check(b"{\"members\": {}}"), violation("/members", "type"));
    }

    #[test]
    fn a_schema_that_can_not_be_used_is_told() {
        let deep = format!("{}{{}}{}", "{\"not\": ".repeat(40), "}".repeat(40));
        let long = format!("{{\"description\": \"{}\"}}", "a".repeat(MAX_BYTES));
        for (text, error) in [
            ("", SchemaError::NotAnObject),
            ("[]", SchemaError::NotAnObject),
            ("<html>", SchemaError::NotAnObject),
            (deep.as_str(), SchemaError::TooLarge),
            (long.as_str(), SchemaError::TooLarge),
            (r#"{"type": "memver"}"#, SchemaError::Unusable),
            (r#"{"properties": {"a": {"pattern": "("}}}"#, SchemaError::Unusable),
            (r#"{"$ref": "http://127.0.0.1:1/other.json"}"#, SchemaError::Unusable),
            (r#"{"properties": {"a": {"$ref": "file:///etc/hostname"}}}"#, SchemaError::Unusable),
        ] {
            assert_eq!(Schema::parse(text.as_bytes()).expect_err(text), error);
        }
    }
}
