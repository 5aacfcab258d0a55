//! The section `[shadow_diff]`: what is compared, and what is told of it.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use http::header::ALLOW;
use http::header::CONTENT_TYPE;
use http::header::LOCATION;
use http::header::WWW_AUTHENTICATE;

use crate::diff::ignore::Rule;
use crate::diff::shown::Values;
use crate::telemetry::line_log;

/// The section `[shadow_diff]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The headers that are compared.
    pub headers: Vec<HeaderName>,
    /// Where the rules are; empty for nowhere.
    pub ignore_file: PathBuf,
    /// The rules that it holds.
    pub ignore: Vec<Rule>,
    /// How often a field must have differed between two answers of one side to be noise.
    pub noise_after: u32,
    /// How long that is remembered after it was last seen.
    pub noise_ttl: Duration,
    /// Which values are told.
    pub values: Values,
    /// Where differences are written.
    pub log: line_log::Config,
    /// How many examples are kept of each kind of difference.
    pub examples: usize,
}

/// The headers that differ always, or tell of the connection: they are never compared.
pub const NEVER_COMPARED: [&str; 9] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "server",
    "transfer-encoding",
    "via",
    "x-compute-request-id",
    "x-openstack-request-id",
];

impl Default for Config {
    fn default() -> Self {
        Self {
            headers: vec![
                CONTENT_TYPE,
                ALLOW,
                LOCATION,
                WWW_AUTHENTICATE,
                HeaderName::from_static("openstack-image-import-methods"),
                HeaderName::from_static("openstack-image-store-ids"),
            ],
            ignore_file: PathBuf::new(),
            ignore: Vec::new(),
            noise_after: 2,
            noise_ttl: Duration::from_hours(24),
            values: Values::Safe,
            log: line_log::Config::default(),
            examples: 3,
        }
    }
}
