//! Where a request begins and ends on a connection: HTTP/1.1 message framing, read strictly.
//!
//! hyper forgives what other servers read differently: bare line feeds, `Transfer-Encoding: gzip, chunked`, a length
//! beside chunks, two lengths. Here one grammar counts (RFC 9112), so that no byte of one request can become another.

pub mod chunks;
pub mod head;

use crate::framing::chunks::Chunks;
use crate::framing::head::BodyLength;

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

/// What the next bytes on a connection are.
#[derive(Debug, Default)]
pub struct Framing {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Body(u64),
    Chunks(Chunks),
}

/// What became of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes are good; the next one starts a head.
    Message(usize),
    /// All are good, and more of the same body follow.
    Partial,
    /// They are the start of a head that is not complete.
    Incomplete,
    /// They start with a head that is not good.
    BadHead(Violation),
    /// So many are good, the rest breaks the grammar of a body.
    BadBody(usize, Violation),
}

/// The bounds of a head.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many bytes it may have; never more than [`MAX_HEAD_BYTES`].
    pub max_bytes: usize,
}

/// How many bytes any head may have: hyper reads no target and no name that is longer.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

impl Framing {
    /// Tells whether the next byte starts a head.
    pub fn is_at_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// Reads bytes up to the end of a request, or of the bytes.
    ///
    /// The bytes of an incomplete head are to be given again, with more behind them.
    pub fn read(&mut self, bytes: &[u8], bounds: Bounds) -> Read {
        let max_bytes = bounds.max_bytes.min(MAX_HEAD_BYTES);
        let mut good = 0;
        if matches!(self.state, State::Head) {
            let Some(end) = head::end(bytes) else {
                return if bytes.len() > max_bytes {
                    Read::BadHead(Violation::HeadTooLarge)
                } else if let Some(violation) = head::already_wrong(bytes) {
                    Read::BadHead(violation)
                } else {
                    Read::Incomplete
                };
            };
            if end > max_bytes {
                return Read::BadHead(Violation::HeadTooLarge);
            }
            match head::check(bytes.get(..end).unwrap_or_default()) {
                Ok(BodyLength::Known(0)) => return Read::Message(end),
                Ok(BodyLength::Known(length)) => self.state = State::Body(length),
                Ok(BodyLength::Chunked) => self.state = State::Chunks(Chunks::default()),
                Err(violation) => return Read::BadHead(violation),
            }
            good = end;
        }
        let rest = bytes.get(good..).unwrap_or_default();
        match &mut self.state {
            State::Head => Read::Message(good),
            State::Body(left) => {
                let here = rest.len() as u64;
                if here < *left {
                    *left -= here;
                    return Read::Partial;
                }
                let taken = usize::try_from(*left).unwrap_or(rest.len());
                self.state = State::Head;
                Read::Message(good + taken)
            }
            State::Chunks(chunks) => match chunks.read(rest) {
                Ok(None) => Read::Partial,
                Ok(Some(taken)) => {
                    self.state = State::Head;
                    Read::Message(good + taken)
                }
                Err(violation) => Read::BadBody(good, violation),
            },
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::Bounds;
    use super::Framing;
    use super::Read;
    use super::Violation;

    const BOUNDS: Bounds = Bounds { max_bytes: 8192 };

    fn read(text: &str) -> Read {
        Framing::default().read(text.as_bytes(), BOUNDS)
    }

    #[test]
    fn a_message_ends_where_its_framing_says() {
        for (text, end) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET", 29),
            ("GET / HTTP/1.0\r\n\r\n", 18),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET", 49),
            ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET", 68),
        ] {
            assert_eq!(read(text), Read::Message(end), "{text:?}");
        }
    }

    #[test]
    fn a_body_may_come_in_pieces() {
        let mut framing = Framing::default();
        assert_eq!(framing.read(b"PUT / HTTP/1.1\r\nHost: a\r\n", BOUNDS), Read::Incomplete);
        assert_eq!(framing.read(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na", BOUNDS), Read::Partial);
        assert_eq!(framing.read(b"bc", BOUNDS), Read::Partial);
        assert_eq!(framing.read(b"deGET", BOUNDS), Read::Message(2));
        assert_eq!(framing.read(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", BOUNDS), Read::Message(27));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_a_violation() {
        let length = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ";
        let coding = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ";
        for (text, violation) in [
            ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), Violation::LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n\r\n".into(), Violation::LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n".into(), Violation::FieldValue),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".into(), Violation::FieldValue),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n".into(), Violation::FieldName),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n".into(), Violation::FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n".into(), Violation::FieldName),
            ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n".into(), Violation::FieldName),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(), Violation::RequestLine),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n".into(), Violation::RequestLine),
            ("GET / http/1.1\r\nHost: a\r\n\r\n".into(), Violation::RequestLine),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(), Violation::RequestLine),
            ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n".into(), Violation::RequestLine),
            ("GET /\r\n\r\n".into(), Violation::RequestLine),
            ("GET / HTTP/1.1\r\n\r\n".into(), Violation::Host),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".into(), Violation::Host),
            ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n".into(), Violation::Host),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), Violation::Host),
            (format!("{length}+3\r\n\r\nabc"), Violation::ContentLength),
            (format!("{length}03\r\n\r\nabc"), Violation::ContentLength),
            (format!("{length}3, 3\r\n\r\nabc"), Violation::ContentLength),
            (format!("{length}-1\r\n\r\nabc"), Violation::ContentLength),
            (format!("{length}\r\n\r\nabc"), Violation::ContentLength),
            (format!("{length}9999999999999999999\r\n\r\nabc"), Violation::ContentLength),
            (format!("{length}3\r\nContent-Length: 3\r\n\r\nabc"), Violation::ContentLength),
            (format!("{length}3\r\nTransfer-Encoding: chunked\r\n\r\nabc"), Violation::TransferEncoding),
            (format!("{coding}chunked\r\nContent-Length: 3\r\n\r\nabc"), Violation::TransferEncoding),
            (format!("{coding}gzip, chunked\r\n\r\n"), Violation::TransferEncoding),
            (format!("{coding}Chunked\r\n\r\n"), Violation::TransferEncoding),
            (format!("{coding}identity\r\n\r\n"), Violation::TransferEncoding),
            (format!("{coding}chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), Violation::TransferEncoding),
            ("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), Violation::TransferEncoding),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9000)), Violation::HeadTooLarge),
            (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(95)), Violation::HeadTooLarge),
        ] {
            assert_eq!(read(&text), Read::BadHead(violation), "{text:?}");
        }
    }
}
