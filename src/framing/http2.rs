//! The head of a request that came in HTTP/2's frames, held to the grammar that heads of HTTP/1.1 are held to.
//!
//! The h2 crate resets streams whose heads break the rules of HTTP/2 itself (RFC 9113 section 8): names in upper case,
//! fields of one connection, pseudo-fields that are missing, doubled or late, a length that the frames do not keep.
//! What is left is checked here, and made into a head that HTTP/1.1 can carry on to Glance. A fragment behind `:path`
//! is gone before anybody can look at it.

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Uri;
use http::header::CONTENT_LENGTH;
use http::header::COOKIE;
use http::header::HOST;
use http::request::Parts;

use crate::framing::MAX_HEAD_BYTES;
use crate::framing::Violation;
use crate::framing::head;

/// Checks a head, and writes its target in origin form, its `Host` as a field and its cookie in one line.
///
/// Returns the length of the body, if it is told; h2 sees to it that it is kept.
///
/// # Errors
/// Returns the first violation.
pub fn check(head: &mut Parts, max_bytes: usize) -> Result<Option<u64>, Violation> {
    let host = host(head)?;
    rejoin_cookie(&mut head.headers)?;
    head.headers.insert(HOST, host);
    let length = fields(&head.headers)?;
    // CONNECT has no path; what is left of its target is refused where all targets are read
    if head.method != Method::CONNECT {
        head.uri = origin_form(&head.uri)?;
    }
    if bytes(head) > max_bytes.min(MAX_HEAD_BYTES) {
        return Err(Violation::HeadTooLarge);
    }
    Ok(length)
}

/// Takes the one authority: `:authority` or `Host`, or both where they agree (section 8.3.1).
fn host(head: &Parts) -> Result<HeaderValue, Violation> {
    let mut fields = head.headers.get_all(HOST).iter();
    let host = match (head.uri.authority(), fields.next()) {
        (Some(authority), None) => HeaderValue::try_from(authority.as_str()).map_err(|_| Violation::Host)?,
        (Some(authority), Some(field)) if authority.as_str().as_bytes().eq_ignore_ascii_case(field.as_bytes()) => {
            field.clone()
        }
        (None, Some(field)) => field.clone(),
        (None, None) | (Some(_), Some(_)) => return Err(Violation::Host),
    };
    if fields.next().is_some() || !head::is_host(host.as_bytes()) { Err(Violation::Host) } else { Ok(host) }
}

/// Drops scheme and authority, of which the latter is the `Host` now.
fn origin_form(uri: &Uri) -> Result<Uri, Violation> {
    if uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(Violation::RequestLine);
    }
    let target = uri.path_and_query().ok_or(Violation::RequestLine)?;
    let is_plain = target.as_str().bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(Uri::from(target.clone())) } else { Err(Violation::RequestLine) }
}

/// Joins the crumbs of a cookie (section 8.2.3).
fn rejoin_cookie(headers: &mut HeaderMap) -> Result<(), Violation> {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1 {
        let cookie = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])).map_err(|_| Violation::FieldValue)?;
        headers.insert(COOKIE, cookie);
    }
    Ok(())
}

/// Checks the fields and reads the length.
fn fields(headers: &HeaderMap) -> Result<Option<u64>, Violation> {
    if headers.len() > head::MAX_FIELDS {
        return Err(Violation::HeadTooLarge);
    }
    let is_plain = |value: &HeaderValue| {
        let value = value.as_bytes();
        // a blank at either end would be gone on the way to Glance (section 8.2.1)
        value.trim_ascii().len() == value.len() && !value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t')
    };
    if !headers.values().all(is_plain) {
        return Err(Violation::FieldValue);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match lengths.next() {
        Some(length) => Some(head::number(length.as_bytes()).ok_or(Violation::ContentLength)?),
        None => None,
    };
    if lengths.next().is_some() { Err(Violation::ContentLength) } else { Ok(length) }
}

/// Returns how long the head would be in HTTP/1.1.
fn bytes(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = head.method.as_str().len() + target + "  HTTP/1.1\r\n\r\n".len();
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + fields.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::request::Parts;

    use super::check;
    use crate::framing::Violation;

    const MAX: usize = 8192;

    fn head(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let request = fields.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn a_head_is_made_into_one_that_http_1_1_can_carry() {
        let mut sent = head("https://Gate:9292/v2/images?limit=1", &[("cookie", "a=b"), ("cookie", "c=d")]);
        assert_eq!(check(&mut sent, MAX), Ok(None));
        assert_eq!(sent.uri, "/v2/images?limit=1");
        assert!(sent.uri.authority().is_none());
        assert_eq!(sent.headers["host"], "Gate:9292");
        assert_eq!(sent.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=b; c=d"]);

        let mut translated = head("/v2/images", &[("host", "gate"), ("content-length", "12")]);
        assert_eq!(check(&mut translated, MAX), Ok(Some(12)));
        let mut both = head("http://gate/", &[("host", "GATE")]);
        assert_eq!(check(&mut both, MAX), Ok(None));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_a_violation() {
        let many: Vec<(&str, &str)> = std::iter::repeat_n(("x-many", "1"), 94).collect();
        let long = "x".repeat(9000);
        for (uri, fields, violation) in [
            ("/", &[][..], Violation::Host),
            ("/", &[("host", "a"), ("host", "a")], Violation::Host),
            ("http://a/", &[("host", "b")], Violation::Host),
            ("http://a/", &[("host", "a"), ("host", "a")], Violation::Host),
            ("http://user@a/", &[], Violation::Host),
            ("/", &[("host", "a, b")], Violation::Host),
            ("/", &[("host", "")], Violation::Host),
            ("ftp://a/", &[], Violation::RequestLine),
            ("http://a/", &[("x-token", " a")], Violation::FieldValue),
            ("http://a/", &[("x-token", "a\t")], Violation::FieldValue),
            ("http://a/", &[("content-length", "03")], Violation::ContentLength),
            ("http://a/", &[("content-length", "+3")], Violation::ContentLength),
            ("http://a/", &[("content-length", "3"), ("content-length", "3")], Violation::ContentLength),
            ("http://a/", &many, Violation::HeadTooLarge),
            ("http://a/", &[("x-long", &long)], Violation::HeadTooLarge),
        ] {
            assert_eq!(check(&mut head(uri, fields), MAX), Err(violation), "{uri} {fields:?}");
        }
    }
}
