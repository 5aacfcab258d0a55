//! The gate's HTTP/1.1 server reads the requests that hyper reads, however the bytes arrive, and no others.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use glance_gate::framing::Violation;
use glance_gate::server::Settings;
use glance_gate::server::h1;
use http::HeaderMap;
use http::Method;
use http::Request;
use http::Response;
use http::Uri;
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;
use tokio_util::sync::CancellationToken;

/// A request as a server read it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// All of it.
    Whole { method: Method, uri: Uri, headers: HeaderMap, body: Bytes },
    /// Its head was good and its body was not.
    Broken { method: Method, uri: Uri, headers: HeaderMap },
    /// Its head was not good.
    Refused,
}

/// Checks the property on the bytes of a connection.
pub fn holds(bytes: &[u8]) {
    let seen = by_gate(bytes, bytes.len().max(1));
    for size in [1, 2, 7] {
        assert_eq!(by_gate(bytes, size), seen, "in pieces of {size}: {:?}", String::from_utf8_lossy(bytes));
    }
    let (by_hyper, is_good_to_hyper) = by_hyper(bytes);
    let text = String::from_utf8_lossy(bytes);
    for (at, seen) in seen.iter().enumerate() {
        match (seen, by_hyper.get(at)) {
            // hyper takes more than the gate; what it makes of that is the reason for the gate's own reading
            (Seen::Refused, _) => return,
            (
                Seen::Broken { method, uri, headers },
                Some(
                    Seen::Whole { method: m, uri: u, headers: h, .. } | Seen::Broken { method: m, uri: u, headers: h },
                ),
            ) => {
                assert_eq!((method, uri, headers), (m, u, h), "{text:?}");
                return;
            }
            // hyper is stricter with trailers, and ends the connection there
            (_, None) | (Seen::Whole { .. }, Some(Seen::Broken { .. })) if !is_good_to_hyper => return,
            (_, seen_by_hyper) => assert_eq!(Some(seen), seen_by_hyper, "request {at} of {text:?}"),
        }
    }
    assert_eq!(seen.len(), by_hyper.len(), "hyper sees another request in {text:?}: {by_hyper:?}");
}

/// Serves a connection whose bytes arrive so many at a time.
fn by_gate(bytes: &[u8], size: usize) -> Vec<Seen> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let answer = {
        let seen = seen.clone();
        move |violation: Option<Violation>, request: Request<glance_gate::body::Body>| {
            let seen = seen.clone();
            async move {
                let request = if violation.is_some() { Seen::Refused } else { read(request).await };
                seen.lock().expect("no panic").push(request);
                Ok(answer())
            }
        }
    };
    let settings = Settings { max_head_bytes: 512, ..Settings::default() };
    let stream = tokio::io::join(Pieces { bytes: bytes.to_vec(), at: 0, size }, tokio::io::sink());
    // how the connection ends is told by what was seen
    let _ = run(h1::serve(stream, &settings, answer, CancellationToken::new()));
    Arc::into_inner(seen).expect("nobody serves any more").into_inner().expect("no panic")
}

/// Serves the connection with hyper; also tells whether hyper had nothing to object.
fn by_hyper(bytes: &[u8]) -> (Vec<Seen>, bool) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let request = read(request).await;
            seen.borrow_mut().push(request);
            Ok::<_, Infallible>(answer())
        }
    });
    let stream = tokio::io::join(bytes, tokio::io::sink());
    let served = run(http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service));
    let seen = seen.borrow().clone();
    let is_good = served.is_ok() && !seen.iter().any(|seen| matches!(seen, Seen::Broken { .. }));
    (seen, is_good)
}

async fn read<B: Body>(request: Request<B>) -> Seen {
    let (head, body) = request.into_parts();
    let (method, uri, headers) = (head.method, head.uri, head.headers);
    match body.collect().await {
        Ok(body) => Seen::Whole { method, uri, headers, body: body.to_bytes() },
        Err(_) => Seen::Broken { method, uri, headers },
    }
}

fn answer() -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = http::StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// A client that sends so many bytes at a time, and then no more.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    size: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let end = (self.at + self.size.min(buffer.remaining())).min(self.bytes.len());
        buffer.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}
