//! From the bytes of a head to a request.

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Uri;
use http::header;

use crate::framing::Violation;
use crate::framing::head;
use crate::framing::head::BodyLength;
use crate::framing::head::Version;
use crate::framing::names;

/// What must be known of a request until it is answered.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Why it never was a request.
    pub violation: Option<Violation>,
    /// Whether its answer has no body, whatever the answer says.
    pub is_head: bool,
    /// Its version, which is the answer's.
    pub version: Version,
    /// How long its body is.
    pub body: BodyLength,
    /// Whether the client wants to hear `100 Continue` before it sends the body (RFC 9110 section 10.1.1).
    pub expects_continue: bool,
    /// Whether the client sends no further request.
    pub is_last: bool,
}

/// How many fields a map has room for from the start: more than nearly all requests have.
const FIELDS: usize = 16;

impl Opened {
    /// Opens what stands for a request that never was one.
    pub fn stand_in(violation: Violation) -> (Request<()>, Self) {
        let opened = Self {
            violation: Some(violation),
            is_head: false,
            version: Version::Http11,
            body: BodyLength::Known(0),
            expects_continue: false,
            is_last: true,
        };
        (Request::new(()), opened)
    }
}

/// Reads a whole head.
///
/// # Errors
/// Returns the first violation.
pub fn open(bytes: &Bytes) -> Result<(Request<()>, Opened), Violation> {
    let mut headers = HeaderMap::with_capacity(FIELDS);
    let (mut odd, mut has_options) = (None, false);
    let read = head::read(bytes, |name, value| {
        // what `http` can not hold is no field: it is as strict as the framing, but it is not the framing
        let name = names::read(bytes.get(name).unwrap_or_default());
        match (name, HeaderValue::from_maybe_shared(bytes.slice(value))) {
            (Ok(name), Ok(value)) => {
                has_options |= matches!(name, header::CONNECTION | header::EXPECT);
                headers.append(name, value);
            }
            (Err(_), _) => odd = Some(Violation::FieldName),
            (_, Err(_)) => odd = Some(Violation::FieldValue),
        }
    })?;
    if let Some(violation) = odd {
        return Err(violation);
    }
    let mut request = Request::new(());
    *request.method_mut() =
        Method::from_bytes(bytes.get(read.method).unwrap_or_default()).map_err(|_| Violation::RequestLine)?;
    *request.uri_mut() = Uri::from_maybe_shared(bytes.slice(read.target)).map_err(|_| Violation::RequestLine)?;
    *request.version_mut() = match read.version {
        Version::Http10 => http::Version::HTTP_10,
        Version::Http11 => http::Version::HTTP_11,
    };
    let opened = Opened {
        violation: None,
        is_head: *request.method() == Method::HEAD,
        version: read.version,
        body: read.body,
        expects_continue: has_options
            && read.version == Version::Http11
            && headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
        is_last: (has_options && says(&headers, b"close"))
            || (read.version == Version::Http10 && !says(&headers, b"keep-alive")),
    };
    *request.headers_mut() = headers;
    Ok((request, opened))
}

/// Tells whether `Connection` has the option (RFC 9110 section 7.6.1).
pub fn says(headers: &HeaderMap, option: &[u8]) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value.as_bytes().split(|&byte| byte == b',').any(|listed| listed.trim_ascii().eq_ignore_ascii_case(option))
    })
}
