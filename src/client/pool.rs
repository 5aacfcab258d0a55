//! One worker's connections to the upstreams: HTTP/1.1, kept alive, never shared between threads.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use http::Request;
use http::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::body::Body;
use crate::body::BodyError;
use crate::body::Progress;
use crate::body::Sender;
use crate::client::endpoint::Address;
use crate::client::endpoint::Endpoint;
use crate::client::patient::Patient;

/// The bounds of a worker's pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take to begin, counted from the last byte of the request that went out.
    pub response_timeout: Duration,
    /// How long an answer may pause.
    pub idle_timeout: Duration,
    /// How many idle connections are kept for each upstream.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    pub keepalive_timeout: Duration,
}

/// The pool; cloning shares it.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    limits: Limits,
    idle: Mutex<HashMap<Endpoint, Vec<Idle>>>,
}

struct Idle {
    connection: SendRequest<Body>,
    since: Instant,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum PoolError {
    /// No connection could be made. The request is whole and may go elsewhere.
    Unreachable(io::Error, Box<Request<Body>>),
    /// The connection broke before an answer came.
    Broken(hyper::Error),
    /// The answer is not HTTP.
    Garbled(hyper::Error),
    /// The client's body broke off, so the request did.
    ClientBody(hyper::Error),
    /// No answer in time.
    TimedOut,
}

impl Pool {
    /// Makes an empty pool.
    pub fn new(limits: Limits) -> Self {
        Self { shared: Arc::new(Shared { limits, idle: Mutex::default() }) }
    }

    /// Sends the request and returns the answer's head and streaming body.
    ///
    /// A kept connection that turns out to be dead before a byte was written is replaced by a new one.
    ///
    /// # Errors
    /// Tells what went wrong, and gives the request back if nothing of it was sent.
    pub async fn send(&self, upstream: &Endpoint, request: Request<Body>) -> Result<Response<Body>, PoolError> {
        let mut request = request;
        while let Some(mut connection) = self.take(upstream).await {
            match self.exchange(&mut connection, request).await {
                Ok(answer) => return Ok(self.hand_out(upstream, connection, answer)),
                Err(Exchange::NotSent(unsent)) => request = *unsent,
                Err(Exchange::Failed(error)) => return Err(error),
            }
        }
        let mut connection = match self.connect(upstream).await {
            Ok(connection) => connection,
            Err(error) => return Err(PoolError::Unreachable(error, Box::new(request))),
        };
        match self.exchange(&mut connection, request).await {
            Ok(answer) => Ok(self.hand_out(upstream, connection, answer)),
            Err(Exchange::NotSent(unsent)) => {
                Err(PoolError::Unreachable(io::ErrorKind::ConnectionReset.into(), unsent))
            }
            Err(Exchange::Failed(error)) => Err(error),
        }
    }

    /// Takes a kept connection that is ready for a request.
    async fn take(&self, upstream: &Endpoint) -> Option<SendRequest<Body>> {
        loop {
            let mut idle = self.idle().get_mut(upstream)?.pop()?;
            if idle.connection.is_closed() || idle.since.elapsed() > self.shared.limits.keepalive_timeout {
                continue;
            }
            if idle.connection.ready().await.is_ok() {
                return Some(idle.connection);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<Endpoint, Vec<Idle>>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, upstream: &Endpoint) -> io::Result<SendRequest<Body>> {
        let connect = async {
            let Address::Tcp(address) = upstream.address() else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) =
                http1::Builder::new().handshake(TokioIo::new(Patient::new(stream))).await.map_err(io::Error::other)?;
            let upstream = upstream.clone();
            // the task lives as long as the connection, which ends with the pool or the worker's runtime
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(?upstream, %error, "upstream connection ended");
                }
            });
            Ok(sender)
        };
        pingora_timeout::timeout(self.shared.limits.connect_timeout, connect)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn exchange(
        &self,
        connection: &mut SendRequest<Body>,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, Exchange> {
        let progress = match request.body_mut() {
            Body::Stream(stream) => Some(stream.progress()),
            Body::Empty | Body::Full(_) | Body::Lost => None,
        };
        let answer = connection.try_send_request(request);
        match within(self.shared.limits.response_timeout, progress, answer).await {
            None => Err(Exchange::Failed(PoolError::TimedOut)),
            Some(Ok(answer)) => Ok(answer),
            Some(Err(mut failure)) => Err(match failure.take_message() {
                Some(unsent) => Exchange::NotSent(Box::new(unsent)),
                None => Exchange::Failed(PoolError::from(failure.into_error())),
            }),
        }
    }

    /// Wraps the answer's body so that the connection comes back when it has ended.
    fn hand_out(
        &self,
        upstream: &Endpoint,
        connection: SendRequest<Body>,
        answer: Response<Incoming>,
    ) -> Response<Body> {
        let mut answer = answer.map(|body| Body::stream(body, Sender::Upstream, self.shared.limits.idle_timeout));
        let (pool, upstream) = (self.clone(), upstream.clone());
        let give_back = move || pool.give_back(upstream, connection);
        match answer.body_mut() {
            Body::Stream(stream) => stream.on_end(give_back),
            Body::Empty | Body::Full(_) | Body::Lost => give_back(),
        }
        answer
    }

    fn give_back(&self, upstream: Endpoint, connection: SendRequest<Body>) {
        if connection.is_closed() {
            return;
        }
        let mut idle = self.idle();
        let kept = idle.entry(upstream).or_default();
        if kept.len() < self.shared.limits.idle_connections {
            kept.push(Idle { connection, since: Instant::now() });
        }
    }
}

/// How a try on one connection ended.
enum Exchange {
    NotSent(Box<Request<Body>>),
    Failed(PoolError),
}

/// Waits for an answer as long as the request's body moves, and then for the timeout.
///
/// The timeout may be minutes. `pingora-timeout` keeps a timer until it would have fired, which is cheap for the short
/// deadlines elsewhere; tokio's goes with the answer.
async fn within<T>(timeout: Duration, progress: Option<Progress>, answer: impl Future<Output = T>) -> Option<T> {
    let Some(progress) = progress else {
        return tokio::time::timeout(timeout, answer).await.ok();
    };
    let mut answer = pin!(answer);
    let mut seen = progress.frames();
    loop {
        if let Ok(answer) = tokio::time::timeout(timeout, answer.as_mut()).await {
            return Some(answer);
        }
        let now = progress.frames();
        if now == seen {
            return None;
        }
        seen = now;
    }
}

impl From<hyper::Error> for PoolError {
    fn from(error: hyper::Error) -> Self {
        let from_client = error.source().and_then(|source| source.downcast_ref::<BodyError>()).is_some_and(|cause| {
            matches!(cause, BodyError::Broken(Sender::Client, _) | BodyError::Silent(Sender::Client, _))
        });
        if from_client {
            Self::ClientBody(error)
        } else if error.is_parse() {
            Self::Garbled(error)
        } else {
            Self::Broken(error)
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

impl fmt::Debug for Pool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pool").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}
