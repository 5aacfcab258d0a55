//! The metrics of rules: how each is set, what Glance said to its verdicts, and what that changed.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::OutcomeLabel;

/// What is counted of rules; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// Verdicts that Glance's answer was compared with.
    pub drift: Family<DriftLabels, Counter>,
    /// One at what each rule is set to, else nothing.
    pub rule_mode: Family<RuleModeLabels, Gauge>,
    /// How often rules earned their enforcement and lost it.
    pub rule_changes: Family<RuleChangeLabels, Counter>,
    /// One while the kill switch is on.
    pub kill_switch: Gauge,
    /// Lines of the decision log: `written`, `dropped` because too many waited, or `failed` to be written.
    pub decision_lines: Family<OutcomeLabel, Counter>,
}

/// Labels of `drift_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DriftLabels {
    /// The stable label of the refusal, or `none` where no rule said no.
    pub rule: &'static str,
    /// `permitted`, `asked` or `would_refuse`.
    pub verdict: &'static str,
    /// What Glance answered.
    pub status: u16,
    /// `yes`, `no`, or `unknown` where the two can not be compared.
    pub agree: &'static str,
}

/// Labels of `rule_mode`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RuleModeLabels {
    /// The stable label of the refusal.
    pub rule: &'static str,
    /// `enforce`, `enforce_part`, `observe` or `off`.
    pub mode: &'static str,
}

/// Labels of `rule_changes_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RuleChangeLabels {
    /// The stable label of the refusal.
    pub rule: &'static str,
    /// `promoted` or `demoted`.
    pub change: &'static str,
}

impl Judgement {
    /// Shows what a rule is set to now.
    pub fn sets(&self, rule: &'static str, mode: &'static str) {
        for known in ["enforce", "enforce_part", "observe", "off"] {
            let labels = RuleModeLabels { rule, mode: known };
            if known == mode {
                self.rule_mode.get_or_create(&labels).set(1);
            } else {
                self.rule_mode.remove(&labels);
            }
        }
    }

    /// Adds these metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("drift", "Verdicts by what Glance answered to the call", self.drift.clone());
        registry.register("rule_mode", "What each rule does with a refusal", self.rule_mode.clone());
        registry.register("rule_changes", "Enforcement that was earned and lost", self.rule_changes.clone());
        registry.register("decision_lines", "Lines of the decision log by outcome", self.decision_lines.clone());
        registry.register("kill_switch", "Whether all rules only observe", self.kill_switch.clone());
    }
}
