//! The key `enforcement` and the section `[rules]`: which refusals are acted on.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::DeValue;

use crate::config::decisions_section;
use crate::config::reader::Book;
use crate::config::reader::Section;
use crate::config::settings::quoted;
use crate::config::value::Raw;
use crate::config::value::Value;
use crate::openstack::identity::ProjectId;
use crate::refusal::Refusal;
use crate::rules::config::Config;
use crate::rules::decision_log::Destination;
use crate::rules::earned::EnforceAfter;
use crate::rules::setting::Setting;
use crate::rules::setting::Share;

/// How many decisions may be kept, about 1 KiB each.
const MAX_KEPT: usize = 100_000;

/// What a rule of its own is set to.
#[derive(Clone, Copy)]
enum Own {
    /// What all are.
    Default,
    /// This.
    Set(Setting),
}

/// Reads how the rules are set.
pub fn read(book: &mut Book<'_>) -> Config {
    let default = Config::default();
    let setting = book.section("").get("enforcement", default.default);
    let log = decisions_section::read(&mut book.section("decisions"));
    let mut section = book.section("rules");
    let mut settings = BTreeMap::new();
    for refusal in Refusal::rules() {
        let Own::Set(setting) = section.get(refusal.reason(), Own::Default) else { continue };
        if setting == Setting::Earn && !refusal.is_judgement() {
            let what = "Glance can not judge it, so that it would never be enforced";
            section.mistake(refusal.reason(), what, "enforce, observe or off");
        }
        settings.insert(refusal.reason(), setting);
    }
    let projects: Vec<String> = section.get("projects", Vec::new());
    let words = [("off", false), ("on", true)];
    let config = Config {
        default: setting,
        settings,
        projects: projects.iter().map(|project| ProjectId::new(project)).collect(),
        kill_switch: section.choose("kill_switch", default.kill_switch, &words),
        kill_switch_file: section.get("kill_switch_file", default.kill_switch_file),
        enforce_after: section.get("enforce_after", default.enforce_after),
        probe_percent: section.get("probe_percent", u64::from(default.probe_percent)).try_into().unwrap_or(u8::MAX),
        state_file: section.get("state_file", default.state_file),
        kept: section.get("kept", default.kept),
        tells_identity: default.tells_identity,
        log,
    };
    if config.probe_percent > 100 {
        section.mistake("probe_percent", "more than all", "0 to 100");
    }
    if !config.state_file.as_os_str().is_empty()
        && config.log.destination == Destination::File(config.state_file.clone())
    {
        section.mistake("state_file", "[decisions] file is the same, and one would destroy the other", "another file");
    }
    if config.kept > MAX_KEPT {
        section.mistake("kept", "more than can be looked through while requests wait", "100000 at most");
    }
    if config.enforce_after.samples == 0 {
        section.mistake("enforce_after", "a rule would be enforced without any sample", "samples = 1 at least");
    }
    let is_listed = |setting: &Setting| *setting == Setting::Enforce(Share::Listed);
    if config.projects.is_empty() && (is_listed(&config.default) || config.settings.values().any(is_listed)) {
        section.mistake("projects", "a rule is enforced for those listed here, and none is", "list project ids");
    }
    config
}

/// Tells which settings would do harm where Glance learns from the gate who asks.
pub fn check_fixed(config: &Config, section: &mut Section<'_, '_>) {
    for refusal in Refusal::rules().filter(|refusal| refusal.precedes_identity()) {
        let setting = config.settings.get(refusal.reason());
        if setting.is_some_and(|setting| *setting != Setting::Enforce(Share::All)) {
            let what =
                "with upstream.identity = \"forward\" it is always enforced: forwarded, the call would be answered 401";
            section.mistake(refusal.reason(), what, "leave it out");
        }
    }
}

impl Value for Setting {
    const EXPECTED: &'static str =
        "one of: enforce, enforce 10% (of projects), enforce listed (in [rules] projects), observe, off, earn";

    fn read(raw: Raw<'_>) -> Option<Self> {
        Self::parse(&String::read(raw)?)
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for Own {
    const EXPECTED: &'static str = "default, or one of: enforce, enforce 10% (of projects), enforce listed (in [rules] \
                                    projects), observe, off, earn";

    fn read(raw: Raw<'_>) -> Option<Self> {
        let text = String::read(raw)?;
        if text == "default" { Some(Self::Default) } else { Setting::parse(&text).map(Self::Set) }
    }

    fn write(&self) -> String {
        match self {
            Self::Default => quoted("default"),
            Self::Set(setting) => setting.write(),
        }
    }
}

impl Value for EnforceAfter {
    const EXPECTED: &'static str =
        "all three of: { samples = 1000, period = \"24h\", max_disagreements = 0 }; in the environment without braces";

    fn read(raw: Raw<'_>) -> Option<Self> {
        let part = |name: &str| -> Option<Raw<'_>> {
            match raw {
                Raw::Toml(DeValue::Table(table)) => table.get(name).map(|value| Raw::Toml(value.get_ref())),
                Raw::Text(text) => text.split(',').find_map(|part| {
                    let (key, value) = part.split_once('=')?;
                    (key.trim() == name).then(|| Raw::Text(value.trim()))
                }),
                Raw::Toml(_) => None,
            }
        };
        let parts = match raw {
            Raw::Toml(DeValue::Table(table)) => table.len(),
            Raw::Text(text) => text.split(',').count(),
            Raw::Toml(_) => 0,
        };
        let read = Self {
            samples: u64::read(part("samples")?)?,
            period: Duration::read(part("period")?)?,
            max_disagreements: u64::read(part("max_disagreements")?)?,
        };
        (parts == 3).then_some(read)
    }

    fn write(&self) -> String {
        let Self { samples, period, max_disagreements } = self;
        format!("{{ samples = {samples}, period = {}, max_disagreements = {max_disagreements} }}", period.write())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::load::parse;
    use crate::refusal::Refusal;
    use crate::rules::earned::EnforceAfter;
    use crate::rules::setting::Setting;
    use crate::rules::setting::Share;

    fn environment(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let password = ("GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD", "x");
        more.iter().chain(&[password]).map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_rule_has_its_own_setting_or_that_of_all() {
        let text = "enforcement = \"observe\"\n[rules]\nowner_forbidden = \"enforce 25%\"\nstatus_unknown = \"default\"\n\
                    enforce_after = { samples = 5, period = \"2h\", max_disagreements = 1 }\n";
        let more = [("GLANCE_GATE_RULES_TOKEN_MISSING", "off")];
        let rules = parse("gate.toml", text, &environment(&more)).expect("a good file").0.rules;
        assert_eq!(rules.setting(Refusal::OwnerForbidden), Setting::Enforce(Share::Percent(25)));
        assert_eq!(rules.setting(Refusal::StatusUnknown), Setting::Observe);
        assert_eq!(rules.setting(Refusal::TokenMissing), Setting::Off);
        let after = EnforceAfter { samples: 5, period: Duration::from_hours(2), max_disagreements: 1 };
        assert_eq!(rules.enforce_after, after);
        let more = [("GLANCE_GATE_RULES_ENFORCE_AFTER", "samples=7, period=1m,max_disagreements=0")];
        let rules = parse("gate.toml", "", &environment(&more)).expect("a good file").0.rules;
        assert_eq!((rules.enforce_after.samples, rules.enforce_after.period), (7, Duration::from_mins(1)));
    }

    #[test]
    fn what_makes_no_sense_is_a_mistake() {
        let text = "enforcement = \"enforce listed\"\n[rules]\ntarget_ambiguous = \"off\"\nowner_forbidden = \"observed\"\n\
                    enforce_after = { samples = 0, period = \"1h\", max_disagreements = 0 }\nprobe_percent = 101\n\
                    projects = []\nkill_switch = true\nrate_limited = \"earn\"\n";
        let mistakes = parse("gate.toml", text, &environment(&[])).err().unwrap_or_default();
        let lines: Vec<Option<usize>> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9].map(Some), "{mistakes:#?}");
        for broken in ["{ samples = 1 }", "{ samples = 1, period = \"1h\", max_disagreements = 0, more = 1 }", "1"] {
            let text = format!("[rules]\nenforce_after = {broken}\n");
            assert!(parse("gate.toml", &text, &environment(&[])).is_err(), "{broken}");
        }
    }
}
