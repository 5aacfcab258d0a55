//! The configuration that decisions are held against.

use std::collections::BTreeSet;
use std::fmt;

use crate::member_update::decide::Decision;
use crate::openstack::identity::ProjectId;
use crate::refusal::Refusal;
use crate::review::anew::Contract;
use crate::review::anew::Gap;
use crate::review::anew::say;
use crate::rules::config::Config;
use crate::rules::record::Record;
use crate::rules::setting::Mode;

/// How calls are decided, and what the decisions lead to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What decides.
    pub contract: Contract,
    /// What refusals lead to.
    pub rules: Config,
    /// Whether all rules only observe.
    pub kill_switch: bool,
    /// The rules that have earned their enforcement, by reason.
    pub earned: BTreeSet<&'static str>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Glance gets it, and all was proved.
    Permitted,
    /// Glance gets it, and decides.
    Asked,
    /// The gate says no.
    Refused(Refusal),
    /// Glance gets it; the refusal is told.
    Observed(Refusal),
    /// Glance gets it; the rule is off.
    Off(Refusal),
}

impl Plan {
    /// Decides what becomes of a refused call of the project.
    pub fn mode(&self, refusal: Refusal, project: Option<&ProjectId>) -> Mode {
        let has_earned = || self.earned.contains(refusal.reason());
        self.rules.mode(refusal, project, self.kill_switch, has_earned)
    }

    /// Decides what becomes of a recorded call.
    ///
    /// # Errors
    /// Tells what the record lacks.
    pub fn outcome(&self, record: &Record) -> Result<Outcome, Gap> {
        let project = record.inputs.project.as_deref().map(ProjectId::new);
        Ok(match say(record, &self.contract)? {
            Decision::Permit => Outcome::Permitted,
            Decision::Ask => Outcome::Asked,
            Decision::Refuse(refusal) => match self.mode(refusal, project.as_ref()) {
                Mode::Enforce => Outcome::Refused(refusal),
                Mode::Observe => Outcome::Observed(refusal),
                Mode::Off => Outcome::Off(refusal),
            },
        })
    }
}

impl Outcome {
    /// Reads back what became of a call.
    ///
    /// # Errors
    /// `Word` for a verdict or a rule that this version does not know.
    pub fn of(record: &Record) -> Result<Self, Gap> {
        let refusal = record.rule.as_deref().and_then(Refusal::parse);
        match (record.verdict.as_str(), refusal) {
            ("permitted", None) => Ok(Self::Permitted),
            ("asked", None) => Ok(Self::Asked),
            ("refused", Some(refusal)) => Ok(Self::Refused(refusal)),
            ("would_refuse", Some(refusal)) => Ok(Self::Observed(refusal)),
            ("rule_off", Some(refusal)) => Ok(Self::Off(refusal)),
            _ => Err(Gap::Word),
        }
    }

    /// Returns the rule that says no, whatever that leads to.
    pub fn rule(self) -> Option<Refusal> {
        match self {
            Self::Permitted | Self::Asked => None,
            Self::Refused(refusal) | Self::Observed(refusal) | Self::Off(refusal) => Some(refusal),
        }
    }

    /// Returns what the client is refused with.
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Permitted | Self::Asked | Self::Observed(_) | Self::Off(_) => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permitted => out.write_str("permitted"),
            Self::Asked => out.write_str("asked"),
            Self::Refused(refusal) => write!(out, "refused {} {}", refusal.status().as_u16(), refusal.reason()),
            Self::Observed(refusal) => write!(out, "observed {} {}", refusal.status().as_u16(), refusal.reason()),
            Self::Off(refusal) => write!(out, "off {} {}", refusal.status().as_u16(), refusal.reason()),
        }
    }
}
