//! The ways out of the gate for copies: to staging, its second, and its Keystone, over connections of their own.

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Uri;
use http::header::CONTENT_LENGTH;
use http::header::CONTENT_TYPE;
use http::header::HOST;
use http_body_util::Full;

use crate::client::json;
use crate::client::json::JsonClient;
use crate::client::json::JsonClientError;
use crate::diff::answered::Answered;
use crate::diff::answered::Content;
use crate::diff::ids::Ids;
use crate::openstack::request_id::X_OPENSTACK_REQUEST_ID;
use crate::secret::Secret;
use crate::shadow::config::Config;
use crate::shadow::config::Credentials;
use crate::shadow::config::Host;
use crate::shadow::copied::Copied;
use crate::shadow::draft::is_readable;
use crate::shadow::exchange::Exchange;
use crate::shadow::headers;
use crate::shadow::sample::is_safe;

/// All ways of one configuration.
#[derive(Debug)]
pub struct Ways {
    /// What was configured.
    pub config: Config,
    /// By what certificates the other sides are trusted, as a digest.
    trust: Option<Vec<u8>>,
    reads: JsonClient,
    writes: JsonClient,
    /// Who gets tokens of staging's own.
    pub exchange: Option<Exchange>,
    /// When it was told that a server does not answer.
    told: Mutex<Option<Instant>>,
}

/// A credential as the header that carries it.
pub type Credential = Option<(HeaderName, Secret<HeaderValue>)>;

/// How long it is not told again that a server does not answer.
const TELL_PAUSE: Duration = Duration::from_mins(1);

impl Ways {
    /// Prepares the ways; nothing is sent yet.
    ///
    /// # Errors
    /// Fails if certificates can not be used.
    pub fn new(config: &Config, trust: Option<Vec<u8>>) -> io::Result<Self> {
        let limits = |idle_connections| json::Limits {
            connect_timeout: config.limits.connect_timeout,
            call_timeout: config.limits.call_timeout,
            answer_bytes: config.limits.answer_bytes,
            idle_connections,
        };
        let cafile = config.cafile.as_deref();
        let exchange = match &config.credentials {
            Credentials::Exchange(file) => Some(Exchange::new(file)?),
            Credentials::Strip | Credentials::Keep => None,
        };
        Ok(Self {
            reads: JsonClient::new(limits(config.limits.in_flight), cafile)?,
            // a kept connection may end just when a write is sent, and then nobody knows whether it arrived
            writes: JsonClient::once(limits(0), cafile)?,
            exchange,
            config: config.clone(),
            trust,
            told: Mutex::default(),
        })
    }

    /// Tells whether another configuration would have the same ways.
    pub fn are_those_of(&self, config: &Config, trust: Option<&Vec<u8>>) -> bool {
        self.config == *config && self.trust.as_ref() == trust
    }

    /// Asks a server what the copy asks. Nothing if it can not be written as a request.
    pub async fn ask(
        &self,
        server: &str,
        copied: &Copied,
        credential: &Credential,
    ) -> Option<Result<Answered, JsonClientError>> {
        let request = request(server, copied, credential, &self.config)?;
        let client = if is_safe(&copied.asked.method) { &self.reads } else { &self.writes };
        let answer = client.send(request).await;
        if let Err(error) = &answer {
            self.tell(server, *error);
        }
        Some(answer.map(|answer| {
            let (headers, _) = headers::answered(&answer.headers);
            let is_empty = answer.body.is_empty();
            let body = if is_empty || is_readable(&headers) { Content::Whole(answer.body) } else { Content::Unread };
            Answered { status: answer.status, headers, body }
        }))
    }

    /// Tells that a server does not answer: now and then, not for each copy.
    fn tell(&self, server: &str, error: JsonClientError) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TELL_PAUSE) {
            *told = Some(Instant::now());
            tracing::warn!(server, %error, "a copy was not answered: others are only counted for a minute");
        }
    }
}

/// Writes the copy as a request to the server, with the ids that it knows.
fn request(server: &str, copied: &Copied, credential: &Credential, config: &Config) -> Option<Request<Full<Bytes>>> {
    let (asked, ids) = (&copied.asked, &config.ids);
    let uri: Uri = format!("{server}{}", ids.renamed(&asked.target)).parse().ok()?;
    let body = body(&copied.headers, &copied.body, ids);
    let mut headers = copied.headers.clone();
    let id = asked.request_id.to_header();
    headers.insert(X_OPENSTACK_REQUEST_ID, id.clone());
    headers.insert(headers::X_GLANCE_GATE_SHADOW, id.clone());
    if !is_safe(&asked.method) {
        headers.insert(headers::IDEMPOTENCY_KEY, id);
    }
    if config.host == Host::Client
        && let Some(host) = &copied.host
    {
        headers.insert(HOST, host.clone());
    }
    if let Some((name, value)) = credential {
        headers.insert(name, value.expose().clone());
    }
    // a PUT or POST says that it is empty (RFC 9110 section 8.6); hyper leaves that out
    if body.is_empty() && matches!(asked.method, Method::PUT | Method::POST | Method::PATCH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = asked.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Some(request)
}

/// Renames the ids in a body of JSON (RFC 8259); any other goes as it is.
fn body(headers: &HeaderMap, body: &Bytes, ids: &Ids) -> Bytes {
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let is_json = memchr::memmem::find(&kind, b"json").is_some();
    match std::str::from_utf8(body) {
        Ok(text) if is_json && !ids.is_empty() => Bytes::from(ids.renamed(text).into_owned()),
        Ok(_) | Err(_) => body.clone(),
    }
}
