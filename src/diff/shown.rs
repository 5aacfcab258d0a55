//! Values as they are told of: what could be secret is hidden, whatever was asked for.

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// Which values are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Numbers, booleans, nothing, and the words that Glance itself uses; of others how long they are.
    Safe,
    /// All, cut short, but for what looks secret.
    All,
}

/// A value of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    /// Of JSON.
    Json(&'a Value),
    /// A text.
    Text(&'a str),
    /// The number of a status.
    Status(u16),
}

/// What stands for a value that looks secret.
pub const HIDDEN: &str = "hidden";
/// How many characters of a text are told.
const MAX_SHOWN: usize = 120;
/// How long a target may be that is told.
const MAX_TARGET: usize = 1024;
/// A name with one of these in it may be that of a secret.
const SECRET_PARTS: [&str; 13] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "nonce",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "session",
    "signature",
    "token",
];
/// A name that has one of these as its last word may be that of a signature, as in the URLs of Swift and Azure.
const SECRET_ENDS: [&str; 2] = ["sig", "hmac"];
/// Names that only sound like it.
const PLAIN_NAMES: [&str; 4] = ["sort_key", "header:www-authenticate", "author", "keystone"];
/// Glance's closed vocabularies: statuses, visibilities, statuses of members, formats of disks and containers, media
/// types, states of tasks and versions.
const WORDS: [&str; 67] = [
    "queued",
    "saving",
    "active",
    "killed",
    "deleted",
    "pending_delete",
    "deactivated",
    "uploading",
    "importing",
    "public",
    "community",
    "shared",
    "private",
    "pending",
    "accepted",
    "rejected",
    "ami",
    "ari",
    "aki",
    "vhd",
    "vhdx",
    "vmdk",
    "raw",
    "qcow2",
    "vdi",
    "iso",
    "ploop",
    "bare",
    "ovf",
    "ova",
    "docker",
    "compressed",
    "application/json",
    "application/json; charset=UTF-8",
    "application/json; charset=utf-8",
    "application/octet-stream",
    "text/html",
    "text/html; charset=UTF-8",
    "text/html; charset=utf-8",
    "text/plain",
    "text/plain; charset=UTF-8",
    "text/plain; charset=utf-8",
    "processing",
    "success",
    "failure",
    "CURRENT",
    "SUPPORTED",
    "EXPERIMENTAL",
    "DEPRECATED",
    "glance-direct",
    "web-download",
    "copy-image",
    "glance-download",
    "string",
    "integer",
    "number",
    "boolean",
    "array",
    "object",
    "null",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "",
];

impl Values {
    /// Returns what is told of a value at a field.
    pub fn show(self, field: &str, value: Raw<'_>) -> String {
        if sounds_secret(field) {
            return HIDDEN.into();
        }
        match value {
            Raw::Status(status) => status.to_string(),
            Raw::Text(text) => self.text(text),
            Raw::Json(Value::String(text)) => self.text(text),
            Raw::Json(Value::Array(items)) => format!("array({})", items.len()),
            Raw::Json(Value::Object(fields)) => format!("object({})", fields.len()),
            Raw::Json(plain @ (Value::Null | Value::Bool(_) | Value::Number(_))) => plain.to_string(),
        }
    }

    fn text(self, text: &str) -> String {
        // a header may have several of them
        if text.len() <= MAX_SHOWN && text.split(',').all(|word| WORDS.contains(&word.trim_matches(' '))) {
            return format!("\"{text}\"");
        }
        match self {
            Self::All if !looks_secret(text) => {
                let shown: String = text.chars().take(MAX_SHOWN).map(disarmed).collect();
                let rest = if text.chars().nth(MAX_SHOWN).is_some() { "…" } else { "" };
                format!("\"{shown}\"{rest}")
            }
            Self::All => HIDDEN.into(),
            Self::Safe => format!("string({})", text.chars().count()),
        }
    }
}

/// Tells whether a name may be that of a secret.
pub fn sounds_secret(name: &str) -> bool {
    if PLAIN_NAMES.contains(&name) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let last = name.rsplit(['_', '-', '/']).next().unwrap_or_default();
    SECRET_PARTS.iter().any(|part| name.contains(part)) || SECRET_ENDS.contains(&last)
}

/// Tells whether a text may hold a secret: a token, a user within a URL (RFC 3986 section 3.2.1), or the name of a secret
/// with something behind it.
pub fn looks_secret(text: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let names_one = text.match_indices(['=', ':']).any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default().trim_end_matches([' ', '"', '\'']);
        sounds_secret(before.rsplit(|c| !is_of_name(c)).next().unwrap_or_default())
    });
    names_one || holds_token(text) || text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

/// Tells whether a text may hold a token of Keystone: Fernet, or JWS.
pub fn holds_token(text: &str) -> bool {
    text.contains("gAAAA") || text.contains("eyJ")
}

/// Returns a target with the values of its query hidden that have the name of a secret or look like one.
pub fn target(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<String> = query.split('&').map(part).collect();
    let steps: Vec<&str> = path.split('/').map(|step| if holds_token(step) { HIDDEN } else { step }).collect();
    let path = steps.join("/");
    let whole = if query.is_empty() { path } else { format!("{path}?{}", parts.join("&")) };
    whole.chars().take(MAX_TARGET).map(disarmed).collect()
}

fn part(part: &str) -> String {
    let Some((name, value)) = part.split_once('=') else {
        return if looks_secret(part) { HIDDEN.into() } else { part.into() };
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    if sounds_secret(&decoded(name)) || looks_secret(&decoded(value)) {
        format!("{name}={HIDDEN}")
    } else {
        part.into()
    }
}

/// What is told may be shown in a terminal, which must not take its orders from there.
fn disarmed(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Raw;
    use super::Values;
    use super::target;

    #[test]
    fn safe_values_are_numbers_and_the_words_of_glance() {
        for (field, value, expected) in [
            ("/size", json!(123), "123"),
            ("/protected", json!(true), "true"),
            ("/owner", json!(null), "null"),
            ("/status", json!("active"), "\"active\""),
            ("/name", json!("my own image"), "string(12)"),
            ("header:allow", json!("GET, PUT,HEAD"), "\"GET, PUT,HEAD\""),
            ("header:allow", json!("GET, OTHER"), "string(10)"),
            ("/tags", json!(["a", "b"]), "array(2)"),
            ("/images/*", json!({"a": 1}), "object(1)"),
            ("/admin_password", json!(1234), "hidden"),
            ("/os_token/x", json!("active"), "hidden"),
        ] {
            assert_eq!(Values::Safe.show(field, Raw::Json(&value)), expected, "{field}");
        }
        assert_eq!(Values::Safe.show("status", Raw::Status(403)), "403");
    }

    #[test]
    fn all_values_are_cut_short_and_secrets_are_still_hidden() {
        let show = |field: &str, text: &str| Values::All.show(field, Raw::Text(text));
        assert_eq!(show("/name", "my own image"), "\"my own image\"");
        assert_eq!(show("/name", &"é".repeat(200)), format!("\"{}\"…", "é".repeat(120)));
        assert_eq!(show("/name", "\u{1b}[31m"), "\"\u{fffd}[31m\"");
        for (field, text) in [
            ("/x", "gAAAAABm0123456789"),
            ("/x", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.x"),
            ("/direct_url", "swift+https://user:word@keystone/v3/container"),
            ("/locations/*/url", "s3://access:secret@host/bucket"),
            ("/locations/*/url", "https://swift/v1/a/c/o?temp_url_sig=732fcac3&temp_url_expires=1"),
            ("/locations/*/url", "https://a.blob.core.windows.net/c/b?sv=2024&sig=abc"),
            ("/secret_note", "x"),
            ("/metadata/API-Key", "x"),
            ("body", "<p>password: hunter2</p>"),
        ] {
            assert_eq!(show(field, text), "hidden", "{field} {text}");
        }
    }

    #[test]
    fn a_target_is_told_without_its_secrets() {
        for (text, expected) in [
            ("/v2/images", "/v2/images"),
            ("/v2/images?sort_key=name&limit=2", "/v2/images?sort_key=name&limit=2"),
            ("/v2/images?token=abc&name=x", "/v2/images?token=hidden&name=x"),
            ("/v2/images?%74oken=abc", "/v2/images?%74oken=hidden"),
            ("/v2/images?x=gAAAAAbcd", "/v2/images?x=hidden"),
            ("/v2/images?gAAAAAbcd", "/v2/images?hidden"),
            ("/v2/images/gAAAAAbcd/file", "/v2/images/hidden/file"),
        ] {
            assert_eq!(target(text), expected);
        }
    }
}
