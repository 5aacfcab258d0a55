//! What an operator can set about rules.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::openstack::identity::ProjectId;
use crate::refusal::Refusal;
use crate::rules::decision_log;
use crate::rules::earned::EnforceAfter;
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
            log: decision_log::Config::default(),
        }
    }
}

impl Config {
    /// Returns what a rule is set to.
    pub fn setting(&self, refusal: Refusal) -> Setting {
        self.settings.get(refusal.reason()).copied().unwrap_or(self.default)
    }
}
