//! Bodies whose bytes can go through a [`Pipe`]: whoever writes them offers one.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::Empty;
use http_body_util::Full;

use crate::body::Body;
use crate::body::BodyError;
use crate::body::pipe::Pipe;

/// A body that may be poured into a pipe. What is poured counts, ends and breaks off like a frame.
pub trait Pour: HttpBody {
    /// Tells whether the next bytes can be poured.
    fn can_pour(&self) -> bool {
        false
    }

    /// Pours at least one and at most `max` bytes into an empty pipe.
    ///
    /// # Errors
    /// As [`HttpBody::poll_frame`].
    fn poll_pour(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        _pipe: &mut Pipe,
        _max: u64,
    ) -> Poll<Result<Poured, Self::Error>> {
        Poll::Ready(Ok(Poured::Unable))
    }
}

/// What came of pouring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poured {
    /// So many bytes are in the pipe.
    Bytes(usize),
    /// It does not work here; the bytes can be read instead.
    Unable,
}

impl Pour for Body {
    fn can_pour(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.read_before.is_empty() && stream.source.can_pour(),
            Self::Empty | Self::Full(_) | Self::Lost => false,
        }
    }

    fn poll_pour(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pipe: &mut Pipe,
        max: u64,
    ) -> Poll<Result<Poured, BodyError>> {
        match &mut *self {
            Self::Stream(stream) if stream.read_before.is_empty() => {
                let polled = stream.source.poll_pour(context, pipe, max).map(Some);
                stream.watched(polled, context).map(|poured| poured.unwrap_or(Ok(Poured::Unable)))
            }
            Self::Empty | Self::Full(_) | Self::Stream(_) | Self::Lost => Poll::Ready(Ok(Poured::Unable)),
        }
    }
}

impl Pour for Full<Bytes> {}

impl Pour for Empty<Bytes> {}
