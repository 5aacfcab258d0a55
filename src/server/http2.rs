//! HTTP/2 on one connection (RFC 9113): its streams are accepted, bounded, and drained.
//!
//! The h2 crate ends a connection that floods it: with resets of streams that nobody has looked at yet, with errors,
//! CONTINUATION, PING, SETTINGS or empty DATA frames. What is left to bound is set here.

pub mod exchange;
pub mod keepalive;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use h2::server::Connection;
use http::Request;
use http::Response;
use tokio::task::JoinError;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::framing::Violation;
use crate::peer::Peer;
use crate::server::Settings;
use crate::server::h1::answer::AnswerBody;
use crate::server::http2::exchange::Ended;
use crate::server::http2::exchange::Exchange;
use crate::server::http2::keepalive::Moved;
use crate::server::wire::Io;

/// The bounds of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many requests may be under way at once (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub max_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_streams: 100 }
    }
}

/// How much of one body, and of all bodies of a connection, may wait to be read.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How long a frame may be: the least there is (section 4.2).
const FRAME_BYTES: u32 = 16 * 1024;
/// How much of one answer may wait to be sent.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How large the table of a connection's repeated fields may be: the protocol's own default (RFC 7541).
const HEADER_TABLE_BYTES: u32 = 4096;
/// How many streams a client may reset before anybody has looked at them (CVE-2023-44487).
const UNSEEN_RESETS: usize = 20;
/// How many streams may end by errors of the client.
const ERRORS: usize = 128;
/// How many reset streams are remembered, so that what was under way on them is no error.
const REMEMBERED_RESETS: usize = 32;
/// How many requests a client may take back before it has to have had as many answers.
const HASTE: u64 = 100;

/// Speaks HTTP/2 until the connection ends.
pub async fn serve<A, F, B>(
    stream: Box<dyn Io>,
    peer: Peer,
    limits: Limits,
    settings: &Settings,
    answer: A,
    stop: CancellationToken,
) where
    A: Fn(Peer, Option<Violation>, Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: AnswerBody + Send + 'static,
{
    let handshake = builder(limits, settings).handshake(stream);
    match tokio::time::timeout(settings.head_timeout, handshake).await {
        Ok(Ok(connection)) => converse(connection, peer, settings, answer, stop).await,
        Ok(Err(error)) => tracing::debug!(peer.ip = %peer.address, %error, "HTTP/2 did not begin"),
        Err(_) => tracing::debug!(peer.ip = %peer.address, "HTTP/2 did not begin within server.head_timeout"),
    }
}

fn builder(limits: Limits, settings: &Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.max_streams)
        // h2's own answer to a large head stands behind the gate's, which has a line in the log
        .max_header_list_size(u32::try_from(settings.max_head_bytes * 2).unwrap_or(u32::MAX))
        .header_table_size(HEADER_TABLE_BYTES)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .max_local_error_reset_streams(Some(ERRORS))
        .max_concurrent_reset_streams(REMEMBERED_RESETS);
    builder
}

/// Accepts requests until the connection ends, or is asked to.
async fn converse<A, F, B>(
    mut connection: Connection<Box<dyn Io>, Bytes>,
    peer: Peer,
    settings: &Settings,
    answer: A,
    stop: CancellationToken,
) where
    A: Fn(Peer, Option<Violation>, Request<Body>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: AnswerBody + Send + 'static,
{
    let moved = Moved::default();
    let exchange = Exchange {
        peer,
        answer,
        max_head_bytes: settings.max_head_bytes,
        client_idle_timeout: settings.client_idle_timeout,
        write_timeout: settings.write_timeout,
        moved: moved.clone(),
    };
    let mut streams = JoinSet::new();
    let mut tally = Tally::default();
    let mut is_leaving = false;
    let mut lost = pin!(keepalive::lost(connection.ping_pong(), moved));
    let mut idle = pin!(tokio::time::sleep(settings.keepalive_timeout));
    loop {
        tokio::select! {
            // also moves all that is to be read and written
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => drop(streams.spawn(exchange.clone().run(request, respond))),
                Some(Err(error)) => {
                    tracing::debug!(peer.ip = %peer.address, %error, "client connection ended");
                    break;
                }
                None => break,
            },
            Some(ended) = streams.join_next(), if !streams.is_empty() => {
                if tally.is_hasty(&ended) {
                    tracing::debug!(peer.ip = %peer.address, "the client takes back what it asks");
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                }
                if streams.is_empty() {
                    idle.as_mut().reset(Instant::now() + settings.keepalive_timeout);
                }
            }
            () = idle.as_mut(), if streams.is_empty() && !is_leaving => {
                connection.graceful_shutdown();
                is_leaving = true;
            }
            () = stop.cancelled(), if !is_leaving => {
                connection.graceful_shutdown();
                is_leaving = true;
            }
            () = lost.as_mut() => {
                tracing::debug!(peer.ip = %peer.address, "the client is gone");
                break;
            }
        }
    }
    streams.shutdown().await;
}

/// Counts what became of a connection's requests.
#[derive(Debug, Default)]
struct Tally {
    answered: u64,
    taken_back: u64,
}

impl Tally {
    /// Tells whether the client takes back far more than it waits for.
    fn is_hasty(&mut self, ended: &Result<Ended, JoinError>) -> bool {
        match ended {
            Ok(Ended::Answered) => self.answered += 1,
            Ok(Ended::TakenBack) => self.taken_back += 1,
            Ok(Ended::Broken) | Err(_) => {}
        }
        self.taken_back > HASTE && self.taken_back > self.answered
    }
}
