//! The body of a request or an answer: nothing, some bytes, or a stream that nobody reads.

pub mod error;
pub mod incoming;
pub mod lease;
pub mod pipe;
pub mod pour;
pub mod tee;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body::Frame;
use http_body::SizeHint;
use tokio::time::Instant;
use tokio::time::Sleep;

use crate::body::lease::Lease;
use crate::body::pipe::Pipe;
use crate::body::pour::Poured;

/// A body in one of three forms, without boxing.
#[derive(Debug, Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// Bytes the gate holds: a validated body, a refusal, or what was read of a refused one.
    Full(Bytes),
    /// Bytes that pass through unread.
    Stream(Box<Stream>),
    /// A body that was lost while the gate read it; it can not be sent on.
    Lost,
}

/// Who sends the bytes of a stream, and so whose fault its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The client.
    Client,
    /// The upstream.
    Upstream,
}

/// Where the bytes of a stream come from: one side of one connection.
pub trait Source: Send {
    /// Returns the next bytes, or nothing at the end of a body that is whole.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>>;

    /// Tells whether the end is known to be there.
    fn is_end(&self) -> bool;

    /// Tells how many bytes are left, as far as it is known.
    fn size_hint(&self) -> SizeHint;

    /// Tells whether the next bytes can go into a pipe.
    fn can_pour(&self) -> bool {
        false
    }

    /// Moves at least one and at most `max` of the next bytes into an empty pipe.
    fn poll_pour(&mut self, _: &mut Context<'_>, _: &mut Pipe, _max: u64) -> Poll<Result<Poured, SourceError>> {
        Poll::Ready(Ok(Poured::Unable))
    }
}

/// Why a source ended early.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// A stream that may start with bytes that were read before, and ends if its sender is silent too long.
pub struct Stream {
    read_before: Bytes,
    source: Box<dyn Source>,
    sender: Sender,
    idle: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    progress: Option<Progress>,
    on_end: Option<OnEnd>,
    lease: Option<Lease>,
}

/// What is done once a stream has ended well.
type OnEnd = Box<dyn FnOnce() + Send>;

/// Counts the frames of a stream, for somebody who waits elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

/// Why a body ended early.
#[derive(Debug)]
pub enum BodyError {
    /// The connection broke or the sender broke the grammar.
    Broken(Sender, SourceError),
    /// The sender was silent for the whole idle time.
    Silent(Sender, Duration),
    /// The body was lost before.
    Lost,
}

impl Body {
    /// Wraps bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }

    /// Wraps a stream that its sender may pause for at most `idle`.
    pub fn stream(source: impl Source + 'static, sender: Sender, idle: Duration) -> Self {
        if source.is_end() {
            return Self::Empty;
        }
        Self::Stream(Box::new(Stream {
            read_before: Bytes::new(),
            source: Box::new(source),
            sender,
            idle,
            silence: None,
            progress: None,
            on_end: None,
            lease: None,
        }))
    }

    /// Holds the place until the last byte has passed, or the body is given up.
    pub fn hold(&mut self, lease: Lease) {
        if let Self::Stream(stream) = self {
            stream.lease = Some(lease);
        }
    }

    /// Reads past what is there, without waiting; tells whether that was the whole body.
    pub fn discard(&mut self, max_bytes: usize) -> bool {
        let mut left = max_bytes;
        loop {
            let polled = Pin::new(&mut *self).poll_frame(&mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Ready(None) => return true,
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    match left.checked_sub(bytes) {
                        Some(less) => left = less,
                        None => return false,
                    }
                }
                Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
            }
        }
    }

    /// Puts bytes that were read back before the rest.
    #[must_use]
    pub fn prepend(self, read: Bytes) -> Self {
        match self {
            Self::Empty | Self::Full(_) => Self::full(read),
            Self::Stream(mut stream) => {
                stream.read_before = read;
                Self::Stream(stream)
            }
            Self::Lost => Self::Lost,
        }
    }
}

impl Stream {
    /// Runs `on_end` when the last byte has passed; never if the stream breaks or is dropped.
    pub fn on_end(&mut self, on_end: impl FnOnce() + Send + 'static) {
        self.on_end = Some(Box::new(on_end));
    }

    /// Returns a counter that moves with each frame.
    pub fn progress(&mut self) -> Progress {
        self.progress.get_or_insert_default().clone()
    }

    /// Watches over what the source has said: it may be the end, or a silence that is too long.
    fn watched<T>(
        &mut self,
        polled: Poll<Option<Result<T, SourceError>>>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<T, BodyError>>> {
        match polled {
            Poll::Ready(Some(Ok(moved))) => {
                if let Some(progress) = &self.progress {
                    progress.0.fetch_add(1, Ordering::Relaxed);
                }
                self.silence = None;
                if self.source.is_end() {
                    self.ended();
                }
                Poll::Ready(Some(Ok(moved)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(BodyError::Broken(self.sender, error)))),
            Poll::Ready(None) => {
                self.ended();
                Poll::Ready(None)
            }
            Poll::Pending => {
                // the timer exists only while somebody waits: most bodies are there at once
                let idle = self.idle;
                let silence =
                    self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + idle)));
                match silence.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Silent(self.sender, idle)))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn ended(&mut self) {
        self.lease = None;
        if let Some(on_end) = self.on_end.take() {
            on_end();
        }
    }
}

impl Progress {
    /// Returns how many frames have passed.
    pub fn frames(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) if !stream.read_before.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut stream.read_before)))))
            }
            Self::Stream(stream) => {
                let polled = stream.source.poll_data(context);
                stream.watched(polled, context).map_ok(Frame::data)
            }
            Self::Lost => Poll::Ready(Some(Err(BodyError::Lost))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.read_before.is_empty() && stream.source.is_end(),
            Self::Lost => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => {
                let read = stream.read_before.len() as u64;
                let rest = stream.source.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(read));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(read));
                }
                hint
            }
            Self::Lost => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Stream").field("sender", &self.sender).finish_non_exhaustive()
    }
}
