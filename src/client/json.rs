//! A client for neighbours that answer with small JSON documents, over HTTP or HTTPS.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
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
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

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
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(cafile)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(limits.idle_connections)
            .build(connector);
        Ok(Self { client, limits })
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Errors
    /// Tells what kept the answer from coming.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<JsonAnswer, JsonClientError> {
        pingora_timeout::timeout(self.limits.call_timeout, self.exchange(request))
            .await
            .unwrap_or(Err(JsonClientError::TimedOut))
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

/// Builds the TLS settings; `aws-lc-rs` is the one crypto stack.
fn tls(cafile: Option<&Path>) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match cafile {
        Some(path) => {
            let told = |error: &dyn fmt::Display| io::Error::other(format!("{}: {error}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| told(&error))? {
                roots.add(certificate.map_err(|error| told(&error))?).map_err(|error| told(&error))?;
            }
        }
        // a machine without certificates can still speak HTTP; HTTPS then fails when it is tried
        None => drop(roots.add_parsable_certificates(system_certificates())),
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn system_certificates() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
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
