//! Who vouches for an access token: an issuer other than Keystone, known by the keys it publishes.
//!
//! A token goes one way only: its unverified `iss` chooses the issuer, the issuer's keys check the signature, and only
//! then are its claims read. Nothing in a token names a key, an algorithm or a place that the configuration does not.

pub mod access_tokens;
pub mod algorithm;
pub mod claims;
pub mod config;
pub mod issuer;
pub mod jwk;
pub mod jws;
pub mod key_set;

use std::fmt;
use std::io;
use std::sync::Arc;

use futures_util::future;

use crate::cache::Failure;
use crate::client::json::JsonClient;
use crate::oidc::issuer::Common;
use crate::oidc::issuer::Issuer;
use crate::oidc::jws::UnverifiedJws;
use crate::openstack::identity::Identity;
use crate::telemetry::metrics::Metrics;

pub use crate::oidc::algorithm::Algorithm;
pub use crate::oidc::config::Config;
pub use crate::oidc::config::IssuerConfig;

/// All issuers whose access tokens are taken; cloning shares them.
#[derive(Clone, Debug)]
pub struct Issuers {
    issuers: Arc<[Issuer]>,
}

/// Why nobody vouches for an access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OidcError {
    /// It is not exactly a signed token, or one that can be read in two ways.
    Malformed,
    /// It names no issuer, or one that is not configured: perhaps it is Keystone's.
    UnknownIssuer,
    /// Its algorithm, key or signature is wrong.
    Forged,
    /// It has ended.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// This claim is missing, wrong, or not for an issuer to make.
    Claims(&'static str),
    /// The key that would tell could not be fetched: nothing is known of the token.
    Unavailable(String),
}

impl Issuers {
    /// Prepares all issuers; nothing is fetched before [`Issuers::watch`] runs.
    ///
    /// The client's limit on answers should be `max_jwks_bytes`; what is larger is refused in any case.
    ///
    /// # Errors
    /// Fails if a setting can not be used.
    pub fn new(config: &Config, client: JsonClient, metrics: Metrics) -> io::Result<Self> {
        config.check()?;
        let common = Arc::new(Common { config: config.clone(), client, metrics });
        let issuers = config
            .issuers
            .iter()
            .map(|issuer| {
                let url = issuer.key_url().map_err(io::Error::other)?;
                Ok(Issuer::new(issuer.clone(), url, common.clone()))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { issuers })
    }

    /// Returns what the token proves.
    ///
    /// Waits for keys only if the token names one that is not known, for ten seconds at most. Verdicts are not
    /// remembered here.
    ///
    /// # Errors
    /// Tells why nobody vouches for it.
    pub async fn verify(&self, token: &str) -> Result<Identity, OidcError> {
        let jws = UnverifiedJws::parse(token)?;
        self.named_by(&jws)?.verify(&jws).await
    }

    /// Keeps the keys of all issuers fresh; ends only if there are none.
    pub async fn watch(self) {
        future::join_all(self.issuers.iter().map(Issuer::watch)).await;
    }

    fn named_by(&self, jws: &UnverifiedJws<'_>) -> Result<&Issuer, OidcError> {
        let name = jws.unverified_issuer()?.ok_or(OidcError::UnknownIssuer)?;
        self.issuers.iter().find(|issuer| issuer.name() == name).ok_or(OidcError::UnknownIssuer)
    }
}

impl Failure for OidcError {
    fn is_final(&self) -> bool {
        match self {
            Self::Malformed
            | Self::UnknownIssuer
            | Self::Forged
            | Self::Expired
            | Self::NotYetValid
            | Self::Claims(_) => true,
            Self::Unavailable(_) => false,
        }
    }
}

impl fmt::Display for OidcError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => out.write_str("the token is no signed token, or an ambiguous one"),
            Self::UnknownIssuer => out.write_str("the token is from nobody who is known"),
            Self::Forged => out.write_str("the token is not signed by its issuer"),
            Self::Expired => out.write_str("the token has ended"),
            Self::NotYetValid => out.write_str("the token is not valid yet"),
            Self::Claims(what) => write!(out, "the token's claim {what} is missing or wrong"),
            Self::Unavailable(cause) => write!(out, "the issuer's keys are not known: {cause}"),
        }
    }
}

impl std::error::Error for OidcError {}
