//! At which check a call was stopped.

use crate::refusal::Refusal;

/// The checks of a member update, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// How much there may be at once, or in a second.
    Limits,
    /// Who vouches for the token.
    Token,
    /// What the token's access rules allow.
    AccessRules,
    /// The method.
    Method,
    /// The headers of the body.
    Media,
    /// The body, and what it asks for.
    Body,
    /// Whether the caller is decided here or by Glance.
    Identity,
    /// Who owns the image.
    Ownership,
    /// The decision.
    Decision,
    /// The way to Glance and back.
    Glance,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 10] = [
        Self::Limits,
        Self::Token,
        Self::AccessRules,
        Self::Method,
        Self::Media,
        Self::Body,
        Self::Identity,
        Self::Ownership,
        Self::Decision,
        Self::Glance,
    ];

    /// Returns where a refusal of a member update comes from; the cause tells those apart that come from several places.
    pub fn of(refusal: Refusal, cause: Option<&str>) -> Self {
        let cause = cause.unwrap_or_default();
        match refusal {
            Refusal::RateLimited if cause == "limits.ownership_questions_per_client" => Self::Ownership,
            Refusal::RateLimited if cause == "limits.member_updates_per_client" => Self::Limits,
            Refusal::TokenInvalid if cause == "glance refuses the token" => Self::Ownership,
            Refusal::UpstreamBusy | Refusal::LoadShed if cause == "the owner of the image was not asked about" => {
                Self::Ownership
            }
            _ => Self::by_reason(refusal),
        }
    }

    fn by_reason(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TokenMissing
            | Refusal::TokenAmbiguous
            | Refusal::TokenMalformed
            | Refusal::TokenForged
            | Refusal::TokenExpired
            | Refusal::TokenInvalid
            | Refusal::KeystoneUnavailable
            | Refusal::IssuerUnavailable
            | Refusal::RateLimited
            | Refusal::OverLimit => Self::Token,
            Refusal::AccessRuleForbids => Self::AccessRules,
            Refusal::MethodNotAllowed | Refusal::MethodUnsupported => Self::Method,
            Refusal::MediaTypeUnsupported | Refusal::ContentEncodingUnsupported | Refusal::FormBody => Self::Media,
            Refusal::BodyTooLarge
            | Refusal::BodyBroken
            | Refusal::BodyTooSlow
            | Refusal::BodyUnexpected
            | Refusal::BodyMissing
            | Refusal::BodyMalformed
            | Refusal::BodyAmbiguous
            | Refusal::BodyNotObject
            | Refusal::BodyNotContainer
            | Refusal::StatusMissing
            | Refusal::MemberMissing
            | Refusal::MemberEmpty
            | Refusal::MemberUnfit => Self::Body,
            Refusal::OwnershipUnavailable => Self::Ownership,
            Refusal::StatusUnknown
            | Refusal::ImageNotFound
            | Refusal::ImageNotShared
            | Refusal::MembersNotListed
            | Refusal::ImageHasNoMembers
            | Refusal::OwnerForbidden
            | Refusal::NotTheOwner
            | Refusal::OwnerOnly
            | Refusal::NotTheMember
            | Refusal::MemberNotFound
            | Refusal::RoleForbidden => Self::Decision,
            Refusal::UpstreamUnavailable
            | Refusal::UpstreamGarbled
            | Refusal::UpstreamBusy
            | Refusal::LoadShed
            | Refusal::MemberUpdateTooSlow
            | Refusal::Internal => Self::Glance,
            // all but the first are refused before anybody knows that it is a member update
            Refusal::Overloaded
            | Refusal::TargetAmbiguous
            | Refusal::HeaderAmbiguous
            | Refusal::RequestMalformed
            | Refusal::HeadTooSlow
            | Refusal::HeadTooLarge
            | Refusal::VendorAccept => Self::Limits,
        }
    }

    /// Returns what the step is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Token => "token",
            Self::AccessRules => "access rules",
            Self::Method => "method",
            Self::Media => "media type",
            Self::Body => "body",
            Self::Identity => "identity",
            Self::Ownership => "ownership",
            Self::Decision => "decision",
            Self::Glance => "way to Glance",
        }
    }
}
