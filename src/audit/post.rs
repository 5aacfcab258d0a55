//! A sink that takes JSON over HTTP: one event, or an array of them, with each `POST`.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header::AUTHORIZATION;
use http::header::CONTENT_TYPE;
use http::header::RETRY_AFTER;
use http_body_util::Full;

use crate::audit::courier::Batch;
use crate::audit::courier::Carrier;
use crate::audit::courier::Trouble;
use crate::audit::event::Entry;
use crate::client::json::JsonClient;
use crate::client::json::Limits;
use crate::secret::Secret;

/// Where events are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The URL.
    pub url: String,
    /// What is sent as `Authorization: Bearer`; empty for none.
    pub token: Secret<String>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many events are sent at once; one goes without an array around it.
    pub batch: usize,
}

/// Posts events.
#[derive(Debug)]
pub struct Post {
    client: JsonClient,
    url: Uri,
    authorization: Option<HeaderValue>,
    batch: usize,
}

/// How large an answer may be; nothing is read from it.
const MAX_ANSWER: usize = 64 * 1024;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Post {
    /// Prepares to post; nothing is sent yet.
    ///
    /// # Errors
    /// Fails if the URL is none, the token can stand in no header, or the certificates can not be read.
    pub fn new(config: &Config, cafile: Option<&Path>) -> io::Result<Self> {
        let limits = Limits {
            connect_timeout: CONNECT_TIMEOUT.min(config.timeout),
            call_timeout: config.timeout,
            answer_bytes: MAX_ANSWER,
            idle_connections: 1,
        };
        let authorization = if config.token.expose().is_empty() {
            None
        } else {
            let no_header = |_| io::Error::other("[audit] http_token can stand in no header");
            let mut value = HeaderValue::try_from(format!("Bearer {}", config.token.expose())).map_err(no_header)?;
            value.set_sensitive(true);
            Some(value)
        };
        Ok(Self {
            client: JsonClient::new(limits, cafile)?,
            url: config.url.parse().map_err(io::Error::other)?,
            authorization,
            batch: config.batch.max(1),
        })
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        request
    }
}

impl Carrier for Post {
    fn max_batch(&self) -> usize {
        self.batch
    }

    async fn carry(&mut self, batch: &mut Batch) -> Result<(), Trouble> {
        let count = batch.entries().len();
        let body = if self.batch == 1 {
            batch.entries().first().map(|entry| entry.json.clone()).unwrap_or_default()
        } else {
            array(batch.entries())
        };
        let answer = self.client.send(self.request(body)).await.map_err(Trouble::new)?;
        match answer.status {
            status if status.is_success() => batch.written(count),
            // it may be there later, or learn the token
            status @ (StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN) => return Err(later(status, &answer.headers)),
            status if status.is_server_error() => return Err(later(status, &answer.headers)),
            status => batch.refused(count, format!("it answers {status}")),
        }
        Ok(())
    }
}

fn later(status: StatusCode, headers: &HeaderMap) -> Trouble {
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Trouble { cause: format!("it answers {status}"), pause: after.map(Duration::from_secs) }
}

fn array(entries: &[Entry]) -> Bytes {
    let mut body = BytesMut::from(&b"["[..]);
    for (number, entry) in entries.iter().enumerate() {
        if number > 0 {
            body.extend_from_slice(b",");
        }
        body.extend_from_slice(&entry.json);
    }
    body.extend_from_slice(b"]");
    body.freeze()
}
