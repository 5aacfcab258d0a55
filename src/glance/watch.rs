//! Watches the traffic that passes through for changes of what is remembered.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use pin_project_lite::pin_project;
use tower::Layer;
use tower::Service;
use uuid::Uuid;

use crate::call::Call;
use crate::glance::Ownerships;
use crate::openstack::member_action::Action;
use crate::openstack::target::MemberPath;

/// A call, and the image it changes if it is granted.
#[derive(Debug)]
pub struct Passing {
    /// The call.
    pub call: Call,
    /// The image whose owner, visibility or members it may change.
    pub changes: Option<Uuid>,
}

impl Passing {
    /// Reads from the account of a guarded call which image it changes.
    pub fn of_guarded(call: Call) -> Self {
        let changes = call.account.action().is_some_and(Action::changes_members);
        let changes = call.account.path.as_ref().filter(|_| changes).and_then(MemberPath::image_uuid);
        Self { call, changes }
    }
}

/// Puts a [`Watch`] before a service.
#[derive(Clone, Debug)]
pub struct WatchLayer {
    ownerships: Ownerships,
}

/// Forgets an image when a change of it goes out and again when the answer is there.
///
/// Once would not do: between the two, somebody may look up and remember the old state.
#[derive(Clone, Debug)]
pub struct Watch<S> {
    ownerships: Ownerships,
    inner: S,
}

pin_project! {
    /// Forgets once more when the inner future is done.
    #[derive(Debug)]
    pub struct WatchFuture<F> {
        #[pin]
        inner: F,
        again: Option<ForgetOnDrop>,
    }
}

/// Forgets an image when the answer is there, or when nobody waits for it any more.
#[derive(Debug)]
struct ForgetOnDrop {
    ownerships: Ownerships,
    image: Uuid,
}

impl WatchLayer {
    /// Watches for the sake of `ownerships`.
    pub fn new(ownerships: Ownerships) -> Self {
        Self { ownerships }
    }
}

impl<S> Layer<S> for WatchLayer {
    type Service = Watch<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Watch { ownerships: self.ownerships.clone(), inner }
    }
}

impl<S: Service<Call>> Service<Passing> for Watch<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = WatchFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, passing: Passing) -> Self::Future {
        let again = passing.changes.map(|image| {
            self.ownerships.forget(image);
            ForgetOnDrop { ownerships: self.ownerships.clone(), image }
        });
        WatchFuture { inner: self.inner.call(passing.call), again }
    }
}

impl<F: Future> Future for WatchFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(context));
        drop(this.again.take());
        Poll::Ready(output)
    }
}

impl Drop for ForgetOnDrop {
    fn drop(&mut self) {
        self.ownerships.forget(self.image);
    }
}
