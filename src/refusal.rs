//! Every way the gate answers for itself.
//!
//! One variant a reason. The label is stable: it stands in the access log, in the metric
//! `glance_gate_refusals_total{reason}`, in the tests and in `deploy/RUNBOOK.md`.

use http::StatusCode;

/// What Glance tells whoever it could not authenticate (`WebOb`, `HTTPUnauthorized`).
const NOT_VERIFIED: &str = "This server could not verify that you are authorized to access the document you requested. \
                            Either you supplied the wrong credentials (e.g., bad password), or your browser does not \
                            understand how to supply the credentials required.";

/// Writes the enum and its table from one list, so that a refusal is added in one place.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $reason:literal, $message:expr;)*) => {
        /// A reason to answer instead of the upstream.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $name,)*
        }

        impl Refusal {
            /// All refusals, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the status of the answer.
            pub fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)*
                }
            }

            /// Returns the stable label of the reason.
            pub fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason,)*
                }
            }

            /// Returns what the client is told. `{image}`, `{member}` and `{method}` stand for words of the request;
            /// `{action}`, `{policy}`, `{body_form}` and `{call}` for words of Glance for what it does.
            ///
            /// Where Glance has a text for the case, it is Glance's (`glance/api/v2/image_members.py`, `WebOb`).
            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)*
                }
            }
        }
    };
}

refusals! {
    /// The target can be read in more than one way.
    TargetAmbiguous = BAD_REQUEST, "target_ambiguous", "The request target is ambiguous and is not forwarded.";
    /// A header can be read in more than one way, or tries to steer the gate.
    HeaderAmbiguous = BAD_REQUEST, "header_ambiguous", "The request headers are ambiguous and are not forwarded.";
    /// The request is not HTTP as one grammar reads it.
    RequestMalformed = BAD_REQUEST, "request_malformed", "The request is not valid HTTP.";
    /// The head of the request did not arrive in time.
    HeadTooSlow = REQUEST_TIMEOUT, "head_too_slow", "The head of the request did not arrive in time.";
    /// The head of the request is over the limit.
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", "The head of the request is over the limit.";
    /// `Accept` asks for Glance's vendor types, which select another API version.
    VendorAccept = NOT_ACCEPTABLE, "vendor_accept", "Select the API version by the path, not by the Accept header.";
    /// A form body, in which Routes would look for `_method`.
    FormBody = UNSUPPORTED_MEDIA_TYPE, "form_body", "Form bodies are not supported by the image service.";
    /// `CONNECT` or `TRACE`, which no image store serves.
    MethodUnsupported = METHOD_NOT_ALLOWED, "method_unsupported", "The method {method} is not allowed for this resource. ";
    /// No token.
    TokenMissing = UNAUTHORIZED, "token_missing", NOT_VERIFIED;
    /// More than one token, or one under an alias.
    TokenAmbiguous = UNAUTHORIZED, "token_ambiguous", NOT_VERIFIED;
    /// Not a string any token could be.
    TokenMalformed = UNAUTHORIZED, "token_malformed", NOT_VERIFIED;
    /// A signed token whose signature, algorithm or claims are wrong.
    TokenForged = UNAUTHORIZED, "token_forged", NOT_VERIFIED;
    /// A token that has ended.
    TokenExpired = UNAUTHORIZED, "token_expired", NOT_VERIFIED;
    /// Keystone or Glance does not accept the token.
    TokenInvalid = UNAUTHORIZED, "token_invalid", NOT_VERIFIED;
    /// The token's access rules do not allow this call.
    AccessRuleForbids = UNAUTHORIZED, "access_rule_forbids", NOT_VERIFIED;
    /// The member resource knows `GET`, `PUT` and `DELETE` only.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "The method {method} is not allowed for this resource. ";
    /// The body is said to be something else than JSON.
    MediaTypeUnsupported = UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", "The body of a member {call} must be application/json.";
    /// The body is said to be compressed.
    ContentEncodingUnsupported = UNSUPPORTED_MEDIA_TYPE, "content_encoding_unsupported", "The body of a member {call} must not be compressed.";
    /// The body is over the limit.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "The body of a member {call} is over the limit.";
    /// There is a body where none belongs.
    BodyUnexpected = BAD_REQUEST, "body_unexpected", "A body is not expected with this request.";
    /// The body broke off or was not sent in the grammar of HTTP.
    BodyBroken = BAD_REQUEST, "body_broken", "The body of the request broke off or is not valid HTTP.";
    /// The body did not arrive in time.
    BodyTooSlow = REQUEST_TIMEOUT, "body_too_slow", "The body of the request did not arrive in time.";
    /// There is no body.
    BodyMissing = BAD_REQUEST, "body_missing", "Body expected in request.";
    /// The body is not JSON.
    BodyMalformed = BAD_REQUEST, "body_malformed", "Malformed JSON in request body.";
    /// The body is JSON that parsers read differently: duplicate keys or too deep nesting.
    BodyAmbiguous = BAD_REQUEST, "body_ambiguous", "The JSON in the request body is ambiguous or nested too deeply.";
    /// The body is an array.
    BodyNotObject = BAD_REQUEST, "body_not_object", "Expected a {body_form}";
    /// The body is a bare value.
    BodyNotContainer = BAD_REQUEST, "body_not_container", "Unexpected body type. Expected list/dict.";
    /// The body has no `status`.
    StatusMissing = BAD_REQUEST, "status_missing", "Status not specified";
    /// The body has no `member`.
    MemberMissing = BAD_REQUEST, "member_missing", "Member to be added not specified";
    /// The member is empty.
    MemberEmpty = BAD_REQUEST, "member_empty", "Member can't be empty";
    /// The member is nothing that could be a project's id.
    MemberUnfit = BAD_REQUEST, "member_unfit", "The member must be the id of a project: up to 255 letters, digits, - and _.";
    /// The status is not one of the three.
    StatusUnknown = BAD_REQUEST, "status_unknown", r#"Incorrect request: Status must be "pending", "accepted" or "rejected"."#;
    /// There is no such image for this caller.
    ImageNotFound = NOT_FOUND, "image_not_found", "Image {image} not found.";
    /// The image is not one that has members.
    ImageNotShared = FORBIDDEN, "image_not_shared", "Not allowed to {action} members for image {image}.";
    /// The members of an image that has none are listed.
    MembersNotListed = FORBIDDEN, "members_not_listed", "Not allowed to list members for image {image}: Only shared images have members.";
    /// A member of an image that has none is shown.
    ImageHasNoMembers = NOT_FOUND, "image_has_no_members", "Only shared images have members.";
    /// The owner may not set a member's status.
    OwnerForbidden = FORBIDDEN, "owner_forbidden", "Not allowed to update members for image {image}.";
    /// Only the owner shares an image, and stops that.
    NotTheOwner = FORBIDDEN, "not_the_owner", "Not allowed to {action} members for image {image}.";
    /// The same, as new policies say it.
    OwnerOnly = FORBIDDEN, "owner_only", "You are not authorized to complete {policy} action.";
    /// The caller's project is not the member it names. The answer is the one for an image that does not exist.
    NotTheMember = NOT_FOUND, "not_the_member", "Image {image} not found.";
    /// The caller's project is not the member, or not in the list.
    MemberNotFound = NOT_FOUND, "member_not_found", "{member} not found in the member list of the image {image}.";
    /// The caller's roles do not allow it.
    RoleForbidden = FORBIDDEN, "role_forbidden", "You are not authorized to complete {policy} action.";
    /// Keystone could not be asked.
    KeystoneUnavailable = SERVICE_UNAVAILABLE, "keystone_unavailable", "Keystone cannot be reached to verify the token. Try again later.";
    /// The issuer of an access token could not be asked for its keys.
    IssuerUnavailable = SERVICE_UNAVAILABLE, "issuer_unavailable", "The issuer of the token cannot be reached. Try again later.";
    /// Nobody could tell who owns the image.
    OwnershipUnavailable = SERVICE_UNAVAILABLE, "ownership_unavailable", "The image service cannot tell who owns the image. Try again later.";
    /// No upstream could be reached, or none answered in time.
    UpstreamUnavailable = SERVICE_UNAVAILABLE, "upstream_unavailable", "The image service cannot be reached. Try again later.";
    /// The upstream answered something that is not HTTP.
    UpstreamGarbled = BAD_GATEWAY, "upstream_garbled", "The image service gave an answer that is not valid HTTP.";
    /// A member update took longer than it may.
    MemberUpdateTooSlow = GATEWAY_TIMEOUT, "member_update_too_slow", "The image service did not answer in time.";
    /// The client, or its project, asks too often.
    RateLimited = TOO_MANY_REQUESTS, "rate_limited", "Too many requests. Try again later.";
    /// The same, as Repose said it; only where the configuration asks for it.
    OverLimit = PAYLOAD_TOO_LARGE, "over_limit", "This request was rate-limited.";
    /// Every upstream that may have the request has as many as it takes.
    UpstreamBusy = SERVICE_UNAVAILABLE, "upstream_busy", "The image service is overloaded. Try again later.";
    /// The image service answers ever later, so no more is sent to it than it can do.
    LoadShed = SERVICE_UNAVAILABLE, "load_shed", "The image service is overloaded. Try again later.";
    /// Too much is going on at once.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "The image service is overloaded. Try again later.";
    /// A bug in the gate; the request is denied.
    Internal = INTERNAL_SERVER_ERROR, "internal", "The server has either erred or is incapable of performing the requested operation.";
}

impl Refusal {
    /// Tells whether the client may try again, and so gets `Retry-After`.
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::KeystoneUnavailable
                | Self::IssuerUnavailable
                | Self::OwnershipUnavailable
                | Self::UpstreamUnavailable
                | Self::UpstreamBusy
                | Self::LoadShed
                | Self::RateLimited
                | Self::OverLimit
                | Self::Overloaded
        )
    }

    /// Tells whether the image store has too much to do: no decision about the call, and no reason to send it.
    pub fn is_crowd(self) -> bool {
        matches!(self, Self::UpstreamBusy | Self::LoadShed)
    }

    /// Tells whether it is a rule for member updates, whose enforcement is the operator's to choose. What is ambiguous, or
    /// can not be forwarded any more, is refused always.
    pub fn is_rule(self) -> bool {
        self.is_judgement()
            || matches!(
                self,
                Self::KeystoneUnavailable
                    | Self::IssuerUnavailable
                    | Self::OwnershipUnavailable
                    | Self::RateLimited
                    | Self::OverLimit
                    | Self::Overloaded
            )
    }

    /// Tells whether it is a judgement on a member update, which Glance's own can be compared with.
    pub fn is_judgement(self) -> bool {
        self.is_of_credential()
            || matches!(
                self,
                Self::MethodNotAllowed
                    | Self::MediaTypeUnsupported
                    | Self::ContentEncodingUnsupported
                    | Self::BodyTooLarge
                    | Self::BodyUnexpected
                    | Self::BodyMissing
                    | Self::BodyMalformed
                    | Self::BodyAmbiguous
                    | Self::BodyNotObject
                    | Self::BodyNotContainer
                    | Self::StatusMissing
                    | Self::MemberMissing
                    | Self::MemberEmpty
                    | Self::MemberUnfit
                    | Self::StatusUnknown
                    | Self::ImageNotFound
                    | Self::ImageNotShared
                    | Self::MembersNotListed
                    | Self::ImageHasNoMembers
                    | Self::OwnerForbidden
                    | Self::NotTheOwner
                    | Self::OwnerOnly
                    | Self::NotTheMember
                    | Self::MemberNotFound
                    | Self::RoleForbidden
            )
    }

    /// Returns the refusal of this reason.
    pub fn parse(reason: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.reason() == reason)
    }

    /// Tells whether it is about the credential that came with the call.
    fn is_of_credential(self) -> bool {
        matches!(
            self,
            Self::TokenMissing
                | Self::TokenAmbiguous
                | Self::TokenMalformed
                | Self::TokenForged
                | Self::TokenExpired
                | Self::TokenInvalid
                | Self::AccessRuleForbids
        )
    }

    /// Tells whether it may come before anybody has vouched for the caller.
    pub fn precedes_identity(self) -> bool {
        self.is_of_credential()
            || matches!(
                self,
                Self::KeystoneUnavailable
                    | Self::IssuerUnavailable
                    | Self::RateLimited
                    | Self::OverLimit
                    | Self::Overloaded
            )
    }

    /// Returns all rules.
    pub fn rules() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|refusal| refusal.is_rule())
    }

    /// Tells whether the connection must end: nobody knows where the next request would start.
    pub fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::RequestMalformed
                | Self::HeadTooSlow
                | Self::HeadTooLarge
                | Self::BodyBroken
                | Self::BodyTooSlow
                | Self::BodyTooLarge
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Refusal;

    #[test]
    fn every_refusal_has_a_label_of_its_own_and_an_error_status() {
        let labels: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.reason()).collect();
        assert_eq!(labels.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            assert!(refusal.status().as_u16() >= 400, "{refusal:?}");
            assert!(!refusal.message().is_empty(), "{refusal:?}");
        }
    }

    #[test]
    fn every_refusal_is_explained_to_operators() {
        let runbook = include_str!("../deploy/RUNBOOK.md");
        for refusal in Refusal::ALL {
            let row = format!("| `{}` | {} |", refusal.reason(), refusal.status().as_u16());
            assert!(runbook.contains(&row), "deploy/RUNBOOK.md lacks a row starting {row}");
        }
    }
}
