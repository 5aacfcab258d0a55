//! How often a client or a project may ask, counted by `pingora-limits` in windows of one second.

use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora_limits::rate::Rate;

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
}

struct Counts {
    clients: Rate,
    projects: Rate,
    keystone: Rate,
    ownership: Rate,
}

/// The window in which is counted.
const WINDOW: Duration = Duration::from_secs(1);

impl Default for Config {
    fn default() -> Self {
        Self { per_client: 0, per_project: 0, keystone_questions: 100, ownership_questions: 100 }
    }
}

impl Rates {
    /// Counts from nothing.
    pub fn new(config: Config) -> Self {
        let rate = || Rate::new(WINDOW);
        let counts = Counts { clients: rate(), projects: rate(), keystone: rate(), ownership: rate() };
        Self { config, counts: Arc::new(counts) }
    }

    /// Goes on counting with other bounds.
    #[must_use]
    pub fn renewed(&self, config: Config) -> Self {
        Self { config, counts: self.counts.clone() }
    }

    /// Counts a member update of the client; tells whether it is within its rate.
    pub fn admits_client(&self, client: IpAddr) -> bool {
        admits(&self.counts.clients, self.config.per_client, &client)
    }

    /// Counts a member update of the project; tells whether it is within its rate.
    pub fn admits_project(&self, project: &ProjectId) -> bool {
        admits(&self.counts.projects, self.config.per_project, project)
    }

    /// Counts a question to Keystone for the client's sake; tells whether it may be asked.
    pub fn admits_keystone_question(&self, client: IpAddr) -> bool {
        admits(&self.counts.keystone, self.config.keystone_questions, &client)
    }

    /// Counts a question about an image for the client's sake; tells whether it may be asked.
    pub fn admits_ownership_question(&self, client: IpAddr) -> bool {
        admits(&self.counts.ownership, self.config.ownership_questions, &client)
    }
}

fn admits<K: Hash>(rate: &Rate, bound: usize, key: &K) -> bool {
    bound == 0 || usize::try_from(rate.observe(key, 1)).is_ok_and(|count| count <= bound)
}

impl fmt::Debug for Rates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Rates").field("config", &self.config).finish_non_exhaustive()
    }
}
