//! The body of a request, read from its connection as it is asked for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use bytes::BytesMut;
use http_body::SizeHint;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

use crate::body::Source;
use crate::body::SourceError;
use crate::body::pipe::Pipe;
use crate::body::pipe::Socket;
use crate::body::pour::Poured;
use crate::server::h1::wire;
use crate::server::h1::wire::Left;
use crate::server::h1::wire::Shared;
use crate::server::h1::wire::Wire;

/// A body that has begun.
pub struct Incoming<S> {
    wire: Arc<Shared<S>>,
}

impl<S> Incoming<S> {
    /// Reads the body that begins on the connection.
    pub fn new(wire: Arc<Shared<S>>) -> Self {
        Self { wire }
    }
}

impl<S> Drop for Incoming<S> {
    fn drop(&mut self) {
        wire::lock(&self.wire).end_reading();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Source for Incoming<S> {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        let mut wire = wire::lock(&self.wire);
        if let Err(error) = ready!(wire.poll_continue(context)) {
            return Poll::Ready(Some(Err(error.into())));
        }
        wire.poll_body(context).map(|read| read.map_err(SourceError::from).transpose())
    }

    fn is_end(&self) -> bool {
        wire::lock(&self.wire).is_at_head()
    }

    fn size_hint(&self) -> SizeHint {
        wire::lock(&self.wire).left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
    fn can_pour(&self) -> bool {
        wire::lock(&self.wire).can_pour()
    }

    fn poll_pour(&mut self, context: &mut Context<'_>, pipe: &mut Pipe, max: u64) -> Poll<Result<Poured, SourceError>> {
        wire::lock(&self.wire).poll_pour(context, pipe, max).map_err(SourceError::from)
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Tells the client to send its body, if it waits for that.
    pub fn poll_continue(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, self.interim))?;
            self.interim = self.interim.get(written..).unwrap_or_default();
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: 'static> Wire<S> {
    /// Tells whether the next bytes on the socket are a body's, and only how many there are is of interest.
    fn can_pour(&self) -> bool {
        let is_next = self.unread.is_empty() && self.interim.is_empty();
        is_next && matches!(self.body, Left::Bytes(_)) && Socket::of(&self.stream).is_some()
    }

    /// Moves the next bytes of the body into the pipe.
    fn poll_pour(&mut self, context: &mut Context<'_>, pipe: &mut Pipe, max: u64) -> Poll<io::Result<Poured>> {
        if !self.can_pour() {
            return Poll::Ready(Ok(Poured::Unable));
        }
        let (Left::Bytes(left), Some(socket)) = (&mut self.body, Socket::of(&self.stream)) else {
            return Poll::Ready(Ok(Poured::Unable));
        };
        // the rest needs no memory
        self.unread = BytesMut::new();
        let poured = ready!(pipe.poll_fill_body(socket, max, left, context))?;
        if *left == 0 {
            self.body = Left::Nothing;
        }
        Poll::Ready(Ok(poured))
    }
}
