//! The head of an answer: its status, its fields, and how long the body behind it is (RFC 9112 section 6.3).

use std::mem::MaybeUninit;

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header;
use hyper::ext::ReasonPhrase;

use crate::framing::names;

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Known(u64),
    /// Until its last chunk.
    Chunked,
    /// Until the connection is closed.
    UntilClose,
}

/// What becomes of the connection behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It may carry another exchange.
    Kept,
    /// It ends.
    Closed,
}

/// The head of a final answer.
#[derive(Debug)]
pub struct Head {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, as they came.
    pub headers: HeaderMap,
    /// What the status is called, if not by its usual name.
    pub reason: Option<ReasonPhrase>,
    /// How long the body behind it is.
    pub length: Length,
    /// What it says about the connection.
    pub afterwards: Afterwards,
}

/// Why what came is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbled {
    /// It is not HTTP/1.0 or HTTP/1.1.
    Grammar,
    /// The head is over 64 KiB or has more than 128 fields.
    TooLarge,
    /// There is more than one length, or it is no plain number.
    ContentLength,
    /// The coding is not exactly `chunked`, stands beside a length, or in HTTP/1.0.
    TransferEncoding,
    /// The protocol was switched, which the gate never asks for.
    Switched,
    /// There were too many interim answers.
    Interim,
    /// The chunks break their grammar.
    Chunks,
}

/// How many bytes a head may have.
const MAX_BYTES: usize = 64 * 1024;

/// How many fields a head may have.
const MAX_FIELDS: usize = 128;

/// How many fields the gate may add to those that came.
const ADDED_FIELDS: usize = 1;

/// Up to here each new piece of a head is parsed, so that what is no HTTP is told at once; a longer one is parsed when
/// it is whole, so that its price stays linear.
const EAGER_BYTES: usize = 4096;

/// Takes a head from the front of the bytes; nothing if it is not whole.
///
/// # Errors
/// Tells why this can not become a head.
pub fn take(read: &mut BytesMut, method: &Method) -> Result<Option<Head>, Garbled> {
    if read.len() > EAGER_BYTES && !holds_end(read) {
        return if read.len() > MAX_BYTES { Err(Garbled::TooLarge) } else { Ok(None) };
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, read, &mut fields);
    let end = match outcome {
        Ok(httparse::Status::Complete(end)) if end <= MAX_BYTES => end,
        Ok(httparse::Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => return Err(Garbled::TooLarge),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Garbled::Grammar),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Garbled::Grammar)?;
    let is_http_1_1 = parsed.version == Some(1);
    let reason = reason(status, parsed.reason);
    let start = read.as_ptr() as usize;
    // the values share a copy of the head: so the connection can go on with the memory that it reads into
    let bytes = Bytes::copy_from_slice(read.get(..end).unwrap_or_default());
    let mut headers = HeaderMap::with_capacity(parsed.headers.len() + ADDED_FIELDS);
    for field in parsed.headers.iter() {
        let name = names::read(field.name.as_bytes()).map_err(|_| Garbled::Grammar)?;
        let from = field.value.as_ptr() as usize - start;
        let value = if field.value.is_empty() { Bytes::new() } else { bytes.slice(from..from + field.value.len()) };
        headers.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| Garbled::Grammar)?);
    }
    read.advance(end);
    let afterwards = afterwards(&headers, is_http_1_1);
    let length = length(&headers, is_http_1_1)?;
    let has_body = *method != Method::HEAD && !matches!(status.as_u16(), 100..=199 | 204 | 304);
    let length = if has_body { length } else { Length::Known(0) };
    Ok(Some(Head { status, headers, reason, length, afterwards }))
}

/// Tells whether an empty line is among the bytes, as lenient as the parser is about line ends.
fn holds_end(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\n\r\n").is_some() || memchr::memmem::find(bytes, b"\n\n").is_some()
}

fn reason(status: StatusCode, reason: Option<&str>) -> Option<ReasonPhrase> {
    let reason = reason.filter(|reason| Some(*reason) != status.canonical_reason())?;
    ReasonPhrase::try_from(reason.as_bytes()).ok()
}

fn afterwards(headers: &HeaderMap, is_http_1_1: bool) -> Afterwards {
    let says = |word: &str| {
        headers.get_all(header::CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|&byte| byte == b',')
                .any(|name| name.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        })
    };
    if says("close") || !(is_http_1_1 || says("keep-alive")) { Afterwards::Closed } else { Afterwards::Kept }
}

fn length(headers: &HeaderMap, is_http_1_1: bool) -> Result<Length, Garbled> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let known = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(length), None) => Some(number(length.as_bytes()).ok_or(Garbled::ContentLength)?),
        (Some(_), Some(_)) => return Err(Garbled::ContentLength),
    };
    match (codings.next(), codings.next(), known) {
        (None, _, Some(length)) => Ok(Length::Known(length)),
        (None, _, None) => Ok(Length::UntilClose),
        (Some(coding), None, None) if is_http_1_1 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(Length::Chunked)
        }
        (Some(_), _, _) => Err(Garbled::TransferEncoding),
    }
}

/// Parses a length: digits, no sign, no leading zero, at most eighteen of them.
fn number(value: &[u8]) -> Option<u64> {
    let is_plain = matches!(value, b"0") || value.first().is_some_and(|byte| (b'1'..=b'9').contains(byte));
    if !is_plain || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

impl Garbled {
    /// Tells the operator what was wrong.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grammar => "its head breaks the grammar of HTTP/1.1",
            Self::TooLarge => "its head is over 64 KiB or has more than 128 fields",
            Self::ContentLength => "its Content-Length is not one plain number",
            Self::TransferEncoding => "its Transfer-Encoding is not exactly one chunked, without Content-Length",
            Self::Switched => "it switches protocols, which nobody asked for",
            Self::Interim => "too many interim answers came before it",
            Self::Chunks => "its chunks break their grammar",
        }
    }
}

impl std::fmt::Display for Garbled {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

impl std::error::Error for Garbled {}
