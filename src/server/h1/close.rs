//! The end of a connection: the last answer must arrive.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::server::h1::wire;
use crate::server::h1::wire::Shared;
use crate::server::h1::wire::Wire;

/// How much of what a client still sends after the last answer is read, and for how long: closing a socket that holds
/// unread bytes resets the connection and can destroy the answer on its way.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Says the last word and reads past what the client still sends, for a bounded time.
///
/// # Errors
/// Tells that the client has gone.
pub async fn close<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared<S>) -> io::Result<()> {
    let mut lingering = None;
    let closing = poll_fn(|context| wire::lock(shared).poll_close(&mut lingering, context));
    tokio::time::timeout(LINGER_TIME, closing).await.unwrap_or(Ok(()))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Shuts the writing side, then reads; `read` counts the bytes once that has begun.
    fn poll_close(&mut self, read: &mut Option<usize>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if read.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            if self.is_at_head() && self.unread.is_empty() {
                return Poll::Ready(Ok(()));
            }
            *read = Some(0);
        }
        while read.is_some_and(|read| read < LINGER_BYTES) {
            self.unread.clear();
            match ready!(self.poll_fill::<LINGER_READ>(context)) {
                Ok(0) | Err(_) => break,
                Ok(count) => *read = read.map(|read| read + count),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// How much is read at once while lingering.
const LINGER_READ: usize = 16 * 1024;
