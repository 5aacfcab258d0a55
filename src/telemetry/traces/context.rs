//! Which trace a request belongs to, as services tell one another: `traceparent` and `tracestate` (W3C Trace Context).

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use opentelemetry::Context;
use opentelemetry::propagation::Extractor;
use opentelemetry::propagation::Injector;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::propagation::TraceContextPropagator;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// How long version 00 of `traceparent` is, and the part of later versions that is read (section 3.2).
const TRACEPARENT_LENGTH: usize = 55;

/// Returns the trace that the headers name; none if they name none, several, or none that is well written. What is
/// wrong begins a new trace (section 3.2.2, "Considerations for trace-id field generation", and section 4.3).
pub fn parent_of(headers: &HeaderMap) -> Context {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return Context::new() };
    match parent.to_str() {
        Ok(parent) if is_well_formed(parent) => {
            let carrier = Carrier { parent, state: state_of(headers) };
            TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
        }
        Ok(_) | Err(_) => Context::new(),
    }
}

/// Names the trace in the headers, in the place of another that they may name.
pub fn name_in(headers: &mut HeaderMap, context: &Context) {
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
    TraceContextPropagator::new().inject_context(context, &mut Told(headers));
}

/// Tells whether a `traceparent` is spelled exactly as section 3.2 says. The library reads more than that, such as
/// short ids and signs before them.
fn is_well_formed(parent: &str) -> bool {
    let bytes = parent.as_bytes();
    let is_spelled = |(at, byte): (usize, &u8)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
    };
    let is_read =
        bytes.len() >= TRACEPARENT_LENGTH && bytes.iter().take(TRACEPARENT_LENGTH).enumerate().all(is_spelled);
    let is_ended = match bytes.get(TRACEPARENT_LENGTH) {
        None => true,
        // only a later version may go on
        Some(next) => *next == b'-' && !parent.starts_with("00"),
    };
    is_read && is_ended && !parent.starts_with("ff")
}

/// Joins the lines of `tracestate` (section 3.3); nothing if one of them is no text.
fn state_of(headers: &HeaderMap) -> String {
    let lines: Option<Vec<&str>> = headers.get_all(TRACESTATE).iter().map(|line| line.to_str().ok()).collect();
    lines.unwrap_or_default().join(",")
}

/// What the library reads.
struct Carrier<'a> {
    parent: &'a str,
    state: String,
}

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.parent),
            "tracestate" => Some(&self.state),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// What the library writes.
struct Told<'a>(&'a mut HeaderMap);

impl Injector for Told<'_> {
    fn set(&mut self, key: &str, value: String) {
        // an empty tracestate is not sent
        if !value.is_empty()
            && let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value))
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::HeaderName;
    use http::HeaderValue;
    use opentelemetry::trace::TraceContextExt;

    use super::name_in;
    use super::parent_of;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn a_good_parent_is_read_with_its_state() {
        for parent in [PARENT, "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings"] {
            let context = parent_of(&headers(&[("traceparent", parent), ("tracestate", "a=1"), ("tracestate", "b=2")]));
            let span = context.span();
            let read = span.span_context();
            assert!(read.is_valid() && read.is_remote() && read.is_sampled(), "{parent}");
            assert_eq!(read.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(read.span_id().to_string(), "00f067aa0ba902b7");
            assert_eq!(read.trace_state().header(), "a=1,b=2");
        }
    }

    #[test]
    fn what_is_not_well_formed_begins_a_new_trace() {
        for parent in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b77-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        ] {
            let context = parent_of(&headers(&[("traceparent", parent), ("tracestate", "a=1")]));
            assert!(!context.span().span_context().is_valid(), "{parent:?}");
        }
        let twice = parent_of(&headers(&[("traceparent", PARENT), ("traceparent", PARENT)]));
        assert!(!twice.span().span_context().is_valid());
    }

    #[test]
    fn a_broken_state_does_not_lose_the_parent() {
        let context = parent_of(&headers(&[("traceparent", PARENT), ("tracestate", "no list")]));
        assert!(context.span().span_context().is_valid());
        assert_eq!(context.span().span_context().trace_state().header(), "");
    }

    #[test]
    fn what_is_written_takes_the_place_of_what_was_there() {
        let context = parent_of(&headers(&[("traceparent", PARENT)]));
        let mut written = headers(&[("traceparent", "x"), ("traceparent", "y"), ("tracestate", "z=1"), ("other", "o")]);
        name_in(&mut written, &context);
        assert_eq!(written, headers(&[("traceparent", PARENT), ("other", "o")]));
    }
}
