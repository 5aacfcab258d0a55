//! Decides a recorded call anew, from its recorded inputs alone.

use std::time::SystemTime;

use crate::glance::LookupAs;
use crate::glance::policy::Policy;
use crate::member_update::decide::Decision;
use crate::member_update::decide::PolicyDefaults;
use crate::member_update::decide::Profile;
use crate::member_update::family::Question;
use crate::member_update::family::decide;
use crate::member_update::family::decide_by_identity;
use crate::openstack::identity::Identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::identity::Roles;
use crate::openstack::identity::Scope;
use crate::openstack::identity::UserId;
use crate::openstack::image::ImageOwnership;
use crate::openstack::image::Seen;
use crate::openstack::image::Visibility;
use crate::openstack::member::Media;
use crate::openstack::member::MemberStatus;
use crate::openstack::member::RequestedStatus;
use crate::openstack::member_action::Action;
use crate::openstack::member_request::MemberRequest;
use crate::openstack::member_request::RequestedMember;
use crate::refusal::Refusal;
use crate::review::stage::Stage;
use crate::rules::record::Inputs;
use crate::rules::record::Record;

/// What a decision is made by.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    /// Which contract is kept.
    pub profile: Profile,
    /// What Glance's policies say.
    pub policy: Policy,
    /// Whose token looks at images.
    pub lookup_as: LookupAs,
}

/// Why a recorded call can not be decided anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// It was refused for its headers, so that nobody read what it asked for.
    Body,
    /// Nobody looked at the image.
    Ownership,
    /// The image was seen with the caller's eyes, and the gate's may see more, or the other way round.
    Eyes,
    /// The token was not verified.
    Identity,
    /// The record has a word or a rule that this version does not know.
    Word,
}

impl Contract {
    /// Returns the contract of a Glance with no policy files.
    pub fn without_files(profile: Profile, lookup_as: LookupAs) -> Self {
        let defaults = profile.policy_defaults().unwrap_or(PolicyDefaults::New);
        Self { profile, policy: Policy::built_in(defaults.old_defaults()), lookup_as }
    }
}

impl Gap {
    /// Tells the operator.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Body => "the body was not read, because its headers were refused",
            Self::Ownership => "nobody looked who owns the image",
            Self::Eyes => "ownership.lookup_as differs, and the other token may see another image",
            Self::Identity => "the token was not verified",
            Self::Word => "the record has a word or a rule that this version does not know",
        }
    }
}

/// Says what the gate would say to a recorded call under the contract. What was refused before the decision, such as a
/// token or a body, would be refused again.
///
/// # Errors
/// Tells what the record lacks.
pub fn say(record: &Record, contract: &Contract) -> Result<Decision, Gap> {
    let inputs = &record.inputs;
    let media = inputs.media.as_deref().map(media).transpose()?;
    if let Some(Err(refusal)) = media.map(|media| contract.profile.check_media(media)) {
        return Ok(Decision::Refuse(refusal));
    }
    let refusal = record.rule.as_deref().map(|rule| Refusal::parse(rule).ok_or(Gap::Word)).transpose()?;
    match refusal {
        Some(Refusal::MediaTypeUnsupported | Refusal::ContentEncodingUnsupported) => Err(Gap::Body),
        // it was read, and another contract may take it
        Some(refusal) if !is_decided(refusal) && refusal != Refusal::MemberUnfit => Ok(Decision::Refuse(refusal)),
        Some(_) | None => decide_anew(inputs, contract),
    }
}

/// Tells whether the refusal comes out of the decision itself, and not out of what it was made of.
pub fn is_decided(refusal: Refusal) -> bool {
    Stage::of(refusal, None) == Stage::Decision
}

fn decide_anew(inputs: &Inputs, contract: &Contract) -> Result<Decision, Gap> {
    let identity = identity(inputs)?;
    let request = request(inputs)?;
    if let MemberRequest::Create(member) = &request
        && let Err(refusal) = contract.profile.check_member(member)
    {
        return Ok(Decision::Refuse(refusal));
    }
    if let Some(decision) = decide_by_identity(contract.profile, &contract.policy, &identity, &request) {
        return Ok(decision);
    }
    let project = identity.project().ok_or(Gap::Identity)?;
    let seen = seen_by(contract.lookup_as, inputs, project)?;
    Ok(decide(Question {
        profile: contract.profile,
        policy: &contract.policy,
        lookup_as: contract.lookup_as,
        identity: &identity,
        project,
        seen: &seen,
        member: inputs.member.as_deref().unwrap_or_default(),
        request: &request,
    }))
}

/// Reads back what the call asked for.
fn request(inputs: &Inputs) -> Result<MemberRequest, Gap> {
    match inputs.action().ok_or(Gap::Word)? {
        Action::Update if inputs.member.is_none() => Err(Gap::Word),
        Action::Update => status(inputs).map(MemberRequest::Update),
        Action::Create => Ok(MemberRequest::Create(match &inputs.member {
            Some(id) => RequestedMember::Known(id.as_str().into()),
            // which one it was makes no difference
            None => RequestedMember::Unknown("null".into()),
        })),
        Action::Delete => Ok(MemberRequest::Delete),
        Action::List => Ok(MemberRequest::List),
        Action::Show => Ok(MemberRequest::Show),
    }
}

/// Reads back what the token proved, as far as it counts.
///
/// # Errors
/// `Identity` if it was not verified, `Word` if the scope is not known.
pub fn identity(inputs: &Inputs) -> Result<Identity, Gap> {
    let scope = match (inputs.scope.as_deref().ok_or(Gap::Identity)?, &inputs.project) {
        ("project", Some(project)) => Scope::Project(ProjectId::new(project)),
        ("domain", _) => Scope::Domain("".into()),
        ("system", _) => Scope::System,
        ("unscoped", _) => Scope::Unscoped,
        _ => return Err(Gap::Word),
    };
    Ok(Identity {
        user: UserId::new(inputs.user.as_deref().unwrap_or_default()),
        scope,
        roles: inputs.roles.as_ref().map_or(Roles::Unknown, |roles| Roles::known(roles.iter().map(String::as_str))),
        expires_at: SystemTime::UNIX_EPOCH,
        access_rules: [].into(),
        audit_ids: [].into(),
    })
}

fn media(word: &str) -> Result<Media, Gap> {
    [Media::Json, Media::Other, Media::Encoded].into_iter().find(|media| media.as_str() == word).ok_or(Gap::Word)
}

fn status(inputs: &Inputs) -> Result<RequestedStatus, Gap> {
    match inputs.member_status.as_deref() {
        None => Err(Gap::Body),
        // which one it was makes no difference
        Some("unknown") => Ok(RequestedStatus::Unknown("null".into())),
        Some(word) => MemberStatus::parse(word).map(RequestedStatus::Known).ok_or(Gap::Word),
    }
}

/// Reads back what the look showed.
///
/// # Errors
/// `Ownership` if nobody looked, `Word` for what this version does not know.
pub fn seen(inputs: &Inputs) -> Result<Seen, Gap> {
    match inputs.seen.as_deref().ok_or(Gap::Ownership)? {
        "impossible" => Ok(Seen::Impossible),
        "absent" => Ok(Seen::Absent),
        "image" => Ok(Seen::Image(ImageOwnership {
            owner: inputs.owner.as_deref().map(ProjectId::new),
            visibility: inputs.visibility.as_deref().and_then(Visibility::parse).ok_or(Gap::Word)?,
        })),
        _ => Err(Gap::Word),
    }
}

/// Tells what these eyes would have seen.
fn seen_by(lookup_as: LookupAs, inputs: &Inputs, project: &ProjectId) -> Result<Seen, Gap> {
    let seen = seen(inputs)?;
    let recorded = inputs.lookup_as.as_deref().ok_or(Gap::Ownership)?;
    if recorded == lookup_as.as_str() {
        return Ok(seen);
    }
    match (recorded, seen) {
        (_, Seen::Impossible) => Ok(Seen::Impossible),
        // an admin sees what anybody sees, and more
        ("caller", Seen::Image(image)) => Ok(Seen::Image(image)),
        ("service", Seen::Absent) => Ok(Seen::Absent),
        ("service", Seen::Image(image)) => match image.visibility {
            _ if image.owner.is_none() || image.owner.as_ref() == Some(project) => Ok(Seen::Image(image)),
            Visibility::Public | Visibility::Community => Ok(Seen::Image(image)),
            Visibility::Private => Ok(Seen::Absent),
            // who is in its member list is not recorded
            Visibility::Shared => Err(Gap::Eyes),
        },
        ("caller", Seen::Absent) => Err(Gap::Eyes),
        _ => Err(Gap::Word),
    }
}
