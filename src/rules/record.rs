//! One decision as it is kept, written and read again: all it rested on, no token and no body.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;

use crate::call::Account;
use crate::call::Verdict;
use crate::openstack::identity::Roles;
use crate::openstack::image::Seen;
use crate::openstack::member::RequestedStatus;
use crate::openstack::member_action::Action;
use crate::refusal::Refusal;
use crate::rules::config::Config;
use crate::rules::drift::Agreement;
use crate::rules::setting::Setting;
use crate::telemetry::millis;
use crate::telemetry::timestamp;

/// The version of the schema, `docs/DECISIONS.md`, of a decision on a member update.
pub const VERSION: u32 = 1;

/// The version of one on another call of the family, which has a field more.
pub const FAMILY_VERSION: u32 = 2;

/// The configuration that decides, as records name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedBy {
    /// Its digest.
    pub revision: String,
    /// `documented` or `glance`.
    pub profile: &'static str,
    /// `new` or `legacy`, in the profile `glance`.
    pub policy_defaults: Option<&'static str>,
    /// Whose token looks at images: `caller` or `service`.
    pub lookup_as: &'static str,
}

/// How the rule that said no was set.
#[derive(Clone, Copy, Debug)]
pub struct Stance {
    /// Its setting.
    pub setting: Option<Setting>,
    /// Whether the kill switch was on.
    pub kill_switch: bool,
}

/// A decision. Unknown fields are errors when it is read: they would be lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of the schema.
    pub version: u32,
    /// When the answer was given, RFC 3339.
    pub time: String,
    /// The id the request has in all services.
    pub request_id: String,
    /// A digest of the configuration that decided.
    pub revision: String,
    /// Which contract it kept: `documented` or `glance`.
    pub profile: String,
    /// Which default policies it took Glance to have: `new` or `legacy`; in the profile `glance` only.
    pub policy_defaults: Option<String>,
    /// `permitted`, `asked`, `refused`, `would_refuse` or `rule_off`.
    pub verdict: String,
    /// The rule that said no.
    pub rule: Option<String>,
    /// What the rule's refusal led to: `enforce`, `observe` or `off`.
    pub mode: Option<String>,
    /// What the rule was set to, in the configuration's words.
    pub setting: Option<String>,
    /// Whether the kill switch was on when the answer was given.
    pub kill_switch: bool,
    /// What the gate answers by that rule.
    pub would_answer: Option<u16>,
    /// What Glance answered, if it was asked.
    pub upstream_status: Option<u16>,
    /// Whether the two agree: `yes`, `no` or `unknown`.
    pub agree: Option<String>,
    /// What the client got.
    pub status: u16,
    /// The inside cause, for the operator.
    pub cause: Option<String>,
    /// What was decided on.
    pub inputs: Inputs,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

/// What a decision rested on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// What the call does with the members: `create`, `delete`, `list` or `show`; nothing for an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The method.
    pub method: String,
    /// The image of the path.
    pub image: Option<String>,
    /// The member of the path or, of a creation, of the body.
    pub member: Option<String>,
    /// The status the body asks for; `unknown` for any that is none of the three.
    pub member_status: Option<String>,
    /// What the headers said of the body: `json`, `other` or `encoded`.
    pub media: Option<String>,
    /// What the token is scoped to: `project`, `domain`, `system` or `unscoped`.
    pub scope: Option<String>,
    /// The caller's project.
    pub project: Option<String>,
    /// The caller.
    pub user: Option<String>,
    /// The caller's roles, if they are known.
    pub roles: Option<Vec<String>>,
    /// How long ago somebody vouched for the token, in milliseconds.
    pub token_age_ms: Option<u64>,
    /// Whose token looked at the image: `caller` or `service`; there with `seen` only.
    pub lookup_as: Option<String>,
    /// What the look-up of the image showed: `image`, `absent` or `impossible`.
    pub seen: Option<String>,
    /// The image's owner, if it has one and it was seen.
    pub owner: Option<String>,
    /// The image's visibility.
    pub visibility: Option<String>,
    /// How long ago Glance told that, in milliseconds.
    pub ownership_age_ms: Option<u64>,
}

impl Stance {
    /// Looks up how the rule is set, if the refusal is one.
    pub fn of(config: &Config, refusal: Option<Refusal>, kill_switch: bool) -> Self {
        let rule = refusal.filter(|refusal| refusal.is_rule());
        Self { setting: rule.map(|rule| config.setting(rule)), kill_switch }
    }
}

impl Record {
    /// Writes down what an account tells.
    pub fn of(
        account: &Account,
        (status, took): (u16, Duration),
        by: &DecidedBy,
        stance: Stance,
        agreement: Option<Agreement>,
    ) -> Self {
        let refusal = account.refusal;
        let inputs = Inputs::of(account, by.lookup_as);
        Self {
            version: if inputs.action.is_none() { VERSION } else { FAMILY_VERSION },
            time: timestamp::now(),
            request_id: account.request_id.to_string(),
            revision: by.revision.clone(),
            profile: by.profile.into(),
            policy_defaults: by.policy_defaults.map(Into::into),
            verdict: account.verdict.as_str().into(),
            rule: refusal.map(|refusal| refusal.reason().into()),
            mode: mode(account.verdict).map(Into::into),
            setting: stance.setting.map(|setting| setting.to_string()),
            kill_switch: stance.kill_switch,
            would_answer: refusal.map(|refusal| refusal.status().as_u16()),
            upstream_status: account.upstream_status.map(|status| status.as_u16()),
            agree: agreement.map(|agreement| agreement.as_str().into()),
            status,
            cause: account.cause.as_deref().map(Into::into),
            inputs,
            took_ms: millis::precise(took),
        }
    }

    /// Tells the operator of a disagreement, in words that can be searched for.
    pub fn tell_disagreement(&self) {
        tracing::warn!(
            request_id = self.request_id,
            rule = self.rule,
            verdict = self.verdict,
            would_answer = self.would_answer,
            upstream.status = self.upstream_status,
            project.id = self.inputs.project,
            image.id = self.inputs.image,
            token.age_ms = self.inputs.token_age_ms,
            ownership.age_ms = self.inputs.ownership_age_ms,
            "glance disagrees with the gate"
        );
    }
}

impl Inputs {
    /// Returns what the call does with the members; nothing for a word that this version does not know.
    pub fn action(&self) -> Option<Action> {
        self.action.as_deref().map_or(Some(Action::Update), Action::parse)
    }

    fn of(account: &Account, lookup_as: &str) -> Self {
        let identity = account.identity.as_deref();
        let (seen, image) = match &account.seen {
            None => (None, None),
            Some(Seen::Impossible) => (Some("impossible"), None),
            Some(Seen::Absent) => (Some("absent"), None),
            Some(Seen::Image(image)) => (Some("image"), Some(image)),
        };
        let action = account.action().filter(|action| *action != Action::Update);
        Self {
            action: action.map(|action| action.as_str().into()),
            method: account.method.as_str().into(),
            image: account.path.as_ref().map(|path| path.image().into()),
            member: account.member_id().map(Into::into),
            member_status: account.status.as_ref().map(|status| match status {
                RequestedStatus::Known(status) => status.as_str().into(),
                RequestedStatus::Unknown(_) => "unknown".into(),
            }),
            media: account.media.map(|media| media.as_str().into()),
            scope: identity.map(|identity| identity.scope.as_str().into()),
            project: account.project().map(ToString::to_string),
            user: account.user().map(ToString::to_string),
            roles: identity.and_then(|identity| match &identity.roles {
                Roles::Known(roles) => Some(roles.iter().map(ToString::to_string).collect()),
                Roles::Unknown => None,
            }),
            token_age_ms: account.token_age.map(millis::whole),
            lookup_as: seen.map(|_| lookup_as.into()),
            seen: seen.map(Into::into),
            owner: image.and_then(|image| image.owner.as_ref()).map(ToString::to_string),
            visibility: image.map(|image| image.visibility.to_string()),
            ownership_age_ms: account.ownership_age.map(millis::whole),
        }
    }
}

/// Returns what a rule's refusal led to.
fn mode(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Refused => Some("enforce"),
        Verdict::WouldRefuse => Some("observe"),
        Verdict::RuleOff => Some("off"),
        Verdict::PassedThrough | Verdict::Permitted | Verdict::Asked => None,
    }
}
