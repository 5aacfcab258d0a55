//! The span of one request, from its head to the last byte of its answer.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::KeyValue;
use opentelemetry::trace::FutureExt;
use opentelemetry::trace::Span as _;
use opentelemetry::trace::SpanContext;
use opentelemetry::trace::SpanKind;
use opentelemetry::trace::Status;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::trace::TraceId;
use opentelemetry::trace::Tracer as _;
pub use opentelemetry::trace::WithContext;
use opentelemetry_sdk::trace::SdkTracer;
use opentelemetry_sdk::trace::Span;

use crate::openstack::route::route;
use crate::telemetry::traces::context;

/// A request's place in its trace; cloning shares it. If nobody tells how the request ended, it was given up.
#[derive(Clone)]
pub struct Trace(Arc<Begun>);

struct Begun {
    tracer: SdkTracer,
    mount: Arc<str>,
    context: SpanContext,
    span: Mutex<Span>,
}

/// How a request ended, in the words of the semantic conventions.
#[derive(Debug)]
pub struct Ending {
    /// The span's name: method and route, nothing that grows without bound.
    pub name: Cow<'static, str>,
    /// Its attributes.
    pub attributes: Vec<KeyValue>,
    /// Whether it is an error of the server's.
    pub status: Status,
}

/// How many bytes of a text that a client chose a span takes.
const MAX_TEXT: usize = 1024;

impl Trace {
    /// Continues the trace that the headers name, or begins one.
    pub fn begin(tracer: &SdkTracer, headers: &HeaderMap, mount: Arc<str>) -> Self {
        let builder = tracer.span_builder("request").with_kind(SpanKind::Server);
        let span = tracer.build_with_context(builder, &context::parent_of(headers));
        let context = span.span_context().clone();
        Self(Arc::new(Begun { tracer: tracer.clone(), mount, context, span: Mutex::new(span) }))
    }

    /// Returns the trace of the request that is worked on right now, if it has one.
    pub fn current() -> Option<Self> {
        Context::map_current(|context| context.get::<Self>().cloned())
    }

    /// Makes this the current trace wherever the future works.
    pub fn around<F>(&self, future: F) -> WithContext<F> {
        future.with_context(Context::new().with_value(self.clone()))
    }

    /// Returns the id of the trace.
    pub fn id(&self) -> TraceId {
        self.0.context.trace_id()
    }

    /// Tells whether anybody will see what is told of the request.
    pub fn is_recorded(&self) -> bool {
        self.0.context.is_sampled()
    }

    /// Returns the route of a path of the Image API, with the prefix that Glance is served under.
    pub fn route(&self, path: &str) -> Option<Cow<'static, str>> {
        let route = route(path, &self.0.mount)?;
        Some(if self.0.mount.is_empty() { route.into() } else { format!("{}{route}", self.0.mount).into() })
    }

    /// Notes something that will be forgotten before the request ends.
    pub fn note(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        self.0.span().set_attributes(attributes);
    }

    /// Tells how the request ended, once.
    pub fn end(&self, ending: Ending) {
        let mut span = self.0.span();
        span.update_name(ending.name);
        span.set_attributes(ending.attributes);
        span.set_status(ending.status);
        span.end();
    }

    /// Begins the span of a call that this request needs.
    pub(super) fn child(&self, name: Cow<'static, str>, attributes: Vec<KeyValue>) -> Span {
        let parent = Context::new().with_remote_span_context(self.0.context.clone());
        let builder = self.0.tracer.span_builder(name).with_kind(SpanKind::Client).with_attributes(attributes);
        self.0.tracer.build_with_context(builder, &parent)
    }
}

impl Begun {
    fn span(&self) -> MutexGuard<'_, Span> {
        self.span.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let span = self.span.get_mut().unwrap_or_else(PoisonError::into_inner);
        if span.is_recording() {
            // its own drop ends it
            span.set_attribute(KeyValue::new("error.type", "given_up"));
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Trace").field(&self.id()).finish()
    }
}

/// Shortens a text that a client chose: what waits to be sent is bounded in bytes too.
pub fn clip(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::MAX_TEXT;
    use super::clip;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(clip("short"), "short");
        assert_eq!(clip(&"é".repeat(MAX_TEXT)).len(), MAX_TEXT);
        assert_eq!(clip(&format!("x{}", "é".repeat(MAX_TEXT))).len(), MAX_TEXT - 1);
    }
}
