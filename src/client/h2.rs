//! HTTP/2 to an upstream: many exchanges share one connection. hyper and h2 speak it, with every limit set.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::Request;
use http::Response;
use http::Uri;
use http::Version;
use http::header;
use http::request::Parts;
use http_body::Frame;
use http_body::SizeHint;
use hyper::client::conn::http2;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;

use crate::body::Body;
use crate::body::BodyError;
use crate::body::Progress;
use crate::body::Sender;
use crate::client::endpoint::Connected;
use crate::client::endpoint::Endpoint;
use crate::client::h1::Failure;
use crate::client::h1::Timeouts;

/// A connection's sending side; cloning shares it.
#[derive(Clone)]
pub struct Link {
    /// What tells it from others.
    id: Arc<()>,
    sender: SendRequest<Outgoing>,
}

/// The shared connections to all endpoints, one for each.
#[derive(Clone, Default)]
pub struct Links {
    lanes: Arc<Mutex<Lanes>>,
}

/// Few endpoints, so that looking through them is cheaper than hashing.
type Lanes = Vec<(Endpoint, Arc<Lane>)>;

/// The way to one endpoint.
#[derive(Default)]
pub struct Lane {
    /// Held while somebody connects, so that the others wait for that connection.
    pub link: tokio::sync::Mutex<Option<Link>>,
    is_declined: AtomicBool,
}

/// A request's body that notes whether it broke, which hyper only tells the upstream.
pub struct Outgoing {
    body: Body,
    is_broken: Arc<AtomicBool>,
}

/// How much may wait for a slow client: for each answer, and for all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// How large the head of an answer may be.
const MAX_HEAD_BYTES: u32 = 64 * 1024;

/// How much of a request may wait for a slow upstream.
const SEND_BUFFER: usize = 64 * 1024;

/// How many resets of either side are remembered.
const MAX_RESETS: usize = 64;

/// How often an upstream that owes answers is asked whether it lives, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

impl Links {
    /// Returns the way to an endpoint.
    pub fn lane(&self, endpoint: &Endpoint) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, lane)) = lanes.iter().find(|(known, _)| known == endpoint) {
            return lane.clone();
        }
        let lane = Arc::new(Lane::default());
        lanes.push((endpoint.clone(), lane.clone()));
        lane
    }
}

impl Lane {
    /// Takes no more requests to this connection; those on it go on.
    pub async fn retire(&self, link: &Link) {
        let mut current = self.link.lock().await;
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.id, &link.id)) {
            *current = None;
        }
    }

    /// Notes that the upstream has chosen HTTP/1.1.
    pub fn decline(&self) {
        self.is_declined.store(true, Ordering::Relaxed);
    }

    /// Tells whether the upstream has chosen HTTP/1.1.
    pub fn is_declined(&self) -> bool {
        self.is_declined.load(Ordering::Relaxed)
    }
}

impl Link {
    /// Begins to speak HTTP/2 on a stream.
    ///
    /// # Errors
    /// Fails if the stream does.
    pub async fn open(connected: Connected) -> io::Result<Self> {
        let Connected { stream, place, .. } = connected;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD_BYTES)
            .max_send_buf_size(SEND_BUFFER)
            .max_concurrent_reset_streams(MAX_RESETS)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // the task lives as long as the connection, which ends with the pool or the worker's runtime
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(Self { id: Arc::default(), sender })
    }

    /// Tells whether the connection takes no more requests.
    pub fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends the request and returns the answer.
    ///
    /// # Errors
    /// Tells what went wrong. The request is given back as not sent only where the upstream has not processed it: it
    /// never left, or the upstream has said so (RFC 9113 section 8.7).
    pub async fn send(
        mut self,
        endpoint: &Endpoint,
        mut request: Request<Body>,
        timeouts: Timeouts,
    ) -> Result<Response<Body>, Failure> {
        let progress = match request.body_mut() {
            Body::Stream(stream) => Some(stream.progress()),
            Body::Empty | Body::Full(_) | Body::Lost => None,
        };
        let again = copy(&request);
        let host = request.headers().get(header::HOST).cloned();
        name_target(&mut request, endpoint);
        let is_broken = Arc::new(AtomicBool::new(false));
        let outgoing = request.map(|body| Outgoing { body, is_broken: is_broken.clone() });
        let answer = within(timeouts.response, progress, self.sender.try_send_request(outgoing)).await;
        let mut failure = match answer.ok_or(Failure::TimedOut)? {
            Ok(answer) => {
                let mut answer = answer.map(|body| Body::stream(body, Sender::Upstream, timeouts.idle));
                *answer.version_mut() = Version::HTTP_11;
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        if let Some(unsent) = failure.take_message() {
            let mut unsent = unsent.map(|outgoing| outgoing.body);
            if let Some(host) = host {
                unsent.headers_mut().insert(header::HOST, host);
            }
            return Err(Failure::NotSent(io::ErrorKind::NotConnected.into(), Box::new(unsent)));
        }
        let error = failure.into_error();
        if is_broken.load(Ordering::Relaxed) {
            return Err(Failure::ClientBody(BodyError::Broken(Sender::Client, error.into())));
        }
        Err(match again {
            Some((head, body)) if is_unprocessed(&error) => {
                Failure::NotSent(io::Error::other(error), Box::new(Request::from_parts(head, body)))
            }
            Some(_) | None => Failure::Broken(io::Error::other(error)),
        })
    }
}

/// Copies a request whose body the gate holds.
fn copy(request: &Request<Body>) -> Option<(Parts, Body)> {
    let body = match request.body() {
        Body::Empty => Body::Empty,
        Body::Full(bytes) => Body::Full(bytes.clone()),
        Body::Stream(_) | Body::Lost => return None,
    };
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some((copy.into_parts().0, body))
}

/// Puts the host where HTTP/2 has it (RFC 9113 section 8.3.1), and takes out what says how HTTP/1.1 frames a body.
fn name_target(request: &mut Request<Body>, endpoint: &Endpoint) {
    let host = request.headers_mut().remove(header::HOST);
    let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(endpoint.authority());
    let mut target = Uri::builder().scheme(endpoint.scheme()).authority(host);
    if let Some(path) = request.uri().path_and_query() {
        target = target.path_and_query(path.clone());
    }
    if let Ok(target) = target.build() {
        *request.uri_mut() = target;
    }
    *request.version_mut() = Version::HTTP_2;
    let headers: &mut HeaderMap = request.headers_mut();
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONNECTION);
    // the length is the body's matter
    headers.remove(header::CONTENT_LENGTH);
}

/// Tells whether the upstream has said that it has done nothing of the request.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        (cause.is_remote() && cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM))
            || (cause.is_remote() && cause.is_go_away())
    })
}

/// Waits for an answer as long as the request's body moves, and then for the timeout.
async fn within<T>(timeout: Duration, progress: Option<Progress>, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    let mut seen = progress.as_ref().map(Progress::frames);
    loop {
        if let Ok(answer) = tokio::time::timeout(timeout, answer.as_mut()).await {
            return Some(answer);
        }
        let now = progress.as_ref().map(Progress::frames);
        if now == seen {
            return None;
        }
        seen = now;
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.is_broken.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Links").finish_non_exhaustive()
    }
}
