//! The decision itself: pure, synchronous, its whole truth table a checked-in snapshot.
//!
//! The order is Glance's (`glance/api/v2/image_members.py`, `update`). What cannot be proved here is asked of
//! Glance by forwarding the call; it is never guessed, and never more is let through than Glance would.

use crate::glance::LookupAs;
use crate::glance::policy::Action;
use crate::glance::policy::Policy;
use crate::glance::policy::target::Caller;
use crate::glance::policy::target::ImageTarget;
use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::image::ImageOwnership;
use crate::openstack::image::Seen;
use crate::openstack::image::Visibility;
use crate::openstack::member::RequestedStatus;
use crate::oslo_policy::evaluate::Outcome;
use crate::oslo_policy::rules::OldDefaults;
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
    /// What Glance's policies say.
    pub policy: &'a Policy,
    /// Whose eyes saw the image.
    pub lookup_as: LookupAs,
    /// The caller.
    pub identity: &'a Identity,
    /// The caller's project.
    pub project: &'a ProjectId,
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
    /// Returns what becomes of the policies of old releases.
    pub fn old_defaults(self) -> OldDefaults {
        match self {
            Self::New => OldDefaults::Gone,
            Self::Legacy => OldDefaults::Also,
        }
    }

    /// Returns the word used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Legacy => "legacy",
        }
    }
}

/// Decides what needs no ownership: only project-scoped callers who are no administrators are decided at the edge.
pub fn decide_by_identity(
    profile: Profile,
    policy: &Policy,
    identity: &Identity,
    status: &RequestedStatus,
) -> Option<Decision> {
    (!is_decided_here(policy, identity)).then(|| decide_unseen(profile, status))
}

/// Tells whether the caller is of a project and, as far as is known, no administrator.
pub fn is_decided_here(policy: &Policy, identity: &Identity) -> bool {
    let may_be_other = match policy.is_admin(&Caller::of(identity)) {
        Outcome::Failed => true,
        // in the documented contract the role is then taken not to be there
        Outcome::Unknown => identity.roles == Roles::Unknown,
        Outcome::Passed | Outcome::Raised => false,
    };
    identity.project().is_some() && may_be_other
}

/// Decides a call on an image that the gate can not see.
pub fn decide_unseen(profile: Profile, status: &RequestedStatus) -> Decision {
    match profile {
        Profile::Documented => last(status, Decision::Ask),
        // Glance looks at the status last, and so must be asked first
        Profile::Glance(_) => Decision::Ask,
    }
}

/// Decides a call of a project-scoped caller who is no administrator, as far as is known.
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
    // the contract says nothing of visibility and policies
    let may = || Asked::by_member(question, image).modify_member();
    let proved = image.visibility == Visibility::Shared && may() == Outcome::Passed;
    last(question.status, if proved { Decision::Permit } else { Decision::Ask })
}

/// Glance's own order. What hangs on something that is not known here is asked.
fn glance(question: Question<'_>, defaults: PolicyDefaults) -> Decision {
    let image = match question.seen {
        Seen::Impossible => return Decision::Refuse(Refusal::ImageNotFound),
        Seen::Absent => return absent(question.lookup_as, question.policy, question.identity),
        Seen::Image(image) => image,
    };
    let owns = image.owner.as_ref() == Some(question.project);
    let by_service = question.lookup_as == LookupAs::Service;
    if image.visibility != Visibility::Shared {
        let hidden = by_service && image.visibility == Visibility::Private && !owns;
        return Decision::Refuse(if hidden { Refusal::ImageNotFound } else { Refusal::ImageNotShared });
    }
    let asked = Asked::by_member(question, image);
    // an admin may do what follows, and a token without roles may be an admin's; an image without an owner is seen by
    // everybody (`glance/db/utils.py`), so that seeing it does not tell who is in the member list
    if asked.is_admin() != Outcome::Failed || image.owner.is_none() {
        return Decision::Ask;
    }
    match (defaults, owns) {
        (PolicyDefaults::Legacy, true) => return Decision::Refuse(Refusal::OwnerForbidden),
        // whether it is 403 or 404 depends on the member list
        (PolicyDefaults::New, true) => return Decision::Ask,
        (_, false) => {}
    }
    // without the first Glance answers 404, without the second 403, each in words of its own
    if asked.get_image() != Outcome::Passed || asked.get_member() != Outcome::Passed {
        return Decision::Ask;
    }
    if question.project.as_str() != question.member {
        return Decision::Refuse(if by_service { Refusal::ImageNotFound } else { Refusal::MemberNotFound });
    }
    if by_service {
        return by_service_for_member(question, asked.modify_member());
    }
    // the caller sees a shared image it does not own: its project is in the member list
    match asked.modify_member() {
        Outcome::Passed => last(question.status, Decision::Permit),
        Outcome::Failed => Decision::Refuse(Refusal::RoleForbidden),
        Outcome::Unknown | Outcome::Raised => Decision::Ask,
    }
}

/// Decides for a Glance that shows no such image to the viewer.
pub fn absent(lookup_as: LookupAs, policy: &Policy, identity: &Identity) -> Decision {
    match lookup_as {
        LookupAs::Service => Decision::Refuse(Refusal::ImageNotFound),
        // a look-up also fails where the policy get_image does, but a call on members looks at the visibility first
        LookupAs::Caller => match policy.shows_all(&Caller::of(identity)) {
            Outcome::Passed => Decision::Refuse(Refusal::ImageNotFound),
            Outcome::Failed | Outcome::Unknown | Outcome::Raised => Decision::Ask,
        },
    }
}

/// An admin saw the image: whether the caller's project is in the member list is not known.
fn by_service_for_member(question: Question<'_>, may: Outcome) -> Decision {
    match question.status {
        RequestedStatus::Known(_) if may == Outcome::Passed => Decision::Permit,
        RequestedStatus::Known(_) | RequestedStatus::Unknown(_) => Decision::Ask,
    }
}

/// The policies, asked for one caller and one image.
struct Asked<'a> {
    policy: &'a Policy,
    caller: Caller,
    image: ImageTarget,
}

impl<'a> Asked<'a> {
    /// Asks for a caller who sees the image as a member of it, unless it is the owner.
    fn by_member(question: Question<'a>, image: &ImageOwnership) -> Self {
        let owns = image.owner.as_ref() == Some(question.project);
        let member = (!owns).then_some(question.project);
        Self {
            policy: question.policy,
            caller: Caller::of(question.identity),
            image: ImageTarget::new(image.owner.as_ref(), image.visibility, member),
        }
    }

    fn is_admin(&self) -> Outcome {
        self.policy.is_admin(&self.caller)
    }

    fn get_image(&self) -> Outcome {
        self.policy.allows(Action::GetImage, &self.caller, &self.image)
    }

    fn get_member(&self) -> Outcome {
        self.policy.allows(Action::GetMember, &self.caller, &self.image)
    }

    fn modify_member(&self) -> Outcome {
        self.policy.allows(Action::ModifyMember, &self.caller, &self.image)
    }
}

/// The last step: a known status goes on, an unknown one is refused.
fn last(status: &RequestedStatus, decision: Decision) -> Decision {
    match status {
        RequestedStatus::Known(_) => decision,
        RequestedStatus::Unknown(_) => Decision::Refuse(Refusal::StatusUnknown),
    }
}
