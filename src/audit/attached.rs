//! What an event tells beyond CADF's own members: what Keystone calls the token, and what the gate has decided.

use serde::Serialize;

use crate::audit::told::Told;
use crate::openstack::identity::Identity;
use crate::openstack::member::RequestedStatus;
use crate::openstack::target::MemberPath;
use crate::refusal::Refusal;

/// One attachment, CADF's place for what it has no member for (DSP0262, "Attachment").
#[derive(Debug, Serialize)]
pub struct Attachment<'a> {
    #[serde(rename = "typeURI")]
    type_uri: &'static str,
    name: &'static str,
    content: Content<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content<'a> {
    /// Joins the event with Keystone's: the `audit_ids` of `GET /v3/auth/tokens`, the one of the token itself first.
    Token {
        audit_ids: Vec<&'a str>,
    },
    Decision(Decision<'a>),
}

/// What the gate knows of the call.
#[derive(Debug, Serialize)]
struct Decision<'a> {
    branch: &'static str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate: Option<String>,
}

/// Returns what is attached to the event of a request.
pub fn attachments(told: &Told) -> Vec<Attachment<'_>> {
    let account = &told.account;
    let path = account.path.as_ref();
    let decision = Decision {
        branch: account.branch.as_str(),
        verdict: account.verdict.as_str(),
        reason: account.refusal.map(Refusal::reason),
        cause: account.cause.as_deref(),
        image_id: path.map(MemberPath::image),
        member_id: account.member_id(),
        member_status: account.status.as_ref().map(|status| match status {
            RequestedStatus::Known(status) => status.as_str(),
            RequestedStatus::Unknown(_) => "unknown",
        }),
        upstream_status: account.upstream_status.map(|status| status.as_u16()),
        client_certificate: account.certificate.map(|certificate| certificate.to_string()),
    };
    let audit_ids: Vec<&str> = account.identity.iter().flat_map(|identity| ids_of(identity)).collect();
    let token = (!audit_ids.is_empty()).then_some(Attachment {
        type_uri: "data/security/credential",
        name: "keystone_token",
        content: Content::Token { audit_ids },
    });
    let decision =
        Attachment { type_uri: "data/security/policy", name: "glance_gate", content: Content::Decision(decision) };
    token.into_iter().chain([decision]).collect()
}

fn ids_of(identity: &Identity) -> impl Iterator<Item = &str> {
    identity.audit_ids.iter().map(|id| &**id)
}
