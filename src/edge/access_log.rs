//! The one line a request leaves in the log.

use std::time::Duration;

use http::StatusCode;
use http::Version;

use crate::call::Account;
use crate::openstack::member::RequestedStatus;
use crate::peer::address_text;
use crate::telemetry::millis;

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The status of the answer.
    pub status: StatusCode,
    /// How many bytes of its body went out.
    pub bytes: u64,
    /// Whether that was all of it.
    pub whole: bool,
    /// From the head of the request to here.
    pub took: Duration,
}

/// Writes the line: no token, no body, no query.
pub fn write(account: &Account, outcome: &Outcome) {
    let path = account.path.as_ref();
    tracing::info!(
        target: "access",
        // a field, and not the words behind them: those would be formatted
        message = "request",
        request_id = account.request_id.encode(&mut [0; 40]),
        trace.id = account.trace.as_ref().map(|trace| tracing::field::display(trace.id())),
        peer.ip = address_text(account.peer, &mut [0; 45]),
        client.certificate = account.certificate.map(tracing::field::display),
        http.method = account.method.as_str(),
        http.path = account.target.as_ref().map_or("", |target| target.path()),
        http.version = (account.version == Version::HTTP_2).then_some("2"),
        http.status = outcome.status.as_u16(),
        branch = account.branch.as_str(),
        verdict = account.verdict.as_str(),
        reason = account.refusal.map(crate::refusal::Refusal::reason),
        cause = account.cause.as_deref(),
        image.id = path.map(crate::openstack::target::MemberPath::image),
        member.id = account.member_id(),
        member.status = account.status.as_ref().map(|status| match status {
            RequestedStatus::Known(status) => status.as_str(),
            RequestedStatus::Unknown(_) => "unknown",
        }),
        project.id = account.project().map(crate::openstack::identity::ProjectId::as_str),
        user.id = account.user().map(crate::openstack::identity::UserId::as_str),
        token.age_ms = account.token_age.map(millis::whole),
        ownership.age_ms = account.ownership_age.map(millis::whole),
        upstream.status = account.upstream_status.map(|status| status.as_u16()),
        bytes_out = outcome.bytes,
        whole = outcome.whole,
        duration_ms = millis::precise(outcome.took),
    );
}
