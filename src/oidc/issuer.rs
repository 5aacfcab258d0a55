//! One issuer and its keys: fetched by one task, at fixed times and when a token names a key that is not known.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header::ACCEPT;
use http_body_util::Full;
use tokio::sync::Notify;
use tokio::sync::watch;

use crate::client::json::JsonClient;
use crate::oidc::OidcError;
use crate::oidc::claims::Claims;
use crate::oidc::claims::Terms;
use crate::oidc::config::Config;
use crate::oidc::config::IssuerConfig;
use crate::oidc::jws::UnverifiedJws;
use crate::oidc::key_set::KeyFault;
use crate::oidc::key_set::KeySet;
use crate::oidc::key_set::VerifiedPayload;
use crate::openstack::identity::Identity;
use crate::telemetry::metrics::Metrics;

/// How long a token waits for keys; the client's own time limit is shorter.
const PATIENCE: Duration = Duration::from_secs(10);

/// An issuer and the keys it was last seen with.
pub struct Issuer {
    config: IssuerConfig,
    url: Uri,
    common: Arc<Common>,
    keys: ArcSwapOption<Fetched>,
    wanted: Notify,
    round: watch::Sender<Round>,
}

/// What all issuers share.
#[derive(Debug)]
pub struct Common {
    /// How keys are kept fresh.
    pub config: Config,
    /// What fetches them.
    pub client: JsonClient,
    /// What counts the fetches.
    pub metrics: Metrics,
}

/// A key set and the document it was read from.
struct Fetched {
    document: Bytes,
    keys: KeySet,
}

/// How the last fetch ended.
#[derive(Clone, Debug)]
struct Round {
    /// When keys were last fetched because a token needed them.
    asked_at: Option<Instant>,
    /// What went wrong.
    failure: Option<Arc<str>>,
}

impl Issuer {
    /// Prepares an issuer of a checked configuration; nothing is fetched yet.
    pub fn new(config: IssuerConfig, url: Uri, common: Arc<Common>) -> Self {
        let nothing = Round { asked_at: None, failure: Some("its keys were not fetched yet".into()) };
        Self {
            config,
            url,
            common,
            keys: ArcSwapOption::empty(),
            wanted: Notify::new(),
            round: watch::Sender::new(nothing),
        }
    }

    /// Returns its name, as tokens have it.
    pub fn name(&self) -> &str {
        &self.config.issuer
    }

    /// Returns what the token proves.
    ///
    /// # Errors
    /// Tells why the token is not believed.
    pub async fn verify(&self, jws: &UnverifiedJws<'_>) -> Result<Identity, OidcError> {
        if !self.config.algorithms.contains(&jws.header().algorithm) {
            return Err(OidcError::Forged);
        }
        let payload = match self.check(jws) {
            Ok(payload) => payload,
            Err(KeyFault::Forged) => return Err(OidcError::Forged),
            Err(KeyFault::UnknownKeyId) => {
                self.fresh_keys(jws).await?;
                self.check(jws).map_err(|_| OidcError::Forged)?
            }
        };
        let terms = Terms { issuer: &self.config, leeway: self.common.config.token_leeway, now: SystemTime::now() };
        Claims::read(&payload)?.identity(&terms)
    }

    fn check<'a>(&self, jws: &'a UnverifiedJws<'_>) -> Result<VerifiedPayload<'a>, KeyFault> {
        self.keys.load().as_ref().ok_or(KeyFault::UnknownKeyId)?.keys.verify(jws)
    }

    /// Waits until the keys are no older than the limit on fetching allows.
    ///
    /// # Errors
    /// `Unavailable` if they could not be fetched.
    async fn fresh_keys(&self, jws: &UnverifiedJws<'_>) -> Result<(), OidcError> {
        let mut rounds = self.round.subscribe();
        let is_limited = rounds.borrow_and_update().is_limited(self.common.config.jwks_min_interval);
        // a fetch that ended before the subscription may have brought the key
        if !is_limited && self.check(jws).err() == Some(KeyFault::UnknownKeyId) {
            self.wanted.notify_one();
            // the watching task fetches: a client that hangs up ends neither the fetch nor the limit on it
            pingora_timeout::timeout(PATIENCE, rounds.changed())
                .await
                .map_err(|_| OidcError::Unavailable("its keys were not fetched in time".into()))?
                .map_err(|_| OidcError::Unavailable("its keys are no longer fetched".into()))?;
        }
        let failure = rounds.borrow().failure.clone();
        failure.map_or(Ok(()), |cause| Err(OidcError::Unavailable(cause.to_string())))
    }

    /// Fetches the keys again and again.
    pub async fn watch(&self) {
        loop {
            let asked_at = self.round.borrow().asked_at;
            self.fetch(asked_at).await;
            let pause = match self.round.borrow().failure {
                None => self.common.config.jwks_refresh,
                Some(_) => self.common.config.jwks_refresh.min(self.common.config.jwks_min_interval),
            };
            let next = tokio::time::Instant::now() + pause;
            while tokio::time::timeout_at(next, self.wanted.notified()).await.is_ok() {
                // whoever asked while the last fetch was under way has its answer already
                if !self.round.borrow().is_limited(self.common.config.jwks_min_interval) {
                    self.fetch(Some(Instant::now())).await;
                }
            }
        }
    }

    /// Fetches the keys once; on a failure those in use stay.
    async fn fetch(&self, asked_at: Option<Instant>) {
        let fetched = match self.download().await {
            Ok(document) => self.take(document),
            Err(cause) => Err(cause),
        };
        self.common.metrics.neighbour(&self.config.issuer, if fetched.is_ok() { "ok" } else { "unavailable" });
        if let Err(error) = &fetched {
            let keys = self.keys.load().as_ref().map_or(0, |fetched| fetched.keys.len());
            let issuer = &self.config.issuer;
            tracing::warn!(%issuer, %error, keys, "the issuer's keys can not be fetched: the old ones stay in use");
        }
        self.round.send_replace(Round { asked_at, failure: fetched.err().map(Into::into) });
    }

    async fn download(&self) -> Result<Bytes, String> {
        let request = Request::get(&self.url)
            .header(ACCEPT, "application/json")
            .body(Full::<Bytes>::default())
            .map_err(|error| error.to_string())?;
        let answer = self.common.client.send(request).await.map_err(|error| error.to_string())?;
        // redirects are not followed: the place of the keys is in the configuration alone
        if answer.status != StatusCode::OK {
            return Err(format!("its {} is no key set", answer.status));
        }
        if answer.body.len() > self.common.config.max_jwks_bytes {
            return Err("its key set is larger than max_jwks_bytes".into());
        }
        Ok(answer.body)
    }

    /// Puts the keys of a document to use.
    fn take(&self, document: Bytes) -> Result<(), String> {
        if self.keys.load().as_ref().is_some_and(|old| old.document == document) {
            return Ok(());
        }
        let keys = KeySet::read(&document, &self.config.algorithms, self.common.config.max_keys)?;
        let issuer = &self.config.issuer;
        for ignored in keys.ignored() {
            tracing::warn!(%issuer, position = ignored.position, reason = ignored.reason, "a key is not used");
        }
        tracing::info!(%issuer, keys = keys.len(), "the issuer's keys changed");
        self.keys.store(Some(Arc::new(Fetched { document, keys })));
        Ok(())
    }
}

impl Round {
    /// Tells whether keys were fetched for a token so lately that another token must not make it happen again.
    fn is_limited(&self, min_interval: Duration) -> bool {
        self.asked_at.is_some_and(|at| at.elapsed() < min_interval)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Issuer").field("config", &self.config).finish_non_exhaustive()
    }
}
