//! A client for neighbours that answer with small JSON documents, over HTTP or HTTPS.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::Request;
use http::StatusCode;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;

use crate::client::tls;
use crate::telemetry::traces::exchange::Asked;
use crate::telemetry::traces::exchange::Exchange;
use crate::telemetry::traces::trace::Trace;

/// The bounds of a conversation with a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a whole call may take.
    pub call_timeout: Duration,
    /// How many bytes an answer may have.
    pub answer_bytes: usize,
    /// How many idle connections are kept.
    pub idle_connections: usize,
}

/// A pooled client that reads whole, bounded answers.
#[derive(Clone, Debug)]
pub struct JsonClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limits: Limits,
}

/// A whole answer.
#[derive(Debug)]
pub struct JsonAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, unparsed.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonClientError {
    /// No connection, or none that could be trusted.
    Unreachable,
    /// The connection broke, or what came was not HTTP.
    Broken,
    /// The call took too long.
    TimedOut,
    /// The answer is over the limit.
    TooLarge,
}

impl JsonClient {
    /// Makes a client that trusts the system's certificates, or those of `cafile` alone.
    ///
    /// # Errors
    /// Fails if the certificates can not be read.
    pub fn new(limits: Limits, cafile: Option<&Path>) -> io::Result<Self> {
        Self::build(limits, cafile, true)
    }

    /// Makes a client that sends each request once, and never again, on whatever connection it was.
    ///
    /// # Errors
    /// As [`JsonClient::new`].
    pub fn once(limits: Limits, cafile: Option<&Path>) -> io::Result<Self> {
        Self::build(limits, cafile, false)
    }

    fn build(limits: Limits, cafile: Option<&Path>, sends_unsent_again: bool) -> io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::settings(cafile, None)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(limits.idle_connections)
            .retry_canceled_requests(sends_unsent_again)
            .build(connector);
        Ok(Self { client, limits })
    }

    /// Sends the request and reads the whole answer. It is part of the trace of the request that needs it.
    ///
    /// # Errors
    /// Tells what kept the answer from coming.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<JsonAnswer, JsonClientError> {
        let span = Trace::current().map(|trace| begin_span(&trace, &mut request));
        let answer = pingora_timeout::timeout(self.limits.call_timeout, self.exchange(request))
            .await
            .unwrap_or(Err(JsonClientError::TimedOut));
        if let Some(span) = span {
            match &answer {
                Ok(answer) => span.answered(answer.status),
                Err(error) => span.failed(error.as_str()),
            }
        }
        answer
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<JsonAnswer, JsonClientError> {
        let answer =
            self.client.request(request).await.map_err(|error| {
                if error.is_connect() { JsonClientError::Unreachable } else { JsonClientError::Broken }
            })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, self.limits.answer_bytes).collect().await.map_err(|error| {
            if error.is::<hyper::Error>() { JsonClientError::Broken } else { JsonClientError::TooLarge }
        })?;
        Ok(JsonAnswer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

/// Begins the span of a call. The paths of such neighbours are few: each is its own name.
fn begin_span(trace: &Trace, request: &mut Request<Full<Bytes>>) -> Box<Exchange> {
    let uri = request.uri().clone();
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let server = format!("{scheme}://{authority}");
    let asked = Asked { server: &server, template: Some(uri.path().into()), attempt: 0 };
    Exchange::begin(trace, &asked, request)
}

impl JsonClientError {
    /// Returns the word that it is called in traces and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
        }
    }
}

impl fmt::Display for JsonClientError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unreachable => "it cannot be connected to",
            Self::Broken => "the connection broke or the answer was not HTTP",
            Self::TimedOut => "it did not answer in time",
            Self::TooLarge => "its answer is over the limit",
        })
    }
}

impl std::error::Error for JsonClientError {}
