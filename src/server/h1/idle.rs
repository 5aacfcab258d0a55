//! The time between requests: how long a connection may be silent, and how long a head may take.

use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::framing::Violation;
use crate::server::Settings;
use crate::server::h1::wire;
use crate::server::h1::wire::Next;
use crate::server::h1::wire::Shared;

/// Waits for the requests of one connection.
///
/// One timer serves all its silences: setting a timer costs more than reading the clock, so it is set once and, when it
/// fires, set again to what is left of the silence that is then.
pub struct Idle<'a> {
    settings: &'a Settings,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    since: Instant,
    silence: Option<Pin<Box<Sleep>>>,
    head: Option<Pin<Box<Sleep>>>,
    grace: Option<Pin<Box<Sleep>>>,
}

impl<'a> Idle<'a> {
    /// Waits within these times, and only for the grace once `stop` is told.
    pub fn new(settings: &'a Settings, stop: CancellationToken) -> Self {
        let stop = Box::pin(stop.cancelled_owned());
        Self { settings, stop, since: Instant::now(), silence: None, head: None, grace: None }
    }

    /// Waits for the next head.
    ///
    /// # Errors
    /// Tells how the connection broke.
    pub async fn next<S: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: &Shared<S>) -> io::Result<Next> {
        self.since = Instant::now();
        poll_fn(|context| self.poll_next(wire, context)).await
    }

    fn poll_next<S>(&mut self, wire: &Shared<S>, context: &mut Context<'_>) -> Poll<io::Result<Next>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let has_begun = {
            let mut wire = wire::lock(wire);
            if let Poll::Ready(next) = wire.poll_head(context, self.settings.max_head_bytes) {
                self.head = None;
                return Poll::Ready(next);
            }
            wire.holds_bytes()
        };
        if has_begun {
            ready!(poll_timer(&mut self.head, self.settings.head_timeout, context));
            self.head = None;
            return Poll::Ready(Ok(Next::Violation(Violation::HeadTooSlow)));
        }
        if self.stop.as_mut().poll(context).is_ready() {
            // a request may be on its way to here: it is answered, and the answer says that it is the last
            ready!(poll_timer(&mut self.grace, self.settings.drain_grace, context));
            return Poll::Ready(Ok(Next::Nothing));
        }
        self.poll_silence(context).map(|()| Ok(Next::Nothing))
    }

    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let ends = self.since + self.settings.keepalive_timeout;
        loop {
            let timer = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(ends)));
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= ends {
                return Poll::Ready(());
            }
            timer.as_mut().reset(ends);
        }
    }
}

/// Polls a timer that is made when it is first waited for.
pub fn poll_timer(timer: &mut Option<Pin<Box<Sleep>>>, time: Duration, context: &mut Context<'_>) -> Poll<()> {
    timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(time))).as_mut().poll(context)
}
