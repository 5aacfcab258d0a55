//! The gate as a client of a trace collector: OTLP over HTTP, in batches, beside the requests and never in their way.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header::CONTENT_TYPE;
use http::header::RETRY_AFTER;
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::client::json::JsonAnswer;
use crate::client::json::JsonClient;
use crate::client::json::JsonClientError;
use crate::client::json::Limits;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Config;
use crate::telemetry::traces::queue::Pending;

/// Sends the spans of one [`Pending`] to the collector until there will be no more.
#[derive(Debug)]
pub struct Collector {
    client: JsonClient,
    endpoint: Uri,
    resource: ResourceAttributesWithSchema,
    max_batch: usize,
    delay: Duration,
    pending: Pending,
    metrics: Metrics,
    reach: Reach,
}

/// Whether the collector took the last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    There,
    Away,
}

/// What became of one attempt.
enum Attempt {
    /// The collector has the spans, but for so many that it refused.
    Taken { refused: u64 },
    /// It refused all of them; it would again.
    Refused(StatusCode),
    /// It may take them later.
    Later { why: Why, pause: Option<Duration> },
}

/// What kept spans from being taken.
enum Why {
    Client(JsonClientError),
    Status(StatusCode),
}

/// How often one batch is sent at most.
const ATTEMPTS: u32 = 5;
/// How long the first pause between two attempts is; each one after it is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long a pause is at most, whatever the collector asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How large an answer of the collector may be.
const MAX_ANSWER: usize = 64 * 1024;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Collector {
    /// Prepares to send what is pending; nothing is sent yet.
    ///
    /// # Errors
    /// Fails if the endpoint is no URL, or the certificates can not be read.
    pub fn new(config: &Config, pending: Pending, metrics: &Metrics) -> io::Result<Self> {
        let limits = Limits {
            connect_timeout: CONNECT_TIMEOUT.min(config.export_timeout),
            call_timeout: config.export_timeout,
            answer_bytes: MAX_ANSWER,
            idle_connections: 1,
        };
        for outcome in ["exported", "failed", "rejected"] {
            // a counter that is not there cannot be seen to rise
            metrics.outlets.spans(outcome);
        }
        Ok(Self {
            client: JsonClient::new(limits, config.cafile.as_deref())?,
            endpoint: config.endpoint.parse().map_err(io::Error::other)?,
            resource: ResourceAttributesWithSchema::from(&config.resource()),
            max_batch: config.max_batch,
            delay: config.export_delay,
            pending,
            metrics: metrics.clone(),
            reach: Reach::There,
        })
    }

    /// Sends batches until nobody can begin a span any more. Once `ending` is cancelled, it sends what is there without
    /// waiting, and ends.
    pub async fn run(mut self, ending: CancellationToken) {
        loop {
            let batch = tokio::select! {
                biased;
                () = ending.cancelled() => self.pending.rest(self.max_batch),
                batch = self.pending.batch(self.max_batch, self.delay) => batch,
            };
            let Some(batch) = batch else { return };
            self.deliver(batch, &ending).await;
        }
    }

    /// Sends a batch until it is taken, refused, or has been sent often enough.
    async fn deliver(&mut self, batch: Vec<opentelemetry_sdk::trace::SpanData>, ending: &CancellationToken) {
        let count = batch.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let message = Bytes::from(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            match self.attempt(message.clone()).await {
                Attempt::Taken { refused } => return self.taken(count, refused.min(count)),
                Attempt::Refused(status) => return self.refused(count, status),
                Attempt::Later { why, pause: asked } => {
                    self.is_away(&why);
                    if attempt == ATTEMPTS || ending.is_cancelled() {
                        break;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(asked.unwrap_or(pause).min(LONGEST_PAUSE)) => {}
                        // once more, and then it is over
                        () = ending.cancelled() => {}
                    }
                    pause *= 2;
                }
            }
        }
        self.metrics.outlets.spans("failed").inc_by(count);
    }

    async fn attempt(&self, message: Bytes) -> Attempt {
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/x-protobuf"));
        match self.client.send(request).await {
            Ok(answer) => read(&answer),
            Err(error) => Attempt::Later { why: Why::Client(error), pause: None },
        }
    }

    fn taken(&mut self, count: u64, refused: u64) {
        if self.reach == Reach::Away {
            tracing::info!(endpoint = %self.endpoint, "the trace collector takes spans again");
            self.reach = Reach::There;
        }
        self.metrics.outlets.spans("exported").inc_by(count - refused);
        if refused > 0 {
            self.metrics.outlets.spans("rejected").inc_by(refused);
        }
    }

    fn refused(&mut self, count: u64, status: StatusCode) {
        // the path, or what stands before the collector, is likely wrong: told once, as an outage is
        self.is_away(&Why::Status(status));
        self.metrics.outlets.spans("rejected").inc_by(count);
    }

    fn is_away(&mut self, why: &Why) {
        if self.reach == Reach::There {
            tracing::warn!(endpoint = %self.endpoint, cause = %why, "the trace collector does not take spans");
            self.reach = Reach::Away;
        }
    }
}

/// Reads an answer (OTLP specification 1.x, "OTLP/HTTP Response").
fn read(answer: &JsonAnswer) -> Attempt {
    match answer.status {
        status if status.is_success() => {
            let refused = ExportTraceServiceResponse::decode(answer.body.clone())
                .ok()
                .and_then(|told| told.partial_success)
                .map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or_default());
            Attempt::Taken { refused }
        }
        status @ (StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT) => {
            Attempt::Later { why: Why::Status(status), pause: retry_after(&answer.headers) }
        }
        status => Attempt::Refused(status),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(out),
            Self::Status(status) => write!(out, "it answers {status}"),
        }
    }
}
