//! The pieces of an answer's body: copied in as few writes as there can be, or moved from socket to socket.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Buf;
use bytes::Bytes;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_util::io::poll_write_buf;

use crate::body::pipe::Socket;
use crate::body::pour::Poured;
use crate::server::h1::answer::AnswerBody;
use crate::server::h1::answer::Answering;
use crate::server::h1::answer::Coding;
use crate::server::h1::idle::poll_timer;
use crate::server::h1::wire;

/// What came of looking for bytes of a body.
pub(super) enum Polled {
    Data(Bytes),
    /// So many bytes are in the pipe.
    Poured(usize),
    End,
    Pending,
}

/// How much of a body is copied behind what is to be written anyway, rather than written from where it is.
const MAX_COPIED: usize = 16 * 1024;

impl Coding {
    /// Counts bytes of the body.
    pub(super) fn pass(&mut self, count: usize) -> io::Result<()> {
        if let Self::Length(left) = self {
            *left =
                left.checked_sub(count as u64).ok_or_else(|| io::Error::other("the body is longer than its head"))?;
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Answering<'_, S> {
    /// Returns the next bytes of the body; if none are there, and others wait to be written, returns at once.
    pub(super) async fn piece<B: AnswerBody>(
        &mut self,
        mut body: Pin<&mut B>,
        coding: Coding,
        has_more_to_do: bool,
    ) -> io::Result<Polled> {
        poll_fn(|context| match self.poll_piece(body.as_mut(), coding, has_more_to_do, context) {
            Poll::Pending if has_more_to_do => Poll::Ready(Ok(Polled::Pending)),
            Poll::Pending => {
                let gone = wire::lock(self.wire).poll_hang_up(context);
                gone.map(|()| Err(io::ErrorKind::ConnectionReset.into()))
            }
            polled @ Poll::Ready(_) => polled,
        })
        .await
    }

    fn poll_piece<B: AnswerBody>(
        &mut self,
        mut body: Pin<&mut B>,
        coding: Coding,
        has_more_to_do: bool,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Polled>> {
        // the head goes out with the first bytes, in one write
        if let Coding::Length(left @ 1..) = coding
            && !has_more_to_do
            && body.can_pour()
            && self.is_plain()
            && let Some(pipe) = self.shortcut.pipe(left)
        {
            match ready!(body.as_mut().poll_pour(context, pipe, left)).map_err(io::Error::other)? {
                Poured::Bytes(count) => return Poll::Ready(Ok(Polled::Poured(count))),
                Poured::Unable => self.shortcut.close(),
            }
        }
        Poll::Ready(match ready!(body.poll_frame(context)) {
            // trailers are not sent: see `Source`
            Some(Ok(frame)) => Ok(frame.into_data().map_or(Polled::End, Polled::Data)),
            Some(Err(error)) => Err(io::Error::other(error)),
            None => Ok(Polled::End),
        })
    }

    fn is_plain(&self) -> bool {
        Socket::of(&wire::lock(self.wire).stream).is_some()
    }

    /// Puts bytes of the body behind what is to be written, or writes both.
    pub(super) async fn data(&mut self, out: &mut Vec<u8>, coding: &mut Coding, data: Bytes) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        coding.pass(data.len())?;
        let mut end: &[u8] = b"";
        if *coding == Coding::Chunked {
            let mut size = String::new();
            // writing to a string can not fail
            let _ = write!(size, "{:x}\r\n", data.len());
            out.extend_from_slice(size.as_bytes());
            end = b"\r\n";
        }
        if data.len() + out.len() <= MAX_COPIED {
            out.extend_from_slice(&data);
            out.extend_from_slice(end);
            return Ok(());
        }
        self.write(&mut std::mem::take(out).as_slice().chain(data).chain(end)).await
    }

    /// Writes all the bytes, as long as the client takes some in time.
    pub(super) async fn write(&mut self, bytes: &mut impl Buf) -> io::Result<()> {
        poll_fn(|context| self.poll_write(bytes, context)).await
    }

    fn poll_write(&mut self, bytes: &mut impl Buf, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while bytes.has_remaining() {
            let polled = poll_write_buf(Pin::new(&mut wire::lock(self.wire).stream), context, bytes);
            ready!(self.poll_taken(polled, context))?;
        }
        Pin::new(&mut wire::lock(self.wire).stream).poll_flush(context)
    }

    /// Writes all that is in the pipe, as long as the client takes some in time.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_drain(context)).await
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(pipe) = self.shortcut.loaded() {
            let polled = match Socket::of(&wire::lock(self.wire).stream) {
                Some(socket) => pipe.poll_drain(socket, context),
                None => Poll::Ready(Ok(0)),
            };
            ready!(self.poll_taken(polled, context))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Looks at whether the client has taken some, and for how long it has not.
    fn poll_taken(&mut self, polled: Poll<io::Result<usize>>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match polled {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(_)) => {
                self.stalled = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(poll_timer(&mut self.stalled, self.write_timeout, context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}
