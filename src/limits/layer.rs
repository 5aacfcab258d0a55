//! The limits on what passes through, and the document that tells callers of them.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Instant;

use futures_util::future::Either;
use futures_util::future::Ready;
use futures_util::future::ready;
use http::HeaderValue;
use http::Method;
use http::Response;
use http::header::CACHE_CONTROL;
use http::header::CONTENT_TYPE;
use tower::Layer;
use tower::Service;

use crate::body::Body;
use crate::cache::vouched::Vouched;
use crate::call::Answer;
use crate::call::Branch;
use crate::call::Call;
use crate::call::Refused;
use crate::glance::watch::Passing;
use crate::limits::Limits;
use crate::limits::config::Identify;
use crate::limits::document;
use crate::limits::subject::Asker;
use crate::openstack::request_id::RequestId;
use crate::openstack::route::route;
use crate::openstack::token::Credential;
use crate::openstack::token::UnverifiedToken;
use crate::rules::Rules;
use crate::rules::setting::Mode;
use crate::vouch::No;
use crate::vouch::Vouchers;
use crate::vouch::no_for_fault;

/// Puts [`Limited`] before what passes through.
#[derive(Clone, Debug)]
pub struct LimitsLayer {
    gate: Arc<LimitsGate>,
}

/// Refuses what is over its limit.
#[derive(Clone, Debug)]
pub struct Limited<S> {
    gate: Arc<LimitsGate>,
    inner: S,
}

#[derive(Debug)]
struct LimitsGate {
    limits: Limits,
    vouchers: Vouchers,
    rules: Rules,
    mount: Arc<str>,
}

/// What is to be known of the caller before the call goes on.
enum Knows {
    /// All that will be.
    Enough,
    /// What the credential proves.
    Not(Credential),
}

/// What those who vouch are asked, apart from the call.
struct Question {
    credential: Credential,
    service: Option<UnverifiedToken>,
    client: IpAddr,
    asker: RequestId,
}

/// Nothing to wait for, an answer at hand, or something to find out first.
type LimitedFuture<F> = Either<
    Either<F, Ready<Result<Answer, Box<Refused>>>>,
    Pin<Box<dyn Future<Output = Result<Answer, Box<Refused>>> + Send>>,
>;

impl LimitsLayer {
    /// Counts by what these vouch for; `rules` say whether who is over is refused, or only told of.
    pub fn new(limits: Limits, vouchers: Vouchers, rules: Rules, mount: &str) -> Self {
        Self { gate: Arc::new(LimitsGate { limits, vouchers, rules, mount: mount.into() }) }
    }
}

impl<S> Layer<S> for LimitsLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Limited { gate: self.gate.clone(), inner }
    }
}

impl<S> Service<Passing> for Limited<S>
where
    S: Service<Passing, Response = Answer, Error = Box<Refused>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = LimitedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut passing: Passing) -> Self::Future {
        if self.gate.is_document(&passing.call) {
            let (gate, mut call) = (self.gate.clone(), passing.call);
            call.account.branch = Branch::Limits;
            return Either::Right(Box::pin(async move { gate.tell(call).await }));
        }
        if self.gate.limits.is_empty() {
            return Either::Left(Either::Left(self.inner.call(passing)));
        }
        match self.gate.know(&mut passing.call) {
            Knows::Enough => match self.gate.admit(passing.call) {
                Ok(call) => Either::Left(Either::Left(self.inner.call(Passing { call, ..passing }))),
                Err(refused) => Either::Left(Either::Right(ready(Err(refused)))),
            },
            Knows::Not(credential) => {
                let gate = self.gate.clone();
                let question = Question::of(&passing.call, credential);
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                Either::Right(Box::pin(async move {
                    // who can not be vouched for is Glance's to refuse, and counts for the address
                    if let Ok(vouched) = gate.ask(question).await {
                        vouched.note_in(&mut passing.call.account);
                    }
                    let call = gate.admit(passing.call)?;
                    inner.call(Passing { call, ..passing }).await
                }))
            }
        }
    }
}

impl Question {
    fn of(call: &Call, credential: Credential) -> Self {
        let service = UnverifiedToken::service_from_headers(&call.head.headers).ok();
        Self { credential, service, client: call.account.peer, asker: call.account.request_id }
    }
}

impl LimitsGate {
    fn is_document(&self, call: &Call) -> bool {
        let document = &self.limits.config().document;
        let below = call.head.uri.path().strip_prefix(&*self.mount);
        !document.is_empty() && call.head.method == Method::GET && below == Some(document)
    }

    /// Finds out who asks without waiting, if it can be.
    fn know(&self, call: &mut Call) -> Knows {
        if call.account.identity.is_some() {
            return Knows::Enough;
        }
        // not as strictly as guarded calls are read: a second token, or the alias, must not hide whom Glance will see
        let Some(credential) = self.vouchers.passing_credential(&call.head.headers) else { return Knows::Enough };
        if let Some(vouched) = self.vouchers.at_hand(&credential) {
            vouched.note_in(&mut call.account);
            return Knows::Enough;
        }
        match self.limits.config().identify {
            Identify::Remembered => Knows::Enough,
            Identify::Asked => Knows::Not(credential),
        }
    }

    async fn ask(&self, question: Question) -> Result<Vouched, No> {
        let Question { credential, service, client, asker } = question;
        self.vouchers.vouch(&credential, service.as_ref(), client, asker).await
    }

    /// Counts the call, and lets it go on if it is within its limit, or if nobody enforces that.
    fn admit(&self, mut call: Call) -> Result<Call, Box<Refused>> {
        let route = route(call.head.uri.path(), &self.mount);
        let asker = Asker { identity: call.account.identity.as_deref(), address: call.account.peer };
        let Err(over) = self.limits.admit(&asker, &call.head.method, route, Instant::now()) else { return Ok(call) };
        match self.rules.weigh(over.refusal, &mut call.account) {
            Mode::Enforce => {
                call.account.retry_after = over.retry_after;
                Err(call.refuse(over.refusal, over.cause))
            }
            Mode::Observe | Mode::Off => {
                call.account.cause = Some(over.cause);
                Ok(call)
            }
        }
    }

    /// Tells a caller of its limits.
    async fn tell(&self, mut call: Call) -> Result<Answer, Box<Refused>> {
        let vouched = match self.vouchers.credential(&call.head.headers) {
            Ok(credential) => self.ask(Question::of(&call, credential)).await,
            Err(fault) => Err(no_for_fault(fault)),
        };
        let path = &self.limits.config().document;
        let vouched = vouched.and_then(|vouched| {
            self.vouchers.check_rules(&vouched.identity, call.head.method.as_str(), path)?;
            Ok(vouched)
        });
        match vouched {
            Ok(vouched) => vouched.note_in(&mut call.account),
            Err((refusal, cause)) => return Err(call.refuse(refusal, cause)),
        }
        let asker = Asker { identity: call.account.identity.as_deref(), address: call.account.peer };
        let text = document::write(&self.limits, &asker, &self.mount, Instant::now());
        let mut response = Response::new(Body::full(text));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // it is one caller's, and old with the next request
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(Answer { response, account: call.account })
    }
}
