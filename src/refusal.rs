//! Every way the gate answers for itself.
//!
//! One variant a reason. The label is stable: it stands in the access log, in the metric
//! `glance_gate_refusals_total{reason}`, in the tests and in `deploy/RUNBOOK.md`.

use http::StatusCode;

/// A reason to answer instead of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The target can be read in more than one way.
    TargetAmbiguous,
    /// A header can be read in more than one way, or tries to steer the gate.
    HeaderAmbiguous,
    /// The request is not HTTP/1.1 as one grammar reads it.
    RequestMalformed,
    /// The head of the request is over the limit.
    HeadTooLarge,
    /// `Accept` asks for Glance's vendor types, which select another API version.
    VendorAccept,
    /// A form body, in which Routes would look for `_method`.
    FormBody,
    /// `CONNECT` or `TRACE`, which no image store serves.
    MethodUnsupported,
    /// No token.
    TokenMissing,
    /// More than one token, or one under an alias.
    TokenAmbiguous,
    /// Not a string any token could be.
    TokenMalformed,
    /// A signed token whose signature, algorithm or claims are wrong.
    TokenForged,
    /// A token that has ended.
    TokenExpired,
    /// Keystone or Glance does not accept the token.
    TokenInvalid,
    /// The token's access rules do not allow this call.
    AccessRuleForbids,
    /// The member resource knows `GET`, `PUT` and `DELETE` only.
    MethodNotAllowed,
    /// The body is said to be something else than JSON.
    MediaTypeUnsupported,
    /// The body is said to be compressed.
    ContentEncodingUnsupported,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body broke off or was not sent in the grammar of HTTP.
    BodyBroken,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// There is no body.
    BodyMissing,
    /// The body is not JSON.
    BodyMalformed,
    /// The body is JSON that parsers read differently: duplicate keys or too deep nesting.
    BodyAmbiguous,
    /// The body is an array.
    BodyNotObject,
    /// The body is a bare value.
    BodyNotContainer,
    /// The body has no `status`.
    StatusMissing,
    /// The status is not one of the three.
    StatusUnknown,
    /// There is no such image for this caller.
    ImageNotFound,
    /// The image is not one that has members.
    ImageNotShared,
    /// The owner may not set a member's status.
    OwnerForbidden,
    /// The caller's project is not the member, or not in the list.
    MemberNotFound,
    /// The caller's roles do not allow it.
    RoleForbidden,
    /// Keystone could not be asked.
    KeystoneUnavailable,
    /// Nobody could tell who owns the image.
    OwnershipUnavailable,
    /// No upstream could be reached, or none answered in time.
    UpstreamUnavailable,
    /// The upstream answered something that is not HTTP.
    UpstreamGarbled,
    /// A member update took longer than it may.
    MemberUpdateTooSlow,
    /// Too much is going on at once.
    Overloaded,
    /// A bug in the gate; the request is denied.
    Internal,
}

impl Refusal {
    /// All refusals, for tables and tests.
    pub const ALL: [Self; 39] = [
        Self::TargetAmbiguous,
        Self::HeaderAmbiguous,
        Self::RequestMalformed,
        Self::HeadTooLarge,
        Self::VendorAccept,
        Self::FormBody,
        Self::MethodUnsupported,
        Self::TokenMissing,
        Self::TokenAmbiguous,
        Self::TokenMalformed,
        Self::TokenForged,
        Self::TokenExpired,
        Self::TokenInvalid,
        Self::AccessRuleForbids,
        Self::MethodNotAllowed,
        Self::MediaTypeUnsupported,
        Self::ContentEncodingUnsupported,
        Self::BodyTooLarge,
        Self::BodyBroken,
        Self::BodyTooSlow,
        Self::BodyMissing,
        Self::BodyMalformed,
        Self::BodyAmbiguous,
        Self::BodyNotObject,
        Self::BodyNotContainer,
        Self::StatusMissing,
        Self::StatusUnknown,
        Self::ImageNotFound,
        Self::ImageNotShared,
        Self::OwnerForbidden,
        Self::MemberNotFound,
        Self::RoleForbidden,
        Self::KeystoneUnavailable,
        Self::OwnershipUnavailable,
        Self::UpstreamUnavailable,
        Self::UpstreamGarbled,
        Self::MemberUpdateTooSlow,
        Self::Overloaded,
        Self::Internal,
    ];

    /// Returns the status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TargetAmbiguous
            | Self::HeaderAmbiguous
            | Self::RequestMalformed
            | Self::BodyBroken
            | Self::BodyMissing
            | Self::BodyMalformed
            | Self::BodyAmbiguous
            | Self::BodyNotObject
            | Self::BodyNotContainer
            | Self::StatusMissing
            | Self::StatusUnknown => StatusCode::BAD_REQUEST,
            Self::TokenMissing
            | Self::TokenAmbiguous
            | Self::TokenMalformed
            | Self::TokenForged
            | Self::TokenExpired
            | Self::TokenInvalid
            | Self::AccessRuleForbids => StatusCode::UNAUTHORIZED,
            Self::OwnerForbidden | Self::ImageNotShared | Self::RoleForbidden => StatusCode::FORBIDDEN,
            Self::ImageNotFound | Self::MemberNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed | Self::MethodUnsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::VendorAccept => StatusCode::NOT_ACCEPTABLE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::FormBody | Self::MediaTypeUnsupported | Self::ContentEncodingUnsupported => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UpstreamGarbled => StatusCode::BAD_GATEWAY,
            Self::KeystoneUnavailable | Self::OwnershipUnavailable | Self::UpstreamUnavailable | Self::Overloaded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::MemberUpdateTooSlow => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Returns the stable label of the reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TargetAmbiguous => "target_ambiguous",
            Self::HeaderAmbiguous => "header_ambiguous",
            Self::RequestMalformed => "request_malformed",
            Self::HeadTooLarge => "head_too_large",
            Self::VendorAccept => "vendor_accept",
            Self::FormBody => "form_body",
            Self::MethodUnsupported => "method_unsupported",
            Self::TokenMissing => "token_missing",
            Self::TokenAmbiguous => "token_ambiguous",
            Self::TokenMalformed => "token_malformed",
            Self::TokenForged => "token_forged",
            Self::TokenExpired => "token_expired",
            Self::TokenInvalid => "token_invalid",
            Self::AccessRuleForbids => "access_rule_forbids",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MediaTypeUnsupported => "media_type_unsupported",
            Self::ContentEncodingUnsupported => "content_encoding_unsupported",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyBroken => "body_broken",
            Self::BodyTooSlow => "body_too_slow",
            Self::BodyMissing => "body_missing",
            Self::BodyMalformed => "body_malformed",
            Self::BodyAmbiguous => "body_ambiguous",
            Self::BodyNotObject => "body_not_object",
            Self::BodyNotContainer => "body_not_container",
            Self::StatusMissing => "status_missing",
            Self::StatusUnknown => "status_unknown",
            Self::ImageNotFound => "image_not_found",
            Self::ImageNotShared => "image_not_shared",
            Self::OwnerForbidden => "owner_forbidden",
            Self::MemberNotFound => "member_not_found",
            Self::RoleForbidden => "role_forbidden",
            Self::KeystoneUnavailable => "keystone_unavailable",
            Self::OwnershipUnavailable => "ownership_unavailable",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamGarbled => "upstream_garbled",
            Self::MemberUpdateTooSlow => "member_update_too_slow",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }

    /// Returns what the client is told. `{image}`, `{member}` and `{method}` stand for words of the request.
    ///
    /// Where Glance has a text for the case, it is Glance's (`glance/api/v2/image_members.py`, `WebOb`).
    pub fn message(self) -> &'static str {
        match self {
            Self::TargetAmbiguous => "The request target is ambiguous and is not forwarded.",
            Self::HeaderAmbiguous => "The request headers are ambiguous and are not forwarded.",
            Self::RequestMalformed => "The request is not valid HTTP/1.1.",
            Self::HeadTooLarge => "The head of the request is over the limit.",
            Self::VendorAccept => "Select the API version by the path, not by the Accept header.",
            Self::FormBody => "Form bodies are not supported by the image service.",
            Self::TokenMissing
            | Self::TokenAmbiguous
            | Self::TokenMalformed
            | Self::TokenForged
            | Self::TokenExpired
            | Self::TokenInvalid
            | Self::AccessRuleForbids => {
                "This server could not verify that you are authorized to access the document you requested. Either \
                 you supplied the wrong credentials (e.g., bad password), or your browser does not understand how to \
                 supply the credentials required."
            }
            Self::MethodNotAllowed | Self::MethodUnsupported => {
                "The method {method} is not allowed for this resource. "
            }
            Self::MediaTypeUnsupported => "The body of a member update must be application/json.",
            Self::ContentEncodingUnsupported => "The body of a member update must not be compressed.",
            Self::BodyTooLarge => "The body of a member update is over the limit.",
            Self::BodyBroken => "The body of the request broke off or is not valid HTTP.",
            Self::BodyTooSlow => "The body of the request did not arrive in time.",
            Self::BodyMissing => "Body expected in request.",
            Self::BodyMalformed => "Malformed JSON in request body.",
            Self::BodyAmbiguous => "The JSON in the request body is ambiguous or nested too deeply.",
            Self::BodyNotObject => r#"Expected a status in the form: {"status": "status"}"#,
            Self::BodyNotContainer => "Unexpected body type. Expected list/dict.",
            Self::StatusMissing => "Status not specified",
            Self::StatusUnknown => r#"Incorrect request: Status must be "pending", "accepted" or "rejected"."#,
            Self::ImageNotFound => "Image {image} not found.",
            Self::ImageNotShared | Self::OwnerForbidden => "Not allowed to update members for image {image}.",
            Self::MemberNotFound => "{member} not found in the member list of the image {image}.",
            Self::RoleForbidden => "You are not authorized to complete modify_member action.",
            Self::KeystoneUnavailable => "Keystone cannot be reached to verify the token. Try again later.",
            Self::OwnershipUnavailable => "The image service cannot tell who owns the image. Try again later.",
            Self::UpstreamUnavailable => "The image service cannot be reached. Try again later.",
            Self::UpstreamGarbled => "The image service gave an answer that is not valid HTTP.",
            Self::MemberUpdateTooSlow => "The image service did not answer in time.",
            Self::Overloaded => "The image service is overloaded. Try again later.",
            Self::Internal => "The server has either erred or is incapable of performing the requested operation.",
        }
    }

    /// Tells whether the client may try again, and so gets `Retry-After`.
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::KeystoneUnavailable | Self::OwnershipUnavailable | Self::UpstreamUnavailable | Self::Overloaded
        )
    }

    /// Tells whether the connection must end: nobody knows where the next request would start.
    pub fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::RequestMalformed | Self::HeadTooLarge | Self::BodyBroken | Self::BodyTooSlow | Self::BodyTooLarge
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
