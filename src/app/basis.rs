//! What remembered answers rest on: a memory outlives a reload only if all of it is as it was.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest::Context;
use aws_lc_rs::digest::SHA256;

use crate::config::Config;
use crate::glance;
use crate::keystone;
use crate::oidc;
use crate::shadow::config::Credentials;
use crate::vouch::Telling;

/// What the answers of Keystone, of the issuers and of Glance depend on.
#[derive(Clone, PartialEq, Eq)]
pub struct Basis {
    keystone: keystone::config::Config,
    trust: Option<Trust>,
    oidc: oidc::Config,
    glance: Glance,
}

#[derive(Clone, PartialEq, Eq)]
struct Glance {
    servers: Vec<String>,
    mount: String,
    telling: Telling,
    ownership: glance::Config,
}

/// Which certificates are trusted, as a digest.
pub type Trust = Vec<u8>;

/// How much of what is known of tokens may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The client, its own token, and every verdict.
    All,
    /// The verdicts: it is the same Keystone, reached with other limits.
    Verdicts,
    /// Nothing: another Keystone, or another way to know it, might say something else.
    Nothing,
}

impl Basis {
    /// Reads what the configuration rests on.
    ///
    /// # Errors
    /// Fails if the trusted certificates can not be read.
    pub fn of(config: &Config) -> io::Result<Self> {
        let default = keystone::config::Config::default();
        let glance_default = glance::Config::default();
        Ok(Self {
            // what only words answers, or only times a task, is not part of it
            keystone: keystone::config::Config {
                www_authenticate_uri: default.www_authenticate_uri,
                service_token_roles: default.service_token_roles,
                service_type: default.service_type,
                jws_key_refresh: default.jws_key_refresh,
                ..config.keystone.clone()
            },
            trust: trust(config)?,
            oidc: config.oidc.clone(),
            glance: Glance {
                servers: config.upstream.servers.clone(),
                mount: config.server.mount.clone(),
                telling: config.telling,
                ownership: glance::Config {
                    lookup_timeout: glance_default.lookup_timeout,
                    max_answer_bytes: glance_default.max_answer_bytes,
                    ..config.ownership.clone()
                },
            },
        })
    }

    /// Tells how much of what is known of Keystone's tokens may be kept; the signing keys are compared elsewhere.
    pub fn keeps_keystone(&self, new: &Self) -> Keep {
        if self.trust != new.trust || self.verdicts() != new.verdicts() {
            Keep::Nothing
        } else if self.keystone == new.keystone {
            Keep::All
        } else {
            Keep::Verdicts
        }
    }

    /// Tells whether the issuers and what is known of their tokens may be kept.
    pub fn keeps_issuers(&self, new: &Self) -> bool {
        let has_none = self.oidc.issuers.is_empty() && new.oidc.issuers.is_empty();
        has_none || self.oidc == new.oidc && self.trust == new.trust && self.issuers_client() == new.issuers_client()
    }

    /// Tells whether the owners may be kept. They are known by the projects and roles of those who asked, so they rest
    /// on those who vouch as well; that is for the caller to ask.
    pub fn keeps_owners(&self, new: &Self) -> bool {
        self.glance == new.glance
    }

    fn verdicts(&self) -> keystone::config::Config {
        let default = keystone::config::Config::default();
        keystone::config::Config {
            http_connect_timeout: default.http_connect_timeout,
            http_request_timeout: default.http_request_timeout,
            http_request_max_retries: default.http_request_max_retries,
            max_answer_bytes: default.max_answer_bytes,
            ..self.keystone.clone()
        }
    }

    fn issuers_client(&self) -> (Option<&PathBuf>, [Duration; 4], u64) {
        let settings = &self.keystone;
        let times = [
            settings.http_connect_timeout,
            settings.http_request_timeout,
            settings.token_cache_time,
            settings.negative_cache_time,
        ];
        (settings.cafile.as_ref(), times, settings.token_cache_entries)
    }
}

/// Returns a digest of the certificates that Keystone and the issuers are trusted by, if there are any: the files may
/// change although their name does not.
fn trust(config: &Config) -> io::Result<Option<Trust>> {
    let mut urls = config.oidc.issuers.iter().map(|issuer| &issuer.jwks_url).chain([&config.keystone.auth_url]);
    let files: Vec<&Path> = config.keystone.cafile.iter().map(PathBuf::as_path).collect();
    digest_of(&files, config.keystone.cafile.is_none() && urls.any(|url| is_secured(url)))
}

/// Returns a digest of the certificates and the key that upstreams are spoken to with, if there are any.
///
/// # Errors
/// Fails if a file can not be read.
pub fn upstream_trust(config: &Config) -> io::Result<Option<Trust>> {
    let transport = &config.upstream.transport;
    let mut files: Vec<&Path> = transport.cafile.iter().map(PathBuf::as_path).collect();
    if let Some((certfile, keyfile)) = &transport.identity {
        files.extend([certfile.as_path(), keyfile.as_path()]);
    }
    let is_secured = config.upstream.servers.iter().any(|server| is_secured(server));
    digest_of(&files, transport.cafile.is_none() && is_secured)
}

/// Returns a digest of the certificates that the trace collector is trusted by, if there are any.
///
/// # Errors
/// Fails if a file can not be read.
pub fn collector_trust(config: &Config) -> io::Result<Option<Trust>> {
    let files: Vec<&Path> = config.tracing.cafile.iter().map(PathBuf::as_path).collect();
    digest_of(&files, config.tracing.cafile.is_none() && is_secured(&config.tracing.endpoint))
}

/// Returns a digest of the certificates that staging and its Keystone are trusted by, if there are any.
///
/// # Errors
/// Fails if a file can not be read.
pub fn shadow_trust(config: &Config) -> io::Result<Option<Trust>> {
    let shadow = &config.shadow;
    let exchange = match &shadow.credentials {
        Credentials::Exchange(file) => Some(file),
        Credentials::Strip | Credentials::Keep => None,
    };
    let files = shadow.cafile.iter().chain(exchange.and_then(|file| file.cafile.as_ref()));
    let files: Vec<&Path> = files.map(PathBuf::as_path).collect();
    let servers = shadow.cafile.is_none() && [&shadow.target, &shadow.control].into_iter().any(|url| is_secured(url));
    let keystone = exchange.is_some_and(|file| file.cafile.is_none() && is_secured(&file.auth_url));
    digest_of(&files, servers || keystone)
}

/// Returns a digest of the certificates that one server is trusted by, if it is secured.
///
/// # Errors
/// Fails if the file can not be read.
pub fn trust_of(cafile: Option<&Path>, is_secured: bool) -> io::Result<Option<Trust>> {
    let files: Vec<&Path> = cafile.into_iter().collect();
    digest_of(&files, cafile.is_none() && is_secured)
}

fn is_secured(url: &str) -> bool {
    url.to_ascii_lowercase().starts_with("https:")
}

fn digest_of(files: &[&Path], with_system: bool) -> io::Result<Option<Trust>> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for path in files {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        parts.push(fs::read(path).map_err(told)?);
    }
    if with_system {
        let mut certificates = rustls_native_certs::load_native_certs().certs;
        certificates.sort_by(|left, right| left.as_ref().cmp(right.as_ref()));
        parts.extend(certificates.iter().map(|certificate| certificate.as_ref().to_vec()));
    }
    if parts.is_empty() {
        return Ok(None);
    }
    let mut context = Context::new(&SHA256);
    for part in &parts {
        // with its length, so that no two lists of parts are one text
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    Ok(Some(context.finish().as_ref().into()))
}
