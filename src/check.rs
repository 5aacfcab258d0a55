//! The mechanics of a check, written once: a check takes a request in one state and returns it in the next.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures_util::future::Either;
use futures_util::future::Ready;
use futures_util::future::ready;
use tower::Layer;
use tower::Service;

use crate::call::Answer;
use crate::call::Refused;

/// One step that proves something about a request, or refuses it.
pub trait Check<Req>: Send + Sync + 'static {
    /// The request with what this check proved.
    type Proven: Send + 'static;

    /// Proves it, at once if all it needs is at hand.
    fn check(self: &Arc<Self>, request: Req) -> Checking<Self::Proven>;
}

/// How far a check has come.
pub enum Checking<Proven> {
    /// To its end: nobody had to be waited for, as for nearly all requests.
    Done(Result<Proven, Box<Refused>>),
    /// Somebody has to answer first.
    ///
    /// The future is dropped when the client hangs up, so a check must not leave anything half done.
    Waits(Waiting<Proven>),
}

/// The rest of a check. It is on the heap, so that a request which waits for nobody needs no room for it.
pub type Waiting<Proven> = Pin<Box<dyn Future<Output = Result<Proven, Box<Refused>>> + Send>>;

impl<Proven> Checking<Proven> {
    /// Goes on when somebody has answered.
    pub fn waits(rest: impl Future<Output = Result<Proven, Box<Refused>>> + Send + 'static) -> Self {
        Self::Waits(Box::pin(rest))
    }
}

/// Puts a check before a service.
#[derive(Debug)]
pub struct CheckLayer<C> {
    check: Arc<C>,
}

/// A service that only sees what its check has proved.
#[derive(Debug)]
pub struct Checked<C, S> {
    check: Arc<C>,
    inner: S,
}

/// Makes a layer of a check.
pub fn check<C>(check: C) -> CheckLayer<C> {
    CheckLayer { check: Arc::new(check) }
}

impl<C, S> Layer<S> for CheckLayer<C> {
    type Service = Checked<C, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Checked { check: self.check.clone(), inner }
    }
}

impl<C, S: Clone> Clone for Checked<C, S> {
    fn clone(&self) -> Self {
        Self { check: self.check.clone(), inner: self.inner.clone() }
    }
}

impl<C, S, Req> Service<Req> for Checked<C, S>
where
    C: Check<Req>,
    S: Service<C::Proven, Response = Answer, Error = Box<Refused>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Either<S::Future, Either<Ready<Result<Answer, Box<Refused>>>, Waiting<Answer>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let rest = match self.check.check(request) {
            Checking::Done(Ok(proven)) => return Either::Left(self.inner.call(proven)),
            Checking::Done(Err(refused)) => return Either::Right(Either::Left(ready(Err(refused)))),
            Checking::Waits(rest) => rest,
        };
        // the clone is not ready, the one that was polled is: https://docs.rs/tower/latest/tower/trait.Service.html#be-careful-when-cloning-inner-services
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Either::Right(Either::Right(Box::pin(async move { inner.call(rest.await?).await })))
    }
}
