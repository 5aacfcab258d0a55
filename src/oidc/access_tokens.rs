//! Access tokens and what they prove, remembered for a bounded time.

use std::time::Duration;
use std::time::SystemTime;

use crate::cache::Bounds;
use crate::cache::Remembered;
use crate::cache::vouched::Vouched;
use crate::oidc::Issuers;
use crate::oidc::OidcError;
use crate::openstack::token::TokenDigest;
use crate::openstack::token::UnverifiedToken;
use crate::telemetry::metrics::Metrics;

/// The issuers with a memory of their own: a verdict of an issuer is never found under a token of Keystone's.
#[derive(Clone, Debug)]
pub struct AccessTokens {
    issuers: Issuers,
    cache: Remembered<TokenDigest, Vouched, OidcError>,
    cache_time: Duration,
}

impl AccessTokens {
    /// Remembers verdicts within the bounds, and good ones for the cache time at most.
    pub fn new(issuers: Issuers, bounds: &Bounds, cache_time: Duration, metrics: &Metrics) -> Self {
        Self { issuers, cache: Remembered::new("access_token", bounds, metrics), cache_time }
    }

    /// Returns what the token proves, if that is remembered.
    pub fn at_hand(&self, token: &UnverifiedToken) -> Option<Vouched> {
        let now = SystemTime::now();
        self.cache.at_hand(&token.digest(), |vouched| !vouched.identity.is_expired_at(now))
    }

    /// Returns what the token proves.
    ///
    /// # Errors
    /// Tells why nobody vouches for it.
    pub async fn verify(&self, token: &UnverifiedToken) -> Result<Vouched, OidcError> {
        let load = || async {
            let identity = self.issuers.verify(token.expose_str()).await?;
            Ok(Vouched::now(identity, self.cache_time))
        };
        let vouched = self.cache.get_or_load(token.digest(), |_| true, load).await?;
        if vouched.identity.is_expired_at(SystemTime::now()) {
            return Err(OidcError::Expired);
        }
        Ok(vouched)
    }

    /// Returns about how many good verdicts are remembered.
    pub async fn remembered(&self) -> u64 {
        self.cache.entries().await
    }

    /// Returns the issuers, whose keys must be kept fresh.
    pub fn issuers(&self) -> Issuers {
        self.issuers.clone()
    }
}
