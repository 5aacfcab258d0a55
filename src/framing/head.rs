//! The head of a request: its lines, and how long the body behind it is (RFC 9112 sections 2 to 6).

use http::Uri;

use crate::framing::Violation;

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// So many bytes; none without a length.
    Known(u64),
    /// Until its last chunk.
    Chunked,
}

/// How many fields a head may have: hyper and Python read a hundred, and the gate adds up to six.
const MAX_FIELDS: usize = 94;

/// Returns where the head ends, if it does.
///
/// A head also "ends" at two bare line feeds: other servers end it there, so it must be looked at there.
pub fn end(bytes: &[u8]) -> Option<usize> {
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
pub fn already_wrong(bytes: &[u8]) -> Option<Violation> {
    let line_end = memchr::memchr(b'\n', bytes.get(leading_empty_line(bytes)..)?)?;
    let line = bytes.get(leading_empty_line(bytes)..)?.get(..line_end)?;
    match line.strip_suffix(b"\r") {
        Some(line) => request_line(line).err(),
        None => Some(Violation::LineEnd),
    }
}

/// Checks a whole head and tells how long the body is.
///
/// # Errors
/// Returns the first violation.
pub fn check(head: &[u8]) -> Result<BodyLength, Violation> {
    let mut lines = lines(head.get(leading_empty_line(head)..).unwrap_or_default());
    let is_http_1_0 = request_line(lines.next().ok_or(Violation::RequestLine)??)?;
    let mut fields = Fields::default();
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        fields.add(line)?;
    }
    fields.body_length(is_http_1_0)
}

/// One empty line before the request line is forgiven (RFC 9112 section 2.2).
fn leading_empty_line(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 0 }
}

/// Splits into lines, each ended by carriage return and line feed.
fn lines(head: &[u8]) -> impl Iterator<Item = Result<&[u8], Violation>> {
    head.split_inclusive(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r\n").ok_or(Violation::LineEnd))
}

/// Checks the request line, whose target has no fragment (RFC 9112 section 3.2), and tells whether it is HTTP/1.0.
fn request_line(line: &[u8]) -> Result<bool, Violation> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Violation::RequestLine);
    };
    // what hyper can not read it answers itself, without a request id and a line in the log
    let is_target = target.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#') && Uri::try_from(target).is_ok();
    if !is_token(method) || !is_target {
        return Err(Violation::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err(Violation::RequestLine),
    }
}

/// Tells whether the bytes are a token (RFC 9110 section 5.6.2).
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Tells whether the byte may stand in a token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
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
    fn add(&mut self, line: &[u8]) -> Result<(), Violation> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            return Err(Violation::HeadTooLarge);
        }
        let colon = memchr::memchr(b':', line).ok_or(Violation::FieldName)?;
        let (name, value) = line.split_at_checked(colon).ok_or(Violation::FieldName)?;
        if !is_token(name) {
            return Err(Violation::FieldName);
        }
        let value = value.get(1..).unwrap_or_default();
        if value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(Violation::FieldValue);
        }
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            if !is_host(value) {
                return Err(Violation::Host);
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = number(value).ok_or(Violation::ContentLength)?;
            if self.length.replace(length).is_some() {
                return Err(Violation::ContentLength);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_chunked || value != b"chunked" {
                return Err(Violation::TransferEncoding);
            }
            self.is_chunked = true;
        }
        Ok(())
    }

    fn body_length(&self, is_http_1_0: bool) -> Result<BodyLength, Violation> {
        if self.hosts > 1 || (self.hosts == 0 && !is_http_1_0) {
            return Err(Violation::Host);
        }
        match (self.is_chunked, self.length) {
            (true, Some(_)) => Err(Violation::TransferEncoding),
            (true, None) if is_http_1_0 => Err(Violation::TransferEncoding),
            (true, None) => Ok(BodyLength::Chunked),
            (false, length) => Ok(BodyLength::Known(length.unwrap_or(0))),
        }
    }
}

/// Tells whether the value is a host and perhaps a port, as a link can be built from.
fn is_host(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte))
}

/// Parses a length: digits, no sign, no leading zero, at most eighteen of them.
fn number(value: &[u8]) -> Option<u64> {
    let is_plain = matches!(value, b"0") || value.first().is_some_and(|byte| (b'1'..=b'9').contains(byte));
    if !is_plain || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
