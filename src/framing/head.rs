//! The head of a request: its lines, and how long the body behind it is (RFC 9112 sections 2 to 6).

use std::ops::Range;

use http::Uri;

use crate::framing::MAX_HEAD_BYTES;
use crate::framing::Violation;

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// So many bytes; none without a length.
    Known(u64),
    /// Until its last chunk.
    Chunked,
}

/// Whether the bytes that are there hold a whole head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The first so many bytes are one.
    Whole(usize),
    /// They are the start of one.
    Part,
    /// They can not become a good one.
    Bad(Violation),
}

/// A good head, as ranges of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: Range<usize>,
    /// The target.
    pub target: Range<usize>,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// How long the body behind it is.
    pub body: BodyLength,
}

/// The minor version of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How many fields a head may have: hyper and Python read a hundred, and the gate adds up to six.
pub const MAX_FIELDS: usize = 94;

/// Looks for a head of at most so many bytes, and never more than [`MAX_HEAD_BYTES`].
///
/// A head also "ends" at two bare line feeds: other servers end it there, so it must be looked at there.
pub fn find(bytes: &[u8], max_bytes: usize) -> Found {
    let max_bytes = max_bytes.min(MAX_HEAD_BYTES);
    match end(bytes) {
        Some(end) if end > max_bytes => Found::Bad(Violation::HeadTooLarge),
        Some(end) => Found::Whole(end),
        None if bytes.len() > max_bytes => Found::Bad(Violation::HeadTooLarge),
        None => already_wrong(bytes).map_or(Found::Part, Found::Bad),
    }
}

fn end(bytes: &[u8]) -> Option<usize> {
    let mut from = leading_empty_line(bytes);
    loop {
        let line_end = from + memchr::memchr(b'\n', bytes.get(from..)?)?;
        let line = bytes.get(from..line_end)?;
        from = line_end + 1;
        if matches!(line, b"" | b"\r") {
            return Some(from);
        }
    }
}

/// Finds what makes an incomplete head hopeless, so that nobody waits for the rest.
fn already_wrong(bytes: &[u8]) -> Option<Violation> {
    let start = leading_empty_line(bytes);
    let line_end = start + memchr::memchr(b'\n', bytes.get(start..)?)?;
    match bytes.get(start..line_end)?.strip_suffix(b"\r") {
        Some(line) => match request_line(line, 0) {
            Ok((_, target, _)) => {
                Uri::try_from(line.get(target).unwrap_or_default()).err().map(|_| Violation::RequestLine)
            }
            Err(violation) => Some(violation),
        },
        None => Some(Violation::LineEnd),
    }
}

/// Checks a whole head, tells each field's name and value in order, and what the head says of itself.
///
/// # Errors
/// Returns the first violation. Fields that were told before it count for nothing.
pub fn read(head: &[u8], mut tell: impl FnMut(Range<usize>, Range<usize>)) -> Result<Head, Violation> {
    let start = leading_empty_line(head);
    let line = line(head, start)?;
    let (method, target, version) = request_line(head.get(line.clone()).unwrap_or_default(), start)?;
    let mut at = line.end + 2;
    let mut fields = Fields::default();
    loop {
        let line = self::line(head, at)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = fields.add(head.get(line.clone()).unwrap_or_default())?;
        tell(at + name.start..at + name.end, at + value.start..at + value.end);
        at = line.end + 2;
    }
    let body = fields.body_length(version)?;
    Ok(Head { method, target, version, body })
}

/// One empty line before the request line is forgiven (RFC 9112 section 2.2).
fn leading_empty_line(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 0 }
}

/// Returns the line that starts there, without its end, which must be carriage return and line feed.
fn line(head: &[u8], start: usize) -> Result<Range<usize>, Violation> {
    let rest = head.get(start..).unwrap_or_default();
    let length = memchr::memchr(b'\n', rest).ok_or(Violation::LineEnd)?;
    match rest.get(..length) {
        Some([.., b'\r']) => Ok(start..start + length - 1),
        Some(_) | None => Err(Violation::LineEnd),
    }
}

/// Checks the request line, whose target has no fragment (RFC 9112 section 3.2); its parts are told from `start` on.
fn request_line(line: &[u8], start: usize) -> Result<(Range<usize>, Range<usize>, Version), Violation> {
    let method_end = memchr::memchr(b' ', line).ok_or(Violation::RequestLine)?;
    let target_end = memchr::memrchr(b' ', line).filter(|end| *end > method_end).ok_or(Violation::RequestLine)?;
    let (method, target) = (0..method_end, method_end + 1..target_end);
    if !line.get(method.clone()).is_some_and(is_token) || !line.get(target.clone()).is_some_and(is_target) {
        return Err(Violation::RequestLine);
    }
    let version = match line.get(target_end + 1..) {
        Some(b"HTTP/1.1") => Version::Http11,
        Some(b"HTTP/1.0") => Version::Http10,
        Some(_) | None => return Err(Violation::RequestLine),
    };
    let from_start = |range: Range<usize>| start + range.start..start + range.end;
    Ok((from_start(method), from_start(target), version))
}

/// Tells whether the bytes may be a target. Without a branch a byte, as for values.
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch")]
fn is_target(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |good, &byte| good & byte.is_ascii_graphic() & (byte != b'#'))
}

/// Tells whether the bytes are a token (RFC 9110 section 5.6.2).
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN.get(usize::from(byte)) == Some(&true))
}

/// Tells whether the byte may stand in a token.
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// [`is_token_byte`] for each byte: one look instead of many comparisons.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = u8::MAX;
    while byte > 0 {
        #[expect(clippy::indexing_slicing, reason = "a byte is no more than 255")]
        {
            table[byte as usize] = is_token_byte(byte);
        }
        byte -= 1;
    }
    table
};

/// Tells whether the bytes are a field's value: no control characters but tabs. Without a branch a byte, so that the
/// compiler looks at many at once: tokens are long.
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator is a branch")]
fn is_value(bytes: &[u8]) -> bool {
    !bytes.iter().fold(false, |bad, &byte| bad | ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f))
}

/// The fields that say where a request ends and whom it is for.
#[derive(Default)]
struct Fields {
    count: usize,
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
}

impl Fields {
    /// Checks a line and returns where in it name and value stand.
    fn add(&mut self, line: &[u8]) -> Result<(Range<usize>, Range<usize>), Violation> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err(Violation::HeadTooLarge);
        }
        let colon = memchr::memchr(b':', line).ok_or(Violation::FieldName)?;
        let (name, rest) = line.split_at_checked(colon).ok_or(Violation::FieldName)?;
        if !is_token(name) {
            return Err(Violation::FieldName);
        }
        let rest = rest.get(1..).unwrap_or_default();
        if !is_value(rest) {
            return Err(Violation::FieldValue);
        }
        let value = rest.trim_ascii();
        self.note(name, value)?;
        let start = colon + 1 + (rest.len() - rest.trim_ascii_start().len());
        Ok((0..colon, start..start + value.len()))
    }

    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if !is_host(value) {
                    return Err(Violation::Host);
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = number(value).ok_or(Violation::ContentLength)?;
                if self.length.replace(length).is_some() {
                    return Err(Violation::ContentLength);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.is_chunked || value != b"chunked" {
                    return Err(Violation::TransferEncoding);
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn body_length(&self, version: Version) -> Result<BodyLength, Violation> {
        if self.hosts > 1 || (self.hosts == 0 && version == Version::Http11) {
            return Err(Violation::Host);
        }
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(Violation::TransferEncoding),
            (true, None) if version == Version::Http10 => Err(Violation::TransferEncoding),
            (true, None) => Ok(BodyLength::Chunked),
            (false, length) => Ok(BodyLength::Known(length.unwrap_or(0))),
        }
    }
}

/// Tells whether the value is a host and perhaps a port, as a link can be built from.
pub fn is_host(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte))
}

/// Parses a length: digits, no sign, no leading zero, at most eighteen of them.
pub fn number(value: &[u8]) -> Option<u64> {
    let is_plain = matches!(value, b"0") || value.first().is_some_and(|byte| (b'1'..=b'9').contains(byte));
    if !is_plain || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::BodyLength;
    use super::Found;
    use super::find;
    use crate::framing::Violation;

    /// Where a head ends, its fields, and how long its body is.
    type Read<'a> = (usize, Vec<(&'a str, &'a str)>, BodyLength);

    fn read(text: &str) -> Result<Read<'_>, Violation> {
        let end = match find(text.as_bytes(), 8192) {
            Found::Whole(end) => end,
            Found::Bad(violation) => return Err(violation),
            Found::Part => panic!("incomplete: {text:?}"),
        };
        let mut fields = Vec::new();
        let head = super::read(&text.as_bytes()[..end], |name, value| fields.push((&text[name], &text[value])))?;
        Ok((end, fields, head.body))
    }

    #[test]
    fn a_head_ends_at_its_empty_line_and_says_how_long_the_body_is() {
        let none = BodyLength::Known(0);
        for (text, end, body) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, none),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET", 29, none),
            ("GET / HTTP/1.0\r\n\r\n", 18, none),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET", 46, BodyLength::Known(3)),
            ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", 55, BodyLength::Chunked),
        ] {
            let read = read(text).map(|(end, _, body)| (end, body));
            assert_eq!(read, Ok((end, body)), "{text:?}");
        }
    }

    #[test]
    fn fields_are_told_in_order_without_the_blanks_around_them() {
        let text = "GET /a?b HTTP/1.1\r\nHost:a\r\nX-Two: \t b c \r\nx-Empty:\r\n\r\n";
        let fields = read(text).map(|(_, fields, _)| fields);
        assert_eq!(fields, Ok(vec![("Host", "a"), ("X-Two", "b c"), ("x-Empty", "")]));
        let head = super::read(text.as_bytes(), |_, _| {}).expect("a head");
        assert_eq!((&text[head.method], &text[head.target]), ("GET", "/a?b"));
    }

    #[test]
    fn the_start_of_a_head_is_waited_for_unless_it_is_hopeless() {
        for (text, found) in [
            ("", Found::Part),
            ("GET / HT", Found::Part),
            ("GET / HTTP/1.1\r\nHost: a\r\n", Found::Part),
            ("GET / HTTP/1.1\n", Found::Bad(Violation::LineEnd)),
            ("GET / HTTP/2.0\r\n", Found::Bad(Violation::RequestLine)),
        ] {
            assert_eq!(find(text.as_bytes(), 8192), found, "{text:?}");
        }
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
            assert_eq!(read(&text), Err(violation), "{text:?}");
        }
    }
}
