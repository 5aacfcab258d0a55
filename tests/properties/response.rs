//! What the gate's own client takes for an answer, hyper's client takes for the same answer.
//!
//! The own client is stricter on purpose. It refuses, where hyper does not:
//!
//! - more than one `Content-Length`, also if they agree, and one that is not a plain number (`+3`, `03`, `3, 3`);
//! - a `Transfer-Encoding` that is not exactly one `chunked`, and one beside a `Content-Length`; hyper reads other codings
//!   to the end of the connection, and lets chunks win over a length;
//! - chunks that break their grammar, such as bare line feeds and blanks around a size;
//! - a switch of protocols, which it never asks for, and more than sixteen interim answers;
//! - a wrong `Content-Length` or `Transfer-Encoding` in an answer that has no body, because it would be passed on.
//!
//! And it is laxer in one place: of trailers, which it drops, it looks at the grammar alone, and hyper at their number.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use glance_gate::body::Body;
use glance_gate::client::h1::Connection;
use glance_gate::client::h1::Failure;
use glance_gate::client::h1::Timeouts;
use glance_gate::client::h1::head::Garbled;
use glance_gate::client::stream::Stream;
use http::HeaderMap;
use http::Method;
use http::Request;
use http::StatusCode;
use http::header;
use http_body_util::BodyExt;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

/// What a client made of the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// No answer.
    Refused(Why),
    /// An answer.
    Answer { status: StatusCode, headers: HeaderMap, body: Vec<u8>, end: End, is_kept: bool },
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The own client is stricter here.
    Stricter,
    /// Nobody could take this for an answer.
    Other,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    CutOff,
    /// The own client is stricter here.
    BadChunks,
}

const TIMEOUTS: Timeouts = Timeouts { response: Duration::from_secs(20), idle: Duration::from_secs(20) };

/// Checks the property on the bytes that an upstream sends before it closes.
pub fn holds(bytes: &[u8]) {
    let method = if bytes.len() % 4 == 3 { Method::HEAD } else { Method::GET };
    let own = own(bytes, bytes.len().max(1), &method);
    for size in [1, 7] {
        if bytes.len() / size < 300 {
            check_pieces(&own, &self::own(bytes, size, &method), bytes);
        }
    }
    compare(&own, &hyper(bytes, &method), bytes);
}

/// What is read does not hang on how it arrives, but whether the connection is kept may: unasked bytes can come late.
fn check_pieces(whole: &Outcome, pieces: &Outcome, bytes: &[u8]) {
    let (mut whole, mut pieces) = (whole.clone(), pieces.clone());
    for outcome in [&mut whole, &mut pieces] {
        if let Outcome::Answer { is_kept, .. } = outcome {
            *is_kept = true;
        }
    }
    assert_eq!(whole, pieces, "in one piece and in several: {:?}", String::from_utf8_lossy(bytes));
}

fn compare(own: &Outcome, hyper: &Outcome, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let context = format!("{text:?}\nown: {own:?}\nhyper: {hyper:?}");
    match (own, hyper) {
        (Outcome::Refused(Why::Stricter), _) | (Outcome::Refused(_), Outcome::Refused(_)) => {}
        (
            Outcome::Answer { status, headers, body, end, is_kept },
            Outcome::Answer { status: status_there, headers: headers_there, body: body_there, end: end_there, .. },
        ) => {
            assert_eq!((status, headers), (status_there, headers_there), "{context}");
            match (end, end_there) {
                (End::Whole, End::Whole) | (End::CutOff, End::CutOff) => assert_eq!(body, body_there, "{context}"),
                (End::BadChunks, _) => assert!(body_there.starts_with(body), "{context}"),
                // hyper does not like the trailers
                (End::Whole, End::CutOff) if is_chunked(headers) => assert_eq!(body, body_there, "{context}"),
                _ => panic!("{context}"),
            }
            if *is_kept {
                assert_eq!(*end, End::Whole, "{context}");
                let closes = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
                assert!(!headers.get_all(header::CONNECTION).iter().any(closes), "{context}");
            }
        }
        _ => panic!("{context}"),
    }
}

fn is_chunked(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
}

/// Reads the request's head, sends the bytes so many at a time, and closes.
async fn play(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8], size: usize) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.expect("the client sends") == 0 {
            return;
        }
    }
    for piece in bytes.chunks(size) {
        // a client that has seen enough may be gone
        if stream.write_all(piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    drop(stream.shutdown().await);
}

fn own(bytes: &[u8], size: usize, method: &Method) -> Outcome {
    run(async {
        let (here, there) = UnixStream::pair().expect("a pair of sockets");
        let (exchange, ()) = tokio::join!(own_exchange(here, method.clone()), play(there, bytes, size));
        exchange
    })
}

async fn own_exchange(stream: UnixStream, method: Method) -> Outcome {
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = method;
    let is_kept = Arc::new(AtomicBool::new(false));
    let give_back = {
        let is_kept = is_kept.clone();
        move |_| is_kept.store(true, Ordering::Relaxed)
    };
    let answer = match Connection::new(Stream::Unix(stream)).send(request, TIMEOUTS, give_back).await {
        Ok(answer) => answer,
        Err(Failure::Garbled(
            Garbled::ContentLength | Garbled::TransferEncoding | Garbled::Switched | Garbled::Interim,
        )) => return Outcome::Refused(Why::Stricter),
        Err(Failure::TimedOut) => panic!("the own client hangs"),
        Err(_) => return Outcome::Refused(Why::Other),
    };
    let (head, mut body) = answer.into_parts();
    let mut read = Vec::new();
    let end = loop {
        match body.frame().await {
            None => break End::Whole,
            Some(Ok(frame)) => read.extend_from_slice(&frame.into_data().expect("no trailers")),
            Some(Err(error)) => {
                let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<Garbled>());
                break if cause == Some(&Garbled::Chunks) { End::BadChunks } else { End::CutOff };
            }
        }
    };
    let is_kept = is_kept.load(Ordering::Relaxed);
    Outcome::Answer { status: head.status, headers: head.headers, body: read, end, is_kept }
}

fn hyper(bytes: &[u8], method: &Method) -> Outcome {
    run(async {
        let (here, there) = tokio::io::duplex(1 << 20);
        let (exchange, ()) = tokio::join!(hyper_exchange(here, method.clone()), play(there, bytes, bytes.len().max(1)));
        exchange
    })
}

async fn hyper_exchange(stream: tokio::io::DuplexStream, method: Method) -> Outcome {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
    tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    let Ok(answer) = sender.send_request(request).await else {
        return Outcome::Refused(Why::Other);
    };
    let (head, mut body) = answer.into_parts();
    let mut read = Vec::new();
    let end = loop {
        match body.frame().await {
            None => break End::Whole,
            Some(Ok(frame)) => read.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(_)) => break End::CutOff,
        }
    };
    Outcome::Answer { status: head.status, headers: head.headers, body: read, end, is_kept: false }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
