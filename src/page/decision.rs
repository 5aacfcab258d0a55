//! One decision, as the page shows it: no token, no body, ids as the access log has them.

use serde::Serialize;

/// What the gate decided on one request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// When the answer was given, RFC 3339.
    pub time: String,
    /// The id the request has in all services.
    pub request_id: String,
    /// What became of it.
    pub verdict: String,
    /// The rule that said no.
    pub rule: Option<String>,
    /// What the gate answers by that rule.
    pub would_answer: Option<u16>,
    /// What Glance answered, if it was asked.
    pub upstream_status: Option<u16>,
    /// What the client got.
    pub status: u16,
    /// Whether the two agree: `yes`, `no` or `unknown`.
    pub agree: Option<String>,
    /// The inside cause.
    pub cause: Option<String>,
    /// The image, as in the access log.
    pub image: Option<String>,
    /// The member, as in the access log.
    pub member: Option<String>,
    /// The caller's project, as in the access log.
    pub project: Option<String>,
    /// How long ago somebody vouched for the token, in milliseconds.
    pub token_age_ms: Option<u64>,
    /// How long ago Glance told who owns the image, in milliseconds.
    pub ownership_age_ms: Option<u64>,
}
