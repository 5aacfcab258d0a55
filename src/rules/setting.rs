//! What a rule is set to, and what that means for one call.

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::digest::SHA256;

use crate::openstack::identity::ProjectId;

/// What an operator wants of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Its refusals are answered, at least for some projects; for the others it only observes.
    Enforce(Share),
    /// Its refusals are told, and the calls forwarded as they came.
    Observe,
    /// Its refusals are neither answered nor compared; the calls are forwarded as they came.
    Off,
    /// It observes until it has earned to be enforced.
    Earn,
}

/// For whom a rule is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Everybody.
    All,
    /// This many of a hundred projects, always the same ones; never for a call whose project is not known.
    Percent(u8),
    /// The projects that are listed.
    Listed,
}

/// What becomes of one refused call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The refusal is answered.
    Enforce,
    /// The call is forwarded, and what Glance says is compared.
    Observe,
    /// The call is forwarded.
    Off,
}

impl Setting {
    /// Parses the word or words of the configuration.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.trim() {
            "enforce" => Self::Enforce(Share::All),
            "enforce listed" => Self::Enforce(Share::Listed),
            "observe" => Self::Observe,
            "off" => Self::Off,
            "earn" => Self::Earn,
            other => {
                let percent: u8 = other.strip_prefix("enforce ")?.strip_suffix('%')?.parse().ok()?;
                if percent > 100 {
                    return None;
                }
                Self::Enforce(Share::Percent(percent))
            }
        })
    }
}

impl Setting {
    /// Decides what becomes of one refused call of the project; whether a rule has earned its enforcement is only asked
    /// where it counts.
    pub fn mode(
        self,
        project: Option<&ProjectId>,
        listed: &BTreeSet<ProjectId>,
        kill_switch: bool,
        has_earned: impl FnOnce() -> bool,
    ) -> Mode {
        match self {
            Self::Off => Mode::Off,
            _ if kill_switch => Mode::Observe,
            Self::Enforce(share) if share.holds(project, listed) => Mode::Enforce,
            Self::Earn if has_earned() => Mode::Enforce,
            Self::Enforce(_) | Self::Observe | Self::Earn => Mode::Observe,
        }
    }
}

impl Share {
    /// Tells whether a call of the project is in it.
    pub fn holds(self, project: Option<&ProjectId>, listed: &BTreeSet<ProjectId>) -> bool {
        match self {
            Self::All => true,
            Self::Percent(percent) => project.is_some_and(|project| cohort(project) < percent),
            Self::Listed => project.is_some_and(|project| listed.contains(project)),
        }
    }
}

impl Mode {
    /// Returns the word used in logs, metrics and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Off => "off",
        }
    }
}

/// Returns which of a hundred groups a project belongs to: the same in every gate, for every rule and version.
pub fn cohort(project: &ProjectId) -> u8 {
    let digest = digest::digest(&SHA256, project.as_str().as_bytes());
    let head = digest.as_ref().iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    u8::try_from(head % 100).unwrap_or_default()
}

impl fmt::Display for Setting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforce(Share::All) => out.write_str("enforce"),
            Self::Enforce(Share::Percent(percent)) => write!(out, "enforce {percent}%"),
            Self::Enforce(Share::Listed) => out.write_str("enforce listed"),
            Self::Observe => out.write_str("observe"),
            Self::Off => out.write_str("off"),
            Self::Earn => out.write_str("earn"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Setting;
    use super::Share;
    use super::cohort;
    use crate::openstack::identity::ProjectId;

    #[test]
    fn every_setting_is_read_as_it_is_written() {
        for text in ["enforce", "enforce 0%", "enforce 25%", "enforce 100%", "enforce listed", "observe", "off", "earn"]
        {
            assert_eq!(Setting::parse(text).map(|setting| setting.to_string()).as_deref(), Some(text));
        }
        for text in ["", "Enforce", "enforced", "enforce 101%", "enforce -1%", "enforce %", "enforce all", "observe 5%"]
        {
            assert_eq!(Setting::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_percentage_is_of_projects_and_always_the_same_ones() {
        let projects: Vec<ProjectId> = (0..10_000).map(|number| ProjectId::new(&format!("project-{number}"))).collect();
        let none = BTreeSet::new();
        let of = |percent| {
            projects
                .iter()
                .filter(|project| Share::Percent(percent).holds(Some(project), &none))
                .map(ProjectId::as_str)
                .collect::<BTreeSet<_>>()
        };
        let (few, some) = (of(5), of(25));
        assert!(few.is_subset(&some), "who is in at 5 % stays in at 25 %");
        assert!(
            (350..650).contains(&few.len()) && (2_200..2_800).contains(&some.len()),
            "{} {}",
            few.len(),
            some.len()
        );
        assert_eq!((of(0).len(), of(100).len()), (0, 10_000));
        assert!(!Share::Percent(100).holds(None, &none), "nobody knows which group that is");
        // written down here, so that no later version moves anybody to another group
        assert_eq!(cohort(&ProjectId::new("b5ce1b78ab6e45ee9242cf941d395bde")), 9);
    }
}
