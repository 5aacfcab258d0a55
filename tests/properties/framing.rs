//! Messages end where the framing says, however the bytes arrive, and hyper sees no other request in them.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use glance_gate::framing::Bounds;
use glance_gate::framing::Framing;
use glance_gate::framing::Read;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Version;
use http::header;
use http_body_util::BodyExt;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

const BOUNDS: Bounds = Bounds { max_bytes: 512 };

/// What follows each message that hyper is given.
const MARKER: &[u8] = b"GET /marker HTTP/1.1\r\nhost: marker\r\n\r\n";

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Clean,
    InHead,
    InBody,
    BadHead,
    BadBody,
}

/// Checks the property on the bytes of a connection.
pub fn holds(bytes: &[u8]) {
    let (messages, end) = in_pieces(bytes, bytes.len().max(1));
    for size in [1, 2, 7] {
        assert_eq!(in_pieces(bytes, size), (messages.clone(), end), "in pieces of {size}");
    }
    let mut start = 0;
    for stop in messages {
        check_with_hyper(&bytes[start..stop]);
        start = stop;
    }
}

/// Reads a connection whose bytes arrive so many at a time: where its messages end, and how it ends.
fn in_pieces(bytes: &[u8], size: usize) -> (Vec<usize>, End) {
    let (mut framing, mut messages) = (Framing::default(), Vec::new());
    // `from`: where reading goes on; the start of a head is read again with more behind it
    let (mut from, mut arrived) = (0, 0);
    while arrived < bytes.len() {
        arrived = (arrived + size).min(bytes.len());
        while from < arrived {
            match framing.read(&bytes[from..arrived], BOUNDS) {
                Read::Message(good) => {
                    assert!(good > 0 && from + good <= arrived, "a message ends within what was read");
                    assert!(framing.is_at_head());
                    from += good;
                    messages.push(from);
                }
                Read::Partial => {
                    assert!(!framing.is_at_head());
                    from = arrived;
                }
                Read::Incomplete => break,
                Read::BadHead(_) => return (messages, End::BadHead),
                Read::BadBody(..) => return (messages, End::BadBody),
            }
        }
    }
    let end = match (framing.is_at_head(), from < bytes.len()) {
        (true, false) => End::Clean,
        (true, true) => End::InHead,
        (false, _) => End::InBody,
    };
    (messages, end)
}

/// A request as hyper read it.
struct Seen {
    is_marker: bool,
    goes_on: bool,
    body: Option<Bytes>,
}

/// Gives hyper one message and the marker: it must see one request at most, and then the marker.
fn check_with_hyper(message: &[u8]) {
    let seen = RefCell::new(Vec::new());
    let connection = [message, MARKER].concat();
    let service = service_fn(|request: Request<Incoming>| {
        let seen = &seen;
        async move {
            let method = request.method().clone();
            let is_marker =
                request.uri() == "/marker" && request.headers().get(header::HOST).is_some_and(|h| h == "marker");
            // hyper ends a connection after these by itself
            let goes_on = request.version() == Version::HTTP_11 && !request.headers().contains_key(header::CONNECTION);
            let body = request.into_body().collect().await.ok().map(http_body_util::Collected::to_bytes);
            seen.borrow_mut().push(Seen { is_marker, goes_on: goes_on && method != Method::CONNECT, body });
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            Ok::<_, Infallible>(response)
        }
    });
    let stream = tokio::io::join(connection.as_slice(), tokio::io::sink());
    let served = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(stream), service);
    let outcome = run(async { served.await.map_err(|error| error.to_string()) });
    let seen = seen.into_inner();
    let text = String::from_utf8_lossy(message);
    let requests: Vec<_> = seen.iter().take_while(|seen| !seen.is_marker).collect();
    assert!(requests.len() <= 1, "hyper sees {} requests in {text:?}", requests.len());
    assert!(seen.len() <= requests.len() + 1, "hyper sees something behind the marker of {text:?}");
    for request in requests {
        match &request.body {
            Some(body) => {
                assert!(body.len() <= message.len() && !body.ends_with(MARKER), "the body of {text:?} goes on");
                assert!(!request.goes_on || seen.len() == 2, "hyper does not see the end of {text:?}: {outcome:?}");
            }
            // hyper is stricter with trailers, and ends the connection there
            None => assert_eq!(seen.len(), 1, "hyper goes on behind the broken body of {text:?}"),
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
