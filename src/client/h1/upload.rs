//! A request on its way out: head and small body in one write, a long body piece by piece, one piece at a time.

pub mod pour;

use std::io;
use std::io::IoSlice;
use std::io::Write as _;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Buf;
use bytes::Bytes;
use http::Method;
use http::Request;
use http::header;
use http::request;
use http_body::Body as _;
use tokio::io::AsyncWrite;

use crate::body::Body;
use crate::body::BodyError;
use crate::body::Sender;
use crate::body::pipe::Shortcut;
use crate::client::stream::Stream;

/// A request that is being sent.
#[derive(Debug)]
pub struct Upload {
    /// The head, later the size line of each chunk.
    lead: Vec<u8>,
    lead_written: usize,
    data: Bytes,
    tail: &'static [u8],
    /// Past the pieces, for a body that is long enough.
    shortcut: Shortcut,
    rest: Rest,
    body: Body,
    whole: Option<Bytes>,
    written: u64,
}

/// What of the body was not asked for yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing.
    None,
    /// So many bytes.
    Known(u64),
    /// Unknown, so it is sent in chunks (RFC 9112 section 7.1).
    Chunks,
}

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it is out.
    Whole,
    /// The other side takes no more. Its answer may still be there to be read.
    Refused,
}

/// What an upload that does not go on waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The client, whose body tells itself when it is silent too long.
    Client,
    /// The upstream, which takes nothing.
    Upstream,
}

/// Bodies up to here are copied behind the head, which is cheaper than a write of two slices.
const COPIED_BYTES: usize = 2048;

impl Upload {
    /// Makes the head; `buffer` is memory to be used for it.
    pub fn new(buffer: Vec<u8>, head: &request::Parts, body: Body) -> Self {
        let mut lead = buffer;
        lead.clear();
        let mut upload = Self {
            lead: Vec::new(),
            lead_written: 0,
            data: Bytes::new(),
            tail: b"",
            shortcut: Shortcut::default(),
            rest: Rest::None,
            body: Body::Empty,
            whole: None,
            written: 0,
        };
        write_lines(&mut lead, head);
        match body {
            Body::Empty => {
                // a request that has content says that it is empty (RFC 9110 section 8.6)
                let has_content = matches!(head.method, Method::PUT | Method::POST | Method::PATCH);
                if has_content || head.headers.contains_key(header::CONTENT_LENGTH) {
                    lead.extend_from_slice(b"content-length: 0\r\n");
                }
                lead.extend_from_slice(b"\r\n");
            }
            Body::Full(bytes) => {
                write_length(&mut lead, bytes.len() as u64);
                if bytes.len() <= COPIED_BYTES {
                    lead.extend_from_slice(&bytes);
                } else {
                    upload.data = bytes.clone();
                }
                upload.whole = Some(bytes);
            }
            body @ (Body::Stream(_) | Body::Lost) => {
                if let Some(length) = body.size_hint().exact() {
                    write_length(&mut lead, length);
                    upload.rest = if length == 0 { Rest::None } else { Rest::Known(length) };
                } else {
                    lead.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
                    upload.rest = Rest::Chunks;
                }
                upload.body = body;
            }
        }
        upload.lead = lead;
        upload
    }

    /// Sends on.
    ///
    /// # Errors
    /// Fails if the client's body does; the request is then cut off.
    pub fn poll(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<Result<Sent, BodyError>> {
        loop {
            let is_starved = self.is_without_piece() && self.poll_piece(stream, context)?.is_pending();
            if self.is_out() {
                if ready!(Pin::new(&mut *stream).poll_flush(context)).is_err() {
                    return Poll::Ready(Ok(Sent::Refused));
                }
                if is_starved {
                    return Poll::Pending;
                }
                if self.rest == Rest::None {
                    return Poll::Ready(Ok(Sent::Whole));
                }
                continue;
            }
            match ready!(self.poll_write(stream, context)) {
                Ok(0) | Err(_) => return Poll::Ready(Ok(Sent::Refused)),
                Ok(count) => self.advance(count),
            }
        }
    }

    /// Tells what a pending upload waits for.
    pub fn waits_for(&self) -> WaitsFor {
        if self.is_out() { WaitsFor::Client } else { WaitsFor::Upstream }
    }

    /// Returns how many bytes the stream has taken.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Gives the body back as it was, if that is possible: nothing of it was sent, or all of it is still here.
    pub fn into_body(self) -> Option<Body> {
        if let Some(whole) = self.whole {
            return Some(Body::full(whole));
        }
        match self.body {
            Body::Empty => Some(Body::Empty),
            body if self.written == 0 && self.data.is_empty() => Some(body),
            body if self.written == 0 => Some(body.prepend(self.data)),
            Body::Full(_) | Body::Stream(_) | Body::Lost => None,
        }
    }

    /// Gives the memory back for the next head.
    pub fn into_buffer(self) -> Vec<u8> {
        self.lead
    }

    fn is_out(&self) -> bool {
        self.lead_written == self.lead.len() && self.is_without_piece()
    }

    fn is_without_piece(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty() && !self.shortcut.is_loaded()
    }

    /// Counts what was taken of a body of known length.
    fn pass(&mut self, count: usize) -> Result<(), BodyError> {
        if let Rest::Known(left) = self.rest {
            let rest = left.checked_sub(count as u64).ok_or_else(wrong_length)?;
            self.rest = if rest == 0 { Rest::None } else { Rest::Known(rest) };
        }
        Ok(())
    }

    /// Takes the next piece of the body, if there is one; ready also at its end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while self.rest != Rest::None {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context)).transpose()?;
            let data = frame.map(|frame| frame.into_data().unwrap_or_default());
            match (self.rest, data) {
                (_, Some(data)) if data.is_empty() => continue,
                (Rest::Known(_), Some(data)) => {
                    self.pass(data.len())?;
                    self.data = data;
                }
                (Rest::Chunks, Some(data)) => self.chunk(data),
                (Rest::Chunks, None) => {
                    self.tail = b"0\r\n\r\n";
                    self.rest = Rest::None;
                }
                (Rest::Known(_) | Rest::None, _) => return Poll::Ready(Err(wrong_length())),
            }
            break;
        }
        Poll::Ready(Ok(()))
    }

    fn chunk(&mut self, data: Bytes) {
        if self.lead_written == self.lead.len() {
            self.lead.clear();
            self.lead_written = 0;
        }
        // writing to memory can not fail
        let _ = write!(self.lead, "{:X}\r\n", data.len());
        self.data = data;
        if self.body.is_end_stream() {
            self.tail = b"\r\n0\r\n\r\n";
            self.rest = Rest::None;
        } else {
            self.tail = b"\r\n";
        }
    }

    fn poll_write(&mut self, stream: &mut Stream, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let (Some(pipe), Some(socket)) = (self.shortcut.loaded(), stream.socket()) {
            return pipe.poll_drain(socket, context);
        }
        let lead = self.lead.get(self.lead_written..).unwrap_or_default();
        if self.data.is_empty() && self.tail.is_empty() {
            return Pin::new(stream).poll_write(context, lead);
        }
        if lead.is_empty() && self.tail.is_empty() {
            return Pin::new(stream).poll_write(context, &self.data);
        }
        let slices = [IoSlice::new(lead), IoSlice::new(&self.data), IoSlice::new(self.tail)];
        Pin::new(stream).poll_write_vectored(context, &slices)
    }

    fn advance(&mut self, count: usize) {
        self.written += count as u64;
        let of_lead = count.min(self.lead.len() - self.lead_written);
        self.lead_written += of_lead;
        let of_data = (count - of_lead).min(self.data.len());
        self.data.advance(of_data);
        self.tail = self.tail.get(count - of_lead - of_data..).unwrap_or_default();
    }
}

/// A body that is shorter or longer than it said.
fn wrong_length() -> BodyError {
    BodyError::Broken(Sender::Client, "the body has not the length it said".into())
}

fn write_length(lead: &mut Vec<u8>, length: u64) {
    lead.extend_from_slice(b"content-length: ");
    lead.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    lead.extend_from_slice(b"\r\n\r\n");
}

/// Writes the request line and the fields; how the body is framed is not the fields' matter but the body's.
fn write_lines(lead: &mut Vec<u8>, head: &request::Parts) {
    lead.extend_from_slice(head.method.as_str().as_bytes());
    lead.push(b' ');
    lead.extend_from_slice(head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).as_bytes());
    lead.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &head.headers {
        if matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONNECTION) {
            continue;
        }
        lead.extend_from_slice(name.as_str().as_bytes());
        lead.extend_from_slice(b": ");
        lead.extend_from_slice(value.as_bytes());
        lead.extend_from_slice(b"\r\n");
    }
}

/// Puts a request together again.
pub fn rejoin(head: request::Parts, body: Body) -> Box<Request<Body>> {
    Box::new(Request::from_parts(head, body))
}
