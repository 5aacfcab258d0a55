//! One worker's connections to the upstreams: kept alive, never shared between threads.

use std::fmt;
use std::io;
use std::time::Duration;

use http::Method;
use http::Request;
use http::Response;

use crate::body::Body;
use crate::body::SourceError;
use crate::client::endpoint::Endpoint;
use crate::client::h1::Connection;
use crate::client::h1::Failure;
use crate::client::h1::Timeouts;
use crate::client::h1::answer::GiveBack;
use crate::client::idle::IdleConnections;

/// The bounds of a worker's pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take to begin, counted from the last byte of the request that went out.
    pub response_timeout: Duration,
    /// How long an answer may pause, and how long the upstream may refuse to take a byte.
    pub idle_timeout: Duration,
    /// How many idle connections are kept for each upstream.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub keepalive_timeout: Duration,
}

/// The pool; cloning shares it.
#[derive(Clone, Debug)]
pub struct Pool {
    limits: Limits,
    idle: IdleConnections,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum PoolError {
    /// No connection could be made. The request is whole and may go elsewhere.
    Unreachable(io::Error, Box<Request<Body>>),
    /// The connection broke before an answer came.
    Broken(SourceError),
    /// The answer is not HTTP.
    Garbled(SourceError),
    /// The client's body broke off, so the request did.
    ClientBody(SourceError),
    /// No answer in time.
    TimedOut,
}

impl Pool {
    /// Makes an empty pool.
    pub fn new(limits: Limits) -> Self {
        let idle = IdleConnections::new(limits.idle_connections, limits.keepalive_timeout);
        Self { limits, idle }
    }

    /// Sends the request and returns the answer's head and streaming body.
    ///
    /// A kept connection that turns out to be dead before a byte was written is replaced by another. If it dies before a
    /// byte of the answer came, a request that is safe and has no body (RFC 9110 section 9.2.1) is sent once more on a
    /// new connection; no other is ever sent twice.
    ///
    /// # Errors
    /// Tells what went wrong, and gives the request back if nothing of it was sent.
    pub async fn send(&self, endpoint: &Endpoint, request: Request<Body>) -> Result<Response<Body>, PoolError> {
        let timeouts = Timeouts { response: self.limits.response_timeout, idle: self.limits.idle_timeout };
        let mut request = request;
        while let Some(connection) = self.idle.take(endpoint) {
            match connection.send(request, timeouts, self.give_back(endpoint)).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::NotSent(_, unsent)) => request = *unsent,
                Err(Failure::Unanswered(_, Some(whole))) if is_safe(&whole) => {
                    request = *whole;
                    break;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        let connection = match self.connect(endpoint).await {
            Ok(connection) => connection,
            Err(error) => return Err(PoolError::Unreachable(error, Box::new(request))),
        };
        connection.send(request, timeouts, self.give_back(endpoint)).await.map_err(PoolError::from)
    }

    async fn connect(&self, endpoint: &Endpoint) -> io::Result<Connection> {
        pingora_timeout::timeout(self.limits.connect_timeout, endpoint.connect())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map(Connection::new)
    }

    fn give_back(&self, endpoint: &Endpoint) -> impl GiveBack + use<> {
        let (idle, endpoint) = (self.idle.clone(), endpoint.clone());
        move |connection| idle.give_back(&endpoint, connection)
    }
}

/// Tells whether a request does nothing that could be done twice.
fn is_safe(request: &Request<Body>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && matches!(request.body(), Body::Empty)
}

impl From<Failure> for PoolError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(error, request) => Self::Unreachable(error, request),
            Failure::Unanswered(error, _) | Failure::Broken(error) => Self::Broken(error.into()),
            Failure::Garbled(garbled) => Self::Garbled(garbled.into()),
            Failure::ClientBody(error) => Self::ClientBody(error.into()),
            Failure::TimedOut => Self::TimedOut,
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error, _) => write!(out, "the upstream cannot be connected to: {error}"),
            Self::Broken(error) => write!(out, "the upstream's connection broke: {error}"),
            Self::Garbled(error) => write!(out, "the upstream's answer is not HTTP: {error}"),
            Self::ClientBody(_) => out.write_str("the client's body broke off"),
            Self::TimedOut => out.write_str("the upstream did not answer in time"),
        }
    }
}
