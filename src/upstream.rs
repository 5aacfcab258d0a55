//! The end of the way: the request goes to an image store, the answer streams back.

pub mod balance;
pub mod health;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use http::HeaderValue;
use http::Method;
use http::Request;
use http::Uri;
use http::Version;
use http::header::CONTENT_LENGTH;
use http::header::HOST;
use tower::Service;

use crate::body::Body;
use crate::call::Account;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::client::hop_by_hop;
use crate::client::pool::Pool;
use crate::client::pool::PoolError;
use crate::openstack::request_id::X_OPENSTACK_REQUEST_ID;
use crate::refusal::Refusal;
use crate::telemetry::metrics::Metrics;
use crate::upstream::balance::Balance;

/// Sends each call to one of the upstreams through the worker's own connections.
#[derive(Clone, Debug)]
pub struct Forward {
    balance: Balance,
    pool: Pool,
    metrics: Metrics,
}

impl Forward {
    /// Joins the choice of the upstream with the worker's connections.
    pub fn new(balance: Balance, pool: Pool, metrics: Metrics) -> Self {
        Self { balance, pool, metrics }
    }

    async fn send(self, call: Call) -> Result<Answer, Box<Refused>> {
        let (mut request, mut account) = call.into_request();
        prepare(&mut request, &account);
        let mut tried = Vec::new();
        let mut refused: Cow<'static, str> = "no upstream".into();
        while let Some(upstream) = self.balance.choose(&tried) {
            tried.push(upstream.clone());
            name_host(&mut request, upstream.authority());
            let error = match self.pool.send(&upstream, request).await {
                Ok(mut response) => {
                    hop_by_hop::strip(response.headers_mut());
                    self.metrics.neighbour(upstream.name(), "ok");
                    account.upstream_status = Some(response.status());
                    return Ok(Answer { response, account });
                }
                Err(error) => error,
            };
            self.metrics.neighbour(upstream.name(), outcome(&error));
            match error {
                // nothing was sent, so the next upstream may have it
                PoolError::Unreachable(cause, unsent) => {
                    refused = format!("{} cannot be connected to: {cause}", upstream.name()).into();
                    request = *unsent;
                }
                error => {
                    return Err(Call::spent(account)
                        .refuse(refusal(&error), Cow::Owned(format!("{}: {error}", upstream.name()))));
                }
            }
        }
        Err(Call::spent(account).refuse(Refusal::UpstreamUnavailable, refused))
    }
}

impl Service<Call> for Forward {
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Box<Refused>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(self.clone().send(call))
    }
}

/// Makes the request one between the gate and the upstream: origin-form, HTTP/1.1, the gate's request id.
fn prepare(request: &mut Request<Body>, account: &Account) {
    if let Some(target) = request.uri().path_and_query() {
        *request.uri_mut() = Uri::from(target.clone());
    }
    *request.version_mut() = Version::HTTP_11;
    // a PUT or POST says that it is empty (RFC 9110 section 8.6); hyper leaves that out
    let is_empty = matches!(request.body(), Body::Empty);
    if is_empty && matches!(*request.method(), Method::PUT | Method::POST | Method::PATCH) {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    request.headers_mut().insert(X_OPENSTACK_REQUEST_ID, account.request_id.to_header());
}

/// Gives a request of HTTP/1.0 the `Host` that one of HTTP/1.1 must have (RFC 9112 section 3.2).
fn name_host(request: &mut Request<Body>, authority: &str) {
    if !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::try_from(authority)
    {
        request.headers_mut().insert(HOST, host);
    }
}

fn outcome(error: &PoolError) -> &'static str {
    match error {
        PoolError::Unreachable(..) => "unreachable",
        PoolError::Broken(_) => "broken",
        PoolError::Garbled(_) => "garbled",
        PoolError::ClientBody(_) => "client_aborted",
        PoolError::TimedOut => "timed_out",
    }
}

fn refusal(error: &PoolError) -> Refusal {
    match error {
        PoolError::Unreachable(..) | PoolError::Broken(_) | PoolError::TimedOut => Refusal::UpstreamUnavailable,
        PoolError::Garbled(_) => Refusal::UpstreamGarbled,
        PoolError::ClientBody(_) => Refusal::BodyBroken,
    }
}
