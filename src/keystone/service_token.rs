//! The gate's own token: fetched with its credential, renewed before it ends.

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use serde_json::Value;
use serde_json::json;
use tokio::sync::Mutex;

use crate::client::json::JsonClient;
use crate::keystone::answer::TokenAnswer;
use crate::keystone::config::Credentials;
use crate::keystone::config::Domain;
use crate::secret::Secret;

/// How long a refused credential is not tried again, lest Keystone lock the account.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Holds the gate's token and fetches another when it must.
#[derive(Debug)]
pub struct ServiceToken {
    url: String,
    body: Secret<Bytes>,
    held: Mutex<Held>,
    /// Where the credential is configured.
    place: &'static str,
}

/// The token, and what went wrong last.
#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    failed: Option<Failed>,
}

/// A login that failed.
#[derive(Debug)]
struct Failed {
    at: Instant,
    cause: String,
    is_refused: bool,
}

#[derive(Clone, Debug)]
struct Token {
    value: Secret<HeaderValue>,
    is_admin: bool,
    renew_at: SystemTime,
    ends_at: SystemTime,
}

impl ServiceToken {
    /// Prepares to log in at `auth_url` with the credential.
    pub fn new(auth_url: &str, credentials: &Credentials) -> Self {
        Self::of(auth_url, credentials, "[keystone_authtoken]")
    }

    /// The same, for a credential that is configured elsewhere.
    pub fn of(auth_url: &str, credentials: &Credentials, place: &'static str) -> Self {
        Self {
            url: format!("{auth_url}/auth/tokens"),
            body: Secret::new(login(credentials).to_string().into()),
            held: Mutex::default(),
            place,
        }
    }

    /// Returns a token that is good for a while; those who ask at the same time share one login.
    ///
    /// # Errors
    /// Tells the operator what is wrong with the credential or with Keystone.
    pub async fn value(&self, client: &JsonClient) -> Result<Secret<HeaderValue>, String> {
        self.current(client).await.map(|token| token.value)
    }

    /// Returns the token if it has the role admin, without which Glance hides other projects' images.
    ///
    /// # Errors
    /// As [`ServiceToken::value`], and if the role is missing.
    pub async fn admin_value(&self, client: &JsonClient) -> Result<Secret<HeaderValue>, String> {
        let token = self.current(client).await?;
        if token.is_admin {
            return Ok(token.value);
        }
        Err("ownership.lookup_as = \"service\" needs a user with the role admin in [keystone_authtoken]".into())
    }

    async fn current(&self, client: &JsonClient) -> Result<Token, String> {
        let asked = Instant::now();
        let mut held = self.held.lock().await;
        let now = SystemTime::now();
        if let Some(token) = held.token.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.clone());
        }
        match self.renew(client, &mut held, asked).await {
            Ok(token) => Ok(token),
            // an old token that still holds is better than none
            Err(cause) => held.token.clone().filter(|token| now < token.ends_at).ok_or(cause),
        }
    }

    /// Drops the token that Keystone no longer takes, unless somebody has renewed it meanwhile.
    pub async fn forget(&self, value: &Secret<HeaderValue>) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().is_some_and(|token| token.value == *value) {
            held.token = None;
        }
    }

    async fn renew(&self, client: &JsonClient, held: &mut Held, asked: Instant) -> Result<Token, String> {
        if let Some(failed) = &held.failed
            // who waited while a login failed shares its failure; a refused credential is not tried at once again
            && (failed.at > asked || (failed.is_refused && failed.at.elapsed() < REFUSED_PAUSE))
        {
            return Err(failed.cause.clone());
        }
        match self.log_in(client).await {
            Ok(token) => {
                held.failed = None;
                held.token = Some(token.clone());
                Ok(token)
            }
            Err((cause, is_refused)) => {
                tracing::warn!(%cause, credential = self.place, "the gate has no token of its own");
                held.failed = Some(Failed { at: Instant::now(), cause: cause.clone(), is_refused });
                Err(cause)
            }
        }
    }

    /// Logs in; a failure tells whether Keystone refused the credential.
    async fn log_in(&self, client: &JsonClient) -> Result<Token, (String, bool)> {
        let outage = |cause: String| (cause, false);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.expose().clone()))
            .map_err(|error| outage(format!("auth_url: {error}")))?;
        let answer = client.send(request).await.map_err(|error| outage(error.to_string()))?;
        match answer.status {
            StatusCode::CREATED => {}
            StatusCode::UNAUTHORIZED => {
                return Err((format!("keystone refuses the gate's credential: check {}", self.place), true));
            }
            status => return Err(outage(format!("keystone answered {status} to the gate's login"))),
        }
        let token = answer.headers.get("x-subject-token").cloned();
        let identity = serde_json::from_slice::<TokenAnswer>(&answer.body).ok().and_then(TokenAnswer::into_identity);
        let (Some(mut value), Some(identity)) = (token, identity) else {
            return Err(outage("keystone's answer to the gate's login is not a token".into()));
        };
        value.set_sensitive(true);
        let now = SystemTime::now();
        let lifetime = identity.expires_at.duration_since(now).unwrap_or_default();
        Ok(Token {
            value: Secret::new(value),
            is_admin: identity.roles.has("admin"),
            renew_at: now + lifetime.mul_f64(0.8),
            ends_at: identity.expires_at,
        })
    }
}

/// Writes the login document (Identity API v3, password and application credential methods).
fn login(credentials: &Credentials) -> Value {
    match credentials {
        Credentials::Password { username, password, user_domain, project_name, project_domain } => json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": username, "password": password.expose(), "domain": domain(user_domain)}}},
            "scope": {"project": {"name": project_name, "domain": domain(project_domain)}}}}),
        Credentials::ApplicationCredential { id, secret } => json!({"auth": {
            "identity": {"methods": ["application_credential"],
                         "application_credential": {"id": id, "secret": secret.expose()}}}}),
    }
}

fn domain(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({"id": id}),
        Domain::Name(name) => json!({"name": name}),
    }
}
