//! The section `[notifications]`: `OpenStack`'s own bus.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Where Glance's and Keystone's notifications are, and within what bounds they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The `transport_url` of oslo.messaging; empty for none.
    pub transport_url: Secret<String>,
    /// The certificates the servers are trusted by, instead of the system's.
    pub cafile: Option<PathBuf>,
    /// The exchanges: each service's `control_exchange`.
    pub exchanges: Vec<String>,
    /// The services' `[oslo_messaging_notifications] topics`.
    pub topics: Vec<String>,
    /// How long the gate's queue outlives the gate.
    pub queue_ttl: Duration,
    /// How many notifications the queue may hold.
    pub queue_length: u32,
    /// How long connecting and logging in may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
}

impl Config {
    /// Tells whether there is a bus.
    pub fn is_on(&self) -> bool {
        !self.transport_url.expose().is_empty()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            transport_url: Secret::default(),
            cafile: None,
            exchanges: vec!["glance".into(), "keystone".into()],
            topics: vec!["notifications".into()],
            queue_ttl: Duration::from_mins(5),
            queue_length: 10_000,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(2),
        }
    }
}
