//! What the policies of the Glance behind the gate say: its defaults, and what its operator's files put in their place.
//!
//! What a rule needs and the gate does not know, such as a property of the image, makes its outcome unknown.

pub mod defaults;
pub mod target;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::glance::policy::defaults::DEFAULT_RULE;
use crate::glance::policy::defaults::defaults;
use crate::glance::policy::target::AdminTarget;
use crate::glance::policy::target::Caller;
use crate::glance::policy::target::ImageTarget;
use crate::oslo_policy::check::Check;
use crate::oslo_policy::evaluate::Named;
use crate::oslo_policy::evaluate::Outcome;
use crate::oslo_policy::evaluate::Question;
use crate::oslo_policy::files::Notice;
use crate::oslo_policy::files::Places;
use crate::oslo_policy::files::Stamps;
use crate::oslo_policy::rules::OldDefaults;
use crate::oslo_policy::rules::Rules;
use crate::oslo_policy::template::Attributes;
use crate::oslo_policy::value::Value;

/// The section `[policy]`, with what its files say.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the operator keeps rules; nowhere if there are only defaults.
    pub places: Places,
    /// Whether a rule is for the scopes that Glance registers it for only.
    pub scopes: Scopes,
    /// How often the files are looked at.
    pub check_interval: Duration,
    /// What they said when they were read last, beside new defaults.
    pub new: Policy,
    /// The same beside the defaults of old releases.
    pub legacy: Policy,
    /// What is worth a look in them.
    pub notices: Vec<Notice>,
    /// When they had been changed, at the latest, when they were read.
    pub stamps: Stamps,
}

/// Whether the scope of a token counts (`[oslo_policy] enforce_scope` of older releases).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scopes {
    /// A rule fails for a token of another scope.
    Enforced,
    /// Any scope will do.
    Ignored,
}

/// All rules; cloning shares them.
#[derive(Clone, PartialEq)]
pub struct Policy {
    rules: Arc<Rules>,
    scopes: Scopes,
    /// Whether the operator has put rules in the place of defaults.
    is_written: bool,
    /// Whether a rule compares roles letter by letter, as Keystone writes them. Glance drops their case, but not before it
    /// has asked who is an administrator; the gate has dropped it by then.
    compares_roles: bool,
}

/// What is done with an image, by the name of its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See the image.
    GetImage,
    /// See a member.
    GetMember,
    /// Set a member's status.
    ModifyMember,
}

impl Action {
    /// Returns the name of the rule.
    pub fn rule(self) -> &'static str {
        match self {
            Self::GetImage => "get_image",
            Self::GetMember => "get_member",
            Self::ModifyMember => "modify_member",
        }
    }
}

impl Policy {
    /// Returns Glance's own defaults.
    pub fn built_in(old: OldDefaults) -> Self {
        let rules = Rules::new([].into(), DEFAULT_RULE).with_defaults(&defaults(), old);
        Self::of(rules, Scopes::Enforced, false)
    }

    /// Reads what files say in the place of the defaults, and what is worth a look.
    ///
    /// # Errors
    /// Tells all that is wrong with the files. Rules that lead back to themselves are wrong: Glance would answer 500.
    pub fn read(places: &Places, old: OldDefaults, scopes: Scopes) -> Result<(Self, Vec<Notice>), Vec<Notice>> {
        let written = places.read()?;
        let mut notices = written.notices;
        let is_written = !written.checks.is_empty();
        let rules = Rules::new(written.checks, DEFAULT_RULE).with_defaults(&defaults(), old);
        let defects = rules.defects();
        let about = |what: String| Notice { file: places.file.clone(), line: None, what };
        let cyclic: Vec<Notice> =
            defects.cyclic.iter().map(|name| about(format!("\"{name}\" leads back to itself"))).collect();
        if !cyclic.is_empty() {
            return Err(cyclic);
        }
        for name in defects.undefined {
            notices.push(about(format!("\"{name}\" names a rule that there is not: such a check allows nobody")));
        }
        for name in defects.remote {
            notices.push(about(format!("\"{name}\" asks another server, which the gate leaves to Glance")));
        }
        Ok((Self::of(rules, scopes, is_written), notices))
    }

    fn of(rules: Rules, scopes: Scopes, is_written: bool) -> Self {
        let mut compares_roles = false;
        for (_, check) in rules.iter() {
            check.walk(&mut |check| compares_roles |= matches!(check, Check::Generic(leaf) if leaf.kind == "roles"));
        }
        Self { rules: Arc::new(rules), scopes, is_written, compares_roles }
    }

    /// Returns the rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Tells whether the operator has put rules in the place of Glance's defaults.
    pub fn is_written(&self) -> bool {
        self.is_written
    }

    /// Tells whether Glance takes the caller for an administrator.
    pub fn is_admin(&self, caller: &Caller) -> Outcome {
        if self.compares_roles {
            return Outcome::Unknown;
        }
        self.ask("context_is_admin", &AdminTarget(caller), caller)
    }

    /// Tells whether a rule allows what the caller does with an image.
    pub fn allows(&self, action: Action, caller: &Caller, image: &ImageTarget) -> Outcome {
        self.ask(action.rule(), image, caller)
    }

    /// Tells whether the caller may see each image that the database shows to it: then one that is not shown is not
    /// there for it.
    pub fn shows_all(&self, caller: &Caller) -> Outcome {
        let image = |owner: &Value, visibility, member: &Value| ImageTarget {
            owner: owner.clone(),
            visibility: Value::Str(visibility),
            member: member.clone(),
        };
        let (unknown, own) = (&Value::Unknown, &caller.project);
        let images = [
            image(unknown, "public".into(), &Value::None),
            image(unknown, "community".into(), &Value::None),
            image(unknown, "shared".into(), own),
            image(own, "shared".into(), &Value::None),
            image(own, "private".into(), &Value::None),
        ];
        let outcomes = images.map(|image| self.allows(Action::GetImage, caller, &image));
        let not_passed = outcomes.into_iter().find(|outcome| *outcome != Outcome::Passed);
        not_passed.unwrap_or(Outcome::Passed)
    }

    fn ask(&self, name: &str, target: &dyn Attributes, credentials: &dyn Attributes) -> Outcome {
        if self.scopes == Scopes::Enforced {
            match self.rules.allows_scope(name, credentials) {
                Some(true) => {}
                Some(false) => return Outcome::Failed,
                None => return Outcome::Unknown,
            }
        }
        let question = Question { rules: &*self.rules, target, credentials };
        self.rules.named(name).map_or(Outcome::Failed, |check| question.evaluate(check))
    }
}

impl Config {
    /// Reads the files of `places`, or takes the defaults alone if there are none.
    ///
    /// # Errors
    /// As [`Policy::read`].
    pub fn read(places: Places, scopes: Scopes) -> Result<Self, Vec<Notice>> {
        // before they are read: a change in between is then noticed
        let stamps = places.stamps();
        let (new, notices) = Policy::read(&places, OldDefaults::Gone, scopes)?;
        let (legacy, _) = Policy::read(&places, OldDefaults::Also, scopes)?;
        let check_interval = Self::default().check_interval;
        Ok(Self { places, scopes, check_interval, new, legacy, notices, stamps })
    }

    /// Returns the rules beside these defaults.
    pub fn policy(&self, old: OldDefaults) -> &Policy {
        match old {
            OldDefaults::Gone => &self.new,
            OldDefaults::Also => &self.legacy,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            places: Places::default(),
            scopes: Scopes::Enforced,
            check_interval: Duration::from_secs(5),
            new: Policy::built_in(OldDefaults::Gone),
            legacy: Policy::built_in(OldDefaults::Also),
            notices: Vec::new(),
            stamps: Stamps::default(),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the revision of the configuration is made of this: all rules are in it
        let rules: Vec<String> = self.rules.iter().map(|(name, check)| format!("{name}: {check}")).collect();
        out.debug_struct("Policy").field("rules", &rules).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}
