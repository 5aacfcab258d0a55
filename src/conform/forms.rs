//! What an answer must look like beside its status: its headers, and the form of its body.

use http::HeaderMap;
use http::StatusCode;
use http::header::ALLOW;
use http::header::CONTENT_TYPE;
use http::header::WWW_AUTHENTICATE;
use serde_json::Value;

use crate::client::json::JsonAnswer;
use crate::conform::endpoint::Ask;
use crate::openstack::request_id::RequestId;

/// The keys of a member (Image API v2, "Show image member details").
const MEMBER: [&str; 6] = ["created_at", "image_id", "member_id", "schema", "status", "updated_at"];
/// The statuses of a member.
const STATUSES: [&str; 3] = ["pending", "accepted", "rejected"];

/// Tells what is wrong with an answer's headers and body; no value of either is repeated.
pub fn faults(ask: &Ask, answer: &JsonAnswer) -> Vec<String> {
    let mut faults = headers(ask, answer);
    if ask.method == "HEAD" || answer.status == StatusCode::NO_CONTENT {
        return faults;
    }
    faults.extend(if answer.status.is_success() { document(ask, answer) } else { refusal(ask, answer) });
    faults
}

fn headers(ask: &Ask, answer: &JsonAnswer) -> Vec<String> {
    let mut faults = Vec::new();
    let text = |name| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match answer.status {
        StatusCode::UNAUTHORIZED if !text(WWW_AUTHENTICATE).starts_with("Keystone uri=") => {
            faults.push("WWW-Authenticate does not name Keystone".into());
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let known: &[&str] = if is_member(&ask.target) { &["GET", "PUT", "DELETE"] } else { &["GET", "POST"] };
            let mut allowed: Vec<&str> = text(ALLOW).split(',').map(str::trim).collect();
            allowed.sort_unstable();
            let mut wanted = known.to_vec();
            wanted.sort_unstable();
            if allowed != wanted {
                faults.push(format!("Allow is not {}", known.join(", ")));
            }
        }
        _ => {}
    }
    // keystonemiddleware answers before there is an id
    let id = answer.headers.get("x-openstack-request-id");
    if answer.status != StatusCode::UNAUTHORIZED && id.and_then(RequestId::parse).is_none() {
        faults.push("x-openstack-request-id is no request id".into());
    }
    faults
}

fn kind(headers: &HeaderMap) -> &str {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// Tells what is wrong with a refusal, in the form that `Accept` asks for.
fn refusal(ask: &Ask, answer: &JsonAnswer) -> Vec<String> {
    let accept = ask.headers.iter().find(|(name, _)| name == "Accept").map_or("", |(_, accept)| accept);
    let status = answer.status.as_u16().to_string();
    match accept {
        "application/json" => {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let Some(keys) = body.as_object() else { return vec!["the refusal is no JSON object".into()] };
            let text = |key: &str| keys.get(key).and_then(Value::as_str);
            let mut faults = Vec::new();
            for key in ["message", "code", "title"] {
                if text(key).is_none() {
                    faults.push(format!("the refusal has no {key}"));
                }
            }
            if text("code").is_some_and(|code| code.split(' ').next() != Some(&status)) {
                faults.push("the refusal's code is another one than its status".into());
            }
            faults.extend(is_kind(answer, "application/json"));
            faults
        }
        "*/*" | "text/html" => {
            let mut faults: Vec<String> = is_kind(answer, "text/html").into_iter().collect();
            if !String::from_utf8_lossy(&answer.body).contains(&format!("<title>{status} ")) {
                faults.push("the refusal is no page with the status as its title".into());
            }
            faults
        }
        _ => {
            let mut faults: Vec<String> = is_kind(answer, "text/plain").into_iter().collect();
            if !answer.body.starts_with(status.as_bytes()) {
                faults.push("the refusal does not begin with its status".into());
            }
            faults
        }
    }
}

fn is_kind(answer: &JsonAnswer, wanted: &str) -> Option<String> {
    (kind(&answer.headers) != wanted).then(|| format!("Content-Type is not {wanted}"))
}

/// Tells what is wrong with a document that was asked for.
fn document(ask: &Ask, answer: &JsonAnswer) -> Vec<String> {
    let mut faults: Vec<String> = is_kind(answer, "application/json").into_iter().collect();
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        faults.push("the body is no JSON".into());
        return faults;
    };
    let path = ask.target.split('?').next().unwrap_or_default();
    if path.contains("/schemas/") {
        faults.extend(schema(path, &body));
    } else if path.ends_with("/members") && ask.method == "GET" {
        faults.extend(list(&body, "members"));
        for one in body.get("members").and_then(Value::as_array).into_iter().flatten() {
            faults.extend(member(one, image_of(path), None));
        }
    } else if path.contains("/members") {
        faults.extend(member(&body, image_of(path), path.split("/members/").nth(1)));
        let asked: Option<Value> = serde_json::from_str(&ask.body).ok();
        let asked = asked.as_ref().and_then(|asked| asked.get("status")?.as_str()).filter(|_| ask.method == "PUT");
        if asked.is_some_and(|asked| body.get("status").and_then(Value::as_str) != Some(asked)) {
            faults.push("status is not what was asked for".into());
        }
    } else if path.ends_with("/images") {
        faults.extend(list(&body, "images"));
    } else if body.get("id").and_then(Value::as_str) != path.rsplit('/').next() {
        faults.push("id is not that of the image".into());
    }
    faults.dedup();
    faults
}

fn list(body: &Value, key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !body.get(key).is_some_and(Value::is_array) {
        faults.push(format!("{key} is no list"));
    }
    if body.get("schema").and_then(Value::as_str) != Some(&format!("/v2/schemas/{key}")) {
        faults.push(format!("schema is not /v2/schemas/{key}"));
    }
    faults
}

fn schema(path: &str, body: &Value) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut faults = Vec::new();
    if body.get("name").and_then(Value::as_str) != Some(name) {
        faults.push(format!("name is not {name}"));
    }
    if !body.get("properties").is_some_and(Value::is_object) {
        faults.push("properties is no object".into());
    }
    faults
}

/// Tells what is wrong with a member of this image, and of this id if that is known.
fn member(body: &Value, image: &str, id: Option<&str>) -> Vec<String> {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let mut faults: Vec<String> =
        MEMBER.into_iter().filter(|key| text(key).is_none()).map(|key| format!("the member has no {key}")).collect();
    let mut must = |holds: bool, fault: &str| faults.extend((!holds).then(|| fault.to_owned()));
    must(text("schema").is_none_or(|schema| schema == "/v2/schemas/member"), "schema is not /v2/schemas/member");
    must(text("status").is_none_or(|status| STATUSES.contains(&status)), "status is none of the three");
    must(text("image_id").is_none_or(|found| found == image), "image_id is not that of the image");
    must(id.is_none() || text("member_id").is_none_or(|found| Some(found) == id), "member_id is not that of the path");
    faults
}

fn image_of(path: &str) -> &str {
    path.split("/images/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default()
}

fn is_member(target: &str) -> bool {
    target.split('?').next().is_some_and(|path| path.contains("/members/"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use http::HeaderValue;
    use http::StatusCode;

    use super::faults;
    use crate::client::json::JsonAnswer;
    use crate::conform::endpoint::Ask;

    const PATH: &str = "/v2/images/i/members/m";
    const MEMBER: &str = r#"{"created_at": "", "image_id": "i", "member_id": "m", "schema": "/v2/schemas/member", "status": "accepted", "updated_at": ""}"#;

    fn answer(status: u16, kind: &'static str, more: &[(&'static str, &'static str)], body: &str) -> JsonAnswer {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(kind));
        headers.insert("x-openstack-request-id", HeaderValue::from_static("req-1eeb2a25-d76e-4a68-b3b0-b3938af5d12c"));
        for (name, value) in more {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        JsonAnswer { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn put() -> Ask {
        Ask::json("PUT", PATH, r#"{"status": "accepted"}"#)
    }

    #[test]
    fn good_answers_have_no_faults() {
        let good = [
            (put(), answer(200, "application/json", &[], MEMBER)),
            (
                put(),
                answer(
                    403,
                    "application/json; charset=UTF-8",
                    &[],
                    r#"{"message": "m", "code": "403 Forbidden", "title": "Forbidden"}"#,
                ),
            ),
            (
                Ask::json("GET", "/v2/images/i/members", ""),
                answer(
                    200,
                    "application/json",
                    &[],
                    &format!(r#"{{"members": [{MEMBER}], "schema": "/v2/schemas/members"}}"#),
                ),
            ),
            (
                Ask { method: "POST".into(), target: PATH.into(), ..Ask::default() },
                answer(405, "text/plain", &[("allow", "DELETE, GET, PUT")], "405 Method Not Allowed"),
            ),
        ];
        for (ask, answer) in good {
            assert_eq!(faults(&ask, &answer), Vec::<String>::new(), "{ask:?}");
        }
    }

    #[test]
    fn each_fault_is_told() {
        let refused = r#"{"message": "m", "code": "403 Forbidden", "title": "Forbidden"}"#;
        for (answer, fault) in [
            (answer(200, "text/html", &[], "<html>"), "the body is no JSON"),
            (
                answer(200, "application/json", &[], &MEMBER.replace("accepted", "pending")),
                "status is not what was asked for",
            ),
            (
                answer(200, "application/json", &[], &MEMBER.replace("\"m\"", "\"n\"")),
                "member_id is not that of the path",
            ),
            (answer(200, "application/json", &[], &MEMBER.replace("updated_at", "x")), "the member has no updated_at"),
            (
                answer(200, "application/json", &[("x-openstack-request-id", "1")], MEMBER),
                "x-openstack-request-id is no request id",
            ),
            (answer(404, "application/json", &[], refused), "the refusal's code is another one than its status"),
            (answer(403, "text/plain", &[], refused), "Content-Type is not application/json"),
            (answer(403, "application/json", &[], "{}"), "the refusal has no message"),
            (answer(401, "application/json", &[], refused), "WWW-Authenticate does not name Keystone"),
            (answer(405, "application/json", &[("allow", "GET")], refused), "Allow is not GET, PUT, DELETE"),
        ] {
            assert!(
                faults(&put(), &answer).iter().any(|found| found == fault),
                "{fault}: {:?}",
                faults(&put(), &answer)
            );
        }
    }
}
