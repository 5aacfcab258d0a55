//! How the rules stand now, for those who look at them.

use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::rules::earned::Standing;
use crate::rules::setting::Setting;
use crate::rules::setting::Share;

/// How a rule stands, for operators.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// The rule.
    pub refusal: Refusal,
    /// What it is set to.
    pub setting: Setting,
    /// What that means now: the kill switch and what was earned are in it.
    pub mode: &'static str,
    /// How its watch stands, if it earns its enforcement.
    pub standing: Option<Standing>,
}

impl Rules {
    /// Returns how every rule stands.
    pub fn overview(&self) -> impl Iterator<Item = Overview> {
        Refusal::rules().map(|refusal| {
            let setting = self.shared.config.setting(refusal);
            let standing = (setting == Setting::Earn).then(|| self.shared.learned.earned.standing(refusal)).flatten();
            Overview { refusal, setting, mode: self.mode_in_general(refusal), standing }
        })
    }

    /// Returns what a rule does with most refusals: the kill switch and what was earned are in it.
    pub(super) fn mode_in_general(&self, refusal: Refusal) -> &'static str {
        match self.shared.config.setting(refusal) {
            _ if self.shared.config.is_fixed(refusal) => "enforce",
            Setting::Off => "off",
            _ if self.shared.learned.switch.is_on() => "observe",
            Setting::Enforce(Share::All) => "enforce",
            Setting::Enforce(Share::Percent(_) | Share::Listed) => "enforce_part",
            Setting::Earn if self.shared.learned.earned.is_enforced(refusal) => "enforce",
            Setting::Observe | Setting::Earn => "observe",
        }
    }
}
