//! Where a request begins and ends on a connection: HTTP/1.1 message framing, read strictly.
//!
//! hyper forgives what other servers read differently: bare line feeds, `Transfer-Encoding: gzip, chunked`, a length
//! beside chunks, two lengths. Here one grammar counts (RFC 9112), so that no byte of one request can become another.

pub mod chunks;
pub mod head;
pub mod http2;
pub mod names;
pub mod proxy_header;

/// What is wrong with a request before it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The head is over the limit, or has too many fields.
    HeadTooLarge,
    /// The head did not arrive in time.
    HeadTooSlow,
    /// The request line is not `method SP target SP HTTP/1.x`.
    RequestLine,
    /// A line ends without a carriage return, or one stands alone.
    LineEnd,
    /// A field's name is no token, has a blank before its colon, or continues the line before it.
    FieldName,
    /// A field's value has a control character.
    FieldValue,
    /// There is no `Host`, more than one, or one that names no host.
    Host,
    /// The length is no number, or there are several.
    ContentLength,
    /// The coding is not exactly `chunked`, is repeated, stands beside a length, or in HTTP/1.0.
    TransferEncoding,
    /// The chunks break their grammar.
    ChunkGrammar,
}

/// How many bytes any head may have: hyper reads no target and no name that is longer.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

impl Violation {
    /// Tells the operator what was wrong.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "the head is over server.max_head or has more than 94 fields",
            Self::HeadTooSlow => "the head did not arrive within server.head_timeout",
            Self::RequestLine => "the request line is not a method, a target and HTTP/1.0 or HTTP/1.1",
            Self::LineEnd => "a line does not end with carriage return and line feed",
            Self::FieldName => "a header line has no plain name before its colon",
            Self::FieldValue => "a header value has a control character",
            Self::Host => "there is not exactly one Host that names a host",
            Self::ContentLength => "Content-Length is not one plain number",
            Self::TransferEncoding => "Transfer-Encoding is not exactly one chunked, without Content-Length",
            Self::ChunkGrammar => "the chunks break their grammar",
        }
    }
}
