//! Who vouches, built from a configuration: Keystone with its keys, and the issuers of access tokens.

use std::io;

use crate::app::fleet::Fleet;
use crate::cache::Bounds;
use crate::client::json;
use crate::client::json::JsonClient;
use crate::config::Config;
use crate::keystone::SignedTokens;
use crate::keystone::TokenVerifier;
use crate::keystone::config::JwsMode;
use crate::keystone::keys::KeyRing;
use crate::keystone::online::Keystone;
use crate::oidc::Issuers;
use crate::oidc::access_tokens::AccessTokens;
use crate::telemetry::metrics::Metrics;

/// Opens Keystone's signing keys, if tokens are checked by them.
///
/// # Errors
/// Fails if they can not be read.
pub fn key_ring(config: &Config) -> io::Result<Option<KeyRing>> {
    match config.keystone.jws {
        JwsMode::Off => Ok(None),
        JwsMode::Verify | JwsMode::Offline => KeyRing::open(&config.keystone.jws_public_key_repository).map(Some),
    }
}

/// Makes a client of Keystone's.
///
/// # Errors
/// Fails if the trusted certificates can not be read.
pub fn keystone_client(config: &Config) -> io::Result<JsonClient> {
    let settings = &config.keystone;
    let limits = json::Limits {
        connect_timeout: settings.http_connect_timeout,
        call_timeout: settings.http_request_timeout,
        answer_bytes: settings.max_answer_bytes,
        idle_connections: 16,
    };
    JsonClient::new(limits, settings.cafile.as_deref())
}

/// Makes who vouches for Keystone's tokens.
///
/// # Errors
/// As [`keystone_client`].
pub fn verifier(config: &Config, metrics: &Metrics, keys: Option<KeyRing>, fleet: &Fleet) -> io::Result<TokenVerifier> {
    let settings = &config.keystone;
    let keystone = Keystone::new(settings, keystone_client(config)?, metrics.clone());
    Ok(TokenVerifier::new(settings, keystone, SignedTokens::new(settings.jws, keys), fleet.outbox.clone(), metrics))
}

/// Builds the issuers, if there are any; their verdicts are remembered as long as Keystone's.
///
/// # Errors
/// Fails if an issuer can not be used, or the trusted certificates can not be read.
pub fn issuers(config: &Config, metrics: &Metrics) -> io::Result<Option<AccessTokens>> {
    if config.oidc.issuers.is_empty() {
        return Ok(None);
    }
    let settings = &config.keystone;
    let limits = json::Limits {
        connect_timeout: settings.http_connect_timeout,
        call_timeout: settings.http_request_timeout,
        answer_bytes: config.oidc.max_jwks_bytes,
        idle_connections: 1,
    };
    let client = JsonClient::new(limits, settings.cafile.as_deref())?;
    let issuers = Issuers::new(&config.oidc, client, metrics.clone())?;
    let bounds = Bounds { entries: settings.token_cache_entries, negative: settings.negative_cache_time };
    Ok(Some(AccessTokens::new(issuers, &bounds, settings.token_cache_time, metrics)))
}
