//! The span of every request: continued from its client's trace, named in what the gate sends, told when it is done.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures_util::future::Either;
use http::Response;
use http::Version;
use http::header::HOST;
use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use tower::Layer;
use tower::Service;

use crate::call::Account;
use crate::call::Call;
use crate::edge::access_log::Outcome;
use crate::edge::tell::Told;
use crate::peer::Scheme;
use crate::peer::address_text;
use crate::telemetry::traces::Traces;
use crate::telemetry::traces::exchange;
use crate::telemetry::traces::trace::Ending;
use crate::telemetry::traces::trace::Trace;
use crate::telemetry::traces::trace::WithContext;
use crate::telemetry::traces::trace::clip;

/// Puts [`Traced`] around a service.
#[derive(Clone, Debug)]
pub struct TraceLayer {
    traces: Option<Traces>,
    mount: Arc<str>,
}

/// Gives each request its place in a trace.
#[derive(Clone, Debug)]
pub struct Traced<S> {
    traces: Option<Traces>,
    mount: Arc<str>,
    inner: S,
}

impl TraceLayer {
    /// Without `traces` there are none; `mount` is the prefix that Glance is served under.
    pub fn new(traces: Option<Traces>, mount: &str) -> Self {
        Self { traces, mount: mount.into() }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Traced { traces: self.traces.clone(), mount: self.mount.clone(), inner }
    }
}

impl<S> Service<Call> for Traced<S>
where
    S: Service<Call, Response = Response<Told>, Error = Infallible>,
{
    type Response = Response<Told>;
    type Error = Infallible;
    type Future = Either<S::Future, WithContext<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        let Some(traces) = &self.traces else { return Either::Left(self.inner.call(call)) };
        if is_health_check(&call.account) {
            return Either::Left(self.inner.call(call));
        }
        let trace = traces.begin(&call.head.headers, &self.mount);
        if trace.is_recorded()
            && let Some(host) = call.head.headers.get(HOST).and_then(|host| host.to_str().ok())
        {
            let port = if call.account.scheme == Scheme::Https { 443 } else { 80 };
            trace.note(exchange::server_attributes(host, port));
        }
        call.account.trace = Some(trace.clone());
        Either::Right(trace.around(self.inner.call(call)))
    }
}

/// Load balancers ask every few seconds, and nobody wants to see that.
fn is_health_check(account: &Account) -> bool {
    account.target.as_ref().is_some_and(|target| target.path() == "/healthcheck")
}

/// Tells how the request ended, as the semantic conventions say ("HTTP server span"): no token, no body, no query.
pub fn tell(trace: &Trace, account: &Account, outcome: &Outcome) {
    if !trace.is_recorded() {
        return;
    }
    let path = account.target.as_ref().map(http::uri::PathAndQuery::path);
    let route = path.and_then(|path| trace.route(path));
    let mut attributes = attributes(account, outcome);
    attributes.extend(path.map(|path| KeyValue::new("url.path", clip(path))));
    // what never was a request has no method either
    let method = if account.violation.is_some() { None } else { Some(&account.method) };
    let name = method.map_or("HTTP".into(), |method| exchange::name(method, route.as_deref()));
    attributes.extend(method.into_iter().flat_map(exchange::method_attributes));
    attributes.extend(route.map(|route| KeyValue::new("http.route", route)));
    let status = if outcome.status.is_server_error() { Status::error("") } else { Status::Unset };
    trace.end(Ending { name, attributes, status });
}

fn attributes(account: &Account, outcome: &Outcome) -> Vec<KeyValue> {
    let text = |key, value: &'static str| KeyValue::new(key, value);
    let mut attributes = Vec::with_capacity(24);
    attributes.extend([
        KeyValue::new("http.response.status_code", i64::from(outcome.status.as_u16())),
        KeyValue::new("http.response.body.size", i64::try_from(outcome.bytes).unwrap_or(i64::MAX)),
        KeyValue::new("client.address", address_text(account.peer, &mut [0; 45]).to_owned()),
        text("url.scheme", account.scheme.as_str()),
        text("network.protocol.version", version(account.version)),
        KeyValue::new("openstack.request_id", account.request_id.encode(&mut [0; 40]).to_owned()),
        text("glance_gate.branch", account.branch.as_str()),
        text("glance_gate.verdict", account.verdict.as_str()),
    ]);
    if let Some(refusal) = account.refusal {
        attributes.push(text("glance_gate.reason", refusal.reason()));
    }
    if let Some(cause) = &account.cause {
        attributes.push(KeyValue::new("glance_gate.cause", clip(cause)));
    }
    for (key, age) in
        [("glance_gate.token.age_ms", account.token_age), ("glance_gate.ownership.age_ms", account.ownership_age)]
    {
        let age = age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        attributes.extend(age.map(|age| KeyValue::new(key, age)));
    }
    if outcome.status.is_server_error() {
        let reason = account.refusal.map(|refusal| refusal.reason().to_owned());
        attributes.push(KeyValue::new("error.type", reason.unwrap_or_else(|| outcome.status.as_u16().to_string())));
    } else if !outcome.whole {
        attributes.push(text("error.type", "answer_cut_off"));
    }
    attributes
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
