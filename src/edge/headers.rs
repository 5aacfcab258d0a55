//! The header firewall: what is ambiguous is refused, what a client must not set is removed.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use futures_util::future::Either;
use futures_util::future::Ready;
use futures_util::future::ready;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use ipnet::IpNet;
use tower::Layer;
use tower::Service;

use crate::call::Answer;
use crate::call::Call;
use crate::call::Refused;
use crate::client::hop_by_hop;
use crate::edge::forwarded;
use crate::framing::Violation;
use crate::refusal::Refusal;

/// Puts [`Headers`] around a service.
#[derive(Clone, Debug)]
pub struct HeadersLayer {
    trusted_proxies: Arc<[IpNet]>,
    max_head_bytes: usize,
}

/// Lets only plain headers through.
#[derive(Clone, Debug)]
pub struct Headers<S> {
    trusted_proxies: Arc<[IpNet]>,
    max_head_bytes: usize,
    inner: S,
}

/// Headers that make some server run another request than the one that was checked.
const REWRITING: [&str; 5] =
    ["x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"];

impl HeadersLayer {
    /// Believes `X-Forwarded-*` and `Forwarded` of these peers only, and bounds the headers of a request.
    pub fn new(trusted_proxies: &[IpNet], max_head_bytes: usize) -> Self {
        Self { trusted_proxies: trusted_proxies.into(), max_head_bytes }
    }
}

impl<S> Layer<S> for HeadersLayer {
    type Service = Headers<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Headers { trusted_proxies: self.trusted_proxies.clone(), max_head_bytes: self.max_head_bytes, inner }
    }
}

impl<S> Service<Call> for Headers<S>
where
    S: Service<Call, Response = Answer, Error = Box<Refused>>,
{
    type Response = Answer;
    type Error = Box<Refused>;
    type Future = Either<S::Future, Ready<Result<Answer, Box<Refused>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        let peer = call.account.peer;
        let is_trusted = self.trusted_proxies.iter().any(|net| net.contains(&peer));
        let findings = Findings::of(&call.head.headers, is_trusted);
        let inspected = framed(call.account.violation).and_then(|()| findings.judge(self.max_head_bytes));
        if let Err((refusal, cause)) = inspected {
            return Either::Right(ready(Err(call.refuse(refusal, Cow::Borrowed(cause)))));
        }
        if is_trusted && let Some(client) = forwarded::client_before(&call.head.headers, &self.trusted_proxies) {
            call.account.peer = client;
        }
        findings.clean(&mut call.head.headers, is_trusted);
        forwarded::tell(&mut call.head.headers, peer, call.account.scheme);
        Either::Left(self.inner.call(call))
    }
}

/// Refuses what never was a request.
fn framed(violation: Option<Violation>) -> Result<(), (Refusal, &'static str)> {
    match violation {
        None => Ok(()),
        Some(violation @ Violation::HeadTooLarge) => Err((Refusal::HeadTooLarge, violation.as_str())),
        Some(violation @ Violation::HeadTooSlow) => Err((Refusal::HeadTooSlow, violation.as_str())),
        Some(violation) => Err((Refusal::RequestMalformed, violation.as_str())),
    }
}

/// What is found in the headers of a request, which are looked through once.
#[derive(Debug, Default)]
struct Findings {
    bytes: usize,
    fault: Option<Fault>,
    has_length: bool,
    has_unwanted: bool,
}

/// Why headers are refused; of several the first one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Underscore,
    NamesOthers,
    SelectsVersion,
    Form,
}

impl Findings {
    fn of(headers: &HeaderMap, is_trusted: bool) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            found.bytes += name.as_str().len() + value.len() + ": \r\n".len();
            match *name {
                header::CONTENT_LENGTH => found.has_length = true,
                header::ACCEPT => found.note(Fault::SelectsVersion, contains(value, b"vnd.openstack.images")),
                header::CONTENT_TYPE => {
                    let is_form = contains(value, b"x-www-form-urlencoded") || contains(value, b"multipart/");
                    found.note(Fault::Form, is_form);
                }
                header::CONNECTION => {
                    found.note(Fault::NamesOthers, !names_only_connection_options(value));
                    found.has_unwanted = true;
                }
                _ => {
                    found.note(Fault::Underscore, name.as_str().contains('_'));
                    found.has_unwanted |= is_unwanted(name, is_trusted);
                }
            }
        }
        found
    }

    fn note(&mut self, fault: Fault, is_there: bool) {
        if is_there {
            self.fault = Some(self.fault.map_or(fault, |before| before.min(fault)));
        }
    }

    /// Refuses headers that are larger together than the operator allows, where Glance's server would reset the
    /// connection, and those that two servers could read differently.
    fn judge(&self, max_bytes: usize) -> Result<(), (Refusal, &'static str)> {
        if self.bytes > max_bytes {
            return Err((Refusal::HeadTooLarge, "the headers are over server.max_head"));
        }
        match self.fault {
            None => Ok(()),
            Some(Fault::Underscore) => {
                Err((Refusal::HeaderAmbiguous, "a header name has an underscore, which WSGI reads as a dash"))
            }
            Some(Fault::NamesOthers) => {
                Err((Refusal::HeaderAmbiguous, "Connection names a header that it must not remove"))
            }
            Some(Fault::SelectsVersion) => Err((Refusal::VendorAccept, "Accept selects an API version")),
            Some(Fault::Form) => Err((Refusal::FormBody, "Content-Type is a form")),
        }
    }

    /// Removes what must not pass.
    fn clean(&self, headers: &mut HeaderMap, is_trusted: bool) {
        if self.has_length {
            // framing is made anew from the body that is sent
            headers.remove(header::CONTENT_LENGTH);
        }
        if self.has_unwanted {
            hop_by_hop::remove_where(headers, |name| is_unwanted(name, is_trusted));
        }
    }
}

/// Tells whether the value names nothing but the connection's own options (RFC 9110 section 7.6.1).
fn names_only_connection_options(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| {
        value.split(',').map(str::trim).all(|option| {
            ["", "close", "keep-alive", "upgrade", "te", "http2-settings"]
                .iter()
                .any(|known| option.eq_ignore_ascii_case(known))
        })
    })
}

/// Tells whether the value has the word in it, which is written in lower case.
fn contains(value: &HeaderValue, word: &[u8]) -> bool {
    let Some(&first) = word.first() else { return true };
    let bytes = value.as_bytes();
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), bytes)
        .any(|at| bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word)))
}

/// Tells whether the header must not pass; nobody here waits for a 100.
fn is_unwanted(name: &HeaderName, is_trusted: bool) -> bool {
    *name == header::EXPECT || hop_by_hop::is_hop_by_hop(name) || is_forgery(name.as_str(), is_trusted)
}

/// Tells whether a client has no business setting the header.
fn is_forgery(name: &str, is_trusted: bool) -> bool {
    if name.starts_with("x-") {
        return is_identity(name) || REWRITING.contains(&name) || (!is_trusted && is_proxys(name));
    }
    name == "openstack-system-scope"
        || (!is_trusted && (name == "forwarded" || name.starts_with("client-cert") || name.starts_with("ssl-client-")))
}

/// Tells whether the header says where a request came from, or which certificate its client showed (RFC 9440, and what
/// proxies wrote before it); only a trusted proxy may say that.
fn is_proxys(name: &str) -> bool {
    const PREFIXES: [&str; 5] = ["x-forwarded-", "x-ssl-", "x-client-cert", "x-client-verify", "x-client-dn"];
    name == "x-real-ip" || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Tells whether the header says who somebody is, as keystonemiddleware tells Glance.
///
/// `X-Service-Token` is no such header: it is a credential and is checked as one.
fn is_identity(name: &str) -> bool {
    const PREFIXES: [&str; 8] =
        ["x-identity-", "x-project-", "x-domain-", "x-tenant", "x-user", "x-role", "x-service-", "x-is-admin-project"];
    name != "x-service-token" && PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::HeaderName;
    use http::HeaderValue;

    use super::Findings;
    use crate::refusal::Refusal;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for (list, refusal) in [
            (&[("x_roles", "admin")][..], Refusal::HeaderAmbiguous),
            (&[("connection", "close, x-auth-token")], Refusal::HeaderAmbiguous),
            (&[("accept", "application/VND.openstack.images-v2.3;q=1")], Refusal::VendorAccept),
            (&[("content-type", "application/x-www-form-urlencoded; charset=utf-8")], Refusal::FormBody),
            (&[("content-type", "multipart/form-data; boundary=x")], Refusal::FormBody),
        ] {
            let judged = Findings::of(&headers(list), false).judge(8192);
            assert_eq!(judged.map_err(|(refusal, _)| refusal), Err(refusal), "{list:?}");
        }
        let plain =
            [("host", "a"), ("connection", "Keep-Alive, TE"), ("accept", "*/*"), ("transfer-encoding", "chunked")];
        assert_eq!(Findings::of(&headers(&plain), false).judge(8192), Ok(()));
        assert!(Findings::of(&headers(&plain), false).judge(77).is_err());
    }

    #[test]
    fn what_a_client_must_not_set_is_removed() {
        let sent = [
            ("x-auth-token", "t"),
            ("x-service-token", "s"),
            ("x-identity-status", "Confirmed"),
            ("x-project-id", "p"),
            ("x-tenant-name", "t"),
            ("x-user-id", "u"),
            ("x-roles", "admin"),
            ("x-service-roles", "admin"),
            ("x-is-admin-project", "True"),
            ("openstack-system-scope", "all"),
            ("x-http-method-override", "PUT"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("client-cert", ":MIIB:"),
            ("client-cert-chain", ":MIIB:"),
            ("x-client-cert", "MIIB"),
            ("x-ssl-client-verify", "SUCCESS"),
            ("te", "trailers"),
            ("x-image-meta-name", "kept"),
        ];
        let mut stranger = headers(&sent);
        Findings::of(&stranger, false).clean(&mut stranger, false);
        let mut left: Vec<_> = stranger.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-auth-token", "x-image-meta-name", "x-service-token"]);

        let mut proxy = headers(&sent);
        Findings::of(&proxy, true).clean(&mut proxy, true);
        assert_eq!(proxy["x-forwarded-proto"], "https");
        assert_eq!(proxy["x-forwarded-for"], "10.0.0.1");
        assert_eq!(proxy["client-cert"], ":MIIB:");
        assert!(!proxy.contains_key("x-roles"));
    }
}
