//! How Keystone is reached, in the words of `[keystone_authtoken]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// The section `[keystone_authtoken]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the gate asks, with the version: `http://keystone:5000/v3`.
    pub auth_url: String,
    /// What a 401 names in `WWW-Authenticate`; the client's way to Keystone.
    pub www_authenticate_uri: String,
    /// Who the gate is.
    pub credentials: Credentials,
    /// Certificates to trust instead of the system's.
    pub cafile: Option<PathBuf>,
    /// Which roles make a token a service's, so that a user's ended token may ride on it.
    pub service_token_roles: Vec<String>,
    /// The service type that access rules name.
    pub service_type: String,
    /// How long a good verdict is remembered.
    pub token_cache_time: Duration,
    /// How long a bad verdict is remembered.
    pub negative_cache_time: Duration,
    /// How many good verdicts are remembered.
    pub token_cache_entries: u64,
    /// How long connecting may take.
    pub http_connect_timeout: Duration,
    /// How long one call may take.
    pub http_request_timeout: Duration,
    /// How often a call whose connection broke is tried again.
    pub http_request_max_retries: u32,
    /// How many bytes an answer may have.
    pub max_answer_bytes: usize,
    /// What is done with signed tokens.
    pub jws: JwsMode,
    /// Where Keystone's public keys are.
    pub jws_public_key_repository: PathBuf,
    /// How often that directory is read again.
    pub jws_key_refresh: Duration,
}

/// How the gate proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `auth_type = "password"`.
    Password {
        /// The service user.
        username: String,
        /// Its password.
        password: Secret<String>,
        /// The user's domain.
        user_domain: Domain,
        /// The project the gate's token is for.
        project_name: String,
        /// The project's domain.
        project_domain: Domain,
    },
    /// `auth_type = "v3applicationcredential"`.
    ApplicationCredential {
        /// The credential's id.
        id: String,
        /// Its secret.
        secret: Secret<String>,
    },
}

/// A domain, by id or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// What is done with Keystone's signed tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwsMode {
    /// Nothing: they are as opaque as Fernet tokens.
    Off,
    /// Forged and ended ones are refused here, the others are asked of Keystone.
    Verify,
    /// The signature is enough. Revocation and roles are unknown.
    Offline,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth_url: "http://127.0.0.1:5000/v3".into(),
            www_authenticate_uri: "http://127.0.0.1:5000/v3".into(),
            credentials: Credentials::Password {
                username: "glance".into(),
                password: Secret::default(),
                user_domain: Domain::Id("default".into()),
                project_name: "service".into(),
                project_domain: Domain::Id("default".into()),
            },
            cafile: None,
            service_token_roles: vec!["service".into()],
            service_type: "image".into(),
            token_cache_time: Duration::from_mins(5),
            negative_cache_time: Duration::from_secs(10),
            token_cache_entries: 200_000,
            http_connect_timeout: Duration::from_secs(2),
            http_request_timeout: Duration::from_secs(8),
            http_request_max_retries: 1,
            max_answer_bytes: 512 * 1024,
            jws: JwsMode::Off,
            jws_public_key_repository: "/etc/keystone/jws-keys/public".into(),
            jws_key_refresh: Duration::from_secs(10),
        }
    }
}
