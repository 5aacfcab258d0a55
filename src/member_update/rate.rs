//! How often a client or a project may ask, counted by `pingora-limits` in windows of one second; and, if several gates
//! share their counts, by all of them together.

use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use pingora_limits::rate::Rate;
use prometheus_client::metrics::gauge::Gauge;

use crate::fleet::counter::Allowance;
use crate::fleet::counter::Counter;
use crate::fleet::spending::Spending;
use crate::openstack::identity::ProjectId;

/// The rates of the section `[limits]`, a second; zero means no bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Member updates of one client address.
    pub per_client: usize,
    /// Member updates of one project.
    pub per_project: usize,
    /// Tokens of one client that Keystone must be asked about: the price of garbage tokens.
    pub keystone_questions: usize,
    /// Images of one client that Glance must be asked about: the brake on walks over image ids.
    pub ownership_questions: usize,
}

/// Counts for all workers; cloning shares the counts.
#[derive(Clone)]
pub struct Rates {
    config: Config,
    counts: Arc<Counts>,
    together: Counter,
}

struct Counts {
    clients: Rate,
    projects: Rate,
    keystone: Rate,
    ownership: Rate,
}

/// The window in which is counted.
const WINDOW: Duration = Duration::from_secs(1);

/// How many clients and projects of about the last second are told apart when gates count together.
const MAX_TOGETHER: usize = 100_000;

impl Default for Config {
    fn default() -> Self {
        Self { per_client: 0, per_project: 0, keystone_questions: 100, ownership_questions: 100 }
    }
}

impl Rates {
    /// Counts from nothing; what all gates together have spent stands in `spending`.
    pub fn new(config: Config, spending: Spending) -> Self {
        let rate = || Rate::new(WINDOW);
        let counts = Counts { clients: rate(), projects: rate(), keystone: rate(), ownership: rate() };
        let together = Counter::new(Gauge::default(), spending);
        Self { config, counts: Arc::new(counts), together }
    }

    /// Goes on counting with other bounds.
    #[must_use]
    pub fn renewed(&self, config: Config) -> Self {
        Self { config, ..self.clone() }
    }

    /// Counts a member update of the client; tells whether it is within its rate.
    pub fn admits_client(&self, client: IpAddr) -> bool {
        self.admits_address(&self.counts.clients, self.config.per_client, "client", client)
    }

    /// Counts a member update of the project; tells whether it is within its rate.
    pub fn admits_project(&self, project: &ProjectId) -> bool {
        self.admits(&self.counts.projects, self.config.per_project, "project", project, || project.as_str().to_owned())
    }

    /// Counts a question to Keystone for the client's sake; tells whether it may be asked.
    pub fn admits_keystone_question(&self, client: IpAddr) -> bool {
        self.admits_address(&self.counts.keystone, self.config.keystone_questions, "keystone", client)
    }

    /// Counts a question about an image for the client's sake; tells whether it may be asked.
    pub fn admits_ownership_question(&self, client: IpAddr) -> bool {
        self.admits_address(&self.counts.ownership, self.config.ownership_questions, "ownership", client)
    }

    fn admits_address(&self, rate: &Rate, bound: usize, kind: &str, client: IpAddr) -> bool {
        self.admits(rate, bound, kind, &client, || client.to_string())
    }

    /// Counts one more; tells whether it is within the bound, and within that of all gates together.
    fn admits<K: Hash>(&self, rate: &Rate, bound: usize, kind: &str, one: &K, name: impl FnOnce() -> String) -> bool {
        if bound == 0 {
            return true;
        }
        // one that was taken back in the next window may leave less than nothing
        let count = usize::try_from(rate.observe(one, 1)).unwrap_or_default();
        if !self.together.is_shared() || count > bound {
            return count <= bound;
        }
        let each = u32::try_from(bound).unwrap_or(u32::MAX);
        // a name that no limit of [rate_limits] can have
        let limit = format!("[limits] {kind}");
        let allowance = Allowance::new(each, WINDOW, each);
        let is_admitted = self.together.spend(&limit, &name(), allowance, MAX_TOGETHER, Instant::now()).is_ok();
        if !is_admitted {
            // what all have used up comes free in the course of the second: a refusal for its sake takes none of it
            rate.observe(one, -1);
        }
        is_admitted
    }
}

impl fmt::Debug for Rates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Rates").field("config", &self.config).finish_non_exhaustive()
    }
}
