//! One worker's connections to the upstreams: kept alive, never shared between threads.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use http::Method;
use http::Request;
use http::Response;

use crate::body::Body;
use crate::body::SourceError;
use crate::client::endpoint::Connected;
use crate::client::endpoint::Endpoint;
use crate::client::endpoint::Room;
use crate::client::h1::Connection;
use crate::client::h1::Failure;
use crate::client::h1::Timeouts;
use crate::client::h1::answer::GiveBack;
use crate::client::h2::Lane;
use crate::client::h2::Link;
use crate::client::h2::Links;
use crate::client::idle::IdleConnections;
use crate::client::transport::Protocol;

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
    /// How many connections each upstream may have, idle ones among them.
    pub max_connections: Room,
}

/// The pool; cloning shares it.
#[derive(Clone, Debug)]
pub struct Pool {
    limits: Limits,
    idle: IdleConnections,
    links: Links,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum PoolError {
    /// No connection could be made. The request is whole and may go elsewhere.
    Unreachable(io::Error, Box<Request<Body>>),
    /// A connection was needed, and there may be no more of them. The request is whole and may go elsewhere.
    Full(Box<Request<Body>>),
    /// The connection broke before an answer came.
    Broken(SourceError),
    /// The connection broke before a byte of an answer came. The request is whole, but may have been carried out.
    Unanswered(SourceError, Box<Request<Body>>),
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
        Self { limits, idle, links: Links::default() }
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
        match endpoint.protocol() {
            Protocol::Http1 => self.send_alone(endpoint, request).await,
            // on the heap, as connecting is: nearly all requests find a kept connection, and need no room for the rest
            Protocol::Http2 => Box::pin(self.send_shared(endpoint, request)).await,
        }
    }

    /// Sends on a connection that carries nothing else meanwhile.
    async fn send_alone(&self, endpoint: &Endpoint, request: Request<Body>) -> Result<Response<Body>, PoolError> {
        let mut request = request;
        while let Some(connection) = self.idle.take(endpoint) {
            match connection.send(request, self.timeouts(), self.give_back(endpoint)).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::NotSent(_, unsent)) => request = *unsent,
                Err(Failure::Unanswered(_, Some(whole))) if is_safe(&whole) => {
                    request = *whole;
                    break;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Box::pin(self.connect_and_send(endpoint, request)).await
    }

    async fn connect_and_send(&self, endpoint: &Endpoint, request: Request<Body>) -> Result<Response<Body>, PoolError> {
        match in_time(self.limits.connect_timeout, endpoint.connect(self.limits.max_connections)).await {
            Ok(connected) => self.send_first(endpoint, connected, request).await,
            Err(error) => Err(PoolError::unsent(error, request)),
        }
    }

    /// Sends on a connection that is new.
    async fn send_first(
        &self,
        endpoint: &Endpoint,
        connected: Connected,
        request: Request<Body>,
    ) -> Result<Response<Body>, PoolError> {
        let connection = Connection::new(connected.stream).holds(connected.place);
        connection.send(request, self.timeouts(), self.give_back(endpoint)).await.map_err(PoolError::from)
    }

    /// Sends on the connection that all exchanges with this endpoint share.
    async fn send_shared(&self, endpoint: &Endpoint, request: Request<Body>) -> Result<Response<Body>, PoolError> {
        let lane = self.links.lane(endpoint);
        let mut request = request;
        for _ in 0..MAX_TRIES {
            if lane.is_declined() {
                return Box::pin(self.send_alone(endpoint, request)).await;
            }
            let link =
                match in_time(self.limits.connect_timeout, link(&lane, endpoint, self.limits.max_connections)).await {
                    Ok(Way::Shared(link)) => link,
                    Ok(Way::Alone(connected)) => return self.send_first(endpoint, connected, request).await,
                    Err(error) => return Err(PoolError::unsent(error, request)),
                };
            match link.clone().send(endpoint, request, self.timeouts()).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::NotSent(error, unsent)) => {
                    tracing::debug!(%error, ?endpoint, "an upstream did not take a request");
                    request = *unsent;
                    // the connection is going down, or full: the next try gets another
                    lane.retire(&link).await;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(PoolError::Unreachable(io::ErrorKind::ConnectionRefused.into(), Box::new(request)))
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts { response: self.limits.response_timeout, idle: self.limits.idle_timeout }
    }

    fn give_back(&self, endpoint: &Endpoint) -> impl GiveBack + use<> {
        let (idle, endpoint) = (self.idle.clone(), endpoint.clone());
        move |connection| idle.give_back(&endpoint, connection)
    }
}

/// A way to an upstream that was asked for HTTP/2.
enum Way {
    /// It speaks it.
    Shared(Link),
    /// It has chosen HTTP/1.1.
    Alone(Connected),
}

/// How often a request that was not processed is sent to the same upstream.
const MAX_TRIES: usize = 3;

/// Returns the shared connection; the first who needs one makes it, and the others wait.
async fn link(lane: &Lane, endpoint: &Endpoint, max_connections: Room) -> io::Result<Way> {
    let mut current = lane.link.lock().await;
    if let Some(link) = current.as_ref().filter(|link| !link.is_over()) {
        return Ok(Way::Shared(link.clone()));
    }
    let connected = endpoint.connect(max_connections).await?;
    match connected.protocol {
        Protocol::Http1 => {
            lane.decline();
            Ok(Way::Alone(connected))
        }
        Protocol::Http2 => Ok(Way::Shared(current.insert(Link::open(connected).await?).clone())),
    }
}

async fn in_time<T>(timeout: Duration, connect: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    pingora_timeout::timeout(timeout, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Tells whether a request does nothing that could be done twice.
fn is_safe(request: &Request<Body>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && matches!(request.body(), Body::Empty)
}

impl PoolError {
    fn unsent(error: io::Error, request: Request<Body>) -> Self {
        match error.kind() {
            io::ErrorKind::QuotaExceeded => Self::Full(Box::new(request)),
            _ => Self::Unreachable(error, Box::new(request)),
        }
    }
}

impl From<Failure> for PoolError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(error, request) => Self::Unreachable(error, request),
            Failure::Unanswered(error, Some(request)) => Self::Unanswered(error.into(), request),
            Failure::Unanswered(error, None) | Failure::Broken(error) => Self::Broken(error.into()),
            Failure::Garbled(garbled) => Self::Garbled(garbled.into()),
            Failure::ClientBody(error) => Self::ClientBody(error.into()),
            Failure::TimedOut => Self::TimedOut,
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => out.write_str("the upstream has upstream.max_connections connections"),
            Self::Unreachable(error, _) => write!(out, "the upstream cannot be connected to: {error}"),
            Self::Broken(error) | Self::Unanswered(error, _) => write!(out, "the upstream's connection broke: {error}"),
            Self::Garbled(error) => write!(out, "the upstream's answer is not HTTP: {error}"),
            Self::ClientBody(_) => out.write_str("the client's body broke off"),
            Self::TimedOut => out.write_str("the upstream did not answer in time"),
        }
    }
}
