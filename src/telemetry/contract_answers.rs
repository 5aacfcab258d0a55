//! The metrics of answers about members, by whether they keep the schema that the upstream serves.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What is counted; cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct ContractAnswers {
    answers: Family<AnswerLabels, Counter>,
    schemas: Family<SchemaLabels, Counter>,
}

/// Labels of `contract_answers_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabels {
    /// The path without its ids.
    route: &'static str,
    /// `valid`, `invalid` or `unchecked`.
    outcome: &'static str,
}

/// Labels of `contract_schemas_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SchemaLabels {
    /// `member` or `members`.
    schema: &'static str,
    /// `taken` or `failed`.
    outcome: &'static str,
}

impl ContractAnswers {
    /// Counts an answer.
    pub fn answer(&self, route: &'static str, outcome: &'static str) {
        self.answers.get_or_create(&AnswerLabels { route, outcome }).inc();
    }

    /// Counts that a schema was fetched.
    pub fn schema(&self, schema: &'static str, outcome: &'static str) {
        self.schemas.get_or_create(&SchemaLabels { schema, outcome }).inc();
    }

    /// Adds these metrics.
    pub fn register(&self, registry: &mut Registry) {
        let answers = self.answers.clone();
        registry.register("contract_answers", "Answers about members by whether they keep their schema", answers);
        registry.register("contract_schemas", "Fetches of the upstream's schemas by outcome", self.schemas.clone());
    }
}
