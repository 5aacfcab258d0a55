//! A future that does one more thing when another is done: the mechanics of every edge layer, written once.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;

/// What is done with the outcome.
pub trait Finish<T> {
    /// What becomes of it.
    type Output;

    /// Does it, once.
    fn finish(self, outcome: T) -> Self::Output;
}

pin_project! {
    /// Waits for the inner future, then finishes.
    #[derive(Debug)]
    pub struct After<F, D> {
        #[pin]
        inner: F,
        finish: Option<D>,
    }
}

impl<F, D> After<F, D> {
    /// Finishes `inner` with `finish`.
    pub fn new(inner: F, finish: D) -> Self {
        Self { inner, finish: Some(finish) }
    }
}

impl<F: Future, D: Finish<F::Output>> Future for After<F, D> {
    type Output = D::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<D::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(context));
        match this.finish.take() {
            Some(finish) => Poll::Ready(finish.finish(outcome)),
            // a future that is polled after it was ready may do anything but lie
            None => Poll::Pending,
        }
    }
}
