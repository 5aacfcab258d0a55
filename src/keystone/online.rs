//! Asking Keystone about a token: `GET /v3/auth/tokens` (Identity API v3, "Validate and show information for token").

use std::time::Instant;

use bytes::Bytes;
use http::HeaderValue;
use http::Request;
use http::StatusCode;
use http_body_util::Full;
use prometheus_client::metrics::histogram::Histogram;

use crate::cache::Failure;
use crate::client::json::JsonAnswer;
use crate::client::json::JsonClient;
use crate::client::json::JsonClientError;
use crate::keystone::VerifyError;
use crate::keystone::answer::ErrorAnswer;
use crate::keystone::answer::TokenAnswer;
use crate::keystone::config::Config;
use crate::keystone::service_token::ServiceToken;
use crate::openstack::identity::Identity;
use crate::openstack::request_id::RequestId;
use crate::openstack::request_id::X_OPENSTACK_REQUEST_ID;
use crate::openstack::token::UnverifiedToken;
use crate::secret::Secret;
use crate::telemetry::metrics::Metrics;

/// Keystone, as the gate asks it.
#[derive(Debug)]
pub struct Keystone {
    client: JsonClient,
    url: String,
    url_for_expired: String,
    service_token: ServiceToken,
    max_retries: u32,
    metrics: Metrics,
    durations: Histogram,
}

/// Whether a token that has ended may still be vouched for (Identity API v3, `allow_expired`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It may not.
    Refused,
    /// It may, within Keystone's own window: a service goes on with a user's call.
    Allowed,
}

/// What one question brought.
enum Told {
    /// The token is good.
    Identity(Identity),
    /// Keystone does not take the gate's own token.
    OwnTokenRefused,
}

impl Keystone {
    /// Prepares to ask Keystone through the client.
    pub fn new(config: &Config, client: JsonClient, metrics: Metrics) -> Self {
        let auth_url = config.auth_url.trim_end_matches('/');
        Self {
            client,
            url: format!("{auth_url}/auth/tokens?nocatalog"),
            url_for_expired: format!("{auth_url}/auth/tokens?nocatalog&allow_expired=1"),
            service_token: ServiceToken::new(auth_url, &config.credentials),
            max_retries: config.http_request_max_retries,
            durations: metrics.neighbour_duration("keystone"),
            metrics,
        }
    }

    /// Returns what Keystone says of the token; the gate's own token is fetched anew once if Keystone has dropped it.
    ///
    /// # Errors
    /// `Unknown` or `Expired` if Keystone says so in its own words, else `Unavailable`.
    pub async fn validate(
        &self,
        token: &UnverifiedToken,
        asker: RequestId,
        ended: Ended,
    ) -> Result<Identity, VerifyError> {
        let url = match ended {
            Ended::Refused => &self.url,
            Ended::Allowed => &self.url_for_expired,
        };
        for _ in 0..2 {
            let own = self.service_token.value(&self.client).await.map_err(VerifyError::Unavailable)?;
            match self.ask(url, token, &own, asker).await? {
                Told::Identity(identity) => return Ok(identity),
                Told::OwnTokenRefused => self.service_token.forget(&own).await,
            }
        }
        Err(VerifyError::Unavailable("keystone refuses the gate's own token".into()))
    }

    /// Fetches the gate's own token.
    ///
    /// # Errors
    /// `Unavailable`, with the cause.
    pub async fn warm_up(&self) -> Result<(), VerifyError> {
        self.service_token.value(&self.client).await.map(drop).map_err(VerifyError::Unavailable)
    }

    /// Returns the gate's own token if its user is an admin.
    ///
    /// # Errors
    /// `Unavailable`, with the cause.
    pub async fn own_admin_token(&self) -> Result<Secret<HeaderValue>, VerifyError> {
        self.service_token.admin_value(&self.client).await.map_err(VerifyError::Unavailable)
    }

    /// Returns the gate's own token.
    ///
    /// # Errors
    /// `Unavailable`, with the cause.
    pub async fn own_token(&self) -> Result<Secret<HeaderValue>, VerifyError> {
        self.service_token.value(&self.client).await.map_err(VerifyError::Unavailable)
    }

    /// Drops the gate's own token.
    pub async fn forget_own_token(&self, token: &Secret<HeaderValue>) {
        self.service_token.forget(token).await;
    }

    async fn ask(
        &self,
        url: &str,
        token: &UnverifiedToken,
        own: &Secret<HeaderValue>,
        asker: RequestId,
    ) -> Result<Told, VerifyError> {
        let since = Instant::now();
        let told = read(self.send(url, token, own, asker).await);
        self.durations.observe(since.elapsed().as_secs_f64());
        let outcome = match &told {
            Ok(Told::Identity(_)) => "ok",
            Ok(Told::OwnTokenRefused) => "own_token_refused",
            Err(error) if error.is_final() => "unknown_token",
            Err(_) => "unavailable",
        };
        self.metrics.neighbour("keystone", outcome);
        told
    }

    /// Sends the question; a GET whose connection broke may be sent again.
    async fn send(
        &self,
        url: &str,
        token: &UnverifiedToken,
        own: &Secret<HeaderValue>,
        asker: RequestId,
    ) -> Result<JsonAnswer, JsonClientError> {
        let mut tries = 0;
        loop {
            let request = Request::get(url)
                .header("x-auth-token", own.expose())
                .header("x-subject-token", token.expose())
                .header("openstack-identity-access-rules", "1")
                .header("accept", "application/json")
                .header(X_OPENSTACK_REQUEST_ID, asker.to_header())
                .body(Full::<Bytes>::default())
                // the URL was checked with the configuration, the headers were headers before
                .map_err(|_| JsonClientError::Broken)?;
            match self.client.send(request).await {
                Err(JsonClientError::Broken) if tries < self.max_retries => tries += 1,
                done => return done,
            }
        }
    }
}

/// Reads Keystone's answer; what is not Keystone's own word is an outage.
fn read(answer: Result<JsonAnswer, JsonClientError>) -> Result<Told, VerifyError> {
    let answer = answer.map_err(|error| VerifyError::Unavailable(error.to_string()))?;
    let unusable = || VerifyError::Unavailable(format!("its {} is not an answer about a token", answer.status));
    match answer.status {
        StatusCode::OK => serde_json::from_slice::<TokenAnswer>(&answer.body)
            .ok()
            .and_then(TokenAnswer::into_identity)
            .map(Told::Identity)
            .ok_or_else(unusable),
        StatusCode::NOT_FOUND if says(&answer, 404) => Err(VerifyError::Unknown),
        StatusCode::UNAUTHORIZED if says(&answer, 401) => Ok(Told::OwnTokenRefused),
        StatusCode::FORBIDDEN if says(&answer, 403) => Err(VerifyError::Unavailable(
            "the gate may not validate tokens: give its user the role service or admin".into(),
        )),
        _ => Err(unusable()),
    }
}

/// Tells whether the body is Keystone's error document for this code.
fn says(answer: &JsonAnswer, code: u16) -> bool {
    serde_json::from_slice::<ErrorAnswer>(&answer.body).is_ok_and(|error| error.is(code))
}
