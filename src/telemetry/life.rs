//! The metrics of the configuration: which one is in use, since when, and how often another was tried.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted of the gate's life; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Reloads by what became of them.
    pub reloads: Family<ReloadLabel, Counter>,
    /// Changes of the policy files by what became of them.
    pub policy_loads: Family<PolicyLoadLabel, Counter>,
    /// The number of the configuration in use: one at the start, one more after each reload.
    pub generation: Gauge,
    /// How many configurations are in use: one, and those that requests under way began with.
    pub generations_in_use: Gauge,
    revision: Family<RevisionLabel, Gauge>,
}

/// Label of `config_reloads_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReloadLabel {
    /// `applied`, or `refused`: nothing has changed.
    pub result: &'static str,
}

/// Label of `policy_loads_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PolicyLoadLabel {
    /// `applied`, or `refused`: the rules before it stay in use.
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RevisionLabel {
    revision: String,
}

impl Life {
    /// Notes which configuration is in use now.
    pub fn uses(&self, generation: u64, revision: &str) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.revision.clear();
        self.revision.get_or_create(&RevisionLabel { revision: revision.into() }).set(1);
    }

    /// Counts a reload.
    pub fn reloaded(&self, result: &'static str) {
        self.reloads.get_or_create(&ReloadLabel { result }).inc();
    }

    /// Counts a change of the policy files.
    pub fn policy_loaded(&self, outcome: &'static str) {
        self.policy_loads.get_or_create(&PolicyLoadLabel { outcome }).inc();
    }

    /// Adds these metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("config_reloads", "Reloads of the configuration by result", self.reloads.clone());
        registry.register("policy_loads", "Changes of the policy files by outcome", self.policy_loads.clone());
        registry.register("config_generation", "Number of the configuration in use", self.generation.clone());
        let in_use = self.generations_in_use.clone();
        registry.register("config_generations_in_use", "Configurations that requests still use", in_use);
        registry.register("config_revision", "A digest of the configuration in use", self.revision.clone());
    }
}
