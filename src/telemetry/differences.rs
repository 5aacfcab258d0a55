//! The metrics of comparing staging with the primary: what was compared, and what differs.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::metrics::OutcomeLabel;

/// What is counted of differences; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    found: Family<DifferenceLabels, Counter>,
    compared: Family<ComparedLabels, Counter>,
    /// Lines of differences: `written`, `dropped` because too many waited, or `failed` to be written.
    pub lines: Family<OutcomeLabel, Counter>,
    /// The ignore rules that are in force, and those that have expired.
    pub ignore_rules: Family<RuleStateLabel, Gauge>,
    /// What was learned to be noise and is remembered.
    pub learned: Gauge,
    /// The fields that have a label of their own: answers choose their names, and may not choose how many there are.
    named: Arc<Mutex<HashSet<Named>>>,
}

/// Labels of `shadow_differences_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct DifferenceLabels {
    /// The method.
    pub method: &'static str,
    /// The route.
    pub route: &'static str,
    /// The field, or `other` where too many differ.
    pub field: String,
    /// `counts`, `built_in`, `ignored` or `learned`.
    pub standing: &'static str,
}

/// Labels of `shadow_compared_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ComparedLabels {
    /// The route.
    pub route: &'static str,
    /// `equal`, `differs` or `not_compared`.
    pub outcome: &'static str,
}

/// Label of `shadow_ignore_rules`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RuleStateLabel {
    /// `in_force` or `expired`.
    pub state: &'static str,
}

/// A field by method and route.
type Named = (&'static str, &'static str, String);

/// How many fields, by method and route, have a label of their own.
pub const MAX_FIELDS: usize = 300;
/// What all others are called.
const OTHER: &str = "other";

impl Differences {
    /// Counts a pair of answers in which a field differs.
    pub fn differs(&self, (method, route): (&'static str, &'static str), field: &str, standing: &'static str) {
        let key = (method, route, field.to_owned());
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let is_named = named.contains(&key) || named.len() < MAX_FIELDS && named.insert(key);
        drop(named);
        let field = if is_named { field } else { OTHER }.to_owned();
        self.found.get_or_create_owned(&DifferenceLabels { method, route, field, standing }).inc();
    }

    /// Counts a pair of answers.
    pub fn compared(&self, route: &'static str, outcome: &'static str) {
        self.compared.get_or_create_owned(&ComparedLabels { route, outcome }).inc();
    }

    /// Adds these metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Pairs of answers in which a field differs, by what is made of it";
        registry.register("shadow_differences", help, self.found.clone());
        registry.register("shadow_compared", "Pairs of answers by what the comparison found", self.compared.clone());
        registry.register("shadow_difference_lines", "Lines of differences by outcome", self.lines.clone());
        registry.register("shadow_ignore_rules", "Rules that ignore differences", self.ignore_rules.clone());
        registry.register(
            "shadow_learned_noise",
            "Fields that are known to differ by themselves",
            self.learned.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::Differences;
    use super::MAX_FIELDS;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn answers_choose_the_names_of_labels_but_not_how_many() {
        let metrics = Metrics::default();
        let differences: &Differences = &metrics.differences;
        for number in 0..MAX_FIELDS + 50 {
            differences.differs(("GET", "/v2/images"), &format!("/images/*/p{number}"), "counts");
        }
        differences.differs(("GET", "/v2/images"), "/images/*/p0", "counts");
        let text = metrics.encode();
        let lines = text.lines().filter(|line| line.starts_with("glance_gate_shadow_differences_total"));
        assert_eq!(lines.count(), MAX_FIELDS + 1);
        assert!(text.contains("field=\"other\",standing=\"counts\"} 50\n"), "{text}");
        assert!(text.contains("field=\"/images/*/p0\",standing=\"counts\"} 2\n"), "{text}");
    }
}
