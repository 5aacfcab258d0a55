//! What an operator can set about rules.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::openstack::identity::ProjectId;
use crate::refusal::Refusal;
use crate::rules::decision_log;
use crate::rules::earned::EnforceAfter;
use crate::rules::setting::Mode;
use crate::rules::setting::Setting;
use crate::rules::setting::Share;

/// The key `enforcement` and the section `[rules]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What a rule is set to that has no setting of its own.
    pub default: Setting,
    /// The settings of single rules, by reason.
    pub settings: BTreeMap<&'static str, Setting>,
    /// The projects of `enforce listed`.
    pub projects: BTreeSet<ProjectId>,
    /// Whether the configuration holds the kill switch on.
    pub kill_switch: bool,
    /// While this file exists, the kill switch is on; empty for none.
    pub kill_switch_file: PathBuf,
    /// What a rule must show that is set to `earn`.
    pub enforce_after: EnforceAfter,
    /// How many of a hundred refusals of an earned rule are forwarded all the same, so that Glance goes on judging it.
    pub probe_percent: u8,
    /// Where earned enforcement survives a restart; empty for nowhere.
    pub state_file: PathBuf,
    /// How many decisions, and how many disagreements, are kept to look at.
    pub kept: usize,
    /// Whether Glance learns from the gate who asks (`upstream.identity = "forward"`).
    pub tells_identity: bool,
    /// `[decisions]`: which decisions are written down.
    pub log: decision_log::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default: Setting::Enforce(Share::All),
            settings: BTreeMap::new(),
            projects: BTreeSet::new(),
            kill_switch: false,
            kill_switch_file: "/etc/glance-gate/observe_all".into(),
            enforce_after: EnforceAfter::default(),
            probe_percent: 1,
            state_file: PathBuf::new(),
            kept: 500,
            tells_identity: false,
            log: decision_log::Config::default(),
        }
    }
}

impl Config {
    /// Returns what a rule is set to.
    pub fn setting(&self, refusal: Refusal) -> Setting {
        if self.is_fixed(refusal) {
            return Setting::Enforce(Share::All);
        }
        match self.settings.get(refusal.reason()).copied().unwrap_or(self.default) {
            // what protects the gate and its neighbours does not wait until the project is known
            Setting::Enforce(_) if !refusal.is_judgement() => Setting::Enforce(Share::All),
            setting => setting,
        }
    }

    /// Decides what becomes of one refused call of the project; whether the rule has earned its enforcement is only asked
    /// where it counts.
    pub fn mode(
        &self,
        refusal: Refusal,
        project: Option<&ProjectId>,
        kill_switch: bool,
        has_earned: impl FnOnce() -> bool,
    ) -> Mode {
        if !refusal.is_rule() || self.is_fixed(refusal) {
            return Mode::Enforce;
        }
        self.setting(refusal).mode(project, &self.projects, kill_switch, has_earned)
    }

    /// Tells whether the rule is enforced whatever it is set to. A Glance that takes the gate's word for who asks has none
    /// to go by where the gate does not know it: forwarded, a good call would be answered 401.
    pub fn is_fixed(&self, refusal: Refusal) -> bool {
        self.tells_identity && refusal.precedes_identity()
    }
}
