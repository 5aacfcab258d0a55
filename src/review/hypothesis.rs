//! A call that nobody made: what would become of it.

use crate::call::Verdict;
use crate::glance::LookupAs;
use crate::member_update::decide::decide_by_identity;
use crate::openstack::identity::ProjectId;
use crate::openstack::image::Visibility;
use crate::openstack::member::MemberStatus;
use crate::openstack::member::RequestedStatus;
use crate::openstack::member_action::Action;
use crate::openstack::target::is_member_id;
use crate::review::anew::Contract;
use crate::review::anew::Gap;
use crate::review::anew::identity;
use crate::review::plan::Outcome;
use crate::review::plan::Plan;
use crate::rules::record::DecidedBy;
use crate::rules::record::FAMILY_VERSION;
use crate::rules::record::Inputs;
use crate::rules::record::Record;
use crate::rules::record::VERSION;

/// Who asks for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hypothesis {
    /// What the call does with the members; nothing said is an update.
    pub action: Option<Action>,
    /// The caller's project; none for a token of a domain or the system.
    pub project: Option<String>,
    /// `project`, `domain`, `system` or `unscoped`.
    pub scope: String,
    /// The caller's roles; none if they are not known.
    pub roles: Option<Vec<String>>,
    /// The image of the path.
    pub image: Option<String>,
    /// The member of the path or, of a creation, of the body; empty where all are meant.
    pub member: String,
    /// The status that an update asks for.
    pub status: String,
    /// What a look at the image shows.
    pub look: Look,
}

/// What a look at the image shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Look {
    /// Nobody looks: the call is decided without.
    #[default]
    None,
    /// No such image.
    Absent,
    /// No image can have the id.
    Impossible,
    /// This one.
    Image {
        /// Its owner, if it has one.
        owner: Option<String>,
        /// Its visibility.
        visibility: String,
        /// How long ago Glance told it, in milliseconds.
        age_ms: Option<u64>,
    },
}

impl Hypothesis {
    /// Checks that all words are known.
    ///
    /// # Errors
    /// Tells what is missing, or is no word of Glance's.
    pub fn check(&self) -> Result<(), String> {
        match (self.scope.as_str(), &self.project) {
            ("project", None) => return Err("the caller's project is missing".into()),
            ("project", Some(_)) | ("domain" | "system" | "unscoped", None) => {}
            ("domain" | "system" | "unscoped", Some(_)) => {
                return Err("a token that is not scoped to a project names none".into());
            }
            (other, _) => return Err(format!("{other} is no scope: project, domain, system or unscoped")),
        }
        match self.action() {
            Action::Update if self.member.is_empty() || self.status.is_empty() => {
                return Err("the member and the status of the call are needed".into());
            }
            Action::Create | Action::Delete | Action::Show if self.member.is_empty() => {
                return Err("the member of the call is needed".into());
            }
            Action::List if !self.member.is_empty() => return Err("a list names no member".into()),
            Action::Create | Action::Delete | Action::List | Action::Show if !self.status.is_empty() => {
                return Err("only an update asks for a status".into());
            }
            Action::Update | Action::Create | Action::Delete | Action::List | Action::Show => {}
        }
        match &self.look {
            Look::Image { visibility, .. } if Visibility::parse(visibility).is_none() => {
                Err(format!("{visibility} is no visibility: public, community, shared or private"))
            }
            Look::Image { .. } | Look::None | Look::Absent | Look::Impossible => Ok(()),
        }
    }

    /// Returns what the call does with the members.
    pub fn action(&self) -> Action {
        self.action.unwrap_or(Action::Update)
    }

    /// Tells whether the image must be looked at: only callers of a project who are no administrators are decided here.
    pub fn needs_look(&self, contract: &Contract) -> bool {
        let status = RequestedStatus::Known(MemberStatus::Accepted);
        identity(&self.inputs(contract.lookup_as.as_str()))
            .is_ok_and(|identity| decide_by_identity(contract.profile, &contract.policy, &identity, &status).is_none())
    }

    /// Decides what would become of the call.
    ///
    /// # Errors
    /// Tells what must be known of the call besides.
    pub fn decide(&self, plan: &Plan, by: &DecidedBy) -> Result<Record, Gap> {
        let mut record = self.record(by);
        record.kill_switch = plan.kill_switch;
        if self.is_hidden(plan) {
            record.inputs.seen = Some("absent".into());
            (record.inputs.owner, record.inputs.visibility) = (None, None);
        }
        let outcome = plan.outcome(&record)?;
        record.verdict = verdict(outcome).as_str().into();
        if let Some(refusal) = outcome.rule() {
            let project = self.project.as_deref().map(ProjectId::new);
            record.rule = Some(refusal.reason().into());
            record.would_answer = Some(refusal.status().as_u16());
            record.setting = refusal.is_rule().then(|| plan.rules.setting(refusal).to_string());
            record.mode = Some(plan.mode(refusal, project.as_ref()).as_str().into());
        }
        Ok(record)
    }

    /// Tells whether the caller can not see the image whatever it is: a private one is shown to its owner alone.
    fn is_hidden(&self, plan: &Plan) -> bool {
        match &self.look {
            Look::Image { owner, visibility, .. } => {
                plan.contract.lookup_as == LookupAs::Caller
                    && visibility == "private"
                    && owner.is_some()
                    && *owner != self.project
            }
            Look::None | Look::Absent | Look::Impossible => false,
        }
    }

    fn record(&self, by: &DecidedBy) -> Record {
        Record {
            version: if self.action() == Action::Update { VERSION } else { FAMILY_VERSION },
            time: String::new(),
            request_id: String::new(),
            revision: by.revision.clone(),
            profile: by.profile.into(),
            policy_defaults: by.policy_defaults.map(Into::into),
            verdict: String::new(),
            rule: None,
            mode: None,
            setting: None,
            kill_switch: false,
            would_answer: None,
            upstream_status: None,
            agree: None,
            status: 0,
            cause: None,
            inputs: self.inputs(by.lookup_as),
            took_ms: 0.0,
        }
    }

    fn inputs(&self, lookup_as: &str) -> Inputs {
        let (seen, owner, visibility, ownership_age_ms) = match &self.look {
            Look::None => (None, None, None, None),
            Look::Absent => (Some("absent"), None, None, None),
            Look::Impossible => (Some("impossible"), None, None, None),
            Look::Image { owner, visibility, age_ms } => {
                (Some("image"), owner.clone(), Some(visibility.clone()), *age_ms)
            }
        };
        let known = MemberStatus::parse(&self.status).map_or("unknown", MemberStatus::as_str);
        let action = self.action();
        let is_update = action == Action::Update;
        let is_named = is_update || (action != Action::List && is_member_id(&self.member));
        Inputs {
            action: (!is_update).then(|| action.as_str().into()),
            method: action.method().as_str().into(),
            image: self.image.clone(),
            member: is_named.then(|| self.member.clone()),
            member_status: is_update.then(|| known.into()),
            media: action.has_body().then(|| "json".into()),
            scope: Some(self.scope.clone()),
            project: self.project.clone(),
            user: None,
            roles: self.roles.clone(),
            token_age_ms: None,
            lookup_as: seen.map(|_| lookup_as.into()),
            seen: seen.map(Into::into),
            owner,
            visibility,
            ownership_age_ms,
        }
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Permitted => Verdict::Permitted,
        Outcome::Asked => Verdict::Asked,
        Outcome::Refused(_) => Verdict::Refused,
        Outcome::Observed(_) => Verdict::WouldRefuse,
        Outcome::Off(_) => Verdict::RuleOff,
    }
}
