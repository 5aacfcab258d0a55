//! The decision itself: pure, synchronous, its whole truth table a checked-in snapshot.
//!
//! The order is Glance's (`glance/api/v2/image_members.py`, `update`). What cannot be proved here is asked of
//! Glance by forwarding the call; it is never guessed, and never more is let through than Glance would.

use crate::glance::LookupAs;
use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::image::Seen;
use crate::openstack::image::Visibility;
use crate::openstack::member::RequestedStatus;
use crate::refusal::Refusal;

/// Which contract the gate keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// The documented call, to the letter.
    Documented,
    /// Exactly what the Glance behind the gate answers.
    Glance(PolicyDefaults),
}

/// Which default policies that Glance has (`[oslo_policy] enforce_new_defaults`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyDefaults {
    /// Roles count: reading needs `reader`, updating needs `member`.
    New,
    /// Only projects count.
    Legacy,
}

/// All that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Which contract is kept.
    pub profile: Profile,
    /// Whose eyes saw the image.
    pub lookup_as: LookupAs,
    /// The caller's project.
    pub project: &'a ProjectId,
    /// The caller's roles there.
    pub roles: &'a Roles,
    /// What is known of the image.
    pub seen: &'a Seen,
    /// The member the call names.
    pub member: &'a str,
    /// The status the call asks for.
    pub status: &'a RequestedStatus,
}

/// What is to be done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Forward it: everything is proved.
    Permit,
    /// Forward it: only Glance can tell.
    Ask,
    /// Answer no.
    Refuse(Refusal),
}

impl Profile {
    /// Returns the word used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Glance(_) => "glance",
        }
    }

    /// Returns the default policies, where they count.
    pub fn policy_defaults(self) -> Option<PolicyDefaults> {
        match self {
            Self::Documented => None,
            Self::Glance(defaults) => Some(defaults),
        }
    }
}

impl PolicyDefaults {
    /// Returns the word used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Legacy => "legacy",
        }
    }
}

/// Decides what needs no ownership: only project-scoped callers without the admin role are decided at the edge.
pub fn decide_by_identity(profile: Profile, identity: &Identity, status: &RequestedStatus) -> Option<Decision> {
    if identity.project().is_some() && !identity.roles.has("admin") {
        return None;
    }
    Some(decide_unseen(profile, status))
}

/// Decides a call on an image that the gate can not see.
pub fn decide_unseen(profile: Profile, status: &RequestedStatus) -> Decision {
    match profile {
        Profile::Documented => last(status, Decision::Ask),
        // Glance looks at the status last, and so must be asked first
        Profile::Glance(_) => Decision::Ask,
    }
}

/// Decides a call of a project-scoped caller without the admin role.
pub fn decide(question: Question<'_>) -> Decision {
    match question.profile {
        Profile::Documented => documented(question),
        Profile::Glance(defaults) => glance(question, defaults),
    }
}

/// The documented contract: owner 403, stranger 404, then the value.
fn documented(question: Question<'_>) -> Decision {
    let Seen::Image(image) = question.seen else {
        return Decision::Refuse(Refusal::ImageNotFound);
    };
    if image.owner.as_ref() == Some(question.project) {
        return Decision::Refuse(Refusal::OwnerForbidden);
    }
    if question.project.as_str() != question.member {
        return Decision::Refuse(Refusal::NotTheMember);
    }
    // the contract says nothing of visibility and roles
    let proved = image.visibility == Visibility::Shared && question.roles.has("member");
    last(question.status, if proved { Decision::Permit } else { Decision::Ask })
}

/// Glance's own order. `New` asks where a role decides that is not known.
fn glance(question: Question<'_>, defaults: PolicyDefaults) -> Decision {
    let image = match question.seen {
        Seen::Impossible => return Decision::Refuse(Refusal::ImageNotFound),
        Seen::Absent => return absent(question.lookup_as, question.roles, defaults),
        Seen::Image(image) => image,
    };
    let owns = image.owner.as_ref() == Some(question.project);
    let by_service = question.lookup_as == LookupAs::Service;
    if image.visibility != Visibility::Shared {
        let hidden = by_service && image.visibility == Visibility::Private && !owns;
        return Decision::Refuse(if hidden { Refusal::ImageNotFound } else { Refusal::ImageNotShared });
    }
    // an admin may do what follows, and a token without roles may be an admin's; an image without an owner is seen by
    // everybody (`glance/db/utils.py`), so that seeing it does not tell who is in the member list
    if *question.roles == Roles::Unknown || image.owner.is_none() {
        return Decision::Ask;
    }
    match (defaults, owns) {
        (PolicyDefaults::Legacy, true) => return Decision::Refuse(Refusal::OwnerForbidden),
        // whether it is 403 or 404 depends on the member list
        (PolicyDefaults::New, true) => return Decision::Ask,
        (_, false) => {}
    }
    if defaults == PolicyDefaults::New && !question.roles.has("reader") {
        return Decision::Ask;
    }
    if question.project.as_str() != question.member {
        return Decision::Refuse(if by_service { Refusal::ImageNotFound } else { Refusal::MemberNotFound });
    }
    if by_service {
        return by_service_for_member(question, defaults);
    }
    // the caller sees a shared image it does not own: its project is in the member list
    match defaults {
        PolicyDefaults::New if !question.roles.has("member") => Decision::Refuse(Refusal::RoleForbidden),
        PolicyDefaults::New | PolicyDefaults::Legacy => last(question.status, Decision::Permit),
    }
}

/// Decides for a Glance that shows no such image to the viewer.
pub fn absent(lookup_as: LookupAs, roles: &Roles, defaults: PolicyDefaults) -> Decision {
    let by_caller = lookup_as == LookupAs::Caller;
    // a look-up also fails for want of the role reader, but a call on members looks at the visibility first
    if by_caller && defaults == PolicyDefaults::New && !roles.has("reader") {
        return Decision::Ask;
    }
    Decision::Refuse(Refusal::ImageNotFound)
}

/// An admin saw the image: whether the caller's project is in the member list is not known.
fn by_service_for_member(question: Question<'_>, defaults: PolicyDefaults) -> Decision {
    let may = defaults == PolicyDefaults::Legacy || question.roles.has("member");
    match question.status {
        RequestedStatus::Known(_) if may => Decision::Permit,
        RequestedStatus::Known(_) | RequestedStatus::Unknown(_) => Decision::Ask,
    }
}

/// The last step: a known status goes on, an unknown one is refused.
fn last(status: &RequestedStatus, decision: Decision) -> Decision {
    match status {
        RequestedStatus::Known(_) => decision,
        RequestedStatus::Unknown(_) => Decision::Refuse(Refusal::StatusUnknown),
    }
}
