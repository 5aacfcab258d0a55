//! Bodies made up while they are sent: any length, constant memory, always the same bytes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;

/// After how many bytes the pattern of an image repeats.
const PERIOD: u64 = 251;
/// How many bytes one piece has at most.
const PIECE: usize = 64 * 1024;

/// Returns the byte at this offset of every generated image.
#[must_use]
pub fn byte_at(offset: u64) -> u8 {
    // below 251, so it fits
    u8::try_from(offset % PERIOD).unwrap_or_default()
}

/// The bytes of a generated image, one piece after another.
#[derive(Debug)]
pub struct Generated {
    opening: Option<Bytes>,
    pattern: Bytes,
    sent: u64,
    left: u64,
    closing: Option<Bytes>,
    length: Length,
}

/// Whether the receiver is told the length beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Content-Length is sent.
    Told,
    /// The body is chunked.
    Untold,
}

impl Generated {
    /// Returns an image's content of this many bytes.
    #[must_use]
    pub fn image(bytes: u64) -> Self {
        let longest = PIECE as u64 + PERIOD;
        let pattern = (0..longest).map(byte_at).collect::<Vec<u8>>();
        Self { opening: None, pattern: Bytes::from(pattern), sent: 0, left: bytes, closing: None, length: Length::Told }
    }

    /// Returns a JSON object of at least this many bytes, its length not told.
    #[must_use]
    pub fn json(bytes: u64) -> Self {
        Self {
            opening: Some(Bytes::from_static(b"{\"token\": {\"methods\": [\"")),
            pattern: Bytes::from(vec![b'a'; PIECE]),
            sent: 0,
            left: bytes,
            closing: Some(Bytes::from_static(b"\"]}}")),
            length: Length::Untold,
        }
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        if self.left == 0 {
            return self.closing.take();
        }
        let start = match self.length {
            Length::Told => usize::from(byte_at(self.sent)),
            Length::Untold => 0,
        };
        let size = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        let piece = self.pattern.slice(start..start + size);
        self.sent += size as u64;
        self.left -= size as u64;
        Some(piece)
    }
}

impl Body for Generated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Length::Told => SizeHint::with_exact(self.left),
            Length::Untold => SizeHint::default(),
        }
    }
}
