//! An own client for HTTP/1.1: a connection is an object that the request's future polls, without a task or a channel.
//!
//! It is stricter than hyper's about what it takes for an answer, and `tests/properties/response.rs` compares the two.

pub mod answer;
pub mod head;
pub mod upload;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use http::Request;
use http::Response;
use tokio_util::io::poll_read_buf;

use crate::body::Body;
use crate::body::BodyError;
use crate::body::Sender;
use crate::body::lease::Lease;
use crate::client::deadline::Deadline;
use crate::client::h1::answer::AnswerBody;
use crate::client::h1::answer::GiveBack;
use crate::client::h1::head::Afterwards;
use crate::client::h1::head::Garbled;
use crate::client::h1::head::Head;
use crate::client::h1::head::Length;
use crate::client::h1::upload::Sent;
use crate::client::h1::upload::Upload;
use crate::client::h1::upload::WaitsFor;
use crate::client::stream::Stream;

/// A connection between two exchanges.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    read: BytesMut,
    buffer: Vec<u8>,
    deadline: Deadline,
    /// Free again when the connection ends.
    _place: Option<Lease>,
}

/// How long an exchange may stand still.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the last byte of the request to the head of the answer.
    pub response: Duration,
    /// While the upstream takes nothing of the request, or pauses in its answer.
    pub idle: Duration,
}

/// Why an exchange gave no answer.
#[derive(Debug)]
pub enum Failure {
    /// The connection was over before a byte was sent; the request is whole.
    NotSent(io::Error, Box<Request<Body>>),
    /// The connection ended after something was sent and before anything came. The request is there if it is whole.
    Unanswered(io::Error, Option<Box<Request<Body>>>),
    /// The connection broke within the head of the answer.
    Broken(io::Error),
    /// What came is no answer.
    Garbled(Garbled),
    /// The client's body broke off.
    ClientBody(BodyError),
    /// Nothing moved for too long.
    TimedOut,
}

/// How many interim answers (1xx) may come before the final one.
const MAX_INTERIM: usize = 16;

/// How much is read at once for a head and a small body.
const READ_BYTES: usize = 4096;

/// How much memory a connection that waits for its next exchange may keep for each direction.
const KEPT_BYTES: usize = 8192;

impl Connection {
    /// Takes a stream that nothing was sent on.
    pub fn new(stream: Stream) -> Self {
        Self { stream, read: BytesMut::new(), buffer: Vec::new(), deadline: Deadline::default(), _place: None }
    }

    /// Holds a place among the endpoint's connections while it lives.
    #[must_use]
    pub fn holds(self, place: Option<Lease>) -> Self {
        Self { _place: place, ..self }
    }

    /// Tells whether the other side has closed or sent what nobody asked for, as far as it is known without asking.
    pub fn is_over(&mut self) -> bool {
        !self.read.is_empty() || self.stream.is_stirred()
    }

    /// Sends the request and returns the answer; `give_back` gets the connection once the answer has ended well.
    ///
    /// If the returned future or the answer's body is dropped, the connection is closed.
    ///
    /// # Errors
    /// Tells what went wrong, and gives the request back where it is whole.
    pub async fn send(
        mut self,
        request: Request<Body>,
        timeouts: Timeouts,
        give_back: impl GiveBack,
    ) -> Result<Response<Body>, Failure> {
        let (head, body) = request.into_parts();
        let upload = Upload::new(std::mem::take(&mut self.buffer), &head, body);
        let mut exchange = Exchange {
            connection: self,
            method: &head.method,
            upload,
            progress: Progress::Sending,
            waited: (Progress::Sending, WaitsFor::Upstream, 0),
            interim: 0,
            has_begun: false,
            answer: None,
        };
        match poll_fn(|context| exchange.poll(timeouts, context)).await {
            Ok(answer) => Ok(exchange.hand_out(answer, timeouts.idle, give_back)),
            Err(Ended::Failed(failure)) => Err(failure),
            Err(Ended::Connection(error)) if exchange.has_begun => Err(Failure::Broken(error)),
            Err(Ended::Connection(error)) => {
                let is_unsent = exchange.upload.written() == 0;
                let whole = exchange.upload.into_body().map(|body| upload::rejoin(head, body));
                match whole {
                    Some(request) if is_unsent => Err(Failure::NotSent(error, request)),
                    whole => Err(Failure::Unanswered(error, whole)),
                }
            }
        }
    }

    /// Reads more behind what is there; returns how much, and nothing at the end.
    fn poll_fill(&mut self, bytes: usize, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(bytes);
        poll_read_buf(Pin::new(&mut self.stream), context, &mut self.read)
    }

    /// Prepares a connection for a wait of unknown length.
    fn rest(&mut self) {
        self.deadline.rest();
        self.buffer.clear();
        if self.read.capacity() > KEPT_BYTES {
            self.read = BytesMut::new();
        }
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        }
    }
}

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It is on its way.
    Sending,
    /// All of it is out.
    Sent,
    /// The rest of it is not sent: the upstream takes no more, or has said its answer.
    Stopped,
}

/// Why an exchange ended early.
enum Ended {
    /// The stream ended.
    Connection(io::Error),
    /// Something else.
    Failed(Failure),
}

/// One request and its answer, up to the answer's head.
struct Exchange<'a> {
    connection: Connection,
    method: &'a Method,
    upload: Upload,
    progress: Progress,
    /// What was waited for when the deadline was set last, and how much was written then.
    waited: (Progress, WaitsFor, u64),
    interim: usize,
    has_begun: bool,
    /// An answer that came before all of the request was out.
    answer: Option<Head>,
}

impl Exchange<'_> {
    fn poll(&mut self, timeouts: Timeouts, context: &mut Context<'_>) -> Poll<Result<Head, Ended>> {
        if self.progress == Progress::Sending {
            match self.upload.poll(&mut self.connection.stream, context) {
                Poll::Ready(Ok(Sent::Whole)) => self.progress = Progress::Sent,
                Poll::Ready(Ok(Sent::Refused)) => self.progress = Progress::Stopped,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Ended::Failed(Failure::ClientBody(error)))),
                Poll::Pending => {}
            }
        }
        if self.answer.is_none()
            && let Poll::Ready(head) = self.poll_head(context)?
        {
            // an upstream that refuses early need not be told the rest; one that agrees wants all of it
            let wants_rest = head.status.is_success() && head.afterwards == Afterwards::Kept;
            if self.progress == Progress::Sending && !wants_rest {
                self.progress = Progress::Stopped;
            }
            self.answer = Some(head);
        }
        let is_due = self.progress != Progress::Sending || self.is_streaming();
        if let Some(head) = self.answer.take_if(|_| is_due) {
            self.connection.deadline.clear();
            return Poll::Ready(Ok(head));
        }
        self.poll_deadline(timeouts, context).map(|()| Err(Ended::Failed(Failure::TimedOut)))
    }

    /// Tells whether the answer is there, but not all of its body: who reads that also sends the rest of the request.
    fn is_streaming(&self) -> bool {
        self.answer.as_ref().is_some_and(|head| match head.length {
            Length::Known(length) => length > self.connection.read.len() as u64,
            Length::Chunked | Length::UntilClose => true,
        })
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Head, Ended>> {
        let garbled = |garbled| Ended::Failed(Failure::Garbled(garbled));
        loop {
            if !self.connection.read.is_empty() {
                self.has_begun = true;
                match head::take(&mut self.connection.read, self.method).map_err(garbled)? {
                    Some(head) if head.status.as_u16() == 101 => return Poll::Ready(Err(garbled(Garbled::Switched))),
                    Some(head) if head.status.is_informational() => {
                        self.interim += 1;
                        if self.interim > MAX_INTERIM {
                            return Poll::Ready(Err(garbled(Garbled::Interim)));
                        }
                        continue;
                    }
                    Some(head) => return Poll::Ready(Ok(head)),
                    None => {}
                }
            }
            if ready!(self.connection.poll_fill(READ_BYTES, context)).map_err(Ended::Connection)? == 0 {
                return Poll::Ready(Err(Ended::Connection(io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }

    fn poll_deadline(&mut self, timeouts: Timeouts, context: &mut Context<'_>) -> Poll<()> {
        let deadline = &mut self.connection.deadline;
        let waits = (self.progress, self.upload.waits_for(), self.upload.written());
        if self.waited != waits {
            self.waited = waits;
            deadline.clear();
        }
        let timeout = match waits {
            (Progress::Sending, WaitsFor::Upstream, _) => timeouts.idle,
            (Progress::Sending, WaitsFor::Client, _) | (Progress::Sent | Progress::Stopped, _, _) => timeouts.response,
        };
        deadline.poll_passed(timeout, context)
    }

    /// Makes the answer; its body is what was read already, or a stream that keeps the connection.
    fn hand_out(self, head: Head, idle: Duration, give_back: impl GiveBack) -> Response<Body> {
        let Self { mut connection, upload, progress, .. } = self;
        let mut answer = Response::new(Body::Empty);
        *answer.status_mut() = head.status;
        *answer.headers_mut() = head.headers;
        if let Some(reason) = head.reason {
            answer.extensions_mut().insert(reason);
        }
        let upload = match progress {
            Progress::Sending => Some(upload),
            Progress::Sent | Progress::Stopped => {
                connection.buffer = upload.into_buffer();
                None
            }
        };
        let is_kept = head.afterwards == Afterwards::Kept && progress != Progress::Stopped;
        if let Length::Known(length) = head.length
            && upload.is_none()
            && let Ok(length) = usize::try_from(length)
            && length <= connection.read.len()
        {
            *answer.body_mut() = Body::full(answer::take_whole(&mut connection.read, length));
            if is_kept && connection.read.is_empty() {
                connection.rest();
                give_back(connection);
            }
            return answer;
        }
        let body = AnswerBody::new(connection, upload, head.length, is_kept.then_some(give_back));
        *answer.body_mut() = Body::stream(body, Sender::Upstream, idle);
        answer
    }
}
