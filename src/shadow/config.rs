//! The section `[shadow]`: what is copied, where it goes, with whose credentials, and within which bounds.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use http::Method;

use crate::diff::ids::Ids;
use crate::secret::Secret;

/// What is copied to staging, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where copies go, as `http://host:port` or `https://host:port`; empty for nowhere.
    pub target: String,
    /// A second staging, for [`Twice::Staging`]; empty for none.
    pub control: String,
    /// Certificates to trust for both, instead of the system's.
    pub cafile: Option<PathBuf>,
    /// Which `Host` copies name.
    pub host: Host,
    /// How many of a hundred requests are copied.
    pub percent: u8,
    /// Which safe methods are copied: `GET` and `HEAD` at most.
    pub methods: Vec<Method>,
    /// Which routes they are copied for; empty for all.
    pub routes: Vec<&'static str>,
    /// Whose requests are copied; empty for everybody's.
    pub projects: Vec<String>,
    /// Which writes are copied, by method and route.
    pub writes: Vec<(Method, &'static str)>,
    /// Whose credentials copies have.
    pub credentials: Credentials,
    /// The ids that have another name in staging.
    pub ids: Ids,
    /// Headers that do not go, also if they would.
    pub drop_headers: Vec<HeaderName>,
    /// Headers that go as well; never one of a credential or an identity.
    pub keep_headers: Vec<HeaderName>,
    /// What is asked a second time, to learn what differs of itself.
    pub twice: Twice,
    /// How many of a hundred copied reads are asked a second time.
    pub twice_percent: u8,
    /// The bounds.
    pub limits: Limits,
}

/// The bounds of all copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many copies may wait.
    pub queue: usize,
    /// How many bytes all copies and their answers may take.
    pub bytes: usize,
    /// How many bytes the body of a copied request may have.
    pub request_bytes: usize,
    /// How many bytes an answer may have.
    pub answer_bytes: usize,
    /// How long a copy may wait.
    pub age: Duration,
    /// How many copies are under way at once.
    pub in_flight: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one call may take.
    pub call_timeout: Duration,
    /// How many writes are remembered, so that none is sent twice.
    pub remembered_writes: usize,
}

/// Which `Host` a copy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Staging's own.
    Target,
    /// What the client named.
    Client,
}

/// Whose credentials copies have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// None.
    Strip,
    /// A token of staging's own, for an application credential that stands for the caller.
    Exchange(ExchangeFile),
    /// The caller's token, which is one of production.
    Keep,
}

/// The file of the credentials that staging knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeFile {
    /// Staging's Keystone, with the version: `http://keystone:5000/v3`.
    pub auth_url: String,
    /// Certificates to trust for it, instead of the system's.
    pub cafile: Option<PathBuf>,
    /// The credentials.
    pub credentials: Vec<StagingCredential>,
}

/// An application credential of staging, and for whom it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagingCredential {
    /// The project of production, if it stands for one alone.
    pub project: Option<String>,
    /// The user of production, if it stands for one alone.
    pub user: Option<String>,
    /// The credential's id.
    pub id: String,
    /// The credential's secret.
    pub secret: Secret<String>,
}

/// What is asked a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twice {
    /// Nothing.
    Off,
    /// The primary.
    Primary,
    /// Staging's second.
    Staging,
}

/// How long staging's Keystone may take to log the gate in.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(8);
/// How large its answer may be.
pub const LOGIN_ANSWER_BYTES: usize = 512 * 1024;

impl Default for Config {
    fn default() -> Self {
        Self {
            target: String::new(),
            control: String::new(),
            cafile: None,
            host: Host::Target,
            percent: 100,
            methods: vec![Method::GET, Method::HEAD],
            routes: Vec::new(),
            projects: Vec::new(),
            writes: Vec::new(),
            credentials: Credentials::Strip,
            ids: Ids::default(),
            drop_headers: Vec::new(),
            keep_headers: Vec::new(),
            twice: Twice::Off,
            twice_percent: 10,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 1024,
            bytes: 32 * 1024 * 1024,
            request_bytes: 64 * 1024,
            answer_bytes: 256 * 1024,
            age: Duration::from_secs(10),
            in_flight: 16,
            connect_timeout: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
            remembered_writes: 10_000,
        }
    }
}

impl Config {
    /// Tells whether copies are sent anywhere.
    pub fn has_target(&self) -> bool {
        !self.target.is_empty()
    }

    /// Tells whether it must be known who asks.
    pub fn needs_identity(&self) -> bool {
        !self.projects.is_empty()
            || match &self.credentials {
                // without a target nobody is given a token
                Credentials::Exchange(file) if self.has_target() => {
                    file.credentials.iter().any(StagingCredential::names_somebody)
                }
                Credentials::Exchange(_) | Credentials::Strip | Credentials::Keep => false,
            }
    }

    /// Tells whether the caller's token must be at hand off the request's way.
    pub fn needs_token(&self) -> bool {
        let is_for_staging = self.credentials == Credentials::Keep || self.twice == Twice::Primary;
        self.needs_identity() || self.has_target() && is_for_staging
    }
}

impl StagingCredential {
    /// Tells whether it stands for some callers only.
    pub fn names_somebody(&self) -> bool {
        self.project.is_some() || self.user.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use super::Credentials;
    use super::ExchangeFile;
    use super::StagingCredential;
    use super::Twice;
    use crate::secret::Secret;

    #[test]
    fn without_a_target_no_token_is_kept_for_staging_and_nobody_is_asked_about_one() {
        let (id, secret) = (String::new(), Secret::new(String::new()));
        let named = StagingCredential { project: Some("p".into()), user: None, id, secret };
        let file = ExchangeFile { credentials: vec![named], ..ExchangeFile::default() };
        let exchange = Config { credentials: Credentials::Exchange(file), ..Config::default() };
        let keep = Config { credentials: Credentials::Keep, ..Config::default() };
        let twice = Config { twice: Twice::Primary, ..Config::default() };
        for (config, needs_identity) in [(exchange, true), (keep, false), (twice, false)] {
            assert!(!config.needs_identity() && !config.needs_token(), "{config:?}");
            let config = Config { target: "http://staging:9292".into(), ..config };
            assert!(config.needs_identity() == needs_identity && config.needs_token(), "{config:?}");
        }
    }
}
