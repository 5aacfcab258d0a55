//! Health checks through the gate's own client, so that they see what requests see: TLS, HTTP/2, sockets in files.

use std::io;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header;
use pingora_core::Error;
use pingora_core::ErrorType;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;

use crate::body::Body;
use crate::client::endpoint::Address;
use crate::client::endpoint::Endpoint;
use crate::client::endpoint::Room;
use crate::client::pool;
use crate::client::pool::Pool;

/// How the upstreams are checked.
#[derive(Clone, Debug)]
pub struct Probe {
    path: Option<Uri>,
    limits: pool::Limits,
}

/// How many failed checks in a row say that an upstream is down: one may be a moment's matter.
const FAILURES: usize = 2;

impl Probe {
    /// Expects a 200 from this path within the time; if the path is empty, connecting is enough.
    ///
    /// # Errors
    /// Fails if the path is none.
    pub fn new(path: &str, timeout: Duration) -> io::Result<Self> {
        let path = if path.is_empty() { None } else { Some(Uri::try_from(path).map_err(io::Error::other)?) };
        let limits = pool::Limits {
            connect_timeout: timeout,
            response_timeout: timeout,
            idle_timeout: timeout,
            idle_connections: 0,
            keepalive_timeout: Duration::ZERO,
            max_connections: Room::Uncounted,
        };
        Ok(Self { path, limits })
    }

    /// Checks an upstream on a connection of its own.
    ///
    /// # Errors
    /// Tells what is wrong with it.
    pub async fn check(&self, endpoint: &Endpoint) -> io::Result<()> {
        let Some(path) = &self.path else {
            let connected = tokio::time::timeout(self.limits.connect_timeout, endpoint.connect(Room::Uncounted)).await;
            return connected.map_err(io::Error::from)?.map(drop);
        };
        let mut request = Request::new(Body::Empty);
        *request.uri_mut() = path.clone();
        let host = HeaderValue::try_from(endpoint.authority()).map_err(io::Error::other)?;
        request.headers_mut().insert(header::HOST, host);
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("glance-gate"));
        let answer = Pool::new(self.limits.clone()).send(endpoint, request).await;
        match answer.map_err(|error| io::Error::other(error.to_string()))?.status() {
            StatusCode::OK => Ok(()),
            status => Err(io::Error::other(format!("it answers {status}"))),
        }
    }
}

/// Returns what `pingora-load-balancing` knows an upstream by.
///
/// # Errors
/// Fails if the path of a socket is too long for one.
pub fn backend(endpoint: &Endpoint) -> io::Result<Backend> {
    let addr = match endpoint.address() {
        Address::Tcp(address) => SocketAddr::Inet(*address),
        Address::Unix(path) => SocketAddr::Unix(UnixAddress::from_pathname(path)?),
    };
    let mut ext = http::Extensions::new();
    ext.insert(endpoint.clone());
    Ok(Backend { addr, weight: 1, ext })
}

/// Returns the upstream that was made a backend.
pub fn endpoint(backend: &Backend) -> Option<&Endpoint> {
    backend.ext.get()
}

#[async_trait]
impl HealthCheck for Probe {
    async fn check(&self, target: &Backend) -> pingora_core::Result<()> {
        let Some(endpoint) = endpoint(target) else {
            return Error::e_explain(ErrorType::InternalError, "a backend that is no upstream");
        };
        Self::check(self, endpoint).await.map_err(|error| {
            tracing::debug!(upstream = endpoint.name(), %error, "health check failed");
            Error::because(ErrorType::ConnectError, "health check", error)
        })
    }

    fn health_threshold(&self, success: bool) -> usize {
        if success { 1 } else { FAILURES }
    }
}
