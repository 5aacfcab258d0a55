//! A future that holds its place among those that wait for an answer's head.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;

use crate::call::Answer;
use crate::call::Refused;
use crate::upstream::shed::Place;

pin_project! {
    /// Waits, and gives the place back when it has an answer or is given up.
    #[derive(Debug)]
    pub struct Waiting<F> {
        #[pin]
        inner: F,
        place: Option<Place>,
    }
}

impl<F> Waiting<F> {
    /// Holds `place`, if there is one, while `inner` waits.
    pub fn new(inner: F, place: Option<Place>) -> Self {
        Self { inner, place }
    }
}

impl<F: Future<Output = Result<Answer, Box<Refused>>>> Future for Waiting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(context));
        if let Some(place) = this.place.take() {
            place.done(&outcome);
        }
        Poll::Ready(outcome)
    }
}
