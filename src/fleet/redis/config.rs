//! The section `[redis]`: where several gates meet.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Where gates meet, and within what bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The server's URL; empty for none.
    pub url: String,
    /// Its password, empty for none.
    pub password: Secret<String>,
    /// The certificates it is trusted by, instead of the system's.
    pub cafile: Option<PathBuf>,
    /// What the names of the channel and of all keys begin with.
    pub prefix: String,
    /// Whether the limits of `[limits]` and `[rate_limits]` hold over all gates together.
    pub limits: Limits,
    /// How often counts are exchanged.
    pub rate_interval: Duration,
    /// How long connecting and logging in may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub response_timeout: Duration,
    /// How many news, and how many counts, may wait to be sent.
    pub max_queue: usize,
    /// How many clients and projects, and how many counts of limits, are kept together with the other gates.
    pub max_keys: usize,
}

/// Over what the limits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limits {
    /// Over all gates together.
    Shared,
    /// Over each gate alone.
    Own,
}

impl Config {
    /// Tells whether there is a server to meet at.
    pub fn is_on(&self) -> bool {
        !self.url.is_empty()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            password: Secret::default(),
            cafile: None,
            prefix: "glance-gate".into(),
            limits: Limits::Shared,
            rate_interval: Duration::from_millis(100),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(1),
            max_queue: 8192,
            max_keys: 4096,
        }
    }
}
