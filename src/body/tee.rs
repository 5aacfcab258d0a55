//! Somebody who listens to a body on its way, without holding it up.

use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Bytes;
use http_body::SizeHint;

use crate::body::Body;
use crate::body::Source;
use crate::body::SourceError;
use crate::body::pipe::Pipe;
use crate::body::pour::Poured;

/// What is told of a body's bytes as they pass. It is dropped without an end if nobody wants the rest of the body.
pub trait Listener: Send {
    /// Takes note of the next bytes.
    fn piece(&mut self, piece: &Bytes);

    /// Tells whether it still wants to hear of the bytes; if not, they may take the short way again.
    fn listens(&self) -> bool;

    /// Learns that the last byte has passed.
    fn end(&mut self);

    /// Learns that the body has broken off.
    fn broke(&mut self);
}

/// A source that is listened to.
struct Teed<L> {
    source: Box<dyn Source>,
    listener: Option<L>,
}

/// No bytes: what stands for a source while it is wrapped.
struct Nothing;

impl Body {
    /// Lets somebody listen to the bytes, if this is a stream; else gives the listener back.
    ///
    /// # Errors
    /// Fails if the body is no stream.
    pub fn tee<L: Listener + 'static>(&mut self, mut listener: L) -> Result<(), L> {
        let Self::Stream(stream) = self else { return Err(listener) };
        if !stream.read_before.is_empty() {
            listener.piece(&stream.read_before);
        }
        if stream.source.is_end() {
            listener.end();
            return Ok(());
        }
        let source = std::mem::replace(&mut stream.source, Box::new(Nothing));
        stream.source = Box::new(Teed { source, listener: Some(listener) });
        Ok(())
    }
}

impl<L: Listener> Source for Teed<L> {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        let polled = ready!(self.source.poll_data(context));
        if let Some(listener) = &mut self.listener {
            match &polled {
                Some(Ok(piece)) => listener.piece(piece),
                Some(Err(_)) => listener.broke(),
                None => listener.end(),
            }
            let is_over = !matches!(polled, Some(Ok(_)));
            if !is_over && self.source.is_end() {
                // whoever reads knows the length and will not ask again
                listener.end();
            }
            if is_over || self.source.is_end() || !listener.listens() {
                self.listener = None;
            }
        }
        Poll::Ready(polled)
    }

    fn is_end(&self) -> bool {
        self.source.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }

    fn can_pour(&self) -> bool {
        self.listener.is_none() && self.source.can_pour()
    }

    fn poll_pour(&mut self, context: &mut Context<'_>, pipe: &mut Pipe, max: u64) -> Poll<Result<Poured, SourceError>> {
        if self.listener.is_some() {
            return Poll::Ready(Ok(Poured::Unable));
        }
        self.source.poll_pour(context, pipe, max)
    }
}

impl Source for Nothing {
    fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, SourceError>>> {
        Poll::Ready(None)
    }

    fn is_end(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}
