//! The span of one call to a neighbour, from its first byte to the head of the answer.

use std::borrow::Cow;

use http::Method;
use http::Request;
use http::StatusCode;
use http::uri::Authority;
use opentelemetry::Context;
use opentelemetry::KeyValue;
use opentelemetry::trace::Span as _;
use opentelemetry::trace::Status;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::Span;

use crate::telemetry::traces::context;
use crate::telemetry::traces::trace::Trace;
use crate::telemetry::traces::trace::clip;

/// A call that is under way. If nobody tells how it ended, it was given up.
#[derive(Debug)]
pub struct Exchange {
    span: Span,
}

/// Who is asked.
#[derive(Debug)]
pub struct Asked<'a> {
    /// `http://host:port`, `https://host:port` or `unix:/path`.
    pub server: &'a str,
    /// The path without what grows without bound, if it is a known one.
    pub template: Option<Cow<'a, str>>,
    /// How many attempts there were before.
    pub attempt: usize,
}

impl Exchange {
    /// Begins a call, and names its trace in its headers.
    pub fn begin<B>(trace: &Trace, asked: &Asked<'_>, request: &mut Request<B>) -> Box<Self> {
        let span = if trace.is_recorded() {
            let name = name(request.method(), asked.template.as_deref());
            trace.child(name, asked.attributes(request.method(), request.uri().path()))
        } else {
            trace.child(Cow::Borrowed("call"), Vec::new())
        };
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        context::name_in(request.headers_mut(), &context);
        Box::new(Self { span })
    }

    /// Notes the head of the answer.
    pub fn answered(mut self, status: StatusCode) {
        self.span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if status.is_client_error() || status.is_server_error() {
            self.fail(status.as_u16().to_string().into());
        }
        self.span.end();
    }

    /// Notes why there was no answer.
    pub fn failed(mut self, error: &'static str) {
        self.fail(Cow::Borrowed(error));
        self.span.end();
    }

    fn fail(&mut self, error: Cow<'static, str>) {
        self.span.set_attribute(KeyValue::new("error.type", error));
        self.span.set_status(Status::error(""));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.span.is_recording() {
            // the client hung up, or the time was over; the span's own drop ends it
            self.fail(Cow::Borrowed("given_up"));
        }
    }
}

impl Asked<'_> {
    /// Returns the attributes that are known at the start (semantic conventions, "HTTP client span").
    fn attributes(&self, method: &Method, path: &str) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(8);
        attributes.extend(method_attributes(method));
        attributes.push(KeyValue::new("url.path", clip(path)));
        if let Some(template) = &self.template {
            attributes.push(KeyValue::new("url.template", clip(template)));
        }
        match self.server.split_once("://") {
            Some((scheme, authority)) => {
                attributes.push(KeyValue::new("url.full", clip(&format!("{}{path}", self.server))));
                let port = if scheme == "https" { 443 } else { 80 };
                attributes.extend(server_attributes(authority, port));
            }
            // a socket in the file system is its own address
            None => {
                attributes.push(KeyValue::new("server.address", self.server.trim_start_matches("unix:").to_owned()));
            }
        }
        if let Ok(attempt @ 1..) = i64::try_from(self.attempt) {
            attributes.push(KeyValue::new("http.request.resend_count", attempt));
        }
        attributes
    }
}

/// Names a span by its method and its route.
pub fn name(method: &Method, route: Option<&str>) -> Cow<'static, str> {
    let method = if is_known(method) { method.as_str() } else { "HTTP" };
    match route {
        Some(route) => format!("{method} {route}").into(),
        None => method.to_owned().into(),
    }
}

/// Tells the method; one that no RFC names would be a value without bound.
pub fn method_attributes(method: &Method) -> impl Iterator<Item = KeyValue> {
    let (told, original) =
        if is_known(method) { (method.as_str(), None) } else { ("_OTHER", Some(clip(method.as_str()))) };
    let original = original.map(|method| KeyValue::new("http.request.method_original", method));
    [KeyValue::new("http.request.method", told.to_owned())].into_iter().chain(original)
}

/// Tells which server an authority names.
pub fn server_attributes(authority: &str, default_port: u16) -> impl Iterator<Item = KeyValue> {
    let authority = authority.parse::<Authority>().ok();
    authority.into_iter().flat_map(move |authority| {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(default_port);
        [KeyValue::new("server.address", clip(host)), KeyValue::new("server.port", i64::from(port))]
    })
}

fn is_known(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::CONNECT
            | Method::OPTIONS
            | Method::TRACE
            | Method::PATCH
    )
}
