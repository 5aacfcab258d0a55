//! Tells of every request when its answer has gone out: one log line, one count.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::Method;
use http::Response;
use http::uri::PathAndQuery;
use http_body::Body as HttpBody;
use http_body::Frame;
use http_body::SizeHint;
use tower::Layer;
use tower::Service;

use crate::audit::Audit;
use crate::audit::told::Noted;
use crate::body::Body;
use crate::body::BodyError;
use crate::body::pipe::Pipe;
use crate::body::pour::Pour;
use crate::body::pour::Poured;
use crate::call::Account;
use crate::call::Answer;
use crate::call::Call;
use crate::call::Verdict;
use crate::edge::access_log;
use crate::edge::access_log::Outcome;
use crate::edge::after::After;
use crate::edge::after::Finish;
use crate::edge::trace;
use crate::openstack::request_id::RequestId;
use crate::rules::Rules;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::RefusalLabels;
use crate::telemetry::metrics::RequestLabels;
use crate::telemetry::millis;
use crate::telemetry::traces::trace::Trace;

/// Puts [`Tell`] around a service.
#[derive(Clone, Debug)]
pub struct TellLayer {
    books: Books,
}

/// Opens the books on each call.
#[derive(Clone, Debug)]
pub struct Tell<S> {
    books: Books,
    inner: S,
}

/// Where a request is told of.
#[derive(Clone, Debug)]
struct Books {
    metrics: Metrics,
    rules: Rules,
    audit: Audit,
}

/// What is needed to tell of a request once its answer is known, or its client has gone.
#[derive(Debug)]
pub struct Opened {
    books: Option<Books>,
    request_id: RequestId,
    method: Method,
    target: Option<PathAndQuery>,
    trace: Option<Trace>,
    noted: Option<Box<Noted>>,
    started: Instant,
}

/// The body of an answer; when it has ended, or nobody wants the rest, the request is told of.
#[derive(Debug)]
pub struct Told {
    body: Body,
    ledger: Option<Box<Ledger>>,
}

#[derive(Debug)]
struct Ledger {
    books: Books,
    account: Box<Account>,
    noted: Option<Box<Noted>>,
    started: Instant,
    status: http::StatusCode,
    bytes: u64,
    whole: bool,
}

impl TellLayer {
    /// Counts in these metrics, tells the rules how their verdicts ended, and the audit what was done.
    pub fn new(metrics: Metrics, rules: Rules, audit: Audit) -> Self {
        Self { books: Books { metrics, rules, audit } }
    }
}

impl<S> Layer<S> for TellLayer {
    type Service = Tell<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Tell { books: self.books.clone(), inner }
    }
}

impl<S> Service<Call> for Tell<S>
where
    S: Service<Call, Response = Answer, Error = Infallible>,
{
    type Response = Response<Told>;
    type Error = Infallible;
    type Future = After<S::Future, Opened>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.books.metrics.in_flight.inc();
        let opened = Opened {
            books: Some(self.books.clone()),
            request_id: call.account.request_id,
            method: call.account.method.clone(),
            target: call.account.target.clone(),
            trace: call.account.trace.clone(),
            noted: self.books.audit.note(&call),
            started: Instant::now(),
        };
        After::new(self.inner.call(call), opened)
    }
}

impl Finish<Result<Answer, Infallible>> for Opened {
    type Output = Result<Response<Told>, Infallible>;

    fn finish(mut self, outcome: Result<Answer, Infallible>) -> Self::Output {
        let Ok(Answer { response, account }) = outcome;
        let (head, body) = response.into_parts();
        let (started, status, whole) = (self.started, head.status, body.is_end_stream());
        let noted = self.noted.take();
        let ledger =
            self.books.take().map(|books| Box::new(Ledger { books, account, noted, started, status, bytes: 0, whole }));
        Ok(Response::from_parts(head, Told { body, ledger }))
    }
}

impl Told {
    fn note(&mut self, bytes: usize) {
        let ended = self.body.is_end_stream();
        if let Some(ledger) = &mut self.ledger {
            ledger.bytes += bytes as u64;
            ledger.whole = ended;
        }
    }
}

impl HttpBody for Told {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.note(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "the answer broke off");
            }
            Poll::Ready(None) => {
                if let Some(ledger) = &mut self.ledger {
                    ledger.whole = true;
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Pour for Told {
    fn can_pour(&self) -> bool {
        self.body.can_pour()
    }

    fn poll_pour(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pipe: &mut Pipe,
        max: u64,
    ) -> Poll<Result<Poured, BodyError>> {
        let polled = Pin::new(&mut self.body).poll_pour(context, pipe, max);
        match &polled {
            Poll::Ready(Ok(Poured::Bytes(count))) => self.note(*count),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "the answer broke off");
            }
            Poll::Ready(Ok(Poured::Unable)) | Poll::Pending => {}
        }
        polled
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(ledger) = self.ledger.take() {
            ledger.tell();
        }
    }
}

impl Ledger {
    fn tell(self) {
        let took = self.started.elapsed();
        let account = &self.account;
        let Books { metrics, rules, audit } = &self.books;
        metrics.request(
            &RequestLabels {
                branch: account.branch.as_str(),
                verdict: account.verdict.as_str(),
                code: self.status.as_u16(),
            },
            took,
        );
        if let Some(refusal) = account.refusal {
            let mode = match account.verdict {
                Verdict::WouldRefuse => "observed",
                Verdict::RuleOff => "off",
                Verdict::PassedThrough | Verdict::Permitted | Verdict::Asked | Verdict::Refused => "enforced",
            };
            metrics.refusals.get_or_create(&RefusalLabels { reason: refusal.reason(), mode }).inc();
        }
        let outcome = Outcome { status: self.status, bytes: self.bytes, whole: self.whole, took };
        if let Some(trace) = &account.trace {
            trace::tell(trace, account, &outcome);
        }
        rules.judge(account, self.status, took);
        access_log::write(account, &outcome);
        if let Some(noted) = self.noted {
            audit.tell(noted, self.account, self.status, took);
        }
        // last: whoever sees that nothing is under way sees all of it counted
        metrics.in_flight.dec();
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // still there only if no answer came: the client hung up and the request was dropped
        if let Some(books) = self.books.take() {
            books.metrics.in_flight.dec();
            tracing::info!(
                target: "access",
                request_id = self.request_id.encode(&mut [0; 40]),
                trace.id = self.trace.as_ref().map(|trace| tracing::field::display(trace.id())),
                http.method = self.method.as_str(),
                http.path = self.target.as_ref().map_or("", |target| target.path()),
                duration_ms = millis::precise(self.started.elapsed()),
                "client hung up before its answer"
            );
            if let Some(noted) = self.noted.take() {
                books.audit.tell_cut_off(noted, self.started.elapsed());
            }
        }
    }
}
