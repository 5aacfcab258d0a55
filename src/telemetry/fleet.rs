//! The metrics of what gates share: whether the links stand, what they bring, and what is forgotten for it.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

/// A way that news come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkName {
    /// From the other gates, over Redis or Valkey.
    Redis,
    /// From Glance and Keystone, over `RabbitMQ`.
    Notifications,
}

/// What is counted of the links; cloning shares it.
#[derive(Clone, Debug)]
pub struct Fleet {
    connected: Family<LinkLabel, Gauge>,
    messages: Family<MessageLabels, Counter>,
    forgotten: Family<ForgottenLabels, Counter>,
    lag: Family<LinkLabel, Histogram>,
    /// How many other gates were heard of in the last seconds.
    pub gates: Gauge,
    rate_syncs: Family<SyncLabel, Counter>,
}

/// Label of what is told of each link.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LinkLabel {
    link: &'static str,
}

/// Labels of `fleet_messages_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct MessageLabels {
    link: &'static str,
    /// `letter`, `news`, `image`, `identity` or `other`.
    kind: &'static str,
    /// `sent`, `applied`, `ignored`, `unreadable`, `other_version`, `gap` or `dropped`.
    outcome: &'static str,
}

/// Labels of `fleet_forgotten_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ForgottenLabels {
    link: &'static str,
    /// `image`, `token`, `user`, `project`, `all_tokens` or `all_images`.
    what: &'static str,
}

/// Label of `fleet_rate_syncs_total`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SyncLabel {
    outcome: &'static str,
}

/// The bounds of the lag, in seconds: from the same rack to one that is too late to be of use.
const LAG_BOUNDS: [f64; 9] = [0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];

impl Default for Fleet {
    fn default() -> Self {
        Self {
            connected: Family::default(),
            messages: Family::default(),
            forgotten: Family::default(),
            lag: Family::new_with_constructor(|| Histogram::new(LAG_BOUNDS)),
            gates: Gauge::default(),
            rate_syncs: Family::default(),
        }
    }
}

impl LinkName {
    /// Returns the word used in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Notifications => "notifications",
        }
    }

    fn label(self) -> LinkLabel {
        LinkLabel { link: self.as_str() }
    }
}

impl Fleet {
    /// Returns what tells whether the link stands.
    pub fn connected(&self, link: LinkName) -> Gauge {
        self.connected.get_or_create_owned(&link.label())
    }

    /// Tells no more of a link that is not wanted any more.
    pub fn forget_link(&self, link: LinkName) {
        self.connected.remove(&link.label());
    }

    /// Counts a message.
    pub fn message(&self, link: LinkName, kind: &'static str, outcome: &'static str) {
        self.messages(link, kind, outcome).inc();
    }

    /// Returns the counter of such messages.
    pub fn messages(&self, link: LinkName, kind: &'static str, outcome: &'static str) -> Counter {
        self.messages.get_or_create_owned(&MessageLabels { link: link.as_str(), kind, outcome })
    }

    /// Counts something that was forgotten.
    pub fn forgotten(&self, link: LinkName, what: &'static str) {
        self.forgotten.get_or_create(&ForgottenLabels { link: link.as_str(), what }).inc();
    }

    /// Notes how long a message took.
    pub fn lag(&self, link: LinkName, lag: Duration) {
        self.lag.get_or_create(&link.label()).observe(lag.as_secs_f64());
    }

    /// Returns the counter of exchanges of counts that end like this.
    pub fn rate_syncs(&self, outcome: &'static str) -> Counter {
        self.rate_syncs.get_or_create_owned(&SyncLabel { outcome })
    }

    /// Adds these metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("fleet_connected", "Whether the link to others stands", self.connected.clone());
        let help = "Messages between gates and from OpenStack by kind and outcome";
        registry.register("fleet_messages", help, self.messages.clone());
        let help = "What was forgotten because others told of a change";
        registry.register("fleet_forgotten", help, self.forgotten.clone());
        let help = "From the sending of a message to its arrival, by both clocks";
        registry.register_with_unit("fleet_lag", help, Unit::Seconds, self.lag.clone());
        registry.register("fleet_gates", "Other gates heard of in the last seconds", self.gates.clone());
        let help = "Exchanges of counts for shared limits by outcome";
        registry.register("fleet_rate_syncs", help, self.rate_syncs.clone());
    }
}
