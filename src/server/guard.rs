//! Stands between the socket and hyper: only bytes that are framed in one way get through.

use std::future::Future;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use bytes::Buf;
use bytes::BytesMut;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Sleep;
use tokio_util::io::poll_read_buf;

use crate::framing::Bounds;
use crate::framing::Framing;
use crate::framing::Read;
use crate::framing::Violation;

/// A stream whose reading side is checked.
#[derive(Debug)]
pub struct Guard<S> {
    inner: S,
    bounds: Bounds,
    framing: Framing,
    /// What was read but not passed on: checked bytes, then perhaps the start of a head.
    held: BytesMut,
    checked: usize,
    heads: u64,
    verdict: Verdict,
    is_refused: bool,
    bad_body: Option<Violation>,
    head_timeout: Duration,
    head_ends: Option<Pin<Box<Sleep>>>,
    linger: Option<Linger>,
}

/// What is left of a connection after the gate has said its last word.
#[derive(Debug)]
struct Linger {
    bytes: usize,
    until: Pin<Box<Sleep>>,
}

/// Tells the service which request of a connection, counted from one, stands for a bad head.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    served: AtomicU64,
    bad: AtomicU64,
    violation: AtomicU64,
}

/// What hyper reads in the place of a bad head, so that its refusal is logged and answered like any other.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\n\r\n";

/// How much of what a client still sends after the gate's last word is read, and for how long: closing a socket
/// that holds unread bytes resets the connection and can destroy the answer on its way.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(2);

/// All violations of a head, to be told through a number.
const VIOLATIONS: [Violation; 9] = [
    Violation::HeadTooLarge,
    Violation::HeadTooSlow,
    Violation::RequestLine,
    Violation::LineEnd,
    Violation::FieldName,
    Violation::FieldValue,
    Violation::Host,
    Violation::ContentLength,
    Violation::TransferEncoding,
];

impl Verdict {
    /// Counts a request and returns what was wrong with its head, if it was refused before hyper saw it.
    pub fn next(&self) -> Option<Violation> {
        let number = self.0.served.fetch_add(1, Ordering::Relaxed) + 1;
        if self.0.bad.load(Ordering::Acquire) != number {
            return None;
        }
        let index = usize::try_from(self.0.violation.load(Ordering::Acquire)).ok()?;
        VIOLATIONS.get(index).copied()
    }

    fn refuse(&self, number: u64, violation: Violation) {
        let index = VIOLATIONS.iter().position(|known| *known == violation).unwrap_or_default();
        self.0.violation.store(index as u64, Ordering::Release);
        self.0.bad.store(number, Ordering::Release);
    }
}

impl<S> Guard<S> {
    /// Guards a stream, on which each head may take the timeout from its first byte to its last.
    pub fn new(inner: S, bounds: Bounds, head_timeout: Duration) -> Self {
        Self {
            inner,
            bounds,
            framing: Framing::default(),
            held: BytesMut::new(),
            checked: 0,
            heads: 0,
            verdict: Verdict::default(),
            is_refused: false,
            bad_body: None,
            head_timeout,
            head_ends: None,
            linger: None,
        }
    }

    /// Returns what the service asks about each request.
    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// Checks new bytes and returns how many of them may pass.
    fn check(&mut self, new: &[u8]) -> usize {
        let mut good = 0;
        while let Some(rest) = new.get(good..).filter(|rest| !rest.is_empty()) {
            let was_at_head = self.framing.is_at_head();
            let read = self.framing.read(rest, self.bounds);
            if was_at_head && read != Read::Incomplete {
                self.heads += 1;
                self.head_ends = None;
            }
            match read {
                Read::Message(end) => good += end,
                Read::Partial => return new.len(),
                Read::Incomplete => return good,
                Read::BadHead(violation) => {
                    self.refuse(violation);
                    return good;
                }
                Read::BadBody(end, violation) => {
                    self.bad_body = Some(violation);
                    return good + end;
                }
            }
        }
        good
    }

    fn refuse(&mut self, violation: Violation) {
        self.is_refused = true;
        self.verdict.refuse(self.heads, violation);
    }

    /// Puts the stand-in behind the checked bytes, and nothing else.
    fn stand_in(&mut self) {
        self.held.truncate(self.checked);
        self.held.extend_from_slice(STAND_IN);
        self.checked = self.held.len();
    }

    /// Passes on what is checked.
    fn pass(&mut self, buffer: &mut ReadBuf<'_>) {
        let passed = self.checked.min(buffer.remaining());
        buffer.put_slice(self.held.get(..passed).unwrap_or_default());
        self.held.advance(passed);
        self.checked -= passed;
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Reads where nothing is held: most bytes stay where they were read to. Returns whether there is an end or bytes.
    fn poll_direct(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let good = self.check(new);
        if self.is_refused {
            self.stand_in();
        } else if self.bad_body.is_none() {
            self.held.extend_from_slice(new.get(good..).unwrap_or_default());
        }
        buffer.set_filled(before + good);
        Poll::Ready(Ok(good > 0))
    }

    /// Reads on where the start of a head is held. Returns whether the stream has ended.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let count = ready!(poll_read_buf(Pin::new(&mut self.inner), context, &mut self.held))?;
        let held = std::mem::take(&mut self.held);
        let good = self.check(&held);
        self.held = held;
        self.checked = good;
        if self.is_refused {
            self.stand_in();
        }
        Poll::Ready(Ok(count == 0))
    }

    /// Waits until a head that has begun is out of time, and refuses it.
    fn poll_slow_head(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timeout = self.head_timeout;
        ready!(self.head_ends.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout))).as_mut().poll(context));
        self.heads += 1;
        self.refuse(Violation::HeadTooSlow);
        self.stand_in();
        Poll::Ready(())
    }

    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger =
            self.linger.get_or_insert_with(|| Linger { bytes: 0, until: Box::pin(tokio::time::sleep(LINGER_TIME)) });
        self.held.clear();
        while linger.bytes < LINGER_BYTES {
            if linger.until.as_mut().poll(context).is_ready() {
                break;
            }
            self.held.clear();
            self.held.reserve(16 * 1024);
            match ready!(poll_read_buf(Pin::new(&mut self.inner), context, &mut self.held)) {
                Ok(0) | Err(_) => break,
                Ok(count) => linger.bytes += count,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.checked > 0 {
                self.pass(buffer);
                return Poll::Ready(Ok(()));
            }
            if let Some(violation) = self.bad_body {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, violation.as_str())));
            }
            if self.is_refused {
                // nothing more is read for hyper, which ends the connection with its answer
                return Poll::Pending;
            }
            if self.held.is_empty() {
                self.head_ends = None;
                if ready!(self.poll_direct(context, buffer))? {
                    return Poll::Ready(Ok(()));
                }
            } else {
                match self.poll_more(context)? {
                    Poll::Ready(true) => return Poll::Ready(Ok(())),
                    Poll::Ready(false) => {}
                    Poll::Pending => ready!(self.poll_slow_head(context)),
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
            if !self.is_refused && self.bad_body.is_none() && self.framing.is_at_head() && self.held.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_linger(context).map(Ok)
    }
}
