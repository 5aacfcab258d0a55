//! A deadline that costs little where answers come in time.
//!
//! A timer that is made and taken down with each exchange costs more than the rest of the waiting. So a connection keeps
//! one timer, which may fire too early: it is then set to where the deadline has moved.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::Sleep;

/// When the wait for the other side ends.
#[derive(Debug, Default)]
pub struct Deadline {
    until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Forgets the deadline: the next wait begins anew.
    pub fn clear(&mut self) {
        self.until = None;
    }

    /// Waits until the deadline has passed; it begins with the first call, and lasts so long.
    pub fn poll_passed(&mut self, timeout: Duration, context: &mut Context<'_>) -> Poll<()> {
        let until = *self.until.get_or_insert_with(|| Instant::now() + timeout);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        while timer.as_mut().poll(context).is_ready() {
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }

    /// Lets go of whoever waited.
    pub fn rest(&mut self) {
        self.until = None;
        if let Some(timer) = &mut self.timer {
            // the waker of a task that is done would keep its memory
            let _ = timer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}
