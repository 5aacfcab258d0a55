//! The end of the way: the request goes to an image store, the answer streams back.

pub mod adaptive;
pub mod balance;
pub mod breaker;
pub mod candidate;
pub mod chosen;
pub mod health;
pub mod outcome;
pub mod retry;
pub mod rules;
pub mod select;
pub mod shed;
pub mod waiting;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
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
use crate::telemetry::traces::exchange::Asked;
use crate::telemetry::traces::exchange::Exchange;
use crate::upstream::balance::Balance;
use crate::upstream::chosen::Choice;
use crate::upstream::chosen::Tried;
use crate::upstream::outcome::Outcome;
use crate::upstream::retry::Repeatable;
use crate::upstream::shed::ShedLayer;

/// Sends each call to one of the upstreams through the worker's own connections; cloning shares them.
#[derive(Clone, Debug)]
pub struct Forward {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    balance: Balance,
    pool: Pool,
}

impl Forward {
    /// Joins the choice of the upstream with the worker's connections.
    pub fn new(balance: Balance, pool: Pool) -> Self {
        Self { shared: Arc::new(Shared { balance, pool }) }
    }

    /// Returns the layer that sheds load before it comes here.
    pub fn shed(&self) -> ShedLayer {
        self.shared.balance.shed()
    }
}

impl Shared {
    async fn send(self: Arc<Self>, call: Call) -> Result<Answer, Box<Refused>> {
        let (mut request, mut account) = call.into_request();
        prepare(&mut request, &account);
        let key = self.balance.key(request.uri().path());
        let repeatable = Repeatable::of(&request);
        let mut tried = Tried::default();
        // what to say when nobody is left
        let mut refused = (Refusal::UpstreamUnavailable, Cow::Borrowed("no upstream is in use"));
        loop {
            let mut chosen = match self.balance.choose(key, repeatable, &mut tried) {
                Choice::One(chosen) => chosen,
                Choice::Full => {
                    let (head, body) = request.into_parts();
                    let cause = Cow::Borrowed("every upstream in use has upstream.max_in_flight requests");
                    return Err(Call { head: Box::new(head), body, account }.refuse(Refusal::UpstreamBusy, cause));
                }
                Choice::None => return Err(Call::spent(account).refuse(refused.0, refused.1)),
            };
            let (label, endpoint) = (chosen.label(), chosen.endpoint());
            name_host(&mut request, endpoint.authority());
            let spare = chosen.spare(&request, repeatable);
            let exchange = begin_exchange(&account, label, tried, &mut request);
            chosen.sends(&request);
            let error = match self.pool.send(endpoint, request).await {
                Ok(mut response) => {
                    hop_by_hop::strip(response.headers_mut());
                    chosen.answered(&mut response);
                    account.upstream_status = Some(response.status());
                    if let Some(exchange) = exchange {
                        exchange.answered(response.status());
                    }
                    return Ok(Answer { response, account });
                }
                Err(error) => error,
            };
            let outcome = Outcome::from(&error);
            chosen.failed(outcome);
            if let Some(exchange) = exchange {
                exchange.failed(outcome.as_str());
            }
            refused = (refusal(&error), Cow::Owned(format!("{label}: {error}")));
            request = match (error, spare) {
                // nothing was sent, so the next upstream may have it
                (PoolError::Unreachable(_, unsent) | PoolError::Full(unsent), _) => {
                    self.balance.unsent();
                    *unsent
                }
                // it changes nothing, so that it does no harm if it arrived
                (PoolError::Unanswered(_, whole), None)
                    if repeatable == Repeatable::Yes && self.balance.grants_repetition(tried) =>
                {
                    *whole
                }
                (_, Some(spare)) if self.balance.grants_repetition(tried) => spare,
                _ => return Err(Call::spent(account).refuse(refused.0, refused.1)),
            };
        }
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
        Box::pin(self.shared.clone().send(call))
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

/// Begins the span of one attempt, if the request is part of a trace.
fn begin_exchange(account: &Account, server: &str, tried: Tried, request: &mut Request<Body>) -> Option<Box<Exchange>> {
    let trace = account.trace.as_ref()?;
    let template = trace.route(request.uri().path());
    let asked = Asked { server, template, attempt: tried.count().saturating_sub(1) };
    Some(Exchange::begin(trace, &asked, request))
}

/// Gives a request of HTTP/1.0 the `Host` that one of HTTP/1.1 must have (RFC 9112 section 3.2).
fn name_host(request: &mut Request<Body>, authority: &str) {
    if !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::try_from(authority)
    {
        request.headers_mut().insert(HOST, host);
    }
}

fn refusal(error: &PoolError) -> Refusal {
    match error {
        PoolError::Unreachable(..) | PoolError::Unanswered(..) | PoolError::Broken(_) | PoolError::TimedOut => {
            Refusal::UpstreamUnavailable
        }
        PoolError::Full(_) => Refusal::UpstreamBusy,
        PoolError::Garbled(_) => Refusal::UpstreamGarbled,
        PoolError::ClientBody(_) => Refusal::BodyBroken,
    }
}
