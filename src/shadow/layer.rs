//! Copies calls on their way to the primary. What is not copied passes as if this were not here.

use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures_util::future::Either;
use tower::Layer;
use tower::Service;

use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::edge::after::After;
use crate::shadow::Desk;
use crate::shadow::draft::Draft;

/// Puts [`Copying`] before a service.
#[derive(Clone, Debug)]
pub struct ShadowLayer {
    desk: Option<Arc<Desk>>,
}

/// Copies what is wanted.
#[derive(Clone, Debug)]
pub struct Copying<S> {
    desk: Option<Arc<Desk>>,
    inner: S,
}

impl ShadowLayer {
    /// Copies for the desk, if there is one.
    pub fn new(desk: Option<Arc<Desk>>) -> Self {
        Self { desk }
    }
}

impl<S> Layer<S> for ShadowLayer {
    type Service = Copying<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Copying { desk: self.desk.clone(), inner }
    }
}

impl<S> Service<Call> for Copying<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>>,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Either<S::Future, After<S::Future, Box<Draft>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        match self.desk.as_ref().and_then(|desk| Draft::open(desk, &mut call)) {
            Some(draft) => Either::Right(After::new(self.inner.call(call), draft)),
            None => Either::Left(self.inner.call(call)),
        }
    }
}
