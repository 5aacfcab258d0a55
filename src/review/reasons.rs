//! Why the decision came out as it did, in plain words; and why Glance said something else.

use crate::glance::LookupAs;
use crate::member_update::decide::Decision;
use crate::member_update::decide::PolicyDefaults;
use crate::member_update::decide::Profile;
use crate::openstack::identity::Roles;
use crate::openstack::image::Seen;
use crate::openstack::member_action::Action;
use crate::refusal::Refusal;
use crate::review::anew::Contract;
use crate::review::anew::Gap;
use crate::review::anew::identity;
use crate::review::anew::say;
use crate::review::anew::seen;
use crate::review::table::seconds;
use crate::rules::record::Inputs;
use crate::rules::record::Record;

/// Returns the contract that a record was decided under.
pub fn contract_of(record: &Record) -> Contract {
    let profile = match (record.profile.as_str(), record.policy_defaults.as_deref()) {
        ("glance", Some("legacy")) => Profile::Glance(PolicyDefaults::Legacy),
        ("glance", _) => Profile::Glance(PolicyDefaults::New),
        _ => Profile::Documented,
    };
    Contract::without_files(profile, looked_as(&record.inputs))
}

fn looked_as(inputs: &Inputs) -> LookupAs {
    match inputs.lookup_as.as_deref() {
        Some("service") => LookupAs::Service,
        _ => LookupAs::Caller,
    }
}

/// Says why the decision is "no".
pub fn why_refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::StatusUnknown => "the status is none of pending, accepted and rejected",
        Refusal::ImageNotFound => "there is no such image for this caller",
        Refusal::ImageNotShared | Refusal::MembersNotListed | Refusal::ImageHasNoMembers => {
            "the image is not shared, so it has no members"
        }
        Refusal::OwnerForbidden => "the caller's project owns the image, and the owner may not answer for a member",
        Refusal::NotTheOwner | Refusal::OwnerOnly => {
            "the caller's project does not own the image, and only the owner shares it"
        }
        Refusal::NotTheMember | Refusal::MemberNotFound => "the caller's project is not the member that the path names",
        Refusal::RoleForbidden => "the caller has no role member in its project",
        _ => "see the runbook",
    }
}

/// Says why nothing speaks against the call.
pub fn why_permitted(record: &Record) -> &'static str {
    match record.inputs.action() {
        Some(Action::Create) => "yes: the caller's project owns the image, and the image is shared",
        Some(Action::List) => "yes: the caller's project owns the image, or the image is shared with it",
        Some(Action::Update | Action::Delete | Action::Show) | None => {
            "yes: the caller's project is the member, and the image is shared with it"
        }
    }
}

/// Says why only Glance can tell.
pub fn why_asked(record: &Record) -> &'static str {
    let inputs = &record.inputs;
    let Ok(identity) = identity(inputs) else { return "only Glance can tell" };
    if identity.project().is_none() {
        return "the token is not scoped to a project: only Glance can tell";
    }
    if identity.roles.has("admin") {
        return "the caller has the role admin: only Glance can tell";
    }
    if identity.roles == Roles::Unknown {
        return "the caller's roles are not known: only Glance can tell";
    }
    let contract = contract_of(record);
    match (contract.profile, seen(inputs)) {
        (_, Ok(Seen::Image(image)))
            if image.owner.as_ref() == identity.project()
                && matches!(inputs.action(), Some(Action::Delete | Action::Show)) =>
        {
            "the owner asks: whether there is such a member only Glance knows"
        }
        (Profile::Documented, Ok(Seen::Image(_))) => {
            "the contract says nothing of an image like this, or of a caller without the role member: Glance is asked"
        }
        (Profile::Glance(_), Ok(Seen::Image(image))) if image.owner.is_none() => {
            "the image has no owner, and seeing it proves nothing: Glance is asked"
        }
        (Profile::Glance(PolicyDefaults::New), Ok(Seen::Image(image)))
            if image.owner.as_ref() == identity.project() =>
        {
            "the owner asks: with new policies the member list decides, which only Glance has"
        }
        (Profile::Glance(PolicyDefaults::New), _) if !identity.roles.has("reader") => {
            "the caller has no role reader, without which nobody sees an image: Glance is asked"
        }
        (Profile::Glance(_), _) if contract.lookup_as == LookupAs::Service => {
            "the gate's own token does not show whether the caller is in the member list: Glance is asked"
        }
        (Profile::Documented | Profile::Glance(_), _) => "only Glance can tell",
    }
}

/// What a Glance with these default policies would say, as far as the gate can tell.
///
/// # Errors
/// Tells what the record lacks.
pub fn forecast(record: &Record, defaults: PolicyDefaults) -> Result<Decision, Gap> {
    say(record, &Contract::without_files(Profile::Glance(defaults), looked_as(&record.inputs)))
}

/// Says in a line what a decision is to the client.
pub fn in_words(said: Result<Decision, Gap>) -> String {
    match said {
        Ok(Decision::Permit) => "200, it lets the call pass".into(),
        Ok(Decision::Ask) => "not to be told from what the gate knows".into(),
        Ok(Decision::Refuse(refusal)) => format!("{} {}", refusal.status().as_u16(), refusal.reason()),
        Err(gap) => format!("not to be told: {}", gap.as_str()),
    }
}

fn status_of(said: Result<Decision, Gap>) -> Option<u16> {
    match said {
        Ok(Decision::Permit) => Some(200),
        Ok(Decision::Refuse(refusal)) => Some(refusal.status().as_u16()),
        Ok(Decision::Ask) | Err(_) => None,
    }
}

/// Says what may be behind it that Glance answered otherwise; nothing if it did not.
pub fn why_different(record: &Record) -> Vec<String> {
    let (Some("no"), Some(glance)) = (record.agree.as_deref(), record.upstream_status) else { return Vec::new() };
    let mut reasons = Vec::new();
    let own = contract_of(record).profile;
    for defaults in [PolicyDefaults::New, PolicyDefaults::Legacy] {
        if Profile::Glance(defaults) != own && status_of(forecast(record, defaults)) == Some(glance) {
            reasons.push(format!(
                "This Glance answered as one with {} default policies does. The gate would have said so with profile = \
                 \"glance\" and policy_defaults = \"{}\"; it runs with {}.",
                defaults.as_str(),
                defaults.as_str(),
                profile_words(own)
            ));
        }
    }
    if matches!(record.rule.as_deref(), Some("media_type_unsupported" | "content_encoding_unsupported")) {
        reasons.push("Glance does not look at the media type of a member update; the documented contract does.".into());
    }
    if let Some(age) = record.inputs.ownership_age_ms {
        reasons.push(format!(
            "What the gate knew of the image was {} old; a change that did not pass through this gate is not in it \
             (ownership.cache_time).",
            seconds(age)
        ));
    }
    if let Some(age) = record.inputs.token_age_ms {
        reasons.push(format!(
            "What the gate knew of the token was {} old; roles that changed since, or a token that was revoked, are not \
             in it (keystone_authtoken.token_cache_time).",
            seconds(age)
        ));
    }
    reasons.push(
        "Glance's policy files may say something else than its defaults. Its log has the same request id.".into(),
    );
    reasons
}

fn profile_words(profile: Profile) -> String {
    match profile {
        Profile::Documented => "profile = \"documented\"".into(),
        Profile::Glance(defaults) => format!("policy_defaults = \"{}\"", defaults.as_str()),
    }
}
