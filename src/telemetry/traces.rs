//! Traces: a span for each request and for each call that it needs, as `OpenTelemetry` defines them.
//!
//! Spans leave through a bounded [`queue`]; who sends them to a collector stands in `client`. The gate's own use of the
//! library ends here: the rest of it knows [`trace::Trace`] and [`exchange::Exchange`].

pub mod context;
pub mod exchange;
pub mod queue;
pub mod trace;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::Sampler;
use opentelemetry_sdk::trace::SdkTracer;
use opentelemetry_sdk::trace::SdkTracerProvider;
use opentelemetry_sdk::trace::SpanLimits;
use uuid::Uuid;

use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::queue::Pending;
use crate::telemetry::traces::queue::Queue;
use crate::telemetry::traces::trace::Trace;

/// The section `[tracing]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where spans are sent: the URL of OTLP over HTTP, with its path. Empty is off.
    pub endpoint: String,
    /// The certificates that an `https` collector is trusted by, instead of the system's.
    pub cafile: Option<PathBuf>,
    /// The resource attribute `service.name`.
    pub service_name: String,
    /// The resource attribute `deployment.environment.name`; empty is none.
    pub environment: String,
    /// How many of the traces that begin at the gate are recorded.
    pub sample: Share,
    /// How long one attempt to send a batch may take.
    pub export_timeout: Duration,
    /// How long a span may wait for others to be sent with.
    pub export_delay: Duration,
    /// How many spans may wait to be sent.
    pub max_queue: usize,
    /// How many spans are sent at once.
    pub max_batch: usize,
}

/// A part of all, in millionths: it can be compared, which a floating-point number can not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub u32);

/// Begins the traces of requests; cloning shares it.
#[derive(Clone, Debug)]
pub struct Traces {
    tracer: SdkTracer,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            cafile: None,
            service_name: "glance-gate".into(),
            environment: String::new(),
            sample: Share::ALL,
            export_timeout: Duration::from_secs(10),
            export_delay: Duration::from_secs(1),
            max_queue: 8192,
            max_batch: 512,
        }
    }
}

impl Config {
    /// Tells whether there are traces at all.
    pub fn is_on(&self) -> bool {
        !self.endpoint.is_empty()
    }

    /// Returns what all spans of this process have in common (OpenTelemetry's semantic conventions, "Resource").
    pub fn resource(&self) -> Resource {
        let mut attributes = vec![
            KeyValue::new("service.name", self.service_name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        ];
        if !self.environment.is_empty() {
            attributes.push(KeyValue::new("deployment.environment.name", self.environment.clone()));
        }
        Resource::builder_empty().with_attributes(attributes).build()
    }
}

impl Share {
    /// All of them.
    pub const ALL: Self = Self(1_000_000);

    /// Returns it as a number from zero to one.
    pub fn as_fraction(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL.0)
    }
}

impl Traces {
    /// Makes what begins traces, and the queue that their spans leave by.
    pub fn new(config: &Config, metrics: &Metrics) -> (Self, Pending) {
        let (queue, pending) = Queue::new(config.max_queue, metrics);
        // what somebody else has begun to record is recorded to its end
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample.as_fraction())));
        let provider = SdkTracerProvider::builder()
            // named, or the library would read variables of the environment that no configuration shows
            .with_sampler(sampler)
            .with_span_limits(SpanLimits::default())
            .with_resource(Resource::builder_empty().build())
            .with_span_processor(queue)
            .build();
        (Self { tracer: provider.tracer("glance-gate") }, pending)
    }

    /// Continues the trace that a request's headers name, or begins one.
    pub fn begin(&self, headers: &HeaderMap, mount: &Arc<str>) -> Trace {
        Trace::begin(&self.tracer, headers, mount.clone())
    }
}
