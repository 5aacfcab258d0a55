//! A copy as one line of a recording: without credentials, and enough of it to ask another server the same later.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::diff::answered::Answered;
use crate::diff::answered::Content;
use crate::diff::asked::Asked;
use crate::diff::shown;
use crate::diff::shown::HIDDEN;
use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::identity::Scope;
use crate::openstack::identity::UserId;
use crate::openstack::request_id::RequestId;
use crate::openstack::route::route;
use crate::shadow::copied::Caller;
use crate::shadow::copied::Copied;
use crate::telemetry::timestamp;

/// The form of the lines; a number for each that can not be read as the one before.
pub const VERSION: u32 = 1;

/// One line: what was asked, by whom, and what the primary answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// The form of the line: [`VERSION`].
    version: u32,
    /// When the primary's answer had ended (RFC 3339).
    time: String,
    /// The gate's id of the request.
    request_id: String,
    /// Its method.
    method: String,
    /// Its path and query.
    target: String,
    /// The headers that may go to staging.
    headers: Vec<(String, String)>,
    /// Its body; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// Values of the target or the body are hidden, so that it can not be asked again.
    #[serde(default, skip_serializing_if = "is_false")]
    is_hidden: bool,
    /// It had a token.
    had_token: bool,
    /// The user that it was, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The project of the token, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// What the primary answered.
    answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    Unread,
    TooLong,
    Whole(String),
}

impl Recorded {
    /// Writes a copy down; nothing if its body is no text, which no body of a call on images is.
    pub fn of(copied: &Copied) -> Option<Self> {
        let (body, is_hidden) = hidden(std::str::from_utf8(&copied.body).ok()?);
        let target = shown::target(&copied.asked.target);
        let is_hidden = is_hidden || target != copied.asked.target;
        let identity = copied.caller.identity.as_deref();
        let answered = &copied.answered;
        Some(Self {
            version: VERSION,
            time: timestamp::of(copied.at),
            request_id: copied.asked.request_id.to_string(),
            method: copied.asked.method.to_string(),
            target,
            headers: written(&copied.headers),
            body: (!body.is_empty()).then_some(body),
            is_hidden,
            had_token: copied.caller.had_token,
            user: identity.map(|identity| identity.user.as_str().to_owned()),
            project: identity.and_then(Identity::project).map(|project| project.as_str().to_owned()),
            answer: Answer {
                status: answered.status.as_u16(),
                headers: written(&answered.headers),
                body: match &answered.body {
                    Content::Unread => Body::Unread,
                    Content::TooLong => Body::TooLong,
                    Content::Whole(bytes) => {
                        std::str::from_utf8(bytes).map_or(Body::Unread, |text| Body::Whole(hidden(text).0))
                    }
                },
            },
        })
    }

    /// Reads a line.
    ///
    /// # Errors
    /// Tells what is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let recorded: Self = serde_json::from_slice(line).map_err(|error| format!("no recorded call: {error}"))?;
        if recorded.version == VERSION {
            Ok(recorded)
        } else {
            Err(format!("a recorded call of form {}, and this gate reads form {VERSION}", recorded.version))
        }
    }

    /// Returns when the primary's answer had ended; the beginning of time if that can not be read.
    pub fn ended(&self) -> SystemTime {
        timestamp::parse(&self.time).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Returns the copy that was written down, as if it had been made just now.
    ///
    /// # Errors
    /// Tells why it can not be asked again.
    pub fn into_copied(self, mount: &str) -> Result<Copied, String> {
        if self.is_hidden {
            return Err("values of its target or its body are hidden".into());
        }
        let request_id = HeaderValue::try_from(&self.request_id).ok().and_then(|value| RequestId::parse(&value));
        let path = self.target.split('?').next().unwrap_or_default();
        let identity = self.user.map(|user| {
            let scope =
                self.project.as_deref().map_or(Scope::Unscoped, |project| Scope::Project(ProjectId::new(project)));
            Identity { user: UserId::new(&user), scope, ..nobody() }
        });
        let asked = Asked {
            request_id: request_id.ok_or("its request_id is none")?,
            method: self.method.parse::<Method>().map_err(|_| "its method is none")?,
            route: route(path, mount).ok_or_else(|| format!("no route of Glance's below {mount:?}"))?,
            project: self.project.as_deref().map(ProjectId::new),
            target: self.target,
        };
        let answered = Answered {
            status: StatusCode::from_u16(self.answer.status).map_err(|_| "its status is none")?,
            headers: read(&self.answer.headers)?,
            body: match self.answer.body {
                Body::Unread => Content::Unread,
                Body::TooLong => Content::TooLong,
                Body::Whole(text) => Content::Whole(text.into()),
            },
        };
        let caller = Caller {
            identity: identity.map(Arc::new),
            credential: None,
            service: None,
            had_token: self.had_token,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let (headers, body) = (read(&self.headers)?, Bytes::from(self.body.unwrap_or_default()));
        let (at, since) = (SystemTime::now(), Instant::now());
        Ok(Copied { asked, headers, host: None, body, caller, answered, repeats: None, at, since })
    }
}

/// Hides what a recording hides in an answer, so that it can be compared with one that was recorded.
pub fn as_recorded(answered: &Answered) -> Answered {
    let body = match &answered.body {
        Content::Whole(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Content::Whole(hidden(text).0.into()),
            Err(_) => Content::Unread,
        },
        Content::Unread => Content::Unread,
        Content::TooLong => Content::TooLong,
    };
    Answered { body, ..answered.clone() }
}

/// Somebody of whom nothing is known.
fn nobody() -> Identity {
    Identity {
        user: UserId::new(""),
        scope: Scope::Unscoped,
        roles: Roles::known([]),
        expires_at: SystemTime::UNIX_EPOCH,
        access_rules: [].into(),
        audit_ids: [].into(),
    }
}

/// Hides the values of JSON that look secret; tells whether there were any. Other text is hidden whole if it looks secret.
fn hidden(text: &str) -> (String, bool) {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            let is_hidden = hide(&mut value);
            (if is_hidden { value.to_string() } else { text.to_owned() }, is_hidden)
        }
        Err(_) if shown::looks_secret(text) => (HIDDEN.into(), true),
        Err(_) => (text.to_owned(), false),
    }
}

fn hide(value: &mut Value) -> bool {
    match value {
        Value::String(text) if shown::looks_secret(text) => hide_all(value),
        Value::Array(values) => values.iter_mut().fold(false, |is_hidden, value| hide(value) | is_hidden),
        Value::Object(fields) => {
            let is_about_one = is_change_of_a_secret(fields);
            fields.iter_mut().fold(false, |is_hidden, (name, value)| {
                let is_secret = shown::sounds_secret(name) || is_about_one && name == "value";
                is_hidden | if is_secret && !value.is_null() { hide_all(value) } else { hide(value) }
            })
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Tells whether this is a step of a JSON patch (RFC 6902) whose path names a secret; Glance's older form, `{"add": path}`,
/// has the path elsewhere.
fn is_change_of_a_secret(fields: &Map<String, Value>) -> bool {
    let is_path = |text: &&str| text.starts_with('/');
    fields.contains_key("value") && fields.values().filter_map(Value::as_str).filter(is_path).any(shown::sounds_secret)
}

fn hide_all(value: &mut Value) -> bool {
    *value = HIDDEN.into();
    true
}

fn written(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
    headers.iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}

fn read(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    let parsed = headers.iter().map(|(name, value)| {
        let header = name.parse::<HeaderName>().ok().zip(HeaderValue::try_from(value).ok());
        header.ok_or_else(|| format!("{name:?} is no header, or its value is none"))
    });
    parsed.collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Recorded;
    use super::hidden;

    #[test]
    fn a_patch_of_a_secret_is_written_down_without_its_value() {
        for (text, expected) in [
            (
                r#"[{"op":"add","path":"/admin_password","value":"hunter2"},{"op":"replace","path":"/name","value":"x"}]"#,
                r#"[{"op":"add","path":"/admin_password","value":"hidden"},{"op":"replace","path":"/name","value":"x"}]"#,
            ),
            (r#"[{"add":"/os_secret","value":{"a":1}}]"#, r#"[{"add":"/os_secret","value":"hidden"}]"#),
        ] {
            assert_eq!(hidden(text), (expected.to_owned(), true));
        }
        let plain = r#"[{"op":"remove","path":"/admin_password"},{"op":"replace","path":"/name","value":"x"}]"#;
        assert_eq!(hidden(plain), (plain.to_owned(), false));
    }

    #[test]
    fn a_target_with_a_secret_is_written_down_without_it_and_not_asked_again() {
        let copied = |target: &str| {
            let line = json!({
                "version": 1,
                "time": "2026-11-25T00:00:00Z",
                "request_id": "req-11111111-2222-4333-8444-555555555555",
                "method": "GET",
                "target": target,
                "headers": [],
                "had_token": false,
                "answer": {"status": 200, "headers": [], "body": "unread"},
            });
            let recorded = Recorded::parse(line.to_string().as_bytes()).expect("a line");
            recorded.into_copied("").expect("a call")
        };
        let plain = Recorded::of(&copied("/v2/images?name=x&sort_key=name")).expect("text");
        assert_eq!(plain.target, "/v2/images?name=x&sort_key=name");
        assert!(plain.into_copied("").is_ok());
        let secret = Recorded::of(&copied("/v2/images?name=gAAAAABsecret")).expect("text");
        assert_eq!(secret.target, "/v2/images?name=hidden");
        assert!(secret.into_copied("").is_err());
    }
}
