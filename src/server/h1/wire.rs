//! The reading side of a connection: what has come and was not used yet, and how much of a body is still to come.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::task::ready;

use bytes::Bytes;
use bytes::BytesMut;
use tokio::io::AsyncRead;
use tokio::io::ReadBuf;
use tokio_util::io::poll_read_buf;

use crate::framing::Violation;
use crate::framing::chunks::Chunks;
use crate::framing::chunks::Piece;
use crate::framing::head;
use crate::framing::head::BodyLength;
use crate::framing::head::Found;
use crate::server::h1::head::Opened;

/// A connection, shared by who waits for its requests and who reads the body of one.
///
/// Both run on one thread and take the lock for one poll, so that nobody ever waits for it.
pub type Shared<S> = Mutex<Wire<S>>;

/// A connection and what was read from it.
#[derive(Debug)]
pub struct Wire<S> {
    /// The connection itself.
    pub stream: S,
    pub(super) unread: BytesMut,
    pub(super) body: Left,
    reader: Reader,
    pub(super) interim: &'static [u8],
    read_bytes: usize,
}

/// Whether somebody reads the present request's body.
#[derive(Debug)]
enum Reader {
    /// Nobody does, or will.
    Absent,
    /// Somebody does, and somebody may wait for that to end.
    Present(Option<Waker>),
}

/// How much of the present request's body is still to come.
#[derive(Debug)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// So many bytes.
    Bytes(u64),
    /// Until the last chunk.
    Chunked(Chunks),
    /// Nobody knows: the chunks broke their grammar.
    Unknown,
}

/// What comes next on a connection.
#[derive(Debug)]
pub enum Next {
    /// A whole head.
    Head(Bytes),
    /// Something that can not become a head.
    Violation(Violation),
    /// The client has gone, or was silent too long.
    Nothing,
}

/// How much is read at once where a head is expected: nearly all requests are shorter.
const HEAD_READ: usize = 16 * 1024;
/// How much is read at once from a body, at first and at most: more the more comes.
const MIN_BODY_READ: usize = 64 * 1024;
const MAX_BODY_READ: usize = 256 * 1024;
/// How many bytes of a body that nobody reads are read past, if they are there, so that the connection can be kept.
const MAX_DISCARDED: usize = 64 * 1024;
/// How many bytes of further requests are read before the present one is answered.
const MAX_AHEAD: usize = 16 * 1024;
/// What tells a client to send its body (RFC 9110 section 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Takes the connection.
pub fn lock<S>(shared: &Shared<S>) -> MutexGuard<'_, Wire<S>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Wire<S> {
    /// Wraps a connection from which nothing was read.
    pub fn share(stream: S) -> Arc<Shared<S>> {
        Arc::new(Mutex::new(Self {
            stream,
            unread: BytesMut::new(),
            body: Left::Nothing,
            reader: Reader::Absent,
            interim: b"",
            read_bytes: MIN_BODY_READ,
        }))
    }

    /// Tells whether bytes are there that were not used.
    pub fn holds_bytes(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Tells whether all of the present request was read.
    pub fn is_at_head(&self) -> bool {
        matches!(self.body, Left::Nothing)
    }

    /// Returns how many bytes of the body are left, if that is known.
    pub fn left(&self) -> Option<u64> {
        match self.body {
            Left::Nothing => Some(0),
            Left::Bytes(left) => Some(left),
            Left::Chunked(_) | Left::Unknown => None,
        }
    }

    /// Notes that no byte from here on can be trusted, and that the connection ends with the next answer.
    pub(super) fn give_up(&mut self) {
        self.body = Left::Unknown;
    }

    /// Begins the body behind a head; returns it if it is all there.
    pub fn begin_body(&mut self, opened: &Opened) -> Option<Bytes> {
        if opened.violation.is_some() {
            self.give_up();
            return Some(Bytes::new());
        }
        match opened.body {
            BodyLength::Known(length) if length <= self.unread.len() as u64 => {
                Some(self.take(usize::try_from(length).unwrap_or_default()))
            }
            BodyLength::Known(length) => self.begin_stream(Left::Bytes(length), opened),
            BodyLength::Chunked => self.begin_stream(Left::Chunked(Chunks::default()), opened),
        }
    }

    fn begin_stream(&mut self, body: Left, opened: &Opened) -> Option<Bytes> {
        self.body = body;
        self.read_bytes = MIN_BODY_READ;
        self.reader = Reader::Present(None);
        self.interim = if opened.expects_continue && self.unread.is_empty() { CONTINUE } else { b"" };
        None
    }

    /// Notes that nobody reads the body any more.
    pub fn end_reading(&mut self) {
        if let Reader::Present(Some(waker)) = std::mem::replace(&mut self.reader, Reader::Absent) {
            waker.wake();
        }
    }

    /// Forgets the promise to say `100 Continue`: the answer comes first.
    pub fn begin_answer(&mut self) {
        self.interim = b"";
    }

    fn take(&mut self, length: usize) -> Bytes {
        let taken = self.unread.split_to(length.min(self.unread.len())).freeze();
        if self.unread.is_empty() && self.is_at_head() {
            // or a silent connection would keep the buffer of its last request; a body goes on in the same one
            self.unread = BytesMut::new();
        }
        taken
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Reads up to the end of the next head.
    pub fn poll_head(&mut self, context: &mut Context<'_>, max_bytes: usize) -> Poll<io::Result<Next>> {
        loop {
            if !self.unread.is_empty() {
                match head::find(&self.unread, max_bytes) {
                    Found::Whole(end) => return Poll::Ready(Ok(Next::Head(self.take(end)))),
                    Found::Bad(violation) => return Poll::Ready(Ok(Next::Violation(violation))),
                    Found::Part => {}
                }
            }
            if ready!(self.poll_fill::<HEAD_READ>(context))? == 0 {
                return Poll::Ready(Ok(Next::Nothing));
            }
        }
    }

    /// Reads on, over the stack: until bytes come, a connection has no buffer.
    pub(super) fn poll_fill<const SIZE: usize>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; SIZE];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
        self.unread.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Waits until the client hangs up, once its request was read.
    pub fn poll_hang_up(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // who reads the body sees its end; requests that are sent ahead wait in the kernel
        while self.is_at_head() && self.unread.len() < MAX_AHEAD {
            match ready!(self.poll_fill::<1024>(context)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Waits until nobody reads the body any more, and then reads past what is there of it, without waiting; tells
    /// whether the next head can be read.
    pub fn poll_past_body(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        match &mut self.reader {
            Reader::Present(waker) if !matches!(self.body, Left::Nothing) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            Reader::Present(_) | Reader::Absent => Poll::Ready(self.discard()),
        }
    }

    fn discard(&mut self) -> bool {
        let mut left = MAX_DISCARDED;
        while !self.is_at_head() {
            match self.poll_body(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(Some(data))) if data.len() <= left => left -= data.len(),
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(_)) | Err(_)) | Poll::Pending => return false,
            }
        }
        true
    }

    /// Reads the next bytes of the body; nothing at its end.
    pub fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            match &mut self.body {
                Left::Nothing => return Poll::Ready(Ok(None)),
                Left::Unknown => return Poll::Ready(Err(broken(Violation::ChunkGrammar.as_str()))),
                Left::Bytes(left) => {
                    let length = self.unread.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    if length > 0 {
                        *left -= length as u64;
                        if *left == 0 {
                            self.body = Left::Nothing;
                        }
                        return Poll::Ready(Ok(Some(self.take(length))));
                    }
                }
                Left::Chunked(chunks) => match chunks.piece(&self.unread) {
                    Ok(Piece::Data(range)) => {
                        self.take(range.start);
                        return Poll::Ready(Ok(Some(self.take(range.len()))));
                    }
                    Ok(Piece::End(end)) => {
                        self.body = Left::Nothing;
                        self.take(end);
                        return Poll::Ready(Ok(None));
                    }
                    Ok(Piece::More) => {
                        self.unread.clear();
                    }
                    Err(violation) => {
                        self.give_up();
                        return Poll::Ready(Err(broken(violation.as_str())));
                    }
                },
            }
            self.unread.reserve(self.read_bytes);
            let count = ready!(poll_read_buf(Pin::new(&mut self.stream), context, &mut self.unread))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if count >= self.read_bytes {
                self.read_bytes = (self.read_bytes * 2).min(MAX_BODY_READ);
            }
        }
    }
}

fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
