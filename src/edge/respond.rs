//! Refusals and panics become answers here, and only here, in Glance's layout (`WebOb`'s `exc.py`).

use std::any::Any;
use std::borrow::Cow;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::CatchUnwind;
use futures_util::future::Either;
use futures_util::future::Ready;
use futures_util::future::ready;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;
use tower::Layer;
use tower::Service;

use crate::body::Body;
use crate::call::Account;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Outline;
use crate::call::Refused;
use crate::call::Verdict;
use crate::edge::accept::Accept;
use crate::edge::accept::Form;
use crate::edge::after::After;
use crate::edge::after::Finish;
use crate::limits::document::moment;
use crate::limits::document::whole_seconds;
use crate::openstack::member_action::Action;
use crate::openstack::target::MemberPath;
use crate::refusal::Refusal;

/// Puts [`Respond`] around a service.
#[derive(Clone, Debug)]
pub struct RespondLayer {
    challenge: HeaderValue,
}

/// Turns every "no" into an answer.
#[derive(Clone, Debug)]
pub struct Respond<S> {
    shared: Arc<HeaderValue>,
    inner: S,
}

/// What the answer to a "no" is made of.
#[derive(Debug)]
pub struct Words {
    accept: Accept,
    outline: Outline,
    challenge: Arc<HeaderValue>,
}

/// What came of a call, or of the panic that ended it.
pub type Outcome = Result<Result<Answer, Box<Refused>>, Box<dyn Any + Send>>;

impl RespondLayer {
    /// Names the Keystone that clients get tokens from, in `WWW-Authenticate` (keystonemiddleware).
    pub fn new(www_authenticate_uri: &str) -> Self {
        let challenge = HeaderValue::try_from(format!("Keystone uri=\"{www_authenticate_uri}\""))
            .unwrap_or_else(|_| HeaderValue::from_static("Keystone"));
        Self { challenge }
    }
}

impl<S> Layer<S> for RespondLayer {
    type Service = Respond<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Respond { shared: Arc::new(self.challenge.clone()), inner }
    }
}

impl<S> Service<Call> for Respond<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = After<Either<CatchUnwind<AssertUnwindSafe<S::Future>>, Ready<Outcome>>, Words>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // nothing below keeps anybody waiting here: what is full says so by a refusal
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let words = Words {
            accept: Accept::of(&call.head.headers),
            outline: call.account.outline(),
            challenge: self.shared.clone(),
        };
        let inner = &mut self.inner;
        let called = match catch_unwind(AssertUnwindSafe(|| inner.call(call))) {
            Ok(future) => Either::Left(AssertUnwindSafe(future).catch_unwind()),
            Err(panic) => Either::Right(ready(Err(panic))),
        };
        After::new(called, words)
    }
}

impl Finish<Outcome> for Words {
    type Output = Result<Answer, Infallible>;

    fn finish(self, outcome: Outcome) -> Self::Output {
        let refused = match outcome {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(refused)) => refused,
            Err(panic) => after_panic(self.outline.into_account(), &*panic),
        };
        Ok(answer(*refused, self.accept.form(), &self.challenge))
    }
}

/// A panic is a bug: the request is denied, the operator told, and the worker goes on.
fn after_panic(account: Box<Account>, panic: &(dyn Any + Send)) -> Box<Refused> {
    let cause = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".into());
    tracing::error!(request_id = %account.request_id, %cause, "a request ended in a panic: please report it");
    Call::spent(account).refuse(Refusal::Internal, Cow::Owned(cause))
}

/// How many bytes of a refused body are read past, if they are there, so that the connection can be kept.
const MAX_DISCARDED: usize = 64 * 1024;

/// How many seconds to wait where nobody can tell.
const RETRY_AFTER: u64 = 5;

/// Writes the answer to a refused call. If its body is not all there, or broken, the connection ends with it.
fn answer(refused: Refused, form: Form, challenge: &HeaderValue) -> Answer {
    let Refused { refusal, mut call } = refused;
    let is_read = call.body.discard(MAX_DISCARDED);
    let mut account = call.account;
    account.verdict = Verdict::Refused;
    account.refusal = Some(refusal);
    let status = refusal.status();
    let (content_type, text) = match refusal {
        Refusal::OverLimit => ("application/json", over_limit(account.retry_after.unwrap_or_default())),
        _ => body(refusal, form, &account),
    };
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, challenge.clone());
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed(refusal)));
    }
    if refusal.is_passing() {
        let seconds = account.retry_after.map_or(RETRY_AFTER, whole_seconds);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if refusal.ends_connection() || !is_read {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Answer { response, account }
}

fn allowed(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::MethodNotAllowed => "GET, PUT, DELETE",
        _ => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    }
}

/// Lays out who is over a limit as Repose did, with the moment from which the client may ask again.
fn over_limit(retry_after: Duration) -> String {
    let refusal = Refusal::OverLimit;
    let details = format!("Too many requests. Try again in {} seconds.", whole_seconds(retry_after));
    serde_json::json!({"overLimit": {
        "code": refusal.status().as_u16(),
        "message": refusal.message(),
        "details": details,
        "retryAfter": moment(SystemTime::now() + retry_after),
    }})
    .to_string()
}

/// Lays the message out. The `<br />` in JSON is Glance's own.
fn body(refusal: Refusal, form: Form, account: &Account) -> (&'static str, String) {
    let status = refusal.status();
    let title = status.canonical_reason().unwrap_or("Error");
    let code = format!("{} {title}", status.as_u16());
    let message = message(refusal, account);
    // `HTTPMethodNotAllowed` has a template of its own, two lines shorter
    let is_method = status == StatusCode::METHOD_NOT_ALLOWED;
    match form {
        Form::Json => {
            let end = if is_method { "<br /><br />\n" } else { "<br /><br />\n\n\n" };
            let message = json_string(&format!("{message}{end}"));
            ("application/json", format!(r#"{{"message": {message}, "code": "{code}", "title": "{title}"}}"#))
        }
        Form::Html => {
            let end = if is_method { "\n" } else { "\n\n\n" };
            let message = escape(&message);
            let text = format!(
                "<html>\n <head>\n  <title>{code}</title>\n </head>\n <body>\n  <h1>{code}</h1>\n  \
                 {message}<br /><br />{end}\n </body>\n</html>"
            );
            ("text/html; charset=UTF-8", text)
        }
        Form::Text => {
            let end = if is_method { "\n\n " } else { "\n\n   " };
            ("text/plain; charset=UTF-8", format!("{code}\n\n{message}{end}"))
        }
    }
}

/// Fills the words of the request into the message.
fn message(refusal: Refusal, account: &Account) -> Cow<'static, str> {
    let template = refusal.message();
    if !template.contains('{') {
        return Cow::Borrowed(template);
    }
    let image = account.path.as_ref().map_or("", MemberPath::image);
    let action = account.action().unwrap_or(Action::Update);
    let call = if action == Action::Create { "creation" } else { Action::Update.as_str() };
    // ids have no braces in them, and what is filled in last is not looked at again
    Cow::Owned(
        template
            .replace("{method}", account.method.as_str())
            .replace("{action}", action.as_str())
            .replace("{policy}", action.policy())
            .replace("{call}", call)
            .replace("{image}", image)
            .replace("{member}", account.member_id().unwrap_or_default())
            .replace("{body_form}", action.body_form()),
    )
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Escapes as `WebOb` does: `&`, `<`, `>`, `"`, and `'` as Python's `html.escape`.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#x27;")
}
