//! The writing side of a connection: one answer, its head and body in as few writes as there can be.

pub mod piece;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::pin::pin;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http::Response;
use http::StatusCode;
use http::header;
use http::response::Parts;
use http_body::SizeHint;
use httpdate::HttpDate;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::Sleep;

use crate::body::pipe::Shortcut;
use crate::body::pour::Pour;
use crate::framing::head::Version;
use crate::framing::head::number;
use crate::server::h1::answer::piece::Polled;
use crate::server::h1::head::Opened;
use crate::server::h1::head::says;
use crate::server::h1::wire;
use crate::server::h1::wire::Shared;

/// What a service answers with.
pub trait AnswerBody: Pour<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> {}

impl<B> AnswerBody for B where B: Pour<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> {}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The next request may come.
    Next,
    /// It ends.
    Close,
}

/// One answer on its way.
pub struct Answering<'a, S> {
    wire: &'a Shared<S>,
    opened: &'a Opened,
    write_timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    shortcut: Shortcut,
}

/// How the end of an answer's body is told (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// There is none.
    None,
    /// So many bytes are left.
    Length(u64),
    /// By the last chunk.
    Chunked,
    /// By the end of the connection, for HTTP/1.0.
    UntilClose,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + 'static> Answering<'a, S> {
    /// Answers what was opened; a client may refuse to take a byte for the timeout.
    pub fn new(wire: &'a Shared<S>, opened: &'a Opened, write_timeout: Duration) -> Self {
        Self { wire, opened, write_timeout, stalled: None, shortcut: Shortcut::default() }
    }

    /// Sends the answer, which may be asked to be the last one.
    ///
    /// # Errors
    /// Tells that the client or the body broke off: what was sent then lacks its end.
    pub async fn send<B: AnswerBody>(mut self, response: Response<B>, is_asked_to_end: bool) -> io::Result<Then> {
        let (head, body) = response.into_parts();
        let mut body = pin!(body);
        let then = self.then(&head, is_asked_to_end);
        let mut out = Vec::with_capacity(1024);
        let (mut coding, then) = write_head(&mut out, &head, self.opened, body.size_hint(), then);
        while coding != Coding::None && !(coding == Coding::Length(0) && body.is_end_stream()) {
            match self.piece(body.as_mut(), coding, !out.is_empty()).await? {
                Polled::Pending => self.write(&mut std::mem::take(&mut out).as_slice()).await?,
                Polled::Data(data) => self.data(&mut out, &mut coding, data).await?,
                Polled::Poured(count) => {
                    coding.pass(count)?;
                    self.drain().await?;
                }
                Polled::End => break,
            }
        }
        match coding {
            Coding::Length(1..) => return Err(io::Error::other("the body is shorter than its head says")),
            Coding::Chunked => out.extend_from_slice(b"0\r\n\r\n"),
            Coding::None | Coding::Length(0) | Coding::UntilClose => {}
        }
        self.write(&mut out.as_slice()).await?;
        Ok(self.then_after(then).await)
    }

    /// Decides whether the connection goes on, as far as it is known before the answer: not where nobody has read the
    /// request to its end.
    fn then(&self, head: &Parts, is_asked_to_end: bool) -> Then {
        let mut wire = wire::lock(self.wire);
        wire.begin_answer();
        let is_unread = wire.poll_past_body(&mut Context::from_waker(Waker::noop())) == Poll::Ready(false);
        if self.opened.is_last || is_asked_to_end || says(&head.headers, b"close") || is_unread {
            Then::Close
        } else {
            Then::Next
        }
    }

    /// Decides it again once the answer has gone out: an upstream may answer before it has read everything.
    async fn then_after(&self, then: Then) -> Then {
        if then == Then::Next && poll_fn(|context| wire::lock(self.wire).poll_past_body(context)).await {
            Then::Next
        } else {
            Then::Close
        }
    }
}

/// Writes the head, and tells how the body's end is told.
fn write_head(out: &mut Vec<u8>, head: &Parts, opened: &Opened, body: SizeHint, then: Then) -> (Coding, Then) {
    let (coding, length) = coding(head, opened, &body);
    let then = if coding == Coding::UntilClose { Then::Close } else { then };
    out.extend_from_slice(match opened.version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 => b"HTTP/1.1 ",
    });
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut is_dated = false;
    for (name, value) in &head.headers {
        is_dated |= *name == header::DATE;
        // framing and connection are this connection's own
        if !matches!(*name, header::CONTENT_LENGTH | header::CONNECTION | header::TRANSFER_ENCODING) {
            field(out, name.as_str(), value.as_bytes());
        }
    }
    if let Some(length) = length {
        field(out, "content-length", itoa::Buffer::new().format(length).as_bytes());
    }
    if coding == Coding::Chunked {
        field(out, "transfer-encoding", b"chunked");
    }
    match (then, opened.version) {
        (Then::Close, _) => field(out, "connection", b"close"),
        (Then::Next, Version::Http10) => field(out, "connection", b"keep-alive"),
        (Then::Next, Version::Http11) => {}
    }
    if !is_dated {
        write_date(out);
    }
    out.extend_from_slice(b"\r\n");
    (coding, then)
}

fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Chooses the coding, and the length that the head names.
fn coding(head: &Parts, opened: &Opened, body: &SizeHint) -> (Coding, Option<u64>) {
    let named = head.headers.get(header::CONTENT_LENGTH).and_then(|value| number(value.as_bytes()));
    let length = named.or(body.exact());
    match (head.status, length) {
        (StatusCode::NO_CONTENT, _) => (Coding::None, None),
        (status, _) if status.is_informational() => (Coding::None, None),
        // the length is that of the body that another request would get
        (StatusCode::NOT_MODIFIED, _) => (Coding::None, named),
        _ if opened.is_head => (Coding::None, length),
        (_, Some(length)) => (Coding::Length(length), Some(length)),
        (_, None) if opened.version == Version::Http11 => (Coding::Chunked, None),
        (_, None) => (Coding::UntilClose, None),
    }
}

/// Writes the date (RFC 9110 section 6.6.1), which is put into words once a second.
fn write_date(out: &mut Vec<u8>) {
    thread_local! {
        static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    DATE.with_borrow_mut(|(written, words)| {
        if *written != second {
            *written = second;
            words.clear();
            // writing to a string can not fail
            let _ = write!(words, "{}", HttpDate::from(now));
        }
        field(out, "date", words.as_bytes());
    });
}
