//! Notices that a client of HTTP/2 is gone although its connection still stands.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use h2::Ping;
use h2::PingPong;

/// Counts what has moved on a connection, in either direction.
#[derive(Clone, Debug, Default)]
pub struct Moved(Arc<AtomicU64>);

/// How long nothing may move before the client is asked whether it is there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PONG_TIMEOUT: Duration = Duration::from_secs(20);

impl Moved {
    /// Notes that something moved.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ends when the client does not answer to a PING (RFC 9113 section 6.7), and moves nothing meanwhile: behind a slow
/// link its answer waits until what it had sent before is through.
pub async fn lost(ping_pong: Option<PingPong>, moved: Moved) {
    let Some(mut ping_pong) = ping_pong else { return pending().await };
    loop {
        let before = moved.count();
        tokio::time::sleep(PING_INTERVAL).await;
        if moved.count() != before {
            continue;
        }
        let mut pong = std::pin::pin!(ping_pong.ping(Ping::opaque()));
        loop {
            let before = moved.count();
            match tokio::time::timeout(PONG_TIMEOUT, pong.as_mut()).await {
                Ok(Ok(_)) => break,
                // the connection ends by itself
                Ok(Err(_)) => return pending().await,
                Err(_) if moved.count() == before => return,
                Err(_) => {}
            }
        }
    }
}
