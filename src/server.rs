//! Accepts connections, speaks HTTP/1.1 on them, and drains; knows nothing of `OpenStack`.

pub mod admin;
pub mod guard;
pub mod workers;

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::Response;
use http_body::Body as HttpBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use pingora_limits::inflight::Guard;
use pingora_limits::inflight::Inflight;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::body::Sender;
use crate::framing::Bounds;
use crate::framing::Violation;
use crate::server::guard::Guard as FramingGuard;

/// The bounds of client connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a request's head may take, from its first byte to its last.
    pub head_timeout: Duration,
    /// How long a connection may be idle before a request.
    pub keepalive_timeout: Duration,
    /// How long a client may refuse to take a byte.
    pub write_timeout: Duration,
    /// How long a client may pause in a body.
    pub client_idle_timeout: Duration,
    /// How large a request's head may be.
    pub max_head_bytes: usize,
    /// How many connections there may be; over it, new ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How many connections one address may have; over it, new ones are closed at once. Zero means no bound.
    pub max_connections_per_client: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            keepalive_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_mins(10),
            client_idle_timeout: Duration::from_mins(10),
            max_head_bytes: 64 * 1024,
            max_connections: 10_000,
            max_connections_per_client: 0,
        }
    }
}

/// Serves until it is told to stop, then lets the requests that are under way end, for at most `drain`.
///
/// Returns how many connections had to be cut off.
pub async fn serve<A, F, B>(
    listener: TcpListener,
    settings: Settings,
    answer: A,
    counts: Counts,
    stop: CancellationToken,
    drain: Duration,
) -> usize
where
    A: Fn(IpAddr, Option<Violation>, Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut tasks = JoinSet::new();
    loop {
        let has_room = tasks.len() < settings.max_connections;
        tokio::select! {
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, peer)) => {
                    let peer = peer.ip().to_canonical();
                    // over its bound a client's connection is closed by being dropped
                    if let Some(counted) = counts.enter(peer, settings.max_connections_per_client) {
                        let connection = connection(stream, peer, settings.clone(), answer.clone(), stop.clone());
                        tasks.spawn(async move {
                            let _counted = counted;
                            connection.await;
                        });
                    }
                }
                Err(error) => {
                    // out of file descriptors, most likely: connections that end make room
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(drain, async { while tasks.join_next().await.is_some() {} }).await;
    let cut = if drained.is_ok() { 0 } else { tasks.len() };
    tasks.shutdown().await;
    cut
}

/// What counts connections for all workers together.
#[derive(Clone)]
pub struct Counts {
    /// All of them, for the metrics.
    pub connections: Gauge,
    /// Those of each client, for the bound on them.
    pub clients: Arc<Inflight>,
}

/// Counts a connection while it lives.
struct Counted {
    connections: Gauge,
    _client: Guard,
}

impl Counts {
    /// Counts a connection, unless the client has too many.
    fn enter(&self, client: IpAddr, bound: usize) -> Option<Counted> {
        let (guard, count) = self.clients.incr(client, 1);
        if bound > 0 && usize::try_from(count).is_ok_and(|count| count > bound) {
            return None;
        }
        self.connections.inc();
        Some(Counted { connections: self.connections.clone(), _client: guard })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.dec();
    }
}

async fn connection<A, F, B>(stream: TcpStream, peer: IpAddr, settings: Settings, answer: A, stop: CancellationToken)
where
    A: Fn(IpAddr, Option<Violation>, Request<Body>) -> F,
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: HttpBody + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the client went away at once");
        return;
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(settings.write_timeout));
    // hyper's own limit stands behind the guard's, and must not strike first
    let bounds = Bounds { max_bytes: settings.max_head_bytes };
    let stream = FramingGuard::new(Box::pin(stream), bounds, settings.head_timeout);
    let verdict = stream.verdict();
    let idle = settings.client_idle_timeout;
    let service = service_fn(move |request: Request<Incoming>| {
        answer(peer, verdict.next(), request.map(|body| Body::stream(body, Sender::Client, idle)))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // runs from the end of the request before, so it is the idle time; a head that has begun is the guard's to time
        .header_read_timeout(settings.keepalive_timeout + settings.head_timeout)
        .max_buf_size(settings.max_head_bytes * 2)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer.ip = %peer, %error, "client connection ended");
    }
}
