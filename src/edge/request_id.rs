//! The request id of every answer: `x-openstack-request-id`, also where Glance forgets it.

use std::convert::Infallible;
use std::task::Context;
use std::task::Poll;

use http::Response;
use tower::Layer;
use tower::Service;

use crate::call::Call;
use crate::edge::after::After;
use crate::edge::after::Finish;
use crate::edge::tell::Told;
use crate::openstack::request_id::RequestId;
use crate::openstack::request_id::X_OPENSTACK_REQUEST_ID;

/// Puts [`WithRequestId`] around a service.
#[derive(Clone, Copy, Debug)]
pub struct RequestIdLayer;

/// Marks each answer with the id of its request.
#[derive(Clone, Debug)]
pub struct WithRequestId<S> {
    inner: S,
}

/// The id an answer is marked with.
#[derive(Clone, Copy, Debug)]
pub struct Mark(RequestId);

impl<S> Layer<S> for RequestIdLayer {
    type Service = WithRequestId<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithRequestId { inner }
    }
}

impl<S> Service<Call> for WithRequestId<S>
where
    S: Service<Call, Response = Response<Told>, Error = Infallible>,
{
    type Response = Response<Told>;
    type Error = Infallible;
    type Future = After<S::Future, Mark>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let mark = Mark(call.account.request_id);
        After::new(self.inner.call(call), mark)
    }
}

impl Finish<Result<Response<Told>, Infallible>> for Mark {
    type Output = Result<Response<Told>, Infallible>;

    fn finish(self, outcome: Result<Response<Told>, Infallible>) -> Self::Output {
        outcome.map(|mut response| {
            response.headers_mut().insert(X_OPENSTACK_REQUEST_ID, self.0.to_header());
            response
        })
    }
}
