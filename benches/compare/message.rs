//! The little of HTTP/1.1 that the stub and the load need: where a head ends and how long its body is.

use memchr::memchr_iter;
use memchr::memmem;

/// Returns how many bytes the head at the front has, with the empty line that ends it.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// Returns the length that the head says its body has; none is zero.
pub fn content_length(head: &[u8]) -> u64 {
    field(head, b"content-length:")
        .and_then(|value| str::from_utf8(value).ok())
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Tells whether the body comes in chunks, which nothing here reads.
pub fn is_chunked(head: &[u8]) -> bool {
    field(head, b"transfer-encoding:").is_some()
}

/// Returns the status of an answer.
pub fn status(head: &[u8]) -> Option<u16> {
    str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

/// Returns the value of the first field whose name, in lower case and with its colon, is `name`.
fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    memchr_iter(b'\n', head).find_map(|at| {
        let line = head.get(at + 1..)?;
        if !line.get(..name.len())?.eq_ignore_ascii_case(name) {
            return None;
        }
        let value = line.get(name.len()..)?;
        value.split(|byte| *byte == b'\r').next()
    })
}
