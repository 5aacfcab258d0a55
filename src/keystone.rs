//! Who vouches for a token: Keystone, asked online or known by its signing keys.

pub mod answer;
pub mod config;
pub mod jws;
pub mod keys;
pub mod online;
pub mod revoked;
pub mod service_token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use http::HeaderValue;

use crate::cache::Bounds;
use crate::cache::Failure;
use crate::cache::Remembered;
use crate::cache::vouched::Vouched;
use crate::fleet::news::News;
use crate::fleet::outbox::Outbox;
use crate::keystone::config::Config;
use crate::keystone::config::JwsMode;
use crate::keystone::jws::Claims;
use crate::keystone::keys::KeyRing;
use crate::keystone::online::Ended;
use crate::keystone::online::Keystone;
use crate::keystone::revoked::Revoked;
use crate::openstack::request_id::RequestId;
use crate::openstack::token::TokenDigest;
use crate::openstack::token::UnverifiedToken;
use crate::secret::Secret;
use crate::telemetry::metrics::Metrics;

/// Turns a token into the identity somebody vouches for.
#[derive(Clone, Debug)]
pub struct TokenVerifier {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cache: Remembered<TokenDigest, Vouched, VerifyError>,
    ended: Remembered<TokenDigest, Vouched, VerifyError>,
    cache_time: Duration,
    revoked: Arc<Revoked>,
    outbox: Outbox,
    keystone: Keystone,
    signed: SignedTokens,
}

/// What is done with tokens that look signed.
#[derive(Debug)]
pub enum SignedTokens {
    /// They are opaque like all others.
    Opaque,
    /// Their signature is checked, then Keystone is asked.
    Verify(KeyRing),
    /// Their signature is enough: no roles, no revocation.
    Offline(KeyRing),
}

/// Why nobody vouches for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// Keystone does not know it: garbage, revoked or ended.
    Unknown,
    /// It has ended.
    Expired,
    /// Its signature, algorithm or claims are wrong.
    Forged,
    /// Keystone was not asked, because it had to be asked too often for the sake of this client.
    TooManyQuestions,
    /// Keystone could not be asked: nothing is known of the token.
    Unavailable(String),
}

/// How long a verdict on a token that has ended is remembered, at most.
const ENDED_CACHE_TIME: Duration = Duration::from_mins(1);

impl TokenVerifier {
    /// Puts the verifier together; other gates are told of tokens that Keystone does not know any more.
    pub fn new(config: &Config, keystone: Keystone, signed: SignedTokens, outbox: Outbox, metrics: &Metrics) -> Self {
        let bounds = Bounds { entries: config.token_cache_entries, negative: config.negative_cache_time };
        let cache = Remembered::new("token", &bounds, metrics);
        let few = Bounds { entries: config.token_cache_entries / 16 + 1, ..bounds };
        let ended = Remembered::new("ended_token", &few, metrics);
        let (revoked, cache_time) = (Arc::default(), config.token_cache_time);
        Self { shared: Arc::new(Shared { cache, ended, cache_time, revoked, outbox, keystone, signed }) }
    }

    /// Puts a verifier together that remembers what this one does: for another way to the same Keystone.
    #[must_use]
    pub fn renewed(&self, keystone: Keystone, signed: SignedTokens) -> Self {
        let Shared { cache, ended, cache_time, revoked, outbox, .. } = &*self.shared;
        let (cache, ended, cache_time) = (cache.clone(), ended.clone(), *cache_time);
        let (revoked, outbox) = (revoked.clone(), outbox.clone());
        Self { shared: Arc::new(Shared { cache, ended, cache_time, revoked, outbox, keystone, signed }) }
    }

    /// Forgets what others have told of: also what is being asked right now.
    pub async fn heard_of(&self, news: &News) {
        self.shared.revoked.note(news);
        if let News::Token(digest) = news {
            self.shared.cache.drop_good(digest).await;
            self.shared.ended.drop_good(digest).await;
        }
    }

    /// Returns what the token proves, if that is remembered.
    pub fn at_hand(&self, token: &UnverifiedToken) -> Option<Vouched> {
        let now = SystemTime::now();
        let holds = |vouched: &Vouched| {
            self.holds(token, vouched.since)
                && !vouched.identity.is_expired_at(now)
                && self.shared.revoked.spares_holder(vouched)
        };
        self.shared.cache.at_hand(&token.digest(), holds)
    }

    /// Tells whether a verdict of that time still counts: a key that is taken away takes its verdicts along.
    fn holds(&self, token: &UnverifiedToken, since: Instant) -> bool {
        match &self.shared.signed {
            SignedTokens::Verify(keys) | SignedTokens::Offline(keys) => {
                keys.vouched_for(since) || !token.looks_signed()
            }
            SignedTokens::Opaque => true,
        }
    }

    /// Returns what the token proves, asking Keystone in the name of the request if need be and if
    /// `may_ask` does not object.
    ///
    /// Calls for the same token share one question to Keystone. Outages are not remembered.
    ///
    /// # Errors
    /// Tells why nobody vouches for it.
    pub async fn verify(
        &self,
        token: &UnverifiedToken,
        asker: RequestId,
        may_ask: impl Fn() -> bool,
    ) -> Result<Vouched, VerifyError> {
        let holds = |since| self.holds(token, since);
        let load = || self.shared.load(token, asker, &may_ask);
        let vouched = self.shared.revoked.ask_anew(&self.shared.cache, token.digest(), holds, load).await?;
        if vouched.identity.is_expired_at(SystemTime::now()) {
            return Err(VerifyError::Expired);
        }
        Ok(vouched)
    }

    /// Returns what a token proves that may have ended, for a service that goes on with a user's call.
    ///
    /// # Errors
    /// Tells why nobody vouches for it.
    pub async fn verify_ended(
        &self,
        token: &UnverifiedToken,
        asker: RequestId,
        may_ask: impl Fn() -> bool,
    ) -> Result<Vouched, VerifyError> {
        let load = || async {
            if !may_ask() {
                return Err(VerifyError::TooManyQuestions);
            }
            let identity = self.shared.keystone.validate(token, asker, Ended::Allowed).await?;
            Ok(Vouched::although_ended(identity, self.shared.cache_time.min(ENDED_CACHE_TIME)))
        };
        self.shared.revoked.ask_anew(&self.shared.ended, token.digest(), |_| true, load).await
    }

    /// Returns about how many good verdicts are remembered.
    pub async fn remembered(&self) -> u64 {
        self.shared.cache.entries().await
    }

    /// Returns the key ring that must be kept fresh, if there is one.
    pub fn key_ring(&self) -> Option<KeyRing> {
        match &self.shared.signed {
            SignedTokens::Opaque => None,
            SignedTokens::Verify(keys) | SignedTokens::Offline(keys) => Some(keys.clone()),
        }
    }

    /// Returns the gate's own token, for a look-up that needs one which sees every image.
    ///
    /// # Errors
    /// Tells why there is none, or that its user is no admin and would not see shared images.
    pub async fn own_admin_token(&self) -> Result<Secret<HeaderValue>, VerifyError> {
        self.shared.keystone.own_admin_token().await
    }

    /// Returns the gate's own token, for a question that anybody with a token may ask.
    ///
    /// # Errors
    /// Tells why there is none.
    pub async fn own_token(&self) -> Result<Secret<HeaderValue>, VerifyError> {
        self.shared.keystone.own_token().await
    }

    /// Drops the gate's own token because a neighbour no longer takes it.
    pub async fn forget_own_token(&self, token: &Secret<HeaderValue>) {
        self.shared.keystone.forget_own_token(token).await;
    }

    /// Asks Keystone for the gate's own token now, so that the first request need not wait for it.
    ///
    /// # Errors
    /// Tells why there is none.
    pub async fn warm_up(&self) -> Result<(), VerifyError> {
        self.shared.keystone.warm_up().await
    }
}

impl Shared {
    async fn load(
        &self,
        token: &UnverifiedToken,
        asker: RequestId,
        may_ask: &impl Fn() -> bool,
    ) -> Result<Vouched, VerifyError> {
        let since = Instant::now();
        match &self.signed {
            SignedTokens::Verify(keys) if token.looks_signed() => {
                keys.verify(token)?;
            }
            SignedTokens::Offline(keys) if token.looks_signed() => {
                let claims = keys.verify(token)?;
                // access rules are not in the token: only Keystone knows what such a credential may do
                if !Claims::is_from_application_credential(&claims) {
                    return Ok(Vouched::now(claims.into_identity(), self.cache_time).asked(since));
                }
            }
            SignedTokens::Opaque | SignedTokens::Verify(_) | SignedTokens::Offline(_) => {}
        }
        if !may_ask() {
            return Err(VerifyError::TooManyQuestions);
        }
        let verdict = self.keystone.validate(token, asker, Ended::Refused).await;
        if matches!(verdict, Err(VerifyError::Unknown)) {
            // another gate may remember that it was good
            self.outbox.tell(News::Token(token.digest()));
        }
        Ok(Vouched::now(verdict?, self.cache_time).asked(since))
    }
}

impl SignedTokens {
    /// Chooses by configuration; without a key ring every token is opaque.
    pub fn new(mode: JwsMode, keys: Option<KeyRing>) -> Self {
        match (mode, keys) {
            (JwsMode::Verify, Some(keys)) => Self::Verify(keys),
            (JwsMode::Offline, Some(keys)) => Self::Offline(keys),
            (JwsMode::Off, _) | (_, None) => Self::Opaque,
        }
    }
}

impl Failure for VerifyError {
    fn is_final(&self) -> bool {
        match self {
            Self::Unknown | Self::Expired | Self::Forged => true,
            Self::TooManyQuestions | Self::Unavailable(_) => false,
        }
    }

    fn is_askers_own(&self) -> bool {
        *self == Self::TooManyQuestions
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => out.write_str("keystone does not know the token"),
            Self::Expired => out.write_str("the token has ended"),
            Self::Forged => out.write_str("the token is not signed by keystone"),
            Self::TooManyQuestions => out.write_str("limits.keystone_questions_per_client"),
            Self::Unavailable(cause) => write!(out, "keystone could not be asked: {cause}"),
        }
    }
}

impl std::error::Error for VerifyError {}
