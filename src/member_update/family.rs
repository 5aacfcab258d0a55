//! The decision on any call of the member family: updates by [`mod@decide`], the others here.
//!
//! The order is Glance's (`glance/api/v2/image_members.py`; `create`, `delete`, `index`, `show`). What the member list
//! decides, such as a member that is there already (409), a full list (413) or one that is not in it (404), is Glance's
//! to say.

use crate::glance::LookupAs;
use crate::glance::policy::Policy;
use crate::member_update::decide;
use crate::member_update::decide::Decision;
use crate::member_update::decide::PolicyDefaults;
use crate::member_update::decide::Profile;
use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::image::ImageOwnership;
use crate::openstack::image::Seen;
use crate::openstack::image::Visibility;
use crate::openstack::member_request::MemberRequest;
use crate::openstack::member_request::RequestedMember;
use crate::refusal::Refusal;

/// All that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Which contract is kept.
    pub profile: Profile,
    /// What Glance's policies say.
    pub policy: &'a Policy,
    /// Whose eyes saw the image.
    pub lookup_as: LookupAs,
    /// The caller's project.
    pub project: &'a ProjectId,
    /// The caller.
    pub identity: &'a Identity,
    /// What is known of the image.
    pub seen: &'a Seen,
    /// The member the path names; empty if it names all.
    pub member: &'a str,
    /// What the call asks for.
    pub request: &'a MemberRequest,
}

/// Who the caller is to an image that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    /// Its project owns the image.
    Owner,
    /// Glance shows the image to it, which it does not own.
    Guest,
    /// The gate sees the image, and whether the caller does is not known.
    Unproved,
}

/// Decides what needs no ownership: only project-scoped callers without the admin role are decided at the edge.
pub fn decide_by_identity(
    profile: Profile,
    policy: &Policy,
    identity: &Identity,
    request: &MemberRequest,
) -> Option<Decision> {
    match request {
        MemberRequest::Update(status) => decide::decide_by_identity(profile, policy, identity, status),
        MemberRequest::Create(_) | MemberRequest::Delete | MemberRequest::List | MemberRequest::Show => {
            (!decide::is_decided_here(policy, identity)).then_some(Decision::Ask)
        }
    }
}

/// Decides a call on an image that the gate can not see.
pub fn decide_unseen(profile: Profile, request: &MemberRequest) -> Decision {
    match request {
        MemberRequest::Update(status) => decide::decide_unseen(profile, status),
        MemberRequest::Create(_) | MemberRequest::Delete | MemberRequest::List | MemberRequest::Show => Decision::Ask,
    }
}

/// Decides a call of a project-scoped caller without the admin role.
pub fn decide(question: Question<'_>) -> Decision {
    let Question { profile, policy, lookup_as, project, identity, seen, member, request } = question;
    if let MemberRequest::Update(status) = request {
        return decide::decide(decide::Question {
            profile,
            policy,
            lookup_as,
            identity,
            project,
            seen,
            member,
            status,
        });
    }
    // what follows are Glance's own defaults
    if policy.is_written() && profile != Profile::Documented {
        return Decision::Ask;
    }
    let image = match (seen, profile) {
        (Seen::Image(image), _) => image,
        (Seen::Absent, Profile::Glance(_)) => return decide::absent(lookup_as, policy, identity),
        (Seen::Impossible | Seen::Absent, _) => return Decision::Refuse(Refusal::ImageNotFound),
    };
    let party = question.party(image);
    if party == Party::Unproved && image.visibility == Visibility::Private {
        return Decision::Refuse(Refusal::ImageNotFound);
    }
    match profile {
        Profile::Documented => question.documented(image, party),
        Profile::Glance(defaults) => question.glance(image, party, defaults),
    }
}

impl Question<'_> {
    fn party(&self, image: &ImageOwnership) -> Party {
        let is_open = matches!(image.visibility, Visibility::Public | Visibility::Community);
        if image.owner.as_ref() == Some(self.project) {
            Party::Owner
        } else if self.lookup_as == LookupAs::Caller || is_open {
            Party::Guest
        } else {
            Party::Unproved
        }
    }

    /// The documented contract: only the owner shares, a member sees itself. It says nothing of visibility and roles, and
    /// those of an admin may be unknown.
    fn documented(&self, image: &ImageOwnership, party: Party) -> Decision {
        if self.identity.roles == Roles::Unknown || party == Party::Unproved {
            return Decision::Ask;
        }
        let proved = |role| {
            if image.visibility == Visibility::Shared && self.identity.roles.has(role) {
                Decision::Permit
            } else {
                Decision::Ask
            }
        };
        match (self.request, party) {
            (MemberRequest::Create(_) | MemberRequest::Delete, Party::Guest) => Decision::Refuse(Refusal::NotTheOwner),
            (MemberRequest::Create(_), _) => proved("member"),
            (MemberRequest::Show, Party::Guest) if !self.names_caller() => Decision::Refuse(Refusal::MemberNotFound),
            (MemberRequest::List, _) | (MemberRequest::Show, Party::Guest) if image.owner.is_some() => proved("reader"),
            (MemberRequest::Update(_) | MemberRequest::Delete | MemberRequest::List | MemberRequest::Show, _) => {
                Decision::Ask
            }
        }
    }

    /// Glance's own order. `New` asks where a role decides that is not known.
    fn glance(&self, image: &ImageOwnership, party: Party, defaults: PolicyDefaults) -> Decision {
        if image.visibility != Visibility::Shared {
            return Decision::Refuse(match self.request {
                MemberRequest::List => Refusal::MembersNotListed,
                MemberRequest::Show => Refusal::ImageHasNoMembers,
                MemberRequest::Update(_) | MemberRequest::Create(_) | MemberRequest::Delete => Refusal::ImageNotShared,
            });
        }
        // an admin may do what follows, and a token without roles may be an admin's; an image without an owner is seen by
        // everybody (`glance/db/utils.py`), so that seeing it does not tell who is in the member list
        if self.identity.roles == Roles::Unknown || image.owner.is_none() {
            return Decision::Ask;
        }
        if defaults == PolicyDefaults::New && !self.identity.roles.has("reader") {
            return Decision::Ask;
        }
        match (self.request, party) {
            (MemberRequest::Create(member), Party::Owner) => self.create_as_owner(member, defaults),
            (MemberRequest::Delete, Party::Guest) if defaults == PolicyDefaults::New && !self.names_caller() => {
                Decision::Refuse(Refusal::MemberNotFound)
            }
            (MemberRequest::Create(_) | MemberRequest::Delete, Party::Guest) => {
                Decision::Refuse(not_the_owner(defaults))
            }
            // the caller sees a shared image it does not own: its project is in the member list
            (MemberRequest::List, Party::Owner | Party::Guest) => Decision::Permit,
            (MemberRequest::Show, Party::Guest) if self.names_caller() => Decision::Permit,
            (MemberRequest::Show, Party::Guest) => Decision::Refuse(Refusal::MemberNotFound),
            // neither who is no member nor who is one gets anything but 404
            (MemberRequest::Show, Party::Unproved) if !self.names_caller() => Decision::Refuse(Refusal::ImageNotFound),
            // only the member list tells whether there is such a member, and whether it is 403 or 404
            (
                MemberRequest::Update(_)
                | MemberRequest::Create(_)
                | MemberRequest::Delete
                | MemberRequest::List
                | MemberRequest::Show,
                _,
            ) => Decision::Ask,
        }
    }

    fn create_as_owner(&self, member: &RequestedMember, defaults: PolicyDefaults) -> Decision {
        if defaults == PolicyDefaults::New && !self.identity.roles.has("member") {
            return Decision::Refuse(Refusal::RoleForbidden);
        }
        match member {
            RequestedMember::Known(_) => Decision::Permit,
            RequestedMember::Unknown(_) => Decision::Ask,
        }
    }

    fn names_caller(&self) -> bool {
        self.project.as_str() == self.member
    }
}

/// Legacy policies check the owner before they ask the policy, which then lets everybody pass.
fn not_the_owner(defaults: PolicyDefaults) -> Refusal {
    match defaults {
        PolicyDefaults::New => Refusal::OwnerOnly,
        PolicyDefaults::Legacy => Refusal::NotTheOwner,
    }
}
