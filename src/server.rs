//! Accepts connections, speaks HTTP on them, and drains; knows nothing of `OpenStack`.

pub mod admin;
pub mod h1;
pub mod handover;
pub mod http2;
pub mod inherited;
pub mod proxy_protocol;
pub mod queue;
pub mod tls;
pub mod wire;
pub mod workers;

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::Response;
use pingora_limits::inflight::Guard;
use pingora_limits::inflight::Inflight;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::framing::Violation;
use crate::peer::Peer;
use crate::server::h1::answer::AnswerBody;
use crate::server::wire::Io;
use crate::server::wire::Opened;
use crate::server::wire::Wire;
use crate::server::workers::BACKLOG;

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
    /// How long a connection that is idle waits for one more request when the gate stops.
    pub drain_grace: Duration,
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
            drain_grace: Duration::from_secs(1),
            max_head_bytes: 64 * 1024,
            max_connections: 10_000,
            max_connections_per_client: 0,
        }
    }
}

/// Serves until it is told to stop, then lets the requests that are under way end.
///
/// Each new connection gets what `wire` and `settings` return then; `drain` tells how long the drain may take.
/// Returns how many connections had to be cut off.
pub async fn serve<A, F, B>(
    listener: TcpListener,
    wire: impl Fn() -> Arc<Wire>,
    settings: impl Fn() -> Arc<Settings>,
    answer: A,
    counts: Counts,
    stop: CancellationToken,
    drain: impl Fn() -> Duration,
) -> usize
where
    A: Fn(Peer, Option<Violation>, Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: AnswerBody + Send + 'static,
{
    // the worker's own, so that no lock is shared between workers
    let stop = stop.child_token();
    let mut tasks = JoinSet::new();
    let begin = |tasks: &mut JoinSet<()>, stream, peer: SocketAddr, settings: Arc<Settings>| {
        let arrival = Arrival { stream, address: peer.ip().to_canonical(), counts: counts.clone() };
        tasks.spawn(connection(arrival, wire(), settings, answer.clone(), stop.clone()));
    };
    loop {
        let settings = settings();
        let has_room = tasks.len() < settings.max_connections;
        tokio::select! {
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, peer)) => begin(&mut tasks, stream, peer, settings),
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
    // who is in the queue has been let in by the kernel: they get a place over the bound
    for (stream, peer) in queue::empty(listener, BACKLOG) {
        begin(&mut tasks, stream, peer, settings());
    }
    let drained = tokio::time::timeout(drain(), async { while tasks.join_next().await.is_some() {} }).await;
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

/// A connection of which nothing is known yet.
struct Arrival {
    stream: TcpStream,
    address: IpAddr,
    counts: Counts,
}

async fn connection<A, F, B>(
    arrival: Arrival,
    wire: Arc<Wire>,
    settings: Arc<Settings>,
    answer: A,
    stop: CancellationToken,
) where
    A: Fn(Peer, Option<Violation>, Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: AnswerBody + Send + 'static,
{
    let Arrival { mut stream, mut address, counts } = arrival;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the client went away at once");
        return;
    }
    if let Some(proxy_protocol) = &wire.proxy_protocol {
        match proxy_protocol.client(&mut stream, address, settings.head_timeout).await {
            Some(client) => address = client,
            None => return,
        }
    }
    // over its bound a client's connection is closed by being dropped
    let Some(_counted) = counts.enter(address, settings.max_connections_per_client) else { return };
    match wire.open(stream, Peer::plain(address), &settings, &stop).await {
        None => {}
        Some(Opened::Plain(stream, peer)) => http1(stream, peer, &settings, answer, stop).await,
        Some(Opened::Http2(stream, peer, limits)) => {
            Box::pin(http2::serve(stream, peer, limits, &settings, answer, stop)).await;
        }
        // boxed: what TLS needs is not to be held for each connection in the clear
        Some(Opened::Secured(stream, peer)) => Box::pin(http1(stream, peer, &settings, answer, stop)).await,
    }
}

/// Speaks HTTP/1.1 until the connection ends.
async fn http1<A, F, B>(stream: impl Io + 'static, peer: Peer, settings: &Settings, answer: A, stop: CancellationToken)
where
    A: Fn(Peer, Option<Violation>, Request<Body>) -> F,
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: AnswerBody,
{
    let answer = move |violation, request| answer(peer, violation, request);
    if let Err(error) = h1::serve(stream, settings, answer, stop).await {
        tracing::debug!(peer.ip = %peer.address, %error, "client connection ended");
    }
}
