//! The event itself: CADF (DMTF DSP0262), with the members that pycadf and `keystonemiddleware.audit` give it.

use std::borrow::Cow;
use std::time::SystemTime;

use aws_lc_rs::digest;
use aws_lc_rs::digest::SHA256;
use bytes::Bytes;
use http::HeaderValue;
use http::StatusCode;
use http::uri::PathAndQuery;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Builder;
use uuid::Uuid;

use crate::audit::attached::Attachment;
use crate::audit::attached::attachments;
use crate::audit::map::Map;
use crate::audit::map::UNKNOWN;
use crate::audit::stamp::stamp;
use crate::audit::told::Ended;
use crate::audit::told::Token;
use crate::audit::told::Told;
use crate::call::Account;
use crate::call::Verdict;
use crate::openstack::identity::Identity;
use crate::openstack::identity::Scope;
use crate::refusal::Refusal;

/// Puts requests into words.
#[derive(Debug)]
pub struct Words {
    map: Map,
    observer: Observer,
    endpoint: String,
}

/// An event in words.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The event, one JSON object without a line end.
    pub json: Bytes,
    /// When the request ended.
    pub at: OffsetDateTime,
    /// How.
    pub outcome: Outcome,
}

/// CADF's outcomes, as far as one is known when the request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A status below 400.
    Success,
    /// Any other.
    Failure,
    /// There was no answer.
    Unknown,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    id: String,
    #[serde(rename = "eventType")]
    kind: &'static str,
    #[serde(rename = "eventTime")]
    began: String,
    action: Cow<'a, str>,
    outcome: Outcome,
    initiator: Initiator<'a>,
    target: Target<'a>,
    observer: &'a Observer,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_path: Option<&'a str>,
    tags: [String; 1],
    attachments: Vec<Attachment<'a>>,
    reporterchain: [Step<'a>; 1],
}

#[derive(Debug, Serialize)]
struct Initiator<'a> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    id: &'a str,
    project_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain_id: Option<&'a str>,
    request_id: &'a str,
    host: Host<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<Credential>,
}

#[derive(Debug, Serialize)]
struct Host<'a> {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Cow<'a, str>>,
}

/// The token is never shown, not even in part.
#[derive(Debug, Serialize)]
struct Credential {
    token: &'static str,
    identity_status: &'static str,
}

#[derive(Debug, Serialize)]
struct Target<'a> {
    #[serde(rename = "typeURI")]
    type_uri: String,
    id: Cow<'static, str>,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<[Address<'a>; 1]>,
}

#[derive(Debug, Serialize)]
struct Address<'a> {
    name: &'static str,
    url: &'a str,
}

#[derive(Debug, Serialize)]
struct Observer {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    id: String,
    name: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reason {
    #[serde(rename = "reasonType")]
    kind: &'static str,
    #[serde(rename = "reasonCode")]
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_id: Option<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step<'a> {
    role: &'static str,
    reporter: &'a Observer,
    reporter_time: String,
}

const EVENT: &str = "http://schemas.dmtf.org/cloud/audit/1.0/event";
/// pycadf's `ACCOUNT_USER`.
const USER: &str = "service/security/account/user";
/// pycadf's `CADF_AUDIT_FILTER`.
const FILTER: &str = "service/security/audit/filter";
/// What the reasons of `policyId` are: the stable labels of refusals.
const POLICY: &str = "glance-gate/refusal";
/// What stands for a token.
const MASK: &str = "***";

impl Words {
    /// Finds words by this map, in the name of this observer.
    pub fn new(map: Map, observer: &str, endpoint: &str) -> Self {
        let observer = Observer { type_uri: FILTER, id: stable_id(observer).to_string(), name: observer.to_owned() };
        Self { map, observer, endpoint: endpoint.to_owned() }
    }

    /// Puts a request into words.
    pub fn find(&self, told: &Told) -> Entry {
        let account = &told.account;
        let path = account.target.as_ref().map(PathAndQuery::path);
        let began = told.at.checked_sub(told.took).unwrap_or(told.at);
        let outcome = Outcome::of(told.ended);
        let request_id = account.request_id.to_string();
        let event = Event {
            type_uri: EVENT,
            id: Uuid::new_v4().to_string(),
            kind: "activity",
            began: written(began),
            action: path.map_or(UNKNOWN.into(), |path| self.map.action(&account.method, path)),
            outcome,
            initiator: initiator(told, &request_id),
            target: self.target(account),
            observer: &self.observer,
            reason: Reason::of(told),
            request_path: path,
            tags: [format!("correlation_id?value={request_id}")],
            attachments: attachments(told),
            reporterchain: [Step { role: "modifier", reporter: &self.observer, reporter_time: written(told.at) }],
        };
        // all of it is text: it can always be written
        let json = serde_json::to_vec(&event).unwrap_or_default();
        Entry { json: json.into(), at: told.at.into(), outcome }
    }

    fn target(&self, account: &Account) -> Target<'_> {
        let path = account.target.as_ref().map(PathAndQuery::path);
        let image = path.and_then(image_of);
        Target {
            type_uri: path.map_or_else(|| UNKNOWN.to_owned(), |path| self.map.target_type(path)),
            id: image.map_or(UNKNOWN.into(), |image| image.to_string().into()),
            name: "glance",
            addresses: Some(&self.endpoint).filter(|url| !url.is_empty()).map(|url| [Address { name: "public", url }]),
        }
    }
}

fn initiator<'a>(told: &'a Told, request_id: &'a str) -> Initiator<'a> {
    let account = &told.account;
    let domain = account.identity.as_deref().and_then(|identity: &Identity| match &identity.scope {
        Scope::Domain(domain) => Some(&**domain),
        Scope::Project(_) | Scope::System | Scope::Unscoped => None,
    });
    let agent = told.noted.agent.as_ref().map(HeaderValue::as_bytes).map(String::from_utf8_lossy);
    Initiator {
        type_uri: USER,
        id: account.user().map_or(UNKNOWN, |user| user.as_str()),
        project_id: account.project().map_or(UNKNOWN, |project| project.as_str()),
        domain_id: domain,
        request_id,
        host: Host { address: account.peer.to_string(), agent },
        credential: (told.noted.token == Token::Sent)
            .then(|| Credential { token: MASK, identity_status: identity_status(account) }),
    }
}

/// Returns what `auth_token` calls what became of a token.
fn identity_status(account: &Account) -> &'static str {
    match account.refusal {
        _ if account.identity.is_some() => "Confirmed",
        Some(
            Refusal::TokenAmbiguous
            | Refusal::TokenMalformed
            | Refusal::TokenForged
            | Refusal::TokenExpired
            | Refusal::TokenInvalid,
        ) => "Invalid",
        Some(_) | None => UNKNOWN,
    }
}

impl Outcome {
    fn of(ended: Ended) -> Self {
        match ended {
            Ended::Answered(status) if status < StatusCode::BAD_REQUEST => Self::Success,
            Ended::Answered(_) => Self::Failure,
            Ended::CutOff => Self::Unknown,
        }
    }
}

impl Reason {
    /// Returns the status and, where the gate has said no, why.
    fn of(told: &Told) -> Option<Self> {
        let Ended::Answered(status) = told.ended else { return None };
        let refusal = told.account.refusal.filter(|_| told.account.verdict == Verdict::Refused);
        Some(Self {
            kind: "HTTP",
            code: status.as_str().to_owned(),
            policy_type: refusal.map(|_| POLICY),
            policy_id: refusal.map(Refusal::reason),
        })
    }
}

/// Returns the image that a path names.
fn image_of(path: &str) -> Option<Uuid> {
    let mut segments = path.split('/').skip_while(|segment| *segment != "images");
    segments.nth(1).and_then(|image| Uuid::try_parse(image).ok())
}

/// Returns an id that is always the same for a name (RFC 9562 section 5.8): CADF wants one that is unique.
fn stable_id(name: &str) -> Uuid {
    let digest = digest::digest(&SHA256, name.as_bytes());
    let mut bytes = [0; 16];
    for (byte, known) in bytes.iter_mut().zip(digest.as_ref()) {
        *byte = *known;
    }
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// Returns the time as pycadf writes it: `%Y-%m-%dT%H:%M:%S.%f%z`.
fn written(at: SystemTime) -> String {
    stamp(at.into(), 'T', "+0000")
}

#[cfg(test)]
mod tests {
    use super::image_of;
    use super::stable_id;

    #[test]
    fn the_image_is_the_one_behind_images() {
        let image = "71c675ab-d94f-49cd-a114-e12490b328d9";
        assert_eq!(
            image_of(&format!("/image/v2/images/{image}/file")).map(|id| id.to_string()).as_deref(),
            Some(image)
        );
        for path in ["/v2/images", "/v2/images/detail", &format!("/v2/{image}")] {
            assert_eq!(image_of(path), None, "{path}");
        }
    }

    #[test]
    fn the_id_of_a_name_stays() {
        assert_eq!(stable_id("a"), stable_id("a"));
        assert_ne!(stable_id("a"), stable_id("b"));
        assert_eq!(stable_id("a").get_version_num(), 8);
    }
}
