//! The body of an answer on its way in; at its end the connection goes back to where it came from.

use std::fmt;
use std::io;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use http_body::SizeHint;

use crate::body::Source;
use crate::body::SourceError;
use crate::body::pipe::Pipe;
use crate::body::pour::Poured;
use crate::client::h1::Connection;
use crate::client::h1::head::Garbled;
use crate::client::h1::head::Length;
use crate::client::h1::upload::Sent;
use crate::client::h1::upload::Upload;
use crate::framing::chunks::Chunks;
use crate::framing::chunks::Piece;

/// What is done with a connection whose answer has ended well.
pub trait GiveBack: FnOnce(Connection) + Send + 'static {}

impl<F: FnOnce(Connection) + Send + 'static> GiveBack for F {}

/// The rest of an answer, and what is left of the request if the answer came before its end.
pub struct AnswerBody<G> {
    /// Nothing once the body has ended or broken.
    connection: Option<Connection>,
    upload: Option<Upload>,
    coding: Coding,
    give_back: Option<G>,
    /// How much is asked for at once: more the more comes.
    read_bytes: usize,
}

enum Coding {
    Known(u64),
    Chunked(Chunks),
    UntilClose,
    /// All of it has been read.
    Ended,
}

/// The least and the most that is asked for at once.
const MIN_READ_BYTES: usize = 16 * 1024;
const MAX_READ_BYTES: usize = 256 * 1024;

/// Up to which size a body that is all there is copied.
const COPIED_BYTES: usize = 2048;

/// Takes a body that is all there. A small one is copied: so the connection keeps the memory that it reads into.
pub fn take_whole(read: &mut BytesMut, length: usize) -> Bytes {
    if length > COPIED_BYTES {
        return read.split_to(length).freeze();
    }
    let body = Bytes::copy_from_slice(read.get(..length).unwrap_or_default());
    read.advance(length);
    body
}

impl<G: GiveBack> AnswerBody<G> {
    /// Reads on where the head ended; without `give_back` the connection ends with the body.
    pub fn new(connection: Connection, upload: Option<Upload>, length: Length, give_back: Option<G>) -> Self {
        let coding = match length {
            Length::Known(0) => Coding::Ended,
            Length::Known(length) => Coding::Known(length),
            Length::Chunked => Coding::Chunked(Chunks::default()),
            Length::UntilClose => Coding::UntilClose,
        };
        let mut body = Self { connection: Some(connection), upload, coding, give_back, read_bytes: MIN_READ_BYTES };
        body.end();
        body
    }

    /// Sends on what is left of the request.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Result<(), SourceError> {
        let (Some(upload), Some(connection)) = (&mut self.upload, &mut self.connection) else {
            return Ok(());
        };
        match upload.poll(&mut connection.stream, context) {
            Poll::Ready(Ok(Sent::Whole)) => self.upload = None,
            Poll::Ready(Ok(Sent::Refused)) => {
                self.upload = None;
                self.give_back = None;
            }
            Poll::Ready(Err(error)) => return Err(error.into()),
            Poll::Pending => {}
        }
        Ok(())
    }

    /// Reads until there are bytes; tells at the end that there are none.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(connection) = &mut self.connection else {
            // it has told before that it is broken, and is never whole
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if !connection.read.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let wanted = match self.coding {
            Coding::Known(left) => usize::try_from(left).unwrap_or(usize::MAX).min(self.read_bytes),
            Coding::Chunked(_) | Coding::UntilClose | Coding::Ended => self.read_bytes,
        };
        let count = ready!(connection.poll_fill(wanted, context))?;
        if count >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(MAX_READ_BYTES);
        }
        Poll::Ready(Ok(count > 0))
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        while !matches!(self.coding, Coding::Ended) {
            let has_bytes = ready!(self.poll_bytes(context))?;
            let Some(connection) = &mut self.connection else { break };
            let read = &mut connection.read;
            match &mut self.coding {
                Coding::UntilClose if has_bytes => return Poll::Ready(Some(Ok(read.split().freeze()))),
                Coding::UntilClose => {
                    self.give_back = None;
                    self.coding = Coding::Ended;
                }
                Coding::Known(_) | Coding::Chunked(_) if !has_bytes => {
                    return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())));
                }
                Coding::Known(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.coding = Coding::Ended;
                    }
                    return Poll::Ready(Some(Ok(read.split_to(taken).freeze())));
                }
                Coding::Chunked(chunks) => match chunks.piece(read).map_err(|_| Garbled::Chunks)? {
                    Piece::Data(place) => {
                        let mut data = read.split_to(place.end);
                        return Poll::Ready(Some(Ok(data.split_off(place.start).freeze())));
                    }
                    Piece::End(end) => {
                        drop(read.split_to(end));
                        self.coding = Coding::Ended;
                    }
                    Piece::More => read.clear(),
                },
                Coding::Ended => {}
            }
        }
        Poll::Ready(None)
    }

    fn poll_pipe(&mut self, context: &mut Context<'_>, pipe: &mut Pipe, max: u64) -> Poll<io::Result<Poured>> {
        let Coding::Known(left) = &mut self.coding else { return Poll::Ready(Ok(Poured::Unable)) };
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.read.is_empty()) else {
            return Poll::Ready(Ok(Poured::Unable));
        };
        let Some(socket) = connection.stream.socket() else { return Poll::Ready(Ok(Poured::Unable)) };
        // the rest needs no memory
        connection.read = BytesMut::new();
        let poured = ready!(pipe.poll_fill_body(socket, max, left, context))?;
        if *left == 0 {
            self.coding = Coding::Ended;
        }
        Poll::Ready(Ok(poured))
    }

    /// Lets the connection go if everything is done: back, or closed if something is left on it.
    fn end(&mut self) {
        if !matches!(self.coding, Coding::Ended) || self.upload.is_some() {
            return;
        }
        if let (Some(mut connection), Some(give_back)) = (self.connection.take(), self.give_back.take())
            && connection.read.is_empty()
        {
            connection.rest();
            give_back(connection);
        }
    }
}

impl<G: GiveBack> Source for AnswerBody<G> {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        if let Err(error) = self.poll_upload(context) {
            self.connection = None;
            return Poll::Ready(Some(Err(error)));
        }
        let polled = self.poll_body(context);
        match &polled {
            Poll::Ready(Some(Err(_))) => self.connection = None,
            Poll::Ready(_) => self.end(),
            Poll::Pending => {}
        }
        match polled {
            // who asked for the whole upload and has answered gets the rest of it
            Poll::Ready(None) if self.upload.is_some() => Poll::Pending,
            polled => polled,
        }
    }

    fn is_end(&self) -> bool {
        matches!(self.coding, Coding::Ended) && self.upload.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.coding {
            Coding::Known(left) => SizeHint::with_exact(left),
            Coding::Ended => SizeHint::with_exact(0),
            Coding::Chunked(_) | Coding::UntilClose => SizeHint::default(),
        }
    }

    fn can_pour(&self) -> bool {
        let is_plain = |connection: &Connection| connection.read.is_empty() && connection.stream.socket().is_some();
        matches!(self.coding, Coding::Known(_)) && self.connection.as_ref().is_some_and(is_plain)
    }

    fn poll_pour(&mut self, context: &mut Context<'_>, pipe: &mut Pipe, max: u64) -> Poll<Result<Poured, SourceError>> {
        if let Err(error) = self.poll_upload(context) {
            self.connection = None;
            return Poll::Ready(Err(error));
        }
        let polled = self.poll_pipe(context, pipe, max);
        match &polled {
            Poll::Ready(Err(_)) => self.connection = None,
            Poll::Ready(Ok(_)) => self.end(),
            Poll::Pending => {}
        }
        polled.map_err(SourceError::from)
    }
}

impl<G> fmt::Debug for AnswerBody<G> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}
