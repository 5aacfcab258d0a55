//! A head of HTTP/2 that passes is one that HTTP/1.1 carries on, with the same length and no other request in it.

use glance_gate::framing::head;
use glance_gate::framing::head::BodyLength;
use glance_gate::framing::head::Found;
use glance_gate::framing::http2;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;

const MAX_BYTES: usize = 4096;

/// Checks the property on a line `method target` and header lines, `name: value`.
pub fn holds(lines: &[u8]) {
    let mut lines = lines.split(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let blank = first.iter().position(|&byte| byte == b' ').unwrap_or(first.len());
    let (method, target) = first.split_at(blank);
    let request = Request::builder().method(method).uri(target.get(1..).unwrap_or_default());
    let Ok(request) = request.body(()) else { return };
    let (mut sent, ()) = request.into_parts();
    for line in lines.take(100) {
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        // what h2 makes of the bytes of a field, and which fields it lets through
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_lowercase(name), HeaderValue::from_bytes(value.get(1..).unwrap_or_default()))
            && !matches!(
                name.as_str(),
                "connection" | "transfer-encoding" | "upgrade" | "keep-alive" | "proxy-connection"
            )
        {
            sent.headers.append(name, value);
        }
    }
    let Ok(length) = http2::check(&mut sent, MAX_BYTES) else { return };
    if sent.method == Method::CONNECT {
        return;
    }
    assert!(sent.uri.scheme().is_none() && sent.uri.authority().is_none(), "{}", sent.uri);
    let mut written = format!("{} {} HTTP/1.1\r\n", sent.method, sent.uri).into_bytes();
    for (name, value) in &sent.headers {
        written.extend_from_slice(name.as_str().as_bytes());
        written.extend_from_slice(b": ");
        written.extend_from_slice(value.as_bytes());
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(b"\r\n");
    let text = String::from_utf8_lossy(&written);
    assert_eq!(head::find(&written, MAX_BYTES), Found::Whole(written.len()), "{text}");
    let read = head::read(&written, |_, _| {}).map(|head| head.body);
    assert_eq!(read, Ok(BodyLength::Known(length.unwrap_or(0))), "{text}");
}
