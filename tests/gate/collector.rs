//! A trace collector: takes OTLP over HTTP on a real socket, keeps what it was sent, and misbehaves when told to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use glance_gate::demo::answers::Answer;
use glance_gate::demo::fault::Breakage;
use glance_gate::demo::listener::Answers;
use glance_gate::demo::listener::Bound;
use glance_gate::demo::listener::Broken;
use glance_gate::demo::listener::Serving;
use http::Request;
use http::StatusCode;
use http::header::RETRY_AFTER;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1;
use prost::Message;

use crate::harness::eventually;

/// The collector; ends with the test.
pub struct Collector {
    serving: Serving,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    mood: Mutex<Mood>,
    received: Mutex<Received>,
}

#[derive(Default)]
struct Received {
    attempts: usize,
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

/// What it does with spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It takes them.
    #[default]
    Takes,
    /// It takes all but so many.
    TakesAllBut(i64),
    /// It answers this, and that the gate may come back at once.
    Answers(u16),
    /// It never answers.
    Hangs,
    /// It resets the connection.
    Resets,
}

/// One span, as it was received.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub kind: v1::span::SpanKind,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub state: String,
    pub is_error: bool,
    /// In nanoseconds since 1970.
    pub times: (u64, u64),
    pub attributes: BTreeMap<String, String>,
    pub resource: BTreeMap<String, String>,
}

impl Collector {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let serving = Bound::free().await.expect("a port").serve(shared.clone());
        Self { serving, shared }
    }

    /// Returns where spans are to be sent.
    pub fn url(&self) -> String {
        format!("http://{}/v1/traces", self.serving.address())
    }

    pub fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().expect("no test has failed") = mood;
    }

    /// Returns how many batches were sent, taken or not.
    pub fn attempts(&self) -> usize {
        self.shared.received.lock().expect("no test has failed").attempts
    }

    /// Returns all that was sent, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        self.shared.received.lock().expect("no test has failed").bytes.clone()
    }

    /// Returns the spans that were taken.
    pub fn spans(&self) -> Vec<Span> {
        self.shared.received.lock().expect("no test has failed").spans.clone()
    }

    /// Waits until there are so many spans, and returns them.
    pub async fn wait_for(&self, count: usize) -> Vec<Span> {
        eventually(&format!("{count} spans"), || async { self.spans().len() >= count }).await;
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

impl Span {
    /// Returns an attribute; a missing one is empty.
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    pub fn is_server(&self) -> bool {
        self.kind == v1::span::SpanKind::Server
    }

    /// Returns the `traceparent` that names this span as a parent whose trace is recorded.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

impl Answers for Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Broken> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("the whole message").to_bytes();
        assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/v1/traces"));
        assert_eq!(head.headers["content-type"], "application/x-protobuf");
        let mood = *self.mood.lock().expect("no test has failed");
        self.received.lock().expect("no test has failed").note(&head, &body, mood);
        let refused = match mood {
            Mood::Takes => 0,
            Mood::TakesAllBut(refused) => refused,
            Mood::Answers(status) => {
                let status = StatusCode::from_u16(status).expect("a status");
                return Ok(Answer::empty(status).with(RETRY_AFTER, "0"));
            }
            Mood::Hangs => std::future::pending().await,
            Mood::Resets => return Err(Broken(Breakage::Reset)),
        };
        let partial = ExportTracePartialSuccess { rejected_spans: refused, error_message: String::new() };
        let answer = ExportTraceServiceResponse { partial_success: (refused > 0).then_some(partial) };
        Ok(Answer::new(StatusCode::OK, answer.encode_to_vec()))
    }
}

impl Received {
    fn note(&mut self, head: &http::request::Parts, body: &Bytes, mood: Mood) {
        self.attempts += 1;
        self.bytes.extend_from_slice(format!("{head:?}").as_bytes());
        self.bytes.extend_from_slice(body);
        let message = ExportTraceServiceRequest::decode(body.clone()).expect("a message of OTLP");
        if !matches!(mood, Mood::Takes | Mood::TakesAllBut(_)) {
            return;
        }
        for resource in message.resource_spans {
            let common = attributes(resource.resource.map(|resource| resource.attributes).unwrap_or_default());
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.spans.push(read(span, common.clone()));
            }
        }
    }
}

fn read(span: v1::Span, resource: BTreeMap<String, String>) -> Span {
    Span {
        kind: span.kind(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        state: span.trace_state,
        is_error: span.status.is_some_and(|status| status.code() == v1::status::StatusCode::Error),
        times: (span.start_time_unix_nano, span.end_time_unix_nano),
        attributes: attributes(span.attributes),
        name: span.name,
        resource,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let mut read = BTreeMap::new();
    for pair in list {
        let value = pair.value.and_then(|value| value.value).map(text).expect("a value");
        assert!(read.insert(pair.key.clone(), value).is_none(), "{} stands twice", pair.key);
    }
    read
}
